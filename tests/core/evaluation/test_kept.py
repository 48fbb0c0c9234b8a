"""Features of real data are worked out once for an extractor and a set, and never taken for another's."""

import numpy as np
import pytest
import torch
from ornstein.core.evaluation import Extractor, Judged, evaluate, kept
from ornstein.core.sources import Cache

from .test_report import HELD, TRAIN, Points, draw


class Counting(Extractor):
    """Twice the samples; it remembers which it was asked for."""

    facts = {}

    def __init__(self, name):
        self.name = self.hash = name
        self.asked = []

    def embed(self, samples):
        self.asked.append(len(samples))
        return 2 * torch.from_numpy(np.stack(samples)).double()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ORNSTEIN_CACHE", str(tmp_path))
    return Cache("features")


def judged(n, seed=0):
    samples = list(np.random.default_rng(seed).standard_normal((n, 3)))
    return Judged(samples, [{}] * n, list(map(str, range(n))))


def features(cache, extractor, judged):
    with kept.kept(cache, [judged], [extractor]):
        return extractor.features(judged)


def test_the_second_time_nothing_is_embedded_and_every_digit_is_the_same(cache):
    extractor = Counting("a")
    first, second = (features(cache, extractor, judged(5)) for _ in range(2))
    assert extractor.asked == [5]
    assert torch.equal(first, second)
    assert second.dtype == torch.float64


def test_other_data_another_order_and_another_extractor_are_worked_out_anew(cache):
    extractor, other = Counting("a"), Counting("b")
    features(cache, extractor, judged(5))
    features(cache, extractor, judged(5, seed=1))
    turned = judged(5).take([1, 0, 2, 3, 4])
    assert torch.equal(features(cache, extractor, turned), 2 * torch.from_numpy(np.stack(turned.samples)))
    features(cache, other, judged(5))
    assert (extractor.asked, other.asked) == ([5, 5, 5], [5])


def test_a_damaged_file_and_sets_that_are_too_large_are_worked_out_each_time(cache, monkeypatch):
    extractor = Counting("a")
    features(cache, extractor, judged(5))
    (file,) = cache.folder.iterdir()
    file.write_bytes(file.read_bytes()[:100])
    features(cache, extractor, judged(5))
    assert extractor.asked == [5, 5]
    monkeypatch.setattr(kept, "_MOST", 100)
    for _ in range(2):
        features(cache, extractor, judged(6))
    assert extractor.asked == [5, 5, 6, 6]


def test_what_nobody_asked_for_is_not_worked_out(cache):
    extractor = Counting("a")
    with kept.kept(cache, [judged(5)], [extractor]):
        pass
    assert not extractor.asked
    assert not cache.folder.exists()


def test_a_report_keeps_training_and_held_out_items_and_is_the_same_from_them(cache):
    items = draw(100, 3)

    def report():
        samples, cond = [item.data for item in items], [item.cond for item in items]
        return evaluate(Points(), samples, cond, TRAIN[:150], HELD[:50], repeats=3, progress=False, cache=cache)

    first = report()
    names = sorted(path.name for path in cache.folder.iterdir())
    sizes = sorted(len(cache.load(path.stem)["rows"]) for path in cache.folder.iterdir())
    assert sizes == [50, 150]  # the training items, and the held-out ones in the order of their column
    assert report().rows == first.rows
    assert sorted(path.name for path in cache.folder.iterdir()) == names
