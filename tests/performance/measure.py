"""One measurement per call, in a process of its own so that its time and peak memory are its own: prints one JSON line.

python tests/performance/measure.py brainscore-pls --mirror ../shared/data --work /tmp/bench
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SESSION, LAYER, MODEL = "201025", "layer3", "torchvision/resnet18"
ALL_LAYERS = ["relu", "maxpool", "layer*.*.relu", "layer?.?", "avgpool", "fc"]  # behind every rectifier, and the head
STEM = ["conv1", "bn1"]  # what the first rectifier is given: candidates too, together wider than all the others
MEMORY = 18 * 10**9
ALL_METRICS = ["pls", "ridge", "cka", "rsa-spearman"]
SUBSET = ("layer3.1", "layer4.1", "avgpool")  # what Brain-Score is timed on, one layer at a time
STARTED = time.perf_counter()

Result = dict[str, Any]


def _stimuli_and_responses(mirror: Path):
    from benchmarks import get_benchmark
    from benchmarks.assemblies import average_repetitions
    from benchmarks.fetch import locate

    (recording,) = get_benchmark(f"Cowley2023.V4-{SESSION}").load(lambda file: locate(file, mirror=mirror))
    return recording.stimuli, average_repetitions(recording.assembly)


def _image_files(stimuli, folder: Path) -> list[Path]:
    """The session's images as files, which is what Brain-Score reads."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for stimulus_id in stimuli.ids:
        path = folder / f"{stimulus_id}.png"
        if not path.exists():
            stimuli.image(stimulus_id).save(path)
        paths.append(path)
    return paths


def _network():
    from model_zoo.sources import load_model

    return load_model(MODEL, seed=0)


def brainscore_activations(mirror: Path, work: Path, layer: str = LAYER) -> Result:
    """Brain-Score's PytorchWrapper on the session's images; keeps the features for the metrics."""
    import numpy as np
    from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet
    from brainscore_vision.model_helpers.activations.pytorch import PytorchWrapper, load_preprocess_images

    stimuli, _ = _stimuli_and_responses(mirror)
    paths = _image_files(stimuli, work / "images")
    table = StimulusSet([{"stimulus_id": each} for each in stimuli.ids])
    table.stimulus_paths = dict(zip(stimuli.ids, paths, strict=True))
    table.identifier = f"cowley-{SESSION}"

    def preprocessing(images):
        return load_preprocess_images(images, image_size=224)

    wrapper = PytorchWrapper(_network().module, preprocessing, identifier="resnet18-bench", batch_size=64)
    started = time.perf_counter()
    activations = wrapper(table, layers=[layer])
    seconds = time.perf_counter() - started
    order = {each: row for row, each in enumerate(activations["stimulus_id"].values)}
    np.save(work / "features.npy", activations.values[[order[each] for each in stimuli.ids]].astype(np.float32))
    return {"seconds": seconds, "n_features": int(activations.sizes["neuroid"])}


def _brainscore_metric(mirror: Path, work: Path, name: str) -> Result:
    import numpy as np
    from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly
    from brainscore_vision import load_metric

    stimuli, target = _stimuli_and_responses(mirror)
    features = np.load(work / "features.npy")
    presentation = {
        "stimulus_id": ("presentation", list(stimuli.ids)),
        "image_number": ("presentation", np.arange(len(stimuli.ids))),
    }

    def assembly(values, prefix):
        numbers = np.arange(values.shape[1])
        neuroid = {
            "neuroid_id": ("neuroid", [f"{prefix}{number:07d}" for number in numbers]),
            "neuroid_num": ("neuroid", numbers),
        }
        return NeuroidAssembly(values, coords={**presentation, **neuroid}, dims=["presentation", "neuroid"])

    source, neurons = assembly(features, "model"), assembly(np.asarray(target.values), "brain")
    arguments = {"crossvalidation_kwargs": {"stratification_coord": None}} if name in ("pls", "ridge") else {}
    metric = load_metric(name, **arguments)
    started = time.perf_counter()
    score = float(metric(source, neurons))
    return {"seconds": time.perf_counter() - started, "score": score}


def brainscore_per_layer(mirror: Path, work: Path) -> Result:
    """Brain-Score's way for several layers: activations and four metrics, for one layer after the other."""
    rows = []
    for layer in SUBSET:
        found = brainscore_activations(mirror, work, layer)
        row = {"layer": layer, "n_features": found["n_features"], "activations": found["seconds"]}
        for ours, theirs in zip(ALL_METRICS, ("pls", "ridge", "cka", "rdm"), strict=True):
            metric = _brainscore_metric(mirror, work, theirs)
            row |= {ours: metric["seconds"], f"{ours} score": metric["score"]}
        rows.append(row)
    return {"seconds": sum(row[each] for row in rows for each in ("activations", *ALL_METRICS)), "rows": rows}


def brainscore_pls(mirror: Path, work: Path) -> Result:
    """Brain-Score's pls on features in memory."""
    return _brainscore_metric(mirror, work, "pls")


def brainscore_ridge(mirror: Path, work: Path) -> Result:
    """Brain-Score's ridge on features in memory."""
    return _brainscore_metric(mirror, work, "ridge")


def _ventral_metric(mirror: Path, work: Path, name: str) -> Result:
    import numpy as np

    from alignment import get_metric
    from alignment.crossval import cross_validate, make_target
    from alignment.gram import Gram
    from alignment.statistics import aggregate, split_correlations
    from benchmarks import get_benchmark
    from benchmarks.fetch import locate

    card = get_benchmark(f"Cowley2023.V4-{SESSION}")
    (recording,) = card.load(lambda file: locate(file, mirror=mirror))
    target = make_target(card, recording, None)
    features, metric = np.load(work / "features.npy"), get_metric(name)
    seconds, folding = [], []
    for _ in range(3):
        started = time.perf_counter()
        gram = Gram.of(features, target.stimulus_ids)
        folding.append(time.perf_counter() - started)
        started = time.perf_counter()
        score = aggregate(split_correlations([cross_validate(metric, gram, target)]))[0]
        seconds.append(time.perf_counter() - started)
    return {"seconds": float(np.median(seconds)), "gram_seconds": float(np.median(folding)), "score": score}


def ventral_pls(mirror: Path, work: Path) -> Result:
    """Our pls on the same features in memory, and the Gram matrix it starts from."""
    return _ventral_metric(mirror, work, "pls")


def ventral_ridge(mirror: Path, work: Path) -> Result:
    """Our ridge on the same features in memory, and the Gram matrix it starts from."""
    return _ventral_metric(mirror, work, "ridge")


def ventral_run(mirror: Path, work: Path) -> Result:
    """`alignment.score`, from a name to scores, nothing cached."""
    from alignment import score
    from alignment.reduction import Resources

    stages: dict[str, float] = {}

    def progress(stage: str, done: int, total: int) -> None:
        stages[stage] = time.perf_counter() - started

    started = time.perf_counter()
    (result,) = score(
        MODEL,
        f"Cowley2023.V4-{SESSION}",
        layers=LAYER,
        metric="pls",
        seed=0,
        mirror=mirror,
        resources=Resources(use_cache=False),
        progress=progress,
    )
    return {"seconds": time.perf_counter() - started, "score": result.raw, "stages": stages}


def ventral_all_layers(mirror: Path, work: Path) -> Result:
    """`alignment.score`: the layers behind every rectifier under four metrics, nothing cached."""
    return _ventral_layers(mirror, ALL_LAYERS)


def ventral_all_layers_and_stem(mirror: Path, work: Path) -> Result:
    """The same with the two layers before the first rectifier."""
    return _ventral_layers(mirror, [*STEM, *ALL_LAYERS])


def _ventral_layers(mirror: Path, names: list[str]) -> Result:
    from alignment import score
    from alignment.reduction import Resources

    stages: dict[str, float] = {}
    started = last = time.perf_counter()

    def progress(stage: str, done: int, total: int) -> None:
        nonlocal last
        now = time.perf_counter()
        stages[stage], last = stages.get(stage, 0.0) + now - last, now

    scores = score(
        MODEL,
        f"Cowley2023.V4-{SESSION}",
        layers=names,
        metric=ALL_METRICS,
        seed=0,
        mirror=mirror,
        resources=Resources(use_cache=False, memory=MEMORY),
        progress=progress,
    )
    layers = {row.layer: row.n_features for row in scores}
    return {
        "seconds": time.perf_counter() - started,
        "stages": stages,
        "layers": layers,
        "scores": {f"{row.layer} {row.metric}": row.raw for row in scores},
    }


def bare_forward(mirror: Path, work: Path) -> Result:
    """The same images, already decoded and normalised in memory, through plain torch to the same layer."""
    import torch

    return _bare_forward(mirror, torch.contiguous_format)


def bare_forward_channels_last(mirror: Path, work: Path) -> Result:
    """The same in the memory format that Ventral uses."""
    import torch

    return _bare_forward(mirror, torch.channels_last)


def bare_forward_whole(mirror: Path, work: Path) -> Result:
    """The same images through the whole network."""
    import torch

    return _bare_forward(mirror, torch.contiguous_format, whole=True)


def _bare_forward(mirror: Path, memory_format: Any, *, whole: bool = False) -> Result:
    import torch

    from model_zoo.preprocessing import preprocess

    stimuli, _ = _stimuli_and_responses(mirror)
    model = _network()
    images = torch.stack([preprocess(stimuli.image(each), model.preprocessing) for each in stimuli.ids])
    images = images.to(memory_format=memory_format)
    net = model.module
    trunk = torch.nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool, net.layer1, net.layer2, net.layer3).eval()
    trunk = (net if whole else trunk).to(memory_format=memory_format)
    with torch.no_grad():
        faults, started = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.perf_counter()
        for batch in images.split(64):
            trunk(batch)
        seconds = time.perf_counter() - started
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
    return {"seconds": seconds, "page_faults": faults}


def vgg16(mirror: Path, work: Path) -> Result:
    """All 31 `features.*` layers of VGG16 over 1000 images, scored; nothing cached."""
    from dataclasses import replace

    from alignment.gram import gram_matrices
    from alignment.linear_maps import ridge
    from alignment.reduction import Resources
    from model_zoo.layers import list_layers
    from model_zoo.selection import select_layers
    from model_zoo.sources import load_model

    stimuli, target = _stimuli_and_responses(mirror)
    stimuli = stimuli.subset(stimuli.ids[:1000])
    responses = target.values[:1000]
    model = load_model("torchvision/vgg16", seed=0)
    layers = select_layers(["features.*"], list_layers(model.module, (224, 224), all_modules=True))
    import numpy as np

    from alignment.statistics import nan_median, pearson
    from benchmarks.splits import shuffle_splits

    resources = replace(Resources(use_cache=False), scratch_dir=work)
    started = time.perf_counter()
    (split,) = shuffle_splits(1000, n_splits=1)
    scores = {}
    with gram_matrices(model, stimuli, layers, resources) as grams:
        for layer in layers:
            predicted = ridge(grams(layer.name).split(split.train, split.test), responses[split.train])
            scores[layer.name] = float(nan_median(pearson(predicted, np.asarray(responses[split.test]))))
    return {
        "seconds": time.perf_counter() - started,
        "n_layers": len(layers),
        "n_features": sum(layer.n_features for layer in layers),
    }


MEASUREMENTS: dict[str, Callable[[Path, Path], Result]] = {
    function.__name__.replace("_", "-"): function
    for function in (
        brainscore_activations,
        brainscore_per_layer,
        brainscore_pls,
        brainscore_ridge,
        ventral_pls,
        ventral_ridge,
        ventral_run,
        ventral_all_layers,
        ventral_all_layers_and_stem,
        bare_forward,
        bare_forward_channels_last,
        bare_forward_whole,
        vgg16,
    )
}


def main() -> None:
    """Run one measurement and print its result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("measurement", choices=sorted(MEASUREMENTS))
    parser.add_argument("--mirror", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    arguments = parser.parse_args()
    os.environ.update(BS_INSTALL_DEPENDENCIES="no", RESULTCACHING_DISABLE="1", VENTRAL_HOME=str(arguments.work))
    result = MEASUREMENTS[arguments.measurement](arguments.mirror, arguments.work)
    result["process_seconds"] = time.perf_counter() - STARTED
    result["peak_memory_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
