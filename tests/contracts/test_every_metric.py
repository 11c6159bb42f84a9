"""Every regression and every banded metric does what its card claims. Each audit is also run on cards made to fail it.

A banded metric is given the same features, cut into two layers, and transformations are applied to each of them.
"""

import functools
import inspect
import json
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from alignment import METRICS, list_metrics
from alignment.contracts import BandedMetric, RegressionMetric
from alignment.gram import Gram
from benchmarks.ceilings import CEILED_RULES

Card = RegressionMetric | BandedMetric
CARDS = tuple(card for card in list_metrics() if isinstance(card, Card))
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


def layers(card: Card, features: np.ndarray) -> list[np.ndarray]:
    """Return the features as the card takes them: one layer, or two of which the first is the narrower."""
    return [features] if isinstance(card, RegressionMetric) else np.split(features, [features.shape[1] // 3], axis=1)


def given(card: Card, per_layer: list) -> object:
    """Return what is passed for one layer, or for all."""
    return per_layer[0] if isinstance(card, RegressionMetric) else per_layer


def parts(card: Card, each: list[np.ndarray], responses: np.ndarray, train=TRAIN, test=TEST) -> np.ndarray:
    """Return what the card predicts of `test`, fitted on `train`, from its layers."""
    grams = [Gram.of(features, [f"s{row}" for row in range(len(features))]) for features in each]
    return card.predict(given(card, grams), train, test, responses[train])


def predict(card: Card, features: np.ndarray, responses: np.ndarray, train=TRAIN, test=TEST) -> np.ndarray:
    """Return the card's predictions, (n_test, n_neuroids)."""
    found = parts(card, layers(card, features), responses, train, test)
    if isinstance(card, RegressionMetric):
        return found
    return found.sum(axis=0) + np.nanmean(responses[train], axis=0)


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


def differences(card: Card, name: str) -> Iterator[float]:
    """Yield, for every width claimed, how much a transformation changes the predictions, relative to their spread."""
    transform, widths = TRANSFORMS[name]
    for n_features in widths:
        features, responses = data(n_features)
        before = layers(card, features)
        change = parts(card, before, responses) - parts(card, [transform(each) for each in before], responses)
        yield float(np.abs(change).max() / responses.std())


def audit_facts(card: Card) -> None:
    """Words say something; parameters can be recorded; the range is a range; the ceiling rule is known."""
    for text in (card.name, card.description, card.citation, card.measure):
        assert isinstance(text, str)
        assert text.strip()
    assert card.version >= 1
    assert json.loads(json.dumps(dict(card.parameters), allow_nan=False)) is not None
    assert card.value_range[0] < card.value_range[1]
    assert card.ceiled_rule is None or card.ceiled_rule in CEILED_RULES


def audit_claims_are_known(card: Card) -> None:
    """Every claimed invariance and sensitivity is one these audits can test, and none is both."""
    assert set(card.invariant_to) | set(card.sensitive_to) <= set(TRANSFORMS)
    assert not set(card.invariant_to) & set(card.sensitive_to)
    assert "stimulus order" in card.sensitive_to


def audit_reference(card: Card) -> None:
    """Predictions equal the slow reference's, for wide and narrow layers."""
    for n_features in (WIDE, NARROW):
        features, responses = data(n_features)
        each = layers(card, features)
        train, test = (given(card, [layer[rows] for layer in each]) for rows in (TRAIN, TEST))
        expected, found = card.reference(train, responses[TRAIN], test), parts(card, each, responses)
        assert found.shape == expected.shape
        assert found.shape[-2:] == (len(TEST), N_NEUROIDS)
        assert found.dtype == np.float64
        assert np.abs(found - expected).max() <= 1e-5 * responses.std()


def audit_invariances(card: Card) -> None:
    """What the metric says it ignores leaves the predictions alone."""
    for name in card.invariant_to:
        assert max(differences(card, name)) <= 1e-4, name


def audit_sensitivities(card: Card) -> None:
    """What the metric says it notices changes the predictions."""
    for name in card.sensitive_to:
        assert min(differences(card, name)) >= 1e-2, name


def audit_leakage(card: Card) -> None:
    """Test responses are never passed, and a test stimulus is predicted the same whatever else is tested."""
    first = "gram" if isinstance(card, RegressionMetric) else "grams"
    assert list(inspect.signature(card.predict).parameters) == [first, "train", "test", "train_responses"]
    features, responses = data(WIDE)
    together = predict(card, features, responses)
    changed = responses.copy()
    changed[TEST] = 1e6
    assert np.array_equal(predict(card, features, changed), together)
    alone = np.concatenate([predict(card, features, responses, test=TEST[i : i + 1]) for i in range(len(TEST))])
    assert np.abs(alone - together).max() <= 1e-8 * responses.std()


def audit_range(card: Card) -> None:
    """Good features score high and lie inside the stated range."""
    features, responses = data(NARROW)
    value = median_r(predict(card, features, responses), responses[TEST])
    assert card.value_range[0] <= value <= card.value_range[1]
    assert (value > 0.7) == card.higher_is_better


def audit_shuffled(card: Card) -> None:
    """Responses to shuffled stimuli cannot be predicted: the mean over ten shuffles is within noise of zero."""
    values = []
    for seed in range(10):
        features, responses = data(NARROW, seed)
        shuffled = responses[np.random.default_rng(100 + seed).permutation(N_STIMULI)]
        values.append(median_r(predict(card, features, shuffled), shuffled[TEST]))
    assert abs(np.mean(values)) <= 4 * np.std(values, ddof=1) / np.sqrt(len(values))
    assert abs(np.mean(values)) < 0.2


def audit_missing_responses(card: Card) -> None:
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


def audit_together(card: Card) -> None:
    """Splits fitted together are predicted as alone, and none by what only the others were given."""
    if isinstance(card, BandedMetric) or card.predict_together is None:
        return
    for n_features in BOTH:
        features, responses = data(n_features)
        gram = Gram.of(features, [f"s{row}" for row in range(N_STIMULI)])
        orders = [np.roll(np.arange(N_STIMULI), 16 * number) for number in range(3)]
        fits = [(order[:64], order[64:], responses[order[:64]]) for order in orders]
        found = card.predict_together(gram, fits)
        for fit, predicted in zip(fits, found, strict=True):
            assert np.abs(predicted - card.predict(gram, *fit)).max() <= 1e-6 * responses.std()
        changed = responses.copy()
        changed[orders[0][64:]] *= 10.0
        again = card.predict_together(gram, [(train, test, changed[train]) for train, test, _ in fits])
        assert np.abs(again[0] - found[0]).max() <= 1e-6 * responses.std()
        assert np.abs(again[1] - found[1]).max() > 1e-2 * responses.std()


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
    audit_together,
)


def test_no_metric_file_is_broken():
    assert METRICS.broken == ()
    named = {"pls", "ridge", "ridgecv", "ridgecv-shared", "ridgegcv", "linear_predictivity", "pcr", "banded_ridge"}
    assert named <= {card.name for card in CARDS}


@pytest.mark.parametrize("audit", AUDITS, ids=lambda audit: audit.__name__)
@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_every_metric(card, audit):
    audit(card)


SOUND = (METRICS.get("ridge"), METRICS.get("banded_ridge"))
SECRET = {seed: data(NARROW, seed)[1] for seed in range(10)}


def broken(wrong: Callable[..., np.ndarray]) -> Callable[[Card], dict[str, object]]:
    """Return how a card changes whose `predict` is ``wrong(sound, gram, train, test, train_responses)``."""

    def change(card: Card) -> dict[str, object]:
        return {"predict": functools.wraps(card.predict)(functools.partial(wrong, card.predict))}

    return change


def half_mean(sound, gram, train, test, train_responses):
    """Predict the sound answer, minus half its mean over whatever is tested."""
    found = sound(gram, train, test, train_responses)
    return found - found.mean(axis=-2, keepdims=True) / 2


def constant(sound, gram, train, test, train_responses):
    """Ignore the features: the row number is the prediction."""
    return np.zeros_like(sound(gram, train, test, train_responses)) + test[:, None]


def remembering(sound, gram, train, test, train_responses):
    """Know the responses from elsewhere, by finding the shuffle that fits the training stimuli."""
    found = sound(gram, train, test, train_responses)
    for seed, known in SECRET.items():
        order = np.random.default_rng(100 + seed).permutation(N_STIMULI)
        if np.array_equal(known[order][train], train_responses):
            return np.zeros_like(found) + known[order][test]
    return found


def nan_as_zero(sound, gram, train, test, train_responses):
    """Propagate missing values."""
    return sound(gram, train, test, np.nan_to_num(train_responses)) + 0 * train_responses.sum(axis=0)


def inexact(card):
    """Change the reference by a thousandth."""
    return {"reference": lambda x, y, z: np.asarray(card.reference(x, y, z)) * 1.001}


BROKEN = (
    (audit_facts, lambda card: {"citation": ""}),
    (audit_facts, lambda card: {"parameters": {"alpha": float("nan")}}),
    (audit_facts, lambda card: {"value_range": (1.0, 1.0)}),
    (audit_facts, lambda card: {"ceiled_rule": "r^2"}),
    (audit_claims_are_known, lambda card: {"invariant_to": ("phase of the moon",)}),
    (audit_claims_are_known, lambda card: {"sensitive_to": ()}),
    (audit_claims_are_known, lambda card: {"invariant_to": card.sensitive_to}),
    (audit_reference, broken(half_mean)),
    (audit_reference, inexact),
    (audit_invariances, lambda card: {"invariant_to": ("anisotropic scaling of features",)}),
    (audit_invariances, lambda card: {"invariant_to": ("anisotropic scaling of fewer features than stimuli",)}),
    (audit_sensitivities, lambda card: {"sensitive_to": ("shift of features",)}),
    (audit_sensitivities, broken(constant)),
    (audit_leakage, broken(half_mean)),
    (
        audit_leakage,
        lambda card: {"predict": lambda x, train, test, responses: card.predict(x, train, test, responses)},
    ),
    (audit_range, lambda card: {"value_range": (0.0, 0.5)}),
    (audit_range, broken(constant)),
    (audit_shuffled, broken(remembering)),
    (audit_missing_responses, broken(nan_as_zero)),
)


@pytest.mark.parametrize("sound", SOUND, ids=lambda card: card.name)
@pytest.mark.parametrize(("audit", "change"), BROKEN, ids=lambda value: getattr(value, "__name__", None))
def test_every_audit_can_fail(sound, audit, change):
    with pytest.raises((AssertionError, ValueError) if audit is audit_facts else AssertionError):
        audit(replace(sound, **change(sound)))


def swapped(sound, gram, fits):
    """Answer a split with the prediction of the next."""
    found = sound(gram, fits)
    return found[1:] + found[:1]


def overheard(sound, gram, fits):
    """Mix in what the other splits were given of the tested stimuli."""
    known = np.zeros((N_STIMULI, N_NEUROIDS))
    for train, _, responses in fits:
        known[train] = responses
    return [predicted + 1e-4 * known[test] for predicted, (_, test, _) in zip(sound(gram, fits), fits, strict=True)]


@pytest.mark.parametrize("wrong", [swapped, overheard])
def test_the_audit_of_splits_fitted_together_can_fail(wrong):
    sound = METRICS.get("pls")
    with pytest.raises(AssertionError):
        audit_together(replace(sound, predict_together=functools.partial(wrong, sound.predict_together)))


def test_the_reference_of_a_banded_metric_tells_layers_apart():
    sound = METRICS.get("banded_ridge")
    with pytest.raises(AssertionError):
        audit_reference(replace(sound, predict=lambda *rest: sound.predict(*rest)[::-1]))


def test_every_audit_is_seen_to_fail():
    assert {audit for audit, _ in BROKEN} | {audit_together} == set(AUDITS)
