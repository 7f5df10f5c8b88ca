"""Bodies to send: examples of a preset (`examples.jsonl`), or the content of a file.

In an example `$id` and `$other` stand for UUIDs, `$conversation` for a conversation of about four events, `$number` for
a growing number, `$now` for the time.
"""

import itertools
import random
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import orjson

from stream_router.errors import SettingsError

FIRST_NUMBER = 40_938_475
"""Value of `$number` in webhook 0."""


@cache
def presets() -> dict[str, list[dict[str, Any]]]:
    """Return the examples of each preset, in the order in which they are sent."""
    by_preset: dict[str, list[dict[str, Any]]] = {}
    for line in files("stream_router.send").joinpath("examples.jsonl").read_bytes().splitlines():
        sample = orjson.loads(line)
        by_preset.setdefault(sample["preset"], []).append(sample["event"])
    return by_preset


class Webhooks:
    """Generator of bodies. If `event_type` is given, all events have that type.

    Generators with the same arguments return equal bodies if `body` gets the same numbers in the same order.
    Raises SettingsError if there is no such preset, or if a type is given and the preset's events name none.
    """

    def __init__(self, seed: int, now: datetime, preset: str = "default", event_type: str | None = None) -> None:
        if preset not in presets():
            raise SettingsError("--preset", f"there is no preset {preset}", f"name {', '.join(presets())}")
        events = presets()[preset]
        if event_type is not None:
            if "eventType" not in events[0]:
                raise SettingsError("--type", f"a record of {preset} has no event type", "omit it")
            # If the preset has no example of this type, all of its examples get the type.
            alike = [event for event in events if event["eventType"] == event_type] or events
            events = [{**event, "eventType": event_type} for event in alike]
        # The examples have `$number` in quotes, so that they are JSON. Its value is a number and needs none.
        numbered = (orjson.dumps(event).decode().replace('"$number"', "$number") for event in events)
        self._templates = [Template(text) for text in numbered]
        self._rng = random.Random(seed)  # noqa: S311  # sample data
        self._now = now.astimezone(UTC)

    def body(self, number: int) -> bytes:
        """Return the body of webhook `number`: one JSON object as UTF-8."""
        moment = self._now + timedelta(milliseconds=number)
        text = self._templates[number % len(self._templates)].substitute(
            id=uuid.UUID(int=self._rng.getrandbits(128), version=4),
            other=uuid.UUID(int=self._rng.getrandbits(128), version=4),
            conversation=f"conv-{number // 12:06d}-{number % 3}",
            number=FIRST_NUMBER + number,
            now=moment.isoformat(timespec="milliseconds"),
        )
        return text.encode()


def bodies(preset: str, event_type: str | None, file: Path | None) -> Iterator[bytes]:
    """Return endless bodies: the file's, or examples of a preset. Raises SettingsError if the options ask for both."""
    if file is None:
        webhooks = Webhooks(random.getrandbits(32), datetime.now(UTC), preset, event_type)
        return map(webhooks.body, itertools.count())
    for option, is_given in (("--type", event_type is not None), ("--preset", preset != "default")):
        if is_given:
            raise SettingsError(option, "has no effect on a file, which is sent unchanged", "omit it or --file")
    try:
        return itertools.repeat(file.read_bytes())
    except OSError as error:
        raise SettingsError(
            "--file", f"{file} cannot be read ({error.strerror})", "name a file with one event"
        ) from None
