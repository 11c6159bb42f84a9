"""Fitting a law to points, and reading it: a multi-start search, what it could not tell, and predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from model_zoo.errors import ShapeMismatch
from results.scaling.contracts import Array, Fit, Form, Points
from results.scaling.forms import get_form
from results.scaling.solver import Minima, minimise

DELTA = 1e-3
CONVERGED = 1e-6  # projected gradient, relative to the largest that the loss can have
SAME_LOSS = 1e-6
_COARSE, _FINE = 1.0, (0.1, 0.03, 0.01, 0.003)
_MOST_BASINS = 200
_NORMAL_MAD, _MEDIAN_COST = 1.4826, 1.2533  # sd per median deviation; sd of a median per sd of a mean
_AT_LOWEST = {
    "e": "no saturation can be seen",
    "a": "no dependence on the first resource can be seen",
    "b": "no dependence on the second resource can be seen",
    "h": "the law has no height",
    "alpha": "misalignment does not fall with the first resource",
    "beta": "misalignment does not fall with the second resource",
    "lambda10": "no shift can be seen",
    "gamma": "no upper plateau can be seen",
}


def fit(
    form: Form, points: Points, *, weights: Array | None = None, delta: float = DELTA, starts: Array | None = None
) -> Fit:
    """The law of that form that fits best: least sum over points of weight times Huber(ln L - ln L_predicted).

    Parameters
    ----------
    form : Form
        From `results.scaling.forms.get_form`.
    points : Points
        At least one more than the form has parameters.
    weights : array of shape (n_points,), optional
        Weights >= 0, unitless. By default `row_weights`: ones where the errors of scores are not known.
    delta : float
        Where the loss turns from quadratic to linear, in ln L. 1e-3 is that of Hoffmann et al. 2022 and Gokce and
        Schrimpf 2024; far below usual residuals, it makes this a fit of medians that few outliers can move.
    starts : array of shape (n_starts, n_parameters), optional
        Log parameters to begin with; by default the form's grid, which for "power" and "two_variable" is the study's.

    Returns
    -------
    Fit
        `converged` says that the gradient vanished, `n_best` how many of the starts that were followed to the end met
        at the optimum, `flat` what the points cannot tell.

    Raises
    ------
    ShapeMismatch
        Points do not go with the form, are not positive, or are too few; weights or starts of another shape.

    Notes
    -----
    The sum of losses, not their mean, is minimised (a mean stops gradient tests early). All starts are first brought
    towards least squares (delta 1); those that meet there go on as one, and the best 200 are followed to the true
    delta. Median regression in ln L is unbiased for the median law, and E is biased upwards in
    small samples where points do not reach the plateau.

    References
    ----------
    Hoffmann et al. 2022, "Training compute-optimal large language models", equation 3. Gokce and Schrimpf 2024,
    "Scaling laws for task-optimized models of the primate visual ventral stream" (arXiv 2411.05712).
    """
    _check(form, points)
    weights = row_weights(form, points) if weights is None else _checked_weights(weights, points)
    starts = form.starts() if starts is None else _checked_starts(starts, form)
    minima, n_starts_each = _search(form, points, weights, starts, delta)
    best = int(np.argmin(minima.loss))
    log, least = minima.log[best], float(minima.loss[best])
    same = minima.loss <= least * (1 + SAME_LOSS) + 1e-300
    return Fit(
        form=form.name,
        log=dict(zip(form.parameters, log.tolist(), strict=True)),
        plain=dict(zip(form.plain, form.to_plain(log).tolist(), strict=True)),
        loss=least,
        n_points=len(points.misalignment),
        converged=bool(minima.gradient[best] <= CONVERGED),
        n_starts=len(starts),
        n_best=int(n_starts_each[same].sum()),
        flat=_flat(form, points, weights, log),
        scales=points.scales,
        variables=points.variables,
        delta=delta,
    )


def predict(fit: Fit, x: Array) -> Array:
    """Misalignment that a law predicts.

    Parameters
    ----------
    fit : Fit
    x : array of shape (n_points, n_x), or (n_points,) for laws of one resource
        Resources in units of `fit.scales`.

    Returns
    -------
    array of shape (n_points,)
        L = 1 - score, unitless.

    Raises
    ------
    ShapeMismatch
        Another number of resources, or resources that are not above zero.
    """
    form = get_form(fit.form)
    return np.exp(predict_log(form, np.array([fit.log[name] for name in form.parameters]), x))


def predict_log(form: Form, log_parameters: Array, x: Array) -> Array:
    """ln L for many laws of one form, e.g. all draws of a bootstrap.

    Parameters
    ----------
    form : Form
    log_parameters : array of shape (..., n_parameters)
    x : array of shape (n_points, n_x), or (n_points,) for laws of one resource
        Resources in units of their scales.

    Returns
    -------
    array of shape (..., n_points)

    Raises
    ------
    ShapeMismatch
        Another number of resources, or resources that are not above zero.
    """
    x = np.asarray(x, dtype=float)
    x = x[:, None] if x.ndim == 1 and form.n_x == 1 else x
    _check_x(form, x)
    return form.log_misalignment(np.asarray(log_parameters, dtype=float), x)[0]


def row_weights(form: Form, points: Points) -> Array:
    """Weights of points from the errors of their scores; ones where these are not known.

    Parameters
    ----------
    form : Form
    points : Points

    Returns
    -------
    array of shape (n_points,)
        Mean 1.

    Notes
    -----
    A loss that is linear in residuals is the likelihood of residuals whose scale is 1 / weight. The scale of point i is
    sqrt(tau^2 + s_i^2), with s_i = error_i / L_i the standard error of ln L and tau the scatter between models that is
    there beyond errors: the robust variance of the residuals of an unweighted fit less the median s_i^2, not below 0.
    """
    if points.errors is None:
        return np.ones(len(points.misalignment))
    _check(form, points)
    errors = np.asarray(points.errors, dtype=float)
    if errors.shape != points.misalignment.shape or not (np.isfinite(errors) & (errors >= 0)).all():
        raise ShapeMismatch(
            "errors of scores",
            expected=f"{len(points.misalignment)} finite numbers, none below 0",
            got=f"an array of shape {errors.shape}",
            next_step="give an error for every score, or none at all",
        )
    variances = (errors / points.misalignment) ** 2
    plain = fit(form, replace(points, errors=None))
    residuals = np.log(points.misalignment) - np.log(predict(plain, points.x))
    scatter = max(0.0, robust_scale(residuals) ** 2 - float(np.median(variances)))
    floor = 1e-6 * float(variances.mean()) + 1e-30
    weights = 1 / np.sqrt(np.maximum(scatter + variances, floor))
    normed: Array = weights / weights.mean()
    return normed


def robust_scale(residuals: Array) -> float:
    """Standard deviation of normal residuals of the same median absolute size."""
    return float(_NORMAL_MAD * np.median(np.abs(residuals)))


def deltas_to(delta: float, above: Sequence[float]) -> tuple[float, ...]:
    """Stages of a search that ends at `delta`: those of `above` that are larger, then `delta`."""
    return (*(stage for stage in above if stage > delta), delta)


def _search(form: Form, points: Points, weights: Array, starts: Array, delta: float) -> tuple[Minima, Array]:
    """Minima, and how many starts went to each."""
    coarse = minimise(form, points, weights, starts, [max(delta, _COARSE)], rough=True)
    _, first, members = np.unique(coarse.log.round(3), axis=0, return_index=True, return_inverse=True)
    counts = np.bincount(members.ravel())
    chosen = np.argsort(coarse.loss[first], kind="stable")[:_MOST_BASINS]
    minima = minimise(form, points, weights, coarse.log[first[chosen]], deltas_to(delta, _FINE))
    return minima, counts[chosen]


def _flat(form: Form, points: Points, weights: Array, log: Array) -> tuple[str, ...]:
    """What the points cannot tell, in words.

    A direction of the free parameters is flat when its standard error in log parameters is above one: a factor of e in
    an amount, 1 in an exponent. Errors are those of a regression of medians with normal residuals.
    """
    said, free = [], []
    for number, (name, (low, high)) in enumerate(zip(form.parameters, form.bounds, strict=True)):
        if log[number] <= low:
            said.append(f"{name} at its lower bound ({low:g}): {_AT_LOWEST.get(name, 'the points do not hold it')}")
        elif log[number] >= high:
            said.append(f"{name} at its upper bound ({high:g}): the points do not hold it")
        else:
            free.append(number)
    values, jacobian = form.log_misalignment(log, points.x)
    residuals = np.log(points.misalignment) - values
    slopes = jacobian[:, free] * np.sqrt(weights)[:, None]
    information, directions = np.linalg.eigh(slopes.T @ slopes)
    error = _MEDIAN_COST * robust_scale(residuals)
    for strength, direction in zip(information, directions.T, strict=True):
        if strength <= 1e-12 * information[-1] or strength < error**2:
            parts = np.abs(direction) > 0.2 * np.abs(direction).max()
            names = " and ".join(form.parameters[free[part]] for part in np.flatnonzero(parts))
            together = "cannot be told apart" if parts.sum() > 1 else "can hardly be told"
            said.append(f"{names} {together}: the loss hardly changes along this direction")
    return tuple(dict.fromkeys(said))


def _check(form: Form, points: Points) -> None:
    _check_x(form, points.x)
    n_points, n_least = len(points.x), len(form.parameters) + 1
    misalignment = points.misalignment
    if misalignment.shape != (n_points,) or not (np.isfinite(misalignment) & (misalignment > 0)).all():
        raise ShapeMismatch(
            "misalignment",
            expected=f"{n_points} finite numbers above 0, one per point",
            got=f"shape {misalignment.shape}, {int((~(misalignment > 0)).sum())} of them not above 0",
            next_step="leave out points whose score is 1 or above, or missing",
        )
    if n_points < n_least:
        raise ShapeMismatch(
            f"form {form.name!r}",
            expected=f"at least {n_least} points for its {n_least - 1} parameters",
            got=str(n_points),
            next_step="add points or take a form with fewer parameters",
        )


def _check_x(form: Form, x: Array) -> None:
    if x.ndim != 2 or x.shape[1] != form.n_x or not (np.isfinite(x) & (x > 0)).all():
        raise ShapeMismatch(
            f"form {form.name!r}",
            expected=f"resources of shape (n_points, {form.n_x}), finite and above 0",
            got=f"shape {x.shape}" + ("" if x.ndim != 2 else f" with {int((~(x > 0)).sum())} values not above 0"),
            next_step="give one column per resource of the form and leave out points without a value",
        )


def _checked_weights(weights: Array, points: Points) -> Array:
    if weights.shape != points.misalignment.shape or not (weights >= 0).all() or not weights.sum() > 0:
        raise ShapeMismatch(
            "weights",
            expected=f"{len(points.misalignment)} numbers, none below 0 and not all 0",
            got=f"an array of shape {weights.shape}",
            next_step="give one weight per point",
        )
    return weights


def _checked_starts(starts: Array, form: Form) -> Array:
    if starts.ndim != 2 or starts.shape[1] != len(form.parameters) or not len(starts):
        raise ShapeMismatch(
            "starts",
            expected=f"an array of shape (n_starts, {len(form.parameters)})",
            got=f"shape {starts.shape}",
            next_step=f"give {', '.join(form.parameters)} in this order",
        )
    return starts
