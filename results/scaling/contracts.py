"""What scaling laws are made of: points, forms, fits and their bootstraps. Imports no more than NumPy.

One sign convention everywhere: the misalignment L = 1 - score falls with the resource X, L = E + A (X / X0)^-alpha with
E, A >= 0 and alpha > 0. Parameters have two forms: *log* (what is optimised, and published by Gokce and Schrimpf 2024:
e = ln E, a = ln A, b = ln B, lambda10 = log10 of the shift; exponents as they are) and *plain* (E, A, B, lambda).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Resampling = Literal["rows", "groups"]


@dataclass(frozen=True)
class Points:
    """What a law is fitted to.

    Attributes
    ----------
    x : (n_points, n_x) resources in units of `scales`: compute, or parameters and samples seen; > 0.
    misalignment : (n_points,) L = 1 - score, > 0, unitless.
    names : n_points labels, e.g. model ids.
    groups : n_points labels of what was drawn together, e.g. architecture and seed; () if every point stands alone.
    errors : (n_points,) standard errors of the scores, or None where they are not known.
    variables : names of the columns of `x`, e.g. ("total_flops",).
    scales : X0 per column: x times its scale is the resource in its own unit.
    """

    x: Array = field(repr=False)
    misalignment: Array = field(repr=False)
    names: tuple[str, ...] = field(repr=False)
    groups: tuple[str, ...] = field(default=(), repr=False)
    errors: Array | None = field(default=None, repr=False)
    variables: tuple[str, ...] = ("x",)
    scales: tuple[float, ...] = (1.0,)


@dataclass(frozen=True)
class Form:
    """A law as a plain function of log parameters, for many parameter vectors at a time.

    Attributes
    ----------
    name : e.g. "power".
    formula : for people, e.g. "E + A X^-alpha".
    parameters : names in the log form, in order, e.g. ("e", "a", "alpha").
    plain : names in the plain form, in the same order, e.g. ("E", "A", "alpha").
    n_x : resources it takes.
    log_misalignment : ``(parameters (..., n_parameters), x (n_points, n_x)) -> (values, jacobian)`` with ln L of shape
        (..., n_points) and its derivatives (..., n_points, n_parameters).
    to_plain, to_log : between the two forms, (..., n_parameters) each.
    bounds : (lowest, highest) per log parameter.
    starts : (n_starts, n_parameters) log parameters a search begins from.
    """

    name: str
    formula: str
    parameters: tuple[str, ...]
    plain: tuple[str, ...]
    n_x: int
    log_misalignment: Callable[[Array, Array], tuple[Array, Array]] = field(repr=False)
    to_plain: Callable[[Array], Array] = field(repr=False)
    to_log: Callable[[Array], Array] = field(repr=False)
    bounds: tuple[tuple[float, float], ...] = field(repr=False)
    starts: Callable[[], Array] = field(repr=False)


@dataclass(frozen=True)
class Fit:
    """A law that was fitted.

    Attributes
    ----------
    form : the form's name.
    log, plain : parameters by name in both forms.
    loss : sum over points of Huber(ln L - ln L_predicted), weighted where weights were given.
    n_points : how many.
    converged : the gradient vanished at the optimum (within tolerance, at bounds too).
    n_starts, n_best : starts tried, and how many of them ended at the optimum (within 1e-6 relative of its loss).
    flat : directions in which the loss hardly changes, in words ("e at its lower bound: no saturation can be seen").
    scales, variables : of the resources, as in `Points`.
    delta : where the Huber loss turns from quadratic to linear, in ln L.
    """

    form: str
    log: Mapping[str, float]
    plain: Mapping[str, float]
    loss: float
    n_points: int
    converged: bool
    n_starts: int
    n_best: int
    flat: tuple[str, ...] = ()
    scales: tuple[float, ...] = (1.0,)
    variables: tuple[str, ...] = ("x",)
    delta: float = 1e-3


@dataclass(frozen=True)
class Bootstrap:
    """Fits to resampled points.

    Attributes
    ----------
    log : (n_draws, n_parameters) in the log form; rows that did not converge are NaN.
    by : what was drawn: "rows" (the study's way, too narrow for grouped data) or "groups".
    seed : of the draws.
    n_failed : draws that did not converge.
    n_units : rows or groups that were drawn from; few of them make intervals wider. None if not known.
    center : (n_parameters,) log parameters of the fit to all points, from which the bias of draws is seen; or None.
    """

    log: Array = field(repr=False)
    by: Resampling
    seed: int
    n_failed: int
    n_units: int | None = None
    center: Array | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Law:
    """A fit with its bootstrap and the points it was made from: what every analysis and report takes.

    Attributes
    ----------
    name : of the experiment, e.g. "compute_neuro".
    """

    name: str
    points: Points
    fit: Fit
    bootstrap: Bootstrap | None = None
