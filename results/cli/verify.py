"""`ventral verify`: whether this installation computes the scores it should."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from results import records, verification
from results.cli import console
from results.cli.options import Device, Json, Mirror, Quiet
from results.verification import Check, Reference, Verdict, number

EXAMPLES = console.examples(
    "ventral verify --quick", "ventral verify --mirror path/to/data", "ventral verify --quick --json -"
)
_STYLES: dict[Verdict, str] = {
    "agrees": "green",
    "differs": "red",
    "not computed": "red",
    "skipped": "yellow",
    "not comparable": "yellow",
}
_NOT_COMPARED: tuple[Verdict, ...] = ("not computed", "skipped", "not comparable")


def verify(
    quick: Annotated[bool, typer.Option("--quick", help="About a minute: simulated data only.")] = False,
    mirror: Mirror = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch real data that are not at hand.")] = False,
    device: Device = "cpu",
    json: Json = None,
    reference: Annotated[
        Path | None, typer.Option("--reference", metavar="FILE", help="Other scores than those of this version.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Compute reference scores again and compare; exit code 1 if one differs or fails, or none could be compared."""
    if json is not None and json != console.STDOUT:
        records.check_writable(json, "--json")
    file = reference or verification.REFERENCE
    expected = verification.read(file.read_text(encoding="utf-8"), str(file))
    from model_zoo.extraction import usable_device
    from results.recomputation import check

    usable_device(device)
    groups = [group for group in expected.groups if group.quick or not quick]
    with console.Bars(quiet=quiet) as bars:
        checks = list(check(expected, groups, device=device, mirror=mirror, download=download, progress=bars))
    if not console.emit_json(json, _content(expected, checks)):
        _print(expected, checks)
    if not verification.sound(checks):
        raise typer.Exit(1)


def _content(reference: Reference, checks: Sequence[Check]) -> dict[str, Any]:
    return {
        "sound": verification.sound(checks),
        "summary": dict(Counter(each.verdict for each in checks)),
        "reference": dict(reference.made),
        "libraries": records.library_versions(),
        "checks": [asdict(each) for each in checks],
    }


def _print(reference: Reference, checks: Sequence[Check]) -> None:
    columns = ("model", "benchmark", "metric", "layer", "expected", "got", "difference", "tolerance", "verdict")
    table = console.table("Reference scores", *columns, right=("expected", "got", "difference", "tolerance"))
    for each in checks:
        table.add_row(
            each.model,
            each.benchmark,
            each.metric,
            escape(each.layer),
            number(each.expected, ".5f"),
            number(each.got, ".5f") if each.tolerance is not None else "-",
            number(each.difference, ".1e") if each.tolerance is not None else "-",
            number(each.tolerance, ".0e") if each.tolerance is not None else "-",
            f"[{_STYLES[each.verdict]}]{each.verdict}[/]",
        )
    console.show(table)
    for each in checks:
        if each.verdict == "differs":
            console.say(f"differs: {each.model} on {each.benchmark}, {each.metric} at {each.layer}: {each.reason}")
    for verdict in _NOT_COMPARED:
        reasons = Counter((each.model, each.benchmark, each.reason) for each in checks if each.verdict == verdict)
        for (model, benchmark, reason), count in reasons.items():
            console.say(f"{verdict}: {model} on {benchmark}, {count} score{'s' * (count > 1)}: {reason}")
    _print_summary(reference, checks)


def _print_summary(reference: Reference, checks: Sequence[Check]) -> None:
    counts = Counter(each.verdict for each in checks)
    n_compared = counts["agrees"] + counts["differs"]
    left = [f"{counts[verdict]} {verdict}" for verdict in _NOT_COMPARED if counts[verdict]]
    console.say(
        f"{counts['agrees']} of {n_compared} scores agree with those of {reference.made.get('date', 'unknown date')}"
        + (f"; {', '.join(left)}" if left else "")
        + "."
    )
    here = records.library_versions()
    changed = [
        f"{name} {here.get(name, 'not installed')} instead of {version}"
        for name, version in reference.made.get("libraries", {}).items()
        if here.get(name) != version
    ]
    if changed:
        console.say(f"Other libraries than the reference's: {', '.join(changed)}.")
    if counts["differs"]:
        console.say("This installation computes other scores: do not report them before the cause is known.")
    elif n_compared == 0:
        console.say("Nothing could be compared, so nothing is known of this installation.")
    elif counts["not computed"]:
        console.say("This installation computes the scores it should where it computes them; see what failed above.")
    else:
        console.say("This installation computes the scores it should.")
