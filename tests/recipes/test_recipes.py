"""Every recipe: it composes against the constructors, says what it should in its header, and runs for two batches."""

import re

import numpy as np
import pytest
from ornstein.core.cli import compose, names, providers
from ornstein.core.cli.main import main

RECIPES = [name for name, recipe in providers.recipes().items() if recipe.owner == "ornstein"]
HEADER = ("data", "numbers", "hardware", "minutes")


def pictures(folder):
    """A folder of two classes, and a table with the columns that recipes name: who, of what source, category and caption."""
    from PIL import Image

    rng, lines = np.random.default_rng(0), ["file,label,subject,source,category,caption"]
    for i in range(24):
        path = folder / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(path)
        lines.append(f"{path.relative_to(folder)},{'ab'[i % 2]},{i // 2},{i // 2},{'ab'[i % 2]},{i // 2}")
    (folder / "labels.csv").write_text("\n".join(lines))
    return folder


def series(folder):
    """A table of 700 hours, whose columns are those of recipes that name theirs."""
    import pandas as pd

    hours = pd.date_range("2024-01-01", periods=700, freq="h")
    table = pd.DataFrame({"year": hours.year, "month": hours.month, "day": hours.day, "hour": hours.hour})
    for name in ("pm2.5", "DEWP", "TEMP", "PRES", "Iws"):
        table[name] = np.random.default_rng(len(name)).normal(size=700)
    folder.mkdir()
    table.assign(cbwd=["NW", "SE"] * 350).to_csv(folder / "impute.csv", index=False)
    table.drop(columns=["year", "month", "day", "hour"]).assign(date=hours).to_csv(folder / "any.csv", index=False)
    return folder


def molecules(folder):
    """An SDF file of 40 molecules with the tag `energy`."""
    from ornstein.modalities.molecule.data import blocks

    folder.mkdir()
    (folder / "some.sdf").write_text("".join(blocks(40)))
    return folder


def shapes(folder):
    """A folder of two classes of clouds."""
    rng = np.random.default_rng(0)
    for i in range(24):
        path = folder / "ab"[i % 2] / f"{i}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, rng.normal(size=(300, 3)))
    return folder


def sounds(folder):
    """A folder of 40 clips of a second, and a table that says the class and the speaker of each."""
    import soundfile

    folder.mkdir()
    lines = ["file,label,digit,speaker"]
    for i in range(40):
        noise = np.random.default_rng(i).normal(0, 0.1, 8000)
        soundfile.write(folder / f"{i}.wav", noise, 8000)
        lines.append(f"{i}.wav,{i % 2},{i % 2},{'ab'[i % 2]}")
    (folder / "metadata.csv").write_text("\n".join(lines))
    return folder


def films(folder):
    """A folder of two classes of films of 16 frames, twelve of each."""
    rng = np.random.default_rng(0)
    for i in range(24):
        path = folder / "ab"[i % 2] / f"{i}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, frames=rng.integers(0, 256, (16, 24, 32, 3), dtype=np.uint8), fps=25.0)
    return folder


@pytest.fixture
def data(tmp_path):
    """What a recipe leaves to the user, by the recipe's name."""

    def words(name):
        modality, _, recipe = name.partition("/")
        make = {"audio": sounds, "image": pictures, "molecule": molecules, "pointcloud": shapes, "timeseries": series}
        root = {**make, "video": films}[modality](tmp_path / "data")
        if modality == "timeseries":
            root = root / ("impute.csv" if recipe == "impute" else "any.csv")
        return {"data.root": f"data.root={root}"}

    return words


def left_open(recipe):
    from omegaconf import OmegaConf

    return sorted(OmegaConf.missing_keys(OmegaConf.create(compose.load(recipe.path))))


def words_for(recipe, data):
    return [data(recipe.name)[key] for key in left_open(recipe)]


@pytest.mark.parametrize("name", RECIPES)
def test_the_header_says_data_numbers_hardware_and_minutes(name):
    recipe = providers.recipes()[name]
    comment = "".join(line for line in recipe.path.read_text().splitlines(True) if line.startswith("#"))
    assert recipe.about
    assert [word for word in HEADER if not re.search(rf"^# {word}\s+\S", comment, re.MULTILINE)] == []


def test_each_modality_has_one_default():
    modalities = {name.partition("/")[0] for name in RECIPES}
    defaults = [name.partition("/")[0] for name in RECIPES if providers.recipes()[name].default]
    assert sorted(defaults) == sorted(modalities)


@pytest.mark.parametrize("name", RECIPES)
def test_every_key_is_an_argument_of_a_constructor(name, data):
    from ornstein.core.cli import bridge

    recipe = providers.recipes()[name]
    flat = compose.compose(recipe.path, words_for(recipe, data))
    sections = bridge.to_sections(flat)
    bridge.check_sections(sections)
    assert names.to_names(names.to_classes(flat)) == flat


@pytest.mark.parametrize("name", RECIPES)
def test_it_runs_for_two_batches(name, data, tmp_path):
    recipe = providers.recipes()[name]
    words, net = words_for(recipe, data), ["backbone.width=32", "backbone.heads=2"]
    if compose.compose(recipe.path, words)["backbone"]["name"] == "unet":
        net = ["backbone.widths=[16,32]", "backbone.head_width=16", "backbone.attention=[1]"]
    small = ["trainer=cpu", "backbone.depth=1", *net, "data.limit=24", "data.batch_size=4"]
    small += ["data.workers=0", "optimizer.warmup=1", "run.n=4", "run.pictures=2", "sampler.steps=2"]
    limits = ["--trainer.max_steps", "2", "--trainer.limit_val_batches", "2", "--trainer.val_check_interval", "2"]
    assert main(["fit", name, *words, *small, f"runs={tmp_path / 'runs'}", *limits]) == 0
    run = tmp_path / "runs" / name.partition("/")[0] / "latest"
    assert (run / "model.safetensors").is_file()
    assert list((run / "pictures").glob("*.png"))
    assert main(["sample", str(run), "-n", "1", "--steps", "2", "--out", str(tmp_path / "out")]) == 0
