"""The commands that need no AWS: the live view, example events, the embedded stack, the demo. No logic, as in `cli`."""

from pathlib import Path
from typing import Annotated

import typer


def send(
    count: Annotated[int, typer.Option(min=1, max=10_000_000, help="How many events.")] = 1,
    rate: Annotated[
        float, typer.Option(min=0, max=1_000_000, help="Events a second; 0 sends as fast as they are answered.")
    ] = 0.0,
    preset: Annotated[
        str, typer.Option("--preset", help="Whose shape: default, cxone-digital, cxone-data-stream.")
    ] = "default",
    event_type: Annotated[str | None, typer.Option("--type", help="The event's type.")] = None,
    file: Annotated[Path | None, typer.Option("--file", help="This file's bytes as they are, JSON or XML.")] = None,
    url: Annotated[str | None, typer.Option("--url", help="The receiver's URL; else that of its own settings.")] = None,
    ca: Annotated[Path | None, typer.Option("--ca", help="PEM file of the CA of the receiver's certificate.")] = None,
    plain_http: Annotated[
        bool, typer.Option("--plain-http", help="Let the secret of bearer or basic go over a network unencrypted.")
    ] = False,
) -> None:
    """Post signed example events to a receiver, and say what it answered. 0 only if all were accepted.

    Signs with the receiver's own settings (STREAM_ROUTER_WEBHOOK_SCHEME and so on): run it where they are set.
    Example: stream-router send --preset cxone-digital --type CaseCreated --count 100 --rate 20
    """
    from stream_router.send import command
    from stream_router.settings.environment.reading import load
    from stream_router.settings.receiver import Receiver

    # The region is of no matter here: it is not asked for where it is not set.
    settings = load(Receiver, aws_region="us-east-1")
    wish = command.Wish(count, rate, preset, event_type, file, url, ca, plain_http)
    raise typer.Exit(command.run(settings, wish))


def top(
    once: Annotated[bool, typer.Option("--once", help="Show it once, and end.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print what the hosts say as one JSON object, and end.")] = False,
    url: Annotated[
        list[str] | None,
        typer.Option("--url", help="An admin port, http://HOST:PORT; again for each further one.", show_default=False),
    ] = None,
) -> None:
    """Show live what consumers and receivers do: is it well, since when, how slow, how long until data is lost.

    Asks the admin ports (STREAM_ROUTER_ADMIN_LISTEN, STREAM_ROUTER_RECEIVER_ADMIN_LISTEN, or each --url) with the token
    of STREAM_ROUTER_ADMIN_TOKEN, and nothing else. Keys: s sorts, h goes to the next host, q quits.
    Example: stream-router top --url http://10.0.0.5:9464 --url http://10.0.0.6:9464
    """
    from stream_router.settings.environment.reading import load
    from stream_router.settings.top import Top
    from stream_router.top import command

    raise typer.Exit(command.run(load(Top), command.Wish(once, json, url or ())))


def health(
    ready: Annotated[bool, typer.Option("--ready", help="Ask whether it is ready for work, too.")] = False,
) -> None:
    """Say whether the `receive` or `consume` of this host is well. 0 if it is, else 1: for a container's health check.

    Asks the admin ports of this host (STREAM_ROUTER_ADMIN_LISTEN, STREAM_ROUTER_RECEIVER_ADMIN_LISTEN) and needs no
    token. Example: stream-router health --ready
    """
    from stream_router.settings.environment.reading import load
    from stream_router.settings.top import Top
    from stream_router.top import health as probe

    raise typer.Exit(probe.run(load(Top), ready=ready))


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

    raise typer.Exit(serve.run(port, quiet=quiet))


def demo(
    events: Annotated[
        int, typer.Option(min=1, max=10_000_000, help="How many events to send, poison included.")
    ] = 10_000,
    rate: Annotated[
        float, typer.Option(min=0, max=1_000_000, help="Events a second; 0 sends as fast as it can.")
    ] = 0.0,
    poison: Annotated[float, typer.Option(min=0, max=100, help="Percent of the events that are garbage.")] = 1.0,
    json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Run the whole pipeline on this machine, on an embedded stack, and account for every event.

    Half of the poison is broken JSON posted to the receiver, half is garbage put straight on the stream. Ends with 0
    only if nothing was lost. Example: stream-router demo --events 1000 --rate 200
    """
    from stream_router.local import demo as show

    raise typer.Exit(show.run(events=events, rate=rate, poison_percent=poison, as_json=json))
