"""Similarity of two histograms by the Kolmogorov-Smirnov distance: how V1's published distributions are matched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from alignment.contracts import Array, DistributionMetric
from alignment.scores import Evidence, Outcome
from model_zoo.cache import content_key

if TYPE_CHECKING:
    from benchmarks.contracts import Distribution, Distributions

N_DRAWS = 1000
MOST_UNDEFINED = 0.1  # share of draws without a single defined value above which the score is 0


def histogram(values: Array, edges: tuple[float, ...]) -> Array:
    """Return counts per bin, and of NaN in one further place: shape (n_bins + 1,).

    Values beyond the outer edges count in the outer bins.
    """
    defined = values[~np.isnan(values)]
    counts = np.histogram(np.clip(defined, edges[0], edges[-1]), bins=edges)[0]
    return np.append(counts, len(values) - len(defined)).astype(np.float64)


def similarity(found: Array, expected: Array) -> Array:
    """Return 1 - D / D_max, where D is the largest difference between the cumulative histograms.

    Parameters
    ----------
    found : (..., n_bins) counts, any number of histograms.
    expected : (n_bins,) counts.

    Returns
    -------
    array of shape (...)
        1 for equal shares; 0 for the more distant of the two histograms with everything in an outer bin, which is
        D_max away from `expected`; NaN for an empty histogram.

    Examples
    --------
    >>> round(float(similarity(np.array([1, 1, 1, 1]), np.array([110, 83, 100, 92]))), 3)
    0.953
    """
    total = found.sum(axis=-1, keepdims=True)
    shares = np.divide(found, total, out=np.full(found.shape, np.nan), where=total > 0)
    target = np.cumsum(expected / expected.sum())
    distance = np.abs(np.cumsum(shares, axis=-1) - target).max(axis=-1)
    outermost: Array = 1 - distance / max(1 - target[0], *target[:-1])
    return outermost


def draws(counts: Array, expected: Array, n_draws: int, rng: np.random.Generator) -> Array:
    """Return the similarity of `n_draws` samples, each of as many units as there are neurons.

    Parameters
    ----------
    counts : (n_bins + 1,) of the model's units, the last place for undefined values.
    expected : (n_bins,) of the neurons.

    Returns
    -------
    array of shape (n_draws,)
        All zero where there are no units, or more than a tenth of the samples hold no defined value.

    Notes
    -----
    Drawing units with replacement and counting them is a multinomial draw of the counts.
    """
    if not counts.sum():
        return np.zeros(n_draws)
    samples = rng.multinomial(int(expected.sum()), counts / counts.sum(), size=n_draws)
    found = similarity(samples[:, :-1].astype(np.float64), expected)
    undefined = np.isnan(found)
    if undefined.mean() > MOST_UNDEFINED:
        return np.zeros(n_draws)
    found[undefined] = found[~undefined].mean()
    return found


def outcome(
    values: Mapping[str, Array], distributions: Distributions, n_bootstrap: int, rng: np.random.Generator
) -> Outcome:
    """Return the mean similarity over the properties, relative to that of neurons resampled from the histograms.

    Parameters
    ----------
    values : property -> one number per unit of the model, NaN where undefined; a property that is missing scores 0.
    n_bootstrap : draws; at least 1000 are made, because the score is their mean.

    Notes
    -----
    Properties come from different studies and are drawn independently. The ceiling is what sampling as few neurons
    leaves of a perfect match: it depends on their number, and says nothing about the reliability of a measurement.
    """
    n_draws = max(n_bootstrap, N_DRAWS)
    expected = [np.asarray(each.counts, dtype=np.float64) for each in distributions.distributions]
    ceilings = np.stack([draws(np.append(counts, 0.0), counts, n_draws, rng) for counts in expected])
    units = [_counts(values, each) for each in distributions.distributions]
    found = np.stack(
        [draws(own, counts, n_draws, rng) for own, counts in zip(units, expected, strict=True)]
    )  # (n_properties, n_draws)
    ceiling, raw = float(ceilings.mean()), float(found.mean())
    low, high = (float(bound) for bound in np.percentile(found.mean(axis=0), [2.5, 97.5]))
    error = float(found.mean(axis=0).std())
    replicates = np.broadcast_to(found.mean(axis=0), (3, n_draws))
    return Outcome(
        resampled=("units",),
        raw=raw,
        raw_error=error,
        raw_interval=(low, high),
        ceiling=ceiling,
        ceiling_error=float(ceilings.mean(axis=0).std()),
        ceiled=raw / ceiling,
        ceiled_rule="raw/ceiling",
        error=error / ceiling,
        interval=(low / ceiling, high / ceiling),
        unit="property",
        unit_ids=tuple(each.property for each in distributions.distributions),
        unit_raw=tuple(float(value) for value in found.mean(axis=1)),
        evidence=Evidence(
            # What is drawn are the model's own units: the draws of two models have nothing in common.
            pairing=content_key("units of the model", [own.tolist() for own in units]),
            raw=replicates,
            headline=replicates / ceiling,
        ),
    )


def _counts(values: Mapping[str, Array], distribution: Distribution) -> Array:
    return histogram(values.get(distribution.property, np.empty(0)), distribution.edges)


ENTRIES = (
    DistributionMetric(
        name="ks_similarity",
        version=1,
        description="similarity of property histograms by the Kolmogorov-Smirnov distance",
        citation="Marques et al. 2021 bioRxiv 2021.03.01.433495; brainscore_vision distribution_similarity",
        parameters={"n_draws": N_DRAWS},
        measure="similarity",
        value_range=(0.0, 1.0),
        outcome=outcome,
    ),
)
