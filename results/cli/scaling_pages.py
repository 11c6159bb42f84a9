"""The pages that `ventral scaling` writes: all that laws say, in one place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from model_zoo.errors import InvalidOption
from results.cli.scaling_analyses import (
    COSTS,
    Comparisons,
    allocations,
    budgets_of,
    comparisons,
    costs_of,
    frontiers,
    graded,
    incomparable,
    models_of,
    trained,
    trend_of,
)
from results.cli.scaling_input import Source
from results.cli.scaling_show import described, provenance, published_of
from results.report import scaling_sections as sections
from results.report.scaling import Section, render
from results.report.scaling_curves import Panel, Series
from results.scaling.allocation import Allocation
from results.scaling.contracts import Law

HELD_OUT = 0.25
_TOGETHER = 7  # laws that share a panel; more are drawn one per panel


def page_of(source: Source, laws: Mapping[str, Law], *, draws: int, seed: int, progress: Any) -> str:
    """Return the page about laws of experiments, or of the user's own table."""
    first = next(iter(laws))
    contents = described(source, laws)
    tested = trend_of(source.experiments[first], source.table, draws=draws, seed=seed)
    found = graded(list(laws.values()), tested)
    compared = comparisons(source.points, None, HELD_OUT, progress)
    shown = [
        sections.findings(found.ends, laws, compared),
        sections.data(source.unit, source.facts, list(laws.values())),
        sections.fits(contents),
        _if_possible(
            "figures",
            lambda: sections.figures([("laws", "Laws", "", panels_by_law(source, laws))], unit=source.unit),
        ),
        sections.graded(found.gains, found.ends, found.trend, [each.name for each in found.gains]),
        _if_possible("allocation", lambda: sections.allocation(allocations_of(source, laws))),
        _if_possible("frontier", lambda: sections.frontier(frontiers(models_of(source, first)), COSTS, source.unit)),
        _forms(source, compared),
        sections.warnings(contents, [f"Left out: {name} {lack}." for name, lack in source.left_out.items()]),
    ]
    facts = f"{sum(len(points.names) for points in source.points.values())} points in {len(laws)} laws"
    return render(f"Scaling laws of {source.title}", facts, shown, provenance(source, draws=draws, seed=seed))


def _if_possible(name: str, made: Callable[[], Section]) -> Section:
    """Return a section; where the table that was fitted does not allow it, one that says why."""
    try:
        return made()
    except InvalidOption as error:
        words = f"Left out: expected {error.expected}, got {error.got}."
        return Section(name, name.capitalize(), (words,))


def _forms(source: Source, compared: Comparisons) -> Section:
    """Return the comparison of forms, and which laws have too few points for one."""
    made = sections.forms(compared, HELD_OUT)
    lacking = [f"Left out: {name} {lack}." for name, lack in incomparable(source.points, HELD_OUT).items()]
    return replace(made, heading="Comparison of forms", text=(*made.text, *lacking)) if lacking else made


def panels_by_law(source: Source, laws: Mapping[str, Law]) -> list[Panel]:
    """Return the laws of one resource on shared axes, or one panel each where they are many; then those of two.

    Raises
    ------
    InvalidOption
        There is none of either kind that can be drawn.
    """
    drawn = [
        (name, Series(law, name, published=_published(source, name, law)))
        for name, law in laws.items()
        if law.points.x.shape[1] == 1
    ]
    resources = dict.fromkeys(series.law.points.variables for _, series in drawn)
    panels = []
    for resource in resources:
        same = [(name, series) for name, series in drawn if series.law.points.variables == resource]
        if len(same) <= _TOGETHER:
            panels.append(Panel("", tuple(series for _, series in same)))
        else:
            panels += [Panel(name, (series,)) for name, series in same]
    two = [Panel(name, (each,)) for name, law in laws.items() if (each := along_compute(source, name, law)) is not None]
    if not panels and not two:
        raise InvalidOption(
            f"figure of {source.title}",
            expected="laws of one resource, or of parameters and samples of models whose compute is known and differs",
            got=" and ".join(next(iter(laws.values())).points.variables),
            next_step="leave --plot out",
        )
    return panels + two


def _published(source: Source, name: str, law: Law) -> Mapping[str, float] | None:
    known = published_of(source, name, law)
    return None if known is None else known.log


def along_compute(source: Source, name: str, law: Law, label: str = "") -> Series | None:
    """Return a two-variable law along compute, at the best division of it; None where compute is not known."""
    rows = trained(source, name, law)
    if rows is None:
        return None
    compute = {str(model): float(spent) for model, spent in zip(rows["model_id"], rows["total_flops"], strict=True)}
    spent = np.array([compute.get(model, np.nan) for model in law.points.names])
    if np.isnan(spent).any():
        return None
    try:
        cost = costs_of(rows)["all"]
    except InvalidOption:  # training takes the same compute for all, or less for larger models; the page says so
        return None
    return Series(law, label or name, "", _published(source, name, law), spent, cost)


def allocations_of(source: Source, laws: Mapping[str, Law]) -> tuple[Allocation, ...]:
    """Return how every two-variable law divides compute, one budget per decade, by the cost of all its models."""
    found: list[Allocation] = []
    for name, law in laws.items():
        rows = trained(source, name, law)
        if rows is not None:
            costs = costs_of(rows)
            found += allocations({name: law}, costs, budgets_of(law, costs["all"]))
    return tuple(found)
