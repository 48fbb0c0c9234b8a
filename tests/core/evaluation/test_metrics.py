"""The pure metrics against closed forms, other libraries and planted cases."""

import math

import pytest
import torch
from ornstein.core.evaluation import distances, metrics
from ornstein.core.evaluation.distances import nearest, neighbour_radii
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def normal(n: int, d: int, seed: int) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def mixture(n: int, seed: int, centres: int = 4) -> torch.Tensor:
    """Well separated balls in 4 dimensions, in turn."""
    place = 20 * torch.eye(4, dtype=torch.float64)[torch.arange(n) % centres]
    return place + normal(n, 4, seed)


def test_frechet_equals_the_closed_form_of_two_gaussians():
    d = 5
    a, b = normal(d, d, 1), normal(d, d, 2)
    mean_x, mean_y = normal(1, d, 3)[0], normal(1, d, 4)[0]
    x, y = normal(200_000, d, 5) @ a + mean_x, normal(200_000, d, 6) @ b + mean_y
    cov_x, cov_y = a.T @ a, b.T @ b
    # tr (S_x S_y)^(1/2) by the eigenvalues of the product, which are real and not negative
    trace = torch.linalg.eigvals(cov_x @ cov_y).real.sqrt().sum()
    exact = float((mean_x - mean_y).square().sum() + cov_x.trace() + cov_y.trace() - 2 * trace)
    assert metrics.frechet_distance_of_moments(mean_x, cov_x, mean_y, cov_y) == pytest.approx(exact, rel=1e-10)
    assert metrics.frechet_distance(x, y) == pytest.approx(exact, rel=0.01)


def test_frechet_equals_the_matrix_square_root_of_scipy():
    linalg = pytest.importorskip("scipy.linalg")
    x, y = normal(300, 12, 1) @ normal(12, 12, 2), normal(250, 12, 3) * 2 + 1
    root = linalg.sqrtm(x.T.cov().numpy() @ y.T.cov().numpy()).real
    mean = (x.mean(0) - y.mean(0)).square().sum()
    expected = float(mean + x.T.cov().trace() + y.T.cov().trace()) - 2 * root.trace()
    assert metrics.frechet_distance(x, y) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("n", "d"), [(500, 8), (10, 40)])
def test_frechet_of_a_set_with_itself_is_zero_and_a_shift_counts_squared(n, d):
    x = normal(n, d, 1)
    assert metrics.frechet_distance(x, x.flip(0)) == pytest.approx(0, abs=1e-9)
    assert metrics.frechet_distance(x + 3, x) == pytest.approx(9 * d, rel=1e-9)


def test_frechet_with_fewer_rows_than_columns_equals_the_same_data_in_its_own_span():
    inside_x, inside_y = normal(9, 5, 1), normal(11, 5, 2)
    turn = torch.linalg.qr(normal(60, 5, 3)).Q.T  # an isometry of R^5 into R^60
    wide = metrics.frechet_distance(inside_x @ turn, inside_y @ turn)
    assert wide == pytest.approx(metrics.frechet_distance(inside_x, inside_y), rel=1e-9)
    moments = [(x @ turn).mean(0) if i == 0 else (x @ turn).T.cov() for x in (inside_x, inside_y) for i in (0, 1)]
    assert metrics.frechet_distance_of_moments(*moments) == pytest.approx(wide, rel=1e-7)


def test_extrapolation_comes_nearer_to_the_distance_of_the_distributions_than_all_rows_do():
    d, n = 32, 1000
    y = 1.1 * normal(4000, d, 1) + 0.1
    exact = metrics.frechet_distance(normal(200_000, d, 2), y)
    sets = [normal(n, d, 10 + i) for i in range(6)]
    plain = torch.tensor([metrics.frechet_distance(x, y) for x in sets]).mean()
    found = torch.tensor([metrics.frechet_extrapolated(x, y, seed=i) for i, x in enumerate(sets)]).mean()
    assert plain > exact * 1.2
    assert float(found) == pytest.approx(exact, rel=0.1)  # what is left is of order 1/n^2


def test_extrapolation_is_seeded_and_wants_five_rows_to_a_column():
    x, y = normal(60, 12, 1), normal(100, 12, 2)
    assert metrics.frechet_extrapolated(x, y, 3) == metrics.frechet_extrapolated(x, y, 3)
    assert metrics.frechet_extrapolated(x, y, 3) != metrics.frechet_extrapolated(x, y, 4)
    with pytest.raises(ValueError, match="at least 5 for each column"):
        metrics.frechet_extrapolated(x[:59], y)


def test_the_inception_score_counts_classes_that_are_sure_and_equally_frequent():
    def score(*probs, splits=1):
        return metrics.inception_score(torch.tensor(probs, dtype=torch.float64).log(), splits)

    sure = torch.eye(4).tolist()
    assert score(*sure) == pytest.approx(4)
    assert score(*sure[:2] * 3) == pytest.approx(2)
    assert score(*[[0.25] * 4] * 5) == pytest.approx(1)
    half = math.exp(0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    assert score([0.75, 0.25], [0.25, 0.75]) == pytest.approx(half)
    assert score(*sure, splits=2) == pytest.approx(2)  # each part has two classes
    with pytest.raises(ValueError, match="5 parts"):
        score(*sure, splits=5)


def test_kernel_distance_has_mean_zero_between_equal_distributions():
    values = torch.tensor([metrics.kernel_distance(normal(40, 6, 2 * s), normal(60, 6, 2 * s + 1)) for s in range(400)])
    error = float(values.std()) / math.sqrt(len(values))
    assert abs(float(values.mean())) < 3 * error
    assert (values < 0).any()


def test_kernel_distance_equals_its_expectation_between_two_points_of_mass():
    # k(a, b) = (a.b / 1 + 1)^3 on the line: masses at 0 and 1 have E k = 1, 8, 1, so MMD^2 = 1 + 8 - 2 = 7.
    assert metrics.kernel_distance(torch.zeros(5, 1), torch.ones(7, 1)) == pytest.approx(7)


def test_kernel_distance_equals_that_of_sklearn_without_the_diagonals():
    pairwise = pytest.importorskip("sklearn.metrics.pairwise")
    x, y = normal(30, 7, 1), normal(45, 7, 2) + 0.3
    k_xx, k_yy, k_xy = (pairwise.polynomial_kernel(a, b, degree=3) for a, b in ((x, x), (y, y), (x, y)))
    within = [(k.sum() - k.trace()) / (len(k) * (len(k) - 1)) for k in (k_xx, k_yy)]
    assert metrics.kernel_distance(x, y) == pytest.approx(sum(within) - 2 * k_xy.mean(), rel=1e-10)


class Largest(TorchDispatchMode):
    """The most entries that any tensor has which is made within the block."""

    entries = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.entries = max([self.entries, *(x.numel() for x in tree_leaves(out) if isinstance(x, torch.Tensor))])
        return out


def test_kernel_distance_holds_no_matrix_of_all_pairs(monkeypatch):
    x, y = normal(500, 3, 1), normal(700, 3, 2) + 0.4
    whole = metrics.kernel_distance(x, y)
    monkeypatch.setattr(distances, "_BLOCK", 10_000)
    with Largest() as made:
        assert metrics.kernel_distance(x, y) == pytest.approx(whole, rel=1e-12)
    assert made.entries <= 10_000


def test_what_is_known_of_the_reference_changes_no_value():
    x, y, nobody = normal(40, 3, 1), normal(50, 3, 2), torch.full((50, 3), torch.nan)
    expected = metrics.kernel_distance(x, y)
    assert metrics.kernel_distance(x, y, metrics.kernel_within(y)) == expected
    assert metrics.sliced_wasserstein(x, nobody, 8, 3, metrics.sorted_projections(y, 8, 3)) == (
        metrics.sliced_wasserstein(x, y, 8, 3)
    )


def test_dropping_modes_lowers_recall_and_coverage_but_not_precision():
    y, whole, dropped = mixture(400, 1), mixture(400, 2), mixture(400, 3, centres=2)
    good, bad = metrics.precision_recall(whole, y), metrics.precision_recall(dropped, y)
    assert bad.precision == pytest.approx(good.precision, abs=0.05)
    assert good.recall > 0.85
    assert bad.recall < 0.55
    good, bad = metrics.density_coverage(whole, y), metrics.density_coverage(dropped, y)
    assert bad.density == pytest.approx(good.density, abs=0.1)
    assert good.coverage > 0.9
    assert bad.coverage < 0.55


def test_far_samples_beside_good_ones_lower_precision_and_density_but_not_recall():
    y, good = mixture(400, 1), mixture(400, 2)
    far = 1000 * normal(40, 4, 3).repeat_interleave(5, 0)  # five copies each, so that their own balls are points
    mixed = torch.cat([good, far])
    before, after = metrics.precision_recall(good, y), metrics.precision_recall(mixed, y)
    assert after.precision == pytest.approx(before.precision * 2 / 3, abs=0.02)
    assert after.recall == pytest.approx(before.recall, abs=0.02)
    before, after = metrics.density_coverage(good, y), metrics.density_coverage(mixed, y)
    assert after.density == pytest.approx(before.density * 2 / 3, abs=0.02)
    assert after.coverage == before.coverage


def test_a_few_outliers_inflate_recall_but_not_coverage():
    """The reason for coverage (Naeem et al. 2020, figure 1): its balls are the reference's own."""
    y = normal(300, 2, 1)
    far = 50 * torch.eye(2, dtype=torch.float64)
    x = torch.cat([normal(50, 2, 2) * 0.01, far, -far])
    assert metrics.precision_recall(x, y).recall > 0.9
    assert metrics.density_coverage(x, y).coverage < 0.2


def test_a_set_against_itself_is_perfect():
    x = normal(50, 3, 1)
    assert metrics.precision_recall(x, x) == (1, 1)
    density, coverage = metrics.density_coverage(x, x)
    assert coverage == 1
    assert density == pytest.approx(6 / 5)  # each ball holds its centre and 5 neighbours, over k = 5


def test_expected_coverage_of_equal_distributions():
    """1 - (m-1)...(m-k) / ((n+m-1)...(n+m-k)) for n candidates, m reference rows (Naeem et al. 2020, lemma 2)."""
    n, m, k = 100, 150, 5
    expected = 1 - math.prod((m - j) / (n + m - j) for j in range(1, k + 1))
    found = [metrics.density_coverage(normal(n, 3, 2 * s), normal(m, 3, 2 * s + 1), k) for s in range(40)]
    assert sum(f.coverage for f in found) / 40 == pytest.approx(expected, abs=0.01)
    assert sum(f.density for f in found) / 40 == pytest.approx(1, abs=0.05)


def test_neighbours_equal_those_of_sklearn_and_copies_have_distance_zero():
    neighbors = pytest.importorskip("sklearn.neighbors")
    x, y = normal(40, 6, 1), normal(70, 6, 2)
    x[3] = y[5]
    tree = neighbors.NearestNeighbors().fit(y)
    expected, rows = tree.kneighbors(x, 1)
    distance, index = nearest(x, y)
    assert index.tolist() == rows[:, 0].tolist()
    assert torch.allclose(distance, torch.from_numpy(expected[:, 0]), atol=1e-9)
    assert distance[3] == 0
    radii = torch.from_numpy(tree.kneighbors(y, 4)[0][:, 3].copy())
    assert torch.allclose(neighbour_radii(y, 3), radii)
    assert torch.allclose(nearest(y, y, itself=True)[0], torch.from_numpy(tree.kneighbors(y, 2)[0][:, 1].copy()))


def test_sliced_wasserstein_of_a_shift_and_of_a_spread():
    d, x = 4, normal(400, 4, 1)
    shift = torch.tensor([3.0, 0, 0, 4])
    assert metrics.sliced_wasserstein(x + shift, x, 1024) == pytest.approx(5 / math.sqrt(d), rel=0.04)
    assert metrics.sliced_wasserstein(x * 3, x, 1024) == pytest.approx(
        2 * float(x.square().sum(1).mean().sqrt()) / math.sqrt(d), rel=0.04
    )
    assert metrics.sliced_wasserstein(x, x.flip(0)) == 0


def test_sliced_wasserstein_with_unequal_sizes_is_the_optimal_transport():
    optimize = pytest.importorskip("scipy.optimize")
    x, y = normal(6, 1, 1), normal(4, 1, 2)
    # Copies of every row to 12 and 12 make it an assignment problem.
    cost = (x.repeat_interleave(2, 0) - y.repeat_interleave(3, 0).T).square().numpy()
    best = cost[optimize.linear_sum_assignment(cost)].mean()
    assert metrics.sliced_wasserstein(x, y, directions=3) == pytest.approx(math.sqrt(best), rel=1e-12)


def test_copies_are_caught_exact_and_noised_and_held_out_rows_are_not():
    train, held_out, fresh = normal(800, 6, 1), normal(400, 6, 2), normal(400, 6, 3)
    threshold = metrics.copy_threshold(nearest(held_out, train)[0])

    def share(x: torch.Tensor) -> float:
        return metrics.near_copies(nearest(x, train)[0], threshold)

    assert share(held_out) == pytest.approx(0.05, abs=0.005)
    assert share(fresh) == pytest.approx(0.05, abs=0.035)
    assert share(train[:100]) == 1
    assert share(train[:100] + 0.05 * normal(100, 6, 4)) == 1
    planted = torch.cat([fresh[:300], train[:100]])
    assert share(planted) == pytest.approx(0.25 + 0.75 * share(fresh[:300]))


def test_authenticity_is_low_for_copies_and_about_half_for_fresh_rows():
    train, fresh = normal(2000, 3, 1), normal(500, 3, 2)
    own = nearest(train, train, itself=True)[0]
    assert metrics.authenticity(*nearest(fresh, train), own) == pytest.approx(0.5, abs=0.1)
    assert metrics.authenticity(*nearest(train[:50] + 1e-6, train), own) == 0


def test_wrong_shapes_and_sizes_say_what_was_found():
    with pytest.raises(ValueError, match=r"got \(3, 4\), \(3, 5\)"):
        metrics.frechet_distance(torch.zeros(3, 4), torch.zeros(3, 5))
    with pytest.raises(ValueError, match="1 candidate and 9 reference rows"):
        metrics.frechet_distance(torch.zeros(1, 4), torch.zeros(9, 4))
    with pytest.raises(ValueError, match="at least 4"):
        metrics.precision_recall(torch.zeros(3, 4), torch.zeros(9, 4))


def test_nearer_share_is_half_for_equals_and_one_for_copies():
    draw = torch.Generator().manual_seed(0)
    a, b = torch.rand(4000, generator=draw), torch.rand(3000, generator=draw)
    assert metrics.nearer_share(a, b) == pytest.approx(0.5, abs=0.03)
    assert metrics.nearer_share(torch.zeros(10), b + 0.01) == 1.0
    assert metrics.nearer_share(torch.ones(7), torch.ones(3)) == 0.5
    by_hand = (a[:50, None] < b[:40]).double().mean() + 0.5 * (a[:50, None] == b[:40]).double().mean()
    assert metrics.nearer_share(a[:50], b[:40]) == pytest.approx(float(by_hand), abs=1e-12)
