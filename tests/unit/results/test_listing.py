"""`ventral list`: strict JSON, what cannot be fetched, regions, sizes, and nothing found."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from benchmarks.brainscore import brainscore_card, brainscore_cards
from results.cli import listing
from results.cli.app import app

ON_REQUEST = "brainscore/Zerbe2026_fmri.IT-cka"
ELSEWHERE = "brainscore/ImageNet-top1"


def ventral(*arguments: str):
    return CliRunner().invoke(app, list(arguments))


def refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


def test_every_benchmark_of_brainscore_is_strict_json():
    result = ventral("list", "benchmarks", "--brainscore", "--json", "-")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout, parse_constant=refuse_constant)["benchmarks"]
    assert [row["name"] for row in rows] == [card.name for card in brainscore_cards()]
    assert len(rows) == 289
    degrees = {row["name"]: row["visual_degrees"] for row in rows}
    assert degrees[ELSEWHERE] is None
    assert degrees["brainscore/MajajHong2015public.IT-pls"] == 8.0


def test_what_cannot_be_fetched_is_not_said_to_be_bundled():
    rows = json.loads(ventral("list", "benchmarks", "--brainscore", "--json", "-").stdout)["benchmarks"]
    assert not [row["name"] for row in rows if row["data"] == "bundled"]
    why = {row["name"]: row["why_missing"] for row in rows}
    assert {name for name, reason in why.items() if reason == "on request"} == {n for n in why if "Zerbe2026" in n}
    assert [name for name, reason in why.items() if reason == "not here: cannot be fetched"] == [ELSEWHERE]
    shown = ventral("list", "benchmarks", "--brainscore", "--search", "Zerbe2026")
    assert shown.stdout.count("on request") == 24
    assert "ventral data fetch" not in shown.stderr


@pytest.mark.parametrize(("name", "reason"), [(ON_REQUEST, "on request only"), (ELSEWHERE, "cannot fetch")])
@pytest.mark.parametrize("command", ["fetch", "path"])
def test_fetching_what_cannot_be_fetched_is_refused(command: str, name: str, reason: str):
    result = ventral("data", command, name)
    assert result.exit_code == 2
    assert reason in result.stderr
    assert name in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("models", "--search", "nothinghere"), "No model matches 'nothinghere'."),
        (("benchmarks", "--search", "nothinghere"), "No benchmark matches 'nothinghere'."),
        (("benchmarks", "--region", "engineering"), "No benchmark matches 'engineering'."),
        (("metrics", "--search", "nothinghere"), "No metric matches 'nothinghere'."),
    ],
)
def test_nothing_found_is_said(arguments: tuple[str, ...], said: str):
    result = ventral("list", *arguments)
    assert (result.exit_code, result.stdout, result.stderr.strip()) == (0, "", said)


def test_regions_are_known_in_any_case():
    assert ventral("list", "benchmarks", "--region", "v4").stdout == (
        ventral("list", "benchmarks", "--region", "V4").stdout
    )
    rows = json.loads(ventral("list", "benchmarks", "--region", "it", "--json", "-").stdout)["benchmarks"]
    assert {row["region"] for row in rows} == {"IT"}
    assert ventral("list", "benchmarks", "--region", "V5").exit_code == 2
    for text in (
        ventral("list", "benchmarks", "--region", "V5").stderr,
        ventral("list", "benchmarks", "--help").stdout,
    ):
        assert "V1, V2, V4, IT, behaviour, engineering" in " ".join(text.replace("│", " ").split())


def test_sizes_known_in_part_are_shown():
    card = brainscore_card("brainscore/MajajHong2015public.IT-pls")
    first, second = card.files[:2]
    some = (replace(first, n_bytes=4_000_000), replace(second, n_bytes=None))
    assert listing._size(replace(card, files=some)) == "4.0 MB or more"
    assert listing._size(replace(card, files=some[:1])) == "4.0 MB"
    assert listing._size(replace(card, files=some[1:])) == "-"
    assert listing._size(brainscore_card(ON_REQUEST)) == "-"
    assert listing._size(replace(card, files=(), bundled=True)) == "none"
