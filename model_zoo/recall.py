"""A model known from what was noted when it was last built, and built again only if it has to be run.

What finished scores are filed under holds a model's identity, which takes seconds to find: the libraries that define
the model are imported, its weights drawn or read, and hashed. Here it is noted under all that decides it, so that
whoever only looks up scores imports no torch. A model that is built after all must be the one that was noted.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from functools import partial as bound
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import model_zoo
from model_zoo import cache
from model_zoo.contracts import LoadedModel, Preprocessing, WeightsReport
from model_zoo.errors import DataIntegrity, ResourceError
from model_zoo.machine import home
from model_zoo.revision import code_revision, installed_code, library_versions

if TYPE_CHECKING:
    from torch import nn

_DEFINE_MODELS = ("torch", "torchvision", "timm")
_PROCESSOR = ("model name", "flags", "Features", "CPU implementer", "CPU part")  # lines of /proc/cpuinfo


class RecalledModel(LoadedModel):
    """A model as it was noted; `module` is built when it is first asked for.

    Raises
    ------
    DataIntegrity
        From `module`: it is not the model that was noted.
    """

    _build: Callable[[LoadedModel], nn.Module]

    @classmethod
    def of(cls, noted: Mapping[str, Any], build: Callable[[LoadedModel], nn.Module]) -> RecalledModel:
        """Return the model that `noted` describes; ``build(model)`` gives its module."""
        model: RecalledModel = object.__new__(cls)
        for name, value in {**noted, "_build": build}.items():
            object.__setattr__(model, name, value)
        return model

    def __getattr__(self, name: str) -> Any:
        """Return the module where it was not asked for before."""
        if name != "module":
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        object.__setattr__(self, name, self._build(self))
        return self.module


def is_built(model: LoadedModel) -> bool:
    """Return whether the model's module is in memory, where it may have been changed."""
    return "module" in vars(model)


def recall_model(
    name: str,
    *,
    seed: int = 0,
    weights: str | Path | None = None,
    ema: bool = False,
    partial: bool = False,
    overrides: Mapping[str, object] | None = None,
    use_cache: bool = True,
) -> LoadedModel:
    """Return what `model_zoo.load_model` returns, unbuilt where it was noted before.

    For the command line: in a process where other code runs, it may have changed what a name builds. Where another
    package adds models, nothing is noted for the same reason.

    Parameters
    ----------
    name, seed, weights, ema, partial, overrides : see `model_zoo.load_model`, which also says what is raised.
    use_cache : False builds the model, and neither reads nor writes a note.

    Returns
    -------
    LoadedModel
        Every field as `load_model` gives it. Whoever reads `module` imports torch and builds it.
    """
    options: dict[str, Any] = {"seed": seed, "weights": weights, "ema": ema, "partial": partial, "overrides": overrides}

    def load() -> LoadedModel:
        return model_zoo.load_model(name, **options)

    sha256 = None if weights is None or not use_cache else _sha256(Path(weights))
    key = _key(name, options, sha256) if use_cache else None
    if key is None:
        return load()
    noted = _noted(key)
    if noted is not None:
        return RecalledModel.of(noted, bound(_built, key, load))
    model = load()
    if model.weights.sha256 == sha256:
        _note(key, model)
    return model


def _key(name: str, options: Mapping[str, Any], sha256: str | None) -> str | None:
    """Return what a model is noted under: all that decides what is built; None where that is not known."""
    revision = code_revision(("model_zoo",))
    if revision is None or entry_points(group=model_zoo.MODELS.group):
        return None
    if options["weights"] is not None and sha256 is None:
        return None
    return cache.content_key(
        "model",
        name,
        sorted((field, repr(value)) for field, value in options.items()),
        sha256,
        revision,
        library_versions(),
        installed_code(_DEFINE_MODELS),
        _processor(),
    )


def _built(key: str, load: Callable[[], LoadedModel], noted: LoadedModel) -> nn.Module:
    """Return the module of the model that was noted; where another one is built, that one is noted instead."""
    model = load()
    if any(getattr(model, name) != getattr(noted, name) for name in _described()):
        _note(key, model)
        raise DataIntegrity(
            f"model {model.name}",
            expected=f"the identity noted when it was last built, {noted.identity[:12]}",
            got=f"{model.identity[:12]}",
            next_step="run again: what was noted is corrected",
        )
    return model.module


def _described() -> tuple[str, ...]:
    return tuple(field.name for field in fields(LoadedModel) if field.name != "module")


def _noted(key: str) -> dict[str, Any] | None:
    arrays = cache.load(home() / "cache", key)
    if arrays is None:
        return None
    content = json.loads(arrays["content"].tobytes())
    kinds: dict[str, Callable[..., object]] = {"preprocessing": Preprocessing, "weights": WeightsReport}
    for name, kind in kinds.items():
        values = {field: tuple(value) if isinstance(value, list) else value for field, value in content[name].items()}
        content[name] = kind(**values)
    return dict(content)


def _note(key: str, model: LoadedModel) -> None:
    content = {name: getattr(model, name) for name in _described()}
    content |= {name: asdict(content[name]) for name in ("preprocessing", "weights")}
    text = np.frombuffer(json.dumps(content).encode(), np.uint8)
    with contextlib.suppress(ResourceError, OSError):  # a folder that refuses files only costs time
        meta = {"what": "description of a model", "model": model.name, "weights": model.weights.source}
        cache.store(home() / "cache", key, {"content": text}, meta)


def _sha256(file: Path) -> str | None:
    """Return the digest of a weights file; None where it cannot be read, which loading it will say better."""
    try:
        with file.expanduser().open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return None


def _processor() -> tuple[object, ...]:
    """Return what may change the last bits of weights drawn from a seed: the processor and what torch uses of it."""
    found = [platform.machine(), platform.processor(), os.environ.get("ATEN_CPU_CAPABILITY", "")]
    with contextlib.suppress(OSError):
        first = Path("/proc/cpuinfo").read_text().split("\n\n", 1)[0]
        found += [line for line in first.splitlines() if line.startswith(_PROCESSOR)]
    return tuple(found)
