"""Pages about scaling laws as a browser shows them: every figure is drawn, and nothing is loaded from elsewhere."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from results.cli.app import app

pytestmark = pytest.mark.once  # a browser sees no difference between library versions
STUDY = {
    "fig1", "fig2-parameters", "fig2-families", "fig2-means", "fig3-datasets", "fig3-families",
    "fig4-allocation", "fig4-families", "fig5-regions", "fig5-means", "gain-coefficient", "gain-total",
    "allocation", "frontier", "appendix-simclr", "appendix-training", "appendix-simclr-regions",
    "held-out", "appendix-pretrained",
    "appendix-infimnist", "appendix-accuracy", "appendix-conditions", "appendix-pairs",
}  # fmt: skip
# Titles of panels that lie under the legend of their figure.
COVERED = """[...document.querySelectorAll('.js-plotly-plot')].flatMap(plot => {
    const legend = plot.querySelector('.legend');
    if (!legend) return [];
    const box = legend.getBoundingClientRect();
    return [...plot.querySelectorAll('.annotation')].filter(each => each.getBoundingClientRect().top < box.bottom - 1)
        .map(each => `${plot.id}: the legend covers ${each.textContent}`);
})"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The system's chromium; absent on a user's machine, an error in CI."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        reason = "no chromium on PATH (Debian: apt-get install chromium)"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found)
        yield opened
        opened.close()


def shown(browser: Any, page: Path) -> tuple[dict[str, int], str, list[str]]:
    """Return how many lines and clouds each figure draws, the page's text, and what went wrong or was loaded."""
    tab = browser.new_page(viewport={"width": 1200, "height": 900})
    troubles: list[str] = []
    tab.on("pageerror", lambda error: troubles.append(str(error)))
    tab.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
    tab.on(
        "request",
        lambda request: None if request.url.startswith(("file:", "data:", "blob:")) else troubles.append(request.url),
    )
    tab.goto(page.as_uri())
    tab.wait_for_function(
        "document.querySelectorAll('.js-plotly-plot').length == document.querySelectorAll('.plotly-graph-div').length"
    )
    figures = tab.evaluate(
        "Object.fromEntries([...document.querySelectorAll('.js-plotly-plot')]"
        ".map(each => [each.id, each.querySelectorAll('.scatterlayer .trace').length]))"
    )
    wide = tab.evaluate(
        "[...document.querySelectorAll('table')].filter(each => each.scrollWidth > each.parentElement.clientWidth + 1)"
        ".map(each => `a table of ${each.scrollWidth} px in a box of ${each.parentElement.clientWidth} px`)"
    )
    covered = tab.evaluate(COVERED)
    return figures, tab.inner_text("main"), troubles + wide + covered


@pytest.mark.mirror
def test_the_reproduced_study_shows_every_figure_and_its_findings(browser: Any, mirror: Path, tmp_path: Path):
    page = tmp_path / "gokce2024.html"
    made = CliRunner().invoke(
        app,
        ["scaling", "reproduce", "gokce2024", "--draws", "20", "--report", str(page), "--mirror", str(mirror), "-q"],
    )
    assert made.exit_code == 0, made.output
    figures, text, troubles = shown(browser, page)
    assert troubles == []
    assert {f"figure-{name}" for name in STUDY} == set(figures)
    assert min(figures.values()) >= 1
    assert figures["figure-fig5-regions"] >= 5 * 2 * 3  # points, fit and extrapolation, for both priors
    assert "Neural alignment: saturates at 0.477" in text
    assert "Behavioural alignment: no saturation can be seen" in text
    assert "AICc disagrees: it prefers shifted (weight 0.78, final score 0.524" in text  # said after held-out
    assert "outside" not in text.split("Beside the published fits: loss")[0].split("verdict")[1]
    gains = [
        float(line.split("\t")[1].split()[0])
        for line in text.splitlines()
        if line[:2] in ("V1", "V2", "V4", "IT") and "\t" in line
    ]
    assert gains == sorted(gains)
    assert len(gains) == 4
    assert "X the resource over X0: total_flops / 1e+13" in text
    assert "disagrees" in text.split("Behavioural alignment: ")[1].split("Score gained")[0]


def test_a_page_of_ones_own_models_shows_every_figure(browser: Any, tmp_path: Path):
    rng = np.random.default_rng(0)
    rows = ["model,family,n_params,n_samples_seen,compute,score"]
    for number, (n, d) in enumerate(10 ** rng.uniform((5, 4), (8, 8), (60, 2))):
        score = 1 - (0.4 + 0.3 * (n / 1e5) ** -0.4 + 0.2 * (d / 1e4) ** -0.3) * np.exp(rng.normal(0, 0.01))
        rows.append(f"<i>m{number}</i>,{'ab'[number % 2]},{n:.6e},{d:.6e},{6 * n * d:.6e},{score:.6f}")
    table, page = tmp_path / "mine.csv", tmp_path / "mine.html"
    table.write_text("\n".join(rows))
    made = CliRunner().invoke(
        app,
        ["scaling", "report", str(page), "--scores", str(table), "--form", "two_variable", "--draws", "20", "-q"],
    )
    assert made.exit_code == 0, made.output
    figures, text, troubles = shown(browser, page)
    assert troubles == []
    assert set(figures) == {"figure-laws", "figure-allocation", "figure-frontier"}
    assert min(figures.values()) >= 2
    assert "<i>m" in text  # a model's name is text, not markup
