"""Procrustes similarity and shape distances: how well a rotation turns one representation into the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from alignment.contracts import Array, Indices, Similarity, SimilarityMetric
from alignment.kernels import Kernel, groups_of, jackknife

if TYPE_CHECKING:
    from alignment.gram import Gram

ALPHA = 0.5
MOST_GROUPS = 20  # of neuroids that are left out in turn
_RANK = 1e-7  # share of the largest variance below which a direction counts as none; K comes from float32 products
_EQUAL = 1e-12  # 1 - cosine^2 below which two shapes count as equal


@dataclass(frozen=True)
class Shape:
    """The singular values and left singular vectors of centred features or responses, Y = U diag(s) V^T.

    Attributes
    ----------
    basis : (n_stimuli, rank) U.
    scales : (rank,) s, descending or ascending.
    """

    basis: Array = field(repr=False)
    scales: Array = field(repr=False)

    @classmethod
    def of(cls, kernel: Kernel) -> Shape:
        """Return the shape behind a kernel; of rank 0 where nothing varies."""
        if kernel.matrix is not None:
            values, vectors = np.linalg.eigh(kernel.matrix)
            chosen = values > _RANK * max(values[-1], np.finfo(float).tiny)
            return cls(vectors[:, chosen], np.sqrt(values[chosen]))
        assert kernel.features is not None
        basis, scales, _ = np.linalg.svd(kernel.features, full_matrices=False)
        chosen = scales**2 > _RANK * max(scales[0] ** 2, np.finfo(float).tiny)
        return cls(basis[:, chosen], scales[chosen])


@dataclass(frozen=True)
class Brain:
    """A population made ready for comparison.

    Attributes
    ----------
    shape : of all neuroids.
    without : per group of neuroids, what is left without it, (rank, rank of the rest) in the basis of `shape`, whitened
        where the metric whitens.
    """

    shape: Shape
    without: tuple[Array, ...] = field(repr=False)


def prepare(responses: Array, weigh: Callable[[Array], Array]) -> Brain:
    """Return the shape of responses (n_stimuli, n_neuroids), with all neuroids and without each group of them.

    Parameters
    ----------
    responses : array of shape (n_stimuli, n_neuroids)
    weigh : what is done to singular values: `plain` or `whitened`.
    """
    shape = Shape.of(Kernel.of(responses))
    n_neuroids = responses.shape[1]
    groups = groups_of(n_neuroids, min(n_neuroids, MOST_GROUPS))
    rest = [Shape.of(Kernel.of(np.delete(responses, group, axis=1))) for group in groups if len(groups) > 1]
    return Brain(shape, tuple(shape.basis.T @ (each.basis * weigh(each.scales)) for each in rest))


def plain(scales: Array) -> Array:
    """Return singular values as they are."""
    return scales


def whitened(scales: Array) -> Array:
    """Return singular values after partial whitening, shape (rank,)."""
    return np.asarray(ALPHA * scales + (1 - ALPHA) * np.sqrt((scales**2).mean())) if len(scales) else scales


def compare(gram: Gram, rows: Indices, brain: Brain) -> Similarity:
    """Return the Procrustes similarity of a layer with a population: ||F^T Y||_* / (||F|| ||Y||).

    The nuclear norm is the sum of the square roots of the eigenvalues of Y^T K Y, so that K is enough. F and Y are
    centred over the stimuli and ||.|| is the Frobenius norm.

    Returns
    -------
    Similarity
        In [0, 1]; NaN where either side does not vary. Influences of stimuli are first derivatives, from those of
        singular values; those of neuroids come from leaving out groups.

    Notes
    -----
    Biased upwards: the best rotation is fitted to the same stimuli and finds something in unrelated representations
    too, the more the fewer the stimuli; and trial noise lowers it by an amount that no reliability tells.

    References
    ----------
    Schoenemann (1966), Psychometrika 31, 1; Ding, Denain and Steinhardt (2021), NeurIPS 34; Williams, Kunz, Kornblith
    and Linderman (2021), NeurIPS 34 (the cosine of their angular distance).
    """
    layer, shape = Kernel.of_gram(gram, rows), brain.shape
    size, total = layer.diagonal.sum(), (shape.scales**2).sum()
    if not (size > 0 and total > 0):
        return _undefined(len(rows), len(brain.without))
    crossed = layer.times(shape.basis)  # (n_stimuli, rank)
    core = shape.basis.T @ crossed
    squares, vectors = np.linalg.eigh(shape.scales[:, None] * core * shape.scales)
    chosen = squares > np.finfo(float).eps * len(squares) * squares[-1]
    roots, vectors = np.sqrt(squares[chosen]), vectors[:, chosen] * shape.scales[:, None]
    norm = roots.sum()
    value = norm / np.sqrt(size * total)
    change = ((crossed @ (vectors / roots)) * (shape.basis @ vectors)).sum(axis=1) / norm
    own = layer.diagonal / size + (shape.basis**2 @ shape.scales**2) / total
    by_stimulus = value * len(rows) * (change - own / 2)
    return Similarity(float(min(value, 1.0)), by_stimulus, _by_neuroid(core, np.sqrt(size), brain.without))


def _by_neuroid(core: Array, size: float, without: tuple[Array, ...]) -> Array:
    """Return the influence of every group of neuroids.

    Parameters
    ----------
    core : (rank, rank) the layer's kernel, whitened where the metric whitens, in the population's basis.
    size : square root of that kernel's trace.
    without : as in `Brain`.
    """
    if not without:
        return np.zeros(1)
    left = []
    for each in without:
        roots = np.sqrt(np.maximum(np.linalg.eigvalsh(each.T @ core @ each), 0.0))
        total = size * np.linalg.norm(each)
        left.append(roots.sum() / total if total > 0 else np.nan)
    return jackknife(np.array(left))


def compare_whitened(gram: Gram, rows: Indices, brain: Brain) -> Similarity:
    """Return the Procrustes similarity of a layer with a population, both whitened in part.

    Singular values s of either side are replaced by alpha s + (1 - alpha) m, with m their root mean square: between the
    shape as it is (alpha = 1) and all directions alike (alpha = 0, canonical correlation).

    Notes
    -----
    Williams et al. add (1 - alpha) X (X^T X)^(-1/2) to alpha X as they come, which depends on the unit of X. Here both
    have the same norm, whence the result does not. A layer with as many features as stimuli spans every direction, and
    its white half is the same as any other such layer's: for wide layers only alpha's half tells them apart. Directions
    with less than 1e-7 of the largest variance are left out.

    References
    ----------
    Williams, Kunz, Kornblith and Linderman (2021), NeurIPS 34.
    """
    layer, shape = Shape.of(Kernel.of_gram(gram, rows)), brain.shape
    if not (len(layer.scales) and len(shape.scales)):
        return _undefined(len(rows), len(brain.without))
    mine, theirs = whitened(layer.scales), whitened(shape.scales)
    crossed: Array = mine[:, None] * (layer.basis.T @ shape.basis)  # (rank of the layer, rank of the population)
    left, roots, right = np.linalg.svd(crossed * theirs, full_matrices=False)
    norm, size = roots.sum(), float(np.linalg.norm(mine))
    value = norm / (size * np.linalg.norm(theirs))
    change = _change(layer, left, shape.basis @ (theirs[:, None] * right.T), norm)
    change += _change(shape, right.T, layer.basis @ (mine[:, None] * left), norm)
    by_neuroid = _by_neuroid(crossed.T @ crossed, size, brain.without)
    return Similarity(float(min(value, 1.0)), value * len(rows) * change, by_neuroid)


def _change(shape: Shape, rotation: Array, other: Array, norm: float) -> Array:
    """Return how the logarithm of the similarity changes with the weight of every stimulus on one side, (n_stimuli,).

    A stimulus' weight changes that side's kernel K = U diag(s^2) U^T, and with it the whitened side
    S = alpha K^(1/2) + (1 - alpha) m P, P the projection on the span of U. By Daleckii and Krein the derivative of S
    has divided differences of the function of eigenvalues: alpha / (s_a + s_b) inside the span and
    (alpha s_a + (1 - alpha) m) / s_a^2 towards its complement.

    Parameters
    ----------
    shape : of rank r1.
    rotation : (r1, r) singular vectors on this side.
    other : (n_stimuli, r) the other side times its singular vectors.
    norm : the nuclear norm.
    """
    basis, scales, new = shape.basis, shape.scales, whitened(shape.scales)
    within = basis.T @ other  # (r1, r)
    gradient = rotation @ within.T / norm
    gradient = (gradient + gradient.T) / 2 - np.diag(new) / (new**2).sum()
    inside = ALPHA * gradient / (scales[:, None] + scales)
    mean_square = (scales**2).mean()
    inside[np.diag_indices_from(inside)] += (1 - ALPHA) * np.trace(gradient) / (2 * len(scales) * np.sqrt(mean_square))
    outside = (other - basis @ within) @ (rotation.T * new) / (2 * norm)
    return np.asarray(((basis @ (inside * scales**2) + outside) * basis).sum(axis=1))


def _undefined(n_stimuli: int, n_groups: int) -> Similarity:
    return Similarity(np.nan, np.full(n_stimuli, np.nan), np.full(max(n_groups, 1), np.nan))


def angle(compare: Callable[[Gram, Indices, Brain], Similarity], gram: Gram, rows: Indices, brain: Brain) -> Similarity:
    """Return the angle in radians whose cosine is a similarity: a metric, 0 for equal shapes, at most pi / 2."""
    found = compare(gram, rows, brain)
    left = 1.0 - found.value**2
    slope = 0.0 if left < _EQUAL else -1.0 / np.sqrt(left)
    return Similarity(float(np.arccos(found.value)), slope * found.by_stimulus, slope * found.by_neuroid)


def reference(features: Array, responses: Array) -> float:
    """Return the cosine of the normalised features, rotated onto the responses by SciPy, with the responses."""
    x, y = _normalised(features), _normalised(responses)
    width = max(x.shape[1], y.shape[1])
    x, y = (np.pad(side, ((0, 0), (0, width - side.shape[1]))) for side in (x, y))
    from scipy.linalg import orthogonal_procrustes

    return float((x @ orthogonal_procrustes(x, y)[0] * y).sum())


def reference_whitened(features: Array, responses: Array) -> float:
    """Return `reference` of features and responses multiplied by a whitening matrix of their own."""
    from scipy.linalg import pinvh, sqrtm

    sides = []
    for side in (features, responses):
        values = _normalised(side)
        covariance = values.T @ values
        rank = np.linalg.matrix_rank(values)
        white = np.real(sqrtm(pinvh(covariance, rtol=1e-9))) / np.sqrt(rank)
        sides.append(values @ (ALPHA * np.eye(len(covariance)) + (1 - ALPHA) * white))
    return reference(*sides)


def _normalised(values: Array) -> Array:
    centred = values - values.mean(axis=0)
    return np.asarray(centred / np.linalg.norm(centred))


def _angle_of(similarity: Callable[[Array, Array], float], features: Array, responses: Array) -> float:
    return float(np.arccos(min(similarity(features, responses), 1.0)))


_SHARED: dict[str, Any] = {
    "version": 1,
    "ceiled_rule": None,
    "invariant_to": (
        "rotation of features",
        "shift of features",
        "isotropic scaling of features",
        "rotation of neuroids",
        "shift of neuroids",
        "isotropic scaling of neuroids",
    ),
    "sensitive_to": ("stimulus order", "anisotropic scaling of features"),
}
_ANGLE: dict[str, Any] = {"measure": "angle (rad)", "value_range": (0.0, np.pi / 2), "higher_is_better": False}
_SHAPES = "Williams et al. 2021 NeurIPS 34:4738"

ENTRIES = (
    SimilarityMetric(
        name="procrustes",
        description="Procrustes similarity: what remains in common after the best rotation and scaling",
        citation="Schoenemann 1966 Psychometrika 31:1; " + _SHAPES,
        parameters={"whitening": 0.0, "debiased": False},
        measure="cosine",
        value_range=(0.0, 1.0),
        prepare=partial(prepare, weigh=plain),
        compare=compare,
        reference=reference,
        **_SHARED,
    ),
    SimilarityMetric(
        name="shape_angle",
        description="Angular shape distance: the angle left by the best rotation and scaling; lower is better",
        citation=_SHAPES,
        parameters={"whitening": 0.0, "debiased": False},
        prepare=partial(prepare, weigh=plain),
        compare=partial(angle, compare),
        reference=partial(_angle_of, reference),
        **_ANGLE,
        **_SHARED,
    ),
    SimilarityMetric(
        name="shape_angle-half",
        description="Angular shape distance after half whitening of both sides; lower is better",
        citation=_SHAPES,
        parameters={"whitening": 1 - ALPHA, "debiased": False},
        prepare=partial(prepare, weigh=whitened),
        compare=partial(angle, compare_whitened),
        reference=partial(_angle_of, reference_whitened),
        **_ANGLE,
        **_SHARED,
    ),
)
