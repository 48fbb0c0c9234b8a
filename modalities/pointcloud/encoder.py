"""Shapes to sets of points and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from ornstein.core.state import Encoded, Known, Layout, State
from torch import Tensor

from .cloud import Cloud
from .normalise import Frame, Frames

POINTS, NORMALS, COLOURS = "points", "normals", "colours"
_UNIT = 3**0.5  # a unit vector has a mean square of 1/3 on each axis
_GREY, _RANGE = 127.5, 64.0  # colours have about unit variance about the middle of their range


@dataclass(frozen=True)
class Space:
    """Model space: `points` (B, N, 3), and where they are made `normals` and `colours`, (B, N, 3) each, at about unit variance.

    Args:
        frames: how shapes are placed and scaled.
        normals, colours: whether they are fields.
    """

    frames: Frames
    normals: bool = False
    colours: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The fields."""
        return (POINTS, *((NORMALS,) if self.normals else ()), *((COLOURS,) if self.colours else ()))

    def encode(self, clouds: Sequence[Cloud], known: Sequence[np.ndarray | None] | None) -> Encoded:
        """Shapes of any sizes, padded; what a cloud does not have, NaN or a column, is missing.

        Args:
            known: (N_i,) bool of each cloud, in its own order; None: nothing. The frame is that of the known points alone.

        Raises:
            ValueError: a mask of another length than its cloud.
        """
        bits = [None] * len(clouds) if known is None else list(known)
        frames = [self.frames.of_shape(_seen(cloud, mask)) for cloud, mask in zip(clouds, bits, strict=True)]
        layout = Layout.of_sizes(torch.tensor([cloud.size for cloud in clouds]))
        state = {name: torch.zeros(*layout.mask.shape, 3) for name in self.names}
        missing = {name: torch.zeros(*layout.mask.shape, 3, dtype=torch.bool) for name in self.names}
        told = {name: torch.zeros(*layout.mask.shape, 3, dtype=torch.bool) for name in self.names}
        for i, (cloud, frame, mask) in enumerate(zip(clouds, frames, bits, strict=True)):
            for name in self.names:
                values = torch.from_numpy(_values(cloud, name, frame))
                there = values.isfinite()
                state[name][i, : cloud.size] = values.nan_to_num(0.0).float()
                missing[name][i, : cloud.size] = ~there
                if mask is not None:
                    told[name][i, : cloud.size] = there & torch.from_numpy(mask)[:, None]
        gaps = {name: x for name, x in missing.items() if x.any()}
        given = None
        if any(x.any() for x in told.values()):
            given = Known(told, {name: torch.where(told[name], state[name], 0.0) for name in self.names})
        return Encoded(state, layout, known=given, aux=_aux(frames), missing=gaps)

    def blank(self, sizes: Sequence[int], frames: Sequence[Frame]) -> Encoded:
        """Shapes to be made, of so many points each."""
        layout = Layout.of_sizes(torch.tensor(sizes))
        return Encoded({name: torch.zeros(*layout.mask.shape, 3) for name in self.names}, layout, aux=_aux(frames))

    def decode(self, state: State, mask: Tensor, aux: dict[str, list]) -> list[Cloud]:
        """Points in the unit of the files, unit normals (those of no length are 0), colours rounded and clipped to 0..255."""
        out = []
        for i, real in enumerate(mask.cpu()):
            x = {name: state[name][i].cpu()[real].double().numpy() for name in self.names}
            points = Frame(aux["centre"][i], aux["scale"][i]).back(x[POINTS])
            normals = colours = None
            if self.normals:
                length = np.linalg.norm(x[NORMALS], axis=1, keepdims=True)
                normals = np.divide(x[NORMALS], length, out=np.zeros_like(points), where=length > 0)
            if self.colours:
                colours = np.rint(x[COLOURS] * _RANGE + _GREY).clip(0, 255).astype(np.uint8)
            out.append(Cloud(points, normals, colours))
        return out


def _aux(frames: Sequence[Frame]) -> dict[str, list]:
    return {"centre": [frame.centre for frame in frames], "scale": [frame.scale for frame in frames]}


def _seen(cloud: Cloud, mask: np.ndarray | None) -> np.ndarray:
    """The points that a frame may be taken from."""
    if mask is None:
        return cloud.points
    if mask.shape != (cloud.size,):
        raise ValueError(f"{cloud.name or 'a cloud'} has {cloud.size} points, what is known of it is {mask.shape}")
    return cloud.points[mask] if mask.any() else cloud.points


def _values(cloud: Cloud, name: str, frame: Frame) -> np.ndarray:
    """(N, 3) float64 of a field in model space; NaN where the cloud does not have it."""
    if name == POINTS:
        return frame.into(cloud.points)
    column = cloud.normals if name == NORMALS else cloud.colours
    if column is None:
        return np.full((cloud.size, 3), np.nan)
    there = np.isfinite(cloud.points)
    return np.where(there, column * _UNIT if name == NORMALS else (column - _GREY) / _RANGE, np.nan)
