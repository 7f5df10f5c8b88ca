"""What a standard SQS queue remembers: messages, who holds them and for how long, in no particular order."""

import random
import time
from dataclasses import dataclass, field

from tests.fakeaws.call import Document, new_id

VISIBILITY_S = 30.0
"""A queue's default. Source: API of CreateQueue, VisibilityTimeout."""

IN_FLIGHT_MAX = 120_000
"""Messages of a standard queue that may be hidden at once. Source: SQS developer guide, quotas."""


@dataclass(slots=True)
class Message:
    """One message. `hidden_until` is monotonic seconds, `handle` its latest receipt."""

    body: str
    attributes: Document
    id: str = field(default_factory=new_id)
    sent_ms: int = field(default_factory=lambda: int(time.time() * 1000))
    received: int = 0
    hidden_until: float = 0.0
    handle: str = ""


class Queues:
    """Every queue of the fake AWS by its URL's last word; one exists as soon as it is named."""

    def __init__(self) -> None:
        self._messages: dict[str, dict[str, Message]] = {}
        self._handles: dict[str, tuple[str, str]] = {}
        self._dice = random.Random(7)

    def send(self, url: str, body: str, attributes: Document) -> str:
        """Store a message: its id."""
        message = Message(body, attributes)
        self._of(url)[message.id] = message
        return message.id

    def receive(self, url: str, most: int, hide_s: float) -> list[Message]:
        """Up to `most` messages that nobody holds, hidden from now on. As on AWS, which ones is left to chance."""
        now = time.monotonic()
        visible = [message for message in self._of(url).values() if message.hidden_until <= now]
        room = max(0, IN_FLIGHT_MAX - (len(self._of(url)) - len(visible)))
        taken = self._dice.sample(visible, min(most, room, len(visible)))
        for message in taken:
            message.received += 1
            message.hidden_until = now + hide_s
            message.handle = f"{message.id}#{message.received}"
            self._handles[message.handle] = (_name(url), message.id)
        return taken

    def of_handle(self, url: str, handle: str) -> Message | None:
        """The message of a receipt, None where it is gone or was never this queue's."""
        name, identity = self._handles.get(handle, ("", ""))
        return self._of(url).get(identity) if name == _name(url) else None

    def knows(self, handle: str) -> bool:
        """Whether a receipt was ever given."""
        return handle in self._handles

    def delete(self, url: str, message: Message) -> None:
        """Forget a message."""
        self._of(url).pop(message.id, None)

    def show_all(self) -> None:
        """Every message's visibility time-out has passed: those who held them are dead."""
        for messages in self._messages.values():
            for message in messages.values():
                message.hidden_until = 0.0

    def counts(self, url: str) -> tuple[int, int]:
        """Messages that are visible, and those that are hidden."""
        now, messages = time.monotonic(), self._of(url).values()
        visible = sum(message.hidden_until <= now for message in messages)
        return visible, len(messages) - visible

    def dump(self) -> dict[str, list[Document]]:
        """Everything that is stored, by queue: for a test's eyes."""
        return {
            name: [
                {"id": value.id, "body": value.body, "received": value.received, "attributes": value.attributes}
                for value in result.values()
            ]
            for name, result in self._messages.items()
        }

    def clear(self) -> None:
        """Forget everything."""
        self._messages.clear()
        self._handles.clear()

    def _of(self, url: str) -> dict[str, Message]:
        return self._messages.setdefault(_name(url), {})


def _name(url: str) -> str:
    return url.rsplit("/", 1)[-1]
