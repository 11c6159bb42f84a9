"""A warning raised by our own code fails the test that caused it; other libraries' warnings do not."""

from __future__ import annotations

import warnings

import pytest

SPEAK = "import warnings\ndef speak():\n    warnings.warn('planted', {category}, stacklevel={level})\nspeak()\n"


def warn_in(module: str, category: str = "UserWarning", level: int = 1) -> None:
    exec(compile(SPEAK.format(category=category, level=level), f"{module}.py", "exec"), {"__name__": module})


OURS = ("model_zoo", "model_zoo.extraction", "benchmarks.datasets.study", "alignment.gram", "results.cli", __name__)


@pytest.mark.parametrize("category", ["UserWarning", "DeprecationWarning", "FutureWarning", "RuntimeWarning"])
@pytest.mark.parametrize("level", [1, 2])
@pytest.mark.parametrize("module", OURS)
def test_a_warning_from_our_code_is_an_error(module: str, level: int, category: str):
    with pytest.raises(Warning, match="planted"):
        warn_in(module, category, level)


@pytest.mark.parametrize("module", ["numpy", "resultsets", "sklearn.model_zoo", "benchmarks_of_others.alignment"])
def test_a_warning_from_elsewhere_is_not(module: str):
    with warnings.catch_warnings(record=True) as caught:
        warn_in(module)
    assert [str(warning.message) for warning in caught] == ["planted"]
