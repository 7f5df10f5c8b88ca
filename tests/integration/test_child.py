"""The child as a process, the KCL daemon played to it, AWS played by the fake AWS."""

import base64
import hashlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stream_router.envelope import Resubmitted, seal_line
from tests.daemon import Child, close_shard, envelope, prove
from tests.fakeaws.process import FakeAwsProcess

V2_BUS = "arn:aws:events:us-east-1:123456789012:event-busv2/bus/abcdefghijklmnopqrstuvwxy"


@pytest.fixture
def fake_aws(tmp_path: Path) -> Iterator[FakeAwsProcess]:
    with FakeAwsProcess(tmp_path / "ledger", None, 1, "--payloads") as running:
        yield running


@pytest.fixture
def proven(tmp_path: Path) -> None:
    """The bus is proven."""
    prove(tmp_path)


@pytest.fixture
def child(fake_aws: FakeAwsProcess, tmp_path: Path) -> Iterator[Child]:
    with Child(fake_aws.url, tmp_path) as running:
        running.initialize()
        yield running


def delivered(fake_aws: FakeAwsProcess, operation: str = "PutEvents") -> list[str]:
    return [line["eventId"] for line in fake_aws.lines(operation, "accepted")]


def reasons(fake_aws: FakeAwsProcess) -> list[str]:
    return sorted(line["note"] for line in fake_aws.lines("SendMessageBatch", "accepted"))


def go_on(child: Child, do: Callable[[], object]) -> None:
    """Batches for five seconds; raises EOFError once the child has left."""
    for _ in range(50):
        child.process_batch([])
        do()
        time.sleep(0.1)


def go_on_until(child: Child, is_so: Callable[[], bool]) -> None:
    """Empty batches until something is so, for twenty seconds at most."""
    until = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < until
        child.process_batch([])
        time.sleep(0.05)


def test_a_batch_comes_out_whole_and_is_checkpointed(child: Child, fake_aws: FakeAwsProcess) -> None:
    """Every event is published once, in full calls; at shutdown the checkpoint names the last record."""
    records = child.process_batch([b"\n".join(envelope(10 * r + n) for n in range(10)) for r in range(20)])
    child.say("shutdownRequested")
    assert sorted(delivered(fake_aws)) == [f"{number:032x}" for number in range(200)]
    assert child.checkpoints[-1] == (records[-1]["sequenceNumber"], 0)
    assert child.hang_up() == 0


def test_poison_is_buried_and_taints_no_neighbour(child: Child, fake_aws: FakeAwsProcess) -> None:
    """Garbage of every kind ends in the queue with its reason, its exact bytes, and the good lines around it go out."""
    poison = {
        b"{broken": "malformed_json",
        b"\xff\xfe\x00": "malformed_json",
        b'"a text"': "schema_mismatch",
        b'{"v":9,"id":"x","idFrom":"x","body":{}}': "unsupported_version",
        envelope(1, eventType="unheard.of"): "unroutable",
        envelope(2, timestamp="yesterday"): "schema_mismatch",
        envelope(3, payload=[1]): "schema_mismatch",
    }
    child.process_batch([b"\n".join((envelope(100 + n), bad, envelope(200 + n))) for n, bad in enumerate(poison)])
    child.say("shutdownRequested")
    assert len(delivered(fake_aws)) == 14
    assert reasons(fake_aws) == sorted(poison.values())
    letters = [json.loads(line["payload"]) for line in fake_aws.lines("SendMessageBatch", "accepted")]
    assert {base64.b64decode(letter["record"]["data"]) for letter in letters} == set(poison)
    assert {letter["origin"]["line"] for letter in letters} == {1}


def put_back(number: int, line: bytes, way: str = "redrive", application: str = "cxone-event-router") -> bytes:
    """A line as an operator's command puts it back on the stream."""
    told = f'"kind":"line","resubmitted":"{way}/{application}/run-1/1"'
    body = base64.b64encode(line).decode()
    return (
        f'{{"v":1,"id":"{number:032x}","idFrom":"delivery","receivedAt":1764000000000,"body":"{body}",{told}}}'.encode()
    )


def test_what_an_operator_put_back_goes_out_under_its_id(child: Child, fake_aws: FakeAwsProcess) -> None:
    """A redriven line is an event, a bad one a letter that says so, another application's is settled unsent."""
    child.process_batch([envelope(7)])
    child.settle()
    (first,) = fake_aws.lines("PutEvents", "accepted")
    detail = {**json.loads(first["payload"]), "eventId": f"{5:032x}", "processedAt": "2026-11-24T09:30:00.000Z"}
    accepted = {"source": "nice.cxone.webhook", "detail-type": "interaction.created", "time": "2026-11-24T09:30:00Z"}
    head = f'{{"v":1,"id":"{5:032x}","idFrom":"delivery","receivedAt":1764000000000,"body":'
    told = ',"kind":"entry","resubmitted":"undelivered/cxone-event-router/run-1/1"}'
    child.process_batch(
        [
            put_back(1, envelope(1)) + b"\n" + put_back(2, b"{broken"),
            put_back(3, envelope(3), "replay"),
            put_back(4, envelope(4), application="another"),
            (head + json.dumps({**accepted, "detail": detail}) + told).encode(),
            envelope(6),
        ]
    )
    child.say("shutdownRequested")
    assert sorted(delivered(fake_aws)) == [f"{number:032x}" for number in (1, 3, 5, 6, 7)]
    (letter,) = [json.loads(line["payload"]) for line in fake_aws.lines("SendMessageBatch", "accepted")]
    assert (letter["reason"], letter["resubmitted"]) == ("malformed_json", "redrive/cxone-event-router/run-1/1")
    assert base64.b64decode(letter["record"]["data"]) == b"{broken"
    details = [json.loads(line["payload"]) for line in fake_aws.lines("PutEvents", "accepted")]
    by_id = {one["eventId"]: one for one in details}
    assert by_id[f"{5:032x}"] == detail
    assert by_id[f"{3:032x}"]["metadata"]["replayed"] == "run-1"
    assert "replayed" not in by_id[f"{1:032x}"]["metadata"]


@pytest.mark.usefixtures("proven")
def test_no_checkpoint_stands_within_an_aggregated_record(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """The KCL may go on behind its number: while an event of it is not settled the checkpoint is before it."""
    fake_aws.plan({"rules": [{"fault": "entry_error", "where": "int-20"}]})
    with Child(fake_aws.url, tmp_path) as child:
        child.initialize()
        (before,) = child.process_batch([envelope(100)])
        child.sequence += 1
        child.begin(child.records([envelope(n) for n in range(30)], aggregated=True))
        child.done("processRecords")
        go_on_until(child, lambda: len(delivered(fake_aws)) == 30)
        for _ in range(10):
            child.process_batch([])
            time.sleep(0.05)
        assert child.checkpoints[-1] == (before["sequenceNumber"], 0)
        fake_aws.plan({})
        child.settle()
        assert child.checkpoints[-1] == (str(child.sequence), 29)


@pytest.mark.usefixtures("proven")
def test_a_daemon_that_dies_over_a_checkpoint_is_no_death_of_the_childs(child: Child, tmp_path: Path) -> None:
    """The channel ends where an answer was awaited: the child leaves with 75, and no record is suspected for it."""

    def hang_up(_: int) -> None:
        assert child.process.stdin
        child.process.stdin.close()
        raise EOFError

    child.checkpoint_error = hang_up
    with pytest.raises(EOFError):
        go_on(child, lambda: child.process_batch([envelope(1)]))
    assert child.process.wait(10) == os.EX_TEMPFAIL
    assert json.loads((tmp_path / "shards" / "shardId-000000000000.json").read_text())["alive"] is False


@pytest.mark.usefixtures("proven")
def test_an_invalid_checkpoint_ends_the_process(child: Child, tmp_path: Path) -> None:
    """A checkpoint that the KCL calls invalid is our bug: the process ends and never says "done"."""
    child.checkpoint_error = lambda _: "InvalidStateException"
    with pytest.raises(EOFError, match="70"):
        go_on(child, lambda: child.process_batch([envelope(1)]))
    assert b"CheckpointError" in (tmp_path / "stderr").read_bytes()


def test_lease_lost_checkpoints_nothing(child: Child) -> None:
    """After a lost lease nothing may be checkpointed, and the child ends when the channel closes."""
    child.process_batch([envelope(1)])
    before = list(child.checkpoints)
    child.say("leaseLost")
    assert child.checkpoints == before
    assert child.hang_up() == 0


def test_a_shards_end_is_checkpointed_bare_once_everything_is_settled(child: Child, fake_aws: FakeAwsProcess) -> None:
    """`shardEnded` is answered by the bare checkpoint, retried while throttled."""
    child.process_batch([envelope(n) for n in range(25)])
    tries = iter(["ThrottlingException"])
    child.checkpoint_error = lambda _: next(tries, None)
    close_shard(fake_aws.url)
    child.say("shardEnded")
    assert child.checkpoints[-1] == (None, None)
    assert len(delivered(fake_aws)) == 25
    assert child.hang_up() == 0


def test_events_for_a_bus_that_is_gone_are_never_checkpointed(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """PutEvents answers success: nothing more is published, and then the child leaves, so that all comes again."""
    prove(tmp_path, ahead_s=0.0)
    fake_aws.plan({"missing": ["lost-bus"]})
    with Child(
        fake_aws.url, tmp_path, STREAM_ROUTER_EVENT_BUS="lost-bus", STREAM_ROUTER_ON_OUTAGE="dead-letter"
    ) as child:
        child.initialize()
        child.process_batch([envelope(1)])
        while not fake_aws.lines("PutEvents", "void"):
            child.process_batch([])
        proven_s = json.loads((tmp_path / "target-proof").read_text())["proven_s"]
        prove(tmp_path, proven_s=proven_s, problem="the event bus does not exist")
        time.sleep(1.0)
        child.begin(child.records([envelope(2)]))
        time.sleep(2.0)
        prove(tmp_path, ahead_s=0.0, since_s=time.monotonic())
        with pytest.raises(EOFError):
            child.done("processRecords")
        assert child.process.wait(20) == os.EX_TEMPFAIL
        assert child.checkpoints == []
    assert len(fake_aws.lines("PutEvents", "void")) == 1
    assert fake_aws.lines("SendMessageBatch") == []
    assert "child-left-for-proof" in (tmp_path / "stderr").read_text()


@pytest.mark.usefixtures("proven")
def test_sigterm_in_an_outage_ends_the_child_soon_and_loses_nothing(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """A holding child answers and ends within 5 s of the supervisor's SIGTERM; its records come again."""
    fake_aws.plan({"rules": [{"fault": "outage", "operation": "PutEvents"}]})
    datas = [envelope(n) for n in range(100)]
    with Child(fake_aws.url, tmp_path) as child:
        child.initialize()
        child.begin(child.records(datas))
        time.sleep(2)
        child.terminate()
        told = time.monotonic()
        child.done("processRecords", 5)
        child.process_batch([envelope(100)], 5)
        child.say("shutdownRequested", 5)
        assert child.hang_up(5) == 0
        assert time.monotonic() - told < 5
        assert child.checkpoints == []
    fake_aws.plan({})
    with Child(fake_aws.url, tmp_path) as child:
        child.initialize()
        child.process_batch(datas)
        child.settle()
    assert set(delivered(fake_aws)) == {f"{n:032x}" for n in range(100)}
    assert reasons(fake_aws) == []


def test_an_orphan_ends_at_once(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """A child whose daemon is killed ends by itself, though its channel is still held open by somebody."""
    script = (
        "import subprocess,sys,os,time\n"
        "child=subprocess.Popen([sys.executable,'-m','stream_router.consumer.child'],stdin=0,stdout=1)\n"
        "print(child.pid,file=sys.stderr,flush=True)\n"
        "time.sleep(60)\n"
    )
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": fake_aws.url,
        "SQS_DLQ_URL": f"{fake_aws.url}/0/q",
    }
    read, write = os.pipe()
    daemon = subprocess.Popen(
        [sys.executable, "-c", script], stdin=read, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment
    )
    assert daemon.stderr
    pid = int(daemon.stderr.readline())
    os.write(write, b'{"action":"initialize","shardId":"s-1","sequenceNumber":"LATEST","subSequenceNumber":0}\n')
    while b"shard taken up" not in daemon.stderr.readline():
        pass
    daemon.kill()
    daemon.wait()
    handle = os.pidfd_open(pid)
    ready, _, _ = select.select([handle], [], [], 10)
    for descriptor in (handle, read, write):
        os.close(descriptor)
    daemon.stderr.close()
    assert ready, "the orphan lives on"


@pytest.mark.parametrize("variable", ["STREAM_ROUTER_MAX_ENTRIES", "STREAM_ROUTER_LOG_LEVEL"])
def test_bad_settings_end_with_78_and_one_line(fake_aws: FakeAwsProcess, tmp_path: Path, variable: str) -> None:
    """A bad value stops the child before it speaks; the line names the variable, and the supervisor finds it."""
    with Child(fake_aws.url, tmp_path, **{variable: "many"}) as child:
        assert child.process.wait(20) == 78
    line = (tmp_path / "stderr").read_text()
    assert line.startswith(f"{variable}: ")
    assert line.count("\n") == 1
    assert (tmp_path / "fatal").read_text() == line


def test_credentials_that_are_not_to_be_had_are_no_verdict(tmp_path: Path) -> None:
    """The child ends with 75 and one line: the daemon starts again, and `consume` goes on."""
    program = (
        "from stream_router.aws import credentials\n"
        "from stream_router.consumer.child import __main__\n"
        "credentials.PATIENCE_S = 0.0\n"
        "__main__.main()\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "STREAM_ROUTER_"))}
    environment |= {
        "HOME": str(tmp_path),
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "SQS_DLQ_URL": "http://127.0.0.1/0/q",
        "STREAM_ROUTER_STATE_DIR": str(tmp_path),
    }
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == os.EX_TEMPFAIL
    assert ended.stderr.count("AWS credentials: none found") == 1
    assert not (tmp_path / "fatal").exists()


def test_a_line_that_is_no_message_ends_the_process(child: Child) -> None:
    """What cannot be understood of the daemon ends the process; it is never answered as done."""
    assert child.process.stdin
    child.process.stdin.write(b"null\n")
    child.process.stdin.flush()
    with pytest.raises(EOFError, match="70"):
        child.done("processRecords", 10)


@pytest.mark.usefixtures("proven")
def test_a_record_that_kills_the_process_is_buried_alone(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """After three deaths at one checkpoint and two at one marker the culprit is buried; all others are delivered."""
    datas = [envelope(n) for n in range(1000)]
    deaths = 0
    for _ in range(8):
        with Child(fake_aws.url, tmp_path, STREAM_ROUTER_FAILPOINTS='event=segfault:"int-500"') as child:
            child.initialize()
            try:
                child.process_batch(datas)
            except EOFError:
                assert child.process.returncode == -signal.SIGSEGV
                deaths += 1
                continue
            child.say("shutdownRequested")
            break
    assert deaths == 5  # three at one checkpoint, two with the marker at one event
    assert reasons(fake_aws) == ["crashed"]
    assert {line["eventId"] for line in fake_aws.lines("SendMessageBatch", "accepted")} == {f"{500:032x}"}
    assert set(delivered(fake_aws)) == {f"{n:032x}" for n in range(1000) if n != 500}


@pytest.mark.usefixtures("proven")
def test_a_killer_that_is_redriven_costs_one_death_and_the_shard_goes_on(
    fake_aws: FakeAwsProcess, tmp_path: Path
) -> None:
    """`dlq redrive` marks its line: it dies once, and is a dead letter again that says how often it came back."""
    told = Resubmitted("redrive", "cxone-event-router", "1234", 1)
    line_of_500 = envelope(500)
    back = seal_line(line_of_500, f"{500:032x}", "delivery", 1_767_225_600_000, told, crashed=True)
    datas = [*map(envelope, range(10)), back, *map(envelope, range(10, 20))]
    deaths = 0
    for _ in range(3):
        with Child(fake_aws.url, tmp_path, STREAM_ROUTER_FAILPOINTS='event=segfault:"int-500"') as child:
            child.initialize()
            try:
                child.process_batch(datas)
                child.settle()
            except EOFError:
                assert child.process.returncode == -signal.SIGSEGV
                deaths += 1
                continue
            break
    assert deaths == 1
    assert set(delivered(fake_aws)) == {f"{number:032x}" for number in range(20)}
    (line,) = fake_aws.lines("SendMessageBatch", "accepted")
    letter = json.loads(line["payload"])
    assert (letter["reason"], letter["resubmitted"]) == ("crashed", str(told))
    assert base64.b64decode(letter["record"]["data"]) == line_of_500


@pytest.mark.usefixtures("proven")
def test_a_copy_is_published_once_on_a_v2_bus(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """After a crash the records come again; the v2 bus takes each event once, in calls of 25."""
    datas = [envelope(n) for n in range(250)]
    for _ in range(2):
        with Child(fake_aws.url, tmp_path, STREAM_ROUTER_EVENT_BUS=V2_BUS) as child:
            child.initialize()
            child.process_batch(datas)
            child.settle()
    lines = fake_aws.lines("PutEventsV2", "accepted")
    assert sorted(line["eventId"] for line in lines) == [f"{n:032x}" for n in range(250)]
    assert len(fake_aws.lines("PutEventsV2", "deduplicated")) == 250
    assert {line["entries"] for line in lines} == {25}


@pytest.mark.usefixtures("proven")
def test_an_oversize_payload_goes_by_claim_check(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """With a bucket an event that no call can carry is published with a reference, its payload exact in S3."""
    payload = {"text": "ü" * 700_000, "payloadRef": "the sender's own"}
    with Child(fake_aws.url, tmp_path, STREAM_ROUTER_OFFLOAD_BUCKET="bucket") as child:
        child.initialize()
        child.process_batch([envelope(1, payload=payload), envelope(2)])
        child.settle()
    (stored,) = fake_aws.lines("PutObject", "accepted")
    detail = next(
        json.loads(line["payload"])
        for line in fake_aws.lines("PutEvents", "accepted")
        if line["eventId"] == f"{1:032x}"
    )
    data = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
    assert detail["payloadRef"] == {
        "bucket": "bucket",
        "key": stored["partitionKey"],
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    assert "payload" not in detail
    assert stored["note"] == detail["payloadRef"]["sha256"]


def test_nothing_but_the_protocol_can_reach_the_daemon() -> None:
    """A print and a raw write to fd 1 land on stderr: no stray line can forge a checkpoint."""
    script = (
        "import os\n"
        "from stream_router.consumer.child import daemon_lines\n"
        "channel = daemon_lines.private_output()\n"
        'print(\'{"action":"checkpoint"}\')\n'
        "os.write(1, b'null\\n')\n"
        "os.system('echo from a child')\n"
        "channel.write(b'ours'); channel.flush()\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert ran.stdout == b"ours"
    assert b"checkpoint" in ran.stderr
    assert b"from a child" in ran.stderr


def test_a_program_that_gives_credentials_takes_no_line_of_the_daemons(
    fake_aws: FakeAwsProcess, tmp_path: Path
) -> None:
    """It is asked before the first line is read, and it reads what its standard input holds, as `ssh` does."""
    taken, program, config = tmp_path / "taken", tmp_path / "credentials.sh", tmp_path / "config"
    answer = json.dumps({"Version": 1, "AccessKeyId": "AKID", "SecretAccessKey": "secret"})
    program.write_text(f"#!/bin/sh\ntimeout 3 cat > {taken}\necho '{answer}'\n")
    program.chmod(0o700)
    config.write_text(f"[default]\ncredential_process = {program}\n")
    settings = {"AWS_CONFIG_FILE": str(config), "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    with Child(fake_aws.url, tmp_path, **settings) as child:
        child.initialize()
        child.process_batch([envelope(1)])
        child.say("shutdownRequested")
        assert child.hang_up() == 0
    assert taken.read_bytes() == b""
    assert delivered(fake_aws) == [f"{1:032x}"]


def test_no_payload_reaches_the_log(child: Child, fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """A canary in good and bad events is in the bus and the queue, and nowhere in the log."""
    canary = "canary-7f3a"
    child.process_batch([envelope(1, payload={"x": canary}), canary.encode(), envelope(2, timestamp=canary)])
    child.say("shutdownRequested")
    assert child.hang_up() == 0
    assert canary.encode() not in (tmp_path / "stderr").read_bytes()
    assert len(reasons(fake_aws)) == 2
