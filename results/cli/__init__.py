"""The command `ventral`: one file per command, nothing heavy imported before a command needs it."""

from results.cli.app import main

__all__ = ["main"]
