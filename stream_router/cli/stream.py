"""The commands that read the stream beside the consumer. No logic, as in `cli`."""

from typing import Annotated

import typer

Since = Annotated[
    str, typer.Option("--since", help="From when on, by arrival in the stream: 2026-11-24T09:30:00Z, or 2h ago.")
]
Until = Annotated[str | None, typer.Option("--until", help="Before when; without it, or later than now, up to now.")]
FanOut = Annotated[
    bool, typer.Option("--fan-out", help="Read by enhanced fan-out: faster, at a price that is said first.")
]


def find(
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID…", help="eventId, or correlationId.")] = None,
    interaction: Annotated[str | None, typer.Option("--interaction", help="All events of this interaction.")] = None,
    conversation: Annotated[str | None, typer.Option("--conversation", help="All of this conversation.")] = None,
    since: Since = "24h",
    everything: Annotated[
        bool, typer.Option("--all", help="Look for later copies too, and for events that are dead letters.")
    ] = False,
    fan_out: FanOut = False,
) -> None:
    """Say what became of an event: in the stream, behind or past the checkpoint, dead letter, undelivered, or nowhere.

    Reads both queues, then the stream. Ends with 0 found, 1 not found, 2 cannot judge.
    Example: stream-router find 0123456789abcdef0123456789abcdef --since 2h
    """
    from stream_router.control.fates import find as control
    from stream_router.settings.dead_letters import DeadLetters
    from stream_router.settings.environment.reading import load

    wish = control.Wish(ids or [], interaction, conversation, since, fan_out, everything)
    raise typer.Exit(control.run(load(DeadLetters), wish))


def replay(
    since: Since,
    until: Until = None,
    event_type: Annotated[
        list[str] | None, typer.Option("--event-type", help="Only this event type; may be given again.")
    ] = None,
    id: Annotated[  # noqa: A002 - the option's name
        list[str] | None, typer.Option("--id", help="Only the event with this eventId; may be given again.")
    ] = None,
    rate: Annotated[
        float, typer.Option("--rate", min=0, max=1_000_000, help="Most events a second; 0 is no bound.")
    ] = 0.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be published.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Publish although a rule or the bus cannot be judged.")] = False,
    replay_id: Annotated[
        str, typer.Option("--replay-id", help="Go on with this replay: its id, as it was printed.")
    ] = "",
    fan_out: FanOut = False,
) -> None:
    """Publish events of the stream again, through the present mapping, masking and settings, with the same ids.

    For events that were delivered wrong. Goes up to the checkpoint as it stands, and touches none. Every event carries
    metadata.replayed. Example: stream-router replay --since 2026-11-24T09:00Z --until 2026-11-24T11:00Z --dry-run
    """
    from stream_router.control.replay import replay as control
    from stream_router.control.replay.wish import Wish
    from stream_router.settings.consumer import Consumer
    from stream_router.settings.environment.reading import load

    wish = Wish(since, until, event_type or [], id or [], rate, dry_run, fan_out, yes, replay_id)
    raise typer.Exit(control.run(load(Consumer), wish))


def shards(
    to: Annotated[int | None, typer.Option("--to", min=1, help="Reshard to so many, and follow it to the end.")] = None,
    seconds: Annotated[int, typer.Option("--seconds", min=10, max=3600, help="Measure over the last so many.")] = 60,
    yes: Annotated[bool, typer.Option("--yes", help="Reshard although there are too few buckets.")] = False,
) -> None:
    """Show the load of each shard against its limits, and what to do; with --to, reshard by AWS's rules.

    Measures by reading what came of late. Where a template owns the stream (CloudFormation, Terraform), change its
    number of shards there instead of with --to. Example: stream-router shards --to 4
    """
    from stream_router.control.shards import command
    from stream_router.settings.environment.reading import load
    from stream_router.settings.receiver import Receiver

    raise typer.Exit(command.run(load(Receiver), command.Wish(to, seconds, yes)))


def add_to(app: typer.Typer) -> None:
    """Make them commands of `app`."""
    for command in (find, replay, shards):
        app.command()(command)
