"""Power over radial frequencies."""

import numpy as np
import pytest
from ornstein.core.evaluation.spec import Context, Judged
from ornstein.modalities.image.spectrum import spectra, spectrum_metric


def judged(images):
    return Judged(images, [{} for _ in images], [str(i) for i in range(len(images))])


def distance(ours, theirs):
    return spectrum_metric().compute(judged(ours), judged(theirs), Context(judged(theirs), None, 0))


def noise(n, deviation, seed=0, shape=(32, 32, 3)):
    """Grey noise in equal channels."""
    levels = 128 + deviation * np.random.default_rng(seed).standard_normal((n, *shape[:2], 1))
    return list(np.broadcast_to(levels.round().clip(0, 255), (n, *shape)).astype(np.uint8))


def test_white_noise_has_its_variance_at_every_frequency():
    mean = spectra(noise(200, 20), 16).mean(0)
    assert mean.shape == (16,)
    assert mean[1:].tolist() == pytest.approx([400] * 15, rel=0.1)


def test_a_wave_stands_in_the_ring_of_its_frequency_whatever_its_direction():
    rows, columns = np.mgrid[:32, :32]
    for down, right in ((8, 0), (0, 8), (5, 6)):
        wave = 128 + 50 * np.sin(2 * np.pi * (down * rows + right * columns) / 32)
        power = spectra([wave.round().astype(np.uint8)[..., None]], 16)[0]
        assert int(power.argmax()) + 1 == pytest.approx(np.hypot(down, right), abs=0.6)


def test_noise_of_twice_the_deviation_is_six_decibels_away():
    assert distance(noise(300, 20, 1), noise(300, 10, 2)) == pytest.approx(20 * np.log10(2), abs=0.2)
    assert distance(noise(300, 20, 1), noise(300, 20, 2)) < 0.2


def test_sizes_may_differ_and_one_pixel_has_no_frequency():
    assert distance(noise(100, 20, 1, (24, 40, 1)), noise(100, 20, 2, (48, 32, 1))) < 0.4
    assert np.isnan(distance([np.zeros((1, 1, 3), np.uint8)], [np.ones((1, 1, 3), np.uint8)]))
