"""Scores held against reference scores: what a reference is, and when two numbers agree. Computes no score itself."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from alignment import MetricCard, Score, get_metric
from alignment.contracts import BandedMetric, StreamedMetric
from model_zoo.errors import DataIntegrity, UnknownName

REFERENCE = Path(__file__).with_name("reference_scores.json")
FORMAT = 1
CLOSE = 1e-4  # how far fingerprints may be apart, relative to the spread of what they are of

Verdict = Literal["agrees", "differs", "not computed", "skipped", "not comparable"]


@dataclass(frozen=True)
class Expected:
    """One reference score; None where the value is undefined or there is no ceiling."""

    metric: str
    version: int
    layer: str
    raw: float | None
    ceiling: float | None = None


@dataclass(frozen=True)
class Group:
    """What one call of `alignment.score` gave.

    Attributes
    ----------
    seed : of the model's random weights.
    layers : as they were asked for.
    quick : whether `ventral verify --quick` computes it.
    scores : of every metric and layer.
    """

    model: str
    seed: int
    benchmark: str
    version: int
    layers: tuple[str, ...]
    quick: bool
    scores: tuple[Expected, ...] = ()

    @property
    def model_key(self) -> str:
        """The model with its seed, as `Reference.models` names it."""
        return f"{self.model}, seed {self.seed}"

    @property
    def name(self) -> str:
        """Model and benchmark, for people."""
        return f"{self.model_key} on {self.benchmark}"


@dataclass(frozen=True)
class Reference:
    """Reference scores, and what they were computed from.

    Attributes
    ----------
    made : date, command, libraries and hardware.
    models, benchmarks : fingerprints of weights and of simulated data; see `results.recomputation`.
    groups : the scores.
    """

    made: Mapping[str, Any]
    models: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    benchmarks: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    groups: tuple[Group, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Check:
    """One reference score beside what this installation computes, and whether they agree.

    Attributes
    ----------
    expected, got : raw scores; None where undefined, or not computed.
    difference : of the raw scores or of the ceilings, whichever is larger.
    reason : why it was not computed, is skipped or not comparable, or what differs.
    """

    model: str
    benchmark: str
    metric: str
    layer: str
    expected: float | None
    got: float | None = None
    difference: float | None = None
    tolerance: float | None = None
    verdict: Verdict
    reason: str = ""


def to_json(reference: Reference) -> str:
    """Return a reference as strict JSON, one line per score so that a change of one can be seen."""
    head = {"format": FORMAT, "made": reference.made, "models": reference.models, "benchmarks": reference.benchmarks}
    lines = ",\n".join(_group_json(group) for group in reference.groups)
    return json.dumps(head, indent=1, allow_nan=False)[:-2] + f',\n "groups": [\n{lines}\n ]\n}}\n'


def read(text: str, where: str) -> Reference:
    """Return the reference that `to_json` wrote.

    Raises
    ------
    DataIntegrity
        The text is no reference of this format.
    """
    try:
        content = json.loads(text)
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']}")
        return Reference(
            made=content["made"],
            models={name: tuple(values) for name, values in content["models"].items()},
            benchmarks={name: tuple(values) for name, values in content["benchmarks"].items()},
            groups=tuple(_group(**group) for group in content["groups"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        bundled = where == str(REFERENCE)
        raise DataIntegrity(
            where,
            expected=f"reference scores of format {FORMAT}",
            got=f"no field {error}" if isinstance(error, KeyError) else str(error),
            next_step="install Ventral again" if bundled else "name a file that tools/reference_scores.py wrote",
        ) from error


def tolerance(metric: MetricCard) -> float:
    """Return how far two correct installations may be apart in a raw score.

    Sums in another order (processor, BLAS, number of threads) move float32 features by 1e-7 relative and most scores by
    less than 1e-6. More is granted where a small change can become a large one:

    - 2e-2 for choices: a fitted readout may answer one image in 160 otherwise, which moves kappa by about 1e-2;
    - 5e-3 for distributions: a unit on the edge of a bin falls into the next;
    - 2e-3 for PLS, whose iteration stops early: one round more or less (see `alignment.nipals.pls2`);
    - 1e-3 where something is picked, and near ties may be resolved otherwise: a penalty, a component or a feature;
    - 1e-4 elsewhere.
    """
    if metric.kind == "choices":
        return 2e-2
    if metric.kind == "distributions":
        return 5e-3
    if metric.name == "pls":
        return 2e-3
    picks = isinstance(metric, StreamedMetric | BandedMetric) or any("alphas" in name for name in metric.parameters)
    return 1e-3 if picks else 1e-4


def alike(first: Sequence[float], second: Sequence[float]) -> bool:
    """Return whether two fingerprints are of the same thing: counts equal, values close to each other."""
    if len(first) != len(second) or not first or first[0] != second[0]:
        return not first and not second
    scale = max((abs(value) for value in first[1:]), default=0.0)
    return all(abs(a - b) <= CLOSE * scale for a, b in zip(first[1:], second[1:], strict=True))


def compare(group: Group, scores: Sequence[Score]) -> list[Check]:
    """Return a check for every reference score of a group that was computed again."""
    found = {(score.metric, score.layer): score for score in scores}
    return [_check(group, expected, found.get((expected.metric, expected.layer))) for expected in group.scores]


def only(group: Group, *scores: Expected) -> Group:
    """Return the group with these of its scores alone."""
    return replace(group, scores=scores)


def set_aside(group: Group, verdict: Verdict, reason: str) -> list[Check]:
    """Return checks of a group that was not computed, or whose computation failed."""
    return [
        Check(
            model=group.model_key,
            benchmark=group.benchmark,
            metric=each.metric,
            layer=each.layer,
            expected=each.raw,
            verdict=verdict,
            reason=reason,
        )
        for each in group.scores
    ]


def outdated(expected: Expected) -> str:
    """Return why a reference score no longer applies, or ""."""
    try:
        metric = get_metric(expected.metric)
    except UnknownName:
        return "this version of Ventral has no such metric"
    if metric.version != expected.version:
        return f"the metric is of version {metric.version}, the reference of {expected.version}"
    return ""


def sound(checks: Sequence[Check]) -> bool:
    """Return whether at least one score agrees, none differs, and every computation went through."""
    verdicts = {each.verdict for each in checks}
    return "agrees" in verdicts and not verdicts & {"differs", "not computed"}


def _check(group: Group, expected: Expected, score: Score | None) -> Check:
    (bare,) = set_aside(only(group, expected), "not computed", "no such score was returned")
    if score is None:
        return bare
    allowed, got = tolerance(get_metric(expected.metric)), None if math.isnan(score.raw) else score.raw
    pairs = {"score": (got, expected.raw), "ceiling": (score.ceiling, expected.ceiling)}
    wrong = [
        f"{what} {number(here)} instead of {number(there)}"
        for what, (here, there) in pairs.items()
        if _apart(here, there) > allowed
    ]
    apart = max(_apart(here, there) for here, there in pairs.values())
    return replace(
        bare,
        got=got,
        difference=apart if math.isfinite(apart) else None,
        tolerance=allowed,
        verdict="differs" if wrong else "agrees",
        reason=", ".join(wrong),
    )


def number(value: float | None, form: str = ".6g") -> str:
    """Return a score, a ceiling or a difference as text."""
    return "undefined" if value is None else f"{value:{form}}"


def _apart(first: float | None, second: float | None) -> float:
    if first is None or second is None:
        return 0.0 if first is second else math.inf
    return abs(first - second)


def _group(*, scores: Sequence[Mapping[str, Any]], layers: Sequence[str], **rest: Any) -> Group:
    return Group(**rest, layers=tuple(layers), scores=tuple(Expected(**each) for each in scores))


def _group_json(group: Group) -> str:
    head = {name: value for name, value in asdict(group).items() if name != "scores"}
    lines = ",\n".join(f"    {json.dumps(asdict(each), allow_nan=False)}" for each in group.scores)
    return f'  {json.dumps(head)[:-1]}, "scores": [\n{lines}]}}'
