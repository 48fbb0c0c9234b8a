"""The whole report on a small world: columns rank as planted, files hold what they should."""

import io
import json
import math
import re
from dataclasses import replace
from html import escape
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.image import imread
from ornstein.core.conditioning.spec import ConditionSpec
from ornstein.core.evaluation import Judged, Learned, MetricSpec, Report, evaluate, metrics
from ornstein.core.evaluation.page import _pictures
from ornstein.core.evaluation.pictures import as_pixels, pictures, png
from ornstein.core.evaluation.report import Picture, number, standing
from ornstein.core.evaluation.run import _real, jackknife
from ornstein.core.evaluation.standard import class_accuracy, feature_metrics, memorisation, sliced_wasserstein
from ornstein.core.modality import Item, Modality
from ornstein.core.parametrization import Flow
from ornstein.core.processes import Gaussian
from ornstein.core.schedules import Rectified
from ornstein.core.state import Condition, Encoded, Field, Layout
from rich.console import Console

from .test_extractors import Net, stack

NAMES = ("ape", "bee", "cat")
SOURCE = Learned("net", stack, Net, "kind", steps=150, rate=1e-2)


class Points(Modality):
    """Points of R^6 in three balls; one token each."""

    name = "points"
    symmetries = ()
    conditions = (ConditionSpec("kind", "class", 3, names=NAMES),)
    fields = (Field("x", "continuous", 6, Gaussian(Rectified(), Flow())),)
    axes = 0
    baseline = True

    def read(self, file, row):
        raise NotImplementedError

    write = blank = datasets = read

    def encode(self, items, known, rng):
        x = torch.from_numpy(np.stack([item.data for item in items]))[:, None]
        kind = torch.tensor([NAMES.index(item.cond["kind"]) for item in items])
        cond = {"kind": Condition(kind, torch.ones(len(items), dtype=torch.bool))}
        return Encoded({"x": x}, Layout(torch.ones(len(items), 1, dtype=torch.bool)), cond)

    def decode(self, state, mask, aux):
        return list(state["x"][:, 0].numpy())

    def metrics(self, task):
        given = MetricSpec("error", "lower", "Error of what is given.", lambda *_: 0.0, kind="task", needs_given=True)
        return (
            *feature_metrics(SOURCE),
            sliced_wasserstein(stack, "coordinates", 32),
            class_accuracy(SOURCE, "kind"),
            *memorisation(stack, "coordinates"),
            given,
        )

    def floor(self, items, cond, rng, given=None, known=None):
        if not self.baseline:
            return None
        assert all(isinstance(c.get("kind", 0), int) for c in [*cond, *(item.cond for item in items)])
        x = np.stack([item.data for item in items])
        return list(x.mean(0) + x.std(0) * rng.standard_normal((len(cond), 6)))

    def paste(self, sample, given, known):
        return np.where(known, given.data, sample)

    def render(self, samples):
        return np.uint8(20 * np.abs(np.stack(samples))).clip(0, 255)


def draw(n: int, seed: int, spread: float = 0.5) -> list[Item]:
    """Items in three balls, each with its kind."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(3, size=n)
    x = 3 * np.eye(6)[kind] + spread * rng.standard_normal((n, 6))
    return [Item(x[i], {"kind": NAMES[kind[i]]}, f"{seed}#{i}") for i in range(n)]


TRAIN, HELD = draw(300, 1), draw(100, 2)


def judge(items: list[Item], **more) -> Report:
    samples, cond = [item.data for item in items], [item.cond for item in items]
    return evaluate(Points(), samples, cond, TRAIN, HELD, progress=False, **more)


@pytest.fixture(scope="module")
def perfect() -> Report:
    return judge(draw(130, 3))


FIDELITY = ("Fréchet distance", "kernel distance", "precision", "density", "sliced Wasserstein", "recall", "coverage")


def test_a_perfect_model_is_at_real_data_and_away_from_the_floor(perfect):
    for row in perfect.rows:
        if row["metric"] in FIDELITY:
            ours, real, floor = (row[column] for column in ("ours", "real", "floor"))
            error = math.hypot(ours["spread"], real["spread"])
            assert abs(ours["value"] - real["value"]) < 5 * error + 0.02, row
            if row["metric"] != "recall":  # a floor that is wide has high recall
                sign = 1 if row["better"] == "lower" else -1
                assert sign * (floor["value"] - ours["value"]) > 2 * error, row
    assert perfect.value("class accuracy") > 0.95
    assert perfect.value("class accuracy", "floor") < 0.6
    assert perfect.value("near copies") < 0.15
    assert perfect.value("near copies", "real") == pytest.approx(0.05, abs=0.01)


def test_bad_models_rank_below_and_each_fault_shows_in_its_number(perfect):
    noisy, narrow = judge(draw(100, 4, spread=1.2)), judge([i for i in draw(320, 5) if i.cond["kind"] == "ape"])
    for bad in (noisy, narrow):
        for name in ("Fréchet distance", "kernel distance", "sliced Wasserstein"):
            assert bad.value(name) > 2 * max(perfect.value(name), perfect.value(name, "real"), 0)
    assert noisy.value("precision") < 0.7 * perfect.value("precision")
    assert narrow.value("precision") > 0.9 * perfect.value("precision")
    assert narrow.value("recall") < 0.6 * perfect.value("recall")
    assert narrow.value("coverage") < 0.6 * perfect.value("coverage")
    wrong = [Item(item.data, {"kind": "bee"}, item.key) for item in draw(100, 6)]
    assert judge(wrong).value("class accuracy") == pytest.approx(1 / 3, abs=0.15)


def test_copies_look_perfect_but_for_memory(perfect):
    copies = judge(TRAIN[:100])
    assert copies.value("precision") == 1
    assert copies.value("near copies") == 1
    assert copies.value("authenticity") == 0
    assert 0.3 < perfect.value("authenticity") < 0.9


def test_every_column_has_the_same_n_and_the_rest_is_said(perfect):
    assert perfect.facts["n"] == 100
    assert perfect.facts["samples"]["items"] == 130
    assert perfect.facts["reference"]["items"] == 300
    assert any("30 of 130 samples were left out" in note for note in perfect.notes)
    assert perfect.columns == ["ours", "real", "floor"]


def test_the_same_seed_gives_the_same_report(perfect):
    again, other = judge(draw(130, 3)).plain(), judge(draw(130, 3), seed=1).plain()
    for report in (again, other):
        report["extractors"][0]["facts"].pop("seconds")
    expected = json.loads(json.dumps(perfect.plain()))
    expected["extractors"][0]["facts"].pop("seconds")
    assert again == expected
    assert other["extractors"][0]["hash"] != expected["extractors"][0]["hash"]


def test_what_cannot_be_measured_is_left_empty_and_says_why(perfect):
    row = next(row for row in perfect.rows if row["metric"] == "error")
    assert row["ours"] == {"missing": "nothing was given here"}
    assert perfect.value("error") is None
    items = draw(100, 3)
    unasked = evaluate(Points(), [i.data for i in items], [{}] * 50 + [{"kind": 1}] * 50, TRAIN, HELD, progress=False)
    assert unasked.value("class accuracy") is None
    assert unasked.value("class accuracy", "real") > 0.95
    row = next(row for row in unasked.rows if row["metric"] == "class accuracy")
    assert row["ours"]["missing"] == "50 of 100 samples were asked for a kind"


def test_given_items_reach_the_metrics_and_are_pasted_into_the_floor():
    class Filling(Points):
        def metrics(self, task):
            def exact(candidate, reference, context):
                pairs = zip(candidate.samples, candidate.given, candidate.known, strict=True)
                return max(float(np.abs(s - g.data)[k].max()) for s, g, k in pairs)

            return (MetricSpec("change", "lower", "Change of what was given.", exact, "task", needs_given=True),)

    items, known = HELD[:60], [np.arange(6) < 3] * 60
    samples = [np.where(k, item.data, 9.0) for item, k in zip(items, known, strict=True)]
    report = evaluate(Filling(), samples, [i.cond for i in items], TRAIN, HELD, task="fill", given=items, known=known,
                      progress=False)  # fmt: skip
    assert (report.value("change"), report.value("change", "floor"), report.value("change", "real")) == (0, 0, None)
    assert report.facts["task"] == "fill"
    assert report.facts["members"] == 1


class Counting(Points):
    """Notes the samples that each metric is shown, column by column and part by part."""

    def __init__(self):
        self.seen = {}

    def metrics(self, task):
        def noted(name):
            def compute(candidate, reference, context):
                self.seen.setdefault(name, []).append(candidate)
                return float(np.mean(candidate.samples))

            return compute

        of_task = MetricSpec("of the task", "lower", "Mean.", noted("of the task"), "task", needs_given=True)
        return of_task, MetricSpec("of all", "lower", "Mean.", noted("of all"))


def test_samples_of_one_given_item_are_an_ensemble_in_every_column():
    modality, items = Counting(), draw(20, 9)
    bits = [np.arange(6) < 3 for _ in items]
    each = [i for i in range(20) for _ in range(7)]
    given, known = [items[i] for i in each], [bits[i] for i in each]
    samples = [np.where(bits[i], items[i].data, 10.0 + k) for k, i in enumerate(each)]
    report = evaluate(modality, samples, [items[i].cond for i in each], TRAIN, HELD[:15], task="fill", given=given,
                      known=known, progress=False)  # fmt: skip
    assert (report.facts["n"], report.facts["members"], report.facts["samples"]["items"]) == (15, 7, 140)
    assert any("35 of 140 samples were left out" in note for note in report.notes)
    ours, floor = (modality.seen["of the task"][i] for i in (0, 6))  # each whole, then without each of 5 parts
    for column in (ours, floor):
        assert [len(rows) for rows in column.ensembles()] == [7] * 15
    assert all(np.array_equal(s[:3], g.data[:3]) for s, g in zip(floor.samples, floor.given, strict=True))
    assert len({s.tobytes() for s in floor.samples}) == 105  # members of the floor are draws of their own
    assert all(len(part) == 84 and len(part.ensembles()) == 12 for part in modality.seen["of the task"][1:6])
    ours, real, floor = (modality.seen["of all"][i] for i in (0, 6, 12))
    assert [len(column) for column in (ours, real, floor)] == [15, 15, 15]
    assert len({id(item) for item in ours.given}) == 15
    text = " ".join(report_text(report).split())
    assert "disjoint parts of the 15 items, with all their samples" in text


def test_ensembles_of_unequal_size_are_refused():
    items = draw(20, 9)
    bits = [np.arange(6) < 3 for _ in items]
    each = [*range(20), 3]
    with pytest.raises(ValueError, match="given items have 1 to 2 samples"):
        evaluate(Points(), [items[i].data for i in each], [{}] * 21, TRAIN, HELD, given=[items[i] for i in each],
                 known=[bits[i] for i in each], progress=False)  # fmt: skip


def counted(function, calls):
    """The function, which notes the number of rows of each call."""

    def noted(x, *rest):
        calls.append(len(x))
        return function(x, *rest)

    return noted


def test_what_a_metric_needs_of_the_reference_is_worked_out_once(monkeypatch):
    seen = {"kernel_within": [], "sorted_projections": []}
    for name in seen:
        monkeypatch.setattr(metrics, name, counted(getattr(metrics, name), seen[name]))
    judge(draw(100, 3))
    for calls in seen.values():
        assert calls.count(len(TRAIN)) == 1
        assert len(calls) == 1 + 3 * (1 + 5)  # the reference, and each column whole and without each of its parts


class Batches(Points):
    """Counts its batches; `mixed` items cannot share one."""

    mixed = False

    def encode(self, items, known, rng):
        self.sizes = [*getattr(self, "sizes", []), len(items)]
        if self.mixed and len({NAMES.index(item.cond["kind"]) for item in items if item.cond["kind"]}) > 1:
            raise ValueError("a batch holds one kind")
        encoded = super().encode([replace(i, cond={"kind": i.cond["kind"] or "ape"}) for i in items], known, rng)
        present = torch.tensor([item.cond["kind"] is not None for item in items])
        return replace(encoded, cond={"kind": replace(encoded.cond["kind"], present=present)})


@pytest.mark.parametrize("mixed", [False, True])
def test_real_items_go_through_encode_in_batches_and_alone_where_they_cannot_share_one(mixed):
    modality, items = Batches(), [*draw(149, 7), Item(np.ones(6), {"kind": None, "note": 1}, "none")]
    modality.mixed = mixed
    real = _real(modality, items, "training", 0, lambda words, steps: lambda: None)
    assert len(modality.sizes) < 5 or mixed
    assert (1 in modality.sizes) == mixed
    np.testing.assert_array_equal(np.stack(real.samples), np.stack([item.data for item in items]))
    assert [cond["kind"] for cond in real.cond] == [*(NAMES.index(i.cond["kind"]) for i in items[:-1]), None]
    assert real.cond[-1] == {"kind": None, "note": 1}
    assert real.keys == [item.key for item in items]


def test_an_item_that_cannot_be_encoded_is_an_error_of_its_own():
    with pytest.raises(ValueError, match="not in tuple"):
        _real(Points(), [*draw(3, 7), Item(np.ones(6), {"kind": "dog"})], "training", 0, lambda *_: lambda: None)


def test_no_floor_means_no_column():
    modality = Points()
    modality.baseline = False
    items = draw(40, 3)
    report = evaluate(modality, [i.data for i in items], [i.cond for i in items], TRAIN, HELD, progress=False)
    assert report.columns == ["ours", "real"]
    assert "This modality declares no floor." in report.notes


def test_leaking_held_out_items_are_reported():
    report = evaluate(
        Points(), [i.data for i in HELD], [i.cond for i in HELD], TRAIN, [*HELD[:60], *TRAIN[:7]], progress=False
    )
    assert any(note.startswith("7 of 67 held-out items are exact copies") for note in report.notes)


@pytest.mark.parametrize(("samples", "repeats"), [(5, 5), (100, 2)])
def test_too_few_samples_or_parts_are_refused(samples, repeats):
    with pytest.raises(ValueError, match=rf"{samples} samples, 100 held-out items, {repeats} parts"):
        judge(draw(samples, 3), repeats=repeats)


def test_unknown_classes_are_refused():
    with pytest.raises(ValueError, match="bea"):
        judge([Item(item.data, {"kind": "bea"}) for item in draw(40, 3)])


def test_json_round_trips_and_the_page_needs_nothing_else(perfect, tmp_path):
    paths = perfect.write(tmp_path / "new")
    assert [path.name for path in paths] == ["report.json", "report.html"]
    assert sorted(path.name for path in paths[0].parent.iterdir()) == ["report.html", "report.json"]
    assert Report.read(paths[0]).plain() == perfect.plain()
    page = paths[1].read_text(encoding="utf-8")
    assert not re.search(r"https?://|//\w|@import|<script|<link", re.sub(r"base64,[^']*", "", page))
    assert page.count("data:image/png;base64,iVBOR") == 4  # three columns and the closest pairs
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport"' in page
    assert all(row["metric"] in page and escape(row["about"]) in page for row in perfect.rows)
    assert Balanced().left(page) == []
    assert "$" not in re.sub(r"base64,[^']*", "", page)


def test_a_crash_while_a_report_is_written_leaves_the_older_one(perfect, tmp_path, monkeypatch):
    perfect.write(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr("os.fsync", lambda number: (_ for _ in ()).throw(OSError("no space left")))
    with pytest.raises(OSError, match="no space left"):
        perfect.write(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_anything_to_look_at_becomes_pixels_and_a_picture():
    figure = Figure(figsize=(2, 1), dpi=50)
    figure.patch.set_facecolor("red")
    pixels = as_pixels(figure)
    assert pixels.shape == (50, 100, 3)
    assert pixels[0, 0].tolist() == [255, 0, 0]
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3)
    for array in (grey, grey[..., None], np.stack([grey] * 3, axis=2)):
        read = imread(io.BytesIO(png(as_pixels(array))))[..., :3] * 255
        np.testing.assert_allclose(read, np.stack([grey] * 3, axis=2), atol=1e-3)
    for wrong in (np.zeros((2, 3)), np.zeros((2, 3, 4), np.uint8), None):
        with pytest.raises(ValueError, match="render"):
            as_pixels(wrong)


class Balanced(HTMLParser):
    """Tags that were opened and not closed, in a page."""

    def left(self, page: str) -> list[str]:
        self.open: list[str] = []
        self.feed(page)
        return self.open

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_names_of_classes_and_notes_are_escaped_on_the_page(perfect, tmp_path):
    planted = Report(perfect.facts, perfect.extractors, perfect.rows, ["<b>5 < 6</b>"])
    page = planted.write(tmp_path)[1].read_text(encoding="utf-8")
    assert "&lt;b&gt;5 &lt; 6&lt;/b&gt;" in page


def test_a_view_stands_on_the_page_as_it_is_and_a_modality_without_pictures_may_have_one(tmp_path):
    class Viewed(Points):
        def view(self, samples):
            return f"<canvas data-n={len(samples)}></canvas><script>1 &lt; 2</script>"

    class Bare(Points):
        render = Modality.render

    columns = {name: Judged([np.zeros(6)] * n, [{"kind": 0}] * n, ["x"] * n) for name, n in (("ours", 30), ("real", 5))}
    shown = pictures(Viewed(), columns, (), columns["real"])
    assert [p.html.split(">")[0] for p in shown if p.html] == ["<canvas data-n=12", "<canvas data-n=5"]
    assert sum(bool(p.png) for p in shown) == 2
    assert pictures(Bare(), columns, (), columns["real"]) == []
    html = _pictures([Picture("a < b", html="<canvas></canvas>"), Picture("still", b"png")])
    assert "<figure><canvas></canvas><figcaption>a &lt; b</figcaption></figure>" in html
    assert html.count("<img") == 1


def report_text(report: Report) -> str:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(report.table())
    return console.export_text()


def test_the_table_fits_80_columns(perfect):
    text = report_text(perfect)
    line = next(line for line in text.splitlines() if "near copies" in line)
    assert line.count("±") == 3
    assert "…" not in text
    assert "n = 100 in every column, against 300 training items" in " ".join(text.split())


@pytest.mark.parametrize(
    ("value", "spread", "text"),
    [(0.8734, 0.0312, "0.87 ± 0.03"), (0.05, 0.0113, "0.050 ± 0.011"), (13.51, 0.7, "13.5 ± 0.7"), (1, 0, "1 ± 0"),
     (-0.0015, 0.0029, "-0.002 ± 0.003"), (1234.5, 35.0, "1234 ± 35"), (0.5, 1e-17, "0.5 ± 0")],
)  # fmt: skip
def test_numbers_show_the_digits_that_their_spread_allows(value, spread, text):
    assert number({"value": value, "spread": spread}) == text


def test_standing_runs_from_floor_to_real_where_these_tell():
    def row(better, ours, real, floor):
        return {"better": better, **{k: {"value": v} for k, v in (("ours", ours), ("real", real), ("floor", floor))}}

    assert standing(row("lower", 2.0, 1.0, 5.0)) == 0.75
    assert standing(row("higher", 0.9, 0.8, 0.4)) == 1
    assert standing(row("lower", 2.0, 5.0, 1.0)) is None


def test_the_jackknife_of_a_mean_is_its_standard_error():
    x = np.random.default_rng(0).standard_normal(400)
    judged = Judged(list(x), [{}] * 400, [""] * 400)
    found = jackknife(lambda part: float(np.mean(part.samples)), judged, 400)
    assert found == pytest.approx(x.std(ddof=1) / 20, rel=1e-6)  # one row in each part: the textbook value exactly
    assert jackknife(lambda part: float(np.mean(part.samples)), judged, 20) == pytest.approx(found, rel=0.4)


def test_the_jackknife_of_ensembles_leaves_out_items_and_not_their_members():
    """Members that all say the same tell no more than one of them: the spread is that of the items, as by hand."""
    x = np.random.default_rng(0).standard_normal(40)
    items, each = [Item(v) for v in x], np.tile(np.arange(40), 10)  # members far apart in the list
    judged = Judged(list(x[each]), [{}] * 400, [""] * 400, [items[i] for i in each], [None] * 400)
    found = jackknife(lambda part: float(np.mean(part.samples)), judged, 40)
    without = [np.delete(x, i).mean() for i in range(40)]
    assert found == pytest.approx(math.sqrt(39 / 40 * sum((v - np.mean(without)) ** 2 for v in without)), rel=1e-9)
    assert found == pytest.approx(x.std(ddof=1) / math.sqrt(40), rel=1e-9)
