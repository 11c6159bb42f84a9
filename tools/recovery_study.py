"""Write docs/recovery.md and its figure: what scores and ceilings say about simulated experiments whose truth is known.

    python tools/recovery_study.py

Takes about ten minutes on one core. Needs matplotlib.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from alignment import Score, get_metric
from alignment.contracts import ModelBehaviour
from alignment.gram import Gram
from alignment.recordings import RecordingJob, ceiling_of
from alignment.statistics import PairedMeasurements, SplitPrediction, bootstrap
from alignment.subjects import PrecomputedFeatures
from benchmarks import get_benchmark
from benchmarks.ceilings import split_halves
from benchmarks.contracts import Recording
from benchmarks.simulation import Design, design_rates, noise_free, simulate, true_accuracy, true_ceiling
from benchmarks.simulation.design import draw_repeats, neuroids_for, observers_for, shown_for
from benchmarks.simulation.observers import CONDITIONS, expected_consistency
from benchmarks.simulation.scenes import CATEGORIES, Scenes, make_scenes
from benchmarks.simulation.stream import Shown, reliability

Array = np.ndarray
DOCS = Path(__file__).parents[1] / "docs"
TEMPLATE = Path(__file__).with_name("recovery.md.j2")
N_SCENES, N_SETS, N_SEEDS = 2048, 200, 5
USUAL = Design("V4", n_stimuli=100, n_neuroids=40, n_repeats=10)
SWEEPS: Mapping[str, Sequence[float]] = {
    "noise": (0.25, 1, 4, 16),
    "n_neuroids": (5, 10, 20, 40, 80),
    "n_repeats": (2, 4, 10, 20),
    "n_stimuli": (50, 100, 200, 400),
}
CELLS: tuple[dict[str, Any], ...] = (
    {},
    {"region": "V2"},
    {"region": "IT"},
    {"n_repeats": 2},
    {"n_repeats": 2, "noise": 4.0},
    {"n_repeats": 4},
    {"noise": 8.0},
    {"n_neuroids": 5},
    {"n_neuroids": 10},
    {"n_neuroids": 160},
    {"n_stimuli": 30},
    {"n_stimuli": 400},
)
BEHAVIOURS: tuple[dict[str, Any], ...] = (
    {},
    {"n_observers": 2},
    {"n_observers": 12},
    {"noise": 0.25},
    {"noise": 4.0},
    {"lapse_rate": 0.0},
    {"lapse_rate": 0.2},
    {"n_stimuli": 50},
    {"n_stimuli": 400},
)
MODELS = (("generator", "the generator", "#1b7837"), ("partial", "partly right", "#b35806"))


@dataclass(frozen=True)
class World:
    """The population of scenes from which the data sets of the coverage study take theirs."""

    scenes: Scenes
    shown: Shown

    @classmethod
    def of(cls, n_scenes: int, seed: int = 2000) -> World:
        """Draw it."""
        scenes = make_scenes(n_scenes, seed)
        return cls(scenes, Shown.of(scenes))

    def experiment(self, design: Design) -> tuple[Array, Array, Array]:
        """Return (n_stimuli, n_repeats, n_neuroids) responses, their rates and the variance of single responses.

        Scenes and neuroids are those that the design's seed takes from the world.
        """
        rng = np.random.default_rng([21, design.seed])
        rows = np.sort(rng.choice(len(self.scenes.images), design.n_stimuli, replace=False))
        neuroids = neuroids_for(design)
        rates = neuroids.rates(self.shown.rows(rows))
        return draw_repeats(design, neuroids, rates, rng), rates, design.noise * neuroids.trial_variance(rates)

    def ceiling(self, design: Design, n_draws: int = 12, n_neuroids: int = 2000) -> float:
        """Return the median reliability of very many neuroids over all scenes of the world."""
        found = []
        for number in range(n_draws):
            neuroids = neuroids_for(replace(design, n_neuroids=n_neuroids, seed=10**6 + number))
            rates = neuroids.rates(self.shown)
            found.append(reliability(rates, design.noise * neuroids.trial_variance(rates), design.n_repeats))
        return float(np.median(np.concatenate(found)))


def score_of(features: Array, recording: Recording, design: Design, *, metric: str = "ridge", n_draws: int) -> Score:
    """Return the score of features of shape (n_stimuli, n_features) as `alignment.score` gives it."""
    card = replace(get_benchmark(f"Simulated.{design.region}"), n_repeats=design.n_repeats, stratification=None)
    ids = list(recording.stimuli.ids)
    labelled = xr.DataArray(features, dims=("stimulus_id", "feature"), coords={"stimulus_id": ids})
    (layer,) = PrecomputedFeatures("model", {"layer": labelled}).layers()
    job = RecordingJob.of(card, get_metric(metric), [recording], None).with_layers((layer,))
    return job.score("model", (layer,), job.measure(lambda _: Gram.of(features, ids), 1), n_draws)


def coverage(world: World, design: Design, n_sets: int, *, n_draws: int = 400) -> dict[str, float]:
    """Return how often the interval of the ceiling holds the truth, over data sets with seeds 0, 1, ...

    Returns
    -------
    dict
        truth: the population's ceiling; mean, spread: of the estimates; error: mean standard error;
        population, own: share of intervals with the truth of the population, and of the data set's own scenes and
        neuroids; low, high: share of intervals that lie below and above the population's truth.
    """
    truth = world.ceiling(design)
    rows = []
    for seed in range(n_sets):
        plan = replace(design, seed=seed)
        repeats, rates, variance = world.experiment(plan)
        ceiling, error, (low, high) = estimate(repeats, n_draws)
        own = float(np.median(reliability(rates, variance, plan.n_repeats)))
        rows.append((ceiling, error, low <= truth <= high, low <= own <= high, high < truth, truth < low))
    table = np.array(rows, dtype=float)
    names = ("mean", "error", "population", "own", "low", "high")
    means = dict(zip(names, map(float, table.mean(axis=0)), strict=True))
    return {"truth": truth, "spread": float(table[:, 0].std()), **means}


def estimate(repeats: Array, n_draws: int) -> tuple[float, float, tuple[float, float]]:
    """Return ceiling, error and interval of (n_stimuli, n_repeats, n_neuroids) responses, as a score has them."""
    unused = SplitPrediction(np.arange(2), repeats[:2, 0], repeats[:2, 0])  # the raw score's, not asked for here
    measured = [PairedMeasurements(len(repeats), [unused], split_halves(repeats))]
    draws = bootstrap(measured, n_draws, np.random.default_rng(0)).ceiling
    assert draws is not None
    return ceiling_of(measured, draws)


def sweep(n_seeds: int) -> list[dict[str, Any]]:
    """Return ceilings, scores and their truths for every point of `SWEEPS`, in `n_seeds` experiments each."""
    base = replace(USUAL, n_stimuli=200)
    points = {(name, value): replace(base, **{name: value}) for name, values in SWEEPS.items() for value in values}
    rows = []
    for seed in range(n_seeds):
        for (name, value), point in sorted(points.items(), key=lambda item: item[1].n_stimuli):
            design = replace(point, seed=seed)
            recording, silent = simulate(design), noise_free(design)
            assert isinstance(recording, Recording)
            models = {"generator": design_rates(design).values, "partial": shown_for(design).contour[:, :8]}
            row: dict[str, Any] = {"name": name, "value": value, "true": true_ceiling(design)}
            for model, features in models.items():
                score = score_of(features, recording, design, n_draws=20)
                truth = score_of(features, silent, replace(design, n_repeats=1), n_draws=20)
                row |= {"ceiling": score.ceiling, model: score.ceiled, f"{model} true": truth.raw * abs(truth.raw)}
                row[f"{model} raw"] = score.raw
            rows.append(row)
    return rows


def behave(n_seeds: int) -> list[dict[str, Any]]:
    """Return measured and expected agreement and accuracy for every point of `BEHAVIOURS`."""
    metric = get_metric("error_consistency")
    points = [Design("behaviour", **{"n_stimuli": 200, **change}) for change in BEHAVIOURS]
    rows = []
    for seed in range(n_seeds):
        for number, point in sorted(enumerate(points), key=lambda item: item[1].n_stimuli):
            design = replace(point, seed=seed)
            choices, observers = simulate(design), observers_for(design)
            table = choices.stimuli().table
            answer = ModelBehaviour(tuple(table.index), CATEGORIES, np.exp(observers.evidence), "the scenes' evidence")
            outcome = metric.outcome(answer, choices, 2, np.random.default_rng(0))
            labels = np.array([CATEGORIES.index(each) for each in table["truth"]])
            right = observers.probabilities()[:, np.arange(len(labels)), labels]
            model = (observers.evidence.argmax(axis=1) == labels).astype(float)
            groups = np.array([CONDITIONS.index(each) for each in table["condition"]])
            pairs = [expected_consistency(np.stack([model, each]), groups)[1] for each in right]
            correct = (choices.trials["choice"] == choices.trials["truth"]).mean()
            rows.append({"number": number, "kappa": outcome.ceiling, "kappa true": true_ceiling(design),
                         "model": outcome.raw, "model true": np.nanmean(pairs), "accuracy": correct,
                         "accuracy true": true_accuracy(design).mean()})  # fmt: skip
    return rows


def words(change: Mapping[str, Any]) -> str:
    """Return what differs from the usual design."""
    return ", ".join(f"{name} = {value}" for name, value in change.items()) or "none"


def averages(rows: Sequence[Mapping[str, Any]], *keys: str) -> list[dict[str, Any]]:
    """Return one row per point: what `keys` say, and mean (`x`) and standard deviation (`x sd`) of all else."""
    points: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        points.setdefault(tuple(row[key] for key in keys), []).append(row)
    found = []
    for point, group in points.items():
        named = dict(zip(keys, point, strict=True))
        columns = {name: np.array([row[name] for row in group], dtype=float) for name in group[0] if name not in keys}
        named |= {name: float(values.mean()) for name, values in columns.items()}
        found.append(named | {f"{name} sd": float(values.std()) for name, values in columns.items()})
    return found


def draw(points: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the figure: one panel per sweep."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(SWEEPS), figsize=(11, 3.1), sharey=True, layout="constrained")
    lines = (("ceiling", "true", "ceiling", "#555555"), *((m, f"{m} true", n, c) for m, n, c in MODELS))
    for panel, name in zip(panels, SWEEPS, strict=True):
        rows = sorted((row for row in points if row["name"] == name), key=lambda row: row["value"])
        x = [row["value"] for row in rows]
        for measured, truth, label, colour in lines:
            panel.plot(x, [row[truth] for row in rows], color=colour, linestyle="--", linewidth=1)
            means, spread = ([row[key] for row in rows] for key in (measured, f"{measured} sd"))
            panel.errorbar(x, means, spread, color=colour, marker="o", markersize=3, linewidth=1.3, label=label)
        panel.set_xscale("log")
        panel.set_xticks(x, [f"{value:g}" for value in x])
        panel.minorticks_off()
        panel.set_xlabel(name)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("ceiling, ceiled score")
    panels[0].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=110)


def study() -> dict[str, Any]:
    """Return all numbers of the page."""
    points = averages(sweep(N_SEEDS), "name", "value")
    world = World.of(N_SCENES)
    cells = [(words(change), coverage(world, replace(USUAL, **change), N_SETS)) for change in CELLS]
    behaviours = sorted(averages(behave(N_SEEDS), "number"), key=lambda row: row["number"])
    return {
        "points": sorted(points, key=lambda row: (list(SWEEPS).index(row["name"]), row["value"])),
        "cells": cells,
        "behaviours": [(words(BEHAVIOURS[int(row["number"])]), row) for row in behaviours],
        "n_scenes": N_SCENES,
        "n_sets": N_SETS,
        "n_seeds": N_SEEDS,
    }


def write(numbers: dict[str, Any]) -> None:
    """Write the page and its figure."""
    import jinja2

    draw(numbers["points"], DOCS / "recovery.png")
    template = jinja2.Template(TEMPLATE.read_text(encoding="utf-8"), undefined=jinja2.StrictUndefined)
    (DOCS / "recovery.md").write_text(template.render(numbers) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(study())
