"""Experiments: which rows of a table of scores, against which resource, under which form.

They are declared in YAML files in `experiments/`, found by walking the folder, or in a user's own; see
`results.scaling.declarations` for the files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from model_zoo.errors import DuplicateName, InvalidOption, UnknownName
from results.scaling.contracts import Points
from results.scaling.declarations import declared, files, in_words
from results.scaling.forms import FORMS, get_form
from results.scaling.published import Reference
from results.scaling.refusals import TABLE, check_columns, check_complete, check_resources, header, refusal, refuse

if TYPE_CHECKING:
    import pandas as pd

FOLDER = Path(__file__).parent / "experiments"
# X0 of the published study; what a user's table is fitted in, unless an experiment says otherwise.
SCALES: Mapping[str, float] = {"total_flops": 1e13, "n_params": 1e5, "n_samples_seen": 1e4, "flops": 1e6}
MODEL = ("model_id", "ckpt")  # what a point is; the second where a table follows models along their training

Scalar = bool | int | float | str
Filter = dict[str, tuple[Scalar, ...]]


class Restriction(BaseModel):
    """Rows to which a further filter applies; all others stay.

    Attributes
    ----------
    among : the rows meant, as `Experiment.where`.
    to : the filter that they have to pass.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    among: Filter
    to: Filter


class Experiment(BaseModel):
    """What one law, or one law per group, is fitted to.

    Attributes
    ----------
    name : unique among all experiments.
    study : whose experiment it is.
    title : for people.
    form : name of the law, see `results.scaling.forms`.
    x : resource -> X0, the unit in which the law takes it; as many as the form has resources, in their order.
    where : column -> values that rows must have there.
    rename : column -> {value: name it is given}, before all filters: variants of one family under one name.
    known : columns without which a model is left out.
    restrict : a filter for some of the rows only.
    split_by : column with one law per value; "" fits one law.
    drawn_together : columns whose values name what a bootstrap by groups draws together; () where nothing is.
    published : the fit that was published, where it is known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    study: str = ""
    title: str = ""
    form: str = "power"
    x: dict[str, float] = Field(min_length=1)
    where: Filter = {}
    rename: dict[str, dict[str, str]] = {}
    known: tuple[str, ...] = ()
    restrict: Restriction | None = None
    split_by: str = ""
    drawn_together: tuple[str, ...] = ()
    published: Reference | None = None

    @field_validator("form")
    @classmethod
    def _form_exists(cls, form: str) -> str:
        if form not in FORMS:
            raise ValueError(f"one of {', '.join(FORMS)}")
        return form

    @field_validator("x")
    @classmethod
    def _scales_are_positive(cls, x: dict[str, float]) -> dict[str, float]:
        if not all(0 < scale < float("inf") for scale in x.values()):
            raise ValueError("scales > 0")
        return x

    def model_post_init(self, _: Any) -> None:
        """Refuse as many resources as the form does not take."""
        wanted = get_form(self.form).n_x
        if len(self.x) != wanted:
            plural = "s" * (wanted > 1)
            expected = f"{wanted} resource{plural} for the form {self.form!r}"
            raise refusal(self, expected, ", ".join(self.x), "correct `x` or `form`")

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that a table must have, besides "model_id" and "score"."""
        among = (*self.restrict.among, *self.restrict.to) if self.restrict else ()
        split = (self.split_by,) if self.split_by else ()
        named = (*self.where, *self.rename, *self.known, *self.x, *among, *split, *self.drawn_together)
        return tuple(dict.fromkeys(named))


def list_experiments(paths: Sequence[Path] = ()) -> tuple[Experiment, ...]:
    """Return all experiments, those of Ventral first, in the order of their files.

    Parameters
    ----------
    paths : a user's YAML files, or folders of them.

    Raises
    ------
    DuplicateName
        Two experiments of one name; both files are named.
    InvalidOption, DataIntegrity, DataUnavailable
        A file that breaks a rule, is no YAML, or is not there.
    """
    found: dict[str, tuple[Experiment, Path]] = {}
    for file in files((FOLDER, *paths)):
        for experiment in _load(file):
            if experiment.name in found:
                raise DuplicateName(
                    f"experiment {experiment.name!r}",
                    expected="one file that declares it",
                    got=f"{found[experiment.name][1]} and {file}",
                    next_step="rename one of them",
                )
            found[experiment.name] = experiment, file
    return tuple(experiment for experiment, _ in found.values())


def get_experiment(name: str, paths: Sequence[Path] = ()) -> Experiment:
    """Return an experiment by its name.

    Raises
    ------
    UnknownName
        There is none; near names are suggested.
    """
    known = {experiment.name: experiment for experiment in list_experiments(paths)}
    if name not in known:
        raise UnknownName("experiment", name, known, hint=f"known ones: {', '.join(known)}")
    return known[name]


def of_table(table: pd.DataFrame, *, x: Sequence[str] = (), form: str = "power", split_by: str = "") -> Experiment:
    """Return the experiment that a user's table suggests: every model that it holds, against a resource that it has.

    Models are drawn together by the column "group", else by architecture, with all its seeds and data; neither has to
    be there, and a single one is none.

    Parameters
    ----------
    table : as `results.scaling.tables.read_table` returns it.
    x : resources; (): the first of `SCALES` that the table has, for the two-variable form parameters and samples seen.
    form : name of the law.
    split_by : column with one law per value; "" fits one law to the mean over every model's rows.

    Raises
    ------
    InvalidOption
        A resource or column that the table lacks.
    """
    two = ("n_params", "n_samples_seen")
    chosen = tuple(x) or (two if get_form(form).n_x == 2 else tuple(n for n in SCALES if n in table.columns)[:1])
    together = [name for name in ("group", "arch") if name in table.columns and table[name].nunique() > 1][:1]
    lacking = [n for n in (*chosen, *((split_by,) if split_by else ())) if n not in table.columns]
    unknown = [n for n in chosen if n not in SCALES]
    if not chosen or lacking or unknown:
        raise InvalidOption(
            "table",
            expected=f"resources among {', '.join(SCALES)} and columns that it has",
            got=f"no column {', '.join(lacking)}" if lacking else ", ".join(unknown) or "no resource",
            next_step=f"choose among its columns: {header(table)}",
        )
    scales = {name: SCALES[name] for name in chosen}
    return Experiment(name=TABLE, study=TABLE, form=form, x=scales, split_by=split_by, drawn_together=tuple(together))


def rows_of(experiment: Experiment, table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per model (and value of `split_by`): its facts and its mean score, sorted by model.

    Parameters
    ----------
    table : with "model_id", "score" and `experiment.columns`, e.g. `published.gokce2024()`.

    Returns
    -------
    DataFrame
        Columns that differ between the rows of a model (region, benchmark) are left out. "score" is the mean over its
        rows; "score_error", where the table has it, is the error of that mean if the rows' errors are independent.

    Raises
    ------
    InvalidOption
        A column is missing, no row is left, or models were not scored on the same regions and benchmarks.
    """
    check_columns(experiment, table)
    kept = _filtered(experiment, table)
    keys = [name for name in (*MODEL, experiment.split_by) if name in kept.columns]
    groups = kept.groupby(keys, sort=True, dropna=False)
    check_complete(experiment, kept, keys)
    varies = groups.nunique(dropna=False).max() > 1
    varies[["score", *[name for name in ("score_error",) if name in varies]]] = True
    rows = kept.drop_duplicates(keys).set_index(keys)[varies.index[~varies]]
    rows = rows.sort_index().assign(score=groups["score"].mean())
    if "score_error" in kept.columns:
        rows["score_error"] = groups["score_error"].agg(lambda errors: float(np.sqrt((errors**2).sum()) / len(errors)))
    return rows.reset_index()


def points_of(experiment: Experiment, table: pd.DataFrame) -> dict[str, Points]:
    """Return what laws are fitted to: value of `split_by`, or "", -> points.

    Parameters
    ----------
    table : as for `rows_of`.

    Raises
    ------
    InvalidOption
        As for `rows_of`; or a resource that is missing or not positive, a score of 1 or more, or resources and groups
        that differ between the rows of one model.
    """
    rows = rows_of(experiment, table)
    varying = [name for name in (*experiment.x, *experiment.drawn_together) if name not in rows.columns]
    if varying:
        raise refusal(experiment, f"one {varying[0]} per model", "several", f"correct the column {varying[0]!r}")
    for name in (*experiment.drawn_together, *filter(None, [experiment.split_by])):
        missing = rows[name].isna().to_numpy()
        hint = f"complete the column {name!r}, or leave these models out with `known` in a study file"
        refuse(experiment, rows, missing, f"{name} for every model", table, hint)
    check_resources(experiment, rows, table)
    if not experiment.split_by:
        return {"": _points(experiment, rows)}
    parts = rows.groupby(experiment.split_by, sort=True)
    return {str(value): _points(experiment, part) for value, part in parts}


def _load(file: Path) -> list[Experiment]:
    found = []
    for name, keys in declared(file).items():
        try:
            found.append(Experiment.model_validate({**keys, "name": name}))
        except ValidationError as error:
            place, expected, got = in_words(error)
            known = [key for key in Experiment.model_fields if key != "name"]
            raise InvalidOption(
                f"{file}, experiment {name!r}, {place}",
                expected=expected,
                got=got,
                next_step=f"keys of an experiment: extends, {', '.join(known)}",
            ) from error
    return found


def _points(experiment: Experiment, rows: pd.DataFrame) -> Points:
    x = rows[list(experiment.x)].to_numpy(dtype=float)  # (n_points, n_x)
    return Points(
        x=x / np.array(list(experiment.x.values())),
        misalignment=1.0 - rows["score"].to_numpy(dtype=float),
        names=_joined(rows, [name for name in MODEL if name in rows.columns]),
        groups=_joined(rows, experiment.drawn_together) if experiment.drawn_together else (),
        errors=rows["score_error"].to_numpy(dtype=float) if "score_error" in rows.columns else None,
        variables=tuple(experiment.x),
        scales=tuple(experiment.x.values()),
    )


def _joined(rows: pd.DataFrame, columns: Sequence[str]) -> tuple[str, ...]:
    return tuple(" ".join(map(str, values)) for values in rows[list(columns)].itertuples(index=False))


def _filtered(experiment: Experiment, table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that pass all filters, in the study's order: renamed, kept, known, restricted."""
    kept = table
    for column, names in experiment.rename.items():
        kept = kept.assign(**{column: kept[column].replace(names)})
    for column, values in experiment.where.items():
        found, kept = kept, kept[kept[column].isin(values)]
        if kept.empty and len(found):
            had = ", ".join(sorted(map(str, found[column].unique()))[:8])
            wanted = f"rows with {column} {' or '.join(map(str, values))}"
            raise refusal(experiment, wanted, had, "correct `where`, or pass the table that it is meant for")
    kept = kept.dropna(subset=list(experiment.known))
    if experiment.restrict is not None:
        among, to = experiment.restrict.among, experiment.restrict.to
        kept = kept[~_passes(kept, among) | _passes(kept, to)]
    if kept.empty:
        raise refusal(experiment, "rows that pass its filters", "none", "correct `known` or `restrict`")
    return kept


def _passes(table: pd.DataFrame, wanted: Filter) -> Any:
    passed = np.ones(len(table), dtype=bool)
    for column, values in wanted.items():
        passed &= table[column].isin(values).to_numpy()
    return passed
