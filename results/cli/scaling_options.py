"""Options that several `ventral scaling` commands share, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Experiments = Annotated[
    list[str] | None,
    typer.Option(
        "--experiment",
        "-e",
        metavar="NAME",
        help="Of the published study or of --study, * for many; see `ventral scaling list`.",
    ),
]
Study = Annotated[
    list[Path] | None,
    typer.Option(
        "--study", metavar="FILE.yaml", help="Experiments of your own, of --scores or of published ones. Repeatable."
    ),
]
Scores = Annotated[
    list[Path] | None,
    typer.Option("--scores", metavar="FILE", help="Your own: .csv, or [LABEL=].json of `ventral score`. Repeatable."),
]
Resource = Annotated[
    str, typer.Option("--x", metavar="NAME[,NAME]", help="compute, n_params or n_samples; n_params,n_samples for two.")
]
FormName = Annotated[
    str | None,
    typer.Option(
        "--form", metavar="NAME", help="power, shifted, two_variable, saturating or m4. Default: the study's."
    ),
]
Per = Annotated[
    str | None, typer.Option("--per", metavar="COLUMN", help="Of your table, e.g. arch_family: one law per value.")
]
Region = Annotated[
    str | None, typer.Option("--region", metavar="NAME,...", help="Of your table; a model's score is the mean of them.")
]
Metric = Annotated[
    str | None, typer.Option("--metric", metavar="NAME", help="Of your score files, where they hold several.")
]
By = Annotated[
    str | None,
    typer.Option("--by", metavar="rows|groups", help="What is drawn. Default: the study's rows, your table's groups."),
]
Draws = Annotated[int, typer.Option("--draws", min=0, help="Of the bootstrap; 0 for none.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of the draws.")]
Unit = Annotated[
    str,
    typer.Option(
        "--unit",
        metavar="legacy|ratio|explained",
        help="Published scores as (r/ceiling)^2, r/ceiling or r^2/ceiling.",
    ),
]
Ceilings = Annotated[
    list[str] | None,
    typer.Option("--ceiling", metavar="REGION=VALUE", help="For --unit explained, e.g. V4=0.9. Repeatable."),
]
HeldOut = Annotated[
    float, typer.Option("--held-out", metavar="SHARE", help="Largest models that forms are to predict, e.g. 0.25.")
]
Budgets = Annotated[
    list[float] | None,
    typer.Option(
        "--compute", metavar="FLOPS", help="Training compute, e.g. 1e18. Repeatable. Default: one per decade."
    ),
]
Family = Annotated[
    str, typer.Option("--family", metavar="NAME", help="Whose cost of training counts; all as in the study.")
]
Csv = Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="One row per parameter.")]
CsvRows = Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="The table's rows.")]
Plot = Annotated[
    Path | None, typer.Option("--plot", metavar="FILE", help=".png, .pdf or .svg, where matplotlib is installed.")
]
