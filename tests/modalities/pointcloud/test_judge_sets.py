"""Sets of clouds: matrices of all pairs and how they are resumed; MMD, COV and 1-NNA against what is known of them."""

import numpy as np
import pytest

pytest.importorskip("scipy")
from ornstein.modalities.pointcloud import matrices
from ornstein.modalities.pointcloud.chamfer import chamfer
from ornstein.modalities.pointcloud.emd import exact_emd, squared_approximate_emd
from ornstein.modalities.pointcloud.matrices import APPROXIMATE_EMD, CHAMFER, EXACT_EMD, Distance, matrix
from ornstein.modalities.pointcloud.sets import coverage, minimum_matching_distance, one_nearest_neighbour_accuracy


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ORNSTEIN_CACHE", str(tmp_path))


def clouds(count, seed, points=24, shift=0.0):
    """Boxes of random sides."""
    rng = np.random.default_rng(seed)
    return [rng.uniform(-1, 1, (points, 3)) * rng.uniform(0.2, 1, 3) + shift for _ in range(count)]


@pytest.mark.parametrize(
    ("distance", "pair"),
    [(CHAMFER, chamfer), (EXACT_EMD, exact_emd), (APPROXIMATE_EMD, squared_approximate_emd)],
    ids=["CD", "EMD", "approximate"],
)
def test_a_matrix_holds_the_distance_of_every_pair(distance, pair):
    x, y = clouds(3, 0), clouds(18, 1)
    assert matrix(distance, x, y) == pytest.approx(np.array([[pair(a, b) for b in y] for a in x]), rel=1e-12)
    own = matrix(distance, y)
    wanted = np.array([[pair(a, b) for b in y] for a in y])
    np.fill_diagonal(wanted, 0)
    assert own == pytest.approx(wanted, rel=1e-9, abs=1e-12)


def test_a_symmetric_matrix_works_out_half():
    asked = []

    def count(x, others):
        asked.append(len(others))
        return np.array([float(x[0, 0] + y[0, 0]) for y in others])

    x = clouds(20, 0)
    own = matrix(Distance("sum", "", count), x)
    assert sum(asked) == 20 * 19 // 2
    assert (own == own.T).all()


def test_work_that_was_cut_off_goes_on_where_it_was(monkeypatch):
    monkeypatch.setattr(matrices, "_PATIENCE", -1.0)  # everything is kept at once
    monkeypatch.setattr(matrices, "cores", lambda: 1)
    x, y = clouds(12, 0), clouds(16, 1)
    asked = []

    def failing(a, others):
        asked.append(len(others))
        if len(asked) == 7:
            raise KeyboardInterrupt
        return np.array([chamfer(a, b) for b in others])

    with pytest.raises(KeyboardInterrupt):
        matrix(Distance("planted", "", failing), x, y)
    before, steps = len(asked), []
    found = matrix(Distance("planted", "", failing), x, y, lambda words, count: steps.append(count) or (lambda: None))
    assert found == pytest.approx(matrix(CHAMFER, x, y))
    assert steps == [6]  # six rows were kept
    assert asked[before:] == [16] * 6  # the rest, and nothing twice


def test_a_kept_matrix_is_of_these_points_and_of_this_distance(monkeypatch):
    monkeypatch.setattr(matrices, "_PATIENCE", -1.0)
    x, y = clouds(4, 0), clouds(4, 1)
    before = matrix(CHAMFER, x, y)
    moved = [x[0] + 1e-3, *x[1:]]
    assert (matrix(CHAMFER, moved, y)[0] != before[0]).all()
    assert (matrix(EXACT_EMD, x, y) != before).all()
    assert len(list(matrices._CACHE.folder.glob("distances-*.npz"))) == 3


def test_what_takes_no_time_is_not_kept():
    matrix(CHAMFER, clouds(4, 0))
    assert not matrices._CACHE.folder.exists()


def test_a_progress_bar_gets_every_step():
    steps, done = [], []
    matrix(
        CHAMFER, clouds(3, 0), clouds(40, 1), lambda words, n: steps.append((words, n)) or (lambda: done.append(1)), "w"
    )
    assert steps == [("w", 9)]
    assert len(done) == 9


def by_definition(ss, sr, rr):
    """1-NNA point by point."""
    n, right = len(ss), 0
    for i in range(n):
        own = min(ss[i][j] for j in range(n) if j != i)
        right += own < min(sr[i])
        own = min(rr[i][j] for j in range(n) if j != i)
        right += own < min(sr[k][i] for k in range(n))
    return right / (2 * n)


def test_scores_are_their_definitions():
    s, r = clouds(30, 0), clouds(30, 1)
    ss, sr, rr = matrix(CHAMFER, s), matrix(CHAMFER, s, r), matrix(CHAMFER, r)
    assert one_nearest_neighbour_accuracy(ss, sr, rr) == by_definition(ss, sr, rr)
    assert minimum_matching_distance(sr) == pytest.approx(np.mean([min(chamfer(a, b) for a in s) for b in r]))
    assert coverage(sr) == len({int(np.argmin([chamfer(a, b) for b in r])) for a in s}) / 30


def test_directions_are_told_apart():
    # three samples at one reference shape; the other two reference shapes are far from all
    sr = np.array([[0.1, 5, 9], [0.2, 6, 9], [0.3, 7, 9]])
    assert coverage(sr) == pytest.approx(1 / 3)
    assert minimum_matching_distance(sr) == pytest.approx((0.1 + 5 + 9) / 3)
    assert minimum_matching_distance(sr.T) == pytest.approx(0.2)  # the other direction is another number


def test_a_distance_that_is_not_symmetric_is_read_as_in_pvd():
    # Nearness of i to j stands at (i, j): column 1 of S is nearest to sample 0, row 1 is not.
    ss = np.array([[0, 1.0, 9], [9, 0, 9], [9, 9, 0]])
    far = np.full((3, 3), 5.0)
    rr = np.array([[0, 1.0, 1], [1, 0, 1], [1, 1, 0]])
    assert one_nearest_neighbour_accuracy(ss, far, rr) == pytest.approx((3 + 1) / 6)


def test_1nna_of_real_against_real_is_one_half():
    values = []
    for seed in range(4):
        s, r = clouds(70, 2 * seed, 16), clouds(70, 2 * seed + 1, 16)
        values.append(one_nearest_neighbour_accuracy(matrix(CHAMFER, s), matrix(CHAMFER, s, r), matrix(CHAMFER, r)))
    assert np.mean(values) == pytest.approx(0.5, abs=0.05)


def test_planted_faults_show():
    r, moved, one = clouds(40, 0), clouds(40, 1, shift=0.5), [clouds(1, 2)[0] + i * 1e-3 for i in range(40)]
    within = matrix(CHAMFER, r)

    def scores(s):
        sr = matrix(CHAMFER, s, r)
        return one_nearest_neighbour_accuracy(matrix(CHAMFER, s), sr, within), coverage(sr)

    assert scores(moved)[0] > 0.9
    assert scores(one)[0] > 0.9  # one shape again and again
    assert scores(one)[1] < 0.1
    copies = scores([cloud + 1e-6 for cloud in r])
    assert copies == (0.0, 1.0)  # copies of the reference: below one half, not at it


def test_real_shapes_against_real_shapes(shared_data):
    points = np.load(shared_data / "pointclouds" / "kaykit" / "kaykit_points_2048.npz")["points"][:, :96].astype(float)
    order = np.random.default_rng(0).permutation(len(points))
    s, r = ([points[i] for i in part] for part in (order[:200], order[200:400]))
    accuracy = one_nearest_neighbour_accuracy(matrix(CHAMFER, s), matrix(CHAMFER, s, r), matrix(CHAMFER, r))
    assert accuracy == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("value", [coverage, lambda sr: one_nearest_neighbour_accuracy(np.eye(3), sr, np.eye(3))])
def test_sets_of_unequal_size_are_refused(value):
    with pytest.raises(ValueError, match="3 samples and 4 reference shapes"):
        value(np.ones((3, 4)))


def test_an_unfinished_matrix_is_refused():
    with pytest.raises(ValueError, match="finite"):
        minimum_matching_distance(np.array([[1.0, np.nan]]))
