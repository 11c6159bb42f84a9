"""Scratch folders: gone with their run, however it ends, and never taken from a run that lives."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from model_zoo import scratch
from model_zoo.errors import ResourceError

HOLD = (
    "import sys; from pathlib import Path; from model_zoo import scratch\n"
    "with scratch.folder(Path(sys.argv[1])) as made:\n"
    "    (made / 'features').write_bytes(bytes(1000)); print(made, flush=True); sys.stdin.read()\n"
)


def hold(parent: Path) -> tuple[subprocess.Popen[str], Path]:
    """Start another process that uses a scratch folder; return it and the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(parent)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_a_folder_is_gone_with_its_run(tmp_path: Path):
    def fail() -> None:
        with scratch.folder(tmp_path / "new") as made:
            (made / "part").write_text("x")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list((tmp_path / "new").iterdir()) == []


def test_a_killed_run_is_swept_up_by_the_next_one_and_a_living_one_is_not(tmp_path: Path):
    living, in_use = hold(tmp_path)
    killed, left = hold(tmp_path)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert left.exists()
    with scratch.folder(tmp_path) as made:
        assert not left.exists()
        assert (in_use / "features").exists()
        assert {path.name for path in tmp_path.glob("run-*/")} == {in_use.name, made.name}
    living.communicate()
    assert list(tmp_path.iterdir()) == []


def test_sweeping_tells_how_much_was_left(tmp_path: Path):
    killed, _ = hold(tmp_path)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert scratch.sweep(tmp_path) == 1000
    assert scratch.sweep(tmp_path) == 0
    assert scratch.sweep(tmp_path / "none") == 0


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ResourceError, match="--scratch-dir"), scratch.folder(tmp_path / "file" / "below"):
        pass
