"""`stream-router dlq …`, command by command: settings read, the part that does the work called, its status returned."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from stream_router.control.dead_letters import exporting, importing, listing, showing
from stream_router.control.dead_letters import redrive as redriving
from stream_router.control.dead_letters.gathering import QueueUnreadableError
from stream_router.control.dead_letters.selection import Selection, selection
from stream_router.control.dead_letters.telling import warn
from stream_router.settings.common import load
from stream_router.settings.dead_letters import DeadLetters


class Options(NamedTuple):
    """The filters, as typed; "" where one is not given."""

    reason: str
    code: str
    event_type: str
    since: str
    until: str
    id: str

    def selection(self, now_ms: int) -> Selection:
        """What they mean. Raises SettingsError."""
        return selection(*self, now_ms)


class How(NamedTuple):
    """How to redrive."""

    rate: float
    limit: int
    dry_run: bool
    keep: bool
    parked: bool
    yes: bool


def redrive(options: Options, how: How, *, undelivered: bool, now_ms: int) -> int:
    """`dlq redrive`."""
    settings = load(DeadLetters)
    chosen = options.selection(now_ms)
    return _told(lambda: redriving.run(settings, redriving.Wish(chosen, *how), now_ms))


def list_(options: Options, sample: int, *, undelivered: bool, now_ms: int) -> int:
    """`dlq list`."""
    settings = load(DeadLetters)
    chosen = options.selection(now_ms)
    return _told(lambda: listing.run(settings, chosen, sample))


def show(identity: str, *, payload: bool, undelivered: bool) -> int:
    """`dlq show`."""
    settings = load(DeadLetters)
    return _told(lambda: showing.run(settings, identity, payload=payload))


def export(file: Path, options: Options, *, take: bool, undelivered: bool, now_ms: int) -> int:
    """`dlq export`."""
    settings = load(DeadLetters)
    chosen = options.selection(now_ms)
    return _told(lambda: exporting.run(settings, file, chosen, take=take))


def import_(file: Path, *, undelivered: bool) -> int:
    """`dlq import`."""
    settings = load(DeadLetters)
    return _told(lambda: importing.run(settings, file))


def _told(work: Callable[[], int]) -> int:
    """A queue that cannot be read is one line and 1."""
    try:
        return work()
    except QueueUnreadableError as error:
        warn(f"stream-router dlq: {error}")
        return 1
