"""What score to expect of a model not yet trained, and what to train for a budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from alignment.contracts import Interval
from model_zoo.errors import InvalidOption
from results.scaling.allocation import Cost, Optimum, allocate, beyond
from results.scaling.contracts import Array, Law
from results.scaling.draws import fitted_log, interval_of, log_draws, n_units, tail
from results.scaling.forms import get_form


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The score that a law expects of one more model.

    Attributes
    ----------
    law : its name.
    resources : variable -> value in its own unit.
    score : 1 - L at the fitted parameters: half of such models score higher.
    interval : where one more model's score falls, by the law's uncertainty and the spread of models around it.
    law_interval : where `score` lies, by the law's uncertainty alone; None without draws.
    beyond : variable -> how many times it lies outside what the law was fitted to; empty inside.
    level : coverage of the intervals.
    note : what the interval does not hold, in words; "" inside the observed range with draws.
    """

    law: str
    resources: Mapping[str, float]
    score: float
    interval: Interval
    law_interval: Interval | None
    beyond: Mapping[str, float] = field(default_factory=dict)
    level: float
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to train for a budget.

    Attributes
    ----------
    optimum : best parameters and samples seen, with intervals.
    expected : the score they should reach.
    alternatives : models along the curve of equal compute, by parameters; each with the score to expect.
    losses : per alternative the expected score it gives away against the optimum, >= 0.
    """

    budget: float
    cost: Cost
    optimum: Optimum
    expected: Prediction
    alternatives: tuple[Prediction, ...]
    losses: tuple[float, ...]


def expected_scores(law: Law, x: Array, *, level: float = 0.95) -> tuple[Array, Array, Array]:
    """Return a law's scores with the band of its own uncertainty, for curves.

    Parameters
    ----------
    x : (n, n_x) resources in their own units.
    level : coverage of the band, at every x by itself.

    Returns
    -------
    score, low, high : (n,) each; the band is NaN without draws.

    Notes
    -----
    Percentiles of the draws' scores, not moved for bias as intervals of parameters are: where a curve lies at the edge
    of its draws, as those of few models may, that correction jumps from one x to the next.
    """
    form = get_form(law.fit.form)
    scaled = x / np.asarray(law.points.scales)
    scores: Array = 1.0 - np.exp(form.log_misalignment(fitted_log(law), scaled)[0])
    draws = log_draws(law)
    if len(draws) < 2:
        return scores, np.full(len(x), np.nan), np.full(len(x), np.nan)
    drawn: Array = 1.0 - np.exp(form.log_misalignment(draws, scaled)[0])  # (n_draws, n)
    each_side = tail(n_units(law), level)
    low, high = np.quantile(drawn, [each_side, 1 - each_side], axis=0)
    return scores, low, high


def spread(law: Law) -> Array:
    """Return how models lie around the law: ln L - ln L_predicted of its points, (n_points,).

    Residuals are widened by sqrt(n / (n - n_parameters)), since the law was fitted to them.
    """
    form = get_form(law.fit.form)
    residuals = np.log(law.points.misalignment) - form.log_misalignment(fitted_log(law), law.points.x)[0]
    n, k = len(residuals), len(form.parameters)
    return np.asarray(residuals * np.sqrt(n / max(n - k, 1)))


def predict(law: Law, resources: Mapping[str, float], *, level: float = 0.95) -> Prediction:
    """Return the score to expect of a model of given size, data or compute, with a prediction interval.

    Parameters
    ----------
    law : with a bootstrap; without one, its parameters are taken as known and `note` says so.
    resources : value by variable of the law, in its own unit, e.g. {"total_flops": 1e18}.
    level : coverage.

    Raises
    ------
    InvalidOption
        A variable that is missing, unknown, or not > 0.

    Notes
    -----
    The interval holds ln L of every draw at X plus every residual, taken together (their full cross, no further
    randomness; tails as in `results.scaling.draws.tail`), and is turned into scores: skewed where the spread is, never
    above 1. It supposes one more model of the kind of the points, that the form is right, and a spread of ln L that
    does not depend on X. Draws by rows are too alike where points come in groups; use draws by groups. Outside the
    observed range the form itself is the largest uncertainty, and no interval holds it: see `beyond`. Of published
    models that were left out of the fit, intervals of 95 % hold more than 90 % where these were drawn at random or by
    architecture; of the quarter with most compute about 94 % (neural) and 80 % (behaviour).
    """
    point = _point(law, resources)
    form, draws = get_form(law.fit.form), log_draws(law)
    scaled = point[None] / np.asarray(law.points.scales)
    score = 1 - float(np.exp(form.log_misalignment(fitted_log(law), scaled)[0][0]))
    parameters = draws if len(draws) > 1 else fitted_log(law)[None]
    centres = form.log_misalignment(parameters, scaled)[0]  # (n_draws, 1)
    each_side = tail(n_units(law), level)
    low, high = np.quantile(centres + spread(law), [each_side, 1 - each_side])
    outside = beyond(law, tuple(point))
    notes = [] if len(draws) > 1 else ["no bootstrap: the law's parameters are taken as known"]
    if outside:
        named = ", ".join(f"{name} {ratio:.3g} times" for name, ratio in outside.items())
        notes.append(f"outside the observed range ({named}): supposes that the form holds there")
    return Prediction(
        law=law.name,
        resources={name: float(value) for name, value in zip(law.points.variables, point, strict=True)},
        score=score,
        interval=(1 - float(np.exp(high)), 1 - float(np.exp(low))),
        law_interval=interval_of(1 - np.exp(centres[:, 0]), n_units(law), level),
        beyond=outside,
        level=level,
        note="; ".join(notes),
    )


def plan(
    law: Law,
    budget: float,
    cost: Cost,
    *,
    sizes: Sequence[float] = (0.01, 0.1, 0.3, 3.0, 10.0, 100.0),
    level: float = 0.95,
) -> Plan:
    """Return what to train for a budget, the score to expect, and what other divisions of it would give.

    Parameters
    ----------
    law : of form "two_variable" in parameters and samples seen.
    budget : training FLOPs.
    cost : of training; see `results.scaling.allocation`.
    sizes : alternatives' parameters, relative to the optimum.
    level : coverage of the intervals.

    Raises
    ------
    InvalidOption
        As in `allocate`; or sizes that are not > 0.
    """
    if not all(0 < size < np.inf for size in sizes):
        raise InvalidOption("sizes", expected="numbers > 0", got=str(list(sizes)), next_step="correct them")
    best = allocate(law, [budget], cost, level=level).optima[0]
    names = law.points.variables

    def at(n_params: float, n_samples: float) -> Prediction:
        return predict(law, dict(zip(names, (n_params, n_samples), strict=True)), level=level)

    expected = at(best.n_params, best.n_samples)
    others = [at(size * best.n_params, float(cost.samples(budget, size * best.n_params))) for size in sorted(sizes)]
    return Plan(
        budget=float(budget),
        cost=cost,
        optimum=best,
        expected=expected,
        alternatives=tuple(others),
        losses=tuple(max(expected.score - other.score, 0.0) for other in others),
    )


def _point(law: Law, resources: Mapping[str, float]) -> Array:
    variables = law.points.variables
    if set(resources) != set(variables):
        raise InvalidOption(
            f"prediction by {law.name}",
            expected=f"values of {' and '.join(variables)}",
            got=", ".join(resources) or "none",
            next_step="name each of them once",
        )
    for name, value in resources.items():
        if not 0 < value < np.inf:
            raise InvalidOption(name, expected="a number > 0", got=f"{value:g}", next_step="correct it")
    return np.array([resources[name] for name in variables], dtype=np.float64)
