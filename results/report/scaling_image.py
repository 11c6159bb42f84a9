"""Figures of scaling laws as .png, .pdf or .svg images, drawn with matplotlib where that is installed."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

from results.report.scaling_curves import Panel, Series, axis_title, colours, curve_of, score_axis, seen, span_of

FORMATS = ("png", "pdf", "svg")
_ACROSS = 3


def image(panels: Sequence[Panel], form: str, unit: str = "") -> bytes:
    """Return the panels as an image: points, fitted curves with bands, dotted where extrapolated, published dashed.

    Parameters
    ----------
    panels : at least one.
    form : "png", "pdf" or "svg".
    unit : of the scores, in words.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    across = min(_ACROSS, len(panels))
    down = math.ceil(len(panels) / across)
    figure = Figure(figsize=(4.4 * across + 1.2, 3.4 * down + 0.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(down, across, squeeze=False).ravel()
    for panel, axis in zip(panels, axes, strict=False):
        for series, colour in zip(panel.series, colours(panel), strict=True):
            _draw(axis, series, colour)
        axis.set_xscale("log")
        axis.set_ylim(*span_of(panel))
        axis.set_xlabel(axis_title(panel.series[0]), fontsize=9)
        axis.set_ylabel(score_axis(unit), fontsize=9)
        axis.set_title(panel.title, fontsize=10, loc="left")
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(fontsize=7, frameon=False)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    buffer = io.BytesIO()
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(form)
    figure.savefig(buffer, format=form, dpi=140, metadata=undated)
    return buffer.getvalue()


def _draw(axis: Any, series: Series, colour: str) -> None:
    curve, (x, score) = curve_of(series), seen(series)
    known = curve.x <= curve.largest
    axis.plot(x, score, "o", color=colour, markersize=2.5, alpha=0.35, markeredgewidth=0)
    if not math.isnan(curve.low[0]):
        axis.fill_between(curve.x, curve.low, curve.high, color=colour, alpha=0.18, linewidth=0)
    axis.plot(curve.x[known], curve.score[known], color=colour, linewidth=1.8, label=series.label)
    axis.plot(curve.x[~known], curve.score[~known], ":", color=colour, linewidth=1.8)
    if curve.published is not None:
        axis.plot(curve.x, curve.published, "--", color="#1f2933", linewidth=1, label="published")
