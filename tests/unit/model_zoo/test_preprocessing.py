"""Preprocessing equals torchvision's and Brain-Score's, bit for bit."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from model_zoo.contracts import Preprocessing
from model_zoo.errors import DataIntegrity
from model_zoo.preprocessing import preprocess, to_rgb


def picture(mode, size=(61, 43)):
    """A noise picture in `mode`; `size` is (width, height)."""
    n_channels = {"L": 1, "P": 1, "1": 1, "LA": 2, "RGB": 3, "CMYK": 4, "RGBA": 4}[mode]
    values = np.random.default_rng(0).integers(0, 256, (size[1], size[0], n_channels), dtype=np.uint8)
    if mode == "P":
        return Image.fromarray(values.repeat(3, axis=2)).convert("P", palette=Image.Palette.ADAPTIVE)
    if mode == "1":
        return Image.fromarray(values[..., 0]).convert("1")
    return Image.fromarray(values.squeeze(), mode=None)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"])
@pytest.mark.parametrize("input_size", [(32, 48), (43, 61), (90, 90)])
def test_bitwise_equal_to_torchvision(interpolation, input_size):
    chosen = Preprocessing(input_size, (0.4, 0.5, 0.45), (0.2, 0.3, 0.25), interpolation)
    theirs = transforms.Compose([
        transforms.Resize(input_size, transforms.InterpolationMode(interpolation)),
        transforms.ToTensor(),
        transforms.Normalize(chosen.mean, chosen.std),
    ])  # fmt: skip
    ours = preprocess(picture("RGB"), chosen)
    assert ours.dtype == torch.float32
    assert ours.is_contiguous()
    assert torch.equal(ours, theirs(picture("RGB")))


def test_every_grey_value_is_scaled_as_torchvision_scales_it():
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).convert("RGB")
    theirs = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize(Preprocessing().mean, Preprocessing().std)]
    )
    assert torch.equal(preprocess(ramp, Preprocessing(input_size=(16, 16))), theirs(ramp))


def test_whole_picture_is_kept():
    values = np.zeros((40, 80, 3), np.uint8)
    values[:, :4] = values[:, -4:] = 255  # bright edges, which a centre crop would lose
    resized = preprocess(Image.fromarray(values), Preprocessing((20, 20), (0, 0, 0), (1, 1, 1), "box"))
    assert resized[:, :, 0].min() == 1
    assert resized[:, :, -1].min() == 1
    assert resized[:, :, 10].max() == 0


def test_transparency_is_dropped_not_blended():
    values = np.full((4, 4, 4), (10, 20, 30, 0), np.uint8)
    assert np.array_equal(np.asarray(to_rgb(Image.fromarray(values))), values[..., :3])


@pytest.mark.parametrize("mode", ["1", "CMYK"])
def test_modes_brain_score_cannot_read_become_rgb(mode):
    assert np.array_equal(np.asarray(to_rgb(picture(mode))), np.asarray(picture(mode).convert("RGB")))


@pytest.mark.parametrize(("mode", "dtype"), [("I;16", np.uint16), ("F", np.float32)])
def test_more_than_eight_bits_is_refused(mode, dtype):
    image = Image.fromarray(np.full((3, 3), 1000, dtype))
    assert image.mode == mode
    with pytest.raises(DataIntegrity, match=f"expected 8 bits per channel, got mode {mode}; convert it"):
        to_rgb(image)


@pytest.mark.brainscore
@pytest.mark.parametrize("mode", ["RGB", "L", "LA", "P", "RGBA"])
def test_equal_to_brain_score(mode, tmp_path):
    pytorch = pytest.importorskip("brainscore_vision.model_helpers.activations.pytorch")
    picture(mode).save(tmp_path / "picture.png")
    theirs = pytorch.load_preprocess_images([tmp_path / "picture.png"], image_size=32)[0]
    with Image.open(tmp_path / "picture.png") as image:
        assert image.mode == mode
        ours = preprocess(image, Preprocessing(input_size=(32, 32)))
    assert np.array_equal(ours.numpy(), theirs)
