"""What the receiver's log says of a trouble: one line with what to do, and nothing else at WARNING or above."""

import contextlib
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakeaws.process import FakeAwsProcess
from tests.integration.test_receiver_process import make_certificates
from tests.receiver_kit import KEY, ReceiverProcess, event, receiver

STREAM = "cxone-events"


@pytest.fixture
def fake_aws(tmp_path: Path) -> Iterator[FakeAwsProcess]:
    with FakeAwsProcess(tmp_path / "ledger") as running:
        yield running


def lines(running: ReceiverProcess, *levels: str) -> list[dict[str, Any]]:
    """The log so far, of these levels where they are given."""
    found = [json.loads(line) for line in running.log.read_text().splitlines()]
    return [line for line in found if not levels or line["level"] in levels]


def bad(running: ReceiverProcess) -> list[dict[str, Any]]:
    """What `grep` for WARNING and ERROR finds."""
    return lines(running, "WARNING", "ERROR")


def wait_for(is_so: Callable[[], Any], what: str, timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.1)


def post_for(running: ReceiverProcess, seconds: float) -> list[int]:
    """An event ten times a second: the statuses."""
    statuses: list[int] = []
    with httpx.Client(base_url=running.url, timeout=5) as client:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            statuses.append(client.post("/v1/events", content=event(len(statuses))).status_code)
            time.sleep(0.1)
    return statuses


def refused(**fault: Any) -> dict[str, Any]:
    return {"rules": [{"operation": "PutRecords", **fault}]}


TROUBLES: dict[str, tuple[dict[str, Any], str, str]] = {
    "AccessDenied": (
        refused(fault="call_error", code="AccessDeniedException"),
        "AccessDeniedException",
        "grant it (stream-router setup --policy)",
    ),
    "the stream is gone": (
        {"missing": [STREAM]},
        "ResourceNotFoundException",
        "check its name, AWS_REGION and the account",
    ),
    "expired credentials": (
        refused(fault="call_error", code="ExpiredTokenException"),
        "ExpiredTokenException",
        "renew the credentials",
    ),
    "connections are refused": (refused(fault="outage", how="refuse"), "NoAnswer", "check the network, the endpoint"),
}


def of_event(running: ReceiverProcess, name: str) -> list[dict[str, Any]]:
    return [line for line in bad(running) if line.get("event") == name]


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_stream_that_takes_nothing_is_one_line_with_the_cure(
    fake_aws: FakeAwsProcess, tmp_path: Path, trouble: str
) -> None:
    """Code, stream, what senders are told, the cure; how many requests were refused; and one line when it is over."""
    plan, code, cure = TROUBLES[trouble]
    with receiver(fake_aws.url, tmp_path) as running:
        assert set(post_for(running, 0.3)) == {202}
        fake_aws.plan(plan)
        statuses = post_for(running, 3)
        assert 503 in statuses
        (line,) = of_event(running, "stream-down")
        assert (line["level"], line["code"], line["resource"]) == ("WARNING", code, STREAM)
        assert line["message"].startswith("the stream takes no events: senders are answered 503")
        assert cure in line["message"]
        (refusals,) = of_event(running, "requests-refused")
        assert (refusals["events"] >= 1, code in refusals["message"]) == (True, True)
        fake_aws.plan({})
        wait_for(lambda: post_for(running, 0.2) and of_event(running, "stream-down-over"), "it is over")
        (over,) = of_event(running, "stream-down-over")
        assert over["after_s"] > 1
        assert len(bad(running)) == 3


def test_a_stream_that_hangs_is_told_by_the_requests_that_it_costs(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """Before any call of it has ended: how many, and that it answers too late."""
    fake_aws.plan(refused(fault="stall"))
    with receiver(fake_aws.url, tmp_path) as running:
        assert set(post_for(running, 3)) == {503}
        (line,) = bad(running)
        assert (line.get("event"), line["level"]) == ("requests-refused", "WARNING")
        assert "the stream answers too late" in line["message"]


def test_entering_and_draining_the_spill_are_told(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """Where events go while the stream is down; of the spill itself nothing is wrong."""
    (tmp_path / "spill").mkdir()
    with receiver(fake_aws.url, tmp_path, SPILL_DIR=str(tmp_path / "spill")) as running:
        assert set(post_for(running, 0.3)) == {202}
        fake_aws.plan(refused(fault="call_error", code="AccessDeniedException"))
        spilled = post_for(running, 3)
        assert set(spilled) == {202}
        (line,) = bad(running)
        assert line["message"].startswith("the stream takes no events: events wait in the spill")
        fake_aws.plan({})
        running.metrics_once(lambda found: found["spilled_events"] == 0)
        wait_for(lambda: of_event(running, "stream-down-over"), "it is over")
        assert {one.get("event") for one in bad(running)} == {"stream-down", "stream-down-over"}


def signed(body: bytes, key: str, offset_s: float = 0.0) -> dict[str, str]:
    stamp = str(int(time.time() + offset_s))
    text = f"{stamp}.".encode() + body
    signature = hmac.new(key.encode(), text, hashlib.sha256).hexdigest()
    return {"x-signature": signature, "x-timestamp": stamp}


@contextlib.contextmanager
def authenticating(fake_aws: FakeAwsProcess, folder: Path) -> Iterator[ReceiverProcess]:
    hmac_of = {"HMAC_TEMPLATE": "{timestamp}.{body}", "HMAC_TIMESTAMP_HEADER": "x-timestamp"}
    settings = {"WEBHOOK_SCHEME": "hmac", "WEBHOOK_SECRETS": KEY, **hmac_of}
    with receiver(fake_aws.url, folder, **settings) as running:
        yield running


def post_signed(running: ReceiverProcess, count: int, key: str = KEY, offset_s: float = 0.0) -> set[int]:
    statuses = set()
    for number in range(count):
        body = event(number)
        answer = httpx.post(f"{running.url}/v1/events", content=body, headers=signed(body, key, offset_s))
        statuses.add(answer.status_code)
    return statuses


@pytest.mark.parametrize(
    ("key", "offset_s", "reason", "cure"),
    [
        ("another secret of some length", 0.0, "bad_signature", "compare STREAM_ROUTER_WEBHOOK_SECRETS"),
        (KEY, 7200.0, "stale", "check this host's clock"),
        (KEY, -7200.0, "stale", "check this host's clock"),
    ],
    ids=["wrong secret", "this clock is slow", "this clock is fast"],
)
def test_deliveries_that_are_not_known_are_one_line_by_reason(
    fake_aws: FakeAwsProcess, tmp_path: Path, key: str, offset_s: float, reason: str, cure: str
) -> None:
    """A clock that makes everything stale is named as such: senders may take a 401 for final."""
    with authenticating(fake_aws, tmp_path) as running:
        assert post_signed(running, 20, key, offset_s) == {401}
        wait_for(lambda: bad(running), "the line")
        (line,) = bad(running)
        assert line.get("event") == "deliveries-refused"
        assert f"answered 401, none is let in ({reason})" in line["message"]
        assert cure in line["message"]
        assert line["deliveries"] > 0
        assert KEY not in running.log.read_text()


def test_the_first_line_says_what_is_in_force(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """So that a log alone tells how it was run; no secret is in it."""
    with authenticating(fake_aws, tmp_path) as running:
        first = lines(running)[0]
        assert (first.get("event"), first["stream"], first["region"], first["scheme"]) == (
            *("receiver-starts", STREAM, "us-east-1", "hmac"),
        )
        assert {"version", "python", "tls", "spill", "listen", "admin", "buckets"} <= first.keys()
        assert first["aws"]["AWS_ENDPOINT_URL_KINESIS"] == fake_aws.url
        assert KEY not in running.log.read_text()


def test_one_sender_s_clock_is_not_this_host_s(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """Others are let in meanwhile, so this host's clock is right."""
    with authenticating(fake_aws, tmp_path) as running:
        assert post_signed(running, 3, KEY, -7200) == {401}
        assert post_signed(running, 3) == {202}
        wait_for(lambda: bad(running), "the line")
        (line,) = bad(running)
        assert "others are let in (stale); check the sender's clock" in line["message"]


def test_a_certificate_that_ends_soon_is_said_once(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """A while before its end, since nothing else tells of it until senders refuse it."""
    paths = make_certificates(tmp_path)
    tls = {"TLS_CERT": paths["server.pem"], "TLS_KEY": paths["server.key"]}
    with receiver(fake_aws.url, tmp_path, **tls) as running:
        wait_for(lambda: bad(running), "the line")
        running.process.terminate()
        assert running.process.wait(15) == 0
        (line,) = bad(running)
        assert (line.get("event"), line["level"]) == ("tls-certificate-ends", "WARNING")
