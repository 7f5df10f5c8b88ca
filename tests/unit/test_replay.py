"""`replay` without AWS: what is said where the reading fails, and what is left out."""

import contextlib
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream_router.control.replay import replay
from stream_router.control.replay.wish import Wish
from stream_router.control.republish import preconditions
from stream_router.control.republish.republisher import Outcome
from stream_router.control.stream import session
from stream_router.control.stream.polite_reads import UserRecord
from stream_router.control.stream.positions import LATEST, SHARD_END, TRIM_HORIZON, Position
from stream_router.control.stream.reader import Piece
from stream_router.control.stream.session import Checkpoints, Stops
from stream_router.control.stream.shards import Shard, Stream, UnreadableError
from stream_router.model import PROBE_TYPE, Entry
from stream_router.pipeline.transform import Transform, TransformConfig
from stream_router.process import iso
from stream_router.settings.consumer import Consumer
from stream_router.settings.reading import load

SHARD = Shard("shardId-000000000000", (), 0, 1, is_open=True)
NOW_MS = int(time.time() * 1000)
HOUR_AGO_MS = NOW_MS - 3_600_000
WISH = Wish("2h", None, [], [], 0.0, dry_run=False, yes=False)
FAULT = UnreadableError("stream s could not be read for 120 s (ThrottlingException); try again later")


class Bus:
    """A republisher that has everything accepted and proven at once."""

    has_room, bus_gone, unproven, in_flight, last_code = True, False, 0, 0, ""

    def __init__(self) -> None:
        self._waiting: list[Entry] = []

    def publish(self, entries: Iterable[Entry]) -> None:
        self._waiting += entries

    def turn(self, _: float) -> list[Outcome]:
        ended, self._waiting = self._waiting, []
        return [Outcome(entry.event) for entry in ended]

    def stop(self) -> None:
        """Nothing is in flight."""


class LateBus(Bus):
    """One that has everything accepted only once the reading has ended, and then Ctrl-C comes."""

    def __init__(self, stops: Stops) -> None:
        super().__init__()
        self._stops = stops
        self.is_read = False

    def turn(self, longest_s: float) -> list[Outcome]:
        if not self.is_read:
            return []
        self._stops.asked.set()
        return super().turn(longest_s)


class Connection:
    def __init__(self, settings: Consumer) -> None:
        self._settings = settings

    def transform(self, replay_id: str) -> Transform:
        settings = self._settings
        config = TransformConfig("us-east-1", tuple(settings.event_type_list))
        dropped = frozenset(settings.drop_type_list)
        config = config._replace(unroutable=settings.unroutable, drop_types=dropped)
        return Transform(config, lambda: time.time() * 1000).marked(replay_id)

    def republisher(self, *_: object) -> Bus:
        return Bus()


def event(event_type: str = "interaction.created", **payload: Any) -> bytes:
    said = {"interactionId": "i", "conversationId": "c", "timestamp": "2026-11-24T09:30:00Z"}
    return orjson.dumps({**said, "eventType": event_type, "payload": payload})


def piece(number: int, data: bytes) -> Piece:
    at_ms = HOUR_AGO_MS + number * 60_000
    return Piece(SHARD, [UserRecord(Position(number, 0), at_ms, data, passed_over=False)], 100, at_ms, at_ms)


@pytest.fixture
def settings() -> Consumer:
    return load(Consumer, aws_region="us-east-1", sqs_dlq_url="https://sqs/1/q", event_types="interaction.created")


def replayed(
    monkeypatch: pytest.MonkeyPatch,
    settings: Consumer,
    told: Iterable[bytes | Exception],
    wish: Wish = WISH,
    stops: Stops | None = None,
) -> int:
    """The command over one shard, whose records are a minute apart; its status."""

    def pieces() -> Iterator[Piece]:
        for number, one in enumerate(told, 1):
            if isinstance(one, Exception):
                raise one
            yield piece(number, one)

    @contextlib.contextmanager
    def reading(*_: object, **__: object) -> Iterator[Iterator[Piece]]:
        yield pieces()

    monkeypatch.setattr(replay, "Connection", Connection)
    monkeypatch.setattr(session, "reading", reading)
    monkeypatch.setattr(preconditions, "look", lambda *_: preconditions.Verdict([], []))
    stream = Stream("s", "arn", {SHARD.shard_id: SHARD}, NOW_MS - 86_400_000)
    span = session.span_of(wish.since, wish.until, NOW_MS)
    made = replay.Replay(settings, wish, span, stream, "replay/1")
    return made.run(None, stops or Stops(), {})  # type: ignore[arg-type]


def test_a_reading_that_fails_ends_a_replay_that_can_be_gone_on_with(
    monkeypatch: pytest.MonkeyPatch, settings: Consumer, capsys: pytest.CaptureFixture[str]
) -> None:
    """How many, under which id, why it ended, and the command that publishes the rest."""
    assert replayed(monkeypatch, settings, [event(), event(), FAULT]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "published 2 events as replay/1"
    assert said[-2] == f"not all: {FAULT}"
    since = iso(HOUR_AGO_MS + 2 * 60_000 - 10_000)
    assert said[-1].startswith(f"go on with: stream-router replay --since {since} --until ")
    assert said[-1].endswith(f" --until {iso(NOW_MS)}")


def test_a_replay_that_was_stopped_after_its_last_event_is_whole(
    monkeypatch: pytest.MonkeyPatch, settings: Consumer, capsys: pytest.CaptureFixture[str]
) -> None:
    """All was read and all is published: nothing is left, so it ends as if nobody had stopped it."""
    stops = Stops()
    bus = LateBus(stops)
    monkeypatch.setattr(Connection, "republisher", lambda *_: bus)

    def told() -> Iterator[bytes]:
        yield event()
        bus.is_read = True

    assert replayed(monkeypatch, settings, told(), stops=stops) == 0
    said = capsys.readouterr().out
    assert said.startswith("published 1 event as replay/1\n")
    assert "not all" not in said


def test_a_reading_that_fails_in_the_seconds_behind_the_span_leaves_these(
    monkeypatch: pytest.MonkeyPatch, settings: Consumer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Arrival times are approximate: a record of the span may stand there; and it is said why it ended."""
    monkeypatch.setattr(replay.Replay, "_surely_ms", lambda self, _: self._span.until_ms)
    assert replayed(monkeypatch, settings, [event(), FAULT]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[-2] == f"not all: {FAULT}"
    assert said[-1].startswith(f"go on with: stream-router replay --since {iso(NOW_MS - 10_000)} --until {iso(NOW_MS)}")


@pytest.mark.parametrize(
    ("bus", "told"),
    [("default", False), ("arn:aws:events:us-east-1:123456789012:event-busv2/b/abcdefghijklmnopqrstuvwxy", True)],
)
def test_of_a_v2_bus_it_is_said_which_events_it_publishes_no_second_time(
    monkeypatch: pytest.MonkeyPatch, settings: Consumer, capsys: pytest.CaptureFixture[str], bus: str, told: bool
) -> None:
    """`published` counts a copy too, so more than targets get."""
    assert replayed(monkeypatch, settings.model_copy(update={"event_bus": bus}), [event()]) == 0
    said = capsys.readouterr()
    assert "published 1 event" in said.out
    assert ("less than 5 minutes ago is not published twice, though it is counted" in said.err) is told


def test_what_was_published_by_its_id_is_not_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, settings: Consumer, capsys: pytest.CaptureFixture[str]
) -> None:
    """It lies before the span that is left, so the command would call it missing; with no id left nothing is."""
    one, other = "0" * 31 + "1", "0" * 31 + "2"
    told = b'{"v":1,"id":"%b","idFrom":"content","receivedAt":1764000000000,"body":%b}' % (one.encode(), event())
    assert replayed(monkeypatch, settings, [told, FAULT], WISH._replace(ids=[one, other])) == 1
    assert f" --until {iso(NOW_MS)} --id {other}\n" in capsys.readouterr().out
    assert replayed(monkeypatch, settings, [told, FAULT], WISH._replace(ids=[one])) == 0
    assert "not all" not in capsys.readouterr().out


def test_an_unforeseen_error_of_a_replay_comes_after_its_summary(
    monkeypatch: pytest.MonkeyPatch, settings: Consumer, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was published is told all the same; the error stays one, for the command line and its --debug."""
    with pytest.raises(RuntimeError, match="something broke"):
        replayed(monkeypatch, settings, [event(), RuntimeError("something broke")])
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "published 1 event as replay/1"
    assert said[-2] == "not all: RuntimeError: something broke"
    assert said[-1].startswith("go on with: ")


def test_a_shard_without_a_checkpoint_is_named(
    monkeypatch: pytest.MonkeyPatch, settings: Consumer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing of it is replayed: no worker has begun with it, or the consumer that is meant has another name."""
    at = {"a": TRIM_HORIZON, "b": Position(7, 0), "c": LATEST, "d": SHARD_END}
    monkeypatch.setattr(session, "checkpoints_of", lambda *_: Checkpoints(at))
    stream = Stream("s", "arn", {}, 0)
    bounds = replay.bounds_of(settings, None, stream)  # type: ignore[arg-type]
    assert bounds == {**at, "c": TRIM_HORIZON}
    assert capsys.readouterr().err == (
        "note: the consumer has taken no checkpoint yet in a, c: nothing of it is replayed\n"
    )


def test_a_replay_says_first_what_to_say_again_after_a_kill(
    monkeypatch: pytest.MonkeyPatch, settings: Consumer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whom kill -9 meets prints nothing more: so the span, which `2h` names no longer, and the choice come first."""
    wish = WISH._replace(event_types=["interaction.created"])
    assert replayed(monkeypatch, settings, [event()], wish) == 0
    said = capsys.readouterr().err.splitlines()[1]
    since, until = iso(NOW_MS - 7_200_000), iso(NOW_MS)
    assert said == (
        f"this is replay/1; if it is killed, say again: stream-router replay --since {since} --until {until} "
        "--event-type interaction.created"
    )
    assert replayed(monkeypatch, settings, [event()], wish._replace(dry_run=True)) == 0
    assert "this is" not in capsys.readouterr().err


def test_a_dry_run_over_a_part_of_the_span_says_so(
    monkeypatch: pytest.MonkeyPatch, settings: Consumer, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was counted is shown; it is not the whole."""
    assert replayed(monkeypatch, settings, [event(), FAULT], WISH._replace(dry_run=True)) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("would publish 1 event of ")
    assert said[-1] == f"not all of the span was read: {FAULT}"


@pytest.mark.parametrize("wish", [WISH, WISH._replace(dry_run=True)], ids=["replay", "dry run"])
@pytest.mark.parametrize("masking", ["off", "default"])
def test_that_nothing_is_masked_is_said_first(
    monkeypatch: pytest.MonkeyPatch, settings: Consumer, capsys: pytest.CaptureFixture[str], wish: Wish, masking: str
) -> None:
    """The shell may lack the deployment's setting, and nothing in the stream tells what that was."""
    replayed(monkeypatch, settings.model_copy(update={"masking": masking}), [event()], wish)
    told = capsys.readouterr().err
    assert ("note: STREAM_ROUTER_MASKING is off here: events go out unmasked\n" in told) is (masking == "off")


@pytest.mark.parametrize("wish", [WISH, WISH._replace(dry_run=True)], ids=["replay", "dry run"])
def test_a_probe_of_doctor_is_left_out(
    monkeypatch: pytest.MonkeyPatch, settings: Consumer, capsys: pytest.CaptureFixture[str], wish: Wish
) -> None:
    """It was nobody's event: it neither goes out again nor stops the replay for a word, and it is counted."""
    made = settings.model_copy(update={"unroutable": "publish"})
    assert replayed(monkeypatch, made, [event(), event(PROBE_TYPE, probe="0" * 32), event()], wish) == 0
    said = capsys.readouterr().out
    assert "publish 2 events" in said.replace("published", "publish")
    assert "out 1: a probe of `stream-router doctor --end-to-end`" in said


@pytest.mark.parametrize("wish", [WISH, WISH._replace(dry_run=True)], ids=["replay", "dry run"])
def test_an_id_that_is_not_in_the_span_is_said(
    monkeypatch: pytest.MonkeyPatch, settings: Consumer, capsys: pytest.CaptureFixture[str], wish: Wish
) -> None:
    """A mistyped id, or one of another hour: nothing of it was published, so it does not end with 0."""
    there, typed = "0" * 31 + "1", "ABCDEF00-0000-0000-0000-000000000002"
    enveloped = b'{"v":1,"id":"%b","idFrom":"content","receivedAt":1764000000000,"body":%b}' % (there.encode(), event())
    assert replayed(monkeypatch, settings, [enveloped], wish._replace(ids=[there])) == 0
    assert "not in this span" not in capsys.readouterr().out
    assert replayed(monkeypatch, settings, [enveloped], wish._replace(ids=[there, typed])) == 1
    plain = typed.replace("-", "").lower()
    assert f"not in this span, up to the checkpoint: {plain}; see stream-router find {plain}" in capsys.readouterr().out


@pytest.mark.parametrize("wish", [WISH, WISH._replace(dry_run=True)], ids=["replay", "dry run"])
@pytest.mark.parametrize(
    ("given", "event_types", "why"),
    [
        ({"drop_types": "interaction.created"}, [], "a setting drops events of type interaction.created"),
        ({}, ["other"], "it is of type interaction.created, which is not asked for"),
    ],
    ids=["dropped", "another type"],
)
def test_an_id_that_is_met_and_left_out_is_said(
    monkeypatch: pytest.MonkeyPatch,
    settings: Consumer,
    capsys: pytest.CaptureFixture[str],
    wish: Wish,
    given: dict[str, Any],
    event_types: list[str],
    why: str,
) -> None:
    """It was asked for by name and does not go out, so the command does not end with 0; it is said why."""
    made = settings.model_copy(update={"unroutable": "publish", **given})
    one = "0" * 31 + "1"
    enveloped = b'{"v":1,"id":"%b","idFrom":"content","receivedAt":1764000000000,"body":%b}' % (one.encode(), event())
    assert replayed(monkeypatch, made, [enveloped], wish._replace(ids=[one], event_types=event_types)) == 1
    said = capsys.readouterr().out
    assert f"left out though asked for: {one}: {why}" in said
    assert "not in this span" not in said


def test_an_event_of_many_levels_is_shown_as_it_is(
    monkeypatch: pytest.MonkeyPatch, settings: Consumer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """orjson indents at most 254 levels; the pipeline publishes more."""
    policy = tmp_path / "policy.toml"
    policy.write_text('unknown = "pass"\nhash = ["payload.email"]\n')
    settings = settings.model_copy(update={"masking": str(policy)})
    data = event(deep=None).replace(b'"deep":null', b'"deep":' + b'{"a":' * 280 + b"1" + b"}" * 280)
    assert replayed(monkeypatch, settings, [data], WISH._replace(dry_run=True)) == 0
    said = capsys.readouterr().out
    assert "would publish 1 event" in said
    after = said.split("after (its Detail")[1]
    assert after.count('{"a":') == 280


def test_an_event_that_a_dry_run_shows_drives_no_terminal(
    monkeypatch: pytest.MonkeyPatch, settings: Consumer, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the customer typed is in it, before and after."""
    told = [event(queueName="x\x9b31m\x85y\u202ez")]
    assert replayed(monkeypatch, settings, told, WISH._replace(dry_run=True)) == 0
    said = capsys.readouterr().out
    assert said.count("x\ufffd31m\ufffdy\ufffdz") == 2
    assert not {"\x9b", "\x85", "\u202e"} & set(said)
