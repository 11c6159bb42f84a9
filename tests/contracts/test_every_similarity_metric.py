"""Every metric of populations does what its card claims. Each audit is also run on a card made to fail it.

Metrics of RDMs are audited in the form in which they score recordings.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from alignment import METRICS, list_metrics
from alignment.contracts import GeometryMetric, Similarity, SimilarityMetric
from alignment.gram import Gram
from alignment.kernels import groups_of
from alignment.rdm_similarity import as_similarity
from alignment.similarities import reliability
from benchmarks.ceilings import ceiled, split_halves

N_STIMULI, N_NEUROIDS = 60, 12
WIDE, NARROW = 150, 24  # more and fewer features than stimuli: both forms of a Gram
Pair = tuple[np.ndarray, np.ndarray]


@cache
def cards() -> tuple[SimilarityMetric, ...]:
    """Return the similarity metrics, and the metrics of RDMs that score recordings."""
    listed = list_metrics()
    own = tuple(card for card in listed if isinstance(card, SimilarityMetric))
    return own + tuple(as_similarity(card) for card in listed if isinstance(card, GeometryMetric) and card.expansion)


def data(n_features: int, seed: int = 0) -> Pair:
    """Return features with a decaying spectrum, and responses of which half the variance depends on them."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(N_STIMULI, n_features)) * np.linspace(2, 0.2, n_features) + rng.normal(size=n_features)
    signal = features @ rng.normal(size=(n_features, N_NEUROIDS))
    responses = signal + signal.std(axis=0) * rng.normal(size=signal.shape) / 2
    return np.asarray(features, dtype=np.float32).astype(float), responses


def compare(card: SimilarityMetric, features: np.ndarray, responses: np.ndarray) -> Similarity:
    """Return what the card finds between features and responses of the same stimuli."""
    gram = Gram.of(features, [f"s{row}" for row in range(len(features))])
    return card.compare(gram, np.arange(len(features)), card.prepare(responses))


def rotate(values: np.ndarray) -> np.ndarray:
    """Return values under a random rotation of their columns."""
    return values @ np.linalg.qr(np.random.default_rng(5).normal(size=(values.shape[1],) * 2))[0]


def shift(values: np.ndarray) -> np.ndarray:
    """Return values with another offset in every column."""
    return values + np.linspace(-9, 9, values.shape[1])


def gain(values: np.ndarray) -> np.ndarray:
    """Return values with every stimulus scaled differently."""
    return values * np.geomspace(0.3, 3, len(values))[:, None]


def on_features(transform: Callable[[np.ndarray], np.ndarray]) -> Callable[[Pair], Pair]:
    """Return the transform of the model's side alone."""
    return lambda pair: (transform(pair[0]), pair[1])


def on_neuroids(transform: Callable[[np.ndarray], np.ndarray]) -> Callable[[Pair], Pair]:
    """Return the transform of the brain's side alone."""
    return lambda pair: (pair[0], transform(pair[1]))


TRANSFORMS: dict[str, Callable[[Pair], Pair]] = {
    "rotation of features": on_features(rotate),
    "shift of features": on_features(shift),
    "isotropic scaling of features": on_features(lambda x: 3.0 * x),
    "anisotropic scaling of features": on_features(lambda x: x * np.geomspace(0.1, 10, x.shape[1])[::-1]),
    "gain of stimuli": on_features(gain),
    "gain and offset of stimuli": on_features(lambda x: gain(x) + np.linspace(-3, 3, len(x))[:, None]),
    "rotation of neuroids": on_neuroids(rotate),
    "shift of neuroids": on_neuroids(shift),
    "isotropic scaling of neuroids": on_neuroids(lambda y: 0.01 * y),
    "stimulus order": on_features(lambda x: x[np.random.default_rng(6).permutation(len(x))]),
}


def difference(card: SimilarityMetric, name: str, n_features: int) -> float:
    """Return how much a transformation changes the value."""
    pair = data(n_features)
    return abs(compare(card, *TRANSFORMS[name](pair)).value - compare(card, *pair).value)


def audit_facts(card: SimilarityMetric) -> None:
    """Words say something; parameters can be recorded; the range is a range; recordings fit."""
    for text in (card.name, card.description, card.citation, card.measure):
        assert text.strip()
    assert card.version >= 1
    assert json.loads(json.dumps(dict(card.parameters), allow_nan=False)) is not None
    assert card.value_range[0] < card.value_range[1]
    assert card.kind == "recording"


def audit_claims_are_known(card: SimilarityMetric) -> None:
    """Every claimed invariance and sensitivity is one these audits can test, and none is both."""
    assert set(card.invariant_to) | set(card.sensitive_to) <= set(TRANSFORMS)
    assert not set(card.invariant_to) & set(card.sensitive_to)
    assert "stimulus order" in card.sensitive_to


def audit_reference(card: SimilarityMetric) -> None:
    """The value equals the slow reference's, for wide and narrow layers, whatever rows of the Gram are compared."""
    for n_features in (WIDE, NARROW):
        features, responses = data(n_features)
        assert compare(card, features, responses).value == pytest.approx(card.reference(features, responses), abs=1e-6)
        rows = np.random.default_rng(1).permutation(N_STIMULI)[:40]
        gram = Gram.of(features, [f"s{row}" for row in range(N_STIMULI)])
        found = card.compare(gram, rows, card.prepare(responses[rows])).value
        assert found == pytest.approx(card.reference(features[rows], responses[rows]), abs=1e-6)


def audit_invariances(card: SimilarityMetric) -> None:
    """What the metric says it ignores leaves the value alone."""
    for name in card.invariant_to:
        assert max(difference(card, name, n_features) for n_features in (WIDE, NARROW)) <= 1e-5, name


def audit_sensitivities(card: SimilarityMetric) -> None:
    """What the metric says it notices changes the value."""
    for name in card.sensitive_to:
        assert max(difference(card, name, n_features) for n_features in (WIDE, NARROW)) >= 1e-4, name


def audit_range(card: SimilarityMetric) -> None:
    """A population is at the best end of the range to itself, others are inside, and nothing varying is undefined."""
    best = card.value_range[1] if card.higher_is_better else card.value_range[0]
    features, responses = data(NARROW)
    assert compare(card, responses, responses).value == pytest.approx(best, abs=1e-3)
    found = compare(card, features, responses).value
    assert card.value_range[0] <= found <= card.value_range[1]
    for pair in ((np.ones_like(features), responses), (features, np.ones_like(responses))):
        assert np.isnan(compare(card, *pair).value)


def audit_shuffled(card: SimilarityMetric) -> None:
    """Without a common order of stimuli the value is that of unrelated things, or away from it as the card says."""
    unrelated = 0.0 if card.higher_is_better else card.value_range[1]
    sign = 1.0 if card.higher_is_better else -1.0
    values, matched = [], []
    for seed in range(10):
        features, responses = data(NARROW, seed)
        order = np.random.default_rng(100 + seed).permutation(N_STIMULI)
        values.append(compare(card, features, responses[order]).value)
        matched.append(compare(card, features, responses).value)
    away = abs(np.mean(values) - unrelated) / (np.std(values, ddof=1) / np.sqrt(len(values)))
    assert (away <= 4) == card.parameters.get("debiased", "cosine" not in card.measure)
    assert min(sign * np.array(matched)) > max(sign * np.array(values))


def audit_influences(card: SimilarityMetric) -> None:
    """Influences sum to 0 and foretell what leaving out a stimulus or a group of neuroids does."""
    for n_features in (WIDE, NARROW):
        features, responses = data(n_features)
        gram = Gram.of(features, [f"s{row}" for row in range(N_STIMULI)])
        found = compare(card, features, responses)
        every = np.arange(N_STIMULI)
        kept = [np.delete(every, row) for row in every]
        stimuli = np.array([card.compare(gram, rows, card.prepare(responses[rows])).value for rows in kept])
        groups = groups_of(N_NEUROIDS, len(found.by_neuroid))
        rest = [card.prepare(np.delete(responses, group, axis=1)) for group in groups]
        neuroids = np.array([card.compare(gram, every, brain).value for brain in rest])
        for influence, left in ((found.by_stimulus, stimuli), (found.by_neuroid, neuroids)):
            assert abs(influence.sum()) <= 1e-8 * np.abs(influence).sum()
            expected = (len(left) - 1) * (left.mean() - left)
            assert np.corrcoef(influence, expected)[0, 1] > 0.75  # first derivatives are no differences
            assert 0.6 < (influence @ expected) / (influence @ influence) < 1.4


def audit_ceiling(card: SimilarityMetric) -> None:
    """A model that is the noise-free population scores 1 relative to the ceiling, if the card has a rule for one.

    Spearman-Brown supposes that noise enters a similarity once; it may err more where noise is most of a response.
    """
    assert card.ceiled_rule in (None, "raw/sqrt(ceiling)")
    if card.ceiled_rule is None:
        return
    rng = np.random.default_rng(8)
    rates = rng.normal(size=(200, 8)) @ rng.normal(size=(8, 40))
    for noise, tolerance in ((1.0, 0.02), (2.0, 0.1 if card.reliability is None else 0.03)):
        repeats = rates[:, None] + noise * rates.std() * rng.normal(size=(200, 6, 40))
        whole = repeats.mean(axis=1)
        ceiling = reliability(card, split_halves(repeats), whole)
        assert ceiling is not None
        raw = compare(card, rates, whole).value
        assert raw < 1 - tolerance
        assert ceiled(raw, ceiling.value, rule=card.ceiled_rule) == pytest.approx(1, abs=tolerance)
        assert abs(ceiling.by_stimulus.sum()) <= 1e-8 * np.abs(ceiling.by_stimulus).sum()


AUDITS = (
    audit_facts,
    audit_claims_are_known,
    audit_reference,
    audit_invariances,
    audit_sensitivities,
    audit_range,
    audit_shuffled,
    audit_influences,
    audit_ceiling,
)


def test_there_are_metrics_of_populations():
    assert METRICS.broken == ()
    names = {card.name for card in cards()}
    assert {"cka", "cka-biased", "procrustes", "shape_angle", "shape_angle-half", "rsa-pearson"} <= names


@pytest.mark.parametrize("audit", AUDITS, ids=lambda audit: audit.__name__)
@pytest.mark.parametrize("card", cards(), ids=lambda card: card.name)
def test_every_similarity_metric(card, audit):
    audit(card)


SOUND = METRICS.get("cka")
BIASED = METRICS.get("cka-biased")


def changed(**facts) -> Callable:
    """Return cka's comparison with something about its result changed."""

    def compare(gram, rows, brain):
        found = SOUND.compare(gram, rows, brain)
        return replace(found, **{name: change(getattr(found, name)) for name, change in facts.items()})

    return compare


def of_positions(gram, rows, brain):
    """Take the first rows of the Gram, whatever was asked for."""
    return SOUND.compare(gram, np.arange(len(rows)), brain)


def never_undefined(gram, rows, brain):
    """Call 0 what is undefined."""
    return changed(value=np.nan_to_num)(gram, rows, brain)


BROKEN = (
    (audit_facts, {"citation": ""}),
    (audit_facts, {"parameters": {"alpha": float("nan")}}),
    (audit_claims_are_known, {"invariant_to": ("phase of the moon",)}),
    (audit_claims_are_known, {"sensitive_to": ()}),
    (audit_reference, {"reference": BIASED.reference}),
    (audit_reference, {"compare": of_positions}),
    (audit_invariances, {"invariant_to": ("anisotropic scaling of features",)}),
    (audit_invariances, {"invariant_to": ("gain of stimuli",)}),
    (audit_sensitivities, {"sensitive_to": ("shift of neuroids",)}),
    (audit_range, {"value_range": (-1.0, 0.5)}),
    (audit_range, {"value_range": (0.0, 1.0), "higher_is_better": False}),
    (audit_range, {"compare": never_undefined}),
    (audit_shuffled, {"compare": BIASED.compare, "prepare": BIASED.prepare}),
    (audit_shuffled, {"parameters": {"debiased": False}}),
    (audit_influences, {"compare": changed(by_stimulus=lambda x: x + 1)}),
    (audit_influences, {"compare": changed(by_stimulus=lambda x: -x)}),
    (audit_influences, {"compare": changed(by_stimulus=lambda x: x / N_STIMULI)}),
    (audit_influences, {"compare": changed(by_neuroid=lambda x: x[::-1])}),
    (audit_ceiling, {"ceiled_rule": "r^2/ceiling"}),
    (audit_ceiling, {"reliability": lambda *halves: SOUND.reliability(halves[0], halves[1], halves[0])}),
    (audit_ceiling, {"reliability": lambda *halves: replace(SOUND.reliability(*halves), value=1.0)}),
)


@pytest.mark.parametrize(
    ("audit", "change"), BROKEN, ids=lambda value: getattr(value, "__name__", None) or "-".join(value)
)
def test_every_audit_can_fail(audit, change):
    with pytest.raises((AssertionError, ValueError) if audit is audit_facts else AssertionError):
        audit(replace(SOUND, **change))


def test_every_audit_is_seen_to_fail():
    assert {audit for audit, _ in BROKEN} == set(AUDITS)
