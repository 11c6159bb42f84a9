"""Neuron to neuron against the real brainscore-vision metric, on real V4 data and on random data."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from alignment import get_metric, score
from alignment.spill import BLOCK
from alignment.subjects import PrecomputedFeatures
from benchmarks import get_benchmark
from benchmarks.assemblies import average_repetitions
from benchmarks.fetch import locate
from benchmarks.splits import shuffle_splits
from model_zoo.extraction import extract
from model_zoo.layers import list_layers
from model_zoo.sources import load_model

pytestmark = [pytest.mark.brainscore]

SIZE = (48, 48)
SESSION = "Cowley2023.V4-210325"  # 640 stimuli, 50 neurons


@pytest.fixture(autouse=True)
def _brainscore_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"BS_INSTALL_DEPENDENCIES": "no", "RESULTCACHING_DISABLE": "1"}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def real(mirror):
    """Averaged responses, and features of an untrained resnet18: 512 averages, and 2304 that are often zero."""
    model = load_model("torchvision/resnet18", seed=0, overrides={"input_size": SIZE})
    layers = [
        each for each in list_layers(model.module, SIZE, all_modules=True) if each.name in ("avgpool", "layer3.1.relu")
    ]
    (recording,) = get_benchmark(SESSION).load(lambda file: locate(file, mirror=mirror))
    ids = list(recording.stimuli.ids)
    values = {layer.name: np.empty((len(ids), layer.n_features), np.float32) for layer in layers}

    def keep(name, row, features):
        values[name][row : row + len(features)] = features

    extract(model, recording.stimuli, layers, keep, batch_size=32)
    features = {
        name: xr.DataArray(array, dims=("stimulus_id", "feature"), coords={"stimulus_id": ids})
        for name, array in values.items()
    }
    return average_repetitions(recording.assembly), features


def _random() -> tuple[np.ndarray, np.ndarray]:
    """Return features, among them constants, duplicates and rarely active ones, and responses."""
    rng = np.random.default_rng(0)
    features = np.maximum(rng.normal(size=(80, 400)) + rng.normal(size=400) - 1, 0)
    features[:, 5], features[:, 300] = 2.0, features[:, 20]
    return features, features[:, rng.integers(400, size=12)] + 0.5 * rng.normal(size=(80, 12)) + 3


def _choices(features: np.ndarray, responses: np.ndarray, splits) -> np.ndarray:
    """Return the features that Brain-Score's regression picks."""
    from brainscore_vision.metrics.regression_correlation.metric import SingleRegression

    found = []
    for split in splits:
        regression = SingleRegression()
        with np.errstate(invalid="ignore", divide="ignore"):
            regression.fit(xr.DataArray(features[split.train]), xr.DataArray(responses[split.train]))
        found.append(regression.mapping)
    return np.array(found)


def _ours(features: np.ndarray, responses: np.ndarray, splits) -> np.ndarray:
    reduction = get_metric("neuron_to_neuron").begin(responses, splits)
    for start in range(0, features.shape[1], BLOCK):
        reduction.add(features[:, start : start + BLOCK], start)
    return reduction.finish()["chosen"]


def test_the_same_features_are_chosen_in_random_data():
    features, responses = _random()
    splits = shuffle_splits(len(features))
    np.testing.assert_array_equal(_ours(features, responses, splits), _choices(features, responses, splits))


@pytest.mark.mirror
def test_the_same_features_are_chosen_in_real_data(real):
    target, features = real
    rows = features["layer3.1.relu"].sel(stimulus_id=target["stimulus_id"].values).values
    splits = shuffle_splits(len(rows))[:2]
    theirs = _choices(rows.astype(np.float64), target.values, splits)
    np.testing.assert_array_equal(_ours(rows, target.values, splits), theirs)


@pytest.mark.mirror
def test_score_equals_brainscore(real, mirror):
    from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly
    from brainscore_vision import load_metric

    target, features = real
    ids = [str(each) for each in target["stimulus_id"].values]
    presentation = {"stimulus_id": ("presentation", ids), "image_number": ("presentation", np.arange(len(ids)))}

    def assembly(values, prefix):
        names = [f"{prefix}{number:06d}" for number in range(values.shape[1])]
        neuroid = {"neuroid_id": ("neuroid", names), "neuroid_num": ("neuroid", np.arange(len(names)))}
        return NeuroidAssembly(values, coords={**presentation, **neuroid}, dims=["presentation", "neuroid"])

    official = load_metric("neuron_to_neuron", crossvalidation_kwargs={"stratification_coord": None})
    source = features["avgpool"].sel(stimulus_id=ids).values.astype(np.float64)
    theirs = official(assembly(source, "model"), assembly(target.values, "brain"))
    (ours,) = score(
        PrecomputedFeatures("resnet18", features), SESSION, layers="avgpool", metric="neuron_to_neuron", mirror=mirror
    )
    assert ours.raw == pytest.approx(float(theirs), abs=1e-6)
    assert ours.split_error == pytest.approx(float(theirs.attrs["error"]), abs=1e-6)
    by_neuroid = theirs.attrs["raw"].transpose("split", "neuroid").values
    np.testing.assert_allclose(ours.split_raw, np.nanmedian(by_neuroid, axis=1), atol=1e-6)
