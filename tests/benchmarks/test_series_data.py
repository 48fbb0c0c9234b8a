"""The data path of windows beside a plain loader: a data set that slices an array and its mask, collated by torch.

The loader of a short script that trains on series with gaps gives values, which of them are observed, and where the window lies.
The third figure is a loop without a loader, a mask or places, which no training could use: what slicing alone takes.

    make bench, or pytest -m benchmark_ratio -s tests/benchmarks/test_series_data.py
"""

import time

import numpy as np
import pytest
import torch
from ornstein.core.sources import Row, file_at
from ornstein.core.training.batches import Encoder, Stream
from ornstein.core.training.data import choose_tasks
from torch.utils.data import DataLoader, Dataset

pytest.importorskip("pandas")
from ornstein.modalities.timeseries import TimeSeries

STEPS, CHANNELS, WINDOW, BATCH, BATCHES = 17_420, 7, 24, 128, 60


class Slices(Dataset):
    """What a short script does: one scaled array, a slice for each window."""

    def __init__(self, values):
        low, high = values.min(0), values.max(0)
        self.values = ((values - low) / (high - low) * 2 - 1).astype(np.float32)
        self.observed = np.isfinite(values)

    def __len__(self):
        return len(self.values) - WINDOW + 1

    def __getitem__(self, i):
        return self.values[i : i + WINDOW], self.observed[i : i + WINDOW], i


def seconds(batches):
    start = time.perf_counter()
    for _ in zip(range(BATCHES), batches):  # noqa: B905 - the stream has no end
        pass
    return time.perf_counter() - start


@pytest.mark.benchmark_ratio
def test_batches_come_as_fast_as_from_plain_slices(tmp_path):
    values = np.random.default_rng(0).normal(size=(STEPS, CHANNELS)).cumsum(0)
    np.save(tmp_path / "x.npy", values)
    modality = TimeSeries(window=WINDOW)
    rows = modality.rows([Row(file_at(tmp_path / "x.npy"))], (1.0, 0.0, 0.0))
    items = [modality.read(row.file, row.values) for row in rows]
    modality.fit(items)
    encoder = Encoder(modality, items, choose_tasks(modality, None), 0, BATCH, augment=True)
    draw = torch.Generator().manual_seed(0)
    ours, plain, bare = [], [], []
    slices = Slices(values)
    for _ in range(7):  # in turn, so that a busy machine slows all of them
        ours.append(seconds(DataLoader(encoder, sampler=Stream(len(items), BATCH), batch_size=None)))
        plain.append(seconds(DataLoader(slices, BATCH, shuffle=True, generator=draw)))
        order = iter(Stream(len(items), BATCH))
        windows = (np.stack([slices.values[i : i + WINDOW] for i in each.items]) for each in order)
        bare.append(seconds(map(torch.from_numpy, windows)))
    a, b, c = (min(times) / BATCHES * 1e3 for times in (ours, plain, bare))
    told = f"{BATCH} windows of {WINDOW} x {CHANNELS}: {a:.2f} ms"
    print(f"\n{told}; plain loader {b:.2f} ms, ratio {b / a:.2f}; no loader {c:.2f} ms")
    assert b / a >= 0.8
