"""The page of figures that `ventral scaling reproduce` writes about the published study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from results.cli.scaling_analyses import COSTS, Comparisons, comparisons, frontiers, graded, models_of, trend_of
from results.cli.scaling_input import Source
from results.cli.scaling_pages import HELD_OUT, allocations_of, along_compute
from results.cli.scaling_show import published_of
from results.report import scaling_figures as draw
from results.report import scaling_sections as sections
from results.report import scaling_study as study
from results.report.scaling import Figure, Section, render
from results.report.scaling_curves import Panel, score_axis
from results.scaling.contracts import Law
from results.scaling.graded import Trend
from results.scaling.saturation import saturation

if TYPE_CHECKING:
    import pandas as pd

TITLE = "Scaling laws of Gokce and Schrimpf (2024), reproduced"
REGIONS = ("V1", "V2", "V4", "IT", "behaviour")
GRADED = tuple(f"region_{key}_group1" for key in ("v1", "v2", "v4", "it", "behavior"))
COMPARED = ("compute_neuro", "compute_behavior", "region_avg_group2")
BOTH = "compute_chinchilla"


def study_page(
    source: Source,
    training: pd.DataFrame,
    laws: Mapping[str, Law],
    contents: Sequence[Mapping[str, Any]],
    made: Mapping[str, Any],
    progress: Any,
) -> str:
    """Return the page: every figure of the study that public tables allow, beside what was published.

    Parameters
    ----------
    source, laws, contents : all experiments of the study, their laws, and what is known of these.
    training : scores of models along their training.
    made : provenance, with the number of draws and the seed.
    progress : called as progress(stage, done, total).
    """
    draws, seed = made["bootstrap_draws"], made["seed"]
    tested = trend_of(source.experiments[GRADED[0]], source.table, draws=draws, seed=seed)
    found = graded([laws[name] for name in GRADED], tested)
    drawn = [_picture(name, panels) for name, panels in panels_of_study(source, laws)]
    compared = comparisons({name: source.points[name] for name in COMPARED}, None, HELD_OUT, progress)
    shown = [
        _findings(laws, compared, tested),
        sections.data(source.unit, source.facts, list(laws.values())),
        sections.fits(contents),
        sections.figures(
            [figure for figure in drawn if figure[3]],
            _clouds(source.table, training, score_axis(source.unit)),
            source.unit,
        ),
        sections.graded(found.gains, found.ends, found.trend, REGIONS),
        sections.allocation(allocations_of(source, {BOTH: laws[BOTH]})),
        sections.frontier(frontiers(models_of(source, BOTH)), COSTS, source.unit),
        sections.forms(compared, HELD_OUT),
        sections.warnings(contents),
    ]
    facts = f"{source.table['model_id'].nunique()} models, {len(laws)} laws"
    return render(TITLE, facts, shown, made)


def panels_of_study(source: Source, laws: Mapping[str, Law]) -> list[tuple[str, list[Panel]]]:
    """Return the study's figures of laws by name: their panels, published fits dashed where the unit is the study's."""
    known = {name: published_of(source, name, law) for name, law in laws.items()}
    published = {name: each.log for name, each in known.items() if each is not None}
    found = [(each.name, sections.panels_of(each.panels, laws, published)) for each in study.PICTURES]
    both = along_compute(source, BOTH, laws[BOTH], "best division of compute")
    return [*found, ("fig4-allocation", [] if both is None else [Panel("", (both,))])]


def _picture(name: str, panels: Sequence[Panel]) -> tuple[str, str, str, Sequence[Panel]]:
    words = {each.name: (each.heading, each.caption) for each in study.PICTURES}
    both = (
        "Figure 4: alignment against compute, parameters and samples at their best division",
        "Points are models at the compute they took; the line is the law of parameters and samples at the division of "
        "compute that is best under it, with the band of the law there.",
    )
    heading, caption = words.get(name, both)
    return name, heading, caption, panels


def _findings(laws: Mapping[str, Law], compared: Comparisons, tested: Trend | None) -> Section:
    """Return the study's headline claims as the laws say them, and what other forms say of them."""
    claims = {"compute_neuro": "Neural alignment", "compute_behavior": "Behavioural alignment"}
    more: tuple[str, ...] = ()
    if tested is not None:
        gains = ", ".join(f"{name} {value:.3f}" for name, value in zip(REGIONS, tested.gains, strict=True))
        more = (
            f"Score gained per decade of compute, by the same models in every region: {gains}; "
            f"p = {tested.p:.2g} (two-sided) for gains that do not change along them.",
        )
    return sections.findings([saturation(laws[name]) for name in claims], laws, compared, claims, more)


def _clouds(table: pd.DataFrame, training: pd.DataFrame, axis: str) -> list[Figure]:
    """Return the figures that show models without laws."""
    families = [
        ("fig3-families", "Figure 3: samples seen, mean of every family", "samples seen in training", "n_samples_seen"),
        ("fig4-families", "Figure 4: compute, mean of every family", "training compute (FLOPs)", "total_flops"),
    ]
    means = [
        Figure(name, draw.clouds([draw.Cloud("", title, study.family_means(table, column))], axis), heading, _MEANS)
        for name, heading, title, column in families
    ]
    return [
        *means,
        Figure(
            "appendix-training",
            draw.clouds(study.along_training(training), axis),
            "Appendix: alignment along training",
            "Models trained on whole data sets, after 1 to 300 epochs; mean of every family, three per decade.",
        ),
        Figure(
            "appendix-accuracy",
            draw.clouds(study.accuracy(table), axis, log_x=False),
            "Appendix: validation accuracy and alignment",
            "Models trained from scratch on ImageNet and Ecoset.",
        ),
        Figure(
            "appendix-conditions",
            draw.clouds(study.conditions(table), axis),
            "Appendix: self-supervised, adversarial and untrained models",
            "Models trained on whole data sets, and untrained ones.",
        ),
        Figure(
            "appendix-pairs",
            draw.clouds(study.pairs(table), axis, log_x=False),
            "Appendix: alignment with pairs of regions",
            "Models trained from scratch on ImageNet and Ecoset.",
        ),
    ]


_MEANS = "Mean over benchmarks and models, three per decade; no law is fitted."
