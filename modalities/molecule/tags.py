"""Numbers that a file says of a molecule: tags of SDF, the comment of XYZ, cells of tables."""

from __future__ import annotations

import math
import re

from ornstein.core.sources import File

from .formats import Record
from .options import Options
from .parsing import Unfit
from .tables import companion

# The comment of QM9's own XYZ files: Ramakrishnan et al. 2014, Sci. Data 1, 140022, table 3.
_QM9 = ("tag", "index", "A", "B", "C", "mu", "alpha", "homo", "lumo", "gap", "r2", "zpve", "U0", "U", "H", "G", "Cv")
_PAIR = re.compile(r"([A-Za-z_][\w.\-]*)\s*=\s*(\"[^\"]*\"|[^\s\"]+)")
_MISSING = ("", "nan", "na", "n/a", "none", "null")


def values(record: Record, options: Options) -> list[float]:
    """The number of each of `Options.properties`; NaN where the record gives none.

    Raises:
        Unfit: it gives something else than a number.
    """
    if not options.properties:
        return []
    told = dict(zip(options.properties, record.values, strict=bool(record.values)))
    if record.kind == "mol":
        told = _sdf(record.text) | {name: text for name, text in told.items() if text}
    elif record.kind == "xyz":
        told = _xyz(record.text.split("\n", 2)[1]) | {name: text for name, text in told.items() if text}
    return [number(told.get(name, ""), name) for name in options.properties]


def number(text: str, name: str) -> float:
    """A number; NaN for what tables write where there is none.

    Raises:
        Unfit: neither.
    """
    text = text.strip()
    if text.lower() in _MISSING:
        return math.nan
    try:
        found = float(text.replace("*^", "e"))
    except ValueError:
        found = math.inf
    if not math.isfinite(found):
        raise Unfit(f"property {name!r} is {text[:40]!r}, which is no finite number")
    return found


def _sdf(text: str) -> dict[str, str]:
    """Tags by name: a line `> <name>`, then the lines of the value, then an empty one."""
    tags = re.findall(r"^>[^<\n]*<([^>\n]+)>.*\n((?:.+\n?)*)", text.split("M  END", 1)[-1], flags=re.MULTILINE)
    return {name: value.strip() for name, value in tags}


def _xyz(comment: str) -> dict[str, str]:
    """`name=value` as extended XYZ writes it, or the columns of QM9."""
    cells = comment.split()
    if cells and cells[0] == "gdb" and len(cells) == len(_QM9):
        return dict(zip(_QM9, cells, strict=True))
    return {name: value.strip('"') for name, value in _PAIR.findall(comment)}


def offered(file: File) -> list[str]:
    """The names of tags or columns at the head of a file and of the table beside it."""
    names: list[str] = []
    for each in (file, companion(file)):
        if each is None or each.name.endswith(".gz"):
            continue
        head = each.read()[:100_000].decode("utf-8", "replace")
        names += re.findall(r"^>[^<\n]*<([^>\n]+)>", head, flags=re.MULTILINE)
        if each.name.lower().endswith((".csv", ".tsv")):
            names += [name.strip() for name in re.split("[,;\t]", head.split("\n", 1)[0])]
        elif each.name.lower().endswith(".xyz"):
            names += list(_xyz([*head.split("\n", 1), ""][1].split("\n", 1)[0]))
    return list(dict.fromkeys(names))
