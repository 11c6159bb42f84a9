"""Which code and which libraries a number comes from: part of whatever is kept of it between runs."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import time
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

LIBRARIES = (
    *("numpy", "scipy", "scikit-learn", "pandas", "xarray", "pillow", "torch", "torchvision", "timm"),
    *("brainscore-vision", "brainscore-core"),
)
_LOADED = time.time()


def code_revision(rooms: Sequence[str]) -> str | None:
    """Return the sha256 of all files of our packages of those names; None if one is younger than this process.

    What a process runs is what it read when it started: where a file was edited since, it cannot say which code its
    numbers come from.
    """
    files = tuple(sorted(path for room in rooms for folder in _folders(room) for path in _files(folder)))
    changed = max(max(status.st_mtime, status.st_ctime) for status in (path.stat() for path in files))
    return _revision(files) if changed < _started() else None


def library_versions() -> tuple[tuple[str, str | None], ...]:
    """Return the installed versions of the libraries that shape a number, None for those that are not there."""
    return tuple((name, _version(name)) for name in LIBRARIES)


@cache
def installed_code(packages: tuple[str, ...]) -> str:
    """Return the sha256 of names, sizes and times of change of all Python files of top-level packages, none imported.

    It changes with what a version number may hide: a file edited in place, or a package built anew.
    """
    sha256 = hashlib.sha256()
    for package in packages:
        for folder in _folders(package):
            for path, size, changed in sorted(_python_files(str(folder))):
                sha256.update(f"{path} {size} {changed}\0".encode())
    return sha256.hexdigest()


def _folders(package: str) -> tuple[Path, ...]:
    spec = importlib.util.find_spec(package)
    return () if spec is None else tuple(map(Path, spec.submodule_search_locations or ()))


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.suffix != ".pyc" and path.is_file())


def _python_files(folder: str) -> Iterator[tuple[str, int, int]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _python_files(entry.path)
            elif entry.name.endswith(".py"):
                status = entry.stat()
                yield entry.path, status.st_size, status.st_mtime_ns


@cache
def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@cache
def _revision(files: tuple[Path, ...]) -> str:
    sha256 = hashlib.sha256()
    for path in files:
        content = path.read_bytes()
        sha256.update(f"{path.parent.name}/{path.name} {len(content)}\0".encode() + content)
    return sha256.hexdigest()


@cache
def _started() -> float:
    """Return when this process began to read code, in s since the epoch; a forked one has that of its parent."""
    return min(_LOADED, psutil.Process().create_time())
