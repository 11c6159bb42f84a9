"""Banded ridge: all layers together, each with a penalty of its own per neuroid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from alignment.contracts import Array, BandedMetric, Indices

if TYPE_CHECKING:
    from alignment.gram import Gram

ALPHAS = tuple(10.0**exponent for exponent in range(-5, 6))
N_DRAWS, SEED = 24, 0


def predict(grams: Sequence[Gram], train: Indices, test: Indices, train_responses: Array) -> Array:
    """Return what every layer contributes, shape (n_layers, n_test, n_neuroids); see `alignment.banded`."""
    from alignment.banded import banded_ridge, candidate_gammas, scaled_kernel
    from alignment.linear_maps import fit_by_missingness

    gammas = candidate_gammas(len(grams), N_DRAWS, SEED)

    def solve(responses: Array, rows: Indices) -> Array:
        kernels = [scaled_kernel(gram.split(train[rows], test)) for gram in grams]
        parts = banded_ridge(kernels, responses, gammas, ALPHAS).parts
        return parts.reshape(-1, responses.shape[1])  # (n_layers * n_test, n_neuroids of a group)

    stacked = fit_by_missingness(solve, train_responses, len(grams) * len(test))
    return stacked.reshape(len(grams), len(test), train_responses.shape[1])


def reference(train_features: Sequence[Array], train_responses: Array, test_features: Sequence[Array]) -> Array:
    """Return scikit-learn's RidgeCV on the layers' features side by side, scaled anew for every set of gammas."""
    from sklearn.linear_model import RidgeCV

    from alignment.banded import candidate_gammas

    centres = [train.mean(axis=0) for train in train_features]
    units = [((x - c) ** 2).sum(axis=1).mean() for x, c in zip(train_features, centres, strict=True)]
    edges = np.cumsum([0, *(x.shape[1] for x in train_features)])
    best = np.full(train_responses.shape[1], -np.inf)
    parts = np.zeros((len(train_features), len(test_features[0]), train_responses.shape[1]))
    for gamma in candidate_gammas(len(train_features), N_DRAWS, SEED):
        sizes = [np.sqrt(g / unit) if unit > 0 else 0.0 for g, unit in zip(gamma, units, strict=True)]
        train, test = (
            [size * (x - c) for size, x, c in zip(sizes, features, centres, strict=True)]
            for features in (train_features, test_features)
        )
        model = RidgeCV(ALPHAS, alpha_per_target=True).fit(np.concatenate(train, axis=1), train_responses)
        better = model.best_score_ > best
        best[better] = model.best_score_[better]
        for layer, x in enumerate(test):
            parts[layer][:, better] = (x @ model.coef_[:, edges[layer] : edges[layer + 1]].T)[:, better]
    return parts


ENTRIES = (
    BandedMetric(
        name="banded_ridge",
        version=1,
        description="Ridge regression on several layers together, one penalty per layer and neuroid by leave-one-out",
        citation="Nunez-Elizalde et al. 2019 NeuroImage 197:482; Dupre la Tour et al. 2022 NeuroImage 264:119728",
        predict=predict,
        reference=reference,
        parameters={"alphas": ALPHAS, "n_draws": N_DRAWS, "seed": SEED, "kernels": "centred, trace n_train"},
        invariant_to=("rotation of features", "shift of features", "isotropic scaling of features"),
        sensitive_to=("stimulus order", "anisotropic scaling of features"),
    ),
)
