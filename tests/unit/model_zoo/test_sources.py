"""Models are the same for the same seed, leave no trace in the random state, and are identified by their content."""

import subprocess
import sys

import pytest
import timm
import torch
import torchvision

from model_zoo import get_model_card, load_model
from model_zoo.contracts import Preprocessing
from model_zoo.errors import InvalidOption, UnknownName
from model_zoo.layers import list_layers
from model_zoo.seeding import seeded

NAME = "timm/test_vit"


def test_seed_decides_the_weights_and_nothing_else():
    before = torch.random.get_rng_state()
    first, again, other = load_model(NAME, seed=0), load_model(NAME, seed=0), load_model(NAME, seed=1)
    assert torch.equal(before, torch.random.get_rng_state())
    for name, tensor in first.module.state_dict().items():
        assert torch.equal(tensor, again.module.state_dict()[name]), name
    assert not torch.equal(first.module.head.weight, other.module.head.weight)
    assert first.identity == again.identity != other.identity
    assert first.weights.source == "seed 0"
    assert not first.module.training


def test_seed_is_torchs_own():
    torch.manual_seed(5)
    expected = torchvision.models.resnet18(weights=None).state_dict()
    for name, tensor in load_model("torchvision/resnet18", seed=5).module.state_dict().items():
        assert torch.equal(tensor, expected[name]), name


def test_random_state_returns_after_an_error():
    before = torch.random.get_rng_state()
    with pytest.raises(KeyError), seeded(0):
        raise KeyError(torch.rand(1))
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.once
def test_identity_is_the_same_in_another_process():
    code = f"from model_zoo import load_model; print(load_model({NAME!r}).identity)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == load_model(NAME).identity


def test_identity_follows_content(tmp_path):
    model = load_model(NAME)
    torch.save(model.module.state_dict(), tmp_path / "same.pt")
    one_value = model.module.state_dict() | {"norm.bias": model.module.norm.bias.detach().clone()}
    one_value["norm.bias"][3] += 1e-6
    torch.save(one_value, tmp_path / "other.pt")
    identities = {
        "same weights from a file": load_model(NAME, weights=tmp_path / "same.pt").identity,
        "one value": load_model(NAME, weights=tmp_path / "other.pt").identity,
        "size": load_model(NAME, overrides={"input_size": 176}).identity,
        "filter": load_model(NAME, overrides={"interpolation": "bilinear"}).identity,
        "mean": load_model(NAME, overrides={"mean": (0.5, 0.5, 0.501)}).identity,
    }
    identities["the size it has anyway"] = load_model(NAME, overrides={"input_size": 160}).identity
    assert identities.pop("same weights from a file") == model.identity
    assert identities.pop("the size it has anyway") == model.identity
    assert len({model.identity, *identities.values()}) == 5


def test_code_revision_is_part_of_identity(monkeypatch):
    identity = load_model(NAME).identity
    monkeypatch.setattr("model_zoo.sources.code_revision", lambda: "another revision")
    assert load_model(NAME).identity != identity


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("torchvision/resnet18", Preprocessing((224, 224), interpolation="bilinear")),
        ("torchvision/efficientnet_b2", Preprocessing((288, 288), interpolation="bicubic")),
        ("timm/test_vit", Preprocessing((160, 160), (0.5,) * 3, (0.5,) * 3, "bicubic")),
        ("timm/resnet18.tv_in1k", Preprocessing((224, 224), interpolation="bilinear")),
        ("timm/resnet18.a1_in1k", Preprocessing((224, 224), interpolation="bicubic")),
    ],
)
def test_preprocessing_is_the_models_own(name, expected):
    found = load_model(name).preprocessing
    for field in ("input_size", "mean", "std", "interpolation"):
        assert getattr(found, field) == getattr(expected, field)
    assert found.source.startswith(name.split("/")[0])


def test_overrides():
    changed = load_model(NAME, overrides={"input_size": (160, 176), "std": [1, 1, 1]}).preprocessing
    assert changed == Preprocessing(
        (160, 176), (0.5,) * 3, (1.0,) * 3, "bicubic", "timm data config of test_vit, user (input_size, std)"
    )


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"input_size": 0}, "preprocessing input_size: expected a side or"),
        ({"input_size": (3, 4, 5)}, "got (3, 4, 5)"),
        ({"input_size": "224"}, "got '224'"),
        ({"input_size": True}, "got True"),
        ({"mean": (0.5, 0.5)}, "preprocessing mean: expected three finite numbers, got (0.5, 0.5)"),
        ({"mean": (0.5, 0.5, float("nan"))}, "three finite numbers"),
        ({"std": (0.5, 0.5, 0.0)}, "three finite numbers above 0"),
        ({"interpolation": "cubic"}, "expected one of nearest, bilinear"),
        ({"crop": 0.9}, "expected one of input_size, mean, std, interpolation, got 'crop'"),
    ],
)
def test_invalid_overrides(overrides, message):
    with pytest.raises(InvalidOption) as caught:
        load_model(NAME, overrides=overrides)
    assert message in str(caught.value)


@pytest.mark.parametrize("option", ["ema", "partial"])
def test_options_of_a_weights_file_need_one(option):
    with pytest.raises(InvalidOption, match=f"--{option}: expected a weights file with it"):
        load_model(NAME, **{option: True})


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("timm/test_vitt", "timm/test_vit"),
        ("timm/resnet18.a1_in1", "timm/resnet18.a1_in1k"),
        ("timm/hf-hub:timm/resnet18", "timm/"),
        ("torchvision/resnet19", "torchvision/resnet18"),
        ("torchvision/fcn_resnet50", "torchvision/"),  # segmentation
        ("torchvison/resnet18", "torchvision/"),
    ],
)
def test_unknown_models_name_near_ones(name, near):
    with pytest.raises(UnknownName, match=f"did you mean .*{near}"):
        load_model(name)


@pytest.mark.parametrize("name", ["timm/resnet19", "torchvision/resnet19"])
def test_builders_check_names_themselves(name):
    card, _ = get_model_card(name.replace("19", "18"))
    with pytest.raises(UnknownName, match="resnet18"):
        card.build("resnet19", 0, None)


def test_tag_chooses_the_config_not_the_architecture():
    tagged, bare = (get_model_card(f"timm/{a}")[0].build(a, 0, None) for a in ("test_vit.r160_in1k", "test_vit"))
    assert repr(tagged) == repr(bare)
    assert all(map(torch.equal, tagged.state_dict().values(), bare.state_dict().values()))


def test_classification_architectures_only():
    names = get_model_card("torchvision/resnet18")[0].architectures()
    assert "vit_b_16" in names
    assert not {"raft_small", "fcn_resnet50", "r3d_18", "quantized_resnet18"} & set(names)


def test_inception_models_are_built_without_warnings_and_take_imagenet_normalised_input():
    # As torchvision builds them for its published weights, which come with ImageNet's mean and std.
    assert load_model("torchvision/googlenet").module.transform_input


@pytest.mark.parametrize("name", ["test_resnet", "test_nfnet", "test_mambaout", "test_byobnet", "test_vit_relpos"])
def test_any_timm_model_can_be_listed(name):
    model = load_model(f"timm/{name}")
    layers = list_layers(model.module, model.preprocessing.input_size)
    classifier = timm.get_pretrained_cfg(name).classifier
    assert layers[-1].shape == (1000,)
    assert classifier.startswith(layers[-1].name)


def test_cards_import_no_torch():
    code = "import sys, model_zoo; model_zoo.list_models(); sys.exit('torch' in sys.modules or 'timm' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
