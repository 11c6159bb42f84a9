"""Costs equal torchvision's published counts and closed forms."""

import pytest
import torch
import torchvision
from torch import nn

from model_zoo import load_model
from model_zoo.contracts import LoadedModel, Preprocessing, WeightsReport
from model_zoo.cost import describe
from model_zoo.errors import InvalidOption


def loaded(module, input_size):
    return LoadedModel("toy", module.eval(), Preprocessing(input_size), WeightsReport("seed 0", 0, 0), "", "", "")


@pytest.mark.parametrize("architecture", ["resnet18", "mobilenet_v3_small"])
def test_counts_equal_torchvisions_published_ones(architecture):
    published = torchvision.models.get_model_weights(architecture).DEFAULT.meta
    cost = describe(load_model(f"torchvision/{architecture}"), batch_size=1)
    assert cost.n_parameters == published["num_params"]
    assert cost.macs / 1e9 == pytest.approx(published["_ops"], rel=0.02, abs=6e-4)
    assert cost.flops == 2 * cost.macs


def test_closed_form_for_one_convolution():
    cost = describe(loaded(nn.Sequential(nn.Conv2d(3, 5, 3, bias=False)), (10, 12)), batch_size=2)
    assert cost.n_parameters == 5 * 3 * 9
    assert cost.macs == 5 * 8 * 10 * 3 * 9  # one stimulus, whatever the batch
    assert cost.activation_bytes == 4 * 5 * 8 * 10
    assert [layer.name for layer in cost.layers] == ["0"]
    assert (cost.batch_size, cost.device) == (2, "cpu")
    assert cost.throughput > 0


def test_closed_form_for_attention():
    # The fused kernel of nn.MultiheadAttention hides its products from torch's counter.
    width, hidden, n_tokens = 8, 16, 5
    vit = torchvision.models.VisionTransformer(32, 16, 1, 2, width, hidden, num_classes=10)
    per_token = 4 * width * width + 2 * n_tokens * width + 2 * width * hidden  # q k v out, scores and values, MLP
    expected = 4 * width * 3 * 16 * 16 + n_tokens * per_token + width * 10
    assert describe(loaded(vit, (32, 32)), batch_size=1).macs == expected


class Hungry(nn.Module):
    """Holds `n_bytes` for a moment, and notes the size of every batch."""

    def __init__(self, n_bytes):
        super().__init__()
        self.n_bytes, self.batches = n_bytes, []
        self.last = nn.Flatten()

    def forward(self, x):
        self.batches.append(len(x))
        torch.ones(self.n_bytes // 4).cumsum(0)
        return self.last(x)


def test_peak_memory_sees_what_is_held_only_during_the_pass():
    n_bytes = 256 * 2**20
    small = describe(loaded(Hungry(4), (4, 4)), batch_size=3)
    module = Hungry(n_bytes)
    large = describe(loaded(module, (4, 4)), batch_size=3)
    assert n_bytes < large.peak_memory_bytes - small.peak_memory_bytes < 3 * n_bytes
    assert module.batches[-4:] == [3, 3, 3, 3]  # one warm-up and three timed


def test_fused_attention_is_switched_back_on():
    torch.backends.mha.set_fastpath_enabled(True)  # torch's default
    describe(loaded(nn.Sequential(nn.Flatten()), (4, 4)), batch_size=1)
    assert torch.backends.mha.get_fastpath_enabled()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch size: expected at least 1, got 0"),
        ({"device": "nonsense"}, "device 'nonsense': expected a device of this machine"),
    ],
)
def test_invalid_options(options, message):
    with pytest.raises(InvalidOption, match=message):
        describe(load_model("timm/test_resnet"), **options)
