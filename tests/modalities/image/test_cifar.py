"""Batch files of CIFAR-10 in its binary form, made here: many pictures in a file, in a folder or in its archive."""

import shutil

import numpy as np
import pytest
from ornstein.core.modality import BadItem
from ornstein.core.sources import file_at, open_source, read_all, split
from ornstein.modalities.image import Image
from some_images import noise

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def batch(path, n, seed):
    """Write n records; return their pixels and labels."""
    pixels = np.stack([noise(32, 32, seed=100 * seed + i) for i in range(n)])
    labels = np.arange(n, dtype=np.uint8) % 10
    path.parent.mkdir(parents=True, exist_ok=True)
    records = np.concatenate([labels[:, None], pixels.transpose(0, 3, 1, 2).reshape(n, -1)], axis=1)
    path.write_bytes(records.astype(np.uint8).tobytes())
    return pixels, labels


@pytest.mark.parametrize("kind", ["folder", "tgz"])
def test_batch_files_are_read_record_by_record_with_their_official_parts(tmp_path, kind):
    root = tmp_path / "made"
    inside = root / "cifar-10-batches-bin"
    first, labels = batch(inside / "data_batch_1.bin", 20, 1)
    batch(inside / "data_batch_2.bin", 10, 2)
    last, _ = batch(inside / "test_batch.bin", 10, 3)
    (inside / "batches.meta.txt").write_text("\n".join(NAMES))
    where = shutil.make_archive(str(tmp_path / "cifar-10-binary"), "gztar", root) if kind == "tgz" else root
    modality = Image()
    rows = modality.rows(open_source(where, modality.extensions).rows(), (0.8, 0.2, 0.0))
    parts = split(rows, fractions=(0.8, 0.2, 0.0))
    assert len(parts["test"]) == 10
    assert len(parts["train"]) + len(parts["validation"]) == 30
    assert parts["validation"]
    items, bad = read_all(modality, rows, 0)
    assert bad == []
    assert [item.key.rpartition("/")[2] for item in items[18:22]] == [
        "data_batch_1.bin#18",
        "data_batch_1.bin#19",
        "data_batch_2.bin#0",
        "data_batch_2.bin#1",
    ]
    assert all(np.array_equal(item.data, pixels) for item, pixels in zip(items, first, strict=False))
    assert np.array_equal(items[-1].data, last[-1])
    assert [item.cond["label"] for item in items[:20]] == [NAMES[label] for label in labels]
    modality.fit(items)
    assert modality.conditions[0].names == tuple(NAMES)


def test_records_come_to_other_sizes_and_alpha(tmp_path):
    pixels, _ = batch(tmp_path / "data_batch_1.bin", 2, 1)
    modality = Image(size=16, filter="area", alpha="keep", keep="file")
    rows = modality.rows(open_source(tmp_path, modality.extensions).rows(), (1, 0, 0))
    item = modality.read(rows[1].file, rows[1].values)
    assert item.data.shape == (16, 16, 4)
    assert np.abs(item.data[..., :3] - pixels[1].reshape(16, 2, 16, 2, 3).mean((1, 3))).max() <= 1


@pytest.mark.parametrize("content", [b"", bytes(3074), b"\x0b" + bytes(3072)])
def test_other_files_of_that_ending_are_refused(tmp_path, content):
    (tmp_path / "weights.bin").write_bytes(content)
    modality = Image()
    said = r"weights\.bin: is no batch file of CIFAR-10"
    with pytest.raises(BadItem, match=said):
        modality.rows(open_source(tmp_path, modality.extensions).rows(), (1, 0, 0))
    with pytest.raises(BadItem, match=r"weights\.bin: is (a batch file of many pictures|no batch file)"):
        modality.read(file_at(tmp_path / "weights.bin"), {})
