"""The report as one HTML page that needs nothing but itself: inline style, pictures as data, light and dark."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from .report import ARROWS, COLUMNS, KINDS, NOTHING, Picture, Report, number, number_or_text, spread_line, standing


def page(report: Report) -> str:
    """The whole page."""
    facts = report.facts
    template = Template(files(__package__).joinpath("report.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=escape(f"{facts['modality']}: {facts['task']}"),
        summary=escape(
            f"n = {facts['n']} in every column, against {facts['reference']['items']} training items. "
            f"± is the {spread_line(facts)}."
        ),
        legend="".join(f"<li><b>{name}</b>: {escape(COLUMNS[name])}</li>" for name in report.columns),
        notes="".join(f"<p class=note>{escape(note)}</p>" for note in report.notes),
        head="".join(f"<th>{name}</th>" for name in report.columns),
        body="".join(_section(report, kind) for kind in KINDS),
        pictures=_pictures(report.pictures),
        facts="".join(_fact(name, value) for name, value in _flat(facts)),
        extractors="".join(_extractor(extractor) for extractor in report.extractors),
    )


def _section(report: Report, kind: str) -> str:
    rows = [row for row in report.rows if row["kind"] == kind]
    if not rows:
        return ""
    heading = f"<tr class=kind><th colspan={len(report.columns) + 1}>{escape(KINDS[kind])}</th></tr>"
    return heading + "".join(_row(row, report.columns) for row in rows)


def _row(row: dict[str, Any], columns: list[str]) -> str:
    cells = "".join(f"<td class={name}>{_cell(row.get(name), row, name)}</td>" for name in columns)
    label = f"{escape(row['metric'])} <span title='{row['better']} is better'>{ARROWS[row['better']]}</span>"
    return f"<tr><th scope=row>{label}<small>{escape(row['about'])}</small></th>{cells}</tr>"


def _cell(cell: dict[str, Any] | None, row: dict[str, Any], column: str) -> str:
    if cell is None or cell.get("value") is None:
        return f"{NOTHING}<small class=why>{escape(cell['missing'] if cell else 'not measured')}</small>"
    value, spread = number(cell).split(" ± ")
    place = standing(row) if column == "ours" else None
    bar = "" if place is None else f"<meter min=0 max=1 value={place:.3f}>{place:.0%} of the way</meter>"
    return f"{value}<small>± {spread}</small>{bar}"


def _pictures(pictures: Sequence[Picture]) -> str:
    views = [_figure(picture, picture.html) for picture in pictures if picture.html]
    stills = [
        _figure(picture, f"<img alt='' src='data:image/png;base64,{base64.b64encode(picture.png).decode()}'>")
        for picture in pictures
        if not picture.html
    ]
    shown = "".join(views) + (f"<div class=pictures>{''.join(stills)}</div>" if stills else "")
    return f"<h2>Pictures</h2>{shown}" if shown else ""


def _figure(picture: Picture, shown: str) -> str:
    return f"<figure>{shown}<figcaption>{escape(picture.caption)}</figcaption></figure>"


def _extractor(extractor: dict[str, Any]) -> str:
    rows = "".join(_fact(name, value) for name, value in extractor["facts"].items())
    return _fact(f"extractor {extractor['name']}", extractor["hash"]) + rows


def _fact(name: str, value: Any) -> str:
    return f"<tr><th scope=row>{escape(name)}</th><td>{escape(number_or_text(value))}</td></tr>"


def _flat(facts: dict[str, Any]) -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for name, value in facts.items():
        flat += [(f"{name} {part}", v) for part, v in value.items()] if isinstance(value, dict) else [(name, value)]
    return flat
