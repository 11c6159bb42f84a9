"""What points lack for a law: too few of them, a resource that does not vary, or scores that are all equal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from results.scaling.contracts import Array, Form, Points

_SAME = 1e-9  # relative difference of values that count as equal


@dataclass(frozen=True)
class Lack:
    """Why a law cannot be fitted.

    Attributes
    ----------
    rule : what is needed.
    got : what there is instead.
    """

    rule: str
    got: str

    def __str__(self) -> str:
        return f"needs {self.rule}, has {self.got}"


def lack_of(form: Form, points: Points) -> Lack | None:
    """Return why a form cannot be fitted to points; None where it can.

    Without one more point than parameters, without a resource that varies or with scores that are all equal a search
    would end somewhere all the same, at parameters that the points do not hold.
    """
    n_points, n_parameters = len(points.misalignment), len(form.parameters)
    if n_points <= n_parameters:
        rule = f"at least {n_parameters + 1} points for the {n_parameters} parameters of the form {form.name!r}"
        return Lack(rule, str(n_points))
    for values, variable, scale in zip(points.x.T, points.variables, points.scales, strict=True):
        if _are_equal(values):
            return Lack(f"{variable} that differs between points", f"{values[0] * scale:g} for all {n_points}")
    if _are_equal(points.misalignment):
        return Lack("scores that differ between points", f"{1 - points.misalignment[0]:g} for all {n_points}")
    return None


def _are_equal(values: Array) -> bool:
    return bool(np.ptp(values) <= _SAME * np.abs(values).max())
