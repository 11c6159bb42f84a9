"""Banded ridge: several layers predict together, each with a penalty of its own, chosen per neuroid.

Penalising layer b by alpha / gamma_b is ridge with one penalty alpha on the sum of similarities gamma_b K_b, so one
eigendecomposition per set of gammas serves every alpha and every neuroid.

Stated rules
------------
- Kernels are centred by the means of the training stimuli and scaled to trace n_train over them: in every layer the
  mean squared distance from the mean is 1, and equal gammas weigh layers equally whatever their width or unit.
- A layer that does not vary over the training stimuli contributes nothing.
- Gammas and alphas are chosen by the exact leave-one-out error on the training stimuli; ties go to the earliest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from alignment.contracts import Array
from alignment.linear_maps import DualSystem, System
from alignment.spectral import Spectrum, loo_errors

if TYPE_CHECKING:
    from alignment.statistics import PairedMeasurements

CONCENTRATIONS = (0.1, 1.0)  # few layers, then any mixture, in turn: himalaya's default


@dataclass(frozen=True)
class BandedFit:
    """What layers contribute to predictions, and what was chosen.

    Attributes
    ----------
    parts : (n_layers, n_test, n_neuroids) contributions about the training mean, in the unit of the responses.
    gammas : (n_layers, n_neuroids) weights of the scaled kernels, which sum to 1 over layers.
    alphas : (n_neuroids,) penalties.
    """

    parts: Array = field(repr=False)
    gammas: Array
    alphas: Array


def candidate_gammas(n_layers: int, n_draws: int, seed: int) -> Array:
    """Return points of the simplex, (n_candidates, n_layers): centre, corners, then draws from Dirichlet distributions.

    With one layer there is one point.

    Parameters
    ----------
    n_layers : int
    n_draws : int
        Draws, alternately with concentration 0.1 (few layers count) and 1 (uniform over the simplex).
    seed : int
    """
    if n_layers == 1:
        return np.ones((1, 1))
    rng = np.random.default_rng(seed)
    draws = [
        rng.dirichlet(np.full(n_layers, CONCENTRATIONS[number % len(CONCENTRATIONS)])) for number in range(n_draws)
    ]
    return np.concatenate([np.full((1, n_layers), 1.0 / n_layers), np.eye(n_layers), np.reshape(draws, (-1, n_layers))])


def scaled_kernel(system: System) -> DualSystem:
    """Return a layer's centred similarities with trace n_train over the training stimuli; 0 where nothing varies."""
    matrix = system.matrix if isinstance(system, DualSystem) else system.features @ system.train.T
    trace = float(np.trace(matrix[: system.n_train]))
    return DualSystem(matrix * (system.n_train / trace if trace > 0 else 0.0), system.n_train)


def banded_ridge(kernels: Sequence[DualSystem], responses: Array, gammas: Array, alphas: Sequence[float]) -> BandedFit:
    """Return banded ridge predictions, the layers' weights and the penalty chosen per neuroid by leave-one-out error.

    Layer b contributes gamma_b K_b,test (sum_b gamma_b K_b + alpha I)^-1 (Y - mean).

    Parameters
    ----------
    kernels : sequence of DualSystem
        One per layer, from `scaled_kernel`.
    responses : array of shape (n_train, n_neuroids)
        Finite training responses, any unit.
    gammas : array of shape (n_candidates, n_layers)
        Weights of the kernels to be tried, >= 0.
    alphas : sequence of float
        Penalties to be tried with each, > 0, relative to a mean squared distance of 1 from the mean.

    Notes
    -----
    The error of the best of many candidates is optimistic; it is not reported, and the test stimuli have no part in it.

    References
    ----------
    Dupre la Tour, Eickenberg, Nunez-Elizalde and Gallant (2022), Feature-space selection with banded ridge regression,
    NeuroImage 264, eq. 7 to 12; Nunez-Elizalde, Huth and Gallant (2019), Voxelwise encoding models with non-spherical
    multivariate normal priors, NeuroImage 197, sec. 2.
    """
    centred = responses - responses.mean(axis=0)
    n_train, n_neuroids = centred.shape
    lowest = np.full(n_neuroids, np.inf)
    weights = np.zeros((n_train, n_neuroids))  # (sum_b gamma_b K_b + alpha I)^-1 Y on the range of the sum
    chosen_gammas, chosen_alphas = np.zeros((len(kernels), n_neuroids)), np.full(n_neuroids, np.nan)
    for gamma in gammas:
        basis = Spectrum.of_kernel(_weighted_sum(kernels, gamma), np.zeros((0, n_train)))
        errors = loo_errors(basis, centred, alphas)  # (n_alphas, n_neuroids)
        best = errors.argmin(axis=0)
        found = errors[best, np.arange(n_neuroids)]
        better = np.flatnonzero(found < lowest)
        alpha = np.asarray(alphas, dtype=np.float64)[best[better]]
        projected = basis.train.T @ centred[:, better]  # (rank, n_better)
        weights[:, better] = basis.train @ (projected / (basis.values[:, None] + alpha))
        lowest[better], chosen_gammas[:, better], chosen_alphas[better] = found[better], gamma[:, None], alpha
    parts = np.stack([weight * (kernel.test @ weights) for weight, kernel in zip(chosen_gammas, kernels, strict=True)])
    return BandedFit(parts, chosen_gammas, chosen_alphas)


def shares(parts: Array, recorded: Array) -> Array:
    """Return how much of the responses' variance every layer explains, (n_layers, n_neuroids), by the product measure.

    With predictions and responses about their means over the test stimuli, layer b's share is
    sum(2 y p_b - p_b p) / sum(y^2), where p is the sum of all p_b. The shares sum to the explained variance
    1 - sum((y - p)^2) / sum(y^2).

    Parameters
    ----------
    parts : array of shape (n_layers, n_test, n_neuroids)
        What every layer contributes to the prediction.
    recorded : array of shape (n_test, n_neuroids)
        Responses; NaN where a neuroid was not recorded.

    Returns
    -------
    array of shape (n_layers, n_neuroids)
        Negative where a layer makes predictions worse; NaN where a neuroid has no prediction or does not vary.

    Notes
    -----
    What two layers explain alike is divided between them by how strongly each was weighted, so a share says what the
    fit used, not what a layer could explain alone. The responses' noise counts as variance: shares are bounded by the
    reliability.

    References
    ----------
    Pratt (1987), Dividing the indivisible; Dupre la Tour et al. (2022), NeuroImage 264, sec. 2.4; himalaya's
    `r2_score_split`, to which a constant offset of the prediction would be an error.
    """
    present = np.isfinite(recorded) & np.isfinite(parts).all(axis=0)  # (n_test, n_neuroids)
    count = present.sum(axis=0)
    y = _about_mean(recorded, present)
    each = _about_mean(parts, present)
    total = (y**2).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = (2 * y * each - each * each.sum(axis=0)).sum(axis=1) / total
    return np.where((count >= 2) & (total > 0), found, np.nan)


def mean_shares(recordings: Sequence[PairedMeasurements]) -> Array:
    """Return every layer's share of the explained variance, (n_layers,): mean over neuroids, then over splits.

    Means, unlike medians, keep the sum: it is the mean explained variance. Neuroids differ in which layer they use, so
    that the median share of every layer can be 0 where all explain much.

    Parameters
    ----------
    recordings : sequence of PairedMeasurements
        Of one score, with the `parts` of every split; neuroids of all recordings count together.
    """
    by_split = np.concatenate(
        [
            np.stack([shares(split.parts, split.recorded) for split in each.splits if split.parts is not None])
            for each in recordings
        ],
        axis=2,
    )  # (n_splits, n_layers, n_neuroids)
    return np.asarray(np.nanmean(by_split, axis=2).mean(axis=0))


def _weighted_sum(kernels: Sequence[DualSystem], gamma: Array) -> Array:
    total = np.zeros((kernels[0].n_train,) * 2)
    for weight, kernel in zip(gamma, kernels, strict=True):
        if weight > 0:
            total += weight * kernel.train
    return total


def _about_mean(values: Array, present: Array) -> Array:
    """Return values about their mean over the stimuli present, the axis before the last; 0 where absent."""
    known = np.where(present, values, 0.0)
    mean = known.sum(axis=-2, keepdims=True) / np.maximum(present.sum(axis=0), 1)
    return np.where(present, known - mean, 0.0)
