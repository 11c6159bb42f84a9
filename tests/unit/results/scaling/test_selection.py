"""Forms against forms: the likelihood is a likelihood, and planted laws win."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import minimize_scalar
from scipy.stats import laplace, norm

from model_zoo.errors import ShapeMismatch, UnknownName
from results.scaling.contracts import Points
from results.scaling.fitting import fit
from results.scaling.forms import get_form
from results.scaling.selection import ONE_RESOURCE, aicc, compare_forms, lacks, log_likelihood
from results.scaling.solver import huber

FAMILIES = {"saturating": (0.5, 0.3), "unbounded": (0.0, 0.08)}


def family(name: str, seed: int, n: int = 80, noise: float = 0.03) -> Points:
    plateau, exponent = FAMILIES[name]
    rng = np.random.default_rng(seed)
    x = 10 ** rng.uniform(0, 6, n)
    misalignment = (plateau + (0.95 - plateau) * x**-exponent) * np.exp(noise * rng.normal(size=n))
    return Points(x[:, None], misalignment, tuple(map(str, range(n))), tuple(str(i % 7) for i in range(n)))


@pytest.mark.parametrize("seed", range(3))
def test_a_family_that_saturates_is_told_from_one_that_does_not(seed: int):
    """A power law to zero promises too much where there is a plateau, and costs less where there is none."""
    ends = {one.fit.form: one for one in compare_forms(family("saturating", seed), ("unbounded", "power"))}
    assert ends["power"].held_out_error < 0.5 * ends["unbounded"].held_out_error
    assert ends["unbounded"].held_out_bias > 0.05 > abs(ends["power"].held_out_bias)
    assert ends["power"].aicc < ends["unbounded"].aicc - 20
    first, second = compare_forms(family("unbounded", seed), ("power", "unbounded"))
    assert first.fit.form == "unbounded"
    assert first.aicc < second.aicc
    assert first.held_out_error <= second.held_out_error + 1e-4
    assert abs(first.held_out_bias) < 0.03


def test_rows_are_in_order_and_hold_what_they_say():
    points = family("saturating", 1)
    found = compare_forms(points, ("power", "unbounded", "saturating"))
    errors = [round(one.held_out_error, 4) for one in found]
    assert errors == sorted(errors)
    assert {one.fit.form for one in found} == {"power", "unbounded", "saturating"}
    assert sum(one.akaike_weight for one in found) == pytest.approx(1.0)
    assert {one.n_held_out for one in found} == {20}
    power = next(one for one in found if one.fit.form == "power")
    assert power.fit == fit(get_form("power"), points)
    order = np.argsort(points.x[:, 0])
    near, far = order[:60], order[60:]
    inner = fit(get_form("power"), Points(points.x[near], points.misalignment[near], tuple(map(str, near))))
    truth = np.log(points.misalignment[far])
    predicted = get_form("power").log_misalignment(np.array(list(inner.log.values())), points.x[far])[0]
    assert power.held_out_error == pytest.approx(np.abs(truth - predicted).mean(), rel=1e-6)
    assert power.held_out_bias == pytest.approx((truth - predicted).mean(), rel=1e-5)


def test_likelihood_is_laplace_s_for_a_small_delta_and_normal_for_a_large_one():
    residuals = np.random.default_rng(0).laplace(scale=0.1, size=300)
    ones = np.ones(300)
    scale = np.abs(residuals).mean()
    assert log_likelihood(residuals, ones, 1e-7) == pytest.approx(
        laplace(scale=scale).logpdf(residuals).sum(), rel=1e-5
    )
    sd = np.sqrt((residuals**2).mean())
    assert log_likelihood(residuals, ones, 30.0) == pytest.approx(norm(scale=sd).logpdf(residuals).sum(), rel=1e-6)


def test_likelihood_is_that_of_a_density_that_integrates_to_one():
    residuals, weights, delta = np.array([0.02, -0.2, 0.5]), np.array([1.0, 2.0, 0.5]), 0.1

    def lack(scale: float) -> float:
        total = 0.0
        for residual, weight in zip(residuals, weights, strict=True):
            unit = delta * scale / weight
            area = 2 * quad(lambda r, unit: np.exp(-float(huber(r, delta)) / unit), 0, 60, args=(unit,), limit=500)[0]
            total += weight * float(huber(residual, delta)) / (delta * scale) + np.log(area)
        return total

    best = minimize_scalar(lack, bounds=(0.01, 2.0), method="bounded", options={"xatol": 1e-8})
    assert log_likelihood(residuals, weights, delta) == pytest.approx(-best.fun, rel=1e-6)


def test_aicc_counts_the_scale_and_corrects_for_few_points():
    points = family("saturating", 2, n=12)
    found = fit(get_form("power"), points)
    residuals = (
        np.log(points.misalignment)
        - get_form("power").log_misalignment(np.array(list(found.log.values())), points.x)[0]
    )
    likelihood = log_likelihood(residuals, np.ones(12), 1e-3)
    assert aicc(found, points) == pytest.approx(8 - 2 * likelihood + 2 * 4 * 5 / 7)
    five = replace(points, x=points.x[:5], misalignment=points.misalignment[:5], groups=())
    assert aicc(found, five) == np.inf


def test_comparisons_that_cannot_be_made_are_refused():
    points = family("saturating", 0, n=20)
    with pytest.raises(ShapeMismatch, match=r"held-out points: expected a share between 0 and 1"):
        compare_forms(points, held_out=1.5)
    with pytest.raises(ShapeMismatch, match=r"hold out another share, or give points with more values of X"):
        compare_forms(replace(points, x=np.ones((20, 1))))
    with pytest.raises(UnknownName, match="scaling form 'powr'"):
        compare_forms(points, ("powr",))
    with pytest.raises(ShapeMismatch, match=r"form 'two_variable': expected resources of shape \(n_points, 2\)"):
        compare_forms(points, ("two_variable",))


@pytest.mark.parametrize("n_points", range(4, 13))
def test_what_points_lack_is_what_a_comparison_of_them_needs(n_points: int):
    """Forms that nothing lacks are compared, each with an AICc; of the others a fit or an AICc is impossible."""
    points = family("saturating", 2, n_points)
    lacking = lacks(points, ONE_RESOURCE)
    allowed = [name for name in ONE_RESOURCE if name not in lacking]
    assert all(np.isfinite(one.aicc) for one in (compare_forms(points, allowed) if allowed else ()))
    for name in lacking:
        try:
            (one,) = compare_forms(points, (name,))
        except ShapeMismatch:
            continue
        assert not np.isfinite(one.aicc)
