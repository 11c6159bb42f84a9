"""The four published fits of Gokce and Schrimpf 2024, from the published scores: parameters, losses, percentiles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from results.scaling.bootstrap import bootstrap, percentiles
from results.scaling.contracts import Points
from results.scaling.fitting import fit, predict
from results.scaling.forms import get_form

pytestmark = pytest.mark.mirror
EXPERIMENTS = ("compute_neuro", "compute_behavior", "compute_chinchilla", "region_it_group1")
NO_SATURATION = {("compute_behavior", "e")}  # ln E of an E that is zero: where the published search happened to stop
FAMILIES = {"ResNetFlex": "ResNet", "ViTFlex": "ViT", "ConvNeXtFlex": "ConvNeXt"}


def published(mirror: Path, name: str) -> tuple[dict[str, Any], Points]:
    """Parameters and points of one experiment; filters in the few lines that these four need."""
    reference = json.loads((mirror / "gokce2024" / "reference_fits.json").read_text())[name]
    table, filters = pd.read_csv(mirror / "gokce2024" / "benchmark_scores.csv.gz"), reference["filters"]
    if filters.get("combine_arch_families"):
        table["arch_family"] = table["arch_family"].replace(FAMILIES)
    table = table[~table[filters["boolean_filters"]["equals_false"]].any(axis=1)]
    for column, values in filters["set_filters"].items():
        table = table[table[column].isin(values)]
    table = table.groupby(filters["group_by"]["avg_score"]["keys"])["score"].mean().reset_index()
    if "arch_families_samples" in filters:
        rule = filters["arch_families_samples"]
        others = ~table["arch_family"].isin(rule["arch_family"])
        table = table[others | table["samples_per_class"].isin(rule["samples_per_class"])]
    used = [at for at, column in enumerate(reference["x"]) if column and not (at == 0 and reference["x"][1])]
    columns, scales = [reference["x"][at] for at in used], [float(reference["x_scale"][at]) for at in used]
    x = table[columns].to_numpy() / scales
    points = Points(x, 1 - table["score"].to_numpy(), tuple(table["model_id"]), tuple(table["arch"]), None)
    return reference, points


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_parameters_loss_and_percentiles_are_the_published_ones(mirror: Path, name: str):
    reference, points = published(mirror, name)
    form = get_form("two_variable" if "beta" in reference["parameters"] else "power")
    found = fit(form, points, starts=form.starts()[:: 7 if form.n_x == 2 else 1])
    assert found.converged
    assert found.n_best > 0.1 * min(found.n_starts, 200)
    assert found.loss <= reference["loss"] * (1 + 1e-6)
    assert found.loss == pytest.approx(reference["loss"], rel=1e-6)  # nor lower: the published searches were exhaustive
    made = bootstrap(found, points, seed=42)  # the published draws
    assert made.n_failed == 0
    low, high = percentiles(made, 2.5), percentiles(made, 97.5)
    for at, parameter in enumerate(form.parameters):
        value, published_value = found.log[parameter], reference["parameters"][parameter]
        bounds = reference["bootstrap_p2_5"][parameter], reference["bootstrap_p97_5"][parameter]
        assert bounds[0] <= value <= bounds[1]
        if (name, parameter) not in NO_SATURATION:
            assert value == pytest.approx(published_value, rel=1e-4)
            np.testing.assert_allclose((low[at], high[at]), bounds, atol=2e-3 * (bounds[1] - bounds[0]))


def test_neural_alignment_saturates_near_0_48_and_behaviour_shows_no_end(mirror: Path):
    neural = fit(get_form("power"), published(mirror, "compute_neuro")[1])
    behaviour = fit(get_form("power"), published(mirror, "compute_behavior")[1])
    assert 1 - neural.plain["E"] == pytest.approx(0.477, abs=0.001)
    assert behaviour.plain["E"] < 1e-8
    assert behaviour.flat == ("e at its lower bound (-20): no saturation can be seen",)
    assert predict(neural, np.array([1e30]))[0] == pytest.approx(neural.plain["E"], rel=1e-3)
