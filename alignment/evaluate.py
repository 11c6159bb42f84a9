"""Scores: the one place where a model, a benchmark and a metric meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from threadpoolctl import threadpool_limits

from alignment import check_decision, get_metric, metrics_for
from alignment.contracts import BandedMetric, GeometryMetric, MetricCard, SimilarityMetric
from alignment.geometries import GeometryJob
from alignment.jobs import Job, Run, commit_layers, measure
from alignment.layers import LayerChoice, check_disjoint
from alignment.recordings import RecordingJob
from alignment.reduction import Resources
from alignment.scores import Score
from alignment.similarities import SimilarityJob
from alignment.subjects import ModelSubject, PrecomputedFeatures, Subject
from benchmarks import at_hand, bundled_benchmarks, get_benchmark, load_benchmark
from benchmarks.brainscore import as_official
from benchmarks.contracts import BenchmarkCard, Data
from model_zoo.contracts import Layer, LoadedModel
from model_zoo.errors import InvalidOption
from model_zoo.extraction import Progress, usable_device
from model_zoo.machine import n_threads

_FROM_GRAMS = ("recording", "geometry")
_OWN_LAYERS = ("choices", "official")  # kinds that find the layer themselves where the user names none


@dataclass(frozen=True)
class _Cell:
    """A benchmark, its data and the metric they are scored with."""

    card: BenchmarkCard
    data: tuple[Data, ...] = field(repr=False)
    metric: MetricCard


def score(
    model: str | LoadedModel | PrecomputedFeatures,
    benchmark: str | Sequence[str] | None = None,
    *,
    layers: str | Sequence[str] = "auto",
    metric: str | Sequence[str] | None = None,
    weights: str | Path | None = None,
    seed: int = 0,
    resources: Resources | None = None,
    mirror: Path | None = None,
    offline: bool | None = None,
    official: bool = False,
    visual_degrees: float | None = None,
    n_bootstrap: int = 1000,
    decision: str = "auto",
    progress: Progress | None = None,
) -> tuple[Score, ...]:
    """Return the model's scores, one per benchmark, metric and layer.

    Parameters
    ----------
    model : str, LoadedModel or PrecomputedFeatures
        A name ("torchvision/resnet18"), a model from `model_zoo.load_model`, or features computed elsewhere.
    benchmark : str, sequence of str or None
        Identifiers from `benchmarks.list_benchmarks`; None: the bundled, simulated areas.
    layers : str or sequence of str
        "auto" commits one layer per benchmark on the card's commitment data; otherwise names or globs ("features.*"),
        "blocks" or "all": every one of them is scored. Behaviour is read from the classifier or its input instead.
    metric : str, sequence of str or None
        Identifiers from `list_metrics`, of which each benchmark takes those that fit it; None: its default.
    weights, seed : checkpoint file, or the seed of random weights, where `model` is a name.
    resources : Resources or None
        Device, batch size, threads, memory, scratch disk and cache.
    mirror : pathlib.Path or None
        Offline mirror of the public files; None: the environment's VENTRAL_MIRROR.
    offline : bool or None
        Never touch the network; None: the environment's VENTRAL_OFFLINE.
    official : bool
        Let Brain-Score's own code score "brainscore/..." benchmarks, also those that can be scored natively.
    visual_degrees : float or None
        Degrees of visual angle the model's input spans; None: the model's own, or the stimulus fills the input.
    n_bootstrap : int
        Draws of stimuli and neuroids behind error and interval, the same draws for every model.
    decision : str
        How choices are read out: "auto", "head" (the classifier's own classes) or "readout" (a fitted one).
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
    if not names:
        raise InvalidOption("score(benchmark=...)", expected="a name", got="none", next_step="name at least one")
    cards = [get_benchmark(name) for name in names]
    if official:
        cards = [as_official(card) for card in cards]
    metrics = metrics_for(cards, metric)
    check_decision(decision, cards)
    resources = resources or Resources()
    usable_device(resources.device)
    loaded = [load_benchmark(card, mirror, offline) for card in cards]
    subject = _subject(model, weights, seed)
    degrees = visual_degrees if visual_degrees is not None else subject.visual_degrees
    run = Run(subject, resources, degrees, n_bootstrap, decision, progress)
    with threadpool_limits(resources.threads or n_threads(), user_api="blas"):
        return _score_all(run, loaded, metrics, layers, mirror)


def _score_all(
    run: Run,
    loaded: Sequence[tuple[BenchmarkCard, tuple[Data, ...]]],
    metrics: Sequence[Sequence[MetricCard]],
    layers: str | Sequence[str],
    mirror: Path | None,
) -> tuple[Score, ...]:
    """Score everything that needs Gram matrices together, the rest one by one, and keep the order asked for."""
    pairs = zip(loaded, metrics, strict=True)
    cells = [_Cell(card, data, metric) for (card, data), fitting in pairs for metric in fitting]
    if layers == "auto":
        chosen = _commit(run, cells, mirror)
    else:
        named = tuple(LayerChoice(layer) for layer in _select(layers, run.subject))
        chosen = [named for _ in cells]
    scores: list[list[Score]] = [[] for _ in cells]
    jobs: dict[int, Job] = {}
    for number, (cell, choices) in enumerate(zip(cells, chosen, strict=True)):
        if cell.card.kind in _FROM_GRAMS:
            first = choices[0]
            jobs[number] = _job(run, cell).with_layers(
                tuple(choice.layer for choice in choices), first.reason, first.profile
            )
        else:
            scores[number].extend(_whole(run, cell, choices))
    numbers = list(jobs)
    for index, group, measured in measure(list(jobs.values()), run):
        number = numbers[index]
        scores[number].append(jobs[number].score(run.subject.name, group, measured, run.n_bootstrap))
    return tuple(score for row in scores for score in row)


def _job(run: Run, cell: _Cell) -> Job:
    """Return the job of a benchmark that needs nothing but what is kept of layers in one pass."""
    kind: type[GeometryJob | RecordingJob | SimilarityJob] = RecordingJob
    if cell.card.kind == "geometry":
        kind = GeometryJob
    elif isinstance(cell.metric, SimilarityMetric | GeometryMetric):
        kind = SimilarityJob
    return kind.of(cell.card, cell.metric, cell.data, run.visual_degrees)


def _whole(run: Run, cell: _Cell, choices: Sequence[LayerChoice]) -> list[Score]:
    """Return the scores of a benchmark that looks at more than Gram matrices."""
    card, data, metric = cell.card, cell.data, cell.metric
    if card.kind == "choices":
        from alignment.choices import score_choices

        return [score_choices(run, card, data, metric, [choice.layer for choice in choices])]
    if card.kind == "official":
        from alignment.official import score_official

        return score_official(run, card, data, tuple(choice.layer for choice in choices) or None)
    from alignment.distributions import score_distributions

    return [
        score_distributions(run, card, data, metric, each.layer, layer_choice=each.reason, profile=each.profile)
        for each in choices
    ]


def _commit(run: Run, cells: Sequence[_Cell], mirror: Path | None) -> list[tuple[LayerChoice, ...]]:
    """Return the layer of every cell, chosen on other data; () where its evaluator knows what to read."""
    made: dict[tuple[str, str], Job] = {}
    needing = {n: cell for n, cell in enumerate(cells) if cell.card.kind not in _OWN_LAYERS}
    trials = {n: _trial(run, c, mirror, made) for n, c in needing.items() if not isinstance(c.metric, BandedMetric)}
    chosen = commit_layers(trials, run)
    blocks = tuple(
        LayerChoice(each, "all blocks, weighted by the fit") for each in run.subject.layers() if each.is_block
    )
    return [(chosen[n],) if n in chosen else blocks if n in needing else () for n in range(len(cells))]


def _trial(run: Run, cell: _Cell, mirror: Path | None, made: dict[tuple[str, str], Job]) -> Job:
    """Return the job on which a cell's layer is chosen: other stimuli, and its own metric where that fits."""
    card = cell.card
    held_out = next((name for name in card.commitment if at_hand(get_benchmark(name), mirror)), None)
    if held_out is None:
        raise InvalidOption(
            f"--layers auto on {card.name}",
            expected="a benchmark with commitment data",
            got=f"none at hand of {', '.join(card.commitment)}" if card.commitment else "none declared",
            next_step="name the layers with --layers"
            + (f", or fetch {card.commitment[0]} with `ventral data fetch`" if card.commitment else ""),
        )
    other, data = load_benchmark(get_benchmark(held_out), mirror, offline=True)
    check_disjoint(card, cell.data, other, data)
    metric = cell.metric if cell.metric.fits(other) else get_metric(other.default_metric)
    if (held_out, metric.name) not in made:
        made[held_out, metric.name] = _job(run, _Cell(other, data, metric))
    return made[held_out, metric.name]


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

    if not isinstance(layers, str | Sequence):
        raise InvalidOption("score(layers=...)", expected="names", got=repr(layers), next_step="pass a str or a list")
    return select_layers([layers] if isinstance(layers, str) else list(layers), subject.layers())
