"""Measures that need the features themselves, made while these pass by once in blocks of columns and are not kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from alignment.contracts import Array, Floats, Indices
from alignment.reduction import Reduction, refuse_non_finite
from alignment.spectral import Spectrum, ridge_loo
from benchmarks.splits import Split
from model_zoo.contracts import Layer
from model_zoo.errors import DataIntegrity, ShapeMismatch

TIE = 1e-10  # correlations closer than this count as equal, and the earlier feature is taken
_DOUBTFUL = 1e-4  # share of a feature's variation below which differences of sums lose too many digits
_GOLDEN = (5**0.5 - 1) / 2
Kept = dict[str, npt.NDArray[Any]]


class FiniteOnly:
    """Passes blocks on to a reduction until one holds NaN or infinity; then `finish` refuses the layer."""

    def __init__(self, reduction: Reduction, layer: Layer, n_stimuli: int) -> None:
        self._reduction, self._layer = reduction, layer
        self._affected = np.zeros(n_stimuli, dtype=bool)

    def add(self, block: Floats, start: int) -> None:
        """Look at a block and, while all was finite, pass it on."""
        self._affected |= ~np.isfinite(block).all(axis=1)
        if not self._affected.any():
            self._reduction.add(block, start)

    def finish(self) -> Kept:
        """Return what the reduction kept; raises DataIntegrity if any feature was not finite."""
        refuse_non_finite(self._layer, int(self._affected.sum()), len(self._affected))
        return self._reduction.finish()


class TrainingCorrelations:
    """Pearson's r of features with neuroids over the training stimuli of every split.

    Sums over all stimuli are made once; each split takes off the part of its test stimuli, so that ten splits that
    test 10 % each cost about two products of features and responses. Everything is float64 and centred first; a feature
    whose variation over the training stimuli is a small part of that over all is computed again by itself.

    Parameters
    ----------
    responses : array of shape (n_stimuli, n_neuroids)
        NaN where a neuroid was not recorded: its r is taken over the stimuli it has.
    splits : sequence of Split
    """

    def __init__(self, responses: Array, splits: Sequence[Split]) -> None:
        present = np.isfinite(responses)
        self._patterns, group = np.unique(present, axis=1, return_inverse=True)  # (n_stimuli, n_patterns)
        self._group = group.reshape(-1)  # (n_neuroids,)
        self._centred = _centre(responses, present)
        self._targets = np.hstack([self._centred, self._patterns.astype(np.float64)]).T
        self._splits = tuple(splits)
        self._spread = [_spread(responses[split.train]) for split in splits]  # each (n_neuroids,)

    def of(self, block: Floats) -> Iterator[Array]:
        """Yield r of shape (n_neuroids, n_columns) for every split; NaN where either side is constant or missing."""
        wide = block - block.mean(axis=0, dtype=np.float64)  # (n_stimuli, n_columns)
        products = self._targets @ wide  # (n_neuroids + n_patterns, n_columns)
        squares = self._squares(slice(None), wide)  # (n_patterns, n_columns)
        for split, spread in zip(self._splits, self._spread, strict=True):
            held_out = wide[split.test]
            rest = products - self._targets[:, split.test] @ held_out
            variation = squares - self._squares(split.test, held_out)
            yield self._correlation(wide, split, spread, rest, variation, squares)

    def _squares(self, rows: Indices | slice, values: Array) -> Array:
        if self._patterns.shape[1] == 1 and self._patterns.all():
            return np.asarray(np.einsum("np,np->p", values, values))[None]
        return np.asarray(self._patterns[rows].T @ values**2)

    def _correlation(
        self, wide: Array, split: Split, spread: Array, products: Array, variation: Array, squares: Array
    ) -> Array:
        count = np.maximum(self._patterns[split.train].sum(axis=0), 1)[:, None]  # (n_patterns, 1)
        covariation, sums = np.split(products, [len(spread)])
        means = sums / count  # (n_patterns, n_columns)
        covariation = covariation - means[self._group] * self._centred[split.train].sum(axis=0)[:, None]
        variation = variation - sums * means
        doubtful = np.flatnonzero(((variation <= _DOUBTFUL * squares) & (squares > 0)).any(axis=0))
        if len(doubtful):
            covariation[:, doubtful], variation[:, doubtful] = self._directly(wide[split.train][:, doubtful], split)
        scale = np.sqrt(np.maximum(variation, 0.0))[self._group] * spread[:, None]  # (n_neuroids, n_columns)
        r = np.divide(covariation, scale, out=np.full(scale.shape, np.nan), where=scale > 0)
        return np.asarray(np.clip(r, -1.0, 1.0))

    def _directly(self, columns: Array, split: Split) -> tuple[Array, Array]:
        """Return covariation (n_neuroids, n_columns) and variation (n_patterns, n_columns) of training features."""
        covariation = np.zeros((len(self._group), columns.shape[1]))
        variation = np.zeros((self._patterns.shape[1], columns.shape[1]))
        for number, pattern in enumerate(self._patterns[split.train].T):
            values = columns[pattern]
            if len(values) < 2:
                continue
            mine = self._group == number
            deviations = np.where(np.ptp(values, axis=0) > 0, values - values.mean(axis=0), 0.0)
            variation[number] = (deviations**2).sum(axis=0)
            covariation[mine] = self._centred[split.train[pattern]][:, mine].T @ deviations
        return covariation, variation


class BestFeature:
    """For every split and neuroid, the feature with the highest signed training correlation.

    Parameters
    ----------
    responses : array of shape (n_stimuli, n_neuroids)
    splits : sequence of Split
        All with as many test stimuli.
    """

    def __init__(self, responses: Array, splits: Sequence[Split]) -> None:
        self._tests, self._predicted = _room(splits, responses.shape[1])
        self._correlations = TrainingCorrelations(responses, splits)
        self._highest = np.full((len(splits), responses.shape[1]), -np.inf)
        self._chosen = np.full(self._highest.shape, -1)

    def add(self, block: Floats, start: int) -> None:
        """Let the features of a block compete with the best so far."""
        for number, r in enumerate(self._correlations.of(block)):
            known = np.where(np.isnan(r), -np.inf, r)
            peak = known.max(axis=1)  # (n_neuroids,)
            better = np.flatnonzero(peak > self._highest[number] + TIE)
            first = (known[better] >= peak[better, None] - TIE).argmax(axis=1)
            self._highest[number, better] = peak[better]
            self._chosen[number, better] = start + first
            self._predicted[number][:, better] = block[np.ix_(self._tests[number], first)]

    def finish(self) -> Kept:
        """Return "predicted", the features' values, and "chosen" (n_splits, n_neuroids), their numbers; -1: none."""
        return {"predicted": self._predicted, "chosen": self._chosen}


class OneToOne:
    """For every split, neuroids matched to different features so that the sum of training correlations is largest.

    Parameters
    ----------
    responses : array of shape (n_stimuli, n_neuroids)
    splits : sequence of Split
        All with as many test stimuli.

    Notes
    -----
    Only the n_neuroids features matched so far are kept, and the result is still the best matching of all features.
    Let M be a best matching with the features A, and M' one with A and a further feature b. Their symmetric difference
    falls into alternating paths and cycles. In every one without b, M' can be replaced by M at no loss, since it lies
    within A, where M is best. What remains is one path that starts at b; as all neuroids are matched in both, it ends
    at a feature of M, and so are all features between. Hence b and the features of M suffice, whatever the order.

    b improves on M only if, for a neuroid i, r_ib exceeds what M loses when it must do without i but may use i's
    feature: its price. Features that exceed no price are put aside first; by the above, the others then suffice.

    Before any feature is seen, each neuroid holds a feature that stands for none, at a correlation so low that any
    other is preferred.
    """

    def __init__(self, responses: Array, splits: Sequence[Split]) -> None:
        n_neuroids = responses.shape[1]
        self._tests, self._predicted = _room(splits, n_neuroids)
        self._correlations = TrainingCorrelations(responses, splits)
        self._none = -2.0 * n_neuroids - 2.0
        self._held = np.full((len(splits), n_neuroids, n_neuroids), self._none)  # r of neuroid with j's feature
        self._chosen = np.full((len(splits), n_neuroids), -1)

    def add(self, block: Floats, start: int) -> None:
        """Match anew where a feature of the block improves the matching."""
        from scipy.optimize import linear_sum_assignment

        for number, r in enumerate(self._correlations.of(block)):
            allowed = np.where(np.isnan(r), self._none, r)
            useful = np.flatnonzero((allowed > prices(self._held[number])[:, None] + TIE).any(axis=0))
            if not len(useful):
                continue
            both = np.hstack([self._held[number], allowed[:, useful]])
            matched = linear_sum_assignment(both, maximize=True)[1]  # (n_neuroids,) columns of `both`
            values = np.hstack([self._predicted[number], block[np.ix_(self._tests[number], useful)]])
            self._held[number] = both[:, matched]
            self._predicted[number] = values[:, matched]
            self._chosen[number] = np.concatenate([self._chosen[number], start + useful])[matched]

    def finish(self) -> Kept:
        """Return "predicted", the matched features' values, and "chosen" (n_splits, n_neuroids); -1: none."""
        unmatched = np.diagonal(self._held, axis1=1, axis2=2) <= self._none  # (n_splits, n_neuroids)
        predicted = np.where(unmatched[:, None, :], np.nan, self._predicted)
        return {"predicted": predicted, "chosen": np.where(unmatched, -1, self._chosen)}


def prices(matched: Array) -> Array:
    """Return what a best matching loses when it must do without a neuroid but keeps all features, (n_neuroids,).

    Parameters
    ----------
    matched : array of shape (n_neuroids, n_neuroids)
        Entry ij: what neuroid i would gain from the feature that is matched to neuroid j.

    Notes
    -----
    The freed feature can pass to neuroid k, whose own is then free, and so on: the best such chain, found by the
    Bellman-Ford recursion, is what the others gain. A best matching has no chain that closes with a gain, so it ends.
    """
    own = np.diag(matched)
    gain = matched.T - own  # ik: what neuroid k gains from taking the feature of i
    regained = np.zeros(len(own))
    for _ in range(len(own)):
        longer = np.maximum((gain + regained).max(axis=1), 0.0)
        if not (longer > regained + TIE).any():
            break
        regained = longer
    return np.asarray(own - regained)


class ReversePrediction:
    """How well the neuroids together predict single features: ridge regression, penalty per feature by leave-one-out.

    Parameters
    ----------
    responses : array of shape (n_stimuli, n_neuroids)
        Neuroids with missing responses are left out.
    splits : sequence of Split
        All with as many test stimuli.
    n_features : int
        Features to predict: those whose number times the golden ratio has the smallest fractional parts. They lie as
        evenly as can be over layers of any width (gaps of at most three sizes), without falling into step with rows,
        positions or channels.
    alphas : sequence of float
        Candidate penalties; the responses are standardised over the training stimuli.
    """

    def __init__(self, responses: Array, splits: Sequence[Split], n_features: int, alphas: Sequence[float]) -> None:
        self._responses = responses[:, np.isfinite(responses).all(axis=0)]
        if not self._responses.shape[1]:
            raise DataIntegrity(
                "recording",
                expected="a neuroid with responses to all stimuli, to predict features from",
                got="none",
                next_step="use another metric, such as neuron_to_neuron",
            )
        _room(splits, 0)
        self._splits, self._most, self._alphas = tuple(splits), n_features, tuple(alphas)
        self._numbers = np.zeros(0, dtype=np.int64)
        self._features: Floats = np.zeros((len(responses), 0), dtype=np.float32)

    def add(self, block: Floats, start: int) -> None:
        """Keep those features of a block that are among the chosen ones."""
        numbers = np.concatenate([self._numbers, start + np.arange(block.shape[1])])
        chosen = np.sort(np.argsort(numbers * _GOLDEN % 1.0, kind="stable")[: self._most])
        old, new = np.split(chosen, [np.searchsorted(chosen, len(self._numbers))])
        columns = block[:, new - len(self._numbers)]
        self._features = columns if not len(old) else np.hstack([self._features[:, old], columns])
        self._numbers = numbers[chosen]

    def finish(self) -> Kept:
        """Return "predicted", "recorded" and "units", the features' numbers."""
        wide = self._features.astype(np.float64)
        predicted = []
        with threadpool_limits(1, user_api="blas"):  # threads cost more than these small products
            for split in self._splits:
                train = self._responses[split.train]
                unit = np.where(np.ptp(train, axis=0) > 0, train.std(axis=0), np.inf)
                train, test = (
                    (self._responses[rows] - train.mean(axis=0)) / unit for rows in (split.train, split.test)
                )
                basis = Spectrum.of_features(train, test)
                predicted.append(ridge_loo(basis, wide[split.train], self._alphas, per_target=True)[0])
        return {"predicted": np.stack(predicted), "recorded": self._features, "units": self._numbers}


def _room(splits: Sequence[Split], n_units: int) -> tuple[tuple[Indices, ...], Array]:
    """Return the test rows of every split, and room for what is predicted of them, NaN."""
    sizes = {len(split.test) for split in splits}
    if len(sizes) != 1:
        raise ShapeMismatch(
            "splits",
            expected="as many test stimuli in every split",
            got=f"from {min(sizes, default=0)} to {max(sizes, default=0)}",
            next_step="draw them with benchmarks.splits.shuffle_splits",
        )
    return tuple(split.test for split in splits), np.full((len(splits), sizes.pop(), n_units), np.nan)


def _centre(responses: Array, present: npt.NDArray[np.bool_]) -> Array:
    """Return responses about their mean over the stimuli that each neuroid has, 0 elsewhere."""
    filled = np.where(present, responses, 0.0)
    return np.where(present, filled - filled.sum(axis=0) / np.maximum(present.sum(axis=0), 1), 0.0)


def _spread(responses: Array) -> Array:
    """Return the root of the summed squared deviations, (n_neuroids,); 0 for a neuroid that does not vary."""
    present = np.isfinite(responses)
    highest = np.where(present, responses, -np.inf).max(axis=0, initial=-np.inf)
    lowest = np.where(present, responses, np.inf).min(axis=0, initial=np.inf)
    return np.where(highest > lowest, np.sqrt((_centre(responses, present) ** 2).sum(axis=0)), 0.0)
