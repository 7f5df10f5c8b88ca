"""`stream-router reconcile`: stream, checkpoints and dead letters held against each other, for all events of a span."""

import sys
from typing import NamedTuple

from stream_router.aws.clients import Clients
from stream_router.consumer.transform_config import transform_config
from stream_router.control.fates import account_report, looks
from stream_router.control.fates.account import Account
from stream_router.control.fates.books import Letters, UndeliveredBook
from stream_router.control.fates.find import judge_of
from stream_router.control.fates.judged import CANNOT_JUDGE, judged
from stream_router.control.lines import write_line
from stream_router.control.stream import session
from stream_router.control.stream import shards as shards_
from stream_router.control.stream.session import Stops, say
from stream_router.control.stream.shards import UnreadableError
from stream_router.control.stream.sightings import sightings
from stream_router.pipeline.transform import Transform
from stream_router.process import now_ms
from stream_router.settings.dead_letters import DeadLetters

EQUAL, DIFFERENCES = 0, 1


class Wish(NamedTuple):
    """What the operator typed."""

    since: str
    until: str | None
    fan_out: bool
    show: int


def run(settings: DeadLetters, wish: Wish) -> int:
    """The command. 0 equal, 1 differences, 2 cannot judge. Raises SettingsError."""
    return judged(lambda: _reconciled(settings, wish))


def _reconciled(settings: DeadLetters, wish: Wish) -> int:
    """The account, said, and its status.

    The checkpoints are read first: a letter is stored before the checkpoint passes its event, so whatever the queue
    then lacks was taken out of it.
    """
    transform = Transform(transform_config(settings), now_ms)
    begun_ms = int(now_ms())
    span = session.span_of(wish.since, wish.until, begun_ms)
    clients, stops = Clients(settings.aws_region), Stops()
    with stops.listening():
        try:
            stream = shards_.describe(clients.kinesis, settings.stream, span.since_ms, begun_ms)
            checkpoints = session.checkpoints_of(settings, clients, stream)
            letters, undelivered = looks.both(settings, stops)
            judge = judge_of(settings, transform, checkpoints, letters, undelivered)
            account = Account(judge, letters)
            with session.reading(clients, stream, span, stops, fan_out=wish.fan_out) as pieces:
                for piece in pieces:
                    for sighting in sightings(piece):
                        account.note(sighting)
                    for position in piece.outside:
                        account.note_outside(piece.shard.shard_id, position)
                    account.records += len(piece.records)
        except UnreadableError as error:
            say(f"cannot judge: {error}")
            return CANNOT_JUDGE
    if stops.asked.is_set():
        say("cannot judge: the reading was broken off")
        return CANNOT_JUDGE
    account.close()
    for line in account_report.lines(account, span, len(stream.shards), letters, undelivered, wish.show):
        write_line(sys.stdout, line)
    return status(account, letters, undelivered)


def status(account: Account, letters: Letters, undelivered: UndeliveredBook) -> int:
    """Equal only where everything was seen."""
    if account.unjudged or letters.missing or account.unseen(undelivered):
        return CANNOT_JUDGE
    return DIFFERENCES if account.differences else EQUAL
