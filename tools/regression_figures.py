"""Write the figures of docs/methods.md, sections 3, 16 and 17, to standard output.

    python tools/regression_figures.py MIRROR

An untrained torchvision/resnet18 (seed 0, 112 px) against session Cowley2023.V4-201025, on the first of the ten splits.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from alignment import METRICS
from alignment.banded import banded_ridge, candidate_gammas, scaled_kernel
from alignment.crossval import make_target
from alignment.gram import gram_matrices
from alignment.linear_maps import spectrum
from alignment.reduction import Resources
from benchmarks import get_benchmark
from benchmarks.contracts import Recording
from benchmarks.fetch import locate
from model_zoo.layers import list_layers
from model_zoo.sources import load_model

SIZE = (112, 112)
TOGETHER = ("conv1", "maxpool", "layer1.0", "layer1.1", "layer2.0", "layer3.0", "layer4.0", "avgpool")
ALONE = ("linear_predictivity", "ridgecv", "ridgegcv")


def main() -> None:
    """Write rank and r of every block alone, then of eight together for several numbers of draws."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mirror", type=Path)
    mirror = parser.parse_args().mirror
    card = get_benchmark("Cowley2023.V4-201025")
    (recording,) = card.load(lambda file: locate(file, mirror=mirror))
    assert isinstance(recording, Recording)
    target = make_target(card, recording, None)
    model = load_model("torchvision/resnet18", seed=0, overrides={"input_size": SIZE})
    layers = [layer for layer in list_layers(model.module, SIZE) if layer.is_block]
    with gram_matrices(model, target.stimuli, layers, Resources()) as gram_of:
        grams = {layer.name: gram_of(layer.name) for layer in layers}
    train, test = target.splits[0].train, target.splits[0].test
    responses, recorded = target.responses[train], target.responses[test]

    def median_r(predicted: np.ndarray) -> float:
        each = [np.corrcoef(p, y)[0, 1] for p, y in zip(predicted.T, recorded.T, strict=True)]
        return float(np.nanmedian(each))

    with threadpool_limits(1, user_api="blas"):
        for name, gram in grams.items():
            values = spectrum(gram.split(train, test)).values
            found = {each: median_r(METRICS.get(each).predict(gram, train, test, responses)) for each in ALONE}
            scores = ", ".join(f"{each} r = {r:.3f}" for each, r in found.items())
            smallest = values[-1] / values[0]
            sys.stdout.write(
                f"{name}: {len(values)} dimensions, the smallest {smallest:.1e} of the largest, {scores}\n"
            )
        kernels = [scaled_kernel(grams[name].split(train, test)) for name in TOGETHER]
        alphas = METRICS.get("banded_ridge").parameters["alphas"]
        for n_draws in (0, 24, 64):
            started = time.process_time()
            fit = banded_ridge(kernels, responses, candidate_gammas(len(kernels), n_draws, 0), alphas)
            seconds, r = time.process_time() - started, median_r(fit.parts.sum(axis=0))
            chosen = f"alpha from {fit.alphas.min():g} to {fit.alphas.max():g}"
            sys.stdout.write(
                f"{len(kernels)} layers, {n_draws} draws: r = {r:.3f}, {chosen}, {seconds:.1f} s of one core\n"
            )


if __name__ == "__main__":
    main()
