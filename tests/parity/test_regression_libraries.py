"""Regression metrics against scikit-learn, himalaya and brainscore-vision, on random data and a real V4 session."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest
from himalaya.kernel_ridge import (
    KernelRidge,
    predict_weighted_kernel_ridge,
    solve_multiple_kernel_ridge_random_search,
)
from himalaya.ridge import Ridge as HimalayaRidge
from sklearn.linear_model import LinearRegression, RidgeCV

from alignment import METRICS, score
from alignment.banded import banded_ridge, scaled_kernel
from alignment.gram import Gram
from alignment.linear_maps import centre_features, centre_gram, ridge, spectrum
from alignment.spectral import least_squares
from alignment.subjects import PrecomputedFeatures
from benchmarks import get_benchmark
from benchmarks.assemblies import average_repetitions
from benchmarks.fetch import locate
from benchmarks.splits import shuffle_splits

N_TRAIN, N_TEST = 90, 30
TRAIN, TEST = np.arange(N_TRAIN), np.arange(N_TRAIN, N_TRAIN + N_TEST)
LIBRARIES = ("linear_predictivity", "pcr", "ridge", "ridgecv", "ridgecv-shared")
SESSION = "Cowley2023.V4-210325"
SIZE = (48, 48)  # layer3 has 2304 features there, more than the session has stimuli; avgpool has 512, fewer


def random_data(n_features: int, n_neuroids: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Return features with a decaying spectrum, and responses that depend on them."""
    rng = np.random.default_rng(n_features)
    features = rng.normal(size=(N_TRAIN + N_TEST, n_features)) * np.geomspace(3, 0.1, n_features) + 1.0
    responses = features @ rng.normal(size=(n_features, n_neuroids))
    return features, responses + 0.5 * responses.std() * rng.normal(size=responses.shape) + 4.0


@pytest.mark.filterwarnings("ignore:Solving:UserWarning")
@pytest.mark.parametrize("n_features", [20, 600])
@pytest.mark.parametrize("form", ["dual", "primal"])
def test_fixed_penalties_equal_himalayas_in_both_its_forms(n_features, form):
    features, responses = random_data(n_features)
    fixed = {"alpha": 3.0, "fit_intercept": True}
    theirs = [model(**fixed).fit(features[TRAIN], responses[TRAIN]) for model in (HimalayaRidge, KernelRidge)]
    make = {"dual": lambda: centre_gram(features @ features.T, TRAIN, TEST)}
    make["primal"] = lambda: centre_features(features, TRAIN, TEST)
    got = ridge(make[form](), responses[TRAIN], 3.0)
    for model in theirs:
        np.testing.assert_allclose(got, model.predict(features[TEST]), atol=1e-6)


@pytest.mark.filterwarnings("ignore:Solving:UserWarning")
@pytest.mark.parametrize("n_features", [20, 600])
def test_a_penalty_per_neuroid_equals_himalayas(n_features):
    features, responses = random_data(n_features)
    alphas = np.logspace(-2, 4, responses.shape[1])
    system = centre_gram(features @ features.T, TRAIN, TEST)
    mean = responses[TRAIN].mean(0)
    got = spectrum(system).shrink(responses[TRAIN] - mean, alphas) + mean
    exactly = {"solver": "conjugate_gradient", "solver_params": {"tol": 1e-12, "max_iter": 2000}}
    primal = HimalayaRidge(alpha=alphas, fit_intercept=True)
    dual = KernelRidge(alpha=alphas, fit_intercept=True, **exactly)
    for model in (primal, dual):
        expected = model.fit(features[TRAIN], responses[TRAIN]).predict(features[TEST])
        np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.fixture(scope="module")
def session(mirror):
    """Averaged responses and float64 features of an untrained resnet18."""
    import xarray as xr

    from model_zoo.extraction import extract
    from model_zoo.layers import list_layers
    from model_zoo.sources import load_model

    model = load_model("torchvision/resnet18", seed=0, overrides={"input_size": SIZE})
    found = list_layers(model.module, SIZE, all_modules=True)
    layers = [layer for layer in found if layer.name in ("layer2", "layer3", "avgpool")]
    (recording,) = get_benchmark(SESSION).load(lambda file: locate(file, mirror=mirror))
    ids = list(recording.stimuli.ids)
    values = {layer.name: np.empty((len(ids), layer.n_features)) for layer in layers}

    def keep(name, row, features):
        values[name][row : row + len(features)] = features

    extract(model, recording.stimuli, layers, keep, batch_size=32)
    named = {
        name: xr.DataArray(array, dims=("stimulus_id", "feature"), coords={"stimulus_id": ids})
        for name, array in values.items()
    }
    return average_repetitions(recording.assembly), named


def rows_of(session, layer: str) -> tuple[np.ndarray, np.ndarray]:
    """Return features and responses with the same rows."""
    target, features = session
    ids = [str(each) for each in target["stimulus_id"].values]
    return features[layer].sel(stimulus_id=ids).values, target.values


@pytest.mark.mirror
@pytest.mark.parametrize(
    ("name", "layer"),
    [
        *((name, "layer3") for name in ("linear_predictivity", "pcr", "ridge", "ridgecv", "ridgecv-shared")),
        *(
            (name, "avgpool")
            for name in ("linear_predictivity", "pcr", "ridge", "ridgecv", "ridgecv-shared", "ridgegcv")
        ),
    ],
)
def test_predictions_on_real_data_equal_the_slow_references(session, name, layer):
    features, responses = rows_of(session, layer)
    split, card = shuffle_splits(len(features))[3], METRICS.get(name)
    expected = card.reference(features[split.train], responses[split.train], features[split.test])
    gram = Gram.of(features, [str(row) for row in range(len(features))])
    got = card.predict(gram, split.train, split.test, responses[split.train])
    np.testing.assert_allclose(got, expected, atol=1e-6 * responses.std())


def agrees_on_the_span(features: np.ndarray, responses: np.ndarray, train: np.ndarray, test: np.ndarray) -> bool:
    """Return whether scikit-learn's weights, less what is orthogonal to all training stimuli, predict as we do."""
    model = LinearRegression().fit(features[train], responses[train])
    centre = features[train].mean(0)
    right = np.linalg.svd(features[train] - centre, full_matrices=False)[2][: len(train) - 1]
    expected = (features[test] - centre) @ right.T @ (right @ model.coef_.T) + responses[train].mean(0)
    systems = (centre_features(features, train, test), centre_gram(features @ features.T, train, test))
    found = [least_squares(spectrum(system), responses[train]) for system in systems]
    return max(np.abs(each - expected).max() for each in found) <= 1e-6 * responses.std()


def test_scikit_learns_linear_regression_is_ours_on_the_span_of_random_training_stimuli():
    """Its versions before 1.6 take the rounding of the centring for a dimension where features outnumber stimuli."""
    assert agrees_on_the_span(*random_data(600), TRAIN, TEST)
    assert agrees_on_the_span(*random_data(20), TRAIN, TEST)


@pytest.mark.mirror
def test_scikit_learns_linear_regression_is_ours_on_the_span_of_real_training_stimuli(session):
    features, responses = rows_of(session, "layer3")
    for split in shuffle_splits(len(features))[:3]:
        assert agrees_on_the_span(features, responses, split.train, split.test)


@pytest.mark.mirror
def test_three_real_layers_together_equal_himalaya(session):
    """At given weights and penalty, and the contribution of every layer."""
    layers = [rows_of(session, name)[0] for name in ("layer2", "layer3", "avgpool")]
    responses = rows_of(session, "layer3")[1]
    split = shuffle_splits(len(responses))[0]
    kernels = [scaled_kernel(centre_features(layer, split.train, split.test)) for layer in layers]
    gamma, alpha = np.array([[0.2, 0.5, 0.3]]), 1.0
    deltas, weights, _ = solve_multiple_kernel_ridge_random_search(
        np.stack([kernel.train for kernel in kernels]),
        responses[split.train] - responses[split.train].mean(0),
        n_iter=gamma,
        alphas=alpha,
        return_weights="dual",
        progress_bar=False,
    )
    expected = predict_weighted_kernel_ridge(np.stack([kernel.test for kernel in kernels]), weights, deltas, split=True)
    got = banded_ridge(kernels, responses[split.train], gamma, [alpha]).parts
    np.testing.assert_allclose(got, expected, atol=1e-6 * responses.std())


@pytest.fixture
def official(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The environment Brain-Score must be imported in."""
    for name, value in {"BS_INSTALL_DEPENDENCIES": "no", "RESULTCACHING_DISABLE": "1"}.items():
        monkeypatch.setenv(name, value)
    yield
    assert os.environ["BS_INSTALL_DEPENDENCIES"] == "no"


def assembly(values: np.ndarray, ids: list[str], prefix: str):
    """Return Brain-Score's assembly of values (n_stimuli, n_units)."""
    from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly

    numbers = np.arange(values.shape[1])
    presentation = {"stimulus_id": ("presentation", ids), "image_number": ("presentation", np.arange(len(ids)))}
    neuroid = {
        "neuroid_id": ("neuroid", [f"{prefix}{number:06d}" for number in numbers]),
        "neuroid_num": ("neuroid", numbers),
    }
    return NeuroidAssembly(values, coords={**presentation, **neuroid}, dims=["presentation", "neuroid"])


@pytest.mark.brainscore
@pytest.mark.mirror
@pytest.mark.usefixtures("official")
@pytest.mark.parametrize(("layer", "tolerance"), [("avgpool", 1e-6), ("layer3", 2e-3)])
def test_linear_predictivity_equals_brainscores(session, mirror, layer, tolerance):
    """Of more features than stimuli, its value depends on the direction of rounding that scikit-learn 1.5 adds."""
    from brainscore_vision import load_metric

    target, features = session
    ids = [str(each) for each in target["stimulus_id"].values]
    metric = load_metric("linear_predictivity", crossvalidation_kwargs={"stratification_coord": None})
    theirs = metric(assembly(features[layer].sel(stimulus_id=ids).values, ids, "m"), assembly(target.values, ids, "b"))
    subject = PrecomputedFeatures("resnet18", features)
    (ours,) = score(subject, SESSION, layers=[layer], metric="linear_predictivity", mirror=mirror)
    assert ours.raw == pytest.approx(float(theirs), abs=tolerance)
    medians = np.nanmedian(theirs.attrs["raw"].transpose("split", "neuroid").values, axis=1)
    np.testing.assert_allclose(ours.split_raw, medians, atol=10 * tolerance)
    assert ours.split_error == pytest.approx(float(theirs.attrs["error"]), abs=tolerance)


@pytest.mark.brainscore
@pytest.mark.mirror
@pytest.mark.usefixtures("official")
@pytest.mark.parametrize("layer", ["layer3", "avgpool"])
def test_the_shared_penalty_is_that_of_brainscores_ridgecv(session, layer):
    from brainscore_vision import load_metric
    from brainscore_vision.metrics.regression_correlation.metric import ALPHA_LIST

    card = METRICS.get("ridgecv-shared")
    assert card.parameters["alphas"] == tuple(ALPHA_LIST)
    features, responses = rows_of(session, layer)
    split = shuffle_splits(len(features))[0]
    drawn = (split.train, split.test)
    ids = [[f"s{row:04d}" for row in rows] for rows in drawn]
    theirs = load_metric("ridgecv_split")(
        *(assembly(features[rows], each, "m") for rows, each in zip(drawn, ids, strict=True)),
        *(assembly(responses[rows], each, "b") for rows, each in zip(drawn, ids, strict=True)),
    )
    gram = Gram.of(features, [str(row) for row in range(len(features))])
    predicted = card.predict(gram, *drawn, responses[split.train])
    recorded = responses[split.test]
    ours = [np.corrcoef(p, y)[0, 1] for p, y in zip(predicted.T, recorded.T, strict=True)]
    assert float(theirs) == pytest.approx(np.nanmedian(ours), abs=1e-6)
    np.testing.assert_allclose(theirs.attrs["raw"].values, ours, atol=1e-6)
    chosen = RidgeCV(ALPHA_LIST).fit(features[split.train], responses[split.train]).alpha_
    assert float(np.unique(theirs.attrs["raw"].attrs["alpha"])[0]) == chosen
