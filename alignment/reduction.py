"""From a model and stimuli to what is kept of every layer: extracted once, folded in blocks, cached by content."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from alignment.contracts import Floats
from alignment.spill import Arena, Spill, plan_passes
from model_zoo import cache
from model_zoo.contracts import Layer, LoadedModel, Stimuli
from model_zoo.errors import DataIntegrity, ResourceError
from model_zoo.machine import disk_free_bytes, home, memory_available_bytes
from model_zoo.scratch import folder as scratch_folder

if TYPE_CHECKING:
    from model_zoo.extraction import Progress, Start

_DEFAULT_MEMORY = 4 * 10**9  # beyond this features go to disk, which costs little
Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Resources:
    """What a run may use.

    Attributes
    ----------
    device, batch_size, threads : see `model_zoo.extraction.extract`.
    memory : bytes for features and activations; None: 4 GB, or half of what is available if that is less.
    scratch : bytes on disk; None: half of what is free.
    scratch_dir : folder for spilled features; None: below VENTRAL_HOME.
    use_cache : False computes everything again and leaves nothing behind.
    """

    device: str = "cpu"
    batch_size: int | None = None
    threads: int | None = None
    memory: int | None = None
    scratch: int | None = None
    scratch_dir: Path | None = None
    use_cache: bool = True


class Reduction(Protocol):
    """What is kept of one layer, while its features pass by in blocks of columns."""

    def add(self, block: Floats, start: int) -> None:
        """Take the features of columns start, start + 1, ..., shape (n_stimuli, n_columns); valid during the call."""

    def finish(self) -> dict[str, npt.NDArray[Any]]:
        """Return what is kept."""


@dataclass(frozen=True)
class Reducer:
    """A way to keep less of a layer than its features.

    Attributes
    ----------
    key : digest of all that shapes what is kept, but for model, stimuli and layer, which are added to it.
    begin : ``begin(layer, stimulus_ids, device) -> Reduction``; blocks then come in the order of their columns.
    restore : ``restore(stimulus_ids, arrays)``: what `begin(...).finish()` gave, as whoever asked for it wants it.
    working_bytes : memory that one reduction takes, from the number of stimuli.
    ordered : False where features may come in another order than the layer's own: maps are then kept as convolutions
        leave them, channels last, which is faster.
    """

    key: str
    begin: Callable[[Layer, tuple[str, ...], str], Reduction] = field(repr=False)
    restore: Callable[[tuple[str, ...], Arrays], Any] = field(repr=False)
    working_bytes: Callable[[int], int] = field(repr=False)
    ordered: bool = True


class Reduced:
    """What is kept of the layers, read from disk when it is asked for, so that many layers fit in memory."""

    def __init__(self, root: Path, keys: Mapping[tuple[str, str], str], stimulus_ids: Sequence[str]) -> None:
        self._root, self._keys, self._ids = root, keys, tuple(stimulus_ids)
        self._at_hand: dict[str, Any] = {}
        self._lock = threading.Lock()

    def __call__(self, reducer: Reducer, layer: str) -> Any:
        """Return what `reducer` kept of a layer; the two things last read are at hand. Threads may ask together."""
        key = self._keys[reducer.key, layer]
        with self._lock:
            if key not in self._at_hand:
                arrays = cache.load(self._root, key)
                if arrays is None:
                    raise ResourceError(
                        f"cache {self._root}",
                        expected=f"what was kept of layer {layer}",
                        got="a damaged or pruned entry",
                        next_step="run again: it is computed anew",
                    )
                self._at_hand = dict(list(self._at_hand.items())[-1:])
                self._at_hand[key] = reducer.restore(self._ids, arrays)
            return self._at_hand[key]


@contextlib.contextmanager
def reduced(
    model: LoadedModel,
    stimuli: Stimuli,
    wanted: Mapping[Layer, Sequence[Reducer]],
    resources: Resources,
    progress: Progress | None = None,
) -> Iterator[Reduced]:
    """Give what is kept of every layer, from the cache where it is there, else from one forward pass.

    Parameters
    ----------
    model, stimuli : what is shown to what.
    wanted : reducers by layer, layers in execution order.
    resources : Resources
    progress : callable or None
        ``progress(stage, done, total)``.
    """
    keys = {
        (reducer.key, layer.name): cache.content_key(reducer.key, model.identity, stimuli.content_hash, layer.name)
        for layer, reducers in wanted.items()
        for reducer in reducers
    }
    with contextlib.ExitStack() as stack:
        work = stack.enter_context(scratch_folder(resources.scratch_dir))
        root = home() / "cache" if resources.use_cache else work / "cache"
        missing: dict[Layer, list[Reducer]] = {}
        for layer, reducers in wanted.items():
            for reducer in reducers:
                if cache.load(root, keys[reducer.key, layer.name]) is None:
                    missing.setdefault(layer, []).append(reducer)
        if missing:
            store = _Store(root, keys, {"model": model.name, "n_stimuli": len(stimuli.ids)})
            _compute(model, stimuli, missing, store, work, resources, progress)
        yield Reduced(root, keys, stimuli.ids)


@dataclass(frozen=True)
class _Store:
    """Where finished reductions go."""

    root: Path
    keys: Mapping[tuple[str, str], str]
    meta: Mapping[str, object]

    def put(self, reducer: Reducer, layer: str, arrays: Arrays) -> None:
        cache.store(self.root, self.keys[reducer.key, layer], arrays, {**self.meta, "layer": layer})


def _compute(
    model: LoadedModel,
    stimuli: Stimuli,
    wanted: Mapping[Layer, Sequence[Reducer]],
    store: _Store,
    work: Path,
    resources: Resources,
    progress: Progress | None,
) -> None:
    from model_zoo.extraction import Start
    from model_zoo.resumption import Resumption

    n_stimuli = len(stimuli.ids)
    memory = resources.memory if resources.memory is not None else min(_DEFAULT_MEMORY, memory_available_bytes() // 2)
    scratch = resources.scratch if resources.scratch is not None else disk_free_bytes(work) // 2
    working = max(sum(reducer.working_bytes(n_stimuli) for reducer in reducers) for reducers in wanted.values())
    resumption = Resumption(model, stimuli, list(wanted), resources.device, resources.threads)
    features = max(0, 3 * memory // 4 - working)
    passes = plan_passes(list(wanted), n_stimuli, features, scratch, lambda layer: resumption.after(layer) is not None)
    arena, turned = Arena(passes, n_stimuli), {layer.name for layer in wanted if _is_turned(layer, wanted[layer])}
    kept: list[Spill] = []
    folded = 0
    with contextlib.ExitStack() as stack:
        fold = stack.enter_context(_Fold(tuple(stimuli.ids), wanted, store, resources.device))
        for number, part in enumerate(passes):
            told = None if progress is None else _over_all(progress, number, len(passes))
            spills = arena.spills(part, work)
            for spill in spills:
                stack.callback(spill.close)
            cut = None if part.start is None else resumption.after(part.start)
            start = None if part.start is None or cut is None else Start(cut, _reader(part.start, kept, turned))
            _forward(model, stimuli, spills, turned, start, memory // 4, resources, told)
            staying = [spill for spill in spills if part.keeps and spill.part.layer == part.slices[-1].layer]
            for spill in spills:
                fold.add(spill)
                if spill not in staying:
                    spill.close()
                if progress is not None:
                    folded += 1
                    progress("layers", folded, sum(len(each.slices) for each in passes))
            if part.keeps:
                for spill in kept:
                    spill.close()
                kept = staying


def _over_all(progress: Progress, number: int, n_passes: int) -> Progress:
    """Return what tells of one pass as of a part of all: done grows from pass to pass, and never falls back."""
    return lambda stage, done, total: progress(stage, number * total + done, n_passes * total)


def _forward(
    model: LoadedModel,
    stimuli: Stimuli,
    spills: Sequence[Spill],
    turned: Container[str],
    start: Start | None,
    activation_bytes: int,
    resources: Resources,
    progress: Progress | None,
) -> None:
    """Write the activations of one forward pass to where they are kept."""
    from model_zoo.extraction import extract, flattened

    by_layer: dict[str, list[Spill]] = {}
    for spill in spills:
        by_layer.setdefault(spill.part.layer.name, []).append(spill)

    def consume(name: str, row: int, activations: npt.NDArray[np.float32]) -> None:
        if name in turned:
            activations = np.moveaxis(activations, 1, -1)
        if len(by_layer[name]) > 1:
            activations = flattened(activations)
        for spill in by_layer[name]:
            spill.write(row, activations)

    extract(
        model,
        stimuli,
        [mine[0].part.layer for mine in by_layer.values()],
        consume,
        device=resources.device,
        batch_size=resources.batch_size,
        threads=resources.threads,
        activation_bytes=activation_bytes,
        flat=False,
        start=start,
        progress=progress,
    )


def _is_turned(layer: Layer, reducers: Sequence[Reducer]) -> bool:
    """Return whether the maps (channels, height, width) of a layer are kept as (height, width, channels)."""
    return len(layer.shape) == 3 and not any(reducer.ordered for reducer in reducers)


def _reader(
    layer: Layer, kept: Sequence[Spill], turned: Container[str]
) -> Callable[[int, int], npt.NDArray[np.float32]]:
    """Return a function that reads rows of a layer from where its columns are kept, in the layer's own shape."""
    shape = (*layer.shape[1:], layer.shape[0]) if layer.name in turned else layer.shape

    def read(row: int, n_rows: int) -> npt.NDArray[np.float32]:
        parts = [spill.read(row, n_rows) for spill in kept]
        rows = (parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)).reshape(n_rows, *shape)
        return np.moveaxis(rows, -1, 1) if layer.name in turned else rows

    return read


class _Fold(contextlib.AbstractContextManager["_Fold"]):
    """Hands blocks to the reductions, layer by layer; what they keep is stored while the next layer is begun."""

    def __init__(
        self, stimulus_ids: tuple[str, ...], wanted: Mapping[Layer, Sequence[Reducer]], store: _Store, device: str
    ) -> None:
        self._ids, self._wanted, self._store, self._device = stimulus_ids, wanted, store, device
        self._running: list[tuple[Reducer, Reduction]] = []
        self._beside = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._storing: Future[None] | None = None

    def __exit__(self, *raised: object) -> None:
        self._beside.shutdown()
        if raised[0] is None:
            self._settle()

    def add(self, spill: Spill) -> None:
        layer, start = spill.part.layer, spill.part.start
        if start == 0:
            self._running = [(each, each.begin(layer, self._ids, self._device)) for each in self._wanted[layer]]
        for block in spill.blocks():
            for _, reduction in self._running:
                reduction.add(block, start)
            start += block.shape[1]
        if spill.part.is_last:
            kept = [(reducer, reduction.finish()) for reducer, reduction in self._running]
            self._running = []
            self._settle()
            self._storing = self._beside.submit(self._put, layer.name, kept)

    def _put(self, layer: str, kept: Sequence[tuple[Reducer, Arrays]]) -> None:
        for reducer, arrays in kept:
            self._store.put(reducer, layer, arrays)

    def _settle(self) -> None:
        """Wait until the last layer is stored, and raise what went wrong with it."""
        if self._storing is not None:
            self._storing.result()
            self._storing = None


def refuse_non_finite(layer: Layer, n_stimuli_affected: int, n_stimuli: int) -> None:
    """Raise DataIntegrity if any stimulus' features hold NaN or infinity."""
    if n_stimuli_affected:
        raise DataIntegrity(
            f"layer {layer.name}",
            expected="finite activations",
            got=f"NaN or infinity for {n_stimuli_affected} of {n_stimuli} stimuli",
            next_step="check the weights, or leave the layer out with --layers",
        )
