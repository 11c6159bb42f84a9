"""What a metric gives where there is nothing to find: the responses permuted among the stimuli, scored again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from alignment import get_metric
from alignment.contracts import (
    Array,
    ChoiceMetric,
    GeometryMetric,
    Indices,
    Interval,
    MetricCard,
    RegressionMetric,
    Similarity,
    SimilarityMetric,
    StreamedMetric,
)
from alignment.crossval import cross_validate
from alignment.geometries import GeometryJob
from alignment.gram import Gram
from alignment.jobs import Job, Need, Run, measure
from alignment.rdms import model_rdm, rdm_of, rdm_of_rows
from alignment.recordings import RecordingJob
from alignment.scores import Score
from alignment.similarities import SimilarityJob
from alignment.statistics import aggregate, split_correlations
from benchmarks.contracts import BenchmarkCard, Choices, Data
from model_zoo.contracts import Layer
from model_zoo.selection import select_layers

UNDEFINED = "no chance level: the score or those of shuffled stimuli are undefined"
STREAMED = "no chance level: this metric reads the features themselves, which every shuffle would need again"
UNPAIRED = "no chance level: this measure pairs nothing with a stimulus"
_COLUMNS = 4096  # responses that are fitted at a time
_LEVEL = 0.95
_FEW_DRAWS = 2  # bootstrap draws where only the raw score is wanted

Load = Callable[[str], tuple[BenchmarkCard, Sequence[Data]]]
Tick = Callable[[int], None]
Kept = Callable[[int], Any]


@dataclass(frozen=True, kw_only=True)
class Chance:
    """Raw scores of the same layer after the responses were permuted among the stimuli.

    Attributes
    ----------
    n_shuffles : permutations that gave a number.
    mean : of the shuffled scores: what the metric gives where there is nothing to find.
    percentile : what 5 % of them reach or beat: the 95th, or the 5th where lower is better.
    p : (1 + number of shuffles that do at least as well) / (1 + n_shuffles).
    difference, interval : score less `mean`, and its 95 % interval.
    """

    n_shuffles: int
    mean: float
    percentile: float
    p: float
    difference: float
    interval: Interval


def chance_of(score: Score, shuffled: Array) -> Chance | None:
    """Return where a score stands among those of shuffled stimuli (n_shuffles,); None where either is undefined.

    The interval of the difference joins that of the score (other stimuli and units) with what is unknown of the
    shuffled mean, 1.96 standard deviations / sqrt(n_shuffles), by the root of the sum of squares on either side.

    References
    ----------
    Phipson and Smyth (2010), Permutation p-values should never be zero, Stat. Appl. Genet. Mol. Biol. 9, 39, eq. 2.
    """
    values = shuffled[np.isfinite(shuffled)]
    if len(values) < 2 or not np.isfinite(score.raw):
        return None
    higher = get_metric(score.metric).higher_is_better
    reached = int((values >= score.raw).sum() if higher else (values <= score.raw).sum())
    mean, unknown = float(values.mean()), 1.96 * float(values.std(ddof=1)) / np.sqrt(len(values))
    low, high = score.raw_interval
    gap = score.raw - mean
    return Chance(
        n_shuffles=len(values),
        mean=mean,
        percentile=float(np.quantile(values, _LEVEL if higher else 1 - _LEVEL)),
        p=(1 + reached) / (1 + len(values)),
        difference=gap,
        interval=(gap - float(np.hypot(score.raw - low, unknown)), gap + float(np.hypot(high - score.raw, unknown))),
    )


def shuffled_scores(
    run: Run, scores: Sequence[Score], load: Load, n_shuffles: int, tick: Tick
) -> tuple[Array | str, ...]:
    """Return for every score its raw values on shuffled stimuli, (n_shuffles,), or why there are none.

    Parameters
    ----------
    run : Run
        How the scores came about: model, resources, visual degrees, decision.
    scores : sequence of Score
    load : callable
        ``load(benchmark) -> (card, data)``.
    n_shuffles : int
    tick : callable
        Called with the number of shuffles done, of one score, since the last call.

    Notes
    -----
    The same permutations serve all layers of a benchmark. Nothing else changes: splits, penalties and aggregation are
    the score's own. What was kept of a layer is used again, so that no image is looked at but where it was not kept.
    """
    found: list[Array | str] = [""] * len(scores)
    jobs: dict[int, Job] = {}
    for number, score in enumerate(scores):
        metric, (card, data) = get_metric(score.metric), load(score.benchmark)
        if isinstance(metric, ChoiceMetric):
            found[number] = _choices(run, score, metric, data, n_shuffles, tick)
        elif isinstance(metric, StreamedMetric):
            found[number] = STREAMED
        elif card.kind not in ("recording", "geometry"):
            found[number] = UNPAIRED
        else:
            inner, values = _job_of(card, metric, data, run.visual_degrees)
            layers = select_layers(score.layer.split(" + "), run.subject.layers())
            jobs[number] = _Shuffled(
                card=card, metric=metric, layers=layers, inner=inner, values=values, n=n_shuffles, tick=tick
            )
    numbers = list(jobs)
    for index, _, shuffled in measure(list(jobs.values()), replace(run, progress=None)):
        found[numbers[index]] = shuffled
    return tuple(found)


@dataclass(frozen=True, kw_only=True)
class _Shuffled(Job):
    """A job whose measurement of a layer are its raw scores on shuffled stimuli."""

    inner: Job
    values: Callable[[Kept, list[list[Indices]], int | None, Tick], Array] = field(repr=False)
    n: int
    tick: Tick = field(repr=False)

    @property
    def needs(self) -> tuple[Need, ...]:
        return self.inner.needs

    @property
    def groups(self) -> tuple[tuple[Layer, ...], ...]:
        return self.inner.with_layers(self.layers).groups

    def measure(self, kept: Kept, threads: int | None) -> Array:
        orders = [permutations(len(need.stimuli.ids), self.n) for need in self.needs]
        return self.values(kept, orders, threads, self.tick)

    def raw(self, measured: Array) -> float:
        return float(np.nanmean(measured))

    def score(self, model: str, layers: Sequence[Layer], measured: Array, n_bootstrap: int) -> Score:
        raise NotImplementedError("shuffled stimuli are no score of a model")


def permutations(n_stimuli: int, n_shuffles: int) -> list[Indices]:
    """Return `n_shuffles` orders of `n_stimuli` rows, always the same ones for the same numbers."""
    rng = np.random.default_rng([n_stimuli, n_shuffles])
    return [rng.permutation(n_stimuli) for _ in range(n_shuffles)]


def _job_of(
    card: BenchmarkCard, metric: MetricCard, data: Sequence[Data], visual_degrees: float | None
) -> tuple[Job, Callable[[Kept, list[list[Indices]], int | None, Tick], Array]]:
    """Return the job of a benchmark, and how it is scored on shuffled stimuli."""
    if card.kind == "geometry":
        geometry = GeometryJob.of(card, metric, data, visual_degrees)
        return geometry, lambda kept, orders, _, tick: _geometry(geometry, kept, orders, tick)
    if isinstance(metric, GeometryMetric | SimilarityMetric):
        plain = _without_influence(metric) if isinstance(metric, GeometryMetric) else metric
        similarity = SimilarityJob.of(card, plain, data, visual_degrees)
        return similarity, lambda kept, orders, _, tick: _similarity(similarity, kept, orders, tick)
    recording = RecordingJob.of(card, metric, data, visual_degrees)
    return recording, lambda kept, orders, threads, tick: _regression(recording, kept, orders, threads, tick)


def _geometry(job: GeometryJob, kept: Kept, orders: list[list[Indices]], tick: Tick) -> Array:
    values = []
    for number in range(len(orders[0])):
        rdms = []
        for n, geometry in enumerate(job.geometries):
            ids = [geometry.stimuli.ids[row] for row in orders[n][number]]
            rdms.append(model_rdm(kept(n), job.metric.dissimilarity, ids))
        values.append(job.raw(tuple(rdms)))
        tick(1)
    return np.array(values)


def _similarity(job: SimilarityJob, kept: Kept, orders: list[list[Indices]], tick: Tick) -> Array:
    values = []
    for number in range(len(orders[0])):
        found = []
        for n, (target, brain) in enumerate(zip(job.targets, job.brains, strict=True)):
            rows = kept(n).rows_of(target.stimulus_ids)
            found.append(job.metric.compare(kept(n), rows[orders[n][number]], brain))
        values.append(job.raw(tuple(found)))
        tick(1)
    return np.array(values)


def _regression(job: RecordingJob, kept: Kept, orders: list[list[Indices]], threads: int | None, tick: Tick) -> Array:
    """Return the scores of cross-validated predictions; where neuroids are fitted apart, of many shuffles at a time."""
    metric, n_shuffles = job.metric, len(orders[0])
    assert not isinstance(metric, StreamedMetric)
    at_once = 1
    if isinstance(metric, RegressionMetric) and fits_apart(metric):
        at_once = max(1, _COLUMNS // max(target.responses.shape[1] for target in job.targets))
    values: list[float] = []
    for start in range(0, n_shuffles, at_once):
        correlations = []
        for n, target in enumerate(job.targets):
            some = orders[n][start : start + at_once]
            responses = np.concatenate([target.responses[order] for order in some], axis=1)
            shuffled = replace(target, responses=responses, halves=())
            r = split_correlations([cross_validate(metric, kept(n), shuffled, threads)])
            correlations.append(r.reshape(len(r), len(some), -1))  # (n_splits, n_shuffles, n_neuroids)
        together = np.concatenate(correlations, axis=2)
        values += [aggregate(together[:, number])[0] for number in range(together.shape[1])]
        tick(together.shape[1])
    return np.array(values)


def fits_apart(metric: RegressionMetric) -> bool:
    """Return whether a metric predicts every neuroid as if the others had not been recorded.

    It is asked to: responses that the features explain are predicted alone, and beside noise a hundred times as large,
    which would take over a penalty, or a component, that all neuroids share.
    """
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 80)) * np.geomspace(1.0, 0.01, 80)
    explained = features @ rng.normal(size=(80, 4)) + 0.1 * rng.normal(size=(60, 4))
    noise = 100.0 * rng.normal(size=(60, 8))
    train, test = np.arange(48), np.arange(48, 60)
    gram = Gram.of(features, [str(row) for row in range(60)])
    alone = metric.predict(gram, train, test, explained[train])
    beside = metric.predict(gram, train, test, np.hstack([noise, explained])[train])[:, 8:]
    return bool(np.allclose(alone, beside, rtol=1e-8, atol=1e-10))


def _without_influence(metric: GeometryMetric) -> SimilarityMetric:
    """Return a metric of RDMs as `alignment.rdm_similarity` gives it, but for the values alone."""

    def compare(gram: Gram, rows: Indices, brain: Array) -> Similarity:
        with np.errstate(invalid="ignore", divide="ignore"):
            value = metric.compare(rdm_of_rows(gram, metric.dissimilarity, rows), brain)[0]
        return Similarity(float(value), np.zeros(0), np.zeros(0))

    facts = {each.name: getattr(metric, each.name) for each in fields(MetricCard)}
    return SimilarityMetric(
        **facts,
        prepare=lambda responses: rdm_of(responses, metric.dissimilarity)[None],
        compare=compare,
        reference=lambda features, responses: float("nan"),
    )


def _choices(run: Run, score: Score, metric: ChoiceMetric, data: Sequence[Data], n_shuffles: int, tick: Tick) -> Array:
    """Return the scores of the model's answers given to other stimuli of the same condition."""
    from alignment.choices import answer

    (choices,) = (each for each in data if isinstance(each, Choices))
    layers = select_layers(score.layer.split(", "), run.subject.layers())
    behaviour = answer(replace(run, progress=None), score.benchmark, choices, layers).behaviour
    table = choices.stimuli().table
    conditions = table["condition"].reindex(list(behaviour.stimulus_ids)) if "condition" in table else None
    groups = [np.arange(len(behaviour.stimulus_ids))]
    if conditions is not None:
        groups = [np.flatnonzero(conditions == name) for name in conditions.unique()]
    rng, values = np.random.default_rng(0), []
    for _ in range(n_shuffles):
        order = np.arange(len(behaviour.stimulus_ids))
        for group in groups:
            order[group] = rng.permutation(group)
        shuffled = replace(behaviour, probabilities=behaviour.probabilities[order])
        values.append(metric.outcome(shuffled, choices, _FEW_DRAWS, np.random.default_rng(0)).raw)
        tick(1)
    return np.array(values)
