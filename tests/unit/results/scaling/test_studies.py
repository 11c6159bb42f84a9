"""Experiments take the rows that the study took, and refuse what would make a law of something else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from model_zoo.errors import DataIntegrity, DataUnavailable, DuplicateName, InvalidOption, UnknownName, VentralError
from results.scaling.forms import get_form
from results.scaling.published import gokce2024
from results.scaling.studies import Experiment, get_experiment, list_experiments, of_table, points_of, rows_of

KINDS = {
    "compute": ("neuro", "behavior", "chinchilla"),
    "parameter": ("scaling", "pretrained_scaling"),
    "sample": tuple(
        f"{name}_scaling"
        for name in ("imagenet", "ecoset", "imagenet21kP", "inaturalist", "places365", "webvisionP", "infimnist")
    ),
    "model": tuple(
        f"{family}_{part}"
        for family in ("resnet", "efficientnet", "convnext", "vit")
        for part in ("neuro", "behavior", "avg")
    ),
    "region": tuple(
        f"{region}_group{group}" for group in (1, 2) for region in ("v1", "v2", "v4", "it", "behavior", "avg")
    ),
    "simclr": ("v1", "v2", "v4", "it", "behavior", "neuro", "avg"),
}
NAMES = {f"{kind}_{name}" for kind, names in KINDS.items() for name in names}
REFERENCES = ("compute_neuro", "compute_behavior", "compute_chinchilla", "region_it_group1")


@pytest.fixture(scope="module")
def table(mirror: Path) -> pd.DataFrame:
    return gokce2024(mirror, True)


@pytest.fixture(scope="module")
def references(mirror: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((mirror / "gokce2024" / "reference_fits.json").read_text())
    return content


def test_the_43_experiments_of_the_study_are_found():
    assert len(NAMES) == 43
    listed = [each.name for each in list_experiments() if each.study == "gokce2024"]
    assert sorted(listed) == sorted(NAMES)


@pytest.mark.mirror
@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_experiment_of_the_study_has_points(name: str, table: pd.DataFrame):
    experiment = get_experiment(name)
    points = points_of(experiment, table)[""]
    n_points = len(points.misalignment)
    form = get_form(experiment.form)
    assert n_points > (len(form.parameters) if "sample" not in name else 3)
    assert points.x.shape == (n_points, form.n_x)
    assert len(set(points.names)) == len(points.groups) == n_points
    assert points.names == tuple(sorted(points.names))  # the order in which the study drew its bootstraps
    assert ((points.misalignment > 0) & (points.misalignment < 1.1)).all()
    weak = name.endswith("group2") or name.startswith(("model_convnext", "model_vit"))
    assert experiment.form == ("two_variable" if "chinchilla" in name else "shifted" if weak else "power")


def study_rows(table: pd.DataFrame, filters: dict[str, Any]) -> pd.Series:
    """Return mean scores by model, filtered as the published description of a fit says."""
    if filters.get("combine_arch_families"):
        table = table.assign(arch_family=table["arch_family"].str.replace(r"Flex$", "", regex=True))
    for name in filters["boolean_filters"]["equals_false"]:
        table = table[table[name].eq(False)]
    for name, values in filters["set_filters"].items():
        table = table[table[name].isin(values)]
    means = table.groupby(filters["group_by"]["avg_score"]["keys"])["score"].mean().reset_index()
    condition = filters.get("arch_families_samples")
    if condition:
        among = means["arch_family"].isin(condition["arch_family"])
        means = means[~among | means["samples_per_class"].isin(condition["samples_per_class"])]
    return means.set_index("model_id")["score"]


@pytest.mark.mirror
@pytest.mark.parametrize(("name", "n_points"), list(zip(REFERENCES, (620, 620, 444, 364), strict=True)))
def test_points_are_the_studys(name: str, n_points: int, table: pd.DataFrame, references: dict[str, Any]):
    points = points_of(get_experiment(name), table)[""]
    expected = study_rows(table, references[name]["filters"])
    assert len(points.names) == n_points
    assert points.names == tuple(expected.index)
    np.testing.assert_allclose(points.misalignment, 1 - expected.to_numpy())


@pytest.mark.mirror
@pytest.mark.parametrize("name", REFERENCES)
def test_the_published_parameters_have_the_published_loss_on_these_points(
    name: str, table: pd.DataFrame, references: dict[str, Any]
):
    experiment, reference = get_experiment(name), references[name]
    points, log = points_of(experiment, table)[""], reference["parameters"]
    terms = [np.exp(log["a"]) * points.x[:, 0] ** -log["alpha"]]
    if "beta" in log:
        terms.append(np.exp(log["b"]) * points.x[:, 1] ** -log["beta"])
    residual = np.abs(np.log(points.misalignment) - np.log(np.exp(log["e"]) + sum(terms)))
    loss = np.where(residual < 1e-3, residual**2 / 2, 1e-3 * (residual - 5e-4)).sum()
    assert loss == pytest.approx(reference["loss"], rel=1e-9)
    assert experiment.published is not None
    assert experiment.published.loss == reference["loss"]
    for ours, theirs in (("log", "parameters"), ("low", "bootstrap_p2_5"), ("high", "bootstrap_p97_5")):
        assert getattr(experiment.published, ours) == pytest.approx(reference[theirs], rel=1e-9)


@pytest.mark.mirror
def test_models_of_one_architecture_err_together_and_those_of_one_seed_do_not(table: pd.DataFrame):
    experiment = get_experiment("compute_neuro")
    assert experiment.published is not None
    rows, log = rows_of(experiment, table), experiment.published.log
    law = np.exp(log["e"]) + np.exp(log["a"]) * (rows["total_flops"] / 1e13) ** -log["alpha"]
    residual = np.log(1 - rows["score"]) - np.log(law)

    def shared(labels: pd.Series) -> float:
        """Return the intraclass correlation of the residuals (one-way analysis of variance)."""
        parts = residual.groupby(labels)
        sizes, n = parts.size(), len(residual)
        between = (sizes * (parts.mean() - residual.mean()) ** 2).sum() / (len(sizes) - 1)
        within = ((residual - parts.transform("mean")) ** 2).sum() / (n - len(sizes))
        typical = (n - (sizes**2).sum() / n) / (len(sizes) - 1)
        return float((between - within) / (between + (typical - 1) * within))

    by_both = shared(rows["arch"] + " " + rows["seed"].astype(str))
    assert shared(rows["seed"]) < 0.05 < 0.5 < by_both < shared(rows["arch"])
    assert experiment.drawn_together == ("arch",)


@pytest.mark.mirror
def test_models_that_the_study_lost_for_want_of_facts_are_left_out(table: pd.DataFrame):
    experiment = get_experiment("parameter_pretrained_scaling")
    everything = rows_of(experiment.model_copy(update={"known": ()}), table)
    lost = everything[everything["n_params"].isna()]
    assert len(lost) == 11
    assert len(rows_of(experiment, table)) == len(everything) - len(lost) == 144


@pytest.mark.mirror
def test_regions_of_a_split_are_the_experiments_of_the_regions(table: pd.DataFrame):
    experiment = get_experiment("region_avg_group1").model_copy(update={"split_by": "region"})
    parts = points_of(experiment, table)
    assert set(parts) == {"V1", "V2", "V4", "IT", "Behavioral"}
    alone = points_of(get_experiment("region_it_group1"), table)[""]
    np.testing.assert_array_equal(parts["IT"].misalignment, alone.misalignment)
    assert parts["IT"].names == alone.names


def models(**changes: Any) -> pd.DataFrame:
    """Return two models, scored on two regions."""
    columns = {
        "model_id": ["b", "b", "a", "a"],
        "region": ["V4", "IT", "V4", "IT"],
        "score": [0.2, 0.4, 0.5, 0.7],
        "score_error": [0.03, 0.04, 0.06, 0.08],
        "n_params": [1e6, 1e6, 2e6, 2e6],
        "arch": ["x", "x", "y", "y"],
        "seed": [0, 0, 1, 1],
    }
    return pd.DataFrame({**columns, **changes})


def experiment(**changes: Any) -> Experiment:
    return Experiment.model_validate({"name": "mine", "x": {"n_params": 1e5}, **changes})


def test_points_in_their_units():
    points = points_of(experiment(drawn_together=["arch", "seed"]), models())[""]
    np.testing.assert_allclose(points.x, [[20], [10]])
    np.testing.assert_allclose(points.misalignment, [0.4, 0.7])
    assert points.errors is not None
    np.testing.assert_allclose(points.errors, [0.05, 0.025])
    assert (points.names, points.groups) == (("a", "b"), ("y 1", "x 0"))
    assert (points.variables, points.scales) == (("n_params",), (1e5,))


def test_models_without_a_known_fact_are_left_out():
    rows = rows_of(experiment(known=["n_params"]), models(n_params=[np.nan, np.nan, 2e6, 2e6]))
    assert rows["model_id"].tolist() == ["a"]


def test_a_restriction_holds_for_some_rows_only():
    some = {"among": {"arch": ["x"]}, "to": {"seed": [7]}}
    assert rows_of(experiment(restrict=some), models())["model_id"].tolist() == ["a"]
    renamed = experiment(restrict=some, rename={"arch": {"x": "z"}})  # variants are renamed first
    assert rows_of(renamed, models())["model_id"].tolist() == ["a", "b"]


def test_checkpoints_of_a_model_are_points_of_their_own():
    points = points_of(experiment(), models(ckpt=[1, 1, 2, 2], model_id="a", n_params=1e6))[""]
    assert points.names == ("a 1", "a 2")


@pytest.mark.parametrize(
    ("changes", "keys", "rule"),
    [
        ({"score": [0.2, 0.4, 0.9, 1.1]}, {}, r"scores below 1, got a \(1\)"),
        ({"n_params": [1e6, 1e6, np.nan, np.nan]}, {}, r"n_params > 0 for every model, got a \(empty\).*known"),
        ({"n_params": [1e6, 1e6, 0, 0]}, {}, r"n_params > 0 for every model, got a \(0\)"),
        ({"n_params": [1e6, 2e6, 2e6, 2e6]}, {}, "one n_params per model, got several"),
        (
            {"model_id": ["b", "b", "a", "c"]},
            {},
            r"scores of every model on the same region.*got 1 of 2 for a \(2 models lack some\)",
        ),
        ({"region": ["V4", "V4", "V4", "IT"]}, {}, "one score per model and region, got two of b V4"),
        ({}, {"where": {"region": ["V1"]}}, "rows with region V1, got IT, V4"),
        ({}, {"x": {"total_flops": 1}}, "a table with the column total_flops, got model_id, region"),
        ({"n_params": np.nan}, {"known": ["n_params"]}, "rows that pass its filters, got none"),
    ],
)
def test_what_would_be_a_law_of_something_else_is_refused(changes: dict[str, Any], keys: dict[str, Any], rule: str):
    with pytest.raises(InvalidOption, match=f"experiment 'mine': expected {rule}"):
        points_of(experiment(**keys), models(**changes))


def test_a_split_asks_for_the_same_regions_only_within_its_parts():
    part = models(region=["V4", "IT", "V4", "V1"])
    assert set(points_of(experiment(split_by="arch"), part)) == {"x", "y"}
    assert set(points_of(experiment(split_by="region"), models().iloc[:3])) == {"IT", "V4"}
    with pytest.raises(InvalidOption, match="same region"):
        points_of(experiment(), models().iloc[:3])


def test_a_table_suggests_its_experiment():
    suggested = of_table(models(), split_by="region")
    assert suggested.x == {"n_params": 1e5}
    assert (suggested.drawn_together, suggested.split_by) == (("arch",), "region")
    assert of_table(models(group=["p", "p", "q", "q"])).drawn_together == ("group",)
    assert of_table(models(group="p", arch="x")).drawn_together == ()
    two = of_table(models(n_samples_seen=1e7), form="two_variable")
    assert two.x == {"n_params": 1e5, "n_samples_seen": 1e4}
    with pytest.raises(InvalidOption, match=r"no column total_flops.*choose among its columns: model_id"):
        of_table(models(), x=["total_flops"])
    with pytest.raises(InvalidOption, match="no column n_samples_seen"):
        of_table(models(), form="two_variable")


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(text: str, name: str = "mine.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_inheritance(write: Callable[..., Path]):
    path = write(
        """
        study: mine
        templates:
          all: {x: {total_flops: 1.0e+13}, where: {region: [V4, IT], dataset: [imagenet]}, known: [acc, n_params]}
          some: {extends: all, where: {region: [V4]}}
        experiments:
          one: {extends: some, x: {n_params: 1}, known: [], where: {dataset: null, is_ssl: [false], n_samples: [0]}}
          two: {extends: all}
        """
    )
    one = get_experiment("one", [path])
    assert one.where == {"region": ("V4",), "is_ssl": (False,), "n_samples": (0,)}
    assert (one.x, one.known, one.study) == ({"n_params": 1}, (), "mine")
    two = get_experiment("two", [path.parent])
    assert two.where == {"region": ("V4", "IT"), "dataset": ("imagenet",)}
    assert two.known == ("acc", "n_params")


HEAD = "study: mine\nexperiments: "


@pytest.mark.parametrize(
    ("text", "error", "rule"),
    [
        (
            HEAD + "{a: {x: {n_params: 1}, wher: {}}}",
            InvalidOption,
            r"wher: expected a key that is known.*keys of an experiment: extends",
        ),
        (
            HEAD + "{a: {x: {n_params: 1}, where: {region: V4}}}",
            InvalidOption,
            r"region: expected a list, such as \[V4\], got 'V4'",
        ),
        (
            HEAD + "{a: {x: {n_params: 1}, where: {region: [[1]]}}}",
            InvalidOption,
            r"where\.region\.0: expected text, a number, true or",
        ),
        (HEAD + "{a: {x: {n_params: 1}, title: 3}}", InvalidOption, "'a', title: expected text, got 3"),
        (HEAD + "{a: {x: {n_params: much}}}", InvalidOption, r"x\.n_params: expected a number, got 'much'"),
        (HEAD + "{a: {x: {n_params: -1}}}", InvalidOption, "scales > 0"),
        (HEAD + "{a: {x: {n_params: 1}, form: line}}", InvalidOption, r"experiment 'a', form: expected one of power, "),
        (HEAD + "{a: {x: {n_params: 1, flops: 1}}}", InvalidOption, "1 resource for the form 'power'"),
        (HEAD + "{a: {x: {}}}", InvalidOption, "x: expected at least one, got {}"),
        (HEAD + "{a: {}}", InvalidOption, "x: expected this key, got nothing"),
        (HEAD + "{a: {extends: b, x: {n_params: 1}}}", InvalidOption, r"a template of this file \(none\)"),
        (HEAD + "{a: {extends: b}}\ntemplates: {b: {extends: b}}", InvalidOption, "one that extends itself"),
        (HEAD + "{a: {x: {n_params: 1}}, a: {x: {flops: 1}}}", DuplicateName, "'a' twice"),
        (HEAD + "{compute_neuro: {x: {n_params: 1}}}", DuplicateName, r"gokce2024\.yaml and .*mine\.yaml"),
        (HEAD + "{}", InvalidOption, r"mine\.yaml, experiments: expected at least one, got {}"),
        ("study: mine\nexperiment: {}", InvalidOption, "experiment"),
        (HEAD + "{a: {x: {n_params: 1}}}\nbase: {}", InvalidOption, "base: expected a key that is known"),
        (
            "- a\n- b",
            InvalidOption,
            r"mine\.yaml: expected keys with values, as in `key: value`, got \['a', 'b'\]; give",
        ),
        ("", InvalidOption, r"mine\.yaml: expected keys with values.* got nothing; give it `study`"),
        ("study: [", DataIntegrity, "expected YAML"),
    ],
)
def test_a_file_that_breaks_a_rule_is_refused(text: str, error: type[VentralError], rule: str, write: Any):
    with pytest.raises(error, match=rule):
        list_experiments([write(text)])


def test_files_that_are_not_there(tmp_path: Path):
    with pytest.raises(DataUnavailable, match="nothing there"):
        list_experiments([tmp_path / "none.yaml"])
    with pytest.raises(DataUnavailable, match="a folder without any"):
        list_experiments([tmp_path])
    with pytest.raises(UnknownName, match="did you mean compute_neuro"):
        get_experiment("compute_neural")
