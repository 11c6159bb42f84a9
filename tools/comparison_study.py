"""Write docs/comparison.md and its figure: how often `compare` is wrong about models that are equally good.

    python tools/comparison_study.py [FOLDER]

Takes about an hour of one core. Needs matplotlib. The scores of every design are kept in FOLDER, one file each,
and those that are there are not made again: a run can be stopped and taken up.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from scipy.special import ndtr

from alignment import Score, get_metric
from alignment.comparison import compare
from alignment.crossval import Target
from alignment.gram import Gram
from alignment.recordings import RecordingJob
from alignment.scores import Evidence
from alignment.standings import Row
from alignment.subjects import PrecomputedFeatures
from benchmarks import get_benchmark
from benchmarks.ceilings import split_halves
from benchmarks.splits import shuffle_splits

Array = np.ndarray
DOCS = Path(__file__).parents[1] / "docs"
TEMPLATE = Path(__file__).with_name("comparison.md.j2")
N_NULL, N_POWER, N_DRAWS = 1000, 200, 400
N_FEATURES, N_SEEN = 24, 16  # of the world, and by every model
DESIGNS: Mapping[str, dict[str, Any]] = {
    "usual": {},
    "few neuroids": {"n_neuroids": 8},
    "few stimuli": {"n_stimuli": 50},
    "noisy": {"n_repeats": 2, "noise": 6.0},
}
BLURS = (0.3, 0.5, 0.7, 1.0)
POWER_SEED = 10_000
TESTS = ("p", "p_stimuli", "p_units", "normal")  # normal: p of the main test without Student's t
AVERAGED = ("usual", "few neuroids")  # of one seed: the same stimuli, other neuroids
N_CROWDS, CROWD = 500, 8  # experiments, and models in each
CROWDS = (4, 8)  # models compared: every second, and all
Kept = Mapping[str, Array]


@dataclass(frozen=True)
class Design:
    """One experiment.

    Attributes
    ----------
    noise : multiplies the variance of single responses, which is that of a rate plus 0.2.
    blur : standard deviation of noise added to the last model's features, which make it worse.
    n_models : how many see the world.
    seed : draws stimuli, neuroids and noise.
    """

    n_stimuli: int = 100
    n_neuroids: int = 40
    n_repeats: int = 10
    noise: float = 1.0
    blur: float = 0.0
    n_models: int = 2
    seed: int = 0


def experiment(design: Design) -> tuple[Array, list[Array]]:
    """Return responses (n_stimuli, n_repeats, n_neuroids) and the features of all models, (n_stimuli, N_SEEN) each.

    Stimuli have independent features whose contrast varies; rates are rectified sums of about ten of them, with weights
    that are drawn anew for every neuroid. No feature is more important than another, so models that see sixteen of them
    in turn, each beginning further on in the circle, are equally good in the population of stimuli and neuroids, but
    not on the ones of an experiment.
    """
    rng = np.random.default_rng([33, design.seed])
    world = rng.standard_normal((design.n_stimuli, N_FEATURES))
    world *= np.exp(0.3 * rng.standard_normal((design.n_stimuli, 1)))
    weights = rng.standard_normal((N_FEATURES, design.n_neuroids))
    drive = world @ (weights * (rng.random(weights.shape) < 0.4)) / np.sqrt(0.4 * N_FEATURES)
    rates = 2 * np.logaddexp(0, 2 * drive) * np.exp(0.5 * rng.standard_normal(design.n_neuroids))
    spread = np.sqrt(design.noise * (rates + 0.2))[:, None]
    shape = (design.n_stimuli, design.n_repeats, design.n_neuroids)
    responses = rates[:, None] + spread * rng.standard_normal(shape)
    starts = [number * N_FEATURES // design.n_models for number in range(design.n_models)]
    seen = [world[:, (start + np.arange(N_SEEN)) % N_FEATURES] for start in starts]
    seen[-1] = seen[-1] + design.blur * rng.standard_normal((design.n_stimuli, N_SEEN))
    return responses, seen


def scores_of(design: Design, n_draws: int = N_DRAWS) -> list[Score]:
    """Return the scores of all models under ridge regression as `alignment.score` makes them."""
    responses, models = experiment(design)
    ids = tuple(map(str, range(design.n_stimuli)))
    neuroids = tuple(map(str, range(design.n_neuroids)))
    halves = split_halves(responses)
    splits = shuffle_splits(design.n_stimuli)
    target = Target(None, ids, neuroids, responses.mean(axis=1), splits, halves, design.n_repeats)  # no pictures
    job = RecordingJob(card=get_benchmark("Simulated.V4"), metric=get_metric("ridge"), targets=(target,))
    scores = []
    for number, features in enumerate(models):
        labelled = xr.DataArray(features, dims=("stimulus_id", "feature"), coords={"stimulus_id": list(ids)})
        layers = PrecomputedFeatures(str(number), {"layer": labelled}).layers()
        gram = Gram.of(features, list(ids))
        scores.append(job.score(str(number), layers, job.measure(lambda _, gram=gram: gram, 1), n_draws))
    return scores


def simulated(design: Design) -> dict[str, Any]:
    """Return what is kept of an experiment: the models' values, headline replicates and contributions."""
    scores = scores_of(design)
    return {
        "values": [each.ceiled for each in scores],
        "headline": np.array([each.evidence.headline for each in scores], dtype=np.float32),
        "by_stimulus": np.array([each.evidence.by_stimulus for each in scores]),
        "by_unit": np.array([each.evidence.by_unit for each in scores]),
    }


def simulate(plans: Sequence[Design], path: Path, pool: Executor) -> Kept:
    """Return what is kept of many experiments, from `path` if it is there."""
    if not path.is_file():
        rows = list(pool.map(simulated, plans, chunksize=5))
        partial = path.with_suffix(".partial.npz")
        np.savez(partial, **{name: np.array([row[name] for row in rows]) for name in rows[0]})
        partial.rename(path)
    with np.load(path) as stored:
        return {name: stored[name][: len(plans)] for name in stored.files}


def score(value: float, headline: Array, by_stimulus: Array, by_unit: Array, name: str) -> Score:
    """Return a score with the given evidence."""
    nowhere = (float("nan"), float("nan"))
    return Score(
        model="", benchmark=name, benchmark_version=1, region=name, kind="recording", metric="ridge", measure="r",
        layer="", layer_choice="", raw=value, raw_error=0.0, raw_interval=nowhere, ceiling=1.0, ceiling_error=0.0,
        ceiled=value, ceiled_rule="r^2/ceiling", error=0.0, interval=nowhere, interval_of="ceiled",
        n_stimuli=len(by_stimulus), n_features=0, unit="neuroid", unit_ids=("",) * len(by_unit), unit_raw=(),
        evidence=Evidence(pairing=name, raw=headline, headline=headline, by_stimulus=by_stimulus, by_unit=by_unit),
    )  # fmt: skip


def compared(benchmarks: Mapping[str, Kept], number: int, step: int = 1, **options: Any) -> list[Row]:
    """Return benchmarks and averages of one experiment's comparison of every `step`th model."""
    models: dict[str, list[Score]] = {}
    for name, kept in benchmarks.items():
        each = {key: values[number][::step] for key, values in kept.items()}
        for model, value in enumerate(each["values"]):
            shown = (each[key][model].astype(float) for key in ("headline", "by_stimulus", "by_unit"))
            models.setdefault(str(model), []).append(score(float(value), *shown, name))
    comparison = compare(models, **options)
    return [*comparison.rows, *comparison.aggregates]


def judged(benchmarks: Mapping[str, Kept], number: int) -> dict[str, dict[str, float]]:
    """Return, of one experiment, difference, p and whether the intervals hold the truth, per benchmark and average."""
    rows = {}
    for row in compared(benchmarks, number, correction="none"):
        (pair,) = row.differences
        low, high = pair.interval
        rows[row.name] = {
            **{test: found for test in TESTS if (found := getattr(pair, test, None)) is not None},
            "normal": 2 * float(ndtr(-abs(pair.value) / pair.error)) if pair.error else 1.0,
            "difference": pair.value,
            "error": pair.error,
            "held": float(low <= 0 <= high),
            "ranks": float(all(each.rank_interval == (1, 2) for each in row.standings)),
        }
    return rows


def crowded(benchmarks: Mapping[str, Kept], numbers: Sequence[int], step: int) -> dict[str, dict[str, float]]:
    """Return, per benchmark and average, shares of the pairs of equally good models, and of experiments (`claimed`)."""
    found: dict[str, list[list[float]]] = {}
    for number in numbers:
        for row in compared(benchmarks, number, step):
            pairs = row.differences
            inside = [each.interval[0] <= 0 <= each.interval[1] for each in pairs]
            shares = [np.mean([each.p < level for each in pairs]) for level in (0.05, 0.01)]
            claimed = any(each.better is not None for each in pairs)
            found.setdefault(row.name, []).append([*shares, np.mean(inside), claimed])
    names = ("p", "p 1", "held", "claimed")
    return {row: dict(zip(names, np.mean(shares, axis=0).tolist(), strict=True)) for row, shares in found.items()}


def summary(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return how often each test rejects at 5 % and at 1 %, and means of all else."""
    table = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    rejected = {name: float(np.mean(values < 0.05)) for name, values in table.items() if name in TESTS}
    strictly = {f"{name} 1": float(np.mean(values < 0.01)) for name, values in table.items() if name in TESTS}
    means = {name: float(values.mean()) for name, values in table.items() if name not in TESTS}
    return rejected | strictly | means | {"spread": float(table["difference"].std(ddof=1))}


def study(folder: Path) -> dict[str, Any]:
    """Return all numbers of the page."""
    folder.mkdir(parents=True, exist_ok=True)
    designs = {name: replace(Design(), **change) for name, change in DESIGNS.items()}
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        null = {
            name: simulate([replace(plan, seed=n) for n in range(N_NULL)], folder / f"{name}.npz", pool)
            for name, plan in designs.items()
        }
        seeds = range(POWER_SEED, POWER_SEED + N_POWER)
        worse = {
            blur: simulate([Design(blur=blur, seed=n) for n in seeds], folder / f"power {blur}.npz", pool)
            for blur in BLURS
        }
        crowd = {
            name: simulate(
                [replace(designs[name], n_models=CROWD, seed=n) for n in range(N_CROWDS)], folder / f"crowd {name}.npz",
                pool,
            )
            for name in AVERAGED
        }  # fmt: skip
        judging = {n: pool.submit(crowded, crowd, range(N_CROWDS), CROWD // n) for n in CROWDS}
        crowds = {n: each.result() for n, each in judging.items()}
    together = {name: null[name] for name in AVERAGED}
    rows = [judged(together, n) for n in range(N_NULL)]
    found = {name: summary([row[name] for row in rows]) for name in rows[0]}
    for name in DESIGNS:
        if name not in AVERAGED:
            found[name] = summary([judged({name: null[name]}, n)[name] for n in range(N_NULL)])
    power = {
        blur: summary([judged({"usual": kept}, n)["usual"] for n in range(N_POWER)]) for blur, kept in worse.items()
    }
    return {
        "null": {name: found[name] for name in (*DESIGNS, "mean", "zscore", "rank")},
        "power": power,
        "crowds": crowds,
        "n_crowds": N_CROWDS,
        "designs": designs,
        "averaged": AVERAGED,
        "n_null": N_NULL,
        "n_power": N_POWER,
        "n_draws": N_DRAWS,
    }


def draw(numbers: Mapping[str, Any], path: Path) -> None:
    """Write the figure: false alarms of every design, and power."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
    named = (("p", "two-way", "#0b5a8a"), ("p_stimuli", "sign flips of stimuli", "#b35806"),
             ("p_units", "sign flips of neuroids", "#1b7837"))  # fmt: skip
    rows = numbers["null"]
    for offset, (test, label, colour) in zip((-0.25, 0, 0.25), named, strict=True):
        drawn = [(n + offset, row[test]) for n, row in enumerate(rows.values()) if test in row]
        left.bar(*zip(*drawn, strict=True), width=0.22, color=colour, label=label)
    left.axhspan(0.03, 0.07, color="#cccccc", zorder=0)
    left.set_xticks(range(len(rows)), list(rows), rotation=30, ha="right")
    left.set_ylabel("false alarms at 5 %")
    left.legend(frameon=False, fontsize=8)
    power = numbers["power"]
    x = [0.0, *(row["difference"] for row in power.values())]
    for test, label, colour in named:
        right.plot(x, [rows["usual"][test], *(row[test] for row in power.values())], "o-", color=colour, label=label)
    right.set_xlabel("true difference of ceiled scores")
    right.set_ylabel("found at 5 %")
    right.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def write(numbers: Mapping[str, Any]) -> None:
    """Write the page and its figure."""
    import jinja2

    draw(numbers, DOCS / "comparison.png")
    template = jinja2.Template(TEMPLATE.read_text(encoding="utf-8"), undefined=jinja2.StrictUndefined, trim_blocks=True)
    (DOCS / "comparison.md").write_text(template.render(numbers) + "\n", encoding="utf-8")


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as scratch:
        write(study(Path(sys.argv[1] if len(sys.argv) > 1 else scratch)))
