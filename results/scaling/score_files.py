"""Files that `ventral score --json` wrote, as rows of a table of models and scores."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_zoo.errors import DataIntegrity, DataUnavailable, DuplicateName, InvalidOption
from results.stored_scores import label_of, seed_of


@dataclass(frozen=True)
class ScoredModel:
    """A model that score files are about.

    Attributes
    ----------
    label : what its rows are called.
    name : the model's own, as for `model_zoo.load_model`; of models from elsewhere whatever they were called.
    input_size : (height, width) in pixels that its costs are counted for; None where the file does not say.
    seed : of untrained weights; None where the file does not say.
    """

    label: str
    name: str
    input_size: tuple[int, int] | None
    seed: int | None = None


def is_score_file(path: Path) -> bool:
    """Whether a path, or one as LABEL=FILE, is meant as a file of scores."""
    return path.suffix.lower() == ".json"


def rows_of(paths: Sequence[Path], metric: str | None = None) -> list[dict[str, Any]]:
    """Return one row per headline score: model_id, region, benchmark, metric, score, score_error, n_units, rule, file.

    Parameters
    ----------
    paths : files, or LABEL=FILE where a label is to replace what the model is called.
    metric : take scores of this metric only.

    Raises
    ------
    DataUnavailable, DataIntegrity
        A file is not there, or is no score file.
    DuplicateName
        A model's score is there twice; both files are named.
    InvalidOption
        No score is left.
    """
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in (row for path in paths for row in _rows(path) if metric in (None, row["metric"])):
        key = tuple(row[name] for name in ("model_id", "benchmark", "metric"))
        if key in found:
            raise DuplicateName(
                " / ".join(key),
                expected="one score",
                got=f"two, in {found[key]['file']} and {row['file']}",
                next_step="leave out one of the files, or tell models apart with LABEL=FILE.json",
            )
        found[key] = row
    if not found:
        raise InvalidOption(
            f"scores of {', '.join(map(str, paths))}",
            expected="at least one score" + (f" of the metric {metric!r}" if metric else ""),
            got="none",
            next_step="check the files and the metric",
        )
    return list(found.values())


def models_of(paths: Sequence[Path]) -> list[ScoredModel]:
    """Return the models that score files are about, each once, in the order of the files.

    Raises
    ------
    DataUnavailable, DataIntegrity
        As `rows_of`.
    """
    found: dict[str, ScoredModel] = {}
    for path in paths:
        file, label = _parted(path)
        content = _content(file)
        for name in _names(content, file):
            called = label or label_of(name, content["provenance"])
            found.setdefault(called, ScoredModel(called, name, _input_size(content), seed_of(content["provenance"])))
    return list(found.values())


def units_of(rows: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Return the unit of the scores of each region.

    Raises
    ------
    InvalidOption
        Scores of one region have several.
    """
    found: dict[str, str] = {}
    for row in rows:
        unit = f"{row['metric']}, {row['rule']}"
        if found.setdefault(row["region"], unit) != unit:
            raise InvalidOption(
                f"scores of {row['region']}",
                expected="one metric and one rule for the ceiling",
                got=f"{found[row['region']]} and {unit}",
                next_step="choose one with --metric, or leave out some of the files",
            )
    return found


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    file, label = _parted(path)
    content = _content(file)
    try:
        for each in content["scores"]:
            ceiled = each["interval_of"] == "ceiled"
            yield {
                "model_id": label or label_of(each["model"], content["provenance"]),
                "region": each["region"],
                "benchmark": each["benchmark"],
                "metric": each["metric"],
                "score": each["ceiled"] if ceiled else each["raw"],
                "score_error": each["error"],
                "n_units": each["n_features"] or None,
                "rule": each["ceiled_rule"] if ceiled else f"{each['measure']}, no ceiling",
                "file": str(file),
            }
    except (KeyError, TypeError, AttributeError) as error:
        raise _no_score_file(file, error) from error


def _names(content: dict[str, Any], file: Path) -> list[str]:
    try:
        return list(dict.fromkeys(each["model"] for each in content["scores"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise _no_score_file(file, error) from error


def _input_size(content: dict[str, Any]) -> tuple[int, int] | None:
    size = (content["provenance"].get("model") or {}).get("preprocessing", {}).get("input_size")
    return (int(size[0]), int(size[1])) if size else None


def _parted(path: Path) -> tuple[Path, str]:
    """Return the file and the label of LABEL=FILE; no label where the whole names a file."""
    label, equals, file = str(path).partition("=")
    return (Path(file), label) if equals and label and not path.exists() else (path, "")


def _content(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return {"scores": content["scores"], "provenance": dict(content["provenance"])}
    except OSError as error:
        raise DataUnavailable(
            str(file), expected="a file that can be read", got=error.strerror or str(error), next_step="check the path"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise _no_score_file(file, error) from error


def _no_score_file(file: Path, error: Exception) -> DataIntegrity:
    got = f"no {error}" if isinstance(error, KeyError) else str(error)
    return DataIntegrity(
        str(file), expected="a score file of Ventral", got=got, next_step="make it with `ventral score --json`"
    )
