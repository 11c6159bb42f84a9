"""Layers' RDMs against recordings': as in Brain-Score, rsatoolbox and SciPy, on real V4 responses and random ones."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import kendalltau, pearsonr, spearmanr

from alignment import get_metric
from alignment.contracts import GeometryMetric
from alignment.gram import Gram
from alignment.rdm_similarity import as_similarity
from benchmarks import get_benchmark
from benchmarks.assemblies import average_repetitions
from benchmarks.fetch import locate

METHODS = {
    "rsa-pearson": "corr",
    "rsa-spearman": "spearman",
    "rsa-kendall": "tau-a",
    "rsa-cosine": "cosine",
    "rsa-whitened": "cosine_cov",
    "rsa-whitened-pearson": "corr_cov",
}
SCIPY_NAMES = {"correlation": "correlation", "cosine": "cosine", "euclidean": "sqeuclidean"}
SESSIONS = ["201025", "210325"]


@pytest.fixture(autouse=True)
def _brainscore_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in {"BS_INSTALL_DEPENDENCIES": "no", "RESULTCACHING_DISABLE": "1"}.items():
        monkeypatch.setenv(name, value)
    return


@pytest.fixture(scope="module")
def sessions(mirror):
    """Ids, averaged responses and features of both sessions: random projections of the images, rectified."""
    found = {}
    for session in SESSIONS:
        (recording,) = get_benchmark(f"Cowley2023.V4-{session}").load(lambda file: locate(file, mirror=mirror))
        target = average_repetitions(recording.assembly)
        ids = [str(each) for each in target["stimulus_id"].values]
        stimuli = recording.stimuli.subset(ids)
        pixels = [np.asarray(stimuli.image(each).convert("L").resize((16, 16)), dtype=np.float64) for each in ids]
        centred = np.stack(pixels).reshape(len(ids), -1) / 255 - 0.5
        weights = np.random.default_rng(0).normal(size=(256, 1500))
        found[session] = ids, np.asarray(target.values, dtype=np.float64), np.maximum(centred @ weights, 0)
    return found


def ours(metric: GeometryMetric, features: np.ndarray, responses: np.ndarray) -> float:
    ids = [str(row) for row in range(len(features))]
    card = as_similarity(metric)
    return card.compare(Gram.of(features, ids), np.arange(len(ids)), card.prepare(responses)).value


def brainscore(features: np.ndarray, responses: np.ndarray, ids: list[str]) -> float:
    from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly
    from brainscore_vision import load_metric

    def assembly(values: np.ndarray, prefix: str) -> NeuroidAssembly:
        numbers = np.arange(values.shape[1])
        coords = {
            "stimulus_id": ("presentation", ids),
            "image_number": ("presentation", np.arange(len(ids))),
            "neuroid_id": ("neuroid", [f"{prefix}{number:06d}" for number in numbers]),
            "neuroid_num": ("neuroid", numbers),
        }
        return NeuroidAssembly(values, coords=coords, dims=["presentation", "neuroid"])

    return float(load_metric("rdm")(assembly(features, "model"), assembly(responses, "brain")))


@pytest.mark.brainscore
@pytest.mark.mirror
@pytest.mark.parametrize("width", [300, 1500], ids=["narrow", "wide"])
@pytest.mark.parametrize("session", SESSIONS)
def test_real_recordings_score_as_in_brainscore(sessions, session, width):
    ids, responses, features = sessions[session]
    found = ours(get_metric("rsa-spearman"), features[:, :width], responses)
    assert found == pytest.approx(brainscore(features[:, :width], responses, ids), abs=1e-9)
    assert abs(found) > 0.01


@pytest.mark.brainscore
def test_random_recordings_score_as_in_brainscore():
    rng = np.random.default_rng(1)
    ids = [f"s{row:03d}" for row in rng.permutation(80)]
    features, responses = rng.normal(size=(80, 200)), rng.gamma(3, size=(80, 30))
    found = ours(get_metric("rsa-spearman"), features, responses)
    assert found == pytest.approx(brainscore(features, responses, ids), abs=1e-9)


@pytest.mark.mirror
def test_real_recordings_score_as_in_scipy(sessions):
    _, responses, features = sessions["210325"]
    rdms = [pdist(side, "correlation") for side in (features, responses)]
    assert ours(get_metric("rsa-pearson"), features, responses) == pytest.approx(pearsonr(*rdms).statistic, abs=1e-9)
    assert ours(get_metric("rsa-spearman"), features, responses) == pytest.approx(spearmanr(*rdms).statistic, abs=1e-9)
    few = [pdist(side[:150], "correlation") for side in (features, responses)]  # tau-b, where nothing is tied
    found = ours(get_metric("rsa-kendall"), features[:150], responses[:150])
    assert found == pytest.approx(kendalltau(*few).statistic, abs=1e-9)


@pytest.mark.mirror
@pytest.mark.parametrize("distance", SCIPY_NAMES)
@pytest.mark.parametrize(("name", "method"), METHODS.items(), ids=METHODS)
def test_every_distance_and_comparison_equals_rsatoolbox(sessions, name, method, distance):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rsatoolbox = pytest.importorskip("rsatoolbox")
        from rsatoolbox.data import Dataset
    rng = np.random.default_rng(2)
    _, responses, features = sessions["210325"]
    chosen = rng.permutation(len(responses))[:100]
    untied = responses[chosen] + 1e-6 * rng.normal(size=responses[chosen].shape)  # else rounding breaks ties of counts
    pairs = [(features[chosen], untied), (rng.gamma(2, size=(40, 70)), rng.normal(size=(40, 9)) + 1)]
    for sides in pairs:
        if distance == "cosine":  # rsatoolbox has none
            rdms = [rsatoolbox.rdm.RDMs(pdist(side, "cosine")[None]) for side in sides]
        else:
            rdms = [rsatoolbox.rdm.calc_rdm(Dataset(side), method=distance) for side in sides]
            scipys = pdist(sides[1], SCIPY_NAMES[distance]) / (sides[1].shape[1] if distance == "euclidean" else 1)
            np.testing.assert_allclose(rdms[1].dissimilarities[0], scipys, atol=1e-10)
        expected = rsatoolbox.rdm.compare(*rdms, method).item()
        assert ours(replace(get_metric(name), dissimilarity=distance), *sides) == pytest.approx(expected, abs=1e-8)
