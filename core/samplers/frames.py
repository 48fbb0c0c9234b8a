"""What the executor does next: one frame for each row where all tokens move together, else for each row of the token matrix."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..denoiser import Denoiser
from ..objective import draw_noise
from ..state import Encoded, Field, State
from .path import Path
from .plan import Coefficients, Plan


class Numbers(NamedTuple):
    """The coefficients of one field in one frame: numbers, or tensors that broadcast with the field."""

    a: float | Tensor
    b: tuple[float | Tensor, ...]
    c: tuple[float | Tensor, ...]
    remember: tuple[float | Tensor, float | Tensor]


class Frame(NamedTuple):
    """One round of the executor. The mappings go by field; True stands for all entries, a tensor tells them apart.

    Attributes:
        time: for the denoiser: a number, or (B, N).
        fields: coefficients of the continuous fields.
        places: times to broadcast with each field.
        moving, remembers, ends, begins: which entries get a new state, a new estimate, a new base, the noise of a new step.
        moves, denoise, fresh: whether any entry does the first, the second, the last of these.
        spans: the interval of time of each noise of the step.
    """

    time: float | Tensor
    fields: Mapping[str, Numbers | Coefficients]
    places: Mapping[str, float | Tensor]
    moving: Mapping[str, bool | Tensor]
    remembers: Mapping[str, bool | Tensor]
    ends: Mapping[str, bool | Tensor]
    begins: Mapping[str, bool | Tensor]
    moves: bool
    denoise: bool
    fresh: bool
    spans: tuple[tuple[float, float], ...] = ()


class Frames:
    """The frames of a plan whose tokens move together: one a row."""

    def __init__(self, plan: Plan, names: tuple[str, ...]) -> None:
        self.plan, self.names = plan, names

    def __len__(self) -> int:
        return len(self.plan.rows)

    def __iter__(self) -> Iterator[Frame]:
        every, none = dict.fromkeys(self.names, True), dict.fromkeys(self.names, False)
        ended, spans = False, self.plan.spans
        for i, row in enumerate(self.plan.rows):
            time, end = row.stage.time, every if row.stage.end else none
            places = dict.fromkeys(self.names, time)
            moves, denoise = i > 0, row.stage.denoise
            yield Frame(time, row.fields, places, every, every, end, every, moves, denoise, ended, spans[i])
            ended = row.stage.end


class TokenFrames:
    """The frames of a plan whose tokens are at rows of their own.

    A pair is at the row of the token that is further behind.
    """

    def __init__(self, plan: Plan, denoiser: Denoiser, encoded: Encoded) -> None:
        assert plan.tokens is not None
        _check(plan, denoiser)
        self.plan, self.fields, self.encoded = plan, denoiser.fields, encoded
        self.matrix = plan.tokens.matrix(len(plan.rows), encoded.layout)
        self.device = encoded.mask.device
        self.times = torch.tensor([row.stage.time for row in plan.rows], dtype=torch.float64, device=self.device)
        self.tables = {name: self._table(name) for name in plan.rows[0].fields}
        stages = [row.stage for row in plan.rows]
        self.denoises = torch.tensor([stage.denoise for stage in stages], device=self.device)
        self.stage_ends = torch.tensor([stage.end for stage in stages], device=self.device)
        self.starts = torch.tensor([False, *(stage.end for stage in stages[:-1])], device=self.device)

    def __len__(self) -> int:
        return len(self.matrix)

    def __iter__(self) -> Iterator[Frame]:
        stages = [row.stage for row in self.plan.rows]
        last = torch.full((self.matrix.shape[1],), -1, device=self.device)
        # the whole matrix goes to the device once; what the host must know of a frame it reads from its own copy
        for rows, on_host in zip(self.matrix.to(self.device), self.matrix.tolist(), strict=True):
            visited = {row for row in on_host if row >= 0}
            now = torch.where(rows >= 0, rows, last)
            at = {name: self._rows(f, last, now) for name, f in self.fields.items()}
            pick = {name: (r.clamp(min=0), r >= 0) for name, r in at.items()}
            moving = {name: self._to(f, at[name] > 0) for name, f in self.fields.items()}
            remembers, ends, begins = (
                {name: self._to(self.fields[name], table[r] & visits) for name, (r, visits) in pick.items()}
                for table in (self.denoises, self.stage_ends, self.starts)
            )
            yield Frame(
                self.times[now.clamp(min=0)].expand(self.encoded.batch, -1),
                {name: self._numbers(name, pick[name][0]) for name in self.tables},
                {name: self.times[self._to(f, self._current(f, now))] for name, f in self.fields.items()},
                moving,
                remembers,
                ends,
                begins,
                moves=any(row > 0 for row in visited),
                denoise=any(stages[row].denoise for row in visited),
                fresh=any(row > 0 and stages[row - 1].end for row in visited),
            )
            last = now

    def _rows(self, f: Field, last: Tensor, now: Tensor) -> Tensor:
        """The row that each token or pair visits in this frame, -1 where it rests."""
        before, after = self._current(f, last, -1), self._current(f, now, -1)
        return torch.where(after != before, after, -1)

    def _current(self, f: Field, rows: Tensor, least: int = 0) -> Tensor:
        """The row that each token or pair is at."""
        rows = rows.clamp(min=least)
        return torch.minimum(rows[:, None], rows) if f.axes == "pair" else rows

    def _to(self, f: Field, x: Tensor) -> Tensor:
        """Of tokens (N,) or pairs (N, N) to what broadcasts with the field."""
        return x[None, ..., None] if f.kind == "continuous" else x[None]

    def _table(self, name: str) -> Tensor:
        """(rows, 3 + memory + noises): a, p, q, b, c."""
        rows = [row.fields[name] for row in self.plan.rows]
        memory, noises = self.plan.memory, self.plan.noises(name)
        lines = [
            [k.a, *k.remember, *k.b, *[0.0] * (memory - len(k.b)), *k.c, *[0.0] * (noises - len(k.c))] for k in rows
        ]
        return torch.tensor(lines, dtype=torch.float64).to(self.device, self.encoded.state[name].dtype)

    def _numbers(self, name: str, rows: Tensor) -> Numbers:
        """The coefficients at each token's or pair's row."""
        a, p, q, *rest = self.tables[name][rows][None, ..., None, :].unbind(-1)
        memory = self.plan.memory
        return Numbers(a, tuple(rest[:memory]), tuple(rest[memory:]), (p, q))


def frames_of(plan: Plan, denoiser: Denoiser, encoded: Encoded) -> Frames | TokenFrames:
    """The frames of a plan for a batch."""
    return Frames(plan, tuple(denoiser.fields)) if plan.tokens is None else TokenFrames(plan, denoiser, encoded)


def _check(plan: Plan, denoiser: Denoiser) -> None:
    """Refuse what times per token cannot serve."""
    if not denoiser.per_token_time:
        raise ValueError(f"tokens={plan.tokens}: this denoiser has one time for all tokens, not one for each")
    times = [row.stage.time for row in plan.rows]
    rising = any(after > before for before, after in pairwise(times))
    if rising and any(f.axes == "pair" for f in denoiser.fields.values()):
        raise ValueError(f"tokens={plan.tokens}: {plan.name} goes back in time, where a pair has no row of its own")


def choose(which: bool | Tensor, new: Any, old: Any) -> Any:
    """`new` where `which`, else `old`; without looking where all or none is asked for."""
    if which is True:
        return new
    if which is False:
        return old
    return torch.where(which, new, old)


class Noise:
    """The noise of the step that each token is in: counted by the number of the step, j, and the field."""

    def __init__(self, plan: Plan, denoiser: Denoiser, encoded: Encoded, seed: int, index: Tensor) -> None:
        self._plan, self._denoiser, self._encoded, self._seed, self._index = plan, denoiser, encoded, seed, index
        self._counts = {name: plan.noises(name) for name in denoiser.fields}
        self._path = Path(denoiser, encoded, seed, index) if plan.path else None
        self._step, self._spans = 0, tuple[tuple[float, float], ...]()
        self._drawn: dict[tuple[str, int], Tensor] = {}

    def begin(self, frame: Frame) -> None:
        """Forget the noise of the steps that are over."""
        self._spans = frame.spans
        if not frame.fresh:
            return
        self._step += 1
        if self._plan.tokens is None:
            self._drawn.clear()  # drawn when asked for
            return
        for name, count in self._counts.items():
            for j in range(count):
                new = self._draw(name, j)
                old = self._drawn.get((name, j), new)
                begun = frame.begins[name]
                if isinstance(begun, Tensor):
                    begun = begun.view(*begun.shape, *(1,) * (new.ndim - begun.ndim))
                self._drawn[name, j] = choose(begun, new, old)

    def of(self, name: str, j: int) -> Tensor:
        """Noise j of the step."""
        if (name, j) not in self._drawn:
            self._drawn[name, j] = self._draw(name, j)
        return self._drawn[name, j]

    def _draw(self, name: str, j: int) -> Tensor:
        if self._path is not None and self._denoiser.fields[name].kind == "continuous":
            return self._path.increment(name, *self._spans[j])
        words = ("step", self._step, j)
        drawn: State = draw_noise(self._denoiser, self._encoded, self._seed, self._index, *words, only=[name])
        return drawn[name]
