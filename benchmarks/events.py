"""Events for the benchmarks: the contract's default shape, about 0.6 KB, as a contact centre sends them."""

import hashlib
import time

import orjson

TYPES = ("interaction.created", "conversation.updated", "agent.status.changed")
NOTE = "Customer asks about the invoice of last month, was promised a call back and has waited since. " * 2


def body(number: int) -> bytes:
    """One event's JSON as the sender writes it."""
    return orjson.dumps(
        {
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
    )


def envelope(number: int) -> bytes:
    """The same as the receiver seals it."""
    identity = hashlib.sha256(str(number).encode()).hexdigest()[:32]
    head = f'{{"v":1,"id":"{identity}","idFrom":"delivery","receivedAt":{int(time.time() * 1000)},"body":'
    return head.encode() + body(number) + b"}"
