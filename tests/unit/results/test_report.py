"""The HTML page: complete in itself, safe, and showing the numbers it was given."""

import math
import re
from html.parser import HTMLParser

import pytest

from results import records
from results.report import figures, layer_figures, render


@pytest.fixture
def provenance():
    return {
        "command": ["ventral", "score", "torchvision/resnet18"],
        "ventral": "0.1.0",
        "date": "2026-01-02T03:04:05+00:00",
        "model": {
            "name": "evil/<script>alert(1)</script>",
            "identity": "ab12",
            "licence": "MIT",
            "citation": "Nobody 2020",
            "weights": {"source": "seed 0", "n_loaded": 3, "n_expected": 3, "sha256": None},
            "preprocessing": {
                "input_size": [224, 224],
                "mean": [0.5, 0.5, 0.5],
                "std": [0.2, 0.2, 0.2],
                "interpolation": "bilinear",
                "source": "user",
            },
        },
        "benchmarks": {"Study2020.V4": {"version": 1, "licence": "CC0", "citation": "Somebody 2020"}},
        "metrics": {"pls": {"version": 1, "citation": "Wold", "parameters": {"n_components": 25}}},
        "seed": 0,
        "libraries": records.library_versions(),
        "hardware": records.hardware("cpu"),
        "durations_s": {"total": 12.3},
        "peak_memory_bytes": 10**9,
    }


class Page(HTMLParser):
    """Collects what a browser would load, the tags, and the cells of the table."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.rows, self.scripts, self._cell = [], [], 0, None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.loads += [value for key, value in attrs if key in ("src", "href") and value]
        self.scripts += tag == "script"
        if tag == "tr":
            self.rows.append([])
        self._cell = [] if tag in ("td", "th") else self._cell

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.rows[-1].append("".join(self._cell).strip())
            self._cell = None

    def handle_data(self, data):
        if self._cell is not None:
            self._cell.append(data)


def test_the_page_loads_nothing_and_runs_nothing_of_the_users(make_score, provenance):
    page = render([make_score()], provenance)
    parsed = Page(page)
    assert parsed.loads == []
    assert "<script>alert(1)</script>" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert not re.search(r"@import|url\(\s*['\"]?http", page.split("<script>")[0])


def test_the_table_shows_the_scores_and_says_where_there_is_no_ceiling(make_score, provenance):
    shown = [
        make_score("V1", raw=0.5, ceiling=0.8),
        make_score("V4", ceiling=None, n_repeats=1),
        make_score(
            "V2", ceiling=-0.1, ceiled=None, ceiling_lower=0.3, note="repeats disagree", details={"accuracy": 0.25}
        ),
    ]
    rows = Page(render(shown, provenance)).rows
    assert rows[1][:7] == ["V1", "Study2020.V1", "layer2", "pls", "r 0.500", "0.800", "0.312"]
    assert rows[3][4:7] == ["r 0.400", "no ceiling: only averages exist", "-"]
    assert rows[5][4:7] == ["r 0.400", "-0.100", "-"]
    assert rows[2][1] == "layer2: user"
    assert rows[6][1] == "layer2: user; lower bound of the ceiling 0.300; accuracy 0.25; repeats disagree"


def test_only_simulated_scores_are_announced_as_simulated(make_score, provenance):
    notice = "These benchmarks are simulated"
    assert notice in render([make_score(benchmark="Simulated.V1")], provenance)
    assert notice not in render([make_score(benchmark="Simulated.V1"), make_score()], provenance)


def test_bars_and_marks_carry_the_numbers(make_score):
    scores = [make_score("V1", raw=0.5, ceiling=0.81), make_score("V4", raw=-0.2, ceiling=None)]
    raw, marks, ceiled = figures.headline_bars(scores).data
    assert list(raw.x) == [0.5, -0.2]
    assert list(raw.error_x.array) == pytest.approx([0.04, 0.04])
    assert list(marks.x) == pytest.approx([0.9])  # sqrt(0.81): the best r against noisy averages
    assert ceiled.x[0] == pytest.approx(0.25 / 0.81)
    assert math.isnan(ceiled.x[1])


def test_many_layers_are_reduced_to_the_highest_of_each_benchmark(make_score):
    scores = [make_score("V4", raw=0.01 * i, layer=f"l{i}") for i in range(20)] + [make_score("IT")]
    assert [(row.region, row.layer) for row in figures.headline_rows(scores)] == [("V4", "l19"), ("IT", "layer2")]
    assert figures.headline_rows(scores[:12]) == scores[:12]


def test_the_profile_is_the_commitments_with_the_chosen_layer_ringed(make_score, profile):
    line, ring = layer_figures.layer_profile([make_score(profile=profile)]).data
    assert list(line.y) == list(profile.raw)
    assert (list(ring.x), list(ring.y)) == (["layer2"], [0.5])


def test_layers_a_user_named_make_a_profile_of_their_own(make_score):
    scores = [make_score(raw=0.2, layer="a"), make_score(raw=0.3, layer="b")]
    (line,) = layer_figures.layer_profile(scores).data
    assert (list(line.x), list(line.y)) == (["a", "b"], [0.2, 0.3])
    assert layer_figures.layer_profile(scores[:1]) is None


def test_neuroids_without_a_value_are_left_out_of_their_distribution(make_score):
    (box,) = figures.unit_distribution([make_score(raw=0.4)]).data
    assert list(box.x) == pytest.approx([0.3, 0.35, 0.4, 0.45])
