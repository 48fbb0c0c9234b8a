"""Real series: what is read of them beside a plain reading of the file, their windows, and parts that share no step."""

import csv
import io
import warnings
import zipfile
from collections import Counter

import numpy as np
import pytest
from ornstein.core.sources import open_source, split
from ornstein.modalities.timeseries import TimeSeries

pytest.importorskip("pandas")


@pytest.fixture(scope="session")
def folder(shared_data):
    found = shared_data / "timeseries"
    if not found.is_dir():
        pytest.skip(f"no series at {found}")
    return found


def plain(content, columns):
    """The columns of a CSV file by the standard library."""
    rows = list(csv.reader(io.StringIO(content)))
    places = [[name.strip().lstrip("#") for name in rows[0]].index(c) for c in columns]
    return np.array([[np.nan if row[i] == "NA" else float(row[i]) for i in places] for row in rows[1:]])


def parts_of(modality, path, shares=(0.8, 0.1, 0.1), labels="auto"):
    """Items by part, and the modality fitted on those of training; nothing needs a repair."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = modality.rows(open_source(path, modality.extensions, labels).rows(), shares)
        parts = {name: [modality.read(r.file, r.values) for r in of] for name, of in split(rows, 0, shares).items()}
        modality.fit(parts["train"])
    return parts


def ends(items):
    return min(item.data.index[0] for item in items), max(item.data.index[-1] for item in items)


def day(text):
    return np.datetime64(text, "ns")


def test_etth1_in_its_customary_months(folder):
    path = folder / "ett/ETTh1.csv"
    modality = TimeSeries(window=96, first=14_400)
    parts = parts_of(modality, path, (0.6, 0.2, 0.2))
    assert {name: len(of) for name, of in parts.items()} == {
        "train": 8640 - 95,
        "validation": 2880 - 95,
        "test": 2880 - 95,
    }
    assert ends(parts["train"]) == (day("2016-07-01T00"), day("2017-06-25T23"))
    assert ends(parts["validation"]) == (day("2017-06-26T00"), day("2017-10-23T23"))
    assert ends(parts["test"]) == (day("2017-10-24T00"), day("2018-02-20T23"))
    columns = ["HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT"]
    assert parts["train"][0].data.columns == tuple(columns)
    values = plain(path.read_text(), columns)
    assert values.shape == (17_420, 7)
    for item, start in ((parts["train"][7], 7), (parts["test"][-1], 14_400 - 96)):
        np.testing.assert_array_equal(item.data.values, values[start : start + 96])
        assert item.data.freq == "h"
    one = TimeSeries().read(open_source(path, modality.extensions).rows()[0].file, {})
    np.testing.assert_array_equal(one.data.values, values)
    assert one.data.index[-1] == day("2018-06-26T19")
    np.testing.assert_allclose(modality._scaling.arrays["offset"], (values[:8640].max(0) + values[:8640].min(0)) / 2)


def test_beijing_has_gaps_in_one_channel_and_words_of_the_wind(folder):
    path = folder / "beijing_pm25/pollution.csv"
    columns, time = ["pm2.5", "DEWP", "TEMP", "PRES", "Iws"], ["year", "month", "day", "hour"]
    modality = TimeSeries(columns=columns, time=time, classes=["cbwd"], window=48)
    parts = parts_of(modality, path)
    ours = modality.read(open_source(path, modality.extensions).rows()[0].file, {}).data
    values = plain(path.read_text(), columns)
    np.testing.assert_array_equal(ours.values, values)
    assert (~ours.observed).sum(0).tolist() == [2001, 0, 0, 0, 0]
    assert (ours.steps, ours.freq) == (39_408, "h")
    assert (ours.index[0], ours.index[-1]) == (day("2010-01-01T00"), day("2014-06-30T23"))
    borders = [0, 31_526, 35_467, 39_408]  # 80 and 90 percent, rounded
    for (name, of), a, b in zip(parts.items(), borders[:-1], borders[1:], strict=True):
        assert len(of) == b - a - 47, name
        assert ends(of) == (ours.index[a], ours.index[b - 1])
    (wind,) = modality.conditions
    assert (wind.name, wind.names) == ("cbwd", ("NE", "NW", "SE", "cv"))
    words = [row["cbwd"] for row in csv.DictReader(io.StringIO(path.read_text()))]
    for start in (0, 1000, 20_000):
        seen = Counter(words[start : start + 48])
        assert seen[parts["train"][start].cond["cbwd"]] == max(seen.values())
    encoded = modality.encode(parts["train"][:30], None, np.random.default_rng(0))
    gaps = np.stack([np.isnan(values[i : i + 48]) for i in range(30)])
    assert gaps.any()
    np.testing.assert_array_equal(encoded.missing["series"].numpy(), gaps)


def test_indoor_movement_is_sequences_of_many_lengths_with_labels(folder):
    path = folder / "indoor_movement/indoor_movement.zip"
    modality = TimeSeries()
    parts = parts_of(modality, path)
    items = {item.key: item for of in parts.values() for item in of}
    table = {row["file"]: row for row in csv.DictReader(io.StringIO((path.parent / "labels.csv").read_text()))}
    assert set(items) == set(table)
    assert len(items) == 253
    assert {key: item.data.steps for key, item in items.items()} == {k: int(row["steps"]) for k, row in table.items()}
    lengths = [item.data.steps for item in items.values()]
    assert (min(lengths), max(lengths)) == (20, 129)
    assert {key: item.cond["label"] for key, item in items.items()} == {key: row["label"] for key, row in table.items()}
    assert Counter(item.cond["label"] for item in items.values()) == {"1": 130, "-1": 123}
    assert modality.conditions[0].names == ("-1", "1")
    assert [len(of) / 253 for of in parts.values()] == pytest.approx((0.8, 0.1, 0.1), abs=0.06)
    columns = [f"RSS_anchor{i}" for i in (1, 2, 3, 4)]
    with zipfile.ZipFile(path) as archive:
        for key in list(items)[::50]:
            np.testing.assert_array_equal(items[key].data.values, plain(archive.read(key).decode(), columns))
    batch = modality.encode(parts["test"], None, np.random.default_rng(0))
    assert batch.mask.sum(1).tolist() == [item.data.steps for item in parts["test"]]
    assert batch.layout.grid is None


@pytest.mark.parametrize(
    ("protocol", "counts"), [("time", (2506 - 23, 313 - 23, 313 - 23)), ("published", (3109, 311, 311))]
)
def test_stock_in_windows_of_24(folder, protocol, counts):
    path = folder / "stock/stock_data.csv"
    modality = TimeSeries(window=24, protocol=protocol)
    parts = parts_of(modality, path)
    assert tuple(map(len, parts.values())) == counts
    values = plain(path.read_text(), ["Open", "High", "Low", "Close", "Adj_Close", "Volume"])
    assert values.shape == (3132, 6)
    for i in (0, 100, len(parts["train"]) - 1):
        np.testing.assert_array_equal(parts["train"][i].data.values, values[i : i + 24])
    x = modality.encode(parts["train"], None, np.random.default_rng(0)).state["series"].flatten(0, 1)
    assert x.amin(0).tolist() == [-1.0] * 6
    assert x.amax(0).tolist() == [1.0] * 6
