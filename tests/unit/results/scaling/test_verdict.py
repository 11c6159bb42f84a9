"""Whether laws end: planted laws with and without an end, and headlines that extrapolation contradicts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from results.scaling.bootstrap import law
from results.scaling.contracts import Law, Points
from results.scaling.saturation import saturation
from results.scaling.selection import Comparison, compare_forms
from results.scaling.verdict import verdict


def planted(end: float, seed: int = 0) -> Law:
    """L = end + 0.7 X^-0.15, 60 models over six decades, 1 % noise."""
    x = np.geomspace(1, 1e6, 60)[:, None]
    noise = np.exp(np.random.default_rng(seed).normal(0, 0.01, 60))
    points = Points(x, (end + 0.7 * x[:, 0] ** -0.15) * noise, tuple(map(str, range(60))), (), None, ("c",), (1e13,))
    return law("planted", "power", points, n_draws=40, by="rows", seed=0)


@pytest.fixture(scope="module")
def bounded() -> tuple[Law, tuple[Comparison, ...]]:
    made = planted(0.25)
    return made, compare_forms(made.points)


def test_a_law_with_an_end_is_told_from_one_without_by_extrapolation(bounded):
    made, forms = bounded
    said = verdict(saturation(made), forms, "power")
    assert said.startswith("saturates at 0.7")
    assert "a law without an end misses the 15 largest models by 0." in said
    assert "AICc agrees" in said
    open_ended = planted(0.0)
    said = verdict(saturation(open_ended), compare_forms(open_ended.points), "power")
    assert said.startswith("no saturation can be seen")
    assert "saturates" not in said


def test_no_end_is_headlined_where_extrapolation_is_better_without(bounded):
    made, forms = bounded
    turned = [replace(e, held_out_error=0.01 if e.fit.form == "unbounded" else 0.1, akaike_weight=0.5) for e in forms]
    said = verdict(saturation(made), turned, "power")
    assert said.startswith("no saturation can be seen: a law without an end misses the 15 largest models by 0.01 in")
    assert "AICc disagrees: it prefers" in said  # its law still ends
    alike = [replace(e, held_out_error=0.1) for e in forms]
    assert verdict(saturation(made), alike, "power").startswith("saturates at 0.7")


def test_an_end_far_beyond_the_models_is_no_headline_but_one_that_is_needed_is_open(bounded):
    made, forms = bounded
    far = replace(saturation(made), kind="open")
    assert verdict(far, forms, "power").startswith("saturates, but where is open, 0.7")
    alike = [replace(e, held_out_error=0.1) for e in forms]
    assert verdict(far, alike, "power").startswith("no saturation can be seen")


def test_a_law_that_was_not_compared_is_no_more_than_its_form(bounded):
    end = saturation(bounded[0])
    assert verdict(end, (), "power") == f"{end.words} (the form itself, power, was not tested by extrapolation)"
