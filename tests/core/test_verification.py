"""`verify`: its reports, everything of the registry but samplers, and faults that it must find by the rule meant for them."""

import math
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest
import torch
from ornstein.core import registry, verify
from ornstein.core.conformance.rule import Broken
from ornstein.core.denoiser import Denoiser
from ornstein.core.guidance import CFG, Guidance
from ornstein.core.parametrization import Eps, Parametrization, Solution, V
from ornstein.core.posterior import Pair, Posterior
from ornstein.core.samplers import (
    DDIM,
    Coefficients,
    Curve,
    DPMpp,
    Euler,
    Exactness,
    Heun,
    LogSNRGrid,
    TableSampler,
)
from ornstein.core.samplers.plan import ddim_step
from ornstein.core.schedules import VP, Rectified, Trigonometric
from ornstein.core.verification import Report, rules_of
from ornstein.core.verification.tables import Tried

FAST = [Rectified(), VP()]


def made(group: str) -> list:
    entries = registry.TABLE[group].items()
    return [pytest.param(registry.class_of(group, name)(**entry.options), id=name) for name, entry in entries]


@pytest.mark.parametrize("subject", [*made("schedule"), *made("parametrization")])
def test_what_the_registry_lists_keeps_every_rule(subject):
    verify(subject).raise_if_failed()


@pytest.mark.parametrize("name", registry.TABLE["guidance"])
def test_guidance_of_the_registry_keeps_every_rule(name):
    verify(partial(registry.class_of("guidance", name), **registry.TABLE["guidance"][name].options)).raise_if_failed()


# The report.


def test_a_report_reads_as_one_line_a_rule_with_the_figure_beside_the_bound():
    report = verify(VP())
    lines = str(report).splitlines()
    assert lines[0] == "VP(beta_min=0.1, beta_max=20.0): 11 of 11 rules kept, 0 broken"
    assert len(lines) == 1 + len(rules_of(VP()))
    assert all(line.startswith("  pass ") for line in lines[1:])
    assert "wanted at most 1e-09" in report["log_snr_is_the_ratio"].message
    assert report.passed
    assert report.failures == ()
    assert report.raise_if_failed() is report


def test_a_broken_rule_and_one_that_does_not_apply_say_why():
    report = verify(Steep())
    assert not report.passed
    with pytest.raises(ValueError, match="FAIL derivatives are those of autograd"):
        report.raise_if_failed()
    other = verify(DDIM(eta=0.3), schedules=FAST)["polynomials_are_exact"]
    assert (other.status, other.message) == ("skipped", "states that it is exact for constants only")


def test_every_rule_has_a_name_and_a_sentence():
    for subject in (VP(), V(), DDIM(), CFG):
        rules = rules_of(subject)
        assert len({rule.__name__ for rule in rules}) == len(rules)
        assert all(rule.__doc__ and rule.__doc__.splitlines()[0].rstrip().endswith((".", ";")) for rule in rules)


def test_classes_and_partials_will_do():
    assert verify(Trigonometric).passed
    assert verify(Eps).passed
    report = verify(partial(CFG, scale=3.0, interval=(0.1, 0.9)))
    assert report.subject == "CFG(scale=3.0, interval=(0.1, 0.9))"
    assert report.passed
    function = verify(lambda denoiser: CFG(denoiser, 2.0))
    assert function["scale_one_is_the_conditional_model"].message == "has no argument scale"
    assert function.passed


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: verify(3), "found int; give a schedule"),
        (lambda: verify(DDIM(), schedules=[]), "schedules is empty"),
    ],
)
def test_nonsense_is_refused(build, words):
    with pytest.raises(ValueError, match=words):
        build()


def test_a_schedule_of_ones_own_is_where_a_sampler_is_tried():
    report = verify(Heun(), schedules=[VP(0.5, 5.0)])
    assert report["order_is_as_stated"].message.startswith("2.0")
    assert report.passed


# Planted faults. Each is caught by the rule that is meant for it.


class Steep(VP):
    """d_sigma lacks its factor of one half."""

    def d_sigma(self, t):
        return 2 * super().d_sigma(t)


class Cancelling(Rectified):
    """log_snr from 1 - sigma, t_of of something else."""

    def t_of(self, log_snr):
        return torch.sigmoid(-log_snr)


class Lost(Trigonometric):
    """log_snr by a ratio that is rounded next to the data."""

    def log_snr(self, t):
        alpha = torch.cos(t * (math.pi / 2))
        return torch.log(alpha**2 / (1 - alpha**2))


class Rough(VP):
    """Noise left at the data."""

    def sigma(self, t):
        return torch.sqrt(1e-4 - torch.expm1(-self._integral(t)))


class Proud(Rectified):
    """Says that it keeps some signal."""

    ends_at_noise = False


class Wide(Rectified):
    """float64 whatever is asked."""

    def alpha(self, t):
        return 1 - t.double()


class Wavy(Rectified):
    """The noise falls for a while."""

    def sigma(self, t):
        return t + 0.3 * torch.sin(6 * math.pi * t)


@pytest.mark.parametrize(
    ("schedule", "rules"),
    [
        (Steep(), {"derivatives_are_those_of_autograd", "derivatives_are_finite_differences"}),
        (Cancelling(), {"t_of_is_the_inverse"}),
        (Lost(), {"t_of_is_the_inverse"}),
        (Rough(), {"data_at_zero", "log_snr_is_the_ratio"}),
        (Proud(), {"flags_tell_the_ends"}),
        (Wide(), {"shape_and_dtype_are_those_of_t"}),
        (Wavy(), {"noise_grows"}),
    ],
    ids=lambda x: type(x).__name__,
)
def test_faults_of_schedules_are_found(schedule, rules):
    assert rules <= {result.name for result in verify(schedule).failures}


class Backwards(Eps):
    """x_0 = (x_t + sigma F) / alpha."""

    def solve(self, at):
        a, b, c, d = super().solve(at)
        return Solution(a, -b, c, d)


class HalfSolved(V):
    """eps with a factor that only other data show: the pair contradicts the state."""

    def solve(self, at):
        a, b, c, d = super().solve(at)
        return Solution(a, b, c, d * (1 + 1e-9))


class Bold(Eps):
    """Says that it exists at alpha = 0."""

    needs_signal = False


class Twin(Parametrization):
    """Target and solution agree with each other, and not with x_t = alpha x_0 + sigma eps."""

    def mix(self, at):
        return torch.ones_like(at.alpha), torch.zeros_like(at.alpha)

    def solve(self, at):
        zero, one = torch.zeros_like(at.alpha), torch.ones_like(at.alpha)
        return Solution(zero, one, one, -one)


@pytest.mark.parametrize(
    ("view", "rule"),
    [
        (Backwards(), "output_gives_the_pair_back"),
        (HalfSolved(), "pair_gives_the_state_back"),
        (Bold(), "flags_say_where_it_is_undefined"),
        (Twin(), "pair_gives_the_state_back"),
        (Twin(), "every_other_view_is_reached"),
    ],
    ids=lambda x: x if isinstance(x, str) else type(x).__name__,
)
def test_faults_of_parametrisations_are_found(view, rule):
    assert rule in {result.name for result in verify(view).failures}


class Changed(TableSampler):
    """DDIM with a change of its rows."""

    eta = 0.0

    def change(self, i: int, k: Coefficients, curve) -> Coefficients:
        return k

    def coefficients(self, curve, stages):
        rows = [ddim_step(curve, i, self.eta * curve.posterior_std(i)) for i in range(1, len(stages))]
        return [Coefficients(), *(self.change(i, k, curve) for i, k in enumerate(rows, 1))]


@dataclass(frozen=True)
class OverNoised(Changed):
    """As much noise as the step of the SDE has, without what DDIM takes off: azula's Ito sampler."""

    eta = 1.0

    def change(self, i, k, curve):
        return replace(k, c=tuple(1.1 * c for c in k.c))


@dataclass(frozen=True)
class WrongSign(Changed):
    """The noise that remains is turned around, which no variance shows."""

    def change(self, i, k, curve):
        a = -k.a
        return replace(k, a=a, b=(float(curve.alpha[i] - a * curve.alpha[i - 1]),))


@dataclass(frozen=True)
class Faded(Changed):
    """A little less data in each step."""

    def change(self, i, k, curve):
        return replace(k, b=tuple(0.999 * b for b in k.b))


@dataclass(frozen=True)
class Early(Changed):
    """Weighs an estimate from before the start."""

    def change(self, i, k, curve):
        return replace(k, b=(*k.b, 0.1, -0.1))


@dataclass(frozen=True)
class Advertised(DDIM):
    """Order 1 under another name."""

    @property
    def convergence(self) -> int:
        return 2


@dataclass(frozen=True)
class Modest(Heun):
    """Order 2, said to be of order 1."""

    @property
    def convergence(self) -> int:
        return 1


@dataclass(frozen=True)
class PublishedThird(DPMpp):
    """The published third order is the second: it weighs a difference as a derivative."""

    order: int = 3

    @property
    def convergence(self) -> int:
        return 3

    @property
    def exactness(self) -> Exactness:
        return Exactness("x0", "lambda", 2)


@dataclass(frozen=True)
class HalfHeun(Heun):
    """The second slope is asked for and not used."""

    def coefficients(self, curve, stages):
        rows = super().coefficients(curve, stages)
        return [replace(k, b=(0.0, sum(k.b))) if len(k.b) == 2 else k for k in rows]


@dataclass(frozen=True)
class OfTheClock(DPMpp):
    """Every field has the coefficients of the first one."""

    def stages(self, times, schedule):
        object.__setattr__(self, "clock", schedule)
        return super().stages(times, schedule)

    def coefficients(self, curve, stages):
        return super().coefficients(Curve.of(self.clock, [stage.time for stage in stages]), stages)


@dataclass(frozen=True)
class Unchecked(Euler):
    """Takes any number of steps."""

    def __post_init__(self) -> None:
        pass


@dataclass(frozen=True)
class LockedOut(DDIM):
    """Refuses to start at alpha = 0 and takes no other grid."""

    def coefficients(self, curve, stages):
        if curve.schedule.ends_at_noise:
            raise ValueError("needs alpha > 0")
        return super().coefficients(curve, stages)


@dataclass(frozen=True)
class Cheap(Heun):
    """Counts one call a step."""

    @property
    def calls(self) -> int:
        return 1


@dataclass(frozen=True)
class Unending(DDIM):
    """NaN in the last row: 0 / 0."""

    def coefficients(self, curve, stages):
        rows = super().coefficients(curve, stages)
        return [*rows[:-1], replace(rows[-1], a=math.nan)]


@dataclass(frozen=True)
class Seeing(DDIM):
    """Runs with the number of the sample in the batch instead of its own."""

    def run(self, denoiser, encoded, *, seed, index=None, hooks=(), prior=None):
        return super().run(denoiser, encoded, seed=seed, hooks=hooks, prior=prior)


@dataclass(frozen=True)
class Drifting(DDIM):
    """Runs something else than its table."""

    def run(self, denoiser, encoded, *, seed, index=None, hooks=(), prior=None):
        other = replace(self, steps=self.steps + 1)
        return DDIM.run(other, denoiser, encoded, seed=seed, index=index, hooks=hooks, prior=prior)


@pytest.mark.parametrize(
    ("sampler", "rule"),
    [
        (OverNoised(), "noise_is_kept"),
        (OverNoised(), "point_mass_has_its_std"),
        (WrongSign(), "data_is_kept"),
        (Faded(), "data_is_kept"),
        (Early(), "tables_ask_for_what_is_remembered"),
        (Advertised(), "order_is_as_stated"),
        (Modest(), "order_is_as_stated"),
        (PublishedThird(), "order_is_as_stated"),
        (PublishedThird(), "polynomials_are_exact"),
        (HalfHeun(), "order_is_as_stated"),
        (OfTheClock(), "order_holds_at_another_fields_times"),
        (Unchecked(), "steps_are_a_whole_number"),
        (LockedOut(), "every_schedule_is_served"),
        (Cheap(), "calls_are_as_stated"),
        (Unending(), "every_schedule_is_served"),
        (Seeing(eta=1.0), "padding_and_batch_do_not_matter"),
        (Drifting(), "executor_is_the_table"),
    ],
    ids=lambda x: x if isinstance(x, str) else type(x).__name__,
)
def test_faults_of_samplers_are_found(sampler, rule):
    (meant,) = [r for r in rules_of(sampler) if r.__name__ == rule]
    with pytest.raises(Broken):
        meant(Tried(sampler, FAST))


def test_rows_alone_do_not_show_a_wrong_order():
    """Why there are orders beside identities: these keep every identity."""
    report = verify(PublishedThird(), schedules=FAST)
    kept = {result.name for result in report.results if result.status == "passed"}
    assert {"data_is_kept", "noise_is_kept", "point_mass_has_its_std", "executor_is_the_table"} <= kept


def test_a_fault_that_only_several_doublings_show_is_found_with_grids_of_its_own_too():
    report = verify(Advertised(grid=LogSNRGrid()), schedules=[VP()])
    assert [result.name for result in report.failures] == ["order_is_as_stated", "order_holds_at_another_fields_times"]


# Guidance.


class Other(Guidance):
    """x_0 of the conditional model and of one without the condition, and what is made of them."""

    def __init__(self, denoiser: Denoiser, scale: float = 1.0, interval: tuple[float, float] = (0.0, 1.0)) -> None:
        super().__init__(denoiser)
        self.scale, self.interval = scale, interval

    def weight(self, t) -> float:
        low, high = self.interval
        t = float(t.reshape(-1)[0]) if isinstance(t, torch.Tensor) else t
        return self.scale if low <= t <= high else 1.0

    def asked(self, state_t, t, layout, cond):
        free = {name: c.dropped(torch.ones_like(c.present)) for name, c in cond.items()}
        return (self.denoiser(state_t, t, layout, c) for c in (cond, free))

    def forward(self, state_t, t, layout, cond, known=None, previous=None):
        with_, without = self.asked(state_t, t, layout, cond)
        return with_.mix(without, self.weight(t))


class Reversed(Other):
    """Away from the condition: at scale 1 nothing shows."""

    def weight(self, t) -> float:
        return 2.0 - super().weight(t)


class Shifted(Other):
    """The published w of Ho and Salimans, scale - 1."""

    def weight(self, t) -> float:
        return 1.0 + super().weight(t)


class Careless(Other):
    """The interval is forgotten."""

    def weight(self, t) -> float:
        return self.scale


class OfTheNetwork(Other):
    """Doubles whatever the network has put out."""

    def forward(self, state_t, t, layout, cond, known=None, previous=None):
        posterior = super().forward(state_t, t, layout, cond)
        view = posterior["x"]
        twice = type(view)(1.1 * view.output, view.x_t, view.at, view.parametrization)
        return Posterior({**posterior, "x": twice})


class Normed(Other):
    """A norm over all entries, padded ones too."""

    def forward(self, state_t, t, layout, cond, known=None, previous=None):
        posterior = super().forward(state_t, t, layout, cond)
        view = posterior["x"]
        scale = 1 / (1 + view.x0.square().mean((1, 2), keepdim=True))
        x0 = view.x0 * scale
        pair = Pair(x0, (view.x_t - view.at.alpha * x0) / view.at.sigma, view.x_t, view.at)
        return Posterior({**posterior, "x": pair})


class OfTheBatch(Normed):
    """A mean over the batch."""

    def forward(self, state_t, t, layout, cond, known=None, previous=None):
        posterior = Other.forward(self, state_t, t, layout, cond)
        view = posterior["x"]
        x0 = view.x0 - view.x0[layout.mask].mean()
        return Posterior({**posterior, "x": Pair(x0, view.eps, view.x_t, view.at)})


class Probable(Other):
    """Classes without normalisation."""

    def forward(self, state_t, t, layout, cond, known=None, previous=None):
        posterior = super().forward(state_t, t, layout, cond)
        view = posterior["a"]
        view.__dict__["log_probs"] = 2 * view.log_probs
        return posterior


class Bare(Denoiser):
    """Passes nothing on."""

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__()
        self.denoiser, self.fields, self.processes = denoiser, denoiser.fields, denoiser.processes

    def forward(self, state_t, t, layout, cond, known=None, previous=None):
        return self.denoiser(state_t, t, layout, cond)


@pytest.mark.parametrize(
    ("guidance", "rule"),
    [
        (Reversed, "gaussians_are_tilted"),
        (Shifted, "scale_one_is_the_conditional_model"),
        (Shifted, "gaussians_are_tilted"),
        (Careless, "outside_the_interval_is_the_conditional_model"),
        (OfTheNetwork, "every_parametrisation_gives_the_same"),
        (Normed, "padding_does_not_enter"),
        (OfTheBatch, "samples_do_not_see_their_batch"),
        (Probable, "classes_stay_probabilities"),
        (Bare, "everything_else_is_the_denoisers"),
    ],
    ids=lambda x: x if isinstance(x, str) else x.__name__,
)
def test_faults_of_guidance_are_found(guidance, rule):
    assert rule in {result.name for result in verify(guidance).failures}


def test_what_the_faults_of_guidance_are_made_of_has_none():
    assert verify(Other).passed


def test_a_report_can_be_kept():
    report = verify(VP())
    assert report == Report(report.subject, report.results)
    assert np.isfinite(len(str(report)))


def test_noise_of_one_path_is_told_from_its_sum():
    report = verify(DDIM(5, eta=1.0, path=True), schedules=[VP()])
    assert report["point_mass_has_its_std"].status == "passed", report
