"""From a flat recipe to Lightning's command line tool, and from what it parsed back to a flat recipe.

A recipe's sections are Lightning's: `data`, `trainer` and `modality` as they are, `seed` is `seed_everything`, `tasks` belongs to
the data, every other key is an argument of the training module. The module and the data module get one modality object.
"""

from __future__ import annotations

import inspect
import logging
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentError, Namespace
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback

from ..checkpoint import write_aside
from ..modality import Modality
from ..training.data import OrnsteinDataModule
from ..training.equipment import equipment, quiet, served_device
from ..training.module import DiffusionModule
from ..training.saving import AtomicCheckpointIO
from .names import check_arguments, check_keys, to_classes, to_names, without_nulls
from .objects import plain
from .runs import CONFIG, mark_latest
from .words import UsageError, choose

Tree = dict[str, Any]
_SHARED = ("modality", "seed")  # linked into both, so no section names them
_SECTIONS: dict[str, Callable[..., Any]] = {
    "model": DiffusionModule,
    "data": OrnsteinDataModule,
    "trainer": Trainer,
    "run": equipment,
}
_HELP = "Flags of the trainer, the data and the model. They stand after the words of the recipe."


class Tool(LightningCLI):
    """Lightning's tool for one recipe: it parses and checks; `build` builds, and the commands decide what to run.

    Args:
        recipe: a flat recipe.
        flags: Lightning's own flags, which stand above the recipe.
        resumed: the weights come from a checkpoint, so those of `init`, which may be gone, are not asked for.
    """

    model: DiffusionModule
    datamodule: OrnsteinDataModule
    trainer: Trainer

    def __init__(self, recipe: Tree, flags: list[str], resumed: bool = False) -> None:
        self.origin = {"init": recipe["init"]} if resumed and recipe.get("init") else {}
        self.recipe = {key: value for key, value in recipe.items() if key not in self.origin}
        _quiet()
        super().__init__(
            DiffusionModule,
            OrnsteinDataModule,
            save_config_callback=None,
            seed_everything_default=0,
            parser_kwargs={
                "exit_on_error": False,
                "allow_abbrev": False,
                "prog": "ornstein fit RECIPE [key=value ...]",
                "description": _HELP,
            },
            args=flags,
            run=False,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
        )

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """Without `--config`: ours is a flat recipe, and read before."""
        return self.parser_class(**kwargs)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The modality, built once and given to both; what a run folder holds."""
        parser.add_subclass_arguments(Modality, "modality", required=True)
        for part in ("model", "data"):
            parser.link_arguments("modality", f"{part}.modality", apply_on="instantiate")
            parser.link_arguments("seed_everything", f"{part}.seed")
        parser.add_function_arguments(equipment, "run", skip={"folder", "seed"})
        if parser.groups is not None:
            parser.groups["run"].title = "What a run folder holds, and how often it is written"

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """The recipe first, then the flags over it."""
        if {"-h", "--help"} & set(args):
            parser.parse_args(args)  # prints and leaves
        sections = to_sections(self.recipe)
        check_sections(sections)
        try:
            self.config = parser.parse_args(args, namespace=parser.parse_object(sections))
        except ArgumentError as error:
            raise _named(error, parser) from error
        except (TypeError, ValueError) as error:
            raise ValueError(plain(error)) from error

    def instantiate_classes(self) -> None:
        """Nothing: `build` does it, once there is a run folder."""

    def build(self) -> None:
        """Build the module and the data module.

        Raises:
            ValueError: a constructor refuses a value.
        """
        try:
            self.config_init = self.parser.instantiate(self.config)
        except (ArgumentError, ValueError) as error:
            raise ValueError(plain(error)) from error
        self.model, self.datamodule = self.config_init["model"], self.config_init["data"]

    def equip(self, folder: Path | None) -> None:
        """Make the trainer, with all that a run folder asks for; without a folder nothing is written anywhere."""
        options = dict(self.config_init["trainer"])
        if folder is None:
            quiet()
            options |= {"logger": False, "enable_checkpointing": False, **served_device()}
            options["plugins"] = [*_list(options.get("plugins")), AtomicCheckpointIO()]
        else:
            brought = equipment(folder, **self.config_init["run"])
            for key in ("callbacks", "plugins"):
                options[key] = [*_list(options.get(key)), *brought.pop(key)]
            if options.get("logger") is not None:  # the user's own
                brought.pop("logger")
            options |= brought
            self.save_config_callback, self.save_config_kwargs = RunFolder, {"folder": folder, "recipe": self.flat()}
        self.trainer = self._instantiate_trainer(options, [])

    def fit(self, checkpoint: Path | None) -> None:
        """Train, from a checkpoint where one is given; `latest` points to the run from its first step on.

        Raises:
            KeyboardInterrupt: Ctrl-C, after the trainer has saved what it can.
        """
        if checkpoint is not None:
            self.datamodule.resume(checkpoint)
        try:
            self.trainer.fit(self.model, self.datamodule, ckpt_path=checkpoint)
        except SystemExit:  # Lightning's answer to Ctrl-C, which leaves the signal ignored
            signal.signal(signal.SIGINT, signal.default_int_handler)
            raise KeyboardInterrupt from None

    @property
    def steps(self) -> int:
        """Steps trained so far."""
        return self.trainer.global_step if hasattr(self, "trainer") else 0

    def flat(self) -> Tree:
        """The parsed recipe, complete with defaults."""
        text = self.parser.dump(self.config, skip_link_targets=True, skip_unset=False, format="yaml")
        sections = yaml.safe_load(text)
        for name, called in _SECTIONS.items():
            sections[name] = without_nulls(sections[name], called)
        return to_flat({**sections, "modality": without_nulls(sections["modality"])}) | self.origin


class RunFolder(SaveConfigCallback):
    """Writes the flat recipe once training starts, and points `latest` to the run after its first step."""

    def __init__(self, parser: LightningArgumentParser, config: Namespace, folder: Path, recipe: Tree) -> None:
        super().__init__(parser, config)
        self.folder, self.recipe = folder, recipe
        self._is_latest = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Nothing: a run that goes on keeps its recipe until its checkpoint has been read."""

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: Tree) -> None:
        """Refuse to go on with a run that has nothing left to do.

        Raises:
            ValueError: the checkpoint stands at the last step or behind it.
        """
        step = checkpoint["global_step"]
        if -1 < trainer.max_steps <= step:
            raise ValueError(
                f"{self.folder} has trained {step:,} steps already, and its recipe under your words ends at "
                f"{trainer.max_steps:,}: to go on, say trainer.max_steps=N with a larger N"
            )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write in the first process: all that a run needs has proved whole."""
        if trainer.is_global_zero:
            write(self.recipe, self.folder / CONFIG)

    def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
        """Move `latest`, from a run that holds something to this one, which now does too."""
        if not self._is_latest and trainer.is_global_zero and trainer.global_step:
            mark_latest(self.folder)
            self._is_latest = True


def _quiet() -> None:
    """Leave out the lines of Lightning that say nothing of the run."""
    logging.getLogger("lightning.fabric.utilities.seed").setLevel(logging.WARNING)
    chatter = ("\N{ELECTRIC LIGHT BULB} Tip", "TPU available", "Restor", "Loaded model weights")
    log = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    if not log.filters:
        log.addFilter(lambda record: not record.getMessage().startswith(chatter))


def to_sections(recipe: Tree) -> Tree:
    """A flat recipe as the sections that Lightning's tool parses, with class paths for names."""
    tree = to_classes(recipe)
    model = set(inspect.signature(DiffusionModule).parameters) - set(_SHARED)
    own = {"modality", "data", "trainer", "run", "seed", "tasks"}
    for key in tree:
        if key not in model | own:
            raise LookupError(choose("key of a recipe", key, model | own))
    if "modality" not in tree:
        raise LookupError("the recipe has no `modality`; `ornstein list modalities` shows which there are")
    seed = tree.get("seed", 0)
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise ValueError(f"seed={seed}: a whole number is needed, 0 or above")
    for key in ("data", "trainer", "run"):
        if not isinstance(tree.get(key) or {}, dict):
            raise ValueError(f"{key}={tree[key]}: it has keys of its own, as in {key}.KEY=VALUE")
    sections = {
        "seed_everything": seed,
        "modality": tree["modality"],
        "data": dict(tree.get("data") or {}),
        "trainer": dict(tree.get("trainer") or {}),
        "model": {key: value for key, value in tree.items() if key in model},
        "run": dict(tree.get("run") or {}),
    }
    if tree.get("tasks") is not None:
        sections["data"]["tasks"] = tree["tasks"]
    return sections


def to_flat(sections: Tree) -> Tree:
    """The inverse of `to_sections`."""
    data = dict(sections.get("data", {}))
    tasks = data.pop("tasks", None)
    tree = {"modality": sections["modality"], "data": data, **sections["model"]}
    tree |= {"trainer": sections["trainer"], "run": sections["run"], "seed": sections["seed_everything"]}
    if tasks is not None:
        tree["tasks"] = tasks
    return to_names(tree)


def check_sections(sections: Tree) -> None:
    """Compare every key with the constructors, so that the nearest can be offered."""
    for key in _SHARED:
        if key in sections["data"]:
            raise LookupError(f"data.{key}: there is one {key} for the whole recipe; write it at the top")
    for name, called in _SECTIONS.items():
        check_arguments(called, sections[name], name)
    for name, part in sections["model"].items():
        check_keys(part, (name,))
    check_keys(sections["modality"], ("modality",))
    check_keys(sections["trainer"], ("trainer",))


def _list(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [value]


def _named(error: ArgumentError, parser: LightningArgumentParser) -> ValueError:
    """An unknown flag with the nearest ones; any other parser's message in the words of a recipe."""
    unknown = str(error).partition("nrecognized arguments: ")[2].split()
    flags = [a.partition("=")[0] for a in unknown if a.startswith("-")]
    if flags:
        known = [f for f in parser._option_string_actions if not f.endswith((".help", "--print_shtab"))]
        return UsageError("; ".join(choose("flag", flag, known) for flag in flags))
    if unknown:
        return UsageError(f"{' '.join(unknown)}: words stand before the first flag")
    return ValueError(plain(error))


def write(recipe: Tree, path: Path) -> None:
    """Write a flat recipe, aside and then into place."""
    write_aside(path, lambda aside: aside.write_text(dump(recipe), encoding="utf-8"))


def dump(recipe: Tree) -> str:
    """A flat recipe as YAML."""
    return yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True)
