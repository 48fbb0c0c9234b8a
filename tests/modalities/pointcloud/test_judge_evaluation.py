"""The metrics of a report on sets whose quality is known: real shapes, copies, blurred ones, one shape again and again."""

from dataclasses import replace

import numpy as np
import pytest
import torch

pytest.importorskip("scipy")
from ornstein.core.evaluation.run import jackknife
from ornstein.core.evaluation.spec import Context, Judged
from ornstein.core.modality import Item
from ornstein.modalities.pointcloud import pairs, pointnet, protocols
from ornstein.modalities.pointcloud.cloud import Cloud
from ornstein.modalities.pointcloud.evaluation import cloud_metrics
from ornstein.modalities.pointcloud.matrices import CHAMFER, EXACT_EMD, silent
from ornstein.modalities.pointcloud.memory import found

POINTS = 48


def shapes(count, seed, sides=((1, 1, 1), (1, 0.2, 1), (0.2, 1, 0.2))):
    """Surfaces of boxes of three classes, whose sides vary by up to a fifth."""
    rng = np.random.default_rng(seed)
    out, labels = [], []
    for i in range(count):
        label = i % len(sides)
        half = np.array(sides[label]) * rng.uniform(0.8, 1.2, 3)
        x = rng.uniform(-1, 1, (POINTS, 3))
        x[np.arange(POINTS), rng.integers(3, size=POINTS)] = rng.choice([-1, 1], POINTS)
        out.append(Cloud(x * half))
        labels.append(label)
    return out, labels


def judged(clouds, labels=None, **more):
    cond = [{} if labels is None else {"label": label} for label in labels or [0] * len(clouds)]
    return Judged(clouds, cond, [str(i) for i in range(len(clouds))], **more)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ORNSTEIN_CACHE", str(tmp_path))


@pytest.fixture(scope="module")
def train():
    return judged(*shapes(60, 0))


@pytest.fixture(scope="module")
def held():
    return judged(*shapes(24, 1))


def fitted(source, train, held):
    return source.fit(train, held, seed=0, device="cpu", track=silent)


def values(specs, candidate, train, held):
    """All metrics of one column, by name."""
    made = {}
    for spec in specs:
        if spec.extractor is not None and spec.extractor not in made:
            made[spec.extractor] = fitted(spec.extractor, train, held)
    contexts = {spec.name: Context(held, made.get(spec.extractor), 0) for spec in specs}
    return {spec.name: spec.compute(candidate, train, contexts[spec.name]) for spec in specs}


def in_columns(specs, columns, train, held):
    made = {spec.extractor: fitted(spec.extractor, train, held) for spec in specs if spec.extractor is not None}
    return {
        name: {s.name: s.compute(column, train, Context(held, made.get(s.extractor), 0)) for s in specs}
        for name, column in columns.items()
    }


@pytest.fixture(scope="module")
def table(train, held, tmp_path_factory):
    """Every metric of an unconditional report, for columns of known quality."""
    fast = replace(pointnet.CLASSIFIER, steps=40)
    specs = [
        replace(s, extractor=fast) if s.extractor is pointnet.CLASSIFIER else s
        for s in cloud_metrics("unconditional", POINTS, labelled=True)
        if s.name != "class agreement"
    ]
    rng = np.random.default_rng(5)
    fresh, labels = shapes(24, 2)
    columns = {
        "fresh": judged(fresh, labels),
        "real": judged(held.samples, [c["label"] for c in held.cond]),
        "blurred": judged([replace(c, points=c.points + rng.normal(size=c.points.shape) * 0.6) for c in fresh], labels),
        "one": judged([replace(c, points=shapes(1, 9)[0][0].points + 0) for c in fresh], labels),
        "copies": judged([train.samples[i] for i in range(24)], labels),
    }
    return in_columns(specs, columns, train, held)


def test_every_line_says_which_distance_it_is(table):
    lines = [name for name in table["fresh"] if name.startswith(("1-NNA", "MMD", "COV", "mem", "near"))]
    assert len(lines) == 8
    assert all("CD squared" in name or "EMD exact" in name for name in lines)


@pytest.mark.parametrize("name", ["1-NNA, CD squared", "1-NNA, EMD exact"])
def test_1nna_tells_blur_and_repetition_from_real_shapes(table, name):
    assert table["fresh"][name] == pytest.approx(0.5, abs=0.2)
    assert table["real"][name] == pytest.approx(0.5, abs=0.2)
    assert table["blurred"][name] > 0.75
    assert table["one"][name] > 0.9


@pytest.mark.parametrize("distance", ["CD squared", "EMD exact"])
def test_coverage_and_matching_distance_have_the_right_order(table, distance):
    assert table["one"][f"COV, {distance}"] == 1 / 24
    assert table["fresh"][f"COV, {distance}"] > 0.35
    assert table["fresh"][f"MMD, {distance}"] < table["blurred"][f"MMD, {distance}"]
    assert table["fresh"][f"MMD, {distance}"] < table["one"][f"MMD, {distance}"]


def test_occupancy_and_features_see_the_same_faults(table):
    for name in ("JSD, 28^3 in a ball", "Fréchet distance"):
        assert table["fresh"][name] < table["blurred"][name]
        assert table["fresh"][name] < table["one"][name]


def test_copies_are_found_out(table):
    name = "memorisation, CD squared"
    assert table["copies"][name] == 1.0
    assert table["copies"]["near copies, CD squared"] == 1.0
    assert table["real"][name] == pytest.approx(0.5)
    assert table["fresh"][name] == pytest.approx(0.5, abs=0.2)
    assert table["fresh"]["near copies, CD squared"] < 0.25


def test_the_nearest_training_shape_is_the_nearest_of_all(train):
    rng = np.random.default_rng(3)
    own = judged([replace(c, points=rng.permutation(c.points) + 1e-3) for c in train.samples[20:30]])
    assert found(own, train)[:, 1].tolist() == list(range(20, 30))
    assert (found(own, train)[:, 0] < 1e-4).all()


def test_held_out_shapes_that_are_judged_are_replaced_by_training_shapes(train, held):
    compared = fitted(pairs.Pairs(CHAMFER, POINTS, 24), train, held)
    diagonal = []
    compared.score(judged(held.samples), lambda own, to, within: diagonal.append(to.min()) or 0.0)
    assert diagonal[0] > 0  # no shape was compared with itself


def test_parts_of_a_column_are_compared_with_as_many_and_nothing_is_worked_out_again(train, held, monkeypatch):
    compared = fitted(pairs.Pairs(CHAMFER, POINTS, 20), train, held)
    fresh = judged(*shapes(24, 2))
    sizes = []
    score = lambda own, to, within: sizes.append((own.shape, to.shape, within.shape)) or float(own.sum())  # noqa: E731
    whole = compared.score(fresh, score)
    assert sizes == [((20, 20),) * 3]  # at most `shapes`
    monkeypatch.setattr(pairs, "matrix", lambda *_: pytest.fail("worked out again"))
    part = [i for i in range(24) if i % 5]
    assert compared.score(fresh.take(part), score) < whole
    assert sizes[1] == ((16, 16),) * 3  # of the first 20 four are left out
    inner = [i for i in range(20) if i % 5]
    own = fresh.rows(f"{compared.hash} own", lambda _: pytest.fail("lost"))[inner][:, inner]
    assert compared.score(fresh.take(part), lambda own, to, within: float(own.sum())) == pytest.approx(float(own.sum()))
    assert jackknife(lambda judged: compared.score(judged, score), fresh, 5) > 0


def test_fewer_points_than_a_matching_needs_are_refused_and_chamfer_takes_them(train, held):
    few = judged([c.take(slice(20)) for c in shapes(12, 4)[0]])
    with pytest.raises(ValueError, match="has 20 points; EMD exact compares 48"):
        fitted(pairs.Pairs(EXACT_EMD, POINTS, 12), train, held).embed(few.samples)
    assert fitted(pairs.Pairs(CHAMFER, POINTS, 12), train, held).embed(few.samples).shape == (12, 12)


def test_the_hash_says_what_was_compared(train, held):
    made = [fitted(pairs.Pairs(d, POINTS, 12), train, held) for d in (CHAMFER, CHAMFER, EXACT_EMD)]
    assert made[0].hash == made[1].hash != made[2].hash


def test_the_pointnet_does_not_look_at_the_order_or_the_unit():
    torch.manual_seed(0)
    body = pointnet.Classifier(3).eval()
    x = torch.randn(2, 100, 3)
    assert torch.allclose(body(x), body(x[:, torch.randperm(100)]), atol=1e-5)
    few, doubled = (pointnet.seen([Cloud(points)]) for points in (x[0, :50].numpy(), x[0, :50].repeat(2, 1).numpy()))
    assert torch.allclose(body(few), body(doubled), atol=1e-5)


def test_the_pointnet_learns_classes_and_agreement_counts_them(train, held):
    source = replace(pointnet.CLASSIFIER, steps=100)
    spec = next(s for s in cloud_metrics("unconditional", POINTS, labelled=True) if s.name == "class agreement")
    extractor = fitted(source, train, held)
    context = Context(held, extractor, 0)
    assert extractor.facts["accuracy on held-out items"] > 0.85
    fresh, labels = shapes(30, 8)
    assert spec.compute(judged(fresh, labels), train, context) > 0.85
    assert spec.compute(judged(fresh, [(label + 1) % 3 for label in labels]), train, context) < 0.15


def test_without_labels_an_autoencoder_learns_the_shapes(train, held):
    without = [judged(each.samples) for each in (train, held)]
    error = "unexplained variance on held-out items"
    little, more = (fitted(replace(pointnet.AUTOENCODER, steps=steps), *without).facts[error] for steps in (3, 100))
    assert more < 0.5 * little
    names = {spec.name for spec in cloud_metrics("unconditional", POINTS, labelled=False)}
    assert "Fréchet distance" in names
    assert "class agreement" not in names


def given(count=12):
    """Shapes of which the first half is given, and completions: true, forgetting the rest, and moving what is given."""
    clouds, _ = shapes(count, 6)
    items = [Item(cloud, key=str(i)) for i, cloud in enumerate(clouds)]
    known = [np.arange(POINTS) < POINTS // 2 for _ in items]
    rng = np.random.default_rng(0)
    true = [
        replace(c, points=np.concatenate([c.points[: POINTS // 2], rng.permutation(c.points[POINTS // 2 :])]))
        for c in clouds
    ]
    heaped = [replace(c, points=np.concatenate([c.points[: POINTS // 2]] * 2)) for c in clouds]
    moved = [replace(c, points=c.points + 0.01) for c in clouds]
    return {name: judged(made, None, given=items, known=known) for name, made in
            {"true": true, "heaped": heaped, "moved": moved}.items()}  # fmt: skip


def test_completions_are_set_beside_the_truth(train, held):
    specs = [s for s in cloud_metrics("completion", POINTS, labelled=False) if s.kind == "task"]
    found = {name: values(specs, column, train, held) for name, column in given().items()}
    true, heaped = found["true"], found["heaped"]
    assert true["CD squared to the truth"] == pytest.approx(0, abs=1e-12)
    assert true["EMD exact to the truth"] == pytest.approx(0, abs=1e-12)
    assert true["DCD to the truth"] == pytest.approx(0, abs=1e-12)
    assert true["F-score at 1% of the side"] == 1.0
    assert heaped["CD squared to the truth"] > 0.01
    assert heaped["EMD exact to the truth"] > 0.05
    assert heaped["DCD to the truth"] > 0.3
    assert heaped["F-score at 1% of the side"] == pytest.approx(2 / 3, abs=0.01)  # all right, half found
    assert heaped["F-score at 5% of the side"] >= heaped["F-score at 1% of the side"]
    assert (true["change of given points"], heaped["change of given points"]) == (0.0, 0.0)
    assert found["moved"]["change of given points"] > 0.005


def test_an_item_without_a_truth_is_said(train, held):
    specs = [s for s in cloud_metrics("completion", POINTS, labelled=False) if s.kind == "task"]
    column = given()["true"]
    column.given[3].data.points[-1] = np.nan
    with pytest.raises(ValueError, match="3: its points are not all known"):
        values(specs[:1], column, train, held)


def table_of(samples, seed, asked=None, **settings):
    asked = [] if asked is None else asked

    class Subject:
        def items(self, part):
            return [Item(cloud) for cloud in shapes(40, {"train": 0, "validation": 1, "test": 3}[part])[0]]

        def draw(self, n, size):
            asked.append(size)
            return samples[:n]

    return protocols.PVD(points=32, **settings).run(Subject(), seed, lambda words: None)


def test_the_table_of_pvd_names_each_definition():
    asked = []
    table = table_of(shapes(24, 2)[0], 0, asked, n=24)
    assert asked == [32]  # samples are made of as many points as are compared
    ours, real = table.columns["ours"], table.columns["training shapes"]
    assert set(ours) == set(real)
    for name in ("CD squared", "EMD squared approximate", "EMD exact"):
        assert 25 <= ours[f"1-NNA, {name}, %"].mean <= 75
        assert 20 < ours[f"COV, {name}, %"].mean <= 100
    assert ours["MMD, EMD exact, x 1000"].mean != ours["MMD, EMD squared approximate, x 1000"].mean
    assert 0 < ours["JSD, 28^3, ball about the reference"].mean < 1
    copies = table_of(shapes(40, 1)[0], 0, n=40, distances=("CD squared",))  # the reference itself
    assert copies.columns["ours"]["1-NNA, CD squared, %"].mean == 0.0
    assert copies.columns["ours"]["MMD, CD squared, x 1000"].mean == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"distances": ("EMD",)}, "distances are CD squared, EMD squared approximate, EMD exact; found"),
        ({"n": 1}, "at least 2 shapes"),
        ({"n": 500}, "40 validation shapes, and 500 are compared"),
        ({"n": 20, "part": "train"}, "part=train"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        table_of(shapes(40, 2)[0], 0, **settings)


def test_shapes_of_fewer_points_are_refused():
    with pytest.raises(ValueError, match=r"has 20 points, and 32 of each .* protocol.points=20"):
        table_of([c.take(slice(20)) for c in shapes(40, 2)[0]], 0, n=12)
