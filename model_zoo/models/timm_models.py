"""Every architecture of timm, as ``timm/<architecture>[.<tag>]``; the tag only selects the data config."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from model_zoo.contracts import ModelCard, Preprocessing
from model_zoo.errors import UnknownName
from model_zoo.names import remembered
from model_zoo.seeding import seeded

if TYPE_CHECKING:
    from torch import nn


def _architectures() -> tuple[str, ...]:
    return remembered("timm", _find)


def _find() -> list[str]:
    import timm

    return sorted({*timm.list_models(), *timm.list_pretrained()})


def _build(architecture: str, seed: int, num_classes: int | None) -> nn.Module:
    import timm

    # Also keeps out timm's "hf-hub:" and "local-dir:" names, which would download or read files.
    if architecture not in (known := _architectures()):
        raise UnknownName("model", f"timm/{architecture}", [f"timm/{name}" for name in known])
    options: dict[str, Any] = {} if num_classes is None else {"num_classes": num_classes}
    with seeded(seed):
        module: nn.Module = timm.create_model(architecture, pretrained=False, **options)
    return module


def _preprocessing(architecture: str, module: nn.Module) -> Preprocessing:
    from timm.data.config import resolve_model_data_config

    config = resolve_model_data_config(module)  # type: ignore[no-untyped-call]
    _, height, width = config["input_size"]
    return Preprocessing(
        input_size=(height, width),
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        interpolation=config["interpolation"],
        source=f"timm data config of {architecture}",
    )


ENTRIES = (
    ModelCard(
        name="timm/",
        description="any architecture of timm, with an optional .tag for its data config",
        licence="Apache-2.0",
        citation="Wightman, R. (2019). PyTorch Image Models. https://doi.org/10.5281/zenodo.4414861",
        build=_build,
        preprocessing=_preprocessing,
        architectures=_architectures,
        code_version=lambda: f"timm {version('timm')}",
        example="test_resnet",
    ),
)
