"""Cross-validation splits over stimuli, the same ones Brain-Score draws."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from model_zoo.errors import InvalidOption, ShapeMismatch

Indices = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Split:
    """Rows of the target assembly to fit on (`train`) and to score on (`test`), disjoint, in the order drawn."""

    train: Indices
    test: Indices


def shuffle_splits(
    n_stimuli: int,
    *,
    n_splits: int = 10,
    train_size: float = 0.9,
    seed: int = 1,
    strata: Sequence[object] | npt.NDArray[np.generic] | None = None,
) -> tuple[Split, ...]:
    """Return random splits of the stimuli, drawn as Brain-Score's ``CrossValidation`` draws them.

    Parameters
    ----------
    n_stimuli : int
        Rows of the target, one per stimulus; the splits are indices into them, so the row order matters.
    n_splits : int
    train_size : float in (0, 1)
        Share of stimuli to fit on; the rest is scored.
    seed : int
        Brain-Score uses 1.
    strata : labels of shape (n_stimuli,), or None
        Where given (object_name, texture_type), every split keeps the labels' proportions.

    Returns
    -------
    tuple of `n_splits` Split

    Raises
    ------
    ShapeMismatch
        Not one label per stimulus.
    InvalidOption
        The stimuli cannot be split this way, e.g. a label with one stimulus only.

    Notes
    -----
    Those of scikit-learn's ShuffleSplit and StratifiedShuffleSplit. Test sets of different splits overlap, so scores of
    splits are not independent and their spread underestimates the error.

    Examples
    --------
    >>> splits = shuffle_splits(100)
    >>> len(splits), len(splits[0].train), len(splits[0].test)
    (10, 90, 10)
    """
    labels = None if strata is None else np.asarray(strata)
    if labels is not None and labels.shape != (n_stimuli,):
        raise ShapeMismatch(
            "strata",
            expected=f"{n_stimuli} labels, one per stimulus",
            got=str(labels.shape),
            next_step="check the labels",
        )
    draw = _shuffled if labels is None else partial(_stratified, labels)
    try:
        drawn = list(draw(n_stimuli, n_splits, train_size, seed))
    except ValueError as error:
        raise InvalidOption(
            "splits",
            expected=f"{n_stimuli} stimuli that can be split {n_splits} times with train_size {train_size}",
            got=str(error),
            next_step="use more stimuli, another train_size, or no strata",
        ) from error
    return tuple(Split(train=train, test=test) for train, test in drawn)


def _shuffled(n_stimuli: int, n_splits: int, train_size: float, seed: int) -> Iterator[tuple[Indices, Indices]]:
    """Yield (train, test) as ShuffleSplit does, without the time that importing scikit-learn takes."""
    n_train = int(train_size * n_stimuli) if 0 < train_size < 1 else 0
    if n_train < 1:
        raise ValueError(f"train_size={train_size} leaves no stimuli to fit on, or none to score")
    rng = np.random.RandomState(seed)
    for _ in range(n_splits):
        order = rng.permutation(n_stimuli)
        n_test = n_stimuli - n_train
        yield order[n_test:], order[:n_test]


def _stratified(
    labels: npt.NDArray[Any], n_stimuli: int, n_splits: int, train_size: float, seed: int
) -> Iterator[tuple[Indices, Indices]]:
    from sklearn.model_selection import StratifiedShuffleSplit

    kind = StratifiedShuffleSplit(n_splits, train_size=train_size, random_state=seed)
    yield from kind.split(np.zeros(n_stimuli), labels)


def hold_out(
    n_stimuli: int,
    *,
    share: float = 1 / 3,
    seed: int = 1,
    strata: Sequence[object] | npt.NDArray[np.generic] | None = None,
) -> Split:
    """Return one division of the stimuli: a share of them held out as `test`, the rest as `train`, rows ascending.

    Parameters
    ----------
    n_stimuli, seed, strata : as for `shuffle_splits`.
    share : float in (0, 1)
        Of the stimuli, rounded up.

    Raises
    ------
    ShapeMismatch, InvalidOption
        As `shuffle_splits`.

    Examples
    --------
    >>> split = hold_out(90)
    >>> len(split.test), len(split.train)
    (30, 60)
    """
    (split,) = shuffle_splits(n_stimuli, n_splits=1, train_size=1 - share, seed=seed, strata=strata)
    return Split(train=np.sort(split.train), test=np.sort(split.test))
