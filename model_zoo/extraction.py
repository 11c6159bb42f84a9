"""One forward pass over the stimuli: every wanted layer's activations, handed on batch by batch."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from model_zoo.contracts import Layer, LoadedModel, Stimuli
from model_zoo.cuts import Cut
from model_zoo.errors import InvalidOption, ResourceError
from model_zoo.layers import Taps
from model_zoo.machine import n_threads
from model_zoo.preprocessing import preprocess

Consumer = Callable[[str, int, npt.NDArray[np.float32]], None]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Start:
    """Where a forward pass is taken up instead of at the images.

    Attributes
    ----------
    cut : Cut
    read : ``read(row, n_rows)``: what was kept there of stimuli row, row + 1, ..., float32 of shape (n_rows, ...).
    """

    cut: Cut
    read: Callable[[int, int], npt.NDArray[np.float32]]


_LARGEST_BATCH = {"cpu": 64, "cuda": 512, "mps": 128}


def extract(
    model: LoadedModel,
    stimuli: Stimuli,
    layers: Sequence[Layer],
    consume: Consumer,
    *,
    device: str = "cpu",
    batch_size: int | None = None,
    threads: int | None = None,
    activation_bytes: int | None = None,
    flat: bool = True,
    start: Start | None = None,
    progress: Progress | None = None,
) -> None:
    """Run the stimuli through the model once and hand every layer's flattened activations to `consume`.

    The forward pass stops after the last wanted layer. Images are decoded by a pool of threads ahead of the model.

    Parameters
    ----------
    model : LoadedModel
    stimuli : Stimuli
        n_stimuli images; rows follow the order of `stimuli.ids`.
    layers : sequence of Layer
    consume : callable
        ``consume(layer_name, first_row, features)`` with features of shape (n_batch, n_features), float32 and
        C-ordered; valid only during the call.
    device : str
        A torch device.
    batch_size : int or None
        Images per batch; None starts small and doubles while images per second still rise.
    threads : int or None
        CPU threads for torch and for decoding; None: all this process may use.
    activation_bytes : int or None
        Upper limit on the bytes of tapped activations in one batch.
    flat : bool
        False: hand on activations (n_batch, ...) in the layer's own shape and in whatever order they lie in memory,
        which saves a copy; see `flattened`.
    start : Start or None
        Where to take the pass up; all layers must come after it.
    progress : callable or None
        ``progress("forward pass", images_done, n_stimuli)``.

    Raises
    ------
    ResourceError
        If one single image does not fit on the device.
    InvalidOption
        If the device does not exist.
    """
    n_stimuli = len(stimuli.ids)
    target = usable_device(device)
    per_image = 4 * sum(layer.n_features for layer in layers)
    largest = _LARGEST_BATCH.get(target.type, 64)
    if activation_bytes is not None:
        largest = max(1, min(largest, activation_bytes // max(per_image, 1)))
    sizes = BatchSizes(batch_size, largest)
    names = [layer.name for layer in layers]
    module = placed(model.module, target)
    row = count = 0

    def on_output(name: str, output: torch.Tensor) -> None:
        activations = output[:count].to("cpu", torch.float32).numpy()
        consume(name, row, flattened(activations) if flat else activations)

    with (
        exact_arithmetic(threads),
        torch.inference_mode(),
        _source(model, stimuli, threads or n_threads(), 2 * largest, start) as source,
        Taps(module, names, None if start is None else start.cut) as taps,
    ):
        while row < n_stimuli:
            batch = source.take(min(sizes.current, n_stimuli - row))
            count = len(batch)
            started = time.perf_counter()
            try:
                taps.run(source.ready(_pad(batch), target), on_output)
            except (torch.OutOfMemoryError, MemoryError) as error:
                sizes.shrink(count, error)
                source.give_back(batch)
                continue
            sizes.record(count, time.perf_counter() - started)
            row += count
            if progress is not None:
                progress("forward pass", row, n_stimuli)


def flattened(activations: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return activations (n_batch, ...) as features (n_batch, n_features), C-ordered; copied only where need be."""
    return torch.from_numpy(activations).contiguous().flatten(1).numpy()


def _pad(batch: torch.Tensor) -> torch.Tensor:
    """Repeat the last image up to 2, 4 or a multiple of 8: other sizes take kernels that round differently."""
    n_images = len(batch)
    padded = -(-n_images // 8) * 8 if n_images > 4 else max(2, n_images + n_images % 2)
    return torch.cat([batch, batch[-1:].expand(padded - n_images, *batch.shape[1:])]) if padded > n_images else batch


class BatchSizes:
    """How many images the next batch holds: fixed, or doubled while the measured images per second still rise.

    The images used for measuring are images of the run itself, so measuring costs nothing.
    """

    def __init__(self, fixed: int | None, largest: int) -> None:
        if fixed is not None and fixed < 1:
            raise InvalidOption(
                "--batch-size", expected="at least 1", got=str(fixed), next_step="pass a positive number"
            )
        self.current = min(8, largest) if fixed is None else fixed
        self._largest = largest
        self._settled = fixed is not None
        self._times: list[float] = []
        self._best = (0.0, self.current)  # images per second, batch size

    def record(self, n_images: int, seconds: float) -> None:
        """Note how long a batch took and move to the next size once this one was seen twice."""
        if self._settled or n_images < self.current:
            return
        self._times.append(seconds)
        if len(self._times) < 2:  # the first batch of a size pays for set-up
            return
        rate = n_images / max(min(self._times), 1e-9)
        self._times = []
        improved = rate > 1.03 * self._best[0]
        if improved:
            self._best = (rate, self.current)
        if improved and 2 * self.current <= self._largest:
            self.current *= 2
        else:
            self.current, self._settled = self._best[1], True

    def shrink(self, n_images: int, error: BaseException) -> None:
        """Halve the batch after running out of memory, or give up at one image."""
        if n_images == 1:
            raise ResourceError(
                "forward pass",
                expected="memory for one image",
                got="out of memory",
                next_step="use --device cpu, a smaller --input-size or a machine with more memory",
            ) from error
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self.current, self._settled = max(1, n_images // 2), True


class _Decoder:
    """Images decoded and preprocessed by threads, a bounded number ahead of the model, in order."""

    def __init__(self, model: LoadedModel, stimuli: Stimuli, n_workers: int, ahead: int) -> None:
        self._ids: Iterator[str] = iter(stimuli.ids)
        self._ahead = ahead
        self._returned: list[torch.Tensor] = []
        self._queue: deque[Future[torch.Tensor]] = deque()
        self._pool = ThreadPoolExecutor(max_workers=n_workers, thread_name_prefix="decode")
        self._decode = lambda stimulus_id: preprocess(stimuli.image(stimulus_id), model.preprocessing)

    def __enter__(self) -> _Decoder:
        self._fill()
        return self

    def __exit__(self, *exception: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _fill(self) -> None:
        while len(self._queue) < self._ahead:
            stimulus_id = next(self._ids, None)
            if stimulus_id is None:
                return
            self._queue.append(self._pool.submit(self._decode, stimulus_id))

    def take(self, n_images: int) -> torch.Tensor:
        """Return the next images, shape (n_images, 3, height, width)."""
        images = self._returned[:n_images]
        self._returned = self._returned[n_images:]
        while len(images) < n_images:
            images.append(self._queue.popleft().result())
            self._fill()
        return torch.stack(images)

    def give_back(self, batch: torch.Tensor) -> None:
        """Put a batch that did not fit back to the front."""
        self._returned = [*batch.cpu().unbind(0), *self._returned]

    def ready(self, batch: torch.Tensor, device: torch.device) -> torch.Tensor:
        """Return the images as the model takes them."""
        return batch.to(device, memory_format=torch.channels_last)


class _Kept:
    """What was kept of a layer, in order."""

    def __init__(self, start: Start) -> None:
        self._start, self._row = start, 0

    def take(self, n_images: int) -> torch.Tensor:
        """Return the next rows, shape (n_images, ...)."""
        self._row += n_images
        return torch.from_numpy(self._start.read(self._row - n_images, n_images))

    def give_back(self, batch: torch.Tensor) -> None:
        """Put rows that did not fit back to the front."""
        self._row -= len(batch)

    def ready(self, batch: torch.Tensor, device: torch.device) -> torch.Tensor:
        """Return the rows as the layer gave them."""
        return self._start.cut.restored(batch.to(device))


@contextlib.contextmanager
def _source(
    model: LoadedModel, stimuli: Stimuli, n_workers: int, ahead: int, start: Start | None
) -> Iterator[_Decoder | _Kept]:
    if start is not None:
        yield _Kept(start)
        return
    with _Decoder(model, stimuli, n_workers, ahead) as decoder:
        yield decoder


def usable_device(name: str) -> torch.device:
    """Return the torch device of that name; raises InvalidOption, naming those there are, where it does not exist."""
    usable = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    usable += ["mps"] if torch.backends.mps.is_available() else []
    if name not in usable and not (name == "cuda" and "cuda:0" in usable):
        raise InvalidOption(
            f"--device {name}",
            expected=f"one of {', '.join(usable)}",
            got="a device that is not available here",
            next_step="see `ventral doctor`",
        )
    return torch.device(name)


def placed(module: torch.nn.Module, device: torch.device) -> torch.nn.Module:
    """Return the module on a device, its weights in the memory layout in which convolutions are fastest."""
    moved: torch.nn.Module = module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved


@contextlib.contextmanager
def exact_arithmetic(threads: int | None) -> Iterator[None]:
    """float32 without TensorFloat-32, and the wanted number of threads; both put back afterwards."""
    before = torch.get_num_threads()
    matmul, convolution = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.set_num_threads(threads or n_threads())
    try:
        yield
    finally:
        torch.set_num_threads(before)
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = matmul, convolution
