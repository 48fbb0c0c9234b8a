"""A tiny run of the digits, trained once for all tests of the command line."""

import csv
from pathlib import Path

import lightning.pytorch  # noqa: F401  (its log goes where stderr is at import: not to what one test captures and closes)
import pytest
import yaml
from ornstein.core.cli.main import main

TINY = [
    *("trainer=cpu", "backbone.width=32", "backbone.depth=1", "backbone.heads=2", "data.limit=40", "data.batch_size=8"),
    *("optimizer.warmup=1", "run.every=2", "run.keep_every=2", "run.pictures=4", "run.n=4"),
    *("trainer.val_check_interval=2", "trainer.log_every_n_steps=1", "sampler.steps=2"),
]


def config(run: Path) -> dict:
    """The recipe of a run."""
    return yaml.safe_load((run / "config.yaml").read_text())


def steps(run: Path) -> list[int]:
    """The steps of which metrics.csv has a row."""
    with (run / "metrics.csv").open() as file:
        return [int(float(row["step"])) for row in csv.DictReader(file)]


@pytest.fixture
def ornstein(capsys):
    """Run a command in this process: (exit code, stdout, stderr)."""

    def run(*argv: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(a) for a in argv])
        return code, *capsys.readouterr()

    return run


@pytest.fixture(autouse=True)
def short_extractors(monkeypatch, tmp_path_factory):
    """The networks that judge pictures are trained for some steps: what commands print and write does not hang on how well.

    What they see is not kept beyond the test.
    """
    from ornstein.modalities.image import extractor

    monkeypatch.setattr(extractor, "STEPS", 10)
    monkeypatch.setenv("ORNSTEIN_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """The folder of run folders, with one finished run of four steps."""
    runs = tmp_path_factory.mktemp("cli") / "runs"
    assert main(["fit", "image/digits", *TINY, f"runs={runs}", "--trainer.max_steps", "4"]) == 0
    return runs
