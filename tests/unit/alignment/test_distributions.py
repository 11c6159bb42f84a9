"""Similarity of distributions against published figures, and units with known receptive fields found in a layer."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from alignment import get_metric, units
from alignment.distributions import score_distributions
from alignment.jobs import Run
from alignment.metrics.ks_similarity import draws, histogram, similarity
from alignment.reduction import Resources
from alignment.subjects import ModelSubject
from alignment.units import Calibration, calibrate, centres, field_of_view, map_receptive_fields, measure_units
from benchmarks import get_benchmark, load_benchmark
from benchmarks.contracts import Distribution, Distributions
from benchmarks.physiology import Design
from model_zoo import from_module
from model_zoo.contracts import Preprocessing
from model_zoo.errors import DataIntegrity

METRIC = get_metric("ks_similarity")
CARD, (PUBLISHED,) = load_benchmark(get_benchmark("V1Properties.V1"))
COUNTS = {each.property: np.array(each.counts, dtype=float) for each in PUBLISHED.distributions}
SMALL = Design(
    map_positions=tuple(np.linspace(-0.5, 1.5, 9)),
    map_orientations=(0.0, 90.0),
    frequencies=(0.5, 1.0, 2.0, 4.0),
    frequency_radii=(1.5,),
    radii=(0.25, 0.5, 1.0, 2.0, 4.0),
    anchor_frequencies=(1.0, 2.0),
    cycles=(4.0,),
    phases=(0.0, 90.0, 180.0, 270.0),
)


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("preferred_orientation", 0.961),
        ("peak_spatial_frequency", 0.967),
        ("surround_suppression_index", 0.958),
        ("spatial_frequency_selective", 0.964),
        ("spatial_frequency_bandwidth", 0.930),
        ("grating_summation_field", 0.956),
        ("surround_diameter", 0.954),
    ],
)
def test_ceilings_are_the_published_ones(name, published):
    counts = COUNTS[name]
    found = draws(np.append(counts, 0.0), counts, 4000, np.random.default_rng(0))
    assert found.mean() == pytest.approx(published, abs=0.004)


@pytest.mark.parametrize(("n_neurons", "ceiling"), [(50, 0.893), (100, 0.925), (200, 0.946), (363, 0.960)])
def test_the_ceiling_is_a_matter_of_how_many_neurons_were_recorded(n_neurons, ceiling):
    counts = COUNTS["preferred_orientation"]
    scaled = counts * n_neurons / counts.sum()
    samples = np.random.default_rng(0).multinomial(n_neurons, counts / counts.sum(), size=4000)
    assert similarity(samples.astype(float), counts).mean() == pytest.approx(ceiling, abs=0.004)
    assert draws(np.append(counts, 0.0), np.round(scaled), 4000, np.random.default_rng(1)).mean() == pytest.approx(
        ceiling, abs=0.006
    )


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ((0, 4, 4, 8, 25, 33, 26, 28, 12, 5, 2, 1), 0.945),  # simple foveal
        ((0, 0, 0, 9, 9, 7, 10, 23, 12, 8, 3, 3), 0.740),  # complex foveal
        ((2, 4, 10, 12, 18, 7, 18, 3, 4, 0, 0, 0), 0.728),  # simple parafoveal
        ((1, 2, 1, 2, 5, 15, 13, 9, 3, 2, 0, 0), 0.887),  # complex parafoveal
    ],
)
def test_real_subgroups_against_the_whole(found, expected):
    assert similarity(np.array(found), COUNTS["peak_spatial_frequency"]) == pytest.approx(expected, abs=5e-4)


def test_null_models():
    orientation = COUNTS["preferred_orientation"]
    assert similarity(np.ones(4), orientation) == pytest.approx(0.953, abs=5e-4)
    assert similarity(np.array([9.0, 0, 0, 0]), orientation) == pytest.approx(0.061, abs=5e-4)
    assert similarity(np.array([66, 49, 77, 54]), orientation) == pytest.approx(0.956, abs=5e-4)
    assert similarity(3 * orientation, orientation) == 1
    assert min(similarity(end, orientation) for end in np.eye(4)[[0, 3]]) == pytest.approx(0)
    assert np.isnan(similarity(np.zeros(4), orientation))


def test_similarity_equals_brain_scores():
    package = importlib.util.find_spec("brainscore_vision")
    if package is None:
        pytest.skip("Brain-Score is not installed")
    source = (Path(package.origin).parent / "metrics" / "distribution_similarity" / "metric.py").read_text()
    namespace = {"np": np}
    exec("def ks_similarity" + source.split("def ks_similarity")[1].split("class ")[0], namespace)
    rng = np.random.default_rng(0)
    for n_bins in (2, 5, 13):
        for found, expected in rng.dirichlet(np.ones(n_bins), size=(20, 2)):
            assert similarity(found, expected) == pytest.approx(namespace["ks_similarity"](found, expected))


def test_values_are_counted_in_the_bins_and_beyond_them():
    values = np.array([-3.0, 0.0, 0.5, 1.0, 1.5, 2.0, 99.0, np.inf, np.nan, np.nan])
    before = values.copy()
    np.testing.assert_array_equal(histogram(values, (0.0, 1.0, 2.0)), [3, 5, 2])
    np.testing.assert_array_equal(values, before)


def test_drawing_counts_is_drawing_units():
    rng = np.random.default_rng(0)
    expected = COUNTS["spatial_frequency_bandwidth"]
    edges = next(each.edges for each in PUBLISHED.distributions if each.property == "spatial_frequency_bandwidth")
    values = np.where(rng.random(70) < 0.3, np.nan, rng.normal(50, 20, 70))
    one_by_one = [
        similarity(histogram(rng.choice(values, int(expected.sum())), edges)[:-1], expected) for _ in range(3000)
    ]
    found = draws(histogram(values, edges), expected, 3000, rng)
    assert found.mean() == pytest.approx(np.mean(one_by_one), abs=0.005)
    assert found.std() == pytest.approx(np.std(one_by_one), rel=0.1)


def test_where_too_little_is_defined_the_score_is_zero():
    rng = np.random.default_rng(0)
    pair = np.array([1.0, 1.0])
    assert (draws(np.zeros(3), pair, 50, rng) == 0).all()
    assert (draws(np.array([2.0, 2.0, 6.0]), pair, 2000, rng) == 0).all()  # .36 of the draws are empty
    few = draws(np.array([4.0, 4.0, 2.0]), pair, 2000, rng)  # .04 are
    assert (few > 0).any()
    assert np.isfinite(few).all()


def test_a_model_with_the_neurons_own_histogram_reaches_the_ceiling():
    rng = np.random.default_rng(0)
    values = {}
    for each in PUBLISHED.distributions:
        low, high = np.repeat(each.edges[:-1], each.counts), np.repeat(each.edges[1:], each.counts)
        values[each.property] = rng.uniform(low, high)
    found = METRIC.outcome(values, PUBLISHED, 1000, np.random.default_rng(0))
    assert found.ceiled == pytest.approx(1, abs=0.003)
    assert found.interval[0] < 1 < found.interval[1]
    assert found.raw == pytest.approx(np.mean(found.unit_raw))
    assert found.ceiled == pytest.approx(found.raw / found.ceiling)
    assert found.unit_ids == tuple(COUNTS)
    one_missing = METRIC.outcome({**values, "surround_diameter": np.empty(0)}, PUBLISHED, 1000, rng)
    assert one_missing.unit_raw[7] == 0
    assert one_missing.raw == pytest.approx(found.raw - found.unit_raw[7] / 9, abs=0.003)


def test_the_error_is_the_spread_of_experiments_with_as_many_neurons():
    distribution = Distribution("p", "x", (0.0, 1.0, 2.0, 3.0), (30, 50, 20), "none")
    values = {"p": np.repeat([0.5, 1.5, 2.5], (400, 350, 250))}
    found = METRIC.outcome(values, Distributions((distribution,)), 1000, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    experiments = [similarity(rng.multinomial(100, [0.4, 0.35, 0.25]), np.array([30, 50, 20])) for _ in range(3000)]
    assert found.raw == pytest.approx(np.mean(experiments), abs=0.005)
    assert found.raw_error == pytest.approx(np.std(experiments), rel=0.1)


def test_calibration_gives_the_population_its_medians():
    rng = np.random.default_rng(0)
    blank = rng.uniform(0.0, 0.2, 101)
    best = blank + rng.gamma(2.0, 1.0, 101)
    best[:5] = blank[:5] + 1e-3  # these do not respond
    found = calibrate(blank, best)
    responsive = best - blank > 5 / 243.1 * (best - blank).max()
    assert found.n_responsive == responsive.sum() < 97
    assert np.median(found.slope * best[responsive] + found.offset) == pytest.approx(33.8)
    assert np.median(found.slope * blank[responsive] + found.offset) == pytest.approx(0.82)


@pytest.mark.parametrize(
    ("blank", "best", "reason"),
    [
        ([1.0, 1.0], [1.0, 0.5], "no unit responds more"),
        ([0.0, 0.0], [0.0, 0.0], "no unit responds more"),
        ([0.0, 5.0, 9.0], [1.0, 5.5, 9.5], ""),
        ([9.0, 0.0, 9.0, 0.0], [9.1, 0.1, 9.1, 0.1], ""),
    ],
)
def test_a_layer_that_cannot_be_calibrated_says_why(blank, best, reason):
    assert calibrate(np.array(blank), np.array(best)).reason.startswith(reason)
    assert (calibrate(np.array(blank), np.array(best)).slope > 0) == (reason == "")


def test_one_unit_is_enough_to_calibrate():
    assert calibrate(np.array([1.0]), np.array([3.0])) == Calibration(32.98 / 2, 0.82 - 32.98 / 2, 1)


def test_the_centre_of_a_receptive_field_is_the_weighted_mean_of_what_exceeds_a_twentieth():
    positions = (-1.0, 0.0, 1.0)
    maps = np.zeros((9, 4), dtype=np.float32)
    maps[:, 0] = [0, 0, 0, 0, 1, 3, 0, 0, 0]  # row 1; columns 1 and 2
    maps[:, 1] = [100, 0, 0, 0, 0, 0, 0, 0, 4]  # the second place is below the threshold
    maps[:, 2] = [5, 5, 5, 5, 5, 5, 5, 5, 6]  # blank 5
    x, y = centres(maps, np.array([0, 0, 5, 1], dtype=np.float32), positions)
    np.testing.assert_allclose(x, [0.75, -1, 1, np.nan])
    np.testing.assert_allclose(y, [0, -1, 1, np.nan])


class Planted(nn.Module):
    """Half-rectified or linear units, each looking at one place through a Gabor filter."""

    def __init__(self, places, n_pixels=64, gain=1.0, bias=0.0):
        super().__init__()
        degrees = (np.arange(n_pixels) + 0.5) / n_pixels * 8 - 4
        filters = []
        for x, y in places:
            distance = (degrees[None] - x) ** 2 + (degrees[:, None] - y) ** 2
            filters.append(np.exp(-distance / 0.18) * np.cos(2 * np.pi * 2 * (degrees[None] - x)))
        weight = torch.tensor(np.array(filters), dtype=torch.float32).flatten(1)
        self.units = nn.Linear(weight.shape[1], len(weight))
        self.units.weight.data = gain * weight
        self.units.bias.data = torch.full((len(weight),), bias)

    def forward(self, images):
        return self.units(images.mean(dim=1).flatten(1))


def run_of(module, **resources) -> Run:
    """Return a run of a module that sees 64 x 64 pixels of contrast -1 to 1."""
    look = Preprocessing((64, 64), mean=(128 / 255,) * 3, std=(0.5,) * 3, source="test")
    model = from_module("planted", module, look)
    return Run(ModelSubject(model), Resources(batch_size=64, threads=1, **resources))


def layer_of(run: Run):
    """Return the layer called units."""
    return next(layer for layer in run.subject.layers() if layer.name == "units")


PLACES = ((0.5, 0.5), (0.6, 0.45), (0.0, 0.0), (1.2, 0.5), (0.5, 1.0))


def test_receptive_fields_are_found_where_they_were_planted():
    run = run_of(Planted(PLACES))
    x, y = map_receptive_fields(run, layer_of(run), SMALL)
    np.testing.assert_allclose(np.stack([x, y], axis=1), PLACES, atol=0.1)


def test_mapping_part_by_part_changes_nothing():
    run = run_of(Planted(PLACES))
    whole = map_receptive_fields(run, layer_of(run), SMALL)
    tight = replace(run, resources=replace(run.resources, memory=2 * 4 * 81 * 2))  # two units at a time
    np.testing.assert_array_equal(map_receptive_fields(tight, layer_of(run), SMALL), whole)


def test_only_units_at_the_gratings_are_studied_and_a_second_look_costs_nothing():
    module = Planted(PLACES)
    run = run_of(module)
    first = measure_units(run, layer_of(run), SMALL)
    assert (first.n_units, first.n_centred, first.n_responsive, first.reason) == (5, 2, 2, "")
    assert list(first.table["unit"]) == [0, 1]
    assert (first.table["preferred_orientation"].abs() <= 3).all()
    np.testing.assert_allclose(first.table["peak_spatial_frequency"], 2, rtol=0.1)
    module.units.weight.data.zero_()
    again = measure_units(run, layer_of(run), SMALL)
    assert again.table.equals(first.table)
    assert (again.n_units, again.n_centred, again.n_responsive, again.reason) == (5, 2, 2, "")
    uncached = measure_units(replace(run, resources=replace(run.resources, use_cache=False)), layer_of(run), SMALL)
    assert uncached.n_centred == 0


def test_of_very_many_units_some_are_studied(monkeypatch):
    monkeypatch.setattr(units, "MOST_UNITS", 3)
    run = run_of(Planted([(0.5, 0.5)] * 9), use_cache=False)
    found = measure_units(run, layer_of(run), SMALL)
    assert (found.n_centred, list(found.table["unit"])) == (9, [0, 4, 8])


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (Planted([(1.3, 1.3)]), "no unit has its receptive field at the gratings"),
        (Planted([(0.5, 0.5)], gain=0.0, bias=-1.0), "no unit has its receptive field at the gratings"),
        (Planted([(0.5, 0.5)], gain=0.0, bias=1.0), "no unit has its receptive field at the gratings"),
    ],
)
def test_where_nothing_can_be_measured_the_score_is_zero_and_says_why(module, reason):
    run = run_of(module, use_cache=False)
    found = score_distributions(run, CARD, (PUBLISHED,), METRIC, layer_of(run), design=SMALL)
    assert found.raw == found.ceiled == 0
    assert set(found.unit_raw) == {0}
    assert f"score 0: {reason}" in found.note


def test_a_single_unit_is_scored_and_the_note_says_what_was_assumed():
    run = run_of(Planted([(0.5, 0.5)]), use_cache=False)
    found = score_distributions(run, CARD, (PUBLISHED,), METRIC, layer_of(run), design=SMALL)
    assert 0 < found.raw < found.ceiling
    assert (found.kind, found.unit, found.n_neuroids, found.n_features) == ("distributions", "property", 1025, 1)
    assert found.n_stimuli == SMALL.n_stimuli
    assert "1 of 1 units" in found.note
    assert "span 8 degrees" in found.note
    assert "radius 4.0 degrees are cut off" in found.note
    assert "cannot carry" not in found.note
    narrow = replace(run, visual_degrees=12.0)
    assert field_of_view(narrow).nyquist == pytest.approx(64 / 24)
    found = score_distributions(narrow, CARD, (PUBLISHED,), METRIC, layer_of(run), design=SMALL)
    assert "cannot carry 4.0 cycles per degree (limit 2.7)" in found.note
    assert "taken to span" not in found.note


def test_activations_that_are_no_numbers_are_refused():
    run = run_of(Planted([(0.5, 0.5)], bias=float("nan")), use_cache=False)
    with pytest.raises(DataIntegrity, match="layer units: expected finite activations"):
        measure_units(run, layer_of(run), SMALL)
