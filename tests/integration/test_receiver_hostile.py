"""Broken and hostile input, interleaved with good events: never a 5xx, never a good event lost, nothing reflected."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import receiver_corpus as corpus
from tests.constants import BODY_S, HEAD_S, with_constants
from tests.fakeaws.process import FakeAwsProcess
from tests.receiver_kit import ReceiverProcess, event, raw, receiver, stored_ids

STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
PARSER_S = {501, 505}


class World:
    """A receiver without a check of the sender in front of a fake AWS, and the good events sent so far."""

    def __init__(self, fake_aws: FakeAwsProcess, running: ReceiverProcess) -> None:
        self.fake_aws = fake_aws
        self.receiver = running
        # Each request on a connection of its own: a kept one is closed after 0.3 s, perhaps just when it is used again.
        self.client = httpx.Client(base_url=running.url, timeout=5, headers={"Connection": "close"})
        self.accepted: list[str] = []

    def good(self) -> None:
        """A good event, which must be accepted whatever came before it."""
        answer = self.client.post("/v1/events", content=event(len(self.accepted)))
        assert answer.status_code == 202, answer.text
        self.accepted += answer.json()["ids"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("hostile")
    with (
        FakeAwsProcess(folder / "ledger", None, 0, "--payloads") as fake_aws,
        receiver(fake_aws.url, folder, **with_constants({HEAD_S: 0.5, BODY_S: 0.5})) as running,
    ):
        made = World(fake_aws, running)
        yield made
        made.client.close()
        check_whole(made, folder)


def check_whole(world: World, folder: Path) -> None:
    """At the end: every good event is there once, nothing smuggled is, the receiver is well and wrote no payload."""
    assert world.receiver.stop() == 0
    lines = world.fake_aws.lines("PutRecords")
    ids = stored_ids(lines)
    assert set(world.accepted) <= set(ids)
    assert corpus.SMUGGLED.decode() not in "".join(str(line) for line in lines if "payload" in line)
    log = world.receiver.log.read_text()
    assert "Traceback" not in log
    assert "unforeseen" not in log


def test_bad_bodies_are_400_and_good_events_pass_between_them(world: World) -> None:
    """Each bad body is answered 400 with a code of the contract, and the next good event is stored."""
    for body in corpus.BAD_BODIES:
        answer = world.client.post("/v1/events", content=body)
        assert answer.status_code == 400, (body[:50], answer.text)
        assert answer.json()["error"] in ("malformed_json", "not_an_object")
        assert set(answer.json()) == {"error", "message"}
        world.good()


def test_strange_but_valid_bodies_are_accepted(world: World) -> None:
    """A 4xx is final for a sender, so what is JSON is the consumer's to judge."""
    for body in corpus.GOOD_BODIES:
        answer = world.client.post("/v1/events", content=body)
        assert answer.status_code == 202, (body[:50], answer.text)
        world.accepted += answer.json()["ids"]


def test_raw_connections_are_refused_or_closed(world: World) -> None:
    """No 5xx, no hang, no second request found inside a first, and the next good event is stored."""
    for name, sent, allowed in corpus.RAW:
        received = raw(world.receiver.address, sent)
        statuses = [int(status) for status in STATUS.findall(received)]
        assert set(statuses) <= allowed, (name, received[:200])
        assert all(status < 500 or status in PARSER_S for status in statuses), (name, received[:200])
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


METHODS = st.one_of(
    st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"]),
    st.from_regex(r"[A-Z]{1,9}", fullmatch=True),
)
PATHS = st.one_of(
    st.sampled_from(["/v1/events", "/healthz", "/readyz", "/", "/metrics"]),
    st.from_regex(r"/[!-~]{0,30}", fullmatch=True),
)
NAMES = st.one_of(
    st.sampled_from(
        ["content-encoding", "content-type", "transfer-encoding", "expect", "x-signature", "authorization"]
    ),
    st.from_regex(r"[A-Za-z0-9-]{1,20}", fullmatch=True),
)
VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=40)
BODIES = st.one_of(
    st.binary(max_size=200),
    st.sampled_from(corpus.BAD_BODIES + corpus.GOOD_BODIES),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
    .map(repr)
    .map(lambda text: text.encode("utf-8", "replace")),
)


@given(
    method=METHODS, path=PATHS, headers=st.dictionaries(NAMES, VALUES, max_size=4), body=BODIES, chunked=st.booleans()
)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
