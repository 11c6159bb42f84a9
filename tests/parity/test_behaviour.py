"""Behaviour against other implementations: raw trials in plain loops, and the real brainscore-vision."""

from __future__ import annotations

import csv
import itertools
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from alignment import get_metric
from alignment.agreement import human_accuracy, human_consistency
from alignment.choices import class_probabilities
from alignment.contracts import ChoiceMetric, ModelBehaviour
from alignment.readout import readout_probabilities
from alignment.scores import Outcome
from benchmarks import get_benchmark, load_benchmark
from benchmarks.contracts import Choices

PUBLISHED = {"edge": 0.31844, "silhouette": 0.47571}
CLASSES = ("cat", "chair", "dog")


@pytest.fixture(autouse=True)
def _no_installs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in {"BS_INSTALL_DEPENDENCIES": "no", "RESULTCACHING_DISABLE": "1"}.items():
        monkeypatch.setenv(name, value)
    return


def no_images():
    raise AssertionError("observers among themselves need no image")


def outcome(name: str, behaviour: ModelBehaviour, choices: Choices) -> Outcome:
    metric = get_metric(name)
    assert isinstance(metric, ChoiceMetric)
    return metric.outcome(behaviour, choices, 20, np.random.default_rng(0))


def raw_trials(folder: Path) -> dict[str, dict[str, tuple[str, str]]]:
    """Return subject -> image -> (class, answer), straight from the published files."""
    found: dict[str, dict[str, tuple[str, str]]] = defaultdict(dict)
    for path in sorted(folder.glob("*.csv")):
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                image = "_".join(row["imagename"].split("_")[3:])
                assert image not in found[row["subj"]]
                found[row["subj"]][image] = row["category"], row["object_response"]
    return found


def plain_kappa(one: dict[str, tuple[str, str]], other: dict[str, tuple[str, str]]) -> float:
    """Cohen's kappa of correctness by counting."""
    both_right = both_wrong = right_one = right_other = 0
    images = sorted(set(one) & set(other))
    for image in images:
        first, second = one[image][0] == one[image][1], other[image][0] == other[image][1]
        both_right += first and second
        both_wrong += not first and not second
        right_one += first
        right_other += second
    n = len(images)
    expected = right_one * right_other / n**2 + (n - right_one) * (n - right_other) / n**2
    return ((both_right + both_wrong) / n - expected) / (1 - expected)


@pytest.mark.mirror
@pytest.mark.parametrize("experiment", sorted(PUBLISHED))
def test_observers_agree_as_the_raw_files_say(mirror: Path, experiment: str):
    published = raw_trials(mirror / "geirhos2021" / "human" / experiment)
    assert len(published) == 10
    _, (choices,) = load_benchmark(get_benchmark(f"Geirhos2021.{experiment}"), mirror)
    consistency, accuracy = human_consistency(choices.trials), human_accuracy(choices.trials)
    kappas = {
        pair: plain_kappa(published[pair[0]], published[pair[1]]) for pair in itertools.combinations(published, 2)
    }
    assert consistency.iloc[:, 0].to_dict() == pytest.approx(kappas, abs=1e-12)
    assert round(float(np.mean(list(kappas.values()))), 5) == PUBLISHED[experiment]
    assert round(float(consistency.to_numpy().mean()), 5) == PUBLISHED[experiment]
    shares = {
        subject: sum(truth == choice for truth, choice in images.values()) / len(images)
        for subject, images in published.items()
    }
    assert accuracy.iloc[:, 0].to_dict() == pytest.approx(shares, abs=1e-12)


@pytest.mark.mirror
@pytest.mark.parametrize("experiment", sorted(PUBLISHED))
@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_a_model_that_copies_an_observer_has_the_kappa_planted(mirror: Path, experiment: str, p: float):
    """It copies one observer with probability p and otherwise guesses: kappa with that observer is known."""
    _, (choices,) = load_benchmark(get_benchmark(f"Geirhos2021.{experiment}"), mirror)
    observer = choices.trials[choices.trials["subject"] == "subject-03"]
    copied = dict(zip(observer["stimulus_id"], observer["choice"], strict=True))
    truth = dict(zip(observer["stimulus_id"], observer["truth"], strict=True))
    guess = 1 / len(choices.classes)
    a1 = np.mean([copied[each] == truth[each] for each in copied])
    a2 = p * a1 + (1 - p) * guess
    expected = a1 * a2 + (1 - a1) * (1 - a2)
    planted = p * (1 - (a1**2 + (1 - a1) ** 2)) / (1 - expected)
    rng, found = np.random.default_rng(0), []
    for _ in range(40):
        chosen = [copied[e] if rng.random() < p else str(rng.choice(choices.classes)) for e in copied]
        probabilities = np.array([[float(c == name) for name in choices.classes] for c in chosen])
        behaviour = ModelBehaviour(tuple(copied), choices.classes, probabilities, "-")
        score = outcome("error_consistency", behaviour, choices)
        found.append(score.unit_raw[score.unit_ids.index("subject-03")])
    assert np.mean(found) == pytest.approx(planted, abs=4 * np.std(found) / np.sqrt(len(found)) + 0.005)
    if p == 1.0:
        assert found == pytest.approx([1.0] * 40)


def random_choices(seed: int) -> tuple[Choices, ModelBehaviour, pd.DataFrame]:
    """Four observers and a model, three conditions of sixty stimuli, answers partly shared."""
    rng = np.random.default_rng(seed)
    ids = [f"{n:03d}" for n in range(180)]
    truth = {each: str(rng.choice(CLASSES)) for each in ids}
    condition = {each: f"c{n % 3}" for n, each in enumerate(ids)}
    hard = {each: rng.random() < 0.4 for each in ids}
    rows = []
    for subject in ("a", "b", "c", "d", "model"):
        for each in ids:
            wrong = rng.random() < (0.7 if hard[each] else 0.15)
            choice = str(rng.choice(CLASSES)) if wrong else truth[each]
            rows.append((subject, each, truth[each], choice, condition[each]))
    trials = pd.DataFrame(rows, columns=["subject", "stimulus_id", "truth", "choice", "condition"])
    humans, model = trials[trials["subject"] != "model"], trials[trials["subject"] == "model"]
    probabilities = np.array([[float(c == name) for name in CLASSES] for c in model["choice"]])
    behaviour = ModelBehaviour(tuple(model["stimulus_id"]), CLASSES, probabilities, "-")
    return Choices(humans.reset_index(drop=True), CLASSES, no_images), behaviour, trials


@pytest.mark.brainscore
@pytest.mark.parametrize("seed", range(5))
def test_error_consistency_and_its_ceiling_equal_brainscores(seed: int):
    from brainscore_core.supported_data_standards.brainio.assemblies import BehavioralAssembly
    from brainscore_vision import load_metric

    choices, behaviour, trials = random_choices(seed)

    def assembly(rows: pd.DataFrame) -> BehavioralAssembly:
        coords = {name: ("presentation", rows[name].to_numpy(str)) for name in ("stimulus_id", "truth", "condition")}
        coords |= {"subject": ("presentation", rows["subject"].to_numpy(str))}
        return BehavioralAssembly(rows["choice"].to_numpy(str), coords=coords, dims=["presentation"])

    metric = load_metric("error_consistency")
    model, humans = (assembly(trials[(trials["subject"] == "model") == is_model]) for is_model in (True, False))
    theirs, their_ceiling = metric(model, humans), metric.ceiling(humans)
    ours = outcome("error_consistency", behaviour, choices)
    assert abs(ours.raw) == pytest.approx(float(theirs), abs=1e-12)
    assert ours.ceiling == pytest.approx(float(their_ceiling), abs=1e-12)
    their_cells = theirs.attrs["raw"].mean("condition").sel(subject=list(ours.unit_ids)).values
    assert ours.unit_raw == pytest.approx(their_cells, abs=1e-12)
    pairs = human_consistency(choices.trials)
    assert float(their_ceiling.attrs["raw"].mean()) == pytest.approx(pairs.to_numpy().mean(), abs=1e-12)


@pytest.mark.brainscore
@pytest.mark.mirror
@pytest.mark.parametrize("experiment", sorted(PUBLISHED))
def test_ceiling_of_real_observers_equals_brainscores(mirror: Path, experiment: str):
    from brainscore_core.supported_data_standards.brainio.assemblies import BehavioralAssembly
    from brainscore_vision import load_metric

    _, (choices,) = load_benchmark(get_benchmark(f"Geirhos2021.{experiment}"), mirror)
    rows = choices.trials
    names = ("stimulus_id", "truth", "condition", "subject")
    coords = {name: ("presentation", rows[name].to_numpy(str)) for name in names}
    theirs = load_metric("error_consistency").ceiling(
        BehavioralAssembly(rows["choice"].to_numpy(str), coords=coords, dims=["presentation"])
    )
    assert human_consistency(rows).to_numpy().mean() == pytest.approx(float(theirs), abs=1e-12)


@pytest.mark.brainscore
@pytest.mark.mirror
def test_mapping_of_imagenet_classes_equals_brainscores(mirror: Path):
    import xarray as xr
    from brainscore_vision.model_helpers.brain_transformation.behavior import LabelBehavior
    from brainscore_vision.model_interface import BrainModel

    _, (choices,) = load_benchmark(get_benchmark("Geirhos2021.edge"), mirror)
    logits = np.random.default_rng(0).normal(scale=3, size=(500, 1000))
    labels = sorted(choices.classes)
    theirs = LabelBehavior("none", None)
    theirs.start_task(BrainModel.Task.label, labels)
    coords = {
        "stimulus_id": ("presentation", [str(n) for n in range(500)]),
        "image_number": ("presentation", np.arange(500)),
        "neuroid_id": ("neuroid", [str(n) for n in range(1000)]),
        "unit": ("neuroid", np.arange(1000)),
    }
    from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly

    expected = theirs.logits_to_choice(NeuroidAssembly(logits, coords=coords, dims=["presentation", "neuroid"]))
    assert isinstance(expected, xr.DataArray)
    assert choices.class_indices is not None
    found = class_probabilities(logits, choices.class_indices, labels)
    assert [labels[n] for n in found.argmax(axis=1)] == expected.values.ravel().tolist()
    assert len(set(expected.values.ravel().tolist())) == 16


@pytest.mark.brainscore
@pytest.mark.parametrize("n_features", [40, 400], ids=["narrow", "wide"])
def test_readout_equals_brainscores(n_features: int):
    from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly
    from brainscore_vision.model_helpers.brain_transformation.behavior import ProbabilitiesMapping

    rng = np.random.default_rng(0)
    truth = [str(each) for each in rng.choice(CLASSES, size=150)]
    centres = {name: rng.normal(size=n_features) for name in CLASSES}
    features = np.array([centres[each] for each in truth]) + 2 * rng.normal(size=(150, n_features))
    features *= np.geomspace(0.01, 100, n_features)

    def assembly(rows: slice) -> NeuroidAssembly:
        n = len(truth[rows])
        coords = {
            "stimulus_id": ("presentation", [str(each) for each in range(n)]),
            "image_label": ("presentation", truth[rows]),
            "neuroid_id": ("neuroid", [str(each) for each in range(n_features)]),
            "unit": ("neuroid", np.arange(n_features)),
        }
        return NeuroidAssembly(features[rows], coords=coords, dims=["presentation", "neuroid"])

    train, test = slice(0, 110), slice(110, 150)
    classifier = ProbabilitiesMapping.ProbabilitiesClassifier()
    fitting = assembly(train)
    theirs = classifier.fit(fitting, fitting["image_label"]).predict_proba(assembly(test))
    expected = np.stack([theirs.values[:, list(theirs["choice"].values).index(name)] for name in CLASSES], axis=1)
    found = readout_probabilities(features[train], truth[train], features[test], CLASSES)
    assert np.abs(found - expected).max() < 2e-3
    assert np.array_equal(found.argmax(axis=1), expected.argmax(axis=1))
