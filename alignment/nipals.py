"""Steps of the NIPALS iteration of PLS2, from the covariance of the responses through the features, M = Y^T K Y."""

from __future__ import annotations

import numpy as np
import scipy.linalg

from alignment.contracts import Array


def compress(responses: Array) -> tuple[Array, Array | None]:
    """Rotate more neuroids than stimuli into as many columns as stimuli: (n, n), and the rotation (n_neuroids, n)."""
    if responses.shape[1] <= responses.shape[0]:
        return responses, None
    rotation, triangle = scipy.linalg.qr(responses.T, mode="economic")  # (n_neuroids, n), (n, n)
    return np.ascontiguousarray(triangle.T), rotation


def begin(targets: Array, scores: Array, loadings: Array, rotation: Array | None, sizes: Array) -> Array:
    """Return weights (n_targets,) that pick the first neuroid with anything left to explain: NIPALS begins there.

    What is left are the `targets` less `scores` times `loadings`; `sizes` are the norms of the centred responses.
    """
    columns = np.eye(targets.shape[1]) if rotation is None else rotation  # (n_neuroids, n_targets)
    for number in np.flatnonzero(sizes > np.finfo(np.float64).eps):
        column = columns[number]
        if np.linalg.norm(targets @ column - scores @ (loadings @ column)) > 1e-10 * sizes[number]:
            return np.asarray(column)
    return np.asarray(columns[0])


def power_iteration(covariance: Array, start: Array, tolerance: float, max_rounds: int) -> Array:
    """Return response weights c scaled so that the feature weights w = F^T Y c have unit length, |w|^2 = c^T M c.

    The squared change of w between rounds is (c - c')^T M (c - c').
    """
    weights, product = start, covariance @ start
    previous = None
    for _ in range(max_rounds):
        strength = float(weights @ product)
        if not strength > 0:
            break
        weights, product = weights / np.sqrt(strength), product / np.sqrt(strength)
        if previous is not None and float((weights - previous[0]) @ (product - previous[1])) < tolerance:
            break
        previous, weights = (weights, product), product
        product = covariance @ weights
    return weights


def deflate(covariance: Array, loading: Array, along: Array, strength: float) -> None:
    """Change M into that of Y - t l, in place, with l = `loading`, t^T K Y = `along` and t^T K t = `strength`."""
    change = np.outer(loading, along - strength / 2 * loading)
    covariance -= change + change.T
