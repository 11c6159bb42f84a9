"""What `ventral score` prints: footnotes, reasons, and refusals that come before anything heavy is imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from model_zoo import get_model_card, load_model
from results.cli.app import app
from results.cli.score import _print_table, formula
from results.report.figures import no_ceiling

TINY = "timm/test_resnet"
NAN = float("nan")


def ventral(*arguments: object):
    """Run a command in this process."""
    return CliRunner().invoke(app, [str(each) for each in arguments])


def printed(capsys: pytest.CaptureFixture[str], *scores, quiet: bool = False) -> str:
    _print_table(scores, quiet=quiet)
    return capsys.readouterr().out


def undefined_score(make_score, **changes):
    return make_score(raw=NAN, ceiled=NAN, interval=(NAN, NAN), raw_interval=(NAN, NAN), **changes)


# -- footnotes


def test_a_footnote_names_benchmark_layer_and_metric_and_quiet_leaves_all_out(make_score, capsys):
    scores = [make_score(metric="pls"), make_score(metric="ridge")]
    whole = printed(capsys, *scores)
    for metric in ("pls", "ridge"):
        assert f"Study2020.V4, layer2, {metric} (user): ceiled = r^2/ceiling" in whole
    quiet = printed(capsys, *scores, quiet=True)
    assert whole.startswith(quiet)
    assert "ceiled =" not in quiet
    assert quiet.rstrip().splitlines()[-1].split()[:2] == ["V4", "Study2020.V4"]


def test_an_undefined_score_says_why(make_score, capsys):
    score = undefined_score(make_score)
    assert formula(score) == "raw r undefined: constant features, predictions or responses"
    assert "none that count" in formula(undefined_score(make_score, kind="choices", metric="accuracy"))
    text = printed(capsys, score)
    assert "r undefined" in text
    assert "nan" not in text


def test_a_layer_of_constant_features_is_said_to_be_one(tmp_path: Path):
    state = load_model(TINY).module.state_dict()
    save_file({name: torch.zeros_like(value) for name, value in state.items()}, tmp_path / "zeros.safetensors")
    model = (TINY, "--weights", tmp_path / "zeros.safetensors", "--input-size", "32")
    run = ("-b", "Simulated.V1", "-m", "ridge", "--layers", "layer1.0")
    page = tmp_path / "page.html"
    done = ventral("score", *model, *run, "--report", page)
    assert done.exit_code == 0, done.output
    assert "(user): raw r undefined: constant features, predictions or responses" in done.stdout
    assert "undefined: constant features" in page.read_text()
    table = ventral("layers", *model, *run, "--score")
    assert table.exit_code == 0, table.output
    assert "layer1.0: undefined: constant features, predictions or responses." in table.stdout


def test_shares_of_layers_are_explained_where_there_are_some(make_score, capsys):
    shared = make_score(metric="banded_ridge", layer="a + b", details={"a": 0.1, "b": 0.2})
    text = printed(capsys, shared)
    assert "a 0.1, b 0.2" in text
    assert "its share of the variance explained in held-out responses" in text
    assert "its share" not in printed(capsys, make_score(details={"chance": 0.1}))


@pytest.mark.parametrize(
    ("metric", "kind", "n_repeats", "reason"),
    [
        ("shape_angle", "recording", 10, "this metric has no ceiling"),
        ("rsa-kendall", "recording", 10, "this metric has no ceiling"),
        ("rsa-kendall", "geometry", 1, "no ceiling"),
        ("pls", "recording", 10, "no ceiling: some parts are averages"),
        ("pls", "recording", 1, "no ceiling: only averages exist"),
        ("shape_bias", "choices", 1, "no ceiling"),
    ],
)
def test_why_there_is_no_ceiling(make_score, metric: str, kind: str, n_repeats: int, reason: str):
    assert no_ceiling(make_score(ceiling=None, metric=metric, kind=kind, n_repeats=n_repeats)) == reason


# -- refusals


def test_what_needs_no_model_is_refused_without_torch(tmp_path: Path):
    get_model_card(f"{TINY}"), get_model_card("torchvision/resnet18")  # from now on their names are remembered
    for name, text in {"five": '{"V4": 5}', "nowhere": '{"V9": "layer3"}'}.items():
        (tmp_path / f"{name}.json").write_text(text)
    score = ["score", TINY, "-b", "Simulated.V4"]
    refused = {
        "no folder /no": [*score, "--weights", "/no/such.pt"],
        "write \"layer3\"": [*score, "--layer-map", f"{tmp_path}/five.json"],
        "'V9'": [*score, "--layer-map", f"{tmp_path}/nowhere.json"],
        "timm/test_resnet": ["score", "timm/test_resnett"],
        "torchvision/resnet18": ["layers", "torchvision/resnet81"],
        "did you mean timm/resnet18, torchvision/resnet18?": ["describe", "resnet18"],
        "Simulated.V4": ["score", TINY, "-b", "Simulated.V44"],
        "did you mean ridge": [*score, "-m", "rigde"],
        "example 4GB": [*score, "--memory", "lots"],
        "three numbers": [*score, "--mean", "1,2"],
        "one of nearest": [*score, "--interpolation", "magic"],
        "'torchvision/resnet81'": ["compare", TINY, "torchvision/resnet81", "-b", "Simulated.V4"],
    }  # fmt: skip
    code = (
        "import json, sys\nfrom results.cli.app import app\n"
        "for line in json.loads(sys.argv[1]):\n"
        "    try:\n        app(line, standalone_mode=False)\n"
        "    except SystemExit as end:\n        assert end.code == 2, line\n"
        "    heavy = {'torch', 'timm', 'torchvision', 'pandas', 'xarray'} & set(sys.modules)\n"
        "    assert not heavy, (line, heavy)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(list(refused.values()))], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(lines) == len(refused)
    for said, line in zip(refused, lines, strict=True):
        assert said in line
