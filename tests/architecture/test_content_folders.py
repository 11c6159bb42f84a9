"""A model family, study or metric is added by one file: nothing else names the files of a content folder."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("model_zoo", "benchmarks", "alignment", "results")
CONTENT = ("model_zoo/models", "benchmarks/datasets", "alignment/metrics")


def imported_modules(source: str, package: str) -> Iterator[str]:
    """Yield the full dotted name of everything a module imports, at its top or inside functions, relative or not."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            base = ".".join(parents[: len(parents) - node.level + 1]) if node.level else ""
            stem = ".".join(part for part in (base, node.module) if part)
            yield stem
            yield from (f"{stem}.{alias.name}" for alias in node.names)


def named_cards(path: Path, root: Path, cards: set[str]) -> set[str]:
    package = ".".join(path.relative_to(root).parent.parts)
    return cards & set(imported_modules(path.read_text(encoding="utf-8"), package))


def card_files(root: Path, folder: str) -> set[str]:
    names = {path.stem for path in (root / folder).glob("[!_]*.py")}
    names |= {path.parent.name for path in (root / folder).glob("[!_]*/__init__.py")}
    return {f"{folder.replace('/', '.')}.{name}" for name in names}


@pytest.mark.parametrize("folder", CONTENT)
def test_no_other_file_imports_a_card(folder: str):
    cards = card_files(ROOT, folder)
    outside = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    naming = {str(path.relative_to(ROOT)): found for path in outside if (found := named_cards(path, ROOT, cards))}
    own = {card.replace(".", "/") for card in cards}
    assert {path: found for path, found in naming.items() if not path.startswith(tuple(own))} == {}


@pytest.mark.parametrize("folder", CONTENT)
def test_the_folders_door_lists_nothing(folder: str):
    tree = ast.parse((ROOT / folder / "__init__.py").read_text(encoding="utf-8"))
    statements = [
        node for node in tree.body if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    ]
    assert [ast.unparse(node) for node in statements] == []


@pytest.mark.parametrize(
    "line",
    [
        "from alignment.metrics import pls",
        "from alignment.metrics.pls import ENTRIES",
        "def late():\n    import alignment.metrics.pls",
        "from .metrics import pls",
        "from .metrics.pls import ENTRIES",
    ],
)
def test_a_central_list_is_seen(tmp_path: Path, line: str):
    path = tmp_path / "alignment" / "everything.py"
    path.parent.mkdir()
    path.write_text(line + "\n")
    assert named_cards(path, tmp_path, {"alignment.metrics.pls"}) == {"alignment.metrics.pls"}
