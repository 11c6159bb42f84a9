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


def interval_of(draws: Array, level: float = 0.95) -> Interval | None:
    """Return the percentile interval of draws, None where fewer than two are finite.

    Parameters
    ----------
    draws : (n_draws,); those not finite are left out.
    level : coverage.

    Notes
    -----
    Percentiles are those of the study (linear between draws), without correction for bias.
    """
    kept = draws[np.isfinite(draws)]
    if len(kept) < 2:
        return None
    low, high = np.quantile(kept, [(1 - level) / 2, (1 + level) / 2])
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
