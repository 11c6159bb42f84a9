"""Finished scores, kept by content: what they are filed under, and how they are written and read.

A key names everything a number depends on: the code, the libraries, the model, the benchmark's data and rules, the
metric, the layers. Where a part of it cannot be known, nothing is read and nothing kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from alignment.contracts import MetricCard
from alignment.jobs import Run
from alignment.layers import LayerChoice
from alignment.scores import Evidence, LayerProfile, Score
from alignment.subjects import ModelSubject, PrecomputedFeatures, Subject
from benchmarks import get_benchmark
from benchmarks.contracts import BenchmarkCard
from benchmarks.fetch import digest
from model_zoo import cache as store
from model_zoo.contracts import Layer
from model_zoo.machine import home
from model_zoo.revision import code_revision, library_versions

ROOMS = ("model_zoo", "benchmarks", "alignment")
_IN_MEMORY = "module in memory"  # source of the weights of a network whose code nobody can identify
Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Shelf:
    """What is kept of one model's scores.

    Attributes
    ----------
    subject : the model.
    common : digest of what all its scores depend on; None: nothing is read or written.
    detail : what finished scores depend on besides.
    """

    subject: Subject
    common: str | None
    detail: tuple[object, ...] = field(default=())

    @classmethod
    def of(cls, run: Run) -> Shelf:
        """Return what is kept for a run; nothing where it uses no cache, or where its model or code is not known."""
        model = identity_of_subject(run.subject) if run.resources.use_cache else None
        revision = None if model is None else code_revision(ROOMS)
        if model is None or revision is None:
            return cls(run.subject, None)
        device = run.resources.device.partition(":")[0]
        common = store.content_key(revision, library_versions(), run.subject.name, *model, run.visual_degrees, device)
        return cls(run.subject, common, (run.n_bootstrap, run.decision))

    def score_key(self, card: BenchmarkCard, metric: MetricCard, choices: Sequence[LayerChoice]) -> str | None:
        """Return what the score of layers taken together is filed under."""
        layers = [(each.layer.name, each.reason, each.own_stimuli, repr(each.profile)) for each in choices]
        return self._key("score", layers, identity_of_metric(metric), identity_of_card(card), *self.detail)

    def choice_key(
        self, card: BenchmarkCard, metric: MetricCard, other: BenchmarkCard | None, candidates: Sequence[Layer]
    ) -> str | None:
        """Return what the layer chosen for a benchmark on another one's data (None: its own) is filed under.

        `metric` is the one it is chosen by.
        """
        names = [layer.name for layer in candidates]
        on = "its own" if other is None else identity_of_card(other)
        return self._key("choice", names, identity_of_metric(metric), identity_of_card(card), on)

    def layers(self) -> tuple[Layer, ...]:
        """Return the model's layers; where they are kept, without running it."""
        key = self._key("layers")
        content = _load(key)
        if content is not None:
            return tuple(Layer(**{**each, "shape": tuple(each["shape"])}) for each in content[0])
        found = self.subject.layers()
        self._keep(key, [asdict(layer) for layer in found], {"what": "list of layers"})
        return found

    def score(self, key: str | None) -> Score | None:
        """Return the score under a key, equal field by field to the one that was kept, or None."""
        content = _load(key)
        return None if content is None else _score_from(*content)

    def keep_score(self, key: str | None, score: Score) -> None:
        """Keep a finished score."""
        content = {each.name: getattr(score, each.name) for each in fields(score)}
        evidence: Evidence | None = content.pop("evidence")
        profile: LayerProfile | None = content.pop("profile")
        content["details"] = dict(score.details)
        content["profile"] = None if profile is None else asdict(profile)
        content["pairing"] = None if evidence is None else evidence.pairing
        parts = () if evidence is None else ("raw", "headline", "by_stimulus", "by_unit")
        found = {name: getattr(evidence, name) for name in parts}
        arrays = {name: array for name, array in found.items() if array is not None}
        meta = {"benchmark": score.benchmark, "metric": score.metric, "layer": score.layer}
        self._keep(key, content, {"what": "score", **meta}, arrays)

    def choice(self, key: str | None, candidates: Sequence[Layer]) -> LayerChoice | None:
        """Return the layer chosen among the candidates, or None."""
        content = _load(key)
        if content is None:
            return None
        found = content[0]
        layer = next(each for each in candidates if each.name == found["layer"])
        return LayerChoice(layer, found["reason"], _profile_from(found["profile"]), found["own_stimuli"])

    def keep_choice(self, key: str | None, choice: LayerChoice) -> None:
        """Keep which layer was chosen, and the candidates' scores."""
        profile = None if choice.profile is None else asdict(choice.profile)
        content = {"layer": choice.layer.name, "reason": choice.reason, "own_stimuli": choice.own_stimuli}
        self._keep(key, {**content, "profile": profile}, {"what": "choice of a layer", "layer": choice.layer.name})

    def _key(self, *parts: object) -> str | None:
        known = self.common is not None and all(part is not None for part in parts)
        return store.content_key(self.common, *parts) if known else None

    def _keep(self, key: str | None, content: object, meta: Mapping[str, object], arrays: Arrays | None = None) -> None:
        if key is None:
            return
        text = json.dumps(content, default=_plain).encode()
        packed = {"content": np.frombuffer(text, np.uint8), **(arrays or {})}
        store.store(home() / "cache", key, packed, {"model": self.subject.name, **meta})


def identity_of_subject(subject: Subject) -> tuple[object, ...] | None:
    """Return what tells a model's numbers from another's, or None where its code cannot be identified."""
    if isinstance(subject, PrecomputedFeatures):
        arrays = [(name, values.shape, str(values.dtype)) for name, values in subject.features.items()]
        return subject.identity, arrays
    if not isinstance(subject, ModelSubject) or subject.model.weights.source == _IN_MEMORY:
        return None
    return subject.model.identity, subject.model.classes


def identity_of_card(card: BenchmarkCard) -> str | None:
    """Return all that a benchmark declares and the digests of all its files; None where they or its code are unknown.

    Code is known if it lies in the rooms that `code_revision` covers.
    """
    files = [(file.name, digest(file)) for file in card.files]
    described = card.bundled or bool(card.contents) or bool(files)
    if not described or any(found is None for _, found in files):
        return None
    if not _is_ours(card.load) or not all(_is_ours(get_benchmark(part).load) for part in card.parts):
        return None
    declared = [(each.name, getattr(card, each.name)) for each in fields(card) if each.name not in ("load", "files")]
    return store.content_key(*declared, *files)


def identity_of_metric(metric: MetricCard) -> str | None:
    """Return all that a metric declares; None where its code is not in the rooms, or its parameters are not plain."""
    values = [(each.name, getattr(metric, each.name)) for each in fields(metric) if each.name != "parameters"]
    try:
        declared = [(name, _stated(value)) for name, value in values]
        return store.content_key(*declared, json.dumps(dict(metric.parameters), sort_keys=True, default=_plain))
    except TypeError:
        return None


def _stated(value: object) -> object:
    """Return what a value says in the same words in every process: of functions only that they are ours."""
    if is_dataclass(value) and not isinstance(value, type):
        return [(each.name, _stated(getattr(value, each.name))) for each in fields(value)]
    if not callable(value):
        return value
    if not _is_ours(value):
        raise TypeError(f"{value} is no code of the rooms")
    return "ours"


def _is_ours(function: object) -> bool:
    while isinstance(function, partial):
        function = function.func
    module = getattr(function, "__module__", None) or type(function).__module__
    return str(module).partition(".")[0] in ROOMS


def _plain(value: object) -> object:
    """Return a numpy scalar as what JSON can write."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is no plain value")


def _load(key: str | None) -> tuple[Any, dict[str, npt.NDArray[Any]]] | None:
    arrays = None if key is None else store.load(home() / "cache", key)
    if arrays is None:
        return None
    return json.loads(arrays.pop("content").tobytes()), arrays


def _score_from(content: dict[str, Any], arrays: dict[str, Any]) -> Score:
    pairing, profile = content.pop("pairing"), content.pop("profile")
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in content.items()}
    evidence = None if pairing is None else Evidence(pairing=pairing, **arrays)
    return Score(**values, profile=_profile_from(profile), evidence=evidence)


def _profile_from(content: dict[str, Any] | None) -> LayerProfile | None:
    if content is None:
        return None
    return LayerProfile(content["benchmark"], tuple(content["layers"]), tuple(content["raw"]))
