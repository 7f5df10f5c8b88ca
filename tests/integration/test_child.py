"""The child as a process, the KCL daemon played to it, AWS played by the fake AWS."""

import base64
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_router.consumer.supervisor.properties import CHILD_COMMAND, CHILD_VARIABLE
from stream_router.envelope import Resubmitted, seal_line
from stream_router.errors import SettingsError
from stream_router.telemetry.metrics_catalogue import COUNTERS
from tests.daemon import Child, close_shard, envelope, prove
from tests.fakeaws.process import FakeAwsProcess
from tests.snapshots import read_snapshots

V2_BUS = "arn:aws:events:us-east-1:123456789012:event-busv2/bus/abcdefghijklmnopqrstuvwxy"


FAKE_AWS = (None, 1, "--payloads")


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


def test_a_batch_comes_out_whole_and_is_checkpointed(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """Every event is published once, or dropped where a setting says so; the checkpoint names the last record."""
    with Child(fake_aws.url, tmp_path, STREAM_ROUTER_UNROUTABLE="drop") as child:
        child.initialize()
        datas = [b"\n".join(envelope(10 * r + n) for n in range(10)) for r in range(20)]
        records = child.process_batch([*datas, envelope(200, eventType="unheard.of")])
        child.say("shutdownRequested")
        assert child.checkpoints[-1] == (records[-1]["sequenceNumber"], 0)
        assert child.hang_up() == 0
    assert sorted(delivered(fake_aws)) == [f"{number:032x}" for number in range(200)]
    assert reasons(fake_aws) == []
    (snapshot,) = read_snapshots(tmp_path)
    counted = [snapshot.total(COUNTERS[name].name) for name in ("delivered", "dropped", "dead_lettered")]
    assert counted == [200, 1, 0]


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


@pytest.mark.usefixtures("proven")
def test_wrong_data_of_one_source_holds_no_shard_and_is_reported(
    child: Child, fake_aws: FakeAwsProcess, tmp_path: Path
) -> None:
    """5,000 `{}` of one source become dead letters, the events behind them go out, and log and snapshot say whose."""

    def sealed(number: int, source: str) -> bytes:
        head = f'{{"v":1,"id":"{number:032x}","idFrom":"delivery","receivedAt":{int(time.time() * 1000)},"body":{{}}'
        return f'{head},"source":"{source}"}}'.encode()

    bad = [b"\n".join(sealed(1_000 * r + n, "crm") for n in range(1_000)) for r in range(5)]
    child.process_batch([*bad, *(envelope(10_000 + n) for n in range(50))])
    child.settle()
    assert sorted(delivered(fake_aws)) == [f"{10_000 + n:032x}" for n in range(50)]
    assert reasons(fake_aws) == ["schema_mismatch"] * 5_000
    child.say("shutdownRequested")
    assert child.hang_up() == 0
    (snapshot,) = read_snapshots(tmp_path)
    assert snapshot.states["manyDeadLetters"]["source"] == "crm"
    lines = [json.loads(line) for line in (tmp_path / "stderr").read_bytes().splitlines()]
    (alarm,) = [line for line in lines if line.get("event") == "many-dead-letters"]
    shown = {name: alarm[name] for name in ("level", "shard", "reason", "source", "event_type")}
    assert shown == {
        "level": "WARNING",
        "shard": "shardId-000000000000",
        "reason": "schema_mismatch",
        "source": "crm",
        "event_type": "",
    }
    assert not [line for line in lines if line.get("event") == "shard-holds"]


@pytest.mark.usefixtures("proven")
@pytest.mark.parametrize("gone", [True, False], ids=["the daemon dies", "the KCL calls it invalid"])
def test_a_child_whose_checkpoint_fails_ends(child: Child, tmp_path: Path, gone: bool) -> None:
    """It never says "done". Where its daemon died no record is suspected for it; what is invalid is a bug of ours."""

    def answer(_: int) -> str:
        if gone:
            assert child.process.stdin
            child.process.stdin.close()
            raise EOFError
        return "InvalidStateException"

    def go_on() -> None:
        child.process_batch([envelope(1)])
        child.settle(20)

    child.checkpoint_error = answer
    with pytest.raises(EOFError):
        go_on()
    assert child.process.wait(10) == (os.EX_TEMPFAIL if gone else 70)
    assert json.loads((tmp_path / "shards" / "shardId-000000000000.json").read_text())["alive"] is not gone


def test_a_shards_end_is_checkpointed_bare_once_everything_is_settled(child: Child, fake_aws: FakeAwsProcess) -> None:
    """`shardEnded` is answered by the bare checkpoint, retried while throttled, and not before the bus took all."""
    fake_aws.plan({"rules": [{"fault": "outage", "operation": "PutEvents", "to_s": 3.0}]})
    tries = iter(["ThrottlingException"])
    delivered_before: list[int] = []

    def answer(_: int) -> str | None:
        delivered_before.append(len(delivered(fake_aws)))
        return next(tries, None)

    child.process_batch([envelope(n) for n in range(25)])
    child.checkpoint_error = answer
    close_shard(fake_aws.url)
    assert delivered(fake_aws) == [], "nothing is settled when the shard ends"
    child.say("shardEnded")
    assert child.checkpoints[-1] == (None, None)
    assert delivered_before[-1] == 25
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
@pytest.mark.parametrize("operation", ["PutEvents", "*"], ids=["the bus refuses", "all of AWS refuses"])
def test_sigterm_in_an_outage_ends_the_child_soon_and_loses_nothing(
    fake_aws: FakeAwsProcess, tmp_path: Path, operation: str
) -> None:
    """A holding child answers and ends within 5 s of the supervisor's SIGTERM; its records come again."""
    fake_aws.plan({"rules": [{"fault": "outage", "operation": operation}]})
    with Child(fake_aws.url, tmp_path) as child:
        child.initialize()
        child.begin(child.records(envelope(n) for n in range(100)))
        time.sleep(2)
        child.terminate()
        stopped_s = time.monotonic()
        child.done("processRecords", 5)
        child.process_batch([envelope(100)], 5)
        child.say("shutdownRequested", 5)
        assert child.hang_up(5) == 0
        assert time.monotonic() - stopped_s < 5
        assert child.checkpoints == []
    assert reasons(fake_aws) == []


def test_an_orphan_ends_at_once(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """A child whose daemon is killed ends by itself, though its channel is still held open by somebody."""
    script = (
        "import subprocess,sys,time\n"
        "child=subprocess.Popen([sys.executable,'-m','stream_router.consumer.child'])\n"
        "open(sys.argv[1],'w').write(str(child.pid))\n"
        "time.sleep(60)\n"
    )
    pid = tmp_path / "pid"
    with Child(fake_aws.url, tmp_path, command=[sys.executable, "-c", script, str(pid)]) as daemon:
        daemon.initialize()
        handle = os.pidfd_open(int(pid.read_text()))
        daemon.process.kill()
        ready, _, _ = select.select([handle], [], [], 10)
        os.close(handle)
    assert ready, "the orphan lives on"


def test_bad_settings_end_with_78_and_one_line(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """A bad value stops the child before it speaks; the line names the variable, and the supervisor finds it."""
    with Child(fake_aws.url, tmp_path, STREAM_ROUTER_MAX_ENTRIES="many") as child:
        assert child.process.wait(20) == 78
    line = (tmp_path / "stderr").read_text()
    assert line.startswith("STREAM_ROUTER_MAX_ENTRIES: ")
    assert line.count("\n") == 1
    assert f"{SettingsError.from_json((tmp_path / 'fatal').read_text())}\n" == line


def test_credentials_that_are_not_to_be_had_are_no_verdict(tmp_path: Path) -> None:
    """The child ends with 75 and one line: the daemon starts again, and `consume` goes on."""
    program = (
        "from stream_router.aws import credentials\n"
        "from stream_router.consumer.child import __main__\n"
        "credentials.STARTUP_TIMEOUT_S = 0.0\n"
        "__main__.main()\n"
    )
    nowhere = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "true"}
    command = [sys.executable, "-c", program]
    with Child("http://127.0.0.1", tmp_path, command=command, HOME=str(tmp_path), **nowhere) as child:
        assert child.process.wait(60) == os.EX_TEMPFAIL
    assert (tmp_path / "stderr").read_text().count("AWS credentials: none found") == 1
    assert not (tmp_path / "fatal").exists()


def deaths_until_through(fake_aws: FakeAwsProcess, folder: Path, datas: list[bytes]) -> int:
    """How many children one after the other are killed by event 500 before all is settled."""
    for deaths in range(8):
        with Child(fake_aws.url, folder, STREAM_ROUTER_FAILPOINTS='event=segfault:"int-500"') as child:
            child.initialize()
            try:
                child.process_batch(datas)
                child.settle()
            except EOFError:
                assert child.process.returncode == -signal.SIGSEGV
            else:
                return deaths
    raise AssertionError("the culprit is not found")


@pytest.mark.usefixtures("proven")
def test_a_record_that_kills_the_process_is_buried_alone(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """After three deaths at one checkpoint and two at one marker the culprit is buried; all others are delivered."""
    assert deaths_until_through(fake_aws, tmp_path, [envelope(n) for n in range(400, 600)]) == 5
    assert reasons(fake_aws) == ["crashed"]
    assert {line["eventId"] for line in fake_aws.lines("SendMessageBatch", "accepted")} == {f"{500:032x}"}
    assert set(delivered(fake_aws)) == {f"{n:032x}" for n in range(400, 600) if n != 500}


@pytest.mark.usefixtures("proven")
def test_a_killer_that_is_redriven_costs_one_death_and_the_shard_goes_on(
    fake_aws: FakeAwsProcess, tmp_path: Path
) -> None:
    """`dlq redrive` marks its line: it dies once, and is a dead letter again that says how often it came back."""
    resubmitted = Resubmitted("redrive", "cxone-event-router", "1234", 1)
    line_of_500 = envelope(500)
    back = seal_line(line_of_500, f"{500:032x}", "delivery", 1_767_225_600_000, resubmitted, crashed=True)
    datas = [*map(envelope, range(10)), back, *map(envelope, range(10, 20))]
    assert deaths_until_through(fake_aws, tmp_path, datas) == 1
    assert set(delivered(fake_aws)) == {f"{number:032x}" for number in range(20)}
    (line,) = fake_aws.lines("SendMessageBatch", "accepted")
    letter = json.loads(line["payload"])
    assert (letter["reason"], letter["resubmitted"]) == ("crashed", str(resubmitted))
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


def test_nothing_but_the_protocol_can_reach_the_daemon() -> None:
    """A print and a raw write to fd 1 land on stderr: no stray line can forge a checkpoint."""
    script = (
        "import os\n"
        "from stream_router.consumer.child import daemon_lines\n"
        "channel = daemon_lines.take_over_stdout()\n"
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


@pytest.mark.parametrize("when", ["initialize", "processRecords", "shutdownRequested", "shardEnded", "leaseLost"])
def test_sigterm_in_each_callback_loses_nothing(fake_aws: FakeAwsProcess, tmp_path: Path, when: str) -> None:
    """The child ends by itself (75 where a shard's end is not settled), and all that its checkpoint passed was sent."""
    prove(tmp_path)
    with Child(fake_aws.url, tmp_path) as child:
        child.initialize()
        first = child.sequence + 1
        if when == "initialize":
            child.terminate()
        child.begin(child.records(envelope(n) for n in range(200)))
        if when == "processRecords":
            child.terminate()
        child.done("processRecords")
        end = when if when in ("shardEnded", "leaseLost") else "shutdownRequested"
        child.send({"action": end})
        child.terminate()
        with contextlib.suppress(EOFError):
            child.done(end)
        assert child.hang_up() in ((0, os.EX_TEMPFAIL) if when == "shardEnded" else (0,))
        at = [child.sequence if number is None else int(number) for number, _ in child.checkpoints]
    sent = {line["eventId"] for line in fake_aws.lines("PutEvents", "accepted")}
    assert {f"{n:032x}" for n in range(max(at, default=first - 1) - first + 1)} <= sent


def await_sigterm(child: Child, mask: str) -> None:
    """Until the process ignores SIGTERM (mask SigIgn of proc(5)), or catches it (SigCgt)."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        for line in Path(f"/proc/{child.process.pid}/status").read_text("utf-8").splitlines():
            if line.startswith(f"{mask}:") and int(line.split()[1], 16) & 1 << signal.SIGTERM - 1:
                return
        time.sleep(0.001)
    raise TimeoutError(mask)


@pytest.mark.parametrize(
    "mask", ["SigIgn", "SigCgt"], ids=["before Python is there", "as the program's first act is done"]
)
def test_sigterm_while_it_starts_ends_no_child(fake_aws: FakeAwsProcess, tmp_path: Path, mask: str) -> None:
    """It begins, and ends with its daemon: one that dies instead is waited for by the daemon for all of its grace."""
    prove(tmp_path)
    command, environment = CHILD_COMMAND.split(" "), {CHILD_VARIABLE: sys.executable}
    with Child(fake_aws.url, tmp_path, command=command, **environment) as child:
        await_sigterm(child, mask)
        child.terminate()
        child.initialize()
        child.process_batch([envelope(1)])
        child.say("shutdownRequested")
        assert child.hang_up() == 0
    if mask == "SigCgt":
        assert fake_aws.lines("PutEvents") == [], "what it was told is known: it took nothing in hand"
