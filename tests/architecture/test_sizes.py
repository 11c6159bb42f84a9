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
    """Yield name, line and length of every function above the limit; its signature and docstring do not count."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            length = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
            if length > MOST_LINES_OF_A_FUNCTION:
                yield f"{node.name} (line {node.lineno}): {length} lines"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_file_and_its_functions_are_short(path: Path):
    source = path.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= MOST_LINES_OF_A_FILE
    assert list(long_functions(source)) == []


def test_a_long_function_is_seen_wherever_it_hides():
    body = "".join(f"        x = {n}\n" for n in range(MOST_LINES_OF_A_FUNCTION))
    fits = 'class A:\n    @property\n    def method(\n        self,\n    ):\n        """Two\n        lines."""\n' + body
    assert list(long_functions(fits)) == []
    assert list(long_functions(fits + "        x = (\n0)\n")) == ["method (line 3): 72 lines"]
    assert list(long_functions('def f():\n    """Docstring."""\n')) == []
