"""`ventral score` with a user's layer map, several metrics, and controls beside the scores."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from results.cli.app import app

SMALL = ("torchvision/resnet18", "--input-size", "32", "-b", "Simulated.V1")


def ventral(*arguments):
    return CliRunner().invoke(app, ["score", *map(str, (*SMALL, *arguments))])


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("VENTRAL_HOME", str(tmp_path / "home"))


def test_a_users_map_wins_over_commitment_and_is_recorded(tmp_path):
    chosen, found = tmp_path / "map.json", tmp_path / "scores.json"
    chosen.write_text(json.dumps({"V1": "layer2.0"}))
    done = ventral("--layer-map", chosen, "-m", "ridge", "-m", "cka", "--json", found, "-q")
    assert done.exit_code == 0, done.stderr
    rows = json.loads(found.read_text())["scores"]
    assert [(row["metric"], row["layer"], row["layer_choice"]) for row in rows] == [
        ("ridge", "layer2.0", "user"),
        ("cka", "layer2.0", "user"),
    ]


def test_a_map_beside_named_layers_is_refused(tmp_path):
    chosen = tmp_path / "map.json"
    chosen.write_text("{}")
    done = ventral("--layer-map", chosen, "--layers", "layer1.0")
    assert done.exit_code == 2
    assert "leave one of them out" in done.stderr


def test_twins_and_shuffled_stimuli_stand_in_table_json_and_page(tmp_path):
    found, page = tmp_path / "scores.json", tmp_path / "page.html"
    options = ("--layers", "layer1.0", "-m", "ridge", "--twin", "--twin-seeds", "2", "--shuffles", "19")
    done = ventral(*options, "--json", found, "--report", page, "-q")
    assert done.exit_code == 0, done.stderr
    (control,) = json.loads(found.read_text())["controls"]
    assert control["twins"]["seeds"] == [1, 2]  # not the model's own
    assert control["chance"]["n_shuffles"] == 19
    assert abs(control["chance"]["mean"]) < 0.1 < control["raw"]
    assert control["chance"]["p"] == pytest.approx(1 / 20)
    assert f"{control['twins']['difference']:+.3f}" in done.stdout
    assert f"{control['chance']['mean']:.3f}" in page.read_text()
