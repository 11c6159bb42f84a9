"""Partial least squares with 25 components: Brain-Score's `pls`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from alignment.contracts import Array, Fit, Indices, RegressionMetric

if TYPE_CHECKING:
    from alignment.gram import Gram

N_COMPONENTS = 25


def predict(gram: Gram, train: Indices, test: Indices, train_responses: Array) -> Array:
    """Return PLS2 predictions, shape (n_test, n_neuroids); see `alignment.nipals.pls2`."""
    return predict_together(gram, [(train, test, train_responses)])[0]


def predict_together(gram: Gram, fits: Sequence[Fit]) -> list[Array]:
    """Return the predictions of several splits, made step by step together where all take the whole Gram matrix."""
    from alignment.linear_maps import WholeGram, fit_by_missingness
    from alignment.nipals import pls2, pls2_together

    matrix, complete = gram.matrix, all(np.isfinite(responses).all() for _, _, responses in fits)
    if matrix is not None and complete and all(WholeGram.fits(matrix, train, test) for train, test, _ in fits):
        systems = [WholeGram(matrix, train, test) for train, test, _ in fits]
        return pls2_together(systems, [responses for _, _, responses in fits], N_COMPONENTS)

    def solve(train: Indices, test: Indices, finite: Array, rows: Indices) -> Array:
        return pls2(gram.split(train[rows], test), finite, N_COMPONENTS)

    return [fit_by_missingness(partial(solve, train, test), each, len(test)) for train, test, each in fits]


def reference(train_features: Array, train_responses: Array, test_features: Array) -> Array:
    """Return scikit-learn's NIPALS solution, its early stop included, as Brain-Score uses it."""
    from sklearn.cross_decomposition import PLSRegression

    n_components = min(N_COMPONENTS, len(train_features) - 1, train_features.shape[1])
    model = PLSRegression(n_components=n_components, scale=False)
    return model.fit(train_features, train_responses).predict(test_features)  # type: ignore[no-any-return]


ENTRIES = (
    RegressionMetric(
        name="pls",
        version=1,
        description="PLS regression, 25 components (Brain-Score's pls)",
        citation="Yamins et al. 2014 PNAS 111:8619; Schrimpf et al. 2018; Rosipal and Trejo 2001 JMLR 2:97",
        predict=predict,
        predict_together=predict_together,
        reference=reference,
        parameters={"n_components": N_COMPONENTS, "scale": False},
        invariant_to=("rotation of features", "shift of features", "isotropic scaling of features"),
        sensitive_to=("stimulus order", "anisotropic scaling of features"),
    ),
)
