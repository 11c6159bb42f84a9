"""Forward passes taken up after a layer: the same bits, and refused wherever anything else is needed."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.stimuli import from_arrays
from model_zoo.contracts import LoadedModel, Preprocessing, WeightsReport
from model_zoo.extraction import Start, extract
from model_zoo.layers import list_layers
from model_zoo.resumption import Resumption
from model_zoo.sources import load_model

N_STIMULI = 21


@pytest.fixture(scope="module")
def stimuli():
    images = np.random.default_rng(0).integers(0, 256, size=(N_STIMULI, 32, 32, 3), dtype=np.uint8)
    return from_arrays({f"s{i:03d}": image for i, image in enumerate(images)}, visual_degrees=8.0)


def _model(net: nn.Module, size: int = 32) -> LoadedModel:
    report = WeightsReport("seed 0", 0, 0)
    return LoadedModel("toy/net", net.eval(), Preprocessing(input_size=(size, size)), report, "toy", "MIT", "none")


def _outputs(model, stimuli, layers, start=None, batch_size=8) -> dict[str, np.ndarray]:
    rows: dict[str, list[np.ndarray]] = {layer.name: [] for layer in layers}

    def keep(name: str, row: int, features: np.ndarray) -> None:
        rows[name].append(features.copy())

    extract(model, stimuli, layers, keep, batch_size=batch_size, start=start)
    return {name: np.concatenate(parts) for name, parts in rows.items()}


def _cuts(model, stimuli) -> dict[str, bool]:
    """Whether a pass can be taken up after each layer; where it can, every later layer has the bits of a whole pass."""
    layers = list_layers(model.module, model.preprocessing.input_size, all_modules=True)
    resumption, whole = Resumption(model, stimuli, layers, "cpu", None), _outputs(model, stimuli, layers)
    found = {}
    for number, layer in enumerate(layers[:-1]):
        cut = resumption.after(layer)
        found[layer.name] = cut is not None
        if cut is not None:
            kept = whole[layer.name].reshape(N_STIMULI, *layer.shape)
            before = kept.copy()
            start = Start(cut, lambda row, n_rows, kept=kept: kept[row : row + n_rows])
            for name, features in _outputs(model, stimuli, layers[number + 1 :], start).items():
                np.testing.assert_array_equal(features, whole[name], err_msg=f"{name} after {layer.name}")
            np.testing.assert_array_equal(kept, before)
    assert resumption.after(layers[-1]) is None
    return found


class _Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.inner = nn.Conv2d(4, 4, 3, padding=1)
        self.outer = nn.Conv2d(4, 2, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.stem(x))
        out = self.inner(x)
        out += x
        return self.outer(self.relu(out))


def test_a_shortcut_around_a_layer_is_seen(stimuli):
    found = _cuts(_model(_Residual()), stimuli)  # and what is added to in place has to be computed
    assert found == {"stem": True, "relu": True, "inner": False, "relu#2": False}


@pytest.mark.parametrize(
    ("name", "blocks"),
    [
        ("torchvision/resnet18", ("maxpool", "layer1.1", "layer3.0", "layer4.1")),
        ("torchvision/shufflenet_v2_x0_5", ("maxpool", "stage2.3", "conv5")),
        ("timm/vit_tiny_patch16_224", ("blocks.0", "blocks.5", "norm")),
    ],
)
def test_real_networks_are_taken_up_behind_their_blocks(name, blocks, stimuli):
    from dataclasses import replace

    size = 224 if "vit" in name else 64
    model = replace(load_model(name, seed=0), preprocessing=Preprocessing(input_size=(size, size)))
    layers = list_layers(model.module, (size, size))
    resumption, whole = Resumption(model, stimuli, layers, "cpu", None), _outputs(model, stimuli, layers)
    for number, layer in enumerate(layers):
        if layer.name in blocks:
            cut = resumption.after(layer)
            assert cut is not None
            kept = whole[layer.name].reshape(N_STIMULI, *layer.shape)
            start = Start(cut, lambda row, n_rows, kept=kept: kept[row : row + n_rows])
            for later, features in _outputs(model, stimuli, layers[number + 1 :], start).items():
                np.testing.assert_array_equal(features, whole[later], err_msg=f"{later} after {layer.name}")


def test_nothing_before_the_cut_runs_and_the_model_is_left_as_it_was(stimuli, monkeypatch):
    model = load_model("torchvision/resnet18", seed=0)
    layers = list_layers(model.module, (224, 224))
    (here,) = (layer for layer in layers if layer.name == "layer2.1")
    cut, ran = Resumption(model, stimuli, layers, "cpu", None).after(here), set()
    for path, part in model.module.named_modules():
        if not list(part.children()):
            forward = part.forward
            monkeypatch.setattr(part, "forward", lambda x, path=path, forward=forward: ran.add(path) or forward(x))
    patched = {path: vars(part)["forward"] for path, part in model.module.named_modules() if not list(part.children())}
    kept = np.zeros((N_STIMULI, *here.shape), np.float32)
    later = layers[layers.index(here) + 1 :]
    _outputs(model, stimuli, later, Start(cut, lambda row, n_rows: kept[row : row + n_rows]))
    assert {path.split(".")[0] for path in ran} == {"layer3", "layer4", "avgpool", "fc"}
    own = {path: vars(part)["forward"] for path, part in model.module.named_modules() if "forward" in vars(part)}
    assert own == patched


class _Loop(nn.Module):
    """One module called again and again, its state from call to call."""

    def __init__(self, skip: bool) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.again = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU())
        self.last = nn.Conv2d(4, 2, 3)
        self.skip = skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state = first = self.first(x)
        for _ in range(3):
            state = self.again(state + first if self.skip else state)
        return self.last(state)


def test_calls_of_one_module_are_counted_from_the_cut(stimuli):
    found = _cuts(_model(_Loop(skip=False)), stimuli)
    assert all(found.values())
    assert {"again", "again#2", "again#3", "again.0#2"} <= set(found)
    found = _cuts(_model(_Loop(skip=True)), stimuli)
    assert found == {name: name in ("first", "again#3", "again.0#3", "again.1#3") for name in found}


class _Odd(nn.Module):
    """Parts that answer with tuples, dicts and sizes, and operations between them that are no modules."""

    class _Pair(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
            return x.relu(), OrderedDict(half=x / 2)

    def __init__(self, how: str) -> None:
        super().__init__()
        self.stem, self.pair = nn.Conv2d(3, 4, 3), self._Pair()
        self.one, self.two = nn.Conv2d(4, 4, 3), nn.Conv2d(4, 2, 3)
        self.how = how

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        whole, halves = self.pair(self.stem(x - 0.5) * 2)
        out = self.one(whole + halves["half"])
        if self.how == "value":  # what came before is read where NaN does not show
            return self.two(out * (1 + (halves["half"].sum() > 0)))
        if self.how == "branch" and float(whole.max()) > 0.1:
            return self.two(out * 2)
        return self.two(out.nan_to_num(0) + (halves["half"].nan_to_num(1).mean() if self.how == "hidden" else 0))


@pytest.mark.parametrize("how", ["", "value", "branch", "hidden"])
def test_dependence_that_nan_does_not_show_is_found_by_the_bits(stimuli, how):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        net = _Odd(how)
    nn.init.constant_(net.stem.bias, 3.0)
    found = _cuts(_model(net), stimuli)
    assert found["one"] == (how == "")
    assert not found.get("pair[0]", False)


def test_what_stands_in_for_earlier_parts_is_as_long_as_the_batch(stimuli):
    class Counts(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self[0](x)
            return self[2](self[1](x).reshape(len(x), 4, 28, 28))

    assert _cuts(_model(Counts(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 2, 3))), stimuli) == {
        "0": True,
        "1": True,
    }


def test_a_model_that_cannot_be_taken_up_is_not(stimuli):
    class Refuses(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if not x.isfinite().all():
                raise ValueError("what is this?")
            return super().forward(x)

    net = Refuses(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3))
    assert not any(_cuts(_model(net), stimuli).values())
    few = stimuli.subset(stimuli.ids[:2])
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3))
    layers = list_layers(net.eval(), (32, 32), all_modules=True)
    assert Resumption(_model(net), few, layers, "cpu", None).after(layers[0]) is None
    assert Resumption(_model(net), stimuli, layers, "cpu", None).after(layers[0]) is not None


def test_a_batch_that_does_not_fit_is_taken_again_from_what_was_kept(stimuli, monkeypatch):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3))
    model = _model(net)
    layers = list_layers(net, (32, 32), all_modules=True)
    whole = _outputs(model, stimuli, layers)
    cut, forward = Resumption(model, stimuli, layers, "cpu", None).after(layers[1]), net[2].forward

    def small_only(x: torch.Tensor) -> torch.Tensor:
        if len(x) > 4:
            raise torch.OutOfMemoryError("too large")
        return forward(x)

    monkeypatch.setattr(net[2], "forward", small_only)
    kept = whole["1"].reshape(N_STIMULI, *layers[1].shape)
    again = _outputs(
        model, stimuli, layers[2:], Start(cut, lambda row, n_rows: kept[row : row + n_rows]), batch_size=16
    )
    np.testing.assert_allclose(again["2"], whole["2"], rtol=1e-5, atol=1e-6)
