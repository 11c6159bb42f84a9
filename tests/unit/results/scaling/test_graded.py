"""Gains and their trend over regions: closed forms, planted truth, what must change nothing, errors at their level."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from model_zoo.errors import InvalidOption, ShapeMismatch
from results.scaling.bootstrap import law as fitted_law
from results.scaling.contracts import Bootstrap, Fit, Law, Points
from results.scaling.forms import get_form
from results.scaling.graded import HIERARCHY, gain, trend
from results.scaling.published import gokce2024
from results.scaling.studies import get_experiment, points_of

IT = (-0.95538297, 0.13344795, 0.23002378)  # region_it_group1 of the study
FLAGS = ["is_pretrained", "is_random", "is_ssl", "is_adv", "is_ablation"]


def make_law(log=IT, form="power", draws=None, scale=1e13, compute=(1e13, 1e19)) -> Law:
    found = get_form(form)
    values = np.array(log, dtype=float)
    x = np.geomspace(*compute, 30)[:, None] / scale
    points = Points(x, np.exp(found.log_misalignment(values, x)[0]), ("m",) * 30, (), None, ("total_flops",), (scale,))
    fit = Fit(
        form,
        dict(zip(found.parameters, values, strict=True)),
        dict(zip(found.plain, found.to_plain(values), strict=True)),
        *(0.0, 30, True, 1, 1),
    )
    return Law("it", points, fit, None if draws is None else Bootstrap(draws, "groups", 0, 0))


def test_a_gain_is_the_difference_of_the_law_at_the_ends():
    _, a, alpha = IT
    found = gain(make_law())
    assert found.total == pytest.approx(np.exp(a) * (1.0 - 1e6**-alpha))
    assert (found.decades, found.per_decade) == pytest.approx((6.0, found.total / 6))
    assert found.to_limit == pytest.approx(np.exp(a) * 10**alpha)  # the gain that the study plots
    assert found.total_interval is None
    assert len(found.draws) == 0


def test_a_gain_over_another_span_adds_up():
    law = make_law()
    parts = [gain(law, span=span).total for span in ((1e13, 1e16), (1e16, 1e19))]
    assert sum(parts) == pytest.approx(gain(law).total)
    assert parts[0] > parts[1]


@pytest.mark.parametrize(("form", "log"), [("shifted", (*IT, 1.0)), ("saturating", (-1.0, -0.5, 3.0, 0.3))])
def test_every_form_of_one_resource_has_a_gain(form, log):
    law = make_law(log, form)
    assert gain(law).total == pytest.approx(law.points.misalignment[0] - law.points.misalignment[-1])


def test_units_change_no_gain_over_a_span():
    e, a, alpha = IT
    one, other = gain(make_law()), gain(make_law((e, a + alpha * np.log(1e4), alpha), scale=1e9))
    assert (other.total, other.decades, *other.span) == pytest.approx((one.total, one.decades, *one.span))


def test_intervals_of_gains_come_from_the_draws():
    draws = np.array(IT) + np.array([0.0, 0.1, 0.0]) * np.random.default_rng(0).standard_normal((3000, 1))
    draws[0] = np.nan
    found = gain(make_law(draws=draws), level=0.9)
    low, high = found.total_interval
    assert np.log(high / low) == pytest.approx(2 * 1.645 * 0.1, rel=0.05)  # the gain is A times a number
    assert found.per_decade_interval == pytest.approx((low / 6, high / 6))
    assert len(found.draws) == 2999


def test_gains_that_cannot_be_are_refused():
    with pytest.raises(InvalidOption, match="expected a law of one resource"):
        gain(_two_variable())
    with pytest.raises(InvalidOption, match="two rising numbers"):
        gain(make_law(), span=(1e15, 1e14))


def _two_variable() -> Law:
    law = make_law()
    return Law("two", law.points, Fit("two_variable", {}, {}, 0.0, 30, True, 1, 1))


def study(rng, gains, n_groups=30, per_group=8, noise=0.03, shared=0.02):
    """Scores of models in groups: a level per region, a gain per region, a deviation per group and region."""
    compute = 10 ** (rng.uniform(14, 18, n_groups)[:, None] + rng.normal(0, 0.7, (n_groups, per_group)))
    levels, of_group = rng.uniform(0.2, 0.5, len(gains)), shared * rng.standard_normal((n_groups, 1, len(gains)))
    scores = levels + np.log10(compute)[..., None] * gains + of_group + noise * rng.standard_normal((*compute.shape, 1))
    scores = scores + noise * rng.standard_normal(scores.shape)
    groups = [f"g{i}" for i in range(n_groups) for _ in range(per_group)]
    return scores.reshape(-1, len(gains)), compute.ravel(), groups


def test_gains_and_their_slope_are_those_of_least_squares():
    scores, compute, groups = study(np.random.default_rng(0), np.array([0.01, 0.05, 0.06, 0.08, 0.1]))
    found = trend(scores, compute, groups=groups)
    gains = np.polyfit(np.log10(compute), scores, 1)[0]
    np.testing.assert_allclose(found.gains, gains)
    assert found.slope == pytest.approx(np.polyfit(np.arange(5), gains, 1)[0])
    np.testing.assert_allclose(found.steps, np.diff(gains))
    assert found.p < 0.001
    assert (found.n_models, found.n_groups, found.n_left_out) == (240, 30, 0)


def test_what_is_common_to_all_regions_or_to_all_models_changes_nothing():
    rng = np.random.default_rng(1)
    scores, compute, groups = study(rng, np.array([0.02, 0.02, 0.03, 0.03, 0.05]))
    one = trend(scores, compute, groups=groups)
    good_models = rng.standard_normal((len(scores), 1))
    other = trend(scores + good_models + np.arange(5), compute * 1e-6, groups=groups)
    assert (other.slope, other.p) == pytest.approx((one.slope, one.p), rel=1e-8)
    assert other.slope_interval == pytest.approx(one.slope_interval, rel=1e-8)
    order = rng.permutation(len(scores))
    shuffled = trend(scores[order], compute[order], groups=[groups[i] for i in order])
    assert (shuffled.slope, shuffled.p) == pytest.approx((one.slope, one.p))


def test_turning_the_hierarchy_round_turns_the_slope():
    scores, compute, groups = study(np.random.default_rng(2), np.array([0.01, 0.02, 0.03, 0.04, 0.05]))
    up, down = trend(scores, compute, groups=groups), trend(scores[:, ::-1], compute, groups=groups)
    assert (down.slope, down.p) == pytest.approx((-up.slope, up.p))
    assert up.ordered > 0.8
    assert down.ordered == 0.0


def test_a_trend_that_rests_on_one_step_shows_it():
    gains = np.array([0.02, 0.02, 0.02, 0.02, 0.09])
    scores, compute, groups = study(np.random.default_rng(3), gains)
    found = trend(scores, compute, groups=groups)
    assert found.p < 0.001
    assert found.ordered < 0.5
    excludes_zero = [low > 0 or high < 0 for low, high in found.step_intervals]
    assert excludes_zero == [False, False, False, True]


def test_errors_come_at_their_level_by_groups_and_not_by_rows():
    rng = np.random.default_rng(4)
    gains, by_group, by_row, covered = np.full(5, 0.05), [], [], []
    for seed in range(200):
        scores, compute, groups = study(rng, gains, per_group=5, noise=0.01, shared=0.05)
        found = trend(scores, compute, groups=groups, n_draws=200, seed=seed)
        by_group.append(found.p)
        low, high = found.slope_interval
        covered.append(low <= 0 <= high)
        by_row.append(trend(scores, compute, n_draws=2, seed=seed).p)
    assert 0.01 < np.mean(np.array(by_group) < 0.05) < 0.1
    assert np.mean(np.array(by_row) < 0.05) > 0.2
    assert np.mean(covered) > 0.88


def test_models_without_every_score_are_left_out():
    scores, compute, groups = study(np.random.default_rng(5), np.full(5, 0.05))
    gaps = scores.copy()
    gaps[::7, 2] = np.nan
    kept = np.isfinite(gaps).all(axis=1)
    found = trend(gaps, compute, groups=groups)
    alone = trend(scores[kept], compute[kept], groups=[g for g, keep in zip(groups, kept, strict=True) if keep])
    assert (found.slope, found.p, found.n_left_out) == (alone.slope, alone.p, int((~kept).sum()))


def test_tables_that_do_not_fit_are_refused():
    scores, compute = np.zeros((4, 5)), np.arange(1.0, 5.0)
    with pytest.raises(ShapeMismatch, match="one row per model"):
        trend(scores[:, :4], compute)
    with pytest.raises(ShapeMismatch, match="1 groups"):
        trend(scores, compute, groups=["a"])
    with pytest.raises(InvalidOption, match="compute > 0, got 0"):
        trend(scores, compute - 1)
    with pytest.raises(InvalidOption, match="at least three groups"):
        trend(scores, compute, groups=["a", "a", "b", "b"])
    with pytest.raises(InvalidOption, match="of different compute"):
        trend(scores, np.ones(4))


@pytest.mark.mirror
def test_gains_of_published_laws_rise_over_the_hierarchy(mirror: Path):
    table, gains = gokce2024(mirror), []
    for region in ("v1", "v2", "v4", "it", "behavior"):
        experiment = get_experiment(f"region_{region}_group1")
        (points,) = points_of(experiment, table).values()
        gains.append(gain(fitted_law(region, experiment.form, points, n_draws=0)))
    assert [each.total for each in gains] == sorted(each.total for each in gains)
    it = gains[3].to_limit  # A 10^alpha of the published parameters
    assert it == pytest.approx(np.exp(IT[1]) * 10 ** IT[2], rel=0.005)


@pytest.mark.mirror
def test_published_gains_rise_over_the_hierarchy(mirror: Path):
    table = pd.read_csv(mirror / "gokce2024" / "benchmark_scores.csv.gz")
    table = table[~table[FLAGS].any(axis=1) & table.dataset.isin(["imagenet", "ecoset"])]
    wide = table.pivot(
        index=["model_id", "arch", "seed", "total_flops"], columns="region", values="score"
    ).reset_index()
    groups = (wide.arch + " " + wide.seed.astype(str)).tolist()
    found = trend(wide[list(HIERARCHY)].to_numpy(), wide.total_flops.to_numpy(), groups=groups)
    assert found.n_models == 620
    assert list(found.gains) == sorted(found.gains)
    assert found.p < 0.001
    assert found.ordered > 0.99
