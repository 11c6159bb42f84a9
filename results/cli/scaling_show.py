"""How `ventral scaling` shows tables and writes files."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_zoo.errors import InvalidOption
from results import records
from results.cli import console, running
from results.cli.scaling_input import Source
from results.scaling import records as scaling_records

if TYPE_CHECKING:
    from results.report.scaling import Table
    from results.scaling.contracts import Law
    from results.scaling.published import Reference

_FEW = 7  # laws whose ends are said in the terminal; of more the table says enough
_LIBRARIES = ("numpy", "scipy", "pandas", "plotly")


def show(title: str, table: Table) -> None:
    """Print a table of text."""
    printed = console.table(title, *table.columns, right=table.right)
    for row in table.rows:
        printed.add_row(*row)
    console.show(printed)


def check_plot(plot: Path | None) -> None:
    """Refuse an image that could not be drawn once the work is done."""
    from results.report.scaling_image import FORMATS

    if plot is not None and records.ending(plot) not in FORMATS:
        endings = " or ".join(f".{form}" for form in FORMATS)
        raise running.bad("--plot", f"a file ending in {endings}", str(plot), "scaling fit")
    check_image("--plot", plot)


def check_image(option: str, path: Path | None) -> None:
    """Refuse images where the library that draws them is missing."""
    if path is not None and find_spec("matplotlib") is None:
        raise InvalidOption(
            f"{option} {path}",
            expected="matplotlib, which draws images",
            got="no such package",
            next_step="write a page with --report, or `pip install 'ventral-alignment[figures]'`",
        )


def provenance(source: Source, *, draws: int, seed: int) -> dict[str, Any]:
    """Return how laws were made."""
    return _made(unit_of_the_scores=source.unit, bootstrap_draws=draws, seed=seed)


def _made(**facts: Any) -> dict[str, Any]:
    """Return how results were made, with the facts that apply to them; None for those that do not."""
    return {
        "command": ["ventral", *sys.argv[1:]],
        "ventral": version("ventral-alignment"),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        **{name: value for name, value in facts.items() if value is not None},
        "libraries": {name: version(name) for name in _LIBRARIES},
    }


def described(source: Source, laws: Mapping[str, Law]) -> list[dict[str, Any]]:
    """Return what is known of every law, beside the published fit of the same points and form."""
    return [scaling_records.described(law, published=published_of(source, name, law)) for name, law in laws.items()]


def published_of(source: Source, name: str, law: Law) -> Reference | None:
    """Return the published fit of a law; None where there is none, or it is of another form, unit or table."""
    from results.scaling.published import UNITS

    experiment = source.experiments[name]
    comparable = experiment.form == law.fit.form and source.unit == UNITS["legacy"] and not source.own
    return experiment.published if comparable else None


def write_fits(
    source: Source,
    laws: Mapping[str, Law],
    *,
    draws: int,
    seed: int,
    json: Path | None,
    csv: Path | None,
    report: Path | None,
    plot: Path | None,
    quiet: bool,
) -> None:
    """Print the laws and write the files that were asked for; JSON to stdout where its name is "-"."""
    from results.report import scaling_tables as tables

    contents = described(source, laws)
    text = scaling_records.to_json(contents, provenance(source, draws=draws, seed=seed), left_out=source.left_out)
    if json == console.STDOUT:
        sys.stdout.write(text)
    else:
        show(f"Laws of {source.title}", tables.fits(contents))
        show("Plain parameters", tables.plain_parameters(contents))
        show("Log parameters", tables.log_parameters(contents))
        beside = tables.beside_published(contents)
        if beside.rows:
            show(f"Beside the published fits, {tables.AS_PUBLISHED}", beside)
        if not quiet:
            console.say(
                f"L = 1 - score, X the resource over X0. {_intervals(draws)} Unit of the scores: {source.unit}."
            )
            _say_ends(laws)
            for warning, names in tables.warnings(contents):
                console.say(f"{tables.named(names, contents)}: {warning}.")
        if json is not None:
            records.write_atomically(json, text)
    if csv is not None:
        records.write_atomically(csv, scaling_records.to_csv(contents))
    if report is not None:
        from results.cli.scaling_pages import page_of

        with console.Bars(quiet=quiet) as bars:
            page = page_of(source, laws, draws=draws, seed=seed, progress=bars)
        records.write_atomically(report, page)
    if plot is not None:
        from results.cli.scaling_pages import panels_by_law
        from results.report.scaling_image import image

        records.write_atomically(plot, image(panels_by_law(source, laws), records.ending(plot), source.unit))
    note_written((json, csv, report, plot), quiet=quiet)


def _say_ends(laws: Mapping[str, Law]) -> None:
    """Say where a few laws of one resource end, each within its own form."""
    from results.scaling.saturation import saturation

    ending = [law for law in laws.values() if law.points.x.shape[1] == 1 and "e" in law.fit.log]
    if 0 < len(ending) <= _FEW:
        for law in ending:
            console.say(f"{law.name}: {saturation(law).words}.")
        console.say("That is within the form; `ventral scaling compare` tests it on the largest models.")


def _intervals(draws: int) -> str:
    if draws < 2:
        return "No bootstrap, so no intervals."
    return f"Intervals: 95 % of {draws} draws, widened for few units and moved for bias."


def write_table(
    content: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    *,
    json: Path | None,
    csv: Path | None,
    quiet: bool,
    unit: str | None = None,
    draws: int | None = None,
    seed: int | None = None,
) -> bool:
    """Write the files that were asked for; return True where JSON takes the table's place on stdout.

    The JSON says how it was made, with the unit of the scores, the bootstrap draws and their seed where there are any.
    """
    if csv is not None:
        records.write_atomically(csv, scaling_records.rows_to_csv(rows))
    made = _made(unit_of_the_scores=unit, bootstrap_draws=draws, seed=seed)
    taken = console.emit_json(json, records.strict({**content, "provenance": made}))
    note_written((json, csv), quiet=quiet)
    return taken


def note_written(files: Sequence[Path | None], *, quiet: bool) -> None:
    """Say which files were written."""
    written = [str(path) for path in files if path is not None and path != console.STDOUT]
    if written and not quiet:
        console.note(f"Wrote {', '.join(written)}.")
