"""`stream-router dlq show`: one dead letter, decoded; its event only where asked for, masked where masking is on."""

import time

from stream_router.control.dead_letters import listing
from stream_router.control.dead_letters.desk import Desk
from stream_router.control.dead_letters.queue.held import Held
from stream_router.control.dead_letters.queue.selection import is_meant
from stream_router.control.dead_letters.redriving import reopening
from stream_router.control.dead_letters.telling import Interrupt, say, warn
from stream_router.control.indented_json import readable
from stream_router.log import plain
from stream_router.model import DeadLetter, Reason
from stream_router.pipeline.sinks.dead_letters import reader
from stream_router.pipeline.sinks.dead_letters.parts import Joiner
from stream_router.pipeline.sinks.dead_letters.reader import Letter, UnreadableLetterError

ALL = 1_000_000


def run(desk: Desk, identity: str, *, payload: bool) -> int:
    """Look for the letter of an event, or of a message, and show it. 0, or 1 where it was not found."""
    found: list[Letter] = []
    whole: list[Letter] = []
    joiner = Joiner()  # an event may have several letters, and a part of one fits none of another

    def take(held: Held) -> bool:
        try:
            letter = reader.read(held.body, held.attributes)
        except UnreadableLetterError:
            return False
        if identity == held.id or is_meant(identity, letter.origin.event_id):
            found.append(letter)
            whole.extend(filter(None, [joiner.add(letter)]))
            return bool(whole) or not payload
        return False

    seen = listing.look(desk, ALL, take, Interrupt())
    if not found:
        seen.tell(desk.messages.name)
        warn(f"stream-router dlq: no dead letter of {identity} was seen")
        return 1
    _tell(whole[0] if payload and whole else found[0])
    return _tell_payload(desk, whole) if payload else 0


def _tell(letter: Letter) -> None:
    at, now_ms = letter.origin, time.time() * 1000
    rows = {
        "event": f"{at.event_id or '(not known)'} ({at.id_from})",
        "event type": letter.event_type or "(not known)",
        "reason": letter.reason,
        "error": f"{letter.error.code}: {letter.error.message}",
        "attempts": str(letter.attempts),
        "buried": f"{letter.failed_at} ({listing.age_of(letter.failed_at, now_ms)})",
        "received": at.received_at,
        "origin": f"{at.stream} {at.shard_id}",
        "sequence": f"{at.sequence_number}.{at.sub_sequence_number}, line {at.line}",
        "form": letter.record.encoding + (f", part {letter.part.n} of {letter.part.of}" if letter.part else ""),
        "generation": f"{letter.generation}" + (" (edited by hand)" if letter.edited else ""),
    }
    for name, value in rows.items():
        say(f"{name:<11} {plain(value)}")
    for past in letter.history:
        say(f"{'before':<11} {plain(f'{past.failed_at} {past.reason} ({past.code})')}, attempts {past.attempts}")


def _tell_payload(desk: Desk, whole: list[Letter]) -> int:
    if not whole:
        warn("stream-router dlq: a part of it was not seen, so its event is not whole")
        return 1
    letter = whole[0]
    try:
        raw = reopening.original(letter, desk.fetch)
    except UnreadableLetterError as error:
        warn(f"stream-router dlq: {error}")
        return 1
    transform = desk.connection.transform()
    if transform.policy is not None:
        if letter.reason == Reason.CRASHED:
            warn("stream-router dlq: its event is not opened, since it killed a process, so it cannot be masked either")
            return 1
        event = reopening.unread(raw, letter, 1)
        raw = transform.masked_raw(DeadLetter(event, Reason.INTERNAL_ERROR, "", "", raw=raw))
        if reopening.is_withheld(raw):
            warn("stream-router dlq: its event cannot be masked, so it is not shown")
            return 1
        say(f"masked by {transform.masking}:")
    say(readable(raw))
    return 0
