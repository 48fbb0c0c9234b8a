"""T8: what guidance keeps."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..conditioning.spec import ConditionSpec
from ..conformance.rule import Skipped, require
from ..denoiser import Denoiser, as_time
from ..parametrization import EDM, X0, Eps, Parametrization, V
from ..posterior import Categorical, Continuous, Posterior
from ..processes import Gaussian, Masked
from ..schedules import VP
from ..state import Condition, Conditions, Encoded, Field, Known, Layout, State, expand_time
from .report import Rule, Worst

B, N, W = 4, 3, 2.5
TIMES = (0.2, 0.5, 0.8)
Factory = Callable[..., Denoiser]


class Told(Denoiser):
    """x | label ~ N(mean_label, 0.4^2), x ~ N(0, 1) where there is no label, both exact; and classes that follow the label.

    Each answers with the raw output of the given parametrisation. Padded entries are treated as real ones are.
    """

    conditions = (ConditionSpec("label", "class", 2),)
    means = (-1.0, 2.0)

    def __init__(self, parametrization: Parametrization | None = None, names: str = "xa") -> None:
        super().__init__()
        x = Field("x", "continuous", 2, Gaussian(VP(), parametrization or V()))
        a = Field("a", "categorical", 3, Masked())
        self.fields = {f.name: f for f in (x, a) if f.name in names}
        self.processes = {name: f.process for name, f in self.fields.items()}

    def moments(self, cond: Conditions, like: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of x_0, (B, 1, 1)."""
        if "label" not in cond:
            return like.new_zeros(len(like), 1, 1), like.new_ones(len(like), 1, 1)
        c = cond["label"]
        on, means = c.present.view(-1, 1, 1), torch.tensor(self.means, dtype=like.dtype)[c.value].view(-1, 1, 1)
        return torch.where(on, means, 0.0), torch.where(on, 0.16, torch.ones_like(means))

    def forward(
        self,
        state_t: State,
        t: float | Tensor,
        layout: Layout,
        cond: Conditions,
        known: Known | None = None,
        previous: Posterior | None = None,
    ) -> Posterior:
        """The exact answers."""
        x, time = state_t["x"], as_time(t, layout.mask)
        mean, variance = self.moments(cond, x)
        process = self.processes["x"]
        assert isinstance(process, Gaussian)
        at = process.at(expand_time(time, self.fields["x"]))
        x0 = mean + at.alpha * variance / (at.alpha**2 * variance + at.sigma**2) * (x - at.alpha * mean)
        output = process.parametrization.target(x0, (x - at.alpha * x0) / at.sigma, at)
        views: dict[str, Any] = {"x": process.view(self.fields["x"], output, x, expand_time(time, self.fields["x"]))}
        if "a" in self.fields:
            logits = torch.linspace(-1, 1, 3, dtype=x.dtype) * (1 + mean)
            views["a"] = self.processes["a"].view(
                self.fields["a"],
                logits.expand(*state_t["a"].shape, 3),
                state_t["a"],
                expand_time(time, self.fields["a"]),
            )
        return Posterior(views)


@dataclass(frozen=True)
class Guided:
    """A way to build guidance, and what of it may be set."""

    build: Factory

    def takes(self, name: str) -> bool:
        """Whether there is an argument of this name."""
        return name in inspect.signature(self.build).parameters

    def on(self, world: Denoiser, **options: object) -> Denoiser:
        """The guided world; an option that cannot be set makes the rule one that does not apply."""
        missing = [name for name in options if not self.takes(name)]
        if missing:
            raise Skipped(f"has no argument {' or '.join(missing)}")
        return self.build(world, **options)

    def tried(self, world: Denoiser, **options: object) -> Denoiser:
        """The guided world, at a scale of 2.5 where it has one."""
        return self.on(world, **({"scale": W} if self.takes("scale") and not self._bound("scale") else {}), **options)

    def _bound(self, name: str) -> bool:
        return isinstance(self.build, partial) and name in self.build.keywords


def question(names: str = "xa", sizes: tuple[int, ...] = (3, 3, 2, 1)) -> Encoded:
    """A noised state, sizes and labels, one of which is not given."""
    g = torch.Generator().manual_seed(0)
    x = torch.randn(B, N, 2, generator=g, dtype=torch.float64)
    a = torch.randint(0, 4, (B, N), generator=g)
    label = Condition(torch.tensor([0, 1, 1, 0]), torch.tensor([True, True, True, False]))
    state = {name: value for name, value in (("x", x), ("a", a)) if name in names}
    return Encoded(state, Layout.of_sizes(torch.tensor(sizes), N), {"label": label})


def ask(denoiser: Denoiser, e: Encoded, t: float | Tensor) -> dict[str, Tensor]:
    """x_0 and eps of x and the log-probabilities of a, 0 at padded entries."""
    with torch.no_grad():
        posterior = denoiser(e.state, t, e.layout, e.cond)
    found, real = {}, e.mask[..., None]
    for name, view in posterior.items():
        if isinstance(view, Continuous):
            found[f"{name}.x0"], found[f"{name}.eps"] = view.x0, view.eps
        elif isinstance(view, Categorical):
            found[f"{name}.log_probs"] = view.log_probs.clamp(min=-100)
    return {name: torch.where(real, value, 0.0) for name, value in found.items()}


def _apart(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> float:
    return max(
        float(((found[name] - x).abs() / (1 + x.abs())).nan_to_num(torch.inf).max()) for name, x in wanted.items()
    )


def scale_one_is_the_conditional_model(g: Guided) -> str:
    """At scale 1 nothing is changed."""
    world, worst = Told(), Worst()
    guided = g.on(world, scale=1.0)
    for t in TIMES:
        worst.see(_apart(ask(guided, question(), t), ask(world, question(), t)), f"t = {t}")
    return worst.at_most(1e-12, "difference at scale 1")


def outside_the_interval_is_the_conditional_model(g: Guided) -> str:
    """Outside its interval guidance changes nothing, inside it does what it does without one; for one time and for many."""
    world, worst = Told(), Worst()
    guided, always = g.tried(world, interval=(0.4, 0.6)), g.tried(world)
    for t in TIMES:
        wanted = ask(always if t == 0.5 else world, question(), t)
        worst.see(_apart(ask(guided, question(), t), wanted), f"t = {t}")
        times = torch.full((B,), t, dtype=torch.float64)
        worst.see(_apart(ask(guided, question(), times), wanted), f"t = {t} for each sample")
    return worst.at_most(1e-12, "difference")


def every_parametrisation_gives_the_same(g: Guided) -> str:
    """Guidance acts in a space of its own choice, not in that of the network: eps, v, x_0 and EDM networks are guided alike."""
    worst = Worst()
    for t in TIMES:
        wanted = ask(g.tried(Told(V())), question(), t)
        for p in (Eps(), X0(), EDM()):
            worst.see(_apart(ask(g.tried(Told(p)), question(), t), wanted), f"{type(p).__name__}, t = {t}")
    return worst.at_most(1e-9, "difference")


def gaussians_are_tilted(g: Guided) -> str:
    """Where it is linear in its scale w: the score is that of p(x | c)^w p(x)^(1 - w), for Gaussians in closed form."""
    world, e, worst = Told(names="x"), question("x", (N,) * B), Worst()
    for t in TIMES:
        low, middle, high = (ask(g.on(world, scale=s), e, t)["x.x0"] for s in (1.0, 2.0, 3.0))
        if not torch.allclose(high - middle, middle - low, rtol=1e-9, atol=1e-9):
            raise Skipped("is not linear in its scale")
        at = world.processes["x"].at(torch.full((B, 1, 1), t, dtype=torch.float64))  # type: ignore[attr-defined]
        mean, variance = world.moments(e.cond, e.state["x"])
        x = e.state["x"]
        given = -(x - at.alpha * mean) / (at.alpha**2 * variance + at.sigma**2)
        free = -x / (at.alpha**2 + at.sigma**2)
        score = -ask(g.on(world, scale=W), e, t)["x.eps"] / at.sigma
        wanted = W * given + (1 - W) * free
        worst.see((score - wanted) / (1 + wanted.abs()), f"t = {t}, scale {W}")
    return worst.at_most(1e-9, "error of the score")


def padding_does_not_enter(g: Guided) -> str:
    """What padded entries hold changes nothing at real ones."""
    guided, e, worst = g.tried(Told()), question(), Worst()
    other = {"x": torch.where(e.mask[..., None], e.state["x"], 1e3), "a": torch.where(e.mask, e.state["a"], 0)}
    for t in TIMES:
        worst.see(_apart(ask(guided, replace(e, state=other), t), ask(guided, e, t)), f"t = {t}")
    return worst.at_most(1e-12, "difference")


def samples_do_not_see_their_batch(g: Guided) -> str:
    """A sample alone is guided as in a batch."""
    guided, e, worst = g.tried(Told()), question(), Worst()
    for t in TIMES:
        whole = ask(guided, e, t)
        for k in range(B):
            alone = ask(guided, e.rows(k, k + 1), t)
            worst.see(_apart(alone, {name: x[k : k + 1] for name, x in whole.items()}), f"sample {k}, t = {t}")
    return worst.at_most(1e-12, "difference")


def classes_stay_probabilities(g: Guided) -> str:
    """Of a categorical field the guided log-probabilities are finite and normalised, and a class that is seen stays sure."""
    guided, e, worst = g.tried(Told()), question(), Worst()
    for t in TIMES:
        with torch.no_grad():
            view = guided(e.state, t, e.layout, e.cond)["a"]
        if not isinstance(view, Categorical):
            raise Skipped("gives no categorical view")
        worst.see((view.probs.sum(-1) - 1)[e.mask], f"sum of probabilities, t = {t}")
        require(bool(torch.isfinite(view.log_probs).all()), f"log-probabilities are not finite at t = {t}")
        seen = (e.state["a"] < 3) & e.mask
        require(torch.equal(view.x0[seen], e.state["a"][seen]), f"a class that is seen is changed at t = {t}")
    return worst.at_most(1e-12, "error of the sum")


def the_ends_are_finite(g: Guided) -> str:
    """At t = 1 and next to t = 0 the guided answer is finite."""
    guided = g.tried(Told())
    for t in (1.0, 1e-6):
        for name, x in ask(guided, question(), t).items():
            require(bool(torch.isfinite(x).all()), f"{name} is not finite at t = {t}")
    return "at t = 1 and 1e-6"


def everything_else_is_the_denoisers(g: Guided) -> str:
    """Fields, processes, conditions, modality and abilities are those of the denoiser that it holds."""
    world = Told()
    guided = g.tried(world)
    require(isinstance(guided, Denoiser), f"it builds a {type(guided).__name__}, not a Denoiser")
    parts = ("fields", "processes", "conditions", "modality", "per_token_time", "self_conditioning")
    other = [part for part in parts if getattr(guided, part, None) != getattr(world, part)]
    require(not other, f"differs in {', '.join(other)}: make it a Guidance, which passes them on")
    return ", ".join(parts)


RULES: tuple[Rule, ...] = (
    scale_one_is_the_conditional_model,
    outside_the_interval_is_the_conditional_model,
    every_parametrisation_gives_the_same,
    gaussians_are_tilted,
    padding_does_not_enter,
    samples_do_not_see_their_batch,
    classes_stay_probabilities,
    the_ends_are_finite,
    everything_else_is_the_denoisers,
)
