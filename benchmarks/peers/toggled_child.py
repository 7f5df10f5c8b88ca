"""The child whose telemetry is off for every other batch: what `benchmarks.telemetry` measures. For no other use.

The audit's books and the crash guard go on: they are no telemetry. Writes to the file of TOGGLED_CHILD what CPU each
batch took: whether telemetry was on, and seconds.
"""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stream_router import envelope
from stream_router.consumer.child.__main__ import main
from stream_router.consumer.child.shard import Shard
from stream_router.consumer.child.snapshot import ShardTelemetry
from stream_router.consumer.child.vitals import ShardVitals, Wait


class Toggle:
    """On or off; which batch is which, and what it took."""

    def __init__(self, file: Path) -> None:
        self.on = True
        self._file = file
        self._took: list[tuple[bool, float]] = []
        self._since_s = time.process_time()

    def next_batch(self, records: list[Any]) -> None:
        """A batch begins where the one before is through: its driver waits for that."""
        now_s = time.process_time()
        if not records:
            return
        self._took.append((self.on, now_s - self._since_s))
        # On, off, off, on: what drifts does so for both.
        self.on = len(self._took) % 4 in (0, 1)
        self._file.write_text(json.dumps(self._took))
        self._since_s = time.process_time()


def install(toggle: Toggle) -> None:
    """Put the toggle before all that counts, times and tells."""

    def only_on(whole: Callable[..., Any], without: Callable[..., Any]) -> Callable[..., Any]:
        def chosen(*given: Any, **named: Any) -> Any:
            return (whole if toggle.on else without)(*given, **named)

        return chosen

    for name in ("opened", "accepted", "retried", "buried", "dropped", "_reckon"):
        setattr(ShardTelemetry, name, only_on(getattr(ShardTelemetry, name), lambda *_: None))
    tick: Any = only_on(ShardTelemetry.tick, lambda _: None)
    ShardTelemetry.tick = tick  # type: ignore[method-assign]
    timed = ShardVitals.timed

    def toggled(vitals: ShardVitals, wait: Wait) -> Any:
        return only_on(timed(vitals, wait), wait)

    setattr(ShardVitals, "timed", toggled)  # noqa: B010 - mypy compares the form of the first argument
    envelope.min = only_on(min, lambda values: values[0])  # type: ignore[attr-defined]
    process = Shard.process

    def counted(shard: Shard, records: list[dict[str, Any]], *given: Any) -> None:
        toggle.next_batch(records)
        process(shard, records, *given)

    setattr(Shard, "process", counted)  # noqa: B010 - as above


if __name__ == "__main__":
    install(Toggle(Path(os.environ["TOGGLED_CHILD"])))
    main()
