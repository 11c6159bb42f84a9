"""RDMs of layers against those of recordings: value, influence of stimuli and neuroids, undefined RDMs, ceilings."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import squareform

from alignment import get_metric, list_metrics, rdm_similarity, score
from alignment.contracts import GeometryMetric, Similarity
from alignment.gram import Gram
from alignment.rdm_similarity import as_similarity
from alignment.rdms import model_rdm, rdm_of
from alignment.subjects import PrecomputedFeatures
from benchmarks import get_benchmark, simulation
from benchmarks.assemblies import to_repeats
from benchmarks.ceilings import split_halves
from benchmarks.simulation import Design

CARDS = tuple(card for card in list_metrics() if isinstance(card, GeometryMetric))
COMPARATORS = tuple(card for card in CARDS if not card.name.startswith("rsa-spearman-"))
each_card = pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
each_comparator = pytest.mark.parametrize("card", COMPARATORS, ids=lambda card: card.name)
each_distance = pytest.mark.parametrize("distance", ["correlation", "cosine", "euclidean"])
N = 30
IDS = tuple(f"s{row:02d}" for row in range(N))
ROWS = np.arange(N)


def planted(n_neuroids: int = 17, n_features: int = 90, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return features and responses that share some of their latent variables."""
    rng = np.random.default_rng(seed)
    latents = rng.normal(size=(N, 6))
    features = latents @ rng.normal(size=(6, n_features)) + 0.5 * rng.normal(size=(N, n_features))
    return features, latents @ rng.normal(size=(6, n_neuroids)) + rng.normal(size=(N, n_neuroids))


def compared(card: GeometryMetric, features: np.ndarray, responses: np.ndarray) -> Similarity:
    metric = as_similarity(card)
    return metric.compare(Gram.of(features, IDS), ROWS, metric.prepare(responses))


def value_of(card: GeometryMetric, features: np.ndarray, responses: np.ndarray) -> float:
    """The comparison as geometries are scored."""
    rdms = [rdm_of(side, card.dissimilarity) for side in (features, responses)]
    return card.compare(rdms[0], rdms[1][None])[0]


@pytest.mark.parametrize("n_features", [12, 90], ids=["narrow", "wide"])
@each_distance
@each_comparator
def test_the_value_is_that_of_rdms_of_geometries(card, distance, n_features):
    card = replace(card, dissimilarity=distance)
    features, responses = planted(n_features=n_features)
    found = compared(card, features, responses)
    model = model_rdm(Gram.of(features, IDS), distance, IDS)
    expected = card.compare(model, rdm_of(responses, distance)[None])[0]
    assert found.value == pytest.approx(expected, abs=1e-12)
    assert found.value == pytest.approx(as_similarity(card).reference(features, responses), abs=1e-9)
    assert found.by_stimulus.shape == (N,)
    assert found.by_neuroid.shape == (17,)


@each_card
def test_rows_say_where_in_the_gram_the_stimuli_are(card):
    features, responses = planted()
    metric, shuffled = as_similarity(card), np.random.default_rng(1).permutation(N)
    brain = metric.prepare(responses[shuffled][:20])
    found = metric.compare(Gram.of(features, IDS), shuffled[:20], brain)
    again = compared(card, features, responses)
    assert found.value == pytest.approx(value_of(card, features[shuffled[:20]], responses[shuffled[:20]]), abs=1e-9)
    whole = metric.compare(Gram.of(features, IDS), shuffled, metric.prepare(responses[shuffled]))
    np.testing.assert_allclose(whole.by_stimulus, again.by_stimulus[shuffled], atol=1e-9)


@pytest.mark.parametrize("decimals", [9, 0], ids=["no ties", "ties"])
@each_comparator
def test_influence_is_the_derivative_by_how_often_a_stimulus_is_drawn(card, decimals):
    """Against numerical derivatives of the weighted comparison, which shares no code with the closed form."""
    rng = np.random.default_rng(2)
    model, brain = np.round(8 * rng.gamma(3, size=(2, N * (N - 1) // 2)), decimals) + 1
    assert card.expansion is not None
    _, found, _ = card.expansion.compare(model, card.expansion.prepare(brain, ()))
    if card.name == "rsa-kendall":  # is defined for whole counts only: concordant less discordant entries of its pairs
        signs = np.sign(model[:, None] - model) * np.sign(brain[:, None] - brain)
        expected = squareform(signs.sum(axis=1)).sum(axis=1) * 2 * N / (len(model) * (len(model) - 1))
    else:
        step = 1e-5 * np.eye(N)
        drawn = card.compare_draws(model[None], brain[None], np.concatenate([1 + step, 1 - step]))[0, :, 0]
        expected = N * (drawn[:N] - drawn[N:]) / 2e-5
    np.testing.assert_allclose(found, expected - expected.mean(), atol=1e-7 * N)
    assert found.std() > 0.05
    assert found.sum() == pytest.approx(0, abs=1e-9)


@each_card
def test_influences_predict_what_is_left_without_a_stimulus(card):
    features, responses = planted()
    found = compared(card, features, responses).by_stimulus
    left = [value_of(card, np.delete(features, row, 0), np.delete(responses, row, 0)) for row in range(N)]
    jackknife = (N - 1) * (np.mean(left) - left)
    assert np.corrcoef(found, jackknife)[0, 1] > 0.99
    assert jackknife.std() / found.std() == pytest.approx(1.05, abs=0.1)


@each_card
def test_a_stimulus_drawn_twice_changes_the_score_as_its_influence_says(card):
    features, responses = planted()
    found = compared(card, features, responses)
    rdms = [rdm_of(side, card.dissimilarity) for side in (features, responses)]
    counts = np.ones((N, N)) + np.eye(N)
    drawn = card.compare_draws(rdms[0][None], rdms[1][None], counts)[0, :, 0]
    changes = N * (drawn - drawn.mean())
    assert np.corrcoef(changes, found.by_stimulus)[0, 1] > 0.99
    assert changes.std() / found.by_stimulus.std() == pytest.approx(0.95, abs=0.1)


@each_card
def test_influences_of_few_neuroids_are_the_jackknife(card):
    features, responses = planted()
    found = compared(card, features, responses).by_neuroid
    left = np.array([value_of(card, features, np.delete(responses, number, 1)) for number in range(17)])
    expected = 16 * (left.mean() - left)
    np.testing.assert_allclose(found, expected, atol=2e-3 * np.abs(expected).max())


@each_card
def test_many_neuroids_are_dealt_to_groups_that_add_up_to_them(card):
    features, responses = planted(n_neuroids=113)
    found = compared(card, features, responses).by_neuroid
    assert len(found) == (38 if card.name != "rsa-kendall" else 19)
    assert card.expansion is not None
    alone = compared(replace(card, expansion=replace(card.expansion, most_groups=113)), features, responses).by_neuroid
    groups = rdm_similarity.groups_of(113, len(found))
    assert np.ptp([len(group) for group in groups]) <= 1
    expected = np.array([alone[group].sum() for group in groups]) * len(found) / 113
    assert np.corrcoef(found, expected)[0, 1] > 0.97
    assert found.std() / expected.std() == pytest.approx(1, abs=0.1)


def test_rdms_without_neuroids_take_no_more_memory_than_told(monkeypatch):
    features, responses = planted()
    monkeypatch.setattr(rdm_similarity, "_BYTES", 6 * 4 * N * N // 2)
    card = get_metric("rsa-spearman")
    metric = as_similarity(card)
    brain = metric.prepare(responses)
    assert len(brain.group_sizes) == 6
    assert sum(each.nbytes for each in brain.prepared.without) <= 6 * 4 * N * N // 2
    assert metric.compare(Gram.of(features, IDS), ROWS, brain).value == compared(card, features, responses).value


@pytest.mark.parametrize("side", ["layer", "responses"])
@pytest.mark.parametrize("n_features", [12, 90], ids=["narrow", "wide"])
@each_card
def test_what_is_undefined_is_nan(card, n_features, side):
    features, responses = planted(n_features=n_features)
    flat = features if side == "layer" else responses
    if card.dissimilarity == "euclidean":
        flat[:] = flat[0]  # no distances at all
    else:
        flat[3] = 2.0 if card.dissimilarity == "correlation" else 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = compared(card, features, responses)
    assert np.isnan(found.value)
    assert np.isnan(found.by_stimulus).all()
    assert np.isnan(found.by_neuroid).all()


@each_card
def test_two_stimuli_or_one_neuroid_are_too_few(card):
    features, responses = planted()
    metric = as_similarity(card)
    pair = metric.compare(Gram.of(features[:2], IDS[:2]), np.arange(2), metric.prepare(responses[:2]))
    assert np.isnan(pair.value) or card.name in ("rsa-cosine", "rsa-whitened")  # a cosine of one entry is 1
    assert np.isnan(compared(card, features, responses[:, :1]).by_neuroid).all()


@each_card
def test_a_population_is_like_itself_and_like_what_its_dissimilarity_ignores(card):
    _, responses = planted(n_neuroids=40)
    rng = np.random.default_rng(3)
    rotation = np.linalg.qr(rng.normal(size=(40, 40)))[0]
    gain = rng.uniform(0.5, 2, size=(N, 1))
    same = {
        "correlation": [7 * responses, responses * gain + gain**2],
        "cosine": [responses @ rotation, responses * gain],
        "euclidean": [3 * responses @ rotation, responses + rng.normal(size=40)],
    }
    for features in same[card.dissimilarity]:
        assert compared(card, features, responses).value == pytest.approx(1, abs=1e-9)
    noticed = responses + 3 * rng.normal(size=40) if card.dissimilarity != "euclidean" else responses * gain
    assert compared(card, noticed, responses).value < 1 - 1e-4


def test_whitened_squared_distances_of_a_layer_and_a_population_are_linear_cka():
    features, responses = planted()
    centred = [side - side.mean(axis=0) for side in (features, responses)]
    products = [side @ side.T for side in centred]
    cka = np.vdot(*products) / np.prod([np.linalg.norm(product) for product in products])
    card = replace(get_metric("rsa-whitened"), dissimilarity="euclidean")
    assert compared(card, features, responses).value == pytest.approx(cka, abs=1e-12)


def test_only_metrics_with_an_expansion_score_recordings():
    recording, metric = get_benchmark("Simulated.V4"), get_metric("rsa-spearman")
    assert metric.fits(recording)
    assert not replace(metric, expansion=None).fits(recording)


def test_a_benchmark_of_recordings_is_scored_by_several_metrics_at_once():
    model = PrecomputedFeatures("generator", {"V4": simulation.generator_rates("V4")})
    found = score(model, "Simulated.V4", layers=["V4"], metric=["rsa-spearman", "rsa-cosine"], n_bootstrap=50)
    (recording,) = get_benchmark("Simulated.V4").load(lambda file: pytest.fail(f"asked for {file}"))
    repeats, ids = to_repeats(recording.assembly)
    rates = simulation.generator_rates("V4").sel(stimulus_id=list(ids)).values
    for each in found:
        assert each.raw == pytest.approx(value_of(get_metric(each.metric), rates, repeats.mean(axis=1)), abs=1e-6)
        assert 0 < each.error < 0.05
    assert found[0].ceiled == pytest.approx(1, abs=0.02)
    assert found[1].ceiled is None


@pytest.mark.once
@each_card
def test_a_model_that_is_right_reaches_the_ceiling_where_there_is_one(card):
    """Ceilings are Spearman-Brown corrected reliabilities of the RDM; noise adds to distances, and is not linear."""
    ceiled = []
    for seed in range(3):
        design = Design("V4", n_stimuli=120, n_neuroids=40, n_repeats=10, noise=4.0, seed=seed)
        repeats, _ = to_repeats(simulation.simulate(design).assembly)
        raw = value_of(card, simulation.design_rates(design).values, repeats.mean(axis=1))
        halves = [value_of(card, *half) for half in split_halves(repeats, n_splits=4)]
        ceiled.append(raw / np.sqrt(np.mean([2 * r / (1 + r) for r in halves])))
    if card.recording_rule is None:
        assert card.name in ("rsa-kendall", "rsa-cosine")
        assert np.mean(ceiled) < 0.995
    else:
        assert card.recording_rule == "raw/sqrt(ceiling)"
        assert np.mean(ceiled) == pytest.approx(1, abs=0.02)


@pytest.mark.once
@pytest.mark.parametrize("what", ["stimuli", "neuroids"])
@each_comparator
def test_influences_give_the_spread_over_fresh_experiments(card, what):
    """A layer and neuroids that are rectified projections of the same latent variables."""
    rng = np.random.default_rng(4)
    n_stimuli, n_neuroids, n_latents = 50, 30, 8
    metric, readout = as_similarity(card), rng.normal(size=(n_latents, 40))
    ids, rows = [str(row) for row in range(n_stimuli)], np.arange(n_stimuli)
    latents, tuning = rng.normal(size=(n_stimuli, n_latents)), rng.normal(size=(n_latents, n_neuroids))
    values, variances = [], []
    for _ in range(120 if card.name != "rsa-kendall" else 60):
        if what == "stimuli":
            latents = rng.normal(size=(n_stimuli, n_latents))
        else:
            tuning = rng.normal(size=(n_latents, n_neuroids))
        brain = metric.prepare(np.maximum(latents @ tuning + 0.5, 0))
        found = metric.compare(Gram.of(np.maximum(latents @ readout, 0), ids), rows, brain)
        influence = found.by_stimulus if what == "stimuli" else found.by_neuroid
        values.append(found.value)
        variances.append((influence**2).sum() / len(influence) ** 2)
    assert np.sqrt(np.mean(variances)) / np.std(values) == pytest.approx(1.03, abs=0.2)
