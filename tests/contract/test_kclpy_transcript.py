"""Our side of the MultiLang protocol beside stock kclpy's: the same lines of the daemon in, the same lines out.

`tests/data/kcl-daemon-transcript.jsonl` is what KCL 3.1.3's real MultiLangDaemon wrote to a child: a first batch with
its checkpoint's answer, empty calls, a shutdown with two checkpoints (one refused), the loss of the lease. The one
difference between the two is deliberate: stock kclpy swallows what a record processor raises and says "done".
"""

import base64
import io
import json
import os
import tempfile
from pathlib import Path
from typing import IO, Any

import pytest
from amazon_kclpy import messages
from amazon_kclpy.kcl import Checkpointer, CheckpointError, KCLProcess
from amazon_kclpy.v3.processor import RecordProcessorBase
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_router.consumer.child import daemon_lines, kcl_adapter

RECORDED = (Path(__file__).parents[1] / "data" / "kcl-daemon-transcript.jsonl").read_bytes().splitlines()


class Scripted(RecordProcessorBase):  # type: ignore[misc]
    """Checkpoints after each batch and at each end, and notes everything that it is told."""

    def __init__(self, fail_in: str = "") -> None:
        self.heard: list[Any] = []
        self._fail_in = fail_in

    def initialize(self, initialize_input: messages.InitializeInput) -> None:
        lease_start = initialize_input
        self.taken_up(lease_start.shard_id, f"{lease_start.sequence_number}:{lease_start.sub_sequence_number}")

    def taken_up(self, shard_id: str, start: str) -> Any:
        """What `initialize` is to ours: it stands for the shard."""
        self._note("initialize", shard_id, start)
        return self

    def process_records(self, process_records_input: messages.ProcessRecordsInput) -> None:
        records = process_records_input.records
        fields = ("data", "partitionKey", "sequenceNumber", "subSequenceNumber", "approximateArrivalTimestamp")
        rows = [[record[field] for field in fields] for record in records]
        self._note("processRecords", rows, process_records_input.millis_behind_latest)
        if records:
            self._checkpoint(process_records_input.checkpointer, rows[-1][2], rows[-1][3])

    def lease_lost(self, lease_lost_input: messages.LeaseLostInput) -> None:
        self._note("leaseLost")

    def shard_ended(self, shard_ended_input: messages.ShardEndedInput) -> None:
        self._note("shardEnded")
        self._checkpoint(shard_ended_input.checkpointer, None, None)

    def shutdown_requested(self, shutdown_requested_input: messages.ShutdownRequestedInput) -> None:
        self._note("shutdownRequested")
        self._checkpoint(shutdown_requested_input.checkpointer, "1", 0)
        self._checkpoint(shutdown_requested_input.checkpointer, "99999999999999999999999999999999", 0)

    def _note(self, subject: str, *more: object) -> None:
        self.heard.append([subject, *more])
        if subject == self._fail_in:
            raise RuntimeError("a record processor's mistake")

    def _checkpoint(self, checkpointer: Checkpointer, sequence: str | None, sub_sequence: int | None) -> None:
        try:
            checkpointer.checkpoint(sequence, sub_sequence)
        except CheckpointError as error:
            self.heard.append(["checkpoint", error.value])
        else:
            self.heard.append(["checkpoint", "ok"])


def stock(processor: Scripted, lines: list[bytes]) -> list[Any]:
    """What stock kclpy writes."""
    out = io.StringIO()
    KCLProcess(processor, io.StringIO(b"".join(line + b"\n" for line in lines).decode()), out, io.StringIO()).run()
    return read(out.getvalue())


def ours(processor: Scripted, lines: list[bytes], out: IO[bytes] | None = None, rest: bytes = b"") -> list[Any]:
    """What our program writes to a daemon that wrote these lines, half a one, and closed the channel."""
    out = out or io.BytesIO()
    with tempfile.TemporaryFile() as file:
        file.write(b"".join(line + b"\n" for line in lines) + rest)
        file.seek(0)
        source = daemon_lines.DaemonInput(os.dup(file.fileno()))
    try:
        kcl_adapter.KclMainLoop(source, out, processor.taken_up, lambda: None).run()
    finally:
        os.close(source.fd)
    return read(out.getvalue().decode()) if isinstance(out, io.BytesIO) else []


def read(written: str) -> list[Any]:
    """Every message is between line ends, as kclpy writes it, so that stray output cannot run into it."""
    assert written == "" or (written.startswith("\n") and written.endswith("\n"))
    return [json.loads(line) for line in written.split("\n") if line]


def same(lines: list[bytes]) -> list[Any]:
    """Feed both, hold them against each other, return what was heard."""
    theirs, mine = Scripted(), Scripted()
    assert ours(mine, lines) == stock(theirs, lines)
    assert mine.heard == theirs.heard
    return mine.heard


def test_the_recorded_session_is_answered_as_stock_kclpy_answers_it() -> None:
    """Initialize, batches, empty calls, a refused checkpoint, shutdown, the lost lease: line by line the same."""
    heard = same(RECORDED)
    assert {"initialize", "processRecords", "shutdownRequested", "leaseLost"} <= {kind[0] for kind in heard}
    assert any(kind[0] == "checkpoint" and kind[1] != "ok" for kind in heard)


def line(action: str, **fields: object) -> bytes:
    return json.dumps({"action": action, **fields}).encode()


RECORD = st.fixed_dictionaries(
    {
        "action": st.just("record"),
        "data": st.binary(max_size=20).map(lambda data: base64.b64encode(data).decode()),
        "partitionKey": st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8),
        "sequenceNumber": st.integers(0, 10**56).map(str),
        "subSequenceNumber": st.integers(0, 1000),
        "approximateArrivalTimestamp": st.integers(0, 4_000_000_000_000),
    }
)
ERRORS = st.sampled_from([None, "ThrottlingException", "ShutdownException", "InvalidStateException"])
INITIALIZE = line("initialize", shardId="shardId-0", sequenceNumber="TRIM_HORIZON", subSequenceNumber=0)


@st.composite
def sessions(draw: st.DrawFn) -> list[bytes]:
    """Whole sessions as a daemon may lead them, with the answers to the checkpoints that `Scripted` asks for."""

    def answer() -> bytes:
        if draw(st.integers(0, 9)) == 0:
            return line("leaseLost")  # out of turn: kclpy calls that an invalid state
        return line("checkpoint", sequenceNumber="1", subSequenceNumber=0, error=draw(ERRORS))

    lines = [INITIALIZE]
    for _ in range(draw(st.integers(0, 4))):
        records = draw(st.lists(RECORD, max_size=3))
        lines.append(line("processRecords", records=records, millisBehindLatest=draw(st.integers(0, 10**9))))
        lines += [answer()] if records else []
    end = draw(st.sampled_from(["leaseLost", "shardEnded", "shutdownRequested", "eof"]))
    if end != "eof":
        lines.append(line(end))
    return [*lines, *(answer() for _ in range({"shardEnded": 1, "shutdownRequested": 2}.get(end, 0)))]


@given(lines=sessions())
@settings(max_examples=120)
def test_any_session_is_answered_as_stock_kclpy_answers_it(lines: list[bytes]) -> None:
    """Whatever the daemon says in whatever order, both hear the same and write the same."""
    same(lines)


@pytest.mark.parametrize("fail_in", ["initialize", "processRecords", "leaseLost"])
def test_a_mistake_of_the_processor_is_the_one_difference(fail_in: str) -> None:
    """Stock kclpy says "done" for a callback that raised, and goes on; ours says nothing for it, and ends."""
    lines = [INITIALIZE, line("processRecords", records=[], millisBehindLatest=0), line("leaseLost")]
    done = {"action": "status", "responseFor": fail_in}
    out = io.BytesIO()
    with pytest.raises(RuntimeError):
        ours(Scripted(fail_in), lines, out)
    output, said_by_stock = read(out.getvalue().decode()), stock(Scripted(fail_in), lines)
    assert (done in said_by_stock, done in output) == (True, False)
    assert output == said_by_stock[: len(output)]


@pytest.mark.parametrize("odd", [b"null", b"[]", b"1", b"{}", b'{"action":"unknown"}', b"not json", b""])
def test_a_line_that_is_no_message_ends_it(odd: bytes) -> None:
    """The daemon never writes such a line; where one comes, it does not go on as if nothing were."""
    with pytest.raises(Exception, match=r"."):
        ours(Scripted(), [odd])


@pytest.mark.parametrize("rest", [b"", b'{"action":"checkpoint","sequenceNu'], ids=["nothing", "half a line"])
def test_a_daemon_that_dies_before_it_answers_a_checkpoint_is_gone(rest: bytes) -> None:
    """The end of the channel in place of an answer is the daemon's end, no mistake of ours; nothing is said "done"."""
    out = io.BytesIO()
    with pytest.raises(kcl_adapter.DaemonGoneError):
        ours(Scripted(), [INITIALIZE, line("shardEnded")], out, rest)
    assert [message["action"] for message in read(out.getvalue().decode())] == ["status", "checkpoint"]


def test_a_daemon_that_reads_no_more_is_gone() -> None:
    """Writing to a channel whose other end is closed is the daemon's end too."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb", buffering=0) as closed, pytest.raises(kcl_adapter.DaemonGoneError):
        ours(Scripted(), RECORDED[:1], closed)
