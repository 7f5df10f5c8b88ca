"""The transport against real sockets: every call ends in one answer, within its time, over a kept and verified line."""

import asyncio
import calendar
import email.utils
import os
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import certifi
import pytest
import trustme

from stream_router.aws import endpoints
from stream_router.aws.credentials import Credentials
from stream_router.aws.endpoints import Target, json_target
from stream_router.aws.loop_transport import LoopTransport
from stream_router.aws.signed_calls import Transport
from stream_router.errors import Answer
from tests.raw_server import RESET, SILENCE, RawServer, Seen, answer

ALLOWED_S = 5.0
"""Slack for a loaded machine: far more than any wait here, far less than a hang."""

CREDENTIALS = Credentials("AKIDEXAMPLE", "secret", None)


def ok(_: Seen) -> bytes:
    return answer(200, b'{"ok":true}')


def target(url: str) -> Target:
    return json_target(url, "events", "AWSEvents.PutEvents", "1.1")


Make = Callable[..., Transport]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[Transport] = []

    def make(credentials: Callable[[], Credentials] = lambda: CREDENTIALS, ca_bundle: str = "") -> Transport:
        made.append(Transport(credentials, "us-east-1", ca_bundle or certifi.where()))
        return made[-1]

    yield make
    for transport in made:
        transport.close()


def call(
    transport: Transport, to: Target, count: int = 1, timeout_s: float = 10.0, body: bytes = b"{}"
) -> list[Answer]:
    """The answers of `count` calls that are in flight together."""
    answers: list[Answer] = []
    for _ in range(count):
        transport.start(to, body, timeout_s, answers.append)
    deadline = time.monotonic() + timeout_s + ALLOWED_S
    while transport.in_flight:
        assert time.monotonic() < deadline, "a call never ended"
        transport.pump(0.05)
    assert len(answers) == count
    return answers


def test_an_answer_is_delivered_whole(make: Make) -> None:
    """Status, body and the headers of a refusal reach the caller; names are lower case."""
    with RawServer(lambda seen: answer(503, seen.body, X_Amzn_RequestId="r", Retry_After="7")) as server:
        found = call(make(), target(server.url), body=b'{"a":"\xc3\xa9"}')[0]
    assert (found.status, found.body, found.error) == (503, b'{"a":"\xc3\xa9"}', "")
    assert found.headers["x-amzn-requestid"] == "r"
    assert found.retry_after_s == 7.0


def test_an_answer_beyond_all_reason_is_no_answer(make: Make) -> None:
    """An endpoint that sends megabytes takes neither memory nor time; the next call is served as ever."""
    bodies = iter([b"x" * 6 * 1024 * 1024, b"{}"])
    with RawServer(lambda _: answer(200, next(bodies))) as server:
        transport = make()
        (first,) = call(transport, target(server.url))
        assert (first.status, first.body != b"{}") == (0, True)
        assert len(first.body) <= 4 * 1024 * 1024
        (second,) = call(transport, target(server.url))
        assert (second.status, second.body) == (200, b"{}")


def test_headers_that_break_their_reader_end_the_call_all_the_same(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong while an answer's headers are read, the call ends in one answer and its place is free."""

    def broken(_: str) -> float:
        raise ZeroDivisionError

    monkeypatch.setattr("stream_router.aws.signed_calls.epoch_of", broken)
    with RawServer(lambda _: answer(403, Date="soon")) as server:
        transport = make()
        found = [call(transport, target(server.url))[0] for _ in range(2)]
        assert server.connections == 1
    assert [(one.status, one.error) for one in found] == [(0, "unreadable headers: ZeroDivisionError")] * 2
    assert transport.in_flight == 0


def test_silence_ends_at_the_deadline(make: Make) -> None:
    """A server that never answers costs the call's own time-out, and is no answer."""
    with RawServer(lambda _: SILENCE) as server:
        started = time.monotonic()
        found = call(make(), target(server.url), timeout_s=0.3)[0]
    assert found.status == 0
    assert "curl 28" in found.error
    assert 0.25 <= time.monotonic() - started < 0.3 + ALLOWED_S


def test_one_silent_call_holds_no_other_back(make: Make) -> None:
    """Calls in flight together end by themselves: the good ones while the silent one still waits."""
    with RawServer(lambda seen: SILENCE if seen.body == b"silent" else answer(200)) as server:
        transport = make()
        answers: list[tuple[str, Answer]] = []
        transport.start(target(server.url), b"silent", 2.0, lambda found: answers.append(("silent", found)))
        for _ in range(3):
            transport.start(target(server.url), b"good", 5.0, lambda found: answers.append(("good", found)))
        deadline = time.monotonic() + ALLOWED_S
        while transport.in_flight and time.monotonic() < deadline:
            transport.pump(0.05)
    assert [name for name, _ in answers] == ["good", "good", "good", "silent"]
    assert [found.status for _, found in answers] == [200, 200, 200, 0]


def test_a_refused_connection_is_no_answer(make: Make) -> None:
    """Where nothing listens the call ends at once."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        found = call(make(), target(f"http://127.0.0.1:{unused.getsockname()[1]}"))[0]
    assert found.status == 0
    assert "curl 7" in found.error


def test_a_reset_is_no_answer_and_the_next_call_is_served(make: Make) -> None:
    """A connection that broke is not used again."""
    replies = iter([RESET, answer(200)])
    with RawServer(lambda _: next(replies)) as server:
        transport = make()
        broken, good = call(transport, target(server.url))[0], call(transport, target(server.url))[0]
    assert (broken.status, good.status) == (0, 200)


def test_an_answer_cut_short_is_no_answer(make: Make) -> None:
    """A body shorter than its Content-Length is never taken for whole."""
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"
    with RawServer(lambda _: cut) as server:
        found = call(make(), target(server.url), timeout_s=0.5)[0]
    assert found.status == 0


def test_connections_are_kept(make: Make) -> None:
    """Fifty calls one after another use one connection; four at once use four and no more."""
    with RawServer(ok) as server:
        transport = make()
        for _ in range(50):
            call(transport, target(server.url))
        assert {seen.connection for seen in server.requests} == {1}
        for _ in range(10):
            call(transport, target(server.url), count=4)
        assert server.connections <= 4
        assert len(server.requests) == 90


def test_many_calls_each_get_their_own_answer(make: Make) -> None:
    """Answers are not mixed up between calls in flight together."""
    with RawServer(lambda seen: answer(200, seen.body)) as server:
        transport = make()
        found: dict[bytes, bytes] = {}
        for n in range(200):
            body = str(n).encode() * 500

            def keep(got: Answer, body: bytes = body) -> None:
                found[body] = got.body

            transport.start(target(server.url), body, 10, keep)
        deadline = time.monotonic() + 10 + ALLOWED_S
        while transport.in_flight and time.monotonic() < deadline:
            transport.pump(0.05)
    assert len(found) == 200
    assert all(sent == got for sent, got in found.items())


def test_pump_waits_for_others_where_nothing_is_in_flight(make: Make) -> None:
    """Without a wait it returns at once; with one it returns as soon as one of `others` can be read, and names it."""
    started = time.monotonic()
    read, write = os.pipe()
    transport = make()
    assert list(transport.pump(0.0, (read,))) == []
    os.write(write, b"x")
    assert list(transport.pump(5.0, (read,))) == [read]
    assert time.monotonic() - started < 4.0
    os.close(read)
    os.close(write)


def test_a_wrong_clock_is_corrected_from_the_answers_date(make: Make) -> None:
    """After a refusal whose Date is an hour off the next call is signed with the service's time, and undone later."""
    now = [time.time() - 3600]

    def reply(_: Seen) -> bytes:
        return answer(400, b'{"__type":"InvalidSignatureException"}', Date=email.utils.formatdate(now[0], usegmt=True))

    with RawServer(reply) as server:
        transport = make()
        call(transport, target(server.url))
        assert -3630 < transport.skew_s < -3570
        now[0] = time.time()
        call(transport, target(server.url))
        assert transport.skew_s == 0.0
        call(transport, target(server.url))
    stamps = [seen.headers["x-amz-date"] for seen in server.requests]
    off_s = [calendar.timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ")) - time.time() for stamp in stamps]
    assert -3630 < off_s[1] < -3570
    assert -30 < off_s[2] < 30


def test_a_small_difference_is_left_alone(make: Make) -> None:
    """A few seconds off are within what AWS takes."""
    date = email.utils.formatdate(time.time() - 10, usegmt=True)
    with RawServer(lambda _: answer(403, Date=date)) as server:
        transport = make()
        call(transport, target(server.url))
    assert transport.skew_s == 0.0


def test_new_credentials_sign_the_next_call(make: Make) -> None:
    """A handle that is used again takes the credentials that hold now, and drops a session token that is gone."""
    current = [Credentials("FIRST", "a", "token-1"), Credentials("SECOND", "b", None)]
    with RawServer(ok) as server:
        transport = make(lambda: current[0])
        call(transport, target(server.url))
        current.pop(0)
        call(transport, target(server.url))
    first, second = (seen.headers for seen in server.requests)
    assert "Credential=FIRST/" in first["authorization"]
    assert first["x-amz-security-token"] == "token-1"
    assert "Credential=SECOND/" in second["authorization"]
    assert "x-amz-security-token" not in second


def test_a_path_belongs_to_its_call_alone(make: Make) -> None:
    """A path given with one call does not stick to the pooled handle's next one."""
    with RawServer(ok) as server:
        transport = make()
        transport.start(target(server.url), b"", 2.0, lambda _: None, "an/object")
        while transport.in_flight:
            transport.pump(0.05)
        call(transport, target(server.url))
    assert [seen.line for seen in server.requests] == ["POST /an/object HTTP/1.1", "POST / HTTP/1.1"]


def test_closing_abandons_what_is_in_flight(make: Make) -> None:
    """After close no answer is delivered any more."""
    delivered: list[Answer] = []
    with RawServer(lambda _: SILENCE) as server:
        transport = Transport(lambda: CREDENTIALS, "us-east-1", certifi.where())
        transport.start(target(server.url), b"", 5.0, delivered.append)
        transport.pump(0.01)
        transport.close()
    assert delivered == []


def test_no_error_text_holds_the_body_or_the_secret(make: Make) -> None:
    """What a failed call says of itself quotes neither payload nor secret."""
    with RawServer(lambda _: RESET) as server:
        found = call(make(), target(server.url), body=b'{"ssn":"078-05-1120"}')[0]
    assert "078-05" not in repr(found)
    assert "secret" not in repr(found)
    assert "secret" not in repr(CREDENTIALS)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path, Path]:
    """A TLS server context with a self-made CA, that CA's bundle, and the bundle of another CA."""
    folder = tmp_path_factory.mktemp("ca")
    ours, other = trustme.CA(), trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.issue_cert("127.0.0.1").configure_cert(context)
    ours.cert_pem.write_to_path(str(folder / "ours.pem"))
    other.cert_pem.write_to_path(str(folder / "other.pem"))
    return context, folder / "ours.pem", folder / "other.pem"


def test_tls_is_verified_with_the_bundle_of_the_environment(
    make: Make, authority: tuple[ssl.SSLContext, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With AWS_CA_BUNDLE naming the CA the call is served; a second call keeps the connection."""
    context, ours, _ = authority
    monkeypatch.setenv("AWS_CA_BUNDLE", str(ours))
    with RawServer(ok, context) as server:
        transport = make(ca_bundle=endpoints.ca_bundle(endpoints.session("us-east-1")))
        assert [call(transport, target(server.url))[0].status for _ in range(2)] == [200, 200]
        assert server.connections == 1


@pytest.mark.parametrize("bundle", ["another CA", "the public CAs"])
def test_tls_refuses_a_certificate_of_another_ca(
    make: Make, authority: tuple[ssl.SSLContext, Path, Path], bundle: str
) -> None:
    """A server that our bundle does not vouch for gets no request."""
    context, _, other = authority
    with RawServer(ok, context) as server:
        found = call(make(ca_bundle=str(other) if bundle == "another CA" else certifi.where()), target(server.url))[0]
        assert found.status == 0
        assert "curl 60" in found.error
        assert server.requests == []


def test_tls_refuses_a_certificate_for_another_host(make: Make, tmp_path: Path) -> None:
    """The right CA is not enough: the name has to fit."""
    ca, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("events.example.com").configure_cert(context)
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with RawServer(ok, context) as server:
        found = call(make(ca_bundle=str(tmp_path / "ca.pem")), target(server.url))[0]
        assert "curl 60" in found.error
        assert server.requests == []


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        (400, "ExpiredTokenException", 1),
        (403, "UnrecognizedClientException", 1),
        (403, "AccessDeniedException", 0),
        (400, "ValidationException", 0),
        (500, "ExpiredTokenException", 0),
    ],
)
def test_that_credentials_are_refused_is_told(make: Make, status: int, code: str, told: int) -> None:
    """So that they are looked up anew; what is refused for another reason makes nobody doubt them."""
    refused: list[bool] = []
    with RawServer(lambda _: answer(status, b'{"__type":"%b"}' % code.encode())) as server:
        transport = make()
        transport.credentials_refused = lambda: refused.append(True)
        assert call(transport, target(server.url))[0].status == status
    assert len(refused) == told


def test_a_call_that_ended_holds_its_body_no_longer(make: Make) -> None:
    """Else each handle that is kept for the next call keeps megabytes that nobody counts."""
    body = bytes(100_000)
    held = sys.getrefcount(body)
    with RawServer(lambda _: answer(200)) as server:
        assert [one.status for one in call(make(), target(server.url), 3, body=body)] == [200] * 3
    assert sys.getrefcount(body) == held


def test_without_a_setting_the_bundle_is_botocores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where AWS_CA_BUNDLE is not set the bundle exists and is the one that botocore would use."""
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    assert Path(endpoints.ca_bundle(endpoints.session("us-east-1"))).is_file()


def test_on_a_loop_many_calls_are_awaited_together() -> None:
    """LoopTransport serves gathered calls, ends a silent one at its deadline, and leaves nothing on the loop."""

    async def run(url: str) -> list[Answer]:
        transport = LoopTransport(asyncio.get_running_loop(), lambda: CREDENTIALS, "us-east-1", certifi.where())
        try:
            calls = [transport.call(target(url), str(n).encode(), 5.0) for n in range(40)]
            return await asyncio.gather(*calls, transport.call(target(url), b"silent", 0.3))
        finally:
            transport.close()

    with RawServer(lambda seen: SILENCE if seen.body == b"silent" else answer(200, seen.body)) as server:
        found = asyncio.run(run(server.url))
    assert [got.body for got in found[:-1]] == [str(n).encode() for n in range(40)]
    assert found[-1].status == 0


def test_on_a_loop_a_cancelled_wait_leaves_the_transport_usable() -> None:
    """The caller may stop waiting; the call ends by itself and the next one is served."""

    async def run(url: str) -> int:
        transport = LoopTransport(asyncio.get_running_loop(), lambda: CREDENTIALS, "us-east-1", certifi.where())
        try:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(transport.call(target(url), b"silent", 5.0), 0.1)
            return (await transport.call(target(url), b"good", 5.0)).status
        finally:
            transport.close()

    with RawServer(lambda seen: SILENCE if seen.body == b"silent" else answer(200)) as server:
        assert asyncio.run(run(server.url)) == 200
