"""`ventral doctor`: what is installed, what this machine grants, which data are here, and what to do about the rest."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import Literal

import typer
from rich.markup import escape

from model_zoo import machine
from model_zoo.machine import format_bytes
from results.cli import console
from results.cli.listing import Mirror
from results.cli.options import Json
from results.cli.rooms import ROOMS, found_folder, own_folder
from results.records import library_versions

_OURS = "ventral-alignment"
_LITTLE_DISK, _LITTLE_MEMORY = 5 * 10**9, 2 * 10**9

State = Literal["ok", "missing", "problem"]
_STYLES: dict[State, str] = {"ok": "green", "missing": "yellow", "problem": "red"}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. "missing" limits what can be done; a "problem" makes results wrong."""

    section: str
    name: str
    value: str
    state: State = "ok"
    next_step: str = ""


def doctor(json: Json = None, mirror: Mirror = None) -> None:
    """Examine this installation; exit code 1 if something is wrong with it."""
    findings = examine(mirror)
    if not console.emit_json(json, {"findings": [asdict(finding) for finding in findings]}):
        _print(findings)
    if any(finding.state == "problem" for finding in findings):
        raise typer.Exit(1)


def examine(mirror: Path | None = None) -> list[Finding]:
    """Return all findings, section by section."""
    return [*_versions(), *_machine(), *_storage(), *_optional(), *_content(), *_data(mirror), *shadows()]


def shadows() -> Iterator[Finding]:
    """Yield per room whether Python imports ours, and whether another distribution installs the same name."""
    distributions = packages_distributions()
    for room in ROOMS:
        own, found = own_folder(room), found_folder(room)
        others = sorted({name for name in distributions.get(room, ()) if name.lower().replace("_", "-") != _OURS})
        if found != own:
            step = f"expected {own}: uninstall what owns the other, or start Python in another folder"
            yield Finding("import packages", room, f"imports {found or 'nothing'}", "problem", step)
        elif others:
            step = f"`pip uninstall {' '.join(others)}`, or give Ventral an environment of its own"
            yield Finding("import packages", room, f"also installed by {', '.join(others)}", "problem", step)
        else:
            yield Finding("import packages", room, str(own))


def _versions() -> Iterator[Finding]:
    yield Finding("versions", "ventral", version(_OURS))
    yield Finding("versions", "system", platform.platform())
    for name, found in library_versions().items():
        yield Finding("versions", name, found)


def _machine() -> Iterator[Finding]:
    import torch

    yield Finding("machine", "cpu", f"{machine.n_threads()} threads granted, torch uses {torch.get_num_threads()}")
    for index in range(torch.cuda.device_count()):
        total = torch.cuda.get_device_properties(index).total_memory
        yield Finding("machine", f"cuda:{index}", f"{torch.cuda.get_device_name(index)}, {format_bytes(total)}")
    if not torch.cuda.is_available():
        yield Finding("machine", "cuda", "not available", "missing", "nothing to do; every command runs on the CPU")
    yield Finding("machine", "mps", "available" if torch.backends.mps.is_available() else "not available")
    limit, available = machine.memory_limit_bytes(), machine.memory_available_bytes()
    scarce = available < _LITTLE_MEMORY
    yield Finding(
        "machine",
        "memory",
        f"{format_bytes(available)} available of {format_bytes(limit)} granted",
        "missing" if scarce else "ok",
        "close other programs, or score with a small --memory" if scarce else "",
    )


def _storage() -> Iterator[Finding]:
    home = machine.home()
    free = machine.disk_free_bytes(home)
    yield Finding("storage", "cache root", f"{home}{'' if home.is_dir() else ' (created when needed)'}")
    scarce = free < _LITTLE_DISK
    step = "free space, run `ventral cache prune`, or point VENTRAL_HOME at a larger disk" if scarce else ""
    yield Finding("storage", "disk free", format_bytes(free), "missing" if scarce else "ok", step)


def _optional() -> Iterator[Finding]:
    try:
        yield Finding("optional parts", "brainscore", f"brainscore-vision {version('brainscore-vision')}")
    except PackageNotFoundError:
        step = (
            "only to compare with Brain-Score's own code: `pip install 'ventral-alignment[brainscore]'` (Python < 3.13)"
        )
        yield Finding("optional parts", "brainscore", "not installed", "missing", step)


def _content() -> Iterator[Finding]:
    import alignment
    import benchmarks
    import model_zoo

    for registry in (model_zoo.MODELS, benchmarks.BENCHMARKS, alignment.METRICS):
        yield Finding("content", f"{registry.kind}s", f"{len(registry.names())} cards")
        for broken in registry.broken:
            yield Finding(
                "content", broken.source, broken.reason, "problem", "mend or remove it; the rest stays usable"
            )


def _data(mirror: Path | None) -> Iterator[Finding]:
    from benchmarks import list_benchmarks
    from benchmarks.fetch import presence

    studies: dict[str, Counter[str]] = {}
    for card in list_benchmarks(all=True):
        studies.setdefault(card.name.split(".")[0], Counter())[presence(card, mirror)] += 1
    for study, places in studies.items():
        found = ", ".join(f"{count} {where}" for where, count in sorted(places.items()))
        step = "fetched when first scored; offline, name a copy with --mirror or VENTRAL_MIRROR"
        yield Finding("benchmark data", study, found, *(("missing", step) if places["missing"] else ()))


def _print(findings: list[Finding]) -> None:
    table = console.table("", "section", "what", "found", "next step")
    section = ""
    for finding in findings:
        head = finding.section if finding.section != section else ""
        section = finding.section
        table.add_row(head, finding.name, f"[{_STYLES[finding.state]}]{escape(finding.value)}[/]", finding.next_step)
    console.show(table)
