"""The same network before training: what a score owes to the architecture alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.stats

from alignment import score
from alignment.contracts import Array, Interval
from alignment.scores import Score
from alignment.statistics import summarise
from model_zoo import get_model_card, load_model
from model_zoo.contracts import LoadedModel
from model_zoo.errors import UnknownName
from model_zoo.extraction import Progress

LEVEL = 0.95
OWN_MODULE = "no untrained twin: it is a network of your own, and nobody knows how its weights are drawn"
NO_WEIGHTS = "no untrained twin: it has no weights"
SAME_WEIGHTS = "no untrained twin: with these seeds the network is the model itself"
UNTRAINED = "the model is untrained itself: the difference is between random draws of its weights"
ONE_SEED = "one twin: the interval leaves out how much twins differ"
UNPAIRED = "other units than the twins': the two errors are taken as independent"
_DRAWS = 1000  # of the twins' bootstrap, where the scores left no replicates
_OFFICIAL = "official"


@dataclass(frozen=True, kw_only=True)
class Twins:
    """Raw scores of the same architecture with random weights, on the same layer.

    Attributes
    ----------
    seeds, raw, ceiled : of every twin.
    mean, spread : mean and standard deviation (ddof 1) of `raw` over seeds; no spread of a single seed.
    difference, error, interval : score less the twins' mean, its standard error and 95 % interval; see `difference`.
    """

    seeds: tuple[int, ...]
    raw: tuple[float, ...]
    ceiled: tuple[float | None, ...]
    mean: float
    spread: float | None
    difference: float
    error: float
    interval: Interval


def twins_beside(
    model: LoadedModel,
    scores: Sequence[Score],
    seeds: Sequence[int],
    score_twin: Callable[[LoadedModel, Sequence[Score]], Sequence[Score]],
    progress: Progress | None,
) -> list[tuple[Twins | None, tuple[str, ...]]]:
    """Return for every score its twins, or None, and what a reader must know of them.

    Parameters
    ----------
    model, scores, seeds, progress : see `alignment.controls.controls`.
    score_twin : ``score_twin(twin, scores)`` gives the twin's scores in the order of the model's; see `score_like`.
    """
    by_seed: dict[int, Sequence[Score]] = {}
    for done, (seed, twin) in enumerate(twins_of(model, seeds), start=1):
        by_seed[seed] = score_twin(twin, scores)
        if progress is not None:
            progress("twins", done, len(seeds))
    if not by_seed:
        return [(None, (_why_none(model),))] * len(scores)
    untrained = model.weights.source.startswith("seed ")
    found: list[tuple[Twins | None, tuple[str, ...]]] = []
    for number, own in enumerate(scores):
        twins = [row[number] for row in by_seed.values()]
        raw = np.array([twin.raw for twin in twins])
        value, error, interval, notes = difference(own, twins, untrained=untrained)
        made = Twins(
            seeds=tuple(by_seed),
            raw=tuple(map(float, raw)),
            ceiled=tuple(twin.ceiled for twin in twins),
            mean=float(raw.mean()),
            spread=float(raw.std(ddof=1)) if len(raw) > 1 else None,
            difference=value,
            error=error,
            interval=interval,
        )
        found.append((made, (*notes, *([UNTRAINED] if untrained else []))))
    return found


def _why_none(model: LoadedModel) -> str:
    if not is_known(model):
        return OWN_MODULE
    return SAME_WEIGHTS if model.module.state_dict() else NO_WEIGHTS


def twins_of(model: LoadedModel, seeds: Sequence[int]) -> Iterator[tuple[int, LoadedModel]]:
    """Yield (seed, the model's architecture with weights drawn from it), but for a twin that is the model itself.

    Preprocessing, visual degrees and what the outputs stand for are the model's: an untrained classifier answers as if
    its classes meant something, so that model and twin are read out in the same way.
    """
    if not is_known(model):
        return
    prep = model.preprocessing
    overrides = {
        "input_size": prep.input_size,
        "mean": prep.mean,
        "std": prep.std,
        "interpolation": prep.interpolation,
    }
    seen = {model.identity}
    for seed in dict.fromkeys(seeds):
        twin = load_model(model.name, seed=seed, overrides=overrides)
        if twin.identity not in seen:
            seen.add(twin.identity)
            yield seed, replace(twin, classes=model.classes, visual_degrees=model.visual_degrees)


def seeds_beside(model: LoadedModel, n_seeds: int) -> tuple[int, ...]:
    """Return the first `n_seeds` seeds from 0 that are not the model's own."""
    return tuple(seed for seed in range(n_seeds + 1) if model.weights.source != f"seed {seed}")[:n_seeds]


def difference(
    own: Score, twins: Sequence[Score], *, untrained: bool = False
) -> tuple[float, float, Interval, tuple[str, ...]]:
    """Return the score less the mean of its twins, its standard error, its 95 % interval, and notes.

    With d = x - mean(u) over S seeds, the error is sqrt(e^2 + s^2 / S): e comes from the differences of the paired
    bootstrap replicates (other stimuli and units; see `alignment.statistics.summarise`), s^2 is the variance of u over
    seeds (other weights). The interval is d -+ sqrt((1.96 e)^2 + t^2 s^2 / S) with Student's t at S - 1 degrees of
    freedom, because s is known from few seeds.

    Parameters
    ----------
    own : Score
    twins : sequence of Score
        Of one seed each, on the same data.
    untrained : bool
        The score belongs to a random draw as well: s^2 / S becomes s^2 (1 + 1 / S).

    Notes
    -----
    Bias: s is taken as measured, though it holds noise of the data that differs between seeds, which e holds too: the
    interval is a little too wide. One seed has no s, and its interval is too narrow.

    References
    ----------
    Howe (1974), Approximate confidence limits on the mean of X + Y where X and Y are two tabled independent random
    variables, J. Am. Stat. Assoc. 69, 789.
    """
    raw = np.array([twin.raw for twin in twins])
    value, notes = float(own.raw - raw.mean()), list[str]()
    replicates = _paired(own, twins)
    if replicates is None:
        data_variance = own.raw_error**2 + float(np.mean([twin.raw_error**2 for twin in twins]))
        notes.append(UNPAIRED)
    else:
        data_variance = summarise(value, replicates, fitted=own.fitted)[0] ** 2
    seed_variance, t = 0.0, 0.0
    if len(raw) > 1:
        seed_variance = float(raw.var(ddof=1)) * (1 / len(raw) + untrained)
        t = float(scipy.stats.t.ppf((1 + LEVEL) / 2, len(raw) - 1))
    else:
        notes.append(ONE_SEED)
    z = float(scipy.stats.norm.ppf((1 + LEVEL) / 2))
    error = float(np.sqrt(data_variance + seed_variance))
    reach = float(np.sqrt(z**2 * data_variance + t**2 * seed_variance))
    return value, error, (value - reach, value + reach), tuple(notes)


def _paired(own: Score, twins: Sequence[Score]) -> Array | None:
    """Return (3, n_draws) replicates of score less mean of twins; None if they were drawn from other data."""
    evidence = [each.evidence for each in (own, *twins) if each.evidence is not None]
    if len(evidence) <= len(twins) or len({each.pairing for each in evidence}) > 1:
        return None
    return np.asarray(evidence[0].raw - np.mean([each.raw for each in evidence[1:]], axis=0))


def is_known(model: LoadedModel) -> bool:
    """Return whether the model's name says how to build it, so that its weights can be drawn anew."""
    try:
        get_model_card(model.name)
    except UnknownName:
        return False
    return model.weights.source != "module in memory"


def calls(scores: Sequence[Score]) -> list[tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]]:
    """Return the fewest (layers, metrics, benchmarks) whose products are the scores' cells and no others.

    Each is one call of `alignment.score`, in which every stimulus set is shown once.
    """
    layers: dict[tuple[str, str], dict[str, None]] = {}
    for each in scores:
        parts = each.layer.split(", " if each.kind == "choices" else " + ")
        layers.setdefault((each.benchmark, each.metric), {}).update(dict.fromkeys(parts))
    metrics: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (benchmark, metric), names in layers.items():
        metrics.setdefault((benchmark, tuple(names)), []).append(metric)
    benchmarks: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for (benchmark, several), some in metrics.items():
        benchmarks.setdefault((several, tuple(some)), []).append(benchmark)
    return [(*key, tuple(names)) for key, names in benchmarks.items()]


def score_like(twin: LoadedModel, scores: Sequence[Score], **options: Any) -> list[Score]:
    """Return the twin's scores on the benchmarks, metrics and layers of `scores`, in their order."""
    found: dict[tuple[str, str, str], Score] = {}
    for names, metrics, benchmarks in calls(scores):
        alike = [each for each in scores if each.benchmark in benchmarks and each.metric in metrics]
        n_draws = [each.evidence.raw.shape[1] for each in alike if each.evidence is not None]
        made = score(
            twin,
            list(benchmarks),
            layers=list(names),
            metric=None if metrics == (_OFFICIAL,) else list(metrics),
            official=metrics == (_OFFICIAL,),
            n_bootstrap=max(n_draws, default=_DRAWS),
            **options,
        )
        found |= {(each.benchmark, each.metric, each.layer): each for each in made}
    return [found[each.benchmark, each.metric, each.layer] for each in scores]
