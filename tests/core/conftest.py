"""Makes the throw-away modality of tests/toy.py importable by name, also for checkpoints that rebuild it."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

NAME = "toy"
if NAME not in sys.modules:
    spec = spec_from_file_location(NAME, Path(__file__).parents[1] / "toy.py")
    sys.modules[NAME] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules[NAME])
