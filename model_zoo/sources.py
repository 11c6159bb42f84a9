"""From a name to a model ready to look at stimuli: built, filled with weights, and identified by its content."""

from __future__ import annotations

import hashlib
import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from PIL import Image
from torch import nn

import model_zoo
from model_zoo.checkpoints import read_checkpoint
from model_zoo.contracts import Classes, Interpolation, LoadedModel, ModelCard, Preprocessing, WeightsReport
from model_zoo.errors import InvalidOption
from model_zoo.heads import IMAGENET_CLASSES, check_classes, find_head
from model_zoo.preprocessing import preprocess
from model_zoo.weights import head_width, load_weights, n_matching

# Files of this room that shape activations: their content is part of every model's identity.
_REVISION_FILES = ("preprocessing.py", "layers.py", "extraction.py")


def load_model(
    name: str,
    *,
    seed: int = 0,
    weights: str | Path | None = None,
    ema: bool = False,
    partial: bool = False,
    overrides: Mapping[str, object] | None = None,
) -> LoadedModel:
    """Return the model called `name`, in eval mode on the CPU.

    Parameters
    ----------
    name : e.g. "torchvision/resnet18", "timm/resnet50.a1_in1k".
    seed : draws the weights (with a checkpoint: those it does not hold); the global random state stays as it was.
    weights : a local safetensors, .pt, .pth, .bin or .ckpt file; None: random weights from `seed`.
    ema : True for the checkpoint's moving-average weights.
    partial : True accepts a checkpoint that fills only a part of the architecture.
    overrides : fields of Preprocessing the user wants otherwise: input_size (int or (height, width)), mean, std,
        interpolation.

    Raises
    ------
    UnknownName
        If nobody claims the name.
    CheckpointError
        If the weights file cannot be read safely, or does not fit.
    InvalidOption
        If an override is not a valid value, or `ema` or `partial` come without `weights`.
    """
    card, architecture = model_zoo.get_model_card(name)
    module = card.build(architecture, seed, None)
    if weights is not None:
        module, report = _with_weights(card, architecture, module, weights, seed=seed, ema=ema, partial=partial)
    elif ema or partial:
        option = "--ema" if ema else "--partial"
        raise InvalidOption(option, expected="a weights file with it", got="none", next_step="pass --weights FILE")
    else:
        n_keys = len(module.state_dict())
        report = WeightsReport(source=f"seed {seed}", n_loaded=n_keys, n_expected=n_keys)
    module = module.eval().requires_grad_(False)
    preprocessing = _override(card.preprocessing(architecture, module), overrides or {})
    code_version = card.code_version()
    return LoadedModel(
        name=name,
        module=module,
        preprocessing=preprocessing,
        weights=report,
        identity=_identity(name, module, preprocessing, code_version),
        licence=card.licence,
        citation=card.citation,
        visual_degrees=card.visual_degrees,
        classes=None if weights is None else _classes(module, preprocessing, report),
        code_version=code_version,
    )


def from_module(
    name: str,
    module: nn.Module,
    preprocessing: Preprocessing | None = None,
    *,
    visual_degrees: float | None = None,
    classes: Classes | None = None,
) -> LoadedModel:
    """Return a network of your own, ready to be scored.

    Parameters
    ----------
    name : what its scores are called.
    module : takes images (n, 3, height, width); used as it is, in eval mode, its weights untouched.
    preprocessing : None: 224 x 224 pixels with ImageNet's mean and standard deviation.
    visual_degrees : degrees of visual angle its input spans; None: the stimulus fills it.
    classes : "imagenet1k" if its outputs are the logits of the 1000 ImageNet classes, in the usual order.

    Raises
    ------
    ShapeMismatch
        If the network has no classifier of as many outputs as `classes` says.

    Notes
    -----
    The code of an arbitrary module cannot be identified, so nothing computed from it is found in the cache later.
    """
    preprocessing = preprocessing or Preprocessing()
    if classes is not None:
        check_classes(name, find_head(module.eval(), preprocessing.input_size))
    n_keys, code_version = len(module.state_dict()), uuid.uuid4().hex
    return LoadedModel(
        name=name,
        module=module.eval(),
        preprocessing=preprocessing,
        weights=WeightsReport(source="module in memory", n_loaded=n_keys, n_expected=n_keys),
        identity=_identity(name, module, preprocessing, code_version),
        licence="not stated",
        citation="not stated",
        visual_degrees=visual_degrees,
        classes=classes,
        code_version=code_version,
    )


def identified(model: LoadedModel) -> LoadedModel:
    """Return the model with an identity of what it is now: its weights may have been trained since it was loaded."""
    code_version = model.code_version or model.identity
    return replace(model, identity=_identity(model.name, model.module, model.preprocessing, code_version))


def code_revision() -> str:
    """Return the sha256 hex of this room's source files that shape activations."""
    digest = hashlib.sha256()
    for name in _REVISION_FILES:
        digest.update(name.encode() + b"\0" + Path(__file__).with_name(name).read_bytes())
    return digest.hexdigest()


def probe_image() -> Image.Image:
    """Return the fixed picture whose preprocessed form is part of a model's identity: RGB, 97 rows, 131 columns."""
    row, column, channel = np.meshgrid(np.arange(97), np.arange(131), np.arange(3), indexing="ij")
    values = (row * row + 7 * column * (channel + 1) + row * column // 5) % 256  # (97, 131, 3)
    return Image.fromarray(values.astype(np.uint8))


def _with_weights(
    card: ModelCard, architecture: str, module: nn.Module, weights: str | Path, *, seed: int, ema: bool, partial: bool
) -> tuple[nn.Module, WeightsReport]:
    checkpoint = read_checkpoint(weights, ema=ema)
    width = head_width(module, checkpoint)
    if width is not None:
        resized = card.build(architecture, seed, width)
        module = max((module, resized), key=lambda candidate: n_matching(candidate, checkpoint))
    report = load_weights(module, checkpoint, model=f"{card.name}{architecture}", partial=partial)
    return module, report


def _classes(module: nn.Module, preprocessing: Preprocessing, report: WeightsReport) -> Classes | None:
    """Return "imagenet1k" where a checkpoint filled a classifier of 1000 outputs."""
    head = find_head(module, preprocessing.input_size)
    if head is None or head.output.n_features != IMAGENET_CLASSES:
        return None
    return None if any(key.startswith(f"{head.path}.") for key in report.missing) else "imagenet1k"


def _identity(name: str, module: nn.Module, preprocessing: Preprocessing, code_version: str) -> str:
    digest = hashlib.sha256()
    for text in (name, repr(module), code_version, code_revision()):
        digest.update(text.encode() + b"\0")
    for key, tensor in module.state_dict().items():
        digest.update(f"{key} {tuple(tensor.shape)} {tensor.dtype}\0".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    digest.update(preprocess(probe_image(), preprocessing).numpy().data)
    return digest.hexdigest()


def _override(preprocessing: Preprocessing, overrides: Mapping[str, object]) -> Preprocessing:
    checks = {"input_size": _input_size, "mean": _channels, "std": _channels, "interpolation": _interpolation}
    changes: dict[str, Any] = {}
    for field, value in overrides.items():
        if field not in checks:
            raise InvalidOption(
                "preprocessing", expected=f"one of {', '.join(checks)}", got=repr(field), next_step="correct the name"
            )
        changes[field] = checks[field](field, value)
    if not changes:
        return preprocessing
    return replace(preprocessing, **changes, source=f"{preprocessing.source}, user ({', '.join(changes)})")


def _input_size(field: str, value: object) -> tuple[int, int]:
    sides = (value, value) if isinstance(value, int) else tuple(value) if isinstance(value, Sequence) else ()
    match sides:
        case (int(height), int(width)) if height > 0 and width > 0 and bool not in map(type, sides):
            return height, width
    raise _invalid(field, "a side or (height, width) in pixels, above 0", value)


def _channels(field: str, value: object) -> tuple[float, ...]:
    numbers = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else ()
    valid = all(isinstance(number, (int, float)) and math.isfinite(number) for number in numbers)
    if len(numbers) != 3 or not valid or (field == "std" and min(numbers) <= 0):
        raise _invalid(field, "three finite numbers" + (" above 0" if field == "std" else ""), value)
    return tuple(float(number) for number in numbers)


def _interpolation(field: str, value: object) -> str:
    if value not in get_args(Interpolation):
        raise _invalid(field, f"one of {', '.join(get_args(Interpolation))}", value)
    return str(value)


def _invalid(field: str, expected: str, value: object) -> InvalidOption:
    return InvalidOption(f"preprocessing {field}", expected=expected, got=repr(value), next_step="correct the value")
