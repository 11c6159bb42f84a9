"""Where `ventral scaling` takes models and their scores from, and the laws that are fitted to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from model_zoo import machine
from model_zoo.errors import InvalidOption, UnknownName
from results.cli import console, running
from results.scaling.contracts import Law, Points, Resampling
from results.scaling.graded import HIERARCHY

if TYPE_CHECKING:
    import pandas as pd

    from results.scaling.studies import Experiment

STUDY = "gokce2024"
_Job = tuple[str, str, Points, int, Resampling, int]
_NAMES = {"Behavioral": "behaviour"}


@dataclass(frozen=True)
class Choice:
    """What the options of a command name.

    Attributes
    ----------
    experiments, scores : patterns of names of the published study, or files of the user's own; one of the two.
    resource, form, per, region : of the user's own; see `results.cli.scaling_options`.
    unit, ceilings : of the published scores.
    """

    experiments: tuple[str, ...] = ()
    scores: tuple[Path, ...] = ()
    resource: str = ""
    form: str | None = None
    per: str | None = None
    region: str | None = None
    unit: str = "legacy"
    ceilings: tuple[str, ...] = ()
    mirror: Path | None = None
    offline: bool = False


@dataclass(frozen=True)
class Source:
    """Models to fit laws to.

    Attributes
    ----------
    title : of a page about them.
    table : one row per model and region.
    unit : of the scores, in words.
    facts : where the scores come from, in sentences.
    points, forms, experiments : by law: what it is fitted to, the name of its form, and what defines its points.
    own : the scores are the user's, not published ones.
    """

    title: str
    table: pd.DataFrame = field(repr=False)
    unit: str
    facts: tuple[str, ...]
    points: Mapping[str, Points] = field(repr=False)
    forms: Mapping[str, str]
    experiments: Mapping[str, Experiment]
    own: bool = False


def source_of(choice: Choice, command: str) -> Source:
    """Return what was asked for: experiments of the published study, or the user's own table.

    Raises
    ------
    VentralError
        If nothing, or both, was named; if a file, column, experiment or form does not exist.
    """
    if choice.form is not None:
        from results.scaling.forms import get_form

        get_form(choice.form)
    if bool(choice.experiments) == bool(choice.scores):
        raise InvalidOption(
            f"scaling {command}",
            expected="either --experiment NAME, of the published study, or --scores FILE, your own",
            got="both" if choice.scores else "neither",
            next_step=f"see `ventral scaling list` for experiments, and `ventral scaling {command} --help`",
        )
    return _own(choice) if choice.scores else _published(choice, command)


def names_of(patterns: Sequence[str]) -> list[str]:
    """Return the names of experiments that the patterns stand for, each once, in the study's order."""
    from results.scaling.studies import list_experiments

    known = [experiment.name for experiment in list_experiments()]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in known):
            raise UnknownName("experiment", pattern, known, hint="see `ventral scaling list`")
    return [name for name in known if any(fnmatchcase(name, pattern) for pattern in patterns)]


def column_of(name: str) -> str:
    """Return the column that a user's name for it means, e.g. "arch_family" for "family"."""
    from results.scaling.tables import COLUMNS

    wanted = name.strip()
    return next((column for column, each in COLUMNS.items() if wanted in each.names), wanted)


def published_table(choice: Choice, *, checkpoints: bool = False) -> pd.DataFrame:
    """Return the published table in the unit asked for; `checkpoints` for the one along training."""
    from results.scaling.published import Unit, gokce2024

    if choice.unit not in get_args(Unit):
        raise running.bad("--unit", f"one of {', '.join(get_args(Unit))}", choice.unit, "scaling fit")
    unit: Unit = choice.unit  # type: ignore[assignment]
    ceilings, offline = _ceilings(choice.ceilings), choice.offline or None
    return gokce2024(choice.mirror, offline, unit=unit, ceilings=ceilings, checkpoints=checkpoints)


def _ceilings(given: Sequence[str]) -> dict[str, float]:
    found = {}
    for text in given:
        name, _, value = text.partition("=")
        try:
            found[name] = float(value)
        except ValueError:
            raise running.bad("--ceiling", "REGION=VALUE such as IT=0.816", text, "scaling fit") from None
    return found


def _published(choice: Choice, command: str) -> Source:
    given = [f"--{name}" for name in ("per", "region") if getattr(choice, name) is not None]
    given += ["--x"] * bool(choice.resource)
    if given:
        raise InvalidOption(
            f"scaling {command} {' '.join(given)}",
            expected="--scores FILE beside it",
            got="experiments, which say themselves what is fitted",
            next_step="leave it out, or name another experiment",
        )
    from results.scaling.published import CITATION
    from results.scaling.studies import get_experiment, points_of

    names = names_of(choice.experiments)
    table = published_table(choice)
    chosen = {name: get_experiment(name) for name in names}
    made = _expanded({name: (each, points_of(each, table)) for name, each in chosen.items()})
    return Source(
        title=", ".join(names) if len(names) <= 3 else f"{len(names)} experiments of {STUDY}",
        table=table,
        unit=str(table.attrs["unit"]),
        facts=(f"{table['model_id'].nunique()} models, {table['region'].nunique()} public benchmarks. {CITATION}",),
        points={name: points for name, (_, points) in made.items()},
        forms={name: choice.form or each.form for name, (each, _) in made.items()},
        experiments={name: each for name, (each, _) in made.items()},
    )


def _own(choice: Choice) -> Source:
    from results.scaling.studies import of_table, points_of
    from results.scaling.tables import read_tables

    table = read_tables(choice.scores)
    form = choice.form or ("two_variable" if "," in choice.resource else "power")
    x = tuple(column_of(name) for name in choice.resource.split(",") if name)
    experiment = of_table(table, x=x, form=form, split_by=column_of(choice.per or ""))
    if choice.region is not None:
        regions = tuple(name.strip() for name in choice.region.split(","))
        experiment = experiment.model_copy(update={"where": {"region": regions}})
    made = _expanded({"": (experiment, points_of(experiment, table))})
    files = ", ".join(path.name for path in choice.scores)
    return Source(
        title=files,
        table=table,
        unit=str(table.attrs.get("unit", "as given")),
        facts=(f"{table['model_id'].nunique()} models from {files}.",),
        points={name: points for name, (_, points) in made.items()},
        forms=dict.fromkeys(made, form),
        experiments={name: each for name, (each, _) in made.items()},
        own=True,
    )


def _expanded(found: Mapping[str, tuple[Experiment, Mapping[str, Points]]]) -> dict[str, tuple[Experiment, Points]]:
    """Return points by law: an experiment's name, the value it is split by, or both; regions along the hierarchy."""
    return {
        " ".join(filter(None, (name, _NAMES.get(value, value)))) or "all": (each, parts[value])
        for name, (each, parts) in found.items()
        for value in sorted(parts, key=lambda part: (HIERARCHY.index(part) if part in HIERARCHY else -1, part))
    }


def laws_of(source: Source, by: str | None, draws: int, seed: int, *, quiet: bool) -> dict[str, Law]:
    """Return the laws of a source; many are fitted in as many processes as there are processors."""
    if by is not None and by not in get_args(Resampling):
        raise running.bad("--by", f"one of {', '.join(get_args(Resampling))}", by, "scaling fit")
    jobs: list[_Job] = []
    for name, points in source.points.items():
        drawn: Any = by or ("groups" if source.own and points.groups else "rows")
        jobs.append((name, source.forms[name], points, draws, drawn, seed))
    found: dict[str, Law] = {}
    with console.Bars(quiet=quiet) as bars, _workers(len(jobs)) as fitted:
        bars("laws", 0, len(jobs))
        for law in fitted(_fit, jobs):
            found[law.name] = law
            bars("laws", len(found), len(jobs))
    return found


@contextmanager
def _workers(n_jobs: int) -> Iterator[Callable[..., Iterator[Law]]]:
    """Give a `map` over processes, or the plain one where starting them would take longer than the work."""
    n_workers = min(machine.n_threads(), n_jobs // 4)
    if n_workers < 2:
        yield map
        return
    with ProcessPoolExecutor(n_workers, mp_context=get_context("spawn")) as pool:
        try:
            yield pool.map
        finally:
            pool.shutdown(cancel_futures=True)


def _fit(job: _Job) -> Law:
    from results.scaling.bootstrap import law

    name, form, points, draws, by, seed = job
    return law(name, form, points, n_draws=draws, by=by, seed=seed)
