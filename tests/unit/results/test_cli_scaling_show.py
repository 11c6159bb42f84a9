"""What `ventral scaling` prints and writes besides the numbers: how they were made, what X is and where laws end."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from results.cli.app import app


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 models of two families on L = 0.4 + 0.3 (N / 1e5)^-0.4 + 0.2 (D / 1e4)^-0.3, with 1 % noise."""
    rng = np.random.default_rng(0)
    rows = ["model,family,n_params,n_samples_seen,compute,score"]
    for number, (n, d) in enumerate(10 ** rng.uniform((5, 4), (8, 8), (40, 2))):
        score = 1 - (0.4 + 0.3 * (n / 1e5) ** -0.4 + 0.2 * (d / 1e4) ** -0.3) * np.exp(rng.normal(0, 0.01))
        rows.append(f"m{number},{'ab'[number % 2]},{n:.6e},{d:.6e},{6 * n * d:.6e},{score:.6f}")
    path = tmp_path_factory.mktemp("show") / "mine.csv"
    path.write_text("\n".join(rows))
    return path


@pytest.mark.parametrize(
    ("arguments", "drawn"),
    [
        (("list",), False),
        (("compare", "--form", "power", "--form", "unbounded"), False),
        (("frontier",), False),
        (("predict", "--compute", "1e15", "--draws", "20", "--seed", "7"), True),
        (("plan", "--budget", "1e15", "--draws", "20", "--seed", "7"), True),
        (("allocate", "--draws", "20", "--seed", "7"), True),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_json_says_how_it_was_made(arguments: tuple[str, ...], drawn: bool, table: Path):
    given = () if arguments == ("list",) else ("--scores", str(table), "-q")
    made = CliRunner().invoke(app, ["scaling", *arguments, *given, "--json", "-"])
    assert made.exit_code == 0, made.output
    found = json.loads(made.stdout)["provenance"]
    assert {"command", "ventral", "date", "libraries"} <= set(found)
    assert (found.get("seed"), found.get("bootstrap_draws")) == ((7, 20) if drawn else (None, None))
    assert ("unit_of_the_scores" in found) == bool(given)


def test_the_terminal_says_what_x_is_where_the_law_ends_and_which_interval_is_shown(table: Path):
    arguments = ["scaling", "fit", "--scores", str(table), "--x", "n_params", "--draws", "20"]
    text = " ".join(CliRunner().invoke(app, arguments).output.split())
    assert "n_params / 1e+05" in text
    assert "widened for few units and moved for bias" in text
    assert "all: " in text
    assert "`ventral scaling compare` tests it on the largest models" in text
