"""Molecules that need no download: small organic ones, put together from fragments and folded by a force field."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from ornstein.core import rng
from ornstein.core.sources import Cache, File, Memory, Row, Source

from .parallel import over_cores

if TYPE_CHECKING:
    from rdkit import Chem

COUNT = 3000
HEAVY = (4, 9)  # heavy atoms of a molecule
# What molecules are put together from, by weight; any atom with a hydrogen can bear the next fragment.
FRAGMENTS = {
    8.0: "C",
    3.0: "CC O N C=O",
    2.0: "C=C c1ccccc1",
    1.0: "C(C)C F C#C C#N C(=O)N C(=O)O C[N+](=O)[O-] C1CC1 C1CCCC1 C1CCCCC1 C1CCNC1 C1CCOC1 c1ccncc1 c1ccoc1",
    0.5: "C1CCC1 C1CO1 C1CNC1 c1cc[nH]c1 c1cn[nH]c1",
}
_VERSION = 1
_CACHE = Cache("molecule")
_END = b"$$$$\n"


class Small(Source):
    """3,000 molecules of 4 to 9 heavy atoms (H, C, N, O, F), without stereo of their own, in 3D.

    Fragments are joined by single bonds at random, no two hetero atoms to each other; equal molecules are kept once. Geometries:
    ETKDGv3 from a seed, then MMFF94 to convergence. Tags `energy` (MMFF94, kcal/mol) and `logp` (Crippen). The molecules are made
    once for each release of RDKit and kept with the caches.

    Source of the methods: Wang et al. 2020, J. Chem. Inf. Model. 60, 2044; Halgren 1996, J. Comput. Chem. 17, 490;
    Wildman and Crippen 1999, J. Chem. Inf. Comput. Sci. 39, 868.
    """

    def rows(self) -> list[Row]:
        """`0000.sdf` to `2999.sdf`."""
        return list(_rows())

    def about(self) -> str:
        """One line for a person."""
        return f"{COUNT:,} molecules of {HEAVY[0]} to {HEAVY[1]} heavy atoms, made with RDKit"


@lru_cache(maxsize=1)
def _rows() -> tuple[Row, ...]:
    from rdkit import rdBase

    name = f"embedded-{_VERSION}-{rdBase.rdkitVersion}-{COUNT}"
    kept = _CACHE.load(name)
    if kept is None:
        kept = {"sdf": np.frombuffer("".join(blocks(COUNT)).encode(), np.uint8)}
        _CACHE.save(name, kept)
    found = kept["sdf"].tobytes().split(_END)[:-1]
    store = Memory("embedded", {f"{i:04d}.sdf": content + _END for i, content in enumerate(found)})
    return tuple(Row(File(name, store)) for name in store.files)


def blocks(count: int, seed: int = 0) -> list[str]:
    """SDF records of `count` different molecules, in an order that does not depend on how many cores make them."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    found: list[str] = []
    proposals = smiles(seed)
    columns = (TextColumn("making molecules"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=count)
        while len(found) < count:
            wanted = [next(proposals) for _ in range(count - len(found))]
            folded = over_cores(block, wanted, lambda: bar.advance(task))
            found += [text for text in folded if text is not None]
            bar.update(task, completed=len(found))
    return found[:count]


def block(text: str) -> str | None:
    """The SDF record of a molecule in 3D with its tags; None where RDKit finds no geometry for it."""
    from rdkit import Chem
    from rdkit.Chem import rdDistGeom, rdForceFieldHelpers, rdMolDescriptors

    mol = Chem.AddHs(Chem.MolFromSmiles(text))
    parameters: Any = rdDistGeom.ETKDGv3()
    parameters.randomSeed = rng.key(0, "embedded", text) >> 33
    if rdDistGeom.EmbedMolecule(mol, parameters) != 0:
        return None
    converged, energy = rdForceFieldHelpers.MMFFOptimizeMoleculeConfs(mol, maxIters=5000)[0]
    if converged != 0:
        return None
    Chem.Kekulize(mol, clearAromaticFlags=True)
    tags = {"energy": f"{energy:.4f}", "logp": f"{rdMolDescriptors.CalcCrippenDescriptors(mol)[0]:.4f}"}
    mol.SetProp("_Name", text)
    lines = "".join(f">  <{name}>\n{value}\n\n" for name, value in tags.items())
    return f"{Chem.MolToMolBlock(mol)}{lines}{_END.decode()}"


def smiles(seed: int) -> Iterator[str]:
    """Endless different molecules as canonical SMILES."""
    from rdkit import Chem

    draw, seen = rng.generator(seed, "fragments"), set[str]()
    weights = np.array([weight for weight, texts in FRAGMENTS.items() for _ in texts.split()])
    parts = [Chem.MolFromSmiles(text) for texts in FRAGMENTS.values() for text in texts.split()]
    while True:
        size = int(draw.integers(HEAVY[0], HEAVY[1] + 1))
        mol = _joined(parts, weights / weights.sum(), size, draw)
        text = Chem.MolToSmiles(mol)
        if text not in seen:
            seen.add(text)
            yield text


def _joined(parts: list[Chem.Mol], shares: np.ndarray, size: int, draw: np.random.Generator) -> Chem.Mol:
    """Fragments joined until there are `size` heavy atoms; what does not fit is drawn again."""
    mol = None
    while mol is None or mol.GetNumAtoms() < size:
        part = parts[int(draw.choice(len(parts), p=shares))]
        if mol is None or not _open(mol):
            mol = part
        elif mol.GetNumAtoms() + part.GetNumAtoms() <= size:
            mol = _bonded(mol, part, draw)
    return mol


def _bonded(mol: Chem.Mol, part: Chem.Mol, draw: np.random.Generator) -> Chem.Mol:
    """A single bond between random atoms of both that have hydrogens to give, not both hetero; without such, as it is."""
    from rdkit import Chem

    pairs = [(i, j) for i, a in _open(mol) for j, b in _open(part) if 6 in (a, b)]
    if not pairs:
        return mol
    i, j = pairs[int(draw.integers(len(pairs)))]
    both = Chem.RWMol(Chem.CombineMols(mol, part))
    both.AddBond(i, mol.GetNumAtoms() + j, Chem.BondType.SINGLE)
    for index in (i, mol.GetNumAtoms() + j):
        atom = both.GetAtomWithIdx(index)
        if atom.GetNumExplicitHs():
            atom.SetNumExplicitHs(atom.GetNumExplicitHs() - 1)
    out = both.GetMol()
    Chem.SanitizeMol(out)
    return out


def _open(mol: Chem.Mol) -> list[tuple[int, int]]:
    """(index, atomic number) of the atoms that have a hydrogen."""
    return [(atom.GetIdx(), atom.GetAtomicNum()) for atom in mol.GetAtoms() if atom.GetTotalNumHs()]
