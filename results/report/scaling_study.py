"""The figures of Gokce and Schrimpf (2024), each as the experiments and the models that it is drawn from.

Figure numbers are those of arXiv 2411.05712. Figures of the appendix that need scores on private benchmarks are left
out: these scores are not public.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from results.report.scaling_figures import Cloud, Dots

REGIONS = ("V1", "V2", "V4", "IT", "Behavioral")
_STRONG, _WEAK = "strong prior (convolutional)", "weak prior (ConvNeXt, ViT)"
_FAMILIES = {"resnet": "ResNet", "efficientnet": "EfficientNet", "convnext": "ConvNeXt", "vit": "ViT"}
_DATASETS = {
    "imagenet": "ImageNet",
    "ecoset": "Ecoset",
    "imagenet21kP": "ImageNet21k-P",
    "inaturalist": "iNaturalist",
    "webvisionP": "WebVision-P",
    "places365": "Places365",
}
_ALONE = ("is_pretrained", "is_random", "is_ssl", "is_adv", "is_ablation")


@dataclass(frozen=True)
class Picture:
    """A figure of laws.

    Attributes
    ----------
    name : of its element in the page, e.g. "fig1".
    heading, caption : plain text.
    panels : titles, and per panel the experiments with their labels and colours ("" for that of the label).
    """

    name: str
    heading: str
    caption: str
    panels: tuple[tuple[str, tuple[tuple[str, str, str], ...]], ...]


PICTURES = (
    Picture(
        "fig1",
        "Figure 1: neural and behavioural alignment against compute",
        "Neural alignment is the mean of V1, V2, V4 and IT. Models trained from scratch on ImageNet and Ecoset.",
        (("", (("compute_neuro", "neural", ""), ("compute_behavior", "behaviour", ""))),),
    ),
    Picture(
        "fig2-parameters",
        "Figure 2: alignment against parameters",
        "Mean over the five benchmarks, models trained on whole data sets.",
        (("", (("parameter_scaling", "all families", ""),)),),
    ),
    Picture(
        "fig2-families",
        "Figure 2: neural and behavioural alignment by family of architectures",
        "",
        tuple(
            (label, ((f"model_{name}_neuro", "neural", ""), (f"model_{name}_behavior", "behaviour", "")))
            for name, label in _FAMILIES.items()
        ),
    ),
    Picture(
        "fig2-means",
        "Figure 2: mean alignment by family of architectures",
        "Mean over the five benchmarks.",
        (("", tuple((f"model_{name}_avg", label, "") for name, label in _FAMILIES.items())),),
    ),
    Picture(
        "fig3-datasets",
        "Figure 3: alignment against samples seen, by training data",
        "Mean over the five benchmarks.",
        (("", tuple((f"sample_{name}_scaling", label, "") for name, label in _DATASETS.items())),),
    ),
    Picture(
        "fig5-regions",
        "Figure 5: every region, for families with strong and with weak priors",
        "The shifted form is fitted to the weak prior.",
        tuple(
            (
                region.replace("Behavioral", "behaviour"),
                (
                    (f"region_{key}_group1", _STRONG, ""),
                    (f"region_{key}_group2", _WEAK, ""),
                ),
            )
            for region, key in zip(REGIONS, ("v1", "v2", "v4", "it", "behavior"), strict=True)
        ),
    ),
    Picture(
        "fig5-means",
        "Figure 5: mean over the five benchmarks",
        "Its gain coefficient is the average line of the figure of gains.",
        (("", (("region_avg_group1", _STRONG, ""), ("region_avg_group2", _WEAK, ""))),),
    ),
    Picture(
        "appendix-simclr",
        "Appendix: self-supervised training (SimCLR)",
        "",
        (("", (("simclr_neuro", "neural", ""), ("simclr_behavior", "behaviour", ""))),),
    ),
    Picture(
        "appendix-simclr-regions",
        "Appendix: self-supervised training (SimCLR), by region",
        "",
        tuple(
            (label, ((f"simclr_{key}", "SimCLR", ""),))
            for key, label in (
                ("v1", "V1"), ("v2", "V2"), ("v4", "V4"), ("it", "IT"), ("behavior", "behaviour"), ("avg", "mean"),
            )
        ),
    ),
    Picture(
        "appendix-pretrained",
        "Appendix: alignment against parameters, pretrained models",
        "Published checkpoints of other training recipes and data.",
        (("", (("parameter_pretrained_scaling", "pretrained", ""),)),),
    ),
    Picture(
        "appendix-infimnist",
        "Appendix: trained on infiMNIST",
        "Digits: as many samples as wanted, of little variety.",
        (("", (("sample_infimnist_scaling", "infiMNIST", ""),)),),
    ),
)  # fmt: skip


def from_scratch(table: pd.DataFrame, datasets: tuple[str, ...] = ("imagenet", "ecoset")) -> pd.DataFrame:
    """Return the rows of models that were trained from scratch on labels, families of one design under one name."""
    kept = table[table["dataset"].isin(datasets) & ~table[list(_ALONE)].any(axis=1)]
    return kept.assign(arch_family=kept["arch_family"].str.replace("Flex", "", regex=False))


def family_means(table: pd.DataFrame, resource: str) -> list[Dots]:
    """Return the mean score of every family of models trained from scratch, three means per decade of a resource."""
    return _means(from_scratch(table), "arch_family", resource)


def along_training(table: pd.DataFrame) -> list[Cloud]:
    """Return, per region, the mean score of families, and of self-supervised models, against samples seen so far."""
    kinds = table["arch_family"].where(~table["is_ssl"], "self-supervised")
    parts = _regions(table.assign(kind=kinds))
    return [Cloud(name, "samples seen", _means(part, "kind", "n_samples_seen")) for name, part in parts]


def _means(rows: pd.DataFrame, label: str, resource: str) -> list[Dots]:
    found = []
    rounded = 10.0 ** ((3 * np.log10(rows[resource].where(rows[resource] > 0))).round() / 3)
    for name, part in rows.groupby(label):
        groups = part.groupby(rounded.loc[part.index])
        labels = [f"{name}, {n} models" for n in groups["model_id"].nunique()]
        means = groups["score"].mean()
        found.append(Dots(str(name), means.index.tolist(), means.tolist(), labels, "linear"))
    return found


def accuracy(table: pd.DataFrame) -> list[Cloud]:
    """Return, per region, validation accuracy against the score of models trained from scratch."""
    rows = from_scratch(table)
    rows = rows[np.isfinite(rows["acc"])]
    return [Cloud(name, "validation accuracy", [_dots("models", part, "acc")]) for name, part in _regions(rows)]


def conditions(table: pd.DataFrame) -> list[Cloud]:
    """Return, per region, parameters against score by how models were trained."""
    rows = table[table["dataset"].isin(("imagenet", "ecoset")) & (table["samples_per_class"] <= 0)]
    kinds: Mapping[str, Any] = {
        "trained on labels": ~rows[list(_ALONE)].any(axis=1),
        "self-supervised": rows["is_ssl"] & ~rows["is_random"],
        "adversarial": rows["is_adv"] & ~rows["is_random"],
        "untrained": table.loc[rows.index, "is_random"],
    }
    return [
        Cloud(
            name,
            "parameters",
            [_dots(kind, part[chosen.loc[part.index]], "n_params") for kind, chosen in kinds.items()],
        )
        for name, part in _regions(rows)
    ]


def pairs(table: pd.DataFrame) -> list[Cloud]:
    """Return, for every two regions, models by their scores in both."""
    wide = from_scratch(table).pivot_table(index="model_id", columns="region", values="score")
    found = []
    for number, second in enumerate(REGIONS):
        for first in REGIONS[:number]:
            both = wide[[first, second]].dropna()
            dots = Dots("models", both[first].tolist(), both[second].tolist(), [str(name) for name in both.index])
            name = second.replace("Behavioral", "behaviour")
            found.append(Cloud(f"{first} and {name}", f"score in {first}", [dots], f"score in {name}"))
    return found


def _regions(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    return [(region.replace("Behavioral", "behaviour"), rows[rows["region"] == region]) for region in REGIONS]


def _dots(label: str, rows: pd.DataFrame, resource: str) -> Dots:
    return Dots(label, rows[resource].tolist(), rows["score"].tolist(), rows["model_id"].tolist())
