"""The bootstrap of choices: stimuli within conditions and subjects drawn anew, means over both, relative to humans."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from alignment.agreement import Table
from alignment.contracts import Array, Indices
from alignment.scores import Evidence, Outcome
from alignment.statistics import how_often, summarise
from benchmarks.ceilings import ceiled

CEILED_RULE = "raw/ceiling"

# weights of the stimuli, (n_draws, n_stimuli) per condition -> (n_draws, n_units, n_cells), NaN where undefined
Cells = Callable[[Sequence[Array]], Array]


@dataclass(frozen=True)
class Measure:
    """What a metric of choices is made of.

    Attributes
    ----------
    model : cells of the model with every subject; the raw score is their mean over cells, then over subjects.
    humans : the same of the subjects among themselves, or None where there is no such thing: the ceiling.
    between_pairs : True if the units of `humans` are pairs of subjects, in the order of `Table.pairs`; False: subjects.
    clusters : per condition, the cluster of every stimulus (0, 1, ...) that is drawn as a whole; None: every stimulus.
    """

    model: Cells
    humans: Cells | None
    between_pairs: bool
    clusters: Sequence[Indices] | None = field(default=None, repr=False)


def mean_of_cells(cells: Array, counts: Array | None = None) -> Array:
    """Return the mean over cells, then over units, undefined cells and units left out.

    Parameters
    ----------
    cells : (n_draws or 1, n_units, n_cells)
    counts : (n_draws or 1, n_units), how often every unit was drawn; None: once.

    Returns
    -------
    array of shape (n_draws,)
        NaN where nothing is defined.
    """
    units = unit_means(cells)
    weights = np.isfinite(units) * (1.0 if counts is None else counts)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((weights * np.nan_to_num(units)).sum(axis=-1) / weights.sum(axis=-1))


def unit_means(cells: Array) -> Array:
    """Return the mean over the last axis, NaN left out; NaN where nothing is left (without a warning)."""
    defined = np.isfinite(cells)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(defined, cells, 0.0).sum(axis=-1) / defined.sum(axis=-1))


def outcome_of(
    table: Table, measure: Measure, n_bootstrap: int, rng: np.random.Generator, details: Mapping[str, float]
) -> Outcome:
    """Return raw score, ceiling, ceiled score, errors and intervals of a measure.

    Each draw takes as many stimuli of every condition, and as many subjects, as there are, with replacement; model and
    humans are judged on the same draw. Pairs of a subject with itself are no pairs. Errors and intervals are those of
    `alignment.statistics.summarise`, which needs stimuli alone, subjects alone, and both; for the ceiled score they are
    those of its first-order expansion around raw score and ceiling (the delta method).

    Parameters
    ----------
    table : Table
    measure : Measure
    n_bootstrap : int
    rng : numpy.random.Generator
    details : further numbers for the record; the number of undefined cells is added.
    """
    sizes = [len(condition.stimulus_ids) for condition in table.conditions]
    once = [np.ones((1, size)) for size in sizes]
    groups = measure.clusters or [np.arange(size) for size in sizes]
    weights = [how_often(int(group.max()) + 1, n_bootstrap, rng)[:, group] for group in groups]
    counts = how_often(len(table.subjects), n_bootstrap, rng)
    cells = measure.model(once)
    raw, draws = _three_ways(cells, measure.model(weights), counts)
    raw_error, raw_interval = summarise(raw, draws)
    ceiling = ceiling_error = ceiled_value = None
    error, interval, headline = raw_error, raw_interval, draws
    details = {**details, "n_undefined": float(np.sum(~np.isfinite(cells)))}
    if measure.humans is not None and (not measure.between_pairs or table.pairs):
        if measure.between_pairs:
            first, second = np.array(table.pairs).T
            counts = counts[:, first] * counts[:, second]
        human_cells = measure.humans(once)
        ceiling, ceiling_draws = _three_ways(human_cells, measure.humans(weights), counts)
        ceiling_error, _ = summarise(ceiling, ceiling_draws)
        ceiled_value = ceiled(raw, ceiling, rule=CEILED_RULE)
        # To first order: ratios of draws are skewed where the ceiling is uncertain; their percentiles miss the truth.
        headline = ceiled_value + (draws - ceiled_value * ceiling_draws) / ceiling
        error, interval = summarise(ceiled_value, headline)
        details["n_undefined_between_humans"] = float(np.sum(~np.isfinite(human_cells)))
    per_subject = unit_means(cells)[0]
    return Outcome(
        resampled=("stimuli", "subjects"),
        raw=raw,
        raw_error=raw_error,
        raw_interval=raw_interval,
        ceiling=ceiling,
        ceiling_error=ceiling_error,
        ceiled=ceiled_value,
        ceiled_rule="raw" if ceiling is None else CEILED_RULE,
        error=error,
        interval=interval,
        unit="subject",
        unit_ids=table.subjects,
        unit_raw=tuple(map(float, per_subject)),
        details=details,
        evidence=Evidence(pairing="", raw=draws, headline=headline, by_unit=per_subject),
    )


def _three_ways(fixed: Array, drawn: Array, counts: Array) -> tuple[float, Array]:
    """Return the mean, and (3, n_draws) means with stimuli, units, and both drawn anew."""
    both = mean_of_cells(drawn, counts)
    return float(mean_of_cells(fixed)[0]), np.stack([mean_of_cells(drawn), mean_of_cells(fixed, counts), both])
