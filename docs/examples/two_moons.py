"""Two moons: train a diffusion model in the plane and draw how its samples arise. Seconds on one CPU core.

Run it with `python docs/examples/two_moons.py`; it writes two_moons.png.
"""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from ornstein.core import Denoiser, NeuralDenoiser, Objective, samplers
from ornstein.core.backbones.backbone import Backbone
from ornstein.core.processes import Gaussian
from ornstein.core.samplers.run import Progress
from ornstein.core.state import Encoded, Field, Layout, State
from torch import Tensor, nn


class Plain(Backbone):
    """A few layers that see the point and the noise level."""

    per_token_time = False

    def __init__(self, fields: tuple[Field, ...], conditions: tuple = (), axes: int = 0, width: int = 128) -> None:
        super().__init__()
        self.fields, self.conditions, self.axes, self.width = fields, conditions, axes, width
        sizes = [2 + 8, *[width] * 4]
        self.body = nn.Sequential(*(m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), nn.SiLU())))
        self.head = nn.Linear(width, 2)

    def forward(
        self, inputs: State, c_noise: Tensor, layout: Layout, cond: Mapping, known: None = None, previous: None = None
    ) -> State:
        """One point is one token."""
        angles = c_noise[:, None] * 2.0 ** torch.arange(-1, 3)
        level = torch.cat([angles.sin(), angles.cos()], dim=1)[:, None]
        return {"point": self.head(self.body(torch.cat([inputs["point"], level], dim=2)))}


def moons(n: int, rng: np.random.Generator) -> Tensor:
    """Two half circles with noise, (n, 2), centred, at about unit variance."""
    angle, upper = np.pi * rng.random(n), rng.random(n) < 0.5
    x = np.where(upper, np.cos(angle), 1 - np.cos(angle)) - 0.5
    y = np.where(upper, np.sin(angle), 0.5 - np.sin(angle)) - 0.25
    return torch.tensor(np.stack([x, y], axis=1) / 0.7 + rng.normal(scale=0.05, size=(n, 2)), dtype=torch.float32)


def batch(points: Tensor) -> Encoded:
    """Each sample is one token with the field `point`."""
    return Encoded({"point": points[:, None]}, Layout(torch.ones(len(points), 1, dtype=torch.bool)))


def train(steps: int, seed: int = 0) -> Denoiser:
    """Rectified flow, by a plain loop."""
    torch.manual_seed(seed)
    fields = (Field("point", "continuous", 2, Gaussian()),)
    denoiser = NeuralDenoiser(Plain(fields), fields)
    objective, rng = Objective(), np.random.default_rng(seed)
    optimizer = torch.optim.Adam(denoiser.parameters())
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, steps)
    for step in range(steps):
        encoded = batch(moons(512, rng))
        draw = objective.draw(denoiser, encoded, seed, step, torch.arange(512))
        loss = objective(denoiser, encoded, draw).total.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate.step()
    return denoiser.eval()


def trajectories(denoiser: Denoiser, n: int, sampler: samplers.Sampler, seed: int = 0) -> Tensor:
    """Where n samples are at each time of the grid, (times, n, 2); the last are the samples."""
    path: list[Tensor] = []

    def keep(at: Progress) -> None:
        path.append(at.state["point"][:, 0])

    samplers.run(denoiser, sampler.plan(denoiser.processes), batch(torch.zeros(n, 2)), seed=seed, hooks=[keep])
    return torch.stack(path)


def draw(path: Tensor, target: Path) -> None:
    """Noise in grey, the way in thin lines, samples in blue."""
    from matplotlib.figure import Figure

    axes = Figure(figsize=(6, 6)).add_subplot(aspect="equal")
    axes.plot(*path[:, :200].permute(2, 0, 1), color="0.8", linewidth=0.5)
    axes.scatter(*path[0].T, s=2, color="0.6")
    axes.scatter(*path[-1].T, s=2, color="tab:blue")
    axes.figure.savefig(target, dpi=150)


if __name__ == "__main__":
    draw(trajectories(train(2000), 1000, samplers.DPMpp(steps=20)), Path("two_moons.png"))
