"""`stream-router send` as a program, in front of the real receiver."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_router.send.poster import CONNECTIONS
from tests.fakeaws.process import FakeAwsProcess
from tests.raw_server import SILENCE, RawServer
from tests.receiver_kit import KEY, ReceiverProcess, receiver, stored_ids
from tests.system.world import until

SIGNED = {
    "WEBHOOK_SCHEME": "hmac",
    "WEBHOOK_SECRETS": KEY,
    "HMAC_TEMPLATE": "{timestamp}.{body}",
    "HMAC_TIMESTAMP_HEADER": "x-time",
    "HMAC_ID_HEADER": "x-id",
}


FAKE_AWS = (None, 0, "--payloads")


@pytest.fixture
def running(fake_aws: FakeAwsProcess, tmp_path: Path) -> Iterator[ReceiverProcess]:
    with receiver(fake_aws.url, tmp_path, **SIGNED) as result:
        yield result


def send(running: ReceiverProcess, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """The command with the receiver's environment, without a region or credentials."""
    environment = {name: value for name, value in running.environment.items() if not name.startswith("AWS_")}
    environment |= {f"STREAM_ROUTER_{name}": value for name, value in changes.items()}
    environment["AWS_CONFIG_FILE"] = os.devnull
    return subprocess.run(
        [sys.executable, "-m", "stream_router", "send", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_one_event_is_stored_and_named(running: ReceiverProcess, fake_aws: FakeAwsProcess) -> None:
    """By the id that it has from then on, so that it can be looked for."""
    done = send(running)
    assert (done.returncode, done.stderr) == (0, "")
    (identity,) = re.findall(r"^eventId: ([0-9a-f]{32})$", done.stdout, re.MULTILINE)
    assert stored_ids(fake_aws.lines("PutRecords")) == [identity]


def test_many_events_are_counted(running: ReceiverProcess, fake_aws: FakeAwsProcess) -> None:
    """All of them different, at a rate."""
    done = send(running, "--count", "30", "--rate", "300", "--preset", "cxone-digital")
    assert done.returncode == 0, done.stdout
    assert "     30 202 accepted" in done.stdout.splitlines()
    assert len(set(stored_ids(fake_aws.lines("PutRecords")))) == 30


@pytest.mark.parametrize("rate", ["20", "0.001"])
def test_broken_off_it_says_what_was_sent(running: ReceiverProcess, fake_aws: FakeAwsProcess, rate: str) -> None:
    """What is on its way is answered first; what was never sent is counted, and the exit status tells."""
    process = subprocess.Popen(
        [sys.executable, "-m", "stream_router", "send", "--count", "1000", "--rate", rate],
        env=running.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    until(lambda: bool(fake_aws.lines("PutRecords")), 30, "the first is stored")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    stored = len(stored_ids(fake_aws.lines("PutRecords")))
    assert process.returncode == 130
    assert f"{stored:>7} 202 accepted" in out.splitlines()
    assert f"interrupted: {1000 - stored} of 1000 were not sent" in out.splitlines()


def test_what_has_no_answer_yet_is_not_told_as_unsent(running: ReceiverProcess) -> None:
    """Broken off twice, nobody waits for the answers: what was sent may be stored all the same."""
    with RawServer(lambda _: SILENCE) as server:
        process = subprocess.Popen(
            [sys.executable, "-m", "stream_router", "send", "--count", "1000", "--url", server.url],
            env=running.environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        until(lambda: len(server.requests) >= CONNECTIONS, 30, "as many are under way as may be")
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)  # two of one kind at once would be heard as one
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out.startswith(f"{CONNECTIONS} sent to {server.url} in ")
    assert (
        f"interrupted: {1000 - CONNECTIONS} of 1000 were not sent; {CONNECTIONS} were sent and have no answer yet, so "
        "they may have been stored"
    ) in out.splitlines()
