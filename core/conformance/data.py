"""Rules about files, items and what a modality learns of them."""

from __future__ import annotations

import inspect
import json
import math
import pickle
import re
from typing import Any

import numpy as np
import torch

from .. import checkpoint
from ..conditioning.spec import ConditionSpec
from ..evaluation.spec import Context, Judged, MetricSpec
from ..modality import BadItem, Item, Modality
from ..registry import suggest
from ..sources import File, Memory
from ..state import Field
from ..tasks import Task
from .rule import Broken, Skipped, doing, require, told
from .states import same, well_formed, well_valued
from .subject import BATCH, Subject, generator, need, no_network, snapshot

SYMMETRIES = ("permutation", "translation", "rotation", "reflection")


def declarations_are_explicit(subject: Subject) -> None:
    """Name, symmetries and extensions are written on the class."""
    cls = type(subject.modality)
    for name in ("name", "symmetries"):
        require(
            inspect.getattr_static(cls, name, None) is not None,
            f"{cls.__name__} has no `{name}`: write it on the class"
            + (", even if it is empty: symmetries = ()" if name == "symmetries" else ""),
        )
    name, symmetries, extensions = cls.name, cls.symmetries, cls.extensions
    require(
        isinstance(name, str) and re.fullmatch(r"[a-z][a-z0-9_]*", name) is not None,
        f"name is {name!r}; lower-case letters, digits and _ are needed, since people type it",
    )
    require(isinstance(symmetries, tuple), f"symmetries is {symmetries!r}; a tuple is needed, () for none")
    for word in symmetries:
        require(word in SYMMETRIES, f"symmetry {word!r} does not exist; {suggest(str(word), SYMMETRIES)}")
    require(
        isinstance(extensions, tuple) and all(e.startswith(".") and e == e.lower() for e in extensions),
        f"extensions is {extensions!r}; a tuple of lower-case endings with their dot is needed, as ('.png', '.jpg')",
    )


def constructor_only_stores(subject: Subject) -> None:
    """The object can be rebuilt from its constructor arguments, as checkpoints do; `later` names some of them."""
    with doing("describing the modality for a checkpoint"):
        tree = checkpoint.describe(subject.modality)
        again = checkpoint.describe(checkpoint.build(json.loads(json.dumps(tree))))
    require(
        again == tree,
        f"rebuilt from its arguments the modality describes itself as {again['args']}, before as {tree['args']}: "
        "keep each constructor argument, unchanged, as the attribute of the same name",
    )
    for name in type(subject.modality).later:
        require(name in tree["args"], f"later names {name!r}, which is no argument; {suggest(name, tree['args'])}")


def a_dataset_needs_no_download(subject: Subject) -> None:
    """`datasets` has one that opens without a network, with rows that stay the same."""
    with doing("opening the data sets of datasets()"):
        rows = subject.rows
    names = [row.file.name for row in subject.source.rows()]
    require(len(set(names)) == len(names), "two rows of the data set have the same file name")
    need(rows, 4, "rows in the default data set")
    first = next(iter(subject.modality.datasets().values()))
    with doing("fingerprinting the default data set"), no_network():
        require(
            first.fingerprint() == first.fingerprint(), "the data set has another fingerprint each time it is asked"
        )


def files_are_read(subject: Subject) -> None:
    """Every row becomes an `Item` with a key of its own."""
    with doing("read() of the rows of the data set"):
        items = subject.items
    for row, item in zip(subject.rows, items, strict=True):
        require(isinstance(item, Item), f"read({row.file.location}) gives {type(item).__name__}; an Item is needed")
        require(item.data is not None, f"read({row.file.location}) gives an Item without data")
    keys = [item.key for item in items]
    require(
        all(keys) and len(set(keys)) == len(keys), f"keys of items are unique and not empty; found {sorted(keys)[:4]}"
    )


def bad_files_raise_bad_item(subject: Subject) -> None:
    """Files of zero bytes and of random bytes raise `BadItem` that names them; a file cut short raises nothing else."""
    if not subject.modality.extensions:
        raise Skipped("the modality declares no extensions")
    row = subject.rows[0]
    whole = row.file.read()
    for extension in subject.modality.extensions:
        store = Memory(
            "conformance",
            {
                f"empty{extension}": b"",
                f"random{extension}": generator("bytes").bytes(512),
                f"cut{extension}": whole[: len(whole) // 2],
            },
        )
        for name in store.files:
            try:
                subject.modality.read(File(name, store), row.values)
            except BadItem as error:
                require(
                    name in str(error), f"the BadItem of {name} does not name the file: {error}; pass file.location"
                )
            except Exception as error:
                raise Broken(
                    f"read() of a bad file, {name}, raised {told(error)}; raise BadItem(file.location, why), which is "
                    "counted and named while the run goes on"
                ) from error
            else:
                require(
                    name.startswith("cut"),
                    f"read() took {name}, which holds {'nothing' if name.startswith('empty') else 'random bytes'}, "
                    "for an item; raise BadItem(file.location, why)",
                )


def fit_makes_fields_valid(subject: Subject) -> None:
    """After `fit` there are fields, conditions and axes; a second `fit` changes nothing."""
    with doing("fit() on the items"):
        modality = subject.fitted
    with doing("fields, conditions and axes after fit()"):
        fields, conditions, axes = declared(modality)
    require(
        bool(fields) and all(isinstance(f, Field) for f in fields), f"fields is {fields!r}; a tuple of Field is needed"
    )
    require(
        all(isinstance(c, ConditionSpec) for c in conditions),
        f"conditions is {conditions!r}; ConditionSpecs are needed",
    )
    for what, names in (("fields", [f.name for f in fields]), ("conditions", [c.name for c in conditions])):
        require(len(set(names)) == len(names), f"two {what} have the same name: {names}")
    require(isinstance(axes, int) and axes >= 0, f"axes is {axes!r}; a number of position axes is needed, 0 for a set")
    before = snapshot(modality.state())
    with doing("a second fit() on the same items"):
        modality.fit(subject.items)
    require(
        declared(modality) == (fields, conditions, axes) and snapshot(modality.state()) == before,
        "a second fit() on the same items changes what was learnt: fit must start afresh, and without chance",
    )


def state_travels(subject: Subject) -> None:
    """`state` is tensors and plain JSON from which a new object encodes and draws sizes as the fitted one does."""
    modality = subject.fitted
    tensors, plain = modality.state()
    require(
        all(isinstance(x, torch.Tensor) for x in tensors.values()),
        f"state()[0] holds {list(tensors)}; tensors are needed",
    )
    try:
        sent = json.loads(json.dumps(plain))
    except (TypeError, ValueError) as error:
        raise Broken(f"state()[1] is no plain JSON ({error}): lists, dicts, numbers, strings, None") from error
    with doing("load_state() of a new object from state()"):
        other = checkpoint.build(checkpoint.describe(modality))
        other.load_state({name: x.clone() for name, x in tensors.items()}, sent)
    with doing("using a modality that has its state from load_state() alone"):
        require(
            declared(other) == declared(modality),
            f"after load_state() fields, conditions or axes differ: {declared(other)} against {declared(modality)}",
        )
        encoded = other.encode(subject.items[:BATCH], None, generator("encode"))
        blank, drawn = (m.blank(8, {}, generator("blank")) for m in (other, modality))
    same(modality.fields, encoded.mask, encoded.state, subject.encoded.state, 0, "encode after load_state() and before")
    require(
        torch.equal(blank.mask, drawn.mask),
        "blank() draws other sizes after load_state(): what it draws from must be in state()",
    )


def workers_can_have_it(subject: Subject) -> None:
    """Modality, rows and items can be pickled, and encode as before."""
    with doing("pickling the modality, rows and items, as workers do"):
        modality, _, items = pickle.loads(pickle.dumps((subject.fitted, subject.rows, subject.items[:BATCH])))
        encoded = modality.encode(items, None, generator("encode"))
    same(modality.fields, encoded.mask, encoded.state, subject.encoded.state, 0, "encode after pickling and before")


def items_are_left_alone(subject: Subject) -> None:
    """`fit`, `augment`, `pose` and `encode` do not change the items they are given: items are kept and used again."""
    modality, items = subject.fitted, subject.items[:BATCH]
    steps: dict[str, Any] = {
        "fit": lambda: modality.fit(subject.items),
        "encode": lambda: subject.encode(items),
        "augment": lambda: [modality.augment(item, generator("augment", i)) for i, item in enumerate(items)],
    }
    steps |= {
        f"pose of task {name!r}": lambda task=task: [
            task.pose(item, generator("pose", i)) for i, item in enumerate(items)
        ]
        for name, task in modality.tasks().items()
    }
    for name, step in steps.items():
        before = snapshot(items)
        with doing(name):
            step()
        require(snapshot(items) == before, f"{name} changes the items that it was given; work on a copy")


def augment_keeps_items_valid(subject: Subject) -> None:
    """`augment` is a function of the item and the generator, and gives items that encode."""
    modality = subject.fitted
    for i, item in enumerate(subject.items[:BATCH]):
        with doing(f"augment of {item.key}"):
            first, second = (modality.augment(item, generator("augment", i)) for _ in range(2))
            encoded, again = subject.encode([first]), subject.encode([second])
        well_formed(modality, encoded, 1, "encode of an augmented item")
        well_valued(modality, encoded, "encode of an augmented item")
        what = "augment, twice with the same generator (take random numbers from `rng` alone)"
        same(modality.fields, encoded.mask, encoded.state, again.state, 0, what)


def cost_is_a_number_of_tokens(subject: Subject) -> None:
    """`cost` is a whole number of at least 1 that grows with the tokens of an item."""
    modality, items = subject.fitted, subject.items[:BATCH]
    costs = [modality.cost(item) for item in items]
    require(
        all(isinstance(c, (int, np.integer)) and c >= 1 for c in costs),
        f"cost() gives {costs}; whole numbers, at least 1",
    )
    tokens = subject.encoded.mask.sum(1).tolist()
    for a in range(len(items)):
        for b in range(len(items)):
            require(
                tokens[a] <= tokens[b] or costs[a] >= costs[b],
                f"{items[a].key} has {tokens[a]} tokens and cost {costs[a]}, {items[b].key} has {tokens[b]} and {costs[b]}",
            )


def metrics_judge(subject: Subject) -> None:
    """Every task has metrics; those on samples alone give a number for items judged against themselves."""
    modality = subject.fitted
    with doing("decoding items to be judged"):
        samples = modality.decode(subject.encoded.state, subject.encoded.mask, subject.encoded.aux)
    judged = Judged(samples, [{} for _ in samples], [str(i) for i in range(len(samples))])
    for task in modality.tasks():
        with doing(f"metrics({task!r})"):
            specs = list(modality.metrics(task))
        require(
            all(isinstance(s, MetricSpec) for s in specs), f"metrics({task!r}) gives {specs}; MetricSpecs are needed"
        )
        names = [spec.name for spec in specs]
        require(len(set(names)) == len(names), f"two metrics of task {task!r} have the same name: {names}")
        for spec in specs:
            require(
                spec.better in ("lower", "higher"), f"metric {spec.name!r}: better is {spec.better!r}; lower or higher"
            )
            if spec.extractor is None and spec.needs_cond is None and not spec.needs_given:
                with doing(f"metric {spec.name!r} of {len(samples)} decoded items against themselves"):
                    value = float(spec.compute(judged, judged, Context(judged, None, 0)))
                require(math.isfinite(value), f"metric {spec.name!r} of items against themselves is {value}")


def floor_is_a_baseline(subject: Subject) -> None:
    """`floor`, where there is one, gives a sample for each condition, and the same ones from the same generator."""
    modality, items = subject.fitted, subject.items
    cond = [item.cond for item in items[:BATCH]]
    with doing("floor()"):
        first, second = (modality.floor(items, cond, generator("floor")) for _ in range(2))
    if first is None or second is None:
        raise Skipped("the modality has no floor()")
    require(len(first) == len(cond), f"floor() gives {len(first)} samples for {len(cond)} conditions")
    require(
        snapshot(first) == snapshot(second),
        "floor() gives other samples each time: take random numbers from `rng` alone",
    )
    with doing("encoding the samples of floor()"):
        encoded = subject.encode([subject.item_of(i, s) for i, s in zip(items, first, strict=False)])
    well_valued(modality, encoded, "encode of the samples of floor()")


def tasks_are_tasks(subject: Subject) -> None:
    """`tasks` has `unconditional`, and holds tasks."""
    tasks = subject.fitted.tasks()
    require("unconditional" in tasks, f"tasks() has {', '.join(tasks) or 'nothing'}: `unconditional` is needed")
    for name, task in tasks.items():
        require(isinstance(task, Task), f"task {name!r} is a {type(task).__name__}; a Task is needed")


def declared(modality: Modality) -> tuple[Any, ...]:
    """All that a backbone is built from."""
    return tuple(modality.fields), tuple(modality.conditions), modality.axes
