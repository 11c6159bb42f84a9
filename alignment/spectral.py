"""Least squares, principal components and ridge from one eigendecomposition of the similarities.

With K = U diag(values) U^T among the (centred) training stimuli, every one of these maps shrinks the responses'
coordinates U^T y by factors that depend on the eigenvalues alone, so that all penalties cost little more than one.

Rank rule: features are float32 and K is summed from products in float32, so an eigenvalue of K counts when it exceeds
eps (of float32, 1.2e-7) x the largest, and a singular value of features when it exceeds eps x the largest. What lies
below is rounding: a linear layer of 1000 units after 512 would otherwise have 1000 dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from alignment.contracts import Array

_EPS = float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class Spectrum:
    """Principal components of the training stimuli, and where the test stimuli lie on them.

    Attributes
    ----------
    values : (rank,) eigenvalues of K, the largest first.
    train : (n_train, rank) eigenvectors U, of unit length.
    test : (n_test, rank) coordinates of the test stimuli in the same unit, K_test U / values.
    """

    values: Array
    train: Array
    test: Array

    @classmethod
    def of_kernel(cls, train: Array, test: Array, n_largest: int | None = None) -> Spectrum:
        """Return the spectrum of centred similarities, (n_train, n_train) and (n_test, n_train).

        `n_largest` components at most; None: as many as the rank.
        """
        n_train = len(train)
        if n_largest is None or n_largest >= n_train:
            values, vectors = np.linalg.eigh(train)
        else:
            values, vectors = scipy.linalg.eigh(train, subset_by_index=[n_train - n_largest, n_train - 1])
        values, vectors = values[::-1], vectors[:, ::-1]
        rank = int(np.count_nonzero(values > max(values[0], 0.0) * _EPS))
        values, vectors = values[:rank], np.ascontiguousarray(vectors[:, :rank])
        return cls(values, vectors, (test @ vectors) / values)

    @classmethod
    def of_features(cls, train: Array, test: Array, n_largest: int | None = None) -> Spectrum:
        """Return the spectrum of centred features, (n_train, n_features) and (n_test, n_features)."""
        vectors, singular, right = scipy.linalg.svd(train, full_matrices=False)
        largest = singular[0] if len(singular) else 0.0
        rank = int(np.count_nonzero(singular > largest * _EPS))
        kept = slice(rank if n_largest is None else min(rank, n_largest))
        return cls(singular[kept] ** 2, vectors[:, kept], (test @ right[kept].T) / singular[kept])

    def shrink(self, centred: Array, alpha: Array | float) -> Array:
        """Return ridge predictions about the mean, (n_test, n_neuroids), for one penalty or one per neuroid."""
        kept = self.values[:, None] / (self.values[:, None] + alpha)  # (rank, 1 or n_neuroids)
        return np.asarray(self.test @ (kept * (self.train.T @ centred)))


def least_squares(basis: Spectrum, responses: Array) -> Array:
    """Return predictions of regression on all components of `basis`, shape (n_test, n_neuroids).

    With every component this is the minimum-norm least-squares solution with an intercept, K_test K^+ Y in the dual
    form; with the largest few, principal-component regression.

    Parameters
    ----------
    basis : Spectrum
    responses : array of shape (n_train, n_neuroids)
        Finite training responses, any unit.

    References
    ----------
    Hastie, Tibshirani and Friedman (2009), The elements of statistical learning, eq. 3.61.
    """
    mean = responses.mean(axis=0)
    return np.asarray(basis.test @ (basis.train.T @ (responses - mean)) + mean)


def ridge_loo(
    basis: Spectrum, responses: Array, alphas: Sequence[float], *, per_target: bool = False
) -> tuple[Array, Array]:
    """Return ridge predictions with the penalty chosen by exact leave-one-out error on the training stimuli.

    This is what scikit-learn's RidgeCV (there named GCV) computes.

    Parameters
    ----------
    basis : Spectrum
        All components.
    responses : array of shape (n_train, n_neuroids)
    alphas : sequence of float
        Candidate penalties, > 0. Ties go to the earliest.
    per_target : bool
        Choose one penalty per neuroid, or (default) one for all, by the mean error over neuroids.

    Returns
    -------
    predictions : array of shape (n_test, n_neuroids)
    chosen : array of shape (n_neuroids,)
        The penalty used for each neuroid.

    Notes
    -----
    One penalty for all weighs neuroids by the variance of their responses, as scikit-learn and Brain-Score do.
    """
    mean = responses.mean(axis=0)
    errors = loo_errors(basis, responses - mean, alphas)
    if not per_target:
        errors = np.broadcast_to(errors.mean(axis=1, keepdims=True), errors.shape)
    chosen = np.asarray(alphas, dtype=np.float64)[errors.argmin(axis=0)]
    return basis.shrink(responses - mean, chosen) + mean, chosen


def ridge_gcv(basis: Spectrum, responses: Array, alphas: Sequence[float]) -> tuple[Array, Array]:
    """Return ridge predictions with one penalty per neuroid, chosen by generalised cross-validation.

    The score is V(alpha) = (|(I - H) y|^2 / n) / (trace(I - H) / n)^2, with H the hat matrix including the intercept:
    leave-one-out with every stimulus' leverage replaced by their mean, hence the same after any rotation of the
    stimuli. In the components' coordinates it costs no product of matrices per penalty.

    Parameters
    ----------
    basis : Spectrum
        All components.
    responses : array of shape (n_train, n_neuroids)
    alphas : sequence of float
        Candidate penalties, > 0. Ties go to the earliest.

    Returns
    -------
    predictions : array of shape (n_test, n_neuroids)
    chosen : array of shape (n_neuroids,)

    References
    ----------
    Golub, Heath and Wahba (1979), Generalized cross-validation as a method for choosing a good ridge parameter, sec. 1.
    """
    n_train, rank = basis.train.shape
    mean = responses.mean(axis=0)
    projected, outside = _coordinates(basis, responses - mean)
    left = (outside**2).sum(axis=0)  # (n_neuroids,) what no penalty explains
    scores = []
    for alpha in alphas:
        kept = alpha / (basis.values + alpha)  # (rank,)
        freedom = kept.sum() + (n_train - 1 - rank)  # trace(I - H)
        scores.append(n_train * (kept**2 @ projected**2 + left) / freedom**2)
    chosen = np.asarray(alphas, dtype=np.float64)[np.argmin(scores, axis=0)]
    return basis.shrink(responses - mean, chosen) + mean, chosen


def loo_errors(basis: Spectrum, centred: Array, alphas: Sequence[float]) -> Array:
    """Return the mean squared leave-one-out error of ridge, shape (n_alphas, n_neuroids).

    The residual of stimulus i when it is left out, its part in the means included, is e_i / (1 - h_ii), where h is the
    hat matrix including the intercept; no refit is needed.

    Parameters
    ----------
    basis : Spectrum
        All components.
    centred : array of shape (n_train, n_neuroids)
        Training responses about their mean.
    alphas : sequence of float
        Penalties, > 0.

    References
    ----------
    Rifkin and Lippert (2007), Notes on regularized least squares, sec. 3.
    """
    n_train, rank = basis.train.shape
    projected, outside = _coordinates(basis, centred)
    squared = basis.train**2
    # 1 - h_ii as a sum of what the penalty keeps back: the difference would lose its digits for small penalties
    beyond = np.zeros(n_train) if rank >= n_train - 1 else np.maximum(1.0 - 1.0 / n_train - squared.sum(axis=1), 0.0)
    errors = np.empty((len(alphas), centred.shape[1]))
    for number, alpha in enumerate(alphas):
        kept = alpha / (basis.values + alpha)  # (rank,)
        residual = basis.train @ (kept[:, None] * projected) + outside  # (n_train, n_neuroids)
        errors[number] = np.mean((residual / (squared @ kept + beyond)[:, None]) ** 2, axis=0)
    return errors


def _coordinates(basis: Spectrum, centred: Array) -> tuple[Array, Array]:
    """Return U^T y, (rank, n_neuroids), and the part of y that lies on no component, (n_train, n_neuroids)."""
    projected = basis.train.T @ centred
    if basis.train.shape[1] >= len(centred) - 1:  # the components and the mean span everything
        return projected, np.zeros_like(centred)
    return projected, centred - basis.train @ projected
