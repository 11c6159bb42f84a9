"""Which layer speaks for a region: the user's own choice, or a commitment made on other data."""

from __future__ import annotations

import math
from dataclasses import dataclass

from alignment.scores import LayerProfile
from benchmarks.contracts import BenchmarkCard, Data, Geometry, Recording
from model_zoo.contracts import Layer
from model_zoo.errors import InvalidOption, LeakageError


@dataclass(frozen=True)
class LayerChoice:
    """A layer, who chose it ("user" or "committed on <benchmark>"), and the candidates' scores on that."""

    layer: Layer
    reason: str = "user"
    profile: LayerProfile | None = None


def commit(profile: LayerProfile) -> str:
    """Return the layer with the highest raw score on the commitment data; the earliest of equals.

    Raises
    ------
    InvalidOption
        If no layer has a score.
    """
    scored = [(raw, layer) for raw, layer in zip(profile.raw, profile.layers, strict=True) if not math.isnan(raw)]
    if not scored:
        raise InvalidOption(
            f"--layers auto on {profile.benchmark}",
            expected="a layer with a defined score",
            got="constant activations or responses everywhere",
            next_step="name the layer with --layers",
        )
    best = max(raw for raw, _ in scored)
    return next(layer for raw, layer in scored if raw == best)


def check_disjoint(
    card: BenchmarkCard, test: tuple[Data, ...], other: BenchmarkCard, commitment: tuple[Data, ...]
) -> None:
    """Make sure that the data on which a benchmark's layer is chosen shares no stimulus with its test data.

    Raises
    ------
    LeakageError
        If the benchmark names itself, or if both hold the same stimulus ids.
    """
    test_ids = {stimulus_id for data in test for stimulus_id in _ids(data)}
    shared = [stimulus_id for data in commitment for stimulus_id in _ids(data) if stimulus_id in test_ids]
    if card.name == other.name or shared:
        raise LeakageError(
            f"{card.name}: commitment on {other.name}",
            expected="stimuli that are not test stimuli",
            got=f"{len(shared)} shared stimuli",
            next_step="name the layers with --layers, or mend the card's commitment",
        )


def _ids(data: Data) -> tuple[str, ...]:
    return data.stimuli.ids if isinstance(data, Recording | Geometry) else ()
