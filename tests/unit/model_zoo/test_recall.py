"""A model that was noted is known without being built, and what is then built is the model that was noted."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

import model_zoo.cache
import model_zoo.recall
import model_zoo.revision
from model_zoo import load_model
from model_zoo.cache import list_entries
from model_zoo.contracts import LoadedModel
from model_zoo.errors import CheckpointError, UnknownName
from model_zoo.machine import home
from model_zoo.recall import is_built, recall_model
from model_zoo.revision import installed_code

NAME = "timm/test_resnet"
KNOWN = [field.name for field in fields(LoadedModel) if field.name != "module"]


@pytest.fixture(autouse=True)
def _code_is_at_rest(monkeypatch: pytest.MonkeyPatch):
    """Whoever edits a file while these tests run does not turn the cache off."""
    monkeypatch.setattr(model_zoo.revision, "_started", lambda: float("inf"))


def notes() -> list[str]:
    entries = list_entries(home() / "cache")
    return [each.meta["model"] for each in entries if each.meta["what"] == "description of a model"]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    state = {key: tensor for key, tensor in load_model(NAME, seed=9).module.state_dict().items() if "layer4" not in key}
    torch.save({"state_dict_ema": state, "model": state}, tmp_path / "weights.pt")
    return tmp_path / "weights.pt"


@pytest.mark.parametrize("with_file", [False, True])
def test_what_is_recalled_is_what_would_be_loaded(weights: Path, with_file: bool):
    options = {"seed": 3, "overrides": {"input_size": (96, 64), "std": (0.1, 0.2, 0.3)}}
    if with_file:
        options |= {"weights": weights, "ema": True, "partial": True}
    expected, first = load_model(NAME, **options), recall_model(NAME, **options)
    again = recall_model(NAME, **options)
    assert (is_built(first), is_built(again)) == (True, False)
    for name in KNOWN:
        assert getattr(again, name) == getattr(expected, name), name
    assert not is_built(again)
    for key, tensor in again.module.state_dict().items():
        assert torch.equal(tensor, expected.module.state_dict()[key]), key
    assert is_built(again)
    assert again.module is again.module


def test_a_changed_copy_is_a_model_like_any_other():
    recall_model(NAME)
    copy = replace(recall_model(NAME), visual_degrees=4.0)
    assert is_built(copy)
    assert (copy.visual_degrees, copy.identity) == (4.0, load_model(NAME).identity)


def test_a_recalled_model_has_no_other_attributes():
    recall_model(NAME)
    with pytest.raises(AttributeError, match="'modules'"):
        recall_model(NAME).modules  # noqa: B018


@pytest.mark.once
def test_recalling_imports_nothing_that_builds_models():
    code = f"""
import sys
from model_zoo.recall import recall_model
print(recall_model({NAME!r}).identity, [name for name in ("torch", "timm", "torchvision") if name in sys.modules])
"""
    said = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        for _ in range(2)
    ]
    identity = load_model(NAME).identity
    assert said[0].startswith(f"{identity} ['torch', 'timm'")
    assert said[1] == f"{identity} []"


def test_without_a_cache_nothing_is_noted_or_recalled():
    assert is_built(recall_model(NAME, use_cache=False))
    assert not (home() / "cache").exists() or notes() == []
    recall_model(NAME)
    assert is_built(recall_model(NAME, use_cache=False))


def test_nothing_is_noted_where_another_package_adds_models(monkeypatch: pytest.MonkeyPatch):
    recall_model(NAME)
    monkeypatch.setattr(model_zoo.recall, "entry_points", lambda group: [group])
    assert is_built(recall_model(NAME))
    assert is_built(recall_model(NAME, seed=1))
    assert notes() == [NAME]


def test_what_cannot_be_loaded_is_refused_in_the_same_words(tmp_path: Path):
    with pytest.raises(UnknownName) as of_name:
        recall_model("timm/test_resnett")
    with pytest.raises(UnknownName) as expected:
        load_model("timm/test_resnett")
    assert str(of_name.value) == str(expected.value)
    with pytest.raises(CheckpointError, match="nothing there"):
        recall_model(NAME, weights=tmp_path / "weights.pt")
    assert notes() == []


def test_a_folder_that_refuses_files_only_costs_time(monkeypatch: pytest.MonkeyPatch):
    def refuse(*_arguments: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(model_zoo.cache, "store", refuse)  # a real folder refuses root nothing
    assert recall_model("ventral/pixels").identity == load_model("ventral/pixels").identity


def test_an_edited_package_is_other_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "some_package" / "inner"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("raise RuntimeError('imported')")
    (folder / "data.txt").write_text("1")
    monkeypatch.syspath_prepend(tmp_path)

    def found() -> str:
        installed_code.cache_clear()
        return installed_code(("some_package", "package_that_is_not_there"))

    seen = [found()]
    (folder / "data.txt").write_text("22")
    assert found() == seen[0]
    for text in ("x = 1", "x = 2", "x = 10"):
        (folder / "code.py").write_text(text)
        seen.append(found())
    installed_code.cache_clear()
    assert len(set(seen)) == 4
