"""What a score must beat: the same network before training, and the same responses given to other stimuli."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

from threadpoolctl import threadpool_limits

from alignment.chance import UNDEFINED, Chance, chance_of, shuffled_scores
from alignment.contracts import Array
from alignment.jobs import Run
from alignment.reduction import Resources
from alignment.scores import Score
from alignment.subjects import ModelSubject
from alignment.twins import Twins, score_like, twins_beside
from benchmarks import load_benchmark
from model_zoo.contracts import LoadedModel
from model_zoo.errors import InvalidOption
from model_zoo.extraction import Progress
from model_zoo.machine import n_threads


@dataclass(frozen=True, kw_only=True)
class Control:
    """What stands beside one score: see `Twins` and `Chance`; None where there is none, and `notes` say why."""

    model: str
    benchmark: str
    metric: str
    layer: str
    measure: str
    raw: float
    twins: Twins | None = None
    chance: Chance | None = None
    notes: tuple[str, ...] = ()


def controls(
    model: LoadedModel,
    scores: Sequence[Score],
    *,
    seeds: Sequence[int],
    n_shuffles: int = 100,
    resources: Resources | None = None,
    mirror: Path | None = None,
    offline: bool | None = None,
    visual_degrees: float | None = None,
    decision: str = "auto",
    progress: Progress | None = None,
) -> tuple[Control, ...]:
    """Return a control for every finished score, in their order: its untrained twins and its chance level.

    Parameters
    ----------
    model : LoadedModel
        What was scored.
    scores : sequence of Score
        From `alignment.score` of that model, under the options below.
    seeds : sequence of int
        One untrained twin each; () for none.
    n_shuffles : int
        Permutations of the stimuli; 0 for none. They are always the same ones.
    resources, mirror, offline, visual_degrees, decision
        As they were for the scores.
    progress : callable or None
        ``progress(stage, done, total)`` with the stages "twins" and "shuffled stimuli", and those of the twins' own
        scores after "twins: ".

    Raises
    ------
    InvalidOption
        A negative seed or number of shuffles.
    VentralError
        Whatever scoring raises.

    Examples
    --------
    >>> from alignment import score
    >>> from alignment.controls import controls
    >>> from model_zoo import load_model
    >>> model = load_model("torchvision/resnet18", weights="best.safetensors")  # doctest: +SKIP
    >>> scores = score(model, "Simulated.V4", layers="layer3")  # doctest: +SKIP
    >>> controls(model, scores, seeds=range(3))[0].twins.difference  # doctest: +SKIP
    """
    if n_shuffles < 0 or any(seed < 0 for seed in seeds):
        got = f"{n_shuffles} shuffles, seeds {', '.join(map(str, seeds)) or 'none'}"
        raise InvalidOption("controls", expected="numbers from 0", got=got, next_step="correct them")
    resources = resources or Resources()
    degrees = visual_degrees if visual_degrees is not None else model.visual_degrees
    made = [
        Control(model=s.model, benchmark=s.benchmark, metric=s.metric, layer=s.layer, measure=s.measure, raw=s.raw)
        for s in scores
    ]
    if seeds and scores:

        def inner(stage: str, done: int, total: int) -> None:
            if progress is not None:
                progress(f"twins: {stage}", done, total)

        score_twin = partial(
            score_like,
            resources=resources,
            mirror=mirror,
            offline=offline,
            visual_degrees=degrees,
            decision=decision,
            progress=inner,
        )
        twins = twins_beside(model, scores, seeds, score_twin, progress)
        made = [replace(control, twins=t, notes=notes) for control, (t, notes) in zip(made, twins, strict=True)]
    if n_shuffles and scores:
        total, done = n_shuffles * len(scores), 0

        def tick(n: int) -> None:
            nonlocal done
            done += n
            if progress is not None:
                progress("shuffled stimuli", done, total)

        run = Run(ModelSubject(model), resources, degrees, decision=decision)
        load = cache(partial(load_benchmark, mirror=mirror, offline=offline))
        with threadpool_limits(resources.threads or n_threads(), user_api="blas"):
            shuffled = shuffled_scores(run, scores, load, n_shuffles, tick)
        made = [_with_chance(*each) for each in zip(made, scores, shuffled, strict=True)]
    return tuple(made)


def _with_chance(control: Control, score: Score, shuffled: Array | str) -> Control:
    chance = None if isinstance(shuffled, str) else chance_of(score, shuffled)
    if chance is not None:
        return replace(control, chance=chance)
    return replace(control, notes=(*control.notes, shuffled if isinstance(shuffled, str) else UNDEFINED))
