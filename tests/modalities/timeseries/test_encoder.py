"""Model space: round trips, scales that never see what is to be made, gaps, patches and lengths."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from ornstein.core.modality import Item
from ornstein.modalities.timeseries import Series, TimeSeries

RNG = np.random.default_rng(0)
SCALES = ["minmax", "standard", "robust", "instance_standard", "instance_mean", "instance_level", "line"]


def series(steps=24, channels=3, seed=0, gaps=False, **more):
    draw = np.random.default_rng(seed)
    values = np.exp(draw.normal(size=(steps, channels))) * [1.0, 1e4, 1e-3][:channels] + [0.0, -5e3, 1.0][:channels]
    if gaps:
        values[draw.random(values.shape) < 0.3] = np.nan
    return Series(values, tuple("abc"[:channels]), name=str(seed), **more)


def items(n=8, **options):
    return [Item(series(seed=i, **options), key=str(i)) for i in range(n)]


def fitted(given, **options):
    modality = TimeSeries(**options)
    modality.fit(given)
    return modality


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("transform", ["none", "log", "quantile"])
@pytest.mark.parametrize("patch", [1, 5])
def test_values_survive_the_way_there_and_back(scale, transform, patch):
    given = items(gaps=True)
    modality = fitted(given, scale=scale, transform=transform, patch=patch)
    encoded = modality.encode(given, None, RNG)
    back = modality.decode(encoded.state, encoded.mask, encoded.aux)
    for sample, item in zip(back, given, strict=True):
        spread = np.nanstd(item.data.values, axis=0)
        if scale == "instance_mean":  # a channel far from 0 keeps fewer digits of its changes
            spread = np.nanmax(np.abs(item.data.values), axis=0)
        np.testing.assert_array_equal(np.isnan(sample.values), np.isnan(item.data.values))
        assert np.nanmax(np.abs(sample.values - item.data.values) / spread) < 2e-5


def test_scales_mean_what_they_say():
    given = items(50)
    x = {
        scale: fitted(given, scale=scale).encode(given, None, RNG).state["series"].double().flatten(0, 1)
        for scale in SCALES
    }
    torch.testing.assert_close(x["minmax"].amin(0), torch.full((3,), -1.0).double())
    torch.testing.assert_close(x["minmax"].amax(0), torch.full((3,), 1.0).double())
    torch.testing.assert_close(x["standard"].mean(0), torch.zeros(3).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(x["standard"].std(0, correction=0), torch.ones(3).double(), atol=1e-5, rtol=0)
    torch.testing.assert_close(x["robust"].median(0).values, torch.zeros(3).double(), atol=0.01, rtol=0)
    own = fitted(given, scale="instance_standard").encode(given, None, RNG).state["series"].double()
    torch.testing.assert_close(own.std(1, correction=0), torch.ones(50, 3).double(), atol=1e-5, rtol=0)
    own = fitted(given, scale="instance_mean").encode(given, None, RNG).state["series"].double()
    torch.testing.assert_close(own.abs().mean(1), torch.ones(50, 3).double(), atol=1e-5, rtol=0)
    own = fitted(given, scale="instance_level").encode(given, None, RNG).state["series"].double()
    torch.testing.assert_close(own.mean(1), torch.zeros(50, 3).double(), atol=1e-5, rtol=0)
    torch.testing.assert_close(own.var(1, correction=0).mean(0), torch.ones(3).double(), atol=1e-5, rtol=0)


def test_the_quantile_transform_gives_normal_scores():
    x = (
        fitted(items(200), transform="quantile", scale="standard")
        .encode(items(200), None, RNG)
        .state["series"]
        .flatten(0, 1)
    )
    levels = torch.linspace(0.05, 0.95, 19)
    normal = torch.special.ndtri(levels)
    assert (torch.quantile(x, levels, dim=0) - normal[:, None]).abs().max() < 0.06


@pytest.mark.parametrize("scale", SCALES)
def test_a_spike_in_the_future_changes_neither_context_nor_scale(scale):
    given = items()
    modality = fitted(given, scale=scale)
    known = np.arange(24)[:, None] < np.full((1, 3), 16)
    spiked = [Item(Series(np.where(known, item.data.values, 1e9), item.data.columns), key=item.key) for item in given]
    before, after = (modality.encode(x, [known] * 8, RNG) for x in (given, spiked))
    assert torch.equal(before.known.values["series"], after.known.values["series"])
    assert torch.equal(before.state["series"][:, :16], after.state["series"][:, :16])
    for name in {"offset", "scale"} & set(before.aux):
        np.testing.assert_array_equal(before.aux[name], after.aux[name])


def test_an_instance_of_which_nothing_is_given_in_a_channel_has_its_global_scale():
    given = items()
    modality = fitted(given, scale="instance_standard")
    known = np.ones((24, 3), bool)
    known[:, 1] = False
    aux = modality.encode(given[:1], [known], RNG).aux
    assert aux["offset"][0][0, 1] == modality._scaling.arrays["offset"][1]
    assert aux["scale"][0][0, 1] == modality._scaling.arrays["scale"][1]
    assert aux["offset"][0][0, 0] == pytest.approx(given[0].data.values[:, 0].mean())


def test_gaps_are_missing_and_never_known():
    given = items(gaps=True)
    modality = fitted(given)
    everything = [np.ones((24, 3), bool)] * len(given)
    encoded = modality.encode(given, everything, RNG)
    gaps = torch.from_numpy(np.stack([~item.data.observed for item in given]))
    assert torch.equal(encoded.missing["series"], gaps)
    assert torch.equal(encoded.known.bits["series"], ~gaps)
    assert not encoded.state["series"][gaps].any()
    assert modality.encode(items(), None, RNG).missing == {}


def test_what_was_filled_in_is_kept_and_what_was_not_stays_a_gap():
    given = items(gaps=True)
    modality = fitted(given)
    encoded = modality.encode(given, None, RNG)
    state = torch.where(encoded.missing["series"], 0.5, encoded.state["series"])
    assert all(np.isfinite(s.values).all() for s in modality.decode({"series": state}, encoded.mask, encoded.aux))


def test_series_of_different_lengths_share_a_batch():
    given = [Item(series(steps=t, seed=t), key=str(t)) for t in (24, 7, 12)]
    modality = fitted(given, patch=4)
    encoded = modality.encode(given, None, RNG)
    assert encoded.mask.sum(1).tolist() == [6, 2, 3]
    assert encoded.missing["series"].sum().item() == 3  # the eighth step of the second, in three channels
    back = modality.decode(encoded.state, encoded.mask, encoded.aux)
    assert [s.steps for s in back] == [24, 7, 12]
    np.testing.assert_allclose(back[1].values, given[1].data.values, rtol=1e-3)


def test_a_constant_channel_is_said_aloud_and_kept():
    given = items()
    for item in given:
        item.data.values[:, 2] = 7.0
    modality = TimeSeries()
    with pytest.warns(UserWarning, match="constant in the training part.*: c"):
        modality.fit(given)
    encoded = modality.encode(given, None, RNG)
    assert modality.decode(encoded.state, encoded.mask, encoded.aux)[0].values[:, 2].tolist() == [7.0] * 24


def test_a_channel_that_is_never_observed_is_refused_by_name():
    given = items()
    for item in given:
        item.data.values[:, 1] = np.nan
    with pytest.raises(ValueError, match=r"channel 'b' has no observed value in the training part \(0, \.\.\.\)"):
        TimeSeries().fit(given)


def test_other_channels_than_the_first_item_has_are_refused():
    with pytest.raises(ValueError, match=r"x has the channels a, b, 0 has a, b, c"):
        TimeSeries().fit([*items(1), Item(series(channels=2), key="x")])


def test_a_sample_that_diverged_is_refused():
    modality = fitted(items())
    encoded = modality.encode(items(), None, RNG)
    encoded.state["series"][2, 3] = float("nan")
    with pytest.raises(ValueError, match="1 of 8 samples hold NaN or infinity"):
        modality.decode(encoded.state, encoded.mask, encoded.aux)


def test_new_samples_have_lengths_and_scales_of_the_training_data():
    given = [Item(series(steps=t, seed=t), key=str(t)) for t in (10, 10, 10, 30)]
    modality = fitted(given, scale="instance_standard")
    blank = modality.blank(400, {}, np.random.default_rng(1))
    lengths = np.array(blank.aux["steps"])
    assert set(lengths) == {10, 30}
    assert abs((lengths == 30).mean() - 0.25) < 0.1
    offsets = {item.data.values[:, 0].mean() for item in given}
    assert all(min(abs(o[0, 0] - x) for x in offsets) < 1e-9 for o in blank.aux["offset"])
    assert modality.blank(2, {}, RNG, 17).aux["steps"] == [17, 17]
    with pytest.raises(ValueError, match="give a number of steps"):
        modality.blank(2, {}, RNG, (3, 4))


# Channels apart.


def dated(steps, seed):
    index = (np.datetime64("2024-01-01T00", "ns") + np.arange(steps) * np.timedelta64(1, "h")).astype("datetime64[ns]")
    return series(steps=steps, seed=seed, gaps=True, index=index, freq="h")


@pytest.mark.parametrize("scale", ["minmax", "instance_standard"])
def test_channels_apart_survive_the_way_there_and_back(scale):
    given = [Item(series(steps=t, seed=t, gaps=True), key=str(t)) for t in (24, 7, 12, 5)]
    modality = fitted(given, scale=scale, patch=5, channels="apart")
    encoded = modality.encode(given, None, RNG)
    assert (modality.axes, modality.fields[0].channels) == (2, 5)
    assert encoded.mask.sum(1).tolist() == [15, 6, 9, 3] == [modality.cost(item) for item in given]
    for sample, item in zip(modality.decode(encoded.state, encoded.mask, encoded.aux), given, strict=True):
        np.testing.assert_array_equal(np.isnan(sample.values), np.isnan(item.data.values))
        spread = np.nanmax(np.abs(item.data.values), axis=0)
        assert np.nanmax(np.abs(sample.values - item.data.values) / spread) < 2e-5


@pytest.mark.parametrize("patch", [1, 5])
def test_channels_apart_hold_the_numbers_of_channels_together(patch):
    """Token (i, k) holds the steps p i to p i + p - 1 of channel k: of values, of what is known and of what is missing."""
    given = [Item(series(steps=t, seed=t, gaps=True), key=str(t)) for t in (24, 7)]
    known = [RNG.random(item.data.values.shape) < 0.5 for item in given]
    one, many = (
        fitted(given, patch=patch, channels=c).encode(given, known, RNG) for c in ("together", "apart")
    )  # fmt: skip
    patches = -(-24 // patch)
    for a, b in [
        (one.state, many.state),
        (one.known.bits, many.known.bits),
        (one.known.values, many.known.values),
        (one.missing, many.missing),
    ]:
        assert b["series"].shape == (2, patches * 3, patch)
        whole = a["series"].view(2, patches, patch, 3)
        for i in range(patches):
            for k in range(3):
                assert torch.equal(b["series"][:, 3 * i + k], whole[:, i, :, k])


def test_places_of_channels_apart_are_times_and_channels():
    given = items(2)
    modality = fitted(given, patch=5, channels="apart")
    for layout in (modality.encode(given, None, RNG).layout, modality.blank(2, {}, RNG).layout):
        assert layout.grid == (5, 3)
        assert layout.positions[0].tolist() == [[i, k] for i in range(5) for k in range(3)]
        assert layout.mask.all()
    mixed = [Item(series(steps=t, seed=t), key=str(t)) for t in (24, 7)]
    ragged = fitted(mixed, patch=5, channels="apart").encode(mixed, None, RNG).layout
    assert ragged.grid is None
    assert ragged.positions[ragged.mask].tolist() == [[i, k] for n in (5, 2) for i in range(n) for k in range(3)]


def test_a_channel_that_is_given_is_a_token_known_whole():
    """So its tokens stand at t = 0 while those of another channel are made; together they would share each token."""
    given = items(1)
    known = np.zeros((24, 3), bool)
    known[:, 1] = True
    known[:10, 2] = True
    modality = fitted(given, patch=5, channels="apart")
    encoded = modality.encode(given, [known], RNG)
    fields = {f.name: f for f in modality.fields}
    assert encoded.known.whole(fields, encoded.mask).view(5, 3).tolist() == [
        [False, i < 4, i < 2] for i in range(5)
    ]  # fmt: skip
    together = fitted(given, patch=5)
    encoded = together.encode(given, [known], RNG)
    assert not encoded.known.whole({f.name: f for f in together.fields}, encoded.mask).any()


@pytest.mark.parametrize("patch", [1, 5])
def test_what_is_told_of_a_step_is_told_to_each_channel(patch):
    given = [
        Item(dated(t, t), key=str(t), meta={"covariates": np.random.default_rng(t).normal(size=(t, 2))})
        for t in (24, 7)
    ]
    one, many = (
        fitted(given, patch=patch, channels=c, calendar=True).encode(given, None, RNG).cond
        for c in ("together", "apart")
    )
    assert set(one) == set(many) == {"calendar", "covariates"}
    for name in one:
        assert many[name].value.shape[1] == 3 * one[name].value.shape[1]
        for k in range(3):
            assert torch.equal(many[name].value[:, k::3], one[name].value), name
    modality = fitted(given, patch=patch, channels="apart", calendar=True)
    assert [spec.size for spec in modality.conditions] == [many[s.name].value.shape[2] for s in modality.conditions]


def test_an_unknown_way_of_cutting_is_refused():
    with pytest.raises(ValueError, match=r"modality\.channels='appart'; choose from together, apart"):
        TimeSeries(channels="appart").axes  # noqa: B018 - raises


@pytest.mark.parametrize("channels", ["together", "apart"])
def test_a_line_leaves_what_interpolation_leaves(channels):
    """Values on a straight line between given ones are 0 in model space, given ones always; the model is told the line."""
    t = np.arange(12.0)[:, None]
    bent = np.where(t == 5, 40.0, 3 * t)
    given = [Item(Series(np.hstack([2 * t, bent]), ("a", "b"), name="x"), key="x"), *items(8, channels=2, steps=12)]
    modality = fitted(given, scale="line", patch=2, channels=channels)
    known = np.ones((12, 2), bool)
    known[4:7] = False
    encoded = modality.encode(given[:1], [known], RNG)
    how = modality._tokens
    x = how.join(encoded.state["series"], 2)[0].numpy()
    assert np.abs(x[:, 0]).max() < 1e-6
    assert np.flatnonzero(np.abs(x[:, 1]) > 1e-6).tolist() == [5]
    line = how.join(encoded.cond["line"].value, 2)[0].double().numpy() * modality._scaling.arrays["spread"]
    np.testing.assert_allclose(line + modality._scaling.arrays["offset"], np.hstack([2 * t, 3 * t]), atol=1e-3)
    (back,) = modality.decode(encoded.state, encoded.mask, encoded.aux)
    np.testing.assert_allclose(back.values, given[0].data.values, atol=1e-4)
    blank = modality.blank(2, {}, np.random.default_rng(0))
    (mean, _) = modality.decode(blank.state, blank.mask, blank.aux)
    np.testing.assert_allclose(mean.values, np.tile(modality._scaling.arrays["offset"], (12, 1)))
    assert (blank.cond["line"].value == 0).all()


def test_a_transform_is_of_what_a_line_leaves():
    """log: half of what lines leave is within log 2 of 0, on whatever level the series runs."""
    given = [Item(replace(i.data, values=i.data.values + 1e3), key=i.key) for i in items(40)]
    modality = fitted(given, scale="line", transform="log")
    half = np.random.default_rng(1).random((40, 24, 3)) < 0.5
    encoded = modality.encode(given, list(half), RNG)
    x = encoded.state["series"].numpy() * modality._scaling.arrays["scale"]
    assert (x[half] == 0).all()
    inside = (np.abs(np.where(half, np.nan, x)) < np.log(2)).sum((0, 1)) / (~half).sum((0, 1))
    np.testing.assert_allclose(inside, 0.5, atol=0.08)


def test_a_line_does_not_depend_on_the_rest_of_the_batch():
    given = items(6, steps=10, gaps=True)
    modality = fitted(given, scale="line")
    known = [np.zeros((10, 3), bool) for _ in given]
    known[0][2, 1] = True
    alone, whole = modality.encode(given[:1], known[:1], RNG), modality.encode(given, known, RNG)
    torch.testing.assert_close(alone.state["series"][0], whole.state["series"][0], rtol=0, atol=0)
    torch.testing.assert_close(alone.cond["line"].value[0], whole.cond["line"].value[0], rtol=0, atol=0)
