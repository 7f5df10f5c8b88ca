"""Events for the benchmarks: the contract's default shape, about 0.6 KB, as a contact centre sends them."""

import hashlib
import json
import time

import orjson

TYPES = ("interaction.created", "conversation.updated", "agent.status.changed")
NOTE = "Customer asks about the invoice of last month, was promised a call back and has waited since. " * 2


def body(number: int, size_bytes: int = 0, *, spaced: bool = False) -> bytes:
    """One event's JSON as the sender writes it, its note drawn out to about `size_bytes` or cut down to them.

    `spaced`: with a space after each comma and colon, as Python, Java and C# write it by default.
    """
    event = {
        "interactionId": f"int-{number:010d}",
        "conversationId": f"conv-{number % 997:06d}",
        "eventType": TYPES[number % 3],
        "timestamp": "2026-11-24T09:30:00.123Z",
        "payload": {
            "channel": "voice",
            "direction": "inbound",
            "queue": "billing-emea",
            "waitMs": number % 60_000,
            "agent": {"id": f"agent-{number % 400}", "name": "Jörg Müller", "team": "Süd"},
            "contact": {"ani": "+14155550123", "dnis": "+18005550100", "email": "jane.doe@example.com"},
            "note": NOTE,
        },
    }
    if size_bytes:
        wanted = len(NOTE) + size_bytes - len(orjson.dumps(event))
        event["payload"]["note"] = (NOTE * (max(0, wanted) // len(NOTE) + 1))[: max(0, wanted)]  # type: ignore[index]
    return json.dumps(event, ensure_ascii=False).encode() if spaced else orjson.dumps(event)


def identity(number: int) -> str:
    """The event's id, as the receiver would make one."""
    return hashlib.sha256(str(number).encode()).hexdigest()[:32]


def envelope(number: int, size_bytes: int = 0, *, spaced: bool = False) -> bytes:
    """The same as the receiver seals it."""
    head = f'{{"v":1,"id":"{identity(number)}","idFrom":"delivery","receivedAt":{int(time.time() * 1000)},"body":'
    return head.encode() + body(number, size_bytes, spaced=spaced) + b"}"


def envelopes(count: int, size_bytes: int = 0, *, spaced: bool = False) -> list[bytes]:
    """So many of them."""
    return [envelope(number, size_bytes, spaced=spaced) for number in range(count)]
