"""A fine trajectory of the user's own network, from which the errors of samplers are measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..denoiser import Denoiser, as_time, place_known
from ..guidance import Guidance
from ..objective import draw_noise
from ..posterior import Continuous, Posterior
from ..processes import Gaussian
from ..samplers import DDIM, Curve, DPMpp, ListGrid
from ..samplers.grids.noise import top_noise
from ..samplers.run import Progress
from ..schedules import Schedule
from ..state import Conditions, Encoded, Known, Layout, State, expand_time

# sigma / alpha between which the fine steps lie, in units of the data's standard deviation
_LOW, _HIGH = 0.002, 160.0


@dataclass(frozen=True)
class Reference:
    """The flow of a probe batch, at the times of a fine table and, by interpolation, between them.

    For each Gaussian field y = x / (alpha + sigma) over tau = sigma / (alpha + sigma), whose slope is eps - x_0; cubics through
    values and slopes give the state x = (alpha + sigma) y and the estimate x_0 = y - tau dy/dtau at any time.

    Attributes:
        denoiser, encoded, seed: what was measured; categorical fields of the denoiser stand still on one path.
        times: (M,) falling, the last is 0.
        y, slope: of each field, (M, B, ...).
        std: standard deviation of each field's result, the unit of its errors.
        counted: of each field, which entries are real and unknown.
        error: of the result, estimated by a table of half the steps.
        evaluations: calls of the denoiser that it took.
    """

    denoiser: Denoiser
    encoded: Encoded
    seed: int
    times: np.ndarray
    y: State
    slope: State
    std: Mapping[str, float]
    counted: State
    error: float
    evaluations: int

    @property
    def result(self) -> State:
        """The Gaussian fields at t = 0."""
        return {name: y[-1] for name, y in self.y.items()}

    def schedule(self, name: str) -> Schedule:
        """Of a Gaussian field."""
        return gaussians(self.denoiser)[name].schedule

    def at(self, t: float) -> tuple[State, State]:
        """The state and the estimate of x_0 of each Gaussian field at time t."""
        i = int(np.clip(np.searchsorted(-self.times, -t, side="right") - 1, 0, len(self.times) - 2))
        states, estimates = {}, {}
        for name, y in self.y.items():
            curve, s = Curve.of(self.schedule(name), [*self.times[i : i + 2], t]), self.slope[name]
            start, end, tau = curve.tau.tolist()
            h, u = end - start, (tau - start) / (end - start)
            v, move = 1 - u, y[i + 1] - y[i]
            value = y[i] + u * u * (3 - 2 * u) * move + u * v * h * (v * s[i] - u * s[i + 1])
            rate = (6 * u * v / h) * move + v * (1 - 3 * u) * s[i] + u * (3 * u - 2) * s[i + 1]
            states[name] = value * float(curve.alpha[2] + curve.sigma[2])
            estimates[name] = value - tau * rate
        return states, estimates

    def prior(self, name: str, t: float) -> Tensor:
        """A field where a sampler would start at time t: the noise that the reference started from, at the level of t."""
        sigma = Curve.of(self.schedule(name), [1.0, t]).sigma
        return self.y[name][0] * float(self._unit(name, 1.0) * sigma[1] / sigma[0])

    def sizes(self, differences: State) -> np.ndarray:
        """Of differences between states, (K, B, ...): (K,), the root mean square over fields and entries of a sample, in units
        of the fields' standard deviations, and its mean over samples.
        """
        squares = []
        for name, d in differences.items():
            counted = self.counted[name].expand_as(d[0]).flatten(1)
            square = torch.where(counted, d.flatten(2) / self.std[name], 0.0).square().sum(2)
            squares.append(square / counted.sum(1).clamp(min=1))
        return torch.stack(squares).mean(0).sqrt().mean(1).cpu().double().numpy()

    def error_of(self, result: State) -> float:
        """The size of the difference between a result and this one."""
        return float(self.sizes({name: (result[name] - mine)[None] for name, mine in self.result.items()})[0])

    def spread(self, name: str, times: float | np.ndarray) -> np.ndarray:
        """How much an error of a field shrinks from each time to t = 0, were its data Gaussian: std of x_t / std of x_0."""
        curve = Curve.of(self.schedule(name), np.atleast_1d(times).tolist())
        return np.hypot(curve.alpha, curve.sigma / self.std[name])

    def _unit(self, name: str, t: float) -> float:
        """Alpha + sigma, which x is divided by."""
        curve = Curve.of(self.schedule(name), [t])
        return float(curve.alpha[0] + curve.sigma[0])


def gaussians(denoiser: Denoiser) -> dict[str, Gaussian]:
    """The Gaussian processes by field.

    Raises:
        ValueError: there is none.
    """
    found = {name: p for name, p in denoiser.processes.items() if isinstance(p, Gaussian)}
    if not found:
        raise ValueError(
            f"fields {', '.join(denoiser.fields)}: none is Gaussian, and only of those is there a trajectory to measure; "
            "for categorical fields choose steps by their quality"
        )
    return found


@torch.no_grad()
def measure(denoiser: Denoiser, encoded: Encoded, *, seed: int = 0, nodes: int = 128) -> Reference:
    """The trajectory from the counted noise of `seed`, by a third-order table of about `nodes` steps, and of half as many.

    It keeps the states and slopes of all nodes in memory: for large samples take a small batch.

    Raises:
        ValueError: fewer than 8 nodes, no Gaussian field, or a network whose answers are not finite.
    """
    if nodes < 8:
        raise ValueError(f"a trajectory to measure errors against needs at least 8 nodes, found {nodes}")
    clock = next(iter(gaussians(denoiser).values()))
    if any(f.kind == "categorical" for f in denoiser.fields.values()):
        denoiser = _Frozen(denoiser, encoded, seed)
    counted = {name: encoded.open(denoiser.fields[name]) for name in gaussians(denoiser)}
    y, slope, times = _trajectory(denoiser, encoded, seed, _fine_times(clock, nodes))
    rough = _trajectory(denoiser, encoded, seed, _fine_times(clock, nodes // 2))
    wrong = [name for name, x in y.items() if not torch.isfinite(x[:, counted[name].expand_as(x[0])]).all()]
    if wrong:
        raise ValueError(f"the network's answers for {', '.join(wrong)} are not finite on the way from noise to data")
    std = {name: _std(y[name][-1], counted[name]) for name in y}
    evaluations = len(times) + len(rough[2]) - 2
    reference = Reference(denoiser, encoded, seed, times, y, slope, std, counted, 0.0, evaluations)
    error = reference.error_of({name: x[-1] for name, x in rough[0].items()}) / 3  # of order 2 or better
    return Reference(denoiser, encoded, seed, times, y, slope, std, counted, error, evaluations)


def _trajectory(denoiser: Denoiser, encoded: Encoded, seed: int, times: np.ndarray) -> tuple[State, State, np.ndarray]:
    """y and its slope at every time, (M, B, ...)."""
    names = list(gaussians(denoiser))
    y: dict[str, list[Tensor]] = {name: [] for name in names}
    slope: dict[str, list[Tensor]] = {name: [] for name in names}

    def record(progress: Progress) -> None:
        for name in names:
            curve = Curve.of(gaussians(denoiser)[name].schedule, [float(progress.time)])
            y[name].append(progress.state[name] / float(curve.alpha[0] + curve.sigma[0]))
            if progress.row < progress.rows - 1:
                assert progress.posterior is not None
                view = progress.posterior[name]
                assert isinstance(view, Continuous)
                slope[name].append(view.eps - view.x0)
            else:  # the last step is straight
                slope[name].append(slope[name][-1])

    sampler = DPMpp(len(times) - 1, order=3, exact=True, grid=ListGrid(tuple(times.tolist())))
    sampler.run(denoiser, encoded, seed=seed, hooks=[record])
    return {n: torch.stack(x) for n, x in y.items()}, {n: torch.stack(x) for n, x in slope.items()}, times


def _fine_times(clock: Gaussian, nodes: int) -> np.ndarray:
    """From t = 1, in equal steps of log-SNR, to 0."""
    high = min(_HIGH * clock.sigma_data, top_noise(clock.schedule))
    levels = np.linspace(np.log(high), np.log(_LOW * clock.sigma_data), nodes - 1)
    inner = clock.schedule.t_of(torch.from_numpy(-2 * levels)).numpy()
    return np.concatenate([[1.0], inner[inner < 1 - 1e-9], [0.0]])


def _std(x: Tensor, counted: Tensor) -> float:
    """Over the counted entries; 1 where they are all the same."""
    values = x[counted.expand_as(x)].double()
    std = float(values.std(correction=0)) if len(values) else 0.0
    return std if std > 0 else 1.0


class _Frozen(Guidance):
    """A denoiser whose categorical fields follow one path, whatever the state holds, so that its Gaussian fields follow an ODE.

    The path ends at a sample; at t it is that sample, noised with the same noise at all times.
    """

    def __init__(self, denoiser: Denoiser, encoded: Encoded, seed: int) -> None:
        super().__init__(denoiser)
        sample = DDIM(16).run(denoiser, encoded, seed=seed)
        index = torch.arange(encoded.batch, device=encoded.mask.device)
        self.names = [name for name, f in self.fields.items() if f.kind == "categorical"]
        self.end = {name: sample[name] for name in self.names}
        self.noise = draw_noise(denoiser, encoded, seed, index, "path")

    def forward(
        self,
        state_t: State,
        t: float | Tensor,
        layout: Layout,
        cond: Conditions,
        known: Known | None = None,
        previous: Posterior | None = None,
    ) -> Posterior:
        """The held denoiser at the path."""
        time = as_time(t, layout.mask)
        path = {
            name: self.processes[name].corrupt(
                self.fields[name], self.end[name], expand_time(time, self.fields[name]), self.noise[name]
            )
            for name in self.names
        }
        placed = place_known(self, {**state_t, **path}, t, layout.mask, known, self.noise)
        state = {name: placed[name] if name in path else x for name, x in state_t.items()}
        return self.denoiser(state, t, layout, cond, known, previous)
