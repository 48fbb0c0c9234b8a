"""The executor beside the network that it asks: times in one process, per evaluation.

The executor runs its whole plan on a denoiser whose raw output is computed beforehand, so that what is left is its own: rows,
noise, views. The network is a DiT of 12 layers and 384 channels on 16 pictures of 8 x 8 tokens. Time is that of the
processor, on one thread.
"""

import statistics
import time

import pytest
import torch
from ornstein.core.backbones.dit import DiT
from ornstein.core.denoiser import Denoiser, as_time
from ornstein.core.parametrization import V
from ornstein.core.posterior import Posterior
from ornstein.core.processes import Gaussian
from ornstein.core.samplers import DDIM, DDPM, run
from ornstein.core.schedules import LinearBeta, Rectified
from ornstein.core.state import Encoded, Field, Layout, expand_time

BATCH, SIDE, STEPS, SHARE = 16, 8, 20, 0.03


class Ready(Denoiser):
    """A posterior from an output that is there already."""

    def __init__(self, f: Field, output: torch.Tensor) -> None:
        super().__init__()
        self.fields, self.processes, self.output = {f.name: f}, {f.name: f.process}, output

    def forward(self, state_t, t, layout, cond, known=None, previous=None):
        (name, f), *_ = self.fields.items()
        time = expand_time(as_time(t, layout.mask), f)
        return Posterior({name: f.process.view(f, self.output, state_t[name], time)})


def seconds(call, repeats: int) -> float:
    """Median processor time of a call, after one for warmth."""
    times = []
    for _ in range(repeats + 1):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return statistics.median(times[1:])


@pytest.mark.benchmark_ratio
@pytest.mark.parametrize("schedule", [Rectified(), LinearBeta()], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("sampler", [DDIM(STEPS), DDPM(STEPS)], ids=lambda s: type(s).__name__)
def test_the_executor_takes_little_beside_the_network(sampler, schedule):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        f = Field("x", "continuous", 16, Gaussian(schedule, V()))
        net = DiT([f], (), axes=2, width=384, depth=12, heads=6).eval()
        layout, x = Layout.of_grid(BATCH, (SIDE, SIDE)), torch.randn(BATCH, SIDE**2, 16)
        with torch.no_grad():
            network = seconds(lambda: net({"x": x}, torch.randn(BATCH), layout, {}), 3)
        world = Ready(f, torch.randn(BATCH, SIDE**2, 16))
        plan, encoded = sampler.plan(world.processes), Encoded({"x": x}, layout)
        executor = seconds(lambda: run(world, plan, encoded, seed=0), 7) / plan.evaluations
    finally:
        torch.set_num_threads(before)
    share = executor / network
    print(f"\n{type(sampler).__name__} on {type(schedule).__name__}: executor {1e3 * executor:.2f} ms, "
          f"network {1e3 * network:.1f} ms an evaluation: {share:.2%}")  # fmt: skip
    assert share <= SHARE
