"""Internal consistency equals Brain-Score's own, on a real recording whose stimuli have 6 to 10 repeats."""

from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from benchmarks.assemblies import to_repeats
from benchmarks.ceilings import ceiled, internal_consistency
from benchmarks.datasets.cowley2023 import ENTRIES
from benchmarks.fetch import locate

pytestmark = pytest.mark.brainscore


def brainscore_ceiling(repeats: np.ndarray):
    """Return Brain-Score's internal consistency of (n_stimuli, n_repeats, n_neuroids), from what was presented."""
    bs = pytest.importorskip("brainscore_vision")
    from brainscore_core.supported_data_standards.brainio.assemblies import NeuronRecordingAssembly

    stimulus, repetition = np.nonzero(~np.isnan(repeats).all(axis=2))
    coords = {
        "stimulus_id": ("presentation", [f"stimulus{number:04d}" for number in stimulus]),
        "object_name": ("presentation", ["none"] * len(stimulus)),
        "repetition": ("presentation", repetition),
        "neuroid_id": ("neuroid", [f"n{number:03d}" for number in range(repeats.shape[2])]),
        "region": ("neuroid", ["V4"] * repeats.shape[2]),
    }
    rows = repeats[stimulus, repetition]  # (n_presentations, n_neuroids)
    assembly = NeuronRecordingAssembly(rows, coords=coords, dims=["presentation", "neuroid"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy warns of constant neuroids
        return bs.load_ceiling("internal_consistency")(assembly)


@pytest.fixture(autouse=True)
def _no_installs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BS_INSTALL_DEPENDENCIES", "no")
    monkeypatch.setenv("RESULTCACHING_DISABLE", "1")


def assert_equal(repeats: np.ndarray) -> float:
    ours, theirs = internal_consistency(repeats), brainscore_ceiling(repeats)
    assert ours.value == pytest.approx(theirs.item(), abs=1e-6)
    assert ours.split_error == pytest.approx(theirs.attrs["error"].item(), abs=1e-6)
    raw = theirs.attrs["raw"].transpose("split", "neuroid")
    raw = raw.sortby("neuroid_id")
    np.testing.assert_allclose(ours.raw, raw.values, atol=1e-9)
    return ours.value


@pytest.mark.mirror
def test_a_real_session_equals_brainscore(mirror: Path) -> None:
    (card,) = (card for card in ENTRIES if card.name == "Cowley2023.V4-210325")
    (recording,) = card.load(partial(locate, mirror=mirror))
    repeats, _ = to_repeats(recording.assembly)
    counts = np.unique((~np.isnan(repeats[:, :, 0])).sum(axis=1))
    assert counts.tolist() == [6, 7, 8, 9, 10]
    assert 0.5 < assert_equal(repeats) < 1


def noisy(n_stimuli: int = 30, n_repeats: int = 6, n_neuroids: int = 4) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(n_stimuli, 1, n_neuroids)) + rng.normal(size=(n_stimuli, n_repeats, n_neuroids))


@pytest.mark.parametrize("n_repeats", [2, 5, 6])
def test_even_odd_and_two_repeats_equal_brainscore(n_repeats: int) -> None:
    assert_equal(noisy(n_repeats=n_repeats))


def test_neuroids_without_a_correlation_are_skipped_as_in_brainscore() -> None:
    repeats = noisy()
    repeats[:, :, 1] = 3.0
    repeats[4, 2, 0] = np.nan  # one lost response: the half's mean uses the others
    repeats[:, :, 3] *= -1  # any sign
    assert_equal(repeats)


def test_a_stimulus_missing_in_one_half_is_where_we_differ() -> None:
    """Brain-Score refuses a stimulus one half never shows, and drops a neuroid that lost it; we correlate the rest."""
    repeats = noisy(n_repeats=4)
    partly = repeats.copy()
    partly[7, 1:, 2] = np.nan
    theirs = brainscore_ceiling(partly).attrs["raw"].transpose("split", "neuroid").values
    ours = internal_consistency(partly)
    assert np.isnan(theirs[:, 2]).all()
    np.testing.assert_allclose(ours.raw[:, [0, 1, 3]], theirs[:, [0, 1, 3]], atol=1e-9)
    without = internal_consistency(np.delete(repeats, 7, axis=0))
    np.testing.assert_allclose(ours.raw[:, 2], without.raw[:, 2])

    repeats[7, 1:] = np.nan
    with pytest.raises((AssertionError, ValueError)):
        brainscore_ceiling(repeats)
    np.testing.assert_allclose(internal_consistency(repeats).raw, without.raw)


def test_ceiled_values_equal_brainscore_explained_variance() -> None:
    pytest.importorskip("brainscore_vision")
    from brainscore_vision.benchmark_helpers.neural_common import explained_variance
    from brainscore_vision.metrics import Score

    for raw in (0.1, 0.6, 0.95):
        theirs = explained_variance(Score(raw), Score(0.76))
        assert ceiled(raw, 0.76) == pytest.approx(theirs.item(), abs=1e-12)
        assert ceiled(-raw, 0.76) == -ceiled(raw, 0.76)
