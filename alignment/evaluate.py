"""Scores: the one place where a model, a benchmark and a metric meet."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from alignment import get_metric
from alignment.contracts import LayerProfile, MetricCard, Score
from alignment.crossval import Target, cross_validate, make_target, neuroid_ids
from alignment.gram import Gram, Resources
from alignment.layers import check_disjoint, commit
from alignment.statistics import (
    PairedMeasurements,
    aggregate,
    bootstrap,
    nan_median,
    split_correlations,
    summarise,
)
from alignment.subjects import ModelSubject, PrecomputedFeatures, Subject
from benchmarks import bundled_benchmarks, get_benchmark
from benchmarks.ceilings import ceiled, consistency_of_halves
from benchmarks.contracts import BenchmarkCard, Recording
from benchmarks.stimuli import StimulusSet
from model_zoo.contracts import Layer, LoadedModel
from model_zoo.errors import InvalidOption
from model_zoo.extraction import Progress
from model_zoo.machine import n_threads

LEGACY_RULE = "(r/ceiling)^2"


@dataclass(frozen=True)
class _Job:
    """Layers to be scored on one benchmark's recordings under one metric."""

    card: BenchmarkCard
    metric: MetricCard
    targets: tuple[Target, ...] = field(repr=False)
    layers: tuple[Layer, ...] = ()
    choice: str = "user"
    profile: LayerProfile | None = None


def score(
    model: str | LoadedModel | PrecomputedFeatures,
    benchmark: str | Sequence[str] | None = None,
    *,
    layers: str | Sequence[str] = "auto",
    metric: str | None = None,
    weights: str | Path | None = None,
    seed: int = 0,
    resources: Resources | None = None,
    mirror: Path | None = None,
    visual_degrees: float | None = None,
    n_bootstrap: int = 1000,
    progress: Progress | None = None,
) -> tuple[Score, ...]:
    """Return the model's scores, one per benchmark and layer.

    Parameters
    ----------
    model : str, LoadedModel or PrecomputedFeatures
        A name ("torchvision/resnet18"), a model from `model_zoo.load_model`, or features computed elsewhere.
    benchmark : str, sequence of str or None
        Identifiers from `benchmarks.list_benchmarks`; None: the bundled, simulated areas.
    layers : str or sequence of str
        "auto" commits one layer per benchmark on the card's commitment data; otherwise names or globs ("features.*"),
        "blocks" or "all": every one of them is scored.
    metric : str or None
        Identifier from `list_metrics`; None: each benchmark's default.
    weights, seed : checkpoint file, or the seed of random weights, where `model` is a name.
    resources : Resources or None
        Device, batch size, threads, memory, scratch disk and cache.
    mirror : pathlib.Path or None
        Offline mirror of the public files; None: the environment's VENTRAL_MIRROR.
    visual_degrees : float or None
        Degrees of visual angle the model's input spans; None: the model's own, or the stimulus fills the input.
    n_bootstrap : int
        Draws of stimuli and neuroids behind error and interval, the same draws for every model.
    progress : callable or None
        ``progress(stage, done, total)``.

    Returns
    -------
    tuple of Score

    Raises
    ------
    VentralError
        Any of its kinds, naming the place and the next step.

    Examples
    --------
    >>> from alignment import score
    >>> scores = score("torchvision/resnet18", "Simulated.V1", layers="layer1", seed=0)  # doctest: +SKIP
    >>> scores[0].ceiled  # doctest: +SKIP
    """
    if benchmark is None:
        benchmark = [card.name for card in bundled_benchmarks()]
    names = (benchmark,) if isinstance(benchmark, str) else tuple(dict.fromkeys(benchmark))
    cards = [get_benchmark(name) for name in names]
    metrics = [get_metric(metric or card.default_metric) for card in cards]
    subject = _subject(model, weights, seed)
    resources = resources or Resources()
    with threadpool_limits(resources.threads or n_threads(), user_api="blas"):
        return _score_all(subject, cards, metrics, layers, resources, mirror, visual_degrees, n_bootstrap, progress)


def _score_all(
    subject: Subject,
    cards: Sequence[BenchmarkCard],
    metrics: Sequence[MetricCard],
    layers: str | Sequence[str],
    resources: Resources,
    mirror: Path | None,
    visual_degrees: float | None,
    n_bootstrap: int,
    progress: Progress | None,
) -> tuple[Score, ...]:
    from benchmarks.fetch import locate

    degrees = visual_degrees if visual_degrees is not None else subject.visual_degrees

    def load(card: BenchmarkCard) -> tuple[Recording, ...]:
        return card.load(lambda file: locate(file, mirror=mirror))

    def prepare(card: BenchmarkCard, recordings: tuple[Recording, ...], metric_card: MetricCard) -> _Job:
        return _Job(card, metric_card, tuple(make_target(card, recording, degrees) for recording in recordings))

    recordings = [load(card) for card in cards]
    jobs = [prepare(*parts) for parts in zip(cards, recordings, metrics, strict=True)]
    if layers != "auto":
        chosen = _select(layers, subject)
        jobs = [replace(job, layers=chosen) for job in jobs]
    else:
        trials = []
        for card, tested, metric_card in zip(cards, recordings, metrics, strict=True):
            commitment = _commitment_card(card)
            held_out = load(commitment)
            check_disjoint(card, tested, held_out)
            trials.append(prepare(commitment, held_out, metric_card))
        jobs = _commit_layers(jobs, trials, subject, resources, progress)
    return tuple(
        _score_of(subject.name, job, layer, measured, n_bootstrap)
        for job, layer, measured in _measure(jobs, subject, resources, progress)
    )


def _subject(model: str | LoadedModel | PrecomputedFeatures, weights: str | Path | None, seed: int) -> Subject:
    if isinstance(model, str):
        from model_zoo.sources import load_model

        return ModelSubject(load_model(model, weights=weights, seed=seed))
    if weights is not None:
        raise InvalidOption(
            "score(weights=...)",
            expected="a model given by its name",
            got=f"a {type(model).__name__}",
            next_step="load them with model_zoo.load_model",
        )
    if isinstance(model, LoadedModel):
        return ModelSubject(model)
    if isinstance(model, PrecomputedFeatures):
        return model
    raise InvalidOption(
        "score(model, ...)",
        expected="a name, a LoadedModel or PrecomputedFeatures",
        got=f"a {type(model).__name__}",
        next_step="wrap a network of your own with model_zoo.from_module",
    )


def _select(layers: str | Sequence[str], subject: Subject) -> tuple[Layer, ...]:
    from model_zoo.layers import select_layers

    return select_layers([layers] if isinstance(layers, str) else list(layers), subject.layers())


def _commitment_card(card: BenchmarkCard) -> BenchmarkCard:
    if card.commitment is None:
        raise InvalidOption(
            f"--layers auto on {card.name}",
            expected="a benchmark with commitment data",
            got="none declared",
            next_step="name the layers with --layers",
        )
    return get_benchmark(card.commitment)


def _commit_layers(
    jobs: Sequence[_Job], trials: Sequence[_Job], subject: Subject, resources: Resources, progress: Progress | None
) -> list[_Job]:
    """Give every job the layer that does best on its commitment data, and the profile of all candidates."""
    blocks = tuple(layer for layer in subject.layers() if layer.is_block)
    trials = [replace(trial, layers=blocks) for trial in trials]
    raw: dict[int, list[float]] = {}
    for trial, _, measured in _measure(trials, subject, resources, progress):
        raw.setdefault(id(trial), []).append(aggregate(split_correlations(measured))[0])
    committed = []
    for job, trial in zip(jobs, trials, strict=True):
        profile = LayerProfile(trial.card.name, tuple(layer.name for layer in blocks), tuple(raw[id(trial)]))
        name = commit(profile)
        layer = next(layer for layer in blocks if layer.name == name)
        committed.append(replace(job, layers=(layer,), choice=f"committed on {trial.card.name}", profile=profile))
    return committed


def _measure(
    jobs: Sequence[_Job], subject: Subject, resources: Resources, progress: Progress | None
) -> Iterator[tuple[_Job, Layer, tuple[PairedMeasurements, ...]]]:
    """Yield the predictions of every job and layer; each stimulus set is shown to the model once."""
    shown: dict[str, tuple[StimulusSet, dict[str, Layer]]] = {}
    for job in jobs:
        for target in job.targets:
            _, layers = shown.setdefault(target.stimuli.content_hash, (target.stimuli, {}))
            layers.update({layer.name: layer for layer in job.layers})
    with contextlib.ExitStack() as stack:
        grams: dict[str, Mapping[str, Gram]] = {}
        for key, (stimuli, layers) in shown.items():
            in_order = sorted(layers.values(), key=lambda layer: layer.order)
            grams[key] = stack.enter_context(subject.grams(stimuli, in_order, resources, progress))
        todo = [(job, layer) for job in jobs for layer in job.layers]
        for done, (job, layer) in enumerate(todo, start=1):
            measured = tuple(
                cross_validate(job.metric, grams[target.stimuli.content_hash][layer.name], target, resources.threads)
                for target in job.targets
            )
            if progress is not None:
                progress("scores", done, len(todo))
            yield job, layer, measured


def _score_of(model: str, job: _Job, layer: Layer, measured: tuple[PairedMeasurements, ...], n_bootstrap: int) -> Score:
    card = job.card
    correlations = split_correlations(measured)  # (n_splits, n_neuroids)
    raw, split_error = aggregate(correlations)
    draws = bootstrap(measured, n_bootstrap, np.random.default_rng(0))
    raw_error, raw_interval = summarise(raw, draws.raw)
    ceiling = ceiling_error = ceiled_value = legacy = None
    error, interval = raw_error, raw_interval
    if draws.ceiling is not None:
        ceiling = _ceiling(measured)
        ceiling_error, _ = summarise(ceiling, draws.ceiling)
        ceiled_value = ceiled(raw, ceiling, rule=card.ceiled_rule)
        legacy = ceiled(raw, ceiling, rule=LEGACY_RULE)
        ceiled_draws = np.vectorize(partial(ceiled, rule=card.ceiled_rule))(draws.raw, draws.ceiling)  # (3, n_draws)
        error, interval = summarise(ceiled_value, ceiled_draws)
    counted = np.isfinite(correlations)
    per_neuroid = np.where(counted, correlations, 0.0).sum(axis=0) / np.maximum(counted.sum(axis=0), 1)
    per_neuroid[~counted.any(axis=0)] = np.nan
    return Score(
        model=model,
        benchmark=card.name,
        benchmark_version=card.version,
        region=card.region,
        metric=job.metric.name,
        layer=layer.name,
        layer_choice=job.choice,
        raw=raw,
        raw_error=raw_error,
        raw_interval=raw_interval,
        ceiling=ceiling,
        ceiling_error=ceiling_error,
        ceiled=ceiled_value,
        ceiled_legacy=legacy,
        ceiled_rule=card.ceiled_rule,
        error=error,
        interval=interval,
        interval_of="raw" if draws.ceiling is None else "ceiled",
        split_error=split_error,
        n_stimuli=sum(target.responses.shape[0] for target in job.targets),
        n_neuroids=correlations.shape[1],
        n_repeats=max(target.n_repeats for target in job.targets),
        n_splits=len(correlations),
        n_features=layer.n_features,
        neuroid_ids=neuroid_ids(job.targets),
        neuroid_raw=tuple(map(float, per_neuroid)),
        split_raw=tuple(map(float, nan_median(correlations))),
        profile=job.profile,
    )


def _ceiling(measured: Sequence[PairedMeasurements]) -> float:
    return aggregate(np.concatenate([consistency_of_halves(rec.halves) for rec in measured], axis=1))[0]
