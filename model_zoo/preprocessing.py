"""From a picture to a model's input tensor: the whole stimulus fills the visual field, nothing is cropped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from model_zoo.contracts import Preprocessing
from model_zoo.errors import DataIntegrity

if TYPE_CHECKING:
    import torch


def to_rgb(image: Image.Image) -> Image.Image:
    """Return `image` in mode RGB, as Brain-Score makes it.

    RGB images are used as they are. Grey, palette and transparent ones are pasted on a black RGB canvas, which drops
    the alpha channel instead of blending it.

    Raises
    ------
    DataIntegrity
        For more than 8 bits per channel: there is no stated way from such values to [0, 255].

    References
    ----------
    brainscore_vision.model_helpers.activations.pytorch.load_image, which lets other modes (CMYK, binary) pass
    unchanged; here they are converted to RGB.
    """
    if image.mode == "RGB":
        return image
    if image.mode.startswith(("I", "F")):
        raise DataIntegrity(
            "image", expected="8 bits per channel", got=f"mode {image.mode}", next_step="convert it to 8-bit RGB"
        )
    if not set(image.mode.upper()) & set("LAP"):
        return image.convert("RGB")
    canvas = Image.new("RGB", image.size)
    canvas.paste(image)
    return canvas


def preprocess(image: Image.Image, preprocessing: Preprocessing) -> torch.Tensor:
    """Return the model's input for one picture: resized to the input size, scaled to [0, 1], normalised per channel.

    Parameters
    ----------
    image : any 8-bit picture; the aspect ratio is not kept.
    preprocessing : size (height, width) in pixels, filter, mean and std in units of [0, 1].

    Returns
    -------
    torch.Tensor of shape (3, height, width), float32; bitwise equal to torchvision's
    ``Compose([Resize((height, width)), ToTensor(), Normalize(mean, std)])`` on the RGB picture.

    Notes
    -----
    Pillow and numpy release the interpreter lock in the costly parts, so threads run it side by side.
    """
    import torch

    height, width = preprocessing.input_size
    resampling = Image.Resampling[preprocessing.interpolation.upper()]
    resized = to_rgb(image).resize((width, height), resampling)
    values = np.asarray(resized).transpose(2, 0, 1).astype(np.float32, order="C")  # (3, height, width)
    values /= np.float32(255)
    values -= np.asarray(preprocessing.mean, dtype=np.float32)[:, None, None]
    values /= np.asarray(preprocessing.std, dtype=np.float32)[:, None, None]
    return torch.from_numpy(values)
