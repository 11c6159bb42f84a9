"""Representational similarity of a layer with recordings, whose dissimilarities are computed from the responses."""

from __future__ import annotations

from alignment.contracts import GeometryMetric, SimilarityMetric


def as_similarity(metric: GeometryMetric) -> SimilarityMetric:
    """Return the form in which a metric of RDMs scores recordings."""
    raise NotImplementedError(metric.name)
