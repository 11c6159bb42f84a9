"""Reverse predictivity: how well the recorded neuroids predict a layer's features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from alignment.contracts import Array, StreamedMetric

if TYPE_CHECKING:
    from alignment.reduction import Reduction
    from benchmarks.splits import Split

N_FEATURES = 500
ALPHAS = tuple(10.0**exponent for exponent in range(-2, 7))


def begin(responses: Array, splits: Sequence[Split]) -> Reduction:
    """Return the reduction; see `alignment.streams.ReversePrediction`."""
    from alignment.streams import ReversePrediction

    return ReversePrediction(responses, splits, N_FEATURES, ALPHAS)


def reference(features: Array, responses: Array, splits: Sequence[Split]) -> Mapping[str, Any]:
    """Return the same by scikit-learn's scaler and RidgeCV, with its leave-one-out error."""
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    golden = (1.0 + 5.0**0.5) / 2.0
    by_part = sorted(range(features.shape[1]), key=lambda number: (number / golden) % 1.0)
    units = np.array(sorted(by_part[:N_FEATURES]))
    complete = responses[:, ~np.isnan(responses).any(axis=0)]
    predicted = []
    for split in splits:
        model = make_pipeline(StandardScaler(), RidgeCV(alphas=ALPHAS, alpha_per_target=True))
        model.fit(complete[split.train], features[np.ix_(split.train, units)])
        predicted.append(model.predict(complete[split.test]).reshape(len(split.test), len(units)))
    return {"predicted": np.stack(predicted), "recorded": features[:, units], "units": units}


ENTRIES = (
    StreamedMetric(
        name="reverse_predictivity",
        version=1,
        description="How well the neuroids predict 500 features: ridge, penalty per feature by leave-one-out",
        citation="Muzellec and Kar 2025 bioRxiv 2025.08.08.669382",
        begin=begin,
        reference=reference,
        predicts="feature",
        parameters={"n_features": N_FEATURES, "alphas": ALPHAS, "neuroids": "standardised; those with gaps left out"},
        ceiled_rule=None,
        invariant_to=("shift of features", "isotropic scaling of features", "gain of features", "sign of features"),
        sensitive_to=("stimulus order", "rotation of features"),
    ),
)
