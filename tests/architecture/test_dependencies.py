"""What the rooms import is declared, and what is declared has a tested version."""

from __future__ import annotations

import ast
import configparser
import importlib.metadata
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("model_zoo", "benchmarks", "alignment", "results")


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements(section: str, option: str) -> set[str]:
    config = configparser.ConfigParser(interpolation=None)
    config.read(ROOT / "setup.cfg")
    lines = [line.strip() for line in config[section][option].splitlines()]
    return {normal(re.split(r"[\[<>=!;~ ]", line)[0]) for line in lines if line and line[0] not in "#%"}


def third_party(source: str) -> set[str]:
    """Return the top-level names a module imports, also inside functions, but ours and the standard library's."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - set(ROOMS)


def test_every_import_is_declared():
    optional = requirements("options.extras_require", "figures") | {"brainscore-vision", "brainscore-core"}
    declared = requirements("options", "install_requires") | optional
    owners = {**importlib.metadata.packages_distributions(), "brainscore_vision": ["brainscore-vision"]}
    undeclared = {
        f"{path.relative_to(ROOT)}: {name}"
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
        for name in third_party(path.read_text(encoding="utf-8"))
        if not {normal(owner) for owner in owners.get(name, [name])} & declared
    }
    assert undeclared == set()


def test_imports_are_seen_wherever_they_hide():
    source = "import os, numpy.linalg\nfrom . import near\ndef late():\n    from torch.nn import functional\n"
    assert third_party(source) == {"numpy", "torch"}


@pytest.mark.parametrize(
    ("constraints", "extras"),
    [("constraints.txt", ("brainscore", "docs", "dev")), ("constraints-current.txt", ("dev",))],
)
def test_every_declared_dependency_has_a_tested_version(constraints: str, extras: tuple[str, ...]):
    wanted = requirements("options", "install_requires")
    for extra in extras:
        wanted |= requirements("options.extras_require", extra)
    pinned = {normal(line.split("==")[0]) for line in (ROOT / constraints).read_text().splitlines() if "==" in line}
    assert wanted - pinned == set()


def test_the_citation_names_this_version():
    config = configparser.ConfigParser(interpolation=None)
    config.read(ROOT / "setup.cfg")
    citation = (ROOT / "CITATION.cff").read_text()
    assert re.search(r"^version: (.*)$", citation, re.MULTILINE).group(1) == config["metadata"]["version"]
