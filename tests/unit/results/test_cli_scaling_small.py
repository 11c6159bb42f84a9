"""`ventral scaling` on tables that hold little: fitted as far as they can be, refused where they cannot, and why."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from results.cli.app import app

Row = Sequence[object]


def ventral(*arguments: object):
    """Run a command in this process."""
    return CliRunner().invoke(app, ["scaling", *map(str, arguments)])


def words(result: Any) -> str:
    """Return what a command wrote, in one line."""
    return " ".join(result.output.split())


def refusal(*arguments: object) -> str:
    """Return the words in which a command is refused."""
    result = ventral(*arguments)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    return words(result)


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., Path]:
    """Write a table of models from L = 0.5 + 0.4 (compute / 1e13)^-0.3 with a spread of 0.2 % in ln L."""

    def table(families: dict[str, Sequence[float]], name: str = "mine.csv", more: str = "") -> Path:
        rng, path = np.random.default_rng(3), tmp_path / name
        rows = []
        for family, computes in families.items():
            for number, compute in enumerate(computes):
                misalignment = (0.5 + 0.4 * (compute / 1e13) ** -0.3) * math.exp(rng.normal(0, 0.002))
                rows.append((f"{family}{number}", family, compute, 1 - misalignment, *([family] if more else [])))
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([("model", "family", "compute", "score", *([more] if more else [])), *rows])
        return path

    return table


def spread(n_models: int) -> list[float]:
    return np.geomspace(1e13, 1e18, n_models).tolist()


@pytest.mark.parametrize(("n_models", "forms"), [(4, []), (5, ["unbounded"]), (7, ["power", "saturating", "shifted"])])
def test_a_page_is_made_for_every_table_that_can_be_fitted(
    n_models: int, forms: list[str], table: Callable[..., Path], tmp_path: Path
):
    mine, page = table({"a": spread(n_models)}), tmp_path / "page.html"
    result = ventral("report", page, "--scores", mine, "--draws", 0)
    assert result.exit_code == 0, result.output
    section = page.read_text().partition('<section id="forms">')[2].partition("</section>")[0]
    if forms:
        assert all(f"<td>{form}</td>" in section for form in forms)
    else:
        assert "Left out: all needs at least 5 points, 0.25 of them held out, has 4." in section
    assert "<td>m4</td>" not in section


def test_forms_that_points_do_not_allow_are_refused_by_law_and_name(table: Callable[..., Path]):
    mine = table({"a": spread(4), "b": spread(7)})
    assert "law all: expected at least 5 points, 0.25 of them held out, got 4" in refusal(
        "compare", "--scores", table({"a": spread(4)}, "four.csv")
    )
    asked = ("compare", "--scores", mine, "--per", "family")
    assert "law a, form 'm4': expected at least 8 points, 0.25 of them held out, got 4" in refusal(
        *asked, "--form", "m4"
    )
    result = ventral(*asked, "--json", "-")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert {row["law"] for row in found["comparisons"]} == {"b"}
    assert found["left_out"] == {"a": "needs at least 5 points, 0.25 of them held out, has 4"}
    assert "Left out 1 of 2 laws: a needs at least 5 points" in result.stderr


def test_a_form_that_is_named_twice_is_compared_once(table: Callable[..., Path]):
    asked = ("compare", "--scores", table({"a": spread(9)}), "--json", "-")
    once, twice = (
        json.loads(ventral(*asked, *(part for form in forms for part in ("--form", form))).stdout)["comparisons"]
        for forms in (("power", "unbounded"), ("power", "unbounded", "power"))
    )
    assert once == twice
    assert len(once) == 2


def test_models_of_one_largest_size_leave_the_comparison_out(table: Callable[..., Path], tmp_path: Path):
    mine, page = table({"a": [*spread(6), 1e19, 1e19, 1e19, 1e19]}), tmp_path / "page.html"
    assert ventral("report", page, "--scores", mine, "--draws", 0).exit_code == 0
    assert "Left out: all needs fewer points of the largest resource" in page.read_text()
    assert "law all: expected fewer points of the largest resource" in refusal("compare", "--scores", mine)


def test_laws_that_cannot_be_fitted_are_left_out_and_named(table: Callable[..., Path], tmp_path: Path):
    mine = table({"big": spread(11), "lonely": [1e15], "alike": [1e16] * 6})
    files = {name: tmp_path / f"laws.{name}" for name in ("json", "html")}
    asked = ("fit", "--scores", mine, "--per", "family", "--draws", 0)
    result = ventral(*asked, "--json", files["json"], "--report", files["html"])
    assert result.exit_code == 0, result.output
    assert "Left out 2 of 3 laws: alike needs total_flops that differs between points, has 1e+16 for all 6; " in words(
        result
    )
    lonely = "needs at least 4 points for the 3 parameters of the form 'power', has 1"
    found = json.loads(files["json"].read_text())
    assert [law["name"] for law in found["laws"]] == ["big"]
    assert found["left_out"]["lonely"] == lonely
    assert f"Left out: lonely {lonely}." in files["html"].read_text().replace("&#39;", "'")
    assert "Left out" not in ventral(*asked, "-q").output


def test_points_without_a_law_are_refused(table: Callable[..., Path], tmp_path: Path):
    same = table({"a": [1e15] * 12})
    assert "law all: expected total_flops that differs between points, got 1e+15 for all 12" in refusal(
        "fit", "--scores", same
    )
    assert "law all: expected total_flops that differs" in refusal("predict", "--scores", same, "--compute", 1e16)
    few = table({"a": spread(3), "b": spread(2)})
    assert (
        "law a: expected at least 4 points for the 3 parameters of the form 'power', got 3, and 1 further"
        in refusal("fit", "--scores", few, "--per", "family")
    )
    equal = tmp_path / "equal.csv"
    equal.write_text("model,score,n_params,n_samples\n" + "".join(f"m{n},0.4,{n}e6,1e6\n" for n in range(1, 13)))
    assert "law all: expected scores that differ between points, got 0.4 for all 12" in refusal(
        "fit", "--scores", equal
    )
    assert "expected n_samples_seen that differs between points, got 1e+06 for all 12" in refusal(
        "fit", "--scores", equal, "--x", "n_params,n_samples"
    )


def test_laws_of_one_group_are_drawn_by_rows(table: Callable[..., Path]):
    mine = table({"a": spread(8), "b": spread(8)}, more="group")
    asked = ("fit", "--scores", mine, "--per", "family", "--draws", 20, "--json", "-")
    result = ventral(*asked, "--by", "groups")
    assert result.exit_code == 0, result.output
    laws = json.loads(result.stdout)["laws"]
    assert [law["bootstrap"]["by"] for law in laws] == ["rows", "rows"]
    assert (
        "one group: rows were drawn as if its points stood alone, and intervals are too narrow" in laws[0]["warnings"]
    )
    assert not any("--by groups" in warning for law in laws for warning in law["warnings"])
    assert "Of one group, so that rows were drawn: a, b." in result.stderr
    assert ventral(*asked).exit_code == 0
    whole = json.loads(ventral("fit", "--scores", mine, "--draws", 20, "--json", "-").stdout)["laws"]
    assert whole[0]["bootstrap"]["by"] == "groups"


@pytest.mark.mirror
def test_published_laws_of_one_group_are_drawn_by_rows(mirror: Path):
    names = ("sample_inaturalist_scaling", "sample_imagenet_scaling")
    chosen = [part for name in names for part in ("-e", name)]
    result = ventral("fit", *chosen, "--by", "groups", "--draws", 20, "--mirror", mirror, "--json", "-")
    assert result.exit_code == 0, result.output
    drawn = {law["name"]: law["bootstrap"]["by"] for law in json.loads(result.stdout)["laws"]}
    assert drawn == dict(zip(names, ("rows", "groups"), strict=True))


def test_groups_that_no_law_has_cannot_be_drawn(table: Callable[..., Path]):
    assert "--by groups: expected points that say what belongs together" in refusal(
        "fit", "--scores", table({"a": spread(9)}), "--by", "groups"
    )


def test_draws_are_none_or_enough_for_an_interval(table: Callable[..., Path]):
    asked = ("fit", "--scores", table({"a": spread(9)}), "--draws")
    assert "--draws: expected 0 for none, or 20 and more, got '19'" in refusal(*asked, 19)
    none = ventral(*asked, 0)
    assert "95 %" not in none.output
    assert "95 %" in ventral(*asked, 20).output


@pytest.mark.parametrize(
    ("n_models", "form", "warned"), [(4, "power", True), (5, "power", True), (6, "power", False), (6, "m4", True)]
)
def test_too_few_points_for_an_interval_are_said(n_models: int, form: str, warned: bool, table: Callable[..., Path]):
    mine = table({"a": spread(n_models)})
    asked = ("fit", "--scores", mine, "--form", form, "--json", "-", "--draws")
    (law,) = json.loads(ventral(*asked, 20).stdout)["laws"]
    said = f"{n_models} points for {len(law['log'])} parameters: intervals are too narrow to be trusted"
    assert (said in law["warnings"]) == warned
    (law,) = json.loads(ventral(*asked, 0).stdout)["laws"]
    assert said not in law["warnings"]


def test_a_prediction_says_what_law_it_is_of(tmp_path: Path):
    rng, mine = np.random.default_rng(5), tmp_path / "mine.csv"
    rows = [
        f"m{at},{c:.6e},{n:.6e},{0.5 - 0.2 * (c / 1e13) ** -0.3 - 0.2 * (n / 1e5) ** -0.3 + rng.normal(0, 0.002):.6f}\n"
        for at, (c, n) in enumerate(10 ** rng.uniform((13, 5), (17, 8), (40, 2)))
    ]
    mine.write_text("model,compute,n_params,score\n" + "".join(rows))
    asked = ("predict", "--scores", mine, "--compute", 1e15, "--draws", 0)
    one, two = ventral(*asked), ventral(*asked, "--params", 1e6)
    assert "all: L = E + A X^-alpha (power) of total_flops." in words(one)
    assert "all: L = E + A N^-alpha + B D^-beta (two_variable) of total_flops and n_params." in words(two)
    (found,) = json.loads(ventral(*asked, "--params", 1e6, "--json", "-").stdout)["predictions"]
    assert found["form"] == "two_variable"
    assert "expected one or two of --compute, --params, --samples" in refusal(*asked, "--params", 1e6, "--samples", 1e6)


def test_the_list_of_ones_own_experiments_says_how_to_fit_them(tmp_path: Path):
    study = tmp_path / "mine.yaml"
    study.write_text("study: mine\nexperiments:\n  a: {x: {total_flops: 1.0e+13}}\n")
    listed = ventral("list", "--study", study)
    assert f"`ventral scaling fit --study {study} --experiment NAME`" in listed.stderr
    assert "`ventral scaling fit --experiment NAME`" in ventral("list").stderr


def test_samples_seen_are_asked_for_by_any_name(tmp_path: Path):
    mine = tmp_path / "mine.csv"
    scores = [0.5 - 0.3 * n**-0.5 for n in range(1, 9)]
    mine.write_text("model,score,n_samples\n" + "".join(f"m{n},{s},{n}e6\n" for n, s in enumerate(scores, 1)))
    asked = ("fit", "--scores", mine, "--draws", 0, "--json", "-", "--x")
    laws = [json.loads(ventral(*asked, name).stdout)["laws"] for name in ("n_samples", "samples", "n_samples_seen")]
    assert laws[0] == laws[1] == laws[2]
    assert laws[0][0]["resources"][0]["name"] == "n_samples_seen"
    assert "no column total_flops; choose among its columns: model, score, n_samples" in refusal(*asked, "compute")


def test_sections_that_a_table_does_not_allow_say_why(tmp_path: Path):
    """Models scored on different regions have laws per region and no mean; equal compute cannot be divided."""
    mine, page = tmp_path / "mine.csv", tmp_path / "page.html"
    cells = [(n, region) for n in range(8) for region in ("V4", "IT") if (n, region) != (7, "V4")]
    rows = [f"m{n},{region},{0.5 - 0.3 * (n + 1) ** -0.5},{n + 1}e15\n" for n, region in cells]
    mine.write_text("model,region,score,compute\n" + "".join(rows))
    result = ventral("report", page, "--scores", mine, "--per", "region", "--draws", 0)
    assert result.exit_code == 0, result.output
    section = page.read_text().partition('<section id="frontier">')[2].partition("</section>")[0]
    assert "Left out: expected scores of every model on the same region" in section
    sizes = [10**5 * 2**n for n in range(9)]
    rows = [f"m{n},{0.5 - 0.3 * (n / 1e5) ** -0.3},{n},{1e12 / n},1e15\n" for n in sizes]
    mine.write_text("model,score,n_params,n_samples,compute\n" + "".join(rows))
    result = ventral("report", page, "--scores", mine, "--x", "n_params,n_samples", "--draws", 0)
    assert result.exit_code == 0, result.output
    section = page.read_text().partition('<section id="allocation">')[2].partition("</section>")[0]
    assert "Left out: expected models of two different sizes or amounts of data" in section
    mine.write_text("model,score,n_params,compute\n" + "".join(f"m{n},{n / 20},{n},{n**2}\n" for n in range(1, 9)))
    result = ventral("report", page, "--scores", mine, "--x", "compute,n_params", "--draws", 0)
    assert result.exit_code == 0, result.output
