"""What `ornstein evaluate` says of series: on the right side for real data, noise and copies; and ensembles."""

import numpy as np
import pytest
import torch
from ornstein.core.evaluation import Context, Judged, evaluate
from ornstein.core.modality import Item, Modality
from ornstein.core.rng import generator
from ornstein.modalities.timeseries import TimeSeries, evaluation, scores, ts2vec
from ornstein.modalities.timeseries.ensembles import ensembles, forecast_table, season_of
from ornstein.modalities.timeseries.protocols import floor_columns
from ornstein.modalities.timeseries.published import halves, published_table
from ornstein.modalities.timeseries.series import Series

COLUMNS = ("a", "b", "c")


def series(n, seed, kind="waves", steps=12):
    rng = np.random.default_rng(seed)
    t = np.arange(steps)[:, None]
    values = np.sin(t * rng.uniform(0.3, 0.5, (n, 1, 3)) + rng.uniform(0, 6.28, (n, 1, 3))) * [1.0, 10.0, 0.1]
    if kind == "noise":
        values = np.abs(rng.standard_normal((n, steps, 1))) * [1.0, 10.0, 0.1]
    return [Series(each, COLUMNS, freq="h") for each in values]


def judged(samples, given=None, known=None):
    return Judged(samples, [{}] * len(samples), [str(i) for i in range(len(samples))], given, known)


@pytest.fixture(scope="module")
def table():
    """Values of all metrics for four candidates, with short training of the networks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scores.cross_judged, "__defaults__", (0, 250))
        patch.setattr(scores.predictive_errors, "__defaults__", (5, 0, 150))
        patch.setattr(ts2vec, "training_steps", lambda x: 10)
        train, held = judged(series(120, 0)), judged(series(60, 1))
        candidates = {"alike": judged(series(60, 2)), "noise": judged(series(60, 3, "noise"))}
        candidates |= {
            "copies": judged(train.samples[:60]),
            "real": held.take(np.random.default_rng(0).permutation(60).tolist()),
        }
        found, extractor = {}, None
        for spec in evaluation.series_metrics("unconditional"):
            if spec.extractor is not None and extractor is None:
                extractor = spec.extractor.fit(train, held, seed=0, device="cpu", track=lambda *_: lambda: None)
            context = Context(held, extractor if spec.extractor else None, 0)
            found[spec.name] = {name: spec.compute(each, train, context) for name, each in candidates.items()}
            part = candidates["alike"].take(range(0, 60, 2))
            found[spec.name]["half"] = spec.compute(part, train, context)
    return found


def test_names_say_which_is_held_out(table):
    assert {"Context-FID", "Context-FID, held-out", "discriminative score, held-out", "predictive score, held-out",
            "correlational score", "autocorrelation distance", "spectrum distance", "marginal Wasserstein",
            "memorisation", "near copies"} <= set(table)  # fmt: skip


@pytest.mark.parametrize(
    "name",
    ["Context-FID", "Context-FID, held-out", "discriminative score, held-out", "correlational score",
     "autocorrelation distance", "spectrum distance", "marginal Wasserstein"],
)  # fmt: skip
def test_noise_is_worse_than_windows_alike(table, name):
    assert table[name]["noise"] > 1.5 * max(table[name]["alike"], table[name]["real"])


def test_every_value_is_finite_for_parts_too(table):
    assert all(np.isfinite(value) for row in table.values() for value in row.values())


def test_copies_are_told_from_windows_alike(table):
    assert table["memorisation"]["copies"] == 1
    assert table["memorisation"]["real"] == 0.5
    assert table["memorisation"]["alike"] == pytest.approx(0.5, abs=0.12)
    assert table["near copies"]["copies"] == 1
    assert table["near copies"]["alike"] < 0.2


def test_the_real_column_of_held_out_scores_sets_training_windows_against_them(table):
    assert table["Context-FID, held-out"]["real"] > 0
    assert table["discriminative score, held-out"]["real"] < 0.2


def test_parts_of_the_real_column_keep_their_own_training_windows():
    train, held = judged(series(30, 0)), judged(series(20, 1))
    context = Context(held, None, 0)
    real = held.take(range(20))
    whole = evaluation._stand_in(real, train, context).samples
    part = evaluation._stand_in(real.take([3, 7]), train, context).samples
    assert [id(sample) for sample in part] == [id(whole[3]), id(whole[7])]
    ours = judged(series(20, 2))
    assert evaluation._stand_in(ours, train, context) is ours


def test_scale_and_length_are_those_of_the_training_windows():
    longer = [*series(5, 0), *series(5, 1, steps=20)]
    longer[0].values[3:5, 1] = np.nan
    windows = evaluation.Windows.of(longer)
    x = windows(longer)
    assert x.shape == (10, 12, 3)
    assert x.min() >= 0
    assert x.max() <= 1
    raw = windows.raw(longer)
    assert raw[0, 3:5, 1].isnan().all()
    assert float(x[0, 3, 1]) == pytest.approx(float(2 * raw[0, 2, 1] + raw[0, 5, 1]) / 3, rel=1e-5)  # a straight line
    with pytest.raises(ValueError, match="have 3 channels and at least 12 steps"):
        windows(series(2, 0, steps=11))


def test_an_unobserved_channel_and_a_constant_one_are_finite():
    values = np.stack([np.full((4, 6), np.nan), np.ones((4, 6))], -1)
    x = evaluation.Windows.of([Series(each, ("a", "b")) for each in values])([Series(values[0], ("a", "b"))])
    assert torch.isfinite(x).all()


def test_samples_of_one_item_are_one_ensemble():
    items = [Item(each, key=str(i)) for i, each in enumerate(series(2, 0))]
    known = [np.broadcast_to((np.arange(12) < 8)[:, None], (12, 3)).copy() for _ in items]
    samples = series(7, 5)
    order = [0, 1, 0, 1, 0, 1, 0]
    target, members, bits = ensembles(judged(samples, [items[i] for i in order], [known[i] for i in order]))
    assert members.shape == (2, 3, 12, 3)
    assert np.array_equal(target[1], items[1].data.values)
    assert np.array_equal(members[1, 2], samples[5].values)
    assert np.array_equal(bits[0], known[0])


def test_a_season_is_what_is_usual_for_the_frequency():
    found = {f: season_of(f) for f in ("h", "15min", "D", "2h", "MS", "W-SUN", "QS-OCT", None, "YS")}
    assert found == {"h": 24, "15min": 96, "D": 7, "2h": 12, "MS": 12, "W-SUN": 52, "QS-OCT": 4, None: 1, "YS": 1}


def test_scores_of_given_items_need_them_and_find_the_truth():
    items = [Item(each, key=str(i)) for i, each in enumerate(series(14, 0, steps=40))]
    known = [np.broadcast_to((np.arange(40) < 30)[:, None], (40, 3)).copy() for _ in items]
    truth, other = judged([i.data for i in items], items, known), judged(series(14, 9, steps=40), items, known)
    train = judged(series(30, 4, steps=40))
    specs = {spec.name: spec for spec in evaluation.series_metrics("forecast", "2h")}
    assert specs["CRPS"].missing(train) == "nothing was given here"
    for name in ("CRPS", "CRPS-sum", "ND", "NRMSE", "MASE", "MAE", "RMSE", "change of given values"):
        context = Context(train, None, 0)
        assert specs[name].compute(truth, train, context) == 0
        assert specs[name].compute(other, train, context) > 0


class Undrawn(TimeSeries):
    """Without the pictures, which take most of a small report's time."""

    render = Modality.render


def report(samples, given, known, held):
    train = [Item(each, key=f"train {i}") for i, each in enumerate(series(60, 4, steps=40))]
    modality = Undrawn(window=40, horizon=10)
    modality.fit(train)
    return evaluate(modality, samples, [{}] * len(samples), train, held, task="forecast", given=given, known=known,
                    progress=False)  # fmt: skip


def test_a_report_of_ensembles_judges_their_members_together_and_leaves_out_whole_items():
    held = [Item(each, key=f"held {i}") for i, each in enumerate(series(15, 5, steps=40))]
    bits = [np.broadcast_to((np.arange(40) < 30)[:, None], (40, 3)).copy() for _ in held]
    each = [i for i in range(15) for _ in range(4)]
    given, known = [held[i] for i in each], [bits[i] for i in each]
    truth = report([item.data for item in given], given, known, held)
    assert (truth.facts["n"], truth.facts["members"]) == (15, 4)
    assert any("4 samples for each of n given items" in note for note in truth.notes)
    for name in ("CRPS", "CRPS-sum", "MASE", "RMSE", "change of given values"):
        row = next(row for row in truth.rows if row["metric"] == name)
        assert row["ours"] == pytest.approx({"value": 0, "spread": 0}, abs=1e-12)
        assert row["real"] == {"missing": "nothing was given here"}
    assert truth.value("CRPS", "floor") > 0.01
    assert truth.value("change of given values", "floor") == 0

    rng = np.random.default_rng(0)
    errors = rng.standard_normal((15, 4, 40, 3)) * np.arange(1, 16)[:, None, None, None]
    samples = [Series(np.where(bits[i], held[i].data.values, held[i].data.values + e), COLUMNS, freq="h")
               for i in range(15) for e in errors[i]]  # fmt: skip
    noisy = report(samples, given, known, held)
    own = np.abs(np.median(errors, 1)[:, 30:]).mean((1, 2))  # of each item, whose horizons are of one length
    assert noisy.value("MAE") == pytest.approx(own.mean(), rel=1e-9)
    order = generator(0, "evaluation", "ours").permutation(15)
    without = np.array([own[[i for k, i in enumerate(order) if k % 5 != part]].mean() for part in range(5)])
    spread = np.sqrt(4 / 5 * np.square(without - without.mean()).sum())
    row = next(row for row in noisy.rows if row["metric"] == "MAE")
    assert row["ours"]["spread"] == pytest.approx(spread, rel=1e-9)


def test_the_floor_of_ensembles_has_as_many_members_and_they_differ():
    items = [Item(each, key=str(i)) for i, each in enumerate(series(60, 0, steps=40))]
    bits = [np.broadcast_to((np.arange(40) < 30)[:, None], (40, 3)).copy() for _ in range(2)]
    order = [0, 1, 0, 1, 0]
    given, known = [items[i] for i in order], [bits[i] for i in order]
    found = evaluation.series_floor(items, [{}] * 5, np.random.default_rng(0), given, known)
    for i, j in enumerate(order):
        assert np.array_equal(found[i].values[:30], items[j].data.values[:30])
    made = [each.values[30:] for each in found]
    assert all(np.abs(made[i] - made[j]).min() > 0 for i in range(5) for j in range(i))


def test_floors_beside_an_ensemble_fill_a_table():
    train = np.stack([each.values for each in series(200, 0, steps=40)])
    target = np.stack([each.values for each in series(10, 1, steps=40)])
    known = np.broadcast_to((np.arange(40) < 30)[None, :, None], target.shape)
    columns = floor_columns(train, target, known, 20, 12, 0)
    table = forecast_table(target, known, columns, 12)
    assert set(table) == {"seasonal naive", "AR ridge", "linear interpolation", "Gaussian windows"}
    assert table["AR ridge"]["CRPS"] < table["seasonal naive"]["CRPS"]
    assert all(value is not None for row in table.values() for value in row.values())


def test_a_score_that_is_undefined_is_left_empty_and_said():
    said, target = [], np.stack([each.values for each in series(3, 1)])
    known = np.broadcast_to((np.arange(12) < 8)[None, :, None], target.shape)
    table = forecast_table(target, known, {"truth": target[:, None]}, 24, said.append)
    assert table["truth"]["MASE"] is None
    assert table["truth"]["CRPS"] == 0
    assert said == ["truth, MASE: no item has a known part that changes over a season of 24 steps"]


def test_the_floor_of_an_unconditional_task_is_a_sample_for_each_condition_and_of_a_given_one_its_continuation():
    items = [Item(each, key=str(i)) for i, each in enumerate(series(30, 0))]
    drawn = evaluation.series_floor(items, [{}] * 5, np.random.default_rng(0))
    assert len(drawn) == 5
    assert drawn[0].columns == COLUMNS
    known = [np.broadcast_to((np.arange(12) < 8)[:, None], (12, 3))] * 2
    given = [Item(each) for each in series(2, 8)]
    (first, _) = evaluation.series_floor(items, [{}] * 2, np.random.default_rng(0), given, known)
    assert np.array_equal(first.values[:8], given[0].data.values[:8])
    assert np.abs(first.values[8:] - given[0].data.values[8:]).min() > 0


def test_the_published_table_has_a_spread_and_is_seeded():
    real = torch.from_numpy(np.stack([s.values for s in series(80, 0)])).float()
    real = (real - real.amin((0, 1))) / (real.amax((0, 1)) - real.amin((0, 1)))
    a, b = halves(real)
    assert len(a) == len(b) == 40
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ts2vec, "training_steps", lambda x: 3)
        patch.setattr(scores.discriminative_scores, "__defaults__", (5, 0, 5))
        patch.setattr(scores.predictive_scores, "__defaults__", (5, 0, 5))
        first, second = published_table(a, b[:30], 3), published_table(a, b[:30], 3)
    assert first == second
    assert list(first) == ["Context-FID", "correlational", "discriminative", "predictive"]
    assert all(len(score.values) == 3 and score.half_width > 0 for score in first.values())
    for which, repeats, found in (
        (("fid",), 5, r"\['fid'\], 5"),
        ((), 5, r"\[\], 5"),
        (("predictive",), 0, ", 0 times"),
    ):
        with pytest.raises(ValueError, match=f"found .*{found}"):
            published_table(a, b, repeats, which=which)


def test_values_between_0_and_1_are_scored_as_they_are():
    """As the published scores of Sines; anything wider is brought to [0, 1] by its range."""
    inside = Series(np.linspace(0.5, 1, 24)[:, None] * np.ones((1, 2)), ("a", "b"))
    wide = Series(np.linspace(-1, 3, 24)[:, None] * np.ones((1, 2)), ("a", "b"))
    for samples, expected in (([inside], inside.values), ([wide], (wide.values + 1) / 4)):
        np.testing.assert_allclose(evaluation.Windows.of(samples).raw(samples)[0], expected, rtol=1e-12)
