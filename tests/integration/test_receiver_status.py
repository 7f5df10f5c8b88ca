"""The receiver's admin port on real processes: health, readiness and what `/status` says, with and without mTLS."""

import os
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakeaws.process import FakeAwsProcess
from tests.integration.test_receiver_process import make_certificates
from tests.receiver_kit import ReceiverProcess, event, receiver
from tests.schema_check import conforms

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


def status(running: ReceiverProcess) -> dict[str, Any]:
    told: dict[str, Any] = httpx.get(f"{running.admin_url}/status").json()
    conforms("status", told)
    return told


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


def test_status_counts_what_was_answered(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """Answers by status and reason, latencies, the stream."""
    with receiver(fake_aws.url, tmp_path) as running:
        for number in range(40):
            assert httpx.post(f"{running.url}/v1/events", content=event(number)).status_code == 202
        assert httpx.post(f"{running.url}/v1/events", content=b"{").status_code == 400
        until = time.monotonic() + 5
        while sum((told := status(running))["totals"]["answers"].values()) != 41:
            assert time.monotonic() < until, told
            time.sleep(0.1)
        assert (told["state"], told["kinesis"]["up"], told["heldBytes"]) == ("ready", True, 0)
        assert told["totals"]["answers"] == {"202 stored": 40, "400 malformed_json": 1}
        latency = told["totals"]["latenciesMs"]["answered"]
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
        (code,) = told["totals"]["failures"]
        assert (told["state"], told["kinesis"]["up"], told["kinesis"]["code"]) == ("stream down", False, code)
        assert told["reason"] == f"the stream takes no events ({code}); senders are answered 503"
        fake_aws.plan({})
        eventually(running, "/readyz", 200, 10.0)
        assert httpx.post(f"{running.url}/v1/events", content=event(4)).status_code == 202
        until = time.monotonic() + 5
        while (now := status(running)["kinesis"])["code"] is not None or not now["up"]:
            assert time.monotonic() < until, status(running)["kinesis"]
            time.sleep(0.1)


def test_while_it_drains_it_is_not_ready(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """The balancer that asks the admin port sees it as the one that asks the event port does."""
    with receiver(fake_aws.url, tmp_path, DRAIN_DELAY_S="4") as running:
        eventually(running, "/readyz", 200)
        running.process.terminate()
        assert eventually(running, "/readyz", 503).text == "draining\n"
        assert running.process.wait(15) == 0


STUCK = """
import asyncio, time
from stream_router.receiver import __main__ as program, status
status.SILENT_S = 1.0
look = program._Program._look
def stuck(self, *parts):
    look(self, *parts)
    if self._up:
        time.sleep(3)
program._Program._look = stuck
"""


def test_a_loop_that_stands_still_makes_it_ill(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """Its platform restarts it: nobody else could. The admin port, on threads of its own, says so meanwhile."""
    import sys

    around = (sys.executable, "-c", f"{STUCK}\nimport sys; exec(sys.argv[3])")
    with receiver(fake_aws.url, tmp_path, around) as running:
        assert eventually(running, "/healthz", 503).text == "ill\n"
        assert eventually(running, "/readyz", 503).text == "not ready\n"
        assert "\nstream_router_receiver_ready 0.0\n" in httpx.get(f"{running.admin_url}/metrics").text
        os.kill(running.process.pid, signal.SIGKILL)


def test_an_asker_that_hangs_holds_up_no_sender(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """Scrapes that send nothing, and events at the same time."""
    with receiver(fake_aws.url, tmp_path) as running:
        host, port = running.admin_url.removeprefix("http://").split(":")
        hanging = [socket.create_connection((host, int(port))) for _ in range(40)]
        for number in range(20):
            assert httpx.post(f"{running.url}/v1/events", content=event(number), timeout=5.0).status_code == 202
        for one in hanging:
            one.close()
