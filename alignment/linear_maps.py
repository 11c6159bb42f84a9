"""Similarities among the stimuli of a split, and ridge regression with a fixed penalty as a plain function of them.

Linear maps depend on the features F (n_stimuli x n_features) only through products F F^T, so they are solved from the
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

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.linalg

from alignment.contracts import Array, Floats, Indices
from alignment.spectral import Spectrum

if TYPE_CHECKING:
    from alignment.gram import Gram


_WELL_CONDITIONED = 1e-9  # reciprocal condition number
_STRIP = 64  # rows of a matrix that are copied at a time
_LARGE = 30.0  # squared mean relative to the variation about it, from which on products are made of centred K alone


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
class WholeGram:
    """The products of `DualSystem` for one split of all stimuli, from the uncentred Gram matrix that all splits share.

    Attributes
    ----------
    gram : array of shape (n_stimuli, n_stimuli)
    train, test : integer arrays
        Row numbers of the split; together all of them.
    """

    gram: Array
    train: Indices
    test: Indices

    @property
    def n_train(self) -> int:
        """Number of training stimuli."""
        return len(self.train)

    @classmethod
    def fits(cls, gram: Array, train: Indices, test: Indices) -> bool:
        """Return whether a split takes all stimuli, and their mean is too small for its rounding to matter."""
        mean = float(gram.mean())
        return len(train) + len(test) == len(gram) and mean < _LARGE * (float(np.trace(gram)) / len(gram) - mean)

    def apply(self, vectors: Array) -> Array:
        """Return K vectors for all stimuli, training stimuli first, from vectors over the training stimuli."""
        return self.apply_together([self], [vectors])[0]

    @staticmethod
    def apply_together(systems: Sequence[WholeGram], vectors: Sequence[Array]) -> list[Array]:
        """Return `apply` of several splits of one Gram matrix, which is read only once."""
        gram = systems[0].gram
        widths = [1 if each.ndim == 1 else each.shape[1] for each in vectors]
        ends = np.cumsum(widths)
        placed = np.zeros((ends[-1], len(gram)))
        for system, each, end, width in zip(systems, vectors, ends, widths, strict=True):
            placed[end - width : end, system.train] = (each - each.mean(axis=0)).T
        products = placed @ gram  # K is symmetric
        found = []
        for system, each, end, width in zip(systems, vectors, ends, widths, strict=True):
            product = products[end - width : end]
            product = product - product[:, system.train].mean(axis=1, keepdims=True)
            ordered = product[:, np.concatenate([system.train, system.test])].T
            found.append(ordered.reshape(-1) if each.ndim == 1 else np.ascontiguousarray(ordered))
        return found

    @staticmethod
    def of_responses(systems: Sequence[WholeGram], responses: Sequence[Array]) -> list[Array] | None:
        """Return `apply` to the centred training responses of several splits, where these are parts of one array.

        K times all of it is made once, and every split subtracts what belongs to its test stimuli. None for others.
        """
        gram = systems[0].gram
        whole = np.zeros((len(gram), responses[0].shape[1]))
        for system, each in zip(systems, responses, strict=True):
            whole[system.train] = each
        if not all(np.array_equal(whole[system.train], each) for system, each in zip(systems, responses, strict=True)):
            return None
        shift = whole.mean(axis=0)
        whole -= shift
        product, sums, found = gram @ whole, gram.sum(axis=1), []
        for system, each in zip(systems, responses, strict=True):
            left_out = gram[system.test]  # (n_test, n_stimuli)
            of_split = product - left_out.T @ whole[system.test]
            of_split -= np.outer(sums - left_out.sum(axis=0), each.mean(axis=0) - shift)
            of_split -= of_split[system.train].mean(axis=0)
            found.append(of_split[np.concatenate([system.train, system.test])])
        return found


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
    factor, failed = scipy.linalg.lapack.dpotrf(system.T, lower=True, clean=False, overwrite_a=True)
    if failed or not scipy.linalg.lapack.dpocon(factor, size, uplo="L")[0] > _WELL_CONDITIONED:
        return None
    inverse, failed = scipy.linalg.lapack.dpotri(factor, lower=True, overwrite_c=True)
    if failed:
        return None
    inverse -= 1.0 / (n_stimuli * (alpha + apart))
    return mirrored(inverse.T)


def mirrored(matrix: Array) -> Array:
    """Return `matrix` (changed in place) with its upper triangle copied to the lower one."""
    for start in range(0, len(matrix), _STRIP):
        stop = start + _STRIP
        square = matrix[start:stop, start:stop]
        square[:] = np.triu(square) + np.triu(square, 1).T
        matrix[stop:, start:stop] = matrix[start:stop, stop:].T
    return matrix


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
