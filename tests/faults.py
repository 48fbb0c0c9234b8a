"""Planted faults: each changes one line of the core's mathematics, and the tests named beside it must notice.

`make faults` copies the repository, plants one fault after the other in the copy, and runs its tests there. It prints who
noticed, and ends with 1 where more than two in forty survive. Not a test itself: it takes about a quarter of an hour.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("core", "modalities", "configs", "recipes")
ALLOWED = 0.05  # share of survivors


class Fault(NamedTuple):
    """One line of a file of core/, before and after, and the test files of tests/core/ that should notice."""

    file: str
    before: str
    after: str
    tests: str


FAULTS = [
    # Schedules.
    Fault("schedules/sde.py", "0.5 * (self.beta_max - self.beta_min) * t)", "(self.beta_max - self.beta_min) * t)", "schedules"),
    Fault("schedules/sde.py", "return -0.5 * self._beta(t) * self.alpha(t)", "return -self._beta(t) * self.alpha(t)", "schedules"),
    Fault("schedules/sde.py", "return 2 * math.log(self.sigma_max / self.sigma_min)", "return math.log(self.sigma_max / self.sigma_min)", "schedules"),
    Fault("schedules/sde.py", "return -self._integral(t) - 2 * torch.log(self.sigma(t))", "return -self._integral(t) - torch.log(self.sigma(t))", "schedules"),
    Fault("schedules/circle.py", "return math.pi / 2 * self.s / (1 + self.s)", "return math.pi / 2 * self.s", "schedules"),
    Fault("schedules/circle.py", "return -torch.expm1(-t * self._rate) * torch.sigmoid(self._v(t))", "return -torch.expm1(-t * self._rate) * torch.sigmoid(-self._v(t))", "schedules"),
    Fault("schedules/schedule.py", "return -2 * self.f(t)", "return -self.f(t)", "schedules"),
    Fault("schedules/schedule.py", "return self.d_sigma2(t) - 2 * self.f(t) * self.sigma(t) ** 2", "return self.d_sigma2(t) + 2 * self.f(t) * self.sigma(t) ** 2", "schedules"),
    Fault("schedules/schedule.py", "c = 1 / (self.alpha(t) + s * self.sigma(t))", "c = 1 / (s * self.alpha(t) + self.sigma(t))", "schedules"),
    # Conversions.
    Fault("parametrization.py", "return -at.sigma, at.alpha", "return at.sigma, at.alpha", "parametrization"),
    Fault("parametrization.py", "n = at.alpha**2 + at.sigma**2", "n = torch.ones_like(at.alpha)", "parametrization"),
    Fault("parametrization.py", "det = at.alpha * at.d_sigma - at.sigma * at.d_alpha", "det = at.alpha * at.d_sigma + at.sigma * at.d_alpha", "parametrization"),
    Fault("parametrization.py", "return Solution(1 / at.alpha, -at.sigma / at.alpha, 0 * one, one)", "return Solution(1 / at.alpha, at.sigma / at.alpha, 0 * one, one)", "parametrization"),
    Fault("parametrization.py", "return at.sigma / (at.sigma_data * at.scale), -at.alpha * at.sigma_data / at.scale", "return at.sigma / at.scale, -at.alpha / at.scale", "parametrization"),
    Fault("posterior.py", "return [(p + q * self._solution.a, self.x_t), (q * self._solution.b, self.output)]", "return [(p + self._solution.a, self.x_t), (q * self._solution.b, self.output)]", "run samplers"),
    Fault("posterior.py", "merged[id(x)] = (factor if before is None else before[0] + factor, x)", "merged[id(x)] = (factor, x)", "run samplers"),
    # Tables.
    Fault("samplers/plan.py", "variance = max(sigma_t**2 - (alpha_t / alpha_s) ** 2 * sigma_s**2, 0.0)", "variance = max(sigma_t**2 - sigma_s**2, 0.0)", "samplers"),
    Fault("samplers/plan.py", "return Coefficients(a, (float(alpha_s - a * alpha_t),), (std,) if std else ())", "return Coefficients(a, (float(alpha_s - alpha_t),), (std,) if std else ())", "samplers"),
    Fault("samplers/ddim.py", "self.eta * curve.posterior_std(i)", "self.eta**2 * curve.posterior_std(i)", "parity onestep_parity"),
    Fault("samplers/adams.py", "weight = alpha_s * (1 + eta) * np.exp(-(1 + eta) * y) * dy", "weight = alpha_s * np.exp(-(1 + eta) * y) * dy", "samplers multistep"),
    Fault("samplers/adams.py", "c = float(sigma_s * np.sqrt(-np.expm1(-2 * eta * h))) if eta else 0.0", "c = float(sigma_s * np.sqrt(-np.expm1(-eta * h))) if eta else 0.0", "samplers multistep"),
    Fault("samplers/adams.py", "basis[j] *= (at - other) / (u - other)", "basis[j] *= (at - u) / (u - other)", "multistep samplers"),
    Fault("samplers/adams.py", "return Step(h, float(unit_s / unit_t), 0.0, lam, -unit_s * dz / (2 + 2 * np.cosh(lam)))", "return Step(h, float(unit_s / unit_t), 0.0, lam, -unit_t * dz / (2 + 2 * np.cosh(lam)))", "samplers multistep"),
    Fault("samplers/adams.py", "self.serves &= curve.alpha > 0", "self.serves &= curve.alpha >= 0", "samplers multistep"),
    Fault("samplers/dpmpp.py", "return weights - step.weight @ offset**2 / 2 * divided(lam[1:])", "return weights + step.weight @ offset**2 / 2 * divided(lam[1:])", "multistep_parity multistep samplers"),
    Fault("samplers/dpmpp.py", "return self.order if self.exact and not self.eta else min(self.order, 2)", "return self.order", "samplers"),
    Fault("samplers/unipc.py", "b = step.weight.sum() * (1.0 if self.variant == \"bh2\" else step.h / -np.expm1(-step.h))", "b = step.weight.sum()", "multistep_parity multistep"),
    Fault("samplers/pndm.py", "4: (55 / 24, -59 / 24, 37 / 24, -9 / 24)", "4: (55 / 24, -59 / 24, 37 / 24, -8 / 24)", "samplers multistep"),
    Fault("samplers/runge_kutta.py", "last = 1 / (2 * nodes[-1])", "last = 1 / 2", "samplers onestep"),
    Fault("samplers/runge_kutta.py", "b3 = (1 - 2 * u) / (12 * v * (v - u) * (1 - v))", "b3 = (1 - 2 * u) / (12 * v * (v - u) * (1 - u))", "samplers onestep"),
    Fault("samplers/singlestep.py", "return (1 / sigma, -alpha / sigma - (estimate == \"flow\"))", "return (1 / sigma, -alpha / sigma + (estimate == \"flow\"))", "samplers onestep"),
    Fault("samplers/singlestep.py", "std = eta * pick(step, (0, len(step.t) - 1)).posterior_std(1)", "std = eta * pick(step, (0, 1)).posterior_std(1)", "samplers onestep_parity"),
    Fault("samplers/dpm_singlestep.py", "last = (0.5 if published else second / first) / nodes[0]", "last = (0.5 if published else second / first)", "samplers onestep"),
    Fault("samplers/churn.py", "math.sqrt(max(sigma_hat**2 - (a * sigma) ** 2, 0.0))", "math.sqrt(max(sigma_hat**2 - sigma**2, 0.0)) * 1.1", "samplers onestep"),
    Fault("samplers/reverse_sde.py", "std = sigma_s * math.sqrt(-math.expm1(-2 * exponent))", "std = sigma_s * math.sqrt(-math.expm1(-exponent))", "samplers onestep"),
    Fault("samplers/langevin.py", "kept = math.exp(-delta)", "kept = 1 - delta", "samplers onestep"),
    Fault("samplers/consistency.py", "std = math.sqrt(max(sigma**2 - sigma_down**2, 0.0))", "std = sigma - sigma_down", "samplers onestep"),
    Fault("samplers/path.py", "/ sqrt(-expm1(-2 * h))", "/ sqrt(-expm1(-h))", "path"),
    # Grids, executor, tokens, noise.
    Fault("samplers/sampler.py", "columns = {name: self.coefficients(Curve.of(p.schedule, times), stages) for name, p in gaussian.items()}", "columns = {name: self.coefficients(Curve.of(clock, times), stages) for name, p in gaussian.items()}", "run samplers"),
    Fault("samplers/run.py", "for b, estimate in zip(k.b, memory, strict=False):", "for b, estimate in zip(k.b, memory[::-1], strict=False):", "run samplers"),
    Fault("samplers/run.py", "moved[name] = choose(frame.moving[name], new, state[name])", "moved[name] = new", "tokens"),
    Fault("samplers/run.py", "base = {name: choose(frame.ends[name], x, base[name]) for name, x in state.items()}", "base = dict(state)", "run samplers"),
    Fault("samplers/frames.py", "return torch.minimum(rows[:, None], rows) if f.axes == \"pair\" else rows", "return torch.maximum(rows[:, None], rows) if f.axes == \"pair\" else rows", "tokens"),
    Fault("samplers/frames.py", "        self._step += 1\n", "        self._step += 0\n", "run parity"),
    Fault("samplers/tokens.py", "return [(g // self.block) * self.lag for g in range(groups)]", "return [g * self.lag for g in range(groups)]", "tokens"),
    Fault("denoiser.py", "at_level = torch.where(known.whole_entries(f, denoiser.fields, mask), values, at_level)", "at_level = torch.where(known.whole_entries(f, denoiser.fields, mask), at_level, values)", "known"),
    Fault("rng.py", ".log_().mul_(-2).sqrt_()", ".log_().mul_(-1.98).sqrt_()", "rng"),
    Fault("processes/categorical.py", "torch.where(masked", "torch.where(~masked", "categorical processes"),
    Fault("guidance/cfg.py", "mix(both.rows(batch, 2 * batch), self._weight(t))", "mix(both.rows(batch, 2 * batch), self._weight(t) - 1)", "guidance"),
    Fault("objective/weights.py", "return torch.minimum(eps, self.gamma * x0)", "return torch.maximum(eps, self.gamma * x0)", "objective_weights"),
]  # fmt: skip


def main() -> int:
    """Plant every fault, or those whose numbers are given, and report."""
    chosen = [int(word) for word in sys.argv[1:]] or range(len(FAULTS))
    with tempfile.TemporaryDirectory(prefix="ornstein-faults-") as name:
        copy = Path(name)
        environment = _copy(copy)
        survivors = [number for number in chosen if not _noticed(copy, environment, number)]
    found = len(chosen) - len(survivors)
    print(f"{found} of {len(chosen)} faults noticed; survivors: {survivors or 'none'}")
    return int(len(survivors) > ALLOWED * len(chosen))


def _copy(place: Path) -> dict[str, str]:
    """The repository at `place`, and the environment in which its packages are found before the installed ones."""
    for room in (*ROOMS, "tests", "docs"):
        shutil.copytree(ROOT / room, place / room, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "Makefile", "README.md", "mkdocs.yml"):
        shutil.copy(ROOT / file, place)
    packages = place / "packages" / "ornstein"
    packages.mkdir(parents=True)
    for room in ROOMS:
        (packages / room).symlink_to(place / room)
    environment = {**os.environ, "PYTHONPATH": str(packages.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    where = subprocess.run(
        [sys.executable, "-c", "import ornstein.core.rng as r; print(r.__file__)"],
        env=environment,
        cwd=place,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    if str(place) not in where:
        raise RuntimeError(f"the copy is not what would be tested: {where}")
    return environment


def _noticed(copy: Path, environment: dict[str, str], number: int) -> bool:
    """Plant one fault, run its tests, take it out again."""
    fault = FAULTS[number]
    path = copy / "core" / fault.file
    text = path.read_text(encoding="utf-8")
    if text.count(fault.before) != 1:
        raise LookupError(f"fault {number}: {fault.before!r} stands {text.count(fault.before)} times in {fault.file}")
    path.write_text(text.replace(fault.before, fault.after), encoding="utf-8")
    started = time.monotonic()
    tests = [f"tests/core/test_{word}.py" for word in fault.tests.split()]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "-m",
        "not gpu and not slow",
        "-p",
        "no:cacheprovider",
        *tests,
    ]
    try:
        done = subprocess.run(command, env=environment, cwd=copy, capture_output=True, text=True)
    finally:
        path.write_text(text, encoding="utf-8")
    witness = re.search(r"^(FAILED|ERROR) (.*)$", done.stdout, re.MULTILINE)
    word = "noticed " if done.returncode == 1 or witness else "SURVIVED"
    seconds = time.monotonic() - started
    print(
        f"{number:3d} {word} {seconds:4.0f} s  {fault.file}: {witness.group(2)[:90] if witness else fault.after[:70]}",
        flush=True,
    )
    return word != "SURVIVED"


if __name__ == "__main__":
    sys.exit(main())
