"""PLS and ridge in Gram space against scikit-learn, and the stated rules for awkward data."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cross_decomposition import PLSRegression
from sklearn.linear_model import Ridge

from alignment import get_metric
from alignment.gram import Gram
from alignment.linear_maps import (
    DualSystem,
    WholeGram,
    centre_features,
    centre_gram,
    fit_by_missingness,
    ridge,
    ridge_held_out,
    ridge_precision,
)
from alignment.nipals import pls2, pls2_together

N_TEST = 20
SHAPES = [(100, 400, 12), (60, 30, 5), (50, 300, 80), (30, 500, 4)]  # n_train, n_features, n_neuroids


def _data(n_train, n_features, n_neuroids, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n_train + N_TEST, n_features)) * np.linspace(3, 0.1, n_features) + 2.0
    responses = features @ rng.normal(size=(n_features, n_neuroids)) + 20 * rng.normal(
        size=(n_train + N_TEST, n_neuroids)
    )
    return features, responses


def _systems(features, n_train):
    train, test = np.arange(n_train), np.arange(n_train, len(features))
    return {
        "dual": centre_gram(features @ features.T, train, test),
        "primal": centre_features(features, train, test),
    }


def _minimum_norm(features, responses, n_train):
    centre, mean = features[:n_train].mean(0), responses[:n_train].mean(0)
    inverse = np.linalg.pinv(features[:n_train] - centre, rcond=1e-10)
    return (features[n_train:] - centre) @ inverse @ (responses[:n_train] - mean) + mean


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("form", ["dual", "primal"])
def test_pls_equals_converged_nipals(shape, form):
    n_train, n_features, _ = shape
    features, responses = _data(*shape)
    n_components = min(25, n_train - 1, n_features)
    nipals = PLSRegression(n_components=n_components, scale=False, tol=1e-14, max_iter=100_000)
    expected = nipals.fit(features[:n_train], responses[:n_train]).predict(features[n_train:])
    exact = {"tolerance": 1e-14, "max_rounds": 100_000}
    got = pls2(_systems(features, n_train)[form], responses[:n_train], 25, **exact)
    np.testing.assert_allclose(got, expected, atol=1e-5 * expected.std())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("form", ["dual", "primal"])
def test_ridge_equals_scikit_learn(shape, form):
    features, responses = _data(*shape)
    n_train = shape[0]
    expected = Ridge(alpha=1.0).fit(features[:n_train], responses[:n_train]).predict(features[n_train:])
    np.testing.assert_allclose(ridge(_systems(features, n_train)[form], responses[:n_train], 1.0), expected, atol=1e-8)


def test_ridge_without_a_cholesky_factor_is_solved_from_components():
    """Similarities that rounding left indefinite beyond the penalty still give ridge on what is positive."""
    features, responses = _data(40, 10, 3)
    system = centre_gram(1e6 * features @ features.T, np.arange(40), np.arange(40, 60))
    vectors = np.linalg.eigh(system.train)[1]
    noisy = DualSystem(system.matrix.copy(), 40)
    noisy.matrix[:40] -= 2.0 * np.outer(vectors[:, 0], vectors[:, 0])
    expected = Ridge(alpha=1.0).fit(1e3 * features[:40], responses[:40]).predict(1e3 * features[40:])
    np.testing.assert_allclose(ridge(noisy, responses[:40], 1.0), expected, atol=1e-6)


def test_rank_deficient_features_stop_pls_at_their_rank():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(60, 3)) @ rng.normal(size=(3, 100))
    responses = features[:, :4] + 0.1 * rng.normal(size=(60, 4))
    expected = _minimum_norm(features, responses, 40)
    for system in _systems(features, 40).values():
        np.testing.assert_allclose(pls2(system, responses[:40], 25), expected, atol=1e-7)


def test_fewer_stimuli_than_components_use_what_there_is():
    features, responses = _data(8, 50, 3)
    got = pls2(_systems(features, 8)["dual"], responses[:8], 25)
    np.testing.assert_allclose(got, pls2(_systems(features, 8)["dual"], responses[:8], 7))
    assert np.isfinite(got).all()


def test_constant_neuroid_is_predicted_by_its_constant():
    features, responses = _data(50, 80, 3)
    responses[:, 1] = 4.0
    system = _systems(features, 50)["dual"]
    for got in (pls2(system, responses[:50]), ridge(system, responses[:50])):
        np.testing.assert_allclose(got[:, 1], 4.0, atol=1e-9)


def test_all_constant_responses_give_constant_predictions():
    features, _ = _data(30, 40, 2)
    system = _systems(features, 30)["dual"]
    np.testing.assert_array_equal(pls2(system, np.full((30, 2), 3.0)), np.full((N_TEST, 2), 3.0))


def test_constant_features_predict_the_mean():
    features, (_, responses) = np.ones((50, 7)), _data(30, 40, 2)
    for system in _systems(features, 30).values():
        np.testing.assert_allclose(pls2(system, responses[:30]), np.tile(responses[:30].mean(0), (20, 1)))
        np.testing.assert_allclose(ridge(system, responses[:30]), np.tile(responses[:30].mean(0), (20, 1)))


def test_missing_responses_fit_each_neuroid_on_its_own_stimuli():
    features, responses = _data(60, 90, 5)
    partial = responses[:60].copy()
    partial[:15, 2] = np.nan
    train, test = np.arange(60), np.arange(60, 80)
    gram = features @ features.T

    def solve(finite, rows):
        return ridge(centre_gram(gram, train[rows], test), finite, 1.0)

    got = fit_by_missingness(solve, partial, len(test))
    whole = Ridge(1.0).fit(features[:60], responses[:60]).predict(features[60:])
    on_its_own = Ridge(1.0).fit(features[15:60], responses[15:60, 2]).predict(features[60:])
    np.testing.assert_allclose(got[:, [0, 1, 3, 4]], whole[:, [0, 1, 3, 4]], atol=1e-8)
    np.testing.assert_allclose(got[:, 2], on_its_own, atol=1e-8)


def test_neuroid_never_recorded_has_no_prediction():
    features, responses = _data(30, 50, 3)
    responses[:, 1] = np.nan
    train, test = np.arange(30), np.arange(30, 50)
    got = fit_by_missingness(
        lambda finite, rows: pls2(centre_gram(features @ features.T, train[rows], test), finite), responses[:30], 20
    )
    assert np.isnan(got[:, 1]).all()
    assert np.isfinite(got[:, [0, 2]]).all()


def test_more_neuroids_than_stimuli_with_all_components_interpolate():
    """With as many components as training stimuli allow, PLS interpolates like minimum-norm least squares."""
    features, responses = _data(20, 60, 300)
    expected = _minimum_norm(features, responses, 20)
    np.testing.assert_allclose(pls2(_systems(features, 20)["dual"], responses[:20], 25), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [*SHAPES, (320, 400, 270), (40, 60, 90)])
@pytest.mark.parametrize("form", ["dual", "primal"])
def test_pls_stops_where_scikit_learn_stops(shape, form):
    """Its default tolerance ends the power iteration early; so must ours, more neuroids than stimuli included."""
    features, responses = _data(*shape)
    n_train = shape[0]
    responses[:, 0] = 1.0  # the iteration begins at the first neuroid that is not constant
    nipals = PLSRegression(n_components=min(8, n_train - 1), scale=False)
    expected = nipals.fit(features[:n_train], responses[:n_train]).predict(features[n_train:])
    got = pls2(_systems(features, n_train)[form], responses[:n_train], 8)
    np.testing.assert_allclose(got, expected, atol=1e-7 * expected.std())


@pytest.mark.parametrize(("n_features", "offset", "copies"), [(60, 0.0, 1), (500, 3.0, 1), (500, 0.0, 2)])
def test_stimuli_held_out_are_predicted_as_by_a_fit_without_them(n_features, offset, copies):
    rng = np.random.default_rng(0)
    features = np.repeat(rng.normal(offset, 1, size=(50 // copies, n_features)), copies, axis=0)
    responses = rng.normal(5, 1, size=(50, 4))
    gram = features @ features.T
    precision = ridge_precision(gram, 2.0)
    assert precision is not None
    for test in (np.arange(5), np.array([3, 40, 17]), np.array([9])):
        train = np.setdiff1d(np.arange(50), test)
        expected = Ridge(alpha=2.0).fit(features[train], responses[train]).predict(features[test])
        found = ridge_held_out(precision, train, test, responses[train])
        np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_constant_features_predict_a_constant():
    gram = Gram.of(np.full((50, 60), 0.3, np.float32), [str(number) for number in range(50)])
    responses = np.random.default_rng(0).normal(size=(45, 3))
    predicted = get_metric("ridge").predict(gram, np.arange(45), np.arange(45, 50), responses)
    assert np.ptp(predicted, axis=0).max() == 0


def test_similarities_that_leave_too_few_digits_have_no_common_factor():
    features = np.random.default_rng(0).normal(size=(50, 40)) * 1e6
    assert ridge_precision(features @ features.T, 1.0) is None
    gram = Gram.of(np.tile(features, 2).astype(np.float32), [str(number) for number in range(50)])
    assert gram.matrix is not None
    assert gram.precision(1.0) is None
    assert np.isfinite(get_metric("ridge").predict(gram, np.arange(45), np.arange(45, 50), features[:45, :3])).all()


@pytest.mark.parametrize("n_neuroids", [1, 12, 150])
def test_pls_of_all_stimuli_needs_no_matrix_of_the_split(n_neuroids):
    features, responses = _data(100, 400, n_neuroids)
    order = np.random.default_rng(1).permutation(len(features))
    train, test = order[:100], order[100:]
    gram = features @ features.T
    whole, centred = WholeGram(gram, train, test), centre_gram(gram, train, test)
    assert WholeGram.fits(gram, train, test)
    np.testing.assert_allclose(pls2(whole, responses[train]), pls2(centred, responses[train]), rtol=1e-8, atol=1e-8)


def test_a_large_mean_or_missing_stimuli_need_a_matrix_of_the_split():
    features, _ = _data(100, 400, 1)
    gram, shifted = features @ features.T, (features + 100.0) @ (features + 100.0).T
    assert not WholeGram.fits(shifted, np.arange(100), np.arange(100, 120))
    assert not WholeGram.fits(gram, np.arange(99), np.arange(100, 120))


def _splits(n_stimuli, n_splits, seed=0):
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(n_stimuli) for _ in range(n_splits)]
    return [(order[n_test:], order[:n_test]) for order, n_test in zip(orders, (20, 12, 31, 20), strict=False)]


@pytest.mark.parametrize("n_neuroids", [1, 12, 105])  # more than some splits have training stimuli, or than all
@pytest.mark.parametrize("rank", [10, 400])  # fewer components than asked for, or enough
def test_splits_fitted_together_equal_scikit_learn_one_by_one(n_neuroids, rank):
    features, responses = _data(100, 400, n_neuroids)
    features[:, rank:] = 0.0
    systems = [WholeGram(features @ features.T, train, test) for train, test in _splits(120, 4)]
    found = pls2_together(systems, [responses[system.train] for system in systems], 15)
    for system, got in zip(systems, found, strict=True):
        nipals = PLSRegression(n_components=min(15, rank), scale=False)
        expected = nipals.fit(features[system.train], responses[system.train]).predict(features[system.test])
        np.testing.assert_allclose(got, expected.reshape(got.shape), atol=1e-6 * responses.std())


def test_responses_of_all_splits_are_multiplied_once_and_other_responses_are_told():
    features, responses = _data(100, 400, 7)
    systems = [WholeGram(features @ features.T, train, test) for train, test in _splits(120, 3)]
    parts = [responses[system.train] for system in systems]
    found = WholeGram.of_responses(systems, parts)
    assert found is not None
    for system, part, got in zip(systems, parts, found, strict=True):
        expected = centre_gram(system.gram, system.train, system.test).apply(part - part.mean(axis=0))
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())
    parts[1] = parts[1][::-1]
    assert WholeGram.of_responses(systems, parts) is None
    shuffled = pls2_together(systems, parts)
    for system, part, got in zip(systems, parts, shuffled, strict=True):
        np.testing.assert_allclose(got, pls2(system, part), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("holes", [False, True])
def test_a_metric_predicts_splits_together_as_it_does_alone(holes):
    features, responses = _data(100, 400, 6)
    if holes:
        responses[3:9, 2] = np.nan
    gram, pls = Gram.of(features, [str(number) for number in range(120)]), get_metric("pls")
    fits = [(train, test, responses[train]) for train, test in _splits(120, 3)]
    together = pls.predict_together(gram, fits)
    for fit, got in zip(fits, together, strict=True):
        np.testing.assert_allclose(got, pls.predict(gram, *fit), rtol=1e-7, atol=1e-7)
