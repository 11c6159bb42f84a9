"""A physiologist's session with a layer: find the units that look at one place, show them gratings, note their tuning.

Only units whose receptive field lies where the gratings are shown can be studied. Receptive fields are therefore mapped
for all units of the layer, with running maxima; the other sets are then kept for the chosen units alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from alignment.contracts import Array, Indices
from alignment.jobs import Run
from alignment.subjects import ModelSubject
from alignment.tuning import Rates, dc_and_ac, unit_properties
from benchmarks.physiology import FULL, Design, FieldOfView
from benchmarks.stimuli import StimulusSet
from model_zoo import cache
from model_zoo.contracts import Layer
from model_zoo.errors import DataIntegrity
from model_zoo.machine import home, memory_available_bytes

REVISION = "units-1"  # raise when the same activations would give other properties
DEFAULT_DEGREES = 8.0
MOST_UNITS = 5000
FIELD_THRESHOLD = 0.05
FIELD_DISTANCE = 0.15  # degrees
# The population of Marques et al. (2021), spikes per second: median largest and spontaneous rate, the largest of all.
MEDIAN_MAXIMUM, MEDIAN_SPONTANEOUS, LARGEST, THRESHOLD = 33.8, 0.82, 243.1, 5.0
_LARGEST_MAP = 2 << 30  # bytes

Floats = npt.NDArray[np.float32]
Keep = Callable[[int, Floats], None]


@dataclass(frozen=True, eq=False)
class Units:
    """What was found in a layer.

    Attributes
    ----------
    table : one row per unit studied: its number in the flattened layer, "x" and "y" of its receptive field (degrees to
        the right and downwards), and the columns of `alignment.tuning.unit_properties`; empty where nothing could be
        measured.
    n_units, n_centred, n_responsive : units in the layer; with their receptive field at the gratings; of which
        calibration used.
    reason : why nothing could be measured, or "".
    """

    table: pd.DataFrame = field(repr=False)
    n_units: int
    n_centred: int
    n_responsive: int
    reason: str = ""


@dataclass(frozen=True)
class Calibration:
    """Rates in spikes per second are max(0, slope * max(0, activation) + offset); `reason` says why there is none."""

    slope: float = 0.0
    offset: float = 0.0
    n_responsive: int = 0
    reason: str = ""


def measure_units(run: Run, layer: Layer, design: Design = FULL) -> Units:
    """Return the tuning of every unit of a layer that looks at the middle of the gratings.

    Parameters
    ----------
    run : `run.visual_degrees` is the width of the model's visual field; None: 8 degrees.
    layer : any; a unit is one number of its flattened activations.
    design : which gratings are shown.

    Raises
    ------
    DataIntegrity
        An activation is NaN or infinite.

    Notes
    -----
    Of more than 5000 such units, 5000 are studied, evenly spaced over the layer.

    References
    ----------
    Marques et al. (2021), bioRxiv 2021.03.01.433495.

    Examples
    --------
    >>> from alignment.reduction import Resources
    >>> from model_zoo import load_model
    >>> run = Run(ModelSubject(load_model("ventral/gabor-v1")), Resources())  # doctest: +SKIP
    >>> measure_units(run, run.subject.layers()[-1]).table["circular_variance"].median()  # doctest: +SKIP
    """
    key = _key(run, layer, design)
    root = home() / "cache"
    held = cache.load(root, key) if key else None
    if held is not None:
        return _from_arrays(held)
    units = _measure(run, layer, design)
    if key:
        cache.store(root, key, _to_arrays(units), {"model": run.subject.name, "layer": layer.name})
    return units


def field_of_view(run: Run) -> FieldOfView | None:
    """Return how wide and how finely the model looks; None for features computed elsewhere."""
    if not isinstance(run.subject, ModelSubject):
        return None
    return FieldOfView(_degrees(run), run.subject.model.preprocessing.input_size[1])


def _measure(run: Run, layer: Layer, design: Design) -> Units:
    x, y = map_receptive_fields(run, layer, design)
    distance = np.hypot(x - design.centre[0], y - design.centre[1])  # NaN where a unit never answered
    centred = np.flatnonzero(distance <= FIELD_DISTANCE)
    if not len(centred):
        return Units(pd.DataFrame(), layer.n_features, 0, 0, "no unit has its receptive field at the gratings")
    studied = centred[np.unique(np.linspace(0, len(centred) - 1, min(MOST_UNITS, len(centred))).astype(int))]
    blank = record(run, layer, design.blank, studied)[0].astype(np.float64)
    orientation = design.orientation.fold(record(run, layer, design.orientation.stimuli, studied))
    calibration = calibrate(blank, dc_and_ac(orientation)[0].reshape(len(studied), -1).max(axis=1))
    found = (layer.n_features, len(centred), calibration.n_responsive, calibration.reason)
    if calibration.reason:
        return Units(pd.DataFrame(), *found)

    def rates(activations: npt.NDArray[np.floating[Any]]) -> Array:
        return np.maximum(calibration.slope * activations.astype(np.float64) + calibration.offset, 0.0)

    def shown(stimuli: StimulusSet) -> Floats:
        return record(run, layer, stimuli, studied)

    measured = Rates(
        blank=rates(blank),
        orientation=rates(orientation),
        spatial_frequency=rates(design.spatial_frequency.fold(shown(design.spatial_frequency.stimuli))),
        size=rates(design.size.fold(shown(design.size.stimuli))),
        orientations=design.orientations,
        frequencies=design.frequencies,
        radii=design.radii,
    )
    places = pd.DataFrame({"unit": studied, "x": x[studied], "y": y[studied]})
    return Units(pd.concat([places, unit_properties(measured)], axis=1), *found)


def calibrate(blank: Array, best: Array) -> Calibration:
    """Return the one affine map that gives a layer's units the rates of a population of V1 neurons.

    Parameters
    ----------
    blank, best : (n_units,) rectified activations: to the blank screen, and the largest mean over phases.

    Returns
    -------
    Calibration
        The median over responsive units of `best` becomes 33.8 spikes per second, that of `blank` 0.82. A unit is
        responsive if its gain over the blank screen exceeds 5/243.1 of the largest gain of any unit.

    Notes
    -----
    One map for the whole layer: units keep their relative magnitudes.

    Examples
    --------
    >>> found = calibrate(np.zeros(3), np.array([1.0, 2.0, 3.0]))
    >>> round(found.slope, 2), round(found.offset, 2), found.n_responsive
    (16.49, 0.82, 3)
    """
    gain = best - blank
    responsive = gain > THRESHOLD / LARGEST * gain.max()
    if not responsive.any() or gain.max() <= 0:
        return Calibration(reason="no unit responds more to a grating than to the blank screen")
    middle, spontaneous = float(np.median(best[responsive])), float(np.median(blank[responsive]))
    if not middle > spontaneous:
        return Calibration(reason="the median response to gratings does not exceed that to the blank screen")
    slope = (MEDIAN_MAXIMUM - MEDIAN_SPONTANEOUS) / (middle - spontaneous)
    return Calibration(slope, MEDIAN_SPONTANEOUS - slope * spontaneous, int(responsive.sum()))


def map_receptive_fields(run: Run, layer: Layer, design: Design = FULL) -> tuple[Array, Array]:
    """Return x and y of the centre of every unit's receptive field, degrees to the right and downwards, (n_units,).

    The centre is the mean of the places where the best small grating raises the activation above that to the blank
    screen by more than 5 % of the unit's largest rise, weighted by the rise; NaN where nothing does.

    Notes
    -----
    Per unit only the maximum at each of the places is held, and where that is too much for memory the units are mapped
    part by part, with one pass over the gratings each.
    """
    gratings = design.receptive_field
    n_places = len(design.map_positions)
    place = (gratings.stimuli.table["y"] * n_places + gratings.stimuli.table["x"]).to_numpy()
    memory = run.resources.memory if run.resources.memory is not None else memory_available_bytes() // 2
    width = max(1, min(_LARGEST_MAP, memory // 2) // (4 * n_places**2))
    x, y = np.full(layer.n_features, np.nan), np.full(layer.n_features, np.nan)
    blank = record(run, layer, design.blank, np.arange(layer.n_features))[0]
    for first in range(0, layer.n_features, width):
        part = slice(first, min(first + width, layer.n_features))
        highest = np.zeros((n_places**2, part.stop - part.start), dtype=np.float32)

        def keep(
            row: int, activations: Floats, highest: Floats = highest, part: slice = part
        ) -> None:  # what is below zero is rectified: the maxima begin at zero
            for offset, activation in enumerate(activations):
                here = highest[place[row + offset]]
                np.maximum(here, activation[part], out=here)

        _show(run, layer, gratings.stimuli, keep)
        x[part], y[part] = centres(highest, blank[part], design.map_positions)
    return x, y


def centres(highest: Floats, blank: Floats, positions: tuple[float, ...]) -> tuple[Array, Array]:
    """Return x and y of receptive fields from maps of the highest activation at every place.

    Parameters
    ----------
    highest : (n_positions^2, n_units) rectified, places row by row; overwritten.
    blank : (n_units,) rectified.
    positions : of rows and columns, degrees.
    """
    highest -= blank
    peak = highest.max(axis=0)
    highest[highest <= FIELD_THRESHOLD * peak] = 0.0
    weight, x, y = (np.zeros(highest.shape[1]) for _ in range(3))
    # row by row in float64: a unit's sums do not depend on how many others are summed with it
    for place, rise in enumerate(np.maximum(highest, 0.0, out=highest)):
        row, column = divmod(place, len(positions))
        weight += rise
        x += rise.astype(np.float64) * column
        y += rise.astype(np.float64) * row
    alive, steps = peak > 0, np.arange(len(positions))

    def degrees(total: Array) -> Array:
        mean = np.divide(total, weight, out=np.zeros(len(total)), where=alive)
        return np.where(alive, np.interp(mean, steps, positions), np.nan)

    return degrees(x), degrees(y)


def record(run: Run, layer: Layer, stimuli: StimulusSet, units: Indices) -> Floats:
    """Return rectified activations of some units of a layer, shape (n_stimuli, n_units), nothing else being held."""
    kept = np.empty((len(stimuli), len(units)), dtype=np.float32)

    def keep(row: int, activations: Floats) -> None:
        np.maximum(activations[:, units], 0.0, out=kept[row : row + len(activations)])

    _show(run, layer, stimuli, keep)
    return kept


def _show(run: Run, layer: Layer, stimuli: StimulusSet, keep: Keep) -> None:
    """Hand the activations to `keep(first_row, activations)`, batch by batch."""

    def check(_layer: str, row: int, activations: Floats) -> None:
        if not np.isfinite(activations).all():
            raise DataIntegrity(
                f"layer {layer.name}",
                expected="finite activations",
                got="NaN or infinity",
                next_step="check the weights, or name another layer with --layers",
            )
        keep(row, activations)

    placed = stimuli.place_on_screen(_degrees(run))
    run.subject.stream(placed, [layer], check, run.resources, run.progress)


def _degrees(run: Run) -> float:
    return DEFAULT_DEGREES if run.visual_degrees is None else run.visual_degrees


def _key(run: Run, layer: Layer, design: Design) -> str | None:
    """Return the cache key, None where nothing is to be cached."""
    if not run.resources.use_cache or not isinstance(run.subject, ModelSubject):
        return None
    sets = (design.receptive_field, design.orientation, design.spatial_frequency, design.size)
    shown = [each.stimuli.content_hash for each in sets]
    return cache.content_key(REVISION, run.subject.model.identity, layer.name, _degrees(run), design, *shown)


def _to_arrays(units: Units) -> dict[str, npt.NDArray[np.generic]]:
    counts = np.array([units.n_units, units.n_centred, units.n_responsive])
    columns = {f"column {name}": values.to_numpy() for name, values in units.table.items()}
    return {"counts": counts, "reason": np.array(units.reason), **columns}


def _from_arrays(arrays: dict[str, npt.NDArray[np.generic]]) -> Units:
    columns = {name.removeprefix("column "): array for name, array in arrays.items() if name.startswith("column ")}
    n_units, n_centred, n_responsive = (int(count) for count in arrays["counts"])
    return Units(pd.DataFrame(columns), n_units, n_centred, n_responsive, str(arrays["reason"]))
