"""Controls: intervals that cover planted differences, p-values that count, twins that are twins."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import torch
from PIL import Image
from safetensors.torch import save_file

from alignment import Score, score
from alignment.chance import (
    chance_of,
)
from alignment.controls import controls
from alignment.scores import Evidence
from alignment.statistics import summarise
from alignment.twins import (
    NO_WEIGHTS,
    ONE_SEED,
    OWN_MODULE,
    UNPAIRED,
    UNTRAINED,
    calls,
    difference,
    seeds_beside,
    twins_of,
)
from model_zoo import from_module, load_model
from model_zoo.contracts import WeightsReport
from model_zoo.errors import InvalidOption


def made_score(raw: float, draws: np.ndarray | None = None, **changes: object) -> Score:
    """Return a score of which only the raw value and its replicates matter."""
    evidence = None if draws is None else Evidence(pairing="same", raw=draws, headline=draws)
    values: dict[str, object] = {
        **dict.fromkeys(("ceiling", "ceiling_error", "ceiled", "ceiled_legacy")),
        "model": "m",
        "benchmark": "Simulated.V1",
        "benchmark_version": 1,
        "region": "V1",
        "kind": "recording",
        "metric": "ridge",
        "measure": "r",
        "layer": "l",
        "layer_choice": "user",
        "ceiled_rule": "raw",
        "raw": raw,
        "raw_error": 0.02,
        "raw_interval": (raw - 0.04, raw + 0.06),
        "error": 0.02,
        "interval": (raw, raw),
        "interval_of": "raw",
        "n_stimuli": 4,
        "n_features": 3,
        "unit": "neuroid",
        "unit_ids": (),
        "unit_raw": (),
        "evidence": evidence,
    }
    return Score(**{**values, **changes})  # type: ignore[arg-type]


def experiment(rng: np.random.Generator, n_seeds: int, truth: float, spread: float) -> list[Score]:
    """Return a model and its twins, whose scores are means over stimuli and units that were drawn with effects.

    Stimuli and units are easy or hard, for all networks alike and for each in its own way; each answer has noise.
    """
    n_stimuli, n_units, n_draws = 30, 12, 120
    seeds = rng.normal(0.0, spread, n_seeds)
    means = np.concatenate([[truth], seeds])[:, None, None]
    shape = (1 + n_seeds, n_stimuli, n_units)
    values = means + rng.normal(size=(1, n_stimuli, 1)) + rng.normal(size=(1, 1, n_units))
    values = values + 0.5 * rng.normal(size=(shape[0], n_stimuli, 1)) + 0.5 * rng.normal(size=(shape[0], 1, n_units))
    values = values + rng.normal(size=shape)
    stimuli = rng.multinomial(n_stimuli, np.full(n_stimuli, 1 / n_stimuli), n_draws) / n_stimuli
    units = rng.multinomial(n_units, np.full(n_units, 1 / n_units), n_draws) / n_units
    once_s, once_u = np.full((n_draws, n_stimuli), 1 / n_stimuli), np.full((n_draws, n_units), 1 / n_units)
    found = []
    for each in values:
        ways = [(stimuli, once_u), (once_s, units), (stimuli, units)]
        draws = np.stack([np.einsum("ds,su,du->d", s, each, u) for s, u in ways])
        found.append(made_score(float(each.mean()), draws))
    return found


@pytest.mark.parametrize("n_seeds", [2, 3, 8])
@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_the_interval_covers_the_planted_difference(n_seeds: int, spread: float):
    rng, truth, n_experiments = np.random.default_rng(7), 0.7, 300
    covered = 0
    for _ in range(n_experiments):
        own, *twins = experiment(rng, n_seeds, truth, spread)
        _, _, (low, high), _ = difference(own, twins)
        covered += low <= truth <= high
    assert covered / n_experiments >= 0.92
    assert n_seeds == 2 or covered / n_experiments <= 0.99


def test_without_the_variance_over_seeds_it_would_not():
    rng, truth = np.random.default_rng(7), 0.7
    inside = []
    for _ in range(200):
        own, *twins = experiment(rng, 3, truth, spread=1.0)
        _, _, (low, high), _ = difference(own, [replace(each, raw=np.mean([t.raw for t in twins])) for each in twins])
        inside.append(low <= truth <= high)
    assert np.mean(inside) < 0.7


def test_training_stimuli_count_where_maps_were_fitted_as_in_the_score_itself():
    own, *twins = experiment(np.random.default_rng(0), 2, truth=0.5, spread=0.0)
    fixed, fitted = difference(own, twins)[1], difference(replace(own, n_splits=10), twins)[1]
    seeds = np.var([twin.raw for twin in twins], ddof=1) / 2
    draws = own.evidence.raw - np.mean([twin.evidence.raw for twin in twins], axis=0)
    assert fitted > fixed
    assert fitted**2 - seeds == pytest.approx(summarise(0.0, draws, fitted=True)[0] ** 2)


def test_a_model_that_is_a_random_draw_itself_differs_from_others_by_chance_alone():
    rng = np.random.default_rng(3)
    wrong = {True: 0, False: 0}
    for _ in range(300):
        own, *twins = experiment(rng, 5, truth=float(rng.normal()), spread=1.0)
        for untrained in wrong:
            _, _, (low, high), _ = difference(own, twins, untrained=untrained)
            wrong[untrained] += not low <= 0 <= high
    assert 0.01 <= wrong[True] / 300 <= 0.09
    assert wrong[False] / 300 > 0.15


def test_the_error_is_what_the_formula_says():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.01, (3, 5000))
    own, twins = made_score(0.5, noise), [made_score(raw, np.zeros((3, 5000))) for raw in (0.1, 0.2, 0.3)]
    value, error, (low, high), notes = difference(own, twins)
    data, seeds, t = summarise(0.3, noise)[0] ** 2, 0.1**2 / 3, scipy.stats.t.ppf(0.975, 2)
    assert value == pytest.approx(0.3)
    assert error == pytest.approx(np.sqrt(data + seeds), rel=0.02)
    assert (high - low) / 2 == pytest.approx(np.sqrt(1.96**2 * data + t**2 * seeds), rel=0.02)
    assert notes == ()


def test_one_seed_and_other_units_are_said():
    draws = np.random.default_rng(0).normal(0, 0.01, (3, 200))
    own, twin = made_score(0.5, draws), made_score(0.2, draws)
    assert difference(own, [twin])[1:] == (0.0, (0.3, 0.3), (ONE_SEED,))  # the same replicates: nothing differs
    unpaired = replace(twin, evidence=replace(twin.evidence, pairing="other"))
    _, error, _, notes = difference(own, [unpaired])
    assert error == pytest.approx(0.02 * np.sqrt(2))
    assert notes == (UNPAIRED, ONE_SEED)
    assert difference(own, [replace(twin, evidence=None)])[3] == (UNPAIRED, ONE_SEED)


def test_p_and_percentile_count_what_does_as_well():
    shuffled = np.array([*np.linspace(-0.1, 0.1, 99), 0.5, np.nan])
    found = chance_of(made_score(0.3), shuffled)
    assert (found.n_shuffles, found.p) == (100, 2 / 101)
    assert found.mean == pytest.approx(0.005)
    assert found.percentile == pytest.approx(np.quantile(shuffled[:-1], 0.95))
    unknown = 1.96 * np.std(shuffled[:-1], ddof=1) / 10
    expected = (0.295 - np.hypot(0.04, unknown), 0.295 + np.hypot(0.06, unknown))
    assert found.interval == pytest.approx(expected)
    lower_is_better = chance_of(made_score(0.3, metric="accuracy_difference"), shuffled)
    assert lower_is_better.p == 100 / 101
    assert lower_is_better.percentile == pytest.approx(np.quantile(shuffled[:-1], 0.05))
    assert chance_of(made_score(float("nan")), shuffled) is None
    assert chance_of(made_score(0.3), np.full(5, np.nan)) is None


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """A benchmark of 48 small pictures and 4 neuroids that respond to their colours."""
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (48, 3))
    mine = tmp_path / "mine"
    (mine / "images").mkdir(parents=True)
    names = [f"p{number}.png" for number in range(48)]
    for name, colour in zip(names, colours, strict=True):
        Image.fromarray(np.tile(colour.astype(np.uint8), (8, 8, 1))).save(mine / "images" / name)
    pd.DataFrame({"stimulus_id": [name[:-4] for name in names], "filename": names}).to_csv(
        mine / "stimuli.csv", index=False
    )
    rates = (colours / 64) @ rng.normal(size=(3, 4))
    np.save(mine / "responses.npy", rates[:, None] + rng.normal(size=(48, 3, 4)))
    (mine / "benchmark.toml").write_text('name = "colours"\nregion = "V1"\nvisual_degrees = 8.0\n')
    return str(mine)


SMALL = {"input_size": 32}


def test_a_checkpoint_stands_beside_its_twins_and_its_chance(folder: str, tmp_path: Path):
    weights = tmp_path / "w.safetensors"
    save_file(load_model("torchvision/resnet18", seed=5).module.state_dict(), weights)
    model = load_model("torchvision/resnet18", weights=weights, overrides=SMALL)
    options = {"layers": ["conv1", "layer1"], "n_bootstrap": 50}
    scores = score(model, folder, metric=["ridge", "rsa-spearman"], **options)
    seen: dict[str, tuple[int, int]] = {}
    found = controls(
        model, scores, seeds=(0, 1, 5), n_shuffles=19, progress=lambda stage, *at: seen.__setitem__(stage, at)
    )
    assert [(c.metric, c.layer, c.raw) for c in found] == [(s.metric, s.layer, s.raw) for s in scores]
    assert {each.twins.seeds for each in found} == {(0, 1)}  # seed 5 is the checkpoint itself
    assert all(each.notes == () for each in found)
    twin = load_model("torchvision/resnet18", seed=1, overrides=SMALL)
    for own, other, control in zip(
        scores, score(twin, folder, metric=["ridge", "rsa-spearman"], **options), found, strict=True
    ):
        assert control.twins.raw[1] == other.raw
        assert control.twins.difference == pytest.approx(own.raw - np.mean(control.twins.raw))
        assert control.chance.p == 1 / 20  # the colours are easily read
        assert abs(control.chance.mean) < 0.15
    assert seen["shuffled stimuli"] == (4 * 19, 4 * 19)
    assert seen["twins"][1] == 3
    assert "twins: forward pass" in seen
    assert json.loads(json.dumps([asdict(each) for each in found], allow_nan=False))[0]["twins"]["seeds"] == [0, 1]


def test_an_untrained_model_skips_its_own_seed_and_says_what_the_difference_is(folder: str):
    model = load_model("torchvision/resnet18", seed=0, overrides=SMALL)
    scores = score(model, folder, layers="conv1", metric="ridge", n_bootstrap=20)
    (found,) = controls(model, scores, seeds=(0, 1), n_shuffles=0)
    assert (found.twins.seeds, found.chance) == ((1,), None)
    assert found.notes == (ONE_SEED, UNTRAINED)
    assert (seeds_beside(model, 2), seeds_beside(replace(model, weights=WeightsReport("w.pt", 1, 1)), 2)) == (
        (1, 2),
        (0, 1),
    )


def test_networks_without_a_twin_say_why(folder: str):
    own = from_module("torchvision/resnet18", torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3)))
    assert list(twins_of(own, (0, 1))) == []
    scores = score(own, folder, layers="0", metric="ridge", n_bootstrap=20)
    (found,) = controls(own, scores, seeds=(0,), n_shuffles=3)
    assert (found.twins, found.notes) == (None, (OWN_MODULE,))
    assert found.chance.n_shuffles == 3
    pixels = load_model("ventral/pixels", overrides=SMALL)
    scores = score(pixels, folder, layers="rgb", metric="ridge", n_bootstrap=20)
    (found,) = controls(pixels, scores, seeds=(0, 1), n_shuffles=0)
    assert (found.twins, found.notes) == (None, (NO_WEIGHTS,))


def test_a_twin_sees_and_answers_as_the_model_does():
    model = load_model("torchvision/resnet18", seed=0, overrides={**SMALL, "mean": (0.1, 0.2, 0.3)})
    model = replace(model, classes="imagenet1k", visual_degrees=6.0)
    ((seed, twin),) = twins_of(model, (4,))
    assert seed == 4
    assert replace(twin.preprocessing, source="") == replace(model.preprocessing, source="")
    assert (twin.classes, twin.visual_degrees) == ("imagenet1k", 6.0)
    assert not torch.equal(twin.module.conv1.weight, model.module.conv1.weight)


def test_cells_are_scored_in_as_few_calls_as_they_allow():
    cells = [("A", "pls", "x"), ("A", "pls", "y"), ("B", "pls", "x"), ("B", "pls", "y"), ("A", "ridge", "x")]
    made = [made_score(0.1, benchmark=b, metric=m, layer=layer) for b, m, layer in cells]
    made.append(made_score(0.1, benchmark="C", metric="banded", layer="x + y"))
    made.append(made_score(0.1, benchmark="D", metric="o1", layer="x, y", kind="choices"))
    assert calls(made) == [
        (("x", "y"), ("pls",), ("A", "B")),
        (("x",), ("ridge",), ("A",)),
        (("x", "y"), ("banded",), ("C",)),
        (("x", "y"), ("o1",), ("D",)),
    ]


def test_negative_numbers_are_refused():
    model = load_model("ventral/pixels", overrides=SMALL)
    with pytest.raises(InvalidOption, match=r"expected numbers from 0, got 10 shuffles, seeds -1"):
        controls(model, [], seeds=[-1], n_shuffles=10)
