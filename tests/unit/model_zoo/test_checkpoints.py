"""Weights files in every usual shape are read without running their code, and must fill the architecture exactly."""

import argparse
import os
import pickle
import re

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from model_zoo import load_model
from model_zoo.checkpoints import read_checkpoint
from model_zoo.errors import CheckpointError
from model_zoo.weights import load_weights

NAME = "timm/test_resnet"


def weights(seed, num_classes=1000):
    """The state dict of another draw of the test network."""
    torch.manual_seed(seed)
    return timm.create_model("test_resnet", num_classes=num_classes).state_dict()


@pytest.fixture(scope="module")
def plain():
    return weights(11)


@pytest.fixture(scope="module")
def averaged():
    return weights(12)


def prefixed(state, prefix):
    return {f"{prefix}.{name}": tensor for name, tensor in state.items()}


def saved(content, folder, name="weights.pt"):
    torch.save(content, folder / name)
    return folder / name


def assert_filled(model, state):
    loaded = model.module.state_dict()
    assert loaded.keys() == state.keys()
    for name, tensor in state.items():
        assert torch.equal(loaded[name], tensor), name
    assert model.weights.share_loaded == 1
    assert model.weights.missing == model.weights.unexpected == ()


def refusal(path, **options):
    with pytest.raises(CheckpointError) as caught:
        load_model(NAME, weights=path, **options)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("key", ["state_dict", "model", "model_state", "model_state_dict", "net", "network", "module"])
def test_usual_keys(key, plain, tmp_path):
    content = {"epoch": 3, "best": torch.tensor(0.7), key: plain, "optimizer": {"state": {}, "param_groups": []}}
    assert_filled(load_model(NAME, weights=saved(content, tmp_path)), plain)


@pytest.mark.parametrize("suffix", ["pt", "pth", "bin", "ckpt"])
def test_bare_state_dict_under_every_suffix(suffix, plain, tmp_path):
    assert_filled(load_model(NAME, weights=saved(plain, tmp_path, f"weights.{suffix}")), plain)


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_safetensors_are_known_by_content(suffix, plain, tmp_path):
    save_file(plain, tmp_path / f"weights.{suffix}")
    model = load_model(NAME, weights=tmp_path / f"weights.{suffix}")
    assert_filled(model, plain)
    assert model.weights.source == str(tmp_path / f"weights.{suffix}")


def test_torch_files_of_before_2020(plain, tmp_path):
    torch.save(plain, tmp_path / "weights.pth", _use_new_zipfile_serialization=False)
    assert_filled(load_model(NAME, weights=tmp_path / "weights.pth"), plain)


@pytest.mark.parametrize(
    "prefixes",
    [["module"], ["_orig_mod"], ["model"], ["net"], ["_orig_mod", "module"], ["module", "model", "backbone"]],
)
def test_wrappers_prefixes_are_taken_off(prefixes, plain, tmp_path):
    state = plain
    for prefix in reversed(prefixes):
        state = prefixed(state, prefix)
    assert_filled(load_model(NAME, weights=saved({"state_dict": state}, tmp_path)), plain)


def test_wrapped_module_is_what_torch_saves(plain, tmp_path):
    module = timm.create_model("test_resnet")
    module.load_state_dict(plain)
    path = saved(nn.DataParallel(torch.compile(module)).state_dict(), tmp_path)
    assert_filled(load_model(NAME, weights=path), plain)


@pytest.mark.parametrize("key", ["state_dict_ema", "model_ema", "ema", "ema_state_dict", "teacher"])
def test_ema_is_chosen_only_on_request(key, plain, averaged, tmp_path):
    path = saved({"student" if key == "teacher" else "model": plain, key: averaged}, tmp_path)
    without, with_ema = load_model(NAME, weights=path), load_model(NAME, weights=path, ema=True)
    assert_filled(without, plain)
    assert_filled(with_ema, averaged)
    assert (without.weights.ema, with_ema.weights.ema) == (False, True)
    assert "also holds EMA weights" in without.weights.source
    assert with_ema.weights.source == str(path)
    assert without.identity != with_ema.identity


def test_ema_as_torch_averages_it(plain, averaged, tmp_path):
    module = timm.create_model("test_resnet")
    module.load_state_dict(averaged)
    ema = torch.optim.swa_utils.AveragedModel(module).state_dict()  # "module." prefix and a count
    assert_filled(load_model(NAME, weights=saved({"model": plain, "model_ema": ema}, tmp_path), ema=True), averaged)


@pytest.mark.parametrize("nested", [False, True])
def test_ema_inside_other_records(nested, plain, averaged, tmp_path):
    flat = {**prefixed(plain, "model"), **prefixed(averaged, "ema_model")}
    content = {"state_dict": flat} if nested else {"model": plain, "ema": {"decay": 0.9, "shadow": averaged}}
    path = saved(content, tmp_path)
    assert_filled(load_model(NAME, weights=path), plain)
    assert_filled(load_model(NAME, weights=path, ema=True), averaged)


def test_ema_missing_or_alone(plain, averaged, tmp_path):
    message = refusal(saved({"model": plain}, tmp_path, "plain.pt"), ema=True)
    assert "got only plain weights; leave out --ema" in message
    message = refusal(saved({"best": torch.ones(1), "state_dict_ema": averaged}, tmp_path, "ema.pt"))
    assert "expected plain weights, got only EMA weights; pass --ema" in message


@pytest.mark.parametrize("name", ["timm/test_vit", "torchvision/squeezenet1_1", "torchvision/mnasnet0_5", NAME])
def test_head_of_another_width(name, tmp_path):
    family, architecture = name.split("/")
    if family == "timm":
        state = timm.create_model(architecture, num_classes=7).state_dict()
    else:
        state = torchvision.models.get_model(architecture, num_classes=7).state_dict()
    assert_filled(load_model(name, weights=saved(state, tmp_path)), state)


def test_names_of_older_torchvision_vit_files(tmp_path):
    def network():
        return torchvision.models.VisionTransformer(32, 16, 2, 2, 8, 16)

    old = {
        name.replace(".mlp.0.", ".mlp.linear_1.").replace(".mlp.3.", ".mlp.linear_2."): torch.rand_like(tensor)
        for name, tensor in network().state_dict().items()
    }
    ours, theirs = network(), network()
    theirs.load_state_dict(old)  # converts by itself
    load_weights(ours, read_checkpoint(saved(old, tmp_path)), model="ViT")
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], tensor), name


def test_names_of_older_torchvision_densenet_files(tmp_path):
    # As in densenet121-a639ec97.pth: "features.denseblock1.denselayer1.norm.1.weight".
    network = torchvision.models.DenseNet(4, (2, 2), 8)
    new = network.state_dict()
    old = {re.sub(r"(denselayer.\.(?:norm|conv))([12])", r"\1.\2", name): tensor + 1 for name, tensor in new.items()}
    assert "features.denseblock1.denselayer2.norm.1.weight" in old
    expected = {name: tensor + 1 for name, tensor in new.items()}
    load_weights(network, read_checkpoint(saved(old, tmp_path)), model="DenseNet")
    for name, tensor in expected.items():
        assert torch.equal(network.state_dict()[name], tensor), name


def test_batch_counters_may_be_absent(plain, tmp_path):
    state = {name: tensor for name, tensor in plain.items() if "num_batches_tracked" not in name}
    assert len(state) < len(plain)
    report = load_model(NAME, weights=saved(state, tmp_path)).weights
    assert (report.n_loaded, report.n_expected, report.missing) == (len(state), len(state), ())


def test_half_precision_is_widened(plain, tmp_path):
    half = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in plain.items()}
    model = load_model(NAME, weights=saved(half, tmp_path))
    assert model.module.fc.weight.dtype == torch.float32
    assert torch.equal(model.module.fc.weight, half["fc.weight"].float())


def test_timm_training_options_are_inert(plain, tmp_path):
    content = {"state_dict": plain, "arch": "test_resnet", "args": argparse.Namespace(lr=0.1, crop=(1, 2))}
    assert_filled(load_model(NAME, weights=saved(content, tmp_path)), plain)


def test_part_of_a_checkpoint_needs_partial(plain, tmp_path):
    state = {name: tensor for name, tensor in plain.items() if not name.startswith("layer4")}
    state["extra.weight"] = torch.ones(1)
    path = saved(state, tmp_path)
    n_missing = len(plain) - len(state) + 1
    n_counters = sum("num_batches_tracked" in name for name in plain.keys() - state.keys())
    n_expected = len(plain) - n_counters
    n_loaded = len(state) - 1
    message = refusal(path)
    assert (
        f"expected all {n_expected} keys of {NAME}, and no others, got {n_loaded} ({n_loaded / n_expected:.0%})"
        in message
    )
    assert "missing layer4.0.conv1.weight, layer4.0.bn1.weight, " in message
    assert "unexpected extra.weight" in message
    assert "--partial" in message
    model = load_model(NAME, seed=3, weights=path, partial=True)
    assert (model.weights.n_loaded, len(model.weights.missing)) == (n_loaded, n_missing - n_counters)
    assert model.weights.unexpected == ("extra.weight",)
    assert torch.equal(model.module.conv1[0].weight, plain["conv1.0.weight"])
    drawn = load_model(NAME, seed=3).module.layer4[0].conv1.weight
    assert torch.equal(model.module.layer4[0].conv1.weight, drawn)


def test_deeper_relative_is_refused(tmp_path):
    # Holds every key of resnet18 in the right shape, and more.
    path = saved({"arch": "resnet34", "state_dict": timm.create_model("resnet34").state_dict()}, tmp_path)
    with pytest.raises(CheckpointError, match=r"\(100%\); unexpected layer1.2.conv1.weight.*the file says 'resnet34'"):
        load_model("timm/resnet18", weights=path)


def test_other_shapes_are_named(plain, tmp_path):
    state = {**plain, "conv1.0.weight": torch.zeros(8, 3, 5, 5), "layer1.0.conv1.weight": torch.zeros(1)}
    shape = list(plain["conv1.0.weight"].shape)
    assert f"other shapes: conv1.0.weight [8, 3, 5, 5] instead of {shape}, layer1.0" in refusal(saved(state, tmp_path))


def test_wrong_architecture_never_loads_nothing(tmp_path):
    path = saved(nn.Linear(2, 2).state_dict(), tmp_path)
    message = refusal(path, partial=True)
    assert "got 0 (0%)" in message
    assert message.endswith(f"check that these weights are of {NAME}")


def test_diverged_weights_are_refused(plain, tmp_path):
    state = {**plain, "fc.weight": torch.full_like(plain["fc.weight"], torch.nan)}
    assert "expected finite weights, got NaN or infinity in fc.weight" in refusal(saved(state, tmp_path))


class Payload:
    """Runs a command when unpickled carelessly."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("zipped", [True, False])
def test_pickled_code_is_refused_by_name_and_never_runs(zipped, plain, tmp_path):
    content = {"state_dict": plain, "payload": Payload(f"touch {tmp_path / 'ran'}")}
    torch.save(content, tmp_path / "weights.pt", _use_new_zipfile_serialization=zipped)
    message = refusal(tmp_path / "weights.pt")
    assert f"got a pickled {os.system.__module__}.system, which could run code and was not loaded" in message
    assert "torch.save(model.state_dict(), FILE)" in message
    assert not (tmp_path / "ran").exists()
    torch.load(tmp_path / "weights.pt", weights_only=False)  # the payload is live
    assert (tmp_path / "ran").exists()


def test_whole_module_is_refused_by_name(tmp_path):
    path = saved(timm.create_model("test_resnet"), tmp_path)
    assert "a pickled timm.models.resnet.ResNet" in refusal(path)


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"", "an empty file"),
        (b"plain text, and rather more than eight bytes of it", "bytes that are no checkpoint"),
        (b"\n<!DOCTYPE html><html>Sign in</html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a Git LFS pointer"),
        (pickle.dumps([1, 2]), "bytes that are no checkpoint"),
        (b"\x08\0\0\0\0\0\0\0{brokenx" + bytes(99), "bytes that are no checkpoint"),
    ],
)
@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
def test_not_a_checkpoint(content, got, name, tmp_path):
    (tmp_path / name).write_bytes(content)
    assert f"expected a safetensors or torch checkpoint, got {got}" in refusal(tmp_path / name)


@pytest.mark.parametrize("save", [torch.save, save_file])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.999])
def test_damaged_download(save, share, plain, tmp_path):
    path = tmp_path / "weights.pt"
    save(plain, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    assert "or a damaged one; copy or download it again" in refusal(path)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_torchscript(tmp_path):
    torch.jit.script(nn.Linear(2, 2)).save(tmp_path / "program.pt")
    assert "a TorchScript program" in refusal(tmp_path / "program.pt")


@pytest.mark.parametrize(
    ("content", "got"),
    [
        ([torch.ones(1)], "got a list"),
        ({"epoch": 3, "loss": 0.1}, "got the keys epoch, loss"),
        ({}, "got an empty file"),
    ],
)
def test_no_state_dict_inside(content, got, tmp_path):
    assert got in refusal(saved(content, tmp_path))


def test_missing_file_names_its_neighbours(plain, tmp_path):
    path = saved(plain, tmp_path, "resnet_best.pt")
    message = refusal(tmp_path / "resnet_bets.pt")
    assert f"expected a weights file, got nothing there; did you mean {path}?" in message
    assert f"got a folder; did you mean {path}?" in refusal(tmp_path)
    assert f"got no folder {tmp_path / 'no'}; check the path" in refusal(tmp_path / "no" / "file.pt")


@pytest.mark.parametrize("address", ["https://example.org/weights.pt", "hf:timm/resnet18"])
def test_addresses_are_not_files(address):
    assert "expected a local file, got an address" in refusal(address)


def test_file_hash_is_recorded(plain, tmp_path):
    import hashlib

    path = saved(plain, tmp_path)
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    assert read_checkpoint(path).sha256 == load_model(NAME, weights=path).weights.sha256 == expected


def test_one_flipped_byte_in_a_tensor_is_refused(tmp_path):
    path = tmp_path / "weights.pt"
    torch.save({"weight": torch.randn(200, 200)}, path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    assert len(torch.load(path, weights_only=True)) == 1  # torch itself does not notice
    with pytest.raises(CheckpointError, match=r"other bytes in .*data/0; copy or download it again"):
        read_checkpoint(path)
