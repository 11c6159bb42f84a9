"""PLS2 by the NIPALS iteration, from the covariance of the responses through the features, M = Y^T K Y."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from functools import partial

import numpy as np
import scipy.linalg

from alignment.contracts import Array
from alignment.linear_maps import System, WholeGram

_FALLEN = 1e-1  # share of a covariance below which rounding in its updates is taken off: it is computed anew

Steps = Generator[Array, Array, Array]  # asks for K times vectors over the training stimuli; returns predictions


def pls2(
    system: System | WholeGram,
    responses: Array,
    n_components: int = 25,
    *,
    tolerance: float = 1e-6,
    max_rounds: int = 500,
) -> Array:
    """Return PLS2 predictions for the test stimuli, equal to scikit-learn's NIPALS solution.

    Each component's response weights c come from the NIPALS power iteration c <- Y^T K Y c (K and Y deflated), begun
    at the first neuroid that is not constant and ended by scikit-learn's rule. With u = Y c, the score is t = K u, made
    orthogonal to the earlier scores and normalised; a test stimulus' score is the same functional of its own
    similarities. Neither K nor Y is deflated: with P = I - T T^T, P K P Y = P K (Y - T L) with L = T^T Y, and Y^T K Y
    changes by three outer products per component.

    Parameters
    ----------
    system : DualSystem, WholeGram or PrimalSystem
        Centred on the training stimuli.
    responses : array of shape (n_train, n_neuroids)
        Finite training responses, any unit; centred here.
    n_components : int
        Number of latent components (Brain-Score: 25).
    tolerance : float
        The iteration ends when the squared change of the feature weights (of unit length) falls below it; below 1e-14
        it is lost in rounding.
    max_rounds : int
        Or after so many rounds.

    Returns
    -------
    array of shape (n_test, n_neuroids)
        Predictions in the unit of `responses`.

    Notes
    -----
    With scikit-learn's tolerance the iteration often stops short of its fixed point, and the score then depends
    slightly on which neuroid comes first: on layer3 of resnet18 and a real V4 session by 0.002. It is kept because
    published Brain-Score values have it; a small `tolerance` gives the fixed point.

    References
    ----------
    Wold, Sjostrom and Eriksson (2001), PLS-regression, sec. 3.2; Rosipal and Trejo (2001), Kernel partial least squares
    regression in reproducing kernel Hilbert space, JMLR 2, sec. 3.
    """
    iterate = partial(_power_iteration, tolerance=tolerance, max_rounds=max_rounds)
    steps = _steps(responses, n_components, iterate)
    asked = next(steps)
    while True:
        try:
            asked = steps.send(system.apply(asked))
        except StopIteration as finished:
            return np.asarray(finished.value)


def pls2_together(systems: Sequence[WholeGram], responses: Sequence[Array], n_components: int = 25) -> list[Array]:
    """Return `pls2` of several splits of one Gram matrix, made step by step together: K is read once for all of them.

    Parameters
    ----------
    systems : sequence of WholeGram
        Of the same Gram matrix.
    responses : sequence of arrays (n_train, n_neuroids)
    n_components : int
    """
    running = dict(enumerate(_steps(each, n_components, _power_iteration) for each in responses))
    asked = {number: next(steps) for number, steps in running.items()}
    found: dict[int, Array] = {}
    rotated = any(each.shape[1] > each.shape[0] for each in responses)
    products = None if rotated else WholeGram.of_responses(systems, responses)
    while asked:
        if products is None:
            products = WholeGram.apply_together([systems[number] for number in asked], list(asked.values()))
        for number, product in zip(list(asked), products, strict=True):
            try:
                asked[number] = running[number].send(product)
            except StopIteration as finished:
                found[number] = finished.value
                del asked[number]
        products = None
    return [found[number] for number in range(len(systems))]


def _steps(responses: Array, n_components: int, iterate: Callable[[Array, Array], Array]) -> Steps:
    mean = responses.mean(axis=0)
    sizes = np.linalg.norm(responses - mean, axis=0)  # (n_neuroids,)
    targets, rotation = _compress(responses - mean)  # Y, (n_train, n_targets), n_targets <= n_train
    n_train = len(targets)
    limit = min(n_components, n_train - 1)
    similarity = yield targets  # K Y of all stimuli, (n_train + n_test, n_targets)
    scores = np.zeros((len(similarity), limit))  # rows of T (orthonormal columns), then of the test stimuli
    images = np.zeros_like(scores)  # K T
    loadings = np.zeros((limit, targets.shape[1]))  # L, rows t^T Y
    covariance = targets.T @ similarity[:n_train]  # Y^T K Y, deflated, (n_targets, n_targets)
    whole = exact = float(np.trace(covariance))
    for a in range(limit):
        before, lost, image = scores[:, :a], loadings[:a], images[:, :a]
        if np.trace(covariance) < _FALLEN * exact:
            residual = targets - before[:n_train] @ lost
            covariance = residual.T @ (similarity[:n_train] - image[:n_train] @ lost)
            exact = float(np.trace(covariance))
        if not np.trace(covariance) > whole * 1e-14:
            break
        weights = iterate(covariance, _begin(targets, before[:n_train], lost, rotation, sizes))
        t = similarity @ weights - image @ (lost @ weights)  # t = K u with u = Y c
        length = float(np.linalg.norm(t[:n_train]))
        for _ in range(2):  # a second pass keeps T orthonormal to machine precision
            t = t - before @ (before[:n_train].T @ t[:n_train])
        norm = float(np.linalg.norm(t[:n_train]))
        if not norm > 1e-12 * length:
            break
        scores[:, a] = t / norm
        t_train = scores[:n_train, a].copy()
        loadings[a] = covariance @ weights / norm  # t^T Y = u^T K P Y / norm, since t is orthogonal to earlier scores
        images[:, a] = yield t_train
        along = t_train @ similarity[:n_train] - (t_train @ image[:n_train]) @ lost  # t^T K Y
        _deflate(covariance, loadings[a], along, float(t_train @ images[:n_train, a]))
    predictions = scores[n_train:] @ loadings
    return np.asarray((predictions if rotation is None else predictions @ rotation.T) + mean)


def _compress(responses: Array) -> tuple[Array, Array | None]:
    """Rotate more neuroids than stimuli into as many columns as stimuli: (n, n), and the rotation (n_neuroids, n)."""
    if responses.shape[1] <= responses.shape[0]:
        return responses, None
    rotation, triangle = scipy.linalg.qr(responses.T, mode="economic")  # (n_neuroids, n), (n, n)
    return np.ascontiguousarray(triangle.T), rotation


def _begin(targets: Array, scores: Array, loadings: Array, rotation: Array | None, sizes: Array) -> Array:
    """Return weights (n_targets,) that pick the first neuroid with anything left to explain: NIPALS begins there.

    What is left are the `targets` less `scores` times `loadings`; `sizes` are the norms of the centred responses.
    """
    for number in np.flatnonzero(sizes > np.finfo(np.float64).eps):
        if rotation is None:
            left = targets[:, number] - scores @ loadings[:, number]
        else:
            left = targets @ rotation[number] - scores @ (loadings @ rotation[number])
        if np.linalg.norm(left) > 1e-10 * sizes[number]:
            return _picking(number, targets.shape[1], rotation)
    return _picking(0, targets.shape[1], rotation)


def _picking(number: int, n_targets: int, rotation: Array | None) -> Array:
    if rotation is not None:
        return np.asarray(rotation[number])
    column = np.zeros(n_targets)
    column[number] = 1.0
    return column


def _power_iteration(covariance: Array, start: Array, tolerance: float = 1e-6, max_rounds: int = 500) -> Array:
    """Return response weights c scaled so that the feature weights w = F^T Y c have unit length, |w|^2 = c^T M c.

    The next weights are c' = M c / s with s such that they have unit length too. The squared change of w between rounds
    is then (c - c')^T M (c - c') = 2 - 2 c^T M c' = 2 - 2 |M c|^2 / s.
    """
    product = covariance @ start
    strength = float(start @ product)
    if not strength > 0:
        return start
    weights, product = start / np.sqrt(strength), product / np.sqrt(strength)
    for _ in range(max_rounds - 1):
        image = covariance @ product
        strength = float(product @ image)
        if not strength > 0:
            break
        length = math.sqrt(strength)
        change = 2.0 - 2.0 * float(product @ product) / length
        weights, product = product / length, image / length
        if change < tolerance:
            break
    return np.asarray(weights)


def _deflate(covariance: Array, loading: Array, along: Array, strength: float) -> None:
    """Change M into that of Y - t l, in place, with l = `loading`, t^T K Y = `along` and t^T K t = `strength`."""
    change = np.outer(loading, along - strength / 2 * loading)
    covariance -= change + change.T
