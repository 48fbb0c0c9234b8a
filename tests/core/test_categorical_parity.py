"""Single steps of categorical fields beside diffusers, where it does the same."""

import pytest
import torch
from ornstein.core.posterior import Categorical
from ornstein.core.processes import Masked, Uniform
from ornstein.core.samplers import Ancestral, Confidence, EntropyBound
from ornstein.core.state import Field

diffusers = pytest.importorskip("diffusers")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers with NumPy 2
K = 3


def call(move, x, view, t: float, s: float, u=None, process=None) -> torch.Tensor:
    """One move of a field by hand."""
    f = Field("a", "categorical", K, process or Masked())
    u = torch.full((*x.shape, 2), 0.5) if u is None else u
    times = (torch.full((1, 1), v, dtype=torch.float64) for v in (t, s))
    return move(f, f.process, x, *times, view, u, torch.ones_like(x, dtype=torch.bool))


def test_the_bound_on_entropies_accepts_what_diffusers_accepts():
    logits = torch.randn(8, 12, K, generator=torch.Generator().manual_seed(0)) * 3
    for gamma in (0.05, 0.5, 2.0):
        peer = diffusers.EntropyBoundScheduler(entropy_bound=gamma, t_max=1.0, t_min=1.0)
        accepted = peer.step(logits, 0, torch.zeros(8, 12).long(), generator=torch.Generator()).accepted_index
        out = call(EntropyBound(gamma), torch.full((8, 12), K), Categorical(logits), 0.9, 0.8)
        assert torch.equal(out != K, accepted)


@pytest.mark.parametrize("step", [0, 2, 4])
def test_a_step_under_uniform_noise_has_the_law_of_diffusers(step):
    """Its posterior q(x_s | x_t, x_0) with x_0 drawn from the same probabilities; alpha = 1 - t in five steps."""
    n, probs = 100_000, torch.tensor([0.5, 0.2, 0.3])
    peer = diffusers.DiscreteDDIMScheduler(num_inference_steps=5)
    g, t, s = torch.Generator().manual_seed(0), 1 - step / 5, 1 - (step + 1) / 5
    x = torch.full((1, n), 1)
    theirs = peer.step(probs.log().expand(1, n, K), step, x, temperature=1.0, generator=g).prev_sample
    view = Categorical(probs.double().log().expand(1, n, K))
    ours = call(Ancestral(), x, view, t, s, torch.rand(1, n, 2, generator=g), process=Uniform())
    shares = [torch.bincount(y.flatten(), minlength=K).double() / n for y in (theirs, ours)]
    torch.testing.assert_close(*shares, rtol=0, atol=0.01)


def test_confidence_masks_what_amused_masks():
    """The least likely of the drawn classes, floor(N t) of them, without its noise; the draws are all but certain."""
    steps, n = 8, 21
    peer = diffusers.AmusedScheduler(mask_token_id=K, masking_schedule="linear")
    peer.set_timesteps(steps, temperature=(0, 0))
    x = torch.full((4, n), K)
    doubt = torch.stack([torch.randperm(n, generator=torch.Generator().manual_seed(i)) + 1 for i in range(4)]) * 1e-3
    logits = torch.stack([(1 - doubt).log(), (doubt / 2).log(), (doubt / 2).log()], -1)
    for i in range(steps - 1):
        t, s = 1 - i / steps, 1 - (i + 1) / steps
        out = call(Confidence(0.0), x, Categorical(logits), t, s)
        assert torch.equal(out == K, _amused(peer, logits, steps - 1 - i, x))
        x = out


def _amused(peer, logits, timestep: int, x: torch.Tensor) -> torch.Tensor:
    """What the peer masks in the first of its draws in which every class is the likeliest."""
    for seed in range(200):
        out = peer.step(logits, timestep, x, generator=torch.Generator().manual_seed(seed))
        if (out.pred_original_sample == 0).all():
            return out.prev_sample == K
    raise AssertionError("no draw of the likeliest classes")
