"""Classifier-free guidance, and guidance by a weaker model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..conditioning.spec import ConditionSpec
from ..conditioning.values import conditions
from ..denoiser import Denoiser
from ..posterior import Posterior, View
from ..state import Condition, Conditions, Known, Layout, State
from .guidance import Guidance


class CFG(Guidance):
    """D = D(uncond) + scale (D(cond) - D(uncond)), both in one batched call.

    By a weaker model W (autoguidance) D = W(cond) + scale (D(cond) - W(cond)), where nothing needs to be asked for.

    For continuous fields every linear view (x_0, eps, v, ...) gives the same result, so it acts on the raw output; for
    categorical fields on normalised log-probabilities of x_0. Scale 1 is the conditional model, and costs no second half.

    Args:
        denoiser: trained with dropout of its conditions.
        scale: 0 unconditional, 1 conditional, above 1 guided.
        interval: (low, high) in t; outside, the scale is 1 (Kynkaanniemi et al. 2024, arXiv:2404.07724).
        negative: raw values that take the place of "no value" in the other half; by condition's name.
        weak: W, a model of the same kind that does worse, being smaller, or from earlier in the same training. What D does
            better than W it then does more.

    Raises:
        ValueError: an interval outside [0, 1], nothing to guide by, negative values beside `weak`, a `weak` of other fields,
            noise or conditions.

    Source: Ho and Salimans 2022, arXiv:2207.12598, equation 6 (their w is scale - 1); weaker models: Karras et al. 2024,
    arXiv:2406.02507, equation 3.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        scale: float = 1.0,
        interval: tuple[float, float] = (0.0, 1.0),
        negative: Mapping[str, Any] | None = None,
        weak: Denoiser | None = None,
    ) -> None:
        super().__init__(denoiser)
        low, high = interval
        if not 0 <= low < high <= 1:
            raise ValueError(f"CFG: the interval needs 0 <= low < high <= 1, found {interval}")
        if not denoiser.conditions and weak is None and scale != 1:
            raise ValueError(
                "CFG: the model has no conditions, so there is nothing to guide by, unless a weak model is given"
            )
        if negative and weak is not None:
            raise ValueError("CFG: a weak model is told the same conditions; leave out negative, or weak")
        for what in ("fields", "processes", "conditions") if weak is not None else ():
            if getattr(weak, what) != getattr(denoiser, what):
                raise ValueError(
                    f"CFG: the weak model has other {what} than the one that it guides; take one of the same recipe"
                )
        self.scale, self.interval, self.negative = float(scale), (low, high), dict(negative or {})
        self._other = conditions(denoiser.conditions, self.negative, 1)  # one row; refuses bad names and values now
        self.weak = weak

    def forward(
        self,
        state_t: State,
        t: float | Tensor,
        layout: Layout,
        cond: Conditions,
        known: Known | None = None,
        previous: Posterior | None = None,
    ) -> Posterior:
        """The guided posterior. Where both halves would be the same, one is computed: at scale 1, with nothing asked for of one
        model, and, with a number for t, outside the interval.

        Raises:
            ValueError: a condition that the model was not trained with.
        """
        low, high = self.interval
        unknown = set(cond) - {spec.name for spec in self.conditions}
        if unknown:
            raise ValueError(
                f"unknown condition {', '.join(sorted(unknown))}; the model takes {_names(self.conditions)}"
            )
        outside = not isinstance(t, Tensor) and not low <= t <= high
        if self.scale == 1 or outside or not (cond or self._other or self.weak):
            return self.denoiser(state_t, t, layout, cond, known, previous)
        if self.weak is not None:
            strong = self.denoiser(state_t, t, layout, cond, known, previous)
            return strong.mix(self.weak(state_t, t, layout, cond, known, previous), self._weight(t))
        batch = layout.mask.shape[0]
        both = self.denoiser(
            _twice(state_t),
            torch.cat([t, t]) if isinstance(t, Tensor) else t,
            _twice_layout(layout),
            self._both(cond, batch, layout.mask.device),
            None if known is None else Known(_twice(known.bits), _twice(known.values)),
            None
            if previous is None
            else Posterior({k: _Carried(torch.cat([v.carried] * 2)) for k, v in previous.items()}),
        )
        return both.rows(0, batch).mix(both.rows(batch, 2 * batch), self._weight(t))

    def _weight(self, t: float | Tensor) -> float | Tensor:
        if not isinstance(t, Tensor) or self.interval == (0.0, 1.0):
            return self.scale
        if t.ndim == 2:
            raise ValueError("CFG: an interval needs one time per sample; found times per token")
        low, high = self.interval
        return 1 + (self.scale - 1) * ((t >= low) & (t <= high)).to(t.dtype)

    def _both(self, cond: Conditions, batch: int, device: torch.device) -> Conditions:
        """The given conditions, then the negative ones, or none."""
        self._other = {name: c.to(device) for name, c in self._other.items()}  # moves once
        other = {name: c.expand(batch) for name, c in self._other.items()}
        names = [spec.name for spec in self.conditions if spec.name in cond or spec.name in other]
        return {name: _join(name, cond.get(name), other.get(name)) for name in names}


def _join(name: str, given: Condition | None, negative: Condition | None) -> Condition:
    """The batch of both halves; where one half has no value, its tensor is the other's and nothing of it is present."""
    c = _absent(negative) if given is None else given
    other = _absent(given) if negative is None else negative
    if c.mask is not None and other.mask is not None:
        length = max(c.value.shape[1], other.value.shape[1])
        c, other = _padded(c, length), _padded(other, length)
    if other.value.shape != c.value.shape:
        raise ValueError(
            f"condition {name!r}: the negative value has shape {tuple(other.value.shape)}, the given one {tuple(c.value.shape)}"
        )
    mask = None if c.mask is None else torch.cat([c.mask, c.mask if other.mask is None else other.mask])
    return Condition(torch.cat([c.value, other.value.to(c.value.dtype)]), torch.cat([c.present, other.present]), mask)


def _padded(c: Condition, length: int) -> Condition:
    """Condition tokens (B, L, D) padded to L = length."""
    missing = length - c.value.shape[1]
    assert c.mask is not None
    return Condition(F.pad(c.value, (0, 0, 0, missing)), c.present, F.pad(c.mask, (0, missing)))


def _absent(c: Condition | None) -> Condition:
    assert c is not None
    return c.dropped(torch.ones_like(c.present))


def _names(specs: Sequence[ConditionSpec]) -> str:
    return ", ".join(spec.name for spec in specs) or "none"


def _twice(state: State) -> State:
    return {name: torch.cat([x, x]) for name, x in state.items()}


def _twice_layout(layout: Layout) -> Layout:
    positions = None if layout.positions is None else torch.cat([layout.positions] * 2)
    return Layout(torch.cat([layout.mask] * 2), positions, layout.grid, layout.periodic)


class _Carried(View):
    """A previous posterior for both halves, of which only what self-conditioning shows is kept."""

    def __init__(self, carried: Tensor) -> None:
        self._carried = carried

    @property
    def x0(self) -> Tensor:
        return self._carried

    @property
    def carried(self) -> Tensor:
        return self._carried

    def rows(self, start: int, stop: int) -> View:
        return _Carried(self._carried[start:stop])

    def mix(self, other: View, weight: float | Tensor) -> View:
        raise ValueError("a carried estimate is not mixed")
