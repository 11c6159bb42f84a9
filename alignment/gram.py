"""A layer's similarity among stimuli, its Gram matrix: folded from blocks of features."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from alignment.contracts import Array, Floats, Indices
from alignment.linear_maps import System, centre_features, centre_gram
from alignment.reduction import Arrays, Reducer, Resources, reduced, refuse_non_finite
from alignment.spill import BLOCK
from model_zoo.contracts import Layer, LoadedModel, Stimuli
from model_zoo.extraction import Progress

_TILE = 1024  # rows of K that are multiplied and summed at a time
_REVISION = "gram-2"  # raise when the same inputs would give another K


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

    def split(self, train: Indices, test: Indices) -> System:
        """Return the similarities of one split (row numbers), centred on the training stimuli."""
        if self.features is not None:
            return centre_features(self.features, train, test)
        assert self.matrix is not None
        return centre_gram(self.matrix, train, test)

    @classmethod
    def of(cls, features: Floats, stimulus_ids: Sequence[str]) -> Gram:
        """Return the Gram of features (n_stimuli, n_features) already in memory."""
        n_stimuli, n_features = features.shape
        row_sums = features.sum(axis=1, dtype=np.float64)
        if n_features < n_stimuli:
            return cls(tuple(stimulus_ids), n_features, row_sums, features=np.array(features))
        matrix, edges = np.zeros((n_stimuli, n_stimuli)), np.zeros(n_stimuli)
        for start in range(0, n_features, BLOCK):
            edges += _add_products(matrix, features[:, start : start + BLOCK])
        return cls(tuple(stimulus_ids), n_features, row_sums, matrix=_complete(matrix, edges))


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
        self._row_sums, self._edges = np.zeros(self._n), np.zeros(self._n)
        self._columns: list[Floats] = []
        self._narrow = layer.n_features < self._n
        self._matrix = np.zeros((0, 0) if self._narrow else (self._n, self._n))

    def add(self, block: Floats, start: int) -> None:
        self._row_sums += block.sum(axis=1, dtype=np.float64)
        if self._narrow:
            self._columns.append(np.array(block))
        else:
            self._edges += _add_products(self._matrix, block)

    def finish(self) -> dict[str, npt.NDArray[Any]]:
        refuse_non_finite(self._layer, int((~np.isfinite(self._row_sums)).sum()), self._n)
        kept = {"row_sums": self._row_sums, "n_features": np.array(self._layer.n_features)}
        if self._narrow:
            return {**kept, "features": np.concatenate(self._columns, axis=1)}
        return {**kept, "matrix": _complete(self._matrix, self._edges)}


def _restore(stimulus_ids: tuple[str, ...], arrays: Arrays) -> Gram:
    n_features = int(arrays["n_features"])
    return Gram(stimulus_ids, n_features, arrays["row_sums"], arrays.get("matrix"), arrays.get("features"))


def _working_bytes(n_stimuli: int) -> int:
    """K, a row of tiles twice and one block in float64."""
    return 8 * n_stimuli * (n_stimuli + 2 * _TILE + 2 * BLOCK)


GRAM = Reducer(_REVISION, _GramReduction, _restore, _working_bytes)


def _add_products(matrix: Array, block: Floats) -> Array:
    """Add block block^T to the upper triangle of `matrix`, but for what `_complete` adds once for all blocks.

    The products of float32 features are taken in float32 about the block's mean stimulus, where they keep their
    precision; what the mean contributes is added in float64. Values whose squares leave the range of float32 are
    multiplied in float64.

    Returns
    -------
    array of shape (n_stimuli,)
        e, of which e_i + e_j belongs to every entry.
    """
    mean = block.mean(axis=0, dtype=np.float64).astype(block.dtype)  # (n_columns,)
    centred = block - mean
    peak = max(float(centred.max()), -float(centred.min()))
    if not 1e-10 < peak < 1e15:
        centred = centred.astype(np.float64)
    for start in range(0, len(centred), _TILE):
        stop = start + _TILE
        matrix[start:stop, start:] += centred[start:stop] @ centred[start:].T
    return np.asarray((centred @ mean).astype(np.float64) + float(np.dot(mean, mean.astype(np.float64))) / 2)


def _complete(matrix: Array, edges: Array) -> Array:
    """Return `matrix` (changed in place) with e_i + e_j added and the lower triangle copied from the upper one."""
    for start in range(0, len(matrix), _TILE):
        stop = start + _TILE
        rows = matrix[start:stop, start:]
        rows += edges[start:stop, None]
        rows += edges[start:]
        square = rows[:, : len(rows)]
        square[:] = np.triu(square) + np.triu(square, 1).T
        matrix[stop:, start:stop] = rows[:, len(rows) :].T
    return matrix
