"""Tables are read whole and as meant, or refused with the place of what is wrong."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from alignment import Score
from model_zoo.errors import DataIntegrity, DataUnavailable, DuplicateName, InvalidOption, MissingExtra, VentralError
from results.records import to_json
from results.scaling.published import gokce2024
from results.scaling.studies import get_experiment, of_table, points_of
from results.scaling.tables import facts_template, from_scores, read_table, read_tables

MINE = """model,region,score,compute,family,is_ssl,note
resnet18,V4,0.5,1e18,ResNet,True,small
resnet18,behaviour,-0.1,1e18,ResNet,True,
"vit, tiny",V4,0.6,2.5E17,ViT,false,"it's ""new"" "
"vit, tiny",behaviour,0.3,2.5E17,ViT,false,4
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(content: str | bytes, name: str = "mine.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def test_a_users_table(write: Callable[..., Path]):
    table = read_table(write(MINE))
    assert table.fillna({"note": "-"}).to_dict("list") == {
        "model_id": ["resnet18", "resnet18", "vit, tiny", "vit, tiny"],
        "region": ["V4", "Behavioral", "V4", "Behavioral"],
        "score": [0.5, -0.1, 0.6, 0.3],
        "total_flops": [1e18, 1e18, 2.5e17, 2.5e17],
        "arch_family": ["ResNet", "ResNet", "ViT", "ViT"],
        "is_ssl": [True, True, False, False],
        "note": ["small", "-", 'it\'s "new"', "4"],
    }
    points = points_of(of_table(table, split_by="region"), table)["V4"]
    assert (points.names, points.variables) == (("resnet18", "vit, tiny"), ("total_flops",))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("mine.csv.gz", lambda text: gzip.compress(text.encode())),
        ("mine.CSV", lambda text: b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()),
        ("mine.csv", lambda text: text.replace("model,", " MODEL ,").replace("\n", "\n\n,,,,,,\n").encode()),
    ],
)
def test_the_same_table_in_other_clothes(name: str, change: Any, write: Callable[..., Path]):
    pd.testing.assert_frame_equal(read_table(write(change(MINE), name)), read_table(write(MINE)))


def test_a_tsv(write: Callable[..., Path]):
    table = read_table(write("model\tscore\tparams\na,b\t0.5\t100\n", "mine.tsv"))
    assert table.to_dict("list") == {"model_id": ["a,b"], "score": [0.5], "n_params": [100.0]}


def test_compute_follows_from_flops_and_samples(write: Callable[..., Path]):
    table = read_table(write("model,score,flops,samples\na,0.5,2e9,1e6\n"))
    assert table["total_flops"].tolist() == [6e15]
    assert "total_flops = 3 x flops" in table.attrs["notes"][0]
    mixed = read_table(write("model,score,flops,samples,compute\na,0.5,2e9,1e6,\nb,0.6,2e9,,7\nc,0.6,2e9,1,8\n"))
    assert mixed["total_flops"].tolist() == [6e15, 7, 8]
    assert "in 1 of 3 rows" in mixed.attrs["notes"][0]
    nowhere = read_table(write("model,score,flops,samples\na,0.5,2e9,\nb,0.6,,3\n"))
    assert "total_flops" not in nowhere.columns
    stated = read_table(write("model,score,flops,samples,compute\na,0.5,2e9,1e6,7\n"))
    assert stated["total_flops"].tolist() == [7]


@pytest.mark.mirror
def test_the_rule_for_compute_is_the_published_studys(mirror: Path):
    table = gokce2024(mirror, True)
    ratio = table["total_flops"] / (table["flops"] * table["n_samples_seen"])
    assert ratio.dropna().between(3 - 1e-9, 3 + 1e-9).all()


@pytest.mark.mirror
def test_the_published_table_as_a_users_csv_gives_the_same_points(mirror: Path, tmp_path: Path):
    table = gokce2024(mirror, True)
    table = table[~(table["is_pretrained"] | table["is_random"] | table["is_ssl"] | table["is_ablation"])]
    table = table.drop(columns=["acc"])
    table.to_csv(tmp_path / "mine.csv", index=False)
    experiment = get_experiment("compute_chinchilla").model_copy(update={"known": ()})
    ours, theirs = (points_of(experiment, each)[""] for each in (read_table(tmp_path / "mine.csv"), table))
    assert ours.names == theirs.names
    assert ours.groups == theirs.groups
    assert (ours.misalignment == theirs.misalignment).all()
    assert (ours.x == theirs.x).all()


@pytest.mark.parametrize(
    ("text", "error", "rule"),
    [
        (
            "model,score\na,0.5\n",
            InvalidOption,
            r"mine\.csv: expected a resource: a column total_flops or .*got model, score; add",
        ),
        (
            "model,skore,compute\na,0.5,1\n",
            InvalidOption,
            r"a column 'score', got model, skore, compute; rename 'skore'",
        ),
        ("modell,score,compute\na,0.5,1\n", InvalidOption, r"got modell.*rename 'modell' into 'model'"),
        (
            "model;score;compute\na;0,5;1\n",
            DataIntegrity,
            "commas between cells, got semicolons: 'model;score;compute'; save",
        ),
        (
            "model\tscore\tparams\na\t1\t1\n",
            DataIntegrity,
            r"got tabs: 'model\\tscore\\tparams'; rename the file to \.tsv",
        ),
        ("model,score,compute\na,,1\nb,,2\n", InvalidOption, r"a column 'score', got .*\(without any value: score\)"),
        ("model,score,compute\na,0.5,1\nb,,2\n", InvalidOption, r"column 'score': .* below 1 .*line 3: empty"),
        ("model,score,compute\na,nan,1\nb,0.1,2\n", InvalidOption, "line 2: nan"),
        ("model,score,compute\na,-inf,1\n", InvalidOption, "line 2: -inf"),
        ("model,score,compute\na,1,1\nb,1.2,2\n", InvalidOption, r"line 2: 1; line 3: 1\.2; scores of 1 or more"),
        ("model,score,compute\na,50%,1\n", InvalidOption, "line 2: 50%; correct or delete these rows"),
        (
            "model,score,params\na,0.5,12M\n",
            InvalidOption,
            r"mine\.csv, column 'params': expected a number above 0.*line 2: 12M",
        ),
        ("model,score,params\na,0.5,0\n", InvalidOption, "line 2: 0"),
        ("model,score,params,error\na,0.5,1,0\n", InvalidOption, "column 'error'"),
        ("model,score,params,error\na,0.5,1,0.1\nb,0.5,2,\n", InvalidOption, "column 'error': .*line 3: empty"),
        ("model,score,params,region\na,0.5,1,IT\nb,0.5,1,\n", InvalidOption, r"column 'region': .*line 3: empty"),
        ("model,score,params\n" + "a,2,1\n" * 7, InvalidOption, "line 6: 2 and 2 more"),
        ("model,model_id,score,params\na,a,0.5,1\n", InvalidOption, "every column once, got model and model_id"),
        ("model,score,score,params\na,0.5,0.5,1\n", InvalidOption, "every column once, got score and score"),
        ("model,score,params\n", InvalidOption, "at least one row, got a header only"),
        ("model,score,params\na,0.5,1\nb,0.6,1,7\n", DataIntegrity, "line 3: expected 3 cells, .*got 4"),
        ("model,score,params\na,0.5,1\nb,0.6\n", DataIntegrity, "line 3: expected 3 cells, .*got 2"),
        ('model,score,params\n"a,0.5,1\n', DataIntegrity, "a CSV, TSV or Parquet file"),
        ("", DataIntegrity, "a header and rows, got an empty file"),
        (b"model,score,params\n\xff\xfe,0.5,1\n", DataIntegrity, "save it anew as CSV"),
        ("model,score,params\na,0.5,1\nb,0.5,2\na,0.6,3\n", DuplicateName, r"per model, got 2 of a \(line 2, line 4\)"),
        (
            "model,region,score,params\na,IT,0.5,1\na,V4,0.5,1\na,IT,0.6,1\n",
            DuplicateName,
            r"one row per model, region, got 2 of a, IT \(line 2, line 4\)",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str | bytes, error: type[VentralError], rule: str, write: Any):
    with pytest.raises(error, match=rule):
        read_table(write(text))


BLANKS = "model,score,compute,params,family,seed\na,0.1,1,10,X,0\nb,0.2,2,,X,\nc,0.3,3,30,,\n"


def test_empty_cells_are_refused_where_they_are_used(write: Callable[..., Path]):
    table = read_table(write(BLANKS))
    assert points_of(of_table(table), table)[""].names == ("a", "b", "c")
    with pytest.raises(InvalidOption, match=r"the table: expected n_params > 0 .*got b \(line 3: empty\); complete"):
        points_of(of_table(table, x=("n_params",)), table)
    with pytest.raises(InvalidOption, match=r"expected arch_family for every model, got c \(line 4: empty\)"):
        points_of(of_table(table, split_by="arch_family"), table)
    both = read_tables(
        [write(BLANKS), write(BLANKS.replace("a,", "d,").replace("b,", "e,").replace("c,", "f,"), "2.csv")]
    )
    with pytest.raises(InvalidOption, match=r"got b \(mine\.csv, line 3: empty\); e \(2\.csv, line 3: empty\)"):
        points_of(of_table(both, x=("n_params",)), both)


@pytest.mark.parametrize("name", ["n_samples_seen", "n_samples", "samples_seen", "samples", "N_Samples"])
def test_samples_seen_under_every_name(name: str, write: Callable[..., Path]):
    table = read_table(write(f"model,score,{name}\na,0.5,2e9\n"))
    assert table.columns.tolist() == ["model_id", "score", "n_samples_seen"]


def test_n_samples_beside_samples_seen_is_another_column(write: Callable[..., Path]):
    table = read_table(write("model,score,n_samples,n_samples_seen\na,0.5,2e9,6e9\n"))
    assert table.to_dict("list") == {"model_id": ["a"], "score": [0.5], "n_samples": [2e9], "n_samples_seen": [6e9]}


def test_files_that_cannot_be_read(tmp_path: Path, write: Callable[..., Path]):
    with pytest.raises(DataUnavailable, match=r"none\.csv: .*No such file"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(DataUnavailable, match="directory"):
        read_table(tmp_path)
    with pytest.raises(DataIntegrity, match="CSV"):
        read_table(write(gzip.compress(MINE.encode())[:40], "cut.csv.gz"))
    with pytest.raises((MissingExtra, DataIntegrity), match="Parquet"):
        read_table(write("no parquet", "mine.parquet"))


def test_several_tables_make_one(write: Callable[..., Path]):
    first, second = write("model,score,params\na,0.5,1\n", "1.csv"), write("params,model,score\n2,b,0.6\n", "2.csv")
    assert read_tables([first, second])["model_id"].tolist() == ["a", "b"]
    with pytest.raises(DuplicateName, match=r"2 of a \(.*1\.csv, .*3\.csv\)"):
        read_tables([first, write("model,score,params\na,0.6,2\n", "3.csv")])
    with pytest.raises(InvalidOption, match="the same columns in all tables, got n_params, total_flops in one"):
        read_tables([first, write("model,score,compute\nc,0.6,2\n", "4.csv")])
    with pytest.raises(InvalidOption, match="got 1 score files and 0 tables"):
        read_tables([Path("scores.json")])


@pytest.fixture
def score_file(tmp_path: Path, make_score: Callable[..., Score]) -> Callable[..., Path]:
    def score_file(name: str, *scores: dict[str, Any]) -> Path:
        path = tmp_path / name
        path.write_text(to_json([make_score(**each) for each in scores], {"command": []}))
        return path

    return score_file


FACTS = "model,family,n_params,flops,n_samples_seen\nm1,ResNet,1e7,2e9,1e8\nm2,ViT,2e7,4e9,1e8\nm3,ViT,2e7,4e9,1e8\n"


def test_score_files_with_facts(score_file: Any, write: Callable[..., Path]):
    uncorrected = {"region": "IT", "ceiling": None, "interval_of": "raw"}
    one = score_file("1.json", {"model": "m1"}, {"model": "m1", **uncorrected})
    two = score_file("2.json", {"model": "m2", "raw": 0.6}, {"model": "m2", **uncorrected})
    table = read_tables([one, two, write(FACTS)])
    assert table["model_id"].tolist() == ["m1", "m1", "m2", "m2"]
    assert table["score"].tolist() == pytest.approx([0.4**2 / 0.8, 0.4, 0.6**2 / 0.8, 0.4])
    assert table["score_error"].tolist() == [0.03] * 4
    assert table["total_flops"].tolist() == pytest.approx([6e17, 6e17, 1.2e18, 1.2e18])
    assert table["benchmark"].tolist() == ["Study2020.V4", "Study2020.IT"] * 2
    assert table.attrs["unit"] == "V4: pls, r^2/ceiling; IT: pls, r, no ceiling"
    parts = points_of(of_table(table, split_by="region"), table)
    assert parts["V4"].misalignment.tolist() == pytest.approx([0.8, 0.55])


def test_facts_of_some_models_may_be_samples_and_of_others_compute(score_file: Any, write: Callable[..., Path]):
    scores = score_file("1.json", {"model": "m1"}, {"model": "m2"})
    rows = ["model,seed,flops,n_samples_seen,total_flops", "m1,0,2e9,1e8,", "m2,,,,7e17"]
    table = from_scores([scores], write("\n".join(rows)))
    assert table["total_flops"].tolist() == [6e17, 7e17]
    table = from_scores([scores], write("\n".join([*rows[:2], "m2,1,2e9,,"])))
    with pytest.raises(InvalidOption, match=r"total_flops > 0 .*got m2 \(mine\.csv, line 3: empty\)"):
        points_of(of_table(table), table)


def test_scores_that_do_not_belong_together_are_refused(score_file: Any, write: Callable[..., Path]):
    facts = write(FACTS)
    one = score_file("1.json", {"model": "m1"})
    with pytest.raises(DuplicateName, match=r"m1 / Study2020\.V4 / pls: .*two, in .*1\.json and .*2\.json"):
        from_scores([one, score_file("2.json", {"model": "m1", "raw": 0.5})], facts)
    ridge = score_file("3.json", {"model": "m2", "metric": "ridge"})
    with pytest.raises(InvalidOption, match=r"scores of V4: .*pls, r\^2/ceiling and ridge, r\^2/ceiling"):
        from_scores([one, ridge], facts)
    assert from_scores([one, ridge], facts, metric="ridge")["model_id"].tolist() == ["m2"]
    with pytest.raises(InvalidOption, match="at least one score of the metric 'cka', got none"):
        from_scores([one], facts, metric="cka")
    with pytest.raises(InvalidOption, match=r"facts about every model that was scored, got none about other"):
        from_scores([score_file("4.json", {"model": "other"})], facts)
    with pytest.raises(InvalidOption, match=r"facts about models, not scores, got a column 'score'"):
        from_scores([one], write("model,n_params,score\nm1,1,0.5\n", "both.csv"))
    with pytest.raises(InvalidOption, match=r"column 'score': .*1\.json, m1 on Study2020\.V4: 1\.25"):
        from_scores([score_file("1.json", {"model": "m1", "raw": 1.0})], facts)


@pytest.mark.parametrize("text", ["{", "[]", '{"scores": [{"model": "m1"}]}', '{"scores": 3}', "{}"])
def test_other_json_is_no_score_file(text: str, write: Callable[..., Path]):
    with pytest.raises(DataIntegrity, match=r"other\.json: expected a score file of Ventral"):
        from_scores([write(text, "other.json")], write(FACTS))


def test_a_score_that_could_not_be_computed_is_refused(score_file: Any, write: Callable[..., Path]):
    path = score_file("1.json", {"model": "m1"}, {"model": "m2"})
    content = json.loads(path.read_text())
    content["scores"][1]["ceiled"] = None
    path.write_text(json.dumps(content))
    with pytest.raises(InvalidOption, match=r"m2 on Study2020\.V4: empty"):
        from_scores([path], write(FACTS))


def test_the_template_of_facts_is_taken_once_filled(score_file: Any, write: Callable[..., Path]):
    template = facts_template({"m1": {"family": "ResNet"}, "m 2": {"family": "ViT"}})
    scores = score_file("1.json", {"model": "m1"}, {"model": "m 2"})
    with pytest.raises(InvalidOption, match=r"without any value: .*n_params"):
        from_scores([scores], write(facts_template({"m1": {}, "m 2": {}})))
    header, *rows = template.splitlines()
    place = header.split(",").index("n_params")
    filled = [header, *(",".join([*row.split(",")[:place], "5", *row.split(",")[place + 1 :]]) for row in rows)]
    table = from_scores([scores], write("\n".join(filled)))
    assert table["n_params"].tolist() == [5, 5]
    assert table["arch_family"].tolist() == ["ResNet", "ViT"]
    assert "arch" not in table.columns
