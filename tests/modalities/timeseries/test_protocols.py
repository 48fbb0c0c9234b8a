"""The tables that a run of series can be asked for, on samples that are planted."""

import numpy as np
import pytest
from ornstein.core.evaluation import Subject
from ornstein.core.modality import Item
from ornstein.modalities.timeseries import Series, TimeSeries, scores, ts2vec
from ornstein.modalities.timeseries.protocols import Floors, Published


def waves(n, seed, steps=40):
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0, 6.28, (n, 1, 2))
    values = np.sin(np.arange(steps)[:, None] * rng.uniform(0.3, 0.5, (n, 1, 2)) + phase) + np.array([2.0, 5.0])
    index = np.datetime64("2024-01-01", "ns") + np.arange(steps) * np.timedelta64(6, "h")
    return [Item(Series(each, ("a", "b"), index, "6h", name=str(i)), key=str(i)) for i, each in enumerate(values)]


PARTS = {"train": waves(120, 0), "test": waves(30, 1)}


def subject(draw, parts=PARTS):
    modality = TimeSeries(window=40, horizon=10)
    modality.fit(parts["train"])
    return Subject(modality, draw, parts.__getitem__)


def truth(n, task, given, known):
    return [item.data for item in given for _ in range(n)]


def run(protocol, draw, parts=PARTS):
    said = []
    table = protocol.run(subject(draw, parts), 0, said.append)
    values = {column: {name: score.values for name, score in row.items()} for column, row in table.columns.items()}
    return values, table.facts, said


def test_a_run_offers_both():
    found = TimeSeries().protocols()
    assert found == {"published": Published(), "floors": Floors()}
    assert all(protocol.about for protocol in found.values())


def test_an_ensemble_of_the_truth_has_no_error_and_every_floor_has():
    asked = {}

    def draw(**words):
        asked.update(words)
        return truth(**words)

    columns, facts, said = run(Floors(n=8, members=5), draw)
    assert list(columns) == ["ours", "seasonal naive", "AR ridge", "linear interpolation", "Gaussian windows"]
    assert facts == {"items": 8, "season": 4}  # a day of steps of 6 hours
    assert said == ["5 samples for each of 8 of the 30 held-out items"]
    assert (asked["n"], asked["task"]) == (5, "forecast")
    assert [item.key for item in asked["given"]] == ["0", "4", "8", "12", "17", "21", "25", "29"]  # even over the part
    assert all(bits[:30].all() and not bits[30:].any() for bits in asked["known"])
    for name in ("CRPS", "CRPS-sum", "ND", "NRMSE", "MASE", "MAE", "RMSE"):
        assert columns["ours"][name][0] == pytest.approx(0, abs=1e-12)
        assert all(columns[floor][name][0] > 0.001 for floor in columns if floor != "ours")
    assert columns["ours"]["90 % coverage"] == (1,)


def test_members_of_other_items_are_seen():
    """The order of samples is item by item: members that are handed to their neighbours are wrong."""

    def shifted(**asked):
        samples = truth(**asked)
        return samples[1:] + samples[:1]

    columns, *_ = run(Floors(n=8, members=5), shifted)
    assert columns["ours"]["RMSE"][0] > 0.05


def test_a_season_may_be_said_and_another_task_taken():
    columns, facts, _ = run(Floors(task="impute_50", n=50, members=3, season=7), truth)
    assert facts == {"items": 30, "season": 7}  # no more than are held out
    assert columns["ours"]["CRPS"][0] == pytest.approx(0, abs=1e-12)
    assert columns["linear interpolation"]["MAE"] < columns["seasonal naive"]["MAE"]


def test_the_published_scores_stand_beside_those_of_two_halves(monkeypatch):
    monkeypatch.setattr(ts2vec, "training_steps", lambda x: 3)
    monkeypatch.setattr(scores.predictive_scores, "__defaults__", (5, 0, 5))
    parts, asked = {"train": waves(40, 0, 12)}, []

    def copies(n):
        asked.append(n)
        return [item.data for item in parts["train"][:n]]

    wanted = ("predictive", "Context-FID")
    columns, facts, said = run(Published(n=30, repeats=3, scores=wanted), copies, parts)
    assert asked == [30]
    assert facts == {"windows": 40, "steps": 12}
    assert list(columns) == ["ours", "real halves"]
    assert all(tuple(row) == wanted and all(len(v) == 3 for v in row.values()) for row in columns.values())
    assert said[0] == "ours:"
    all_of_them, *_ = run(Published(n=40, repeats=1, scores=("Context-FID",)), copies, parts)
    assert all_of_them["ours"]["Context-FID"][0] < 1e-9  # copies are perfect in the published table


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Floors(task="unconditional"), "gives nothing"),
        (lambda: Floors(members=0), "members=0"),
        (lambda: Floors(season=0), "season=0"),
        (lambda: Published(scores=("fid",)), "'fid'"),
        (lambda: Published(repeats=0), "0 times"),
        (lambda: Published(n=3), "at least 10 windows"),
    ],
)
def test_settings_that_make_no_sense_are_refused_before_anything_is_sampled(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_an_unknown_task_and_an_empty_part_are_refused_before_anything_is_sampled():
    def never(**asked):
        raise AssertionError("sampled")

    with pytest.raises(LookupError, match="unknown task 'forcast'; choose from unconditional, forecast"):
        run(Floors(task="forcast"), never)
    with pytest.raises(ValueError, match="no item is held out"):
        run(Floors(), never, {**PARTS, "test": []})
