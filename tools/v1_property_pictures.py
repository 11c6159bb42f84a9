"""Measure the models of docs/studies/v1-properties.md on every grating, and write its picture and its table.

Usage: python tools/v1_property_pictures.py docs/studies

Needs matplotlib, and about ten minutes of two quiet cores the first time; what was measured stays in VENTRAL_HOME.
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from PIL import Image

mpl.use("Agg")
import matplotlib.pyplot as plt

from alignment import get_metric
from alignment.distributions import score_distributions
from alignment.jobs import Run
from alignment.metrics.ks_similarity import histogram
from alignment.reduction import Resources
from alignment.scores import Score
from alignment.subjects import ModelSubject
from alignment.tuning import included
from alignment.units import Units, measure_units
from benchmarks import get_benchmark, load_benchmark
from benchmarks.physiology import FULL
from model_zoo import load_model

MODELS = (
    ("ventral/gabor-v1", "normalised"),
    ("torchvision/resnet18", "layer1"),
    ("ventral/pixels", "grey"),
)
SHOWN = ("preferred_orientation", "peak_spatial_frequency", "surround_suppression_index", "grating_summation_field")
COLOURS = ("#0072b2", "#d55e00", "#009e73")
TABLE = re.compile(r"(<!-- table -->\n).*?(<!-- end of table -->)", re.DOTALL)


def measure(name: str, layer_name: str) -> tuple[Score, Units]:
    """Return score and units of one layer, random weights from seed 0."""
    model = load_model(name, seed=0)
    run = Run(ModelSubject(model), Resources(), model.visual_degrees)
    layer = next(layer for layer in run.subject.layers() if layer.name == layer_name)
    card, data = load_benchmark(get_benchmark("V1Properties.V1"))
    return score_distributions(run, card, data, get_metric("ks_similarity"), layer), measure_units(run, layer)


def picture(measured: dict[str, Units]) -> Any:
    """Return some gratings, and histograms of neurons and units."""
    _, (published,) = load_benchmark(get_benchmark("V1Properties.V1"))
    figure, axes = plt.subplots(1, 5, figsize=(14, 3), constrained_layout=True)
    tiles = [FULL.size.stimuli.image(FULL.size.stimuli.ids[n]).resize((110, 110)) for n in (900, 1330, 1805, 2260)]
    sheet = Image.new("RGB", (224, 224), "white")
    for place, tile in enumerate(tiles):
        sheet.paste(tile, (place % 2 * 114, place // 2 * 114))
    axes[0].imshow(sheet)
    axes[0].set_title("gratings of the size set")
    axes[0].axis("off")
    for axis, name in zip(axes[1:], SHOWN, strict=True):
        (each,) = (each for each in published.distributions if each.property == name)
        places = np.arange(len(each.counts))
        axis.bar(places, np.divide(each.counts, sum(each.counts)), color="0.8", label="neurons")
        for colour, (model, units) in zip(COLOURS, measured.items(), strict=False):
            if not units.reason:
                counts = histogram(included(units.table, name), each.edges)[:-1]
                axis.step(places, counts / max(counts.sum(), 1), where="mid", color=colour, label=model)
        axis.set_xticks(np.arange(len(each.edges)) - 0.5, [f"{edge:g}" for edge in each.edges], rotation=90, fontsize=7)
        axis.set(title=f"{name.replace('_', ' ')} ({each.unit})".replace("(share of the peak)", ""), ylabel="share")
        axis.title.set_fontsize(9)
    axes[1].legend(frameon=False, fontsize=7, loc="lower center")
    return figure


def table(measured: dict[str, tuple[Score, Units]]) -> str:
    """Return the scores as a table in Markdown."""
    scores = [score for score, _ in measured.values()]
    rows = [["", *(f"`{score.model}` {score.layer}" for score in scores)]]
    rows.append(["---", *("---:" for _ in scores)])
    rows += [
        [name.replace("_", " "), *(f"{score.unit_raw[number]:.3f}" for score in scores)]
        for number, name in enumerate(scores[0].unit_ids)
    ]
    rows.append(["**mean, raw**", *(f"{score.raw:.3f}" for score in scores)])
    rows.append(["**raw/ceiling**", *(f"**{score.ceiled:.3f}**" for score in scores)])
    rows.append(["95 % interval", *(f"{score.interval[0]:.3f} to {score.interval[1]:.3f}" for score in scores)])
    units = [units for _, units in measured.values()]
    rows.append(["units at the gratings, of which respond", *(f"{u.n_centred}, {u.n_responsive}" for u in units)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main(folder: Path) -> None:
    """Write picture and table."""
    measured = {name: measure(name, layer) for name, layer in MODELS}
    figure = picture({name: units for name, (_, units) in measured.items()})
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=90)
    with Image.open(drawn) as image:
        image.convert("RGB").quantize(96).save(folder / "v1-properties.png", optimize=True)
    page = folder / "v1-properties.md"
    written = TABLE.sub(lambda found: f"{found[1]}{table(measured)}\n{found[2]}", page.read_text(encoding="utf-8"))
    page.write_text(written, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
