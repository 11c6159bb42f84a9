"""Outputs: links, pipes and devices stay what they are; nothing that is read or just written is replaced."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from model_zoo.errors import InvalidOption
from results import records
from results.cli import running
from results.cli.app import app


def test_a_link_is_followed_and_a_file_keeps_its_permissions(tmp_path: Path):
    target, link = tmp_path / "real.json", tmp_path / "link.json"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    records.write_atomically(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.json", "real.json"]


def test_a_link_to_nothing_yet_is_followed(tmp_path: Path):
    link = tmp_path / "link.json"
    link.symlink_to(tmp_path / "new.json")
    records.write_atomically(link, "new")
    assert (tmp_path / "new.json").read_text() == "new"
    assert link.is_symlink()


def test_a_pipe_stays_a_pipe(tmp_path: Path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    records.check_writable(pipe, "--json")
    records.write_atomically(pipe, "through")
    reader.join(10)
    assert read == ["through"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="no device /dev/full")
def test_a_full_device_is_an_error_and_stays_one(tmp_path: Path):
    link = tmp_path / "full.json"  # a link, so that whatever goes wrong the device itself is safe
    link.symlink_to("/dev/full")
    command = [sys.executable, "-c", "from results.cli import main; main()", "list", "metrics"]
    done = subprocess.run([*command, "--json", str(link)], capture_output=True, text=True)
    assert done.returncode == 2
    assert "full disk" in done.stderr
    assert link.is_symlink()
    with open("/dev/full", "w") as full:
        assert subprocess.run(command, stdout=full, stderr=subprocess.DEVNULL).returncode == 2


def test_what_is_read_or_written_is_not_replaced(tmp_path: Path):
    table, other = tmp_path / "mine.csv", tmp_path / "other.csv"
    table.write_text("model,n_params,score\n")
    (tmp_path / "again.csv").symlink_to(table)
    running.check_outputs({"--csv": other}, [table])
    for output in (table, tmp_path / "again.csv"):
        for read in ([table], [f"label={table}"]):
            with pytest.raises(InvalidOption, match="expected a file of its own, got a file that is read"):
                running.check_outputs({"--csv": output}, None, read)
    with pytest.raises(InvalidOption, match="got the file of --csv"):
        running.check_outputs({"--csv": other, "FILE.csv": tmp_path / "." / "other.csv"})


@pytest.mark.parametrize("option", ["--json", "--csv", "--report"])
def test_a_table_is_not_replaced_by_a_mistyped_option(tmp_path: Path, option: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.csv").write_text("model,n_params,score\na,1,0.1\n")
    done = CliRunner().invoke(app, ["scaling", "fit", "--scores", "mine.csv", option, "mine.csv"])
    assert done.exit_code == 2
    assert Path("mine.csv").read_text() == "model,n_params,score\na,1,0.1\n"
