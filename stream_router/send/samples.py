"""Example events, one after the other: of each shape that CXone sends, or a file's own."""

import itertools
import random
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from stream_router.errors import SettingsError
from stream_router.process import iso, now_ms
from stream_router.send.payloads import TYPES, Webhooks

_PAYLOADS = dict(TYPES)


def bodies(preset: str, event_type: str | None, file: Path | None) -> Iterator[bytes]:
    """Endless bodies: the file's, or examples of a preset, of one type where one is asked for.

    Raises SettingsError where there is no such preset, type or file, or where both would be asked for.
    """
    if file is not None:
        for option, given in (("--type", event_type is not None), ("--preset", preset != "default")):
            if given:
                raise SettingsError(f"{option}: a file goes as it is, so this would do nothing; leave it or --file out")
        return itertools.repeat(_read(file))
    if preset not in PRESETS:
        raise SettingsError(f"--preset: there is no {preset}; name {', '.join(PRESETS)}")
    return PRESETS[preset](event_type)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise SettingsError(f"--file: {file} cannot be read ({error.strerror}); name a file with one event") from None


def _default(event_type: str | None) -> Iterator[bytes]:
    """The product's own shape: three types in turn, or any type that is asked for, in a payload of its kind."""
    rng = random.Random()  # noqa: S311 - sample data
    if event_type is None:
        made = Webhooks(rng.getrandbits(32), datetime.now(UTC))
        yield from (made.body(number) for number in itertools.count())
    payload = _PAYLOADS.get(str(event_type), TYPES[0][1])
    while True:
        yield orjson.dumps(
            {
                "interactionId": str(uuid.uuid4()),
                "conversationId": f"conv-{rng.randrange(1000)}",
                "eventType": event_type,
                "timestamp": _now(),
                "payload": payload(rng),
            }
        )


def _digital(event_type: str | None) -> Iterator[bytes]:
    """An event of CXone's digital channels."""
    rng = random.Random()  # noqa: S311 - sample data
    for kind in itertools.repeat(event_type) if event_type else itertools.cycle(("CaseCreated", "MessageCreated")):
        case = str(rng.randrange(10**6, 10**7))
        data: dict[str, Any] = {
            "brand": {"id": 1023},
            "channel": {"id": "chat_6a1f", "isPrivate": True},
            "case": {"id": case, "status": "open", "createdAt": _now(), "customFields": []},
        }
        if str(kind).startswith("Message"):
            text = rng.choice(("Where is my order?", "Danke, es hat geklappt."))
            data["message"] = {"id": str(uuid.uuid4()), "messageContent": {"type": "TEXT", "payload": {"text": text}}}
        event = {"eventId": str(uuid.uuid4()), "eventObject": "Case", "eventType": kind, "createdAt": _now()}
        yield orjson.dumps({**event, "data": data})


def _data_stream(event_type: str | None) -> Iterator[bytes]:
    """A record of an IVR script; such a record names no type."""
    if event_type:
        raise SettingsError("--type: a record of cxone-data-stream names no type; leave it out")
    for number in itertools.count(40_938_475):
        yield orjson.dumps(
            {
                "eventTime": _now(),
                "busNo": 4596,
                "masterContactId": number,
                "contactId": number + 1,
                "skillNo": 12,
                "skillName": "Billing",
                "actionSequence": 7,
                "ani": "+493090182030",
                "scriptName": "Main\\IVR",
            }
        )


def _now() -> str:
    return iso(now_ms())


PRESETS: dict[str, Callable[[str | None], Iterator[bytes]]] = {
    "default": _default,
    "cxone-digital": _digital,
    "cxone-data-stream": _data_stream,
}
