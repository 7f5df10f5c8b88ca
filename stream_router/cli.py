"""The `stream-router` command. No logic: reads the settings, calls the part that does the work, ends with its status.

Everything is imported where it is used, so `--help` is quick and no command needs what only another one needs.
"""

import sys
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from pydantic_settings import BaseSettings

from stream_router.core.settings_error import EX_CONFIG, SettingsError

S = TypeVar("S", bound=BaseSettings)

app = typer.Typer(
    name="stream-router",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="Carries NICE CXone webhooks to Amazon EventBridge, through Kinesis and the KCL, and loses none.\n\n"
    "Settings come from the environment (docs/configuration.md lists them). Start with `stream-router demo`, which "
    "runs everything on this machine. On AWS: `setup` once, then `receive` where CXone can reach it, and `consume` on "
    "one host or several.",
)
cxone = typer.Typer(
    no_args_is_help=True, help="Tries out the CXone credentials (CXONE_CLIENT_ID, CXONE_CLIENT_SECRET)."
)
audit = typer.Typer(
    no_args_is_help=True, help="Works on the audit files that `consume` writes (STREAM_ROUTER_AUDIT_DIR)."
)
app.add_typer(cxone, name="cxone")
app.add_typer(audit, name="audit")

_debug = False


def main() -> None:
    """The console script: one line for an operator where something is wrong (exit 78 for settings, else 1)."""
    try:
        app()
    except SettingsError as error:
        _complain(error, EX_CONFIG)
    except Exception as error:  # noqa: BLE001  # the last line of defence between an operator and a traceback
        _complain(error, 1)


def _complain(error: Exception, status: int) -> None:
    if _debug:
        raise error
    text = " ".join(str(error).split()) or type(error).__name__
    kind = "" if isinstance(error, SettingsError) else f"{type(error).__name__}: "
    hint = "" if isinstance(error, SettingsError) else " (--debug shows where)"
    sys.stderr.write(f"stream-router: {kind}{text}{hint}\n")
    sys.exit(status)


def _settings(kind: type[S]) -> S:
    from stream_router.settings.common import load

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
    answers 202 only once the Kinesis stream has them.
    """
    from stream_router.receiver import early_stop

    early_stop.arm()
    from stream_router.receiver import __main__ as receiver
    from stream_router.settings.receiver import Receiver

    _end(receiver.run(_settings(Receiver), workers))


@app.command()
def consume() -> None:
    """Run the consumer until SIGTERM: the KCL daemon, and one process for each shard that it holds.

    Publishes every event of the stream to EventBridge; what can never be delivered goes to the dead-letter queue
    (SQS_DLQ_URL). Start it on as many hosts as you like: they share the shards.
    """
    from stream_router.consumer.supervisor import assembly
    from stream_router.settings.consumer import Consumer

    _end(assembly.run(_settings(Consumer)))


@app.command()
def setup(
    plan: Annotated[bool, typer.Option("--plan", help="Only show what would be done; change nothing.")] = False,
) -> None:
    """Create or verify what runs in AWS: stream, event bus, rule, target, queues. Repeatable.

    Set EVENTBRIDGE_TARGET_ARN to attach a target to the rule. Proves that an event as we emit it matches the rule, and
    prints the SQS_DLQ_URL line that `consume` needs.
    """
    from stream_router.control.setup import setup as control
    from stream_router.settings.setup import Setup

    _end(control.run(_settings(Setup), plan=plan))


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
    from stream_router.control import fetch_jars
    from stream_router.settings.jars import Jars

    _end(fetch_jars.run(_settings(Jars), source))


@app.command()
def config(
    program: Annotated[str | None, typer.Argument(help="receive, consume or setup; leave it out for all.")] = None,
) -> None:
    """Print every setting that is in force and where it came from; secrets are hidden.

    Ends with 78 where the settings of the program that is named are wrong. Example: stream-router config consume
    """
    from stream_router.control import config_report

    _end(config_report.run(program))


@app.command()
def mask(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE…", help="Samples: events as JSON, one a line or a file.")
    ],
    policy: Annotated[str, typer.Option("--policy", help="`default`, `strict`, or the path of a policy file.")],
    coverage: Annotated[
        bool, typer.Option("--coverage", help="Which paths it masks, lets pass on purpose, does not know.")
    ] = False,
) -> None:
    """Show what a masking policy does to sample events: value by value, side by side, or path by path."""
    from stream_router.control import mask_report

    _end(mask_report.run(policy, *files, coverage=coverage))


@audit.command()
def verify(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="An audit file of one shard.")],
) -> None:
    """Check the chain of an audit file: that no line was changed, added or taken out (STREAM_ROUTER_AUDIT_KEY)."""
    from stream_router.control import audit_verify

    _end(audit_verify.run(file))


@cxone.command()
def token() -> None:
    """Get a token with the CXone credentials, and say for whom it is and how long it lasts."""
    from stream_router.cxone import commands

    _end(commands.token())


@cxone.command()
def sources() -> None:
    """Check the event sources that are listed in STREAM_ROUTER_CONFIG's file."""
    from stream_router.cxone import commands

    _end(commands.sources())


@app.command()
def send(
    count: Annotated[int, typer.Option(min=1, max=10_000_000, help="How many events.")] = 1,
    rate: Annotated[float, typer.Option(min=0, help="Events a second; 0 sends as fast as they are answered.")] = 0.0,
    preset: Annotated[
        str, typer.Option("--preset", help="Whose shape: default, cxone-digital, cxone-data-stream.")
    ] = "default",
    event_type: Annotated[str | None, typer.Option("--type", help="The event's type.")] = None,
    file: Annotated[Path | None, typer.Option("--file", help="Send this file's bytes as they are.")] = None,
    url: Annotated[str | None, typer.Option("--url", help="The receiver's URL; else that of its own settings.")] = None,
    ca: Annotated[Path | None, typer.Option("--ca", help="PEM file of the CA of the receiver's certificate.")] = None,
) -> None:
    """Post signed example events to a receiver, and say what it answered. 0 only if all were accepted.

    Signs with the receiver's own settings (STREAM_ROUTER_WEBHOOK_SCHEME and so on): run it where they are set.
    Example: stream-router send --preset cxone-digital --type CaseCreated --count 100 --rate 20
    """
    from stream_router.send import command
    from stream_router.settings.common import load
    from stream_router.settings.receiver import Receiver

    # The region is of no matter here: it is not asked for where it is not set.
    settings = load(Receiver, aws_region="us-east-1")
    _end(command.run(settings, command.Wish(count, rate, preset, event_type, file, url, ca)))


@app.command()
def local(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where to serve; 0 takes any free port.")] = 4566,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print no events.")] = False,
) -> None:
    """Serve the embedded stack (Kinesis, DynamoDB, EventBridge, SQS, CloudWatch on loopback) until SIGTERM.

    For development. Does what `setup` does, with a queue as the rule's target. Prints the settings that point the other
    commands at it, then each event that arrives at the queue, one JSON object a line.
    Example: stream-router local --port 0
    """
    from stream_router.local import serve

    _end(serve.run(port, quiet=quiet))


@app.command()
def demo(
    events: Annotated[
        int, typer.Option(min=1, max=10_000_000, help="How many events to send, poison included.")
    ] = 10_000,
    rate: Annotated[float, typer.Option(min=0, help="Events a second; 0 sends as fast as it can.")] = 0.0,
    poison: Annotated[float, typer.Option(min=0, max=100, help="Percent of the events that are garbage.")] = 1.0,
    json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Run the whole pipeline on this machine, on an embedded stack, and account for every event.

    Half of the poison is broken JSON posted to the receiver, half is garbage put straight on the stream. Ends with 0
    only if nothing was lost.
    """
    from stream_router.local import demo as show

    _end(show.run(events=events, rate=rate, poison_percent=poison, as_json=json))
