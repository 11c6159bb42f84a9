"""What one forward pass of a model costs: parameters, arithmetic, activations, time and memory on this machine."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from model_zoo.contracts import LoadedModel, ModelCost
from model_zoo.errors import InvalidOption, ResourceError
from model_zoo.layers import list_layers

_BYTES_PER_VALUE = 4
_N_TIMED = 3
_SAMPLING_SECONDS = 0.002


def describe(model: LoadedModel, *, device: str = "cpu", batch_size: int = 16) -> ModelCost:
    """Return what one forward pass of `model` costs.

    Parameters
    ----------
    model : left on the CPU afterwards.
    device : a torch device, for throughput and peak memory.
    batch_size : stimuli per forward pass when measuring; at least 1.

    Returns
    -------
    ModelCost
        n_parameters: trainable or not. flops, macs: of one stimulus, macs = flops / 2. activation_bytes: float32
        outputs of the candidate layers (`layers`) for one stimulus, what extraction handles for ``--layers blocks``.
        throughput: stimuli per second, median of 3 passes after one warm-up, decoding not included.
        peak_memory_bytes: see Notes.

    Raises
    ------
    InvalidOption
        If the batch size is below 1 or the device cannot be used.
    ResourceError
        If the batch does not fit on the device.

    Notes
    -----
    FLOPs are those torch's counter knows: matrix products, convolutions and attention, two for each multiply-add.
    Norms, activation functions, pooling and additions are not counted, so the number is slightly too low.

    Peak memory on CUDA is what torch's allocator held, without the CUDA context: too low by some hundred MB. On a CPU
    it is the whole process's resident memory, interpreter and libraries included, sampled every 2 ms: too high for the
    model alone, and a shorter peak can be missed.
    """
    if batch_size < 1:
        raise InvalidOption(
            "batch size", expected="at least 1", got=str(batch_size), next_step="pass a positive number"
        )
    module, size = model.module, model.preprocessing.input_size
    layers = list_layers(module, size)
    n_parameters, flops = count(model)
    throughput, peak = _measure(module, torch.zeros(batch_size, 3, *size), device)
    return ModelCost(
        n_parameters=n_parameters,
        flops=flops,
        macs=flops // 2,
        activation_bytes=_BYTES_PER_VALUE * sum(layer.n_features for layer in layers),
        throughput=throughput,
        peak_memory_bytes=peak,
        batch_size=batch_size,
        device=device,
        layers=layers,
    )


def count(model: LoadedModel) -> tuple[int, int]:
    """Return a model's parameters and the FLOPs of one stimulus, as `describe` counts them, without measuring."""
    n_parameters = sum(parameter.numel() for parameter in model.module.parameters())
    return n_parameters, _count_flops(model.module, model.preprocessing.input_size)


def _count_flops(module: nn.Module, input_size: tuple[int, int]) -> int:
    # The fused attention kernel hides its products from the counter.
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            module(torch.zeros(1, 3, *input_size))
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    return int(counter.get_total_flops())


def _measure(module: nn.Module, batch: torch.Tensor, device: str) -> tuple[float, int]:
    """Return stimuli per second and the peak memory in bytes."""
    try:
        batch = batch.to(device)
    except (RuntimeError, AssertionError) as error:
        got = str(error).strip().splitlines()[0]
        raise InvalidOption(
            f"device {device!r}", expected="a device of this machine", got=got, next_step="see `ventral doctor`"
        ) from error
    waits: dict[str, Callable[[], None]] = {"cuda": torch.cuda.synchronize, "mps": torch.mps.synchronize}
    synchronise = waits.get(batch.device.type, lambda: None)
    seconds: list[float] = []
    try:
        module.to(device)
        with _peak_memory(batch.device) as peak, torch.inference_mode():
            for _ in range(1 + _N_TIMED):
                synchronise()
                started = time.perf_counter()
                module(batch)
                synchronise()
                seconds.append(time.perf_counter() - started)
    except torch.OutOfMemoryError as error:
        raise ResourceError(
            f"forward pass of {len(batch)} stimuli on {device}",
            expected="enough memory",
            got="out of memory",
            next_step="use a smaller batch size",
        ) from error
    finally:
        module.to("cpu")
    return len(batch) / statistics.median(seconds[1:]), peak()


@contextmanager
def _peak_memory(device: torch.device) -> Iterator[Callable[[], int]]:
    """Yield a function that tells, after the block, the most memory held in it, in bytes."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        yield lambda: int(torch.cuda.max_memory_allocated(device))
        return
    process, done = psutil.Process(), threading.Event()
    highest = process.memory_info().rss

    def sample() -> None:
        nonlocal highest
        while not done.wait(_SAMPLING_SECONDS):
            highest = max(highest, process.memory_info().rss)

    sampler = threading.Thread(target=sample, name="peak memory", daemon=True)
    sampler.start()
    try:
        yield lambda: highest
    finally:
        done.set()
        sampler.join()
