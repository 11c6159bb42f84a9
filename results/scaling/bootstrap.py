"""How sure a law is: fits to resampled rows or groups, and intervals from them.

Rows are the study's way. Points that were made together, by architecture or seed, go up and down together; drawing
rows then counts the same evidence many times, and only drawing whole groups gives intervals of the stated coverage.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from model_zoo.errors import InvalidOption, ShapeMismatch
from results.scaling.contracts import Array, Bootstrap, Fit, Form, Law, Points, Resampling
from results.scaling.draws import cuts
from results.scaling.fitting import CONVERGED, deltas_to, fit, row_weights
from results.scaling.forms import get_form
from results.scaling.solver import minimise
from results.scaling.sufficiency import lack_of

_DELTAS = (0.03, 0.01, 0.003)
_DELTAS_AGAIN, _N_AGAIN = (1.0, 0.1, *_DELTAS), 25


def bootstrap(
    fit: Fit,
    points: Points,
    *,
    n_draws: int = 1000,
    by: Resampling = "rows",
    seed: int = 0,
    weights: Array | None = None,
) -> Bootstrap:
    """Fits of the same form to resampled points.

    Parameters
    ----------
    fit : Fit
        The fit to all points; every draw is searched from there.
    points : Points
        What it was fitted to.
    n_draws : int
        Number of resamples.
    by : {"rows", "groups"}
        What is drawn, with replacement, as often as there are of them: points that stand alone, or whole groups.
    seed : int
        Of the draws. With 42 and rows, in the order of the published table, these are the draws of Gokce and Schrimpf
        2024.
    weights : array of shape (n_points,), optional
        Those of the fit; by default `row_weights`. Not estimated anew in every draw.

    Returns
    -------
    Bootstrap

    Raises
    ------
    ShapeMismatch
        Groups are to be drawn from points without groups, or from a single one; or fewer than one draw.

    Notes
    -----
    A draw is a vector of counts that weighs the points; no row is copied. Draws begin at the fit, and where that has
    parameters at a lower bound also away from the bound, and pass through larger deltas (`solver.minimise`); the few
    that do not converge, in flat valleys towards laws without a plateau, are searched anew from the grid. Searches
    of single draws over the whole grid find no better optimum (docs/scaling-speed.md).
    """
    form = get_form(fit.form)
    weights = row_weights(form, points) if weights is None else weights
    counts = _draws(points, n_draws, by, seed)
    log = np.array([fit.log[name] for name in form.parameters])
    n_units = counts.shape[1] if by == "rows" else len(set(points.groups))
    if by == "groups":
        members = np.unique(points.groups, return_inverse=True)[1].ravel()
        counts = counts[:, members]
    counts = counts * weights
    ended, gradient = _best(form, points, counts, _starts(form, points, log), deltas_to(fit.delta, _DELTAS))
    left = np.flatnonzero(gradient > CONVERGED)
    if len(left):
        ended[left], gradient[left] = _again(form, points, counts[left], ended[left], fit.delta)
    failed = gradient > CONVERGED
    ended = np.where(failed[:, None], np.nan, ended)
    return Bootstrap(ended, by, seed, int(failed.sum()), n_units, log)


def _best(
    form: Form, points: Points, weights: Array, starts: Sequence[Array], deltas: Sequence[float]
) -> tuple[Array, Array]:
    """Log parameters and gradient of every draw, from the start that led to its lowest loss.

    Starts are (n_parameters,), or (n_draws, n_parameters) where draws begin at different places.
    """
    tried = [
        minimise(form, points, weights, np.broadcast_to(start, (len(weights), start.shape[-1])), deltas)
        for start in starts
    ]
    best, draws = np.argmin([minima.loss for minima in tried], axis=0), np.arange(len(weights))
    ended = np.stack([minima.log for minima in tried])[best, draws]
    return ended, np.stack([minima.gradient for minima in tried])[best, draws]


def _again(form: Form, points: Points, weights: Array, ended: Array, delta: float) -> tuple[Array, Array]:
    """The same for draws that did not converge, from more starts: without a plateau from where they are, and a grid."""
    grid = form.starts()
    starts = list(grid[:: max(1, len(grid) // _N_AGAIN)])
    if "e" in form.parameters:
        plateau = form.parameters.index("e")
        without = ended.copy()
        without[:, plateau] = form.bounds[plateau][0]
        starts.append(without)
    return _best(form, points, weights, starts, deltas_to(delta, _DELTAS_AGAIN))


def intervals(bootstrap: Bootstrap, form: Form, level: float = 0.95) -> dict[str, tuple[float, float]]:
    """Intervals of every parameter, by its name in the log form and in the plain form.

    Parameters
    ----------
    bootstrap : Bootstrap
    form : Form
        Of the fits.
    level : float
        Wanted coverage, e.g. 0.95.

    Returns
    -------
    dict
        (low, high) by name; both NaN where no draw converged.

    Notes
    -----
    Percentiles of draws, with levels corrected twice. Draws from few units are too narrow: they spread as if n were
    n - 1, and need Student's quantile instead of the normal one; the tail becomes `draws.tail` (the "expanded
    percentile interval" of Hesterberg 2015, section 5.3). And where a share p other than half of the draws lies below
    the fit, as for the skewed exponent, levels move by 2 Phi^-1(p) on the normal scale (the bias correction of Efron
    1987, without acceleration). Without the center of the draws the second is left out. From hundreds of rows these
    are nearly the plain percentiles, `percentiles`, which the study gives. Measured coverage: docs/scaling-coverage.md.

    References
    ----------
    Hesterberg 2015, The American Statistician 69:371. Efron 1987, Journal of the American Statistical Association
    82:171.
    """
    converged = bootstrap.log[~np.isnan(bootstrap.log).any(axis=1)]
    if not len(converged):
        bounds = np.full((2, len(form.parameters)), np.nan)
    else:
        center = np.median(converged, axis=0) if bootstrap.center is None else bootstrap.center
        bounds = np.column_stack(
            [
                np.quantile(draws, cuts(draws, at, bootstrap.n_units, level))
                for draws, at in zip(converged.T, center, strict=True)
            ]
        )
    plain = form.to_plain(bounds)
    found = {name: (float(bounds[0, at]), float(bounds[1, at])) for at, name in enumerate(form.parameters)}
    return found | {name: (float(plain[0, at]), float(plain[1, at])) for at, name in enumerate(form.plain)}


def percentiles(bootstrap: Bootstrap, percent: float) -> Array:
    """Percentiles of the draws that converged, (n_parameters,) in the log form; the study's bounds are 2.5 and 97.5."""
    converged = bootstrap.log[~np.isnan(bootstrap.log).any(axis=1)]
    if not len(converged):
        return np.full(bootstrap.log.shape[1], np.nan)
    found: Array = np.percentile(converged, percent, axis=0)
    return found


def law(
    name: str,
    form_name: str,
    points: Points,
    *,
    n_draws: int = 1000,
    by: Resampling = "rows",
    seed: int = 0,
) -> Law:
    """A fit with its bootstrap.

    Parameters
    ----------
    name : str
        Of the experiment.
    form_name : str
        One of `results.scaling.forms.FORMS`.
    points : Points
    n_draws : int
        0 for a fit without a bootstrap.
    by, seed
        As in `bootstrap`.

    Raises
    ------
    UnknownName
        There is no such form.
    InvalidOption
        The points hold no law of that form; see `sufficiency.lack_of`.
    ShapeMismatch
        As in `fit` and `bootstrap`.
    """
    form = get_form(form_name)
    lack = lack_of(form, points)
    if lack is not None:
        raise InvalidOption(f"law {name!r}", expected=lack.rule, got=lack.got, next_step="add models that differ")
    weights = row_weights(form, points)
    found = fit(form, points, weights=weights)
    made = bootstrap(found, points, n_draws=n_draws, by=by, seed=seed, weights=weights) if n_draws else None
    return Law(name, points, found, made)


def _draws(points: Points, n_draws: int, by: Resampling, seed: int) -> Array:
    """How often each row, or each group in sorted order, is drawn: (n_draws, n_units)."""
    n_units = len(points.misalignment) if by == "rows" else len(set(points.groups))
    if n_draws < 1 or n_units < 2:
        raise ShapeMismatch(
            f"bootstrap by {by}",
            expected="at least one draw, from two or more",
            got=f"{n_draws} draws from {n_units}",
            next_step="give groups with the points, or draw rows" if by == "groups" else "ask for more draws",
        )
    units = np.random.default_rng(seed).integers(0, n_units, size=(n_draws, n_units))
    flat = units + n_units * np.arange(n_draws)[:, None]
    counts: Array = np.bincount(flat.ravel(), minlength=n_draws * n_units).reshape(n_draws, n_units).astype(float)
    return counts


def _starts(form: Form, points: Points, log: Array) -> list[Array]:
    """The fit, and the fit with parameters that rest at their lower bound raised to usual values."""
    low = np.array([bound[0] for bound in form.bounds])
    half = np.log(0.5 * points.misalignment.min())
    place = float(np.log10(points.x[:, 0].min()))
    usual = {"alpha": 0.3, "beta": 0.3, "kappa": 0.3, "gamma": 1.0, "lambda10": place, "t10": place}
    raised = np.array([usual.get(name, half) for name in form.parameters])
    return [log] if (log > low).all() else [log, np.where(log <= low, raised, log)]
