"""`ventral layers MODEL`: where activations can be read."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from results.cli import console


def layers(
    model: Annotated[str, typer.Argument(help="For example torchvision/resnet18; see `ventral list models`.")],
    weights: Annotated[Path | None, typer.Option("--weights", metavar="FILE", help="A checkpoint to load.")] = None,
    all: Annotated[bool, typer.Option("--all", help="Every module, not only blocks.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List a model's candidate layers in execution order, with shapes and feature counts."""
    from model_zoo import list_layers, load_model

    loaded = load_model(model, weights=weights)
    found = list_layers(loaded.module, loaded.preprocessing.input_size, all)
    if json:
        rows = [{**asdict(layer), "shape": list(layer.shape), "n_features": layer.n_features} for layer in found]
        console.emit_json({"model": model, "layers": rows})
        return
    table = console.table(
        f"Layers of {model}", "order", "name", "kind", "shape", "features", right=("order", "features")
    )
    for layer in found:
        shape = " x ".join(map(str, layer.shape))
        table.add_row(str(layer.order), layer.name, layer.kind, shape, f"{layer.n_features:,}")
    console.out().print(table)
    if not all:
        console.note("Blocks and the modules around them; --all lists every module.")
