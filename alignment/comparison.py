"""Which of several models is better, and how sure: differences of scores on the same draws, ranks, and their averages.

Everything is computed from scores and the `Evidence` they carry; no data, features or models are needed. Imports no
torch.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from alignment import get_metric
from alignment.averages import AGGREGATES, Aggregate, average
from alignment.contracts import Array, Interval
from alignment.pairing import Replicates, replicates_of, sign_flip
from alignment.scores import Score
from alignment.standings import Difference, Row, decided_rows, differences_of, standings_of
from alignment.statistics import summarise
from model_zoo.errors import InvalidOption

Correction = Literal["holm", "bh", "none"]
CORRECTIONS: tuple[Correction, ...] = ("holm", "bh", "none")
Key = tuple[str, str]  # benchmark, metric


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What `compare` found; see `Row`."""

    models: tuple[str, ...]
    rows: tuple[Row, ...]
    aggregates: tuple[Row, ...]
    level: float
    correction: Correction
    seed: int


def compare(
    models: Mapping[str, Sequence[Score]],
    *,
    correction: Correction = "holm",
    level: float = 0.95,
    aggregates: Sequence[Aggregate] = AGGREGATES,
    common: bool = False,
    seed: int = 0,
) -> Comparison:
    """Return how models differ on every benchmark and metric they were scored on, and on average.

    Parameters
    ----------
    models : label -> the model's scores, one per benchmark and metric; at least two labels.
    correction : over all pairs of models and all rows, and for each average over its pairs: "holm" (family-wise error),
        "bh" (Benjamini and Hochberg: false discovery rate) or "none".
    level : coverage of intervals; a model is called better where the adjusted p is below 1 - level.
    aggregates : "mean" of headline values, mean "zscore" and mean "rank" among the models compared.
    common : True leaves out what not all models were scored on; False refuses.
    seed : of the sign flips, where there are too many to try all.

    Returns
    -------
    Comparison
        Models in the order given; differences of every two in that order.

    Raises
    ------
    InvalidOption
        Fewer than two models, several layers of one model on one benchmark, benchmarks or rules that are not shared.

    Notes
    -----
    Replicates of two models are subtracted draw by draw: both were judged on the same drawn stimuli and units. The
    error of the difference counts stimuli, units and the noise of single responses once each, and p is that of
    Student's t with Satterthwaite's degrees of freedom (`alignment.pairing.two_way_test`). On simulated null
    experiments this rejects in 3 to 7 % at a nominal 5 % (docs/comparison.md). Where two scores do not share their
    draws, the draws of one are shuffled, so that variances add.

    Fitted maps are held fixed, as in every score, and models are too: nothing is said about other seeds of the same
    architecture.
    """
    if len(models) < 2:
        raise InvalidOption(
            "compare", expected="at least two models", got=str(len(models)), next_step="name another one"
        )
    tables = {label: _by_key(label, scores) for label, scores in models.items()}
    keys = shared_keys(tables, common=common)
    made = [_row(key, {label: table[key] for label, table in tables.items()}, level, seed) for key in keys]
    rows = decided_rows([row for row, _ in made], correction, level)
    averages: list[Row] = []
    usable = [(row, found) for row, found in made if found.complete]
    if len(keys) > 1 and usable:
        left_out = tuple(f"left out, a score is undefined: {row.name}" for row, found in made if not found.complete)
        for kind in aggregates:
            averages += decided_rows([average(kind, usable, level, left_out)], correction, level)
    return Comparison(
        models=tuple(models),
        rows=tuple(rows),
        aggregates=tuple(averages),
        level=level,
        correction=correction,
        seed=seed,
    )


def headline(score: Score) -> float:
    """Return the value that models are compared by: ceiled where there is a ceiling, else raw."""
    return score.raw if score.ceiled is None else score.ceiled


def _by_key(label: str, scores: Sequence[Score]) -> dict[Key, Score]:
    table: dict[Key, Score] = {}
    for score in scores:
        other = table.setdefault((score.benchmark, score.metric), score)
        if other is not score:
            raise InvalidOption(
                f"{label} on {score.benchmark} under {score.metric}",
                expected="one score",
                got=f"layers {other.layer} and {score.layer}",
                next_step="name one of them with --layers",
            )
    return table


def shared_keys(tables: Mapping[str, Collection[Key]], *, common: bool) -> list[Key]:
    """Return the (benchmark, metric) pairs to compare on, in the order of the first model that has them.

    Raises
    ------
    InvalidOption
        If there are none, or, unless `common`, if one of them is missing for a model; names what is missing where.
    """
    every = list(dict.fromkeys(key for table in tables.values() for key in table))
    missing = [(key, label) for key in every for label, table in tables.items() if key not in table]
    lacking = {key for key, _ in missing}
    shared = [key for key in every if key not in lacking]
    if (missing and not common) or not shared:
        named = [f"{benchmark} ({metric}) of {label}" for (benchmark, metric), label in missing]
        more = f" and {len(named) - 3} more" if len(named) > 3 else ""
        raise InvalidOption(
            "compare",
            expected="the same benchmarks and metrics for all models",
            got=f"no score on {', '.join(named[:3])}{more}" if named else "no scores",
            next_step="score them too" + (", or pass --common to compare on what all have" if shared else ""),
        )
    return shared


def _row(key: Key, scores: Mapping[str, Score], level: float, seed: int) -> tuple[Row, Replicates]:
    """Return one benchmark's row, p not yet adjusted, and the replicates it was made from."""
    benchmark, metric = key
    rules = sorted({_quantity(score) for score in scores.values()})
    if len(rules) > 1:
        raise InvalidOption(
            f"{benchmark} ({metric})",
            expected="scores of all models in one unit",
            got=" and ".join(rules),
            next_step="score the models again with one version of ventral",
        )
    higher = get_metric(metric).higher_is_better
    values = np.array([headline(score) for score in scores.values()])
    found = replicates_of({label: (headline(score), score) for label, score in scores.items()})
    intervals = [_interval(score, level) for score in scores.values()]
    pairs = [
        _with_permutations(difference, scores[difference.first], scores[difference.second], 1 if higher else -1, seed)
        for difference in differences_of(tuple(scores), values, [(1.0, found)], level)
    ]
    first = next(iter(scores.values()))
    row = Row(
        name=benchmark,
        region=first.region,
        metric=metric,
        quantity=rules[0],
        higher_is_better=higher,
        standings=standings_of(tuple(scores), values, intervals, found.deviations, higher, level),
        differences=tuple(pairs),
        notes=_notes(scores, found),
    )
    return row, found


def _quantity(score: Score) -> str:
    return f"raw {score.measure}" if score.ceiled is None else f"ceiled {score.ceiled_rule}"


def _interval(score: Score, level: float) -> Interval:
    if level == 0.95 or score.evidence is None:  # that of the score itself
        return score.interval
    return summarise(headline(score), score.evidence.headline, level, fitted=score.fitted)[1]


def _notes(scores: Mapping[str, Score], found: Replicates) -> tuple[str, ...]:
    notes = [f"{label}: {score.note}" for label, score in scores.items() if score.note]
    versions = {label: score.benchmark_version for label, score in scores.items()}
    if len(set(versions.values())) > 1:
        notes.append("versions of the benchmark differ: " + ", ".join(f"{k} {v}" for k, v in versions.items()))
    if len(set(found.pairings)) > 1:
        notes.append("not all scores share data and draws; differences marked unpaired add both errors")
    bare = [label for label, score in scores.items() if score.evidence is None]
    if bare:
        notes.append(f"no replicates are stored for {', '.join(bare)}: normal ones were made from the standard error")
    return tuple(notes)


def _with_permutations(found: Difference, first: Score, second: Score, sign: int, seed: int) -> Difference:
    """Return the difference with what contributions of stimuli and units say about it."""
    one, other = first.evidence, second.evidence
    if one is None or other is None or not found.paired:
        return found
    changes: dict[str, Any] = {}
    if one.by_stimulus is not None and other.by_stimulus is not None:
        changes["p_stimuli"] = sign_flip(_less(one.by_stimulus, other.by_stimulus), seed)
    if one.by_unit is not None and other.by_unit is not None:
        units = _less(one.by_unit, other.by_unit)
        units = units[np.isfinite(units)]
        changes["p_units"] = sign_flip(units, seed)
        if len(units) > 1:
            spread = units.std(ddof=1)
            changes["effect_size"] = (
                float(units.mean() / spread) if spread > 0 else 0.0 if units.mean() == 0 else np.nan
            )
            changes["share_of_units"] = float(np.mean(sign * units > 0) + np.mean(units == 0) / 2)
    return replace(found, **changes)


def _less(one: Array, other: Array) -> Array:
    """Return the differences of contributions, exactly 0 where they agree in the six digits that files keep."""
    difference = one - other
    return np.where(np.abs(difference) <= 1e-5 * np.abs(one), 0.0, difference)
