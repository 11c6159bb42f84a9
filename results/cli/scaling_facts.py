"""`ventral scaling facts`: a table of facts about scored models, filled in as far as it can be counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from model_zoo.errors import InvalidOption, VentralError
from results import records
from results.cli import console, options, running
from results.cli import scaling_options as given

if TYPE_CHECKING:
    from results.scaling.score_files import ScoredModel

FACTS = console.examples(
    "ventral scaling facts facts.csv --scores a.json --scores b.json",
    "ventral scaling facts facts.csv --scores mine=a.json",
    "ventral scaling fit --scores a.json --scores b.json --scores facts.csv",
)


def facts(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help="The table to write; it must not exist yet.")],
    scores: given.Scores = None,
    quiet: options.Quiet = False,
) -> None:
    """Write the table of facts that score files need: one row per model, parameters and FLOPs counted.

    What was seen in training only you know: complete n_samples_seen or total_flops, one of them per model, then give
    the table to `ventral scaling fit` beside the score files.
    """
    from results.scaling.score_files import is_score_file, models_of
    from results.scaling.tables import facts_template

    running.check_outputs({"FILE.csv": file}, scores)
    if file.exists():
        raise InvalidOption(
            str(file), expected="a new file", got="one that exists", next_step="name another, or move it away"
        )
    paths = scores or []
    others = [str(path) for path in paths if not is_score_file(path)]
    if others or not paths:
        raise running.bad("--scores", "score files (JSON)", ", ".join(others) or "none", "scaling facts")
    models = models_of(paths)
    with console.Bars(quiet=quiet) as bars:
        known = _known(models, bars)
    records.write_atomically(file, facts_template(known))
    if not quiet:
        unknown = [model.label for model in models if "n_params" not in known[model.label]]
        console.note(f"Wrote {file}. Complete n_samples_seen or total_flops, one of them per model.")
        if unknown:
            console.note(f"No model of the zoo, complete or empty n_params and flops too: {', '.join(unknown)}.")


def _known(models: Sequence[ScoredModel], progress: Any) -> dict[str, Mapping[str, object]]:
    """Return, by label, the architecture of every model of the zoo, its parameters and the FLOPs of one image."""
    found: dict[str, Mapping[str, object]] = {}
    counted: dict[tuple[str, tuple[int, int] | None], Mapping[str, object]] = {}
    for number, model in enumerate(models):
        progress("models", number, len(models))
        built = model.name, model.input_size
        if built not in counted:
            counted[built] = _counted(*built)
        found[model.label] = {"seed": model.seed, **counted[built]}
    progress("models", len(models), len(models))
    return found


def _counted(name: str, input_size: tuple[int, int] | None) -> Mapping[str, object]:
    from model_zoo import load_model
    from model_zoo.cost import count

    try:
        model = load_model(name, overrides={"input_size": input_size} if input_size else None)
    except VentralError:  # from elsewhere
        return {}
    n_parameters, flops = count(model)
    return {"architecture": name.partition("/")[2], "n_params": n_parameters, "flops": flops}
