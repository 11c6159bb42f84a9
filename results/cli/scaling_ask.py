"""`ventral scaling allocate|frontier|predict|plan`: what laws say of models not yet trained, and what is enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from model_zoo.errors import InvalidOption, UnknownName
from results.cli import console, options, running
from results.cli import scaling_options as given
from results.cli.scaling_input import Choice, Source, column_of, fittable, laws_of, source_of
from results.cli.scaling_show import show, write_table

if TYPE_CHECKING:
    from results.scaling.allocation import Cost
    from results.scaling.contracts import Form, Law

ALLOCATE = console.examples(
    "ventral scaling allocate",
    "ventral scaling allocate --compute 1e18 --compute 1e20 --family ResNet",
    "ventral scaling allocate --scores my.csv --json -",
)
FRONTIER = console.examples(
    "ventral scaling frontier",
    "ventral scaling frontier --experiment region_it_group1 --cost n_params",
    "ventral scaling frontier --scores my.csv --cost n_params --csv frontier.csv",
)
PREDICT = console.examples(
    "ventral scaling predict --compute 1e20",
    "ventral scaling predict --params 25e6 --samples 1e8",
    "ventral scaling predict --compute 1e18 -e region_it_group1 -e region_v1_group1",
    "ventral scaling predict --scores my.csv --per arch_family --compute 1e19",
)
PLAN = console.examples(
    "ventral scaling plan --budget 1e19", "ventral scaling plan --budget 1e19 --family ViT --scores my.csv"
)
TWO_VARIABLE = "compute_chinchilla"


def allocate(
    compute: given.Budgets = None,
    experiment: given.Experiments = None,
    scores: given.Scores = None,
    study: given.Study = None,
    metric: given.Metric = None,
    family: given.Family = "all",
    by: given.By = None,
    draws: given.Draws = 1000,
    seed: given.Seed = 0,
    mirror: options.Mirror = None,
    offline: options.Offline = False,
    json: options.Json = None,
    csv: given.CsvRows = None,
    quiet: options.Quiet = False,
) -> None:
    """Say how many parameters and samples make the most of a compute budget, from a law of both."""
    from results.cli.scaling_analyses import budgets_of
    from results.report import scaling_answers as answers
    from results.scaling.allocation import allocate as divided

    running.check_outputs({"--json": json, "--csv": csv}, scores, study)
    _check_positive("--compute", compute or (), "allocate")
    source = _two_variable(experiment, scores, study, metric, mirror, offline, "allocate", quiet=quiet)
    cost = _cost(source, family)
    laws = laws_of(source, by, draws, seed, quiet=quiet)
    found = [divided(law, compute or budgets_of(law, cost), cost) for law in laws.values()]
    rows = [row for each in found for row in answers.allocation_rows(each)]
    content = {"allocations": [asdict(each) for each in found]}
    if write_table(content, rows, json=json, csv=csv, quiet=quiet, unit=source.unit, draws=draws, seed=seed):
        return
    for each in found:
        show(f"Best division of compute, {each.law}", answers.allocation(each))
        if not quiet:
            console.say(answers.allocation_words(each))


def frontier(
    experiment: given.Experiments = None,
    scores: given.Scores = None,
    study: given.Study = None,
    region: given.Region = None,
    metric: given.Metric = None,
    cost: Annotated[
        list[str] | None, typer.Option("--cost", metavar="COLUMN", help="Repeatable. Default: all that are known.")
    ] = None,
    unit: given.Unit = "legacy",
    ceiling: given.Ceilings = None,
    mirror: options.Mirror = None,
    offline: options.Offline = False,
    json: options.Json = None,
    csv: given.CsvRows = None,
    quiet: options.Quiet = False,
) -> None:
    """Show the models that no other beats in score and cost at once, and the smallest not told from the best."""
    from results.cli.scaling_analyses import frontiers, models_of
    from results.report import scaling_answers as answers

    running.check_outputs({"--json": json, "--csv": csv}, scores, study)
    names = experiment if scores or study or experiment else [TWO_VARIABLE]
    choice = Choice.of(
        names, scores, study, ceiling, region=region, metric=metric, unit=unit, mirror=mirror, offline=offline
    )
    source = source_of(choice, "frontier")
    costs = [column_of(name) for name in cost or ()]
    models = {name: models_of(source, name) for name in source.points}
    for name, rows_of_law in models.items():
        lacking = [column for column in costs if column not in rows_of_law.columns]
        if lacking:
            raise running.bad("--cost", f"a column of {name}'s models", ", ".join(lacking), "scaling frontier")
    found = {name: frontiers(rows_of_law, costs) for name, rows_of_law in models.items()}
    rows = [{"law": name, **row} for name, each in found.items() for one in each for row in answers.frontier_rows(one)]
    content = {name: [asdict(one) for one in each] for name, each in found.items()}
    if write_table({"frontiers": content}, rows, json=json, csv=csv, quiet=quiet, unit=source.unit):
        return
    for name, each in found.items():
        for one in each:
            show(f"Frontier of {name} against {one.cost_name}", answers.frontier(one))
            if not quiet:
                console.say(answers.frontier_words(one))


def predict(
    compute: Annotated[
        float | None, typer.Option("--compute", metavar="FLOPS", help="Training compute of the model, e.g. 1e19.")
    ] = None,
    params: Annotated[float | None, typer.Option("--params", metavar="N", help="Its parameters, e.g. 25e6.")] = None,
    samples: Annotated[
        float | None, typer.Option("--samples", metavar="N", help="Samples seen in training, epochs times images.")
    ] = None,
    experiment: given.Experiments = None,
    scores: given.Scores = None,
    study: given.Study = None,
    form: given.FormName = None,
    per: given.Per = None,
    region: given.Region = None,
    metric: given.Metric = None,
    by: given.By = None,
    draws: given.Draws = 1000,
    seed: given.Seed = 0,
    mirror: options.Mirror = None,
    offline: options.Offline = False,
    json: options.Json = None,
    csv: given.CsvRows = None,
    quiet: options.Quiet = False,
) -> None:
    """Say what score a model of given compute, or of given parameters and samples, should reach, with an interval.

    One resource takes a law of that resource; two of your own table take E + A N^-alpha + B D^-beta of these two.
    """
    from results.report import scaling_answers as answers
    from results.scaling.prediction import predict as predicted

    running.check_outputs({"--json": json, "--csv": csv}, scores, study)
    resources = _resources(compute, params, samples)
    names = experiment or ([] if scores or study else _defaults(tuple(resources)))
    x = "" if names or study else ",".join(resources)
    choice = Choice.of(
        names,
        scores,
        study,
        resource=x,
        form=form,
        per=per,
        region=region,
        metric=metric,
        mirror=mirror,
        offline=offline,
    )
    source = fittable(source_of(choice, "predict"), quiet=quiet)
    laws = laws_of(source, by, draws, seed, quiet=quiet)
    found = [predicted(law, resources) for law in laws.values()]
    rows = answers.prediction_rows(found)
    forms = [law.fit.form for law in laws.values()]
    content = {"predictions": [{**asdict(each), "form": name} for each, name in zip(found, forms, strict=True)]}
    if write_table(content, rows, json=json, csv=csv, quiet=quiet, unit=source.unit, draws=draws, seed=seed):
        return
    show("Predicted scores", answers.predictions(found))
    if not quiet:
        for fitted, variables, names in _alike(laws):
            console.say(f"{', '.join(names)}: L = {fitted.formula} ({fitted.name}) of {' and '.join(variables)}.")
        console.say(answers.PREDICTION_WORDS)


def _resources(compute: float | None, params: float | None, samples: float | None) -> dict[str, float]:
    """Return by column what is said of a model; one or two of the three."""
    asked = {"total_flops": compute, "n_params": params, "n_samples_seen": samples}
    resources = {name: value for name, value in asked.items() if value is not None}
    if not resources:
        raise InvalidOption(
            "scaling predict",
            expected="--compute, --params or --samples, or the latter two",
            got="none of them",
            next_step="see `ventral scaling predict --help`",
        )
    if len(resources) > 2:
        raise running.bad("scaling predict", "one or two of --compute, --params, --samples", "three", "scaling predict")
    _check_positive("predict", list(resources.values()), "predict")
    return resources


def plan(
    budget: Annotated[float, typer.Option("--budget", metavar="FLOPS", help="Training compute to spend, e.g. 1e19.")],
    experiment: given.Experiments = None,
    scores: given.Scores = None,
    study: given.Study = None,
    metric: given.Metric = None,
    family: given.Family = "all",
    by: given.By = None,
    draws: given.Draws = 1000,
    seed: given.Seed = 0,
    mirror: options.Mirror = None,
    offline: options.Offline = False,
    json: options.Json = None,
    csv: given.CsvRows = None,
    quiet: options.Quiet = False,
) -> None:
    """Say what to train for a compute budget, the score to expect of it, and what other sizes would give away."""
    from results.report import scaling_answers as answers
    from results.report.scaling_tables import plain
    from results.scaling.prediction import plan as planned

    running.check_outputs({"--json": json, "--csv": csv}, scores, study)
    _check_positive("--budget", [budget], "plan")
    source = _two_variable(experiment, scores, study, metric, mirror, offline, "plan", quiet=quiet)
    cost = _cost(source, family)
    found = [planned(law, budget, cost) for law in laws_of(source, by, draws, seed, quiet=quiet).values()]
    rows = [row for each in found for row in answers.plan_rows(each)]
    content = {"plans": [asdict(each) for each in found]}
    if write_table(content, rows, json=json, csv=csv, quiet=quiet, unit=source.unit, draws=draws, seed=seed):
        return
    for each in found:
        show(f"What {plain(budget)} FLOPs buy, {each.expected.law}, cost of {cost.name}", answers.plan(each))
        if not quiet:
            console.say(answers.PREDICTION_WORDS)


def _alike(laws: Mapping[str, Law]) -> list[tuple[Form, tuple[str, ...], list[str]]]:
    """Return forms with their resources and the names of the laws that have them."""
    from results.scaling.forms import get_form

    found: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for name, law in laws.items():
        found.setdefault((law.fit.form, law.points.variables), []).append(name)
    return [(get_form(form), variables, names) for (form, variables), names in found.items()]


def _two_variable(
    experiment: Any, scores: Any, study: Any, metric: Any, mirror: Any, offline: bool, command: str, *, quiet: bool
) -> Source:
    names = experiment if scores or study or experiment else [TWO_VARIABLE]
    form = "two_variable" if scores and not study else None
    choice = Choice.of(names, scores, study, form=form, metric=metric, mirror=mirror, offline=offline)
    return fittable(source_of(choice, command), quiet=quiet)


def _cost(source: Source, family: str) -> Cost:
    """Return the cost of a family, measured on the models of the first law."""
    from results.cli.scaling_analyses import TRAINING, costs_of, models_of

    models = models_of(source, next(iter(source.points)))
    lacking = [name for name in TRAINING if name not in models.columns]
    if lacking:
        raise InvalidOption(
            source.title,
            expected=f"the columns {', '.join(TRAINING)}, to measure what training costs",
            got=f"none named {', '.join(lacking)}",
            next_step="add them",
        )
    costs: Mapping[str, Cost] = costs_of(models)
    if family not in costs:
        raise UnknownName("family", family, costs, hint=f"known ones: {', '.join(costs)}")
    return costs[family]


def _defaults(resources: Sequence[str]) -> list[str]:
    known = {
        ("total_flops",): ["compute_neuro", "compute_behavior"],
        ("n_params",): ["parameter_scaling"],
        ("n_samples_seen",): ["sample_imagenet_scaling"],
        ("n_params", "n_samples_seen"): [TWO_VARIABLE],
    }
    if tuple(resources) not in known:
        raise InvalidOption(
            "scaling predict",
            expected="compute, or parameters and samples, as the laws of the study take them",
            got=" and ".join(resources),
            next_step="leave one out, or name an --experiment of these resources",
        )
    return known[tuple(resources)]


def _check_positive(option: str, values: Sequence[float], command: str) -> None:
    for value in values:
        if not 0 < value < float("inf"):
            raise running.bad(option, "a number > 0, such as 1e18", f"{value:g}", f"scaling {command}")
