"""Every modality that is installed keeps every rule that applies to it."""

import pytest
from ornstein.core.conformance import check_modality
from ornstein.core.registry import modality_entries


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
