import pytest
import torch
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
