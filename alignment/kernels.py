"""Similarities among stimuli about their mean, and how alike two of them are by the Hilbert-Schmidt criterion."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from alignment.contracts import Array, Floats, Indices, Similarity
from model_zoo.errors import ShapeMismatch

if TYPE_CHECKING:
    from alignment.gram import Gram

FEWEST_STIMULI = 5  # the debiased estimator needs four, one of which its influences leave out
_FLAT = 1e-12  # share of the second moment below which a variance counts as none


@dataclass(frozen=True)
class Kernel:
    """Inner products among stimuli of features centred over the stimuli, in whichever form is smaller.

    Attributes
    ----------
    diagonal : (n_stimuli,) squared distance of every stimulus from the mean; all 0 where nothing varies.
    matrix : (n_stimuli, n_stimuli) centred K, or None when features are kept.
    features : (n_stimuli, n_features) float64, centred, or None when K is kept.
    """

    diagonal: Array = field(repr=False)
    matrix: Array | None = field(default=None, repr=False)
    features: Array | None = field(default=None, repr=False)

    @classmethod
    def of(cls, features: Floats) -> Kernel:
        """Return the kernel of features or responses (n_stimuli, n_features), finite."""
        values = np.asarray(features, dtype=np.float64)
        centred = values - values.mean(axis=0)
        diagonal = np.einsum("ij,ij->i", centred, centred)
        if diagonal.sum() <= _FLAT * np.einsum("ij,ij->", values, values):
            return cls(np.zeros(len(values)), features=np.zeros_like(centred))
        return cls(diagonal, features=centred)

    @classmethod
    def of_gram(cls, gram: Gram, rows: Indices) -> Kernel:
        """Return the kernel of a layer over the stimuli in `rows` of its Gram."""
        if gram.features is not None:
            return cls.of(gram.features[rows])
        assert gram.matrix is not None
        matrix = gram.matrix[np.ix_(rows, rows)]
        second_moment = np.trace(matrix)
        means = matrix.mean(axis=0)
        matrix -= means
        matrix -= (means - means.mean())[:, None]
        if np.trace(matrix) <= _FLAT * second_moment:
            matrix = np.zeros_like(matrix)
        return cls(matrix.diagonal().copy(), matrix=matrix)

    def times(self, vectors: Array) -> Array:
        """Return K times vectors of shape (n_stimuli,) or (n_stimuli, n_vectors)."""
        if self.matrix is not None:
            return np.asarray(self.matrix @ vectors)
        assert self.features is not None
        return np.asarray(self.features @ (self.features.T @ vectors))

    def squares(self) -> Array:
        """Return the sum of squares of every row of K, shape (n_stimuli,)."""
        if self.matrix is not None:
            return np.asarray(np.einsum("ij,ij->i", self.matrix, self.matrix))
        assert self.features is not None
        rows = self.features @ (self.features.T @ self.features)
        return np.asarray(np.einsum("ij,ij->i", rows, self.features))


@dataclass(frozen=True)
class Criterion:
    """A Hilbert-Schmidt independence criterion, up to a factor that depends on n_stimuli alone.

    Attributes
    ----------
    value : of all stimuli.
    deleted : (n_stimuli,) with each stimulus left out, up to the same factor of n_stimuli - 1.
    """

    value: float
    deleted: Array = field(repr=False)


def biased_criterion(shared: Array, x: Array, y: Array) -> Criterion:
    """Return the sum of products of two centred kernels, (n - 1)^2 HSIC, for all stimuli and without each.

    Parameters
    ----------
    shared : (n_stimuli,) row sums of K * L (entry by entry), both centred over the stimuli.
    x, y : (n_stimuli,) diagonals of K and L.

    References
    ----------
    Gretton, Bousquet, Smola and Schoelkopf (2005), ALT, eq. 9; Kornblith et al. (2019), ICML, eq. 3.
    """
    n_stimuli = len(x)
    value = float(shared.sum())
    ratio = n_stimuli / (n_stimuli - 1)
    return Criterion(value, value - 2 * ratio * shared + ratio**2 * x * y)


def debiased_criterion(shared: Array, x: Array, y: Array, k_y: Array, l_x: Array) -> Criterion:
    """Return the unbiased estimator, n (n - 3) HSIC, for all stimuli and without each.

    Parameters
    ----------
    shared, x, y : see `biased_criterion`.
    k_y, l_x : (n_stimuli,) K times the diagonal of L, and L times the diagonal of K.

    Notes
    -----
    The estimator looks at pairs of different stimuli only. Off their diagonals, the rows of centred kernels sum to -x
    and -y, whence everything follows without another pass over K and L.

    References
    ----------
    Song, Smola, Gretton, Bedo and Borgwardt (2012), JMLR 13, eq. 5.
    """
    n_stimuli = len(x)
    diagonal = x * y
    pairs = shared - diagonal
    products, rows = pairs.sum(), diagonal.sum()
    value = _unbiased(n_stimuli, products, rows, x.sum() * y.sum())
    left = _unbiased(
        n_stimuli - 1,
        products - 2 * pairs,
        rows - 3 * diagonal + k_y + l_x + pairs,
        (x.sum() - 2 * x) * (y.sum() - 2 * y),
    )
    return Criterion(float(value), left)


def _unbiased(n_stimuli: int, products: Array, rows: Array, totals: Array) -> Array:
    return np.asarray(products + totals / ((n_stimuli - 1) * (n_stimuli - 2)) - 2 * rows / (n_stimuli - 2))


@dataclass(frozen=True)
class Population:
    """Responses made ready for comparison with any number of layers.

    Attributes
    ----------
    kernel : of the responses, as features.
    criterion : of the responses with themselves.
    left : (n_neuroids,) the criterion of the responses with themselves when each neuroid is left out.
    """

    kernel: Kernel
    criterion: Criterion
    left: Array = field(repr=False)

    @property
    def responses(self) -> Array:
        """(n_stimuli, n_neuroids), centred over the stimuli."""
        assert self.kernel.features is not None
        return self.kernel.features


def population(responses: Array, *, debiased: bool) -> Population:
    """Return responses (n_stimuli, n_neuroids) made ready for `cka`.

    Raises
    ------
    ShapeMismatch
        Fewer than five stimuli.
    """
    if len(responses) < FEWEST_STIMULI:
        raise ShapeMismatch(
            "CKA",
            expected=f"at least {FEWEST_STIMULI} stimuli",
            got=str(len(responses)),
            next_step="choose a regression metric, or a benchmark with more stimuli",
        )
    kernel = Kernel.of(responses)
    criterion = _self_criterion(kernel, debiased)
    alone = _alone(kernel, kernel, debiased)
    return Population(kernel, criterion, criterion.value - 2 * _by_neuroid(kernel, kernel, debiased) + alone)


def cka(layer: Kernel, brain: Population, *, debiased: bool) -> Similarity:
    """Return the centred kernel alignment of a layer with a population, and what stimuli and neuroids contribute.

    HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)) with K = F F^T of the layer and L = Y Y^T of the responses.

    Parameters
    ----------
    layer : Kernel
    brain : Population
    debiased : bool
        True: HSIC by `debiased_criterion`, which is 0 on average where layer and population have nothing in common;
        False: by `biased_criterion`, which is then positive, the more so the fewer the stimuli and the more the
        independent dimensions on both sides.

    Returns
    -------
    Similarity
        NaN where either side has no self-similarity above 0. Influences are those of the jackknife: (n - 1) times the
        mean leave-one-out value less each of them, exact, for stimuli and for neuroids.

    References
    ----------
    Kornblith, Norouzi, Lee and Hinton (2019), ICML, eq. 4; Nguyen, Raghu and Kornblith (2021), ICLR; Murphy,
    Zylberberg and Fyshe (2024), arXiv 2405.01012.
    """
    n_stimuli, n_neuroids = brain.responses.shape
    own, other = _self_criterion(layer, debiased), brain.criterion
    if not (own.value > 0 and other.value > 0):
        return Similarity(np.nan, np.full(n_stimuli, np.nan), np.full(n_neuroids, np.nan))
    shared = np.einsum("ij,ij->i", brain.responses, layer.times(brain.responses))
    cross = _criterion(layer, brain.kernel, shared, debiased)
    value = cross.value / np.sqrt(own.value * other.value)
    left = cross.value - _by_neuroid(layer, brain.kernel, debiased)
    return Similarity(
        float(value),
        jackknife(_ratio(cross.deleted, own.deleted * other.deleted)),
        jackknife(_ratio(left, own.value * brain.left)) if n_neuroids > 1 else np.zeros(1),
    )


def jackknife(deleted: Array) -> Array:
    """Return influences that sum to 0, from the values found when each of n parts is left out, shape (n,)."""
    return np.asarray((len(deleted) - 1) * (deleted.mean() - deleted))


def groups_of(n_neuroids: int, n_groups: int) -> list[Indices]:
    """Return the neuroids of every group that a `Similarity.by_neuroid` of length `n_groups` is about.

    Each neuroid alone, in order, if there are as many groups; else dealt at random, but always in the same way.
    """
    order = np.arange(n_neuroids)
    if n_groups < n_neuroids:
        order = np.random.default_rng(0).permutation(n_neuroids)
    return np.array_split(order, n_groups)


def _ratio(numerator: Array, squared: Array) -> Array:
    return np.asarray(numerator / np.sqrt(np.where(squared > 0, squared, np.nan)))


def cka_reliability(first: Array, second: Array, whole: Array) -> Similarity:
    """Return the square of the debiased CKA that noise leaves to a layer equal to the noise-free population.

    HSIC(L1, L2) / HSIC(L, L), with L1 and L2 of the means of two halves of the repeats and L of the mean of all.

    Parameters
    ----------
    first, second, whole : arrays of shape (n_stimuli, n_neuroids)

    Notes
    -----
    Noise that is independent between presentations adds nothing, on average, to products of different stimuli, hence
    nothing to the debiased HSIC of the responses with a layer, nor to that of two halves with each other: both are
    those of the noise-free responses. It does add to HSIC(L, L), by 2 tr(C N) + tr(N N) with C the covariance of the
    signals and N that of the noise of the mean; the CKA of the noise-free population with the recorded one is therefore
    the root of this ratio. Spearman-Brown of the CKA between halves would have 2 tr(N N) there and be too small.
    """
    one, two, brain = Kernel.of(first), Kernel.of(second), population(whole, debiased=True)
    assert two.features is not None
    cross = _criterion(one, two, np.einsum("ij,ij->i", two.features, one.times(two.features)), debiased=True)
    if not brain.criterion.value > 0:
        return Similarity(np.nan, np.full(len(whole), np.nan), np.full(whole.shape[1], np.nan))
    left = cross.value - _by_neuroid(one, two, True) - _by_neuroid(two, one, True) + _alone(one, two, True)
    return Similarity(
        cross.value / brain.criterion.value,
        jackknife(cross.deleted / brain.criterion.deleted),
        jackknife(left / brain.left) if whole.shape[1] > 1 else np.zeros(1),
    )


def _criterion(first: Kernel, second: Kernel, shared: Array, debiased: bool) -> Criterion:
    x, y = first.diagonal, second.diagonal
    if debiased:
        return debiased_criterion(shared, x, y, first.times(y), second.times(x))
    return biased_criterion(shared, x, y)


def _self_criterion(kernel: Kernel, debiased: bool) -> Criterion:
    return _criterion(kernel, kernel, kernel.squares(), debiased)


def _alone(first: Kernel, second: Kernel, debiased: bool) -> Array:
    """Return the criterion of every neuroid's responses on one side with those on the other, shape (n_neuroids,)."""
    x, y = first.features, second.features
    assert x is not None
    assert y is not None
    products = (x * y).sum(axis=0) ** 2
    if not debiased:
        return np.asarray(products)
    rows = (x**2 * y**2).sum(axis=0)
    return _unbiased(len(x), products - rows, rows, (x**2).sum(axis=0) * (y**2).sum(axis=0))


def _by_neuroid(kernel: Kernel, responses: Kernel, debiased: bool) -> Array:
    """Return the criterion of a kernel with every neuroid alone, shape (n_neuroids,)."""
    values = responses.features
    assert values is not None
    products = np.einsum("ij,ij->j", values, kernel.times(values))
    if not debiased:
        return np.asarray(products)
    squares = values**2
    rows = kernel.diagonal @ squares
    return _unbiased(len(values), products - rows, rows, kernel.diagonal.sum() * squares.sum(axis=0))
