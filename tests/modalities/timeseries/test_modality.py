"""The plugin as a whole: what it is told, what it learns, what it refuses, and a run from file to file."""

import json

import numpy as np
import pytest
import torch
from ornstein.core import checkpoint, samplers
from ornstein.core.backbones.dit import DiT
from ornstein.core.conformance import check_modality, small_dit
from ornstein.core.denoiser import NeuralDenoiser
from ornstein.core.modality import BadItem
from ornstein.core.sampling import sample
from ornstein.core.sources import File, Listing, Memory, Row
from ornstein.modalities.timeseries import TimeSeries
from ornstein.modalities.timeseries.data import Sines

pd = pytest.importorskip("pandas")


def table(steps=60, seed=0, start="2024-01-01", gaps=False, words=True):
    draw = np.random.default_rng(seed)
    values = np.sin(np.arange(steps)[:, None] / 3 + draw.uniform(0, 6, 2)) + 0.1 * draw.normal(size=(steps, 2))
    if gaps:
        values[draw.random(values.shape) < 0.2] = np.nan
    frame = pd.DataFrame({"date": pd.date_range(start, periods=steps, freq="h"), "a": values[:, 0], "b": values[:, 1]})
    frame["ahead"] = np.arange(steps) % 5
    frame["size"] = float(seed)
    return frame.assign(wind=np.where(np.arange(steps) < steps / 2, "N", "S")) if words else frame


CHEAP = ("correlational score", "autocorrelation distance", "spectrum distance", "marginal Wasserstein")
ROLES = {"classes": ["wind"], "covariates": ["ahead"], "static": ["size"]}


class Ragged(TimeSeries):
    """Series of several lengths with gaps, dates, classes, covariates, static numbers and patches."""

    name = "ragged"

    def datasets(self):
        frames = {f"{i}.csv": table(12 + 3 * i, i, gaps=True) for i in range(12)}
        store = Memory("ragged", {name: frame.to_csv(index=False).encode() for name, frame in frames.items()})
        return {"ragged": Listing(tuple(Row(File(name, store), {}) for name in frames))}

    def metrics(self, task):
        """Without those that train networks, which the registered modality is asked for."""
        return [metric for metric in super().metrics(task) if metric.name in CHEAP]


def memory(frame, name="x.csv"):
    return File(name, Memory("m", {name: frame.to_csv(index=False).encode()}))


def fitted(**options):
    modality = TimeSeries(columns=["a", "b"], window=24, horizon=6, **{**ROLES, **options})
    rows = modality.rows([Row(memory(table(200, 3)))], (1.0, 0.0, 0.0))
    modality.fit([modality.read(row.file, row.values) for row in rows])
    return modality


def untrained(modality, seed=0):
    torch.manual_seed(seed)
    network = DiT(modality.fields, modality.conditions, modality.axes, width=16, depth=1, heads=2)
    return NeuralDenoiser(network, modality.fields, modality.conditions, modality=modality).eval()


def test_sines_are_those_of_the_recipe():
    sines = Sines()
    modality = TimeSeries()
    rows = modality.rows(sines.rows(), (0.8, 0.1, 0.1))
    values = np.stack([modality.read(r.file, r.values).data.values for r in rows])
    assert values.shape == (10_000, 24, 5)
    angle = np.arcsin(2 * values[:, :2] - 1)  # early steps stay on the rising branch
    a, b = angle[:, 1] - angle[:, 0], angle[:, 0]
    for x in (a, b):
        assert 0 <= x.min() < 1e-4
        assert 0.1 - 1e-4 < x.max() <= 0.1
        assert abs(x.mean() - 0.05) < 0.0005
    j = np.arange(24)[None, :, None]
    np.testing.assert_allclose(values, (np.sin(a[:, None] * j + b[:, None]) + 1) / 2, atol=1e-9)
    assert sines.fingerprint() == Sines().fingerprint()


# Rules that data with everything cannot keep, and why; the kit reports one that is kept after all.
TOLD = {
    "conditions_mean_what_people_type": "calendar and covariates come from dates and columns: nobody types them",
    "wrong_conditions_are_refused": "the same",
    "written_files_can_be_read": "samples are written without the columns of classes and covariates that were asked for",
}
UNEQUAL = {
    name: "covariates of items fit no blanks of other lengths"
    for name in ("same_seed_same_sample", "checkpoint_rebuilds_it")
}


def along_axes(fields, conditions, axes):
    return DiT(fields, conditions, axes, width=32, depth=2, heads=2, attention_axes=[[0], [1]])


@pytest.mark.parametrize(
    ("options", "backbone", "not_kept"),
    [
        ({"calendar": True, "patch": 4, "scale": "instance_standard"}, small_dit, {**TOLD, **UNEQUAL}),
        ({"window": 12, "patch": 5, "channels": "apart", "calendar": True, "transform": "quantile"}, along_axes, TOLD),
    ],
)
def test_series_with_everything_conform(options, backbone, not_kept):
    modality = Ragged(columns=["a", "b"], **ROLES, **options)
    results = check_modality(modality, expected_failures=not_kept, backbone=backbone, items=8)
    assert {r.name: r.message for r in results if r.status == "failed"} == {}
    assert sum(r.status == "passed" for r in results) > 25


def test_a_model_is_told_the_commonest_word_of_each_window_and_the_number_of_the_series():
    modality = TimeSeries(window=20, **ROLES)
    rows = modality.rows([Row(memory(table(60, 7)))], (1.0, 0.0, 0.0))
    items = [modality.read(row.file, row.values) for row in rows]
    assert [item.cond["wind"] for item in (items[0], items[19], items[21], items[-1])] == ["N", "N", "S", "S"]
    assert items[0].cond["size"] == 7.0
    modality.fit(items)
    assert [(s.name, s.kind, s.size) for s in modality.conditions] == [
        ("wind", "class", 2), ("size", "scalar", 1), ("covariates", "dense", 1)]  # fmt: skip
    ahead = modality.encode(items[:1], None, np.random.default_rng(0)).cond["covariates"].value
    raw = torch.arange(20).float() % 5
    assert torch.corrcoef(torch.stack([ahead[0, :, 0], raw]))[0, 1] > 0.9999


def test_the_calendar_says_where_in_day_and_week_a_step_lies():
    modality = TimeSeries(window=30, calendar=True, columns=["a"])
    rows = modality.rows([Row(memory(table(100)))], (1.0, 0.0, 0.0))
    items = [modality.read(row.file, row.values) for row in rows]
    modality.fit(items)
    (spec,) = modality.conditions
    assert (spec.kind, spec.size) == ("dense", 8)  # hour, weekday, day, year
    value = modality.encode(items[:1], None, np.random.default_rng(0)).cond["calendar"].value[0]
    assert torch.equal(value[0, [0, 4]], value[24, [0, 4]])  # the same hour
    angle = 2 * np.pi * 6 / 24
    np.testing.assert_allclose(value[6, [0, 4]], [np.sin(angle), np.cos(angle)], atol=1e-6)
    np.testing.assert_allclose(value[0, [1, 5]], [0.0, 1.0], atol=1e-6)  # 2024-01-01 was a Monday


def test_what_was_learnt_travels_as_plain_json():
    modality = fitted(calendar=True, scale="instance_standard", transform="quantile")
    tensors, plain = modality.state()
    other = checkpoint.build(checkpoint.describe(modality))
    other.load_state(tensors, json.loads(json.dumps(plain)))
    assert (other.fields, other.conditions) == (modality.fields, modality.conditions)


# Given files.


def test_a_given_file_with_other_columns_or_steps_is_refused():
    modality = fitted()
    with pytest.raises(BadItem, match=r"x\.csv: there is no column 'b': it has date, a, ahead, size, wind"):
        modality.read(memory(table().drop(columns="b")), {})
    slower = table()
    slower["date"] = pd.date_range("2024-01-01", periods=60, freq="15min")
    with pytest.raises(BadItem, match=r"x\.csv: has steps of 15min; the model was trained on steps of h"):
        modality.read(memory(slower), {})
    item = modality.read(memory(table().assign(wind="W")), {})
    with pytest.raises(ValueError, match="wind 'W', which is none of the 2 classes of the training data"):
        modality.encode([item], None, np.random.default_rng(0))


def test_other_order_and_more_columns_are_taken():
    modality = fitted()
    item = modality.read(memory(table()[["b", "wind", "ahead", "size", "date", "a"]].assign(more="word")), {})
    assert item.data.columns == ("a", "b")
    np.testing.assert_array_equal(item.data.values, table()[["a", "b"]].to_numpy())


@pytest.mark.parametrize("horizon", [None, 6, 15, 40])
def test_a_forecast_of_any_horizon_keeps_what_was_given_bit_by_bit(horizon):
    modality = fitted(covariates=[], calendar=True, scale="instance_standard")
    frame = table(50, 5)
    item = modality.read(memory(frame), {})
    denoiser, sampler = untrained(modality), samplers.DDIM(3)
    made = sample(denoiser, sampler, 3, task="forecast", given=[item], size=horizon)
    steps = horizon or 6
    for one in made:
        assert one.steps == 50 + steps
        np.testing.assert_array_equal(one.values[:50], frame[["a", "b"]].to_numpy())
        assert np.isfinite(one.values).all()
        np.testing.assert_array_equal(one.known, (np.arange(50 + steps) < 50)[:, None].repeat(2, 1))
        assert one.index[-1] == np.datetime64("2024-01-01") + np.timedelta64(49 + steps, "h")
    assert not np.array_equal(made[0].values, made[1].values)
    again = sample(denoiser, sampler, 3, task="forecast", given=[item], size=horizon, batch_size=2)
    np.testing.assert_allclose(made[2].values, again[2].values, rtol=1e-4, atol=1e-6)


def test_a_longer_forecast_begins_as_a_shorter_one():
    modality = fitted(covariates=[])
    item = modality.read(memory(table(50, 5)), {})
    short, long = (
        sample(untrained(modality), samplers.DDIM(3), task="forecast", given=[item], size=s)[0] for s in (6, 20)
    )
    np.testing.assert_array_equal(long.values[:56], short.values)


def test_pieces_have_noise_of_their_own():
    modality = fitted(covariates=[], classes=[], static=[])
    item = modality.read(memory(table(50, 5)), {})
    (made,) = sample(untrained(modality), samplers.DDIM(3), task="forecast", given=[item], size=18)
    rounds = made.values[50:].reshape(3, 6, 2)
    assert np.abs(np.diff(rounds, axis=0)).min() > 0


def test_gaps_are_filled_and_the_rest_is_exact():
    modality = fitted(covariates=[])
    frame = table(70, 5)
    frame.loc[[3, 40, 41], "a"] = np.nan
    item = modality.read(memory(frame), {})
    (made,) = sample(untrained(modality), samplers.DDIM(3), task="impute", given=[item])
    given = frame[["a", "b"]].to_numpy()
    assert np.isfinite(made.values).all()
    np.testing.assert_array_equal(made.values[np.isfinite(given)], given[np.isfinite(given)])


def test_sizes_are_refused_by_tasks_that_make_none():
    modality = fitted(covariates=[])
    item = modality.read(memory(table(20, 5)), {})
    with pytest.raises(ValueError, match="given items bring their own"):
        sample(untrained(modality), samplers.DDIM(3), task="impute", given=[item], size=5)


def test_a_mask_file_says_what_is_known():
    modality = fitted()
    item = modality.read(memory(table(5)), {})
    mask = pd.DataFrame({"a": [1, 0, 1, 1, 0], "b": [0, 1, 1, 1, 1]})
    assert modality.read_known(memory(mask, "m.csv"), item)[:, 0].tolist() == [True, False, True, True, False]
    with pytest.raises(BadItem, match=r"is a mask \(4, 2\) for a series \(5, 2\)"):
        modality.read_known(memory(mask[:4], "m.csv"), item)


def test_a_calendar_without_dates_is_refused():
    modality = TimeSeries(columns=["a"], window=24, calendar=True)
    rows = modality.rows([Row(memory(table().drop(columns=["date"])))], (1.0, 0.0, 0.0))
    items = [modality.read(row.file, row.values) for row in rows]
    with pytest.raises(ValueError, match=r"modality\.calendar=true, and x\.csv\[0:24\] has no dates"):
        modality.fit(items)
