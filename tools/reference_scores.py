"""Write results/reference_scores.json: the scores that `ventral verify` computes again.

    python tools/reference_scores.py --mirror ../shared/data

Takes about ten minutes on two cores. Interrupted, it goes on where it stopped, as long as no source file, library or
plan has changed. Only what can be computed is written: without --mirror, simulated benchmarks alone.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import alignment
from alignment import Score, get_metric
from benchmarks import at_hand, get_benchmark, load_benchmark
from model_zoo import load_model, machine
from results import verification
from results.recomputation import data_fingerprint, recompute, weights_fingerprint
from results.records import hardware, library_versions
from results.verification import Expected, Group, Reference

ROOMS = ("model_zoo", "benchmarks", "alignment")
ALL = ("*",)  # every metric that fits
FEW = ("pls", "ridge", "ridgecv", "linear_predictivity", "cka", "rsa-spearman")
MANY_LAYERS = ("banded_ridge",)
CHOICES = ("error_consistency", "accuracy", "confusion_similarity")  # each looks at every image again


@dataclass(frozen=True)
class Plan:
    """A group to be computed; `metrics` that do not exist or do not fit are left out."""

    model: str
    benchmark: str
    layers: tuple[str, ...]
    metrics: tuple[str, ...] = ALL
    quick: bool = False
    seed: int = 0


RESNET, VIT, GABOR, PIXELS = "torchvision/resnet18", "timm/vit_tiny_patch16_224", "ventral/gabor-v1", "ventral/pixels"
PLANS = (
    Plan(PIXELS, "Simulated.V1", ("grey",), quick=True),
    Plan(RESNET, "Simulated.V4", ("layer4",), FEW, quick=True),
    Plan(RESNET, "Simulated.behaviour", ("avgpool",), ("error_consistency",), quick=True),
    Plan(GABOR, "Simulated.V1", ("complex",), FEW),
    Plan(RESNET, "Simulated.V2", ("layer1", "layer2"), ("pls", "ridge", *MANY_LAYERS)),
    Plan(VIT, "Simulated.IT", ("blocks.8",), FEW, seed=1),
    Plan(RESNET, "V1Properties.V1-preferred_orientation", ("maxpool",)),
    Plan(RESNET, "Cowley2023.V4-201025", ("layer3",), FEW),
    Plan(RESNET, "Cowley2023.V4-210325", ("layer3",), FEW),
    Plan(RESNET, "Kriegeskorte2008.IT", ("layer4",)),
    Plan(VIT, "Kriegeskorte2008.IT-monkey", ("blocks.8",), seed=1),
    Plan(RESNET, "Geirhos2021.edge", ("avgpool",), CHOICES),
)


def main() -> None:
    """Compute every group that is not yet done, then write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mirror", type=Path, help="offline mirror of the public data")
    parser.add_argument("--quick", action="store_true", help="only what `ventral verify --quick` computes")
    parser.add_argument("--fresh", action="store_true", help="do not go on where an interrupted run stopped")
    parser.add_argument("--out", type=Path, default=verification.REFERENCE)
    options = parser.parse_args()
    state = _state()
    partial = machine.home() / f"reference-scores-{state[:16]}.json"
    begun = partial.is_file() and not options.fresh
    reference = verification.read(partial.read_text(), str(partial)) if begun else Reference(made={})
    plans = [plan for plan in PLANS if plan.quick or not options.quick]
    for number, plan in enumerate(plans, start=1):
        group = _group_of(plan)
        if any(_same(group, done) for done in reference.groups):
            _say(f"{number}/{len(plans)} {group.name}: done before")
            continue
        if not at_hand(get_benchmark(plan.benchmark), options.mirror):
            _say(f"{number}/{len(plans)} {group.name}: no data, left out")
            continue
        began = time.monotonic()
        reference = _with(reference, plan, group, options.mirror)
        partial.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(verification.to_json(reference))
        done = reference.groups[-1]
        _say(f"{number}/{len(plans)} {group.name}: {len(done.scores)} scores in {time.monotonic() - began:.0f} s")
    made = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python", "tools/reference_scores.py", *sys.argv[1:]]),
        "ventral": version("ventral-alignment"),
        "libraries": library_versions(),
        "hardware": hardware("cpu"),
    }
    options.out.write_text(verification.to_json(replace(reference, made=made)))
    partial.unlink(missing_ok=True)
    _say(f"Wrote {sum(len(group.scores) for group in reference.groups)} scores to {options.out}.")


def _group_of(plan: Plan) -> Group:
    version = get_benchmark(plan.benchmark).version
    return Group(plan.model, plan.seed, plan.benchmark, version, plan.layers, plan.quick)


def _with(reference: Reference, plan: Plan, group: Group, mirror: Path | None) -> Reference:
    """Return the reference with one more group."""
    card, model = get_benchmark(plan.benchmark), load_model(plan.model, seed=plan.seed)
    fitting = [metric.name for metric in alignment.list_metrics() if metric.fits(card)]
    metrics = [name for name in fitting if plan.metrics == ALL or name in plan.metrics]
    scores = recompute(group, model, metrics, mirror=mirror)
    models = {**reference.models, group.model_key: weights_fingerprint(model)}
    known = {**reference.benchmarks}
    if card.bundled:
        known[card.name] = data_fingerprint(load_benchmark(card)[1])
    done = verification.only(group, *map(_expected, scores))
    return replace(reference, models=models, benchmarks=known, groups=(*reference.groups, done))


def _expected(score: Score) -> Expected:
    raw = None if score.raw != score.raw else score.raw
    return Expected(score.metric, get_metric(score.metric).version, score.layer, raw, score.ceiling)


def _same(first: Group, second: Group) -> bool:
    return verification.only(first) == verification.only(second)


def _state() -> str:
    """Return the digest of all that reference scores depend on: sources, libraries and plan."""
    digest = hashlib.sha256(repr((sorted(library_versions().items()), PLANS)).encode())
    for path in _sources():
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _sources() -> Iterator[Path]:
    for room in ROOMS:
        yield from sorted((Path(__file__).parents[1] / room).rglob("*.py"))


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    main()
