"""Enhanced fan-out in virtual time: what breaks is subscribed to anew, behind what was read."""

import itertools
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.eventstream import ChecksumMismatch
from botocore.exceptions import ClientError, EndpointConnectionError
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from stream_router.control.stream import estimate, session
from stream_router.control.stream.batches import GIVEN_UP_AFTER_S, Means
from stream_router.control.stream.fan_out import FanOut
from stream_router.control.stream.reader import Span
from stream_router.control.stream.shards import Shard, Stream, UnreadableError

SHARD = Shard("shard-1", (), 0, 2**128 - 1, is_open=True)
BREAKS = [
    ProtocolError("Response ended prematurely"),
    ReadTimeoutError(None, "x", "Read timed out."),  # type: ignore[arg-type]
    ConnectionResetError(104, "Connection reset by peer"),
    ChecksumMismatch(1, 2),
]


def event(number: int, *, last: bool = False) -> dict[str, Any]:
    record = {
        "Data": b"{}",
        "PartitionKey": "",
        "SequenceNumber": str(number),
        "ApproximateArrivalTimestamp": datetime.fromtimestamp(1000, UTC),
    }
    more = {} if last else {"ContinuationSequenceNumber": str(number)}
    return {"SubscribeToShardEvent": {"Records": [record], "MillisBehindLatest": 0, **more}}


class Events:
    """One subscription: its events, or where one is an error, that."""

    def __init__(self, told: Iterable[dict[str, Any] | Exception]) -> None:
        self._told = told

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for one in self._told:
            if isinstance(one, Exception):
                raise one
            yield one

    def close(self) -> None:
        """Nothing is held."""


class Kinesis:
    """Subscriptions in virtual time, one script each."""

    class exceptions:  # noqa: N801 - botocore's own name
        class ResourceNotFoundException(Exception):  # noqa: N818
            """As botocore makes it."""

    def __init__(self, subscriptions: Iterable[Iterable[dict[str, Any] | Exception]]) -> None:
        self.now = 0.0
        self._subscriptions = iter(subscriptions)
        self.starts: list[dict[str, Any]] = []

    def subscribe_to_shard(self, **asked: Any) -> dict[str, Any]:
        self.starts.append(asked["StartingPosition"])
        return {"EventStream": Events(next(self._subscriptions))}

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        return False

    def numbers(self) -> list[int]:
        source = FanOut(Means(self, "s", lambda: self.now, self.wait, lambda: 0.5), "arn", "reader-1")  # type: ignore[arg-type]
        return [one.position.sequence_number for batch in source.batches(SHARD, 5_000) for one in batch.records]


@pytest.mark.parametrize("error", BREAKS, ids=lambda error: type(error).__name__)
def test_a_connection_that_breaks_is_made_anew_behind_what_was_read(error: Exception) -> None:
    """It ends early, is silent, is reset, or brings damaged bytes: botocore hands all of these out as they are."""
    kinesis = Kinesis([[event(1), event(2), error], [event(3), event(4, last=True)]])
    assert kinesis.numbers() == [1, 2, 3, 4]
    assert kinesis.starts[1] == {"Type": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": "2"}


def test_connections_that_break_without_end_are_given_up() -> None:
    """After two minutes without an event nothing can be said of the stream."""
    kinesis = Kinesis(itertools.repeat([ProtocolError("Response ended prematurely")]))
    with pytest.raises(UnreadableError, match=r"could not be read for 120 s \(ConnectionClosedError\)"):
        kinesis.numbers()
    assert GIVEN_UP_AFTER_S <= kinesis.now < GIVEN_UP_AFTER_S + 20


@pytest.mark.parametrize(
    "error",
    [
        ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "DeregisterStreamConsumer"),
        EndpointConnectionError(endpoint_url="x"),
    ],
    ids=["refused", "no answer"],
)
def test_a_consumer_that_cannot_be_taken_away_is_said_and_changes_no_result(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It costs money until somebody takes it away; what was read is read."""

    class Registered(Kinesis):
        def register_stream_consumer(self, **_: Any) -> dict[str, Any]:
            return {"Consumer": {"ConsumerARN": "arn:consumer"}}

        def describe_stream_consumer(self, **_: Any) -> dict[str, Any]:
            return {"ConsumerDescription": {"ConsumerStatus": "ACTIVE"}}

        def deregister_stream_consumer(self, **_: Any) -> dict[str, Any]:
            raise error

    monkeypatch.setattr(estimate, "incoming_bytes", lambda *_: None)
    kinesis = Registered([[event(1, last=True)]])
    clients: Any = SimpleNamespace(kinesis_reads=kinesis, cloudwatch=None)
    stream = Stream("s", "arn", {SHARD.shard_id: SHARD}, 0)
    with session.reading(clients, stream, Span(0, 2_000_000), session.Stops(), fan_out=True) as pieces:
        assert sum(len(piece.records) for piece in pieces) == 1
    assert "note: the fan-out consumer arn:consumer could not be taken away (" in capsys.readouterr().err


def test_a_stop_before_the_consumer_is_active_is_no_fault_of_its_own() -> None:
    """It is taken away again, and the line does not blame the stream."""
    gone: list[str] = []
    kinesis = SimpleNamespace(
        register_stream_consumer=lambda **_: {"Consumer": {"ConsumerARN": "arn:consumer"}},
        describe_stream_consumer=lambda **_: {"ConsumerDescription": {"ConsumerStatus": "CREATING"}},
        deregister_stream_consumer=lambda **asked: gone.append(asked["ConsumerARN"]),
        exceptions=Kinesis.exceptions,
    )
    means = Means(kinesis, "s", lambda: 0.0, lambda _: True, lambda: 0.5)  # type: ignore[arg-type]
    with pytest.raises(UnreadableError, match="the reading was broken off before"), FanOut(means, "a", "n"):
        pass
    assert gone == ["arn:consumer"]
