"""Every classification architecture of torchvision, as ``torchvision/<architecture>``."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from model_zoo.contracts import ModelCard, Preprocessing
from model_zoo.errors import UnknownName
from model_zoo.names import remembered
from model_zoo.seeding import seeded

if TYPE_CHECKING:
    from torch import nn

# What the published weights of these two expect; the state dict does not say it.
_INCEPTION_OPTIONS = {"transform_input": True, "init_weights": True}


def _architectures() -> tuple[str, ...]:
    return remembered("torchvision", _find)


def _find() -> list[str]:
    from torchvision import models

    names: list[str] = models.list_models(module=models)
    return names


def _build(architecture: str, seed: int, num_classes: int | None) -> nn.Module:
    from torchvision import models

    if architecture not in (known := _architectures()):
        raise UnknownName("model", f"torchvision/{architecture}", [f"torchvision/{name}" for name in known])
    options: dict[str, object] = {} if num_classes is None else {"num_classes": num_classes}
    if architecture in ("googlenet", "inception_v3"):
        options |= _INCEPTION_OPTIONS
    with seeded(seed):
        module: nn.Module = models.get_model(architecture, weights=None, **options)
    return module


def _preprocessing(architecture: str, module: nn.Module) -> Preprocessing:
    from torchvision import models

    published = list(models.get_model_weights(architecture))
    if not published:
        return Preprocessing(source="ImageNet default")
    weights = models.get_model_weights(architecture).DEFAULT
    transforms = weights.transforms()  # built from constants: nothing is downloaded
    size = int(transforms.crop_size[0])
    return Preprocessing(
        input_size=(size, size),
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
        interpolation=transforms.interpolation.value,
        source=f"torchvision weights {weights}",
    )


ENTRIES = (
    ModelCard(
        name="torchvision/",
        description="any classification architecture of torchvision.models",
        licence="BSD-3-Clause",
        citation="TorchVision maintainers and contributors (2016). TorchVision. https://github.com/pytorch/vision",
        build=_build,
        preprocessing=_preprocessing,
        architectures=_architectures,
        code_version=lambda: f"torchvision {version('torchvision')}",
        example="resnet18",
    ),
)
