"""RDMs from Gram matrices, their comparison, and the scores and errors of layers held against them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform

from alignment import get_metric, list_metrics
from alignment.contracts import GeometryMetric
from alignment.geometries import GeometryJob, bootstrap
from alignment.gram import Gram
from alignment.rdms import model_rdm, noise_ceiling
from alignment.statistics import summarise
from benchmarks.contracts import BenchmarkCard, Geometry
from benchmarks.stimuli import from_arrays
from model_zoo.contracts import Layer
from model_zoo.errors import ShapeMismatch

CARDS = [card for card in list_metrics() if isinstance(card, GeometryMetric)]
each_card = pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
N = 24
IDS = tuple(f"s{row:02d}" for row in range(N))
LAYER = Layer("top", (50,), "precomputed", 0, True)


def features(n_features: int, seed: int = 0, offset: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(N, n_features)) * rng.exponential(size=n_features) + offset


@pytest.mark.parametrize("offset", [0.0, 30.0])
@pytest.mark.parametrize("n_features", [5, 400], ids=["narrow", "wide"])
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("correlation", lambda x: pdist(x, "correlation")),
        ("cosine", lambda x: pdist(x, "cosine")),
        ("euclidean", lambda x: pdist(x, "sqeuclidean") / x.shape[1]),
    ],
)
def test_a_gram_gives_the_rdm_of_its_features(kind, expected, n_features, offset):
    x = features(n_features, offset=offset)
    gram = Gram.of(x, IDS)
    assert (gram.matrix is None) == (n_features == 5)
    np.testing.assert_allclose(model_rdm(gram, kind, IDS), expected(x), rtol=0, atol=1e-10)
    backwards = tuple(reversed(IDS[:10]))
    np.testing.assert_allclose(model_rdm(gram, kind, backwards), expected(x[:10][::-1]), rtol=0, atol=1e-10)


@pytest.mark.parametrize("n_features", [5, 400])
@pytest.mark.parametrize(("kind", "value"), [("correlation", 2.0), ("cosine", 0.0)])
def test_a_stimulus_without_variation_has_no_dissimilarity(kind, value, n_features):
    x = features(n_features).astype(np.float32)
    x[3] = value
    rdm = squareform(model_rdm(Gram.of(x, IDS), kind, IDS), checks=False)
    undefined = np.zeros((N, N), dtype=bool)
    undefined[3] = undefined[:, 3] = True
    np.fill_diagonal(undefined, False)
    assert np.array_equal(np.isnan(rdm), undefined)


@each_card
def test_an_undefined_rdm_scores_nan_and_leaves_others_alone(card):
    rng = np.random.default_rng(0)
    rdms = 0.1 + rng.random((4, N * (N - 1) // 2))
    hole = rdms[0].copy()
    hole[7] = np.nan
    assert np.isnan(card.compare(hole, rdms)).all()
    found = card.compare_draws(np.stack([hole, rdms[1]]), rdms, np.ones((2, N)))
    assert np.isnan(found[0]).all()
    np.testing.assert_allclose(found[1], np.tile(card.compare(rdms[1], rdms), (2, 1)), atol=1e-12)


@each_card
def test_comparisons_equal_their_slow_reference(card):
    rng = np.random.default_rng(1)
    rdms = np.round(0.1 + rng.random((4, N * (N - 1) // 2)), 2)
    np.testing.assert_allclose(card.compare(rdms[0], rdms[1:]), card.reference(rdms[0], rdms[1:]), rtol=0, atol=1e-10)
    same = card.compare(rdms[0], rdms[:1])[0]
    assert 0.95 < same < 1 if card.name == "rsa-kendall" else same == pytest.approx(1)  # ties are not rewarded


def test_whitened_cosine_of_squared_distances_is_linear_cka():
    x, y = features(40), features(7, seed=1)
    grams = [z - z.mean(axis=0) for z in (x, y)]
    products = [z @ z.T for z in grams]
    cka = np.vdot(*products) / np.prod([np.linalg.norm(product) for product in products])
    rdms = [pdist(z, "sqeuclidean") for z in (x, y)]
    assert get_metric("rsa-whitened").compare(rdms[0], rdms[1][None])[0] == pytest.approx(cka, abs=1e-12)


@pytest.mark.parametrize("name", ["rsa-pearson", "rsa-cosine"])
def test_no_rdm_agrees_better_with_all_subjects_than_their_pool(name):
    card, rng = get_metric(name), np.random.default_rng(2)
    subjects = (rng.random(45) + 0.5 * rng.random((5, 45))) * np.array([[1], [1], [1], [1], [20]])
    pool = card.pool(subjects)
    best = card.compare(pool, subjects).mean()
    for _ in range(50):
        assert card.compare(pool + 0.02 * pool.std() * rng.normal(size=45), subjects).mean() < best
    upper, lower = noise_ceiling(card.compare, card.pool, subjects)
    assert lower < upper == best


def geometry(n_subjects: int = 6, noise: float = 0.4, seed: int = 0, prefix: str = "") -> tuple[Geometry, np.ndarray]:
    """Return subjects that share the geometry of 50 features but for noise, and these features."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(N, 50))
    rdms = [pdist(shared + noise * rng.normal(size=shared.shape), "correlation") for _ in range(n_subjects)]
    pixels = {prefix + name: rng.integers(0, 255, (8, 8, 3)).astype(np.uint8) for name in IDS}
    subjects = tuple(f"{prefix}subject{number}" for number in range(n_subjects))
    stimuli = from_arrays(pixels, visual_degrees=4)
    return Geometry(np.stack(rdms), subjects, stimuli, "1 - Pearson's r"), shared


def card_of(**changes) -> BenchmarkCard:
    words = dict.fromkeys(("species", "description", "licence", "citation"), "-")
    facts = {"name": "Planted.IT", "version": 3, "region": "IT", "kind": "geometry", "visual_degrees": 4.0, **words}
    counts = {"n_stimuli": N, "n_neuroids": 0, "n_repeats": 1, "load": lambda get: (), "ceiling": "between_subjects"}
    return BenchmarkCard(**{**facts, **counts, **changes})


def scored(data, gram_of, name="rsa-pearson", card=None, n_bootstrap=200):
    job = GeometryJob.of(card or card_of(), get_metric(name), data, None).with_layers((LAYER,))
    measured = job.measure(gram_of, None)
    score = job.score("planted", (LAYER,), measured, n_bootstrap)
    assert score.raw == pytest.approx(job.raw(measured), abs=0, nan_ok=True)
    return score


@each_card
def test_a_layer_is_joined_by_id_and_held_against_every_subject(card):
    data, shared = geometry()
    order = np.random.default_rng(1).permutation(N)
    gram = Gram.of(shared[order], [IDS[row] for row in order])
    score = scored([data], lambda stimuli: gram, card.name)
    expected = card.compare(model_rdm(Gram.of(shared, IDS), card.dissimilarity, IDS), data.rdms)
    assert score.unit_raw == pytest.approx(tuple(expected), abs=1e-9)
    assert score.raw == pytest.approx(expected.mean())
    assert (score.ceiling, score.ceiling_lower) == pytest.approx(noise_ceiling(card.compare, card.pool, data.rdms))
    assert score.ceiled == pytest.approx(score.raw / score.ceiling)
    assert score.interval[0] < score.ceiled < score.interval[1]
    assert 0 < score.error < 0.2
    assert (score.kind, score.unit, score.unit_ids) == ("geometry", "subject", data.subject_ids)
    assert (score.ceiled_rule, score.interval_of, score.n_subjects, score.n_stimuli) == ("raw/ceiling", "ceiled", 6, N)


def test_several_geometries_are_scored_together():
    (one, first), (two, second) = geometry(4), geometry(2, seed=9, prefix="b")
    grams = {one.stimuli.ids: Gram.of(first, one.stimuli.ids), two.stimuli.ids: Gram.of(second, two.stimuli.ids)}
    both = scored([one, two], lambda n: grams[(one, two)[n].stimuli.ids])
    alone = [scored([each], lambda _, each=each: grams[each.stimuli.ids]) for each in (one, two)]
    assert both.unit_raw == alone[0].unit_raw + alone[1].unit_raw
    assert both.unit_ids == one.subject_ids + two.subject_ids
    for name in ("raw", "ceiling", "ceiling_lower"):
        parts = [getattr(score, name) for score in alone]
        assert getattr(both, name) == pytest.approx((4 * parts[0] + 2 * parts[1]) / 6)
    assert both.n_stimuli == 2 * N


@pytest.mark.parametrize(("n_subjects", "ceiling"), [(1, "between_subjects"), (4, None)])
def test_no_ceiling_is_invented(n_subjects, ceiling):
    data, shared = geometry(n_subjects)
    score = scored([data], lambda stimuli: Gram.of(shared, IDS), card=card_of(ceiling=ceiling))
    assert (score.ceiling, score.ceiling_error, score.ceiling_lower, score.ceiled) == (None,) * 4
    assert (score.ceiled_rule, score.interval_of) == ("raw", "raw")
    assert (score.error, score.interval) == (score.raw_error, score.raw_interval)
    assert score.error > 0


def test_a_dead_layer_has_an_undefined_score():
    data, shared = geometry()
    dead = shared.copy()
    dead[4] = 0.0
    score = scored([data], lambda stimuli: Gram.of(dead, IDS), n_bootstrap=20)
    assert np.isnan([score.raw, score.raw_error, score.ceiled]).all()
    assert score.ceiling > 0.5
    assert score.note.startswith("undefined")


def test_stimuli_are_placed_on_the_models_screen():
    data, _ = geometry(2)
    (placed,) = GeometryJob.of(card_of(), get_metric("rsa-pearson"), [data], 8.0).geometries
    assert placed.stimuli.content_hash == data.stimuli.place_on_screen(8.0).content_hash != data.stimuli.content_hash


def test_rdms_that_do_not_fit_their_stimuli_are_refused():
    data, _ = geometry(3)
    with pytest.raises(ShapeMismatch, match=r"RDMs of Planted.IT: expected shape \(3, 276\).*got \(3, 275\)"):
        GeometryJob.of(card_of(), get_metric("rsa-pearson"), [replace(data, rdms=data.rdms[:, 1:])], None)


@pytest.mark.parametrize("card", [card for card in CARDS if card.name != "rsa-kendall"], ids=lambda card: card.name)
def test_the_error_foresees_the_spread_over_fresh_stimuli_and_subjects(card):
    """With new stimuli and subjects every time, scores spread as one experiment's bootstrap says, or somewhat less."""

    def experiment(seed: int, n_draws: int = 0) -> tuple[float, float]:
        data, shared = geometry(8, noise=1.0, seed=seed)
        rng = np.random.default_rng(1000 + seed)
        layer = shared + rng.normal(size=shared.shape)
        rdm = model_rdm(Gram.of(layer, IDS), card.dissimilarity, IDS)
        raw = float(card.compare(rdm, data.rdms).mean())
        if not n_draws:
            return raw, 0.0
        return raw, summarise(raw, bootstrap(card, [[rdm]], [data], n_draws, rng)[0])[0]

    spread = np.std([experiment(seed)[0] for seed in range(200)])
    errors = [experiment(seed, 100)[1] for seed in range(20)]
    assert 0.75 < np.mean(errors) / spread < 1.6


def test_replicates_of_model_and_ceiling_are_paired():
    data, shared = geometry(5)
    card = get_metric("rsa-spearman")
    rdm = model_rdm(Gram.of(shared, IDS), "correlation", IDS)
    once, again = bootstrap(card, [[rdm], [rdm]], [data], 30, np.random.default_rng(0))
    assert np.array_equal(once, again)
    assert once.shape == (3, 30)
    assert np.all(once.std(axis=1) > 1e-3)


def test_subjects_are_drawn_alone_and_with_the_stimuli():
    data, shared = geometry(5, noise=2.0)
    card = get_metric("rsa-pearson")
    rdm = model_rdm(Gram.of(shared, IDS), "correlation", IDS)
    _, subjects, both = bootstrap(card, [[rdm]], [data], 2000, np.random.default_rng(0))[0]
    alone = card.compare(rdm, data.rdms)
    assert subjects.mean() == pytest.approx(alone.mean(), abs=0.005)
    assert subjects.var() == pytest.approx(alone.var() / 5, rel=0.15)  # the variance of a mean of 5 draws
    assert both.var() > 1.2 * subjects.var()
    clones = replace(data, rdms=np.tile(data.rdms[0], (5, 1)))
    stimuli, subjects, both = bootstrap(card, [[rdm]], [clones], 20, np.random.default_rng(0))[0]
    np.testing.assert_allclose(subjects, alone[0], atol=1e-12)
    np.testing.assert_allclose(both, stimuli, atol=1e-12)
