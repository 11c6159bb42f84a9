"""The comparison study in small: equally good models are rarely told apart, a worse one is found."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy.stats import binom

pytestmark = pytest.mark.once

N_EXPERIMENTS = 100


@pytest.fixture(scope="module")
def study() -> ModuleType:
    path = Path(__file__).parents[2] / "tools" / "comparison_study.py"
    spec = importlib.util.spec_from_file_location("comparison_study", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["comparison_study"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def kept(study: ModuleType, first_seed: int, **change: object) -> dict[str, np.ndarray]:
    plans = [study.Design(seed=first_seed + number, **change) for number in range(N_EXPERIMENTS)]
    rows = [study.simulated(plan) for plan in plans]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


@pytest.fixture(scope="module")
def usual(study: ModuleType) -> dict[str, np.ndarray]:
    return kept(study, 50_000, n_neuroids=20)


def test_equally_good_models_are_told_apart_as_rarely_as_promised(study, usual):
    few = kept(study, 50_000, n_neuroids=8)
    found = [study.judged({"twenty": usual, "eight": few}, number) for number in range(N_EXPERIMENTS)]
    low, high = binom.ppf((0.001, 0.999), N_EXPERIMENTS, 0.05)
    for name in ("twenty", "eight", "mean"):
        rejected = sum(row[name]["p"] < 0.05 for row in found)
        assert low <= rejected <= high
        held = sum(row[name]["held"] for row in found)
        assert N_EXPERIMENTS - high <= held
    for name in ("zscore", "rank"):
        assert sum(row[name]["p"] < 0.05 for row in found) <= high
        assert sum(row[name]["held"] for row in found) >= N_EXPERIMENTS - high
    spread = np.std([row["rank"]["difference"] for row in found])
    assert 0.75 < np.mean([row["rank"]["error"] for row in found]) / spread < 1.4


def test_sign_flips_over_stimuli_are_about_these_neuroids_alone(study, usual):
    """Equally good for all neuroids, models are not equally good for these; the test must see that."""
    rejected = sum(study.judged({"x": usual}, number)["x"]["p_stimuli"] < 0.05 for number in range(N_EXPERIMENTS))
    assert rejected > 0.3 * N_EXPERIMENTS


def test_a_model_that_is_worse_is_found(study):
    worse = kept(study, 60_000, n_neuroids=20, blur=2.0)
    found = [study.judged({"x": worse}, number)["x"] for number in range(N_EXPERIMENTS)]
    assert np.mean([row["difference"] for row in found]) > 0.2
    assert np.mean([row["p"] < 0.05 for row in found]) > 0.6


def test_the_two_models_change_places_without_changing_the_world(study):
    """What makes them equally good: features are exchangeable, so the average difference over experiments is 0."""
    design = study.Design(seed=1)
    responses, (first, second) = study.experiment(design)
    assert responses.shape == (design.n_stimuli, design.n_repeats, design.n_neuroids)
    np.testing.assert_array_equal(first[:, 12:], second[:, :4])  # what both see
    np.testing.assert_array_equal(first[:, :4], second[:, 12:])
    assert not np.isin(first[:, 4:12], second).any()
