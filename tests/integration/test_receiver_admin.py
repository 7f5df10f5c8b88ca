"""The receiver's admin port on real processes: health, readiness and what `/status` says, with and without mTLS."""

import itertools
import json
import socket
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from stream_router.receiver import admin
from stream_router.settings.receiver import Receiver
from stream_router.telemetry.receiver import receiver_page
from stream_router.telemetry.receiver.receiver_board import Board
from stream_router.telemetry.receiver.receiver_stats import SILENT_S, Stats, code_number, code_of, gauge_at
from tests.fakeaws.process import FakeAwsProcess
from tests.integration.test_receiver_process import make_certificates
from tests.receiver_kit import ReceiverProcess, event, receiver

TOKEN = "a token of many bytes"


@pytest.fixture
def fake_aws() -> Iterator[FakeAwsProcess]:
    with FakeAwsProcess(plan={"shard_limits": False}) as running:
        yield running


def eventually(running: ReceiverProcess, path: str, status: int, within_s: float = 5.0) -> httpx.Response:
    until = time.monotonic() + within_s
    while (answer := httpx.get(f"{running.admin_url}{path}")).status_code != status:
        assert time.monotonic() < until, answer.text
        time.sleep(0.05)
    return answer


def test_a_probe_needs_no_certificate_where_the_event_port_asks_for_one(
    fake_aws: FakeAwsProcess, tmp_path: Path
) -> None:
    """With TLS_CLIENT_CA a load balancer cannot ask the event port; the admin port answers, without a token."""
    paths = make_certificates(tmp_path)
    tls = {"TLS_CERT": paths["server.pem"], "TLS_KEY": paths["server.key"], "TLS_CLIENT_CA": paths["ca.pem"]}
    with receiver(fake_aws.url, tmp_path, **tls, ADMIN_TOKEN=TOKEN) as running:
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{running.url}/healthz", verify=ssl.create_default_context(cafile=paths["ca.pem"]))
        assert eventually(running, "/healthz", 200).text == "well\n"
        assert eventually(running, "/readyz", 200).text == "ready\n"
        assert httpx.get(f"{running.admin_url}/status").status_code == 401
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        told = httpx.get(f"{running.admin_url}/status", headers=bearer).json()
        assert told["state"] == "ready"
        left = datetime.fromisoformat(told["tlsCertificateEndsAt"]) - datetime.now(UTC)
        assert timedelta(days=1) < left <= timedelta(days=2)
        metrics = httpx.get(f"{running.admin_url}/metrics", headers=bearer)
        assert metrics.status_code == 200
        assert "\nstream_router_receiver_tls_certificate_end_timestamp_seconds 1." in metrics.text


def status(running: ReceiverProcess) -> dict[str, Any]:
    told: dict[str, Any] = httpx.get(f"{running.admin_url}/status").json()
    return told


def test_status_counts_what_was_answered(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """Answers by status and reason, latencies, the stream; over two workers as over one."""
    with receiver(fake_aws.url, tmp_path, workers="2") as running:
        for number in range(40):
            assert httpx.post(f"{running.url}/v1/events", content=event(number)).status_code == 202
        assert httpx.post(f"{running.url}/v1/events", content=b"{").status_code == 400
        until = time.monotonic() + 5
        while sum((told := status(running))["answers"].values()) != 41:
            assert time.monotonic() < until, told
            time.sleep(0.1)
        assert told["schema"] == "stream-router.receiver-status/1"
        assert (told["state"], told["workers"], told["stream"]["up"]) == ("ready", 2, True)
        assert told["answers"] == {"202 stored": 40, "400 malformed_json": 1}
        latency = told["latencyMs"]
        assert latency["count"] == 41
        assert 0 < latency["p50"] <= latency["p99"] <= latency["max"]


def test_a_stream_that_refuses_makes_it_unready_and_never_ill(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """A restart would mend nothing; the state says it in words, with since when."""
    with receiver(fake_aws.url, tmp_path) as running:
        fake_aws.plan({"rules": [{"fault": "outage", "operation": "PutRecords"}]})
        for number in range(3):
            assert httpx.post(f"{running.url}/v1/events", content=event(number)).status_code == 503
        assert eventually(running, "/readyz", 503).text == "not ready\n"
        assert eventually(running, "/healthz", 200).text == "well\n"
        told = status(running)
        (code,) = told["failures"]
        assert (told["state"], told["stream"]["up"], told["stream"]["code"]) == ("stream down", False, code)
        assert told["reason"] == f"the stream takes no events ({code}); senders are answered 503"
        assert told["since"].endswith("Z")
        fake_aws.plan({})
        eventually(running, "/readyz", 200, 10.0)
        assert httpx.post(f"{running.url}/v1/events", content=event(4)).status_code == 202
        until = time.monotonic() + 5
        while (now := status(running)["stream"])["code"] is not None or not now["up"]:
            assert time.monotonic() < until, status(running)["stream"]
            time.sleep(0.1)


def test_while_it_drains_it_is_not_ready(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """The balancer that asks the admin port sees it as the one that asks the event port does."""
    with receiver(fake_aws.url, tmp_path, DRAIN_DELAY_S="4") as running:
        eventually(running, "/readyz", 200)
        running.process.terminate()
        assert eventually(running, "/readyz", 503).text == "draining\n"
        assert running.process.wait(15) == 0


def test_a_worker_that_stands_still_makes_it_ill() -> None:
    """Its row grows old, whatever the others do; one that died is being replaced, and is no reason."""
    now = [1_000.0]
    board = Board(2)
    made = admin.ReceiverStatus(board, Receiver(aws_region="x", webhook_scheme="none"), now_s=lambda: now[0])
    assert made.health().good
    column = gauge_at("heartbeat_timestamp_seconds", 1)
    for worker in (0, 1):
        board.row(worker)[column] = now[0]
    now[0] += SILENT_S - 1
    assert made.health().good
    board.row(0)[column] = now[0]
    now[0] += 2
    assert made.health() == (False, "ill")
    board.gone(1)
    assert made.health().good


def test_the_code_is_that_of_a_worker_whose_stream_refuses() -> None:
    """One of two workers is refused: its code is told, and is no metric; once it is stored for, none is."""
    board = Board(2)
    made = admin.ReceiverStatus(
        board, Receiver(aws_region="x", webhook_scheme="none"), clock=itertools.count().__next__
    )
    for worker, code in enumerate(("", "AccessDeniedException")):
        stats = Stats()
        stats.up = 1
        stats.stream_up = int(not code)
        stats.stream_code = code_number(code)
        board.row(worker)[:] = stats.row()
    told = json.loads(made.page())
    assert (told["stream"]["up"], told["stream"]["code"]) == (False, "AccessDeniedException")
    assert told["reason"] == "the stream takes no events (AccessDeniedException); senders are answered 503"
    assert b"stream_code" not in receiver_page.page(board)
    board.row(1)[:] = board.row(0)
    assert json.loads(made.page())["stream"]["code"] is None


@pytest.mark.parametrize(("code", "told"), [("", ""), ("NoAnswer", "NoAnswer"), ("NewOfAws", "other")])
def test_a_code_goes_through_a_row_of_numbers(code: str, told: str) -> None:
    """What no version knew is called other; its name is in the log."""
    assert code_of(code_number(code)) == told


def test_an_asker_that_hangs_holds_up_no_sender(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """Scrapes that send nothing, and the worker's events at the same time."""
    with receiver(fake_aws.url, tmp_path) as running:
        host, port = running.admin_url.removeprefix("http://").split(":")
        hanging = [socket.create_connection((host, int(port))) for _ in range(40)]
        for number in range(20):
            assert httpx.post(f"{running.url}/v1/events", content=event(number), timeout=5.0).status_code == 202
        for one in hanging:
            one.close()
