"""Windows: where they begin, and that none of one part sees a step of another."""

import numpy as np
import pytest
from ornstein.core.modality import BadItem
from ornstein.core.sources import File, Memory, Row, split
from ornstein.modalities.timeseries import TimeSeries

pytest.importorskip("pandas")
SHARES = (0.6, 0.2, 0.2)


def source(*lengths, values=None, extra=""):
    """One file for each length, whose only channel counts the steps."""
    head = "v" + (",split" if extra else "")
    files = {
        f"{i}.csv": "\n".join([head, *(f"{j}{extra and ',' + extra[j]}" for j in range(n))])
        for i, n in enumerate(lengths)
    }
    store = Memory("m", {name: text.encode() for name, text in files.items()})
    return [Row(File(name, store), dict(values or {})) for name in files]


def parts(modality, rows, shares=SHARES):
    return split(modality.rows(rows, shares), 0, shares)


def steps(modality, rows):
    """The steps that the windows of each part see."""
    return {part: [modality.read(r.file, r.values).data.values[:, 0] for r in of] for part, of in rows.items()}


def test_by_time_no_window_crosses_a_border_and_blocks_have_their_shares():
    modality = TimeSeries(window=10, stride=3)
    seen = steps(modality, parts(modality, source(100)))
    blocks = {"train": (0, 60), "validation": (60, 80), "test": (80, 100)}
    for part, (start, stop) in blocks.items():
        first = [w[0] for w in seen[part]]
        assert first == list(range(start, stop - 9, 3))
        assert all(len(w) == 10 and w[0] >= start and w[-1] < stop and (np.diff(w) == 1).all() for w in seen[part])


def test_by_blocks_held_out_windows_come_from_all_times_and_share_no_step_with_training():
    modality = TimeSeries(window=5, protocol="blocks")
    seen = steps(modality, parts(modality, source(8000)))
    sets = {part: {x for w in windows for x in w} for part, windows in seen.items()}
    assert sum(map(len, sets.values())) == len(set().union(*sets.values())) == 8000
    assert [len(sets[part]) / 8000 for part in sets] == pytest.approx(SHARES, abs=0.12)
    assert all((np.diff(w) == 1).all() and w[0] // 80 == w[-1] // 80 for windows in seen.values() for w in windows)
    thirds = np.histogram(list(sets["test"]), 3, (0, 8000))[0]
    assert (thirds > 0.1 * thirds.sum()).all()


def placed(rows):
    """The series of each part."""
    return {part: {(r.file.name, r.values["series"]) for r in of} for part, of in rows.items()}


def test_by_series_whole_ones_stay_together_and_are_placed_as_files_are():
    modality = TimeSeries(window=4, protocol="series")
    found = modality.rows(source(*[8] * 500), SHARES)
    parts = split(found, 0, SHARES)
    series = placed(parts)
    assert [len(series[part]) / 500 for part in series] == pytest.approx(SHARES, abs=0.06)
    assert sum(map(len, series.values())) == 500  # none is in two parts
    assert all(len(of) == 5 * len(series[part]) for part, of in parts.items())
    assert placed(split(found, 1, SHARES)) != series
    assert series == placed(split(modality.rows(source(*[8] * 500), SHARES), 0, SHARES))
    fewer = placed(split(modality.rows(source(*[8] * 250), SHARES), 0, SHARES))
    assert all(fewer[part] <= series[part] for part in series)  # added files move no other
    bare = split(source(*[8] * 500), 0, SHARES)
    assert {part: {name for name, _ in of} for part, of in series.items()} == {
        part: {r.file.name for r in of} for part, of in bare.items()
    }


def test_series_of_one_file_are_placed_one_by_one_or_by_what_is_asked_for():
    lines = "\n".join(f"s{i},{j},{i % 7}" for i in range(70) for j in range(6))
    rows = [Row(File("x.csv", Memory("m", {"x.csv": f"item_id,v,w\n{lines}".encode()})), {"site": "here"})]
    found = TimeSeries(window=4, protocol="series").rows(rows, SHARES)
    assert min(len(of) for of in placed(split(found, 0, SHARES)).values()) > 5
    together = placed(split(found, 0, SHARES, group_by="site"))
    assert sorted(map(len, together.values())) == [0, 0, 70]


def test_without_a_window_series_are_items_of_any_length():
    modality = TimeSeries()
    items = [modality.read(r.file, r.values) for r in modality.rows(source(3, 5, 4, 9), (1.0, 0.0, 0.0))]
    assert [item.data.steps for item in items] == [3, 5, 4, 9]


def test_as_published_every_window_trains_and_the_same_are_held_out():
    modality = TimeSeries(window=10, protocol="published")
    seen = steps(modality, parts(modality, source(100)))
    assert [w[0] for w in seen["train"]] == list(range(91))
    held = [w[0] for w in seen["test"]]
    assert len(held) == len(seen["validation"]) == round(0.2 * 91)
    assert set(held) < set(range(91))
    assert max(np.diff(held)) <= 6  # spread over the whole
    assert not set(held) & {w[0] for w in seen["validation"]}


def test_an_official_column_and_official_folders_are_obeyed():
    words = ["train"] * 10 + ["val"] * 6 + ["test"] * 5
    modality = TimeSeries(window=5)
    seen = steps(modality, parts(modality, source(21, extra=words)))
    assert [[w[0] for w in seen[p]] for p in ("train", "validation", "test")] == [[*range(6)], [10, 11], [16]]
    rows = parts(modality, source(8, values={"split": "test"}) + source(8, values={"split": "train"}))
    assert (len(rows["train"]), len(rows["test"])) == (4, 4)
    with pytest.raises(BadItem, match=r"0\.csv: column 'split' holds 'later'"):
        modality.rows(source(21, extra=["later"] * 21), SHARES)


def test_only_the_first_steps_where_asked():
    modality = TimeSeries(window=10, first=50)
    assert max(w[-1] for w in steps(modality, parts(modality, source(100)))["test"]) == 49


def test_windows_without_an_observation_are_left_out():
    store = Memory("m", {"x.csv": b"v,w\n" + b"1,\n" * 4 + b",\n" * 6 + b"2,\n" * 4})
    rows = TimeSeries(window=3, columns=["v"]).rows([Row(File("x.csv", store))], (1.0, 0.0, 0.0))
    starts = [r.values["start"] for r in rows]
    assert starts == [0, 1, 2, 3, 8, 9, 10, 11]


def test_a_window_longer_than_the_series_is_refused_with_its_length():
    with pytest.raises(ValueError, match=r"no window of 64 steps fits: the longest series, m!1\.csv, has 30 steps"):
        TimeSeries(window=64).rows(source(20, 30), SHARES)


@pytest.mark.parametrize("window", [None, 2])
def test_series_of_which_nothing_was_observed_are_refused(window):
    store = Memory("m", {"x.csv": b"v,w\n,\n,\n,\n"})
    with pytest.raises(ValueError, match=r"x\.csv, \.\.\.: nothing was observed in any of [12] windows"):
        TimeSeries(window=window, columns=["v"]).rows([Row(File("x.csv", store))], (1.0, 0.0, 0.0))


def test_given_files_are_taken_whole_and_to_their_end():
    modality = TimeSeries(window=10, first=50, protocol="published")
    rows = modality.rows(source(100, 7), None)
    items = [modality.read(row.file, row.values) for row in rows]
    assert [item.data.values[:, 0].tolist() for item in items] == [list(range(100)), list(range(7))]
    assert [item.key for item in items] == ["0.csv", "1.csv"]
    assert not any("split" in row.values for row in rows)


@pytest.mark.parametrize("option", ["window", "stride", "patch", "horizon", "first"])
def test_options_below_one_are_refused(option):
    with pytest.raises(ValueError, match=rf"modality\.{option}=0: at least 1"):
        TimeSeries(**{option: 0})
