"""Tables of models and their scores: a user's CSV or Parquet file, or Ventral's score files with facts about models.

All tables use the column names of the published study (`results.scaling.cells.COLUMNS`), so that every experiment and
analysis takes any table. They are read whole or not at all: what is missing, no number or there twice is an error.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from model_zoo.errors import InvalidOption
from results.scaling.cells import COLUMNS, checked, read_cells, refuse_duplicates
from results.scaling.score_files import is_score_file, rows_of, units_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "facts_template", "from_scores", "read_table", "read_tables"]

# A backward pass costs two forward ones: the published study counts 3 flops n_samples_seen.
TRAINING_PASSES = 3.0


def read_tables(paths: Sequence[Path], metric: str | None = None) -> pd.DataFrame:
    """Return the table that files make together.

    Parameters
    ----------
    paths : tables of models and scores; or score files (JSON, or LABEL=FILE.json) beside one table of facts about their
        models.
    metric : of score files, take scores of this metric only.

    Raises
    ------
    InvalidOption
        None, or score files without exactly one table of facts; and as `read_table` and `from_scores`.
    """
    import pandas as pd

    scores = [path for path in paths if is_score_file(path)]
    tables = [path for path in paths if path not in scores]
    if scores and len(tables) == 1:
        return from_scores(scores, tables[0], metric=metric)
    if scores or not tables:
        raise InvalidOption(
            "tables of scores",
            expected="one or more tables, or score files (JSON) with one table of facts about their models",
            got=f"{len(scores)} score files and {len(tables)} tables",
            next_step="`ventral scaling facts FILE.csv` with these --scores writes one, to be completed",
        )
    if metric is not None:
        raise InvalidOption(
            "--metric", expected="score files (JSON) to choose from", got="tables alone", next_step="leave it out"
        )
    parts = [read_table(path) for path in tables]
    for path, part in zip(tables, parts, strict=True):
        differing = sorted(set(part.columns) ^ set(parts[0].columns))
        if differing:
            raise InvalidOption(
                f"{path} and {tables[0]}",
                expected="the same columns in all tables",
                got=f"{', '.join(differing)} in one of them",
                next_step="complete or remove these columns",
            )
    whole = pd.concat(parts, ignore_index=True)
    origins = [str(path) for path, part in zip(tables, parts, strict=True) for _ in range(len(part))]
    refuse_duplicates(whole, origins, ", ".join(map(str, tables)))
    whole.attrs = {**parts[0].attrs, "places": {}}
    for path, part in zip(tables, parts, strict=True):
        where = f"{path.name}, " if len(tables) > 1 else ""
        whole.attrs["places"] |= {model: f"{where}{place}" for model, place in part.attrs["places"].items()}
    return whole


def read_table(path: Path) -> pd.DataFrame:
    """Return a user's table of models and scores.

    Parameters
    ----------
    path : .csv (also gzipped), .tsv or .parquet file with a header: "model", "score", at least one resource of
        "total_flops", "n_params", "n_samples_seen" and "flops", and what else is known; see `COLUMNS` for all names.

    Returns
    -------
    DataFrame
        Known columns under the names of `COLUMNS`, others under their own; columns without any value are left out.
        Where "total_flops" is not given but "flops" and "n_samples_seen" are, it is 3 flops n_samples_seen, and
        `.attrs["notes"]` says so. `.attrs["places"]` holds by model where it is in the file, `.attrs["header"]` by
        column what the file calls it.

    Raises
    ------
    DataUnavailable, DataIntegrity
        It is not there, or cannot be read as such a file.
    InvalidOption
        A required column is missing, two columns mean the same, or rows break a rule; the rows are named.
    DuplicateName
        A model is there twice (per region, benchmark and checkpoint).
    MissingExtra
        A Parquet file, and no library that reads it.
    """
    cells, places = read_cells(path)
    table = checked(cells, places, str(path), required=("model_id", "score"))
    refuse_duplicates(table, places, str(path))
    table.attrs["places"] = _places(table, places)
    return _completed(table)


def from_scores(paths: Sequence[Path], facts: Path, *, metric: str | None = None) -> pd.DataFrame:
    """Return a table of headline scores from Ventral's score files, joined with facts about the models.

    Parameters
    ----------
    paths : JSON files that ``ventral score --json`` wrote, or LABEL=FILE. Models are called as `ventral compare` calls
        them: name, name@seed or name=checkpoint.
    facts : table as for `read_table`, without scores; `facts_template` writes its first columns.
    metric : take scores of this metric only.

    Returns
    -------
    DataFrame
        One row per model and benchmark. "score" is the ceiled score where there is a ceiling, else the raw one, with
        its standard error; "n_units" the features of the layer. `.attrs["unit"]` names the rules.

    Raises
    ------
    DataUnavailable, DataIntegrity
        A file is not there, or is no score file.
    InvalidOption
        Several metrics or units per region, a score of 1 or more, or models without facts.
    DuplicateName
        A model's score is there twice; both files are named.
    """
    import pandas as pd

    rows = rows_of(paths, metric)
    units = units_of(rows)
    table = _joined(pd.DataFrame(rows), facts)
    table.attrs["unit"] = "; ".join(f"{region}: {unit}" for region, unit in units.items())
    return table


def facts_template(models: Mapping[str, Mapping[str, object]]) -> str:
    """Return a CSV with one row per model, to be completed for `from_scores`; columns left empty do not count.

    Parameters
    ----------
    models : what is known, by column, of every model.
    """
    columns = ("model", "family", "architecture", "seed", "n_params", "flops", "n_samples_seen", "total_flops")
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({"model": name, **known} for name, known in models.items())
    return text.getvalue()


def _joined(rows: pd.DataFrame, facts: Path) -> pd.DataFrame:
    """Return scores with what is known of their models."""
    cells, places = read_cells(facts)
    known = checked(cells, places, str(facts), required=("model_id",))
    refuse_duplicates(known, places, str(facts))
    clash = [name for name in ("score", "score_error", "region", "benchmark", "metric") if name in known.columns]
    lacking = sorted(set(rows["model_id"]) - set(known["model_id"]))
    if clash or lacking:
        raise InvalidOption(
            str(facts),
            expected="facts about models, not scores" if clash else "facts about every model that was scored",
            got=f"a column {clash[0]!r}" if clash else f"none about {', '.join(lacking)}",
            next_step="remove it" if clash else "add a row for each, or leave out their score files",
        )
    origins = [f"{row.file}, {row.model_id} on {row.benchmark}" for row in rows.itertuples()]
    kept = rows[[name for name in rows.columns if name not in (*known.columns, "file", "rule") or name == "model_id"]]
    scored = checked(kept, origins, "scores", required=("model_id", "score"), resource=False)
    joined = scored.merge(known, on="model_id", how="left", validate="many_to_one")
    in_file = {model: f"{facts.name}, {place}" for model, place in _places(known, places).items()}
    joined.attrs = {"header": known.attrs["header"], "places": in_file}
    return _completed(joined)


def _places(table: pd.DataFrame, places: Sequence[str]) -> dict[str, str]:
    """Return where every model's first row is."""
    return dict(reversed(list(zip(table["model_id"], places, strict=True))))


def _completed(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with the compute of training, where it is not stated and follows from what is known."""
    if not {"flops", "n_samples_seen"} <= set(table.columns):
        return table
    follows = TRAINING_PASSES * table["flops"] * table["n_samples_seen"]
    stated = table["total_flops"] if "total_flops" in table.columns else follows * float("nan")
    n_followed = int((stated.isna() & follows.notna()).sum())
    if not n_followed:
        return table
    table = table.assign(total_flops=stated.fillna(follows))
    rule = f"total_flops = {TRAINING_PASSES:g} x flops x n_samples_seen (forward and backward)"
    table.attrs["notes"] = (f"{rule} in {n_followed} of {len(table)} rows",)
    return table
