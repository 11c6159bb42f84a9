"""Scores end to end: what they may not depend on, what they are joined by, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

import alignment.evaluate
from alignment import get_metric, score
from alignment.gram import Gram
from alignment.layers import check_disjoint, commit
from alignment.recordings import RecordingJob
from alignment.reduction import Resources
from alignment.scores import LayerProfile
from alignment.subjects import PrecomputedFeatures
from benchmarks import get_benchmark
from benchmarks.assemblies import average_repetitions, make_assembly
from benchmarks.contracts import Recording
from benchmarks.fetch import locate
from benchmarks.simulation import generator_rates
from benchmarks.stimuli import from_arrays
from model_zoo import from_module
from model_zoo.contracts import Layer, LoadedModel, Preprocessing, WeightsReport
from model_zoo.errors import InvalidOption, LeakageError, ShapeMismatch, UnknownName


def _no_files(_file):
    raise AssertionError("bundled data needs no file")


@pytest.fixture(scope="module")
def small_model() -> LoadedModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(3, 16, 5, stride=2), nn.ReLU(inplace=True), nn.Conv2d(16, 8, 3), nn.AdaptiveAvgPool2d(2)
        )
    preprocessing = Preprocessing(input_size=(32, 32))
    return LoadedModel("toy/small", net.eval(), preprocessing, WeightsReport("seed 0", 4, 4), "toy-small", "MIT", "-")


def _score_small(model, **resources):
    options = Resources(use_cache=False, **resources)
    found = score(model, "Simulated.V1", layers="all", metric="pls", n_bootstrap=20, resources=options)
    return {each.layer: each for each in found}


@pytest.fixture(scope="module")
def reference_scores(small_model):
    return _score_small(small_model, batch_size=64, memory=4 * 10**9, threads=1)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("memory", "scratch"), [(500_000_000, None), (4_000_000_000, None), (20_000_000, 30_000_000)])
@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_scores_depend_on_no_batch_budget_or_thread(
    small_model, reference_scores, batch_size, memory, scratch, threads
):
    got = _score_small(small_model, batch_size=batch_size, memory=memory, scratch=scratch, threads=threads)
    assert set(got) == set(reference_scores) == {"0", "1", "2", "3"}
    for layer, expected in reference_scores.items():
        assert got[layer].raw == pytest.approx(expected.raw, rel=1e-6)
        assert got[layer].ceiled == pytest.approx(expected.ceiled, rel=1e-6)
        assert got[layer].interval == pytest.approx(expected.interval, rel=1e-5)


def test_network_of_ones_own_is_scored_and_never_found_in_the_cache(small_model):
    def run(module):
        stages = []
        wrapped = from_module("mine", module, small_model.preprocessing)
        (result,) = score(
            wrapped, "Simulated.V1", layers="3", n_bootstrap=20, progress=lambda stage, *_: stages.append(stage)
        )
        return result, stages

    first, _ = run(small_model.module)
    again, stages = run(small_model.module)
    assert first.raw == pytest.approx(again.raw, rel=1e-12)
    assert "forward pass" in stages


@pytest.fixture(scope="module")
def rates() -> xr.DataArray:
    return generator_rates("V1", "test")


def _features(name: str, **layers: xr.DataArray) -> PrecomputedFeatures:
    return PrecomputedFeatures(name, layers)


def test_stimuli_are_joined_by_id_never_by_position(rates):
    (expected,) = score(_features("a", top=rates), "Simulated.V1", layers="top", metric="ridge")
    order = np.random.default_rng(0).permutation(rates.sizes["stimulus_id"])
    (shuffled,) = score(_features("b", top=rates[order]), "Simulated.V1", layers="top", metric="ridge")
    assert shuffled.raw == pytest.approx(expected.raw, rel=1e-12)


def test_layer_is_committed_without_a_look_at_the_test_data():
    """One layer knows the commitment stimuli only, the other the test stimuli only: the first must be chosen."""
    test, commitment = generator_rates("V1", "test"), generator_rates("V1", "commitment")
    rng = np.random.default_rng(0)

    def noise(like):
        return like.copy(data=rng.normal(size=like.shape))

    knows_commitment = xr.concat([commitment, noise(test)], "stimulus_id")
    knows_test = xr.concat([noise(commitment), test], "stimulus_id")
    features = _features("trap", honest=knows_commitment, tempting=knows_test)
    (committed,) = score(features, "Simulated.V1", metric="ridge")
    assert committed.layer == "honest"
    assert committed.layer_choice == "committed on Simulated.V1-commitment"
    assert committed.raw < 0.2
    assert committed.profile is not None
    assert committed.profile.layers == ("honest", "tempting")
    assert committed.profile.raw[0] > 0.9 > 0.2 > committed.profile.raw[1]
    (named,) = score(features, "Simulated.V1", layers="tempting", metric="ridge")
    assert named.raw > 0.9
    assert named.layer_choice == "user"


def test_commitment_takes_the_earliest_of_equals_and_skips_undefined_layers():
    assert commit(LayerProfile("b", ("a", "b", "c"), (float("nan"), 0.5, 0.5))) == "b"
    with pytest.raises(InvalidOption, match=r"constant.*--layers"):
        commit(LayerProfile("b", ("a",), (float("nan"),)))


def test_commitment_data_that_share_stimuli_are_leakage():
    card = get_benchmark("Simulated.V1")
    recordings = card.load(_no_files)
    other = get_benchmark("Simulated.V2")
    with pytest.raises(LeakageError, match="640 shared stimuli"):
        check_disjoint(card, recordings, other, other.load(_no_files))


def test_pooled_sessions_are_scored_one_by_one_then_aggregated_over_all_neuroids(mirror, monkeypatch):
    """Real sessions with stimuli of their own: every neuroid keeps the r it has in its own session."""
    cards = [get_benchmark(f"Cowley2023.V4-{session}") for session in ("201025", "210325")]
    rng = np.random.default_rng(0)
    arrays = []
    for card in cards:
        (recording,) = card.load(lambda file: locate(file, mirror=mirror))
        averaged = average_repetitions(recording.assembly)
        noisy = averaged.values @ rng.normal(size=(averaged.shape[1], 30))
        arrays.append(
            xr.DataArray(noisy, dims=("stimulus_id", "unit"), coords={"stimulus_id": averaged["stimulus_id"].values})
        )
    features = _features("two sessions", top=xr.concat(arrays, "stimulus_id"))

    def load(get):
        return tuple(recording for card in cards for recording in card.load(get))

    pooled_card = replace(cards[0], name="pooled", load=load, ceiling=None)
    singles = [score(features, card.name, layers="top", metric="ridge", mirror=mirror)[0] for card in cards]
    monkeypatch.setattr(alignment.evaluate, "get_benchmark", lambda name: pooled_card)
    (pooled,) = score(features, "pooled", layers="top", metric="ridge", mirror=mirror)
    assert pooled.unit_raw == singles[0].unit_raw + singles[1].unit_raw
    assert (pooled.n_stimuli, pooled.n_neuroids) == (1840, 139)
    assert singles[0].unit_ids + singles[1].unit_ids == pooled.unit_ids
    assert len(set(pooled.unit_ids)) == 139


def test_no_ceiling_is_said_plainly(mirror):
    (recording,) = get_benchmark("Cowley2023.V4-201025").load(lambda file: locate(file, mirror=mirror))
    averaged = average_repetitions(recording.assembly)
    ids = averaged["stimulus_id"].values
    itself = xr.DataArray(averaged.values, dims=("stimulus_id", "unit"), coords={"stimulus_id": ids})
    features = _features("itself", top=itself)
    (result,) = score(features, "Cowley2023.V4-201025", layers="top", metric="ridge", mirror=mirror)
    assert result.raw > 0.99
    assert (result.ceiling, result.ceiled, result.interval_of) == (None, None, "raw")
    assert result.interval == result.raw_interval


def test_refusals_name_what_to_do(rates):
    features = _features("a", top=rates)
    with pytest.raises(UnknownName, match=r"did you mean Simulated\.V1"):
        score(features, "Simulated.V11", layers="top")
    with pytest.raises(UnknownName, match="did you mean ridge"):
        score(features, "Simulated.V1", layers="top", metric="rigde")
    with pytest.raises(UnknownName, match="did you mean top"):
        score(features, "Simulated.V1", layers="tops")
    with pytest.raises(ShapeMismatch, match=r"none for 1, the first 'sim-"):
        score(_features("a", top=rates[1:]), "Simulated.V1", layers="top")
    with pytest.raises(InvalidOption, match=r"got a Linear; wrap .* model_zoo\.from_module"):
        score(nn.Linear(2, 2), "Simulated.V1")
    with pytest.raises(InvalidOption, match=r"model_zoo\.load_model"):
        score(features, "Simulated.V1", weights="weights.pt")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"benchmark": []}, "expected a name, got none"),
        ({"layers": 3}, "expected names, got 3"),
        ({"decision": "guess"}, "one of auto, head, readout"),
        ({"decision": "head"}, "it would change nothing"),
        ({"metric": "error_consistency"}, "a metric for recording: .*pls.*ridge"),
        ({"resources": Resources(device="cuda:9")}, "not available here"),
    ],
)
def test_what_cannot_be_scored_is_refused_before_any_work(options, message):
    features = _features(
        "none", top=xr.DataArray(np.eye(2), dims=("stimulus_id", "f"), coords={"stimulus_id": ["a", "b"]})
    )
    with pytest.raises(InvalidOption, match=message):
        score(features, **{"benchmark": "Simulated.V1", **options})


def test_repeats_that_disagree_leave_a_raw_score_and_say_why():
    rng = np.random.default_rng(4)
    ids = [f"s{number}" for number in range(40)]
    values = rng.normal(size=(40, 3))
    repeats = np.concatenate([values, -values + 0.1 * rng.normal(size=(40, 3))])  # the second contradicts the first
    assembly = make_assembly(
        repeats, stimulus_ids=ids * 2, repetitions=[0] * 40 + [1] * 40, neuroid_ids=list("abc"), region="V1", unit="x"
    )
    pixels = {each: np.full((8, 8, 3), number, np.uint8) for number, each in enumerate(ids)}
    card = replace(get_benchmark("Simulated.V1"), n_repeats=2, stratification=None)
    recording = Recording(assembly, from_arrays(pixels, visual_degrees=8.0))
    gram = Gram.of(rng.normal(size=(40, 60)), ids)
    job = RecordingJob.of(card, get_metric("ridge"), (recording,), None)
    found = job.score("noise", (Layer("top", (60,), "x", 0, True),), job.measure(lambda _: gram, 1), 50)
    assert found.ceiling is not None
    assert found.ceiling < 0
    assert found.ceiled is None
    assert found.interval == found.raw_interval
    assert found.interval_of == "raw"
    assert "repeats of a stimulus do not agree" in found.note
