"""A self-contained HTML page about one run: figures, table, reading guide and provenance, readable offline."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignment import Score
from model_zoo.machine import format_bytes

if TYPE_CHECKING:
    from alignment.controls import Control

__all__ = ["render"]


def render(
    scores: Sequence[Score],
    provenance: Mapping[str, Any],
    controls: Sequence[Control] = (),
    committed: Sequence[Score] = (),
) -> str:
    """Return the page as one HTML document that loads nothing from elsewhere.

    Parameters
    ----------
    scores : sequence of Score
        At least one, all of one model.
    provenance : mapping
        See `results.records.provenance`.
    controls : sequence of Control
        Untrained twins and shuffled stimuli, one entry per score; () where none were asked for.
    committed : sequence of Score
        Of layers chosen on other data, beside `scores` of layers that were named; () where none were asked for.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    from results.report import figures, layer_figures

    drawn = {
        "bars": figures.headline_bars(scores),
        "profile": layer_figures.layer_profile(scores),
        "commitment": layer_figures.layer_profile(committed),
        "layers": layer_figures.layer_table(scores, committed),
        "units": figures.unit_distribution(scores),
    }
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("page.html.j2").render(
        scores=scores,
        controls=controls,
        committed=committed,
        model=provenance["model"],
        provenance=provenance,
        provenance_json=json.dumps(provenance, indent=2, default=str),
        kinds=sorted({score.kind for score in scores}),
        no_ceiling=figures.no_ceiling,
        number=figures.number,
        undefined=figures.undefined,
        shares=figures.SHARES if any(map(figures.has_shares, scores)) else "",
        simulated=all(score.benchmark.startswith("Simulated.") for score in scores),
        shown=figures.headline_rows(scores),
        figures={name: Markup(_html(figure, name)) for name, figure in drawn.items() if figure is not None},
        plotly=Markup(get_plotlyjs()),
        peak_memory=format_bytes(provenance["peak_memory_bytes"]),
    )


def _html(figure: Any, name: str) -> str:
    settings = {"displaylogo": False, "responsive": True, "modeBarButtonsToRemove": ["lasso2d", "select2d"]}
    return str(figure.to_html(full_html=False, include_plotlyjs=False, div_id=f"figure-{name}", config=settings))
