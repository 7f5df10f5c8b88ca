"""The real receiver in front of the fake AWS, as senders and balancers see it: one process for all of these checks."""

import concurrent.futures
import contextlib
import hmac
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.constants import BODY_S, with_constants
from tests.fakeaws.process import FakeAwsProcess
from tests.receiver_kit import KEY, ReceiverProcess, event, eventually, expected_id, raw, receiver, stored_ids
from tests.schema_check import conforms

ANSWER_WITHIN_S = 0.9
SLACK_S = 0.6
"""What a busy test machine may add to a promised deadline."""
WELL = {"shard_limits": False}
DOWN = {"rules": [{"fault": "call_error", "code": "ServiceUnavailable", "status": 503}]}


class Served:
    """The receiver, and what reached the stream since a check began."""

    def __init__(self, fake_aws: FakeAwsProcess, running: ReceiverProcess) -> None:
        self.fake_aws, self.running, self.url = fake_aws, running, running.url
        self._before = 0

    def begin(self) -> None:
        """The stream is well, and known to be so."""
        self.fake_aws.plan(WELL)
        eventually(lambda: self.post(event(0)).status_code == 202)
        self._before = len(self.fake_aws.lines("PutRecords"))

    def post(self, body: bytes, **headers: str) -> httpx.Response:
        return post(self.running, body, **headers)

    def at_once(self, body: bytes, delivery: str) -> list[int]:
        """The answers to five copies of a delivery at one time."""
        with concurrent.futures.ThreadPoolExecutor(5) as pool:
            return [
                response.status_code
                for response in pool.map(lambda _: self.post(body, x_delivery_id=delivery), range(5))
            ]

    @property
    def stored(self) -> list[str]:
        return stored_ids(self.fake_aws.lines("PutRecords")[self._before :])

    @property
    def envelopes(self) -> dict[str, dict[str, Any]]:
        kept = self.fake_aws.lines("PutRecords", "accepted")
        read = [json.loads(line) for record in kept for line in record["payload"].split("\n")]
        return {envelope["id"]: envelope for envelope in read}

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = httpx.get(f"{self.running.admin_url}/status").json()
        conforms("status", status)
        return status

    def metrics_now(self) -> dict[str, float]:
        """Return the metrics of a snapshot that is made after this call: whatever was answered before is counted."""
        asked_at = datetime.now(UTC)
        eventually(lambda: datetime.fromisoformat(self.status()["at"]) > asked_at)
        return self.running.metrics()

    def is_ready(self, *, ready: bool) -> bool:
        """Whether both ports say so."""
        asked = (f"{self.url}/readyz", f"{self.running.admin_url}/readyz")
        return {httpx.get(url).status_code for url in asked} == {200 if ready else 503}


def post(running: ReceiverProcess, body: bytes, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(f"{running.url}/v1/events", content=body, headers=named, timeout=5)


@pytest.fixture(scope="module")
def running_receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("receiver")
    settings = {"HMAC_ID_HEADER": "x-delivery-id", **with_constants({BODY_S: 0.5})}
    with (
        FakeAwsProcess(folder / "ledger", WELL, 0, "--payloads") as fake_aws,
        receiver(fake_aws.url, folder, **settings) as running,
    ):
        yield Served(fake_aws, running)
        assert running.stop() == 0


@pytest.fixture
def served(running_receiver: Served) -> Served:
    running_receiver.begin()
    return running_receiver


def test_a_stored_event_is_202_with_its_id(served: Served) -> None:
    """The answer names each event's id, in order, and the stream holds the envelopes of the contract."""
    body = b'[{"conversationId":"c1","n":1},\n {"conversationId":"c2","n":2}]'
    answer = served.post(body, x_delivery_id="d-1")
    ids = [expected_id("none", "d-1", index, body) for index in range(2)]
    assert (answer.status_code, answer.json()) == (202, {"accepted": 2, "ids": ids})
    assert sorted(served.stored) == sorted(ids)
    first, second = (served.envelopes[identity] for identity in ids)
    assert second["body"] == {"conversationId": "c2", "n": 2}
    assert [*first] == ["v", "id", "idFrom", "receivedAt", "body"]
    assert (first["v"], first["idFrom"]) == (1, "delivery")
    assert abs(first["receivedAt"] / 1000 - time.time()) < 60


@pytest.mark.parametrize(
    ("elements", "status"),
    [([b"{}"] * 5_000, 202), ([b"{}", b"1"] * 2_500, 400), ([b'{"n":' + b"[" * 300] * 50, 400), ([b"{}"] * 5_001, 413)],
    ids=["thousands are stored", "half of thousands are none", "no JSON", "too many"],
)
def test_whatever_an_array_holds_its_answer_is_under_32_kb(served: Served, elements: list[bytes], status: int) -> None:
    """Studio's REST action takes no larger one. A 202 names the first 900 ids, and the number of all."""
    body = b"[" + b",".join(elements) + b"]"
    answer = served.post(body, x_delivery_id="d-1")
    assert (answer.status_code, len(answer.content) < 32_000) == (status, True)
    if status == 202:
        ids = [expected_id("none", "d-1", index, body) for index in range(len(elements))]
        assert answer.json() == {"accepted": 5_000, "ids": ids[:900]}
        assert sorted(served.stored) == sorted(ids)
    else:
        assert {*answer.json()} == {"error", "message"}
        assert served.stored == []


def test_every_refusal_has_its_code(served: Served) -> None:
    """The contract's codes, each body `{"error", "message"}`, Allow and Retry-After where they belong."""
    many_keys, many_events = [b'"":0'] * 100_002, [b"{}"] * 5_001
    counted = 'requests_total{code="413",reason="too_large",source="default"}'
    before = served.metrics_now().get(counted, 0)
    cases = [
        (served.post(b"{"), 400, "malformed_json"),
        (served.post(b""), 400, "malformed_json"),
        (served.post(b"7"), 400, "not_an_object"),
        (served.post(b"x" * 716_801), 413, "too_large"),
        (served.post(b"{" + b",".join(many_keys) + b"}"), 413, "too_large"),
        (served.post(b"[" + b",".join(many_events) + b"]"), 413, "too_large"),
        (served.post(b"{}", content_encoding="gzip"), 415, "unsupported_encoding"),
        (served.post(b"<a/>", content_type="text/xml"), 415, "unsupported_media_type"),
        (httpx.get(f"{served.url}/v1/events"), 405, "method_not_allowed"),
        (httpx.post(f"{served.url}/healthz", content=b"{}"), 405, "method_not_allowed"),
        (httpx.get(f"{served.url}/metrics"), 404, "not_found"),
        (httpx.post(f"{served.url}/", content=b"{}"), 404, "not_found"),
    ]
    assert cases[1][0].json()["message"] == "the body is empty"
    for answer, status, code in cases:
        assert (answer.status_code, answer.json()["error"]) == (status, code)
        assert set(answer.json()) == {"error", "message"}
        assert ("allow" in answer.headers) == (status == 405)
    served.running.metrics_once(lambda metrics: metrics[counted] == before + 3)
    assert httpx.get(f"{served.url}/healthz").status_code == 200
    assert not served.stored


@pytest.mark.parametrize(
    ("scheme", "challenge"),
    [
        ("bearer", 'Bearer realm="stream-router"'),
        ("basic", 'Basic realm="stream-router", charset="UTF-8"'),
        ("hmac", None),
    ],
)
def test_a_401_asks_for_what_the_scheme_wants(tmp_path: Path, scheme: str, challenge: str | None) -> None:
    """RFC 9110: a client that can sign in learns how. A signature has no registered scheme."""
    settings = {"WEBHOOK_SCHEME": scheme, "WEBHOOK_SECRETS": f"user:{KEY}"}
    with FakeAwsProcess() as fake_aws, receiver(fake_aws.url, tmp_path, **settings) as running:
        answer = httpx.post(f"{running.url}/v1/events", content=b"{}", headers={"authorization": "Bearer other"})
    assert (answer.status_code, answer.headers.get("www-authenticate")) == (401, challenge)
    assert answer.json()["error"] == ("bad_signature" if scheme == "hmac" else "bad_token")


def test_a_body_of_the_full_size_is_taken(served: Served) -> None:
    """716,800 bytes, announced or in chunks, are one event."""
    body = b'{"a":"' + b"x" * (716_800 - 8) + b'"}'
    assert served.post(body).status_code == 202
    chunks = (body[at : at + 10_000] for at in range(0, len(body), 10_000))
    assert httpx.post(f"{served.url}/v1/events", content=chunks).status_code == 202
    assert len(served.stored) == 2


def test_a_delivery_seen_before_is_202_and_not_stored_again(served: Served) -> None:
    """The same id and body: the same answer, one copy. Another body under that id is another event, none a copy."""
    first, again, other = (served.post(event(n), x_delivery_id="d") for n in (1, 1, 2))
    assert [answer.status_code for answer in (first, again, other)] == [202] * 3
    assert first.json() == again.json()
    without_an_id = [served.post(event(3)).json()["ids"][0] for _ in range(2)]
    assert served.stored == [first.json()["ids"][0], other.json()["ids"][0], *without_an_id]
    assert served.envelopes[without_an_id[0]]["idFrom"] == "content"


def test_one_signature_is_one_delivery_whatever_its_unsigned_id(tmp_path: Path) -> None:
    """A captured request with other delivery ids, or without any, adds no event: the first id counts. A delivery that
    was not stored may be sent again. Another signature is another delivery."""

    def headers(body: bytes, delivery_id: str) -> dict[str, str]:
        stamp = str(int(time.time()))
        signature = f"sha256={hmac.digest(KEY.encode(), f'{stamp}.'.encode() + body, 'sha256').hex()}"
        return {"x-nexus-signature-256": signature, "x-nexus-timestamp": stamp, "x-nexus-delivery-id": delivery_id}

    settings = {"WEBHOOK_SECRETS": KEY, "WEBHOOK_SCHEME": "expert"}
    with (
        FakeAwsProcess(tmp_path / "ledger", DOWN, 0) as fake_aws,
        receiver(fake_aws.url, tmp_path, **settings) as running,
    ):
        captured = headers(event(1), "d-1")
        assert post(running, event(1), **captured).status_code == 503
        fake_aws.plan(WELL)
        again = [post(running, event(1), **captured | {"x-nexus-delivery-id": name}) for name in ("d-1", "d-2", "")]
        assert [answer.status_code for answer in again] == [202] * 3
        assert len({answer.text for answer in again}) == 1
        other = post(running, event(2), **headers(event(2), "d-1"))
        stored = stored_ids(fake_aws.lines("PutRecords"))
        running.metrics_once(
            lambda metrics: metrics['requests_total{code="202",reason="seen_before",source="default"}'] == 2
        )
    assert stored == [*again[0].json()["ids"], *other.json()["ids"]]


def test_equal_bodies_are_two_events_if_neither_id_nor_time_is_signed(tmp_path: Path) -> None:
    """They have the same signature, so nothing but their ids tells two real events apart: both are stored."""
    names = {"HMAC_HEADER": "x-signature", "HMAC_ID_HEADER": "x-delivery-id"}
    settings = {"WEBHOOK_SECRETS": KEY, "WEBHOOK_SCHEME": "hmac", **names}
    signature = hmac.digest(KEY.encode(), event(1), "sha256").hex()
    with (
        FakeAwsProcess(tmp_path / "ledger", WELL, 0) as fake_aws,
        receiver(fake_aws.url, tmp_path, **settings) as running,
    ):
        for name in ("d-1", "d-2"):
            assert post(running, event(1), **{"x-signature": signature, "x-delivery-id": name}).status_code == 202
        assert len(set(stored_ids(fake_aws.lines("PutRecords")))) == 2


def test_a_concurrent_copy_waits_for_the_first_one_s_outcome(served: Served) -> None:
    """Copies that arrive while the first is on its way are answered with it: all yes, or all no; one is stored. A 503
    is not a delivery: the same id and body are taken anew, and 202 means that they are stored now."""
    served.fake_aws.plan({"rules": [{"fault": "delay", "ms": 300, "operation": "PutRecords"}]})
    assert served.at_once(event(1), "f") == [202] * 5
    assert len(served.stored) == 1
    served.fake_aws.plan(DOWN)
    assert served.at_once(event(2), "f") == [503] * 5
    served.fake_aws.plan(WELL)
    again = served.post(event(2), x_delivery_id="f")
    assert (again.status_code, served.stored[1:]) == (202, again.json()["ids"])


@pytest.mark.parametrize("fault", ["stall", "outage", "reset", "html", "short", "entry_error"])
def test_what_is_not_stored_in_time_is_503_within_the_deadline(served: Served, fault: str) -> None:
    """Whatever is wrong with the stream: 503 with Retry-After within 900 ms, and no 202 for what is not stored."""
    served.fake_aws.plan({"rules": [{"fault": fault, "operation": "PutRecords", "accept": False}]})
    answer = served.post(event(1))
    assert answer.elapsed.total_seconds() < ANSWER_WITHIN_S + SLACK_S
    assert (answer.status_code, answer.json()["error"]) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) > 0


def test_a_stream_that_refuses_makes_it_unready_and_never_ill(served: Served) -> None:
    """A balancer is told at both ports while events cannot be stored; `/status` says it in words; and it is over."""
    assert served.is_ready(ready=True)
    served.fake_aws.plan({"rules": [{"fault": "outage", "operation": "PutRecords"}]})
    for number in range(3):
        assert served.post(event(number)).status_code == 503
    eventually(lambda: served.is_ready(ready=False))
    assert httpx.get(f"{served.running.admin_url}/healthz").text == "stream-down: the stream takes no events\n"
    assert httpx.get(f"{served.url}/healthz").status_code == 200
    status = served.status()
    code = status["kinesis"]["code"]
    assert (status["code"], status["kinesis"]["up"], code in status["totals"]["failures"]) == (
        "stream-down",
        False,
        True,
    )
    assert (status["reason"], status["level"]) == (code, "bad")
    assert "answered 503" in status["meaning"]
    served.begin()
    eventually(lambda: served.is_ready(ready=True))
    eventually(lambda: served.status()["kinesis"] | {"code": None, "up": True} == served.status()["kinesis"])


def test_status_counts_what_was_answered_while_askers_hang(served: Served) -> None:
    """Answers by status and reason, and latencies; scrapes that send nothing hold up no sender."""
    before = served.status()["totals"]["answers"]
    host, port = served.running.admin_url.removeprefix("http://").split(":")
    with contextlib.ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(contextlib.closing(socket.create_connection((host, int(port)))))
        answers = [served.post(event(number)) for number in range(20)] + [served.post(b"{")]
    assert [answer.status_code for answer in answers] == [202] * 20 + [400]
    assert max(answer.elapsed.total_seconds() for answer in answers) < ANSWER_WITHIN_S + SLACK_S

    def counted(answer: str, count: int) -> bool:
        now = served.status()["totals"]["answers"]
        return bool(now.get(answer, 0) - before.get(answer, 0) >= count)

    eventually(lambda: counted("202 stored", 20) and counted("400 malformed_json", 1))
    status = served.status()
    assert (status["code"], status["kinesis"]["up"], status["heldBytes"]) == ("well", True, 0)
    latency = status["totals"]["latenciesMs"]["answered"]
    assert 0 < latency["count"] <= sum(status["totals"]["answers"].values())
    assert 0 < latency["p50"] <= latency["p99"] <= latency["max"]


def test_latencies_are_of_verified_deliveries_and_strangers_are_counted_by_reason(served: Served) -> None:
    """What a stranger asks for, however often or slowly, is in no percentile, but in a counter of its reason; paths
    that are made up add no series."""
    before = served.metrics_now()
    slow = b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"
    assert raw(served.running.address, slow).startswith(b"HTTP/1.1 408 ")
    with httpx.Client(base_url=served.url) as client:
        asked = [client.get(f"/made-up/{number}") for number in range(50)] + [client.get("/v1/events")]
        delivered = [client.post("/v1/events", content=content) for content in (event(1), event(2), b"{")]
    assert [answer.status_code for answer in [*asked, *delivered]] == [404] * 50 + [405, 202, 202, 400]
    reasons = {"404/not_found": 50, "405/method_not_allowed": 1, "408/timeout": 1, "202/stored": 2}
    expected = {
        'requests_total{{code="{}",reason="{}",source="default"}}'.format(*reason.split("/")): count
        for reason, count in reasons.items()
    }

    def more(result: dict[str, float], name: str) -> float:
        return result[name] - before[name]

    now = served.running.metrics_once(lambda metrics: all(more(metrics, name) == expected[name] for name in expected))
    assert now.keys() == before.keys()
    assert more(now, "request_duration_seconds_count") == 3


@pytest.mark.parametrize(("known", "kept_s"), [(True, 74), (False, 9)])
def test_an_answer_says_for_how_long_its_connection_is_kept(served: Served, known: bool, kept_s: int) -> None:
    """A sender that sends as it is closed would have no answer: one that reads this opens another in time."""
    answer = served.post(b"{}") if known else httpx.get(f"{served.url}/healthz")
    assert answer.headers["keep-alive"] == f"timeout={kept_s}"


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
    assert not any(secret in text for secret in (canary, KEY) for text in (log, command))


def test_a_secrets_file_is_followed_within_5_s(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """A new secret in the file is taken, and an old one refused, without a restart."""
    path = tmp_path / "secrets"
    path.write_text("old\n")
    with receiver(fake_aws.url, tmp_path, WEBHOOK_SCHEME="bearer", WEBHOOK_SECRETS=f"file:{path}") as running:
        assert post(running, b"{}", authorization="Bearer old").status_code == 202
        path.write_text("new\n")
        eventually(lambda: post(running, b"{}", authorization="Bearer old").status_code == 401, 5.0)
        assert post(running, b"{}", authorization="Bearer new").status_code == 202


def test_a_secret_that_others_may_read_is_warned_of_once(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """One line names the setting and the cure, and shows nothing of the secret; the receiver serves. At its admin port
    no name of a stranger's is answered."""
    path = tmp_path / "secrets"
    path.write_text(f"{KEY}\n")
    path.chmod(0o644)
    with receiver(fake_aws.url, tmp_path, WEBHOOK_SCHEME="bearer", WEBHOOK_SECRETS=f"file:{path}") as running:
        assert post(running, b"{}", authorization=f"Bearer {KEY}").status_code == 202
        rebound = httpx.get(f"{running.admin_url}/status", headers={"host": "rebound.example.com"})
        assert (rebound.status_code, httpx.get(f"{running.admin_url}/status").status_code) == (421, 200)
        warned = [line["message"] for line in running.lines("WARNING") if line["event"] == "secret-exposed"]
    (line,) = warned
    assert line.startswith("STREAM_ROUTER_WEBHOOK_SECRETS: ")
    assert "chmod 600" in line
    assert KEY not in line


def test_several_receivers_share_a_port_where_each_says_so(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """With REUSE_PORT=on the kernel divides connections; one that ends leaves them to the other. Else it ends: 78."""
    for name in ("1", "2"):
        (tmp_path / name).mkdir()
    with receiver(fake_aws.url, tmp_path / "1", REUSE_PORT="on") as item:
        shared = {"LISTEN": f"127.0.0.1:{item.address[1]}", "REUSE_PORT": "on"}
        with receiver(fake_aws.url, tmp_path / "2", **shared) as other:
            # The first receiver answers on the shared port before the second one listens there as well.
            eventually(lambda: "receiver-serves" in {line.get("event") for line in other.lines()})
            assert {post(item, event(number)).status_code for number in range(40)} == {202}
            for running in (item, other):
                running.metrics_once(lambda metrics: 0 < metrics["events_stored_total"] < 40)
            assert item.stop() == 0
            assert {post(item, event(number)).status_code for number in range(10)} == {202}
            alone = {**item.environment, "STREAM_ROUTER_REUSE_PORT": "off"}
            assert ended(alone) == (78, "STREAM_ROUTER_LISTEN")


def test_what_cannot_be_had_is_one_line_and_78(running_receiver: Served) -> None:
    """No traceback, and nothing has started: an address that is taken, one of another host, a bundle that is none."""
    signed = {"STREAM_ROUTER_WEBHOOK_SCHEME": "hmac", "STREAM_ROUTER_WEBHOOK_SECRETS": KEY}
    taken = running_receiver.running.environment | signed
    assert ended(taken) == (78, "STREAM_ROUTER_LISTEN")
    assert ended({**taken, "STREAM_ROUTER_LISTEN": "192.0.2.1:0"}) == (78, "STREAM_ROUTER_LISTEN")
    free = {**taken, "STREAM_ROUTER_LISTEN": "127.0.0.1:0", "STREAM_ROUTER_RECEIVER_ADMIN_LISTEN": "127.0.0.1:0"}
    assert ended({**free, "AWS_CA_BUNDLE": "/no/such.pem"}) == (78, "AWS_CA_BUNDLE")


def ended(environment: dict[str, str]) -> tuple[int, str]:
    """How a receiver ends that cannot start: its status, and the setting that its one line names."""
    command = [sys.executable, "-m", "stream_router.receiver"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
    (line,) = done.stderr.splitlines()
    return done.returncode, line.partition(":")[0]


SOURCES = """
[[cxone.sources]]
name = "script"
type = "webhook"
url = "https://x/v1/events/script"
scheme = "hmac"
hmac_header = "x-own"
hmac_id_header = "x-id"
secrets = "the secret of the script"

[[cxone.sources]]
name = "wiki"
type = "webhook"
url = "https://x/v1/events/wiki"
scheme = "expert"
secrets = "the secret of the wiki"
"""


def test_two_sources_are_apart_and_expert_may_send_xml(tmp_path: Path) -> None:
    """Each one's signature is refused on the other's path; without the environment's scheme /v1/events is 404; ids and
    counters tell them apart. XML goes on as it came, under the type of its header."""
    config = tmp_path / "config.toml"
    config.write_text(SOURCES)
    body, stamp = b'<?xml version="1.0"?>\r\n<event id="e-1"/>', str(int(time.time()))
    with (
        FakeAwsProcess(tmp_path / "ledger", WELL, 0, "--payloads") as fake_aws,
        receiver(fake_aws.url, tmp_path, CONFIG=str(config), WEBHOOK_SCHEME="") as running,
    ):

        def status(path: str, secret: str, sent: bytes = event(1)) -> int:
            mac = hmac.digest(secret.encode(), sent, "sha256").hex()
            of_wiki = hmac.digest(secret.encode(), f"{stamp}.".encode() + sent, "sha256").hex()
            headers = {
                "x-own": mac,
                "x-id": "d-1",
                "x-nexus-signature-256": f"sha256={of_wiki}",
                "x-nexus-timestamp": stamp,
                "x-nexus-delivery-id": "d-1",
                "x-nexus-event-type": "page:edit",
                "content-type": "text/xml",
            }
            return httpx.post(f"{running.url}/v1/events{path}", content=sent, headers=headers).status_code

        script, wiki = "the secret of the script", "the secret of the wiki"
        assert [status("", script), status("/nobody", script)] == [404, 404]
        assert [status("/script", script), status("/script", wiki), status("/script", script, body)] == [202, 401, 415]
        assert [status("/wiki", wiki), status("/wiki", script), status("/wiki", wiki, body)] == [202, 401, 202]
        counted = [
            'requests_total{code="401",reason="bad_signature",source="wiki"}',
            'requests_total{code="202",reason="stored",source="script"}',
        ]
        running.metrics_once(lambda metrics: [metrics.get(name) for name in counted] == [1, 1])
        envelopes = Served(fake_aws, running).envelopes
    ids = [expected_id(f"source/{name}", "d-1", 0, sent) for name, sent in (("script", event(1)), ("wiki", body))]
    assert len(envelopes) == 3
    assert envelopes[ids[0]]["source"] == "script"
    envelope = envelopes[ids[1]]
    assert (envelope["body"].encode(), envelope["contentType"], envelope["eventTypeHeader"]) == (
        body,
        "text/xml",
        "page:edit",
    )
