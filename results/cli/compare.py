"""`ventral compare A B ...`: which model is better, and how sure, from stored or cached scores."""

from __future__ import annotations

import math
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

if TYPE_CHECKING:
    from alignment.averages import Aggregate
    from alignment.comparison import Comparison
    from alignment.standings import Row
    from results.candidates import Candidate

EXAMPLES = console.examples(
    "ventral compare torchvision/resnet18 torchvision/alexnet -b Cowley2023.V4-201025",
    "ventral compare torchvision/resnet18@0 torchvision/resnet18@1 torchvision/resnet18=trained.safetensors",
    "ventral compare resnet.json alexnet.json mine=third.json --report comparison.html",
    "ventral compare resnet.json alexnet.json --plot comparison.svg --csv differences.csv --aggregate rank",
)
_IMAGES = (".png", ".svg")


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
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    mirror: options.Mirror = None,
    offline: options.Offline = False,
    no_cache: options.NoCache = False,
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Everything; - for stdout.")] = None,
    csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="One row per difference.")] = None,
    report: options.Report = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help=".html; .png or .svg where matplotlib is installed.")
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Compare models on the same draws of stimuli and neuroids: differences, p, ranks, and what is not told apart."""
    from alignment.comparison import compare as compared
    from results.candidates import chosen_scores, read_candidates

    _check_outputs(json, csv, report, plot)
    settings = _settings(correction, level, aggregate)
    names = [name.strip() for name in layers.split(",")]
    found = read_candidates(models or (), seed)
    found = [each if each.file is None else chosen_scores(each, benchmark, metric, names) for each in found]
    if any(each.file is None for each in found):
        found = _scored(
            found, benchmark, metric, names, common=common, device=device, mirror=mirror, offline=offline,
            use_cache=not no_cache, quiet=quiet,
        )  # fmt: skip
    comparison = compared({each.label: each.scores for each in found}, common=common, seed=seed, **settings)
    provenance = {
        "command": ["ventral", *sys.argv[1:]],
        "ventral": version("ventral-alignment"),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "models": {each.label: dict(each.origin) for each in found},
    }
    _write(comparison, provenance, json=json, csv=csv, report=report, plot=plot, quiet=quiet)


def _check_outputs(json: Path | None, csv: Path | None, report: Path | None, plot: Path | None) -> None:
    for path, option in ((json, "--json"), (csv, "--csv"), (report, "--report"), (plot, "--plot")):
        if path is not None and not (option == "--json" and path == running.STDOUT):
            records.check_writable(path, option)
    if plot is None:
        return
    if plot.suffix not in (*_IMAGES, ".html"):
        raise running.bad("--plot", "a file ending in .html, .png or .svg", str(plot), "compare")
    if plot.suffix in _IMAGES:
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


def _scored(
    found: Sequence[Candidate],
    benchmark: list[str] | None,
    metric: list[str] | None,
    layers: list[str],
    *,
    common: bool,
    device: str,
    mirror: Path | None,
    offline: bool,
    use_cache: bool,
    quiet: bool,
) -> list[Candidate]:
    """Return the candidates, those without a file scored on what was named, or on what the files hold."""
    wanted = _held(found, benchmark, common=common)
    names = list(dict.fromkeys(name for name, _ in wanted)) or running.benchmark_names(benchmark, quiet=quiet)
    metrics = metric or sorted({name for _, name in wanted}) or None
    running.check(names, metrics, "auto", mirror, offline=offline, quiet=quiet)
    resources = running.resources_of(device, None, None, None, None, None, use_cache=use_cache)
    from model_zoo import load_model

    made = []
    with console.Bars(quiet=quiet) as bars:
        for number, each in enumerate(found):
            if each.file is not None:
                made.append(each)
                continue
            bars("models", number, len(found))
            model = load_model(each.model, weights=each.weights, seed=each.seed)
            scores = alignment.score(
                model, names, layers="auto" if layers == ["auto"] else layers, metric=metrics, seed=each.seed,
                resources=resources, mirror=mirror, offline=offline, progress=bars,
            )  # fmt: skip
            kept = tuple(score for score in scores if not wanted or (score.benchmark, score.metric) in wanted)
            origin = {"model": each.model, "identity": model.identity, "weights": model.weights.source}
            made.append(replace(each, scores=kept, origin=origin))
    return made


def _held(found: Sequence[Candidate], benchmark: list[str] | None, *, common: bool) -> list[tuple[str, str]]:
    """Return what the files hold for the comparison; what they lack is refused before anything is scored."""
    from alignment.comparison import shared_keys

    held = {each.label: [(s.benchmark, s.metric) for s in each.scores] for each in found if each.file is not None}
    for label, keys in held.items():
        lacking = [name for name in benchmark or () if name not in {each for each, _ in keys}]
        if lacking and not common:
            raise InvalidOption(
                label,
                expected=f"scores on {', '.join(benchmark or ())}",
                got=f"none on {', '.join(lacking)}",
                next_step="score it on them too, or pass --common to compare on what all have",
            )
    return shared_keys(held, common=common) if held else []


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

    if json == running.STDOUT:
        sys.stdout.write(comparisons.to_json(comparison, provenance))
    else:
        _print(comparison)
        if json is not None:
            records.write_atomically(json, comparisons.to_json(comparison, provenance))
    if csv is not None:
        records.write_atomically(csv, comparisons.to_csv(comparison))
    pages = [path for path in (report, plot) if path is not None and not (path is plot and path.suffix in _IMAGES)]
    if pages:
        from results.report.comparison import render

        page = render(comparison, provenance)
        for path in pages:
            records.write_atomically(path, page)
    if plot is not None and plot.suffix in _IMAGES:
        from results.report.comparison_image import image

        records.write_atomically(plot, image(comparison, plot.suffix[1:]))
    written = [str(path) for path in (json, csv, report, plot) if path is not None and path != running.STDOUT]
    if written and not quiet:
        console.note(f"Wrote {', '.join(written)}.")


def _print(comparison: Comparison) -> None:
    """Print models against benchmarks, then every difference."""
    rows = (*comparison.rows, *comparison.aggregates)
    headings = [_heading(row) for row in rows]
    table = console.table(f"{len(comparison.models)} models", "model", *headings)
    for number, model in enumerate(comparison.models):
        table.add_row(model, *(_standing(row, number) for row in rows))
    console.out().print(table)
    share = f"{100 * comparison.level:g} %"
    console.say(
        f"Value ({share} interval); rank, 1 is best (its interval); models that share a letter: not told apart."
    )
    columns = ("on", "first - second", "difference", f"{share} interval", "p", "p adjusted", "p stimuli", "p units")
    table = console.table("Differences", *columns, "effect", "units for first", "verdict")
    for row in rows:
        for each in row.differences:
            table.add_row(
                _heading(row).replace("\n", ", "),
                f"{each.first} - {each.second}" + ("" if each.paired else " (unpaired)"),
                f"{each.value:+.3f}",
                _interval(each.interval, ".3f"),
                *(_p(p) for p in (each.p, each.p_adjusted, each.p_stimuli, each.p_units)),
                "-" if each.effect_size is None else f"{each.effect_size:+.2f}",
                "-" if each.share_of_units is None else f"{each.share_of_units:.0%}",
                each.verdict,
            )
    console.out().print(table)
    console.say(_reading(comparison))
    for row in rows:
        for note in row.notes:
            console.say(f"{_heading(row).splitlines()[0]}: {note}")


def _heading(row: Row) -> str:
    lower = "" if row.higher_is_better or not row.metric else ", lower is better"
    return f"{row.name}\n{row.metric}, {row.quantity}{lower}" if row.metric else row.quantity


def _standing(row: Row, number: int) -> str:
    each = row.standings[number]
    if math.isnan(each.value):
        return "undefined"
    bounds = _interval(each.rank_interval, "g")
    return f"{each.value:.3f} ({_interval(each.interval, '.3f')})\nrank {each.rank:g} ({bounds}) {each.groups}"


def _interval(bounds: tuple[float, float], form: str) -> str:
    low, high = bounds
    return "-" if math.isnan(low) else f"{low:{form}} to {high:{form}}"


def _p(p: float | None) -> str:
    if p is None or math.isnan(p):
        return "-"
    return "<.0001" if p < 1e-4 else f"{p:.4f}"


def _reading(comparison: Comparison) -> str:
    adjusted = {"holm": "Holm", "bh": "Benjamini and Hochberg", "none": "not adjusted"}[comparison.correction]
    return (
        f"p: for other stimuli and other units; adjusted over pairs and benchmarks: {adjusted}. p stimuli, p units: "
        "sign flips of raw scores, for these units or these stimuli alone."
    )
