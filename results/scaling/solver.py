"""Many robust fits at once: a Huber loss of log residuals, minimised by damped Newton steps with a shrinking delta.

Starts and bootstrap draws are the same thing here: problems that share points and law and differ in weights per point
and in where they begin. A block of them is kept in the processor's cache, and finished ones leave it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from results.scaling.contracts import Array, Form, Points

Rows = npt.NDArray[np.bool_]

_BLOCK = 40_000  # (problem, point) pairs at a time
_DIFFERENCE = 1e-5  # step in a log parameter for second derivatives
_LONGEST = 3.0  # step in a log parameter
_STEPS, _ROUNDS = 25, 4  # most steps at one delta, and how often second derivatives are renewed at the last
_GRADIENT, _EARLY_GRADIENT = 1e-9, 1e-4  # of the largest that the loss can have, in the last stage and before it
_TINY, _NEEDLESS = 1e-30, 1e-10  # relative to the loss
_WEAKEST, _FIRST, _STRONGEST = 1e-9, 1e-3, 1e9  # damping


@dataclass(frozen=True)
class Minima:
    """Where problems ended.

    Attributes
    ----------
    log : (n_problems, n_parameters) log parameters.
    loss : (n_problems,) weighted sums of Huber losses.
    gradient : (n_problems,) largest element of the gradient projected on the box, relative to delta times the sum of
        the weights, which is the largest gradient that residuals with derivatives of one can have.
    """

    log: Array
    loss: Array
    gradient: Array


@dataclass(frozen=True)
class _State:
    log: Array  # (n_problems, n_parameters)
    residuals: Array  # (n_problems, n_points)
    slopes: Array  # (n_problems, n_parameters, n_points), derivatives of ln L
    loss: Array  # (n_problems,)

    def rows(self, chosen: Rows) -> _State:
        return _State(self.log[chosen], self.residuals[chosen], self.slopes[chosen], self.loss[chosen])


def huber(residuals: Array, delta: float) -> Array:
    """Huber loss of every residual: r^2 / 2 up to delta, delta (|r| - delta / 2) beyond.

    Parameters
    ----------
    residuals : array of any shape
        Residuals r of ln L, unitless.
    delta : float
        Where the loss turns from quadratic to linear.
    """
    size = np.abs(residuals)
    inner = np.minimum(size, delta)
    loss: Array = inner * (size - 0.5 * inner)
    return loss


def minimise(
    form: Form, points: Points, weights: Array, starts: Array, deltas: Sequence[float], *, rough: bool = False
) -> Minima:
    """Where the Huber loss of ln L - ln L_predicted is least, from every start.

    Parameters
    ----------
    form : Form
        The law.
    points : Points
        What it is fitted to.
    weights : array of shape (n_points,) or (n_problems, n_points)
        Weight of each point in the sum of losses; counts of a bootstrap draw, for instance.
    starts : array of shape (n_problems, n_parameters)
        Log parameters to begin with.
    deltas : sequence of float
        Stages of the search, falling; the last is that of the loss that is reported.
    rough : bool
        Whether to stop at the first digits of every stage, the last one too.

    Returns
    -------
    Minima
        In the order of the starts.

    Notes
    -----
    With delta far below the residuals the loss is nearly a sum of absolute values, whose minimum leans on a few points.
    Each stage is solved with the delta before it as a guide (Madsen and Nielsen 1993, "A finite smoothing algorithm for
    linear l1 estimation"), here for a curved law: Newton's matrix is the sum over points within delta plus the
    curvature of the law under the forces of all points, by differences of exact gradients at the start of a stage;
    its negative directions are turned round, and Levenberg-Marquardt damping in units of the re-weighted least squares
    problem shrinks steps until the loss falls. Steps are projected on the box, and parameters that the gradient
    presses against a bound rest.
    """
    n_problems = len(starts)
    weights = np.broadcast_to(weights, (n_problems, len(points.misalignment)))
    size = max(1, _BLOCK // len(points.misalignment))
    blocks = [slice(first, first + size) for first in range(0, n_problems, size)]
    minima = [_minimise_block(form, points, weights[block], starts[block], deltas, rough) for block in blocks]
    joined = (np.concatenate([getattr(part, name) for part in minima]) for name in ("log", "loss", "gradient"))
    return Minima(*joined)


def _minimise_block(
    form: Form, points: Points, weights: Array, starts: Array, deltas: Sequence[float], rough: bool
) -> Minima:
    low, high = np.array(form.bounds).T
    log, delta = np.clip(starts, low, high), deltas[-1]
    for early in deltas if rough else deltas[:-1]:
        log = _stage(form, points, weights, log, early, _EARLY_GRADIENT)
    log = _without_needless(form, points, weights, log, delta)
    for _ in range(0 if rough else _ROUNDS):
        left = np.flatnonzero(_slope(form, points, weights, log, delta) > _GRADIENT)
        if not len(left):
            break
        log[left] = _stage(form, points, weights[left], log[left], delta, _GRADIENT)
    log = _without_needless(form, points, weights, log, delta)
    loss = _evaluate(form, points, weights, log, delta).loss
    return Minima(log, loss, _slope(form, points, weights, log, delta))


def _stage(form: Form, points: Points, weights: Array, log: Array, delta: float, tolerance: float) -> Array:
    """Log parameters after Newton steps at one delta; problems leave when they are solved or cannot move."""
    low, high = np.array(form.bounds).T
    ended = log.copy()
    state = _evaluate(form, points, weights, log, delta)
    curvature = _curvature(form, points, weights, state, delta)
    damping, moving = np.full(len(log), _FIRST), np.arange(len(log))
    for _ in range(_STEPS):
        gradient = _projected(_gradient(state, weights, delta), state.log, low, high)
        done = np.abs(gradient).max(-1) <= tolerance * _largest_gradient(weights, delta)
        done |= damping > _STRONGEST
        if done.any():
            keep = ~done
            moving, weights, curvature, damping = moving[keep], weights[keep], curvature[keep], damping[keep]
            state, gradient = state.rows(keep), gradient[keep]
        if not len(moving):
            break
        step = _step(state, weights, curvature, gradient, damping, delta)
        trial = _evaluate(form, points, weights, np.clip(state.log + step, low, high), delta)
        lower = trial.loss < state.loss
        damping = np.where(lower, np.maximum(damping / 10, _WEAKEST), damping * 8)
        _restore(trial, state, ~lower)
        state = trial
        ended[moving] = state.log
    return ended


def _slope(form: Form, points: Points, weights: Array, log: Array, delta: float) -> Array:
    low, high = np.array(form.bounds).T
    gradient = _gradient(_evaluate(form, points, weights, log, delta), weights, delta)
    slope: Array = np.abs(_projected(gradient, log, low, high)).max(-1) / _largest_gradient(weights, delta)
    return slope


def _evaluate(form: Form, points: Points, weights: Array, log: Array, delta: float) -> _State:
    values, jacobian = form.log_misalignment(log, points.x)
    residuals = np.log(points.misalignment) - values
    return _State(log, residuals, np.swapaxes(jacobian, -1, -2), _loss(residuals, weights, delta))


def _restore(trial: _State, state: _State, rows: Rows) -> None:
    """Put back what was better before the trial."""
    if rows.any():
        for new, old in zip(vars(trial).values(), vars(state).values(), strict=True):
            new[rows] = old[rows]


def _loss(residuals: Array, weights: Array, delta: float) -> Array:
    loss: Array = np.einsum("mn,mn->m", huber(residuals, delta), weights)
    return loss


def _forces(state: _State, weights: Array, delta: float) -> Array:
    forces: Array = np.clip(state.residuals, -delta, delta) * weights
    return forces


def _gradient(state: _State, weights: Array, delta: float) -> Array:
    gradient: Array = -np.matmul(state.slopes, _forces(state, weights, delta)[..., None])[..., 0]
    return gradient  # (n_problems, n_parameters)


def _projected(gradient: Array, log: Array, low: Array, high: Array) -> Array:
    pressed = ((log <= low) & (gradient > 0)) | ((log >= high) & (gradient < 0))
    return np.where(pressed, 0.0, gradient)


def _largest_gradient(weights: Array, delta: float) -> Array:
    largest: Array = delta * weights.sum(-1)
    return largest


def _curvature(form: Form, points: Points, weights: Array, state: _State, delta: float) -> Array:
    """Minus the sum of forces times second derivatives of ln L, (n_problems, n_parameters, n_parameters)."""
    forces = _forces(state, weights, delta)[:, None, :]
    here = np.matmul(state.slopes, np.swapaxes(forces, -1, -2))[..., 0]
    columns = []
    for parameter in range(state.log.shape[1]):
        moved = state.log.copy()
        moved[:, parameter] += _DIFFERENCE
        there = np.matmul(forces, form.log_misalignment(moved, points.x)[1])[:, 0]
        columns.append((here - there) / _DIFFERENCE)
    curvature = np.stack(columns, axis=-1)
    symmetric: Array = 0.5 * (curvature + np.swapaxes(curvature, -1, -2))
    return symmetric


def _step(state: _State, weights: Array, curvature: Array, gradient: Array, damping: Array, delta: float) -> Array:
    """Newton's step among free parameters, (n_problems, n_parameters), in directions that lower the loss."""
    size = np.abs(state.residuals)
    inside = np.matmul(state.slopes * (weights * (size <= delta))[:, None, :], np.swapaxes(state.slopes, -1, -2))
    reweighted = weights * (delta / np.maximum(size, delta))
    scale = np.sqrt(np.matmul(state.slopes**2, reweighted[..., None])[..., 0]) + _TINY
    free = gradient != 0
    matrix = (inside + curvature) / (scale[:, :, None] * scale[:, None, :])
    matrix = np.where(free[:, :, None] & free[:, None, :], matrix, np.eye(free.shape[1]))
    values, vectors = np.linalg.eigh(matrix)
    along = np.matmul((gradient / scale)[:, None, :], vectors)[:, 0] / (np.abs(values) + damping[:, None])
    step: Array = -np.matmul(vectors, along[..., None])[..., 0] / scale
    step *= np.minimum(1.0, _LONGEST / np.maximum(np.abs(step).max(-1, keepdims=True), _TINY))
    return step


def _without_needless(form: Form, points: Points, weights: Array, log: Array, delta: float) -> Array:
    """The same with parameters put at their lower bound wherever the loss does not mind.

    An amount that is not needed would otherwise shrink for ever, by about the same step in its logarithm each time.
    """
    loss = _evaluate(form, points, weights, log, delta).loss
    for parameter, (lowest, _) in enumerate(form.bounds):
        less = log.copy()
        less[:, parameter] = lowest
        after = _evaluate(form, points, weights, less, delta).loss
        needless = after <= loss * (1 + _NEEDLESS)
        log, loss = np.where(needless[:, None], less, log), np.where(needless, after, loss)
    return log
