"""One family of errors: where it happened, what was expected, what arrived, and the next step."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class VentralError(Exception):
    """Base of every error Ventral raises on purpose.

    Parameters
    ----------
    where : str
        The place in the user's words: a file, a name, an option.
    expected : str
        The rule that was broken, completing "expected ...".
    got : str
        What arrived instead, completing "got ...".
    next_step : str
        What the user can do now.
    """

    exit_code = 2

    def __init__(self, where: str, *, expected: str, got: str, next_step: str) -> None:
        self.where, self.expected, self.got, self.next_step = where, expected, got, next_step
        super().__init__(f"{where}: expected {expected}, got {got}; {next_step}")

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.where, self.expected, self.got, self.next_step))


def _rebuild(cls: type[VentralError], where: str, expected: str, got: str, next_step: str) -> VentralError:
    error = cls.__new__(cls)
    VentralError.__init__(error, where, expected=expected, got=got, next_step=next_step)
    return error


class UnknownName(VentralError):
    """A model, benchmark, metric or layer that does not exist; the next step names the nearest ones."""

    def __init__(self, kind: str, name: str, known: Iterable[str], *, hint: str = "") -> None:
        near = nearest_names(name, known)
        suggestion = f"did you mean {', '.join(near)}?" if near else hint or f"see `ventral list {kind}s`"
        super().__init__(f"{kind} {name!r}", expected=f"a known {kind}", got="no such name", next_step=suggestion)


class DuplicateName(VentralError):
    """Two files claim one name."""


class ShapeMismatch(VentralError):
    """Arrays whose axes do not fit together."""


class DataIntegrity(VentralError):
    """Bytes that are not the bytes that were published: wrong hash, corrupted archive or image."""


class DataUnavailable(VentralError):
    """A file that is neither here, nor in the mirror, nor reachable."""


class CheckpointError(VentralError):
    """A weights file that cannot be read safely, or does not fit the architecture."""


class LeakageError(VentralError):
    """Test data would have been used to choose or fit something."""


class ResourceError(VentralError):
    """Out of memory, disk or device."""


class MissingExtra(VentralError):
    """An optional part is not installed."""


class InvalidOption(VentralError):
    """An option or argument outside its range."""


def nearest_names(name: str, known: Iterable[str], n: int = 3) -> list[str]:
    """Return up to `n` known names closest to `name`, ignoring case, best first."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), list(by_lower), n=n, cutoff=0.6)
    return [by_lower[match] for match in close]
