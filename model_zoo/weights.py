"""Filling an architecture with a checkpoint's weights: completely, or not at all unless a part is wanted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from model_zoo.checkpoints import Checkpoint, State, refused, some
from model_zoo.contracts import WeightsReport
from model_zoo.errors import CheckpointError

# Names that wrappers put before every key.
_PREFIXES = (
    "module",
    "_orig_mod",
    "model",
    "net",
    "network",
    "backbone",
    "encoder",
    "student",
    "teacher",
    "base_model",
)
# Bookkeeping that is no weight: an architecture without it is complete all the same.
_BOOKKEEPING = re.compile(
    r"(.*\.)?(num_batches_tracked|n_averaged|relative_position_index|attn_mask|total_(ops|params))"
)
# Names of older releases in torchvision's published DenseNet and ViT files; torchvision renames them as it loads.
_RENAMED = (
    (re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)"), r"\1\2"),
    (re.compile(r"(encoder_layer_\d+\.mlp\.)linear_1\."), r"\g<1>0."),
    (re.compile(r"(encoder_layer_\d+\.mlp\.)linear_2\."), r"\g<1>3."),
)


def head_width(module: nn.Module, checkpoint: Checkpoint) -> int | None:
    """Return the number of classes the checkpoint's classifier head seems to have, None if it has the architecture's.

    What differs in axis 0 only, everywhere from the same length to the same other length, looks like a head.
    """
    fit = _Fit.of(module, checkpoint)
    widths = {(expected[0], got[0]) for expected, got in fit.mismatched.values() if expected and got}
    same_rest = all(expected[1:] == got[1:] for expected, got in fit.mismatched.values())
    return widths.pop()[1] if len(widths) == 1 and same_rest else None


def n_matching(module: nn.Module, checkpoint: Checkpoint) -> int:
    """Return how many keys of `module` the checkpoint fills, names and shapes considered."""
    return len(_Fit.of(module, checkpoint).matched)


def load_weights(module: nn.Module, checkpoint: Checkpoint, *, model: str, partial: bool = False) -> WeightsReport:
    """Fill `module` with the checkpoint's weights, in place, and report how many keys met.

    Parameters
    ----------
    module : the architecture; untouched if this raises.
    model : its name, for messages.
    partial : True accepts missing, unexpected and mismatched keys as long as at least one fits.

    Raises
    ------
    CheckpointError
        If the checkpoint does not fill the architecture exactly and `partial` is False, or nothing fits.
    """
    fit = _Fit.of(module, checkpoint)
    complete = not (fit.missing or fit.unexpected or fit.mismatched)
    if not fit.matched or not (complete or partial):
        raise _misfit(fit, checkpoint, model)
    # Not load_state_dict: some torchvision classes refuse a dict that does not say its version.
    own = module.state_dict()
    with torch.no_grad():
        for name, tensor in fit.matched.items():
            own[name].copy_(tensor)
    note = " (plain weights; the file also holds EMA weights, chosen by --ema)" if checkpoint.unused_ema else ""
    return WeightsReport(
        source=f"{checkpoint.path}{note}",
        n_loaded=len(fit.matched),
        n_expected=fit.n_expected,
        missing=(*fit.missing, *fit.mismatched),
        unexpected=fit.unexpected,
        sha256=checkpoint.sha256,
        ema=checkpoint.ema,
    )


@dataclass(frozen=True)
class _Fit:
    """How a checkpoint's keys meet an architecture's, after wrappers' prefixes were taken off."""

    matched: State
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]

    @property
    def n_expected(self) -> int:
        return len(self.matched) + len(self.missing) + len(self.mismatched)

    @classmethod
    def of(cls, module: nn.Module, checkpoint: Checkpoint) -> _Fit:
        expected = module.state_dict()
        state = _without_prefixes(_current_names(checkpoint.state), expected)
        shapes = {name: (tuple(expected[name].shape), tuple(state[name].shape)) for name in expected if name in state}
        return cls(
            matched={name: state[name] for name, (wanted, got) in shapes.items() if wanted == got},
            missing=tuple(name for name in expected if name not in state and not _BOOKKEEPING.fullmatch(name)),
            unexpected=tuple(name for name in state if name not in expected and not _BOOKKEEPING.fullmatch(name)),
            mismatched={name: pair for name, pair in shapes.items() if pair[0] != pair[1]},
        )


def _current_names(state: State) -> State:
    renamed = dict(state)
    for pattern, replacement in _RENAMED:
        renamed = {pattern.sub(replacement, name): tensor for name, tensor in renamed.items()}
    return renamed


def _without_prefixes(state: State, expected: Mapping[str, Any]) -> State:
    """Return the state with the stack of wrapper prefixes taken off that lets most keys meet; fewest prefixes first."""
    best, n_best = state, sum(name in expected for name in state)
    layer = [state]
    for _depth in range(4):
        layer = [stripped for current in layer for stripped in _strip_one(current)]
        for stripped in layer:
            n_met = sum(name in expected for name in stripped)
            if n_met > n_best:
                best, n_best = stripped, n_met
    return best


def _strip_one(state: State) -> Iterator[State]:
    present = {name.split(".", 1)[0] for name in state if "." in name}
    for prefix in _PREFIXES:
        if prefix in present:
            stripped = {name.removeprefix(f"{prefix}."): tensor for name, tensor in state.items()}
            if len(stripped) == len(state):  # otherwise two keys would become one
                yield stripped


def _misfit(fit: _Fit, checkpoint: Checkpoint, model: str) -> CheckpointError:
    parts = []
    if fit.missing:
        parts.append(f"missing {some(fit.missing)}")
    if fit.unexpected:
        parts.append(f"unexpected {some(fit.unexpected)}")
    if fit.mismatched:
        shapes = (f"{name} {list(got)} instead of {list(want)}" for name, (want, got) in fit.mismatched.items())
        parts.append(f"other shapes: {some(shapes)}")
    share = len(fit.matched) / fit.n_expected if fit.n_expected else 0.0
    got = f"{len(fit.matched)} ({share:.0%}); " + "; ".join(parts)
    declared = f" (the file says {checkpoint.architecture!r})" if checkpoint.architecture else ""
    next_step = f"check that these weights are of {model}{declared}"
    if fit.matched:
        next_step += ", or pass --partial to use what fits"
    return refused(checkpoint.path, f"all {fit.n_expected} keys of {model}, and no others", got, next_step)
