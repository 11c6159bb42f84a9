"""One layer against one recording under one metric: cross-validated predictions, aggregated as Brain-Score does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from alignment.contracts import Array, BandedMetric, Fit, RegressionMetric, StreamedMetric
from alignment.gram import Gram
from alignment.reduction import Reducer, Reduction
from alignment.spill import BLOCK
from alignment.statistics import PairedMeasurements, SplitPrediction
from alignment.streams import FiniteOnly
from benchmarks.assemblies import average_repetitions, to_repeats
from benchmarks.ceilings import split_halves
from benchmarks.contracts import BenchmarkCard, Recording
from benchmarks.splits import Split, shuffle_splits
from benchmarks.stimuli import StimulusSet
from model_zoo.cache import content_key
from model_zoo.contracts import Layer
from model_zoo.machine import n_threads

if TYPE_CHECKING:
    import xarray as xr

_TOGETHER = 10  # splits, at most, that one thread fits together, however many threads there are
_TOGETHER_BYTES = 10**8  # of their responses, which a metric may hold a few times
_REVISION = "streamed-1"  # raise when the same features would be kept in another way


@dataclass(frozen=True)
class Target:
    """A recording made ready for scoring.

    Attributes
    ----------
    stimuli : the stimuli of the responses, placed on the model's screen.
    responses : (n_stimuli, n_neuroids) means over repeats, rows in the order of `stimulus_ids`.
    splits : cross-validation splits of the rows.
    halves : means of split halves of the repeats; empty where there is no ceiling.
    animals : animal of every neuroid; empty where it is not known of all.
    """

    stimuli: StimulusSet
    stimulus_ids: tuple[str, ...]
    neuroid_ids: tuple[str, ...]
    responses: Array = field(repr=False)
    splits: tuple[Split, ...] = field(repr=False)
    halves: tuple[tuple[Array, Array], ...] = field(repr=False)
    n_repeats: int = 1
    animals: tuple[str, ...] = ()


def make_target(card: BenchmarkCard, recording: Recording, visual_degrees: float | None) -> Target:
    """Return a recording averaged, split and halved under the rules of its card.

    Parameters
    ----------
    card : BenchmarkCard
    recording : Recording
    visual_degrees : float or None
        Degrees the model's input spans: the stimuli are placed on that screen. None: the stimulus fills it.
    """
    averaged = average_repetitions(recording.assembly)
    ids = tuple(str(stimulus_id) for stimulus_id in averaged["stimulus_id"].values)
    strata = None if card.stratification is None else averaged[card.stratification].values
    halves: tuple[tuple[Array, Array], ...] = ()
    n_repeats = 1
    if card.n_repeats > 1:
        repeats, _ = to_repeats(recording.assembly)  # (n_stimuli, n_repeats, n_neuroids), rows as in `averaged`
        n_repeats = repeats.shape[1]
        halves = split_halves(repeats) if card.ceiling is not None else ()
    stimuli = recording.stimuli if recording.stimuli.ids == ids else recording.stimuli.subset(ids)
    if visual_degrees is not None:
        stimuli = stimuli.place_on_screen(visual_degrees)
    return Target(
        stimuli,
        ids,
        tuple(str(neuroid_id) for neuroid_id in averaged["neuroid_id"].values),
        np.asarray(averaged.values, dtype=np.float64),
        shuffle_splits(len(ids), strata=strata),
        halves,
        n_repeats,
        animals_of(averaged),
    )


def cross_validate(
    metric: RegressionMetric | BandedMetric, kept: Gram | Sequence[Gram], target: Target, threads: int | None = None
) -> PairedMeasurements:
    """Return a metric's predictions on every split of a recording, joined to it by stimulus id.

    The metric is given the training responses alone; the test responses are only compared with its predictions. Splits,
    or batches of those that a metric fits together, run side by side, each with one BLAS thread: at these sizes that is
    several times faster than threads inside a split, and predictions do not depend on the number of threads.

    Parameters
    ----------
    metric : RegressionMetric or BandedMetric
    kept : Gram, or several
        Of a layer, or of the layers taken together, over at least the target's stimuli.
    target : Target
    threads : int or None
        Splits at a time; None: as many as this process may use.
    """
    grams = [kept] if isinstance(kept, Gram) else list(kept)
    rows = grams[0].rows_of(target.stimulus_ids)

    def fit(splits: Sequence[Split]) -> list[SplitPrediction]:
        fits = [(rows[split.train], rows[split.test], target.responses[split.train]) for split in splits]
        return [
            SplitPrediction(split.test, predicted, target.responses[split.test], parts)
            for split, (predicted, parts) in zip(splits, _predictions(metric, grams, fits), strict=True)
        ]

    step = 1
    if isinstance(metric, RegressionMetric) and metric.predict_together is not None:
        step = int(np.clip(_TOGETHER_BYTES // target.responses.nbytes, 1, _TOGETHER))
    batches = [target.splits[start : start + step] for start in range(0, len(target.splits), step)]
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(threads or n_threads()) as pool:
        found = [each for batch in pool.map(fit, batches) for each in batch]
    return PairedMeasurements(len(rows), found, target.halves, (), target.animals)


def _predictions(
    metric: RegressionMetric | BandedMetric, grams: Sequence[Gram], fits: Sequence[Fit]
) -> list[tuple[Array, Array | None]]:
    """Return the predictions of every split and, of layers taken together, what each contributes."""
    if isinstance(metric, BandedMetric):
        parts = [metric.predict(grams, *each) for each in fits]
        return [(each.sum(axis=0), each) for each in parts]
    (gram,) = grams
    if metric.predict_together is not None:
        return [(each, None) for each in metric.predict_together(gram, fits)]
    return [(metric.predict(gram, *each), None) for each in fits]


def streamed(metric: StreamedMetric, target: Target) -> Reducer:
    """Return the reducer that makes a metric's predictions while the features pass by."""
    parameters = json.dumps(dict(metric.parameters), sort_keys=True)
    rows = [part.tobytes() for split in target.splits for part in (split.train, split.test)]
    n_neuroids = target.responses.shape[1]
    data = hashlib.sha256(b"".join([np.ascontiguousarray(target.responses).tobytes(), *rows])).hexdigest()

    def begin(layer: Layer, stimulus_ids: tuple[str, ...], device: str) -> Reduction:
        assert stimulus_ids == target.stimulus_ids
        return FiniteOnly(metric.begin(target.responses, target.splits), layer, len(stimulus_ids))

    return Reducer(
        content_key(_REVISION, metric.name, metric.version, parameters, data),
        begin,
        lambda _, arrays: arrays,
        lambda n_stimuli: 16 * n_stimuli * (BLOCK + n_neuroids) + 40 * n_neuroids * BLOCK,
    )


def measurements(metric: StreamedMetric, kept: Mapping[str, Any], target: Target) -> PairedMeasurements:
    """Return what a streamed metric kept of a layer as predictions of every split."""
    own = "recorded" in kept  # units of the model are predicted, whose ceiling no halves of the responses tell
    recorded = kept["recorded"] if own else target.responses
    splits = [
        SplitPrediction(split.test, np.asarray(predicted, np.float64), np.asarray(recorded[split.test], np.float64))
        for split, predicted in zip(target.splits, kept["predicted"], strict=True)
    ]
    units = tuple(f"feature {number}" for number in kept["units"]) if own else ()
    if own:
        return PairedMeasurements(len(target.stimulus_ids), splits, (), units)
    return PairedMeasurements(len(target.stimulus_ids), splits, target.halves, (), target.animals)


def animals_of(assembly: xr.DataArray) -> tuple[str, ...]:
    """Return the animal of every neuroid; nothing where it is not known of all."""
    if "animal" not in assembly.coords:
        return ()
    names = tuple(str(name) for name in np.broadcast_to(assembly["animal"].values, assembly.sizes["neuroid"]))
    return () if {"", "nan", "unknown"} & set(names) else names


def neuroid_ids(targets: Sequence[Target]) -> tuple[str, ...]:
    """Return the neuroid ids of all recordings side by side."""
    return tuple(neuroid_id for target in targets for neuroid_id in target.neuroid_ids)
