"""Baselines: what each gets exactly right, and that none looks at what it may not know."""

import numpy as np
import pytest
from ornstein.modalities.timeseries import floors, forecasts
from ornstein.modalities.timeseries.lines import interpolated


def autoregressive(n, steps, seed=0):
    """Two channels, the second a lagged copy of the first with noise; stationary."""
    rng = np.random.default_rng(seed)
    x = np.zeros((n, steps + 50, 2))
    for t in range(1, steps + 50):
        x[:, t, 0] = 0.8 * x[:, t - 1, 0] + 0.6 * rng.standard_normal(n)
        x[:, t, 1] = 0.9 * x[:, t - 1, 0] + 0.1 * rng.standard_normal(n)
    return 20 + x[:, 50:] * [1.0, 100.0]


def before(steps, context, n):
    return np.broadcast_to((np.arange(steps) < context)[None, :, None], (n, steps, 2))


def test_interpolation_is_straight_between_and_level_beyond():
    x = np.arange(8.0)[None, :, None] * [[[1.0, -2.0]]]
    known = np.zeros(x.shape, bool)
    known[:, [2, 6], :] = True
    filled = interpolated(x, known)
    assert np.allclose(filled[0, :, 0], [2, 2, 2, 3, 4, 5, 6, 6])
    assert np.allclose(filled[0, :, 1], -2 * filled[0, :, 0])
    known[..., 1] = False
    assert np.isfinite(interpolated(x, known)).all()
    assert np.array_equal(interpolated(np.where(known, x, np.nan))[..., 0], filled[..., 0])


def test_seasonal_naive_repeats_the_last_season_and_is_exact_on_a_periodic_series():
    t = np.arange(40)
    x = np.stack([np.sin(2 * np.pi * t / 8), t % 4], -1)[None].repeat(3, 0).astype(float)
    known = before(40, 20, 3)
    out = floors.seasonal_naive(x, known, 8, 5, np.random.default_rng(0))
    assert out.shape == (3, 5, 40, 2)
    assert np.allclose(out, x[:, None], atol=1e-12)


def test_seasonal_naive_errors_grow_with_the_seasons_ahead():
    x = np.random.default_rng(0).standard_normal((300, 60, 2)).cumsum(1)
    out = floors.seasonal_naive(x, before(60, 20, 300), 10, 50, np.random.default_rng(1))
    first, last = out[:, :, 20:30].std(1).mean(), out[:, :, 50:].std(1).mean()
    assert last / first == pytest.approx(2, rel=0.1)  # four seasons ahead: the root of 4


def test_autoregression_finds_the_law_and_covers_what_it_says():
    train, test = autoregressive(800, 40), autoregressive(150, 40, seed=1)
    model = floors.fit_autoregression(train, 2)
    unit = model.weights[:4] * model.scale / np.tile(model.scale, 2)[:, None]  # rows: t of both channels, t - 1 of both
    assert unit[0] == pytest.approx([0.8, 90], rel=0.05)
    known = before(40, 30, 150)
    out = model.fill(test, known, 200, np.random.default_rng(0))
    assert np.array_equal(out[:, 0][known], test[known])
    judged = ~known
    assert forecasts.coverage(test, out, judged) == pytest.approx(0.9, abs=0.03)
    naive = floors.seasonal_naive(test, known, 1, 200, np.random.default_rng(0))
    assert forecasts.crps(test, out, judged) < forecasts.crps(test, naive, judged)


@pytest.mark.parametrize("name", ["naive", "autoregression", "gaussian", "line"])
def test_no_floor_looks_at_what_is_unknown(name):
    train, x = autoregressive(200, 24), autoregressive(5, 24, seed=2)
    known = np.random.default_rng(3).random(x.shape) < 0.5
    planted = np.where(known, x, 1e9)

    def floor(values):
        rng = np.random.default_rng(0)
        if name == "naive":
            return floors.seasonal_naive(values, known, 4, 3, rng)
        if name == "gaussian":
            return floors.gaussian_fill(train, values, known, 3, rng)
        if name == "line":
            return interpolated(values, known)[:, None]
        return floors.fit_autoregression(train, 3).fill(values, known, 3, rng)

    out = floor(x)
    assert np.array_equal(out, floor(planted))
    assert np.array_equal(out, floor(np.where(known, x, np.nan)))
    assert all(np.array_equal(member[known], x[known]) for member in out.swapaxes(0, 1))


def test_gaussian_fill_is_the_best_linear_filling():
    train, x = autoregressive(4000, 10), autoregressive(300, 10, seed=4)
    known = np.ones(x.shape, bool)
    known[:, 5] = False
    out = floors.gaussian_fill(train, x, known, 80, np.random.default_rng(0))
    judged = ~known
    assert forecasts.coverage(x, out, judged) == pytest.approx(0.9, abs=0.05)
    # the second channel one step later is 90 times the first, give or take 10
    first = judged.copy()
    first[..., 1] = False
    assert forecasts.squared_error(x, out, first) == pytest.approx(0.11, rel=0.3)
    line = interpolated(x, known)[:, None]
    assert forecasts.absolute_error(x, out, judged) < 0.7 * forecasts.absolute_error(x, line, judged)


def test_gaussian_copula_keeps_marginals_and_correlations():
    train = np.exp(autoregressive(3000, 6) * [0.1, 0.001])
    drawn = floors.gaussian_copula(train, 3000, np.random.default_rng(0))
    assert drawn.min() >= train.min()
    assert drawn.max() <= train.max()
    for share in (0.1, 0.5, 0.9):
        assert np.allclose(np.quantile(drawn, share, 0), np.quantile(train, share, 0), rtol=0.05)
    flat = [np.log(each).reshape(3000, -1) for each in (train, drawn)]
    assert np.allclose(np.corrcoef(flat[0].T), np.corrcoef(flat[1].T), atol=0.06)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="order 8 needs windows of more than that many steps, found 6"):
        floors.fit_autoregression(np.zeros((2, 6, 1)), 8)
    with pytest.raises(ValueError, match="at least 2"):
        floors.gaussian_copula(np.zeros((1, 6, 1)), 8, np.random.default_rng(0))
    with pytest.raises(ValueError, match="cut them alike"):
        floors.gaussian_fill(
            np.zeros((4, 6, 1)), np.zeros((4, 5, 1)), np.zeros((4, 5, 1), bool), 1, np.random.default_rng(0)
        )
