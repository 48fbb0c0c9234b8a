"""Encoders against the formulas they claim: inverses, energies, closed forms, and what of a token follows from known samples."""

import math

import numpy as np
import pytest
import torch
from ornstein.modalities.audio.frames import compressed, expanded
from ornstein.modalities.audio.framing import framed
from ornstein.modalities.audio.known import Band, bits, kept, pasted
from ornstein.modalities.audio.mdct import MDCT
from ornstein.modalities.audio.mel import Mel, MelScale
from ornstein.modalities.audio.phases import spectra
from ornstein.modalities.audio.raw import Raw
from ornstein.modalities.audio.spectrum import Spectrum
from ornstein.modalities.audio.stft import STFT
from ornstein.modalities.audio.tokens import Tokens

HOP = 32
EXACT = [Raw(HOP), MDCT(HOP), MDCT(HOP, 0.5), MDCT(HOP, 0.5, "kbd"), STFT(HOP), STFT(HOP, 0.3)]
ALL = [*EXACT, Spectrum(HOP), Mel(MelScale(8000, HOP, 20))]


def named(frames):
    return "-".join([type(frames).__name__, *(str(v) for k, v in vars(frames).items() if k in ("power", "window"))])


def clips(tokens=9, short=5, channels=2, seed=0):
    """Two clips, the second shorter: (2, C, N h) and the counts."""
    x = torch.from_numpy(np.random.default_rng(seed).normal(0, 0.1, (2, channels, tokens * HOP)).astype(np.float32))
    x[1, :, short * HOP :] = 0
    return x, torch.tensor([tokens, short])


def decibels(error, signal):
    return 20 * math.log10(float(error.norm() / signal.norm()) + 1e-30)


@pytest.mark.parametrize("frames", EXACT, ids=named)
def test_exact_encoders_give_samples_back_within_rounding(frames):
    x, counts = clips()
    assert decibels(frames.join(frames.cut(x, counts), counts) - x, x) < -110


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-6])
@pytest.mark.parametrize("power", [0.3, 0.5, 1.0])
def test_compression_is_undone_at_any_level(power, scale):
    x = torch.linspace(-scale, scale, 101, dtype=torch.float64)
    y = compressed(x, power)
    assert torch.all(y.diff() > 0)
    torch.testing.assert_close(expanded(y, power), x, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("window", ["sine", "kbd"])
def test_mdct_is_its_formula(window):
    x, counts = clips(channels=1)
    n, k = torch.arange(2 * HOP, dtype=torch.float64), torch.arange(HOP, dtype=torch.float64)
    if window == "sine":
        w = torch.sin(torch.pi * (n + 0.5) / (2 * HOP))
    else:
        kaiser = torch.kaiser_window(HOP + 1, periodic=False, beta=4 * torch.pi, dtype=torch.float64)
        rise = (kaiser.cumsum(0)[:HOP] / kaiser.sum()).sqrt()
        w = torch.cat([rise, rise.flip(0)])
    frame = x[0, 0, 3 * HOP - HOP // 2 : 5 * HOP - HOP // 2].double()
    basis = torch.cos(torch.pi / HOP * (n[:, None] + 0.5 + HOP / 2) * (k + 0.5))
    direct = math.sqrt(2 / HOP) * (frame * w) @ basis
    torch.testing.assert_close(MDCT(HOP, window=window).cut(x, counts)[0, 3].double(), direct, rtol=0, atol=1e-6)


def test_mdct_is_orthonormal_on_clips_of_any_length():
    x, counts = clips()
    tokens = MDCT(HOP).cut(x, counts)
    torch.testing.assert_close(tokens.square().sum((1, 2)), x.square().sum((1, 2)), rtol=1e-5, atol=0)
    assert not tokens[1, 5:].any()


def test_a_sine_is_found_at_its_frequency():
    t = torch.arange(40 * HOP, dtype=torch.float32)
    bin_ = 10
    x = torch.sin(torch.pi / HOP * (bin_ + 0.5) * t + 0.3)[None, None]
    power = MDCT(HOP).cut(x, torch.tensor([40])).square()[0, 5:-5].mean(0)
    assert int(power.argmax()) == bin_
    assert power[bin_ - 2 : bin_ + 3].sum() > 0.99 * power.sum()


def test_stft_is_the_spectrum_of_a_frame():
    x, counts = clips(channels=1)
    w = torch.sin(torch.pi * (torch.arange(2 * HOP) + 0.5) / (2 * HOP))
    frame = x[0, 0, 3 * HOP - HOP // 2 : 5 * HOP - HOP // 2]
    spectrum = torch.fft.rfft(frame * w, norm="ortho")
    token = STFT(HOP).cut(x, counts)[0, 3]
    torch.testing.assert_close(token[: HOP + 1], spectrum.real, rtol=0, atol=1e-6)
    torch.testing.assert_close(token[HOP + 1 :], spectrum.imag[1:-1], rtol=0, atol=1e-6)


def test_compression_of_spectra_keeps_phases():
    x, counts = clips(channels=1)
    plain, soft = STFT(HOP).cut(x, counts), STFT(HOP, 0.5).cut(x, counts)
    angles = [torch.atan2(y[..., HOP + 1 :], y[..., 1:HOP])[0] for y in (plain, soft)]
    assert torch.cos(angles[0] - angles[1]).min() > 1 - 1e-5
    assert plain.abs().max() / plain.abs().median() > soft.abs().max() / soft.abs().median()


@pytest.mark.parametrize("frames", ALL, ids=named)
def test_a_clip_is_cut_the_same_alone_and_beside_a_longer_one(frames):
    x, counts = clips()
    torch.testing.assert_close(
        frames.cut(x, counts)[1:, :5], frames.cut(x[1:, :, : 5 * HOP], counts[1:]), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("frames", ALL, ids=named)
def test_tokens_that_are_said_to_be_known_do_not_depend_on_other_samples(frames):
    x, _ = clips()
    known = torch.zeros(2, x.shape[2], dtype=torch.bool)
    known[:, : 5 * HOP + 7] = True
    known[:, 7 * HOP :] = True
    other = torch.where(known[:, None], x, torch.ones_like(x))
    given = frames.given(known).repeat(1, 1, 2)
    same = (frames.cut(x, torch.tensor([9, 9])) - frames.cut(other, torch.tensor([9, 9]))).abs() < 1e-6
    assert bool(same[given].all())
    assert 0 < given.float().mean() < 1
    if not isinstance(frames, Raw):  # and no more is called unknown than has to be
        assert given[0, :, 0].tolist() == [bool(token.all()) for token in same[0]]


def test_mel_of_a_sine_peaks_in_its_band_and_comes_back_as_sound():
    scale = MelScale(8000, HOP, 20)
    t = torch.arange(60 * HOP) / 8000
    x = (0.5 * torch.sin(2 * torch.pi * 1000 * t))[None, None]
    frames, counts = Mel(scale), torch.tensor([60])
    bands = frames.cut(x, counts)
    centres = (scale.filters * torch.linspace(0, 4000, 2 * HOP + 1)[:, None]).sum(0) / scale.filters.sum(0)
    assert int(bands[0, 30].argmax()) == int((centres - 1000).abs().argmin())
    again = frames.cut(frames.join(bands, counts), counts)
    loud = bands[0, 5:-5] > bands.max() - 3
    assert float((again - bands)[0, 5:-5][loud].abs().mean()) < 0.3  # e-folds: 2.6 dB


def test_spectrum_is_levels_of_all_frequencies_and_comes_back_with_phases_that_fit():
    t = torch.arange(60 * HOP) / 8000
    x = torch.stack([0.5 * torch.sin(2 * torch.pi * f * t + f) for f in (1000.0, 2250.0)])[None]
    frames, counts = Spectrum(HOP), torch.tensor([60])
    levels = frames.cut(x, counts).unflatten(-1, (2, -1))
    assert levels[0, 30].argmax(-1).tolist() == [16, 36]  # of 4,000 Hz / 64
    peak = levels[0, 30].amax(-1).exp()
    torch.testing.assert_close(peak, torch.full((2,), 0.5 * HOP), rtol=1e-3, atol=0)  # a full-scale sine has h
    again = frames.join(frames.cut(x, counts), counts)
    assert float(frames.cut(again, counts).unflatten(-1, (2, -1))[0, 5:-5].sub(levels[0, 5:-5]).abs().median()) < 0.2
    assert float(again.square().mean() / x.square().mean()) == pytest.approx(1, abs=0.05)
    quiet = frames.cut(torch.zeros(1, 1, 4 * HOP), torch.tensor([4]))
    assert not frames.join(quiet, torch.tensor([4])).any()


def test_mel_as_diffwave_reads_it():
    scale = MelScale(22050, 256, 80)
    assert (scale.window, scale.hop, scale.filters.shape) == (1024, 256, (513, 80))
    x = torch.randn(8 * 256, generator=torch.Generator().manual_seed(0)) * 0.1
    mel = spectra(x, scale.hop).abs() @ scale.filters
    wanted = ((20 * mel.clamp(min=1e-5).log10() - 20 + 100) / 100).clamp(0, 1)
    torch.testing.assert_close(scale.told(x), wanted, rtol=0, atol=1e-5)
    torch.testing.assert_close(scale.untold(scale.told(x)), scale.log_mel(x), rtol=0, atol=1e-3)


def test_bands_have_unit_spread_after_fit_and_mel_zero_mean():
    rng = np.random.default_rng(0)
    quiet = [np.cumsum(rng.normal(0, 0.01, (9 * HOP + 3 * i, 1)), 0).astype(np.float32) for i in range(6)]
    for frames in (MDCT(HOP, 0.5), Spectrum(HOP), Mel(MelScale(8000, HOP, 20))):
        tokens = Tokens(frames).fitted(quiet)
        y, counts = tokens.encode(quiet)
        real = y[torch.arange(y.shape[1]) < counts[:, None]]
        assert float(real.std()) == pytest.approx(1, abs=0.35)
        if frames.levels:
            assert float(real.mean()) == pytest.approx(0, abs=1e-3)
            assert not y[0, counts[0] :].any()


def test_silence_alone_has_no_scale():
    with pytest.raises(ValueError, match="silent"):
        Tokens(MDCT(HOP)).fitted([np.zeros((100, 1), np.float32)])


def test_a_band_comes_back_as_its_coefficients():
    rng = np.random.default_rng(1)
    sample, clip = rng.normal(0, 0.1, (2, 8 * HOP, 1)).astype(np.float32)
    frames, band = MDCT(HOP, 0.5), Band(0.5)
    out = torch.from_numpy(pasted(sample, clip, band, frames, 0).T)[None]
    counts = torch.tensor([8])
    given = bits([band], [8 * HOP], frames, 1, 0)
    assert given[0, :, : HOP // 2 - 2].all()
    assert not given[0, :, HOP // 2 - 2 :].any()
    linear = MDCT(HOP)
    a, b, c = (linear.cut(x, counts) for x in (out, *(torch.from_numpy(y.T)[None] for y in (clip, sample))))
    torch.testing.assert_close(a[given], b[given], rtol=0, atol=1e-6)
    torch.testing.assert_close(a[~given], c[~given], rtol=0, atol=1e-6)


def test_given_samples_are_exact_outside_the_fade():
    given = np.arange(100) < 60
    weight = kept(given, 9)
    assert (weight[:51] == 1).all()
    assert (np.diff(weight[50:61]) < 0).all()
    assert not weight[60:].any()
    out = pasted(np.full((100, 1), 0.5, np.float32), np.full((100, 1), 0.1, np.float32), given, Raw(10), 9)
    assert (out[:51] == np.float32(0.1)).all()
    assert (out[60:] == np.float32(0.5)).all()
    assert np.abs(np.diff(out[:, 0])).max() < 0.05  # no step


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"encoder": "mp3"}, "choose from raw, mdct, stft, spectrum, mel"),
        ({"encoder": "mdct", "frame": 33}, "must be even"),
        ({"encoder": "stft", "power": 0.0}, "modality.power"),
        ({"encoder": "spectrum", "frame": 33}, "must be even"),
        ({"encoder": "raw", "window": "kbd"}, "is for modality.encoder=mdct"),
        ({"encoder": "spectrum", "power": 0.3}, "is for modality.encoder=mdct or stft, not spectrum"),
        ({"encoder": "raw", "frame": 0}, "at least 1 sample"),
        ({"encoder": "mel", "bands": 400}, "modality.bands"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        framed(**({"rate": 8000, "frame": HOP, "power": 0.5, "window": "sine", "bands": 20} | options))
