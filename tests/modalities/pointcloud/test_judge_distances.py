"""Distances between two clouds, against SciPy's assignment, independent formulas, and clouds whose distance is known."""

import math

import numpy as np
import pytest

pytest.importorskip("scipy")
from ornstein.modalities.pointcloud.chamfer import chamfer, chamfer_to_many, density_aware_chamfer
from ornstein.modalities.pointcloud.emd import exact_emd, squared_approximate_emd
from ornstein.modalities.pointcloud.fscore import f_score
from ornstein.modalities.pointcloud.jsd import Ball, jensen_shannon
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist


def random_pairs(count=20, points=160, seed=0):
    """Clouds of several kinds and units: balls, surfaces, lines, clusters with repeated points."""
    rng = np.random.default_rng(seed)

    def cloud(kind):
        x = rng.normal(size=(points, 3))
        if kind == 1:
            x /= np.linalg.norm(x, axis=1, keepdims=True)
        if kind == 2:
            x[:, 1:] *= 1e-3
        if kind == 3:
            x = np.repeat(x[: points // 4], 4, axis=0)
        return x

    for i in range(count):
        scale, shift = 10.0 ** rng.integers(-2, 3), rng.normal(size=3) * 5
        yield cloud(i % 4) * scale + shift, cloud((i // 4) % 4) * scale + shift


def test_exact_emd_is_that_of_scipys_assignment():
    for x, y in random_pairs():
        cost = cdist(x, y)
        rows, columns = linear_sum_assignment(cost)
        assert exact_emd(x, y) == pytest.approx(cost[rows, columns].mean(), rel=1e-9)


def test_exact_emd_of_real_shapes_is_that_of_scipys_assignment(shared_data):
    points = np.load(shared_data / "pointclouds" / "kaykit" / "kaykit_points_2048.npz")["points"][:8, :512].astype(
        float
    )
    for x, y in zip(points[::2], points[1::2], strict=True):
        cost = cdist(x, y)
        rows, columns = linear_sum_assignment(cost)
        assert abs(exact_emd(x, y) - cost[rows, columns].mean()) < 1e-9


def test_exact_emd_of_a_small_shift_is_its_length():
    rng = np.random.default_rng(1)
    grid = np.stack(np.meshgrid(*[np.arange(6.0)] * 3), -1).reshape(-1, 3)
    shift = np.array([0.1, -0.2, 0.2])
    assert exact_emd(grid, rng.permutation(grid + shift)) == pytest.approx(0.3, abs=1e-12)
    assert exact_emd(grid, rng.permutation(grid)) == 0.0
    assert exact_emd(np.zeros((5, 3)), np.zeros((5, 3))) == 0.0


def test_chamfer_is_the_sum_of_both_mean_squared_nearest_distances():
    for x, y in random_pairs():
        squared = ((x[:, None] - y[None, :-7]) ** 2).sum(-1)
        wanted = squared.min(1).mean() + squared.min(0).mean()
        assert chamfer(x, y[:-7]) == pytest.approx(wanted, rel=1e-6, abs=1e-9)


def test_chamfer_by_hand():
    x, y = np.array([[0.0, 0, 0]]), np.array([[3.0, 0, 0], [0, 4, 0]])
    assert chamfer(x, y) == pytest.approx(9 + (9 + 16) / 2)  # squared, two means added
    assert chamfer(y, y[::-1]) == 0.0


def test_chamfer_of_large_clouds_does_not_hold_the_matrix_and_is_the_same():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(3000, 3)), rng.normal(size=(1500, 3))
    squared = cdist(x, y, "sqeuclidean")
    assert chamfer(x, y) == pytest.approx(squared.min(1).mean() + squared.min(0).mean(), rel=1e-9)
    assert chamfer_to_many(x, [y, y[:10]]).shape == (2,)


def test_moving_both_clouds_far_away_changes_nothing():
    rng = np.random.default_rng(3)
    x, y, far = rng.normal(size=(64, 3)), rng.normal(size=(64, 3)), np.array([1e4, -1e4, 1e4])
    assert chamfer(x + far, y + far) == pytest.approx(chamfer(x, y), rel=1e-6)
    assert exact_emd(x + far, y + far) == pytest.approx(exact_emd(x, y), rel=1e-9)


def soft_matching(x, y):
    """The published rounds, pair by pair and point by point, in float64: slow and plain."""
    n = len(x)
    d = [[sum((a - b) ** 2 for a, b in zip(p, q, strict=True)) for q in y] for p in x]
    left, room, total = [1.0] * n, [1.0] * n, 0.0
    for j in (7, 6, 5, 4, 3, 2, 1, 0, -1, -2):
        level = 0.0 if j == -2 else -(4.0**j)
        w = [[math.exp(level * d[k][m]) for m in range(n)] for k in range(n)]
        ratio = [left[k] / (1e-9 + sum(w[k][m] * room[m] for m in range(n))) for k in range(n)]
        taken = []
        for m in range(n):
            received = sum(w[k][m] * ratio[k] for k in range(n)) * room[m]
            taken.append(min(room[m] / (received + 1e-9), 1.0) * room[m])
            room[m] = max(0.0, room[m] - received)
        for k in range(n):
            sent = [w[k][m] * ratio[k] * taken[m] for m in range(n)]
            total += sum(s * d[k][m] for m, s in enumerate(sent))
            left[k] = max(0.0, left[k] - sum(sent))
    return total / n


def test_squared_approximate_emd_is_the_published_rounds():
    rng = np.random.default_rng(4)
    for scale in (0.1, 1.0, 3.0):
        x, y = rng.normal(size=(24, 3)) * scale, rng.normal(size=(24, 3)) * scale
        assert squared_approximate_emd(x, y) == pytest.approx(soft_matching(x.tolist(), y.tolist()), rel=1e-4)


def test_squared_approximate_emd_is_not_the_exact_one():
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(128, 3)) * 0.3, rng.normal(size=(128, 3)) * 0.3
    cost = cdist(x, y, "sqeuclidean")
    best = cost[linear_sum_assignment(cost)].mean()
    assert squared_approximate_emd(x, y) > best * 1.02  # a matching that is not the best, of squares
    assert abs(squared_approximate_emd(x, y) / exact_emd(x, y) - 1) > 0.2
    assert squared_approximate_emd(x, y) != squared_approximate_emd(y, x)


def test_f_score_by_hand():
    truth = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]])
    x = np.array([[0.005, 0, 0], [1, 0.005, 0], [5, 5, 5]])  # two of three right, two of four found
    found = f_score(x, truth)
    assert (found.precision, found.recall) == (pytest.approx(2 / 3), pytest.approx(1 / 2))
    assert found.f == pytest.approx(2 * (2 / 3) * (1 / 2) / (2 / 3 + 1 / 2))
    assert f_score(x * 1000, truth * 1000) == found  # the unit does not matter
    assert f_score(truth + 9, truth).f == 0.0


def test_density_aware_chamfer_sees_what_chamfer_does_not():
    rng = np.random.default_rng(6)
    truth = rng.normal(size=(200, 3))
    heaped = np.concatenate([truth[:100], np.repeat(truth[:1], 100, axis=0)])  # half of the points in one place
    assert density_aware_chamfer(truth, truth) == 0.0
    assert 0.4 < density_aware_chamfer(heaped, truth) < 1.0
    assert density_aware_chamfer(truth + 100, truth) == pytest.approx(1.0)


def test_density_aware_chamfer_by_hand():
    x, y = np.array([[0.0, 0, 0], [0, 0, 0.01]]), np.array([[0.0, 0, 0], [1, 0, 0]])
    # both x go to y0, shared by two; y0 goes to x0, y1 to x0 as well
    e = math.exp(-1000 * 0.01**2)
    wanted = 0.5 * (((1 - 1 / 2) + (1 - e / 2)) / 2 + ((1 - 1 / 2) + (1 - 0 / 2)) / 2)
    assert density_aware_chamfer(x, y) == pytest.approx(wanted, abs=1e-9)


def test_jensen_shannon_by_hand():
    p, q = np.array([1, 0, 0]), np.array([0, 2, 2])
    assert jensen_shannon(p, p * 7) == pytest.approx(0.0, abs=1e-12)
    assert jensen_shannon(p, q) == pytest.approx(1.0)
    a, b = np.array([0.75, 0.25]), np.array([0.25, 0.75])
    half = -2 * 0.5 * math.log2(0.5)
    own = -(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25))
    assert jensen_shannon(a, b) == pytest.approx(half - own)


def test_the_grid_is_the_published_one():
    axis = np.linspace(-0.5, 0.5, 28)
    places = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    places = places[np.linalg.norm(places, axis=1) <= 0.5]
    counts = Ball().counts(places)
    assert len(counts) == len(places)
    assert (counts == 1).all()
    outside = Ball().counts(np.array([[0.9, 0.9, 0.9]]))
    assert outside.sum() == 1  # on the rim, not lost
    moved = Ball((5.0, 5.0, 5.0), 2.0).counts(places * 4 + 5)
    assert (moved == 1).all()


def test_the_ball_about_shapes_holds_all_points():
    rng = np.random.default_rng(7)
    clouds = [rng.normal(size=(50, 3)) * 40 + 300 for _ in range(3)]
    ball = Ball.about(clouds)
    reach = max(np.linalg.norm(cloud - ball.centre, axis=1).max() for cloud in clouds)
    assert reach == pytest.approx(ball.radius)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: chamfer(np.zeros((0, 3)), np.zeros((2, 3))), "at least 1"),
        (lambda: chamfer(np.array([[np.nan, 0, 0]]), np.zeros((2, 3))), "1 of 1 points are not finite"),
        (lambda: exact_emd(np.zeros((3, 3)), np.zeros((4, 3))), "equally many"),
        (lambda: squared_approximate_emd(np.zeros((3, 3)), np.zeros((4, 3))), "equally many"),
        (lambda: exact_emd(np.full((3, 3), np.inf), np.zeros((3, 3))), "finite"),
        (lambda: f_score(np.zeros((3, 3)), np.zeros((4, 3))), "no extent"),
        (lambda: Ball.about([np.ones((3, 3))]), "no ball"),
        (lambda: jensen_shannon(np.zeros(3), np.ones(3)), "without points"),
    ],
)
def test_what_cannot_be_measured_is_said(call, words):
    with pytest.raises(ValueError, match=words):
        call()
