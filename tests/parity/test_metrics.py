"""PLS and ridge against the real brainscore-vision metrics, on the same features of real V4 sessions."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest
from sklearn.cross_decomposition import PLSRegression

from alignment import score
from alignment.linear_maps import centre_features, centre_gram
from alignment.nipals import pls2
from alignment.subjects import PrecomputedFeatures
from benchmarks import get_benchmark
from benchmarks.assemblies import average_repetitions
from benchmarks.fetch import locate
from benchmarks.splits import shuffle_splits
from model_zoo.extraction import extract
from model_zoo.layers import list_layers
from model_zoo.sources import load_model

pytestmark = [pytest.mark.brainscore, pytest.mark.mirror]

# layer3 at 48 px has 2304 features, more than either session has stimuli; avgpool has 512, fewer than both.
SIZE = (48, 48)
CASES = [
    ("201025", "layer3", "pls", 1e-5),
    ("210325", "layer3", "pls", 1e-5),
    ("210325", "avgpool", "pls", 1e-5),
    ("201025", "layer3", "ridge", 1e-5),
    ("210325", "layer3", "ridge", 1e-5),
    ("210325", "avgpool", "ridge", 1e-5),
]


@pytest.fixture(autouse=True)
def _brainscore_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in {"BS_INSTALL_DEPENDENCIES": "no", "RESULTCACHING_DISABLE": "1"}.items():
        monkeypatch.setenv(name, value)
    return


@pytest.fixture(scope="module")
def sessions(mirror):
    """Averaged responses and float64 features of an untrained resnet18 for both sessions."""
    import xarray as xr

    model = load_model("torchvision/resnet18", seed=0, overrides={"input_size": SIZE})
    layers = [
        layer for layer in list_layers(model.module, SIZE, all_modules=True) if layer.name in ("layer3", "avgpool")
    ]
    found = {}
    for session in ("201025", "210325"):
        (recording,) = get_benchmark(f"Cowley2023.V4-{session}").load(lambda file: locate(file, mirror=mirror))
        stimuli = recording.stimuli
        values = {layer.name: np.empty((len(stimuli.ids), layer.n_features)) for layer in layers}

        def keep(name, row, features, values=values):
            values[name][row : row + len(features)] = features

        extract(model, stimuli, layers, keep, batch_size=32)
        features = {
            name: xr.DataArray(array, dims=("stimulus_id", "feature"), coords={"stimulus_id": list(stimuli.ids)})
            for name, array in values.items()
        }
        found[session] = average_repetitions(recording.assembly), features
    return found


def _brainscore(metric: str, features, target):
    """The score brainscore-vision gives to the same numbers."""
    from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly
    from brainscore_vision import load_metric

    ids = [str(each) for each in target["stimulus_id"].values]
    presentation = {"stimulus_id": ("presentation", ids), "image_number": ("presentation", np.arange(len(ids)))}

    def assembly(values, prefix):
        n_units = values.shape[1]
        neuroid = {
            "neuroid_id": ("neuroid", [f"{prefix}{number:06d}" for number in range(n_units)]),
            "neuroid_num": ("neuroid", np.arange(n_units)),
        }
        return NeuroidAssembly(values, coords={**presentation, **neuroid}, dims=["presentation", "neuroid"])

    source = assembly(features.sel(stimulus_id=ids).values, "model")
    official = load_metric(metric, crossvalidation_kwargs={"stratification_coord": None})
    return official(source, assembly(target.values, "brain"))


@pytest.mark.parametrize(("session", "layer", "metric", "tolerance"), CASES)
def test_score_equals_brainscore(sessions, mirror, session, layer, metric, tolerance):
    target, features = sessions[session]
    theirs = _brainscore(metric, features[layer], target)
    (ours,) = score(
        PrecomputedFeatures("resnet18", features),
        f"Cowley2023.V4-{session}",
        layers=[layer],
        metric=metric,
        mirror=mirror,
    )
    assert ours.raw == pytest.approx(float(theirs), abs=tolerance)
    raw = theirs.attrs["raw"]
    by_neuroid = raw.transpose("split", "neuroid")
    medians = np.nanmedian(by_neuroid.values, axis=1)
    np.testing.assert_allclose(ours.split_raw, medians, atol=10 * tolerance)
    assert ours.split_error == pytest.approx(float(theirs.attrs["error"]), abs=tolerance)


@pytest.mark.parametrize("session", ["201025", "210325"])
def test_pls_on_real_features_is_nipals_converged_where_asked(sessions, session):
    target, features = sessions[session]
    values = features["avgpool"].sel(stimulus_id=target["stimulus_id"].values).values
    split = shuffle_splits(len(values))[1]
    nipals = PLSRegression(n_components=25, scale=False, tol=1e-12, max_iter=100_000)
    expected = nipals.fit(values[split.train], target.values[split.train]).predict(values[split.test])
    for system in (
        centre_features(values, split.train, split.test),
        centre_gram(values @ values.T, split.train, split.test),
    ):
        got = pls2(system, target.values[split.train], tolerance=1e-12, max_rounds=100_000)
        np.testing.assert_allclose(got, expected, atol=1e-3 * expected.std())


def test_brainscore_metrics_are_the_real_ones():
    import brainscore_vision

    assert os.environ["BS_INSTALL_DEPENDENCIES"] == "no"
    assert type(brainscore_vision.load_metric("pls")).__name__ == "CrossRegressedCorrelation"
