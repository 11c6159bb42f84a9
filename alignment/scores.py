"""What a comparison leads to: the score, and the evidence it rests on. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from alignment.contracts import Array, Interval, MetricCard
from benchmarks.contracts import BenchmarkCard, Kind
from model_zoo.cache import content_key

PAIRING_REVISION = "draws-1"  # raise when the same data would be drawn from otherwise
Unit = Literal["neuroid", "neuroids", "feature", "subject", "property"]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a score's error was computed from, so that models can be compared later from their scores alone.

    The draws of two models scored on the same data are the same draws: where `pairing` is equal, replicates can be
    subtracted one by one, and so can contributions of stimuli.

    Attributes
    ----------
    pairing : digest of benchmark, metric, stimuli, units and draws.
    raw, headline : (3, n_draws) bootstrap replicates of the raw score and of the headline value (ceiled where there is
        a ceiling, else raw): stimuli alone drawn anew, units alone, and both.
    by_stimulus : (n_stimuli,) what every stimulus contributes to the raw score, whose mean over stimuli it is, with
        the mean over units where the score takes a median; NaN for a stimulus that was never tested; None where a
        metric has no such contributions.
    by_unit : (n_units,) the same for neuroids, groups of neuroids or subjects.
    """

    pairing: str
    raw: Array = field(repr=False)
    headline: Array = field(repr=False)
    by_stimulus: Array | None = field(default=None, repr=False)
    by_unit: Array | None = field(default=None, repr=False)


def pairing_key(card: BenchmarkCard, metric: MetricCard, stimulus_ids: object, unit_ids: object, n_draws: int) -> str:
    """Return the digest under which the evidence of two models can be paired."""
    return content_key(
        PAIRING_REVISION,
        card.name,
        card.version,
        card.contents,
        metric.name,
        metric.version,
        stimulus_ids,
        unit_ids,
        n_draws,
    )


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a metric found: the numbers of a score, without the names.

    Attributes
    ----------
    raw, raw_error, raw_interval : the uncorrected score, its bootstrap standard error and 95 % interval.
    ceiling, ceiling_error : what a perfect model could reach, or None where it cannot be known.
    ceiling_lower : a lower bound of the ceiling where one exists (RDMs: every subject against the others).
    ceiled : `raw` relative to `ceiling`, signed, never clipped; None without a ceiling.
    error, interval : of the headline value, which is `ceiled` if there is a ceiling, otherwise `raw`.
    unit_raw : raw score of every unit (neuroid, subject or property), in the order of `unit_ids`.
    resampled : what error and interval let vary; see `Score`.
    details : further numbers a reader needs to judge the score, by name, e.g. the accuracy of the observers.
    evidence : what the errors were computed from; where its `pairing` is "", `Score.of` completes it.
    """

    raw: float
    raw_error: float
    raw_interval: Interval
    ceiling: float | None = None
    ceiling_error: float | None = None
    ceiling_lower: float | None = None
    ceiled: float | None = None
    ceiled_rule: str = "raw"
    error: float
    interval: Interval
    unit: Unit
    unit_ids: tuple[str, ...] = field(repr=False)
    unit_raw: tuple[float, ...] = field(repr=False)
    resampled: tuple[str, ...]
    details: Mapping[str, float] = field(default_factory=dict, hash=False, repr=False)
    evidence: Evidence | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class LayerProfile:
    """Raw score of every candidate layer on the commitment data, in execution order."""

    benchmark: str
    layers: tuple[str, ...]
    raw: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Score:
    """One cell: a model's layer (or behaviour) against one benchmark under one metric.

    Attributes
    ----------
    benchmark : name of the card; a pool of which some parts are not at hand is called "<card>[<part>,<part>]".
    raw : for recordings, mean over splits of the median over neuroids of Pearson's r; see the metric's card.
    measure : what `raw` is: "r", "kappa", ...
    raw_error, raw_interval : bootstrap standard error and 95 % percentile interval of `raw`.
    ceiling, ceiling_error, ceiling_lower : see `Outcome`; None: no ceiling can be computed.
    ceiling_interval : 95 % interval of the ceiling over other stimuli and neuroids; None except for recordings.
    ceiled : `raw` under `ceiled_rule`, signed, never clipped; None without a ceiling.
    ceiled_legacy : the older (r/ceiling)^2 of Brain-Score before 2026, signed; None where it does not apply.
    error, interval : bootstrap standard error and interval of the headline value, which is `ceiled` if there is a
        ceiling, otherwise `raw`; `interval_of` says which.
    split_error : Brain-Score's error: the splits' standard deviation / sqrt(n_splits). Overlapping splits: too small.
        NaN where there are no splits.
    layer_choice : "user", "committed on <benchmark>", or how a behaviour was read out.
    note : what a reader must know of this one score: an assumption made, or why it is 0.
    unit, unit_ids, unit_raw : raw score per neuroid (mean over splits), per feature of the model, per subject or per
        property; "neuroids": contributions of groups of them to a score of the whole population.
    details : further numbers of the metric, by name; see `Outcome`.
    resampled : what error and interval let vary, e.g. ("stimuli", "neuroids", "sessions"); what is not named is held
        fixed. Empty where a metric does not say.
    evidence : what error and interval were computed from; None where a metric leaves none.
    """

    model: str
    benchmark: str
    benchmark_version: int
    region: str
    kind: Kind
    metric: str
    measure: str
    layer: str
    layer_choice: str
    raw: float
    raw_error: float
    raw_interval: Interval
    ceiling: float | None
    ceiling_error: float | None
    ceiling_lower: float | None = None
    ceiling_interval: Interval | None = None
    ceiled: float | None
    ceiled_legacy: float | None = None
    ceiled_rule: str
    error: float
    interval: Interval
    interval_of: Literal["raw", "ceiled"]
    split_error: float = float("nan")
    n_stimuli: int
    n_neuroids: int = 0
    n_subjects: int = 0
    n_repeats: int = 1
    n_splits: int = 0
    n_features: int
    unit: Unit
    unit_ids: tuple[str, ...] = field(repr=False)
    unit_raw: tuple[float, ...] = field(repr=False)
    split_raw: tuple[float, ...] = field(default=(), repr=False)
    profile: LayerProfile | None = field(default=None, repr=False)
    note: str = ""
    details: Mapping[str, float] = field(default_factory=dict, hash=False, repr=False)
    resampled: tuple[str, ...] = ()
    evidence: Evidence | None = field(default=None, compare=False, repr=False)

    @property
    def fitted(self) -> bool:
        """Whether maps were fitted on some stimuli and tested on others; see `alignment.statistics.summarise`."""
        return self.kind == "recording" and self.n_splits > 0

    @classmethod
    def of(cls, outcome: Outcome, card: BenchmarkCard, metric: MetricCard, **rest: Any) -> Score:
        """Return the score of an outcome on a benchmark under a metric; `rest` are the fields that none of them has.

        Evidence without a pairing gets the one of the benchmark: the draws of every model are the same ones.
        """
        found = {each.name: getattr(outcome, each.name) for each in fields(outcome)}
        evidence = outcome.evidence
        if evidence is not None and not evidence.pairing:
            key = pairing_key(card, metric, rest.get("n_stimuli"), outcome.unit_ids, evidence.raw.shape[1])
            found["evidence"] = replace(evidence, pairing=key)
        return cls(
            benchmark=card.name,
            benchmark_version=card.version,
            region=card.region,
            kind=card.kind,
            metric=metric.name,
            measure=metric.measure,
            interval_of="raw" if outcome.ceiled is None else "ceiled",
            **found,
            **rest,
        )
