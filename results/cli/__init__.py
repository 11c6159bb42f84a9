"""The command `ventral`: one file per command, nothing heavy imported before a command needs it."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit with its code.

    0 done, 1 a bug, 2 bad input or resources, 130 interrupted (Ctrl-C), 143 terminated (SIGTERM).
    """
    from results.cli.rooms import refuse_foreign_rooms

    refuse_foreign_rooms()
    from results.cli.app import run

    run()
