"""One RDM against one brain's: how similar they are, what every stimulus adds, and what is left without some neuroids.

A comparison of RDMs is a statistic of pairs of stimuli. Were stimulus i drawn w_i times, pair (i, j) would count
w_i w_j times and copies of a stimulus would make no pair, as in `alignment.rdms`; the derivative of the comparison with
respect to w_i, at ones, is the influence of stimulus i up to a factor. It is found here in closed form. RDMs are
condensed: pairs (i, j) with i < j, row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt

from alignment.contracts import Array, Expansion, Indices
from alignment.rdms import n_stimuli_of, tau_a

Transform = Callable[[Array], Array]
Single = npt.NDArray[np.float32]
Ranks = npt.NDArray[np.int32]

_FLAT = 1e-12  # variance relative to the second moment below which an RDM counts as constant
_BINS = 2**16  # distinct ranks of an RDM without some neuroids: a sort of each would cost more than all else


@dataclass(frozen=True)
class Prepared:
    """A brain's RDM in the form in which its inner product with a model's is their similarity.

    Attributes
    ----------
    entries : unit vector: one entry per pair, then, where the comparison knows diagonals, one per stimulus.
    squares : (n_stimuli,) sums of squared entries over every stimulus' pairs.
    without : per group of neuroids the same as `entries` without it, float32.
    sorted_pairs : how the pairs lie when sorted; of ranks only.
    """

    entries: Array = field(repr=False)
    squares: Array = field(repr=False)
    without: tuple[Single, ...] = field(repr=False)
    sorted_pairs: SortedPairs | None = field(default=None, repr=False)


def scaled(rdm: Array) -> Array:
    """Return an RDM at unit norm: inner products are cosines."""
    return np.asarray(rdm / np.sqrt(rdm @ rdm))


def standardised(rdm: Array) -> Array:
    """Return an RDM about its mean at unit norm: inner products are Pearson's r. NaN where it is constant."""
    centred = rdm - rdm.mean()
    square = centred @ centred
    return np.asarray(centred / np.sqrt(square if square > _FLAT * (rdm @ rdm) else np.nan))


def whitened(rdm: Array) -> Array:
    """Return an RDM less its row and column effects, diagonal included, at unit norm; see `rdms.whitened_cosine`.

    The diagonal, n_stimuli entries after those of the pairs, is divided by sqrt(2): a pair stands for two entries of
    the symmetric matrix.
    """
    n_stimuli = n_stimuli_of(rdm)
    first, second = np.triu_indices(n_stimuli, k=1)
    sums = over_stimuli(rdm, n_stimuli)
    effects = (sums - sums.sum() / (2 * n_stimuli)) / n_stimuli
    return scaled(np.concatenate([rdm - effects[first] - effects[second], -np.sqrt(2.0) * effects]))


def whitened_standardised(rdm: Array) -> Array:
    """Return `whitened` of an RDM less its mean."""
    return whitened(rdm - rdm.mean())


def over_stimuli(entries: Array, n_stimuli: int) -> Array:
    """Return sums (n_stimuli,) over every stimulus' pairs, and of its entry on the diagonal where there is one."""
    n_pairs = n_stimuli * (n_stimuli - 1) // 2
    sums = np.zeros(n_stimuli) if len(entries) == n_pairs else np.array(entries[n_pairs:])
    start = 0
    for row in range(n_stimuli - 1):
        of_row = entries[start : start + n_stimuli - 1 - row]
        sums[row] += of_row.sum()
        sums[row + 1 :] += of_row
        start += len(of_row)
    return sums


def prepare_product(transform: Transform, rdm: Array, without: Iterable[Array]) -> Prepared:
    """Return a brain's RDM (n_pairs,), and what it is without each group of neuroids, for `compare_product`."""
    entries = transform(rdm)
    left = tuple(transform(each).astype(np.float32) for each in without)
    return Prepared(entries, over_stimuli(entries**2, n_stimuli_of(rdm)), left)


def compare_product(transform: Transform, model: Array, brain: Prepared) -> tuple[float, Array, Array]:
    """Return the inner product of two transformed RDMs; see `alignment.contracts.Expansion`.

    With unit vectors x and y and v = x . y, the derivative of v with respect to the weight of an entry is
    x y - v (x^2 + y^2) / 2. It holds for the whitened comparisons too: row effects are fitted by least squares, so that
    their own change does not matter to first order, and neither does that of the mean, which they contain.
    """
    entries = transform(model)
    value = float(entries @ brain.entries)
    by_stimulus = _product_influence(entries, value, brain)
    return value, _centred(by_stimulus), _of_groups(brain.without, entries)


def _product_influence(entries: Array, value: float, brain: Prepared) -> Array:
    n_stimuli = len(brain.squares)
    sums = over_stimuli(entries * (brain.entries - value / 2 * entries), n_stimuli)
    return np.asarray(n_stimuli * (sums - value / 2 * brain.squares))


@dataclass(frozen=True)
class SortedPairs:
    """Where the pairs of an RDM lie when sorted.

    Attributes
    ----------
    order : (n_pairs,) pairs by increasing dissimilarity.
    first, last : (n_pairs,) where in that order the ties of the pair at each place begin, and the place after their
        end; None: no ties.
    """

    order: Indices = field(repr=False)
    first: Indices | None = field(repr=False)
    last: Indices | None = field(repr=False)

    @classmethod
    def of(cls, rdm: Array) -> SortedPairs:
        """Return the order of an RDM (n_pairs,)."""
        order = np.argsort(rdm)
        ordered = rdm[order]
        begins = np.concatenate([[True], ordered[1:] != ordered[:-1]])
        if begins.all():
            return cls(order, None, None)
        starts = np.flatnonzero(begins)
        tie = np.cumsum(begins) - 1
        return cls(order, starts[tie], np.append(starts[1:], len(rdm))[tie])

    @property
    def ranks(self) -> Array:
        """Ranks about their mean, ties sharing theirs, in sorted order."""
        if self.first is None or self.last is None:
            return np.asarray(np.arange(len(self.order)) - (len(self.order) - 1) / 2.0)
        return np.asarray((self.first + self.last - len(self.order)) / 2.0)

    def shifts(self, values: Array) -> Array:
        """Return half the sum of `values` above each pair less half that below, both in sorted order and summing to 0.

        It is the derivative of sum_p values_p rank_p with respect to the weight of each pair through the ranks alone.
        """
        up_to = np.concatenate([[0.0], np.cumsum(values)])
        below, up_to = (up_to[:-1], up_to[1:]) if self.first is None else (up_to[self.first], up_to[self.last])
        return np.asarray((below + up_to) / -2.0)


def prepare_ranks(rdm: Array, without: Iterable[Array]) -> Prepared:
    """Return the ranks of a brain's RDM (n_pairs,), with and without each group of neuroids, for `compare_ranks`."""
    pairs = SortedPairs.of(rdm)
    entries = np.empty(len(rdm))
    entries[pairs.order] = _undefined_as_nan(rdm, pairs.ranks)
    entries = scaled(entries)
    left = tuple(scaled(_coarse_ranks(each)).astype(np.float32) for each in without)
    return Prepared(entries, over_stimuli(entries**2, n_stimuli_of(rdm)), left, pairs)


def compare_ranks(model: Array, brain: Prepared) -> tuple[float, Array, Array]:
    """Return Spearman's rho of two RDMs; see `alignment.contracts.Expansion`.

    A stimulus that is drawn more often also moves the ranks of all other pairs, which contributes as much to its
    influence as its own pairs do: rho is a product of ranks, each of which is half a sum of signs over all pairs.
    """
    assert brain.sorted_pairs is not None
    mine, theirs, n_stimuli = SortedPairs.of(model), brain.sorted_pairs, len(brain.squares)
    ranks = _undefined_as_nan(model, mine.ranks)
    spread = np.sqrt(ranks @ ranks)
    in_order = brain.entries[mine.order]
    value = float(ranks @ in_order / spread)
    entries, moved = np.empty(len(model)), np.empty(len(model))
    entries[mine.order] = ranks / spread
    moved[mine.order] = mine.shifts(in_order - value / spread * ranks) / spread
    their_spread = np.sqrt(theirs.ranks @ theirs.ranks)
    moved[theirs.order] += theirs.shifts((entries - value * brain.entries)[theirs.order]) / their_spread
    by_stimulus = _product_influence(entries, value, brain) + n_stimuli * over_stimuli(moved, n_stimuli)
    return value, _centred(by_stimulus), _of_groups(brain.without, entries)


def _coarse_ranks(rdm: Array) -> Array:
    """Return ranks about their mean, those of one bin shared, of an RDM whose range is cut into `_BINS` bins."""
    low, high = rdm.min(), rdm.max()
    if not high > low:
        return np.full(len(rdm), np.nan)
    bins = ((rdm - low) * ((_BINS - 1) / (high - low))).astype(np.int32)
    count = np.bincount(bins, minlength=_BINS)
    ranks = np.cumsum(count) - count / 2.0 - len(rdm) / 2.0
    return np.asarray(ranks.astype(rdm.dtype)[bins])


@dataclass(frozen=True)
class PreparedSigns:
    """The order of a brain's RDM.

    Attributes
    ----------
    ranks : one or two arrays (n_pairs,) of ranks without ties, which are broken one way and, where there are any, the
        other way; None: undefined.
    without : per group of neuroids the ranks (n_pairs,), with ties, of the RDM without it; None: undefined.
    """

    ranks: tuple[Ranks, ...] | None = field(repr=False)
    without: tuple[Ranks | None, ...] = field(repr=False)


def prepare_signs(rdm: Array, without: Iterable[Array]) -> PreparedSigns:
    """Return the ranks of a brain's RDM (n_pairs,), with and without each group of neuroids, for `compare_signs`."""
    return PreparedSigns(_untied(rdm), tuple(_dense(each) for each in without))


def compare_signs(model: Array, brain: PreparedSigns) -> tuple[float, Array, Array]:
    """Return Kendall's tau-a of two RDMs; see `alignment.contracts.Expansion`.

    Each entry's concordant less discordant entries are counted; a tie is the mean of both ways to break it.
    """
    n_pairs, n_stimuli = len(model), n_stimuli_of(model)
    mine, dense = _untied(model), _dense(model)
    if mine is None or dense is None or brain.ranks is None or n_pairs < 2:
        return float("nan"), np.full(n_stimuli, np.nan), np.full(len(brain.without), np.nan)
    in_all = n_pairs * (n_pairs - 1.0)
    concordance = _concordance(mine, brain.ranks)
    by_stimulus = 2.0 * n_stimuli / in_all * over_stimuli(concordance, n_stimuli)
    order = np.argsort(mine[0])  # SciPy is faster on what is sorted
    dense = dense[order]
    left = [np.nan if each is None else tau_a(dense, each[order]) for each in brain.without]
    return float(concordance.sum() / in_all), _centred(by_stimulus), np.array(left)


def _dense(rdm: Array) -> Ranks | None:
    """Return ranks 0, 1, ... of which ties share one; None where undefined."""
    if not np.isfinite(rdm).all():
        return None
    return np.unique(rdm, return_inverse=True)[1].astype(np.int32)


def _untied(rdm: Array) -> tuple[Ranks, ...] | None:
    """Return ranks 0 to n_pairs - 1, ties broken by place, and again the other way round; None where undefined."""
    if not np.isfinite(rdm).all():
        return None
    order = np.argsort(rdm, kind="stable")
    ordered = rdm[order]
    ranks = np.empty(len(rdm), dtype=np.int32)
    ranks[order] = np.arange(len(rdm), dtype=np.int32)
    if (ordered[1:] != ordered[:-1]).all():
        return (ranks,)
    backwards = np.empty_like(ranks)
    backwards[::-1][np.argsort(rdm[::-1], kind="stable")] = np.arange(len(rdm), dtype=np.int32)
    return ranks, backwards


def _concordance(model: tuple[Ranks, ...], brain: tuple[Ranks, ...]) -> Array:
    """Return each entry's concordant less discordant entries, (n_pairs,), the mean over ways to break ties."""
    n_pairs = len(model[0])
    total = np.zeros(n_pairs)
    for mine in model:
        order = np.empty(n_pairs, dtype=np.intp)
        order[mine] = np.arange(n_pairs)
        for theirs in brain:
            below_in_both = np.empty(n_pairs)
            below_in_both[order] = _smaller_before(theirs[order])
            total += 4.0 * below_in_both - 2.0 * mine - 2.0 * theirs + (n_pairs - 1)
    return total / (len(model) * len(brain))


def _smaller_before(sequence: Ranks) -> Ranks:
    """Return how many earlier members of a permutation of 0, 1, ... are smaller than each, shape (n,).

    The members are sorted by one bit after the other, the highest first, and keep their order otherwise. Those that
    share all higher bits lie together: where they begin is known, since they are consecutive numbers. A member with the
    next bit set is larger than exactly those of them without it.
    """
    values = sequence.astype(np.int32)
    places = np.arange(len(values), dtype=np.int32)
    found = np.zeros(len(values), dtype=np.int32)  # by value
    for bit in reversed(range(max(len(values) - 1, 1).bit_length())):
        half = np.int32(1 << bit)
        start = values & ~np.int32(2 * half - 1)
        is_small = (values & half) == 0
        before = np.concatenate([[0], np.cumsum(is_small, dtype=np.int32)]).astype(np.int32)
        small_before = before[:-1] - before[start]
        found[values] += np.where(is_small, 0, small_before).astype(np.int32)
        moved = np.empty_like(values)
        moved[np.where(is_small, start + small_before, places + half - small_before)] = values
        values = moved
    return found[sequence]


def _of_groups(without: tuple[Single, ...], entries: Array) -> Array:
    """Return the similarity (n_groups,) with the RDM without each group of neuroids."""
    single = entries.astype(np.float32)
    return np.array([float(each @ single) for each in without])


def _centred(influence: Array) -> Array:
    """Return influences less their mean: what all stimuli drawn more often would change is nothing."""
    return np.asarray(influence - influence.mean())


def _undefined_as_nan(rdm: Array, ranks: Array) -> Array:
    return ranks if np.isfinite(rdm).all() else np.full(len(ranks), np.nan)


PEARSON = Expansion(partial(prepare_product, standardised), partial(compare_product, standardised))
COSINE = Expansion(partial(prepare_product, scaled), partial(compare_product, scaled))
WHITENED_COSINE = Expansion(partial(prepare_product, whitened), partial(compare_product, whitened))
WHITENED_PEARSON = Expansion(
    partial(prepare_product, whitened_standardised), partial(compare_product, whitened_standardised)
)
SPEARMAN = Expansion(prepare_ranks, compare_ranks)
KENDALL = Expansion(prepare_signs, compare_signs, most_groups=20)
