"""What the bootstrap of a law says: draws by parameter name, and intervals from draws."""

from __future__ import annotations

import numpy as np

from alignment.contracts import Interval
from model_zoo.errors import InvalidOption
from results.scaling.contracts import Array, Law
from results.scaling.forms import get_form


def fitted_log(law: Law) -> Array:
    """Return the fitted log parameters in the order of the form, shape (n_parameters,)."""
    return np.array([law.fit.log[name] for name in get_form(law.fit.form).parameters])


def log_draws(law: Law) -> Array:
    """Return the bootstrap's log parameters without draws that failed, shape (n_draws, n_parameters).

    A law without a bootstrap has none: shape (0, n_parameters).
    """
    if law.bootstrap is None:
        return np.empty((0, len(get_form(law.fit.form).parameters)))
    return np.asarray(law.bootstrap.log[np.isfinite(law.bootstrap.log).all(axis=1)])


def tail(n_units: int | None, level: float = 0.95) -> float:
    """Return the share of draws that an interval leaves out at each end.

    Parameters
    ----------
    n_units : rows or groups that were drawn from; None if not known.
    level : wanted coverage.

    Notes
    -----
    (1 - level) / 2 among many units, as in the study. Draws from few units lie too close together: they spread as if n
    were n - 1, and need Student's quantile instead of the normal one. The expanded percentile interval takes
    Phi(-sqrt(n / (n - 1)) t) instead, with t of n - 1 degrees of freedom, like `results.scaling.bootstrap.intervals`.

    References
    ----------
    Hesterberg (2015), What teachers should know about the bootstrap, The American Statistician 69, 371, section 5.3.
    """
    from scipy.special import ndtr, stdtrit

    plain = (1 - level) / 2
    if n_units is None or n_units < 2:
        return plain
    return float(ndtr(np.sqrt(n_units / (n_units - 1)) * stdtrit(n_units - 1, plain)))


def n_units(law: Law) -> int | None:
    """Return how many rows or groups a law's bootstrap drew from, None where that is not known."""
    return None if law.bootstrap is None else law.bootstrap.n_units


def cuts(draws: Array, center: float | None, n_units: int | None, level: float = 0.95) -> Array:
    """Return the shares of draws below which an interval begins and ends, shape (2,).

    Parameters
    ----------
    draws : (n_draws,)
    center : the estimate that the draws belong to; draws equal to it count half below it. None for none.
    n_units, level : see `tail`.

    Notes
    -----
    Where a share p other than half of the draws lies below the estimate, as for the skewed exponent of a law, both
    ends move by 2 Phi^-1(p) on the normal scale: Efron's (1987) bias correction, without acceleration.
    """
    from scipy.special import ndtr, ndtri

    outer, bias = ndtri(tail(n_units, level)), 0.0
    if center is not None:
        below = (draws < center).mean() + 0.5 * (draws == center).mean()
        bias = 2 * ndtri(np.clip(below, 1 / len(draws), 1 - 1 / len(draws)))
    found: Array = ndtr(np.array([bias + outer, bias - outer]))
    return found


def interval_of(
    draws: Array, n_units: int | None, level: float = 0.95, *, center: float | None = None
) -> Interval | None:
    """Return the percentile interval of draws from so many units, None where fewer than two draws are finite.

    Parameters
    ----------
    draws : (n_draws,); those not finite are left out.
    n_units, level, center : see `cuts`.
    """
    kept = draws[np.isfinite(draws)]
    if len(kept) < 2:
        return None
    if center is not None and not np.isfinite(center):
        center = None
    low, high = np.quantile(kept, cuts(kept, center, n_units, level))
    return float(low), float(high)


def outside(value: float, observed: Array) -> float:
    """Return how far a resource lies outside what was observed, as a ratio: 1 inside, 3 at three times the largest."""
    return float(max(value / observed.max(), observed.min() / value, 1.0))


def check_one_variable(law: Law) -> None:
    """Raise InvalidOption unless the law has one resource."""
    form = get_form(law.fit.form)
    if form.n_x != 1:
        raise InvalidOption(
            f"law {law.name}",
            expected="a law of one resource",
            got=f"{form.name}, {form.formula}",
            next_step="fit one to compute, parameters or samples seen",
        )
