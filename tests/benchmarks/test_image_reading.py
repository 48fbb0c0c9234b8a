"""The data path of images, items at the model's size from a zip of JPEG, beside Pillow alone on the same files.

Both run in as many processes and count their own time. Pillow reads the unpacked files, and may, as ours does, decode large
photographs at 1/2, 1/4 or 1/8 (`draft`); without it is stated beside. Both cut the middle square, and filter by Lanczos.

make bench, or pytest -m benchmark_ratio -s tests/benchmarks/test_image_reading.py
"""

import multiprocessing
import time
import zipfile

import numpy as np
import pytest
from ornstein.core.sources import open_source
from ornstein.modalities.image import Image
from PIL import Image as Pillow

ROUNDS = 15  # short ones, of which the best count
SETS = {  # zip, side, and how many of its files
    "photographs of 640 x 480 to 64": ("blood_cells/blood_smears_640x480.zip", 64, 40),
    "photographs of 640 x 480 to 256": ("blood_cells/blood_smears_640x480.zip", 256, 40),
    "pictures of 64 x 64 to 64": ("sign_digits/sign_digits_64.zip", 64, 200),
    "pictures of 64 x 64 to 32": ("sign_digits/sign_digits_64.zip", 32, 200),
}


def ours(path, side, count, keep):
    """Seconds of this process for all items, and how many."""
    modality = Image(side, channels=3, keep=keep)
    rows = open_source(path, modality.extensions, "none").rows()[:count]
    items = [modality.read(row.file, row.values) for row in rows] if keep == "file" else []
    start, read = time.process_time(), 0
    for i, row in enumerate(rows):
        data = np.asarray(items[i].data) if keep == "file" else modality.read(row.file, row.values).data
        read += data.shape == (side, side, 3)
    return time.process_time() - start, read


def plain(folder, side, count, draft):
    """The same by Pillow alone."""
    start, read = time.process_time(), 0
    for path in sorted(folder.rglob("*.jpg"))[:count]:
        with Pillow.open(path) as picture:
            if draft:
                picture.draft("RGB", (4 * side, 4 * side))
            width, height = picture.size
            short = min(width, height)
            left, top = (width - short) // 2, (height - short) // 2
            box = (left, top, left + short, top + short)
            made = picture.convert("RGB").resize((side, side), Pillow.Resampling.LANCZOS, box=box)
            read += np.asarray(made).shape == (side, side, 3)
    return time.process_time() - start, read


WAYS = {
    "read": lambda zipped, folder, *at: ours(zipped, *at, "memory"),
    "from file": lambda zipped, folder, *at: ours(zipped, *at, "file"),
    "Pillow": lambda zipped, folder, *at: plain(folder, *at, True),
    "Pillow without draft": lambda zipped, folder, *at: plain(folder, *at, False),
}


def once(way, *at):
    """Images a second of a process's own time."""
    seconds, read = WAYS[way](*at)
    assert read == at[-1]
    return read / seconds


@pytest.mark.benchmark_ratio
@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("processes", [1, 2])
def test_items_come_about_as_fast_as_pillow_decodes_and_resizes(shared_data, name, processes, tmp_path):
    zipped, side, count = SETS[name]
    with zipfile.ZipFile(shared_data / "images" / zipped) as archive:
        archive.extractall(tmp_path)
    at = (shared_data / "images" / zipped, tmp_path, side, count)
    best = dict.fromkeys(WAYS, 0.0)
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        for _ in range(ROUNDS):  # in turn, so that a busy machine slows all
            for way in WAYS:
                together = pool.starmap(once, [(way, *at)] * processes, chunksize=1)
                best[way] = max(best[way], sum(together))
    ratios = ", ".join(f"{way} {rate:,.0f}" for way, rate in best.items())
    ratio = min(best["read"], best["from file"]) / best["Pillow"]
    print(f"\n{name}, {processes} processes: images a second of processor time: {ratios}; ratio {ratio:.2f}")
    assert ratio >= 0.8
