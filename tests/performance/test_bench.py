"""Evidence for docs/performance.md: Brain-Score's own pipeline and ours, in one run. Run by `make bench`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.performance

DOCUMENT = Path(__file__).parents[2] / "docs" / "performance.md"
ROWS = {
    "Brain-Score: activations (PytorchWrapper)": ("brainscore-activations",),
    "Brain-Score: `pls` metric": ("brainscore-pls",),
    "Brain-Score: `ridge` metric": ("brainscore-ridge",),
    "Brain-Score: activations and `pls`": ("brainscore-activations", "brainscore-pls"),
    "Ventral: `pls` metric, from the Gram matrix": ("ventral-pls",),
    "Ventral: `ridge` metric, from the Gram matrix": ("ventral-ridge",),
    "Ventral: `alignment.score`, name to score with error bars, nothing cached": ("ventral-run",),
    "bare torch forward pass to layer3 of decoded images, batches of 64": ("bare-forward",),
    "the same in the channels_last memory format, which Ventral uses": ("bare-forward-channels-last",),
}
METRICS = ("pls", "ridge")
REPEATED = 3  # cheap measurements are repeated, alternating, and summarised by their median


@pytest.fixture(scope="session")
def results(measure, write_section, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """Every measurement, one process each, in an order that keeps compared things next to each other."""
    work = tmp_path_factory.mktemp("bench")
    order = ["brainscore-activations", "bare-forward", "ventral-run"]
    order += ["bare-forward-channels-last"]
    order += ["bare-forward", "ventral-run", "bare-forward-channels-last"] * (REPEATED - 1)
    order += ["ventral-pls", "brainscore-pls", "ventral-ridge", "brainscore-ridge", "vgg16"]
    found: dict[str, list[dict[str, Any]]] = {}
    for name in order:
        found.setdefault(name, []).append(measure(name, work))
    (work / "results.json").write_text(json.dumps(found))
    write_section("one_layer", values_of(found))
    return found


def median(results: dict[str, list[dict[str, Any]]], name: str, field: str = "seconds") -> float:
    """Return the median of one field over the repeats of a measurement."""
    values = sorted(result[field] for result in results[name])
    return values[len(values) // 2]


def gram_seconds(results: dict[str, list[dict[str, Any]]]) -> float:
    """Return the seconds that the Gram matrix of layer3 took; once per layer, whatever the metrics."""
    return median(results, "ventral-ridge", "gram_seconds")


def ratios(results: dict[str, list[dict[str, Any]]]) -> dict[str, float]:
    """Return the ratios users care about."""
    run = median(results, "ventral-run")
    gram = gram_seconds(results)

    def theirs(name: str) -> float:
        return median(results, f"brainscore-{name}")

    return {
        **{name: theirs(name) / median(results, f"ventral-{name}") for name in METRICS},
        **{f"{name}_with_gram": theirs(name) / (gram + median(results, f"ventral-{name}")) for name in METRICS},
        "end_to_end": (theirs("activations") + theirs("pls")) / run,
        "over_forward": run / median(results, "bare-forward"),
        "over_channels_last": run / median(results, "bare-forward-channels-last"),
    }


def values_of(results: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Return what the section of docs/performance.md shows."""
    rows = []
    for what, names in ROWS.items():
        seconds = sum(median(results, name) for name in names)
        rows.append((what, seconds, max(median(results, name, "peak_memory_bytes") for name in names) / 1e9))
    run = results["ventral-run"][0]
    done = run["stages"]
    return {
        "repeats": len(results["ventral-run"]),
        "rows": rows,
        "ratio": ratios(results),
        "score": {name: median(results, name, "score") for name in results if name.endswith(("-pls", "-ridge"))},
        "stage": {
            "forward": done["forward pass"],
            "gram": done["layers"] - done["forward pass"],
            "metric": done["scores"] - done["layers"],
            "bootstrap": run["seconds"] - done["scores"],
        },
        "gram_seconds": gram_seconds(results),
        "vgg": results["vgg16"][0],
    }


def test_the_same_scores_as_brainscore(results):
    for metric, tolerance in (("pls", 1e-3), ("ridge", 1e-5)):
        theirs = median(results, f"brainscore-{metric}", "score")
        assert median(results, f"ventral-{metric}", "score") == pytest.approx(theirs, abs=tolerance)


def test_all_vgg16_layers_fit_in_8_gb(results):
    assert results["vgg16"][0]["peak_memory_bytes"] < 8e9


def test_the_document_holds_what_was_measured(results):
    text = DOCUMENT.read_text()
    assert f"| {ratios(results)['pls']:.0f} | at least 60 |" in text
