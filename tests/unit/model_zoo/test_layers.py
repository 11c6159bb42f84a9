"""Layers are listed in execution order with true shapes, chosen by name, and read at the moment they exist."""

import pytest
import timm
import torch
import torchvision
from torch import nn
from torchvision.models.efficientnet import FusedMBConv, FusedMBConvConfig

from model_zoo.errors import InvalidOption, ShapeMismatch, UnknownName
from model_zoo.layers import Taps, list_layers
from model_zoo.selection import select_layers


class Branches(nn.Module):
    """Returns a dict of a tensor and a tuple of a tensor and an integer tensor."""

    def forward(self, x):
        return {"mean": x.mean((2, 3)), "pair": (2 * x, x.argmax(1))}


class Toy(nn.Module):
    """A repeated module, nested outputs, an in-place ReLU, a module that never runs, and outputs without batch axis."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.mix = nn.Conv2d(4, 4, 1)
        self.branches = Branches()
        self.to_sequence = nn.Flatten(2)
        self.sequence_first = nn.Linear(4, 5)
        self.unused = nn.Linear(2, 2)

    def forward(self, x):
        x = self.relu(self.conv(x))
        x = self.relu(self.mix(x))
        x = self.branches(x)["pair"][0]
        return self.sequence_first(self.to_sequence(x).permute(2, 0, 1))


@pytest.fixture
def toy():
    torch.manual_seed(0)
    return Toy().eval()


@pytest.fixture(scope="module")
def resnet():
    return torchvision.models.resnet18(weights=None).eval()


def read(module, names, batch):
    outputs = {}
    with Taps(module, names) as taps:
        taps.run(batch, lambda name, output: outputs.update({name: output.clone()}))
    return outputs


def n_hooks(module):
    return sum(len(child._forward_hooks) for child in module.modules())


def test_toy_lists_repeats_nested_outputs_and_leaves_out_what_has_no_batch(toy):
    layers = list_layers(toy, (8, 6), all_modules=True)
    assert [(layer.name, layer.shape, layer.kind) for layer in layers] == [
        ("conv", (4, 8, 6), "Conv2d"),
        ("relu", (4, 8, 6), "ReLU"),
        ("mix", (4, 8, 6), "Conv2d"),
        ("relu#2", (4, 8, 6), "ReLU"),
        ("branches[mean]", (4,), "Branches"),
        ("branches[pair][0]", (4, 8, 6), "Branches"),
        ("to_sequence", (4, 48), "Flatten"),
    ]
    assert [layer.order for layer in layers] == list(range(7))
    assert layers[0].n_features == 4 * 8 * 6
    assert n_hooks(toy) == 0


def test_resnet_candidates(resnet):
    names = [layer.name for layer in list_layers(resnet, (64, 64))]
    blocks = [f"layer{stage}.{block}" for stage in (1, 2, 3, 4) for block in (0, 1)]
    assert names == ["conv1", "bn1", "relu", "maxpool", *blocks, "avgpool", "fc"]


@pytest.mark.parametrize(
    ("build", "expected", "unexpected"),
    [
        (lambda: timm.create_model("test_vit"), ["patch_embed", "blocks.0", "blocks.5", "norm", "head"], ["pos_drop"]),
        (lambda: timm.create_model("test_convnext"), ["stages.0.blocks.0", "stages.2.blocks.3"], ["stages.0"]),
        (lambda: timm.create_model("test_maxvit"), ["stem", "stages.0.blocks.0", "stages.3.blocks.0"], []),
        (lambda: timm.create_model("test_efficientnet"), ["blocks.0.0", "conv_head"], ["blocks.0.0.conv_pw"]),
        (lambda: timm.create_model("regnetx_002"), ["stem", "s2", "s3.b1", "s3.b4", "s4.b7"], ["s3", "s4.b7.conv1"]),
        (lambda: timm.create_model("edgenext_xx_small"), ["stages.1.blocks.0", "stages.1.blocks.1"], ["stages.1"]),
        (lambda: torchvision.models.mobilenet_v2(), ["features.0", "features.1", "features.18"], ["features.0.0"]),
        (lambda: torchvision.models.squeezenet1_1(), ["features.0", "features.3"], ["features.3.expand1x1"]),
        (
            lambda: torchvision.models.VisionTransformer(160, 32, 2, 4, 64, 128),
            [
                "conv_proj",
                "encoder.layers.encoder_layer_0",
                "encoder.layers.encoder_layer_1",
                "encoder.ln",
                "heads.head",
            ],
            ["encoder", "encoder.dropout"],
        ),
        (
            lambda: torchvision.models.SwinTransformer([4, 4], 16, [1, 2], [2, 2], [5, 5]),
            ["features.1.0", "features.2", "features.3.0", "features.3.1", "norm", "head"],
            ["features.3", "features.3.0.attn"],
        ),
        (
            lambda: torchvision.models.vgg11(),
            ["features.0", "features.1", "features.20", "classifier.6"],
            ["classifier.2"],
        ),
    ],
)
def test_candidates_are_blocks_and_what_stands_beside_them(build, expected, unexpected):
    names = [layer.name for layer in list_layers(build().eval(), (160, 160))]
    assert [name for name in names if name in expected] == expected
    assert not set(unexpected) & set(names)


def test_a_convolution_with_its_norm_is_no_block():
    config = FusedMBConvConfig(4, 3, 1, 3, 8, 1)  # expands, then projects: a list of two convolutions inside
    net = nn.Sequential(FusedMBConv(config, 0, nn.BatchNorm2d), nn.ReLU())
    assert [layer.name for layer in list_layers(net.eval(), (8, 8))] == ["0", "1"]


def test_windows_folded_into_the_batch_are_left_out():
    window_first = []
    swin = timm.create_model("swin_tiny_patch4_window7_224", img_size=56, depths=(1, 1), embed_dim=12).eval()
    hook = swin.layers[0].blocks[0].attn.register_forward_hook(lambda _m, _i, out: window_first.append(len(out)))
    swin(torch.zeros(3, 3, 56, 56))
    hook.remove()
    assert window_first == [12]  # 3 stimuli x 4 windows
    names = [layer.name for layer in list_layers(swin, (56, 56), all_modules=True)]
    assert "layers.0.blocks.0.attn" not in names
    assert "layers.0.blocks.0" in names
    with pytest.raises(ShapeMismatch, match="expected 2 stimuli on axis 0, got shape"):
        read(swin, ["layers.0.blocks.0.attn"], torch.zeros(2, 3, 56, 56))


def test_wrong_input_size_is_explained():
    vit = timm.create_model("vit_tiny_patch16_224", depth=1).eval()
    with pytest.raises(ShapeMismatch, match=r"at 64 x 64 pixels.*use the model's own input size"):
        list_layers(vit, (64, 64))
    assert n_hooks(vit) == 0


def test_select(resnet):
    layers = list_layers(resnet, (64, 64), all_modules=True)

    def chosen(*spec):
        return [layer.name for layer in select_layers(spec, layers)]

    assert chosen("layer3") == ["layer3"]  # a stage, no candidate
    assert chosen("fc", "conv1", "conv1") == ["conv1", "fc"]  # execution order, once
    assert chosen("layer4.1.bn*") == ["layer4.1.bn1", "layer4.1.bn2"]
    assert chosen("auto") == chosen("blocks") == [layer.name for layer in list_layers(resnet, (64, 64))]
    assert chosen("all") == [layer.name for layer in layers]
    with pytest.raises(UnknownName, match="did you mean layer3"):
        chosen("layer3", "layer33")


def test_select_takes_brackets_and_repeats_literally(toy):
    layers = list_layers(toy, (8, 8), all_modules=True)
    chosen = select_layers(["branches[pair]*", "branches[m*", "relu#2"], layers)
    assert [layer.name for layer in chosen] == ["relu#2", "branches[mean]", "branches[pair][0]"]


def test_taps_read_what_the_modules_compute(toy):
    batch = torch.rand(2, 3, 8, 8)
    outputs = read(toy, ["conv", "relu", "relu#2", "branches[mean]", "branches[pair][0]"], batch)
    conv = toy.conv(batch)
    twice = toy.mix(conv.relu()).relu()
    expected = {
        "conv": conv,  # read before the in-place ReLU overwrites it
        "relu": conv.relu(),
        "relu#2": twice,
        "branches[mean]": twice.mean((2, 3)),
        "branches[pair][0]": 2 * twice,
    }
    assert outputs.keys() == expected.keys()
    for name, output in outputs.items():
        torch.testing.assert_close(output, expected[name], rtol=0, atol=0, msg=name)


def test_every_listed_layer_can_be_read_with_its_listed_shape():
    vit = timm.create_model("test_vit").eval()
    layers = list_layers(vit, (160, 160), all_modules=True)
    outputs = read(vit, [layer.name for layer in layers], torch.zeros(2, 3, 160, 160))
    assert {name: tuple(output.shape[1:]) for name, output in outputs.items()} == {
        layer.name: layer.shape for layer in layers
    }


def test_forward_stops_after_the_last_layer_needed(resnet):
    ran = []
    watch = resnet.layer3.register_forward_pre_hook(lambda *_: ran.append("layer3"))
    read(resnet, ["conv1", "layer2.1"], torch.zeros(1, 3, 64, 64))
    assert ran == []
    read(resnet, ["layer3.0"], torch.zeros(1, 3, 64, 64))
    assert ran == ["layer3"]
    watch.remove()


def test_taps_can_run_many_batches(toy):
    sizes = []
    with Taps(toy, ["relu#2"]) as taps:
        for n_batch in (2, 3):
            taps.run(torch.zeros(n_batch, 3, 8, 8), lambda _name, output: sizes.append(len(output)))
    assert sizes == [2, 3]


def test_hooks_are_gone_after_an_error(toy):
    hooks_seen = []

    def fail(name, output):
        hooks_seen.append(n_hooks(toy))
        raise KeyError("the consumer's own")

    with pytest.raises(KeyError, match="the consumer's own"), Taps(toy, ["conv"]) as taps:
        taps.run(torch.zeros(1, 3, 8, 8), fail)
    assert hooks_seen == [1]
    assert n_hooks(toy) == 0


@pytest.mark.parametrize("name", ["unused", "conv#2"])
def test_a_layer_that_never_runs_is_an_error(toy, name):
    with pytest.raises(InvalidOption, match=f"layer '{name}'.*a layer whose module runs"):
        read(toy, [name], torch.zeros(1, 3, 8, 8))


@pytest.mark.parametrize("name", ["cnov", "", "[0]", "conv#x"])
def test_unknown_layers_are_refused_before_anything_runs(toy, name):
    with pytest.raises(UnknownName, match="expected a known layer"):
        Taps(toy, [name])


def test_element_that_does_not_exist_names_those_that_do(toy):
    with pytest.raises(UnknownName, match=r"branches\[mean\]"):
        read(toy, ["branches[men]"], torch.zeros(1, 3, 8, 8))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("branches[pair][1]", "expected a floating-point tensor, got torch.int64"),
        ("sequence_first", "expected 2 stimuli on axis 0, got shape \\(64, 2, 5\\)"),
    ],
)
def test_outputs_that_cannot_be_joined_to_stimuli_are_refused(toy, name, message):
    with pytest.raises(ShapeMismatch, match=message):
        read(toy, [name], torch.zeros(2, 3, 8, 8))
