"""What every comparison made from Gram matrices has in common, and how layers are measured and committed."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from threadpoolctl import threadpool_limits

from alignment.contracts import MetricCard
from alignment.layers import LayerChoice, commit
from alignment.reduction import Reducer, Resources
from alignment.scores import LayerProfile, Score
from alignment.subjects import Kept, Subject
from benchmarks.contracts import BenchmarkCard
from benchmarks.stimuli import StimulusSet
from model_zoo.contracts import Layer
from model_zoo.machine import n_threads

if TYPE_CHECKING:
    from model_zoo.extraction import Progress


@dataclass(frozen=True)
class Run:
    """What a score depends on besides model, benchmark, metric and layer.

    Attributes
    ----------
    subject : the model.
    visual_degrees : degrees its input spans; None: the stimulus fills it.
    n_bootstrap : draws behind error and interval.
    decision : how a behaviour is read out: "auto", "head" or "readout"; see `alignment.choices`.
    """

    subject: Subject
    resources: Resources
    visual_degrees: float | None = None
    n_bootstrap: int = 1000
    decision: str = "auto"
    progress: Progress | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Need:
    """Stimuli that a model must be shown, and what is kept of every layer meanwhile."""

    stimuli: StimulusSet
    reducer: Reducer


@dataclass(frozen=True, kw_only=True)
class Job(ABC):
    """Layers to be scored on one benchmark under one metric, from what was kept of them in one forward pass.

    Attributes
    ----------
    layers, choice, profile : what is scored, who chose it, and the candidates' scores where it was committed.
    """

    card: BenchmarkCard
    metric: MetricCard
    layers: tuple[Layer, ...] = ()
    choice: str = "user"
    profile: LayerProfile | None = None

    def with_layers(self, layers: tuple[Layer, ...], choice: str = "user", profile: LayerProfile | None = None) -> Self:
        """Return the job with its layers chosen."""
        return replace(self, layers=layers, choice=choice, profile=profile)

    @property
    @abstractmethod
    def needs(self) -> tuple[Need, ...]:
        """What the model must be shown, and what must be kept of every layer meanwhile."""

    @property
    def groups(self) -> tuple[tuple[Layer, ...], ...]:
        """The layers by what is scored as one: every layer alone, unless a metric takes several together."""
        return tuple((layer,) for layer in self.layers)

    @abstractmethod
    def measure(self, kept: Callable[[int], Any], threads: int) -> Any:
        """Return what `raw` and `score` need of one group of layers.

        `kept(n)` is what was kept for the job's need number n: of the layer, or, where `groups` joins several, a list.
        """

    @abstractmethod
    def raw(self, measured: Any) -> float:
        """Return the score by which layers are chosen."""

    @abstractmethod
    def score(self, model: str, layers: Sequence[Layer], measured: Any, n_bootstrap: int) -> Score:
        """Return the finished score of one group of layers."""


def measure(
    jobs: Sequence[Job], run: Run, finish: Callable[[int, tuple[Layer, ...], Any], Any] = lambda *found: found[2]
) -> Iterator[tuple[int, tuple[Layer, ...], Any]]:
    """Yield (number of the job, layers, what was made of them); each stimulus set is shown to the model once.

    All jobs of a layer follow each other, so that what was kept of it is read once. Layers and jobs are measured side
    by side, each with its share of the threads.

    Parameters
    ----------
    jobs : with their layers chosen.
    run : Run
    finish : ``finish(number, layers, measured)``: what is made of a measurement, in the thread that measured it.
    """
    with contextlib.ExitStack() as stack:
        kept = {
            key: stack.enter_context(run.subject.reduced(stimuli, wanted, run.resources, run.progress))
            for key, (stimuli, wanted) in _wanted(jobs).items()
        }
        todo = [(number, job, group) for number, job in enumerate(jobs) for group in job.groups]
        todo.sort(key=lambda item: item[2][0].order)
        threads = run.resources.threads or n_threads()
        share = max(1, threads // max(len(todo), 1))

        def one(item: tuple[int, Job, tuple[Layer, ...]]) -> Any:
            number, job, group = item
            return finish(number, group, job.measure(partial(_kept_of, kept, job.needs, group), share))

        stack.enter_context(threadpool_limits(share, user_api="blas"))
        pool = ThreadPoolExecutor(threads // share)
        stack.callback(pool.shutdown, cancel_futures=True)
        for done, ((number, _, group), found) in enumerate(zip(todo, pool.map(one, todo), strict=True), start=1):
            if run.progress is not None:
                run.progress("scores", done, len(todo))
            yield number, group, found


def _wanted(jobs: Sequence[Job]) -> dict[str, tuple[StimulusSet, dict[Layer, tuple[Reducer, ...]]]]:
    """Return, by content, the stimuli to be shown and what is to be kept of every layer, in execution order."""
    shown: dict[str, StimulusSet] = {}
    wanted: dict[str, dict[Layer, dict[str, Reducer]]] = {}
    for job in jobs:
        for need in job.needs:
            key = need.stimuli.content_hash
            shown.setdefault(key, need.stimuli)
            for layer in job.layers:
                wanted.setdefault(key, {}).setdefault(layer, {})[need.reducer.key] = need.reducer
    in_order = {key: sorted(layers, key=lambda layer: layer.order) for key, layers in wanted.items()}
    return {
        key: (shown[key], {layer: tuple(wanted[key][layer].values()) for layer in layers})
        for key, layers in in_order.items()
    }


def _kept_of(kept: Mapping[str, Kept], needs: Sequence[Need], group: Sequence[Layer], number: int) -> Any:
    need = needs[number]
    found = [kept[need.stimuli.content_hash](need.reducer, layer.name) for layer in group]
    return found[0] if len(found) == 1 else found


def commit_layers(trials: Mapping[int, Job], run: Run) -> dict[int, LayerChoice]:
    """Return, by the same keys, the layer that does best on each trial, and the profile of all candidates.

    Parameters
    ----------
    trials : jobs made from other data than what will be scored; one job may stand under several keys, and is then
        measured once.
    """
    if not trials:
        return {}
    blocks = tuple(layer for layer in run.subject.layers() if layer.is_block)
    ready = {id(trial): trial.with_layers(blocks) for trial in trials.values()}
    keys, raw = list(ready), {key: list[float]() for key in ready}
    jobs = list(ready.values())
    for number, _, value in measure(jobs, run, lambda number, _, measured: jobs[number].raw(measured)):
        raw[keys[number]].append(value)
    chosen = {}
    for key, trial in trials.items():
        profile = LayerProfile(trial.card.name, tuple(layer.name for layer in blocks), tuple(raw[id(trial)]))
        sign = 1.0 if trial.metric.higher_is_better else -1.0
        name = commit(replace(profile, raw=tuple(sign * each for each in profile.raw)))
        layer = next(layer for layer in blocks if layer.name == name)
        chosen[key] = LayerChoice(layer, f"committed on {trial.card.name}", profile)
    return chosen
