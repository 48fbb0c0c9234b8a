"""`ornstein show`: what a choice is in words and numbers, and no word that means nothing."""

import re

import pytest
from ornstein.core.cli import providers
from ornstein.core.cli.names import GROUPS
from ornstein.core.registry import TABLE

NUMBERS = [(group, name) for group in ("sampler", "grid", "schedule") for name in TABLE[group]]


@pytest.mark.parametrize(("group", "name"), NUMBERS, ids=".".join)
def test_every_sampler_grid_and_schedule_shows_its_numbers(ornstein, group, name):
    code, text, err = ornstein("show", group, name)
    assert (code, err) == (0, "")
    assert "Source" in text or group != "sampler"
    assert re.search(r"row  t|no table|sigma / alpha\n|log SNR\n", text)
    assert "nan" not in text.lower().split()


def test_every_other_choice_shows_its_arguments_or_its_file(ornstein):
    parts = {group: names for group, names in providers.parts().items() if group not in ("sampler", "grid", "schedule")}
    named = {group: {**parts.get(group, {}), **GROUPS.get(group, {})} for group in {*parts, *GROUPS}}
    for group in sorted(set(named) - {"sampler", "grid", "schedule"}):
        for name in named[group]:
            code, text, err = ornstein("show", group, name)
            assert (code, err) == (0, ""), (group, name, err)
            assert len(text) > 20


def test_the_table_is_the_plan(ornstein):
    from ornstein.core.parametrization import V
    from ornstein.core.processes import Gaussian
    from ornstein.core.samplers import DDIM
    from ornstein.core.samplers.grids import KarrasGrid
    from ornstein.core.schedules import Cosine

    _, text, _ = ornstein(
        "show", "sampler", "ddim", "sampler.eta=0.5", "sampler.grid=karras", "schedule=cosine", "--steps", "3"
    )
    plan = DDIM(3, eta=0.5, grid=KarrasGrid()).plan({"x": Gaussian(Cosine(), V())})
    assert text.rstrip().endswith(str(plan))
    assert "order: 1   calls: 1   noise: eta   source: Song et al. 2020" in text


def test_a_name_means_what_it_means_in_a_recipe(ornstein):
    assert "grid=KarrasGrid" in ornstein("show", "sampler", "dpm2")[1]  # as configs/sampler/dpm2.yaml says
    _, text, _ = ornstein("show", "sampler", "maskgit", "--steps", "2")  # a file alone
    assert "move=Confidence" in text


@pytest.mark.parametrize("argv", [["--steps", "7"], ["sampler.steps=7"]], ids=" ".join)
def test_steps_are_a_flag_or_a_word(ornstein, argv):
    assert "steps=7" in ornstein("show", "sampler", "heun", *argv)[1]


def test_a_class_of_ones_own_is_shown_by_its_path(ornstein):
    code, text, _ = ornstein("show", "schedules", "ornstein.core.schedules.VP", "--steps", "2")
    assert code == 0
    assert text.splitlines()[-1].split()[0] == "1"


REFUSED = [
    (["sampler", "nope"], "unknown sampler", 1),
    (["samplr", "ddim"], "sampler", 1),
    (["sampler", "ddim", "--steps", "0"], "at least 1", 2),
    (["schedule", "cosine", "--steps", "-3"], "at least 1", 2),
    (["grid", "uniform", "--steps", "0"], "at least 1", 2),
    (["sampler", "ddim", "--steps", "x"], "--steps", 2),
    (["sampler", "dopri5", "--steps", "5"], "no table", 2),
    (["sampler", "ddim", "sampler.steps=3", "--steps", "4"], "both", 2),
    (["sampler", "ddim", "sampler.steps=0"], "steps", 1),
    (["sampler", "ddim", "sampler.eta=5"], "[0, 1]", 1),
    (["sampler", "ddim", "sampler.etaa=1"], "did you mean eta", 1),
    (["sampler", "ddim", "eta=0.5"], "changes nothing", 2),
    (["sampler", "ddim", "grid=karras"], "changes nothing", 2),
    (["sampler", "ddim", "sampler=heun"], "changes nothing", 2),
    (["sampler", "ddim", "nonsense"], "changes nothing", 2),
    (["sampler", "ddim", "schedule=vpp"], "vp", 1),
    (["sampler", "ddim", "sampler.grid=leading", "--steps", "1"], "hardly any noise", 1),
    (["grid", "karras", "sampler.eta=1"], "changes nothing", 2),
    (["grid", "karras", "grid.sigma_min=0"], "sigma_min", 1),
    (["schedule", "cosine", "sampler=ddim"], "changes nothing", 2),
    (["guidance", "cfg", "scale=3"], "leave it out", 2),
    (["guidance", "cfg", "--steps", "3"], "no steps", 2),
    (["schedule", "torch.nn.Linear"], "is no Schedule", 1),
    (["schedule", "no_such.Thing"], "cannot be imported", 1),
    (["recipe", "image/digits"], "--print_config", 1),
    (["modality", "image"], "ornstein check", 1),
    (["sampler"], "required", 2),
]


@pytest.mark.parametrize(("argv", "said", "code"), REFUSED, ids=lambda x: " ".join(x) if isinstance(x, list) else None)
def test_what_is_refused(ornstein, argv, said, code):
    got, out, err = ornstein("show", *argv)
    assert (got, out) == (code, "")
    assert said in err
    assert "Traceback" not in err
