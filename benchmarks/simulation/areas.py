"""Models of V1, V2, V4 and IT: from images, and for IT from what is in them, to the drive of model neuroids.

Every function is pure. Orientation is that of the bars: 0 = horizontal, counter-clockwise, in radians. Positions are in
degrees of visual angle from the centre of the image, x to the right and y upwards. Drives have no unit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.simulation.scenes import CATEGORIES, N_PIXELS, VISUAL_DEGREES

Array = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]

N_ORIENTATIONS = 8
FREQUENCIES = (0.9, 1.8)  # cycles per degree of the channels that feed V2 and V4
N_MAP = 48  # samples per side of a channel's map
V1_SEMISATURATION = 0.02
ARC_RADIUS = 0.75  # degrees
_CHUNK = 32


@dataclass(frozen=True)
class GaborBank:
    """Receptive fields of V1 neuroids; every attribute has shape (n_neuroids,)."""

    x: Array
    y: Array
    orientation: Array
    frequency: Array
    width: Array

    @classmethod
    def draw(cls, n_neuroids: int, rng: np.random.Generator) -> GaborBank:
        """Return receptive fields as under one small electrode array: all orientations, an octave of frequencies."""
        frequency = 2.0 ** rng.uniform(-1, 0, n_neuroids)
        return cls(
            x=rng.uniform(-0.25, 0.25, n_neuroids),
            y=rng.uniform(-0.25, 0.25, n_neuroids),
            orientation=np.pi * (np.arange(n_neuroids) + rng.uniform(0, 1, n_neuroids)) / n_neuroids,
            frequency=frequency,
            width=0.45 / frequency,
        )


def luminance(images: Pixels) -> Array:
    """Return the mean of the colour channels in [0, 1], shape (n_stimuli, n_pixels, n_pixels)."""
    return np.asarray(images.mean(axis=-1) / 255)


def gabor_energy(images: Pixels, bank: GaborBank) -> Array:
    """Return the energy of quadrature pairs of Gabor filters.

    Parameters
    ----------
    images : uint8 array of shape (n_stimuli, N_PIXELS, N_PIXELS, 3)
    bank : receptive fields

    Returns
    -------
    array of shape (n_stimuli, n_neuroids)
        Squared response of the even filter plus that of the odd one. A grating of the preferred orientation and
        frequency, Michelson contrast c and mean luminance 1/2 gives about (c / 4)^2, whatever its phase.

    References
    ----------
    Adelson & Bergen (1985), J. Opt. Soc. Am. A 2, 284.
    """
    centres = (np.arange(N_PIXELS) + 0.5) * VISUAL_DEGREES / N_PIXELS - VISUAL_DEGREES / 2
    across = centres[None, None, :] - bank.x[:, None, None]
    up = -centres[None, :, None] - bank.y[:, None, None]  # row 0 is the top
    envelope = np.exp(-(across**2 + up**2) / (2 * bank.width[:, None, None] ** 2))  # (n_neuroids, n, n)
    envelope /= envelope.sum((1, 2), keepdims=True)
    direction = bank.orientation[:, None, None] + np.pi / 2
    phase = 2 * np.pi * bank.frequency[:, None, None] * (across * np.cos(direction) + up * np.sin(direction))
    even = envelope * np.cos(phase)
    even -= envelope * even.sum((1, 2), keepdims=True)  # blind to mean luminance
    filters = np.concatenate([even, envelope * np.sin(phase)]).reshape(2 * len(bank.x), -1)
    responses = luminance(images).reshape(len(images), -1) @ filters.T  # (n_stimuli, 2 n_neuroids)
    return np.asarray(responses[:, : len(bank.x)] ** 2 + responses[:, len(bank.x) :] ** 2)


def normalise(energy: Array, semisaturation: float) -> Array:
    """Return energies divided by their pool: E / (s^2 + mean of E over the neuroids).

    Parameters
    ----------
    energy : array of shape (n_stimuli, n_neuroids)
    semisaturation : s, in units of the square root of the energy

    References
    ----------
    Heeger (1992), Visual Neuroscience 9, 181, equation 6.
    """
    return np.asarray(energy / (semisaturation**2 + energy.mean(axis=1, keepdims=True)))


def v1_drive(images: Pixels, bank: GaborBank) -> Array:
    """Return normalised Gabor energies to the power 1/2, shape (n_stimuli, n_neuroids)."""
    return np.sqrt(normalise(gabor_energy(images, bank), V1_SEMISATURATION))


def channel_maps(images: Pixels) -> Array:
    """Return the amplitude of oriented channels all over the image, locally normalised.

    Parameters
    ----------
    images : uint8 array of shape (n_stimuli, N_PIXELS, N_PIXELS, 3)

    Returns
    -------
    array of shape (n_stimuli, 2, N_ORIENTATIONS, N_MAP, N_MAP)
        Frequencies, then orientations in steps of 180 / N_ORIENTATIONS degrees. The image is taken to be periodic.
    """
    from scipy import fft

    spectrum = fft.fft2(luminance(images))  # (n_stimuli, n, n)
    kept = np.r_[0 : N_MAP // 2, N_PIXELS - N_MAP // 2 : N_PIXELS]  # the maps need no higher frequencies
    spectrum = spectrum[:, kept[:, None], kept] * (N_MAP / N_PIXELS) ** 2
    maps = fft.ifft2(spectrum[:, None, None] * _channel_filters())  # one-sided filters: complex, in quadrature
    amplitude = np.abs(maps)  # (n_stimuli, 2, n_orientations, n, n)
    pool = fft.ifft2(fft.fft2(amplitude.mean(axis=2)) * _blur(0.6)).real
    return np.asarray(amplitude / (0.01 + np.clip(pool, 0, None)[:, :, None]))


def _frequency_grid() -> tuple[Array, Array]:
    cycles = np.fft.fftfreq(N_MAP, d=VISUAL_DEGREES / N_MAP)
    across, down = np.meshgrid(cycles, cycles)
    return across, -down


def _channel_filters() -> Array:
    across, up = _frequency_grid()
    radius = np.hypot(across, up)
    radius[0, 0] = 1e-9
    octaves = np.log2(radius / np.array(FREQUENCIES)[:, None, None])  # (2, n, n)
    directions = np.pi * np.arange(N_ORIENTATIONS) / N_ORIENTATIONS + np.pi / 2
    turn = np.angle(np.exp(1j * (np.arctan2(up, across) - directions[:, None, None])))  # (n_orientations, n, n)
    angular = np.exp(-(turn**2) / (2 * 0.3**2))
    return np.asarray(2 * np.exp(-(octaves**2) / (2 * 0.5**2))[:, None] * angular)


def _blur(width: float) -> Array:
    across, up = _frequency_grid()
    return np.asarray(np.exp(-2 * (np.pi * width) ** 2 * (across**2 + up**2)))


def _window(x: float, y: float, width: float) -> Array:
    centres = (np.arange(N_MAP) + 0.5) * VISUAL_DEGREES / N_MAP - VISUAL_DEGREES / 2
    across, down = np.meshgrid(centres, centres)
    window = np.exp(-((across - x) ** 2 + (down + y) ** 2) / (2 * width**2))
    return np.asarray(window / window.sum())


def second_order(maps: Array) -> Array:
    """Return how V1 channels vary together inside a window: the features of V2.

    Parameters
    ----------
    maps : output of `channel_maps`

    Returns
    -------
    array of shape (n_stimuli, 16)
        Window-weighted correlations, in [-1, 1], between low-frequency channels 90 degrees apart (4), high-frequency
        channels 90 degrees apart (4) and between the two frequencies of one orientation (8).

    References
    ----------
    Freeman & Ziemba et al. (2013), Nature Neuroscience 16, 974; Portilla & Simoncelli (2000), Int. J. Comput. Vis. 40.
    """
    low, high = maps[:, 0], maps[:, 1]  # (n_stimuli, n_orientations, n, n)
    half = N_ORIENTATIONS // 2
    pairs = [
        (low[:, :half], low[:, half:]),
        (high[:, :half], high[:, half:]),
        (low, high),
    ]
    return np.concatenate([_correlation(*pair, _window(0, 0, 1.4)) for pair in pairs], axis=1)


def _correlation(first: Array, second: Array, window: Array) -> Array:
    a, b = (side - (side * window).sum((-2, -1), keepdims=True) for side in (first, second))
    scale = np.sqrt((a * a * window).sum((-2, -1)) * (b * b * window).sum((-2, -1)))
    return np.asarray((a * b * window).sum((-2, -1)) / (scale + 1e-3))


def contour_features(maps: Array) -> Array:
    """Return evidence for curved contours anywhere in the middle of the image, and for texture: the features of V4.

    Parameters
    ----------
    maps : output of `channel_maps`

    Returns
    -------
    array of shape (n_stimuli, 16)
        Arcs of radius `ARC_RADIUS` bulging towards 8 directions: the product of the low-frequency channels along the
        arc, which a straight or broken contour does not drive, pooled by a 4-norm over a wide window, hence tolerant
        to position. Then 8 textures: mean of the high-frequency channels over the same window.

    References
    ----------
    Pasupathy & Connor (2001), J. Neurophysiol. 86, 2505; Cadieu et al. (2007), J. Neurophysiol. 98, 1733.
    """
    window = _window(0, 0, 2.0)
    arcs = [((_arc(maps[:, 0], direction) ** 4) * window).sum((-2, -1)) ** 0.25 for direction in range(8)]
    texture = (maps[:, 1] * window).sum((-2, -1))  # (n_stimuli, n_orientations)
    return np.concatenate([np.stack(arcs, axis=1), texture], axis=1)


def _arc(low: Array, direction: int) -> Array:
    """Return the geometric mean of three channels along an arc that bulges towards `direction` (45 degree steps)."""
    product = np.ones_like(low[:, 0])
    for bend in (-1, 0, 1):
        towards = np.pi / 4 * (direction + bend)
        shift = ARC_RADIUS * (np.array([np.cos(towards), np.sin(towards)]) - _unit(np.pi / 4 * direction))
        columns, rows = np.rint(shift * N_MAP / VISUAL_DEGREES).astype(int)
        tangent = (2 * (direction + bend) + N_ORIENTATIONS // 2) % N_ORIENTATIONS
        product *= np.roll(low[:, tangent], (rows, -columns), axis=(1, 2))
    return np.asarray(np.cbrt(product))


def _unit(angle: float) -> Array:
    return np.array([np.cos(angle), np.sin(angle)])


def map_features(images: Pixels) -> tuple[Array, Array]:
    """Return `second_order` and `contour_features` of the images, a few images at a time."""
    both = []
    for start in range(0, len(images), _CHUNK):
        maps = channel_maps(images[start : start + _CHUNK])
        both.append((second_order(maps), contour_features(maps)))
    second, contour = zip(*both, strict=True)
    return np.concatenate(second), np.concatenate(contour)


def object_features(latents: pd.DataFrame) -> Array:
    """Return what is in the scene as numbers: the explicit part of IT.

    Parameters
    ----------
    latents : table of `scenes.Scenes`

    Returns
    -------
    array of shape (n_stimuli, 14)
        Category (8, 0 or 1), x, y, size, cosine and sine of the rotation, cosine of the hue's angle.

    References
    ----------
    Majaj et al. (2015), J. Neurosci. 35, 13402; Hong et al. (2016), Nature Neuroscience 19, 613.
    """
    category = np.stack([latents["object_name"].to_numpy() == name for name in CATEGORIES], axis=1)
    rotation, hue = latents["rotation"].to_numpy(), 2 * np.pi * latents["hue"].to_numpy()
    columns = [latents["x"], latents["y"], latents["size"], np.cos(rotation), np.sin(rotation), np.cos(hue)]
    return np.column_stack([category.astype(np.float64), *columns])


def sparse_weights(n_features: int, n_neuroids: int, n_inputs: int, rng: np.random.Generator) -> Array:
    """Return weights of shape (n_features, n_neuroids) with `n_inputs` non-zero normal ones per neuroid, norm 1."""
    weights = np.zeros((n_features, n_neuroids))
    for neuroid in range(n_neuroids):
        chosen = rng.permutation(n_features)[:n_inputs]
        values = rng.normal(size=n_inputs)
        weights[chosen, neuroid] = values / np.sqrt((values**2).sum())
    return weights


def rectify(drive: Array, threshold: float) -> Array:
    """Return the drive above `threshold`, 0 below it."""
    return np.clip(drive - threshold, 0, None)


def it_drive(objects: Array, contours: Array, n_neuroids: int, rng: np.random.Generator) -> Array:
    """Return mixtures of what is in the scene and of random features of V4.

    Parameters
    ----------
    objects, contours : standardised `object_features` and `contour_features`
    n_neuroids : number of mixtures
    rng : draws the weights

    Returns
    -------
    array of shape (n_stimuli, n_neuroids)
        About a quarter of the variance comes from 6 saturating random projections of V4.
    """
    projection = rng.normal(size=(contours.shape[1], 6)) / np.sqrt(contours.shape[1])
    random_features = np.tanh(contours @ projection)  # (n_stimuli, 6)
    seen = rng.normal(size=(objects.shape[1], n_neuroids)) / np.sqrt(objects.shape[1])
    mixed = rng.normal(size=(6, n_neuroids)) / np.sqrt(6)
    return np.asarray(objects @ seen + random_features @ mixed)
