"""What the pages show is true: their examples run, their links within the repository lead somewhere."""

import re
import sys
from dataclasses import replace
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import torch
from ornstein.core import rng
from ornstein.core.modality import BadItem
from ornstein.core.oracle import GaussianWorld
from ornstein.core.parametrization import V
from ornstein.core.processes import Gaussian
from ornstein.core.samplers import DPMpp, UniformGrid, run
from ornstein.core.schedules import Rectified, Trigonometric
from ornstein.core.sources import File, Memory

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "modalities").rglob("*.md")])


def example(name):
    spec = spec_from_file_location(name, ROOT / f"docs/examples/{name}.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def outline():
    return example("outline")


@pytest.fixture
def fitted(outline):
    modality = outline.Outline()
    items = [modality.read(row.file, row.values) for row in modality.datasets()["rings"].rows()]
    modality.fit(items)
    return modality, items


def test_the_worked_example_comes_back_centred(fitted):
    modality, items = fitted
    encoded = modality.encode(items, None, rng.generator(0))
    real = encoded.state["points"][encoded.mask]
    assert real.std() == pytest.approx(1, abs=1e-3)
    assert (encoded.state["points"][~encoded.mask] == 0).all()
    for item, decoded in zip(items, modality.decode(encoded.state, encoded.mask, encoded.aux), strict=True):
        np.testing.assert_allclose(decoded, item.data - item.data.mean(0), atol=1e-6)


def test_the_worked_example_draws_sizes_that_it_saw_and_travels_by_its_state(fitted, outline):
    modality, _ = fitted
    other = outline.Outline()
    other.load_state(*modality.state())
    blank, same = (m.blank(50, {}, rng.generator(1)) for m in (modality, other))
    assert torch.equal(blank.mask, same.mask)
    assert set(blank.mask.sum(1).tolist()) <= set(range(8, 25))


def test_the_worked_examples_metric_is_a_shift_of_radii(fitted, outline):
    modality, items = fitted
    from ornstein.core.evaluation.spec import Context, Judged

    def judged(scale):
        return Judged([scale * item.data for item in items], [{}] * len(items), [item.key for item in items])

    (metric,) = modality.metrics("unconditional")
    context = Context(judged(1), None, 0)
    radius = np.concatenate([outline._radius(item.data) for item in items]).mean()
    assert metric.compute(judged(1), judged(1), context) == 0
    assert metric.compute(judged(1.5), judged(1), context) == pytest.approx(radius / 2, rel=1e-2)


def test_the_worked_example_writes_what_it_reads(fitted, tmp_path):
    modality, items = fitted
    path = modality.write([items[0].data], tmp_path)[0]
    store = Memory("written", {"x.txt": path.read_bytes(), "bad.txt": b"1 two\n", "three.txt": b"1 2 3\n"})
    np.testing.assert_array_equal(modality.read(File("x.txt", store), {}).data, items[0].data)
    for name in ("bad.txt", "three.txt"):
        with pytest.raises(BadItem, match=name):
            modality.read(File(name, store), {})


MEAN, STD, START = 0.7, 0.3, 0.98


def end_of(process, x_t):
    """Where the probability flow of N(MEAN, STD^2) data brings x_t: the standardised value stays."""
    at = process.at(torch.tensor(START, dtype=torch.float64))
    return MEAN + STD * (x_t - at.alpha * MEAN) / (at.alpha**2 * STD**2 + at.sigma**2).sqrt()


def order_of(sampler_class, schedule, steps=(32, 64, 128)):
    """Minus the slope of log error over log steps."""
    process = Gaussian(schedule, V())
    world = GaussianWorld(torch.tensor([[MEAN]]), torch.tensor([[STD**2]]), process)
    errors = []
    for n in steps:
        states = []
        plan = sampler_class(steps=n, grid=UniformGrid(start=START)).plan(world.processes)
        run(world, plan, world.blank(16), seed=0, hooks=[lambda at, states=states: states.append(at.state["x"])])
        errors.append(float((states[-1] - end_of(process, states[0])).abs().max()))
    return -np.polyfit(np.log(steps), np.log(errors), 1)[0]


@pytest.mark.parametrize("schedule", [Rectified(), Trigonometric()], ids=lambda s: type(s).__name__)
def test_the_worked_sampler_has_the_order_it_claims(schedule):
    adams = example("adams").Adams

    class Forgets(adams):
        """A planted fault: the slope before is not used."""

        def coefficients(self, curve, stages):
            return [replace(k, b=(sum(k.b), 0.0)) if k.b else k for k in super().coefficients(curve, stages)]

    assert order_of(adams, schedule) == pytest.approx(adams().convergence, abs=0.2)
    assert order_of(Forgets, schedule) == pytest.approx(1, abs=0.2)


def test_two_moons_come_out_of_noise(tmp_path):
    moons = example("two_moons")
    path = moons.trajectories(moons.train(600), 500, DPMpp(steps=20))
    real = moons.moons(2000, np.random.default_rng(1))
    off, missed = torch.cdist(path[-1], real).amin(1), torch.cdist(real, path[-1]).amin(1)
    assert path.shape == (21, 500, 2)
    assert path[0].std(0) == pytest.approx([1, 1], abs=0.1)
    assert off.median() < 0.06  # noise is 0.3 off
    assert off.quantile(0.8) < 0.25  # noise 0.7
    assert missed.quantile(0.95) < 0.25  # one moon alone misses by more than 1
    moons.draw(path, tmp_path / "two_moons.png")
    assert (tmp_path / "two_moons.png").stat().st_size > 10_000


@pytest.mark.parametrize("name", ["load", "sample", "save"])
def test_public_functions_are_not_hidden_by_modules_of_their_name(name):
    for _ in range(2):  # importing a submodule sets an attribute of the package, which wins the second time
        assert callable(getattr(import_module("ornstein.core"), name))


def test_the_worked_recipe_trains(outline, tmp_path, monkeypatch):
    from ornstein.core.cli.main import main

    monkeypatch.setitem(sys.modules, "outline", outline)
    tiny = ["backbone.width=32", "backbone.depth=1", "backbone.heads=2", "optimizer.warmup=0"]
    recipe = str(ROOT / "docs/examples/outline.yaml")
    assert (
        main(["fit", recipe, "modality.name=outline.Outline", *tiny, f"runs={tmp_path}", "--trainer.max_steps", "2"])
        == 0
    )
    assert list(tmp_path.rglob("model.safetensors"))


def python_blocks(page):
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.S)


@pytest.mark.parametrize("page", ["docs/python-api.md", "README.md"])
def test_the_python_of_a_page_runs(page, tmp_path, monkeypatch):
    from ornstein.core import NeuralDenoiser, save
    from ornstein.core.backbones.dit import DiT
    from ornstein.modalities.image import Image

    image = Image()
    image.fit([image.read(row.file, row.values) for row in image.datasets()["digits"].rows()[:50]])
    network = DiT(image.fields, image.conditions, image.axes, width=16, depth=1, heads=2)
    save(NeuralDenoiser(network, image.fields, image.conditions, modality=image), tmp_path / "runs/image/latest")
    monkeypatch.chdir(tmp_path)
    shown = {}
    for block in python_blocks(page):
        exec(block, shown)
    assert len(shown["images"]) == 16
    assert shown["images"][0].shape == (8, 8, 1)


def test_every_page_can_be_found():
    listed = (ROOT / "mkdocs.yml").read_text() + (ROOT / "docs/decisions/index.md").read_text()
    lost = [page.name for page in (ROOT / "docs").rglob("*.md") if page.name not in listed]
    assert not lost, f"pages that neither mkdocs.yml nor the index of decisions names: {lost}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_of_a_page_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
    broken = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert not broken, f"{page.name}: {broken}"
