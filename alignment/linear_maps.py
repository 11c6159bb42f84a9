"""PLS2 and ridge regression with a fixed penalty as plain functions of a similarity among stimuli.

Both maps depend on the features F (n_stimuli x n_features) only through products F F^T, so they are solved from the
Gram matrix K (the dual form) when n_features > n_stimuli, and from the features themselves (the primal form) when
there are fewer features than stimuli. The two forms give the same predictions.

Stated rules
------------
- Centring: features and responses are centred with the means of the training stimuli, as scikit-learn does.
- Rank deficiency: PLS stops at the last component that still explains covariance; the rank of everything else is
  stated in `alignment.spectral`.
- Fewer training stimuli than components: as many components as there are (n_train - 1); never an error.
- Constant training responses: predicted by their constant; their correlation is undefined (NaN) and skipped by medians.
- Missing (NaN) training responses: neuroids that miss the same stimuli are fitted together on the stimuli they have.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.linalg

from alignment.contracts import Array, Floats, Indices
from alignment.spectral import Spectrum

if TYPE_CHECKING:
    from alignment.gram import Gram


_WELL_CONDITIONED = 1e-9  # reciprocal condition number


@dataclass(frozen=True)
class DualSystem:
    """Centred similarities with the training stimuli, (n_train + n_test, n_train), training stimuli first."""

    matrix: Array
    n_train: int

    @property
    def train(self) -> Array:
        """Similarities among training stimuli, shape (n_train, n_train)."""
        return self.matrix[: self.n_train]

    @property
    def test(self) -> Array:
        """Similarities of test with training stimuli, shape (n_test, n_train)."""
        return self.matrix[self.n_train :]

    def apply(self, vectors: Array) -> Array:
        """Return K vectors for all stimuli, shape (n_train + n_test, ...), from vectors over the training stimuli."""
        return self.matrix @ vectors


@dataclass(frozen=True)
class PrimalSystem:
    """Centred features, (n_train + n_test, n_features), training stimuli first."""

    features: Array
    n_train: int

    @property
    def train(self) -> Array:
        """Training features, shape (n_train, n_features)."""
        return self.features[: self.n_train]

    @property
    def test(self) -> Array:
        """Test features, shape (n_test, n_features)."""
        return self.features[self.n_train :]

    def apply(self, vectors: Array) -> Array:
        """Return F F_train^T vectors for all stimuli, shape (n_train + n_test, ...)."""
        return self.features @ (self.train.T @ vectors)


System = DualSystem | PrimalSystem


def centre_gram(gram: Array, train: Indices, test: Indices) -> DualSystem:
    """Return the similarities of one split, centred as if the features had been centred on the training stimuli.

    Parameters
    ----------
    gram : array of shape (n_stimuli, n_stimuli)
        K = F F^T of uncentred features.
    train, test : integer arrays of shape (n_train,) and (n_test,)
        Row numbers of the split.
    """
    matrix = gram[np.ix_(np.concatenate([train, test]), train)]  # (n_train + n_test, n_train)
    matrix -= matrix[: len(train)].mean(axis=0)
    matrix -= matrix.mean(axis=1, keepdims=True)
    return DualSystem(matrix, len(train))


def centre_features(features: Floats, train: Indices, test: Indices) -> PrimalSystem:
    """Return training and test features of shape (n, n_features), centred on the training stimuli."""
    chosen = np.asarray(features[np.concatenate([train, test])], dtype=np.float64)
    chosen -= chosen[: len(train)].mean(axis=0)
    return PrimalSystem(chosen, len(train))


def pls2(
    system: System, responses: Array, n_components: int = 25, *, tolerance: float = 1e-6, max_rounds: int = 500
) -> Array:
    """Return PLS2 predictions for the test stimuli, equal to scikit-learn's NIPALS solution.

    Each component's response weights c come from the NIPALS power iteration c <- Y^T K Y c (K and Y deflated), begun
    at the first neuroid that is not constant and ended by scikit-learn's rule. With u = Y c, the score is t = K u, made
    orthogonal to the earlier scores and normalised; a test stimulus' score is the same functional of its own
    similarities. K itself is never deflated: with P = I - T T^T, P K P Y = P K (P Y) needs K only through products.

    Parameters
    ----------
    system : DualSystem or PrimalSystem
        Centred on the training stimuli.
    responses : array of shape (n_train, n_neuroids)
        Finite training responses, any unit; centred here.
    n_components : int
        Number of latent components (Brain-Score: 25).
    tolerance : float
        The iteration ends when the squared change of the feature weights (of unit length) falls below it.
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
    mean = responses.mean(axis=0)
    sizes = np.linalg.norm(responses - mean, axis=0)  # (n_neuroids,)
    residual, rotation = _compress(responses - mean)  # (n_train, n_targets), n_targets <= n_train
    n_train = system.n_train
    limit = min(n_components, n_train - 1)
    similarity = system.apply(residual)  # K Y of all stimuli, (n_train + n_test, n_targets)
    scores = np.zeros((len(similarity), limit))  # rows of T (orthonormal columns), then of the test stimuli
    loadings = np.zeros((limit, residual.shape[1]))  # rows t^T Y
    floor = None
    for a in range(limit):
        covariance = residual.T @ similarity[:n_train]  # Y^T K Y, (n_targets, n_targets)
        strength = float(np.trace(covariance))
        floor = strength * 1e-14 if floor is None else floor
        if not strength > floor:
            break
        weights = _power_iteration(covariance, _begin(residual, rotation, sizes), tolerance, max_rounds)
        before, t = scores[:, :a], similarity @ weights  # t = K u with u = Y c
        length = float(np.linalg.norm(t[:n_train]))
        for _ in range(2):  # a second pass keeps T orthonormal to machine precision
            t = t - before @ (before[:n_train].T @ t[:n_train])
        norm = float(np.linalg.norm(t[:n_train]))
        if not norm > 1e-12 * length:
            break
        scores[:, a] = t / norm
        t_train = scores[:n_train, a]
        loadings[a] = t_train @ residual
        residual -= np.outer(t_train, loadings[a])
        similarity -= np.outer(system.apply(t_train), loadings[a])
    predictions = scores[n_train:] @ loadings
    return np.asarray((predictions if rotation is None else predictions @ rotation.T) + mean)


def ridge(system: System, responses: Array, alpha: float = 1.0) -> Array:
    """Return ridge predictions with a fixed penalty and an unpenalised intercept, shape (n_test, n_neuroids).

    Dual: K_test (K + alpha I)^-1 Y. Primal: F_test (F^T F + alpha I)^-1 F^T Y. Where rounding leaves the system without
    a Cholesky factor, the same is computed from the eigendecomposition.

    Parameters
    ----------
    system : DualSystem or PrimalSystem
    responses : array of shape (n_train, n_neuroids)
    alpha : float
        Penalty on the squared weights of the raw (unscaled) features, > 0.

    References
    ----------
    Saunders, Gammerman and Vovk (1998), Ridge regression learning algorithm in dual variables, eq. 8.
    """
    mean = responses.mean(axis=0)
    centred = responses - mean
    try:
        return np.asarray(_ridge_cholesky(system, centred, alpha) + mean)
    except np.linalg.LinAlgError:
        return np.asarray(spectrum(system).shrink(centred, alpha) + mean)


def ridge_precision(gram: Array, alpha: float) -> Array | None:
    """Return the matrix (n_stimuli, n_stimuli) from which ridge predicts any stimuli held out; see `ridge_held_out`.

    B = C - C 1 1^T C / (1^T C 1) with C = (K + alpha I)^-1, from one factorisation of all stimuli. None where rounding
    could reach the seventh digit of a prediction, or features are constant: then every split is solved by itself.

    Parameters
    ----------
    gram : array of shape (n_stimuli, n_stimuli)
        K = F F^T of uncentred features.
    alpha : float
    """
    n_stimuli = len(gram)
    mean = gram.mean(axis=0)
    system = gram - mean[:, None] - (mean - mean.mean())  # centred; the intercept makes this no other problem
    variation = float(np.trace(system))
    if not variation > 1e-12 * float(np.trace(gram)):  # constant features predict a constant, which has no noise
        return None
    apart = variation / n_stimuli + alpha  # what constant responses are weighed with, taken off below
    size = float(np.abs(system).sum(axis=0).max()) + apart
    system.flat[:: n_stimuli + 1] += alpha
    system += apart / n_stimuli
    factor, failed = scipy.linalg.lapack.dpotrf(system.T, lower=False, overwrite_a=True)
    if failed or not scipy.linalg.lapack.dpocon(factor, size)[0] > _WELL_CONDITIONED:
        return None
    inverse, failed = scipy.linalg.lapack.dpotri(factor, lower=False, overwrite_c=True)
    if failed:
        return None
    inverse = np.triu(inverse) + np.triu(inverse, 1).T
    return np.asarray(inverse - 1.0 / (n_stimuli * (alpha + apart)))


def ridge_held_out(precision: Array, train: Indices, test: Indices, responses: Array) -> Array:
    """Return the ridge predictions of `ridge` for the test stimuli, shape (n_test, n_neuroids).

    With B partitioned into training and test stimuli, - B_test,test^-1 B_test,train Y: a system of n_test instead of
    n_train equations.

    Parameters
    ----------
    precision : array of shape (n_stimuli, n_stimuli)
        Of `ridge_precision`.
    train, test : integer arrays
        Row numbers; together all of them.
    responses : array of shape (n_train, n_neuroids)
        Finite training responses.

    References
    ----------
    Cook and Weisberg (1982), Residuals and Influence in Regression, sec. 3.2; An, Liu and Venkatesh (2007), Fast
    cross-validation algorithms for least squares support vector machine and kernel ridge regression, Pattern
    Recognition 40, theorem 1, of which this is the form that needs no test responses.
    """
    held_out = precision[test]
    return np.asarray(-scipy.linalg.solve(held_out[:, test], held_out[:, train] @ responses, assume_a="pos"))


def spectrum(system: System, n_largest: int | None = None) -> Spectrum:
    """Return the principal components of a split, the `n_largest` at most; see `alignment.spectral`."""
    make = Spectrum.of_kernel if isinstance(system, DualSystem) else Spectrum.of_features
    return make(system.train, system.test, n_largest)


def fit_by_missingness(solve: Callable[[Array, Indices], Array], responses: Array, n_test: int) -> Array:
    """Return predictions for responses with missing values: neuroids that miss the same stimuli are fitted together.

    Parameters
    ----------
    solve : callable
        ``solve(finite_responses, rows) -> (n_test, n_neuroids_of_group)`` fits on the given training rows.
    responses : array of shape (n_train, n_neuroids)
        NaN where a neuroid was not recorded.
    n_test : int
        Number of test stimuli.

    Returns
    -------
    array of shape (n_test, n_neuroids)
        NaN for neuroids with fewer than two recorded training stimuli.
    """
    present = np.isfinite(responses)  # (n_train, n_neuroids)
    if present.all():
        return solve(responses, np.arange(len(responses)))
    predictions = np.full((n_test, responses.shape[1]), np.nan)
    patterns, group = np.unique(present, axis=1, return_inverse=True)
    for number, pattern in enumerate(patterns.T):
        rows, columns = np.flatnonzero(pattern), np.flatnonzero(group.reshape(-1) == number)
        if len(rows) >= 2:
            predictions[:, columns] = solve(responses[np.ix_(rows, columns)], rows)
    return predictions


def fit_components(
    solve: Callable[[Spectrum, Array], Array],
    gram: Gram,
    train: Indices,
    test: Indices,
    responses: Array,
    n_largest: int | None = None,
) -> Array:
    """Return the predictions, (n_test, n_neuroids), of a map that is made from a split's principal components.

    Parameters
    ----------
    solve : callable
        ``solve(basis, finite_responses) -> (n_test, n_neuroids_of_group)``, e.g. `alignment.spectral.least_squares`.
    gram : Gram
        Of the layer.
    train, test : integer arrays
        Row numbers of the split.
    responses : array of shape (n_train, n_neuroids)
        NaN where a neuroid was not recorded; see `fit_by_missingness`.
    n_largest : int or None
        Components at most.
    """
    return fit_by_missingness(
        lambda finite, rows: solve(spectrum(gram.split(train[rows], test), n_largest), finite), responses, len(test)
    )


def _ridge_cholesky(system: System, centred: Array, alpha: float) -> Array:
    dual = isinstance(system, DualSystem)
    matrix = system.train.copy() if dual else system.train.T @ system.train
    matrix.flat[:: len(matrix) + 1] += alpha
    factor = scipy.linalg.cho_factor(matrix.T, lower=False, overwrite_a=True, check_finite=False)
    right = centred if dual else system.train.T @ centred
    return np.asarray(system.test @ scipy.linalg.cho_solve(factor, right, check_finite=False))


def _compress(responses: Array) -> tuple[Array, Array | None]:
    """Rotate more neuroids than stimuli into as many columns as stimuli: (n, n), and the rotation (n_neuroids, n)."""
    if responses.shape[1] <= responses.shape[0]:
        return responses, None
    rotation, triangle = scipy.linalg.qr(responses.T, mode="economic")  # (n_neuroids, n), (n, n)
    return np.ascontiguousarray(triangle.T), rotation


def _begin(residual: Array, rotation: Array | None, sizes: Array) -> Array:
    """Return weights (n_targets,) that pick the first neuroid with anything left to explain: NIPALS begins there.

    `sizes` are the norms of the centred responses before any deflation.
    """
    columns = np.eye(residual.shape[1]) if rotation is None else rotation  # (n_neuroids, n_targets)
    for number in np.flatnonzero(sizes > np.finfo(np.float64).eps):
        if np.linalg.norm(residual @ columns[number]) > 1e-10 * sizes[number]:
            return np.asarray(columns[number])
    return np.asarray(columns[0])


def _power_iteration(covariance: Array, start: Array, tolerance: float, max_rounds: int) -> Array:
    """Return response weights c scaled so that the feature weights w = F^T Y c have unit length, |w|^2 = c^T M c.

    The squared change of w between rounds is (c - c')^T M (c - c').
    """
    previous, weights = None, start
    for _ in range(max_rounds):
        strength = float(weights @ covariance @ weights)
        if not strength > 0:
            break
        weights = weights / np.sqrt(strength)
        if previous is not None:
            change = weights - previous
            if float(change @ covariance @ change) < tolerance:
                break
        previous, weights = weights, covariance @ weights
    return weights
