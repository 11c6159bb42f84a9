"""Forward passes taken up right after one call of a module, with the output it had, without what came before.

Calls that had ended by then are not made: they answer at once, with NaN in the shapes they had. Whether what follows
depends on any of them is not known here; `model_zoo.resumption` tries it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn

_Answer = Callable[[], object]


@dataclass(frozen=True)
class Cut:
    """Where a forward pass is taken up.

    Attributes
    ----------
    path, call : the module after whose call of that number, from 1, it is.
    calls : how often every module has run by then, by path; that call itself is not counted.
    answers : by path, what visible calls up to then answer, in order: an output, `ENTER` or `HERE`.
    images : (n_batch, 3, height, width) of the pass that was recorded.
    channels_last : whether the output lay in memory that way.
    dtype : of the output.
    """

    path: str
    call: int
    calls: Mapping[str, int] = field(repr=False)
    answers: Mapping[str, Sequence[object]] = field(repr=False)
    images: torch.Size
    channels_last: bool
    dtype: torch.dtype

    def restored(self, rows: torch.Tensor) -> torch.Tensor:
        """Return a copy of kept rows (n_batch, ...) as the module gave them."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return rows.to(self.dtype).clone(memory_format=layout)


class _Mark:
    """What is no output."""


ENTER, HERE = _Mark(), _Mark()  # a call that is made, because the cut is within it; the call whose output is given


@dataclass
class _Call:
    path: str
    number: int
    parents: frozenset[int]
    output: object = None
    end: float = math.inf


class Recorder:
    """Notes every call of a module's parts during one forward pass.

    Examples
    --------
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(12, 4), nn.ReLU())
    >>> Recorder(net, torch.zeros(2, 3, 2, 2)).cut("1", 1).calls
    {'0': 1}
    """

    def __init__(self, module: nn.Module, images: torch.Tensor) -> None:
        self._calls: list[_Call] = []
        self._open: list[int] = []
        self._ended = 0
        self._numbers: dict[str, int] = {}
        self._images = images.shape
        with ExitStack() as stack, torch.inference_mode():
            for path, child in module.named_modules():
                if path:
                    stack.callback(child.register_forward_pre_hook(partial(self._begin, path)).remove)
                    stack.callback(child.register_forward_hook(self._end).remove)
            module(images)

    def _begin(self, path: str, _module: nn.Module, _inputs: tuple[object, ...]) -> None:
        self._numbers[path] = self._numbers.get(path, 0) + 1
        self._calls.append(_Call(path, self._numbers[path], frozenset(self._open)))
        self._open.append(len(self._calls) - 1)

    def _end(self, _module: nn.Module, _inputs: tuple[object, ...], output: object) -> None:
        call = self._calls[self._open.pop()]
        call.end, self._ended = self._ended, self._ended + 1
        call.output = _mapped(output, lambda tensor: tensor.to("meta"))

    def cut(self, path: str, number: int) -> Cut | None:
        """Return the cut after a call, from 1; None where there was no such call, or its output is not one tensor."""
        places = {(call.path, call.number): place for place, call in enumerate(self._calls)}
        here = places.get((path, number))
        output = None if here is None else self._calls[here].output
        if here is None or not isinstance(output, torch.Tensor) or not output.ndim:
            return None
        answers: dict[str, list[object]] = {}
        counts: dict[str, int] = {}
        ended = {place for place, call in enumerate(self._calls) if call.end <= self._calls[here].end}
        for place in ended - {here}:
            counts[self._calls[place].path] = counts.get(self._calls[place].path, 0) + 1
        for place, call in enumerate(self._calls[: here + 1]):
            if not call.parents & ended:  # else it is within one that answers at once
                answer = HERE if place == here else call.output if place in ended else ENTER
                answers.setdefault(call.path, []).append(answer)
        channels_last = output.ndim == 4 and output.is_contiguous(memory_format=torch.channels_last)
        return Cut(path, number, counts, answers, self._images, channels_last, output.dtype)


class TakenUp:
    """A module whose forward passes begin at a cut, while inside.

    Parameters
    ----------
    module : in eval mode.
    cut : Cut
    """

    def __init__(self, module: nn.Module, cut: Cut) -> None:
        self._module, self._cut = module, cut
        self._answers: dict[str, Iterator[object]] = {}
        self._given = torch.empty(0)
        self._hooks = ExitStack()
        self.reached = False

    def __enter__(self) -> TakenUp:
        with ExitStack() as stack:
            for path in self._cut.answers:
                part = self._module.get_submodule(path)
                before = vars(part).get("forward")
                stack.callback(_put_back, part, before)
                part.forward = partial(self._answer, path, part.forward)
            self._hooks = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._hooks.close()

    def __call__(self, output: torch.Tensor) -> object:
        """Run what follows the cut, from the output (n_batch, ...) there."""
        self.reached, self._given = False, output
        self._answers = {path: iter(answers) for path, answers in self._cut.answers.items()}
        n_batch, *rest = self._cut.images
        return self._module(self._nothing(torch.empty(n_batch, *rest, dtype=output.dtype, device="meta")))

    def _answer(self, path: str, forward: Callable[..., object], *inputs: Any, **options: Any) -> object:
        answer = next(self._answers[path], ENTER)
        if answer is HERE:
            self.reached = True
            return self._given
        return forward(*inputs, **options) if answer is ENTER else _mapped(answer, self._nothing)

    def _nothing(self, like: torch.Tensor) -> torch.Tensor:
        """Return NaN, which takes no memory, in a shape as long for the images at hand as `like` was for its own."""
        shape, recorded = list(like.shape), self._cut.images[0]
        if shape and shape[0] % recorded == 0:
            shape[0] = shape[0] // recorded * len(self._given)
        return torch.full((), math.nan, dtype=like.dtype, device=self._given.device).expand(shape)


def _put_back(part: nn.Module, forward: object) -> None:
    if forward is None:
        del part.forward
    else:
        part.forward = forward  # type: ignore[assignment]


def _mapped(output: object, change: Callable[[torch.Tensor], torch.Tensor]) -> object:
    """Return an output of tensors, tuples, lists and dicts with every tensor changed."""
    if isinstance(output, torch.Tensor):
        return change(output)
    if isinstance(output, Mapping):
        return type(output)({key: _mapped(value, change) for key, value in output.items()})  # type: ignore[call-arg]
    if isinstance(output, tuple) and hasattr(output, "_fields"):
        return type(output)(*[_mapped(each, change) for each in output])  # type: ignore[arg-type]
    if isinstance(output, tuple | list):
        return type(output)([_mapped(each, change) for each in output])
    return output
