"""Passes, spilling and folding: the same K whatever the batch, the budgets and the threads."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import alignment.spill
from alignment.gram import GRAM, DeviceSums, Gram, HostSums, gram_matrices
from alignment.reduction import Resources
from alignment.spill import BLOCK
from benchmarks.stimuli import from_arrays
from model_zoo.contracts import Layer, LoadedModel, Preprocessing, WeightsReport
from model_zoo.errors import DataIntegrity, ResourceError
from model_zoo.layers import list_layers

N_STIMULI = 90


class _Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 24, 5, stride=2)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(24, 32, 3, stride=2)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.conv1(x))
        return self.head(self.pool(self.conv2(x)).flatten(1))


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = _Net().eval()
    preprocessing = Preprocessing(input_size=(64, 64))
    return LoadedModel("toy/net", net, preprocessing, WeightsReport("seed 0", 6, 6), "toy-identity", "MIT", "none")


@pytest.fixture(scope="module")
def stimuli():
    images = np.random.default_rng(0).integers(0, 256, size=(N_STIMULI, 48, 48, 3), dtype=np.uint8)
    return from_arrays({f"s{i:03d}": image for i, image in enumerate(images)}, visual_degrees=8.0)


def _grams(model, stimuli, **resources) -> dict[str, Gram]:
    layers = list_layers(model.module, model.preprocessing.input_size, all_modules=True)
    with gram_matrices(model, stimuli, layers, Resources(**{"use_cache": False, **resources})) as grams:
        return {layer.name: grams(layer.name) for layer in layers}


def _matrix(gram: Gram) -> np.ndarray:
    if gram.matrix is not None:
        return gram.matrix
    features = gram.features.astype(np.float64)
    return features @ features.T


@pytest.fixture(scope="module")
def direct(model, stimuli) -> dict[str, np.ndarray]:
    """Every layer's features from a plain forward pass, copied at the hook."""
    from model_zoo.preprocessing import preprocess

    captured: dict[str, np.ndarray] = {}
    handles = [
        module.register_forward_hook(lambda _m, _i, out, name=name: captured.__setitem__(name, out.numpy().copy()))
        for name, module in model.module.named_children()
    ]
    batch = torch.stack([preprocess(stimuli.image(each), model.preprocessing) for each in stimuli.ids])
    with torch.inference_mode():
        model.module(batch)
    for handle in handles:
        handle.remove()
    return {name: values.reshape(len(values), -1) for name, values in captured.items()}


def test_gram_is_features_times_their_transpose(model, stimuli, direct):
    grams = _grams(model, stimuli, batch_size=16)
    assert set(direct) == set(grams)
    for name, features in direct.items():
        wide = features.astype(np.float64)
        np.testing.assert_allclose(_matrix(grams[name]), wide @ wide.T, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(grams[name].row_sums, wide.sum(axis=1), rtol=1e-4, atol=1e-3)
        assert grams[name].n_features == features.shape[1]
        assert (grams[name].features is not None) == (features.shape[1] < N_STIMULI)


def test_inplace_relu_does_not_overwrite_the_layer_before_it(model, stimuli):
    grams = _grams(model, stimuli, batch_size=16)
    assert not np.allclose(grams["conv1"].row_sums, grams["relu"].row_sums)


@pytest.fixture(scope="module")
def sixteen_at_a_time(model, stimuli) -> dict[str, Gram]:
    return _grams(model, stimuli, batch_size=16, threads=1)


@pytest.mark.parametrize("batch_size", [1, 7, 64, None])
@pytest.mark.parametrize(("memory", "scratch"), [(500_000_000, 10**9), (3_000_000, 6_000_000), (1, 1)])
@pytest.mark.parametrize("threads", [1, 2])
def test_k_depends_on_no_budget(model, stimuli, sixteen_at_a_time, batch_size, memory, scratch, threads):
    got = _grams(model, stimuli, batch_size=batch_size, memory=memory, scratch=scratch, threads=threads)
    for name, gram in sixteen_at_a_time.items():
        scale = np.abs(_matrix(gram)).max()
        np.testing.assert_allclose(_matrix(got[name]), _matrix(gram), rtol=1e-6, atol=1e-6 * scale)


def test_small_budgets_take_several_passes_and_stop_early(model, stimuli):
    stages = []
    layers = list_layers(model.module, (64, 64), all_modules=True)
    resources = Resources(memory=1, scratch=1, use_cache=False)
    with gram_matrices(model, stimuli, layers, resources, lambda *told: stages.append(told)):
        pass
    blocks = sum(-(-layer.n_features // BLOCK) for layer in layers)
    ends = [done for stage, done, _ in stages if stage == "forward pass" and done % N_STIMULI == 0]
    assert ends == [N_STIMULI * (number + 1) for number in range(blocks)]
    assert blocks > 3
    for stage, images in (("forward pass", N_STIMULI), ("layers", 1)):  # counts rise to their total, over all passes
        done, totals = zip(*[told[1:] for told in stages if told[0] == stage], strict=True)
        assert list(done) == sorted(set(done))
        assert set(totals) == {done[-1]} == {images * blocks}


@pytest.mark.parametrize(("memory", "scratch"), [(500_000_000, 10**9), (12_000_000, 80_000_000), (1, 80_000_000)])
@pytest.mark.parametrize("batch_size", [16, None])
def test_passes_taken_up_where_another_ended_give_the_same_bits(
    model, stimuli, monkeypatch, memory, scratch, batch_size
):
    budget = {"memory": memory, "scratch": scratch, "batch_size": batch_size}
    whole = _grams(model, stimuli, **budget)
    monkeypatch.setattr(alignment.spill, "_ENOUGH", 1)
    shown, stages, convolve = [], [], model.module.conv1.forward
    monkeypatch.setattr(model.module.conv1, "forward", lambda images: shown.append(stages[-1:]) or convolve(images))
    layers = list_layers(model.module, (64, 64), all_modules=True)
    resources = Resources(use_cache=False, **budget)
    with gram_matrices(model, stimuli, layers, resources, lambda stage, *_: stages.append(stage)) as grams:
        for name, gram in whole.items():
            np.testing.assert_array_equal(_matrix(grams(name)), _matrix(gram))
            np.testing.assert_array_equal(grams(name).row_sums, gram.row_sums)
    rounds = [stage for stage, before in zip(stages, ["", *stages], strict=False) if stage != before]
    assert rounds == ["forward pass", "layers"] * (len(rounds) // 2)
    assert len(rounds) >= 6
    assert ["layers"] not in shown  # no image is shown again after the first pass


def test_cache_is_used_and_keyed_on_content(model, stimuli, tmp_path, monkeypatch):
    monkeypatch.setenv("VENTRAL_HOME", str(tmp_path))
    first = _grams(model, stimuli, use_cache=True)
    calls = []
    layers = list_layers(model.module, (64, 64), all_modules=True)

    def passes(subject, shown):
        calls.clear()
        with gram_matrices(subject, shown, layers, Resources(), lambda stage, *_: calls.append(stage)) as grams:
            return {layer.name: grams(layer.name) for layer in layers}

    again = passes(model, stimuli)
    assert calls == []
    np.testing.assert_array_equal(_matrix(again["conv1"]), _matrix(first["conv1"]))
    from dataclasses import replace

    passes(replace(model, identity="other weights"), stimuli)
    assert "forward pass" in calls
    passes(model, stimuli.subset(stimuli.ids[::-1]))
    assert "forward pass" in calls


def test_damaged_cache_entry_is_computed_again(model, stimuli, tmp_path, monkeypatch):
    monkeypatch.setenv("VENTRAL_HOME", str(tmp_path))
    first = _grams(model, stimuli, use_cache=True)
    for path in tmp_path.rglob("*.npz"):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0xFF
        path.write_bytes(data)
    again = _grams(model, stimuli, use_cache=True)
    for name, gram in first.items():
        np.testing.assert_allclose(_matrix(again[name]), _matrix(gram), rtol=1e-6, atol=1e-3)


def test_interruption_leaves_nothing_half_written(model, stimuli, tmp_path, monkeypatch):
    monkeypatch.setenv("VENTRAL_HOME", str(tmp_path))
    layers = list_layers(model.module, (64, 64), all_modules=True)

    def interrupt(stage, done, total):
        if done > 20:
            raise KeyboardInterrupt

    with (
        pytest.raises(KeyboardInterrupt),
        gram_matrices(model, stimuli, layers, Resources(batch_size=8, memory=1), interrupt),
    ):
        pass
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_full_disk_while_spilling_says_what_to_do(model, stimuli, tmp_path, monkeypatch):
    monkeypatch.setenv("VENTRAL_HOME", str(tmp_path))

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    layers = list_layers(model.module, (64, 64), all_modules=True)
    with (
        pytest.raises(ResourceError, match=r"No space left on device.*--scratch-dir"),
        gram_matrices(model, stimuli, layers, Resources(memory=1)),
    ):
        pass
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("n_before", [0, 2, 4])  # of 5 layers the first, one between and the last
def test_full_disk_while_storing_says_what_to_do(model, stimuli, tmp_path, monkeypatch, n_before):
    monkeypatch.setenv("VENTRAL_HOME", str(tmp_path))
    replaced, stored = os.replace, []

    def full(source, target):
        if len(stored) == n_before:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        stored.append(target)
        replaced(source, target)

    monkeypatch.setattr(os, "replace", full)
    layers = list_layers(model.module, (64, 64), all_modules=True)
    with (
        pytest.raises(ResourceError, match=r"No space left on device.*ventral cache prune"),
        gram_matrices(model, stimuli, layers, Resources()),
    ):
        pass
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(map(Path, stored))
    assert len(stored) == n_before < len(layers)


def test_layer_that_is_not_finite_is_refused(model, stimuli):
    broken = _Net().eval()
    nn.init.constant_(broken.conv2.weight, float("nan"))
    from dataclasses import replace

    with pytest.raises(DataIntegrity, match=r"conv2.*finite"):
        _grams(replace(model, module=broken), stimuli)


def _centred(matrix: np.ndarray) -> np.ndarray:
    return matrix - matrix.mean(axis=0) - matrix.mean(axis=1, keepdims=True) + matrix.mean()


@pytest.mark.parametrize(("mean", "scale"), [(0.0, 1.0), (300.0, 1.0), (0.0, 1e18), (0.0, 1e-18), (5.0, 0.0)])
def test_products_keep_their_precision_far_from_zero_and_out_of_range(mean, scale):
    rng = np.random.default_rng(0)
    features = (mean + scale * rng.normal(size=(50, 2 * BLOCK + 5))).astype(np.float32)
    gram = Gram.of(features, [str(i) for i in range(50)])
    wide = features.astype(np.float64)
    np.testing.assert_allclose(gram.matrix, wide @ wide.T, rtol=1e-6, atol=1e-6 * np.abs(wide @ wide.T).max())
    exact = _centred((wide - wide.mean(axis=0)) @ (wide - wide.mean(axis=0)).T)
    np.testing.assert_allclose(_centred(gram.matrix), exact, atol=1e-7 * np.abs(exact).max() + 1e-12 * mean**2 * 8197)


def test_float64_features_are_multiplied_in_float64():
    features = np.random.default_rng(0).normal(size=(50, BLOCK + 5))
    gram = Gram.of(features, [str(i) for i in range(50)])
    np.testing.assert_allclose(gram.matrix, features @ features.T, rtol=1e-12, atol=1e-10)


@pytest.fixture
def tf32_allowed() -> Iterator[None]:
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    yield
    torch.backends.cuda.matmul.allow_tf32 = before


KINDS = [(0.0, 1.0), (300.0, 1.0), (-1e4, 1e-2), (0.0, 1e18), (0.0, 1e-18), (5.0, 0.0)]


def _fold(sums: HostSums | DeviceSums, features: np.ndarray) -> np.ndarray:
    for start in range(0, features.shape[1], BLOCK):
        sums.add(features[:, start : start + BLOCK])
    return sums.matrix()


def _assert_as_on_the_host(device: str, mean: float, scale: float, kind: type, n_stimuli: int = 90) -> None:
    rng = np.random.default_rng(0)
    features = (mean + scale * rng.normal(size=(n_stimuli, 2 * BLOCK + 5))).astype(kind)
    found, host = _fold(DeviceSums(n_stimuli, device), features), _fold(HostSums(n_stimuli), features)
    np.testing.assert_array_equal(found, found.T)
    np.testing.assert_allclose(found, host, rtol=1e-6, atol=1e-6 * np.abs(host).max())
    wide = features.astype(np.float64) - features.astype(np.float64).mean(axis=0)
    exact, tolerance = _centred(wide @ wide.T), 1e-12 if kind is np.float64 else 1e-7
    np.testing.assert_allclose(
        _centred(found), exact, atol=tolerance * np.abs(exact).max() + 1e-12 * mean**2 * features.shape[1]
    )


@pytest.mark.parametrize(("mean", "scale"), KINDS)
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_the_way_of_accelerators_gives_the_products_of_the_host(mean, scale, kind):
    _assert_as_on_the_host("cpu", mean, scale, kind)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("mean", "scale"), KINDS)
@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.usefixtures("tf32_allowed")
def test_cuda_gives_the_products_of_the_host_even_where_tf32_was_allowed(mean, scale, kind):
    _assert_as_on_the_host("cuda", mean, scale, kind, n_stimuli=1000)
    assert torch.backends.cuda.matmul.allow_tf32


def test_triangles_of_several_tiles_are_complete():
    features = np.random.default_rng(0).normal(size=(950, 1200)).astype(np.float32)
    wide = features.astype(np.float64)
    for sums in (HostSums(950), DeviceSums(950, "cpu")):
        np.testing.assert_allclose(_fold(sums, features), wide @ wide.T, atol=1e-3)


@pytest.mark.parametrize("n_features", [20, BLOCK + 30])
def test_a_device_that_is_not_the_host_takes_the_way_of_accelerators(n_features):
    features = np.random.default_rng(0).normal(size=(40, n_features)).astype(np.float32)
    ids = tuple(str(number) for number in range(40))
    kept = []
    for device in ("cpu", "cpu:0"):
        reduction = GRAM.begin(Layer("l", (n_features,), "Linear", 0, True), ids, device)
        for start in range(0, n_features, BLOCK):
            reduction.add(features[:, start : start + BLOCK], start)
        kept.append(GRAM.restore(ids, reduction.finish()))
    expected = _matrix(kept[0])
    np.testing.assert_allclose(_matrix(kept[1]), expected, rtol=1e-6, atol=1e-6 * expected.max())
    for each in kept:
        np.testing.assert_allclose(each.row_sums, features.sum(axis=1, dtype=np.float64), atol=1e-4)
    for device, kind in (("cpu", HostSums), ("cpu:0", DeviceSums)) if n_features > 40 else ():
        assert type(GRAM.begin(Layer("l", (n_features,), "Linear", 0, True), ids, device)._sums) is kind


@pytest.mark.usefixtures("tf32_allowed")
def test_a_device_without_room_says_what_to_do_and_tf32_is_put_back(monkeypatch):
    sums = DeviceSums(40, "cpu")

    def full(*_):
        assert not torch.backends.cuda.matmul.allow_tf32
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch, "from_numpy", full)
    with pytest.raises(ResourceError, match=r"device cpu: .*too little; use another --device"):
        sums.add(np.zeros((40, 3), np.float32))
    assert torch.backends.cuda.matmul.allow_tf32
