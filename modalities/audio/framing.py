"""Which frames a recipe's options mean."""

from __future__ import annotations

from typing import Literal, get_args

from .frames import Frames, check_power
from .mdct import MDCT, Window
from .mel import Mel, MelScale
from .raw import Raw
from .spectrum import Spectrum
from .stft import STFT

Encoder = Literal["raw", "mdct", "stft", "spectrum", "mel"]


def framed(encoder: Encoder, rate: int, frame: int, power: float, window: Window, bands: int) -> Frames:
    """The frames of an encoder; power and window must be left at their defaults where it has none. `bands` serve guides too.

    Raises:
        ValueError: another encoder, or options that do not fit it.
    """
    if encoder not in get_args(Encoder):
        raise ValueError(f"modality.encoder={encoder!r}; choose from {', '.join(get_args(Encoder))}")
    if window != "sine" and encoder != "mdct":
        raise ValueError(f"modality.window={window} is for modality.encoder=mdct, not {encoder}")
    if power != 0.5 and encoder not in ("mdct", "stft"):
        raise ValueError(f"modality.power={power} is for modality.encoder=mdct or stft, not {encoder}")
    check_power(power)
    if encoder == "raw":
        return Raw(frame)
    if encoder == "mdct":
        return MDCT(frame, power, window)
    if encoder == "stft":
        return STFT(frame, power)
    if encoder == "spectrum":
        return Spectrum(frame)
    return Mel(MelScale(rate, frame, bands))
