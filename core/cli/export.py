"""`ornstein export RUN`: a model to share, as safetensors and YAML."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..denoiser import NeuralDenoiser


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `export`."""
    parser.add_argument("run", metavar="RUN", help="a run folder, as runs/MODALITY/latest")
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="where model.safetensors and model.yaml go (RUN/export)"
    )
    parser.add_argument("--step", type=int, help="of a kept checkpoint (run.keep_every); without it: the newest model")


def run(args: argparse.Namespace) -> int:
    """Write the averaged weights, the description of the network and what the modality learnt."""
    from .. import checkpoint
    from . import runs

    folder = runs.find(args.run)
    denoiser, meta = checkpoint.load(folder), checkpoint.meta(folder)
    if args.step is not None:
        meta = {**meta, "step": args.step}
        _take(denoiser, _kept(folder, args.step))
    out = args.out or folder / "export"
    with runs.named_in_errors(out):
        checkpoint.save(denoiser, out, meta)
    print(f"{out} holds model.safetensors and model.yaml; use it as `ornstein sample {out}` or load({str(out)!r})")
    return 0


def _kept(folder: Path, step: int) -> Path:
    path = folder / "checkpoints" / f"step-{step:08d}.ckpt"
    if not path.is_file():
        kept = sorted(int(p.stem.partition("-")[2]) for p in path.parent.glob("step-*.ckpt"))
        steps = ", ".join(map(str, kept)) or "none: set run.keep_every"
        raise FileNotFoundError(f"{path} does not exist; kept steps: {steps}")
    return path


def _take(denoiser: NeuralDenoiser, path: Path) -> None:
    """Put a training checkpoint's averaged weights into a denoiser of the same run."""
    import pickle

    import torch

    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(f"{path} is cut short or no checkpoint: {str(error).partition(chr(10))[0]}") from error
    own = saved["ornstein"]
    weights = {k.removeprefix("denoiser."): v for k, v in saved["state_dict"].items() if k.startswith("denoiser.")}
    if own["ema"] is not None:
        weights |= own["ema"]["mean"]
    denoiser.load_state_dict(weights)
    if denoiser.modality is not None:
        denoiser.modality.load_state(own["tensors"], own["plain"])
