"""The simulated recordings: which scenes are shown, the rates each area answers with, noisy repeats, exact ceilings."""

from __future__ import annotations

from functools import cache
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import xarray as xr

from benchmarks.contracts import Region
from benchmarks.simulation import areas
from benchmarks.simulation.scenes import Scenes, make_scenes

Array = npt.NDArray[np.float64]
Part = Literal["test", "commitment"]

AREAS: tuple[Region, ...] = get_args(Region)
N_STIMULI: dict[Part, int] = {"test": 640, "commitment": 256}
N_REPEATS = 10
N_NEUROIDS = 40
UNIT = "spikes/100 ms"

_SCENE_SEED: dict[Part, int] = {"test": 11, "commitment": 12}
_NEUROID_SEED = 13
_NOISE_SEED: dict[Part, int] = {"test": 14, "commitment": 15}


@cache
def scenes_of(stimuli: Part = "test") -> Scenes:
    """Return the scenes of the test set or, other images with other ids, of the commitment set."""
    first = 1 if stimuli == "test" else 1 + N_STIMULI["test"]
    return make_scenes(N_STIMULI[stimuli], _SCENE_SEED[stimuli], first_number=first)


@cache
def generator_rates(area: Region, stimuli: Part = "test") -> xr.DataArray:
    """Return the noise-free rates of an area: the features of the model that generated its responses.

    Parameters
    ----------
    area : "V1", "V2", "V4" or "IT"
    stimuli : "test" or "commitment"

    Returns
    -------
    DataArray of shape (n_stimuli, n_neuroids)
        Dims (stimulus_id, neuroid), spikes per 100 ms, rounded to 1e-6 so that the noise drawn from them is the same on
        machines that differ in the last bit. Do not write into it: it is shared.

    Notes
    -----
    A drive is standardised by its mean and standard deviation over the commitment scenes, then
    ``rate = max(base + depth * drive, 0.1)`` with a base of 6 to 12 and a depth of 2.5 to 4 spikes per 100 ms.
    """
    reference, drive = _drive(area, "commitment"), _drive(area, stimuli)
    rng = _neuroid_rng(area, "rate")
    base, depth = rng.uniform(6, 12, N_NEUROIDS), rng.uniform(2.5, 4, N_NEUROIDS)
    standard = (drive - reference.mean(axis=0)) / reference.std(axis=0)
    rates = np.round(np.maximum(base + depth * standard, 0.1), 6)  # (n_stimuli, n_neuroids)
    rates.setflags(write=False)
    coords = {
        "stimulus_id": scenes_of(stimuli).latents["stimulus_id"].to_numpy(dtype=str),
        "neuroid_id": ("neuroid", np.array([f"{area}-{number:02d}" for number in range(1, N_NEUROIDS + 1)])),
    }
    return xr.DataArray(rates, coords=coords, dims=("stimulus_id", "neuroid"), attrs={"unit": UNIT})


@cache
def repeats_of(area: Region, stimuli: Part = "test") -> Array:
    """Return noisy responses of shape (n_stimuli, N_REPEATS, n_neuroids): whole spikes per 100 ms, read-only.

    Notes
    -----
    Poisson spikes whose rate is multiplied on every trial by a gain of mean 1 and variance `gain_variance`, drawn
    independently per neuroid: the variance of a response is ``rate + gain_variance * rate^2``.

    References
    ----------
    Goris, Movshon & Simoncelli (2014), Nature Neuroscience 17, 858, equation 3.
    """
    rates = generator_rates(area, stimuli).values[:, None, :]
    rng = np.random.default_rng([_NOISE_SEED[stimuli], AREAS.index(area)])
    shape = 1 / gain_variance(area)
    gains = rng.gamma(shape, 1 / shape, (len(rates), N_REPEATS, N_NEUROIDS))
    counts: Array = rng.poisson(rates * gains).astype(np.float64)
    counts.setflags(write=False)
    return counts


def gain_variance(area: Region) -> Array:
    """Return the variance over trials of each neuroid's gain, shape (n_neuroids,)."""
    return _neuroid_rng(area, "gain").uniform(0.005, 0.03, N_NEUROIDS)


def exact_ceiling(area: Region, stimuli: Part = "test") -> Array:
    """Return the reliability of each neuroid's mean over the repeats, shape (n_neuroids,).

    Notes
    -----
    ``s / (s + n / N_REPEATS)`` with s the variance of the rates over the stimuli and n the mean over the stimuli of the
    variance of single responses, both from the generating model. It is the expectation that split halves with
    Spearman-Brown correction estimate, and the largest r^2 with the mean response that any model can expect.
    """
    rates = generator_rates(area, stimuli).values
    signal = rates.var(axis=0, ddof=1)
    noise = (rates + gain_variance(area) * rates**2).mean(axis=0)
    return np.asarray(signal / (signal + noise / N_REPEATS))


def _neuroid_rng(area: Region, purpose: Literal["tuning", "rate", "gain"]) -> np.random.Generator:
    return np.random.default_rng([_NEUROID_SEED, AREAS.index(area), ("tuning", "rate", "gain").index(purpose)])


@cache
def _features(stimuli: Part) -> dict[str, Array]:
    scenes = scenes_of(stimuli)
    second, contour = areas.map_features(scenes.images)
    return {"second": second, "contour": contour, "object": areas.object_features(scenes.latents)}


def _standardised(name: str, stimuli: Part) -> Array:
    reference = _features("commitment")[name]
    return np.asarray((_features(stimuli)[name] - reference.mean(axis=0)) / reference.std(axis=0))


@cache
def _drive(area: Region, stimuli: Part) -> Array:
    """Return an area's drive of shape (n_stimuli, n_neuroids)."""
    rng = _neuroid_rng(area, "tuning")
    if area == "V1":
        return areas.v1_drive(scenes_of(stimuli).images, areas.GaborBank.draw(N_NEUROIDS, rng))
    if area == "IT":
        return areas.it_drive(_standardised("object", stimuli), _standardised("contour", stimuli), N_NEUROIDS, rng)
    features = _standardised("second" if area == "V2" else "contour", stimuli)
    weights = areas.sparse_weights(features.shape[1], N_NEUROIDS, 3, rng)
    return areas.rectify(features @ weights, -1.0 if area == "V2" else -0.5)
