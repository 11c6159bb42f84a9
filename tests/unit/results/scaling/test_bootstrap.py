"""Resampled fits: they are fits to copied rows, draw what they say, and spread as they should."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm
from scipy.stats import t as student

from model_zoo.errors import InvalidOption, ShapeMismatch, UnknownName
from results.scaling import bootstrap as resampling
from results.scaling.bootstrap import bootstrap, intervals, law, percentiles
from results.scaling.contracts import Bootstrap, Points
from results.scaling.fitting import fit, row_weights
from results.scaling.forms import get_form

FORM = get_form("power")
TRUTH = np.array([np.log(0.5), np.log(0.4), 0.3])


def grouped(n_groups: int = 12, size: int = 5, *, together: float = 0.05, alone: float = 0.02, seed: int = 0) -> Points:
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(n_groups), size)
    x = 10 ** (rng.uniform(0, 5, n_groups)[group] + rng.uniform(-0.3, 0.3, len(group)))[:, None]
    noise = together * rng.normal(size=n_groups)[group] + alone * rng.normal(size=len(group))
    misalignment = np.exp(FORM.log_misalignment(TRUTH, x)[0] + noise)
    return Points(x, misalignment, tuple(map(str, range(len(group)))), tuple(f"arch {g:02}" for g in group))


def taken(points: Points, rows: np.ndarray) -> Points:
    return Points(points.x[rows], points.misalignment[rows], tuple(points.names[row] for row in rows))


@pytest.mark.parametrize("by", ["rows", "groups"])
def test_a_draw_is_the_best_fit_to_copies_of_what_was_drawn(by: str):
    points = grouped()
    found = fit(FORM, points)
    made = bootstrap(found, points, n_draws=6, by=by, seed=3)
    np.testing.assert_array_equal(made.center, list(found.log.values()))
    assert (made.by, made.seed, made.n_failed, made.n_units) == (by, 3, 0, 60 if by == "rows" else 12)
    drawn = np.random.default_rng(3).integers(0, made.n_units, size=(6, made.n_units))
    for units, log in zip(drawn, made.log, strict=True):
        rows = units if by == "rows" else np.concatenate([np.arange(5) + 5 * group for group in units])
        copied = fit(FORM, taken(points, rows))
        np.testing.assert_allclose(log, list(copied.log.values()), rtol=1e-5, atol=1e-6)


def test_a_seed_is_used_and_zero_is_one():
    points = grouped()
    found = fit(FORM, points)
    first, again, other = (bootstrap(found, points, n_draws=5, seed=seed).log for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any(axis=1).all()


def test_draws_find_saturation_where_all_points_show_none():
    points = grouped(n_groups=30, size=1)
    faster = np.exp(-0.1 - 0.05 * np.log(points.x[:, 0]) - 0.001 * np.log(points.x[:, 0]) ** 2)
    bent = faster * np.exp(0.05 * np.random.default_rng(1).normal(size=30))
    points = replace(points, misalignment=bent)
    found = fit(FORM, points)
    assert found.log["e"] == -20.0
    made = bootstrap(found, points, n_draws=40, seed=1)
    drawn = np.random.default_rng(1).integers(0, 30, size=(40, 30))
    some = np.flatnonzero(made.log[:, 0] > -20.0)[:3]
    assert len(some) == 3
    for draw in (*some, *np.flatnonzero(made.log[:, 0] == -20.0)[:3]):
        copied = fit(FORM, taken(points, drawn[draw]))
        np.testing.assert_allclose(made.log[draw], list(copied.log.values()), rtol=1e-4, atol=1e-4)


def test_draws_that_get_stuck_are_searched_anew():
    points = grouped()
    expected = bootstrap(fit(FORM, points), points, n_draws=8).log
    counts = np.stack([np.bincount(rows, minlength=60) for rows in np.random.default_rng(0).integers(0, 60, (8, 60))])
    stuck = np.tile([-1.0, -19.9, 9.9], (8, 1))  # nothing but the plateau can be seen from here
    ended, gradient = resampling._again(FORM, points, counts.astype(float), stuck, 1e-3)
    np.testing.assert_allclose(ended, expected, rtol=1e-5, atol=1e-6)
    assert gradient.max() < 1e-6


def test_groups_spread_more_than_rows_where_points_go_together():
    points = grouped(n_groups=40, together=0.05, alone=0.01)
    found = fit(FORM, points)
    rows, groups = (bootstrap(found, points, n_draws=200, by=by).log[:, 2].std() for by in ("rows", "groups"))
    assert groups > 1.5 * rows


def flat_draws(n_units: int | None) -> Bootstrap:
    ramp = np.linspace(-1.0, 1.0, 2001)
    log = np.column_stack([ramp, ramp, ramp + 2.0])
    return Bootstrap(np.vstack([log, np.full((3, 3), np.nan)]), "rows", 0, 3, n_units)


def test_intervals_of_many_units_are_percentiles_in_both_forms():
    made = flat_draws(None)
    found = intervals(made, FORM)
    np.testing.assert_allclose(found["e"], [-0.95, 0.95])
    np.testing.assert_allclose(found["E"], np.exp([-0.95, 0.95]))
    np.testing.assert_allclose(found["alpha"], [1.05, 2.95])
    assert list(found) == ["e", "a", "alpha", "E", "A"]
    np.testing.assert_allclose(percentiles(made, 2.5), [-0.95, -0.95, 1.05])
    np.testing.assert_allclose(intervals(flat_draws(10**6), FORM)["e"], found["e"], atol=1e-4)
    np.testing.assert_allclose(intervals(made, FORM, level=0.8)["e"], [-0.8, 0.8])


@pytest.mark.parametrize("n_units", [5, 12, 60])
def test_intervals_of_few_units_are_wider_by_student_and_one_unit_less(n_units: int):
    tail = norm.cdf(np.sqrt(n_units / (n_units - 1)) * student(n_units - 1).ppf(0.025))
    found = intervals(flat_draws(n_units), FORM)["e"]
    np.testing.assert_allclose(found, [2 * tail - 1, 1 - 2 * tail], atol=1e-6)
    assert found[1] > 0.95


def test_intervals_move_to_where_the_draws_lie_about_the_fit():
    """Levels Phi(2 z +- 1.96) with z the normal quantile of the share of draws below the fit."""
    made = flat_draws(None)
    center = np.array([0.2, -0.4, 2.0])
    found = intervals(replace(made, center=center), FORM)
    for name, at in (("e", 0.2), ("a", -0.4)):
        z = norm.ppf((at + 1) / 2)
        np.testing.assert_allclose(found[name], 2 * norm.cdf([2 * z - 1.95996, 2 * z + 1.95996]) - 1, atol=2e-3)
    np.testing.assert_allclose(found["alpha"], [1.05, 2.95], atol=2e-3)
    never = intervals(replace(made, center=np.array([-5.0, -1.0, 2.0])), FORM)
    assert -1.0 <= never["e"][0] <= never["e"][1] < -0.99
    still = Bootstrap(np.full((9, 3), -20.0), "rows", 0, 0, None, np.full(3, -20.0))
    assert intervals(still, FORM)["e"] == (-20.0, -20.0)


def test_intervals_without_a_draw_that_converged_are_not_numbers():
    none = Bootstrap(np.full((4, 3), np.nan), "rows", 0, 4, 10)
    assert all(np.isnan(bounds).all() for bounds in intervals(none, FORM).values())


def test_a_law_holds_its_points_fit_and_draws():
    points = grouped()
    made = law("planted", "power", points, n_draws=7, by="groups", seed=5)
    assert made.bootstrap is not None
    np.testing.assert_array_equal(made.bootstrap.log, bootstrap(made.fit, points, n_draws=7, by="groups", seed=5).log)
    assert (made.name, made.points, made.fit) == ("planted", points, fit(FORM, points))
    assert law("planted", "power", points, n_draws=0).bootstrap is None
    with pytest.raises(UnknownName, match="scaling form"):
        law("planted", "powers", points)


def test_weights_from_errors_go_into_every_draw():
    points = grouped()
    known = replace(points, errors=np.where(np.arange(60) % 2 == 0, 0.001, 0.4) * points.misalignment)
    made, weights = law("planted", "power", known, n_draws=3).bootstrap, row_weights(FORM, known)
    assert made is not None
    for rows, log in zip(np.random.default_rng(0).integers(0, 60, size=(3, 60)), made.log, strict=True):
        copied = fit(FORM, taken(points, rows), weights=weights[rows])
        np.testing.assert_allclose(log, list(copied.log.values()), rtol=1e-5, atol=1e-6)


def test_groups_that_are_not_there_cannot_be_drawn():
    points = grouped()
    found = fit(FORM, points)
    with pytest.raises(
        ShapeMismatch, match=r"bootstrap by groups: expected .* two or more, got 1000 draws from 0; give"
    ):
        bootstrap(found, replace(points, groups=()), by="groups")
    with pytest.raises(ShapeMismatch, match="got 10 draws from 1"):
        bootstrap(found, replace(points, groups=("one",) * 60), n_draws=10, by="groups")
    with pytest.raises(ShapeMismatch, match="got 0 draws"):
        bootstrap(found, points, n_draws=0)


def test_points_that_hold_no_law_are_refused():
    points = grouped()
    few, alike = replace(points, x=points.x[:3], misalignment=points.misalignment[:3]), np.full_like(points.x, 2.0)
    with pytest.raises(InvalidOption, match=r"law 'planted': expected at least 4 points for the 3 parameters.*got 3"):
        law("planted", "power", few)
    with pytest.raises(InvalidOption, match=r"law 'planted': expected x that differs between points, got 2 for all 60"):
        law("planted", "power", replace(points, x=alike))
    with pytest.raises(InvalidOption, match=r"x that differs"):
        law(
            "planted",
            "two_variable",
            replace(points, x=np.hstack([points.x, alike]), variables=("n", "x"), scales=(1, 1)),
        )
    with pytest.raises(InvalidOption, match=r"scores that differ between points, got 0\.5 for all 60"):
        law("planted", "power", replace(points, misalignment=np.full(60, 0.5)))


@pytest.mark.once
@pytest.mark.parametrize(("n_points", "lowest", "highest"), [(4, 0.0, 0.9), (6, 0.9, 1.0)])
def test_intervals_hold_a_planted_law_from_two_points_per_parameter_on(n_points: int, lowest: float, highest: float):
    rng, x, held = np.random.default_rng(6), np.geomspace(1, 1e5, n_points)[:, None], 0
    for seed in range(20):
        misalignment = (0.5 + 0.5 * x[:, 0] ** -0.25) * np.exp(rng.normal(0, 0.03, n_points))
        made = law("planted", "power", Points(x, misalignment, tuple(map(str, x))), n_draws=50, seed=seed)
        assert made.bootstrap is not None
        low, high = intervals(made.bootstrap, FORM)["e"]
        held += low <= np.log(0.5) <= high
    assert lowest <= held / 20 <= highest
