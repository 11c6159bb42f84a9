"""Scores read back from the files that `ventral score --json` writes."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from alignment import Score
from benchmarks.ceilings import CEILED_RULES, ceiled
from model_zoo.errors import DataIntegrity


def from_json(path: Path) -> tuple[tuple[Score, ...], tuple[Score, ...], dict[str, Any]]:
    """Return the scores of a file and their provenance, the inverse of `results.records.to_json`.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    scores : tuple of Score
        Equal to those written; null where a number belongs is NaN. Replicates have the six digits that were kept.
    committed : tuple of Score
        Of committed layers, where the file has them beside those of layers that were named.
    provenance : dict

    Raises
    ------
    DataIntegrity
        If it is no such file, lacks a field that has no default, or contradicts itself.
    OSError
        If it cannot be read.
    """
    try:
        content = _expected(json.loads(path.read_text(encoding="utf-8")), dict, "scores with their provenance")
        rows, provenance = (_field(content, name) for name in ("scores", "provenance"))
        scores, committed = (
            tuple(_consistent(_read(Score, row)) for row in _expected(each, list, "a list of scores"))
            for each in (rows, content.get("committed", []))
        )
        return scores, committed, _expected(provenance, dict, "the provenance")
    except _Unexpected as error:
        got = str(error)
    except (ValueError, RecursionError) as error:  # bad JSON or UTF-8
        got = f"no valid JSON ({' '.join(str(error).split())})"
    raise DataIntegrity(
        str(path),
        expected="scores written by `ventral score --json`",
        got=got,
        next_step="write the file again with this version of ventral",
    )


def label_of(model: str, provenance: Mapping[str, Any]) -> str:
    """Return what a file's model is called beside others: its name, NAME@SEED, or NAME=CHECKPOINT.

    Parameters
    ----------
    model : its name.
    provenance : as `results.records.provenance` makes it; what it does not say is left out.
    """
    seed, source = seed_of(provenance), weights_of(provenance)
    if seed is not None:
        return with_seed(model, seed)
    return f"{model}={Path(source).name}" if "/" in source or "." in source else model


def with_seed(model: str, seed: int) -> str:
    """Return what untrained weights of a seed are called, NAME@SEED, of seed 0 just NAME."""
    return f"{model}@{seed}" if seed else model


def seed_of(provenance: Mapping[str, Any]) -> int | None:
    """Return the seed of untrained weights; None of others, or where the provenance does not say."""
    kind, _, seed = weights_of(provenance).partition(" ")
    return int(seed) if kind == "seed" and seed.isdecimal() else None


def weights_of(provenance: Mapping[str, Any]) -> str:
    """Return where the weights came from, "seed 0" or a file; "" where the provenance does not say."""
    return str((provenance.get("model") or {}).get("weights", {}).get("source", ""))


class _Unexpected(Exception):
    """What a file holds in place of what belongs there, in words."""


def _expected(value: Any, kind: type | tuple[type, ...], what: str) -> Any:
    if isinstance(value, kind):
        return value
    words = {dict: "an object", list: "a list", type(None): "null"}
    raise _Unexpected(f"{words.get(type(value), repr(value))} where {what} belongs")


def _field(content: Mapping[str, Any], name: str) -> Any:
    if name not in content:
        raise _Unexpected(f"no field {name!r}")
    return content[name]


def _consistent(score: Score) -> Score:
    """Return the score, unless parts of it contradict each other: then some of them were changed, and others not."""
    for wrong in _contradictions(score):
        raise _Unexpected(f"{wrong}, in the score of {score.benchmark} ({score.metric}) at layer {score.layer!r}")
    return score


def _contradictions(score: Score) -> Iterator[str]:
    lengths: list[tuple[str, Any, int]] = [("unit_raw", score.unit_raw, len(score.unit_ids))]
    if score.evidence is not None:
        raw, headline = score.evidence.raw.shape, score.evidence.headline.shape
        if len(raw) != 2 or raw[0] != 3 or headline != raw:
            yield f"replicates of shapes {raw} and {headline} where (3, n) belongs twice"
        lengths.append(("by_unit", score.evidence.by_unit, len(score.unit_ids)))
        lengths.append(("by_stimulus", score.evidence.by_stimulus, score.n_stimuli))
    for name, values, number in lengths:
        if values is not None and len(values) != number:
            yield f"{len(values)} values in {name} where {number} belong"
    for name, (low, high) in (("interval", score.interval), ("raw_interval", score.raw_interval)):
        if low > high:
            yield f"{name} from {low:g} down to {high:g}"
    if score.ceiled is not None and score.ceiling is not None and score.ceiled_rule in CEILED_RULES:
        made = ceiled(score.raw, score.ceiling, rule=score.ceiled_rule)
        if not np.isclose(made, score.ceiled, rtol=1e-6, atol=1e-9, equal_nan=True):
            yield f"ceiled {score.ceiled:g} where raw {score.raw:g} and ceiling {score.ceiling:g} make {made:g}"


def _read(kind: Any, value: Any) -> Any:
    """Return what JSON holds in place of a value of the type `kind`."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        return _read(next(each for each in inner if each is not type(None)), value)
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        content = _expected(value, dict, f"a {kind.__name__}")  # type: ignore[union-attr]
        needed = [each for each in fields(kind) if each.default is MISSING and each.default_factory is MISSING]
        values = {**{each.name: _field(content, each.name) for each in needed}, **content}
        known = {each.name for each in fields(kind)}
        return kind(**{name: _read(hints[name], item) for name, item in values.items() if name in known})  # type: ignore[operator]
    if origin is np.ndarray:
        return _numbers(value)
    if origin is tuple:
        values = _expected(value, list, "a list")
        if inner[-1] is Ellipsis:
            return tuple(_read(inner[0], item) for item in values)
        if len(values) != len(inner):
            raise _Unexpected(f"{len(values)} values where {len(inner)} belong")
        return tuple(_read(each, item) for each, item in zip(inner, values, strict=True))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {name: _read(inner[1], item) for name, item in _expected(value, dict, "an object").items()}
    if kind is float:
        return float("nan") if value is None else float(_expected(value, (int, float), "a number"))
    plain = str if origin is Literal else kind
    return _expected(value, plain, {str: "a text", int: "a whole number"}.get(plain, plain.__name__))


def _numbers(value: Any) -> Any:
    try:
        return np.array(_expected(value, list, "a list of numbers"), dtype=np.float64)  # null becomes NaN
    except (TypeError, ValueError):
        raise _Unexpected("something else where numbers belong") from None
