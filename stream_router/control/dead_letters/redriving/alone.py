"""A process of its own for one event that killed a process before: makes its entries, and says so, or dies trying.

Standard input: a line with the letter's origin and the mark of an edited one, then the event's line. Standard output:
one JSON object.
"""

import os
import sys
import time

import orjson

from stream_router.consumer.child.failpoint import failing_at
from stream_router.consumer.transform_config import transform_config
from stream_router.control.dead_letters.redriving import reopening
from stream_router.control.republish.fitting import fitting
from stream_router.core import logs
from stream_router.core.model import DeadLetter, Entry
from stream_router.pipeline.sinks.dead_letters import reader
from stream_router.pipeline.sinks.dead_letters.message import SCHEMA
from stream_router.pipeline.sinks.eventbridge import wire_format
from stream_router.pipeline.transform import Transform
from stream_router.settings.consumer import Consumer
from stream_router.settings.environment.reading import load


def main() -> None:
    """Do all that a child would do with the event up to the call, and print what comes of it."""
    head, _, raw = sys.stdin.buffer.read().partition(b"\n")
    told = orjson.loads(head)
    content = {"origin": told["origin"], "schema": SCHEMA, "reason": "crashed"}
    letter = reader.of_content({**content, "record": {"encoding": "base64", "data": ""}})
    settings = load(Consumer)
    logs.start("ERROR", settings.log_format)
    transform = Transform(transform_config(settings), _now_ms)
    route = failing_at(fitting(transform.marked(told["replayed"]) if told["replayed"] else transform, settings))
    found = reopening.reopen(raw, letter, 1)
    made = [one if isinstance(one, DeadLetter) else route(one) for one in found]
    entries = [one for one in made if isinstance(one, Entry)]
    wire_format.put_events(settings.event_bus, entries)
    if len(entries) != 1 or len(made) != 1:
        failed = next((one for one in made if isinstance(one, DeadLetter)), None)
        why = f"still {failed.reason.value} ({failed.code})" if failed else "it gives no single event"
        answer: dict[str, object] = {"why": why}
    else:
        answer = {
            "entries": [
                {
                    "type": one.detail_type,
                    "detail": one.detail.decode(),
                    "time_s": one.time_s,
                    "size_bytes": one.size_bytes,
                    "order_key": one.order_key,
                    "lane": one.lane,
                }
                for one in entries
            ]
        }
    os.write(1, orjson.dumps(answer))


def _now_ms() -> float:
    return time.time() * 1000


if __name__ == "__main__":
    main()
