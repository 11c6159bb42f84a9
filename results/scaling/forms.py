"""Laws of misalignment as plain functions of their log parameters, with exact derivatives.

Every law is read for many parameter vectors at once: parameters (..., n_parameters) and resources (n_points, n_x) give
ln L (..., n_points) and its derivatives (..., n_points, n_parameters). Amounts are optimised as logarithms (e = ln E,
a = ln A, b = ln B, h = ln H; lambda10 and t10 as powers of ten), exponents as they are.

Bounds are a box that no law of interest reaches. One of them carries meaning: an amount at its lowest value, exp(-20) =
2e-9, cannot be told from zero, so "e at its lower bound" reads "no saturation can be seen".

"unbounded" is "power" without a plateau, against which saturation is tested; "m4" is the form M4 of Alabdulmohsin,
Neyshabur and Zhai 2022, (L - E) / (E + H - L)^gamma = beta X^-alpha, with beta = A H^-gamma, so that A means the same
as in "power" where X is large, and E + H is the misalignment where X is small.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product

import numpy as np

from model_zoo.errors import UnknownName
from results.scaling.contracts import Array, Form

NOTHING = -20.0
_AMOUNT, _EXPONENT, _PLACE = (NOTHING, 50.0), (0.0, 10.0), (-10.0, 25.0)
Law = Callable[[Array, Array], tuple[Array, Array]]
_SIGMOID_STEPS = 8
_LARGEST = 600.0  # exp of more would overflow; no point is fitted there
_BOUNDS = dict.fromkeys(("alpha", "beta", "kappa"), _EXPONENT) | {"gamma": (0.01, 10.0)}
_BOUNDS |= dict.fromkeys(("lambda10", "t10"), _PLACE)


def get_form(name: str) -> Form:
    """The form of that name.

    Parameters
    ----------
    name : str
        One of `FORMS`, e.g. "power".

    Raises
    ------
    UnknownName
        There is no such form; the next step names the nearest ones.

    Examples
    --------
    >>> get_form("power").formula
    'E + A X^-alpha'
    """
    if name not in FORMS:
        raise UnknownName("scaling form", name, FORMS, hint=f"forms are {', '.join(FORMS)}")
    return FORMS[name]


def _power(parameters: Array, x: Array) -> tuple[Array, Array]:
    e, a, alpha = _columns(parameters)
    log_x = np.log(x[:, 0])
    return _of_amounts([(np.exp(e), {0: None}), (_exp(a - alpha * log_x), {1: None, 2: -log_x})], 3)


def _unbounded(parameters: Array, x: Array) -> tuple[Array, Array]:
    a, alpha = _columns(parameters)
    log_x = np.log(x[:, 0])
    return _of_amounts([(_exp(a - alpha * log_x), {0: None, 1: -log_x})], 2)


def _shifted(parameters: Array, x: Array) -> tuple[Array, Array]:
    e, a, alpha, lambda10 = _columns(parameters)
    shift = 10.0**lambda10
    shifted = x[:, 0] + shift
    log_x = np.log(shifted)
    by_shift = -alpha * np.log(10.0) * shift / shifted
    return _of_amounts([(np.exp(e), {0: None}), (_exp(a - alpha * log_x), {1: None, 2: -log_x, 3: by_shift})], 4)


def _two_variable(parameters: Array, x: Array) -> tuple[Array, Array]:
    e, a, alpha, b, beta = _columns(parameters)
    log_n, log_d = np.log(x).T
    first = _exp(a - alpha * log_n), {1: None, 2: -log_n}
    return _of_amounts([(np.exp(e), {0: None}), first, (_exp(b - beta * log_d), {3: None, 4: -log_d})], 5)


def _saturating(parameters: Array, x: Array) -> tuple[Array, Array]:
    e, a, t10, kappa = _columns(parameters)
    distance = np.log(x[:, 0]) - np.log(10.0) * t10
    ratio = _exp(kappa * distance)  # (X / T)^kappa
    by_place, by_kappa = np.log(10.0) * kappa * ratio, -distance * ratio
    return _of_amounts([(np.exp(e), {0: None}), (_exp(a - ratio), {1: None, 2: by_place, 3: by_kappa})], 4)


def _m4(parameters: Array, x: Array) -> tuple[Array, Array]:
    e, h, a, alpha, gamma = _columns(parameters)
    log_x = np.log(x[:, 0])
    share, rest, cost = _solve_sigmoid(a - h - alpha * log_x, gamma)  # share = (L - E) / H
    slope = rest / (rest + gamma * share)  # d ln share / d (a - h - alpha ln X)
    terms = {1: 1 - slope, 2: slope, 3: -log_x * slope, 4: -slope * cost}
    return _of_amounts([(np.exp(e), {0: None}), (np.exp(h) * share, terms)], 5)


def _solve_sigmoid(target: Array, gamma: Array) -> tuple[Array, Array, Array]:
    """Share s that solves ln s - gamma ln(1 - s) = target, 1 - s and -ln(1 - s), by Newton steps in its logit.

    The left side rises with slopes between 1 and gamma and bends one way, so Newton's steps cannot go astray.
    """
    logit = np.where(target < 0, target, target / gamma)
    for step in range(_SIGMOID_STEPS + 1):
        small = np.exp(-np.abs(logit))
        larger, near = 1 / (1 + small), np.log1p(small)
        share = np.where(logit > 0, larger, 1 - larger)
        cost = np.maximum(logit, 0.0) + near  # -ln(1 - s)
        if step < _SIGMOID_STEPS:
            miss = gamma * cost - (cost - logit) - target
            logit = logit - miss / (1 - share + gamma * share)
    return np.where(logit > 0, larger, small * larger), np.where(logit > 0, small * larger, larger), cost


def _of_amounts(amounts: Sequence[tuple[Array, dict[int, Array | None]]], n_parameters: int) -> tuple[Array, Array]:
    """Log of the sum of `amounts`, and its derivatives from d ln amount / d parameter (None for 1).

    The derivatives lie in memory parameter by parameter, so that products over points are products of matrices.
    """
    total = sum(amount for amount, _ in amounts[1:]) + amounts[0][0]  # (..., n_points)
    by_parameter = np.zeros((*total.shape[:-1], n_parameters, total.shape[-1]))
    for amount, derivatives in amounts:
        share = amount / total
        for parameter, derivative in derivatives.items():
            np.multiply(share, 1.0 if derivative is None else derivative, out=by_parameter[..., parameter, :])
    return np.log(total), np.swapaxes(by_parameter, -1, -2)


def _columns(parameters: Array) -> list[Array]:
    return [parameters[..., [column]] for column in range(parameters.shape[-1])]  # (..., 1) each


def _exp(exponent: Array) -> Array:
    amount: Array = np.exp(np.minimum(exponent, _LARGEST))
    return amount


def _form(name: str, formula: str, law: Law, n_x: int, parameters: Mapping[str, tuple[str, Sequence[float]]]) -> Form:
    """A form from its law and, by log parameter, the plain name and the values that starts are made of."""
    names = tuple(parameters)
    exponents = np.array([_BOUNDS.get(name, _AMOUNT)[0] >= 0 for name in names])
    base = np.where([name in ("lambda10", "t10") for name in names], np.log(10.0), 1.0)

    def to_plain(log: Array) -> Array:
        amounts = np.exp(np.where(exponents, 0.0, log) * base)
        return np.where(exponents, log, amounts)

    def to_log(plain: Array) -> Array:
        with np.errstate(divide="ignore"):
            logs = np.log(np.where(exponents, 1.0, plain)) / base
        return np.where(exponents, plain, logs)

    def starts() -> Array:
        return np.array(list(product(*(values for _, values in parameters.values()))), dtype=float)

    plain = tuple(plain for plain, _ in parameters.values())
    bounds = tuple(_BOUNDS.get(name, _AMOUNT) for name in names)
    return Form(name, formula, names, plain, n_x, law, to_plain, to_log, bounds, starts)


_E, _A, _ALPHA = (-1.0, -0.5, 0.0, 0.5, 1.0), (0.0, 5.0, 10.0, 15.0, 20.0, 25.0), (0.0, 0.5, 1.0, 1.5, 2.0)
_POWER: Mapping[str, tuple[str, Sequence[float]]] = {"e": ("E", _E), "a": ("A", _A), "alpha": ("alpha", _ALPHA)}
FORMS: Mapping[str, Form] = {
    form.name: form
    for form in (
        _form("power", "E + A X^-alpha", _power, 1, _POWER),
        _form("unbounded", "A X^-alpha", _unbounded, 1, {"a": _POWER["a"], "alpha": _POWER["alpha"]}),
        _form(
            "shifted",
            "E + A (X + lambda)^-alpha",
            _shifted,
            1,
            {**_POWER, "lambda10": ("lambda", (-2.0, 0.0, 2.0, 4.0))},
        ),
        _form(
            "two_variable",
            "E + A N^-alpha + B D^-beta",
            _two_variable,
            2,
            {**_POWER, "b": ("B", _A), "beta": ("beta", _ALPHA)},
        ),
        _form(
            "saturating",
            "E + A exp(-(X / T)^kappa)",
            _saturating,
            1,
            {
                "e": ("E", (-2.0, -1.0, 0.0)),
                "a": ("A", (-2.0, -1.0, 0.0)),
                "t10": ("T", (-2.0, 0.0, 2.0, 4.0, 6.0, 8.0)),
                "kappa": ("kappa", (0.1, 0.3, 1.0)),
            },
        ),
        _form(
            "m4",
            "E + H s, s / (1 - s)^gamma = (A / H) X^-alpha",
            _m4,
            1,
            {
                "e": ("E", (-2.0, -0.7)),
                "h": ("H", (-2.0, -1.0, 0.0)),
                "a": ("A", (-1.0, 1.0, 3.0, 6.0)),
                "alpha": ("alpha", (0.1, 0.3, 1.0)),
                "gamma": ("gamma", (0.3, 1.0, 3.0)),
            },
        ),
    )
}
