"""Start from trained weights."""

from __future__ import annotations

import torch

from .. import checkpoint
from ..denoiser import NeuralDenoiser


@torch.no_grad()
def start_from(denoiser: NeuralDenoiser, run: str) -> str:
    """Copy every weight of a trained run that has a place of the same name and shape; say what had none.

    Args:
        denoiser: freshly built; weights without a match keep their random start.
        run: run folder, or any folder with model.safetensors.

    Raises:
        ValueError: the run is of another modality, or no weight fits.
    """
    trained = checkpoint.load(run)
    here, there = denoiser.modality, trained.modality
    if here is not None and there is not None and here.name != there.name:
        raise ValueError(f"init={run} is of modality {there.name!r}, this run of {here.name!r}")
    own, given = denoiser.state_dict(), trained.state_dict()
    fitting = {name for name, w in own.items() if name in given and given[name].shape == w.shape}
    if not fitting:
        raise ValueError(
            f"init={run}: none of its {len(given)} weights fits this network; is it of the same backbone and size?"
        )
    for name in fitting:
        own[name].copy_(given[name])
    lines = [f"init: {len(fitting)} of {len(own)} weights come from {run}"]
    shapes = [
        f"{n} {tuple(given[n].shape)} there, {tuple(own[n].shape)} here" for n in own if n in given and n not in fitting
    ]
    lines += [f"  {name}: random, of another shape" for name in shapes]
    lines += [f"  {name}: random, not in the run" for name in own if name not in given]
    lines += [f"  {name}: only in the run, left out" for name in given if name not in own]
    return "\n".join(lines)
