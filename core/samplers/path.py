"""Noise of one Brownian path: the same for any number of steps."""

from __future__ import annotations

from torch import Tensor

from ..denoiser import Denoiser
from ..state import Encoded


class Path:
    """A Brownian motion in alpha^2 / sigma^2 for each field."""

    def __init__(self, denoiser: Denoiser, encoded: Encoded, seed: int, index: Tensor) -> None:
        self.denoiser, self.encoded, self.seed, self.index = denoiser, encoded, seed, index

    def increment(self, name: str, t: float, s: float) -> Tensor:
        """The increment from t down to s, scaled to unit variance."""
        raise NotImplementedError
