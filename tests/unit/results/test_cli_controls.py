"""The table of controls: what stands beside a score, and what is said where nothing does."""

from __future__ import annotations

import pytest

from alignment.chance import Chance
from alignment.controls import Control
from alignment.twins import ONE_SEED, OWN_MODULE, Twins
from results.cli.controls import interval, print_controls


def control_of(score, **changes) -> Control:
    names = ("model", "benchmark", "metric", "layer", "measure", "raw")
    return Control(**{name: getattr(score, name) for name in names}, **changes)


def test_the_table_shows_both_controls_and_each_note_once(make_score, capsys: pytest.CaptureFixture[str]):
    scores = [make_score("V4", 0.4), make_score("IT", 0.3), make_score("V1", 0.2)]
    twins = Twins(
        seeds=(0, 1), raw=(0.1, 0.2), ceiled=(None, None), mean=0.15, spread=0.0707, difference=0.25, error=0.02,
        interval=(0.21, 0.29),
    )  # fmt: skip
    chance = Chance(n_shuffles=99, mean=0.004, percentile=0.061, p=0.01, difference=0.3, interval=(0.2, 0.4))
    found = [
        control_of(scores[0], twins=twins, chance=chance),
        control_of(scores[1], chance=chance, notes=(OWN_MODULE,)),
        control_of(scores[2], notes=(OWN_MODULE, ONE_SEED)),
    ]
    print_controls(scores, found, quiet=False)
    printed = capsys.readouterr()
    rows = [line for line in printed.out.splitlines() if "Study2020" in line]
    assert "r 0.400" in rows[0]
    assert "0.150 (sd 0.071), 2 seeds" in rows[0]
    assert "+0.250 [+0.210, +0.290]" in rows[0]
    assert rows[0].split()[-5:-1] == ["0.004", "+0.300", "[+0.200,", "+0.400]"]
    assert rows[0].split()[-1] == "0.01"
    assert rows[2].split()[-5:] == ["-"] * 5
    assert f"Study2020.IT layer2 pls, Study2020.V1 layer2 pls: {OWN_MODULE}" in printed.err
    assert f"Study2020.V1 layer2 pls: {ONE_SEED}" in printed.err


def test_a_note_of_all_scores_names_none_and_an_unknown_interval_is_left_out(make_score, capsys):
    score = make_score()
    found = [control_of(score, notes=(OWN_MODULE,))]
    print_controls([score], found, quiet=False)
    assert capsys.readouterr().err.strip() == f"N{OWN_MODULE[1:]}."
    print_controls([score], found, quiet=True)
    assert capsys.readouterr().err == ""
    assert interval((float("nan"), float("nan"))) == ""
