"""Linear centred kernel alignment: how alike two representations treat pairs of stimuli (Brain-Score's `cka`)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from alignment.contracts import Array, Indices, Similarity, SimilarityMetric
from alignment.kernels import Kernel, Population, cka, cka_reliability, population

if TYPE_CHECKING:
    from alignment.gram import Gram


def compare(gram: Gram, rows: Indices, brain: Population, *, debiased: bool) -> Similarity:
    """Return the linear CKA of a layer with a population; see `alignment.kernels.cka`."""
    return cka(Kernel.of_gram(gram, rows), brain, debiased=debiased)


def reference(features: Array, responses: Array) -> float:
    """Return the debiased CKA from U-centred matrices, as Szekely and Rizzo write the estimator."""
    first, second = (_u_centred(values @ values.T) for values in (features, responses))
    return float((first * second).sum() / np.sqrt((first**2).sum() * (second**2).sum()))


def reference_biased(features: Array, responses: Array) -> float:
    """Return the CKA of Kornblith et al. from the features' own covariances."""
    x, y = features - features.mean(axis=0), responses - responses.mean(axis=0)
    norms = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return float(np.linalg.norm(x.T @ y) ** 2 / norms)


def _u_centred(matrix: Array) -> Array:
    n_stimuli = len(matrix)
    off = matrix - np.diag(np.diag(matrix))
    rows = off.sum(axis=0)
    centred = off - (rows[:, None] + rows) / (n_stimuli - 2) + off.sum() / ((n_stimuli - 1) * (n_stimuli - 2))
    return np.asarray(centred - np.diag(np.diag(centred)))


_SHARED: dict[str, Any] = {
    "version": 1,
    "measure": "CKA",
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
_CITATION = "Kornblith et al. 2019 ICML 97:3519"

ENTRIES = (
    SimilarityMetric(
        name="cka",
        description="Linear CKA, debiased for the number of stimuli (Brain-Score's cka)",
        citation=_CITATION + "; Song et al. 2012 J. Mach. Learn. Res. 13:1393; Murphy et al. 2024 arXiv 2405.01012",
        parameters={"kernel": "linear", "debiased": True},
        ceiled_rule="raw/sqrt(ceiling)",
        prepare=partial(population, debiased=True),
        compare=partial(compare, debiased=True),
        reference=reference,
        reliability=cka_reliability,
        **_SHARED,
    ),
    SimilarityMetric(
        name="cka-biased",
        description="Linear CKA without correction: positive for unrelated representations",
        citation=_CITATION,
        parameters={"kernel": "linear", "debiased": False},
        value_range=(0.0, 1.0),
        ceiled_rule=None,
        prepare=partial(population, debiased=False),
        compare=partial(compare, debiased=False),
        reference=reference_biased,
        **_SHARED,
    ),
)
