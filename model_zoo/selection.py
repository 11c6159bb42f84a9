"""Choosing among a model's layers by name. Importing this module imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from model_zoo.contracts import Layer
from model_zoo.errors import UnknownName


def select_layers(spec: Sequence[str], layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Return the layers that `spec` names, each once, in execution order.

    Parameters
    ----------
    spec : exact names, glob patterns ("features.*"), "auto" or "blocks" for the candidates, "all" for every layer.
    layers : what can be chosen: ``model_zoo.layers.list_layers(..., all_modules=True)``.

    Raises
    ------
    UnknownName
        If an entry of `spec` matches no layer; names the nearest ones.
    """
    chosen: set[str] = set()
    for entry in spec:
        found = {layer.name for layer in layers if _matches(entry, layer)}
        if not found:
            near = [layer.name for layer in layers]
            raise UnknownName("layer", entry, near, hint="see `ventral layers MODEL --all`")
        chosen |= found
    return tuple(layer for layer in layers if layer.name in chosen)


def _matches(entry: str, layer: Layer) -> bool:
    if entry == layer.name or entry == "all":
        return True
    if entry in ("auto", "blocks"):
        return layer.is_block
    # Brackets are part of layer names, never a character class.
    return fnmatchcase(layer.name, entry.replace("[", "[[]"))
