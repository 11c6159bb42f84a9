"""Recordings as xarray: build, average over repeats, and unfold into (n_stimuli, n_repeats, n_neuroids) arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from model_zoo.errors import DataIntegrity, ShapeMismatch

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

Array = npt.NDArray[np.float64]

AVERAGED = -1
_RESERVED = frozenset({"stimulus_id", "repetition", "neuroid_id", "region", "animal"})


def make_assembly(
    values: npt.ArrayLike,
    *,
    stimulus_ids: Sequence[str],
    neuroid_ids: Sequence[str],
    region: str,
    unit: str,
    repetitions: Sequence[int] | None = None,
    animal: str = "unknown",
    presentation_coords: Mapping[str, Sequence[object]] | None = None,
) -> xr.DataArray:
    """Return responses as an assembly with the coordinates every recording has.

    Parameters
    ----------
    values : array of shape (n_presentations, n_neuroids)
        Responses in `unit`; NaN = not recorded.
    stimulus_ids : of each presentation.
    neuroid_ids : unique.
    region, animal : of all neuroids.
    unit : e.g. "spikes/100 ms".
    repetitions : repetition number of each presentation, or None: every row is already an average over repeats.
    presentation_coords : further coordinates of the presentations, such as object_name.

    Returns
    -------
    xarray.DataArray of shape (n_presentations, n_neuroids)
        Dims (presentation, neuroid), float64, no MultiIndex; ``attrs["unit"]``.

    Raises
    ------
    ShapeMismatch
        Lengths that do not fit together.
    DataIntegrity
        A neuroid id twice, one repetition of a stimulus twice, or an infinite response.

    Examples
    --------
    >>> assembly = make_assembly([[1.0], [3.0]], stimulus_ids=["a", "a"], repetitions=[0, 1],
    ...                          neuroid_ids=["n1"], region="V4", unit="spikes/100 ms")
    >>> average_repetitions(assembly).values.tolist()
    [[2.0]]
    """
    import pandas as pd
    import xarray as xr

    array = np.array(values, dtype=np.float64)
    if array.ndim != 2 or array.shape != (len(stimulus_ids), len(neuroid_ids)):
        raise ShapeMismatch(
            "assembly",
            expected=f"values of shape ({len(stimulus_ids)} presentations, {len(neuroid_ids)} neuroids)",
            got=str(array.shape),
            next_step="give one id per row and per column",
        )
    if np.isinf(array).any():
        raise _damaged("finite responses or NaN", "an infinite one", "mark missing responses as NaN")
    numbers = [AVERAGED] * len(stimulus_ids) if repetitions is None else [int(number) for number in repetitions]
    extra = presentation_coords or {}
    _check_columns({"repetition": numbers, **extra}, len(stimulus_ids), reserved=_RESERVED & set(extra))
    _check_unique("neuroid id", pd.Index(neuroid_ids))
    _check_unique("repetition of a stimulus", pd.MultiIndex.from_arrays([list(stimulus_ids), numbers]))
    coords: dict[str, tuple[str, object]] = {
        "stimulus_id": ("presentation", np.asarray(stimulus_ids, dtype=str)),
        "repetition": ("presentation", np.asarray(numbers, dtype=np.int64)),
        **{name: ("presentation", np.asarray(column)) for name, column in extra.items()},
        "neuroid_id": ("neuroid", np.asarray(neuroid_ids, dtype=str)),
        "region": ("neuroid", np.full(len(neuroid_ids), region)),
        "animal": ("neuroid", np.full(len(neuroid_ids), animal)),
    }
    return xr.DataArray(array, coords=coords, dims=("presentation", "neuroid"), attrs={"unit": unit})


def average_repetitions(assembly: xr.DataArray) -> xr.DataArray:
    """Return the mean response to every stimulus, one row each in order of first appearance.

    Parameters
    ----------
    assembly : DataArray (n_presentations, n_neuroids)

    Returns
    -------
    DataArray (n_stimuli, n_neuroids)
        Mean over the presentations that were recorded; NaN where a neuroid has none. ``repetition`` is -1; presentation
        coordinates that vary within a stimulus are dropped.

    Notes
    -----
    Brain-Score's ``average_repetition`` sorts the rows, and cross-validation splits refer to rows: for the same splits
    give both the same row order.
    """
    import pandas as pd
    import xarray as xr

    repeats, ids = to_repeats(assembly)
    codes, _ = pd.factorize(assembly["stimulus_id"].values)
    first = np.unique(codes, return_index=True)[1]
    kept = {}
    for name, coord in assembly.coords.items():
        if coord.dims == ("presentation",) and name not in _RESERVED:
            column = np.asarray(coord.values)
            if (column == column[first][codes]).all():
                kept[str(name)] = column[first]
    neuroid = {name: coord for name, coord in assembly.coords.items() if coord.dims == ("neuroid",)}
    averaged = xr.DataArray(
        mean_over_repeats(repeats),
        coords={
            "stimulus_id": ("presentation", np.asarray(ids, dtype=str)),
            "repetition": ("presentation", np.full(len(ids), AVERAGED)),
            **{name: ("presentation", column) for name, column in kept.items()},
            **{name: ("neuroid", np.asarray(coord.values)) for name, coord in neuroid.items()},
        },
        dims=("presentation", "neuroid"),
        attrs=dict(assembly.attrs),
    )
    return averaged


def to_repeats(assembly: xr.DataArray) -> tuple[Array, tuple[str, ...]]:
    """Return the responses with one axis for repeats, and the stimulus ids.

    Parameters
    ----------
    assembly : DataArray (n_presentations, n_neuroids)

    Returns
    -------
    repeats : array of shape (n_stimuli, n_repeats, n_neuroids)
        Stimuli in order of first appearance, repeats in ascending order of ``repetition``; NaN where there is no
        presentation.
    stimulus_ids : tuple of n_stimuli str
    """
    import pandas as pd

    codes, ids = pd.factorize(assembly["stimulus_id"].values)
    numbers, slots = np.unique(assembly["repetition"].values, return_inverse=True)
    repeats = np.full((len(ids), len(numbers), assembly.sizes["neuroid"]), np.nan)
    repeats[codes, slots] = assembly.transpose("presentation", "neuroid").values
    return repeats, tuple(str(stimulus) for stimulus in ids)


def mean_over_repeats(repeats: Array) -> Array:
    """Return the mean of (n_stimuli, n_repeats, n_neuroids) over the recorded repeats, NaN where there is none."""
    count = np.sum(~np.isnan(repeats), axis=1)  # (n_stimuli, n_neuroids)
    total = np.nansum(repeats, axis=1)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _check_columns(columns: Mapping[str, Sequence[object]], n_rows: int, *, reserved: AbstractSet[str]) -> None:
    if reserved:
        raise _damaged("coordinates beside the standard ones", repr(min(reserved)), "choose another name")
    for name, column in columns.items():
        if len(column) != n_rows:
            raise ShapeMismatch(
                f"presentation coordinate {name!r}",
                expected=f"{n_rows} values, one per presentation",
                got=str(len(column)),
                next_step="give one value per presentation",
            )


def _check_unique(what: str, index: pd.Index | pd.MultiIndex) -> None:
    if index.has_duplicates:
        raise _damaged(f"every {what} once", f"{index[index.duplicated()][0]!r} twice", "rename or remove one")


def _damaged(expected: str, got: str, next_step: str) -> DataIntegrity:
    return DataIntegrity("assembly", expected=expected, got=got, next_step=next_step)
