"""The division of compute: closed forms against numerical minima, published exponents, costs of published models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import norm

from model_zoo.errors import InvalidOption, ShapeMismatch
from results.scaling.allocation import Cost, allocate, exponents, family_cost, family_costs, product_cost
from results.scaling.contracts import Bootstrap, Fit, Law, Points
from results.scaling.forms import get_form

PUBLISHED = (-0.65935253, -1.70736889, 0.57966427, -0.69490718, 0.22247486)  # compute_chinchilla of the study
SCALES = (1e5, 1e4)
SIMPLE = Cost(name="6ND", factor=6.0)
COSTS = (
    SIMPLE,
    Cost(name="study", factor=333.0, n_exponent=1.028, d_exponent=1.028),
    Cost(name="convolutions", factor=17_800.0, n_exponent=0.83, d_exponent=1.0),
    Cost(name="odd", factor=2.0, n_exponent=1.8, d_exponent=0.7),
)


def make_law(log=PUBLISHED, draws=None, scales=SCALES, form="two_variable") -> Law:
    found = get_form(form)
    values = np.array(log, dtype=float)
    x = np.geomspace([1e5, 1e5], [1e8, 1e9], 20) / scales[: found.n_x] if found.n_x == 2 else np.ones((20, 1))
    points = Points(x, np.full(20, 0.6), ("m",) * 20, (), None, ("n_params", "n_samples_seen")[: found.n_x], scales)
    named = dict(zip(found.parameters, values, strict=True))
    fit = Fit(form, named, dict(zip(found.plain, found.to_plain(values), strict=True)), 0.0, 20, True, 1, 1)
    return Law("law", points, fit, None if draws is None else Bootstrap(draws, "groups", 0, 0))


def misalignment(log, n_params, n_samples, scales=SCALES):
    e, a, alpha, b, beta = log
    terms = [np.exp(e), np.exp(a) * (n_params / scales[0]) ** -alpha, np.exp(b) * (n_samples / scales[1]) ** -beta]
    return sum(terms)


@pytest.mark.parametrize("cost", COSTS, ids=lambda cost: cost.name)
@pytest.mark.parametrize("log", [PUBLISHED, (-3.0, 1.0, 0.2, 0.3, 0.6)], ids=["published", "other"])
def test_the_optimum_is_the_minimum_found_numerically(cost, log):
    budgets = (1e15, 1e18, 1e22)
    found = allocate(make_law(log), budgets, cost)
    for budget, best in zip(budgets, found.optima, strict=True):
        search = minimize_scalar(
            lambda log_n, budget=budget: misalignment(log, np.exp(log_n), cost.samples(budget, np.exp(log_n))),
            bounds=(np.log(1.0), np.log(1e14)),
            method="bounded",
            options={"xatol": 1e-10},
        )
        assert best.n_params == pytest.approx(np.exp(search.x), rel=1e-4)
        assert cost.flops(best.n_params, best.n_samples) == pytest.approx(budget, rel=1e-12)


@pytest.mark.parametrize("cost", COSTS, ids=lambda cost: cost.name)
def test_optima_grow_with_compute_as_the_exponents_say(cost):
    found = allocate(make_law(), (1e16, 1e19), cost)
    first, last = found.optima
    assert np.log(last.n_params / first.n_params) / np.log(1e3) == pytest.approx(found.n_exponent, rel=1e-12)
    assert np.log(last.n_samples / first.n_samples) / np.log(1e3) == pytest.approx(found.d_exponent, rel=1e-12)
    assert cost.n_exponent * found.n_exponent + cost.d_exponent * found.d_exponent == pytest.approx(1.0)


def test_published_exponents():
    found = allocate(make_law(), (1e18,), SIMPLE)
    assert found.n_exponent == pytest.approx(0.28, abs=0.005)
    assert found.d_exponent == pytest.approx(0.72, abs=0.005)
    assert found.n_exponent_interval is None


def test_the_published_rule_is_the_case_of_equal_exponents():
    """Eq. 9 of the study: N = G (C / m)^(beta / (alpha + beta) / n), all in its rescaled units."""
    _, a, alpha, b, beta = PUBLISHED
    cost, budget = COSTS[1], 3e18
    scaled = (budget / cost.factor) ** (1 / cost.n_exponent) / (SCALES[0] * SCALES[1])  # N D in the law's units
    g = (alpha * np.exp(a) / (beta * np.exp(b))) ** (1 / (alpha + beta))
    (best,) = allocate(make_law(), (budget,), cost).optima
    assert best.n_params / SCALES[0] == pytest.approx(g * scaled ** (beta / (alpha + beta)), rel=1e-12)
    assert best.n_samples / SCALES[1] == pytest.approx(scaled ** (alpha / (alpha + beta)) / g, rel=1e-12)


def test_units_of_the_law_change_nothing():
    e, a, alpha, b, beta = PUBLISHED
    other = (e, a + alpha * np.log(1e-2), alpha, b + beta * np.log(1e3), beta)  # N in 1e7, D in 10
    one = allocate(make_law(), (1e18,), COSTS[2]).optima[0]
    same = allocate(make_law(other, scales=(1e7, 1e1)), (1e18,), COSTS[2]).optima[0]
    assert (same.n_params, same.n_samples) == pytest.approx((one.n_params, one.n_samples), rel=1e-10)


def test_intervals_hold_the_draws_and_undefined_draws_are_counted():
    rng = np.random.default_rng(0)
    draws = np.array(PUBLISHED) + 0.02 * rng.standard_normal((2000, 5))
    draws[:3, 2], draws[3] = 0.0, np.nan  # three without an optimum, one that failed
    found = allocate(make_law(draws=draws), (1e18,), SIMPLE, level=0.9)
    alpha, beta = draws[4:, 2], draws[4:, 4]
    exponents_drawn, at = beta / (alpha + beta), PUBLISHED[4] / (PUBLISHED[2] + PUBLISHED[4])
    outer, bias = norm.ppf([0.05, 0.95]), 2 * norm.ppf((exponents_drawn < at).mean())
    expected = np.quantile(exponents_drawn, norm.cdf(outer + bias))  # Efron (1987), without acceleration
    assert found.n_exponent_interval == pytest.approx(expected)
    assert (found.n_draws, found.n_undefined) == (1996, 3)
    low, high = found.optima[0].n_params_interval
    assert low < found.optima[0].n_params < high
    delta = np.array([1.0, -1.0]) * 1e-6  # the interval of ln N by the delta method, derivatives from differences
    slopes = []
    for i in range(5):
        sides = [np.array(PUBLISHED) + step * np.eye(5)[i] for step in delta]
        logs = [np.log(allocate(make_law(side), (1e18,), SIMPLE).optima[0].n_params) for side in sides]
        slopes.append((logs[0] - logs[1]) / 2e-6)
    assert np.log(high / low) == pytest.approx(2 * 1.645 * 0.02 * np.linalg.norm(slopes), rel=0.1)


def test_extrapolations_are_named_with_their_ratio():
    (inside, far) = allocate(make_law(), (1e15, 1e20), SIMPLE).optima
    assert inside.beyond == {}
    assert far.beyond["n_samples_seen"] == pytest.approx(far.n_samples / 1e9)


def test_exponents_take_arrays():
    n, d = exponents(np.array([0.3, 0.6]), np.array([0.3, 0.2]), SIMPLE)
    np.testing.assert_allclose(n, [0.5, 0.25])
    np.testing.assert_allclose(n + d, 1.0)


def test_costs_are_recovered_and_data_sets_do_not_count_twice():
    rng = np.random.default_rng(1)
    sizes = np.geomspace(1e5, 1e8, 6)
    per_sample = 50.0 * sizes**0.9 * np.exp(rng.normal(0, 0.05, 6))
    often = np.repeat(np.arange(6), [1, 1, 1, 1, 1, 30])  # one architecture on thirty data sets
    samples = rng.uniform(1e5, 1e9, len(often))
    once = family_cost(sizes, np.full(6, 1e6), per_sample * 1e6, name="cnn")
    many = family_cost(sizes[often], samples, per_sample[often] * samples, name="cnn")
    assert (many.factor, many.n_exponent) == pytest.approx((once.factor, once.n_exponent), rel=1e-6)
    assert once.n_exponent == pytest.approx(0.9, abs=0.03)
    assert once.n_models == many.n_models == 6
    exact = product_cost(sizes, samples[:6], 7.0 * (sizes * samples[:6]) ** 1.1)
    assert (exact.factor, exact.n_exponent, exact.d_exponent) == pytest.approx((7.0, 1.1, 1.1))
    assert exact.spread == pytest.approx(0.0, abs=1e-9)


def test_one_model_size_is_said():
    cost = family_cost(np.full(3, 6e7), np.array([1e6, 1e7, 1e8]), np.array([1e6, 1e7, 1e8]) * 4e9, name="AlexNet")
    assert cost.n_exponent == 1.0
    assert "one model size" in cost.note
    assert cost.flops(6e7, 1e6) == pytest.approx(4e15)


@pytest.mark.mirror
def test_published_models_cost_what_the_families_say(mirror: Path):
    table = pd.read_csv(mirror / "gokce2024" / "benchmark_scores.csv.gz")
    table = table[(table.benchmark_id == 0) & ~table[["is_pretrained", "is_random", "is_ssl", "is_adv"]].any(axis=1)]
    table = table[table.dataset.isin(["imagenet", "ecoset"]) & ~table.is_ablation]
    columns = [table[name].to_numpy(float) for name in ("n_params", "n_samples_seen", "total_flops")]
    costs = family_costs(*columns, table.arch_family.tolist())
    assert costs["ViT"].n_exponent == pytest.approx(1.0, abs=0.02)
    assert costs["EfficientNet"].n_exponent > 1.5  # deeper, wider and of higher resolution at once
    assert costs["ViT"].spread < 0.01 < costs["ResNetFlex"].spread
    vit = table.arch_family == "ViT"
    told = costs["ViT"].flops(columns[0][vit], columns[1][vit])
    np.testing.assert_allclose(told, columns[2][vit], rtol=0.01)


def test_what_cannot_be_allocated_is_refused():
    with pytest.raises(InvalidOption, match="expected the form two_variable"):
        allocate(make_law((-0.6, -0.6, 0.2), scales=(1e13,), form="power"), (1e18,), SIMPLE)
    with pytest.raises(InvalidOption, match="FLOPs > 0"):
        allocate(make_law(), (0.0,), SIMPLE)
    with pytest.raises(InvalidOption, match="no best division"):
        allocate(make_law((-0.6, -1.7, 0.0, -0.7, 0.2)), (1e18,), SIMPLE)
    with pytest.raises(ShapeMismatch, match="one value per model"):
        product_cost(np.ones(3), np.ones(2), np.ones(3))
    with pytest.raises(InvalidOption, match="two different sizes"):
        product_cost(np.ones(3), np.ones(3), np.ones(3))
    with pytest.raises(InvalidOption, match="n_samples: expected numbers > 0, got 0"):
        product_cost(np.ones(2), np.array([0.0, 1.0]), np.ones(2))
    with pytest.raises(InvalidOption, match="rises with parameters"):
        family_cost(np.array([1e5, 1e6]), np.ones(2), np.array([2e9, 1e9]), name="odd")
