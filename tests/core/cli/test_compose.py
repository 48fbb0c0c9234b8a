"""Words on recipes: what they replace, what they keep, and where recipes come from."""

import sys

import pytest
import yaml
from ornstein.core.cli import compose, names, providers
from ornstein.core.cli.compose import apply, lay_over
from ornstein.core.cli.objects import build
from ornstein.core.cli.words import UsageError, choose, split, take, take_flag

DIGITS = providers.recipe("image/digits").path


def test_a_group_word_replaces_the_class_whole():
    tree = apply({"sampler": {"name": "dpmpp_2m", "steps": 7, "order": 1}}, ["sampler=ddim"])
    assert tree["sampler"]["name"] == "ddim"
    assert "order" not in tree["sampler"]


def test_a_group_of_values_is_laid_over_the_recipe():
    tree = apply({"trainer": {"accelerator": "gpu", "max_steps": 7}}, ["trainer=cpu"])
    assert tree["trainer"]["accelerator"] == "cpu"
    assert tree["trainer"]["max_steps"] == 7


def test_a_group_of_values_replaces_the_classes_it_names():
    tree = apply({"objective": {"dropout": 0.3, "times": {"name": "log_normal", "mean": 9.0}}}, ["objective=simple"])
    assert tree["objective"] == {"dropout": 0.3, "times": {"name": "uniform"}, "weight": {"name": "unit"}}


def test_a_process_is_chosen_for_a_field():
    base = {"process": {"a": {"name": "gaussian", "sigma_data": 3.0}, "b": {"name": "masked"}}}
    tree = apply(base, ["process.a=edm"])
    assert tree["process"]["a"]["schedule"] == {"name": "edm"}
    assert "sigma_data" not in tree["process"]["a"]
    assert tree["process"]["b"] == {"name": "masked"}


def test_process_alone_means_the_only_field():
    tree = apply({"process": {"pixels": {"name": "gaussian"}}}, ["process=cosine_v"])
    assert tree["process"]["pixels"]["parametrization"] == {"name": "v"}


def test_a_class_without_a_file_of_its_own_is_a_choice_too():
    assert apply({"backbone": {"name": "x", "width": 3}}, ["backbone=dit"])["backbone"] == {"name": "dit"}


@pytest.mark.parametrize(
    ("word", "value"),
    [("a.b=1e-3", 1e-3), ("a.b=[1,2]", [1, 2]), ("a.b=null", None), ("a.b='x, y'", "x, y"), ("a.b={c: 1}", {"c": 1})],
)
def test_a_word_sets_a_key(word, value):
    assert apply({"a": {"b": 0}}, [word])["a"]["b"] == value


def test_null_takes_a_part_away():
    assert apply({"guidance": {"name": "cfg"}}, ["guidance=null"])["guidance"] is None


def test_the_order_of_words_counts():
    words = ["sampler=ddim", "sampler.steps=3"]
    assert apply({"sampler": {"name": "heun"}}, words)["sampler"]["steps"] == 3


def test_interpolations_are_filled_in_after_the_words():
    assert apply({"a": 1, "b": "${a}"}, ["a=5"])["b"] == 5


def test_what_a_recipe_leaves_open_must_be_given():
    with pytest.raises(ValueError, match=r"data\.root=\.\.\."):
        compose.compose(providers.recipe("image/folder").path)
    assert compose.compose(providers.recipe("image/folder").path, ["data.root=x"])["data"]["root"] == "x"


def test_a_modality_alone_means_its_default_recipe():
    assert providers.recipe("image").name == "image/digits"
    assert "default" not in compose.compose(DIGITS)


def test_an_overlay_stands_between_the_recipe_and_the_words(tmp_path):
    overlay = tmp_path / "over.yaml"
    overlay.write_text("data: {batch_size: 3}\nseed: 4\nsampler: {name: heun}\n")
    tree = compose.compose(DIGITS, ["seed=5"], overlay)
    assert (tree["data"]["batch_size"], tree["seed"], tree["sampler"]) == (3, 5, {"name": "heun"})
    assert lay_over({"a": {"name": "x", "b": 1}}, {"a": {"c": 2}}) == {"a": {"name": "x", "b": 1, "c": 2}}


def test_a_recipe_of_ones_own_may_use_every_group(tmp_path):
    mine = tmp_path / "it's, mine.yaml"
    mine.write_text("defaults:\n  - sampler: ddim\n  - _self_\nmodality: image\nsampler: {steps: 3}\n")
    assert compose.compose(mine)["sampler"] == {"name": "ddim", "steps": 3}


def test_data_of_ones_own_take_the_place_of_a_named_set(tmp_path):
    named, own = {"data": {"name": "digits", "limit": 3}}, {"data": {"root": "???", "limit": 3}}
    assert apply(named, ["data.root=mine"])["data"] == {"root": "mine", "limit": 3}
    assert apply(own, ["data.name=digits"])["data"] == {"name": "digits", "limit": 3}
    assert apply(named, ["data.root=null"])["data"] == {"name": "digits", "root": None, "limit": 3}
    both = apply(named, ["data.root=mine", "data.name=other"])["data"]
    assert (both["root"], both["name"]) == ("mine", "other")  # for the data module to refuse
    (tmp_path / "over.yaml").write_text("data: {root: mine}\n")
    assert "name" not in compose.compose(DIGITS, (), tmp_path / "over.yaml")["data"]


def test_a_mistyped_key_is_told_before_what_is_left_open():
    with pytest.raises(LookupError, match="did you mean root"):
        compose.compose(providers.recipe("image/folder").path, ["data.rot=x"])


def test_a_word_that_cannot_be_read_is_shown():
    with pytest.raises(UsageError, match=r"'sampler={name: ddim' cannot be read: close its brackets"):
        apply({"sampler": {"name": "ddim"}}, ["sampler={name: ddim"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1", "not YAML"),
        ("- 1", "not a mapping"),
        ("defaults:\n  - sampler: dim\n", "sampler/dim.*did you mean sampler/ddim"),
        ("defaults:\n  - sampler: ddim\nseed: 0\n", "add `- _self_`"),
        ("\x00", "YAML"),
    ],
)
def test_a_broken_recipe_is_told_in_plain_words(tmp_path, text, said):
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(ValueError, match=said):
        compose.compose(tmp_path / "r.yaml")


def test_third_parties_are_found_without_being_imported(tmp_path, monkeypatch):
    package, info = tmp_path / "acme_parts", tmp_path / "acme-1.0.dist-info"
    for folder in (package / "recipes/image", package / "configs/sampler", info):
        folder.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "recipes/image/acme.yaml").write_text("# theirs\ndefaults:\n  - sampler: acme\n")
    (package / "configs/sampler/acme.yaml").write_text("name: ddim\nsteps: 77\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[ornstein.recipes]\nacme = acme_parts\n")
    monkeypatch.syspath_prepend(tmp_path)
    _forget(monkeypatch)
    found = providers.recipe("image/acme")
    assert (found.owner, found.about) == ("acme_parts", "theirs")
    assert compose.compose(found.path)["sampler"]["steps"] == 77
    assert "acme_parts" not in sys.modules
    monkeypatch.setenv("ORNSTEIN_PLUGINS", "off")
    _forget(monkeypatch)
    with pytest.raises(LookupError, match="image/acme"):
        providers.recipe("image/acme")
    monkeypatch.undo()
    _forget(monkeypatch)


def _forget(monkeypatch):
    providers.recipes.cache_clear()
    providers.parts.cache_clear()


def test_two_owners_of_one_recipe_are_both_named(tmp_path, monkeypatch):
    for owner in ("one", "two"):
        (tmp_path / owner / "image").mkdir(parents=True)
        (tmp_path / owner / "image/same.yaml").write_text("seed: 0\n")
    monkeypatch.setattr(providers, "folders", lambda kind: [(o, tmp_path / o) for o in ("one", "two")])
    providers.recipes.cache_clear()
    with pytest.raises(ValueError, match="'one' and from 'two'"):
        providers.recipes()
    providers.recipes.cache_clear()


def _parts():
    return [(group, name) for group, options in providers.parts().items() for name in options]


@pytest.mark.parametrize(("group", "name"), _parts())
def test_every_part_names_what_exists(group, name):
    part = yaml.safe_load(providers.parts()[group][name].read_text())
    tree = names.to_classes(part, (group,))
    names.check_keys(tree, (group,))
    back = names.to_names(tree, (group,))  # a name that is another's with its defaults comes back as that one
    assert back == part or names.to_classes(back, (group,)) == tree


ABOUT_A_MODEL = ("modality", "backbone", "guidance", *names.FIXED)  # they are built around something else
BUILT = [group for group in names.BASES if group not in ABOUT_A_MODEL]


@pytest.mark.parametrize("group", BUILT)
def test_every_name_and_every_part_builds_its_object(group):
    base = names.load_class(names.BASES[group], group)
    for name in names.GROUPS[group]:
        assert isinstance(build(base, group, name), base)
    for name, path in providers.parts().get(group, {}).items():
        assert isinstance(build(base, group, yaml.safe_load(path.read_text())), base), name


@pytest.mark.parametrize("group", BUILT)
def test_every_class_has_a_name(group):
    base = names.load_class(names.BASES[group], group)
    named = {names.load_class(entry.path, group) for entry in names.GROUPS[group].values()}
    missing = [c for c in _concrete(base) if c.__module__.startswith("ornstein.") and c not in named]
    assert not missing


def _concrete(base):
    for cls in base.__subclasses__():
        if not getattr(cls, "__abstractmethods__", None) and not cls.__name__.startswith("_"):
            yield cls
        yield from _concrete(cls)


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"name": "ddmi"}, "ddim"),
        ({"name": "ddim", "stepz": 3}, "did you mean steps"),
        ({"name": "ddim", "steps": "many"}, "steps"),
        ({"name": "ddim", "steps": 0}, "at least 1"),
        ({"name": "ddim", "grid": {"name": "karas"}}, "karras"),
        ({"name": "ddim", "grid": {"rho": 3}}, "has no name"),
        ({"name": "no.such.Sampler"}, "cannot be imported"),
        ({"name": "timeit.timeit"}, "is no Sampler"),
        ({"name": "ddim", "grid": {"name": "ornstein.core.samplers.DDIM"}}, "is no Grid"),
    ],
)
def test_a_wrong_part_is_refused_in_the_words_of_the_recipe(part, said):
    from ornstein.core.samplers import Sampler

    with pytest.raises((ValueError, LookupError), match=said) as error:
        build(Sampler, "sampler", part)
    assert "init_args" not in str(error.value)


def test_a_class_of_ones_own_is_named_by_its_path():
    from ornstein.core.samplers import DDIM, Sampler

    assert isinstance(build(Sampler, "sampler", {"name": "ornstein.core.samplers.DDIM", "steps": 3}), DDIM)


def test_every_group_of_classes_says_what_they_must_be():
    assert set(names.GROUPS) <= set(names.BASES)
    for base in names.BASES.values():
        assert isinstance(names.load_class(base, "test"), type)


def test_a_process_of_a_field_must_be_a_process():
    tree = {"process": {"a": {"class_path": "ornstein.core.samplers.DDIM", "init_args": {}}}}
    with pytest.raises(LookupError, match=r"process\.a: .* is no Process"):
        names.check_keys(tree)


def test_splitting_a_command_line():
    assert split(["r", "a=1", "--x", "b=2"]) == (["r", "a=1"], ["--x", "b=2"])
    assert take(["a=1", "b=2", "a=3"], "a") == ("3", ["b=2"])
    assert take_flag(["--x", "1", "--y=2", "--z"], "--y") == ("2", ["--x", "1", "--z"])
    with pytest.raises(ValueError, match="needs a value"):
        take_flag(["--x"], "--x")


def test_many_names_are_cut_to_the_nearest():
    message = choose("thing", "name7", [f"name{i}" for i in range(100)])
    assert "name7" in message
    assert message.count(",") < 10
