"""Files of series: what is read from every format, what is mended and said aloud, what is refused with its place."""

import io
import json
import zipfile

import numpy as np
import pytest
from ornstein.core.modality import BadItem
from ornstein.core.sources import File, Memory, Row, file_at, open_source
from ornstein.modalities.timeseries import TimeSeries
from ornstein.modalities.timeseries.tables import Roles, tables

pd = pytest.importorskip("pandas")
HOURS = pd.date_range("2024-01-01", periods=6, freq="h")
VALUES = np.array([[1.5, 10.0], [2.5, 20.0], [3.5, np.nan], [4.5, 40.0], [5.5, 50.0], [6.5, 60.0]])
FRAME = pd.DataFrame({"date": HOURS, "a": VALUES[:, 0], "b": VALUES[:, 1]})


def memory(content, name="x.csv"):
    return File(name, Memory("files", {name: content if isinstance(content, bytes) else content.encode()}))


def one(content, name="x.csv", **roles):
    (table,) = tables(memory(content, name), Roles(**roles)).values()
    return table


def rows(*lines):
    return "\n".join(lines) + "\n"


def in_format(frame, suffix):
    out = io.BytesIO()
    if suffix == ".csv":
        return frame.to_csv(index=False).encode()
    if suffix == ".tsv":
        return frame.to_csv(index=False, sep="\t").encode()
    if suffix == ".parquet":
        frame.to_parquet(out, index=False)
    elif suffix == ".xlsx":
        frame.to_excel(out, index=False)
    elif suffix == ".npy":
        np.save(out, frame[["a", "b"]].to_numpy())
    elif suffix == ".npz":
        np.savez(out, values=frame[["a", "b"]].to_numpy(), columns=np.array(["a", "b"]))
    else:
        entry = {"start": "2024-01-01", "freq": "h", "target": frame[["a", "b"]].to_numpy().T.tolist()}
        return (json.dumps(entry) + "\n").encode()
    return out.getvalue()


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".xlsx", ".npy", ".npz", ".jsonl"])
def test_every_format_gives_the_same_series(suffix):
    series = one(in_format(FRAME, suffix), f"x{suffix}").series
    np.testing.assert_array_equal(series.values, VALUES)
    assert series.values.dtype == np.float64
    if suffix not in (".npy", ".npz"):
        np.testing.assert_array_equal(series.index, HOURS.to_numpy("datetime64[ns]"))
        assert series.freq == "h"
    assert np.array_equal(series.observed, np.isfinite(VALUES))


def test_arrays_of_three_axes_are_series_without_their_padding():
    values = np.arange(12.0).reshape(2, 3, 2)
    values[1, 2:] = np.nan
    out = io.BytesIO()
    np.save(out, values)
    found = tables(memory(out.getvalue(), "x.npy"), Roles())
    assert [t.series.steps for t in found.values()] == [3, 2]


def test_lines_of_gluonts_keep_names_covariates_and_static_values():
    p = {"item_id": "p", "start": "2024-01-01", "target": [1, "NaN", 3], "feat_dynamic_real": [[1, 2, 3, 4]]}
    q = {"item_id": "q", "start": "2024-02-01", "target": [1, 2], "feat_dynamic_real": [[5, 6, 7]]}
    lines = [{**p, "feat_static_cat": ["x"]}, {**q, "feat_static_cat": ["y"]}]
    content = "\n".join(map(json.dumps, lines))
    roles = Roles(freq="D", covariates=("feat_dynamic_real0",), classes=("feat_static_cat0",))
    found = tables(memory(content, "x.jsonl"), roles)
    assert list(found) == ["p", "q"]
    p = found["p"]
    assert p.series.steps == 4  # the future that covariates reach
    assert p.series.observed[:, 0].tolist() == [True, False, True, False]
    assert p.covariates[:, 0].tolist() == [1, 2, 3, 4]
    assert p.classes["feat_static_cat0"].tolist() == ["x"] * 4
    assert str(found["q"].series.index[-1])[:10] == "2024-02-03"


def test_a_long_table_is_cut_by_its_series():
    content = rows("item_id,date,v", "a,2024-01-01,1", "b,2024-01-01,10", "a,2024-01-02,2", "b,2024-01-02,20")
    found = tables(memory(content), Roles())
    assert {name: t.series.values[:, 0].tolist() for name, t in found.items()} == {"a": [1, 2], "b": [10, 20]}
    renamed = tables(memory(content.replace("item_id", "sensor")), Roles(series="sensor"))
    assert list(renamed) == ["a", "b"]


def test_a_folder_and_a_zip_hold_the_same_series(tmp_path):
    (tmp_path / "folder").mkdir()
    for name in "ab":
        FRAME.to_csv(tmp_path / "folder" / f"{name}.csv", index=False)
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for name in "ab":
            archive.write(tmp_path / "folder" / f"{name}.csv", f"{name}.csv")
    modality = TimeSeries()
    sources = [open_source(tmp_path / place, modality.extensions) for place in ("folder", "x.zip", "folder/a.csv")]
    items = [[modality.read(r.file, r.values) for r in source.rows()] for source in sources]
    assert [[item.key for item in part] for part in items] == [["a.csv", "b.csv"], ["a.csv", "b.csv"], ["a.csv"]]
    assert sources[0].fingerprint() == sources[1].fingerprint()


# What is mended.


def test_gaps_become_unobserved_steps_and_are_counted():
    table = one(FRAME.drop(index=[2, 3]).to_csv(index=False))
    assert table.series.steps == 6
    assert np.isnan(table.series.values[2:4]).all()
    assert any("2 missing steps of h" in note for note in table.repairs)


def test_unsorted_rows_are_sorted_and_equal_duplicates_joined():
    shuffled = pd.concat([FRAME.iloc[[3, 0, 1, 5, 4, 2]], FRAME.iloc[[1]]])
    table = one(shuffled.to_csv(index=False))
    np.testing.assert_array_equal(table.series.values, VALUES)
    assert any("sorted by time" in note for note in table.repairs)
    assert any("1 rows that repeat" in note for note in table.repairs)


@pytest.mark.parametrize(
    ("freq", "kept"), [("MS", "MS"), ("ME", "ME"), ("B", "B"), ("15min", "15min"), ("W-MON", "7D"), ("QS", "3MS")]
)
def test_any_frequency_is_found_and_its_gaps_are_filled(freq, kept):
    index = pd.date_range("2023-01-02" if freq in ("B", "W-MON") else "2023-01-01", periods=40, freq=freq)
    frame = pd.DataFrame({"date": index, "v": np.arange(40.0)}).drop(index=[7, 20])
    series = one(frame.to_csv(index=False)).series
    assert series.freq == kept
    np.testing.assert_array_equal(series.index, index.to_numpy("datetime64[ns]"))
    assert np.flatnonzero(~series.observed[:, 0]).tolist() == [7, 20]


def test_irregular_times_stay_as_they_are():
    index = pd.to_datetime(
        ["2024-01-01", "2024-01-01 00:07", "2024-01-03", "2024-02-11 11:11:11", "2024-02-12"], format="mixed"
    )
    table = one(pd.DataFrame({"date": index, "v": range(5)}).to_csv(index=False))
    assert table.series.freq is None
    assert table.series.steps == 5
    assert any("no regular length" in note for note in table.repairs)


def test_offsets_of_summer_time_become_utc_without_gap_or_double():
    local = pd.date_range("2024-10-26 22:00", periods=8, freq="h", tz="UTC").tz_convert("Europe/Berlin")
    table = one(pd.DataFrame({"time": [t.isoformat() for t in local], "v": range(8)}).to_csv(index=False))
    assert table.series.freq == "h"
    assert table.series.values[:, 0].tolist() == list(range(8))
    assert table.series.zone == "UTC"
    parquet = io.BytesIO()
    pd.DataFrame({"time": local, "v": range(8)}).to_parquet(parquet)
    assert one(parquet.getvalue(), "x.parquet").series.zone == "Europe/Berlin"


def test_decimal_commas_are_numbers():
    table = one(rows("date;a;b", "2024-01-01;1,5;1.000,25", "2024-01-02;2;3,5"))
    assert table.series.values.tolist() == [[1.5, 1000.25], [2.0, 3.5]]
    assert table.repairs == ("column 'a' is read with decimal commas",)


def test_seconds_since_1970_are_times():
    for name, unit in (("timestamp", 1), ("timestamp", 1000), ("clock", 10**6)):
        content = rows(f"{name},v", *(f"{(1_704_067_200 + 3600 * i) * unit},{i}" for i in (0, 1, 3)))
        table = one(content, time=None if name == "timestamp" else (name,))
        assert table.series.columns == ("v",)
        np.testing.assert_array_equal(table.series.index, HOURS[:4].to_numpy("datetime64[ns]"))
        assert (table.series.freq, table.series.zone) == ("h", "UTC")
        assert any("since 1970, UTC" in note for note in table.repairs)
    assert one(rows("timestamp,v", "1,2", "2,3")).series.columns == ("timestamp", "v")  # a channel


def test_a_column_without_a_name_that_counts_rows_is_no_channel():
    table = one(FRAME.to_csv())
    assert table.series.columns == ("a", "b")
    assert "a column without a name that counts the rows was left out" in table.repairs
    assert one(rows(",a", "3,1", "5,2")).series.columns == ("Unnamed: 0", "a")


def test_days_before_months_are_found_by_what_is_regular():
    table = one(rows("date,a", "01/02/2024,1", "02/02/2024,2", "03/02/2024,3"))
    assert str(table.series.index[1])[:10] == "2024-02-02"
    assert any("days before months" in note for note in table.repairs)


def test_dates_in_several_columns():
    content = rows("year,month,day,hour,v", "2024,1,1,0,1", "2024,1,1,1,2", "2024,1,1,3,4")
    for roles in ({"time": ("year", "month", "day", "hour"), "columns": ("v",)}, {}):
        series = one(content, **roles).series
        assert (series.freq, series.columns) == ("h", ("v",))
        assert series.observed[:, 0].tolist() == [True, True, False, True]


def test_a_table_without_header_and_one_behind_a_hash():
    assert one(rows("1,2", "3,4")).series.values.tolist() == [[1, 2], [3, 4]]
    assert one(rows("#a, b", "1,2", "3,4")).series.columns == ("a", "b")


def test_rows_say_what_was_mended():
    with pytest.warns(UserWarning, match=r"x\.csv: .*missing steps"):
        TimeSeries().rows([Row(memory(FRAME.drop(index=[2]).to_csv(index=False)))], (0.8, 0.1, 0.1))


# What is refused, with its place.


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (rows("a,b", "1,2", "3,oops", "5,6"), r"column 'b' holds 'oops' in row 2"),
        (rows("a,b", "1,north", "3,south"), r"column 'b' holds words \('north' in row 1\).*modality\.classes=\[b\]"),
        (rows("a;b", "1,5;2", "2.5;2"), r"column 'a' mixes decimal commas \('1,5' in row 1\).*'2\.5' in row 2"),
        (rows("a;b", "1,5;2.5", "2,5;3.5"), r"column 'a' is written with decimal commas and column 'b'"),
        (rows("a,b", "1,2", "3,inf"), r"column 'b' is infinite in row 2"),
        (rows("date,a", "2024-01-01,1", "2024-01-01,2"), r"2024-01-01T00:00:00 stands in row 1 and, with other values, in row 2"),
        (rows("date,a", "2024-01-01,1", "2024-13-45,2", "2024-01-03,2"), r"column 'date' holds '2024-13-45' in row 2"),
        (rows("date,a", "2024-01-01,1", ",2"), r"column 'date' has no date in row 2"),
        (rows("date,a", "1500-01-01,1", "1500-01-02,2"), r"'1500-01-01' in row 1, which is not within the years 1678 to 2261"),
        (rows("date,a", "2024-01-01,1", "9999-12-31,2"), r"'9999-12-31' in row 2, which is not within the years"),
        (rows("time,a", "2024-01-01T00:00+01:00,1", "2024-01-01T01:00,2", "2024-01-01T02:00+01:00,3"),
         r"'2024-01-01T01:00' in row 2 without an offset from UTC"),
        (rows("timestamp,a", "1700000000,1", ",2", "1700007200,3"), r"column 'timestamp' has no date in row 2"),
        (rows("year,month,day,a", "2024,1,1,1", "2024,13,1,2"), r"columns year, month, day make no dates"),
        (rows("a,b", "1,2", "3,4", "total,6"), r"column 'a' holds 'total' in row 3"),
        (rows("date", "2024-01-01", "2024-01-02"), r"no column of numbers: it has date"),
        (rows("a,a", "1,2"), r"column 'a' stands there more than once"),
        (rows("a,b"), r"holds no rows"),
        (rows("a,b", "1,2,3", "1,2,3,4"), r"cannot be read"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named_with_its_place(content, said):
    with pytest.raises(BadItem, match=rf"x\.csv: .*{said}"):
        one(content)


def test_rows_of_a_long_table_are_counted_in_the_file():
    content = rows("item_id,v,w", "a,1,1", "b,2,1", "a,3,1", "b,oops,1")
    with pytest.raises(BadItem, match=r"series 'b': column 'v' holds 'oops' in row 4"):
        tables(memory(content), Roles())

    content = rows("item_id,date,v", "a,2024-01-01,1", "b,2024-01-01,1", "a,2024-01-02,1", "b,2024-01-01,5")
    with pytest.raises(
        BadItem, match=r"series 'b': 2024-01-01T00:00:00 stands in row 2 and, with other values, in row 4"
    ):
        tables(memory(content), Roles())


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ('{"target": [1, "oops"]}', r"line 1: could not convert string to float: 'oops'"),
        ('{"start": "2024-01-01"', r"line 1: Expecting"),
        ('{"targets": [1]}', r"line 1: there is no `target`; it has targets"),
        ('{"start": "hello", "freq": "D", "target": [1]}', r"series '0': `start` 'hello' is no date"),
        ('{"start": "2024-01-01", "freq": "zz", "target": [1]}', r"series '0': `freq` 'zz' is no length of a step"),
        ('{"target": [1, 2, Infinity]}', r"series '0': column 'target' is infinite in row 3"),
    ],
)
def test_lines_that_cannot_be_read_are_named_with_their_number(entry, said):
    with pytest.raises(BadItem, match=rf"x\.jsonl: .*{said}"):
        one(entry + "\n", "x.jsonl")


@pytest.mark.parametrize(
    ("roles", "said"),
    [
        ({"columns": ()}, r"modality\.columns=\[\] leaves no channel"),
        ({"columns": ("a", "a")}, r"'a' stands in modality\.columns and again in modality\.columns"),
        (
            {"columns": ("a", "b"), "covariates": ("b",)},
            r"'b' stands in modality\.columns and again in modality\.covariates",
        ),
        ({"freq": "hourly"}, r"modality\.freq=hourly is no length of a step"),
        ({"freq": "-1h"}, r"modality\.freq=-1h is no length of a step"),
    ],
)
def test_roles_that_make_no_sense_are_refused(roles, said):
    with pytest.raises(ValueError, match=said):
        one(rows("a,b", "1,2", "3,4"), **roles)


def test_times_beside_the_steps_that_were_asked_for_are_named():
    with pytest.raises(BadItem, match=r"2024-01-01T00:07:00 lies on no step of modality\.freq=h"):
        one(rows("date,a", "2024-01-01 00:00,1", "2024-01-01 00:07,2"), freq="h")


def test_a_missing_column_is_named_with_the_nearest():
    with pytest.raises(BadItem, match=r"no column 'temprature': it has temperature, b; did you mean 'temperature'"):
        one(rows("temperature,b", "1,2"), columns=("temprature",))


def test_a_changed_file_is_read_anew(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(rows("a", "1", "2"))
    first = tables(file_at(path), Roles())
    assert tables(file_at(path), Roles()) is first
    path.write_text(rows("a", "1", "2", "3"))
    assert tables(file_at(path), Roles())[""].series.steps == 3
