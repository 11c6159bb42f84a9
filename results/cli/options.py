"""Options that several commands share, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[str, typer.Argument(help="For example torchvision/resnet18; see `ventral list models`.")]
Weights = Annotated[
    Path | None, typer.Option("--weights", metavar="FILE", help="Checkpoint: .safetensors, .pt or .pth.")
]
Ema = Annotated[bool, typer.Option("--ema", help="Take the checkpoint's averaged (EMA) weights.")]
Partial = Annotated[bool, typer.Option("--partial", help="Accept weights that fill only part of it.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Draws untrained weights.")]
Benchmarks = Annotated[
    list[str] | None,
    typer.Option("--benchmark", "-b", metavar="ID", help="Repeatable. Default: the simulated areas."),
]
Metrics = Annotated[
    list[str] | None, typer.Option("--metric", "-m", metavar="ID", help="Repeatable. Default: each benchmark's own.")
]
LayerMap = Annotated[
    Path | None,
    typer.Option("--layer-map", metavar="FILE", help='Your own layers: JSON or TOML, {"V4": "layer3", ...}.'),
]
Decision = Annotated[
    str, typer.Option("--decision", metavar="auto|head|readout", help="How choices are read out of the model.")
]
Device = Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1 or mps.")]
BatchSize = Annotated[int | None, typer.Option("--batch-size", min=1, help="Default: measured.")]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="Default: all it may use.")]
Memory = Annotated[str | None, typer.Option("--memory", metavar="SIZE", help="Budget of features, e.g. 4GB.")]
Scratch = Annotated[str | None, typer.Option("--scratch", metavar="SIZE", help="Disk budget, e.g. 20GB.")]
ScratchDir = Annotated[Path | None, typer.Option("--scratch-dir", metavar="DIR", help="Where to spill.")]
Mirror = Annotated[
    Path | None, typer.Option("--mirror", metavar="DIR", envvar="VENTRAL_MIRROR", help="Offline data mirror.")
]
Offline = Annotated[bool, typer.Option("--offline", envvar="VENTRAL_OFFLINE", help="Never touch the network.")]
VisualDegrees = Annotated[
    float | None, typer.Option("--visual-degrees", help="Of the model's input. Default: stimuli fill it.")
]
InputSize = Annotated[str | None, typer.Option("--input-size", metavar="N|HxW", help="Pixels.")]
Mean = Annotated[str | None, typer.Option("--mean", metavar="R,G,B", help="Of pixels in [0, 1].")]
Std = Annotated[str | None, typer.Option("--std", metavar="R,G,B", help="Of pixels in [0, 1].")]
Interpolation = Annotated[str | None, typer.Option("--interpolation", help="bilinear, bicubic, ...")]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Neither read nor write the cache.")]
Json = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Everything as JSON; - for stdout.")]
Csv = Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="One row per score.")]
Report = Annotated[Path | None, typer.Option("--report", metavar="FILE.html", help="Self-contained page.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Results only: no progress, no remarks.")]
