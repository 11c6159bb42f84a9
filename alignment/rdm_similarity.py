"""Representational similarity of a layer with recordings, whose dissimilarities are computed from the responses."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any

import numpy as np

from alignment.contracts import (
    Array,
    Expansion,
    GeometryMetric,
    Indices,
    MetricCard,
    Similarity,
    SimilarityMetric,
)
from alignment.gram import Gram
from alignment.rdms import Dissimilarity, rdm_of, rdm_of_rows
from alignment.similarities import groups_of

_BYTES = 500_000_000  # of RDMs without groups of neuroids, at most
_SCIPY_NAMES = {"correlation": "correlation", "cosine": "cosine", "euclidean": "sqeuclidean"}


@dataclass(frozen=True)
class Brain:
    """A recording's RDM, ready to be compared with many layers.

    Attributes
    ----------
    prepared : what the metric's `Expansion` made of it.
    n_neuroids : how many neuroids it comes from.
    group_sizes : (n_groups,) how many of them each group holds.
    """

    prepared: Any = field(repr=False)
    n_neuroids: int
    group_sizes: Array = field(repr=False)


def as_similarity(metric: GeometryMetric) -> SimilarityMetric:
    """Return the form in which a metric of RDMs scores recordings.

    The RDM of the averaged responses, over neuroids, stands in the place of a subject's. It is computed with the
    metric's own dissimilarity: `prepare` refuses nothing, and where a stimulus' responses do not vary the score is NaN.

    Notes
    -----
    Influences are in closed form for stimuli, with derivatives through ranks, and by the delete-a-group jackknife for
    neuroids: they are dealt at random, but always in the same way, to at most 50 groups (20 for Kendall's tau) whose
    sizes differ by one at most, and to fewer where their RDMs would take more than 500 MB. Both are first-order: what
    is particular to single pairs of stimuli, of second order, is left out. Ceilings and their bias under
    `recording_rule` are in docs/methods.md, section 19.
    """
    assert metric.expansion is not None
    facts = {each.name: getattr(metric, each.name) for each in fields(MetricCard)}
    return SimilarityMetric(
        **{**facts, "ceiled_rule": metric.recording_rule},
        prepare=partial(prepare, metric.expansion, metric.dissimilarity),
        compare=partial(compare, metric.expansion, metric.dissimilarity),
        reference=partial(_reference, metric),
    )


def prepare(expansion: Expansion, dissimilarity: Dissimilarity, responses: Array) -> Brain:
    """Return the RDM of responses (n_stimuli, n_neuroids), with and without groups of neuroids."""
    n_stimuli, n_neuroids = responses.shape
    most = max(min(expansion.most_groups, _BYTES // (2 * n_stimuli**2)), 2)
    size = -(-n_neuroids // most)
    groups = groups_of(n_neuroids, -(-n_neuroids // size))

    def without(group: Indices) -> Array:
        left = np.delete(responses, group, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return rdm_of(left if left.size else np.full((n_stimuli, 1), np.nan), dissimilarity, np.float32)

    with np.errstate(invalid="ignore", divide="ignore"), ThreadPoolExecutor(1) as beside:
        prepared = expansion.prepare(rdm_of(responses, dissimilarity), beside.map(without, groups))
    return Brain(prepared, n_neuroids, np.array([len(group) for group in groups], dtype=np.float64))


def compare(expansion: Expansion, dissimilarity: Dissimilarity, gram: Gram, rows: Indices, brain: Brain) -> Similarity:
    """Return how similar a layer's RDM is to a recording's; NaN where either is undefined."""
    with np.errstate(invalid="ignore", divide="ignore"):
        value, by_stimulus, without = expansion.compare(rdm_of_rows(gram, dissimilarity, rows), brain.prepared)
        n_left = brain.n_neuroids - brain.group_sizes
        by_neuroid = len(without) * n_left / brain.n_neuroids * (value - without)
    return Similarity(float(np.clip(value, -1.0, 1.0)), by_stimulus, by_neuroid - by_neuroid.mean())


def _reference(metric: GeometryMetric, features: Array, responses: Array) -> float:
    """Return the metric's slow comparison of SciPy's distances."""
    from scipy.spatial.distance import pdist

    model, brain = (pdist(side, _SCIPY_NAMES[metric.dissimilarity]) for side in (features, responses))
    return float(metric.reference(model, brain[None])[0])
