"""Statistics of comparisons, as functions of arrays: replicates brought together, tests, ranks and groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations, product
from string import ascii_lowercase

import numpy as np

from alignment.contracts import Array, Interval
from alignment.scores import Score
from alignment.statistics import summarise
from model_zoo.cache import content_key

N_FLIPS = 10_000
_MOST_EXACT = 13  # 2^13 sign patterns are fewer than N_FLIPS
_BLOCK = 2**22  # signs held at a time
ROUNDING = 1e-12  # of differences of values about 1
_N_NORMAL = 1000  # replicates made from a standard error where none are stored


@dataclass(frozen=True)
class Replicates:
    """Bootstrap replicates of several models' values.

    Attributes
    ----------
    draws : (n_models, 3, n_draws): stimuli alone drawn anew, units alone, and both. Those of models with equal pairing
        are of the same draws, those of others are independent.
    pairings : one per model.
    n_stimuli, n_units : how many were drawn from.
    """

    draws: Array = field(repr=False)
    pairings: tuple[str, ...]
    n_stimuli: int
    n_units: int

    @cached_property
    def deviations(self) -> Array:
        """(n_models, n_draws) joint deviations from the estimates.

        Stimuli and units are drawn independently, so the deviations of a draw with either drawn anew add up to one of
        both. Their sum counts the noise of single responses twice: it is scaled, by one factor for all models, until
        differences of two models have on average the variance that `two_way_test` gives them.
        """
        if self.draws.shape[2] < 2:
            return np.full((len(self.draws), 0), np.nan)
        centred = self.draws - self.draws.mean(axis=2, keepdims=True)
        summed = centred[:, :2].sum(axis=1)
        pairs = list(combinations(range(len(centred)), 2))
        wanted = np.nansum([_error(centred[one] - centred[other]) ** 2 for one, other in pairs])
        given = np.nansum([np.var(summed[one] - summed[other], ddof=1) for one, other in pairs])
        return np.asarray(summed * np.sqrt(wanted / given) if given > 0 and wanted > 0 else summed)

    @property
    def complete(self) -> bool:
        """Whether every model has at least two finite draws."""
        return bool((np.isfinite(self.draws).all(axis=1).sum(axis=1) > 1).all())


def replicates_of(models: Mapping[str, tuple[float, Score]]) -> Replicates:
    """Return the replicates of a row's models, ready to be subtracted.

    Parameters
    ----------
    models : label -> (headline value, score). A score without evidence gets normal replicates from its error.

    Notes
    -----
    Where not all are paired, the draws are shuffled, by a permutation that only the pairing decides: models with one
    pairing stay paired, and those with different ones become independent, although one seed had drawn both. Scores with
    fewer draws set the number for all.
    """
    found = [_stored(label, value, score) for label, (value, score) in models.items()]
    pairings = tuple(pairing for pairing, _ in found)
    draws = [each for _, each in found]
    if len(set(pairings)) > 1:
        draws = [each[:, _generator(pairing).permutation(each.shape[1])] for pairing, each in found]
    n_draws = min(each.shape[1] for each in draws)
    together = np.stack([each[:, :n_draws] for each in draws])
    defined = together[[bool(np.isfinite(each).any()) for each in together]]
    if len(defined):
        together = together[..., np.isfinite(defined).all(axis=(0, 1))]
    scores = [score for _, score in models.values()]
    return Replicates(
        together, pairings, min(each.n_stimuli for each in scores), min(len(each.unit_ids) for each in scores)
    )


def two_way_test(value: float, parts: Sequence[tuple[Array, int, int]], level: float) -> tuple[float, Interval, float]:
    """Return standard error, interval and two-sided p of 0 for a sum of differences.

    Parameters
    ----------
    value : the difference.
    parts : per addend its replicates (3, n_draws) on common draws, and how many stimuli and units they are drawn from.
    level : coverage of the interval.

    Notes
    -----
    The error counts every source of variance once (`alignment.statistics.summarise`), without the part that is added
    there for training stimuli: two models are fitted on the same ones. It is itself estimated, from few units above
    all, so value / error is referred to Student's t with Satterthwaite's effective degrees of freedom,
    (sum of variances)^2 / sum(variance^2 / (number - 1)), over the variances of stimuli and of units of every addend.
    The interval is that of t, so that it excludes 0 exactly where p is below 1 - level; percentiles of the draws hold
    the truth less often, above all with few test stimuli.

    References
    ----------
    Satterthwaite (1946), An approximate distribution of estimates of variance components, Biometrics Bulletin 2:110.
    """
    from scipy.special import stdtr, stdtrit

    total = np.sum([draws for draws, _, _ in parts], axis=0)
    error = _error(total)
    if error == 0:
        return error, (value, value), 1.0 if value == 0 else 0.0
    variances, numbers = [], []
    for draws, *counts in parts:
        kept = draws[:2, np.isfinite(draws).all(axis=0)]
        variances += list(np.var(kept, axis=1, ddof=1)) if kept.shape[1] > 1 else [float("nan")] * 2
        numbers += [max(count - 1, 1) for count in counts]
    with np.errstate(divide="ignore", invalid="ignore"):
        degrees = np.sum(variances) ** 2 / np.sum(np.square(variances) / numbers)
        reach = float(stdtrit(degrees, (1 + level) / 2)) * error
        p = float(2 * stdtr(degrees, -abs(np.divide(value, error))))
    return error, (value - reach, value + reach), p


def _stored(label: str, value: float, score: Score) -> tuple[str, Array]:
    if score.evidence is not None:
        return score.evidence.pairing, np.asarray(score.evidence.headline, dtype=np.float64)
    pairing = content_key("unpaired", label, score.benchmark, score.metric)
    drawn = value + score.error * _generator(pairing).standard_normal(_N_NORMAL)
    return pairing, np.stack([drawn, np.full_like(drawn, value), drawn])


def _generator(pairing: str) -> np.random.Generator:
    return np.random.default_rng(int(content_key(pairing)[:16], 16))


def _error(draws: Array) -> float:
    """Return the two-way standard error of (3, n_draws) replicates, 0 where nothing but rounding varies."""
    kept = draws[:, np.isfinite(draws).all(axis=0)]
    if kept.shape[1] > 1 and np.ptp(kept, axis=1).max() <= ROUNDING:
        return 0.0
    return summarise(0.0, draws)[0]


def sign_flip(differences: Array, seed: int) -> float:
    """Return the two-sided p of a mean of 0, from flipping the signs of paired differences.

    Parameters
    ----------
    differences : (n,) of one model less the other, by stimulus or by unit; those not finite are left out.
    seed : of the flips, where more than 2^13 patterns exist; else all of them are tried.

    Returns
    -------
    float
        Share of sign patterns whose mean is at least as far from 0; with drawn patterns (1 + count) / (1 + number). NaN
        without differences.

    Notes
    -----
    The null is that the two models' contributions can be exchanged stimulus by stimulus (or unit by unit). The other
    factor is taken as it is: p over stimuli says nothing about other neurons, p over neurons nothing about other
    stimuli.

    References
    ----------
    Fisher (1935), The Design of Experiments, section 21; Phipson and Smyth (2010), Stat. Appl. Genet. Mol. Biol. 9:39.
    """
    differences = differences[np.isfinite(differences)]
    n = len(differences)
    if n == 0:
        return float("nan")
    least = abs(differences.sum()) - 1e-12 * np.abs(differences).sum()
    if n <= _MOST_EXACT:
        patterns = np.array(list(product((1.0, -1.0), repeat=n)))
        return float(np.mean(np.abs(patterns @ differences) >= least))
    rng, reached, left = np.random.default_rng(seed), 0, N_FLIPS
    while left:
        now = min(left, max(1, _BLOCK // n))
        signs = rng.integers(0, 2, size=(now, n), dtype=np.int8) * 2.0 - 1.0
        reached += int((np.abs(signs @ differences) >= least).sum())
        left -= now
    return (1 + reached) / (1 + N_FLIPS)


def adjusted(p: Array, correction: str) -> Array:
    """Return p adjusted for their number, shape (n,), undefined ones left out of the count.

    Parameters
    ----------
    p : (n,)
    correction : "holm", "bh" or "none".

    References
    ----------
    Holm (1979), Scand. J. Stat. 6:65; Benjamini and Hochberg (1995), J. R. Stat. Soc. B 57:289.
    """
    result = np.array(p, dtype=np.float64)
    defined = np.flatnonzero(np.isfinite(result))
    if correction == "none" or not len(defined):
        return result
    if correction == "bh":
        from scipy.stats import false_discovery_control

        result[defined] = false_discovery_control(result[defined])
        return result
    order = defined[np.argsort(result[defined], kind="stable")]
    steps = result[order] * np.arange(len(order), 0, -1)
    result[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return result


def ranks(values: Array, of: Sequence[int] | None = None) -> Array:
    """Return the rank in every draw of models among all: 1 is the highest, ties share, NaN is left out.

    Parameters
    ----------
    values : (n_models, n_draws)
    of : the models wanted, all where none are named.

    Returns
    -------
    (n_models or len(of), n_draws)
    """
    wanted = values if of is None else values[list(of)]
    above = (values[None] > wanted[:, None]).sum(axis=1)
    equal = (values[None] == wanted[:, None]).sum(axis=1)
    return np.where(np.isnan(wanted), np.nan, above + (equal + 1) / 2)


def interval_of(draws: Array, level: float, *, whole: bool = False) -> list[Interval]:
    """Return the interval of every row of (n_rows, n_draws); `whole` gives values that were drawn."""
    tail = (1 - level) / 2
    bounds = []
    for each in draws:
        kept = each[np.isfinite(each)]
        if len(kept) < 2:
            bounds.append((float("nan"), float("nan")))
            continue
        method = "inverted_cdf" if whole else "linear"
        low, high = np.quantile(kept, [tail, 1 - tail], method=method)  # type: ignore[call-overload]
        bounds.append((float(low), float(high)))
    return bounds


def groups_of(models: Sequence[str], apart: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return letters by model: two models share one if and only if they cannot be told apart.

    Parameters
    ----------
    models : best first; the first group is "a".
    apart : pairs that differ.

    References
    ----------
    Piepho (2004), An algorithm for a letter-based representation of all-pairwise comparisons, J. Comput. Graph. Stat.
    13:456 (insert and absorb).
    """
    groups = [frozenset(models)]
    for one, other in apart:
        split = [part for group in groups for part in _without_both(group, one, other)]
        groups = [each for each in dict.fromkeys(split) if not any(each < larger for larger in split)]
    groups.sort(key=lambda group: sorted(models.index(each) for each in group))
    return {
        model: "".join(_letter(number) for number, group in enumerate(groups) if model in group) for model in models
    }


def _without_both(group: frozenset[str], one: str, other: str) -> list[frozenset[str]]:
    return [group - {one}, group - {other}] if {one, other} <= group else [group]


def _letter(number: int) -> str:
    return ascii_lowercase[number] if number < len(ascii_lowercase) else f"({number + 1})"
