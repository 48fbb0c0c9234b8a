"""Tasks: what each gives, what becomes of open items, and series made window by window."""

import numpy as np
import pytest
from ornstein.core.modality import Item
from ornstein.modalities.timeseries import Series, TimeSeries
from ornstein.modalities.timeseries.rolling import roll
from ornstein.modalities.timeseries.tasks import COVARIATES, OPEN, Forecast, Impute, SuperResolution

HOURS = np.arange("2024-01-01", "2024-03-01", dtype="datetime64[h]").astype("datetime64[ns]")


def item(steps=24, channels=3, opened=False, dates=True, **meta):
    values = np.random.default_rng(0).normal(size=(steps, channels))
    series = Series(values, tuple("abcdef"[:channels]), HOURS[:steps] if dates else None, "h" if dates else None)
    return Item(series, key="x", meta={OPEN: True, **meta} if opened else meta)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_a_forecast_knows_all_before_the_horizon():
    posed, known = Forecast(6).pose(item(), rng())
    assert posed.data.steps == 24
    assert known[:18].all()
    assert not known[18:].any()


def test_a_horizon_is_drawn_from_one_to_half():
    drawn = {int((~Forecast().pose(item(), rng(i))[1][:, 0]).sum()) for i in range(300)}
    assert drawn == set(range(1, 13))


def test_behind_an_open_item_the_index_goes_on():
    posed, known = Forecast(6).pose(item(opened=True), rng())
    assert posed.data.steps == 30
    np.testing.assert_array_equal(posed.data.index, HOURS[:30])
    assert known[:24].all()
    assert not known[24:].any()
    assert Forecast(None, 40).pose(item(opened=True), rng())[0].data.steps == 34


def test_covariates_say_how_far_a_forecast_can_go():
    values = item(opened=True)
    values.data.values[20:] = np.nan
    values.meta[COVARIATES] = np.ones((24, 1))
    posed, known = Forecast(3).pose(values, rng())
    assert posed.data.steps == 23
    assert posed.meta[COVARIATES].shape == (23, 1)
    assert known[:, 0].sum() == 20
    with pytest.raises(ValueError, match="x: a forecast of 5 steps needs the covariates of as many future steps"):
        Forecast(5).pose(values, rng())


def test_bad_horizons_are_refused():
    with pytest.raises(ValueError, match="horizon 0: at least 1 step"):
        Forecast().sized(0)
    with pytest.raises(ValueError, match="takes one number"):
        Forecast().sized((3, 4))
    with pytest.raises(ValueError, match="x: a horizon of 24 steps needs more than the 24 steps"):
        Forecast(24).pose(item(), rng())
    with pytest.raises(ValueError, match=r"modality\.horizon=24 leaves nothing of modality\.window=24"):
        TimeSeries(window=24, horizon=24)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_points_are_taken_away_of_what_was_observed(share):
    values = item(steps=100)
    values.data.values[:50] = np.nan
    known = Impute("points", share).pose(values, rng())[1]
    assert not known[:50].any()
    assert known.sum() == 150 - round(150 * share)


def test_blocks_are_stretches_of_all_channels_and_channels_are_whole():
    known = Impute("blocks", 0.25).pose(item(40), rng())[1]
    assert (known == known[:, :1]).all()
    hidden = np.flatnonzero(~known[:, 0])
    assert len(hidden) == 10
    assert (np.diff(hidden) == 1).all()
    known = Impute("channels", 0.5).pose(item(channels=4), rng())[1]
    assert sorted(known.all(0).tolist()) == [False, False, True, True]
    assert not known[:, ~known.all(0)].any()


def test_gaps_of_an_open_item_are_what_is_filled():
    values = item(opened=True)
    with pytest.raises(ValueError, match="x: nothing is missing"):
        Impute().pose(values, rng())
    values.data.values[3, 1] = np.nan
    known = Impute().pose(values, rng())[1]
    assert np.argwhere(~known).tolist() == [[3, 1]]


def test_super_resolution_gives_every_kth_step_and_refines_open_items():
    known = SuperResolution(4).pose(item(), rng())[1]
    assert np.flatnonzero(known[:, 0]).tolist() == list(range(0, 24, 4))
    posed, known = SuperResolution(4).pose(item(steps=3, opened=True), rng())
    assert posed.data.steps == 9
    assert np.flatnonzero(known[:, 0]).tolist() == [0, 4, 8]
    assert np.diff(posed.data.index).astype("timedelta64[m]").astype(int).tolist() == [15] * 8


# Window by window.


def driven(start, known, window, ahead, made=lambda part: part + 1.0):
    """Roll with a model that goes on counting; the first step and the length of each window."""
    pieces = roll(start, known, window, ahead)
    seen, part = [], next(pieces)
    while True:
        values = part[0].data.values
        assert (np.isfinite(values) | ~part[1]).all()
        filled = values.copy()
        for i in range(len(filled)):
            filled[i] = np.where(part[1][i], filled[i], filled[i - 1] + 1 if i else 0.0)
        seen.append((float(values[0, 0]), len(values), int((~part[1][:, 0]).sum())))
        try:
            part = pieces.send(Series(filled, part[0].data.columns))
        except StopIteration as end:
            return end.value, seen


def test_a_long_forecast_stands_on_the_trained_context_each_time():
    values = np.arange(100.0)[:, None]
    values[40:] = np.nan
    start = Item(Series(values, ("a",), HOURS[:100], "h"), key="x")
    whole, seen = driven(start, np.isfinite(values), 20, 6)
    np.testing.assert_array_equal(whole.values[:, 0], np.arange(100.0))
    assert seen[0] == (26.0, 20, 6)  # 14 steps of context, 6 ahead
    assert [first for first, _, _ in seen] == [26, 32, 38, 44, 50, 56, 62, 68, 74, 80]


def test_gaps_of_a_long_series_are_filled_with_what_stands_behind_them_too():
    values = np.arange(60.0)[:, None].repeat(2, 1)
    values[[5, 30, 31], 0] = np.nan
    start = Item(Series(values, ("a", "b")), key="x")
    whole, seen = driven(start, np.isfinite(values), 20, 6)
    np.testing.assert_array_equal(whole.values[:, 1], np.arange(60.0))
    np.testing.assert_array_equal(whole.values[:, 0], np.arange(60.0))
    assert len(seen) == 2  # windows without gaps are passed over


def test_items_of_the_trained_length_are_made_at_once():
    modality = TimeSeries(window=24, horizon=6)
    modality.fit([item()])
    posed, known = Forecast(6).pose(item(), rng())
    pieces = modality.unroll(posed, known)
    part, bits = next(pieces)
    assert part is posed
    with pytest.raises(StopIteration) as end:
        pieces.send(Series(np.zeros((24, 3)), posed.data.columns))
    np.testing.assert_array_equal(end.value.value.values[:18], posed.data.values[:18])
    assert not end.value.value.values[18:].any()
    assert bits is known
