"""The commands that look for events in stream and queues, and publish them again. No logic, as in `cli`."""

from typing import Annotated

import typer

from stream_router.cli.options import DryRun, Rate, end, settings

ArrivedSince = Annotated[
    str, typer.Option("--since", help="From when on, by arrival in the stream: 2026-11-24T09:30:00Z, or 2h ago.")
]


def find(
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID…", help="eventId, or correlationId.")] = None,
    interaction: Annotated[str | None, typer.Option("--interaction", help="All events of this interaction.")] = None,
    conversation: Annotated[str | None, typer.Option("--conversation", help="All of this conversation.")] = None,
    since: ArrivedSince = "24h",
    payload: Annotated[
        bool, typer.Option("--payload", help="The event too, masked where STREAM_ROUTER_MASKING is on.")
    ] = False,
) -> None:
    """Say what became of an event: in the stream, behind or past the checkpoint, dead letter, undelivered, or nowhere.

    Reads the stream, then both queues. Ends with 0 found, 1 not found, 2 cannot judge.
    Example: stream-router find 0123456789abcdef0123456789abcdef --since 2h
    """
    from stream_router.operate import find as operate
    from stream_router.settings.operators import DeadLetters

    wish = operate.Wish(ids or [], interaction, conversation, since, payload)
    end(operate.run(settings(DeadLetters), wish))


def replay(
    since: ArrivedSince,
    until: Annotated[
        str | None, typer.Option("--until", help="Before when; without it, or later than now, up to now.")
    ] = None,
    event_type: Annotated[
        list[str] | None, typer.Option("--event-type", help="Only this event type; may be given again.")
    ] = None,
    id: Annotated[  # noqa: A002 - the option's name
        list[str] | None, typer.Option("--id", help="Only the event with this eventId; may be given again.")
    ] = None,
    rate: Rate = 100.0,
    dry_run: DryRun = False,
    yes: Annotated[bool, typer.Option("--yes", help="Go on though STREAM_ROUTER_RULE is none.")] = False,
) -> None:
    """Put events of the stream on the stream again, under the same ids: the consumer publishes them once more.

    For events that were delivered wrong, or to nobody. Takes what was there when it begins, and touches no checkpoint.
    Each says metadata.replayed. Example: stream-router replay --since 2026-11-24T09:00Z --until 2h --dry-run
    """
    from stream_router.operate import replay as operate
    from stream_router.settings.operators import DeadLetters

    wish = operate.Wish(since, until, event_type or [], id or [], rate, dry_run, yes)
    end(operate.run(settings(DeadLetters), wish))


COMMANDS = (find, replay)
