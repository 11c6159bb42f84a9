"""Jobs of similarity metrics: errors by expansion, ceilings from halves, neuroids left out, layers chosen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from alignment import get_metric
from alignment.contracts import Similarity
from alignment.gram import Gram
from alignment.jobs import Run, commit_layers
from alignment.reduction import Resources
from alignment.similarities import (
    UNDEFINED,
    UNRELIABLE,
    SimilarityJob,
    bounded,
    contributions,
    reliability,
    replicates,
    spearman_brown_of_halves,
)
from alignment.subjects import PrecomputedFeatures
from benchmarks import get_benchmark, simulation
from benchmarks.ceilings import spearman_brown, split_halves
from benchmarks.simulation import Design
from model_zoo.contracts import Layer
from model_zoo.errors import DataIntegrity

CARD = get_benchmark("Simulated.V4")
DESIGN = Design("V4", n_stimuli=80, n_neuroids=12, n_repeats=6)
LAYER = Layer("top", (12,), "precomputed", 0, True)


def job_of(metric: str = "cka", *designs: Design, recordings=None) -> SimilarityJob:
    data = recordings or [simulation.simulate(each) for each in designs or (DESIGN,)]
    return SimilarityJob.of(CARD, get_metric(metric), data, None)


def gram_of(design: Design = DESIGN, order=slice(None)) -> Gram:
    rates = simulation.design_rates(design)
    features = rates.values[order][:, :7]
    return Gram.of(features, [str(each) for each in rates["stimulus_id"].values[order]])


def score_of(job: SimilarityJob, *grams: Gram, n_bootstrap: int = 300):
    measured = job.measure(lambda number: grams[number], None)
    return job.score("mine", [LAYER], measured, n_bootstrap)


def test_a_score_says_what_it_rests_on():
    job = job_of()
    found = score_of(job, gram_of())
    assert (found.raw, found.measure, found.kind) == (
        job.raw(job.measure(lambda _: gram_of(), None)),
        "CKA",
        "recording",
    )
    assert (found.n_stimuli, found.n_neuroids, found.n_repeats, found.n_splits) == (80, 12, 6, 0)
    assert np.isnan(found.split_error)
    assert found.unit == "neuroids"
    assert found.unit_ids == job.targets[0].neuroid_ids
    assert found.interval[0] < found.ceiled < found.interval[1]
    assert found.raw_interval[0] < found.raw < found.raw_interval[1]
    evidence = found.evidence
    assert (evidence.raw.shape, evidence.by_stimulus.shape) == ((3, 300), (80,))
    assert evidence.by_stimulus.mean() == pytest.approx(found.raw)
    assert np.mean(found.unit_raw) == pytest.approx(found.raw)
    stimuli, neuroids, both = np.arctanh(evidence.raw) - np.arctanh(found.raw)  # changes add up on Fisher's scale
    np.testing.assert_allclose(both, stimuli + neuroids, atol=1e-9)
    assert found.evidence.pairing == score_of(job, gram_of()).evidence.pairing


def test_stimuli_are_joined_by_id():
    order = np.random.default_rng(1).permutation(80)
    one, two = score_of(job_of(), gram_of()), score_of(job_of(), gram_of(order=order))
    assert two.raw == pytest.approx(one.raw, abs=1e-12)
    np.testing.assert_allclose(two.evidence.by_stimulus, one.evidence.by_stimulus, atol=1e-9)


def test_replicates_vary_as_the_influences_say():
    rng = np.random.default_rng(2)
    some = Similarity(0.3, rng.normal(size=50), rng.normal(size=8))
    draws = replicates([[some], [some]], 20_000, np.random.default_rng(0))
    assert np.array_equal(draws[0], draws[1])
    for side, influence in enumerate((some.by_stimulus, some.by_neuroid)):
        assert draws[0, side].mean() == pytest.approx(0.3, abs=0.01)
        assert draws[0, side].std() == pytest.approx(influence.std() / np.sqrt(len(influence)), rel=0.03)


def test_several_recordings_are_averaged_with_their_influences():
    designs = DESIGN, replace(DESIGN, n_stimuli=96, n_neuroids=9, seed=3)
    grams = [gram_of(each) for each in designs]
    apart = [
        job_of("cka", each).measure(lambda _, gram=gram: gram, None)[0]
        for each, gram in zip(designs, grams, strict=True)
    ]
    found = score_of(job_of("cka", *designs), *grams, n_bootstrap=4000)
    assert found.raw == pytest.approx((apart[0].value + apart[1].value) / 2)
    assert (found.n_stimuli, found.n_neuroids, len(found.unit_ids)) == (176, 21, 21)
    assert found.evidence.by_stimulus.mean() == pytest.approx(found.raw)
    error = np.sqrt(sum(each.by_stimulus.var() / len(each.by_stimulus) for each in apart)) / 2
    assert found.evidence.raw[0].std() == pytest.approx(error, rel=0.05)
    np.testing.assert_array_equal(contributions(0.5, [np.zeros(3), np.zeros(2)]), np.full(5, 0.5))


def test_a_model_that_is_the_noise_free_population_reaches_the_ceiling():
    design = replace(DESIGN, n_stimuli=200, n_neuroids=30, noise=3.0)
    rates = simulation.design_rates(design)
    gram = Gram.of(rates.values, [str(each) for each in rates["stimulus_id"].values])
    found = score_of(job_of("cka", design), gram)
    assert found.raw < 0.95
    assert found.ceiled == pytest.approx(found.raw / np.sqrt(found.ceiling))
    assert found.ceiled == pytest.approx(1, abs=0.02)
    assert found.ceiled_rule == "raw/sqrt(ceiling)"
    assert found.ceiling_interval[0] < found.ceiling < found.ceiling_interval[1]


@pytest.mark.parametrize("metric", ["cka-biased", "procrustes", "shape_angle"])
def test_what_has_no_rule_has_no_ceiling(metric):
    found = score_of(job_of(metric), gram_of())
    assert (found.ceiling, found.ceiled, found.ceiled_rule, found.interval_of) == (None, None, "raw", "raw")
    assert found.interval == found.raw_interval


def test_biased_cka_could_not_be_related_to_a_ceiling():
    """With few stimuli and many neuroids noise raises it in all comparisons: the rule would put the truth beyond 1."""
    rng = np.random.default_rng(4)
    rates = rng.normal(size=(40, 5)) @ rng.normal(size=(5, 100))
    repeats = rates[:, None] + 3 * rates.std() * rng.normal(size=(40, 6, 100))
    card = get_metric("cka-biased")
    ceiling = reliability(card, split_halves(repeats), repeats.mean(axis=1)).value
    raw = card.compare(
        Gram.of(rates, [str(row) for row in range(40)]), np.arange(40), card.prepare(repeats.mean(axis=1))
    )
    assert abs(raw.value / np.sqrt(ceiling) - 1) > 0.03


def test_spearman_brown_of_halves_and_its_influences():
    rng = np.random.default_rng(5)
    signal = rng.normal(size=(40, 3)) @ rng.normal(size=(3, 30))
    first, second = (signal + rng.normal(size=(40, 30)) for _ in range(2))
    card = replace(get_metric("cka"), reliability=None)

    def corrected(one, two):
        gram = Gram.of(one, [str(row) for row in range(len(one))])
        return float(spearman_brown(card.compare(gram, np.arange(len(one)), card.prepare(two)).value))

    found = spearman_brown_of_halves(card, first, second, signal)
    assert found.value == pytest.approx(corrected(first, second))
    swapped = spearman_brown_of_halves(card, second, first, signal)
    on_average = (found.by_neuroid + swapped.by_neuroid) / 2  # which half is first is chance
    for influence, axis, least in ((found.by_stimulus, 0, 0.99), (on_average, 1, 0.85)):
        n = len(influence)
        left = np.array([corrected(np.delete(first, i, axis), np.delete(second, i, axis)) for i in range(n)])
        expected = (n - 1) * (left.mean() - left)
        assert np.corrcoef(influence, expected)[0, 1] > least
        assert 0.4 < (influence @ expected) / (influence @ influence) < 1.3  # too large rather than too small


def test_a_halving_uses_the_stimuli_that_both_halves_have():
    rng = np.random.default_rng(6)
    repeats = rng.normal(size=(40, 1, 5)) + rng.normal(size=(40, 4, 5))
    halves, whole = split_halves(repeats), repeats.mean(axis=1)
    holed = tuple((np.where(np.arange(40)[:, None] < 10, np.nan, first), second) for first, second in halves)
    card = get_metric("cka")
    found = reliability(card, holed, whole)
    rest = reliability(card, tuple((first[10:], second[10:]) for first, second in halves), whole[10:])
    assert found.value == pytest.approx(rest.value)
    np.testing.assert_allclose(found.by_stimulus[10:], rest.by_stimulus * 40 / 30)
    assert not found.by_stimulus[:10].any()
    nothing = tuple((np.full_like(first, np.nan), second) for first, second in halves)
    assert reliability(card, nothing, whole) is None


def test_halves_that_do_not_agree_give_no_ceiled_score():
    job = job_of()
    noise = np.random.default_rng(7)
    (target,) = job.targets
    apart = tuple((noise.normal(size=(80, 12)), -first) for first, _ in target.halves)
    made = replace(job, targets=(replace(target, halves=tuple((-second, second) for _, second in apart)),))
    found = score_of(replace(made, targets=(replace(target, halves=apart),)), gram_of())
    assert found.ceiling is not None
    assert (found.ceiled is None) == (not found.ceiling > 0)
    flat = replace(job, targets=(replace(target, halves=((np.zeros((80, 12)), np.ones((80, 12))),)),))
    assert score_of(flat, gram_of()).note == UNRELIABLE


def holed(recording, neuroids):
    values = recording.assembly.values.copy()
    rows = recording.assembly["stimulus_id"].values == recording.assembly["stimulus_id"].values[0]
    values[np.ix_(rows, neuroids)] = np.nan
    return replace(recording, assembly=recording.assembly.copy(data=values))


def test_neuroids_that_miss_a_stimulus_are_left_out():
    recording = simulation.simulate(DESIGN)
    job = job_of(recordings=[holed(recording, [0, 5])])
    found = score_of(job, gram_of())
    assert found.note == "2 of 12 neuroids miss a stimulus and are left out"
    assert (found.n_neuroids, len(found.unit_ids)) == (10, 10)
    assert found.ceiled is not None
    kept = np.delete(np.arange(12), [0, 5])
    alone = job_of(recordings=[replace(recording, assembly=recording.assembly.isel(neuroid=kept))])
    assert found.raw == pytest.approx(score_of(alone, gram_of()).raw)


def test_no_complete_neuroid_is_an_error():
    with pytest.raises(DataIntegrity, match="expected neuroids that were recorded for every"):
        job_of(recordings=[holed(simulation.simulate(DESIGN), range(12))])


def test_a_constant_layer_has_no_score():
    gram = Gram.of(np.ones((80, 7)), gram_of().stimulus_ids)
    found = score_of(job_of(), gram)
    assert np.isnan(found.raw)
    assert UNDEFINED in found.note


def test_groups_of_neuroids_are_named():
    design = replace(DESIGN, n_neuroids=50)
    found = score_of(job_of("procrustes", design), gram_of(design))
    assert len(found.unit_ids) == len(found.unit_raw) == 20
    assert sum(" and 1 others" in each or " and 2 others" in each for each in found.unit_ids) == 20


@pytest.mark.parametrize("metric", ["cka", "shape_angle"])
def test_the_layer_is_the_most_similar_one_whichever_way_the_metric_points(metric):
    rates = simulation.design_rates(DESIGN)
    noise = np.random.default_rng(8).normal(size=(80, 12))
    ids = {"stimulus_id": rates["stimulus_id"].values}
    features = {
        name: xr.DataArray(values, dims=("stimulus_id", "feature"), coords=ids)
        for name, values in (("noise", noise), ("right", rates.values), ("other", noise[:, ::-1] ** 2))
    }
    run = Run(PrecomputedFeatures("mine", features), Resources())
    (chosen,) = commit_layers({0: job_of(metric)}, run).values()
    assert chosen.layer.name == "right"
    assert chosen.profile.raw[1] == pytest.approx(1, abs=0.1) if metric == "cka" else chosen.profile.raw[1] < 0.5


@pytest.mark.once
def test_errors_are_those_of_other_samples_of_stimuli():
    """Over 80 experiments with other stimuli and the same neuroids, the spread of CKA is what one of them says."""
    rng = np.random.default_rng(9)
    maps = rng.normal(size=(30, 20)), rng.normal(size=(30, 20))
    card = get_metric("cka")
    values, errors = [], []
    for _ in range(80):
        latent = rng.normal(size=(200, 30)) * np.geomspace(2, 0.2, 30)
        features, responses = (latent @ each + rng.normal(size=(200, 20)) for each in maps)
        gram = Gram.of(features, [str(row) for row in range(200)])
        found = card.compare(gram, np.arange(200), card.prepare(responses))
        values.append(found.value)
        errors.append(found.by_stimulus.std() / np.sqrt(200))
    assert 0.85 < np.mean(errors) / np.std(values) < 1.3


def test_replicates_of_a_bounded_value_keep_its_error_and_stay_within_bounds():
    value, changes = 0.9, np.random.default_rng(0).normal(0, 0.08, 50_000)
    found = bounded(value, value + changes)
    assert (np.abs(found) < 1).all()
    assert (value + changes).max() > 1
    small = bounded(value, value + changes / 100)
    np.testing.assert_allclose(small, value + changes / 100, atol=1e-4)  # to first order nothing changes
    low, high = np.quantile(found, [0.025, 0.975])
    assert value - low > 1.5 * (high - value)
    np.testing.assert_array_equal(bounded(1.0, np.array([0.9, 1.1])), [0.9, 1.1])
