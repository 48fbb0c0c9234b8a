"""What networks see of images, their shapes, and that they learn classes that only colour, form or alpha tells."""

import numpy as np
import pytest
import torch
from ornstein.core.evaluation.metrics import frechet_distance
from ornstein.core.evaluation.spec import Judged
from ornstein.modalities.image import extractor
from ornstein.modalities.image.extractor import Inputs, judge, network, shifted


def test_inputs_run_from_minus_one_to_one_and_keep_their_place():
    image = np.zeros((2, 3, 3), np.uint8)
    image[1, 2] = (255, 0, 51)
    x = Inputs()([image, image])
    assert x.shape == (2, 3, 2, 3)
    assert x[1, :, 1, 2].tolist() == pytest.approx([1, -1, -0.6])
    assert float(x[0, :, 0].max()) == -1


def test_large_images_are_made_smaller_without_aliases():
    stripes = np.zeros((128, 256, 1), np.uint8)
    stripes[:, ::2] = 255
    x = Inputs()([stripes])
    assert x.shape == (1, 1, 64, 128)
    assert float(x[..., 4:-4].abs().max()) < 0.05


def test_images_of_several_sizes_are_brought_to_one_square():
    x = Inputs(side=6)([np.full((4, 9, 1), 255, np.uint8), np.zeros((6, 6, 1), np.uint8)])
    assert x.shape == (2, 1, 6, 6)
    assert x[0].min() == 1
    assert x[1].max() == -1
    assert Inputs(side=500)([np.zeros((100, 90, 1), np.uint8)]).shape == (1, 1, 64, 64)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([np.zeros((4, 4, 1), np.uint8), np.zeros((4, 5, 1), np.uint8)], r"set modality\.size"),
        ([np.zeros((4, 4, 2), np.uint8)], "C 1, 3 or 4"),
        ([np.zeros((4, 4), np.uint8)], "C 1, 3 or 4"),
        ([np.zeros((4, 4, 1))], "uint8"),
    ],
)
def test_images_that_cannot_be_compared_are_refused(samples, message):
    with pytest.raises(ValueError, match=message):
        Inputs()(samples)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 64, 64), (3, 30, 47), (1, 4, 9), (3, 2, 3), (1, 1, 1), (4, 32, 32)])
def test_networks_serve_any_size(shape):
    x = torch.randn(2, *shape)
    classifier, autoencoder = network(shape, 7), network(shape, None)
    assert classifier.features(x).shape == autoencoder.features(x).shape == (2, 88)
    assert classifier(x).shape == (2, 7)
    assert autoencoder(x).shape == x.shape


def test_shifts_move_each_image_by_itself_and_continue_edges():
    x = torch.arange(12.0).expand(40, 1, 12, 12) + 100 * torch.arange(12.0)[:, None]
    moved = shifted(x, torch.Generator().manual_seed(0))
    inner = (moved - x)[:, 0, 1:-1, 1:-1]
    assert torch.equal(inner.amax((1, 2)), inner.amin((1, 2)))  # a plain shift of a plane adds a constant
    assert set(inner[:, 0, 0].tolist()) == {100.0 * down + right for down in (-1, 0, 1) for right in (-1, 0, 1)}
    assert moved.min() == x.min()
    assert moved.max() == x.max()


@pytest.mark.parametrize("told_by", ["form", "colour", "alpha"])
def test_a_classifier_learns_what_tells_classes_apart(told_by, monkeypatch):
    """Bars along one way or the other; red or green in equal measure; a hole in alpha above or below. Places are random."""
    monkeypatch.setattr(extractor, "STEPS", 100)
    rng = np.random.default_rng(0)

    def image(label):
        pixels = rng.integers(60, 120, (32, 32, 4 if told_by == "alpha" else 3)).astype(np.uint8)
        at = int(rng.integers(4, 24))
        if told_by == "form":
            pixels[(slice(at, at + 4),) if label else (slice(None), slice(at, at + 4))] = 220
        elif told_by == "colour":
            pixels[at : at + 4, :, label] = 220
        else:
            pixels[..., 3] = 255
            pixels[16 * label : 16 * label + 16, at : at + 6, 3] = 0
        return pixels

    def judged(n):
        labels = [i % 2 for i in range(n)]
        return Judged([image(k) for k in labels], [{"label": k} for k in labels], [str(i) for i in range(n)])

    found = judge("label").fit(judged(200), judged(60), seed=0, device="cpu", track=lambda *_: lambda: None)
    assert found.facts["accuracy on held-out items"] > 0.95


@pytest.mark.parametrize("label", ["label", None])
def test_features_see_blur_and_noise_that_change_no_class(label, monkeypatch):
    """Fréchet distances of faults stand out from that of other images of the same law."""
    monkeypatch.setattr(extractor, "STEPS", 60)
    from scipy.ndimage import gaussian_filter

    def judged(n, seed, fault=lambda image, rng: image):
        rng = np.random.default_rng(seed)
        images = [rng.normal(90 + 60 * (i % 2), 25, (24, 24, 3)) for i in range(n)]
        images = [
            fault(gaussian_filter(image, (1, 1, 0)) * 2, rng).round().clip(0, 255).astype(np.uint8) for image in images
        ]
        return Judged(images, [{"label": i % 2} for i in range(n)], [str(i) for i in range(n)])

    train = judged(200, 0)
    fitted = judge(label).fit(train, judged(60, 1), seed=0, device="cpu", track=lambda *_: lambda: None)

    def distance(fault):
        return frechet_distance(fitted.features(judged(200, 2, fault)), fitted.features(train))

    honest = distance(lambda image, rng: image)
    assert distance(lambda image, rng: gaussian_filter(image, (0.7, 0.7, 0))) > 4 * honest
    assert distance(lambda image, rng: image + 12 * rng.standard_normal(image.shape)) > 4 * honest
