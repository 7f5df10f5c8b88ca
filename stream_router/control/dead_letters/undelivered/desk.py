"""`stream-router dlq list | show | export | import --undelivered`."""

import time
from collections import Counter
from pathlib import Path
from typing import Any

import orjson

from stream_router.control.dead_letters import exporting, importing, listing
from stream_router.control.dead_letters.desk import Desk
from stream_router.control.dead_letters.export_file import ExportFile, UnusableFileError, digest
from stream_router.control.dead_letters.exporting import OF_UNDELIVERED, Form
from stream_router.control.dead_letters.listing import Counts
from stream_router.control.dead_letters.queue.gathering import QueueUnreadableError, Whole
from stream_router.control.dead_letters.queue.held import Held
from stream_router.control.dead_letters.queue.selection import Selection, is_meant
from stream_router.control.dead_letters.telling import Interrupt, say, warn
from stream_router.control.dead_letters.undelivered import reading
from stream_router.control.dead_letters.undelivered.reading import Undelivered
from stream_router.control.indented_json import readable
from stream_router.control.lines import count_of
from stream_router.log import plain
from stream_router.pipeline import deep_json
from stream_router.pipeline.mapping import lossless
from stream_router.pipeline.masking.policy import IDS, ROOTS, MaskingPolicy
from stream_router.pipeline.rejection import Rejected
from stream_router.pipeline.sinks.dead_letters.reader import UnreadableLetterError
from stream_router.process import iso

ALL = 1_000_000
_OURS = {"payload": dict, "extensions": dict, **dict.fromkeys(IDS, str | None)}
"""What kind each part of an event of ours is. Others may write our source into theirs."""


def show_list(desk: Desk, selection: Selection) -> int:
    """Count them by error code, rule, target and so on."""
    counts = Counts()

    def take(held: Held) -> bool:
        try:
            letter = reading.read(held.body, held.attributes)
        except UnreadableLetterError as error:
            counts.unread(selection, held.sent_ms, error_code=f"unreadable: {error}")
            return False
        if not selection.takes(letter, held.sent_ms):
            counts.unselected += 1
            return False
        counts.add(
            held.sent_ms,
            time.time() * 1000,
            error_code=letter.reason,
            after=letter.condition,
            event_type=letter.event_type or "(not known: v2)",
            rule=_short(letter.rule_arn),
            target=_short(letter.target_arn),
        )
        return False

    return listing.look_and_tell(desk, take, counts, selection)


def _short(arn: str) -> str:
    return arn.split(":", 5)[-1] or "(not known)"


def show(desk: Desk, identity: str, *, payload: bool) -> int:
    """Show one, by the event's id, by EventBridge's own, or by the message's."""
    found: list[Undelivered] = []

    def take(held: Held) -> bool:
        try:
            letter = reading.read(held.body, held.attributes)
        except UnreadableLetterError:
            return False
        known = {held.id, *(token for token, _ in letter.lost)}
        by_us = identity in known or is_meant(identity, letter.origin.event_id)
        if by_us or (letter.event and orjson.loads(letter.event).get("id") == identity):
            found.append(letter)
        return bool(found)

    seen = listing.look(desk, ALL, take, Interrupt())
    if not found:
        seen.tell(desk.messages.name)
        warn(f"stream-router dlq: no undelivered event {identity} was seen")
        return 1
    letter = found[0]
    rows = {
        "event": letter.origin.event_id or "(not known)",
        "event type": letter.event_type or "(not known: v2)",
        "error": f"{letter.error.code}: {letter.error.message}",
        "retries": f"{letter.attempts}, {letter.condition}",
        "rule": letter.rule_arn or "(not known)",
        "target": letter.target_arn or "(not known)",
        "time": letter.failed_at or (letter.lost[0][1] if letter.lost else ""),
    }
    for name, value in rows.items():
        say(f"{name:<11} {plain(value)}")
    return _show_payload(desk, letter) if payload else 0


def _show_payload(desk: Desk, letter: Undelivered) -> int:
    if not letter.event:
        warn("stream-router dlq: a v2 bus keeps no payload; `dlq redrive --undelivered` looks for it in the stream")
        return 1
    try:
        detail = lossless.parse(letter.event.encode())["detail"]
    except Rejected as no:  # somebody else's event, since what the transform wrote can be read again
        warn(f"stream-router dlq: its event is none of stream_router's: {no.message}")
        return 1
    policy = desk.connection.transform().policy
    if policy is not None:
        detail = masked_detail(policy, letter, detail)
        say(f"masked by {policy.id} {policy.version}:")
    say(readable(deep_json.write(detail)))
    return 0


def masked_detail(policy: MaskingPolicy, letter: Undelivered, detail: dict[str, Any]) -> dict[str, Any]:
    """The Detail with all that came from the sender masked; of an event that is not ours, all of it."""
    parts = {name: detail[name] for name in ROOTS if name in detail}
    if not letter.is_ours or not all(isinstance(part, _OURS[name]) for name, part in parts.items()):
        whole: dict[str, Any] = policy.mask({"payload": detail}, Counter())["payload"]
        return whole
    # In the payload's place there may be `payloadRef`, and a policy of before may have taken an id away.
    masked = policy.mask({"payload": {}, **dict.fromkeys(IDS), **parts}, Counter())
    own = {name: value for name, value in detail.items() if name not in parts}
    return own | {name: value for name, value in masked.items() if name in parts}


def export(desk: Desk, file: Path, selection: Selection, *, take: bool) -> int:
    """Write the messages as they are, JSON lines; with `take` delete them once they are on disk."""
    return exporting.export(desk, file, selection, Form("undelivered event", reading.read, _line_of), take=take)


def _line_of(_: Desk, whole: Whole) -> dict[str, Any]:
    letter = whole.letter
    assert isinstance(letter, Undelivered)
    return {"schema": OF_UNDELIVERED, "sentAt": iso(whole.sent_ms), "body": letter.body, "attributes": letter.said}


def import_(desk: Desk, file: Path) -> int:
    """Send the messages of a file to the queue again, but for those that are still there."""
    try:
        lines = ExportFile(
            file,
            OF_UNDELIVERED,
            lambda line, _: reading.read(line["body"], line["attributes"]),
            lambda letter: _key(letter.body),
        )
    except (OSError, UnusableFileError) as error:
        warn(f"stream-router dlq: {file}: {error}; nothing was imported")
        return 1
    with lines:
        return _import(desk, lines)


def _import(desk: Desk, lines: ExportFile[Undelivered]) -> int:
    asked, still_there = Interrupt(), set[bytes]()

    def take(held: Held) -> bool:
        if (key := digest(_key(held.body))) in lines.keys:
            still_there.add(key)
        return False

    importing.tell_uncompared(desk, listing.look(desk, ALL, take, asked), "a redrive publishes them twice")
    done, trouble = set(still_there), ""
    try:
        for letter in lines:
            if asked():
                trouble = "broken off"
                break
            if (key := digest(_key(letter.body))) not in done:
                desk.send(letter.body, letter.said)
                done.add(key)
    except (QueueUnreadableError, OSError, UnusableFileError) as error:
        trouble = str(error)
    imported = len(done) - len(still_there)
    say(f"imported {count_of(imported, 'undelivered event')}")
    if still_there:
        say(f"refused {len(still_there):,}: still in the queue")
    importing.tell_left(len(lines.keys) - len(done), trouble)
    return 0 if imported == len(lines.keys) else 1


def _key(body: str) -> str:
    """EventBridge's own ids of the events in a message; where one has none, the message's text."""
    try:
        value = orjson.loads(body)
        ids = [one.get("eventId") for one in value.get("failedMessages") or []] or [value.get("id")]
    except (orjson.JSONDecodeError, AttributeError):
        return body
    return orjson.dumps(ids).decode() if all(ids) else body
