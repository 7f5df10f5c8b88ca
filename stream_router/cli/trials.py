"""The commands that try something out, on this machine or with samples. No logic, as in `cli`."""

from pathlib import Path
from typing import Annotated

import typer

from stream_router.cli.options import AsJson, Rate, Url, end, settings


def send(
    count: Annotated[int, typer.Option(min=1, max=10_000_000, help="How many events.")] = 1,
    rate: Rate = 0.0,
    preset: Annotated[
        str, typer.Option("--preset", help="Whose shape: default, cxone-digital, cxone-data-stream.")
    ] = "default",
    event_type: Annotated[str | None, typer.Option("--type", help="The event's type.")] = None,
    file: Annotated[Path | None, typer.Option("--file", help="This file's bytes as they are, JSON or XML.")] = None,
    url: Url = None,
) -> None:
    """Post signed example events to a receiver, and say what it answered. 0 only if all were accepted.

    Signs with the receiver's own settings (STREAM_ROUTER_WEBHOOK_SCHEME and so on): run it where they are set.
    Example: stream-router send --preset cxone-digital --type CaseCreated --count 100 --rate 20
    """
    from stream_router.send import command
    from stream_router.settings.receiver import Receiver

    wish = command.Wish(count, rate, preset, event_type, file, url)
    end(command.run(settings(Receiver, aws_region="us-east-1"), wish))  # the region is of no matter: none need be set


def mask(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE…", help="Samples: events as JSON, one a line or a file.")
    ],
    policy: Annotated[str, typer.Option("--policy", help="`default`, or the path of a policy file.")],
) -> None:
    """Show what a masking policy does to sample events, path by path, and the lines that would let more pass.

    Example: stream-router mask --policy default event.json
    """
    from stream_router.operate import mask as control

    end(control.run(policy, *files))


def local(
    quiet: Annotated[bool, typer.Option("--quiet", help="Print no events.")] = False,
) -> None:
    """Serve the embedded stack (Kinesis, DynamoDB, EventBridge, SQS, CloudWatch on loopback) until SIGTERM.

    For development, at port 4566, or at a free one where that is taken. Does what `setup` does, with a queue as the
    rule's target. Prints the ports, and the settings that point the other commands at it, then each event that arrives
    at the queue, one JSON object a line. Example: stream-router local
    """
    from stream_router.local import serve

    end(serve.run(quiet=quiet))


def demo(
    events: Annotated[
        int, typer.Option(min=1, max=10_000_000, help="How many events to send, poison included.")
    ] = 10_000,
    rate: Rate = 0.0,
    poison: Annotated[float, typer.Option(min=0, max=100, help="Percent of the events that are garbage.")] = 1.0,
    chaos: Annotated[
        bool, typer.Option("--chaos", help="Kill processes, and take stream and bus away, while it runs.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run the whole pipeline on this machine, on an embedded stack, and account for every event.

    Half of the poison is broken JSON posted to the receiver, half is garbage put straight on the stream. Ends with 0
    only if nothing was lost. Example: stream-router demo --events 1000 --rate 200
    """
    from stream_router.local import demo as show

    end(show.run(show.Wish(events, rate, poison, chaos), as_json=as_json))


COMMANDS = (send, mask, local, demo)

audit = typer.Typer(
    name="audit",
    no_args_is_help=True,
    help="Works on the audit files that `consume` writes (STREAM_ROUTER_AUDIT_DIR).",
)


@audit.command()
def verify(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="Audit files, one a shard.")],
) -> None:
    """Check the chain of audit files: that no line was changed, added or taken out (STREAM_ROUTER_AUDIT_KEY).

    Example: stream-router audit verify /var/lib/stream-router/audit/*.jsonl
    """
    from stream_router.operate import audit as control

    end(control.run(*files))


cxone = typer.Typer(
    name="cxone", no_args_is_help=True, help="Tries out the CXone credentials (CXONE_CLIENT_ID, CXONE_CLIENT_SECRET)."
)


@cxone.command()
def token() -> None:
    """Get a token with the CXone credentials, and say for whom it is and how long it lasts.

    Example: CXONE_CLIENT_ID=… CXONE_CLIENT_SECRET=… stream-router cxone token
    """
    from stream_router.cxone import sources

    end(sources.token())


@cxone.command()
def sources() -> None:
    """Check the event sources that are listed in STREAM_ROUTER_CONFIG's file.

    Example: STREAM_ROUTER_CONFIG=sources.toml stream-router cxone sources
    """
    from stream_router.cxone import sources as control

    end(control.sources())
