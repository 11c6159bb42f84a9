"""Evidence for docs/performance.md: all layers under four metrics in one command. Run by `make bench`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import nnls

pytestmark = pytest.mark.performance

LAYERS = ("relu", "maxpool", "layer*.*.relu", "layer?.?", "avgpool", "fc")
METRICS = ("pls", "ridge", "cka", "rsa-spearman")
REPEATED = 3


def extrapolate(rows: list[dict[str, Any]], metric: str, widths: np.ndarray) -> np.ndarray:
    """Return seconds for layers of these widths by a line with non-negative coefficients through the measured ones."""
    design = np.array([[1.0, row["n_features"]] for row in rows])
    coefficients, _ = nnls(design, np.array([row[metric] for row in rows]))
    return coefficients[0] + coefficients[1] * widths


@pytest.fixture(scope="module")
def values(measure, write_section, tmp_path_factory) -> dict[str, Any]:
    """Every measurement, and what follows from them."""
    work = tmp_path_factory.mktemp("layers")
    uncompiled = {"PYTHONPYCACHEPREFIX": str(work / "empty"), "PYTHONDONTWRITEBYTECODE": "1"}  # and it stays empty
    bare, clearing, runs = [], [], []
    for _ in range(REPEATED):
        bare.append(measure("bare-forward-whole", work))
        clearing.append(measure("bare-forward-whole", work, **uncompiled))
        runs.append(measure("ventral-all-layers", work))
    stem = measure("ventral-all-layers-and-stem", work)
    rows = measure("brainscore-per-layer", work)["rows"]
    run = sorted(runs, key=lambda each: each["seconds"])[REPEATED // 2]
    widths = np.array(list(run["layers"].values()), dtype=float)
    per_metric = {metric: extrapolate(rows, metric, widths) for metric in METRICS}
    activations = float(np.mean([row["activations"] for row in rows]) * len(widths))
    total = activations + sum(seconds.sum() for seconds in per_metric.values())
    wide = widths > max(row["n_features"] for row in rows)
    wider = sum(seconds[wide].sum() for seconds in per_metric.values())
    measured = sum(row["activations"] + sum(row[metric] for metric in METRICS) for row in rows)
    done = run["stages"]
    forward = float(np.median([each["seconds"] for each in bare]))
    found = {
        "repeats": REPEATED,
        "layers": LAYERS,
        "metrics": METRICS,
        "n_layers": len(widths),
        "n_features": float(widths.sum()),
        "n_scores": len(run["scores"]),
        "bare": forward,
        "bare_faults": float(np.median([each["page_faults"] for each in bare])),
        "clearing": float(np.median([each["seconds"] for each in clearing])),
        "clearing_faults": float(np.median([each["page_faults"] for each in clearing])),
        "run": run["seconds"],
        "stem": stem["seconds"],
        "stem_layers": len(stem["layers"]),
        "stem_features": float(sum(stem["layers"].values())),
        "stage": {
            "forward": done["forward pass"],
            "gram": done["layers"],
            "scores": run["seconds"] - done["forward pass"] - done["layers"],
        },
        "peak": run["peak_memory_bytes"],
        "rows": rows,
        "total_activations": activations,
        "totals": {metric: float(seconds.sum()) for metric, seconds in per_metric.items()},
        "total": total,
        "over_forward": run["seconds"] / forward,
        "ratio": total / run["seconds"],
        "ratio_measured": measured / (run["seconds"] * len(rows) / len(widths)),
        "ratio_narrow": (total - wider) / run["seconds"],
        "wide_share": wider / total,
        "difference": max(
            abs(row[f"{metric} score"] - run["scores"][f"{row['layer']} {metric}"])
            for row in rows
            for metric in METRICS
        ),
    }
    write_section("all_layers", found)
    return found


def test_there_are_enough_layers_and_all_are_scored(values):
    assert values["n_layers"] >= 20
    assert values["n_scores"] == values["n_layers"] * len(METRICS)


def test_the_scores_are_brainscores(values):
    assert values["difference"] < 0.02
