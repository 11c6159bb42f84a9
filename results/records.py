"""Scores as files: strict JSON and CSV with their provenance, written whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import platform
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, fields
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from alignment import Score, get_metric
from benchmarks import get_benchmark
from benchmarks.fetch import digest
from model_zoo import LoadedModel, machine
from model_zoo.errors import InvalidOption

if TYPE_CHECKING:
    from alignment.controls import Control

_LIBRARIES = (
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "scipy",
    "scikit-learn",
    "xarray",
    "pandas",
    "pillow",
    "safetensors",
)
_TOO_LONG_FOR_CSV = ("unit_ids", "unit_raw", "split_raw", "profile", "evidence")
_ENDINGS: Mapping[str, tuple[str, ...]] = {
    "--json": (".json",),
    "--csv": (".csv",),
    "--report": (".html", ".htm"),
    ".csv": (".csv",),
    ".html": (".html", ".htm"),
}
_PAIRS = ("raw_interval", "ceiling_interval", "interval")
_CONTROLS = (
    "untrained",
    "less_untrained",
    "less_untrained_low",
    "less_untrained_high",
    "shuffled",
    "less_shuffled",
    "less_shuffled_low",
    "less_shuffled_high",
    "shuffled_p",
    "control_notes",
)


def to_json(
    scores: Sequence[Score],
    provenance: Mapping[str, Any],
    controls: Sequence[Control] = (),
    committed: Sequence[Score] = (),
) -> str:
    """Return ``{"scores": [...], "provenance": {...}}`` as strict JSON; what is not a finite number becomes null.

    Where there are controls, they follow as ``"controls"``, one per score; scores of committed layers beside those of
    layers that were named as ``"committed"``.

    Parameters
    ----------
    scores : sequence of Score
        One row each, with every field of `Score`.
    provenance : mapping
        See `provenance`.
    """
    content: dict[str, Any] = {"scores": [asdict(score) for score in scores], "provenance": provenance}
    if controls:
        content["controls"] = [asdict(control) for control in controls]
    if committed:
        content["committed"] = [asdict(score) for score in committed]
    return json.dumps(strict(content), indent=2) + "\n"


def to_csv(scores: Sequence[Score], controls: Sequence[Control] = ()) -> str:
    """Return the same rows as CSV with a header; intervals become two columns, per-neuroid values are left out.

    Where there are controls, those of the first scores in their order, columns for them follow.
    """
    names = [field.name for field in fields(Score) if field.name not in _TOO_LONG_FOR_CSV]
    columns = [part for name in names for part in ([f"{name}_low", f"{name}_high"] if name in _PAIRS else [name])]
    text = io.StringIO()
    writer = csv.DictWriter(text, [*columns, *(_CONTROLS if controls else ())], lineterminator="\n")
    writer.writeheader()
    for score, control in zip_longest(scores, controls):
        row: dict[str, Any] = {name: getattr(score, name) for name in names}
        for name in _PAIRS:
            row[f"{name}_low"], row[f"{name}_high"] = row.pop(name) or (None, None)
        row["resampled"] = " ".join(row["resampled"])
        row["details"] = json.dumps(strict(row["details"])) if row["details"] else None
        writer.writerow(strict(row if control is None else {**row, **_beside(control)}))
    return text.getvalue()


def _beside(control: Control) -> dict[str, Any]:
    """Return what `_CONTROLS` name, without the values that a control lacks."""
    row: dict[str, Any] = {"control_notes": "; ".join(control.notes)}
    for name, found in (("untrained", control.twins), ("shuffled", control.chance)):
        if found is not None:
            low, high = found.interval
            row |= {name: found.mean, f"less_{name}": found.difference}
            row |= {f"less_{name}_low": low, f"less_{name}_high": high}
    if control.chance is not None:
        row["shuffled_p"] = control.chance.p
    return row


def provenance(
    model: LoadedModel,
    scores: Sequence[Score],
    *,
    command: Sequence[str],
    seed: int,
    options: Mapping[str, Any],
    durations: Mapping[str, float],
) -> dict[str, Any]:
    """Return everything needed to judge or repeat a run, ready for JSON.

    Parameters
    ----------
    command : sequence of str
        The command line as typed, or [] from Python.
    seed : int
        Of the untrained weights.
    options : mapping
        What else was set: "device", layers, memory, batch size, ...
    durations : mapping
        Seconds per stage of the run.
    """
    metrics = [get_metric(name) for name in sorted({score.metric for score in scores})]
    cards = [get_benchmark(name) for name in sorted(_sources(scores))]
    return {
        "command": list(command),
        "ventral": version("ventral-alignment"),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": {
            "name": model.name,
            "identity": model.identity,
            "licence": model.licence,
            "citation": model.citation,
            "weights": {**asdict(model.weights), "share_loaded": model.weights.share_loaded},
            "preprocessing": asdict(model.preprocessing),
            "visual_degrees": model.visual_degrees,
        },
        "benchmarks": {
            card.name: {
                "version": card.version,
                "licence": card.licence,
                "citation": card.citation,
                "ceiling": card.ceiling,
                "visual_degrees": card.visual_degrees,
                "files": {**{file.name: digest(file) for file in card.files}, **dict(card.contents)},
            }
            for card in cards
        },
        "metrics": {
            card.name: {"version": card.version, "citation": card.citation, "parameters": dict(card.parameters)}
            for card in metrics
        },
        "seed": seed,
        "options": dict(options),
        "libraries": library_versions(),
        "hardware": hardware(str(options["device"])),
        "durations_s": dict(durations),
        "peak_memory_bytes": machine.peak_memory_bytes(),
    }


def _sources(scores: Sequence[Score]) -> set[str]:
    """Return the benchmarks that were scored, and those that layers were chosen on."""
    chosen_on = (score.profile.benchmark for score in scores if score.profile is not None)
    return {score.benchmark for score in scores} | {name.partition(" stimuli of ")[2] or name for name in chosen_on}


def library_versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that shape a score, where installed."""
    versions = {"python": platform.python_version()}
    for name in _LIBRARIES:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


def hardware(device: str) -> dict[str, Any]:
    """Return what the run computed on: processor, threads, memory limit and `device`."""
    described = {
        "system": platform.platform(),
        "processor": _processor(),
        "n_threads": machine.n_threads(),
        "memory_limit_bytes": machine.memory_limit_bytes(),
        "device": device,
    }
    if device.startswith("cuda"):
        import torch

        described["device_name"] = torch.cuda.get_device_name(device)
    return described


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write `content` to `path` through a temporary file beside it: readers see all of it, or what was there before.

    Links are followed, a file that is there keeps its permissions, and a device or pipe is written to as it is.

    Raises
    ------
    OSError
        If it cannot be written; nothing is left behind. Names `path`, not the temporary file.
    """
    try:
        _write(path, content.encode() if isinstance(content, str) else content)
    except OSError as error:
        error.filename = str(path)
        raise


def _write(path: Path, data: bytes) -> None:
    if is_stream(path):
        path.write_bytes(data)
        return
    path = path.resolve()
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask()
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def check_writable(path: Path, option: str) -> None:
    """Refuse an output path that could not be written once the work is done, or that is meant for something else.

    Parameters
    ----------
    path : where to write.
    option : that names it, such as "--json", or what stands for it in the help, such as "FILE.html"; says what it is.

    Raises
    ------
    InvalidOption
        If `path` is a folder, its folder is missing or does not accept files, or it has the ending of other content.
    """
    reason, expected = None, "a file in an existing, writable folder"
    next_step = "create the folder or name another file"
    endings = _ENDINGS.get(Path(option).suffix or option, (path.suffix.lower(),))
    if path.is_dir():
        reason = "a folder"
    elif is_stream(path):
        reason = None if os.access(path, os.W_OK) else "one that cannot be written"
    elif path.suffix.lower() not in endings:
        reason, expected = repr(path.name), f"a name that ends in {' or '.join(endings)}"
        next_step = "name it so, lest another file be replaced by mistake"
    elif not path.resolve().parent.is_dir():
        reason = f"the missing folder {str(path.parent)!r}"
    else:
        try:
            tempfile.TemporaryFile(dir=path.resolve().parent).close()
        except OSError as error:
            reason = f"a folder that refuses files ({error.strerror})"
    if reason is not None:
        raise InvalidOption(f"{option} {str(path)!r}", expected=expected, got=reason, next_step=next_step)


def ending(path: Path) -> str:
    """Return how a file's name ends, without the dot and in small letters."""
    return path.suffix.lower()[1:]


def is_stream(path: Path) -> bool:
    """Return whether a path is a device, a pipe or a socket."""
    return path.exists() and not path.is_file() and not path.is_dir()


def strict(value: Any) -> Any:
    """Return `value` with tuples as lists and numbers that JSON does not know as None."""
    if isinstance(value, Mapping):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):  # replicates: six digits are more than they are sure of
        return [strict(item) if item.ndim else strict(float(f"{item:.6g}")) for item in value]
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return str(value) if isinstance(value, Path) else value


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
