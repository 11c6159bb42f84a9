"""Write docs/comparison.md and its figure: how often `compare` is wrong about models that are equally good.

    python tools/comparison_study.py [FOLDER]

Takes about half an hour of one core. Needs matplotlib. The scores of every design are kept in FOLDER, one file each,
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
from alignment.subjects import PrecomputedFeatures
from benchmarks import get_benchmark
from benchmarks.ceilings import split_halves
from benchmarks.splits import shuffle_splits

Array = np.ndarray
DOCS = Path(__file__).parents[1] / "docs"
TEMPLATE = Path(__file__).with_name("comparison.md.j2")
N_NULL, N_POWER, N_DRAWS = 1000, 200, 400
N_FEATURES, N_SEEN = 24, 16  # of the world, and by either model: the first and the last ones
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
Kept = Mapping[str, Array]


@dataclass(frozen=True)
class Design:
    """One experiment.

    Attributes
    ----------
    noise : multiplies the variance of single responses, which is that of a rate plus 0.2.
    blur : standard deviation of noise added to the second model's features, which make it worse.
    seed : draws stimuli, neuroids and noise.
    """

    n_stimuli: int = 100
    n_neuroids: int = 40
    n_repeats: int = 10
    noise: float = 1.0
    blur: float = 0.0
    seed: int = 0


def experiment(design: Design) -> tuple[Array, Array, Array]:
    """Return responses (n_stimuli, n_repeats, n_neuroids) and the features of two models (n_stimuli, N_SEEN) each.

    Stimuli have independent features whose contrast varies; rates are rectified sums of about ten of them, with weights
    that are drawn anew for every neuroid. No feature is more important than another, so a model that sees the first
    sixteen and one that sees the last sixteen are equally good in the population of stimuli and neuroids, but not on
    the ones of an experiment.
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
    blurred = world[:, -N_SEEN:] + design.blur * rng.standard_normal((design.n_stimuli, N_SEEN))
    return responses, world[:, :N_SEEN], blurred


def scores_of(design: Design, n_draws: int = N_DRAWS) -> list[Score]:
    """Return the scores of both models under ridge regression as `alignment.score` makes them."""
    responses, *models = experiment(design)
    ids = tuple(map(str, range(design.n_stimuli)))
    neuroids = tuple(map(str, range(design.n_neuroids)))
    halves = split_halves(responses)
    splits = shuffle_splits(design.n_stimuli)
    target = Target(None, ids, neuroids, responses.mean(axis=1), splits, halves, design.n_repeats)  # no pictures
    job = RecordingJob(card=get_benchmark("Simulated.V4"), metric=get_metric("ridge"), targets=(target,))
    scores = []
    for model, features in zip("ab", models, strict=True):
        labelled = xr.DataArray(features, dims=("stimulus_id", "feature"), coords={"stimulus_id": list(ids)})
        layers = PrecomputedFeatures(model, {"layer": labelled}).layers()
        gram = Gram.of(features, list(ids))
        scores.append(job.score(model, layers, job.measure(lambda _, gram=gram: gram, 1), n_draws))
    return scores


def simulated(design: Design) -> dict[str, Any]:
    """Return what is kept of an experiment: values (a, b), headline replicates (ha, hb), contributions' differences."""
    one, other = scores_of(design)
    return {
        "a": one.ceiled,
        "b": other.ceiled,
        "ha": one.evidence.headline.astype(np.float32),
        "hb": other.evidence.headline.astype(np.float32),
        "ds": one.evidence.by_stimulus - other.evidence.by_stimulus,
        "du": one.evidence.by_unit - other.evidence.by_unit,
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


def judged(benchmarks: Mapping[str, Kept], number: int) -> dict[str, dict[str, float]]:
    """Return, of one experiment, difference, p and whether the intervals hold the truth, per benchmark and average."""
    models: dict[str, list[Score]] = {"A": [], "B": []}
    for name, kept in benchmarks.items():
        each = {key: values[number] for key, values in kept.items()}
        headlines = each["ha"].astype(float), each["hb"].astype(float)
        nothing = 0 * each["ds"], 0 * each["du"]
        models["A"].append(score(float(each["a"]), headlines[0], each["ds"], each["du"], name))
        models["B"].append(score(float(each["b"]), headlines[1], *nothing, name))
    comparison = compare(models, correction="none")
    rows = {}
    for row in (*comparison.rows, *comparison.aggregates):
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
