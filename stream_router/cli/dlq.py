"""`stream-router dlq`: the commands on dead letters. No logic, as in `cli`."""

import time
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True,
    help="Looks at dead letters and brings them back to life (SQS_DLQ_URL); with --undelivered EventBridge's own ones "
    "of the rule's target. See docs/dead-letters.md.",
)

Undelivered = Annotated[
    bool, typer.Option("--undelivered", help="EventBridge's own dead letters: what the rule's target did not take.")
]
Reason = Annotated[str, typer.Option("--reason", help="Only of this reason (--undelivered: error code).")]
Code = Annotated[str, typer.Option("--code", help="Only of this error code.")]
EventType = Annotated[str, typer.Option("--event-type", help="Only of this event type.")]
Since = Annotated[
    str, typer.Option("--since", help="Only those sent to the queue since: 2026-11-24T09:30Z, or 2h ago.")
]
Until = Annotated[str, typer.Option("--until", help="Only those sent to the queue before.")]
Id = Annotated[str, typer.Option("--id", help="Only of the event with this eventId, or correlationId.")]


@app.command("list")
def list_(
    reason: Reason = "",
    code: Code = "",
    event_type: EventType = "",
    since: Since = "",
    until: Until = "",
    id: Id = "",  # noqa: A002 - the option's name
    sample: Annotated[int, typer.Option(min=1, max=100_000, help="Look at so many messages at most.")] = 1000,
    undelivered: Undelivered = False,
) -> None:
    """Count dead letters by reason, code, event type, age, shard and size. Looking hides them for a moment only.

    Example: stream-router dlq list --since 2h
    """
    from stream_router.control.dead_letters import commands

    chosen = commands.Options(reason, code, event_type, since, until, id)
    raise typer.Exit(commands.list_(chosen, sample, undelivered=undelivered, now_ms=_now_ms()))


@app.command()
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

    raise typer.Exit(commands.show(id, payload=payload, undelivered=undelivered))


@app.command()
def redrive(
    reason: Reason = "",
    code: Code = "",
    event_type: EventType = "",
    since: Since = "",
    until: Until = "",
    id: Id = "",  # noqa: A002
    rate: Annotated[
        float, typer.Option(min=0, max=1_000_000, help="Most events a second; 0 sends as fast as they are taken.")
    ] = 100.0,
    limit: Annotated[int, typer.Option(min=0, help="At most so many dead letters; 0 for all.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Try them on the present settings; send nothing.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Publish, and delete nothing: a rehearsal.")] = False,
    parked: Annotated[bool, typer.Option("--parked", help="Also those that failed five redrives.")] = False,
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

    chosen = commands.Options(reason, code, event_type, since, until, id)
    how = How(rate=rate, limit=limit, dry_run=dry_run, keep=keep, parked=parked, yes=yes)
    raise typer.Exit(commands.redrive(chosen, how, undelivered=undelivered, now_ms=_now_ms()))


@app.command("export")
def export_(
    file: Annotated[Path, typer.Argument(help="A new file: JSON lines, with the events. Readable by you alone.")],
    take: Annotated[bool, typer.Option("--take", help="Delete them from the queue once the file is on disk.")] = False,
    reason: Reason = "",
    code: Code = "",
    event_type: EventType = "",
    since: Since = "",
    until: Until = "",
    id: Id = "",  # noqa: A002
    undelivered: Undelivered = False,
) -> None:
    """Write dead letters to a file, to be mended by hand and imported again.

    Example: stream-router dlq export letters.jsonl --reason schema_mismatch --take
    """
    from stream_router.control.dead_letters import commands

    chosen = commands.Options(reason, code, event_type, since, until, id)
    raise typer.Exit(commands.export(file, chosen, take=take, undelivered=undelivered, now_ms=_now_ms()))


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="What `export` wrote.")],
    undelivered: Undelivered = False,
) -> None:
    """Send the dead letters of a file to the queue again. Those that are still in the queue are refused.

    What was edited keeps its event's id, and is marked when it is redriven.
    Example: stream-router dlq import letters.jsonl
    """
    from stream_router.control.dead_letters import commands

    raise typer.Exit(commands.import_(file, undelivered=undelivered))


def _now_ms() -> int:
    return int(time.time() * 1000)
