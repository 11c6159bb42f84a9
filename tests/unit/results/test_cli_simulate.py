"""`ventral simulate` writes what the generator draws, in the form of a real data set, with the truth."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from threadpoolctl import threadpool_limits
from typer.testing import CliRunner

import alignment
from alignment.jobs import Run, measure
from alignment.recordings import RecordingJob
from alignment.reduction import Resources
from alignment.subjects import PrecomputedFeatures
from benchmarks.contracts import Recording
from benchmarks.folder import FORMATS, examine_folder, open_folder
from benchmarks.simulation import Design, design_rates, simulate, true_ceiling, true_reliability
from model_zoo.machine import n_threads
from results.cli.app import app
from results.cli.simulate import Layout

DESIGN = Design("V4", n_stimuli=30, n_neuroids=4, n_repeats=3, noise=2.0, seed=5)
SIZES = ("--stimuli", 30, "--neuroids", 4, "--repeats", 3, "--noise", 2, "--seed", 5)


def ventral(*arguments):
    """Run a command in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def noisy_rates() -> PrecomputedFeatures:
    """Return a model between nothing and the truth: the generator's own rates and noise."""
    rates = design_rates(DESIGN)
    values = np.hstack([rates.values, np.random.default_rng(0).normal(10, 3, (len(rates), 3))])
    ids = rates["stimulus_id"].values
    array = xr.DataArray(values, dims=("stimulus_id", "feature"), coords={"stimulus_id": ids})
    return PrecomputedFeatures("rates", {"top": array})


def score_in_memory(folder: Path, recording: Recording, features: PrecomputedFeatures) -> alignment.Score:
    """Return the score of a recording that was never written, under the rules of the folder's card."""
    run = Run(features, Resources(use_cache=False), n_bootstrap=20)
    card = open_folder(folder)
    job = RecordingJob.of(card, alignment.get_metric("pls"), (recording,), None).with_layers(features.layers())
    with threadpool_limits(n_threads(), user_api="blas"):  # as `score` does: the last bits depend on it
        ((_, layer, measured),) = measure([job], run)
    return job.score(features.name, layer, measured, run.n_bootstrap)


@pytest.mark.parametrize("format", FORMATS)
def test_a_simulated_folder_scores_exactly_as_its_recording_in_memory(tmp_path: Path, format: str):
    folder = tmp_path / "planned"
    done = ventral("simulate", folder, *SIZES, "--format", format, "-q")
    assert done.exit_code == 0, done.stderr
    assert ventral("data", "check", folder).exit_code == 0
    recording = simulate(DESIGN)
    (score,) = alignment.score(noisy_rates(), str(folder), layers="all", n_bootstrap=20)
    expected = score_in_memory(folder, recording, noisy_rates())
    assert json.dumps(asdict(score), default=list) == json.dumps(asdict(expected), default=list)
    assert score.raw > 0.5
    (read,) = open_folder(folder).load(None)
    shown = recording.stimuli
    assert all(np.array_equal(read.stimuli.image(each), shown.image(each)) for each in shown.ids)


def test_the_truth_is_the_generators(tmp_path: Path):
    folder = tmp_path / "planned"
    done = ventral("simulate", folder, *SIZES, "-q")
    truth = json.loads((folder / "truth.json").read_text())
    assert Design(**truth["design"]) == DESIGN
    assert truth["true_ceiling"] == true_ceiling(DESIGN)
    assert truth["true_reliability"] == true_reliability(DESIGN).tolist()
    assert f"True ceiling: {true_ceiling(DESIGN):.3f}" in done.stdout


def test_observers_are_written_with_images_on_which_a_readout_is_fitted(tmp_path: Path):
    folder = tmp_path / "judged"
    options = ("--stimuli", 40, "--observers", 3, "--lapse", 0.1)
    done = ventral("simulate", folder, "--behaviour", *options, "-q")
    assert done.exit_code == 0, done.stderr
    choices = simulate(Design("behaviour", n_stimuli=40, n_observers=3, lapse_rate=0.1))
    examined = examine_folder(folder)
    assert examined.errors == ()
    (read,) = examined.card.load(None)
    for column in ("subject", "stimulus_id", "truth", "choice", "condition"):
        assert read.trials[column].tolist() == choices.trials[column].tolist()
    assert read.classes == choices.classes
    assert read.fitting().ids == choices.fitting().ids
    assert read.fitting().table["truth"].tolist() == choices.fitting().table["truth"].tolist()
    truth = json.loads((folder / "truth.json").read_text())
    assert len(truth["true_accuracy"]) == 3
    first = (folder / "stimuli.csv").read_text().splitlines()[1].split(",")[:2]
    (folder / "fitting.csv").write_text(f"stimulus_id,filename,truth\n{first[0]},{first[1]},{read.classes[0]}\n")
    errors = " ".join(examine_folder(folder).errors)
    assert f"expected images that are not judged, got {first[0]}" in errors
    assert "expected images of every class" in errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--observers", 3), "add --behaviour"),
        (("--lapse", 0.1), "add --behaviour"),
        (("--behaviour", "--repeats", 3), "leave it out"),
        (("--behaviour", "--region", "IT", "--format", "csv"), "--region, --format"),
        (("--noise", 0), "a positive multiple"),
        (("--behaviour", "--lapse", 0.9), "between 0 and 0.5"),
        (("--behaviour", "--observers", 1), "n_observers: expected at least 2"),
    ],
)
def test_what_makes_no_experiment_is_refused(tmp_path: Path, arguments: tuple, message: str):
    result = ventral("simulate", tmp_path / "planned", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert list(tmp_path.iterdir()) == []


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("format", FORMATS)
def test_force_replaces_a_simulation_and_nothing_that_is_more(tmp_path: Path, format: str):
    folder = tmp_path / "planned"
    sizes = ("--stimuli", 20, "--neuroids", 2, "--repeats", 2, "--force", "-q")
    for _ in range(2):
        assert ventral("simulate", folder, *sizes, "--format", format).exit_code == 0
    for foreign in ("notes.txt", "images/mine.png", "images/fitting/mine.png", "spikes/day1.bin", "responses.xlsx"):
        (folder / foreign).parent.mkdir(exist_ok=True)
        (folder / foreign).write_text("precious")
        before = contents(folder)
        refused = ventral("simulate", folder, *sizes)
        assert refused.exit_code == 2
        assert foreign in refused.stderr
        assert contents(folder) == before
        (folder / foreign).unlink()
        if foreign.startswith("spikes"):
            (folder / "spikes").rmdir()
    other = {"npy": "csv"}.get(format, "npy")
    (folder / f"responses.{other}").write_text("precious")
    assert f"responses.{other}" in ventral("simulate", folder, *sizes).stderr
    assert (folder / f"responses.{other}").read_text() == "precious"


@pytest.mark.parametrize("truth", [None, "{}", "[1]", "no json"])
def test_force_never_replaces_data_of_ones_own(tmp_path: Path, truth: str | None):
    folder = tmp_path / "mine"
    assert ventral("data", "new", folder).exit_code == 0
    if truth is not None:
        (folder / "truth.json").write_text(truth)
    before = contents(folder)
    for options in ((), ("--force",)):
        refused = ventral("simulate", folder, *SIZES, *options)
        assert refused.exit_code == 2
        assert "data that are no simulation; choose another name" in refused.stderr
    assert contents(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_observers_are_replaced_by_force(tmp_path: Path):
    folder = tmp_path / "judged"
    for seed in (0, 1):
        done = ventral("simulate", folder, "--behaviour", "--stimuli", 20, "--seed", seed, "--force", "-q")
        assert done.exit_code == 0, done.stderr
    assert json.loads((folder / "truth.json").read_text())["design"]["seed"] == 1


def test_a_benchmark_is_replaced_only_by_force(tmp_path: Path):
    folder = tmp_path / "planned"
    assert ventral("simulate", folder, *SIZES, "-q").exit_code == 0
    before = open_folder(folder).version
    refused = ventral("simulate", folder, *SIZES)
    assert refused.exit_code == 2
    assert "--force" in refused.stderr
    assert open_folder(folder).version == before
    assert ventral("simulate", folder, *SIZES[:-1], 6, "--force", "-q").exit_code == 0
    assert open_folder(folder).version != before
    assert [path.name for path in tmp_path.iterdir()] == ["planned"]


def test_every_format_can_be_asked_for():
    assert tuple(Layout) == FORMATS
