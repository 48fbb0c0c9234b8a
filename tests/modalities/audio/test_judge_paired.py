"""Distances of a wave from the true one: independent formulas, known values, and noise that moves each the right way."""

import math

import numpy as np
import pytest
import torch
from ornstein.modalities.audio import paired

RATE = 16_000


def speechlike(seconds=1.0, seed=0, channels=1):
    """Noise through resonances whose strength comes and goes: all frequencies, at many levels."""
    from scipy.signal import lfilter

    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE)) / RATE
    white = rng.standard_normal((channels, len(t)))
    x = lfilter([1], [1, -1.2, 0.8], white) * (0.2 + np.sin(2 * np.pi * 2 * t) ** 2)
    return torch.from_numpy(0.1 * x / np.abs(x).std())


def with_noise(x, decibels, seed=1):
    noise = torch.from_numpy(np.random.default_rng(seed).standard_normal(x.shape))
    return x + noise * (x.square().mean() / noise.square().mean()).sqrt() * 10 ** (-decibels / 20)


def magnitudes(x, points, hop, window):
    """The same as a sum over frames, by numpy alone."""
    n = np.arange(window)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * n / window)
    shape = np.zeros(points)
    shape[(points - window) // 2 : (points - window) // 2 + window] = hann * 2 / hann.sum()
    padded = np.concatenate([np.zeros(points // 2), x, np.zeros(points // 2)])
    return np.stack([np.abs(np.fft.rfft(padded[s : s + points] * shape)) for s in range(0, len(x) + 1, hop)])


MEASURES = {
    "MR-STFT": paired.mr_stft,
    "LSD": paired.log_spectral_distance,
    "MCD": lambda x, y: paired.mel_cepstral_distortion(x, y, RATE),
}


@pytest.mark.parametrize("name", MEASURES)
def test_equal_waves_are_0_apart_and_noise_at_40_20_0_decibels_moves_them_apart(name):
    x = speechlike()
    values = [MEASURES[name](each, x) for each in (x, *(with_noise(x, decibels) for decibels in (40, 20, 0)))]
    assert values[0] == 0
    assert values == sorted(values)
    assert values[1] > 0
    assert values[3] > 1.5 * values[1]


def test_mr_stft_is_the_formula_by_numpy():
    x, y = speechlike(0.2), with_noise(speechlike(0.2), 10)
    wanted = []
    for points, hop, window in ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240)):
        s, t = (np.maximum(magnitudes(each[0].numpy(), points, hop, window), 1e-5) for each in (x, y))
        wanted.append(np.sqrt(((s - t) ** 2).sum() / (s**2).sum()) + np.abs(np.log(s) - np.log(t)).mean())
    assert paired.mr_stft(y, x) == pytest.approx(np.mean(wanted), rel=1e-9)
    assert paired.mr_stft(x, y) != pytest.approx(paired.mr_stft(y, x), rel=1e-3)  # the true one is the measure


def test_log_spectral_distance_is_the_formula_by_numpy_and_a_gain_in_decibels():
    x, y = speechlike(0.2), with_noise(speechlike(0.2), 10)
    s, t = (np.maximum(magnitudes(each[0].numpy(), 1024, 256, 1024), 1e-5) for each in (x, y))
    wanted = np.sqrt(((20 * np.log10(t / s)) ** 2).mean(1)).mean()
    assert paired.log_spectral_distance(y, x) == pytest.approx(wanted, rel=1e-9)
    assert paired.log_spectral_distance(2 * x, x) == pytest.approx(20 * math.log10(2), rel=1e-3)


def test_a_sine_of_full_scale_has_magnitude_1():
    t = torch.arange(RATE) / RATE
    found = paired._magnitudes(torch.sin(2 * math.pi * 1000 * t)[None], 1024, 256, 1024)
    assert float(found[0, 64, 30]) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("order", [1, 5, 13])
def test_mel_cepstral_distortion_of_a_ripple_is_its_root_mean_square(order):
    """An envelope cos(d w) along the mel bands, laid over white noise in its own transform."""
    from torchaudio.functional import melscale_fbanks

    amplitude = 2.0  # dB
    banks = melscale_fbanks(513, 0.0, RATE / 2, 40, RATE, "slaney", "slaney").double()
    band = (banks * torch.arange(40)).sum(1) / banks.sum(1).clamp(min=1e-9)  # where a frequency lies among the bands
    ripple = amplitude * torch.cos(math.pi * order * (band + 0.5) / 40)
    impulse = torch.zeros(1, 512, dtype=torch.float64)
    impulse[0, 256] = 1  # in each frame that holds it, a flat spectrum
    shaped = torch.fft.irfft(torch.fft.rfft(impulse, 1024) * 10 ** (ripple / 20), 1024)[:, :512]
    found = paired.mel_cepstral_distortion(shaped, impulse, RATE)
    assert found == pytest.approx(amplitude / math.sqrt(2), rel=0.12)


def test_mel_cepstral_distortion_does_not_hear_a_level_nor_a_ripple_beyond_its_coefficients():
    x = speechlike()
    assert paired.mel_cepstral_distortion(3 * x, x, RATE) == pytest.approx(0, abs=0.02)


def test_si_sdr_is_the_formula_by_numpy_and_that_of_a_library():
    from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

    x, y = speechlike(), with_noise(speechlike(), 10)
    s, e = x[0].numpy(), y[0].numpy()
    a = (s @ e) / (s @ s)
    wanted = 10 * np.log10(((a * s) ** 2).sum() / ((a * s - e) ** 2).sum())
    assert paired.si_sdr(y, x) == pytest.approx(wanted, rel=1e-9)
    assert paired.si_sdr(y, x) == pytest.approx(float(scale_invariant_signal_distortion_ratio(y, x)[0]), rel=1e-6)


def test_si_sdr_of_orthogonal_noise_is_its_level_for_any_scale_and_sign():
    t = torch.arange(1000, dtype=torch.float64)
    s, n = torch.sin(2 * math.pi * 0.05 * t)[None], torch.cos(2 * math.pi * 0.05 * t)[None]
    for decibels in (40, 20, 0, -20):
        noisy = s + 10 ** (-decibels / 20) * n
        for scale in (1.0, 0.1, -7.0):
            assert paired.si_sdr(scale * noisy, s) == pytest.approx(decibels, abs=1e-6)


def test_si_sdr_at_its_ends():
    x = speechlike(0.1)
    assert paired.si_sdr(x, x) == paired.LIMIT
    assert paired.si_sdr(torch.zeros_like(x), x) == -paired.LIMIT  # silence is no good answer
    with pytest.raises(ValueError, match="silent"):
        paired.si_sdr(x, torch.zeros_like(x))


def test_si_sdr_is_the_mean_of_the_channels():
    x = speechlike(0.1, channels=2)
    noisy = torch.stack([with_noise(x[:1], 30)[0], with_noise(x[1:], 10)[0]])
    apart = [paired.si_sdr(noisy[c : c + 1], x[c : c + 1]) for c in range(2)]
    assert paired.si_sdr(noisy, x) == pytest.approx(np.mean(apart))


@pytest.mark.parametrize("measure", [*MEASURES.values(), paired.si_sdr])
def test_pairs_of_other_lengths_are_refused(measure):
    with pytest.raises(ValueError, match="one shape"):
        measure(torch.ones(1, 100), torch.ones(1, 101))
    with pytest.raises(ValueError, match="one shape"):
        measure(torch.ones(100), torch.ones(100))


@pytest.mark.parametrize("name", MEASURES)
def test_one_sample_and_silence_have_distances_too(name):
    assert MEASURES[name](torch.zeros(1, 1), torch.zeros(1, 1)) == 0
    assert math.isfinite(MEASURES[name](speechlike(0.1), torch.zeros(1, 1600)))
