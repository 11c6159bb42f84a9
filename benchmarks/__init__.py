"""What models are compared with: stimuli, recordings and ceilings. Importing this package imports no torch.

Examples
--------
>>> from benchmarks import list_benchmarks
>>> all(card.region in ("V1", "V2", "V4", "IT", "behaviour") for card in list_benchmarks())
True
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import get_args

from benchmarks.contracts import (
    BenchmarkCard,
    Choices,
    Data,
    DataArchive,
    DataFile,
    Distribution,
    Distributions,
    Geometry,
    Recording,
    Region,
)
from model_zoo.errors import DataUnavailable
from model_zoo.registry import Registry

__all__ = [
    "BENCHMARKS",
    "BenchmarkCard",
    "Choices",
    "Data",
    "DataArchive",
    "DataFile",
    "Distribution",
    "Distributions",
    "Geometry",
    "Recording",
    "at_hand",
    "available",
    "bundled_benchmarks",
    "get_benchmark",
    "is_folder_name",
    "list_benchmarks",
    "load_benchmark",
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
    """Return the simulated areas, from V1 to IT: what is scored by default."""
    areas = [card for card in list_benchmarks() if card.bundled and card.kind == "recording"]
    return tuple(sorted(areas, key=lambda card: get_args(Region).index(card.region)))


def get_benchmark(name: str) -> BenchmarkCard:
    """Return the card called exactly `name`, listed or not, or that of a folder with data of one's own.

    A pool can be narrowed to some of its parts: "Cowley2023.V4[201025,210325]". Those of Brain-Score are called
    "brainscore/<identifier>".

    Raises
    ------
    UnknownName
        If there is none; names the nearest ones.
    InvalidOption
        A part that is not one of the pool's.
    DataIntegrity
        A folder in which something is wrong; the message lists all of it.
    """
    if name.startswith("brainscore/"):
        from benchmarks.brainscore import brainscore_card

        return brainscore_card(name)
    from benchmarks.pools import restrict, split_name

    if name not in BENCHMARKS.names() and is_folder_name(name):
        from benchmarks.folder import open_folder

        return open_folder(name)
    whole, parts = split_name(name)
    card = BENCHMARKS.get(whole)
    return restrict(card, [BENCHMARKS.get(f"{whole}-{part}") for part in parts]) if parts else card


def is_folder_name(name: str) -> bool:
    """Return whether a benchmark's name is that of a folder: one that exists, or one that is written like a path."""
    return name != "" and ("/" in name or os.sep in name or Path(name).expanduser().is_dir())


def at_hand(card: BenchmarkCard, mirror: Path | None = None) -> bool:
    """Return whether a benchmark can be loaded without a download, judged by file names and sizes."""
    from benchmarks.fetch import presence

    return presence(card, mirror) != "missing"


def available(card: BenchmarkCard, mirror: Path | None = None) -> BenchmarkCard:
    """Return the card of what can be loaded without a download, judged by file names and sizes.

    It is `card` itself, except for a pool of which some parts are at hand and others are not: then it is the pool of
    those parts.
    """
    from benchmarks.pools import restrict

    if at_hand(card, mirror):
        return card
    present = [part for part in map(get_benchmark, card.parts) if at_hand(part, mirror)]
    return restrict(card, present) if present else card


def load_benchmark(
    card: BenchmarkCard | str, mirror: Path | None = None, offline: bool | None = None
) -> tuple[BenchmarkCard, tuple[Data, ...]]:
    """Return the data of a card, or of its name, from the data folder, mirror or network, and the card they belong to.

    The card is `card` itself, except for a pool of which some parts can be had and others cannot: then it is the pool
    of those parts, under a name of its own; and except for Brain-Score's, completed by what its object says.

    Raises
    ------
    DataUnavailable
        Nothing of it can be had.
    DataIntegrity
        Bytes that are not the published ones.
    """
    from benchmarks.fetch import locate

    card = get_benchmark(card) if isinstance(card, str) else card

    def get(file: DataFile | DataArchive) -> Path:
        return locate(file, mirror=mirror, offline=offline)

    if card.name.startswith("brainscore/"):
        from benchmarks.brainscore import load

        return load(card, get, mirror, offline)
    try:
        return card, card.load(get)
    except DataUnavailable:
        narrowed = available(card, mirror)
        if narrowed is card:
            raise
        return narrowed, narrowed.load(get)
