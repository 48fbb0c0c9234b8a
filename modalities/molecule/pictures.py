"""Molecules for people: formulas in a grid, with the given atoms marked."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .chemistry import first_line, sanitised, to_rdkit
from .graph import Graph

if TYPE_CHECKING:
    from rdkit import Chem

_MOST, _ROW = 25, 5
_SIZE = (220, 200)  # pixels of a panel
_GIVEN = (0.65, 0.85, 0.65)
_MARK = "given"  # property of an RDKit atom


def draw(samples: Sequence[Graph]) -> np.ndarray:
    """A grid of structural formulas, (H, W, 3) uint8, of the first 25 samples; given atoms are marked.

    Hydrogens are left to the formulas. What RDKit does not take for a molecule is drawn as it is, with the reason below.
    """
    from PIL import Image
    from rdkit.Chem.Draw import rdMolDraw2D

    shown = [_drawable(sample) for sample in samples[:_MOST]]
    columns = min(_ROW, len(shown))
    rows = -(-len(shown) // columns)
    canvas = rdMolDraw2D.MolDraw2DCairo(columns * _SIZE[0], rows * _SIZE[1], *_SIZE)
    options: Any = canvas.drawOptions()
    options.prepareMolsBeforeDrawing = False
    options.legendFontSize = 13
    options.setHighlightColour(_GIVEN)
    marked = [[atom.GetIdx() for atom in mol.GetAtoms() if atom.HasProp(_MARK)] for mol, _ in shown]
    canvas.DrawMolecules([mol for mol, _ in shown], highlightAtoms=marked, legends=[legend for _, legend in shown])
    canvas.FinishDrawing()
    with Image.open(io.BytesIO(canvas.GetDrawingText())) as picture:
        return np.asarray(picture.convert("RGB"))


def _drawable(sample: Graph) -> tuple[Chem.Mol, str]:
    """A molecule with 2D coordinates, and what is written below it."""
    from rdkit import Chem, rdBase
    from rdkit.Chem import rdDepictor
    from rdkit.Chem.Draw import rdMolDraw2D

    fault = ""
    with rdBase.BlockLogs():
        try:
            mol = sanitised(sample)
        except ValueError as error:
            fault, mol = first_line(error), to_rdkit(sample)
            mol.UpdatePropertyCache(strict=False)
        if sample.known is not None:
            for i in np.flatnonzero(sample.known).tolist():
                mol.GetAtomWithIdx(i).SetBoolProp(_MARK, True)
        mol.RemoveAllConformers()
        mol = Chem.RemoveHs(mol, sanitize=False) if sample.hydrogens == "explicit" else mol
        Chem.FastFindRings(mol)
        rdDepictor.Compute2DCoords(mol)
        mol = rdMolDraw2D.PrepareMolForDrawing(
            mol, kekulize=not fault, addChiralHs=False, wedgeBonds=False, forceCoords=False
        )
        _part_atoms(mol)
    return mol, _short(f"no molecule: {fault}" if fault else sample.name)


def _part_atoms(mol: Chem.Mol) -> None:
    """Move atoms that lie on others aside: RDKit cannot draw a bond without length, as noise has some."""
    places = mol.GetConformer().GetPositions()
    for i in range(len(places)):
        while (np.hypot(*(places[:i, :2] - places[i, :2]).T) < 0.01).any():
            places[i, :2] += 0.1 * np.array([np.cos(2.4 * i), np.sin(2.4 * i)])
        mol.GetConformer().SetAtomPosition(i, places[i].tolist())


def _short(text: str) -> str:
    return text if len(text) <= 34 else text[:33] + "..."
