"""The sections of a page about scaling laws, each a pure function of what it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from results.report import scaling_answers as answers
from results.report import scaling_figures as draw
from results.report import scaling_tables as tables
from results.report.scaling import Figure, Section, Table
from results.report.scaling_curves import PALETTE, Panel, Series, colour_of, score_axis
from results.scaling.allocation import Allocation
from results.scaling.contracts import Law
from results.scaling.frontier import Frontier
from results.scaling.graded import Gain, Trend
from results.scaling.saturation import Saturation
from results.scaling.selection import Comparison
from results.scaling.verdict import verdict

BAND = (
    "Points are models. Lines are fitted laws, dotted beyond the largest resource that a model of the fit used; bands "
    "are pointwise 95 % intervals over bootstrap draws, cut at the edge of the panel where they are much wider than "
    "what it shows. Click a name in the legend to hide or show it."
)


FINDINGS = (
    "Whether a law ends is judged by extrapolation: laws with and without an end are fitted to the smaller models and "
    "asked for the largest quarter; 0.1 in ln L is about 10 % of the misalignment L = 1 - score. AICc, which takes "
    "models as independent, comes second."
)


def findings(ends: Sequence[Saturation], laws: Mapping[str, Law], compared: Mapping[str, Sequence[Comparison]],
             labels: Mapping[str, str] | None = None, more: Sequence[str] = ()) -> Section:  # fmt: skip
    """Return whether each law of one resource ends, in a sentence or two; `labels` name laws for people."""
    text = tuple(
        f"{(labels or {}).get(end.name, end.name)}: "
        f"{verdict(end, compared.get(end.name, ()), laws[end.name].fit.form)}."
        for end in ends
    )
    return Section("findings", "Findings", (FINDINGS, *text, *more) if text else tuple(more))


def data(unit: str, facts: Sequence[str], laws: Sequence[Law]) -> Section:
    """Return what was fitted: where it comes from, the unit of the scores, and how many models each law has."""
    rows = []
    for law in laws:
        low, high = (law.points.x[:, 0].min(), law.points.x[:, 0].max())
        scale, scores = law.points.scales[0], 1 - law.points.misalignment
        rows.append(
            (
                law.name,
                str(len(law.points.names)),
                str(len(set(law.points.groups))) if law.points.groups else "-",
                ", ".join(law.points.variables),
                f"{tables.plain(low * scale)} to {tables.plain(high * scale)}",
                f"{scores.min():.3f} to {scores.max():.3f}",
            )
        )
    columns = ("law", "points", "groups", "resource", "range of the first", "scores")
    return Section("data", "Data", (*facts, f"Unit of the scores: {unit}."), (("", Table(columns, tuple(rows))),))


def fits(contents: Sequence[Mapping[str, Any]]) -> Section:
    """Return the parameters with intervals, beside the published ones where these are known."""
    named = [
        (f"Beside the published fits: log parameters, {tables.AS_PUBLISHED}", tables.beside_published(contents)),
        ("Beside the published fits: loss", tables.losses(contents)),
        ("Laws, and how their fits went", tables.fits(contents)),
        (f"Plain parameters, {tables.OURS}", tables.plain_parameters(contents)),
        (f"Log parameters, {tables.OURS}", tables.log_parameters(contents)),
    ]
    listed = [(heading, table) for heading, table in named if table.rows]
    text = (
        f"L = 1 - score is the misalignment, X the resource over X0: {_resources(contents)}.",
        "A law is fitted by the sum over points of the Huber loss (delta 0.001) of ln L - ln L(predicted); e, a, b and "
        "lambda10 are the logarithms in which it is optimised.",
    )
    return Section("fits", "Fits", text, tuple(listed))


def _resources(contents: Sequence[Mapping[str, Any]]) -> str:
    return "; ".join(dict.fromkeys(tables.resource(content) for content in contents))


def figures(
    pictures: Sequence[tuple[str, str, str, Sequence[Panel]]], more: Sequence[Figure] = (), unit: str = ""
) -> Section:
    """Return the figures of laws, (name, heading, caption, panels) each, and further figures after them.

    `unit` is that of the scores, in words.
    """
    axis = score_axis(unit)
    drawn = [Figure(name, draw.laws(panels, axis), heading, caption) for name, heading, caption, panels in pictures]
    text = (BAND, f"Unit of the scores: {unit}.") if unit else (BAND,)
    return Section("figures", "Figures", text, (), (*drawn, *more))


def graded(found: Sequence[Gain], ends: Sequence[Saturation], trend: Trend | None, labels: Sequence[str]) -> Section:
    """Return what each region gains, whether gains rise along the hierarchy, and where scores end.

    `labels` name the laws in the figure, in order.
    """
    if not found:
        return Section("graded", "Graded effect")
    figure_of = [
        (
            "gain-total",
            "rise of the score over the span",
            "What each law says that the score gains over the span above.",
            [(each.total, each.total_interval) for each in found],
        ),
        (
            "gain-coefficient",
            "gain coefficient A 10^alpha",
            tables.COEFFICIENT,
            [(each.to_limit, each.to_limit_interval) for each in found],
        ),
    ]
    few = len(labels) <= len(PALETTE)
    drawn = tuple(
        Figure(
            name,
            draw.dots(
                [
                    draw.Dot(label, value, *(interval or (value, value)), colour=colour_of(label, number if few else 0))
                    for number, (label, (value, interval)) in enumerate(zip(labels, values, strict=True))
                ],
                title,
            ),
            title[0].upper() + title[1:],
            caption,
        )
        for name, title, caption, values in figure_of
    )
    listed = [
        ("Gain per law, over the span that all laws cover", tables.gains(found)),
        ("Where each law ends", tables.ends(ends)),
    ]
    span = " to ".join(map(tables.plain, found[0].span))
    text: tuple[str, ...] = (f"The span that all laws cover: {span}.",)
    if trend is not None:
        listed.append(("Gain of the same models in every region, each paired with itself", tables.trend(trend)))
        text = (*text, tables.TWO_GAINS, tables.trend_words(trend))
    return Section("graded", "Graded effect per law" if trend is None else "Graded effect", text, tuple(listed), drawn)


def allocation(found: Sequence[Allocation]) -> Section:
    """Return how to divide compute between parameters and samples; empty without a two-variable law."""
    if not found:
        return Section("allocation", "Allocation")
    several = len({each.law for each in found}) > 1
    panels = [
        (title, [_line(each, _label(each, several), attribute) for each in found])
        for title, attribute in (("best parameters N", "n_params"), ("best samples seen D", "n_samples"))
    ]
    text = tuple({each.law: answers.allocation_words(each) for each in reversed(found)}.values())
    by_law = {each.law: each for each in reversed(found)}
    listed = [("By the cost of training", answers.costs(found))]
    listed += [(f"{name}, cost of {each.cost.name}", answers.allocation(each)) for name, each in by_law.items()]
    figure = Figure(
        "allocation",
        draw.lines(panels, "training compute (FLOPs)"),
        "Best division of compute, by whose cost of training it is",
    )
    return Section("allocation", "Allocation of compute", text, tuple(listed), (figure,))


def _label(found: Allocation, several: bool) -> str:
    """Return whose cost of training a line supposes, with the law where there are several."""
    name = "all models" if found.cost.name == "all" else found.cost.name
    return f"{found.law}, {name}" if several else name


def _line(found: Allocation, label: str, attribute: str) -> draw.Line:
    values = [getattr(each, attribute) for each in found.optima]
    bounds = [getattr(each, f"{attribute}_interval") or (value, value)
              for each, value in zip(found.optima, values, strict=True)]  # fmt: skip
    lows, highs = zip(*bounds, strict=True)
    return draw.Line(label, [each.budget for each in found.optima], values, lows, highs)


def warnings(contents: Sequence[Mapping[str, Any]], more: Sequence[str] = ()) -> Section:
    """Return what a reader must know before trusting the laws: flat directions, failures, intervals too narrow."""
    rows = [(text, str(len(laws)), tables.named(laws, contents)) for text, laws in tables.warnings(contents)]
    text = tuple(more) if rows or more else ("None.",)
    listed = (("", Table(("warning", "laws", "which"), tuple(rows), ("laws",))),) if rows else ()
    return Section("warnings", "Warnings", text, listed)


def panels_of(
    panels: Sequence[tuple[str, Sequence[tuple[str, str, str]]]],
    laws: Mapping[str, Law],
    published: Mapping[str, Mapping[str, float]],
) -> list[Panel]:
    """Return panels of (law, label, colour) with the laws themselves, and the published curves where known."""
    return [
        Panel(title, tuple(Series(laws[name], label, colour, published.get(name)) for name, label, colour in series))
        for title, series in panels
    ]


def frontier(found: Sequence[Frontier], titles: Mapping[str, str], unit: str = "") -> Section:
    """Return the frontier of scores against every cost, and the smallest models not told from the best."""
    if not found:
        return Section("frontier", "Frontier")
    panels = []
    for each in found:
        rows = sorted(answers.frontier_rows(each), key=lambda row: row["cost"])
        clouds = [
            _cloud("models", rows, ""),
            _cloud("frontier", [row for row in rows if row["on_frontier"]], "hv"),
            _cloud("may be the best", [row for row in rows if row["contender"]], "", ring=True),
        ]
        panels.append(draw.Cloud("", titles.get(each.cost_name, each.cost_name), clouds))
    listed = tuple((f"Frontier against {titles.get(e.cost_name, e.cost_name)}", answers.frontier(e)) for e in found)
    figure = Figure("frontier", draw.clouds(panels, score_axis(unit)), "Scores against costs")
    words = tuple(map(answers.frontier_words, found))
    return Section("frontier", "Frontier: how small can a model be", words, listed, (figure,))


def _cloud(label: str, rows: Sequence[Mapping[str, Any]], line: str, *, ring: bool = False) -> draw.Dots:
    costs, scores, names = ([row[name] for row in rows] for name in ("cost", "score", "model"))
    return draw.Dots(label, costs, scores, names, line, ring)


def forms(found: Mapping[str, Sequence[Comparison]], held_out: float) -> Section:
    """Return which form each law's points speak for, by extrapolation and by AICc."""
    if not found:
        return Section("forms", "Forms")
    text = (answers.COMPARISON_WORDS.format(share=f"{100 * held_out:g} %"),)
    misses = {name: {e.fit.form: e.held_out_error for e in each} for name, each in found.items() if len(each) > 1}
    drawn = Figure(
        "held-out", draw.errors(misses, "held-out error, ln L"), "How far each form misses the largest models",
        "Fitted to the smaller models; lower is better. Where the diamond lies well above the others, extrapolation "
        "asks for an end.",
    )  # fmt: skip
    return Section("forms", "Comparison of forms", text, (("", answers.comparison(found)),), (drawn,) if misses else ())
