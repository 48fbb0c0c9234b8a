"""The static table beside the classes, and modalities behind entry points."""

import inspect
import pkgutil
import subprocess
import sys
from importlib import import_module
from importlib.metadata import EntryPoint

import ornstein.core as core
import pytest
from ornstein.core import registry
from ornstein.core.backbones.backbone import Backbone
from ornstein.core.guidance import Guidance
from ornstein.core.objective import Coupling, TimeDensity, Weight
from ornstein.core.parametrization import Parametrization
from ornstein.core.processes import Process
from ornstein.core.registry import TABLE, class_of, modality_class, modality_entries, path_of
from ornstein.core.samplers import Grid, Move, Sampler, TokenGrid
from ornstein.core.schedules import Schedule

BASES = {
    "schedule": Schedule,
    "parametrization": Parametrization,
    "process": Process,
    "times": TimeDensity,
    "weight": Weight,
    "coupling": Coupling,
    "sampler": Sampler,
    "grid": Grid,
    "move": Move,
    "tokens": TokenGrid,
    "guidance": Guidance,
    "backbone": Backbone,
}


def subclasses(base: type) -> set[type]:
    """Every concrete public subclass in the core, once all of the core's mathematics is imported."""
    for room in ("schedules", "parametrization", "objective", "processes", "samplers", "guidance", "backbones"):
        module = import_module(f"{core.__name__}.{room}")
        for info in pkgutil.iter_modules(getattr(module, "__path__", [])):
            import_module(f"{module.__name__}.{info.name}")
    found, todo = set(), [base]
    while todo:
        cls = todo.pop()
        todo += cls.__subclasses__()
        public = not cls.__name__.startswith("_") and cls.__module__.startswith(core.__name__ + ".")
        if public and not inspect.isabstract(cls) and cls is not base:
            found.add(cls)
    return found


def test_every_group_has_a_base():
    assert set(BASES) <= set(TABLE)


@pytest.mark.parametrize("group", sorted(TABLE))
def test_the_table_names_all_classes_and_nothing_else(group):
    listed = {name: class_of(group, name) for name in TABLE[group]}
    chosen = [(class_of(group, name), sorted(entry.options.items())) for name, entry in TABLE[group].items()]
    assert all(chosen.count(one) == 1 for one in chosen)
    if group in BASES:
        assert set(listed.values()) == subclasses(BASES[group])
    for name, entry in TABLE[group].items():
        assert name == name.lower()
        assert entry.about
        assert not entry.about.endswith(".")


def test_listing_imports_nothing_heavy():
    code = "import sys, ornstein.core.registry as r; r.modality_entries(); print({'torch', 'numpy', 'yaml'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "set()"


@pytest.mark.parametrize(
    ("group", "name", "words"),
    [
        ("sampler", "dpmp_2m", "unknown sampler 'dpmp_2m'; did you mean dpmpp_2m"),
        ("samplers", "ddim", "unknown group 'samplers'; did you mean sampler"),
        ("schedule", "qqq", "choose from cosine, cosine_beta"),
    ],
)
def test_unknown_names_show_the_nearest(group, name, words):
    with pytest.raises(LookupError, match=words) as error:
        path_of(group, name)
    assert not isinstance(error.value, KeyError)  # which would print its message in quotes


class Owner:
    def __init__(self, name: str) -> None:
        self.name = name


def points(monkeypatch, *entries: tuple[str, str, str]) -> None:
    """Entry points (name, value, owner) instead of the installed ones."""
    found = []
    for name, value, owner in entries:
        point = EntryPoint(name, value, registry.MODALITIES)
        vars(point).update(dist=Owner(owner))
        found.append(point)
    monkeypatch.setattr(registry, "entry_points", lambda group: found)


def test_built_in_modalities_come_through_the_same_door():
    assert "image" in modality_entries()
    assert modality_class("image").name == "image"
    with pytest.raises(LookupError, match="unknown modality 'imag'; did you mean image"):
        modality_class("imag")


def test_two_owners_of_one_name_are_both_named(monkeypatch):
    points(
        monkeypatch, ("image", "ornstein.modalities.image:Image", "ornstein"), ("image", "mine:Image", "their-images")
    )
    with pytest.raises(
        LookupError, match=r"two packages own the modality 'image': ornstein .* and their-images \(mine:Image\)"
    ):
        modality_entries()
    points(monkeypatch, ("image", "a:B", "ornstein"), ("image", "a:B", "ornstein"))
    assert list(modality_entries()) == ["image"]  # one install seen twice


def test_third_parties_can_be_switched_off(monkeypatch):
    points(monkeypatch, ("mine", "mine:Mine", "other"), ("image", "ornstein.modalities.image:Image", "ornstein"))
    assert list(modality_entries()) == ["image", "mine"]
    for word in ("off", "OFF"):
        monkeypatch.setenv(registry.OFF, word)
        assert list(modality_entries()) == ["image"]
    monkeypatch.setenv(registry.OFF, "on")
    assert list(modality_entries()) == ["image", "mine"]


def test_a_broken_plugin_is_reported_and_breaks_nothing_else(monkeypatch):
    points(
        monkeypatch, ("mine", "no_such_module:Mine", "other"), ("image", "ornstein.modalities.image:Image", "ornstein")
    )
    assert modality_class("image").name == "image"
    with pytest.raises(
        LookupError, match=r"'mine' of package 'other' cannot be imported: ModuleNotFoundError.*no_such_module"
    ):
        modality_class("mine")


def test_the_front_door_is_lazy_and_complete():
    for name in core.__all__:
        assert getattr(core, name) is not None
    assert core.samplers.__name__ == "ornstein.core.samplers"
    assert sorted(dir(core)) == sorted(core.__all__)
    with pytest.raises(AttributeError, match="no attribute 'smaple'"):
        _ = core.smaple
