"""Procedural scenes: one shaded, textured object on a crop of a natural photograph, all of it drawn from a seed."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import pandas as pd

Array = npt.NDArray[np.float64]
Images = npt.NDArray[np.uint8]

N_PIXELS = 96
VISUAL_DEGREES = 8.0
CATEGORIES = ("sphere", "cube", "cone", "cylinder", "cross", "star", "ring", "blob")


@dataclass(frozen=True)
class Scenes:
    """Images and what is in them.

    Attributes
    ----------
    images : array of shape (n_stimuli, N_PIXELS, N_PIXELS, 3), uint8 RGB, read-only.
    latents : one row per image: stimulus_id, object_name, x and y (degrees from the centre, y upwards), size (radius in
        degrees), rotation (radians, in the image plane), yaw (radians, about the object's own axis), hue (turns), light
        (radians, where the light comes from), contrast (of the background, unitless), background (photograph).
    """

    images: Images
    latents: pd.DataFrame


@dataclass(frozen=True)
class Surface:
    """What an object shows to the viewer at each sample point: inside or not, and the unit normal.

    `inside` has shape (n, n), bool; `normal` has shape (n, n, 3), x to the right, y upwards, z towards the viewer.
    """

    inside: npt.NDArray[np.bool_]
    normal: Array


def make_scenes(n_stimuli: int, seed: int, *, first_number: int = 1) -> Scenes:
    """Return `n_stimuli` scenes in which categories take turns and everything else is drawn from `seed`.

    Parameters
    ----------
    n_stimuli : number of images.
    seed : of the generator; another seed gives other scenes of the same statistics.
    first_number : number of the first ``stimulus_id``, so that two sets can have different ids.

    Examples
    --------
    >>> make_scenes(2, seed=0).latents["object_name"].tolist()
    ['sphere', 'cube']
    """
    rng = np.random.default_rng([seed, n_stimuli])
    latents = draw_latents(n_stimuli, rng, first_number=first_number)
    images = np.stack([_draw_scene(row, rng) for row in latents.to_dict("records")])
    images.setflags(write=False)
    return Scenes(images, latents)


def draw_latents(n_stimuli: int, rng: np.random.Generator, *, first_number: int = 1) -> pd.DataFrame:
    """Return the table of latent variables described in `Scenes`, one row per scene."""
    numbers = np.arange(n_stimuli)
    return pd.DataFrame(
        {
            "stimulus_id": [f"sim-{first_number + number:04d}" for number in numbers],
            "object_name": [CATEGORIES[number % len(CATEGORIES)] for number in numbers],
            "x": rng.uniform(-1.6, 1.6, n_stimuli),
            "y": rng.uniform(-1.6, 1.6, n_stimuli),
            "size": rng.uniform(1.2, 2.3, n_stimuli),
            "rotation": rng.uniform(-np.pi, np.pi, n_stimuli),
            "yaw": rng.uniform(-np.pi, np.pi, n_stimuli),
            "hue": rng.uniform(0.0, 1.0, n_stimuli),
            "light": rng.uniform(-np.pi, np.pi, n_stimuli),
            "contrast": rng.uniform(0.35, 0.9, n_stimuli),
            "background": [("china", "flower")[choice] for choice in rng.integers(0, 2, n_stimuli)],
        }
    )


@cache
def photographs() -> dict[str, Array]:
    """Return scikit-learn's two sample photographs, halved in size by 2 x 2 means, values in [0, 1]."""
    from sklearn.datasets import load_sample_images

    found = load_sample_images()
    photos = {}
    for filename, photo in zip(found.filenames, found.images, strict=True):
        height, width = (side // 2 * 2 for side in photo.shape[:2])
        blocks = photo[:height, :width].reshape(height // 2, 2, width // 2, 2, 3)
        photos[str(filename).replace("\\", "/").rsplit("/", 1)[-1].removesuffix(".jpg")] = blocks.mean((1, 3)) / 255
    return photos


def _draw_scene(latent: Mapping[Hashable, object], rng: np.random.Generator) -> Images:
    values = {str(name): float(value) for name, value in latent.items() if isinstance(value, float)}
    scene = _background(str(latent["background"]), values["contrast"], rng)  # (h, w, 3)
    per_degree = N_PIXELS / VISUAL_DEGREES
    centre = N_PIXELS / 2 + per_degree * np.array([values["x"], -values["y"]])
    radius = per_degree * values["size"]
    left, top = (max(int(c - 1.3 * radius), 0) for c in centre)
    right, bottom = (min(int(c + 1.3 * radius) + 2, N_PIXELS) for c in centre)
    columns, rows = (np.arange(a, b, 0.5) + 0.25 for a, b in ((left, right), (top, bottom)))
    u, v = np.meshgrid((columns - centre[0]) / radius, (centre[1] - rows) / radius)  # two samples per pixel and axis
    surface = SHAPES[str(latent["object_name"])](u, v, values["rotation"], values["yaw"])
    colour = _shade(surface, u, v, values, rng)  # (n_rows, n_columns, 3)
    opacity = surface.inside[..., None].astype(np.float64)
    window = scene[top:bottom, left:right]
    scene[top:bottom, left:right] = _halve(colour * opacity) + window * (1 - _halve(opacity))
    pixels: Images = np.rint(255 * np.clip(scene, 0, 1)).astype(np.uint8)
    return pixels


def _background(name: str, contrast: float, rng: np.random.Generator) -> Array:
    photo = photographs()[name]
    top, left = (int(rng.integers(0, side - N_PIXELS + 1)) for side in photo.shape[:2])
    crop = photo[top : top + N_PIXELS, left : left + N_PIXELS]
    if rng.integers(0, 2):
        crop = crop[:, ::-1]
    mean = crop.mean((0, 1))
    return np.asarray(mean + contrast * (crop - mean))


def _shade(surface: Surface, u: Array, v: Array, latent: dict[str, float], rng: np.random.Generator) -> Array:
    light = np.array([0.7 * np.cos(latent["light"]), 0.7 * np.sin(latent["light"]), 0.71])
    lambert = np.clip(surface.normal @ light, 0, None)
    halfway = light + np.array([0.0, 0.0, 1.0])
    gloss = np.clip(surface.normal @ (halfway / np.linalg.norm(halfway)), 0, None) ** 30
    frequency, direction, phase = rng.uniform(4, 10), rng.uniform(0, np.pi), rng.uniform(0, 2 * np.pi)
    stripes = np.sin(frequency * (u * np.cos(direction) + v * np.sin(direction)) + phase)
    albedo = 0.62 + 0.38 * np.cos(2 * np.pi * (latent["hue"] - np.arange(3) / 3))
    brightness = (0.22 + 0.85 * lambert) * (1 + rng.uniform(0.05, 0.3) * stripes)
    return np.asarray(brightness[..., None] * albedo + 0.35 * gloss[..., None])


def _halve(samples: Array) -> Array:
    rows, columns, channels = samples.shape
    return np.asarray(samples.reshape(rows // 2, 2, columns // 2, 2, channels).mean((1, 3)))


def _rotate(u: Array, v: Array, angle: float) -> tuple[Array, Array]:
    return u * np.cos(angle) + v * np.sin(angle), v * np.cos(angle) - u * np.sin(angle)


def _pose(rotation: float, yaw: float) -> Array:
    about_axis = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    tilt = np.array([[1, 0, 0], [0, np.cos(0.6), -np.sin(0.6)], [0, np.sin(0.6), np.cos(0.6)]])
    in_plane = np.array([[np.cos(rotation), -np.sin(rotation), 0], [np.sin(rotation), np.cos(rotation), 0], [0, 0, 1]])
    return np.asarray(in_plane @ tilt @ about_axis)


def _convex(normals: Array, offsets: Array, u: Array, v: Array, rotation: float, yaw: float) -> Surface:
    # A ray along z is inside plane i while n_x u + n_y v + n_z z <= offset_i.
    turned = normals @ _pose(rotation, yaw).T  # (n_planes, 3)
    turned[:, 2] = np.where(np.abs(turned[:, 2]) < 1e-9, 1e-9, turned[:, 2])
    depth = (offsets - u[..., None] * turned[:, 0] - v[..., None] * turned[:, 1]) / turned[:, 2]  # (n, n, n_planes)
    front = turned[:, 2] > 0
    nearest = np.argmin(np.where(front, depth, np.inf), axis=-1)  # (n, n)
    entry = np.take_along_axis(depth, nearest[..., None], axis=-1)[..., 0]
    leave = np.where(front, -np.inf, depth).max(-1)
    return Surface(entry >= leave, turned[nearest])


def _prism(n_sides: int, slope: float) -> Array:
    angles = 2 * np.pi * np.arange(n_sides) / n_sides
    rise = np.full(n_sides, np.sin(slope))
    return np.stack([np.cos(angles) * np.cos(slope), rise, np.sin(angles) * np.cos(slope)], axis=1)


def _plate(distance: Array, gradient: tuple[Array, Array]) -> Surface:
    # A flat plate with a rounded rim: the normal leans outwards (along the gradient of the distance) near the edge.
    lean = np.clip(1 + distance / 0.18, 0, 1)
    normal = np.stack([gradient[0] * lean, gradient[1] * lean, np.sqrt(1.02 - 0.9 * lean**2)], axis=-1)
    return Surface(distance <= 0, normal / np.linalg.norm(normal, axis=-1, keepdims=True))


def _flat_shape(distance: Callable[[Array, Array], Array]) -> Callable[[Array, Array, float, float], Surface]:
    def surface(u: Array, v: Array, rotation: float, yaw: float) -> Surface:
        a, b = _rotate(u, v, rotation)
        a = a / (0.75 + 0.25 * np.cos(yaw))  # seen from the side, a plate is narrower
        step = 1e-3
        slope_a = (distance(a + step, b) - distance(a - step, b)) / (2 * step)
        slope_b = (distance(a, b + step) - distance(a, b - step)) / (2 * step)
        return _plate(distance(a, b), _rotate(slope_a, slope_b, -rotation))

    return surface


def _sphere(u: Array, v: Array, rotation: float, yaw: float) -> Surface:
    depth = 1 - u**2 - v**2
    return Surface(depth >= 0, np.stack([u, v, np.sqrt(np.clip(depth, 0, None))], axis=-1))


def _cube(u: Array, v: Array, rotation: float, yaw: float) -> Surface:
    return _convex(np.vstack([np.eye(3), -np.eye(3)]), np.full(6, 0.68), u, v, rotation, yaw)


def _cone(u: Array, v: Array, rotation: float, yaw: float) -> Surface:
    planes = np.vstack([_prism(20, 0.42), [[0, -1, 0]]])
    return _convex(planes, np.append(np.full(20, 0.44), 0.75), u, v, rotation, yaw)


def _cylinder(u: Array, v: Array, rotation: float, yaw: float) -> Surface:
    planes = np.vstack([_prism(20, 0.0), [[0, 1, 0], [0, -1, 0]]])
    return _convex(planes, np.append(np.full(20, 0.48), [0.95, 0.95]), u, v, rotation, yaw)


def _cross_distance(a: Array, b: Array) -> Array:
    arms = [np.maximum(np.abs(p) - 1.0, np.abs(q) - 0.3) for p, q in ((a, b), (b, a))]
    return np.minimum(arms[0], arms[1])


def _star_distance(a: Array, b: Array) -> Array:
    angle = np.abs((np.arctan2(a, b) + np.pi / 5) % (2 * np.pi / 5) - np.pi / 5)  # from the nearest point's axis
    radius = np.hypot(a, b)
    edge = np.array([np.cos(np.pi / 5) * 0.45 - 1.0, np.sin(np.pi / 5) * 0.45])  # from the tip to the inner corner
    along, across = radius * np.cos(angle) - 1.0, radius * np.sin(angle)
    return np.asarray((along * edge[1] - across * edge[0]) / np.hypot(*edge))


def _ring_distance(a: Array, b: Array) -> Array:
    return np.asarray(np.abs(np.hypot(a, b) - 0.75) - 0.25)


def _blob_distance(a: Array, b: Array) -> Array:
    angle = np.arctan2(b, a)
    return np.asarray(np.hypot(a, b) - 0.72 - 0.18 * np.sin(3 * angle) - 0.1 * np.cos(2 * angle + 1))


SHAPES: dict[str, Callable[[Array, Array, float, float], Surface]] = {
    "sphere": _sphere,
    "cube": _cube,
    "cone": _cone,
    "cylinder": _cylinder,
    "cross": _flat_shape(_cross_distance),
    "star": _flat_shape(_star_distance),
    "ring": _flat_shape(_ring_distance),
    "blob": _flat_shape(_blob_distance),
}
