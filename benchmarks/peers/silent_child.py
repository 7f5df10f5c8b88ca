"""The child with its telemetry off: what `benchmarks.telemetry` compares with. For no other use.

The audit's books and the crash guard go on: they are no telemetry.
"""

from collections.abc import Sequence
from typing import Any

from stream_router.consumer.child.__main__ import main
from stream_router.consumer.child.collaborators import Waiting
from stream_router.consumer.child.shard_telemetry import ShardTelemetry
from stream_router.consumer.child.shard_vitals import ShardVitals
from stream_router.core import envelope


def _nothing(*_: object, **__: object) -> None:
    """Tells nobody."""


def _first(values: Sequence[Any]) -> Any:
    return values[0]


def _as_it_is(_: ShardVitals, wait: Waiting) -> Waiting:
    return wait


def quieten() -> None:
    """Take out what counts, times and tells; `tick` is left with what is no telemetry."""
    for name in ("opened", "accepted", "retried", "buried", "dropped", "_reckon"):
        setattr(ShardTelemetry, name, _nothing)

    def tick(self: ShardTelemetry) -> None:
        self._tell_neighbours()

    ShardTelemetry.tick = tick  # type: ignore[method-assign]
    ShardVitals.timed = _as_it_is  # type: ignore[method-assign,assignment]
    envelope.min = _first  # type: ignore[attr-defined]


if __name__ == "__main__":
    quieten()
    main()
