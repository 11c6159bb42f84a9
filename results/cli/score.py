"""`ventral score MODEL`: the main job, from a name or a checkpoint to a table, JSON, CSV and a report."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import alignment
import benchmarks
from model_zoo import machine
from model_zoo.errors import DataUnavailable, InvalidOption
from results import records
from results.cli import console
from results.report.figures import no_ceiling

if TYPE_CHECKING:
    from alignment import Score
    from benchmarks import BenchmarkCard
    from model_zoo import LoadedModel

EXAMPLES = console.examples(
    "ventral score torchvision/resnet18",
    "ventral score timm/resnet50 --weights best.safetensors --report resnet50.html",
    "ventral score torchvision/resnet18 --benchmark Cowley2023.V4-201025 --layers layer3 --metric ridge --json -",
    "ventral score torchvision/vgg16 --layers 'features.*' --memory 8GB",
    "ventral score torchvision/resnet18 -b Geirhos2021.edge -b Kriegeskorte2008.IT --csv scores.csv",
    "ventral score torchvision/resnet18 -b path/to/my-recording",
)
_STDOUT = Path("-")


def score(
    model: Annotated[str, typer.Argument(help="For example torchvision/resnet18; see `ventral list models`.")],
    weights: Annotated[
        Path | None, typer.Option("--weights", metavar="FILE", help="Checkpoint: .safetensors, .pt or .pth.")
    ] = None,
    ema: Annotated[bool, typer.Option("--ema", help="Take the checkpoint's averaged (EMA) weights.")] = False,
    partial: Annotated[bool, typer.Option("--partial", help="Accept weights that fill only part of it.")] = False,
    benchmark: Annotated[
        list[str] | None,
        typer.Option("--benchmark", "-b", metavar="ID", help="Repeatable. Default: the simulated areas."),
    ] = None,
    layers: Annotated[
        str, typer.Option("--layers", metavar="auto|all|NAME,...|GLOB", help="auto commits one layer per region.")
    ] = "auto",
    metric: Annotated[
        list[str] | None, typer.Option("--metric", metavar="ID", help="Repeatable. Default: each benchmark's own.")
    ] = None,
    decision: Annotated[
        str, typer.Option("--decision", metavar="auto|head|readout", help="How choices are read out of the model.")
    ] = "auto",
    official: Annotated[
        bool, typer.Option("--official", help="Let Brain-Score's own code score brainscore/... benchmarks.")
    ] = False,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1 or mps.")] = "cpu",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Draws untrained weights.")] = 0,
    batch_size: Annotated[int | None, typer.Option("--batch-size", min=1, help="Default: measured.")] = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="Default: all it may use.")] = None,
    memory: Annotated[str | None, typer.Option("--memory", metavar="SIZE", help="Budget, e.g. 4GB.")] = None,
    scratch: Annotated[str | None, typer.Option("--scratch", metavar="SIZE", help="Disk budget, e.g. 20GB.")] = None,
    scratch_dir: Annotated[Path | None, typer.Option("--scratch-dir", metavar="DIR", help="Where to spill.")] = None,
    mirror: Annotated[
        Path | None, typer.Option("--mirror", metavar="DIR", envvar="VENTRAL_MIRROR", help="Offline data mirror.")
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", envvar="VENTRAL_OFFLINE", help="Never touch the network.")
    ] = False,
    visual_degrees: Annotated[
        float | None, typer.Option("--visual-degrees", help="Of the model's input. Default: stimuli fill it.")
    ] = None,
    input_size: Annotated[str | None, typer.Option("--input-size", metavar="N|HxW", help="Pixels.")] = None,
    mean: Annotated[str | None, typer.Option("--mean", metavar="R,G,B", help="Of pixels in [0, 1].")] = None,
    std: Annotated[str | None, typer.Option("--std", metavar="R,G,B", help="Of pixels in [0, 1].")] = None,
    interpolation: Annotated[str | None, typer.Option("--interpolation", help="bilinear, bicubic, ...")] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Neither read nor write the cache.")] = False,
    json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Scores and provenance; - for stdout.")
    ] = None,
    csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="One row per score.")] = None,
    report: Annotated[Path | None, typer.Option("--report", metavar="FILE.html", help="Self-contained page.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No bars and no remarks.")] = False,
) -> None:
    """Score a model against recordings and behaviour, one row per benchmark, with ceilings and intervals."""
    for path, option in ((json, "--json"), (csv, "--csv"), (report, "--report")):
        if path is not None and path != _STDOUT:
            records.check_writable(path, option)
    names = _benchmark_names(benchmark, quiet=quiet)
    _check(names, metric, decision, mirror, offline=offline, quiet=quiet)
    overrides = _overrides(input_size, mean, std, interpolation)
    chosen_layers = [name.strip() for name in layers.split(",")]
    if visual_degrees is not None and not 0 < visual_degrees < 180:
        raise _bad("--visual-degrees", "degrees between 0 and 180", str(visual_degrees))
    from alignment.reduction import Resources
    from model_zoo.extraction import usable_device

    usable_device(device)
    resources = Resources(
        device=device,
        batch_size=batch_size,
        threads=threads,
        memory=None if memory is None else machine.parse_bytes(memory),
        scratch=None if scratch is None else machine.parse_bytes(scratch),
        scratch_dir=scratch_dir,
        use_cache=not no_cache,
    )
    from model_zoo import load_model

    loaded = load_model(model, weights=weights, seed=seed, ema=ema, partial=partial, overrides=overrides)
    if not quiet:
        _introduce(loaded)
    with console.Bars(quiet=quiet) as bars:
        scores = alignment.score(
            loaded,
            names,
            layers="auto" if chosen_layers == ["auto"] else chosen_layers,
            metric=metric,
            seed=seed,
            resources=resources,
            mirror=mirror,
            offline=offline,
            official=official,
            decision=decision,
            visual_degrees=visual_degrees,
            progress=bars,
        )
    provenance = records.provenance(
        loaded,
        scores,
        command=["ventral", *sys.argv[1:]],
        seed=seed,
        options={
            **asdict(resources),
            "layers": chosen_layers,
            "metric": metric,
            "visual_degrees": visual_degrees,
            "decision": decision,
        },
        durations=bars.durations(),
    )
    _write(scores, provenance, json=json, csv=csv, report=report, quiet=quiet)


def _check(
    names: Sequence[str], metric: list[str] | None, decision: str, mirror: Path | None, *, offline: bool, quiet: bool
) -> None:
    """Refuse before any work what could only fail after it, and say what will be downloaded."""
    from benchmarks.fetch import describe_missing, is_offline, missing_files

    cards = [benchmarks.get_benchmark(name) for name in names]
    alignment.check_decision(decision, cards)
    alignment.metrics_for(cards, metric)
    missing = missing_files(cards, mirror)
    if not missing:
        return
    if is_offline(offline or None):
        lacking = [card.name for card in cards if not _some_of(card, mirror)]
        if lacking:
            raise DataUnavailable(
                ", ".join(lacking),
                expected="their files here, since the network is not used",
                got=describe_missing(missing),
                next_step=f"run `ventral data fetch {' '.join(lacking)}` where there is a network, or name a --mirror",
            )
    elif not quiet:
        console.note(f"{describe_missing(missing)}\nVentral now tries to download them.")


def _some_of(card: BenchmarkCard, mirror: Path | None) -> bool:
    parts = [card, *map(benchmarks.get_benchmark, card.parts)]
    return any(benchmarks.at_hand(part, mirror) for part in parts)


def _benchmark_names(chosen: list[str] | None, *, quiet: bool) -> list[str]:
    if chosen:
        for name in chosen:
            benchmarks.get_benchmark(name)
        return list(dict.fromkeys(chosen))
    if not quiet:
        console.note(
            "No --benchmark given: scoring the simulated areas, which are computed, not recorded. "
            "`ventral list benchmarks` shows real recordings."
        )
    return [card.name for card in benchmarks.bundled_benchmarks()]


def _overrides(input_size: str | None, mean: str | None, std: str | None, interpolation: str | None) -> dict[str, Any]:
    """Return the preprocessing fields the user has set."""
    chosen: dict[str, Any] = {}
    if input_size is not None:
        size = _numbers("--input-size", input_size.lower().replace("x", ","), "pixels such as 224 or 224x192")
        if len(size) > 2 or any(side < 1 or side != int(side) for side in size):
            raise _bad("--input-size", "pixels such as 224 or 224x192", input_size)
        chosen["input_size"] = (int(size[0]), int(size[-1]))
    for option, text in (("mean", mean), ("std", std)):
        if text is not None:
            chosen[option] = tuple(_numbers(f"--{option}", text, "numbers such as 0.485,0.456,0.406"))
    if interpolation is not None:
        chosen["interpolation"] = interpolation
    return chosen


def _numbers(option: str, text: str, expected: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise _bad(option, expected, text) from None


def _bad(option: str, expected: str, got: str) -> InvalidOption:
    return InvalidOption(option, expected=expected, got=repr(got), next_step="see `ventral score --help`")


def _introduce(model: LoadedModel) -> None:
    """Say which weights were loaded and what the model will see."""
    prep, weights = model.preprocessing, model.weights
    height, width = prep.input_size
    share = f"{weights.n_loaded} of {weights.n_expected} weights ({weights.share_loaded:.0%})"
    console.note(f"Weights: {weights.source}, {share}" + (", averaged (EMA)" if weights.ema else ""))
    console.note(
        f"Preprocessing: whole image to {height} x {width}, {prep.interpolation}, mean {_listed(prep.mean)}, "
        f"std {_listed(prep.std)} ({prep.source})"
    )


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)


def _write(
    scores: Sequence[Score],
    provenance: dict[str, Any],
    *,
    json: Path | None,
    csv: Path | None,
    report: Path | None,
    quiet: bool,
) -> None:
    if json == _STDOUT:
        sys.stdout.write(records.to_json(scores, provenance))
    else:
        _print_table(scores)
        if json is not None:
            records.write_atomically(json, records.to_json(scores, provenance))
    if csv is not None:
        records.write_atomically(csv, records.to_csv(scores))
    if report is not None:
        from results.report import render

        records.write_atomically(report, render(scores, provenance))
    written = [str(path) for path in (json, csv, report) if path is not None and path != _STDOUT]
    if written and not quiet:
        console.note(f"Wrote {', '.join(written)}.")


def _print_table(scores: Sequence[Score]) -> None:
    columns = ("region", "benchmark", "layer", "metric", "raw", "ceiling", "ceiled", "95 % interval", "stimuli", "n")
    table = console.table(scores[0].model, *columns, right=("raw", "ceiled", "stimuli", "n"))
    for row in scores:
        low, high = row.interval
        table.add_row(
            row.region,
            row.benchmark,
            row.layer,
            row.metric,
            f"{row.measure} {row.raw:.3f}",
            no_ceiling(row) if row.ceiling is None else f"{row.ceiling:.3f}",
            "-" if row.ceiled is None else f"{row.ceiled:.3f}",
            "-" if math.isnan(low) else f"{low:.3f} to {high:.3f} ({row.interval_of})",
            str(row.n_stimuli),
            f"{row.n_neuroids} neuroids" if row.n_neuroids else f"{row.n_subjects} subjects",
        )
    console.out().print(table)
    for row in scores:
        console.say(f"{row.benchmark}, {row.layer} ({row.layer_choice}): {formula(row)}{_remarks(row)}")
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
