"""The independence criterion against its definition and brute-force leave-one-out; CKA in closed form."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from alignment.gram import Gram
from alignment.kernels import (
    Kernel,
    biased_criterion,
    cka,
    cka_reliability,
    debiased_criterion,
    groups_of,
    jackknife,
    population,
)
from model_zoo.errors import ShapeMismatch

RNG = np.random.default_rng(0)


def sides(n_stimuli: int, n_features: int = 7, n_neuroids: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(n_stimuli)
    features = rng.normal(size=(n_stimuli, n_features)) + 2
    return features, features[:, :n_neuroids] + rng.normal(size=(n_stimuli, n_neuroids))


def criterion(features, responses, *, debiased: bool):
    x, y = Kernel.of(features), Kernel.of(responses)
    shared = (x.features @ x.features.T * (y.features @ y.features.T)).sum(axis=1)
    if debiased:
        return debiased_criterion(shared, x.diagonal, y.diagonal, x.times(y.diagonal), y.times(x.diagonal))
    return biased_criterion(shared, x.diagonal, y.diagonal)


def gram_of(features) -> Gram:
    return Gram.of(features, [str(row) for row in range(len(features))])


def value(features, responses, *, debiased: bool) -> float:
    brain = population(responses, debiased=debiased)
    return cka(Kernel.of_gram(gram_of(features), np.arange(len(features))), brain, debiased=debiased).value


def test_debiased_criterion_is_the_mean_over_four_different_stimuli():
    features, responses = sides(6)
    x, y = features @ features.T, responses @ responses.T
    terms = [x[i, j] * (y[i, j] + y[q, r] - 2 * y[i, q]) for i, j, q, r in permutations(range(6), 4)]
    assert criterion(features, responses, debiased=True).value / (6 * 3) == pytest.approx(np.mean(terms))


def test_biased_criterion_is_the_trace():
    features, responses = sides(6)
    centring = np.eye(6) - 1 / 6
    trace = np.trace(features @ features.T @ centring @ responses @ responses.T @ centring)
    assert criterion(features, responses, debiased=False).value == pytest.approx(trace)


def test_two_stimuli_apart_by_hand():
    """Features 1, 0, 0, 0 about their mean: norms 9/16 and 1/16, products -3/16 and 1/16."""
    features = np.array([[1.0], [0], [0], [0]])
    assert Kernel.of(features).diagonal.tolist() == [9 / 16, 1 / 16, 1 / 16, 1 / 16]
    assert criterion(features, features, debiased=False).value == pytest.approx((12 / 16) ** 2)
    assert criterion(features, features, debiased=True).value == pytest.approx(0, abs=1e-12)  # no pair without a 0


@pytest.mark.parametrize("debiased", [True, False])
def test_leave_one_out_is_what_is_found_without_the_stimulus(debiased):
    features, responses = sides(9)
    found = criterion(features, responses, debiased=debiased)
    for row in range(9):
        rest = criterion(np.delete(features, row, 0), np.delete(responses, row, 0), debiased=debiased)
        assert found.deleted[row] == pytest.approx(rest.value)


@pytest.mark.parametrize("n_features", [5, 40])
def test_both_forms_of_a_gram_give_the_same_kernel(n_features):
    features = RNG.normal(size=(20, n_features)).astype(np.float32) + 3
    rows = np.array([3, 1, 19, 7, 8, 11, 0])
    found, expected = Kernel.of_gram(gram_of(features), rows), Kernel.of(features[rows])
    vectors = RNG.normal(size=(7, 2))
    np.testing.assert_allclose(found.diagonal, expected.diagonal, rtol=1e-5)
    np.testing.assert_allclose(found.times(vectors), expected.times(vectors), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.squares(), expected.squares(), rtol=1e-5)


def test_a_gram_is_not_changed_by_being_compared():
    gram = gram_of(RNG.normal(size=(20, 40)))
    before = gram.matrix.copy()
    Kernel.of_gram(gram, np.arange(20))
    assert np.array_equal(gram.matrix, before)


@pytest.mark.parametrize("n_features", [5, 40])
@pytest.mark.parametrize("level", [0.0, 1e3 / 7])
def test_what_does_not_vary_has_no_similarity(n_features, level):
    constant = np.full((23, n_features), level)  # whose mean is not exact
    assert np.isnan(value(constant, RNG.normal(size=(23, 3)), debiased=False))
    assert np.isnan(value(RNG.normal(size=(23, 30)), constant, debiased=True))


@pytest.mark.parametrize("debiased", [True, False])
@pytest.mark.parametrize("n_features", [5, 40])
def test_a_rotation_is_the_same(debiased, n_features):
    features = RNG.normal(size=(30, n_features))
    rotation = np.linalg.qr(RNG.normal(size=(n_features, n_features)))[0]
    assert value(features, features, debiased=debiased) == pytest.approx(1)
    assert value(features, 5 * features @ rotation + 1, debiased=debiased) == pytest.approx(1)


def test_independent_representations_have_none_when_debiased_and_much_when_not():
    """With p and q independent dimensions the biased CKA is about 1 / sqrt((1 + n / p) (1 + n / q))."""
    n_stimuli, n_features, n_neuroids = 60, 100, 50
    found = np.array(
        [
            [
                value(rng.normal(size=(n_stimuli, n_features)), rng.normal(size=(n_stimuli, n_neuroids)), debiased=each)
                for each in (True, False)
            ]
            for rng in map(np.random.default_rng, range(40))
        ]
    )
    mean, error = found.mean(axis=0), found.std(axis=0) / np.sqrt(len(found))
    assert abs(mean[0]) < 4 * error[0] < 0.05
    assert mean[1] == pytest.approx(1 / np.sqrt((1 + n_stimuli / n_features) * (1 + n_stimuli / n_neuroids)), rel=0.05)


@pytest.mark.parametrize("debiased", [True, False])
def test_influences_are_those_of_the_jackknife(debiased):
    features, responses = sides(14)
    brain = population(responses, debiased=debiased)
    found = cka(Kernel.of(features), brain, debiased=debiased)
    stimuli = [value(np.delete(features, i, 0), np.delete(responses, i, 0), debiased=debiased) for i in range(14)]
    neuroids = [value(features, np.delete(responses, i, 1), debiased=debiased) for i in range(4)]
    np.testing.assert_allclose(found.by_stimulus, jackknife(np.array(stimuli)), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found.by_neuroid, jackknife(np.array(neuroids)), rtol=1e-5, atol=1e-7)


def test_a_single_neuroid_has_no_influence():
    features, responses = sides(14, n_neuroids=1)
    assert cka(Kernel.of(features), population(responses, debiased=True), debiased=True).by_neuroid.tolist() == [0.0]


def test_reliability_is_the_ratio_of_criteria_and_its_influences_those_of_the_jackknife():
    signal = RNG.normal(size=(15, 4))
    first, second = (signal + 0.5 * RNG.normal(size=(15, 4)) for _ in range(2))
    whole = (first + second) / 2

    def ratio(one, two, both):
        return criterion(one, two, debiased=True).value / criterion(both, both, debiased=True).value

    found = cka_reliability(first, second, whole)
    assert found.value == pytest.approx(ratio(first, second, whole))
    for influence, axis in ((found.by_stimulus, 0), (found.by_neuroid, 1)):
        left = [ratio(*(np.delete(each, i, axis) for each in (first, second, whole))) for i in range(len(influence))]
        np.testing.assert_allclose(influence, jackknife(np.array(left)), rtol=1e-6, atol=1e-9)


def test_reliability_counts_the_noise_of_the_mean_as_the_theory_says():
    """HSIC(S, S) / (HSIC(S, S) + 2 tr(C N) + tr(N N)), which Spearman-Brown of the halves' CKA falls short of."""
    rng = np.random.default_rng(3)
    signal = rng.normal(size=(2000, 2)) @ rng.normal(size=(2, 12))
    first, second = (signal + 3 * rng.normal(size=signal.shape) for _ in range(2))
    covariance = np.cov(signal.T)
    noise = 4.5 * np.eye(12)
    own = (covariance**2).sum()
    truth = own / (own + 2 * np.trace(covariance @ noise) + np.trace(noise @ noise))
    found = cka_reliability(first, second, (first + second) / 2).value
    r = value(first, second, debiased=True)
    assert found == pytest.approx(truth, abs=0.02)
    assert 2 * r / (1 + r) < truth - 0.05


def test_too_few_stimuli_are_refused():
    with pytest.raises(ShapeMismatch, match="at least 5 stimuli, got 4"):
        population(np.eye(4), debiased=True)


def test_groups_hold_every_neuroid_once_and_few_are_alone_in_order():
    groups = groups_of(10, 4)
    assert sorted(np.concatenate(groups)) == list(range(10))
    assert {len(group) for group in groups} == {2, 3}
    assert [group.tolist() for group in groups_of(3, 3)] == [[0], [1], [2]]
