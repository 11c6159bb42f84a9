"""What figures of scaling laws draw, whichever library draws them: panels of laws, their points, curves and bands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from results.report.figures import COLOURS
from results.scaling.allocation import Cost, optimum
from results.scaling.contracts import Array, Law
from results.scaling.draws import fitted_log
from results.scaling.forms import get_form
from results.scaling.prediction import expected_scores

LEVEL = 0.95
_BEYOND = 10.0  # curves are drawn to ten times the largest resource seen
_GRID = 120
# Okabe and Ito's palette, distinguishable with any kind of colour vision.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#AA4499", "#E69F00", "#56B4E9", "#56606B")
NEUTRAL = "#56606B"
# What has a name has one colour in every figure.
NAMED: Mapping[str, str] = {
    **COLOURS,
    "ResNet": "#0072B2", "EfficientNet": "#D55E00", "ConvNeXt": "#009E73", "ViT": "#AA4499", "AlexNet": "#E69F00",
    "CORnet-S": "#56B4E9", "self-supervised": "#882255", "SimCLR": "#882255", "neural": "#5A4FCF",
    "strong prior (convolutional)": "#8A5A00", "weak prior (ConvNeXt, ViT)": "#CC6677", "ImageNet": "#44AA99",
    "Ecoset": "#999933", "ImageNet21k-P": "#77BBDD", "iNaturalist": "#661100", "WebVision-P": "#B08040",
    "Places365": "#4466AA", "adversarial": "#EE6677", "untrained": "#B0B7BF", "trained on labels": NEUTRAL,
    "all families": NEUTRAL, "pretrained": NEUTRAL, "infiMNIST": NEUTRAL, "models": NEUTRAL, "all models": NEUTRAL,
    "frontier": "#1f2933", "may be the best": "#D55E00",
}  # fmt: skip
_ROOM = 0.35  # of the span of points and curves, by which a panel is widened on either side for its bands
AXES = {
    "total_flops": "training compute (FLOPs)",
    "n_params": "parameters",
    "n_samples_seen": "samples seen in training",
}


@dataclass(frozen=True)
class Series:
    """One law in a panel.

    Attributes
    ----------
    law : fitted, with its points.
    label : for the legend.
    colour : "#rrggbb", or "" for that of the label; see `colour_of`.
    published : the log parameters that were published for the same fit, drawn as a dashed line; None where unknown.
    compute, cost : of a law of parameters and samples, which is drawn along compute: the training FLOPs of its points,
        and what training costs; the curve takes the best division of every budget. None for laws of one resource.
    """

    law: Law
    label: str
    colour: str = ""
    published: Mapping[str, float] | None = field(default=None, repr=False)
    compute: Array | None = field(default=None, repr=False)
    cost: Cost | None = None


@dataclass(frozen=True)
class Panel:
    """Laws on one pair of axes."""

    title: str
    series: tuple[Series, ...]


@dataclass(frozen=True)
class Curve:
    """A law along one resource.

    Attributes
    ----------
    x : (n,) the resource in its own unit, rising, from the smallest seen to beyond the largest.
    score : (n,) 1 - misalignment.
    low, high : (n,) pointwise interval over bootstrap draws; NaN without a bootstrap.
    published : (n,) the curve of the published parameters; None where unknown.
    largest : the largest resource seen: what is beyond is extrapolated.
    """

    x: Array
    score: Array
    low: Array
    high: Array
    published: Array | None
    largest: float


def axis_title(series: Series) -> str:
    """Return what the horizontal axis of a law's figure shows."""
    name = series.law.fit.variables[0] if series.compute is None else "total_flops"
    return AXES.get(name, name.replace("_", " "))


def score_axis(unit: str) -> str:
    """Return what the vertical axis shows, short, from the unit of the scores in words."""
    known = {"(r / ceiling)^2": "(r / ceiling)²", "r / ceiling": "r / ceiling", "r^2 / ceiling": "r² / ceiling"}
    behaviour = "; behaviour: i2n" if "behaviour" in unit else ""
    return next((f"score, {short}{behaviour}" for words, short in known.items() if unit.startswith(words)), "score")


def colour_of(label: str, number: int = 0) -> str:
    """Return the colour of what has a name, or else that of a place in the palette."""
    return NAMED.get(label, PALETTE[number % len(PALETTE)])


def seen(series: Series) -> tuple[Array, Array]:
    """Return the points as (resource in its own unit, score), (n_points,) each."""
    points = series.law.points
    return points.x[:, 0] * points.scales[0] if series.compute is None else series.compute, 1.0 - points.misalignment


def curve_of(series: Series, level: float = LEVEL) -> Curve:
    """Return the curve of a law, with its band and what was published."""
    law, form = series.law, get_form(series.law.fit.form)
    x, _ = seen(series)
    grid = np.geomspace(x.min(), _BEYOND * x.max(), _GRID)

    def resources(log: Array) -> Array:
        if series.cost is None:
            return grid[:, None]
        return np.stack(optimum(log, grid, series.cost, law.points.scales), axis=1)

    published = None
    if series.published is not None:
        log = np.array([series.published[name] for name in form.parameters])
        published = 1.0 - np.exp(form.log_misalignment(log, resources(log) / np.asarray(law.points.scales))[0])
    scores = expected_scores(law, resources(fitted_log(law)), level=level)
    return Curve(grid, *scores, published, float(x.max()))


def span_of(panel: Panel) -> tuple[float, float]:
    """Return the scores that a panel shows: all points and curves, and bands as far as they leave these readable."""
    curves = [curve_of(each) for each in panel.series]
    values = np.concatenate([*(seen(each)[1] for each in panel.series), *(curve.score for curve in curves)])
    bands = np.concatenate([values, *(part for curve in curves for part in (curve.low, curve.high))])
    span, low, high = float(np.ptp(values)), float(values.min()), float(values.max())
    low, high = (
        max(float(np.nanmin(bands)), low - _ROOM * span),
        min(float(np.nanmax(bands)), high + _ROOM * span),
    )
    return low - 0.06 * span, high + 0.06 * span


def colours(panel: Panel) -> list[str]:
    """Return the colour of every series of a panel."""
    return [each.colour or colour_of(each.label, number) for number, each in enumerate(panel.series)]
