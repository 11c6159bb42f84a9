"""Write benchmarks/datasets/_cowley2023_files.py from the manifest of published files and the study's own readme.

Usage: python tools/cowley2023_files.py manifest.csv.gz readme.txt > benchmarks/datasets/_cowley2023_files.py

The manifest lists repository, commit, path, git blob id, and size and sha256 where known; the readme is
data_V4_responses/readme.txt of github.com/cowleygroup/V4_compact_models. Only sessions whose images are published are
kept. The readme's number of images is wrong for some sessions: the sizes of the response files decide, because a .npy
file holds a 128-byte header and 8 bytes per value.
"""

from __future__ import annotations

import csv
import gzip
import re
import sys
from pathlib import Path

FOLDER = "data_V4_responses"
ROW = re.compile(r"(\d{6})\s+(\w\w)\s+(test|train|val)\s+(\d+)\s+(\d+)\s+(\d+)\s+(\S.*?)\s*$")
AVERAGED_ONLY = {"201025"}

Files = dict[str, dict[str, str]]


def n_values(files: Files, path: str) -> int | None:
    """Return how many float64 a .npy file holds, or None where its size is not known."""
    size = files[path]["bytes"]
    return (int(size) - 128) // 8 if size else None


def exact(values: int, per_row: int, where: str) -> int:
    """Return values / per_row, refusing a remainder."""
    if values % per_row:
        raise SystemExit(f"{where}: expected a multiple of {per_row} values, got {values}; check the readme's table")
    return values // per_row


def main(manifest: Path, readme: Path) -> str:
    """Return the text of the generated module."""
    with gzip.open(manifest, "rt", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["study"] == "cowley2023"]
    files = {row["path"].removeprefix(f"{FOLDER}/"): row for row in rows}
    (commit,) = {row["commit"] for row in rows}
    sessions, published = [], {}
    for match in filter(None, map(ROW.match, readme.read_text().splitlines())):
        session, animal, part, n_neurons, n_repeats, _, images = match.groups()
        archive = f"images/images_{session}.zip"
        if archive not in files:
            continue
        averaged, raw = (f"responses_{kind}/responses_{session}.npy" for kind in ("repeat_averaged", "raw"))
        n_averages = n_values(files, averaged)
        if n_averages is None:
            raise SystemExit(f"{averaged}: expected a known size, got none; add it to the manifest")
        n_images = exact(n_averages, int(n_neurons), averaged)
        n_raw = n_values(files, raw)
        most = int(n_repeats) if n_raw is None else exact(n_raw, n_averages, raw)
        sessions.append((session, animal, part, int(n_neurons), n_images, most, re.sub(r"\s*\([\d,]+\)", "", images)))
        published[f"images_{session}.zip"] = files[archive]
        kind, path = ("repeat_averaged", averaged) if session in AVERAGED_ONLY else ("raw", raw)
        published[f"responses_{kind}_{session}.npy"] = files[path]
    return render(commit, sessions, published)


def render(commit: str, sessions: list[tuple[str, str, str, int, int, int, str]], published: Files) -> str:
    """Return the module's source, one fact a line."""
    lines = [
        '"""Published files and sessions of Cowley et al. 2023. Written by tools/cowley2023_files.py: do not edit."""',
        "",
        f'COMMIT = "{commit}"',
        f'FOLDER = "{FOLDER}"',
        "",
        "# session, animal, part of the study, neurons, images, repeats (the most where known), kinds of image",
        "SESSIONS: tuple[tuple[str, str, str, int, int, int, str], ...] = (",
        *(
            f'    ("{session}", "{animal}", "{part}", {", ".join(map(str, counts))}, "{images}"),'
            for session, animal, part, *counts, images in sessions
        ),
        ")",
        "",
        "# by name in the data folder",
        *table("GIT_BLOB_SHA1", "str", {path: f'"{row["git_blob_sha1"]}"' for path, row in published.items()}),
        "",
        *table("N_BYTES", "int", {path: row["bytes"] for path, row in published.items() if row["bytes"]}),
        "",
        *table("SHA256", "str", {path: f'"{row["sha256"]}"' for path, row in published.items() if row["sha256"]}),
    ]
    return "\n".join(lines) + "\n"


def table(name: str, kind: str, values: dict[str, str]) -> list[str]:
    """Return the lines of one dict literal."""
    entries = (f'    "{path}": {value},' for path, value in values.items())
    return [f"{name}: dict[str, {kind}] = {{", *entries, "}"]


if __name__ == "__main__":
    sys.stdout.write(main(Path(sys.argv[1]), Path(sys.argv[2])))
