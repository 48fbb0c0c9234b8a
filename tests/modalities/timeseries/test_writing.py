"""Files and pictures of samples: exact, in order, and forecasts as ensembles."""

import numpy as np
import pytest
from ornstein.core.modality import Item
from ornstein.core.sources import Row, file_at
from ornstein.modalities.timeseries import Series, TimeSeries
from ornstein.modalities.timeseries.writing import LEVELS, ensembles

pd = pytest.importorskip("pandas")
HOURS = np.arange("2024-01-01", "2024-01-03", dtype="datetime64[h]").astype("datetime64[ns]")
COLUMNS = ("a", "b")


def windows(n=5, steps=6):
    return [Series(np.random.default_rng(i).normal(size=(steps, 2)) * 1e3, COLUMNS) for i in range(n)]


def forecasts(n=40, zone=None):
    """n members for each of two items: 4 steps given, 3 made."""
    modality, made = TimeSeries(), []
    for name in ("x.csv", "y.csv"):
        draw = np.random.default_rng(len(made))
        values = np.concatenate([draw.normal(size=(4, 2)), np.full((3, 2), np.nan)])
        given = Item(Series(values, COLUMNS, HOURS[:7], "h", zone, name), key=name)
        members = [Series(draw.normal(size=(7, 2)), COLUMNS, HOURS[:7], "h", zone, name) for _ in range(n)]
        made += [modality.paste(member, given, np.isfinite(values)) for member in members]
    return made


def test_windows_come_back_bit_by_bit_in_their_order(tmp_path):
    samples = windows()
    modality = TimeSeries()
    paths = modality.write(samples, tmp_path / "new")
    assert sorted(p.name for p in paths) == ["samples.csv", "samples.npz"]
    for path in paths:
        items = [modality.read(r.file, r.values) for r in modality.rows([Row(file_at(path))], (1.0, 0.0, 0.0))]
        assert [item.data.columns for item in items] == [COLUMNS] * 5
        for item, sample in zip(items, samples, strict=True):
            np.testing.assert_array_equal(item.data.values, sample.values)


def test_what_was_given_is_exact_in_the_files(tmp_path):
    samples = forecasts()
    TimeSeries().write(samples, tmp_path)
    table = pd.read_csv(tmp_path / "samples.csv")
    arrays = np.load(tmp_path / "samples.npz")
    for i in (0, 39, 40, 79):
        np.testing.assert_array_equal(table[table["sample"] == i][list(COLUMNS)].to_numpy()[:4], samples[i].values[:4])
        np.testing.assert_array_equal(arrays["values"][i], samples[i].values)
    np.testing.assert_array_equal(arrays["known"][0], samples[0].known)
    np.testing.assert_array_equal(samples[0].values[:4], samples[39].values[:4])
    assert pd.to_datetime(table["time"]).iloc[:7].to_numpy("datetime64[ns]").tolist() == HOURS[:7].tolist()


def test_forecasts_are_ensembles_with_quantiles_of_what_was_made(tmp_path):
    samples = forecasts()
    TimeSeries().write(samples, tmp_path)
    for table in (pd.read_csv(tmp_path / "forecast.csv"), pd.read_parquet(tmp_path / "forecast.parquet")):
        assert len(table) == 2 * 3 * 2
        assert table["item"].unique().tolist() == ["x.csv", "y.csv"]
        assert table["step"].unique().tolist() == [4, 5, 6]
        row = table[(table["item"] == "y.csv") & (table["step"] == 5) & (table["column"] == "b")].iloc[0]
        members = np.array([s.values[5, 1] for s in samples[40:]])
        assert pd.Timestamp(row["time"]) == pd.Timestamp(HOURS[5])
        assert row["mean"] == pytest.approx(members.mean(), abs=1e-12)
        found = [row[f"q{round(100 * level):02d}"] for level in LEVELS]
        np.testing.assert_allclose(found, np.quantile(members, LEVELS), atol=1e-12)
    assert [LEVELS[0], LEVELS[-1], len(LEVELS)] == [0.05, 0.95, 19]


def test_nothing_given_makes_no_ensembles():
    assert ensembles(windows()) is None


def test_times_are_written_in_their_zone(tmp_path):
    TimeSeries().write(forecasts(2, "Europe/Berlin"), tmp_path)
    assert pd.read_csv(tmp_path / "samples.csv")["time"].iloc[0] == "2024-01-01T01:00:00+01:00"


@pytest.mark.parametrize("samples", [windows(1), windows(40), forecasts(), [windows(1)[0], windows(1, 9)[0]]])
def test_samples_are_drawn(samples, tmp_path):
    figure = TimeSeries().render(samples)
    figure.savefig(tmp_path / "x.png", dpi=40)
    assert (tmp_path / "x.png").stat().st_size > 1000
