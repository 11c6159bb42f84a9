"""What the documents tell people to type works: commands parse, and the guide's content files are valid cards."""

from __future__ import annotations

import re
import shlex
import zipfile
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import typer
from PIL import Image

from alignment.contracts import RegressionMetric
from alignment.gram import Gram
from benchmarks.contracts import BenchmarkCard, DataFile
from results.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
GUIDE = ROOT / "docs" / "guides" / "add-a-benchmark-or-metric.md"


def commands(text: str) -> list[list[str]]:
    """Return the arguments of every `ventral` command in the text, in code blocks and between backticks."""
    lines = [line for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    inline = re.findall(r"`(ventral [^`\n]*)`", text)
    found = [re.sub(r"^[A-Z_]+=\S+ ", "", line) for line in [*lines, *inline]]
    return [shlex.split(line, comments=True)[1:] for line in found if line.startswith("ventral ")]


def refusal(arguments: list[str]) -> str | None:
    """Return why the command line would not be understood, or None."""
    command = typer.main.get_command(app)
    while hasattr(command, "commands"):
        if not arguments:
            return None
        name, *arguments = arguments
        if name not in command.commands:
            return f"no command {name!r}"
        command = command.commands[name]
    if not arguments:
        return None  # a mention
    try:
        command.make_context(command.name, list(arguments))
    except Exception as error:
        return str(error)
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_is_understood(page: Path):
    found = commands(page.read_text(encoding="utf-8"))
    assert {" ".join(arguments): refusal(arguments) for arguments in found if refusal(arguments)} == {}


def test_a_command_that_does_not_exist_is_seen():
    block = "```console\nX=1 ventral score m --nonsense 3\nventral scroe m\nventral score m  # remark\nls\n```\n"
    found = [refusal(arguments) is None for arguments in commands(block + "also `ventral list modles`")]
    assert found == [False, False, True, False]


def guide_module(text: str) -> ModuleType:
    (source,) = (block for block in re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL) if text in block)
    module = ModuleType("guide")
    exec(compile(source, str(GUIDE), "exec"), module.__dict__)
    return module


def test_the_guides_metric_predicts_what_its_reference_does():
    (card,) = guide_module("RegressionMetric").ENTRIES
    assert isinstance(card, RegressionMetric)
    rng = np.random.default_rng(0)
    responses, train, test = rng.normal(size=(30, 3)), np.arange(24), np.arange(24, 30)
    for n_features in (5, 200):  # kept as features, and as a Gram matrix
        features = rng.normal(1.0, size=(30, n_features))
        gram = Gram.of(features, [str(number) for number in range(30)])
        predicted = card.predict(gram, train, test, responses[train])
        np.testing.assert_array_equal(predicted, card.reference(features[train], responses[train], features[test]))


def test_the_guides_benchmark_loads(tmp_path: Path):
    (card,) = guide_module("BenchmarkCard").ENTRIES
    assert isinstance(card, BenchmarkCard)
    counts = np.random.default_rng(0).poisson(3.0, size=(4, 3, 2)).astype(float)
    np.save(tmp_path / "responses.npy", counts)
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for number in range(4):
            Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / "one.png")
            archive.write(tmp_path / "one.png", f"image{number:04d}.png")

    def get(file: DataFile) -> Path:
        return tmp_path / Path(file.name).name

    (recording,) = card.load(get)
    assembly, last = recording.assembly, recording.stimuli.ids[-1]
    assert recording.stimuli.image(last).getpixel((0, 0)) == (3, 0, 0)
    np.testing.assert_array_equal(assembly.values[assembly["stimulus_id"].values == last], counts[3])
