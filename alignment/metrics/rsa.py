"""Representational similarity: a layer's dissimilarities among stimuli against those of subjects (RSA)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np

from alignment import rdm_influence, rdms
from alignment.contracts import Array, Expansion, GeometryMetric

_CITATION = "Kriegeskorte, Mur and Bandettini 2008 Front. Syst. Neurosci. 2:4"
_TOOLBOX = "; Nili et al. 2014 PLoS Comput. Biol. 10:e1003553"
_WHITENED = "; Diedrichsen et al. 2021 Neurons Behav. Data Anal. Theory 5(3)"
# A noisy RDM attenuates every comparison but that of signs, where one noisy entry spoils many pairs of entries, and the
# cosine of RDMs as they are, most of which is the mean that noise adds to both halves of the repeats.
ATTENUATION = "raw/sqrt(ceiling)"
KENDALL_DRAWS = 100  # a draw of 92 stimuli costs a millisecond or two per subject

# What a layer's dissimilarities do not notice, and what they do.
_INVARIANT = {
    "correlation": ("isotropic scaling of features", "gain and offset of stimuli"),
    "cosine": ("isotropic scaling of features", "rotation of features", "gain of stimuli"),
    "euclidean": ("isotropic scaling of features", "rotation of features", "shift of features"),
}
_SENSITIVE = {
    "correlation": ("stimulus order", "anisotropic scaling of features", "rotation of features", "shift of features"),
    "cosine": ("stimulus order", "anisotropic scaling of features", "shift of features"),
    "euclidean": ("stimulus order", "anisotropic scaling of features", "gain of stimuli"),
}


def reference_pearson(model: Array, subjects: Array) -> Array:
    """Return NumPy's correlation coefficients."""
    return np.corrcoef(model, subjects)[0, 1:]


def reference_spearman(model: Array, subjects: Array) -> Array:
    """Return SciPy's rank correlations."""
    from scipy.stats import spearmanr

    return np.array([spearmanr(model, subject).statistic for subject in subjects])


def reference_kendall(model: Array, subjects: Array) -> Array:
    """Return tau-a from the order of every pair of entries."""
    n_pairs = len(model)
    tau = np.zeros(len(subjects))
    for row in range(n_pairs):
        tau += (np.sign(model[row] - model) * np.sign(subjects[:, row : row + 1] - subjects)).sum(axis=1)
    return np.asarray(tau / (n_pairs * (n_pairs - 1)))


def reference_cosine(model: Array, subjects: Array) -> Array:
    """Return the cosine from SciPy."""
    from scipy.spatial.distance import cosine

    return np.array([1.0 - cosine(model, subject) for subject in subjects])


def reference_whitened(model: Array, subjects: Array) -> Array:
    """Return the cosine after multiplication by the inverse of the covariance of all entries, made explicit."""
    first, second = np.triu_indices(rdms.n_stimuli_of(model), k=1)
    pairs = np.arange(len(model))
    contrasts = np.zeros((len(model), second.max() + 1))
    contrasts[pairs, first], contrasts[pairs, second] = 1.0, -1.0
    covariance = (contrasts @ contrasts.T) ** 2  # (n_pairs, n_pairs)
    whitened = np.linalg.solve(covariance, np.column_stack([model, *subjects]))
    cross, norm = subjects @ whitened[:, 0], model @ whitened[:, 0]
    return np.asarray(cross / np.sqrt(norm * np.einsum("sp,ps->s", subjects, whitened[:, 1:])))


def reference_whitened_pearson(model: Array, subjects: Array) -> Array:
    """Return `reference_whitened` of dissimilarities less their mean."""
    return reference_whitened(model - model.mean(), subjects - subjects.mean(axis=1, keepdims=True))


def _card(
    name: str,
    comparator: rdms.Comparator,
    pool: Callable[[Array], Array],
    reference: Callable[[Array, Array], Array],
    expansion: Expansion,
    dissimilarity: Literal["correlation", "euclidean", "cosine"] = "correlation",
    **facts: Any,
) -> GeometryMetric:
    parameters = {"dissimilarity": dissimilarity, "pool": pool.__name__.removeprefix("pool_")}
    most_draws = facts.get("most_draws")
    return GeometryMetric(
        name=name,
        version=1,
        dissimilarity=dissimilarity,
        compare=partial(rdms.compare, comparator),
        compare_draws=partial(rdms.compare_draws, comparator),
        pool=pool,
        reference=reference,
        expansion=expansion,
        parameters=parameters if most_draws is None else {**parameters, "most_draws": most_draws},
        invariant_to=_INVARIANT[dissimilarity],
        sensitive_to=_SENSITIVE[dissimilarity],
        **facts,
    )


ENTRIES = (
    _card(
        "rsa-pearson",
        rdms.pearson,
        rdms.pool_standardised,
        reference_pearson,
        rdm_influence.PEARSON,
        description="Pearson's r between RDMs (1 - r)",
        citation=_CITATION,
        measure="r",
        recording_rule=ATTENUATION,
    ),
    _card(
        "rsa-spearman",
        rdms.spearman,
        rdms.pool_ranks,
        reference_spearman,
        rdm_influence.SPEARMAN,
        description="Rank correlation between RDMs (1 - r)",
        citation=_CITATION,
        measure="Spearman rho",
        recording_rule=ATTENUATION,
    ),
    _card(
        "rsa-spearman-cosine",
        rdms.spearman,
        rdms.pool_ranks,
        reference_spearman,
        rdm_influence.SPEARMAN,
        "cosine",
        description="Rank correlation between RDMs, the layer's by cosine",
        citation=_CITATION,
        measure="Spearman rho",
        recording_rule=ATTENUATION,
    ),
    _card(
        "rsa-spearman-euclidean",
        rdms.spearman,
        rdms.pool_ranks,
        reference_spearman,
        rdm_influence.SPEARMAN,
        "euclidean",
        description="Rank correlation between RDMs, the layer's by squared Euclidean distance",
        citation=_CITATION,
        measure="Spearman rho",
        recording_rule=ATTENUATION,
    ),
    _card(
        "rsa-kendall",
        rdms.kendall,
        rdms.pool_ranks,
        reference_kendall,
        rdm_influence.KENDALL,
        description="Kendall's tau-a between RDMs (1 - r)",
        citation=_CITATION + _TOOLBOX,
        measure="Kendall tau-a",
        most_draws=KENDALL_DRAWS,
    ),
    _card(
        "rsa-cosine",
        rdms.cosine,
        rdms.pool_scaled,
        reference_cosine,
        rdm_influence.COSINE,
        description="Cosine between RDMs (1 - r)",
        citation=_CITATION + _TOOLBOX,
        measure="cosine",
    ),
    _card(
        "rsa-whitened",
        rdms.whitened_cosine,
        rdms.pool_scaled,
        reference_whitened,
        rdm_influence.WHITENED_COSINE,
        description="Cosine between RDMs (1 - r) whitened by the covariance of their entries",
        citation=_CITATION + _WHITENED,
        measure="whitened cosine",
        recording_rule=ATTENUATION,
    ),
    _card(
        "rsa-whitened-pearson",
        rdms.whitened_pearson,
        rdms.pool_standardised,
        reference_whitened_pearson,
        rdm_influence.WHITENED_PEARSON,
        description="Pearson's r between RDMs (1 - r) whitened by the covariance of their entries",
        citation=_CITATION + _WHITENED,
        measure="whitened r",
        recording_rule=ATTENUATION,
    ),
)
