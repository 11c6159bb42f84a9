"""How small a model can be: the frontier of alignment against cost, and the smallest model not told from the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_zoo.errors import InvalidOption, ShapeMismatch
from results.scaling.contracts import Array

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Frontier:
    """Models against one cost, in the order given.

    Attributes
    ----------
    cost_name : e.g. "n_params", "total_flops" or "n_units".
    names, costs, scores : as given.
    on_frontier : no other model has as high a score for less, or a higher one for as much. Equal ones are all on it.
    stability : share of draws in which the model is on the frontier; NaN without errors.
    contender : the model may be the best; see `contenders`.
    best : names of the models with the highest score; several where they are equal.
    smallest : names of the contenders of least cost; several where costs are equal.
    saving : cost of the cheapest of `best` over that of `smallest`.
    level : probability with which the contenders hold the truly best model; NaN without errors.
    note : how models were told apart.
    """

    cost_name: str
    names: tuple[str, ...]
    costs: tuple[float, ...]
    scores: tuple[float, ...]
    on_frontier: tuple[bool, ...]
    stability: tuple[float, ...]
    contender: tuple[bool, ...]
    best: tuple[str, ...]
    smallest: tuple[str, ...]
    saving: float
    level: float
    note: str


def pareto(costs: Array, scores: Array) -> Mask:
    """Return which models no other model beats in cost and score at once.

    Parameters
    ----------
    costs : (n_models,), lower is better.
    scores : (..., n_models), higher is better.

    Returns
    -------
    (..., n_models) True where no other model has cost <= and score >= with one of both strict; equal models are alike.
    """
    values, places = np.unique(costs, return_inverse=True)
    best = np.full((*scores.shape[:-1], len(values)), -np.inf)  # score by cost
    for place in range(len(values)):
        best[..., place] = scores[..., places == place].max(axis=-1)
    cheaper = np.maximum.accumulate(best, axis=-1)[..., :-1]
    cheaper = np.concatenate([np.full((*scores.shape[:-1], 1), -np.inf), cheaper], axis=-1)
    return np.asarray((scores == best[..., places]) & (scores > cheaper[..., places]))


def contenders(scores: Array, deviations: Array, level: float = 0.95) -> Mask:
    """Return which models may be the best: a set that holds the truly best one with probability `level` or more.

    Parameters
    ----------
    scores : (n_models,), higher is better.
    deviations : (n_models, n_draws) joint errors of the scores: `alignment.pairing.Replicates.deviations` where models
        were scored on the same data, `independent_deviations` where only standard errors are known.
    level : of all comparisons together.

    Notes
    -----
    Model i is left out where some model j is better by more than d_i standard errors of their difference. d_i is the
    `level` quantile over draws of max_j (error_j - error_i) / se_ij, so that the truly best model is left out with
    probability 1 - level at most, however many models there are. Comparing each with the highest score one by one would
    not do: the highest of many noisy scores is high by chance. The set is conservative, the more so the more models
    are plainly worse than the best. Draws that are not finite are left out.

    References
    ----------
    Hsu (1984), Constrained simultaneous confidence intervals for multiple comparisons with the best, Annals of
    Statistics 12, 1136. Dunnett (1955), JASA 50, 1096, for unequal errors by simulation.
    """
    errors = deviations[:, np.isfinite(deviations).all(axis=0)]
    errors = errors - errors.mean(axis=1, keepdims=True)
    found = np.zeros(len(scores), dtype=bool)
    for i, score in enumerate(scores):
        ahead = scores - score
        differences = errors - errors[i]
        spread = np.sqrt((differences**2).mean(axis=1))
        sure = spread <= _ROUNDING
        if (ahead[sure] > _ROUNDING).any():
            continue
        if sure.all():
            found[i] = True
            continue
        reached = (differences[~sure] / spread[~sure, None]).max(axis=0)
        found[i] = bool((ahead[~sure] / spread[~sure]).max() <= max(float(np.quantile(reached, level)), 0.0))
    return found


def independent_deviations(errors: Array, *, n_draws: int = 1000, seed: int = 0) -> Array:
    """Return normal errors of scores whose errors are independent, (n_models, n_draws).

    Parameters
    ----------
    errors : (n_models,) standard errors.
    """
    drawn = np.random.default_rng(seed).standard_normal((len(errors), n_draws))
    return np.asarray(errors[:, None] * drawn)


def repeat_error(scores: Array, repeats: Sequence[str]) -> float:
    """Return the standard deviation of a score over repeats of one training, pooled; NaN where nothing is repeated.

    Parameters
    ----------
    scores : (n_models,)
    repeats : n_models labels: models of one label differ by nothing but their seed.

    Notes
    -----
    Says how much another seed changes a score, for tables that hold no errors; not what other stimuli or neurons would.
    """
    _, labels = np.unique(np.asarray(repeats), return_inverse=True)
    counts = np.bincount(labels)
    means = np.bincount(labels, weights=scores) / counts
    degrees = int((counts - 1).sum())
    return float(np.sqrt(((scores - means[labels]) ** 2).sum() / degrees)) if degrees else float("nan")


def frontier(
    names: Sequence[str],
    costs: Array,
    scores: Array,
    *,
    cost_name: str,
    errors: Array | None = None,
    deviations: Array | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> Frontier:
    """Return the frontier of scores against a cost, and the cheapest models that cannot be told from the best.

    Parameters
    ----------
    names, costs, scores : per model; costs > 0 in any unit, scores where higher is better.
    cost_name : of the costs.
    errors : (n_models,) standard errors, independent of each other.
    deviations : (n_models, n_draws) joint errors, instead of `errors`.
    level : of the set of contenders.
    seed : of the draws that stand for `errors`.

    Raises
    ------
    ShapeMismatch
        Columns of different length.
    InvalidOption
        No models, costs or errors that are no positive numbers, scores that are no numbers, two kinds of errors.

    Notes
    -----
    Without errors only models of exactly the highest score count as contenders, and `note` says so. `stability` adds
    noise to scores that hold noise already, and so is low for models that stand close together.
    """
    _check(names, costs, scores, errors, deviations)
    note = "joint draws of all models"
    if deviations is None and errors is not None:
        deviations, note = independent_deviations(errors, seed=seed), "standard errors, taken as independent"
    if deviations is None:
        note = "errors are not known: only equal scores count as equal"
        stability, contender = np.full(len(scores), np.nan), scores == scores.max()
    else:
        kept = deviations[:, np.isfinite(deviations).all(axis=0)]
        stability = pareto(costs, scores + kept.T).mean(axis=0)
        contender = contenders(scores, deviations, level)
    best = scores == scores.max()
    least = costs[contender].min()
    return Frontier(
        cost_name=cost_name,
        names=tuple(names),
        costs=tuple(costs.tolist()),
        scores=tuple(scores.tolist()),
        on_frontier=tuple(pareto(costs, scores).tolist()),
        stability=tuple(stability.tolist()),
        contender=tuple(contender.tolist()),
        best=_named(names, best),
        smallest=_named(names, contender & (costs == least)),
        saving=float(costs[best].min() / least),
        level=level if deviations is not None else float("nan"),
        note=note,
    )


_ROUNDING = 1e-12  # of scores about 1


def _named(names: Sequence[str], chosen: Mask) -> tuple[str, ...]:
    return tuple(name for name, wanted in zip(names, chosen, strict=True) if wanted)


def _check(names: Sequence[str], costs: Array, scores: Array, errors: Array | None, deviations: Array | None) -> None:
    n = len(names)
    shapes = {"costs": costs.shape, "scores": scores.shape}
    shapes |= {} if errors is None else {"errors": errors.shape}
    shapes |= {} if deviations is None else {"deviations": deviations.shape[:1]}
    if any(shape != (n,) for shape in shapes.values()):
        raise ShapeMismatch(
            "frontier", expected=f"{n} values, one per model", got=str(shapes), next_step="pass equally long columns"
        )
    rules = [
        ("models", n > 0, "at least one", "none"),
        ("errors", errors is None or deviations is None, "errors or deviations", "both"),
        ("costs", bool((np.isfinite(costs) & (costs > 0)).all()), "numbers > 0", "others"),
        ("scores", bool(np.isfinite(scores).all()), "numbers", "NaN or infinity"),
        ("errors", errors is None or bool((np.isfinite(errors) & (errors >= 0)).all()), "numbers >= 0", "others"),
    ]
    for name, holds, expected, got in rules:
        if not holds:
            raise InvalidOption(
                f"frontier: {name}", expected=expected, got=got, next_step="leave out models without them"
            )
