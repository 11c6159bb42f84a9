"""Ridge regression: a fixed penalty (Brain-Score's `ridge`), or one chosen on the training stimuli."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from alignment.contracts import Array, Indices, RegressionMetric

if TYPE_CHECKING:
    from alignment.gram import Gram

ALPHA = 1.0
ALPHAS = tuple(10.0**exponent for exponent in range(-2, 11))
_STEPS = [np.linspace(10.0**n, 10.0 ** (n + 1), 18, endpoint=False) for n in range(2, 6)]
SHARED_ALPHAS = tuple(
    map(
        float,
        np.concatenate(
            [[0.01, 0.1, 0.5, 1.0], np.linspace(1e1, 1e2, 4, endpoint=False), *_STEPS, np.linspace(1e6, 1e7, 19)]
        ),
    )
)  # the 99 values of Brain-Score's ALPHA_LIST


def predict(gram: Gram, train: Indices, test: Indices, train_responses: Array) -> Array:
    """Return ridge predictions with alpha = 1, shape (n_test, n_neuroids); see `alignment.linear_maps.ridge`.

    Where a split takes all stimuli and all responses are there, what all splits have in common is computed once.
    """
    from alignment.linear_maps import fit_by_missingness, ridge, ridge_held_out

    if len(train) + len(test) == len(gram.stimulus_ids) and np.isfinite(train_responses).all():
        precision = gram.precision(ALPHA)
        if precision is not None:
            return ridge_held_out(precision, train, test, train_responses)
    return fit_by_missingness(
        lambda responses, rows: ridge(gram.split(train[rows], test), responses, ALPHA), train_responses, len(test)
    )


def predict_loo(gram: Gram, train: Indices, test: Indices, train_responses: Array) -> Array:
    """Return ridge predictions with one penalty per neuroid; see `alignment.spectral.ridge_loo`."""
    from alignment.linear_maps import fit_components
    from alignment.spectral import ridge_loo

    return fit_components(
        lambda basis, responses: ridge_loo(basis, responses, ALPHAS, per_target=True)[0],
        gram,
        train,
        test,
        train_responses,
    )


def predict_shared(gram: Gram, train: Indices, test: Indices, train_responses: Array) -> Array:
    """Return ridge predictions with one penalty for all neuroids; see `alignment.spectral.ridge_loo`."""
    from alignment.linear_maps import fit_components
    from alignment.spectral import ridge_loo

    return fit_components(
        lambda basis, responses: ridge_loo(basis, responses, SHARED_ALPHAS)[0], gram, train, test, train_responses
    )


def predict_gcv(gram: Gram, train: Indices, test: Indices, train_responses: Array) -> Array:
    """Return ridge predictions with one penalty per neuroid; see `alignment.spectral.ridge_gcv`."""
    from alignment.linear_maps import fit_components
    from alignment.spectral import ridge_gcv

    return fit_components(
        lambda basis, responses: ridge_gcv(basis, responses, ALPHAS)[0], gram, train, test, train_responses
    )


def reference(train_features: Array, train_responses: Array, test_features: Array) -> Array:
    """Return scikit-learn's Ridge."""
    from sklearn.linear_model import Ridge

    return Ridge(alpha=ALPHA).fit(train_features, train_responses).predict(test_features)  # type: ignore[no-any-return]


def reference_loo(train_features: Array, train_responses: Array, test_features: Array) -> Array:
    """Return scikit-learn's RidgeCV with its leave-one-out error."""
    from sklearn.linear_model import RidgeCV

    model = RidgeCV(alphas=ALPHAS, alpha_per_target=True)
    return model.fit(train_features, train_responses).predict(test_features)  # type: ignore[no-any-return]


def reference_shared(train_features: Array, train_responses: Array, test_features: Array) -> Array:
    """Return scikit-learn's RidgeCV as Brain-Score's `ridgecv_split` uses it."""
    from sklearn.linear_model import RidgeCV

    model = RidgeCV(alphas=SHARED_ALPHAS)
    return model.fit(train_features, train_responses).predict(test_features)  # type: ignore[no-any-return]


def reference_gcv(train_features: Array, train_responses: Array, test_features: Array) -> Array:
    """Return the primal ridge solutions whose score V, from an explicit hat matrix, is the lowest per neuroid."""
    n_train = len(train_features)
    centre, mean = train_features.mean(axis=0), train_responses.mean(axis=0)
    x, y = train_features - centre, train_responses - mean
    scores, predictions = [], []
    for alpha in ALPHAS:
        map_ = np.linalg.solve(x.T @ x + alpha * np.eye(x.shape[1]), x.T)  # (n_features, n_train)
        left_out = np.eye(n_train) - 1.0 / n_train - x @ map_  # I - H
        scores.append(((left_out @ y) ** 2).mean(axis=0) / (np.trace(left_out) / n_train) ** 2)
        predictions.append((test_features - centre) @ map_ @ y + mean)
    return np.take_along_axis(np.stack(predictions), np.argmin(scores, axis=0)[None, None], axis=0)[0]  # type: ignore[no-any-return]


_CITATION = "Hoerl and Kennard 1970 Technometrics 12:55"
_SCHRIMPF = "; Schrimpf et al. 2018 bioRxiv 407007"
_GOLUB = "; Golub, Heath and Wahba 1979 Technometrics 21:215"
_INVARIANT = ("rotation of features", "shift of features")
_SENSITIVE = ("stimulus order", "anisotropic scaling of features")

ENTRIES = (
    RegressionMetric(
        name="ridge",
        version=1,
        description="Ridge regression, alpha = 1 (Brain-Score's ridge)",
        citation=_CITATION + _SCHRIMPF,
        predict=predict,
        reference=reference,
        parameters={"alpha": ALPHA},
        invariant_to=_INVARIANT,
        sensitive_to=(*_SENSITIVE, "isotropic scaling of features"),
    ),
    RegressionMetric(
        name="ridgecv",
        version=1,
        description="Ridge regression, penalty per neuroid by leave-one-out over 13 decades",
        citation=_CITATION + _SCHRIMPF + _GOLUB,
        predict=predict_loo,
        reference=reference_loo,
        parameters={"alphas": ALPHAS, "per_target": True},
        invariant_to=_INVARIANT,
        sensitive_to=_SENSITIVE,
    ),
    RegressionMetric(
        name="ridgecv-shared",
        version=1,
        description="Ridge regression, one penalty for all neuroids by leave-one-out (Brain-Score's ridgecv)",
        citation=_CITATION + _SCHRIMPF + "; Rifkin and Lippert 2007 MIT-CSAIL-TR-2007-025",
        predict=predict_shared,
        reference=reference_shared,
        parameters={"alphas": SHARED_ALPHAS, "per_target": False},
        invariant_to=_INVARIANT,
        sensitive_to=_SENSITIVE,
    ),
    RegressionMetric(
        name="ridgegcv",
        version=1,
        description="Ridge regression, penalty per neuroid by generalised cross-validation over 13 decades",
        citation=_CITATION + _GOLUB,
        predict=predict_gcv,
        reference=reference_gcv,
        parameters={"alphas": ALPHAS, "per_target": True},
        invariant_to=_INVARIANT,
        sensitive_to=_SENSITIVE,
    ),
)
