"""Figures of scaling laws, each a pure function to a plotly figure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from results.report.figures import INK, styled
from results.report.scaling_curves import (
    PALETTE,
    Panel,
    Series,
    axis_title,
    colour_of,
    colours,
    curve_of,
    seen,
    span_of,
)

_ACROSS = 3
_SOFT = "#52606d"
_TICKS = 12  # size of numerals
_BIGGER = 1.25  # by which plotly enlarges the powers of ten of logarithmic axes
_TITLE = 34  # pixels of a panel's title


@dataclass(frozen=True)
class Dot:
    """A value with its interval, e.g. the gain of a region."""

    label: str
    value: float
    low: float
    high: float
    colour: str = PALETTE[0]


@dataclass(frozen=True)
class Line:
    """Values along a resource with a band, e.g. the best number of parameters by compute."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


@dataclass(frozen=True)
class Dots:
    """A cloud of models, e.g. those on the frontier; joined by no line, by a "linear" or by a stepped "hv" one.

    `ring` draws open circles around them, for models that other clouds show too.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    names: Sequence[str]
    line: str = ""
    ring: bool = False


@dataclass(frozen=True)
class Cloud:
    """A panel of models; `y_title` "" for that of the figure."""

    title: str
    x_title: str
    dots: Sequence[Dots]
    y_title: str = ""


def laws(panels: Sequence[Panel], y_title: str = "score") -> Any:
    """Return the panels side by side: points, fitted curves with bands, dotted where extrapolated, published dashed."""
    from plotly.subplots import make_subplots

    across = min(_ACROSS, len(panels))
    down = math.ceil(len(panels) / across)
    figure = make_subplots(
        rows=down, cols=across, subplot_titles=[panel.title for panel in panels] if len(panels) > 1 else None,
        horizontal_spacing=0.08, vertical_spacing=min(0.16, 0.4 / down),
    )  # fmt: skip
    listed: set[str] = set()
    for number, panel in enumerate(panels):
        place = {"row": number // across + 1, "col": number % across + 1}
        for series, colour in zip(panel.series, colours(panel), strict=True):
            _draw(figure, series, colour, place, listed)
        x = [value for series in panel.series for value in seen(series)[0]]
        figure.update_xaxes(title=axis_title(panel.series[0]), **_log_axis(x), **place)
        figure.update_yaxes(title=y_title if place["col"] == 1 else None, range=list(span_of(panel)), **place)
    return _with_legend(figure, 480 if len(panels) == 1 else 130 + 320 * down, titled=len(panels) > 1)


def _draw(figure: Any, series: Series, colour: str, place: dict[str, int], listed: set[str]) -> None:
    from plotly import graph_objects as go

    curve, (x, score) = curve_of(series), seen(series)
    group = {"legendgroup": series.label, "name": series.label}
    figure.add_trace(
        go.Scatter(
            x=x, y=score, mode="markers", text=series.law.points.names, showlegend=False, **group,
            marker={"color": colour, "size": 5, "opacity": 0.35},
            hovertemplate="%{text}<br>%{x:.3g}: %{y:.3f}<extra></extra>",
        ), **place,
    )  # fmt: skip
    if not math.isnan(curve.low[0]):
        figure.add_trace(
            go.Scatter(
                x=[*curve.x, *curve.x[::-1]], y=[*curve.high, *curve.low[::-1]], fill="toself", hoverinfo="skip",
                mode="lines", line={"width": 0}, fillcolor=_faint(colour), showlegend=False, **group,
            ), **place,
        )  # fmt: skip
    known = curve.x <= curve.largest
    line = {"color": colour, "width": 2.5}
    for part, dash in ((known, "solid"), (~known | _last(known), "dot")):
        figure.add_trace(
            go.Scatter(
                x=curve.x[part], y=curve.score[part], mode="lines", line={**line, "dash": dash}, **group,
                showlegend=dash == "solid" and series.label not in listed,
                hovertemplate=f"{series.label}<br>%{{x:.3g}}: %{{y:.3f}}<extra></extra>",
            ), **place,
        )  # fmt: skip
    listed.add(series.label)
    if curve.published is not None:
        figure.add_trace(
            go.Scatter(
                x=curve.x, y=curve.published, mode="lines", line={"color": INK, "width": 1.5, "dash": "dash"},
                legendgroup="published", name="published", showlegend="published" not in listed,
                hovertemplate="published<br>%{x:.3g}: %{y:.3f}<extra></extra>",
            ), **place,
        )  # fmt: skip
        listed.add("published")


def _with_legend(figure: Any, height: int, *, titled: bool) -> Any:
    """Style the figure, its legend at the top, above the titles of panels; plotly makes room for all its rows."""
    styled(figure, height=height, legend=len({trace.name for trace in figure.data if trace.showlegend}) > 1)
    above = _TITLE if titled else 8
    legend = {
        "y": 1 + above / (height - 140),
        "yanchor": "bottom",
        "x": 0,
        "font": {"size": 13},
        "itemsizing": "constant",
    }
    figure.update_yaxes(tickfont={"size": _TICKS}, title_font={"size": 13})
    figure.update_xaxes(tickfont={"size": _TICKS}, title_font={"size": 13})
    figure.for_each_xaxis(_even)
    figure.for_each_yaxis(_even)
    return figure.update_layout(legend=legend, margin={"t": 15 + (_TITLE if titled else 0)})


def _even(axis: Any) -> None:
    """Make powers of ten as large as other numerals."""
    if axis.type == "log":
        axis.tickfont.size = _TICKS / _BIGGER


def _log_axis(values: Sequence[float]) -> dict[str, Any]:
    """Return the settings of a logarithmic axis: ticks at powers of ten, where the values span some."""
    decades = math.log10(max(values) / min(values)) if len(values) else 0.0
    ticks: dict[str, Any] = {"dtick": 1 if decades <= 5 else 2} if decades >= 1.5 else {}
    return {"type": "log", "exponentformat": "power", **ticks}


def _last(known: Any) -> Any:
    """Return a mask of the last known place, where the dotted part is to begin."""
    mask = known.copy()
    mask[: int(known.sum()) - 1] = False
    return mask


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.18)"


def dots(values: Sequence[Dot], title: str) -> Any:
    """Return values with their intervals, from left to right in the order given."""
    from plotly import graph_objects as go

    figure = go.Figure(
        go.Scatter(
            x=[dot.label for dot in values], y=[dot.value for dot in values], mode="markers", showlegend=False,
            marker={"size": 12, "color": [dot.colour for dot in values]},
            error_y={
                "type": "data", "symmetric": False, "thickness": 1.6, "width": 5, "color": _SOFT,
                "array": [dot.high - dot.value for dot in values],
                "arrayminus": [dot.value - dot.low for dot in values],
            },
            customdata=[(dot.low, dot.high) for dot in values],
            hovertemplate="%{x}: %{y:.3g} (%{customdata[0]:.3g} to %{customdata[1]:.3g})<extra></extra>",
        )
    )  # fmt: skip
    figure.update_yaxes(title=title, rangemode="tozero")
    return _with_legend(figure, 360, titled=False)


def errors(found: Mapping[str, Mapping[str, float]], y_title: str) -> Any:
    """Return errors by form, {law: {form: error}}, a column per law; the form without an end as open diamonds."""
    from plotly import graph_objects as go

    figure = go.Figure()
    for number, form in enumerate(sorted({form for each in found.values() for form in each})):
        plain = form == "unbounded"
        values = {law: each[form] for law, each in found.items() if form in each}
        figure.add_trace(
            go.Scatter(
                x=list(values), y=list(values.values()), mode="markers", name=f"{form}, no end" if plain else form,
                marker={
                    "size": 17 if plain else 9, "symbol": "diamond-open" if plain else "circle",
                    "line": {"width": 2 * plain},
                    "color": INK if plain else PALETTE[number % len(PALETTE)],
                },
                hovertemplate=f"%{{x}}, {form}: %{{y:.3g}}<extra></extra>", showlegend=True,
            )
        )  # fmt: skip
    ticks = [digit * 10.0**power for power in range(-6, 3) for digit in (1, 2, 5)]
    figure.update_yaxes(title=y_title, type="log", tickvals=ticks, ticktext=[f"{value:g}" for value in ticks])
    return _with_legend(figure, 380, titled=False).update_yaxes(tickfont={"size": _TICKS})


def lines(panels: Sequence[tuple[str, Sequence[Line]]], x_title: str) -> Any:
    """Return lines with bands on logarithmic axes, one panel per title."""
    from plotly import graph_objects as go
    from plotly.subplots import make_subplots

    figure = make_subplots(cols=len(panels), subplot_titles=[title for title, _ in panels], horizontal_spacing=0.1)
    for column, (_, drawn) in enumerate(panels, 1):
        for number, line in enumerate(drawn):
            colour = colour_of(line.label, number)
            figure.add_trace(
                go.Scatter(
                    x=[*line.x, *line.x[::-1]], y=[*line.high, *line.low[::-1]], fill="toself", hoverinfo="skip",
                    mode="lines", line={"width": 0}, fillcolor=_faint(colour), showlegend=False,
                ), row=1, col=column,
            )  # fmt: skip
            figure.add_trace(
                go.Scatter(
                    x=line.x, y=line.y, mode="lines+markers", line={"color": colour, "width": 2.5}, name=line.label,
                    showlegend=column == 1, legendgroup=line.label,
                    hovertemplate=f"{line.label}<br>%{{x:.3g}}: %{{y:.3g}}<extra></extra>",
                ), row=1, col=column,
            )  # fmt: skip
        figure.update_xaxes(
            title=x_title, **_log_axis([value for line in drawn for value in line.x]), row=1, col=column
        )
        figure.update_yaxes(**_log_axis([value for line in drawn for value in line.y]), row=1, col=column)
    return _with_legend(figure, 450, titled=True)


def clouds(panels: Sequence[Cloud], y_title: str, *, log_x: bool = True) -> Any:
    """Return clouds of models, one panel each."""
    from plotly import graph_objects as go
    from plotly.subplots import make_subplots

    across = min(_ACROSS, len(panels))
    down = math.ceil(len(panels) / across)
    titles = [panel.title for panel in panels] if any(panel.title for panel in panels) else None
    figure = make_subplots(
        rows=down, cols=across, subplot_titles=titles, horizontal_spacing=0.08, vertical_spacing=0.32 / down
    )
    listed: set[str] = set()
    for index, panel in enumerate(panels):
        place = {"row": index // across + 1, "col": index % across + 1}
        for number, cloud in enumerate(panel.dots):
            colour = colour_of(cloud.label, number)
            figure.add_trace(
                go.Scatter(
                    x=cloud.x, y=cloud.y, mode="lines+markers" if cloud.line else "markers", text=cloud.names,
                    line={"color": colour, "shape": cloud.line or None, "width": 2}, name=cloud.label,
                    marker={
                        "color": colour, "size": 12 if cloud.ring else 6,
                        "symbol": "circle-open" if cloud.ring else "circle",
                        "line": {"width": 2 if cloud.ring else 0}, "opacity": 1 if cloud.line or cloud.ring else 0.45,
                    },
                    legendgroup=cloud.label, showlegend=cloud.label not in listed,
                    hovertemplate="%{text}<br>%{x:.3g}: %{y:.3f}<extra></extra>",
                ), **place,
            )  # fmt: skip
            listed.add(cloud.label)
        x = [value for cloud in panel.dots for value in cloud.x]
        figure.update_xaxes(title=panel.x_title, **(_log_axis(x) if log_x else {}), **place)
        figure.update_yaxes(title=panel.y_title or (y_title if place["col"] == 1 else None), **place)
    return _with_legend(figure, 110 + 340 * down, titled=titles is not None)
