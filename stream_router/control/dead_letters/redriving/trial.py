"""Tries a dead letter on the present settings, without sending anything: which events it gives, or why it gives none.

A letter `crashed` is tried in a process of its own (`alone.py`), whose death is a skip, not ours.
"""

import subprocess
import sys
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import orjson

from stream_router.control.dead_letters.queue.gathering import Whole
from stream_router.control.dead_letters.redriving import reopening
from stream_router.control.dead_letters.redriving.reopening import LetterRecord
from stream_router.model import DeadLetter, Dropped, Entry, Event, Made, Reason
from stream_router.pipeline.sinks.dead_letters.reader import Letter, UnavailableLetterError, UnreadableLetterError

PASSED_OVER_AFTER = 5
"""Redrives from which a letter came back: what failed so often wants a person, not another try."""

ALONE_WITHIN_S = 30.0
_AS_MADE_ALONE = ("time_s", "size_bytes", "order_key", "lane")


class Trial(NamedTuple):
    """What came of one letter: `event_types` of its events where it is eligible, else why it is skipped.

    `unavailable`: its bytes cannot be had now, so of what it is nothing is known.
    """

    whole: Whole
    number: int
    raw: bytes
    event_types: tuple[str, ...] = ()
    skipped: str = ""
    entries: tuple[Entry, ...] = ()
    """Only of a letter `crashed`: made in a process of its own, and not to be made again in this one."""
    unavailable: bool = False

    @property
    def size_bytes(self) -> int:
        """What it holds in memory besides its letter."""
        return len(self.raw) + sum(len(entry.detail) for entry in self.entries)


def not_tried(whole: Whole, number: int, error: UnreadableLetterError) -> Trial:
    """A letter whose event cannot be had."""
    return Trial(whole, number, b"", skipped=str(error), unavailable=isinstance(error, UnavailableLetterError))


class Tries(Protocol):
    """Tries letters, each before anything is sent."""

    def __call__(self, whole: Whole) -> Trial:
        """Try one letter."""

    def entries(self, trial: Trial) -> list[Entry]:
        """The entries of an eligible letter, made at this moment; empty where it is eligible no longer."""


class Trials:
    """Tries letters. `transform` gives the transform for a letter and its bytes; `fetch` gets objects of S3."""

    def __init__(
        self,
        transform: Callable[[Letter, bytes], Callable[[Event], Made]],
        fetch: Callable[[str], bytes] | None,
        *,
        take_all: bool,
    ) -> None:
        self._transform = transform
        self._fetch = fetch
        self._take_all = take_all
        self._number = 0

    def __call__(self, whole: Whole) -> Trial:
        """Try one letter."""
        self._number += 1
        number, letter = self._number, whole.letter
        if letter.generation >= PASSED_OVER_AFTER and not self._take_all:
            return Trial(whole, number, b"", skipped=f"came back from {letter.generation} redrives (--all takes it)")
        try:
            raw = reopening.original(letter, self._fetch)
        except UnreadableLetterError as error:
            return not_tried(whole, number, error)
        if letter.reason == Reason.CRASHED:  # one that was edited too: whether that mended it nobody knows
            return self._alone(whole, number, raw)
        made = self._made(letter, raw, number)
        if why := next((why_not(one) for one in made if not isinstance(one, Entry)), ""):
            return Trial(whole, number, raw, skipped=why)
        return Trial(whole, number, raw, tuple(one.detail_type for one in made if isinstance(one, Entry)))

    def _made(self, letter: Letter, raw: bytes, number: int) -> list[Made]:
        """What the present settings make of a letter's events."""
        transform = self._transform(letter, raw)
        found = reopening.reopen(raw, letter, number)
        return [one if isinstance(one, DeadLetter) else transform(one) for one in found]

    def entries(self, trial: Trial) -> list[Entry]:
        """The entries of an eligible letter, made at this moment; empty where it is eligible no longer."""
        if trial.entries:
            return list(trial.entries)
        made = self._made(trial.whole.letter, trial.raw, trial.number)
        entries = [one for one in made if isinstance(one, Entry)]
        return entries if len(entries) == len(made) else []

    def _alone(self, whole: Whole, number: int, raw: bytes) -> Trial:
        command = [sys.executable, "-P", "-m", "stream_router.control.dead_letters.redriving.alone"]
        origin = whole.letter.origin.model_dump(by_alias=True)
        head = orjson.dumps({"origin": origin, "replayed": reopening.mark_of(whole.letter, raw)}) + b"\n"
        try:
            done = subprocess.run(
                command,
                input=head + raw,
                capture_output=True,
                timeout=ALONE_WITHIN_S,
                check=False,
                start_new_session=True,
            )
            told = orjson.loads(done.stdout) if done.returncode == 0 else {}
        except (subprocess.TimeoutExpired, orjson.JSONDecodeError):
            told = {}
        if why := told.get("why"):
            return Trial(whole, number, raw, skipped=str(why))
        if "entries" not in told:
            return Trial(whole, number, raw, skipped="it still kills the process that opens it")
        record = LetterRecord(raw, whole.letter, number, alone=len(told["entries"]) == 1)
        record.expect(len(told["entries"]))
        entries = tuple(_entry(one, record) for one in told["entries"])
        return Trial(whole, number, raw, tuple(entry.detail_type for entry in entries), "", entries)


def _entry(made: dict[str, Any], record: LetterRecord) -> Entry:
    """An entry that a process of its own has made."""
    event = Event(
        record, made["line"], record.data, made["event_id"], made["id_from"], made["received_at_ms"], body=None
    )
    return Entry(event, made["type"], made["detail"].encode(), *(made[name] for name in _AS_MADE_ALONE))


def why_not(made: Made) -> str:
    """Why this cannot be redriven; "" where it can."""
    if isinstance(made, Dropped):
        return "a setting says to drop it (STREAM_ROUTER_DROP_TYPES, STREAM_ROUTER_UNROUTABLE)"
    if isinstance(made, DeadLetter):
        return f"still {made.reason.value} ({made.code})"
    return ""
