"""What a model can be told for each token: a mel spectrum, or a noisy version of the clip; and what is heard of that alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from .clip import Clip
from .frames import channels_apart, channels_together
from .mel import MelScale
from .tokens import Tokens


@dataclass(frozen=True)
class MelGuide:
    """Mel spectra as DiffWave's network reads them, one for each token.

    Args:
        scale: of the spectra, with the hop of the tokens.
    """

    scale: MelScale

    def told(self, samples: np.ndarray) -> np.ndarray:
        """(T, C) -> (N, C M), 0 to 1."""
        hop = self.scale.hop
        x = np.pad(samples, ((0, -len(samples) % hop), (0, 0))).T
        return channels_together(self.scale.told(torch.from_numpy(np.ascontiguousarray(x)))[None])[0].numpy()

    def sound(self, told: np.ndarray, clip: Clip) -> Clip:
        """The clip that Griffin and Lim's iteration makes of it, in the form of another."""
        bands = channels_apart(torch.from_numpy(told)[None], self.scale.bands)
        samples = self.scale.sound(self.scale.untold(bands))[0].T[: len(clip.samples)]
        return replace(clip, samples=np.ascontiguousarray(samples.numpy()))


@dataclass(frozen=True)
class NoisyGuide:
    """The tokens of a noisy clip.

    Args:
        tokens: of the model.
    """

    tokens: Tokens

    def told(self, samples: np.ndarray) -> np.ndarray:
        """(T, C) -> (N, C D), in model space."""
        return self.tokens.encode([samples])[0][0].numpy()

    def sound(self, told: np.ndarray, clip: Clip) -> Clip:
        """The noisy clip."""
        tokens = torch.from_numpy(told)[None]
        samples = self.tokens.decode(tokens, torch.tensor([len(told)]))[0].T[: len(clip.samples)]
        return replace(clip, samples=np.ascontiguousarray(samples.numpy()))
