"""`ventral layers --score`: one table of layers by regions, from one forward pass."""

from __future__ import annotations

import csv
import json

import pytest
from typer.testing import CliRunner

from alignment import score
from model_zoo import load_model
from results.cli.app import app
from results.report import layer_figures

SMALL = ("torchvision/resnet18", "--input-size", "32")
OVERRIDES = {"input_size": (32, 32)}
LAYERS = ("layer1.0", "layer2.0", "layer3.0")


def ventral(*arguments):
    return CliRunner().invoke(app, [str(each) for each in arguments])


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("VENTRAL_HOME", str(tmp_path / "home"))


def test_the_table_holds_what_score_gives_for_every_layer_region_and_metric(tmp_path):
    table, page = tmp_path / "layers.csv", tmp_path / "layers.html"
    cells = ("-b", "Simulated.V1", "-b", "Simulated.IT", "-m", "ridge", "-m", "cka")
    done = ventral(
        "layers", *SMALL, "--score", "--layers", ",".join(LAYERS), *cells, "--csv", table, "--report", page, "-q"
    )
    assert done.exit_code == 0, done.stderr
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [(row["benchmark"], row["metric"], row["layer"]) for row in rows] == [
        (benchmark, metric, layer)
        for benchmark in ("Simulated.V1", "Simulated.IT")
        for metric in ("ridge", "cka")
        for layer in LAYERS
    ]
    model = load_model("torchvision/resnet18", seed=0, overrides=OVERRIDES)
    (alone,) = score(model, "Simulated.IT", layers="layer2.0", metric="ridge")
    (found,) = [
        row for row in rows if (row["benchmark"], row["metric"], row["layer"]) == ("Simulated.IT", "ridge", "layer2.0")
    ]
    assert float(found["raw"]) == pytest.approx(alone.raw, abs=1e-9)
    assert f"{alone.ceiled:.3f} ({alone.interval[0]:.3f} to {alone.interval[1]:.3f})" in done.stdout
    assert all(layer in done.stdout for layer in LAYERS)
    assert 'id="figure-layers"' in page.read_text()
    assert 'id="figure-profile"' in page.read_text()


def test_the_layer_chosen_on_other_data_is_marked_and_need_not_be_the_best_of_the_column():
    done = ventral("layers", *SMALL, "--score", "--commit", "-b", "Simulated.V4", "-m", "ridge", "-q")
    assert done.exit_code == 0, done.stderr
    model = load_model("torchvision/resnet18", seed=0, overrides=OVERRIDES)
    (committed,) = score(model, "Simulated.V4", metric="ridge")
    assert committed.profile is not None
    (starred,) = [line for line in done.stdout.splitlines() if line.rstrip().endswith("*")]
    assert starred.split()[0] == committed.layer
    assert "committed on Simulated.V4-commitment" in done.stdout


def test_the_record_holds_the_committed_layer_its_candidates_and_what_it_was_chosen_on(tmp_path):
    """Also where the chosen layer is none of those named, and so in no row of the table."""
    files = {name: tmp_path / f"layers.{name}" for name in ("json", "csv", "html")}
    model = load_model("torchvision/resnet18", seed=0, overrides=OVERRIDES)
    (expected,) = score(model, "Simulated.V4", metric="ridge")
    assert expected.profile is not None
    named = [name for name in expected.profile.layers if name != expected.layer][:2]
    outputs = ("--json", files["json"], "--csv", files["csv"], "--report", files["html"])
    run = ("--score", "--commit", "-b", "Simulated.V4", "-m", "ridge", "--layers", ",".join(named))
    done = ventral("layers", *SMALL, *run, *outputs, "-q")
    assert done.exit_code == 0, done.stderr
    found = json.loads(files["json"].read_text())
    assert [row["layer"] for row in found["scores"]] == named
    (committed,) = found["committed"]
    assert committed["layer"] == expected.layer
    assert committed["raw"] == pytest.approx(expected.raw, abs=1e-12)
    assert committed["layer_choice"] == "committed on Simulated.V4-commitment"
    assert committed["profile"]["layers"] == list(expected.profile.layers)
    assert committed["profile"]["raw"] == pytest.approx(expected.profile.raw, abs=1e-12)
    assert set(found["provenance"]["benchmarks"]) == {"Simulated.V4", "Simulated.V4-commitment"}
    rows = list(csv.DictReader(files["csv"].read_text().splitlines()))
    assert [(row["layer"], row["layer_choice"]) for row in rows] == [
        *((name, "user") for name in named),
        (expected.layer, "committed on Simulated.V4-commitment"),
    ]
    page = files["html"].read_text()
    assert 'id="figure-commitment"' in page
    candidates = len(expected.profile.layers)
    assert f"{expected.layer}: committed on Simulated.V4-commitment, from {candidates} candidates" in page


def test_json_goes_to_stdout_and_holds_every_layer():
    done = ventral(
        "layers", *SMALL, "--score", "--layers", "layer1.0,layer2.0", "-b", "Simulated.V1", "--json", "-", "-q"
    )
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert [row["layer"] for row in found["scores"]] == ["layer1.0", "layer2.0"]
    assert found["provenance"]["model"]["name"] == "torchvision/resnet18"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--commit",), "add --score"),
        (("-b", "Simulated.V1"), "--score with --benchmark"),
        (("--layers", "layer1.*"), "--score with --layers"),
        (("--score", "-b", "Simulated.V1", "-m", "accuracy"), "a metric for recording"),
        (("--score", "-b", "Simulated.V1", "--layers", "layer9"), "layer9"),
        (("--score", "-b", "Simulated.V1", "--csv", "/no/such/folder/x.csv"), "create the folder"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(arguments, said):
    done = ventral("layers", *SMALL, *arguments)
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_the_figure_frames_the_best_of_each_column_in_the_metrics_own_direction(make_score):
    scores = [
        make_score(layer=layer, metric=metric, raw=raw, ceiling=None)
        for metric, values in (("ridge", (0.1, 0.5, 0.3)), ("accuracy_difference", (0.1, 0.5, 0.3)))
        for layer, raw in zip(("a", "b", "c"), values, strict=True)
    ]
    figure = layer_figures.layer_table(scores)
    assert [(shape.x0 + shape.x1) / 2 for shape in figure.layout.shapes] == pytest.approx([0, 1])
    assert [(shape.y0 + shape.y1) / 2 for shape in figure.layout.shapes] == pytest.approx([1, 0])
    assert list(figure.data[0].y) == ["a", "b", "c"]
    assert layer_figures.layer_table(scores[:1]) is None
    starred = layer_figures.layer_table(scores, [scores[2]])  # layer c under ridge, the first column
    assert ["*" in row[0] for row in starred.data[0].text] == [False, False, True]
    assert not any("*" in row[1] for row in starred.data[0].text)
