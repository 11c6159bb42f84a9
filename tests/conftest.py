"""Shared fixtures: an isolated VENTRAL_HOME, and the offline mirror of public data."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

MIRROR = Path(os.environ.get("VENTRAL_MIRROR") or Path(__file__).parents[1].parent / "shared" / "data")


@pytest.fixture(autouse=True)
def _isolated_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VENTRAL_HOME", str(tmp_path_factory.mktemp("ventral-home")))


@pytest.fixture(scope="session")
def mirror() -> Path:
    """The folder with the public files; absent on a user's machine, an error in CI."""
    if (MIRROR / "manifest.csv.gz").is_file():
        return MIRROR
    reason = f"no offline mirror at {MIRROR}; set VENTRAL_MIRROR to a folder with the public files"
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(reason)
    pytest.skip(reason)
