"""Where `ventral scaling` takes models and their scores from, and the laws that are fitted to them."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from multiprocessing import active_children, get_context
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
    from results.scaling.sufficiency import Lack

STUDY = "gokce2024"
FEWEST_DRAWS = 20  # fewer say nothing of where 95 % of them lie
_Job = tuple[str, str, Points, int, Resampling, int]
_NAMES = {"Behavioral": "behaviour"}


@dataclass(frozen=True)
class Choice:
    """What the options of a command name.

    Attributes
    ----------
    experiments, scores : patterns of names of experiments, or files of the user's own; one of the two, or studies.
    studies : files that declare experiments, of these scores, or of the published ones where there are none.
    resource, form, per, region, metric : of the user's own; see `results.cli.scaling_options`.
    unit, ceilings : of the published scores.
    """

    experiments: tuple[str, ...] = ()
    scores: tuple[Path, ...] = ()
    studies: tuple[Path, ...] = ()
    resource: str = ""
    form: str | None = None
    per: str | None = None
    region: str | None = None
    metric: str | None = None
    unit: str = "legacy"
    ceilings: tuple[str, ...] = ()
    mirror: Path | None = None
    offline: bool = False

    @classmethod
    def of(
        cls,
        experiments: Sequence[str] | None,
        scores: Sequence[Path] | None = None,
        studies: Sequence[Path] | None = None,
        ceilings: Sequence[str] | None = None,
        **others: Any,
    ) -> Choice:
        """Return a choice from options as they are parsed: None where a repeatable one was not given."""
        named = tuple(experiments or ()), tuple(scores or ()), tuple(studies or ())
        return cls(*named, ceilings=tuple(ceilings or ()), **others)


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
    left_out : why laws that were asked for cannot be fitted, by law; see `fittable`.
    """

    title: str
    table: pd.DataFrame = field(repr=False)
    unit: str
    facts: tuple[str, ...]
    points: Mapping[str, Points] = field(repr=False)
    forms: Mapping[str, str]
    experiments: Mapping[str, Experiment]
    own: bool = False
    left_out: Mapping[str, str] = field(default_factory=dict)


def source_of(choice: Choice, command: str) -> Source:
    """Return what was asked for: experiments, of the published study or the user's, or the user's own table.

    Raises
    ------
    VentralError
        If nothing, or both, was named; if a file, column, experiment or form does not exist.
    """
    if choice.form is not None:
        from results.scaling.forms import get_form

        get_form(choice.form)
    if choice.studies:
        return _declared(choice, command)
    if bool(choice.experiments) == bool(choice.scores):
        raise InvalidOption(
            f"scaling {command}",
            expected="either --experiment NAME, of the published study, or --scores FILE, your own",
            got="both" if choice.scores else "neither",
            next_step=f"see `ventral scaling list` for experiments, and `ventral scaling {command} --help`",
        )
    return _own(choice) if choice.scores else _declared(choice, command)


def experiments_of(patterns: Sequence[str], studies: Sequence[Path] = ()) -> list[Experiment]:
    """Return the experiments that the patterns stand for, each once, in the order of their files.

    Without a pattern these are all of the user's files, or all of the published study where there is no file.
    """
    from results.scaling.studies import list_experiments

    every = list_experiments(studies)
    for pattern in patterns:
        if not any(fnmatchcase(each.name, pattern) for each in every):
            raise UnknownName("experiment", pattern, [each.name for each in every], hint="see `ventral scaling list`")
    if not patterns:
        published = {each.name for each in list_experiments()} if studies else set()
        return [each for each in every if each.name not in published]
    return [each for each in every if any(fnmatchcase(each.name, pattern) for pattern in patterns)]


def column_of(name: str) -> str:
    """Return the column that a user's name for it means, e.g. "arch_family" for "family"."""
    from results.scaling.tables import COLUMNS

    wanted = name.strip()
    return next((column for column, each in COLUMNS.items() if wanted.lower() in each.names), wanted)


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


def _declared(choice: Choice, command: str) -> Source:
    kept = ("per", "region") if choice.scores else ("per", "region", "metric")
    given = [f"--{name}" for name in kept if getattr(choice, name) is not None]
    given += ["--x"] * bool(choice.resource)
    if given:
        raise InvalidOption(
            f"scaling {command} {' '.join(given)}",
            expected="--scores FILE alone",
            got="experiments, which say themselves what is fitted",
            next_step="leave it out, or name another experiment",
        )
    from results.scaling.studies import points_of
    from results.scaling.tables import read_tables

    chosen = experiments_of(choice.experiments, choice.studies)
    table = read_tables(choice.scores, choice.metric) if choice.scores else published_table(choice)
    made = _expanded({each.name: (each, points_of(each, table)) for each in chosen})
    names, files = [each.name for each in chosen], ", ".join(path.name for path in choice.studies) or STUDY
    return Source(
        title=", ".join(names) if len(names) <= 3 else f"{len(names)} experiments of {files}",
        table=table,
        unit=str(table.attrs.get("unit", "as given")),
        facts=(_facts_of(table, choice.scores),),
        points={name: points for name, (_, points) in made.items()},
        forms={name: choice.form or each.form for name, (each, _) in made.items()},
        experiments={name: each for name, (each, _) in made.items()},
        own=bool(choice.scores),
    )


def _facts_of(table: pd.DataFrame, files: Sequence[Path]) -> str:
    """Return where the scores come from; the published ones from no file of the user's."""
    from results.scaling.published import CITATION

    n_models = table["model_id"].nunique()
    if files:
        return f"{n_models} models from {', '.join(path.name for path in files)}."
    return f"{n_models} models, {table['region'].nunique()} public benchmarks. {CITATION}"


def _own(choice: Choice) -> Source:
    from results.scaling.studies import of_table, points_of
    from results.scaling.tables import read_tables

    table = read_tables(choice.scores, choice.metric)
    form = choice.form or ("two_variable" if "," in choice.resource else "power")
    x = tuple(column_of(name) for name in choice.resource.split(",") if name)
    experiment = of_table(table, x=x, form=form, split_by=column_of(choice.per or ""))
    if choice.region is not None:
        regions = tuple(name.strip() for name in choice.region.split(","))
        experiment = experiment.model_copy(update={"where": {"region": regions}})
    made = _expanded({"": (experiment, points_of(experiment, table))})
    return Source(
        title=", ".join(path.name for path in choice.scores),
        table=table,
        unit=str(table.attrs.get("unit", "as given")),
        facts=(_facts_of(table, choice.scores),),
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


def fittable(source: Source, *, quiet: bool) -> Source:
    """Return a source without the laws that its points do not hold, and say which these are.

    Raises
    ------
    InvalidOption
        None is left.
    """
    from results.scaling.forms import get_form
    from results.scaling.sufficiency import lack_of

    lacks = {name: lack_of(get_form(source.forms[name]), points) for name, points in source.points.items()}
    return without(source, {name: lack for name, lack in lacks.items() if lack is not None}, quiet=quiet)


def without(source: Source, lacks: Mapping[str, Lack], *, quiet: bool) -> Source:
    """Return a source without laws that lack something, and say so; raise InvalidOption if none is left."""
    kept = {name: points for name, points in source.points.items() if name not in lacks}
    if not kept:
        name, lack = next(iter(lacks.items()))
        others = f", and {len(lacks) - 1} further laws lack something too" if len(lacks) > 1 else ""
        raise InvalidOption(
            f"law {name}",
            expected=lack.rule,
            got=f"{lack.got}{others}",
            next_step="add models, or change what is asked",
        )
    if lacks and not quiet:
        named = "; ".join(f"{name} {lack}" for name, lack in lacks.items())
        console.note(f"Left out {len(lacks)} of {len(source.points)} laws: {named}.")
    return replace(source, points=kept, left_out={name: str(lack) for name, lack in lacks.items()})


def laws_of(source: Source, by: str | None, draws: int, seed: int, *, quiet: bool) -> dict[str, Law]:
    """Return the laws of a source; many are fitted in as many processes as there are processors."""
    if by is not None and by not in get_args(Resampling):
        raise running.bad("--by", f"one of {', '.join(get_args(Resampling))}", by, "scaling fit")
    if 0 < draws < FEWEST_DRAWS:
        raise running.bad("--draws", f"0 for none, or {FEWEST_DRAWS} and more", str(draws), "scaling fit")
    if by == "groups" and not any(points.groups for points in source.points.values()):
        raise InvalidOption(
            "--by groups",
            expected="points that say what belongs together",
            got="none that do",
            next_step="add a column group or architecture, or draw rows",
        )
    jobs: list[_Job] = []
    for name, points in source.points.items():
        several = len(set(points.groups)) > 1
        drawn: Resampling = "groups" if several and (by == "groups" or (source.own and by is None)) else "rows"
        jobs.append((name, source.forms[name], points, draws, drawn, seed))
    alone = [name for name, _, points, _, drawn, _ in jobs if drawn == "rows" and points.groups]
    if by == "groups" and alone and not quiet:
        console.note(f"Of one group, so that rows were drawn: {', '.join(alone)}.")
    found: dict[str, Law] = {}
    with console.Bars(quiet=quiet) as bars, _workers(len(jobs)) as fitted:
        bars("laws", 0, len(jobs))
        for law in fitted(_fit, jobs):
            found[law.name] = law
            bars("laws", len(found), len(jobs))
    return found


@contextmanager
def _workers(n_jobs: int) -> Iterator[Callable[..., Iterator[Law]]]:
    """Give a `map` over processes, or the plain one where starting them would take longer than the work.

    Not the `map` of the pool: interrupted, it cancels what waits, and Python before 3.12 fails with a traceback where
    workers then end under cancelled futures.
    """
    n_workers = min(machine.n_threads(), n_jobs // 4)
    if n_workers < 2:
        yield map
        return
    with ProcessPoolExecutor(n_workers, get_context("spawn")) as pool:

        def fitted(fit: Callable[[_Job], Law], jobs: Sequence[_Job]) -> Iterator[Law]:
            heard = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # workers, started here, keep it so
            try:
                waiting = [pool.submit(fit, job) for job in jobs]
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, heard)
            return (each.result() for each in waiting)

        try:
            yield fitted
        except KeyboardInterrupt:  # which a terminal tells every process; workers leave it to this one
            workers = active_children()
            for worker in workers:
                worker.terminate()
            for worker in workers:
                worker.join()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


def _fit(job: _Job) -> Law:
    from results.scaling.bootstrap import law

    name, form, points, draws, by, seed = job
    return law(name, form, points, n_draws=draws, by=by, seed=seed)
