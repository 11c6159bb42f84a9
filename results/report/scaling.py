"""A self-contained HTML page about scaling laws: sections of text, tables and figures."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Figure", "Section", "Table", "render"]


@dataclass(frozen=True)
class Table:
    """A table as people read it.

    Attributes
    ----------
    columns : headings.
    rows : cells as text, as many in every row as there are columns.
    right : headings of the columns that are aligned to the right.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: tuple[str, ...] = ()


@dataclass(frozen=True)
class Figure:
    """A plotly figure under its name.

    Attributes
    ----------
    name : unique in the page; its element has the id "figure-<name>".
    drawn : the plotly figure.
    heading, caption : plain text; "" for none.
    """

    name: str
    drawn: Any = field(repr=False)
    heading: str = ""
    caption: str = ""


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes
    ----------
    name : the id of its element.
    heading : plain text.
    text : paragraphs of plain text.
    tables : with their headings, "" for none.
    figures : after the tables.
    """

    name: str
    heading: str
    text: tuple[str, ...] = ()
    tables: tuple[tuple[str, Table], ...] = ()
    figures: tuple[Figure, ...] = ()


def render(title: str, facts: str, sections: Sequence[Section], provenance: Mapping[str, Any]) -> str:
    """Return the page as one HTML document that loads nothing from elsewhere.

    Parameters
    ----------
    title : plain text.
    facts : one line below it: how many models, which unit.
    sections : in order; empty ones are left out.
    provenance : mapping
        With "command", "date", "ventral", and whatever else says how the page was made, by name.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    from results.report import _html

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    shown = [section for section in sections if section.text or section.tables or section.figures]
    return environment.get_template("scaling.html.j2").render(
        title=title,
        facts=facts,
        sections=shown,
        html={each.name: Markup(_html(each.drawn, each.name)) for section in shown for each in section.figures},
        provenance=provenance,
        more={name: value for name, value in provenance.items() if name not in ("command", "date", "ventral")},
        plotly=Markup(get_plotlyjs()),
        cell=_cell,
    )


def _cell(text: str) -> Any:
    """Return a table's cell; the interval of a value stands below it."""
    from markupsafe import Markup

    found = re.fullmatch(r"(\S+) \((\S+ to \S+)\)", text)
    return text if found is None else Markup("{}<br><small>{}</small>").format(*found.groups())
