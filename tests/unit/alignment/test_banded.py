"""Banded ridge against himalaya, explicit primal solves and planted truths."""

from __future__ import annotations

import numpy as np
import pytest
from himalaya.kernel_ridge import predict_weighted_kernel_ridge, solve_multiple_kernel_ridge_random_search
from himalaya.scoring import r2_score, r2_score_split
from sklearn.model_selection import KFold

from alignment import METRICS
from alignment.banded import banded_ridge, candidate_gammas, mean_shares, scaled_kernel, shares
from alignment.crossval import Target, cross_validate
from alignment.gram import Gram
from alignment.linear_maps import centre_features, centre_gram, spectrum
from alignment.spectral import ridge_loo
from alignment.statistics import PairedMeasurements, SplitPrediction
from benchmarks.splits import shuffle_splits

N_TRAIN, N_TEST = 40, 15
TRAIN, TEST = np.arange(N_TRAIN), np.arange(N_TRAIN, N_TRAIN + N_TEST)
WIDTHS = (120, 20, 60)
ALPHAS = np.logspace(-3, 3, 7)
BANDED = METRICS.get("banded_ridge")


def _layers(n_stimuli=N_TRAIN + N_TEST, widths=WIDTHS, seed=0):
    rng = np.random.default_rng(seed)
    return [
        (5.0**number * rng.normal(size=(n_stimuli, width)) * np.geomspace(1, 0.2, width) + rng.normal(size=width))
        for number, width in enumerate(widths)
    ]


def _responses(layers, from_layer, n_neuroids=5, noise=0.3, seed=1):
    rng = np.random.default_rng(seed)
    chosen = layers[from_layer]
    signal = chosen @ rng.normal(size=(chosen.shape[1], n_neuroids))
    return signal + noise * signal.std(axis=0) * rng.normal(size=signal.shape) + 10.0


def _mixed(layers):
    return sum(_responses(layers, number, seed=number) / 5.0**number for number in range(len(layers)))


def _kernels(layers, train=TRAIN, test=TEST):
    return [scaled_kernel(centre_features(layer, train, test)) for layer in layers]


def _stacked(layers, gamma, rows):
    """Return the features, scaled as the gammas and the traces ask for, centred by the training means."""
    found = []
    for weight, layer in zip(gamma, layers, strict=True):
        centre = layer[TRAIN].mean(0)
        unit = ((layer[TRAIN] - centre) ** 2).sum(1).mean()
        found.append(np.sqrt(weight / unit) * (layer[rows] - centre))
    return found


def test_kernels_are_centred_and_have_equal_trace_in_both_forms():
    for layer in _layers():
        primal = scaled_kernel(centre_features(layer, TRAIN, TEST))
        dual = scaled_kernel(centre_gram(layer @ layer.T, TRAIN, TEST))
        np.testing.assert_allclose(primal.matrix, dual.matrix, atol=1e-9)
        assert np.trace(primal.train) == pytest.approx(N_TRAIN)
        np.testing.assert_allclose(primal.train.sum(axis=0), 0, atol=1e-9)


def test_candidates_are_centre_corners_and_the_same_draws_every_time():
    found = candidate_gammas(4, 20, seed=0)
    assert found.shape == (25, 4)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert (found >= 0).all()
    np.testing.assert_array_equal(found[:5], [[0.25] * 4, *np.eye(4)])
    np.testing.assert_array_equal(found, candidate_gammas(4, 20, seed=0))
    assert not np.array_equal(found, candidate_gammas(4, 20, seed=1))
    assert np.median(found[5::2].max(axis=1)) > 0.8 > np.median(found[6::2].max(axis=1))  # concentrations 0.1 and 1
    np.testing.assert_array_equal(candidate_gammas(1, 20, seed=0), [[1.0]])
    assert candidate_gammas(3, 0, seed=0).shape == (4, 3)


def test_one_pair_of_hyperparameters_gives_himalayas_predictions_and_their_split():
    layers = _layers()
    responses, gamma, alpha = _mixed(layers), np.array([[0.5, 0.2, 0.3]]), 0.7
    kernels = _kernels(layers)
    deltas, weights, _ = solve_multiple_kernel_ridge_random_search(
        np.stack([kernel.train for kernel in kernels]),
        responses[TRAIN] - responses[TRAIN].mean(0),
        n_iter=gamma,
        alphas=alpha,
        return_weights="dual",
        progress_bar=False,
    )
    expected = predict_weighted_kernel_ridge(np.stack([kernel.test for kernel in kernels]), weights, deltas, split=True)
    fit = banded_ridge(kernels, responses[TRAIN], gamma, [alpha])
    np.testing.assert_allclose(fit.parts, expected, atol=1e-6)
    train, test = (_stacked(layers, gamma[0], rows) for rows in (TRAIN, TEST))
    x = np.concatenate(train, axis=1)
    primal = np.linalg.solve(x.T @ x + alpha * np.eye(x.shape[1]), x.T @ (responses[TRAIN] - responses[TRAIN].mean(0)))
    edges = np.cumsum(WIDTHS)[:-1]
    for part, features, band in zip(fit.parts, test, np.split(primal, edges), strict=True):
        np.testing.assert_allclose(part, features @ band, atol=1e-6)


def test_search_chooses_what_himalaya_chooses_by_literal_leave_one_out():
    """himalaya refits without every stimulus in turn, its kernels centred anew each time."""
    layers = _layers()
    responses = _mixed(layers)
    raw = [scaled_kernel(centre_features(layer, TRAIN, TEST)) for layer in layers]
    gammas = candidate_gammas(3, 8, seed=0)
    with np.errstate(divide="ignore"):  # the logarithm of a weight of 0
        deltas, weights, _, alphas, intercept = solve_multiple_kernel_ridge_random_search(
            np.stack([kernel.train for kernel in raw]),
            responses[TRAIN],
            n_iter=gammas,
            alphas=ALPHAS,
            cv=KFold(N_TRAIN),
            fit_intercept=True,
            return_weights="dual",
            return_alphas=True,
            progress_bar=False,
        )
    assert len(np.unique(alphas)) > 1
    fit = banded_ridge(raw, responses[TRAIN], gammas, ALPHAS)
    np.testing.assert_array_equal(fit.alphas, alphas)
    np.testing.assert_allclose(fit.gammas / fit.alphas, np.exp(deltas), atol=1e-9)
    tests = np.stack([kernel.test for kernel in raw])
    expected = predict_weighted_kernel_ridge(tests, weights, deltas, intercept=intercept)
    np.testing.assert_allclose(fit.parts.sum(axis=0) + responses[TRAIN].mean(0), expected, atol=1e-6)


def test_corners_alone_are_ridge_on_the_best_layer():
    layers = _layers()
    responses = _responses(layers, 1)
    fit = banded_ridge(_kernels(layers), responses[TRAIN], np.eye(3), ALPHAS)
    np.testing.assert_array_equal(fit.gammas, np.tile([[0.0], [1.0], [0.0]], (1, 5)))
    basis = spectrum(_kernels(layers)[1])
    expected, chosen = ridge_loo(basis, responses[TRAIN], ALPHAS, per_target=True)
    np.testing.assert_array_equal(fit.alphas, chosen)
    np.testing.assert_allclose(fit.parts[1] + responses[TRAIN].mean(0), expected, atol=1e-9)
    assert not fit.parts[[0, 2]].any()


def test_one_layer_is_ridge():
    (layer,) = _layers(widths=(50,))
    responses = _responses([layer], 0)
    fit = banded_ridge(_kernels([layer]), responses[TRAIN], candidate_gammas(1, 5, 0), ALPHAS)
    expected, _ = ridge_loo(spectrum(_kernels([layer])[0]), responses[TRAIN], ALPHAS, per_target=True)
    np.testing.assert_allclose(fit.parts[0] + responses[TRAIN].mean(0), expected, atol=1e-9)


def test_the_unit_of_any_one_layer_does_not_matter():
    layers = _layers()
    responses = _mixed(layers)
    gammas = candidate_gammas(3, 6, 0)
    before = banded_ridge(_kernels(layers), responses[TRAIN], gammas, ALPHAS)
    after = banded_ridge(_kernels([layers[0], 1e4 * layers[1], layers[2]]), responses[TRAIN], gammas, ALPHAS)
    np.testing.assert_array_equal(before.gammas, after.gammas)
    np.testing.assert_allclose(before.parts, after.parts, atol=1e-9)


def test_a_layer_that_does_not_vary_contributes_nothing():
    layers = [*_layers()[:2], np.full((N_TRAIN + N_TEST, 9), 4.0)]
    responses = _responses(layers, 0)
    fit = banded_ridge(_kernels(layers), responses[TRAIN], candidate_gammas(3, 6, 0), ALPHAS)
    assert not fit.parts[2].any()
    alone = banded_ridge(_kernels(layers[2:]), responses[TRAIN], np.ones((1, 1)), ALPHAS)
    assert not alone.parts.any()


@pytest.mark.parametrize("planted", [0, 1, 2])
def test_responses_of_one_layer_get_nearly_all_weight_on_it(planted):
    layers = _layers(n_stimuli=140, widths=(40, 40, 40))
    responses = _responses(layers, planted, n_neuroids=12)
    train, test = np.arange(100), np.arange(100, 140)
    fit = banded_ridge(_kernels(layers, train, test), responses[train], candidate_gammas(3, 24, 0), ALPHAS)
    assert np.median(fit.gammas[planted]) > 0.9
    split = np.median(shares(fit.parts, responses[test]), axis=1)
    others = np.delete(split, planted)
    assert split[planted] > 0.75
    assert np.abs(others).max() < 0.05


def test_a_useless_wide_layer_costs_less_than_when_features_are_concatenated():
    rng = np.random.default_rng(4)
    useful, useless = rng.normal(size=(160, 30)), 3.0 * rng.normal(size=(160, 2000))
    responses = _responses([useful], 0, n_neuroids=12)
    train, test = np.arange(120), np.arange(120, 160)

    def r(predicted):
        return np.median([np.corrcoef(p, y)[0, 1] for p, y in zip(predicted.T, responses[test].T, strict=True)])

    def plain(features):
        basis = spectrum(centre_features(features, train, test))
        return r(ridge_loo(basis, responses[train], np.logspace(-2, 6, 30), per_target=True)[0])

    kernels = _kernels([useful, useless], train, test)
    banded = r(banded_ridge(kernels, responses[train], candidate_gammas(2, 24, 0), ALPHAS).parts.sum(axis=0))
    assert banded > plain(useful) - 0.01
    assert plain(np.concatenate([useful, useless], axis=1)) < plain(useful) - 0.2


def test_shares_are_himalayas_and_sum_to_the_explained_variance():
    rng = np.random.default_rng(0)
    parts, recorded = rng.normal(size=(3, 30, 6)), rng.normal(size=(30, 6)) + 7.0
    recorded += parts.sum(axis=0)
    found = shares(parts + rng.normal(size=(3, 1, 6)), recorded)
    y, centred = recorded - recorded.mean(0), parts - parts.mean(1, keepdims=True)
    np.testing.assert_allclose(found, r2_score_split(y, centred), atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=0), r2_score(y, centred.sum(axis=0)), atol=1e-12)


def test_shares_use_the_stimuli_recorded_and_are_undefined_without_variance():
    rng = np.random.default_rng(1)
    parts, recorded = rng.normal(size=(2, 20, 4)), rng.normal(size=(20, 4))
    recorded[:5, 0], recorded[:, 1], recorded[1:, 2], parts[:, :, 3] = np.nan, 3.0, np.nan, np.nan
    found = shares(parts, recorded)
    np.testing.assert_allclose(found[:, :1], shares(parts[:, 5:, :1], recorded[5:, :1]))
    assert np.isnan(found[:, 1:]).all()


def test_mean_shares_are_means_over_splits_and_the_neuroids_of_all_recordings():
    rng = np.random.default_rng(2)

    def recording(n_neuroids):
        splits = [
            SplitPrediction(np.arange(12), parts.sum(axis=0), rng.normal(size=(12, n_neuroids)), parts)
            for parts in rng.normal(size=(3, 2, 12, n_neuroids))
        ]
        return PairedMeasurements(12, splits)

    recordings = [recording(2), recording(5)]
    recordings[1].splits[0].recorded[:, 0] = np.nan  # not recorded in one split: left out of that split's mean
    found = mean_shares(recordings)
    by_hand = []
    for n in range(3):
        both = [shares(each.splits[n].parts, each.splits[n].recorded) for each in recordings]
        by_hand.append(np.nanmean(np.concatenate(both, axis=1), axis=1))
    np.testing.assert_allclose(found, np.mean(by_hand, axis=0))
    assert found.shape == (2,)


def test_cross_validation_keeps_the_parts_and_their_shares_sum_to_the_explained_variance():
    layers = _layers()
    responses = _responses(layers, 1)
    ids = tuple(f"s{row}" for row in range(len(responses)))
    target = Target(None, ids, tuple("abcde"), responses, shuffle_splits(len(ids), n_splits=2), ())
    measured = cross_validate(BANDED, [Gram.of(layer, ids) for layer in layers], target)
    explained = []
    for split in measured.splits:
        assert split.parts.shape == (3, len(split.test), 5)
        np.testing.assert_allclose(split.parts.sum(axis=0), split.predicted)
        left = split.recorded - split.predicted
        explained.append(1 - left.var(axis=0) / split.recorded.var(axis=0))
    np.testing.assert_allclose(mean_shares([measured]).sum(), np.mean(explained))
    assert np.mean(explained) > 0.3


def test_missing_responses_fit_each_neuroid_on_its_own_stimuli():
    layers = _layers()
    responses = _mixed(layers)[TRAIN]
    holed = responses.copy()
    holed[:7, 2], holed[:, 4] = np.nan, np.nan
    grams = [Gram.of(layer, [f"s{row}" for row in range(len(layer))]) for layer in layers]
    found = BANDED.predict(grams, TRAIN, TEST, holed)
    assert found.shape == (3, N_TEST, 5)
    np.testing.assert_allclose(found[..., [0, 1, 3]], BANDED.predict(grams, TRAIN, TEST, responses[:, [0, 1, 3]]))
    np.testing.assert_allclose(found[..., [2]], BANDED.predict(grams, TRAIN[7:], TEST, responses[7:, [2]]))
    assert np.isnan(found[..., 4]).all()
