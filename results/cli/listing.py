"""`ventral list models|benchmarks|metrics`: what can be scored, with what, and how. Imports no torch until it must."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

import alignment
import benchmarks
import model_zoo
from benchmarks.contracts import BenchmarkCard, DataArchive, DataFile, Region
from model_zoo.contracts import ModelCard
from model_zoo.errors import InvalidOption
from model_zoo.machine import format_bytes
from results.cli import console
from results.cli.options import Json

app = typer.Typer(no_args_is_help=True, help="List models, benchmarks or metrics.")

_REGIONS = ", ".join(get_args(Region))

Search = Annotated[str | None, typer.Option("--search", metavar="TEXT", help="Only what contains TEXT, ignoring case.")]
Mirror = Annotated[
    Path | None,
    typer.Option("--mirror", metavar="DIR", envvar="VENTRAL_MIRROR", help="Offline mirror of the public data."),
]


@app.command("models", epilog=console.examples("ventral list models", "ventral list models --search convnext --json -"))
def models(
    json: Json = None,
    search: Search = None,
    all: Annotated[bool, typer.Option("--all", help="Every architecture of every family (imports torch).")] = False,
) -> None:
    """List model families and single models; with --search or --all, the architectures themselves."""
    cards = model_zoo.list_models()
    console.report_broken("model", model_zoo.MODELS.broken)
    if search is None and not all:
        rows = [_model_row(card) for card in cards]
        if console.emit_json(json, {"models": rows}):
            return
        table = console.table("Models", "name", "what", "licence", "for example")
        for row in rows:
            name = f"{row['name']}<architecture>" if row["family"] else row["name"]
            table.add_row(name, row["description"], row["licence"], row["example"])
        console.show(table)
        console.note("Find an architecture with `ventral list models --search TEXT`.")
        return
    names = [name for card in cards for name in _architectures(card) if (search or "").lower() in name.lower()]
    if console.emit_json(json, {"models": [{"name": name} for name in names]}):
        return
    if not names:
        _note_none("model", search)
        return
    for name in names:
        console.say(name)
    console.note(f"{len(names)} architectures.")


@app.command(
    "benchmarks",
    epilog=console.examples(
        "ventral list benchmarks",
        "ventral list benchmarks --region behaviour",
        "ventral list benchmarks --brainscore --search MajajHong",
        "ventral list benchmarks --all --json -",
    ),
)
def list_benchmarks(
    json: Json = None,
    search: Search = None,
    region: Annotated[
        str | None,
        typer.Option(
            "--region", metavar="REGION", help=f"One of {_REGIONS}, ignoring case; engineering with --brainscore."
        ),
    ] = None,
    brainscore: Annotated[
        bool, typer.Option("--brainscore", help="Those of brainscore-vision, by their names.")
    ] = False,
    all: Annotated[bool, typer.Option("--all", help="Also the data on which layers are chosen.")] = False,
    mirror: Mirror = None,
) -> None:
    """List benchmarks: region, species, counts, ceiling, metric, licence, and whether the data are here or why not."""
    wanted = _region(region)
    cards = _brainscore_cards() if brainscore else benchmarks.list_benchmarks(all=all)
    cards = tuple(
        card
        for card in cards
        if (search or "").lower() in f"{card.name} {card.description}".lower() and wanted in (None, card.region)
    )
    console.report_broken("benchmark", benchmarks.BENCHMARKS.broken)
    rows = [_benchmark_row(card, mirror) for card in cards]
    if console.emit_json(json, {"benchmarks": rows}):
        return
    if not rows:
        _note_none("benchmark", search, wanted)
        return
    numeric = ("stimuli", "neuroids", "subjects", "repeats", "size")
    columns = ("name", "region", "species", *numeric[:4], "ceiling", "metric", "licence", "data", "size")
    table = console.table("Benchmarks", *columns, right=numeric)
    for card, row in zip(cards, rows, strict=True):
        counts = [str(row[key]) if row[key] else "-" for key in ("n_stimuli", "n_neuroids", "n_subjects", "n_repeats")]
        table.add_row(
            row["name"],
            row["region"],
            row["species"],
            *counts,
            row["ceiling"] or "none",
            row["default_metric"],
            _short(row["licence"]),
            row["data"] if row["why_missing"] is None else row["why_missing"],
            _size(card),
        )
    console.show(table)
    if any(row["data"] == "missing" and card.files for card, row in zip(cards, rows, strict=True)):
        console.note("What is missing is downloaded when it is scored, or before by `ventral data fetch NAME`.")


@app.command("metrics", epilog=console.examples("ventral list metrics", "ventral list metrics --json -"))
def metrics(json: Json = None, search: Search = None) -> None:
    """List metrics: what they score, their range and direction, how a ceiling enters, what they ignore and notice."""
    cards = [card for card in alignment.list_metrics() if (search or "").lower() in card.name.lower()]
    console.report_broken("metric", alignment.METRICS.broken)
    rows = [
        {
            "name": card.name,
            "version": card.version,
            "kind": card.kind,
            "kinds": list(card.kinds),
            "measure": card.measure,
            "description": card.description,
            "citation": card.citation,
            "parameters": {key: _plain(value) for key, value in card.parameters.items()},
            "value_range": [bound if math.isfinite(bound) else None for bound in card.value_range],
            "higher_is_better": card.higher_is_better,
            "ceiled_rule": card.ceiled_rule,
            "invariant_to": list(card.invariant_to),
            "sensitive_to": list(card.sensitive_to),
        }
        for card in cards
    ]
    if console.emit_json(json, {"metrics": rows}):
        return
    if not cards:
        _note_none("metric", search)
        return
    table = console.table("Metrics", "name", "for", "what", "range", "ceiled by", "ignores", "notices")
    for card in cards:
        low, high = card.value_range
        table.add_row(
            card.name,
            ", ".join(card.kinds),
            card.description,
            f"{low:g} to {high:g}, {'higher' if card.higher_is_better else 'lower'} is better",
            card.ceiled_rule or "no ceiling",
            ", ".join(card.invariant_to),
            ", ".join(card.sensitive_to),
        )
    console.show(table)


def _note_none(kind: str, *sought: str | None) -> None:
    """Say that nothing is listed, and what was sought."""
    words = " and ".join(repr(each) for each in sought if each)
    console.note(f"No {kind} matches {words}." if words else f"No {kind} is there.")


def _region(text: str | None) -> str | None:
    """Return a region as cards spell it."""
    known = {each.lower(): each for each in get_args(Region)}
    if text is not None and text.lower() not in known:
        raise InvalidOption("--region", expected=f"one of {_REGIONS}", got=repr(text), next_step="choose one")
    return None if text is None else known[text.lower()]


def _model_row(card: ModelCard) -> dict[str, Any]:
    return {
        "name": card.name,
        "family": card.name.endswith("/"),
        "description": card.description,
        "licence": card.licence,
        "citation": card.citation,
        "example": card.name + card.example if card.name.endswith("/") else card.name,
    }


def _architectures(card: ModelCard) -> list[str]:
    return [card.name + name for name in card.architectures()] if card.name.endswith("/") else [card.name]


def _benchmark_row(card: BenchmarkCard, mirror: Path | None) -> dict[str, Any]:
    from benchmarks.fetch import missing_files, presence, unfetchable

    missing = missing_files([card], mirror)
    sizes = [file.n_bytes for file in card.files]
    return {
        "name": card.name,
        "version": card.version,
        "region": card.region,
        "species": card.species,
        "description": card.description,
        "n_stimuli": card.n_stimuli,
        "n_neuroids": card.n_neuroids,
        "n_repeats": card.n_repeats,
        "n_subjects": card.n_subjects,
        "kind": card.kind,
        "visual_degrees": card.visual_degrees if math.isfinite(card.visual_degrees) else None,
        "time_window": card.time_window,
        "ceiling": card.ceiling,
        "default_metric": card.default_metric,
        "commitment": list(card.commitment),
        "parts": list(card.parts),
        "licence": card.licence,
        "access": card.access,
        "citation": card.citation,
        "data": presence(card, mirror),
        "why_missing": _why_missing(card, missing),
        "n_bytes": None if None in sizes or unfetchable(card) else sum(size for size in sizes if size),
    }


def _brainscore_cards() -> tuple[BenchmarkCard, ...]:
    from benchmarks.brainscore import brainscore_cards

    return brainscore_cards()


def _why_missing(card: BenchmarkCard, missing: Sequence[DataFile | DataArchive]) -> str | None:
    from benchmarks.fetch import unfetchable

    if unfetchable(card):
        return "on request" if card.access == "private" else "not here: cannot be fetched"
    if not missing:
        return None
    known = [file.n_bytes for file in missing if file.n_bytes is not None]
    more = " or more" if len(known) < len(missing) else ""
    size = f", {format_bytes(sum(known))}{more}" if known else ", size not published"
    return f"missing: {len(missing)} of {len(card.files)} files{size}"


def _size(card: BenchmarkCard) -> str:
    from benchmarks.fetch import unfetchable

    known = [file.n_bytes for file in card.files if file.n_bytes is not None]
    if not known:
        return "-" if card.files or unfetchable(card) else "none"
    return format_bytes(sum(known)) + (" or more" if len(known) < len(card.files) else "")


def _short(licence: str) -> str:
    """Return a licence's name without its remarks, which the JSON has."""
    return re.split(r"[;(]", licence)[0].strip()


def _plain(value: Any) -> Any:
    """Return a metric parameter as JSON can hold it."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value)
