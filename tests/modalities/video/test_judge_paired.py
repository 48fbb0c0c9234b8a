"""PSNR and SSIM of pairs, and the lines made of them."""

import numpy as np
import pytest
from ornstein.core.evaluation import paired
from ornstein.core.evaluation.spec import Context, Judged
from ornstein.core.modality import Item
from ornstein.modalities.video.clip import Clip
from ornstein.modalities.video.given import given_metrics

SHAPE = (4, 16, 16, 1)
ALL = np.ones(SHAPE[:3], bool)


def noise(seed, shape=SHAPE):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def value(name, judged, task="prediction"):
    spec = {spec.name: spec for spec in given_metrics(task)}[name]
    return spec.compute(judged, judged, Context(judged, None, 0))


def given(samples, true, known):
    """Samples of one item as an ensemble."""
    item = Item(Clip(true, 8.0), {}, "film")
    clips = [Clip(each, 8.0) for each in samples]
    n = len(clips)
    return Judged(clips, [{}] * n, list(map(str, range(n))), [item] * n, [known] * n)


def test_psnr_of_a_known_error_is_that_of_its_definition():
    true = np.full(SHAPE, 100, np.uint8)
    ours = true.copy()
    ours[1] += 5
    ours[2, :8] += 10  # half of the frame: mean square 50
    found = paired.psnr(ours, true, ALL)
    rounding = 10 * np.log10(255**2 * 12)
    assert found == pytest.approx([rounding, 10 * np.log10(255**2 / 25), 10 * np.log10(255**2 / 50), rounding])


def test_pixels_that_do_not_count_change_nothing():
    true = np.full(SHAPE, 100, np.uint8)
    ours = true.copy()
    ours[:, :8] = 255
    judged = ALL.copy()
    judged[:, :8] = False
    judged[0] = False
    for measure, best in ((paired.psnr, 58.9), (paired.ssim, 1.0)):
        found = measure(ours, true, ALL)
        assert len(found) == 4
        assert found.max() < 0.9 * best
    assert paired.psnr(ours, true, judged) == pytest.approx([58.92] * 3, abs=0.01)  # frame 0 has no pixel that counts


def test_ssim_is_that_of_its_formula_far_from_edges():
    rng = np.random.default_rng(0)
    true = rng.integers(0, 256, (1, 40, 40, 1)).astype(np.uint8)
    ours = (true * 0.5 + 30).astype(np.uint8)
    at = np.zeros((1, 40, 40), bool)
    at[0, 20, 20] = True
    offsets = np.arange(-5, 6)
    weights = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))
    weights /= weights.sum()
    x, y = (z[0, 15:26, 15:26, 0].astype(float) for z in (ours, true))
    mx, my = (weights * x).sum(), (weights * y).sum()
    vx, vy = (weights * x * x).sum() - mx**2, (weights * y * y).sum() - my**2
    cov = (weights * x * y).sum() - mx * my
    a, b = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    wanted = (2 * mx * my + a) * (2 * cov + b) / ((mx**2 + my**2 + a) * (vx + vy + b))
    assert paired.ssim(ours, true, at)[0] == pytest.approx(wanted, rel=1e-6)


def test_both_are_best_for_the_truth_and_fall_with_noise():
    y, x = np.mgrid[:16, :16]
    true = np.stack([127 + 100 * np.sin((x + y + t) / 3) for t in range(4)])[..., None].astype(np.uint8)
    shake = np.random.default_rng(0).standard_normal(SHAPE)
    sets = [np.clip(true + s * shake, 0, 255).astype(np.uint8) for s in (0, 2, 10, 50)]
    for measure, best in ((paired.psnr, 58.9), (paired.ssim, 1.0)):
        found = [float(measure(each, true, ALL).mean()) for each in sets]
        assert found[0] == pytest.approx(best, abs=0.05)
        assert found == sorted(found, reverse=True)
        assert found[3] < found[2] - 0.01


def test_what_does_not_fit_is_refused_and_small_frames_have_no_ssim():
    with pytest.raises(ValueError, match="one shape"):
        paired.psnr(noise(0), noise(1)[:3], ALL)
    with pytest.raises(ValueError, match="every pixel was given"):
        paired.psnr(noise(0), noise(1), ~ALL)
    small = noise(0, (2, 5, 5, 3))
    assert np.isnan(paired.ssim(small, small, np.ones((2, 5, 5), bool))).all()


def test_the_best_of_an_ensemble_is_its_best_member_and_the_mean_is_of_all():
    true, known = noise(0), np.zeros(SHAPE[:3], bool)
    known[:2] = True
    near, far = true.copy(), true.copy()
    near[2:] ^= 2  # 2 levels away
    far[2:] ^= 8
    both = given([near, far], true, known)
    one, other = (10 * np.log10(255**2 / e**2) for e in (2, 8))
    assert value("PSNR of the best, dB", both) == pytest.approx(one)
    assert value("PSNR, dB", both) == pytest.approx((one + other) / 2)
    assert value("PSNR of the best, dB", both.take([1])) == pytest.approx(other)
    assert value("SSIM of the best", both) > value("SSIM", both)


def test_a_changed_given_pixel_is_found_and_the_floors_gain_nothing_on_themselves():
    true, known = noise(0), np.zeros(SHAPE[:3], bool)
    known[:2] = True
    held = true.copy()
    held[2:] = true[1]
    copy = given([held], true, known)
    assert value("PSNR over copy-last, dB", copy) == 0
    assert value("change of given pixels", copy) == 0
    better = given([true], true, known)
    assert value("PSNR over copy-last, dB", better) == pytest.approx(58.92 - value("PSNR, dB", copy), abs=0.01)
    moved = held.copy()
    moved[0, 3, 3] ^= 16
    assert value("change of given pixels", given([moved], true, known)) == 16


def test_gains_over_floors_are_of_tasks_that_make_the_end():
    names = {task: [spec.name for spec in given_metrics(task)] for task in ("prediction", "continuation", "inpaint")}
    assert "PSNR over linear motion, dB" in names["prediction"]
    assert names["prediction"] == names["continuation"]
    assert not any("over" in name for name in names["inpaint"])
    assert all(spec.needs_given for spec in given_metrics("inpaint"))


def test_a_sample_of_another_length_is_refused():
    with pytest.raises(ValueError, match="film: the given clip is"):
        value("PSNR, dB", given([noise(0)[:3]], noise(1), ALL))
