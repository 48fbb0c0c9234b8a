"""The generated tones have the pitch, the timbre and the envelope that their rows say."""

from collections import Counter
from itertools import product

import numpy as np
import pytest

pytest.importorskip("soundfile")
from ornstein.modalities.audio.data import ENVELOPES, PITCHES, RATE, TIMBRES, VARIANTS, Tones, hertz
from ornstein.modalities.audio.reading import Reading


def read(row):
    return Reading(RATE, conditions=("pitch", "timbre", "envelope")).read(row.file, row.values)


def spectrum(x):
    """Magnitudes at 1/8 Hz of the middle of a tone."""
    middle = x[len(x) // 5 : -len(x) // 5]
    return np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 8 * RATE))


def test_every_combination_has_as_many_variants():
    rows = Tones().rows()
    seen = Counter((r.values["pitch"], r.values["timbre"], r.values["envelope"]) for r in rows)
    assert set(seen) == set(product(map(str, PITCHES), TIMBRES, ENVELOPES))
    assert set(seen.values()) == {VARIANTS}
    assert len({row.file.name for row in rows}) == len(rows) == 2880
    assert "2,880" in Tones().about()


def test_midi_numbers_have_their_frequencies():
    assert (hertz(69), hertz(57), hertz(60)) == (440, 220, pytest.approx(261.6256, abs=1e-4))


def test_tones_have_the_harmonics_of_their_timbre_on_their_pitch():
    for row in Tones().rows()[::37]:
        item = read(row)
        x, wanted = item.data.samples[:, 0], TIMBRES[item.cond["timbre"]]
        assert item.data.samples.shape == (8000, 1)
        power = spectrum(x)
        f = hertz(int(item.cond["pitch"]))
        around = slice(round(8 * f * 0.94), round(8 * f * 1.06))
        found = (around.start + power[around].argmax()) / 8
        assert abs(1200 * np.log2(found / f)) < 7  # cents: 5 of the tone, and a little of the estimate
        heights = np.array([power[round(8 * k * found) - 40 : round(8 * k * found) + 40].max() for k in range(1, 11)])
        expected = np.array([*wanted, *[0.0] * (10 - len(wanted))])
        np.testing.assert_allclose(heights / heights[0], expected, atol=0.06)


def test_tones_have_the_envelope_they_are_named_for():
    for row in Tones().rows()[3::61]:
        x = np.abs(read(row).data.samples[:, 0])
        loud = [x[i : i + 800].max() / x.max() for i in range(0, 8000, 800)]
        assert max(x[0], x[-1]) < 2e-3  # nothing clicks
        assert 0.2 < x.max() <= 0.9
        rising, falling = (np.diff(loud[:7]) > 0.05).all(), (np.diff(loud[1:]) < 0).all()
        assert {"held": not (rising or falling), "plucked": falling, "swelled": rising}[row.values["envelope"]]


def test_variants_differ_and_are_the_same_on_every_day():
    rows = [row for row in Tones().rows() if row.file.name.startswith("60-saw-held")]
    tones = [row.file.read() for row in rows]
    assert len(set(tones)) == VARIANTS
    assert [row.file.read() for row in reversed(rows)] == tones[::-1]
    assert Tones().rows() == Tones().rows()
