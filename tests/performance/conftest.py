"""How measurements are run, each in a process of its own, and how they get into docs/performance.md."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
import pytest

HERE = Path(__file__).parent
DOCUMENT = HERE.parents[1] / "docs" / "performance.md"


@pytest.fixture(scope="session")
def measure(mirror: Path) -> Callable[..., dict[str, Any]]:
    """Return a function that runs one measurement of measure.py in its own process and returns what it printed."""

    def run(name: str, work: Path, **environment: str) -> dict[str, Any]:
        command = [sys.executable, str(HERE / "measure.py"), name, "--mirror", str(mirror), "--work", str(work)]
        environment = {**os.environ, "PYTHONWARNINGS": "ignore", **environment}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr[-4000:]
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.fixture(scope="session")
def write_section() -> Callable[[str, Mapping[str, Any]], str]:
    """Return a function that renders <name>.md.j2 into the part of docs/performance.md that bears its name."""

    def write(name: str, values: Mapping[str, Any]) -> str:
        template = jinja2.Template((HERE / f"{name}.md.j2").read_text(), undefined=jinja2.StrictUndefined)
        text = template.render(date=f"{datetime.now(UTC):%Y-%m-%d}", machine=machine(), **values).strip()
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        page, found = re.subn(
            f"{begin}.*?{end}", lambda _: f"{begin}\n{text}\n{end}", DOCUMENT.read_text(), flags=re.DOTALL
        )
        assert found == 1, f"{DOCUMENT} has no section {begin}"
        DOCUMENT.write_text(page)
        return text

    return write


def machine() -> str:
    """Return what the measurements ran on."""
    import torch

    from model_zoo.machine import memory_limit_bytes, n_threads

    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(":")[1].strip() for line in lines if "model name" in line), platform.processor())
    return f"{cpu}, {n_threads()} threads, {memory_limit_bytes() / 2**30:.0f} GiB, no GPU, torch {torch.__version__}"
