"""One to one: neuroids and different features matched so that they resemble each other most (permutation alignment)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from alignment.contracts import Array, StreamedMetric

if TYPE_CHECKING:
    from alignment.reduction import Reduction
    from benchmarks.splits import Split


def begin(responses: Array, splits: Sequence[Split]) -> Reduction:
    """Return the reduction; see `alignment.streams.OneToOne`."""
    from alignment.streams import OneToOne

    return OneToOne(responses, splits)


def reference(features: Array, responses: Array, splits: Sequence[Split]) -> Mapping[str, Any]:
    """Return the same by one assignment of all features, each correlation from `numpy.corrcoef`."""
    from scipy.optimize import linear_sum_assignment

    from alignment.metrics.neuron_to_neuron import correlations

    n_neuroids = responses.shape[1]
    chosen = np.full((len(splits), n_neuroids), -1)
    predicted = np.full((len(splits), len(splits[0].test), n_neuroids), np.nan)
    for number, split in enumerate(splits):
        r = correlations(features[split.train], responses[split.train])
        neuroids, matched = linear_sum_assignment(np.nan_to_num(r, nan=-2.0 * n_neuroids - 2.0), maximize=True)
        defined = ~np.isnan(r[neuroids, matched])
        chosen[number, neuroids[defined]] = matched[defined]
        predicted[number][:, neuroids[defined]] = features[np.ix_(split.test, matched[defined])]
    return {"predicted": predicted, "chosen": chosen}


ENTRIES = (
    StreamedMetric(
        name="one_to_one",
        version=1,
        description="Every neuroid matched to a feature of its own, largest sum of training correlations",
        citation="Li et al. 2015 arXiv 1511.07543; Khosla and Williams 2024 UniReps PMLR 243:133",
        begin=begin,
        reference=reference,
        parameters={"correlation": "signed Pearson's r over training stimuli", "matching": "each feature once"},
        invariant_to=("order of features", "shift of features", "isotropic scaling of features", "gain of features"),
        sensitive_to=("stimulus order", "rotation of features", "sign of features"),
    ),
)
