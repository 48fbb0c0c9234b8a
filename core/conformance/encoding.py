"""Rules about model space: items to tokens and back, new samples, files of samples."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..conditioning.values import conditions
from ..modality import Modality, Sample
from ..processes import Gaussian
from ..sources import Row, file_at
from ..state import Condition, Conditions, Encoded, State
from .rule import Broken, Skipped, doing, require, told
from .states import noise_state, padded_mask, same, well_formed, well_valued
from .subject import BATCH, Subject, generator, need


def encode_gives_a_batch(subject: Subject) -> None:
    """State, mask, layout, conditions and aux have the declared keys, shapes and types; padding stands at the end."""
    need(subject.items, 4, "items")
    with doing("encode() of items"):
        encoded = subject.encoded
    well_formed(subject.fitted, encoded, min(BATCH, len(subject.items)), "encode")


def encode_keeps_to_its_ranges(subject: Subject) -> None:
    """Values are finite, classes in range, padding is zero, pairs are symmetric, each field is in its space."""
    well_valued(subject.fitted, subject.encoded, "encode")
    well_valued(subject.fitted, subject.encode(subject.items), "encode")


def model_space_has_unit_scale(subject: Subject) -> None:
    """The standard deviation of a continuous field over real entries is 0.2 to 5 times its process's sigma_data."""
    encoded = subject.encode(subject.items)
    for f in subject.fitted.fields:
        if f.kind == "continuous":
            x = encoded.state[f.name]
            std = float(x[padded_mask(f, encoded.mask).expand_as(x)].double().std())
            said = f.process.sigma_data if isinstance(f.process, Gaussian) else 1.0
            require(
                0.2 * said <= std <= 5 * said,
                f"field {f.name!r} has standard deviation {std:.3g} in model space, its process says sigma_data = {said:g}: "
                "scale it in encode (by what fit learnt) and scale it back in decode",
            )


def encode_looks_at_one_item_at_a_time(subject: Subject) -> None:
    """An item is encoded the same alone and in a batch, and the same twice."""
    modality, items = subject.fitted, subject.items[:BATCH]
    again = subject.encode(items)
    same(modality.fields, again.mask, again.state, subject.encoded.state, 0, "encode, twice with the same generator")
    for i, item in enumerate(items):
        with doing(f"encode of {item.key} alone and before others"):
            alone, first = subject.encode([item]), subject.encode([item, *items[:i], *items[i + 1 :]]).rows(0, 1)
        what = f"encode of {item.key} alone and in a batch with others"
        require(int(alone.mask.sum()) == int(first.mask.sum()), f"{what}: another number of tokens")
        same(modality.fields, alone.mask, alone.state, first.state, 1e-5, what)
        for name, c in alone.cond.items():
            require(
                bool(first.cond[name].present == c.present),
                f"{what}: condition {name!r} is there in one and not the other",
            )


def conditions_mean_what_people_type(subject: Subject) -> None:
    """The raw values of an item, typed by a person, give the condition that `encode` gives."""
    modality, encoded = subject.fitted, subject.encoded
    if not modality.conditions:
        raise Skipped("the modality declares no conditions")
    told_items = 0
    for i, item in enumerate(subject.items[: encoded.batch]):
        for spec in modality.conditions:
            raw = item.cond.get(spec.name)
            present = spec.name in encoded.cond and bool(encoded.cond[spec.name].present[i])
            require(
                present == (raw is not None),
                f"{item.key}: condition {spec.name!r} is {raw!r} in the item and "
                f"{'present' if present else 'absent'} after encode",
            )
            if raw is None or spec.kind in ("tokens", "dense"):
                continue
            told_items += 1
            typed = str(raw) if str(raw) in spec.names else raw
            with doing(f"typing {spec.name}={typed!r}, as {item.key} has it"):
                value = _numbers(conditions([spec], {spec.name: typed}, 1)[spec.name], 0)
            found = _numbers(encoded.cond[spec.name], i)
            require(
                value.shape == found.shape and bool(torch.allclose(value, found, atol=1e-5)),
                f"{item.key}: {spec.name}={raw!r} is {found.tolist()} after encode; typed by a person it is {value.tolist()}",
            )
    require(
        bool(told_items) or all(s.kind in ("tokens", "dense") for s in modality.conditions),
        f"no item of the default data set has a value of {', '.join(s.name for s in modality.conditions)}",
    )


def wrong_conditions_are_refused(subject: Subject) -> None:
    """An unknown class is a ValueError or LookupError with words; a missing value is a missing value."""
    modality, item = subject.fitted, subject.items[0]
    if not modality.conditions:
        raise Skipped("the modality declares no conditions")
    with doing("encode of an item without conditions"):
        bare = subject.encode([replace(item, cond={})])
    for spec in modality.conditions:
        absent = spec.name not in bare.cond or not bool(bare.cond[spec.name].present.any())
        require(absent, f"an item without {spec.name!r} is encoded as if it had one; set present to False")
        if spec.kind != "class":
            continue
        try:
            subject.encode([replace(item, cond={**item.cond, spec.name: "no such class"})])
        except (ValueError, LookupError) as error:
            require(
                not isinstance(error, (KeyError, IndexError)) and "no such class" in str(error),
                f"encode of {spec.name}='no such class' raised {told(error)}; say which class was found and which exist",
            )
        except Exception as error:
            raise Broken(f"encode of {spec.name}='no such class' raised {told(error)}; raise ValueError") from error
        else:
            raise Broken(f"encode took {spec.name}='no such class' in silence; raise ValueError and name the classes")


def decode_undoes_encode(subject: Subject) -> None:
    """decode(encode(items)) holds the items' data: encoded again it is the same state."""
    modality, encoded, items = subject.fitted, subject.encoded, subject.items[:BATCH]
    with doing("decode of encoded items"):
        samples = modality.decode(encoded.state, encoded.mask, encoded.aux)
    _one_each(samples, encoded.batch, "decode")
    with doing("encode of decoded items"):
        again = subject.encode([subject.item_of(item, s) for item, s in zip(items, samples, strict=True)])
    what = "encode(decode(encode(items))) and encode(items)"
    require(torch.equal(again.mask, encoded.mask), f"{what}: another number of tokens")
    same(modality.fields, encoded.mask, again.state, encoded.state, subject.tolerance, what)


def decode_takes_any_state(subject: Subject) -> None:
    """Noise in model space decodes to samples that encode again, are written and are judged."""
    modality, blank = subject.fitted, _blank(subject, 4)
    with doing("decode of noise"):
        samples = modality.decode(noise_state(modality.fields, blank.mask, 0), blank.mask, blank.aux)
    _one_each(samples, 4, "decode of noise")
    with tempfile.TemporaryDirectory() as folder, doing("write of decoded noise"):
        modality.write(samples, Path(folder))
    with doing("encode of decoded noise"):
        encoded = subject.encode([subject.item_of(subject.items[0], sample) for sample in samples])
    well_valued(modality, encoded, "encode of decoded noise")


def blank_makes_room(subject: Subject) -> None:
    """`blank` gives n empty samples; sizes come from the generator and the first ones do not depend on n."""
    modality = subject.fitted
    cond = _asked(subject, 9)
    with doing("blank(n=9)"):
        nine = modality.blank(9, cond, generator("blank"))
    well_formed(modality, nine, 9, "blank")
    for name, x in nine.state.items():
        require(not x.any(), f"blank: field {name!r} is not zero; the prior is drawn by the executor")
    missing = [
        name for name in cond if name not in nine.cond or not torch.equal(nine.cond[name].value, cond[name].value)
    ]
    require(not missing, f"blank loses the conditions that were asked for: {missing}")
    for n in (1, 4):
        few = modality.blank(n, {name: c.rows(0, n) for name, c in cond.items()}, generator("blank"))
        first, all_ = few.mask.sum(1).tolist(), nine.mask.sum(1)[:n].tolist()
        require(
            first == all_,
            f"blank({n}) draws the sizes {first}, the first of blank(9) are {all_}: draw sample by sample, from `rng` alone, "
            "so that sample k does not depend on how many are drawn",
        )
    seen = _shape_of(subject.encoded)
    found = _shape_of(nine)
    require(found == seen, f"blank makes {found}, encode {seen}")
    with doing("decode of blank samples"):
        _one_each(modality.decode(nine.state, nine.mask, nine.aux), 9, "decode of blank samples")


def written_files_can_be_read(subject: Subject) -> str | None:
    """`write` writes files; those with an ending that `read` takes hold an item for each sample, and come back the same.

    Where `exact_files` is False only their number of tokens is compared.
    """
    modality, encoded = subject.fitted, subject.encoded
    samples = modality.decode(encoded.state, encoded.mask, encoded.aux)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "new" / "folder"
        with doing("write of decoded items into a folder that does not exist yet"):
            paths = modality.write(samples, folder)
        missing = [p for p in paths if not Path(p).is_file()]
        require(not missing, f"write returns paths that are no files: {missing[:3]}")
        outside = [p for p in paths if folder not in Path(p).parents]
        require(not outside, f"write writes outside the folder that it was given: {outside[:3]}")
        ours = [Path(p) for p in paths if str(p).lower().endswith(modality.extensions)] if modality.extensions else []
        if not ours:
            endings = ", ".join(sorted({Path(p).suffix for p in paths}))
            require(bool(paths), "write returns no paths")
            return f"it writes {endings}, which it does not read: not compared"
        with doing("read of written files"):
            rows = modality.rows([Row(file_at(path)) for path in ours], (0.8, 0.1, 0.1))
            require(len(rows) >= len(samples), f"write returns files of {len(rows)} items for {len(samples)} samples")
            items = [modality.read(row.file, row.values) for row in rows[: len(samples)]]
        with doing("encode of what was written and read"):  # while the files are there: items may read them late
            again = subject.encode(items)
    what = "what was written and read, and the samples"
    require(torch.equal(again.mask, encoded.mask), f"{what}: another number of tokens")
    if not modality.exact_files:
        return "its files are lossy, as `exact_files` says: values are not compared"
    same(modality.fields, encoded.mask, again.state, encoded.state, subject.tolerance, what)
    return None


def render_draws(subject: Subject) -> None:
    """`render` gives a matplotlib Figure or an (H, W[, 3]) uint8 array."""
    modality, encoded = subject.fitted, subject.encoded
    samples = modality.decode(encoded.state, encoded.mask, encoded.aux)
    if type(modality).render is Modality.render:
        raise Skipped("the modality has no render()")
    for n in (1, len(samples)):
        with doing(f"render of {n} samples"):
            picture = modality.render(samples[:n])
        array = isinstance(picture, np.ndarray)
        good = picture.dtype == np.uint8 and picture.ndim in (2, 3) if array else hasattr(picture, "savefig")
        kind = f"{picture.dtype} {picture.shape}" if array else type(picture).__name__
        require(good, f"render gives {kind}; a matplotlib Figure or a uint8 array (H, W[, 3]) is needed")


def _one_each(samples: list[Sample], n: int, what: str) -> None:
    require(len(samples) == n, f"{what} gives {len(samples)} samples for {n}")
    require(all(s is not None for s in samples), f"{what} gives None; every state decodes to a sample")


def _numbers(c: Condition, i: int) -> Tensor:
    """What is real of sample i's value of a condition, flat, float64."""
    value = c.value[i] if c.mask is None else c.value[i][c.mask[i]]
    return value.double().reshape(-1)


def _blank(subject: Subject, n: int) -> Encoded:
    with doing(f"blank(n={n})"):
        return subject.fitted.blank(n, {}, generator("blank"))


def _asked(subject: Subject, n: int) -> Conditions:
    """The conditions of n items, as `encode` gives them."""
    items = [subject.items[i % len(subject.items)] for i in range(n)]
    return subject.encode(items).cond


def _shape_of(encoded: Encoded) -> dict[str, Any]:
    """What of a batch does not depend on the number of samples and tokens."""
    state: State = encoded.state
    shapes = {name: (x.dtype, x.ndim, x.shape[-1] if x.is_floating_point() else 0) for name, x in state.items()}
    positions = encoded.layout.positions
    return {
        "state": shapes,
        "axes": 0 if positions is None else positions.shape[-1],
        "periodic": encoded.layout.periodic,
    }
