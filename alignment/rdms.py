"""Representational dissimilarities: of a layer, from its Gram matrix; compared with those of subjects; pooled.

An RDM is condensed: its n_pairs = n_stimuli (n_stimuli - 1) / 2 pairs are the upper triangle, row by row. Comparisons
are made under `counts`, how often each stimulus was drawn: a pair counts as often as the product of its two stimuli,
and a stimulus makes no pair with copies of itself. All ones is the data itself, multinomial counts are a bootstrap.

References
----------
Kriegeskorte, Mur and Bandettini (2008), Representational similarity analysis, Front. Syst. Neurosci. 2:4. Nili et al.
(2014), A toolbox for representational similarity analysis, PLoS Comput. Biol. 10:e1003553. Schuett, Kipnis, Diedrichsen
and Kriegeskorte (2023), Statistical inference on representational geometries, eLife 12:e82566.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from alignment.contracts import Array, Floats, Indices
from alignment.statistics import weighted_pearson

if TYPE_CHECKING:
    from alignment.gram import Gram

Dissimilarity = Literal["correlation", "euclidean", "cosine"]
Places = npt.NDArray[np.integer[Any]]
Comparator = Callable[[Array, Array, Array], Array]

_FLAT = 1e-12  # variance relative to the second moment below which a stimulus' features count as constant, and
_FLAT_IN_GRAM = 1e-6  # relative to the largest one, where they are known by products of float32 alone
_BLOCK = 2**16  # pairs times draws compared at a time


def model_rdm(gram: Gram, dissimilarity: Dissimilarity, stimulus_ids: Sequence[str]) -> Array:
    """Return a layer's dissimilarities, shape (n_pairs,), from its Gram matrix alone.

    Parameters
    ----------
    gram : Gram
        Of a layer over at least the stimuli asked for.
    dissimilarity : str
        "correlation": 1 - Pearson's r over features, in [0, 2]; "cosine": 1 - cosine, in [0, 2]; "euclidean": squared
        distance divided by the number of features.
    stimulus_ids : sequence of str
        The stimuli whose pairs are wanted, in their order.

    Returns
    -------
    array of shape (n_pairs,)
        Float64; NaN where a stimulus' features are constant ("correlation") or all zero ("cosine").
    """
    return rdm_of_rows(gram, dissimilarity, gram.rows_of(stimulus_ids))


def rdm_of_rows(gram: Gram, dissimilarity: Dissimilarity, rows: Indices) -> Array:
    """Return `model_rdm` of the stimuli that stand in the rows of a Gram matrix."""
    if gram.features is not None:
        return rdm_of(gram.features[rows], dissimilarity)
    return _dissimilarities(*_products(gram, rows, dissimilarity), dissimilarity, gram.n_features)


def rdm_of(features: Floats, dissimilarity: Dissimilarity, precision: type[np.floating[Any]] = np.float64) -> Array:
    """Return the dissimilarities (n_pairs,) of features, or responses, (n_stimuli, n_features); see `model_rdm`.

    They have the `precision` with which they are computed; in float32 they are three times as fast.
    """
    features = features.astype(precision)
    least = _FLAT * np.einsum("if,if->i", features, features)
    if dissimilarity != "cosine":  # over features, or about the mean stimulus, which distances do not notice
        features -= features.mean(axis=1 if dissimilarity == "correlation" else 0, keepdims=True)
    return _dissimilarities(features @ features.T, least, dissimilarity, features.shape[1])


def _dissimilarities(products: Array, least: Array, dissimilarity: Dissimilarity, n_features: int) -> Array:
    """Return an RDM (n_pairs,) from inner products (n_stimuli, n_stimuli) and the least squares that are valid."""
    squares = np.diagonal(products)
    upper = np.triu(np.ones(products.shape, dtype=bool), k=1)
    if dissimilarity == "euclidean":
        distances = (squares[:, None] + squares - 2.0 * products)[upper]
        return np.asarray(np.maximum(distances, 0.0) / n_features)
    norms = np.sqrt(np.where(squares > least, squares, np.nan))
    similarity = (products / norms[:, None] / norms)[upper]
    return np.asarray(1.0 - np.clip(similarity, -1.0, 1.0))


def _products(gram: Gram, rows: Indices, dissimilarity: Dissimilarity) -> tuple[Array, Array]:
    """Return inner products (n_stimuli, n_stimuli), centred as the dissimilarity wants, and the least valid squares."""
    assert gram.matrix is not None
    matrix, row_sums = gram.matrix[np.ix_(rows, rows)], gram.row_sums[rows]
    least = np.full(len(rows), _FLAT_IN_GRAM * np.diagonal(matrix).max())
    if dissimilarity == "correlation":
        return matrix - np.outer(row_sums, row_sums) / gram.n_features, least
    return matrix, least


def compare_draws(comparator: Comparator, models: Array, subjects: Array, counts: Array) -> Array:
    """Return how similar RDMs are to every subject's in every draw of stimuli.

    Parameters
    ----------
    comparator : `pearson`, `spearman`, `kendall`, `cosine`, `whitened_cosine` or `whitened_pearson`
    models : array of shape (n_models, n_pairs)
    subjects : array of shape (n_subjects, n_pairs)
    counts : array of shape (n_draws, n_stimuli)
        How often each stimulus was drawn.

    Returns
    -------
    array of shape (n_models, n_draws, n_subjects)
        NaN where it is undefined: a constant RDM, or a model's that has undefined entries.
    """
    similarity = np.full((len(models), len(counts), len(subjects)), np.nan)
    defined = np.isfinite(models).all(axis=1)
    if not defined.any():
        return similarity
    step = max(1, _BLOCK // models.shape[1])
    for row in range(0, len(counts), step):
        draws = slice(row, row + step)
        with np.errstate(invalid="ignore", divide="ignore"):
            similarity[defined, draws] = comparator(models[defined], subjects, counts[draws])
    return np.clip(similarity, -1.0, 1.0)


def compare(comparator: Comparator, model: Array, subjects: Array) -> Array:
    """Return how similar an RDM (n_pairs,) is to those of subjects (n_subjects, n_pairs): (n_subjects,)."""
    return np.asarray(compare_draws(comparator, model[None], subjects, np.ones((1, n_stimuli_of(model))))[0, 0])


def pearson(models: Array, subjects: Array, counts: Array) -> Array:
    """Return Pearson's r of dissimilarities, (n_models, n_draws, n_subjects); see `compare_draws`."""
    weights = _pair_weights(counts)
    return np.stack([weighted_pearson(model[:, None], subjects.T, weights) for model in models])


def cosine(models: Array, subjects: Array, counts: Array) -> Array:
    """Return the cosine of dissimilarities, (n_models, n_draws, n_subjects); see `compare_draws`."""
    weights = _pair_weights(counts)
    norms = np.sqrt(weights @ subjects.T**2)  # (n_draws, n_subjects)
    similarity = [weights @ (subjects * model).T / np.sqrt(weights @ model**2)[:, None] for model in models]
    return np.asarray(np.stack(similarity) / norms)


def spearman(models: Array, subjects: Array, counts: Array) -> Array:
    """Return Pearson's r of ranks (ties share their mean), ranked anew in every draw; see `compare_draws`."""
    weights = _pair_weights(counts)
    similarity = np.empty((len(models), len(counts), len(subjects)))
    standardised = []
    for model in models:
        ranks = _ranks(model, weights)
        weighted = weights * ranks  # (n_draws, n_pairs)
        standardised.append(weighted / np.sqrt(np.einsum("dp,dp->d", weighted, ranks))[:, None])
    for column, subject in enumerate(subjects):
        ranks = _ranks(subject, weights)
        norm = np.sqrt(np.einsum("dp,dp,dp->d", weights, ranks, ranks))
        for row, model in enumerate(standardised):
            similarity[row, :, column] = np.einsum("dp,dp->d", model, ranks) / norm
    return similarity


def kendall(models: Array, subjects: Array, counts: Array) -> Array:
    """Return Kendall's tau-a, (concordant - discordant) / all pairs of entries; see `compare_draws`.

    Tied entries count as neither, so that a model is not rewarded for predicting ties (Nili et al. 2014).
    """
    entries = [np.repeat(np.arange(models.shape[1]), row.astype(np.intp)) for row in _pair_weights(counts)]
    places = [[np.unique(rdm, return_inverse=True)[1] for rdm in rdms] for rdms in (models, subjects)]
    return np.array(
        [[[tau_a(model[drawn], subject[drawn]) for subject in places[1]] for drawn in entries] for model in places[0]]
    )


def whitened_cosine(models: Array, subjects: Array, counts: Array) -> Array:
    """Return the cosine of dissimilarities whitened by their covariance under noise alone; see `compare_draws`.

    Estimated dissimilarities that share a stimulus err together: for squared distances of independent, equally noisy
    patterns the covariance V of two entries is 4 for an entry with itself, 1 for pairs that share a stimulus and 0
    otherwise (up to a factor). The cosine x V^-1 y is the inner product of both RDMs as symmetric matrices without
    their row and column effects, diagonal included, which is how it is computed here, without V. With squared distances
    on both sides it is linear centred kernel alignment (CKA).

    References
    ----------
    Diedrichsen, Berlot, Mur, Schuett, Shahbazi and Kriegeskorte (2021), Comparing representational geometries using
    whitened unbiased-distance-matrix similarity, Neurons Behav. Data Anal. Theory 5(3).
    """
    return _whitened(models, subjects, counts, centred=False)


def whitened_pearson(models: Array, subjects: Array, counts: Array) -> Array:
    """Return `whitened_cosine` of dissimilarities from which their mean was subtracted."""
    return _whitened(models, subjects, counts, centred=True)


def pool_scaled(subjects: Array) -> Array:
    """Return the mean RDM (n_pairs,) of subjects (n_subjects, n_pairs) scaled to equal root mean squares."""
    return np.asarray((subjects / np.sqrt(np.mean(subjects**2, axis=1, keepdims=True))).mean(axis=0))


def pool_standardised(subjects: Array) -> Array:
    """Return the mean RDM (n_pairs,) of subjects (n_subjects, n_pairs) brought to mean 0 and variance 1."""
    centred = subjects - subjects.mean(axis=1, keepdims=True)
    return np.asarray((centred / centred.std(axis=1, keepdims=True)).mean(axis=0))


def pool_ranks(subjects: Array) -> Array:
    """Return the mean (n_pairs,) of the subjects' ranks; ties share their mean rank."""
    once = np.ones((1, subjects.shape[1]))
    return np.asarray(np.mean([_ranks(subject, once)[0] for subject in subjects], axis=0))


def noise_ceiling(
    compare: Callable[[Array, Array], Array], pool: Callable[[Array], Array], subjects: Array
) -> tuple[float, float]:
    """Return the (upper, lower) bound of what a perfect model could score, given how much subjects differ.

    Parameters
    ----------
    compare, pool : as in `alignment.contracts.GeometryMetric`.
    subjects : array of shape (n_subjects, n_pairs), at least two subjects.

    Notes
    -----
    Upper: mean over subjects of the similarity with the pool of all, which contains the subject, so it is too high.
    Lower: with the pool of the others, which is noisier than the truth, so it is too low (Nili et al. 2014).
    """
    others = [compare(pool(np.delete(subjects, row, 0)), subjects[row : row + 1])[0] for row in range(len(subjects))]
    return float(np.mean(compare(pool(subjects), subjects))), float(np.mean(others))


def n_stimuli_of(rdm: Array) -> int:
    """Return the number of stimuli behind a condensed RDM (n_pairs,)."""
    return (1 + math.isqrt(1 + 8 * len(rdm))) // 2


def _pair_weights(counts: Array) -> Array:
    """Return how often every pair occurs in every draw, shape (n_draws, n_pairs)."""
    first, second = np.triu_indices(counts.shape[1], k=1)
    return np.asarray(counts[:, first] * counts[:, second])


def _ranks(values: Array, weights: Array) -> Array:
    """Return ranks about their mean, shape (n_draws, n_pairs), of values (n_pairs,) that occur `weights` times."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    is_first = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    tie_of = np.empty(len(values), dtype=np.intp)
    tie_of[order] = np.cumsum(is_first) - 1
    size = weights[:, order]
    if not is_first.all():
        size = np.add.reduceat(size, np.flatnonzero(is_first), axis=1)  # (n_draws, n_distinct)
    up_to = np.cumsum(size, axis=1)
    return np.asarray((up_to - size / 2.0 - up_to[:, -1:] / 2.0)[:, tie_of])


def tau_a(x: Places, y: Places) -> float:
    """Return tau-a of dense ranks from SciPy's tau-b, which divides by the pairs that are not tied."""
    from scipy.stats import kendalltau

    pairs = len(x) * (len(x) - 1) / 2
    untied = math.prod(1.0 - _tied_pairs(side) / pairs for side in (x, y))
    return float(kendalltau(x, y, method="asymptotic").statistic * math.sqrt(untied))


def _tied_pairs(places: Places) -> float:
    size = np.bincount(places)
    return float((size * (size - 1)).sum() / 2)


def _whitened(models: Array, subjects: Array, counts: Array, *, centred: bool) -> Array:
    weights = _pair_weights(counts)
    rdms = np.concatenate([models, subjects])  # (n_rdms, n_pairs), models first
    total = weights.sum(axis=1, keepdims=True)
    mean = np.zeros((len(counts), len(rdms)))
    if centred:
        rdms = rdms - rdms.mean(axis=1, keepdims=True)  # avoids cancellation below
        mean = weights @ rdms.T / total
    n_drawn = counts.sum(axis=1, keepdims=True)
    first, second = np.triu_indices(counts.shape[1], k=1)
    square = np.zeros((len(rdms), counts.shape[1], counts.shape[1]))
    square[:, first, second] = square[:, second, first] = rdms
    sums = np.moveaxis(counts @ square, 0, 1)  # row sums over the draw, (n_draws, n_rdms, n_stimuli)
    sums = sums - mean[:, :, None] * (n_drawn - counts)[:, None, :]
    # Row effects a, fitted by least squares to the drawn matrix, whose entries between copies are missing and whose
    # diagonal is zero, solve (n_drawn - 2 count + 2) a_s + sum_t count_t a_t = sums_s.
    leading = (n_drawn - 2.0 * counts + 2.0)[:, None, :]
    times = counts[:, None, :]
    common = (times * sums / leading).sum(axis=2, keepdims=True) / (1.0 + (times / leading).sum(axis=2, keepdims=True))
    effects = (sums - common) / leading
    weighted = times * sums
    norms = np.sqrt(weights @ (rdms**2).T - total * mean**2 - (weighted * effects).sum(axis=2))
    similarity = []
    for row, model in enumerate(rdms[: len(models)]):
        raw = weights @ (rdms * model).T - total * mean * mean[:, row : row + 1]
        similarity.append(
            (raw - (weighted * effects[:, row : row + 1]).sum(axis=2)) / (norms * norms[:, row : row + 1])
        )
    return np.asarray(np.stack(similarity)[:, :, len(models) :])
