"""The SC09 suite: sums written out, known values, planted faults."""

import math

import numpy as np
import pytest
import torch
from ornstein.core.evaluation.metrics import frechet_distance
from ornstein.modalities.audio import sc09
from scipy.stats import entropy


def verdicts(n, sharp, classes=10, seed=0, shares=None):
    """Log-probabilities of a classifier that is the surer the sharper it is."""
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal((n, classes))
    logits[np.arange(n), rng.choice(classes, n, p=shares)] += sharp
    return torch.from_numpy(logits).log_softmax(1)


def test_inception_score_is_the_mean_of_scipys_entropy_between_halves():
    logs = verdicts(101, 3)
    order = np.random.default_rng(5).permutation(101)
    p = logs.exp().numpy()[order]
    wanted = np.exp(np.mean([entropy(row, p[51:].mean(0)) for row in p[:51]]))
    assert sc09.inception_score(logs, np.random.default_rng(5)) == pytest.approx(wanted, rel=1e-12)


def test_inception_score_of_sure_even_verdicts_is_the_number_of_classes_and_of_one_class_1():
    even = torch.eye(10).repeat(200, 1).clamp(min=1e-12).log().log_softmax(1)
    assert sc09.inception_score(even, np.random.default_rng(0)) == pytest.approx(10, rel=0.02)
    assert sc09.inception_score(even[:1].repeat(20, 1), np.random.default_rng(0)) == pytest.approx(1)


def test_modified_inception_score_is_the_mean_over_all_pairs():
    logs = verdicts(40, 2)
    p = logs.exp().numpy()
    wanted = np.exp(np.mean([entropy(a, b) for a in p for b in p]))
    assert sc09.modified_inception_score(logs) == pytest.approx(wanted, rel=1e-12)
    assert sc09.modified_inception_score(logs[:1].repeat(9, 1)) == pytest.approx(1)


def test_am_score_is_scipys_divergence_and_entropy():
    ours, data = verdicts(60, 2), verdicts(80, 3, seed=1, shares=[0.55] + [0.05] * 9)
    p, q = ours.exp().numpy(), data.exp().numpy()
    wanted = entropy(q.mean(0), p.mean(0)) + np.mean([entropy(row) for row in p])
    assert sc09.am_score(ours, data) == pytest.approx(wanted, rel=1e-12)


def test_am_score_falls_with_sureness_and_rises_with_a_missing_class():
    data = verdicts(1000, 8)
    scores = [sc09.am_score(verdicts(1000, sharp, seed=2), data) for sharp in (8, 4, 2)]
    assert scores == sorted(scores)
    lopsided = verdicts(1000, 8, seed=2, shares=[0, 0.2] + [0.1] * 8)
    assert sc09.am_score(lopsided, data) > scores[0] + 0.1


def test_probabilities_that_vanish_leave_scores_finite():
    logs = torch.tensor([[0.0, -800.0], [-800.0, 0.0]]).double().repeat(4, 1)
    assert math.isfinite(sc09.am_score(logs, logs))
    assert sc09.am_score(logs, logs) == pytest.approx(0, abs=1e-12)
    assert sc09.modified_inception_score(logs) == pytest.approx(math.exp(400))


def blobs(n, shares, seed):
    """Rows in well parted heaps."""
    rng = np.random.default_rng(seed)
    heap = rng.choice(len(shares), n, p=shares)
    centres = 20 * np.random.default_rng(9).standard_normal((len(shares), 6))
    return torch.from_numpy(centres[heap] + rng.standard_normal((n, 6)))


def test_bins_hold_every_training_item_and_equal_sets_differ_in_none():
    train = blobs(1000, [0.25] * 4, 0)
    centres, counts = sc09.bins(train, np.random.default_rng(0))
    assert len(centres) == 50
    assert int(counts.sum()) == 1000
    assert sc09.different_bins(train, centres, counts) == 0


def test_bins_differ_by_chance_in_a_twentieth_and_where_heaps_change_size_in_all():
    even, other = [0.25] * 4, [0.4, 0.1, 0.4, 0.1]
    centres, counts = sc09.bins(blobs(4000, even, 0), np.random.default_rng(0), most=40)
    chance = [sc09.different_bins(blobs(2000, even, seed), centres, counts) for seed in range(1, 9)]
    assert np.mean(chance) == pytest.approx(0.05, abs=0.04)
    assert sc09.different_bins(blobs(2000, other, 1), centres, counts) > 0.6
    one = sc09.different_bins(blobs(2000, [1, 0, 0, 0], 1), centres, counts)
    assert one > 0.9


def test_a_bin_differs_where_the_z_test_rejects():
    centres, counts = torch.tensor([[0.0], [10.0]]), torch.tensor([500, 500])
    for found in range(40, 61):
        rows = torch.cat([torch.zeros(found, 1), torch.full((100 - found, 1), 10.0)])
        pooled = (found + 500) / 1100
        z = abs(found / 100 - 0.5) / math.sqrt(pooled * (1 - pooled) * (1 / 100 + 1 / 1000))
        assert sc09.different_bins(rows, centres, counts) == float(z > 1.959964)


def test_too_few_rows_are_refused():
    with pytest.raises(ValueError, match="at least 20"):
        sc09.bins(torch.zeros(19, 3), np.random.default_rng(0))
    with pytest.raises(ValueError, match="at least 2"):
        sc09.inception_score(torch.zeros(1, 3), np.random.default_rng(0))


def test_fid_of_gaussians_in_closed_form():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40_000, 2)) * [1, 2] + [3, 0]
    y = rng.standard_normal((40_000, 2)) * [3, 2]
    assert frechet_distance(torch.from_numpy(x), torch.from_numpy(y)) == pytest.approx(3**2 + (3 - 1) ** 2, rel=0.02)
