"""Averages of a comparison over benchmarks: mean value, mean z-score and mean rank, regions weighing the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Literal

import numpy as np

from alignment.contracts import Array
from alignment.pairing import ROUNDING, Replicates, interval_of, ranks
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
    Replicates of different rows are added draw by draw: rows on the same stimuli keep their dependence. Means and
    z-scores are sums of values, the latter divided by the row's standard deviation over models, which is taken as it
    is: differences are tested like those of one row. (Spread that is drawn anew makes models that are equally good
    differ too often: noise of the estimates counts twice in it.) For ranks see `_rank_differences`.
    """
    regions = [row.region for row, _ in made]
    weights = np.array([1.0 / regions.count(region) for region in regions]) / len(set(regions))
    signs = np.array([1.0 if row.higher_is_better else -1.0 for row, _ in made])
    labels = [each.model for each in made[0][0].standings]
    values = np.array([[each.value for each in row.standings] for row, _ in made]) * signs[:, None]
    found = _together([each for _, each in made], signs)
    if kind == "rank":
        averages = ranks(values.T) @ weights
        drawn = _mean_ranks(values, weights, found)
        intervals = [  # near ties all draws may lie to one side of the estimate
            (min(low, each), max(high, each))
            for (low, high), each in zip(interval_of(drawn, level), averages, strict=True)
        ]
        deviations = drawn - averages[:, None]
        differences = list(_rank_differences(labels, values, averages, drawn, weights, found, level))
    else:
        if kind == "zscore":
            weights, values = weights * _per_spread(values), values - values.mean(axis=1, keepdims=True)
            found = [replace(each, draws=each.draws - each.draws.mean(axis=0)) for each in found]
        averages = weights @ values
        draws = np.sum([weight * each.draws for weight, each in zip(weights, found, strict=True)], axis=0)
        intervals = [summarise(float(each), draws[n], level)[1] for n, each in enumerate(averages)]
        deviations = replace(found[0], draws=draws).deviations
        differences = list(differences_of(labels, averages, list(zip(weights, found, strict=True)), level))
    higher = kind != "rank"
    return Row(
        name=kind,
        region="",
        metric="",
        quantity=_QUANTITIES[kind],
        higher_is_better=higher,
        standings=standings_of(labels, averages, intervals, deviations, higher, level),
        differences=tuple(differences),
        notes=(*_mixture(kind, [row for row, _ in made]), *notes),
    )


def _together(found: Sequence[Replicates], signs: Array) -> list[Replicates]:
    """Return replicates with one number of draws, finite in every row, more always better."""
    n_draws = min(each.draws.shape[2] for each in found)
    cut = [each.draws[:, :, :n_draws] for each in found]
    finite = np.all([np.isfinite(each).all(axis=(0, 1)) for each in cut], axis=0)
    return [replace(each, draws=sign * draws[..., finite]) for each, draws, sign in zip(found, cut, signs, strict=True)]


def _per_spread(values: Array) -> Array:
    """Return 1 / standard deviation over models of every row of (n_rows, n_models), 0 where all are equal."""
    spread = values.std(axis=1, ddof=1)
    return np.asarray(np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > ROUNDING))


def _mean_ranks(values: Array, weights: Array, found: Sequence[Replicates], of: Sequence[int] | None = None) -> Array:
    """Return weighted ranks (n_models, n_draws) of values (n_rows, n_models) that deviate as the replicates do."""
    moved = [ranks(each[:, None] + row.deviations, of) for each, row in zip(values, found, strict=True)]
    return np.asarray(np.tensordot(weights, np.stack(moved), 1))


def _rank_differences(
    labels: Sequence[str],
    values: Array,
    averages: Array,
    drawn: Array,
    weights: Array,
    found: Sequence[Replicates],
    level: float,
) -> Iterator[Difference]:
    """Return the difference in mean rank of every two models, whose `averages` come out as `drawn` in every draw.

    Notes
    -----
    p is the share of draws that differ at least as much as the two models do, were both equally good in every row
    (given their mean there), and the interval reaches as far as such draws do. Models' values are spread more than
    their truths, by the noise that a draw adds once more: for p they are drawn together to their row's mean, until
    draws are expected to be as spread as the values. With few models and rows p moves in coarse steps, and two models
    in two regions are never told apart.
    """
    closer = np.array([_without_noise(each, row.deviations) for each, row in zip(values, found, strict=True)])
    for one, other in combinations(range(len(labels)), 2):
        value = round(float(averages[one] - averages[other]), 12)  # equal ranks differ by nothing, not by rounding
        draws = drawn[one] - drawn[other]
        alike = closer.copy()
        alike[:, [one, other]] = closer[:, [one, other]].mean(axis=1, keepdims=True)
        equal = _mean_ranks(alike, weights, found, of=(one, other))
        null = np.abs(equal[0] - equal[1])
        p = float(1 + (null >= abs(value) - ROUNDING).sum()) / (1 + len(null))
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


def _without_noise(values: Array, deviations: Array) -> Array:
    """Return values (n_models,) whose variance, with that which deviations (n_models, n_draws) add, is theirs now."""
    variance = values.var(ddof=1)
    noise = deviations.var(axis=0, ddof=1).mean() if deviations.shape[1] else 0.0
    share = np.sqrt(max(0.0, 1.0 - noise / variance)) if variance > 0 else 1.0
    return np.asarray(values.mean() + share * (values - values.mean()))


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
