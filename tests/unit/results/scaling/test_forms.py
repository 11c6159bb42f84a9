"""Laws: derivatives, conversions, one sign, and what each becomes at its edges."""

from __future__ import annotations

import numpy as np
import pytest

from model_zoo.errors import UnknownName
from results.scaling.contracts import Form
from results.scaling.forms import FORMS, NOTHING, get_form


def some(form: Form, n: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    starts = form.starts()
    parameters = starts[rng.integers(0, len(starts), n)] + rng.uniform(0.05, 0.3, (n, starts.shape[1]))
    return parameters, 10 ** rng.uniform(-1, 6, (9, form.n_x))


@pytest.mark.parametrize("name", FORMS)
def test_derivatives_are_those_of_the_values(name: str):
    form = get_form(name)
    parameters, x = some(form)
    _, jacobian = form.log_misalignment(parameters, x)
    assert jacobian.shape == (40, 9, len(form.parameters))
    for column in range(len(form.parameters)):
        step = np.zeros(len(form.parameters))
        step[column] = 1e-6
        above, below = (form.log_misalignment(parameters + sign * step, x)[0] for sign in (1, -1))
        np.testing.assert_allclose(jacobian[..., column], (above - below) / 2e-6, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", FORMS)
def test_plain_and_log_parameters_are_each_other_s_inverse(name: str):
    form = get_form(name)
    parameters, _ = some(form)
    np.testing.assert_allclose(form.to_log(form.to_plain(parameters)), parameters, rtol=1e-12)


def test_plain_parameters_are_those_of_the_formula():
    e, a, alpha, lambda10 = np.log(0.5), np.log(0.3), 0.25, 2.0
    np.testing.assert_allclose(get_form("shifted").to_plain(np.array([e, a, alpha, lambda10])), [0.5, 0.3, 0.25, 100.0])
    assert get_form("shifted").plain == ("E", "A", "alpha", "lambda")
    np.testing.assert_allclose(get_form("saturating").to_plain(np.array([e, a, 3.0, 0.4])), [0.5, 0.3, 1000.0, 0.4])
    assert get_form("power").to_log(np.array([0.0, 1.0, 0.3])).tolist() == [-np.inf, 0.0, 0.3]


CLOSED = {
    "power": ([0.5, 0.3, 0.25], lambda x: 0.5 + 0.3 * x[:, 0] ** -0.25),
    "unbounded": ([0.3, 0.25], lambda x: 0.3 * x[:, 0] ** -0.25),
    "shifted": ([0.5, 0.3, 0.25, 7.0], lambda x: 0.5 + 0.3 * (x[:, 0] + 7.0) ** -0.25),
    "two_variable": ([0.5, 0.3, 0.25, 0.2, 0.4], lambda x: 0.5 + 0.3 * x[:, 0] ** -0.25 + 0.2 * x[:, 1] ** -0.4),
    "saturating": ([0.5, 0.3, 50.0, 0.4], lambda x: 0.5 + 0.3 * np.exp(-((x[:, 0] / 50.0) ** 0.4))),
}


@pytest.mark.parametrize("name", CLOSED)
def test_values_are_those_of_the_formula(name: str):
    form = get_form(name)
    plain, law = CLOSED[name]
    x = some(form)[1]
    values = form.log_misalignment(form.to_log(np.array(plain)), x)[0]
    np.testing.assert_allclose(np.exp(values), law(x), rtol=1e-12)


@pytest.mark.parametrize("gamma", [0.01, 0.3, 1.0, 4.0, 10.0])
def test_m4_solves_its_equation_and_lies_between_its_plateaus(gamma: float):
    form = get_form("m4")
    E, H, A, alpha = 0.4, 0.5, 2.0, 0.3
    x = np.logspace(-6, 8, 50)[:, None]
    misalignment = np.exp(form.log_misalignment(form.to_log(np.array([E, H, A, alpha, gamma])), x)[0])
    share, rest = (misalignment - E) / H, (E + H - misalignment) / H
    inner = (share > 1e-4) & (rest > 1e-4)
    assert inner.sum() >= 5
    left = np.log(share[inner]) - gamma * np.log(rest[inner])
    np.testing.assert_allclose(left, np.log(A / H * x[inner, 0] ** -alpha), rtol=1e-6, atol=1e-8)
    assert misalignment.min() >= E
    assert misalignment.max() <= E + H
    np.testing.assert_allclose(misalignment[-1], E + A * x[-1, 0] ** -alpha, rtol=1e-2)  # for large X a power law


@pytest.mark.parametrize("name", FORMS)
def test_misalignment_never_rises_with_a_resource(name: str):
    form = get_form(name)
    parameters, x = some(form)
    for column in range(form.n_x):
        more = x.copy()
        more[:, column] *= 3
        rise = form.log_misalignment(parameters, more)[0] - form.log_misalignment(parameters, x)[0]
        assert rise.max() <= 1e-12
        assert rise.min() < -0.01


def test_forms_become_each_other_at_their_edges():
    x = np.logspace(0, 6, 20)[:, None]

    def law(name: str, *log: float) -> np.ndarray:
        return get_form(name).log_misalignment(np.array(log), x)[0]

    np.testing.assert_allclose(law("shifted", -0.7, 0.2, 0.3, -10.0), law("power", -0.7, 0.2, 0.3), atol=1e-9)
    np.testing.assert_allclose(law("power", NOTHING, 0.2, 0.1), law("unbounded", 0.2, 0.1), atol=1e-7)


def test_starts_of_the_published_forms_are_the_published_grid():
    assert get_form("power").starts().shape == (150, 3)
    assert get_form("two_variable").starts().shape == (4500, 5)
    for form in FORMS.values():
        low, high = np.array(form.bounds).T
        assert ((form.starts() >= low) & (form.starts() <= high)).all()


def test_an_unknown_form_is_refused_with_the_nearest_name():
    with pytest.raises(UnknownName, match=r"scaling form 'powr': expected a known .*did you mean power"):
        get_form("powr")
