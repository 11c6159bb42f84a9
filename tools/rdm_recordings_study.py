"""Measure the numbers of docs/methods.md, section 19: RDMs of recordings under noise, their errors, and their cost.

    python tools/rdm_recordings_study.py

prints three tables as Markdown: (1) raw score, reliability and ceiled score of the model that generates the responses,
mean over seeds of simulated V4 and IT; (2) the error by first-order influences over the spread of the score in fresh
experiments; (3) processor time per layer, one thread, median of repeats, for 1200 stimuli and 89 neuroids.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from alignment import list_metrics
from alignment.contracts import GeometryMetric, Similarity
from alignment.gram import Gram
from alignment.rdm_similarity import as_similarity
from alignment.rdms import rdm_of
from benchmarks import simulation
from benchmarks.assemblies import to_repeats
from benchmarks.ceilings import split_halves
from benchmarks.simulation import Design

Array = npt.NDArray[np.float64]
DESIGN = Design("V4", n_stimuli=120, n_neuroids=40)
DESIGNS = {
    "V4, 10 repeats": DESIGN,
    "V4, 4 repeats": replace(DESIGN, n_repeats=4),
    "V4, 4 times the noise": replace(DESIGN, noise=4.0),
    "IT, 4 repeats, 4 times the noise": replace(DESIGN, region="IT", n_repeats=4, noise=4.0),
}
N_SEEDS, N_EXPERIMENTS, N_LATENTS = 3, 150, 8


def cards() -> list[GeometryMetric]:
    return [card for card in list_metrics() if isinstance(card, GeometryMetric)]


def value_of(card: GeometryMetric, first: Array, second: Array) -> float:
    rdms = [rdm_of(side, card.dissimilarity) for side in (first, second)]
    return float(card.compare(rdms[0], rdms[1][None])[0])


def ceilings(card: GeometryMetric, design: Design) -> str:
    """Return "raw / reliability / ceiled" of the model that generates the responses."""
    found = []
    for seed in range(N_SEEDS):
        drawn = replace(design, seed=seed)
        recording = simulation.simulate(drawn)
        repeats, _ = to_repeats(recording.assembly)
        raw = value_of(card, simulation.design_rates(drawn).values, repeats.mean(axis=1))
        halves = np.array([value_of(card, *half) for half in split_halves(repeats, n_splits=4)])
        reliability = float(np.mean(2 * halves / (1 + halves)))
        found.append((raw, reliability, raw / np.sqrt(reliability)))
    return " / ".join(f"{each:.3f}" for each in np.mean(found, axis=0))


def similarity(card: GeometryMetric, features: Array, responses: Array) -> Similarity:
    metric = as_similarity(card)
    gram = Gram.of(features, [str(row) for row in range(len(features))])
    return metric.compare(gram, np.arange(len(features)), metric.prepare(responses))


def error_over_spread(card: GeometryMetric, fresh: str, n_stimuli: int = 60, n_neuroids: int = 30) -> str:
    """Return the root mean squared error over the standard deviation; what is not `fresh` stays the same."""
    rng = np.random.default_rng(0)
    readout = rng.normal(size=(N_LATENTS, 60))
    latents, tuning = rng.normal(size=(n_stimuli, N_LATENTS)), rng.normal(size=(N_LATENTS, n_neuroids))
    values, variances = [], []
    for _ in range(N_EXPERIMENTS):
        if fresh != "neuroids":
            latents = rng.normal(size=(n_stimuli, N_LATENTS))
        if fresh != "stimuli":
            tuning = rng.normal(size=(N_LATENTS, n_neuroids))
        found = similarity(card, np.maximum(latents @ readout, 0), np.maximum(latents @ tuning + 0.5, 0))
        both = [np.mean(each**2) / len(each) for each in (found.by_stimulus, found.by_neuroid)]
        values.append(found.value)
        variances.append({"stimuli": both[0], "neuroids": both[1], "both": sum(both)}[fresh])
    return f"{np.sqrt(np.mean(variances)) / np.std(values):.2f}"


def seconds(function: Callable[[], object], n_repeats: int) -> str:
    spent = []
    for _ in range(n_repeats):
        start = time.process_time()
        function()
        spent.append(time.process_time() - start)
    return f"{np.median(spent):.3f}"


def costs(card: GeometryMetric) -> tuple[str, str]:
    """Return processor seconds to prepare a recording and to compare a layer of 4000 features with it."""
    rng = np.random.default_rng(0)
    latents, metric = rng.normal(size=(1200, 20)), as_similarity(card)
    features = (latents @ rng.normal(size=(20, 4000)) + rng.normal(size=(1200, 4000))).astype(np.float32)
    responses = latents @ rng.normal(size=(20, 89)) + 2 * rng.normal(size=(1200, 89))
    gram, rows = Gram.of(features, [str(row) for row in range(1200)]), np.arange(1200)
    brain, n_repeats = metric.prepare(responses), 2 if card.name == "rsa-kendall" else 9
    return seconds(lambda: metric.prepare(responses), 3), seconds(lambda: metric.compare(gram, rows, brain), n_repeats)


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n\n"


def main() -> None:
    """Print the tables."""
    with threadpool_limits(1):
        under_noise = [[card.name, *(ceilings(card, design) for design in DESIGNS.values())] for card in cards()]
        sys.stdout.write(table(["raw / reliability / ceiled", *DESIGNS], under_noise))
        sides = ["stimuli", "neuroids", "both"]
        errors = [[card.name, *(error_over_spread(card, side) for side in sides)] for card in cards()]
        sys.stdout.write(table(["error / spread", *(f"fresh {side}" for side in sides)], errors))
        spent = [[card.name, *costs(card)] for card in cards()]
        sys.stdout.write(table(["processor seconds", "prepare", "per layer"], spent))


if __name__ == "__main__":
    main()
