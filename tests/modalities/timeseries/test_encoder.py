"""Model space: round trips, scales that never see what is to be made, gaps, patches and lengths."""

import numpy as np
import pytest
import torch
from ornstein.core.modality import Item
from ornstein.modalities.timeseries import Series, TimeSeries

RNG = np.random.default_rng(0)
SCALES = ["minmax", "standard", "robust", "instance_standard", "instance_mean"]


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
    assert aux["offset"][0][1] == modality._scaling.arrays["offset"][1]
    assert aux["scale"][0][1] == modality._scaling.arrays["scale"][1]
    assert aux["offset"][0][0] == pytest.approx(given[0].data.values[:, 0].mean())


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
    assert all(min(abs(o[0] - x) for x in offsets) < 1e-9 for o in blank.aux["offset"])
    assert modality.blank(2, {}, RNG, 17).aux["steps"] == [17, 17]
    with pytest.raises(ValueError, match="give a number of steps"):
        modality.blank(2, {}, RNG, (3, 4))
