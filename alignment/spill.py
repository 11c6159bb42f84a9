"""Features kept only as long as one forward pass: planned into passes, spilled to memory or disk, read back in blocks.

Features are cut into blocks of a fixed number of columns. A block holds all stimuli, so it can be multiplied on its
own, and because its width never depends on a budget, neither does the order in which products are summed. In memory a
slice is one array of rows, as a batch delivers them: PyTorch's copy brings them into order, all threads at once.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from model_zoo.contracts import Layer
from model_zoo.errors import ResourceError

BLOCK = 8192  # columns (features) per block
_ENOUGH = 2 * 10**9  # bytes after which a pass may end early


@dataclass(frozen=True)
class Slice:
    """Columns [start, stop) of a layer, kept during one forward pass in memory or on disk."""

    layer: Layer
    start: int
    stop: int
    on_disk: bool

    @property
    def is_last(self) -> bool:
        """Whether the layer is complete after this slice."""
        return self.stop == self.layer.n_features


@dataclass(frozen=True)
class Pass:
    """One forward pass.

    Attributes
    ----------
    slices : what it keeps, in execution order.
    start : layer after which it is taken up, which an earlier pass kept; None: at the images.
    keeps : whether its last layer stays, for the next pass to be taken up after.
    """

    slices: tuple[Slice, ...]
    start: Layer | None = None
    keeps: bool = False


def plan_passes(
    layers: Sequence[Layer],
    n_stimuli: int,
    memory_bytes: int,
    scratch_bytes: int,
    resumable: Callable[[Layer], bool] = lambda layer: False,
) -> tuple[Pass, ...]:
    """Return what each forward pass keeps, so that no pass exceeds the memory and disk budgets.

    Layers stay in execution order: an early pass over early layers stops early and is cheap. A layer too large for both
    budgets together is spread over several passes by columns. Every pass keeps at least one block. Once a pass keeps a
    good deal, it ends where the next can be taken up: the two cost hardly more than one, and the second writes to the
    memory of the first.

    Parameters
    ----------
    layers : sequence of Layer
        In execution order.
    n_stimuli : int
    memory_bytes, scratch_bytes : int
        Bytes for float32 features in memory and on disk during one pass.
    resumable : callable
        Whether a pass can be taken up after a layer.
    """
    block_bytes = 4 * n_stimuli * BLOCK
    budget = np.array([memory_bytes // block_bytes, scratch_bytes // block_bytes])  # blocks in memory and on disk
    if budget.sum() < 1:
        budget[0] = 1
    enough = max(1, min(_ENOUGH // block_bytes, budget[0] // 2))
    passes: list[Pass] = []
    current: list[Slice] = []
    start, kept, left = None, np.zeros(2, int), budget.copy()
    for layer in layers:
        column, taken = 0, np.zeros(2, int)
        while column < layer.n_features:
            if left.sum() < 1:
                passes.append(Pass(tuple(current), start))
                current, left, taken = [], budget - kept, np.zeros(2, int)
            kind = int(left[0] < 1)
            blocks = min(left[kind], -(-(layer.n_features - column) // BLOCK))
            stop = min(layer.n_features, column + int(blocks) * BLOCK)
            current.append(Slice(layer, column, stop, on_disk=kind == 1))
            left[kind] -= blocks
            taken[kind] += blocks
            column = stop
        whole = taken.sum() * BLOCK >= layer.n_features
        good_deal = (budget - kept - left).sum() >= enough
        if layer != layers[-1] and whole and good_deal and (taken <= budget // 4).all() and resumable(layer):
            passes.append(Pass(tuple(current), start, keeps=True))
            current, start, kept, left = [], layer, taken, budget - taken
    if current:
        passes.append(Pass(tuple(current), start))
    return tuple(passes)


class Arena:
    """Memory for the slices of one pass after the other, had from the system only once, since that takes long.

    A layer that stays for the next pass lies at one end, and the next pass begins to fill the other.

    Parameters
    ----------
    passes : sequence of Pass
        In the order in which they ask for their spills.
    n_stimuli : int
    """

    def __init__(self, passes: Sequence[Pass], n_stimuli: int) -> None:
        self._n = n_stimuli
        sizes, kept = [0], 0
        for part in passes:
            sizes.append(kept + sum(map(self._floats_of, part.slices)))
            kept = sum(map(self._floats_of, _last_layer(part))) if part.keeps else kept
        self._floats = _mapped(max(sizes))
        self._upwards = True

    def spills(self, part: Pass, directory: Path) -> list[Spill]:
        """Return where a pass writes its slices, in their order; the last layer at the end it is to stay at."""
        last, used = _last_layer(part), 0
        rows: dict[Slice, npt.NDArray[np.float32]] = {}
        for piece in (*last, *(each for each in part.slices if each not in last)):
            size = self._floats_of(piece)
            first = used if self._upwards else len(self._floats) - used - size
            if size:
                rows[piece] = self._floats[first : first + size].reshape(self._n, -1)
            used += size
        self._upwards ^= part.keeps
        return [Spill(piece, self._n, directory, rows.get(piece)) for piece in part.slices]

    def _floats_of(self, piece: Slice) -> int:
        return 0 if piece.on_disk else self._n * (piece.stop - piece.start)


def _last_layer(part: Pass) -> list[Slice]:
    return [piece for piece in part.slices if piece.layer == part.slices[-1].layer]


class Spill:
    """The features of one slice during one pass: written by batches of rows, read by blocks of columns.

    Parameters
    ----------
    part : Slice
    n_stimuli : int
    directory : pathlib.Path
        Where a slice on disk is written; the file is removed by `close`.
    rows : (n_stimuli, n_columns) to write to, for a slice in memory.
    """

    def __init__(
        self, part: Slice, n_stimuli: int, directory: Path, rows: npt.NDArray[np.float32] | None = None
    ) -> None:
        self.part, self._n, self._rows = part, n_stimuli, rows
        self._bounds = [(a, min(a + BLOCK, part.stop)) for a in range(part.start, part.stop, BLOCK)]
        self._file: BinaryIO | None = None
        if rows is None:
            self._path = directory / f"{part.layer.order}-{part.start}.f32"
            self._file = open(self._path, "w+b", buffering=0)  # noqa: SIM115 (closed by close)

    def write(self, row: int, activations: npt.NDArray[np.float32]) -> None:
        """Keep this slice's columns of a batch (n_batch, ...), flattened, as rows row, row + 1, ...

        Raises
        ------
        ResourceError
            If the disk is full.
        """
        import torch

        from model_zoo.extraction import flattened

        if self._rows is not None:
            rows, source = self._rows[row : row + len(activations)], activations
            if rows.shape[1] < self.part.layer.n_features:
                source = flattened(activations)[:, self.part.start : self.part.stop]
            torch.from_numpy(rows).view(source.shape).copy_(torch.from_numpy(source))
            return
        features = flattened(activations)
        try:
            for a, b in self._bounds:
                self._write_all(np.ascontiguousarray(features[:, a:b]), self._offset(a) + 4 * row * (b - a))
        except OSError as error:
            raise ResourceError(
                f"scratch folder {self._path.parent}",
                expected="room for features",
                got=error.strerror or str(error),
                next_step="free disk space, choose another --scratch-dir, or lower --scratch (more forward passes)",
            ) from error

    def blocks(self) -> Iterator[npt.NDArray[np.float32]]:
        """Yield blocks of shape (n_stimuli, at most BLOCK), in column order."""
        if self._rows is not None:
            for a, b in self._bounds:
                yield self._rows[:, a - self.part.start : b - self.part.start]
            return
        for a, b in self._bounds:
            yield self._read(self._offset(a), (self._n, b - a))

    def read(self, row: int, n_rows: int) -> npt.NDArray[np.float32]:
        """Return rows row, row + 1, ..., of shape (n_rows, n_columns), to be looked at only."""
        if self._rows is not None:
            return self._rows[row : row + n_rows]
        parts = [self._read(self._offset(a) + 4 * row * (b - a), (n_rows, b - a)) for a, b in self._bounds]
        return np.concatenate(parts, axis=1)

    def _read(self, offset: int, shape: tuple[int, int]) -> npt.NDArray[np.float32]:
        assert self._file is not None
        self._file.seek(offset)
        found = np.empty(shape, np.float32)
        view = found.data.cast("B")
        while len(view):
            n_read = self._file.readinto(view)  # type: ignore[attr-defined]
            if not n_read:
                raise ResourceError(
                    str(self._path),
                    expected="the features just written",
                    got="a shorter file",
                    next_step="run again",
                )
            view = view[n_read:]
        return found

    def close(self) -> None:
        """Release memory and disk."""
        self._rows = None
        if self._file is not None:
            self._file.close()
            self._path.unlink(missing_ok=True)
            self._file = None

    def _offset(self, column: int) -> int:
        return 4 * self._n * (column - self.part.start)

    def _write_all(self, rows: npt.NDArray[np.float32], offset: int) -> None:
        assert self._file is not None
        view = rows.data.cast("B")
        while len(view):
            written = os.pwrite(self._file.fileno(), view, offset)
            view, offset = view[written:], offset + written


def _mapped(n_floats: int) -> npt.NDArray[np.float32]:
    """Return an array that goes back to the system the moment nobody refers to it, whatever the C library keeps.

    Huge pages, which NumPy would ask for, are not: on virtual machines they took five times as long to be had.
    """
    private = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if os.name == "posix" else {}
    return np.frombuffer(mmap.mmap(-1, max(4 * n_floats, 1), **private), np.float32, n_floats)
