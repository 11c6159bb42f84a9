"""What this machine has to offer: memory, processors and disk, as the kernel will really grant them.

In a container the host's figures are not the process's: the control group may allow far less. Limits of cgroup v1 and
v2 are read at every level from the process's own group up to the root, and the smallest wins.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import math
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from model_zoo.errors import InvalidOption

_ROOT = Path("/")
_UNITS = {"": 1, "B": 1}
_UNITS |= {unit + end: 1000 ** (i + 1) for i, unit in enumerate("KMGT") for end in ("", "B")}
_UNITS |= {unit + "IB": 1024 ** (i + 1) for i, unit in enumerate("KMGT")}


_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h


def memory_limit_bytes(root: Path = _ROOT) -> int:
    """Return the most memory this process may ever hold: the smaller of physical memory and its control group's limit.

    Parameters
    ----------
    root : Path
        Where `proc` and `sys` are mounted; another folder is for tests.
    """
    limits = [limit for limit, _ in _memory_groups(root)]
    return min([psutil.virtual_memory().total, *limits])


def memory_available_bytes(root: Path = _ROOT) -> int:
    """Return the memory this process can still take without swapping or being killed.

    File pages the kernel can drop at once (inactive_file) count as free.
    """
    left = [max(0, limit - used) for limit, used in _memory_groups(root)]
    return min([psutil.virtual_memory().available, *left])


def n_threads(root: Path = _ROOT) -> int:
    """Return how many processors this process may keep busy: its affinity, and its control group's quota rounded up."""
    granted = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([granted, *(math.ceil(quota) for quota in _cpu_quotas(root))]))


def check_device(name: str) -> None:
    """Refuse a device that is not there: the processor always is, others torch is asked for.

    Raises
    ------
    InvalidOption
    """
    if name != "cpu":
        from model_zoo.extraction import usable_device

        usable_device(name)


def home() -> Path:
    """Return Ventral's folder for caches and downloads: $VENTRAL_HOME, else the platform's cache folder."""
    chosen = os.environ.get("VENTRAL_HOME")
    if chosen:
        return Path(chosen).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("ventral", appauthor=False))


def disk_free_bytes(folder: Path) -> int:
    """Return the free bytes where `folder` is, or would be created."""
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    return shutil.disk_usage(existing).free


def peak_memory_bytes() -> int:
    """Return the most resident memory this process has held so far."""
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@contextlib.contextmanager
def reused_memory() -> Iterator[None]:
    """Keep freed memory in the process while inside, and give it back to the system afterwards.

    The activations of a batch, and matrices over all stimuli, are larger than what the C library keeps: it would return
    them to the system after every use and have them cleared again for the next, which here took a fifth of the forward
    pass. Does nothing where the C library is not glibc. Not to be nested.

    References
    ----------
    mallopt(3): M_MMAP_MAX, M_TRIM_THRESHOLD.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if library is None or not hasattr(library, "mallopt"):
        yield
        return
    library.mallopt(_M_MMAP_MAX, 0)
    library.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    try:
        yield
    finally:
        library.mallopt(_M_MMAP_MAX, 65_536)  # the library's own values
        library.mallopt(_M_TRIM_THRESHOLD, 131_072)
        library.malloc_trim(0)


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Look for no garbage while inside: imports make a million objects that all stay, and searching them takes time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def parse_bytes(text: str) -> int:
    """Return the number of bytes in "4GB" (4 x 1000^3), "4GiB" (4 x 1024^3), "500 MB", "0.5G" or "1000000".

    Raises
    ------
    InvalidOption
        If `text` is not a positive number with one of these units.

    Examples
    --------
    >>> parse_bytes("0.5 GB"), parse_bytes("1KiB")
    (500000000, 1024)
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([A-Za-z]*)\s*", text)
    if match is None or match[2].upper() not in _UNITS or float(match[1]) == 0:
        raise InvalidOption(
            f"size {text!r}",
            expected="a positive number with a unit of bytes",
            got=repr(text),
            next_step="write for example 4GB, 512MiB or 1000000",
        )
    return int(float(match[1]) * _UNITS[match[2].upper()])


def format_bytes(n_bytes: float) -> str:
    """Return a size for people, in powers of 1000.

    Examples
    --------
    >>> format_bytes(22_500_000_000), format_bytes(512)
    ('22.5 GB', '512 B')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes:.0f} {unit}" if unit == "B" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} TB"


def _memory_groups(root: Path) -> Iterator[tuple[int, int]]:
    """Yield (limit, bytes in use that cannot be dropped) of each control group above this process that has a limit."""
    names = {
        "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        "": ("memory.max", "memory.current", "inactive_file"),
    }
    for controller, (limit_name, used_name, droppable_name) in names.items():
        for group in _groups(root, controller):
            limit = _read_numbers(group / limit_name)
            if limit:
                used = _read_numbers(group / used_name) or [0.0]
                droppable = re.search(rf"^{droppable_name} (\d+)$", _read(group / "memory.stat"), re.MULTILINE)
                yield int(limit[0]), max(0, int(used[0]) - (int(droppable[1]) if droppable else 0))


def _cpu_quotas(root: Path) -> Iterator[float]:
    for group in _groups(root, ""):
        limit = _read_numbers(group / "cpu.max")
        if len(limit) == 2:
            yield limit[0] / limit[1]
    for group in _groups(root, "cpu"):
        quota, period = _read_numbers(group / "cpu.cfs_quota_us"), _read_numbers(group / "cpu.cfs_period_us")
        if quota and period and quota[0] > 0:
            yield quota[0] / period[0]


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield this process's control group and all groups above it; controller "" is cgroup v2."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            tops = [root / "sys/fs/cgroup" / controller] if controller else [root / "sys/fs/cgroup"]
            tops += [] if controller else [root / "sys/fs/cgroup/unified"]
            for top in tops:
                group = top / path.lstrip("/")
                yield group
                while group != top:
                    group = group.parent
                    yield group


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""  # not Linux, or no such controller here


def _read_numbers(path: Path) -> list[float]:
    """Return the numbers in a control file; [] where it is missing or says "max"."""
    words = _read(path).split()
    return [] if "max" in words else [float(word) for word in words]
