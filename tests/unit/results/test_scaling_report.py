"""What pages and images of scaling laws show: curves that lie where the law says, words that fit the numbers."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from results.cli.scaling_input import Choice, laws_of, source_of
from results.cli.scaling_pages import along_compute
from results.report import scaling_answers, scaling_figures, scaling_sections, scaling_study, scaling_tables
from results.report.scaling import Figure, Section, Table, render
from results.report.scaling_curves import Panel, Series, axis_title, curve_of, score_axis, seen, span_of
from results.report.scaling_image import FORMATS, image
from results.scaling import records
from results.scaling.allocation import Cost
from results.scaling.contracts import Bootstrap, Fit, Law, Points
from results.scaling.forms import get_form
from results.scaling.frontier import frontier
from results.scaling.published import UNITS, Reference
from results.scaling.saturation import saturation
from results.scaling.selection import compare_forms
from results.scaling.studies import list_experiments

LOG = {"e": np.log(0.5), "a": np.log(0.4), "alpha": 0.2}
PROVENANCE = {"command": ["ventral", "scaling", "fit"], "date": "2026-01-01T00:00:00+00:00", "ventral": "0"}


@pytest.fixture
def law() -> Law:
    """L = 0.5 + 0.4 (X / 1e13)^-0.2 at 40 amounts of compute, without noise, with draws that differ in E alone."""
    form = get_form("power")
    x = np.geomspace(1, 1e5, 40)[:, None]
    names = tuple(f"m{number}" for number in range(40))
    misalignment = 0.5 + 0.4 * x[:, 0] ** -0.2
    points = Points(x, misalignment, names, variables=("total_flops",), scales=(1e13,))
    plain = dict(zip(form.plain, (0.5, 0.4, 0.2), strict=True))
    fit = Fit("power", LOG, plain, 0.0, 40, True, 10, 4, scales=(1e13,), variables=("total_flops",))
    draws = np.tile(list(LOG.values()), (201, 1))
    draws[:, 0] = np.log(np.linspace(0.45, 0.55, 201))
    return Law("planted", points, fit, Bootstrap(draws, "rows", 0, 0))


def test_the_curve_is_the_law_and_the_band_that_of_its_draws(law: Law):
    curve = curve_of(Series(law, "planted", published={**LOG, "e": np.log(0.6)}))
    np.testing.assert_allclose(curve.score, 0.5 - 0.4 * (curve.x / 1e13) ** -0.2)
    np.testing.assert_allclose(curve.published, curve.score - 0.1, atol=1e-12)
    np.testing.assert_allclose(curve.score - curve.low, 0.0475, atol=1e-6)  # 95 % of a uniform E on 0.45 to 0.55
    np.testing.assert_allclose(curve.high - curve.score, 0.0475, atol=1e-6)
    assert curve.largest == pytest.approx(1e18)
    assert curve.x[-1] == pytest.approx(1e19)
    assert np.isnan(curve_of(Series(replace(law, bootstrap=None), "")).low).all()
    np.testing.assert_allclose(seen(Series(law, ""))[1], 0.5 - 0.4 * law.points.x[:, 0] ** -0.2)


def test_a_law_of_two_resources_follows_the_best_division_of_compute():
    log = {"e": np.log(0.3), "a": np.log(0.3), "alpha": 0.4, "b": np.log(0.2), "beta": 0.3}
    form = get_form("two_variable")
    x = np.stack(np.meshgrid(np.geomspace(1, 1e3, 5), np.geomspace(1, 1e4, 5)), axis=-1).reshape(-1, 2)
    misalignment = 0.3 + 0.3 * x[:, 0] ** -0.4 + 0.2 * x[:, 1] ** -0.3
    scales, variables = (1e5, 1e4), ("n_params", "n_samples_seen")
    points = Points(x, misalignment, tuple(map(str, range(25))), variables=variables, scales=scales)
    plain = dict(zip(form.plain, form.to_plain(np.array(list(log.values()))), strict=True))
    law = Law("two", points, Fit("two_variable", log, plain, 0.0, 25, True, 1, 1, (), scales, variables))
    compute = 6 * np.prod(x * np.array(scales), axis=1)
    series = Series(law, "two", compute=compute, cost=Cost(name="6 N D", factor=6.0))
    curve = curve_of(series)
    assert axis_title(series) == "training compute (FLOPs)"
    budget = curve.x[60]
    n = np.geomspace(1e4, 1e10, 100_001)
    best = (0.7 - 0.3 * (n / 1e5) ** -0.4 - 0.2 * (budget / 6 / n / 1e4) ** -0.3).max()
    assert curve.score[60] == pytest.approx(best, abs=1e-6)
    assert (np.interp(np.log(compute), np.log(curve.x), curve.score) >= 1 - misalignment - 1e-4).all()


def test_a_panel_shows_points_and_curves_but_no_band_that_runs_away(law: Law):
    draws = np.array(law.bootstrap.log)  # type: ignore[union-attr]
    draws[:20, 1] = 20.0
    wild = replace(law, bootstrap=replace(law.bootstrap, log=draws))
    low, high = span_of(Panel("", (Series(wild, ""),)))
    assert curve_of(Series(wild, "")).low.min() < -1e6
    assert -0.1 < low < 0.1
    assert 0.49 < high < 0.6
    whole = curve_of(Series(law, ""))
    low, high = span_of(Panel("", (Series(law, ""),)))
    assert low < whole.low.min() < whole.high.max() < high  # a band that a panel can hold is not cut


@pytest.mark.parametrize("form", FORMATS)
def test_images_are_of_the_format_asked_for_and_come_out_the_same_again(law: Law, form: str):
    panels = [Panel("one", (Series(law, "planted", published=LOG),)), Panel("two", (Series(law, "again"),))]
    drawn = image(panels, form)
    assert drawn.startswith({"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}[form])
    if form != "svg":  # ids of its elements are random
        assert image(panels, form) == drawn


def test_the_legend_names_a_law_once_and_extrapolation_is_dotted(law: Law):
    panels = [Panel(title, (Series(law, "planted", published=LOG),)) for title in ("one", "two")]
    figure = scaling_figures.laws(panels)
    assert [trace.name for trace in figure.data if trace.showlegend] == ["planted", "published"]
    dotted = [trace for trace in figure.data if trace.line.dash == "dot"]
    assert len(dotted) == 2
    assert min(dotted[0].x) <= 1e18 < dotted[0].x[1]


def test_words_fit_the_numbers(law: Law):
    reference = Reference(log={**LOG, "alpha": 0.21}, low={**LOG, "alpha": 0.15}, high={**LOG, "alpha": 0.25}, loss=1.0)
    (content,) = [records.described(law, published=reference)]
    verdicts = {row[1]: row[-1] for row in scaling_tables.beside_published([content]).rows}
    assert verdicts == {"e": "equal within 0.5 %", "a": "equal within 0.5 %", "alpha": "inside its interval"}
    far = records.described(law, published=reference.model_copy(update={"low": {**LOG, "alpha": 0.205}}))
    assert [row[-1] for row in scaling_tables.beside_published([far]).rows][-1] == "outside"
    assert content["saturation"]["value"] == pytest.approx(0.5)
    assert content["saturation"]["low"] == pytest.approx(1 - content["plain"]["E"]["high"])
    assert scaling_tables.plain(np.exp(-20)) == "0"
    assert scaling_tables.plain(1234567.0) == "1.23e+06"
    assert scaling_tables.between(0.5, (0.4, 0.6)) == "0.5 (0.4 to 0.6)"
    assert scaling_tables.between(0.5, None) == "0.5"


def test_warnings_say_what_is_wrong_and_nothing_else(law: Law):
    assert records.warnings(law) == []
    grouped = replace(law.points, groups=tuple(str(number // 4) for number in range(40)))
    made = law.bootstrap
    cases = {
        "did not converge": replace(law, fit=replace(law.fit, converged=False)),
        "no saturation": replace(law, fit=replace(law.fit, flat=("no saturation can be seen",))),
        "may be a better one": replace(law, fit=replace(law.fit, n_best=1)),
        "7 of 201 bootstrap draws": replace(law, bootstrap=replace(made, n_failed=7)),
        "points come in groups": replace(law, points=grouped),
        "only 4 groups": replace(
            law,
            points=replace(grouped, groups=tuple(str(number // 10) for number in range(40))),
            bootstrap=replace(made, by="groups"),
        ),
    }
    for words, changed in cases.items():
        (said,) = records.warnings(changed)
        assert words in said
    assert records.warnings(replace(law, points=grouped, bootstrap=replace(made, by="groups"))) == []


def test_files_hold_every_parameter(law: Law):
    content = records.described(law)
    rows = list(csv.DictReader(records.to_csv([content]).splitlines()))
    assert {(row["scale"], row["parameter"]) for row in rows} == {
        ("log", "e"), ("log", "a"), ("log", "alpha"), ("plain", "E"), ("plain", "A"), ("plain", "alpha"),
    }  # fmt: skip
    loaded = json.loads(records.to_json([content], PROVENANCE))
    assert loaded["laws"][0]["plain"]["E"]["value"] == 0.5
    assert loaded["provenance"] == PROVENANCE
    bare = records.described(replace(law, bootstrap=None))
    assert bare["log"]["e"]["low"] is None
    assert "bootstrap" not in bare


def test_the_page_is_complete_in_itself_and_shows_text_as_text(law: Law):
    figure = Figure("laws", scaling_figures.laws([Panel("", (Series(law, "<b>x</b>"),))]), "<i>heading</i>")
    table = Table(("law", "<script>"), (("<u>planted</u>", "0.5 (0.4 to 0.6)"),))
    page = render(
        "<title>",
        "40 models",
        [Section("data", "Data", (), (("", table),), (figure,)), Section("none", "x")],
        PROVENANCE,
    )
    body = page.split("</script>", 1)[1]
    for markup in ("<u>planted", "<i>heading", "<th><script>"):
        assert markup not in body
    assert "0.5<br><small>0.4 to 0.6</small>" in body
    assert '<section id="none">' not in page
    assert 'src="http' not in page
    assert "<link" not in page


def test_figures_of_the_study_show_every_experiment_once_it_is_known():
    drawn = {name for each in scaling_study.PICTURES for _, series in each.panels for name, _, _ in series}
    assert drawn | {"compute_chinchilla"} == {each.name for each in list_experiments()}


@pytest.mark.mirror
def test_clouds_of_the_study_hold_its_models(mirror: Any):
    from results.scaling.published import gokce2024

    table = gokce2024(mirror)
    means = {each.label: each for each in scaling_study.family_means(table, "n_samples_seen")}
    assert set(means) == {"AlexNet", "CORnet-S", "ConvNeXt", "EfficientNet", "ResNet", "ViT"}
    rows = scaling_study.from_scratch(table)
    rows = rows[
        (rows["arch_family"] == "AlexNet") & (rows["n_samples_seen"] > 10**7.84) & (rows["n_samples_seen"] < 10**8.16)
    ]
    assert means["AlexNet"].y[means["AlexNet"].x.index(1e8)] == pytest.approx(rows["score"].mean())
    assert len(scaling_study.pairs(table)) == 10
    assert [len(panel.dots[-1].x) for panel in scaling_study.conditions(table)] == [48] * 5


def test_data_say_how_many_models_and_which_unit(law: Law):
    section = scaling_sections.data("r^2 / ceiling", ("Mine.",), [law])
    assert section.text == ("Mine.", "Unit of the scores: r^2 / ceiling.")
    assert section.tables[0][1].rows == (("planted", "40", "-", "total_flops", "1e+13 to 1e+18", "0.100 to 0.460"),)


def test_tables_say_what_x_is_and_hide_no_failure(law: Law):
    content = records.described(law)
    table = scaling_tables.fits([content, {**content, "converged": False}])
    assert [row[table.columns.index("X")] for row in table.rows] == ["total_flops / 1e+13"] * 2
    assert [row[-1] for row in table.rows] == ["yes", "NO"]
    assert "X the resource over X0: total_flops / 1e+13." in scaling_sections.fits([content]).text[0]
    (row, *_) = csv.DictReader(records.to_csv([content]).splitlines())
    assert (row["resources"], float(row["X0"]), row["drawn_by"]) == ("total_flops", 1e13, "rows")
    assert scaling_tables.plain(8.48e149) == ">1e30"
    assert scaling_tables.between(1.0, (0.5, np.inf)) == "1 (0.5 to >1e30)"


def test_both_intervals_are_written_and_named(law: Law):
    skewed = replace(law, bootstrap=replace(law.bootstrap, n_units=8, center=np.array(list(LOG.values()))))
    rows = {
        (r["scale"], r["parameter"]): r
        for r in csv.DictReader(records.to_csv([records.described(skewed)]).splitlines())
    }
    ends = np.quantile(np.linspace(0.45, 0.55, 201), (0.025, 0.975))
    found = rows["plain", "E"]
    np.testing.assert_allclose([float(found["percentile_low"]), float(found["percentile_high"])], ends, rtol=1e-4)
    assert float(found["low"]) < ends[0] < ends[1] < float(found["high"])  # wider, as its units are few
    assert float(rows["log", "e"]["percentile_low"]) == pytest.approx(np.log(ends[0]), rel=1e-4)
    content = records.described(skewed, published=Reference(log=LOG, low=LOG, high=LOG, loss=1.0))
    beside, *_, log = (heading for heading, _ in scaling_sections.fits([content]).tables)
    assert "plain 2.5 and 97.5 percentiles" in beside
    assert "widened for few units" in log


def test_failures_come_first_and_what_is_said_of_many_is_said_once():
    often, lost, failed = "rows were drawn", "9 of 10 bootstrap draws did not converge", "the fit did not converge: x"
    contents = [{"name": name, "warnings": [often]} for name in "abc"]
    contents += [{"name": "d", "warnings": [often, lost]}, {"name": "e", "warnings": [often, failed]}]
    section = scaling_sections.warnings(contents)
    assert section.tables[0][1].rows == ((failed, "1", "e"), (lost, "1", "d"), (often, "5", "all"))
    assert scaling_tables.named("abcd", contents) == "all but e"
    assert scaling_tables.named("ab", contents) == "a, b"


@pytest.mark.parametrize(("n_models", "shown"), [(6, 6), (40, 15)])
def test_the_table_of_a_frontier_agrees_with_its_words(n_models: int, shown: int):
    costs, scores = np.arange(1.0, n_models + 1), np.linspace(0.1, 0.5, n_models)
    costs[-2:] = costs[-1], costs[-2]  # the second best costs more than the best: it is not on the frontier
    scores[-2] = 0.499
    found = frontier(
        [f"m{n}" for n in range(n_models)], costs, scores, cost_name="n_params", errors=np.full(n_models, 0.01)
    )
    table, words = scaling_answers.frontier(found), scaling_answers.frontier_words(found)
    assert len(table.rows) == shown
    column = table.columns.index("may be the best")
    assert sum(row[column] == "yes" for row in table.rows) == sum(found.contender)
    assert f"{sum(found.contender)} may be the best" in words
    assert f"m{n_models - 1}" in {row[0] for row in table.rows}
    assert f"{n_models - 1} on the frontier and 1 more that may be" in words
    assert ("the table shows 15 of these" if n_models > 15 else "The table shows all of them") in words


def test_a_name_has_one_colour_in_every_figure_and_axes_their_unit(law: Law):
    families = ("ViT", "ResNet")
    drawn = scaling_figures.laws(
        [Panel("", tuple(Series(law, name) for name in families))], score_axis(UNITS["legacy"])
    )
    dots = [scaling_figures.Dots(name, [1e5, 1e8], [0.1, 0.2], ["a", "b"], "linear") for name in reversed(families)]
    means = scaling_figures.clouds([scaling_figures.Cloud("V1", "parameters", dots)], score_axis("as given"))
    lines = scaling_figures.lines([("N", [scaling_figures.Line("ResNet", [1e5], [1], [1], [1])])], "compute")
    for name in families:
        (one,) = {trace.line.color for trace in drawn.data if trace.name == name and trace.line.dash == "solid"}
        (same,) = (trace.line.color for trace in means.data if trace.name == name)
        assert one == same
    assert {trace.line.color for trace in lines.data if trace.name} == {one}
    assert drawn.layout.yaxis.title.text == "score, (r / ceiling)\u00b2; behaviour: i2n"
    assert means.layout.yaxis.title.text == "score"
    assert [note.text for note in means.layout.annotations] == ["V1"]


def test_models_that_may_be_the_best_are_drawn_over_the_frontier():
    found = frontier(
        ["a", "b"], np.array([1.0, 9.0]), np.array([0.1, 0.5]), cost_name="n_params", errors=np.full(2, 0.01)
    )
    (figure,) = scaling_sections.frontier([found], {}).figures
    assert [trace.name for trace in figure.drawn.data] == ["models", "frontier", "may be the best"]
    assert figure.drawn.data[-1].marker.symbol == "circle-open"
    assert list(figure.drawn.data[-1].text) == ["b"]


def test_the_page_says_of_every_law_whether_it_ends_and_shows_by_how_much_forms_miss(law: Law):
    compared = {"planted": compare_forms(law.points, forms=("power", "unbounded"))}
    section = scaling_sections.findings([saturation(law)], {"planted": law}, compared)
    assert section.text[1].startswith("planted: saturates at 0.5 [")
    (figure,) = scaling_sections.forms(compared, 0.25).figures
    missed = {trace.name: trace.y[0] for trace in figure.drawn.data}
    assert missed["power"] < missed["unbounded, no end"]
    assert f"misses the 10 largest models by {missed['unbounded, no end']:.3g} in ln L" in section.text[1]
    (said,) = scaling_answers.comparison_words(compared)
    assert said.startswith("planted: an end is seen: a law without an end misses")


@pytest.mark.mirror
def test_a_law_along_compute_stands_beside_what_was_published_only_in_its_unit(mirror: Path):
    for unit, comparable in (("legacy", True), ("ratio", False)):
        source = source_of(Choice.of(["compute_chinchilla"], unit=unit, mirror=mirror), "fit")
        laws = laws_of(source, None, 0, 0, quiet=True)
        series = along_compute(source, "compute_chinchilla", laws["compute_chinchilla"])
        assert series is not None
        assert (series.published is not None) == comparable
