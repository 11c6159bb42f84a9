"""The forward pass: every image once and in order, sizes that adapt, errors that leave nothing running."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.stimuli import from_arrays
from model_zoo.contracts import LoadedModel, Preprocessing, WeightsReport
from model_zoo.errors import InvalidOption, ResourceError
from model_zoo.extraction import BatchSizes, extract
from model_zoo.layers import list_layers

N_STIMULI = 53


class _MeanColour(nn.Module):
    """Its only layer gives each image's mean colour, so a row tells which image it came from."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.out_of_memory_above: int | None = None
        self.tf32_seen: list[bool] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.tf32_seen.append(torch.backends.cuda.matmul.allow_tf32 or torch.backends.cudnn.allow_tf32)
        if self.out_of_memory_above is not None and len(x) > self.out_of_memory_above:
            raise torch.OutOfMemoryError("planted")
        return self.pool(x)


@pytest.fixture
def model() -> LoadedModel:
    preprocessing = Preprocessing(input_size=(16, 16), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    return LoadedModel("toy/mean", _MeanColour().eval(), preprocessing, WeightsReport("seed 0", 0, 0), "id", "MIT", "-")


@pytest.fixture
def stimuli():
    images = {f"s{i}": np.full((16, 16, 3), i * 4, dtype=np.uint8) for i in range(N_STIMULI)}
    return from_arrays(images, visual_degrees=8.0)


def _run(model, stimuli, **options) -> np.ndarray:
    layers = list_layers(model.module, (16, 16), all_modules=True)
    found = np.full((N_STIMULI, 3), np.nan)

    def keep(name, row, features):
        found[row : row + len(features)] = features

    extract(model, stimuli, layers, keep, **options)
    return found


@pytest.mark.parametrize("batch_size", [None, 1, 7, 64])
def test_rows_follow_the_stimuli(model, stimuli, batch_size):
    expected = np.repeat(np.arange(N_STIMULI)[:, None] * 4 / 255, 3, axis=1)
    np.testing.assert_allclose(_run(model, stimuli, batch_size=batch_size), expected, atol=1e-6)


def test_running_out_of_memory_halves_the_batch_and_loses_no_image(model, stimuli):
    expected = _run(model, stimuli)
    model.module.out_of_memory_above = 3
    np.testing.assert_array_equal(_run(model, stimuli, batch_size=32), expected)


def test_one_image_too_large_is_a_clear_error(model, stimuli):
    layers = list_layers(model.module, (16, 16), all_modules=True)
    model.module.out_of_memory_above = 0
    with pytest.raises(ResourceError, match=r"memory for one image.*--input-size"):
        extract(model, stimuli, layers, lambda *_: None)


def test_settings_of_torch_come_back_and_no_thread_stays(model, stimuli):
    threads, matmul = torch.get_num_threads(), torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True

    def broken(*_):
        raise KeyboardInterrupt

    layers = list_layers(model.module, (16, 16), all_modules=True)
    model.module.tf32_seen.clear()
    try:
        with pytest.raises(KeyboardInterrupt):
            extract(model, stimuli, layers, broken, threads=1)
        assert model.module.tf32_seen == [False]
        assert torch.backends.cuda.matmul.allow_tf32
    finally:
        torch.backends.cuda.matmul.allow_tf32 = matmul
    assert torch.get_num_threads() == threads
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decode")]
    assert not list(model.module.pool._forward_hooks)


def test_unknown_device_names_the_usable_ones(model, stimuli):
    with pytest.raises(InvalidOption, match=r"--device nonsense: expected one of cpu"):
        _run(model, stimuli, device="nonsense")


def test_batch_grows_while_it_pays_and_stays_at_the_best():
    sizes = BatchSizes(None, 64)
    seen = []
    per_image = {8: 1.0, 16: 0.5, 32: 0.4, 64: 0.45}
    for _ in range(12):
        seen.append(sizes.current)
        sizes.record(sizes.current, per_image[sizes.current] * sizes.current)
    assert seen[:8] == [8, 8, 16, 16, 32, 32, 64, 64]
    assert set(seen[8:]) == {32}


def test_fixed_batch_never_moves():
    sizes = BatchSizes(7, 64)
    for seconds in (1.0, 0.1, 0.01):
        sizes.record(7, seconds)
    assert sizes.current == 7
    with pytest.raises(InvalidOption, match="at least 1"):
        BatchSizes(0, 64)
