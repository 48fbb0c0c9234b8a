"""Makes the throw-away modality importable by name, also for checkpoints that rebuild it."""

import sys
import warnings
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

NAME = "training_world"
if NAME not in sys.modules:
    spec = spec_from_file_location(NAME, Path(__file__).with_name("world.py"))
    sys.modules[NAME] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules[NAME])


@pytest.fixture(autouse=True)
def quiet():
    """Lightning's remarks about small runs are no faults."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
