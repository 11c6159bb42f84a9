"""A layer against recordings: regression, cross-validated, with the recording's reliability as its ceiling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from alignment.banded import mean_shares
from alignment.contracts import Array, BandedMetric, Interval, MetricCard, RegressionMetric, StreamedMetric
from alignment.crossval import Target, cross_validate, make_target, measurements, neuroid_ids, streamed
from alignment.gram import GRAM
from alignment.jobs import Job, Need
from alignment.scores import Evidence, Outcome, Score, pairing_key
from alignment.statistics import (
    PairedMeasurements,
    Resamples,
    aggregate,
    ceiled_draws,
    ceiling_draws,
    contributions,
    nan_median,
    raw_draws,
    resample,
    split_correlations,
    summarise,
)
from benchmarks.ceilings import ceiled, consistency_of_halves
from benchmarks.contracts import BenchmarkCard, Data, Recording
from model_zoo.contracts import Layer

LEGACY_RULE = "(r/ceiling)^2"
UNRELIABLE = "the ceiling is not above 0: repeats of a stimulus do not agree, so no score can be related to it"
Measured = tuple[PairedMeasurements, ...]
Drawn = tuple[Resamples, Array | None]  # what draws take, and the ceiling's replicates (3, n_draws)


@dataclass(frozen=True, kw_only=True)
class RecordingJob(Job):
    """Layers to be scored on one benchmark's recordings under one metric; see `alignment.jobs.Job`."""

    metric: RegressionMetric | BandedMetric | StreamedMetric
    targets: tuple[Target, ...] = field(repr=False)
    _drawn: dict[tuple[int, ...], Drawn] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def of(
        cls,
        card: BenchmarkCard,
        metric: MetricCard,
        data: Sequence[Data],
        visual_degrees: float | None,
    ) -> RecordingJob:
        """Return the job of a card's recordings, placed on a screen of `visual_degrees` (None: filling it)."""
        assert isinstance(metric, RegressionMetric | BandedMetric | StreamedMetric)
        recordings = [each for each in data if isinstance(each, Recording)]
        targets = tuple(make_target(card, recording, visual_degrees) for recording in recordings)
        return cls(card=card, metric=metric, targets=targets)

    @property
    def needs(self) -> tuple[Need, ...]:
        """The Gram matrix over the stimuli of every recording, or what a streamed metric keeps of them."""
        if isinstance(self.metric, StreamedMetric):
            return tuple(Need(target.stimuli, streamed(self.metric, target)) for target in self.targets)
        return tuple(Need(target.stimuli, GRAM) for target in self.targets)

    @property
    def groups(self) -> tuple[tuple[Layer, ...], ...]:
        """Every layer alone, or all together."""
        return (self.layers,) if isinstance(self.metric, BandedMetric) else super().groups

    def measure(self, kept: Callable[[int], Any], threads: int | None) -> Measured:
        """Return the cross-validated predictions of every recording."""
        if isinstance(self.metric, StreamedMetric):
            return tuple(measurements(self.metric, kept(n), target) for n, target in enumerate(self.targets))
        return tuple(cross_validate(self.metric, kept(n), target, threads) for n, target in enumerate(self.targets))

    def raw(self, measured: Measured) -> float:
        """Return the score by which layers are chosen."""
        return aggregate(split_correlations(measured))[0]

    def score(self, model: str, layers: Sequence[Layer], measured: Measured, n_bootstrap: int) -> Score:
        """Return the finished score of a layer, or of several that were taken together."""
        return _score_of(model, self, layers, measured, n_bootstrap)

    def drawn(self, measured: Measured, n_draws: int) -> Drawn:
        """Return what every draw takes, and the ceiling's replicates: the same for every layer, made once."""
        units = (each.splits[0].recorded.shape[1] for each in measured)  # a streamed metric may have the layer's own
        key = (n_draws, *units)
        if key not in self._drawn:
            resamples = resample(measured, n_draws, np.random.default_rng(0))
            self._drawn[key] = resamples, ceiling_draws(measured, resamples)
        return self._drawn[key]


def _score_of(model: str, job: RecordingJob, layers: Sequence[Layer], measured: Measured, n_bootstrap: int) -> Score:
    card = job.card
    correlations = split_correlations(measured)  # (n_splits, n_neuroids)
    raw, split_error = aggregate(correlations)
    resamples, of_ceiling = job.drawn(measured, n_bootstrap)
    draws = raw_draws(measured, resamples)
    raw_error, raw_interval = summarise(raw, draws, fitted=True)
    ceiling = ceiling_error = ceiling_interval = ceiled_value = legacy = None
    error, interval, note, headline = raw_error, raw_interval, "", draws
    if of_ceiling is not None:
        ceiling, ceiling_error, ceiling_interval = ceiling_of(measured, of_ceiling)
    if ceiling is not None and not ceiling > 0:
        note = UNRELIABLE
    elif ceiling is not None and of_ceiling is not None:
        ceiled_value = ceiled(raw, ceiling, rule=card.ceiled_rule)
        legacy = ceiled(raw, ceiling, rule=LEGACY_RULE)
        headline = ceiled_draws(draws, of_ceiling, card.ceiled_rule)
        error, interval = summarise(ceiled_value, headline, fitted=True)
    counted = np.isfinite(correlations)
    per_neuroid = np.where(counted, correlations, 0.0).sum(axis=0) / np.maximum(counted.sum(axis=0), 1)
    per_neuroid[~counted.any(axis=0)] = np.nan
    own = tuple(unit for each in measured for unit in each.unit_ids)
    units = own or neuroid_ids(job.targets)
    shown = [target.stimulus_ids for target in job.targets]
    outcome = Outcome(
        raw=raw,
        raw_error=raw_error,
        raw_interval=raw_interval,
        ceiling=ceiling,
        ceiling_error=ceiling_error,
        ceiled=ceiled_value,
        ceiled_rule=card.ceiled_rule,
        error=error,
        interval=interval,
        unit="feature" if own else "neuroid",
        unit_ids=units,
        unit_raw=tuple(map(float, per_neuroid)),
        resampled=tuple("features" if own and each == "neuroids" else each for each in resamples.resampled),
        details=_shares(job.metric, layers, measured),
        evidence=Evidence(
            pairing=pairing_key(card, job.metric, shown, units, n_bootstrap),
            raw=draws,
            headline=headline,
            by_stimulus=contributions(measured),
            by_unit=per_neuroid,
        ),
    )
    return Score.of(
        outcome,
        card,
        job.metric,
        model=model,
        layer=" + ".join(layer.name for layer in layers),
        layer_choice=job.choice,
        ceiling_interval=ceiling_interval,
        ceiled_legacy=legacy,
        split_error=split_error,
        n_stimuli=sum(target.responses.shape[0] for target in job.targets),
        n_neuroids=sum(target.responses.shape[1] for target in job.targets),
        n_repeats=max(target.n_repeats for target in job.targets),
        n_splits=len(correlations),
        n_features=sum(layer.n_features for layer in layers),
        split_raw=tuple(map(float, nan_median(correlations))),
        profile=job.profile,
        note=note,
    )


def _shares(metric: MetricCard, layers: Sequence[Layer], measured: Measured) -> dict[str, float]:
    """Return how much of the explained variance each of several layers taken together accounts for."""
    if not isinstance(metric, BandedMetric):
        return {}
    return dict(zip((layer.name for layer in layers), map(float, mean_shares(measured)), strict=True))


def ceiling_of(measured: Sequence[PairedMeasurements], draws: Array) -> tuple[float, float, Interval]:
    """Return the internal consistency of recordings, its standard error and its 95 % interval.

    Parameters
    ----------
    measured : the recordings, with halves.
    draws : (3, n_draws), the ceiling's bootstrap replicates.

    Notes
    -----
    Error and interval are about other stimuli and other neuroids of the same populations, hence wider than what
    remains unknown of the recorded ones.
    """
    ceiling, _ = aggregate(np.concatenate([consistency_of_halves(rec.halves) for rec in measured], axis=1))
    return ceiling, *summarise(ceiling, draws, noise_once=False)
