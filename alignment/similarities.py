"""A layer against a whole population of neuroids, without a fit: similarity of representations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from alignment.contracts import GeometryMetric, MetricCard, Similarity, SimilarityMetric
from alignment.crossval import Target, make_target
from alignment.gram import GRAM
from alignment.jobs import Job, Need
from alignment.scores import Score
from benchmarks.contracts import BenchmarkCard, Data, Recording
from model_zoo.contracts import Layer

Measured = tuple[Similarity, ...]


@dataclass(frozen=True, kw_only=True)
class SimilarityJob(Job):
    """Layers to be compared with one benchmark's recordings under one metric; see `alignment.jobs.Job`."""

    metric: SimilarityMetric
    targets: tuple[Target, ...] = field(repr=False)
    brains: tuple[Any, ...] = field(repr=False)

    @classmethod
    def of(
        cls, card: BenchmarkCard, metric: MetricCard, data: Sequence[Data], visual_degrees: float | None
    ) -> SimilarityJob:
        """Return the job of a card's recordings, placed on a screen of `visual_degrees` (None: filling it)."""
        if isinstance(metric, GeometryMetric):
            from alignment.rdm_similarity import as_similarity

            metric = as_similarity(metric)
        assert isinstance(metric, SimilarityMetric)
        recordings = [each for each in data if isinstance(each, Recording)]
        targets = tuple(make_target(card, recording, visual_degrees) for recording in recordings)
        return cls(
            card=card, metric=metric, targets=targets, brains=tuple(metric.prepare(each.responses) for each in targets)
        )

    @property
    def needs(self) -> tuple[Need, ...]:
        """The Gram matrix over the stimuli of every recording."""
        return tuple(Need(target.stimuli, GRAM) for target in self.targets)

    def measure(self, kept: Callable[[int], Any], threads: int | None) -> Measured:
        """Return one layer's similarity with every recorded population."""
        found = []
        for number, (target, brain) in enumerate(zip(self.targets, self.brains, strict=True)):
            found.append(self.metric.compare(kept(number), np.arange(len(target.stimulus_ids)), brain))
        return tuple(found)

    def raw(self, measured: Measured) -> float:
        """Return the score by which layers are chosen: the mean over recordings."""
        return float(np.mean([each.value for each in measured]))

    def score(self, model: str, layers: Sequence[Layer], measured: Measured, n_bootstrap: int) -> Score:
        """Return the finished score of one layer."""
        raise NotImplementedError
