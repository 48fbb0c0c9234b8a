import copy

import pytest
import torch
from ornstein.core.backbones.dit import DiT
from ornstein.core.processes import Gaussian
from ornstein.core.state import Field
from ornstein.core.training.muon import orthogonal
from ornstein.core.training.optimizer import AdamW
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.embed, self.norm = nn.Linear(3, 3), nn.Embedding(4, 3), nn.LayerNorm((2, 3))
        self.frozen = nn.Linear(3, 3).requires_grad_(False)


def test_only_matrices_decay():
    net = Net()
    optimizer, _ = AdamW(weight_decay=0.1).build(net, -1)
    decayed, rest = optimizer.param_groups
    assert [id(w) for w in decayed["params"]] == [id(net.linear.weight)]
    assert {id(w) for w in rest["params"]} == {
        id(w) for w in (net.linear.bias, net.embed.weight, net.norm.weight, net.norm.bias)
    }
    assert (decayed["weight_decay"], rest["weight_decay"]) == (0.1, 0.0)


def rates(spec, steps):
    optimizer, schedule = spec.build(nn.Linear(1, 1), steps)
    out = []
    for _ in range(steps):
        out.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return out


def test_the_rate_rises_linearly_and_then_stays():
    assert rates(AdamW(lr=1.0, warmup=4), 6) == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0, 1.0])
    assert rates(AdamW(lr=1.0, warmup=0), 2) == [1.0, 1.0]


def test_the_cosine_ends_at_zero_and_is_half_way_in_the_middle():
    seen = rates(AdamW(lr=2.0, warmup=10, decay="cosine"), 110)
    assert seen[9] == 2.0
    assert seen[59] == pytest.approx(1.0)
    assert seen[-1] == pytest.approx(0.0, abs=1e-12)
    assert seen[9:] == sorted(seen[9:], reverse=True)


def test_fused_and_plain_kernels_agree():
    torch.manual_seed(0)
    nets = [nn.Linear(4, 4) for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    for net, fused in zip(nets, (True, False), strict=True):
        optimizer, _ = AdamW(lr=0.1, weight_decay=0.1, warmup=0).build(net, -1, fused)
        assert optimizer.defaults["fused"] is fused
        for _ in range(5):
            net(torch.ones(1, 4)).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()
    assert torch.allclose(nets[0].weight, nets[1].weight, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"lr": 0.0}, "lr=0.0"),
        ({"betas": (0.9, 1.0)}, "betas"),
        ({"decay": "linear"}, "none or cosine"),
        ({"warmup": -1}, "warmup=-1"),
    ],
)
def test_numbers_outside_their_range_are_refused(options, match):
    with pytest.raises(ValueError, match=match):
        AdamW(**options)


def test_a_cosine_without_an_end_is_refused():
    with pytest.raises(ValueError, match=r"trainer\.max_steps"):
        AdamW(decay="cosine").build(nn.Linear(1, 1), -1)


def tiny():
    return DiT([Field("x", "continuous", 2, Gaussian())], width=16, depth=2, heads=2)


def test_muon_moves_the_matrices_of_the_blocks_and_nothing_else():
    net = tiny()
    optimizer, _ = AdamW(lr=1e-3, muon=0.02, warmup=0).build(net, -1)
    first = optimizer.param_groups[0]
    named = {id(w): name for name, w in net.named_parameters()}
    assert first["lr"] == 0.02
    assert {named[id(w)] for w in first["params"]} == {
        name for name, w in net.named_parameters() if name.startswith("blocks.") and w.ndim == 2
    }
    assert sum(len(g["params"]) for g in optimizer.param_groups) == len(named)


def test_orthogonal_keeps_singular_vectors_and_levels_the_values():
    for shape in ((3, 12, 5), (3, 5, 12)):
        x = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        u, _, vh = torch.linalg.svd(x, full_matrices=False)
        values = torch.linalg.diagonal(u.mT @ orthogonal(x) @ vh.mT)
        assert torch.allclose(u * values[:, None] @ vh, orthogonal(x))
        assert values.min() > 0.67
        assert values.max() < 1.15


def test_one_step_of_muon_is_that_of_torch_and_the_rest_is_that_of_adamw():
    torch.manual_seed(0)
    nets = [tiny(), tiny()]
    nets[1].load_state_dict(nets[0].state_dict())
    ours, _ = AdamW(lr=1e-3, muon=0.02, weight_decay=0.1, warmup=0).build(nets[0], -1)
    moved = {id(w) for w in nets[1].hidden()}
    theirs = torch.optim.Muon(nets[1].hidden(), lr=0.02, weight_decay=0.1)
    rest = [w for w in nets[1].parameters() if id(w) not in moved]
    adamw, _ = AdamW(lr=1e-3, weight_decay=0.1, warmup=0).build(nn.ParameterList(rest), -1)
    for step in range(3):
        for w, v in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
            grad = torch.randn(w.shape, generator=torch.Generator().manual_seed(step))
            w.grad, v.grad = grad, grad.clone()
        for optimizer in (ours, theirs, adamw):
            optimizer.step()
    for (name, w), v in zip(nets[0].named_parameters(), nets[1].parameters(), strict=True):
        assert torch.allclose(w, v, atol=2e-3 if w.ndim == 2 else 1e-6), name  # theirs multiplies in bfloat16


def test_muon_goes_on_where_it_was_saved():
    torch.manual_seed(0)
    net = tiny()
    spec = AdamW(lr=1e-3, muon=0.02, warmup=0)

    def steps(optimizer, first, last):
        for step in range(first, last):
            for w in net.parameters():
                w.grad = torch.randn(w.shape, generator=torch.Generator().manual_seed(step))
            optimizer.step()
        return [w.detach().clone() for w in net.parameters()]

    optimizer, _ = spec.build(net, -1)
    steps(optimizer, 0, 2)
    weights, state = copy.deepcopy(net.state_dict()), copy.deepcopy(optimizer.state_dict())
    through = steps(optimizer, 2, 4)
    net.load_state_dict(weights)
    again, _ = spec.build(net, -1)
    again.load_state_dict(state)
    assert all(torch.equal(a, b) for a, b in zip(through, steps(again, 2, 4), strict=True))


def test_muon_without_matrices_is_refused():
    with pytest.raises(ValueError, match=r"muon=0\.02 moves hidden matrices"):
        AdamW(muon=0.02).build(nn.Linear(3, 3), -1)
