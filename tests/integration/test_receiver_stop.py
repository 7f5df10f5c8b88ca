"""A receiver that starts, hangs or ends: who has sent a request to it, or is about to, gets an answer."""

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.constants import BODY_S, with_constants
from tests.fakeaws.process import FakeAwsProcess
from tests.receiver_kit import KEY, ReceiverProcess, event, eventually, receiver, stored_ids
from tests.receiver_load import post

QUEUED = 1_500
"""More than the loop takes in the rounds that it goes on for."""


FAKE_AWS = ({"shard_limits": False},)


def answer_of(sender: socket.socket) -> str:
    """Its status, with "close" where the connection ends with it; "" where it is closed without a word."""
    answer = sender.recv(4096)
    return answer[9:12].decode() + " close" * (b"connection: close" in answer)


def exchange(sender: socket.socket, number: int) -> str:
    sender.sendall(post(event(number)))
    return answer_of(sender)


def test_a_stop_answers_what_is_in_what_the_kernel_holds_and_what_comes_soon(
    fake_aws: FakeAwsProcess, tmp_path: Path
) -> None:
    """Each is 202 or told why not, with the word that its connection closes; it ends with 0, a slow sender or not."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4_096), hard))
    fake_aws.plan({"shard_limits": False, "rules": [{"fault": "delay", "ms": 100, "operation": "PutRecords"}]})
    with receiver(fake_aws.url, tmp_path, **with_constants({BODY_S: 0.5})) as running, contextlib.ExitStack() as stack:

        def connect() -> socket.socket:
            return stack.enter_context(socket.create_connection(running.address, 5))

        known, idle, silent, slow, *early = [connect() for _ in range(24)]
        eventually(lambda: {exchange(item, 1) for item in (known, idle)} == {"202"})
        slow.sendall(post(event(9))[:-1])
        # It stands still for a moment, so that what comes now is in the kernel's queue as it is told to end.
        running.process.send_signal(signal.SIGSTOP)
        late = [connect() for _ in range(QUEUED)]
        for number, sender in enumerate(late, 100):
            sender.sendall(post(event(number)))
        for number, sender in enumerate(early, 10):
            sender.sendall(post(event(number)))
        began_s = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        running.process.send_signal(signal.SIGCONT)
        assert {answer_of(sender).partition(" ")[0] for sender in early} == {"202"}
        assert exchange(known, 2)[-5:] == "close"
        assert {answer_of(sender)[-5:] for sender in late} == {"close"}
        assert answer_of(slow) == "408 close"
        assert [answer_of(idle), answer_of(silent)] == ["", ""]
        assert running.process.wait(10) == 0
        assert time.monotonic() - began_s < 7.0
    assert len(set(stored_ids(fake_aws.lines("PutRecords")))) >= 1 + len(early)


def test_while_draining_it_still_serves_and_all_are_told(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """For DRAIN_DELAY_S after Ctrl-C as after SIGTERM: both ports are unready, events are taken, each answer closes its
    connection; systemd heard READY, WATCHDOG while the loop went round, and STOPPING."""
    way = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(way))
        heard.settimeout(5)
        around = ("env", f"NOTIFY_SOCKET={way}", "WATCHDOG_USEC=1000000")
        with receiver(fake_aws.url, tmp_path, around, DRAIN_DELAY_S="3") as running:
            assert {heard.recv(100), heard.recv(100)} == {b"READY=1", b"WATCHDOG=1"}
            assert heard.recv(100) == b"WATCHDOG=1"
            running.process.send_signal(signal.SIGSTOP)
            heard.settimeout(0.6)
            with contextlib.suppress(TimeoutError):
                for _ in range(5):
                    heard.recv(100)
                pytest.fail("a loop that stands still says that it goes round")
            running.process.send_signal(signal.SIGCONT)
            heard.settimeout(5)
            with socket.create_connection(running.address, 5) as idle:
                assert exchange(idle, 0) == "202"
                running.process.send_signal(signal.SIGINT)
                eventually(lambda: httpx.get(f"{running.admin_url}/readyz").text == "draining\n")
                assert httpx.get(f"{running.url}/readyz").status_code == 503
                with socket.create_connection(running.address, 5) as sender:
                    assert exchange(sender, 1) == "202 close"
                while heard.recv(100) != b"STOPPING=1":
                    pass
                heard.close()
                assert answer_of(idle) == ""
            assert running.process.wait(10) == 0
            assert "Traceback" not in running.log.read_text()


STOPPED = """
import os, sys
from stream_router.receiver import __main__ as program
program.check = lambda _: os.kill(os.getpid(), 15)
sys.exit(program.main())
"""


def test_a_stop_during_the_start_ends_with_0() -> None:
    """It is heard before anything is checked."""
    value = {"AWS_REGION": "us-east-1", "STREAM_ROUTER_WEBHOOK_SCHEME": "none", "STREAM_ROUTER_LISTEN": "127.0.0.1:0"}
    ended = subprocess.run([sys.executable, "-c", STOPPED], env={**os.environ, **value}, timeout=30, check=False)
    assert ended.returncode == 0


STUCK = """
import sys, time
from stream_router.receiver import __main__ as program, status
from stream_router.receiver.intake import Intake
from stream_router.receiver.secrets import Secrets
status.SILENT_S = status.HANGS_AFTER_S = 1.0
look = program._Program._publish_state
def stuck(self, *parts):
    look(self, *parts)
    if self._is_serving and sys.argv[1] == "loop":
        time.sleep(3)
program._Program._publish_state = stuck
Secrets.refresh = lambda self: time.sleep(60)
events = Intake.events
def fails(self, body):
    if b"breaks" in body.text:
        raise MemoryError
    return events(self, body)
Intake.events = fails
exec(sys.argv[-1])
"""


def around(kind: str) -> tuple[str, ...]:
    return (sys.executable, "-c", STUCK, kind)


def test_a_loop_that_stands_still_makes_it_ill(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """Its platform restarts it: nobody else could. The admin port, on threads of its own, says so meanwhile."""

    def asked(running: ReceiverProcess, path: str) -> tuple[int, str]:
        answer = httpx.get(f"{running.admin_url}{path}")
        return answer.status_code, answer.text

    with receiver(fake_aws.url, tmp_path, around("loop")) as running:
        eventually(
            lambda: asked(running, "/healthz") == (503, "hanging: a process hangs; unhealthy, a restart is needed\n")
        )
        eventually(lambda: asked(running, "/readyz") == (503, "not ready\n"))
        assert "\nstream_router_receiver_ready 0.0\n" in asked(running, "/metrics")[1]
        os.kill(running.process.pid, signal.SIGKILL)


def test_secrets_that_cannot_be_read_for_a_while_hold_up_no_sender_and_no_stop(
    fake_aws: FakeAwsProcess, tmp_path: Path
) -> None:
    """AWS, or a disk, may take its time, told to look or not: a thread of its own waits for it, and nobody for that.
    And a request that fails in a way that nobody foresaw is told to come again."""
    secrets = tmp_path / "secrets"
    secrets.write_text(f"{KEY}\n")
    settings = {"WEBHOOK_SCHEME": "bearer", "WEBHOOK_SECRETS": f"file:{secrets}"}
    with receiver(fake_aws.url, tmp_path, around("secrets"), **settings) as running:
        bearer = {"Authorization": f"Bearer {KEY}"}
        for number in range(5):
            running.process.send_signal(signal.SIGHUP)
            answer = httpx.post(f"{running.url}/v1/events", content=event(number), headers=bearer)
            assert answer.status_code == 202
        answer = httpx.post(f"{running.url}/v1/events", content=b'{"breaks":1}', headers=bearer)
        assert (answer.status_code, answer.headers["connection"]) == (503, "close")
        assert "request-failed" in {line.get("event") for line in running.lines("ERROR")}
        assert running.stop() == 0
