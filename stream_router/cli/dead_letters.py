"""The commands on dead letters: `stream-router dlq …`. No logic, as in `cli`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream_router.cli.options import DryRun, Rate, end
from stream_router.model import Reason

if TYPE_CHECKING:
    from stream_router.operate.dlq import Chosen

dlq = typer.Typer(
    name="dlq",
    no_args_is_help=True,
    help="Looks at dead letters and puts them back on the stream (SQS_DLQ_URL); with --undelivered EventBridge's own "
    "ones of the rule's target. See docs/dead-letters.md.",
)
OfEventBridge = Annotated[
    bool, typer.Option("--undelivered", help="EventBridge's own dead letters: what the rule's target did not take.")
]
OfReason = Annotated[str, typer.Option("--reason", help="Only of this reason (--undelivered: error code).")]
EventType = Annotated[str, typer.Option("--event-type", help="Only of this event type.")]
Since = Annotated[
    str, typer.Option("--since", help="Only those sent to the queue since: 2026-11-24T09:30Z, or 2h ago.")
]
Until = Annotated[str, typer.Option("--until", help="Only those sent to the queue before.")]
Id = Annotated[str, typer.Option("--id", help="Only of the event with this eventId, or correlationId.")]


def _chosen(undelivered: bool, reason: str, *others: str) -> "Chosen":
    """The filters, as typed; a reason that no dead letter of ours can have ends the command with 2."""
    from stream_router.operate.dlq import chosen

    if reason and not undelivered and reason not in set(Reason):
        raise typer.BadParameter(f"{reason!r} is none of: {', '.join(Reason)}", param_hint="'--reason'")
    return chosen(reason, *others)


@dlq.command("list")
def list_(
    reason: OfReason = "",
    event_type: EventType = "",
    since: Since = "",
    until: Until = "",
    id: Id = "",  # noqa: A002 - the option's name
    undelivered: OfEventBridge = False,
) -> None:
    """Count dead letters by reason, code and event type, with ids that `show` takes. Hides them for a moment only.

    Example: stream-router dlq list --since 2h
    """
    from stream_router.operate import dlq as operate

    wanted = _chosen(undelivered, reason, event_type, since, until, id)
    end(operate.at_queue(undelivered, lambda at: operate.list_(at, wanted)))


@dlq.command()
def show(
    id: Annotated[str, typer.Argument(metavar="ID", help="The event's id or correlationId, or the message's id.")],  # noqa: A002
    payload: Annotated[
        bool, typer.Option("--payload", help="The event too, masked where STREAM_ROUTER_MASKING is on.")
    ] = False,
    undelivered: OfEventBridge = False,
) -> None:
    """Show one dead letter: why, where it came from, what was tried.

    Example: stream-router dlq show 0123456789abcdef0123456789abcdef
    """
    from stream_router.operate import dlq as operate

    end(operate.at_queue(undelivered, lambda at: operate.show(at, id, payload=payload)))


@dlq.command()
def export(
    file: Annotated[Path, typer.Argument(help="A new file: JSON lines, with the events. Readable by you alone.")],
    reason: OfReason = "",
    event_type: EventType = "",
    since: Since = "",
    until: Until = "",
    id: Id = "",  # noqa: A002
    undelivered: OfEventBridge = False,
) -> None:
    """Write dead letters to a file, to be mended by hand and put back by `redrive --file`. They stay in the queue.

    Example: stream-router dlq export letters.jsonl --reason schema_mismatch
    """
    from stream_router.operate import dlq as operate

    wanted = _chosen(undelivered, reason, event_type, since, until, id)
    end(operate.at_queue(undelivered, lambda at: operate.export(at, file, wanted)))


@dlq.command()
def redrive(
    reason: OfReason = "",
    event_type: EventType = "",
    since: Since = "",
    until: Until = "",
    id: Id = "",  # noqa: A002
    file: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Only those of this export, as they were edited there."),
    ] = None,
    rate: Rate = 100.0,
    limit: Annotated[int, typer.Option(min=0, help="At most so many dead letters; 0 for all.")] = 0,
    dry_run: DryRun = False,
    take_all: Annotated[bool, typer.Option("--all", help="Also those that came back five times.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="With --undelivered: also what was published unmasked, though masking is on.")
    ] = False,
    undelivered: OfEventBridge = False,
) -> None:
    """Put dead letters back on the stream, under the same ids: the consumer maps, masks and publishes them again.

    Each is deleted once the stream has it. Ctrl-C finishes what is in flight; the rest stays.
    Example: stream-router dlq redrive --reason unroutable --dry-run
    """
    from stream_router.operate import dlq as operate

    wanted = _chosen(undelivered, reason, event_type, since, until, id)
    how = operate.How(file, rate, limit, dry_run, take_all, yes)
    end(operate.at_queue(undelivered, lambda at: operate.redrive(at, wanted, how)))
