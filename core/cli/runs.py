"""Run folders: made, found again, and called `latest`."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

from .words import choose

CONFIG = "config.yaml"
LAST = Path("checkpoints") / "last.ckpt"
_ENV = "ORNSTEIN_RUN"  # the run folder of this process and of those it starts


def root(word: str | None) -> Path:
    """Where runs are kept: the word `runs=DIR`, else the variable ORNSTEIN_RUNS, else `runs`."""
    return Path(word or os.environ.get("ORNSTEIN_RUNS") or "runs")


def create(runs: Path, modality: str, recipe: str) -> Path:
    """A new folder `runs/<modality>/<recipe>-<date-time>`, the same one in every process of a run.

    Raises:
        ValueError: several processes were started from outside and were not told their common folder.
    """
    if _ENV in os.environ:
        folder = Path(os.environ[_ENV])
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    if "RANK" in os.environ or int(os.environ.get("SLURM_NTASKS", "1")) > 1:
        raise ValueError(
            f"these processes were started from outside: set {_ENV} to one run folder, the same in each of them"
        )
    stamp = f"{recipe}-{time.strftime('%Y%m%d-%H%M%S')}"
    for suffix in ["", *(f"-{i}" for i in range(2, 100))]:
        folder = runs / modality / f"{stamp}{suffix}"
        with contextlib.suppress(FileExistsError):
            folder.mkdir(parents=True)
            return folder
    raise FileExistsError(f"{runs / modality / stamp} and 98 more exist already")


def is_first() -> bool:
    """Whether this is the first of the run's processes."""
    return all(os.environ.get(name, "0") == "0" for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))


def claim(folder: Path) -> None:
    """Tell the processes that this one starts which folder the run has."""
    os.environ[_ENV] = str(folder.resolve())


def release() -> None:
    """Forget the run folder of this process."""
    os.environ.pop(_ENV, None)


def mark_latest(folder: Path) -> None:
    """Point `latest` beside the folder to it: a link, or a text file holding the name where links cannot be made."""
    latest, aside = folder.parent / "latest", folder.parent / f".latest-{os.getpid()}"
    try:
        aside.symlink_to(folder.name)
        aside.replace(latest)
    except (OSError, NotImplementedError):
        aside.unlink(missing_ok=True)
        from ..checkpoint import write_aside

        write_aside(latest, lambda path: path.write_text(folder.name + "\n", encoding="utf-8"))


@contextlib.contextmanager
def named_in_errors(folder: Path) -> Iterator[None]:
    """Give the folder to errors of the disk that name no file, such as a full disk's."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(folder)
        raise


def probe(folder: Path) -> None:
    """Write a small file and take it away.

    Raises:
        OSError: the disk is full, or the folder may not be written.
    """
    path = folder / f".probe-{os.getpid()}"
    try:
        path.write_bytes(bytes(4096))
    finally:
        path.unlink(missing_ok=True)


def weights(word: str) -> Path:
    """The folder with a trained model that `init=` names.

    Raises:
        LookupError, ValueError: no such folder, a file, or a run that has saved no model yet.
    """
    if word.endswith((".ckpt", ".safetensors")):
        raise ValueError(f"init={word} is a file: name its run folder, init=RUN, whose averaged weights are taken")
    folder = find(word)
    if not (folder / "model.safetensors").is_file():
        raise ValueError(f"init={word}: {folder} holds no model.safetensors; the run has saved no model yet")
    return folder


def find(word: str | Path) -> Path:
    """The run folder a user names: itself, a `latest` of either kind, or a modality's folder, which means its latest.

    Raises:
        LookupError: no such folder; the nearest of those that exist are listed.
    """
    path = Path(word)
    if path.is_file() and path.name == "latest":
        path = path.parent / path.read_text(encoding="utf-8").strip()
    if path.is_dir() and not _is_run(path) and (path / "latest").exists():
        return find(path / "latest")
    if not path.is_dir():
        others = [str(p) for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise LookupError(choose("run folder", str(word), others))
    if not _is_run(path):
        raise LookupError(f"{word} is no run folder: it holds neither {CONFIG} nor model.safetensors")
    return path.resolve()


def config(folder: Path) -> Path:
    """The recipe of a run.

    Raises:
        FileNotFoundError: a folder that `export` wrote holds none.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise FileNotFoundError(f"{folder} holds a model without its {CONFIG}: it can be sampled, no more")
    return path


def recipe_of(folder: Path) -> str:
    """The name of the recipe of a run folder: what stands before its date."""
    return re.sub(r"-\d{8}-\d{6}(-\d+)?$", "", folder.name)


def newest(runs: Path, modality: str, recipe: str) -> Path:
    """The newest run of a recipe that left a checkpoint.

    Raises:
        LookupError: there is none.
    """
    found = [p for p in (runs / modality).glob(f"{recipe}-[0-9]*") if (p / LAST).is_file()]
    if not found:
        raise LookupError(
            f"no run of {modality}/{recipe} under {runs / modality} has a checkpoint to go on from; "
            "leave out --ckpt_path last to start one, or say runs=DIR"
        )
    return max(found, key=lambda p: (p / LAST).stat().st_mtime).resolve()


def _is_run(path: Path) -> bool:
    return (path / CONFIG).is_file() or (path / "model.safetensors").is_file()
