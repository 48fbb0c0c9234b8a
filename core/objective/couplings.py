"""Which noise goes with which data: couplings of the two that make the paths from one to the other shorter.

A coupling of the objective pairs samples of a batch with noises; the modality's own hook, `Modality.couple`, follows it and turns
or permutes the noise within each sample. Only Gaussian fields are coupled, all fields of a sample together; distances run
over real, unknown entries, each pair once. The noise of known entries goes where that of the unknown ones goes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..denoiser import Denoiser
from ..state import Encoded, State
from .draws import counted_entries, gaussian_fields


class Coupling(ABC):
    """How the noise of a batch is paired with its data."""

    @abstractmethod
    def couple(self, denoiser: Denoiser, encoded: Encoded, noise: State, again: Callable[[int], State]) -> State:
        """The noise of each sample.

        Args:
            denoiser: with the fields and their processes.
            encoded: the batch.
            noise: as drawn, one for each sample.
            again: gives further draws, numbered 1, 2, ..., each like `noise`.
        """


@dataclass(frozen=True)
class MinibatchOT(Coupling):
    """The permutation of the noises with the least sum of |x_0 - eps|^2, exact, among samples of equal condition.

    Only samples swap that the network cannot tell apart but by x_t: equal conditions, mask, positions and known entries with
    their values. Else the noise would depend on the condition, which sampling does not know of: the learnt conditional would be
    wrong. Over the batch the noises stay the same set, so their marginal stays exactly normal, for each condition.

    Each process couples its own batch: unlike all other randomness of training, the pairing depends on which samples share a
    batch and on the number of processes, of held-out losses too. Each step waits for the device and costs O(B^3) on the host.

    Source: Tong et al. 2023, arXiv:2302.00482, section 3.2.3; Pooladian et al. 2023, arXiv:2304.14772.
    """

    def couple(self, denoiser: Denoiser, encoded: Encoded, noise: State, again: Callable[[int], State]) -> State:
        """Permute the noises within each group of equal samples."""
        from scipy.optimize import linear_sum_assignment

        names = gaussian_fields(denoiser)
        if not names:
            raise _nothing_to_couple(self, denoiser)
        counted = _counted(denoiser, encoded)
        x0, eps = torch.where(counted, _flat(denoiser, encoded.state), 0.0), _flat(denoiser, noise)
        order = torch.arange(encoded.batch)
        groups = [torch.tensor(rows) for rows in _equal_samples(encoded) if len(rows) > 1]
        if not groups:
            return noise
        # |x_0 - eps|^2 over the entries that count for x_0, less |x_0|^2, which no pairing changes
        cost = (counted.to(eps.dtype) @ eps.square().T - 2 * x0 @ eps.T).cpu().double()
        cost = cost.nan_to_num(0.0, 0.0, 0.0)  # an item without numbers is named by its loss
        for rows in groups:
            _, chosen = linear_sum_assignment(cost[rows][:, rows].numpy())
            order[rows] = rows[torch.from_numpy(chosen)]
        order = order.to(x0.device)
        return {name: x[order] if name in names else x for name, x in noise.items()}


@dataclass(frozen=True)
class Immiscible(Coupling):
    """Of k noises drawn for each sample, the nearest to its data.

    Each sample chooses alone, so batches and processes change nothing. The price: noise is no longer exactly normal. In d
    entries with data of mean m and norm r, eps leans towards the data, so that its mean is not 0 where m is not, and its variance
    is about 1 - 2 c_k / sqrt(2 d + 4 r^2) (c_k the expected largest of k normals: 1.03 for 4), and it depends on the condition as
    far as the data does. Keep k small and d large.

    Args:
        k: noises to choose from, at least 2.

    Source: Li et al. 2025, arXiv:2505.18521 (k nearest), after Li et al. 2024, arXiv:2406.12303.
    """

    k: int = 4

    def __post_init__(self) -> None:
        if self.k < 2 or self.k != int(self.k):
            raise ValueError(f"Immiscible: at least 2 noises are needed to choose from, found k={self.k}")

    def couple(self, denoiser: Denoiser, encoded: Encoded, noise: State, again: Callable[[int], State]) -> State:
        """Draw again k - 1 times and keep the nearest."""
        names = gaussian_fields(denoiser)
        if not names:
            raise _nothing_to_couple(self, denoiser)
        x0, counted = _flat(denoiser, encoded.state), _counted(denoiser, encoded)

        def far(eps: State) -> Tensor:
            return torch.where(counted, x0 - _flat(denoiser, eps), 0.0).square().sum(1)

        best, least = noise, far(noise)
        for number in range(1, self.k):
            other = again(number)
            distance = far(other)
            nearer, least = distance < least, torch.minimum(distance, least)
            best = {n: torch.where(_rows(nearer, x), other[n], x) if n in names else x for n, x in best.items()}
        return best


def _flat(denoiser: Denoiser, state: State) -> Tensor:
    """(B, E): the entries of all Gaussian fields."""
    return torch.cat([state[name].flatten(1) for name in gaussian_fields(denoiser)], 1)


def _counted(denoiser: Denoiser, encoded: Encoded) -> Tensor:
    """(B, E): which of them count."""
    flags = {n: counted_entries(denoiser.fields[n], encoded) for n in gaussian_fields(denoiser)}
    return torch.cat([x.expand_as(encoded.state[n]).flatten(1) for n, x in flags.items()], 1)


def _equal_samples(encoded: Encoded) -> list[list[int]]:
    """Groups of samples that show the network the same but for x_t, as row numbers in order."""
    groups: dict[tuple[bytes, ...], list[int]] = {}
    # as bytes: NumPy has no bfloat16
    columns = [x.reshape(encoded.batch, -1).cpu().contiguous().view(torch.uint8).numpy() for x in _shown(encoded)]
    for row in range(encoded.batch):
        groups.setdefault(tuple(column[row].tobytes() for column in columns), []).append(row)
    return list(groups.values())


def _shown(encoded: Encoded) -> Iterator[Tensor]:
    """What the network is shown beside x_t, (B, ...) each, with zeros where nothing is meant."""
    mask, positions = encoded.mask, encoded.layout.positions
    yield mask
    if positions is not None:
        yield torch.where(mask[..., None], positions, 0)
    for condition in encoded.cond.values():
        value, present = condition.value, condition.present
        yield present
        if condition.mask is not None:
            yield condition.mask & present[:, None]
            value = torch.where(condition.mask.view(*condition.mask.shape, *(1,) * (value.ndim - 2)), value, 0)
        yield torch.where(_rows(present, value), value, 0)
    if encoded.known is not None:
        for name, bits in encoded.known.bits.items():
            yield bits
            yield torch.where(bits, encoded.known.values[name], 0)


def _rows(flags: Tensor, like: Tensor) -> Tensor:
    """(B,) shaped to broadcast with `like`."""
    return flags.view(-1, *(1,) * (like.ndim - 1))


def _nothing_to_couple(coupling: Coupling, denoiser: Denoiser) -> ValueError:
    return ValueError(
        f"{type(coupling).__name__} couples Gaussian noise, and no field has any ({', '.join(denoiser.fields)}): "
        "leave objective.coupling out"
    )
