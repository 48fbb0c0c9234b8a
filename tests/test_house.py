"""The house: who may import whom, what the core may not name, what is packaged (docs/the-pattern.md)."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("configs", "core", "modalities", "recipes")  # each is a package of the namespace `ornstein`

MATHEMATICS = (
    *("state", "schedules", "parametrization", "processes", "denoiser", "objective"),
    *("samplers", "guidance", "backbones", "rng", "oracle", "verification"),
)
CONFIG = ("hydra", "omegaconf", "jsonargparse", "yaml")
LIGHTNING = ("lightning", "pytorch_lightning", "lightning_fabric")
LAUNCHER = ("lightning.pytorch.cli", "lightning.pytorch.LightningModule", "lightning.pytorch.Trainer")
FILES = ("csv", "io", "json", "os", "pathlib", "safetensors", "shutil", "tarfile", "tempfile", "zipfile")
DOORS = tuple(f"ornstein.core.{room}" for room in ("checkpoint", "cli", "registry", "sources", "training"))
READERS = ("open", "torch.load", "torch.save", "np.load", "np.save")

# Words of others that hold the name of a modality: media types, methods of TensorBoard's writer, modules of matplotlib and
# torchmetrics and an argument of its SSIM.
FOREIGN = re.compile(
    r"(?:image|audio|video)/(?:png|jpeg|gif|svg\+xml|wav|mp4)|\.add_(?:image|audio|video)s?\b|\bmatplotlib\.image\b"
    r"|\btorchmetrics\.functional\.image\b|\breturn_full_image\b"
)


def module_name(path: Path, root: Path) -> str:
    """core/samplers/run.py -> ornstein.core.samplers.run; tests keep their own name."""
    parts = path.relative_to(root).with_suffix("").parts
    parts = parts[:-1] if parts[-1] == "__init__" else parts
    return ".".join(("ornstein", *parts) if parts[0] in ROOMS else parts)


def imports(path: Path, root: Path) -> Iterator[tuple[int, str]]:
    """Line and absolute dotted name of everything that a file imports, inside functions and for types too."""
    package = module_name(path, root).split(".")
    package = package if path.name == "__init__.py" else package[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = [*base, *([node.module] if node.module else [])]
            yield from ((node.lineno, ".".join([*base, alias.name])) for alias in node.names)


def within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def fault(module: str, name: str) -> str | None:
    """What is wrong with `module` importing `name`; None where it may."""
    own = module.split(".")
    if within(name, ROOMS):
        return f"import ornstein.{name}: the folder {name.split('.')[0]}/ is a package of the namespace `ornstein`"
    if own[0] != "ornstein":
        return None
    if own[1] == "core" and within(name, ("ornstein.modalities",)):
        return "the core knows no modality"
    if own[1] == "modalities" and within(name, ("ornstein.modalities",)) and name.split(".")[2:3] != own[2:3]:
        return "one modality does not know another"
    if own[1] == "modalities" and within(name, ("ornstein.core.cli", "ornstein.core.training")):
        return "a modality knows the core's contract, not the command line nor training"
    if within(module, ("ornstein.core.cli",)):
        own_work = within(name, LIGHTNING) and not within(name, LAUNCHER)
        return "of Lightning the CLI takes LightningCLI and what that is set up with" if own_work else None
    if within(name, LIGHTNING) and not within(module, ("ornstein.core.training",)):
        return "only core/training imports Lightning"
    if within(name, ("hydra", "jsonargparse")):
        return "only core/cli imports Hydra and jsonargparse"
    if own[1] == "core" and own[2:3] and own[2] in MATHEMATICS and within(name, (*CONFIG, *FILES, *DOORS, "logging")):
        return "mathematics knows no configuration, files, logging or registry"
    return None


def sources(root: Path, *folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (root / folder).rglob("*.py"))


def import_faults(root: Path) -> list[str]:
    return [
        f"{path.relative_to(root)}:{line} imports {name}: {message}"
        for path in sources(root, *ROOMS, "tests")
        for line, name in imports(path, root)
        if (message := fault(module_name(path, root), name))
    ]


def reading_faults(root: Path) -> list[str]:
    """Calls in the mathematics that open files."""
    paths = [p for p in sources(root, "core") if p.relative_to(root / "core").with_suffix("").parts[0] in MATHEMATICS]
    return [
        f"{path.relative_to(root)}:{node.lineno} calls {ast.unparse(node.func)}: mathematics reads no files"
        for path in paths
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in READERS
    ]


def naming_faults(root: Path, names: list[str]) -> list[str]:
    """Lines of the core that hold the name of a modality: as a word, in an identifier, its plural or its class."""
    words = "|".join(f"{name}|{name.capitalize()}|{name.upper()}" for name in names)
    pattern = re.compile(rf"(?<![A-Za-z])(?:{words})s?(?![a-z])")
    return [
        f"{path.relative_to(root)}:{number} names a modality: {line.strip()}"
        for path in sorted((root / "core").rglob("*"))
        if path.suffix in (".py", ".html", ".yaml")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if pattern.search(FOREIGN.sub("", line))
    ]


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def listed(faults: list[str]) -> str:
    return "\n" + "\n".join(faults)


def test_everybody_imports_only_whom_they_may_know():
    faults = import_faults(ROOT) + reading_faults(ROOT)
    assert not faults, listed(faults)


def test_the_core_names_no_modality(project):
    faults = naming_faults(ROOT, list(project["project"]["entry-points"]["ornstein.modalities"]))
    assert not faults, listed(faults)


def test_the_list_of_packages_is_the_tree(project):
    folders = {path.parent for path in sources(ROOT, *ROOMS)}
    bare = [str(folder.relative_to(ROOT)) for folder in folders if not (folder / "__init__.py").exists()]
    assert not bare, f"folders of modules without __init__.py: {bare}"
    names = {".".join(("ornstein", *folder.relative_to(ROOT).parts)) for folder in folders}
    assert names == set(project["tool"]["setuptools"]["packages"])


def test_every_module_says_what_it_is():
    modules = sources(ROOT, *ROOMS)
    silent = [str(path.relative_to(ROOT)) for path in modules if not ast.get_docstring(ast.parse(path.read_text()))]
    assert not silent, f"no docstring at the top: {silent}"


def texts(root: Path) -> Iterator[Path]:
    """What a person wrote: code, pages, settings, scripts."""
    folders = [path for folder in (*ROOMS, "tests", "docs", ".ci") for path in (root / folder).rglob("*")]
    kinds = (".py", ".md", ".yaml", ".yml", ".toml", ".txt", ".html", ".css", "")
    yield from (path for path in (*folders, *root.glob("*")) if path.is_file() and path.suffix in kinds)


def path_faults(root: Path) -> list[str]:
    """Lines that hold an absolute path; the first line of a script may."""
    tops = "|".join(("home", "root", "Users", "work", "mnt", "opt", "usr", "var", "tmp", "private"))
    pattern = re.compile(rf"(?<![\w.!:/>)}}\]])/(?:{tops})/\w|\b[A-Z]:\\\w")
    return [
        f"{path.relative_to(root)}:{number}: {line.strip()}"
        for path in texts(root)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_file_holds_a_path_of_one_machine():
    faults = path_faults(ROOT)
    assert not faults, listed(faults)


def test_a_planted_path_is_caught(tmp_path):
    slash = "/"
    lines = [
        "#!/usr/bin/env bash",
        f"data = '{slash}home/me/data'",
        "see https://example.org/home/me",
        "runs/image/latest",
        "ratio = a/var/b",
        f"root: {slash}Users/me/wavs",
        "PYTHON=/path/to/python3.11",
    ]
    (tmp_path / "core").mkdir()
    (tmp_path / "core/x.py").write_text("\n".join(lines))
    assert [fault.split(":")[1] for fault in path_faults(tmp_path)] == ["2", "6"]


def test_importing_the_core_imports_no_heavy_library():
    heavy = ("torch", "lightning", "hydra", "jsonargparse", "matplotlib", "numpy", "PIL", "sklearn")
    code = f"import sys, ornstein.core; print(*[m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


PLANTED = [
    ("core/state.py", "from ..modalities import picture", "the core knows no modality"),
    ("core/tasks.py", "def f():\n    import ornstein.modalities.picture", "the core knows no modality"),
    ("core/samplers/run.py", "from ..registry import TABLE", "mathematics knows no"),
    ("core/samplers/run.py", "from .. import checkpoint", "mathematics knows no"),
    ("core/processes/__init__.py", "from ..cli.main import main", "mathematics knows no"),
    ("core/schedules.py", "import logging", "mathematics knows no"),
    ("core/objective.py", "from pathlib import Path", "mathematics knows no"),
    ("core/backbones/dit.py", "from omegaconf import DictConfig", "mathematics knows no"),
    ("core/denoiser.py", "import lightning.pytorch as pl", "only core/training imports Lightning"),
    ("core/checkpoint.py", "from lightning.pytorch import Trainer", "only core/training imports Lightning"),
    ("modalities/picture/data.py", "from lightning.pytorch import Trainer", "only core/training imports Lightning"),
    ("core/cli/main.py", "from lightning.pytorch import Callback", "the CLI takes LightningCLI"),
    ("core/cli/main.py", "import lightning.pytorch as pl", "the CLI takes LightningCLI"),
    ("core/training/module.py", "from hydra import compose", "only core/cli imports Hydra"),
    ("modalities/picture/data.py", "from ..sound.data import read", "one modality does not know another"),
    ("modalities/picture/data.py", "from ornstein.modalities import sound", "one modality does not know another"),
    ("tests/test_x.py", "from core import state", "import ornstein.core"),
    ("core/tasks.py", "import core.state", "import ornstein.core"),
]


@pytest.mark.parametrize(("path", "source", "message"), PLANTED)
def test_a_planted_import_is_caught(tmp_path, path, source, message):
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(source)
    (found,) = import_faults(tmp_path)
    assert message in found


ALLOWED = [
    ("core/samplers/__init__.py", "from .run import run\nfrom ..state import State\nimport torch"),
    ("core/training/module.py", "from lightning.pytorch import LightningModule\nfrom ..registry import TABLE"),
    ("core/cli/main.py", "from lightning.pytorch.cli import LightningCLI\nfrom lightning.pytorch import Trainer"),
    ("core/cli/main.py", "from hydra import compose"),
    ("core/checkpoint.py", "from pathlib import Path\nimport yaml, safetensors.torch"),
    ("modalities/picture/data.py", "from .encoder import x\nfrom ornstein.core.sources import Source"),
    ("modalities/picture/__init__.py", "from .encoder import x"),
    ("tests/test_x.py", "from ornstein.core import state\nfrom hydra import compose"),
]


@pytest.mark.parametrize(("path", "source"), ALLOWED)
def test_an_honest_import_is_let_through(tmp_path, path, source):
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(source)
    assert import_faults(tmp_path) == []


def test_a_planted_reader_is_caught(tmp_path):
    (tmp_path / "core/guidance").mkdir(parents=True)
    (tmp_path / "core/guidance/cfg.py").write_text("def f(p):\n    return torch.load(p)")
    (tmp_path / "core/checkpoint.py").write_text("def f(p):\n    return torch.load(p)")
    assert reading_faults(tmp_path) == ["core/guidance/cfg.py:2 calls torch.load: mathematics reads no files"]


@pytest.mark.parametrize(
    ("line", "caught"),
    [
        ("if name == 'image':", True),
        ("image_size = 3", True),
        ("class ImageEncoder:", True),
        ("# as for images", True),
        ("root / 'recipes/image/x.yaml'", True),
        ("imagery = imagine()", False),
        ("f'<img src=\"data:image/png;base64,{data}\">'", False),
        ("writer.add_image('x', pixels)", False),
        ("from matplotlib.image import imsave", False),
    ],
)
def test_a_planted_name_is_caught(tmp_path, line, caught):
    (tmp_path / "core").mkdir()
    (tmp_path / "core/x.py").write_text(line)
    assert bool(naming_faults(tmp_path, ["image"])) == caught
