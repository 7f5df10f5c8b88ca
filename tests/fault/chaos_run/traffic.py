"""The events of a run, by its seed: posts of one or ten, one event in a hundred poison, some that never succeed."""

import json
import random
from typing import Any, NamedTuple

from tests.system.world import event_id

SICK = '"sick":true'
"""What the plan of the fake AWS looks for in an entry that is never to be accepted."""

POISON_SHARE, TWICE_SHARE, ARRAY_SHARE = 0.01, 0.03, 0.25
ARRAY = 10


class Post(NamedTuple):
    """One delivery of the sender's: its events by id are `ids`, in the order of the body."""

    delivery: str
    body: bytes
    ids: tuple[str, ...]
    kinds: tuple[str, ...]
    elements: tuple[bytes, ...]
    conversations: tuple[str, ...]
    twice: bool


class Traffic:
    """Makes posts. Numbers, and so the ids, go on from one call to the next."""

    def __init__(self, seed: int, *, conversations: int = 97) -> None:
        self._dice = random.Random(seed)
        self._seed = seed
        self._conversations = conversations
        self._number = 0

    def posts(self, events: int, sick: int = 0) -> list[Post]:
        """Posts that hold at least `events` events; `sick` of these, spread over the first half, never succeed."""
        result: list[Post] = []
        first = self._number
        due = {first + 20 + int(events * 0.5 * n / sick) for n in range(sick)}
        while self._number < first + events:
            result.append(self._post(due))
        return result

    def fresh(self, count: int) -> list[Post]:
        """Good events, each of a conversation that no other has."""
        result = []
        for _ in range(count):
            self._number += 1
            result.append(self._seal([self._element("good", f"fresh-{self._number}")], twice=False, array=False))
        return result

    def _post(self, sick: set[int]) -> Post:
        array = self._dice.random() < ARRAY_SHARE
        elements, conversation = [], f"c-{self._dice.randrange(self._conversations)}"
        for _ in range(ARRAY if array else 1):
            self._number += 1
            kind = "poison" if self._dice.random() < POISON_SHARE else "good"
            kind = "sick" if self._number in sick else kind
            elements.append(self._element(kind, conversation))
        return self._seal(elements, twice=self._dice.random() < TWICE_SHARE, array=array)

    def _element(self, kind: str, conversation: str) -> tuple[str, str, bytes]:
        event: dict[str, Any] = {
            "interactionId": f"i-{self._number}",
            "conversationId": conversation,
            "eventType": self._dice.choice(("interaction.created", "conversation.updated", "agent.status.changed")),
            "timestamp": "2026-11-24T10:30:00.123+01:00",
            "payload": {"n": self._number, "name": "Zoë Núñez", "text": "ありがとう 👍" * self._dice.randrange(1, 12)},
        }
        if kind == "poison":
            spoil = self._dice.choice(("timestamp", "interactionId", "eventType"))
            event[spoil] = {"timestamp": "yesterday", "interactionId": {}, "eventType": "nobody.routes.this"}[spoil]
        text = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
        if kind == "sick":
            text = f"{text[:-2]},{SICK}}}}}"
        return kind, conversation, text.encode()

    def _seal(self, created: list[tuple[str, str, bytes]], *, twice: bool, array: bool) -> Post:
        elements = tuple(element for _, _, element in created)
        body = b"[%s]" % b",".join(elements) if array else elements[0]
        delivery = f"s{self._seed}-{self._number}"
        ids = tuple(event_id("hmac", delivery, index, body) for index in range(len(elements)))
        kinds, conversations = tuple(kind for kind, _, _ in created), tuple(c for _, c, _ in created)
        return Post(delivery, body, ids, kinds, elements, conversations, twice)
