"""Predictions: intervals that hold new models as often as they say, honest extrapolation, and plans on the budget."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model_zoo.errors import InvalidOption
from results.scaling.allocation import Cost
from results.scaling.bootstrap import law as fitted_law
from results.scaling.contracts import Bootstrap, Fit, Law, Points
from results.scaling.forms import get_form
from results.scaling.prediction import expected_scores, plan, predict, spread
from results.scaling.published import gokce2024
from results.scaling.studies import get_experiment, points_of

PUBLISHED = (-0.65935253, -1.70736889, 0.57966427, -0.69490718, 0.22247486)  # compute_chinchilla of the study
COST = Cost(name="study", factor=333.0, n_exponent=1.028, d_exponent=1.028)


def make_law(log, x, misalignment, *, form, scales, variables, draws=None) -> Law:
    found = get_form(form)
    values = np.array(log, dtype=float)
    fit = Fit(
        form,
        dict(zip(found.parameters, values, strict=True)),
        dict(zip(found.plain, found.to_plain(values), strict=True)),
        *(0.0, len(x), True, 1, 1),
    )
    points = Points(x, misalignment, ("m",) * len(x), (), None, variables, scales)
    return Law("law", points, fit, None if draws is None else Bootstrap(draws, "rows", 0, 0, len(x)))


def one_study(rng, n_points=40, n_draws=200, scale=1e13):
    """A power law without floor: a line in logarithms, fitted and drawn anew in closed form."""
    log_x = rng.uniform(0, 12, n_points)
    log_l = -0.3 - 0.05 * log_x + 0.1 * rng.standard_normal(n_points)
    counts = np.concatenate(
        [np.ones((1, n_points)), rng.multinomial(n_points, np.full(n_points, 1 / n_points), n_draws)]
    )
    mean_x, mean_l = counts @ log_x / n_points, counts @ log_l / n_points
    slope = (counts @ (log_x * log_l) / n_points - mean_x * mean_l) / (counts @ log_x**2 / n_points - mean_x**2)
    log = np.stack([np.full(n_draws + 1, -50.0), mean_l - slope * mean_x, -slope], axis=1)
    x = np.exp(log_x)[:, None] * 1e13 / scale
    log[:, 1] += log[:, 2] * np.log(1e13 / scale)
    return make_law(log[0], x, np.exp(log_l), form="power", scales=(scale,), variables=("total_flops",), draws=log[1:])


def two_variable_law(draws=None) -> Law:
    rng = np.random.default_rng(0)
    x = np.exp(rng.uniform(np.log([1e5, 1e6]), np.log([3e8, 4e8]), (200, 2))) / (1e5, 1e4)
    values = get_form("two_variable").log_misalignment(np.array(PUBLISHED), x)[0] + 0.03 * rng.standard_normal(200)
    names = ("n_params", "n_samples_seen")
    return make_law(PUBLISHED, x, np.exp(values), form="two_variable", scales=(1e5, 1e4), variables=names, draws=draws)


@pytest.mark.parametrize("level", [0.95, 0.8])
def test_one_more_model_falls_into_the_interval_as_often_as_it_says(level):
    rng = np.random.default_rng(1)
    held, law_held = [], []
    for _ in range(1500):
        law, log_x = one_study(rng, n_points=40, n_draws=100), rng.uniform(0, 12)
        found = predict(law, {"total_flops": np.exp(log_x) * 1e13}, level=level)
        truth = 1 - np.exp(-0.3 - 0.05 * log_x)
        new = 1 - np.exp(-0.3 - 0.05 * log_x + 0.1 * rng.standard_normal())
        held.append(found.interval[0] <= new <= found.interval[1])
        law_held.append(found.law_interval[0] <= truth <= found.law_interval[1])
    assert np.mean(held) == pytest.approx(level, abs=0.025)
    assert np.mean(law_held) == pytest.approx(level, abs=0.035)


def test_the_expected_score_is_the_law_and_lies_in_both_intervals():
    law = two_variable_law()
    found = predict(law, {"n_params": 1e7, "n_samples_seen": 1e8})
    e, a, alpha, b, beta = PUBLISHED
    expected = 1 - np.exp(e) - np.exp(a) * 1e2**-alpha - np.exp(b) * 1e4**-beta
    assert found.score == pytest.approx(expected)
    assert found.interval[0] < found.score < found.interval[1] < 1
    assert found.law_interval is None
    assert "taken as known" in found.note


def test_uncertain_parameters_widen_the_interval():
    rng = np.random.default_rng(2)
    draws = np.array(PUBLISHED) + 0.02 * rng.standard_normal((400, 5))
    draws[0] = np.nan
    at = {"n_params": 1e7, "n_samples_seen": 1e8}
    known, unsure = predict(two_variable_law(), at), predict(two_variable_law(draws), at)
    assert np.diff(unsure.interval) > np.diff(known.interval)
    assert unsure.law_interval[0] < unsure.score < unsure.law_interval[1]
    assert unsure.note == ""


def test_residuals_of_a_fit_are_widened_to_those_of_new_models():
    rng = np.random.default_rng(3)
    squares = [np.mean(spread(one_study(rng, n_points=10, n_draws=2)) ** 2) for _ in range(2000)]
    assert np.mean(squares) > 0.1**2  # 3 parameters are counted, of which one is at rest: a little wide
    assert np.mean(squares) == pytest.approx(0.1**2 * (8 / 7), rel=0.05)


def test_extrapolation_is_flagged_with_its_ratio():
    law = two_variable_law()
    seen = law.points.x * law.points.scales
    inside = predict(law, dict(zip(law.points.variables, seen[0], strict=True)))
    far = predict(law, {"n_params": seen[:, 0].min() / 5, "n_samples_seen": seen[:, 1].max() * 20})
    assert inside.beyond == {}
    assert far.beyond == pytest.approx({"n_params": 5.0, "n_samples_seen": 20.0})
    assert "n_samples_seen 20 times" in far.note


def test_units_change_no_prediction():
    laws = [one_study(np.random.default_rng(4), scale=scale) for scale in (1e13, 1e9)]
    one, same = (predict(law, {"total_flops": 1e16}) for law in laws)
    assert (same.score, *same.interval) == pytest.approx((one.score, *one.interval))
    assert same.law_interval == pytest.approx(one.law_interval)


def test_curves_are_predictions_at_every_point():
    law = one_study(np.random.default_rng(5))
    x = np.geomspace(1e13, 1e18, 7)
    score, low, high = expected_scores(law, x[:, None], level=0.9)
    for i, value in enumerate(x):
        found = predict(law, {"total_flops": value}, level=0.9)
        assert (score[i], low[i], high[i]) == pytest.approx((found.score, *found.law_interval))
    _, low, high = expected_scores(two_variable_law(), np.array([[1e7, 1e8]]))
    assert np.isnan(low).all()
    assert np.isnan(high).all()


def test_a_plan_spends_the_budget_and_nothing_on_its_curve_is_better():
    law = two_variable_law(np.array(PUBLISHED) + 0.01 * np.random.default_rng(6).standard_normal((200, 5)))
    sizes = tuple(np.geomspace(1e-3, 1e3, 61))
    found = plan(law, 1e18, COST, sizes=sizes)
    for each in (found.expected, *found.alternatives):
        spent = COST.flops(each.resources["n_params"], each.resources["n_samples_seen"])
        assert spent == pytest.approx(1e18, rel=1e-9)
    scores = np.array([each.score for each in found.alternatives])
    assert scores.max() <= found.expected.score + 1e-12
    np.testing.assert_allclose(found.losses, found.expected.score - scores, atol=1e-12)
    assert np.argmin(found.losses) == 30  # the optimum itself
    assert found.losses[29] < 1e-3 < found.losses[0]  # flat at the optimum, not far from it
    assert (
        found.optimum.n_params_interval[0] < found.expected.resources["n_params"] < found.optimum.n_params_interval[1]
    )


def test_a_larger_budget_promises_more():
    law = two_variable_law()
    sizes = [each.resources["n_params"] for each in plan(law, 1e17, COST, sizes=(9.0, 0.1, 2.0)).alternatives]
    assert sizes == sorted(sizes)
    assert plan(law, 1e17, COST).expected.score < plan(law, 1e18, COST).expected.score


def held(name: str, points: Points, test: np.ndarray) -> float:
    """Share of the points in `test` whose scores fall into intervals of a law that was fitted to the others."""
    train = np.flatnonzero(~test)
    names = tuple(points.names[i] for i in train)
    kept = replace(points, x=points.x[train], misalignment=points.misalignment[train], names=names, groups=())
    law = fitted_law(name, "power", kept, n_draws=50)
    inside = []
    for x, misalignment in zip(points.x[test, 0], points.misalignment[test], strict=True):
        low, high = predict(law, {"total_flops": x * points.scales[0]}).interval
        inside.append(low <= 1 - misalignment <= high)
    return float(np.mean(inside))


@pytest.mark.mirror
@pytest.mark.parametrize(("name", "largest"), [("compute_neuro", 0.94), ("compute_behavior", 0.80)])
def test_published_models_that_were_left_out_are_predicted(name: str, largest: float, mirror: Path):
    (points,) = points_of(get_experiment(name), gokce2024(mirror)).values()
    rng = np.random.default_rng(0)
    architectures = np.array(points.groups)
    some = rng.permutation(np.unique(architectures))[:15]
    assert held(name, points, rng.random(len(architectures)) < 0.2) > 0.9
    assert held(name, points, np.isin(architectures, some)) > 0.9
    compute = points.x[:, 0]
    assert held(name, points, compute > np.quantile(compute, 0.75)) == pytest.approx(largest, abs=0.04)


def test_bad_questions_are_refused():
    law = two_variable_law()
    with pytest.raises(InvalidOption, match="values of n_params and n_samples_seen, got n_params"):
        predict(law, {"n_params": 1e7})
    with pytest.raises(InvalidOption, match="a number > 0, got -1"):
        predict(law, {"n_params": -1.0, "n_samples_seen": 1.0})
    with pytest.raises(InvalidOption, match="FLOPs > 0"):
        plan(law, float("nan"), COST)
    with pytest.raises(InvalidOption, match="sizes: expected numbers > 0"):
        plan(law, 1e18, COST, sizes=(0.0,))
    with pytest.raises(InvalidOption, match="two_variable"):
        plan(one_study(np.random.default_rng(7)), 1e18, COST)
