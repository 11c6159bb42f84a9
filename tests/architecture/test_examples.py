"""The examples in docstrings run, and give what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from types import ModuleType

import pytest

ROOMS = ("model_zoo", "benchmarks", "alignment", "results")


def modules() -> list[str]:
    names: list[str] = []
    for room in ROOMS:
        package = importlib.import_module(room)
        names += [room, *(info.name for info in pkgutil.walk_packages(package.__path__, f"{room}."))]
    return [name for name in names if not name.endswith("__main__")]


@pytest.mark.parametrize("name", modules())
def test_examples_of(name: str):
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


def test_a_wrong_example_is_seen(capsys: pytest.CaptureFixture[str]):
    module = ModuleType("planted", ">>> 1 + 1\n3\n")
    assert doctest.testmod(module).failed == 1
    assert "Got:\n    2" in capsys.readouterr().out
