"""A model against choices: how it answers, by its own classes or by a fitted readout, and its score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from alignment import DECISIONS
from alignment.contracts import Array, ChoiceMetric, Floats, MetricCard, ModelBehaviour
from alignment.jobs import Run
from alignment.readout import cross_validated, folds, readout_probabilities
from alignment.scores import Score
from alignment.subjects import ModelSubject
from benchmarks.contracts import BenchmarkCard, Choices, Data
from benchmarks.stimuli import StimulusSet
from model_zoo.contracts import Head, Layer
from model_zoo.errors import DataIntegrity, InvalidOption, LeakageError, ResourceError
from model_zoo.machine import memory_available_bytes

_BYTES_PER_VALUE = 4 + 2 * 8  # a feature in float32, and twice in float64 while a readout is fitted
SAME_PICTURE = "base_image"  # stimulus column: stimuli made from one picture are never split between folds


@dataclass(frozen=True)
class Answers:
    """What a model answers, and how it was read.

    Attributes
    ----------
    layer, n_features : what was read: the classifier's output, or the readout's features.
    n_splits : folds of a cross-validated readout; 0 where nothing was cross-validated.
    """

    behaviour: ModelBehaviour = field(repr=False)
    layer: str
    n_features: int
    n_splits: int


def score_choices(
    run: Run, card: BenchmarkCard, data: tuple[Data, ...], metric: MetricCard, layers: Sequence[Layer] = ()
) -> Score:
    """Return the model's score.

    Parameters
    ----------
    run : Run
        `run.decision` says how the model answers: "head" by its own classes, "readout" by a fitted one, "auto" by its
        own classes where it declares them and the benchmark knows which ones count.
    card, data, metric : BenchmarkCard, its data, ChoiceMetric
    layers : sequence of Layer
        Read side by side by a readout; (): the input of the model's classifier, or its last layer.

    Raises
    ------
    InvalidOption
        If the model cannot answer in the way asked for.
    ShapeMismatch, LeakageError, ResourceError, DataIntegrity
        See `answer` and the metric.
    """
    assert isinstance(metric, ChoiceMetric)
    sets = [each for each in data if isinstance(each, Choices)]
    if len(sets) != 1:
        raise DataIntegrity(
            card.name, expected="one set of choices", got=str(len(sets)), next_step="score its parts one by one"
        )
    choices = sets[0]
    answers = answer(run, card.name, choices, layers)
    outcome = metric.outcome(answers.behaviour, choices, run.n_bootstrap, np.random.default_rng(0))
    if run.progress is not None:
        run.progress("scores", 1, 1)
    return Score.of(
        outcome,
        card,
        metric,
        model=run.subject.name,
        layer=answers.layer,
        layer_choice=answers.behaviour.decision,
        n_stimuli=len(answers.behaviour.stimulus_ids),
        n_subjects=choices.trials["subject"].nunique(),
        n_splits=answers.n_splits,
        n_features=answers.n_features,
    )


def answer(run: Run, where: str, choices: Choices, layers: Sequence[Layer] = ()) -> Answers:
    """Return what the model answers to every stimulus that observers saw.

    Parameters
    ----------
    run : Run
    where : the benchmark's name, for messages.
    choices : Choices
    layers : see `score_choices`.

    Raises
    ------
    InvalidOption
        If `run.decision` is unknown, or "head" and the model or the benchmark declares no classes.
    ShapeMismatch
        If the classifier does not have 1000 outputs.
    LeakageError
        If a stimulus to be judged is among those a readout is fitted on.
    ResourceError
        If the features of a readout would not fit into memory.
    """
    if run.decision not in DECISIONS:
        raise InvalidOption(
            "decision", expected=f"one of {', '.join(DECISIONS)}", got=repr(run.decision), next_step="correct it"
        )
    head = find_head(run)
    obstacle = _no_classes(run, choices)
    if run.decision == "head" and obstacle is not None:
        raise InvalidOption(
            f"{where}: decision 'head'",
            expected="a model with ImageNet classes and a benchmark that knows which ones count",
            got=obstacle,
            next_step="pass --decision readout",
        )
    if run.decision == "readout" or obstacle is not None:
        return _by_readout(run, where, choices, tuple(layers) or _features_layer(run, head))
    from model_zoo.heads import check_classes

    return _by_head(run, choices, check_classes(run.subject.name, head))


def find_head(run: Run) -> Head | None:
    """Return the classifier of the run's model; None for a model without one and for precomputed features."""
    if not isinstance(run.subject, ModelSubject):
        return None
    from model_zoo.heads import find_head

    model = run.subject.model
    return find_head(model.module, model.preprocessing.input_size)


def class_probabilities(logits: Floats, class_indices: Mapping[str, Sequence[int]], classes: Sequence[str]) -> Array:
    """Return the mean probability of the ImageNet classes that count as each option.

    Parameters
    ----------
    logits : (n_stimuli, 1000)
    class_indices : class -> indices of the columns that count as it.
    classes : the options, in the order of the columns of the result.

    Returns
    -------
    array of shape (n_stimuli, n_classes)
        Rows do not sum to 1. A mean, not a sum: a class of many indices has no advantage.

    References
    ----------
    Geirhos et al. (2018), Generalisation in humans and deep neural networks, NeurIPS 31.
    """
    values = np.asarray(logits, np.float64)
    exponentials = np.exp(values - values.max(axis=1, keepdims=True))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    return np.stack([probabilities[:, list(class_indices[name])].mean(axis=1) for name in classes], axis=1)


def _no_classes(run: Run, choices: Choices) -> str | None:
    """Return why the model cannot answer with its own classes, or None if it can."""
    if choices.class_indices is None:
        return "a benchmark without ImageNet classes"
    if not isinstance(run.subject, ModelSubject):
        return "precomputed features"
    if run.subject.model.classes is None:
        return f"no declared classes (weights from {run.subject.model.weights.source})"
    return None


def _features_layer(run: Run, head: Head | None) -> tuple[Layer, ...]:
    return (head.input if head is not None else run.subject.layers()[-1],)


def _by_head(run: Run, choices: Choices, head: Head) -> Answers:
    assert choices.class_indices is not None
    stimuli = _on_screen(run, _shown(choices))
    logits = run.subject.activations(stimuli, [head.output], run.resources, run.progress)[head.output.name]
    decision = f"classifier: {logits.shape[1]}-to-{len(choices.classes)} mapping"
    probabilities = class_probabilities(logits, choices.class_indices, choices.classes)
    behaviour = ModelBehaviour(stimuli.ids, choices.classes, probabilities, decision)
    return Answers(behaviour, head.output.name, head.output.n_features, 0)


def _by_readout(run: Run, where: str, choices: Choices, layers: Sequence[Layer]) -> Answers:
    stimuli = _shown(choices)
    truth, features = _truth(where, stimuli), _features(run, stimuli, layers)
    n_splits = 0
    if choices.fitting is None:
        fold = folds(truth, _pictures(stimuli))
        n_splits = int(fold.max()) + 1

        def progress(done: int, total: int) -> None:
            if run.progress is not None:
                run.progress("readout", done, total)

        probabilities = cross_validated(features, truth, fold, choices.classes, progress)
        decision = f"readout fitted on the benchmark's own stimuli, {n_splits}-fold cross-validated"
    else:
        fitting = choices.fitting()
        _check_unseen(where, stimuli, fitting)
        fitting_truth = _truth(f"{where}: fitting stimuli", fitting)
        fitting_features = _features(run, fitting, layers)
        probabilities = readout_probabilities(fitting_features, fitting_truth, features, choices.classes)
        decision = f"readout fitted on {len(fitting)} other stimuli"
    behaviour = ModelBehaviour(stimuli.ids, choices.classes, probabilities, decision)
    return Answers(behaviour, ", ".join(layer.name for layer in layers), features.shape[1], n_splits)


def _shown(choices: Choices) -> StimulusSet:
    """Return the stimuli that observers saw, in the order of the set."""
    stimuli = choices.stimuli()
    seen = {str(stimulus_id) for stimulus_id in choices.trials["stimulus_id"]}
    missing = sorted(seen - set(stimuli.ids))
    if missing:
        raise DataIntegrity(
            f"stimulus {missing[0]!r}", expected="an image for every trial", got="none", next_step="check the benchmark"
        )
    return stimuli.subset([each for each in stimuli.ids if each in seen])


def _on_screen(run: Run, stimuli: StimulusSet) -> StimulusSet:
    return stimuli if run.visual_degrees is None else stimuli.place_on_screen(run.visual_degrees)


def _features(run: Run, stimuli: StimulusSet, layers: Sequence[Layer]) -> Floats:
    """Return the layers' features side by side, (n_stimuli, n_features)."""
    names = ", ".join(layer.name for layer in layers)
    needed = _BYTES_PER_VALUE * len(stimuli) * sum(layer.n_features for layer in layers)
    available = min(run.resources.memory or needed, memory_available_bytes())
    if needed > available:
        raise ResourceError(
            f"readout of {names}",
            expected=f"features of {len(stimuli)} stimuli that fit into {available / 1e9:.1f} GB",
            got=f"{needed / 1e9:.1f} GB",
            next_step="name a narrower layer with --layers, or one instead of several",
        )
    found = run.subject.activations(_on_screen(run, stimuli), layers, run.resources, run.progress)
    return np.concatenate([found[layer.name] for layer in layers], axis=1)


def _truth(where: str, stimuli: StimulusSet) -> list[str]:
    if "truth" not in stimuli.table.columns:
        raise DataIntegrity(
            where, expected="a stimulus column 'truth' to fit a readout on", got="none", next_step="add the column"
        )
    return [str(each) for each in stimuli.table["truth"]]


def _pictures(stimuli: StimulusSet) -> Sequence[str]:
    """Return what every stimulus was made from, so that versions of one picture are never split between folds."""
    return [str(each) for each in stimuli.table[SAME_PICTURE]] if SAME_PICTURE in stimuli.table.columns else stimuli.ids


def _check_unseen(where: str, stimuli: StimulusSet, fitting: StimulusSet) -> None:
    shared = sorted(set(stimuli.ids) & set(fitting.ids))
    if shared:
        raise LeakageError(
            f"{where}: fitting stimuli",
            expected="stimuli that are not judged",
            got=f"{len(shared)} that are, the first {shared[0]!r}",
            next_step="mend the benchmark's fitting set",
        )
