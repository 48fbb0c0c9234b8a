"""A throw-away modality of three tokens, for the tests of training: two fields, a class, a task, augmentation, pictures."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from lightning.pytorch import Trainer
from ornstein.core.backbones.backbone import Backbone
from ornstein.core.conditioning.spec import ConditionSpec
from ornstein.core.modality import BadItem, Item, Modality
from ornstein.core.objective import Objective
from ornstein.core.processes import Gaussian, Masked
from ornstein.core.samplers import Euler
from ornstein.core.sources import File, Listing, Row
from ornstein.core.sources.store import Memory
from ornstein.core.state import Condition, Encoded, Field, Known, Layout
from ornstein.core.tasks import Task, Unconditional
from ornstein.core.training.data import OrnsteinDataModule
from ornstein.core.training.ema import ConstantEMA
from ornstein.core.training.module import DiffusionModule
from ornstein.core.training.optimizer import AdamW
from torch import nn

TOKENS, CHANNELS, KINDS, CLASSES = 3, 2, 4, 3


@dataclass
class First(Task):
    """The first token is given in half of the items."""

    def pose(self, item, rng):
        return item, rng.random() < 0.5


class Tiny(Modality):
    """Items are {"x": (3, 2), "kind": 3 integers}; a file holds one as JSON."""

    name: ClassVar[str] = "tiny"
    symmetries: ClassVar[tuple[str, ...]] = ()
    extensions: ClassVar[tuple[str, ...]] = (".json",)

    def __init__(self, classes: int = CLASSES) -> None:
        self.classes = classes
        self.scale = torch.ones(CHANNELS)
        self.fits = 0

    @property
    def fields(self):
        return (
            Field("x", "continuous", CHANNELS, Gaussian()),
            Field("kind", "categorical", KINDS, Masked(), weight=0.5),
        )

    @property
    def conditions(self):
        return (ConditionSpec("label", "class", self.classes),)

    @property
    def axes(self):
        return 0

    def fit(self, items):
        self.fits += 1
        self.scale = torch.tensor(np.stack([i.data["x"] for i in items]).std((0, 1)), dtype=torch.float32)

    def state(self):
        return {"scale": self.scale}, {"classes": self.classes}

    def load_state(self, tensors, plain):
        self.scale, self.classes = tensors["scale"], plain["classes"]

    def read(self, file, row):
        try:
            tree = json.loads(file.open().read())
        except ValueError as error:
            raise BadItem(file.location, "not JSON") from error
        data = {"x": np.array(tree["x"]), "kind": np.array(tree["kind"])}
        return Item(data, {"label": row.get("label")}, key=file.name)

    def write(self, samples, path):
        raise NotImplementedError

    def augment(self, item, rng):
        return Item({**item.data, "x": item.data["x"] * rng.choice([-1.0, 1.0])}, item.cond, item.key, item.meta)

    def encode(self, items, known, rng):
        x = torch.tensor(np.stack([i.data["x"] for i in items]), dtype=torch.float32) / self.scale
        kind = torch.tensor(np.stack([i.data["kind"] for i in items]))
        label = torch.tensor([int(i.cond["label"]) for i in items])
        cond = {"label": Condition(label, torch.ones(len(items), dtype=torch.bool))}
        layout = Layout.of_sizes(torch.full((len(items),), TOKENS))
        given = None
        if known is not None:
            first = torch.zeros(len(items), TOKENS, dtype=torch.bool)
            first[:, 0] = torch.tensor([bool(k) for k in known])
            bits = {"x": first[..., None].expand_as(x).clone(), "kind": first}
            given = Known(bits, {"x": x, "kind": kind})
        return Encoded({"x": x, "kind": kind}, layout, cond, given)

    def blank(self, n, cond, rng, size=None):
        state = {"x": torch.zeros(n, TOKENS, CHANNELS), "kind": torch.zeros(n, TOKENS, dtype=torch.long)}
        return Encoded(state, Layout.of_sizes(torch.full((n,), TOKENS)), cond)

    def decode(self, state, mask, aux):
        return [
            {"x": x.numpy(), "kind": k.numpy()} for x, k in zip(state["x"] * self.scale, state["kind"], strict=True)
        ]

    def tasks(self):
        return {"unconditional": Unconditional(), "first": First()}

    def metrics(self, task):
        return ()

    def datasets(self):
        return {"tiny": listing(40)}

    def render(self, samples):
        return (np.stack([s["x"] for s in samples]).reshape(len(samples), -1) * 30 + 128).clip(0, 255).astype(np.uint8)


def listing(n, broken=0):
    """n files of one item each, of which the last `broken` are no JSON."""
    rng = np.random.default_rng(0)
    files, rows = {}, []
    for i in range(n):
        label = i % CLASSES
        x = rng.normal(size=(TOKENS, CHANNELS)) * 3 + label
        files[f"{i:03d}.json"] = json.dumps({"x": x.tolist(), "kind": [label, (label + 1) % KINDS, i % KINDS]}).encode()
    for i in range(n - broken, n):
        files[f"{i:03d}.json"] = b"{"
    store = Memory("tiny", files)
    rows = [Row(File(name, store), {"label": i % CLASSES}) for i, name in enumerate(files)]
    return Listing(tuple(rows))


class Net(Backbone):
    """An MLP over all tokens at once; every input moves the output."""

    per_token_time: ClassVar[bool] = False

    def __init__(self, fields, conditions=(), axes=0, width=16, dropout=0.0) -> None:
        super().__init__()
        self.fields, self.conditions, self.axes = tuple(fields), tuple(conditions), axes
        self.width, self.dropout = width, dropout
        size = CHANNELS + KINDS + 1
        self.embed = nn.Embedding(self.conditions[0].size + 1, width)
        self.into = nn.Linear(TOKENS * size + TOKENS + 1, width)
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, TOKENS * (CHANNELS + KINDS))
        self.drop = nn.Dropout(dropout)

    def forward(self, inputs, c_noise, layout, cond, known=None, previous=None):
        x, kind = inputs["x"], nn.functional.one_hot(inputs["kind"], KINDS + 1).to(inputs["x"].dtype)
        bits = torch.zeros_like(x[..., 0]) if known is None else known.bits["kind"].to(x.dtype)
        h = torch.cat([x.flatten(1), kind.flatten(1), bits, c_noise[:, None]], 1)
        label = cond["label"]
        none = torch.full_like(label.value, self.conditions[0].size)
        h = self.into(h) + self.embed(torch.where(label.present, label.value, none))
        out = self.out(self.drop(torch.nn.functional.silu(self.norm(h)))).view(-1, TOKENS, CHANNELS + KINDS)
        return {"x": out[..., :CHANNELS], "kind": out[..., CHANNELS:]}


def net(fields, conditions, axes):
    return Net(fields, conditions, axes, dropout=0.1)


def plain_net(fields, conditions, axes):
    return Net(fields, conditions, axes)


def parts(data=None, **options):
    """A module and a data module that share one modality."""
    modality = Tiny()
    data = {"batch_size": 6, "tasks": {"unconditional": 1, "first": 1}, **(data or {})}
    options = {
        "backbone": net,
        "objective": Objective(),
        "sampler": Euler(3),
        "optimizer": AdamW(lr=1e-2, warmup=4),
        "ema": ConstantEMA(0.9),
        **options,
    }
    return DiffusionModule(modality, **options), OrnsteinDataModule(modality, **data)


def trainer(folder: Path | None = None, steps=12, **options):
    """A quiet trainer on the CPU; with a folder, all that a run folder holds."""
    from ornstein.core.training.equipment import equipment

    base = {"accelerator": "cpu", "devices": 1, "max_steps": steps, "log_every_n_steps": 1, "limit_val_batches": 0}
    if folder is None:
        base |= {"logger": False, "enable_checkpointing": False, "enable_model_summary": False}
        base |= {"enable_progress_bar": False, "use_distributed_sampler": False}
    else:
        base |= equipment(folder, **options.pop("run", {"every": 1000, "pictures": 0}))
    return Trainer(**base | options)
