"""Ceilings recover planted reliabilities and follow their stated rules for missing data, chance and signs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from benchmarks.ceilings import ceiled, internal_consistency, pearson, spearman_brown, split_halves
from benchmarks.splits import shuffle_splits
from model_zoo.errors import InvalidOption, ShapeMismatch


def recording(
    n_stimuli: int = 120, n_repeats: int = 9, n_neuroids: int = 7, noise: float = 1.0, seed: int = 0
) -> np.ndarray:
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=(n_stimuli, 1, n_neuroids))
    return signal + noise * rng.normal(size=(n_stimuli, n_repeats, n_neuroids))


def holes(repeats: np.ndarray, share: float = 0.3, seed: int = 1) -> np.ndarray:
    return np.where(np.random.default_rng(seed).random(repeats.shape) < share, np.nan, repeats)


@pytest.mark.parametrize("n_repeats", [2, 7, 20])
def test_the_planted_reliability_is_recovered(n_repeats: int) -> None:
    estimate = internal_consistency(recording(n_stimuli=3000, n_repeats=n_repeats, n_neuroids=15, noise=2.0))
    # variance of the mean of R repeats: signal 1, noise 4 / R; an odd R loses a little to unequal halves
    assert estimate.value == pytest.approx(1 / (1 + 4 / n_repeats), abs=0.01)


def test_noise_alone_has_no_reliability() -> None:
    noise = np.random.default_rng(0).normal(size=(3000, 10, 15))
    assert internal_consistency(noise).value == pytest.approx(0, abs=0.02)


def test_halves_are_plain_means_over_recorded_repeats() -> None:
    repeats = holes(recording())
    for split, halves in zip(
        shuffle_splits(9, train_size=0.5, n_splits=4), split_halves(repeats, n_splits=4), strict=True
    ):
        assert (len(split.train), len(split.test)) == (4, 5)
        for members, half in zip((split.train, split.test), halves, strict=True):
            expected = np.ma.masked_invalid(repeats[:, members]).mean(axis=1).filled(np.nan)
            assert np.isnan(expected).any()
            np.testing.assert_allclose(half, expected, rtol=1e-12)


def test_correlations_are_scipys_over_shared_stimuli() -> None:
    x, y = holes(recording()[:, 0]), holes(recording(seed=3)[:, 0], seed=2)
    y[:, 2] = np.nan
    x[:, 4] = 0.1 + 0.2  # constant, but not a number whose mean is exact
    y[2:, 5] = np.nan
    x[:2, 5], y[:2, 5] = (1.0, np.nan), 1.0
    r = pearson(x, y)
    assert np.isnan(r[[2, 4, 5]]).all()
    for column in (0, 1, 3, 6):
        both = ~(np.isnan(x[:, column]) | np.isnan(y[:, column]))
        assert 20 < both.sum() < 120
        expected = scipy.stats.pearsonr(x[both, column], y[both, column])[0]
        assert r[column] == pytest.approx(expected, abs=1e-14)
    np.testing.assert_array_equal(pearson(1e6 + x[:, [0]], 1e6 + x[:, [0]]), [1.0])


def test_raw_values_are_corrected_correlations_of_the_halves() -> None:
    repeats = holes(recording())
    estimate = internal_consistency(repeats)
    assert estimate.raw.shape == (10, 7)
    for row, (first, second) in zip(estimate.raw, split_halves(repeats), strict=True):
        r = pearson(first, second)
        np.testing.assert_allclose(row, 2 * r / (1 + r))
    medians = np.median(estimate.raw, axis=1)
    assert estimate.value == pytest.approx(medians.mean())
    assert estimate.split_error == pytest.approx(scipy.stats.sem(medians, ddof=0))


def test_scale_offset_stimulus_order_and_empty_repeats_do_not_matter() -> None:
    repeats = holes(recording())
    value = internal_consistency(repeats).value
    scaled = 3 + np.arange(1, 8) * repeats
    assert internal_consistency(scaled).value == pytest.approx(value, abs=1e-12)
    shuffled = repeats[np.random.default_rng(0).permutation(120)]
    assert internal_consistency(shuffled).value == pytest.approx(value, abs=1e-12)
    empty = np.full((120, 2, 7), np.nan)
    assert internal_consistency(np.concatenate([empty, repeats, empty], axis=1)).value == value
    broken = repeats.copy()
    for repeat in range(9):
        broken[:, repeat] = np.random.default_rng(repeat).permutation(broken[:, repeat])
    assert abs(internal_consistency(broken).value) < 0.2 < value


def test_a_silent_neuroid_is_skipped() -> None:
    repeats = recording()
    silent = np.concatenate([repeats, np.zeros((120, 9, 1)), np.full((120, 9, 1), np.nan)], axis=2)
    estimate = internal_consistency(silent)
    assert estimate.value == internal_consistency(repeats).value
    assert np.isnan(estimate.raw[:, 7:]).all()
    assert math.isnan(internal_consistency(silent[:, :, 7:]).value)


def test_too_few_repeats_and_wrong_axes_are_refused() -> None:
    repeats = recording()
    with pytest.raises(ShapeMismatch, match="at least 2 repeats, got 1"):
        internal_consistency(repeats[:, :1])
    with pytest.raises(ShapeMismatch, match="at least 2 repeats, got 1"):
        internal_consistency(np.where(np.arange(9)[:, None] == 4, repeats, np.nan))
    with pytest.raises(ShapeMismatch, match=r"\(n_stimuli, n_repeats, n_neuroids\), got \(120, 9\)"):
        internal_consistency(repeats[:, :, 0])
    with pytest.raises(ShapeMismatch, match="of one shape"):
        pearson(repeats[:, 0], repeats[:, 0, :3])


def test_spearman_brown_grows_to_one_and_diverges_at_minus_one() -> None:
    np.testing.assert_allclose(spearman_brown(np.array([0, 0.5, 1, -0.5])), [0, 2 / 3, 1, -2])
    assert spearman_brown(np.array([-1.0]))[0] == -np.inf
    assert np.isnan(spearman_brown(np.array([np.nan]))[0])


@pytest.mark.parametrize(
    ("raw", "ceiling", "rule", "expected"),
    [
        (0.6, 0.9, "r^2/ceiling", 0.4),
        (-0.6, 0.9, "r^2/ceiling", -0.4),
        (0.6, 0.3, "r^2/ceiling", 1.2),
        (0.6, 0.8, "(r/ceiling)^2", 0.5625),
        (-0.6, 0.8, "(r/ceiling)^2", -0.5625),
        (0.0, 0.8, "r^2/ceiling", 0.0),
    ],
)
def test_ceiled_keeps_the_sign_and_is_not_clipped(raw: float, ceiling: float, rule: str, expected: float) -> None:
    assert ceiled(raw, ceiling, rule=rule) == pytest.approx(expected)


def test_no_reliability_no_ceiled_value() -> None:
    assert all(math.isnan(ceiled(0.3, ceiling)) for ceiling in (0.0, -0.2, -math.inf, math.nan))
    with pytest.raises(InvalidOption, match="ceiled rule: expected one of"):
        ceiled(0.3, 0.5, rule="r/ceiling")
