"""Where a model's activations can be read: listing layers, and tapping them in a forward pass."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from model_zoo.contracts import Layer
from model_zoo.cuts import Cut, TakenUp
from model_zoo.errors import InvalidOption, ShapeMismatch, UnknownName

# Axis 0 is the batch axis if it has this length in the probe; an uncommon axis length, so that it is no coincidence.
_PROBE_BATCH = 3
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
# Modules that hand on what they received, by class name because timm and torchvision each have their own.
_PASS_ON = re.compile(r"Identity|\w*Dropout\w*|DropPath|DropBlock2d|StochasticDepth|(Un)?[Ff]latten|Permute")
_LAYER_NAME = re.compile(r"(?P<path>[^\[#]+?)(#(?P<call>\d+))?(?P<elements>(\[[^\]]*\])*)(?P<input>@input)?")

OnOutput = Callable[[str, torch.Tensor], None]
OnCall = Callable[[str, nn.Module, tuple[object, ...], object], None]


def list_layers(module: nn.Module, input_size: tuple[int, int], all_modules: bool = False) -> tuple[Layer, ...]:
    """Return the layers of `module` in execution order, from one probe forward pass.

    Parameters
    ----------
    module : in eval mode.
    input_size : (height, width) in pixels.
    all_modules : True for every module that ran; False for the candidates only: the repeated blocks of a network
        (residual, transformer, dense...) and the modules around them (stem, pooling, norm, head).

    Returns
    -------
    tuple of Layer. A module that ran twice has ``path`` and ``path#2``; one whose output is a tuple or dict has
    ``path[0]``, ``path[key]``. Outputs that are not floating-point tensors with the batch on axis 0 are left out
    (windows folded into the batch, sequence-first tensors): they cannot be joined to stimuli.

    Raises
    ------
    ShapeMismatch
        If the model cannot look at images of this size.
    """
    shapes = _probe(module, input_size)
    blocks = set(_block_paths(module))
    paths = {name: _parse(name).path for name in shapes}
    kinds = {path: type(module.get_submodule(path)).__name__ for path in set(paths.values())}
    layers = tuple(
        Layer(name, shape, kinds[paths[name]], order, paths[name] in blocks)
        for order, (name, shape) in enumerate(shapes.items())
    )
    return layers if all_modules else tuple(layer for layer in layers if layer.is_block)


class Taps:
    """Reads layers during forward passes, which stop right after the last one needed.

    Parameters
    ----------
    module : in eval mode, on the device of the batches.
    names : layer names as `list_layers` gives them; with "@input" after it, what the module received.
    cut : where passes are taken up; None: at the images. All names must come after it.

    Raises
    ------
    UnknownName
        If a name belongs to no module.

    Examples
    --------
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(12, 4), nn.ReLU())
    >>> with Taps(net, ["1"]) as taps:
    ...     taps.run(torch.zeros(2, 3, 2, 2), lambda name, output: print(name, tuple(output.shape)))
    1 (2, 4)
    """

    def __init__(self, module: nn.Module, names: Sequence[str], cut: Cut | None = None) -> None:
        self._module = module
        self._taken_up = None if cut is None else TakenUp(module, cut)
        self._names = frozenset(names)
        modules = dict(module.named_modules(remove_duplicate=False))
        self._tapped: dict[str, nn.Module] = {}
        for name in names:
            path = _parse(name).path
            if path not in modules or not path:
                raise UnknownName("layer", name, modules, hint="see `ventral layers MODEL --all`")
            self._tapped[path] = modules[path]
        self._wanted: dict[str, list[_Address]] = {}
        for address in map(_parse, sorted(self._names)):
            self._wanted.setdefault(address.path, []).append(address)
        self._hooks = ExitStack()
        ran = {} if cut is None else {part: cut.calls.get(path, 0) for path, part in module.named_modules()}
        self._ran = {path: ran.get(tapped, 0) for path, tapped in self._tapped.items()}
        self._calls: dict[str, int] = {}
        self._pending: set[str] = set()

    def __enter__(self) -> Taps:
        with ExitStack() as stack:
            if self._taken_up is not None:
                stack.enter_context(self._taken_up)
            for path, tapped in self._tapped.items():
                stack.callback(tapped.register_forward_hook(self._hook(path)).remove)
            self._hooks = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._hooks.close()

    def run(self, batch: torch.Tensor, on_output: OnOutput) -> None:
        """Run one batch and hand every wanted layer's output to `on_output` at the moment it exists.

        Parameters
        ----------
        batch : (n_batch, 3, height, width); with a cut, the output (n_batch, ...) there.
        on_output : ``on_output(name, output)`` with output of shape (n_batch, ...), detached but not copied: copy it
            during the call, because a later in-place operation of the model may overwrite it.

        Raises
        ------
        ShapeMismatch
            If an output is not a floating-point tensor with the batch on axis 0.
        InvalidOption
            If a wanted layer never ran.
        """
        self._calls = dict(self._ran)
        self._pending = set(self._names)
        self._n_batch, self._on_output = len(batch), on_output
        try:
            with torch.inference_mode():
                (self._taken_up or self._module)(batch)
        except _LastOutputRead:
            pass
        if self._pending:
            raise InvalidOption(
                f"layer {min(self._pending)!r}",
                expected="a layer whose module runs in the forward pass",
                got="no output of it",
                next_step="see `ventral layers MODEL --all`",
            )

    def _hook(self, path: str) -> Callable[[nn.Module, tuple[object, ...], object], None]:
        def read(_module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
            if not self._pending or (self._taken_up is not None and not self._taken_up.reached):
                return
            self._calls[path] += 1
            for address in self._wanted[path]:
                if address.call == self._calls[path]:
                    value = next(iter(inputs), None) if address.is_input else output
                    self._on_output(address.name, self._check(address.name, _element(value, address)))
                    self._pending.discard(address.name)
            if not self._pending:
                raise _LastOutputRead

        return read

    def _check(self, name: str, output: object) -> torch.Tensor:
        if not isinstance(output, torch.Tensor) or not output.is_floating_point():
            got = str(output.dtype) if isinstance(output, torch.Tensor) else type(output).__name__
            expected = "a floating-point tensor"
        elif output.ndim < 1 or len(output) != self._n_batch:
            got, expected = f"shape {tuple(output.shape)}", f"{self._n_batch} stimuli on axis 0"
        else:
            return output.detach()
        raise ShapeMismatch(f"layer {name!r}", expected=expected, got=got, next_step="see `ventral layers MODEL --all`")


class _LastOutputRead(BaseException):
    """Ends a forward pass early; not an Exception, so that no model swallows it."""


@dataclass(frozen=True)
class _Address:
    name: str
    path: str
    call: int
    elements: tuple[str, ...]
    is_input: bool = False


def _parse(name: str) -> _Address:
    match = _LAYER_NAME.fullmatch(name)
    if match is None:
        return _Address(name, "", 1, ())
    elements = tuple(re.findall(r"\[([^\]]*)\]", match["elements"]))
    return _Address(name, match["path"], int(match["call"] or 1), elements, match["input"] is not None)


def call_of(name: str) -> tuple[str, int] | None:
    """Return (path, number of the call, from 1) where a layer is all that a call of a module returned, else None.

    Examples
    --------
    >>> call_of("layer1.0.relu#2"), call_of("lstm[0]")
    (('layer1.0.relu', 2), None)
    """
    address = _parse(name)
    return None if address.is_input or address.elements or not address.path else (address.path, address.call)


def _element(output: object, address: _Address) -> object:
    leaves = dict(_leaves(output))
    suffix = "".join(f"[{element}]" for element in address.elements)
    if suffix not in leaves:
        known = [address.name.removesuffix(suffix) + other for other in leaves]
        raise UnknownName("layer", address.name, known, hint=f"its output has the elements {', '.join(known)}")
    return leaves[suffix]


def _leaves(output: object, suffix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every element of a nested output with its suffix: "" for a bare tensor, "[0]", "[key][1]"..."""
    if isinstance(output, Mapping):
        for key, value in output.items():
            yield from _leaves(value, f"{suffix}[{key}]")
    elif isinstance(output, (tuple, list)):
        for index, value in enumerate(output):
            yield from _leaves(value, f"{suffix}[{index}]")
    else:
        yield suffix, output


def _probe(module: nn.Module, input_size: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    """Return name -> shape without the batch axis, in the order in which the outputs appeared."""
    shapes: dict[str, tuple[int, ...]] = {}
    calls: dict[str, int] = {}

    def record(path: str, _module: nn.Module, _inputs: tuple[object, ...], output: object) -> None:
        calls[path] = calls.get(path, 0) + 1
        call = f"#{calls[path]}" if calls[path] > 1 else ""
        for suffix, value in _leaves(output):
            if isinstance(value, torch.Tensor) and value.is_floating_point() and _has_batch(value):
                shapes[f"{path}{call}{suffix}"] = tuple(value.shape[1:])

    run_probe(module, input_size, _PROBE_BATCH, record)
    return shapes


def run_probe(module: nn.Module, input_size: tuple[int, int], n_images: int, on_output: OnCall) -> object:
    """Return what `module` answers to black images, and hand every call of its parts to `on_output` as it ends.

    Parameters
    ----------
    module : in eval mode.
    input_size : (height, width) in pixels.
    n_images : length of the batch.
    on_output : ``on_output(path, module, inputs, output)``.

    Raises
    ------
    ShapeMismatch
        If the model cannot look at images of this size.
    """
    parameter = next(module.parameters(), torch.empty(0))
    images = torch.zeros(n_images, 3, *input_size, device=parameter.device, dtype=parameter.dtype)
    with ExitStack() as stack:
        for path, child in module.named_modules():
            if path:
                stack.callback(child.register_forward_hook(partial(on_output, path)).remove)
        try:
            with torch.inference_mode():
                return module(images)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, AssertionError, ValueError, IndexError) as error:
            height, width = input_size
            raise ShapeMismatch(
                f"{type(module).__name__} at {height} x {width} pixels",
                expected="an input size the architecture accepts",
                got=str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__,
                next_step="use the model's own input size",
            ) from error


def _has_batch(output: torch.Tensor) -> bool:
    return output.ndim > 0 and output.shape[0] == _PROBE_BATCH and output.numel() > 0


def _block_paths(module: nn.Module) -> Iterator[str]:
    """Yield the paths of the candidate layers: repeated blocks, and what stands beside them."""
    for name, child in module.named_children():
        if _is_list(child) or _is_stage(child):
            for path in _block_paths(child):
                yield f"{name}.{path}"
        elif not _PASS_ON.fullmatch(type(child).__name__):
            yield name


def _is_list(module: nn.Module) -> bool:
    """True for an anonymous container: its children are layers, it is not one. A named subclass is a unit itself."""
    return type(module) in _CONTAINERS


def _is_stage(module: nn.Module) -> bool:
    """True if the module is or directly holds a container of nothing but blocks, or consists of blocks of one class."""
    children = list(module.children())
    containers = [m for m in (module, *children) if isinstance(m, _CONTAINERS)]
    if any(len(container) > 0 and all(map(_is_block, container.children())) for container in containers):
        return True
    return len(children) > 1 and len({type(child) for child in children}) == 1 and all(map(_is_block, children))


def _is_block(module: nn.Module) -> bool:
    """True for a module with at least two weight matrices or kernels: more than a convolution with its norm."""
    return sum(parameter.ndim >= 2 for parameter in module.parameters()) >= 2
