"""`ventral scaling reproduce STUDY`: every figure of a published study, from its own numbers, on one page."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from model_zoo.errors import InvalidOption, UnknownName
from results import records
from results.cli import console, options, running
from results.cli import scaling_options as given
from results.cli.scaling_input import STUDY, Choice, laws_of, published_table, source_of
from results.cli.scaling_show import check_image, described, note_written, provenance, show
from results.scaling import records as scaling_records

if TYPE_CHECKING:
    from results.report.scaling_curves import Panel

REPRODUCE = console.examples(
    "ventral scaling reproduce gokce2024",
    "ventral scaling reproduce gokce2024 --report gokce2024.html --figures figures/ --json gokce2024.json",
)
SEED = 42  # draws rows as the study drew them


def reproduce(
    study: Annotated[str, typer.Argument(help=f"{STUDY}: Gokce and Schrimpf (2024), arXiv 2411.05712.")],
    report: Annotated[
        Path, typer.Option("--report", metavar="FILE.html", help="Self-contained page of all figures and tables.")
    ] = Path(f"{STUDY}.html"),
    figures: Annotated[
        Path | None,
        typer.Option("--figures", metavar="DIR", help="Also every figure of laws, .png and .pdf; needs matplotlib."),
    ] = None,
    by: given.By = None,
    draws: given.Draws = 1000,
    seed: given.Seed = SEED,
    unit: given.Unit = "legacy",
    ceiling: given.Ceilings = None,
    mirror: options.Mirror = None,
    offline: options.Offline = False,
    json: options.Json = None,
    csv: given.Csv = None,
    quiet: options.Quiet = False,
) -> None:
    """Fit every experiment of a published study and write a page of its figures, beside the published parameters."""
    if study != STUDY:
        raise UnknownName("study", study, [STUDY], hint=f"the one study is {STUDY}")
    running.check_outputs({"--report": report, "--json": json, "--csv": csv})
    check_image("--figures", figures)
    if figures is not None:
        _make_folder(figures)
    choice = Choice.of(["*"], ceilings=ceiling, unit=unit, mirror=mirror, offline=offline)
    source = source_of(choice, "reproduce")
    training = published_table(choice, checkpoints=True)
    laws = laws_of(source, by, draws, seed, quiet=quiet)
    contents = described(source, laws)
    with console.Bars(quiet=quiet) as bars:
        from results.cli.scaling_study_page import panels_of_study, study_page

        made = provenance(source, draws=draws, seed=seed)
        records.write_atomically(report, study_page(source, training, laws, contents, made, bars))
        written = [report, *_images(figures, panels_of_study(source, laws), source.unit, bars)]
    text = scaling_records.to_json(contents, made)
    if json == console.STDOUT:
        sys.stdout.write(text)
    elif json is not None:
        records.write_atomically(json, text)
    if csv is not None:
        records.write_atomically(csv, scaling_records.to_csv(contents))
    if json != console.STDOUT:
        _summarise([content for content in contents if "published" in content])
    note_written((*written, json, csv), quiet=quiet)


def _make_folder(figures: Path) -> None:
    try:
        figures.mkdir(exist_ok=True)
    except OSError as error:
        raise InvalidOption(
            f"--figures {str(figures)!r}",
            expected="a folder, or a new name in one",
            got=error.strerror or str(error),
            next_step="name another",
        ) from error


def _images(
    folder: Path | None, pictures: Sequence[tuple[str, Sequence[Panel]]], unit: str, progress: Any
) -> list[Path]:
    """Write every figure of laws as .png and .pdf."""
    if folder is None:
        return []
    from results.report.scaling_image import image

    written = []
    for number, (name, panels) in enumerate(pictures):
        progress("images", number, len(pictures))
        for form in ("png", "pdf"):
            path = folder / f"{name}.{form}"
            records.write_atomically(path, image(panels, form, unit))
            written.append(path)
    return written


def _summarise(contents: Sequence[Mapping[str, Any]]) -> None:
    from results.report import scaling_tables as tables

    if contents:
        show(f"Beside the published fits, {tables.AS_PUBLISHED}", tables.beside_published(contents))
        show("Losses", tables.losses(contents))
