"""Features kept only as long as one forward pass: planned into passes, spilled to memory or disk, read back in blocks.

Features are cut into blocks of a fixed number of columns. A block holds all stimuli, so it can be multiplied on its
own, and because its width never depends on a budget, neither does the order in which products are summed. In memory a
slice is one array of rows, as a batch delivers them: PyTorch's copy brings them into order, all threads at once.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from model_zoo.contracts import Layer
from model_zoo.errors import ResourceError

BLOCK = 4096  # columns (features) per block


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


def plan_passes(
    layers: Sequence[Layer], n_stimuli: int, memory_bytes: int, scratch_bytes: int
) -> tuple[tuple[Slice, ...], ...]:
    """Return what each forward pass keeps, so that no pass exceeds the memory and disk budgets.

    Layers stay in execution order: an early pass over early layers stops early and is cheap. A layer too large for both
    budgets together is spread over several passes by columns. Every pass keeps at least one block.

    Parameters
    ----------
    layers : sequence of Layer
        In execution order.
    n_stimuli : int
    memory_bytes, scratch_bytes : int
        Bytes for float32 features in memory and on disk during one pass.
    """
    block_bytes = 4 * n_stimuli * BLOCK
    memory_blocks, disk_blocks = memory_bytes // block_bytes, scratch_bytes // block_bytes
    if memory_blocks + disk_blocks < 1:
        memory_blocks = 1
    passes: list[tuple[Slice, ...]] = []
    current: list[Slice] = []
    memory_left, disk_left = memory_blocks, disk_blocks
    for layer in layers:
        start = 0
        while start < layer.n_features:
            if memory_left + disk_left < 1:
                passes.append(tuple(current))
                current, memory_left, disk_left = [], memory_blocks, disk_blocks
            room = memory_left if memory_left > 0 else disk_left
            blocks = min(room, -(-(layer.n_features - start) // BLOCK))
            stop = min(layer.n_features, start + blocks * BLOCK)
            current.append(Slice(layer, start, stop, on_disk=memory_left <= 0))
            if memory_left > 0:
                memory_left -= blocks
            else:
                disk_left -= blocks
            start = stop
    if current:
        passes.append(tuple(current))
    return tuple(passes)


class Spill:
    """The features of one slice during one pass: written by batches of rows, read by blocks of columns.

    Parameters
    ----------
    part : Slice
    n_stimuli : int
    directory : pathlib.Path
        Where a slice on disk is written; the file is removed by `close`.
    """

    def __init__(self, part: Slice, n_stimuli: int, directory: Path) -> None:
        self.part, self._n = part, n_stimuli
        self._bounds = [(a, min(a + BLOCK, part.stop)) for a in range(part.start, part.stop, BLOCK)]
        self._file: BinaryIO | None = None
        self._rows: npt.NDArray[np.float32] | None = None
        if part.on_disk:
            self._path = directory / f"{part.layer.order}-{part.start}.f32"
            self._file = open(self._path, "w+b", buffering=0)  # noqa: SIM115 (closed by close)
        else:
            self._rows = _mapped((n_stimuli, part.stop - part.start))

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
        assert self._file is not None
        for a, b in self._bounds:
            self._file.seek(self._offset(a))
            block = np.empty((self._n, b - a), np.float32)
            view = block.data.cast("B")
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
            yield block

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


def _mapped(shape: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Return an array that goes back to the system the moment nobody refers to it, whatever the C library keeps.

    Huge pages, which NumPy would ask for, are not: on virtual machines they took five times as long to be had.
    """
    private = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if os.name == "posix" else {}
    return np.frombuffer(mmap.mmap(-1, 4 * shape[0] * shape[1], **private), np.float32).reshape(shape)
