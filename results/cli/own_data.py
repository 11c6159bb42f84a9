"""`ventral data new|check`: data of one's own, from first file to score."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from results.cli import console
from results.cli.options import Json

if TYPE_CHECKING:
    from benchmarks.folder import Examined

NEW_EXAMPLES = console.examples(
    "ventral data new my-v4 --images ~/stimuli --region V4",
    "ventral data new my-v4 --images ~/stimuli --region V4 --from-npy counts.npy",
)
CHECK_EXAMPLES = console.examples("ventral data check my-v4", "ventral data check my-v4 --json -")
INVALID = 2


class Area(StrEnum):
    """What a recording can be of."""

    V1 = "V1"
    V2 = "V2"
    V4 = "V4"
    IT = "IT"


Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="The benchmark's folder.")]


def new(
    folder: Folder,
    images: Annotated[
        Path | None, typer.Option("--images", metavar="DIR", help="Read where they are. Default: FOLDER/images.")
    ] = None,
    copy: Annotated[bool, typer.Option("--copy", help="Copy the images into FOLDER.")] = False,
    region: Annotated[Area, typer.Option("--region", help="The area recorded from.")] = Area.V4,
    degrees: Annotated[
        float, typer.Option("--visual-degrees", min=0.01, max=179, help="Width of the images, degrees of visual angle.")
    ] = 8.0,
    from_npy: Annotated[
        Path | None,
        typer.Option("--from-npy", metavar="FILE", help="Responses: stimuli x repeats x neuroids; copied."),
    ] = None,
) -> None:
    """Start a benchmark of your own data: a folder with commented files to fill in."""
    from benchmarks.folder import Description, start_folder

    described = Description(
        name=folder.absolute().name,
        region=region.value,
        visual_degrees=degrees,
        commitment=(f"Simulated.{region.value}-commitment",),
    )
    started = start_folder(folder, described, images=images, copy=copy, npy=from_npy)
    console.say(f"Wrote {', '.join(started.files)} in {folder}, with {started.n_stimuli} stimuli.")
    if images is not None:
        console.say(f"Images: {'copied from' if copy else 'read where they are,'} {images}.")
    for number, step in enumerate((*started.to_do, f"run `ventral data check {folder}`"), 1):
        console.say(f"  {number}. {step}")


def check(
    folder: Folder,
    json: Json = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No bar.")] = False,
) -> None:
    """Name everything that is wrong with a benchmark folder; exit code 2 if there is an error."""
    from benchmarks.folder import examine_folder

    with console.Bars(quiet=quiet) as bars:
        examined = examine_folder(folder, progress=bars)
    errors = [*examined.errors, *_metric_errors(examined)]
    found = {**_facts(examined), "ok": not errors, "errors": errors, "remarks": list(examined.remarks)}
    if not console.emit_json(json, found):
        _print(examined, errors)
    if errors:
        raise typer.Exit(INVALID)


def _metric_errors(examined: Examined) -> list[str]:
    """Return what is wrong with the default metric: the room of benchmarks knows no metrics."""
    from alignment import metrics_for
    from model_zoo.errors import VentralError

    if examined.card is None:
        return []
    try:
        metrics_for([examined.card], None)
    except VentralError as error:
        return [f"benchmark.toml, default_metric: {error}"]
    return []


def _facts(examined: Examined) -> dict[str, Any]:
    card = examined.card
    if card is None:
        return {"folder": str(examined.folder)}
    counts = {name: getattr(card, name) for name in ("n_stimuli", "n_neuroids", "n_repeats", "n_subjects")}
    return {
        "folder": str(examined.folder),
        "kind": card.kind,
        "region": card.region,
        "version": card.version,
        **counts,
        "default_metric": card.default_metric,
        "contents": dict(card.contents),
    }


def _print(examined: Examined, errors: list[str]) -> None:
    for error in errors:
        console.say(f"error   {error}")
    for remark in examined.remarks:
        console.say(f"remark  {remark}")
    card = examined.card
    if card is None or errors:
        console.say(f"{examined.folder}: {len(errors)} {'error' if len(errors) == 1 else 'errors'}.")
        return
    counts = [f"{card.n_stimuli} stimuli"]
    counts += [f"{card.n_neuroids} neuroids, up to {card.n_repeats} repeats"] if card.n_neuroids else []
    counts += [f"{card.n_subjects} subjects"] if card.n_subjects else []
    console.say(f"{examined.folder}: no errors. {card.region}, {', '.join(counts)}; scored with {card.default_metric}.")
    console.say(f"Score a model on it: `ventral score MODEL --benchmark {examined.folder}`")
