"""Neuron to neuron: every neuroid against the one feature that resembles it most (Brain-Score's `neuron_to_neuron`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from alignment.contracts import Array, StreamedMetric

if TYPE_CHECKING:
    from alignment.reduction import Reduction
    from benchmarks.splits import Split


def begin(responses: Array, splits: Sequence[Split]) -> Reduction:
    """Return the reduction; see `alignment.streams.BestFeature`."""
    from alignment.streams import BestFeature

    return BestFeature(responses, splits)


def reference(features: Array, responses: Array, splits: Sequence[Split]) -> Mapping[str, Any]:
    """Return the same by NumPy's correlation coefficient of every pair, one after the other."""
    n_neuroids = responses.shape[1]
    chosen = np.full((len(splits), n_neuroids), -1)
    predicted = np.full((len(splits), len(splits[0].test), n_neuroids), np.nan)
    for number, split in enumerate(splits):
        r = correlations(features[split.train], responses[split.train])
        for neuroid, row in enumerate(r):
            if not np.isnan(row).all():
                chosen[number, neuroid] = np.nanargmax(row)
                predicted[number, :, neuroid] = features[split.test, chosen[number, neuroid]]
    return {"predicted": predicted, "chosen": chosen}


def correlations(features: Array, responses: Array) -> Array:
    """Return r of every neuroid with every feature, (n_neuroids, n_features), by `numpy.corrcoef`; NaN if undefined."""
    r = np.full((responses.shape[1], features.shape[1]), np.nan)
    for neuroid, response in enumerate(responses.T):
        has = np.isfinite(response)
        for number, feature in enumerate(features.T):
            if has.sum() >= 2 and np.ptp(feature[has]) > 0 and np.ptp(response[has]) > 0:
                r[neuroid, number] = np.corrcoef(feature[has], response[has])[0, 1]
    return r


ENTRIES = (
    StreamedMetric(
        name="neuron_to_neuron",
        version=1,
        description="The one feature with the highest training correlation (Brain-Score's neuron_to_neuron)",
        citation="Schrimpf et al. 2018 bioRxiv 407007; Arend et al. 2018 CBMM Memo 93",
        begin=begin,
        reference=reference,
        parameters={"correlation": "signed Pearson's r over training stimuli", "ties": "earliest feature"},
        invariant_to=("order of features", "shift of features", "isotropic scaling of features", "gain of features"),
        sensitive_to=("stimulus order", "rotation of features", "sign of features"),
    ),
)
