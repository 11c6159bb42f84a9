"""`ventral verify`: it agrees with what it computes, names what differs, and says why something cannot be compared."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from alignment import get_metric, list_metrics
from benchmarks import get_benchmark, load_benchmark
from model_zoo import load_model
from model_zoo.errors import DataIntegrity
from results import verification
from results.cli.app import app
from results.recomputation import data_fingerprint, recompute, weights_fingerprint
from results.verification import Expected, Group, Reference, alike, compare, only, outdated, sound, tolerance

MODEL, SEED, METRICS = "torchvision/squeezenet1_1", 3, ("ridge", "rsa-spearman")


def ventral(*arguments: object):
    """Run a command in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def plain(text: str) -> str:
    """Return text with line breaks undone."""
    return " ".join(text.split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A benchmark of 40 small pictures and 3 neuroids."""
    rng = np.random.default_rng(0)
    mine = tmp_path_factory.mktemp("benchmark") / "mine"
    (mine / "images").mkdir(parents=True)
    pictures = rng.integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(mine / "images" / f"p{number}.png")
    table = {"stimulus_id": [f"p{n}" for n in range(40)], "filename": [f"p{n}.png" for n in range(40)]}
    pd.DataFrame(table).to_csv(mine / "stimuli.csv", index=False)
    rates = pictures.reshape(40, -1) @ rng.normal(size=(192, 3)) / 1000
    np.save(mine / "responses.npy", rates[:, None] + rng.normal(size=(40, 2, 3)))
    (mine / "benchmark.toml").write_text('name = "dots"\nregion = "V1"\nvisual_degrees = 8.0\n')
    return str(mine)


@pytest.fixture(scope="module")
def reference(folder: str) -> Reference:
    """Scores of a small network, as tools/reference_scores.py would write them."""
    model = load_model(MODEL, seed=SEED)
    group = Group(MODEL, SEED, folder, get_benchmark(folder).version, ("features.2",), quick=True)
    scores = recompute(group, model, METRICS)
    expected = [
        Expected(each.metric, get_metric(each.metric).version, each.layer, each.raw, each.ceiling) for each in scores
    ]
    made = {"date": "2026-01-01", "libraries": {"torch": "2.0.0", "numpy": "1.0.0"}}
    return Reference(
        made=made,
        models={group.model_key: weights_fingerprint(model)},
        benchmarks={folder: data_fingerprint(load_benchmark(folder)[1])},
        groups=(only(group, *expected),),
    )


def run(reference: Reference, tmp_path: Path, *options: object):
    file = tmp_path / "reference.json"
    file.write_text(verification.to_json(reference))
    return ventral("verify", "--reference", file, *options)


def with_scores(reference: Reference, **changes: object) -> Reference:
    """Return the reference with its first score changed."""
    (group,) = reference.groups
    first, *others = group.scores
    return replace(reference, groups=(only(group, replace(first, **changes), *others),))


def test_what_was_just_computed_agrees(reference: Reference, tmp_path: Path):
    result = run(reference, tmp_path)
    assert result.exit_code == 0, result.output
    text = plain(result.stdout)
    assert "2 of 2 scores agree with those of 2026-01-01." in text
    assert "This installation computes the scores it should." in text
    assert f"torch {torch.__version__.split('+')[0]}" in text
    assert "instead of 2.0.0" in text


def test_a_perturbed_reference_fails_and_names_the_cell(reference: Reference, tmp_path: Path):
    expected = reference.groups[0].scores[0]
    wrong = with_scores(reference, raw=expected.raw + 1.5 * tolerance(get_metric(expected.metric)))
    found = run(wrong, tmp_path, "--json", "-", "-q")
    assert found.exit_code == 1
    content = json.loads(found.stdout)
    (bad,) = [each for each in content["checks"] if each["verdict"] == "differs"]
    assert (bad["metric"], bad["layer"], bad["model"]) == (expected.metric, "features.2", f"{MODEL}, seed {SEED}")
    assert bad["difference"] == pytest.approx(1.5 * bad["tolerance"], rel=1e-3)
    assert (content["sound"], content["summary"]) == (False, {"differs": 1, "agrees": 1})
    table = run(wrong, tmp_path)
    assert table.exit_code == 1
    text = plain(table.stdout)
    assert "do not report them before the cause is known" in text
    named = f"differs: {MODEL}, seed {SEED} on {wrong.groups[0].benchmark}, {expected.metric} at features.2: score"
    assert f"{named} {expected.raw:.6g} instead of " in text
    assert "ceiling" not in text
    within = with_scores(reference, raw=expected.raw + 0.5 * tolerance(get_metric(expected.metric)))
    assert run(within, tmp_path, "-q").exit_code == 0


def test_another_ceiling_is_a_difference_too(reference: Reference, tmp_path: Path):
    expected = reference.groups[0].scores[0]
    found = run(with_scores(reference, ceiling=0.123), tmp_path)
    assert found.exit_code == 1
    told = f"{expected.metric} at features.2: ceiling {expected.ceiling:.6g} instead of 0.123"
    assert told in plain(found.stdout)
    both = plain(run(with_scores(reference, ceiling=0.123, raw=0.9), tmp_path).stdout)
    assert f"instead of 0.9, ceiling {expected.ceiling:.6g} instead of 0.123" in both


def test_other_weights_are_not_the_installations_fault(reference: Reference, tmp_path: Path):
    (key,) = reference.models
    other = replace(reference, models={key: weights_fingerprint(load_model(MODEL, seed=SEED + 1))})
    found = run(other, tmp_path)
    assert found.exit_code == 1
    text = plain(found.stdout)
    assert f"not comparable: {key}" in text
    assert f"other weights are drawn from seed {SEED} by torch" in text
    assert "which is not this installation's fault" in text
    assert "Nothing could be compared" in text


def test_other_simulated_data_are_told_apart_from_other_scores(reference: Reference, tmp_path: Path, folder: str):
    values = reference.benchmarks[folder]
    other = replace(reference, benchmarks={folder: (*values[:-1], values[-1] + 1.0)})
    assert "other data are simulated by numpy" in plain(run(other, tmp_path).stdout)


def test_what_is_missing_is_skipped_with_a_reason(reference: Reference, tmp_path: Path):
    real = get_benchmark("Cowley2023.V4-201025")
    missing = Group(
        MODEL, SEED, real.name, real.version, ("features.2",), True, (Expected("ridge", 1, "features.2", 0.5),)
    )
    both = replace(reference, groups=(*reference.groups, missing))
    found = run(both, tmp_path, "--mirror", tmp_path)
    assert found.exit_code == 0
    text = plain(found.stdout)
    assert "skipped:" in text
    assert "its data are not at hand: name a copy with --mirror, or pass --download" in text
    assert "2 of 2 scores agree with those of 2026-01-01; 1 skipped." in text


def test_older_metrics_and_benchmarks_are_skipped(reference: Reference, tmp_path: Path):
    found = run(with_scores(reference, version=0), tmp_path)
    assert found.exit_code == 0
    assert "the metric is of version 1, the reference of 0" in plain(found.stdout)
    assert outdated(Expected("no-such-metric", 1, "l", 0.1)) == "this version of Ventral has no such metric"
    (group,) = reference.groups
    older = replace(reference, groups=(replace(group, version=-1),))
    assert f"the benchmark is of version {group.version}" in plain(run(older, tmp_path).stdout)


def test_an_error_of_a_cell_is_named_is_no_difference_and_the_others_go_on(reference: Reference, tmp_path: Path):
    (group,) = reference.groups
    broken = replace(reference, groups=(replace(group, layers=("nonsense",)), group))
    found = run(broken, tmp_path)
    assert found.exit_code == 1
    text = plain(found.stdout)
    assert f"not computed: {MODEL}, seed {SEED} on {group.benchmark}, 2 scores: layer 'nonsense': expected" in text
    assert "2 of 2 scores agree with those of 2026-01-01; 2 not computed." in text
    assert "other scores" not in text
    alone = run(replace(reference, groups=broken.groups[:1]), tmp_path)
    assert alone.exit_code == 1
    assert "Nothing could be compared" in plain(alone.stdout)


def test_quick_leaves_out_the_rest(reference: Reference, tmp_path: Path):
    (group,) = reference.groups
    slow = replace(reference, groups=(group, replace(group, quick=False, layers=("nonsense",))))
    assert run(slow, tmp_path, "--quick", "-q").exit_code == 0


def test_undefined_scores_agree_with_undefined_ones_alone(reference: Reference, folder: str):
    (group,) = reference.groups
    scores = recompute(group, load_model(MODEL, seed=SEED), METRICS)
    undefined = [replace(each, raw=float("nan")) for each in scores]
    assert [each.verdict for each in compare(group, undefined)] == ["differs"] * 2
    nothing = only(group, *(replace(each, raw=None) for each in group.scores))
    assert [each.verdict for each in compare(nothing, undefined)] == ["agrees"] * 2
    assert [each.reason for each in compare(group, [])] == ["no such score was returned"] * 2
    assert not sound(compare(group, []))


def test_a_reference_reads_as_it_was_written_and_damage_is_refused(reference: Reference, tmp_path: Path):
    text = verification.to_json(reference)
    assert verification.read(text, "here") == reference
    for damaged in ("", "[]", "{}", text[:-9], text.replace('"format": 1', '"format": 99')):
        with pytest.raises(DataIntegrity, match="here: expected reference scores of format 1"):
            verification.read(damaged, "here")
    with pytest.raises(DataIntegrity, match=r"no field 'format'.*tools/reference_scores.py"):
        verification.read("{}", "here")
    with pytest.raises(DataIntegrity, match="install Ventral again"):
        verification.read("{}", str(verification.REFERENCE))
    result = ventral("verify", "--reference", tmp_path / "none.json")
    assert result.exit_code == 2


def test_fingerprints_forgive_rounding_and_nothing_else():
    model = load_model(MODEL, seed=0)
    first = weights_fingerprint(model)
    assert alike(first, weights_fingerprint(load_model(MODEL, seed=0)))
    assert alike(first, (first[0], *(value * (1 + 1e-7) for value in first[1:])))
    assert not alike(first, weights_fingerprint(load_model(MODEL, seed=1)))
    assert not alike(first, (first[0] + 1, *first[1:]))
    assert alike((0.0,), weights_fingerprint(load_model("ventral/pixels")))


def test_every_metric_has_a_tolerance_above_rounding_and_below_what_matters():
    allowed = {metric.name: tolerance(metric) for metric in list_metrics()}
    assert all(1e-5 < value < 0.05 for value in allowed.values())
    assert allowed["pls"] == 2e-3
    assert allowed["ridge"] == 1e-4
    assert allowed["ridgecv"] == 1e-3


def test_the_packaged_reference_is_sound_and_knows_its_inputs():
    packaged = verification.read(verification.REFERENCE.read_text(encoding="utf-8"), "packaged")
    assert {"date", "command", "libraries", "hardware", "ventral"} <= set(packaged.made)
    assert any(group.quick for group in packaged.groups)
    for group in packaged.groups:
        assert group.model_key in packaged.models
        assert not get_benchmark(group.benchmark).bundled or group.benchmark in packaged.benchmarks
        assert group.scores
        assert not any(outdated(each) for each in group.scores)
