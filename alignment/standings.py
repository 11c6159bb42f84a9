"""What a comparison states: where models stand in a row, how every two differ, and what can be told apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from alignment.contracts import Array, Interval
from alignment.pairing import Replicates, adjusted, groups_of, interval_of, ranks, two_way_test


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where one model stands in a row.

    Attributes
    ----------
    value, interval : the headline value (ceiled where there is a ceiling, else raw) and its interval.
    rank, rank_interval : 1 is best; ties share their mean. The interval holds the ranks of the draws. NaN where the
        value is.
    groups : letters shared by models that cannot be told apart.
    """

    model: str
    value: float
    interval: Interval
    rank: float
    rank_interval: Interval
    groups: str


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The first model's value less the second's.

    Attributes
    ----------
    value, error, interval : of headline values, over other stimuli and other units; see `compare`.
    p, p_adjusted : two-sided, of no difference in the population; adjusted for all pairs and rows.
    p_stimuli, p_units : sign-flip permutation tests of raw scores, over stimuli (for these units) and over units (for
        these stimuli); None where contributions cannot be paired.
    effect_size : mean over units of the difference of raw scores, in standard deviations over units; None likewise.
    share_of_units : units on which the first is better, ties counted half.
    paired : whether both were scored on the same data with the same draws.
    better : the model that is better at the level asked for, or None: they cannot be told apart.
    """

    first: str
    second: str
    value: float
    error: float
    interval: Interval
    p: float
    p_adjusted: float
    p_stimuli: float | None = None
    p_units: float | None = None
    effect_size: float | None = None
    share_of_units: float | None = None
    paired: bool
    better: str | None = None

    @property
    def verdict(self) -> str:
        """What can be said, in words."""
        if np.isnan(self.p):
            return "undefined"
        return "not told apart" if self.better is None else f"{self.better} better"


@dataclass(frozen=True, kw_only=True)
class Row:
    """All models on one benchmark under one metric, or an average over several.

    Attributes
    ----------
    name, region, metric : of the benchmark; for an average "mean", "zscore" or "rank", "" and "".
    quantity : what the values are: "ceiled r^2/ceiling", "raw kappa", "mean rank".
    notes : what a reader must know.
    """

    name: str
    region: str
    metric: str
    quantity: str
    higher_is_better: bool
    standings: tuple[Standing, ...]
    differences: tuple[Difference, ...]
    notes: tuple[str, ...] = ()


def standings_of(
    labels: Sequence[str],
    values: Array,
    intervals: Sequence[Interval],
    deviations: Array,
    higher: bool,
    level: float,
) -> tuple[Standing, ...]:
    """Return standings, groups still open; `deviations` (n_models, n_draws) are draws less the estimate."""
    sign = 1.0 if higher else -1.0
    here = ranks(sign * values[:, None])[:, 0]
    drawn = ranks(sign * (values[:, None] + deviations))
    bounds = interval_of(drawn, level, whole=True)
    return tuple(
        Standing(model=label, value=float(value), interval=interval, rank=float(rank), rank_interval=bound, groups="")
        for label, value, interval, rank, bound in zip(labels, values, intervals, here, bounds, strict=True)
    )


def differences_of(
    labels: Sequence[str], values: Array, addends: Sequence[tuple[float, Replicates]], level: float
) -> Iterator[Difference]:
    """Give the difference of every two models, p not adjusted, from weighted replicates that add up to their values."""
    for one, other in combinations(range(len(labels)), 2):
        value = float(values[one] - values[other])
        parts = [(w * (found.draws[one] - found.draws[other]), found.n_stimuli, found.n_units) for w, found in addends]
        error, interval, p = two_way_test(value, parts, level)
        yield Difference(
            first=labels[one],
            second=labels[other],
            value=value,
            error=error,
            interval=interval,
            p=p,
            p_adjusted=p,
            paired=all(found.pairings[one] == found.pairings[other] for _, found in addends),
        )


def decided_rows(rows: Sequence[Row], correction: str, level: float) -> list[Row]:
    """Return the rows with p adjusted over all of them, the better model of every pair, and groups."""
    p = adjusted(np.array([each.p for row in rows for each in row.differences]), correction)
    left = iter(p.tolist())
    decided = []
    for row in rows:
        differences = []
        for each in row.differences:
            p_adjusted = next(left)
            ahead = each.first if (each.value > 0) == row.higher_is_better else each.second
            better = ahead if p_adjusted < 1 - level and each.value != 0 else None
            differences.append(replace(each, p_adjusted=p_adjusted, better=better))
        ordered = [each.model for each in sorted(row.standings, key=lambda each: (each.rank, each.model))]
        letters = groups_of(ordered, [(each.first, each.second) for each in differences if each.better is not None])
        standings = tuple(replace(each, groups=letters[each.model]) for each in row.standings)
        decided.append(replace(row, standings=standings, differences=tuple(differences)))
    return decided
