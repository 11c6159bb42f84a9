"""Linear regression without a penalty: Brain-Score's `linear_predictivity`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from alignment.contracts import Array, Indices, RegressionMetric

if TYPE_CHECKING:
    from alignment.gram import Gram


def predict(gram: Gram, train: Indices, test: Indices, train_responses: Array) -> Array:
    """Return minimum-norm least-squares predictions, (n_test, n_neuroids); see `alignment.spectral.least_squares`."""
    from alignment.linear_maps import fit_components
    from alignment.spectral import least_squares

    return fit_components(least_squares, gram, train, test, train_responses)


def reference(train_features: Array, train_responses: Array, test_features: Array) -> Array:
    """Return LAPACK's minimum-norm least squares on centred features, on what exceeds float32's rounding."""
    from scipy.linalg import lstsq

    centre, mean = train_features.mean(axis=0), train_responses.mean(axis=0)
    x = train_features - centre
    weights = lstsq(x, train_responses - mean, cond=np.finfo(np.float32).eps)[0]
    return (test_features - centre) @ weights + mean  # type: ignore[no-any-return]


ENTRIES = (
    RegressionMetric(
        name="linear_predictivity",
        version=1,
        description="Least squares without a penalty, minimum norm where features outnumber stimuli (Brain-Score)",
        citation="Schrimpf et al. 2018 bioRxiv 407007; Yamins et al. 2014 PNAS 111:8619",
        predict=predict,
        reference=reference,
        parameters={"rank": "what exceeds eps of float32 x the largest eigenvalue or singular value"},
        invariant_to=(
            "rotation of features",
            "shift of features",
            "isotropic scaling of features",
            "anisotropic scaling of fewer features than stimuli",
        ),
        sensitive_to=("stimulus order", "anisotropic scaling of more features than stimuli"),
    ),
)
