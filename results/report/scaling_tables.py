"""What is known of scaling laws as tables for people: the same on the command line and on the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from alignment.contracts import Interval
from results.report.scaling import Table
from results.scaling.graded import Gain, Trend
from results.scaling.saturation import Saturation

_ENDLESS = 1e30  # what is larger is no finding: a parameter that the points do not hold
_NOTHING = 1e-8  # the least that an amount can be is exp(-20), which no point tells from 0
OURS = "95 % intervals: widened for few units and moved for bias"
COEFFICIENT = (
    "The gain coefficient A 10^alpha, which the study plots, is what a law gains from X = 0.1 X0 to endless X: for the "
    "most part a promise beyond the models, high for steep laws and for slow ones alike. Compare laws by the gain over "
    "their span."
)
TWO_GAINS = (
    "Two gains per decade are given. That of a law follows its curve over the span, for the models that the law was "
    "fitted to. That of the same models is the slope of a straight line through those with a score in every region, "
    "over all their compute: it serves the test, as each model is compared with itself."
)
AS_PUBLISHED = "plain 2.5 and 97.5 percentiles of the draws, as published"
_TOLERANCE = 0.005  # parameters closer than this to the published ones are called equal


def plain(value: float | None) -> str:
    """Return a number as tables show it: four digits, powers of ten where these are easier; 0 below 1e-8, >1e30."""
    if value is None or math.isnan(value):
        return "-"
    if abs(value) > _ENDLESS:
        return ">1e30" if value > 0 else "<-1e30"
    if abs(value) < _NOTHING:
        return "0"
    return f"{value:.4g}" if value == 0 or 1e-4 <= abs(value) < 1e5 else f"{value:.3g}"


def between(value: float | None, interval: Interval | tuple[float | None, float | None] | None) -> str:
    """Return a value with its interval, where it has one."""
    if interval is None or interval[0] is None:
        return plain(value)
    return f"{plain(value)} ({plain(interval[0])} to {plain(interval[1])})"


def fits(contents: Sequence[Mapping[str, Any]]) -> Table:
    """Return one row per law: its form and resource, where it ends, and how the fit went; see `records.described`."""
    rows = tuple(
        (
            content["name"],
            content["formula"],
            resource(content),
            str(content["n_points"]),
            _triple(content.get("saturation")),
            f"{content['loss']:.5g}",
            "yes" if content["converged"] else "NO",
        )
        for content in contents
    )
    columns = ("law", "form", "X", "points", "final score 1 - E", "loss", "converged")
    return Table(columns, rows, ("points", "loss"))


def resource(content: Mapping[str, Any]) -> str:
    """Return what X of a law is: the resource over X0, e.g. "total_flops / 1e+13"; of two, N and D in this order."""
    return ", ".join(f"{each['name']} / {plain(each['scale'])}" for each in content["resources"])


def plain_parameters(contents: Sequence[Mapping[str, Any]]) -> Table:
    """Return one row per law: plain parameters with intervals."""
    names = list(dict.fromkeys(name for content in contents for name in content["plain"]))
    rows = tuple((content["name"], *(_triple(content["plain"].get(name)) for name in names)) for content in contents)
    return Table(("law", *names), rows)


def warnings(contents: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return every warning once with the laws it is said of: fits and draws that failed first, the commonest last."""
    laws: dict[str, list[str]] = {}
    for content in contents:
        for text in content["warnings"]:
            laws.setdefault(text, []).append(content["name"])

    def rank(item: tuple[str, list[str]]) -> tuple[bool, bool, int]:
        return "the fit did not converge" not in item[0], "bootstrap draws" not in item[0], len(item[1])

    return tuple((text, tuple(names)) for text, names in sorted(laws.items(), key=rank))


def named(laws: Sequence[str], contents: Sequence[Mapping[str, Any]]) -> str:
    """Return which laws of all these are: their names, or those that are missing where most are."""
    others = [content["name"] for content in contents if content["name"] not in laws]
    if len(laws) < 3 or len(laws) <= 2 * len(others):
        return ", ".join(laws)
    return f"all but {', '.join(others)}" if others else "all"


def log_parameters(contents: Sequence[Mapping[str, Any]]) -> Table:
    """Return one row per law: log parameters with intervals."""
    names = list(dict.fromkeys(name for content in contents for name in content["log"]))
    rows = tuple((content["name"], *(_triple(content["log"].get(name)) for name in names)) for content in contents)
    return Table(("law", *names), rows)


def beside_published(contents: Sequence[Mapping[str, Any]]) -> Table:
    """Return one row per log parameter of published laws beside what was published: with plain percentiles."""
    rows = tuple(
        (
            content["name"],
            name,
            between(triple["value"], content.get("percentiles", {}).get(name)),
            *_beside(triple["value"], content["published"]["log"][name]),
        )
        for content in contents
        if "published" in content
        for name, triple in content["log"].items()
    )
    return Table(("law", "parameter", "fitted", "published", "difference", "verdict"), rows, ("difference",))


def _beside(value: float, known: Mapping[str, float]) -> tuple[str, str, str]:
    difference = value - known["value"]
    relative = abs(difference / known["value"]) if known["value"] else math.inf
    inside = known["low"] <= value <= known["high"]
    verdict = "equal within 0.5 %" if relative <= _TOLERANCE else "inside its interval" if inside else "outside"
    return _triple(known), f"{100 * difference / abs(known['value']):+.3f} %", verdict


def losses(contents: Sequence[Mapping[str, Any]]) -> Table:
    """Return the loss of every law beside the published one; () rows where none was published."""
    rows = []
    for content in contents:
        if "published" in content:
            ours, theirs = content["loss"], content["published"]["loss"]
            rows.append((content["name"], f"{ours:.9g}", f"{theirs:.9g}", f"{ours / theirs - 1:+.1e}"))
    columns = ("law", "loss", "published loss", "relative difference")
    return Table(columns, tuple(rows), columns[1:])


def gains(found: Sequence[Gain]) -> Table:
    """Return one row per law: what a resource gains."""
    columns = ("law", "gain over the span", "per decade of it", "gain coefficient A 10^alpha")
    rows = tuple(
        (
            each.name,
            between(each.total, each.total_interval),
            between(each.per_decade, each.per_decade_interval),
            between(each.to_limit, each.to_limit_interval),
        )
        for each in found
    )
    return Table(columns, rows)


def ends(found: Sequence[Saturation]) -> Table:
    """Return one row per law: where the score ends, and what it takes to come near."""
    rows = tuple(
        (
            each.name,
            between(each.level, each.level_interval),
            between(each.resource, each.resource_interval),
            each.words,
        )
        for each in found
    )
    return Table(("law", "final score", "95 % of it at", "within the law's form"), rows)


def trend(found: Trend) -> Table:
    """Return the gains of regions from models paired with themselves, and the steps between regions."""
    steps = [None, *zip(found.steps, found.step_intervals, strict=True)]
    rows = tuple(
        (region.replace("Behavioral", "behaviour"), between(value, interval), "-" if step is None else between(*step))
        for region, value, interval, step in zip(found.regions, found.gains, found.gain_intervals, steps, strict=True)
    )
    return Table(("region", "straight slope per decade of compute", "step from the region before"), rows)


def trend_words(found: Trend, level: float = 0.95) -> str:
    """Return what the trend test says, in a sentence."""
    slope = between(found.slope, found.slope_interval)
    regions = " < ".join(found.regions).replace("Behavioral", "behaviour")
    return (
        f"Gains change by {slope} per step along {regions} ({100 * level:g} % interval over "
        f"{found.n_groups} groups of {found.n_models} models). They rise at every step in {found.ordered:.0%} of the "
        f"draws. p = {found.p:.2g} (two-sided), for gains that do not change along them. Null: {found.null}."
    )


def _triple(triple: Mapping[str, float | None] | None) -> str:
    return "-" if triple is None else between(triple["value"], (triple["low"], triple["high"]))
