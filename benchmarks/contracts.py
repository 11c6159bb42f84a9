"""What a model is compared with: stimuli, recordings, files and the card that declares them. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import xarray as xr

    from benchmarks.stimuli import StimulusSet

Region = Literal["V1", "V2", "V4", "IT"]


@dataclass(frozen=True)
class DataFile:
    """One published file: where it is, and how to know that it is the right one.

    Attributes
    ----------
    name : path inside Ventral's data folder, e.g. "cowley2023/images_201025.zip".
    urls : public addresses, tried in order.
    sha256, git_blob_sha1 : hex digests; at least one is required. The git blob id is the SHA-1 of ``b"blob <n>\\0"`` +
        content.
    n_bytes : size, or None where it is not published.
    mirror_path : path inside the offline mirror, when it differs from `name`.
    """

    name: str
    urls: tuple[str, ...]
    licence: str
    sha256: str | None = None
    git_blob_sha1: str | None = None
    n_bytes: int | None = None
    mirror_path: str | None = None


@dataclass(frozen=True)
class Recording:
    """Responses to one stimulus set, joined to it by stimulus id, never by position.

    Attributes
    ----------
    assembly : ``xarray.DataArray`` with dims (presentation, neuroid); coords on presentation: stimulus_id, repetition
        (int,
        -1 where only averages exist) and any stimulus column a split needs (object_name); coords on neuroid: neuroid_id
        (unique), region, animal. Values in `assembly.attrs["unit"]` (e.g. "spikes/100 ms"). NaN = not recorded.
    stimuli : the StimulusSet that holds every stimulus_id of the assembly.
    """

    assembly: xr.DataArray
    stimuli: StimulusSet


# A loader receives `get(DataFile) -> Path`: a card neither knows where files come from nor touches the network.
FileGetter = Callable[[DataFile], Path]


@dataclass(frozen=True)
class BenchmarkCard:
    """One cell a model can be scored in: a region of a study, declared in one file of `benchmarks/datasets/`.

    Attributes
    ----------
    name : unique identifier, "<Study>.<Region>[-<part>]".
    version : raised whenever a score could change.
    n_stimuli, n_neuroids, n_repeats : counts; n_repeats is 1 where only averages exist (the largest where it varies).
    time_window : (start, end) in ms after stimulus onset, or None where the study gives none.
    visual_degrees : degrees of visual angle the stimuli spanned.
    load : ``load(get) -> recordings``; several recordings (sessions with their own stimuli and neuroids) are pooled:
        scored one by one, then aggregated over all neuroids.
    ceiling : rule of `benchmarks/ceilings.py`, or None: only averages exist, so there is no ceiling.
    ceiled_rule : how raw r and the ceiling combine: "r^2/ceiling".
    default_metric : name of a MetricCard.
    stratification : presentation coordinate that balances the splits, or None.
    commitment : name of the benchmark on which ``--layers auto`` chooses the layer; never the benchmark itself, and
        never one that shares test data with it.
    bundled : True when it needs no download.
    listed : False hides it from default listings (commitment data).
    """

    name: str
    version: int
    region: Region
    species: str
    description: str
    licence: str
    citation: str
    n_stimuli: int
    n_neuroids: int
    n_repeats: int
    visual_degrees: float
    load: Callable[[FileGetter], tuple[Recording, ...]]
    default_metric: str = "pls"
    files: tuple[DataFile, ...] = field(default=())
    time_window: tuple[float, float] | None = None
    ceiling: Literal["internal_consistency"] | None = "internal_consistency"
    ceiled_rule: str = "r^2/ceiling"
    stratification: str | None = None
    commitment: str | None = None
    bundled: bool = False
    listed: bool = True
