"""How the controls of scores are shown: untrained twins and shuffled stimuli, a row beside every score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from results.cli import console

if TYPE_CHECKING:
    from alignment import Score
    from alignment.chance import Chance
    from alignment.controls import Control
    from alignment.twins import Twins

_NONE = "-"


def print_controls(scores: Sequence[Score], controls: Sequence[Control], *, quiet: bool) -> None:
    """Print a table of what stands beside every score, then, unless `quiet`, what a reader must know of it.

    Parameters
    ----------
    scores : sequence of Score
    controls : sequence of Control
        From `alignment.controls.controls`, one per score and in their order.
    """
    scored = ("benchmark", "layer", "metric", "score")
    columns = (*scored, "untrained", "score less it", "shuffled", "score less them", "p")
    title = f"{scores[0].model}: raw scores beside untrained twins and shuffled stimuli (p), 95 % intervals"
    table = console.table(title, *columns, right=("score", "p"))
    for score, control in zip(scores, controls, strict=True):
        twins, chance = control.twins, control.chance
        table.add_row(
            score.benchmark,
            score.layer,
            score.metric,
            f"{score.measure} {score.raw:.3f}",
            _NONE if twins is None else _untrained(twins),
            _NONE if twins is None else _apart(twins),
            _NONE if chance is None else f"{chance.mean:.3f}",
            _NONE if chance is None else _apart(chance),
            _NONE if chance is None else f"{chance.p:.2g}",
        )
    console.show(table)
    if quiet:
        return
    for note in dict.fromkeys(note for control in controls for note in control.notes):
        having = [control for control in controls if note in control.notes]
        where = "" if len(having) == len(controls) else ", ".join(f"{c.benchmark} {c.layer} {c.metric}" for c in having)
        console.note(f"{where}: {note}" if where else f"{note[0].upper()}{note[1:]}.")


def interval(bounds: tuple[float, float]) -> str:
    """Return a 95 % interval as text."""
    low, high = bounds
    return "" if math.isnan(low) or math.isnan(high) else f"[{low:+.3f}, {high:+.3f}]"


def _apart(found: Twins | Chance) -> str:
    return f"{found.difference:+.3f} {interval(found.interval)}"


def _untrained(twins: Twins) -> str:
    n_seeds = len(twins.seeds)
    spread = "" if twins.spread is None else f" (sd {twins.spread:.3f})"
    return f"{twins.mean:.3f}{spread}, {n_seeds} seed{'s' if n_seeds > 1 else ''}"
