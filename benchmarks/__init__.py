"""What models are compared with: stimuli, recordings and ceilings. Importing this package imports no torch.

Examples
--------
>>> from benchmarks import list_benchmarks
>>> all(card.region in ("V1", "V2", "V4", "IT") for card in list_benchmarks())
True
"""

from __future__ import annotations

from typing import get_args

from benchmarks.contracts import BenchmarkCard, DataFile, Recording, Region
from model_zoo.registry import Registry

__all__ = [
    "BENCHMARKS",
    "BenchmarkCard",
    "DataFile",
    "Recording",
    "bundled_benchmarks",
    "get_benchmark",
    "list_benchmarks",
]

BENCHMARKS: Registry[BenchmarkCard] = Registry("benchmark", BenchmarkCard, "benchmarks.datasets", "ventral.benchmarks")


def list_benchmarks(all: bool = False) -> tuple[BenchmarkCard, ...]:
    """Return the benchmarks' cards, in natural order of their names.

    Parameters
    ----------
    all : bool
        Include those a user is not meant to report: the data on which layers are chosen.
    """
    return tuple(card for card in BENCHMARKS.cards() if all or card.listed)


def bundled_benchmarks() -> tuple[BenchmarkCard, ...]:
    """Return the listed benchmarks that need no download, from V1 to IT: what is scored by default."""
    bundled = [card for card in list_benchmarks() if card.bundled]
    return tuple(sorted(bundled, key=lambda card: get_args(Region).index(card.region)))


def get_benchmark(name: str) -> BenchmarkCard:
    """Return the card called exactly `name`, listed or not.

    Raises
    ------
    UnknownName
        If there is none; names the nearest ones.
    """
    return BENCHMARKS.get(name)
