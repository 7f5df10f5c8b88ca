"""The commands that look for events in stream and queues, and publish them again. No logic, as in `cli`."""

from pathlib import Path
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
) -> None:
    """Say what became of an event: in the stream, behind or past the checkpoint, dead letter, undelivered, or nowhere.

    Reads both queues, then the stream. Ends with 0 found, 1 not found, 2 cannot judge.
    Example: stream-router find 0123456789abcdef0123456789abcdef --since 2h
    """
    from stream_router.control.fates import find as control
    from stream_router.settings.operators import DeadLetters

    wish = control.Wish(ids or [], interaction, conversation, since)
    end(control.run(settings(DeadLetters), wish))


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

# --- dead letters

dlq = typer.Typer(
    name="dlq",
    no_args_is_help=True,
    help="Looks at dead letters and brings them back to life (SQS_DLQ_URL); with --undelivered EventBridge's own ones "
    "of the rule's target. See docs/dead-letters.md.",
)
Undelivered = Annotated[
    bool, typer.Option("--undelivered", help="EventBridge's own dead letters: what the rule's target did not take.")
]
Reason = Annotated[str, typer.Option("--reason", help="Only of this reason (--undelivered: error code).")]
EventType = Annotated[str, typer.Option("--event-type", help="Only of this event type.")]
SentSince = Annotated[
    str, typer.Option("--since", help="Only those sent to the queue since: 2026-11-24T09:30Z, or 2h ago.")
]
SentUntil = Annotated[str, typer.Option("--until", help="Only those sent to the queue before.")]
Id = Annotated[str, typer.Option("--id", help="Only of the event with this eventId, or correlationId.")]


@dlq.command("list")
def list_(
    reason: Reason = "",
    event_type: EventType = "",
    since: SentSince = "",
    until: SentUntil = "",
    id: Id = "",  # noqa: A002 - the option's name
    undelivered: Undelivered = False,
) -> None:
    """Count dead letters by reason, code, event type, age, shard and size. Looking hides them for a moment only.

    Example: stream-router dlq list --since 2h
    """
    from stream_router.control.dead_letters import commands

    chosen = commands.Options(reason, event_type, since, until, id)
    end(commands.list_(chosen, undelivered=undelivered))


@dlq.command()
def show(
    id: Annotated[str, typer.Argument(metavar="ID", help="The event's id or correlationId, or the message's id.")],  # noqa: A002
    payload: Annotated[
        bool, typer.Option("--payload", help="The event too, masked where STREAM_ROUTER_MASKING is on.")
    ] = False,
    undelivered: Undelivered = False,
) -> None:
    """Show one dead letter: why, where it came from, what was tried.

    Example: stream-router dlq show 0123456789abcdef0123456789abcdef
    """
    from stream_router.control.dead_letters import commands

    end(commands.show(id, payload=payload, undelivered=undelivered))


@dlq.command()
def redrive(
    reason: Reason = "",
    event_type: EventType = "",
    since: SentSince = "",
    until: SentUntil = "",
    id: Id = "",  # noqa: A002
    rate: Rate = 100.0,
    limit: Annotated[int, typer.Option(min=0, help="At most so many dead letters; 0 for all.")] = 0,
    dry_run: DryRun = False,
    take_all: Annotated[bool, typer.Option("--all", help="Also those that came back from five redrives.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Go on where something cannot be judged, or others get them too.")
    ] = False,
    undelivered: Undelivered = False,
) -> None:
    """Publish dead letters again through the present mapping, masking and settings, with the same ids.

    Each is deleted only once its event is settled. Ctrl-C finishes what is in flight; the rest stays.
    Example: stream-router dlq redrive --reason unroutable --dry-run
    """
    from stream_router.control.dead_letters import commands
    from stream_router.control.dead_letters.redriving.summary import How

    chosen = commands.Options(reason, event_type, since, until, id)
    how = How(rate=rate, limit=limit, dry_run=dry_run, take_all=take_all, yes=yes)
    end(commands.redrive(chosen, how, undelivered=undelivered))


@dlq.command("export")
def export_(
    file: Annotated[Path, typer.Argument(help="A new file: JSON lines, with the events. Readable by you alone.")],
    take: Annotated[bool, typer.Option("--take", help="Delete them from the queue once the file is on disk.")] = False,
    reason: Reason = "",
    event_type: EventType = "",
    since: SentSince = "",
    until: SentUntil = "",
    id: Id = "",  # noqa: A002
    undelivered: Undelivered = False,
) -> None:
    """Write dead letters to a file, to be mended by hand and imported again.

    Example: stream-router dlq export letters.jsonl --reason schema_mismatch --take
    """
    from stream_router.control.dead_letters import commands

    chosen = commands.Options(reason, event_type, since, until, id)
    end(commands.export(file, chosen, take=take, undelivered=undelivered))


@dlq.command("import")
def import_(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="What `export` wrote.")],
    undelivered: Undelivered = False,
) -> None:
    """Send the dead letters of a file to the queue again. Those that are still in the queue are refused.

    What was edited keeps its event's id, and is marked when it is redriven.
    Example: stream-router dlq import letters.jsonl
    """
    from stream_router.control.dead_letters import commands

    end(commands.import_(file, undelivered=undelivered))
