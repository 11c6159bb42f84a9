"""A comparison as a .png or .svg image, drawn with matplotlib where that is installed."""

from __future__ import annotations

import io
from typing import Any

from alignment.comparison import Comparison
from alignment.standings import Row
from results.report.comparison import cells, rows_of, scale_of

_VALUE, _RANK = "#0b5a8a", "#b35806"


def image(comparison: Comparison, form: str) -> bytes:
    """Return an image with a line per row: values, ranks, and differences with * where they are told apart.

    Parameters
    ----------
    comparison : Comparison
    form : "png" or "svg".
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows, models = rows_of(comparison), list(comparison.models)
    height = 0.9 + 0.34 * len(models)
    figure = Figure(figsize=(13, height * len(rows) + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(rows), 3, squeeze=False, width_ratios=(5, 2.5, 4))
    for (heading, row), (left, middle, right) in zip(rows, panels, strict=True):
        labels = [f"{each.model}  {each.groups}" for each in row.standings]
        _points(left, [(each.value, *each.interval) for each in row.standings], _VALUE, labels)
        _points(middle, [(each.rank, *each.rank_interval) for each in row.standings], _RANK, [""] * len(labels))
        left.set_title(heading, fontsize=9, loc="left")
        middle.set_title("rank", fontsize=9, loc="left")
        middle.set_xlim(0.5, len(models) + 0.5)
        middle.set_xticks(range(1, len(models) + 1))
        _matrix(right, row, models)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=form, dpi=120, metadata={"Date": None} if form == "svg" else None)
    return buffer.getvalue()


def _points(panel: Any, triples: list[tuple[float, float, float]], colour: str, labels: list[str]) -> None:
    for line, (value, low, high) in enumerate(triples):
        panel.plot([low, high], [line, line], color=colour, linewidth=1.6)
        panel.plot([value], [line], "o", color=colour)
    panel.set_yticks(range(len(labels)), labels, fontsize=8)
    panel.set_ylim(len(labels) - 0.5, -0.5)
    panel.tick_params(axis="x", labelsize=8)
    panel.grid(axis="x", alpha=0.3)


def _matrix(panel: Any, row: Row, models: list[str]) -> None:
    values, texts = cells(row, models)
    most = scale_of(values)
    panel.imshow(values, cmap="RdBu" if row.higher_is_better else "RdBu_r", vmin=-most, vmax=most, aspect="auto")
    for line, found in enumerate(texts):
        for column, text in enumerate(found):
            panel.text(column, line, text, ha="center", va="center", fontsize=8)
    panel.set_xticks(range(len(models)), [str(number) for number in range(1, len(models) + 1)], fontsize=8)
    panel.set_yticks(range(len(models)), [f"{n} {model}" for n, model in enumerate(models, 1)], fontsize=8)
    panel.yaxis.tick_right()
    panel.set_title("line less column; * told apart", fontsize=9, loc="left")
