"""A layer against representational dissimilarities, with the agreement among subjects as its ceiling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from alignment.contracts import Array, GeometryMetric, MetricCard
from alignment.gram import GRAM
from alignment.jobs import Job, Need
from alignment.rdms import model_rdm, noise_ceiling
from alignment.scores import Evidence, Outcome, Score, pairing_key
from alignment.statistics import ceiled_draws, how_often, summarise
from benchmarks.ceilings import ceiled
from benchmarks.contracts import BenchmarkCard, Data, Geometry
from model_zoo.contracts import Layer
from model_zoo.errors import ShapeMismatch

RULE = "raw/ceiling"
UNDEFINED = "undefined: the layer does not vary over features for some stimulus, or not over stimuli"
Measured = tuple[Array, ...]


@dataclass(frozen=True, kw_only=True)
class GeometryJob(Job):
    """Layers to be scored on one benchmark's RDMs under one metric; see `alignment.jobs.Job`."""

    metric: GeometryMetric
    geometries: tuple[Geometry, ...] = field(repr=False)

    @classmethod
    def of(
        cls, card: BenchmarkCard, metric: MetricCard, data: Sequence[Data], visual_degrees: float | None
    ) -> GeometryJob:
        """Return the job of a card's geometries, their stimuli on a screen of `visual_degrees` (None: filling it).

        Raises
        ------
        ShapeMismatch
            If an RDM has not one entry per pair of stimuli.
        """
        assert isinstance(metric, GeometryMetric)
        geometries = [each for each in data if isinstance(each, Geometry)]
        for geometry in geometries:
            n_stimuli = len(geometry.stimuli.ids)
            expected = (len(geometry.subject_ids), n_stimuli * (n_stimuli - 1) // 2)
            if geometry.rdms.shape != expected:
                raise ShapeMismatch(
                    f"RDMs of {card.name}",
                    expected=f"shape {expected}: subjects by pairs of {n_stimuli} stimuli",
                    got=str(geometry.rdms.shape),
                    next_step="condense them with scipy.spatial.distance.squareform in the order of the stimuli",
                )
        if visual_degrees is not None:
            geometries = [replace(each, stimuli=each.stimuli.place_on_screen(visual_degrees)) for each in geometries]
        return cls(card=card, metric=metric, geometries=tuple(geometries))

    @property
    def needs(self) -> tuple[Need, ...]:
        """The Gram matrix over the stimuli of every geometry."""
        return tuple(Need(geometry.stimuli, GRAM) for geometry in self.geometries)

    def measure(self, kept: Callable[[int], Any], threads: int | None) -> Measured:
        """Return one layer's RDM over the stimuli of every geometry."""
        kind = self.metric.dissimilarity
        return tuple(model_rdm(kept(n), kind, geometry.stimuli.ids) for n, geometry in enumerate(self.geometries))

    def raw(self, measured: Measured) -> float:
        """Return the score by which layers are chosen: the mean over subjects."""
        return float(self._per_subject(measured).mean())

    def score(self, model: str, layers: Sequence[Layer], measured: Measured, n_bootstrap: int) -> Score:
        """Return the finished score of one layer."""
        (layer,) = layers
        return _score_of(model, self, layer, measured, n_bootstrap)

    def _per_subject(self, references: Sequence[Array]) -> Array:
        """Return the similarity of one RDM per geometry with the subjects of all geometries, side by side."""
        compared = zip(references, self.geometries, strict=True)
        return np.concatenate([self.metric.compare(reference, geometry.rdms) for reference, geometry in compared])


def bootstrap(
    metric: GeometryMetric,
    references: Sequence[Sequence[Array]],
    geometries: Sequence[Geometry],
    n_draws: int,
    rng: np.random.Generator,
) -> Array:
    """Return replicates of the mean over subjects, shape (n_references, 3, n_draws), paired across references.

    Each draw takes as many stimuli and subjects with replacement as there are: stimuli alone, subjects alone, and both.
    A drawn stimulus makes no pair with its own copies.

    Parameters
    ----------
    metric : GeometryMetric
    references : per reference (a model, a pool of subjects) one RDM (n_pairs,) for every geometry.
    geometries : sequence of Geometry
    n_draws : int
    rng : numpy.random.Generator

    Notes
    -----
    References are held fixed. For a pool this makes no difference to first order: it is the RDM with the highest mean
    similarity, around which that mean is flat. `alignment.statistics.summarise` makes of the three one error.
    """
    n_subjects = sum(len(geometry.rdms) for geometry in geometries)
    chosen = rng.integers(n_subjects, size=(n_draws, n_subjects))
    fixed, drawn = [], []
    for number, geometry in enumerate(geometries):
        rdms = np.stack([reference[number] for reference in references])  # (n_references, n_pairs)
        counts = how_often(len(geometry.stimuli.ids), n_draws, rng)
        fixed.append(np.stack([metric.compare(rdm, geometry.rdms) for rdm in rdms]))
        drawn.append(metric.compare_draws(rdms, geometry.rdms, counts))
    subjects = np.concatenate(fixed, axis=1)[:, chosen]  # (n_references, n_draws, n_subjects)
    stimuli = np.concatenate(drawn, axis=2)
    both = np.take_along_axis(stimuli, chosen[None], axis=2)
    return np.stack([each.mean(axis=2) for each in (stimuli, subjects, both)], axis=1)


def _bounds(job: GeometryJob) -> tuple[float, float] | None:
    """Return the (upper, lower) noise ceiling over all subjects; None where one stands alone."""
    if job.card.ceiling is None or any(len(geometry.rdms) < 2 for geometry in job.geometries):
        return None
    bounds = [noise_ceiling(job.metric.compare, job.metric.pool, geometry.rdms) for geometry in job.geometries]
    weights = [len(geometry.rdms) for geometry in job.geometries]
    upper, lower = np.average(bounds, axis=0, weights=weights)
    return float(upper), float(lower)


def _score_of(model: str, job: GeometryJob, layer: Layer, measured: Measured, n_bootstrap: int) -> Score:
    card, metric = job.card, job.metric
    per_subject = job._per_subject(measured)
    raw = float(per_subject.mean())
    bounds = _bounds(job)
    references: list[Sequence[Array]] = [measured]
    if bounds is not None:
        references.append([metric.pool(geometry.rdms) for geometry in job.geometries])
    n_draws = n_bootstrap if metric.most_draws is None else min(n_bootstrap, metric.most_draws)
    draws = bootstrap(metric, references, job.geometries, n_draws, np.random.default_rng(0))
    raw_error, raw_interval = summarise(raw, draws[0])
    ceiling = ceiling_error = lower = ceiled_value = None
    error, interval, headline = raw_error, raw_interval, draws[0]
    if bounds is not None:
        ceiling, lower = bounds
        ceiling_error, _ = summarise(ceiling, draws[1])
        ceiled_value = ceiled(raw, ceiling, rule=RULE)
        headline = ceiled_draws(draws[0], draws[1], RULE)
        error, interval = summarise(ceiled_value, headline)
    units = tuple(subject for geometry in job.geometries for subject in geometry.subject_ids)
    shown = [geometry.stimuli.ids for geometry in job.geometries]
    outcome = Outcome(
        raw=raw,
        raw_error=raw_error,
        raw_interval=raw_interval,
        ceiling=ceiling,
        ceiling_error=ceiling_error,
        ceiling_lower=lower,
        ceiled=ceiled_value,
        ceiled_rule="raw" if bounds is None else RULE,
        error=error,
        interval=interval,
        unit="subject",
        unit_ids=units,
        unit_raw=tuple(map(float, per_subject)),
        resampled=("stimuli", "subjects"),
        evidence=Evidence(
            pairing=pairing_key(card, metric, shown, units, n_draws),
            raw=draws[0],
            headline=headline,
            by_unit=per_subject,
        ),
    )
    return Score.of(
        outcome,
        card,
        metric,
        model=model,
        layer=layer.name,
        layer_choice=job.choice,
        n_stimuli=sum(len(geometry.stimuli.ids) for geometry in job.geometries),
        n_subjects=len(per_subject),
        n_features=layer.n_features,
        profile=job.profile,
        note=UNDEFINED if np.isnan(raw) else "",
    )
