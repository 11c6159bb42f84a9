"""Scores written as files: strict, complete, whole or not at all."""

import csv
import dataclasses
import io
import json
import math
import stat
from pathlib import Path

import pytest

from alignment import Score
from alignment.chance import Chance
from alignment.controls import Control
from alignment.twins import Twins
from model_zoo.errors import InvalidOption
from results import records


def strict_loads(text):
    def refuse(token):
        raise AssertionError(f"{token} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_json_holds_every_field_of_every_score_and_no_nan(make_score, profile):
    scores = [make_score("V4", profile=profile), make_score("IT", ceiling=None, raw=float("nan"), error=math.inf)]
    read = strict_loads(records.to_json(scores, {"path": Path("/x"), "pair": (1, 2), "loss": math.nan}))
    assert set(read) == {"scores", "provenance"}
    assert set(read["scores"][0]) == {field.name for field in dataclasses.fields(Score)}
    first, second = read["scores"]
    assert first["raw"] == 0.4
    assert first["ceiled"] == pytest.approx(0.4**2 / 0.8)
    assert first["unit_raw"][-1] is None
    assert first["profile"]["layers"][2] == "layer2"
    assert second["raw"] is None
    assert second["error"] is None
    assert second["ceiling"] is None
    assert read["provenance"] == {"path": "/x", "pair": [1, 2], "loss": None}


def test_csv_has_one_row_per_score_and_empty_cells_for_what_does_not_exist(make_score):
    scores = [make_score("V1"), make_score("V4", ceiling=None)]
    rows = list(csv.DictReader(io.StringIO(records.to_csv(scores))))
    assert [row["region"] for row in rows] == ["V1", "V4"]
    assert (float(rows[0]["interval_low"]), float(rows[0]["interval_high"])) == scores[0].interval
    assert (float(rows[0]["raw_interval_low"]), float(rows[0]["raw_interval_high"])) == scores[0].raw_interval
    assert float(rows[0]["raw"]) == scores[0].raw
    assert rows[1]["ceiling"] == rows[1]["ceiled"] == ""
    assert "unit_raw" not in rows[0]


def test_csv_has_what_controls_found_beside_their_scores(make_score):
    scores = [make_score("V4", 0.4), make_score("IT", 0.3), make_score("V1")]
    twins = Twins(
        seeds=(0, 1), raw=(0.1, 0.2), ceiled=(None, None), mean=0.15, spread=0.07, difference=0.25, error=0.02,
        interval=(0.21, 0.29),
    )  # fmt: skip
    chance = Chance(n_shuffles=99, mean=0.004, percentile=0.061, p=0.01, difference=0.3, interval=(0.2, 0.4))
    shared = {"model": "m", "metric": "pls", "layer": "layer2", "measure": "r"}
    found = [
        Control(benchmark="V4", raw=0.4, twins=twins, **shared),
        Control(benchmark="IT", raw=0.3, chance=chance, notes=("one", "two"), **shared),
    ]
    rows = list(csv.DictReader(io.StringIO(records.to_csv(scores, found))))
    names = [name for name in rows[0] if "untrained" in name or "shuffled" in name]
    first, second, third = ([row[name] for name in names] for row in rows)
    assert first == ["0.15", "0.25", "0.21", "0.29", "", "", "", "", ""]
    assert second == ["", "", "", "", "0.004", "0.3", "0.2", "0.4", "0.01"]
    assert third == [""] * len(names)  # a committed layer beside those that were controlled
    assert rows[1]["control_notes"] == "one; two"
    assert "untrained" not in records.to_csv(scores)


def test_a_written_file_is_complete_and_readable_by_others(tmp_path):
    path = tmp_path / "scores.json"
    records.write_atomically(path, "é\n")
    assert path.read_text(encoding="utf-8") == "é\n"
    assert stat.S_IMODE(path.stat().st_mode) & 0o400
    assert [p.name for p in tmp_path.iterdir()] == ["scores.json"]


def test_whoever_is_reading_the_old_file_keeps_all_of_it(tmp_path):
    path = tmp_path / "scores.json"
    path.write_text("old")
    with path.open() as reader:
        records.write_atomically(path, "new, and longer")
        assert reader.read() == "old"
    assert path.read_text() == "new, and longer"


def test_a_write_that_fails_leaves_the_old_file_and_no_leftovers(tmp_path):
    path = tmp_path / "scores.json"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        records.write_atomically(path, "new \ud800")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["scores.json"]


def test_a_full_disk_is_reported_with_the_file_that_was_asked_for():
    with pytest.raises(OSError, match="No space left") as caught:
        records.write_atomically(Path("/dev/full"), "x" * 100_000)
    assert caught.value.filename == "/dev/full"


@pytest.mark.parametrize(("name", "reason"), [("missing/x.json", "the missing folder"), ("folder", "a folder")])
def test_an_output_that_cannot_be_written_is_refused_beforehand(tmp_path, name, reason):
    (tmp_path / "folder").mkdir()
    with pytest.raises(InvalidOption, match=rf"--json .*expected a file in an existing, writable folder, got {reason}"):
        records.check_writable(tmp_path / name, "--json")


def test_checking_an_output_leaves_nothing_behind(tmp_path):
    records.check_writable(tmp_path / "x.json", "--json")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_a_special_file_system_refuses_files():
    with pytest.raises(InvalidOption, match="refuses files"):
        records.check_writable(Path("/proc/x.csv"), "--csv")


def test_hardware_and_libraries_are_this_machines():
    import numpy as np

    assert records.library_versions()["numpy"] == np.__version__
    described = records.hardware("cpu")
    assert described["n_threads"] >= 1
    assert described["memory_limit_bytes"] > 0
    strict_loads(json.dumps(described, allow_nan=False))
