"""`ventral describe MODEL`: what one forward pass costs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from model_zoo.machine import format_bytes
from results.cli import console, running
from results.cli.options import Json


def describe(
    model: Annotated[str, typer.Argument(help="For example torchvision/resnet18; see `ventral list models`.")],
    device: Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1 or mps.")] = "cpu",
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Images per timed forward pass.")] = 16,
    json: Json = None,
) -> None:
    """Measure parameters, operations, activation sizes, throughput and peak memory on this machine."""
    running.check_models([model])
    from model_zoo import describe as measure
    from model_zoo import load_model

    loaded = load_model(model)
    cost = measure(loaded, device=device, batch_size=batch_size)
    found = {"model": model, "preprocessing": asdict(loaded.preprocessing), **asdict(cost)}
    if console.emit_json(json, found):
        return
    table = console.table(f"{model}, untrained weights", "what", "value", right=("value",))
    height, width = loaded.preprocessing.input_size
    table.add_row("input", f"{height} x {width} pixels")
    table.add_row("parameters", f"{cost.n_parameters:,}")
    table.add_row("multiply-accumulates per image", f"{cost.macs / 1e9:.3f} G")
    table.add_row("floating-point operations per image", f"{cost.flops / 1e9:.3f} G")
    table.add_row("activations of all listed layers per image", format_bytes(cost.activation_bytes))
    table.add_row(f"images per second on {cost.device}, batches of {cost.batch_size}", f"{cost.throughput:.1f}")
    table.add_row("peak memory", format_bytes(cost.peak_memory_bytes))
    console.show(table)
