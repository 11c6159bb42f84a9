"""How models and brains are compared: metrics and scores. Importing this package imports no torch.

Examples
--------
>>> from alignment import list_metrics
>>> all(metric.citation for metric in list_metrics())
True
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from alignment.contracts import LayerProfile, MetricCard, Score
from model_zoo.registry import Registry

if TYPE_CHECKING:
    from alignment.evaluate import score

__all__ = ["METRICS", "LayerProfile", "MetricCard", "Score", "get_metric", "list_metrics", "score"]

METRICS: Registry[MetricCard] = Registry("metric", MetricCard, "alignment.metrics", "ventral.metrics")

# Functions whose modules import torch: fetched on first use.
_LAZY = {"score": "alignment.evaluate"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)


def list_metrics() -> tuple[MetricCard, ...]:
    """Return the metrics' cards, in natural order of their names."""
    return METRICS.cards()


def get_metric(name: str) -> MetricCard:
    """Return the card called exactly `name`.

    Raises
    ------
    UnknownName
        If there is none; names the nearest ones.
    """
    return METRICS.get(name)
