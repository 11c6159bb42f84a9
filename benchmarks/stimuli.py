"""Stimulus sets: images by id from files, zip members or arrays, placed on a screen, with a hash of what is shown."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import threading
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from model_zoo.errors import DataIntegrity, DataUnavailable, InvalidOption, UnknownName

if TYPE_CHECKING:
    import pandas as pd

Pixels = npt.NDArray[np.uint8]

GREY = (128, 128, 128)


class Archive:
    """An open zip file that several threads, and processes forked or spawned later, can read."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self._pid: int | None = None
        self._file: zipfile.ZipFile | None = None

    def __reduce__(self) -> tuple[type[Archive], tuple[Path]]:
        return Archive, (self.path,)

    def names(self) -> list[str]:
        """Return the members' names in archive order."""
        with self._lock:
            return self._open().namelist()

    def read(self, name: str) -> bytes:
        """Return the bytes of one member; raises DataIntegrity where the archive is damaged."""
        with self._lock:
            archive = self._open()
            try:
                return archive.read(name)
            except (KeyError, zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as error:
                raise _unreadable(f"{self.path}!{name}", error) from error

    def _open(self) -> zipfile.ZipFile:
        # A handle inherited by a fork shares its file position with the parent: every process opens its own.
        if self._file is None or self._pid != os.getpid():
            try:
                self._file, self._pid = zipfile.ZipFile(self.path), os.getpid()
            except FileNotFoundError as error:
                raise _missing(self.path) from error
            except (zipfile.BadZipFile, OSError) as error:
                raise _unreadable(str(self.path), error) from error
        return self._file


@dataclass(frozen=True)
class ZipMember:
    """One image inside a zip archive."""

    archive: Archive
    name: str

    def __str__(self) -> str:
        return f"{self.archive.path}!{self.name}"


class Drawing(Protocol):
    """An image that is made when it is looked at."""

    @property
    def identity(self) -> bytes:
        """What determines the pixels."""

    def draw(self) -> Image.Image:
        """Return the image, mode RGB; safe to call from several threads."""


ImageSource = Path | ZipMember | Pixels | Drawing


@dataclass(frozen=True, eq=False)
class StimulusSet:
    """Images in order, each with an id, and the degrees of visual angle they span.

    Make one with `from_archive`, `from_zip`, `from_paths` or `from_arrays`.

    Attributes
    ----------
    table : pandas DataFrame indexed by the unique ``stimulus_id`` (str), one row per stimulus, any columns.
    sources : where each stimulus' image comes from, keyed by stimulus id.
    visual_degrees : width of the whole image in degrees of visual angle, after placement.
    ratios : screen placements so far, each target degrees / source degrees, applied in turn.
    """

    table: pd.DataFrame
    sources: Mapping[str, ImageSource]
    visual_degrees: float
    ratios: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        _check_degrees(self.visual_degrees)
        index = self.table.index
        if index.has_duplicates:
            repeated = index[index.duplicated()][0]
            raise DataIntegrity(
                f"stimulus {repeated!r}",
                expected="unique stimulus ids",
                got="one id twice",
                next_step="rename one of them",
            )
        missing = [stimulus for stimulus in self.ids if stimulus not in self.sources]
        if missing:
            raise DataIntegrity(
                f"stimulus {missing[0]!r}", expected="an image for every row", got="none", next_step="add its image"
            )

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """Stimulus ids in order."""
        return tuple(str(stimulus) for stimulus in self.table.index)

    @cached_property
    def content_hash(self) -> str:
        """sha256 (hex) of the ordered ids, each image's bytes, and the placements that change its pixels."""
        digest = hashlib.sha256()
        for stimulus in self.ids:
            for piece in (stimulus.encode(), *_identity(self.sources[stimulus])):
                digest.update(struct.pack("<Q", len(piece)))
                digest.update(piece)
        digest.update(repr(self.ratios).encode())
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self.ids)

    def image(self, stimulus_id: str) -> Image.Image:
        """Return one stimulus as it appears on the screen.

        Parameters
        ----------
        stimulus_id : str
            One of `ids`.

        Returns
        -------
        PIL.Image.Image
            Mode RGB, fully decoded; safe to call from several threads.

        Raises
        ------
        UnknownName
            No such stimulus.
        DataUnavailable, DataIntegrity
            The file is missing, or its bytes are not an image.
        """
        if stimulus_id not in self.sources:
            raise UnknownName("stimulus", stimulus_id, self.ids, hint="see the `ids` of this stimulus set")
        image = _decode(self.sources[stimulus_id])
        for ratio in self.ratios:
            image = _place(image, ratio, stimulus_id)
        return image

    def subset(self, ids: Sequence[str]) -> StimulusSet:
        """Return the stimuli `ids`, in that order; raises UnknownName for an id that is not in the set."""
        for stimulus in ids:
            if stimulus not in self.sources:
                raise UnknownName("stimulus", stimulus, self.ids, hint="see the `ids` of this stimulus set")
        return replace(self, table=self.table.loc[list(ids)], sources={each: self.sources[each] for each in ids})

    def place_on_screen(self, target_visual_degrees: float) -> StimulusSet:
        """Return the same stimuli as seen by a model whose visual field spans `target_visual_degrees`.

        A wider field surrounds the image with a grey (128) border, a narrower one sees its central crop; nothing is
        resampled, so pixels per degree stay what they were.

        Parameters
        ----------
        target_visual_degrees : float
            Width of the model's visual field in degrees of visual angle.

        Returns
        -------
        StimulusSet
            With ``visual_degrees == target_visual_degrees``; the set itself if nothing changes.

        Notes
        -----
        Pixel for pixel ``brainscore_vision.benchmark_helpers.screen.place_on_screen`` (sizes and offsets rounded half
        to even), except that Brain-Score writes the result in the source's file format: it compresses a JPEG a second
        time, which is not reproduced here.
        """
        _check_degrees(target_visual_degrees)
        if target_visual_degrees == self.visual_degrees:
            return self
        ratio = target_visual_degrees / self.visual_degrees
        return replace(self, visual_degrees=float(target_visual_degrees), ratios=(*self.ratios, ratio))


def from_paths(
    paths: Mapping[str, Path], *, visual_degrees: float, columns: Mapping[str, Sequence[object]] | None = None
) -> StimulusSet:
    """Return the stimuli stored in image files.

    Parameters
    ----------
    paths : stimulus id -> image file, in order.
    visual_degrees : width of the images in degrees of visual angle.
    columns : further columns of the table, one value per stimulus in the same order.
    """
    sources: dict[str, ImageSource] = {stimulus: Path(path) for stimulus, path in paths.items()}
    return _build(sources, visual_degrees, columns)


def from_arrays(
    arrays: Mapping[str, Pixels], *, visual_degrees: float, columns: Mapping[str, Sequence[object]] | None = None
) -> StimulusSet:
    """Return stimuli held in memory.

    Parameters
    ----------
    arrays : stimulus id -> uint8 array of shape (height, width, 3), RGB, in order; the arrays are not copied.
    visual_degrees : width of the images in degrees of visual angle.
    columns : further columns of the table, one value per stimulus in the same order.

    Raises
    ------
    DataIntegrity
        An array is not uint8 of shape (height, width, 3).

    Examples
    --------
    >>> stimuli = from_arrays({"black": np.zeros((80, 80, 3), np.uint8)}, visual_degrees=8)
    >>> stimuli.place_on_screen(10).image("black").size
    (100, 100)
    """
    for stimulus, array in arrays.items():
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
            raise DataIntegrity(
                f"stimulus {stimulus!r}",
                expected="a uint8 array of shape (height, width, 3)",
                got=f"{array.dtype} {array.shape}",
                next_step="convert it to 8-bit RGB",
            )
    return _build(dict(arrays), visual_degrees, columns)


def from_zip(
    archive: Path,
    members: Mapping[str, str],
    *,
    visual_degrees: float,
    columns: Mapping[str, Sequence[object]] | None = None,
) -> StimulusSet:
    """Return the stimuli stored in a zip archive; nothing is unpacked.

    Parameters
    ----------
    archive : the zip file.
    members : stimulus id -> name inside the archive, in order.
    visual_degrees : width of the images in degrees of visual angle.
    columns : further columns of the table, one value per stimulus in the same order.

    Raises
    ------
    DataUnavailable, DataIntegrity
        The archive is missing or damaged, or lacks a member.
    """
    opened = Archive(archive)
    absent = set(members.values()) - set(opened.names())
    if absent:
        raise DataIntegrity(
            str(archive),
            expected=f"a member {min(absent)!r}",
            got="an archive without it",
            next_step="check the archive",
        )
    sources: dict[str, ImageSource] = {stimulus: ZipMember(opened, name) for stimulus, name in members.items()}
    return _build(sources, visual_degrees, columns)


def from_archive(
    path: Path,
    members: Mapping[str, str],
    *,
    visual_degrees: float,
    columns: Mapping[str, Sequence[object]] | None = None,
) -> StimulusSet:
    """Return the stimuli stored in a zip archive or in a folder: what `locate` gives for a DataArchive.

    As `from_zip`; raises DataUnavailable where a folder lacks a member.
    """
    if not path.is_dir():
        return from_zip(path, members, visual_degrees=visual_degrees, columns=columns)
    paths = {stimulus: path / member for stimulus, member in members.items()}
    for absent in (each for each in paths.values() if not each.is_file()):
        raise _missing(absent)
    return from_paths(paths, visual_degrees=visual_degrees, columns=columns)


def _build(
    sources: Mapping[str, ImageSource], visual_degrees: float, columns: Mapping[str, Sequence[object]] | None
) -> StimulusSet:
    data = {name: list(values) for name, values in (columns or {}).items()}
    for name, values in data.items():
        if len(values) != len(sources):
            raise DataIntegrity(
                f"stimulus column {name!r}",
                expected=f"{len(sources)} values, one per stimulus",
                got=str(len(values)),
                next_step="give one value per stimulus",
            )
    from pandas import DataFrame, Index

    table = DataFrame(data, index=Index(list(sources), name="stimulus_id", dtype=object))
    return StimulusSet(table, sources, float(visual_degrees))


def _check_degrees(degrees: float) -> None:
    if not (np.isfinite(degrees) and degrees > 0):
        raise InvalidOption(
            "visual degrees", expected="a positive number", got=repr(degrees), next_step="give the width"
        )


def _identity(source: ImageSource) -> tuple[bytes, ...]:
    """Return the byte strings that determine an image's pixels."""
    if isinstance(source, np.ndarray):
        return repr(source.shape).encode(), source.tobytes()
    return (_read(source) if isinstance(source, Path | ZipMember) else source.identity,)


def _read(source: Path | ZipMember) -> bytes:
    if isinstance(source, ZipMember):
        return source.archive.read(source.name)
    try:
        return source.read_bytes()
    except FileNotFoundError as error:
        raise _missing(source) from error
    except OSError as error:
        raise _unreadable(str(source), error) from error


def _decode(source: ImageSource) -> Image.Image:
    if isinstance(source, np.ndarray):
        return Image.fromarray(source)
    if not isinstance(source, Path | ZipMember):
        return source.draw()
    data = _read(source)
    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError) as error:
        raise _unreadable(str(source), error) from error


def _place(image: Image.Image, ratio: float, stimulus_id: str) -> Image.Image:
    # numpy rounds half to even, as Brain-Score does; PIL sizes are (width, height)
    width, height = (int(side) for side in np.round(ratio * np.array(image.size)))
    if not (width and height):
        raise InvalidOption(
            f"stimulus {stimulus_id!r}", expected="at least one pixel", got="none", next_step="use wider degrees"
        )
    if ratio >= 1:
        left, upper = (int(side) for side in np.round((np.array([width, height]) - image.size) / 2))
        screen = Image.new("RGB", (width, height), GREY)
        screen.paste(image, (left, upper))
        return screen
    left, upper = (int(side) for side in np.round((np.array(image.size) - [width, height]) / 2))
    return image.crop((left, upper, left + width, upper + height))


def _missing(path: Path) -> DataUnavailable:
    return DataUnavailable(
        str(path), expected="a file", got="nothing there", next_step="check the path, or fetch it again"
    )


def _unreadable(where: str, error: Exception) -> DataIntegrity:
    return DataIntegrity(
        where,
        expected="readable image data",
        got=f"{type(error).__name__}: {error}",
        next_step="the file is damaged: delete it and fetch it again",
    )
