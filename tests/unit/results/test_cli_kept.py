"""Scores that are kept are shown again in the same words, without importing what computed them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

MODEL = "timm/test_resnet"
HEAVY = ("torch", "torchvision", "timm", "sklearn", "pandas", "xarray")
RUN = f"""
import sys
from results.cli import main
try:
    main()
finally:
    sys.stderr.write("\\nimported: " + " ".join(name for name in {HEAVY!r} if name in sys.modules))
"""


def ventral(*arguments: str) -> tuple[str, set[str]]:
    """Run a command in another process; return what it printed, and which heavy packages it imported."""
    done = subprocess.run([sys.executable, "-c", RUN, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, set(done.stderr.rpartition("imported:")[2].split())


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    named = ["-b", "Simulated.V1", "--metric", "ridge", "--layers", "layer1.0"]
    return [*named, "--input-size", "64", "--csv", str(tmp_path / "table.csv")]


@pytest.mark.once
def test_kept_scores_are_shown_without_importing_torch(options: list[str], tmp_path: Path):
    compare = ["compare", MODEL, f"{MODEL}@1", *options]
    first, imported = ventral(*compare)
    assert {"torch", "timm"} <= imported
    again, imported = ventral(*compare, "--plot", str(tmp_path / "plot.html"))
    assert again == first
    assert imported == set()
    scored, imported = ventral("score", MODEL, *options)
    assert imported == set()
    assert MODEL in scored
