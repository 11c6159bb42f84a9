"""Kept scores: equal to the computed ones, found without data or model, and none where something is unknown."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from torch import nn

import alignment
import alignment.cells
import alignment.stored
import model_zoo.revision
from alignment import get_metric, score
from alignment.jobs import Run
from alignment.reduction import Resources
from alignment.scores import Evidence, LayerProfile, Score
from alignment.stored import Shelf, identity_of_card, identity_of_metric
from alignment.subjects import PrecomputedFeatures
from benchmarks import get_benchmark
from benchmarks.simulation import generator_rates
from model_zoo import cache, from_module, load_model
from model_zoo.contracts import Preprocessing
from model_zoo.machine import home


@pytest.fixture(autouse=True)
def _code_is_at_rest(monkeypatch: pytest.MonkeyPatch):
    """Whoever edits a file while these tests run does not turn the cache off."""
    monkeypatch.setattr(model_zoo.revision, "_started", lambda: float("inf"))


@pytest.fixture(scope="module")
def features() -> PrecomputedFeatures:
    rates = xr.concat([generator_rates("V1", "test"), generator_rates("V1", "commitment")], "stimulus_id")
    noise = np.random.default_rng(0).normal(size=rates.shape)
    return PrecomputedFeatures("mine", {"noise": rates.copy(data=noise), "top": rates})


def _same(one: object, other: object) -> bool:
    """Return whether two values are equal, where NaN equals NaN, of the same kind."""
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=True)
    if isinstance(one, Evidence | LayerProfile):
        return type(one) is type(other) and all(
            _same(getattr(one, each.name), getattr(other, each.name)) for each in fields(one)
        )
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return _same(tuple(one.items()), tuple(other.items()))
    return type(one) is type(other) and one == other


def assert_same(one: Score, other: Score) -> None:
    unequal = [each.name for each in fields(Score) if not _same(getattr(one, each.name), getattr(other, each.name))]
    assert unequal == []


def entries(what: str) -> list[cache.CacheEntry]:
    return [each for each in cache.list_entries(home() / "cache") if each.meta.get("what") == what]


def refuse(*_args, **_options):
    raise AssertionError("neither data nor model are needed")


def test_a_kept_score_is_the_computed_one_and_needs_no_data(features, monkeypatch: pytest.MonkeyPatch):
    options = {"metric": ["ridge", "pls"], "n_bootstrap": 20}
    first = score(features, "Simulated.V1", **options)
    monkeypatch.setattr(alignment.cells, "load_benchmark", refuse)
    monkeypatch.setattr(PrecomputedFeatures, "reduced", refuse)
    again = score(features, "Simulated.V1", **options)
    for one, other in zip(first, again, strict=True):
        assert_same(one, other)
        assert one.evidence is not None
        assert one.profile is not None
        assert one.layer == "top"
    with pytest.raises(AssertionError, match="neither data"):
        score(features, "Simulated.V1", layers="top", **options)  # a choice of one's own is another record
    assert {each.meta["metric"] for each in entries("score")} == {"ridge", "pls"}


def test_two_metrics_in_one_call_are_two_calls(features):
    options = {"n_bootstrap": 20, "resources": Resources(use_cache=False)}
    both = score(features, "Simulated.V1", metric=["ridge", "pls"], **options)
    for one, name in zip(both, ("ridge", "pls"), strict=True):
        (alone,) = score(features, "Simulated.V1", metric=name, **options)
        assert (one.metric, one.layer) == (alone.metric, alone.layer)  # memory's alignment decides the last bit
        np.testing.assert_allclose((one.raw, one.error, *one.interval), (alone.raw, alone.error, *alone.interval))


def test_what_is_missing_of_several_layers_is_computed_alone(features):
    options = {"metric": "ridge", "n_bootstrap": 20}
    (alone,) = score(features, "Simulated.V1", layers="top", **options)
    seen = []
    both = score(
        features, "Simulated.V1", layers="all", progress=lambda stage, _, total: seen.append((stage, total)), **options
    )
    assert [each.layer for each in both] == ["noise", "top"]
    assert_same(both[1], alone)
    assert set(seen) == {("scores", 1)}


def test_a_model_is_not_run_for_what_is_kept(monkeypatch: pytest.MonkeyPatch):
    model = load_model("torchvision/squeezenet1_1", overrides={"input_size": 40})
    first = score(model, "Simulated.V1", layers="features.2", metric="ridge", n_bootstrap=5)
    monkeypatch.setattr(nn.Module, "__call__", refuse)
    monkeypatch.setattr(alignment.cells, "load_benchmark", refuse)
    again = score(model, "Simulated.V1", layers="features.2", metric="ridge", n_bootstrap=5)
    assert_same(first[0], again[0])


def test_without_a_cache_nothing_is_read_or_written(features):
    options = {"layers": "top", "metric": "ridge", "n_bootstrap": 5}
    score(features, "Simulated.V1", resources=Resources(use_cache=False), **options)
    assert not (home() / "cache").exists()
    (kept,) = score(features, "Simulated.V1", **options)
    (entry,) = entries("score")
    fake = replace(kept, raw=123.0)
    Shelf(features, "x").keep_score(entry.key, fake)
    assert score(features, "Simulated.V1", **options)[0].raw == 123.0
    fresh = score(features, "Simulated.V1", resources=Resources(use_cache=False), **options)
    assert fresh[0].raw == kept.raw


@pytest.mark.parametrize("harm", ["a flipped bit", "half of it", "nothing in it"])
def test_a_damaged_entry_is_computed_again_and_both_writers_write_the_same_bytes(features, harm: str):
    options = {"metric": "ridge", "n_bootstrap": 5}
    first = score(features, "Simulated.V1", **options)
    sound = {entry.path: entry.path.read_bytes() for entry in cache.list_entries(home() / "cache")}
    assert len(sound) >= 3  # layers, choice, score
    for path, content in sound.items():
        harmed = bytearray(content)
        harmed[len(harmed) // 2] ^= 1
        path.write_bytes({"a flipped bit": bytes(harmed), "half of it": content[: len(content) // 2]}.get(harm, b""))
    assert_same(first[0], score(features, "Simulated.V1", **options)[0])
    assert {path: path.read_bytes() for path in sound} == sound


def test_a_network_of_ones_own_leaves_no_score(features):
    module = nn.Sequential(nn.Conv2d(3, 4, 5, stride=4), nn.AdaptiveAvgPool2d(2))
    mine = from_module("mine", module, Preprocessing(input_size=(32, 32)))
    score(mine, "Simulated.V1", layers="0", metric="ridge", n_bootstrap=5)
    assert entries("score") == entries("list of layers") == []


def test_code_from_elsewhere_is_not_identified():
    card, metric = get_benchmark("Simulated.V1"), get_metric("ridge")
    assert identity_of_card(card) is not None
    assert identity_of_metric(metric) is not None
    assert identity_of_card(replace(card, load=lambda get: ())) is None
    assert identity_of_metric(replace(metric, predict=lambda *_: np.zeros(0))) is None
    assert identity_of_metric(replace(metric, parameters={"alpha": object()})) is None
    assert identity_of_card(replace(card, bundled=False)) is None  # files that its card does not name


def test_metrics_and_benchmarks_are_called_alike_in_every_process():
    code = """
from alignment import list_metrics
from alignment.stored import identity_of_card, identity_of_metric
from benchmarks import list_benchmarks
print([identity_of_metric(each) for each in list_metrics()], [identity_of_card(each) for each in list_benchmarks()])
"""
    said = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1
    assert b"None" not in said.pop()


def test_functions_within_what_a_metric_declares_must_be_ours():
    metric = get_metric("rsa-spearman")
    assert identity_of_metric(metric) is not None
    foreign = replace(metric.expansion, compare=lambda *_: (0.0, np.zeros(0), np.zeros(0)))
    assert identity_of_metric(replace(metric, expansion=foreign)) is None
    fewer = replace(metric.expansion, most_groups=7)
    assert identity_of_metric(replace(metric, expansion=fewer)) != identity_of_metric(metric)


def test_files_identify_a_benchmark_by_their_digests():
    card = get_benchmark("Cowley2023.V4-201025")
    other = replace(card.files[0], sha256="0" * 64)
    assert identity_of_card(card) != identity_of_card(replace(card, files=(other, *card.files[1:])))
    nameless = replace(card.files[0], sha256=None, sha1=None, git_blob_sha1=None)
    assert identity_of_card(replace(card, files=(nameless,))) is None


@pytest.mark.mirror
def test_a_pool_of_the_parts_at_hand_is_found_without_loading_it(mirror: Path, monkeypatch: pytest.MonkeyPatch):
    _, recordings = alignment.cells.load_benchmark("Cowley2023.V4", mirror, offline=True)
    ids = [each for recording in recordings for each in recording.stimuli.ids]
    values = np.random.default_rng(0).normal(size=(len(ids), 4))
    top = xr.DataArray(values, dims=("stimulus_id", "f"), coords={"stimulus_id": ids})
    options = {"layers": "top", "metric": "ridge", "n_bootstrap": 5, "mirror": mirror, "offline": True}
    (first,) = score(PrecomputedFeatures("mine", {"top": top}), "Cowley2023.V4", **options)
    assert first.benchmark == "Cowley2023.V4[201025,210325]"
    monkeypatch.setattr(alignment.cells, "load_benchmark", refuse)
    (again,) = score(PrecomputedFeatures("mine", {"top": top}), "Cowley2023.V4", **options)
    assert_same(first, again)


def test_every_field_survives(features):
    """Absent and undefined values, numpy scalars, details, non-ASCII text and evidence with gaps."""
    (base,) = score(features, "Simulated.V1", layers="top", metric="ridge", n_bootstrap=5)
    shelf = Shelf.of(Run(features, Resources()))
    nan = float("nan")
    gaps = Evidence(pairing="ä", raw=np.array([[nan, -0.0, np.inf]]), headline=np.zeros((3, 0)), by_unit=None)
    for number, changes in enumerate(
        [
            {
                "evidence": gaps,
                "ceiled": None,
                "raw": nan,
                "note": 'a "quoted" näme',
                "details": {"x y": nan, "z": 1.5},
            },
            {"evidence": None, "profile": None, "unit_ids": (), "unit_raw": (), "ceiling_interval": (nan, 1e-320)},
            {"profile": LayerProfile("b", ("a", "b"), (nan, 0.1 + 0.2)), "split_error": nan, "n_subjects": 7},
        ]
    ):
        given = replace(base, **changes)
        shelf.keep_score(f"{number:064x}", given)
        found = shelf.score(f"{number:064x}")
        assert found is not None
        assert_same(given, found)
    shelf.keep_score("f" * 64, replace(base, raw=np.float64(0.25), n_repeats=np.int64(3)))
    found = shelf.score("f" * 64)
    assert found is not None
    assert (found.raw, found.n_repeats) == (0.25, 3)
