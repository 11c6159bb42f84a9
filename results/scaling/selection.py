"""Which form points speak for: by a likelihood corrected for parameters, and by extrapolation to the largest X."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from model_zoo.errors import ShapeMismatch
from results.scaling.contracts import Array, Fit, Points
from results.scaling.fitting import fit, predict, row_weights
from results.scaling.forms import get_form
from results.scaling.solver import huber
from results.scaling.sufficiency import Lack, lack_of

HELD_OUT = 0.25
ONE_RESOURCE = ("power", "unbounded", "shifted", "saturating", "m4")


@dataclass(frozen=True)
class Comparison:
    """One form against the others.

    Attributes
    ----------
    fit : to all points.
    aicc : Akaike's criterion with the small-sample correction; lower is better, differences of a few are evidence.
    akaike_weight : exp(-difference to the lowest AICc / 2), normed to sum 1 over the forms compared; NaN where points
        are too few for any AICc.
    held_out_error : mean over held-out points of |ln L - ln L_predicted|, from the fit to the others; unitless.
    held_out_bias : mean of ln L - ln L_predicted there; above 0, the form promises more alignment than there is.
    n_held_out : points held out.
    """

    fit: Fit
    aicc: float
    akaike_weight: float
    held_out_error: float
    held_out_bias: float
    n_held_out: int

    @property
    def final_score(self) -> float:
        """The score that the form approaches, 1 - E; 1 for a form without an end."""
        return 1.0 - self.fit.plain.get("E", 0.0)


def compare_forms(
    points: Points, forms: Sequence[str] = ONE_RESOURCE, *, held_out: float = HELD_OUT
) -> tuple[Comparison, ...]:
    """Forms in the order of their extrapolation error, best first; where that is the same to four digits, by AICc.

    Parameters
    ----------
    points : Points
    forms : sequence of str
        Names of forms that take as many resources as the points have.
    held_out : float
        Share of the points, those of largest X, that are predicted from a fit to the others. X of two resources is
        their product.

    Raises
    ------
    UnknownName
        There is no such form.
    ShapeMismatch
        Points do not go with a form, or too few are left after some are held out.

    Notes
    -----
    The likelihood is the one that fits maximise: residuals of ln L are independent with density proportional to
    exp(-Huber(r) / (delta s)), which for delta far below the scale s is Laplace's. s is estimated (and counts as a
    parameter). Points that were made together are not independent; AICc then favours the longer form too readily, and
    the extrapolation error is the safer guide. That error is of the form fitted to smaller X, so it is judged where
    the study would be extended, but it leans on one cut.

    References
    ----------
    Hurvich and Tsai 1989, Biometrika 76:297 (AICc).
    """
    far = _largest(points, held_out)
    near_points, far_points = _take(points, ~far), _take(points, far)
    found = []
    for name in forms:
        form = get_form(name)
        weights = row_weights(form, points)
        whole = fit(form, points, weights=weights)
        near = fit(form, near_points, weights=weights[~far])
        misses = np.log(far_points.misalignment) - np.log(predict(near, far_points.x))
        error, bias = float(np.abs(misses).mean()), float(misses.mean())
        found.append(Comparison(whole, aicc(whole, points, weights), 0.0, error, bias, int(far.sum())))
    criteria = np.array([one.aicc for one in found])
    lowest = criteria.min()
    shares = np.exp(-0.5 * (criteria - lowest)) if np.isfinite(lowest) else np.full(len(found), np.nan)
    found = [replace(one, akaike_weight=float(w)) for one, w in zip(found, shares / shares.sum(), strict=True)]
    return tuple(sorted(found, key=lambda one: (round(one.held_out_error, 4), one.aicc)))


def lacks(points: Points, forms: Sequence[str], *, held_out: float = HELD_OUT) -> dict[str, Lack]:
    """Return why forms cannot be compared on points, by form; {} where all can.

    A form must be fitted to the points that are not held out, and its AICc takes three points more than parameters.
    """
    far = _far(points, held_out)
    n_points, n_far = len(far), int(far.sum())
    found: dict[str, Lack] = {}
    for name in forms:
        form = get_form(name)
        n_parameters = len(form.parameters)
        least = max(math.ceil(n_parameters / (1 - held_out) - 1e-9) + 1, n_parameters + 3)
        lack = lack_of(form, _take(points, ~far)) or lack_of(form, points)
        if n_points < least:
            found[name] = Lack(f"at least {least} points, {held_out:g} of them held out", str(n_points))
        elif not n_far:
            found[name] = Lack("fewer points of the largest resource", "too many of the same to hold some out")
        elif lack is not None:
            found[name] = Lack(f"{lack.rule} without the {n_far} held out", lack.got)
    return found


def aicc(fit: Fit, points: Points, weights: Array | None = None) -> float:
    """Akaike's criterion of a fit with the small-sample correction; infinite where points are too few for it.

    Parameters
    ----------
    fit : Fit
    points : Points
        What it was fitted to.
    weights : array of shape (n_points,), optional
        Those of the fit; the scale of residuals is s / weight. By default ones. Points without weight do not count.
    """
    weights = np.ones(len(points.misalignment)) if weights is None else weights
    used = weights > 0
    residuals = (np.log(points.misalignment) - np.log(predict(fit, points.x)))[used]
    n_points, n_parameters = int(used.sum()), len(fit.log) + 1
    if n_points <= n_parameters + 1:
        return float("inf")
    correction = 2 * n_parameters * (n_parameters + 1) / (n_points - n_parameters - 1)
    return 2 * n_parameters - 2 * log_likelihood(residuals, weights[used], fit.delta) + correction


def log_likelihood(residuals: Array, weights: Array, delta: float) -> float:
    """Highest log likelihood over s of residuals with density exp(-weight Huber(r) / (delta s)) / Z(s / weight).

    Parameters
    ----------
    residuals, weights : arrays of shape (n_points,)
    delta : float
    """
    from scipy.optimize import minimize_scalar

    cost = float((huber(residuals, delta) * weights).sum() / delta)

    def lack(log_scale: float) -> float:
        scale = np.exp(log_scale)
        return float(cost / scale + _log_normaliser(scale / weights, delta).sum())

    guess = np.log(cost / len(residuals) + 1e-12)
    return -float(minimize_scalar(lack, bounds=(guess - 5, guess + 5), method="bounded", options={"xatol": 1e-9}).fun)


def _log_normaliser(scale: Array, delta: float) -> Array:
    """Log of the integral of exp(-Huber(r) / (delta scale)): two exponential tails and a piece of a normal density."""
    from scipy.special import erf

    tails = 2 * scale * np.exp(-delta / (2 * scale))
    middle = np.sqrt(2 * np.pi * delta * scale) * erf(np.sqrt(delta / (2 * scale)))
    total: Array = np.log(tails + middle)
    return total


def _largest(points: Points, share: float) -> npt.NDArray[np.bool_]:
    """Which points are held out; raise ShapeMismatch where these would be none."""
    if not 0 < share < 1 or not _far(points, share).any():
        raise ShapeMismatch(
            "held-out points",
            expected="a share between 0 and 1 that holds out at least one point",
            got=f"share {share:g} of {len(points.misalignment)} points",
            next_step="hold out another share, or give points with more values of X: equal ones stay together",
        )
    return _far(points, share)


def _far(points: Points, share: float) -> npt.NDArray[np.bool_]:
    """Which points have X above the quantile that leaves `share` of them."""
    size = np.log(points.x).sum(axis=1)
    far: npt.NDArray[np.bool_] = size > np.quantile(size, 1 - min(max(share, 0.0), 1.0))
    return far


def _take(points: Points, rows: npt.NDArray[np.bool_]) -> Points:
    return replace(
        points,
        x=points.x[rows],
        misalignment=points.misalignment[rows],
        names=_chosen(points.names, rows),
        groups=_chosen(points.groups, rows),
        errors=None if points.errors is None else points.errors[rows],
    )


def _chosen(labels: tuple[str, ...], rows: npt.NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(label for label, row in zip(labels, rows, strict=True) if row) if labels else ()
