"""How models and brains are compared: metrics and scores. Importing this package imports no torch.

Examples
--------
>>> from alignment import list_metrics
>>> all(metric.citation for metric in list_metrics())
True
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from alignment.contracts import MetricCard
from alignment.scores import LayerProfile, Score
from benchmarks.contracts import BenchmarkCard
from model_zoo.errors import InvalidOption
from model_zoo.registry import Registry

if TYPE_CHECKING:
    from alignment.evaluate import score

__all__ = [
    "DECISIONS",
    "METRICS",
    "LayerProfile",
    "MetricCard",
    "Score",
    "check_decision",
    "get_metric",
    "list_metrics",
    "metrics_for",
    "score",
]

DECISIONS = ("auto", "head", "readout")  # how choices are read out of a model
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


def metrics_for(cards: Sequence[BenchmarkCard], names: str | Sequence[str] | None) -> list[tuple[MetricCard, ...]]:
    """Return, for every card, those of the metrics called `names` that can score it, or its default if there are none.

    Raises
    ------
    UnknownName
        No such metric.
    InvalidOption
        None of them can score one of the cards, or one of them can score none.
    """
    if not names:
        return [metrics_for([card], card.default_metric)[0] for card in cards]
    wanted = [get_metric(name) for name in dict.fromkeys([names] if isinstance(names, str) else names)]
    found = [tuple(metric for metric in wanted if metric.fits(card)) for card in cards]
    idle = [metric for metric in wanted if not any(metric.fits(card) for card in cards)]
    for card, metrics in zip(cards, found, strict=True):
        if not metrics or idle:
            metric = (idle or wanted)[0]
            fitting = [each.name for each in list_metrics() if each.fits(card)]
            raise InvalidOption(
                f"metric {metric.name} on {card.name}",
                expected=f"a metric for {card.kind}: {', '.join(fitting)}",
                got=f"one for {metric.kind}",
                next_step=f"leave it out to use {card.default_metric}, or score the benchmark in another run",
            )
    return found


def check_decision(decision: str, cards: Sequence[BenchmarkCard]) -> None:
    """Refuse a way to read out choices that does not exist, or where no benchmark holds choices.

    Raises
    ------
    InvalidOption
    """
    if decision not in DECISIONS:
        expected, got = ", ".join(DECISIONS), repr(decision)
        raise InvalidOption(
            "--decision", expected=f"one of {expected}", got=got, next_step="see `ventral score --help`"
        )
    if decision != "auto" and not any(card.kind in ("choices", "official") for card in cards):
        raise InvalidOption(
            f"--decision {decision}",
            expected="a benchmark of choices, such as Geirhos2021.edge",
            got=", ".join(card.name for card in cards),
            next_step="leave it out: it would change nothing",
        )
