"""Every modality that is installed keeps every rule that applies to it."""

import pytest
from ornstein.core.conformance import check_modality
from ornstein.core.registry import modality_entries


@pytest.mark.parametrize("name", list(modality_entries()))
def test_it_keeps_the_rules(name):
    broken = {r.name: r.message for r in check_modality(name) if r.status == "failed"}
    assert broken == {}
