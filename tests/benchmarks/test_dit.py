"""The DiT against the transformer of diffusers at equal width, depth, heads and tokens: ratios of times, in one process.

The two take turns, each pair gives one ratio, and the median of the ratios is judged. Time is that of the processor, on one
thread: on an idle machine it is the time that passes, and on a busy one it leaves out what others take. Both networks get
a picture of 4 channels in patches of 2 x 2, a class and a time per sample.
"""

import statistics
import time
from types import SimpleNamespace

import pytest
import torch
from ornstein.core.backbones.dit import DiT
from ornstein.core.conditioning.spec import ConditionSpec
from ornstein.core.state import Condition, Field, Layout

BATCH, PAIRS = 8, 7


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def contenders(side):
    """Ours, its arguments, and two functions without arguments that run ours and theirs on side x side tokens."""
    diffusers = pytest.importorskip("diffusers")
    torch.manual_seed(0)
    theirs = diffusers.DiTTransformer2DModel(6, 64, 4, num_layers=12, sample_size=2 * side, patch_size=2).eval()
    field = Field("x", "continuous", 16, SimpleNamespace(kind="continuous"))
    ours = DiT([field], [ConditionSpec("label", "class", 1000)], axes=2, width=384, depth=12, heads=6).eval()
    picture, tokens = torch.randn(BATCH, 4, 2 * side, 2 * side), torch.randn(BATCH, side * side, 16)
    step, label, c_noise = torch.randint(1000, (BATCH,)), torch.randint(1000, (BATCH,)), torch.randn(BATCH)
    layout = Layout.of_grid(BATCH, (side, side))
    cond = {"label": Condition(label, torch.ones(BATCH, dtype=torch.bool))}
    arguments = ({"x": tokens}, c_noise, layout, cond)
    return ours, arguments, lambda: ours(*arguments)["x"], lambda: theirs(picture, step, label).sample


def forward(call):
    with torch.no_grad():
        call()


def forward_backward(call):
    call().square().mean().backward()


def ratio(run, ours, theirs, pairs=PAIRS):
    """Median of the paired ratios of times, ours over theirs, and their extremes."""
    ratios = []
    for i in range(pairs + 1):
        seconds = {}
        for call in (ours, theirs) if i % 2 else (theirs, ours):
            start = time.process_time()
            run(call)
            seconds[call] = time.process_time() - start
        ratios.append(seconds[ours] / seconds[theirs])
    ratios = ratios[1:]  # the first pair warms up
    return statistics.median(ratios), min(ratios), max(ratios)


@pytest.mark.benchmark_ratio
@pytest.mark.parametrize("side", [8, 16])
@pytest.mark.parametrize(("run", "most"), [(forward, 1.0), (forward_backward, 1.05)])
def test_dit_over_diffusers(side, run, most, capsys):
    *_, ours, theirs = contenders(side)
    median, low, high = ratio(run, ours, theirs)
    with capsys.disabled():
        print(
            f"\nDiT / diffusers, {side * side} tokens, float32, {run.__name__}: {median:.3f} ({low:.3f} to {high:.3f})"
        )
    assert median <= most


@pytest.mark.benchmark_ratio
@pytest.mark.parametrize("side", [8, 16])
@pytest.mark.parametrize("run", [forward, forward_backward])
def test_bfloat16_over_diffusers(side, run, capsys):
    """Reported only: autocast of both."""
    *_, ours, theirs = contenders(side)

    def autocast(call):
        with torch.autocast("cpu", torch.bfloat16):
            run(call)

    median, low, high = ratio(autocast, ours, theirs)
    with capsys.disabled():
        print(
            f"\nDiT / diffusers, {side * side} tokens, bfloat16, {run.__name__}: {median:.3f} ({low:.3f} to {high:.3f})"
        )
    assert median > 0


@pytest.mark.benchmark_ratio
@pytest.mark.parametrize("run", [forward, forward_backward])
def test_compiled_over_diffusers(run, capsys):
    """Reported only: ours compiled, theirs eager, 64 tokens, float32."""
    net, arguments, _, theirs = contenders(8)
    compiled = torch.compile(net, fullgraph=True)
    median, low, high = ratio(run, lambda: compiled(*arguments)["x"], theirs)
    with capsys.disabled():
        print(f"\nDiT compiled / diffusers, 64 tokens, float32, {run.__name__}: {median:.3f} ({low:.3f} to {high:.3f})")
    assert median > 0
