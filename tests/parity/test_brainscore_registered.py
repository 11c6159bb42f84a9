"""Benchmarks as brainscore-vision defines them, on data made up in the published form: scored by name, both ways."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from alignment import score
from alignment.reduction import Resources
from benchmarks import get_benchmark
from benchmarks.fetch import data_folder
from model_zoo.contracts import LoadedModel, Preprocessing
from model_zoo.sources import from_module

pytestmark = pytest.mark.brainscore

N_STIMULI, N_REPEATS, SIZE = 60, 4, 32
OBJECTS = np.array(["car", "dog", "face", "tree"], dtype=object)
RESOURCES = Resources(batch_size=20, threads=1, use_cache=False)


@pytest.fixture(autouse=True)
def _brainscore(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("brainscore_vision")
    from brainscore_core.supported_data_standards.brainio import fetch

    monkeypatch.setattr(fetch, "_local_data_path", str(data_folder() / "brainio"))
    monkeypatch.setenv("BRAINIO_HOME", str(data_folder() / "brainio"))
    for name in ("BRAINSCORE_HOME", "RESULTCACHING_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("RESULTCACHING_DISABLE", "1")
    monkeypatch.setenv("BS_INSTALL_DEPENDENCIES", "no")
    monkeypatch.setenv("VENTRAL_OFFLINE", "1")


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    import torch
    from torch import nn

    parts = {
        "conv": nn.Conv2d(3, 12, 5, stride=3),
        "tanh": nn.Tanh(),
        "pool": nn.AdaptiveAvgPool2d(4),
        "flatten": nn.Flatten(),
        "fc": nn.Linear(192, 1000),
    }
    module, generator = nn.Sequential(OrderedDict(parts)), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weights in module.parameters():
            weights.copy_(torch.randn(weights.shape, generator=generator) / max(1, weights[0].numel()) ** 0.5)
    return from_module("small", module.eval(), Preprocessing(input_size=(SIZE, SIZE)))


@pytest.fixture
def stimuli(tmp_path: Path) -> Any:
    """Pictures whose brightness and colour follow smooth, random patterns."""
    from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet

    rng = np.random.default_rng(0)
    ids = [f"image{number:03d}" for number in rng.permutation(N_STIMULI)]
    objects = OBJECTS[np.arange(N_STIMULI) % 4]
    found = StimulusSet({"stimulus_id": ids, "object_name": objects, "image_label": objects})
    found.stimulus_paths = {}
    for name in ids:
        coarse = rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)
        found.stimulus_paths[name] = tmp_path / f"{name}.png"
        Image.fromarray(coarse).resize((48, 48), Image.Resampling.BICUBIC).save(found.stimulus_paths[name])
    found.identifier = f"made-up-{tmp_path}"
    return found


def brightness(stimuli: Any) -> np.ndarray:
    """Return means over a 4 x 4 grid of every picture, shape (n_stimuli, 48)."""
    grids = [
        np.asarray(Image.open(stimuli.get_stimulus(name)).resize((4, 4), Image.Resampling.BOX))
        for name in stimuli["stimulus_id"]
    ]
    return np.stack(grids).reshape(len(grids), -1) / 255.0


def recording(stimuli: Any, bins: list[tuple[int, int]], regions: dict[str, int], animals: bool = True) -> Any:
    """Return responses that follow the pictures, with noise, in the published form."""
    from brainscore_core.supported_data_standards.brainio.assemblies import NeuronRecordingAssembly

    rng, n_units = np.random.default_rng(1), sum(regions.values())
    signal = brightness(stimuli) @ rng.normal(size=(48, n_units))
    signal = (signal - signal.mean(0)) / signal.std(0)
    values = signal[None, :, :, None] + 0.7 * rng.normal(size=(N_REPEATS, N_STIMULI, n_units, len(bins)))
    rows = {name: np.tile(stimuli[name].values, N_REPEATS) for name in stimuli.columns}
    coords = {name: ("presentation", values) for name, values in rows.items()}
    coords |= {
        "repetition": ("presentation", np.repeat(np.arange(N_REPEATS), N_STIMULI)),
        "neuroid_id": ("neuroid", np.array([f"u{number}" for number in range(n_units)], dtype=object)),
        "region": ("neuroid", np.repeat(np.array(list(regions), dtype=object), list(regions.values()))),
        "time_bin_start": ("time_bin", [start for start, _ in bins]),
        "time_bin_end": ("time_bin", [end for _, end in bins]),
    }
    if animals:
        coords["animal"] = ("neuroid", np.array(["Chabo", "Tito"], dtype=object)[np.arange(n_units) % 2])
    assembly = NeuronRecordingAssembly(
        values.reshape(N_REPEATS * N_STIMULI, n_units, len(bins)),
        coords=coords,
        dims=("presentation", "neuroid", "time_bin"),
    )
    assembly.attrs.update(stimulus_set=stimuli, stimulus_set_identifier=stimuli.identifier)
    return assembly


def publish(monkeypatch: pytest.MonkeyPatch, name: str, package: str, **data: Any) -> None:
    """Hand `data` out instead of the published sets, and say that the files of the benchmark are here."""
    import importlib

    import brainscore_vision

    importlib.import_module(f"brainscore_vision.data.{package}")
    for key, value in data.items():
        registry = getattr(brainscore_vision, key)
        for identifier, content in value.items():
            monkeypatch.setitem(registry, identifier, lambda content=content: content)
    for file in get_benchmark(name).files:
        path = data_folder() / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.mark.parametrize("degrees", [None, 10.0])
def test_majajhong_by_name(monkeypatch: pytest.MonkeyPatch, model: LoadedModel, stimuli: Any, degrees: Any) -> None:
    name = "brainscore/MajajHong2015public.IT-pls"
    assembly = recording(stimuli, [(70, 170)], {"V4": 5, "IT": 5})
    publish(monkeypatch, name, "majajhong2015", data_registry={"MajajHong2015.public": assembly})
    options = {"layers": "pool", "resources": RESOURCES, "visual_degrees": degrees, "n_bootstrap": 20}
    (native,) = score(model, name, **options)
    (official,) = score(model, name, official=True, **options)
    assert (native.kind, official.kind) == ("recording", "official")
    assert native.unit_ids == official.unit_ids == tuple(f"u{number}" for number in range(5, 10))
    assert (native.benchmark_version, official.benchmark_version) == (4, 4)
    assert native.raw > 0.2
    assert native.raw == pytest.approx(official.raw, abs=1e-3)
    assert native.ceiled == pytest.approx(official.ceiled, abs=1e-3)
    assert native.ceiling == pytest.approx(official.ceiling, abs=1e-9)
    assert native.n_stimuli == official.n_stimuli == N_STIMULI
    np.testing.assert_allclose(native.unit_raw, official.unit_raw, atol=5e-3)


def test_freemanziemba_by_name(monkeypatch: pytest.MonkeyPatch, model: LoadedModel, stimuli: Any) -> None:
    name = "brainscore/FreemanZiemba2013public.V1-pls"
    stimuli["texture_type"] = np.array(["texture", "noise"] * (N_STIMULI // 2), dtype=object)
    assembly = recording(stimuli, [(start, start + 1) for start in range(45, 205)], {"V1": 5, "V2": 5}, animals=False)
    publish(monkeypatch, name, "freemanziemba2013", data_registry={"FreemanZiemba2013.public": assembly})
    options = {"layers": "pool", "resources": RESOURCES, "n_bootstrap": 20}
    (native,) = score(model, name, **options)
    (official,) = score(model, name, official=True, **options)
    assert native.raw == pytest.approx(official.raw, abs=1e-3)
    assert native.ceiling == pytest.approx(official.ceiling, abs=1e-9)
    assert native.n_neuroids == 5


def test_rajalingham_by_name(monkeypatch: pytest.MonkeyPatch, model: LoadedModel, stimuli: Any) -> None:
    from brainscore_core.supported_data_standards.brainio.assemblies import BehavioralAssembly

    rng = np.random.default_rng(0)
    rows = rng.integers(0, N_STIMULI, 3000)
    truth = stimuli["image_label"].values[rows]
    other = np.array([rng.choice([each for each in OBJECTS if each != own]) for own in truth], dtype=object)
    choice = np.where(rng.random(len(rows)) < 0.8, truth, other)
    columns = {"stimulus_id": stimuli["stimulus_id"].values[rows], "sample_obj": truth, "dist_obj": other}
    columns |= {"truth": truth, "choice": choice}
    assembly = BehavioralAssembly(
        choice, coords={key: ("presentation", values) for key, values in columns.items()}, dims=["presentation"]
    )
    assembly.attrs["stimulus_set"] = stimuli
    name = "brainscore/Rajalingham2018public-i2n"
    registries = {
        "data_registry": {"Rajalingham2018.public": assembly},
        "stimulus_set_registry": {"objectome.public": stimuli},
    }
    publish(monkeypatch, name, "rajalingham2018", **registries)
    (ours,) = score(model, name, resources=RESOURCES, visual_degrees=10.0)
    assert (ours.kind, ours.region, ours.layer) == ("official", "behaviour", "fc@input")
    assert ours.layer_choice == "the classifier's input"
    assert ours.ceiling is not None
    assert -1 <= ours.raw <= 1
