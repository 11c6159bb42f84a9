"""Where alignment ends: the score a law saturates at, and the resource that brings most of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from alignment.contracts import Interval
from model_zoo.errors import InvalidOption
from results.scaling.contracts import Array, Law
from results.scaling.draws import check_one_variable, fitted_log, interval_of, log_draws, n_units
from results.scaling.forms import get_form

NEGLIGIBLE = 0.01  # of the smallest misalignment the law predicts over its points
FAR = 1000.0  # times the largest resource observed: an end that is reached later is not read from the points
_NONE = "no saturation can be seen"
_ONE = 0.995  # an interval of the final score that reaches this holds 1, as tables show it
_FARTHEST = 300.0  # powers of ten that a float holds


@dataclass(frozen=True, kw_only=True)
class Saturation:
    """Where a law's score ends, and what it takes to come near.

    Attributes
    ----------
    level : 1 - E, the score that endless X leads to.
    share : of `level` that `resource` reaches.
    resource : X in its own unit at which the score is share x level; 0 where it is so without any, inf beyond 1e300.
    beyond : `resource` over the largest that was observed; above 1 it is an extrapolation.
    unbounded : share of the draws in which E is negligible, so that no end below a score of 1 can be seen; without
        draws 1.0 or 0.0 as the fit says.
    kind : "end" where the law ends, as far as its form and the draws say; "open" where the fit has an end that the
        points do not hold: its interval reaches 1, or 95 % of it is more than `FAR` times beyond them; "none" where E
        cannot be told from 0.
    words : what can be said, for people.
    """

    name: str
    level: float
    level_interval: Interval | None
    share: float
    resource: float
    resource_interval: Interval | None
    beyond: float
    unbounded: float
    kind: Literal["end", "open", "none"]
    words: str


def saturation(law: Law, *, share: float = 0.95, level: float = 0.95) -> Saturation:
    """Return the score that a law ends at, and the resource that brings a share of it.

    Parameters
    ----------
    law : of one variable.
    share : of the final score, between 0 and 1.
    level : coverage of the intervals.

    Raises
    ------
    InvalidOption
        A law of two variables, or a share outside (0, 1).

    Notes
    -----
    E is called negligible where it is below 1 % of the smallest misalignment that the law predicts over its points: no
    point would tell it from 0. That the final score is then 1 is the form's doing, not the data's, and `words` says so.
    An interval of E that reaches 0 means that the points bound the final score from below only.
    """
    check_one_variable(law)
    if not 0 < share < 1:
        raise InvalidOption("share", expected="a number between 0 and 1", got=f"{share:g}", next_step="say 0.95")
    form, fitted, draws = get_form(law.fit.form), fitted_log(law), log_draws(law)
    nearest = law.points.x[[np.argmax(law.points.x[:, 0])]]

    def negligible(parameters: Array) -> Array:
        lowest = np.exp(form.log_misalignment(parameters, nearest)[0])[..., 0]
        return np.asarray(np.exp(parameters[..., 0]) < NEGLIGIBLE * lowest)

    def power_of_ten(parameters: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            left = np.log((1 - share) * (1 - np.exp(parameters[..., 0])))
            powers = _PLACES[form.name](parameters, left) + np.log10(law.points.scales[0])
        return np.asarray(np.clip(powers, -_FARTHEST, _FARTHEST))

    unbounded = float(np.mean(negligible(draws if len(draws) else fitted)))
    final, power = float(1 - np.exp(fitted[0])), float(power_of_ten(fitted))
    final_interval = interval_of(1 - np.exp(draws[:, 0]), n_units(law), level, center=final)
    powers = interval_of(power_of_ten(draws), n_units(law), level, center=power)
    reached = _of_power(power)
    beyond = reached / float(nearest[0, 0] * law.points.scales[0])
    kind: Literal["end", "open", "none"] = "end"
    if negligible(fitted) or unbounded > 1 - (1 - level) / 2:
        kind = "none"
    elif unbounded > (1 - level) / 2 or beyond > FAR or (final_interval or (final, final))[1] >= _ONE:
        kind = "open"
    words = _words_of_level(kind, final, final_interval, unbounded)
    if kind != "none":
        words += _words_of_resource(share, reached, beyond, law.points.variables[0])
    return Saturation(
        name=law.name,
        level=final,
        level_interval=final_interval,
        share=share,
        resource=reached,
        resource_interval=None if powers is None else (_of_power(powers[0]), _of_power(powers[1])),
        beyond=beyond,
        unbounded=unbounded,
        kind=kind,
        words=words,
    )


def _words_of_level(kind: str, final: float, interval: Interval | None, unbounded: float) -> str:
    if kind == "none":
        share = f" in {unbounded:.0%} of draws" if interval else ""
        return f"{_NONE}: E cannot be told from 0{share}; a final score of 1 is the form's, not found"
    found = f"{final:.3g}" + (f" [{interval[0]:.3g}, {interval[1]:.3g}]" if interval else "")
    if kind == "end":
        return f"saturates at {found}"
    doubt = f", but in {unbounded:.0%} of draws {_NONE}" if unbounded > 0 else ""
    return f"no end is certain: the fit ends at {found}{doubt}"


def _words_of_resource(share: float, resource: float, beyond: float, variable: str) -> str:
    if not np.isfinite(resource):
        return f"; no finite {variable} brings {share:.0%} of it"
    if beyond <= 1:
        return f"; {share:.0%} of it at {variable} {resource:.2g}, which was observed"
    return f"; {share:.0%} of it at {variable} {resource:.2g}, {beyond:.2g} times the largest observed"


def _of_power(power: float) -> float:
    if abs(power) == _FARTHEST:
        return float("inf") if power > 0 else 0.0
    return float(10.0**power)


def _power_place(parameters: Array, log_left: Array) -> Array:
    return np.asarray((parameters[..., 1] - log_left) / parameters[..., 2] / np.log(10))


def _shifted_place(parameters: Array, log_left: Array) -> Array:
    shifted = np.minimum(_power_place(parameters, log_left), _FARTHEST)
    return np.asarray(np.log10(np.maximum(10.0**shifted - 10.0 ** parameters[..., 3], 0.0)))


def _saturating_place(parameters: Array, log_left: Array) -> Array:
    decay = np.maximum(parameters[..., 1] - log_left, 0.0)
    return np.asarray(parameters[..., 2] + np.log10(decay) / parameters[..., 3])


def _m4_place(parameters: Array, log_left: Array) -> Array:
    h, a, alpha, gamma = (parameters[..., i] for i in range(1, 5))
    share = np.minimum(np.exp(log_left - h), 1.0)  # (L - E) / H
    return np.asarray((a - h - np.log(share) + gamma * np.log1p(-share)) / alpha / np.log(10))


# log10 of the X at which L - E has fallen to exp(log_left)
_PLACES: dict[str, Callable[[Array, Array], Array]] = {
    "power": _power_place,
    "shifted": _shifted_place,
    "saturating": _saturating_place,
    "m4": _m4_place,
}
