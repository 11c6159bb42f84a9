"""Every regression metric does what its card claims. Each audit is also run on a card made to fail it."""

import inspect
import json
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from alignment import METRICS, list_metrics
from alignment.contracts import RegressionMetric
from alignment.gram import Gram

CARDS = tuple(card for card in list_metrics() if isinstance(card, RegressionMetric))
N_STIMULI, N_NEUROIDS = 80, 6
WIDE, NARROW = 200, 30  # more and fewer features than stimuli: both forms of a Gram
TRAIN, TEST = np.arange(0, 64), np.arange(64, N_STIMULI)


def data(n_features: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return features with a decaying spectrum and responses that depend on them linearly, with some noise."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(N_STIMULI, n_features)) * np.linspace(2, 0.2, n_features) + rng.normal(size=n_features)
    signal = features @ rng.normal(size=(n_features, N_NEUROIDS))
    noise = 0.3 * signal.std(axis=0) * rng.normal(size=signal.shape)
    return np.asarray(features, dtype=np.float32).astype(float), signal + noise


def predict(card: RegressionMetric, features: np.ndarray, responses: np.ndarray, train=TRAIN, test=TEST) -> np.ndarray:
    """Return the card's predictions of `test`, fitted on `train`."""
    ids = [f"s{row}" for row in range(len(features))]
    return card.predict(Gram.of(features, ids), train, test, responses[train])


def median_r(predicted: np.ndarray, measured: np.ndarray) -> float:
    """Return the median over neuroids of Pearson's r."""
    return float(np.median([np.corrcoef(p, m)[0, 1] for p, m in zip(predicted.T, measured.T, strict=True)]))


def rotate(features: np.ndarray) -> np.ndarray:
    """Return features under a random rotation."""
    rng = np.random.default_rng(5)
    return features @ np.linalg.qr(rng.normal(size=(features.shape[1],) * 2))[0]


def stretch(features: np.ndarray) -> np.ndarray:
    """Return features with every axis scaled differently."""
    return features * np.geomspace(0.1, 10, features.shape[1])[::-1]


BOTH = (WIDE, NARROW)
# what is done to the features, and for how many features that is claimed
TRANSFORMS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], tuple[int, ...]]] = {
    "rotation of features": (rotate, BOTH),
    "shift of features": (lambda features: features + np.linspace(-3, 3, features.shape[1]), BOTH),
    "isotropic scaling of features": (lambda features: 3.0 * features, BOTH),
    "anisotropic scaling of features": (stretch, BOTH),
    "anisotropic scaling of more features than stimuli": (stretch, (WIDE,)),
    "anisotropic scaling of fewer features than stimuli": (stretch, (NARROW,)),
    "stimulus order": (lambda features: features[np.random.default_rng(6).permutation(len(features))], BOTH),
}


def differences(card: RegressionMetric, name: str) -> Iterator[float]:
    """Yield, for every width claimed, how much a transformation changes the predictions, relative to their spread."""
    transform, widths = TRANSFORMS[name]
    for n_features in widths:
        features, responses = data(n_features)
        before, after = (predict(card, each, responses) for each in (features, transform(features)))
        yield float(np.abs(before - after).max() / responses.std())


def audit_facts(card: RegressionMetric) -> None:
    """Words say something; parameters can be recorded; the range is a range."""
    for text in (card.name, card.description, card.citation):
        assert isinstance(text, str)
        assert text.strip()
    assert card.version >= 1
    assert json.loads(json.dumps(dict(card.parameters), allow_nan=False)) is not None
    assert card.value_range[0] < card.value_range[1]


def audit_claims_are_known(card: RegressionMetric) -> None:
    """Every claimed invariance and sensitivity is one these audits can test, and none is both."""
    assert set(card.invariant_to) | set(card.sensitive_to) <= set(TRANSFORMS)
    assert not set(card.invariant_to) & set(card.sensitive_to)
    assert "stimulus order" in card.sensitive_to


def audit_reference(card: RegressionMetric) -> None:
    """Predictions equal the slow reference's, for wide and narrow layers."""
    for n_features in (WIDE, NARROW):
        features, responses = data(n_features)
        expected = card.reference(features[TRAIN], responses[TRAIN], features[TEST])
        found = predict(card, features, responses)
        assert found.shape == (len(TEST), N_NEUROIDS)
        assert found.dtype == np.float64
        assert np.abs(found - expected).max() <= 1e-5 * responses.std()


def audit_invariances(card: RegressionMetric) -> None:
    """What the metric says it ignores leaves the predictions alone."""
    for name in card.invariant_to:
        assert max(differences(card, name)) <= 1e-4, name


def audit_sensitivities(card: RegressionMetric) -> None:
    """What the metric says it notices changes the predictions."""
    for name in card.sensitive_to:
        assert min(differences(card, name)) >= 1e-2, name


def audit_leakage(card: RegressionMetric) -> None:
    """Test responses are never passed, and a test stimulus is predicted the same whatever else is tested."""
    assert list(inspect.signature(card.predict).parameters) == ["gram", "train", "test", "train_responses"]
    features, responses = data(WIDE)
    together = predict(card, features, responses)
    changed = responses.copy()
    changed[TEST] = 1e6
    assert np.array_equal(predict(card, features, changed), together)
    alone = np.concatenate([predict(card, features, responses, test=TEST[i : i + 1]) for i in range(len(TEST))])
    assert np.abs(alone - together).max() <= 1e-8 * responses.std()


def audit_range(card: RegressionMetric) -> None:
    """Good features score high and lie inside the stated range."""
    features, responses = data(NARROW)
    value = median_r(predict(card, features, responses), responses[TEST])
    assert card.value_range[0] <= value <= card.value_range[1]
    assert (value > 0.7) == card.higher_is_better


def audit_shuffled(card: RegressionMetric) -> None:
    """Responses to shuffled stimuli cannot be predicted: the mean over ten shuffles is within noise of zero."""
    values = []
    for seed in range(10):
        features, responses = data(NARROW, seed)
        shuffled = responses[np.random.default_rng(100 + seed).permutation(N_STIMULI)]
        values.append(median_r(predict(card, features, shuffled), shuffled[TEST]))
    assert abs(np.mean(values)) <= 4 * np.std(values, ddof=1) / np.sqrt(len(values))
    assert abs(np.mean(values)) < 0.2


def audit_missing_responses(card: RegressionMetric) -> None:
    """A missing response costs that neuroid a training stimulus, and leaves the others alone."""
    features, responses = data(WIDE)
    holed = responses.copy()
    holed[3, 0] = np.nan
    found, full = predict(card, features, holed), predict(card, features, responses)
    assert np.isfinite(found).all()
    without = np.delete(TRAIN, 3)
    expected = predict(card, features, responses[:, :1], train=without)
    assert np.abs(found[:, :1] - expected).max() <= 1e-6 * responses.std()
    assert np.abs(found[:, 0] - full[:, 0]).max() > 0


AUDITS = (
    audit_facts,
    audit_claims_are_known,
    audit_reference,
    audit_invariances,
    audit_sensitivities,
    audit_leakage,
    audit_range,
    audit_shuffled,
    audit_missing_responses,
)


def test_no_metric_file_is_broken():
    assert METRICS.broken == ()
    assert {"pls", "ridge", "ridgecv"} <= set(METRICS.names())


@pytest.mark.parametrize("audit", AUDITS, ids=lambda audit: audit.__name__)
@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_every_metric(card, audit):
    audit(card)


SOUND = METRICS.get("ridge")
SECRET = {seed: data(NARROW, seed)[1] for seed in range(10)}


def half_mean(gram, train, test, train_responses):
    """Predict ridge's answer, minus its mean over whatever is tested."""
    found = SOUND.predict(gram, train, test, train_responses)
    return found - found.mean(axis=0) / 2


def constant(gram, train, test, train_responses):
    """Ignore the features: the row number is the prediction."""
    return np.repeat(test[:, None].astype(float), train_responses.shape[1], axis=1)


def remembering(gram, train, test, train_responses):
    """Know the responses from elsewhere, by finding the shuffle that fits the training stimuli."""
    for seed, known in SECRET.items():
        order = np.random.default_rng(100 + seed).permutation(N_STIMULI)
        if np.array_equal(known[order][train], train_responses):
            return known[order][test]
    return SOUND.predict(gram, train, test, train_responses)


def nan_as_zero(gram, train, test, train_responses):
    """Propagate missing values."""
    solved = SOUND.predict(gram, train, test, np.nan_to_num(train_responses))
    return solved + 0 * train_responses.sum(axis=0)


BROKEN = (
    (audit_facts, {"citation": ""}),
    (audit_facts, {"parameters": {"alpha": float("nan")}}),
    (audit_facts, {"value_range": (1.0, 1.0)}),
    (audit_claims_are_known, {"invariant_to": ("phase of the moon",)}),
    (audit_claims_are_known, {"sensitive_to": ()}),
    (audit_reference, {"predict": METRICS.get("ridgecv").predict}),
    (audit_reference, {"reference": lambda x, y, z: SOUND.reference(x, y, z).astype(np.float32) * 1.001}),
    (audit_invariances, {"invariant_to": ("anisotropic scaling of features",)}),
    (audit_invariances, {"invariant_to": ("isotropic scaling of features",)}),
    (audit_sensitivities, {"sensitive_to": ("shift of features",)}),
    (audit_sensitivities, {"predict": constant}),
    (audit_leakage, {"predict": half_mean}),
    (audit_leakage, {"predict": lambda gram, train, test, responses: SOUND.predict(gram, train, test, responses)}),
    (audit_range, {"value_range": (0.0, 0.5)}),
    (audit_range, {"predict": constant}),
    (audit_shuffled, {"predict": remembering}),
    (audit_missing_responses, {"predict": nan_as_zero}),
)


@pytest.mark.parametrize(
    ("audit", "change"), BROKEN, ids=lambda value: getattr(value, "__name__", None) or "".join(value)
)
def test_every_audit_can_fail(audit, change):
    with pytest.raises((AssertionError, ValueError) if audit is audit_facts else AssertionError):
        audit(replace(SOUND, **change))


def test_every_audit_is_seen_to_fail():
    assert {audit for audit, _ in BROKEN} == set(AUDITS)
