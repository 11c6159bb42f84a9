"""How model and brain are compared: what every metric declares. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from benchmarks.contracts import BenchmarkCard, Choices, Distributions, Kind

if TYPE_CHECKING:
    from alignment.gram import Gram
    from alignment.reduction import Reduction
    from alignment.scores import Outcome
    from benchmarks.splits import Split

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating[Any]]
Indices = npt.NDArray[np.intp]
Fit = tuple[Indices, Indices, Array]  # training rows, test rows, training responses (n_train, n_neuroids)
Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class MetricCard:
    """What every metric declares; its subclass says what kind of data it compares a model with.

    Attributes
    ----------
    name : unique identifier, e.g. "pls".
    parameters : every option that shapes the number, for the provenance record.
    measure : what the raw score is, as a table shows it: "r", "kappa", "Spearman rho".
    value_range : (lowest, highest) the raw score can take.
    higher_is_better : direction.
    ceiled_rule : how the raw score is put relative to a ceiling, one of `benchmarks.ceilings.CEILED_RULES`; None: it
        has no ceiling. For what a regression predicts, the rule of the benchmark's card goes before.
    invariant_to, sensitive_to : names of transformations of the model's side audited by tests/contracts.
    """

    name: str
    version: int
    description: str
    citation: str
    parameters: Mapping[str, Any]
    measure: str = "r"
    value_range: tuple[float, float] = (-1.0, 1.0)
    higher_is_better: bool = True
    ceiled_rule: str | None = "raw/ceiling"
    invariant_to: tuple[str, ...] = ()
    sensitive_to: tuple[str, ...] = ()

    @property
    def kind(self) -> Kind:
        """The kind of benchmark it is made for."""
        raise NotImplementedError

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """All kinds of benchmark it can score."""
        return (self.kind,)

    def fits(self, card: BenchmarkCard) -> bool:
        """Return whether it can score a benchmark."""
        return card.kind in self.kinds


@dataclass(frozen=True, kw_only=True)
class RecordingMetric(MetricCard):
    """Compares layers with recordings by predictions, judged per neuroid by Pearson's r over test stimuli."""

    ceiled_rule: str | None = "r^2/ceiling"

    @property
    def kind(self) -> Kind:
        """Recordings."""
        return "recording"


@dataclass(frozen=True, kw_only=True)
class RegressionMetric(RecordingMetric):
    """Maps a layer to neuroids on training stimuli and predicts the test stimuli.

    Attributes
    ----------
    predict : ``predict(gram, train, test, train_responses) -> (n_test, n_neuroids)`` in the unit of the responses,
        float64. `gram` is an `alignment.gram.Gram`, `train` and `test` its row numbers; test responses are never
        passed.
    reference : slow, independent form of `predict` on features, used by the contract tests:
        ``reference(train_features, train_responses, test_features) -> predictions``.
    predict_together : ``predict_together(gram, fits)``: what `predict` gives for each of several (train, test,
        train_responses); of metrics that gain by it. None: every split is fitted on its own.
    """

    predict: Callable[[Gram, Indices, Indices, Array], Array]
    reference: Callable[[Array, Array, Array], Array]
    predict_together: Callable[[Gram, Sequence[Fit]], list[Array]] | None = None


@dataclass(frozen=True, kw_only=True)
class BandedMetric(RecordingMetric):
    """Maps several layers together to neuroids, each with a penalty of its own: one score for all of them.

    Attributes
    ----------
    predict : ``predict(grams, train, test, train_responses) -> (n_layers, n_test, n_neuroids)``: what every layer
        contributes to the prediction of the responses about their training mean; the prediction is the sum over layers
        (and the mean, which no correlation notices).
    reference : slow, independent form on features:
        ``reference(train_features, train_responses, test_features) -> (n_layers, n_test, n_neuroids)`` with a sequence
        of feature arrays, one per layer.
    """

    predict: Callable[[Sequence[Gram], Indices, Indices, Array], Array]
    reference: Callable[[Sequence[Array], Array, Sequence[Array]], Array]


@dataclass(frozen=True, kw_only=True)
class StreamedMetric(RecordingMetric):
    """Needs the features themselves; they pass by once, in blocks of columns, and are not kept.

    Attributes
    ----------
    begin : ``begin(responses, splits) -> Reduction`` with responses (n_stimuli, n_neuroids), NaN where not recorded.
        The blocks' rows are the same stimuli. Its `finish` gives "predicted" (n_splits, n_test, n_units) and, where
        what is predicted are not the responses, "recorded" (n_stimuli, n_units) and "units" (n_units,) feature numbers.
    reference : slow, independent form: ``reference(features, responses, splits)`` gives the same arrays.
    predicts : what the units of the score are.
    """

    begin: Callable[[Array, Sequence[Split]], Reduction]
    reference: Callable[[Array, Array, Sequence[Split]], Mapping[str, Array]]
    predicts: Literal["neuroid", "feature"] = "neuroid"


@dataclass(frozen=True)
class Similarity:
    """How similar a layer is to a population, and what each stimulus and each neuroid contributes.

    Attributes
    ----------
    value : the raw score.
    by_stimulus : (n_stimuli,) influence: were stimulus i drawn w_i times, the score would be, to first order,
        value + sum_i (w_i - 1) by_stimulus_i / n_stimuli. Sums to about 0.
    by_neuroid : (n_groups,) the same for groups of neuroids of equal size; each neuroid is its own group where there
        are few enough.
    """

    value: float
    by_stimulus: Array = field(repr=False)
    by_neuroid: Array = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class SimilarityMetric(MetricCard):
    """Compares a layer with a whole population of neuroids, without a fit.

    Attributes
    ----------
    prepare : ``prepare(responses) -> brain`` with finite responses (n_stimuli, n_neuroids): whatever `compare` needs of
        them, made once for all layers.
    compare : ``compare(gram, rows, brain) -> Similarity``; `rows` are the stimuli's row numbers in `gram`, in the
        order of the responses.
    reference : slow, independent form of the value: ``reference(features, responses) -> float``.
    reliability : ``reliability(first, second, whole) -> Similarity``, all (n_stimuli, n_neuroids): from means of halves
        of the repeats and of all, what the ceiling of the averaged responses is. None: the similarity between halves,
        corrected by Spearman-Brown.
    """

    prepare: Callable[[Array], Any]
    compare: Callable[[Gram, Indices, Any], Similarity]
    reference: Callable[[Array, Array], float]
    reliability: Callable[[Array, Array, Array], Similarity] | None = None

    @property
    def kind(self) -> Kind:
        """Recordings."""
        return "recording"


@dataclass(frozen=True)
class Expansion:
    """A comparison of RDMs with its first derivatives, so that it can score recordings; see `alignment.rdm_influence`.

    Attributes
    ----------
    prepare : ``prepare(rdm, without) -> brain`` with a recording's condensed RDM (n_pairs,), and the same without each
        group of neuroids, of which only one need be in memory.
    compare : ``compare(model, brain) -> (value, by_stimulus, without)``: the similarity with a layer's RDM (n_pairs,);
        the influence (n_stimuli,) of stimuli as in `Similarity`; and the similarity without each group, (n_groups,).
    most_groups : groups of neuroids at most.
    """

    prepare: Callable[[Array, Iterable[Array]], Any]
    compare: Callable[[Array, Any], tuple[float, Array, Array]]
    most_groups: int = 50


@dataclass(frozen=True, kw_only=True)
class GeometryMetric(MetricCard):
    """Compares a layer's representational dissimilarities with those of subjects.

    Attributes
    ----------
    dissimilarity : of the model's features, and of recorded responses: "correlation" (1 - Pearson's r), "euclidean"
        (squared, per feature) or "cosine".
    compare : ``compare(model, subjects) -> (n_subjects,)`` with `model` (n_pairs,) and `subjects` (n_subjects, n_pairs)
        condensed RDMs, float64.
    pool : ``pool(subjects) -> (n_pairs,)``, the RDM that agrees best with all subjects under `compare`; noise ceilings
        compare every subject with the pool of all (upper bound) and of the others (lower bound).
    compare_draws : ``compare_draws(models, subjects, counts) -> (n_models, n_draws, n_subjects)``: `compare` of models
        (n_models, n_pairs) for draws of stimuli with replacement, `counts` (n_draws, n_stimuli) saying how often each
        was drawn; a stimulus makes no pair with copies of itself. Counts of one give `compare`.
    reference : slow, independent form of `compare`, used by the contract tests.
    most_draws : bootstrap draws at most, where one is slow; None: as many as asked for.
    expansion : how recordings are scored; None: it scores geometries alone.
    recording_rule : how a score on recordings is put relative to the reliability of their RDM; None: it has no ceiling.
    """

    dissimilarity: Literal["correlation", "euclidean", "cosine"]
    compare: Callable[[Array, Array], Array]
    pool: Callable[[Array], Array]
    compare_draws: Callable[[Array, Array, Array], Array]
    reference: Callable[[Array, Array], Array]
    most_draws: int | None = None
    expansion: Expansion | None = None
    recording_rule: str | None = None

    @property
    def kind(self) -> Kind:
        """Geometries."""
        return "geometry"

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Geometries, and recordings, whose dissimilarities are computed from the responses."""
        return ("geometry",) if self.expansion is None else ("geometry", "recording")


@dataclass(frozen=True)
class ModelBehaviour:
    """What a model answers to every stimulus.

    Attributes
    ----------
    stimulus_ids : n_stimuli ids.
    classes : n_classes options.
    probabilities : (n_stimuli, n_classes), not negative; rows need not sum to 1 (means over ImageNet classes do not).
    decision : how they came about, in words for the record.
    """

    stimulus_ids: tuple[str, ...]
    classes: tuple[str, ...]
    probabilities: Array = field(repr=False)
    decision: str


@dataclass(frozen=True, kw_only=True)
class ChoiceMetric(MetricCard):
    """Compares a model's choices with those of observers.

    Attributes
    ----------
    outcome : ``outcome(behaviour, choices, n_bootstrap, rng) -> Outcome``; units are subjects.
    """

    outcome: Callable[[ModelBehaviour, Choices, int, np.random.Generator], Outcome]

    @property
    def kind(self) -> Kind:
        """Choices."""
        return "choices"


@dataclass(frozen=True, kw_only=True)
class DistributionMetric(MetricCard):
    """Compares the distribution of a property over a model's units with that over neurons.

    Attributes
    ----------
    outcome : ``outcome(values, distributions, n_bootstrap, rng) -> Outcome`` with `values` holding, by property, one
        number per unit (NaN = undefined); units of the outcome are properties.
    """

    outcome: Callable[[Mapping[str, Array], Distributions, int, np.random.Generator], Outcome]

    @property
    def kind(self) -> Kind:
        """Distributions."""
        return "distributions"


@dataclass(frozen=True, kw_only=True)
class OfficialMetric(MetricCard):
    """Whatever the class of a Brain-Score benchmark computes."""

    @property
    def kind(self) -> Kind:
        """Official benchmarks."""
        return "official"
