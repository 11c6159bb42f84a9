"""Error consistency: whether a model is right and wrong on the same images as humans (Cohen's kappa)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from alignment.contracts import Array, ChoiceMetric, ModelBehaviour
from alignment.scores import Outcome
from benchmarks.contracts import Choices


def outcome(behaviour: ModelBehaviour, choices: Choices, n_bootstrap: int, rng: np.random.Generator) -> Outcome:
    """Return kappa of model and humans, and of humans among themselves as its ceiling.

    Kappa of correctness per subject and condition; the mean over conditions, then over subjects, signed; undefined
    cells (both always right or wrong) are left out and counted. The ceiling is the same mean over pairs of subjects.
    `details` holds both accuracies and the kappa that they allow at least and at most.

    Notes
    -----
    Brain-Score takes the absolute value of both means and clips the ceiled score to [0, 1].
    """
    from alignment.agreement import attainable_kappa, join, pair_kappas, weighted_kappa, weighted_mean
    from alignment.resampling import Measure, mean_of_cells, outcome_of

    table, answers = join(behaviour, choices)
    right = [
        np.broadcast_to(answer == condition.truth, condition.correct.shape)
        for answer, condition in zip(answers, table.conditions, strict=True)
    ]
    rows = list(zip(table.conditions, right, strict=True))

    def model(weights: Sequence[Array]) -> Array:
        each = zip(rows, weights, strict=True)
        return np.stack([weighted_kappa(r, c.correct, c.shown, w) for (c, r), w in each], axis=-1)

    def humans(weights: Sequence[Array]) -> Array:
        each = zip(table.conditions, weights, strict=True)
        return np.stack([pair_kappas(c, table.pairs, w) for c, w in each], axis=-1)

    once = [np.ones((1, len(condition.truth))) for condition in table.conditions]
    of_model = np.stack([weighted_mean(r, c.shown, w) for (c, r), w in zip(rows, once, strict=True)], axis=-1)
    of_humans = np.stack([weighted_mean(c.correct, c.shown, w) for (c, _), w in zip(rows, once, strict=True)], axis=-1)
    low, high = attainable_kappa(of_model, of_humans)
    cells = {"accuracy": of_model, "human_accuracy": of_humans, "attainable_low": low, "attainable_high": high}
    details = {name: float(mean_of_cells(values)[0]) for name, values in cells.items()}
    return outcome_of(table, Measure(model, humans, between_pairs=True), n_bootstrap, rng, details)


ENTRIES = (
    ChoiceMetric(
        name="error_consistency",
        version=1,
        description="Cohen's kappa of being right and wrong on the same images as humans, signed",
        citation="Geirhos, Meding and Wichmann 2020 NeurIPS 33:13890; Geirhos et al. 2021 NeurIPS 34",
        outcome=outcome,
        parameters={"aggregate": "mean over conditions, then subjects", "ceiling": "all pairs of subjects"},
        measure="kappa",
        value_range=(-1.0, 1.0),
        invariant_to=("order of stimuli", "order of trials", "order of classes", "monotone change of probabilities"),
        sensitive_to=("answers to other stimuli",),
    ),
)
