"""Molecules for tests: from SMILES, folded by RDKit, and a modality that is fitted on them."""

from dataclasses import replace
from functools import cache

import pytest
from ornstein.core.modality import Item

pytest.importorskip("rdkit")

from ornstein.modalities.molecule import Molecules
from ornstein.modalities.molecule.chemistry import from_rdkit

SMILES = ("CCO", "CC(=O)NC1CC1", "c1ccccc1CO", "C[N+](=O)[O-]", "N#CCC1CCOC1", "FC(F)c1ccncc1", "CC", "OCC1CO1")


@cache
def graph(smiles="CCO", hydrogens="explicit", flat=False, kekulise=True):
    from rdkit import Chem
    from rdkit.Chem import AllChem

    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    parameters = AllChem.ETKDGv3()
    parameters.randomSeed = 1
    assert AllChem.EmbedMolecule(mol, parameters) == 0
    if kekulise:
        Chem.Kekulize(mol, clearAromaticFlags=True)
    found = from_rdkit(mol, "explicit")
    if hydrogens == "implicit":
        found = from_rdkit(Chem.RemoveHs(mol, sanitize=False), "implicit")
    return replace(found, name=smiles, positions=None if flat else found.positions)


def item(smiles="CCO", cond=None, meta=None, **how):
    return Item(graph(smiles, **how), dict(cond or {}), smiles, dict(meta or {}))


def fitted(smiles=SMILES, cond=None, **options):
    modality = Molecules(**options)
    how = {"hydrogens": options.get("hydrogens", "explicit"), "flat": options.get("representation") == "graph"}
    items = [item(s, None if cond is None else cond(s), **how) for s in smiles]
    modality.fit(items)
    return modality
