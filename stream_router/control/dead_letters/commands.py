"""`stream-router dlq …`, command by command: settings read, the part that does the work called, its status returned."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from stream_router.control.dead_letters import exporting, importing, listing, showing
from stream_router.control.dead_letters.desk import Desk, undelivered_url
from stream_router.control.dead_letters.queue.gathering import QueueUnreadableError
from stream_router.control.dead_letters.queue.selection import Selection, selection
from stream_router.control.dead_letters.redriving import redrive as redriving
from stream_router.control.dead_letters.redriving.summary import How
from stream_router.control.dead_letters.telling import Interrupt, warn
from stream_router.control.dead_letters.undelivered import desk as of_eventbridge
from stream_router.control.dead_letters.undelivered.redrive import UndeliveredRedrive
from stream_router.process import iso, now_ms
from stream_router.settings.operators import DeadLetters
from stream_router.settings.reading import load


class Options(NamedTuple):
    """The filters, as typed; "" where one is not given."""

    reason: str
    event_type: str
    since: str
    until: str
    id: str

    def selection(self) -> Selection:
        """What they mean now. Raises SettingsError."""
        return selection(*self, int(now_ms()))


def redrive(options: Options, how: How, *, undelivered: bool) -> int:
    """`dlq redrive`."""
    settings = load(DeadLetters)
    chosen = options.selection()
    started_at = iso(int(now_ms()))
    kind = UndeliveredRedrive if undelivered else redriving.Redrive
    return _told(lambda: kind(_desk(settings, undelivered), chosen, how, Interrupt(), started_at).run())


def list_(options: Options, *, undelivered: bool) -> int:
    """`dlq list`."""
    settings = load(DeadLetters)
    chosen = options.selection()
    if undelivered:
        return _told(lambda: of_eventbridge.show_list(_desk(settings, True), chosen))
    return _told(lambda: listing.run(_desk(settings, False), chosen))


def show(identity: str, *, payload: bool, undelivered: bool) -> int:
    """`dlq show`."""
    settings = load(DeadLetters)
    if undelivered:
        return _told(lambda: of_eventbridge.show(_desk(settings, True), identity, payload=payload))
    return _told(lambda: showing.run(_desk(settings, False), identity, payload=payload))


def export(file: Path, options: Options, *, take: bool, undelivered: bool) -> int:
    """`dlq export`."""
    settings = load(DeadLetters)
    chosen = options.selection()
    if undelivered:
        return _told(lambda: of_eventbridge.export(_desk(settings, True), file, chosen, take=take))
    return _told(lambda: exporting.run(_desk(settings, False), file, chosen, take=take))


def import_(file: Path, *, undelivered: bool) -> int:
    """`dlq import`."""
    settings = load(DeadLetters)
    if undelivered:
        return _told(lambda: of_eventbridge.import_(_desk(settings, True), file))
    return _told(lambda: importing.run(_desk(settings, False), file))


def _desk(settings: DeadLetters, undelivered: bool) -> Desk:
    return Desk(settings, undelivered_url(settings) if undelivered else settings.sqs_dlq_url)


def _told(work: Callable[[], int]) -> int:
    """A queue that cannot be read is one line and 1."""
    try:
        return work()
    except QueueUnreadableError as error:
        warn(f"stream-router dlq: {error}")
        return 1
