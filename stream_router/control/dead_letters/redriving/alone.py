"""A process of its own for one letter that killed a process before: makes its entries, and says so, or dies trying.

Standard input: a line with the letter's origin and the mark of an edited one, then its line. Standard output:
one JSON object.
"""

import os
import sys

import orjson

from stream_router.consumer.child.deadly_event import with_deadly_event
from stream_router.consumer.transform_config import transform_config
from stream_router.control.dead_letters.redriving import reopening
from stream_router.control.dead_letters.redriving.trial import why_not
from stream_router.control.republish.fitting import fitting
from stream_router.log import start_logging
from stream_router.model import DeadLetter, Entry
from stream_router.pipeline.sinks.dead_letters import reader
from stream_router.pipeline.sinks.dead_letters.message import SCHEMA
from stream_router.pipeline.sinks.eventbridge import wire_format
from stream_router.pipeline.transform import Transform
from stream_router.process import now_ms
from stream_router.settings.consumer import Consumer
from stream_router.settings.reading import load


def main() -> None:
    """Do all that a child would do with the event up to the call, and print what comes of it."""
    head, _, raw = sys.stdin.buffer.read().partition(b"\n")
    told = orjson.loads(head)
    content = {"origin": told["origin"], "schema": SCHEMA, "reason": "crashed"}
    letter = reader.of_content({**content, "record": {"encoding": "base64", "data": ""}})
    settings = load(Consumer)
    start_logging("ERROR", settings.log_format)
    own = Transform(transform_config(settings), now_ms)
    marked = own.marked(told["replayed"]) if told["replayed"] else own
    transform = with_deadly_event(fitting(marked, settings))  # type: ignore[arg-type]  # it gets events alone
    found = reopening.reopen(raw, letter, 1)
    made = [one if isinstance(one, DeadLetter) else transform(one) for one in found]
    why = next(filter(None, map(why_not, made)), "")
    entries = [one for one in made if isinstance(one, Entry)]
    wire_format.put_events(settings.event_bus, entries)
    os.write(1, orjson.dumps({"why": why} if why else {"entries": [_told(entry) for entry in entries]}))


def _told(entry: Entry) -> dict[str, object]:
    event = entry.event
    return {
        "line": event.line,
        "event_id": event.event_id,
        "id_from": event.id_from,
        "received_at_ms": event.received_at_ms,
        "type": entry.detail_type,
        "detail": entry.detail.decode(),
        "time_s": entry.time_s,
        "size_bytes": entry.size_bytes,
        "order_key": entry.order_key,
        "lane": entry.lane,
    }


if __name__ == "__main__":
    main()
