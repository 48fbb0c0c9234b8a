"""How images are judged: inputs, networks, the floor's law, what was given, and one small report on real digits."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from ornstein.core.evaluation import Context, Judged, evaluate
from ornstein.core.modality import Item
from ornstein.modalities.image import Image
from ornstein.modalities.image import evaluation as judging


def pictures(n: int, shape: tuple[int, ...], seed: int = 0) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8))


def test_inputs_run_from_minus_one_to_one_and_keep_their_place():
    image = np.zeros((2, 3, 3), np.uint8)
    image[1, 2] = (255, 0, 51)
    x = judging.scaled([image, image])
    assert x.shape == (2, 3, 2, 3)
    assert x[1, :, 1, 2].tolist() == pytest.approx([1, -1, -0.6])
    assert float(x[0, :, 0].max()) == -1


@pytest.mark.parametrize(
    "samples",
    [
        [np.zeros((4, 4, 1), np.uint8), np.zeros((4, 5, 1), np.uint8)],
        [np.zeros((4, 4, 2), np.uint8)],
        [np.zeros((4, 4), np.uint8)],
        [np.zeros((4, 4, 1))],
    ],
)
def test_images_that_cannot_be_compared_are_refused(samples):
    with pytest.raises(ValueError, match=r"set modality\.size"):
        judging.scaled(samples)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 64, 64), (3, 30, 47), (1, 4, 9), (3, 2, 3), (1, 1, 1)])
def test_networks_serve_any_size(shape):
    x = torch.randn(2, *shape)
    classifier, autoencoder = judging.network(shape, 7), judging.network(shape, None)
    assert classifier.features(x).shape == autoencoder.features(x).shape == (2, 64)
    assert classifier(x).shape == (2, 7)
    assert autoencoder(x).shape == x.shape


def test_shifts_move_each_image_by_itself_and_continue_edges():
    x = torch.arange(12.0).expand(40, 1, 12, 12) + 100 * torch.arange(12.0)[:, None]
    moved = judging.shifted(x, torch.Generator().manual_seed(0))
    inner = (moved - x)[:, 0, 1:-1, 1:-1]
    assert torch.equal(inner.amax((1, 2)), inner.amin((1, 2)))  # a plain shift of a plane adds a constant
    assert set(inner[:, 0, 0].tolist()) == {100.0 * down + right for down in (-1, 0, 1) for right in (-1, 0, 1)}
    assert moved.min() == x.min()
    assert moved.max() == x.max()


def test_the_floor_has_the_mean_and_covariance_of_each_class():
    rng = np.random.default_rng(0)
    items = []
    for label, mean in ((0, 90), (1, 160)):
        mix = rng.standard_normal((4, 4)) * 8
        values = mean + rng.standard_normal((300, 4)) @ mix
        items += [Item(v.round().clip(0, 255).astype(np.uint8).reshape(2, 2, 1), {"label": label}) for v in values]
    drawn = judging.gaussian_floor(items, [{"label": 0}, {"label": 1}] * 4000, np.random.default_rng(1))
    for label in (0, 1):
        real = np.stack([i.data.ravel() for i in items if i.cond["label"] == label]).astype(float)
        made = np.stack(drawn[label::2]).reshape(-1, 4).astype(float)
        assert np.allclose(made.mean(0), real.mean(0), atol=1)
        assert np.allclose(np.cov(made.T), np.cov(real.T), atol=0.12 * np.trace(np.cov(real.T)))
    whole = np.stack(judging.gaussian_floor(items, [{}] * 4000, np.random.default_rng(1))).astype(float)
    assert whole.mean() == pytest.approx(125, abs=2)


def test_the_floor_of_large_images_lies_in_the_span_of_the_data_and_is_seeded():
    items = [Item(x, {}) for x in pictures(5, (40, 30, 3))]
    first, again = (judging.gaussian_floor(items, [{}] * 3, np.random.default_rng(2)) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert first[0].shape == (40, 30, 3)
    assert first[0].dtype == np.uint8
    with pytest.raises(ValueError, match="class 3"):
        judging.gaussian_floor(items, [{"label": 3}], np.random.default_rng(2))


def test_metrics_by_task_and_labels():
    names = {spec.name for spec in judging.image_metrics("unconditional", labelled=True)}
    assert {"Fréchet distance", "recall", "coverage", "sliced Wasserstein", "class accuracy", "near copies"} <= names
    assert "class accuracy" not in {spec.name for spec in judging.image_metrics("unconditional", labelled=False)}
    inpaint = {spec.name for spec in judging.image_metrics("inpaint", labelled=True)}
    assert inpaint - names == {"error on unknown pixels", "change of given pixels"}
    assert inpaint > names


@pytest.mark.parametrize("channels", [1, 3])
def test_error_counts_unknown_pixels_only_and_change_given_ones_only(channels):
    originals = [x // 2 + 20 for x in pictures(4, (6, 5, channels))]
    known = [np.arange(6)[:, None] < 2 + np.zeros((1, 5)) for _ in originals]
    samples = [x.copy() for x in originals]
    for sample in samples:
        sample[2:] += np.uint8(7)
    items = [Item(x, {}, str(i)) for i, x in enumerate(originals)]
    specs = {spec.name: spec for spec in judging.image_metrics("inpaint", labelled=False)}

    def measure(name: str) -> float:
        judged = Judged(samples, [{}] * 4, ["a", "b", "c", "d"], items, known)
        return specs[name].compute(judged, judged, Context(judged, None, 0))

    assert measure("error on unknown pixels") == pytest.approx(7)
    assert measure("change of given pixels") == 0
    samples[2][1, 3] -= np.uint8(9)
    assert measure("error on unknown pixels") == pytest.approx(7)
    assert measure("change of given pixels") == 9


@pytest.fixture(scope="module")
def digits() -> list[Item]:
    levels = pytest.importorskip("sklearn.datasets").load_digits()
    pixels = np.round(levels.images * 255 / 16).astype(np.uint8)[..., None]
    order = np.random.default_rng(0).permutation(len(pixels))
    return [Item(pixels[i], {"label": int(levels.target[i])}, f"digits#{i}") for i in order]


@pytest.fixture
def short(monkeypatch):
    for name, steps in (("CLASSIFIER", 200), ("AUTOENCODER", 100)):
        monkeypatch.setattr(judging, name, replace(getattr(judging, name), steps=steps))


def test_a_report_on_real_digits_ranks_real_above_floor(digits, short):
    train, held_out, fresh = digits[:1000], digits[1000:1300], digits[1300:1600]
    modality = Image()
    modality.fit(train)
    report = evaluate(
        modality, [i.data for i in fresh], [i.cond for i in fresh], train, held_out, repeats=3, progress=False
    )
    assert report.value("class accuracy") > 0.85
    assert report.value("Fréchet distance") < 0.8 * report.value("Fréchet distance", "floor")
    for name in ("precision", "coverage", "recall", "density"):
        assert report.value(name) > report.value(name, "floor")
    assert report.value("near copies") == pytest.approx(0.05, abs=0.05)
    assert len(report.pictures) == 4


def test_inpainting_of_digits_without_labels(digits, short):
    train, held_out = digits[:300], digits[1000:1060]
    modality = Image(labels=False)
    modality.fit(train)
    rng = np.random.default_rng(0)
    posed = [modality.tasks()["inpaint"].pose(item, rng) for item in held_out]
    given, known = [item for item, _ in posed], [bits for _, bits in posed]
    samples = [modality.paste(np.full((8, 8, 1), 60, np.uint8), *pair) for pair in posed]
    report = evaluate(modality, samples, [{}] * 60, train, held_out, task="inpaint", given=given, known=known,
                      repeats=3, progress=False)  # fmt: skip
    assert report.value("change of given pixels") == report.value("change of given pixels", "floor") == 0
    assert 60 < report.value("error on unknown pixels") < 120
    assert report.extractors[0]["facts"]["trained as"] == "autoencoder"
