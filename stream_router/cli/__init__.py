"""The `stream-router` command. No logic: reads the settings, calls the part that does the work, ends with its status.

Everything is imported where it is used, so `--help` is quick and no command needs what only another one needs.
"""

import io
import os
import sys
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from pydantic_settings import BaseSettings

from stream_router.cli import checks, dlq, local, stream
from stream_router.errors import SettingsError, UnforeseenError
from stream_router.process import open_closed_streams

S = TypeVar("S", bound=BaseSettings)

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
app.add_typer(checks.cxone, name="cxone")
app.add_typer(checks.audit, name="audit")
app.add_typer(dlq.app, name="dlq")

_debug = False


def main() -> None:
    """The console script: one line for an operator where something is wrong (exit 78 for settings, else 1)."""
    open_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):  # what a customer wrote may not be in the terminal's character set
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app()
    except SettingsError as error:
        _complain(error, error.status)
    except UnforeseenError as error:
        _complain(error, error.status)
    except Exception as error:  # noqa: BLE001  # the last line of defence between an operator and a traceback
        _complain(error, 1)


def _complain(error: Exception, status: int) -> None:
    if _debug:
        raise error
    text = " ".join(str(error).split()) or type(error).__name__
    kind = "" if isinstance(error, SettingsError | UnforeseenError) else f"{type(error).__name__}: "
    hint = "" if isinstance(error, SettingsError) else " (--debug shows where)"
    try:
        sys.stderr.write(f"stream-router: {kind}{text}{hint}\n")
    except OSError:  # nobody can read it, and the interpreter, which tries again at its end, would make it 120
        os._exit(status)
    sys.exit(status)


def _settings(kind: type[S]) -> S:
    from stream_router.settings.environment.reading import load

    return load(kind)


def _end(status: int | None) -> None:
    raise typer.Exit(status or 0)


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


@app.command()
def receive(
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes that share the port.")] = 1,
) -> None:
    """Serve the webhook receiver until SIGTERM, then answer what is in, flush, and end.

    Takes events at POST /v1/events (STREAM_ROUTER_LISTEN), checks who sends them (STREAM_ROUTER_WEBHOOK_SCHEME), and
    answers 202 only once the Kinesis stream has them. Example: stream-router receive --workers 2
    """
    from stream_router.process import end_at_early_stop

    end_at_early_stop(through_hangups=True)
    from stream_router.receiver import __main__ as receiver
    from stream_router.settings.receiver import Receiver

    _end(receiver.run(_settings(Receiver), workers))


@app.command()
def consume() -> None:
    """Run the consumer until SIGTERM: the KCL daemon, and one process for each shard that it holds.

    Publishes every event of the stream to EventBridge; what can never be delivered goes to the dead-letter queue
    (SQS_DLQ_URL). Start it on as many hosts as you like: they share the shards. Example: stream-router consume
    """
    from stream_router.process import end_at_early_stop

    end_at_early_stop()
    from stream_router.consumer.supervisor import assembly
    from stream_router.settings.consumer import Consumer

    _end(assembly.run(_settings(Consumer)))


@app.command()
def setup(
    plan: Annotated[bool, typer.Option("--plan", help="Only show the difference; change nothing.")] = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="With --plan: end with 2 where something would change.")
    ] = False,
    policy: Annotated[
        str | None,
        typer.Option("--policy", help="Print an IAM policy: of receive, consume, setup, operate or teardown."),
    ] = None,
) -> None:
    """Create or verify what runs in AWS: stream, event bus, rule, target, queues. Repeatable.

    Set EVENTBRIDGE_TARGET_ARN to attach a target to the rule. Proves that an event as we emit it matches the rule, and
    prints the SQS_DLQ_URL line that `consume` needs. Example: stream-router setup --plan
    """
    from stream_router.control.setup import setup as control
    from stream_router.settings.setup import Setup

    if exit_code and not plan:
        raise typer.BadParameter("tells of a plan; add --plan", param_hint="--exit-code")
    if policy is not None:
        from stream_router.control.policy import command

        _end(command.run(policy))
    _end(control.run(_settings(Setup), plan=plan, exit_code=exit_code))


@app.command()
def doctor(
    program: Annotated[
        str | None, typer.Argument(help="receive or consume, where this host runs only one; else both are judged.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of lines.")] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Only what needs no network: settings, files, Java, jars.")
    ] = False,
    end_to_end: Annotated[
        bool, typer.Option("--end-to-end", help="Also send an event of our own the whole way, and time each stage.")
    ] = False,
    url: Annotated[
        str | None, typer.Option("--url", help="With --end-to-end: the receiver's URL; else that of its own settings.")
    ] = None,
    ca: Annotated[Path | None, typer.Option("--ca", help="PEM file of the CA of the receiver's certificate.")] = None,
    fail_on: Annotated[
        str, typer.Option("--fail-on", help="The least that ends it with 1: failure, or warning.")
    ] = "failure",
) -> None:
    """Check everything that can be wrong: settings, this host, AWS. One line each with a code and the cure.

    Changes nothing, takes at most 15 s, says its verdict last. Ends with 0 if all is well, 1 if something is wrong, 2
    if it cannot judge; bad settings are findings too, never 78. Example: stream-router doctor --fail-on warning
    """
    from stream_router.control.doctor import command

    if program not in (None, *command.PROGRAMS):
        raise typer.BadParameter(f"name one of {', '.join(command.PROGRAMS)}, or none", param_hint="PROGRAM")
    if fail_on not in ("failure", "warning"):
        raise typer.BadParameter("give failure or warning", param_hint="--fail-on")
    if offline and end_to_end:
        raise typer.BadParameter("there is no way to go offline", param_hint="--end-to-end")
    wish = command.Wish(program, as_json, offline, fail_on == "warning")
    _end(command.run(wish._replace(end_to_end=end_to_end, url=url, ca=str(ca or ""))))


@app.command()
def teardown(
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it, only show what would be.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Delete also what holds events.")] = False,
) -> None:
    """Show, and with --yes delete, what `setup` made: all that carries its tag for this stream.

    Deletes nothing while a stream or queue of it holds events, unless --force. Example: stream-router teardown
    """
    from stream_router.control.setup import teardown as control
    from stream_router.settings.setup import Setup

    _end(control.run(_settings(Setup), yes=yes, force=force))


@app.command()
def jars(
    source: Annotated[
        str | None, typer.Option("--from", help="A Maven repository's URL, or a folder (STREAM_ROUTER_JARS_FROM).")
    ] = None,
) -> None:
    """Bring the KCL daemon's jars that `consume` needs, each proved by its SHA-256. Once, after installing.

    Takes what is there already, then the user's cache, then Maven Central, a mirror, or a folder.
    Example: stream-router jars --from /media/jars
    """
    import signal

    from stream_router.control import fetch_jars
    from stream_router.settings.jars import Jars

    # Else Ctrl-C would wait, for minutes, until the threads hear from a mirror that is silent. Nothing is half written.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _end(fetch_jars.run(_settings(Jars), source))


@app.command()
def config(
    program: Annotated[str | None, typer.Argument(help="receive, consume or setup; leave it out for all.")] = None,
) -> None:
    """Print every setting that is in force and where it came from; secrets are hidden.

    Ends with 78 where the program that is named cannot take a value. Whether its senders are known, and what its files,
    secrets and addresses are good for, `doctor` says. Example: stream-router config consume
    """
    from stream_router.control import config_report

    _end(config_report.run(program))


for command in (checks.mask, local.top, local.health, local.send, local.local, local.demo):
    app.command()(command)
stream.add_to(app)
