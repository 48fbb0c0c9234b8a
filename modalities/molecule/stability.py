"""Are atoms stable? Two rulers: bond orders read off distances, and written bonds against a table of valencies."""

from __future__ import annotations

from functools import cache

import numpy as np

from .chemistry import from_rdkit, to_rdkit
from .graph import AROMATIC, Graph

# Typical lengths of bonds in picometres.
# Source: the tables of Hoogeboom et al. 2022, arXiv:2203.17003, appendix on bonds, and the code published with it.
_SYMBOLS = {"H": 1, "B": 5, "C": 6, "N": 7, "O": 8, "F": 9, "Al": 13, "Si": 14, "P": 15, "S": 16, "Cl": 17, "As": 33, "Br": 35,
            "I": 53, "Hg": 80, "Bi": 83}  # fmt: skip
_SINGLE = """
H-H 74, H-C 109, H-N 101, H-O 96, H-F 92, H-B 119, H-Si 148, H-P 144, H-As 152, H-S 134, H-Cl 127, H-Br 141, H-I 161,
C-C 154, C-N 147, C-O 143, C-F 135, C-Si 185, C-P 184, C-S 182, C-Cl 177, C-Br 194, C-I 214,
N-N 145, N-O 140, N-F 136, N-P 177, N-S 168, N-Cl 175, N-Br 214, N-I 222,
O-O 148, O-F 142, O-Si 163, O-P 163, O-S 151, O-Cl 164, O-Br 172, O-I 194,
F-F 142, F-Si 160, F-P 156, F-S 158, F-Cl 166, F-Br 178, F-I 187, B-Cl 175,
Si-Si 233, Si-S 200, Si-Cl 202, Si-Br 215, Si-I 243, P-P 221, P-S 210, P-Cl 203, P-Br 222,
S-S 204, S-Cl 207, S-Br 225, S-I 234, Cl-Cl 199, Cl-Br 214, Br-Br 228, I-I 266"""
_DOUBLE = "C-C 134, C-N 129, C-O 120, C-S 160, N-N 125, N-O 121, O-O 121, O-P 150, P-S 186"
_TRIPLE = "C-C 120, C-N 116, C-O 113, N-N 110"
MARGINS = (10.0, 5.0, 3.0)  # pm by which a single, double and triple bond may be longer

# The sum of orders that the ruler of distances asks of an atom. Sulphur counts as stable with 4 alone, as published.
_SUMS = {"H": (1,), "B": (3,), "C": (4,), "N": (3,), "O": (2,), "F": (1,), "Al": (3,), "Si": (4,), "P": (3, 5), "S": (4,),
         "Cl": (1,), "As": (3,), "Br": (1,), "I": (1,), "Hg": (1, 2), "Bi": (3, 5)}  # fmt: skip

# (element, formal charge) -> sums of bond orders, hydrogens included, of an atom that neither lacks nor exceeds anything.
# Source: Nikitin et al. 2025, arXiv:2505.00169 ("GEOM-Drugs Revisited"), the table of its cleaned data. Sulphur differs: it may
# have 4, as in a sulphoxide written without charges, and not 3, a radical. Charges beyond +1 and -1 and Si+ are left out.
_VALENCIES = {
    ("H", 0): (1,), ("B", 0): (3,), ("B", -1): (4,), ("C", 0): (4,), ("C", 1): (3,), ("C", -1): (3,), ("N", 0): (3,),
    ("N", 1): (4,), ("N", -1): (2,), ("O", 0): (2,), ("O", 1): (3,), ("O", -1): (1,), ("F", 0): (1,), ("Si", 0): (4,),
    ("P", 0): (3, 5), ("P", 1): (4,), ("S", 0): (2, 4, 6), ("S", 1): (3,), ("S", -1): (1,), ("Cl", 0): (1,), ("Cl", 1): (2,),
    ("Br", 0): (1,), ("Br", 1): (2,), ("I", 0): (1,), ("I", 1): (2,), ("Bi", 0): (3,),
}  # fmt: skip
VALENCIES = {(_SYMBOLS[element], charge): sums for (element, charge), sums in _VALENCIES.items()}


def orders_by_distance(numbers: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """(N, N) int bond orders 0 to 3: a pair has order k where it is nearer than k's typical length and margin.

    Pairs of elements that the tables do not know have no bond.

    Args:
        numbers: (N,) atomic numbers.
        positions: (N, 3), angstrom.

    Source: Hoogeboom et al. 2022, arXiv:2203.17003, appendix on bonds.
    """
    distances = 100 * np.linalg.norm(positions[:, None] - positions, axis=-1)
    np.fill_diagonal(distances, np.inf)
    limits = _limits()[:, numbers[:, None], numbers]  # (3, N, N), falling from order to order
    return (distances < limits).sum(0)


def single_length(a: int, b: int) -> float:
    """Angstrom of a typical single bond between two atomic numbers; 1.5 where the table has none."""
    limit = float(_limits()[0, a, b])
    return (limit - MARGINS[0]) / 100 if limit else 1.5


def stable_by_distance(graph: Graph) -> np.ndarray:
    """(N,) bool, whether the orders read off the distances add up to what each element asks for; written bonds do not count.

    Elements without an entry are unstable. The ruler has a ceiling: not every atom of real data passes.

    Raises:
        ValueError: a molecule without positions.
    """
    if graph.positions is None:
        raise ValueError(f"{graph.name or 'a molecule'} has no positions: this ruler reads bonds off distances")
    sums = orders_by_distance(graph.numbers, graph.positions).sum(1).tolist()
    allowed = {_SYMBOLS[element]: options for element, options in _SUMS.items()}
    found = [order in allowed.get(number, ()) for number, order in zip(graph.numbers.tolist(), sums, strict=True)]
    return np.array(found, bool)


def stable_by_valency(graph: Graph) -> np.ndarray:
    """(N,) bool, whether the written bonds of each atom add up to a valency that its element has at its charge.

    Aromatic bonds are kekulised first: rounded sums of 1.5 would let radicals pass. Where that cannot be done, their atoms are
    unstable. With implicit hydrogens an atom is stable where it does not exceed its highest valency.

    Source: Nikitin et al. 2025, arXiv:2505.00169.
    """
    orders = kekulised(graph)
    broken = (orders == AROMATIC).any(1).tolist()
    sums = orders.sum(1).tolist()
    implicit = graph.hydrogens == "implicit"
    atoms = zip(graph.numbers.tolist(), graph.charges.tolist(), sums, broken, strict=True)
    return np.array(
        [not bad and _allowed(number, charge, order, implicit) for number, charge, order, bad in atoms], bool
    )


def kekulised(graph: Graph) -> np.ndarray:
    """(N, N) int bonds with aromatic ones as single and double, or as they are where RDKit finds no such form."""
    bonds = graph.bonds.astype(np.int64)
    if not (bonds == AROMATIC).any():
        return bonds
    from rdkit import Chem, rdBase

    mol = to_rdkit(graph)
    try:
        with rdBase.BlockLogs():
            mol.UpdatePropertyCache(strict=False)
            Chem.Kekulize(mol, clearAromaticFlags=True)
    except ValueError:
        return bonds
    return from_rdkit(mol, graph.hydrogens).bonds.astype(np.int64)


def _allowed(number: int, charge: int, order: int, implicit: bool) -> bool:
    options = VALENCIES.get((number, charge), ())
    return order <= max(options, default=-1) if implicit else order in options


@cache
def _limits() -> np.ndarray:
    """(3, 119, 119) pm, below which a pair of elements has a bond of order 1, 2, 3; 0 where it has none."""
    limits = np.zeros((3, 119, 119))
    for order, (table, margin) in enumerate(zip((_SINGLE, _DOUBLE, _TRIPLE), MARGINS, strict=True)):
        for entry in table.replace("\n", " ").split(","):
            pair, length = entry.split()
            i, j = (_SYMBOLS[element] for element in pair.split("-"))
            limits[order, i, j] = limits[order, j, i] = float(length) + margin
    return limits
