"""Units whose tuning is known by construction, seen only through images: what was planted must be found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from alignment import get_metric
from alignment.distributions import score_distributions
from alignment.jobs import Run
from alignment.reduction import Resources
from alignment.subjects import ModelSubject
from alignment.units import measure_units
from benchmarks import get_benchmark, load_benchmark
from benchmarks.physiology import FULL, Design
from model_zoo import from_module, load_model
from model_zoo.contracts import Preprocessing
from model_zoo.models._gabor_bank import GaborBank, Gabors, sample_gabors

pytestmark = pytest.mark.once

GREY = 128 / 255
LOOK = Preprocessing((96, 96), mean=(GREY,) * 3, std=(0.5,) * 3, source="test")  # limit 6 cycles per degree
PLACES = tuple(np.arange(-0.5, 1.51, 0.25))
PLANTED = Design(
    map_positions=PLACES,
    map_orientations=(0.0, 60.0, 120.0),
    frequencies=FULL.frequencies[1:17:2],
    frequency_radii=(2.25,),
    anchor_frequencies=(1.0, 2.0),
    cycles=(4.0,),
    coarse_orientations=(0.0, 60.0, 120.0),
)
COMPARED = Design(
    map_positions=tuple(np.arange(-2.5, 2.51, 0.5)),  # the whole map, coarsely: a part of it would centre the tails
    map_orientations=(0.0, 90.0),
    frequencies=FULL.frequencies[::2],
    frequency_radii=(2.25,),
    anchor_frequencies=FULL.anchor_frequencies[:3],
    cycles=(4.0,),
    orientations=FULL.orientations[::2],
    radii=FULL.radii[:10],  # what 6 degrees can show
    coarse_orientations=(0.0, 45.0, 90.0, 135.0),
    phases=(0.0, 90.0, 180.0, 270.0),
)


def run_of(model, degrees: float = 8.0) -> Run:
    """Return a run of a model whose input spans `degrees`."""
    return Run(ModelSubject(model), Resources(batch_size=64, use_cache=False), degrees, 1000)


def layer_of(run: Run, name: str):
    """Return the layer of that name."""
    return next(layer for layer in run.subject.layers() if layer.name == name)


ORIENTATION = np.array([0.0, 60.0, 120.0, 0.0, 60.0, 120.0])
FREQUENCY = np.array([1.0, 1.0, 1.0, 2.0, 2.0, 2.0])
SPREAD = 0.4 / FREQUENCY  # of round envelopes, degrees
SUPPRESSION = np.array([0.0, 0.0, 0.0, 0.6, 0.6, 0.6])


@pytest.fixture(scope="module")
def table():
    """Properties of six simple and six complex cells, in that order, each pair of one filter."""
    gabors = Gabors(
        orientation=ORIENTATION,
        frequency=FREQUENCY,
        width=SPREAD,
        length=SPREAD,
        phase=np.full(6, np.pi / 2),
        suppression=SUPPRESSION,
        centre=1.5 * SPREAD,
        surround=4 * SPREAD,
    )
    run = run_of(from_module("planted", GaborBank(gabors, n_pixels=96), LOOK, visual_degrees=8.0))
    found = measure_units(run, layer_of(run, "normalised"), PLANTED).table
    at_the_gratings = np.arange(12) * 15**2 + 8 * 15 + 8  # of 15 by 15 positions from -3.5 to 3.5 degrees
    return found.set_index("unit").loc[at_the_gratings].reset_index()


def test_preferred_orientation_is_recovered(table):
    planted = np.tile(np.where(ORIENTATION >= 157.5, ORIENTATION - 180, ORIENTATION), 2)
    assert np.abs(table["preferred_orientation"] - planted).max() <= 3


def test_peak_spatial_frequency_is_recovered_up_to_the_envelopes_bias(table):
    np.testing.assert_allclose(table["peak_spatial_frequency"], np.tile(FREQUENCY, 2), rtol=0.1)


def test_bandwidths_are_those_of_the_envelopes(table):
    # the filter falls to .707 at sqrt(2 ln(1/.707)) / (2 pi sigma) cycles per degree from its own frequency
    apart = np.sqrt(2 * np.log(1 / 0.707)) / (2 * np.pi * 0.4)
    unsuppressed = np.tile(SUPPRESSION == 0, 2)
    expected = 100 * (1 - apart) / (1 + apart)
    np.testing.assert_allclose(table["spatial_frequency_bandwidth"][unsuppressed], expected, rtol=0.2)
    assert (table["spatial_frequency_selective"] == 1).all()
    half = np.rad2deg(2 * np.arcsin(apart / 2))
    found = table["bandwidth"][unsuppressed]
    assert (found >= half - 1).all()  # smoothing and the gratings' own edges widen it
    assert (found <= 1.35 * half).all()


def test_simple_and_complex_cells_are_told_apart(table):
    assert table["modulation_ratio"][:6].between(1.4, 1.75).all()
    assert (table["modulation_ratio"][6:] < 0.15).all()


def test_surround_suppression_is_recovered_where_it_was_planted(table):
    planted = np.tile(SUPPRESSION, 2)
    assert (table["surround_suppression_index"][planted == 0] < 0.1).all()
    np.testing.assert_allclose(table["surround_suppression_index"][planted > 0], 0.6, atol=0.15)
    np.testing.assert_array_equal(table["strongly_suppressed"], planted > 0)


def test_sizes_follow_centre_and_surround(table):
    suppressed = table[np.tile(SUPPRESSION, 2) > 0]
    spread = 0.2
    # a disc of 2.45 standard deviations holds 95 % of a Gaussian; suppression moves the best size inwards
    assert suppressed["grating_summation_field"].between(2 * 1.2 * spread, 2 * 2.45 * spread * 2**0.5).all()
    assert suppressed["surround_diameter"].between(2 * 1.7 * 4 * spread, 2 * 3.5 * 4 * spread).all()
    assert (suppressed["surround_gsf_ratio"] > 2).all()


@pytest.fixture(scope="module")
def compared():
    """Scores of the textbook V1, of an untrained network and of the pixels, on the same reduced set of gratings.

    Only the field is smaller, not the pixels per degree: with fewer, untrained filters would meet other frequencies.
    """
    card, data = load_benchmark(get_benchmark("V1Properties.V1"))
    look = replace(LOOK, input_size=(168, 168))
    bank = from_module("gabor", GaborBank(sample_gabors(128, 0), n_pixels=168, degrees=6), look, visual_degrees=6.0)
    models = {
        ("gabor", "normalised"): bank,
        ("untrained", "layer1"): load_model("torchvision/resnet18", seed=0, overrides={"input_size": 168}),
        ("pixels", "grey"): load_model("ventral/pixels", overrides={"input_size": 168}),
    }
    found = {}
    for (name, layer), model in models.items():
        run = run_of(model, degrees=6.0)
        found[name] = score_distributions(
            run, card, data, get_metric("ks_similarity"), layer_of(run, layer), design=COMPARED
        )
    return found


def test_a_textbook_v1_beats_an_untrained_network_and_the_pixels(compared):
    gabor, untrained, pixels = (compared[name] for name in ("gabor", "untrained", "pixels"))
    assert gabor.ceiled > 0.7
    assert gabor.interval[0] > untrained.ceiled > pixels.ceiled


def test_what_the_bank_was_drawn_from_is_what_it_scores_best_on(compared):
    by_property = dict(zip(compared["gabor"].unit_ids, compared["gabor"].unit_raw, strict=True))
    assert by_property["preferred_orientation"] > 0.8
    assert by_property["peak_spatial_frequency"] > 0.7


def test_pixels_score_nothing_because_no_pixel_prefers_a_grating(compared):
    assert compared["pixels"].raw == 0
    assert "no unit responds more to a grating than to the blank screen" in compared["pixels"].note
