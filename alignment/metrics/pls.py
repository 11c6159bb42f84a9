"""Partial least squares with 25 components: Brain-Score's `pls`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alignment.contracts import Array, Indices, RegressionMetric

if TYPE_CHECKING:
    from alignment.gram import Gram

N_COMPONENTS = 25


def predict(gram: Gram, train: Indices, test: Indices, train_responses: Array) -> Array:
    """Return PLS2 predictions, shape (n_test, n_neuroids); see `alignment.linear_maps.pls2`."""
    from alignment.linear_maps import WholeGram, fit_by_missingness, pls2

    def solve(responses: Array, rows: Indices) -> Array:
        if gram.matrix is not None and WholeGram.fits(gram.matrix, train[rows], test):
            return pls2(WholeGram(gram.matrix, train[rows], test), responses, N_COMPONENTS)
        return pls2(gram.split(train[rows], test), responses, N_COMPONENTS)

    return fit_by_missingness(solve, train_responses, len(test))


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
        reference=reference,
        parameters={"n_components": N_COMPONENTS, "scale": False},
        invariant_to=("rotation of features", "shift of features", "isotropic scaling of features"),
        sensitive_to=("stimulus order", "anisotropic scaling of features"),
    ),
)
