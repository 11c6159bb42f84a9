"""Placement on the screen equals Brain-Score's own, pixel for pixel, on lossless images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.stimuli import from_paths

pytestmark = pytest.mark.brainscore

SIZES = [(112, 112), (113, 90), (64, 255), (31, 7), (256, 256)]


@pytest.fixture
def images(tmp_path: Path) -> dict[str, Path]:
    rng = np.random.default_rng(0)
    paths = {}
    for number, (width, height) in enumerate(SIZES):
        paths[f"rgb{number}"] = tmp_path / f"rgb{number}.png"
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(paths[f"rgb{number}"])
    for mode in ("L", "RGBA"):
        paths[mode] = tmp_path / f"{mode}.png"
        channels = (75, 50) if mode == "L" else (75, 50, 4)
        Image.fromarray(rng.integers(0, 256, channels, dtype=np.uint8)).save(paths[mode])
    return paths


def as_model_sees(path: str) -> np.ndarray:
    from brainscore_vision.model_helpers.activations.pytorch import load_image

    return np.asarray(load_image(path))


@pytest.mark.parametrize(
    ("source", "target"), [(8, 10), (8, 6), (11.2, 8), (8, 11.2), (8, 8), (4, 8), (8, 3), (7.3, 9.1)]
)
def test_placement_equals_brainscore(
    images: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: float, target: float
) -> None:
    pytest.importorskip("brainscore_vision")
    from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet
    from brainscore_vision.benchmark_helpers import screen

    monkeypatch.setenv("RESULTCACHING_DISABLE", "1")
    monkeypatch.setattr(screen, "root_path", tmp_path / "screen")
    theirs = StimulusSet([{"stimulus_id": name} for name in images])
    theirs.stimulus_paths = {name: str(path) for name, path in images.items()}
    theirs.identifier = "parity"
    theirs = screen.place_on_screen(theirs, target_visual_degrees=target, source_visual_degrees=source)
    ours = from_paths(images, visual_degrees=source).place_on_screen(target)
    for name in images:
        np.testing.assert_array_equal(
            np.asarray(ours.image(name)), as_model_sees(theirs.get_stimulus(name)), err_msg=name
        )


def test_placement_twice_equals_brainscore_twice(images: dict[str, Path]) -> None:
    screen = pytest.importorskip("brainscore_vision.benchmark_helpers.screen")
    converter = screen.ImageConverter(target_dir=".")
    ours = from_paths(images, visual_degrees=8).place_on_screen(5).place_on_screen(9.5)
    for name, path in images.items():
        with Image.open(path) as image:
            theirs = converter.apply_ratio(converter.apply_ratio(image, 5 / 8), 9.5 / 5)
        np.testing.assert_array_equal(np.asarray(ours.image(name)), np.asarray(theirs.convert("RGB")), err_msg=name)
