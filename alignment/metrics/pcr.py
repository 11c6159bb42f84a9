"""Principal-component regression: least squares on the layer's leading components."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alignment.contracts import Array, Indices, RegressionMetric

if TYPE_CHECKING:
    from alignment.gram import Gram

N_COMPONENTS = 25  # as many as `pls`, so that the two differ in how components are found and in nothing else


def predict(gram: Gram, train: Indices, test: Indices, train_responses: Array) -> Array:
    """Return predictions from the leading components of the training stimuli, shape (n_test, n_neuroids).

    As many components as the rank where that is less; see `alignment.spectral.least_squares`.
    """
    from alignment.linear_maps import fit_components
    from alignment.spectral import least_squares

    return fit_components(least_squares, gram, train, test, train_responses, N_COMPONENTS)


def reference(train_features: Array, train_responses: Array, test_features: Array) -> Array:
    """Return scikit-learn's PCA followed by its LinearRegression."""
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline

    n_components = min(N_COMPONENTS, len(train_features) - 1, train_features.shape[1])
    model = make_pipeline(PCA(n_components, svd_solver="full"), LinearRegression())
    return model.fit(train_features, train_responses).predict(test_features)  # type: ignore[no-any-return]


ENTRIES = (
    RegressionMetric(
        name="pcr",
        version=1,
        description="Regression on the 25 leading principal components of the training stimuli",
        citation="Massy 1965 J Am Stat Assoc 60:234; Hastie, Tibshirani and Friedman 2009 sec. 3.5.1",
        predict=predict,
        reference=reference,
        parameters={"n_components": N_COMPONENTS},
        invariant_to=("rotation of features", "shift of features", "isotropic scaling of features"),
        sensitive_to=("stimulus order", "anisotropic scaling of features"),
    ),
)
