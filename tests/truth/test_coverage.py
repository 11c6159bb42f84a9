"""The coverage study in small: intervals of scores and paired differences hold a known truth as often as they say."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy.stats import binom

from benchmarks import simulation

pytestmark = pytest.mark.once

N_SETS = 40
LOWEST = binom.ppf(0.001, N_SETS, 0.93)


@pytest.fixture(scope="module")
def study() -> ModuleType:
    path = Path(__file__).parents[2] / "tools" / "coverage_study.py"
    spec = importlib.util.spec_from_file_location("coverage_study", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["coverage_study"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def experiments(study):
    """Return a function from the name of a design to what its experiments led to, on the bundled scenes."""
    world = study.World(simulation.scenes_of(), simulation.stream.shown_of())
    features = {model: study.features_of(world, n_channels) for model, n_channels in study.MODELS.items()}
    return lambda name: [study.measure(world, study.PLANS[name], features, seed, 200) for seed in range(N_SETS)]


@pytest.mark.parametrize("design", ["few stimuli", "animals"])
def test_intervals_hold_the_truth(study, experiments, design):
    found = study.judged(experiments(design))
    cells = {(metric, name): cell for metric, each in found.items() for name, cell in each.items()}
    assert len(cells) == 16
    for where, cell in cells.items():
        assert cell["held"] * N_SETS >= LOWEST, where
        assert 0.7 < cell["error"] / cell["spread"] < 1.7, where  # neither by luck nor by being useless
    assert found["ridge"]["ceiled, first"]["mean"] == pytest.approx(found["ridge"]["ceiled, first"]["truth"], abs=0.02)


def test_the_truth_of_the_generator_is_that_it_explains_everything(study):
    """But for what noisy training responses cost."""
    world = study.World(simulation.scenes_of(), simulation.stream.shown_of())
    data = study.experiment(world, study.PLANS["usual"], 0)
    gram = study.Gram.of(data.rates, data.target.stimulus_ids)
    measured = study.fit(study.get_metric("ridge"), gram, data.target)
    shrunk = study.explained(measured, data)
    assert 0.9 < shrunk**2 / np.median(data.reliability) < 1.01
