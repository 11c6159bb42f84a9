"""`ventral scaling`: how alignment rises with compute, parameters and data, from published scores or one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from results import records
from results.cli import console, options, running
from results.cli import scaling_options as given
from results.cli.scaling_ask import ALLOCATE, FRONTIER, PLAN, PREDICT, allocate, frontier, plan, predict
from results.cli.scaling_facts import FACTS, facts
from results.cli.scaling_input import STUDY, Choice, experiments_of, fittable, laws_of, source_of, without
from results.cli.scaling_reproduce import REPRODUCE, reproduce
from results.cli.scaling_show import check_plot, show, write_fits, write_table

app = typer.Typer(
    no_args_is_help=True, help="Scaling laws: fit, compare, allocate, predict, plan; of published scores or your own."
)
_FIT = console.examples(
    "ventral scaling fit --experiment compute_neuro",
    "ventral scaling fit --experiment compute_neuro --json -",
    "ventral scaling fit -e 'region_*_group1' --by groups --csv regions.csv",
    "ventral scaling fit --scores my.csv --per arch_family --report laws.html",
    "ventral scaling fit --scores my.csv --x n_params,n_samples --form two_variable",
    "ventral scaling fit --scores my.csv --study my.yaml",
)
_COMPARE = console.examples(
    "ventral scaling compare --experiment compute_neuro",
    "ventral scaling compare --scores my.csv --per arch_family --held-out 0.25 --csv forms.csv",
)
_REPORT = console.examples(
    "ventral scaling report laws.html --scores my.csv --per arch_family",
    "ventral scaling report regions.html --experiment 'region_*_group1' --draws 200",
)


@app.command("fit", epilog=_FIT)
def fit(
    experiment: given.Experiments = None,
    scores: given.Scores = None,
    study: given.Study = None,
    x: given.Resource = "",
    form: given.FormName = None,
    per: given.Per = None,
    region: given.Region = None,
    metric: given.Metric = None,
    by: given.By = None,
    draws: given.Draws = 1000,
    seed: given.Seed = 0,
    unit: given.Unit = "legacy",
    ceiling: given.Ceilings = None,
    mirror: options.Mirror = None,
    offline: options.Offline = False,
    json: options.Json = None,
    csv: given.Csv = None,
    report: options.Report = None,
    plot: given.Plot = None,
    quiet: options.Quiet = False,
) -> None:
    """Fit laws to scores: parameters in the log form (e, a, alpha, ...) and in the plain one, with intervals."""
    running.check_outputs({"--json": json, "--csv": csv, "--report": report, "--plot": plot}, scores, study)
    check_plot(plot)
    choice = Choice.of(
        experiment,
        scores,
        study,
        ceiling,
        resource=x,
        form=form,
        per=per,
        region=region,
        metric=metric,
        unit=unit,
        mirror=mirror,
        offline=offline,
    )
    source = fittable(source_of(choice, "fit"), quiet=quiet)
    laws = laws_of(source, by, draws, seed, quiet=quiet)
    write_fits(source, laws, draws=draws, seed=seed, json=json, csv=csv, report=report, plot=plot, quiet=quiet)


@app.command("compare", epilog=_COMPARE)
def compare(
    experiment: given.Experiments = None,
    scores: given.Scores = None,
    study: given.Study = None,
    x: given.Resource = "",
    form: Annotated[
        list[str] | None, typer.Option("--form", metavar="NAME", help="Repeatable. Default: all of as many resources.")
    ] = None,
    per: given.Per = None,
    region: given.Region = None,
    metric: given.Metric = None,
    held_out: given.HeldOut = 0.25,
    unit: given.Unit = "legacy",
    ceiling: given.Ceilings = None,
    mirror: options.Mirror = None,
    offline: options.Offline = False,
    json: options.Json = None,
    csv: given.CsvRows = None,
    quiet: options.Quiet = False,
) -> None:
    """Compare forms of a law: by AICc, and by how well each predicts the largest models when fitted to the others."""
    from results.report import scaling_answers as answers
    from results.scaling.forms import get_form

    running.check_outputs({"--json": json, "--csv": csv}, scores, study)
    for name in form or ():
        get_form(name)
    if not 0 < held_out < 1:
        raise running.bad("--held-out", "a share between 0 and 1, such as 0.25", str(held_out), "scaling compare")
    choice = Choice.of(
        experiment,
        scores,
        study,
        ceiling,
        resource=x,
        per=per,
        region=region,
        metric=metric,
        unit=unit,
        mirror=mirror,
        offline=offline,
    )
    source = source_of(choice, "compare")
    from results.cli.scaling_analyses import comparisons, incomparable

    if not form:
        source = without(source, incomparable(source.points, held_out), quiet=quiet)
    with console.Bars(quiet=quiet) as bars:
        found = comparisons(source.points, form, held_out, bars)
    rows = answers.comparison_rows(found)
    content = {"comparisons": rows, "left_out": source.left_out}
    if write_table(content, rows, json=json, csv=csv, quiet=quiet, unit=source.unit):
        return
    show("Forms, the best by held-out error first", answers.comparison(found))
    if not quiet:
        console.say(answers.COMPARISON_WORDS.format(share=f"{100 * held_out:g} %"))
        for sentence in answers.comparison_words(found):
            console.say(sentence)


@app.command("report", epilog=_REPORT)
def report(
    file: Annotated[Path, typer.Argument(metavar="FILE.html", help="The page to write.")],
    experiment: given.Experiments = None,
    scores: given.Scores = None,
    study: given.Study = None,
    x: given.Resource = "",
    form: given.FormName = None,
    per: given.Per = None,
    region: given.Region = None,
    metric: given.Metric = None,
    by: given.By = None,
    draws: given.Draws = 1000,
    seed: given.Seed = 0,
    unit: given.Unit = "legacy",
    ceiling: given.Ceilings = None,
    mirror: options.Mirror = None,
    offline: options.Offline = False,
    quiet: options.Quiet = False,
) -> None:
    """Write a page about laws: data, fits, figures, graded effect, allocation, frontier, forms and warnings.

    The page that `ventral scaling fit --report` writes, without the table in the terminal.
    """
    running.check_outputs({"FILE.html": file}, scores, study)
    choice = Choice.of(
        experiment,
        scores,
        study,
        ceiling,
        resource=x,
        form=form,
        per=per,
        region=region,
        metric=metric,
        unit=unit,
        mirror=mirror,
        offline=offline,
    )
    source = fittable(source_of(choice, "report"), quiet=quiet)
    laws = laws_of(source, by, draws, seed, quiet=quiet)
    from results.cli.scaling_pages import page_of

    with console.Bars(quiet=quiet) as bars:
        page = page_of(source, laws, draws=draws, seed=seed, progress=bars)
    records.write_atomically(file, page)
    if not quiet:
        console.note(f"Wrote {file}.")


@app.command("list", epilog=console.examples("ventral scaling list", "ventral scaling list --json -"))
def list_experiments(study: given.Study = None, json: options.Json = None) -> None:
    """List experiments, of the published study or of your own files: what is fitted to what."""
    rows: list[dict[str, Any]] = [
        {
            "name": each.name,
            "study": each.study,
            "title": each.title,
            "form": each.form,
            "resources": list(each.x),
            "published": each.published is not None,
        }
        for each in experiments_of((), study or ())
    ]
    if write_table({"experiments": rows}, rows, json=json, csv=None, quiet=False):
        return
    files = ", ".join(path.name for path in study or ()) or STUDY
    table = console.table(f"Experiments of {files}", "name", "what", "form", "against", "published fit")
    for row in rows:
        against = " and ".join(row["resources"])
        table.add_row(row["name"], row["title"], row["form"], against, "yes" if row["published"] else "")
    console.show(table)
    named = "".join(f" --study {path}" for path in study or ())
    console.note(f"{len(rows)} experiments. Fit one with `ventral scaling fit{named} --experiment NAME`.")


app.command("allocate", epilog=ALLOCATE)(allocate)
app.command("frontier", epilog=FRONTIER)(frontier)
app.command("predict", epilog=PREDICT)(predict)
app.command("plan", epilog=PLAN)(plan)
app.command("facts", epilog=FACTS)(facts)
app.command("reproduce", epilog=REPRODUCE)(reproduce)
