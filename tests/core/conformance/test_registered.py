"""Every modality that is installed keeps every rule that applies to it."""

import pytest
from ornstein.core.backbones.perceiver import Perceiver
from ornstein.core.backbones.unet import UNet
from ornstein.core.conformance import check_modality, given, network, symmetries
from ornstein.core.conformance.kit import RULES
from ornstein.core.conformance.rule import Skipped
from ornstein.core.conformance.subject import Subject
from ornstein.core.registry import modality_class, modality_entries


@pytest.fixture
def short_training(monkeypatch):
    """Scores of series that train networks train them for some steps: the kit asks for a number, not for a good one."""
    from ornstein.modalities.timeseries import scores, ts2vec

    monkeypatch.setattr(scores.cross_judged, "__defaults__", (0, 20))
    monkeypatch.setattr(scores.predictive_errors, "__defaults__", (5, 0, 20))
    monkeypatch.setattr(ts2vec, "training_steps", lambda x: 10)


def broken(name):
    return {r.name: r.message for r in check_modality(name) if r.status == "failed"}


@pytest.mark.usefixtures("short_training")
@pytest.mark.parametrize("name", list(modality_entries()))
def test_it_keeps_the_rules(name):
    assert broken(name) == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", list(modality_entries()))
def test_it_keeps_the_rules_with_training_to_the_end(name):
    assert broken(name) == {}


def small_perceiver(fields, conditions, axes):
    return Perceiver(fields, conditions, axes, width=16, depth=2, heads=2, latents=6, latent_width=24, latent_depth=1)


def small_unet(fields, conditions, axes):
    return UNet(fields, conditions, axes, widths=(16, 32), depth=1, attention=(1,), head_width=16)


@pytest.mark.parametrize("network_of", [small_perceiver, small_unet])
@pytest.mark.parametrize("name", list(modality_entries()))
def test_other_networks_keep_the_rules_about_networks(name, network_of):
    modality = modality_class(name)()
    if network_of is small_unet and not modality.axes:
        pytest.skip("a U-Net refuses sets")
    subject = Subject(modality, network_of, items=8, tolerance=0.02)
    pairs = [f.name for f in subject.fitted.fields if f.axes == "pair"]
    if pairs:
        pytest.skip(f"{', '.join(pairs)}: this network refuses pair fields")
    rules = [rule for rule in RULES if rule.__module__ in (network.__name__, symmetries.__name__)]
    for rule in [*rules, given.given_stands_still]:
        try:
            rule(subject)
        except Skipped:
            continue
