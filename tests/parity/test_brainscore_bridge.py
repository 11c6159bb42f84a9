"""Brain-Score's own classes give a model the same scores through our adapter, and nearly the same natively."""

from __future__ import annotations

import copy
import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alignment import get_metric
from alignment.brainscore import FastModel, Recorder
from alignment.jobs import Run, measure
from alignment.layers import LayerChoice
from alignment.official import score_official
from alignment.recordings import RecordingJob
from alignment.reduction import Resources
from alignment.subjects import ModelSubject
from benchmarks.brainscore import as_official, brainscore_card, brainscore_vision, to_brainscore
from benchmarks.brainscore.loading import as_recording
from benchmarks.contracts import BenchmarkCard, Official, Recording
from model_zoo.contracts import Preprocessing
from model_zoo.errors import InvalidOption, VentralError
from model_zoo.sources import from_module

pytestmark = [pytest.mark.brainscore, pytest.mark.mirror]

SIZE = 64
DEGREES = 8.0
LAYER, READOUT = "pool", "gelu"
N_STIMULI, N_REPEATS, N_NEUROIDS = 72, 4, 8
OBJECTS = ("car", "dog", "face", "tree")
RESOURCES = Resources(batch_size=16, threads=1, use_cache=False)


@pytest.fixture(scope="module", autouse=True)
def _brainscore_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    pytest.importorskip("brainscore_vision")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESULTCACHING_DISABLE", "1")
        for name in ("RESULTCACHING_HOME", "BRAINIO_HOME", "BRAINSCORE_HOME"):
            patch.setenv(name, str(tmp_path_factory.mktemp(name.lower())))
        yield


def network() -> Any:
    """Return a small network with random weights and a classifier for 1000 classes."""
    import torch
    from torch import nn

    parts = {
        "conv": nn.Conv2d(3, 24, 7, stride=4),
        "tanh": nn.Tanh(),
        "pool": nn.AdaptiveAvgPool2d(4),
        "flatten": nn.Flatten(),
        "hidden": nn.Linear(384, 96),
        "gelu": nn.GELU(),
        "fc": nn.Linear(96, 1000),
    }
    module, generator = nn.Sequential(OrderedDict(parts)), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weights in module.parameters():
            weights.copy_(torch.randn(weights.shape, generator=generator) / max(1, weights[0].numel()) ** 0.5)
    return module.eval()


@dataclass(frozen=True)
class Trial:
    """The same model and the same data, in both worlds."""

    subject: ModelSubject
    network: Any  # a copy that our extraction does not lay out anew
    recording: Recording
    assembly: Any
    tag: str
    official: dict[tuple[str, float, str | None], Any]

    def expected(self, metric: str, degrees: float, stratification: str | None = "object_name") -> Any:
        """Return the score that Brain-Score alone gives, computed once."""
        key = (metric, degrees, stratification)
        if key not in self.official:
            self.official[key] = self.benchmark(metric, stratification)(self.commitment(degrees))
        return self.official[key]

    def benchmark(self, metric: str, stratification: str | None = "object_name") -> Any:
        """Return a NeuralBenchmark of brainscore-vision; caches and screens tell them apart by content."""
        bv = brainscore_vision()
        from brainscore_vision.benchmark_helpers.neural_common import NeuralBenchmark, average_repetition

        keywords = {} if metric == "rdm" else {"crossvalidation_kwargs": {"stratification_coord": stratification}}
        repetitions, ceiler = self.assembly, bv.load_ceiling("internal_consistency")
        return NeuralBenchmark(
            identifier=f"offline-{self.tag}-{metric}",
            version=3,
            assembly=average_repetition(repetitions),
            similarity_metric=bv.load_metric(metric, **keywords),
            visual_degrees=DEGREES,
            number_of_trials=1,
            ceiling_func=lambda: ceiler(repetitions),
            parent="V4",
        )

    def commitment(self, degrees: float) -> Any:
        """Return Brain-Score's own wrapping of the model."""
        from brainscore_vision.model_helpers.activations.pytorch import PytorchWrapper, load_preprocess_images
        from brainscore_vision.model_helpers.brain_transformation import ModelCommitment

        wrapper = PytorchWrapper(
            identifier=f"offline-{self.tag}",
            model=self.network,
            preprocessing=partial(load_preprocess_images, image_size=SIZE),
            batch_size=16,
        )
        return ModelCommitment(
            identifier=f"offline-{self.tag}",
            activations_model=wrapper,
            layers=[LAYER],
            behavioral_readout_layer=READOUT,
            region_layer_map={"V4": LAYER},
            visual_degrees=degrees,
        )

    def run(self, degrees: float | None) -> Run:
        return Run(self.subject, RESOURCES, degrees, n_bootstrap=20)

    def layer(self, name: str = LAYER) -> Any:
        return next(layer for layer in self.subject.layers() if layer.name == name)


@pytest.fixture(scope="module")
def trial(mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """Stimuli, repeats and neurons of a real V4 session, and a small untrained network."""
    from benchmarks import get_benchmark
    from benchmarks.assemblies import make_assembly, to_repeats
    from benchmarks.fetch import locate
    from benchmarks.stimuli import from_arrays

    card = get_benchmark("Cowley2023.V4-210325")
    (published,) = card.load(lambda file: locate(file, mirror=mirror))
    repeats, ids = to_repeats(published.assembly)
    complete = np.flatnonzero(~np.isnan(repeats[:, :N_REPEATS]).any(axis=(1, 2)))[:N_STIMULI]
    repeats = repeats[complete, :N_REPEATS]
    reliable = np.argsort(-np.var(repeats.mean(axis=1), axis=0) / np.var(repeats, axis=(0, 1)))[:N_NEUROIDS]
    names = [ids[row] for row in complete]
    arrays = {name: np.asarray(published.stimuli.image(name)) for name in names}
    objects = [OBJECTS[row % len(OBJECTS)] for row in range(N_STIMULI)]
    rows = [(row, repetition) for repetition in range(N_REPEATS) for row in range(N_STIMULI)]
    assembly = make_assembly(
        np.array([repeats[row, repetition, reliable] for row, repetition in rows]),
        stimulus_ids=[names[row] for row, _ in rows],
        repetitions=[repetition for _, repetition in rows],
        neuroid_ids=[f"n{number:02d}" for number in reliable],
        region="V4",
        unit="spikes/100 ms",
        presentation_coords={"object_name": [objects[row] for row, _ in rows]},
    )
    assembly["subject"] = ("neuroid", np.array(["one", "two"])[np.arange(N_NEUROIDS) % 2])
    assembly.attrs["time_window"] = (50.0, 150.0)
    stimuli = from_arrays(
        arrays,
        visual_degrees=DEGREES,
        columns={"object_name": objects, "image_label": objects},
    )
    recording = Recording(assembly, stimuli)
    model = from_module("small", network(), Preprocessing(input_size=(SIZE, SIZE)))
    tag = hashlib.sha256(assembly.values.tobytes() + stimuli.content_hash.encode()).hexdigest()[:12]
    theirs = to_brainscore(recording, tmp_path_factory.mktemp("stimuli"), identifier=f"offline-{tag}")
    return Trial(ModelSubject(model), copy.deepcopy(model.module), recording, theirs, tag, {})


def official_card(**changes: Any) -> BenchmarkCard:
    from dataclasses import replace

    return replace(as_official(brainscore_card("brainscore/MajajHong2015public.V4-pls")), **changes)


@pytest.mark.parametrize(
    ("metric", "degrees"), [("pls", 8.0), ("pls", 10.0), ("pls", 6.0), ("ridge", 8.0), ("rdm", 8.0), ("rdm", 10.0)]
)
def test_the_adapter_scores_as_modelcommitment_does(trial: Trial, metric: str, degrees: float) -> None:
    benchmark = trial.benchmark(metric)
    theirs = trial.expected(metric, degrees)
    (ours,) = score_official(trial.run(degrees), official_card(), (Official(benchmark),), (trial.layer(),))
    assert ours.ceiled == pytest.approx(float(theirs), abs=1e-6)
    assert ours.raw == pytest.approx(float(theirs.attrs["raw"]), abs=1e-6)
    assert ours.ceiling == pytest.approx(float(theirs.attrs["ceiling"]), abs=1e-9)
    assert ours.n_stimuli == N_STIMULI
    if metric != "rdm":
        expected = theirs.attrs["raw"].attrs["raw"].mean("split")
        assert ours.unit_ids == tuple(expected["neuroid_id"].values)
        np.testing.assert_allclose(ours.unit_raw, expected.values, atol=1e-5)
        assert ours.split_error == pytest.approx(float(theirs.attrs["error"]), abs=1e-6)


@pytest.mark.parametrize(
    ("metric", "degrees", "stratification"),
    [("pls", 8.0, "object_name"), ("pls", 10.0, None), ("pls", 6.0, "object_name"), ("ridge", 8.0, "object_name")],
)
def test_the_native_form_scores_as_modelcommitment_does(
    trial: Trial, metric: str, degrees: float, stratification: str | None
) -> None:
    benchmark = trial.benchmark(metric, stratification)
    theirs = trial.expected(metric, degrees, stratification)
    card, data = as_recording(brainscore_card("brainscore/MajajHong2015public.V4-pls"), benchmark)
    assert (card.default_metric, card.stratification, card.n_stimuli) == (metric, stratification, N_STIMULI)
    job = RecordingJob.of(card, get_metric(metric), data, degrees).with_layers((trial.layer(),))
    ((_, layer, measured),) = measure([job], trial.run(degrees))
    ours = job.score("resnet18", layer, measured, 20)
    assert ours.raw == pytest.approx(float(theirs.attrs["raw"]), abs=1e-3)
    assert ours.ceiled == pytest.approx(float(theirs), abs=1e-3)
    assert ours.ceiling == pytest.approx(float(theirs.attrs["ceiling"]), abs=1e-9)
    assert ours.split_error == pytest.approx(float(theirs.attrs["error"]), abs=1e-3)


@pytest.mark.parametrize("kind", ["RSABenchmark", "TrainTestNeuralBenchmark"])
def test_other_classes_score_the_adapter_as_modelcommitment(trial: Trial, kind: str) -> None:
    bv = brainscore_vision()
    from brainscore_vision.benchmark_helpers import neural_common

    averaged = neural_common.average_repetition(trial.assembly)
    common = {"identifier": f"offline-{trial.tag}-{kind}", "version": 1, "visual_degrees": DEGREES}
    if kind == "RSABenchmark":
        benchmark = neural_common.RSABenchmark(assembly=averaged, region="V4", number_of_trials=1, bibtex="", **common)
    else:
        stimuli, ceiler = trial.assembly.attrs["stimulus_set"], bv.load_ceiling("internal_consistency")
        halves = []
        for shown in (stimuli.iloc[:50], stimuli.iloc[50:]):
            shown.identifier = f"{stimuli.identifier}-{len(shown)}"
            half = averaged.isel(presentation=np.isin(averaged["stimulus_id"].values, shown["stimulus_id"].values))
            half.attrs = {**trial.assembly.attrs, "stimulus_set": shown}
            halves.append(half)
        benchmark = neural_common.TrainTestNeuralBenchmark(
            train_assembly=halves[0],
            test_assembly=halves[1],
            similarity_metric=bv.load_metric("ridgecv_split"),
            ceiling_func=lambda: ceiler(trial.assembly),
            number_of_trials=1,
            parent="V4",
            **common,
        )
    theirs = benchmark(trial.commitment(10.0))
    (ours,) = score_official(trial.run(10.0), official_card(), (Official(benchmark),), (trial.layer(),))
    assert ours.ceiled == pytest.approx(float(theirs), abs=1e-6)
    assert ours.raw == pytest.approx(float(theirs.attrs["raw"]), abs=1e-6)
    assert ours.n_stimuli == N_STIMULI


BEHAVIOURS = [
    ("probabilities", ["fit"]),
    ("label", ["dog", "car", "knife"]),
    ("label", "imagenet"),
    ("odd_one_out", []),
]


@pytest.mark.parametrize(("task", "arguments"), BEHAVIOURS, ids=["probabilities", "label", "imagenet", "odd-one-out"])
def test_behaviour_equals_modelcommitments(trial: Trial, task: str, arguments: Any) -> None:
    stimuli = trial.assembly.attrs["stimulus_set"]
    fitting, shown = stimuli.iloc[:40], stimuli.iloc[36:]
    shown = shown.iloc[:36] if task == "odd_one_out" else shown
    given = {"probabilities": [fitting], "odd_one_out": []}.get(task, [arguments])
    commitment = trial.commitment(DEGREES)
    commitment.start_task(task, *given)
    recorder = Recorder(trial.subject, "ours", RESOURCES)
    readout = LayerChoice(trial.layer(READOUT))
    model = FastModel(recorder, lambda region: readout, lambda: readout, DEGREES)
    model.start_task(task, *given)
    theirs, ours = commitment.look_at(shown), model.look_at(shown)
    assert theirs.dims == ours.dims
    assert theirs.shape == ours.shape
    if task == "probabilities":
        assert list(ours["choice"].values) == list(theirs["choice"].values)
        # float32 features that differ in the last bit, and a solver that stops at a tolerance of 1e-4
        np.testing.assert_allclose(ours.values, theirs.values, atol=1e-5)
    else:
        np.testing.assert_array_equal(ours.values, theirs.values)
    model.start_recording("V4", time_bins=[(70, 170)])
    assert model.look_at(shown).dims == ("presentation", "neuroid"), "recording ends the task"


def test_i2n_of_a_fitted_readout_equals_modelcommitments(trial: Trial) -> None:
    bv = brainscore_vision()
    from brainscore_core.metrics import Score
    from brainscore_core.supported_data_standards.brainio.assemblies import BehavioralAssembly
    from brainscore_vision.benchmark_helpers.screen import place_on_screen
    from brainscore_vision.benchmarks import BenchmarkBase
    from brainscore_vision.model_interface import BrainModel

    stimuli, rng = trial.assembly.attrs["stimulus_set"], np.random.default_rng(0)
    rows = rng.integers(0, len(stimuli), 3000)
    truth = stimuli["image_label"].values[rows]
    distractor = np.array([rng.choice([each for each in OBJECTS if each != own]) for own in truth], dtype=object)
    choice = np.where(rng.random(len(rows)) < 0.8, truth, distractor)
    columns = {
        "stimulus_id": stimuli["stimulus_id"].values[rows],
        "sample_obj": truth,
        "dist_obj": distractor,
        "truth": truth,
        "choice": choice,
        "correct": choice == truth,
    }
    assembly = BehavioralAssembly(
        choice, coords={name: ("presentation", values) for name, values in columns.items()}, dims=["presentation"]
    )
    metric = bv.load_metric("i2n")

    class Behaviour(BenchmarkBase):
        def __call__(self, candidate: Any) -> Score:
            shown = place_on_screen(
                stimuli, target_visual_degrees=candidate.visual_degrees(), source_visual_degrees=DEGREES
            )
            candidate.start_task(BrainModel.Task.probabilities, shown)
            return metric(candidate.look_at(shown, number_of_trials=2), assembly)

    benchmark = Behaviour(f"offline-{trial.tag}-i2n", ceiling_func=None, version=1)
    theirs = benchmark(trial.commitment(10.0))
    (ours,) = score_official(trial.run(10.0), official_card(), (Official(benchmark),), None)
    assert ours.layer == "fc@input"
    assert ours.raw == pytest.approx(float(theirs), abs=1e-5)
    assert ours.split_error == pytest.approx(float(theirs.attrs["error"]), abs=1e-5)
    assert ours.ceiled is None


def test_time_bins_repeat_a_static_model(trial: Trial) -> None:
    stimuli = trial.assembly.attrs["stimulus_set"].iloc[:3]
    bins = [(50, 100), (100, 200)]
    commitment = trial.commitment(DEGREES)
    commitment.start_recording("V4", time_bins=bins)
    choice = LayerChoice(trial.layer())
    model = FastModel(Recorder(trial.subject, "ours", RESOURCES), lambda region: choice, lambda: choice, DEGREES)
    model.start_recording("V4", time_bins=bins)
    theirs, ours = commitment.look_at(stimuli).transpose("presentation", "neuroid", "time_bin"), model.look_at(stimuli)
    assert list(ours["time_bin"].values) == list(theirs["time_bin"].values)
    np.testing.assert_allclose(ours.values, theirs.values, atol=1e-4)
    np.testing.assert_array_equal(ours.values[..., 0], ours.values[..., 1])


def test_one_image_under_two_ids_is_shown_once_and_one_id_with_two_images_twice(trial: Trial, tmp_path: Path) -> None:
    from PIL import Image

    paths = [tmp_path / f"{name}.png" for name in "abc"]
    for path, grey in zip(paths, (10, 10, 200), strict=True):
        Image.new("RGB", (32, 32), (grey,) * 3).save(path)
    recorder = Recorder(trial.subject, "ours", RESOURCES)
    first = recorder([str(path) for path in paths], [trial.layer(READOUT)])
    assert len(recorder.shown) == 2
    np.testing.assert_array_equal(first.values[0], first.values[1])
    Image.new("RGB", (32, 32), (90,) * 3).save(paths[0])
    again = recorder([str(path) for path in paths], [trial.layer(READOUT)])
    assert np.abs(again.values[0] - first.values[0]).max() > 0.01


def test_what_needs_trials_that_differ_is_refused(trial: Trial) -> None:
    choice = LayerChoice(trial.layer(READOUT))
    model = FastModel(Recorder(trial.subject, "ours", RESOURCES), lambda region: choice, lambda: choice, DEGREES)
    model.start_recording("IT", time_bins=[(70, 170)])
    with pytest.raises(InvalidOption, match="microsaccades"):
        model.look_at(trial.assembly.attrs["stimulus_set"], number_of_trials=2, require_variance=True)


def test_a_failure_inside_brainscore_is_one_line(trial: Trial) -> None:
    def benchmark(model: Any) -> Any:
        model.start_recording("V4", time_bins=[(70, 170)])
        raise KeyError("stimulus_id")

    with pytest.raises(VentralError, match=r"brainscore/.*KeyError: 'stimulus_id'"):
        score_official(trial.run(None), official_card(), (Official(benchmark),), (trial.layer(READOUT),))


@pytest.mark.parametrize("change", ["metric", "ceiling", "averages", "splits", "alpha"])
def test_what_is_not_native_is_refused(trial: Trial, change: str) -> None:
    benchmark = trial.benchmark("rdm" if change == "metric" else "ridge")
    if change == "ceiling":
        benchmark._ceiling_func = lambda: 1.0
    elif change == "averages":
        benchmark._assembly = benchmark._assembly + 1e-3
        benchmark._assembly.attrs = trial.assembly.attrs
    elif change == "splits":
        benchmark._similarity_metric.cross_validation._split._split.random_state = 2
    elif change == "alpha":
        benchmark._similarity_metric.regression._regression.alpha = 2
    with pytest.raises(InvalidOption, match="--official"):
        as_recording(brainscore_card("brainscore/MajajHong2015public.V4-pls"), benchmark)


def test_a_region_without_a_named_layer_is_committed_on_the_simulated_area(trial: Trial) -> None:
    benchmark = trial.benchmark("ridge")
    (ours,) = score_official(trial.run(None), official_card(visual_degrees=DEGREES), (Official(benchmark),), None)
    assert ours.layer_choice == "committed on Simulated.V4-commitment"
    assert ours.profile is not None
    assert ours.layer == ours.profile.layers[int(np.argmax(ours.profile.raw))]
