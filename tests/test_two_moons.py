"""The page on two moons shows the very program that tests/test_docs.py runs."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_the_page_includes_the_program_and_nothing_mangled_the_line_that_does():
    page = (ROOT / "docs/two-moons.md").read_text()
    (block,) = re.findall(r"^```.*python.*\n((?:.*\n)*?)```$", page, re.M)
    (name,) = re.findall(r'^--8<-- "(.+)"$', block, re.M)  # a formatter of Python code would put spaces in
    (base,) = re.findall(r"base_path: \[(.+)\]", (ROOT / "mkdocs.yml").read_text())
    program = (ROOT / base / name).resolve()
    assert program == ROOT / "docs/examples/two_moons.py"
    assert 60 < len(program.read_text().splitlines()) < 110  # one page
