"""Samples to files: SDF, canonical SMILES and XYZ, each with every sample or with the reason why it has it not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from ornstein.core.checkpoint import write_aside

from .chemistry import canonical_smiles, first_line, to_rdkit
from .graph import Graph


def save(samples: Sequence[Graph], folder: Path) -> list[Path]:
    """Write the samples into a folder; each file aside and renamed.

    `samples.sdf` has every sample as it was made: bonds, formal charges, positions (angstrom, 4 decimals), its properties as
    tags, the tag `smiles`, or `fault` where RDKit does not take it for a molecule, and `given` with the name of what it was
    made for and the numbers of the atoms that were given. `samples.smi` has canonical SMILES, with stereo where there are
    positions, and a comment for each sample that has none. `samples.xyz` is written where there are positions (8 decimals).
    """
    if not samples:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    names = [_smiles_or_fault(sample) for sample in samples]
    texts = {
        "samples.sdf": "".join(
            _sdf(k, sample, *name) for k, (sample, name) in enumerate(zip(samples, names, strict=True))
        ),
        "samples.smi": "".join(_smi(k, *name) for k, name in enumerate(names)),
    }
    if any(sample.positions is not None for sample in samples):
        texts["samples.xyz"] = "".join(_xyz(k, sample) for k, sample in enumerate(samples))
    for name, text in texts.items():
        write_aside(folder / name, partial(_fill, text))
    return [folder / name for name in texts]


def _fill(text: str, path: Path) -> None:
    path.write_text(text, "utf-8")


def molblock(graph: Graph) -> str:
    """The MOL block of a graph, whether it is a molecule or not; V3000 from 1,000 atoms on.

    An atom that misses a hydrogen says so by its valence, so that no reader adds one.
    """
    from rdkit import Chem

    mol = to_rdkit(graph)
    mol.UpdatePropertyCache(strict=False)
    Chem.FastFindRings(mol)
    return Chem.MolToMolBlock(mol, includeStereo=False, kekulize=False)


def _smiles_or_fault(graph: Graph) -> tuple[str, str]:
    try:
        return canonical_smiles(graph), ""
    except ValueError as error:
        return "", first_line(error)


def _sdf(k: int, sample: Graph, smiles: str, fault: str) -> str:
    _, rest = molblock(sample).split("\n", 1)
    tags = {name: f"{value:.10g}" for name, value in sample.properties.items()}
    tags |= {"smiles": smiles} if smiles else {"fault": fault}
    if sample.known is not None:
        atoms = " ".join(str(i + 1) for i, known in enumerate(sample.known.tolist()) if known)
        tags["given"] = f"{sample.name}\n{atoms}" if atoms else sample.name
    lines = "".join(f">  <{name}>\n{value}\n\n" for name, value in tags.items())
    return f"sample {k}\n{rest}{lines}$$$$\n"


def _smi(k: int, smiles: str, fault: str) -> str:
    return f"{smiles}\tsample {k}\n" if smiles else f"# sample {k} is no molecule: {fault}\n"


def _xyz(k: int, sample: Graph) -> str:
    """A frame; a sample without positions has none of its atoms and says so."""
    if sample.positions is None:
        return f"0\nsample {k} has no positions\n"
    return "".join(_frame(sample, f"sample {k}, charge = {int(sample.charges.sum())}"))


def _frame(sample: Graph, comment: str) -> Iterator[str]:
    from rdkit import Chem

    table = Chem.GetPeriodicTable()
    yield f"{sample.atoms}\n{comment}\n"
    for number, (x, y, z) in zip(sample.numbers.tolist(), sample.positions.tolist(), strict=True):  # type: ignore[union-attr]
        yield f"{table.GetElementSymbol(number):<2} {x:14.8f} {y:14.8f} {z:14.8f}\n"
