"""Consistency of a model's behavioural signatures with those of observers (Rajalingham et al. 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from alignment.contracts import Array, ChoiceMetric, Indices, ModelBehaviour
from alignment.scores import Evidence, Outcome
from alignment.signatures import CAP, consistency, rates_of_model, rates_of_trials, signature, trials_of
from alignment.statistics import ceiled_draws, summarise
from benchmarks.contracts import Choices

N_REPETITIONS = 10  # published scores have 2: the first two of these
RULE = "raw/sqrt(ceiling)"
_CELLS = 2**17  # images times distractors times draws worked on at a time


def halves_of_trials(n_trials: int, n_repetitions: int) -> tuple[tuple[Indices, Indices], ...]:
    """Return Brain-Score's random halves of the trials: the same ones for every model, and for the ceiling."""
    random, halves = np.random.RandomState(0), []
    for _ in range(n_repetitions):
        rows = list(range(n_trials))
        random.shuffle(rows)
        halves.append((np.array(rows[: n_trials // 2], np.intp), np.array(rows[n_trials // 2 :], np.intp)))
    return tuple(halves)


def outcome(
    name: str,
    behaviour: ModelBehaviour,
    choices: Choices,
    n_bootstrap: int,
    rng: np.random.Generator,
    *,
    n_repetitions: int = N_REPETITIONS,
    limit: float = CAP,
) -> Outcome:
    """Return how consistent a model's signature is with that of one half of the observers' trials.

    Parameters
    ----------
    name : one of `alignment.signatures.SIGNATURES`
    behaviour : ModelBehaviour
    choices : Choices
        Of a two-alternative task.
    n_bootstrap : int
        Draws of images with replacement.
    rng : numpy.random.Generator
    n_repetitions : int
        Random halvings of the trials, over which raw score, ceiling and ceiled score are averaged.
    limit : float
        See `alignment.signatures.signature`; infinity is Brain-Score's form.

    Notes
    -----
    raw = r(model, first half), ceiling = r(first half, second half), ceiled = raw / sqrt(ceiling), by repetition. There
    is no Spearman-Brown correction, since the model is compared with one half, whose reliability the ceiling is. Errors
    come from resampling images; halvings and observers are held fixed.
    """
    trials = trials_of(choices)
    model = rates_of_model(behaviour, trials, choices.classes)
    halves = [
        (rates_of_trials(trials, first), rates_of_trials(trials, second))
        for first, second in halves_of_trials(len(trials.stimulus), n_repetitions)
    ]
    n_stimuli = len(trials.stimulus_ids)
    drawn = rng.multinomial(n_stimuli, np.full(n_stimuli, 1.0 / n_stimuli), size=n_bootstrap)
    weights = np.concatenate([np.ones((1, n_stimuli)), drawn])  # the data itself first
    step = max(1, _CELLS // model.size)
    blocks = [weights[row : row + step] for row in range(0, len(weights), step)]
    parts = [_consistencies(name, model, halves, trials.truth, block, limit) for block in blocks]
    raw, ceiling = np.concatenate(parts, axis=2)  # (n_repetitions, 1 + n_bootstrap) each
    relative = ceiled_draws(raw, ceiling, RULE)
    means = [each.mean(axis=0) for each in (raw, ceiling, relative)]
    (raw_value, raw_error, raw_interval), (ceiling_value, ceiling_error, _), (value, error, interval) = (
        (float(each[0]), *summarise(float(each[0]), _images_alone(each))) for each in means
    )
    return Outcome(
        resampled=("stimuli",),
        raw=raw_value,
        raw_error=raw_error,
        raw_interval=raw_interval,
        ceiling=ceiling_value,
        ceiling_error=ceiling_error,
        ceiled=value,
        ceiled_rule=RULE,
        error=error,
        interval=interval,
        unit="subject",
        unit_ids=("all observers",),
        unit_raw=(raw_value,),
        evidence=Evidence(pairing="", raw=_images_alone(means[0]), headline=_images_alone(means[2])),
    )


def _consistencies(
    name: str, model: Array, halves: Sequence[tuple[Array, Array]], truth: Indices, weights: Array, limit: float
) -> Array:
    """Return r(model, first half) and r(first half, second half), shape (2, n_repetitions, n_draws)."""
    of_model = signature(name, model, truth, weights, limit)
    raw, ceiling = [], []
    for first, second in halves:
        of_first = signature(name, first, truth, weights, limit)
        raw.append(consistency(of_model, of_first))
        ceiling.append(consistency(of_first, signature(name, second, truth, weights, limit)))
    return np.array([raw, ceiling])


def _images_alone(values: Array) -> Array:
    """Return (3, n_bootstrap) replicates of (1 + n_bootstrap) values: the data's own, then the draws of images."""
    draws = values[1:]
    return np.stack([draws, np.full_like(draws, values[0]), draws])


def _card(name: str, description: str) -> ChoiceMetric:
    return ChoiceMetric(
        name=name,
        version=1,
        description=description,
        citation="Rajalingham et al. 2018 J. Neurosci. 38:7255; Schrimpf et al. 2018 bioRxiv 407007",
        outcome=partial(outcome, name),
        ceiled_rule=RULE,
        parameters={"n_repetitions": N_REPETITIONS, "cap": CAP},
        measure="r",
        invariant_to=("scale of every stimulus' probabilities",),
        sensitive_to=("stimulus order",),
    )


ENTRIES = (
    _card("i1", "Consistency of d' per image, averaged over distractors"),
    _card("i1n", "Consistency of d' per image, averaged over distractors, less what its object explains"),
    _card("i2", "Consistency of d' per image and distractor"),
    _card("i2n", "Consistency of d' per image and distractor, less what its object explains (Brain-Score's i2n)"),
    _card("o1", "Consistency of d' per object, averaged over distractors"),
    _card("o2", "Consistency of d' per pair of objects"),
    _card("o2n", "Consistency of d' per pair of objects, less what the two objects explain on their own"),
)
