"""`ventral scaling` as a user meets it: own tables with planted laws, published experiments, refusals, files."""

from __future__ import annotations

import csv
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from typer.testing import CliRunner

from alignment import Score
from results.cli.app import app
from results.records import to_json
from results.scaling.published import gokce2024

# E, A, alpha: one family saturates at a score of 0.5 within what was seen, two have no end below 1.
PLANTED = {"convnet": (0.50, 0.45, 0.50), "transformer": (0.0, 0.90, 0.08), "hybrid": (0.0, 0.80, 0.05)}


def ventral(*arguments: object):
    """Run a command in this process."""
    return CliRunner().invoke(app, [str(each) for each in arguments])


def contents(*arguments: object) -> Any:
    """Return what a command writes as JSON."""
    result = ventral(*arguments, "--json", "-", "-q")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def write(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


@pytest.fixture
def families(tmp_path: Path) -> Path:
    """A table of three families of 60 models, their planted laws of compute, and a spread of 1 % in ln L."""
    rng = np.random.default_rng(0)
    rows = []
    for family, (floor, amount, alpha) in PLANTED.items():
        for number, compute in enumerate(np.geomspace(1e13, 1e19, 60)):
            misalignment = (floor + amount * (compute / 1e13) ** -alpha) * math.exp(rng.normal(0, 0.01))
            rows.append((f"{family}-{number}", family, f"{compute:.6e}", f"{1 - misalignment:.6f}"))
    return write(tmp_path / "mine.csv", ("model", "family", "compute", "score"), rows)


@pytest.fixture
def two_resources(tmp_path: Path) -> Path:
    """A table of a law of parameters and samples, L = 0.4 + 0.3 N^-0.4 + 0.2 D^-0.3, trained at 6 N D FLOPs."""
    rng = np.random.default_rng(1)
    rows = []
    for number, (n, d) in enumerate(10 ** rng.uniform((5, 4), (8, 8), (150, 2))):
        misalignment = (0.4 + 0.3 * (n / 1e5) ** -0.4 + 0.2 * (d / 1e4) ** -0.3) * math.exp(rng.normal(0, 0.003))
        rows.append((f"m{number}", n, d, 6 * n * d, 1 - misalignment))
    return write(tmp_path / "two.csv", ("model", "n_params", "n_samples_seen", "total_flops", "score"), rows)


def test_planted_laws_of_three_families_are_recovered(families: Path):
    asked = ("--scores", families, "--per", "family", "--draws", 200)
    laws = {law["name"]: law for law in contents("scaling", "fit", *asked)["laws"]}
    assert set(laws) == set(PLANTED)
    for family, (floor, _, alpha) in PLANTED.items():
        found = laws[family]["plain"]
        assert found["alpha"]["low"] < found["alpha"]["value"] < found["alpha"]["high"]
        assert abs(found["alpha"]["value"] - alpha) < (0.05 if floor else 0.02)
        assert laws[family]["log"]["alpha"] == found["alpha"]
        assert laws[family]["log"]["e"]["value"] == pytest.approx(math.log(found["E"]["value"]))
    assert laws["convnet"]["saturation"]["value"] == pytest.approx(0.5, abs=0.01)


def test_held_out_models_tell_the_saturating_family_from_the_unbounded_ones(families: Path):
    asked = ("--form", "power", "--form", "unbounded")
    found = contents("scaling", "compare", "--scores", families, "--per", "family", *asked)["comparisons"]
    error = {(row["law"], row["form"]): row["held_out_error"] for row in found}
    assert error["convnet", "power"] < 0.5 * error["convnet", "unbounded"]
    for family in ("transformer", "hybrid"):
        assert error[family, "power"] == pytest.approx(error[family, "unbounded"], abs=0.01)


def test_the_best_division_of_compute_is_that_of_the_planted_law(two_resources: Path):
    (found,) = contents("scaling", "allocate", "--scores", two_resources, "--compute", 1e15, "--draws", 200)[
        "allocations"
    ]
    assert found["cost"]["factor"] == pytest.approx(6, rel=1e-3)
    low, high = found["n_exponent_interval"]
    assert low <= 0.3 / 0.7 <= high
    # d/dN along 6 N D = C: 0.4 x 0.3 (N / 1e5)^-0.4 = 0.3 x 0.2 (D / 1e4)^-0.3
    n = np.geomspace(1e4, 1e9, 200_001)
    misalignment = 0.3 * (n / 1e5) ** -0.4 + 0.2 * (1e15 / 6 / n / 1e4) ** -0.3
    low, high = found["optima"][0]["n_params_interval"]
    assert low <= n[misalignment.argmin()] <= high


def test_a_plan_and_a_prediction_give_the_score_of_the_planted_law(two_resources: Path):
    (plan,) = contents("scaling", "plan", "--scores", two_resources, "--budget", 1e15, "--draws", 100)["plans"]
    best = plan["expected"]["resources"]
    true = 0.6 - 0.3 * (best["n_params"] / 1e5) ** -0.4 - 0.2 * (best["n_samples_seen"] / 1e4) ** -0.3
    assert plan["expected"]["score"] == pytest.approx(true, abs=0.003)
    assert min(plan["losses"]) >= 0
    asked = ("--params", best["n_params"], "--samples", best["n_samples_seen"], "--draws", 100)
    (found,) = contents("scaling", "predict", "--scores", two_resources, "--form", "two_variable", *asked)[
        "predictions"
    ]
    assert found["score"] == pytest.approx(plan["expected"]["score"])
    assert found["interval"][0] < true < found["interval"][1]


def test_what_is_beyond_the_models_seen_is_said(families: Path):
    result = ventral("scaling", "predict", "--scores", families, "--compute", "1e22", "--draws", 50)
    assert result.exit_code == 0
    assert "total_flops 1e+03 times" in " ".join(result.output.split())


def test_the_smallest_model_that_may_be_the_best_is_found(tmp_path: Path):
    rows = [(f"m{n}", n, score, 0.01) for n, score in ((1e6, 0.2), (2e6, 0.495), (4e6, 0.4), (1e9, 0.5))]
    table = write(tmp_path / "mine.csv", ("model", "n_params", "score", "error"), rows)
    (found,) = contents("scaling", "frontier", "--scores", table)["frontiers"]["all"]
    on_frontier = dict(zip(found["names"], found["on_frontier"], strict=True))
    assert on_frontier == {"m1000000.0": True, "m2000000.0": True, "m4000000.0": False, "m1000000000.0": True}
    assert found["smallest"] == ["m2000000.0"]
    assert found["saving"] == 500


STUDY = """
study: mine
templates:
  all: {x: {total_flops: 1.0e+13}, form: power}
experiments:
  mine_convnet: {extends: all, where: {arch_family: [convnet]}}
  mine_others: {extends: all, where: {arch_family: [transformer, hybrid]}, split_by: arch_family}
"""


def test_experiments_of_ones_own_are_fitted_to_ones_own_table(families: Path, tmp_path: Path):
    study = tmp_path / "mine.yaml"
    study.write_text(STUDY)
    asked = ("--scores", families, "--study", study, "--draws", 0)
    laws = {law["name"]: law for law in contents("scaling", "fit", *asked)["laws"]}
    assert list(laws) == ["mine_convnet", "mine_others hybrid", "mine_others transformer"]
    by_family = {
        law["name"]: law for law in contents("scaling", "fit", *asked[:2], "--per", "family", "--draws", 0)["laws"]
    }
    assert laws["mine_convnet"]["plain"] == by_family["convnet"]["plain"]
    assert laws["mine_others hybrid"]["plain"] == by_family["hybrid"]["plain"]
    chosen = contents("scaling", "fit", *asked, "-e", "*convnet")["laws"]
    assert [law["name"] for law in chosen] == ["mine_convnet"]
    (found,) = contents("scaling", "predict", *asked, "-e", "mine_convnet", "--compute", 1e19)["predictions"]
    assert found["score"] == pytest.approx(0.5, abs=0.01)
    listed = json.loads(ventral("scaling", "list", "--study", study, "--json", "-").stdout)["experiments"]
    assert [each["name"] for each in listed] == ["mine_convnet", "mine_others"]


@pytest.mark.mirror
def test_experiments_of_ones_own_are_fitted_to_published_scores(mirror: Path, tmp_path: Path):
    study = tmp_path / "it.yaml"
    study.write_text(
        "study: it\nexperiments:\n  it_resnets:\n"
        "    {x: {total_flops: 1.0e+13}, known: [total_flops], where: {region: [IT], arch_family: [ResNet]}}\n"
    )
    (law,) = contents("scaling", "fit", "--study", study, "--draws", 0, "--mirror", mirror)["laws"]
    published = gokce2024(mirror)
    rows = published[(published["region"] == "IT") & (published["arch_family"] == "ResNet")]
    assert law["n_points"] == rows["total_flops"].notna().sum() > 10


def test_a_study_that_takes_a_published_name_is_refused(families: Path, tmp_path: Path):
    study = tmp_path / "mine.yaml"
    study.write_text("study: a\nexperiments:\n  compute_neuro: {x: {total_flops: 1}}\n")
    result = ventral("scaling", "fit", "--scores", families, "--study", study)
    assert result.exit_code == 2
    for named in ("compute_neuro", "mine.yaml", "gokce2024.yaml"):
        assert named in result.output.replace("\n", "")


def test_quiet_leaves_the_sentence_out(families: Path):
    loud, quiet = (ventral("scaling", "frontier", "--scores", families, *more).output for more in ((), ("-q",)))
    assert "Best of 180 models" in loud
    assert "Frontier of all" in quiet
    assert "Best of" not in quiet


def test_files_hold_what_is_shown(families: Path, tmp_path: Path):
    files = {name: tmp_path / f"laws.{name}" for name in ("json", "csv", "html", "png", "PDF")}
    asked = ("--scores", families, "--per", "family", "--draws", 20)
    written = ("--json", files["json"], "--csv", files["csv"], "--report", files["html"], "--plot", files["png"])
    result = ventral("scaling", "fit", *asked, *written)
    assert result.exit_code == 0, result.output
    laws = json.loads(files["json"].read_text())["laws"]
    rows = list(csv.DictReader(files["csv"].read_text().splitlines()))
    assert len(rows) == 3 * 2 * 3
    alpha = next(row for row in rows if (row["law"], row["scale"], row["parameter"]) == ("hybrid", "plain", "alpha"))
    hybrid = next(law for law in laws if law["name"] == "hybrid")
    assert float(alpha["value"]) == hybrid["plain"]["alpha"]["value"]
    assert files["png"].read_bytes().startswith(b"\x89PNG")
    assert ventral("scaling", "fit", *asked[:-1], 0, "--plot", files["PDF"], "-q").exit_code == 0
    assert files["PDF"].read_bytes().startswith(b"%PDF")
    page = files["html"].read_text()
    for section in ("data", "fits", "figures", "graded", "frontier", "forms", "warnings", "made"):
        assert f'<section id="{section}">' in page
    assert ventral("scaling", "report", tmp_path / "again.html", "--scores", families, "--draws", 0).exit_code == 0
    assert '<section id="fits">' in (tmp_path / "again.html").read_text()


@pytest.mark.once
@pytest.mark.parametrize("after", [0, 2], ids=["while they start", "while they fit"])
def test_ctrl_c_ends_the_workers_too_and_without_tracebacks(tmp_path: Path, after: float):
    rng = np.random.default_rng(4)
    rows = [(f"m{n}", f"f{n % 20}", n + 1.0, 0.5 - 0.4 * (n + 1.0) ** -0.3 + rng.normal(0, 0.01)) for n in range(2000)]
    table = write(tmp_path / "mine.csv", ("model", "family", "n_params", "score"), rows)
    asked = ["scaling", "fit", "--scores", table, "--per", "family", "--form", "m4", "--draws", "3000", "-q"]
    started = subprocess.Popen(
        [sys.executable, "-c", "from results.cli import main; main()", *map(str, asked)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a terminal tells all processes of the command
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    command = psutil.Process(started.pid)
    while started.poll() is None and len(command.children()) < 3:  # with the one that tracks what they share
        time.sleep(0.01)
    time.sleep(after)
    workers = command.children(recursive=True)
    for worker in workers:
        worker.send_signal(signal.SIGINT)
    assert psutil.wait_procs(workers, timeout=0.5)[0] == []  # they leave it to the command
    os.killpg(started.pid, signal.SIGINT)
    _, told = started.communicate(timeout=60)
    assert started.returncode == 130, told
    assert "Interrupted" in told
    assert "Traceback" not in told
    assert psutil.wait_procs(workers, timeout=10)[1] == []


def test_score_files_get_a_table_of_facts_and_laws_from_it(tmp_path: Path, make_score: Callable[..., Score]):
    name, files = "torchvision/squeezenet1_1", []
    sources = {"seed 0": "", "seed 1": "", "/runs/late.pt": "", "/other/late.pt": "other="}
    for number, (source, label) in enumerate(sources.items()):
        made = [make_score(model=name, raw=0.3 + number / 20, metric=metric) for metric in ("pls", "cka")]
        path = tmp_path / f"{number}.json"
        about = {"weights": {"source": source}, "preprocessing": {"input_size": [112, 112]}}
        path.write_text(to_json(made, {"model": about}))
        files += ["--scores", f"{label}{path}"]
    facts = tmp_path / "facts.csv"
    result = ventral("scaling", "facts", facts, *files)
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader(facts.read_text().splitlines()))
    assert [row["model"] for row in rows] == [name, f"{name}@1", f"{name}=late.pt", "other"]
    assert [row["seed"] for row in rows] == ["0", "1", "", ""]
    assert {row["n_params"] for row in rows} == {"1235496"}  # torchvision's own count
    assert {row["architecture"] for row in rows} == {"squeezenet1_1"}
    # torchvision counts 349 million products at 224 pixels; 112 pixels a side are about a quarter of them
    assert all(0.2 < float(row["flops"]) / (2 * 349e6) < 0.25 for row in rows)
    assert ventral("scaling", "facts", facts, *files).exit_code == 2
    samples = dict(zip(("1e6", "2e6", "4e6", "8e6"), rows, strict=True))
    write(facts, list(rows[0]), [list({**row, "n_samples_seen": n}.values()) for n, row in samples.items()])
    asked = ("scaling", "fit", *files, "--scores", facts, "--form", "unbounded", "--draws", 0)
    (law,) = contents(*asked, "--metric", "pls")["laws"]
    assert law["n_points"] == 4
    assert "choose one with --metric" in " ".join(ventral(*asked).output.split())


def test_draws_depend_on_the_seed_alone(families: Path):
    asked = ("scaling", "fit", "--scores", families, "--draws", 20)
    one, same, other = (contents(*asked, "--seed", seed)["laws"] for seed in (0, 0, 1))
    assert one == same
    assert one[0]["plain"]["alpha"]["low"] != other[0]["plain"]["alpha"]["low"]


def test_every_published_experiment_is_listed():
    listed = json.loads(ventral("scaling", "list", "--json", "-").stdout)
    names = [each["name"] for each in listed["experiments"]]
    assert len(names) == len(set(names)) == 43
    assert {"compute_neuro", "region_it_group1", "sample_imagenet_scaling", "simclr_avg"} <= set(names)


REFUSED = [
    (("fit",), "expected either --experiment NAME, of the published study, or --scores FILE, your own, got neither"),
    (("fit", "-e", "compute_neuro", "--scores", "x.csv"), "got both"),
    (("fit", "-e", "compute_nuero"), "did you mean compute_neuro"),
    (("fit", "-e", "compute_neuro", "--per", "arch"), "expected --scores FILE alone"),
    (("fit", "-e", "compute_neuro", "--form", "powr"), "did you mean power"),
    (("fit", "--scores", "missing.csv"), "missing.csv"),
    (("fit", "-e", "compute_neuro", "--unit", "new"), "expected one of legacy, ratio, explained, got 'new'"),
    (("fit", "-e", "compute_neuro", "--ceiling", "IT"), "expected REGION=VALUE such as IT=0.816"),
    (("fit", "-e", "compute_neuro", "--plot", "laws.jpg"), "expected a file ending in .png or .pdf or .svg"),
    (("fit", "-e", "compute_neuro", "--csv", "none/laws.csv"), "got the missing folder 'none'"),
    (("predict",), "expected --compute, --params or --samples"),
    (("predict", "--compute", "-1"), "expected a number > 0"),
    (("plan", "--budget", "0"), "expected a number > 0"),
    (("compare", "-e", "compute_neuro", "--held-out", "1"), "expected a share between 0 and 1"),
    (("reproduce", "gokce2025"), "did you mean gokce2024"),
    (("reproduce", "gokce2024", "--figures", "none/here"), "expected a folder, or a new name in one"),
    (("fit", "-e", "compute_neuro", "--json", "laws.csv"), "expected a name that ends in .json"),
    (("fit", "-e", "compute_neuro", "--report", "a.html", "--plot", "a.html"), "expected a file of its own"),
    (("report", "mine.csv", "--scores", "mine.csv"), "expected a name that ends in .html or .htm"),
]


@pytest.mark.parametrize(
    ("arguments", "words"), REFUSED, ids=lambda value: " ".join(value) if type(value) is tuple else ""
)
def test_bad_input_is_refused_in_a_sentence(
    arguments: tuple[str, ...], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    result = ventral("scaling", *arguments)
    assert result.exit_code == 2
    assert words in " ".join(result.output.split())
    assert "Traceback" not in result.output
    assert list(tmp_path.iterdir()) == []


def test_a_column_that_is_missing_is_named(tmp_path: Path):
    table = write(tmp_path / "mine.csv", ("model", "score"), [("a", 0.1), ("b", 0.2)])
    result = ventral("scaling", "fit", "--scores", table)
    assert result.exit_code == 2
    assert "total_flops" in result.output
    table = write(tmp_path / "mine.csv", ("model", "n_params"), [("a", 1e6), ("b", 2e6)])
    assert "score" in ventral("scaling", "fit", "--scores", table).output


def test_draws_of_groups_need_groups(families: Path):
    result = ventral("scaling", "fit", "--scores", families, "--by", "groups")
    assert result.exit_code == 2
    assert "groups" in result.output
    assert ventral("scaling", "fit", "--scores", families, "--by", "both").exit_code == 2


@pytest.mark.mirror
def test_the_published_fits_come_back(mirror: Path):
    names = ("compute_neuro", "compute_behavior", "compute_chinchilla", "region_it_group1")
    asked = [part for name in names for part in ("-e", name)]
    laws = contents("scaling", "fit", *asked, "--draws", 0, "--mirror", mirror)["laws"]
    published = json.loads((mirror / "gokce2024" / "reference_fits.json").read_text())
    for law in laws:
        known = published[law["name"]]
        assert law["loss"] <= known["loss"] * (1 + 1e-6)
        for name, value in known["parameters"].items():
            found = law["log"][name]["value"]
            low, high = known["bootstrap_p2_5"][name], known["bootstrap_p97_5"][name]
            assert low <= found <= high
            assert found == pytest.approx(value, rel=0.005) or (name == "e" and value < -20)
            assert law["published"]["log"][name]["value"] == value


@pytest.mark.mirror
def test_what_was_published_is_not_held_against_another_unit(mirror: Path):
    asked = ("scaling", "fit", "-e", "compute_neuro", "--draws", 0, "--mirror", mirror)
    assert "published" in contents(*asked)["laws"][0]
    ratio = contents(*asked, "--unit", "ratio")
    assert "published" not in ratio["laws"][0]
    assert "r / ceiling" in ratio["provenance"]["unit_of_the_scores"]
