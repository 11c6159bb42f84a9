"""The `ventral` command itself: its subcommands, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from model_zoo.errors import VentralError
from results.cli import cache, console, data, doctor, listing, scaling
from results.cli.compare import EXAMPLES as COMPARE_EXAMPLES
from results.cli.compare import compare
from results.cli.describe import describe
from results.cli.layers import EXAMPLES as LAYERS_EXAMPLES
from results.cli.layers import layers
from results.cli.score import EXAMPLES as SCORE_EXAMPLES
from results.cli.score import score
from results.cli.simulate import EXAMPLES as SIMULATE_EXAMPLES
from results.cli.simulate import simulate
from results.cli.verify import EXAMPLES as VERIFY_EXAMPLES
from results.cli.verify import verify

INTERRUPTED, TERMINATED = 130, 143


class _Guarded(TyperGroup):
    """Turns every exception of a command into a message on stderr and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except (Exception, KeyboardInterrupt) as error:
            if type(error).__module__.split(".")[0] in ("click", "typer"):
                raise  # usage errors and exits are the parser's own
            raise SystemExit(_explain(error, debug=bool(ctx.params.get("debug")))) from error
        return result


app = typer.Typer(
    name="ventral",
    cls=_Guarded,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=console.examples(
        "ventral score torchvision/resnet18", "ventral list benchmarks", "ventral layers timm/vit_tiny_patch16_224"
    ),
)


def _version(wanted: bool) -> None:
    if wanted:
        console.out().print(f"ventral {version('ventral-alignment')}", highlight=False)
        raise typer.Exit


@app.callback()
def ventral(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """How brain-like is a vision model? Scores against recordings of primate V1, V2, V4 and IT."""


app.command("score", epilog=SCORE_EXAMPLES)(score)
app.command("compare", epilog=COMPARE_EXAMPLES)(compare)
app.command("layers", epilog=LAYERS_EXAMPLES)(layers)
app.command(
    "describe",
    epilog=console.examples("ventral describe torchvision/resnet18", "ventral describe timm/convnext_tiny --json -"),
)(describe)
app.add_typer(listing.app, name="list")
app.add_typer(data.app, name="data")
app.add_typer(scaling.app, name="scaling")
app.add_typer(cache.app, name="cache")
app.command("simulate", epilog=SIMULATE_EXAMPLES)(simulate)
app.command("verify", epilog=VERIFY_EXAMPLES)(verify)
app.command("doctor", epilog=console.examples("ventral doctor", "ventral doctor --json -"))(doctor.doctor)


class _Terminated(KeyboardInterrupt):
    """A scheduler asks the run to end (SIGTERM): it ends as if a user had, and cleans up."""


def _terminate(*_: object) -> None:
    raise _Terminated


def run() -> None:
    """Run the command line and exit with its code."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        app(prog_name="ventral")
    except KeyboardInterrupt as error:  # before any command had started
        raise SystemExit(_explain(error, debug=False)) from None


def _explain(error: BaseException, *, debug: bool) -> int:
    """Say on stderr what went wrong and return the exit code."""
    if debug:
        console.err().print("".join(traceback.format_exception(error)), markup=False, highlight=False, end="")
    if isinstance(error, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains while it closes
        return 1
    message, code = _message(error)
    console.err().print(message, style="red", markup=False, highlight=False, soft_wrap=True)
    return code


def _message(error: BaseException) -> tuple[str, int]:
    if isinstance(error, VentralError):
        return f"Error: {error}", error.exit_code
    if isinstance(error, KeyboardInterrupt):
        ended, code = ("Terminated", TERMINATED) if isinstance(error, _Terminated) else ("Interrupted", INTERRUPTED)
        text = f"{ended}. Nothing was half-written. What scoring had finished is in the cache, unless that was off."
        return text, code
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = error.filename or "disk"
        return (
            f"Error: {where}: expected room to write, got a full disk; free some space, or name a larger disk: in the "
            "path of a file that you asked for, else by VENTRAL_HOME or --scratch-dir",
            2,
        )
    if _is_out_of_memory(error):
        return (
            "Error: memory: expected enough for this run, got none left; lower --memory or --batch-size, or name fewer "
            "--layers",
            2,
        )
    if isinstance(error, OSError) and error.filename is not None:
        return (
            f"Error: {error.filename}: expected a usable file, got {error.strerror}; check its path and permissions",
            2,
        )
    kind = f"{type(error).__name__}: {error}"
    return f"This is a bug in ventral, not in your input. {kind}\nRun `ventral --debug ...` for the traceback.", 1


def _is_out_of_memory(error: BaseException) -> bool:
    named = type(error).__name__ == "OutOfMemoryError"  # torch's, told apart without importing torch
    texts = ("can't allocate memory", "Cannot allocate memory", "failed to map segment")
    return isinstance(error, MemoryError) or named or any(text in str(error) for text in texts)
