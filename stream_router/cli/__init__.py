"""The `stream-router` command: options and help in, one call of the part that does the work, its exit status out.

The commands import what they use as they are called, so `--help` is quick and no command needs what only another needs.
"""

import io
import os
import sys
from typing import Annotated

import typer

from stream_router.cli import dead_letters, events, programs, trials
from stream_router.errors import SettingsError, UnforeseenError

app = typer.Typer(
    name="stream-router",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="Carries NICE CXone webhooks to Amazon EventBridge, through Kinesis and the KCL, and loses none.\n\n"
    "Settings come from the environment (`stream-router config` lists them). Start with `stream-router demo`, which "
    "runs everything on this machine. On AWS: `setup` once, then `receive` where CXone can reach it, and `consume` on "
    "one host or several.",
)
for command in (*programs.COMMANDS, *events.COMMANDS, *trials.COMMANDS):
    app.command()(command)
for group in (dead_letters.dlq, trials.cxone, trials.audit):
    app.add_typer(group)

_debug = False


def main() -> None:
    """The console script: a line for each thing that is wrong. Exit 78 for settings, 2 for no judgement, else 1."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # what a customer wrote may not be in the terminal's character set
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app()
    except Exception as error:  # noqa: BLE001  # the last line of defence between an operator and a traceback
        _complain(error, error.status if isinstance(error, SettingsError | UnforeseenError) else 1)


def _complain(error: Exception, status: int) -> None:
    if _debug:
        raise error
    lines = [" ".join(line.split()) for line in str(error).splitlines() or [type(error).__name__]]
    if not isinstance(error, SettingsError):
        kind = "" if isinstance(error, UnforeseenError) else f"{type(error).__name__}: "
        lines = [f"{kind}{' '.join(lines)} (--debug shows where)"]
    try:
        sys.stderr.write("".join(f"stream-router: {line}\n" for line in lines))
    except OSError:  # nobody can read it, and the interpreter, which tries again at its end, would make it 120
        os._exit(status)
    sys.exit(status)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"stream-router {version('stream_router')}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback where something fails.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    global _debug  # noqa: PLW0603  # one process, one command line
    _debug = debug
    del version
