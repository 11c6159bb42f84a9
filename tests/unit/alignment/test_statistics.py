"""Weighted correlations, medians and the bootstrap, against numpy and against planted truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from alignment.statistics import (
    MIN_GROUPS,
    PairedMeasurements,
    SplitPrediction,
    aggregate,
    bootstrap,
    contributions,
    nan_median,
    resample,
    split_correlations,
    summarise,
    weighted_pearson,
)


def test_integer_weights_equal_repeated_rows():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 4)) + 50, rng.normal(size=(30, 4))
    y += 0.3 * x
    weights = rng.integers(0, 4, size=(5, 30)).astype(float)
    got = weighted_pearson(x, y, weights)
    for draw, counts in enumerate(weights.astype(int)):
        rows = np.repeat(np.arange(30), counts)
        expected = [np.corrcoef(x[rows, k], y[rows, k])[0, 1] for k in range(4)]
        np.testing.assert_allclose(got[draw], expected, atol=1e-10)


def test_missing_rows_drop_out_per_neuroid():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(20, 2)), rng.normal(size=(20, 2))
    y[:5, 1] = np.nan
    got = weighted_pearson(x, y, np.ones((1, 20)))[0]
    np.testing.assert_allclose(got, [np.corrcoef(x[:, 0], y[:, 0])[0, 1], np.corrcoef(x[5:, 1], y[5:, 1])[0, 1]])


def test_constant_column_has_no_correlation_even_far_from_zero():
    x = np.random.default_rng(2).normal(size=(20, 1))
    assert np.isnan(weighted_pearson(x, np.full((20, 1), 1e6 / 3), np.ones((1, 20)))).all()


@settings(deadline=None, max_examples=50)
@given(st.lists(st.lists(st.one_of(st.floats(-1, 1), st.just(float("nan"))), min_size=3, max_size=3), min_size=1))
def test_nan_median_equals_numpy(rows):
    values = np.array(rows)
    some = ~np.isnan(values).all(axis=1)
    np.testing.assert_allclose(nan_median(values)[some], np.nanmedian(values[some], axis=1) if some.any() else [])
    assert np.isnan(nan_median(values)[~some]).all()


def test_aggregation_is_median_inside_mean_outside():
    correlations = np.array([[0.1, 0.5, 0.9], [0.2, 0.3, np.nan]])
    score, error = aggregate(correlations)
    assert score == pytest.approx((0.5 + 0.25) / 2)
    assert error == pytest.approx(np.std([0.5, 0.25]) / np.sqrt(2))


def _measurement(rng, n_stimuli, n_neuroids, r):
    """One split that tests on all stimuli, with a planted population correlation r."""
    signal = rng.normal(size=(n_stimuli, n_neuroids))
    recorded = r * signal + np.sqrt(1 - r**2) * rng.normal(size=signal.shape)
    return PairedMeasurements(n_stimuli, [SplitPrediction(np.arange(n_stimuli), signal, recorded)])


def _interval(measured, rng):
    estimate = aggregate(split_correlations([measured]))[0]
    return summarise(estimate, bootstrap([measured], 300, rng).raw)


@pytest.mark.parametrize(("spread", "lowest", "highest"), [(0.3, 0.8, 1.25), (0.0, 0.9, 1.7)])
def test_bootstrap_error_foresees_the_spread_over_fresh_experiments(spread, lowest, highest):
    """Fresh stimuli and fresh neuroids; where all neuroids are alike the error may be too large, never too small."""
    rng = np.random.default_rng(3)

    def experiment():
        return _measurement(rng, 150, 40, 0.5 + spread * rng.uniform(-1, 1, size=40))

    scores = [aggregate(split_correlations([experiment()]))[0] for _ in range(300)]
    errors = [_interval(experiment(), rng)[0] for _ in range(20)]
    assert lowest < np.mean(errors) / np.std(scores) < highest


def test_bootstrap_interval_covers_the_planted_value():
    rng = np.random.default_rng(4)
    covered = 0
    for _ in range(60):
        r = 0.5 + 0.3 * rng.uniform(-1, 1, size=40)
        low, high = _interval(_measurement(rng, 150, 40, r), rng)[1]
        covered += low <= 0.5 <= high
    assert covered >= 52  # 95 % of 60 is 57; 52 or fewer has probability 0.03 % at 95 % coverage


def test_neuroids_that_differ_widen_the_interval():
    """Splits alone cannot see that other neuroids would have been recorded; the bootstrap does."""
    rng = np.random.default_rng(5)
    alike = _measurement(rng, 400, 20, 0.5)
    signal = rng.normal(size=(400, 20))
    strength = np.linspace(0.05, 0.95, 20)
    recorded = strength * signal + np.sqrt(1 - strength**2) * rng.normal(size=signal.shape)
    different = PairedMeasurements(400, [SplitPrediction(np.arange(400), signal, recorded)])
    narrow = _interval(alike, rng)[0]
    wide = _interval(different, rng)[0]
    assert wide > 2 * narrow


def test_ceiling_and_score_are_drawn_together():
    """Halves equal to prediction and recording: Spearman-Brown of the same draws, hence a monotone relation."""
    measured = _measurement(np.random.default_rng(6), 100, 1, 0.6)
    split = measured.splits[0]
    paired = PairedMeasurements(100, measured.splits, [(split.predicted, split.recorded)])
    draws = bootstrap([paired], 200, np.random.default_rng(0))
    np.testing.assert_allclose(draws.ceiling, 2 * draws.raw / (1 + draws.raw), atol=1e-12)


def test_pooled_recordings_stand_side_by_side():
    rng = np.random.default_rng(7)
    first, second = _measurement(rng, 80, 3, 0.9), _measurement(rng, 120, 2, 0.1)
    pooled = split_correlations([first, second])
    np.testing.assert_array_equal(pooled[:, :3], split_correlations([first]))
    np.testing.assert_array_equal(pooled[:, 3:], split_correlations([second]))
    assert np.isfinite(bootstrap([first, second], 50, rng).raw).all()


@pytest.mark.parametrize(
    ("options", "both", "variance"),
    [
        ({}, 15.0, 11.0),  # 2 (4 + 9) - 15
        ({"noise_once": False}, 15.0, 13.0),  # 4 + 9
        ({"fitted": True}, 15.0, 13.0),  # the stimuli's own part, 2 * 4 + 9 - 15 = 2, once more
        ({"fitted": True}, 13.0, 17.0),  # no noise: all 4 once more
        ({"fitted": True}, 40.0, 9.0),  # nothing but noise: the larger of both, and no stimuli of their own
        ({"noise_once": False}, 12.0, 14.0),  # medians that vary less than their parts: never below either rule
    ],
)
def test_the_variances_of_stimuli_and_neuroids_are_combined_as_stated(options, both, variance):
    """Planted variances 4 (stimuli) and 9 (neuroids)."""
    unit = np.random.default_rng(8).normal(size=500)
    unit = np.concatenate([unit, -unit])  # without skew the percentiles are the plain ones
    unit /= unit.std(ddof=1)
    error, (low, high) = summarise(5.0, np.sqrt([[4.0], [9.0], [both]]) * unit, **options)
    assert error == pytest.approx(np.sqrt(variance))
    assert (low, high) == pytest.approx(tuple(5.0 + np.sqrt(variance) * np.quantile(unit, [0.025, 0.975])))


def test_skewed_replicates_give_scipys_accelerated_interval():
    """Of a mean, to within its bias correction, which moves an interval as well, but less than the acceleration."""
    values = np.random.default_rng(9).exponential(size=60)
    draws = values[np.random.default_rng(0).integers(60, size=(40_000, 60))].mean(axis=1)
    rows = np.stack([draws, np.full_like(draws, values.mean()), draws])
    error, interval = summarise(values.mean(), rows)
    theirs = scipy.stats.bootstrap((values,), np.mean, method="BCa", n_resamples=40_000, random_state=1)
    assert error == pytest.approx(theirs.standard_error, rel=0.02)
    bca, plain = theirs.confidence_interval, values.mean() + np.quantile(draws - draws.mean(), [0.025, 0.975])
    assert np.abs(plain - bca).min() > 0.2 * error
    assert (np.abs(np.array(interval) - bca) < 0.5 * np.abs(plain - bca)).all()


def test_replicates_without_variation_leave_the_estimate_alone():
    assert summarise(0.5, np.full((3, 10), 0.5)) == (0.0, (0.5, 0.5))
    assert np.isnan(summarise(0.5, np.full((3, 10), np.nan))[0])


def _sessions(n_sessions, animals=()):
    """Sessions of four neuroids; `animals` are those of all neuroids of a session."""
    rng = np.random.default_rng(10)
    found = [_measurement(rng, 30, 4, 0.5) for _ in range(n_sessions)]
    named = animals or [()] * n_sessions
    return [replace(each, animals=tuple(names)) for each, names in zip(found, named, strict=True)]


@pytest.mark.parametrize(
    ("animals", "n_sessions", "drawn"),
    [
        ((), 1, ()),
        ((), MIN_GROUPS - 1, ()),
        ((), MIN_GROUPS, ("sessions",)),
        ([["m1"] * 4] * MIN_GROUPS, MIN_GROUPS, ("sessions",)),
        ([["m1", "m2", "m3", "m4"], ["m5", "m1", "m1", "m1"]], 2, ("animals",)),
        ([["m1", "m2", "m3", "m4"], ()], 2, ()),  # not known of all
    ],
)
def test_animals_or_sessions_are_drawn_where_there_are_enough(animals, n_sessions, drawn):
    found = resample(_sessions(n_sessions, animals), 5, np.random.default_rng(0))
    assert found.resampled == ("stimuli", "neuroids", *drawn)
    assert found.chosen.shape == (5, 4 * n_sessions)


def test_neuroids_are_drawn_from_the_sessions_that_were_drawn():
    """A session is missing with probability (1 - 1/G)^G; neuroids alone would leave all of four out far less often."""
    n_sessions = 6
    chosen = resample(_sessions(n_sessions), 4000, np.random.default_rng(0)).chosen // 4
    missing = np.mean([(chosen != session).all(axis=1) for session in range(n_sessions)])
    expected = (1 - 1 / n_sessions) ** n_sessions  # 0.33; and a session drawn once is left out by all 24 with 1 %
    assert missing == pytest.approx(expected, abs=0.025)
    assert np.bincount(chosen.ravel()) / chosen.size == pytest.approx(np.full(n_sessions, 1 / n_sessions), rel=0.05)


def test_sessions_that_differ_widen_the_interval_as_they_vary():
    """Planted: neuroids of a session are alike. The standard error is that of a mean of as many sessions."""
    rng = np.random.default_rng(11)

    def experiment(n_sessions, n_neuroids=5):
        strengths = 0.5 + 0.12 * rng.normal(size=n_sessions)
        parts = [_measurement(rng, 400, n_neuroids, min(strength, 0.9)) for strength in strengths]
        return aggregate(split_correlations(parts))[0], parts

    spread = np.std([experiment(8)[0] for _ in range(200)])
    errors = []
    for _ in range(12):
        estimate, parts = experiment(8)
        errors.append(summarise(estimate, bootstrap(parts, 200, rng).raw)[0])
    assert 0.75 < np.mean(errors) / spread < 1.4


def test_equal_data_are_drawn_alike_bit_by_bit_whatever_the_model():
    rng = np.random.default_rng(12)
    one, other = _measurement(rng, 60, 9, 0.5), _measurement(rng, 60, 9, 0.9)
    first, second, again = (bootstrap([each], 40, np.random.default_rng(0)).raw for each in (one, other, one))
    np.testing.assert_array_equal(first, again)
    draws = [resample([each], 40, np.random.default_rng(0)) for each in (one, other)]
    np.testing.assert_array_equal(draws[0].weights[0], draws[1].weights[0])
    np.testing.assert_array_equal(draws[0].chosen, draws[1].chosen)
    assert (first != second).any()


def _several_splits(rng, n_stimuli=40, n_neuroids=6):
    recorded = rng.normal(size=(n_stimuli, n_neuroids))
    splits = []
    for _ in range(4):
        test = np.sort(rng.choice(n_stimuli, 12, replace=False))
        splits.append(SplitPrediction(test, recorded[test] + rng.normal(size=(12, n_neuroids)), recorded[test]))
    return PairedMeasurements(n_stimuli, splits)


def test_contributions_of_stimuli_have_the_mean_r_as_their_mean():
    """Exactly, over recordings, with missing responses, constant neuroids and stimuli that no split tests."""
    rng = np.random.default_rng(13)
    first, second = _several_splits(rng), _several_splits(rng, 25, 3)
    first.splits[0].recorded[:4, 1] = np.nan
    first.splits[1].predicted[:, 2] = 0.1
    found = contributions([first, second])
    tested = [np.unique(np.concatenate([split.test for split in each.splits])) for each in (first, second)]
    np.testing.assert_array_equal(np.flatnonzero(np.isfinite(found)), np.concatenate([tested[0], 40 + tested[1]]))
    correlations = split_correlations([first, second])
    assert np.isnan(correlations).sum() == 1
    assert np.nanmean(found) == pytest.approx(np.nanmean(correlations), abs=1e-12)


def test_contributions_are_known_in_closed_form():
    """x = (-1, -1, 1, 1) and y = (-1, 1, -1, 1) / (1, 1, 1, 1): r = 0, so every stimulus gives x y."""
    x, y = np.array([[-1.0], [-1.0], [1.0], [1.0]]), np.array([[-3.0], [3.0], [-3.0], [3.0]])
    found = contributions([PairedMeasurements(4, [SplitPrediction(np.arange(4), x, y)])])
    np.testing.assert_allclose(found, [1, -1, -1, 1])
    same = contributions([PairedMeasurements(4, [SplitPrediction(np.arange(4), y, 2 * y + 5)])])
    np.testing.assert_allclose(same, 1.0)  # r = 1 = x y - (x^2 + y^2) / 2 + 1


def test_contributions_foresee_the_score_without_a_stimulus():
    measured = _measurement(np.random.default_rng(14), 200, 5, 0.6)
    (split,) = measured.splits
    found, r = contributions([measured]), float(split_correlations([measured]).mean())
    for left in range(0, 200, 20):
        rest = np.delete(np.arange(200), left)
        without = np.mean([np.corrcoef(split.predicted[rest, k], split.recorded[rest, k])[0, 1] for k in range(5)])
        assert without - r == pytest.approx((r - found[left]) / 199, abs=2e-4)
        assert abs(without - r) > 1e-6
