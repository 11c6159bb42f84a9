"""Names of architectures: remembered, and asked for again once the package that defines them has changed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from model_zoo.names import remembered

PACKAGE = "zoo_of_names"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of an installed package with one file of models."""
    folder = tmp_path / PACKAGE
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    (folder / "models" / "nets.py").touch()
    info = tmp_path / f"{PACKAGE}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


def test_names_are_found_once_and_again_when_the_package_changes(package: Path, monkeypatch: pytest.MonkeyPatch):
    found: list[int] = []

    def find() -> list[str]:
        found.append(len(found))
        return ["net", f"net.{len(found)}"]

    assert remembered(PACKAGE, find) == remembered(PACKAGE, find) == ("net", "net.1")
    os.utime(package / "models" / "nets.py", ns=(0, 2_000_000_000 * 10**9))
    assert remembered(PACKAGE, find) == remembered(PACKAGE, find) == ("net", "net.2")
    metadata = package.with_name(f"{PACKAGE}-1.0.dist-info") / "METADATA"
    metadata.write_text(metadata.read_text().replace("1.0", "1.1"))
    assert remembered(PACKAGE, find) == ("net", "net.3")
    monkeypatch.setitem(sys.modules, PACKAGE, sys)  # imported anyway: the package itself is asked
    assert remembered(PACKAGE, find) == ("net", "net.4")
    assert len(found) == 4


def test_a_home_that_refuses_files_is_no_error(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("VENTRAL_HOME", str(tmp_path / "file"))
    assert remembered(PACKAGE, lambda: ["net"]) == ("net",)
