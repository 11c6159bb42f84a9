"""Does scale help higher areas more: the gain per region, and its trend along the hierarchy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from alignment.contracts import Interval
from alignment.pairing import sign_flip
from alignment.statistics import how_often
from model_zoo.errors import InvalidOption, ShapeMismatch
from results.scaling.contracts import Array, Law
from results.scaling.draws import check_one_variable, fitted_log, interval_of, log_draws, n_units
from results.scaling.forms import get_form

HIERARCHY = ("V1", "V2", "V4", "IT", "Behavioral")
NULL = (
    "the slope of a model's scores along the hierarchy does not depend on its compute; contributions of groups are "
    "symmetric about 0 (signs of whole groups are flipped)"
)


@dataclass(frozen=True, kw_only=True)
class Gain:
    """How much alignment rises with the resource, on the score's scale.

    Attributes
    ----------
    name : of the law, e.g. "region_it_group1".
    span : lowest and highest resource, in its own unit.
    decades : log10 of their ratio.
    total : rise of the score over the span.
    per_decade : total / decades. The law bends: the first decade gives more than the last.
    to_limit : rise from X / X0 = 0.1 to endless X; A 10^alpha for the power law, the gain that the study plots.
    draws : (n_draws,) of `total`.
    """

    name: str
    span: tuple[float, float]
    decades: float
    total: float
    total_interval: Interval | None
    per_decade: float
    per_decade_interval: Interval | None
    to_limit: float
    to_limit_interval: Interval | None
    draws: Array = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Trend:
    """How gains change along the hierarchy, from the scores of models on every region.

    Attributes
    ----------
    regions : in the order tested.
    gains : score per decade of compute in every region, by least squares over models.
    slope : least-squares slope of `gains` on rank: score per decade of compute and step of the hierarchy.
    steps : gain of a region less that of the one before it; an ordered trend may rest on one of them.
    p : two-sided, of slope 0; see `null`.
    ordered : share of the draws in which gains rise at every step.
    n_left_out : models without a score in every region.
    """

    regions: tuple[str, ...]
    gains: tuple[float, ...]
    gain_intervals: tuple[Interval | None, ...]
    slope: float
    slope_interval: Interval | None
    steps: tuple[float, ...]
    step_intervals: tuple[Interval | None, ...]
    p: float
    ordered: float
    n_models: int
    n_groups: int
    n_left_out: int
    null: str = NULL


def gain(law: Law, *, span: tuple[float, float] | None = None, level: float = 0.95) -> Gain:
    """Return how much a law's score rises over a span of its resource.

    Parameters
    ----------
    law : of one variable.
    span : lowest and highest resource in its own unit; None: what was observed. Give one span for regions to compare.
    level : coverage of the intervals.

    Raises
    ------
    InvalidOption
        A law of two variables, or a span that is not two rising numbers > 0.

    References
    ----------
    Gokce and Schrimpf (2024), arXiv 2411.05712, section 3.4, for `to_limit`.
    """
    form, scale = get_form(law.fit.form), law.points.scales[0]
    check_one_variable(law)
    observed = law.points.x[:, 0] * scale
    low, high = (float(observed.min()), float(observed.max())) if span is None else span
    if not 0 < low < high < np.inf:
        raise InvalidOption(
            f"span of {law.name}", expected="two rising numbers > 0", got=f"{low:g}, {high:g}", next_step="correct them"
        )
    x = np.array([[0.1], [low / scale], [high / scale]])

    def rises(parameters: Array) -> tuple[Array, Array]:
        misalignment = np.exp(form.log_misalignment(parameters, x)[0])  # (..., 3)
        return misalignment[..., 1] - misalignment[..., 2], misalignment[..., 0] - np.exp(parameters[..., 0])

    total, to_limit = rises(fitted_log(law))
    totals, to_limits = rises(log_draws(law))
    decades = float(np.log10(high / low))
    return Gain(
        name=law.name,
        span=(low, high),
        decades=decades,
        total=float(total),
        total_interval=interval_of(totals, n_units(law), level, center=float(total)),
        per_decade=float(total) / decades,
        per_decade_interval=interval_of(totals / decades, n_units(law), level, center=float(total) / decades),
        to_limit=float(to_limit),
        to_limit_interval=interval_of(to_limits, n_units(law), level, center=float(to_limit)),
        draws=totals,
    )


def trend(
    scores: Array,
    compute: Array,
    *,
    regions: Sequence[str] = HIERARCHY,
    groups: Sequence[str] = (),
    n_draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Trend:
    """Return whether gains rise along the hierarchy, from models that were scored on every region.

    Parameters
    ----------
    scores : (n_models, n_regions), one column per region in the order of the hierarchy; NaN where there is none.
    compute : (n_models,) training FLOPs or any other resource, > 0.
    regions : names of the columns.
    groups : n_models labels of what belongs together (architecture and seed); (): every model stands alone.
    n_draws : bootstrap draws of groups.
    level : coverage of the intervals.
    seed : of draws and flips.

    Raises
    ------
    ShapeMismatch
        Columns that do not fit together.
    InvalidOption
        Fewer than three groups with all scores, or compute that does not vary or is not positive.

    Notes
    -----
    Models are paired with themselves: w_i, the slope of model i's scores on rank, is free of what makes a model good or
    bad in all regions alike, and of every region's own level. The slope of w on log10 C equals the slope of the
    regions' gains on rank. Under the null (`NULL`) the contributions sum over a group of (x_i - mean x)(w_i - mean w)
    are as likely positive as negative; `alignment.pairing.sign_flip` flips whole groups, so that models of one
    architecture count as one observation. p cannot fall below 2 / 2^n_groups. Gains are straight lines through laws
    that bend: where regions saturate at different places, a gain depends on the compute that was covered.
    In simulated studies of 12, 30 and 60 groups without a trend, p is below 0.05 in 5 to 6 % and the slope's interval
    holds 0 in 93 to 95 %.

    References
    ----------
    Page (1963), Ordered hypotheses for multiple treatments, JASA 58, 216, for the contrast over ranks. Kline and Santos
    (2012), A score based approach to wild bootstrap inference, J. Econometric Methods 1, 23, for flipping the signs of
    groups.
    """
    table, x, members = _complete(scores, compute, regions, groups)
    rank = np.arange(len(regions)) - (len(regions) - 1) / 2
    contrast = rank / (rank @ rank)
    x, table = x - x.mean(), table - table.mean(axis=0)
    n_groups = int(members.max()) + 1
    contributions = np.zeros(n_groups)
    np.add.at(contributions, members, x * (table @ contrast))
    moments = np.stack([np.ones_like(x), x, x**2], axis=1)
    sums = np.zeros((n_groups, 3 + 2 * len(regions)))
    np.add.at(sums, members, np.concatenate([moments, table, x[:, None] * table], axis=1))

    def slopes(counts: Array) -> Array:
        total = counts @ sums  # (n_draws, 3 + 2 n_regions)
        (n, sum_x, sum_xx), (sum_y, sum_xy) = total[:, :3].T, np.split(total[:, 3:], 2, axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray((n[:, None] * sum_xy - sum_x[:, None] * sum_y) / (n * sum_xx - sum_x**2)[:, None])

    gains = slopes(np.ones((1, n_groups)))[0]
    drawn = slopes(how_often(n_groups, n_draws, np.random.default_rng(seed)))
    drawn = drawn[np.isfinite(drawn).all(axis=1)]
    steps = np.diff(drawn, axis=1)
    return Trend(
        regions=tuple(regions),
        gains=tuple(gains.tolist()),
        gain_intervals=tuple(interval_of(column, n_groups, level) for column in drawn.T),
        slope=float(gains @ contrast),
        slope_interval=interval_of(drawn @ contrast, n_groups, level),
        steps=tuple(np.diff(gains).tolist()),
        step_intervals=tuple(interval_of(column, n_groups, level) for column in steps.T),
        p=sign_flip(contributions, seed),
        ordered=float((steps > 0).all(axis=1).mean()) if len(steps) else float("nan"),
        n_models=len(x),
        n_groups=n_groups,
        n_left_out=len(scores) - len(x),
    )


def _complete(
    scores: Array, compute: Array, regions: Sequence[str], groups: Sequence[str]
) -> tuple[Array, Array, np.ndarray[tuple[int], np.dtype[np.intp]]]:
    """Return scores, log10 compute and group numbers of models that have everything."""
    n_models = len(compute)
    if scores.shape != (n_models, len(regions)) or len(groups) not in (0, n_models) or len(regions) < 2:
        raise ShapeMismatch(
            "trend",
            expected="one row per model, one column per region, at least two regions",
            got=f"scores {scores.shape}, {n_models} values of compute, {len(regions)} regions, {len(groups)} groups",
            next_step="bring them into one order",
        )
    bad = compute[~(np.isfinite(compute) & (compute > 0))]
    if len(bad):
        raise InvalidOption("trend", expected="compute > 0", got=f"{bad[0]:g}", next_step="leave out models without it")
    kept = np.isfinite(scores).all(axis=1)
    labels = np.asarray(groups)[kept] if len(groups) else np.arange(int(kept.sum()))
    members = np.unique(labels, return_inverse=True)[1]
    x = np.log10(compute[kept])
    if len(set(members.tolist())) < 3 or np.ptp(x) == 0:
        raise InvalidOption(
            "trend",
            expected="at least three groups of models with a score in every region, of different compute",
            got=f"{len(set(members.tolist()))} groups, {int(kept.sum())} models",
            next_step="score more models on every region",
        )
    return scores[kept], x, members
