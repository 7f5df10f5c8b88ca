"""Broken and hostile input, interleaved with good events: never a 5xx, never a good event lost, nothing reflected."""

import contextlib
import json
import re
import socket
from collections.abc import Iterator
from random import Random

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.constants import (
    BODY_S,
    GIVE_UP_AFTER_S,
    HEAD_S,
    LATE_CALL_S,
    LATEST_202_S,
    WAIT_FOR_PARSING_S,
    with_constants,
)
from tests.fakeaws.process import FakeAwsProcess
from tests.receiver_kit import ReceiverProcess, event, expected_id, raw, receiver, stored_ids

STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
PARSER_S = {501, 505}
"""A method or version that HTTP does not know."""

NO_JSON: list[bytes] = [
    *[b"", b" ", b"{", b"]", b'"', b"truefalse", b"+1", b"0x1F", b"NaN", b"-Infinity"],
    *[b"{}{}", b"{}x", b"{},", b"[{},]", b"[,{}]", b"[{} {}]", b'{"a"}', b'{"a":1,}', b'{"a":1 "b":2}', b"{'a':1}"],
    *[b"{a:1}", b'{"a":undefined}', b'{"a":NaN}', b'{"a":01}', b'{"a":.1}', b'{"a":"', b'{"a":"\\x41"}'],
    *[b'{"a":"\\u12G4"}', b'{"a":"\x00"}', b'{"a":"\r\n"}', b'{"a":"\xff"}', b'{"a":"\xc0\x80"}', b'{"\xff":1}'],
    *[b'{"a":"\xed\xa0\x80"}', b'{"a":"\\ud800",}', b"\xef\xbb\xbf{}", '{"a":1}'.encode("utf-16"), b"\x00{}"],
    *[b'{"a":1e999,"b":NaN}', b'{"a":1e999,"b":"\xff"}', b'{"a":1e999,"b":"\x01"}', b'{"a":1e999,"b":01}'],
    *[b"{}\x1a", b"\x1f\x8b\x08\x00\x00", b"<xml/>", b"a=1&b=2", b"// comment\n{}", b'{"a":1}#', b"\x0b{}"],
    *[b"[" * 2000, b"[" * 1100 + b"]" * 1100, b'{"a":' * 1100 + b"1" + b"}" * 1100],
    b'{"a":' + b"[" * 250 + b"]" * 250 + b"}",
]
NO_OBJECT: list[bytes] = [
    *[b"1" * 5000, b"-0", b"1.5", b"true", b"null", b'""', b"[1]", b"[null]", b'["a"]', b"[[]]", b"[[{}]]", b"[{},1]"],
]
GOOD_BODIES: list[bytes] = [
    *[b" {} ", b"\r\n\t{}\r\n", b"[]", b"[ ]", b"[{}]", b'{"a":null}', b'{"":""}', b'{"a":1,"a":2}'],
    *[b'{"__proto__":{"x":1}}', b'{"a":-0.0,"b":1E+2,"c":1e-999}', b'{"a":' + b"9" * 100_000 + b"}"],
    *[b'{"a":"\\u0000\\u2028\\uD83D\\uDE00"}', '{"a":"\u2028\x7f\U0001f600"}'.encode(), b'{"a":1e999}'],
    *[b'{"a":"\\ud800"}', b'{"\\udc00":1}', b'[{"a":"\\ud83d"},{"a":1}]', b'{"v":1,"id":"0","body":{}}'],
    b'{"a":' + b"[" * 249 + b"]" * 249 + b"}",
    json.dumps({"a": {"b": ["x" * 1000] * 100}}, indent=4).encode(),
]
"""Strange, but JSON objects or arrays of them: answered 202, since a 4xx is final for the sender."""

POST = b"POST /v1/events HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
SMUGGLED = b'{"conversationId":"smuggled"}'
INNER = POST + b"Content-Length: %d\r\n\r\n%b" % (len(SMUGGLED), SMUGGLED)
"""An event that must not arrive, where it stands inside of another request."""
ANY_REFUSAL = frozenset({400, 401, 404, 405, 408, 411, 413, 414, 415, 417, 426, 431, 501, 505})
OK_OR_REFUSAL = ANY_REFUSAL | {202}


def posted(headers: bytes, body: bytes = b"{}") -> bytes:
    return POST + b"Connection: close\r\n" + headers + b"\r\n" + body


def sized(headers: bytes = b"", body: bytes = b"{}") -> bytes:
    return posted(headers + b"Content-Length: %d\r\n" % len(body), body)


def get(target: bytes, headers: bytes = b"") -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + headers + b"\r\n"


RAW: dict[bytes, frozenset[int]] = {
    b"": frozenset(),
    b"\r\n\r\n": ANY_REFUSAL,
    bytes(range(256)): ANY_REFUSAL,
    b"GET /healthz\r\n": ANY_REFUSAL,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n": ANY_REFUSAL,
    b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n": ANY_REFUSAL,
    get(b"/" + b"a" * 100_000): ANY_REFUSAL,
    get(b"/v1/../healthz"): frozenset({404}),
    get(b"/%0d%0aX:%20y"): frozenset({404}),
    get(b"/v1/events/"): frozenset({404}),
    get(b"http://evil/healthz?x=/y"): frozenset({200}),
    get(b"/healthz?a=http://b/c"): frozenset({200}),
    get(b"/healthz", b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"): frozenset({200}),
    sized(b"Connection: Upgrade\r\nUpgrade: h2c\r\n", INNER): frozenset({400}),
    posted(b"Connection: Upgrade\r\nUpgrade: x\r\nTransfer-Encoding: chunked\r\n", b"2\r\n{}\r\n0\r\n\r\n" + INNER): (
        frozenset({202})
    ),
    posted(b"Content-Length: 2\r\nContent-Length: 40\r\n"): ANY_REFUSAL,
    posted(b"Content-Length: -2\r\n"): ANY_REFUSAL,
    posted(b"Content-Length : 2\r\n"): ANY_REFUSAL,
    posted(b"Content-Length: 99999999999999999999999\r\n"): ANY_REFUSAL,
    posted(b"Content-Length: 716801\r\n", b"x"): frozenset({413}),
    posted(b"Content-Length: " + b"0" * 5_000 + b"2\r\n"): frozenset({202}),
    posted(b"Content-Length: " + b"0" * 5_000 + b"716801\r\n"): frozenset({413}),
    posted(b"Content-Length: 50\r\n"): frozenset({408}),
    sized() + INNER: OK_OR_REFUSAL,
    posted(b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n" + INNER): ANY_REFUSAL,
    posted(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", b"0\r\n\r\n" + INNER): ANY_REFUSAL,
    posted(b"Transfer-Encoding: chunked, identity\r\n", b"0\r\n\r\n" + INNER): ANY_REFUSAL,
    posted(b"Transfer-Encoding: gzip, chunked\r\n", b"2\r\n{}\r\n0\r\n\r\n"): ANY_REFUSAL,
    posted(b"Transfer-Encoding : chunked\r\n", b"0\r\n\r\n" + INNER): ANY_REFUSAL,
    b"POST /v1/events HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n": ANY_REFUSAL,
    posted(b"Transfer-Encoding: chunked\r\n", b"1\r\n{\r\n1\r\n}\r\n0\r\nX-Trailer: a\r\n\r\n"): frozenset({202}),
    posted(b"Transfer-Encoding: chunked\r\n", b"zz\r\n{}\r\n0\r\n\r\n"): ANY_REFUSAL,
    posted(b"Transfer-Encoding: chunked\r\n", b"ffffffffffffffff1\r\n{}"): ANY_REFUSAL,
    posted(b"Transfer-Encoding: chunked\r\n", b"2\r\n{}\r\n"): frozenset({408}),
    posted(b"Transfer-Encoding: chunked\r\n", b"b0000\r\n" + b"x" * 720_896 + b"\r\n0\r\n\r\n"): frozenset({413}),
    posted(b"Transfer-Encoding: chunked\r\n", b"1\r\n \r\n" * 20_000 + b"2\r\n{}\r\n0\r\n\r\n"): frozenset({202}),
    sized(b"X-A: b\rX-C: d\r\n"): ANY_REFUSAL,
    sized(b"X-A: b\0c\r\n"): ANY_REFUSAL,
    sized(b"X-A: b\r\n c\r\n"): ANY_REFUSAL,
    sized(b"X-A: \xe9\xff\r\n"): frozenset({202}),
    sized(b"".join(b"X-%d: y\r\n" % n for n in range(100))): frozenset({431}),
    sized(b"Host: y\r\n"): frozenset({400}),
    b"POST /v1/events HTTP/1.1\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}": frozenset({400}),
    b"POST /v1/events HTTP/1.0\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n{}": frozenset({202}),
    sized(b"Expect: 100-Continue\r\n"): frozenset({100, 202}),
    get(b"/nothing", b"Expect: 100-continue\r\nContent-Length: 2\r\n"): frozenset({404}),
    sized(b"Content-Encoding: deflate, br\r\n"): frozenset({415}),
    sized(b"Content-Encoding: identity\r\nContent-Encoding: gzip\r\n"): frozenset({415}),
    sized(b"Content-Encoding: identity\r\n"): frozenset({202}),
    sized(b"Content-Type: text/xml\r\n"): frozenset({202}),
    sized().replace(b"Connection: close\r\n", b"") + sized(): frozenset({202}),
    sized().replace(b"POST", b"PUT", 1): frozenset({405}),
}
"""What is sent on a connection, and the statuses that may come back; an empty set where it may simply be closed."""

ENDLESS: dict[str, tuple[bytes, bytes]] = {
    "a trailer's value": (CHUNKED + b"2\r\n{}\r\n0\r\nx: ", b"a"),
    "trailers": (CHUNKED + b"2\r\n{}\r\n0\r\n", b"x: a\r\n"),
    "a chunk's extension": (CHUNKED + b"5;x=", b"a"),
    "a chunk's size": (CHUNKED, b"0"),
    "a header's value": (POST + b"x: ", b"a"),
    "headers": (POST, b"x: a\r\n"),
    "a request line": (b"POST /", b"a"),
    "empty lines before a request": (b"", b"\r\n"),
}
"""What begins, and what comes on and on."""
ENOUGH_BYTES = 128 * 1024

PATIENCE_S = dict.fromkeys([WAIT_FOR_PARSING_S, LATEST_202_S, GIVE_UP_AFTER_S, LATE_CALL_S], 30.0)
"""The receiver's deadlines for an answer, lengthened.

A receiver that gets no CPU for a second answers 503, as it promises (test_receiver_slow_stream.py). Here any 503 is a
defect.
"""


class World:
    """A receiver without a check of the sender in front of a fake AWS, and the good events sent so far."""

    def __init__(self, fake_aws: FakeAwsProcess, running: ReceiverProcess) -> None:
        self.fake_aws = fake_aws
        self.receiver = running
        # Each request on a connection of its own: a kept one is closed after 0.3 s, perhaps just when it is used again.
        self.client = httpx.Client(base_url=running.url, timeout=5, headers={"Connection": "close"})
        self.accepted: list[str] = []

    def good(self, body: bytes = b"") -> None:
        """A good event, which must be accepted whatever came before it."""
        answer = self.client.post("/v1/events", content=body or event(len(self.accepted)))
        assert answer.status_code == 202, (body[:50], answer.text)
        self.accepted += answer.json()["ids"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("hostile")
    with (
        FakeAwsProcess(folder / "ledger", None, 0, "--payloads") as fake_aws,
        receiver(fake_aws.url, folder, **with_constants({HEAD_S: 1.5, BODY_S: 1.5, **PATIENCE_S})) as running,
    ):
        result = World(fake_aws, running)
        yield result
        result.client.close()
        check_whole(result)


def check_whole(world: World) -> None:
    """At the end: every good event is there, nothing smuggled is, and the receiver is well."""
    assert world.receiver.stop() == 0
    lines = world.fake_aws.lines("PutRecords")
    assert set(world.accepted) <= set(stored_ids(lines))
    assert "smuggled" not in "".join(str(line) for line in lines if "payload" in line)
    log = world.receiver.log.read_text()
    assert not any(word in log for word in ("Traceback", "unforeseen"))


def test_bad_bodies_are_400_and_good_events_pass_between_them(world: World) -> None:
    """Each bad body is answered 400 with a code of the contract, and the next good event is stored."""
    for body in NO_JSON + NO_OBJECT:
        answer = world.client.post("/v1/events", content=body)
        code = "malformed_json" if body in NO_JSON else "not_an_object"
        assert (answer.status_code, answer.json()["error"]) == (400, code), body[:50]
        assert set(answer.json()) == {"error", "message"}
        world.good()
    for body in GOOD_BODIES:
        world.good(body)


def test_raw_connections_are_refused_or_closed(world: World) -> None:
    """No 5xx, no hang, no second request found inside a first, and the next good event is stored."""
    for sent, allowed in RAW.items():
        received = raw(world.receiver.address, sent)
        statuses = [int(status) for status in STATUS.findall(received)]
        is_right = allowed.issuperset if len(allowed) > 2 else allowed.__eq__
        assert is_right(set(statuses)), (sent[:200], received[:200])
        assert all(status < 500 or status in PARSER_S for status in statuses), (sent[:200], received[:200])
        world.good()


@pytest.mark.parametrize("kind", ENDLESS)
def test_what_never_ends_is_refused_at_the_limit_of_headers(world: World, kind: str) -> None:
    """431 once more of it came than headers may have, wherever it stands."""
    begins, more = ENDLESS[kind]
    received = raw(world.receiver.address, begins + more * (ENOUGH_BYTES // len(more)))
    assert STATUS.findall(received) == [b"431"]


def test_who_never_reads_its_answers_loses_its_connection(world: World) -> None:
    """What was written to it and not read holds memory: for the write time-out, and then no longer."""
    with socket.create_connection(world.receiver.address, 5) as connection, contextlib.suppress(ConnectionError):
        while True:
            connection.sendall(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n" * 1_000)
    world.good()


def test_nothing_that_was_sent_is_reflected(world: World) -> None:
    """No header, path or body comes back, so nothing can be injected through an answer or split it."""
    mark = "Zx9Qmark"
    target = f"/{mark}%0d%0aSet-Cookie:%20a"
    head = f"POST {target} HTTP/1.1\r\nHost: {mark}\r\nX-{mark}: {mark}\r\nConnection: close\r\n"
    for request in (head, head.replace(target, "/v1/events")):
        received = raw(world.receiver.address, f"{request}Content-Length: 10\r\n\r\n{mark}!!".encode())
        assert STATUS.match(received)
        assert mark.encode() not in received
        assert b"Set-Cookie" not in received


METHODS = st.sampled_from(["GET", "POST", "PUT", "HEAD", "OPTIONS"]) | st.from_regex(r"[A-Z]{1,9}", fullmatch=True)
PATHS = st.sampled_from(["/v1/events", "/healthz", "/readyz"]) | st.from_regex(r"/[!-~]{0,30}", fullmatch=True)
NAMES = st.sampled_from(
    ["content-encoding", "content-type", "transfer-encoding", "expect", "x-signature", "authorization"]
) | st.from_regex(r"[A-Za-z0-9-]{1,20}", fullmatch=True)
VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=40)
BODIES = st.binary(max_size=200) | st.sampled_from(NO_JSON + NO_OBJECT + GOOD_BODIES)


@given(
    method=METHODS, path=PATHS, headers=st.dictionaries(NAMES, VALUES, max_size=4), body=BODIES, chunked=st.booleans()
)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_request_at_all_is_answered_5xx(
    world: World, method: str, path: str, headers: dict[str, str], body: bytes, chunked: bool
) -> None:
    """Whatever method, path, headers and body: an answer below 500 in time, or a closed connection."""
    lines = [f"{method} {path} HTTP/1.1", "Host: x", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines.append("Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}")
    framed = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if chunked and body else b"0\r\n\r\n" if chunked else body
    received = raw(world.receiver.address, "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + framed)
    for status in STATUS.findall(received):
        assert int(status) < 500, received[:200]


def request_of(random: Random, number: int) -> tuple[bytes, bytes]:
    """A request's bytes, and its body."""
    body = b'{"number":%d,"x":"%b"}' % (number, b"x" * random.choice([0, 300, 5_000, 70_000]))
    head = POST + b"X-Long: %b\r\n" % (b"x" * random.choice([0, 9_000]))
    if random.random() < 0.2:
        return head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body), body
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body, body


@given(random=st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_of_many_requests_sent_at_once_is_taken_whole_and_answered_in_order(world: World, random: Random) -> None:
    """However they are cut into packets, and whether their sender reads its answers meanwhile or only in the end."""
    requests = [request_of(random, number) for number in range(random.randrange(1, 40))]
    data, most = b"".join(sent for sent, _ in requests), random.choice([500, 5_000, 300_000])
    ids = [expected_id("none", "", 0, body) for _, body in requests]
    with socket.create_connection(world.receiver.address, 5) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        at = 0
        while at < len(data):
            size = random.randrange(1, most)
            connection.sendall(data[at : at + size])
            at += size
        received = b""
        while received.count(b'"ids":[') < len(ids):
            more = connection.recv(65_536)
            assert more, received[-200:]
            received += more
            assert b" 503 " not in received, received
    assert re.findall(rb"[0-9a-f]{32}", received) == [identity.encode() for identity in ids]
    world.accepted += ids
