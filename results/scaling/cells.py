"""The cells of a user's table: read whole, under known names and types, or an error that says which line is wrong."""

from __future__ import annotations

import csv
import gzip
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from model_zoo.errors import DataIntegrity, DataUnavailable, DuplicateName, InvalidOption, MissingExtra, nearest_names

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["text", "score", "positive"]


@dataclass(frozen=True)
class Column:
    """A column that Ventral knows the meaning of.

    Attributes
    ----------
    names : what a file may call it, the usual name first.
    kind : "text"; "score", a finite number below 1; or "positive", a finite number above 0.
    meaning : for people.
    """

    names: tuple[str, ...]
    kind: Kind
    meaning: str


COLUMNS: Mapping[str, Column] = {
    "model_id": Column(("model", "model_id"), "text", "name of the model; required"),
    "score": Column(("score",), "score", "alignment, below 1: misalignment is 1 - score; required"),
    "score_error": Column(("score_error", "error"), "positive", "standard error of the score"),
    "region": Column(("region",), "text", "V1, V2, V4, IT or behaviour; one row per model and region"),
    "benchmark": Column(("benchmark", "benchmark_name"), "text", "where a region has several"),
    "total_flops": Column(("total_flops", "compute"), "positive", "FLOPs of the whole training"),
    "n_params": Column(("n_params", "params"), "positive", "parameters"),
    "n_samples_seen": Column(
        ("n_samples_seen", "n_samples", "samples_seen", "samples"), "positive", "images seen: epochs x images"
    ),
    "flops": Column(("flops",), "positive", "FLOPs of one image, forward"),
    "n_units": Column(("n_units", "units"), "positive", "units of the layer that was scored"),
    "arch_family": Column(("family", "arch_family"), "text", "family of architectures"),
    "arch": Column(("architecture", "arch"), "text", "architecture"),
    "seed": Column(("seed",), "text", "of the training"),
    "group": Column(("group",), "text", "what bootstraps by groups draw together; else the architecture"),
    "ckpt": Column(("checkpoint", "ckpt", "epoch"), "text", "where the rows follow a model along its training"),
}
RESOURCES = ("total_flops", "n_params", "n_samples_seen", "flops")
REGIONS: Mapping[str, str] = dict.fromkeys(("behaviour", "behavior", "behavioral", "Behaviour"), "Behavioral")
CELL = ("model_id", "ckpt", "region", "benchmark")  # what has one score
_FULL = (*CELL, "score", "score_error")  # columns without empty cells; the others are asked for where they are used
_ANOTHER = "n_samples"  # beside n_samples_seen it is what the published study calls the size of a data set
_RULES = {"score": "a number below 1", "positive": "a number above 0", "text": "a name"}
_BETWEEN = {",": "commas", "\t": "tabs", ";": "semicolons"}
_SHOWN = 5


def read_cells(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """Return a file's cells as they are, and what to call its rows.

    Parameters
    ----------
    path : .csv or .tsv, also gzipped, or .parquet.

    Returns
    -------
    table, places : the rows, in text cells stripped of spaces; and for each "line 2" or "row 1".

    Raises
    ------
    DataUnavailable, DataIntegrity, MissingExtra
        It is not there, is no such file, or needs a library that is missing.
    """
    import pandas as pd

    suffixes = [suffix.lower() for suffix in path.suffixes]
    try:
        if suffixes[-1:] == [".parquet"]:
            table = pd.read_parquet(path)
            return table, [f"row {number}" for number in range(1, len(table) + 1)]
        content = path.read_bytes()
        if suffixes[-1:] == [".gz"]:
            content = gzip.decompress(content)
        lines = list(_lines(content.decode("utf-8-sig"), "\t" if ".tsv" in suffixes else ",", path))
    except ImportError as error:
        raise MissingExtra(
            str(path), expected="a library that reads Parquet", got="none", next_step="pip install pyarrow, or use CSV"
        ) from error
    except (ValueError, csv.Error, EOFError, gzip.BadGzipFile) as error:
        raise DataIntegrity(
            str(path), expected="a CSV, TSV or Parquet file", got=str(error), next_step="save it anew as CSV (UTF-8)"
        ) from error
    except OSError as error:
        raise DataUnavailable(
            str(path), expected="a file that can be read", got=error.strerror or str(error), next_step="check the path"
        ) from error
    (_, header), rows = lines[0], lines[1:]
    header = [name or f"column {number}" for number, name in enumerate(header, 1)]
    return pd.DataFrame([row for _, row in rows], columns=header, dtype=object), [f"line {n}" for n, _ in rows]


def checked(
    table: pd.DataFrame, places: Sequence[str], where: str, *, required: Sequence[str], resource: bool = True
) -> pd.DataFrame:
    """Return the cells under known names and types, columns without any value left out.

    Empty cells are missing values in columns that need not be full; whoever uses one asks for its values. What the file
    itself calls the columns is in `.attrs["header"]`.

    Parameters
    ----------
    table, places : as from `read_cells`.
    where : name of the table in errors.
    required : columns that must be there, of `COLUMNS`.
    resource : so must one of `RESOURCES`.

    Raises
    ------
    InvalidOption
        A column is missing, two mean the same, or cells break the rule of their column; the rows are named.
    """
    import pandas as pd

    named = [str(name) for name in table.columns]
    table = _renamed(table, where)
    header = dict(zip(map(str, table.columns), named, strict=True))
    full = [name for name in table.columns if not all(map(_is_empty, table[name].tolist()))]
    _refuse_columns(header, full if len(table) else list(table.columns), where, required, resource)
    if not len(table):
        raise InvalidOption(where, expected="at least one row", got="a header only", next_step="add models")
    made = {}
    for name in full:
        values, column = table[name].tolist(), COLUMNS.get(name)
        made[name] = (
            _inferred(values)
            if column is None
            else _typed(values, places, f"{where}, column {header[name]!r}", column, full=name in _FULL)
        )
    if "region" in made:
        made["region"] = [REGIONS.get(str(region), region) for region in made["region"]]
    checked = pd.DataFrame(made)
    checked.attrs["header"] = header
    return checked


def refuse_duplicates(table: pd.DataFrame, places: Sequence[str], where: str) -> None:
    """Raise DuplicateName if a model has two rows: per region, benchmark and checkpoint, where there are these."""
    keys = [name for name in CELL if name in table.columns]
    twice = table.duplicated(keys, keep=False)
    if not twice.any():
        return
    named = table.loc[twice, keys].astype(str).agg(", ".join, axis=1)
    first = named.iloc[0]
    rows = [place for place, name in zip(_of(places, twice), named, strict=True) if name == first]
    raise DuplicateName(
        where,
        expected=f"one row per {', '.join(COLUMNS[name].names[0] for name in keys)}",
        got=f"{len(rows)} of {first} ({', '.join(rows[:_SHOWN])})",
        next_step="delete one; models of another seed or data need another name, regions and benchmarks a column",
    )


def _lines(text: str, delimiter: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield line numbers and cells, the header first; every row has as many cells as the header."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    n_cells = 0
    for cells in reader:
        row = [cell.strip() for cell in cells]
        if not any(row):
            continue
        others = [other for other in _BETWEEN if other != delimiter and other in row[0]]
        if not n_cells and len(row) == 1 and others:
            raise DataIntegrity(
                f"{path}, line {reader.line_num}",
                expected=f"{_BETWEEN[delimiter]} between cells",
                got=f"{_BETWEEN[others[0]]}: {row[0][:80]!r}",
                next_step="rename the file to .tsv"
                if others[0] == "\t"
                else "save it as .csv, with commas between cells and points in numbers",
            )
        if n_cells and len(row) != n_cells:
            raise DataIntegrity(
                f"{path}, line {reader.line_num}",
                expected=f"{n_cells} cells, as in the header",
                got=str(len(row)),
                next_step="correct the line; names with commas need quotes",
            )
        n_cells = len(row)
        yield reader.line_num, row
    if not n_cells:
        raise DataIntegrity(str(path), expected="a header and rows", got="an empty file", next_step="check the file")


def _renamed(table: pd.DataFrame, where: str) -> pd.DataFrame:
    known = {name: key for key, column in COLUMNS.items() for name in column.names}
    given = [str(name).lower() for name in table.columns]
    if any(name != _ANOTHER and known.get(name) == known[_ANOTHER] for name in given):
        del known[_ANOTHER]
    names = [known.get(name, str(column)) for name, column in zip(given, table.columns, strict=True)]
    for number, name in enumerate(names):
        if name in names[:number]:
            both = [str(table.columns[i]) for i in (names.index(name), number)]
            raise InvalidOption(
                where, expected="every column once", got=" and ".join(both), next_step="remove or rename one of them"
            )
    return table.set_axis(names, axis=1)


def _refuse_columns(
    header: Mapping[str, str], full: Sequence[str], where: str, required: Sequence[str], resource: bool
) -> None:
    """Refuse a table that lacks columns; `header` holds the file's names by known ones."""
    missing = [f"a column {COLUMNS[name].names[0]!r}" for name in required if name not in full]
    if resource and not set(RESOURCES) & set(full):
        missing.append(f"a resource: a column {' or '.join(RESOURCES)}")
    if not missing:
        return
    empty = [shown for name, shown in header.items() if name not in full]
    others = [name for name in header if name not in COLUMNS]
    every = [name for column in COLUMNS.values() for name in column.names]
    near = [f"{name!r} into {nearest_names(name, every, 1)[0]!r}" for name in others if nearest_names(name, every, 1)]
    raise InvalidOption(
        where,
        expected=" and ".join(missing),
        got=f"{', '.join(header.values())}{' (without any value: ' + ', '.join(empty) + ')' if empty else ''}",
        next_step=f"rename {', '.join(near)}?"
        if near
        else "add what is missing, one value per row, commas between cells",
    )


def _typed(values: Sequence[Any], places: Sequence[str], where: str, column: Column, *, full: bool) -> list[Any]:
    """Return the values of a known column; where it need not be full, empty cells are missing values."""
    empty = [_is_empty(value) for value in values]
    if column.kind == "text":
        _refuse([full and each for each in empty], values, places, where, column)
        return [None if each else str(value) for value, each in zip(values, empty, strict=True)]
    numbers = [_number(value) for value in values]
    wrong = [
        (full or not each) and (not math.isfinite(number) or (number >= 1 if column.kind == "score" else number <= 0))
        for number, each in zip(numbers, empty, strict=True)
    ]
    _refuse(wrong, values, places, where, column)
    return numbers


def _refuse(wrong: Sequence[bool], values: Sequence[Any], places: Sequence[str], where: str, column: Column) -> None:
    if not any(wrong):
        return
    hint = "correct or delete these rows"
    if column.kind == "score" and any(_number(value) >= 1 for value in values):
        hint = "scores of 1 or more leave no misalignment to fit: use raw scores, or " + hint
    cells = [f"{place}: {_shown(value)}" for place, value in zip(_of(places, wrong), _of(values, wrong), strict=True)]
    raise InvalidOption(where, expected=f"{_RULES[column.kind]} in every row", got=listed(cells), next_step=hint)


def listed(shown: Sequence[str]) -> str:
    """Return what is wrong in a sentence, no more than the first few of many."""
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return f"{'; '.join(shown[:_SHOWN])}{more}"


def _inferred(values: Sequence[Any]) -> list[Any]:
    """Return values of an unknown column: true or false, numbers, or text; empty ones are missing."""
    full = [value for value in values if not _is_empty(value)]
    if len(full) == len(values) and all(str(value).lower() in ("true", "false") for value in values):
        return [str(value).lower() == "true" for value in values]
    if all(math.isfinite(_number(value)) for value in full):
        return [math.nan if _is_empty(value) else _number(value) for value in values]
    return [None if _is_empty(value) else str(value) for value in values]


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _is_empty(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def _shown(value: Any) -> str:
    return "empty" if _is_empty(value) else str(value)[:40]


def _of(values: Sequence[Any], chosen: Any) -> list[Any]:
    return [value for value, wanted in zip(values, chosen, strict=True) if wanted]
