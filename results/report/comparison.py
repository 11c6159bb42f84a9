"""A self-contained HTML page about a comparison of models: forest plots, ranks, differences, tables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alignment.comparison import Comparison
from alignment.standings import Difference, Row

__all__ = ["forest", "matrix", "quantity_of", "render", "rows_of"]

_INK, _GRID = "#1f2933", "#e4e7eb"
_VALUE, _RANK = "#0b5a8a", "#b35806"
_ACROSS = 3  # matrices side by side


def rows_of(comparison: Comparison) -> list[tuple[str, Row]]:
    """Return rows and averages with their headings."""
    named = [(f"{row.name} ({row.metric}): {row.quantity}", row) for row in comparison.rows]
    return [*named, *((quantity_of(row), row) for row in comparison.aggregates)]


def quantity_of(row: Row) -> str:
    """Return what the values of a row are; of ranks also which is best."""
    return f"{row.quantity} (1 = best)" if row.quantity == "mean rank" else row.quantity


def forest(comparison: Comparison) -> Any:
    """Return, per row, every model's value with its interval, and beside it its rank with its interval."""
    from plotly import graph_objects as go
    from plotly.subplots import make_subplots

    rows = rows_of(comparison)
    titles = [text for heading, row in rows for text in (heading, "rank" + _direction(row))]
    figure = make_subplots(
        rows=len(rows), cols=2, shared_yaxes=True, column_widths=[0.65, 0.35], subplot_titles=titles,
        horizontal_spacing=0.04, vertical_spacing=min(0.14, 0.3 / len(rows)),
    )  # fmt: skip
    for number, (_, row) in enumerate(rows, 1):
        labels = [f"{each.model}  <b>{each.groups}</b>" for each in row.standings]
        values = [(each.value, *each.interval) for each in row.standings]
        ranks = [(each.rank, *each.rank_interval) for each in row.standings]
        for column, (triples, colour, digits) in enumerate(((values, _VALUE, ".3f"), (ranks, _RANK, "g")), 1):
            figure.add_trace(
                go.Scatter(
                    x=[value for value, _, _ in triples],
                    y=labels,
                    mode="markers",
                    marker={"color": colour, "size": 10, "symbol": "circle" if column == 1 else "diamond"},
                    error_x={
                        "type": "data",
                        "symmetric": False,
                        "array": [high - value for value, _, high in triples],
                        "arrayminus": [value - low for value, low, _ in triples],
                        "thickness": 1.6,
                        "width": 4,
                    },
                    customdata=[(low, high) for _, low, high in triples],
                    hovertemplate=f"%{{y}}: %{{x:{digits}}} (%{{customdata[0]:{digits}}} to "
                    f"%{{customdata[1]:{digits}}})<extra></extra>",
                    showlegend=False,
                ),
                row=number,
                col=column,
            )
        figure.update_xaxes(range=[0.5, len(labels) + 0.5], dtick=1, row=number, col=2)
    figure.update_yaxes(autorange="reversed")
    return _styled(figure, 90 + len(rows) * (90 + 30 * len(comparison.models)))


def matrix(comparison: Comparison) -> Any:
    """Return, per row, the model at the left less the one above; * marks pairs that are told apart."""
    from plotly import graph_objects as go
    from plotly.subplots import make_subplots

    rows = rows_of(comparison)
    across = min(_ACROSS, len(rows))
    down = math.ceil(len(rows) / across)
    figure = make_subplots(
        rows=down, cols=across, subplot_titles=[heading for heading, _ in rows], shared_yaxes=True,
        horizontal_spacing=0.05, vertical_spacing=min(0.3, 0.5 / down),
    )  # fmt: skip
    models = list(comparison.models)
    for number, (_, row) in enumerate(rows):
        values, texts = cells(row, models)
        most = scale_of(values)
        better = 1 if row.higher_is_better else -1
        figure.add_trace(
            go.Heatmap(
                z=[[better * value for value in line] for line in values], x=models, y=models, text=texts,
                texttemplate="%{text}", colorscale="RdBu", zmin=-most, zmax=most, showscale=False,
                hovertemplate="%{y} less %{x}: %{text}<extra></extra>",
            ),
            row=number // across + 1,
            col=number % across + 1,
        )  # fmt: skip
    figure.update_yaxes(autorange="reversed")
    return _styled(figure, down * (190 + 44 * len(models)))


def cells(row: Row, models: list[str]) -> tuple[list[list[float]], list[list[str]]]:
    """Return differences (model of the line less that of the column) and their texts; the diagonal is NaN and ""."""
    found: dict[tuple[str, str], tuple[float, Difference]] = {}
    for each in row.differences:
        found[each.first, each.second] = each.value, each
        found[each.second, each.first] = 0.0 - each.value, each
    values = [[found[one, other][0] if one != other else math.nan for other in models] for one in models]
    texts = [[_text(*found[one, other]) if one != other else "" for other in models] for one in models]
    return values, texts


def scale_of(values: list[list[float]]) -> float:
    """Return the value at which colours end: beyond the largest difference, so that text on them can be read."""
    return 1.7 * max((abs(value) for line in values for value in line if math.isfinite(value)), default=0.0) or 1.0


def _text(value: float, difference: Difference) -> str:
    return f"{value:+.3f}{'' if difference.better is None else ' *'}" if math.isfinite(value) else "undefined"


def _direction(row: Row) -> str:
    return "" if row.higher_is_better or not row.metric else " (lower is better)"


def render(comparison: Comparison, provenance: Mapping[str, Any]) -> str:
    """Return the page as one HTML document that loads nothing from elsewhere.

    Parameters
    ----------
    comparison : Comparison
    provenance : mapping
        With "command", "ventral", "date" and, by label, "models".
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    from results.report import _html

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    drawn = {"forest": forest(comparison), "matrix": matrix(comparison)}
    return environment.get_template("comparison.html.j2").render(
        comparison=comparison,
        rows=rows_of(comparison),
        provenance=provenance,
        figures={name: Markup(_html(figure, name)) for name, figure in drawn.items()},
        plotly=Markup(get_plotlyjs()),
        finite=math.isfinite,
    )


def _styled(figure: Any, height: int) -> Any:
    figure.update_layout(
        template="plotly_white",
        height=height,
        margin={"l": 20, "r": 20, "t": 60, "b": 40},
        font={"family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", "size": 13, "color": _INK},
        showlegend=False,
    )
    figure.update_annotations(font_size=13)
    figure.update_xaxes(gridcolor=_GRID, automargin=True)
    figure.update_yaxes(gridcolor=_GRID, automargin=True)
    return figure
