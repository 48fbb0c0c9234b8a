"""A throw-away modality for tests: rings and chains of 3 to 8 atoms in space, drawn by rules that a test can check.

A ring is a regular polygon, a chain one whose last side is open. Its atoms alternate between the types 0 and 1; an odd figure
ends in type 2. Neighbours are bonded. The circumradius is the scalar condition, ring or chain the class. Nothing tells the atoms'
order, place or direction. A caption says how many atoms there are. A file is JSON, of which the last three keys may be missing:
{"types": [...], "positions_angstrom": [[x, y, z], ...], "bonds": [[i, j], ...], "shape": "ring", "radius": 1.5,
"caption": "five atoms"}.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ornstein.core.conditioning.spec import ConditionSpec
from ornstein.core.conditioning.values import conditions
from ornstein.core.evaluation.spec import Context, Judged, MetricSpec
from ornstein.core.modality import BadItem, Item, Modality, Rng
from ornstein.core.processes import Gaussian, Masked
from ornstein.core.sources import File, Listing, Memory, Row, Source
from ornstein.core.state import CentreFree, Conditions, Encoded, Field, Known, Layout, State
from ornstein.core.tasks import Task, Unconditional
from torch import Tensor

TYPES, SHAPES = 3, ("chain", "ring")
COUNTS = {3: "three", 4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight"}


@dataclass
class Atoms:
    """types (n,) int64, positions (n, 3) float64 in angstrom, bonds (n, n) int64: 1 where two atoms are bonded."""

    types: np.ndarray
    positions: np.ndarray
    bonds: np.ndarray

    def __len__(self) -> int:
        return len(self.types)


@dataclass
class Given:
    """Which entries of an item are known: its types (n,), positions (n,) and bonds (n, n)."""

    types: np.ndarray
    positions: np.ndarray
    bonds: np.ndarray


class Conformer(Task):
    """Types and bonds are known, positions are not."""

    def pose(self, item: Item, rng: Rng) -> tuple[Item, Given]:
        """The item as it is."""
        n = len(item.data)
        return item, Given(np.ones(n, bool), np.zeros(n, bool), np.ones((n, n), bool))


class Scaffold(Task):
    """Some atoms are known whole, with the bonds between them; at least one is, and at least one is not."""

    def pose(self, item: Item, rng: Rng) -> tuple[Item, Given]:
        """The item as it is."""
        n = len(item.data)
        atoms = np.isin(np.arange(n), rng.permutation(n)[: rng.integers(1, n)])
        return item, Given(atoms, atoms, atoms[:, None] & atoms)


class Toy(Modality):
    """Rings and chains. What is learnt: the scale of the positions, and how many atoms there are."""

    name = "toy"
    symmetries = ("permutation", "translation", "rotation", "reflection")
    extensions = (".json",)
    axes = 0

    def __init__(self, count: int = 240) -> None:
        self.count = count
        self.scale, self.sizes = 1.0, [3]

    @property
    def fields(self) -> tuple[Field, ...]:
        """Positions with the centre taken out, types, and bonds between two atoms."""
        return (
            Field("positions", "continuous", 3, Gaussian(), space=CentreFree()),
            Field("types", "categorical", TYPES, Masked()),
            Field("bonds", "categorical", 2, Masked(), axes="pair"),
        )

    @property
    def conditions(self) -> tuple[ConditionSpec, ...]:
        """Ring or chain, how large, and what a caption says."""
        return (
            ConditionSpec("shape", "class", len(SHAPES), names=SHAPES),
            ConditionSpec("radius", "scalar", unit="angstrom", offset=1.5, scale=0.3),
            ConditionSpec("caption", "text", 16, route="cross"),
        )

    def read(self, file: File, row: Mapping[str, Any]) -> Item:
        """One JSON file."""
        try:
            tree = json.loads(file.read())
            types = np.array(tree["types"], np.int64)
            positions = np.array(tree["positions_angstrom"], np.float64)
            bonds = np.zeros((len(types), len(types)), np.int64)
            for i, j in tree["bonds"]:
                bonds[i, j] = bonds[j, i] = 1
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise BadItem(file.location, f"is no figure in JSON ({type(error).__name__}: {error})") from error
        if positions.shape != (len(types), 3) or not len(types) or not np.isfinite(positions).all():
            raise BadItem(file.location, f"has {len(types)} types and positions {positions.shape}; (n, 3) are needed")
        if not ((types >= 0) & (types < TYPES)).all():
            raise BadItem(file.location, f"has types {sorted(set(types.tolist()))}; 0 to {TYPES - 1} exist")
        cond = {name: tree[name] for name in ("shape", "radius", "caption") if name in tree}
        return Item(Atoms(types, positions, bonds), cond, file.name)

    def write(self, samples: Sequence[Atoms], path: Path) -> list[Path]:
        """One JSON file each."""
        path.mkdir(parents=True, exist_ok=True)
        paths = [path / f"{i:05d}.json" for i in range(len(samples))]
        for target, atoms in zip(paths, samples, strict=True):
            target.write_text(json.dumps(to_tree(atoms)))
        return paths

    def datasets(self) -> Mapping[str, Source]:
        """`figures` is made by rule."""
        return {"figures": figures(self.count)}

    def fit(self, items: Sequence[Item]) -> None:
        """Scale and sizes."""
        centred = [item.data.positions - item.data.positions.mean(0) for item in items]
        self.scale = float(np.concatenate(centred).std())
        self.sizes = sorted(len(x) for x in centred)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Both, as plain JSON."""
        return {}, {"scale": self.scale, "sizes": self.sizes}

    def load_state(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        """Take them back."""
        self.scale, self.sizes = plain["scale"], plain["sizes"]

    def encode(self, items: Sequence[Item], known: Sequence[Given | None] | None, rng: Rng) -> Encoded:
        """Positions around the centre of what is known of them, or of all; divided by the scale."""
        given = [None] * len(items) if known is None else list(known)
        layout, state = self._zeros([len(item.data) for item in items])
        bits = {name: torch.zeros_like(x, dtype=torch.bool) for name, x in state.items()}
        centres = []
        for i, (item, g) in enumerate(zip(items, given, strict=True)):
            n, atoms = len(item.data), item.data
            centre = self._centre(atoms, g)
            centres.append(centre.tolist())
            state["positions"][i, :n] = torch.from_numpy((atoms.positions - centre) / self.scale)
            state["types"][i, :n] = torch.from_numpy(atoms.types)
            state["bonds"][i, :n, :n] = torch.from_numpy(atoms.bonds)
            if g is not None:
                bits["positions"][i, :n] = torch.from_numpy(g.positions)[:, None]
                bits["types"][i, :n] = torch.from_numpy(g.types)
                bits["bonds"][i, :n, :n] = torch.from_numpy(g.bonds)
        values = {name: torch.where(bits[name], x, 0) for name, x in state.items()}
        told = None if known is None else Known(bits, values)
        cond = {s.name: [item.cond.get(s.name) for item in items] for s in self.conditions}
        return Encoded(state, layout, conditions(self.conditions, cond, len(items)), told, {"centres": centres})

    def blank(self, n: int, cond: Conditions, rng: Rng, size: int | None = None) -> Encoded:
        """As many atoms as the training items have, or `size`."""
        layout, state = self._zeros([int(rng.choice(self.sizes)) if size is None else size for _ in range(n)])
        return Encoded(state, layout, cond, aux={"centres": [[0.0, 0.0, 0.0]] * n})

    def decode(self, state: State, mask: Tensor, aux: dict[str, Any]) -> list[Atoms]:
        """In angstrom, around the centre that `encode` took out."""
        out = []
        for i, (n, centre) in enumerate(zip(mask.sum(1).tolist(), aux["centres"], strict=True)):
            positions = state["positions"][i, :n].double().numpy() * self.scale + centre
            out.append(Atoms(state["types"][i, :n].numpy(), positions, state["bonds"][i, :n, :n].numpy()))
        return out

    def tasks(self) -> Mapping[str, Task]:
        """Everything, positions alone, or the rest of some atoms."""
        return {"unconditional": Unconditional(), "conformer": Conformer(), "scaffold": Scaffold()}

    def paste(self, sample: Atoms, given: Item, known: Given | None) -> Atoms:
        """The given entries, exact."""
        if known is None:
            return sample
        return Atoms(
            np.where(known.types, given.data.types, sample.types),
            np.where(known.positions[:, None], given.data.positions, sample.positions),
            np.where(known.bonds, given.data.bonds, sample.bonds),
        )

    def augment(self, item: Item, rng: Rng) -> Item:
        """Turned at random."""
        turned = item.data.positions @ rotation(rng).T
        return replace(item, data=replace(item.data, positions=turned))

    def cost(self, item: Item) -> int:
        """Atoms."""
        return len(item.data)

    def floor(
        self,
        items: Sequence[Item],
        cond: Sequence[Mapping[str, Any]],
        rng: Rng,
        given: Sequence[Item] | None = None,
        known: Sequence[Any] | None = None,
    ) -> list[Atoms]:
        """Training items at random."""
        return [items[int(rng.integers(len(items)))].data for _ in cond]

    def metrics(self, task: str) -> Sequence[MetricSpec]:
        """How far the mean radius is off."""
        return (MetricSpec("radius error", "lower", "Difference of the mean radii in angstrom.", _radius_error),)

    def render(self, samples: Sequence[Atoms]) -> Any:
        """The first figures, seen from above."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(4, 4))
        axes = figure.add_subplot(aspect="equal")
        for atoms in samples[:16]:
            axes.scatter(*atoms.positions[:, :2].T, c=atoms.types, s=8)
        return figure

    def _centre(self, atoms: Atoms, given: Given | None) -> np.ndarray:
        known = given is not None and given.positions.any()
        return atoms.positions[given.positions if known else slice(None)].mean(0)

    def _zeros(self, sizes: Sequence[int]) -> tuple[Layout, State]:
        layout = Layout.of_sizes(torch.tensor(sizes))
        b, n = layout.mask.shape
        integers = {"types": torch.zeros(b, n, dtype=torch.int64), "bonds": torch.zeros(b, n, n, dtype=torch.int64)}
        return layout, {"positions": torch.zeros(b, n, 3), **integers}


def rotation(rng: Rng) -> np.ndarray:
    """A rotation of space, uniform."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.linalg.det(q)


def figure(n: int, shape: str, radius: float, rng: Rng) -> Atoms:
    """One figure by the rules, its atoms in random order, turned and moved at random."""
    angle = 2 * np.pi * np.arange(n) / n
    positions = radius * np.stack([np.cos(angle), np.sin(angle), np.zeros(n)], axis=1)
    types = np.arange(n) % 2
    types[-1] = 2 if n % 2 else types[-1]
    gap = (np.arange(n)[:, None] - np.arange(n)) % n
    bonds = ((gap == 1) | (gap == n - 1)).astype(np.int64)
    if shape == "chain":
        bonds[0, -1] = bonds[-1, 0] = 0
    order = rng.permutation(n)
    positions = (positions @ rotation(rng).T + rng.normal(scale=3, size=3))[order]
    return Atoms(types[order].astype(np.int64), positions, bonds[order][:, order])


def to_tree(atoms: Atoms) -> dict[str, Any]:
    """What a file holds of the atoms."""
    return {
        "types": atoms.types.tolist(),
        "positions_angstrom": atoms.positions.tolist(),
        "bonds": np.argwhere(np.triu(atoms.bonds)).tolist(),
    }


def figures(count: int, seed: int = 0) -> Source:
    """`count` figures, always the same: JSON files held in memory."""
    files = {}
    for i in range(count):
        rng = np.random.default_rng((seed, i))
        n, shape, radius = int(rng.integers(3, 9)), SHAPES[int(rng.integers(2))], float(rng.uniform(1, 2))
        told = {"shape": shape, "radius": radius, "caption": f"{COUNTS[n]} atoms"}
        tree = to_tree(figure(n, shape, radius, rng)) | told
        files[f"{i:04d}.json"] = json.dumps(tree).encode()
    store = Memory("figures", files)
    return Listing(tuple(Row(File(name, store)) for name in store.names()), f"{count} figures made by rule")


def _radius_error(candidate: Judged, reference: Judged, context: Context) -> float:
    first, second = (np.mean([_radius(atoms) for atoms in judged.samples]) for judged in (candidate, reference))
    return float(abs(first - second))


def _radius(atoms: Atoms) -> float:
    return float(np.linalg.norm(atoms.positions - atoms.positions.mean(0), axis=1).mean())
