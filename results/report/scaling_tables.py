"""What is known of scaling laws as tables for people: the same on the command line and on the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from alignment.contracts import Interval
from results.report.scaling import Table
from results.scaling.graded import Gain, Trend
from results.scaling.saturation import Saturation

_NOTHING = 1e-8  # the least that an amount can be is exp(-20), which no point tells from 0
_TOLERANCE = 0.005  # parameters closer than this to the published ones are called equal


def plain(value: float | None) -> str:
    """Return a number as tables show it: four digits, powers of ten beyond what is easily read, 0 below 1e-8."""
    if value is None or math.isnan(value):
        return "-"
    if abs(value) < _NOTHING:
        return "0"
    return f"{value:.4g}" if value == 0 or 1e-4 <= abs(value) < 1e5 else f"{value:.3g}"


def between(value: float | None, interval: Interval | tuple[float | None, float | None] | None) -> str:
    """Return a value with its interval, where it has one."""
    if interval is None or interval[0] is None:
        return plain(value)
    return f"{plain(value)} ({plain(interval[0])} to {plain(interval[1])})"


def fits(contents: Sequence[Mapping[str, Any]]) -> Table:
    """Return one row per law: plain parameters with intervals, and how the fit went; see `records.described`."""
    names = list(dict.fromkeys(name for content in contents for name in content["plain"]))
    rows = []
    for content in contents:
        cells = [_triple(content["plain"].get(name)) for name in names]
        went = "yes" if content["converged"] else "no"
        rows.append(
            (
                content["name"],
                content["formula"],
                str(content["n_points"]),
                *cells,
                _triple(content.get("saturation")),
                f"{content['loss']:.5g}",
                went,
            )
        )
    right = ("points", "loss")
    return Table(("law", "form", "points", *names, "final score 1 - E", "loss", "converged"), tuple(rows), right)


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


def gains(found: Sequence[Gain], ends: Sequence[Saturation]) -> Table:
    """Return one row per law: what compute gains, where the score ends, and what it takes to come near."""
    columns = (
        "law", "gain over the span", "per decade", "gain coefficient A 10^alpha", "final score", "95 % of it at",
        "in words",
    )  # fmt: skip
    rows = tuple(
        (
            each.name,
            between(each.total, each.total_interval),
            between(each.per_decade, each.per_decade_interval),
            between(each.to_limit, each.to_limit_interval),
            between(end.level, end.level_interval),
            between(end.resource, end.resource_interval),
            end.words,
        )
        for each, end in zip(found, ends, strict=True)
    )
    return Table(columns, rows)


def trend(found: Trend) -> Table:
    """Return the gains of regions from models paired with themselves, and the steps between regions."""
    steps = [None, *zip(found.steps, found.step_intervals, strict=True)]
    rows = tuple(
        (region.replace("Behavioral", "behaviour"), between(value, interval), "-" if step is None else between(*step))
        for region, value, interval, step in zip(found.regions, found.gains, found.gain_intervals, steps, strict=True)
    )
    return Table(("region", "score per decade of compute", "step from the region before"), rows)


def trend_words(found: Trend, level: float = 0.95) -> str:
    """Return what the trend test says, in a sentence."""
    slope = between(found.slope, found.slope_interval)
    regions = " < ".join(found.regions).replace("Behavioral", "behaviour")
    return (
        f"Gains change by {slope} per step along {regions} ({100 * level:g} % interval over "
        f"{found.n_groups} groups of {found.n_models} models), p = {found.p:.4g} (two-sided); they rise at every step "
        f"in {found.ordered:.0%} of the draws. Null: {found.null}."
    )


def _triple(triple: Mapping[str, float | None] | None) -> str:
    return "-" if triple is None else between(triple["value"], (triple["low"], triple["high"]))
