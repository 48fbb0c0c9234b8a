"""The GRU scores on planted structure; the rows of papers in `test_scores_published`."""

import numpy as np
import pytest
import torch
from ornstein.modalities.timeseries import scores
from ornstein.modalities.timeseries.evaluation import blocked_folds
from ornstein.modalities.timeseries.gru import Recurrent, trained


def sines(n, seed=0, steps=16, channels=4):
    rng = np.random.default_rng(seed)
    freq, phase = rng.uniform(0, 0.1, (2, n, 1, channels))
    return torch.from_numpy((np.sin(freq * np.arange(steps)[:, None] + phase) + 1) / 2).float()


def noise(like, seed=7):
    return torch.rand(like.shape, generator=torch.Generator().manual_seed(seed))


def test_the_network_is_the_recurrence_that_it_states():
    network = Recurrent(2, 3, 2, torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    x = torch.randn(2, 5, 6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    found = network(x)
    for run in range(2):
        h = torch.zeros(5, 2, dtype=torch.float64)
        for t in range(6):
            told = torch.cat([x[run, :, t], h], 1)
            reset, keep = torch.sigmoid(told @ network.gates[run] + network.gate_bias[run]).chunk(2, 1)
            new = torch.tanh(torch.cat([x[run, :, t], reset * h], 1) @ network.new[run] + network.new_bias[run])
            h = keep * h + (1 - keep) * new
            assert torch.allclose(found[run, :, t], (h @ network.out[run] + network.out_bias[run])[:, 0], atol=1e-12)
        assert torch.allclose(network.judge(x[run], run), found[run], atol=1e-12)
        assert torch.allclose(network.judge(x[run], run, last=True), found[run, :, -1], atol=1e-12)


def test_its_gradient_is_that_of_finite_differences():
    network = Recurrent(2, 2, 3, torch.Generator().manual_seed(0)).double()
    x = torch.randn(2, 3, 4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)
    names = [name for name, _ in network.named_parameters()]

    def outputs(x, *values):
        return torch.func.functional_call(network, dict(zip(names, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(outputs, (x, *network.parameters()))


def test_networks_side_by_side_learn_alone():
    network = Recurrent(3, 2, 2, torch.Generator().manual_seed(0))
    network(torch.rand(3, 4, 5, 2))[1].sum().backward()
    assert all(p.grad[0].eq(0).all() and p.grad[2].eq(0).all() for p in network.parameters())
    assert any(p.grad[1].ne(0).any() for p in network.parameters())


def test_training_is_seeded_and_leaves_the_global_generator_alone():
    x = torch.rand(1, 30, 5, 2)

    def loss(network, draw):
        return (network(x) - torch.rand(1, generator=draw)).square().mean((1, 2))

    torch.manual_seed(3)
    state = torch.get_rng_state()
    a, b, c = (trained(1, 2, 2, loss, 5, seed, "w") for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(a.gates, b.gates)
    assert not torch.equal(a.gates, c.gates)


def test_noise_is_told_from_sines_and_sines_are_not():
    real = sines(500)
    assert min(scores.discriminative_scores(real, noise(real), runs=3, iterations=600)) > 0.45
    assert np.mean(scores.discriminative_scores(real, sines(500, seed=1), runs=3, iterations=300)) < 0.08


def test_kinds_count_alike_for_unequal_numbers():
    real = sines(100)
    few, all_of_them = noise(real)[:40], scores.discriminative_scores(real[:40], noise(real)[:40], 2, iterations=5)
    assert scores.discriminative_scores(real, few, 2, iterations=5) == all_of_them


def test_prediction_learns_from_generated_windows_only():
    """The last channel repeats the others a step later: what learnt that predicts it, what learnt from a shuffle cannot."""

    def echo(n, seed):
        x = torch.rand(n, 12, 1, generator=torch.Generator().manual_seed(seed)).round().repeat(1, 1, 8)
        x[:, 1:, -1] = x[:, :-1, 0]
        return x

    shuffled = echo(300, 1)
    shuffled[..., -1] = shuffled[torch.randperm(300, generator=torch.Generator().manual_seed(0)), :, -1]
    real = echo(300, 0)
    (good,) = scores.predictive_scores(real, echo(300, 2), runs=1, iterations=600)
    (bad,) = scores.predictive_scores(real, shuffled, runs=1, iterations=600)
    assert good < 0.3  # 1/2 is what a guess reaches
    assert bad > 0.45


def test_one_channel_is_predicted_from_itself():
    x = sines(60, channels=1)
    errors = scores.predictive_errors(x, x, runs=2, iterations=3)
    assert errors.shape == (2, 60)


def test_correlations_are_those_of_numpy_and_constants_have_none():
    x = torch.randn(50, 8, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x[..., 1] += x[..., 0]
    flat = x.reshape(-1, 3).numpy()
    lower = np.tril_indices(3)
    expected = (
        np.corrcoef(flat.T)[lower] * (len(flat) - 1) / len(flat)
    )  # deviations are unbiased, the mean product is not
    assert np.allclose(scores.correlations(x), expected, atol=1e-12)
    y = x.clone()
    y[..., 1] = 5.0
    assert scores.correlations(y).isfinite().all()
    difference = (scores.correlations(x) - scores.correlations(y)).abs().sum() / 10
    assert scores.correlational_distance(x, y) == pytest.approx(float(difference))
    assert scores.correlational_distance(x, x) == 0


def test_published_correlations_come_from_a_fifth_drawn_with_repetition():
    x, y = sines(1000), sines(1000, seed=1)
    values = scores.correlational_scores(x, y, runs=5)
    assert len(values) == 5
    assert min(values) > scores.correlational_distance(x, y)  # fewer windows: more noise
    assert values == scores.correlational_scores(x, y, runs=5)


def test_folds_of_overlapping_windows_share_no_step():
    series = torch.from_numpy(np.random.default_rng(0).standard_normal((300, 2))).float()
    windows = series.unfold(0, 20, 1).transpose(1, 2)
    folds = blocked_folds(windows)
    assert torch.equal(torch.cat([judged for _, judged in folds]), torch.arange(len(windows)))
    for own, judged in folds:
        assert (own[:, None] - judged).abs().min() >= 19  # at most one step in both
        assert len(own) > 0.6 * len(windows)


def test_folds_of_few_different_values_keep_their_windows():
    windows = torch.from_numpy(np.random.default_rng(0).integers(0, 2, (100, 12, 1))).float()
    assert all(len(own) == 80 for own, _ in blocked_folds(windows))


def test_cross_judging_recognises_copies_of_nothing():
    real = sines(200)
    right = scores.cross_judged(real, noise(real), blocked_folds(real), iterations=500)
    assert right.shape == (200, 2)
    assert right.double().mean() > 0.95
    alike = scores.cross_judged(real, sines(200, seed=1), blocked_folds(real), iterations=150)
    assert abs(float(alike.double().mean()) - 0.5) < 0.12


def test_bad_input_is_named():
    x = sines(20)
    with pytest.raises(ValueError, match=r"real \(20, 16, 4\), generated \(20, 16, 3\)"):
        scores.discriminative_scores(x, x[..., :3])
    with pytest.raises(ValueError, match="20 real and 1 generated windows of 16 steps"):
        scores.predictive_scores(x, x[:1])
    with pytest.raises(ValueError, match="not finite"):
        scores.discriminative_scores(x, x / 0)
