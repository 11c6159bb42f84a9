"""What is compared: models, their layers and their cost. Importing this package imports no torch.

Examples
--------
>>> from model_zoo import list_models
>>> all(card.licence for card in list_models())
True
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from model_zoo.contracts import LoadedModel, ModelCard, Preprocessing
from model_zoo.errors import UnknownName, VentralError, nearest_names
from model_zoo.registry import Registry

if TYPE_CHECKING:
    from model_zoo.cost import describe
    from model_zoo.layers import list_layers
    from model_zoo.sources import from_module, load_model

__all__ = [
    "MODELS",
    "LoadedModel",
    "ModelCard",
    "Preprocessing",
    "VentralError",
    "describe",
    "from_module",
    "get_model_card",
    "list_layers",
    "list_models",
    "load_model",
]

MODELS: Registry[ModelCard] = Registry("model", ModelCard, "model_zoo.models", "ventral.models")

# Functions whose modules import torch: fetched on first use.
_LAZY = {
    "describe": "model_zoo.cost",
    "from_module": "model_zoo.sources",
    "list_layers": "model_zoo.layers",
    "load_model": "model_zoo.sources",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)


def list_models() -> tuple[ModelCard, ...]:
    """Return the card of every model family and model, in natural order of their names."""
    return MODELS.cards()


def get_model_card(name: str) -> tuple[ModelCard, str]:
    """Return the card that builds `name`, and the architecture to ask of it ("" for a card of one model).

    Parameters
    ----------
    name : str
        An exact card name, or a family's prefix followed by one of its architectures: "torchvision/resnet18".

    Raises
    ------
    UnknownName
        If no card claims the name, or its family has no such architecture; names the nearest ones.
    """
    if name in MODELS.names() and not name.endswith("/"):
        return MODELS.get(name), ""
    prefixes = [prefix for prefix in MODELS.names() if prefix.endswith("/") and name.startswith(prefix)]
    if not prefixes:
        raise UnknownName("model", name, [], hint=_suggest(name))
    prefix = max(prefixes, key=len)
    card, architecture = MODELS.get(prefix), name[len(prefix) :]
    known = card.architectures()
    if architecture not in known:
        hint = f"see `ventral list models --search {architecture}`"
        raise UnknownName("model", name, [prefix + other for other in known], hint=hint)
    return card, architecture


def _suggest(name: str) -> str:
    """Return a sentence naming single models, and architectures of any family, close to a name nobody claims."""
    bare = name.rsplit("/", 1)[-1]
    families = [card for card in MODELS.cards() if card.name.endswith("/")]
    near = nearest_names(name, [card.name for card in MODELS.cards() if not card.name.endswith("/")])
    near += [card.name + match for card in families for match in nearest_names(bare, card.architectures(), n=2)]
    exact = [candidate for candidate in near if candidate.rsplit("/", 1)[-1] == bare]
    found = exact or near
    return f"did you mean {', '.join(found)}?" if found else "see `ventral list models`"
