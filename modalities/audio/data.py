"""Tones that need no download: every pitch in every timbre under every envelope, each with its words."""

from __future__ import annotations

import io
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import BinaryIO

import numpy as np
from ornstein.core import rng
from ornstein.core.sources import File, Row, Source
from ornstein.core.sources.store import Store

from .libraries import soundfile

RATE, SECONDS = 16_000, 0.5
PITCHES = tuple(range(48, 72))  # MIDI numbers: C3, 130.8 Hz, to B4, 493.9 Hz
# Amplitudes of the harmonics 1, 2, ..., 10; the highest stands at 4.9 kHz.
TIMBRES = {
    "sine": (1.0,),
    "square": (1, 0, 1 / 3, 0, 1 / 5, 0, 1 / 7, 0, 1 / 9),
    "saw": tuple(1 / k for k in range(1, 11)),
    "organ": (1, 1, 0, 1, 0, 0, 0, 1),
}
ENVELOPES = ("held", "plucked", "swelled")
VARIANTS = 10
_CENTS = 5.0  # a tone is at most so far out of tune


def hertz(pitch: float) -> float:
    """Frequency of a MIDI number in equal temperament: 69 is A4, 440 Hz."""
    return 440.0 * 2.0 ** ((pitch - 69) / 12)


class Tones(Source):
    """2,880 tones of half a second at 16 kHz: 24 pitches x 4 timbres x 3 envelopes, 10 variants of each.

        x(t) = a e(t) sum_k A_k sin(2 pi k f t + phi_k) / max_t |sum_k ...|,  f = 440 2^((pitch + cents / 100 - 69) / 12)

    A variant draws cents ~ U(-5, 5), loudness a ~ U(0.3, 0.9) and phases phi_k ~ U(0, 2 pi). Each row has the classes `pitch`
    (a MIDI number, as a word), `timbre` and `envelope`.
    """

    def rows(self) -> list[Row]:
        """A file for each tone, `60-saw-held-3.wav`."""
        store = _Instrument()
        return [Row(File(name, store), _told(name)) for name in store.names()]

    def about(self) -> str:
        """One line for a person."""
        kinds = f"{len(PITCHES)} pitches, {len(TIMBRES)} timbres, {len(ENVELOPES)} envelopes"
        return f"{len(_Instrument().names()):,} generated tones of {SECONDS} s, {kinds}"


@dataclass(frozen=True)
class _Instrument(Store):
    """Plays a tone when its file is opened; the name alone says which."""

    path: Path = Path("tones")

    def names(self) -> list[str]:
        """Every tone."""
        kinds = product(PITCHES, TIMBRES, ENVELOPES, range(VARIANTS))
        return sorted("-".join(map(str, kind)) + ".wav" for kind in kinds)

    def open(self, name: str) -> BinaryIO:
        """The tone as a WAV file of 16 bits."""
        content = io.BytesIO()
        soundfile().write(content, _tone(name), RATE, format="WAV", subtype="PCM_16")
        content.seek(0)
        return content


def _told(name: str) -> dict[str, str]:
    pitch, timbre, envelope, _ = name.removesuffix(".wav").split("-")
    return {"pitch": pitch, "timbre": timbre, "envelope": envelope}


def _tone(name: str) -> np.ndarray:
    told, draw = _told(name), rng.generator(0, "tones", name)
    t = np.arange(round(RATE * SECONDS)) / RATE
    f = hertz(int(told["pitch"]) + draw.uniform(-_CENTS, _CENTS) / 100)
    loudness = draw.uniform(0.3, 0.9)
    amplitudes = np.array([0, *TIMBRES[told["timbre"]]])
    phases = np.exp(2j * np.pi * draw.random(len(amplitudes)))
    x = np.polynomial.polynomial.polyval(np.exp(2j * np.pi * f * t), amplitudes * phases).imag
    return loudness * _envelope(told["envelope"], t) * x / np.abs(x).max()


def _envelope(name: str, t: np.ndarray) -> np.ndarray:
    """Between 0 and 1; it begins and ends at silence, so that nothing clicks."""
    rise, fall = {"held": (0.02, 0.05), "plucked": (0.005, 0.02), "swelled": (0.35, 0.1)}[name]
    body = np.exp(-t / 0.12) if name == "plucked" else 1.0
    return body * np.clip(t / rise, 0, 1) * np.clip((SECONDS - t) / fall, 0, 1)
