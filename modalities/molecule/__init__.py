"""Molecules: atoms with positions, kinds, charges and bonds, diffused together; or their graphs alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from ornstein.core.conditioning.columns import Columns
from ornstein.core.conditioning.spec import ConditionSpec
from ornstein.core.modality import BadItem, Item, Modality, Rng
from ornstein.core.parametrization import EDM
from ornstein.core.processes import Gaussian, Masked
from ornstein.core.schedules import Rectified
from ornstein.core.sources import File, Row, Source
from ornstein.core.state import CentreFree, Conditions, Encoded, Field, Known, State
from ornstein.core.tasks import Task, Unconditional
from torch import Tensor

from . import encoder, told
from .coupling import aligned
from .data import Small
from .formats import EXTENSIONS
from .given import Given, pasted
from .graph import Graph
from .options import Bonds, Fragments, Options, Reading, Representation
from .pictures import draw
from .reading import read
from .records import GIVEN, RECORD, given, rows
from .sizes import Sizes
from .tasks import OPEN, Conformers, Linker, Scaffold, Substructure, matched
from .tasks import Fragments as Parts
from .view import view3d
from .vocabulary import BONDS, Vocabulary, kinds
from .writing import save

if TYPE_CHECKING:
    from ornstein.core.evaluation.spec import MetricSpec

__all__ = ["Given", "Graph", "Molecules"]

KINDS = "kinds of atoms"


class Molecules(Modality):
    """Molecules; an item's data and a decoded sample are a `Graph`.

    Args:
        representation: `3d`: positions, atoms and bonds; `graph`: atoms and bonds alone.
        hydrogens: `explicit`: they are atoms, as the file has them; `added`: as explicit, and RDKit places those that a file
            lacks; `implicit`: heavy atoms alone, which take the hydrogens that their valence leaves open.
        bonds: `kekulised`: single, double, triple; `aromatic`: aromatic ones too.
        properties: columns of a table, or tags of an SDF file, that hold numbers which the model can be told.
        units: unit of each property, for people.
        column: of a table: the one that holds SMILES or InChI; None: found by its name.
        largest: most atoms of a molecule; larger ones are bad items.
        fragments: what becomes of records of several molecules: `keep`, `largest`, or `refuse`.
        rotate: turn training molecules at random, since the network does not know that they can be turned.
        align: permute and turn the noise of positions towards the data; where atoms or bonds are given it is only turned, where
            positions are it is kept.
        position_scale: angstrom for each unit of model space; None: the standard deviation of the training positions.
        smarts: what the task `substructure` gives is a match of it; None: any connected part.
    """

    name: ClassVar[str] = "molecule"
    symmetries: ClassVar[tuple[str, ...]] = ("permutation", "translation", "rotation")
    extensions: ClassVar[tuple[str, ...]] = EXTENSIONS

    def __init__(
        self,
        representation: Representation = "3d",
        hydrogens: Reading = "explicit",
        bonds: Bonds = "kekulised",
        properties: list[str] | None = None,
        units: dict[str, str] | None = None,
        column: str | None = None,
        largest: int | None = None,
        fragments: Fragments = "keep",
        rotate: bool = True,
        align: bool = False,
        position_scale: float | None = None,
        smarts: str | None = None,
    ) -> None:
        self.representation, self.hydrogens, self.bonds = representation, hydrogens, bonds
        self.properties, self.units, self.column = properties, units, column
        self.largest, self.fragments = largest, fragments
        self.rotate, self.align, self.position_scale, self.smarts = rotate, align, position_scale, smarts
        self._options = Options(representation, hydrogens, bonds, tuple(properties or ()), column, largest, fragments)
        self._check()
        if representation == "graph":
            self.symmetries = ("permutation",)  # type: ignore[misc]
        self._vocabulary = Vocabulary()
        self._scale: float | None = None
        self._sizes: Sizes | None = None

    # What the model is made from.

    @property
    def fields(self) -> tuple[Field, ...]:
        """`positions` (not of graphs), `atoms` and, for each pair of them, `bonds`."""
        if self._sizes is None:
            raise ValueError("the kinds of atoms are unknown before fit()")
        positions = Field(encoder.POSITIONS, "continuous", 3, Gaussian(Rectified(), EDM()), space=CentreFree())
        atoms = Field(encoder.ATOMS, "categorical", len(self._vocabulary.atoms), Masked())
        bonds = Field(encoder.PAIRS, "categorical", len(BONDS[self.bonds]), Masked(), axes="pair")
        return (atoms, bonds) if self._scale is None else (positions, atoms, bonds)

    @property
    def conditions(self) -> tuple[ConditionSpec, ...]:
        """The properties."""
        return self._told.specs(self.units)

    @property
    def _told(self) -> Columns:
        """What can be asked for; nothing before `fit`."""
        if self._sizes is None:
            return Columns()
        return told.columns(self.properties or (), self._sizes.values)

    @property
    def axes(self) -> int:
        """Atoms are a set."""
        return 0

    def fit(self, items: Sequence[Item]) -> None:
        """Learn the kinds of atoms, the scale of positions, and the sizes with the properties that go with them.

        Raises:
            ValueError: no items, or a property that none of them has.
        """
        if not items:
            raise ValueError("there is no training molecule: the kinds of atoms and the sizes are unknown")
        graphs = [item.data for item in items]
        self._vocabulary = Vocabulary.of(graphs)
        self._sizes = Sizes.of([graph.atoms for graph in graphs], told.table(items, self.properties or ()))
        self._scale = None if self.representation == "graph" else self.position_scale or encoder.spread(graphs)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What `fit` learnt."""
        if self._sizes is None:
            return {}, {}
        tensors = {"sizes": torch.from_numpy(self._sizes.atoms), "values": torch.from_numpy(self._sizes.values)}
        vocabulary = [
            [*atom, count] for atom, count in zip(self._vocabulary.atoms, self._vocabulary.counts, strict=True)
        ]
        return tensors, {"vocabulary": vocabulary, "scale": self._scale}

    def load_state(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        atoms = tuple((int(number), int(charge)) for number, charge, _ in plain["vocabulary"])
        self._vocabulary = Vocabulary(atoms, tuple(int(count) for _, _, count in plain["vocabulary"]))
        self._sizes = Sizes(tensors["sizes"].cpu().numpy(), tensors["values"].cpu().numpy())
        self._scale = plain["scale"]

    # Files.

    def rows(self, found: Sequence[Row], shares: tuple[float, float, float] | None) -> Sequence[Row]:
        """One row for each record."""
        return given(found, self._options) if shares is None else rows(found, self._options, shares)

    def read(self, file: File, row: Mapping[str, Any]) -> Item:
        """A record as `rows` names it, or the only one of a file that is given to a task.

        Raises:
            BadItem: what is wrong with the record, or in what it differs from the training molecules.
        """
        item = read(file, row, self._options)
        why = self._vocabulary.refusal(item.data) if self._sizes is not None else None
        if why is not None:
            raise BadItem(f"{file.location}, record {row.get(RECORD, 1)}", why)
        # No condition of the model. By it training finds the held-out molecules that hold what no training molecule does.
        item = replace(item, cond={**item.cond, KINDS: kinds(item.data)})
        return replace(item, meta={OPEN: True}) if GIVEN in row or RECORD not in row else item

    def write(self, samples: Sequence[Graph], path: Path) -> list[Path]:
        """`samples.sdf`, `samples.smi` and more; see `writing.save`."""
        return save(samples, Path(path))

    def render(self, samples: Sequence[Graph]) -> Any:
        """Structural formulas side by side."""
        return draw(samples)

    def view(self, samples: Sequence[Graph]) -> str:
        """Balls and sticks to turn with the mouse; nothing where molecules have no positions."""
        return "" if self.representation == "graph" else view3d(samples)

    def datasets(self) -> Mapping[str, Source]:
        """`small` is made with RDKit."""
        return {"small": Small()}

    # Model space.

    def encode(self, items: Sequence[Item], known: Sequence[Given | None] | None, rng: Rng) -> Encoded:
        """Molecules to sets of atoms.

        Raises:
            ValueError: atoms or bonds that the training molecules do not have, or no positions where they are needed.
        """
        encoded = self._space().encode([item.data for item in items], known)
        return replace(encoded, cond=self._told.encode(items))

    def blank(self, n: int, cond: Conditions, rng: Rng, size: int | None = None) -> Encoded:
        """n molecules to be made, of `size` atoms or as many as training molecules near the properties asked for.

        Raises:
            ValueError: a size that is not a number of atoms.
        """
        if size is not None and (not isinstance(size, int) or size < 1):
            raise ValueError(f"size {size}: give a number of atoms, hydrogens among them where they are explicit")
        if self._sizes is None:
            raise ValueError("the sizes are unknown before fit()")
        asked = told.asked(cond, self.properties or (), n)
        # One draw after another, so that sample k does not depend on n.
        sizes = [
            self._sizes.draw(u, row) if size is None else size for u, row in zip(rng.random(n), asked, strict=True)
        ]
        return replace(self._space().blank(sizes), cond=cond)

    def decode(self, state: State, mask: Tensor, aux: dict[str, Any]) -> list[Graph]:
        """Sets of atoms to molecules, positions in angstrom."""
        return self._space().decode(state, mask, aux)

    # Tasks.

    def tasks(self) -> Mapping[str, Task]:
        """Nothing given; a scaffold, fragments, what they are to be linked by; a graph whose positions are to be found."""
        tasks: dict[str, Task] = {
            "unconditional": Unconditional(),
            "scaffold": Scaffold(self._sizes),
            "fragments": Parts(self._sizes),
            "linker": Linker(self._sizes),
            "substructure": Substructure(self._sizes, smarts=self.smarts),
        }
        return tasks if self.representation == "graph" else {**tasks, "conformers": Conformers()}

    def paste(self, sample: Graph, given: Item, known: Given | None) -> Graph:
        """What was given, exact, over the sample, in the frame of the given molecule."""
        return sample if known is None else pasted(sample, given.data, known)

    def read_known(self, file: File, item: Item) -> Given:
        """A SMARTS: the first match in the molecule is known, hydrogens left aside."""
        try:
            atoms = matched(item.data, file.read().decode().strip())
        except ValueError as error:
            raise BadItem(file.location, str(error)) from error
        if not atoms.any():
            raise BadItem(file.location, f"is a SMARTS that {item.key} does not match")
        return Given.of(atoms, placed=item.data.positions is not None)

    def augment(self, item: Item, rng: Rng) -> Item:
        """Turned about its centre."""
        positions = item.data.positions
        if not self.rotate or positions is None:
            return item
        from scipy.spatial.transform import Rotation

        turn = Rotation.from_quat(rng.normal(size=4)).as_matrix()
        centre = positions.mean(0)
        return replace(item, data=replace(item.data, positions=(positions - centre) @ turn.T + centre))

    def couple(self, state: State, noise: State, mask: Tensor, known: Known | None, rng: Rng) -> State:
        """Where `align` is set, noise of positions that lies nearer to the data; see `coupling.aligned`."""
        if not self.align:
            return noise
        name = encoder.POSITIONS
        given = {} if known is None else {field: bits.flatten(1).any(1) for field, bits in known.bits.items()}
        none = torch.zeros(len(mask), dtype=torch.bool, device=mask.device)
        some = torch.stack([none, *given.values()]).any(0)
        return {**noise, name: aligned(state[name], noise[name], mask, ~some, ~given.get(name, none))}

    def cost(self, item: Item) -> int:
        """Number of atoms."""
        return item.data.atoms

    # Judgement.

    def metrics(self, task: str) -> Sequence[MetricSpec]:
        """What is measured on samples of a task."""
        from .evaluation import molecule_metrics

        return molecule_metrics(task, self._options, self.units)

    def floor(
        self,
        items: Sequence[Item],
        cond: Sequence[Mapping[str, Any]],
        rng: Rng,
        given: Sequence[Item] | None = None,
        known: Sequence[Any] | None = None,
    ) -> list[Graph] | None:
        """Random trees of atoms that keep to the rules of valence and to typical lengths; see `floors`."""
        from .evaluation import molecule_floor

        return molecule_floor(items, cond, rng, given, known)

    def _space(self) -> encoder.Space:
        return encoder.Space(self._vocabulary, self.bonds, self._options.kept, self._scale)

    def _check(self) -> None:
        """Raise a ValueError for options that contradict each other."""
        flat = self.representation == "graph"
        if self.position_scale is not None and (flat or not 0 < self.position_scale < np.inf):
            raise ValueError(
                f"modality.position_scale={self.position_scale}: a number of angstrom above 0, for representation=3d"
            )
        if flat and self.align:
            raise ValueError(
                "modality.align=true turns the noise of positions, which representation=graph does not have"
            )
        foreign = [name for name in self.units or () if name not in (self.properties or ())]
        if foreign:
            raise ValueError(f"modality.units of {', '.join(foreign)}: the properties are {self.properties or 'none'}")
