"""Small worlds for backbones: fields of every kind, a network whose zero gates are open, a batch of inputs."""

import pytest
import torch
from ornstein.core.backbones.dit import DiT
from ornstein.core.processes import Gaussian, Masked
from ornstein.core.state import Field, Known, Layout


def _field(name, kind, channels, axes="token"):
    return Field(name, kind, channels, Gaussian() if kind == "continuous" else Masked(), axes)


FIELDS = {
    "x": _field("x", "continuous", 3),
    "type": _field("type", "categorical", 5),
    "bond": _field("bond", "categorical", 4, "pair"),
    "distance": _field("distance", "continuous", 2, "pair"),
}


class World:
    """Builders of small networks and of matching inputs, in float64."""

    fields = FIELDS

    @staticmethod
    def net(names, conditions=(), axes=0, seed=0, opened=True, **options):
        """A small DiT; `opened`: with every parameter moved off zero."""
        torch.manual_seed(seed)
        options = {"width": 24, "depth": 2, "heads": 2, "pair_width": 8} | options
        net = DiT([FIELDS[name] for name in names], conditions, axes, **options).double().eval()
        if opened:
            for p in net.parameters():
                p.data += 0.2 * torch.randn_like(p)
        return net

    @staticmethod
    def inputs(names, batch=3, tokens=6, seed=0):
        """A noised state; pair fields are symmetric."""
        g = torch.Generator().manual_seed(seed)
        state = {}
        for f in (FIELDS[name] for name in names):
            shape = (batch, tokens) if f.axes == "token" else (batch, tokens, tokens)
            if f.kind == "continuous":
                x = torch.randn(*shape, f.channels, generator=g, dtype=torch.float64)
            else:
                x = torch.randint(f.channels + 1, shape, generator=g)
            if f.axes == "pair":
                upper = x.triu(1) if f.kind == "categorical" else x.permute(0, 3, 1, 2).triu(1).permute(0, 2, 3, 1)
                x = upper + upper.transpose(1, 2)
            state[f.name] = x
        return state

    @staticmethod
    def known(state, first=2):
        """The first tokens, and all their pairs, given."""
        bits = {}
        for name, x in state.items():
            some = torch.zeros(x.shape, dtype=torch.bool)
            some[:, :first] = True
            bits[name] = some & some.transpose(1, 2) if FIELDS[name].axes == "pair" else some
        values = {k: x.clamp(max=FIELDS[k].channels - 1) if not x.is_floating_point() else x for k, x in state.items()}
        return Known(bits, values)

    @staticmethod
    def layout(axes, batch=3, tokens=6, sizes=None):
        """Random positions on some axes; `sizes`: real tokens per sample."""
        sizes = torch.full((batch,), tokens) if sizes is None else torch.tensor(sizes)
        mask = torch.arange(tokens)[None] < sizes[:, None]
        g = torch.Generator().manual_seed(1)
        positions = 4 * torch.randn(batch, tokens, axes, generator=g, dtype=torch.float64) if axes else None
        return Layout(mask, positions)


@pytest.fixture(scope="session")
def world():
    return World
