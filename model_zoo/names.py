"""Names of the architectures that a large package defines, remembered so that they need not be asked of it every time.

Asking torchvision or timm imports torch, which takes seconds; a misspelt model should be refused in less.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from model_zoo import cache
from model_zoo.errors import ResourceError
from model_zoo.machine import home


def remembered(package: str, find: Callable[[], Iterable[str]]) -> tuple[str, ...]:
    """Return the names that `find` finds in a package, without importing it where they were found before.

    They are found again once the package's version or one of its files of models has changed, and always where the
    package is imported anyway.

    Parameters
    ----------
    package : a top-level package that is installed, whose models are defined in its folder "models".
    find : imports the package.
    """
    root, key = home() / "cache", cache.content_key("architectures", package, version(package), _newest(package))
    with contextlib.suppress(OSError):  # a folder that cannot be used only costs time, here and below
        if package not in sys.modules and (kept := cache.load(root, key)) is not None:
            return tuple(kept["names"].tobytes().decode().split("\n"))
    names = tuple(find())
    with contextlib.suppress(OSError, ResourceError):
        if not cache.path_of(root, key).exists():
            meta = {"what": "names of architectures", "package": package}
            cache.store(root, key, {"names": np.frombuffer("\n".join(names).encode(), dtype=np.uint8)}, meta)
    return names


def _newest(package: str) -> int:
    """Return when a file of the package's models last changed, in ns; finding a top-level package imports nothing."""
    spec = find_spec(package)
    folders = [] if spec is None else map(Path, spec.submodule_search_locations or ())
    return max((file.stat().st_mtime_ns for folder in folders for file in folder.glob("models/**/*.py")), default=0)
