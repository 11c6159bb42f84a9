"""`ventral data new|check` and scoring a folder, as a user meets them."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from results.cli.app import app

N_STIMULI = 24


def ventral(*arguments):
    """Run a command in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(N_STIMULI):
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(folder / f"view{number}.png")
    return folder


def test_from_pictures_and_counts_to_a_score_with_its_record(tmp_path: Path, pictures: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("counts.npy", np.random.default_rng(1).poisson(6.0, (N_STIMULI, 4, 5)))
    started = ventral("data", "new", "mine", "--images", "pictures", "--region", "IT", "--from-npy", "counts.npy")
    assert started.exit_code == 0, started.stderr
    assert "read where they are, pictures" in started.stdout
    checked = ventral("data", "check", "mine", "--json", "-")
    assert checked.exit_code == 0
    facts = json.loads(checked.stdout)
    assert (facts["ok"], facts["region"], facts["n_stimuli"], facts["n_neuroids"], facts["n_repeats"]) == (
        (True, "IT", N_STIMULI, 5, 4)
    )
    small = ("torchvision/resnet18", "--input-size", "32", "--layers", "layer1", "--metric", "ridge")
    scored = ventral("score", *small, "-b", "mine", "--json", "-", "-q")
    assert scored.exit_code == 0, scored.stderr
    record = json.loads(scored.stdout)
    assert record["scores"][0]["benchmark"] == "mine"
    assert record["scores"][0]["benchmark_version"] == facts["version"]
    assert record["provenance"]["benchmarks"]["mine"]["files"] == facts["contents"]
    assert set(facts["contents"]) == {"benchmark.toml", "stimuli.csv", "responses.npy", f"{pictures}/"}


def test_a_template_says_what_remains_and_is_sound_once_that_is_done(tmp_path: Path, pictures: Path):
    folder = tmp_path / "mine"
    started = ventral("data", "new", folder, "--images", pictures, "--copy")
    assert started.exit_code == 0
    assert "1. fill in responses.csv" in started.stdout
    unfilled = ventral("data", "check", folder)
    assert unfilled.exit_code == 2
    assert "error   responses.csv: expected responses that vary, got none recorded" in unfilled.stdout
    with (folder / "responses.csv").open() as file:
        rows = list(csv.reader(file))
    for number, row in enumerate(rows[1:]):
        row[2:] = [str(number), str(-number)]
    with (folder / "responses.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    filled = ventral("data", "check", folder)
    assert filled.exit_code == 0
    assert "remark  responses.csv holds no repeats: scores have no ceiling." in filled.stdout
    assert f"{folder}: no errors. V4, {N_STIMULI} stimuli, 2 neuroids" in filled.stdout
    again = ventral("data", "new", folder, "--images", pictures)
    assert again.exit_code == 2
    assert "expected a folder without a benchmark" in again.stderr


def test_what_check_names_is_what_score_refuses(tmp_path: Path, pictures: Path):
    folder = tmp_path / "mine"
    ventral("data", "new", folder, "--images", pictures)
    description = (folder / "benchmark.toml").read_text().replace('region = "V4"', 'region = "V5"')
    (folder / "benchmark.toml").write_text(description)
    (pictures / "view3.png").write_bytes(b"no image")
    checked = json.loads(ventral("data", "check", folder, "--json", "-").stdout)
    assert len(checked["errors"]) == 3
    refused = ventral("score", "torchvision/resnet18", "-b", folder)
    assert refused.exit_code == 2
    assert all(error in refused.stderr for error in checked["errors"])
    assert refused.stdout == ""
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    ("metric", "message"), [("plss", "did you mean pls?"), ("error_consistency", "expected a metric for recording")]
)
def test_the_default_metric_is_checked(tmp_path: Path, pictures: Path, metric: str, message: str):
    folder = tmp_path / "mine"
    np.save(tmp_path / "counts.npy", np.random.default_rng(1).poisson(6.0, (N_STIMULI, 4, 5)))
    ventral("data", "new", folder, "--images", pictures, "--from-npy", tmp_path / "counts.npy")
    with (folder / "benchmark.toml").open("r+") as file:
        text = file.read()
        file.seek(0)
        file.write(f'default_metric = "{metric}"\n{text}')
    checked = ventral("data", "check", folder, "--json", "-")
    assert checked.exit_code == 2
    (error,) = json.loads(checked.stdout)["errors"]
    assert message in error


@pytest.mark.parametrize(
    "arguments",
    [
        ("data", "new", "{tmp}/no/parent"),
        ("data", "new", "{tmp}/mine", "--images", "{tmp}/nothing"),
        ("data", "new", "{tmp}/mine", "--from-npy", "{tmp}/nothing.npy"),
        ("data", "check", "{tmp}/nothing"),
        ("score", "torchvision/resnet18", "-b", "{tmp}/nothing"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(tmp_path: Path, arguments: tuple[str, ...]):
    result = ventral(*(argument.format(tmp=tmp_path) for argument in arguments))
    assert result.exit_code == 2
    said = (result.stderr or result.stdout).strip()
    assert "expected" in said
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [("data", "new"), ("data", "check"), ("simulate",)], ids=" ".join)
def test_every_command_explains_itself_with_examples(command: tuple[str, ...]):
    result = ventral(*command, "--help")
    assert result.exit_code == 0
    assert "Examples" in result.stdout
