"""The real receiver as a process in front of the fake AWS: what a sender and an operator see."""

import concurrent.futures
import contextlib
import hmac
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from stream_router.errors import SettingsError
from stream_router.receiver import preflight
from stream_router.settings.reading import load
from stream_router.settings.receiver import Receiver
from tests.constants import BODY_S, with_constants
from tests.fakeaws.process import FakeAwsProcess
from tests.receiver_kit import KEY, ReceiverProcess, event, expected_id, raw, receiver, stored_ids

ANSWER_WITHIN_S = 0.9
SLACK_S = 0.6
"""What a busy test machine may add to a promised deadline."""


@pytest.fixture
def fake_aws(tmp_path: Path) -> Iterator[FakeAwsProcess]:
    with FakeAwsProcess(tmp_path / "ledger", None, 0, "--payloads") as running:
        yield running


@pytest.fixture
def running(fake_aws: FakeAwsProcess, tmp_path: Path) -> Iterator[ReceiverProcess]:
    settings = {"HMAC_ID_HEADER": "x-delivery-id", **with_constants({BODY_S: 0.5})}
    with receiver(fake_aws.url, tmp_path, **settings) as made:
        yield made


def post(running: ReceiverProcess, body: bytes, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(f"{running.url}/v1/events", content=body, headers=named, timeout=5)


def test_a_stored_event_is_202_with_its_id(running: ReceiverProcess, fake_aws: FakeAwsProcess) -> None:
    """The answer names each event's id, in order, and the stream holds the envelopes of the contract."""
    body = b'[{"conversationId":"c1","n":1},\n {"conversationId":"c2","n":2}]'
    answer = post(running, body, x_delivery_id="d-1")
    ids = [expected_id("none", "d-1", index, body) for index in range(2)]
    assert answer.status_code == 202
    assert answer.json() == {"accepted": 2, "ids": ids}
    assert sorted(stored_ids(fake_aws.lines("PutRecords"))) == sorted(ids)
    payloads = [line for kept in fake_aws.lines("PutRecords") for line in kept["payload"].split("\n")]
    envelopes = {envelope["id"]: envelope for envelope in map(json.loads, payloads)}
    assert envelopes[ids[1]]["body"] == {"conversationId": "c2", "n": 2}
    assert set(envelopes[ids[0]]) == {"v", "id", "idFrom", "receivedAt", "body"}
    assert (envelopes[ids[0]]["v"], envelopes[ids[0]]["idFrom"]) == (1, "delivery")
    assert abs(envelopes[ids[0]]["receivedAt"] / 1000 - time.time()) < 60


def test_every_refusal_has_its_code(running: ReceiverProcess) -> None:
    """The contract's codes, each body `{"error", "message"}`, Allow and Retry-After where they belong."""
    cases = [
        (httpx.post(f"{running.url}/v1/events", content=b"{"), 400, "malformed_json"),
        (httpx.post(f"{running.url}/v1/events", content=b"7"), 400, "not_an_object"),
        (httpx.post(f"{running.url}/v1/events", content=b"x" * 716_801), 413, "too_large"),
        (post(running, b"{}", content_encoding="gzip"), 415, "unsupported_encoding"),
        (httpx.get(f"{running.url}/v1/events"), 405, "method_not_allowed"),
        (httpx.post(f"{running.url}/healthz", content=b"{}"), 405, "method_not_allowed"),
        (httpx.get(f"{running.url}/metrics"), 404, "not_found"),
        (httpx.post(f"{running.url}/", content=b"{}"), 404, "not_found"),
    ]  # fmt: skip
    for answer, status, code in cases:
        assert (answer.status_code, answer.json()["error"]) == (status, code)
        assert set(answer.json()) == {"error", "message"}
        assert ("allow" in answer.headers) == (status == 405)
    assert httpx.get(f"{running.url}/healthz").status_code == 200
    assert httpx.get(f"{running.url}/readyz").status_code == 200


def test_a_body_of_the_full_size_is_taken(running: ReceiverProcess, fake_aws: FakeAwsProcess) -> None:
    """716,800 bytes, announced or in chunks, are one event."""
    fake_aws.plan({"shard_limits": False})
    body = b'{"a":"' + b"x" * (716_800 - 8) + b'"}'
    assert len(body) == 716_800
    assert post(running, body).status_code == 202

    def chunks() -> Iterator[bytes]:
        for at in range(0, len(body), 10_000):
            yield body[at : at + 10_000]

    assert httpx.post(f"{running.url}/v1/events", content=chunks()).status_code == 202
    assert len(stored_ids(fake_aws.lines("PutRecords"))) == 2


def test_a_delivery_seen_before_is_202_and_not_stored_again(running: ReceiverProcess, fake_aws: FakeAwsProcess) -> None:
    """The same delivery id and body: the same answer, one copy. Another body under that id is another event."""
    first = post(running, event(1), x_delivery_id="d")
    again = post(running, event(1), x_delivery_id="d")
    other = post(running, event(2), x_delivery_id="d")
    assert [answer.status_code for answer in (first, again, other)] == [202] * 3
    assert first.json() == again.json()
    assert stored_ids(fake_aws.lines("PutRecords")) == [first.json()["ids"][0], other.json()["ids"][0]]


def test_a_delivery_that_was_not_stored_is_stored_when_it_comes_again(
    running: ReceiverProcess, fake_aws: FakeAwsProcess
) -> None:
    """A 503 is no delivery: the same id and body are taken anew, and 202 means that they are stored now."""
    fake_aws.plan({"rules": [{"fault": "call_error", "code": "ServiceUnavailable", "status": 503}]})
    assert post(running, event(1), x_delivery_id="d").status_code == 503
    fake_aws.plan({})
    again = post(running, event(1), x_delivery_id="d")
    assert again.status_code == 202
    assert stored_ids(fake_aws.lines("PutRecords")) == again.json()["ids"]


def test_a_concurrent_copy_waits_for_the_first_one_s_outcome(
    running: ReceiverProcess, fake_aws: FakeAwsProcess
) -> None:
    """Copies that arrive while the first is on its way are answered with it: all yes, or all no; one is stored."""
    fake_aws.plan({"rules": [{"fault": "delay", "ms": 300, "operation": "PutRecords"}]})
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda _: post(running, event(1), x_delivery_id="d"), range(5)))
    assert [answer.status_code for answer in answers] == [202] * 5
    assert len(stored_ids(fake_aws.lines("PutRecords"))) == 1
    fake_aws.plan({"rules": [{"fault": "call_error", "code": "ServiceUnavailable", "status": 503}]})
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda _: post(running, event(2), x_delivery_id="d"), range(5)))
    assert [answer.status_code for answer in answers] == [503] * 5
    fake_aws.plan({})
    assert post(running, event(2), x_delivery_id="d").status_code == 202


@pytest.mark.parametrize("fault", ["stall", "outage", "reset", "html", "short", "entry_error"])
def test_what_is_not_stored_in_time_is_503_within_the_deadline(
    running: ReceiverProcess, fake_aws: FakeAwsProcess, fault: str
) -> None:
    """Whatever is wrong with the stream: 503 with Retry-After within 900 ms, and no 202 for what is not stored."""
    fake_aws.plan({"rules": [{"fault": fault, "operation": "PutRecords", "accept": False}]})
    with httpx.Client(timeout=5) as client:
        started_s = time.monotonic()
        answer = client.post(f"{running.url}/v1/events", content=event(1))
        assert time.monotonic() - started_s < ANSWER_WITHIN_S + SLACK_S
    assert (answer.status_code, answer.json()["error"]) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) > 0


def test_a_slow_body_is_cut(running: ReceiverProcess) -> None:
    """A body that does not arrive within its time gets 408, small or large, and its connection is closed."""
    for length in (100, 100_000):
        head = f"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{{".encode()
        started_s = time.monotonic()
        received = raw(running.address, head)
        assert received.startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - started_s < 2.0


def test_readyz_is_false_while_the_stream_refuses_and_true_again_after(
    running: ReceiverProcess, fake_aws: FakeAwsProcess
) -> None:
    """A load balancer is told while events cannot be stored; once they can, it is told so as well."""
    fake_aws.plan({"rules": [{"fault": "outage", "operation": "PutRecords"}]})
    for number in range(3):
        assert post(running, event(number)).status_code == 503
    assert httpx.get(f"{running.url}/readyz").status_code == 503
    assert httpx.get(f"{running.url}/healthz").status_code == 200
    fake_aws.plan({})
    assert post(running, event(9)).status_code == 202
    assert httpx.get(f"{running.url}/readyz").status_code == 200


def test_sigterm_answers_what_is_in_and_ends_with_0(running: ReceiverProcess, fake_aws: FakeAwsProcess) -> None:
    """Events on their way are stored and answered, then the process ends, within 10 s, a slow sender or not."""
    fake_aws.plan({"rules": [{"fault": "delay", "ms": 400, "operation": "PutRecords"}]})
    with contextlib.ExitStack() as stack:
        senders = [stack.enter_context(socket.create_connection(running.address, 5)) for _ in range(20)]
        for number, sender in enumerate(senders):
            body = event(number)
            sender.sendall(b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        slow = stack.enter_context(socket.create_connection(running.address, 5))
        slow.sendall(b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
        time.sleep(0.2)
        started_s = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        assert all(sender.recv(1000).startswith(b"HTTP/1.1 202 ") for sender in senders)
        assert running.process.wait(10) == 0
    assert time.monotonic() - started_s < 5.0
    assert len(set(stored_ids(fake_aws.lines("PutRecords")))) == 20


def test_what_is_no_http_is_counted_too(running: ReceiverProcess) -> None:
    """Whoever is refused before there is a request shows in the metrics as everybody does."""
    assert raw(running.address, b"BROKEN\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    large = b"".join(b"X-%d: %b\r\n" % (n, b"y" * 1_000) for n in range(40))
    assert raw(running.address, b"POST /v1/events HTTP/1.1\r\nHost: x\r\n" + large + b"\r\n").startswith(
        b"HTTP/1.1 431 "
    )
    refused = [
        'requests_total{code="400",reason="bad_request",source="default"}',
        'requests_total{code="431",reason="headers_too_large",source="default"}',
    ]
    metrics = running.metrics_once(lambda found: all(found.get(name) for name in refused))
    assert [metrics[name] for name in refused] == [1, 1]


def test_logs_are_json_and_hold_no_payload_and_no_secret(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """Every line is one JSON object; neither the event nor the secret is in any, nor in the process's arguments."""
    canary = "canary-8f1c"
    body = json.dumps({"conversationId": canary, "x": canary}).encode()
    settings = {"WEBHOOK_SCHEME": "hmac", "WEBHOOK_SECRETS": KEY, "LOG_LEVEL": "DEBUG"}
    with receiver(fake_aws.url, tmp_path, **settings) as running:
        fake_aws.plan({"rules": [{"fault": "call_error", "code": "AccessDeniedException", "message": canary}]})
        for signature in (hmac.digest(KEY.encode(), body, "sha256").hex(), "00" * 32):
            post(running, body, x_signature=signature)
            post(running, body + b"]", x_signature=hmac.digest(KEY.encode(), body + b"]", "sha256").hex())
        command = Path(f"/proc/{running.process.pid}/cmdline").read_text()
        assert running.stop() == 0
        log = running.log.read_text()
    assert all(type(json.loads(line)) is dict for line in log.splitlines())
    assert log
    for secret in (canary, KEY):
        assert secret not in log
        assert secret not in command


def test_a_secrets_file_is_followed_within_5_s(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """A new secret in the file is taken, and an old one refused, without a restart."""
    path = tmp_path / "secrets"
    path.write_text("old\n")
    with receiver(fake_aws.url, tmp_path, WEBHOOK_SCHEME="bearer", WEBHOOK_SECRETS=f"file:{path}") as running:
        assert post(running, b"{}", authorization="Bearer old").status_code == 202
        path.write_text("new\n")
        deadline_s = time.monotonic() + 5.0
        while post(running, b"{}", authorization="Bearer old").status_code == 202:
            assert time.monotonic() < deadline_s
            time.sleep(0.1)
        assert post(running, b"{}", authorization="Bearer new").status_code == 202


def test_several_receivers_share_a_port_where_each_says_so(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """With REUSE_PORT=on the kernel divides connections among them; one that ends leaves them to the other."""
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir()
    second.mkdir()
    with receiver(fake_aws.url, first, REUSE_PORT="on") as one:
        listen = f"127.0.0.1:{one.address[1]}"
        with receiver(fake_aws.url, second, REUSE_PORT="on", LISTEN=listen) as other:
            stored = [post(one, event(number)).status_code for number in range(40)]
            assert set(stored) == {202}
            counts = [
                running.metrics_once(lambda found: found["events_stored_total"] > 0)["events_stored_total"]
                for running in (one, other)
            ]
            assert sum(counts) <= 40
            assert one.stop() == 0
            assert {post(one, event(number)).status_code for number in range(10)} == {202}
            assert other.stop() == 0


def test_systemd_is_told(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """READY once it serves, WATCHDOG while its loop goes round, STOPPING when it drains."""
    way = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(way))
        heard.settimeout(5)
        around = ("env", f"NOTIFY_SOCKET={way}", "WATCHDOG_USEC=1000000")
        with receiver(fake_aws.url, tmp_path, around) as running:
            told = {heard.recv(100), heard.recv(100)}
            assert told == {b"READY=1", b"WATCHDOG=1"}
            os.kill(running.process.pid, signal.SIGSTOP)
            heard.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while heard.recv(100):
                    pass
            time.sleep(0.6)
            with pytest.raises(BlockingIOError):
                heard.recv(100)
            os.kill(running.process.pid, signal.SIGCONT)
            assert running.stop() == 0
            heard.settimeout(5)
            while heard.recv(100) != b"STOPPING=1":
                pass


def ended_receiver(settings: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    """A receiver that cannot start, once it has ended. Settings of AWS_ keep their name."""
    named = {name if name.startswith("AWS_") else f"STREAM_ROUTER_{name}": value for name, value in settings.items()}
    aws = {"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"}
    return subprocess.run(
        [sys.executable, *(command or ("-m", "stream_router.receiver"))],
        env={"PATH": "/usr/bin", **aws, **named},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize("name", ["spill-0.sqlite", f"spill-0-{1:020d}.seg2", "spill-0-1.seg", "spill-index"])
def test_a_spill_of_another_version_is_named_and_not_passed_over(tmp_path: Path, name: str) -> None:
    """Older or, on the way back, newer: its events would wait for ever, and nobody would know."""
    for ours in (f"spill-0-{1:020d}.seg", "spill-0.ledger", "spill-0.lock", f"spill-0-{0:020d}.damaged"):
        (tmp_path / ours).touch()
    (tmp_path / "of an operator's own").touch()
    preflight.check_spill(tmp_path)
    (tmp_path / name).touch()
    with pytest.raises(SettingsError, match=rf"STREAM_ROUTER_SPILL_DIR: {re.escape(name)} .*drain it"):
        preflight.check_spill(tmp_path)


WRONG: list[tuple[dict[str, str], str]] = [
    ({"WEBHOOK_SCHEME": "nonsense"}, "STREAM_ROUTER_WEBHOOK_SCHEME"),
    ({"LISTEN": "0.0.0.0:0"}, "STREAM_ROUTER_WEBHOOK_SCHEME"),
    ({"LISTEN": "nowhere"}, "STREAM_ROUTER_LISTEN"),
    ({"RECEIVER_ADMIN_LISTEN": "127.0.0.1:8080"}, "STREAM_ROUTER_RECEIVER_ADMIN_LISTEN"),
    ({"WEBHOOK_SCHEME": "bearer", "WEBHOOK_SECRETS": "short"}, "STREAM_ROUTER_WEBHOOK_SECRETS"),
    ({"WEBHOOK_SCHEME": "bearer", "WEBHOOK_SECRETS": "/a/path/of/a/file"}, "STREAM_ROUTER_WEBHOOK_SECRETS"),
    ({"WEBHOOK_SCHEME": "bearer", "WEBHOOK_SECRETS": "ü" * 20}, "STREAM_ROUTER_WEBHOOK_SECRETS"),
    ({"WEBHOOK_SCHEME": "bearer", "WEBHOOK_SECRETS": KEY, "LISTEN": "0.0.0.0:0"}, "STREAM_ROUTER_WEBHOOK_SCHEME"),
    ({"WEBHOOK_SCHEME": "hmac"}, "STREAM_ROUTER_WEBHOOK_SECRETS"),
    ({"TLS_CERT": "/no/such.pem"}, "STREAM_ROUTER_TLS_KEY"),
    ({"TLS_CERT": "/no/such.pem", "TLS_KEY": "/no/such.pem"}, "STREAM_ROUTER_TLS_CERT"),
    ({"SPILL_DIR": "/no/such/folder"}, "STREAM_ROUTER_SPILL_DIR"),
    ({"SPILL_DIR": "x" * 5000}, "STREAM_ROUTER_SPILL_DIR"),
    ({"BUCKETS": "0"}, "STREAM_ROUTER_BUCKETS"),
]


@pytest.mark.parametrize(("settings", "named"), WRONG)
def test_bad_settings_are_one_line(settings: dict[str, str], named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The setting, what is wrong, the cure; no secret, and nothing has started."""
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    for name, value in {"WEBHOOK_SCHEME": "none", **settings}.items():
        monkeypatch.setenv(f"STREAM_ROUTER_{name}", value)
    with pytest.raises(SettingsError) as refused:
        load(Receiver, *preflight.LOOKS)
    assert str(refused.value).startswith(named)
    assert "\n" not in str(refused.value)
    assert KEY not in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "named"),
    [({"LISTEN": "192.0.2.1:0"}, "STREAM_ROUTER_LISTEN"), ({"AWS_CA_BUNDLE": "/no/such.pem"}, "AWS_CA_BUNDLE")],
)
def test_what_cannot_be_had_is_one_line_and_78(settings: dict[str, str], named: str) -> None:
    """No traceback, and nothing has started."""
    given = {"WEBHOOK_SCHEME": "hmac", "WEBHOOK_SECRETS": KEY, "LISTEN": "127.0.0.1:0", **settings}
    ended = ended_receiver({"RECEIVER_ADMIN_LISTEN": "127.0.0.1:0", **given})
    assert (ended.returncode, ended.stderr.split(":")[0]) == (78, named)
    assert ended.stderr.count("\n") == 1


def test_a_port_that_is_taken_is_a_setting_s_error(running: ReceiverProcess) -> None:
    """A second receiver on one port would take every other connection unseen: it does not start."""
    ended = subprocess.run(
        [sys.executable, "-m", "stream_router.receiver"],
        env=running.environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (ended.returncode, ended.stderr.split(":")[0]) == (78, "STREAM_ROUTER_LISTEN")


def make_certificates(folder: Path) -> dict[str, str]:
    """An authority, a server's and a client's certificate of it, and a client's of nobody."""
    script = """
set -e
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -subj /CN=ca -days 2
for who in server client; do
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $who.key -out $who.csr -subj /CN=$who
  printf 'subjectAltName=IP:127.0.0.1\\nbasicConstraints=CA:FALSE\\n' > ext
  openssl x509 -req -in $who.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out $who.pem -days 2 -extfile ext
done
curve="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
openssl req -x509 $curve -keyout evil.key -out evil.pem -subj /CN=evil -days 2
"""
    subprocess.run(["sh", "-c", script], cwd=folder, check=True, capture_output=True)
    return {name: str(folder / name) for name in ("ca.pem", "server.pem", "server.key")}


def test_tls_and_mtls_are_served(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """TLS 1.2 or newer with the receiver's certificate; with a client CA, only who has a certificate of it gets in."""
    paths = make_certificates(tmp_path)
    settings: dict[str, Any] = {"TLS_CERT": paths["server.pem"], "TLS_KEY": paths["server.key"]}
    trusting = ssl.create_default_context(cafile=paths["ca.pem"])
    with receiver(fake_aws.url, tmp_path, **settings) as running:
        answer = httpx.post(f"{running.url}/v1/events", content=b"{}", verify=trusting)
        assert answer.status_code == 202
    with receiver(fake_aws.url, tmp_path, **settings, TLS_CLIENT_CA=paths["ca.pem"]) as running:
        with pytest.raises(httpx.TransportError):
            httpx.post(f"{running.url}/v1/events", content=b"{}", verify=trusting)
        for who, welcome in (("evil", False), ("client", True)):
            context = ssl.create_default_context(cafile=paths["ca.pem"])
            context.load_cert_chain(tmp_path / f"{who}.pem", tmp_path / f"{who}.key")
            try:
                status = httpx.post(f"{running.url}/v1/events", content=b"{}", verify=context).status_code
            except httpx.TransportError:
                status = 0
            assert (status == 202) == welcome


def test_an_interrupt_from_the_keyboard_drains_too(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """Ctrl-C is SIGTERM's equal: exit 0, no traceback."""
    with receiver(fake_aws.url, tmp_path) as running:
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(10) == 0
        assert "Traceback" not in running.log.read_text()


HANGS = """
import threading, time
from stream_router.receiver.secrets import Secrets
Secrets.refresh = lambda self: time.sleep(60)
"""


def test_secrets_that_cannot_be_read_for_a_while_hold_up_no_sender_and_no_stop(
    fake_aws: FakeAwsProcess, tmp_path: Path
) -> None:
    """AWS, or a disk, may take its time, told to look or not: a thread of its own waits for it, and nobody for that."""
    secrets = tmp_path / "secrets"
    secrets.write_text(f"{KEY}\n")
    around = (sys.executable, "-c", f"{HANGS}\nimport sys; exec(sys.argv[3])")
    settings = {"WEBHOOK_SCHEME": "bearer", "WEBHOOK_SECRETS": f"file:{secrets}"}
    with receiver(fake_aws.url, tmp_path, around, **settings) as running:
        for number in range(5):
            running.process.send_signal(signal.SIGHUP)
            assert post(running, event(number), authorization=f"Bearer {KEY}").status_code == 202
        assert running.stop() == 0
