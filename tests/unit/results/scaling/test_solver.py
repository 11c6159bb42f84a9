"""The batched solver: its loss, its derivatives, and many problems at once."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import huber as scipy_huber

from results.scaling import solver
from results.scaling.contracts import Points
from results.scaling.forms import FORMS, get_form
from results.scaling.solver import huber, minimise

DELTA = 0.05


def some_points(n_x: int, n: int = 60) -> Points:
    rng = np.random.default_rng(n_x)
    x = 10 ** rng.uniform(0, 5, (n, n_x))
    misalignment = (0.5 + 0.4 * x[:, 0] ** -0.3) * np.exp(0.1 * rng.normal(size=n))
    return Points(x, misalignment, tuple(map(str, range(n))))


def test_the_loss_is_huber_s():
    residuals = np.linspace(-1, 1, 101)
    for delta in (1e-3, 0.3, 5.0):
        np.testing.assert_allclose(huber(residuals, delta), scipy_huber(delta, residuals), atol=1e-15)


@pytest.mark.parametrize("name", FORMS)
def test_newton_s_matrix_is_the_second_derivative_of_the_loss(name: str):
    form = get_form(name)
    points, rng = some_points(form.n_x), np.random.default_rng(1)
    weights = rng.uniform(0.5, 2.0, (1, 60))
    log = form.starts()[[0]] * 0.3 + rng.uniform(0.1, 0.3, (1, len(form.parameters)))
    state = solver._evaluate(form, points, weights, log, DELTA)
    inner = weights * (np.abs(state.residuals) <= DELTA)
    matrix = (state.slopes * inner[:, None]) @ np.swapaxes(state.slopes, -1, -2)
    matrix = (matrix + solver._curvature(form, points, weights, state, DELTA))[0]
    numbers = range(len(form.parameters))
    expected = np.empty_like(matrix)
    for column in numbers:
        step = np.zeros_like(log)
        step[0, column] = 1e-7
        above, below = (
            solver._gradient(solver._evaluate(form, points, weights, log + sign * step, DELTA), weights, DELTA)[0]
            for sign in (1, -1)
        )
        expected[:, column] = (above - below) / 2e-7
    np.testing.assert_allclose(matrix, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


def test_problems_do_not_know_of_each_other():
    form, points = get_form("power"), some_points(1)
    rng = np.random.default_rng(2)
    weights, starts = rng.integers(0, 3, (6, 60)).astype(float), form.starts()[rng.integers(0, 150, 6)]
    together = minimise(form, points, weights, starts, (1.0, 0.1, 0.01))
    for number in range(6):
        alone = minimise(form, points, weights[number], starts[[number]], (1.0, 0.1, 0.01))
        np.testing.assert_allclose(alone.log[0], together.log[number], rtol=1e-9)
        np.testing.assert_allclose(alone.loss[0], together.loss[number], rtol=1e-12)
    assert together.gradient.max() < 1e-6


def test_an_amount_that_is_not_needed_rests_at_its_bound():
    """Where it makes no difference any more it would shrink by the same factor for ever."""
    form, points, log_x = get_form("power"), some_points(1), np.log(some_points(1).x[:, 0])
    faster = np.exp(-0.1 - 0.05 * log_x - 0.004 * log_x**2)
    points = Points(points.x, faster, points.names)
    found = minimise(form, points, np.ones(60), np.array([[-15.0, -0.1, 0.2], [-3.0, 0.0, 0.3]]), (1.0, 0.1, 0.01))
    np.testing.assert_array_equal(found.log[:, 0], -20.0)
    unbounded = minimise(get_form("unbounded"), points, np.ones(60), np.array([[0.0, 0.3]]), (1.0, 0.1, 0.01))
    np.testing.assert_allclose(found.log[:, 1:], [unbounded.log[0]] * 2, atol=1e-5)
    np.testing.assert_allclose(found.loss, unbounded.loss[0], rtol=1e-7)
