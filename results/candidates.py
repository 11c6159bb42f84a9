"""What `ventral compare` is given: models by name, or files of scores; how each is called, and where its scores are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from alignment import Score
from model_zoo.errors import InvalidOption
from results.stored_scores import from_json, label_of, weights_of, with_seed

_NEXT = "see `ventral compare --help`"
_OTHER_FILES = (".csv", ".html")  # what `ventral score` writes beside .json


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One of the models compared.

    Attributes
    ----------
    label : what it is called in the comparison.
    typed : as the user wrote it.
    model, seed, weights : what is to be scored; `model` is "" where scores come from a file.
    file : where its scores are.
    scores, committed : those of the file, and those of layers committed beside the ones that were named.
    origin : for the record: where scores come from and what they were computed with.
    """

    label: str
    typed: str
    model: str = ""
    seed: int = 0
    weights: Path | None = None
    file: Path | None = None
    scores: tuple[Score, ...] = field(default=(), repr=False)
    committed: tuple[Score, ...] = field(default=(), repr=False)
    origin: Mapping[str, Any] = field(default_factory=dict, repr=False)


def read_candidates(arguments: Sequence[str], seed: int) -> list[Candidate]:
    """Return the candidates in the order given, scores of files read.

    Parameters
    ----------
    arguments : each "NAME", "NAME@SEED", "NAME=CHECKPOINT", "FILE.json" or "LABEL=FILE.json".
    seed : of untrained weights where none is given.

    Raises
    ------
    InvalidOption
        Fewer than two, a seed that is no number, a missing file, one that is not .json, a file of several models, or
        one label twice.
    """
    found = [_candidate(each, seed) for each in arguments]
    if len(found) < 2:
        got = f"only {found[0].label}" if found else "none"
        raise InvalidOption("compare", expected="at least two models", got=got, next_step=_NEXT)
    by_label: dict[str, Candidate] = {}
    for each in found:
        other = by_label.setdefault(each.label, each)
        if other is not each:
            raise InvalidOption(
                "compare",
                expected="a different label for every model",
                got=f"{each.label} for {other.typed} and for {each.typed}",
                next_step="tell them apart with NAME@SEED, NAME=CHECKPOINT or LABEL=FILE.json",
            )
    return found


def chosen_scores(
    candidate: Candidate, benchmarks: Sequence[str] | None, metrics: Sequence[str] | None, layers: Sequence[str]
) -> Candidate:
    """Return a candidate with those scores of its file that were asked for; `layers` are names or globs, or "auto".

    Under "auto" a committed layer's score takes the place of those of the layers that were named.
    """
    chosen = candidate.committed if list(layers) == ["auto"] else ()
    committed = {(score.benchmark, score.metric): score for score in chosen}
    named = [score for score in candidate.scores if (score.benchmark, score.metric) not in committed]
    kept = tuple(
        score
        for score in (*named, *committed.values())
        if (not benchmarks or score.benchmark in benchmarks)
        and (not metrics or score.metric in metrics)
        and (list(layers) == ["auto"] or any(fnmatchcase(score.layer, each) for each in layers))
    )
    return replace(candidate, scores=kept)


def _candidate(text: str, seed: int) -> Candidate:
    name, equals, value = text.partition("=")
    path = Path(value if equals else text)
    if path.suffix == ".json":
        return _from_file(text, path, name if equals else "")
    if path.suffix in _OTHER_FILES or (not equals and path.is_file()):
        raise InvalidOption(
            text,
            expected="a model's name, or a .json file of scores",
            got=f"a {path.suffix} file" if path.suffix else "another file",
            next_step="write scores for it with `ventral score MODEL --json FILE.json`",
        )
    if equals:
        if not Path(value).is_file():
            raise InvalidOption(text, expected="a checkpoint after =", got=f"no file {value!r}", next_step=_NEXT)
        return Candidate(label=text, typed=text, model=name, seed=seed, weights=Path(value))
    name, at, number = text.rpartition("@")
    if not at:
        return Candidate(label=with_seed(text, seed), typed=text, model=text, seed=seed)
    if not number.isdecimal():
        raise InvalidOption(text, expected="a seed of at least 0 after @", got=repr(number), next_step=_NEXT)
    return Candidate(label=with_seed(name, int(number)), typed=text, model=name, seed=int(number))


def _from_file(typed: str, path: Path, label: str) -> Candidate:
    if not path.is_file():
        raise InvalidOption(typed, expected="a file of scores", got=f"no file {str(path)!r}", next_step=_NEXT)
    scores, committed, provenance = from_json(path)
    names = sorted({score.model for score in scores})
    if len(names) != 1:
        got = f"{len(names)}: {', '.join(names)}" if names else "no scores"
        raise InvalidOption(typed, expected="scores of one model", got=got, next_step="score models one by one")
    model = provenance.get("model", {})
    made = {"identity": model.get("identity"), "weights": weights_of(provenance)}
    origin = {"file": str(path), "date": provenance.get("date"), **made}
    return Candidate(
        label=label or label_of(names[0], provenance),
        typed=typed,
        file=path,
        scores=scores,
        committed=committed,
        origin=origin,
    )
