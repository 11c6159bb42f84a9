"""Layers chosen on a part of a benchmark's own stimuli, and a user's own map of layers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import alignment.evaluate
from alignment import score
from alignment.layers import FEWEST_STIMULI, divide, names_by_card, read_layer_map
from alignment.subjects import PrecomputedFeatures
from benchmarks import get_benchmark
from benchmarks.assemblies import make_assembly
from benchmarks.contracts import Recording
from benchmarks.simulation import generator_rates
from benchmarks.splits import hold_out
from benchmarks.stimuli import from_arrays
from model_zoo.errors import InvalidOption, UnknownName

CARD = get_benchmark("Simulated.V1-commitment")  # a recording whose card declares nothing to choose a layer on


def _no_files(_file):
    raise AssertionError("bundled data needs no file")


def _shown(recordings) -> set[str]:
    return {str(each) for recording in recordings for each in recording.assembly["stimulus_id"].values}


def _recording(ids: list[str], neuroids: str = "abc", **coords) -> Recording:
    values = np.random.default_rng(len(ids)).normal(size=(len(ids), len(neuroids)))
    assembly = make_assembly(
        values, stimulus_ids=ids, neuroid_ids=list(neuroids), region="V1", unit="x", presentation_coords=coords or None
    )
    return Recording(assembly, from_arrays({each: np.zeros((4, 4, 3), np.uint8) for each in ids}, visual_degrees=8.0))


def _trap() -> PrecomputedFeatures:
    """One layer knows only the stimuli that are held out, the other only those that are scored."""
    held_out = _shown(divide(CARD, CARD.load(_no_files)).held_out)
    rates = generator_rates("V1", "commitment")
    known = np.array([str(each) in held_out for each in rates["stimulus_id"].values])[:, None]
    noise = np.random.default_rng(0).normal(size=rates.shape)
    honest = rates.copy(data=np.where(known, rates.values, noise))
    tempting = rates.copy(data=np.where(known, noise, rates.values))
    return PrecomputedFeatures("trap", {"tempting": tempting, "honest": honest})


def test_layer_is_chosen_on_own_stimuli_that_are_then_not_scored():
    trap = _trap()
    (committed,) = score(trap, CARD.name, metric="ridge", n_bootstrap=10)
    n_stimuli = len(_shown(CARD.load(_no_files)))
    n_held_out = -(-n_stimuli // 3)
    assert committed.layer == "honest"
    assert committed.raw < 0.2
    assert committed.layer_choice == f"committed on {n_held_out} of its own stimuli, which are not scored"
    assert committed.n_stimuli == n_stimuli - n_held_out
    assert committed.benchmark == CARD.name
    assert committed.evidence is not None
    assert committed.evidence.by_stimulus is not None
    assert len(committed.evidence.by_stimulus) == committed.n_stimuli
    assert committed.profile is not None
    assert committed.profile.benchmark == f"{n_held_out} stimuli of {CARD.name}"
    assert committed.profile.layers == ("tempting", "honest")
    assert committed.profile.raw[1] > 0.8 > 0.2 > committed.profile.raw[0]
    (named,) = score(trap, CARD.name, layers="tempting", metric="ridge", n_bootstrap=10)
    assert named.n_stimuli == n_stimuli
    assert named.raw > 0.5


def test_commitment_data_that_are_not_at_hand_are_replaced_by_own_stimuli_and_named(monkeypatch):
    card = replace(CARD, commitment=("Cowley2023.V4-210224",))
    monkeypatch.setattr(alignment.evaluate, "get_benchmark", lambda name: card)
    monkeypatch.delenv("VENTRAL_MIRROR", raising=False)
    (found,) = score(_trap(), CARD.name, metric="ridge", n_bootstrap=10)
    assert found.layer == "honest"
    assert found.layer_choice.endswith("which are not scored; Cowley2023.V4-210224 is not at hand")


def test_division_depends_on_the_stimuli_alone_and_holds_across_recordings():
    """A stimulus shown in two recordings falls on one side, whatever the order of the rows."""
    ids = [f"s{number:03d}" for number in range(100)]
    card = replace(CARD, stratification=None)
    one, other = _recording(ids), _recording(ids[:20:-1], "de")
    division = divide(card, (one, other))
    assert _shown(division.held_out) | _shown(division.scored) == set(ids)
    assert not _shown(division.held_out) & _shown(division.scored)
    assert division.n_held_out == 34
    assert _shown(divide(card, (_recording(ids[::-1]),)).held_out) == _shown(division.held_out)
    for part in (division.held_out, division.scored):
        for recording in part:
            assert set(recording.stimuli.ids) == _shown([recording])
    np.testing.assert_array_equal(
        division.scored[0].assembly.values,
        one.assembly.values[[ids.index(each) for each in division.scored[0].assembly["stimulus_id"].values]],
    )


def test_division_keeps_the_proportions_of_a_balanced_benchmark():
    ids = [f"s{number:03d}" for number in range(180)]
    labels = ["few" if number % 9 == 0 else "many" for number in range(180)]
    card = replace(CARD, stratification="label")
    division = divide(card, (_recording(ids, label=labels),))
    found = [list(part[0].assembly["label"].values) for part in (division.held_out, division.scored)]
    assert [(each.count("few"), len(each)) for each in found] == [(7, 60), (13, 120)]


def test_held_out_rows_are_a_third_and_disjoint():
    split = hold_out(1200)
    assert (len(split.test), len(split.train)) == (400, 800)
    np.testing.assert_array_equal(np.sort([*split.test, *split.train]), np.arange(1200))
    assert (np.diff(split.test) > 0).all()
    np.testing.assert_array_equal(hold_out(1200).test, split.test)


@pytest.mark.parametrize(
    ("n_stimuli", "labels", "message"),
    [
        (FEWEST_STIMULI - 1, None, r"at least 90 stimuli.*got 89 stimuli; name the layers with --layers"),
        (90, [f"kind {number % 15}" for number in range(90)], r"a third or two thirds of 90 that cannot be split"),
    ],
)
def test_too_few_stimuli_to_divide(n_stimuli: int, labels, message: str):
    ids = [f"s{number:03d}" for number in range(n_stimuli)]
    coords = {} if labels is None else {"label": labels}
    card = replace(CARD, stratification=None if labels is None else "label")
    with pytest.raises(InvalidOption, match=message):
        divide(card, (_recording(ids, **coords),))


def test_a_geometry_without_commitment_data_asks_for_layers(monkeypatch):
    card = replace(get_benchmark("Kriegeskorte2008.IT"), commitment=())
    monkeypatch.setattr(alignment.evaluate, "get_benchmark", lambda name: card)
    features = PrecomputedFeatures(
        "a", {"top": xr.DataArray(np.eye(2), dims=("stimulus_id", "f"), coords={"stimulus_id": ["a", "b"]})}
    )
    with pytest.raises(InvalidOption, match=r"commitment data, got none declared; name the layers with --layers"):
        score(features, card.name)


CARDS = [get_benchmark(name) for name in ("Cowley2023.V4-201025", "Cowley2023.V4", "Simulated.V4", "Simulated.IT")]


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ("auto", [None] * 4),
        ("top", [["top"]] * 4),
        (["a", "b"], [["a", "b"]] * 4),
        ({"V4": "a", "IT": ["b", "c"], "V1": "unused"}, [["a"], ["a"], ["a"], ["b", "c"]]),
        ({"V4": "a", "IT": "auto", "Simulated.V4": "d"}, [["a"], ["a"], ["d"], None]),
        ({"V4": "a", "IT": "b", "Cowley2023.V4": "pool"}, [["pool"], ["pool"], ["a"], ["b"]]),
        (
            {"IT": "b", "V4": "a", "Cowley2023.V4": "pool", "Cowley2023.V4-201025": "own"},
            [["own"], ["pool"], ["a"], ["b"]],
        ),
    ],
)
def test_the_most_special_entry_counts(layers, expected):
    assert names_by_card(layers, CARDS) == expected


def test_a_narrowed_pool_is_covered_by_its_whole():
    card = get_benchmark("Cowley2023.V4[201025,210325]")
    assert names_by_card({"Cowley2023.V4": "a"}, [card]) == names_by_card({card.name: "a"}, [card]) == [["a"]]


@pytest.mark.parametrize(
    ("layers", "error", "message"),
    [
        ({"V4": "a"}, InvalidOption, r"a layer for Simulated\.IT \(IT\), got layers for V4; name its layer"),
        ({}, InvalidOption, "got layers for nothing"),
        ({"V4": "a", "IT": "b", "V5": "c"}, UnknownName, "benchmark or region 'V5'.*name a region, V1 to IT"),
        ({"V4": "a", "IT": "b", "Simulated.V44": "c"}, UnknownName, r"did you mean Simulated\.V4"),
        ({"V4": "a", "IT": 3}, InvalidOption, "layer of IT: expected names, got 3"),
        ({"V4": "a", "IT": []}, InvalidOption, r"layer of IT: expected names, got \[\]"),
        (3, InvalidOption, "expected names, got 3"),
    ],
)
def test_a_map_that_does_not_say_enough_or_says_too_much(layers, error, message):
    with pytest.raises(error, match=message):
        names_by_card(layers, CARDS)


def test_a_map_goes_before_every_choice():
    trap = _trap()
    (found,) = score(trap, CARD.name, layers={"V1": "tempting"}, metric="ridge", n_bootstrap=5)
    assert (found.layer, found.layer_choice, found.profile) == ("tempting", "user", None)
    with pytest.raises(UnknownName, match="did you mean tempting"):
        score(trap, CARD.name, layers={CARD.name: "temptin"}, metric="ridge")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("map.json", json.dumps({"V4": "layer3", "Cowley2023.V4": ["a", "b"]})),
        ("map.toml", 'V4 = "layer3"\n"Cowley2023.V4" = ["a", "b"]\n'),
    ],
)
def test_a_map_is_read_from_a_file(tmp_path: Path, name: str, text: str):
    (tmp_path / name).write_text(text)
    assert read_layer_map(tmp_path / name) == {"V4": "layer3", "Cowley2023.V4": ["a", "b"]}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("map.yaml", b"V4: a", "a .json or .toml file"),
        ("map.json", None, "a file that can be read, got No such file"),
        ("map.json", b"{", "valid JSON or TOML"),
        ("map.json", b"[" * 100000, "valid JSON or TOML"),
        ("map.json", b"\xff", "valid JSON or TOML"),
        ("map.json", b'["layer3"]', "got a list"),
        ("map.json", b"{}", "got nothing"),
        ("map.json", b'{"V4": "a", "V4": "b"}', "every name once"),
        ("map.json", b'{"V4": 3}', "V4: expected names, got 3"),
        ("map.toml", b"V4 = ", "valid JSON or TOML"),
        ("map.toml", b'Cowley2023.V4 = "a"', r"quotes around names with dots, such as Cowley2023\.V4"),
    ],
)
def test_a_bad_file_is_one_line(tmp_path: Path, name: str, content: bytes | None, message: str):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidOption, match=message) as caught:
        read_layer_map(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)
