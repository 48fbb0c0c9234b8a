"""The checks of PoseBusters on single molecules: chemistry, lengths, angles, clashes, flatness and energy."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from .chemistry import sanitised, to_rdkit
from .graph import Graph

if TYPE_CHECKING:
    from posebusters import PoseBusters


def failed_checks(graph: Graph) -> tuple[str, ...]:
    """Names of the checks of PoseBusters' configuration `mol` that a molecule with positions fails; empty where it passes.

    A check that PoseBusters cannot make, as where it finds no conformers to compare the energy with, is not failed.

    Source: Buttenschoen, Morris, Deane 2024, arXiv:2308.05777.
    """
    from rdkit import rdBase

    try:
        sanitised(graph)
    except ValueError:
        return ("sanitization",)  # said early: the other checks cannot run
    with rdBase.BlockLogs(), _silence():
        table = _busters().bust([to_rdkit(graph)])
    row = table.iloc[0]
    return tuple(str(name) for name, passed in row.items() if not bool(passed))


def passes(graph: Graph) -> bool:
    """Whether a molecule fails none of the checks."""
    return not failed_checks(graph)


@contextmanager
def _silence() -> Iterator[None]:
    """Without its log, a line for each check that it cannot make."""
    log = logging.getLogger("posebusters")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)


@cache
def _busters() -> PoseBusters:
    from posebusters import PoseBusters

    return PoseBusters(config="mol")
