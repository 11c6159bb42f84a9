"""How sure a score is: correlations, their aggregation as Brain-Score does it, and the bootstrap."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from alignment.contracts import Array, Indices
from benchmarks.ceilings import pearson, spearman_brown

_FLAT = 1e-12  # variance relative to the second moment below which a neuroid counts as constant


@dataclass(frozen=True)
class SplitPrediction:
    """Predicted and recorded responses of one split's test stimuli.

    Attributes
    ----------
    test : (n_test,) row numbers among the recording's n_stimuli.
    predicted, recorded : (n_test, n_neuroids); NaN where a neuroid was not recorded.
    parts : (n_layers, n_test, n_neuroids) that sum to `predicted`, where several layers predict together.
    """

    test: Indices
    predicted: Array
    recorded: Array
    parts: Array | None = None


@dataclass(frozen=True)
class PairedMeasurements:
    """What one recording contributes to a bootstrap.

    Attributes
    ----------
    n_stimuli : number of stimuli that are drawn.
    splits : predictions of every split.
    halves : mean responses of the two halves of the repeats, each (n_stimuli, n_neuroids), per ceiling split; empty
        where only averages exist.
    unit_ids : what is predicted, where that is not the recording's neuroids; else ().
    """

    n_stimuli: int
    splits: Sequence[SplitPrediction]
    halves: Sequence[tuple[Array, Array]] = ()
    unit_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class BootstrapDraws:
    """Bootstrap replicates, drawn together so that raw score and ceiling stay paired.

    Attributes
    ----------
    raw, ceiling : arrays of shape (3, n_draws): resampling stimuli alone, neuroids alone, and both. `ceiling` is None
        where only averages exist.
    """

    raw: Array
    ceiling: Array | None


def weighted_pearson(x: Array, y: Array, weights: Array) -> Array:
    """Return Pearson's r of each column under each set of row weights.

    Parameters
    ----------
    x, y : arrays of shape (n_stimuli, n_neuroids)
        NaN entries drop that row for that neuroid.
    weights : array of shape (n_draws, n_stimuli)
        Non-negative, e.g. how often a bootstrap drew each stimulus.

    Returns
    -------
    array of shape (n_draws, n_neuroids)
        In [-1, 1]; NaN where a column is constant under the weights.
    """
    present = np.isfinite(x) & np.isfinite(y)
    with np.errstate(invalid="ignore", divide="ignore"):
        count = np.maximum(present.sum(axis=0), 1)
        x = np.where(present, x, 0.0)
        y = np.where(present, y, 0.0)
        x = np.where(present, x - x.sum(axis=0) / count, 0.0)  # centring first avoids cancellation below
        y = np.where(present, y - y.sum(axis=0) / count, 0.0)
        total = weights @ present  # (n_draws, n_neuroids)
        mean_x, mean_y = weights @ x / total, weights @ y / total
        square_x, square_y = weights @ x**2 / total, weights @ y**2 / total
        variance_x, variance_y = square_x - mean_x**2, square_y - mean_y**2
        covariance = weights @ (x * y) / total - mean_x * mean_y
        r = covariance / np.sqrt(variance_x * variance_y)
    flat = ~((variance_x > _FLAT * square_x) & (variance_y > _FLAT * square_y))
    return np.where(flat, np.nan, np.clip(r, -1.0, 1.0))


def nan_median(values: Array) -> Array:
    """Return the median over the last axis, NaN skipped; NaN where nothing is left (without a warning)."""
    ordered = np.sort(values, axis=-1)  # NaN last
    count = (~np.isnan(values)).sum(axis=-1)
    low = np.maximum((count - 1) // 2, 0)[..., None]
    high = np.maximum(count // 2, 0)[..., None]
    high = np.minimum(high, values.shape[-1] - 1)
    middle = np.take_along_axis(ordered, low, -1)[..., 0] + np.take_along_axis(ordered, high, -1)[..., 0]
    return np.where(count > 0, middle / 2.0, np.nan)


def split_correlations(recordings: Sequence[PairedMeasurements]) -> Array:
    """Return r of every split and neuroid, shape (n_splits, n_neuroids), neuroids of all recordings side by side."""
    per_recording = [np.stack([pearson(s.predicted, s.recorded) for s in rec.splits]) for rec in recordings]
    return np.concatenate(per_recording, axis=1)


def aggregate(correlations: Array) -> tuple[float, float]:
    """Return Brain-Score's score and error from r of shape (n_splits, n_neuroids).

    The score is the mean over splits of the median over neuroids (NaN skipped). The error is the splits' standard
    deviation (ddof 0) / sqrt(n_splits): since the splits overlap and neither stimuli nor neuroids are resampled, it is
    too small.
    """
    medians = nan_median(correlations)
    return float(np.mean(medians)), float(np.std(medians) / np.sqrt(len(medians)))


def bootstrap(recordings: Sequence[PairedMeasurements], n_draws: int, rng: np.random.Generator) -> BootstrapDraws:
    """Return replicates of score and ceiling under resampling of stimuli, of neuroids, and of both.

    Each draw takes n_stimuli stimuli of every recording and n_neuroids neuroids with replacement, the same for all
    splits and for the ceiling, and recomputes correlations, medians and means.

    Parameters
    ----------
    recordings : sequence of PairedMeasurements
    n_draws : int
    rng : numpy.random.Generator

    Notes
    -----
    The fitted maps are held fixed (a refit would put copies of one stimulus on both sides of a split), so the
    variability that comes from the training stimuli is not included and the error is, to that extent, too small.
    """
    weights = [
        rng.multinomial(rec.n_stimuli, np.full(rec.n_stimuli, 1.0 / rec.n_stimuli), size=n_draws).astype(np.float64)
        for rec in recordings
    ]
    n_neuroids = sum(rec.splits[0].recorded.shape[1] for rec in recordings)
    chosen = rng.integers(n_neuroids, size=(n_draws, n_neuroids))
    n_splits = min(len(rec.splits) for rec in recordings)
    raw = np.zeros((3, n_draws))
    for number in range(n_splits):
        splits = [rec.splits[number] for rec in recordings]
        once = [pearson(split.predicted, split.recorded) for split in splits]
        drawn = [
            weighted_pearson(split.predicted, split.recorded, w[:, split.test])
            for split, w in zip(splits, weights, strict=True)
        ]
        raw += _three_ways(once, drawn, chosen) / n_splits
    n_halves = min(len(rec.halves) for rec in recordings)
    if n_halves == 0:
        return BootstrapDraws(raw, None)
    ceiling = np.zeros((3, n_draws))
    for number in range(n_halves):
        halves = [rec.halves[number] for rec in recordings]
        once = [spearman_brown(pearson(*half)) for half in halves]
        drawn = [spearman_brown(weighted_pearson(*half, w)) for half, w in zip(halves, weights, strict=True)]
        ceiling += _three_ways(once, drawn, chosen) / n_halves
    return BootstrapDraws(raw, ceiling)


def contributions(recordings: Sequence[PairedMeasurements]) -> Array:
    """Return what every stimulus contributes to the mean over splits and neuroids of r, shape (n_stimuli,).

    With predictions x and responses y standardised over the test stimuli of a split, r is the mean of
    x y - r (x^2 + y^2) / 2 + r over them, to first order also of a sample in which they are drawn more or less often.
    Stimuli of all recordings stand side by side; one that was never tested is NaN. The mean over the others, weighted
    by how often they were tested, is the mean r.
    """
    parts = []
    for recording in recordings:
        total, count = np.zeros(recording.n_stimuli), np.zeros(recording.n_stimuli)
        for split in recording.splits:
            x, y = _standardised(split.predicted, split.recorded), _standardised(split.recorded, split.predicted)
            r = np.nansum(x * y, axis=0) / np.maximum(np.isfinite(x * y).sum(axis=0), 1)
            influence = x * y - r * (x**2 + y**2) / 2 + r
            defined = np.isfinite(influence)
            total[split.test] += np.where(defined, influence, 0.0).sum(axis=1)
            count[split.test] += defined.sum(axis=1)
        with np.errstate(invalid="ignore"):
            parts.append(total / count)
    return np.concatenate(parts)


def _standardised(values: Array, other: Array) -> Array:
    """Return columns at mean 0 and variance 1 over the rows that both have; NaN elsewhere and where constant."""
    with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # means of nothing
        shared = np.where(np.isfinite(values) & np.isfinite(other), values, np.nan)
        centred = shared - np.nanmean(shared, axis=0)
        spread = np.sqrt(np.nanmean(centred**2, axis=0))
        return np.asarray(np.where(spread > 0, centred / spread, np.nan))


def summarise(
    estimate: float, draws: Array, level: float = 0.95, *, noise_once: bool = True
) -> tuple[float, tuple[float, float]]:
    """Return the standard error and confidence interval of an estimate from its bootstrap replicates.

    Resampling stimuli and neuroids together counts the noise of single responses, which belongs to neither, three
    times. With variances S (stimuli alone), N (neuroids alone) and B (both), 2 (S + N) - B counts everything once; it
    is kept between max(S, N) and B.

    Parameters
    ----------
    estimate : float
    draws : array of shape (3, n_draws)
        As in `BootstrapDraws`; draws that are not finite are left out.
    level : float
        Coverage of the interval.
    noise_once : bool
        False: take S + N, which counts the noise of single responses twice and is never too small. It varies less from
        one experiment to the next than 2 (S + N) - B, and for ceilings, whose estimate and error go opposite ways,
        that is what brings the interval's coverage to its level (see the recovery study in docs/recovery.md).

    Returns
    -------
    error : float
    interval : (low, high)
        Percentiles of the replicates under both, scaled to `error` and moved to the estimate: they keep their skew.

    References
    ----------
    Schuett, Kipnis, Diedrichsen and Kriegeskorte (2023), Statistical inference on representational geometries, eLife
    12, e82566, eq. 10.
    """
    draws = draws[:, np.isfinite(draws).all(axis=0)]
    if draws.shape[1] < 2:
        return float("nan"), (float("nan"), float("nan"))
    stimuli, neuroids, both = np.var(draws, axis=1, ddof=1)
    once = min(max(2.0 * (stimuli + neuroids) - both, stimuli, neuroids), both)
    variance = once if noise_once else max(stimuli + neuroids, once)
    scale = np.sqrt(variance / both) if both > 0 else 1.0
    low, high = np.quantile((draws[2] - draws[2].mean()) * scale, [(1 - level) / 2, (1 + level) / 2])
    return float(np.sqrt(variance)), (estimate + float(low), estimate + float(high))


def _three_ways(once: Sequence[Array], drawn: Sequence[Array], chosen: Indices) -> Array:
    """Return (3, n_draws) medians, from r of all stimuli (n_neuroids,) and of drawn ones (n_draws, n_neuroids)."""
    fixed, resampled = np.concatenate(once), np.concatenate(drawn, axis=1)
    both = np.take_along_axis(resampled, chosen, axis=1)
    return np.stack([nan_median(resampled), nan_median(fixed[chosen]), nan_median(both)])
