"""Scores read back from the files that `ventral score --json` writes."""

from __future__ import annotations

import json
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from alignment import Score
from model_zoo.errors import DataIntegrity


def from_json(path: Path) -> tuple[tuple[Score, ...], dict[str, Any]]:
    """Return the scores of a file and their provenance, the inverse of `results.records.to_json`.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    scores : tuple of Score
        Equal to those written; null where a number belongs is NaN. Replicates have the six digits that were kept.
    provenance : dict

    Raises
    ------
    DataIntegrity
        If it is no such file, or lacks a field that has no default.
    OSError
        If it cannot be read.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        rows, provenance = content["scores"], content["provenance"]
        return tuple(_read(Score, row) for row in rows), dict(provenance)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"no field {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
        raise DataIntegrity(
            str(path),
            expected="scores written by `ventral score --json`",
            got=reason,
            next_step="write the file again with this version of ventral",
        ) from error


def _read(kind: Any, value: Any) -> Any:
    """Return what JSON holds in place of a value of the type `kind`."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        return _read(next(each for each in inner if each is not type(None)), value)
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        needed = [each for each in fields(kind) if each.default is MISSING and each.default_factory is MISSING]
        values = {**{each.name: value[each.name] for each in needed}, **value}
        known = {each.name for each in fields(kind)}
        return kind(**{name: _read(hints[name], item) for name, item in values.items() if name in known})  # type: ignore[operator]
    if origin is np.ndarray:
        return np.array(value, dtype=np.float64)  # null becomes NaN
    if origin is tuple:
        kinds = [inner[0]] * len(value) if inner[-1] is Ellipsis else inner
        return tuple(_read(each, item) for each, item in zip(kinds, value, strict=True))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {name: _read(inner[1], item) for name, item in value.items()}
    if kind is float:
        return float("nan") if value is None else float(value)
    expected = (str,) if origin is Literal else (kind,)
    if not isinstance(value, expected):
        raise TypeError(f"{value!r} where {expected[0].__name__} belongs")
    return value
