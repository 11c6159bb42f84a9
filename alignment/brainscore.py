"""A model as Brain-Score sees it: its BrainModel interface on Ventral's extraction."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from alignment.contracts import Floats
from alignment.layers import LayerChoice
from alignment.reduction import Resources
from alignment.subjects import ModelSubject
from benchmarks.stimuli import from_paths
from model_zoo.contracts import Head, Layer
from model_zoo.errors import InvalidOption, ResourceError
from model_zoo.extraction import Progress
from model_zoo.machine import format_bytes, memory_available_bytes

if TYPE_CHECKING:
    from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly

LOGITS = "logits"  # how Brain-Score's label task asks for the classifier's output
_KEPT_BYTES = 256_000_000  # narrower activations go through the cache, wider ones are computed anew
_COPIES = 4  # that assemblies, splits and regressions make of the activations


class Recorder:
    """Activations as Brain-Score's activations models return them, from Ventral's extraction.

    Stimuli are told apart by the content of their files: Brain-Score shows other pixels under the same stimulus id once
    it has placed them on a screen.

    Parameters
    ----------
    subject : ModelSubject
    identifier : what the assemblies call the model.
    resources, progress : as for extraction.
    """

    def __init__(
        self, subject: ModelSubject, identifier: str, resources: Resources, progress: Progress | None = None
    ) -> None:
        self.subject, self.identifier, self.resources, self.progress = subject, identifier, resources, progress
        self.shown: set[str] = set()

    def __call__(
        self,
        stimuli: Any,
        layers: Sequence[str | Layer],
        number_of_trials: int = 1,
        require_variance: bool = False,
        region: str = "unknown",
    ) -> NeuroidAssembly:
        """Return the responses to a StimulusSet of Brain-Score, or to image files.

        Parameters
        ----------
        stimuli : brainscore_core's StimulusSet, or a sequence of paths
        layers : Layer, or `LOGITS`
        number_of_trials : ignored: the models are deterministic.
        require_variance : must be False.

        Returns
        -------
        NeuroidAssembly of dims (presentation, neuroid), float32
            Every column of the stimulus set is a coordinate.
        """
        from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly

        if require_variance:
            raise InvalidOption(
                f"Brain-Score benchmark for {self.identifier}",
                expected="one response per stimulus",
                got="trials that must differ (microsaccades)",
                next_step="not supported: score the model with brainscore-vision itself",
            )
        paths, columns = _paths_and_columns(stimuli)
        wanted = [self.head.output if layer == LOGITS else layer for layer in layers]
        features = self.features(paths, [layer for layer in wanted if isinstance(layer, Layer)])
        units = [(name, number) for name, values in features.items() for number in range(values.shape[1])]
        names = np.array([name for name, _ in units], dtype=object)
        coords = {name: ("presentation", values) for name, values in columns.items()}
        coords |= {
            "stimulus_path": ("presentation", np.array(paths, dtype=object)),
            "neuroid_id": ("neuroid", np.array([f"{self.identifier}.{n}.{i}" for n, i in units], dtype=object)),
            "neuroid_num": ("neuroid", np.array([number for _, number in units])),
            "layer": ("neuroid", names),
            "region": ("neuroid", np.full(len(units), region, dtype=object)),
        }
        return NeuroidAssembly(
            np.concatenate(list(features.values()), axis=1), coords=coords, dims=["presentation", "neuroid"]
        )

    def features(self, paths: Sequence[str], layers: Sequence[Layer]) -> Mapping[str, Floats]:
        """Return (n_paths, n_features) float32 by layer name; every image is shown once, however often it is named.

        Raises
        ------
        ResourceError
            If they, and the copies Brain-Score makes of them, do not fit into memory.
        """
        digests = {path: hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in dict.fromkeys(paths)}
        self.shown |= set(digests.values())
        stimuli = from_paths({digest: Path(path) for path, digest in digests.items()}, visual_degrees=1.0)
        row_of = {digest: row for row, digest in enumerate(stimuli.ids)}
        rows = [row_of[digests[path]] for path in paths]
        n_bytes = 4 * len(stimuli) * sum(layer.n_features for layer in layers)
        if _COPIES * n_bytes > memory_available_bytes():
            raise ResourceError(
                f"activations of {', '.join(layer.name for layer in layers)}",
                expected=f"{format_bytes(_COPIES * n_bytes)} of memory, for Brain-Score's copies too",
                got=f"{format_bytes(memory_available_bytes())} free",
                next_step="name a narrower layer with --layers",
            )
        if n_bytes <= _KEPT_BYTES:
            held = self.subject.activations(stimuli, layers, self.resources, self.progress)
        else:
            held = {layer.name: np.empty((len(stimuli), layer.n_features), np.float32) for layer in layers}

            def keep(name: str, row: int, features: Floats) -> None:
                held[name][row : row + len(features)] = features

            self.subject.stream(stimuli, layers, keep, self.resources, self.progress)
        return {layer.name: held[layer.name][rows] for layer in layers}

    @property
    def head(self) -> Head:
        """The classifier.

        Raises
        ------
        ShapeMismatch
            If the model has none with 1000 outputs.
        """
        from model_zoo.heads import check_classes

        return check_classes(f"classifier of {self.subject.name}", self._head)

    @property
    def _head(self) -> Head | None:
        from model_zoo.heads import find_head

        model = self.subject.model
        return find_head(model.module, model.preprocessing.input_size)

    def readout(self) -> Layer:
        """Return the classifier's input, or the last block of a model without a classifier."""
        head = self._head
        return [layer for layer in self.subject.layers() if layer.is_block][-1] if head is None else head.input


class FastModel:
    """Brain-Score's BrainModel on Ventral's extraction.

    Parameters
    ----------
    recorder : Recorder
    layer_of : ``layer_of(region) -> LayerChoice``, called when a benchmark records from the region.
    readout : ``readout() -> LayerChoice``, called for the layer from which probabilities and odd ones out are read.
    visual_degrees : degrees of visual angle the input spans.

    Attributes
    ----------
    used : what was read, by region or task.
    """

    def __init__(
        self,
        recorder: Recorder,
        layer_of: Callable[[str], LayerChoice],
        readout: Callable[[], LayerChoice],
        visual_degrees: float,
    ) -> None:
        self.recorder, self.layer_of, self.readout = recorder, layer_of, readout
        self.used: dict[str, LayerChoice] = {}
        self._degrees = visual_degrees
        self._region: str | None = None
        self._time_bins: list[tuple[float, float]] = []
        self._behaviour: Any = None

    @property
    def identifier(self) -> str:
        """The model's name and a hash of its content: nothing keyed on it can be stale."""
        return self.recorder.identifier

    def visual_degrees(self) -> float:
        """Return the degrees of visual angle the input spans."""
        return self._degrees

    def start_recording(self, recording_target: str, time_bins: Sequence[Any] | None = None) -> None:
        """Record from a region; a static model responds alike in all time bins."""
        self._behaviour = None
        self._region = str(recording_target)
        self.used[self._region] = self.layer_of(self._region)
        self._time_bins = [tuple(np.asarray(each).tolist()) for each in ([] if time_bins is None else time_bins)]

    def start_task(self, task: str, *args: Any, **kwargs: Any) -> None:
        """Perform a task from here on: passive, label, probabilities or odd_one_out."""
        from brainscore_vision.model_helpers.brain_transformation.behavior import (
            LabelBehavior,
            OddOneOut,
            ProbabilitiesMapping,
        )
        from brainscore_vision.model_interface import BrainModel

        self._behaviour = None
        if task == BrainModel.Task.passive:
            return
        if task == BrainModel.Task.label:
            self.used[task] = LayerChoice(self.recorder.head.output, "the classifier's answer")
            self._behaviour = LabelBehavior(self.identifier, self.recorder)
        else:
            kind = {BrainModel.Task.probabilities: ProbabilitiesMapping, BrainModel.Task.odd_one_out: OddOneOut}[task]
            self.used[task] = self.readout()
            self._behaviour = kind(self.identifier, self.recorder, [self.used[task].layer])
        self._behaviour.start_task(task, *args, **kwargs)

    def look_at(self, stimuli: Any, number_of_trials: int = 1, require_variance: bool = False) -> Any:
        """Return the recordings, or the behaviour, that was started."""
        from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly, walk_coords

        if self._behaviour is not None:
            return self._behaviour.look_at(
                stimuli, number_of_trials=number_of_trials, require_variance=require_variance
            )
        if self._region is None:
            return None
        layer = self.used[self._region].layer
        seen = self.recorder(stimuli, [layer], require_variance=require_variance, region=self._region)
        if len(self._time_bins) < 2:
            return seen
        coords = {name: (dims, values) for name, dims, values in walk_coords(seen)}
        coords |= {
            name: (("time_bin",), np.array([each[edge] for each in self._time_bins]))
            for edge, name in enumerate(("time_bin_start", "time_bin_end"))
        }
        values = np.repeat(seen.values[:, :, np.newaxis], len(self._time_bins), axis=2)  # (presentation, neuroid, bin)
        return NeuroidAssembly(values, coords=coords, dims=["presentation", "neuroid", "time_bin"])


def _paths_and_columns(stimuli: Any) -> tuple[list[str], dict[str, Any]]:
    if hasattr(stimuli, "get_stimulus"):
        paths = [str(stimuli.get_stimulus(each)) for each in stimuli["stimulus_id"].values]
        return paths, {name: stimuli[name].values for name in stimuli.columns}
    paths = [str(path) for path in stimuli]
    return paths, {"stimulus_id": np.array(paths, dtype=object)}
