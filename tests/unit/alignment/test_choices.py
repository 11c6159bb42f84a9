"""How a model answers: by its own classes or by a readout, what is shown to it, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from safetensors.torch import save_file
from torch import nn

from alignment import get_metric
from alignment.choices import answer, class_probabilities, score_choices
from alignment.jobs import Run
from alignment.reduction import Resources
from alignment.subjects import ModelSubject, PrecomputedFeatures
from benchmarks.contracts import BenchmarkCard, Choices
from benchmarks.stimuli import from_arrays
from model_zoo import from_module, load_model
from model_zoo.contracts import Layer, Preprocessing
from model_zoo.errors import DataIntegrity, InvalidOption, LeakageError, ResourceError, ShapeMismatch
from model_zoo.preprocessing import preprocess

CLASSES = ("bear", "cat", "dog", "owl")
INDICES = {"bear": (3, 5), "cat": (7,), "dog": (0, 999, 500), "owl": (10, 11)}


def make_stimuli(n_stimuli: int = 40, prefix: str = "s", seed: int = 0, **columns):
    """Noisy patches whose colour depends on their class, each made twice from one picture."""
    rng = np.random.default_rng(seed)
    truth = [CLASSES[n % 4] for n in range(n_stimuli)]
    colours = dict(zip(CLASSES, rng.integers(40, 216, size=(4, 3)), strict=True))
    arrays = {
        f"{prefix}{n:03d}": np.clip(colours[name] + rng.normal(0, 60, size=(24, 24, 3)), 0, 255).astype(np.uint8)
        for n, name in enumerate(truth)
    }
    condition = ["easy" if n < n_stimuli // 2 else "hard" for n in range(n_stimuli)]
    return from_arrays(arrays, visual_degrees=4, columns={"truth": truth, "condition": condition, **columns})


def make_choices(stimuli=None, n_subjects: int = 4, p_right: float = 0.7, seed: int = 1, **options) -> Choices:
    """Observers who share some of their errors: on half of the stimuli everybody errs in the same way."""
    stimuli = stimuli if stimuli is not None else make_stimuli()
    rng = np.random.default_rng(seed)
    common = {each: str(rng.choice(CLASSES)) for each in stimuli.ids}
    rows = []
    for subject in range(n_subjects):
        for stimulus, facts in stimuli.table.iterrows():
            wrong = common[str(stimulus)] if rng.random() < 0.5 else str(rng.choice([*CLASSES, "na"]))
            choice = facts["truth"] if rng.random() < p_right else wrong
            rows.append((f"o{subject}", str(stimulus), facts["truth"], choice, facts["condition"]))
    trials = pd.DataFrame(rows, columns=["subject", "stimulus_id", "truth", "choice", "condition"])
    return Choices(trials, CLASSES, lambda: stimuli, **options)


def no_images():
    raise AssertionError("nobody may look at images")


CARD = BenchmarkCard(
    name="Toy.colours",
    version=3,
    region="behaviour",
    species="simulated",
    description="-",
    licence="-",
    citation="-",
    n_stimuli=40,
    n_neuroids=0,
    n_repeats=1,
    visual_degrees=4,
    load=lambda get: (),
    kind="choices",
    default_metric="error_consistency",
)


def toy_net(width: int = 1000) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, width))


SIZE = Preprocessing(input_size=(32, 32))


def run_of(module: nn.Module, classes=None, **options) -> Run:
    model = from_module("toy", module, SIZE, classes=classes)
    return Run(ModelSubject(model), Resources(use_cache=False), n_bootstrap=20, **options)


def test_declared_classes_answer_by_the_mean_over_their_indices():
    module, choices = toy_net(), make_choices(class_indices=INDICES)
    found = answer(run_of(module, "imagenet1k"), "-", choices)
    stimuli = choices.stimuli()
    assert (found.layer, found.n_features, found.n_splits) == ("4", 1000, 0)
    assert found.behaviour.decision == "classifier: 1000-to-4 mapping"
    with torch.inference_mode():
        logits = module(torch.stack([preprocess(stimuli.image(each), SIZE) for each in stimuli.ids])).double()
    probabilities = torch.softmax(logits, dim=1)
    expected = np.array([[float(row[list(INDICES[name])].mean()) for name in CLASSES] for row in probabilities])
    assert found.behaviour.probabilities == pytest.approx(expected, rel=1e-4)
    score = score_choices(run_of(module, "imagenet1k"), CARD, (choices,), get_metric("error_consistency"))
    assert (score.kind, score.region, score.measure, score.unit) == ("choices", "behaviour", "kappa", "subject")
    assert (score.benchmark_version, score.n_stimuli, score.n_subjects, score.n_splits) == (3, 40, 4, 0)
    assert score.unit_ids == ("o0", "o1", "o2", "o3")
    assert score.interval_of == "ceiled"


def test_mean_not_sum_decides():
    logits = np.zeros((1, 1000))
    logits[0, [0, 999, 500]] = 1.0  # three likely indices of dog
    logits[0, 7] = 1.2  # one of cat, likelier than each
    found = class_probabilities(logits, INDICES, CLASSES)[0]
    assert CLASSES[found.argmax()] == "cat"
    assert class_probabilities(logits + 1e4, INDICES, CLASSES)[0] == pytest.approx(found)


def test_a_checkpoint_answers_by_itself_and_a_seed_by_a_readout(tmp_path):
    choices = make_choices(class_indices=INDICES)
    untrained = load_model("timm/test_resnet", seed=3, overrides={"input_size": 32})
    path = tmp_path / "weights.safetensors"
    save_file(untrained.module.state_dict(), path)
    trained = load_model("timm/test_resnet", weights=path, overrides={"input_size": 32})
    layers = {}
    for model in (untrained, trained):
        run = Run(ModelSubject(model), Resources(use_cache=False), n_bootstrap=20)
        score = score_choices(run, CARD, (choices,), get_metric("accuracy"))
        layers[model.weights.source] = (score.layer, score.layer_choice, score.n_features)
    assert layers["seed 3"] == (
        "fc@input",
        "readout fitted on the benchmark's own stimuli, 10-fold cross-validated",
        96,
    )
    assert layers[str(path)] == ("fc", "classifier: 1000-to-4 mapping", 1000)


def test_readout_reads_what_feeds_the_classifier_and_learns_the_classes():
    module, choices = toy_net(7), make_choices()
    found = answer(run_of(module), "-", choices)
    assert (found.layer, found.n_features, found.n_splits) == ("4@input", 24, 10)
    chosen = np.array(CLASSES)[found.behaviour.probabilities.argmax(axis=1)]
    assert np.mean(chosen == choices.stimuli().table["truth"]) > 0.6
    pooled = Layer("2", (6, 2, 2), "AdaptiveAvgPool2d", 2, True)
    by_pool = answer(run_of(module), "-", choices, [pooled])
    assert by_pool.layer == "2"
    assert by_pool.behaviour.probabilities == pytest.approx(found.behaviour.probabilities, rel=1e-6)
    both = answer(run_of(module), "-", choices, [pooled, Layer("0", (6, 30, 30), "Conv2d", 0, True)])
    assert (both.layer, both.n_features) == ("2, 0", 24 + 5400)


def test_decision_can_be_forced():
    choices = make_choices(class_indices=INDICES)
    assert answer(run_of(toy_net(), "imagenet1k", decision="readout"), "-", choices).layer == "4@input"
    assert answer(run_of(toy_net(), "imagenet1k", decision="head"), "-", choices).layer == "4"
    assert answer(run_of(toy_net(), "imagenet1k"), "-", replace(choices, class_indices=None)).layer == "4@input"


def features(choices: Choices, seed: int = 0) -> PrecomputedFeatures:
    """Features computed elsewhere, in another order; the last layer knows the classes."""
    stimuli = choices.stimuli()
    ids = list(stimuli.ids)[::-1]
    known = np.array([[float(name == stimuli.table.loc[each, "truth"]) for name in CLASSES] for each in ids])
    noise = np.random.default_rng(seed).normal(size=(len(ids), 30))
    arrays = {"early": noise, "late": known + 0.1 * noise[:, :4]}
    return PrecomputedFeatures(
        "mine",
        {name: xr.DataArray(a, dims=("stimulus_id", "f"), coords={"stimulus_id": ids}) for name, a in arrays.items()},
    )


def test_precomputed_features_are_read_out_of_their_last_layer():
    choices = make_choices(class_indices=INDICES)
    run = Run(features(choices), Resources(), n_bootstrap=20)
    score = score_choices(run, CARD, (choices,), get_metric("accuracy"))
    assert (score.layer, score.raw, score.n_features) == ("late", 1.0, 4)
    with pytest.raises(InvalidOption, match=r"Toy: decision 'head': .* got precomputed features; pass --decision read"):
        answer(replace(run, decision="head"), "Toy", choices)


@pytest.mark.parametrize(
    ("run", "indices", "message"),
    [
        (lambda: run_of(toy_net(), decision="head"), INDICES, "no declared classes .weights from module in memory"),
        (lambda: run_of(toy_net(), "imagenet1k", decision="head"), None, "a benchmark without ImageNet classes"),
        (lambda: run_of(toy_net(), decision="logits"), INDICES, "decision: expected one of auto, head, readout"),
    ],
)
def test_answers_that_cannot_be_had_are_refused(run, indices, message):
    with pytest.raises(InvalidOption, match=message):
        answer(run(), "Toy", make_choices(class_indices=indices))


def test_width_is_checked_before_the_model_looks_at_anything():
    model = replace(from_module("toy", toy_net(10), SIZE), classes="imagenet1k")
    choices = replace(make_choices(class_indices=INDICES), stimuli=no_images)
    with pytest.raises(ShapeMismatch, match="toy: expected a classifier with 1000 outputs, got 4 with 10"):
        answer(Run(ModelSubject(model), Resources()), "-", choices)


def test_stimuli_are_placed_on_the_models_screen():
    choices = make_choices()
    half = replace(choices, stimuli=lambda: choices.stimuli().place_on_screen(8))
    wide, placed = (answer(run_of(toy_net(7), visual_degrees=d), "-", c) for d, c in ((8, choices), (None, half)))
    assert np.array_equal(wide.behaviour.probabilities, placed.behaviour.probabilities)
    filled = answer(run_of(toy_net(7)), "-", choices)
    assert not np.allclose(filled.behaviour.probabilities, wide.behaviour.probabilities)


def test_versions_of_one_picture_are_never_split():
    """Features that know the picture but not the class help only where versions of it lie on both sides."""
    pictures = [f"p{n % 20}" for n in range(40)]
    knows = {name: np.random.default_rng(n).normal(size=60) for n, name in enumerate(sorted(set(pictures)))}

    def accuracy(**columns) -> float:
        stimuli = make_stimuli(**columns)
        choices = make_choices(stimuli)
        rows = xr.DataArray(
            [knows[each] for each in pictures], dims=("stimulus_id", "f"), coords={"stimulus_id": list(stimuli.ids)}
        )
        run = Run(PrecomputedFeatures("memory", {"top": rows}), Resources(), n_bootstrap=20)
        return score_choices(run, CARD, (choices,), get_metric("accuracy")).raw

    assert accuracy(base_image=pictures) < 0.5 < accuracy()


def test_a_fitting_set_is_used_and_must_be_unseen():
    stimuli = make_stimuli()
    fitting = make_stimuli(80, prefix="f")
    choices = make_choices(stimuli, fitting=lambda: fitting)
    found = answer(run_of(toy_net(7)), "-", choices)
    assert found.behaviour.decision == "readout fitted on 80 other stimuli"
    assert found.n_splits == 0
    assert np.mean(np.array(CLASSES)[found.behaviour.probabilities.argmax(axis=1)] == stimuli.table["truth"]) > 0.6
    seen = replace(choices, fitting=lambda: make_stimuli(80))
    with pytest.raises(LeakageError, match=r"Toy: fitting stimuli: .* got 40 that are, the first 's000'"):
        answer(run_of(toy_net(7)), "Toy", seen)
    unlabelled = replace(choices, fitting=lambda: replace(fitting, table=fitting.table[["condition"]]))
    with pytest.raises(DataIntegrity, match="Toy: fitting stimuli: expected a stimulus column 'truth'"):
        answer(run_of(toy_net(7)), "Toy", unlabelled)


def test_only_stimuli_that_were_seen_are_shown_and_each_must_be_there():
    choices = make_choices()
    some = replace(choices, trials=choices.trials[choices.trials["stimulus_id"] < "s020"])
    assert answer(run_of(toy_net(7)), "-", some).behaviour.stimulus_ids == make_stimuli().ids[:20]
    more = replace(choices, trials=choices.trials.replace({"stimulus_id": {"s003": "s999"}}))
    with pytest.raises(DataIntegrity, match="stimulus 's999': expected an image for every trial"):
        answer(run_of(toy_net(7)), "-", more)


def test_layers_too_wide_to_hold_are_refused_before_the_forward_pass():
    wide = Layer("0", (10**12,), "Conv2d", 0, True)
    with pytest.raises(ResourceError, match=r"readout of 0: .* got 800000.0 GB; name a narrower layer"):
        answer(run_of(toy_net(7)), "-", make_choices(), [wide])
    tight = replace(run_of(toy_net(7)), resources=Resources(memory=10_000))
    with pytest.raises(ResourceError, match="readout of 4@input"):
        answer(tight, "-", make_choices())


def test_one_set_of_choices_is_scored_at_a_time():
    choices = make_choices()
    with pytest.raises(DataIntegrity, match=r"Toy\.colours: expected one set of choices, got 2"):
        score_choices(run_of(toy_net(7)), CARD, (choices, choices), get_metric("accuracy"))
