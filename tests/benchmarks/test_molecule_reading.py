"""100,000 SMILES from a file to graphs beside RDKit's own parsing of the same strings, one after the other.

make bench, or pytest -m benchmark_ratio -s tests/benchmarks/test_molecule_reading.py
"""

import gzip
import statistics
import time

import pytest

pytest.importorskip("rdkit")
from ornstein.core.sources import open_source
from ornstein.modalities.molecule import Molecules, shelves
from rdkit import Chem

COUNT, ROUNDS = 100_000, 3


@pytest.mark.benchmark_ratio
@pytest.mark.parametrize(
    "name", ["molecules/qm9_smiles/qm9_smiles.csv.gz", "molecules/zinc250k/zinc250k_smiles.csv.gz"]
)
def test_smiles_are_read_about_as_fast_as_rdkit_parses_them(shared_data, name, tmp_path, monkeypatch):
    with gzip.open(shared_data / name, "rt") as table:
        header, *lines = table.read().splitlines()
    column = [word.strip().lower() for word in header.split(",")].index("smiles")
    smiles = [line.split(",")[column].strip().strip('"') for line in lines][:COUNT]
    file = tmp_path / "all.smi"
    file.write_text("\n".join(smiles) + "\n")
    modality = Molecules(representation="graph", hydrogens="implicit")
    ours, plain, again = [], [], []
    for k in range(ROUNDS):  # in turn, so that a busy machine slows both
        monkeypatch.setenv("ORNSTEIN_CACHE", str(tmp_path / f"cache{k}"))
        for times in (ours, again):  # the second time from the cache on disk
            monkeypatch.setattr(shelves, "_shelves", [])  # nothing is left in memory
            start = time.perf_counter()
            rows = modality.rows(open_source(file, modality.extensions, "none").rows(), (0.8, 0.1, 0.1))
            times.append(time.perf_counter() - start)
        assert len(rows) == len(smiles)
        start = time.perf_counter()
        assert sum(Chem.MolFromSmiles(each) is not None for each in smiles) > 0.99 * len(smiles)
        plain.append(time.perf_counter() - start)
    ratio, spent = (
        statistics.median(a / b for a, b in zip(ours, plain, strict=True)),
        map(statistics.median, (ours, plain, again)),
    )
    print(
        "\n{}, {:,}: ratio {:.2f} (ours {:.1f} s, RDKit's parsing {:.1f} s); from the cache {:.1f} s".format(
            name, len(smiles), ratio, *spent
        )
    )
    assert ratio <= 1.3
