"""`ornstein sample RUN --given FILE`: files of one series and of many, masks for them, and what is refused."""

import json
import re

import numpy as np
import pytest
from ornstein.core.cli.main import main

pd = pytest.importorskip("pandas")
TINY = [
    *("trainer=cpu", "backbone.width=16", "backbone.depth=1", "backbone.heads=2", "data.batch_size=8", "seed=0"),
    *("modality.window=24", "modality.stride=8", "modality.horizon=6", "optimizer.warmup=1", "trainer.max_steps=2"),
    *("trainer.val_check_interval=2", "trainer.log_every_n_steps=1", "sampler.steps=2", "run.pictures=0"),
]


def table(steps, seed=0, start="2024-01-01", freq="h"):
    values = np.random.default_rng(seed).normal(size=(steps, 2)).cumsum(0).round(6)  # xlsx keeps 15 digits
    return pd.DataFrame({"date": pd.date_range(start, periods=steps, freq=freq), "a": values[:, 0], "b": values[:, 1]})


def long(**frames):
    return pd.concat([frame.assign(item_id=name) for name, frame in frames.items()])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("series")
    table(400).to_csv(folder / "train.csv", index=False)
    assert (
        main(["fit", "timeseries/folder", *TINY, f"data.root={folder / 'train.csv'}", f"runs={folder / 'runs'}"]) == 0
    )
    return folder / "runs/timeseries/latest"


@pytest.fixture
def sample(trained, tmp_path, capsys):
    """Run the command: exit code, what was said, and the written arrays."""

    def run(given, *words, task="forecast"):
        capsys.readouterr()
        path = tmp_path / given if isinstance(given, str) else given
        code = main(
            ["sample", str(trained), "--task", task, "--given", str(path), "--out", str(tmp_path / "out"), *words]
        )
        made = None
        if code == 0:
            with np.load(tmp_path / "out/samples.npz") as archive:
                made = dict(archive)
        said = capsys.readouterr()
        return code, re.sub(r"\s+", " ", said.out + said.err), made

    return run


def exact(made, i, frame):
    """Sample i begins with the given values, bit by bit."""
    given = frame[["a", "b"]].to_numpy()
    np.testing.assert_array_equal(made["values"][i, : len(given)], given)
    assert made["known"][i, : len(given)].all()
    assert not made["known"][i, len(given) :].any()


def written(form, folder, p, q):
    """The two series in files of a form, and the names of the items."""
    names = [f"{form}#p", f"{form}#q"]
    if form == "folder":
        (folder / form).mkdir()
        for name, frame in (("p", p), ("q", q)):
            frame.to_csv(folder / form / f"{name}.csv", index=False)
        return ["p.csv", "q.csv"]
    if form == "two.xlsx":
        with pd.ExcelWriter(folder / form) as book:
            p.to_excel(book, sheet_name="p", index=False)
            q.to_excel(book, sheet_name="q", index=False)
    else:
        long(p=p, q=q).to_csv(folder / form, index=False)
    return names


@pytest.mark.parametrize("form", ["long.csv", "folder", "two.xlsx"])
def test_each_series_of_the_files_is_given(sample, tmp_path, form):
    p, q = table(30, 1), table(22, 2, start="2024-03-01")
    first, second = written(form, tmp_path, p, q)
    code, said, made = sample(form, "-n", "3")
    assert code == 0, said
    assert made["names"].tolist() == [first] * 3 + [second] * 3
    for i in range(3):
        exact(made, i, p)
        exact(made, 3 + i, q)
    assert np.isfinite(made["values"][:3, :36]).all()
    assert np.isnan(made["values"][3:, 28:]).all()  # the second ends earlier
    begin = pd.read_csv(tmp_path / "out/forecast.csv", parse_dates=["time"]).groupby("item")["time"].min()
    assert begin.tolist() == [frame["date"].iloc[-1] + pd.Timedelta("1h") for frame in (p, q)]


def test_lines_of_gluonts_are_given_one_by_one(tmp_path_factory, capsys):
    folder = tmp_path_factory.mktemp("lines")
    lines = [
        {"item_id": f"s{i}", "start": "2024-01-01", "freq": "h", "target": table(40 + i, i)["a"].tolist()}
        for i in range(12)
    ]
    (folder / "train.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (folder / "given.jsonl").write_text("\n".join(map(json.dumps, lines[:3])))
    words = [*TINY, "modality.protocol=series", f"data.root={folder / 'train.jsonl'}", f"runs={folder / 'runs'}"]
    assert main(["fit", "timeseries/folder", *words]) == 0
    run, out = str(folder / "runs/timeseries/latest"), folder / "out"
    given = ["--task", "forecast", "--given", str(folder / "given.jsonl"), "-n", "2", "--out", str(out)]
    assert main(["sample", run, *given]) == 0, capsys.readouterr().err
    with np.load(out / "samples.npz") as made:
        assert made["names"].tolist() == [f"given.jsonl#s{i}" for i in (0, 0, 1, 1, 2, 2)]
        for k, values in enumerate(made["values"]):
            np.testing.assert_array_equal(values[: 40 + k // 2, 0], lines[k // 2]["target"])


def test_a_series_is_continued_alike_alone_and_among_others(sample, tmp_path):
    p, q = table(30, 1), table(22, 2)
    p.to_csv(tmp_path / "p.csv", index=False)
    long(p=p, q=q).to_csv(tmp_path / "both.csv", index=False)
    _, _, alone = sample("p.csv")
    _, _, both = sample("both.csv", "-n", "1")
    np.testing.assert_allclose(both["values"][0, :36], alone["values"][0], rtol=1e-4, atol=1e-5)


def test_masks_are_taken_by_the_name_of_the_series(sample, tmp_path):
    p, q = table(24, 1), table(24, 2)
    masks = {name: frame.assign(a=1, b=1) for name, frame in (("p", p), ("q", q))}
    masks["p"].loc[3, "a"] = 0
    masks["q"].loc[[5, 6], "b"] = 0
    long(p=p, q=q).to_csv(tmp_path / "given.csv", index=False)
    long(q=masks["q"], p=masks["p"]).to_csv(tmp_path / "mask.csv", index=False)
    code, said, made = sample("given.csv", "-n", "1", "--mask", str(tmp_path / "mask.csv"), task="impute")
    assert code == 0, said
    assert [np.argwhere(~known).tolist() for known in made["known"]] == [[[3, 0]], [[5, 1], [6, 1]]]
    long(q=masks["q"], r=masks["p"]).to_csv(tmp_path / "mask.csv", index=False)
    code, said, _ = sample("given.csv", "--mask", str(tmp_path / "mask.csv"), task="impute")
    assert code == 1
    assert "mask.csv: holds no mask for given.csv#p: it has those of q, r" in said
    code, said, _ = sample("given.csv", "--mask", str(tmp_path / "mask.csv"), "--size", "3")
    assert code == 1
    masks["p"].to_csv(tmp_path / "mask.csv", index=False)  # one table serves all
    code, said, made = sample("given.csv", "-n", "1", "--mask", str(tmp_path / "mask.csv"), task="impute")
    assert [np.argwhere(~known).tolist() for known in made["known"]] == [[[3, 0]]] * 2


def test_repairs_of_given_files_are_said(sample, tmp_path):
    long(p=table(30, 1).drop(index=[4, 5]), q=table(30, 2).drop(index=[9])).to_csv(tmp_path / "x.csv", index=False)
    code, said, made = sample("x.csv", "-n", "1", task="impute")
    assert code == 0, said
    assert "x.csv, series 'p': 2 missing steps of h were put in as unobserved" in said
    assert "x.csv, series 'q': 1 missing steps of h were put in as unobserved" in said
    assert np.argwhere(~made["known"][0]).tolist() == [[4, 0], [4, 1], [5, 0], [5, 1]]


@pytest.mark.parametrize(
    ("frame", "words", "said"),
    [
        (table(30).rename(columns={"b": "c"}), [], r"x\.csv: there is no column 'b': it has date, a, c"),
        (table(30, freq="15min"), [], r"x\.csv: has steps of 15min; the model was trained on steps of h"),
        (long(p=table(30), q=table(30, freq="D")), [], r"x\.csv: series 'q' has steps of 1D; the model was trained on"),
        (table(30), ["--size", "0"], r"horizon 0: at least 1 step"),
        (table(30).assign(a=["1.5"] * 29 + ["oops"]), [], r"x\.csv: column 'a' holds 'oops' in row 30"),
        (table(30).replace({"b": {table(30)["b"][3]: np.inf}}), [], r"x\.csv: column 'b' is infinite in row 4"),
        (table(0), [], r"x\.csv: holds no rows"),
    ],
)  # fmt: skip
def test_what_cannot_be_given_is_refused_with_its_place(sample, tmp_path, frame, words, said):
    frame.to_csv(tmp_path / "x.csv", index=False)
    code, found, _ = sample("x.csv", *words)
    assert code in (1, 2)
    assert re.search(said, found), found
    assert "Traceback" not in found
