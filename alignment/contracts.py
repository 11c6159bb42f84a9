"""How model and brain are compared: the metric card and the score it leads to. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating[Any]]
Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class MetricCard:
    """A regression metric: maps a layer to neuroids on training stimuli and predicts the test stimuli.

    Attributes
    ----------
    name : unique identifier, e.g. "pls".
    predict : ``predict(gram, train, test, train_responses) -> (n_test, n_neuroids)`` in the unit of the responses,
        float64. `gram` is an `alignment.gram.Gram`, `train` and `test` its row numbers; test responses are never
        passed.
    parameters : every option that shapes the number, for the provenance record.
    value_range : (lowest, highest) the raw score can take.
    higher_is_better : direction.
    invariant_to, sensitive_to : names of transformations of the features audited by tests/contracts.
    reference : slow, independent form of `predict` on features, used by the contract tests:
        ``reference(train_features, train_responses, test_features) -> predictions``.
    """

    name: str
    version: int
    description: str
    citation: str
    predict: Callable[..., Array]
    reference: Callable[[Array, Array, Array], Array]
    parameters: Mapping[str, Any]
    value_range: tuple[float, float] = (-1.0, 1.0)
    higher_is_better: bool = True
    invariant_to: tuple[str, ...] = ()
    sensitive_to: tuple[str, ...] = ()


@dataclass(frozen=True)
class LayerProfile:
    """Raw score of every candidate layer on the commitment data, in execution order."""

    benchmark: str
    layers: tuple[str, ...]
    raw: tuple[float, ...]


@dataclass(frozen=True)
class Score:
    """One cell: a model's layer against one benchmark under one metric.

    Attributes
    ----------
    raw : mean over splits of the median over neuroids of Pearson's r (unitless).
    raw_error, raw_interval : bootstrap standard error and 95 % percentile interval of `raw`.
    ceiling, ceiling_error : the recording's reliability, or None: no ceiling can be computed.
    ceiled : `raw` under `ceiled_rule`, signed, never clipped; None without a ceiling.
    ceiled_legacy : the older (r/ceiling)^2 of Brain-Score before 2026, signed; None without a ceiling.
    error, interval : bootstrap standard error and interval of the headline value, which is `ceiled` if there is a
        ceiling, otherwise `raw`; `interval_of` says which.
    split_error : Brain-Score's error: the splits' standard deviation / sqrt(n_splits). Overlapping splits: too small.
    layer_choice : "user", or "committed on <benchmark>".
    neuroid_raw : r per neuroid, mean over splits, in the order of `neuroid_ids`.
    """

    model: str
    benchmark: str
    benchmark_version: int
    region: str
    metric: str
    layer: str
    layer_choice: str
    raw: float
    raw_error: float
    raw_interval: tuple[float, float]
    ceiling: float | None
    ceiling_error: float | None
    ceiled: float | None
    ceiled_legacy: float | None
    ceiled_rule: str
    error: float
    interval: tuple[float, float]
    interval_of: Literal["raw", "ceiled"]
    split_error: float
    n_stimuli: int
    n_neuroids: int
    n_repeats: int
    n_splits: int
    n_features: int
    neuroid_ids: tuple[str, ...] = field(repr=False)
    neuroid_raw: tuple[float, ...] = field(repr=False)
    split_raw: tuple[float, ...] = field(repr=False)
    profile: LayerProfile | None = field(default=None, repr=False)
