"""Files and functions stay small enough to be read in one sitting."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("model_zoo", "benchmarks", "alignment", "results", "tests")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
MOST_LINES_OF_A_FILE = 400
MOST_LINES_OF_A_FUNCTION = 70


def long_functions(source: str) -> Iterator[str]:
    """Yield name, line and length of every function above the limit, its decorators and docstring counted."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            length = node.end_lineno - first + 1
            if length > MOST_LINES_OF_A_FUNCTION:
                yield f"{node.name} (line {node.lineno}): {length} lines"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_file_and_its_functions_are_short(path: Path):
    source = path.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= MOST_LINES_OF_A_FILE
    assert list(long_functions(source)) == []


def test_a_long_function_is_seen_wherever_it_hides():
    body = "".join(f"        x = {n}\n" for n in range(MOST_LINES_OF_A_FUNCTION - 1))
    fits = "class A:\n    def method(self):\n" + body
    assert list(long_functions(fits)) == []
    assert list(long_functions(fits + "        x = 0\n")) == ["method (line 2): 71 lines"]
    assert list(long_functions(fits.replace("    def", "    @property\n    def"))) == ["method (line 3): 71 lines"]
