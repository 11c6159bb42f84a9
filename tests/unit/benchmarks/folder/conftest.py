"""A small planted recording, and a sound folder that holds it."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from threadpoolctl import threadpool_limits

import alignment
from alignment.jobs import Run, measure
from alignment.recordings import RecordingJob
from alignment.reduction import Resources
from alignment.subjects import PrecomputedFeatures
from benchmarks.assemblies import make_assembly
from benchmarks.contracts import BenchmarkCard, Recording
from benchmarks.folder import Description, write_folder
from benchmarks.stimuli import from_arrays
from model_zoo.machine import n_threads

N_STIMULI, N_REPEATS, N_NEUROIDS = 30, 3, 4
IDS = [f"s{number:02d}" for number in range(N_STIMULI)]
MINE = Description("Mine", "V4", 8.0, unit="spikes/100 ms", species="macaque", licence="none", citation="me")


def images(ids: list[str] = IDS) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {each: rng.integers(0, 256, (12, 12, 3), dtype=np.uint8) for each in ids}


def make_recording(missing: bool = True, stratified: bool = True) -> Recording:
    """Noisy responses to the features of `make_features`, some never recorded, one repetition never shown."""
    rng = np.random.default_rng(2)
    signal = make_features().features["top"].values @ rng.normal(size=(6, N_NEUROIDS))
    values = signal[:, None] + rng.normal(size=(N_STIMULI, N_REPEATS, N_NEUROIDS))
    if missing:
        values[3, 1, 2] = np.nan
    labels = ["ab"[number % 2] for number in range(N_STIMULI)]
    rows = values.reshape(-1, N_NEUROIDS)
    kept = np.arange(len(rows)) != 7 if missing else np.ones(len(rows), dtype=bool)
    assembly = make_assembly(
        rows[kept],
        stimulus_ids=np.repeat(IDS, N_REPEATS)[kept].tolist(),
        repetitions=np.tile(np.arange(N_REPEATS), N_STIMULI)[kept].tolist(),
        neuroid_ids=[f"n{number}" for number in range(N_NEUROIDS)],
        region="V4",
        unit=MINE.unit,
        animal="Anna",
        presentation_coords={"label": np.repeat(labels, N_REPEATS)[kept].tolist()} if stratified else None,
    )
    return Recording(assembly, from_arrays(images(), visual_degrees=8.0, columns={"label": labels}))


def make_features() -> PrecomputedFeatures:
    values = np.random.default_rng(3).normal(size=(N_STIMULI, 6))
    array = xr.DataArray(values, dims=("stimulus_id", "feature"), coords={"stimulus_id": IDS})
    return PrecomputedFeatures("mine", {"top": array})


def in_memory_score(card: BenchmarkCard, recording: Recording, features: PrecomputedFeatures) -> alignment.Score:
    """Return the score of a recording that was never written, under a card's rules."""
    run = Run(features, Resources(use_cache=False), n_bootstrap=50)
    job = RecordingJob.of(card, alignment.get_metric("ridge"), (recording,), None).with_layers(features.layers())
    with threadpool_limits(n_threads(), user_api="blas"):  # as `score` does: the last bits depend on it
        ((_, layer, measured),) = measure([job], run)
    return job.score(features.name, layer, measured, run.n_bootstrap)


def folder_score(folder: Path, features: PrecomputedFeatures) -> alignment.Score:
    (score,) = alignment.score(features, str(folder), layers="all", metric="ridge", n_bootstrap=50)
    return score


def text(score: alignment.Score) -> str:
    return json.dumps(asdict(score), default=list)


def set_key(folder: Path, key: str, value: str) -> None:
    path = folder / "benchmark.toml"
    lines = [line for line in path.read_text().splitlines() if not line.removeprefix("# ").startswith(f"{key} =")]
    path.write_text("\n".join([f"{key} = {value}", *lines]) + "\n")


def long_table(recording: Recording) -> pd.DataFrame:
    """Return one row per response."""
    assembly = recording.assembly
    rows = [
        (str(assembly["stimulus_id"].values[p]), int(assembly["repetition"].values[p]), f"n{n}", assembly.values[p, n])
        for p in range(assembly.sizes["presentation"])
        for n in range(N_NEUROIDS)
    ]
    return pd.DataFrame(rows, columns=["stimulus_id", "repetition", "neuroid_id", "response"])


@pytest.fixture(scope="session")
def kit() -> SimpleNamespace:
    """Return the planted data, as functions and constants."""
    return SimpleNamespace(
        ids=IDS,
        mine=MINE,
        images=images,
        make_recording=make_recording,
        make_features=make_features,
        in_memory_score=in_memory_score,
        folder_score=folder_score,
        text=text,
        set_key=set_key,
        long_table=long_table,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sound folder whose responses are a wide csv."""
    write_folder(tmp_path / "mine", replace(MINE, stratification="label"), make_recording(missing=False), format="csv")
    return tmp_path / "mine"
