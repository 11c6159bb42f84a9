"""Splits are the ones Brain-Score's CrossValidation draws on the same assembly, stimulus by stimulus."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.splits import shuffle_splits

pytestmark = pytest.mark.brainscore


def their_splits(ids: list[str], strata: list[str], **options: object) -> list[tuple[list[str], list[str]]]:
    """Return the stimulus ids Brain-Score fits and tests on, per split, as its metric receives them."""
    pytest.importorskip("brainscore_vision")
    from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly
    from brainscore_vision.metric_helpers.transformations import CrossValidation
    from brainscore_vision.metrics import Score

    values = np.random.default_rng(0).normal(size=(len(ids), 3))
    coords = {
        "stimulus_id": ("presentation", ids),
        "object_name": ("presentation", strata),
        "neuroid_id": ("neuroid", [0, 1, 2]),
        "region": ("neuroid", ["V4"] * 3),
    }
    target = NeuroidAssembly(values, coords=coords, dims=["presentation", "neuroid"])
    source = target[np.random.default_rng(1).permutation(len(ids))]  # their rows are matched by id, not by position
    seen = []

    def apply(train_source, train_target, test_source, test_target):
        seen.append((train_target["stimulus_id"].values.tolist(), test_target["stimulus_id"].values.tolist()))
        assert sorted(train_source["stimulus_id"].values) == sorted(seen[-1][0])
        return Score(0.0)

    CrossValidation(**options)(source, target, apply=apply)
    return seen


@pytest.mark.parametrize("n_stimuli", [57, 200])
@pytest.mark.parametrize("stratified", [True, False])
def test_splits_equal_brainscore(n_stimuli: int, stratified: bool) -> None:
    rng = np.random.default_rng(n_stimuli)
    ids = [f"stimulus{number}" for number in rng.permutation(n_stimuli)]
    strata = rng.choice(["car", "face", "fruit"], n_stimuli, p=[0.5, 0.3, 0.2]).tolist()
    theirs = their_splits(ids, strata, stratification_coord="object_name" if stratified else None)
    ours = shuffle_splits(n_stimuli, strata=strata if stratified else None)
    assert len(theirs) == len(ours) == 10
    for split, (train, test) in zip(ours, theirs, strict=True):
        assert sorted(ids[row] for row in split.train) == sorted(train)
        assert sorted(ids[row] for row in split.test) == sorted(test)
    other = shuffle_splits(n_stimuli, strata=None if stratified else strata)
    assert any(set(a.test) != set(b.test) for a, b in zip(ours, other, strict=True))


def test_halves_are_drawn_as_for_the_ceiling() -> None:
    theirs = their_splits(list("abcdefghi"), ["x"] * 9, stratification_coord=None, train_size=0.5)
    ours = shuffle_splits(9, train_size=0.5)
    assert [sorted("abcdefghi"[row] for row in split.train) for split in ours] == [sorted(train) for train, _ in theirs]
