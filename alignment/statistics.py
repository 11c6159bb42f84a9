"""How sure a score is: correlations, their aggregation as Brain-Score does it, and the bootstrap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import NormalDist

import numpy as np

from alignment.contracts import Array, Indices
from benchmarks.ceilings import ceiled, pearson, spearman_brown

MIN_GROUPS = 5  # animals or sessions, from which on they are drawn; with fewer, intervals hold the truth too rarely
_MOST_ACCELERATION = 0.25
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
    animals : animal of every neuroid; () where it is not known of all.
    """

    n_stimuli: int
    splits: Sequence[SplitPrediction]
    halves: Sequence[tuple[Array, Array]] = ()
    unit_ids: tuple[str, ...] = ()
    animals: tuple[str, ...] = ()


@dataclass(frozen=True)
class Resamples:
    """What every draw of a bootstrap takes.

    Attributes
    ----------
    weights : per recording (n_draws, n_stimuli), how often each stimulus was drawn.
    chosen : (n_draws, n_neuroids) numbers of neuroids, those of all recordings side by side.
    resampled : what was drawn: "stimuli", "neuroids" and, if so, "animals" or "sessions".
    """

    weights: tuple[Array, ...] = field(repr=False)
    chosen: Indices = field(repr=False)
    resampled: tuple[str, ...]


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
        total = weights.sum(axis=1, keepdims=True) if present.all() else weights @ present  # (n_draws, 1 or n_neuroids)
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


def how_often(n: int, n_draws: int, rng: np.random.Generator) -> Array:
    """Return how often each of n is drawn when n are drawn with replacement, shape (n_draws, n)."""
    return rng.multinomial(n, np.full(n, 1.0 / n), size=n_draws).astype(np.float64)


def ceiled_draws(raw: Array, ceiling: Array, rule: str) -> Array:
    """Return replicates of a score relative to those of its ceiling, in their common shape; see `ceiled`."""
    return np.asarray(np.vectorize(partial(ceiled, rule=rule))(raw, ceiling))


def resample(recordings: Sequence[PairedMeasurements], n_draws: int, rng: np.random.Generator) -> Resamples:
    """Return what every draw takes: the same for every model and layer on the same data.

    Each draw takes n_stimuli stimuli of every recording and n_neuroids neuroids of all recordings, with replacement.
    Where the neuroids come from at least `MIN_GROUPS` animals, or else from as many recordings (sessions), animals or
    sessions are drawn first, and neuroids from those. Fewer cannot stand for all others: they are held fixed, and error
    and interval are about these animals.

    Parameters
    ----------
    recordings : sequence of PairedMeasurements
    n_draws : int
    rng : numpy.random.Generator
    """
    weights = tuple(how_often(rec.n_stimuli, n_draws, rng) for rec in recordings)
    sizes = [rec.splits[0].recorded.shape[1] for rec in recordings]
    animals = [animal for rec in recordings for animal in rec.animals]
    sessions = np.repeat(np.arange(len(sizes)), sizes)
    if len(animals) == sum(sizes) and len(set(animals)) >= MIN_GROUPS:
        chosen = _within_groups(np.unique(animals, return_inverse=True)[1], n_draws, rng)
        return Resamples(weights, chosen, ("stimuli", "neuroids", "animals"))
    if len(sizes) >= MIN_GROUPS:
        return Resamples(weights, _within_groups(sessions, n_draws, rng), ("stimuli", "neuroids", "sessions"))
    return Resamples(weights, rng.integers(sum(sizes), size=(n_draws, sum(sizes))), ("stimuli", "neuroids"))


def _within_groups(groups: Indices, n_draws: int, rng: np.random.Generator) -> Indices:
    """Return (n_draws, n_neuroids) neuroids, drawn from as many groups, themselves drawn with replacement."""
    n_groups, n_neuroids = int(groups.max()) + 1, len(groups)
    often = how_often(n_groups, n_draws, rng).astype(np.intp)
    chosen = np.empty((n_draws, n_neuroids), dtype=np.intp)
    for draw, counts in enumerate(often[:, groups]):  # a neuroid is as likely as its group was drawn often
        chosen[draw] = np.repeat(np.arange(n_neuroids), counts)[rng.integers(counts.sum(), size=n_neuroids)]
    return chosen


def raw_draws(recordings: Sequence[PairedMeasurements], resamples: Resamples) -> Array:
    """Return replicates of the score, shape (3, n_draws): stimuli drawn anew, neuroids, and both.

    Notes
    -----
    Draws are the same for all splits. The fitted maps are held fixed (a refit would put copies of one stimulus on both
    sides of a split), so stimuli vary as test stimuli only; `summarise` makes up for that.
    """
    n_splits = min(len(rec.splits) for rec in recordings)
    raw = np.zeros((3, len(resamples.chosen)))
    for number in range(n_splits):
        splits = [rec.splits[number] for rec in recordings]
        once = [pearson(split.predicted, split.recorded) for split in splits]
        drawn = [
            weighted_pearson(split.predicted, split.recorded, w[:, split.test])
            for split, w in zip(splits, resamples.weights, strict=True)
        ]
        raw += _three_ways(once, drawn, resamples.chosen) / n_splits
    return raw


def ceiling_draws(recordings: Sequence[PairedMeasurements], resamples: Resamples) -> Array | None:
    """Return replicates of the ceiling, shape (3, n_draws), paired with `raw_draws`; None without halves.

    They depend on the responses alone, not on a model.
    """
    n_halves = min(len(rec.halves) for rec in recordings)
    if n_halves == 0:
        return None
    ceiling = np.zeros((3, len(resamples.chosen)))
    for number in range(n_halves):
        halves = [rec.halves[number] for rec in recordings]
        once = [spearman_brown(pearson(*half)) for half in halves]
        drawn = [spearman_brown(weighted_pearson(*half, w)) for half, w in zip(halves, resamples.weights, strict=True)]
        ceiling += _three_ways(once, drawn, resamples.chosen) / n_halves
    return ceiling


def bootstrap(recordings: Sequence[PairedMeasurements], n_draws: int, rng: np.random.Generator) -> BootstrapDraws:
    """Return replicates of score and ceiling from the same draws; see `resample`."""
    resamples = resample(recordings, n_draws, rng)
    return BootstrapDraws(raw_draws(recordings, resamples), ceiling_draws(recordings, resamples))


def contributions(recordings: Sequence[PairedMeasurements]) -> Array:
    """Return what every stimulus contributes to the mean over splits and neuroids of r, shape (n_stimuli,).

    Parameters
    ----------
    recordings : sequence of PairedMeasurements

    Returns
    -------
    array of shape (n_stimuli,)
        Stimuli of all recordings side by side; NaN for one that was never tested. The mean over the others is the mean
        r exactly; without one of n stimuli the mean r is, to first order, lower by (contribution - mean) / (n - 1).

    Notes
    -----
    With predictions x and responses y standardised over the n_test stimuli of a split, r is the mean over them of
    x y - r (x^2 + y^2) / 2 + r, the last two being 0 on average: the influence function of a correlation (Devlin,
    Gnanadesikan and Kettenring 1975, Biometrika 62, 531). A stimulus is given the sum over splits and neuroids of its
    terms / n_test, in units that make the mean of all stimuli the mean r. One that was tested in more splits thus
    counts for more. Maps are held fixed: what a stimulus did in training is not in it.
    """
    parts, n_defined = [], 0
    for recording in recordings:
        total, tested = np.zeros(recording.n_stimuli), np.zeros(recording.n_stimuli, dtype=bool)
        for split in recording.splits:
            x, y, count = _standardised(split.predicted, split.recorded)
            r = x * y
            r = np.where(np.isfinite(r), r, 0.0).sum(axis=0) / count  # (n_neuroids,)
            influence = (x * y - r * (x**2 + y**2) / 2 + r) / count
            defined = np.isfinite(influence)
            total[split.test] += np.where(defined, influence, 0.0).sum(axis=1)
            tested[split.test] |= defined.any(axis=1)
            n_defined += int(defined.any(axis=0).sum())
        parts.append(np.where(tested, total, np.nan))
    stacked = np.concatenate(parts)
    return np.asarray(stacked * np.isfinite(stacked).sum() / max(n_defined, 1))


def _standardised(x: Array, y: Array) -> tuple[Array, Array, Array]:
    """Return both at mean 0 and variance 1 over the rows that both have, NaN where constant, and how many these are."""
    shared = np.isfinite(x) & np.isfinite(y)
    count = np.maximum(shared.sum(axis=0), 1)
    found = []
    for side in (x, y):
        varies = np.where(shared, side, -np.inf).max(axis=0) > np.where(shared, side, np.inf).min(axis=0)
        centred = np.where(shared, side, 0.0)
        centred = np.where(shared, centred - centred.sum(axis=0) / count, 0.0)
        spread = np.sqrt((centred**2).sum(axis=0) / count)
        found.append(np.divide(centred, spread, out=np.full(x.shape, np.nan), where=shared & varies & (spread > 0)))
    return found[0], found[1], count


def summarise(
    estimate: float, draws: Array, level: float = 0.95, *, noise_once: bool = True, fitted: bool = False
) -> tuple[float, tuple[float, float]]:
    """Return the standard error and confidence interval of an estimate from its bootstrap replicates.

    Parameters
    ----------
    estimate : float
    draws : array of shape (3, n_draws)
        As in `BootstrapDraws`, or differences of such replicates between two models; draws that are not finite are left
        out.
    level : float
        Coverage of the interval.
    noise_once : bool
        False: take S + N, which is never too small and varies less from one experiment to the next than 2 (S + N) - B;
        for ceilings. See the notes.
    fitted : bool
        True: maps were fitted on some of the stimuli and tested on others (`Score.n_splits` > 0). See the notes.

    Returns
    -------
    error : float
    interval : (low, high)
        Accelerated percentiles of the replicates under both, scaled to `error` and moved to the estimate.

    Notes
    -----
    Resampling stimuli and neuroids together counts the noise of single responses, which belongs to neither, three
    times. With variances S (stimuli alone), N (neuroids alone) and B (both), 2 (S + N) - B counts everything once; it
    is kept above max(S, N). 2 S + N - B is the stimuli's own part, without noise. Replicates hold the fitted maps fixed
    and so miss what other training stimuli would change; where maps are `fitted` the stimuli's own part is counted
    twice, once for the test and once for the training stimuli. That these weigh alike is no theorem: it is what brings
    intervals to their level in the coverage study (docs/coverage.md).

    Percentiles keep the skew of the replicates. Skewed replicates also mean that the error changes with the estimate: a
    correlation that came out too high comes with too small an error. The acceleration of Efron's BCa interval, a sixth
    of the skewness of the replicates (exact for a mean), takes other percentiles for that reason; it is kept within
    +-0.25. His bias correction is not used; moving the replicates' mean to the estimate stands for it.

    References
    ----------
    Schuett, Kipnis, Diedrichsen and Kriegeskorte (2023), Statistical inference on representational geometries, eLife
    12, e82566, eq. 10. Efron (1987), Better bootstrap confidence intervals, JASA 82, 171.
    """
    draws = draws[:, np.isfinite(draws).all(axis=0)]
    if draws.shape[1] < 2:
        return float("nan"), (float("nan"), float("nan"))
    stimuli, neuroids, both = np.var(draws, axis=1, ddof=1)
    variance = max(2.0 * (stimuli + neuroids) - both, stimuli, neuroids)
    if not noise_once:
        variance = max(stimuli + neuroids, variance)
    elif fitted:
        variance += min(max(2.0 * stimuli + neuroids - both, 0.0), stimuli)
    if not both > 0:
        return float(np.sqrt(variance)), (estimate, estimate)
    deviations = (draws[2] - draws[2].mean()) * np.sqrt(variance / both)
    low, high = np.quantile(deviations, _accelerated(deviations, level))
    return float(np.sqrt(variance)), (estimate + float(low), estimate + float(high))


def _accelerated(deviations: Array, level: float) -> tuple[float, float]:
    """Return the two probabilities whose quantiles bound a BCa interval without bias correction."""
    skewness = float(np.mean(deviations**3) / np.mean(deviations**2) ** 1.5)
    acceleration = min(max(skewness / 6, -_MOST_ACCELERATION), _MOST_ACCELERATION)
    normal = NormalDist()
    z = normal.inv_cdf((1 + level) / 2)
    return normal.cdf(-z / (1 + acceleration * z)), normal.cdf(z / (1 - acceleration * z))


def _three_ways(once: Sequence[Array], drawn: Sequence[Array], chosen: Indices) -> Array:
    """Return (3, n_draws) medians, from r of all stimuli (n_neuroids,) and of drawn ones (n_draws, n_neuroids)."""
    fixed, resampled = np.concatenate(once), np.concatenate(drawn, axis=1)
    both = np.take_along_axis(resampled, chosen, axis=1)
    return np.stack([nan_median(resampled), nan_median(fixed[chosen]), nan_median(both)])
