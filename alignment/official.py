"""Scores that Brain-Score's own benchmark classes give a model, with Ventral's extraction behind it."""

from __future__ import annotations

import contextlib
import io
import math
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from alignment import get_metric
from alignment.brainscore import FastModel, Recorder
from alignment.jobs import Run, commit_layers
from alignment.layers import LayerChoice
from alignment.recordings import RecordingJob
from alignment.scores import Score
from alignment.subjects import ModelSubject
from benchmarks import get_benchmark, load_benchmark
from benchmarks.brainscore.failures import plainly
from benchmarks.contracts import BenchmarkCard, Data, Official
from model_zoo.contracts import Layer
from model_zoo.errors import InvalidOption

BRAINSCORE_DEGREES = 8.0  # of a ModelCommitment that says nothing else


def score_official(
    run: Run, card: BenchmarkCard, data: tuple[Data, ...], layers: tuple[Layer, ...] | None
) -> list[Score]:
    """Return the scores of a benchmark that only Brain-Score's code computes, one per layer it reads.

    Parameters
    ----------
    run : Run
        Without degrees of its own, the stimuli fill the model's input.
    card : BenchmarkCard
    data : one Official
    layers : to record or read out from; None: a region's layer is committed on its simulated area, behaviour is read
        from the input of the classifier. Labels always come from the classifier.

    Raises
    ------
    InvalidOption
        The model is no network that can look at Brain-Score's stimuli, or the benchmark asks for what it cannot do.
    VentralError
        Whatever else goes wrong inside, in one line.
    """
    (official,) = (each for each in data if isinstance(each, Official))
    if not isinstance(run.subject, ModelSubject):
        raise InvalidOption(
            f"{run.subject.name} on {card.name}",
            expected="a network: Brain-Score shows stimuli of its own making",
            got="features computed elsewhere",
            next_step="score the network itself, or choose a benchmark that Ventral scores natively",
        )
    scores: list[Score] = []
    for layer in layers or (None,):
        model = _model(run, card, run.subject, layer)
        scores.append(_score(run, card, official, model))
        if layer is not None and all(choice.layer != layer for choice in model.used.values()):
            break  # labels come from the classifier, whichever layer is named
    return scores


def _model(run: Run, card: BenchmarkCard, subject: ModelSubject, layer: Layer | None) -> FastModel:
    identifier = f"{subject.name.replace('/', '--')}--{subject.model.identity[:16]}"
    recorder = Recorder(subject, identifier, run.resources, run.progress)
    degrees = run.visual_degrees
    if degrees is None:
        degrees = card.visual_degrees if math.isfinite(card.visual_degrees) else BRAINSCORE_DEGREES

    @cache
    def committed(region: str) -> LayerChoice:
        return committed_layer(run, region)

    if layer is not None:
        named = LayerChoice(layer)
        return FastModel(recorder, lambda _: named, lambda: named, degrees)
    return FastModel(recorder, committed, lambda: LayerChoice(recorder.readout(), "the classifier's input"), degrees)


def committed_layer(run: Run, region: str) -> LayerChoice:
    """Return the layer that does best on the simulated area's commitment data."""
    other, data = load_benchmark(get_benchmark(f"Simulated.{region}-commitment"))
    trial = RecordingJob.of(other, get_metric(other.default_metric), data, run.visual_degrees)
    return commit_layers({0: trial}, run)[0]


def _score(run: Run, card: BenchmarkCard, official: Official, model: FastModel) -> Score:
    from brainscore_core.metrics import Score as TheirScore

    with plainly(card.name), _own_screen(), contextlib.redirect_stdout(io.StringIO()):
        found = official.benchmark(model)
    numbers = _Numbers.of(found, TheirScore.RAW_VALUES_KEY)
    choice = next(iter(model.used.values()), None)
    if choice is None:
        raise InvalidOption(
            card.name, expected="a recording or a task", got="neither", next_step="score it with brainscore-vision"
        )
    nan = float("nan")
    has_ceiling = numbers.ceiling is not None
    bins = f"; mean over {numbers.n_bins} time bins" if numbers.n_bins > 1 else ""
    return Score(
        model=run.subject.name,
        benchmark=card.name,
        benchmark_version=card.version,
        region=card.region,
        kind="official",
        metric="official",
        measure=get_metric("official").measure,
        layer=choice.layer.name,
        layer_choice=choice.reason,
        raw=numbers.raw,
        raw_error=nan,
        raw_interval=(nan, nan),
        ceiling=numbers.ceiling,
        ceiling_error=None,
        ceiled=numbers.value if has_ceiling else None,
        ceiled_rule=card.ceiled_rule,
        error=nan,
        interval=(nan, nan),
        interval_of="ceiled" if has_ceiling else "raw",
        split_error=numbers.error,
        n_stimuli=len(model.recorder.shown),
        n_neuroids=len(numbers.unit_ids),
        n_splits=numbers.n_splits,
        n_features=choice.layer.n_features,
        unit="neuroid",
        unit_ids=numbers.unit_ids,
        unit_raw=numbers.unit_raw,
        profile=choice.profile,
        note=f"scored by brainscore-vision {version('brainscore-vision')}{bins}",
    )


@dataclass(frozen=True)
class _Numbers:
    """What a Score of Brain-Score holds, where it holds it."""

    value: float
    raw: float
    ceiling: float | None
    error: float
    n_bins: int
    n_splits: int
    unit_ids: tuple[str, ...]
    unit_raw: tuple[float, ...]

    @classmethod
    def of(cls, found: Any, raw_key: str) -> _Numbers:
        raw = found.attrs.get(raw_key)
        if raw is None or np.shape(raw) != np.shape(found):  # values of single images or conditions are no raw score
            raw = found
        ceiling = found.attrs.get("ceiling")
        units: Any = raw.attrs.get(raw_key) if raw is not found else None
        dims = () if units is None else units.dims
        unit_ids: tuple[str, ...] = ()
        unit_raw: tuple[float, ...] = ()
        if "neuroid" in dims and "neuroid_id" in units.indexes["neuroid"].names:
            unit_ids = tuple(str(each) for each in units.indexes["neuroid"].get_level_values("neuroid_id"))
            unit_raw = tuple(map(float, units.mean([dim for dim in dims if dim != "neuroid"]).values))
        return cls(
            value=_mean(found),
            raw=_mean(raw),
            ceiling=None if ceiling is None else _mean(ceiling),
            error=_mean(found.attrs.get("error", math.nan)),
            n_bins=int(np.size(found)),
            n_splits=units.sizes["split"] if "split" in dims else 0,
            unit_ids=unit_ids,
            unit_raw=unit_raw,
        )


def _mean(values: Any) -> float:
    return float(np.mean(np.asarray(getattr(values, "values", values), dtype=np.float64)))


@contextlib.contextmanager
def _own_screen() -> Iterator[None]:
    """Let Brain-Score write converted stimuli into a folder of this run: its own is emptied by every process.

    Where the user has turned its caches on, they must outlive the run, and its folder is used.
    """
    from brainscore_vision.benchmark_helpers import screen

    if os.environ.get("RESULTCACHING_DISABLE") != "1":
        yield
        return
    before = screen.root_path
    with tempfile.TemporaryDirectory(prefix="ventral-screen-") as folder:
        screen.root_path = Path(folder)
        try:
            yield
        finally:
            screen.root_path = before
