"""What a pass keeps and where: within the budgets, once, and unharmed until it is read."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import alignment.spill
from alignment.spill import BLOCK, Arena, Slice, Spill, plan_passes
from model_zoo.contracts import Layer

WIDTHS = st.lists(st.tuples(st.integers(1, 40_000), st.booleans()), min_size=1, max_size=8)
EVEN = [(5 * BLOCK, True)] * 7  # each taken up after the one before


@pytest.fixture(autouse=True, scope="module")
def little_is_enough() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alignment.spill, "_ENOUGH", 1)
        yield


def _planned(widths, n_stimuli, memory, scratch):
    layers = [Layer(f"l{i}", (width,), "Linear", i, True) for i, (width, _) in enumerate(widths)]
    return layers, plan_passes(layers, n_stimuli, memory, scratch, lambda layer: widths[layer.order][1])


@settings(deadline=None, max_examples=200)
@given(WIDTHS, st.integers(1, 50), st.integers(0, 5_000_000), st.integers(0, 5_000_000))
@example(EVEN, 3, 1_000_000, 0)
@example(EVEN, 3, 0, 1_000_000)
def test_plan_keeps_every_column_once_within_the_budgets(widths, n_stimuli, memory, scratch):
    layers, passes = _planned(widths, n_stimuli, memory, scratch)
    pieces = [piece for part in passes for piece in part.slices]
    for layer in layers:
        mine = [piece for piece in pieces if piece.layer == layer]
        assert [piece.start for piece in mine] == [0] + [piece.stop for piece in mine[:-1]]
        assert mine[-1].is_last
        assert all(piece.start % BLOCK == 0 for piece in mine)
    assert [piece.layer.order for piece in pieces] == sorted(piece.layer.order for piece in pieces)
    block, kept = 4 * n_stimuli * BLOCK, []
    for part in passes:
        here = [*part.slices, *kept]
        for on_disk, budget in ((False, memory), (True, scratch)):
            used = sum(-(-(p.stop - p.start) // BLOCK) for p in here if p.on_disk == on_disk)
            assert used * block <= budget or (len(here) == 1 and used == 1)
        if part.keeps:
            kept = [piece for piece in part.slices if piece.layer == part.slices[-1].layer]


@settings(deadline=None, max_examples=200)
@given(WIDTHS, st.integers(0, 5_000_000), st.integers(0, 5_000_000))
@example(EVEN, 8_000_000, 0)
def test_a_pass_is_taken_up_only_after_a_whole_layer_that_an_earlier_one_kept(widths, memory, scratch):
    layers, passes = _planned(widths, 20, memory, scratch)
    kept = None
    for part in passes:
        assert part.start == kept
        assert kept is None or all(piece.layer.order > kept.order for piece in part.slices)
        if part.keeps:
            kept = part.slices[-1].layer
            columns = sum(piece.stop - piece.start for piece in part.slices if piece.layer == kept)
            assert columns == kept.n_features
            assert widths[kept.order][1]
            assert kept != layers[-1]


def test_a_plan_ends_passes_early_only_where_they_can_be_taken_up(monkeypatch):
    monkeypatch.setattr(alignment.spill, "_ENOUGH", 10**9)
    widths = [(10 * BLOCK, False)] + [(2 * BLOCK, True)] * 6
    memory = 4 * 20 * BLOCK * 100
    assert len(_planned([(width, False) for width, _ in widths], 20, memory, 0)[1]) == 1
    _, whole = _planned(widths, 20, memory, 0)  # 22 of 100 blocks are not a good deal
    assert len(whole) == 1
    _, parts = _planned(widths, 20, memory // 4, 0)  # 25 blocks: enough is 12
    assert [[piece.layer.order for piece in part.slices] for part in parts] == [[0, 1], [2, 3, 4, 5, 6]]
    assert parts[1].start is not None
    assert parts[1].start.name == "l1"


@pytest.mark.parametrize("on_disk", [False, True])
def test_spill_gives_back_what_was_written(tmp_path: Path, on_disk: bool):
    layer = Layer("wide", (2 * BLOCK + 77,), "Conv2d", 0, True)
    features = np.random.default_rng(0).normal(size=(13, layer.n_features)).astype(np.float32)
    rows = None if on_disk else np.empty((13, BLOCK + 77), np.float32)
    spill = Spill(Slice(layer, BLOCK, layer.n_features, on_disk), 13, tmp_path, rows)
    for batch in (slice(5, 13), slice(0, 5)):
        spill.write(batch.start, features[batch])
    np.testing.assert_array_equal(np.concatenate(list(spill.blocks()), axis=1), features[:, BLOCK:])
    np.testing.assert_array_equal(spill.read(3, 4), features[3:7, BLOCK:])
    spill.close()
    assert list(tmp_path.iterdir()) == []


@settings(deadline=None, max_examples=100)
@given(WIDTHS, st.integers(0, 3_000_000), st.integers(0, 3_000_000))
@example(EVEN, 1_000_000, 0)
@example([*EVEN[:3], (30 * BLOCK, False), *EVEN], 1_500_000, 500_000)
def test_what_one_pass_keeps_is_not_overwritten_by_those_taken_up_after_it(widths, memory, scratch):
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        _, passes = _planned(widths, 3, memory, scratch)
        arena, kept = Arena(passes, 3), []
        for number, part in enumerate(passes):
            written = [(spill, _marked(number, spill.part)) for spill in arena.spills(part, folder)]
            for spill, features in written:
                stack.callback(spill.close)
                spill.write(0, features)
            for spill, features in [*kept, *written]:
                np.testing.assert_array_equal(spill.read(0, 3), features[:, spill.part.start : spill.part.stop])
            if part.keeps:
                kept = [each for each in written if each[0].part.layer == part.slices[-1].layer]


def _marked(number: int, piece: Slice) -> np.ndarray:
    """Features of a layer that are like no other's."""
    whole = np.arange(3 * piece.layer.n_features, dtype=np.float32).reshape(3, -1)
    return whole + np.float32(1000 * piece.layer.order + number / 4)
