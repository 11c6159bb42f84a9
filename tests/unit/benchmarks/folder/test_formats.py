"""Every format holds the same numbers as memory: what is read is what was written, and scores alike."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from alignment.subjects import PrecomputedFeatures
from benchmarks import get_benchmark, load_benchmark
from benchmarks.assemblies import average_repetitions, make_assembly, to_repeats
from benchmarks.contracts import Recording
from benchmarks.folder import FORMATS, examine_folder, open_folder, write_folder

N_STIMULI, N_REPEATS, N_NEUROIDS = 30, 3, 4


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("missing", [True, False])
def test_a_written_recording_scores_as_it_did_in_memory(
    kit: SimpleNamespace, tmp_path: Path, format: str, missing: bool
):
    recording = kit.make_recording(missing)
    write_folder(tmp_path / "mine", replace(kit.mine, stratification="label"), recording, format=format)
    examined = examine_folder(tmp_path / "mine")
    assert examined.errors == ()
    (read,) = examined.card.load(None)
    np.testing.assert_array_equal(to_repeats(read.assembly)[0], to_repeats(recording.assembly)[0])
    assert read.assembly["neuroid_id"].values.tolist() == recording.assembly["neuroid_id"].values.tolist()
    assert all((np.asarray(read.stimuli.image(each)) == image).all() for each, image in kit.images().items())
    expected = kit.in_memory_score(examined.card, recording, kit.make_features())
    assert expected.raw > 0.5
    assert kit.text(kit.folder_score(tmp_path / "mine", kit.make_features())) == kit.text(expected)


@pytest.mark.parametrize("format", FORMATS)
def test_averages_have_no_ceiling(kit: SimpleNamespace, tmp_path: Path, format: str):
    recording = kit.make_recording(missing=False)
    means = to_repeats(recording.assembly)[0].mean(axis=1)
    averaged = make_assembly(means, stimulus_ids=kit.ids, neuroid_ids=list("wxyz"), region="V4", unit=kit.mine.unit)
    write_folder(tmp_path / "mine", kit.mine, Recording(averaged, recording.stimuli), format=format)
    examined = examine_folder(tmp_path / "mine")
    assert any("no ceiling" in remark for remark in examined.remarks)
    score = kit.folder_score(tmp_path / "mine", kit.make_features())
    assert score.ceiling is None
    assert kit.text(score) == kit.text(
        kit.in_memory_score(examined.card, Recording(averaged, recording.stimuli), kit.make_features())
    )


@pytest.mark.parametrize("shuffled", [False, True])
def test_a_long_table_in_any_order_is_the_same_recording(kit: SimpleNamespace, folder: Path, shuffled: bool):
    recording = kit.make_recording()
    table = kit.long_table(recording).dropna()
    if shuffled:
        first = table[table["repetition"] == 0].iloc[:N_NEUROIDS]  # neuroids are numbered as they first appear
        table = pd.concat([first, table.drop(first.index).sample(frac=1.0, random_state=0)])
    table.to_csv(folder / "responses.csv", index=False)
    (read,) = open_folder(folder).load(None)
    np.testing.assert_array_equal(to_repeats(read.assembly)[0], to_repeats(recording.assembly)[0])


def test_presentations_in_the_order_of_the_experiment(kit: SimpleNamespace, folder: Path):
    recording = kit.make_recording(missing=False)
    order = np.random.default_rng(0).permutation(recording.assembly.sizes["presentation"])
    (folder / "responses.csv").unlink()
    np.save(folder / "responses.npy", recording.assembly.values[order].astype(np.float32))
    shown = recording.assembly["stimulus_id"].values[order]
    pd.DataFrame({"stimulus_id": shown, "repetition": recording.assembly["repetition"].values[order]}).to_csv(
        folder / "presentations.csv", index=False
    )
    (read,) = open_folder(folder).load(None)
    expected = recording.assembly.values.astype(np.float32)
    np.testing.assert_array_equal(read.assembly.values, expected)
    assert read.assembly["stimulus_id"].values.tolist() == recording.assembly["stimulus_id"].values.tolist()


def test_neuroids_can_be_chosen_and_put_in_order(kit: SimpleNamespace, folder: Path):
    (folder / "neuroids.csv").write_text("neuroid_id,animal\nn3,Bert\nn1,Anna\n")
    examined = examine_folder(folder)
    (read,) = examined.card.load(None)
    np.testing.assert_array_equal(read.assembly.values, kit.make_recording(missing=False).assembly.values[:, [3, 1]])
    assert read.assembly["animal"].values.tolist() == ["Bert", "Anna"]
    assert any("keeps 2 of the 4 neuroids" in remark for remark in examined.remarks)


def test_an_xarray_file_of_any_layout_is_read(kit: SimpleNamespace, folder: Path):
    recording = kit.make_recording(missing=False)
    (folder / "responses.csv").unlink()
    array = xr.DataArray(
        recording.assembly.values.T[..., None],
        dims=("neuroid", "presentation", "time_bin"),
        coords={
            "stimulus_id": ("presentation", recording.assembly["stimulus_id"].values),
            "repetition": ("presentation", recording.assembly["repetition"].values),
            "neuroid_id": ("neuroid", np.arange(N_NEUROIDS)),
        },
    )
    array.to_dataset(name="spikes").to_netcdf(folder / "responses.nc", engine="h5netcdf")
    (read,) = open_folder(folder).load(None)
    np.testing.assert_array_equal(read.assembly.values, recording.assembly.values)
    assert read.assembly["neuroid_id"].values.tolist() == ["0", "1", "2", "3"]


@pytest.mark.mirror
@pytest.mark.parametrize("format", ["npy", "zarr"])
def test_part_of_a_published_session_scores_as_its_card_does(
    kit: SimpleNamespace, tmp_path: Path, mirror: Path, format: str
):
    card = get_benchmark("Cowley2023.V4-210325")
    (whole,) = load_benchmark(card, mirror)[1]
    ids = whole.stimuli.ids[::6]
    chosen = np.isin(whole.assembly["stimulus_id"].values, ids)
    part = Recording(whole.assembly.isel(presentation=chosen, neuroid=slice(0, 12)), whole.stimuli.subset(ids))
    described = replace(kit.mine, unit="spikes/100 ms", visual_degrees=card.visual_degrees)
    write_folder(tmp_path / "part", described, part, format=format)
    others = average_repetitions(whole.assembly.isel(presentation=chosen, neuroid=slice(12, 40)))
    array = xr.DataArray(others.values, dims=("stimulus_id", "feature"), coords={"stimulus_id": list(ids)})
    features = PrecomputedFeatures("neighbours", {"top": array})
    expected = kit.in_memory_score(card, part, features)
    found = kit.folder_score(tmp_path / "part", features)
    evidence = replace(found.evidence, pairing=expected.evidence.pairing)  # of two benchmarks: not to be paired
    renamed = replace(found, benchmark=card.name, benchmark_version=card.version, evidence=evidence)
    assert kit.text(renamed) == kit.text(expected)
    assert expected.raw > 0.2
    assert expected.ceiling is not None
    (read,) = open_folder(tmp_path / "part").load(None)
    assert read.stimuli.content_hash == part.stimuli.content_hash  # images are copied byte for byte
