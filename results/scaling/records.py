"""Scaling laws as files: what is said of a law in JSON, in CSV, in tables and in warnings."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from results.records import strict
from results.scaling.bootstrap import intervals, percentiles
from results.scaling.contracts import Law
from results.scaling.forms import get_form
from results.scaling.published import Reference

LEVEL = 0.95
# Points per parameter from which intervals of laws drawn by rows held planted laws as often as they say.
FEWEST_PER_PARAMETER = 2


def described(law: Law, *, level: float = LEVEL, published: Reference | None = None) -> dict[str, Any]:
    """Return what is known of a law: parameters in the log and the plain form with intervals, and how the fit went.

    Parameters
    ----------
    law : Law
    level : coverage of the intervals.
    published : the fit that was published for the same points; None where there is none.

    Returns
    -------
    dict
        "log" and "plain" hold {"value", "low", "high"} by name; the bounds are None without a bootstrap. "saturation"
        is 1 - E, the score that no resource takes a model beyond. "percentiles" are the plain 2.5 and 97.5
        percentiles of the draws by log parameter, which the study gives; the other intervals are widened for few units
        and moved for bias.
    """
    fit, form = law.fit, get_form(law.fit.form)
    bounds = {} if law.bootstrap is None else intervals(law.bootstrap, form, level=level)

    def parameter(name: str, value: float) -> dict[str, float | None]:
        low, high = bounds.get(name, (None, None))
        return {"value": value, "low": low, "high": high}

    content: dict[str, Any] = {
        "name": law.name,
        "form": fit.form,
        "formula": form.formula,
        "n_points": fit.n_points,
        "n_groups": len(set(law.points.groups)) or None,
        "resources": [{"name": n, "scale": s} for n, s in zip(fit.variables, fit.scales, strict=True)],
        "log": {name: parameter(name, fit.log[name]) for name in form.parameters},
        "plain": {name: parameter(name, fit.plain[name]) for name in form.plain},
        "loss": fit.loss,
        "converged": fit.converged,
        "n_starts": fit.n_starts,
        "n_best": fit.n_best,
        "flat": list(fit.flat),
        "warnings": warnings(law),
    }
    if "E" in content["plain"]:
        value, low, high = (content["plain"]["E"][key] for key in ("value", "low", "high"))
        content["saturation"] = {
            "value": 1.0 - value,
            "low": None if high is None else 1.0 - high,
            "high": None if low is None else 1.0 - low,
        }
    if law.bootstrap is not None:
        made = law.bootstrap
        content["bootstrap"] = {
            "by": made.by, "n_draws": len(made.log), "n_failed": made.n_failed, "seed": made.seed, "level": level,
        }  # fmt: skip
        ends = (percentiles(made, percent).tolist() for percent in (2.5, 97.5))
        content["percentiles"] = {name: pair for name, *pair in zip(form.parameters, *ends, strict=True)}
    if published is not None:
        content["published"] = {
            "log": {
                name: {"value": published.log[name], "low": published.low[name], "high": published.high[name]}
                for name in form.parameters
            },
            "loss": published.loss,
        }
    return content


def warnings(law: Law) -> list[str]:
    """Return what a reader must know before trusting a law, in words; [] where there is nothing."""
    fit, said = law.fit, []
    if not fit.converged:
        said.append("the fit did not converge: its parameters are the best found, not an optimum")
    said += fit.flat
    if fit.n_best < 2 <= fit.n_starts:
        said.append(f"only {fit.n_best} of {fit.n_starts} starts ended at this optimum: there may be a better one")
    if law.bootstrap is None:
        return said
    made, n_groups = law.bootstrap, len(set(law.points.groups))
    if made.n_failed:
        said.append(f"{made.n_failed} of {len(made.log)} bootstrap draws did not converge and are left out")
    n_points, n_parameters = len(law.points.names), len(fit.log)
    if made.by == "rows" and n_points < FEWEST_PER_PARAMETER * n_parameters:
        said.append(f"{n_points} points for {n_parameters} parameters: intervals are too narrow to be trusted")
    if made.by == "rows" and 0 < n_groups < n_points:
        said.append(
            "one group: rows were drawn as if its points stood alone, and intervals are too narrow"
            if n_groups == 1
            else "points come in groups, and rows were drawn as if all stood alone: intervals are too narrow "
            "(--by groups)"
        )
    if made.by == "groups" and n_groups < 10:
        said.append(f"only {n_groups} groups were drawn from: intervals are rough, and rather too narrow")
    return said


def to_json(contents: Sequence[Mapping[str, Any]], provenance: Mapping[str, Any], **more: Any) -> str:
    """Return ``{"laws": [...], ..., "provenance": {...}}`` as strict JSON; `more` comes between the two."""
    return json.dumps(strict({"laws": list(contents), **more, "provenance": provenance}), indent=2) + "\n"


def to_csv(contents: Sequence[Mapping[str, Any]]) -> str:
    """Return one row per law, scale of parameters and parameter; resources and X0 of two are parted by spaces."""
    columns = (
        "law",
        "form",
        "resources",
        "X0",
        "n_points",
        "n_groups",
        "drawn_by",
        "scale",
        "parameter",
        "value",
        "low",
        "high",
        "percentile_low",
        "percentile_high",
        "published",
        "loss",
        "converged",
    )
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for content in contents:
        common = {
            "law": content["name"],
            **{name: content[name] for name in ("form", "n_points", "n_groups", "loss", "converged")},
            "resources": " ".join(each["name"] for each in content["resources"]),
            "X0": " ".join(f"{each['scale']:g}" for each in content["resources"]),
            "drawn_by": content.get("bootstrap", {}).get("by"),
        }
        for scale in ("log", "plain"):
            known, ends = content.get("published", {}).get(scale, {}), _percentiles(content, scale)
            for name, triple in content[scale].items():
                low, high = ends.get(name, (None, None))
                row = {"scale": scale, "parameter": name, **triple, "published": known.get(name, {}).get("value")}
                writer.writerow(strict({**common, **row, "percentile_low": low, "percentile_high": high}))
    return text.getvalue()


def _percentiles(content: Mapping[str, Any], scale: str) -> Mapping[str, Sequence[float]]:
    """Return plain percentiles by parameter of either scale; every plain one rises with its log one or is the same."""
    found: Mapping[str, Sequence[float]] = content.get("percentiles", {})
    if scale == "log" or not found:
        return found
    form = get_form(content["form"])
    low, high = (form.to_plain(np.array([found[name][end] for name in form.parameters])) for end in (0, 1))
    return {name: (float(a), float(b)) for name, a, b in zip(form.plain, low, high, strict=True)}


def rows_to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return mappings with the same keys as CSV with a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(strict(dict(row)) for row in rows)
    return text.getvalue()


def reach(law: Law) -> tuple[float, float]:
    """Return the smallest and largest first resource that a law's points cover, in its own unit."""
    values = law.points.x[:, 0] * law.points.scales[0]
    return float(np.min(values)), float(np.max(values))
