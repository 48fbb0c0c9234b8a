"""What a file of molecules may look like: SDF, MOL, MOL2, PDB, XYZ, SMILES, InChI and tables, cut into records of text."""

from __future__ import annotations

import csv
import io
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Literal, NamedTuple

from ornstein.core.modality import BadItem
from ornstein.core.sources import File, as_text

from .options import Options

Kind = Literal["smiles", "inchi", "mol", "mol2", "pdb", "xyz", "bad"]

COLUMNS = ("smiles", "canonical_smiles", "isomeric_smiles", "smi", "structure", "inchi")


class Record(NamedTuple):
    """The text of one molecule.

    Args:
        kind: how it is to be parsed; `bad`: it cannot be, and `text` says why.
        text: of the molecule alone, or with its tags.
        name: what the file calls it.
        values: text of each of `Options.properties` where a table gives it, "" where not.
    """

    kind: Kind
    text: str
    name: str = ""
    values: tuple[str, ...] = ()


def records(file: File, options: Options) -> list[Record]:
    """The records of a file in its order; those that can be seen to be damaged are `bad`.

    Raises:
        BadItem: the file as a whole is empty, damaged or not of its format.
    """
    content = file.read()
    if not content:
        raise BadItem(file.location, "is empty (0 bytes)")
    name, cut = file.name.lower(), False
    if name.endswith(".gz"):
        name = name.removesuffix(".gz")
        content, cut = _unpacked(file, content)
    reader = _READERS[PurePosixPath(name).suffix]
    try:
        found = list(reader(as_text(content), options))
    except (ValueError, csv.Error) as error:
        raise BadItem(file.location, str(error)) from error
    if not found:
        raise BadItem(file.location, "holds no molecule")
    if cut:  # the last line may be whole by its looks and yet not be
        found[-1] = Record("bad", "the compressed file is cut short in this record", found[-1].name)
    return found


def _unpacked(file: File, content: bytes) -> tuple[bytes, bool]:
    """All that can be unpacked, and whether the end is missing."""
    out, left = [], content
    try:
        while left:
            unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
            out.append(unpacker.decompress(left))
            if not unpacker.eof:
                return b"".join(out), True
            left = unpacker.unused_data.lstrip(b"\0")
    except zlib.error as error:
        raise BadItem(file.location, f"is not whole gzip data ({error})") from error
    return b"".join(out), False


def _sdf(text: str, options: Options) -> Iterator[Record]:
    blocks = re.split(r"^\$\$\$\$.*\n?", text, flags=re.MULTILINE)
    ended = not blocks[-1].strip()
    blocks = blocks[:-1] if ended else blocks
    for i, block in enumerate(blocks):
        name = block.split("\n", 1)[0].strip()
        last = i == len(blocks) - 1 and not ended
        if "M  END" not in block:
            why = "is cut short: it has no line M  END" if last else "has no line M  END: it is no whole MOL block"
            yield Record("bad", why, name)
        elif last and i > 0:
            yield Record("bad", "is cut short: it has no line $$$$, which ends the records before it", name)
        else:
            yield Record("mol", block, name)


def _mol2(text: str, options: Options) -> Iterator[Record]:
    _, *blocks = re.split(r"^@<TRIPOS>MOLECULE[ \t]*\n", text, flags=re.MULTILINE)
    if not blocks:
        raise ValueError("has no line @<TRIPOS>MOLECULE: it is no MOL2 file")
    for block in blocks:
        name = block.split("\n", 1)[0].strip()
        if "@<TRIPOS>ATOM" not in block:
            yield Record("bad", "is cut short: it has no atoms", name)
        else:
            yield Record("mol2", "@<TRIPOS>MOLECULE\n" + block, name)


def _pdb(text: str, options: Options) -> Iterator[Record]:
    """Each MODEL is a record, with the CONECT lines that stand behind all of them."""
    if not re.search(r"^(ATOM  |HETATM)", text, flags=re.MULTILINE):
        raise ValueError("has no line ATOM or HETATM: it is no PDB file")
    models = re.findall(r"^MODEL +(\d+).*?\n(.*?)(?:^ENDMDL|\Z)", text, flags=re.MULTILINE | re.DOTALL)
    if not models:
        yield Record("pdb", text)
    bonds = "".join(re.findall(r"^CONECT.*\n", text, flags=re.MULTILINE))
    for number, block in models:
        yield Record("pdb", block + bonds, number)


def _xyz(text: str, options: Options) -> Iterator[Record]:
    """Frames: a number of atoms, a comment, the atoms. The three lines that QM9 puts behind the atoms are left out."""
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        count = lines[at].strip()
        if not count:
            at += 1
            continue
        if not count.isdigit():
            raise ValueError(f"line {at + 1} is {count[:40]!r}; the number of atoms of a frame is needed")
        size, comment = int(count), lines[at + 1].strip() if at + 1 < len(lines) else ""
        frame = lines[at : at + 2 + size]
        missing = size + 2 - len([line for i, line in enumerate(frame) if line.strip() or i == 1])
        if missing > 0:
            yield Record("bad", f"is cut short: {missing:,} of {size:,} atoms are missing")
            return
        yield Record("xyz", "\n".join(frame))
        at += 2 + size + (3 if comment.startswith("gdb ") else 0)


def _smiles(text: str, options: Options) -> Iterator[Record]:
    """A SMILES or an InChI on each line, then blanks and a name; lines with # are comments, a first line may be a header."""
    for number, line in enumerate(text.split("\n")):
        cells = line.split(None, 1)
        if not cells or line[0] == "#" or (number == 0 and cells[0].lower() in COLUMNS):
            continue
        yield _line(cells[0], cells[1] if len(cells) > 1 else "")


def _line(molecule: str, rest: str) -> Record:
    if molecule.startswith("InChI="):
        return Record("inchi", molecule, rest.strip())
    if rest.startswith("|") and "|" in rest[1:]:  # CXSMILES, which may hold radicals
        extension, rest = rest[1:].split("|", 1)
        molecule = f"{molecule} |{extension}|"
    return Record("smiles", molecule, rest.strip())


def _table(text: str, options: Options) -> Iterator[Record]:
    head = text.split("\n", 1)[0]
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=head.count))
    header = [name.strip() for name in next(lines, [])]
    column = _column(header, options)
    places = [header.index(name) if name in header else None for name in options.properties]
    names = next((i for i, name in enumerate(header) if name.lower() in ("name", "id", "mol_id", "title")), None)
    for cells in lines:
        if not any(cells):
            continue
        if len(cells) != len(header):
            yield Record("bad", f"line {lines.line_num} has {len(cells)} cells, the header {len(header)}")
            continue
        values = tuple("" if i is None else cells[i].strip() for i in places)
        molecule, name = cells[column].strip(), "" if names is None else cells[names].strip()
        if not molecule:
            yield Record("bad", f"line {lines.line_num} has nothing in column {header[column]!r}", name)
        else:
            yield Record("inchi" if molecule.startswith("InChI=") else "smiles", molecule, name, values)


def _column(header: list[str], options: Options) -> int:
    """Where a table holds its molecules."""
    has = f"it has {', '.join(header[:12])}{', ...' if len(header) > 12 else ''}"
    if options.column is not None:
        if options.column not in header:
            raise ValueError(f"has no column {options.column!r}: {has}")
        return header.index(options.column)
    lower = [name.lower() for name in header]
    found = next((lower.index(name) for name in COLUMNS if name in lower), None)
    if found is None:
        raise ValueError(f"has no column of SMILES or InChI: {has}; name it with modality.column")
    return found


_READERS: dict[str, Callable[[str, Options], Iterator[Record]]] = {
    ".sdf": _sdf,
    ".sd": _sdf,
    ".mol": _sdf,
    ".mol2": _mol2,
    ".pdb": _pdb,
    ".ent": _pdb,
    ".xyz": _xyz,
    ".smi": _smiles,
    ".smiles": _smiles,
    ".inchi": _smiles,
    ".csv": _table,
    ".tsv": _table,
}
EXTENSIONS = (*_READERS, *(f"{ending}.gz" for ending in _READERS))
