"""CKA against the real brainscore-vision metrics, on random data and on real V4 responses; Procrustes against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes

from alignment import get_metric
from alignment.crossval import make_target
from alignment.gram import Gram
from benchmarks import get_benchmark
from benchmarks.fetch import locate

NAMES = {"cka": "cka", "cka-biased": "cka_biased"}


@pytest.fixture(autouse=True)
def _brainscore_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"BS_INSTALL_DEPENDENCIES": "no", "RESULTCACHING_DISABLE": "1"}.items():
        monkeypatch.setenv(name, value)


def _official(name: str, features, responses) -> float:
    """Return what brainscore-vision finds between the same arrays."""
    from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly
    from brainscore_vision import load_metric

    ids = [f"s{row:04d}" for row in range(len(features))]

    def assembly(values, prefix):
        n_units = values.shape[1]
        return NeuroidAssembly(
            values,
            coords={
                "stimulus_id": ("presentation", ids),
                "image_number": ("presentation", np.arange(len(ids))),
                "neuroid_id": ("neuroid", [f"{prefix}{number:06d}" for number in range(n_units)]),
                "neuroid_num": ("neuroid", np.arange(n_units)),
            },
            dims=["presentation", "neuroid"],
        )

    return float(load_metric(NAMES[name])(assembly(features, "model"), assembly(responses, "brain")))


def _ours(name: str, features, responses) -> float:
    card = get_metric(name)
    gram = Gram.of(features, [str(row) for row in range(len(features))])
    return card.compare(gram, np.arange(len(features)), card.prepare(responses)).value


@pytest.fixture(scope="module", params=["201025", "210325"])
def responses(request, mirror):
    """Averaged responses of a real V4 session, of the neuroids recorded for every stimulus."""
    card = get_benchmark(f"Cowley2023.V4-{request.param}")
    (recording,) = card.load(lambda file: locate(file, mirror=mirror))
    values = make_target(card, recording, None).responses
    return values[:, np.isfinite(values).all(axis=0)]


def _features(n_stimuli: int, n_features: int, like=None):
    rng = np.random.default_rng(n_features)
    own = rng.normal(size=(n_stimuli, n_features)) * np.geomspace(3, 0.1, n_features)
    return own if like is None else own + like @ rng.normal(size=(like.shape[1], n_features)) / like.std() / 20


@pytest.mark.brainscore
@pytest.mark.mirror
@pytest.mark.parametrize("n_features", [300, 3000])
@pytest.mark.parametrize("name", NAMES)
def test_cka_of_real_responses_equals_brainscore(responses, name, n_features):
    features = _features(len(responses), n_features, responses)
    theirs = _official(name, features, responses)
    assert 0.02 < theirs < 0.98
    assert _ours(name, features, responses) == pytest.approx(theirs, abs=1e-6)
    short = features.astype(np.float32)
    assert _ours(name, short, responses) == pytest.approx(_official(name, short, responses), abs=1e-4)


@pytest.mark.brainscore
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(5))
def test_cka_of_random_data_equals_brainscore(name, seed):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(40 + seed, 10**seed % 997)) + seed
    responses = rng.normal(size=(40 + seed, 12)) + features[:, :1]
    assert _ours(name, features, responses) == pytest.approx(_official(name, features, responses), abs=1e-9)


@pytest.mark.mirror
def test_procrustes_of_real_responses_equals_scipy(responses):
    features = _features(len(responses), 300, responses)
    x, y = (side - side.mean(axis=0) for side in (features, responses))
    _, nuclear_norm = orthogonal_procrustes(np.pad(y, ((0, 0), (0, x.shape[1] - y.shape[1]))), x)
    expected = nuclear_norm / np.linalg.norm(x) / np.linalg.norm(y)
    assert _ours("procrustes", features, responses) == pytest.approx(expected, abs=1e-6)
    assert _ours("shape_angle", features, responses) == pytest.approx(np.arccos(expected), abs=1e-6)
