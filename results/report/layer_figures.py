"""Figures of a model's layers: along its depth, and as a table of layers by regions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from alignment import Score
from results.report.figures import COLOURS, INK, best_of, by_cell, number, styled

_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x")


def layer_profile(scores: Sequence[Score]) -> Any | None:
    """Return raw r along the layers: on the commitment data where layers were committed, else for the layers named.

    None where every benchmark has a single layer and no profile.
    """
    from plotly import graph_objects as go

    figure = go.Figure()
    order: list[str] = []
    for index, rows in enumerate(by_cell(scores).values()):
        colour = COLOURS.get(rows[0].region, INK)
        symbol = _SYMBOLS[index % len(_SYMBOLS)]
        profile = rows[0].profile
        if profile is not None:
            layers, raw, band = list(profile.layers), list(profile.raw), None
            name = f"{rows[0].region}, {rows[0].metric}, committed on {profile.benchmark}"
        elif len(rows) > 1:
            layers, raw = [row.layer for row in rows], [row.raw for row in rows]
            band = {
                "type": "data",
                "symmetric": False,
                "array": [row.raw_interval[1] - row.raw for row in rows],
                "arrayminus": [row.raw - row.raw_interval[0] for row in rows],
                "thickness": 1.2,
                "width": 3,
            }
            name = f"{rows[0].benchmark}, {rows[0].metric}"
        else:
            continue
        order += [layer for layer in layers if layer not in order]
        figure.add_trace(
            go.Scatter(
                x=layers, y=raw, mode="lines+markers", name=name, error_y=band,
                line={"color": colour, "width": 2}, marker={"symbol": symbol, "size": 8},
                hovertemplate="%{x}<br>raw score = %{y:.3f}<extra></extra>",
            )
        )  # fmt: skip
        if profile is not None:
            _mark_committed(figure, rows[0], colour)
    if not figure.data:
        return None
    figure.update_xaxes(categoryorder="array", categoryarray=order, tickangle=-40)
    figure.update_yaxes(title="raw score")
    return styled(figure, height=460, legend=True)


def layer_table(scores: Sequence[Score], committed: Sequence[Score] = ()) -> Any | None:
    """Return headline values of layers (rows) by benchmark and metric (columns), shaded within each column.

    The best of a column is framed, a layer committed on other data has a star. None where no benchmark has several
    layers.
    """
    from plotly import graph_objects as go

    cells = by_cell(scores)
    if max(len(rows) for rows in cells.values()) < 2:
        return None
    layers = list(dict.fromkeys(row.layer for row in scores))
    names = [f"<b>{rows[0].region}</b> {benchmark}<br>{metric}" for (benchmark, metric), rows in cells.items()]
    starred = {(row.benchmark, row.metric, row.layer) for row in committed}
    shades, texts = [[math.nan] * len(names) for _ in layers], [[""] * len(names) for _ in layers]
    figure = go.Figure()
    for column, rows in enumerate(cells.values()):
        values = {row.layer: row.raw if row.ceiled is None else row.ceiled for row in rows}
        finite = [value for value in values.values() if math.isfinite(value)]
        low, span = min(finite, default=0.0), (max(finite, default=0.0) - min(finite, default=0.0)) or 1.0
        for row in rows:
            line = layers.index(row.layer)
            shades[line][column] = (values[row.layer] - low) / span
            interval = "" if math.isnan(row.interval[0]) else f"{row.interval[0]:.3f} to {row.interval[1]:.3f}"
            star = " *" if (row.benchmark, row.metric, row.layer) in starred else ""
            texts[line][column] = f"{number(values[row.layer])}{star}<br><sub>{interval}</sub>"
        line = layers.index(best_of(rows).layer)
        frame = {"x0": column - 0.48, "x1": column + 0.48, "y0": line - 0.46, "y1": line + 0.46}
        figure.add_shape(type="rect", **frame, line={"color": INK, "width": 2.5})
    figure.add_trace(
        go.Heatmap(
            z=shades, x=names, y=layers, text=texts, texttemplate="%{text}", colorscale="Blues", zmin=0, zmax=1.6,
            showscale=False, xgap=2, ygap=2, hovertemplate="%{y}, %{x}<br>%{text}<extra></extra>",
        )
    )  # fmt: skip
    figure.update_yaxes(autorange="reversed")
    figure.update_xaxes(side="top")
    return styled(figure, height=140 + 40 * len(layers))


def _mark_committed(figure: Any, row: Score, colour: str) -> None:
    from plotly import graph_objects as go

    if row.profile is None or row.layer not in row.profile.layers:
        return
    height = row.profile.raw[row.profile.layers.index(row.layer)]
    figure.add_trace(
        go.Scatter(
            x=[row.layer], y=[height], mode="markers", showlegend=False,
            marker={"symbol": "circle-open", "size": 17, "color": colour, "line": {"width": 2.5}},
            hovertemplate=f"{row.region}: committed to %{{x}}<extra></extra>",
        )
    )  # fmt: skip
