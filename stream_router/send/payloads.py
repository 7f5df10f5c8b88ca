"""Webhooks as CXone might send them: three types, several hundred bytes each, names and texts of several countries."""

import random
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

Payload = dict[str, Any]

_PEOPLE = (
    ("Zoë", "Grünwald", "de-DE", "+49 30 5550", "München Kundendienst"),
    ("José", "Núñez", "es-ES", "+34 91 5550", "Atención al cliente"),
    ("愛", "佐藤", "ja-JP", "+81 3 5550", "東京サポート"),
    ("Siobhán", "O'Brien", "en-IE", "+353 1 5550", "Dublin Billing"),
    ("Łukasz", "Żak", "pl-PL", "+48 22 5550", "Obsługa klienta"),
    ("Maria", "Silva", "pt-BR", "+55 11 5550", "Atendimento São Paulo"),
)
_TEXTS = (
    "Hello, my invoice from last month is wrong, could you please look into it?",
    "Guten Tag, wo bleibt meine Bestellung? Die Sendung hängt seit Tagen fest 🙁",
    "¿Pueden ayudarme con mi contraseña? No recibo el correo de verificación.",
    "ご担当者様、契約内容の変更をお願いいたします。よろしくお願いします。",
    "Merci beaucoup, tout est réglé. Très bon service 👍",
)
_STATES = ("Available", "Working", "Unavailable", "Lunch", "Training", "ACW")


def _created(rng: random.Random) -> Payload:
    first, last, language, prefix, queue = rng.choice(_PEOPLE)
    phone = f"{prefix}{rng.randrange(1000, 9999)}"
    return {
        "channel": rng.choice(("voice", "chat", "email", "whatsapp")),
        "direction": "inbound",
        "ani": phone,
        "dnis": "+1 800 555 0199",
        "contact": {"firstName": first, "surname": last, "language": language, "idOnExternalPlatform": phone},
        "skill": {"id": rng.randrange(1000, 9999), "name": queue},
        "ivr": {"path": ["welcome", "language", "menu-2", "queue"], "seconds": round(rng.uniform(4, 90), 1)},
        "customFields": [{"ident": "tier", "value": rng.choice(("gold", "silver", "keine"))}],
        "priority": rng.randrange(1, 11),
    }


def _updated(rng: random.Random) -> Payload:
    first, last, language, _, queue = rng.choice(_PEOPLE)
    return {
        "status": rng.choice(("open", "pending", "resolved", "closed")),
        "message": {
            "id": str(uuid.UUID(int=rng.getrandbits(128))),
            "direction": "inbound",
            "text": rng.choice(_TEXTS),
            "language": language,
            "sentiment": round(rng.uniform(-1, 1), 3),
        },
        "author": {"firstName": first, "surname": last, "nickname": f"{first}.{last[:1]}"},
        "inboxAssignee": {"id": rng.randrange(10_000), "team": queue},
        "messagesCount": rng.randrange(1, 60),
        "tags": rng.sample(["billing", "delivery", "vip", "rückruf", "escalated"], 2),
    }


def _agent(rng: random.Random) -> Payload:
    first, last, language, _, team = rng.choice(_PEOPLE)
    old, new = rng.sample(_STATES, 2)
    return {
        "agent": {"id": rng.randrange(100_000), "name": f"{first} {last}", "team": team, "language": language},
        "from": {"state": old, "seconds": rng.randrange(1, 7200)},
        "to": {"state": new, "reason": rng.choice((None, "scheduled", "Schichtwechsel", "manual override"))},
        "openContacts": [{"contactId": rng.randrange(10**11, 10**12), "channel": "chat"} for _ in range(3)],
        "site": {"name": "Kraków II", "timezone": "Europe/Warsaw"},
        "supervisor": {"id": rng.randrange(1000), "name": "Aoife Ní Dhomhnaill"},
    }


TYPES: tuple[tuple[str, Callable[[random.Random], Payload]], ...] = (
    ("interaction.created", _created),
    ("conversation.updated", _updated),
    ("agent.status.changed", _agent),
)


class Webhooks:
    """Makes bodies, the same ones for the same seed and number: conversations of about four events each."""

    def __init__(self, seed: int, now: datetime) -> None:
        self._rng = random.Random(seed)  # noqa: S311  # sample data
        self._now = now.astimezone(UTC)

    def body(self, number: int) -> bytes:
        """The body of webhook `number`: one JSON object as UTF-8."""
        event_type, payload = TYPES[number % len(TYPES)]
        moment = self._now + timedelta(milliseconds=number)
        return orjson.dumps(
            {
                "interactionId": str(uuid.UUID(int=self._rng.getrandbits(128), version=4)),
                "conversationId": f"conv-{number // (4 * len(TYPES)):06d}-{number % len(TYPES)}",
                "eventType": event_type,
                "timestamp": moment.isoformat(timespec="milliseconds"),
                "payload": payload(self._rng),
            }
        )
