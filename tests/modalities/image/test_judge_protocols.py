"""The table of papers: against which rows, by which network, and how often."""

import numpy as np
import pytest
import torch
from ornstein.core.evaluation import Subject, metrics
from ornstein.core.modality import Item
from ornstein.modalities.image import Image
from ornstein.modalities.image.protocols import (
    Published,
    kernel_distance_of_subsets,
    read_moments,
    rows_of_moments,
)

SEEING = f"{__name__}:Seeing"


class Seeing:
    """Means of the colours, their squares and a product; two classes by which of two is larger."""

    name = "seeing"

    def __call__(self, x):
        mean = x.double().mean((2, 3)) / 255
        return torch.cat([mean, mean**2, mean[:, :1] * mean[:, 1:2]], 1)

    def logits(self, rows):
        return 40 * rows[:, :2]


class Blind(Seeing):
    logits = property()


def pictures(n, seed, light=0):
    rng = np.random.default_rng(seed)
    colour = rng.integers(0, 200, (n, 1, 1, 3))
    return list((colour + rng.integers(0, 40, (n, 8, 8, 3)) + light).astype(np.uint8))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ORNSTEIN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache/features"


TRAIN, HELD = pictures(120, 0), pictures(60, 1)


def subject(draws=None):
    def draw(n, seed=0):
        if draws is not None:
            draws.append((n, seed))
        return pictures(n, 100 + seed, light=10)

    parts = {"train": TRAIN, "test": HELD}
    return Subject(Image(), draw, lambda part: [Item(x, {}, str(i)) for i, x in enumerate(parts[part])])


def table(seed=3, **settings):
    found = Published(**{"n": 80, "extractor": SEEING, **settings}).run(subject(), seed, lambda line: None)
    return found.columns["ours"], found


def rows(images):
    return Seeing()(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2))


def test_scores_are_those_of_the_rows_against_all_training_images():
    ours, found = table(scores=("fid", "fid_infinity", "is", "kid", "prdc"))
    x, y = rows(pictures(80, 103, light=10)), rows(TRAIN)
    assert ours["FID"].values == pytest.approx([metrics.frechet_distance(x, y)], rel=1e-9)
    assert ours["FID, n to infinity"].values == pytest.approx([metrics.frechet_extrapolated(x, y, 3)], rel=1e-6)
    whole = metrics.precision_recall(x, y, 3)
    assert (ours["precision"].mean, ours["recall"].mean) == whole
    assert ours["coverage"].mean == metrics.density_coverage(x, y, 5).coverage
    assert 1 < ours["IS"].mean < 2
    assert found.facts["extractor hash"]
    held = found.columns["60 held-out images"]
    assert held["FID"].mean == pytest.approx(metrics.frechet_distance(rows(HELD), y), rel=1e-9)


def test_each_repeat_has_a_seed_of_its_own():
    draws = []
    found = Published(n=30, repeats=3, extractor=SEEING).run(subject(draws), 5, lambda line: None)
    assert draws == [(30, 5), (30, 6), (30, 7)]
    assert len(set(found.columns["ours"]["FID"].values)) == 3


def test_published_moments_stand_in_for_the_training_images(tmp_path):
    y = rows(TRAIN)
    np.savez(tmp_path / "stats.npz", mu=y.mean(0), sigma=np.cov(y.numpy(), rowvar=False))
    settings = {"scores": ("fid", "is", "fid_infinity")}
    ours, found = table(reference=str(tmp_path / "stats.npz"), **settings)
    plain, _ = table(**settings)
    for name in plain:
        assert ours[name].mean == pytest.approx(plain[name].mean, rel=1e-6)
    assert found.facts["reference"].endswith("stats.npz")


def test_rows_of_moments_have_them():
    y = rows(TRAIN)
    made = rows_of_moments(y.mean(0), y.T.cov())
    assert torch.allclose(made.mean(0), y.mean(0), atol=1e-12)
    assert torch.allclose(made.T.cov(), y.T.cov(), atol=1e-12)


def test_wrong_files_of_moments_are_named(tmp_path):
    path = tmp_path / "stats.npz"
    with pytest.raises(ValueError, match=r"stats\.npz.*`mu` and `sigma` is needed"):
        read_moments(path, 7)
    np.savez(path, mu=np.zeros(7))
    with pytest.raises(ValueError, match="sigma"):
        read_moments(path, 7)
    np.savez(path, mu=np.zeros(5), sigma=np.eye(5))
    with pytest.raises(ValueError, match="extractor has 7 features"):
        read_moments(path, 7)
    np.savez(path, mu=np.zeros(7), sigma=np.full((7, 7), np.nan))
    with pytest.raises(ValueError, match="extractor has 7 features"):
        read_moments(path, 7)


def test_the_kernel_distance_of_subsets_is_that_of_torch_fidelity_up_to_the_draw():
    x, y = torch.randn(300, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64).split([100, 200])
    values = [kernel_distance_of_subsets(x, y + 0.3, seed, subsets=100, size=50) for seed in range(5)]
    kid = pytest.importorskip("torch_fidelity.metric_kid")
    found = kid.kid_features_to_metric(x, y + 0.3, kid_subsets=100, kid_subset_size=50, verbose=False)
    spread = found["kernel_inception_distance_std"] / 10
    assert np.mean(values) == pytest.approx(found["kernel_inception_distance_mean"], abs=4 * spread)
    whole = metrics.kernel_distance(x, y + 0.3)
    assert kernel_distance_of_subsets(x, y[:100] + 0.3, 0) == pytest.approx(metrics.kernel_distance(x, y[:100] + 0.3))
    assert whole == pytest.approx(np.mean(values), abs=8 * spread)


def test_training_images_are_embedded_once_for_all_tables(cache):
    table()
    (file,) = cache.iterdir()
    stamp = file.stat().st_mtime_ns
    table(seed=4)
    assert [each.stat().st_mtime_ns for each in cache.iterdir()] == [stamp]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scores": ("fd",)}, "choose from fid"),
        ({"scores": ()}, "choose from fid"),
        ({"n": 1}, "at least 2 samples"),
        ({"repeats": 0}, "at least 2 samples"),
        ({"reference": "stats.npz"}, "kid and prdc compare rows"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Published(**settings)


def test_a_network_without_classes_has_no_inception_score():
    with pytest.raises(ValueError, match="leave `is` out"):
        table(extractor=f"{__name__}:Blind")


def test_weights_that_are_missing_are_asked_for_before_anything_is_sampled(tmp_path, monkeypatch):
    monkeypatch.setenv("ORNSTEIN_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    draws = []
    with pytest.raises(ValueError, match="no weights at"):
        Published().run(subject(draws), 0, lambda line: None)
    assert not draws
