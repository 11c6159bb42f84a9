"""Stimulus sets show the right pixels, from any source and any thread, and notice every change of them."""

from __future__ import annotations

import io
import multiprocessing
import pickle
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from benchmarks.stimuli import StimulusSet, from_arrays, from_paths, from_zip
from model_zoo.errors import DataIntegrity, DataUnavailable, InvalidOption, UnknownName

N = 60


def pixels(n: int = N, side: int = 24) -> dict[str, np.ndarray]:
    images = np.random.default_rng(0).integers(0, 256, (n, side, side + 7, 3), dtype=np.uint8)
    return {f"image{i:03d}": image for i, image in enumerate(images)}


def encode(image: np.ndarray, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, kind)
    return stream.getvalue()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as stream:
        for name, image in pixels().items():
            stream.writestr(f"folder/{name}.png", encode(image))
    return path


def zipped(archive: Path) -> StimulusSet:
    return from_zip(archive, {name: f"folder/{name}.png" for name in pixels()}, visual_degrees=8)


def shown(stimuli: StimulusSet) -> np.ndarray:
    return np.stack([np.asarray(stimuli.image(each)) for each in stimuli.ids])


def test_every_source_shows_the_same_pixels(archive: Path, tmp_path: Path) -> None:
    images = pixels()
    for name, image in images.items():
        (tmp_path / f"{name}.png").write_bytes(encode(image))
    paths = from_paths({name: tmp_path / f"{name}.png" for name in images}, visual_degrees=8)
    expected = np.stack(list(images.values()))
    for stimuli in (from_arrays(images, visual_degrees=8), paths, zipped(archive)):
        assert stimuli.ids == tuple(images)
        np.testing.assert_array_equal(shown(stimuli), expected)
    assert paths.content_hash == zipped(archive).content_hash


def test_one_archive_serves_many_threads_and_forked_processes(archive: Path) -> None:
    stimuli = zipped(archive)
    order = [each for _ in range(10) for each in stimuli.ids]
    with ThreadPoolExecutor(8) as threads:
        seen = list(threads.map(stimuli.image, order))
    for name, image in zip(order, seen, strict=True):
        np.testing.assert_array_equal(np.asarray(image), pixels()[name])
    expected = shown(stimuli)

    def read_often() -> None:
        assert all((shown(stimuli) == expected).all() for _ in range(20))

    children = [multiprocessing.get_context("fork").Process(target=read_often) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0, 0]
    np.testing.assert_array_equal(shown(pickle.loads(pickle.dumps(stimuli))), expected)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "LA"])
def test_any_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    picture = Image.fromarray(pixels()["image000"]).convert(mode)
    picture.save(tmp_path / "one.png")
    image = from_paths({"one": tmp_path / "one.png"}, visual_degrees=1).image("one")
    assert image.mode == "RGB"
    if mode == "RGBA":
        np.testing.assert_array_equal(np.asarray(image), pixels()["image000"])


def test_content_hash_notices_ids_order_pixels_and_placement_only() -> None:
    images = pixels(4)
    original = from_arrays(images, visual_degrees=8)
    same = from_arrays(
        {k: v.copy() for k, v in images.items()}, visual_degrees=8, columns={"object_name": list("abcd")}
    )
    assert original.content_hash == same.content_hash
    changed = {k: v.copy() for k, v in images.items()}
    changed["image002"][5, 5, 0] ^= 1
    others = [
        original.subset(list(images)[::-1]),
        original.subset(list(images)[:3]),
        from_arrays(changed, visual_degrees=8),
        from_arrays({f"{k}x": v for k, v in images.items()}, visual_degrees=8),
        from_arrays({k: v.transpose(1, 0, 2) for k, v in images.items()}, visual_degrees=8),
        original.place_on_screen(9),
        original.place_on_screen(7),
    ]
    assert len({original.content_hash, *(each.content_hash for each in others)}) == 1 + len(others)
    assert original.place_on_screen(8).content_hash == original.content_hash


def test_an_id_cannot_pass_for_image_bytes(tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(b"c")
    (tmp_path / "long").write_bytes(b"bc")
    one = from_paths({"ab": tmp_path / "short"}, visual_degrees=8)
    other = from_paths({"a": tmp_path / "long"}, visual_degrees=8)
    assert one.content_hash != other.content_hash


@settings(deadline=None)
@given(height=st.integers(4, 40), width=st.integers(4, 40), ratio=st.floats(1, 3))
def test_a_wider_field_adds_a_grey_border_and_a_narrower_one_takes_it_away(
    height: int, width: int, ratio: float
) -> None:
    image = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    placed = np.asarray(from_arrays({"a": image}, visual_degrees=1).place_on_screen(ratio).image("a"))
    assert abs(placed.shape[0] - ratio * height) <= 0.5
    assert abs(placed.shape[1] - ratio * width) <= 0.5
    top, left = (round((big - small) / 2) for big, small in zip(placed.shape, image.shape, strict=False) if small != 3)
    np.testing.assert_array_equal(placed[top : top + height, left : left + width], image)
    border = np.ones(placed.shape[:2], bool)
    border[top : top + height, left : left + width] = False
    assert (placed[border] == 128).all()


def test_the_narrow_field_sees_the_centre() -> None:
    image = np.arange(100, dtype=np.uint8).reshape(10, 10, 1).repeat(3, axis=2)
    cropped = from_arrays({"a": image}, visual_degrees=10).place_on_screen(4)
    np.testing.assert_array_equal(np.asarray(cropped.image("a")), image[3:7, 3:7])
    assert cropped.visual_degrees == 4


def test_subset_keeps_the_asked_order_and_the_columns() -> None:
    stimuli = from_arrays(pixels(4), visual_degrees=8, columns={"object_name": list("abcd")})
    part = stimuli.subset(["image002", "image000"])
    assert part.ids == ("image002", "image000")
    assert part.table["object_name"].tolist() == ["c", "a"]
    np.testing.assert_array_equal(np.asarray(part.image("image002")), pixels(4)["image002"])
    for ask in (lambda: part.image("image001"), lambda: part.subset(["image001"])):
        with pytest.raises(UnknownName, match=r"did you mean image00[02]"):
            ask()


def test_damaged_archives_and_images_are_named(archive: Path, tmp_path: Path) -> None:
    data = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as opened:
        info = opened.getinfo("folder/image001.png")
    start = info.header_offset + 30 + len(info.filename)
    data[start + 20 : start + 60] = bytes(40)
    damaged = tmp_path / "damaged.zip"
    damaged.write_bytes(data)
    with pytest.raises(DataIntegrity, match=r"damaged\.zip!folder/image001\.png: .*delete it and fetch it again"):
        zipped(damaged).image("image001")
    np.testing.assert_array_equal(np.asarray(zipped(damaged).image("image002")), pixels()["image002"])

    damaged.write_bytes(archive.read_bytes()[:-500])
    with pytest.raises(DataIntegrity, match=r"damaged\.zip: expected readable image data, got BadZipFile"):
        zipped(damaged)
    with pytest.raises(DataUnavailable, match=r"absent\.zip"):
        zipped(tmp_path / "absent.zip")
    with pytest.raises(DataIntegrity, match=r"a member 'nothing\.png'"):
        from_zip(archive, {"a": "nothing.png"}, visual_degrees=8)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("keep", [0, 10, 200])
def test_a_truncated_image_is_refused(tmp_path: Path, kind: str, keep: int) -> None:
    (tmp_path / "cut").write_bytes(encode(pixels()["image000"], kind)[:keep])
    with pytest.raises(DataIntegrity, match="cut: expected readable image data"):
        from_paths({"a": tmp_path / "cut"}, visual_degrees=8).image("a")
    with pytest.raises(DataUnavailable, match="gone"):
        from_paths({"a": tmp_path / "gone"}, visual_degrees=8).image("a")


def test_bad_declarations_are_refused() -> None:
    image = pixels(1)["image000"]
    with pytest.raises(DataIntegrity, match="uint8 array"):
        from_arrays({"a": image.astype(float)}, visual_degrees=8)
    with pytest.raises(DataIntegrity, match="1 values, one per stimulus, got 2"):
        from_arrays({"a": image}, visual_degrees=8, columns={"object_name": ["x", "y"]})
    for degrees in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InvalidOption, match="visual degrees"):
            from_arrays({"a": image}, visual_degrees=degrees)
        with pytest.raises(InvalidOption, match="visual degrees"):
            from_arrays({"a": image}, visual_degrees=8).place_on_screen(degrees)
    with pytest.raises(InvalidOption, match="at least one pixel"):
        from_arrays({"a": image}, visual_degrees=8).place_on_screen(0.01).image("a")
    table = from_arrays({"a": image}, visual_degrees=8).table
    with pytest.raises(DataIntegrity, match="unique stimulus ids"):
        StimulusSet(table.loc[["a", "a"]], {"a": image}, 8)
    with pytest.raises(DataIntegrity, match="an image for every row"):
        StimulusSet(table, {}, 8)
