"""Fits: planted laws come back, scipy finds nothing better, and what points cannot tell is said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import huber as scipy_huber

from model_zoo.errors import ShapeMismatch
from results.scaling import solver
from results.scaling.contracts import Fit, Form, Points
from results.scaling.fitting import fit, predict, predict_log, row_weights
from results.scaling.forms import get_form

PLANTED = {
    "power": [-0.7, -0.3, 0.3],
    "unbounded": [-0.3, 0.1],
    "shifted": [-0.7, 0.6, 0.4, 1.0],
    "two_variable": [-1.0, -0.8, 0.5, -0.6, 0.3],
    "saturating": [-0.7, -0.8, 2.5, 0.5],
    "m4": [-0.7, -1.0, 0.3, 0.5, 1.5],
}


def made(name: str, *, n: int = 120, noise: float = 0.0, seed: int = 0, log: list[float] | None = None) -> Points:
    form = get_form(name)
    rng = np.random.default_rng(seed)
    x = 10 ** rng.uniform(0, 6, (n, form.n_x))
    truth = form.log_misalignment(np.array(PLANTED[name] if log is None else log), x)[0]
    return Points(x, np.exp(truth + noise * rng.standard_t(4, n)), tuple(f"model {i}" for i in range(n)))


def huber_sum(form: Form, log: np.ndarray, points: Points, delta: float) -> float:
    """The objective in other words than ours."""
    residuals = np.log(points.misalignment) - form.log_misalignment(log, points.x)[0]
    return float(scipy_huber(delta, residuals).sum())


def vector(found: Fit) -> np.ndarray:
    return np.array(list(found.log.values()))


@pytest.mark.parametrize("name", PLANTED)
def test_a_law_without_noise_comes_back(name: str):
    form = get_form(name)
    starts = form.starts()[:: 30 if name == "two_variable" else 1]
    found = fit(form, made(name), starts=starts)
    np.testing.assert_allclose(vector(found), PLANTED[name], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(list(found.plain.values()), form.to_plain(vector(found)))
    assert found.loss < 1e-14
    assert found.converged
    assert 1 <= found.n_best <= found.n_starts == len(starts)


@pytest.mark.parametrize(("name", "seed"), [("power", 1), ("power", 2), ("shifted", 1), ("saturating", 2)])
def test_scipy_finds_no_better_optimum(name: str, seed: int):
    form, points = get_form(name), made(name, noise=0.05, seed=seed)
    found = fit(form, points)
    assert found.loss == pytest.approx(huber_sum(form, vector(found), points, 1e-3), rel=1e-12)
    for start in (np.array(PLANTED[name]), vector(found)):
        other = minimize(
            lambda log: 1e3 * huber_sum(form, log, points, 1e-3),
            start,
            method="Nelder-Mead",
            options={"maxiter": 4000, "xatol": 1e-9, "fatol": 1e-12, "adaptive": True},
        )
        assert found.loss <= other.fun / 1e3 * (1 + 1e-9)
    assert other.fun / 1e3 == pytest.approx(found.loss, rel=1e-8)


@pytest.mark.parametrize("delta", [1e-4, 1e-3, 1e-2, 10.0])
def test_the_gradient_vanishes_whatever_the_delta(delta: float):
    form, points = get_form("power"), made("power", noise=0.05)
    found = fit(form, points, delta=delta)
    assert found.converged
    assert found.delta == delta
    for step in 1e-5 * np.eye(3):
        slope = [huber_sum(form, vector(found) + sign * step, points, delta) for sign in (1, -1)]
        assert abs(slope[0] - slope[1]) / 2e-5 < 1e-3 * delta * len(points.x)
        assert min(slope) >= found.loss * (1 - 1e-12)


def test_starts_and_blocks_do_not_change_the_optimum(monkeypatch: pytest.MonkeyPatch):
    form, points = get_form("power"), made("power", noise=0.05)
    found = fit(form, points)
    monkeypatch.setattr(solver, "_BLOCK", 500)
    few = fit(form, points, starts=np.array([[-1.0, 0.0, 0.5], [0.0, 5.0, 1.0]]))
    np.testing.assert_allclose(vector(few), vector(found), rtol=1e-6)
    assert few.n_starts == 2


def test_a_search_that_is_cut_short_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(solver, "_STEPS", 1)
    monkeypatch.setattr(solver, "_ROUNDS", 1)
    assert not fit(get_form("power"), made("power", noise=0.05), starts=np.array([[-1.0, 0.0, 0.6]])).converged


def test_whole_weights_are_rows_that_are_repeated():
    form, points = get_form("power"), made("power", n=40, noise=0.05)
    weights = np.random.default_rng(3).integers(0, 4, 40)
    rows = np.repeat(np.arange(40), weights)
    repeated = Points(points.x[rows], points.misalignment[rows], tuple(points.names[row] for row in rows))
    weighted, copied = fit(form, points, weights=weights.astype(float)), fit(form, repeated)
    np.testing.assert_allclose(vector(weighted), vector(copied), rtol=1e-6)
    assert weighted.loss == pytest.approx(copied.loss)


def test_errors_of_scores_weigh_points_and_only_beyond_the_scatter_between_models():
    form, points = get_form("power"), made("power", noise=0.05)
    errors = np.where(np.arange(120) % 2 == 0, 0.001, 0.5) * points.misalignment
    weights = row_weights(form, replace(points, errors=errors))
    assert weights.mean() == pytest.approx(1.0)
    assert weights[::2].min() > 3 * weights[1::2].max()
    tiny = row_weights(form, replace(points, errors=errors * 1e-3))
    np.testing.assert_allclose(tiny, 1.0, rtol=0.01)
    np.testing.assert_array_equal(row_weights(form, points), 1.0)
    noisy = np.where(np.arange(120) % 2 == 0, 1.0, np.exp(np.random.default_rng(5).normal(0, 0.5, 120)))
    spoilt = replace(made("power", noise=0.01), misalignment=made("power", noise=0.01).misalignment * noisy)
    misses = [
        np.abs(vector(fit(form, replace(spoilt, errors=known))) - PLANTED["power"]).max() for known in (errors, None)
    ]
    assert misses[0] < misses[1]


def test_outliers_hardly_move_a_law():
    form, points = get_form("power"), made("power", noise=0.01)
    spoilt = points.misalignment.copy()
    spoilt[:8] *= 3
    moved = vector(fit(form, replace(points, misalignment=spoilt))) - vector(fit(form, points))
    squares = vector(fit(form, replace(points, misalignment=spoilt), delta=10.0)) - vector(fit(form, points))
    assert np.abs(moved).max() < 0.05 < np.abs(squares).max()


def test_a_law_without_an_end_is_said_to_have_none():
    points = made("power")
    faster = np.exp(-0.1 - 0.05 * np.log(points.x[:, 0]) - 0.004 * np.log(points.x[:, 0]) ** 2)
    found = fit(get_form("power"), replace(points, misalignment=faster))
    assert found.flat == ("e at its lower bound (-20): no saturation can be seen",)
    assert found.plain["E"] < 1e-8
    assert found.converged


def test_resources_that_rise_together_are_said_to_be_indistinguishable():
    points = made("two_variable", noise=0.02)
    together = replace(points, x=np.repeat(points.x[:, :1], 2, axis=1))
    truth = get_form("power").log_misalignment(np.array([-1.0, 0.0, 0.3]), together.x[:, :1])[0]
    together = replace(together, misalignment=np.exp(truth))
    found = fit(get_form("two_variable"), together, starts=np.array([[-1.0, -0.7, 0.3, -0.7, 0.3]]))
    said = " ".join(found.flat)
    assert "cannot be told apart" in said
    assert all(f"{name} " in said for name in ("a", "alpha", "b", "beta"))
    assert fit(get_form("two_variable"), points, starts=np.array([[-1.0, -0.7, 0.3, -0.7, 0.3]])).flat == ()


def test_predictions_are_in_units_of_the_scales():
    found = fit(get_form("power"), replace(made("power"), scales=(1e13,), variables=("total_flops",)))
    assert (found.scales, found.variables) == ((1e13,), ("total_flops",))
    expected = np.exp(-0.7) + np.exp(-0.3) * np.array([1.0, 100.0]) ** -0.3
    np.testing.assert_allclose(predict(found, np.array([1.0, 100.0])), expected, rtol=1e-4)
    many = predict_log(get_form("power"), np.tile(vector(found), (5, 2, 1)), np.array([[1.0], [100.0]]))
    assert many.shape == (5, 2, 2)
    np.testing.assert_allclose(np.exp(many[4, 1]), expected, rtol=1e-4)


BAD = {
    "one column per resource": lambda p: replace(p, x=np.hstack([p.x, p.x])),
    "0 of them|values not above 0": lambda p: replace(p, x=-p.x),
    "score is 1 or above": lambda p: replace(p, misalignment=p.misalignment - 1),
    "one per point": lambda p: replace(p, misalignment=p.misalignment[1:]),
    "at least 4 points for its 3": lambda p: replace(p, x=p.x[:3], misalignment=p.misalignment[:3]),
    "errors of scores: expected 120 finite": lambda p: replace(p, errors=np.full(120, -1.0)),
}


@pytest.mark.parametrize("said", BAD)
def test_points_that_cannot_be_fitted_are_refused(said: str):
    with pytest.raises(ShapeMismatch, match=said):
        fit(get_form("power"), BAD[said](made("power")))


def test_weights_and_starts_that_do_not_fit_are_refused():
    form, points = get_form("power"), made("power")
    for weights in (np.ones(5), -np.ones(120), np.zeros(120)):
        with pytest.raises(ShapeMismatch, match="weights: expected 120 numbers"):
            fit(form, points, weights=weights)
    with pytest.raises(ShapeMismatch, match=r"give e, a, alpha in this order"):
        fit(form, points, starts=np.zeros((4, 2)))
