"""A layer's similarity among stimuli, its Gram matrix: folded from blocks of features."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController

from alignment.contracts import Array, Floats, Indices
from alignment.linear_maps import System, centre_features, centre_gram, mirrored, ridge_precision
from alignment.reduction import Arrays, Reducer, Resources, reduced, refuse_non_finite
from alignment.spill import BLOCK
from model_zoo.contracts import Layer, LoadedModel, Stimuli
from model_zoo.errors import ResourceError

if TYPE_CHECKING:
    from model_zoo.extraction import Progress

_TILE = 2048  # rows of K that are multiplied and summed at a time
_SAMPLE = 64  # stimuli, or a few more, whose mean a half of a block is taken about
_CACHED = 2**17  # features that the cache of a processor holds
_LOWEST, _HIGHEST = 1e-10, 1e12  # deviations in a block, beyond which float32 squares are out of range
_REVISION = "gram-6"  # raise when the same inputs would give another K


@dataclass(frozen=True)
class Gram:
    """A layer's similarity among stimuli, in whichever form is smaller.

    Attributes
    ----------
    stimulus_ids : n_stimuli ids, the order of both axes of `matrix`.
    n_features : width of the flattened layer.
    row_sums : (n_stimuli,) sum of every stimulus' features, float64.
    matrix : (n_stimuli, n_stimuli) K = F F^T in float64, or None when the layer has fewer features than stimuli.
    features : (n_stimuli, n_features) float32, or None when it is the larger of the two.
    """

    stimulus_ids: tuple[str, ...]
    n_features: int
    row_sums: Array = field(repr=False)
    matrix: Array | None = field(default=None, repr=False)
    features: npt.NDArray[np.float32] | None = field(default=None, repr=False)
    _precisions: dict[float, Array | None] = field(default_factory=dict, init=False, repr=False, compare=False)

    def rows_of(self, stimulus_ids: Sequence[str]) -> Indices:
        """Return the row numbers of stimuli, in the order asked for."""
        row_of = {stimulus_id: row for row, stimulus_id in enumerate(self.stimulus_ids)}
        return np.array([row_of[stimulus_id] for stimulus_id in stimulus_ids])

    def split(self, train: Indices, test: Indices) -> System:
        """Return the similarities of one split (row numbers), centred on the training stimuli."""
        if self.features is not None:
            return centre_features(self.features, train, test)
        assert self.matrix is not None
        return centre_gram(self.matrix, train, test)

    def precision(self, alpha: float) -> Array | None:
        """Return `alignment.linear_maps.ridge_precision`, made once; None where there is none, or no matrix."""
        if self.matrix is None:
            return None
        if alpha not in self._precisions:
            self._precisions[alpha] = ridge_precision(self.matrix, alpha)
        return self._precisions[alpha]

    @classmethod
    def of(cls, features: Floats, stimulus_ids: Sequence[str]) -> Gram:
        """Return the Gram of features (n_stimuli, n_features) already in memory."""
        n_stimuli, n_features = features.shape
        row_sums = features.sum(axis=1, dtype=np.float64)
        if n_features < n_stimuli:
            return cls(tuple(stimulus_ids), n_features, row_sums, features=np.array(features))
        sums = HostSums(n_stimuli)
        for start in range(0, n_features, BLOCK):
            sums.add(features[:, start : start + BLOCK])
        return cls(tuple(stimulus_ids), n_features, row_sums, matrix=sums.matrix())


@contextlib.contextmanager
def gram_matrices(
    model: LoadedModel,
    stimuli: Stimuli,
    layers: Sequence[Layer],
    resources: Resources,
    progress: Progress | None = None,
) -> Iterator[Callable[[str], Gram]]:
    """Give a function from a layer's name to its Gram; see `alignment.reduction.reduced`, of which this is a case."""
    with reduced(model, stimuli, dict.fromkeys(layers, (GRAM,)), resources, progress) as kept:
        yield lambda name: kept(GRAM, name)


class _GramReduction:
    """Sums blocks into K, or keeps them where the layer is narrow."""

    def __init__(self, layer: Layer, stimulus_ids: tuple[str, ...], device: str) -> None:
        self._layer, self._n = layer, len(stimulus_ids)
        self._row_sums = np.zeros(self._n)
        self._affected = np.zeros(self._n, dtype=bool)
        self._columns: list[Floats] = []
        self._narrow = layer.n_features < self._n
        self._sums: HostSums | DeviceSums | None = None
        if not self._narrow:
            self._sums = HostSums(self._n) if device == "cpu" else DeviceSums(self._n, device)

    def add(self, block: Floats, start: int) -> None:
        if self._sums is None:
            row_sums = block.sum(axis=1, dtype=np.float64)
            self._columns.append(np.array(block))
        else:
            row_sums = self._sums.add(block)
        self._row_sums += row_sums
        if not np.isfinite(row_sums).all():
            self._affected |= ~np.isfinite(block).all(axis=1)

    def finish(self) -> dict[str, npt.NDArray[Any]]:
        refuse_non_finite(self._layer, int(self._affected.sum()), self._n)
        kept = {"row_sums": self._row_sums, "n_features": np.array(self._layer.n_features)}
        if self._sums is None:
            return {**kept, "features": np.concatenate(self._columns, axis=1)}
        return {**kept, "matrix": self._sums.matrix()}


class HostSums:
    """K from blocks of features, multiplied on the CPU.

    The two halves of a block are multiplied side by side, each by half of the processors: fewer of them wait than where
    all share one product. Where the halves part does not depend on the number of processors.

    Parameters
    ----------
    n_stimuli : int
    """

    def __init__(self, n_stimuli: int) -> None:
        self._first, self._second = _HalfSums(n_stimuli), _HalfSums(n_stimuli)
        threads = max((library.num_threads for library in _blas().lib_controllers), default=1)
        self._threads_each = max(1, threads // 2)
        self._beside = ThreadPoolExecutor(1, thread_name_prefix="gram") if threads > 1 else None

    def add(self, block: Floats) -> Array:
        """Add the products of a block of shape (n_stimuli, n_columns); return the sums of its rows, (n_stimuli,)."""
        middle = (block.shape[1] + 1) // 2
        if self._beside is None:
            return self._first.add(block[:, :middle]) + self._second.add(block[:, middle:])
        with _blas().limit(limits=self._threads_each):
            second = self._beside.submit(self._second.add, block[:, middle:])
            return self._first.add(block[:, :middle]) + second.result()

    def matrix(self) -> Array:
        """Return K, (n_stimuli, n_stimuli); nothing can be added afterwards."""
        if self._beside is not None:
            self._beside.shutdown()
        self._first.triangle += self._second.triangle
        return _complete(self._first.triangle, self._first.edges + self._second.edges)


class _HalfSums:
    """The sums over one half of every block.

    The products of float32 features are taken in float32 about the half's mean stimulus, where they keep their
    precision; what the mean contributes is added in float64. Values whose squares leave the range of float32 are
    multiplied in float64. Only the upper triangle is multiplied.
    """

    def __init__(self, n_stimuli: int) -> None:
        self.triangle = np.zeros((n_stimuli, n_stimuli))
        self.edges = np.zeros(n_stimuli)  # e, of which e_i + e_j belongs to every entry
        self._last: Floats | None = None

    def add(self, half: Floats) -> Array:
        """Add the products of a half, (n_stimuli, n_columns); return the sums of its rows, (n_stimuli,)."""
        n_stimuli, n_columns = half.shape
        if not n_columns:
            return np.zeros(n_stimuli)
        mean = half[:: max(1, n_stimuli // _SAMPLE)].mean(axis=0)  # (n_columns,); any shift near it is as exact
        centred, along, square = _about(half, mean, self._room(half))
        if not _LOWEST**2 < square < _HIGHEST**2:
            mean = half.mean(axis=0, dtype=np.float64)
            centred, along, _ = _about(half, mean, np.empty(half.shape))
        for start in range(0, n_stimuli, _TILE):
            stop = start + _TILE
            rows = centred[start:stop]
            self.triangle[start:stop, start:stop] += rows @ rows.T  # NumPy multiplies only one half of it
            self.triangle[start:stop, stop:] += rows @ centred[stop:].T
        exact = mean.astype(np.float64)
        self.edges += along[:, 0] + float(exact @ exact) / 2
        return np.asarray(along[:, 1] + exact.sum())

    def _room(self, half: Floats) -> Floats:
        """Return an array like `half` to write to, the same one for all halves of a width."""
        if self._last is None or self._last.shape != half.shape or self._last.dtype != half.dtype:
            self._last = np.empty(half.shape, half.dtype)
        return self._last


def _about(half: Floats, mean: Floats, room: Floats) -> tuple[Floats, Floats, float]:
    """Return features about a mean, written to `room`, their products with it and their sums (n, 2), their mean square.

    A few rows at a time, which are still in the processor's cache when they are multiplied.
    """
    directions = np.stack([mean, np.ones_like(mean)], axis=1)
    along, square = np.empty((len(half), 2), room.dtype), 0.0
    step = max(1, _CACHED // half.shape[1])
    with np.errstate(over="ignore", invalid="ignore"):  # what is out of range is told by the mean square
        for start in range(0, len(half), step):
            rows = np.subtract(half[start : start + step], mean, out=room[start : start + step])
            along[start : start + step] = rows @ directions
            square += float(np.vdot(rows, rows))
    return room, along, square / half.size


class DeviceSums:
    """K from blocks of features, multiplied on an accelerator the way `HostSums` does it.

    Products of float32 are made without TensorFloat-32 and summed in float64: on the device, or on the CPU where the
    device has no float64 (mps). Blocks of float64, and those out of range, are multiplied where the sums are.

    Parameters
    ----------
    n_stimuli : int
    device : str
        Name of a torch device. "cpu" takes the same way without an accelerator.

    Raises
    ------
    ResourceError
        The device has too little memory.
    """

    def __init__(self, n_stimuli: int, device: str) -> None:
        import torch

        self._device = torch.device(device)
        home = torch.device("cpu") if self._device.type == "mps" else self._device
        with _enough_memory(device):
            self._triangle = torch.zeros((n_stimuli, n_stimuli), dtype=torch.float64, device=home)
        self._edges = self._triangle.new_zeros(n_stimuli)

    def add(self, block: Floats) -> Array:
        """Add the products of a block of shape (n_stimuli, n_columns); return the sums of its rows, (n_stimuli,)."""
        import torch

        sums = self._triangle
        with _enough_memory(str(self._device)), _without_tf32():
            values = torch.from_numpy(block).to(self._device if block.dtype == np.float32 else sums.device)
            mean = values.to(sums).mean(dim=0).to(values)  # (n_columns,)
            centred = values - mean
            if not _LOWEST < float(centred.abs().max()) < _HIGHEST:
                centred, mean = centred.to(sums), mean.to(sums)
            for start in range(0, len(centred), _TILE):
                stop = start + _TILE
                sums[start:stop, start:] += (centred[start:stop] @ centred[start:].T).to(sums)
            self._edges += (centred @ mean).to(sums) + mean.to(sums).square().sum() / 2
            return values.to(sums).sum(dim=1).cpu().numpy()

    def matrix(self) -> Array:
        """Return K, (n_stimuli, n_stimuli), on the CPU; nothing can be added afterwards."""
        return _complete(self._triangle.cpu().numpy(), self._edges.cpu().numpy())


@functools.cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


@contextlib.contextmanager
def _without_tf32() -> Iterator[None]:
    import torch

    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


@contextlib.contextmanager
def _enough_memory(device: str) -> Iterator[None]:
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        raise ResourceError(
            f"device {device}",
            expected="memory for the products of all stimuli",
            got="too little",
            next_step="use another --device, or free memory on it",
        ) from error


def _restore(stimulus_ids: tuple[str, ...], arrays: Arrays) -> Gram:
    n_features = int(arrays["n_features"])
    return Gram(stimulus_ids, n_features, arrays["row_sums"], arrays.get("matrix"), arrays.get("features"))


def _working_bytes(n_stimuli: int) -> int:
    """K twice, and that of the layer before while it is stored, rows of tiles twice and one block in float64."""
    return 8 * n_stimuli * (3 * n_stimuli + 4 * _TILE + 2 * BLOCK)


GRAM = Reducer(_REVISION, _GramReduction, _restore, _working_bytes, ordered=False)


def _complete(matrix: Array, edges: Array) -> Array:
    """Return `matrix` (changed in place) with e_i + e_j added and the lower triangle copied from the upper one."""
    matrix += edges
    matrix += edges[:, None]
    return mirrored(matrix)
