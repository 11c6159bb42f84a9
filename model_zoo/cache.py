"""A content-addressed store of arrays: one `.npz` file per key, written atomically, shared by processes without locks.

A key is a hash of everything the content depends on, so an entry is never updated and a race between two processes
writes the same bytes twice. The zip archive's checksums detect damage; a damaged entry is dropped and computed again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from model_zoo.errors import ResourceError

# numpy's own writer, untyped in some of its versions
write_array: Any = np.lib.format.write_array
_META = "__meta__"


@dataclass(frozen=True)
class CacheEntry:
    """One stored result: its key, file, size in bytes, time of last use (s since epoch) and description."""

    key: str
    path: Path
    n_bytes: int
    last_used: float
    meta: Mapping[str, Any]


def content_key(*parts: object) -> str:
    """Return the sha256 hex digest of the parts' text, each length-prefixed so that no two lists collide."""
    digest = hashlib.sha256()
    for part in parts:
        data = str(part).encode()
        digest.update(f"{len(data)}:".encode() + data)
    return digest.hexdigest()


def path_of(root: Path, key: str) -> Path:
    """Return where the entry of `key` lies below `root`, whether or not it exists."""
    return root / key[:2] / f"{key}.npz"


def load(root: Path, key: str) -> dict[str, npt.NDArray[Any]] | None:
    """Return the arrays stored under `key`, or None if absent or damaged (a damaged file is removed)."""
    path = path_of(root, key)
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files if name != _META}
    except FileNotFoundError:
        return None
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, KeyError):
        path.unlink(missing_ok=True)
        return None
    with contextlib.suppress(OSError):
        os.utime(path)
    return arrays


def store(root: Path, key: str, arrays: Mapping[str, npt.NDArray[Any]], meta: Mapping[str, Any]) -> Path:
    """Write `arrays` and a description under `key`: temporary file, then move. Returns the path.

    Raises
    ------
    ResourceError
        If the disk is full; nothing is left behind.
    """
    path = path_of(root, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    described = np.frombuffer(json.dumps(dict(meta)).encode(), dtype=np.uint8)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".partial-", suffix=".npz")
    try:
        with os.fdopen(handle, "wb") as file:
            _write_npz(file, {_META: described, **arrays})
        os.replace(temporary, path)
    except OSError as error:
        raise ResourceError(
            f"cache {root}",
            expected="room for a result",
            got=error.strerror or str(error),
            next_step="free disk space, run `ventral cache prune`, or choose another VENTRAL_HOME or --scratch-dir",
        ) from error
    finally:
        Path(temporary).unlink(missing_ok=True)
    return path


def list_entries(root: Path) -> list[CacheEntry]:
    """Return all entries below `root`, least recently used first."""
    entries = []
    for path in root.glob("*/*.npz"):
        if path.name.startswith("."):
            continue
        with contextlib.suppress(OSError):  # another process may prune meanwhile
            stat = path.stat()
            entries.append(CacheEntry(path.stem, path, stat.st_size, stat.st_mtime, _read_meta(path)))
    return sorted(entries, key=lambda entry: (entry.last_used, entry.key))


def prune(root: Path, *, max_bytes: int | None = None, older_than_days: float | None = None) -> list[CacheEntry]:
    """Remove the least recently used entries until the limits hold; return what was removed.

    Parameters
    ----------
    max_bytes : int or None
        Keep at most this many bytes.
    older_than_days : float or None
        Remove entries not used for longer than this. Temporary files older than a day always go.
    """
    for leftover in root.glob("*/.partial-*"):
        with contextlib.suppress(OSError):
            if time.time() - leftover.stat().st_mtime > 86400:
                leftover.unlink()
    entries = list_entries(root)
    total = sum(entry.n_bytes for entry in entries)
    removed = []
    for entry in entries:
        too_old = older_than_days is not None and time.time() - entry.last_used > older_than_days * 86400
        too_much = max_bytes is not None and total > max_bytes
        if too_old or too_much:
            entry.path.unlink(missing_ok=True)
            total -= entry.n_bytes
            removed.append(entry)
    return removed


def verify(root: Path) -> Iterator[tuple[CacheEntry, bool]]:
    """Yield every entry with whether its checksums hold; nothing is removed."""
    for entry in list_entries(root):
        try:
            with zipfile.ZipFile(entry.path) as archive:
                sound = archive.testzip() is None
        except (zipfile.BadZipFile, OSError):
            sound = False
        yield entry, sound


def _write_npz(file: IO[bytes], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write what np.load reads, without the open archive that np.savez leaves behind on a full disk."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                write_array(member, np.asanyarray(array), allow_pickle=False)


def _read_meta(path: Path) -> dict[str, Any]:
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            return dict(json.loads(bytes(archive[_META])))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return {}
