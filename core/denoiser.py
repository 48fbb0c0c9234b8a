"""Denoisers: anything that turns a noised state into a posterior of the clean one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .backbones.backbone import Backbone
from .conditioning.spec import ConditionSpec
from .posterior import Posterior
from .processes import Gaussian, Process
from .processes.gaussian import CLEAN
from .schedules import Schedule
from .state import Conditions, Field, Known, Layout, State, expand_time, field_mask

if TYPE_CHECKING:
    from .modality import Modality


class Denoiser(nn.Module):
    """Asks for a noised state, answers with a posterior. Guidance is a Denoiser that holds a Denoiser.

    Attributes:
        fields, processes: by field name, in order.
        conditions: what it can be told.
        modality: what decodes its samples, where `load` or the user attached one.
        per_token_time: whether t may differ between tokens.
        self_conditioning: whether it wants its last posterior back.
    """

    fields: dict[str, Field]
    processes: dict[str, Process]
    conditions: tuple[ConditionSpec, ...] = ()
    modality: Modality | None = None
    per_token_time: bool = True
    self_conditioning: bool = False

    @abstractmethod
    def forward(
        self,
        state_t: State,
        t: float | Tensor,
        layout: Layout,
        cond: Conditions,
        known: Known | None = None,
        previous: Posterior | None = None,
    ) -> Posterior:
        """The posterior of x_0 given x_t.

        Args:
            state_t: the noised state; known entries already hold what `place_known` gives them.
            t: a number (the same for all, no host synchronisation), (B,), or (B, N).
            layout: mask, positions, grid.
            cond: conditions by name.
            known: given entries; tokens known whole stand at t = 0 where `per_token_time`.
            previous: the last posterior, for self-conditioning.
        """

    def time_field(self) -> Gaussian | None:
        """The first Gaussian process: its log-SNR is the network's clock."""
        return next((p for p in self.processes.values() if isinstance(p, Gaussian)), None)

    def c_noise(self, t: Tensor) -> Tensor:
        """What networks are told of t: from the clamped log-SNR of `time_field`, from t itself where there is none.

        In [-2.5, 2.5] for t > 0, and CLEAN where t = 0.
        """
        clock = self.time_field()
        return clock.c_noise(t) if clock else torch.where(t == 0, CLEAN, 5 * t - 2.5)


class NeuralDenoiser(Denoiser):
    """A backbone with the processes of its fields.

    Raises:
        ValueError: a process for a field that does not exist, or that does not serve it.
    """

    def __init__(
        self,
        backbone: Backbone,
        fields: Sequence[Field],
        conditions: Sequence[ConditionSpec] = (),
        processes: Mapping[str, Process] | None = None,
        modality: Modality | None = None,
    ) -> None:
        super().__init__()
        self.fields = {f.name: f for f in fields}
        unknown = set(processes or ()) - set(self.fields)
        if unknown:
            raise ValueError(f"process for {', '.join(sorted(unknown))}: the fields are {', '.join(self.fields)}")
        self.processes = {f.name: (processes or {}).get(f.name, f.process) for f in fields}
        for f in fields:
            self.processes[f.name].check(f)
        self.backbone, self.conditions, self.modality = backbone, tuple(conditions), modality
        self.schedules = nn.ModuleDict({f"of_{n}": nn.ModuleList(_learned(p)) for n, p in self.processes.items()})
        self.per_token_time, self.self_conditioning = backbone.per_token_time, backbone.self_conditioning

    def forward(
        self,
        state_t: State,
        t: float | Tensor,
        layout: Layout,
        cond: Conditions,
        known: Known | None = None,
        previous: Posterior | None = None,
    ) -> Posterior:
        """One call of the backbone; see `Denoiser.forward`."""
        asked = as_time(t, layout.mask)
        shared = (
            None if isinstance(t, Tensor) else torch.tensor(t, dtype=torch.float64)
        )  # on the host, where tables are kept
        t = token_time(self, asked, layout.mask, known)
        times = {name: entry_time(self, f, asked, t, layout.mask, known) for name, f in self.fields.items()}
        if known is None and shared is not None:
            times |= {n: shared for n, p in self.processes.items() if isinstance(p, Gaussian)}
        inputs = {n: self.processes[n].inputs(f, state_t[n], times[n]) for n, f in self.fields.items()}
        dtype = next((x.dtype for x in inputs.values() if x.is_floating_point()), torch.get_default_dtype())
        carried = previous.carried if previous is not None and self.self_conditioning else None
        outputs = self.backbone(inputs, self.c_noise(t).to(dtype), layout, cond, known, carried)
        return Posterior(
            {
                n: self.processes[n].view(f, _inside(f, outputs[n].to(dtype), layout.mask, known), state_t[n], times[n])
                for n, f in self.fields.items()
            }
        )


def _learned(process: Process) -> list[nn.Module]:
    """The schedules with weights that a process holds: they are trained, moved and saved with the denoiser."""
    held = [part for value in vars(process).values() if isinstance(value, Schedule) for part in value.parts()]
    return [part for part in held if isinstance(part, nn.Module)]


def as_time(t: float | Tensor, mask: Tensor) -> Tensor:
    """t as a float64 tensor (B,) or (B, N) on the device of the mask (float32 where the device has no float64)."""
    dtype = torch.float32 if mask.device.type == "mps" else torch.float64
    if not isinstance(t, Tensor):
        return torch.full((mask.shape[0],), t, dtype=dtype, device=mask.device)
    return t.to(dtype)


def token_time(denoiser: Denoiser, t: Tensor, mask: Tensor, known: Known | None) -> Tensor:
    """t with tokens known whole at 0, where the denoiser can tell tokens apart."""
    if known is None or not denoiser.per_token_time:
        return t
    whole = known.whole(denoiser.fields, mask)
    return torch.where(whole, 0.0, t if t.ndim == 2 else t[:, None])


def entry_time(denoiser: Denoiser, f: Field, asked: Tensor, t: Tensor, mask: Tensor, known: Known | None) -> Tensor:
    """The time of each entry of f, broadcastable to it: that of its token, the larger one of a pair.

    A pair of two tokens known whole that is not itself given is still to be made: it stands at the time that was asked for.
    """
    times = expand_time(t, f)
    if f.axes == "token" or known is None or not denoiser.per_token_time:
        return times
    return torch.where((times == 0) & ~known.whole_entries(f, denoiser.fields, mask), expand_time(asked, f), times)


def place_known(
    denoiser: Denoiser, state: State, t: float | Tensor, mask: Tensor, known: Known | None, noise: State
) -> State:
    """Put the given values into a state at time t.

    Entries of tokens known whole hold their clean value, where the denoiser serves time per token; every other given entry is
    noised to t with the noise that is its own. At t = 0 both are the clean value.
    """
    if known is None:
        return state
    t = as_time(t, mask)
    placed = dict(state)
    for name, bits in known.bits.items():
        f, values = denoiser.fields[name], known.values[name]
        at_level = denoiser.processes[name].corrupt(f, values, expand_time(t, f), noise[name])
        if denoiser.per_token_time:
            at_level = torch.where(known.whole_entries(f, denoiser.fields, mask), values, at_level)
        placed[name] = torch.where(bits, at_level, state[name])
    return placed


def _inside(f: Field, output: Tensor, mask: Tensor, known: Known | None) -> Tensor:
    """A raw output within the field's space, zero at padded entries."""
    if f.kind == "categorical":
        return torch.where(field_mask(f, mask)[..., None], output, 0.0)
    if f.axes == "pair":
        return torch.where(field_mask(f, mask), output, 0.0)
    return f.space.project(output, mask, None if known is None else known.bits.get(f.name))
