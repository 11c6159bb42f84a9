"""Shuffled stimuli: the values that brute force gives, for every kind of benchmark."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import xarray as xr
from scipy.spatial.distance import pdist, squareform
from sklearn.linear_model import Ridge

from alignment import get_metric, list_metrics, score
from alignment.chance import (
    _geometry,
    _regression,
    _similarity,
    _without_influence,
    fits_apart,
    permutations,
    shuffled_scores,
)
from alignment.contracts import RegressionMetric
from alignment.crossval import Target
from alignment.geometries import GeometryJob
from alignment.gram import Gram
from alignment.jobs import Run
from alignment.rdm_similarity import as_similarity
from alignment.recordings import RecordingJob
from alignment.reduction import Resources
from alignment.similarities import SimilarityJob
from alignment.subjects import PrecomputedFeatures
from benchmarks import get_benchmark, load_benchmark
from benchmarks.contracts import Geometry
from benchmarks.splits import shuffle_splits
from benchmarks.stimuli import from_arrays

N_STIMULI, N_NEUROIDS = 40, 6


@pytest.fixture(scope="module")
def planted() -> tuple[Gram, np.ndarray, Target]:
    """Features, and responses that half follow them."""
    rng = np.random.default_rng(5)
    features = rng.normal(size=(N_STIMULI, 60))
    responses = features @ rng.normal(size=(60, N_NEUROIDS)) / 8 + rng.normal(size=(N_STIMULI, N_NEUROIDS))
    ids = tuple(f"s{number}" for number in range(N_STIMULI))
    stimuli = from_arrays({each: np.zeros((4, 4, 3), np.uint8) for each in ids}, visual_degrees=8.0)
    neuroids = tuple(f"n{number}" for number in range(N_NEUROIDS))
    target = Target(stimuli, ids, neuroids, responses, shuffle_splits(N_STIMULI), ())
    return Gram.of(features, ids), features, target


def tick(_n: int) -> None:
    """Count nothing."""


def brute_force(features: np.ndarray, target: Target, order: np.ndarray) -> float:
    """Return the score of scikit-learn's ridge on responses in another order."""
    responses = target.responses[order]
    medians = []
    for split in target.splits:
        fitted = Ridge(alpha=1.0).fit(features[split.train], responses[split.train])
        predicted = fitted.predict(features[split.test])
        r = [np.corrcoef(*pair)[0, 1] for pair in zip(predicted.T, responses[split.test].T, strict=True)]
        medians.append(np.median(r))
    return float(np.mean(medians))


@pytest.mark.parametrize("metric", ["ridge", "pls"])
def test_shuffles_of_a_regression_are_the_same_one_by_one(planted, metric: str):
    gram, features, target = planted
    job = RecordingJob(card=get_benchmark("Simulated.V1"), metric=get_metric(metric), targets=(target,))
    orders = permutations(N_STIMULI, 4)
    found = _regression(job, lambda _: gram, [orders], 1, tick)
    for number, order in enumerate(orders):
        alone = _regression(job, lambda _: gram, [[order]], 1, tick)
        assert found[number] == pytest.approx(alone[0], abs=1e-10)
        if metric == "ridge":
            assert found[number] == pytest.approx(brute_force(features, target, order), abs=1e-6)
    unshuffled = _regression(job, lambda _: gram, [[np.arange(N_STIMULI)]], 1, tick)
    assert unshuffled[0] > found.max()


def test_two_recordings_are_pooled_as_the_score_pools_them(planted):
    gram, _, target = planted
    other = replace(target, responses=np.random.default_rng(0).normal(size=(N_STIMULI, 3)), neuroid_ids=("a", "b", "c"))
    job = RecordingJob(card=get_benchmark("Simulated.V1"), metric=get_metric("ridge"), targets=(target, other))
    as_they_are = [[np.arange(N_STIMULI)]] * 2
    measured = job.measure(lambda _: gram, 1)
    assert _regression(job, lambda _: gram, as_they_are, 1, tick)[0] == pytest.approx(job.raw(measured), abs=1e-12)


def test_only_metrics_that_fit_neuroids_apart_fit_many_shuffles_at_once():
    apart = {each.name: fits_apart(each) for each in list_metrics() if isinstance(each, RegressionMetric)}
    assert apart["ridge"]
    assert apart["ridgecv"]
    assert not apart["pls"]
    assert not apart.get("ridgecv-shared", False)


@pytest.mark.parametrize("metric", ["rsa-spearman", "rsa-spearman-euclidean", "rsa-whitened"])
def test_rdms_of_recordings_give_the_value_that_is_scored(planted, metric: str):
    gram, features, target = planted
    plain = _without_influence(get_metric(metric))
    card = get_benchmark("Simulated.V1")
    job = SimilarityJob(card=card, metric=plain, targets=(target,), brains=(plain.prepare(target.responses),))
    whole, rows = as_similarity(get_metric(metric)), np.arange(N_STIMULI)
    scored = whole.compare(gram, rows, whole.prepare(target.responses)).value
    orders = permutations(N_STIMULI, 2)
    found = _similarity(job, lambda _: gram, [[rows, *orders]], tick)
    assert found[0] == pytest.approx(scored, abs=1e-9)
    kind = {"rsa-spearman-euclidean": "sqeuclidean"}.get(metric, "correlation")
    model, brain = pdist(features[orders[1]], kind), pdist(target.responses, kind)
    assert found[2] == pytest.approx(float(get_metric(metric).reference(model, brain[None])[0]), abs=1e-8)


def test_shuffled_geometries_equal_permuted_matrices(planted):
    gram, features, target = planted
    rdms = np.stack([pdist(np.random.default_rng(seed).normal(size=(N_STIMULI, 5))) for seed in (0, 1)])
    geometry = Geometry(rdms, ("a", "b"), target.stimuli, "euclidean")
    job = GeometryJob(
        card=get_benchmark("Kriegeskorte2008.IT"), metric=get_metric("rsa-spearman"), geometries=(geometry,)
    )
    (order,) = permutations(N_STIMULI, 1)
    found = _geometry(job, lambda _: gram, [[order]], tick)
    model = squareform(squareform(pdist(features, "correlation"))[np.ix_(order, order)], checks=False)
    expected = np.mean([scipy.stats.spearmanr(model, rdm)[0] for rdm in rdms])
    assert found[0] == pytest.approx(expected, abs=1e-9)


def test_permutations_are_the_same_ones_every_time_and_all_are_permutations():
    first, second = permutations(9, 5), permutations(9, 5)
    np.testing.assert_array_equal(first, second)
    assert len({tuple(order) for order in first}) == 5
    assert all(sorted(order) == list(range(9)) for order in first)


@pytest.mark.mirror
def test_shuffled_answers_are_at_chance_within_their_condition(mirror: Path):
    card, data = load_benchmark("Geirhos2021.edge", mirror, offline=True)
    stimuli = data[0].stimuli()
    truth = pd.get_dummies(stimuli.table["truth"]).to_numpy(float)
    values = xr.DataArray(truth, dims=("stimulus_id", "feature"), coords={"stimulus_id": list(stimuli.ids)})
    subject = PrecomputedFeatures("truth", {"known": values})
    options = Resources(use_cache=False)
    (own,) = score(subject, card.name, layers="known", metric="accuracy", mirror=mirror, resources=options)
    run, counted = Run(subject, options), list[int]()
    (found,) = shuffled_scores(run, [own], lambda _: (card, data), 25, counted.append)
    assert own.raw > 0.9
    assert abs(found.mean() - 1 / 16) < 0.02  # 16 classes of equal size in one condition
    assert sum(counted) == 25
