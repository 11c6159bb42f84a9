"""Procrustes and shape distances: derivatives against finite ones, the triangle inequality, what whitening does."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from alignment import get_metric
from alignment.gram import Gram

NAMES = ("procrustes", "shape_angle", "shape_angle-half")


def found(name: str, features, responses):
    card = get_metric(name)
    gram = Gram.of(features, [str(row) for row in range(len(features))])
    return card.compare(gram, np.arange(len(features)), card.prepare(responses))


def sides(n_features: int, n_neuroids: int = 5):
    rng = np.random.default_rng(n_features)
    features = rng.normal(size=(25, n_features)) * np.linspace(2, 0.5, n_features) + 1
    signal = features @ rng.normal(size=(n_features, n_neuroids))
    return features, signal + signal.std(axis=0) * rng.normal(size=signal.shape)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("n_features", "n_neuroids"), [(8, 5), (8, 12), (60, 5), (60, 40)])
def test_influence_of_a_stimulus_is_the_derivative_by_its_weight(name, n_features, n_neuroids):
    """Every stimulus is taken 400 times, and one of them once more."""
    features, responses = sides(n_features, n_neuroids)
    once = found(name, features, responses)
    copies = 400
    whole = features.astype(float) - features.mean(axis=0)
    for row in (0, 7, 24):
        weights = np.ones(25)
        weights[row] += 1 / copies
        mean = weights @ whole / weights.sum(), weights @ responses / weights.sum()
        x, y = (np.sqrt(weights)[:, None] * (side - m) for side, m in zip((whole, responses), mean, strict=True))
        more = reference_of_weighted(name, x, y)
        assert (more - once.value) * copies * 25 == pytest.approx(once.by_stimulus[row], abs=0.02)


def reference_of_weighted(name: str, x, y) -> float:
    """Return the value of sides that are centred already, from their singular values and vectors."""
    sides = []
    for side in (x, y):
        basis, scales, _ = np.linalg.svd(side, full_matrices=False)
        basis, scales = basis[:, scales > 1e-8], scales[scales > 1e-8]
        if name.endswith("half"):
            scales = (scales + np.sqrt((scales**2).mean())) / 2
        sides.append(basis * scales / np.linalg.norm(scales))
    cosine = np.linalg.svd(sides[0].T @ sides[1], compute_uv=False).sum()
    return float(cosine if name == "procrustes" else np.arccos(cosine))


@pytest.mark.parametrize("name", NAMES)
def test_influence_of_neuroids_comes_from_leaving_them_out(name):
    features, responses = sides(60, 6)
    left = np.array([found(name, features, np.delete(responses, i, 1)).value for i in range(6)])
    expected = 5 * (left.mean() - left)
    influence = found(name, features, responses).by_neuroid
    if name == "procrustes":
        np.testing.assert_allclose(influence, expected, atol=1e-9)
    assert np.corrcoef(influence, expected)[0, 1] > 0.999


def test_many_neuroids_are_left_out_in_twenty_groups():
    features, responses = sides(8, 47)
    assert found("procrustes", features, responses).by_neuroid.shape == (20,)


@pytest.mark.parametrize("name", NAMES)
def test_a_single_neuroid_has_no_influence(name):
    features, responses = sides(8, 1)
    assert found(name, features, responses).by_neuroid.tolist() == [0.0]


@pytest.mark.parametrize("name", ["shape_angle", "shape_angle-half"])
def test_angles_are_a_metric(name):
    rng = np.random.default_rng(1)
    base = rng.normal(size=(20, 6))
    shapes = [base + size * rng.normal(size=(20, 6)) for size in (0.1, 0.5, 1, 2)] + [rng.normal(size=(20, 30))]
    angle = np.array([[found(name, one, two).value for two in shapes] for one in shapes])
    np.testing.assert_allclose(angle, angle.T, atol=1e-6)
    np.testing.assert_allclose(np.diag(angle), 0, atol=1e-3)
    for i, j, k in permutations(range(len(shapes)), 3):
        assert angle[i, k] <= angle[i, j] + angle[j, k] + 1e-6


def test_the_cosine_of_the_angle_is_the_similarity_and_the_distance_that_of_scipy():
    from scipy.spatial import procrustes

    features, responses = sides(8, 8)
    cosine = found("procrustes", features, responses).value
    assert np.cos(found("shape_angle", features, responses).value) == pytest.approx(cosine)
    assert procrustes(responses, features)[2] == pytest.approx(1 - cosine**2)


def test_whitening_brings_wide_layers_together():
    """Spectra that differ matter less after it; with as many features as stimuli the white halves are the same."""
    rng = np.random.default_rng(2)
    steep = rng.normal(size=(20, 40)) * np.geomspace(10, 0.1, 40)
    flat = rng.normal(size=(20, 40))
    assert found("shape_angle-half", steep, flat).value < found("shape_angle", steep, flat).value
    whites = [np.linalg.svd(side - side.mean(axis=0), full_matrices=False)[0][:, :19] for side in (steep, flat)]
    np.testing.assert_allclose(*(white @ white.T for white in whites), atol=1e-9)


def test_equal_shapes_have_no_slope():
    features, _ = sides(8)
    equal = found("shape_angle", features, features)
    assert np.isfinite(equal.by_stimulus).all()
