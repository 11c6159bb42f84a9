"""Whether Python finds our own import packages: their names are plain words that others may use too."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

ROOMS = ("model_zoo", "benchmarks", "alignment", "results")


def own_folder(room: str) -> Path:
    """Return where our package of that name lies: beside this one."""
    return Path(__file__).resolve().parents[2] / room


def found_folder(room: str) -> Path | None:
    """Return where Python would import the package from, without importing it; None if nowhere."""
    spec = importlib.util.find_spec(room)
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    return Path(places[0]).resolve() if places else None


def refuse_foreign_rooms() -> None:
    """Stop with exit code 2 and a message if a package of another project stands where one of ours should.

    Written without our error classes, which may be the very ones that are hidden.
    """
    for room in ROOMS:
        found = found_folder(room)
        if found != own_folder(room):
            sys.stderr.write(
                f"Error: import package {room!r}: expected {own_folder(room)}, got {found or 'nothing'}; uninstall the "
                "project that owns the other, remove it from PYTHONPATH, or start from another folder\n"
            )
            raise SystemExit(2)
