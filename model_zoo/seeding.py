"""Random weights from a seed, without touching anyone else's random numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw torch's CPU random numbers from `seed` inside the block; the state before it returns afterwards.

    Parameters
    ----------
    seed : any integer; 0 is a seed like every other.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would also reseed the accelerators, which fork_rng(devices=[]) does not restore.
        torch.default_generator.manual_seed(seed)
        yield
