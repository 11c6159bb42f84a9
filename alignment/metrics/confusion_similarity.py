"""Confusion similarity: whether a model takes classes for each other as often as humans do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from alignment.contracts import Array, ChoiceMetric, ModelBehaviour
from alignment.scores import Outcome
from benchmarks.contracts import Choices

if TYPE_CHECKING:
    from alignment.agreement import Names


def outcome(behaviour: ModelBehaviour, choices: Choices, n_bootstrap: int, rng: np.random.Generator) -> Outcome:
    """Return Pearson's r of the model's confusions with those of every subject, and of every two subjects as ceiling.

    A confusion is the share of the stimuli of one class, over all conditions, that were taken for another class; the
    correct answers are left out, so that r does not reward accuracy. r runs over all n_classes (n_classes - 1)
    confusions. It is undefined for an observer who makes no mistake.

    Notes
    -----
    A subject's confusions come from few trials per class and are noisy. That lowers r of the model with a subject, and
    r of two subjects still more, so a model that makes the errors all subjects share can exceed the ceiling.

    References
    ----------
    Rajalingham et al. (2018), Journal of Neuroscience 38:7255, compare one-versus-other object confusions likewise.
    """
    from alignment.agreement import join
    from alignment.resampling import Measure, outcome_of

    table, answers = join(behaviour, choices)
    classes = choices.classes
    cell_of = {(t, c): n for n, (t, c) in enumerate((t, c) for t in classes for c in classes if t != c)}
    rows = range(len(table.subjects))

    def confusions(row: int, decided: Sequence[Names], weights: Sequence[Array]) -> Array:
        """Return standardised confusions (n_cells, n_draws) over the stimuli that subject `row` saw."""
        shown = [condition.shown[row] for condition in table.conditions]
        truth = np.concatenate([c.truth[seen] for c, seen in zip(table.conditions, shown, strict=True)])
        chosen = np.concatenate([each[seen] for each, seen in zip(decided, shown, strict=True)])
        w = np.concatenate([each[:, seen] for each, seen in zip(weights, shown, strict=True)], axis=1)
        return _standardised(_shares(truth, chosen, w, classes, cell_of))

    def of_subject(row: int, weights: Sequence[Array]) -> Array:
        return confusions(row, [condition.choices[row] for condition in table.conditions], weights)

    def model(weights: Sequence[Array]) -> Array:
        r = [(confusions(row, answers, weights) * of_subject(row, weights)).sum(axis=0) for row in rows]
        return np.transpose(r)[:, :, np.newaxis]  # (n_draws, n_subjects, 1)

    def humans(weights: Sequence[Array]) -> Array:
        each = [of_subject(row, weights) for row in rows]
        r = [(each[i] * each[j]).sum(axis=0) for i, j in table.pairs]
        return np.transpose(r)[:, :, np.newaxis]  # (n_draws, n_pairs, 1)

    return outcome_of(table, Measure(model, humans, between_pairs=True), n_bootstrap, rng, {})


def _shares(
    truth: Names, chosen: Names, weights: Array, classes: Sequence[str], cell_of: dict[tuple[str, str], int]
) -> Array:
    """Return how often each class was taken for each other, (n_cells, n_draws); 0 where a class was not drawn."""
    from scipy.sparse import csr_array

    stimuli = np.arange(len(truth))
    cells = np.array([cell_of.get((t, c), -1) for t, c in zip(truth, chosen, strict=True)])
    wrong = cells >= 0
    taken = csr_array((np.ones(wrong.sum()), (cells[wrong], stimuli[wrong])), shape=(len(cell_of), len(truth)))
    number = {name: n for n, name in enumerate(classes)}
    owner = np.array([number[t] for t in truth])
    shown: Array = csr_array((np.ones(len(truth)), (owner, stimuli)), shape=(len(classes), len(truth))) @ weights.T
    wrongly: Array = taken @ weights.T
    presentations: Array = np.repeat(np.maximum(shown, 1e-300), len(classes) - 1, axis=0)
    return wrongly / presentations


def _standardised(values: Array) -> Array:
    """Return columns with mean 0 and length 1, so that their products add up to Pearson's r; NaN if constant."""
    centred = values - values.mean(axis=0)
    length = np.linalg.norm(centred, axis=0)
    return np.asarray(centred / np.where(length > 1e-12, length, np.nan))


ENTRIES = (
    ChoiceMetric(
        name="confusion_similarity",
        version=1,
        description="Pearson's r of how often each class is taken for each other, model and humans",
        citation="Rajalingham et al. 2018 J Neurosci 38:7255",
        outcome=outcome,
        parameters={"cells": "off the diagonal", "conditions": "pooled", "ceiling": "all pairs of subjects"},
        measure="r",
        value_range=(-1.0, 1.0),
        invariant_to=("order of stimuli", "order of trials", "order of classes", "monotone change of probabilities"),
        sensitive_to=("answers to other stimuli",),
    ),
)
