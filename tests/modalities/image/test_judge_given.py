"""Images against the true ones: PSNR, SSIM, what was given, and agreement with a small image."""

import numpy as np
import pytest
from ornstein.core.evaluation.spec import Context, Judged
from ornstein.core.modality import Item
from ornstein.modalities.image.enlarging import enlarged, reduced
from ornstein.modalities.image.floors import shown
from ornstein.modalities.image.given import given_metrics, low_resolution_error
from ornstein.modalities.image.parts import Grey, Means


def noise(seed, shape):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def value(name, judged, task="inpaint"):
    spec = {spec.name: spec for spec in given_metrics(task)}[name]
    return spec.compute(judged, judged, Context(judged, None, 0))


def ensemble(samples, true, known=None, cond=None):
    item, n = Item(true, cond or {}, "a.png"), len(samples)
    return Judged(samples, [{}] * n, list(map(str, range(n))), [item] * n, [known] * n)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_error_counts_unknown_pixels_only_and_change_given_ones_only(channels):
    originals = [x // 2 + 20 for x in noise(0, (4, 6, 5, channels))]
    known = [np.arange(6)[:, None] < 2 + np.zeros((1, 5)) for _ in originals]
    samples = [x.copy() for x in originals]
    for sample in samples:
        sample[2:] += np.uint8(7)
    items = [Item(x, {}, str(i)) for i, x in enumerate(originals)]
    specs = {spec.name: spec for spec in given_metrics("inpaint")}

    def measure(name: str) -> float:
        judged = Judged(samples, [{}] * 4, ["a", "b", "c", "d"], items, known)
        return specs[name].compute(judged, judged, Context(judged, None, 0))

    assert measure("error on unknown pixels") == pytest.approx(7)
    assert measure("change of given pixels") == 0
    samples[2][1, 3] -= np.uint8(9)
    assert measure("error on unknown pixels") == pytest.approx(7)
    assert measure("change of given pixels") == 9


def test_psnr_counts_what_was_made_and_the_best_of_an_ensemble():
    true = np.full((8, 8, 3), 100, np.uint8)
    known = np.zeros((8, 8), bool)
    known[:4] = True
    samples = [true + np.uint8(10), true + np.uint8(20)]  # known pixels are off too: they do not count
    each = [10 * np.log10(255**2 / d**2) for d in (10, 20)]
    judged = ensemble(samples, true, known)
    assert value("PSNR, dB", judged) == pytest.approx(np.mean(each))
    assert value("PSNR of the best, dB", judged) == pytest.approx(each[0])


def test_psnr_and_ssim_are_those_of_torchmetrics():
    import torch
    from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

    true = noise(0, (24, 20, 3))
    sample = np.clip(true + np.random.default_rng(1).normal(0, 20, true.shape), 0, 255).astype(np.uint8)
    a, b = (torch.from_numpy(x.astype(np.float64)).permute(2, 0, 1)[None] for x in (sample, true))
    judged = ensemble([sample], true)
    assert value("PSNR, dB", judged) == pytest.approx(float(peak_signal_noise_ratio(a, b, data_range=255.0)), abs=1e-6)
    found = structural_similarity_index_measure(a, b, data_range=255.0, return_full_image=True)[1].mean()
    assert value("SSIM", judged) == pytest.approx(float(found), abs=1e-6)


def test_an_image_that_was_given_whole_is_left_out_of_the_mean():
    true = noise(0, (8, 8, 1))
    items = [Item(true, {}, "a"), Item(true, {}, "b")]
    judged = Judged([true, true + np.uint8(1)], [{}] * 2, ["a", "b"], items, [np.ones((8, 8), bool), None])
    assert np.isfinite(value("PSNR, dB", judged))
    assert value("PSNR, dB", judged) == value("PSNR of the best, dB", judged)


def test_images_are_made_smaller_by_areas():
    pixels = np.arange(32, dtype=np.uint8).reshape(4, 8, 1)
    assert reduced(pixels, (2, 2))[..., 0].tolist() == [[5.5, 9.5], [21.5, 25.5]]


def test_an_image_that_agrees_with_the_given_one_has_no_low_resolution_error_and_a_shift_has_its_size():
    low = noise(0, (4, 4, 3)) // 2 + 20
    sample = low.repeat(4, 0).repeat(4, 1)
    sample[::2] += np.uint8(9)
    sample[1::2] -= np.uint8(9)  # means over areas stay
    assert low_resolution_error(sample, low) == 0
    assert low_resolution_error(sample + np.uint8(6), low) == pytest.approx(6)
    judged = ensemble([sample, sample + np.uint8(6)], sample, cond={"low": low})
    assert value("low-resolution error", judged, "upscale") == pytest.approx(np.sqrt(18))
    with pytest.raises(ValueError, match="'low'"):
        value("low-resolution error", ensemble([sample], sample), "upscale")


@pytest.mark.parametrize("method", ["bicubic", "Lanczos"])
def test_gains_over_enlarging_are_0_for_that_and_above_for_the_truth(method):
    rng = np.random.default_rng(0)
    true = enlarged(rng.integers(0, 256, (8, 8, 3)).astype(np.uint8), (32, 32), "bicubic")
    low = np.rint(reduced(true, (8, 8))).astype(np.uint8)
    plain = enlarged(low, (32, 32), method)
    assert plain.shape == (32, 32, 3)
    for name, least in ((f"SSIM over {method}", 0.01), (f"PSNR over {method}, dB", 10)):
        assert value(name, ensemble([plain], true, cond={"low": low}), "upscale") == pytest.approx(0, abs=1e-12)
        assert value(name, ensemble([true], true, cond={"low": low}), "upscale") > least
    shifted = true + np.where(true < 128, 10, -10).astype(np.int16)  # an error of 10 levels everywhere
    gained = value(f"PSNR over {method}, dB", ensemble([shifted.astype(np.uint8)], true, cond={"low": low}), "upscale")
    of_plain = value("PSNR, dB", ensemble([plain], true))
    assert gained == pytest.approx(10 * np.log10(255**2 / 100) - of_plain)


def test_means_and_grey_that_are_not_those_of_the_given_image_count_as_changed():
    true = noise(0, (8, 8, 3)) // 2 + 40
    sample = true.copy()
    sample[0, 0, 0] += np.uint8(8)
    for part in (Means(2), Grey()):
        assert value("change of given pixels", ensemble([true], true, part)) == 0
        assert 0 < value("change of given pixels", ensemble([sample], true, part)) <= 8
    assert value("error on unknown pixels", ensemble([sample], true, Means(2))) == pytest.approx(8 / np.sqrt(192))


def test_the_floor_of_a_lesser_picture_is_that_picture():
    true = noise(0, (8, 8, 3))
    drawn = np.zeros_like(true)
    low = np.rint(reduced(true, (4, 4))).astype(np.uint8)
    assert np.array_equal(shown(Item(true, {"low": low}), None, drawn), enlarged(low, (8, 8), "Lanczos"))
    assert np.array_equal(shown(Item(true, {"guide": true // 2}), None, drawn), true // 2)
    grey = shown(Item(true, {}), Grey(), drawn)
    assert np.abs(grey.astype(float) - true.mean(-1, keepdims=True)).max() <= 0.5
    assert shown(Item(true, {}), np.ones((8, 8), bool), drawn) is drawn
