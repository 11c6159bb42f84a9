"""What the command line writes where: tables, JSON, and signs of life."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from rich.console import Console

from model_zoo.errors import InvalidOption
from results.cli import console


def test_bars_keep_time_even_when_silent():
    with console.Bars(quiet=True) as bars:
        bars("forward pass", 0, 2)
        bars("forward pass", 2, 2)
    durations = bars.durations()
    assert set(durations) == {"forward pass", "total"}
    assert 0 <= durations["forward pass"] <= durations["total"]


def written_by(capsys: pytest.CaptureFixture[str], seconds: float) -> str:
    """Return what stderr holds once something is there, or after the seconds."""
    end, text = time.monotonic() + seconds, ""
    while not text and time.monotonic() < end:
        time.sleep(0.01)
        text = capsys.readouterr().err
    return text


def test_without_a_terminal_a_plain_line_says_how_far_it_is(capsys: pytest.CaptureFixture[str]):
    with console.Bars(quiet=False, pace=(0.01, 1000.0)) as bars:
        bars("layers", 2, 2)
        bars("forward pass", 3, 10)
        assert written_by(capsys, 10) == "0 s: forward pass 3 of 10\n"
        assert written_by(capsys, 0.3) == ""  # the next one is due in 1000 s
    with console.Bars(quiet=False, pace=(0.01, 0.01)):
        assert written_by(capsys, 10).startswith("0 s: at work\n")
    capsys.readouterr()
    assert written_by(capsys, 0.1) == ""  # nothing after the end


def test_quiet_bars_and_short_work_say_nothing(capsys: pytest.CaptureFixture[str]):
    with console.Bars(quiet=True, pace=(0.01, 0.01)) as bars:
        bars("forward pass", 3, 10)
        assert written_by(capsys, 0.2) == ""
    with console.Bars(quiet=False) as bars:
        bars("forward pass", 3, 10)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("width", "turned"), [(200, False), (60, True), (30, True)])
def test_a_terminal_that_is_too_narrow_breaks_no_number(
    width: int, turned: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(console, "out", lambda: Console(width=width))
    numbers = [f"{number}.{number}{number}{number}{number}" for number in range(10)]
    table = console.table("Title", *(f"column{number}" for number in range(10)))
    table.add_row(*numbers)
    table.add_row(*reversed(numbers))
    console.show(table)
    lines = capsys.readouterr().out.splitlines()
    assert sum("column3" in line for line in lines) == 1 + turned
    for number, text in enumerate(numbers):
        assert sum(text in line for line in lines) == 2
        if turned:
            assert any(line.split() == [f"column{number}", text] for line in lines)


def test_long_sentences_are_wrapped_between_words(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(console, "out", lambda: Console(width=40))
    table = console.table("Title", "name", "what")
    table.add_row("resnet18", "a network of eighteen layers that everybody knows")
    console.show(table)
    lines = capsys.readouterr().out.splitlines()
    assert sum("resnet18" in line for line in lines) == 1
    assert "name" in lines[2]
    assert max(map(len, lines)) <= 40


def test_a_table_in_a_pipe_is_never_cut(capsys: pytest.CaptureFixture[str]):
    words = [f"{'long ' * 30}{number}" for number in range(20)]
    table = console.table("Title", *words)
    table.add_row(*words)
    console.show(table)
    lines = capsys.readouterr().out.splitlines()
    assert sum(all(word in line for word in words) for line in lines) == 2  # head and row, each on one line
    assert len(lines) < 8


def test_json_goes_to_the_file_asked_for_and_to_stdout_in_place_of_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert console.emit_json(None, {"a": 1}) is False
    assert console.emit_json(tmp_path / "x.json", {"a": 1}) is False
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": 1}
    assert capsys.readouterr().out == ""
    assert console.emit_json(Path("-"), {"a": 1}) is True
    assert json.loads(capsys.readouterr().out) == {"a": 1}
    with pytest.raises(InvalidOption, match=r"--json .*missing folder"):
        console.emit_json(tmp_path / "no" / "x.json", {})
