"""`replay --dry-run`: what would be published, and one event before and after, masked."""

from collections import Counter
from collections.abc import Iterable

from stream_router.consumer.transform_config import transform_config
from stream_router.control.indented_json import readable
from stream_router.control.lines import count_of
from stream_router.control.replay.choice import Chosen, Failed
from stream_router.control.stream.reader import Span
from stream_router.envelope import open_record
from stream_router.model import DeadLetter, Entry, Event, Reason, Record
from stream_router.pipeline.transform import Transform
from stream_router.process import iso, now_ms
from stream_router.settings.consumer import Consumer


class DryRun:
    """Counts what a replay would publish. Sends nothing."""

    def __init__(self, settings: Consumer, replay_id: str) -> None:
        self._settings, self._replay_id = settings, replay_id
        self._sample: Chosen | None = None
        self.types: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.first: Chosen | None = None
        self.last: Chosen | None = None

    def note(self, chosen: Iterable[Chosen | Failed]) -> None:
        """These would be published, or would fail."""
        for one in chosen:
            if isinstance(one, Failed):
                self.failed[f"{one.reason} ({one.code})"] += 1
                continue
            self.types[one.entry.detail_type] += 1
            if self.first is None or one.arrived_at_ms < self.first.arrived_at_ms:
                self.first = one
            if self.last is None or one.arrived_at_ms >= self.last.arrived_at_ms:
                self.last = one

    def lines(self, span: Span, left_out: Counter[str]) -> list[str]:
        """What would become of the span, line by line."""
        made = [
            f"would publish {count_of(self.types.total(), 'event')} of {iso(span.since_ms)} to {iso(span.until_ms)}"
        ]
        made += [f"  {count:>10,}  {name}" for name, count in self.types.most_common()]
        made += [f"would leave out {count:,}: {why}" for why, count in left_out.most_common()]
        made += [f"would fail {count:,}: {why}" for why, count in self.failed.most_common()]
        for name, one in (("first", self.first), ("last", self.last)):
            if one is not None:
                made.append(f"{name:<6} {iso(one.arrived_at_ms)}  {one.entry.event.event_id}")
        return made + (self._before_and_after(self.first) if self.first else [])

    def _before_and_after(self, one: Chosen) -> list[str]:
        """The line as it is in the stream, and what would be published of it; by policy `default` where none is set."""
        config = transform_config(self._settings)
        masked = config._replace(masking="default") if config.masking == "off" else config
        transform = Transform(masked, now_ms).marked(self._replay_id)
        found, known = open_record(Record(one.raw, 0))[0], one.entry.event
        if isinstance(found, Event):  # of an element of an array the text alone would tell another identity
            found = found._replace(event_id=known.event_id, id_from=known.id_from, received_at_ms=known.received_at_ms)
        after = transform(found) if isinstance(found, Event) else None
        if not isinstance(found, Event) or not isinstance(after, Entry):
            return ["the first event cannot be shown masked, so it is not shown"]
        here = ", masked here only" if config.masking == "off" else ""
        return [
            f"before (the first event, as it is in the stream{here or ', masked'}):",
            *_shown(transform.masked_raw(DeadLetter(found, Reason.REFUSED, "", ""))),
            f"after (its Detail{here}):",
            *_shown(after.detail),
        ]


def _shown(data: bytes) -> list[str]:
    return [f"  {line}" for line in readable(data).split("\n")]
