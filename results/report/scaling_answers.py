"""What laws say of models not yet trained, and which models are enough, as tables for people and as rows for files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from alignment.contracts import Interval
from results.report.scaling import Table
from results.report.scaling_tables import between, plain
from results.scaling.allocation import Allocation
from results.scaling.forms import get_form
from results.scaling.frontier import Frontier
from results.scaling.prediction import Plan, Prediction
from results.scaling.selection import Comparison
from results.scaling.verdict import asked, criterion_words, held_out_words

PREDICTION_WORDS = (
    "Score (95 % interval for one more model: the law's uncertainty and the spread of models around it). Beyond what "
    "was fitted the form itself is the largest uncertainty, and no interval holds it."
)
COMPARISON_WORDS = (
    "Held-out error: mean of |ln L - ln L(predicted)| over the {share} of models of the largest resource, by the fit "
    "to the others; a bias above 0 promises more alignment than there is. AICc: lower is better."
)
_MOST = 15  # models of a frontier that a table shows


def allocation(found: Allocation) -> Table:
    """Return the best parameters and samples per budget."""
    columns = ("compute", "parameters", "samples seen", "beyond what was fitted")
    rows = tuple(
        (
            plain(each.budget),
            between(each.n_params, each.n_params_interval),
            between(each.n_samples, each.n_samples_interval),
            ", ".join(f"{name} {plain(ratio)} times" for name, ratio in each.beyond.items()) or "-",
        )
        for each in found.optima
    )
    return Table(columns, rows, ("compute",))


def allocation_words(found: Allocation) -> str:
    """Return how the best division grows with compute, in a sentence."""
    cost = found.cost
    undefined = f" In {found.n_undefined} further draws no best division exists." if found.n_undefined else ""
    return (
        f"Best parameters grow as C^{between(found.n_exponent, found.n_exponent_interval)}, best samples as "
        f"C^{between(found.d_exponent, found.d_exponent_interval)} ({100 * found.level:g} % intervals, "
        f"{found.n_draws} draws).{undefined} Cost of training, measured on {cost.n_models} models ({cost.name}): "
        f"C = {plain(cost.factor)} N^{plain(cost.n_exponent)} D^{plain(cost.d_exponent)}, models spread by a factor of "
        f"{plain(math.exp(cost.spread))} around it.{' ' + cost.note if cost.note else ''}"
    )


def costs(found: Sequence[Allocation]) -> Table:
    """Return one row per law and cost of training: how it was measured, and how the best division grows with it."""
    rows = tuple(
        (
            each.law,
            each.cost.name,
            str(each.cost.n_models),
            f"{plain(each.cost.factor)} N^{plain(each.cost.n_exponent)} D^{plain(each.cost.d_exponent)}",
            plain(math.exp(each.cost.spread)),
            between(each.n_exponent, each.n_exponent_interval),
            between(each.d_exponent, each.d_exponent_interval),
            each.cost.note or "-",
        )
        for each in found
    )
    columns = ("law", "cost of", "measured on", "C =", "spread, factor", "N ~ C to the", "D ~ C to the", "remarks")
    return Table(columns, rows, ("measured on", "spread, factor"))


def allocation_rows(found: Allocation) -> list[dict[str, Any]]:
    """Return one row per budget."""
    return [
        {
            "law": found.law,
            "cost": found.cost.name,
            "budget": each.budget,
            "n_params": each.n_params,
            **_bounds("n_params", each.n_params_interval),
            "n_samples": each.n_samples,
            **_bounds("n_samples", each.n_samples_interval),
            "n_exponent": found.n_exponent,
            "d_exponent": found.d_exponent,
        }
        for each in found.optima
    ]


def predictions(found: Sequence[Prediction]) -> Table:
    """Return one row per law."""
    names = list(dict.fromkeys(name for each in found for name in each.resources))
    rows = tuple(
        (
            each.law,
            *(plain(each.resources.get(name)) for name in names),
            between(each.score, each.interval),
            between(each.score, each.law_interval),
            each.note or "-",
        )
        for each in found
    )
    return Table(("law", *names, "score of one more model", "the law alone", "remarks"), rows, tuple(names))


def prediction_rows(found: Sequence[Prediction]) -> list[dict[str, Any]]:
    """Return one row per law."""
    return [
        {
            "law": each.law,
            **each.resources,
            "score": each.score,
            **_bounds("score", each.interval),
            **_bounds("law", each.law_interval),
            "note": each.note,
        }
        for each in found
    ]


def plan(found: Plan) -> Table:
    """Return the best division of a budget and others of equal compute, by parameters."""
    rows = tuple(
        (
            what,
            *(plain(value) for value in each.resources.values()),
            between(each.score, each.interval),
            f"{loss:.4f}" if loss else "-",
            each.note or "-",
        )
        for what, each, loss in _plans(found)
    )
    columns = ("what", "parameters", "samples seen", "score of one more model", "given away", "remarks")
    return Table(columns, rows, columns[1:3])


def plan_rows(found: Plan) -> list[dict[str, Any]]:
    """Return one row per division of the budget."""
    return [
        {
            "law": found.expected.law,
            "budget": found.budget,
            "what": what,
            **each.resources,
            "score": each.score,
            **_bounds("score", each.interval),
            "given_away": loss,
            "note": each.note,
        }
        for what, each, loss in _plans(found)
    ]


def _plans(found: Plan) -> list[tuple[str, Prediction, float]]:
    others = [("other size", each, loss) for each, loss in zip(found.alternatives, found.losses, strict=True)]
    listed = [("best", found.expected, 0.0), *others]
    return sorted(listed, key=lambda row: next(iter(row[1].resources.values())))


def frontier(found: Frontier) -> Table:
    """Return the models on the frontier and those that may be the best, the best first; see `frontier_words`."""
    shown = _shown(found)
    cells = tuple(
        (
            row["model"],
            plain(row["cost"]),
            f"{row['score']:.3f}",
            "yes" if row["on_frontier"] else "",
            "-" if math.isnan(row["stability"]) else f"{row['stability']:.0%}",
            "yes" if row["contender"] else "",
            "yes" if row["smallest_contender"] else "",
        )
        for row in shown[:_MOST]
    )
    columns = (
        "model", found.cost_name, "score", "on the frontier", "in so many draws", "may be the best",
        "smallest that may be",
    )  # fmt: skip
    return Table(columns, cells, ("model", found.cost_name, "score", "in so many draws")[1:])


def _shown(found: Frontier) -> list[dict[str, Any]]:
    """Return the rows that a table of a frontier is about, the smallest that may be the best, then the best first."""
    rows = [row for row in frontier_rows(found) if row["on_frontier"] or row["contender"]]
    return sorted(rows, key=lambda row: (not row["smallest_contender"], -row["score"], row["cost"]))


def frontier_rows(found: Frontier) -> list[dict[str, Any]]:
    """Return one row per model."""
    columns = zip(
        found.names, found.costs, found.scores, found.on_frontier, found.stability, found.contender, strict=True
    )
    return [
        {
            "model": name,
            "cost_name": found.cost_name,
            "cost": cost,
            "score": score,
            "on_frontier": on,
            "stability": stability,
            "contender": contender,
            "smallest_contender": name in found.smallest,
        }
        for name, cost, score, on, stability, contender in columns
    ]


def frontier_words(found: Frontier) -> str:
    """Return what the frontier says of parsimony, in a sentence."""
    sure = "" if math.isnan(found.level) else f", which hold the truly best one with probability {found.level:g}"
    return (
        f"Best of {len(found.names)} models: {', '.join(found.best)}. {sum(found.contender)} may be the best{sure}; "
        f"the least {found.cost_name} among them has {', '.join(found.smallest[:3])}, {plain(found.saving)} times less "
        f"than the best. Errors: {found.note}. {_left_out(found)}"
    )


def _left_out(found: Frontier) -> str:
    """Return what the table of a frontier shows, in a sentence; models that can only be the smallest come first."""
    shown, on = len(_shown(found)), sum(found.on_frontier)
    about = f"{on} on the frontier" + (f" and {shown - on} more that may be the best" if shown > on else "")
    if shown <= _MOST:
        return f"The table shows all of them: {about}, the smallest that may be first."
    return (
        f"There are {about}; the table shows {_MOST} of these, the smallest that may be and then those of the highest "
        "scores, and `ventral scaling frontier` writes all with --csv and --json."
    )


def comparison(found: Mapping[str, Sequence[Comparison]]) -> Table:
    """Return one row per law and form, the best by held-out error first."""
    rows = []
    for row in comparison_rows(found):
        formula, error, bias, criterion, weight = (
            row[name] for name in ("formula", "held_out_error", "held_out_bias", "aicc", "akaike_weight")
        )
        numbers = (f"{error:.4f}", f"{bias:+.4f}", f"{criterion:.1f}", f"{weight:.3f}", f"{row['loss']:.5g}")
        rows.append((row["law"], row["form"], formula, *numbers, row["final_score"]))
    columns = (
        "law", "form", "formula", "held-out error", "held-out bias", "AICc", "Akaike weight", "loss", "final score",
    )  # fmt: skip
    return Table(columns, tuple(rows), columns[3:8])


def comparison_rows(found: Mapping[str, Sequence[Comparison]]) -> list[dict[str, Any]]:
    """Return one row per law and form."""
    return [
        {
            "law": name,
            "form": each.fit.form,
            "formula": get_form(each.fit.form).formula,
            "held_out_error": each.held_out_error,
            "held_out_bias": each.held_out_bias,
            "n_held_out": each.n_held_out,
            "aicc": each.aicc,
            "akaike_weight": each.akaike_weight,
            "loss": each.fit.loss,
            "converged": each.fit.converged,
            "final_score": plain(each.final_score),
        }
        for name, forms in found.items()
        for each in forms
    ]


def comparison_words(found: Mapping[str, Sequence[Comparison]]) -> list[str]:
    """Return, per law, whether extrapolation asks for an end, and whether AICc agrees; the best form of few others."""
    said = []
    for name, forms in found.items():
        law = next((form for form in ("power", "shifted") if {form, "unbounded"} <= {e.fit.form for e in forms}), None)
        if law is None:
            said.append(
                f"{name}: {forms[0].fit.form} predicts the {forms[0].n_held_out} largest models best (mean error "
                f"{forms[0].held_out_error:.3g} in ln L)."
            )
            continue
        side = asked(forms, law)
        heading = "an end is seen" if side > 0 else "no end can be seen"
        said.append(f"{name}: {heading}: {held_out_words(forms, law)}. {criterion_words(forms, ends=side > 0)}.")
    return said


def _bounds(name: str, interval: Interval | None) -> Mapping[str, float | None]:
    low, high = interval or (None, None)
    return {f"{name}_low": low, f"{name}_high": high}
