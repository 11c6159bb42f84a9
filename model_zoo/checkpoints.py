"""Reading weights files without running code from them."""

from __future__ import annotations

import argparse
import hashlib
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from model_zoo.errors import CheckpointError
from model_zoo.weights_file import existing_file

State = Mapping[str, torch.Tensor]

# Where training scripts put the weights, and where their moving average; the first that is there is taken.
_PLAIN_KEYS = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "network",
    "module",
    "student",
    "weights",
)
_EMA_KEYS = (
    *("state_dict_ema", "ema_state_dict", "model_ema", "ema_model", "model_ema_state_dict", "ema", "params_ema"),
    *("ema_params", "averaged_model", "shadow", "teacher"),
)
_RESAVE = "re-save it with torch.save(model.state_dict(), FILE) or as safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """What a weights file holds.

    Attributes
    ----------
    state : the chosen state dict, names as in the file.
    ema : True if these are moving-average weights.
    unused_ema : True if the file holds moving-average weights too, which were not chosen.
    architecture : the architecture the file says it belongs to, or None.
    """

    path: Path
    sha256: str
    state: State
    ema: bool
    unused_ema: bool
    architecture: str | None


def read_checkpoint(path: str | Path, *, ema: bool = False) -> Checkpoint:
    """Return the weights in a safetensors, .pt, .pth, .bin or .ckpt file; the content decides, not the suffix.

    Parameters
    ----------
    path : a local file.
    ema : True for the moving-average weights, False for the plain ones.

    Raises
    ------
    CheckpointError
        If there is no such file, it is not a checkpoint, it holds pickled objects that could run code, or it does not
        hold the kind of weights asked for.

    Notes
    -----
    torch files are read with ``weights_only=True``, plus `argparse.Namespace`, an inert bag of values in which timm and
    torchvision scripts keep their options.
    """
    file = existing_file(path)
    content = _read(file)
    if not isinstance(content, Mapping):
        raise refused(file, "a state dict", f"a {type(content).__name__}", _RESAVE)
    plain, averaged = _sections(content)
    chosen = averaged if ema else plain
    if chosen is None:
        if ema and plain is not None:
            raise refused(
                file, f"EMA weights under one of {', '.join(_EMA_KEYS)}", "only plain weights", "leave out --ema"
            )
        if averaged is not None:
            raise refused(file, "plain weights", "only EMA weights", "pass --ema to use them")
        got = f"the keys {some(map(str, content))}" if content else "an empty file"
        raise refused(file, "a state dict, bare or under a usual key", got, _RESAVE)
    for name, tensor in chosen.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise refused(file, "finite weights", f"NaN or infinity in {name}", "use a checkpoint that did not diverge")
    with file.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    declared = content.get("arch")
    architecture = declared if isinstance(declared, str) else None
    return Checkpoint(file, sha256, chosen, ema, averaged is not None and not ema, architecture)


def _sections(content: Mapping[Any, Any]) -> tuple[State | None, State | None]:
    """Return the plain and the moving-average state dict of a file's content, None where there is none."""
    averaged = next((state for key in _EMA_KEYS if (state := _state(content.get(key))) is not None), None)
    for key in _PLAIN_KEYS:
        if isinstance(nested := content.get(key), Mapping):
            plain, nested_average = _sections(nested)
            if plain is not None or nested_average is not None:
                return plain, averaged if averaged is not None else nested_average
    bare = {name: value for name, value in content.items() if isinstance(value, torch.Tensor) and isinstance(name, str)}
    if 2 * len(bare) <= len(content):  # a tensor or two among the script's own records, not a state dict
        return None, averaged
    # A moving average kept beside the weights in one flat dict: "teacher.conv1.weight".
    beside = {
        name.split(".", 1)[1]: value
        for name, value in bare.items()
        if name.split(".", 1)[0] in _EMA_KEYS and "." in name
    }
    rest = {name: value for name, value in bare.items() if name.split(".", 1)[0] not in _EMA_KEYS}
    return rest or None, averaged if averaged is not None else beside or None


def _state(value: object) -> State | None:
    """Return the state dict in `value`, itself or under a usual key, or None."""
    plain, averaged = _sections(value) if isinstance(value, Mapping) else (None, None)
    return plain if plain is not None else averaged


def _read(file: Path) -> Any:
    try:
        with file.open("rb") as stream:
            head = stream.read(512)
        if _is_safetensors(head, file.stat().st_size):
            from safetensors.torch import load_file

            return load_file(file)
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                damaged = archive.testzip()
            if damaged is not None:
                raise refused(
                    file, "the bytes that were saved", f"other bytes in {damaged}", "copy or download it again"
                )
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd files; the errors below say it better
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        pickled = re.search(r"(?:GLOBAL|global:?|[Cc]lass) `?([\w.]+\.[\w.]+)", str(error))
        if pickled:
            got = f"a pickled {pickled[1]}, which could run code and was not loaded"
            raise refused(file, "tensors only", got, _RESAVE) from error
        raise _not_a_checkpoint(file, head) from error
    except PermissionError as error:
        raise refused(file, "a readable file", "permission denied", "change its permissions") from error
    except (MemoryError, CheckpointError):
        raise
    except Exception as error:  # a damaged file makes the readers fail in every way
        if "TorchScript" in str(error):
            raise refused(file, "a state dict", "a TorchScript program", _RESAVE) from error
        raise _not_a_checkpoint(file, head) from error


def _is_safetensors(head: bytes, size: int) -> bool:
    return len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < size


def _not_a_checkpoint(file: Path, head: bytes) -> CheckpointError:
    text = head.lstrip().lower()
    if not head:
        got, next_step = "an empty file", "copy or download it again"
    elif text.startswith((b"<!doctype", b"<html", b"<?xml")):
        got, next_step = "a web page", "download the file itself, not the page that links to it"
    elif text.startswith(b"version https://git-lfs"):
        got, next_step = "a Git LFS pointer", "run `git lfs pull`"
    elif file.suffix == ".npz":
        got, next_step = "NumPy arrays", "convert it to a torch state dict"
    else:
        got, next_step = "bytes that are no checkpoint, or a damaged one", "copy or download it again"
    return refused(file, "a safetensors or torch checkpoint", got, next_step)


def refused(file: Path, expected: str, got: str, next_step: str) -> CheckpointError:
    """Return the error that says why a weights file cannot be used."""
    return CheckpointError(str(file), expected=expected, got=got, next_step=next_step)


def some(names: Any, n: int = 3) -> str:
    """Return the first names as text, with the number of the others."""
    listed = list(names)
    more = f" and {len(listed) - n} more" if len(listed) > n else ""
    return ", ".join(listed[:n]) + more
