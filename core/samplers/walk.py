"""What samplers beside the executor share: the start, given entries, categorical fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from ..denoiser import Denoiser, as_time, place_known
from ..parametrization import Point
from ..posterior import Continuous, Posterior
from ..processes import CategoricalProcess, Gaussian, Process
from ..state import Encoded, State, expand_time
from .moves import Ancestral, Move
from .run import beginning, started

if TYPE_CHECKING:
    from .run import Hook, Progress


class Walk:
    """A batch on its way from noise to data.

    Args:
        name: of the sampler, for messages.
        denoiser: network, guidance or oracle.
        encoded: on the device of the denoiser.
        move: how categorical fields are un-noised.
        seed, index, hooks, prior, origin: as those of `samplers.run`.

    Raises:
        ValueError: a process that is neither Gaussian nor served by the move, no Gaussian field, a move with nothing to move.
    """

    def __init__(
        self,
        name: str,
        denoiser: Denoiser,
        encoded: Encoded,
        move: Move,
        *,
        seed: int,
        index: Tensor | None = None,
        hooks: Sequence[Hook] = (),
        prior: State | None = None,
        origin: State | None = None,
    ) -> None:
        self.denoiser, self.encoded, self.move, self.seed, self.hooks = denoiser, encoded, move, seed, tuple(hooks)
        self.gaussian, self.categorical = _split(name, denoiser.processes, move)
        self.times = as_time(0.0, encoded.mask).dtype
        self.origin = origin
        self.index, self.own = beginning(denoiser, encoded, seed, index, prior)
        self.open = {name: encoded.open(f) for name, f in denoiser.fields.items()}

    def start(self, t: Tensor) -> State:
        """The noised state at t (B,), given entries in place."""
        return started(self.denoiser, self.encoded, t, self.own, self.origin)

    def placed(self, state: State, t: Tensor) -> State:
        """The state with given entries as they are at t (B,)."""
        return place_known(self.denoiser, state, t, self.encoded.mask, self.encoded.known, self.own)

    def ask(self, state: State, t: float | Tensor, previous: Posterior | None = None) -> Posterior:
        """The denoiser's answer."""
        encoded = self.encoded
        return self.denoiser(state, t, encoded.layout, encoded.cond, encoded.known, previous)

    def continuous(self, posterior: Posterior) -> dict[str, Continuous]:
        """The views of the Gaussian fields."""
        views = {name: posterior[name] for name in self.gaussian}
        return {name: view for name, view in views.items() if isinstance(view, Continuous)}

    def moved(self, state: State, posterior: Posterior, t: Tensor, s: Tensor, noise: State) -> State:
        """The categorical fields at s (B,), from t (B,); no others."""
        fields, out = self.denoiser.fields, {}
        for name, process in self.categorical.items():
            f = fields[name]
            times = expand_time(t, f), expand_time(s, f)
            out[name] = self.move(f, process, state[name], *times, posterior[name], noise[name], self.open[name])
        return out

    def shown(self, progress: Progress) -> State:
        """The state after the hooks have had their turn."""
        for hook in self.hooks:
            hook(progress)
        return progress.state

    def point(self, name: str, t: Tensor) -> Point:
        """Where on its schedule a Gaussian field is at t (B,)."""
        x = self.encoded.state[name]
        return self.gaussian[name].at(expand_time(t, self.denoiser.fields[name])).to(x.dtype, x.device)

    def at(self, name: str, values: Tensor) -> Tensor:
        """(B,) values to broadcast with a continuous field, in its dtype."""
        return expand_time(values, self.denoiser.fields[name]).to(self.encoded.state[name].dtype)


def _split(
    name: str, processes: Mapping[str, Process], move: Move
) -> tuple[dict[str, Gaussian], dict[str, CategoricalProcess]]:
    """The processes by kind, or the reason why not."""
    gaussian = {n: p for n, p in processes.items() if isinstance(p, Gaussian)}
    categorical = {n: p for n, p in processes.items() if isinstance(p, CategoricalProcess)}
    for n in set(processes) - set(gaussian) - set(categorical):
        raise ValueError(
            f"{name}: the process {type(processes[n]).__name__} of field {n!r} is neither Gaussian nor categorical"
        )
    if not gaussian:
        raise ValueError(f"{name} needs a Gaussian field; the fields are {', '.join(processes)}: take DDPM")
    for n, process in categorical.items():
        move.check(n, process)
    if not categorical and move != Ancestral():
        raise ValueError(f"{name}: move={move} is for categorical fields; there is none")
    return gaussian, categorical
