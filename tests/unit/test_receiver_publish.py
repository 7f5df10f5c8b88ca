"""What a worker shows of the stream in its row of numbers: as last known, whatever readiness believes."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stream_router.receiver import worker as worker_module
from stream_router.receiver.batching.backlog import NO_SPILL, SpillState
from stream_router.receiver.batching.stream_state import BELIEVED_FOR_S, StreamState
from stream_router.receiver.http.health import Health
from stream_router.receiver.worker import Worker
from stream_router.settings.receiver import Receiver
from stream_router.telemetry.receiver.receiver_board import Numbers
from stream_router.telemetry.receiver.receiver_stats import Stats, gauge_at, width

BUCKET, OTHER = 0, 7

SOURCE = """
[[cxone.sources]]
type = "webhook"
name = "{}"
url = "https://example.org/v1/events/{}"
scheme = "none"
"""


class Bench:
    """A worker without a spill that has just started, on a clock of the test's own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 1_000.0
        monkeypatch.setattr(worker_module, "time", SimpleNamespace(time=lambda: self.now_s))
        self.stream = StreamState(lambda: self.now_s)
        self.batcher: Any = SimpleNamespace(stream=self.stream, spill_takes=False, spill_state=NO_SPILL)
        self._row = np.zeros(width(1))
        nothing: Any = None
        settings = Receiver(aws_region="us-east-1", webhook_scheme="none")
        self.worker = Worker(settings, nothing, self._row, [""])
        self.worker._stats.up = 1
        self.tls: Any = SimpleNamespace(ends_s=None)

    def shown(self, name: str) -> float:
        clock: Any = SimpleNamespace(lag_s=0.0)
        states: Any = SimpleNamespace(look=lambda: None)
        self.worker._publish(self.batcher, clock, states, Health(self.batcher), self.tls)
        return float(self._row[gauge_at(name, 1)])


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


def test_what_refused_last_is_down_until_it_takes_something(bench: Bench) -> None:
    """Though readiness lets traffic try again after 5 s: with none, nobody knows that it is back."""
    assert (bench.shown("stream_up"), bench.shown("ready")) == (1, 1)
    bench.stream.refused("NoAnswer", BUCKET)
    bench.now_s += 2
    assert (bench.shown("stream_up"), bench.shown("ready")) == (1, 1), "one call that hung is no outage"
    bench.stream.refused("NoAnswer", BUCKET)
    assert (bench.shown("stream_up"), bench.shown("ready")) == (0, 0)
    bench.now_s += BELIEVED_FOR_S + 1
    assert (bench.shown("stream_up"), bench.shown("ready")) == (0, 1)
    bench.now_s += 3_600
    assert (bench.shown("stream_up"), bench.shown("stream_code") > 0) == (0, True)
    bench.stream.took(BUCKET)
    assert (bench.shown("stream_up"), bench.shown("stream_code")) == (1, 0)


def test_how_many_buckets_refuse_while_others_take_is_shown(bench: Bench) -> None:
    """Then the stream is up, and the worker ready: what comes for the others is taken."""
    for _ in range(5):
        bench.stream.refused("InternalFailure", BUCKET)
        bench.now_s += 0.5
        bench.stream.took(OTHER)
    assert (bench.shown("buckets_refusing"), bench.shown("stream_up"), bench.shown("ready")) == (1, 1, 1)
    bench.stream.took(BUCKET)
    assert bench.shown("buckets_refusing") == 0


def test_when_it_last_heard_of_the_stream_is_shown(bench: Bench) -> None:
    """Of a refusal as of an event that was stored; silence moves nothing."""
    assert bench.shown("stream_heard_s") == 0
    bench.stream.refused("NoAnswer", BUCKET)
    assert bench.shown("stream_heard_s") == 1_000
    bench.now_s += 60
    assert bench.shown("stream_heard_s") == 1_000
    bench.stream.took(BUCKET)
    bench.worker._stats.events_stored += 1
    assert bench.shown("stream_heard_s") == 1_060


@pytest.mark.parametrize(
    ("state", "failing"),
    [(NO_SPILL, 0), (NO_SPILL._replace(error="EIO"), 1), (NO_SPILL._replace(full=True), 1)],
    ids=["no spill", "its disk refuses", "full"],
)
def test_a_spill_that_takes_nothing_is_failing_for_whatever_reason(
    bench: Bench, state: SpillState, failing: int
) -> None:
    """The alarm by it is the one that says that the next event of an outage is answered 503."""
    bench.batcher.spill_state = state
    assert bench.shown("spill_failing") == failing


def test_when_its_certificate_ends_is_shown(bench: Bench) -> None:
    """Of the one that is in force; 0 where there is none."""
    name = "tls_certificate_end_timestamp_seconds"
    assert bench.shown(name) == 0
    bench.tls.ends_s = 5_000.0
    assert bench.shown(name) == 5_000
    bench.tls.ends_s = None
    assert bench.shown(name) == 0


def test_a_worker_that_replaces_another_serves_and_shows_what_the_others_do(tmp_path: Path) -> None:
    """The file of sources may be another by then: what came into it waits for a restart, and no number is lost."""
    config, row = tmp_path / "router.toml", np.zeros(width(2))
    config.write_text("".join(SOURCE.format(name, name) for name in ("new", "old")))
    settings = Receiver(aws_region="us-east-1", webhook_scheme="none", config=config)
    before = Stats(sources=("", "old"))
    before.answers["old"][202, "stored"], before.events_stored = 7, 70
    row[:] = before.row()
    nothing: Any = None
    worker = Worker(settings, nothing, row, ["", "old"])
    assert sorted(worker._served()) == ["/v1/events", "/v1/events/old"]
    row[:] = worker._stats.row()
    told = Numbers(row, ("", "old"))
    assert (told.answers["old", 202, "stored"], told.counters["events_stored"]) == (7, 70)
