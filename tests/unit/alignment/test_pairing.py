"""The tests of a pair of scores, their adjustment, ranks and letters: closed forms, SciPy, and examples by hand."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from alignment.pairing import adjusted, groups_of, ranks, sign_flip, two_way_test


def test_the_two_way_test_is_students_t_with_satterthwaites_degrees_of_freedom():
    rng = np.random.default_rng(0)
    stimuli, units = rng.normal(0, 3, 200_000), rng.normal(0, 4, 200_000)
    draws = np.stack([stimuli, units, stimuli + units])
    error, (low, high), p = two_way_test(9.0, [(draws, 31, 6)], 0.9)
    degrees = (9 + 16) ** 2 / (81 / 30 + 256 / 5)
    assert error == pytest.approx(5, rel=0.01)
    assert p == pytest.approx(2 * stats.t.sf(9 / 5, degrees), rel=0.02)
    reach = stats.t.ppf(0.95, degrees) * 5
    assert (low, high) == pytest.approx((9 - reach, 9 + reach), abs=0.2)


def test_addends_of_a_sum_are_tested_with_their_own_degrees_of_freedom():
    rng = np.random.default_rng(1)
    parts = []
    for spread, n_stimuli in ((1.0, 5), (2.0, 50)):
        drawn = rng.normal(0, spread, 200_000)
        parts.append((np.stack([drawn, np.zeros_like(drawn), drawn]), n_stimuli, 1))
    _, _, p = two_way_test(3.0, parts, 0.95)
    degrees = (1 + 4) ** 2 / (1 / 4 + 16 / 49)
    assert p == pytest.approx(2 * stats.t.sf(3 / np.sqrt(5), degrees), rel=0.03)


@pytest.mark.parametrize("n", [3, 8, 13])
def test_few_sign_flips_are_all_tried_as_scipy_does(n):
    values = np.random.default_rng(n).normal(0.4, 1, n)

    def mean(x: np.ndarray, axis: int) -> np.ndarray:
        return x.mean(axis=axis)

    theirs = stats.permutation_test((values,), mean, permutation_type="samples", vectorized=True, n_resamples=np.inf)
    assert sign_flip(values, 0) == pytest.approx(theirs.pvalue)


def test_many_sign_flips_are_drawn_and_agree_with_scipy():
    values = np.random.default_rng(3).normal(0.25, 1, 60)
    theirs = stats.permutation_test(
        (values,), lambda x, axis: x.mean(axis=axis), permutation_type="samples", n_resamples=20_000, vectorized=True,
        rng=np.random.default_rng(0),
    )  # fmt: skip
    assert sign_flip(values, 0) == pytest.approx(theirs.pvalue, abs=0.012)
    assert sign_flip(values, 0) == sign_flip(values, 0) != sign_flip(values, 1)
    assert sign_flip(-values, 0) == sign_flip(values, 0)


def test_sign_flips_leave_out_what_was_not_tested_and_know_no_difference():
    assert sign_flip(np.array([1.0, np.nan, 2.0]), 0) == 0.5  # 2 of 4 patterns
    assert sign_flip(np.zeros(30), 0) == 1.0
    assert np.isnan(sign_flip(np.array([np.nan]), 0))


def test_p_are_adjusted_as_in_the_examples_by_hand():
    p = np.array([0.01, 0.04, 0.03, np.nan, 0.005])
    np.testing.assert_allclose(adjusted(p, "holm"), [0.03, 0.06, 0.06, np.nan, 0.02])
    np.testing.assert_allclose(adjusted(p, "bh"), [0.02, 0.04, 0.04, np.nan, 0.02])
    np.testing.assert_array_equal(adjusted(p, "none"), p)
    np.testing.assert_array_equal(adjusted(np.array([0.6, 0.9]), "holm"), [1.0, 1.0])


def test_ranks_share_ties_and_leave_out_the_undefined():
    values = np.array([[3.0, 1.0], [3.0, 2.0], [np.nan, 3.0], [1.0, 4.0]])
    np.testing.assert_array_equal(ranks(values), [[1.5, 4], [1.5, 3], [np.nan, 2], [3, 1]])


def test_two_models_share_a_letter_if_and_only_if_they_are_not_told_apart():
    rng = np.random.default_rng(0)
    models = [f"m{number}" for number in range(7)]
    for _ in range(20):
        apart = [each for each in combinations(models, 2) if rng.random() < 0.5]
        letters = groups_of(models, apart)
        for one, other in combinations(models, 2):
            assert ((one, other) in apart) == (not set(letters[one]) & set(letters[other]))
    assert groups_of(["x", "y", "z"], [("x", "z")]) == {"x": "a", "y": "ab", "z": "b"}
