"""A folder of a user's own as a benchmark: examined whole, opened only if nothing is wrong with it."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.contracts import BenchmarkCard, CeilingRule, Choices, Data, FileGetter, Geometry, Recording
from benchmarks.folder import description as descriptions
from benchmarks.folder.behaviour import FITTING, read_choices
from benchmarks.folder.description import Description, read_description
from benchmarks.folder.findings import Findings, counted
from benchmarks.folder.geometries import SUBJECTS, read_geometry
from benchmarks.folder.images import FILE as STIMULI
from benchmarks.folder.images import Progress, Stimuli, read_stimuli
from benchmarks.folder.recordings import read_recording
from benchmarks.folder.responses import NEUROIDS, PRESENTATIONS
from model_zoo.errors import DataIntegrity, DataUnavailable

_DEFAULT_METRIC = {"recording": "pls", "geometry": "rsa-spearman", "choices": "error_consistency"}
_TABLES = (descriptions.FILE, STIMULI, PRESENTATIONS, NEUROIDS, SUBJECTS, FITTING)
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Examined:
    """What a folder holds and what is wrong with it.

    Attributes
    ----------
    card : None where there are errors.
    errors, remarks : sentences; a folder without errors can be scored.
    """

    folder: Path
    card: BenchmarkCard | None
    errors: tuple[str, ...] = field(default=())
    remarks: tuple[str, ...] = field(default=())


def examine_folder(folder: str | Path, progress: Progress | None = None) -> Examined:
    """Return everything that is wrong with a benchmark folder, and its card if nothing is.

    Parameters
    ----------
    folder : with benchmark.toml, stimuli.csv, images and responses; see docs/guides/your-own-data.md.
    progress : ``progress(stage, done, total)`` while images are opened.

    Raises
    ------
    MissingExtra
        The library that reads the responses' format is not installed.
    """
    path = Path(folder).expanduser()
    findings = Findings()
    described = read_description(path, findings)
    stimuli = None if described is None else read_stimuli(path, described, findings, progress)
    if described is None or stimuli is None:
        return Examined(path, None, tuple(findings.errors), tuple(findings.remarks))
    _check_commitment(path, described, findings)
    found = _read_data(path, described, stimuli, findings)
    card = None
    if found is not None and not findings.errors:
        file, data = found
        contents = (*_digests(path, file), (f"{described.images}/", stimuli.sha256), *_fitting_digest(data))
        card = _card(str(folder), path, described, data, contents)
    return Examined(path, card, tuple(findings.errors), tuple(findings.remarks))


def open_folder(folder: str | Path) -> BenchmarkCard:
    """Return the card of a benchmark folder; its name is the folder as it was given.

    Raises
    ------
    DataUnavailable
        There is no such folder.
    DataIntegrity
        Something is wrong with it; the message lists all of it.
    MissingExtra
        The library that reads the responses' format is not installed.
    """
    if not Path(folder).expanduser().is_dir():
        raise DataUnavailable(
            f"benchmark {str(folder)!r}",
            expected="a folder with a benchmark.toml",
            got="a file" if Path(folder).exists() else "nothing there",
            next_step="check the path, or start one with `ventral data new`; names: `ventral list benchmarks`",
        )
    examined = examine_folder(folder)
    if examined.card is None:
        listing = "".join(f"\n  {number}. {error}" for number, error in enumerate(examined.errors, 1))
        raise DataIntegrity(
            f"benchmark {str(folder)!r}",
            expected="a folder without errors",
            got=counted(len(examined.errors), "error"),
            next_step=f"mend what is listed here, then run `ventral data check {folder}`:{listing}",
        )
    return examined.card


def _read_data(folder: Path, described: Description, stimuli: Stimuli, findings: Findings) -> tuple[Path, Data] | None:
    if described.kind == "choices":
        return read_choices(folder, described, stimuli, findings)
    if described.kind == "geometry":
        return read_geometry(folder, described, stimuli, findings)
    recorded = read_recording(folder, described, stimuli, findings)
    return None if recorded is None else (recorded.file, recorded.recording)


def _check_commitment(folder: Path, described: Description, findings: Findings) -> None:
    from benchmarks import BENCHMARKS

    where = "benchmark.toml, commitment"
    named = [name for name in described.commitment if name not in BENCHMARKS.names()]
    folders = [name for name in named if (folder / name).is_dir()]
    itself = [name for name in folders if (folder / name).resolve() == folder.resolve()]
    if itself:
        findings.error(where, expected="another benchmark", got="this folder itself", next_step="name other data")
    findings.unknown(where, "benchmark or folder", [name for name in named if name not in folders], BENCHMARKS.names())


def _digests(folder: Path, responses: Path) -> tuple[tuple[str, str], ...]:
    """Return (name, sha256) of the folder's tables and of its responses, a file or a zarr folder."""
    tables = [(name, _sha256(folder / name)) for name in _TABLES if (folder / name).is_file()]
    if responses.is_file():
        return (*tables, (responses.name, _sha256(responses)))
    members = sorted(path for path in responses.rglob("*") if path.is_file())
    listing = "".join(f"{_sha256(path)} {path.relative_to(responses).as_posix()}\n" for path in members)
    return (*tables, (f"{responses.name}/", hashlib.sha256(listing.encode()).hexdigest()))


def _fitting_digest(data: Data) -> tuple[tuple[str, str], ...]:
    if not isinstance(data, Choices) or data.fitting is None:
        return ()
    return ((f"images of {FITTING}", data.fitting().content_hash),)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _card(
    name: str, folder: Path, described: Description, data: Data, contents: tuple[tuple[str, str], ...]
) -> BenchmarkCard:
    n_stimuli, n_neuroids, n_repeats, n_subjects = _counts(data)
    ceiling: CeilingRule | None = "internal_consistency" if n_repeats > 1 else None
    if not isinstance(data, Recording):
        ceiling = "between_subjects" if n_subjects > 1 else None
    # Any change of the data is another version, so that scores before and after are never taken for one another.
    version = int(hashlib.sha256(repr(contents).encode()).hexdigest()[:7], 16) + 1
    return BenchmarkCard(
        name=name,
        version=version,
        region=described.region,
        species=described.species,
        description=f"{described.name}: {described.description}" if described.description else described.name,
        licence=described.licence,
        citation=described.citation,
        n_stimuli=n_stimuli,
        n_neuroids=n_neuroids,
        n_repeats=n_repeats,
        n_subjects=n_subjects,
        visual_degrees=described.visual_degrees,
        time_window=described.time_window,
        load=partial(_load, data),
        kind=described.kind,
        default_metric=described.default_metric or _DEFAULT_METRIC[described.kind],
        ceiling=ceiling,
        ceiled_rule="r^2/ceiling" if described.kind == "recording" else "raw/ceiling",
        stratification=described.stratification or None,
        commitment=tuple(_resolved(folder, each) for each in described.commitment),
        contents=contents,
        listed=False,
    )


def _load(data: Data, get: FileGetter) -> tuple[Data, ...]:
    return (data,)


def _resolved(folder: Path, name: str) -> str:
    """Return a folder named in benchmark.toml, relative to it, as a path from here; other names as they are."""
    from benchmarks import BENCHMARKS

    return name if name in BENCHMARKS.names() else os.path.normpath(folder / name)


def _counts(data: Data) -> tuple[int, int, int, int]:
    """Return (n_stimuli, n_neuroids, n_repeats, n_subjects); n_repeats is the largest where it varies."""
    if isinstance(data, Geometry):
        return len(data.stimuli), 0, 1, len(data.subject_ids)
    if isinstance(data, Choices):
        return int(data.trials["stimulus_id"].nunique()), 0, 1, int(data.trials["subject"].nunique())
    assert isinstance(data, Recording)
    shown = np.unique(data.assembly["stimulus_id"].values, return_counts=True)[1]
    return len(shown), data.assembly.sizes["neuroid"], int(shown.max()), 0
