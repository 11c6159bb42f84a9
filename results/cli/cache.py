"""`ventral cache list|prune|verify`: results kept between runs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from model_zoo import machine
from model_zoo.errors import DataIntegrity, InvalidOption
from results.cli import console
from results.cli.options import Json

app = typer.Typer(no_args_is_help=True, help="Look after kept scores and layer similarities.")


def _root() -> Path:
    return machine.home() / "cache"


@app.command("list", epilog=console.examples("ventral cache list", "ventral cache list --json -"))
def list_entries(json: Json = None) -> None:
    """List what is kept, least recently used first."""
    from model_zoo import cache

    entries = cache.list_entries(_root())
    rows = [
        {"key": e.key, "path": str(e.path), "n_bytes": e.n_bytes, "last_used": e.last_used, "meta": dict(e.meta)}
        for e in entries
    ]
    if console.emit_json(json, {"root": str(_root()), "entries": rows}):
        return
    table = console.table(f"Cache in {_root()}", "key", "what", "size", "last used", right=("size",))
    for entry in entries:
        what = ", ".join(str(value) for value in entry.meta.values())
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.last_used))
        table.add_row(entry.key[:12], what, machine.format_bytes(entry.n_bytes), when)
    console.show(table)
    console.say(f"{len(entries)} entries, {machine.format_bytes(sum(entry.n_bytes for entry in entries))}")


@app.command("prune", epilog=console.examples("ventral cache prune --max-size 5GB", "ventral cache prune --days 30"))
def prune(
    max_size: Annotated[
        str | None, typer.Option("--max-size", metavar="SIZE", help="Keep at most this much, newest first.")
    ] = None,
    days: Annotated[float | None, typer.Option("--days", min=0, help="Remove what was unused for longer.")] = None,
    all: Annotated[bool, typer.Option("--all", help="Remove everything.")] = False,
) -> None:
    """Remove results that can be computed again, and the scratch files of runs that were killed."""
    from model_zoo import cache, scratch

    if max_size is None and days is None and not all:
        raise InvalidOption(
            "cache prune",
            expected="--max-size, --days or --all",
            got="none of them",
            next_step="say what to remove, for example `ventral cache prune --max-size 5GB`",
        )
    limit = 0 if all else machine.parse_bytes(max_size) if max_size is not None else None
    removed = cache.prune(_root(), max_bytes=limit, older_than_days=days)
    freed = machine.format_bytes(sum(entry.n_bytes for entry in removed))
    console.say(f"Removed {len(removed)} entries, {freed}.")
    if left := scratch.sweep(scratch.root()):
        console.say(f"Removed what killed runs left in {scratch.root()}, {machine.format_bytes(left)}.")


@app.command("verify", epilog=console.examples("ventral cache verify"))
def verify() -> None:
    """Check every entry's checksums; exit code 2 if one is damaged."""
    from model_zoo import cache

    checked = list(cache.verify(_root()))
    damaged = [entry.path for entry, sound in checked if not sound]
    for path in damaged:
        console.say(f"damaged: {path}")
    if damaged:
        raise DataIntegrity(
            f"cache {_root()}",
            expected="entries whose checksums hold",
            got=f"{len(damaged)} damaged of {len(checked)}",
            next_step="delete the files named above; they are computed again when needed",
        )
    console.say(f"{len(checked)} entries, all sound.")
