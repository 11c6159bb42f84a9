"""Accuracy of a model on the images humans saw, relative to theirs, and how far both accuracies are apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from alignment.contracts import Array, ChoiceMetric, ModelBehaviour
from alignment.scores import Outcome
from benchmarks.contracts import Choices

if TYPE_CHECKING:
    from alignment.agreement import Table


def accuracy(behaviour: ModelBehaviour, choices: Choices, n_bootstrap: int, rng: np.random.Generator) -> Outcome:
    """Return the model's share of correct answers: mean over conditions, then over the subjects whose images it saw.

    The ceiling is the same mean of the subjects' own accuracies, so a model can exceed it. Chance, in `details`, is one
    over the number of classes and is not subtracted.
    """
    from alignment.resampling import Measure, outcome_of

    table, model, humans = _accuracies(behaviour, choices)
    details = {"chance": 1.0 / len(choices.classes)}
    return outcome_of(table, Measure(model, humans, between_pairs=False), n_bootstrap, rng, details)


def accuracy_difference(
    behaviour: ModelBehaviour, choices: Choices, n_bootstrap: int, rng: np.random.Generator
) -> Outcome:
    """Return the squared difference of the model's and a human's accuracy: mean over conditions, then subjects.

    Lower is better and there is no ceiling; `details` says how far humans are from each other (`between_humans`, the
    same mean over pairs of subjects) and holds both mean accuracies.

    Notes
    -----
    As in model-vs-human. Both accuracies are estimated from n trials each, which alone adds about
    a_m (1 - a_m) / n + a_h (1 - a_h) / n to every squared difference, less where both are right on the same images.
    """
    from alignment.resampling import Measure, mean_of_cells, outcome_of

    table, model, humans = _accuracies(behaviour, choices)

    def squared(weights: Sequence[Array]) -> Array:
        difference: Array = model(weights) - humans(weights)
        return difference**2

    once = [np.ones((1, len(condition.truth))) for condition in table.conditions]
    ours, theirs = model(once), humans(once)
    first, second = np.array(table.pairs, dtype=np.intp).reshape(-1, 2).T
    details = {
        "accuracy": float(mean_of_cells(ours)[0]),
        "human_accuracy": float(mean_of_cells(theirs)[0]),
        "between_humans": float(mean_of_cells(np.square(theirs[:, first] - theirs[:, second]))[0]),
    }
    return outcome_of(table, Measure(squared, None, between_pairs=False), n_bootstrap, rng, details)


def _accuracies(
    behaviour: ModelBehaviour, choices: Choices
) -> tuple[Table, Callable[[Sequence[Array]], Array], Callable[[Sequence[Array]], Array]]:
    """Return the trials, and the accuracies (n_draws, n_subjects, n_conditions) of the model and of the subjects."""
    from alignment.agreement import join, weighted_mean

    table, answers = join(behaviour, choices)

    def model(weights: Sequence[Array]) -> Array:
        each = zip(answers, table.conditions, weights, strict=True)
        return np.stack([weighted_mean((answer == c.truth)[None], c.shown, w) for answer, c, w in each], axis=-1)

    def humans(weights: Sequence[Array]) -> Array:
        each = zip(table.conditions, weights, strict=True)
        return np.stack([weighted_mean(c.correct, c.shown, w) for c, w in each], axis=-1)

    return table, model, humans


_AUDITED = ("order of stimuli", "order of trials", "order of classes", "monotone change of probabilities")

ENTRIES = (
    ChoiceMetric(
        name="accuracy",
        version=1,
        description="share of correct answers, relative to humans' on the same images",
        citation="Geirhos et al. 2021 NeurIPS 34",
        outcome=accuracy,
        parameters={"aggregate": "mean over conditions, then subjects", "ceiling": "mean accuracy of subjects"},
        measure="accuracy",
        value_range=(0.0, 1.0),
        invariant_to=_AUDITED,
        sensitive_to=("answers to other stimuli",),
    ),
    ChoiceMetric(
        name="accuracy_difference",
        version=1,
        description="squared difference of model's and humans' accuracy; lower is better",
        citation="Geirhos et al. 2021 NeurIPS 34",
        outcome=accuracy_difference,
        ceiled_rule=None,
        parameters={"aggregate": "mean over conditions, then subjects", "difference": "squared"},
        measure="squared difference",
        value_range=(0.0, 1.0),
        higher_is_better=False,
        invariant_to=_AUDITED,
        sensitive_to=("answers to other stimuli",),
    ),
)
