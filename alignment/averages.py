"""Averages of a comparison over benchmarks: mean value, mean z-score and mean rank, regions weighing the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Literal

import numpy as np

from alignment.contracts import Array
from alignment.pairing import Replicates, interval_of, ranks
from alignment.standings import Difference, Row, differences_of, standings_of
from alignment.statistics import summarise

Aggregate = Literal["mean", "zscore", "rank"]
AGGREGATES: tuple[Aggregate, ...] = ("mean", "zscore", "rank")
_QUANTITIES = {"mean": "mean of headline values", "zscore": "mean z-score", "rank": "mean rank"}


def average(kind: Aggregate, made: Sequence[tuple[Row, Replicates]], level: float, notes: tuple[str, ...]) -> Row:
    """Return the models' average over rows: rows of a region first, then regions, each weighing the same.

    Parameters
    ----------
    kind : "mean" of headline values, with a minus where less is better; "zscore", of the values among the models
        compared (standard deviation with n - 1); "rank" among them.
    made : rows whose scores are all defined, with their replicates.
    level : coverage of intervals.
    notes : added to the row's.

    Notes
    -----
    Replicates of different rows are added draw by draw: rows on the same stimuli keep their dependence. Values add up,
    so differences of means are tested like those of one row. Z-scores and ranks are computed anew in every draw. p is
    then the share of draws that differ at least as much as the models do, were both equally good in every row (given
    their mean there), and a difference's interval reaches as far as such draws do. With few models and rows both move
    in coarse steps, and two models in two regions are never told apart.
    """
    regions = [row.region for row, _ in made]
    weights = np.array([1.0 / regions.count(region) for region in regions]) / len(set(regions))
    signs = np.array([1.0 if row.higher_is_better else -1.0 for row, _ in made])
    labels = [each.model for each in made[0][0].standings]
    values = np.array([[each.value for each in row.standings] for row, _ in made]) * signs[:, None]
    addends = list(zip(weights, _together([found for _, found in made], signs), strict=True))
    if kind == "mean":
        mean = weights @ values
        draws = np.sum([weight * found.draws for weight, found in addends], axis=0)  # (n_models, 3, n_draws)
        first = made[0][1]
        deviations = Replicates(draws, first.pairings, first.n_stimuli, first.n_units).deviations
        intervals = [summarise(float(each), draws[n], level)[1] for n, each in enumerate(mean)]
        differences = list(differences_of(labels, mean, addends, level))
    else:
        place = ranks if kind == "rank" else zscores
        mean = place(values.T) @ weights
        found_all = [found for _, found in addends]

        def redrawn(here: Array) -> Array:
            moved = [place(each[:, None] + found.deviations) for each, found in zip(here, found_all, strict=True)]
            return np.asarray(np.tensordot(weights, np.stack(moved), 1))  # (n_models, n_draws)

        drawn = redrawn(values)
        deviations = drawn - mean[:, None]
        intervals = [  # near ties all draws may lie to one side of the estimate
            (min(low, each), max(high, each)) for (low, high), each in zip(interval_of(drawn, level), mean, strict=True)
        ]
        differences = list(_differences_of_draws(labels, values, mean, redrawn, found_all, level))
    higher = kind != "rank"
    return Row(
        name=kind,
        region="",
        metric="",
        quantity=_QUANTITIES[kind],
        higher_is_better=higher,
        standings=standings_of(labels, mean, intervals, deviations, higher, level),
        differences=tuple(differences),
        notes=(*_mixture(kind, [row for row, _ in made]), *notes),
    )


def _together(found: Sequence[Replicates], signs: Array) -> list[Replicates]:
    """Return replicates with one number of draws, finite in every row, more always better."""
    n_draws = min(each.draws.shape[2] for each in found)
    cut = [each.draws[:, :, :n_draws] for each in found]
    finite = np.all([np.isfinite(each).all(axis=(0, 1)) for each in cut], axis=0)
    return [replace(each, draws=sign * draws[..., finite]) for each, draws, sign in zip(found, cut, signs, strict=True)]


def zscores(values: Array) -> Array:
    """Return values (n_models, n_draws) less their mean over models, in standard deviations over models."""
    spread = values.std(axis=0, ddof=1)
    centred = values - values.mean(axis=0)
    return np.asarray(np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 0))


def _differences_of_draws(
    labels: Sequence[str],
    values: Array,
    mean: Array,
    redrawn: Callable[[Array], Array],
    found: Sequence[Replicates],
    level: float,
) -> Iterator[Difference]:
    """Return the difference of every two models; `redrawn` gives draws (n_models, n_draws) from values by row."""
    drawn = redrawn(values)
    for one, other in combinations(range(len(labels)), 2):
        value = round(float(mean[one] - mean[other]), 12)  # equal ranks differ by nothing, not by rounding
        draws = drawn[one] - drawn[other]
        alike = values.copy()
        alike[:, [one, other]] = values[:, [one, other]].mean(axis=1, keepdims=True)
        equal = redrawn(alike)
        null = np.abs(equal[one] - equal[other])
        p = float(1 + (null >= abs(value) - 1e-12).sum()) / (1 + len(null))
        reach = float(np.quantile(null, level, method="higher")) if len(null) else float("nan")
        yield Difference(
            first=labels[one],
            second=labels[other],
            value=value,
            error=float(draws.std(ddof=1)) if len(draws) > 1 else float("nan"),
            interval=(value - reach, value + reach),
            p=p,
            p_adjusted=p,
            paired=all(each.pairings[one] == each.pairings[other] for each in found),
        )


def _mixture(kind: Aggregate, rows: Sequence[Row]) -> tuple[str, ...]:
    """Return what an average mixes."""
    notes = []
    by_rule: dict[str, list[str]] = {}
    for row in rows:
        by_rule.setdefault(row.quantity, []).append(row.name)
    if len(by_rule) > 1:
        listed = "; ".join(f"{rule}: {', '.join(dict.fromkeys(names))}" for rule, names in by_rule.items())
        notes.append(f"different quantities are averaged: {listed}")
    lower = [row.name for row in rows if not row.higher_is_better]
    if lower and kind == "mean":
        notes.append(f"counted with a minus, lower is better: {', '.join(lower)}")
    regions = [row.region for row in rows]
    if len(set(regions)) < len(regions) and len(set(regions)) > 1:
        notes.append(f"averaged within a region first; regions weigh the same: {', '.join(dict.fromkeys(regions))}")
    if kind != "mean":
        notes.append("relative to the models compared: with other models beside them, the numbers change")
    return tuple(notes)
