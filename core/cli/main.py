"""The command `ornstein`. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Any, NoReturn

from . import providers
from .words import UsageError, choose

# command -> (module of this package, one line of help)
COMMANDS = {
    "list": ("listing", "modalities, recipes, samplers, schedules, ...: everything that has a name"),
    "show": ("show", "one of them: its arguments, and the numbers of a sampler, a grid or a schedule"),
    "compare": ("compare", "samplers side by side on a world whose answer is exact"),
    "fit": ("fit", "train a recipe: fit MODALITY/RECIPE data.batch_size=32 --trainer.max_steps 1000"),
    "validate": ("judge", "the validation loss of a run"),
    "test": ("judge", "the test loss of a run"),
    "sample": ("sample", "make new samples from a run, as files and a picture"),
    "evaluate": ("evaluate", "a table of a run's quality: ours | real against real | floor"),
    "tune": ("tune", "the best sampler for a budget, measured on a run's own network"),
    "check": ("check", "the conformance kit, for anybody's modality"),
    "verify": ("verify", "the exact tests of a schedule, sampler, parametrization or guidance, anybody's"),
    "export": ("export", "write a run's model as safetensors and YAML, to share"),
    "sweep": ("sweep", "train a recipe over values: sweep MODALITY/RECIPE seed=0,1,2"),
    "completion": ("completion", "print a completion script: ornstein completion bash|zsh|tcsh"),
}
_EPILOG = """examples:
  ornstein list samplers
  ornstein show sampler dpmpp_2m --steps 10
  ornstein fit MODALITY/RECIPE data.batch_size=32 sampler=ddim trainer=cpu --trainer.max_steps 1000
  ornstein sample runs/MODALITY/latest -n 16 --sampler dpmpp_2m --steps 20 --guidance 3 --cond label=7 --out out
  ornstein evaluate runs/MODALITY/latest

completion of commands and names in your shell, e.g. bash:
  ornstein completion bash > ~/.local/share/bash-completion/completions/ornstein

`--debug` anywhere shows the full traceback of an error. Plugins of third parties: ORNSTEIN_PLUGINS=off turns them off.
"""
# Errors whose message is written for the user; the packages' own error types are known by name, so nothing is imported.
_EXPECTED = (ValueError, LookupError, OSError, argparse.ArgumentError)
_PACKAGES = {"hydra", "omegaconf", "jsonargparse", "lightning", "safetensors"}


class Parser(argparse.ArgumentParser):
    """An argument parser that raises, and that offers the nearest options."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **kwargs)

    def format_help(self) -> str:
        """The help, with a recipe and a modality that exist in the examples."""
        return _with_example(super().format_help())

    def error(self, message: str) -> NoReturn:
        """Raise instead of leaving."""
        unknown = message.partition("unrecognized arguments: ")[2].split()
        flags = [a.partition("=")[0] for a in unknown if a.startswith("-")]
        if flags:
            message = "; ".join(choose("option", flag, self._option_string_actions) for flag in flags)
        raise UsageError(f"{message}; see `{self.prog} --help`")


def _with_example(text: str) -> str:
    """A text whose MODALITY and RECIPE are ones that exist."""
    example = providers.example()
    modality = example.partition("/")[0]
    text = text.replace("MODALITY/RECIPE", example).replace("/MODALITY/", f"/{modality}/")
    return text.replace("MODALITY ", f"{modality} ")


def build() -> Parser:
    """The whole parser: for `--help` and for completion; a command is parsed by its own."""
    parser = Parser(prog="ornstein", description="A diffusion framework for any modality.", epilog=_EPILOG)
    parser.add_argument("--version", action="version", version=f"ornstein {version('ornstein')}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name, (module, about) in COMMANDS.items():
        sub = commands.add_parser(name, help=about, prog=f"ornstein {name}")
        import_module(f".{module}", __package__).arguments(sub)
    return parser


def command_parser(name: str) -> Parser:
    """The parser of one command."""
    module, about = COMMANDS[name]
    parser = Parser(prog=f"ornstein {name}", description=about)
    import_module(f".{module}", __package__).arguments(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, 1 for a failure, 2 for a wrong command line, 130 for Ctrl-C."""
    argv = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in argv
    argv = [a for a in argv if a != "--debug"]
    try:
        with warnings.catch_warnings():
            if not debug:
                warnings.showwarning = _show_in_a_line
            return _run(argv)
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader left: `ornstein list | head`
        return 1
    except SystemExit as leave:  # --help, --version
        return leave.code if isinstance(leave.code, int) else 0
    except Exception as error:
        return _report(error, debug)


def _show_in_a_line(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
    """A warning as a user reads it: without the line of code that gave it."""
    print(f"{'note' if issubclass(category, UserWarning) else category.__name__}: {message}", file=sys.stderr)


def _run(argv: list[str]) -> int:
    if not argv or argv[0].startswith("-"):
        parser = build()
        parser.parse_args(argv)
        parser.print_help()
        return 0 if not argv else 2
    name, rest = argv[0], argv[1:]
    if name not in COMMANDS:
        raise UsageError(choose("command", name, COMMANDS) + "; `ornstein --help` explains them")
    module = import_module(f".{COMMANDS[name][0]}", __package__)
    parser = command_parser(name)
    if hasattr(module, "run_words"):  # words, then flags that Lightning parses
        return module.run_words(name, rest, parser)
    return module.run(parser.parse_intermixed_args(rest))


def _report(error: Exception, debug: bool) -> int:
    if debug or not _is_expected(error):
        traceback.print_exception(error)  # a fault of ours, whose report needs it
    print(f"ornstein: {_message(error)}", file=sys.stderr)
    return 2 if isinstance(error, UsageError) else 1


def _message(error: Exception) -> str:
    """What the user reads of an error."""
    text = str(error).strip() or type(error).__name__
    if isinstance(error, UsageError):
        return _with_example(text)
    if isinstance(error, ModuleNotFoundError):
        return f"{text}; it may come with an extra: pip install 'ornstein[all]'"
    if isinstance(error, OSError) and error.strerror:
        places = [str(name) for name in (error.filename, error.filename2) if name is not None]
        return ": ".join([" and ".join(places), error.strerror] if places else [error.strerror])
    return text


def _is_expected(error: Exception) -> bool:
    """Whether the user's input or the machine (memory, a full disk, a file cut short) is at fault, and the message says so."""
    if isinstance(error, KeyError | IndexError):
        return False
    if isinstance(error, ModuleNotFoundError):
        return (error.name or "ornstein").partition(".")[0] != "ornstein"
    package = type(error).__module__.partition(".")[0]
    machine = type(error).__name__ == "OutOfMemoryError" or "PytorchStream" in str(error)
    return isinstance(error, _EXPECTED) or package in _PACKAGES or machine


if __name__ == "__main__":
    sys.exit(main())
