"""Which layers a model's forward pass can be taken up after, found by trying it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property

import torch

from model_zoo.contracts import Layer, LoadedModel, Stimuli
from model_zoo.cuts import Cut, Recorder
from model_zoo.extraction import exact_arithmetic, placed, usable_device
from model_zoo.layers import Taps, call_of
from model_zoo.preprocessing import preprocess

_RECORDED, _TRIED = 4, 2  # images; two numbers, so that a pass that cannot take batches of another size is found out


class Resumption:
    """Finds cuts: layers on whose output alone every later layer depends.

    A cut is given only after a pass taken up there, over real images, gave every later layer the bits of a whole pass.
    Where a later layer depends on anything else it becomes NaN, or fails, and there is no cut.

    Parameters
    ----------
    model, stimuli, device, threads : see `model_zoo.extraction.extract`.
    layers : sequence of Layer
        In execution order.
    """

    def __init__(
        self, model: LoadedModel, stimuli: Stimuli, layers: Sequence[Layer], device: str, threads: int | None
    ) -> None:
        self._model, self._stimuli, self._names = model, stimuli, [layer.name for layer in layers]
        self._device, self._threads = usable_device(device), threads
        self._found: dict[str, Cut | None] = {}

    def after(self, layer: Layer) -> Cut | None:
        """Return the cut after a layer, or None where there is none."""
        if layer.name not in self._found:
            with exact_arithmetic(self._threads), torch.inference_mode():
                self._found[layer.name] = self._try(layer.name)
        return self._found[layer.name]

    def _try(self, name: str) -> Cut | None:
        call, later = call_of(name), self._names[self._names.index(name) + 1 :]
        if call is None or not later or len(self._stimuli.ids) < _RECORDED:
            return None
        try:
            cut = self._recorder.cut(*call)
            if cut is None:
                return None
            kept: list[torch.Tensor] = []
            with Taps(self._module, [name]) as taps:
                taps.run(
                    self._images[:_TRIED], lambda _, output: kept.append(output.to("cpu", torch.float32, copy=True))
                )
            again = self._digests(later, cut.restored(kept[0].to(self._device)), cut)
            return cut if again == {each: self._whole[each] for each in later} else None
        except Exception:  # a model that cannot be taken up may fail in any way
            return None

    def _digests(self, names: Sequence[str], batch: torch.Tensor, cut: Cut | None) -> Mapping[str, bytes]:
        """Return a digest of the bits of every layer's output."""
        found = {}

        def digest(name: str, output: torch.Tensor) -> None:
            found[name] = hashlib.sha256(output.to("cpu", torch.float32).contiguous().numpy().data).digest()

        with Taps(self._module, names, cut) as taps:
            taps.run(batch, digest)
        return found

    @cached_property
    def _module(self) -> torch.nn.Module:
        return placed(self._model.module, self._device)

    @cached_property
    def _images(self) -> torch.Tensor:
        ids, preprocessing = self._stimuli.ids[:_RECORDED], self._model.preprocessing
        images = torch.stack([preprocess(self._stimuli.image(each), preprocessing) for each in ids])
        return images.to(self._device, memory_format=torch.channels_last)

    @cached_property
    def _recorder(self) -> Recorder:
        return Recorder(self._module, self._images)

    @cached_property
    def _whole(self) -> Mapping[str, bytes]:
        return self._digests(self._names, self._images[:_TRIED], None)
