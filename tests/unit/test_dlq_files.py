"""What goes between a queue and a file: `dlq export` and `dlq import`, our own dead letters and EventBridge's."""

import contextlib
import errno
import os
import signal
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from unittest.mock import MagicMock

import orjson
import pytest

from stream_router.aws import endpoints
from stream_router.aws.endpoints import Target
from stream_router.control.dead_letters import exporting, importing, listing, showing
from stream_router.control.dead_letters.desk import Depth, Desk
from stream_router.control.dead_letters.queue import gathering, put_back
from stream_router.control.dead_letters.queue import messages as messages_
from stream_router.control.dead_letters.queue.gathering import QueueUnreadableError
from stream_router.control.dead_letters.queue.messages import HIDE_S, Messages
from stream_router.control.dead_letters.queue.selection import Selection
from stream_router.control.dead_letters.telling import Interrupt
from stream_router.control.dead_letters.undelivered import desk as of_eventbridge
from stream_router.control.lines import count_of
from stream_router.errors import Answer
from stream_router.model import SOURCE
from stream_router.pipeline.sinks.dead_letters import reader
from stream_router.pipeline.sinks.dead_letters.message import SCHEMA
from stream_router.pipeline.transform import Transform
from tests.events import NOW_MS, config_of
from tests.fakes import NO_ANSWER, refused
from tests.sqs_in_time import Sqs

Export = Callable[..., int]
DENIED = refused("AccessDenied", 403)


class DeskInTime:
    """A desk whose queue lives in virtual time; `sent` is what an import sent to it."""

    def __init__(self, sqs: Sqs) -> None:
        self.messages = Messages(sqs, "http://sqs/1/q", sqs.world.clock)  # type: ignore[arg-type]
        self.depth = lambda: Depth(len(sqs.bodies), 0)
        self.sent: list[tuple[str, dict[str, str]]] = []

    def send(self, body: str, attributes: dict[str, str]) -> None:
        self.sent.append((body, attributes))

    def fetch(self, url: str) -> bytes:
        raise NotImplementedError(url)


@pytest.fixture
def sqs(monkeypatch: pytest.MonkeyPatch) -> Sqs:
    monkeypatch.setattr(endpoints, "target", lambda _, service, operation: Target(operation, service, ()))
    return Sqs()


def ours(number: int) -> str:
    """A dead letter of ours."""
    origin = {"eventId": f"{number:032x}", "sequenceNumber": str(number)}
    content = {"schema": SCHEMA, "reason": "outage", "record": reader.encoded(b"{}"), "origin": origin}
    return orjson.dumps(content).decode()


def undelivered(number: int, **more: Any) -> str:
    """One of EventBridge's."""
    return orjson.dumps({"id": f"eb-{number}", "detail-type": "t", "detail": {"eventId": "e"}, **more}).decode()


BOTH = pytest.mark.parametrize(
    ("export", "body"), [(exporting.run, ours), (of_eventbridge.export, undelivered)], ids=["ours", "undelivered"]
)


@BOTH
def test_what_is_taken_is_on_disk_first_and_so_is_the_files_name(
    sqs: Sqs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, export: Export, body: Callable[[int], str]
) -> None:
    """A machine that dies after the first delete still has the file, and finds it in its folder."""
    sqs.bodies = [body(1), body(2)]
    synced: list[str] = []

    def fsync(descriptor: int) -> None:
        synced.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")

    def judge(name: str, _: dict[str, Any]) -> Answer | None:
        if name == "DeleteMessageBatch":
            assert synced == ["file", "folder"]
        return None

    monkeypatch.setattr(os, "fsync", fsync)
    sqs.judge = judge
    file = tmp_path / "letters.jsonl"
    assert export(DeskInTime(sqs), file, Selection(), take=True) == 0
    assert len(sqs.named("DeleteMessageBatch")) == 2
    assert len(file.read_bytes().splitlines()) == 2


@BOTH
def test_an_export_that_was_broken_off_says_so(
    sqs: Sqs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    export: Export,
    body: Callable[[int], str],
) -> None:
    """Ctrl-C: what the file does not have is in the queue, and the operator hears it."""
    sqs.bodies = [body(1)]
    monkeypatch.setattr(Interrupt, "__call__", lambda _: True)
    assert export(DeskInTime(sqs), tmp_path / "letters.jsonl", Selection(), take=True) == 1
    assert "broken off; what is not in the file stays in the queue" in capsys.readouterr().err
    assert sqs.named("DeleteMessageBatch") == []


@BOTH
def test_an_export_of_which_a_call_got_no_answer_is_not_whole(
    sqs: Sqs, tmp_path: Path, capsys: pytest.CaptureFixture[str], export: Export, body: Callable[[int], str]
) -> None:
    """SQS may have given it ten messages, which nobody sees for five minutes: they are not in the file."""
    sqs.bodies, unanswered = [body(1)], [NO_ANSWER]

    def judge(name: str, _: dict[str, Any]) -> Answer | None:
        return unanswered.pop() if name == "ReceiveMessage" and unanswered else None

    sqs.judge = judge
    assert export(DeskInTime(sqs), tmp_path / "letters.jsonl", Selection(), take=False) == 1
    assert "note: 1 call for messages got no answer" in capsys.readouterr().out


@BOTH
def test_an_export_of_an_event_that_is_not_there_is_no_success(
    sqs: Sqs, tmp_path: Path, capsys: pytest.CaptureFixture[str], export: Export, body: Callable[[int], str]
) -> None:
    """A mistyped id: the file is empty, and so is the queue of it."""
    sqs.bodies = [body(1)]
    typed = "f" * 32
    assert export(DeskInTime(sqs), tmp_path / "letters.jsonl", Selection(id=typed), take=True) == 1
    assert f"nothing of {typed} was seen that is meant" in capsys.readouterr().err
    sqs.bodies = [body(1)]
    assert export(DeskInTime(sqs), tmp_path / "more.jsonl", Selection(reason="x"), take=True) == 0


def test_a_letter_that_is_in_the_queue_twice_is_exported_once_and_both_are_taken(
    sqs: Sqs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And said: the queue held a message more than the file has lines."""
    again = orjson.dumps(orjson.loads(ours(1)) | {"attempts": 2}).decode()
    sqs.bodies = [ours(1), again]
    file = tmp_path / "letters.jsonl"
    assert exporting.run(DeskInTime(sqs), file, Selection(), take=True) == 0  # type: ignore[arg-type]
    assert len(file.read_bytes().splitlines()) == 1
    assert len(sqs.named("DeleteMessageBatch")) == 2
    assert "1 message is a copy of a letter" in capsys.readouterr().out


@BOTH
@pytest.mark.parametrize("how", ["full disk", "unreadable queue"])
def test_an_export_that_ends_early_says_what_the_file_holds_alone(
    sqs: Sqs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    export: Export,
    body: Callable[[int], str],
    how: str,
) -> None:
    """The first round is out of the queue: who deleted the file of a failed export would lose it."""
    monkeypatch.setattr(gathering, "MAX_LETTERS", 2)
    sqs.bodies = [body(number) for number in range(2)]
    synced: list[int] = []

    def fsync(descriptor: int) -> None:
        synced.append(descriptor)
        if len(synced) > 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        sqs.bodies = [body(9)]

    def judge(name: str, _: dict[str, Any]) -> Answer | None:
        return DENIED if name == "ReceiveMessage" and synced and how == "unreadable queue" else None

    monkeypatch.setattr(os, "fsync", fsync)
    sqs.judge = judge
    assert export(DeskInTime(sqs), tmp_path / "letters.jsonl", Selection(), take=True) == 1
    told = capsys.readouterr()
    assert "exported 2 " in told.out
    assert "cannot be " in told.err
    assert "what is in the file is out of the queue: keep it" in told.err
    assert len(sqs.named("DeleteMessageBatch")) == 2


@BOTH
def test_a_queue_of_which_sqs_hides_no_more_is_not_wholly_exported(
    sqs: Sqs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    export: Export,
    body: Callable[[int], str],
) -> None:
    """Nor compared with a file: what was not looked at may be in both."""
    monkeypatch.setattr(messages_, "NEARLY_ALL_HIDDEN", 2)
    file, desk = tmp_path / "letters.jsonl", DeskInTime(sqs)
    sqs.bodies, desk.depth = [body(1), body(2)], lambda: Depth(7, 0)
    assert export(desk, file, Selection(), take=False) == 1
    assert "about 5 messages of q were not looked at" in capsys.readouterr().err
    sqs.bodies = [body(1), body(2)]
    import_ = importing.run if export is exporting.run else of_eventbridge.import_
    desk = DeskInTime(sqs)
    desk.depth = lambda: Depth(7, 0)
    desk.connection = MagicMock()  # type: ignore[attr-defined]
    assert import_(desk, file) == 1  # type: ignore[arg-type]
    assert "about 5 messages of q were not looked at" in capsys.readouterr().err


def part_of(number: int, part: int) -> str:
    """One of the two parts of a dead letter."""
    record = {"encoding": "base64", "data": reader.encoded(b"{}")["data"][2 * part - 2 : 2 * part]}
    return orjson.dumps(orjson.loads(ours(number)) | {"record": record, "part": {"n": part, "of": 2}}).decode()


def test_an_export_goes_on_where_no_letter_was_whole_yet(
    sqs: Sqs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of twenty letters in ten parts each, as much as is taken in hand at once may be of no letter all."""
    monkeypatch.setattr(gathering, "MAX_BYTES", 1)
    sqs.bodies = parts = [part_of(n, m) for m in (1, 2) for n in range(99)]
    file = tmp_path / "letters.jsonl"
    assert exporting.run(DeskInTime(sqs), file, Selection(), take=True) == 0  # type: ignore[arg-type]
    assert len(file.read_bytes().splitlines()) == 99
    assert len(sqs.named("DeleteMessageBatch")) == len(parts)


def test_a_message_that_cannot_be_written_to_a_file_stops_no_other(
    sqs: Sqs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody else's in our form, nesting deeper than the file's lines may: it stays in the queue, and is counted."""
    deep = ours(1).replace("{", '{"extra":' + "[" * 300 + "]" * 300 + ",", 1)
    sqs.bodies = [deep, ours(2)]
    file = tmp_path / "letters.jsonl"
    assert exporting.run(DeskInTime(sqs), file, Selection(), take=True) == 1  # type: ignore[arg-type]
    assert len(file.read_bytes().splitlines()) == len(sqs.named("DeleteMessageBatch")) == 1
    assert "1  it nests deeper than a line of the file may" in capsys.readouterr().out


def in_s3(number: int) -> str:
    """A dead letter whose event lies in S3."""
    record = {"encoding": "s3", "data": f"s3://b/{number}"}
    return orjson.dumps(orjson.loads(ours(number)) | {"record": record}).decode()


def test_what_an_export_holds_stays_hidden_however_long_s3_takes(
    sqs: Sqs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty objects at half a minute each: the first letters would be another reader's before they are deleted."""
    sqs.bodies = [in_s3(number) for number in range(20)]
    desk = DeskInTime(sqs)

    def fetch(_: str) -> bytes:
        sqs.world.now += 30.0
        hidden = sqs.named("ChangeMessageVisibilityBatch")
        assert sqs.world.now - begun < HIDE_S or len({entry["ReceiptHandle"] for entry in hidden}) == 20
        return b"{}"

    begun = sqs.world.now
    monkeypatch.setattr(desk, "fetch", fetch)
    assert exporting.run(desk, tmp_path / "letters.jsonl", Selection(), take=True) == 0  # type: ignore[arg-type]
    assert len(sqs.named("DeleteMessageBatch")) == 20


def test_an_export_hears_a_stop_between_two_letters(
    sqs: Sqs, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 that does not answer costs half a minute a letter: what is in the file by then is taken, the rest stays."""
    sqs.bodies = [in_s3(number) for number in range(20)]
    desk = DeskInTime(sqs)

    def fetch(_: str) -> bytes:
        signal.raise_signal(signal.SIGINT)
        return b"{}"

    monkeypatch.setattr(desk, "fetch", fetch)
    file = tmp_path / "letters.jsonl"
    assert exporting.run(desk, file, Selection(), take=True) == 1  # type: ignore[arg-type]
    assert len(file.read_bytes().splitlines()) == len(sqs.named("DeleteMessageBatch")) == 1
    assert "broken off; what is not in the file stays in the queue" in capsys.readouterr().err


@BOTH
def test_a_file_whose_name_cannot_be_synced_is_not_said_to_be_taken_out_of_the_queue(
    sqs: Sqs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    export: Export,
    body: Callable[[int], str],
) -> None:
    """A folder that may be written and not read, a share that syncs no folder: nothing was deleted."""
    sqs.bodies = [body(1)]

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", fsync)
    assert export(DeskInTime(sqs), tmp_path / "letters.jsonl", Selection(), take=True) == 1
    told = capsys.readouterr()
    assert sqs.named("DeleteMessageBatch") == []
    assert "exported 0 " in told.out
    assert "out of the queue" not in told.err
    assert "cannot be written (Invalid argument)" in told.err


def line(**more: Any) -> bytes:
    """A line of `export --undelivered`."""
    schema = "stream-router.undelivered-export/1"
    whole = {"schema": schema, "body": undelivered(1), "attributes": {"RULE_ARN": "r"}, **more}
    return orjson.dumps({name: value for name, value in whole.items() if value is not None}) + b"\n"


OF_OURS = orjson.dumps({"schema": "stream-router.dead-letter-export/1", "letter": {}, "record": {}}) + b"\n"


@pytest.mark.parametrize(
    "wrong",
    [
        *(OF_OURS, b"[]\n", b"no json\n", line(schema="x"), line(schema=["x"])),
        *(line(attributes=None), line(attributes=[]), line(body=None), line(body=1), line(body="{}")),
    ],
)
def test_a_file_that_is_no_export_of_undelivered_events_is_refused_whole(
    sqs: Sqs, tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: bytes
) -> None:
    """By its first bad line, and before anything was sent."""
    file = tmp_path / "undelivered.jsonl"
    file.write_bytes(line() + b"\n" + wrong)
    desk = DeskInTime(sqs)
    assert of_eventbridge.import_(desk, file) == 1  # type: ignore[arg-type]
    assert desk.sent == []
    assert "line 3 is none that `export --undelivered` wrote" in capsys.readouterr().err


def test_a_file_of_the_other_export_is_named_as_such(
    sqs: Sqs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The operator forgot `--undelivered`, or gave it where it does not belong."""
    file = tmp_path / "letters.jsonl"
    file.write_bytes(OF_OURS)
    assert of_eventbridge.import_(DeskInTime(sqs), file) == 1  # type: ignore[arg-type]
    assert "`export` wrote it; import it without --undelivered" in capsys.readouterr().err
    file.write_bytes(line())
    assert importing.run(DeskInTime(sqs), file) == 1  # type: ignore[arg-type]
    assert "`export --undelivered` wrote it; import it with --undelivered" in capsys.readouterr().err


def test_undelivered_events_without_an_id_are_not_taken_for_one(sqs: Sqs, tmp_path: Path) -> None:
    """EventBridge's id tells messages apart; where there is none their text does."""
    file = tmp_path / "undelivered.jsonl"
    bodies = [undelivered(n, id=None, time=str(n)) for n in range(3)]
    failed = {"deduplicationId": "d"}
    bodies += [orjson.dumps({"errorCode": f"{n}", "failedMessages": [failed]}).decode() for n in range(2)]
    file.write_bytes(b"".join(line(body=body) for body in bodies))
    desk = DeskInTime(sqs)
    assert of_eventbridge.import_(desk, file) == 0  # type: ignore[arg-type]
    assert [body for body, _ in desk.sent] == bodies
    assert desk.sent[0][1] == {"RULE_ARN": "r"}


def test_an_import_of_undelivered_events_says_what_it_did_not_send(
    sqs: Sqs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The queue takes no more after the second: what is imported is told, why it ended, and what to do."""
    file = tmp_path / "undelivered.jsonl"
    file.write_bytes(b"".join(line(body=undelivered(number)) for number in range(5)))

    class Full(DeskInTime):
        def send(self, body: str, attributes: dict[str, str]) -> None:
            if len(self.sent) == 2:
                raise QueueUnreadableError("the queue q does not take a message (AccessDenied)")
            super().send(body, attributes)

    desk = Full(sqs)
    desk.depth = lambda: Depth(0, 4)
    assert of_eventbridge.import_(desk, file) == 1  # type: ignore[arg-type]
    told = capsys.readouterr()
    assert "note: 4 messages held by another reader could not be compared" in told.out
    assert "in the queue twice then: a redrive publishes them twice" in told.out
    assert "imported 2 undelivered events" in told.out
    assert "(AccessDenied); 3 were not sent; import the file again" in told.err


def test_an_import_that_is_broken_off_says_how_many_are_left(
    sqs: Sqs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C before the first is sent."""
    file = tmp_path / "undelivered.jsonl"
    file.write_bytes(line())
    monkeypatch.setattr(Interrupt, "__call__", lambda _: True)
    assert of_eventbridge.import_(DeskInTime(sqs), file) == 1  # type: ignore[arg-type]
    assert "broken off; 1 were not sent" in capsys.readouterr().err


def test_an_import_whose_queue_takes_nothing_says_why(
    sqs: Sqs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With SQS's own code, and how many are left."""
    file = tmp_path / "letters.jsonl"
    desk: Any = DeskInTime(sqs)
    desk.connection = MagicMock()
    sqs.bodies = [ours(1)]
    assert exporting.run(desk, file, Selection(), take=True) == 0
    sender = MagicMock(trouble="AccessDenied")
    sender.collect.return_value = []
    monkeypatch.setattr(put_back, "sender", lambda *_: sender)
    monkeypatch.setattr(importing, "PATIENCE_S", 0.0)
    assert importing.run(desk, file) == 1
    assert "the queue takes no message (AccessDenied); 1 were not sent" in capsys.readouterr().err


@pytest.mark.parametrize(("there", "refused"), [((1,), 0), ((2, 2), 0), ((2, 1), 1), ((1, 1, 2), 1)])
def test_a_letter_of_which_a_part_alone_is_in_the_queue_is_imported(
    sqs: Sqs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    there: tuple[int, ...],
    refused: int,
) -> None:
    """An import was killed between its parts: the rest of it is in the file alone, which is imported again then."""
    file = tmp_path / "letters.jsonl"
    desk: Any = DeskInTime(sqs)
    sqs.bodies = [part_of(1, 1), part_of(1, 2)]
    assert exporting.run(desk, file, Selection(), take=True) == 0
    sqs.bodies = [part_of(1, part) + " " * n for n, part in enumerate(there)]
    desk = DeskInTime(sqs)
    desk.connection, sender = MagicMock(), MagicMock()
    sender.submit.side_effect = lambda letters: setattr(sender.collect, "return_value", letters)
    monkeypatch.setattr(put_back, "sender", lambda *_: sender)
    assert importing.run(desk, file) == refused
    assert sender.submit.call_count == 1 - refused
    assert f"imported {count_of(1 - refused, 'dead letter')}" in capsys.readouterr().out


def test_a_last_line_that_is_cut_off_is_named_as_such(
    sqs: Sqs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An export that was killed, or whose disk was full: the lines before may be nowhere else."""
    file = tmp_path / "undelivered.jsonl"
    file.write_bytes(line() + line()[:-20])
    assert of_eventbridge.import_(DeskInTime(sqs), file) == 1  # type: ignore[arg-type]
    assert "line 2, the last, is cut off" in capsys.readouterr().err


@pytest.mark.parametrize(("refusals", "is_stored"), [(2, True), (9, False)])
def test_a_message_that_sqs_refuses_by_itself_is_sent_again(
    monkeypatch: pytest.MonkeyPatch, refusals: int, is_stored: bool
) -> None:
    """SendMessageBatch answers 200 with a failed entry: thrice again, then the operator hears SQS's code."""
    monkeypatch.setattr(time, "sleep", lambda _: None)
    answers = [{"Failed": [{"Code": "InternalError"}]}] * refusals + [{"Successful": [{}]}]
    desk = Desk.__new__(Desk)
    desk.messages = MagicMock(queue_url="u")
    desk._sqs = MagicMock()
    desk._sqs.send_message_batch.side_effect = answers
    with contextlib.nullcontext() if is_stored else pytest.raises(QueueUnreadableError, match="InternalError"):
        desk.send("body", {})


def test_a_listing_that_is_broken_off_is_no_whole_one(sqs: Sqs, capsys: pytest.CaptureFixture[str]) -> None:
    """What was seen is told, and the exit status says that it is not all."""
    sqs.bodies = [ours(number) for number in range(30)]

    def judge(name: str, _: dict[str, Any]) -> Answer | None:
        if name == "ReceiveMessage" and len(sqs.calls) == 1:
            signal.raise_signal(signal.SIGINT)
        return None

    sqs.judge = judge
    desk = cast("Desk", DeskInTime(sqs))
    assert listing.run(desk, Selection()) == 1
    assert "sampled " in capsys.readouterr().out
    sqs.judge = lambda *_: None
    assert listing.run(cast("Desk", DeskInTime(sqs)), Selection()) == 0


@pytest.mark.parametrize(
    ("selection", "meant"),
    [(Selection(id="f" * 32), 0), (Selection(since_ms=5_000), 2), (Selection(until_ms=5_000), 0)],
)
@pytest.mark.parametrize(("run", "body"), [(listing.run, ours), (of_eventbridge.show_list, undelivered)])
def test_a_message_that_cannot_be_read_is_of_no_event_and_of_its_time(
    sqs: Sqs,
    capsys: pytest.CaptureFixture[str],
    selection: Selection,
    meant: int,
    run: Callable[..., int],
    body: Callable[[int], str],
) -> None:
    """Who asks for one event is told how many there are of it; when a message was sent SQS says of each."""
    sqs.sent_ms, sqs.bodies = 9_000, [body(1), "no letter"]
    assert run(DeskInTime(sqs), selection) == 0
    assert f"{meant} of them are meant, {2 - meant} are not" in capsys.readouterr().out


def test_a_message_that_cannot_be_read_fails_no_export_of_another_time(sqs: Sqs, tmp_path: Path) -> None:
    """It may be anybody's, but for those that were sent before or after."""
    for until_ms, status in ((10_000, 1), (5_000, 0)):
        sqs.sent_ms, sqs.bodies = 9_000, ["no letter"]
        file = tmp_path / str(until_ms)
        assert exporting.run(cast("Desk", DeskInTime(sqs)), file, Selection(until_ms=until_ms), take=False) == status


@pytest.mark.parametrize(
    "command",
    [
        lambda desk, _: listing.run(desk, Selection()),
        lambda desk, folder: exporting.run(desk, folder / "letters.jsonl", Selection(), take=False),
    ],
    ids=["list", "export"],
)
def test_a_second_ctrl_c_gives_nothing_back_any_more(
    sqs: Sqs, tmp_path: Path, command: Callable[[Desk, Path], int]
) -> None:
    """It ends at once, as it says: a queue that does not answer would keep it for a minute."""
    sqs.bodies = [ours(number) for number in range(30)]

    def judge(name: str, _: dict[str, Any]) -> Answer | None:
        if name == "ReceiveMessage" and len(sqs.calls) == 12:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        return None

    sqs.judge = judge
    desk = cast("Desk", DeskInTime(sqs))
    with pytest.raises(KeyboardInterrupt):
        command(desk, tmp_path)
    assert desk.messages.held > 0
    assert sqs.named("ChangeMessageVisibilityBatch") == []


@BOTH
def test_a_second_ctrl_c_says_of_an_export_what_the_file_holds_alone(
    sqs: Sqs,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    export: Export,
    body: Callable[[int], str],
) -> None:
    """Whoever takes an export that was broken off for none deletes the file, and the queue has nothing of it."""
    sqs.bodies = [body(number) for number in range(2)]

    def judge(name: str, _: dict[str, Any]) -> Answer | None:
        if name == "DeleteMessageBatch":
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        return None

    sqs.judge = judge
    with pytest.raises(KeyboardInterrupt):
        export(DeskInTime(sqs), tmp_path / "letters.jsonl", Selection(), take=True)
    assert f"what is in {tmp_path / 'letters.jsonl'} may be out of the queue: keep it" in capsys.readouterr().err


def test_messages_that_could_not_be_given_back_are_told(sqs: Sqs, capsys: pytest.CaptureFixture[str]) -> None:
    """A look disturbs nothing, it is promised: where it did, for five minutes, the operator hears why."""
    sqs.judge = lambda name, _: DENIED if name == "ChangeMessageVisibilityBatch" else None
    assert listing.run(cast("Desk", DeskInTime(sqs)), Selection()) == 0
    told = capsys.readouterr().out
    assert "note: 3 messages could not be given back (AccessDenied): hidden from every reader until" in told
    assert "allow sqs:ChangeMessageVisibility" in told
    sqs.judge, sqs.bodies = lambda *_: None, [ours(1)]
    assert listing.run(cast("Desk", DeskInTime(sqs)), Selection()) == 0
    assert "note" not in capsys.readouterr().out


@BOTH
def test_an_export_that_may_not_delete_does_not_say_that_it_took(
    sqs: Sqs, tmp_path: Path, capsys: pytest.CaptureFixture[str], export: Export, body: Callable[[int], str]
) -> None:
    """They are in both: the file and the queue."""
    sqs.bodies = [body(1)]
    sqs.judge = lambda name, _: DENIED if name == "DeleteMessageBatch" else None
    assert export(DeskInTime(sqs), tmp_path / "letters.jsonl", Selection(), take=True) == 1
    told = capsys.readouterr()
    assert "and not all taken out of the queue" in told.out
    assert "1 could not be deleted (AccessDenied): they are in both" in told.err


def in_parts(number: int, of: int, generation: int, data: str) -> str:
    content = orjson.loads(ours(7))
    content |= {"part": {"n": number, "of": of}, "generation": generation}
    content["record"] = {"encoding": "base64", "data": data}
    return orjson.dumps(content).decode()


def test_show_joins_no_part_of_one_letter_with_one_of_another(sqs: Sqs, capsys: pytest.CaptureFixture[str]) -> None:
    """A redrive that was killed between the next generation and the delete leaves both, cut at other places."""
    sqs.bodies = [in_parts(1, 2, 1, "eyJhIjog"), in_parts(1, 2, 0, "eyJhIj"), in_parts(2, 2, 1, "ImIifQ==")]
    desk: Any = DeskInTime(sqs)
    desk.connection = MagicMock()
    desk.connection.transform.return_value.policy = None
    assert showing.run(desk, f"{7:032x}", payload=True) == 0
    assert '"a": "b"' in capsys.readouterr().out


def test_show_says_of_an_event_that_cannot_be_masked_that_it_is_not_shown(
    sqs: Sqs, capsys: pytest.CaptureFixture[str]
) -> None:
    """And not that a policy says something of dead letters, which it need not."""
    sqs.bodies = [in_parts(1, 1, 0, "eyJhIjoiYiJ9")]
    desk: Any = DeskInTime(sqs)
    desk.connection = MagicMock()
    desk.connection.transform.return_value = Transform(config_of(masking="default"), lambda: NOW_MS)
    assert showing.run(desk, f"{7:032x}", payload=True) == 1
    told = capsys.readouterr()
    assert "its event cannot be masked, so it is not shown" in told.err
    assert "dead letters" not in told.out


def test_show_opens_no_event_that_killed_a_process_to_mask_it(sqs: Sqs, capsys: pytest.CaptureFixture[str]) -> None:
    """It would kill this one, and what cannot be masked is not shown where masking is on."""
    body = {"interactionId": "i", "conversationId": "c", "eventType": "interaction.created", "timestamp": "2026-11-24"}
    content = orjson.loads(ours(7)) | {"reason": "crashed", "record": reader.encoded(orjson.dumps(body))}
    sqs.bodies = [orjson.dumps(content).decode()]
    desk: Any = DeskInTime(sqs)
    desk.connection = MagicMock()
    transform = desk.connection.transform.return_value = MagicMock()
    assert showing.run(desk, f"{7:032x}", payload=True) == 1
    told = capsys.readouterr()
    assert "its event is not opened, since it killed a process" in told.err
    assert "interaction.created" not in told.out
    transform.masked_raw.assert_not_called()


def test_what_a_strangers_message_holds_makes_no_line_of_ours(sqs: Sqs, capsys: pytest.CaptureFixture[str]) -> None:
    """Its reason and its type are others' text: in a listing they are one line each, without what drives a terminal."""
    content = orjson.loads(ours(1)) | {"reason": "x\nredriven 99", "entry": {"DetailType": "\x9b31m"}}
    sqs.bodies = [orjson.dumps(content).decode()]
    assert listing.run(cast("Desk", DeskInTime(sqs)), Selection()) == 0
    told = capsys.readouterr().out
    assert "\nredriven" not in told
    assert "\x9b" not in told


@pytest.mark.parametrize("masked", [False, True])
def test_an_undelivered_event_that_is_shown_drives_no_terminal(
    sqs: Sqs, capsys: pytest.CaptureFixture[str], masked: bool
) -> None:
    """What the customer typed is in it; one that nests deeper than is laid out is shown on one line."""
    desk: Any = DeskInTime(sqs)
    desk.connection = MagicMock()
    policy = desk.connection.transform.return_value.policy
    policy.mask.side_effect = lambda parts, _: parts
    desk.connection.transform.return_value.policy = policy if masked else None
    for payload in ('"x\x9b31m"', '{"a":' * 300 + '"\x9b2J"' + "}" * 300):
        sqs.bodies = [undelivered(1, detail={"eventId": "e", "payload": None}).replace("null", payload)]
        assert of_eventbridge.show(desk, "e", payload=True) == 0
        told = capsys.readouterr().out
        assert "\N{REPLACEMENT CHARACTER}" in told
        assert "\x9b" not in told
        desk.messages = DeskInTime(sqs).messages


def test_an_undelivered_event_is_shown_masked_where_masking_is_on(sqs: Sqs, capsys: pytest.CaptureFixture[str]) -> None:
    """Where masking was off as it was published, its Detail holds what a customer wrote."""
    sqs.bodies = [undelivered(1, source=SOURCE, detail={"eventId": "e", "payload": {"name": "Anna"}})]
    desk: Any = DeskInTime(sqs)
    desk.connection = MagicMock()
    desk.connection.transform.return_value = Transform(config_of(masking="default"), lambda: NOW_MS)
    assert of_eventbridge.show(desk, "e", payload=True) == 0
    told = capsys.readouterr().out
    assert "masked by default" in told
    assert '"name": "[REDACTED]"' in told
    assert "Anna" not in told


def test_a_file_of_another_version_is_named_as_such(
    sqs: Sqs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the way back from an upgrade an export may be newer than the program."""
    file = tmp_path / "letters.jsonl"
    file.write_bytes(OF_OURS.replace(b"-export/1", b"-export/2"))
    for undelivered, run in (("", importing.run), ("undelivered", of_eventbridge.import_)):
        assert run(DeskInTime(sqs), file) == 1, undelivered  # type: ignore[arg-type]
        assert (
            "(it is stream-router.dead-letter-export/2, which this version does not know; "
            "import it with the version that exported it); nothing was imported"
        ) in capsys.readouterr().err
