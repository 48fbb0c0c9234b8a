"""Small images, and what reads them."""

import numpy as np
from ornstein.core.modality import Item
from ornstein.core.sources import file_at
from ornstein.modalities.image import Image

RNG = np.random.default_rng(0)
LEVELS = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)


def noise(height, width, channels=3, seed=0):
    """Pixels drawn evenly."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def fitted(items=None, **options):
    """The modality with these options, fitted."""
    modality = Image(**options)
    modality.fit(items or [Item(noise(8, 8))])
    return modality


def saved(tmp_path, picture, name="x.png", **options):
    """A picture of Pillow's as a file."""
    picture.save(tmp_path / name, **options)
    return file_at(tmp_path / name)


def read_pixels(file, size=None, channels=None, **options):
    """The pixels of a file as an item has them."""
    return Image(size, 1, channels, **options).read(file, {}).data
