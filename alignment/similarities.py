"""A layer against a whole population of neuroids, without a fit: similarity of representations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from alignment.contracts import Array, GeometryMetric, MetricCard, Similarity, SimilarityMetric
from alignment.crossval import Target, make_target
from alignment.gram import GRAM, Gram
from alignment.jobs import Job, Need
from alignment.kernels import groups_of as groups_of
from alignment.scores import Evidence, Outcome, Score, pairing_key
from alignment.statistics import ceiled_draws, summarise
from benchmarks.ceilings import ceiled, spearman_brown
from benchmarks.contracts import BenchmarkCard, Data, Recording
from model_zoo.contracts import Layer
from model_zoo.errors import DataIntegrity

UNDEFINED = "undefined: the layer or the population does not vary over the stimuli"
UNRELIABLE = "the ceiling is not above 0: halves of the repeats do not agree, so no score can be related to it"
Measured = tuple[Similarity, ...]


@dataclass(frozen=True, kw_only=True)
class SimilarityJob(Job):
    """Layers to be compared with one benchmark's recordings under one metric; see `alignment.jobs.Job`.

    Attributes
    ----------
    targets : the recordings, of neuroids that were recorded for every stimulus.
    brains : what the metric prepared of each.
    note : how many neuroids were left out.
    """

    metric: SimilarityMetric
    targets: tuple[Target, ...] = field(repr=False)
    brains: tuple[Any, ...] = field(repr=False)
    note: str = ""

    @classmethod
    def of(
        cls, card: BenchmarkCard, metric: MetricCard, data: Sequence[Data], visual_degrees: float | None
    ) -> SimilarityJob:
        """Return the job of a card's recordings, placed on a screen of `visual_degrees` (None: filling it).

        Raises
        ------
        DataIntegrity
            If no neuroid of a recording was recorded for every stimulus.
        """
        if isinstance(metric, GeometryMetric):
            from alignment.rdm_similarity import as_similarity

            metric = as_similarity(metric)
        assert isinstance(metric, SimilarityMetric)
        recordings = [each for each in data if isinstance(each, Recording)]
        found = [make_target(card, recording, visual_degrees) for recording in recordings]
        targets = tuple(_complete(card, metric, target) for target in found)
        n_neuroids = sum(len(target.neuroid_ids) for target in found)
        n_left = n_neuroids - sum(len(target.neuroid_ids) for target in targets)
        note = f"{n_left} of {n_neuroids} neuroids miss a stimulus and are left out" if n_left else ""
        brains = tuple(metric.prepare(each.responses) for each in targets)
        return cls(card=card, metric=metric, targets=targets, brains=brains, note=note)

    @property
    def needs(self) -> tuple[Need, ...]:
        """The Gram matrix over the stimuli of every recording."""
        return tuple(Need(target.stimuli, GRAM) for target in self.targets)

    def measure(self, kept: Callable[[int], Any], threads: int | None) -> Measured:
        """Return one layer's similarity with every recorded population."""
        found = []
        for number, (target, brain) in enumerate(zip(self.targets, self.brains, strict=True)):
            gram = kept(number)
            found.append(self.metric.compare(gram, gram.rows_of(target.stimulus_ids), brain))
        return tuple(found)

    def raw(self, measured: Measured) -> float:
        """Return the score by which layers are chosen: the mean over recordings."""
        return float(np.mean([each.value for each in measured]))

    @cached_property
    def ceilings(self) -> Measured | None:
        """Reliability of every recorded population; None where the metric or one of the recordings has none."""
        if self.metric.ceiled_rule is None or not all(target.halves for target in self.targets):
            return None
        found = [reliability(self.metric, target.halves, target.responses) for target in self.targets]
        return tuple(each for each in found if each is not None) if None not in found else None

    def score(self, model: str, layers: Sequence[Layer], measured: Measured, n_bootstrap: int) -> Score:
        """Return the finished score of one layer."""
        (layer,) = layers
        return _score_of(model, self, layer, measured, n_bootstrap)


def reliability(metric: SimilarityMetric, halves: Sequence[tuple[Array, Array]], whole: Array) -> Similarity | None:
    """Return the ceiling of a recording under a metric, the mean over halvings of its repeats.

    By the metric's own `reliability` where it has one, else by `spearman_brown_of_halves`. Stimuli that lack a response
    in one of the halves are left out of that halving.

    Parameters
    ----------
    metric : SimilarityMetric
    halves : means of two halves of the repeats, each (n_stimuli, n_neuroids), per halving.
    whole : (n_stimuli, n_neuroids) means of all repeats.

    Returns
    -------
    Similarity or None
        None where no halving keeps half of the stimuli.
    """
    of_halves = metric.reliability or partial(spearman_brown_of_halves, metric)
    found = []
    for first, second in halves:
        rows = np.isfinite(first + second).all(axis=1)
        if rows.mean() >= 0.5:
            each = of_halves(first[rows], second[rows], whole[rows])
            by_stimulus = np.zeros(len(rows))
            by_stimulus[rows] = each.by_stimulus * len(rows) / rows.sum()
            found.append(replace(each, by_stimulus=by_stimulus))
    if not found:
        return None
    return Similarity(
        float(np.mean([each.value for each in found])),
        np.mean([each.by_stimulus for each in found], axis=0),
        np.mean([each.by_neuroid for each in found], axis=0),
    )


def spearman_brown_of_halves(metric: SimilarityMetric, first: Array, second: Array, whole: Array) -> Similarity:
    """Return how alike two halves of the repeats are, corrected to the length of the whole.

    One half is compared with the other as a layer is with a population. Influences of neuroids are twice those on one
    side, since the metric does not tell the sides apart and which half is first is chance; where halves are nearly
    alike they are too large, up to about twice, and the ceiling's error with them.
    """
    gram = Gram.of(first, [str(row) for row in range(len(first))])
    found = metric.compare(gram, np.arange(len(first)), metric.prepare(second))
    slope = 2.0 / (1.0 + found.value) ** 2
    value = float(spearman_brown(np.array(found.value)))
    return Similarity(value, slope * found.by_stimulus, 2.0 * slope * found.by_neuroid)


def _complete(card: BenchmarkCard, metric: MetricCard, target: Target) -> Target:
    """Return a recording without the neuroids that miss a stimulus."""
    complete = np.isfinite(target.responses).all(axis=0)
    if not complete.any():
        raise DataIntegrity(
            f"metric {metric.name} on {card.name}",
            expected="neuroids that were recorded for every stimulus",
            got=f"none among {len(complete)}",
            next_step=f"use a metric that fits every neuroid on the stimuli it has, such as {card.default_metric}",
        )
    if complete.all():
        return target
    return replace(
        target,
        neuroid_ids=tuple(np.array(target.neuroid_ids)[complete]),
        responses=target.responses[:, complete],
        halves=tuple((first[:, complete], second[:, complete]) for first, second in target.halves),
    )


def replicates(of: Sequence[Measured], n_draws: int, rng: np.random.Generator) -> Array:
    """Return bootstrap replicates of means over recordings, by first-order expansion, paired between quantities.

    Stimuli and groups of neuroids of every recording are drawn with replacement, as many as there are; a quantity that
    is `value` in a recording is then value + sum_i (w_i - 1) influence_i / n with w_i the count of draw i.

    Parameters
    ----------
    of : for every quantity, a Similarity per recording, with influences of the same lengths.
    n_draws : int
    rng : numpy.random.Generator

    Returns
    -------
    array of shape (n_quantities, 3, n_draws)
        Stimuli alone drawn anew, neuroids alone, and both.
    """
    raw = np.array([np.mean([each.value for each in measured]) for measured in of])
    changes = np.zeros((len(of), 2, n_draws))
    recordings = list(zip(*of, strict=True))
    for quantities in recordings:
        for side, name in enumerate(("by_stimulus", "by_neuroid")):
            influences = np.stack([getattr(each, name) for each in quantities])  # (n_quantities, n)
            influences = influences - influences.mean(axis=1, keepdims=True)
            chosen = rng.integers(influences.shape[1], size=(n_draws, influences.shape[1]))
            changes[:, side] += influences[:, chosen].mean(axis=2) / len(recordings)
    return np.asarray(raw[:, None, None] + np.stack([changes[:, 0], changes[:, 1], changes.sum(axis=1)], axis=1))


def bounded(value: float, draws: Array) -> Array:
    """Return first-order replicates of a value between -1 and 1, moved onto the scale on which it varies evenly.

    On the scale of artanh, Fisher's z, the spread of a correlation-like value hardly depends on the value. Replicates
    on the plain scale miss that one that came out too high comes with too small an error, and may pass 1. Values at
    the bounds are left as they are.

    Parameters
    ----------
    value : float
    draws : array of any shape
        ``value`` plus small changes.
    """
    if not abs(value) < 1.0:
        return draws
    return np.asarray(np.tanh(np.arctanh(value) + (draws - value) / (1.0 - value**2)))


def contributions(raw: float, influences: Sequence[Array]) -> Array:
    """Return what stimuli or neuroids contribute to a mean over recordings, which is the mean of what they do.

    Parameters
    ----------
    raw : the mean over recordings.
    influences : per recording, as in `Similarity`.
    """
    n_in_all = sum(map(len, influences))
    scaled = [each * n_in_all / (len(influences) * len(each)) for each in influences]
    return np.asarray(raw + np.concatenate(scaled))


def _unit_ids(targets: Sequence[Target], measured: Measured) -> tuple[str, ...]:
    """Return the neuroids, or of every group its first and how many others."""
    names = []
    for target, found in zip(targets, measured, strict=True):
        for group in groups_of(len(target.neuroid_ids), len(found.by_neuroid)):
            first, n_others = target.neuroid_ids[group[0]], len(group) - 1
            names.append(f"{first} and {n_others} others" if n_others else first)
    return tuple(names)


def _score_of(model: str, job: SimilarityJob, layer: Layer, measured: Measured, n_bootstrap: int) -> Score:
    card, metric = job.card, job.metric
    raw = job.raw(measured)
    quantities = [measured] if job.ceilings is None else [measured, job.ceilings]
    draws = replicates(quantities, n_bootstrap, np.random.default_rng(0))
    if metric.value_range[1] <= 1.0:
        draws = np.stack([bounded(job.raw(each), of_it) for each, of_it in zip(quantities, draws, strict=True)])
    raw_error, raw_interval = summarise(raw, draws[0])
    ceiling = ceiling_error = ceiling_interval = ceiled_value = None
    error, interval, headline, rule = raw_error, raw_interval, draws[0], "raw"
    notes = [job.note] if job.note else []
    if np.isnan(raw):
        notes.append(UNDEFINED)
    if job.ceilings is not None:
        ceiling = job.raw(job.ceilings)
        ceiling_error, ceiling_interval = summarise(ceiling, draws[1], noise_once=False)
        rule = metric.ceiled_rule or "raw"
    if ceiling is not None and not ceiling > 0:
        notes.append(UNRELIABLE)
    elif ceiling is not None:
        ceiled_value = ceiled(raw, ceiling, rule=rule)
        headline = ceiled_draws(draws[0], draws[1], rule)
        error, interval = summarise(ceiled_value, headline)
    by_unit = contributions(raw, [each.by_neuroid for each in measured])
    units = _unit_ids(job.targets, measured)
    shown = [target.stimulus_ids for target in job.targets]
    outcome = Outcome(
        raw=raw,
        raw_error=raw_error,
        raw_interval=raw_interval,
        ceiling=ceiling,
        ceiling_error=ceiling_error,
        ceiled=ceiled_value,
        ceiled_rule=rule,
        error=error,
        interval=interval,
        unit="neuroids",
        unit_ids=units,
        unit_raw=tuple(map(float, by_unit)),
        resampled=("stimuli", "neuroids"),
        evidence=Evidence(
            pairing=pairing_key(card, metric, shown, units, n_bootstrap),
            raw=draws[0],
            headline=headline,
            by_stimulus=contributions(raw, [each.by_stimulus for each in measured]),
            by_unit=by_unit,
        ),
    )
    return Score.of(
        outcome,
        card,
        metric,
        model=model,
        layer=layer.name,
        layer_choice=job.choice,
        ceiling_interval=ceiling_interval,
        n_stimuli=sum(map(len, shown)),
        n_neuroids=sum(len(target.neuroid_ids) for target in job.targets),
        n_repeats=max(target.n_repeats for target in job.targets),
        n_features=layer.n_features,
        profile=job.profile,
        note="; ".join(notes),
    )
