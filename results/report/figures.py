"""The report's figures, each a pure function from scores to a plotly figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from alignment import Score, get_metric
from alignment.contracts import BandedMetric, GeometryMetric

SHARES = (
    "Number after each layer of a joint fit: its share of the variance explained in held-out responses, mean over "
    "neuroids and splits. Shares add up to the whole; noise counts as variance; below 0 a layer made predictions worse."
)

# Okabe and Ito's palette, distinguishable with any kind of colour vision.
COLOURS = {"V1": "#0072B2", "V2": "#009E73", "V4": "#D55E00", "IT": "#AA4499", "behaviour": "#56606B"}
INK, _GRID = "#1f2933", "#e4e7eb"
_MOST_BARS = 12


def headline_rows(scores: Sequence[Score]) -> list[Score]:
    """Return the rows drawn as bars: all of them if few, else each benchmark's best layer under each metric."""
    if len(scores) <= _MOST_BARS:
        return list(scores)
    return [best_of(cell) for cell in by_cell(scores).values()]


def by_cell(scores: Sequence[Score]) -> dict[tuple[str, str], list[Score]]:
    """Return the scores of every benchmark under every metric, in the order they come."""
    cells: dict[tuple[str, str], list[Score]] = {}
    for row in scores:
        cells.setdefault((row.benchmark, row.metric), []).append(row)
    return cells


def best_of(scores: Sequence[Score]) -> Score:
    """Return the best of several layers' scores under one metric, the first of equals; one without a value never is."""
    sign = 1.0 if get_metric(scores[0].metric).higher_is_better else -1.0
    return max(scores, key=lambda row: -math.inf if math.isnan(row.raw) else sign * row.raw)


def headline_bars(scores: Sequence[Score]) -> Any:
    """Return bars of the raw score with the highest attainable, beside bars of the ceiled value where there is one."""
    from plotly import graph_objects as go
    from plotly.subplots import make_subplots

    rows = headline_rows(scores)
    labels = [_label(row) for row in rows]
    colours = [COLOURS.get(row.region, INK) for row in rows]
    figure = make_subplots(
        cols=2,
        shared_yaxes=True,
        horizontal_spacing=0.06,
        subplot_titles=(_listed("raw", [row.measure for row in rows]), _ceiled_title(rows)),
    )
    raw = [(row.raw, *row.raw_interval) for row in rows]
    figure.add_trace(_bars(labels, raw, colours), col=1, row=1)
    with_ceiling = [row for row in rows if row.ceiling is not None and row.ceiling >= 0 and row.ceiled is not None]
    marker = {"symbol": "line-ns-open", "size": 22, "color": INK, "line": {"width": 2}}
    figure.add_trace(
        go.Scatter(
            x=[attainable(row) for row in with_ceiling],
            y=[_label(row) for row in with_ceiling],
            mode="markers",
            marker=marker,
            hovertemplate="highest a perfect model can reach: %{x:.3f}<extra></extra>",
            showlegend=False,
        ),
        col=1,
        row=1,
    )
    ceiled = [(math.nan,) * 3 if row.ceiled is None else (row.ceiled, *row.interval) for row in rows]
    figure.add_trace(_bars(labels, ceiled, colours), col=2, row=1)
    for row in rows:
        if row.ceiled is None or math.isnan(row.raw):
            reason = no_ceiling(row) if row.ceiling is None else "ceiling not above 0"
            reason = undefined(row) if math.isnan(row.raw) else reason
            figure.add_annotation(
                x=0.0, y=_label(row), text=reason, xref="x2", yref="y2", showarrow=False, xanchor="left",
                font={"size": 12, "color": "#52606d"},
            )  # fmt: skip
    lowest = min([0.0, *(value for triple in (*raw, *ceiled) for value in triple if not math.isnan(value))])
    highest = max([1.0, *(value for triple in (*raw, *ceiled) for value in triple if not math.isnan(value))])
    figure.update_xaxes(range=[lowest * 1.05, highest * 1.02])
    figure.update_yaxes(autorange="reversed")
    figure.update_yaxes(categoryorder="array", categoryarray=labels)
    return styled(figure, height=130 + 52 * len(rows))


def attainable(score: Score) -> float:
    """Return the raw score at which the ceiled one is 1: what a perfect model reaches, given the noise."""
    ceiling = score.ceiling if score.ceiling is not None and score.ceiling >= 0 else math.nan
    return math.sqrt(ceiling) if score.ceiled_rule in ("r^2/ceiling", "raw/sqrt(ceiling)") else ceiling


def no_ceiling(score: Score) -> str:
    """Return why a score has no ceiling."""
    card = get_metric(score.metric)
    rule = card.ceiled_rule
    if isinstance(card, GeometryMetric) and score.kind == "recording":
        rule = card.recording_rule
    if rule is None:
        return "this metric has no ceiling"
    if score.kind != "recording":
        return "no ceiling"
    return "no ceiling: only averages exist" if score.n_repeats == 1 else "no ceiling: some parts are averages"


def undefined(score: Score) -> str:
    """Return why a score is not a number."""
    reasons = {"choices": "constant answers, or none that count", "distributions": "no unit has the property"}
    return f"undefined: {reasons.get(score.kind, 'constant features, predictions or responses')}"


def number(value: float) -> str:
    """Return a score's value as tables show it."""
    return "undefined" if math.isnan(value) else f"{value:.3f}"


def has_shares(score: Score) -> bool:
    """Return whether the details of a score are shares of layers, which `SHARES` explains."""
    return isinstance(get_metric(score.metric), BandedMetric)


def unit_distribution(scores: Sequence[Score]) -> Any:
    """Return the raw score of every neuroid, subject or property, one box with all points per bar of the bars."""
    from plotly import graph_objects as go

    figure = go.Figure()
    for row in headline_rows(scores):
        colour = COLOURS.get(row.region, INK)
        figure.add_trace(
            go.Box(
                x=[value for value in row.unit_raw if math.isfinite(value)],
                name=_label(row), boxpoints="all", jitter=0.5, pointpos=0, line={"color": colour, "width": 1.5},
                marker={"size": 4, "opacity": 0.45, "color": colour}, fillcolor="rgba(255,255,255,0)",
                text=[unit for unit, value in zip(row.unit_ids, row.unit_raw, strict=True) if math.isfinite(value)],
                hovertemplate="%{text}: %{x:.3f}<extra></extra>", showlegend=False,
            )
        )  # fmt: skip
    figure.update_xaxes(title="raw score of a neuroid, subject or property")
    figure.update_yaxes(autorange="reversed")
    return styled(figure, height=130 + 62 * len(headline_rows(scores)))


def _bars(labels: list[str], values: Sequence[tuple[float, ...]], colours: list[str]) -> Any:
    from plotly import graph_objects as go

    return go.Bar(
        x=[value for value, _, _ in values],
        y=labels,
        orientation="h",
        marker={"color": colours, "opacity": 0.85},
        width=0.55,
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [high - value for value, _, high in values],
            "arrayminus": [value - low for value, low, _ in values],
            "color": INK,
            "thickness": 1.4,
            "width": 4,
        },
        customdata=[(low, high) for _, low, high in values],
        hovertemplate="%{x:.3f}, 95 % interval %{customdata[0]:.3f} to %{customdata[1]:.3f}<extra></extra>",
        showlegend=False,
    )


def _ceiled_title(rows: Sequence[Score]) -> str:
    return _listed("ceiled", [row.ceiled_rule for row in rows if row.ceiled is not None])


def _listed(word: str, names: Sequence[str]) -> str:
    return f"{word}: {', '.join(dict.fromkeys(names))}" if names else word


def _label(row: Score) -> str:
    return f"<b>{row.region}</b>  {row.benchmark}<br>{row.layer}, {row.metric}"


def styled(figure: Any, *, height: int, legend: bool = False) -> Any:
    """Return the figure in the style of all figures of a page, `height` in pixels."""
    figure.update_layout(
        template="plotly_white",
        height=height,
        margin={"l": 20, "r": 20, "t": 50, "b": 50},
        font={"family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", "size": 14, "color": INK},
        showlegend=legend,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        bargap=0.3,
    )
    figure.update_xaxes(gridcolor=_GRID, automargin=True)
    figure.update_yaxes(gridcolor=_GRID, automargin=True, ticklabelstandoff=8)
    return figure
