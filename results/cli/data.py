"""`ventral data`: the published files that benchmarks are made of, and data of one's own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import benchmarks
from benchmarks.contracts import BenchmarkCard, DataArchive, DataFile
from model_zoo import machine
from model_zoo.errors import DataIntegrity, DataUnavailable, InvalidOption, ResourceError
from results.cli import console, own_data
from results.cli.options import Json

if TYPE_CHECKING:
    from benchmarks.fetch import Whereabouts

app = typer.Typer(no_args_is_help=True, help="Fetch and carry along what benchmarks are made of; bring your own.")

Files = dict["DataFile | DataArchive", list[BenchmarkCard]]
Names = Annotated[list[str] | None, typer.Argument(metavar="[BENCHMARK]...", help="Default: all benchmarks.")]
Mirror = Annotated[
    Path | None,
    typer.Option("--mirror", metavar="DIR", envvar="VENTRAL_MIRROR", help="Offline mirror of the public data."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No bars and no remarks.")]


@app.command(
    "list",
    epilog=console.examples(
        "ventral data list",
        "ventral data list Cowley2023.V4-210325",
        "ventral data list --mirror /data/mirror --json -",
    ),
)
def list_files(
    names: Names = None,
    mirror: Mirror = None,
    json: Json = None,
) -> None:
    """List files: size, licence, and where they are or why they are not here. Nothing is read through or downloaded."""
    from benchmarks.fetch import data_folder, total_text, whereabouts

    files = _files(_cards(names))
    found = {file: whereabouts(file, mirror) for file in files}
    rows = [_row(file, cards, found[file]) for file, cards in files.items()]
    if console.emit_json(json, {"data_folder": str(data_folder()), "mirror": mirror and str(mirror), "files": rows}):
        return
    title = f"Data files; downloads in {data_folder()}, mirror {mirror or 'none'}"
    table = console.table(title, "file", "size", "licence", "benchmarks", "where", right=("size",))
    for file, row in zip(files, rows, strict=True):
        licence = re.split(r"[;(]", file.licence)[0].strip()  # without its remarks, which the JSON has
        where = row["place"] if row["reason"] is None else f"missing: {row['reason']}"
        size = "-" if file.n_bytes is None else machine.format_bytes(file.n_bytes)
        table.add_row(file.name, size, licence, ", ".join(row["benchmarks"]), where)
    console.show(table)
    here = [file for file in files if found[file].path is not None]
    console.say(f"{total_text(files)}; here: {total_text(here)}.")


@app.command(
    "fetch",
    epilog=console.examples(
        "ventral data fetch Cowley2023.V4-210325", "ventral data fetch Geirhos2021.edge", "ventral data fetch --all"
    ),
)
def fetch(
    names: Annotated[list[str] | None, typer.Argument(metavar="[BENCHMARK]...", help="Or --all.")] = None,
    all: Annotated[bool, typer.Option("--all", help="The files of every benchmark.")] = False,
    mirror: Mirror = None,
    quiet: Quiet = False,
) -> None:
    """Download what is not here, also the data on which layers are chosen; exit code 2 if a file could not be had."""
    from benchmarks.arrivals import forget_archives
    from benchmarks.fetch import locate, missing_files, size_text, total_text

    if all == bool(names):
        raise InvalidOption(
            "data fetch",
            expected="benchmarks or --all",
            got="both" if all else "neither",
            next_step="name what to download, for example `ventral data fetch Cowley2023.V4-210325`",
        )
    cards = _with_commitment(_cards(names))
    _refuse_unfetchable(cards)
    missing = missing_files(cards, mirror)
    _check_room(missing)
    failed = []
    try:
        for number, file in enumerate(missing, 1):
            if not quiet:
                console.note(f"[{number}/{len(missing)}] {file.name} ({size_text(file.n_bytes)})")
            try:
                locate(file, mirror=mirror, progress=False if quiet else None)
            except DataUnavailable as error:
                console.note(f"failed: {error.got}")
                failed.append(file)
            except (DataIntegrity, ResourceError) as error:
                console.note(f"failed: {error}")
                failed.append(file)
    finally:
        forget_archives()
    got = [file for file in missing if file not in failed]
    console.say(f"Fetched {total_text(got)}; {len(_files(cards)) - len(missing)} were here already.")
    if failed:
        raise DataUnavailable(
            "data fetch",
            expected=f"all of {total_text(missing)}",
            got=f"{len(failed)} failed: {_listed(failed)}",
            next_step="see above why, and run it again: what has arrived is kept",
        )


@app.command(
    "verify",
    epilog=console.examples("ventral data verify", "ventral data verify --mirror /data/mirror Cowley2023.V4-210325"),
)
def verify(names: Names = None, mirror: Mirror = None, quiet: Quiet = False) -> None:
    """Hash every file that is here; exit code 2 if one is not as published."""
    from benchmarks import fetch as files_of_benchmarks

    files = _files(_cards(names))
    n_sound, n_absent, bad = 0, 0, []
    with console.Bars(quiet=quiet) as bars:
        for number, file in enumerate(files, 1):
            findings = list(files_of_benchmarks.verify(file, mirror))
            n_absent += not findings
            n_sound += sum(problem is None for _, problem in findings)
            bad += [problem for _, problem in findings if problem is not None]
            bars("verify", number, len(files))
    for problem in bad:
        console.say(f"bad: {problem}")
    if bad:
        raise DataIntegrity(
            "data verify",
            expected="files as published",
            got=f"{len(bad)} bad, {n_sound} sound",
            next_step="delete those named above and fetch them again with `ventral data fetch`",
        )
    if not quiet:
        console.say(f"{n_sound} sound, {n_absent} not here.")


@app.command(
    "path", epilog=console.examples("ventral data path Cowley2023.V4-210325", "ls -l $(ventral data path NAME)")
)
def path(names: Annotated[list[str], typer.Argument(metavar="BENCHMARK...")], mirror: Mirror = None) -> None:
    """Print where a benchmark's files are, one path per line, verified; for scripts."""
    from benchmarks.fetch import locate

    cards = _cards(names)
    _refuse_unfetchable(cards)
    _refuse_missing(cards, mirror)
    files = _files(cards)
    for file in files:
        console.say(str(locate(file, mirror=mirror, offline=True)))
    if not files:
        console.note("No files: these data are computed.")


@app.command(
    "export-mirror",
    epilog=console.examples(
        "ventral data export-mirror mirror.tar Cowley2023.V4-210325",
        "ventral data export-mirror /media/usb/mirror",
        "tar xf mirror.tar && export VENTRAL_MIRROR=$PWD/mirror",
    ),
)
def export_mirror(
    destination: Annotated[Path, typer.Argument(metavar="DEST", help="A new folder, or a name ending in .tar.")],
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[BENCHMARK]...", help="Default: all that is here.")
    ] = None,
    mirror: Mirror = None,
    quiet: Quiet = False,
) -> None:
    """Copy files that are here, verified, to where a machine without a network can use them with --mirror."""
    from benchmarks import mirrors
    from benchmarks.fetch import total_text, whereabouts

    if names:
        _refuse_missing(_cards(names), mirror)
    cards = _with_commitment(_cards(names))
    files = [file for file in _files(cards) if whereabouts(file, mirror).path is not None]
    if not files:
        raise DataUnavailable(
            "data export-mirror",
            expected="a file that is here",
            got="none",
            next_step="fetch some first with `ventral data fetch BENCHMARK`",
        )
    with console.Bars(quiet=quiet) as bars:
        mirrors.export_mirror(
            destination, files, cards, mirror=mirror, report=lambda done, total: bars("copy", done, total)
        )
    console.say(f"Wrote {total_text(files)} to {destination}.")


app.command("new", epilog=own_data.NEW_EXAMPLES)(own_data.new)
app.command("check", epilog=own_data.CHECK_EXAMPLES)(own_data.check)


def _cards(names: Sequence[str] | None) -> list[BenchmarkCard]:
    if names:
        return [benchmarks.get_benchmark(name) for name in dict.fromkeys(names)]
    console.report_broken("benchmark", benchmarks.BENCHMARKS.broken)
    return list(benchmarks.list_benchmarks(all=True))


def _with_commitment(cards: Sequence[BenchmarkCard]) -> list[BenchmarkCard]:
    """Return the cards and the first choice of data on which the layers of each are chosen."""
    others = [benchmarks.get_benchmark(card.commitment[0]) for card in cards if card.commitment]
    return list({card.name: card for card in (*cards, *others)}.values())


def _files(cards: Iterable[BenchmarkCard]) -> Files:
    """Return every file of the benchmarks, each once, with those it belongs to."""
    files: Files = {}
    for card in cards:
        for file in card.files:
            files.setdefault(file, []).append(card)
    return files


def _row(file: DataFile | DataArchive, cards: Sequence[BenchmarkCard], found: Whereabouts) -> dict[str, Any]:
    users = [card for card in cards if not card.parts] or cards  # a pool is named only where no part of it is
    return {
        "name": file.name,
        "n_bytes": file.n_bytes,
        "licence": file.licence,
        "benchmarks": [card.name for card in users],
        "place": found.place,
        "path": found.path and str(found.path),
        "reason": found.reason or None,
        "urls": list(file.urls),
    }


def _listed(files: Sequence[DataFile | DataArchive], most: int = 5) -> str:
    rest = f" and {len(files) - most} more" if len(files) > most else ""
    return ", ".join(file.name for file in files[:most]) + rest


def _refuse_unfetchable(cards: Sequence[BenchmarkCard]) -> None:
    from benchmarks.fetch import unfetchable

    names = [card.name for card in cards if unfetchable(card)]
    private = all(card.access == "private" for card in cards if unfetchable(card))
    if names:
        raise DataUnavailable(
            ", ".join(names),
            expected="data whose files Ventral knows",
            got="data given out on request only" if private else "data that Ventral cannot fetch",
            next_step="ask those who published them, or choose another benchmark",
        )


def _refuse_missing(cards: Sequence[BenchmarkCard], mirror: Path | None) -> None:
    from benchmarks.fetch import missing_files, total_text

    missing = missing_files(cards, mirror)
    if missing:
        raise DataUnavailable(
            ", ".join(card.name for card in cards),
            expected="all files here",
            got=f"{total_text(missing)} missing: {_listed(missing)}",
            next_step=f"fetch them with `ventral data fetch {' '.join(card.name for card in cards)}`",
        )


def _check_room(missing: Sequence[DataFile | DataArchive]) -> None:
    """Refuse before the first download what the disk cannot hold."""
    from benchmarks.fetch import data_folder, total_text

    free = machine.disk_free_bytes(data_folder())
    if sum(file.n_bytes or 0 for file in missing) > free:
        raise ResourceError(
            str(data_folder()),
            expected=f"room for {total_text(missing)}",
            got=f"{machine.format_bytes(free)} free",
            next_step="free disk space, or point VENTRAL_HOME at another folder",
        )
