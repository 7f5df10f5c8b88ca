"""Who holds the receiver up without being a sender: good traffic is served beside it and after it."""

import contextlib
import hmac
import json
import resource
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import trustme

from tests.fakeaws.process import FakeAwsProcess
from tests.receiver_kit import KEY, ReceiverProcess, event, receiver
from tests.receiver_load import post, send

ATTACKER = "127.0.0.9"
HANG = 0.05
"""Share of the calls."""


@pytest.fixture
def fake_aws(tmp_path: Path) -> Iterator[FakeAwsProcess]:
    with FakeAwsProcess(tmp_path / "ledger", {"shard_limits": False}) as running:
        yield running


def connect(address: tuple[str, int], source: str = ATTACKER) -> socket.socket:
    return socket.create_connection(address, timeout=5, source_address=(source, 0))


def signed(body: bytes) -> dict[str, str]:
    return {"x-signature": hmac.digest(KEY.encode(), body, "sha256").hex()}


def hmac_receiver(
    fake_aws: FakeAwsProcess, folder: Path, **settings: str
) -> contextlib.AbstractContextManager[ReceiverProcess]:
    return receiver(fake_aws.url, folder, WEBHOOK_SCHEME="hmac", WEBHOOK_SECRETS=KEY, **settings)


def test_silent_tls_connections_cost_nobody_else_a_connection(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """At the limit of open files, counted from accept: good requests are answered during it and after it."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    tls = dict.fromkeys(("TLS_CERT", "TLS_KEY"), str(tmp_path / "server.pem"))
    with hmac_receiver(fake_aws, tmp_path, **tls, MAX_CONNECTIONS="8192") as running:
        files = 512
        resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE, (files, files))
        with contextlib.ExitStack() as stack, httpx.Client(verify=trusting) as client:
            for number in range(600):
                # From many addresses, so that no limit of one client helps.
                silent = connect(running.address, f"127.0.1.{number % 200 + 1}")
                stack.enter_context(contextlib.closing(silent))
                if number % 100 == 99:
                    answer = client.post(f"{running.url}/v1/events", content=b"{}", headers=signed(b"{}"))
                    assert answer.status_code == 202
        with httpx.Client(verify=trusting) as client:
            assert client.post(f"{running.url}/v1/events", content=b"{}", headers=signed(b"{}")).status_code == 202
        assert running.stop() == 0


def test_half_sent_bodies_of_one_client_refuse_no_other_s(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """108 bodies of which 466 KB came, all but 4 KB of what may be half read: every good body of 40 KB is taken."""
    with hmac_receiver(fake_aws, tmp_path) as running, contextlib.ExitStack() as stack:
        for _ in range(108):
            connection = stack.enter_context(contextlib.closing(connect(running.address)))
            head = b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 700000\r\n\r\n"
            with contextlib.suppress(OSError):
                connection.sendall(head + b"x" * 466_000)
        body = json.dumps({"conversationId": "c", "x": "y" * 40_000}).encode()
        outcomes = send(running.address, [post(body, signed(body))] * 100, 100, 10)
        assert {outcome.status for outcome in outcomes} == {202}


def test_calls_that_hang_are_no_more_503s_than_twice_their_share(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """Nobody waits behind them: what comes after them finds another place."""
    rules = [{"fault": "stall", "operation": "PutRecords", "stall_s": 2.0, "accept": False, "rate": HANG}]
    fake_aws.plan({"shard_limits": False, "rules": rules})
    with hmac_receiver(fake_aws, tmp_path) as running:
        good = [post(event(n, n % 499), signed(event(n, n % 499))) for n in range(1_200)]
        outcomes = send(running.address, good, 300, 128)
        refused = sum(outcome.status != 202 for outcome in outcomes)
        assert refused <= 2 * HANG * len(outcomes)
        running.metrics_once(lambda found: found['records_failed_total{code="NoAnswer"}'] > 0)
