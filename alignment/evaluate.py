"""Scores: the one place where a model, a benchmark and a metric meet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from threadpoolctl import threadpool_limits

from alignment import check_decision, metrics_for
from alignment.cells import OWN_LAYERS, Cell, Source, choose_layers, job_of
from alignment.contracts import BandedMetric
from alignment.jobs import Run, measure
from alignment.layers import LayerChoice, Names, names_by_card
from alignment.reduction import Resources
from alignment.scores import Score
from alignment.stored import Shelf
from alignment.subjects import ModelSubject, PrecomputedFeatures, Subject
from benchmarks import bundled_benchmarks, get_benchmark
from benchmarks.brainscore import as_official
from model_zoo.contracts import Layer, LoadedModel
from model_zoo.errors import InvalidOption
from model_zoo.machine import check_device, n_threads, reused_memory, uncollected
from model_zoo.recall import is_built

if TYPE_CHECKING:
    from model_zoo.extraction import Progress

_FROM_GRAMS = ("recording", "geometry")


@dataclass(frozen=True, eq=False)
class _Task:
    """Layers to be scored as one, and what their score is filed under."""

    cell: Cell
    choices: tuple[LayerChoice, ...]
    key: str | None


def score(
    model: str | LoadedModel | PrecomputedFeatures,
    benchmark: str | Sequence[str] | None = None,
    *,
    layers: Names | Mapping[str, Names] = "auto",
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
    layers : str, sequence of str, or mapping
        "auto" commits one layer per benchmark, on the card's commitment data or on a part of its own stimuli; otherwise
        names or globs ("features.*"), "blocks" or "all": every one of them is scored. A mapping gives them by
        benchmark, pool or region, {"V4": "layer3"}. Behaviour is read from the classifier or its input instead.
    metric : str, sequence of str or None
        Identifiers from `list_metrics`, of which each benchmark takes those that fit it; None: its default.
    weights, seed : checkpoint file, or the seed of random weights, where `model` is a name.
    resources : Resources or None
        Device, batch size, threads, memory, scratch disk and cache, where finished scores are looked up first.
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
    named = names_by_card(layers, cards)
    resources = resources or Resources()
    check_device(resources.device)
    sources = [Source(card, mirror, offline) for card in cards]
    with uncollected():
        subject = _subject(model, weights, seed)
    degrees = visual_degrees if visual_degrees is not None else subject.visual_degrees
    run = Run(subject, resources, degrees, n_bootstrap, decision, progress)
    rows = [
        (Cell(source, each), of_card)
        for source, fitting, of_card in zip(sources, metrics, named, strict=True)
        for each in fitting
    ]
    with threadpool_limits(resources.threads or n_threads(), user_api="blas"), reused_memory():
        return _score_all(run, [cell for cell, _ in rows], [of_card for _, of_card in rows])


def _score_all(run: Run, cells: Sequence[Cell], named: Sequence[list[str] | None]) -> tuple[Score, ...]:
    """Return the scores in the order asked for: those that are kept as they are, and the others computed."""
    shelf = Shelf.of(run)
    chosen = choose_layers(run, cells, named, shelf)
    tasks = [
        _Task(cell, group, shelf.score_key(cell.card, cell.metric, group))
        for cell, choices in zip(cells, chosen, strict=True)
        for group in _groups(cell, choices)
    ]
    found = {task: [kept] for task in tasks if (kept := shelf.score(task.key)) is not None}
    for task, scores in _compute(run, [task for task in tasks if task not in found]):
        found[task] = scores
        if task.cell.card.kind != "official":
            shelf.keep_score(task.key, scores[0])
    return tuple(score for task in tasks for score in found[task])


def _groups(cell: Cell, choices: tuple[LayerChoice, ...]) -> list[tuple[LayerChoice, ...]]:
    """Return the layers of a cell by what is scored as one."""
    if isinstance(cell.metric, BandedMetric) or cell.card.kind in OWN_LAYERS:
        return [choices]
    return [(choice,) for choice in choices]


def _compute(run: Run, tasks: Sequence[_Task]) -> Iterator[tuple[_Task, list[Score]]]:
    """Yield scores: what needs only what is kept of layers in one pass is made together, the rest one by one."""
    together: dict[Cell, dict[tuple[str, ...], _Task]] = {}
    for task in tasks:
        if task.cell.source.loaded[0].kind in _FROM_GRAMS:
            together.setdefault(task.cell, {})[tuple(each.layer.name for each in task.choices)] = task
    for task in tasks:
        if task.cell not in together:
            yield task, _whole(run, task)
    jobs = []
    for cell, its in together.items():
        choices = [choice for task in its.values() for choice in task.choices]
        card, data = cell.source.loaded
        own = cell.source.division.scored if choices[0].own_stimuli else data
        jobs.append(
            job_of(run, card, cell.metric, own).with_layers(
                tuple(choice.layer for choice in choices), choices[0].reason, choices[0].profile
            )
        )
    by_job = list(together.values())

    def finish(number: int, group: tuple[Layer, ...], measured: Any) -> Score:
        return jobs[number].score(run.subject.name, group, measured, run.n_bootstrap)

    for number, group, score in measure(jobs, run, finish):
        yield by_job[number][tuple(layer.name for layer in group)], [score]


def _whole(run: Run, task: _Task) -> list[Score]:
    """Return the scores of a benchmark that looks at more than what is kept of layers."""
    card, data = task.cell.source.loaded
    layers = tuple(choice.layer for choice in task.choices)
    if card.kind == "choices":
        from alignment.choices import score_choices

        return [score_choices(run, card, data, task.cell.metric, layers)]
    if card.kind == "official":
        from alignment.official import score_official

        return score_official(run, card, data, layers or None)
    from alignment.distributions import score_distributions

    (choice,) = task.choices
    return [
        score_distributions(
            run, card, data, task.cell.metric, choice.layer, layer_choice=choice.reason, profile=choice.profile
        )
    ]


def _subject(model: str | LoadedModel | PrecomputedFeatures, weights: str | Path | None, seed: int) -> Subject:
    if isinstance(model, str):
        from model_zoo.sources import load_model

        model = load_model(model, weights=weights, seed=seed)
        weights = None
    if weights is not None:
        raise InvalidOption(
            "score(weights=...)",
            expected="a model given by its name",
            got=f"a {type(model).__name__}",
            next_step="load them with model_zoo.load_model",
        )
    if isinstance(model, LoadedModel):
        if is_built(model):
            from model_zoo.sources import identified

            model = identified(model)
        return ModelSubject(model)
    if isinstance(model, PrecomputedFeatures):
        return model
    raise InvalidOption(
        "score(model, ...)",
        expected="a name, a LoadedModel or PrecomputedFeatures",
        got=f"a {type(model).__name__}",
        next_step="wrap a network of your own with model_zoo.from_module",
    )
