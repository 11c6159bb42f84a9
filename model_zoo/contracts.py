"""What a model is: the frozen values every other room relies on. Importing this module imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import nn

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]
Classes = Literal["imagenet1k"]


class Stimuli(Protocol):
    """What extraction needs of a stimulus set: ids in order, an RGB image per id (thread-safe), and a hash of both."""

    @property
    def ids(self) -> Sequence[str]: ...

    @property
    def content_hash(self) -> str: ...

    def image(self, stimulus_id: str) -> Image: ...


@dataclass(frozen=True)
class Preprocessing:
    """From a PIL RGB image to the model's input tensor.

    The whole image is resized to `input_size`, aspect ratio ignored and nothing cropped, so that the stimulus fills the
    model's visual field as in Brain-Score; then scaled to [0, 1] and normalised per channel.

    Attributes
    ----------
    input_size : (height, width) in pixels.
    mean, std : per-channel, for values in [0, 1].
    interpolation : PIL resampling filter, always antialiased.
    source : where these values come from, for the provenance record ("timm data config", "torchvision weights",
        "user").
    """

    input_size: tuple[int, int] = (224, 224)
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    interpolation: Interpolation = "bilinear"
    source: str = "default"


@dataclass(frozen=True)
class ModelCard:
    """A family of models, or one model, declared in one file of `model_zoo/models/`.

    Attributes
    ----------
    name : exact name ("ventral/tiny-s") or, for a family, its prefix with a trailing slash ("timm/").
    description : one line for `ventral list models`.
    licence, citation : of the architecture code and paper; `str`, never empty.
    build : ``build(architecture, seed, num_classes) -> nn.Module`` with random weights drawn under `seed`, the global
        random state untouched; for a family, `architecture` is what follows the prefix, otherwise "". `num_classes` is
        the width of the classifier head, None for the architecture's own. It must not download anything.
    preprocessing : ``preprocessing(architecture, module) -> Preprocessing``, from the model's own data config.
    architectures : ``() -> names`` that `build` accepts (may import torch; only called when names are needed).
    code_version : ``() -> str`` version of the code that defines the architecture, part of the model's identity.
    visual_degrees : degrees of visual angle spanned by the input, or None: the stimulus fills the visual field.
    example : one architecture the contract tests build.
    """

    name: str
    description: str
    licence: str
    citation: str
    build: Callable[[str, int, int | None], nn.Module]
    preprocessing: Callable[[str, nn.Module], Preprocessing]
    architectures: Callable[[], Sequence[str]]
    code_version: Callable[[], str]
    example: str
    visual_degrees: float | None = None


@dataclass(frozen=True)
class WeightsReport:
    """How a checkpoint met an architecture: counts of state-dict keys, and where the weights came from.

    `source` is "seed <n>" or the file's path; `sha256` the file's hash (None when drawn from a seed).
    """

    source: str
    n_loaded: int
    n_expected: int
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    sha256: str | None = None
    ema: bool = False

    @property
    def share_loaded(self) -> float:
        """Share of the architecture's state-dict keys that the checkpoint filled, in [0, 1]."""
        return self.n_loaded / self.n_expected if self.n_expected else 1.0


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to look at stimuli: module in eval mode, preprocessing, and an identity made of content.

    Attributes
    ----------
    name : as the user wrote it, e.g. "torchvision/resnet18".
    module : ``nn.Module`` in eval mode on the CPU.
    identity : sha256 hex of weights + a preprocessed probe + architecture + code revision; the cache key's first part.
    classes : what the outputs of the classifier stand for, in order ("imagenet1k": the 1000 classes of ILSVRC 2012), or
        None where nobody says so; random weights mean no classes.
    code_version : version of the code that defines the architecture, as `identity` holds it; drawn at random for a
        network of your own, whose code cannot be identified.
    """

    name: str
    module: nn.Module
    preprocessing: Preprocessing
    weights: WeightsReport
    identity: str
    licence: str
    citation: str
    visual_degrees: float | None = None
    classes: Classes | None = None
    code_version: str = ""


@dataclass(frozen=True)
class Layer:
    """One place where activations can be read.

    Attributes
    ----------
    name : dotted module path; ``path#2`` is the module's second call in one forward pass; ``path[0]`` or ``path[key]``
        an element of a tuple or dict output; ``path@input`` what the module received instead of what it made of it.
    shape : output shape of one stimulus, without the batch axis.
    kind : class name of the module.
    order : position in execution order, from 0.
    is_block : True for the candidates `ventral layers` lists by default.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    order: int
    is_block: bool

    @property
    def n_features(self) -> int:
        """Product of `shape`: the width of the flattened activations."""
        n = 1
        for size in self.shape:
            n *= size
        return n


@dataclass(frozen=True)
class Head:
    """A network's classifier.

    Attributes
    ----------
    path : dotted path of the module that holds its weights.
    output : where the network's answer can be read, one value per class.
    input : what the classifier computes it from: the features of a readout.
    """

    path: str
    output: Layer
    input: Layer


@dataclass(frozen=True)
class ModelCost:
    """What one forward pass costs; see `ventral describe`."""

    n_parameters: int
    flops: int
    macs: int
    activation_bytes: int
    throughput: float
    peak_memory_bytes: int
    batch_size: int
    device: str
    layers: tuple[Layer, ...] = field(default=())
