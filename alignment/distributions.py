"""A layer's units against published distributions: how many neurons are tuned to what."""

from __future__ import annotations

import numpy as np

from alignment.contracts import DistributionMetric, MetricCard
from alignment.jobs import Run
from alignment.scores import LayerProfile, Score
from alignment.tuning import included
from alignment.units import DEFAULT_DEGREES, Units, field_of_view, measure_units
from benchmarks.contracts import BenchmarkCard, Data, Distributions
from benchmarks.physiology import FULL, Design
from model_zoo.contracts import Layer

SEED = 0


def score_distributions(
    run: Run,
    card: BenchmarkCard,
    data: tuple[Data, ...],
    metric: MetricCard,
    layer: Layer,
    *,
    layer_choice: str = "user",
    profile: LayerProfile | None = None,
    design: Design = FULL,
) -> Score:
    """Return one layer's score.

    Parameters
    ----------
    data : one Distributions.
    layer, layer_choice, profile : the layer scored, who chose it, and the candidates' scores where it was committed.
    design : which gratings are shown.

    Returns
    -------
    Score
        Its `note` says how many units were studied, what the model's input cannot show, and why a score is 0 where
        nothing could be measured.
    """
    assert isinstance(metric, DistributionMetric)
    (published,) = data
    assert isinstance(published, Distributions)
    units = measure_units(run, layer, design)
    names = [each.property for each in published.distributions]
    values = {} if units.reason else {name: included(units.table, name) for name in names}
    found = metric.outcome(values, published, run.n_bootstrap, np.random.default_rng(SEED))
    return Score.of(
        found,
        card,
        metric,
        model=run.subject.name,
        layer=layer.name,
        layer_choice=layer_choice,
        n_stimuli=design.n_stimuli,
        n_neuroids=card.n_neuroids,
        n_features=layer.n_features,
        profile=profile,
        note=_note(run, units, design),
    )


def _note(run: Run, units: Units, design: Design) -> str:
    sentences = [
        f"{units.n_centred} of {units.n_units} units have their receptive field at the gratings, {units.n_responsive} "
        "of them respond"
    ]
    if units.reason:
        sentences.insert(0, f"score 0: {units.reason}")
    if run.visual_degrees is None:
        sentences.append(f"the model's visual field is taken to span {DEFAULT_DEGREES:g} degrees")
    view = field_of_view(run)
    if view is not None and (aliased := view.aliased(design)):
        listed = ", ".join(f"{value:.1f}" for value in aliased)
        sentences.append(f"its pixels cannot carry {listed} cycles per degree (limit {view.nyquist:.1f})")
    if view is not None and (clipped := view.clipped(design)):
        sentences.append(f"gratings of radius {', '.join(f'{value:.1f}' for value in clipped)} degrees are cut off")
    return "; ".join(sentences)
