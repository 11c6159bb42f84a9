"""Folders for what does not fit into memory: one per run, gone at its end, and swept up after runs that were killed."""

from __future__ import annotations

import contextlib
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from model_zoo.errors import ResourceError
from model_zoo.machine import home

if TYPE_CHECKING:
    import filelock


def root() -> Path:
    """Return the folder that scratch folders lie in unless another is named."""
    return home() / "scratch"


@contextlib.contextmanager
def folder(parent: Path | None = None) -> Iterator[Path]:
    """Give a new folder, which is removed at the end; those of runs that were killed are removed first.

    Parameters
    ----------
    parent : where; None: `root`.

    Raises
    ------
    ResourceError
        It cannot be made.

    Notes
    -----
    A run holds a lock beside its folder while it lives, and the system lets go of it however the run ends.
    """
    import filelock

    parent = root() if parent is None else parent
    sweep(parent)
    made = parent / f"run-{uuid.uuid4().hex}"
    lock = filelock.FileLock(_lock_of(made))
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(NotImplementedError):  # a file system without locks, where nothing is swept up
            lock.acquire()
        made.mkdir()
    except OSError as error:
        raise ResourceError(
            f"scratch folder {parent}",
            expected="a folder that can be written",
            got=error.strerror or str(error),
            next_step="choose another --scratch-dir",
        ) from error
    try:
        yield made
    finally:
        _remove(made, lock)


def sweep(parent: Path) -> int:
    """Remove the folders of runs that no longer live; return how many bytes that freed."""
    import filelock

    freed = 0
    for left in sorted(parent.glob("run-*/")):
        lock = filelock.FileLock(_lock_of(left), timeout=0)
        with contextlib.suppress(filelock.Timeout, OSError, NotImplementedError):
            lock.acquire()
            freed += sum(path.stat().st_size for path in left.rglob("*") if path.is_file())
            _remove(left, lock)
    return freed


def _lock_of(folder: Path) -> Path:
    return folder.with_suffix(".lock")


def _remove(folder: Path, lock: filelock.BaseFileLock) -> None:
    """Remove a folder whose lock is held, and then the lock."""
    shutil.rmtree(folder, ignore_errors=True)
    _lock_of(folder).unlink(missing_ok=True)
    lock.release()
