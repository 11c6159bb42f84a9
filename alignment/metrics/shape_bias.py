"""Shape bias: where shape and texture of an image disagree, how often a decision follows the shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from alignment.contracts import Array, ChoiceMetric, Interval, ModelBehaviour
from alignment.scores import Outcome
from benchmarks.contracts import Choices
from model_zoo.errors import InvalidOption

if TYPE_CHECKING:
    import pandas as pd

    from alignment.agreement import Condition, Flags, Names

LEVEL = 0.95


def outcome(behaviour: ModelBehaviour, choices: Choices, n_bootstrap: int, rng: np.random.Generator) -> Outcome:
    """Return N_s / (N_s + N_t): decisions for the shape among those for the shape or the texture.

    Only images whose texture is of another class than their shape count. `raw_interval` is Wilson's for independent
    images; errors and the interval of the ceiled score draw all images of a pair of shape and texture together. The
    ceiling is the mean shape bias of the subjects. `details` holds the share of images decided for either cue, of the
    model (`cue_match_rate`) and of humans, and the shape bias of all humans' decisions pooled.

    Raises
    ------
    InvalidOption
        If the stimuli have no textures, or none that disagrees with the shape.

    References
    ----------
    Geirhos et al. (2019), ImageNet-trained CNNs are biased towards texture, ICLR.
    """
    from alignment.agreement import join, weighted_mean
    from alignment.resampling import Measure, outcome_of

    table, answers = join(behaviour, choices)
    textures = _textures(choices, [condition.stimulus_ids for condition in table.conditions])
    ours = [_cues(*each) for each in zip(table.conditions, textures, answers, strict=True)]
    theirs = [_cues(c, texture, c.choices) for c, texture in zip(table.conditions, textures, strict=True)]

    def shares(cues: Sequence[tuple[Flags, Flags]], weights: Sequence[Array]) -> Array:
        each = zip(cues, weights, strict=True)
        return np.stack([weighted_mean(shape, shape | texture, w) for (shape, texture), w in each], axis=-1)

    conflicts = [
        (c.truth != texture) & c.shown for c, texture in zip(table.conditions, textures, strict=True)
    ]  # (n_subjects, n_stimuli) each
    n_shape, n_texture = (sum(int(cue[which].any(axis=0).sum()) for cue in ours) for which in (0, 1))
    human_shape, human_texture = (sum(int(cue[which].sum()) for cue in theirs) for which in (0, 1))
    n_conflicts = sum(int(each.any(axis=0).sum()) for each in conflicts)
    details = {
        "cue_match_rate": (n_shape + n_texture) / n_conflicts,
        "human_cue_match_rate": (human_shape + human_texture) / sum(int(each.sum()) for each in conflicts),
        "human_shape_bias_pooled": human_shape / max(human_shape + human_texture, 1),
        "n_conflicts": float(n_conflicts),
    }
    measure = Measure(
        lambda weights: shares(ours, weights),
        lambda weights: shares(theirs, weights),
        between_pairs=False,
        clusters=[_clusters(c.truth, texture) for c, texture in zip(table.conditions, textures, strict=True)],
    )
    found = outcome_of(table, measure, n_bootstrap, rng, details)
    return replace(found, raw_interval=_wilson(n_shape, n_shape + n_texture))


def _textures(choices: Choices, stimulus_ids: Sequence[Sequence[str]]) -> list[Names]:
    """Return the class of every stimulus' texture, (n_stimuli,) per condition."""
    trials = choices.trials
    known = trials if "texture" in trials.columns else choices.stimuli().table.reset_index()
    texture_of = _column(known, "texture") if "texture" in known.columns else {}
    truths = _column(trials, "truth")
    if not any(texture_of.get(each, truth) != truth for each, truth in truths.items()):
        raise InvalidOption(
            "metric shape_bias",
            expected="a benchmark whose images have the shape of one class and the texture of another",
            got="textures that agree with the shape" if texture_of else "stimuli without a texture",
            next_step="score Geirhos2021.cue-conflict with it, or choose another metric",
        )
    return [np.array([texture_of[each] for each in ids], np.str_) for ids in stimulus_ids]


def _column(table: pd.DataFrame, name: str) -> dict[str, str]:
    return {str(each): str(value) for each, value in zip(table["stimulus_id"], table[name], strict=True)}


def _cues(condition: Condition, texture: Names, decided: Names) -> tuple[Flags, Flags]:
    """Return whether decisions follow shape, and texture, where both disagree: (n_subjects, n_stimuli) each."""
    among = (condition.truth != texture) & condition.shown
    return among & (decided == condition.truth), among & (decided == texture)


def _clusters(shape: Names, texture: Names) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Return the number of every stimulus' pair of shape and texture, (n_stimuli,)."""
    pairs = [f"{one}|{other}" for one, other in zip(shape, texture, strict=True)]
    return np.unique(pairs, return_inverse=True)[1].reshape(-1)


def _wilson(n_hits: int, n: int) -> Interval:
    """Return Wilson's interval of a proportion; NaN without trials."""
    from scipy.stats import binomtest

    if n == 0:
        return float("nan"), float("nan")
    interval = binomtest(n_hits, n).proportion_ci(LEVEL, method="wilson")
    return float(interval.low), float(interval.high)


ENTRIES = (
    ChoiceMetric(
        name="shape_bias",
        version=1,
        description="share of decisions for the shape where shape and texture disagree",
        citation="Geirhos et al. 2019 ICLR; Wilson 1927 JASA 22:209",
        outcome=outcome,
        parameters={"interval": "Wilson", "clusters": "shape and texture", "ceiling": "mean of subjects"},
        measure="shape bias",
        value_range=(0.0, 1.0),
        invariant_to=("order of stimuli", "order of trials", "order of classes", "monotone change of probabilities"),
        sensitive_to=("answers to other stimuli",),
    ),
)
