"""What a user chooses about reading, in one object that names a cache entry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Representation = Literal["3d", "graph"]
Reading = Literal["explicit", "added", "implicit"]
Bonds = Literal["kekulised", "aromatic"]
Fragments = Literal["keep", "largest", "refuse"]


@dataclass(frozen=True)
class Options:
    """How records become graphs; each is an option of the plugin of the same name.

    Args:
        representation: `3d`: a record without 3D positions is bad; `graph`: positions are left out.
        hydrogens: `explicit`: hydrogens are atoms, and a 3D record that lacks some is bad; `added`: as explicit, those that a 3D
            record lacks are placed by RDKit; `implicit`: heavy atoms only. What has no positions (SMILES) never lacks any.
        bonds: `kekulised` (single and double) or `aromatic`, as RDKit finds it.
        properties: columns or tags of numbers that are read.
        column: the column of a table that holds SMILES or InChI; None: found by its name.
        largest: most atoms of a graph; None: any number.
        fragments: what becomes of a record of several molecules.
        strict: False for what is given to a task: it may lack positions (a graph whose conformers are asked for) and hydrogens (a
            part that is to be completed).

    Raises:
        ValueError: a word that is none of the choices; `largest` below 2; aromatic bonds between atoms with implicit hydrogens,
            from which it cannot be seen which nitrogen bears one.
    """

    representation: Representation = "3d"
    hydrogens: Reading = "explicit"
    bonds: Bonds = "kekulised"
    properties: tuple[str, ...] = ()
    column: str | None = None
    largest: int | None = None
    fragments: Fragments = "keep"
    strict: bool = True

    @property
    def kept(self) -> Literal["explicit", "implicit"]:
        """Whether hydrogens are atoms of the graph."""
        return "implicit" if self.hydrogens == "implicit" else "explicit"

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"modality.{name}={getattr(self, name)}: choose {', '.join(choices)}")
        if self.bonds == "aromatic" and self.hydrogens == "implicit":
            raise ValueError(
                "modality.bonds=aromatic with modality.hydrogens=implicit does not say which aromatic nitrogen bears a "
                "hydrogen: choose bonds=kekulised, or hydrogens=explicit"
            )
        if self.largest is not None and self.largest < 2:
            raise ValueError(f"modality.largest={self.largest}: a molecule has at least 2 atoms")


_CHOICES = {
    "representation": ("3d", "graph"),
    "hydrogens": ("explicit", "added", "implicit"),
    "bonds": ("kekulised", "aromatic"),
    "fragments": ("keep", "largest", "refuse"),
}
