"""Finds content by walking a folder: one file per family, study or metric, each holding `ENTRIES`, a tuple of cards.

Nothing registers itself and no file lists its neighbours. A folder is scanned on first use; a file that cannot be used
is kept apart and reported, the rest stay usable; two files that claim one name are an error. Importing this module
imports no torch, and content files keep heavy imports inside their functions.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any, Generic, TypeVar

from model_zoo.errors import DuplicateName, UnknownName

Card = TypeVar("Card")


@dataclass(frozen=True)
class Broken:
    """A content file or entry point that was set aside: which one, and why."""

    source: str
    reason: str


@dataclass(frozen=True)
class _Scan(Generic[Card]):
    cards: dict[str, Card]
    broken: tuple[Broken, ...]


class Registry(Generic[Card]):
    """Cards of one kind, from a content folder and from other installed packages.

    Parameters
    ----------
    kind : str
        Singular word for error messages: "model", "benchmark", "metric".
    card_type : type
        Frozen dataclass every entry must be an instance of; it has a `name`.
    package : str
        Import name of the content folder, e.g. "model_zoo.models". Files whose name starts with "_" are skipped.
    group : str
        Entry-point group, e.g. "ventral.models"; an entry point names a module with `ENTRIES`, or a tuple of cards.

    Examples
    --------
    >>> from benchmarks.contracts import BenchmarkCard
    >>> registry = Registry("benchmark", BenchmarkCard, "benchmarks.datasets", "ventral.benchmarks")
    >>> all(isinstance(name, str) for name in registry.names())
    True
    """

    def __init__(self, kind: str, card_type: type[Card], package: str, group: str) -> None:
        self.kind, self.card_type, self.package, self.group = kind, card_type, package, group
        self._scanned: _Scan[Card] | None = None

    def names(self) -> tuple[str, ...]:
        """Return every name, in natural order ("a2" before "a10").

        Raises
        ------
        DuplicateName
            If two sources claim one name.
        """
        return tuple(self._scan().cards)

    def cards(self) -> tuple[Card, ...]:
        """Return every card, in the order of `names`."""
        return tuple(self._scan().cards.values())

    @property
    def broken(self) -> tuple[Broken, ...]:
        """Sources that were set aside, in the order they were found."""
        return self._scan().broken

    def get(self, name: str) -> Card:
        """Return the card called exactly `name`.

        Raises
        ------
        UnknownName
            If nobody claims the name; names the nearest ones, or else the files that could not be read.
        """
        scan = self._scan()
        if name not in scan.cards:
            hint = "; ".join(f"{b.source} is broken: {b.reason}" for b in scan.broken)
            raise UnknownName(self.kind, name, scan.cards, hint=hint)
        return scan.cards[name]

    def refresh(self) -> None:
        """Forget what was found, so that the next call looks again."""
        importlib.invalidate_caches()
        self._scanned = None

    def _scan(self) -> _Scan[Card]:
        if self._scanned is None:
            self._scanned = self._find()
        return self._scanned

    def _find(self) -> _Scan[Card]:
        owners: dict[str, tuple[str, Card]] = {}
        broken: list[Broken] = []
        for source, load in self._sources():
            try:
                entries = _check_entries(load(), self.card_type)
            except (Exception, SystemExit) as error:  # a content file may fail in any way; it is set aside and reported
                broken.append(Broken(source, f"{type(error).__name__}: {error}"))
                continue
            for name, card in entries:
                if name in owners:
                    raise DuplicateName(
                        f"{self.kind} {name!r}",
                        expected="one file to claim the name",
                        got=f"two: {owners[name][0]} and {source}",
                        next_step="rename it in one of them",
                    )
                owners[name] = (source, card)
        cards = {name: owners[name][1] for name in sorted(owners, key=natural_key)}
        return _Scan(cards, tuple(broken))

    def _sources(self) -> Iterator[tuple[str, Any]]:
        folder = importlib.import_module(self.package)
        for name in sorted((info.name for info in pkgutil.iter_modules(folder.__path__)), key=natural_key):
            if not name.startswith("_"):
                module = f"{self.package}.{name}"
                spec = importlib.util.find_spec(module)
                source = spec.origin if spec is not None and spec.origin else module
                yield source, lambda module=module: importlib.import_module(module)
        for point in sorted(entry_points(group=self.group), key=lambda point: (natural_key(point.name), point.value)):
            yield f"entry point {point.name!r} ({point.value})", point.load


def _check_entries(found: Any, card_type: type[Card]) -> list[tuple[str, Card]]:
    if isinstance(found, ModuleType):
        if not hasattr(found, "ENTRIES"):
            raise AttributeError("no ENTRIES; declare a tuple of cards of that name")
        found = found.ENTRIES
    if not isinstance(found, tuple):
        raise TypeError(f"ENTRIES is a {type(found).__name__}, not a tuple")
    entries: list[tuple[str, Card]] = []
    for card in found:
        if not isinstance(card, card_type):
            raise TypeError(f"ENTRIES holds a {type(card).__name__}, not a {card_type.__name__}")
        name = getattr(card, "name", None)
        if not isinstance(name, str) or not name:
            raise TypeError(f"a card's name is {name!r}, not a non-empty str")
        entries.append((name, card))
    _refuse_repeats(name for name, _ in entries)
    return entries


def _refuse_repeats(names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"ENTRIES holds two cards called {name!r}")
        seen.add(name)


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Return a sort key that reads digits as numbers and ignores case: "V2" < "V10".

    Examples
    --------
    >>> sorted(["b", "a10", "a2"], key=natural_key)
    ['a2', 'a10', 'b']
    """
    parts = re.findall(r"\d+|\D+", name)
    return (*((0, int(p), "") if p.isdecimal() else (1, 0, p.lower()) for p in parts), (-1, 0, name))
