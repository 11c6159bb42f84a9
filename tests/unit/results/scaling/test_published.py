"""The published table is the published one, and its unit is converted as the formulas say."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import numpy as np
import pytest

from benchmarks.fetch import data_folder
from model_zoo.errors import DataIntegrity, DataUnavailable, InvalidOption
from results.scaling.published import CEILINGS, CHECKPOINTS, SCORES, converted, gokce2024

REGIONS = {"V1", "V2", "V4", "IT", "Behavioral"}


@pytest.mark.mirror
def test_digests_are_those_of_the_published_repository(mirror: Path):
    with gzip.open(mirror / "manifest.csv.gz", "rt") as stream:
        published = {Path(row["path"]).name: row for row in csv.DictReader(stream) if row["study"] == "gokce2024"}
    for file in (SCORES, CHECKPOINTS):
        row = published[Path(file.name).name]
        assert (file.sha256, file.git_blob_sha1) == (row["sha256"], row["git_blob_sha1"])
        assert file.n_bytes == int(row["bytes"])
        assert file.urls[0].endswith(f"{row['repository']}/{row['commit']}/{row['path']}")


@pytest.mark.mirror
def test_all_models_and_benchmarks_are_there(mirror: Path):
    table = gokce2024(mirror, True)
    assert table["model_id"].nunique() == 993
    assert set(table.groupby("region").size().items()) == {(region, 993) for region in REGIONS}
    assert table.attrs["unit"].startswith("(r / ceiling)^2")
    along = gokce2024(mirror, True, checkpoints=True)
    assert along.groupby("region")["model_id"].nunique().to_dict() == dict.fromkeys(REGIONS, 43)
    assert set(along["ckpt"]) >= {1, 100, 300}


@pytest.mark.mirror
def test_units_belong_together(mirror: Path):
    ceilings = {"V1": 0.8, "V2": 0.7, "V4": 0.9}
    tables = {
        "legacy": gokce2024(mirror, True),
        "ratio": gokce2024(mirror, True, unit="ratio"),
        "explained": gokce2024(mirror, True, unit="explained", ceilings=ceilings),
    }
    neural = tables["legacy"]["region"] != "Behavioral"
    scores = {unit: table["score"].to_numpy() for unit, table in tables.items()}
    c = tables["legacy"]["region"].map({**CEILINGS, **ceilings}).to_numpy()
    r = scores["ratio"] * c
    np.testing.assert_allclose((r / c)[neural] ** 2, scores["legacy"][neural])
    np.testing.assert_allclose((r**2 / c)[neural], scores["explained"][neural])
    for unit in scores:
        np.testing.assert_array_equal(scores[unit][~neural], scores["legacy"][~neural])
    assert len({table.attrs["unit"] for table in tables.values()}) == 3


def test_brain_scores_worked_example_is_converted():
    # Brain-Score's README: pixels on the public IT benchmark, raw 0.22545, ceiling 0.81580, score 0.07637.
    score, region = np.array([0.07637, -0.07637]), np.array(["IT", "IT"], dtype=object)
    ratio = converted(score, region, "ratio", {})
    np.testing.assert_allclose(ratio * 0.81580, [0.22545, -0.22545], rtol=1e-4)
    explained = converted(score, region, "explained", CEILINGS)
    np.testing.assert_allclose(explained, [0.22545**2 / 0.81580, -(0.22545**2) / 0.81580], rtol=1e-4)


def test_an_unknown_ceiling_is_asked_for_before_anything_is_read(tmp_path: Path):
    with pytest.raises(InvalidOption, match=r"none for V1, V2, V4.*\"ratio\", which needs none"):
        gokce2024(tmp_path, True, unit="explained")
    with pytest.raises(InvalidOption, match=r"got V2 1\.5"):
        gokce2024(tmp_path, True, unit="explained", ceilings={"V1": 0.8, "V2": 1.5, "V4": 0.9})
    with pytest.raises(InvalidOption, match="legacy or ratio or explained"):
        gokce2024(tmp_path, True, unit="r2")  # type: ignore[arg-type]


def mirrored(folder: Path, content: bytes, name: str = SCORES.name + ".gz") -> Path:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return folder


@pytest.mark.mirror
def test_the_file_as_published_is_read_from_a_mirror_and_from_the_data_folder(mirror: Path, tmp_path: Path):
    content = gzip.decompress((mirror / f"{SCORES.name}.gz").read_bytes())
    assert len(gokce2024(mirrored(tmp_path, content, SCORES.name), True)) == 4965
    mirrored(data_folder(), content, SCORES.name)
    assert len(gokce2024(None, True)) == 4965
    assert len(gokce2024(mirrored(tmp_path / "other", b"not looked at"), True)) == 4965


@pytest.mark.mirror
@pytest.mark.parametrize("damage", ["a digit", "a row more", "cut", "not gzip"])
def test_other_bytes_are_refused(mirror: Path, tmp_path: Path, damage: str):
    packed = (mirror / f"{SCORES.name}.gz").read_bytes()
    content = gzip.decompress(packed)
    changed = {
        "a digit": lambda: gzip.compress(content.replace(b"0.2176", b"0.9176", 1), 1),
        "a row more": lambda: gzip.compress(content + content.splitlines()[-1] + b"\n", 1),
        "cut": lambda: packed[: len(packed) // 2],
        "not gzip": lambda: b"404: Not Found",
    }[damage]()
    with pytest.raises(DataIntegrity, match=r"benchmark_scores\.csv\.gz: expected .*; replace"):
        gokce2024(mirrored(tmp_path, changed), True)


@pytest.mark.mirror
def test_a_changed_plain_file_is_refused(mirror: Path, tmp_path: Path):
    content = gzip.decompress((mirror / f"{SCORES.name}.gz").read_bytes())
    changed = io.BytesIO(content.replace(b"0.2176", b"0.9176", 1)).getvalue()
    with pytest.raises(DataIntegrity, match="sha256"):
        gokce2024(mirrored(tmp_path, changed, SCORES.name), True)


def test_without_the_file_and_a_network_the_error_says_where_it_was_looked_for(tmp_path: Path):
    with pytest.raises(DataUnavailable, match=rf"benchmark_scores\.csv.*{tmp_path}"):
        gokce2024(tmp_path, True)
