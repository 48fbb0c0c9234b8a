"""Rules about tasks: what a task gives is what the network is told, stands still, and is exact in the end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ..modality import Item
from ..samplers import DDPM
from ..samplers.run import Progress, run
from ..state import Encoded, Known, field_mask
from .rule import Broken, Skipped, doing, require
from .states import field_shape, noise_state, same, well_formed, well_valued
from .subject import BATCH, Subject, generator, snapshot


def tasks_pose_known_entries(subject: Subject) -> None:
    """A posed item encodes to known bits shaped as the fields; something is known or told, and something is not known."""
    modality = subject.fitted
    declared = {spec.name for spec in modality.conditions}
    for name, task in modality.tasks().items():
        known_entries = 0
        for i, item in enumerate(subject.items[:BATCH]):
            with doing(f"task {name!r}: pose of {item.key}"):
                posed, known = task.pose(item, generator("pose", name, i))
                again = task.pose(item, generator("pose", name, i))
            require(
                isinstance(posed, Item), f"task {name!r}: pose gives {type(posed).__name__}; (Item, known) is needed"
            )
            require(
                snapshot((posed, known)) == snapshot(again),
                f"task {name!r}: pose gives other bits from the same generator; take random numbers from `rng` alone",
            )
            with doing(f"task {name!r}: encode of the posed {item.key}"):
                encoded = subject.encode([posed], [known])
            what = f"task {name!r}, {item.key}"
            well_formed(modality, encoded, 1, what)
            well_valued(modality, encoded, what)
            known_entries += _bits_fit(subject, encoded, known, what) + len(
                declared & posed.cond.keys() - item.cond.keys()
            )
        require(
            bool(known_entries) or name == "unconditional",
            f"task {name!r} never gives anything: `pose` returns no known entries or encode does not turn them into Known, "
            "and no condition is told",
        )


def encode_mixes_posed_and_plain(subject: Subject) -> None:
    """A batch may hold posed items and items of which nothing is known."""
    modality, items = subject.fitted, subject.items
    for name, item, known in _given(subject):
        with doing(f"task {name!r}: encode of a batch of which some items are posed and others are not"):
            encoded = subject.encode([items[1], item], [None, known])
        require(
            encoded.known is not None, f"task {name!r}: encode drops what is known where the first item is not posed"
        )
        for field, bits in encoded.known.bits.items() if encoded.known else ():
            require(not bits[0].any(), f"task {name!r}: {field!r} is known in an item that was not posed")
        well_formed(modality, encoded, 2, f"task {name!r}, mixed batch")


def known_values_come_from_known_entries(subject: Subject) -> None:
    """With other data in its unknown entries, an item has the same known values: at sampling there is nothing else.

    The other item is pasted, as a sample is: decoding may round and clip, which moves what several values hold together.
    """
    modality = subject.fitted
    for name, item, known in _given(subject):
        before = subject.encode([item], [known])
        told = _known(before)
        noise = noise_state(modality.fields, before.mask, 1)
        state = {
            f.name: torch.where(told.bits[f.name], before.state[f.name], noise[f.name])
            if f.name in told.bits
            else noise[f.name]
            for f in modality.fields
        }
        with doing(f"task {name!r}: decode and encode with other unknown entries"):
            sample = modality.paste(modality.decode(state, before.mask, before.aux)[0], item, known)
            after = subject.encode([subject.item_of(item, sample)], [known])
        what = f"task {name!r}: known values with other data in the unknown entries (take statistics of the known part only)"
        _same_known(subject, before, after, subject.tolerance, what)


def paste_makes_given_exact(subject: Subject) -> None:
    """`paste` puts the given values into any sample, and leaves a sample alone of which nothing is given."""
    modality = subject.fitted
    for name, item, known in _given(subject):
        encoded = subject.encode([item], [known])
        state = noise_state(modality.fields, encoded.mask, 2)
        with doing(f"task {name!r}: paste into a sample"):
            sample = modality.decode(state, encoded.mask, encoded.aux)[0]
            before = snapshot(sample)
            require(
                snapshot(modality.paste(sample, item, None)) == before,
                "paste(sample, given, None) changes the sample; nothing is known there",
            )
            pasted = modality.paste(sample, item, known)
            after = subject.encode([subject.item_of(item, pasted)], [known])
        _same_known(
            subject, encoded, after, 1e-5, f"task {name!r}: what was given, and what stands in the pasted sample"
        )


def given_stands_still(subject: Subject) -> None:
    """Through a whole run of a sampler, tokens known whole hold their values and known entries end at theirs."""
    next(_given(subject))  # skips where no task gives anything
    denoiser, fields = subject.denoiser, subject.fitted.fields
    encoded = subject.posed.to("cpu", torch.float64)
    known = _known(encoded)
    whole = {
        f.name: (known.whole_entries(f, denoiser.fields, encoded.mask) & field_mask(f, encoded.mask)).expand_as(
            encoded.state[f.name]
        )
        for f in fields
        if f.name in known.bits
    }
    told = tuple(f for f in fields if f.name in known.bits)

    def watch(at: Progress) -> None:
        if denoiser.per_token_time:
            what = f"tokens known whole, at row {at.row} of the sampler"
            same(told, encoded.mask, at.state, known.values, 1e-6, what, whole)

    end = run(denoiser, DDPM(4).plan(denoiser.processes), encoded, seed=0, hooks=[watch])
    same(told, encoded.mask, end, known.values, 1e-6, "known entries at the end of a run", known.bits)


def _given(subject: Subject) -> Iterator[tuple[str, Item, Any]]:
    """A posed item of each task that gives something.

    Raises:
        Skipped: none does.
    """
    found = False
    for name, task in subject.fitted.tasks().items():
        for i, item in enumerate(subject.items[:BATCH]):
            posed, known = task.pose(item, generator("pose", name, i))
            if known is not None and _any_known(subject.encode([posed], [known])):
                found = True
                yield name, posed, known
                break
    if not found:
        raise Skipped("no task gives anything")


def _bits_fit(subject: Subject, encoded: Encoded, known: Any, what: str) -> int:
    """Check the known bits of one posed item; the number of them."""
    told = encoded.known
    if told is None:
        require(known is None, f"{what}: encode gives no Known for what pose says is known")
        return 0
    fields = {f.name: f for f in subject.fitted.fields}
    unknown = 0
    for name, bits in told.bits.items():
        require(name in fields, f"{what}: known bits of {name!r}, which is no field; fields are {', '.join(fields)}")
        shape = field_shape(fields[name], *encoded.mask.shape)
        require(
            bits.dtype == torch.bool and tuple(bits.shape) == shape,
            f"{what}: known bits of {name!r} are {bits.dtype} {tuple(bits.shape)}; bool {shape}, one bit for each entry",
        )
        require(name in told.values, f"{what}: known.values lacks {name!r}, which has known bits")
        require(
            tuple(told.values[name].shape) == shape and told.values[name].dtype == encoded.state[name].dtype,
            f"{what}: known values of {name!r} are {tuple(told.values[name].shape)}; {shape} as the field",
        )
        real = field_mask(fields[name], encoded.mask).expand_as(bits)
        unknown += int((real & ~bits).sum())
        require(
            torch.equal(told.values[name][bits & real], encoded.state[name][bits & real]),
            f"{what}: known values of {name!r} are not those of the state: training would learn another thing than is given",
        )
    unknown += sum(name not in told.bits for name in fields)
    require(unknown > 0, f"{what}: everything is known, nothing is left to sample")
    return sum(int(bits.sum()) for bits in told.bits.values())


def _same_known(subject: Subject, before: Encoded, after: Encoded, tolerance: float, what: str) -> None:
    a, b = _known(before), _known(after)
    for name, bits in a.bits.items():
        require(
            name in b.bits and torch.equal(b.bits[name], bits),
            f"{what}: other entries of {name!r} are known after than before",
        )
    fields = tuple(f for f in subject.fitted.fields if f.name in a.bits)
    same(fields, before.mask, a.values, b.values, tolerance, what, a.bits)


def _known(encoded: Encoded) -> Known:
    if encoded.known is None:
        raise Broken("encode gives no Known for a posed item")
    return encoded.known


def _any_known(encoded: Encoded) -> bool:
    return encoded.known is not None and any(bool(bits.any()) for bits in encoded.known.bits.values())
