"""What all tests share: few threads, repeatable examples, and the way to the real data sets."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Tensors of tests are small: more threads gain little, and on a busy machine they wait for each other many times longer.
# Set before torch is imported; processes that tests start inherit it. Of several workers each has one, whatever is set outside.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The same examples on every run, and no bound on their time: a slow machine is not a fault.
settings.register_profile("house", deadline=None, derandomize=True)
settings.load_profile("house")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets: ORNSTEIN_DATA, else ../shared/data beside the checkout."""
    named = os.environ.get("ORNSTEIN_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data sets at {folder}: set ORNSTEIN_DATA to their folder")
    return folder
