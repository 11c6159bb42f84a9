"""Which layer speaks for a region: the user's own choice, or a commitment made on other data."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np

from alignment.scores import LayerProfile
from benchmarks import BENCHMARKS, get_benchmark
from benchmarks.contracts import BenchmarkCard, Data, Geometry, Recording, Region
from benchmarks.pools import split_name
from benchmarks.splits import hold_out, shuffle_splits
from model_zoo.contracts import Layer
from model_zoo.errors import InvalidOption, LeakageError, UnknownName

FEWEST_STIMULI = 90  # a third of fewer is under 30, tested three at a time: they hardly tell one layer from another
Names = str | Sequence[str]


@dataclass(frozen=True)
class LayerChoice:
    """A layer, who chose it ("user" or "committed on <benchmark>"), and the candidates' scores on that.

    Attributes
    ----------
    own_stimuli : True where it was chosen on a part of the benchmark's own stimuli, which is not scored.
    """

    layer: Layer
    reason: str = "user"
    profile: LayerProfile | None = None
    own_stimuli: bool = False


@dataclass(frozen=True)
class Division:
    """A benchmark's own recordings in two.

    Attributes
    ----------
    held_out : on which a layer is chosen.
    scored : on which that layer is scored; no stimulus is in both.
    n_held_out : stimuli of `held_out`.
    """

    held_out: tuple[Recording, ...] = field(repr=False)
    scored: tuple[Recording, ...] = field(repr=False)
    n_held_out: int


def commit(profile: LayerProfile) -> str:
    """Return the layer with the highest raw score on the commitment data; the earliest of equals.

    Raises
    ------
    InvalidOption
        If no layer has a score.
    """
    scored = [(raw, layer) for raw, layer in zip(profile.raw, profile.layers, strict=True) if not math.isnan(raw)]
    if not scored:
        raise InvalidOption(
            f"--layers auto on {profile.benchmark}",
            expected="a layer with a defined score",
            got="constant activations or responses everywhere",
            next_step="name the layer with --layers",
        )
    best = max(raw for raw, _ in scored)
    return next(layer for raw, layer in scored if raw == best)


def check_disjoint(
    card: BenchmarkCard, test: tuple[Data, ...], other: BenchmarkCard, commitment: tuple[Data, ...]
) -> None:
    """Make sure that the data on which a benchmark's layer is chosen shares no stimulus with its test data.

    Raises
    ------
    LeakageError
        If the benchmark names itself, or if both hold the same stimulus ids.
    """
    test_ids = {stimulus_id for data in test for stimulus_id in _ids(data)}
    shared = [stimulus_id for data in commitment for stimulus_id in _ids(data) if stimulus_id in test_ids]
    if card.name == other.name or shared:
        raise LeakageError(
            f"{card.name}: commitment on {other.name}",
            expected="stimuli that are not test stimuli",
            got=f"{len(shared)} shared stimuli",
            next_step="name the layers with --layers, or mend the card's commitment",
        )


def _ids(data: Data) -> tuple[str, ...]:
    return data.stimuli.ids if isinstance(data, Recording | Geometry) else ()


def divide(card: BenchmarkCard, data: Sequence[Data]) -> Division:
    """Return a benchmark's recordings in two, a third of all stimuli to choose a layer on, the rest to score it.

    The division is drawn with a fixed seed over the sorted stimulus ids of all recordings, balanced where the card's
    splits are: it is the same for every model, whatever the order of the rows, and a stimulus shown in two recordings
    falls on one side.

    Raises
    ------
    InvalidOption
        Too few stimuli for two parts that can both be cross-validated.
    """
    recordings = [each for each in data if isinstance(each, Recording)]
    strata: dict[str, object] = {}
    for recording in recordings:
        ids = _shown(recording)
        labels = ids if card.stratification is None else recording.assembly[card.stratification].values
        strata |= {each: label for each, label in zip(ids, labels, strict=True) if each not in strata}
    ids = sorted(strata)
    if len(ids) < FEWEST_STIMULI:
        raise _undivided(card, f"{len(ids)} stimuli")
    balanced = None if card.stratification is None else np.array([strata[each] for each in ids])
    try:
        split = hold_out(len(ids), strata=balanced)
        parts = [{ids[row] for row in rows} for rows in (split.test, split.train)]
        held_out, scored = (tuple(_restricted(each, part) for each in recordings) for part in parts)
        for recording in (*held_out, *scored):
            own = list(dict.fromkeys(_shown(recording)))
            shuffle_splits(len(own), strata=None if balanced is None else [strata[each] for each in own])
    except InvalidOption as error:
        raise _undivided(card, f"a third or two thirds of {len(ids)} that cannot be split ({error.got})") from error
    return Division(held_out, scored, len(split.test))


def names_by_card(layers: Names | Mapping[str, Names], cards: Sequence[BenchmarkCard]) -> list[list[str] | None]:
    """Return, for every benchmark, the names of the layers to score it with, or None where they are to be chosen.

    Parameters
    ----------
    layers : "auto", names for all benchmarks, or names by benchmark, pool or region; the more special one counts.
    cards : the benchmarks.

    Raises
    ------
    InvalidOption
        Something else, or a benchmark that no entry covers.
    UnknownName
        An entry for what is neither a benchmark nor a region.
    """
    if not isinstance(layers, Mapping):
        return [_names("score(layers=...)", layers)] * len(cards)
    if not layers:
        raise _uncovered(cards, layers)
    for key in layers:
        _check_key(str(key), cards)
    entries = [next((key for key in _keys_of(card) if key in layers), None) for card in cards]
    if uncovered := [card for card, key in zip(cards, entries, strict=True) if key is None]:
        raise _uncovered(uncovered, layers)
    return [_names(f"layer of {key}", layers[key]) for key in entries if key is not None]


def read_layer_map(path: str | Path) -> dict[str, Names]:
    """Return a user's choice of layers, by benchmark, pool or region, from a JSON or TOML file.

    Parameters
    ----------
    path : a file such as ``{"V4": "layer3", "Cowley2023.V4": ["layer2", "layer3"]}``, or in TOML ``V4 = "layer3"``.

    Raises
    ------
    InvalidOption
        It cannot be read, or holds something else.
    """
    file = Path(path).expanduser()
    where = f"layer map {file}"

    def refuse(expected: str, got: str) -> InvalidOption:
        return InvalidOption(
            where, expected=expected, got=got, next_step='write it as {"V4": "layer3"} in a .json file, or as TOML'
        )

    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise refuse("every name once", "one of them twice")
        return found

    if file.suffix.lower() not in (".json", ".toml"):
        raise refuse("a .json or .toml file", f"the suffix {file.suffix!r}")
    try:
        text = file.read_text(encoding="utf-8")
        read = json.loads(text, object_pairs_hook=distinct) if file.suffix.lower() == ".json" else tomllib.loads(text)
    except OSError as error:
        raise refuse("a file that can be read", error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:  # bad JSON, TOML or UTF-8
        raise refuse("valid JSON or TOML", " ".join(str(error).split()) or type(error).__name__) from error
    if not isinstance(read, dict) or not read:
        raise refuse("names of layers by benchmark or region", "nothing" if not read else f"a {type(read).__name__}")
    for key, value in read.items():
        if isinstance(value, dict):
            raise refuse(f"quotes around names with dots, such as {key}.{next(iter(value), '')}", "a table")
        _names(f"{where}, {key}", value)
    return read


def _names(where: str, names: object) -> list[str] | None:
    """Return names of layers as a list, or None for "auto"."""
    listed = [names] if isinstance(names, str) else list(names) if isinstance(names, Sequence) else []
    if not listed or not all(isinstance(each, str) and each for each in listed):
        raise InvalidOption(
            where, expected="names", got=repr(names), next_step='write "layer3", or ["layer2", "layer3"]'
        )
    return None if names == "auto" else listed


def _keys_of(card: BenchmarkCard) -> list[str]:
    """Return the entries of a map that speak of a benchmark, the most special first."""
    whole, _ = split_name(card.name)
    pools = [each.name for each in BENCHMARKS.cards() if card.name in each.parts]
    return [card.name, whole, *pools, card.region]


def _check_key(key: str, cards: Sequence[BenchmarkCard]) -> None:
    known = [*get_args(Region), *(name for card in cards for name in _keys_of(card)), *BENCHMARKS.names()]
    if key in known:
        return
    if "/" not in key and "[" not in key:
        raise UnknownName("benchmark or region", key, known, hint="name a region, V1 to IT, or a benchmark")
    get_benchmark(key)


def _uncovered(cards: Sequence[BenchmarkCard], layers: Mapping[str, Names]) -> InvalidOption:
    return InvalidOption(
        "layer map",
        expected=f"a layer for {', '.join(f'{card.name} ({card.region})' for card in cards)}",
        got=f"layers for {', '.join(map(str, layers)) or 'nothing'}",
        next_step='name its layer, or "auto", by its name or region',
    )


def _undivided(card: BenchmarkCard, got: str) -> InvalidOption:
    return InvalidOption(
        f"--layers auto on {card.name}",
        expected=f"commitment data, or at least {FEWEST_STIMULI} stimuli of its own of which a third can be held out",
        got=got + (f", and nothing at hand of {', '.join(card.commitment)}" if card.commitment else ""),
        next_step="name the layers with --layers"
        + (f", or fetch {card.commitment[0]} with `ventral data fetch`" if card.commitment else ""),
    )


def _shown(recording: Recording) -> list[str]:
    """Return the stimulus id of every presentation."""
    return [str(each) for each in recording.assembly["stimulus_id"].values]


def _restricted(recording: Recording, kept: set[str]) -> Recording:
    rows = [row for row, each in enumerate(_shown(recording)) if each in kept]
    stimuli = recording.stimuli.subset([each for each in recording.stimuli.ids if each in kept])
    return Recording(recording.assembly.isel(presentation=rows), stimuli)
