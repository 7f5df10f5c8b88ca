"""Where does an event's CPU go in the child: stage by stage, beside one orjson read and write of the same event?"""

import contextlib
import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import orjson
import pybase64

from benchmarks import driven_child, events
from benchmarks.harness.question import Options, Question, ask
from benchmarks.harness.rounds import Case, Taken
from stream_router.consumer.child import daemon_lines
from stream_router.consumer.child.window import slices
from stream_router.consumer.transform_config import transform_config
from stream_router.envelope import open_record
from stream_router.model import Batch, Entry, Event, Record
from stream_router.pipeline.sinks.eventbridge import publisher, wire_format
from stream_router.pipeline.transform import Transform
from stream_router.settings.consumer import Consumer
from stream_router.telemetry.histogram import Histogram

COUNT = 4_000
LEAST_S = 0.25
LIMITS = publisher.CallLimits(10, 1_000_000)


def timed(work: Callable[[], object]) -> Taken:
    """CPU an event of `work`, which goes over COUNT events, repeated for a quarter of a second."""
    work()
    turns, before = 0, time.process_time()
    while (used := time.process_time() - before) < LEAST_S:
        work()
        turns += 1
    return Taken({"cpuUs": used / turns / COUNT * 1e6})


def transform(masking: str) -> Transform:
    """The child's own, by its settings."""
    settings = {"aws_region": "eu-central-1", "sqs_dlq_url": "https://sqs.invalid/q", "masking": masking}
    return Transform(transform_config(Consumer.model_validate(settings)), lambda: time.time() * 1000)


class Stages:
    """One batch's data before and behind each stage."""

    def __init__(self, *, spaced: bool = False) -> None:
        lines = events.envelopes(COUNT, spaced=spaced)
        datas = [data for batch in driven_child.daemon_batches(lines) for data in batch]
        fields = {"sequenceNumber": "1", "subSequenceNumber": 0, "approximateArrivalTimestamp": 1_795_512_601_000}
        records = [{"data": pybase64.b64encode(data).decode(), "partitionKey": "k", **fields} for data in datas]
        self.bodies = [events.body(number, spaced=spaced) for number in range(COUNT)]
        self.line = orjson.dumps({"action": "processRecords", "records": records})
        self.records = daemon_lines.read(self.line)["records"]
        self.datas = datas
        self.events = [one for data in datas for one in open_record(Record(data, 1)) if isinstance(one, Event)]
        made = [transform("off")(event) for event in self.events]
        self.entries = [one for one in made if isinstance(one, Entry)]
        self.calls = [self.entries[at : at + LIMITS.entries] for at in range(0, COUNT, LIMITS.entries)]
        self.texts = [wire_format.put_events("default", call) for call in self.calls]

    def decode(self) -> object:
        return [list(part) for part in slices(self.records, Batch(1))]

    def open(self) -> object:
        return [open_record(Record(data, 1)) for data in self.datas]

    def pack(self) -> object:
        ready = deque(self.entries)
        return [publisher.take(ready, LIMITS) for _ in self.calls]

    def write(self) -> object:
        return [wire_format.put_events("default", call) for call in self.calls]

    def sign(self) -> object:
        return [hashlib.sha256(text).hexdigest() for text in self.texts]

    def floor(self) -> object:
        return [orjson.dumps(orjson.loads(body)) for body in self.bodies]


def each(function: Callable[[Any], object], items: Sequence[Any]) -> None:
    """The function over all of them."""
    for item in items:
        function(item)


@contextlib.contextmanager
def cases(options: Options) -> Iterator[Sequence[Case]]:
    """In the order in which an event goes through them; the network is not in it."""
    del options
    compact, spaced = Stages(), Stages(spaced=True)
    plain, masked = transform("off"), transform("default")
    histogram = Histogram()
    waits = [float(number % 997) for number in range(COUNT)]
    work: dict[str, Callable[[], object]] = {
        "read the daemon's line": partial(daemon_lines.read, compact.line),
        "base64, records": compact.decode,
        "open the envelopes": compact.open,
        "validate and transform": partial(each, plain, compact.events),
        "validate and transform, spaced JSON": partial(each, plain, spaced.events),
        "the same with the default masking": partial(each, masked, compact.events),
        "pack": compact.pack,
        "write the calls": compact.write,
        "hash the calls": compact.sign,
        "histogram": partial(histogram.record, waits),
        "copy the bytes (memcpy)": partial(each, bytearray, compact.bodies),
    }
    floor = Case("orjson loads + dumps", partial(timed, compact.floor), "floor")
    yield [floor, *(Case(name, partial(timed, one)) for name, one in work.items())]


QUESTION = Question("stages", str(__doc__), cases, rounds=5, bound_s=120)

if __name__ == "__main__":
    ask(QUESTION)
