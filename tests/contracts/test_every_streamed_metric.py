"""Every metric that features stream through does what its card claims; every audit is shown to fail."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from alignment import METRICS, list_metrics
from alignment.contracts import StreamedMetric
from alignment.spill import BLOCK
from benchmarks.splits import Split, shuffle_splits

CARDS = tuple(card for card in list_metrics() if isinstance(card, StreamedMetric))
N_STIMULI, N_NEUROIDS = 60, 7
WIDE, NARROW = 150, 5  # more features than stimuli, and fewer than neuroids
SPLITS = shuffle_splits(N_STIMULI, n_splits=4, train_size=0.8)
Kept = Mapping[str, Any]


def data(n_features: int = WIDE, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return features, two of which never vary, and responses that are noisily some of their pairs."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(N_STIMULI, n_features)) @ (np.eye(n_features) + 0.3 * rng.random((n_features,) * 2))
    features += 10 * rng.normal(size=n_features)
    features[:, [1, n_features - 1]] = 3.0
    varying = np.delete(features, [1, n_features - 1], axis=1)
    signal = varying[:, rng.integers(varying.shape[1], size=N_NEUROIDS)] + varying[:, [0] * N_NEUROIDS]
    responses = signal + 0.3 * signal.std(axis=0) * rng.normal(size=signal.shape)
    return np.asarray(features, dtype=np.float32).astype(float), responses


def run(card: StreamedMetric, features: np.ndarray, responses: np.ndarray, width: int = BLOCK) -> Kept:
    """Return what the card keeps of features that pass by in blocks of `width` columns."""
    reduction = card.begin(responses, SPLITS)
    for start in range(0, features.shape[1], width):
        block = features[:, start : start + width].copy()
        reduction.add(block, start)
        block[:] = np.nan  # valid during the call only
    return reduction.finish()


def recorded(kept: Kept, responses: np.ndarray, split: Split) -> np.ndarray:
    return kept.get("recorded", responses)[split.test]


def median_r(kept: Kept, responses: np.ndarray) -> float:
    """Return the mean over splits of the median over units of Pearson's r."""
    found = []
    for split, predicted in zip(SPLITS, kept["predicted"], strict=True):
        with np.errstate(invalid="ignore", divide="ignore"):
            pairs = zip(predicted.T, recorded(kept, responses, split).T, strict=True)
            found.append(np.nanmedian([np.corrcoef(p, m)[0, 1] for p, m in pairs]))
    return float(np.mean(found))


def scores(card: StreamedMetric, features: np.ndarray, responses: np.ndarray) -> np.ndarray:
    """Return r of every split and unit, which gain and offset of a unit do not change."""
    kept = run(card, features, responses)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.array(
            [
                [np.corrcoef(p, m)[0, 1] for p, m in zip(predicted.T, recorded(kept, responses, split).T, strict=True)]
                for split, predicted in zip(SPLITS, kept["predicted"], strict=True)
            ]
        )


def rotate(features: np.ndarray) -> np.ndarray:
    """Return features under a random rotation."""
    return features @ np.linalg.qr(np.random.default_rng(5).normal(size=(features.shape[1],) * 2))[0]


GAINS = np.geomspace(0.01, 100, WIDE)
TRANSFORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "order of features": lambda features: features[:, np.random.default_rng(7).permutation(features.shape[1])],
    "shift of features": lambda features: features + np.linspace(-3, 3, features.shape[1]),
    "isotropic scaling of features": lambda features: 3.0 * features,
    "gain of features": lambda features: features * np.random.default_rng(8).permutation(GAINS),
    "sign of features": lambda features: -features,
    "rotation of features": rotate,
    "stimulus order": lambda features: features[np.random.default_rng(6).permutation(len(features))],
}


def change(card: StreamedMetric, name: str) -> float:
    """Return how much a transformation of the features changes any unit's r."""
    features, responses = data()
    before, after = (scores(card, each, responses) for each in (features, TRANSFORMS[name](features)))
    difference = np.abs(before - after)
    return float("inf") if (np.isnan(before) != np.isnan(after)).any() else float(np.nanmax(difference))


def audit_facts(card: StreamedMetric) -> None:
    """Words say something; parameters can be recorded; r stands in its range; features have no ceiling."""
    for text in (card.name, card.description, card.citation, card.measure):
        assert isinstance(text, str)
        assert text.strip()
    assert card.version >= 1
    assert json.loads(json.dumps(dict(card.parameters), allow_nan=False))
    assert card.value_range == (-1.0, 1.0)
    assert card.predicts in ("neuroid", "feature")
    assert (card.ceiled_rule is None) == (card.predicts == "feature")


def audit_claims_are_known(card: StreamedMetric) -> None:
    """Every claim is one these audits can test, and none is both; the order of stimuli is noticed."""
    assert set(card.invariant_to) | set(card.sensitive_to) <= set(TRANSFORMS)
    assert not set(card.invariant_to) & set(card.sensitive_to)
    assert "stimulus order" in card.sensitive_to


def audit_reference(card: StreamedMetric) -> None:
    """What is kept equals what the slow reference makes of the whole features; neuroids may have gaps."""
    for n_features in (WIDE, NARROW):
        features, responses = data(n_features)
        responses[[3, 4, 40], 0] = np.nan
        responses[::7, 2] = np.nan
        responses[:, 5] = 1.0
        found, expected = run(card, features, responses), card.reference(features, responses, SPLITS)
        assert set(found) == set(expected)
        n_units = len(expected["units"]) if card.predicts == "feature" else N_NEUROIDS
        assert found["predicted"].shape == (len(SPLITS), len(SPLITS[0].test), n_units)
        for name, values in expected.items():
            np.testing.assert_allclose(found[name], values, rtol=1e-6, atol=1e-6 * features.std())


def audit_blocks(card: StreamedMetric) -> None:
    """However the features are cut into blocks, the same is kept."""
    features, responses = data()
    whole = run(card, features, responses)
    for width in (1, 13, 64, WIDE - 1):
        for name, values in run(card, features, responses, width).items():
            np.testing.assert_allclose(values, whole[name], rtol=1e-12, atol=1e-12)


def audit_invariances(card: StreamedMetric) -> None:
    """What the metric says it ignores changes no unit's r."""
    for name in card.invariant_to:
        assert change(card, name) <= 1e-6, name


def audit_sensitivities(card: StreamedMetric) -> None:
    """What the metric says it notices changes some unit's r."""
    for name in card.sensitive_to:
        assert change(card, name) >= 1e-2, name


def audit_leakage(card: StreamedMetric) -> None:
    """What is predicted of a split's test stimuli does not depend on what was recorded (or shown) of them."""
    features, responses = data()
    before = run(card, features, responses)["predicted"]
    for number, split in enumerate(SPLITS):
        changed = (features if card.predicts == "feature" else responses).copy()
        changed[split.test] = 1e3 * np.random.default_rng(9).normal(size=changed[split.test].shape)
        after = run(card, changed, responses) if card.predicts == "feature" else run(card, features, changed)
        np.testing.assert_allclose(after["predicted"][number], before[number], rtol=1e-6, atol=1e-6)


def audit_range(card: StreamedMetric) -> None:
    """Responses that resemble features score high, and inside the range."""
    features, responses = data()
    value = median_r(run(card, features, responses), responses)
    assert card.value_range[0] <= value <= card.value_range[1]
    assert value > 0.3


def audit_shuffled(card: StreamedMetric) -> None:
    """Responses to shuffled stimuli score near zero: the mean over ten shuffles is within noise of it."""
    values = []
    for seed in range(10):
        features, responses = data(seed=seed)
        shuffled = responses[np.random.default_rng(100 + seed).permutation(N_STIMULI)]
        values.append(median_r(run(card, features, shuffled), shuffled))
    assert abs(np.mean(values)) <= 4 * np.std(values, ddof=1) / np.sqrt(len(values))
    assert abs(np.mean(values)) < 0.2


AUDITS = (
    audit_facts,
    audit_claims_are_known,
    audit_reference,
    audit_blocks,
    audit_invariances,
    audit_sensitivities,
    audit_leakage,
    audit_range,
    audit_shuffled,
)


def test_the_streamed_metrics_are_found():
    assert {"neuron_to_neuron", "one_to_one", "reverse_predictivity"} <= {card.name for card in CARDS}


@pytest.mark.parametrize("audit", AUDITS, ids=lambda audit: audit.__name__)
@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_every_streamed_metric(card, audit):
    audit(card)


SOUND = METRICS.get("neuron_to_neuron")
SECRET = {seed: data(seed=seed)[1] for seed in range(10)}


class _Altered:
    """The sound metric, with something done to what it is told or keeps."""

    def __init__(self, responses, splits, *, before=None, after=None, shown=None):
        self._inner, self._after, self._shown = SOUND.begin(responses, before or splits), after, shown

    def add(self, block, start):
        self._inner.add(block if self._shown is None else self._shown(block, start), start)

    def finish(self):
        kept = self._inner.finish()
        return kept if self._after is None else {**kept, "predicted": self._after(kept["predicted"])}


def first_block_only(responses, splits):
    """Ignore what comes later."""
    return _Altered(responses, splits, shown=lambda block, start: block if start == 0 else np.zeros_like(block))


def fitted_on_all(responses, splits):
    """Choose by all stimuli."""
    everything = np.arange(len(responses))
    return _Altered(responses, splits, before=[Split(everything, split.test) for split in splits])


def by_gain(responses, splits):
    """Choose as if features were as strong as they are large."""
    return _Altered(responses, splits, shown=lambda block, _: block**3)


def constant(responses, splits):
    """Predict the same whatever is seen."""
    steps = np.arange(len(splits[0].test))[:, None]
    return _Altered(responses, splits, after=lambda predicted: np.zeros_like(predicted) + steps)


def remembering(responses, splits):
    """Know the responses from elsewhere, by finding the shuffle that fits them."""
    for seed, known in SECRET.items():
        order = np.random.default_rng(100 + seed).permutation(N_STIMULI)
        if np.array_equal(known[order], responses):
            told = np.stack([responses[split.test] for split in splits])
            return _Altered(responses, splits, after=lambda _, told=told: told)
    return SOUND.begin(responses, splits)


BROKEN = (
    (audit_facts, {"citation": ""}),
    (audit_facts, {"parameters": {"alpha": float("nan")}}),
    (audit_facts, {"ceiled_rule": None}),
    (audit_claims_are_known, {"invariant_to": ("phase of the moon",)}),
    (audit_claims_are_known, {"sensitive_to": ()}),
    (audit_reference, {"begin": METRICS.get("one_to_one").begin}),
    (audit_reference, {"begin": fitted_on_all}),
    (audit_blocks, {"begin": first_block_only}),
    (audit_invariances, {"invariant_to": ("rotation of features",)}),
    (audit_invariances, {"begin": by_gain}),
    (audit_sensitivities, {"sensitive_to": ("order of features",)}),
    (audit_sensitivities, {"begin": constant}),
    (audit_leakage, {"begin": fitted_on_all}),
    (audit_range, {"begin": constant}),
    (audit_shuffled, {"begin": remembering}),
)


@pytest.mark.parametrize(
    ("audit", "change"), BROKEN, ids=lambda value: getattr(value, "__name__", None) or "".join(value)
)
def test_every_audit_can_fail(audit, change):
    with pytest.raises((AssertionError, ValueError) if audit is audit_facts else AssertionError):
        audit(replace(SOUND, **change))


def test_every_audit_is_seen_to_fail():
    assert {audit for audit, _ in BROKEN} == set(AUDITS)
