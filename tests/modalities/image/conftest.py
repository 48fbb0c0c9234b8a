"""Makes the images of some_images.py importable by name."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
