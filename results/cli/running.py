"""What commands that score a model have in common: options read, refusals made before any work, files written."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import alignment
import benchmarks
import model_zoo
from model_zoo import machine
from model_zoo.contracts import Interpolation
from model_zoo.errors import DataUnavailable, InvalidOption
from model_zoo.weights_file import existing_file
from results import records
from results.cli import console

if TYPE_CHECKING:
    from alignment import Score
    from alignment.controls import Control
    from alignment.reduction import Resources
    from benchmarks import BenchmarkCard
    from model_zoo import LoadedModel


def check_outputs(files: Mapping[str, Path | None], *read: Iterable[str | Path] | None) -> None:
    """Refuse files that could not be written once the work is done, that are read, or that are named twice.

    Parameters
    ----------
    files : by option or name of the argument; "-" is stdout for --json.
    read : what else is given that may name files, also as LABEL=FILE.
    """
    named = (str(each) for group in read for each in group or ())
    inputs = (Path(part) for text in named for part in (text, text.partition("=")[2]))
    taken = {path.resolve(): "a file that is read" for path in inputs if path.is_file()}
    for option, path in files.items():
        if path is None or (option == "--json" and path == console.STDOUT):
            continue
        records.check_writable(path, option)
        if records.is_stream(path):
            continue  # takes anything, from anyone
        if path.resolve() in taken:
            raise InvalidOption(
                f"{option} {str(path)!r}",
                expected="a file of its own",
                got=taken[path.resolve()],
                next_step="name another file",
            )
        taken[path.resolve()] = f"the file of {option}"


def check_models(models: Iterable[str], weights: Path | None = None) -> None:
    """Refuse unknown models and a weights file that is not there; imports torch only for names not yet known."""
    if weights is not None:
        existing_file(weights)
    for name in dict.fromkeys(models):
        model_zoo.get_model_card(name)


def check(
    names: Sequence[str],
    metric: list[str] | None,
    layers: Any,
    decision: str,
    mirror: Path | None,
    *,
    offline: bool,
    quiet: bool,
) -> None:
    """Refuse before any work what could only fail after it, and say what will be downloaded."""
    from alignment.layers import names_by_card
    from benchmarks.fetch import describe_missing, is_offline, missing_files

    cards = [benchmarks.get_benchmark(name) for name in names]
    alignment.check_decision(decision, cards)
    alignment.metrics_for(cards, metric)
    names_by_card(layers, cards)
    missing = missing_files(cards, mirror)
    if not missing:
        return
    if is_offline(offline or None):
        lacking = [card.name for card in cards if not _some_of(card, mirror)]
        if lacking:
            raise DataUnavailable(
                ", ".join(lacking),
                expected="their files here, since the network is not used",
                got=describe_missing(missing),
                next_step=f"run `ventral data fetch {' '.join(lacking)}` where there is a network, or name a --mirror",
            )
    elif not quiet:
        console.note(f"{describe_missing(missing)}\nVentral now tries to download them.")


def _some_of(card: BenchmarkCard, mirror: Path | None) -> bool:
    parts = [card, *map(benchmarks.get_benchmark, card.parts)]
    return any(benchmarks.at_hand(part, mirror) for part in parts)


def benchmark_names(chosen: list[str] | None, *, quiet: bool) -> list[str]:
    """Return what is to be scored: what was chosen, each once, or the simulated areas."""
    if chosen:
        for name in chosen:
            benchmarks.get_benchmark(name)
        return list(dict.fromkeys(chosen))
    if not quiet:
        console.note(
            "No --benchmark given: scoring the simulated areas, which are computed, not recorded. "
            "`ventral list benchmarks` shows real recordings."
        )
    return [card.name for card in benchmarks.bundled_benchmarks()]


def layers_of(text: str, layer_map: Path | None) -> str | list[str] | dict[str, Any]:
    """Return the layers of --layers and --layer-map as `alignment.score` takes them."""
    chosen = [name.strip() for name in text.split(",")]
    if layer_map is None:
        return "auto" if chosen == ["auto"] else chosen
    if chosen != ["auto"]:
        raise InvalidOption(
            "--layer-map", expected="no --layers beside it", got=f"--layers {text}", next_step="leave one of them out"
        )
    from alignment.layers import read_layer_map

    return dict(read_layer_map(layer_map))


def resources_of(
    device: str,
    batch_size: int | None,
    threads: int | None,
    memory: str | None,
    scratch: str | None,
    scratch_dir: Path | None,
    *,
    use_cache: bool,
) -> Resources:
    """Return what a run may use; a device that is not there is refused before a model is built."""
    sizes = [None if text is None else machine.parse_bytes(text) for text in (memory, scratch)]
    from alignment.reduction import Resources

    machine.check_device(device)
    return Resources(
        device=device,
        batch_size=batch_size,
        threads=threads,
        memory=sizes[0],
        scratch=sizes[1],
        scratch_dir=scratch_dir,
        use_cache=use_cache,
    )


def overrides_of(
    input_size: str | None, mean: str | None, std: str | None, interpolation: str | None
) -> dict[str, Any]:
    """Return the preprocessing fields the user has set."""
    chosen: dict[str, Any] = {}
    if input_size is not None:
        size = _numbers("--input-size", input_size.lower().replace("x", ","), "pixels such as 224 or 224x192")
        if len(size) > 2 or any(side < 1 or side != int(side) for side in size):
            raise bad("--input-size", "pixels such as 224 or 224x192", input_size)
        chosen["input_size"] = (int(size[0]), int(size[-1]))
    for option, text in (("mean", mean), ("std", std)):
        if text is not None:
            expected = "three numbers such as 0.485,0.456,0.406"
            values = _numbers(f"--{option}", text, expected)
            if len(values) != 3 or not all(map(math.isfinite, values)) or (option == "std" and min(values) <= 0):
                raise bad(f"--{option}", expected + (", all above 0" if option == "std" else ""), text)
            chosen[option] = tuple(values)
    if interpolation is not None:
        if interpolation not in get_args(Interpolation):
            raise bad("--interpolation", f"one of {', '.join(get_args(Interpolation))}", interpolation)
        chosen["interpolation"] = interpolation
    return chosen


def check_degrees(degrees: float | None) -> None:
    """Refuse degrees that no display spans."""
    if degrees is not None and not 0 < degrees < 180:
        raise bad("--visual-degrees", "degrees between 0 and 180", str(degrees))


def _numbers(option: str, text: str, expected: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise bad(option, expected, text) from None


def bad(option: str, expected: str, got: str, command: str = "score") -> InvalidOption:
    """Return the refusal of an option's value."""
    return InvalidOption(option, expected=expected, got=repr(got), next_step=f"see `ventral {command} --help`")


def introduce(model: LoadedModel) -> None:
    """Say which weights were loaded and what the model will see."""
    prep, weights = model.preprocessing, model.weights
    height, width = prep.input_size
    share = f"{weights.n_loaded} of {weights.n_expected} weights ({weights.share_loaded:.0%})"
    console.note(f"Weights: {weights.source}, {share}" + (", averaged (EMA)" if weights.ema else ""))
    console.note(
        f"Preprocessing: whole image to {height} x {width}, {prep.interpolation}, mean {_listed(prep.mean)}, "
        f"std {_listed(prep.std)} ({prep.source})"
    )


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)


def write_files(
    scores: Sequence[Score],
    provenance: dict[str, Any],
    controls: Sequence[Control] = (),
    committed: Sequence[Score] = (),
    *,
    json: Path | None,
    csv: Path | None,
    report: Path | None,
    quiet: bool,
) -> None:
    """Write the files that were asked for; JSON to stdout where its name is "-"."""
    if json == console.STDOUT:
        sys.stdout.write(records.to_json(scores, provenance, controls, committed))
    elif json is not None:
        records.write_atomically(json, records.to_json(scores, provenance, controls, committed))
    if csv is not None:
        records.write_atomically(csv, records.to_csv([*scores, *committed], controls))
    if report is not None:
        from results.report import render

        records.write_atomically(report, render(scores, provenance, controls, committed))
    written = [str(path) for path in (json, csv, report) if path is not None and path != console.STDOUT]
    if written and not quiet:
        console.note(f"Wrote {', '.join(written)}.")
