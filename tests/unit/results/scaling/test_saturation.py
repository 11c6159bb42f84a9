"""Where laws end: the law itself at the resource that was named, published levels, and words where nothing is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from model_zoo.errors import InvalidOption
from results.scaling.bootstrap import intervals
from results.scaling.contracts import Bootstrap, Fit, Law, Points
from results.scaling.forms import get_form
from results.scaling.saturation import saturation

NEURO = (-0.6487916, -0.59944912, 0.15692827)  # compute_neuro of the study
BEHAVIOUR = (-21.74974865, 0.33861201, 0.0622286)  # compute_behavior
LOGS = {
    "power": NEURO,
    "shifted": (*NEURO, 1.0),
    "saturating": (-0.65, -0.8, 3.0, 0.3),
    "m4": (-0.65, -0.8, 0.2, 0.2, 0.7),
}


def make_law(log=NEURO, form="power", draws=None, scale=1e13) -> Law:
    found = get_form(form)
    values = np.array(log, dtype=float)
    x = np.geomspace(1e13, 1e20, 30)[:, None] / scale
    points = Points(x, np.exp(found.log_misalignment(values, x)[0]), ("m",) * 30, (), None, ("total_flops",), (scale,))
    fit = Fit(
        form,
        dict(zip(found.parameters, values, strict=True)),
        dict(zip(found.plain, found.to_plain(values), strict=True)),
        *(0.0, 30, True, 1, 1),
    )
    return Law("law", points, fit, None if draws is None else Bootstrap(draws, "rows", 0, 0))


@pytest.mark.parametrize("form", LOGS)
@pytest.mark.parametrize("share", [0.5, 0.8, 0.95])
def test_the_law_reaches_its_share_at_the_resource_named(form, share):
    law = make_law(LOGS[form], form)
    found = saturation(law, share=share)
    assert found.level == pytest.approx(1 - law.fit.plain["E"])
    if found.resource == 0:  # the shifted law starts at more than this share
        assert (
            1 - np.exp(get_form(form).log_misalignment(np.array(LOGS[form]), np.array([[1e-9]]))[0])
            > share * found.level
        )
        return
    x = np.array([[found.resource / 1e13]])
    reached = 1 - np.exp(get_form(form).log_misalignment(np.array(LOGS[form]), x)[0][0])
    assert reached == pytest.approx(share * found.level, rel=1e-9)
    assert found.beyond == pytest.approx(found.resource / 1e20)


def test_a_share_that_any_resource_brings_needs_none():
    found = saturation(make_law((-0.65, -3.0, 0.2, 3.0), "shifted"), share=0.5)
    assert found.resource == 0.0
    assert "which was observed" in found.words


def test_published_levels():
    neuro, behaviour = saturation(make_law()), saturation(make_law(BEHAVIOUR))
    assert neuro.level == pytest.approx(0.48, abs=0.005)
    assert neuro.unbounded == 0.0
    assert neuro.words.startswith("saturates at 0.477; 95% of it at total_flops 4.8e+21, 48 times the largest observed")
    assert behaviour.unbounded == 1.0
    assert behaviour.words.startswith("no saturation can be seen")


def test_intervals_come_from_the_draws():
    spread = np.array([0.05, 0.0, 0.0])
    draws = np.array(NEURO) + spread * np.random.default_rng(0).standard_normal((4000, 1))
    found = saturation(make_law(draws=draws))
    assert found.level_interval == pytest.approx(1 - np.exp(NEURO[0] + 0.05 * 1.96 * np.array([1, -1])), rel=0.02)
    low, high = found.resource_interval
    assert low < found.resource < high
    assert "[" in found.words


def test_the_final_score_is_as_sure_as_the_plateau():
    skewed = np.array(NEURO) + np.random.default_rng(3).exponential(0.1, size=(5000, 1)) * (1, 0, 0)
    law = make_law(draws=skewed - (0.03, 0, 0))
    law = replace(law, bootstrap=replace(law.bootstrap, n_units=12, center=np.array(NEURO)))
    low, high = intervals(law.bootstrap, get_form("power"))["E"]
    assert saturation(law).level_interval == pytest.approx((1 - high, 1 - low), abs=1e-3)


def test_a_flat_direction_is_said():
    draws = np.tile(NEURO, (1000, 1))
    draws[:200, 0] = -20.0
    found = saturation(make_law(draws=draws))
    assert found.unbounded == 0.2
    assert found.kind == "open"
    assert "but in 20% of draws no saturation can be seen" in found.words
    assert "saturates" not in found.words
    none = saturation(make_law(BEHAVIOUR, draws=np.tile(BEHAVIOUR, (50, 1))))
    assert "in 100% of draws" in none.words


def test_an_end_that_no_model_comes_near_is_no_headline():
    slow = saturation(make_law((np.log(0.006), -0.3, 0.05)))  # ends at 0.994, far beyond the models
    assert slow.beyond > 1000
    assert slow.kind == "open"
    assert slow.words.startswith("no end is certain: the fit ends at 0.994")
    near = np.array([np.log(0.02), -0.3, 0.3])
    assert saturation(make_law(near)).kind == "end"
    reaching = saturation(make_law(near, draws=near + np.linspace(-1.6, 1.6, 200)[:, None] * (1, 0, 0)))
    assert reaching.unbounded == 0
    assert reaching.level_interval[1] > 0.995
    assert reaching.kind == "open"


def test_no_resource_is_enough_where_the_law_is_flat():
    found = saturation(make_law((-0.65, -0.6, 0.0)))
    assert found.resource == np.inf
    assert "no finite total_flops brings 95% of it" in found.words


def test_units_change_nothing():
    e, a, alpha = NEURO
    draws = np.array(NEURO) + 0.02 * np.random.default_rng(1).standard_normal((500, 3))
    shift = np.array([0.0, 1.0, 0.0]) * np.log(1e5)
    one = saturation(make_law(draws=draws))
    same = saturation(make_law((e, a + alpha * shift[1], alpha), draws=draws + draws[:, 2:] * shift, scale=1e8))
    assert (same.level, same.resource) == pytest.approx((one.level, one.resource))
    assert same.resource_interval == pytest.approx(one.resource_interval)
    assert same.unbounded == one.unbounded


def test_bad_questions_are_refused():
    with pytest.raises(InvalidOption, match="between 0 and 1, got 1"):
        saturation(make_law(), share=1.0)
    law = make_law()
    with pytest.raises(InvalidOption, match="one resource"):
        saturation(Law("two", law.points, Fit("two_variable", {}, {}, 0.0, 30, True, 1, 1)))
