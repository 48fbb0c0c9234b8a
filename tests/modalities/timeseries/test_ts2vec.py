"""TS2Vec: its loss by hand, its views, and that its distance finds what is wrong."""

import math

import numpy as np
import pytest
import torch
from ornstein.core.evaluation import Judged
from ornstein.core.evaluation.metrics import frechet_distance
from ornstein.modalities.timeseries import ts2vec
from torch.nn import functional as F


def waves(n, seed, steps=16):
    rng = np.random.default_rng(seed)
    t, phase = np.arange(steps)[:, None], rng.uniform(0, 6.28, (n, 1, 2))
    return torch.from_numpy(np.sin(t * rng.uniform(0.2, 0.6, (n, 1, 2)) + phase)).float()


def by_hand(a, b):
    """The loss as equations (1) and (2) of the paper state it, pair by pair."""
    batch, steps, _ = a.shape
    views, loss = torch.stack([a, b]).double(), 0.0
    for v in range(2):
        for i in range(batch):
            for t in range(steps):
                own, other = views[v, i, t], views[1 - v, i, t]
                right = torch.exp(own @ other)
                windows = sum(
                    torch.exp(own @ views[w, j, t]) for w in range(2) for j in range(batch) if (w, j) != (v, i)
                )
                times = sum(torch.exp(own @ views[w, i, s]) for w in range(2) for s in range(steps) if (w, s) != (v, t))
                loss -= 0.5 * torch.log(right / windows)
                if steps > 1:
                    loss -= 0.5 * torch.log(right / times)
    return loss / (2 * batch * steps)


def test_the_loss_is_that_of_the_paper_at_every_scale():
    a, b = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    halved = [F.max_pool1d(x.transpose(1, 2), 2).transpose(1, 2) for x in (a, b)]
    last = [x.amax(1, keepdim=True) for x in (a, b)]
    expected = (by_hand(a, b) + by_hand(*halved) + by_hand(*last)) / 3
    assert float(ts2vec.contrastive_loss(a, b)) == pytest.approx(float(expected), rel=1e-5)


def test_the_loss_of_equal_features_is_the_logarithm_of_the_choices():
    same = torch.zeros(4, 1, 3)
    assert float(ts2vec.contrastive_loss(same, same)) == pytest.approx(0.5 * math.log(7))


def test_views_show_the_same_steps():
    class Steps(torch.nn.Module):
        def forward(self, x, seen):
            assert seen.shape == x.shape[:2]
            return x

    x = torch.arange(12.0)[None, :, None] + 100 * torch.arange(5.0)[:, None, None]
    draw = torch.Generator().manual_seed(0)
    lengths = set()
    for _ in range(200):
        a, b = ts2vec._views(Steps(), x, draw)
        assert torch.equal(a, b)
        lengths.add(a.shape[1])
    assert lengths == set(range(2, 13))


def test_the_network_is_that_of_the_paper():
    encoder = ts2vec.Encoder(7)
    assert [block.first.dilation[0] for block in encoder.blocks] == [2**i for i in range(11)]
    assert encoder.whole(torch.randn(3, 24, 7)).shape == (3, 320)
    assert sum(isinstance(block.around, torch.nn.Linear) for block in encoder.blocks) == 1


@pytest.mark.parametrize("dilation", [1, 2, 5, 8, 12, 40])
def test_a_convolution_is_that_of_torch(dilation):
    layer, x = ts2vec.Convolution(3, 5, dilation), torch.randn(2, 12, 3)
    plain = F.conv1d(x.transpose(1, 2), layer.weight, layer.bias, padding=dilation, dilation=dilation).transpose(1, 2)
    assert torch.allclose(layer(x), plain, atol=1e-6)


def test_an_unobserved_step_is_a_hidden_one():
    encoder = ts2vec.Encoder(2, 8, 8, 2).eval()
    x = torch.randn(2, 6, 2)
    seen = torch.ones(2, 6, dtype=torch.bool)
    seen[:, 3] = False
    gaps = x.clone()
    gaps[:, 3] = torch.nan
    assert torch.equal(encoder(gaps), encoder(x, seen))
    assert not torch.equal(encoder(gaps), encoder(x))


def test_training_is_seeded_and_leaves_the_global_generator_alone():
    x = waves(40, 0)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    a, b, c = (ts2vec.represent(ts2vec.train_encoder(x, seed, 3), x) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert a.shape == (40, 320)
    assert a.dtype == torch.float64


def test_the_rule_of_iterations_counts_numbers():
    assert ts2vec.training_steps(torch.empty(100, 100, 10)) == 200
    assert ts2vec.training_steps(torch.empty(10001, 10, 1)) == 600
    with pytest.raises(ValueError, match=r"found \(1, 9, 2\)"):
        ts2vec.train_encoder(torch.zeros(1, 9, 2), 0)


def test_its_distance_is_small_for_equals_and_large_for_shuffled_steps():
    train, alike = waves(300, 0), waves(300, 1)
    encoder = ts2vec.train_encoder(train, 0, 30)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    real, near, far = (ts2vec.represent(encoder, x) for x in (train, alike, alike[:, order]))
    assert frechet_distance(real, far) > 5 * frechet_distance(real, near)


def test_the_source_trains_once_and_says_what_it_is():
    source = ts2vec.TS2Vec(lambda judged: torch.stack, iterations=2)
    train = Judged(list(waves(20, 0)), [{}] * 20, [str(i) for i in range(20)])
    advanced = []
    found = [
        source.fit(train, train, seed=s, device="cpu", track=lambda *_: lambda: advanced.append(1)) for s in (0, 0, 1)
    ]
    assert found[0].hash == found[1].hash != found[2].hash
    assert found[0].features(train).shape == (20, 320)
    assert len(advanced) == 6
    assert found[0].facts["trained as"] == "TS2Vec, 2 iterations"
