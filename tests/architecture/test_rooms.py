"""The four rooms import in one direction, stay light, and are the only packages we install."""

from __future__ import annotations

import configparser
import importlib.metadata
import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("model_zoo", "benchmarks", "alignment", "results")
HEAVY = ("torch", "torchvision", "timm", "sklearn", "brainscore_vision", "plotly")


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("lint-imports")
    command = [str(program), "--no-cache", "--config", str(folder / "setup.cfg")]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def planted_rooms(folder: Path) -> None:
    shutil.copy(ROOT / "setup.cfg", folder)
    for room in ROOMS:
        (folder / room).mkdir()
        (folder / room / "__init__.py").write_text("")


def test_rooms_import_only_from_rooms_to_their_left():
    found = lint_imports(ROOT)
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize(("left", "right"), list(itertools.pairwise(ROOMS)))
def test_an_import_to_the_right_breaks_the_contract(tmp_path: Path, left: str, right: str):
    planted_rooms(tmp_path)
    assert lint_imports(tmp_path).returncode == 0
    (tmp_path / left / "wrong.py").write_text(f"def late():\n    import {right}\n    return {right}\n")
    found = lint_imports(tmp_path)
    assert found.returncode == 1
    assert f"{left} is not allowed to import {right}" in found.stdout


AUDITED_IMPORT = """
import sys
def audit(event, args):
    writes = event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+")
    if writes or event in ("os.mkdir", "os.rename", "os.remove", "socket.connect", "subprocess.Popen"):
        sys.stderr.write(f"{event} {args}\\n")
        sys.exit(3)
sys.addaudithook(audit)
import model_zoo, benchmarks, alignment, results
HEAVY = %r
sys.exit(", ".join(name for name in HEAVY if name in sys.modules) or 0)
"""


def run_python(code: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_importing_the_rooms_is_light_and_touches_nothing():
    found = run_python(AUDITED_IMPORT % (HEAVY,))
    assert found.returncode == 0, found.stderr


@pytest.mark.parametrize("line", ["import sklearn", "open('seen.txt', 'w')", "import os; os.mkdir('seen')"])
def test_a_heavy_or_writing_import_is_seen(tmp_path: Path, line: str):
    planted_rooms(tmp_path)
    (tmp_path / "results" / "__init__.py").write_text(line + "\n")
    assert run_python(AUDITED_IMPORT % (HEAVY,), tmp_path).returncode != 0


def test_only_the_four_rooms_are_installed():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    patterns = config["options.packages.find"]["include"].split()
    assert sorted(patterns) == sorted(f"{room}*" for room in ROOMS)
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_no_other_distribution_installs_a_package_of_the_same_name(room: str):
    owners = importlib.metadata.packages_distributions()[room]
    assert set(owners) == {"ventral-alignment"}
