"""Run the commands of guides again and put in what they print: the first table, below each command shown alone.

    VENTRAL_MIRROR=... python tools/guide_outputs.py docs/guides/scaling.md

A command is run where a `console` block of one line is followed by a `text` block. Takes some seconds per command.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

SHOWN = re.compile(r"(```console\n(ventral [^\n]*)\n```\n\n```text\n)(.*?)(```\n)", re.DOTALL)


def printed(command: str) -> str:
    """What a command prints, up to the end of its first table."""
    code = [sys.executable, "-c", "from results.cli import main; main()"]
    done = subprocess.run([*code, *shlex.split(command)[1:], "-q"], stdout=subprocess.PIPE, text=True, check=True)
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    rule = next(number for number, line in enumerate(lines) if "───" in line)
    end = next((number for number in range(rule, len(lines)) if not lines[number]), len(lines))
    return "".join(f"{line}\n" for line in lines[:end])


def renewed(found: re.Match[str]) -> str:
    """The same two blocks with today's output."""
    head, command, _, tail = found.groups()
    return f"{head}{printed(command)}{tail}"


if __name__ == "__main__":
    for page in map(Path, sys.argv[1:]):
        page.write_text(SHOWN.sub(renewed, page.read_text(encoding="utf-8")), encoding="utf-8")
