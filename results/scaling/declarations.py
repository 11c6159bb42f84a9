"""YAML files that declare experiments: found, read strictly, inheritance resolved.

A file holds::

    study: mine
    templates:                          # optional; inherited through `extends`, within the file
      all: {x: {total_flops: 1.0e+13}, form: power, where: {region: [V4, IT]}}
    experiments:
      mine_vit: {extends: all, where: {arch_family: [ViT]}}

The entries of `where` and `rename` are merged with the inherited ones, and null lifts one; every other key of the child
replaces the parent's. What the keys mean says `results.scaling.studies.Experiment`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from model_zoo.errors import DataIntegrity, DataUnavailable, DuplicateName, InvalidOption

_MERGED = ("where", "rename")


class _File(BaseModel):
    """What a file may hold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    study: str
    templates: dict[str, dict[str, Any]] = {}
    experiments: dict[str, dict[str, Any]] = Field(min_length=1)


def files(paths: Iterable[Path]) -> list[Path]:
    """Return the YAML files among paths to files and folders, in order.

    Raises
    ------
    DataUnavailable
        A path at which nothing is, or a folder without a YAML file.
    """
    found: list[Path] = []
    for path in paths:
        here = sorted([*path.glob("*.yaml"), *path.glob("*.yml")]) if path.is_dir() else [path]
        if not here or not here[0].exists():
            raise DataUnavailable(
                f"experiments {path}",
                expected="a YAML file, or a folder of them",
                got="a folder without any" if path.is_dir() else "nothing there",
                next_step="check the path",
            )
        found += here
    return found


def declared(file: Path) -> dict[str, dict[str, Any]]:
    """Return the experiments of a file by name: their keys, with "study" and all that they inherit.

    Raises
    ------
    DataUnavailable
        It cannot be read.
    DataIntegrity
        It is no YAML.
    DuplicateName
        A key is there twice: YAML readers would silently take the last.
    InvalidOption
        An unknown key at the top, or an unknown template.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataUnavailable(
            str(file), expected="a readable text file", got=str(error), next_step="check the file"
        ) from error
    content = _parsed(text, str(file))
    try:
        checked = _File.model_validate(content)
    except ValidationError as error:
        place, expected, got = in_words(error)
        raise InvalidOption(
            f"{file}, {place}" if place else str(file),
            expected=expected,
            got=got,
            next_step="give it `study`, `experiments` and, if wanted, `templates`",
        ) from error
    return {
        name: {"study": checked.study, **_resolved(keys, checked.templates, f"{file}, {name}", ())}
        for name, keys in checked.experiments.items()
    }


_KEYS, _LIST, _NUMBER = "keys with values, as in `key: value`", "a list, such as [V4]", "a number"
_WANTED = {
    "model_type": _KEYS,
    "dict_type": _KEYS,
    "tuple_type": _LIST,
    "string_type": "text",
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "too_short": "at least one",
    "missing": "this key",
    "extra_forbidden": "a key that is known",
}
_SCALARS = ("bool", "int", "float", "str")


def in_words(error: ValidationError) -> tuple[str, str, str]:
    """Return where a file first breaks a rule, "" for the file itself, what was expected there and what it holds."""
    first = error.errors()[0]
    place, kind = list(map(str, first["loc"])), first["type"]
    expected = _WANTED.get(kind, str(first["msg"]).removeprefix("Value error, "))
    if place and place[-1] in _SCALARS:  # the first of the kinds that a value may have
        del place[-1]
        expected = "text, a number, true or false"
    got = "nothing" if kind == "missing" or first["input"] is None else repr(first["input"])[:200]
    return ".".join(place), expected, got


@lru_cache(maxsize=64)
def _parsed(text: str, where: str) -> Any:
    import yaml

    try:
        repeated = _repeated_key(yaml.compose(text, Loader=yaml.SafeLoader))
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DataIntegrity(
            where, expected="YAML", got=" ".join(str(error).split()), next_step="correct the file"
        ) from error
    if repeated:
        raise DuplicateName(where, expected="every key once", got=f"{repeated!r} twice", next_step="rename one of them")
    return content


def _repeated_key(node: Any) -> str:
    """Return a key that a mapping of a YAML document holds twice, or ""."""
    if node is None or isinstance(node.value, str):
        return ""
    entries = [entry if isinstance(entry, tuple) else (None, entry) for entry in node.value]
    keys = [str(key.value) for key, _ in entries if key is not None]
    twice = [key for number, key in enumerate(keys) if key in keys[:number]]
    return twice[0] if twice else next(filter(None, (_repeated_key(child) for _, child in entries)), "")


def _resolved(
    keys: Mapping[str, Any], templates: Mapping[str, Any], where: str, through: tuple[str, ...]
) -> dict[str, Any]:
    """Return what is declared together with what it inherits."""
    own = {key: value for key, value in keys.items() if key != "extends"}
    parent = keys.get("extends")
    inherited: dict[str, Any] = {}
    if parent is not None:
        if parent not in templates or parent in through:
            raise InvalidOption(
                f"{where}, extends {parent!r}",
                expected=f"a template of this file ({', '.join(templates) or 'none'})",
                got="one that extends itself" if parent in through else "no such template",
                next_step="correct `extends`",
            )
        inherited = _resolved(templates[parent], templates, where, (*through, parent))
    merged = {**inherited, **own}
    for key in _MERGED:
        if isinstance(own.get(key), dict):
            both = {**inherited.get(key, {}), **own[key]}
            merged[key] = {name: value for name, value in both.items() if value is not None}
    return merged
