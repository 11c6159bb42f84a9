"""Cells: a benchmark, the metric it is scored with, and the layers that speak for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from alignment import get_metric
from alignment.contracts import BandedMetric, GeometryMetric, MetricCard, SimilarityMetric
from alignment.geometries import GeometryJob
from alignment.jobs import Job, Run, commit_layers
from alignment.layers import Division, LayerChoice, check_disjoint, divide
from alignment.recordings import RecordingJob
from alignment.similarities import SimilarityJob
from alignment.stored import Shelf
from benchmarks import at_hand, available, get_benchmark, load_benchmark
from benchmarks.contracts import BenchmarkCard, Data
from benchmarks.fetch import is_offline
from model_zoo.contracts import Layer
from model_zoo.errors import InvalidOption
from model_zoo.selection import select_layers

OWN_LAYERS = ("choices", "official")  # kinds that find the layer themselves where the user names none


class Source:
    """A benchmark whose data are read when they are first needed.

    Parameters
    ----------
    card, mirror, offline : see `benchmarks.load_benchmark`.

    Attributes
    ----------
    card : of the data that would be loaded. A pool that lacks parts is that of the parts at hand where the network is
        out of bounds; otherwise only the download, made here, shows which of them can be had.
    """

    def __init__(self, card: BenchmarkCard, mirror: Path | None, offline: bool | None) -> None:
        self.mirror, self._offline = mirror, offline
        self.card = available(card, mirror) if is_offline(offline) else card
        if self.card.parts and not at_hand(self.card, mirror):
            self.card = self.loaded[0]

    @cached_property
    def loaded(self) -> tuple[BenchmarkCard, tuple[Data, ...]]:
        """The data, and the card that came with them: a benchmark of Brain-Score's says more once it is loaded."""
        return load_benchmark(self.card, self.mirror, self._offline)

    @cached_property
    def division(self) -> Division:
        """Its own stimuli: those a layer is chosen on, and those that are then scored."""
        return divide(*self.loaded)


@dataclass(frozen=True, eq=False)
class Cell:
    """A benchmark and the metric it is scored with."""

    source: Source
    metric: MetricCard

    @property
    def card(self) -> BenchmarkCard:
        """The card of the data that would be loaded."""
        return self.source.card


def job_of(run: Run, card: BenchmarkCard, metric: MetricCard, data: Sequence[Data]) -> Job:
    """Return the job of a benchmark that needs nothing but what is kept of layers in one pass."""
    kind: type[GeometryJob | RecordingJob | SimilarityJob] = RecordingJob
    if card.kind == "geometry":
        kind = GeometryJob
    elif isinstance(metric, SimilarityMetric | GeometryMetric):
        kind = SimilarityJob
    return kind.of(card, metric, data, run.visual_degrees)


def choose_layers(
    run: Run, cells: Sequence[Cell], named: Sequence[list[str] | None], shelf: Shelf
) -> list[tuple[LayerChoice, ...]]:
    """Return the layers of every cell: those the user named, or the one that does best on other stimuli.

    Parameters
    ----------
    run : Run
    cells : sequence of Cell
    named : the names of every cell's layers; None: they are chosen here.
    shelf : where earlier choices are kept.

    Returns
    -------
    list of tuple of LayerChoice
        () for a kind of benchmark that knows itself what to read.

    Raises
    ------
    UnknownName
        A name that no layer has.
    InvalidOption
        Nothing to choose a layer on.
    LeakageError
        It would be chosen on stimuli that are scored.
    """
    layers = shelf.layers()
    blocks = tuple(layer for layer in layers if layer.is_block)
    chosen: list[tuple[LayerChoice, ...]] = [()] * len(cells)
    others: dict[str, Source] = {}
    trials: dict[int, _Trial] = {}
    for number, (cell, names) in enumerate(zip(cells, named, strict=True)):
        if names is not None:
            chosen[number] = tuple(LayerChoice(layer) for layer in select_layers(names, layers))
        elif isinstance(cell.metric, BandedMetric):
            chosen[number] = tuple(LayerChoice(layer, "all blocks, weighted by the fit") for layer in blocks)
        elif cell.card.kind not in OWN_LAYERS:
            trial = _Trial(cell, _other(cell, others))
            kept = shelf.choice(trial.key(shelf, blocks), blocks)
            if kept is None:
                trials[number] = trial
            else:
                chosen[number] = (kept,)
    made: dict[tuple[str, str], Job] = {}
    committed = commit_layers({number: trial.job(run, made) for number, trial in trials.items()}, run)
    for number, trial in trials.items():
        choice = trial.told(committed[number])
        shelf.keep_choice(trial.key(shelf, blocks), choice)
        chosen[number] = (choice,)
    return chosen


def _other(cell: Cell, sources: dict[str, Source]) -> Source | None:
    """Return the benchmark on which a cell's layer is chosen; None: a part of its own stimuli."""
    card, mirror = cell.card, cell.source.mirror
    name = next((name for name in card.commitment if at_hand(get_benchmark(name), mirror)), None)
    if name is not None:
        return sources.setdefault(name, Source(get_benchmark(name), mirror, True))
    if card.kind == "recording":
        return None
    raise InvalidOption(
        f"--layers auto on {card.name}",
        expected="a benchmark with commitment data",
        got=f"none at hand of {', '.join(card.commitment)}" if card.commitment else "none declared",
        next_step="name the layers with --layers"
        + (f", or fetch {card.commitment[0]} with `ventral data fetch`" if card.commitment else ""),
    )


@dataclass(frozen=True, eq=False)
class _Trial:
    """What a cell's layer is chosen on: another benchmark, or (None) a part of its own stimuli."""

    cell: Cell
    other: Source | None

    @property
    def metric(self) -> MetricCard:
        """The cell's own metric where that fits, else the other benchmark's."""
        if self.other is None or self.cell.metric.fits(self.other.card):
            return self.cell.metric
        return get_metric(self.other.card.default_metric)

    def key(self, shelf: Shelf, candidates: Sequence[Layer]) -> str | None:
        """Return what the choice is filed under."""
        other = None if self.other is None else self.other.card
        return shelf.choice_key(self.cell.card, self.metric, other, candidates)

    def job(self, run: Run, made: dict[tuple[str, str], Job]) -> Job:
        """Return the trial; one on the same data under the same metric is made once."""
        card, data = self.cell.source.loaded
        if self.other is None:
            division = self.cell.source.division
            card = replace(card, name=f"{division.n_held_out} stimuli of {card.name}")
            data = division.held_out
        else:
            check_disjoint(card, data, *self.other.loaded)
            card, data = self.other.loaded
        if (card.name, self.metric.name) not in made:
            made[card.name, self.metric.name] = job_of(run, card, self.metric, data)
        return made[card.name, self.metric.name]

    def told(self, choice: LayerChoice) -> LayerChoice:
        """Return the choice with what a reader must know of it."""
        if self.other is not None:
            return choice
        absent = self.cell.card.commitment
        reason = f"committed on {self.cell.source.division.n_held_out} of its own stimuli, which are not scored"
        if absent:
            reason += f"; {', '.join(absent)} {'is' if len(absent) == 1 else 'are'} not at hand"
        return replace(choice, reason=reason, own_stimuli=True)
