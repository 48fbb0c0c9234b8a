"""What a sampler does with every kind of state: fields, masks, classes, times of their own."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..conformance.rule import Skipped, require
from ..denoiser import Denoiser, as_time
from ..parametrization import X0
from ..posterior import Posterior
from ..processes import Gaussian, Masked
from ..samplers import Autoregressive, FullSequence, Sampler, TableSampler
from ..samplers.run import Progress
from ..schedules import VP, Schedule
from ..state import Conditions, Encoded, Field, Known, Layout, State, expand_time
from .report import Rule, Worst
from .tables import Tried

STEPS, TOKENS = 4, 4


class Joint(Denoiser):
    """Fields x and y of different schedules and classes a: every estimate depends on all fields of all real tokens.

    Where `sure`, the answer is always the same clean state.
    """

    def __init__(self, first: Schedule, names: str = "xya", sure: bool = False) -> None:
        super().__init__()
        x = Field("x", "continuous", 2, Gaussian(first, X0()))
        y = Field("y", "continuous", 1, Gaussian(VP(), X0()))
        a = Field("a", "categorical", 3, Masked())
        self.fields = {f.name: f for f in (x, y, a) if f.name in names}
        self.processes = {name: f.process for name, f in self.fields.items()}
        self.sure = sure

    def blank(self, sizes: list[int], tokens: int = TOKENS) -> Encoded:
        """Sets of so many tokens, padded; the state is all ones, which a sampler must not read."""
        b = len(sizes)
        shapes = {"x": (b, tokens, 2), "y": (b, tokens, 1), "a": (b, tokens)}
        dtypes = {"x": torch.float64, "y": torch.float64, "a": torch.int64}
        state = {name: torch.ones(shapes[name], dtype=dtypes[name]) for name in self.fields}
        positions = torch.arange(tokens, dtype=torch.float32).view(1, -1, 1).expand(b, -1, -1)
        return Encoded(state, replace(Layout.of_sizes(torch.tensor(sizes), tokens), positions=positions))

    def clean(self, name: str, like: Tensor) -> Tensor:
        """The state that it is sure of."""
        token = torch.arange(like.shape[1], device=like.device)
        if name == "a":
            return (token % 3).expand(like.shape)
        return (0.3 + 0.1 * token.to(like.dtype)).view(1, -1, 1).expand(like.shape)

    def forward(
        self,
        state_t: State,
        t: float | Tensor,
        layout: Layout,
        cond: Conditions,
        known: Known | None = None,
        previous: Posterior | None = None,
    ) -> Posterior:
        """The same function of the state at every time."""
        time, real = as_time(t, layout.mask), layout.mask[..., None]
        continuous = {n: x for n, x in state_t.items() if self.fields[n].kind == "continuous"}
        parts = [(torch.where(real, torch.tanh(x), 0.0).sum((1, 2)) / real.sum((1, 2))) for x in continuous.values()]
        mean = torch.stack(parts).sum(0).view(-1, 1, 1)
        views = {}
        for name, x in state_t.items():
            f, like = self.fields[name], next(iter(continuous.values()))
            if f.kind == "categorical":
                answer = torch.linspace(-1, 1, 3, dtype=like.dtype) * (1 + mean)
                output = answer.expand(*x.shape, 3)
                if self.sure:
                    output = 1e6 * torch.nn.functional.one_hot(self.clean(name, x), 3).to(like.dtype)
            else:
                output = self.clean(name, x) if self.sure else torch.where(real, torch.tanh(0.7 * x + 0.4 * mean), 0.0)
            views[name] = self.processes[name].view(f, output, x, expand_time(time, f))
        return Posterior(views)


def certainty_is_reached(tried: Tried) -> str:
    """A denoiser that is sure of the clean state: every field of every token arrives there, classes beside numbers."""
    worst = Worst()
    for names in ("x", "xya"):
        for first in tried.schedules[:2]:
            world = Joint(first, names, sure=True)
            encoded = world.blank([TOKENS, 2])
            found = _run(tried, tried.sampler, world, encoded)
            if found is None:
                continue
            for name, x in found.items():
                error = torch.where(_real(encoded, x), (x - world.clean(name, x)).abs().double(), 0.0)
                worst.see(error, f"field {name} of {', '.join(names)}; {type(first).__name__}")
    return _verdict(tried, worst, _tolerance(tried), "error in the end")


def padding_and_batch_do_not_matter(tried: Tried) -> str:
    """A sample is the same alone, in a batch, and with more padding: its noise is counted by its number."""
    worst = Worst()
    for first in tried.schedules[:2]:
        if worst.seen:
            break
        world = Joint(first)
        whole = _run(tried, tried.sampler, world, world.blank([4, 1, 3]))
        if whole is None:
            continue
        for k, size in ((0, 4), (2, 3)):
            for tokens in (size, 6):
                encoded = world.blank([size], tokens)
                alone = _run(tried, tried.sampler, world, encoded, torch.tensor([k]))
                assert alone is not None
                for name, x in whole.items():
                    worst.see(x[k, :size] - alone[name][0, :size], f"field {name}, {size} tokens of {tokens}")
        again = _run(tried, tried.sampler, world, world.blank([4, 1, 3]))
        assert again is not None
        worst.see(max(float((again[name] - x).abs().max()) for name, x in whole.items()), "the same seed twice")
    return _verdict(tried, worst, 1e-9, "difference")


def tokens_together_are_the_scalar_plan(tried: Tried) -> str:
    """With the token grid that moves all tokens together, the states are those of the plan without one."""
    worst = Worst()
    for first in tried.schedules[:2]:
        world = Joint(first)
        encoded = world.blank([4, 2])
        plain = _run(tried, _tokens(tried, None), world, encoded)
        together = _run(tried, _tokens(tried, FullSequence()), world, encoded)
        if plain is None or together is None:
            continue
        for name, x in plain.items():
            worst.see(x - together[name], f"field {name}, {type(first).__name__}")
    return _verdict(tried, worst, 1e-12, "difference")


def a_resting_token_does_not_move(tried: Tried) -> str:
    """Block after block: before its turn a token keeps its prior noise, after it its clean value."""
    tokens, worst = Autoregressive(block=2), Worst()
    sampler = _tokens(tried, tokens)
    for first in tried.schedules[:2]:
        world, seen = Joint(first), list[dict[str, Tensor]]()
        encoded = world.blank([4, 4])

        def look(progress: Progress, seen: list[dict[str, Tensor]] = seen) -> None:
            seen.append({name: x.clone() for name, x in progress.state.items()})

        if _run(tried, sampler, world, encoded, hooks=[look]) is None:
            continue
        assert isinstance(sampler, TableSampler)
        matrix = tokens.matrix(len(sampler.plan(world.processes).rows), encoded.layout)
        require(len(matrix) == len(seen), f"{len(seen)} frames are run of {len(matrix)}")
        for rows, before, after in zip(matrix[1:], seen, seen[1:], strict=False):
            rest = rows < 0
            for name, x in after.items():
                worst.see((x - before[name])[:, rest].abs().double(), f"field {name}, {type(first).__name__}")
    return _verdict(tried, worst, 0.0, "movement of resting tokens")


def _run(
    tried: Tried,
    sampler: Sampler,
    world: Joint,
    encoded: Encoded,
    index: Tensor | None = None,
    hooks: list | None = None,
) -> State | None:
    """The final state; None where the sampler says that it does not serve this."""
    try:
        small = replace(sampler, steps=STEPS) if hasattr(sampler, "steps") else sampler  # type: ignore[type-var]
        return small.run(world, encoded, seed=0, index=index, hooks=hooks or [])
    except ValueError as error:
        tried.refused[f"{', '.join(world.fields)}: {type(world.processes['x'].schedule).__name__}"] = str(error)  # type: ignore[attr-defined]
        if len(tried.refused) > 200:
            raise
        return None


def _verdict(tried: Tried, worst: Worst, bound: float, what: str) -> str:
    """The figure, or why there is none."""
    if not worst.seen and tried.refused:
        raise Skipped(f"refused: {list(tried.refused.values())[-1]}")
    return worst.at_most(bound, what)


def _tokens(tried: Tried, tokens: Autoregressive | FullSequence | None) -> Sampler:
    if not isinstance(tried.sampler, TableSampler):
        raise Skipped("not a table: all tokens move together")
    return replace(tried.sampler, steps=STEPS, tokens=tokens, path=False)


def _real(encoded: Encoded, x: Tensor) -> Tensor:
    return encoded.mask if x.ndim == 2 else encoded.mask[..., None]


def _tolerance(tried: Tried) -> float:
    """Rounding; what a sampler allows itself where it measures its error, or keeps marginals only nearly by its own word."""
    own = 10 * getattr(tried.sampler, "rtol", 0.0) + 10 * getattr(tried.sampler, "atol", 0.0)
    return own or (1e-9 if getattr(tried.sampler, "keeps_marginals", True) else 1e-5)


RULES: tuple[Rule, ...] = (
    certainty_is_reached,
    padding_and_batch_do_not_matter,
    tokens_together_are_the_scalar_plan,
    a_resting_token_does_not_move,
)
