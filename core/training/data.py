"""The data of a run: files to items once, then endless encoded batches that depend on nothing but the seed."""

from __future__ import annotations

import difflib
import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from torch.utils.data import DataLoader

from ..modality import BadItem, Item, Modality
from ..rng import key
from ..sources import Row, Source, open_source, read_all, split
from ..tasks import Task
from .batches import Batch, Encoder, HeldOut, Stream, encodable
from .buckets import Bucketed, members
from .saving import learnt

PARTS = {"fit": ("train", "validation"), "validate": ("train", "validation"), "test": ("train", "test")}


class OrnsteinDataModule(LightningDataModule):
    """Items of one source, split into train, validation and test, served as encoded batches.

    The order of batches is endless and counted: batch g is a pure function of (seed, g), the same for any number of workers,
    and W processes of `batch_size` equal one of W times that. Decoded items are kept in memory. The modality is fitted on the
    training items, by the first process, unless `resume` has given it what a checkpoint holds. Held-out items that it cannot
    encode, such as those of a class that training never sees, are left out, with a warning.

    Args:
        modality: the kind of data, the same object as the module's.
        name: one of the modality's own data sets; None: its first, unless `root` is given.
        root: folder, zip, tar, manifest or file of the user's own data.
        labels: of `root`: auto, folder, none, or the path of a manifest.
        label_column: the manifest's column that holds the label; None: `label`, else `class`.
        batch_size: samples of each step in each process.
        workers: processes that encode; 0: the training process itself.
        timeout: seconds that a worker may take for a batch; then training ends with an error, and can be resumed. 0: for ever.
        split: shares of train, validation and test, where the data has no official split.
        group_by: column of rows that stay in one part (a person, a scene).
        tasks: shares of the modality's tasks, by name; None: unconditional alone.
        max_bad_share: largest share of unreadable files, among those of all parts, that does not stop the run.
        limit: at most so many items of each part, chosen by the seed, for quick tries; None: all.
        seed: of the split, the order, augmentation and poses.

    Raises:
        ValueError, LookupError: an option out of range, a task or a data set that does not exist.
    """

    def __init__(
        self,
        modality: Modality,
        name: str | None = None,
        root: str | None = None,
        labels: str = "auto",
        label_column: str | None = None,
        batch_size: int = 64,
        workers: int = 0,
        timeout: float = 600.0,
        split: tuple[float, float, float] = (0.8, 0.1, 0.1),
        group_by: str | None = None,
        tasks: dict[str, float] | None = None,
        max_bad_share: float = 0.01,
        limit: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if batch_size < 1 or workers < 0 or (limit is not None and limit < 1):
            raise ValueError(
                f"data: batch_size={batch_size} and limit={limit} are at least 1, workers={workers} at least 0"
            )
        if not 0 <= timeout < math.inf:
            raise ValueError(f"data.timeout={timeout}: a number of seconds, 0 for ever")
        if name is not None and root is not None:
            raise ValueError(
                f"data: name={name} is one of the modality's data sets, root={root} is your own: give one of them"
            )
        self.modality = modality
        self.name = name
        self.root = root
        self.labels = labels
        self.label_column = label_column
        self.batch_size = batch_size
        self.workers = workers
        self.timeout = timeout
        self.split = split
        self.group_by = group_by
        self.tasks = tasks
        self.max_bad_share = max_bad_share
        self.limit = limit
        self.seed = seed
        self.parts: dict[str, list[Item]] = {}
        self.bad: list[BadItem] = []
        self._chosen = choose_tasks(modality, tasks)
        self._rows: dict[str, list[Row]] = {}
        self._fitted = False

    def source(self) -> Source:
        """Where the rows come from."""
        if self.root is not None:
            return open_source(self.root, self.modality.extensions, self.labels, self.label_column)
        sets = self.modality.datasets()
        name = next(iter(sets)) if self.name is None else self.name
        if name not in sets:
            raise LookupError(_nearest("data set", name, sets))
        return sets[name]

    def resume(self, checkpoint: str | Path) -> None:
        """Give the modality what it learnt in the run of a checkpoint, before `Trainer.fit(..., ckpt_path=checkpoint)`.

        Without it `setup` fits anew, and Lightning, which loads the checkpoint later, puts the older state in its place.

        Raises:
            FileNotFoundError, ValueError: no checkpoint, or one of another modality.
        """
        own = learnt(checkpoint, self.modality)
        self.modality.load_state({name: x.clone() for name, x in own["tensors"].items()}, own["plain"])
        self._fitted = True

    def setup(self, stage: str | None = None) -> None:
        """Read the parts of a stage, fit the modality where nobody has, and count the run in steps."""
        for part in PARTS.get(stage or "fit", ("train", "validation", "test")):
            self.read(part)
        if not self._fitted:
            self._fit()
        rank_zero_info(f"data: {', '.join(f'{len(items):,} {part}' for part, items in self.parts.items())} items")
        if self.trainer is not None and stage == "fit":
            count_in_steps(self.trainer, len(self.parts["train"]), self.batch_size)

    def read(self, part: str) -> list[Item]:
        """The decoded items of `train`, `validation` or `test`, read once."""
        if not self._rows:
            found = self.modality.rows(self.source().rows(), self.split)
            rows = split(found, self.seed, self.split, self.group_by)
            self._rows = {name: self._limited(of_part) for name, of_part in rows.items()}
        if part not in self.parts:
            self.parts[part] = self._read(part, self._rows[part])
        return self.parts[part]

    def train_dataloader(self) -> DataLoader:
        """The endless stream of training batches, from where the run stands."""
        rank, world = self._place()
        items = self.parts["train"]
        costs = [self.modality.cost(item) for item in items]
        buckets = [self.modality.bucket(item) for item in items]
        stream: Stream | Bucketed
        if len(set(buckets)) > 1:
            stream = Bucketed(buckets, self.batch_size, self.seed, rank, world, self._position, costs)
        else:
            stream = Stream(len(items), self.batch_size, self.seed, rank, world, self._position, costs)
        encoder = Encoder(self.modality, items, self._chosen, self.seed, world * self.batch_size, augment=True)
        return self._loader(encoder, stream)

    def val_dataloader(self) -> DataLoader | list:
        """The validation part, in a fixed order with fixed poses."""
        return self._held_out("validation")

    def test_dataloader(self) -> DataLoader | list:
        """The test part, in a fixed order with fixed poses."""
        return self._held_out("test")

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Move a batch."""
        return batch.to(device)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must share to go on as if nothing had happened."""
        names = hashlib.sha256("\n".join(item.key for item in self.parts["train"]).encode()).hexdigest()[:16]
        _, world = self._place()
        return {"items": len(self.parts["train"]), "names": names, "seed": self.seed, "batch": world * self.batch_size}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Compare with the data of the checkpoint, and say aloud what differs."""
        here = self.state_dict()
        differ = [
            f"{name} {state_dict[name]} then, {here[name]} now" for name in here if state_dict.get(name) != here[name]
        ]
        if differ and self.trainer is not None and self.trainer.training:
            rank_zero_warn(f"the run goes on with other data than it began with: {'; '.join(differ)}")

    def _read(self, part: str, rows: Sequence[Row]) -> list[Item]:
        first = self.trainer is None or self.trainer.is_global_zero
        total = sum(map(len, self._rows.values()))
        items, bad = read_all(self.modality, rows, self.max_bad_share, first, self.bad, total)
        self.bad += bad
        named = "; ".join(str(error) for error in bad[:3])
        if part == "train" and not items:
            found = f"none of the {len(rows):,} training files can be read: {named}" if bad else "no training items"
            raise ValueError(f"data: {found}; root={self.root}, name={self.name}")
        if bad:
            rank_zero_warn(f"{len(bad)} of {len(rows)} {part} files cannot be read and are left out: {named}")
        return items

    def _fit(self) -> None:
        """Fit the modality in the first process and share what it learnt."""
        first = self.trainer is None or self.trainer.is_global_zero
        if first:
            self.modality.fit(self.parts["train"])
        if self.trainer is not None and self.trainer.world_size > 1:
            state = self.trainer.strategy.broadcast(self.modality.state() if first else ({}, {}))
            if not first:
                self.modality.load_state(*state)
        self._fitted = True

    def _held_out(self, part: str) -> DataLoader | list:
        # Here, and not in `setup`, the modality is the one that training uses: Lightning has loaded the checkpoint by now.
        items, foreign = encodable(self.modality, self.parts[part], self.parts["train"])
        if foreign:
            rank_zero_warn(
                f"{len(foreign)} of {len(self.parts[part])} {part} items do not fit what was learnt from the training items "
                f"and are left out: {'; '.join(foreign[:3])}. To keep them, bring their like into the training part: "
                "more files, another data.split, data.seed or data.group_by"
            )
        self.parts[part] = items
        if not items:
            return []
        rank, world = self._place()
        buckets = members([self.modality.bucket(item) for item in items])
        orders = HeldOut(len(items), self.batch_size, self.seed, rank, world, buckets)
        return self._loader(Encoder(self.modality, items, self._chosen, self.seed, len(items), augment=False), orders)

    def _loader(self, encoder: Encoder, orders: Stream | Bucketed | HeldOut) -> DataLoader:
        return DataLoader(
            encoder,
            sampler=orders,
            batch_size=None,
            num_workers=self.workers,
            timeout=self.timeout if self.workers else 0,
            persistent_workers=self.workers > 0,
            pin_memory=torch.cuda.is_available(),
        )

    def _limited(self, rows: Sequence[Row]) -> list[Row]:
        if self.limit is None or len(rows) <= self.limit:
            return list(rows)
        drawn = sorted(range(len(rows)), key=lambda i: key(self.seed, "limit", rows[i].file.name, i))[: self.limit]
        return [rows[i] for i in sorted(drawn)]

    def _place(self) -> tuple[int, int]:
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)

    def _position(self) -> int:
        """Global batches behind the run: `processed` counts those whose step is done, in memory and in a checkpoint."""
        return 0 if self.trainer is None else self.trainer.fit_loop.epoch_loop.batch_progress.total.processed  # type: ignore[attr-defined]


def choose_tasks(modality: Modality, shares: Mapping[str, float] | None) -> dict[str, tuple[Task, float]]:
    """Tasks by name with their shares.

    Raises:
        LookupError: a task that the modality does not have.
        ValueError: shares that are negative or all zero.
    """
    shares = {"unconditional": 1.0} if shares is None else dict(shares)
    tasks = modality.tasks()
    for name in shares:
        if name not in tasks:
            raise LookupError(_nearest("task", name, tasks))
    if min(shares.values(), default=0.0) < 0 or sum(shares.values()) <= 0:
        raise ValueError(f"tasks: shares {shares} must not be negative, and one must be above 0")
    return {name: (tasks[name], share) for name, share in shares.items() if share > 0}


def count_in_steps(trainer: Trainer, items: int, batch_size: int) -> None:
    """Turn the trainer's epochs into steps: the stream of batches has no end.

    `max_epochs` becomes a last step, `val_check_interval` and `check_val_every_n_epoch` a number of batches.

    Raises:
        ValueError: trainer options that the counted stream does not serve.
    """
    if trainer.overfit_batches:  # type: ignore[attr-defined]
        raise ValueError("trainer.overfit_batches is not served: data.limit=N trains on N items")
    if trainer.world_size > 1 and trainer._accelerator_connector.use_distributed_sampler:
        raise ValueError(
            "set trainer.use_distributed_sampler=false: the data module divides batches among processes itself"
        )
    batches = items / (trainer.world_size * batch_size)  # of an epoch
    loop = trainer.fit_loop
    if loop.max_epochs not in (None, -1):
        steps = math.ceil(loop.max_epochs * batches / trainer.accumulate_grad_batches)
        loop.epoch_loop.max_steps = steps if loop.max_steps == -1 else min(steps, loop.max_steps)
        loop.max_epochs = -1
    every, interval = trainer.check_val_every_n_epoch, trainer.val_check_interval
    if every is None:
        return
    if isinstance(interval, float):
        trainer.val_check_interval = max(1, round(interval * every * batches))
    elif isinstance(interval, int) and every != 1:
        raise ValueError(
            f"trainer.val_check_interval={interval} counts batches, check_val_every_n_epoch={every} epochs: give one of them"
        )
    trainer.check_val_every_n_epoch = None


def _nearest(kind: str, name: str, choices: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, choices, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return (
        f"{kind} {name!r} does not exist; {hint}choose from {', '.join(choices) or 'none: there are no such choices'}"
    )
