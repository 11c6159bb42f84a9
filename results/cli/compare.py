"""`ventral compare A B ...`: which model is better, and how sure, from stored or cached scores."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import alignment
from model_zoo.errors import InvalidOption
from results import records
from results.cli import console, options, running
from results.cli.differences import print_comparison

if TYPE_CHECKING:
    from alignment import Score
    from alignment.averages import Aggregate
    from alignment.comparison import Comparison
    from results.candidates import Candidate

EXAMPLES = console.examples(
    "ventral compare torchvision/resnet18 torchvision/alexnet -b Cowley2023.V4-201025",
    "ventral compare torchvision/resnet18@0 torchvision/resnet18@1 torchvision/resnet18=trained.safetensors",
    "ventral compare resnet.json alexnet.json mine=third.json --report comparison.html",
    "ventral compare resnet.json alexnet.json --plot comparison.svg --csv differences.csv --aggregate rank",
)
_IMAGES = ("png", "svg")


def compare(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL...",
            help="Two or more: a model's NAME, NAME@SEED for other untrained weights, NAME=CHECKPOINT for trained "
            "ones, or FILE.json from `ventral score --json` (LABEL=FILE.json calls it LABEL).",
        ),
    ] = None,
    benchmark: Annotated[
        list[str] | None,
        typer.Option("--benchmark", "-b", metavar="ID", help="Repeatable. Default: those of the files, or simulated."),
    ] = None,
    metric: options.Metrics = None,
    layers: Annotated[
        str, typer.Option("--layers", metavar="auto|NAME,...", help="auto commits one layer per region.")
    ] = "auto",
    layer_map: options.LayerMap = None,
    common: Annotated[
        bool, typer.Option("--common", help="Compare on what all were scored on; else what is missing is an error.")
    ] = False,
    correction: Annotated[
        str, typer.Option("--correction", metavar="holm|bh|none", help="For the number of pairs and benchmarks.")
    ] = "holm",
    level: Annotated[float, typer.Option("--level", help="Coverage of intervals; 1 - level decides.")] = 0.95,
    aggregate: Annotated[
        str, typer.Option("--aggregate", metavar="mean|zscore|rank|all|none", help="Averages over benchmarks.")
    ] = "all",
    ema: options.Ema = False,
    partial: options.Partial = False,
    decision: options.Decision = "auto",
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
    csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="One row per difference.")] = None,
    report: options.Report = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help=".html; .png or .svg where matplotlib is installed.")
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Compare models on the same draws of stimuli and neuroids: differences, p, ranks, and what is not told apart.

    --layer-map and options about weights, images and the machine apply to models given by name.
    """
    from alignment.comparison import compare as compared
    from results.candidates import read_candidates

    running.check_outputs({"--json": json, "--csv": csv, "--report": report, "--plot": plot}, models)
    _check_plot(plot)
    settings = _settings(correction, level, aggregate)
    for name in metric or ():
        alignment.get_metric(name)
    running.check_degrees(visual_degrees)
    overrides = running.overrides_of(input_size, mean, std, interpolation)
    chosen = running.layers_of(layers, layer_map)
    found = _read(read_candidates(models or (), seed), benchmark, metric, layers, common=common)
    if any(each.file is None for each in found):
        names, metrics, wanted = _named(found, benchmark, metric, common=common, quiet=quiet)
        running.check(names, metrics, chosen, decision, mirror, offline=offline, quiet=quiet)
        running.check_models(each.model for each in found if each.file is None)
        run: dict[str, Any] = {
            "benchmark": names,
            "metric": metrics,
            "layers": chosen,
            "resources": running.resources_of(
                device, batch_size, threads, memory, scratch, scratch_dir, use_cache=not no_cache
            ),
            "mirror": mirror,
            "offline": offline,
            "visual_degrees": visual_degrees,
            "decision": decision,
        }
        found = _scored(found, run, wanted, overrides, ema=ema, partial=partial, quiet=quiet)
    else:
        _refuse_idle(overrides, layer_map, visual_degrees)
    comparison = compared({each.label: each.scores for each in found}, common=common, seed=seed, **settings)
    provenance = {
        "command": ["ventral", *sys.argv[1:]],
        "ventral": version("ventral-alignment"),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "models": {each.label: dict(each.origin) for each in found},
    }
    _write(comparison, provenance, json=json, csv=csv, report=report, plot=plot, quiet=quiet)


def _check_plot(plot: Path | None) -> None:
    if plot is None:
        return
    if records.ending(plot) not in (*_IMAGES, "html"):
        raise running.bad("--plot", "a file ending in .html, .png or .svg", str(plot), "compare")
    if records.ending(plot) in _IMAGES:
        from importlib.util import find_spec

        if find_spec("matplotlib") is None:
            raise InvalidOption(
                f"--plot {plot}",
                expected="matplotlib, which draws .png and .svg",
                got="no such package",
                next_step="name a file ending in .html, or `pip install 'ventral-alignment[figures]'`",
            )


def _settings(correction: str, level: float, aggregate: str) -> dict[str, Any]:
    from alignment.averages import AGGREGATES
    from alignment.comparison import CORRECTIONS

    if correction not in CORRECTIONS:
        raise running.bad("--correction", f"one of {', '.join(CORRECTIONS)}", correction, "compare")
    if not 0 < level < 1:
        raise running.bad("--level", "a share between 0 and 1, such as 0.95", str(level), "compare")
    kinds: dict[str, tuple[Aggregate, ...]] = {"all": AGGREGATES, "none": (), **{kind: (kind,) for kind in AGGREGATES}}
    if aggregate not in kinds:
        raise running.bad("--aggregate", f"one of {', '.join(kinds)}", aggregate, "compare")
    return {"correction": correction, "level": level, "aggregates": kinds[aggregate]}


def _refuse_idle(overrides: dict[str, Any], layer_map: Path | None, visual_degrees: float | None) -> None:
    """Refuse options that would change no score, where all scores come from files."""
    given = [f"--{name.replace('_', '-')}" for name in overrides]
    given += ["--layer-map"] * (layer_map is not None) + ["--visual-degrees"] * (visual_degrees is not None)
    if given:
        raise InvalidOption(
            f"compare {', '.join(given)}",
            expected="a model given by its name",
            got="files of scores only",
            next_step="leave it out; `ventral score` has it too",
        )


def _read(
    candidates: Sequence[Candidate], benchmark: list[str] | None, metric: list[str] | None, layers: str, *, common: bool
) -> list[Candidate]:
    """Return the candidates with those scores of their files that were asked for; what files lack is refused."""
    from results.candidates import chosen_scores

    names = [name.strip() for name in layers.split(",")]
    found = [each if each.file is None else chosen_scores(each, benchmark, metric, names) for each in candidates]
    lacking = []
    for whole, each in zip(candidates, found, strict=True):
        absent = [name for name in benchmark or () if name not in {score.benchmark for score in each.scores}]
        if each.file is not None and ((absent and not common) or not each.scores):
            nothing = f"none on {', '.join(absent)}" if absent else "none of them"
            lacking.append(f"{nothing} in {each.file}, which holds {_holdings(whole.scores)}")
    if lacking:
        asked = [f"on {', '.join(benchmark)}"] if benchmark else []
        asked += [f"under {', '.join(metric)}"] if metric else []
        asked += [f"of {', '.join(names)}"] if names != ["auto"] else []
        raise InvalidOption(
            "compare",
            expected=f"scores {' '.join(asked)} in every file",
            got=", and ".join(lacking),
            next_step="score it too, name what they hold, or pass --common to compare on what all have",
        )
    return found


def _holdings(scores: Sequence[Score], most: int = 6) -> str:
    held = list(dict.fromkeys(f"{score.benchmark} ({score.metric}, {score.layer})" for score in scores))
    return ", ".join(held[:most]) + (f" and {len(held) - most} more" if len(held) > most else "")


def _named(
    found: Sequence[Candidate], benchmark: list[str] | None, metric: list[str] | None, *, common: bool, quiet: bool
) -> tuple[list[str], list[str] | None, list[tuple[str, str]]]:
    """Return the benchmarks and metrics that models are scored on, and which pairs of them the files hold ([]: all)."""
    from alignment.comparison import shared_keys

    held = {each.label: [(s.benchmark, s.metric) for s in each.scores] for each in found if each.file is not None}
    wanted = shared_keys(held, common=common) if held else []
    names = list(dict.fromkeys(name for name, _ in wanted)) or running.benchmark_names(benchmark, quiet=quiet)
    return names, metric or sorted({name for _, name in wanted}) or None, wanted


def _scored(
    found: Sequence[Candidate],
    run: dict[str, Any],
    wanted: Sequence[tuple[str, str]],
    overrides: dict[str, Any],
    *,
    ema: bool,
    partial: bool,
    quiet: bool,
) -> list[Candidate]:
    """Return the candidates, those without a file scored; `run` is what `alignment.score` takes."""
    from model_zoo.recall import recall_model

    made = []
    with console.Bars(quiet=quiet) as bars:
        for number, each in enumerate(found):
            if each.file is not None:
                made.append(each)
                continue
            bars("models", number, len(found))
            model = recall_model(
                each.model, seed=each.seed, weights=each.weights, overrides=overrides,
                ema=ema and each.weights is not None, partial=partial and each.weights is not None,
                use_cache=run["resources"].use_cache,
            )  # fmt: skip
            scores = alignment.score(model, seed=each.seed, progress=bars, **run)
            kept = tuple(score for score in scores if not wanted or (score.benchmark, score.metric) in wanted)
            origin = {"model": each.model, "identity": model.identity, "weights": model.weights.source}
            made.append(replace(each, scores=kept, origin=origin))
    return made


def _write(
    comparison: Comparison,
    provenance: dict[str, Any],
    *,
    json: Path | None,
    csv: Path | None,
    report: Path | None,
    plot: Path | None,
    quiet: bool,
) -> None:
    from results import comparisons

    if json == console.STDOUT:
        sys.stdout.write(comparisons.to_json(comparison, provenance))
    else:
        print_comparison(comparison, quiet=quiet)
        if json is not None:
            records.write_atomically(json, comparisons.to_json(comparison, provenance))
    if csv is not None:
        records.write_atomically(csv, comparisons.to_csv(comparison))
    drawn = plot is not None and records.ending(plot) in _IMAGES
    pages = [path for path in (report, None if drawn else plot) if path is not None]
    if pages:
        from results.report.comparison import render

        page = render(comparison, provenance)
        for path in pages:
            records.write_atomically(path, page)
    if plot is not None and drawn:
        from results.report.comparison_image import image

        records.write_atomically(plot, image(comparison, records.ending(plot)))
    written = [str(path) for path in (json, csv, report, plot) if path is not None and path != console.STDOUT]
    if written and not quiet:
        console.note(f"Wrote {', '.join(written)}.")
