"""Nothing old is ever served: whatever could change a number makes it be computed again."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import xarray as xr
from PIL import Image

import alignment
import alignment.stored
import model_zoo.recall
import model_zoo.revision
from alignment import get_metric, score
from alignment.subjects import PrecomputedFeatures
from benchmarks.assemblies import make_assembly
from benchmarks.contracts import Recording
from benchmarks.folder import Description, write_folder
from benchmarks.stimuli import from_arrays
from model_zoo import cache, load_model
from model_zoo.errors import DataIntegrity
from model_zoo.machine import home
from model_zoo.recall import is_built, recall_model
from model_zoo.revision import code_revision

N_STIMULI, N_NEUROIDS = 24, 3
IDS = [f"s{number:02d}" for number in range(N_STIMULI)]
MODEL = "torchvision/squeezenet1_1"
SMALL = {"input_size": 48}


@pytest.fixture(autouse=True)
def _code_is_at_rest(monkeypatch: pytest.MonkeyPatch):
    """Whoever edits a file while these tests run does not turn the cache off."""
    monkeypatch.setattr(model_zoo.revision, "_started", lambda: float("inf"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    pixels = {each: rng.integers(0, 256, (40, 40, 3), dtype=np.uint8) for each in IDS}
    means = np.stack([each[:20].mean(axis=(0, 1)) for each in pixels.values()])  # (n_stimuli, n_neuroids)
    values = np.repeat(means, 2, axis=0) + rng.normal(size=(2 * N_STIMULI, N_NEUROIDS))
    assembly = make_assembly(
        np.round(values, 3) + 100,
        stimulus_ids=np.repeat(IDS, 2).tolist(),
        repetitions=[0, 1] * N_STIMULI,
        neuroid_ids=list("abc"),
        region="V4",
        unit="spikes/s",
    )
    described = Description("Mine", "V4", 8.0, unit="spikes/s", species="macaque", licence="none", citation="me")
    recording = Recording(assembly, from_arrays(pixels, visual_degrees=8.0))
    write_folder(tmp_path / "mine", described, recording, format="csv")
    for path in (tmp_path / "mine" / "images").iterdir():
        Image.open(path).save(path, compress_level=0)  # its size says nothing of its pixels
    return tmp_path / "mine"


def ask(folder: Path, model=None, **options):
    """Return the score, and whether it was computed rather than found."""
    stages: list[str] = []
    model = load_model(MODEL, seed=0, overrides=SMALL) if model is None else model
    settings = {"layers": "features.2", "metric": "ridge", "n_bootstrap": 20, **options}
    (found,) = score(model, str(folder), progress=lambda stage, *_: stages.append(stage), **settings)
    return SimpleNamespace(raw=found.raw, degrees=settings.get("visual_degrees"), computed="scores" in stages)


@pytest.fixture
def before(folder: Path) -> float:
    """The number that must not come back, once it is certain that it would be found."""
    first, again = ask(folder), ask(folder)
    assert (first.computed, again.computed) == (True, False)
    assert again.raw == first.raw
    return first.raw


@pytest.mark.parametrize(
    "override",
    [
        {"mean": (0.4, 0.456, 0.406)},
        {"std": (0.229, 0.224, 0.3)},
        {"interpolation": "nearest"},
        {"input_size": 56},
        {"input_size": (48, 56)},
    ],
    ids=lambda override: next(iter(override)),
)
def test_other_preprocessing(folder: Path, before: float, override: dict[str, object]):
    after = ask(folder, load_model(MODEL, seed=0, overrides={**SMALL, **override}))
    assert after.computed
    assert after.raw != before


def test_preprocessing_replaced_on_a_loaded_model(folder: Path, before: float):
    model = load_model(MODEL, seed=0, overrides=SMALL)
    after = ask(folder, replace(model, preprocessing=replace(model.preprocessing, std=(0.1, 0.2, 0.3))))
    assert after.computed
    assert after.raw != before


def test_one_weight_under_the_same_file_name(folder: Path, tmp_path: Path):
    file = tmp_path / "weights.pt"
    state = load_model(MODEL, seed=0).module.state_dict()
    torch.save(state, file)
    first = ask(folder, load_model(MODEL, weights=file, overrides=SMALL))
    assert not ask(folder, load_model(MODEL, weights=file, overrides=SMALL)).computed
    size = file.stat().st_size
    state["features.0.weight"][0, 0, 0, 0] += 1.0
    torch.save(state, file)
    assert file.stat().st_size == size
    after = ask(folder, load_model(MODEL, weights=file, overrides=SMALL))
    assert after.computed
    assert after.raw != first.raw


def test_weights_trained_since_the_model_was_loaded(folder: Path):
    model = load_model(MODEL, seed=0, overrides=SMALL)
    first = ask(folder, model)
    assert not ask(folder, model).computed
    model.module.get_parameter("features.0.weight").data[0] += 1.0
    after = ask(folder, model)
    assert after.computed
    assert after.raw != first.raw


def test_the_same_weights_from_a_file_name_their_classes(folder: Path, tmp_path: Path, before: float):
    """Random weights mean no classes, a checkpoint does, and behaviour is read out by them."""
    file = tmp_path / "weights.pt"
    torch.save(load_model(MODEL, seed=0).module.state_dict(), file)
    after = ask(folder, load_model(MODEL, weights=file, overrides=SMALL))
    assert after.computed
    assert after.raw == before


def test_other_responses_in_files_of_the_same_name_and_size(folder: Path, before: float):
    file = folder / "responses.csv"
    size = file.stat().st_size
    file.write_text(re.sub(r"\bs(\d\d)\b", lambda found: f"s{N_STIMULI - 1 - int(found[1]):02d}", file.read_text()))
    assert file.stat().st_size == size
    after = ask(folder)
    assert after.computed
    assert after.raw != before


def test_other_images_of_the_same_name_and_size(folder: Path, before: float):
    file = folder / "images" / f"{IDS[3]}.png"
    size = file.stat().st_size
    Image.fromarray(255 - np.array(Image.open(file))).save(file, compress_level=0)
    assert file.stat().st_size == size
    after = ask(folder)
    assert after.computed
    assert after.raw != before


def test_another_width_of_the_stimuli_in_the_description(folder: Path, before: float):
    file = folder / "benchmark.toml"
    text = file.read_text()
    file.write_text(text.replace("visual_degrees = 8.0", "visual_degrees = 4.0").replace("= 8\n", "= 4\n"))
    assert file.read_text() != text
    assert ask(folder).computed
    assert ask(folder, visual_degrees=8.0).raw != before


@pytest.mark.parametrize(
    ("option", "changes"),
    [({"visual_degrees": 16.0}, True), ({"layers": "features.4"}, True), ({"metric": "pls"}, True), ({}, False)],
    ids=["degrees", "layer", "metric", "none"],
)
def test_other_options(folder: Path, before: float, option: dict[str, object], changes: bool):
    after = ask(folder, **option)
    assert after.computed is changes
    assert (after.raw != before) is changes


def test_other_draws(folder: Path, before: float):
    assert ask(folder, n_bootstrap=21).computed


@pytest.mark.parametrize("change", [{"parameters": {"alpha": 2.0}}, {"version": 99}, {"ceiled_rule": "raw/ceiling"}])
def test_other_metric_of_the_same_name(
    folder: Path, before: float, change: dict[str, object], monkeypatch: pytest.MonkeyPatch
):
    metric = replace(get_metric("ridge"), **change)
    monkeypatch.setattr(alignment, "get_metric", lambda name: metric)
    assert ask(folder).computed
    assert not ask(folder).computed


@pytest.mark.parametrize("part", ["code_revision", "library_versions"])
def test_other_code_or_libraries(folder: Path, before: float, part: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(alignment.stored, part, lambda *_: "another")
    assert ask(folder).computed


def test_code_edited_while_this_process_runs_is_of_no_known_revision(
    folder: Path, before: float, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(model_zoo.revision, "_started", lambda: os.stat(alignment.stored.__file__).st_mtime - 1)
    assert code_revision(alignment.stored.ROOMS) is None
    assert ask(folder).computed


def test_an_edited_source_file_is_another_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "code.py"
    found = []
    for text in ("x = 1", "x = 2"):
        file.write_text(text)
        model_zoo.revision._revision.cache_clear()
        found.append(model_zoo.revision._revision((file,)))
    model_zoo.revision._revision.cache_clear()
    assert found[0] != found[1]


def _features(**layers: np.ndarray) -> PrecomputedFeatures:
    ids = {"stimulus_id": IDS}
    return PrecomputedFeatures(
        "mine", {name: xr.DataArray(each, dims=("stimulus_id", "f"), coords=ids) for name, each in layers.items()}
    )


def test_precomputed_features_with_one_other_value(folder: Path):
    values = np.random.default_rng(1).normal(size=(N_STIMULI, 5))
    first = ask(folder, _features(top=values), layers="top")
    assert not ask(folder, _features(top=values.copy()), layers="top").computed
    values[4, 2] += 1.0
    after = ask(folder, _features(top=values), layers="top")
    assert after.computed
    assert after.raw != first.raw


def test_a_layer_is_chosen_again_among_other_candidates(folder: Path, tmp_path: Path):
    """A better candidate added later wins, although a choice among the others is kept."""
    card = alignment.stored.get_benchmark("Simulated.V4-commitment")
    from benchmarks import load_benchmark

    file = folder / "benchmark.toml"
    file.write_text(f"commitment = {json.dumps([card.name])}\n" + file.read_text())
    _, (recording,) = load_benchmark(card)
    ids = [*IDS, *recording.stimuli.ids]
    rng = np.random.default_rng(2)

    def layer(signal: bool) -> xr.DataArray:
        values = rng.normal(size=(len(ids), 8))
        if signal:
            means = recording.assembly.groupby("stimulus_id").mean()
            rows = [list(means["stimulus_id"].values).index(each) for each in recording.stimuli.ids]
            values[len(IDS) :] = means.values[rows, :8]
        return xr.DataArray(values, dims=("stimulus_id", "f"), coords={"stimulus_id": ids})

    weak, strong = layer(False), layer(True)
    chosen = [
        score(PrecomputedFeatures("mine", layers), str(folder), metric="ridge", n_bootstrap=10)[0]
        for layers in ({"weak": weak}, {"weak": weak}, {"weak": weak, "strong": strong})
    ]
    assert [each.layer for each in chosen] == ["weak", "weak", "strong"]
    assert chosen[0].profile == chosen[1].profile


@pytest.fixture
def noted() -> str:
    """The identity of a model that must not be taken for another, once it is certain that it would be recalled."""
    first, again = recall_model(MODEL, overrides=SMALL), recall_model(MODEL, overrides=SMALL)
    assert (is_built(first), is_built(again)) == (True, False)
    return again.identity


def test_a_recalled_model_finds_the_scores_of_the_loaded_one(folder: Path, before: float, noted: str):
    model = recall_model(MODEL, overrides=SMALL)
    after = ask(folder, model)
    assert (after.raw, after.computed, is_built(model)) == (before, False, False)
    other = ask(folder, model, layers="features.4")
    assert (other.computed, is_built(model)) == (True, True)
    assert other.raw == ask(folder, layers="features.4").raw
    assert ask(folder, layers="features.4").computed is False


def test_a_recalled_model_is_not_what_it_was_trained_to_since(folder: Path, before: float, noted: str):
    model = recall_model(MODEL, overrides=SMALL)
    model.module.get_parameter("features.0.weight").data[0] += 1.0
    after = ask(folder, model)
    assert after.computed
    assert after.raw != before


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"overrides": {"input_size": 56}}, {"overrides": {**SMALL, "mean": (0.4, 0.456, 0.406)}}],
    ids=["seed", "size", "mean"],
)
def test_other_options_are_another_model(noted: str, change: dict[str, object]):
    after = recall_model(MODEL, **{"overrides": SMALL, **change})
    assert is_built(after)
    assert after.identity != noted


@pytest.mark.parametrize("part", ["code_revision", "library_versions", "installed_code", "_processor"])
def test_other_code_libraries_or_processor_are_another_model(noted: str, part: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(model_zoo.recall, part, lambda *_: "another")
    assert is_built(recall_model(MODEL, overrides=SMALL))


def test_nothing_is_recalled_while_code_is_edited(noted: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(model_zoo.recall, "code_revision", lambda *_: None)
    assert is_built(recall_model(MODEL, overrides=SMALL))


def test_other_weights_under_the_same_file_name_are_another_model(tmp_path: Path):
    file = tmp_path / "weights.pt"
    state = load_model(MODEL, seed=0).module.state_dict()
    torch.save(state, file)
    first, again = (recall_model(MODEL, weights=file) for _ in range(2))
    assert (is_built(first), is_built(again)) == (True, False)
    size, times = file.stat().st_size, (file.stat().st_atime_ns, file.stat().st_mtime_ns)
    state["features.0.weight"][0, 0, 0, 0] += 1.0
    torch.save(state, file)
    os.utime(file, ns=times)
    assert file.stat().st_size == size
    after = recall_model(MODEL, weights=file)
    assert is_built(after)
    assert after.identity != again.identity
    assert after.weights.sha256 != again.weights.sha256


def test_a_weights_file_changed_before_the_model_is_built(folder: Path, tmp_path: Path):
    file = tmp_path / "weights.pt"
    for seed in (0, 1):
        torch.save(load_model(MODEL, seed=seed).module.state_dict(), file)
        model = recall_model(MODEL, weights=file, overrides=SMALL)
    torch.save(load_model(MODEL, seed=0).module.state_dict(), file)
    old = recall_model(MODEL, weights=file, overrides=SMALL)
    assert not is_built(old)
    torch.save(model.module.state_dict(), file)
    with pytest.raises(DataIntegrity, match="identity noted when it was last built"):
        ask(folder, old)


def test_a_wrong_note_is_found_when_the_model_is_built(folder: Path, noted: str):
    (entry,) = (each for each in cache.list_entries(home() / "cache") if each.meta["what"] == "description of a model")
    content = json.loads(cache.load(home() / "cache", entry.key)["content"].tobytes())
    wrong = json.dumps({**content, "identity": "0" * 64}).encode()
    cache.store(home() / "cache", entry.key, {"content": np.frombuffer(wrong, np.uint8)}, entry.meta)
    planted = recall_model(MODEL, overrides=SMALL)
    assert planted.identity == "0" * 64
    with pytest.raises(DataIntegrity, match="expected the identity noted when it was last built, 000000000000, got"):
        ask(folder, planted)
    assert [each for each in cache.list_entries(home() / "cache") if each.meta["what"] == "score"] == []
    mended = recall_model(MODEL, overrides=SMALL)
    assert (mended.identity, is_built(mended)) == (noted, False)
    assert ask(folder, mended).raw == ask(folder).raw
