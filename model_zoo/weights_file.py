"""Where a weights file is, found without torch so that a wrong path is refused at once."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from model_zoo.errors import CheckpointError

_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")


def existing_file(path: str | Path) -> Path:
    """Return the local weights file at `path`, the home folder written out.

    Raises
    ------
    CheckpointError
        If it is an address, or no file is there; names the nearest ones.
    """
    if re.match(r"(https?|hf|s3|gs):", str(path)):
        raise CheckpointError(str(path), expected="a local file", got="an address", next_step="download it first")
    file = Path(path).expanduser()
    if file.is_file():
        return file
    folder = file if file.is_dir() else file.parent
    siblings = sorted(other.name for other in folder.iterdir() if other.is_file()) if folder.is_dir() else []
    near = difflib.get_close_matches(file.name, siblings, n=3) or [s for s in siblings if s.endswith(_SUFFIXES)][:3]
    got = "a folder" if file.is_dir() else "nothing there" if folder.is_dir() else f"no folder {folder}"
    next_step = f"did you mean {', '.join(str(folder / name) for name in near)}?" if near else "check the path"
    raise CheckpointError(str(path), expected="a weights file", got=got, next_step=next_step)
