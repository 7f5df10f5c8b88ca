"""The command: posts example events, shows how far it is, and sums up what the receiver answered."""

import contextlib
import itertools
import signal
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import Progress

from stream_router.process import heard_by
from stream_router.send import address
from stream_router.send.poster import Answered, Poster, Webhook
from stream_router.send.samples import bodies
from stream_router.send.signing import signer
from stream_router.send.tally import Tally
from stream_router.settings.receiver import Receiver
from stream_router.settings.types import without_user

GIVE_UP_S = 10.0
"""A sender of CXone's tries for longer; someone at a terminal wants to know."""

BROKEN_OFF = 128 + signal.SIGINT


class Wish(NamedTuple):
    """What the command line asks for."""

    events: int
    rate: float
    preset: str
    event_type: str | None
    file: Path | None
    url: str | None
    ca: Path | None


class Stop:
    """Ctrl-C or SIGTERM: at the first nothing new is sent, at the second no answer is awaited."""

    def __init__(self) -> None:
        self.times = 0

    def _came(self, *_: object) -> None:
        self.times += 1

    def listening(self) -> contextlib.AbstractContextManager[None]:
        """Signals are counted while the block runs."""
        return heard_by(self._came, signal.SIGINT, signal.SIGTERM)


def run(settings: Receiver, wish: Wish) -> int:
    """Post the events. 0 where all were accepted, 1 where not, 130 where it was broken off. Raises SettingsError."""
    url = wish.url or address.own_url(settings)
    address.check(settings, url)
    address.check_ca(wish.ca)
    ca = str(wish.ca) if wish.ca else ""
    tally = Tally(wish.rate)
    console, stop = Console(stderr=True), Stop()
    quiet = wish.events == 1 or not console.is_terminal
    with stop.listening(), Progress(console=console, transient=True, disable=quiet) as progress:
        task = progress.add_task("answered", total=wish.events)

        def done(answer: Answered) -> None:
            tally.take(answer)
            progress.advance(task)

        webhooks = itertools.takewhile(lambda _: not stop.times, _webhooks(wish))
        poster = Poster(url, signer(settings), done, GIVE_UP_S, ca)
        begun_s = time.monotonic()
        poster.run(webhooks, wish.rate, lambda: not stop.times or (stop.times < 2 and poster.under_way))
    _say(tally.lines(without_user(url), poster.sent, time.monotonic() - begun_s))
    if stop.times:
        open_ones = poster.sent - tally.count
        more = f"; {open_ones} were sent and have no answer yet, so they may be stored" if open_ones else ""
        _say([f"broken off: {wish.events - poster.sent} of {wish.events} were not sent{more}"])
        return BROKEN_OFF
    return 0 if tally.accepted == tally.count else 1


def _webhooks(wish: Wish) -> Iterator[Webhook]:
    made = itertools.islice(bodies(wish.preset, wish.event_type, wish.file), wish.events)
    return (Webhook(str(uuid.uuid4()), body) for body in made)


def _say(lines: list[str]) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
