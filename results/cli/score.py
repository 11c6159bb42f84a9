"""`ventral score MODEL`: the main job, from a name or a checkpoint to a table, JSON, CSV and a report."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

import alignment
from results import records
from results.cli import console, options, running
from results.cli.controls import print_controls
from results.report.figures import SHARES, has_shares, no_ceiling, number, undefined

if TYPE_CHECKING:
    from alignment import Score
    from alignment.controls import Control

EXAMPLES = console.examples(
    "ventral score torchvision/resnet18",
    "ventral score timm/resnet50 --weights best.safetensors --report resnet50.html",
    "ventral score torchvision/resnet18 --benchmark Cowley2023.V4-201025 --layers layer3 --metric ridge --json -",
    "ventral score torchvision/vgg16 --layers 'features.*' --memory 8GB",
    "ventral score torchvision/resnet18 -b Geirhos2021.edge -b Kriegeskorte2008.IT --csv scores.csv",
    "ventral score torchvision/resnet18 -b path/to/my-recording",
    "ventral score torchvision/resnet18 --weights best.pt --layer-map layers.json --twin",
)


def score(
    model: options.Model,
    weights: options.Weights = None,
    ema: options.Ema = False,
    partial: options.Partial = False,
    benchmark: options.Benchmarks = None,
    layers: Annotated[
        str, typer.Option("--layers", metavar="auto|all|NAME,...|GLOB", help="auto commits one layer per region.")
    ] = "auto",
    layer_map: options.LayerMap = None,
    metric: options.Metrics = None,
    decision: options.Decision = "auto",
    official: Annotated[
        bool, typer.Option("--official", help="Let Brain-Score's own code score brainscore/... benchmarks.")
    ] = False,
    twin: Annotated[bool, typer.Option("--twin", help="Untrained twins and shuffled stimuli beside it.")] = False,
    twin_seeds: Annotated[int, typer.Option("--twin-seeds", min=1, help="How many untrained twins.")] = 5,
    shuffles: Annotated[int, typer.Option("--shuffles", min=0, help="How often stimuli are shuffled.")] = 100,
    device: options.Device = "cpu",
    seed: options.Seed = 0,
    batch_size: options.BatchSize = None,
    threads: options.Threads = None,
    memory: options.Memory = None,
    scratch: options.Scratch = None,
    scratch_dir: options.ScratchDir = None,
    mirror: options.Mirror = None,
    offline: options.Offline = False,
    visual_degrees: options.VisualDegrees = None,
    input_size: options.InputSize = None,
    mean: options.Mean = None,
    std: options.Std = None,
    interpolation: options.Interpolation = None,
    no_cache: options.NoCache = False,
    json: options.Json = None,
    csv: options.Csv = None,
    report: options.Report = None,
    quiet: options.Quiet = False,
) -> None:
    """Score a model against recordings and behaviour, one row per benchmark, with ceilings and intervals."""
    running.check_outputs({"--json": json, "--csv": csv, "--report": report}, filter(None, (weights, layer_map)))
    chosen = running.layers_of(layers, layer_map)
    names = running.benchmark_names(benchmark, quiet=quiet)
    running.check(names, metric, chosen, decision, mirror, offline=offline, quiet=quiet)
    running.check_degrees(visual_degrees)
    overrides = running.overrides_of(input_size, mean, std, interpolation)
    running.check_models([model], weights)
    resources = running.resources_of(device, batch_size, threads, memory, scratch, scratch_dir, use_cache=not no_cache)
    from model_zoo.recall import recall_model

    loaded = recall_model(
        model, seed=seed, weights=weights, ema=ema, partial=partial, overrides=overrides, use_cache=not no_cache
    )
    if not quiet:
        running.introduce(loaded)
    shared: dict[str, Any] = {
        "resources": resources,
        "mirror": mirror,
        "offline": offline,
        "visual_degrees": visual_degrees,
        "decision": decision,
    }
    with console.Bars(quiet=quiet) as bars:
        scores = alignment.score(
            loaded, names, layers=chosen, metric=metric, official=official, progress=bars, **shared
        )
        controls: Sequence[Control] = ()
        if twin:
            from alignment.controls import controls as find_controls
            from alignment.twins import seeds_beside

            seeds = seeds_beside(loaded, twin_seeds)
            controls = find_controls(loaded, scores, seeds=seeds, n_shuffles=shuffles, progress=bars, **shared)
    provenance = records.provenance(
        loaded,
        scores,
        command=["ventral", *sys.argv[1:]],
        seed=seed,
        options={
            **asdict(resources),
            "layers": chosen,
            "metric": metric,
            "visual_degrees": visual_degrees,
            "decision": decision,
        },
        durations=bars.durations(),
    )
    if json != console.STDOUT:
        _print_table(scores, quiet=quiet)
        if controls:
            print_controls(scores, controls, quiet=quiet)
    running.write_files(scores, provenance, controls, json=json, csv=csv, report=report, quiet=quiet)


def _print_table(scores: Sequence[Score], *, quiet: bool) -> None:
    columns = ("region", "benchmark", "layer", "metric", "raw", "ceiling", "ceiled", "95 % interval", "stimuli", "n")
    table = console.table(scores[0].model, *columns, right=("raw", "ceiled", "stimuli", "n"))
    for row in scores:
        low, high = row.interval
        table.add_row(
            row.region,
            row.benchmark,
            row.layer,
            row.metric,
            f"{row.measure} {number(row.raw)}",
            no_ceiling(row) if row.ceiling is None else f"{row.ceiling:.3f}",
            "-" if row.ceiled is None else number(row.ceiled),
            "-" if math.isnan(low) else f"{low:.3f} to {high:.3f} ({row.interval_of})",
            str(row.n_stimuli),
            f"{row.n_neuroids} neuroids" if row.n_neuroids else f"{row.n_subjects} subjects",
        )
    console.show(table)
    if quiet:
        return
    for row in scores:
        console.say(f"{row.benchmark}, {row.layer}, {row.metric} ({row.layer_choice}): {formula(row)}{_remarks(row)}")
    if any(map(has_shares, scores)):
        console.say(SHARES)
    for row in scores:
        if "[" in row.benchmark:
            whole = row.benchmark.partition("[")[0]
            console.note(
                f"{row.benchmark}: the parts of {whole} that are here; the others could not be had. "
                f"`ventral data fetch {whole}` says why, or gets them."
            )


def _remarks(score: Score) -> str:
    """Return what else a reader needs, each part after a semicolon."""
    details = [f"{name} {value:.3g}" for name, value in score.details.items()]
    lower = [] if score.ceiling_lower is None else [f"lower bound of the ceiling {score.ceiling_lower:.3f}"]
    remarks = [*lower, ", ".join(details), score.note]
    return "".join(f"; {remark}" for remark in remarks if remark)


def formula(score: Score) -> str:
    """Return how the headline value came about, with its numbers: "ceiled = r^2/ceiling = 0.450^2/0.820 = 0.247"."""
    if math.isnan(score.raw):
        return f"raw {score.measure} {undefined(score)}"
    if score.ceiling is None or score.ceiled is None:
        reason = f"; {no_ceiling(score)}" if score.ceiling is None else ""
        return f"raw {score.measure} = {score.raw:.3f}{reason}"
    raw, ceiling = f"{score.raw:.3f}", f"{score.ceiling:.3f}"
    sign = "-" if score.raw < 0 else ""
    numbers = {
        "r^2/ceiling": f"{sign}{abs(score.raw):.3f}^2/{ceiling}",
        "raw/ceiling": f"{raw}/{ceiling}",
        "raw/sqrt(ceiling)": f"{raw}/sqrt({ceiling})",
    }.get(score.ceiled_rule)
    above = "; above the ceiling" if score.ceiled > 1 else ""
    worked = f" = {numbers}" if numbers else ""
    return f"ceiled = {score.ceiled_rule}{worked} = {score.ceiled:.3f}{above}"
