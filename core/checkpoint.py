"""Save and load a model without Lightning and without pickle: weights as safetensors, everything else as YAML.

An object is described by its class and its constructor arguments, which it keeps as attributes of the same names; the same rule
rebuilds it. Only classes of the kinds that a model is made of are ever built.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import secrets
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from .backbones.backbone import Backbone
from .conditioning.spec import ConditionSpec
from .denoiser import NeuralDenoiser
from .modality import Modality
from .parametrization import Parametrization
from .processes import Process
from .registry import plugin_packages
from .schedules import Schedule
from .state import Field, Space

WEIGHTS, MODEL = "model.safetensors", "model.yaml"
_BUILDABLE = (Backbone, Modality, Process, Schedule, Parametrization, Space, Field, ConditionSpec)
FORMAT = 1


def describe(value: Any) -> Any:
    """Plain data (dicts, lists, numbers, strings) from which `build` makes the value again.

    Raises:
        ValueError: an object that does not keep a constructor argument as an attribute, or that is no plain value.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [describe(v) for v in value]
    if isinstance(value, Mapping):
        return {str(k): describe(v) for k, v in value.items()}
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (np.integer, np.floating)):
        return value.item()
    if not isinstance(value, _BUILDABLE):
        raise ValueError(f"a {type(value).__name__} cannot be described in a checkpoint")
    cls = type(value)
    args = {}
    for name in _arguments(cls):
        if not hasattr(value, name):
            raise ValueError(
                f"{cls.__name__} must keep its argument {name!r} as an attribute, for checkpoints to rebuild it"
            )
        args[name] = describe(getattr(value, name))
    return {"class": f"{cls.__module__}.{cls.__qualname__}", "args": args}


def build(tree: Any) -> Any:
    """The value that a description stands for.

    Raises:
        ValueError: a class that cannot be found, or is none that a model is made of.
    """
    if isinstance(tree, list):
        return tuple(build(v) for v in tree)
    if not isinstance(tree, dict):
        return tree
    if set(tree) != {"class", "args"}:
        return {k: build(v) for k, v in tree.items()}
    module, _, name = str(tree["class"]).rpartition(".")
    # Importing runs code: only what is loaded already, ourselves and registered plugins are imported for a file.
    if module not in sys.modules and module.partition(".")[0] not in {"ornstein", *plugin_packages()}:
        raise ValueError(
            f"the checkpoint needs {tree['class']}, of no registered plugin: install the package that provides it, or, "
            f"where you trust it, import {module} first"
        )
    try:
        cls = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"the checkpoint needs {tree['class']}, which cannot be imported: {error}") from error
    if not (inspect.isclass(cls) and issubclass(cls, _BUILDABLE)):
        raise ValueError(f"the checkpoint names {tree['class']}, which no model is made of; it is not built")
    try:
        return cls(**{k: build(v) for k, v in tree["args"].items()})
    except TypeError as error:
        raise ValueError(f"{tree['class']} is not what it was when the checkpoint was saved: {error}") from error


def save(denoiser: NeuralDenoiser, folder: str | Path, meta: Mapping[str, Any] | None = None) -> None:
    """Write `model.safetensors` and `model.yaml`, each aside and then renamed, so that a crash leaves the older files whole.

    Raises:
        OSError: the disk is full or the folder cannot be written; what was there before is untouched.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"denoiser.{k}": _apart(v) for k, v in denoiser.state_dict().items()}
    tree: dict[str, Any] = {
        "format": FORMAT,
        "backbone": describe(denoiser.backbone),
        "fields": describe(list(denoiser.fields.values())),
        "conditions": describe(list(denoiser.conditions)),
        "processes": describe(denoiser.processes),
        "meta": describe(dict(meta or {})),
    }
    if denoiser.modality is not None:
        learnt, plain = denoiser.modality.state()
        tensors |= {f"modality.{k}": _apart(v) for k, v in learnt.items()}
        tree["modality"] = {"name": denoiser.modality.name, "object": describe(denoiser.modality), "state": plain}
    text = yaml.safe_dump(tree, sort_keys=False)
    # The description also travels inside the weights: one rename replaces both, and the YAML beside them is for people.
    write_aside(folder / WEIGHTS, lambda path: save_file(tensors, path, metadata={"model": json.dumps(tree)}))
    write_aside(folder / MODEL, lambda path: path.write_text(text))


def load(run: str | Path, device: str | torch.device = "cpu", anew: Mapping[str, Any] | None = None) -> NeuralDenoiser:
    """The model of a run folder (or any folder with model.safetensors), in evaluation mode, its modality attached.

    Args:
        run: the folder.
        device: where its weights go.
        anew: options of the modality in place of those it was trained with, of `Modality.later`.

    Raises:
        FileNotFoundError: no model there.
        ValueError: a truncated or foreign file, a newer format, weights that do not fit, an option that cannot change.
    """
    path = resolve(Path(run))
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        tensors = load_file(path)
    except SafetensorError as error:
        raise ValueError(
            f"{path} is truncated or no safetensors file: {error}; take it from a backup or another checkpoint"
        ) from error
    if "model" not in metadata:
        raise ValueError(f"{path} holds weights without a description of the model: it was not saved by ornstein")
    tree = json.loads(metadata["model"])
    if tree.get("format") != FORMAT:
        raise ValueError(f"{path} has format {tree.get('format')}; this version reads format {FORMAT}")
    modality = None
    if "modality" in tree:
        modality = build(_changed(tree["modality"]["object"], anew or {}))
        try:
            modality.load_state(_under(tensors, "modality."), tree["modality"]["state"])
        except KeyError as error:
            kind = f"{type(modality).__name__} {modality.name!r}"
            raise ValueError(
                f"{path}: the modality ({kind}) finds no {error} in what was saved of it: it was saved by another version, which "
                "can still load it"
            ) from error
    denoiser = NeuralDenoiser(
        build(tree["backbone"]), build(tree["fields"]), build(tree["conditions"]), build(tree["processes"]), modality
    )
    try:
        denoiser.load_state_dict(_under(tensors, "denoiser."))
    except RuntimeError as error:
        raise ValueError(f"{path}: the weights do not fit the described network: {error}") from error
    return denoiser.to(device).eval()


def _changed(described: dict[str, Any], anew: Mapping[str, Any]) -> dict[str, Any]:
    """The description of a modality with other options.

    Raises:
        ValueError: one that the modality was trained with.
    """
    later = type(build(described)).later if anew else ()
    for name in anew:
        if name not in later:
            found = f"only {', '.join(later)} can change" if later else "none of its options can change"
            raise ValueError(f"modality.{name}: the model is trained already, and {found}")
    return {**described, "args": {**described["args"], **anew}}


def meta(run: str | Path) -> dict[str, Any]:
    """What was saved beside the model: step, versions, hashes."""
    with safe_open(resolve(Path(run)), "pt") as file:
        return json.loads((file.metadata() or {})["model"])["meta"]


def resolve(run: Path) -> Path:
    """The weights of a run folder; `latest` may be a link or a text file that holds the run's name.

    Raises:
        FileNotFoundError: there is no run, or it holds no model yet.
    """
    if run.is_file() and run.name == "latest":
        run = run.parent / run.read_text().strip()
    path = run if run.suffix == ".safetensors" else run / WEIGHTS
    if path.is_file():
        return path
    if not run.exists():
        near = ", ".join(sorted(p.name for p in run.parent.iterdir() if p.is_dir())[-5:]) if run.parent.is_dir() else ""
        raise FileNotFoundError(f"no run at {run}" + (f"; {run.parent} holds {near}" if near else ""))
    raise FileNotFoundError(f"{run} holds no {WEIGHTS}: the run has not saved a model yet")


def write_aside(path: Path, write: Callable[[Path], Any]) -> None:
    """Write a file beside its place, flush it to the disk, then rename it over the old one."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    aside.touch()
    mode = aside.stat().st_mode  # that of any new file; safetensors would leave one that only its owner may read
    try:
        write(aside)
        aside.chmod(mode)
        with aside.open("rb+") as file:
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException as error:
        aside.unlink(missing_ok=True)
        if isinstance(error, SafetensorError):
            raise OSError(f"cannot write {path}: {error}; the older file is untouched") from error
        raise


def _apart(x: torch.Tensor) -> torch.Tensor:
    """A copy on the host: weights that a network uses twice share memory, which safetensors refuses to write."""
    return x.detach().to("cpu", copy=True).contiguous()


def _arguments(cls: type) -> list[str]:
    if dataclasses.is_dataclass(cls):
        return [f.name for f in dataclasses.fields(cls) if f.init]
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [p.name for p in inspect.signature(cls).parameters.values() if p.kind in kinds]


def _under(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
