"""Measures on features: choice of features, exact matching, precision, gaps, and scores end to end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linear_sum_assignment
from torch import nn

from alignment import get_metric, score
from alignment.contracts import StreamedMetric
from alignment.crossval import make_target, measurements, streamed
from alignment.metrics.neuron_to_neuron import correlations
from alignment.metrics.reverse_predictivity import ALPHAS
from alignment.reduction import Resources, reduced
from alignment.streams import BestFeature, OneToOne, ReversePrediction, TrainingCorrelations, prices
from alignment.subjects import PrecomputedFeatures
from benchmarks import get_benchmark
from benchmarks.assemblies import make_assembly
from benchmarks.contracts import Recording
from benchmarks.splits import Split, shuffle_splits
from benchmarks.stimuli import from_arrays
from model_zoo.contracts import LoadedModel, Preprocessing, WeightsReport
from model_zoo.errors import DataIntegrity, ShapeMismatch
from model_zoo.layers import list_layers

STREAMED = ("neuron_to_neuron", "one_to_one", "reverse_predictivity")
N_STIMULI = 40
SPLITS = shuffle_splits(N_STIMULI, n_splits=3, train_size=0.8)


def _noise(n_columns: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(N_STIMULI, n_columns))


def _expected(features: np.ndarray, responses: np.ndarray) -> np.ndarray:
    return np.stack([correlations(features[split.train], responses[split.train]) for split in SPLITS])


def _run(reduction, features: np.ndarray, width: int = 1000):
    for start in range(0, features.shape[1], width):
        reduction.add(features[:, start : start + width], start)
    return reduction.finish()


@pytest.mark.parametrize("offset", [0.0, 1e3, -1e6])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_correlations_are_those_of_numpy_far_from_zero_and_at_any_scale(offset, scale):
    features = scale * (_noise(30) + offset)
    responses = _noise(5, 1) + 50
    found = np.stack(list(TrainingCorrelations(responses, SPLITS).of(features)))
    np.testing.assert_allclose(found, _expected(features, responses), atol=1e-9)


def test_correlations_are_over_the_stimuli_that_a_neuroid_has():
    features, responses = _noise(30) + 100, _noise(6, 1)
    responses[::3, 0] = np.nan
    responses[5:20, [1, 2]] = np.nan
    responses[:, 3] = np.nan
    responses[SPLITS[0].train[1:], 4] = np.nan  # a single stimulus in the first split
    found = np.stack(list(TrainingCorrelations(responses, SPLITS).of(features)))
    np.testing.assert_allclose(found, _expected(features, responses), atol=1e-12)
    assert np.isnan(found[:, 3]).all()
    assert np.isnan(found[0, 4]).all()


@settings(deadline=None, max_examples=60)
@given(arrays(np.int64, (N_STIMULI, 8), elements=st.integers(0, 2)), st.sampled_from([1.0, 1e-3, 1e7]))
def test_sparse_features_and_those_that_vary_in_test_stimuli_alone_lose_no_digits(counts, strength):
    features = np.float32(0.1) + counts.astype(np.float32)
    features[SPLITS[0].test, 0] = strength  # hardly varies, or not at all, over the first split's training stimuli
    features[SPLITS[0].train, 0] = 0.1
    features[SPLITS[0].train[0], 1] += 1e-3
    responses = _noise(3, 1)
    found = np.stack(list(TrainingCorrelations(responses, SPLITS).of(features)))
    np.testing.assert_allclose(found, _expected(features.astype(float), responses), atol=1e-8)
    assert np.isnan(found[0, :, 0]).all()


def test_the_best_feature_is_the_earliest_of_equals_and_never_a_constant_or_a_negative_copy():
    responses = _noise(1)
    copy, opposite, constant = responses, -responses, np.full_like(responses, 7.0)
    almost = 2 * copy + 1 + 1e-6 * _noise(1, 1)  # r = 1 - 1e-13
    features = np.hstack([constant, opposite, _noise(3, 2), almost, copy, 1e6 * copy])
    for width in (1, 2, 6, 8):
        kept = _run(BestFeature(responses, SPLITS), features, width)
        assert (kept["chosen"] == 5).all()
        np.testing.assert_array_equal(kept["predicted"][1], features[SPLITS[1].test][:, [5]])
    alone = _run(BestFeature(responses, SPLITS), constant)
    assert np.isnan(alone["predicted"]).all()
    assert (alone["chosen"] == -1).all()


def _best_sum(r: np.ndarray) -> float:
    rows, columns = linear_sum_assignment(r, maximize=True)
    return float(r[rows, columns].sum())


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 60), st.integers(1, 20), st.booleans())
def test_matching_block_by_block_is_the_best_matching_of_all_features(seed, n_neuroids, n_features, width, alike):
    rng = np.random.default_rng(seed)
    responses = rng.normal(size=(N_STIMULI, n_neuroids))
    if alike:  # all want the same few features
        responses += 3 * rng.normal(size=(N_STIMULI, 1))
    features = responses @ rng.normal(size=(n_neuroids, n_features)) + rng.normal(size=(N_STIMULI, n_features))
    kept = _run(OneToOne(responses, SPLITS), features, width)
    for r, chosen in zip(_expected(features, responses), kept["chosen"], strict=True):
        matched = np.flatnonzero(chosen >= 0)
        assert len(matched) == min(n_neuroids, n_features) == len(set(chosen[matched]))
        assert r[matched, chosen[matched]].sum() == pytest.approx(_best_sum(r), abs=1e-9)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 8))
def test_a_price_is_what_the_matching_loses_without_a_neuroid(seed, n_neuroids):
    r = np.random.default_rng(seed).normal(size=(n_neuroids, n_neuroids))
    matched = r[:, linear_sum_assignment(r, maximize=True)[1]]
    expected = [_best_sum(r) - _best_sum(np.delete(r, number, axis=0)) for number in range(n_neuroids)]
    np.testing.assert_allclose(prices(matched), expected, atol=1e-9)


def test_one_to_one_gives_up_the_best_pair_where_two_neuroids_want_one_feature():
    wanted, second = _noise(1), _noise(1, 1)
    responses = np.hstack([wanted + 0.1 * _noise(1, 2), wanted + 0.5 * second])
    kept = _run(OneToOne(responses, SPLITS), np.hstack([wanted, second]), 1)
    assert (kept["chosen"] == [0, 1]).all()
    assert (_run(BestFeature(responses, SPLITS), np.hstack([wanted, second]))["chosen"] == 0).all()


def test_reverse_prediction_takes_features_from_everywhere_and_in_step_with_nothing():
    reduction = ReversePrediction(_noise(2), SPLITS, 500, ALPHAS)
    numbers = _run(reduction, np.zeros((N_STIMULI, 150_528), np.float32), 4096)["units"]
    assert len(numbers) == 500
    gaps = np.diff(numbers)
    assert len(set(gaps)) <= 3
    assert gaps.max() < 3 * 150_528 / 500
    assert 150_528 - numbers[-1] < gaps.max()
    for period in (2, 3, 64, 768, 196, 3136):
        of_period = np.bincount(numbers % period * min(period, 10) // period, minlength=min(period, 10))
        assert of_period.min() > 0.7 * 500 / min(period, 10)


def test_reverse_prediction_recovers_features_made_of_responses_and_leaves_out_neuroids_with_gaps():
    responses = _noise(4) * [1.0, 1e-4, 1e4, 1.0] + 5
    features = (responses - 5) / [1.0, 1e-4, 1e4, 1.0] @ np.random.default_rng(1).normal(size=(4, 6))
    kept = _run(ReversePrediction(responses, SPLITS, 500, ALPHAS), features)
    for split, predicted in zip(SPLITS, kept["predicted"], strict=True):
        np.testing.assert_allclose(predicted, features[split.test], atol=0.02)
    gaps = np.hstack([responses, _noise(1, 3)])
    gaps[0, 4] = np.nan
    np.testing.assert_array_equal(
        _run(ReversePrediction(gaps, SPLITS, 500, ALPHAS), features)["predicted"], kept["predicted"]
    )
    with pytest.raises(DataIntegrity, match=r"responses to all stimuli.*neuron_to_neuron"):
        ReversePrediction(gaps[:, 4:], SPLITS, 500, ALPHAS)


@pytest.mark.parametrize("name", STREAMED)
def test_splits_of_unequal_size_are_refused(name):
    splits = (SPLITS[0], Split(SPLITS[1].train, SPLITS[1].test[1:]))
    with pytest.raises(ShapeMismatch, match=r"as many test stimuli.*from 7 to 8"):
        get_metric(name).begin(_noise(3), splits)


@pytest.fixture(scope="module")
def small_model() -> LoadedModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(3, 16, 5), nn.ReLU(), nn.Conv2d(16, 8, 3, stride=4), nn.AdaptiveAvgPool2d(2))
    preprocessing = Preprocessing(input_size=(32, 32))
    return LoadedModel("toy/small", net.eval(), preprocessing, WeightsReport("seed 0", 4, 4), "toy-small", "MIT", "-")


@pytest.fixture(scope="module")
def recording() -> Recording:
    rng = np.random.default_rng(3)
    ids = [f"s{number:02d}" for number in range(N_STIMULI)]
    colours = rng.integers(0, 200, size=(N_STIMULI, 1, 1, 3))
    pixels = {
        each: (colour + rng.integers(0, 50, size=(32, 32, 3))).astype(np.uint8)
        for each, colour in zip(ids, colours, strict=True)
    }
    means = np.array([image.reshape(-1, 3).mean(axis=0) for image in pixels.values()])
    responses = np.hstack([means, means @ rng.normal(size=(3, 2))]) + rng.normal(size=(N_STIMULI, 5))
    assembly = make_assembly(
        responses, stimulus_ids=ids, repetitions=[0] * N_STIMULI, neuroid_ids=list("abcde"), region="V1", unit="x"
    )
    return Recording(assembly, from_arrays(pixels, visual_degrees=8.0))


@pytest.fixture
def benchmark(recording, monkeypatch):
    """A small recording in the place of a benchmark."""
    card = replace(
        get_benchmark("Simulated.V1"), n_repeats=1, stratification=None, ceiling=None, load=lambda _: (recording,)
    )
    monkeypatch.setattr("alignment.evaluate.get_benchmark", lambda _: card)
    return "Simulated.V1"


def _scores(model, benchmark, **resources):
    options = Resources(**{"use_cache": False, **resources})
    found = score(model, benchmark, layers=["0", "1", "2", "3"], metric=STREAMED, n_bootstrap=20, resources=options)
    return {(each.metric, each.layer): each for each in found}


def _precomputed(model: LoadedModel, recording: Recording) -> PrecomputedFeatures:
    from model_zoo.preprocessing import preprocess

    values, layers = (
        torch.stack([preprocess(recording.stimuli.image(i), model.preprocessing) for i in recording.stimuli.ids]),
        {},
    )
    for name, module in model.module.named_children():
        with torch.inference_mode():
            values = module(values)
        coords = {"stimulus_id": list(recording.stimuli.ids)}
        layers[name] = xr.DataArray(values.numpy(), dims=("stimulus_id", "c", "y", "x"), coords=coords)
    return PrecomputedFeatures("same", layers)


def test_a_model_and_its_features_score_the_same_whatever_the_budgets(small_model, recording, benchmark):
    expected = _scores(_precomputed(small_model, recording), benchmark)
    assert len(expected) == 12
    assert expected["neuron_to_neuron", "0"].raw > 0.5
    reverse = expected["reverse_predictivity", "0"]
    assert (reverse.unit, len(reverse.unit_ids), reverse.ceiling) == ("feature", 500, None)
    for budget in ({}, {"memory": 1, "scratch": 1}, {"memory": 3_000_000, "scratch": 10**6, "batch_size": 7}):
        found = _scores(small_model, benchmark, **budget)
        for key, each in expected.items():
            assert found[key].raw == pytest.approx(each.raw, rel=1e-5), (key, budget)
            assert found[key].interval == pytest.approx(each.interval, rel=1e-4)


def test_what_is_kept_is_cached_under_a_key_of_all_that_shapes_it(small_model, recording, benchmark):
    card = get_metric("neuron_to_neuron")
    assert isinstance(card, StreamedMetric)
    target = make_target(replace(get_benchmark("Simulated.V1"), n_repeats=1, stratification=None), recording, None)
    other = replace(target, responses=target.responses + np.eye(*target.responses.shape))
    resplit = replace(target, splits=shuffle_splits(N_STIMULI, seed=2))
    layers = list_layers(small_model.module, (32, 32), all_modules=True)[-1:]
    stages: list[str] = []

    def measured(card, target):
        reducer = streamed(card, target)
        stages.clear()
        wanted = dict.fromkeys(layers, (reducer,))
        with reduced(small_model, target.stimuli, wanted, Resources(), lambda stage, *_: stages.append(stage)) as kept:
            return measurements(card, kept(reducer, layers[0].name), target), "forward pass" in stages

    first, computed = measured(card, target)
    assert computed
    again, computed = measured(card, target)
    assert not computed
    np.testing.assert_array_equal(again.splits[3].predicted, first.splits[3].predicted)
    changed = replace(card, parameters={**card.parameters, "more": 1})
    for case in ((card, other), (card, resplit), (changed, target), (replace(card, version=2), target)):
        assert measured(*case)[1]


@pytest.mark.parametrize("metric", STREAMED)
def test_features_that_are_not_finite_are_refused_by_layer_and_number(benchmark, recording, metric):
    values = np.random.default_rng(0).normal(size=(N_STIMULI, 5000))
    values[3, 4500], values[[7, 3], 20] = np.inf, np.nan
    coords = {"stimulus_id": list(recording.stimuli.ids)}
    features = PrecomputedFeatures("broken", {"top": xr.DataArray(values, dims=("stimulus_id", "f"), coords=coords)})
    with pytest.raises(DataIntegrity, match=r"layer top: expected finite activations.*2 of 40 stimuli"):
        score(features, benchmark, layers="top", metric=metric)
