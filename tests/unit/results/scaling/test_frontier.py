"""Frontiers against brute force, ties, and a set of contenders that holds the best model as often as it says."""

from __future__ import annotations

import numpy as np
import pytest

from model_zoo.errors import InvalidOption, ShapeMismatch
from results.scaling.frontier import contenders, frontier, independent_deviations, pareto, repeat_error


def test_the_frontier_is_what_comparing_every_two_models_gives():
    rng = np.random.default_rng(0)
    costs, scores = rng.integers(1, 9, 60).astype(float), rng.integers(0, 12, (5, 60)).astype(float)  # many ties
    for row, found in zip(scores, pareto(costs, scores), strict=True):
        for i in range(60):
            no_worse = (costs <= costs[i]) & (row >= row[i])
            assert found[i] == (not (no_worse & ((costs < costs[i]) | (row > row[i]))).any())


def test_equal_models_are_treated_alike():
    found = frontier(list("abcd"), np.array([1.0, 1.0, 2.0, 2.0]), np.array([0.3, 0.3, 0.5, 0.5]), cost_name="n_params")
    assert found.on_frontier == (True,) * 4
    assert found.best == found.smallest == ("c", "d")
    assert found.saving == 1.0
    assert found.contender == (False, False, True, True)
    assert "errors are not known" in found.note
    assert np.isnan(found.level)


def test_the_smallest_contender_depends_on_what_errors_tell_apart():
    names, costs, scores = ["s", "m", "l"], np.array([1.0, 10.0, 100.0]), np.array([0.30, 0.48, 0.50])
    sharp = frontier(names, costs, scores, cost_name="n_params", errors=np.full(3, 0.002))
    blunt = frontier(names, costs, scores, cost_name="n_params", errors=np.full(3, 0.02))
    assert (sharp.smallest, sharp.saving) == (("l",), 1.0)
    assert (blunt.smallest, blunt.saving) == (("m",), 10.0)
    assert sharp.stability == (1.0, 1.0, 1.0)
    assert blunt.stability[2] == pytest.approx(0.76, abs=0.05)  # P(normal of variance 2 x 0.02^2 > -0.02)


def test_joint_draws_tell_apart_what_independent_errors_do_not():
    rng = np.random.default_rng(1)
    shared = 0.05 * rng.standard_normal(2000)  # the stimuli were hard for both
    joint = shared + 0.002 * rng.standard_normal((2, 2000))
    scores, costs = np.array([0.45, 0.50]), np.array([1.0, 9.0])
    paired = frontier(["a", "b"], costs, scores, cost_name="n_units", deviations=joint)
    loose = frontier(["a", "b"], costs, scores, cost_name="n_units", errors=joint.std(axis=1))
    assert (paired.smallest, loose.smallest) == (("b",), ("a",))


@pytest.mark.parametrize("spread", [0.0, 1.0], ids=["all equal", "different"])
def test_the_best_model_is_kept_as_often_as_the_level_says(spread):
    rng = np.random.default_rng(2)
    errors = rng.uniform(0.5, 2.0, 25)
    truth = spread * np.sort(rng.standard_normal(25))
    deviations = independent_deviations(errors, n_draws=1000)
    kept, naive, sizes = [], [], []
    for _ in range(200):
        scores = truth + errors * rng.standard_normal(25)
        found = contenders(scores, deviations)
        kept.append(found[-1])
        top = int(np.argmax(scores))
        naive.append(scores[top] - scores[-1] <= 1.96 * np.hypot(errors[top], errors[-1]))
        sizes.append(found.sum())
    assert np.mean(kept) > 0.93
    assert np.mean(sizes) < 25
    if spread == 0:
        assert np.mean(kept) < 0.98
        assert np.mean(naive) < 0.9  # comparing with the highest score alone drops it too often


def test_identical_models_stay_together():
    same = np.random.default_rng(3).standard_normal(500) * 0.1
    assert contenders(np.array([0.5, 0.5, 0.1]), np.stack([same, same, same])).tolist() == [True, True, False]


def test_draws_that_are_not_finite_are_left_out():
    deviations = independent_deviations(np.array([0.01, 0.01]))
    with_gap = np.concatenate([deviations, [[np.nan], [0.0]]], axis=1)
    scores = np.array([0.5, 0.53])
    assert contenders(scores, with_gap).tolist() == contenders(scores, deviations).tolist()


def test_units_of_cost_change_nothing_but_the_costs():
    rng = np.random.default_rng(4)
    costs, scores, errors = rng.uniform(1, 100, 40), rng.uniform(0, 1, 40), np.full(40, 0.05)
    names = [f"m{i}" for i in range(40)]
    one = frontier(names, costs, scores, cost_name="c", errors=errors)
    other = frontier(names, costs * 1e6, scores, cost_name="c", errors=errors)
    assert (one.on_frontier, one.contender, one.smallest) == (other.on_frontier, other.contender, other.smallest)
    assert other.saving == pytest.approx(one.saving)


def test_repeats_give_the_error_of_another_seed():
    rng = np.random.default_rng(5)
    centres = np.repeat(rng.uniform(0, 1, 300), 3)
    scores = centres + 0.02 * rng.standard_normal(900)
    assert repeat_error(scores, [f"r{i // 3}" for i in range(900)]) == pytest.approx(0.02, rel=0.1)
    assert np.isnan(repeat_error(scores, [str(i) for i in range(900)]))
    pooled = np.sqrt(np.mean(scores.reshape(-1, 3).var(axis=1, ddof=1)))
    assert repeat_error(scores, [f"r{i // 3}" for i in range(900)]) == pytest.approx(pooled)


def test_bad_columns_are_refused():
    names, costs, scores = ["a", "b"], np.array([1.0, 2.0]), np.array([0.1, 0.2])
    with pytest.raises(ShapeMismatch, match="2 values, one per model"):
        frontier(names, costs, scores[:1], cost_name="c")
    with pytest.raises(InvalidOption, match="costs: expected numbers > 0"):
        frontier(names, costs - 1, scores, cost_name="c")
    with pytest.raises(InvalidOption, match="scores: expected numbers"):
        frontier(names, costs, scores * np.nan, cost_name="c")
    with pytest.raises(InvalidOption, match="errors: expected errors or deviations"):
        frontier(names, costs, scores, cost_name="c", errors=scores, deviations=scores[:, None])
    with pytest.raises(InvalidOption, match="errors: expected numbers >= 0"):
        frontier(names, costs, scores, cost_name="c", errors=-scores)
    with pytest.raises(InvalidOption, match="models: expected at least one"):
        frontier([], np.empty(0), np.empty(0), cost_name="c")
