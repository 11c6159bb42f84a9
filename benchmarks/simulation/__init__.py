"""A simulated ventral stream: scenes, models of V1, V2, V4 and IT, and noisy repeats whose ceiling is known exactly.

Examples
--------
>>> rates = generator_rates("V1", "commitment")
>>> rates.dims, rates.shape
(('stimulus_id', 'neuroid'), (256, 40))
"""

from benchmarks.simulation.stream import (
    AREAS,
    N_NEUROIDS,
    N_REPEATS,
    N_STIMULI,
    UNIT,
    exact_ceiling,
    generator_rates,
    repeats_of,
    scenes_of,
)

__all__ = [
    "AREAS",
    "N_NEUROIDS",
    "N_REPEATS",
    "N_STIMULI",
    "UNIT",
    "exact_ceiling",
    "generator_rates",
    "repeats_of",
    "scenes_of",
]
