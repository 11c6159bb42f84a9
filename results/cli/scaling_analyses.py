"""What `ventral scaling` finds out beyond the fits: gains, ends, trend, allocation, frontier and forms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from model_zoo.errors import InvalidOption
from results.cli.scaling_input import Source
from results.scaling.allocation import Allocation, Cost, allocate, family_costs, product_cost
from results.scaling.contracts import Law, Points
from results.scaling.forms import FORMS
from results.scaling.frontier import Frontier, frontier, repeat_error
from results.scaling.graded import HIERARCHY, Gain, Trend, gain, trend
from results.scaling.saturation import Saturation, saturation
from results.scaling.selection import Comparison, compare_forms, lacks
from results.scaling.sufficiency import Lack

if TYPE_CHECKING:
    import pandas as pd

    from results.scaling.studies import Experiment

Comparisons = Mapping[str, Sequence[Comparison]]

TRAINING = ("n_params", "n_samples_seen", "total_flops")
COSTS = {"n_params": "parameters", "total_flops": "training compute (FLOPs)", "n_units": "units"}
_REPEATS = ("arch", "dataset", "samples_per_class")


@dataclass(frozen=True)
class Graded:
    """What each law of one resource gains, where it ends, and whether gains rise along the hierarchy."""

    gains: tuple[Gain, ...]
    ends: tuple[Saturation, ...]
    trend: Trend | None


def graded(laws: Sequence[Law], tested: Trend | None) -> Graded:
    """Return gains over one span for all laws of one resource that share their first one's resource."""
    single = [law for law in laws if law.points.x.shape[1] == 1 and "e" in law.fit.log]
    single = [law for law in single if law.points.variables == single[0].points.variables]
    if not single:
        return Graded((), (), tested)
    reach = [law.points.x[:, 0] * law.points.scales[0] for law in single]
    span = (max(float(x.min()) for x in reach), min(float(x.max()) for x in reach))
    shared = span if span[0] < span[1] else None
    return Graded(tuple(gain(law, span=shared) for law in single), tuple(map(saturation, single)), tested)


def trend_of(experiment: Experiment, table: pd.DataFrame, *, draws: int, seed: int) -> Trend | None:
    """Return the trend over regions of the models of an experiment; None where the table does not hold one.

    That takes two regions, and three groups of models of different known compute that were scored on every region.
    """
    from results.scaling.studies import rows_of

    if "region" not in table.columns or "total_flops" not in table.columns:
        return None
    table = table.assign(region=table["region"].replace({"behaviour": "Behavioral"}))
    regions = [name for name in HIERARCHY if name in set(table["region"])]
    if len(regions) < 2:
        return None
    where = {**experiment.where, "region": tuple(regions)}
    rows = rows_of(experiment.model_copy(update={"where": where, "split_by": "region"}), table)
    wide = rows.pivot_table(index="model_id", columns="region", values="score")
    facts = rows.drop_duplicates("model_id").set_index("model_id").loc[wide.index]
    known = np.isfinite(facts["total_flops"].to_numpy(dtype=float)) & wide.notna().all(axis=1).to_numpy()
    facts, wide = facts[known], wide[known]
    labels = [name for name in experiment.drawn_together if name in facts.columns]
    groups = [" ".join(map(str, row)) for row in facts[labels].to_numpy()] if labels else []
    compute = facts["total_flops"].to_numpy(dtype=float)
    if len(set(groups or facts.index)) < 3 or np.ptp(np.log10(compute)) == 0:
        return None
    return trend(wide[regions].to_numpy(), compute, regions=regions, groups=groups, n_draws=draws or 1, seed=seed)


def costs_of(rows: pd.DataFrame) -> dict[str, Cost]:
    """Return what training costs: of "all" models as the study does it, and of every family by its own rule."""
    known = rows.dropna(subset=list(TRAINING))
    sizes, samples, spent = (known[name].to_numpy(dtype=float) for name in TRAINING)
    found = {"all": product_cost(sizes, samples, spent)}
    if "arch_family" in known.columns:
        family = known["arch_family"].notna().to_numpy()
        named = [str(name) for name in known.loc[family, "arch_family"]]
        found |= family_costs(sizes[family], samples[family], spent[family], named)
    return found


def allocations(laws: Mapping[str, Law], costs: Mapping[str, Cost], budgets: Sequence[float]) -> tuple[Allocation, ...]:
    """Return how every two-variable law divides the budgets, under every cost."""
    two = [law for law in laws.values() if law.fit.form == "two_variable"]
    return tuple(allocate(law, budgets, cost) for law in two for cost in costs.values())


def budgets_of(law: Law, cost: Cost) -> list[float]:
    """Return budgets, one per decade, from the cheapest model of a law to ten times the dearest."""
    sizes, samples = (law.points.x * np.asarray(law.points.scales)).T
    spent = np.log10(cost.flops(sizes, samples))
    return [float(10.0**power) for power in range(int(np.ceil(spent.min())), int(np.floor(spent.max())) + 2)]


def frontiers(rows: pd.DataFrame, costs: Sequence[str] = ()) -> tuple[Frontier, ...]:
    """Return the frontier of mean scores against every cost that the table holds.

    Errors are those of the table, or else of repeats of one training with other seeds.
    """
    chosen = costs or [name for name in COSTS if name in rows.columns]
    found = []
    for name in chosen:
        kept = rows[np.isfinite(rows[name]) & (rows[name] > 0)]
        scores = kept["score"].to_numpy(dtype=float)
        labels = [column for column in _REPEATS if column in kept.columns]
        errors = None
        if "score_error" in kept.columns:
            errors = kept["score_error"].to_numpy(dtype=float)
        elif len(labels) == len(_REPEATS):
            spread = repeat_error(scores, [" ".join(map(str, row)) for row in kept[labels].to_numpy()])
            errors = np.full(len(scores), spread) if np.isfinite(spread) else None
        values = kept[name].to_numpy(dtype=float)
        models = [str(model) for model in kept["model_id"]]
        found.append(frontier(models, values, scores, cost_name=name, errors=errors))
    return tuple(found)


def models_of(source: Source, name: str) -> pd.DataFrame:
    """Return one row per model of a law's experiment, with its mean score."""
    from results.scaling.studies import rows_of

    return rows_of(source.experiments[name].model_copy(update={"split_by": ""}), source.table)


def trained(source: Source, name: str, law: Law) -> pd.DataFrame | None:
    """Return the facts about the models of a law of parameters and samples; None of other laws, or without compute."""
    from results.scaling.studies import rows_of

    if law.points.variables != TRAINING[:2]:
        return None
    rows = rows_of(source.experiments[name], source.table).drop_duplicates("model_id")
    if not set(TRAINING) <= set(rows.columns) or rows.dropna(subset=list(TRAINING)).empty:
        return None
    return rows


def comparisons(
    points: Mapping[str, Points], forms: Sequence[str] | None, held_out: float, progress: Any
) -> Comparisons:
    """Return, per law, how well each form does, the best first.

    Parameters
    ----------
    points : by law.
    forms : names; None for all that take as many resources and that the points allow. Laws that allow none, see
        `incomparable`, are left out.
    held_out : share of the points, those of the largest resource, that a form is to predict from the others.
    progress : called as progress(stage, done, total).

    Raises
    ------
    InvalidOption
        A form was named that a law's points do not allow.
    """
    found = {}
    for number, (name, each) in enumerate(points.items()):
        progress("forms", number, len(points))
        wanted = tuple(dict.fromkeys(forms or _fitting(each)))
        lacking = lacks(each, wanted, held_out=held_out)
        if forms and lacking:
            form, lack = next(iter(lacking.items()))
            raise InvalidOption(
                f"law {name}, form {form!r}",
                expected=lack.rule,
                got=lack.got,
                next_step="leave the form out, or add models",
            )
        allowed = tuple(form for form in wanted if form not in lacking)
        if allowed:
            found[name] = compare_forms(each, forms=allowed, held_out=held_out)
    progress("forms", len(points), len(points))
    return found


def incomparable(points: Mapping[str, Points], held_out: float) -> dict[str, Lack]:
    """Return the laws of which no form can be compared, and what the form of fewest parameters lacks."""
    found = {}
    for name, each in points.items():
        forms = _fitting(each)
        lacking = lacks(each, forms, held_out=held_out)
        if set(lacking) == set(forms):
            found[name] = lacking[min(forms, key=lambda form: len(FORMS[form].parameters))]
    return found


def _fitting(points: Points) -> tuple[str, ...]:
    """Return the forms that take as many resources."""
    return tuple(form.name for form in FORMS.values() if form.n_x == points.x.shape[1])
