"""Comparisons of models: closed forms, other libraries, planted differences, and what must not matter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from alignment import Score
from alignment.averages import average
from alignment.comparison import compare
from alignment.pairing import Replicates, adjusted
from alignment.scores import Evidence
from alignment.standings import Row, standings_of
from model_zoo.errors import InvalidOption

N_STIMULI, N_UNITS, N_DRAWS = 60, 20, 400


def make(
    value: float = 0.5,
    *,
    seed: int = 0,
    spread: float = 0.02,
    model: str = "m",
    benchmark: str = "Study.V4",
    pairing: str | None = None,
    **changes: object,
) -> Score:
    """Return a score whose stimuli and units contribute independently, all draws being those of the benchmark."""
    rng, shared = np.random.default_rng(seed), np.random.default_rng([7, *benchmark.encode()])
    stimuli = rng.normal(0, spread * np.sqrt(N_STIMULI), N_STIMULI)
    units = rng.normal(0, spread * np.sqrt(N_UNITS), N_UNITS)
    stimuli, units = (value + each - each.mean() for each in (stimuli, units))
    by_stimulus = shared.multinomial(N_STIMULI, np.full(N_STIMULI, 1 / N_STIMULI), N_DRAWS) @ stimuli / N_STIMULI
    by_unit = shared.multinomial(N_UNITS, np.full(N_UNITS, 1 / N_UNITS), N_DRAWS) @ units / N_UNITS
    draws = np.stack([by_stimulus, by_unit, by_stimulus + by_unit - value])
    values: dict[str, object] = {
        "model": model,
        "benchmark": benchmark,
        "benchmark_version": 1,
        "region": benchmark.partition(".")[2],
        "kind": "recording",
        "metric": "ridge",
        "measure": "r",
        "layer": "layer",
        "layer_choice": "user",
        "raw": value,
        "raw_error": spread,
        "raw_interval": (value - spread, value + spread),
        "ceiling": None,
        "ceiling_error": None,
        "ceiled": None,
        "ceiled_rule": "raw",
        "error": spread,
        "interval": (value - spread, value + spread),
        "interval_of": "raw",
        "n_stimuli": N_STIMULI,
        "n_features": 10,
        "unit": "neuroid",
        "unit_ids": tuple(map(str, range(N_UNITS))),
        "unit_raw": tuple(map(float, units)),
        "evidence": Evidence(
            pairing=pairing or benchmark, raw=draws, headline=draws, by_stimulus=stimuli, by_unit=units
        ),
    }
    return Score(**{**values, **changes})  # type: ignore[arg-type]


def scores_of(seed: int, *values: float) -> list[Score]:
    """Return a model's scores on as many benchmarks of V4 and IT."""
    names = ("One.V4", "Two.V4", "Three.IT", "Four.IT")
    return [make(value, seed=seed, benchmark=name) for name, value in zip(names, values, strict=False)]


def pair(first: Score, second: Score, **options):
    """Return the one difference of two models on one benchmark."""
    found = compare({"A": [first], "B": [second]}, **options)
    return found.rows[0].differences[0]


# -- comparisons


def test_a_planted_difference_is_found_and_a_planted_equality_is_not():
    assert pair(make(0.6), make(0.4, seed=1)).verdict == "A better"
    assert pair(make(0.4), make(0.6, seed=1)).verdict == "B better"
    assert pair(make(0.5), make(0.5, seed=1)).verdict == "not told apart"


def test_a_model_does_not_differ_from_itself():
    same = pair(make(), make())
    assert (same.value, same.error, same.p, same.p_stimuli, same.p_units, same.effect_size) == (0, 0, 1, 1, 1, 0)
    assert same.share_of_units == 0.5


def test_where_less_is_better_the_lower_model_wins():
    changes = {"metric": "accuracy_difference", "measure": "squared difference"}
    found = compare({"A": [make(0.2, **changes)], "B": [make(0.5, seed=1, **changes)]})
    assert found.rows[0].differences[0].better == "A"
    assert [each.rank for each in found.rows[0].standings] == [1, 2]
    assert found.rows[0].differences[0].share_of_units > 0.5


def test_effect_size_is_in_standard_deviations_over_units():
    first, second = make(0.55), make(0.5, seed=1)
    units = first.evidence.by_unit - second.evidence.by_unit
    found = pair(first, second)
    assert found.effect_size == pytest.approx(units.mean() / units.std(ddof=1))
    assert found.share_of_units == np.mean(units > 0)
    assert found.p_units == pytest.approx(stats.ttest_1samp(units, 0).pvalue, abs=0.02)


def test_pairing_removes_what_models_have_in_common():
    first = make(0.5)
    shifted = {name: getattr(first.evidence, name) - 0.01 for name in ("raw", "headline", "by_stimulus", "by_unit")}
    second = replace(first, raw=0.49, evidence=Evidence(pairing="Study.V4", **shifted))
    assert pair(first, second).better == "A"
    apart = replace(second, evidence=replace(second.evidence, pairing="other draws"))
    unpaired = pair(first, apart)
    assert not unpaired.paired
    assert unpaired.better is None
    assert unpaired.error == pytest.approx(np.sqrt(2) * 0.028, rel=0.25)  # both errors, added
    assert unpaired.p_stimuli is None
    assert unpaired.effect_size is None
    assert "unpaired" in compare({"A": [first], "B": [apart]}).rows[0].notes[0]


def test_scores_without_replicates_are_compared_by_their_errors():
    first, second = make(0.5, evidence=None, error=0.03), make(0.4, evidence=None, error=0.04)
    found = pair(first, second)
    assert found.error == pytest.approx(0.05, rel=0.08)
    assert not found.paired
    nameless = pair(replace(first, error=float("nan")), second)
    assert nameless.verdict == "undefined"


def three() -> dict[str, list[Score]]:
    def on_both(seed: int, value: float) -> list[Score]:
        return [make(value, seed=seed), make(value + 0.05 * seed, seed=seed, benchmark="Study.IT")]

    return {"A": on_both(0, 0.5), "B": on_both(1, 0.47), "C": on_both(2, 0.3)}


def test_nothing_depends_on_the_order_of_models():
    models = three()
    forth, back = compare(models), compare(dict(reversed(models.items())))
    for one, other in zip((*forth.rows, *forth.aggregates), (*back.rows, *back.aggregates), strict=True):
        for each, mirrored in zip(one.standings, reversed(other.standings), strict=True):
            numbers = ("value", "interval", "rank", "rank_interval")
            assert [getattr(each, name) for name in numbers] == [
                pytest.approx(getattr(mirrored, name)) for name in numbers
            ]
            assert (each.model, each.groups) == (mirrored.model, mirrored.groups)
        swapped = {(each.second, each.first): each for each in other.differences}
        for each in one.differences:
            mirrored = swapped[each.first, each.second]
            assert each.value == pytest.approx(-mirrored.value)
            assert each.interval == pytest.approx((-mirrored.interval[1], -mirrored.interval[0]))
            assert each.p_adjusted == pytest.approx(mirrored.p_adjusted)
            assert (each.p_stimuli, each.p_units) == (mirrored.p_stimuli, mirrored.p_units)
            assert each.better == mirrored.better
            if each.effect_size is not None:
                assert each.effect_size == pytest.approx(-mirrored.effect_size)
                assert each.share_of_units == pytest.approx(1 - mirrored.share_of_units)


def test_p_are_adjusted_over_all_pairs_and_rows():
    found = compare(three())
    every = [each for row in found.rows for each in row.differences]
    np.testing.assert_allclose([e.p_adjusted for e in every], adjusted(np.array([e.p for e in every]), "holm"))
    for row in found.aggregates:
        alone = adjusted(np.array([each.p for each in row.differences]), "holm")
        np.testing.assert_allclose([each.p_adjusted for each in row.differences], alone)


def test_rank_intervals_hold_a_tie_and_are_narrow_without_one():
    tied = compare({"A": [make(0.5)], "B": [make(0.5, seed=1)], "C": [make(0.1, seed=2)]}).rows[0].standings
    assert [each.rank_interval for each in tied] == [(1, 2), (1, 2), (3, 3)]
    assert [each.groups for each in tied] == ["a", "a", "b"]


def test_rank_draws_have_the_two_way_variance():
    found = compare({"A": [make(0.5)], "B": [make(0.47, seed=1)]}, aggregates=())
    difference = found.rows[0].differences[0]
    below = stats.norm.cdf(0, difference.value, difference.error)
    assert below > 0.025  # so that the interval of either must hold both ranks
    assert [each.rank_interval for each in found.rows[0].standings] == [(1, 2), (1, 2)]
    far = compare({"A": [make(0.5)], "B": [make(0.5 - 3 * difference.error, seed=1)]}, aggregates=())
    assert [each.rank_interval for each in far.rows[0].standings] == [(1, 1), (2, 2)]


def test_averages_are_over_regions_after_rows_of_a_region():
    def scores(seed: int, v4: float, also: float, it: float) -> list[Score]:
        names = (("Study.V4", v4), ("Other.V4", also), ("Study.IT", it))
        return [make(value, seed=seed, benchmark=name) for name, value in names]

    found = compare({"A": scores(0, 0.6, 0.4, 0.1), "B": scores(1, 0.5, 0.1, 0.3), "C": scores(2, 0.1, 0.7, 0.2)})
    mean, zscore, rank = found.aggregates
    assert [each.value for each in mean.standings] == pytest.approx([0.3, 0.3, 0.3])
    assert [each.value for each in rank.standings] == pytest.approx([(1.5 + 3) / 2, (2.5 + 1) / 2, (2 + 2) / 2])
    z = [stats.zscore([*each], ddof=1) for each in ((0.6, 0.5, 0.1), (0.4, 0.1, 0.7), (0.1, 0.3, 0.2))]
    assert [each.value for each in zscore.standings] == pytest.approx(list(((z[0] + z[1]) / 2 + z[2]) / 2))
    assert any("V4, IT" in note for note in mean.notes)


def test_the_better_model_of_many_regions_is_found_by_its_ranks_and_that_of_two_is_not():
    regions = [f"Study{number}.R{number}" for number in range(8)]
    for names, better in ((regions, "A"), (regions[:2], None)):
        models = {
            label: [make(value, seed=seed, benchmark=name) for name in names]
            for label, seed, value in (("A", 0, 0.7), ("B", 1, 0.5))
        }
        (gap,) = compare(models, aggregates=("rank",)).aggregates[0].differences
        assert gap.better == better
        assert (gap.interval[0] <= 0 <= gap.interval[1]) == (better is None)


def test_mean_z_scores_are_tested_as_sums_of_values_in_units_of_their_spread():
    found = compare({"A": scores_of(0, 0.50, 0.40), "B": scores_of(1, 0.52, 0.31), "C": scores_of(2, 0.60, 0.70)})
    (zscore,) = [row for row in found.aggregates if row.name == "zscore"]
    spreads = [np.std([each.value for each in row.standings], ddof=1) for row in found.rows]
    for gap, *rows in zip(zscore.differences, *(row.differences for row in found.rows), strict=True):
        value = sum(row.value / spread for row, spread in zip(rows, spreads, strict=True)) / 2
        error = np.hypot(*(row.error / spread for row, spread in zip(rows, spreads, strict=True))) / 2
        assert gap.value == pytest.approx(value)
        assert gap.error == pytest.approx(error, rel=0.1)  # the two rows' draws are independent only on average
        assert gap.p == pytest.approx(2 * stats.norm.sf(abs(gap.value) / gap.error), abs=0.03)  # nearly normal
        assert (gap.interval[0] <= 0 <= gap.interval[1]) == (gap.p >= 0.05)


@pytest.mark.parametrize("rounding", [0.0, 1e-15])
def test_a_benchmark_on_which_all_models_are_the_same_adds_nothing_to_mean_z_scores(rounding):
    alone = compare({"A": scores_of(0, 0.5, 0.4), "B": scores_of(1, 0.6, 0.4)}, aggregates=("zscore",))
    same = {"A": scores_of(0, 0.5, 0.4)[:1], "B": scores_of(1, 0.6, 0.4)[:1]}
    for scores, value in zip(same.values(), (0.4, 0.4 + rounding), strict=True):
        scores.append(make(value, seed=7, benchmark="Two.V4"))
    (gap,) = compare(same, aggregates=("zscore",)).aggregates[0].differences
    (single,) = alone.rows[0].differences
    assert (gap.value, gap.p) == (pytest.approx(-np.sqrt(2) / 2), pytest.approx(single.p))
    twice = compare({"A": scores_of(0, 0.5, 0.4), "B": scores_of(0, 0.5, 0.4)})
    assert [(row.differences[0].value, row.differences[0].p) for row in twice.aggregates] == [(0.0, 1.0)] * 3


@pytest.mark.once
@pytest.mark.parametrize(("n_models", "n_experiments"), [(4, 120), (12, 50)])
def test_equal_models_among_equal_ones_differ_on_average_as_rarely_as_promised(n_models, n_experiments):
    """Normal values with normal draws about them, two rows: shares of all pairs in all experiments."""
    rng, n_draws = np.random.default_rng([5, n_models]), 150
    rejected = dict.fromkeys(("mean", "zscore", "rank"), 0.0)
    labels = [str(number) for number in range(n_models)]
    for _ in range(n_experiments):
        made = []
        for name in ("V4", "IT"):
            values = 0.5 + 0.02 * rng.standard_normal(n_models)
            parts = 0.02 / np.sqrt(2) * rng.standard_normal((2, n_models, n_draws))
            draws = values[:, None, None] + np.stack([parts[0], parts[1], parts.sum(axis=0)], axis=1)
            nowhere = [(np.nan, np.nan)] * n_models
            standings = standings_of(labels, values, nowhere, draws[:, 2] - values[:, None], True, 0.95)
            row = Row(
                name=name, region=name, metric="ridge", quantity="raw r", higher_is_better=True, standings=standings,
                differences=(),
            )  # fmt: skip
            made.append((row, Replicates(draws, (name,) * n_models, 1000, 1000)))
        for kind in rejected:
            rejected[kind] += np.mean([each.p < 0.05 for each in average(kind, made, 0.95, ()).differences])
    assert all(0.01 < each / n_experiments < 0.07 for each in rejected.values()), rejected


def test_models_of_one_mean_rank_are_not_told_apart():
    """One close race and one wide gap: the draws of the close one fall to one side only."""
    models = {
        "A": scores_of(0, 0.50, 0.50, 0.1, 0.1),
        "B": scores_of(1, 0.49, 0.49, 0.8, 0.8),
        "C": scores_of(2, 0.9, 0.9, 0.45, 0.45),
    }
    rank = compare(models, aggregates=("rank",)).aggregates[0]
    assert [each.value for each in rank.standings] == pytest.approx([2.5, 2.0, 1.5])
    (gap,) = [each for each in rank.differences if (each.first, each.second) == ("A", "B")]
    assert gap.interval[0] < gap.value < gap.interval[1]
    swapped = {"A": scores_of(0, 0.50, 0.1, 0.50, 0.1), "B": scores_of(1, 0.49, 0.8, 0.52, 0.05)}
    tied = compare(swapped, aggregates=("rank",)).aggregates[0].differences[0]
    assert (tied.value, tied.better) == (0.0, None)
    assert tied.p > 0.9
    assert tied.interval[0] <= 0 <= tied.interval[1]


def test_the_mean_of_independent_rows_has_the_error_of_a_mean():
    found = compare(three())
    errors = [row.differences[0].error for row in found.rows]
    assert found.aggregates[0].differences[0].error == pytest.approx(np.hypot(*errors) / 2, rel=0.15)


def test_mixed_rules_and_directions_are_said_and_undefined_rows_left_out():
    def scores(seed: int) -> list[Score]:
        lower = {"metric": "accuracy_difference", "measure": "squared difference", "benchmark": "Study.behaviour"}
        return [make(0.5, seed=seed), make(0.2, seed=seed, **lower), make(float("nan"), benchmark="Bad.IT", seed=seed)]

    mean = compare({"A": scores(0), "B": scores(1)}, aggregates=("mean",)).aggregates[0]
    assert [each.value for each in mean.standings] == pytest.approx([0.15, 0.15])
    notes = "; ".join(mean.notes)
    for part in ("raw r: Study.V4", "counted with a minus", "Study.behaviour", "left out", "Bad.IT"):
        assert part in notes


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ({"A": [make()]}, "at least two models"),
        ({"A": [make()], "B": [make(benchmark="Study.IT")]}, "no score on Study.V4 (ridge) of B"),
        ({"A": [make(), make(layer="other")], "B": [make()]}, "got layers layer and other"),
        ({"A": [make()], "B": [make(measure="kappa")]}, "raw kappa and raw r"),
    ],
)
def test_what_cannot_be_compared_is_refused(models, said):
    with pytest.raises(InvalidOption) as refused:
        compare(models)
    assert said in str(refused.value)


def test_common_keeps_what_all_models_have():
    models = {"A": [make(), make(benchmark="Study.IT")], "B": [make(seed=1)]}
    with pytest.raises(InvalidOption, match="--common"):
        compare(models)
    assert [row.name for row in compare(models, common=True).rows] == ["Study.V4"]
