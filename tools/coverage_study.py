"""Write docs/coverage.md and its figure: how often 95 % intervals of scores hold the truth of simulated experiments.

    python tools/coverage_study.py FOLDER [DESIGN ...]

Measures the experiments of the designs (all, unless named) that FOLDER does not hold yet, so that it can be stopped and
taken up again and designs can be measured side by side; writes the page once nothing is missing. Takes about fifteen
minutes of one quiet core. Needs matplotlib.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).parent))
from recovery_study import World

from alignment import get_metric
from alignment.contracts import RegressionMetric
from alignment.crossval import Target
from alignment.gram import Gram
from alignment.recordings import RecordingJob
from alignment.scores import Score
from alignment.similarities import SimilarityJob
from alignment.statistics import (
    PairedMeasurements,
    SplitPrediction,
    nan_median,
    summarise,
)
from benchmarks import get_benchmark
from benchmarks.ceilings import pearson, split_halves
from benchmarks.simulation import Design
from benchmarks.simulation.design import draw_repeats, neuroids_for
from benchmarks.simulation.stream import reliability, shown_of
from benchmarks.splits import shuffle_splits
from model_zoo.contracts import Layer

Array = np.ndarray
DOCS = Path(__file__).parents[1] / "docs"
TEMPLATE = Path(__file__).with_name("coverage.md.j2")
N_SCENES, N_SETS, N_DRAWS = 4096, 300, 400
FITTED, UNFITTED = ("ridge", "pls"), ("cka",)
MODELS = {"first": 12, "second": 10}  # channels of V4's sixteen that a model has


@dataclass(frozen=True)
class Plan:
    """A design, and how many animals its neuroids come from (0: one): noise differs between animals."""

    design: Design
    n_animals: int = 0


USUAL = Design("V4", n_stimuli=160, n_neuroids=40, n_repeats=6)
PLANS: Mapping[str, Plan] = {
    "usual": Plan(USUAL),
    "few stimuli": Plan(replace(USUAL, n_stimuli=96, n_neuroids=24)),
    "large": Plan(replace(USUAL, n_stimuli=320, n_neuroids=60)),
    "noisy": Plan(replace(USUAL, n_repeats=2, noise=2.0)),
    "few neuroids": Plan(replace(USUAL, n_neuroids=8)),
    "animals": Plan(replace(USUAL, n_neuroids=48), n_animals=8),
}


@dataclass(frozen=True)
class Experiment:
    """One simulated data set: what is scored, and what no experiment knows."""

    target: Target
    rows: Array
    rates: Array
    reliability: Array


def experiment(world: World, plan: Plan, seed: int) -> Experiment:
    """Return an experiment whose scenes, neuroids and noise are those of a seed."""
    design, rng = replace(plan.design, seed=seed), np.random.default_rng([31, seed])
    rows = np.sort(rng.choice(len(world.scenes.images), design.n_stimuli, replace=False))
    neuroids = neuroids_for(design)
    rates = neuroids.rates(world.shown.rows(rows))
    repeats = draw_repeats(design, neuroids, rates, rng)
    animals: tuple[str, ...] = ()
    scale = np.ones(design.n_neuroids)
    if plan.n_animals:
        of = np.repeat(np.arange(plan.n_animals), design.n_neuroids // plan.n_animals)
        scale, animals = np.exp(0.5 * rng.standard_normal(plan.n_animals))[of], tuple(map(str, of))
        repeats = rates[:, None, :] + scale * (repeats - rates[:, None, :])
    variance = design.noise * scale**2 * neuroids.trial_variance(rates)
    ids = tuple(map(str, rows))
    target = Target(
        None,  # type: ignore[arg-type]  # no picture is shown
        ids,
        tuple(map(str, range(design.n_neuroids))),
        repeats.mean(axis=1),
        shuffle_splits(len(ids)),
        split_halves(repeats),
        design.n_repeats,
        animals,
    )
    return Experiment(target, rows, rates, reliability(rates, variance, design.n_repeats))


def features_of(world: World, n_channels: int) -> Array:
    """Return (n_scenes, 500) features: rectified mixtures of some of V4's channels, and what V4 knows nothing of."""
    rng = np.random.default_rng(77)
    reference = shown_of("commitment").contour
    channels = (world.shown.contour - reference.mean(axis=0)) / reference.std(axis=0)
    weights, bias = rng.normal(size=(16, 400)), rng.normal(size=400)
    weights[n_channels:] = 0
    other = 0.3 * rng.normal(size=(len(channels), 100))
    return np.hstack([np.maximum(channels @ weights / 3.5 + bias, 0), other]).astype(np.float32)


def fit(metric: RegressionMetric, gram: Gram, target: Target) -> PairedMeasurements:
    """Return what `alignment.crossval.cross_validate` does, without its threads."""
    splits = []
    for split in target.splits:
        predicted = metric.predict(gram, split.train, split.test, target.responses[split.train])
        splits.append(SplitPrediction(split.test, predicted, target.responses[split.test]))
    return PairedMeasurements(len(target.stimulus_ids), splits, target.halves, (), target.animals)


def explained(measured: PairedMeasurements, data: Experiment) -> float:
    """Return the raw score without noise in the test responses, shrunk by the exact reliability of each neuroid."""
    free = np.stack([pearson(split.predicted, data.rates[split.test]) for split in measured.splits])
    return float(nan_median(free * np.sqrt(data.reliability)).mean())


def measure(world: World, plan: Plan, features: Mapping[str, Array], seed: int, n_draws: int) -> dict[str, Any]:
    """Return what one experiment leads to.

    Returns
    -------
    dict
        Per metric and quantity (estimate, error, low, high); "explained": per fitted metric and model, see `explained`;
        "true ceiling": the median reliability of the neuroids over the scenes.
    """
    card = replace(get_benchmark("Simulated.V4"), stratification=None)
    data = experiment(world, plan, seed)
    grams = {model: Gram.of(each[data.rows], data.target.stimulus_ids) for model, each in features.items()}
    layer = Layer("layer", (next(iter(features.values())).shape[1],), "features", 0, True)
    found: dict[str, Any] = {"explained": {}, "true ceiling": float(np.median(data.reliability))}
    for name in FITTED:
        metric = get_metric(name)
        assert isinstance(metric, RegressionMetric)
        job = RecordingJob(card=card, metric=metric, targets=(data.target,))
        measured = {model: fit(metric, gram, data.target) for model, gram in grams.items()}
        scores = {model: job.score(model, (layer,), (each,), n_draws) for model, each in measured.items()}
        found["explained"][name] = {model: explained(each, data) for model, each in measured.items()}
        found[name] = quantities(scores, ("raw", "ceiled"))
        one = scores["first"]
        found["ceiling"] = {"ceiling": [one.ceiling, one.ceiling_error, *(one.ceiling_interval or ())]}
    for name in UNFITTED:
        found[name] = quantities(unfitted(name, card, data.target, grams, layer, n_draws), ("raw",))
    return found


def quantities(scores: Mapping[str, Score], kinds: Sequence[str]) -> dict[str, list[float]]:
    """Return (estimate, error, low, high) of both models' scores and of their paired difference."""
    result = {}
    for kind in kinds:
        for model, score in scores.items():
            error, interval = (score.raw_error, score.raw_interval) if kind == "raw" else (score.error, score.interval)
            result[f"{kind}, {model}"] = [getattr(score, kind), error, *interval]
        first, second = scores.values()
        assert first.evidence is not None
        assert second.evidence is not None
        which = "raw" if kind == "raw" else "headline"
        draws = getattr(first.evidence, which) - getattr(second.evidence, which)
        difference = getattr(first, kind) - getattr(second, kind)
        error, interval = summarise(difference, draws, fitted=first.fitted)
        result[f"{kind}, difference"] = [difference, error, *interval]
    return result


def unfitted(name: str, card: Any, target: Target, grams: Mapping[str, Gram], layer: Layer, n_draws: int) -> Any:
    """Return both models' scores under a metric that fits nothing."""
    metric = get_metric(name)
    job = SimilarityJob(card=card, metric=metric, targets=(target,), brains=(metric.prepare(target.responses),))
    return {m: job.score(m, (layer,), job.measure(lambda _, g=gram: g, 1), n_draws) for m, gram in grams.items()}


def judged(experiments: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """Return, per metric and quantity, how well it is known; see `held`."""
    ceiling = float(np.mean([each["true ceiling"] for each in experiments]))
    result: dict[str, dict[str, dict[str, float]]] = {}
    for name in (*FITTED, *UNFITTED, "ceiling"):
        columns = {key: np.array([each[name][key] for each in experiments]) for key in experiments[0][name]}
        truth = {key: float(rows[:, 0].mean()) for key, rows in columns.items() if key.startswith("raw")}
        if name == "ceiling":
            truth["ceiling"] = ceiling
        if name in FITTED:
            for model in MODELS:
                mean = np.mean([each["explained"][name][model] for each in experiments])
                truth[f"ceiled, {model}"] = float(mean**2 / ceiling)
            truth["ceiled, difference"] = truth["ceiled, first"] - truth["ceiled, second"]
        result[name] = {key: held(truth[key], rows) for key, rows in columns.items()}
    return result


def held(truth: float, rows: Array) -> dict[str, float]:
    """Return truth, mean, spread, mean error and shares of intervals that hold the truth, lie below and above it."""
    estimate, error, low, high = rows.T
    return {
        "truth": truth,
        "mean": float(estimate.mean()),
        "spread": float(estimate.std()),
        "error": float(error.mean()),
        "held": float(((low <= truth) & (truth <= high)).mean()),
        "below": float((high < truth).mean()),
        "above": float((truth < low).mean()),
    }


def draw(numbers: Mapping[str, Any], path: Path) -> None:
    """Write the figure: one panel per quantity, one row per design, one mark per metric and model."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    panels = {"raw": "raw score", "ceiled": "ceiled score", "difference": "difference of two models"}
    colours = dict(zip((*FITTED, *UNFITTED), ("#1b7837", "#b35806", "#2166ac"), strict=True))
    figure, axes = plt.subplots(1, len(panels), figsize=(11, 3.1), sharex=True, sharey=True, layout="constrained")
    for axis, (panel, title) in zip(axes, panels.items(), strict=True):
        axis.axvspan(93, 97, color="#dddddd", zorder=0)
        axis.axvline(95, color="#777777", linewidth=1)
        for row, design in enumerate(numbers):
            for number, (metric, colour) in enumerate(colours.items()):
                cells = numbers[design][metric].items()
                x = [100 * cell["held"] for name, cell in cells if _panel(name) == panel]
                axis.plot(x, [row + 0.2 * (number - 1)] * len(x), "o", color=colour, markersize=4)
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("intervals that hold the truth, %")
    axes[0].set_yticks(range(len(numbers)), list(numbers))
    axes[0].invert_yaxis()
    for metric, colour in colours.items():
        axes[0].plot([], [], "o", color=colour, markersize=4, label=metric)
    axes[0].legend(frameon=False, fontsize=8, loc="lower left")
    figure.savefig(path, dpi=100)


def _panel(name: str) -> str:
    kind, which = name.split(", ")
    return "difference" if which == "difference" else kind


def write(numbers: Mapping[str, Any]) -> None:
    """Write the page and its figure."""
    import jinja2

    draw(numbers, DOCS / "coverage.png")
    cells = [cell for each in numbers.values() for metric in each.values() for cell in metric.values()]
    shares = [100 * cell["held"] for cell in cells]
    values = {
        "numbers": numbers,
        "plans": PLANS,
        "n_scenes": N_SCENES,
        "n_sets": N_SETS,
        "n_draws": N_DRAWS,
        "lowest": min(shares),
        "highest": max(shares),
        "mean": float(np.mean(shares)),
        "n_cells": len(shares),
        "n_within": sum(93 <= share <= 97 for share in shares),
    }
    template = jinja2.Template(TEMPLATE.read_text(encoding="utf-8"), undefined=jinja2.StrictUndefined)
    (DOCS / "coverage.md").write_text(template.render(values) + "\n", encoding="utf-8")


def main(folder: Path, names: Sequence[str]) -> None:
    """Measure what is missing, and write the page once nothing is."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = {name: folder / f"{name}.jsonl" for name in PLANS}
    world, features = None, {}
    for name in names or PLANS:
        with kept[name].open("a+", encoding="utf-8") as file:
            file.seek(0)
            for seed in range(len(file.readlines()), N_SETS):
                if world is None:
                    world = World.of(N_SCENES)
                    features = {model: features_of(world, n_channels) for model, n_channels in MODELS.items()}
                file.write(json.dumps(measure(world, PLANS[name], features, seed, N_DRAWS)) + "\n")
                file.flush()
    if all(path.exists() for path in kept.values()):
        lines = {name: path.read_text(encoding="utf-8").splitlines() for name, path in kept.items()}
        if all(len(each) == N_SETS for each in lines.values()):
            write({name: judged([json.loads(line) for line in each]) for name, each in lines.items()})


if __name__ == "__main__":
    with threadpool_limits(1, user_api="blas"):
        main(Path(sys.argv[1]), sys.argv[2:])
