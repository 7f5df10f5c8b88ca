"""What two workers' rows say together, while one of them does not serve."""

from datetime import UTC, datetime
from itertools import count
from typing import Any

import botocore.session
import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families

from stream_router.receiver.admin import ReceiverStatus
from stream_router.settings.receiver import Receiver
from stream_router.telemetry.admin_server import Verdict
from stream_router.telemetry.receiver import receiver_page
from stream_router.telemetry.receiver.receiver_board import Board
from stream_router.telemetry.receiver.receiver_stats import FAILURES, HEARD_WITHIN_S, SILENT_S, Stats, code_number


class Bench:
    """A board of two workers, and what it tells."""

    def __init__(self) -> None:
        self.now = 0.0
        self.now_s = 1_000.0
        self.board = Board(2, clock=lambda: self.now, now_s=lambda: self.now_s)
        settings = Receiver(aws_region="us-east-1", webhook_scheme="none")
        self._status = ReceiverStatus(self.board, settings, clock=count().__next__)

    def serve(
        self,
        worker: int,
        *,
        stream_up: bool = True,
        heartbeat_s: float = 1_000.0,
        heard_s: float = 0.0,
        ready: int = 1,
        certificate_end_s: float = 0.0,
    ) -> None:
        stats = Stats()
        stats.tls_certificate_end_timestamp_seconds = certificate_end_s
        stats.up, stats.ready, stats.stream_heard_s = 1, ready, heard_s
        stats.stream_up, stats.stream_code = int(stream_up), code_number("" if stream_up else "NoAnswer")
        stats.heartbeat_timestamp_seconds = heartbeat_s
        self.board.row(worker)[:] = stats.row()

    def status(self) -> Any:
        return orjson.loads(self._status.page())

    def ready(self) -> Verdict:
        return self._status.ready()

    def sample(self, name: str) -> float | None:
        """What the page says of a gauge; None where it says nothing."""
        text = receiver_page.page(self.board).decode()
        families = {family.name: family for family in text_string_to_metric_families(text)}
        samples = families[f"stream_router_receiver_{name}"].samples
        return samples[0].value if samples else None


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_worker_that_does_not_serve_says_nothing_of_the_stream(bench: Bench) -> None:
    """One that has not started, or has died, neither makes the stream count as down nor seems silent for ever."""
    bench.serve(0, heartbeat_s=1_000.0)
    assert (bench.status()["state"], bench.sample("stream_up")) == ("ready", 1.0)
    assert bench.sample("heartbeat_timestamp_seconds") == 1_000.0
    bench.serve(1, heartbeat_s=900.0)
    assert bench.sample("heartbeat_timestamp_seconds") == 900.0
    bench.board.gone(1)
    assert (bench.status()["state"], bench.sample("stream_up")) == ("ready", 1.0)
    assert bench.sample("heartbeat_timestamp_seconds") == 1_000.0


def test_of_the_workers_that_serve_the_worst_is_told(bench: Bench) -> None:
    """The stream is down where one of them says so, whatever the others say."""
    bench.serve(0)
    bench.serve(1, stream_up=False)
    assert (bench.status()["state"], bench.sample("stream_up")) == ("stream down", 0.0)
    bench.board.gone(0)
    assert bench.sample("stream_up") == 0.0


def test_a_worker_that_stands_still_can_take_no_events(bench: Bench) -> None:
    """Its row stays what it was, and says ready: where it is the only one, no other figure in CloudWatch shows it."""
    bench.serve(0)
    bench.serve(1)
    assert (bench.sample("ready"), bench.ready().good) == (2.0, True)
    bench.now_s += SILENT_S + 1
    bench.serve(1, heartbeat_s=bench.now_s)
    assert (bench.sample("ready"), bench.ready().good) == (1.0, True)
    bench.now_s += SILENT_S + 1
    assert (bench.sample("ready"), bench.ready().good) == (0.0, False)
    assert bench.status()["reason"] == "no worker can take events"


def test_a_state_is_told_since_it_began(bench: Bench) -> None:
    """Whoever asks first an hour later is told since when, and how fast: the receiver itself looks, nobody need ask."""
    now = [1_000.0]
    status = ReceiverStatus(bench.board, Receiver(aws_region="x", webhook_scheme="none"), now_s=lambda: now[0])
    bench.serve(0)
    status.look()
    now[0] = 2_000.0
    bench.serve(0, stream_up=False)
    status.look()
    now[0] = 5_600.0
    told = orjson.loads(status.page())
    assert (told["state"], told["since"]) == ("stream down", "1970-01-01T00:33:20.000Z")
    assert told["at"] == "1970-01-01T01:33:20.000Z"


def test_where_no_worker_serves_nothing_is_known_of_the_stream(bench: Bench) -> None:
    """The page has no sample, so that no alarm takes it for down; `up` is 0, and the status says so too."""
    assert (bench.sample("up"), bench.sample("ready")) == (0.0, 0.0)
    assert bench.sample("stream_up") is None
    assert bench.sample("heartbeat_timestamp_seconds") is None
    told = bench.status()
    assert (told["state"], told["stream"]["up"], told["stream"]["code"]) == ("starting", None, None)
    bench.serve(0)
    assert bench.status()["state"] == "ready"
    bench.board.gone(0)
    assert bench.sample("stream_up") is None
    told = bench.status()
    assert (told["state"], told["reason"]) == ("not ready", "no worker serves; the log says why"), "it starts no more"


def test_of_the_stream_those_tell_who_heard_of_it_last(bench: Bench) -> None:
    """A worker that was refused in an outage and had no traffic since does not gainsay one for which it takes events;
    one that has never sent anything gainsays none that was refused.
    """
    bench.serve(0, stream_up=False, heard_s=1_000.0)
    bench.serve(1, heard_s=0.0)
    assert (bench.status()["state"], bench.sample("stream_up")) == ("stream down", 0.0)
    bench.serve(1, heard_s=1_000.0 + HEARD_WITHIN_S)
    assert (bench.status()["state"], bench.sample("stream_up")) == ("stream down", 0.0)
    bench.serve(1, heard_s=1_000.1 + HEARD_WITHIN_S)
    told = bench.status()
    assert (told["state"], told["stream"]["up"], told["stream"]["code"]) == ("ready", True, None)
    assert bench.sample("stream_up") == 1.0


def test_each_code_that_kinesis_has_for_a_refusal_is_told_by_its_name() -> None:
    """Those of botocore's model of PutRecords, and both forms of the plainest outage: "other" would say nothing."""
    model = botocore.session.get_session().get_service_model("kinesis").operation_model("PutRecords")
    codes = {shape.name for shape in model.error_shapes} - {"DryRunOperationException"}  # nobody asks for one
    assert codes | {"ServiceUnavailable", "ServiceUnavailableException"} <= {*FAILURES}


def test_what_a_dead_worker_spilled_still_waits_on_the_disk(bench: Bench) -> None:
    """It may be long until another can take its place, and nobody must take its host away meanwhile."""
    stats = Stats()
    stats.up, stats.events_in_flight = 1, 7
    stats.spilled_events, stats.spill_bytes, stats.spill_oldest_age_seconds = 5, 4_096, 12.0
    bench.board.row(1)[:] = stats.row()
    bench.serve(0)
    bench.board.gone(1)
    assert (bench.sample("spilled_events"), bench.sample("spill_bytes")) == (5.0, 4_096.0)
    bench.now += 300.0
    assert bench.status()["spill"]["oldestAgeS"] == 312.0, "it grows old as if somebody looked at it"
    bench.board.gone(1)
    assert bench.sample("spill_oldest_age_seconds") == 312.0, "one that cannot start in its place has taken nothing up"
    bench.board.row(1)[:] = stats.row()
    assert bench.sample("spill_oldest_age_seconds") == 12.0, "its successor tells"
    stats.up = 0
    bench.board.row(1)[:] = stats.row()
    assert bench.sample("spill_oldest_age_seconds") == 12.0, "and drains, alive"
    bench.serve(1)
    assert (bench.sample("spilled_events"), bench.sample("spill_oldest_age_seconds")) == (0.0, 0.0)
    bench.board.gone(1)
    bench.now += 300.0
    assert bench.sample("spill_oldest_age_seconds") == 0.0, "it had nothing there"
    assert (bench.sample("events_in_flight"), bench.sample("up")) == (0.0, 1.0)


def test_recent_percentiles_are_of_the_last_minute(bench: Bench) -> None:
    """A week of fast answers hides no slow minute, and what was slow once is over; `latencyMs` is since the start."""
    now = [0.0]
    status = ReceiverStatus(bench.board, Receiver(aws_region="x", webhook_scheme="none"), clock=lambda: now[0])
    stats = Stats()
    stats.up = 1

    def after(seconds: float, *answered_s: float) -> dict[str, Any]:
        stats.latencies_s += answered_s
        bench.board.row(0)[:] = stats.row()
        for _ in range(round(seconds)):
            now[0] += 1.0
            status.look()
        told: dict[str, Any] = orjson.loads(status.page())
        return told

    assert orjson.loads(status.page())["recent"]["latencyMs"]["count"] == 0
    after(300, *[0.01] * 10_000)
    slow = after(1, *[0.8] * 20)
    assert slow["recent"]["seconds"] == pytest.approx(60, abs=1)
    assert (slow["recent"]["latencyMs"]["count"], slow["latencyMs"]["count"]) == (20, 10_020)
    assert slow["recent"]["latencyMs"]["p50"] == pytest.approx(800, rel=0.01)
    assert slow["latencyMs"]["p99"] == pytest.approx(10, rel=0.01)
    over = after(61)
    assert (over["recent"]["latencyMs"]["count"], over["latencyMs"]["count"]) == (0, 10_020)


@pytest.mark.parametrize(
    ("ready", "spill_takes", "where"),
    [
        (0, 0, "senders are answered 503"),
        (1, 1, "events wait in the spill"),
        (1, 0, "nothing came to try it with since 2026-11-25T09:30:00.000Z"),
    ],
)
def test_a_stream_that_refused_last_is_down_until_it_takes_something(
    bench: Bench, ready: int, spill_takes: int, where: str
) -> None:
    """Also once traffic may try again: then it is said since when nothing came. It is no metric."""
    assert bench.status()["stream"]["lastTriedAt"] is None
    stats = Stats()
    stats.up, stats.ready, stats.spill_takes, stats.stream_code = 1, ready, spill_takes, code_number("NoAnswer")
    stats.stream_heard_s = datetime(2026, 11, 25, 9, 30, tzinfo=UTC).timestamp()
    bench.board.row(0)[:] = stats.row()
    told = bench.status()
    assert (told["state"], told["reason"]) == ("stream down", f"the stream takes no events (NoAnswer); {where}")
    assert told["stream"]["lastTriedAt"] == "2026-11-25T09:30:00.000Z"
    assert b"heard" not in receiver_page.page(bench.board)
    assert b"spill_takes" not in receiver_page.page(bench.board)


def test_a_stream_that_refuses_a_part_is_no_stream_that_is_down(bench: Bench) -> None:
    """Of several workers the one that meets most of it tells."""
    for worker, buckets in enumerate((3, 5)):
        stats = Stats()
        stats.up = stats.ready = stats.stream_up = stats.spill_takes = 1
        stats.buckets_refusing = buckets
        bench.board.row(worker)[:] = stats.row()
    told = bench.status()
    assert (told["state"], told["reason"]) == (
        "stream partly down",
        "the stream refuses 5 of its buckets and takes others; events of theirs wait in the spill",
    )
    assert (told["stream"]["up"], told["stream"]["bucketsRefusing"]) == (True, 5)


def test_the_certificate_that_ends_first_is_told(bench: Bench) -> None:
    """A worker may hold an older one than the others; where none has any there is no sample, and no date of 1970."""
    name = "tls_certificate_end_timestamp_seconds"
    bench.serve(0)
    assert (bench.sample(name), bench.status()["tlsCertificateEndsAt"]) == (None, None)
    bench.serve(0, certificate_end_s=datetime(2027, 2, 1, tzinfo=UTC).timestamp())
    assert bench.status()["tlsCertificateEndsAt"] == "2027-02-01T00:00:00.000Z"
    first = datetime(2027, 1, 1, 12, tzinfo=UTC).timestamp()
    bench.serve(1, certificate_end_s=first)
    assert (bench.sample(name), bench.status()["tlsCertificateEndsAt"]) == (first, "2027-01-01T12:00:00.000Z")
    bench.board.gone(1)
    assert bench.status()["tlsCertificateEndsAt"] == "2027-02-01T00:00:00.000Z", "it shows none any more"


def test_a_source_that_is_named_default_hides_no_answers_of_the_path_without_a_name() -> None:
    """Both have that label: its one series counts the answers of both, and an alert on 401 or 503 sees all of them."""
    names = ("", "default")
    board, stats = Board(1, names), Stats(sources=names)
    stats.answers[""][401, "stale"], stats.answers["default"][401, "stale"] = 2, 3
    board.row(0)[:] = stats.row()
    labels = 'code="401",reason="stale",source="default"'
    assert f"stream_router_receiver_requests_total{{{labels}}} 5.0\n" in receiver_page.page(board).decode()
