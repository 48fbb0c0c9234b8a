"""The statistics of a network that DPM-Solver-v3 is made of: measured once, kept in a file of plain tensors."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from .checkpoint import write_aside
from .denoiser import Denoiser
from .objective import draw_noise
from .posterior import Continuous
from .processes import Gaussian
from .samplers.dpm_v3 import Statistics, Table
from .state import Encoded, State, expand_time, field_mask

KNOWN = 1e-3  # to how much of x / alpha f is known, from few samples and l between levels


def measure(
    denoiser: Denoiser,
    encoded: Encoded,
    *,
    seed: int = 0,
    points: int = 120,
    sigma_min: float = 0.002,
    sigma_max: float = 80.0,
    probes: int = 1,
    by: str = "entry",
) -> Statistics:
    """l, s and b of each Gaussian field, from a probe batch of clean states noised to each of `points` noise levels.

        l = E[diag(d (sigma eps) / dx)],    f = (sigma eps - l x) / alpha,
        s = Cov(f, f') / (Var(f) + 1e-6 E[(x / alpha)^2]),    b = E[f'] - s E[f],    f' = df / dlambda along the probability flow.

    The diagonal is Hutchinson's, v * (J^T v) with signs v; f' is a central difference over half a level along the flow,
    one-sided at the ends. The second term below s is ours: where f hardly varies, at both ends, s would be noise over noise.

    Args:
        denoiser: network, guidance or oracle; asked `points` (2 + probes) times.
        encoded: data, or states that were generated, on the device of the denoiser: some hundred samples for statistics by entry,
            since what few samples say of an entry can throw long steps far off.
        seed: of the noise and the signs.
        points: noise levels, equally spaced in lambda = log(alpha / sigma).
        sigma_min, sigma_max: range of sigma / alpha of the first Gaussian field, cut to what the schedules reach.
        probes: draws of signs.
        by: "entry", or "channel" to take all tokens alike, as sizes that differ or the lack of an order ask for.

    Raises:
        ValueError: no Gaussian field, numbers out of their range, entries where tokens differ in number.

    Source: Zheng et al. 2023, arXiv:2310.13268, equations 5 and 11 and appendix C.1.
    """
    clock = denoiser.time_field()
    if clock is None:
        raise ValueError(f"statistics are those of Gaussian fields; there are {', '.join(denoiser.fields)}")
    if by not in ("entry", "channel"):
        raise ValueError(f"by is entry or channel, found {by!r}")
    if by == "entry" and not bool(encoded.mask.all()):
        raise ValueError(
            "the samples differ in size, so that entries have no statistics of their own: take by='channel'"
        )
    if points < 2 or probes < 1 or not 0 < sigma_min < sigma_max:
        raise ValueError(
            f"needs points >= 2, probes >= 1 and 0 < sigma_min < sigma_max, found {points}, {probes}, {sigma_min}, {sigma_max}"
        )
    probe = _Probe(denoiser, encoded, seed, by)
    noisy, clean = -2 * torch.tensor([sigma_max, sigma_min], dtype=torch.float64).log()
    ends = torch.stack([min(s.t_of(noisy) for s in probe.schedules.values()), clock.schedule.t_of(clean)])
    low, high = (clock.schedule.log_snr(ends) / 2).tolist()
    lam = torch.linspace(low, high, points, dtype=torch.float64)
    apart = (high - low) / (points - 1) / 4
    times = [clock.schedule.t_of(2 * (lam + x).clamp(low, high)).tolist() for x in (0.0, -apart, apart)]
    linear = [probe.linear(t, probes, k) for k, t in enumerate(times[0])]
    tables = {}
    for name in probe.schedules:
        at = probe.lam(name, torch.tensor(times[0], dtype=torch.float64))
        parts = torch.stack([row[name] for row in linear])
        tables[name] = Table(at, parts, torch.zeros_like(parts), torch.zeros_like(parts))
    moved = [probe.drift(tables, *around) for around in zip(*times, strict=True)]
    for name, table in tables.items():
        slopes, shifts = (torch.stack([row[name][j] for row in moved]) for j in (0, 1))
        tables[name] = table._replace(s=slopes, b=shifts)
    return Statistics(tables)


def save(statistics: Statistics, path: str | Path) -> None:
    """Write the tables as safetensors, aside and then renamed."""
    parts = {
        f"{name}.{part}": x.contiguous()
        for name, table in statistics.tables.items()
        for part, x in zip(Table._fields, table, strict=True)
    }
    write_aside(Path(path), lambda aside: save_file(parts, aside))


class Saved(Statistics):
    """Statistics from a file that `save` wrote.

    Raises:
        ValueError: a file that holds something else.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        parts = load_file(path)
        names = sorted({key.rpartition(".")[0] for key in parts})
        missing = [f"{name}.{part}" for name in names for part in Table._fields if f"{name}.{part}" not in parts]
        if missing or not names:
            raise ValueError(f"{path} holds no statistics: {', '.join(missing) or 'nothing'} is not there")
        super().__init__({name: Table(*(parts[f"{name}.{part}"] for part in Table._fields)) for name in names})

    def __repr__(self) -> str:
        return f"Saved({self.path!r})"


class _Probe:
    """A probe batch with its noise."""

    def __init__(self, denoiser: Denoiser, encoded: Encoded, seed: int, by: str) -> None:
        self.denoiser, self.encoded, self.seed, self.by = denoiser, encoded, seed, by
        self.index = torch.arange(encoded.batch, device=encoded.mask.device)
        self.noise = draw_noise(denoiser, encoded, seed, self.index, "probe")
        self.schedules = {n: p.schedule for n, p in denoiser.processes.items() if isinstance(p, Gaussian)}

    def linear(self, t: float, probes: int, number: int) -> State:
        """E[diag(d (sigma eps) / dx)] of each field at t."""
        with torch.enable_grad():
            state = self._state(t)
            x = {name: state[name].detach().requires_grad_() for name in self.schedules}
            eps = self._eps(state | x, t)
            out = {name: torch.zeros(()) for name in x}
            for j in range(probes):
                drawn = draw_noise(self.denoiser, self.encoded, self.seed, self.index, "signs", number, j, only=list(x))
                signs = {name: torch.where(drawn[name] < 0, -1.0, 1.0).to(x[name].dtype) for name in x}
                total = sum((eps[name] * signs[name] * self._at(name, "sigma", t)).sum() for name in x)
                assert isinstance(total, Tensor)
                grads = torch.autograd.grad(total, list(x.values()), retain_graph=j < probes - 1)
                for name, grad in zip(x, grads, strict=True):
                    out[name] = out[name] + self._mean(name, grad * signs[name]).cpu() / probes
        return out

    @torch.no_grad()
    def drift(
        self, tables: dict[str, Table], t: float, before: float, after: float
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """(s, b) of each field at t, from f there and around it along the flow."""
        state = self._state(t)
        eps = self._eps(state, t)
        found = [self._f(tables, state, eps, t)]
        for at in (before, after):
            near = dict(state)
            for name in self.schedules:
                z = state[name] / self._at(name, "alpha", t)
                step = self._lam(name, at) - self._lam(name, t)
                z = z - step * self._at(name, "sigma", t) / self._at(name, "alpha", t) * eps[name]
                near[name] = z * self._at(name, "alpha", at)
            found.append(self._f(tables, near, self._eps(near, at), at))
        out = {}
        for name in self.schedules:
            f = found[0][name]
            slope = (found[2][name] - found[1][name]) / (self._lam(name, after) - self._lam(name, before))
            mean, mean_slope, square = (self._mean(name, x) for x in (f, slope, f * f))
            variance = square - mean**2
            # f is a difference of numbers of the size of x / alpha: what varies less than they are known says nothing of s
            size = self._mean(name, (state[name] / self._at(name, "alpha", t)) ** 2)
            s = (self._mean(name, f * slope) - mean * mean_slope) / (variance + KNOWN**2 * size)
            out[name] = s.cpu(), (mean_slope - s * mean).cpu()
        return out

    def lam(self, name: str, t: Tensor) -> Tensor:
        """The field's own lambda."""
        return self.schedules[name].log_snr(t).detach() / 2

    def _f(self, tables: dict[str, Table], state: State, eps: State, t: float) -> State:
        """(sigma eps - l x) / alpha in float64."""
        out = {}
        for name in self.schedules:
            linear = tables[name].at(torch.tensor([self._lam(name, t)], dtype=torch.float64))[0][0]
            x = self._at(name, "sigma", t) * eps[name] - linear.to(eps[name].device) * state[name]
            out[name] = x.double() / self._at(name, "alpha", t)
        return out

    def _state(self, t: float) -> State:
        """The batch noised to t."""
        at = torch.full((self.encoded.batch,), t, dtype=torch.float64, device=self.encoded.mask.device)
        fields, processes = self.denoiser.fields, self.denoiser.processes
        return {
            name: processes[name].corrupt(f, self.encoded.state[name], expand_time(at, f), self.noise[name])
            for name, f in fields.items()
        }

    def _eps(self, state: State, t: float) -> State:
        posterior = self.denoiser(state, t, self.encoded.layout, self.encoded.cond)
        views = {name: posterior[name] for name in self.schedules}
        return {name: view.eps for name, view in views.items() if isinstance(view, Continuous)}

    def _at(self, name: str, what: str, t: float) -> float:
        return float(getattr(self.schedules[name], what)(torch.tensor(t, dtype=torch.float64)).detach())

    def _lam(self, name: str, t: float) -> float:
        return float(self.lam(name, torch.tensor(t, dtype=torch.float64)))

    def _mean(self, name: str, x: Tensor) -> Tensor:
        """Over samples; by channel over all real entries, with sizes 1 kept."""
        x = x.double()
        if self.by == "entry":
            return x.mean(0)
        real = field_mask(self.denoiser.fields[name], self.encoded.mask).expand_as(x)
        dims = tuple(range(x.ndim - 1))
        return (torch.where(real, x, 0.0).sum(dims, keepdim=True) / real.sum(dims, keepdim=True))[0]
