"""Cross-validation: every split is predicted, in order, however many of them a metric fits together."""

from __future__ import annotations

import numpy as np
import pytest

import alignment.crossval
from alignment import get_metric
from alignment.crossval import Target, cross_validate
from alignment.gram import Gram
from benchmarks.splits import shuffle_splits
from benchmarks.stimuli import from_arrays


@pytest.mark.parametrize("name", ["pls", "ridge"])
@pytest.mark.parametrize("most_bytes", [1, 3 * 8 * 50 * 4, 10**9])  # one split at a time, three, or all of them
def test_every_split_is_predicted_in_order(name, most_bytes, monkeypatch):
    monkeypatch.setattr(alignment.crossval, "_TOGETHER_BYTES", most_bytes)
    rng = np.random.default_rng(0)
    ids = tuple(f"s{number:02}" for number in range(50))
    gram = Gram.of(rng.normal(size=(50, 120)), ids)
    responses, shown = rng.normal(size=(50, 4)), rng.permutation(50)
    stimuli = from_arrays({each: np.zeros((4, 4, 3), np.uint8) for each in ids}, visual_degrees=8.0)
    target = Target(stimuli, tuple(ids[row] for row in shown), tuple("abcd"), responses, shuffle_splits(50), ())
    metric = get_metric(name)
    found = cross_validate(metric, gram, target, threads=2)
    assert len(found.splits) == 10
    for split, got in zip(target.splits, found.splits, strict=True):
        expected = metric.predict(gram, shown[split.train], shown[split.test], responses[split.train])
        np.testing.assert_allclose(got.predicted, expected, rtol=1e-7, atol=1e-7)
        np.testing.assert_array_equal(got.recorded, responses[split.test])
        np.testing.assert_array_equal(got.test, split.test)
