"""`ventral layers MODEL`: where activations can be read, and, with --score, how every layer does in every region."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import alignment
from model_zoo.errors import InvalidOption
from results import records
from results.cli import console, options, running
from results.report.figures import best_of, by_cell, number, undefined

if TYPE_CHECKING:
    from alignment import Score
    from alignment.reduction import Resources
    from model_zoo import LoadedModel

EXAMPLES = console.examples(
    "ventral layers torchvision/resnet18",
    "ventral layers timm/vit_tiny_patch16_224 --all",
    "ventral layers torchvision/resnet18 --score --report layers.html",
    "ventral layers torchvision/resnet18 --score -b Cowley2023.V4-201025 -m pls -m ridge -m cka -m rsa-spearman",
    "ventral layers torchvision/resnet18 --score --commit --layers 'layer3.*,layer4.*' --csv layers.csv",
)


def layers(
    model: options.Model,
    score: Annotated[bool, typer.Option("--score", help="Score every candidate layer in every region.")] = False,
    commit: Annotated[
        bool, typer.Option("--commit", help="Also choose a layer per region among all blocks, on other data; marked *.")
    ] = False,
    layers: Annotated[
        str, typer.Option("--layers", metavar="blocks|all|NAME,...|GLOB", help="Which ones are scored.")
    ] = "blocks",
    all: Annotated[bool, typer.Option("--all", help="Every module, not only blocks.")] = False,
    benchmark: options.Benchmarks = None,
    metric: options.Metrics = None,
    weights: options.Weights = None,
    ema: options.Ema = False,
    partial: options.Partial = False,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
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
    """List a model's candidate layers in execution order, or score them all, features extracted once (--score)."""
    running.check_outputs({"--json": json, "--csv": csv, "--report": report}, filter(None, (weights,)))
    overrides = running.overrides_of(input_size, mean, std, interpolation)
    if not score:
        named = layers if layers != "blocks" else None
        given = {"--layers": named, "--benchmark": benchmark, "--metric": metric, "--csv": csv, "--report": report}
        _refuse_without_score(given, commit)
        running.check_models([model], weights)
        from model_zoo import load_model

        loaded = load_model(model, weights=weights, seed=seed, ema=ema, partial=partial, overrides=overrides)
        _list(loaded, all=all, json=json, quiet=quiet)
        return
    chosen = ["all"] if all else [name.strip() for name in layers.split(",")]
    names = running.benchmark_names(benchmark, quiet=quiet)
    running.check(names, metric, chosen, "auto", mirror, offline=offline, quiet=quiet)
    running.check_degrees(visual_degrees)
    running.check_models([model], weights)
    resources = running.resources_of(device, batch_size, threads, memory, scratch, scratch_dir, use_cache=not no_cache)
    from model_zoo.recall import recall_model

    loaded = recall_model(
        model, seed=seed, weights=weights, ema=ema, partial=partial, overrides=overrides, use_cache=not no_cache
    )
    if not quiet:
        running.introduce(loaded)
    settings: dict[str, Any] = {
        "metric": metric,
        "resources": resources,
        "mirror": mirror,
        "offline": offline,
        "visual_degrees": visual_degrees,
    }
    with console.Bars(quiet=quiet) as bars:
        scores = alignment.score(loaded, names, layers=chosen, progress=bars, **settings)
        committed = alignment.score(loaded, names, layers="auto", progress=bars, **settings) if commit else ()
    typed = {"layers": chosen, "metric": metric, "commit": commit, "visual_degrees": visual_degrees}
    provenance = _provenance(loaded, [*scores, *committed], resources, seed, bars, typed)
    if json != console.STDOUT:
        _print_table(scores, committed, quiet=quiet)
    running.write_files(scores, provenance, (), committed, json=json, csv=csv, report=report, quiet=quiet)


def _refuse_without_score(given: dict[str, Any], commit: bool) -> None:
    wanted = [name for name, value in {**given, "--commit": commit}.items() if value]
    if wanted:
        raise InvalidOption(
            "ventral layers",
            expected="--score with " + ", ".join(wanted),
            got="a plain listing",
            next_step="add --score, or leave them out",
        )


def _list(model: LoadedModel, *, all: bool, json: Path | None, quiet: bool) -> None:
    from model_zoo import list_layers

    found = list_layers(model.module, model.preprocessing.input_size, all)
    rows = [{**asdict(layer), "shape": list(layer.shape), "n_features": layer.n_features} for layer in found]
    if console.emit_json(json, {"model": model.name, "layers": rows}):
        return
    right = ("order", "features")
    table = console.table(f"Layers of {model.name}", "order", "name", "kind", "shape", "features", right=right)
    for layer in found:
        shape = " x ".join(map(str, layer.shape))
        table.add_row(str(layer.order), layer.name, layer.kind, shape, f"{layer.n_features:,}")
    console.show(table)
    if not all and not quiet:
        console.note("Blocks and the modules around them; --all lists every module, --score scores them.")


def _provenance(
    model: LoadedModel,
    scores: Sequence[Score],
    resources: Resources,
    seed: int,
    bars: console.Bars,
    chosen: dict[str, Any],
) -> dict[str, Any]:
    return records.provenance(
        model,
        scores,
        command=["ventral", *sys.argv[1:]],
        seed=seed,
        options={**asdict(resources), **chosen},
        durations=bars.durations(),
    )


def _print_table(scores: Sequence[Score], committed: Sequence[Score], *, quiet: bool) -> None:
    """Print layers as rows, benchmarks and metrics as columns; the highest of a column is bold."""
    by_column = by_cell(scores)
    columns = list(by_column)
    cells: dict[str, dict[tuple[str, str], Score]] = {}
    for row in scores:
        cells.setdefault(row.layer, {})[row.benchmark, row.metric] = row
    headings = [f"{rows[0].region} {column[0]}\n{_unit(rows[0])}" for column, rows in by_column.items()]
    table = console.table(scores[0].model, "layer", *headings, right=headings)
    best = {column: best_of(rows) for column, rows in by_column.items()}
    chosen = {(row.benchmark, row.metric): row.layer for row in committed}
    for layer, found in cells.items():
        texts = []
        for column in columns:
            text = _cell(found[column]) if column in found else ""
            text += " *" if chosen.get(column) == layer else ""
            texts.append(f"[bold]{text}[/bold]" if column in found and found[column] is best[column] else text)
        table.add_row(layer, *texts)
    console.show(table)
    if not quiet:
        console.say("Headline values, 95 % intervals. Bold: best of its column, picked on these data, so it flatters.")
        for reason, names in _undefined(scores).items():
            console.say(f"{', '.join(names)}: {reason}.")
    for row in committed:
        console.say(f"* {row.benchmark}, {row.metric}: {row.layer} {row.layer_choice}: {_cell(row)}")


def _undefined(scores: Sequence[Score]) -> dict[str, list[str]]:
    """Return the layers that have no value in some column, by the reason."""
    found: dict[str, list[str]] = {}
    for row in scores:
        if math.isnan(row.raw) and row.layer not in found.setdefault(undefined(row), []):
            found[undefined(row)].append(row.layer)
    return found


def _unit(score: Score) -> str:
    return f"{score.metric}, {score.measure if score.ceiled is None else 'ceiled'}"


def _cell(score: Score) -> str:
    value = score.raw if score.ceiled is None else score.ceiled
    low, high = score.interval
    return number(value) if math.isnan(low) else f"{value:.3f} ({low:.3f} to {high:.3f})"
