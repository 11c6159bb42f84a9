"""Splits are disjoint, repeatable, balanced where asked, and refuse what cannot be split."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import ShuffleSplit

from benchmarks.splits import shuffle_splits
from model_zoo.errors import InvalidOption, ShapeMismatch


@settings(deadline=None)
@given(n_stimuli=st.integers(10, 300), n_splits=st.integers(1, 5), seed=st.integers(0, 100))
def test_train_and_test_share_nothing_and_lose_nothing(n_stimuli: int, n_splits: int, seed: int) -> None:
    splits = shuffle_splits(n_stimuli, n_splits=n_splits, seed=seed)
    assert len(splits) == n_splits
    for split in splits:
        np.testing.assert_array_equal(np.sort([*split.train, *split.test]), np.arange(n_stimuli))
        assert len(split.train) == int(0.9 * n_stimuli)
    again = shuffle_splits(n_stimuli, n_splits=n_splits, seed=seed)
    assert all((a.train == b.train).all() for a, b in zip(splits, again, strict=True))


@settings(deadline=None)
@given(n_stimuli=st.integers(2, 300), train_size=st.floats(0.5, 0.99), seed=st.integers(0, 100))
def test_splits_are_those_of_scikit_learn_in_their_order(n_stimuli: int, train_size: float, seed: int) -> None:
    theirs = ShuffleSplit(3, train_size=train_size, random_state=seed).split(np.zeros(n_stimuli))
    ours = shuffle_splits(n_stimuli, n_splits=3, train_size=train_size, seed=seed)
    for split, (train, test) in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(split.train, train)
        np.testing.assert_array_equal(split.test, test)


def test_splits_without_strata_import_no_scikit_learn() -> None:
    code = (
        "import sys; from benchmarks.splits import shuffle_splits as draw; draw(9); assert 'sklearn' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_another_seed_draws_other_splits_and_splits_differ() -> None:
    tests = {tuple(split.test) for seed in (0, 1, 2) for split in shuffle_splits(100, seed=seed)}
    assert len(tests) == 30


def test_strata_keep_their_proportions() -> None:
    strata = np.repeat(["car", "face", "plane"], [100, 60, 40])
    np.random.default_rng(0).shuffle(strata)
    for split in shuffle_splits(200, strata=strata):
        names, counts = np.unique(strata[split.test], return_counts=True)
        assert dict(zip(names.tolist(), counts.tolist(), strict=True)) == {"car": 10, "face": 6, "plane": 4}


def test_impossible_splits_say_why() -> None:
    with pytest.raises(InvalidOption, match="1 stimuli that can be split 10 times"):
        shuffle_splits(1)
    with pytest.raises(InvalidOption, match="least populated class"):
        shuffle_splits(20, strata=["a"] * 19 + ["b"])
    with pytest.raises(InvalidOption, match="train_size"):
        shuffle_splits(20, train_size=1.5)
    with pytest.raises(ShapeMismatch, match="20 labels, one per stimulus"):
        shuffle_splits(20, strata=["a"] * 19)
