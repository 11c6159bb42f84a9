"""The command line as a user meets it: exit codes, messages, streams and what it imports."""

import csv
import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from model_zoo import cache
from model_zoo.errors import VentralError
from results.cli.app import _message, app
from results.cli.score import formula

VENTRAL = [sys.executable, "-c", "from results.cli import main; main()"]
SMALL = ("torchvision/resnet18", "--input-size", "32")


def ventral(*arguments):
    """Run a command in this process."""
    return CliRunner().invoke(app, list(arguments))


def spawn(*arguments, **options):
    """Run a command as a process of its own."""
    return subprocess.run([*VENTRAL, *arguments], capture_output=True, text=True, timeout=120, **options)


def plain(text):
    """Return text with line breaks and box drawing undone, as help and errors wrap."""
    return " ".join(text.replace("│", " ").split())


COMMANDS = (
    (),
    ("score",),
    ("layers",),
    ("describe",),
    ("doctor",),
    ("list",),
    ("list", "models"),
    ("list", "benchmarks"),
    ("list", "metrics"),
    ("cache", "list"),
    ("cache", "prune"),
    ("cache", "verify"),
)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself_with_examples(command):
    result = ventral(*command, "--help")
    assert result.exit_code == 0
    assert command == ("list",) or f"ventral {' '.join(command)}".strip() in plain(result.stdout)
    assert command == ("list",) or "Examples" in result.stdout


def test_help_and_listings_import_nothing_heavy():
    code = (
        "import sys\nfrom results.cli.app import app\n"
        "for line in (['--help'], ['--version'], ['list', 'models'], ['list', 'benchmarks'], ['list', 'metrics']):\n"
        "    app(line, standalone_mode=False)\n"
        "heavy = {'torch', 'timm', 'torchvision', 'sklearn', 'plotly', 'scipy', 'brainscore_vision'}\n"
        "sys.exit(' '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("what", ["models", "benchmarks", "metrics"])
def test_listings_as_json_and_as_tables_name_the_same_things(what):
    rows = json.loads(ventral("list", what, "--json", "-").stdout)[what]
    assert rows
    table = ventral("list", what).stdout
    assert all(row["name"] in table for row in rows)


def test_search_finds_architectures_ignoring_case():
    found = json.loads(ventral("list", "models", "--search", "ResNet18", "--json", "-").stdout)["models"]
    assert {"name": "torchvision/resnet18"} in found
    assert all("resnet18" in row["name"].lower() for row in found)


def test_layers_come_in_order_with_shapes():
    rows = json.loads(ventral("layers", "torchvision/resnet18", "--json", "-").stdout)["layers"]
    assert [row["order"] for row in rows] == sorted(row["order"] for row in rows)
    by_name = {row["name"]: row for row in rows}
    assert by_name["layer3.1"]["shape"] == [256, 14, 14]
    assert by_name["layer3.1"]["n_features"] == 256 * 14 * 14
    everything = json.loads(ventral("layers", "torchvision/resnet18", "--all", "--json", "-").stdout)["layers"]
    assert len(everything) > len(rows)


@pytest.mark.parametrize(
    ("arguments", "suggestion"),
    [
        (("score", "torchvision/resnet81"), "did you mean torchvision/resnet"),
        (("score", "resnet18"), "did you mean timm/resnet18, torchvision/resnet18?"),
        (("layers", "torchvisoin/resnet18"), "did you mean timm/resnet18, torchvision/resnet18?"),
        (("score", *SMALL, "--benchmark", "Cowley2023.V4-201052"), "did you mean Cowley2023.V4-201025"),
        (("scroe",), "Did you mean 'score'"),
        (("score", *SMALL, "--memory", "lots"), "write for example 4GB"),
        (("score", *SMALL, "--mean", "a,b,c"), "numbers such as 0.485,0.456,0.406"),
        (("score", *SMALL, "--interpolation", "magic"), "expected one of nearest"),
        (("score", *SMALL, "--input-size", "0"), "pixels such as 224 or 224x192"),
        (("score", *SMALL, "--std", "1,1,0"), "all above 0, got '1,1,0'"),
        (("score", *SMALL, "--weights", "/no/such/file.pt"), "/no/such/file.pt"),
        (("score", *SMALL, "--json", "/no/such/folder/x.json"), "create the folder"),
        (("score", *SMALL, "--device", "cuda:9"), "a device that is not available here"),
        (("score", *SMALL, "--visual-degrees", "-3"), "degrees between 0 and 180"),
        (("score", *SMALL, "--metric", "banded-ridge"), "did you mean banded_ridge"),
        (("score", *SMALL, "--metric", "shape-angle-half"), "did you mean shape_angle-half"),
        (("score", *SMALL, "--decision", "guess"), "expected one of auto, head, readout"),
        (("score", *SMALL, "--decision", "head"), "it would change nothing"),
        (("score", *SMALL, "-b", "Geirhos2021.edge", "--metric", "pls"), "a metric for choices: accuracy"),
        (
            ("score", *SMALL, "-b", "Geirhos2021.sketch", "-b", "Geirhos2021.colour", "--offline", "--mirror", "/tmp"),
            "run `ventral data fetch Geirhos2021.sketch Geirhos2021.colour`",
        ),
        (("cache", "prune"), "--max-size, --days or --all"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input_is_one_message_on_stderr_and_exit_code_2(arguments, suggestion):
    result = ventral(*arguments)
    assert result.exit_code == 2
    assert suggestion in plain(result.stderr)
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_an_output_that_cannot_be_written_is_refused_before_anything_is_computed():
    result = ventral("score", "no-such-model", "--report", "/no/such/folder/x.html")
    assert "--report" in result.stderr
    assert "no-such-model" not in result.stderr


def test_debug_shows_the_traceback_that_is_otherwise_hidden():
    assert "Traceback" in ventral("--debug", "score", "resnet18").stderr


def test_version_is_the_installed_one():
    from importlib.metadata import version

    assert spawn("--version").stdout == f"ventral {version('ventral-alignment')}\n"


def test_a_full_disk_is_exit_code_2():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*VENTRAL, "list", "metrics", "--json", "-"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 2
    assert "full disk" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_reader_that_goes_away_is_no_error_message():
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([*VENTRAL, "list", "metrics", "--json", "-"], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert done.stderr == ""
    assert done.returncode == 1


def test_a_package_of_another_project_in_place_of_ours_is_named(tmp_path):
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "__init__.py").write_text("raise RuntimeError('imported')")
    code = f"import results.cli, sys; sys.path.insert(0, {str(tmp_path)!r}); results.cli.main()"
    done = subprocess.run([sys.executable, "-c", code, "doctor"], capture_output=True, text=True)
    assert done.returncode == 2
    assert f"got {tmp_path / 'benchmarks'}; uninstall" in done.stderr


def test_a_run_writes_the_same_numbers_everywhere_and_again(tmp_path):
    files = {kind: tmp_path / f"scores.{kind}" for kind in ("json", "csv", "html")}
    command = ["score", "timm/test_resnet", "--input-size", "32", "--metric", "ridge", "--layers", "layer1.0,layer4.0"]
    command += ["-b", "Simulated.V1", "-b", "Simulated.IT", "--json", str(files["json"]), "--csv", str(files["csv"])]
    result = ventral(*command, "--report", str(files["html"]))
    assert result.exit_code == 0, result.stderr
    assert "Weights: seed 0, 92 of 92 weights (100%)" in result.stderr
    assert "whole image to 32 x 32" in result.stderr
    found = json.loads(files["json"].read_text())
    cells = [(row["benchmark"], row["layer"]) for row in found["scores"]]
    assert cells == [(b, layer) for b in ("Simulated.V1", "Simulated.IT") for layer in ("layer1.0", "layer4.0")]
    table = list(csv.DictReader(io.StringIO(files["csv"].read_text())))
    for row, line in zip(found["scores"], table, strict=True):
        assert float(line["raw"]) == row["raw"]
        assert row["ceiled"] == pytest.approx(row["raw"] * abs(row["raw"]) / row["ceiling"])
        assert row["interval"][0] < row["ceiled"] < row["interval"][1]
        assert f"^2/{row['ceiling']:.3f} = {row['ceiled']:.3f}" in result.stdout
        assert f"{row['raw']:.3f}" in files["html"].read_text()
    made = found["provenance"]
    assert made["model"]["preprocessing"]["input_size"] == [32, 32]
    assert set(made["benchmarks"]) == {"Simulated.V1", "Simulated.IT"}
    assert made["metrics"]["ridge"]["parameters"] == {"alpha": 1.0}
    assert made["durations_s"]["total"] > 0
    again = ventral(*command[:-4], "--json", "-")
    assert json.loads(again.stdout)["scores"] == found["scores"]
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.once
@pytest.mark.parametrize(("sent", "code", "word"), [("SIGINT", 130, "Interrupted"), ("SIGTERM", 143, "Terminated")])
def test_a_run_that_is_told_to_end_leaves_nothing_half_written(tmp_path, sent, code, word):
    command = ["score", "torchvision/resnet18", "-b", "Simulated.V1", "--layers", "layer4"]
    process = subprocess.Popen(
        [*VENTRAL, *command, "--json", str(tmp_path / "x.json"), "--batch-size", "4"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "VENTRAL_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"},
        # Where tests run in the background the signal is ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stderr is not None
    assert any("Preprocessing" in line for line in process.stderr)  # the model is loaded, the forward pass comes next
    time.sleep(3)
    process.send_signal(signal.Signals[sent])
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == code, stderr
    assert word in stderr
    assert "Traceback" not in stderr
    left = [path for path in Path(tmp_path).rglob("*") if path.is_file()]
    kept = cache.list_entries(tmp_path / "home" / "cache")
    assert {path.name for path in left} == {entry.path.name for entry in kept}
    whole = {"list of layers", "names of architectures", "description of a model"}  # nothing of the cut pass
    assert {entry.meta["what"] for entry in kept} <= whole


@pytest.mark.parametrize(
    ("error", "start", "code"),
    [
        (MemoryError(), "Error: memory: ", 2),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory"), "Error: memory: ", 2),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "Error: memory: ", 2),
        (OSError(errno.ENOSPC, "No space left on device", "/x/y"), "Error: /x/y: expected room to write", 2),
        (PermissionError(errno.EACCES, "Permission denied", "/x/y"), "Error: /x/y: expected a usable file", 2),
        (KeyboardInterrupt(), "Interrupted.", 130),
        (ZeroDivisionError("division by zero"), "This is a bug in ventral", 1),
        (VentralError("here", expected="a", got="b", next_step="c"), "Error: here: expected a, got b; c", 2),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_every_kind_of_failure_has_its_message_and_code(error, start, code):
    message, exit_code = _message(error)
    assert message.startswith(start)
    assert exit_code == code


def test_the_formula_shows_its_numbers(make_score):
    assert formula(make_score(raw=0.45, ceiling=0.82)) == "ceiled = r^2/ceiling = 0.450^2/0.820 = 0.247"
    assert formula(make_score(raw=-0.45, ceiling=0.82)) == "ceiled = r^2/ceiling = -0.450^2/0.820 = -0.247"
    assert formula(make_score(raw=0.9, ceiling=0.7)).endswith("= 1.157; above the ceiling")
    assert "no ceiling" in formula(make_score(ceiling=None))


def test_the_cache_can_be_listed_verified_and_pruned():
    import numpy as np

    from model_zoo import cache, machine

    root = machine.home() / "cache"
    path = cache.store(root, "ab" * 32, {"k": np.eye(2)}, {"model": "mine"})
    assert json.loads(ventral("cache", "list", "--json", "-").stdout)["entries"][0]["meta"] == {"model": "mine"}
    assert ventral("cache", "verify").exit_code == 0
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    path.write_bytes(damaged)
    result = ventral("cache", "verify")
    assert result.exit_code == 2
    assert str(path) in result.stdout.replace("\n", "")
    assert "Removed 1 entries" in ventral("cache", "prune", "--all").stdout
    assert not path.exists()
