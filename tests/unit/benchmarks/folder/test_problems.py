"""Everything that is wrong with a folder is named, one planted problem at a time and all at once."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import alignment
from benchmarks import is_folder_name
from benchmarks.folder import examine_folder
from model_zoo.errors import DataIntegrity

N_STIMULI, N_REPEATS, N_NEUROIDS = 30, 3, 4


def set_key(folder: Path, key: str, value: str) -> None:
    path = folder / "benchmark.toml"
    lines = [line for line in path.read_text().splitlines() if not line.removeprefix("# ").startswith(f"{key} =")]
    path.write_text("\n".join([f"{key} = {value}", *lines]) + "\n")


def responses(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "responses.csv", dtype=object, keep_default_na=False)


def edit_responses(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], None]:
    return lambda folder: change(responses(folder)).to_csv(folder / "responses.csv", index=False)


def set_cell(row: int, column: str, value: str) -> Callable[[Path], None]:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[row, column] = value
        return table

    return edit_responses(change)


def in_stimuli(old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "stimuli.csv"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return change


def key(name: str, value: str) -> Callable[[Path], None]:
    return lambda folder: set_key(folder, name, value)


def as_npy(array: np.ndarray) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / "responses.csv").unlink()
        np.save(folder / "responses.npy", array)

    return change


def damaged(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / "responses.csv").unlink()
        (folder / name).write_bytes(b"\x89HDF nothing of the kind")

    return change


def deep_image(folder: Path) -> None:
    Image.fromarray(np.full((8, 8), 40000, dtype=np.uint16)).save(folder / "images" / "s00.png")


def ragged(folder: Path) -> None:
    path = folder / "responses.csv"
    path.write_text(path.read_text() + "s00,9,1,1,1,1,1,1\n")


def few_stimuli(folder: Path) -> None:
    for name in ("stimuli.csv", "responses.csv"):
        table = pd.read_csv(folder / name, dtype=object)
        table[table["stimulus_id"] < "s10"].to_csv(folder / name, index=False)


ERRORS = {
    "no description": (lambda f: (f / "benchmark.toml").unlink(), "ventral data new"),
    "no toml": (lambda f: (f / "benchmark.toml").write_text("name = "), "expected readable TOML"),
    "unknown key": (key("regio", '"V4"'), "got 'regio'; did you mean region?"),
    "key missing": (lambda f: (f / "benchmark.toml").write_text('region = "V4"\nvisual_degrees = 8'), "key 'name'"),
    "unknown region": (key("region", '"V5"'), "expected a known region, got 'V5'"),
    "unknown kind": (key("kind", '"recordings"'), "did you mean recording?"),
    "kind and region": (key("region", '"behaviour"'), "expected behaviour for choices"),
    "no degrees": (key("visual_degrees", "-3"), "between 0 and 180, got -3"),
    "wrong window": (key("time_window", "[170, 70]"), "start before end"),
    "empty name": (key("name", '" "'), "a text that is not empty"),
    "unknown commitment": (key("commitment", '["Simulated.V4-comitment"]'), "did you mean Simulated.V4-commitment"),
    "commits to itself": (key("commitment", '["../mine"]'), "another benchmark"),
    "unknown strata": (key("stratification", '"labl"'), "did you mean label?"),
    "lonely stratum": (in_stimuli("s00.png,a", "s00.png,c"), "expected a column by which to split"),
    "responses elsewhere": (key("responses", '"../r.npy"'), "a file inside the folder"),
    "responses gone": (key("responses", '"r.npy"'), "expected the responses, got nothing there"),
    "responses missing": (lambda f: (f / "responses.csv").unlink(), "expected one file responses with"),
    "responses twice": (lambda f: np.save(f / "responses.npy", np.zeros(3)), "got responses.csv, responses.npy"),
    "no stimuli table": (lambda f: (f / "stimuli.csv").unlink(), "stimuli.csv: expected a file"),
    "no stimuli": (lambda f: (f / "stimuli.csv").write_text("stimulus_id,filename\n"), "at least one row"),
    "column renamed": (in_stimuli("filename", "file_name"), "rename file_name?"),
    "id empty": (in_stimuli("s04,", ","), "none in row 6"),
    "id twice": (in_stimuli("s04,", "s05,"), "got s05 twice"),
    "image escapes": (in_stimuli("s04.png", "../s04.png"), "files inside images/, got ../s04.png"),
    "image absolute": (in_stimuli("s04.png", "/tmp/s04.png"), "files inside images/, got /tmp/s04.png"),
    "image missing": (lambda f: (f / "images/s04.png").unlink(), "s04.png (no such file)"),
    "image damaged": (lambda f: (f / "images/s04.png").write_bytes(b"no"), "s04.png (not an image)"),
    "image cut": (
        lambda f: (f / "images/s04.png").write_bytes((f / "images/s04.png").read_bytes()[:150]),
        "files that open as images, got s04.png",
    ),
    "image deep": (deep_image, "8 bits per channel, got more in s00.png"),
    "stranger": (set_cell(4, "stimulus_id", "s99"), "1 other: s99"),
    "response id empty": (set_cell(4, "stimulus_id", ""), "none in row 6"),
    "no number": (
        set_cell(4, "n2", "12,5"),
        "responses.csv, n2: expected numbers, empty where missing, got '12,5' in row 6",
    ),
    "infinite": (set_cell(4, "n2", "inf"), "1 infinite one: n2 at stimulus s01"),
    "repetition twice": (set_cell(4, "repetition", "0"), "stimulus s01, repetition 0 twice"),
    "repetition no number": (set_cell(4, "repetition", "1.5"), "got 1.5 in row 6"),
    "neuroid twice": (
        lambda f: (f / "responses.csv").write_text((f / "responses.csv").read_text().replace("n2", "n1", 1)),
        "got n1 twice",
    ),
    "nothing recorded": (edit_responses(lambda t: t.assign(n0="", n1="", n2="", n3="")), "got none recorded"),
    "all constant": (edit_responses(lambda t: t.assign(n0=1, n1=1, n2=1, n3=2)), "got only constant ones"),
    "no neuroids": (edit_responses(lambda t: t[["stimulus_id", "repetition"]]), "or one column per neuroid"),
    "ragged": (ragged, "comma-separated UTF-8 table"),
    "few stimuli": (few_stimuli, "10 % of which are tested, got 10"),
    "axes swapped": (as_npy(np.zeros((4, N_STIMULI, 3))), "expected shape (30 stimuli, n_repeats, n_neuroids)"),
    "objects": (as_npy(np.array([["a"]])), "expected real numbers"),
    "complex": (as_npy(np.ones((N_STIMULI, 2, 2), dtype=complex)), "got type complex128"),
    "infinite npy": (as_npy(np.full((N_STIMULI, 2, 2), np.inf)), "120 infinite ones"),
    "npy damaged": (damaged("responses.npy"), "expected an array of numbers"),
    "nc damaged": (damaged("responses.nc"), "expected a readable .nc file"),
    "h5 damaged": (damaged("responses.h5"), "expected a readable .h5 file"),
    "zarr damaged": (damaged("responses.zarr"), "expected a readable .zarr file"),
    "nwb damaged": (damaged("responses.nwb"), "expected a time_window"),
    "neuroid unknown": (
        lambda f: (f / "neuroids.csv").write_text("neuroid_id\nn9\n"),
        "neuroid of responses.csv, got 'n9'",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_every_problem_is_named(kit: SimpleNamespace, folder: Path, name: str):
    damage, message = ERRORS[name]
    assert examine_folder(folder).errors == ()
    damage(folder)
    examined = examine_folder(folder)
    assert examined.card is None
    assert [error for error in examined.errors if message in error], examined.errors
    with pytest.raises(DataIntegrity) as refused:
        alignment.score(kit.make_features(), str(folder), layers="all")
    assert all(error in str(refused.value) for error in examined.errors)
    first, *listing = str(refused.value).splitlines()
    assert first.endswith(f"; mend what is listed here, then run `ventral data check {folder}`:")
    assert len(listing) == len(examined.errors)


def test_what_is_no_benchmark_is_not_to_be_started_there(tmp_path: Path):
    (tmp_path / "image.png").write_bytes(b"1")
    (error,) = examine_folder(tmp_path / "image.png").errors
    assert "expected a folder, got a file" in error
    (error,) = examine_folder(tmp_path).errors
    assert f"new {tmp_path}" not in error
    assert "start a new one with `ventral data new`" in error
    (error,) = examine_folder(tmp_path / "soon").errors
    assert f"start one with `ventral data new {tmp_path / 'soon'}`" in error


@pytest.mark.parametrize(("name", "is_folder"), [("", False), (".", True), ("a/b", True), ("V4", False)])
def test_a_folder_is_known_by_its_name(name: str, is_folder: bool):
    assert is_folder_name(name) is is_folder


def test_all_problems_are_named_at_once(folder: Path):
    names = ("unknown key", "no degrees", "image missing", "id twice", "no number", "infinite", "repetition twice")
    for name in names:
        if name != "infinite":
            ERRORS[name][0](folder)
    set_cell(8, "n1", "-inf")(folder)
    found = examine_folder(folder).errors
    for name in names:
        message = ERRORS[name][1].replace("n2 at stimulus s01", "n1 at stimulus s02")
        assert [error for error in found if message in error], name


def add_npy(array: np.ndarray, presentations: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        as_npy(array)(folder)
        (folder / "presentations.csv").write_text(presentations)

    return change


def test_a_long_table_names_what_is_given_twice(kit: SimpleNamespace, folder: Path):
    table = kit.long_table(kit.make_recording(missing=False))
    pd.concat([table, table.iloc[[5]]]).to_csv(folder / "responses.csv", index=False)
    (error,) = examine_folder(folder).errors
    assert f"s00 1 n1 in row {len(table) + 2} again" in error


def test_presentations_are_counted(folder: Path):
    add_npy(np.zeros((5, 2)), "stimulus_id,repetition\ns00,0\n")(folder)
    (error,) = examine_folder(folder).errors
    assert "expected 1 rows, as in presentations.csv, got shape (5, 2)" in error


def test_neuroids_of_an_array_are_counted(kit: SimpleNamespace, folder: Path):
    as_npy(np.random.default_rng(0).normal(size=(N_STIMULI, 2, 3)))(folder)
    (folder / "neuroids.csv").write_text("neuroid_id\na\nb\n")
    (error,) = examine_folder(folder).errors
    assert "expected 3 rows, one per neuroid of responses.npy, got 2" in error


REMARKS = {
    "never recorded": (edit_responses(lambda t: t.assign(n1="")), "1 neuroid never recorded, not scored: n1."),
    "constant": (edit_responses(lambda t: t.assign(n1=3)), "1 neuroid constant, not scored: n1."),
    "NaN": (edit_responses(lambda t: t.assign(n1=["", "NA", *t["n1"][2:]])), "of 90, by neuroid: n1 2."),
    "unequal": (edit_responses(lambda t: t.drop([4, 5, 7])), "1 to 3 per stimulus, 2 stimuli below the most"),
    "no repeats": (edit_responses(lambda t: t[t["repetition"] == "0"]), "no repeats"),
    "not numbered": (edit_responses(lambda t: t.drop(columns="repetition")), "does not number repetitions"),
    "not shown": (edit_responses(lambda t: t[t["stimulus_id"] != "s07"]), "1 stimulus without a response"),
    "one image twice": (lambda f: shutil.copy(f / "images/s00.png", f / "images/s01.png"), "s00.png = s01.png"),
    "not square": (lambda f: Image.new("RGB", (8, 4)).save(f / "images/s02.png"), "1 image not square"),
    "transparent": (lambda f: Image.new("RGBA", (8, 8)).save(f / "images/s02.png"), "1 image with transparency"),
    "small": (lambda f: None, "Only 3 stimuli are tested"),
    "not stated": (lambda f: set_key(f, "species", '"not stated"'), "does not state species"),
}


@pytest.mark.parametrize("name", REMARKS)
def test_what_is_odd_but_sound_is_a_remark(folder: Path, name: str):
    change, message = REMARKS[name]
    before = examine_folder(folder).remarks
    assert name == "small" or not any(message in remark for remark in before)
    change(folder)
    examined = examine_folder(folder)
    assert examined.errors == ()
    assert [remark for remark in examined.remarks if message in remark], examined.remarks
