"""Scores of ensembles against closed forms and planted errors."""

import numpy as np
import pytest
from ornstein.modalities.timeseries import forecasts as f


@pytest.fixture(scope="module")
def normal():
    """Targets and members from one law: 3000 entries, 200 members."""
    rng = np.random.default_rng(0)
    mean = 5 + rng.standard_normal((50, 12, 5))
    target = mean + rng.standard_normal(mean.shape)
    members = mean[:, None] + rng.standard_normal((50, 200, 12, 5))
    return target, members, np.ones(mean.shape, bool)


def test_crps_of_a_normal_forecast_is_its_closed_form(normal):
    # E|X - y| / 2-type closed form: mean CRPS of N(0, 1) for targets of the same law is 1 / sqrt(pi)
    target, members, judged = normal
    levels = f.QUANTILES
    from scipy.stats import norm

    # twice the mean pinball loss at level q is 2 phi(Phi^-1(q)); its mean over the 19 levels
    expected = np.mean(2 * norm.pdf(norm.ppf(levels))) / np.abs(target).mean()
    assert f.crps(target, members, judged) == pytest.approx(expected, rel=0.02)
    assert np.mean(2 * norm.pdf(norm.ppf(levels))) == pytest.approx(
        1 / np.sqrt(np.pi), rel=0.06
    )  # the grid's own error


def test_crps_of_one_member_is_the_normalised_deviation(normal):
    target, members, judged = normal
    one = members[:, :1]
    assert f.crps(target, one, judged) == pytest.approx(f.normalised_deviation(target, one, judged), rel=1e-12)
    assert f.crps(target, target[:, None], judged) == 0


def test_crps_sum_adds_channels_first_and_is_smaller(normal):
    target, members, judged = normal
    by_hand = f.crps(target.sum(-1, keepdims=True), members.sum(-1, keepdims=True), judged[..., :1])
    assert f.crps_sum(target, members, judged) == pytest.approx(by_hand, rel=1e-12)
    assert f.crps_sum(target, members, judged) < 0.6 * f.crps(target, members, judged)
    part = judged.copy()
    part[:, :6, 0] = False  # steps of which a channel does not count are left out whole
    assert f.crps_sum(target, members, part) == pytest.approx(
        f.crps_sum(target[:, 6:], members[:, :, 6:], judged[:, 6:]), rel=1e-12
    )


def test_a_calibrated_ensemble_covers_90_percent_and_a_sure_one_does_not(normal):
    target, members, judged = normal
    assert f.coverage(target, members, judged) == pytest.approx(0.9, abs=0.02)
    assert f.calibration_error(target, members, judged) < 0.02
    narrow = members.mean(1, keepdims=True) + 0.1 * (members - members.mean(1, keepdims=True))
    assert f.coverage(target, narrow, judged) < 0.2
    assert f.calibration_error(target, narrow, judged) > 0.15
    ranks = f.ranks_of(target, members, judged)
    assert ranks.mean() == pytest.approx(0.5, abs=0.02)
    assert ranks.var() == pytest.approx(1 / 12, rel=0.05)


def test_errors_of_planted_offsets():
    target = np.full((3, 4, 2), 10.0)
    members = np.stack([target + 1, target + 2, target + 9], 1)
    judged = np.ones(target.shape, bool)
    assert f.absolute_error(target, members, judged) == pytest.approx(2)
    assert f.squared_error(target, members, judged) == pytest.approx(4)
    assert f.normalised_deviation(target, members, judged) == pytest.approx(0.2)
    assert f.normalised_error(target, members, judged) == pytest.approx(0.4)
    judged[..., 1] = False
    members[..., 1] = np.nan  # what does not count may be anything
    assert f.absolute_error(target, members, judged) == pytest.approx(2)


def test_scaled_error_is_one_for_the_seasonal_naive_rule_on_a_trend():
    t = np.arange(36.0)
    target = (t + 5 * np.sin(2 * np.pi * t / 12))[None, :, None]
    known = (t < 24)[None, :, None]
    naive = target.copy()
    naive[:, 24:] = target[:, 12:24]
    assert f.scaled_error(target, naive[:, None], ~known, known, 12) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="no item has a known part that changes over a season of 30 steps"):
        f.scaled_error(target, naive[:, None], ~known, known, 30)


def test_bad_input_is_named():
    ones, judged = np.ones((2, 3, 1)), np.ones((2, 3, 1), bool)
    with pytest.raises(ValueError, match="nothing to judge"):
        f.crps(ones, ones[:, None], ~judged)
    with pytest.raises(ValueError, match="belong to an ensemble"):
        f.crps(ones, ones, judged)
    with pytest.raises(ValueError, match="not finite"):
        f.crps(ones, np.full((2, 1, 3, 1), np.nan), judged)
    with pytest.raises(ValueError, match="all targets are 0"):
        f.crps(0 * ones, ones[:, None], judged)
