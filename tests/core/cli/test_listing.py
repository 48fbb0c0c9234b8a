"""`ornstein list`, and the commands that the pages show."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from ornstein.core.registry import TABLE

ROOT = Path(__file__).resolve().parents[3]
PAGES = ("docs/choosing-a-sampler.md", "docs/sampler-tables.md")
SHOWN = sorted(
    {
        line.partition("  #")[0].strip()
        for page in PAGES
        for block in re.findall(r"```\n(.*?)```", (ROOT / page).read_text(), re.S)
        for line in block.splitlines()
        if line.startswith("ornstein ")
    }
    | {found for page in PAGES for found in re.findall(r"`(ornstein (?:show|list) [^`]*)`", (ROOT / page).read_text())}
)


def test_samplers_are_listed_with_order_calls_noise_and_source(ornstein):
    code, text, _ = ornstein("list", "samplers")
    head, *rows = text.splitlines()
    assert code == 0
    assert head.split() == ["name", "order", "calls", "noise", "source"]
    listed = {row.split()[0]: row for row in rows if row[:1] != " "}
    for name, entry in TABLE["sampler"].items():
        for fact in entry.facts.values():
            assert fact in listed[name]
        assert entry.about.split()[0] in listed[name]


def test_a_narrow_terminal_and_a_closed_pipe_do_no_harm(ornstein, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    assert ornstein("list", "samplers")[0] == 0
    command = f"{sys.executable} -m ornstein.core.cli.main list samplers | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "line", [line for line in SHOWN if "RUN" not in line and "runs/" not in line and "NAME" not in line]
)
def test_the_commands_of_the_guide_run(ornstein, line, tmp_path):
    argv = line.split()[1:]
    if "--out" in argv:
        argv[argv.index("--out") + 1] = str(tmp_path)
    argv += ["-n", "4", "--evaluations", "4"] if argv[0] == "compare" else []
    code, text, err = ornstein(*argv)
    assert code == 0, err
    assert text


def test_names_of_the_guide_exist():
    text = (ROOT / PAGES[0]).read_text()
    table = text.partition("## The families")[2].partition("## Orders")[0]
    named = re.findall(r"`([a-z0-9_]+)`", "\n".join(line.split("|")[1] for line in table.splitlines() if "| `" in line))
    assert len(named) > 30
    assert set(named) <= set(TABLE["sampler"])
    grids = text.partition("## Grids")[2].partition("What other libraries")[0]
    named = re.findall(r"`([a-z0-9_]+)`", "\n".join(line.split("|")[1] for line in grids.splitlines() if "| `" in line))
    assert set(named) == set(TABLE["grid"])
    for test in re.findall(r"`(test_[a-z0-9_]+)`", text):
        assert any(f"def {test}(" in path.read_text() for path in (ROOT / "tests/core").glob("test_*.py")), test
