"""What can be scored: a loaded model that looks at stimuli, or features computed elsewhere."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from alignment.contracts import Floats
from alignment.reduction import Reducer, Resources, reduced
from alignment.spill import BLOCK
from model_zoo import cache
from model_zoo.contracts import Layer, LoadedModel, Stimuli
from model_zoo.errors import ShapeMismatch
from model_zoo.machine import home

if TYPE_CHECKING:
    import xarray as xr

    from model_zoo.extraction import Consumer, Progress

Wanted = Mapping[Layer, Sequence[Reducer]]
Kept = Callable[[Reducer, str], Any]  # (reducer, name of the layer) -> what it kept of it
FEATURES_REVISION = "features-1"  # raise when the same inputs would give other features


class Subject(Protocol):
    """Anything with layers whose similarity among stimuli can be computed."""

    @property
    def name(self) -> str: ...

    @property
    def visual_degrees(self) -> float | None: ...

    def layers(self) -> tuple[Layer, ...]: ...

    def reduced(
        self, stimuli: Stimuli, wanted: Wanted, resources: Resources, progress: Progress | None
    ) -> contextlib.AbstractContextManager[Kept]:
        """Give what every reducer keeps of every layer; see `alignment.reduction.reduced`."""

    def activations(
        self, stimuli: Stimuli, layers: Sequence[Layer], resources: Resources, progress: Progress | None
    ) -> Mapping[str, Floats]:
        """Return (n_stimuli, n_features) by layer name, for layers narrow enough to be held."""

    def stream(
        self,
        stimuli: Stimuli,
        layers: Sequence[Layer],
        consume: Consumer,
        resources: Resources,
        progress: Progress | None,
    ) -> None:
        """Hand every layer's activations to `consume(layer, first_row, features)`, batch by batch."""


@dataclass(frozen=True)
class ModelSubject:
    """A loaded model."""

    model: LoadedModel

    @property
    def name(self) -> str:
        """The model's name as the user wrote it."""
        return self.model.name

    @property
    def visual_degrees(self) -> float | None:
        """Degrees the model's input spans; None: the stimulus fills it."""
        return self.model.visual_degrees

    def layers(self) -> tuple[Layer, ...]:
        """Every layer in execution order."""
        return self._all_layers

    @cached_property
    def _all_layers(self) -> tuple[Layer, ...]:
        from model_zoo.layers import list_layers

        return list_layers(self.model.module, self.model.preprocessing.input_size, all_modules=True)

    def reduced(
        self, stimuli: Stimuli, wanted: Wanted, resources: Resources, progress: Progress | None
    ) -> contextlib.AbstractContextManager[Kept]:
        """What is kept of the layers, from one forward pass or from the cache."""
        return reduced(self.model, stimuli, wanted, resources, progress)

    def activations(
        self, stimuli: Stimuli, layers: Sequence[Layer], resources: Resources, progress: Progress | None
    ) -> Mapping[str, Floats]:
        """Features from one forward pass, or from the cache."""
        root = home() / "cache"
        keys = {
            layer.name: cache.content_key(FEATURES_REVISION, self.model.identity, stimuli.content_hash, layer.name)
            for layer in layers
        }
        found = {name: cache.load(root, key) for name, key in keys.items()} if resources.use_cache else {}
        held = {name: arrays["features"] for name, arrays in found.items() if arrays is not None}
        wanted = [layer for layer in layers if layer.name not in held]
        if wanted:
            n_stimuli = len(stimuli.ids)
            fresh = {layer.name: np.empty((n_stimuli, layer.n_features), np.float32) for layer in wanted}

            def keep(name: str, row: int, features: npt.NDArray[np.float32]) -> None:
                fresh[name][row : row + len(features)] = features

            self.stream(stimuli, wanted, keep, resources, progress)
            if resources.use_cache:
                for name, features in fresh.items():
                    meta = {"model": self.model.name, "n_stimuli": n_stimuli, "layer": name}
                    cache.store(root, keys[name], {"features": features}, meta)
            held |= fresh
        return {layer.name: held[layer.name] for layer in layers}

    def stream(
        self,
        stimuli: Stimuli,
        layers: Sequence[Layer],
        consume: Consumer,
        resources: Resources,
        progress: Progress | None,
    ) -> None:
        """Activations of one forward pass; nothing is kept."""
        from model_zoo.extraction import extract

        extract(
            self.model,
            stimuli,
            layers,
            consume,
            device=resources.device,
            batch_size=resources.batch_size,
            threads=resources.threads,
            progress=progress,
        )


@dataclass(frozen=True)
class PrecomputedFeatures:
    """Features computed elsewhere, joined to the stimuli by id.

    Attributes
    ----------
    name : what the scores are called.
    features : by layer name, in order, a DataArray with a ``stimulus_id`` coordinate on its first dimension and any
        number of further dimensions. It must hold every stimulus of the benchmark and may hold more.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> a = xr.DataArray(np.eye(2), dims=("stimulus_id", "feature"), coords={"stimulus_id": ["a", "b"]})
    >>> PrecomputedFeatures("mine", {"top": a}).layers()[0].n_features
    2
    """

    name: str
    features: Mapping[str, xr.DataArray] = field(repr=False)
    visual_degrees: float | None = None

    def layers(self) -> tuple[Layer, ...]:
        """One block per entry of `features`."""
        return tuple(
            Layer(name, tuple(values.shape[1:]), "precomputed", order, True)
            for order, (name, values) in enumerate(self.features.items())
        )

    @property
    def identity(self) -> str:
        """sha256 of ids and values: what a record calls this model."""
        digest = hashlib.sha256()
        for name, values in self.features.items():
            digest.update(name.encode() + "\0".join(map(str, values["stimulus_id"].values)).encode())
            digest.update(np.ascontiguousarray(values.values).tobytes())
        return digest.hexdigest()

    @contextlib.contextmanager
    def reduced(
        self, stimuli: Stimuli, wanted: Wanted, resources: Resources, progress: Progress | None
    ) -> Iterator[Kept]:
        """What is kept of the rows that belong to `stimuli`.

        Raises
        ------
        ShapeMismatch
            If a stimulus has no features.
        """
        kept: dict[tuple[str, str], Any] = {}
        for layer, reducers in wanted.items():
            rows = self._rows(layer.name, stimuli)
            for reducer in reducers:
                reduction = reducer.begin(layer, tuple(stimuli.ids), resources.device)
                for start in range(0, rows.shape[1], BLOCK):
                    reduction.add(rows[:, start : start + BLOCK], start)
                kept[reducer.key, layer.name] = reducer.restore(tuple(stimuli.ids), reduction.finish())
        yield lambda reducer, layer: kept[reducer.key, layer]

    def activations(
        self, stimuli: Stimuli, layers: Sequence[Layer], resources: Resources, progress: Progress | None
    ) -> Mapping[str, Floats]:
        """The rows that belong to `stimuli`."""
        return {layer.name: self._rows(layer.name, stimuli) for layer in layers}

    def stream(
        self,
        stimuli: Stimuli,
        layers: Sequence[Layer],
        consume: Consumer,
        resources: Resources,
        progress: Progress | None,
    ) -> None:
        """The rows that belong to `stimuli`, in one batch per layer."""
        for layer in layers:
            consume(layer.name, 0, np.asarray(self._rows(layer.name, stimuli), dtype=np.float32))

    def _rows(self, layer: str, stimuli: Stimuli) -> Floats:
        values = self.features[layer]
        rows = {str(stimulus_id): row for row, stimulus_id in enumerate(values["stimulus_id"].values)}
        missing = [stimulus_id for stimulus_id in stimuli.ids if stimulus_id not in rows]
        if missing:
            raise ShapeMismatch(
                f"features of layer {layer}",
                expected=f"a row for each of the {len(stimuli.ids)} stimuli",
                got=f"none for {len(missing)}, the first {missing[0]!r}",
                next_step="label the first dimension with the benchmark's stimulus ids",
            )
        chosen = values.values[[rows[stimulus_id] for stimulus_id in stimuli.ids]]
        return np.ascontiguousarray(chosen.reshape(len(chosen), -1))
