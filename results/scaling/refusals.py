"""What experiments refuse in a table: columns or values that they use and that are missing, means of unlike scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from model_zoo.errors import InvalidOption
from results.scaling.cells import listed

if TYPE_CHECKING:
    import pandas as pd

    from results.scaling.studies import Experiment

TABLE = "table"  # name and study of what a table itself suggests


def check_columns(experiment: Experiment, table: pd.DataFrame) -> None:
    """Refuse a table without the columns that an experiment uses."""
    lacking = [name for name in ("model_id", "score", *experiment.columns) if name not in table.columns]
    if lacking:
        wanted = f"a table with the column{'s' * (len(lacking) > 1)} {', '.join(lacking)}"
        raise refusal(experiment, wanted, header(table), "add it, or choose another experiment")


def check_complete(experiment: Experiment, rows: pd.DataFrame, keys: Sequence[str]) -> None:
    """Refuse rows that are there twice, and means over different regions or benchmarks."""
    parts = [name for name in ("region", "benchmark", "benchmark_name") if name in rows.columns]
    twice = rows.duplicated([*keys, *parts])
    if twice.any():
        cell = " ".join(map(str, dict.fromkeys(rows.loc[twice, [*keys, *parts]].iloc[0])))
        raise refusal(
            experiment, "one score per model and region", f"two of {cell}", "delete one, or filter with `where`"
        )
    if not parts:
        return
    n_scores = rows.groupby(list(keys), sort=False, dropna=False)["score"].transform("size")
    cells = rows[parts].astype(str).agg(" ".join, axis=1)
    split = rows[experiment.split_by] if experiment.split_by else np.zeros(len(rows))
    n_cells = cells.groupby(np.asarray(split)).transform("nunique")
    short = rows.loc[n_scores < n_cells, list(keys)]
    if len(short):
        first = short.index[0]
        models = short["model_id"].unique()
        raise refusal(
            experiment,
            f"scores of every model on the same {' and '.join(parts)}, as means over different ones do not compare",
            f"{n_scores[first]} of {n_cells[first]} for {models[0]} ({len(models)} models lack some)",
            "score the models on all of them, or keep those that all have with `where`",
        )


def check_resources(experiment: Experiment, rows: pd.DataFrame, table: pd.DataFrame) -> None:
    """Refuse models without a resource, or without misalignment."""
    for name in experiment.x:
        values = rows[name].to_numpy(dtype=float)
        hint = f"complete them, or leave these models out: known: [{name}] in a study file"
        bad = ~(np.isfinite(values) & (values > 0))
        refuse(experiment, rows, bad, f"{name} > 0 for every model", table, hint, values)
    scores = rows["score"].to_numpy(dtype=float)
    hint = "a ceiled score of 1 or more has no misalignment: fit raw scores, or leave these models out"
    refuse(experiment, rows, ~(scores < 1), "scores below 1", table, hint, scores)


def refuse(
    experiment: Experiment, rows: pd.DataFrame, bad: Any, rule: str, table: pd.DataFrame, hint: str,
    values: Any = None,
) -> None:  # fmt: skip
    """Refuse the models that are marked bad, named with their values and where they are."""
    if not bad.any():
        return
    places: Mapping[str, str] = table.attrs.get("places", {})
    named = []
    for at in np.flatnonzero(bad):
        name = str(rows["model_id"].iloc[at])
        value = "empty" if values is None or np.isnan(values[at]) else f"{values[at]:g}"
        named.append(f"{name} ({places[name]}: {value})" if name in places else f"{name} ({value})")
    raise refusal(experiment, rule, listed(named), hint)


def header(table: pd.DataFrame) -> str:
    """Return a table's columns as its file calls them."""
    named: Mapping[str, str] = table.attrs.get("header", {})
    return ", ".join(named.get(str(name), str(name)) for name in table.columns)


def refusal(experiment: Experiment, expected: str, got: str, next_step: str) -> InvalidOption:
    """Return the refusal of what an experiment, or what a table itself suggests, cannot be fitted to."""
    where = "the table" if experiment.study == TABLE else f"experiment {experiment.name!r}"
    return InvalidOption(where, expected=expected, got=got, next_step=next_step)
