"""The simulated stream does what its stated models say: closed forms, gratings with known answers, known noise."""

from __future__ import annotations

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import get_benchmark, simulation
from benchmarks.ceilings import internal_consistency
from benchmarks.datasets import simulated
from benchmarks.simulation import areas, scenes, stream
from benchmarks.simulation.scenes import N_PIXELS, SHAPES, VISUAL_DEGREES

ROOT = Path(__file__).parents[3]
# numpy 1.26.4; the same generator must draw the same scenes under every later numpy.
EXPECTED_X = [1.263912770527484, 1.1533261976798004, -0.5716005685199572]


def grid(n: int = N_PIXELS, half_width: float = VISUAL_DEGREES / 2) -> tuple[np.ndarray, np.ndarray]:
    """Return x to the right and y upwards at the centres of n x n pixels."""
    centres = (np.arange(n) + 0.5) * 2 * half_width / n - half_width
    x, down = np.meshgrid(centres, centres)
    return x, -down


def as_image(luminance: np.ndarray) -> np.ndarray:
    """Return a grey uint8 RGB image of luminances in [0, 1]."""
    return np.repeat(np.rint(255 * luminance).astype(np.uint8)[..., None], 3, axis=-1)


def grating(orientation: float, frequency: float, *, phase: float = 0.0, contrast: float = 1.0) -> np.ndarray:
    """Return luminances of a sine grating whose bars have the given orientation."""
    x, y = grid()
    along = x * np.cos(orientation + np.pi / 2) + y * np.sin(orientation + np.pi / 2)
    return 0.5 + contrast / 2 * np.cos(2 * np.pi * frequency * along + phase)


@pytest.fixture(scope="module")
def bank() -> areas.GaborBank:
    return areas.GaborBank.draw(24, np.random.default_rng(0))


class TestScenes:
    @pytest.mark.parametrize(
        ("name", "area"), [("sphere", np.pi), ("ring", np.pi * (1 - 0.5**2)), ("cross", 2 * (2 * 0.6) - 0.6**2)]
    )
    @pytest.mark.parametrize("rotation", [0.0, 0.7, -2.9])
    def test_area_of_a_flat_outline(self, name, area, rotation):
        x, y = grid(400, 1.5)
        assert SHAPES[name](x, y, rotation, 0.0).inside.mean() * 9 == pytest.approx(area, rel=0.01)

    @pytest.mark.parametrize("yaw", [0.0, 0.5, 2.0])
    def test_shadow_of_a_cube_follows_cauchys_projection_formula(self, yaw):
        x, y = grid(400, 1.5)
        surface = SHAPES["cube"](x, y, 0.3, yaw)
        faces = np.unique(surface.normal[surface.inside].round(9), axis=0)
        assert surface.inside.mean() * 9 == pytest.approx((2 * 0.68) ** 2 * faces[:, 2].sum(), rel=0.01)
        assert np.allclose(faces @ faces.T, np.eye(len(faces)), atol=1e-6)

    def test_every_surface_faces_the_viewer_with_unit_normals(self):
        x, y = grid(64, 1.3)
        for shape in SHAPES.values():
            surface = shape(x, y, 0.4, 1.0)
            normals = surface.normal[surface.inside]
            assert len(normals) > 100
            assert (normals[:, 2] >= 0).all()
            assert np.allclose(np.linalg.norm(normals, axis=1), 1)

    def test_the_object_is_where_and_what_colour_the_latents_say(self):
        made = scenes.make_scenes(160, seed=5)
        spheres = made.latents[made.latents["object_name"] == "sphere"]
        agreement = []
        for number, row in spheres.iterrows():
            column = int(N_PIXELS / 2 + row["x"] * N_PIXELS / VISUAL_DEGREES)
            line = int(N_PIXELS / 2 - row["y"] * N_PIXELS / VISUAL_DEGREES)
            albedo = np.cos(2 * np.pi * (row["hue"] - np.arange(3) / 3))
            agreement.append(np.corrcoef(made.images[number, line, column], albedo)[0, 1])
        assert min(agreement) > 0.9

    def test_the_same_seed_gives_the_same_scenes_and_another_seed_others(self):
        first, again, other = (scenes.make_scenes(16, seed=seed) for seed in (3, 3, 4))
        assert np.array_equal(first.images, again.images)
        pd.testing.assert_frame_equal(first.latents, again.latents)
        assert not np.array_equal(first.images, other.images)

    def test_draws_are_those_of_every_numpy(self):
        latents = scenes.draw_latents(3, np.random.default_rng([0, 3]))
        assert latents["x"].tolist() == pytest.approx(EXPECTED_X, abs=1e-12)


class TestV1:
    def test_energy_peaks_at_the_neuroids_own_orientation(self, bank):
        orientations = np.pi * np.arange(36) / 36
        for neuroid in range(24):
            images = np.stack([as_image(grating(each, bank.frequency[neuroid])) for each in orientations])
            best = orientations[areas.gabor_energy(images, bank)[:, neuroid].argmax()]
            assert abs(np.angle(np.exp(2j * (best - bank.orientation[neuroid])))) / 2 <= np.pi / 36

    def test_energy_ignores_phase_and_equals_its_closed_form(self, bank):
        for neuroid in range(0, 24, 5):
            preferred = bank.orientation[neuroid], bank.frequency[neuroid]
            phases = 2 * np.pi * np.arange(8) / 8
            images = np.stack([as_image(grating(*preferred, phase=phase, contrast=0.8)) for phase in phases])
            energy = areas.gabor_energy(images, bank)[:, neuroid]
            assert energy == pytest.approx(np.full(8, (0.8 / 4) ** 2), rel=0.06)

    def test_a_uniform_field_has_no_energy(self, bank):
        assert areas.gabor_energy(as_image(np.full((1, N_PIXELS, N_PIXELS), 0.7)), bank).max() < 1e-10

    def test_normalisation_saturates_with_contrast(self, bank):
        preferred = bank.orientation[12], bank.frequency[12]
        images = np.stack([as_image(grating(*preferred, contrast=contrast)) for contrast in (0.04, 0.08, 0.5, 1.0)])
        drive = areas.v1_drive(images, bank)[:, 12]
        energy = areas.gabor_energy(images, bank)[:, 12]
        assert np.sqrt(energy[3] / energy[2]) == pytest.approx(2, rel=0.02)
        assert drive[1] / drive[0] > 1.6
        assert 1 < drive[3] / drive[2] < 1.1

    def test_an_orthogonal_mask_suppresses(self, bank):
        orientation, frequency = bank.orientation[12], bank.frequency[12]
        alone = grating(orientation, frequency, contrast=0.5)
        masked = alone + grating(orientation + np.pi / 2, frequency, contrast=0.5) - 0.5
        drive = areas.v1_drive(np.stack([as_image(alone), as_image(masked)]), bank)[:, 12]
        assert drive[1] < 0.9 * drive[0]

    def test_normalise_is_heegers_ratio(self):
        energy = np.array([[1.0, 3.0], [0.0, 0.0]])
        assert areas.normalise(energy, 2.0).tolist() == [[1 / 6, 3 / 6], [0, 0]]


class TestV2AndV4:
    @pytest.mark.parametrize("orientation", range(8))
    @pytest.mark.parametrize("frequency", [0, 1])
    def test_a_grating_drives_its_own_channel_most(self, orientation, frequency):
        angle = np.pi * orientation / 8
        maps = areas.channel_maps(as_image(grating(angle, areas.FREQUENCIES[frequency]))[None])
        middle = maps[0, :, :, 16:32, 16:32].mean((-2, -1))
        assert middle[frequency].argmax() == orientation
        assert middle[frequency].max() > 1.4 * middle[1 - frequency].max()

    def test_second_order_sees_covariation_and_ignores_gain(self):
        rng = np.random.default_rng(0)
        maps = rng.gamma(2.0, size=(3, 2, 8, 48, 48))
        assert np.abs(areas.second_order(maps)).max() < 0.3
        tied = np.concatenate([maps[:, :1], 3 * maps[:, :1]], axis=1)
        assert areas.second_order(tied)[:, 8:] == pytest.approx(1, abs=2e-3)
        assert areas.second_order(5 * maps) == pytest.approx(areas.second_order(maps), abs=2e-3)

    @staticmethod
    def half_ring(direction: float, x: float = 0.0, y: float = 0.0) -> np.ndarray:
        across, up = grid()
        angle = np.angle(np.exp(1j * (np.arctan2(up - y, across - x) - direction)))
        line = np.exp(-((np.hypot(across - x, up - y) - areas.ARC_RADIUS) ** 2) / (2 * 0.12**2))
        return as_image(0.2 + 0.7 * line * (np.abs(angle) < np.pi / 3))

    @pytest.mark.parametrize("direction", range(8))
    def test_an_arc_drives_the_feature_of_its_direction_most(self, direction):
        image = self.half_ring(np.pi / 4 * direction)
        assert areas.contour_features(areas.channel_maps(image[None]))[0, :8].argmax() == direction

    def test_contour_features_tolerate_position_not_curvature(self):
        images = [self.half_ring(0.0), self.half_ring(0.0, 0.5, -0.5), self.half_ring(np.pi)]
        here, shifted, opposite = areas.contour_features(areas.channel_maps(np.stack(images)))[:, :8]
        assert np.linalg.norm(shifted - here) < 0.3 * np.linalg.norm(opposite - here)

    def test_sparse_weights_and_threshold(self):
        weights = areas.sparse_weights(16, 40, 3, np.random.default_rng(0))
        assert ((weights != 0).sum(axis=0) == 3).all()
        assert np.allclose((weights**2).sum(axis=0), 1)
        assert areas.rectify(np.array([-2.0, 0.0, 1.0]), -0.5).tolist() == [0.0, 0.5, 1.5]


class TestIT:
    def test_categories_are_explicit_in_it_and_not_in_v1(self):
        from sklearn.linear_model import RidgeClassifier
        from sklearn.model_selection import cross_val_score

        labels = simulation.scenes_of("test").latents["object_name"]
        accuracy = {
            area: cross_val_score(RidgeClassifier(), simulation.generator_rates(area).values, labels).mean()
            for area in ("V1", "IT")
        }
        assert accuracy["IT"] > 0.95
        assert accuracy["V1"] < 0.35

    def test_the_background_does_not_matter_to_object_features(self):
        latents = scenes.draw_latents(8, np.random.default_rng(0))
        other = latents.assign(background="flower", contrast=0.5, light=0.0, yaw=1.0, rotation=latents["rotation"] + 7)
        same = other.assign(rotation=latents["rotation"] + 2 * np.pi)
        assert np.allclose(areas.object_features(same), areas.object_features(latents))
        assert not np.allclose(areas.object_features(other), areas.object_features(latents))


@pytest.mark.parametrize("area", simulation.AREAS)
class TestResponses:
    def test_mean_and_variance_are_those_of_the_modulated_poisson(self, area):
        rates, repeats = simulation.generator_rates(area).values, simulation.repeats_of(area)
        expected = rates + stream.gain_variance(area) * rates**2  # (n_stimuli, n_neuroids)
        assert np.array_equal(repeats, repeats.round())
        z = (repeats.mean(axis=1) - rates) / np.sqrt(expected / simulation.N_REPEATS)
        assert abs(z.mean()) * np.sqrt(z.size) < 4
        assert z.var() == pytest.approx(1, abs=0.05)
        assert repeats.var(axis=1, ddof=1).mean(axis=0) == pytest.approx(expected.mean(axis=0), rel=0.12)
        assert repeats.var(axis=1, ddof=1).mean() == pytest.approx(expected.mean(), rel=0.02)

    @pytest.mark.parametrize("part", ["test", "commitment"])
    def test_split_halves_estimate_the_exact_ceiling(self, area, part):
        exact = simulation.exact_ceiling(area, part)
        estimate = internal_consistency(simulation.repeats_of(area, part))
        spread = 1 / np.sqrt(simulation.N_STIMULI[part])
        assert estimate.raw.mean(axis=0) == pytest.approx(exact, abs=2 * spread)
        assert estimate.raw.mean() == pytest.approx(exact.mean(), abs=0.15 * spread)
        assert estimate.value == pytest.approx(np.median(exact), abs=0.4 * spread)
        assert 0.75 < exact.min() < exact.max() < 0.97

    def test_the_card_says_what_the_stream_is(self, area):
        for part, name in (("test", f"Simulated.{area}"), ("commitment", f"Simulated.{area}-commitment")):
            card = get_benchmark(name)
            recording = card.load(lambda file: pytest.fail(f"asked for {file}"))[0]
            assert (card.n_neuroids, card.n_repeats) == (simulation.N_NEUROIDS, simulation.N_REPEATS)
            assert (card.n_stimuli, card.visual_degrees) == (simulation.N_STIMULI[part], VISUAL_DEGREES)
            rows = recording.assembly.values.reshape(card.n_stimuli, card.n_repeats, card.n_neuroids)
            assert np.array_equal(rows, simulation.repeats_of(area, part))
            assert tuple(recording.assembly["stimulus_id"].values[:: card.n_repeats]) == recording.stimuli.ids
            assert recording.stimuli is simulated.stimuli_of(part)


def test_the_two_parts_share_neuroids_and_no_scene():
    test, commitment = (simulation.generator_rates("V4", part) for part in ("test", "commitment"))
    assert test["neuroid_id"].values.tolist() == commitment["neuroid_id"].values.tolist()
    assert not set(test["stimulus_id"].values) & set(commitment["stimulus_id"].values)
    images = [{image.tobytes() for image in simulation.scenes_of(part).images} for part in ("test", "commitment")]
    assert [len(part) for part in images] == [640, 256]
    assert not images[0] & images[1]


def test_responses_depend_neither_on_the_process_nor_on_the_number_of_threads():
    code = (
        "from hashlib import sha256; from benchmarks import simulation as s;"
        "print(sha256(s.scenes_of('commitment').images.tobytes()).hexdigest(),"
        "*(sha256(s.repeats_of(area, 'commitment').tobytes()).hexdigest() for area in s.AREAS))"
    )
    threads = "2" if os.environ.get("OMP_NUM_THREADS") == "1" else "1"
    env = {**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env, cwd=ROOT)
    arrays = [simulation.scenes_of("commitment").images]
    arrays += [simulation.repeats_of(area, "commitment") for area in simulation.AREAS]
    assert run.stdout.split() == [sha256(array.tobytes()).hexdigest() for array in arrays]


def test_the_recordings_are_those_of_version_1():
    # These change only together with the version on the cards.
    assert {card.version for card in simulated.ENTRIES} == {1}
    medians = {area: round(float(np.median(simulation.exact_ceiling(area))), 3) for area in simulation.AREAS}
    assert medians == pytest.approx({"V1": 0.915, "V2": 0.905, "V4": 0.904, "IT": 0.901}, abs=0.0015)


def test_listing_the_cards_computes_nothing():
    code = (
        "import sys; from benchmarks import list_benchmarks;"
        "assert 'Simulated.V1' in [card.name for card in list_benchmarks()];"
        "print([m for m in ('benchmarks.simulation', 'sklearn', 'xarray', 'scipy') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout.strip() == "[]"
