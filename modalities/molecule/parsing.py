"""From the text of a record to a sanitised molecule of the wanted fragments and hydrogens, or the reason why there is none."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from functools import cache
from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .chemistry import bond_classes, first_line, perceive
from .formats import Record
from .options import Options

if TYPE_CHECKING:
    from rdkit import Chem

BOHR = 0.529177210903  # angstrom, CODATA 2018
NONMETALS = frozenset((1, 2, 5, 6, 7, 8, 9, 10, 14, 15, 16, 17, 18, 32, 33, 34, 35, 36, 51, 52, 53, 54, 85, 86))
_ATOM = re.compile(r"\[[^\]]*\]|Br|Cl|[BCNOPSFIbcnops*]")  # of a SMILES, in the order in which RDKit numbers them
_BRACKET = re.compile(r"\[([A-Z][a-z]?|[a-z])@{0,2}(?:H\d?)?(\+\d?|-\d?)?\]")
_RARE_BOND = re.compile(r"[<>$~]")
_CHARGE = re.compile(r"\bcharge\s*[=:]\s*([-+]?\d+)", re.IGNORECASE)
_NOT_FINITE = re.compile(r"(?<![A-Za-z])[-+]?(nan|inf(inity)?)(?![A-Za-z])", re.IGNORECASE)


class Unfit(ValueError):  # noqa: N818 - it speaks of a record
    """Why a record cannot be used."""


class Molecule(NamedTuple):
    """A sanitised molecule, and what was done to it.

    Args:
        mol: aromatic as RDKit finds it, with a conformer where positions are read.
        numbers, charges: atomic numbers and formal charges of the atoms.
        cut: whether it was one fragment of several.
    """

    mol: Chem.Mol
    numbers: list[int]
    charges: list[int]
    cut: bool


def molecule(record: Record, options: Options) -> Molecule:
    """Parse a record and hold it to the options.

    Raises:
        Unfit: what is wrong with it.
    """
    from rdkit import Chem

    if record.kind == "bad":
        raise Unfit(record.text)
    mol = _READERS[record.kind](record)
    told, cut = _told(record.text) if record.kind == "smiles" else None, False
    if told is None:
        if record.kind != "smiles" or _RARE_BOND.search(record.text):
            _need_bonds(mol)
        mol, cut = _of_fragments(mol, options)
    if told is None or "[" in record.text:
        _need_plain_atoms(mol, options.strict, told is not None)
    if options.representation == "graph" or (flat := _flat(mol)):
        if options.representation == "3d" and options.strict:
            raise Unfit(f"{flat}; 3D ones are needed, or modality.representation=graph")
        mol.RemoveAllConformers()
    if options.hydrogens != "implicit":
        mol = _with_hydrogens(mol, options)
    elif told is None:
        mol = Chem.RemoveAllHs(mol) if 1 in atomic_numbers(mol) else mol
    count = mol.GetNumAtoms()
    _need_size(count, options)
    if mol.GetNumConformers():
        _need_angstrom(mol)
    if told is None:
        return Molecule(mol, atomic_numbers(mol), [mol.GetAtomWithIdx(i).GetFormalCharge() for i in range(count)], cut)
    numbers, charges = told
    more = count - len(numbers)  # hydrogens, which come last
    return Molecule(mol, numbers + [1] * more, charges + [0] * more, cut)


def _need_size(count: int, options: Options) -> None:
    least = 2 if options.strict else 1
    if count < least:
        what = "heavy atom" if options.hydrogens == "implicit" else "atom"
        raise Unfit(f"has {count} {what}{'s' * (count != 1)}; {least} are needed")
    if options.largest is not None and count > options.largest:
        raise Unfit(f"has {count} atoms, more than modality.largest={options.largest}")


def _told(text: str) -> tuple[list[int], list[int]] | None:
    """Atomic numbers and formal charges as a SMILES writes them, ten times as fast as to ask RDKit for each atom.

    None where there is anything but bonded nonmetals: fragments, hydrogens that are atoms, isotopes, rare bonds.
    """
    if "." in text or _RARE_BOND.search(text):
        return None
    atoms = [_atom(token) for token in _ATOM.findall(text)]
    if None in atoms:
        return None
    return [atom[0] for atom in atoms if atom], [atom[1] for atom in atoms if atom]


@cache
def _atom(token: str) -> tuple[int, int] | None:
    """Atomic number and charge of one atom of a SMILES; None where there is more to say of it."""
    symbol, charge = token, 0
    if token.startswith("["):
        found = _BRACKET.fullmatch(token)
        if found is None:
            return None
        symbol, sign = found[1], found[2] or ""
        charge = int(sign if len(sign) > 1 else sign + "1") if sign else 0
    try:
        number = _number(symbol)
    except ValueError:
        return None
    return (number, charge) if number > 1 and number in NONMETALS else None


def _of_smiles(record: Record) -> Chem.Mol:
    from rdkit import Chem

    return _parsed(lambda: Chem.MolFromSmiles(record.text), f"SMILES {record.text[:80]!r}")


def _of_inchi(record: Record) -> Chem.Mol:
    from rdkit import Chem

    return _parsed(lambda: Chem.MolFromInchi(record.text, logLevel=None), f"{record.text[:80]!r}")


def _of_block(record: Record) -> Chem.Mol:
    from rdkit import Chem

    _need_numbers(record.text.split("M  END", 1)[0])
    return _parsed(lambda: Chem.MolFromMolBlock(record.text, removeHs=False), "its MOL block")


def _of_mol2(record: Record) -> Chem.Mol:
    from rdkit import Chem

    _need_numbers(record.text)
    return _parsed(lambda: Chem.MolFromMol2Block(record.text, removeHs=False), "its MOL2 block")


def _of_pdb(record: Record) -> Chem.Mol:
    """Bonds by residues and CONECT lines; where these leave valences open, by the positions."""
    from rdkit import Chem

    _need_numbers(record.text)
    mol = _parsed(lambda: Chem.MolFromPDBBlock(record.text, removeHs=False), "its PDB lines")
    atoms = list(mol.GetAtoms())
    with_hydrogens = any(atom.GetAtomicNum() == 1 for atom in atoms)
    if not with_hydrogens or not any(atom.GetTotalNumHs() or atom.GetNumRadicalElectrons() for atom in atoms):
        return mol
    numbers = np.array([atom.GetAtomicNum() for atom in atoms])
    return _perceived(numbers, mol.GetConformer().GetPositions(), 0)


def _of_xyz(record: Record) -> Chem.Mol:
    _, comment, *lines = record.text.split("\n")
    numbers, positions = np.zeros(len(lines), np.int64), np.zeros((len(lines), 3))
    for i, line in enumerate(lines):
        cells = line.replace("*^", "e").split()
        try:
            numbers[i], positions[i] = _number(cells[0]), [float(cell) for cell in cells[1:4]]
        except (ValueError, IndexError) as error:
            raise Unfit(f"atom {i + 1} is {line.strip()[:60]!r}; an element and x y z are needed") from error
    told = _CHARGE.search(comment)
    return _perceived(numbers, positions, int(told[1]) if told else 0)


def _perceived(numbers: np.ndarray, positions: np.ndarray, charge: int) -> Chem.Mol:
    if not np.isfinite(positions).all():
        raise Unfit(f"atom {int(np.argmin(np.isfinite(positions).all(1))) + 1} has coordinates that are not finite")
    _need_nonmetals(numbers)
    _need_distances(numbers, positions)
    try:
        return perceive(numbers, positions, charge)
    except ValueError as error:
        raise Unfit(f"{error}; are hydrogens missing, or is it charged (`charge = 1` in the comment)?") from error


_READERS: dict[str, Callable[[Record], Chem.Mol]] = {
    "smiles": _of_smiles,
    "inchi": _of_inchi,
    "mol": _of_block,
    "mol2": _of_mol2,
    "pdb": _of_pdb,
    "xyz": _of_xyz,
}


def _number(symbol: str) -> int:
    """Atomic number of a symbol or of a number in text."""
    from rdkit import Chem

    if symbol.isdigit() and 0 < int(symbol) < 119:
        return int(symbol)
    try:
        return Chem.GetPeriodicTable().GetAtomicNumber(symbol.capitalize())
    except RuntimeError as error:
        raise ValueError(symbol) from error


def _parsed(parse: Callable[[], Chem.Mol | None], what: str) -> Chem.Mol:
    """The molecule, or RDKit's own reason why there is none."""
    mol = parse()
    if mol is not None and mol.GetNumAtoms():
        return mol
    reason = "it has no atoms" if mol is not None else _reason(parse)
    raise Unfit(f"RDKit cannot read {what}: {reason}")


class _Ear(logging.Handler):
    """Keeps what it hears."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(record.getMessage())


def _reason(parse: Callable[[], Chem.Mol | None]) -> str:
    """Parse once more and listen to the log, since RDKit's readers return None and log why."""
    from rdkit import rdBase

    logger, ear = logging.getLogger("rdkit"), _Ear()
    kept, logger.handlers, propagate, logger.propagate = logger.handlers, [ear], logger.propagate, False
    rdBase.LogToPythonLogger()
    rdBase.EnableLog("rdApp.*")
    try:
        parse()
    finally:
        rdBase.LogToCppStreams()
        logger.handlers, logger.propagate = kept, propagate
    lines = [re.sub(r"^\[[\d:]+\] ", "", line) for text in ear.heard for line in text.splitlines()]
    return first_line(ValueError(next((line for line in lines if line.strip()), "no reason is given")))


def _need_numbers(text: str) -> None:
    found = _NOT_FINITE.search(text.split("\n", 1)[-1])
    if found:
        line = next(line for line in text.split("\n")[1:] if _NOT_FINITE.search(line))
        raise Unfit(f"holds {found[0]} in {' '.join(line.split())[:60]!r}: its coordinates are not finite")


def _need_bonds(mol: Chem.Mol) -> None:
    kinds = bond_classes()
    for bond in mol.GetBonds():
        if bond.GetBondType() not in kinds:
            raise Unfit(
                f"the bond of atoms {bond.GetBeginAtomIdx() + 1} and {bond.GetEndAtomIdx() + 1} is of type "
                f"{bond.GetBondType()}; single, double, triple and aromatic bonds are read"
            )


def _of_fragments(mol: Chem.Mol, options: Options) -> tuple[Chem.Mol, bool]:
    from rdkit import Chem

    if options.fragments == "keep":
        return mol, False
    parts = Chem.GetMolFrags(mol)
    if len(parts) < 2:
        return mol, False
    if options.fragments == "refuse":
        raise Unfit(f"holds {len(parts)} fragments; take the largest with modality.fragments=largest, or keep all")
    heavy = [sum(mol.GetAtomWithIdx(i).GetAtomicNum() > 1 for i in part) for part in parts]
    best = max(range(len(parts)), key=lambda k: (heavy[k], len(parts[k]), -k))
    return Chem.GetMolFrags(mol, asMols=True)[best], True


def atomic_numbers(mol: Chem.Mol) -> list[int]:
    """Atomic numbers; three times as fast as to go through mol.GetAtoms()."""
    from rdkit import Chem

    return list(map(Chem.Atom.GetAtomicNum, map(Chem.Mol.GetAtomWithIdx, repeat(mol), range(mol.GetNumAtoms()))))


def _need_plain_atoms(mol: Chem.Mol, strict: bool, nonmetals: bool) -> None:
    if (nonmetals or NONMETALS.issuperset(atomic_numbers(mol))) and not len(mol.GetAtomsMatchingQuery(_odd())):
        return
    _need_nonmetals(np.array(atomic_numbers(mol)))
    for i, atom in enumerate(mol.GetAtoms(), 1):
        symbol = atom.GetSymbol()
        if atom.GetIsotope():
            raise Unfit(f"atom {i} is the isotope {atom.GetIsotope()}{symbol}; isotopes are not kept")
        if strict and atom.GetNumRadicalElectrons():
            raise Unfit(f"is a radical: atom {i} ({symbol}) has {atom.GetNumRadicalElectrons()} unpaired electrons")


@cache
def _odd() -> Chem.QueryAtom:
    """What matches isotopes and radicals."""
    from rdkit import Chem
    from rdkit.Chem import rdqueries

    query = rdqueries.IsotopeGreaterQueryAtom(0)
    query.ExpandQuery(rdqueries.NumRadicalElectronsGreaterQueryAtom(0), how=Chem.CompositeQueryType.COMPOSITE_OR)
    return query


def _need_nonmetals(numbers: np.ndarray) -> None:
    from rdkit import Chem

    table = Chem.GetPeriodicTable()
    for i, number in enumerate(numbers.tolist(), 1):
        if number == 0:
            raise Unfit(f"atom {i} is no element (a dummy or query atom)")
        if number not in NONMETALS:
            raise Unfit(f"holds a metal: atom {i} is {table.GetElementSymbol(number)}")


def _with_hydrogens(mol: Chem.Mol, options: Options) -> Chem.Mol:
    from rdkit import Chem

    if not mol.GetNumConformers():
        return Chem.AddHs(mol)
    missing = sum(atom.GetTotalNumHs() for atom in mol.GetAtoms())
    if missing and options.hydrogens == "added":
        return Chem.AddHs(mol, addCoords=True)
    if missing and options.strict:
        raise Unfit(
            f"misses {missing} hydrogens; place them with modality.hydrogens=added, or leave all out with "
            "modality.hydrogens=implicit"
        )
    return mol


def _flat(mol: Chem.Mol) -> str:
    """Why the coordinates are none of three dimensions, "" where they are."""
    if not mol.GetNumConformers():
        return "gives no positions"
    conformer = mol.GetConformer()
    if not conformer.Is3D():
        return "has 2D coordinates"
    positions = conformer.GetPositions()
    if not np.isfinite(positions).all():
        raise Unfit(f"atom {int(np.argmin(np.isfinite(positions).all(1))) + 1} has coordinates that are not finite")
    if not positions.any() and len(positions) > 1:
        return "has all its atoms at the origin"
    if np.ptp(positions[:, 2]) < 1e-4 and any(atom.GetDegree() > 3 for atom in mol.GetAtoms()):
        return "has 2D coordinates, marked as 3D: an atom with four neighbours does not lie in a plane"
    return ""


def _need_angstrom(mol: Chem.Mol) -> None:
    _need_distances(np.array([atom.GetAtomicNum() for atom in mol.GetAtoms()]), mol.GetConformer().GetPositions())


def _need_distances(numbers: np.ndarray, positions: np.ndarray) -> None:
    """Distances of nearest neighbours are close to the sums of covalent radii where positions are in angstrom."""
    from rdkit import Chem

    if len(numbers) < 2:
        return
    table = Chem.GetPeriodicTable()
    radii = np.array([table.GetRcovalent(int(number)) for number in numbers])
    ratio = np.linalg.norm(positions[:, None] - positions[None], axis=-1) / (radii[:, None] + radii)
    np.fill_diagonal(ratio, np.inf)
    nearest = ratio.min(1)
    if (nearest < 0.1).any() and np.median(nearest) > 0.2:
        i = int(np.argmin(nearest))
        raise Unfit(f"atoms {i + 1} and {int(np.argmin(ratio[i])) + 1} are at the same place")
    typical = float(np.median(nearest))
    if 1.5 < typical < 2.4:
        raise Unfit(
            f"its coordinates look like bohr: neighbours are {typical:.2f} times as far apart as bonds in angstrom are "
            f"long; multiply them by {BOHR:.6f}"
        )
    if typical > 2.4 or typical < 0.5:
        raise Unfit(
            f"neighbours are {typical:.2g} times as far apart as bonds in angstrom are long; is it another unit?"
        )
