"""Reference scores computed again, from nothing that was kept, and what tells whether their inputs are the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import alignment
from alignment import Score
from alignment.reduction import Resources
from benchmarks import at_hand, get_benchmark, load_benchmark
from benchmarks.contracts import Choices, Data, Distributions, Geometry, Recording
from model_zoo import LoadedModel, load_model
from model_zoo.errors import VentralError
from model_zoo.extraction import Progress
from results.records import library_versions
from results.verification import Check, Group, Reference, alike, compare, only, outdated, set_aside

_PROBES = 8
_DRAWS = 10  # of the bootstrap: only raw scores and ceilings are compared


def check(
    reference: Reference,
    groups: Sequence[Group],
    *,
    device: str = "cpu",
    mirror: Path | None = None,
    download: bool = False,
    progress: Progress | None = None,
) -> Iterator[Check]:
    """Yield a check for every score of the groups, which are computed as they are asked for.

    What cannot be computed is a check too: "skipped" without its data or where the reference is of another version,
    "not comparable" where this installation draws other weights or data from the same seed, "not computed" where that
    fails.

    Parameters
    ----------
    reference, groups : what is expected, and the part of it to compute.
    device : see `model_zoo.extraction.usable_device`.
    mirror : offline mirror of the public data.
    download : True fetches real data that are not at hand.
    progress : ``progress(stage, done, total)``, also with the stage "reference scores".
    """
    load = cache(lambda model, seed: load_model(model, seed=seed))
    for done, group in enumerate(groups, start=1):
        try:
            yield from _check(reference, group, load, device, mirror, download, progress)
        except VentralError as error:
            yield from set_aside(group, "not computed", str(error))
        except Exception as error:  # whatever other libraries raise is a finding, and the next group goes on
            yield from set_aside(group, "not computed", f"{type(error).__name__}: {error}")
        if progress is not None:
            progress("reference scores", done, len(groups))


def _check(
    reference: Reference,
    group: Group,
    load: Callable[[str, int], LoadedModel],
    device: str,
    mirror: Path | None,
    download: bool,
    progress: Progress | None,
) -> Iterator[Check]:
    reason = _not_at_hand(group, mirror, download)
    if reason:
        yield from set_aside(group, "skipped", reason)
        return
    current = []
    for each in group.scores:
        reason = outdated(each)
        if reason:
            yield from set_aside(only(group, each), "skipped", reason)
        else:
            current.append(each)
    if not current:
        return
    fresh, model = only(group, *current), load(group.model, group.seed)
    reason = _other_inputs(reference, group, model)
    if reason:
        yield from set_aside(fresh, "not comparable", reason)
        return
    metrics = list(dict.fromkeys(each.metric for each in current))
    options: dict[str, Any] = {"device": device, "mirror": mirror, "offline": not download, "progress": progress}
    yield from compare(fresh, recompute(group, model, metrics, **options))


def _not_at_hand(group: Group, mirror: Path | None, download: bool) -> str:
    card = get_benchmark(group.benchmark)
    if card.version != group.version:
        return f"the benchmark is of version {card.version}, the reference of {group.version}"
    if not download and not at_hand(card, mirror):
        return "its data are not at hand: name a copy with --mirror, or pass --download"
    return ""


def _other_inputs(reference: Reference, group: Group, model: LoadedModel) -> str:
    """Return why a score of this installation cannot be the reference's though nothing is wrong with it, or ""."""
    fault = "which is not this installation's fault"
    weights, data = reference.models.get(group.model_key), reference.benchmarks.get(group.benchmark)
    if weights is not None and not alike(weights, weights_fingerprint(model)):
        return f"other weights are drawn from seed {group.seed} by {_versions(reference, 'torch', 'timm')}, {fault}"
    if data is not None and not alike(data, data_fingerprint(load_benchmark(group.benchmark)[1])):
        return f"other data are simulated by {_versions(reference, 'numpy', 'scipy', 'pillow')}, {fault}"
    return ""


def _versions(reference: Reference, *names: str) -> str:
    """Return the versions here and those of the reference, as text."""
    here, there = library_versions(), reference.made.get("libraries", {})
    listed = [", ".join(f"{name} {found.get(name, 'unknown')}" for name in names) for found in (here, there)]
    return f"{listed[0]} than by the reference's {listed[1]}"


def recompute(
    group: Group,
    model: LoadedModel,
    metrics: Sequence[str],
    *,
    device: str = "cpu",
    mirror: Path | None = None,
    offline: bool = True,
    progress: Progress | None = None,
) -> tuple[Score, ...]:
    """Return a group's scores under some of its metrics. The cache is neither read nor written."""
    return alignment.score(
        model,
        group.benchmark,
        layers=list(group.layers),
        metric=list(metrics),
        resources=Resources(device=device, use_cache=False),
        mirror=mirror,
        offline=offline,
        n_bootstrap=_DRAWS,
        progress=progress,
    )


def weights_fingerprint(model: LoadedModel) -> tuple[float, ...]:
    """Return the number of weights, their mean and standard deviation, and a few of them: the same for equal weights.

    Not a hash: the same seed gives weights that may differ in their last bits between processors.
    """
    tensors = [tensor.detach().double().flatten() for tensor in model.module.state_dict().values() if tensor.numel()]
    if not tensors:
        return (0.0,)
    n_values = sum(len(tensor) for tensor in tensors)
    mean = sum(float(tensor.sum()) for tensor in tensors) / n_values
    spread = (sum(float((tensor**2).sum()) for tensor in tensors) / n_values) ** 0.5
    chosen = np.linspace(0, len(tensors) - 1, _PROBES).astype(int)
    return (float(n_values), mean, spread, *(float(tensors[number][0]) for number in chosen))


def data_fingerprint(data: Sequence[Data]) -> tuple[float, ...]:
    """Return the number of values of a benchmark's data, their mean and standard deviation, and a few of them."""
    values = np.concatenate([np.asarray(_values(each), dtype=np.float64).ravel() for each in data])
    values = values[np.isfinite(values)]
    chosen = np.linspace(0, len(values) - 1, _PROBES).astype(int)
    return (float(len(values)), float(values.mean()), float(values.std()), *map(float, values[chosen]))


def _values(data: Data) -> Any:
    """Return the numbers that data hold: responses, dissimilarities, or which choices were right."""
    match data:
        case Recording():
            return data.assembly.values
        case Geometry():
            return data.rdms
        case Choices():
            return data.trials["choice"] == data.trials["truth"]
        case Distributions():
            return [count for each in data.distributions for count in each.counts]
        case _:
            return [0.0]
