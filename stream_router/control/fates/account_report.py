"""What `reconcile` says: the counts, whether they agree, and which events do not."""

from collections.abc import Iterator

from stream_router.control.fates.account import Account
from stream_router.control.fates.books import Letters, UndeliveredBook
from stream_router.control.fates.judge import Fate
from stream_router.control.lines import count_of
from stream_router.control.stream.reader import Span
from stream_router.log import plain
from stream_router.pipeline.mapping.timestamps import iso


def lines(
    account: Account, span: Span, shards: int, letters: Letters, undelivered: UndeliveredBook, show: int
) -> Iterator[str]:
    """The report, line by line; at most `show` differences."""
    fates = account.fates
    waiting = fates[Fate.WAITING]
    past = account.events - waiting - fates[Fate.PASSED_OVER] - account.unjudged
    yield f"{iso(span.since_ms)} to {iso(span.until_ms)}"
    yield _line("in the stream", account.events, f"{account.records:,} records, {shards} shards")
    yield _line("not settled yet", waiting, f"the oldest of {iso(account.oldest_waiting_ms)}" if waiting else "")
    yield _line("settled", past, "")
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in account.reasons.most_common())
    yield _line("  dead letters", fates[Fate.DEAD], reasons)
    yield _line("  undelivered", fates[Fate.UNDELIVERED], undelivered.missing)
    yield _line("  dropped", fates[Fate.DROPPED], "by a setting" if fates[Fate.DROPPED] else "")
    yield _line("  accepted", fates[Fate.ACCEPTED], "past the checkpoint, in no queue")
    if fates[Fate.LETTER_GONE]:
        yield _line("  letter gone", fates[Fate.LETTER_GONE], "past the checkpoint, cannot have been accepted today")
    if fates[Fate.PASSED_OVER]:
        yield _line("passed over", fates[Fate.PASSED_OVER], "by the KCL, within aggregated records")
    if account.unjudged:
        yield _line("not judged", account.unjudged, "; ".join(account.why_unjudged))
    if letters.unreadable:
        yield _line("no letters", letters.unreadable, "messages of the dead-letter queue that are no dead letters")
    yield from _differences(account, show)
    yield _verdict(account, letters.missing or account.unseen(undelivered))


def _line(name: str, count: int, more: str) -> str:
    return f"{name:<16}{count:>12,}  {plain(more)}".rstrip()


def _differences(account: Account, show: int) -> Iterator[str]:
    for one in account.kept[:show]:
        yield f"differs  {plain(one.event_id)}  {one.shard_id} {one.sequence_number} line {one.line}"
        yield f"         {plain(one.what)}"
    if account.differences > show:
        yield f"         and {account.differences - show:,} more (--show N)"


def _verdict(account: Account, missing: str) -> str:
    if missing:
        return f"cannot judge: {missing}"
    if account.unjudged:
        return f"cannot judge: {account.unjudged:,} events"
    if not account.differences:
        return "equal: every event is accounted for"
    return count_of(account.differences, "difference")
