"""Maps from one eigendecomposition against scikit-learn, literal refits and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression, Ridge, RidgeCV
from sklearn.pipeline import make_pipeline

from alignment.gram import Gram
from alignment.linear_maps import centre_features, centre_gram, fit_components, spectrum
from alignment.spectral import Spectrum, least_squares, loo_errors, ridge_gcv, ridge_loo

N_TEST = 20
SHAPES = [(100, 400, 12), (60, 30, 5), (50, 300, 80), (30, 500, 4)]  # n_train, n_features, n_neuroids


def _data(n_train, n_features, n_neuroids, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n_train + N_TEST, n_features)) * np.linspace(3, 0.1, n_features) + 2.0
    responses = features @ rng.normal(size=(n_features, n_neuroids)) + 20 * rng.normal(
        size=(n_train + N_TEST, n_neuroids)
    )
    return features, responses


def _bases(features, n_train, n_largest=None):
    train, test = np.arange(n_train), np.arange(n_train, len(features))
    return {
        "dual": spectrum(centre_gram(features @ features.T, train, test), n_largest),
        "primal": spectrum(centre_features(features, train, test), n_largest),
    }


def _minimum_norm(features, responses, n_train):
    centre, mean = features[:n_train].mean(0), responses[:n_train].mean(0)
    inverse = np.linalg.pinv(features[:n_train] - centre, rcond=1e-10)
    return (features[n_train:] - centre) @ inverse @ (responses[:n_train] - mean) + mean


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("form", ["dual", "primal"])
def test_components_are_those_of_scikit_learn(shape, form):
    n_train, n_features, _ = shape
    features, _ = _data(*shape)
    rank = min(n_train - 1, n_features)
    basis = _bases(features, n_train)[form]
    pca = PCA(rank, svd_solver="full").fit(features[:n_train])
    assert basis.train.shape == (n_train, rank)
    np.testing.assert_allclose(basis.values, pca.singular_values_**2, rtol=1e-9)
    theirs = pca.transform(features[n_train:]) / pca.singular_values_
    np.testing.assert_allclose(np.abs(basis.test), np.abs(theirs), atol=1e-8)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("form", ["dual", "primal"])
def test_least_squares_is_the_minimum_norm_solution(shape, form):
    features, responses = _data(*shape)
    n_train = shape[0]
    got = least_squares(_bases(features, n_train)[form], responses[:n_train])
    np.testing.assert_allclose(got, _minimum_norm(features, responses, n_train), atol=1e-8)


def test_least_squares_of_fewer_features_than_stimuli_is_scikit_learns():
    features, responses = _data(60, 30, 5)
    expected = LinearRegression().fit(features[:60], responses[:60]).predict(features[60:])
    for basis in _bases(features, 60).values():
        np.testing.assert_allclose(least_squares(basis, responses[:60]), expected, atol=1e-8)


def test_least_squares_of_more_features_than_stimuli_interpolates():
    """Tested on the training stimuli themselves, the predictions are the responses."""
    features, responses = _data(40, 200, 6)
    twice = np.concatenate([features[:40], features[:40]])
    for basis in _bases(twice, 40).values():
        np.testing.assert_allclose(least_squares(basis, responses[:40]), responses[:40], atol=1e-8)


def test_least_squares_ignores_any_invertible_map_of_few_features_but_not_of_many():
    rng = np.random.default_rng(3)
    for n_features, ignored in ((10, True), (90, False)):
        features, responses = _data(50, n_features, 4)
        mapped = features @ (rng.normal(size=(n_features, n_features)) + 3 * np.eye(n_features))
        for form in ("dual", "primal"):
            before, after = (least_squares(_bases(each, 50)[form], responses[:50]) for each in (features, mapped))
            change = np.abs(before - after).max() / responses.std()
            assert change < 1e-8 if ignored else change > 1e-2


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("form", ["dual", "primal"])
def test_leading_components_give_scikit_learns_pca_and_linear_regression(shape, form):
    features, responses = _data(*shape)
    n_train = shape[0]
    model = make_pipeline(PCA(7, svd_solver="full"), LinearRegression())
    expected = model.fit(features[:n_train], responses[:n_train]).predict(features[n_train:])
    got = least_squares(_bases(features, n_train, n_largest=7)[form], responses[:n_train])
    np.testing.assert_allclose(got, expected, atol=1e-8)


def test_more_components_than_the_rank_are_the_rank():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(60, 3)) @ rng.normal(size=(3, 100))
    responses = features[:, :4] + 0.1 * rng.normal(size=(60, 4))
    expected = _minimum_norm(features, responses, 40)
    for n_largest in (None, 25, 40, 100):
        for basis in _bases(features, 40, n_largest).values():
            assert basis.values.shape == (3,)
            np.testing.assert_allclose(least_squares(basis, responses[:40]), expected, atol=1e-8)


@pytest.mark.parametrize("n_features", [1000, 60])
def test_the_rounding_of_float32_features_is_no_dimension(n_features):
    """A linear layer behind a narrow one has the narrow one's rank, whichever form its similarities have."""
    rng = np.random.default_rng(0)
    narrow = np.maximum(rng.normal(size=(120, 40)), 0) * np.geomspace(1, 0.1, 40)
    layer = (narrow @ rng.normal(size=(40, n_features)) + 3.0).astype(np.float32)
    gram = Gram.of(layer, [f"s{row}" for row in range(120)])
    assert (gram.features is None) == (n_features == 1000)
    basis = spectrum(gram.split(np.arange(100), np.arange(100, 120)))
    assert basis.values.shape == (40,)
    responses = narrow @ rng.normal(size=(40, 3))
    np.testing.assert_allclose(least_squares(basis, responses[:100]), responses[100:], atol=1e-3 * responses.std())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("form", ["dual", "primal"])
@pytest.mark.parametrize("per_target", [False, True])
def test_leave_one_out_ridge_equals_ridgecv(shape, form, per_target):
    features, responses = _data(*shape)
    n_train, alphas = shape[0], np.logspace(-2, 6, 20)
    model = RidgeCV(alphas, alpha_per_target=per_target).fit(features[:n_train], responses[:n_train])
    got, chosen = ridge_loo(_bases(features, n_train)[form], responses[:n_train], alphas, per_target=per_target)
    np.testing.assert_array_equal(chosen, np.broadcast_to(model.alpha_, chosen.shape))
    np.testing.assert_allclose(got, model.predict(features[n_train:]), atol=1e-8)


@pytest.mark.parametrize(("n_features", "rank"), [(30, 30), (8, 8), (40, 3)])
def test_leave_one_out_errors_are_those_of_literal_refits(n_features, rank):
    """With full rank, with fewer features than stimuli, and with rank-deficient wide features."""
    rng = np.random.default_rng(2)
    features = rng.normal(size=(15, rank)) @ rng.normal(size=(rank, n_features)) + 1.0
    responses = rng.normal(size=(15, 3)) + 5.0
    alphas = (1e-3, 1.0, 100.0)
    expected = np.zeros((3, 3))
    for number, alpha in enumerate(alphas):
        for left_out in range(15):
            rest = np.delete(np.arange(15), left_out)
            fit = Ridge(alpha).fit(features[rest], responses[rest])
            expected[number] += (fit.predict(features[[left_out]])[0] - responses[left_out]) ** 2 / 15
    everything = np.concatenate([features, features[:1]])
    for basis in _bases(everything, 15).values():
        np.testing.assert_allclose(loo_errors(basis, responses - responses.mean(0), alphas), expected, rtol=1e-6)


def test_leave_one_out_errors_keep_their_digits_under_tiny_penalties():
    """With next to no penalty the error of interpolating from the rest is (K^-1 y)_i over the inverse's diagonal."""
    features, responses = _data(40, 200, 3)
    centred = responses[:40] - responses[:40].mean(0)
    basis = _bases(1e3 * features, 40)["dual"]
    kernel = basis.train @ np.diag(basis.values) @ basis.train.T
    inverse = scipy.linalg.inv(kernel + np.full((40, 40), basis.values[0]))
    # the ones direction, which the intercept takes, is left out of the inverse again
    inverse -= np.full((40, 40), inverse.sum() / 1600)
    expected = np.mean((inverse @ centred / np.diag(inverse)[:, None]) ** 2, axis=0)
    np.testing.assert_allclose(loo_errors(basis, centred, [1e-8])[0], expected, rtol=1e-6)


def _gcv_by_definition(features, responses, alphas):
    """Return V of Golub, Heath and Wahba for every penalty and neuroid, from an explicit hat matrix on features."""
    n_train = len(features)
    x = features - features.mean(0)
    scores = []
    for alpha in alphas:
        hat = x @ np.linalg.solve(x.T @ x + alpha * np.eye(x.shape[1]), x.T) + 1.0 / n_train
        left = np.eye(n_train) - hat
        scores.append(((left @ responses) ** 2).mean(0) / (np.trace(left) / n_train) ** 2)
    return np.stack(scores)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("form", ["dual", "primal"])
def test_generalised_cross_validation_minimises_its_score(shape, form):
    features, responses = _data(*shape)
    n_train, alphas = shape[0], np.logspace(0, 5, 21)
    scores = _gcv_by_definition(features[:n_train], responses[:n_train], alphas)
    got, chosen = ridge_gcv(_bases(features, n_train)[form], responses[:n_train], alphas)
    np.testing.assert_array_equal(chosen, alphas[scores.argmin(0)])
    for neuroid, alpha in enumerate(chosen):
        fit = Ridge(alpha).fit(features[:n_train], responses[:n_train, neuroid])
        np.testing.assert_allclose(got[:, neuroid], fit.predict(features[n_train:]), atol=1e-7)


def test_generalised_cross_validation_ignores_a_rotation_of_the_stimuli():
    """Leave-one-out does not: a rotation that keeps the mean changes which penalty it prefers."""
    rng = np.random.default_rng(0)
    features, responses = rng.standard_t(1.5, size=(30, 60)), rng.normal(size=(30, 40))
    responses += features @ rng.normal(size=(60, 40)) * 0.3
    centred = [each - each.mean(0) for each in (features, responses)]
    ones = np.full((30, 1), 30**-0.5)
    away = np.linalg.qr(np.concatenate([ones, rng.normal(size=(30, 29))], axis=1))[0][:, 1:]
    rotation = away @ np.linalg.qr(rng.normal(size=(29, 29)))[0] @ away.T
    alphas = np.logspace(-2, 6, 60)

    def choose(rule, x, y):
        return rule(_bases(np.concatenate([x, x[:2]]), 30)["dual"], y, alphas)[1]

    rotated = [rotation @ each for each in centred]
    np.testing.assert_array_equal(choose(ridge_gcv, *centred), choose(ridge_gcv, *rotated))

    def by_loo(basis, y, alphas):
        return ridge_loo(basis, y, alphas, per_target=True)

    assert (choose(by_loo, *centred) != choose(by_loo, *rotated)).any()


def test_constant_features_predict_the_mean():
    responses = np.random.default_rng(0).normal(size=(30, 2))
    for basis in _bases(np.ones((50, 7)), 30).values():
        for got in (least_squares(basis, responses), ridge_loo(basis, responses, [1.0])[0]):
            np.testing.assert_allclose(got, np.tile(responses.mean(0), (20, 1)))
        np.testing.assert_allclose(ridge_gcv(basis, responses, [1.0])[0], np.tile(responses.mean(0), (20, 1)))


def test_constant_neuroid_is_predicted_by_its_constant():
    features, responses = _data(50, 80, 3)
    responses[:, 1] = 4.0
    for basis in _bases(features, 50).values():
        for got in (
            least_squares(basis, responses[:50]),
            ridge_loo(basis, responses[:50], [1.0])[0],
            ridge_gcv(basis, responses[:50], [1.0])[0],
        ):
            np.testing.assert_allclose(got[:, 1], 4.0, atol=1e-9)


def test_a_kernel_that_is_negative_by_rounding_has_no_components():
    basis = Spectrum.of_kernel(-np.eye(5), np.ones((2, 5)))
    assert basis.train.shape == (5, 0)
    assert basis.test.shape == (2, 0)


def test_components_are_fitted_per_pattern_of_missing_responses():
    features, responses = _data(40, 70, 3)
    holed = responses.copy()
    holed[:6, 1] = np.nan
    gram = Gram.of(features, [f"s{row}" for row in range(60)])
    got = fit_components(least_squares, gram, np.arange(40), np.arange(40, 60), holed[:40], 5)
    model = make_pipeline(PCA(5, svd_solver="full"), LinearRegression())
    for neuroid, rows in ((0, slice(0, 40)), (1, slice(6, 40)), (2, slice(0, 40))):
        expected = model.fit(features[rows], responses[rows, neuroid]).predict(features[40:])
        np.testing.assert_allclose(got[:, neuroid], expected, atol=1e-8)
