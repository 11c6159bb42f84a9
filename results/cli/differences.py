"""How a comparison is shown: models against benchmarks, then every difference."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from results.cli import console
from results.report.comparison import quantity_of

if TYPE_CHECKING:
    from alignment.comparison import Comparison
    from alignment.standings import Row


def print_comparison(comparison: Comparison, *, quiet: bool) -> None:
    """Print models against benchmarks, then every difference; unless `quiet`, also how to read them."""
    rows = (*comparison.rows, *comparison.aggregates)
    headings = [_heading(row) for row in rows]
    table = console.table(f"{len(comparison.models)} models", "model", *headings)
    for number, model in enumerate(comparison.models):
        table.add_row(model, *(_standing(row, number) for row in rows))
    console.show(table)
    share = f"{100 * comparison.level:g} %"
    if not quiet:
        console.say(
            f"Value ({share} interval); rank, 1 is best (its interval); models that share a letter: not told apart."
        )
    columns = ("on", "first - second", "difference", f"{share} interval", "p", "p adjusted", "p stimuli", "p units")
    table = console.table("Differences", *columns, "effect", "units for first", "verdict")
    for row in rows:
        for each in row.differences:
            table.add_row(
                _heading(row).replace("\n", ", "),
                f"{each.first} - {each.second}" + ("" if each.paired else " (unpaired)"),
                f"{each.value:+.3f}",
                _interval(each.interval, ".3f"),
                *(_p(p) for p in (each.p, each.p_adjusted, each.p_stimuli, each.p_units)),
                "-" if each.effect_size is None else f"{each.effect_size:+.2f}",
                "-" if each.share_of_units is None else f"{each.share_of_units:.0%}",
                each.verdict,
            )
    console.show(table)
    if quiet:
        return
    console.say(_reading(comparison))
    for row in rows:
        for note in row.notes:
            console.say(f"{_heading(row).splitlines()[0]}: {note}")


def _heading(row: Row) -> str:
    lower = "" if row.higher_is_better or not row.metric else ", lower is better"
    return f"{row.name}\n{row.metric}, {row.quantity}{lower}" if row.metric else quantity_of(row)


def _standing(row: Row, number: int) -> str:
    each = row.standings[number]
    if math.isnan(each.value):
        return "undefined"
    bounds = _interval(each.rank_interval, "g")
    return f"{each.value:.3f} ({_interval(each.interval, '.3f')})\nrank {each.rank:g} ({bounds}) {each.groups}"


def _interval(bounds: tuple[float, float], form: str) -> str:
    low, high = bounds
    return "-" if math.isnan(low) else f"{low:{form}} to {high:{form}}"


def _p(p: float | None) -> str:
    if p is None or math.isnan(p):
        return "-"
    return "<.0001" if p < 1e-4 else f"{p:.4f}"


def _reading(comparison: Comparison) -> str:
    adjusted = {"holm": "Holm", "bh": "Benjamini and Hochberg", "none": "not adjusted"}[comparison.correction]
    return (
        f"p: for other stimuli and other units; adjusted over pairs and benchmarks: {adjusted}. p stimuli, p units: "
        "sign flips of raw scores, for these units or these stimuli alone."
    )
