"""`ventral compare` as a user meets it: files and models, refusals, and what is written."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from alignment import LayerProfile, Score
from alignment.comparison import compare
from alignment.scores import Evidence
from model_zoo.errors import DataIntegrity
from results import comparisons, records
from results.candidates import read_candidates
from results.cli.app import app
from results.report.comparison import render
from results.stored_scores import from_json

TINY = "timm/test_resnet"


def ventral(*arguments: object):
    """Run a command in this process."""
    return CliRunner().invoke(app, [str(each) for each in arguments])


def provenance(source: str = "seed 0") -> dict[str, Any]:
    return {"model": {"identity": "abc", "weights": {"source": source}}, "date": "2026-01-01T00:00:00+00:00"}


@pytest.fixture
def scores_of(make_score: Callable[..., Score]) -> Callable[..., list[Score]]:
    """Return a function that gives a model's scores in V4 and IT, with evidence; models share draws."""

    def made(seed: int, raw: float, model: str = "a/model") -> list[Score]:
        rng = np.random.default_rng(seed)
        scores = []
        for region in ("V4", "IT"):
            score = make_score(region, raw, model=model)
            stimuli, units = rng.normal(0, 0.005, (2, 300))
            headline = score.ceiled + np.stack([stimuli, units, stimuli + units])
            influence = raw + rng.normal(0, 0.1, 400)
            evidence = Evidence(
                pairing=region, raw=headline, headline=headline, by_stimulus=influence, by_unit=np.array(score.unit_raw)
            )
            scores.append(replace(score, evidence=evidence))
        return scores

    return made


@pytest.fixture
def files(tmp_path: Path, scores_of: Callable[..., list[Score]]) -> Mapping[str, Path]:
    """Return files of three models, of which "good" is better than the other two."""
    paths = {}
    for seed, (name, raw) in enumerate({"good": 0.6, "fair": 0.4, "same": 0.4}.items()):
        paths[name] = tmp_path / f"{name}.json"
        paths[name].write_text(records.to_json(scores_of(seed, raw, f"zoo/{name}"), provenance()))
    return paths


# -- files of scores


def test_scores_come_back_from_json_as_they_were(scores_of, profile: LayerProfile, tmp_path: Path):
    scores = [
        replace(each, profile=profile, details={"chance": 0.25, "nothing": float("nan")}, ceiling_interval=(0.7, 0.9))
        for each in scores_of(0, 0.5)
    ]
    path = tmp_path / "scores.json"
    path.write_text(records.to_json(scores, provenance()))
    read, committed, found = from_json(path)
    assert committed == ()
    assert found == provenance()
    for one, other in zip(scores, read, strict=True):
        nan = np.isnan(other.details["nothing"]), np.isnan(other.unit_raw[-1])
        assert nan == (True, True)
        same = {"details": {}, "unit_raw": ()}
        assert replace(one, **same) == replace(other, **same)
        assert one.unit_raw[:-1] == other.unit_raw[:-1]
        for name in ("raw", "headline", "by_stimulus", "by_unit"):
            np.testing.assert_allclose(getattr(one.evidence, name), getattr(other.evidence, name), rtol=1e-5)
    assert records.to_json(read, found) == path.read_text()


def test_a_committed_layer_stands_for_its_model_unless_layers_are_named(
    scores_of, files: Mapping[str, Path], tmp_path: Path
):
    """A file of `ventral layers --score --commit` has several layers per benchmark: the chosen one is meant."""
    named = [replace(each, layer=layer) for each in scores_of(1, 0.3, "zoo/deep") for layer in ("a", "b")]
    chosen = [
        replace(each, layer="b", layer_choice="committed on other data") for each in scores_of(2, 0.5, "zoo/deep")
    ]
    path = tmp_path / "layers.json"
    path.write_text(records.to_json(named, provenance(), committed=chosen))
    plain = tmp_path / "chosen.json"
    plain.write_text(records.to_json(chosen, provenance()))

    def compared(*arguments: object) -> object:
        result = ventral("compare", files["good"], *arguments, "--json", "-", "-q")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)["comparison"]["rows"]

    assert compared(path) == compared(plain)
    only_a = tmp_path / "a.json"
    only_a.write_text(records.to_json([each for each in named if each.layer == "a"], provenance()))
    some_layer = {each.layer for each in scores_of(0, 0.6)}.pop()
    assert compared(path, "--layers", f"{some_layer},a") == compared(only_a)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("not json", "Expecting value"),
        ("[]", "got a list where scores with their provenance belongs"),
        ("5", "got 5 where"),
        ("{}", "no field 'scores'"),
        ('{"scores": {}, "provenance": {}}', "got an object where a list of scores belongs"),
        ('{"scores": [null], "provenance": {}}', "got null where a Score belongs"),
        ('{"scores": [{"model": "m"}], "provenance": {}}', "no field 'benchmark'"),
        ('{"scores": [], "provenance": 3}', "got 3 where the provenance belongs"),
    ],
)
def test_a_file_without_scores_is_refused(tmp_path: Path, text: str, said: str):
    path = tmp_path / "scores.json"
    path.write_text(text)
    with pytest.raises(DataIntegrity, match=re.escape(said)):
        from_json(path)
    result = ventral("compare", path, path)
    assert result.exit_code == 2
    assert "ventral score --json" in result.stderr


# -- names


def test_candidates_are_told_apart_by_seed_weights_and_label(files: Mapping[str, Path], tmp_path: Path):
    checkpoint = tmp_path / "trained.safetensors"
    checkpoint.touch()
    texts = (TINY, f"{TINY}@7", f"{TINY}={checkpoint}", str(files["good"]), f"mine={files['good']}")
    found = read_candidates(texts, seed=0)
    assert [each.label for each in found] == [TINY, f"{TINY}@7", f"{TINY}={checkpoint}", "zoo/good", "mine"]
    assert [each.seed for each in found] == [0, 7, 0, 0, 0]
    assert found[2].weights == checkpoint
    assert read_candidates(texts[:2], seed=3)[0].label == f"{TINY}@3"


@pytest.mark.parametrize(("source", "label"), [("seed 4", "m@4"), ("/x/best.pt (EMA)", "m=best.pt (EMA)")])
def test_a_file_says_which_weights_its_model_had(scores_of, tmp_path: Path, source: str, label: str):
    for number in (1, 2):
        (tmp_path / f"{number}.json").write_text(records.to_json(scores_of(0, 0.5, "m"), provenance(source)))
    (first, _) = read_candidates([str(tmp_path / "1.json"), f"other={tmp_path / '2.json'}"], 0)
    assert first.label == label


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("model", 5, "5 where a text belongs"),
        ("raw", "much", "'much' where a number belongs"),
        ("n_stimuli", 1.5, "1.5 where a whole number belongs"),
        ("interval", [0.1], "1 values where 2 belong"),
        ("unit_ids", "a", "'a' where a list belongs"),
        ("details", [], "a list where an object belongs"),
        ("evidence", {"raw": ["x"]}, "no field 'pairing'"),
        ("evidence", {"pairing": "", "raw": ["x"], "headline": []}, "something else where numbers belong"),
    ],
)
def test_a_field_of_another_kind_is_said_in_words(scores_of, tmp_path: Path, field: str, value: object, said: str):
    content = json.loads(records.to_json(scores_of(0, 0.5), provenance()))
    content["scores"][0][field] = value
    path = tmp_path / "scores.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DataIntegrity, match=re.escape(f"got {said}; write the file again")):
        from_json(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda row: row["unit_raw"].pop(), "4 values in unit_raw where 5 belong"),
        (lambda row: row["evidence"]["by_unit"].append(0.5), "6 values in by_unit where 5 belong"),
        (lambda row: row["evidence"]["by_stimulus"].clear(), "0 values in by_stimulus where 400 belong"),
        (
            lambda row: row["evidence"]["raw"].pop(),
            "replicates of shapes (2, 300) and (3, 300) where (3, n) belongs twice",
        ),
        (lambda row: row["interval"].reverse(), "interval from 0.5 down to 0.4,"),
        (lambda row: row.update(raw=0.8), "ceiled 0.45 where raw 0.8 and ceiling 0.8 make 0.8"),
        (lambda row: row.update(ceiling=0.9), "ceiled"),
    ],
)
def test_a_score_that_contradicts_itself_is_refused_and_named(files, change, said: str):
    content = json.loads(files["good"].read_text())
    change(content["scores"][1])
    files["good"].write_text(json.dumps(content))
    result = ventral("compare", files["good"], files["fair"])
    assert result.exit_code == 2
    told = " ".join(result.stderr.split())
    assert said in told
    assert "in the score of" in told
    assert str(files["good"]) in told.replace(" ", "")


@pytest.mark.parametrize("name", ["scores.csv", "mine=scores.csv", "report.html", "notes", "weights.safetensors"])
def test_a_file_of_another_kind_points_to_json(files: Mapping[str, Path], tmp_path: Path, name: str):
    label, equals, file = name.rpartition("=")
    (tmp_path / file).touch()
    result = ventral("compare", files["good"], f"{label}{equals}{tmp_path / file}")
    assert result.exit_code == 2
    assert "a .json file of scores" in result.stderr
    assert "ventral score MODEL --json FILE.json" in result.stderr


def test_bad_input_is_refused_in_one_line(files: Mapping[str, Path], tmp_path: Path):
    good, fair = files["good"], files["fair"]
    both = json.loads(good.read_text())
    mixed = tmp_path / "mixed.json"
    mixed.write_text(json.dumps({**both, "scores": [*both["scores"], *json.loads(fair.read_text())["scores"]]}))
    cases = {
        (): "at least two models, got none",
        (good,): "at least two models, got only zoo/good",
        (good, good): f"zoo/good for {good} and for {good}",
        (good, tmp_path / "missing.json"): "missing.json",
        (good, f"{TINY}@x"): "a seed of at least 0",
        (good, f"{TINY}=missing.pt"): "no file 'missing.pt'",
        (good, mixed): "scores of one model",
        (good, fair, "--level", "95"): "between 0 and 1",
        (good, fair, "--correction", "tukey"): "holm, bh, none",
        (good, fair, "--aggregate", "median"): "mean, zscore, rank",
        (good, fair, "--plot", tmp_path / "x.gif"): ".png or .svg",
        (good, fair, "--json", tmp_path / "no" / "x.json"): "missing folder",
        (good, fair, "-b", "Other.V1"): f"none on Other.V1 in {fair}, which holds Study2020.V4 (pls, layer2)",
        (good, fair, "-m", "cka"): f"scores under cka in every file, got none of them in {good}",
        (good, fair, "-b", "Other.V1", "--common"): "scores on Other.V1 in every file",
        (good, fair, "-m", "plss"): "did you mean pls",
        (good, fair, "--input-size", "32"): "compare --input-size: expected a model given by its name",
        (good, f"{TINY}x", "-b", "Study2020.V4"): "benchmark 'Study2020.V4'",
        (TINY, f"{TINY}x", "-b", "Simulated.V4"): f"did you mean {TINY}",
    }
    for arguments, said in cases.items():
        result = ventral("compare", *arguments)
        assert result.exit_code == 2, arguments
        assert said in result.stderr, arguments
        assert len(result.stderr.strip().splitlines()) == 1, arguments


def test_what_is_not_shared_is_named_and_common_leaves_it_out(scores_of, files: Mapping[str, Path], tmp_path: Path):
    part = tmp_path / "part.json"
    part.write_text(records.to_json(scores_of(0, 0.5, "zoo/part")[:1], provenance()))
    result = ventral("compare", files["good"], part)
    assert result.exit_code == 2
    assert "Study2020.IT (pls) of zoo/part" in result.stderr
    common = ventral("compare", files["good"], part, "--common", "--json", "-")
    rows = json.loads(common.stdout)["comparison"]["rows"]
    assert [row["name"] for row in rows] == ["Study2020.V4"]


# -- what is written


def test_table_names_values_ranks_and_verdicts(files: Mapping[str, Path]):
    result = ventral("compare", *files.values())
    assert result.exit_code == 0, result.output
    for text in ("zoo/good - zoo/fair", "zoo/good better", "rank 1 (1 to 1)", "mean rank (1 = best)", "Holm"):
        assert text in result.stdout
    quiet = ventral("compare", *files.values(), "-q")
    assert "Holm" not in quiet.stdout
    assert "zoo/good better" in quiet.stdout
    assert len(quiet.stdout) < len(result.stdout)


def test_json_and_csv_hold_what_was_found(scores_of, files: Mapping[str, Path], tmp_path: Path):
    out = tmp_path / "out.json", tmp_path / "out.csv"
    assert ventral("compare", *files.values(), "--json", out[0], "--csv", out[1], "--correction", "bh").exit_code == 0
    models = {f"zoo/{name}": from_json(path)[0] for name, path in files.items()}
    expected = compare(models, correction="bh")
    found = json.loads(out[0].read_text(), parse_constant=pytest.fail)
    assert found["comparison"] == json.loads(comparisons.to_json(expected, {}))["comparison"]
    assert found["provenance"]["models"]["zoo/good"]["file"] == str(files["good"])
    rows = list(csv.DictReader(out[1].read_text().splitlines()))
    every = [each for row in (*expected.rows, *expected.aggregates) for each in row.differences]
    assert [float(row["p_adjusted"]) for row in rows] == [each.p_adjusted for each in every]
    assert [row["verdict"] for row in rows] == [each.verdict for each in every]
    assert rows[0]["first_value"] == str(expected.rows[0].standings[0].value)


def test_the_page_is_whole_and_escapes_names(scores_of):
    found = compare({"<b>A</b>": scores_of(0, 0.6), "B": scores_of(1, 0.4)})
    page = render(found, {"command": [], "ventral": "0", "date": "2026-01-01", "models": {"B": {"file": "b.json"}}})
    assert "<td>&lt;b&gt;A&lt;/b&gt;</td>" in page
    for text in ("figure-forest", "figure-matrix", "Plotly.newPlot", "mean rank", "b.json"):
        assert text in page
    own = page.partition("<script>")[0] + page.rpartition("</script>")[2]
    assert not re.search(r"(src|href)\s*=|@import|url\(", own)


@pytest.mark.parametrize(("suffix", "begins"), [("PNG", b"\x89PNG"), ("svg", b"<?xml"), ("html", b"<!DOCTYPE html>")])
def test_plots_are_written_whole(files: Mapping[str, Path], tmp_path: Path, suffix: str, begins: bytes):
    if suffix != "html":
        pytest.importorskip("matplotlib")
    path = tmp_path / f"plot.{suffix}"
    assert ventral("compare", *files.values(), "--plot", path).exit_code == 0
    assert path.read_bytes().startswith(begins)


def test_files_are_compared_without_torch(files: Mapping[str, Path]):
    code = (
        "import sys\nfrom results.cli.app import app\n"
        f"app(['compare', {str(files['good'])!r}, {str(files['fair'])!r}], standalone_mode=False)\n"
        "sys.exit(' '.join({'torch', 'timm', 'sklearn', 'plotly', 'matplotlib'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# -- models


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Return a folder benchmark of 24 small pictures and 5 neuroids."""
    rng = np.random.default_rng(0)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(24):
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(pictures / f"view{number}.png")
    np.save(tmp_path / "counts.npy", rng.poisson(6.0, (24, 4, 5)))
    folder = tmp_path / "mine"
    counts = tmp_path / "counts.npy"
    assert ventral("data", "new", folder, "--images", pictures, "--region", "IT", "--from-npy", counts).exit_code == 0
    return folder


def test_models_and_files_are_compared_together(recording: Path, tmp_path: Path):
    path = tmp_path / "zero.json"
    options = ("-b", recording, "--layers", "layer1", "--metric", "ridge", "--quiet")
    scored = ventral("score", TINY, *options, "--json", path)
    assert scored.exit_code == 0, scored.output
    result = ventral("compare", f"stored={path}", TINY, f"{TINY}@1", *options, "--json", "-")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    (row,) = found["comparison"]["rows"]
    assert (row["region"], row["metric"]) == ("IT", "ridge")
    same, *others = row["differences"]
    assert (same["value"], same["p"], same["p_units"], same["paired"]) == (0.0, 1.0, 1.0, True)
    assert all(each["paired"] and abs(each["value"]) > 0 for each in others)
    assert found["provenance"]["models"][f"{TINY}@1"]["weights"] == "seed 1"


def test_what_a_file_lacks_is_refused_before_a_model_is_scored(files: Mapping[str, Path]):
    result = ventral("compare", files["good"], TINY, "-b", "Study2020.V4", "-b", "Simulated.V1")
    assert result.exit_code == 2
    assert "none on Simulated.V1 in" in result.stderr


def test_models_are_run_as_ventral_score_runs_them(recording: Path, tmp_path: Path):
    path, layers = tmp_path / "small.json", tmp_path / "layers.json"
    layers.write_text('{"IT": "layer2"}')
    options = ("-b", recording, "--metric", "ridge", "--input-size", "32", "--mean", "0,0,0", "--batch-size", "8", "-q")
    scored = ventral("score", TINY, *options, "--layers", "layer2", "--json", path)
    assert scored.exit_code == 0, scored.output
    result = ventral(
        "compare", f"stored={path}", TINY, *options, "--layer-map", layers, "--memory", "1GB", "--json", "-"
    )
    assert result.exit_code == 0, result.output
    (row,) = json.loads(result.stdout)["comparison"]["rows"]
    (difference,) = row["differences"]
    assert (difference["value"], difference["paired"]) == (0.0, True)
    other = ventral("compare", f"stored={path}", TINY, "-b", recording, "--layers", "layer2", "-q", "--json", "-")
    assert json.loads(other.stdout)["comparison"]["rows"][0]["differences"][0]["value"] != 0.0
