"""The transport against real sockets: a call is sent once and ends in one answer, in time, over a verified line."""

import asyncio
import calendar
import email.utils
import os
import select
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, Self

import certifi
import pytest
import trustme

from stream_router.aws import endpoints
from stream_router.aws.credentials import Credentials
from stream_router.aws.endpoints import CallEndpoint, build_json_endpoint
from stream_router.aws.loop_transport import LoopTransport
from stream_router.aws.signed_calls import SignedCalls, Transport
from stream_router.aws_answers import Answer
from tests.compiler import needs_a_compiler
from tests.fault.chaos_run.clock import COMPILER
from tests.raw_server import RESET, SILENCE, RawServer, Seen, answer

ALLOWED_S = 5.0
"""Slack for a loaded machine: far more than any wait here, far less than a hang."""

CREDENTIALS = Credentials("AKIDEXAMPLE", "secret", None)
UNUSABLE = Credentials("AKIDEXAMPLE", "sécret", None)
"""libcurl is given text, and pycurl takes ASCII only."""

OPERATIONS = {
    "PutEvents": ("events", "AWSEvents.PutEvents", "1.1"),
    "PutRecords": ("kinesis", "Kinesis_20131202.PutRecords", "1.1"),
    "SendMessageBatch": ("sqs", "AmazonSQS.SendMessageBatch", "1.0"),
}


def target(url: str, operation: str = "PutEvents") -> CallEndpoint:
    return build_json_endpoint(url, *OPERATIONS[operation])


class Calls:
    """A transport, and how its calls move on: pumped, as a child does it, or on a loop, as the receiver does."""

    def __init__(self, on_loop: bool, credentials: Callable[[], Credentials], ca_bundle: str) -> None:
        self._loop = asyncio.new_event_loop() if on_loop else None
        self.transport: SignedCalls
        if self._loop:
            self.transport = LoopTransport(self._loop, credentials, "us-east-1", ca_bundle)
        else:
            self.transport = Transport(credentials, "us-east-1", ca_bundle)

    def __call__(self, to: CallEndpoint, *bodies: bytes, timeout_s: float = 10.0) -> list[Answer]:
        """The answers of calls that are in flight together, as they came."""
        answers: list[Answer] = []
        for body in bodies or (b"{}",):
            self.transport.start(to, body, timeout_s, answers.append)
        assert answers == []  # later, as every answer is
        self.finish(timeout_s)
        assert len(answers) == len(bodies or (b"{}",))
        return answers

    def finish(self, timeout_s: float) -> None:
        """Move on until nothing is in flight."""
        deadline = time.monotonic() + timeout_s + ALLOWED_S
        while self.transport.in_flight:
            assert time.monotonic() < deadline, "a call never ended"
            if self._loop:
                self._loop.run_until_complete(asyncio.sleep(0.01))
            elif isinstance(self.transport, Transport):
                self.transport.pump(0.05)

    def close(self) -> None:
        self.transport.close()
        if self._loop:
            self._loop.close()


class Make(Protocol):
    def __call__(self, credentials: Callable[[], Credentials] = ..., ca_bundle: str = ...) -> Calls: ...


@pytest.fixture(params=["pumped", "on a loop"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    result: list[Calls] = []

    def make(credentials: Callable[[], Credentials] = lambda: CREDENTIALS, ca_bundle: str = "") -> Calls:
        result.append(Calls(request.param == "on a loop", credentials, ca_bundle or certifi.where()))
        return result[-1]

    yield make
    for calls in result:
        calls.close()


@pytest.fixture
def pumped() -> Iterator[Transport]:
    transport = Transport(lambda: CREDENTIALS, "us-east-1", certifi.where())
    yield transport
    transport.close()


pump_alone = pytest.mark.parametrize("make", ["pumped"], indirect=True)


# --- one answer for each call


def test_calls_in_flight_together_each_get_their_own_answer(make: Make) -> None:
    """Whole, and as it comes: one to which the server is silent holds no other back, and ends at its deadline."""
    with RawServer(lambda seen: SILENCE if seen.body == b"silent" else answer(200, seen.body)) as server:
        calls, bodies = make(), [str(n).encode() * 500 for n in range(100)]
        result = calls(target(server.url), b"silent", *bodies, timeout_s=3.0)
    assert sorted(item.body for item in result[:-1]) == sorted(bodies)
    assert (result[-1].status, "curl 28" in result[-1].error) == (0, True)
    assert [item.timed_out for item in result] == [False] * 100 + [True]


def test_an_answer_is_delivered_whole(make: Make) -> None:
    """Status, body and the headers of a refusal reach the caller; names are lower case."""
    with RawServer(lambda seen: answer(503, seen.body, X_Amzn_RequestId="r", Retry_After="7")) as server:
        (result,) = make()(target(server.url), b'{"a":"\xc3\xa9"}')
    assert (result.status, result.body, result.error) == (503, b'{"a":"\xc3\xa9"}', "")
    assert result.headers["x-amzn-requestid"] == "r"
    assert result.retry_after_s == 7.0


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (SILENCE, "curl 28"),
        (RESET, "curl 56"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{", "curl 28"),
        (answer(200, b"x" * 6 * 1024 * 1024), "curl 23"),
        (answer(403, Date="soon"), "unreadable headers: ZeroDivisionError"),
    ],
    ids=["silence", "reset", "cut short", "megabytes", "unreadable"],
)
def test_a_call_in_trouble_ends_in_one_answer_and_the_next_is_served(
    make: Make, monkeypatch: pytest.MonkeyPatch, reply: bytes, error: str
) -> None:
    """Nothing of it counts, whatever came of an answer; no text holds the body or the secret."""

    def broken(_: str) -> float:
        raise ZeroDivisionError

    monkeypatch.setattr("stream_router.aws.signed_calls.parse_http_date", broken)
    replies = iter([reply, answer(200)])
    with RawServer(lambda _: next(replies)) as server:
        calls, began_s = make(), time.monotonic()
        (result,) = calls(target(server.url), b'{"ssn":"078-05-1120"}', timeout_s=0.5)
        assert time.monotonic() - began_s < 0.5 + ALLOWED_S
        assert (result.status, result.error.partition(": ")[0] in error) == (0, True)
        assert len(result.body) <= 4 * 1024 * 1024
        assert not [word for word in ("078-05", "secret") if word in repr(result) + repr(CREDENTIALS)]
        assert [call.status for call in calls(target(server.url))] == [200]


def test_a_refused_connection_and_a_call_that_cannot_be_begun_end_in_an_answer_too(make: Make) -> None:
    """Else whoever counts it as under way waits for ever, and in the end has no place for another one."""
    held = [CREDENTIALS, UNUSABLE, CREDENTIALS]
    calls = make(lambda: held.pop(0))
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        (refused,) = calls(target(f"http://127.0.0.1:{unused.getsockname()[1]}"))
    assert (refused.status, "curl 7" in refused.error, refused.timed_out) == (0, True, False)
    with RawServer(lambda _: answer(200)) as server:
        (unbegun,) = calls(target(server.url))
        assert (unbegun.status, "cret" in unbegun.error) == (0, False)
        assert [call.status for call in calls(target(server.url))] == [200]


def test_closing_abandons_what_is_in_flight(pumped: Transport) -> None:
    """After close no answer is delivered any more."""
    delivered: list[Answer] = []
    with RawServer(lambda _: SILENCE) as server:
        pumped.start(target(server.url), b"", 5.0, delivered.append)
        pumped.pump(0.01)
        pumped.close()
    assert delivered == []


@pump_alone
def test_a_call_that_ended_holds_its_body_no_longer(make: Make) -> None:
    """Else each handle that is kept for the next call keeps megabytes that nobody counts."""
    body = bytes(100_000)
    held = sys.getrefcount(body)
    with RawServer(lambda _: answer(200)) as server:
        assert [item.status for item in make()(target(server.url), body, body, body)] == [200] * 3
    assert sys.getrefcount(body) == held


def test_pump_waits_for_others_where_nothing_is_in_flight(pumped: Transport) -> None:
    """Without a wait it returns at once; with one it returns as soon as one of `others` can be read, and names it."""
    started = time.monotonic()
    read, write = os.pipe()
    assert list(pumped.pump(0.0, (read,))) == []
    os.write(write, b"x")
    assert list(pumped.pump(5.0, (read,))) == [read]
    assert time.monotonic() - started < 4.0
    os.close(read)
    os.close(write)


class FailingLoop:
    """A loop one of whose methods fails once when it is told to."""

    def __init__(self, loop: asyncio.AbstractEventLoop, method: str) -> None:
        self._loop = loop
        self._method = method
        self.fails = True

    def __getattr__(self, name: str) -> Any:
        if self.fails and name == self._method:
            self.fails = False
            return self._fail
        return getattr(self._loop, name)

    @staticmethod
    def _fail(*_: object) -> None:
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("method", ["add_reader", "add_writer", "call_later"])
def test_a_loop_that_fails_once_costs_the_calls_of_that_moment_alone(method: str) -> None:
    """The kernel has no memory to watch one socket more, say: those calls have no answer, the next ones are served.

    So it is where a caller stops waiting.
    """

    async def run(url: str) -> tuple[list[Answer], list[Answer]]:
        loop: Any = FailingLoop(asyncio.get_running_loop(), method)
        transport = LoopTransport(loop, lambda: CREDENTIALS, "us-east-1", certifi.where())

        async def calls(timeout_s: float) -> list[Answer]:
            result = (transport.call(target(url), b"{}", timeout_s) for _ in range(8))
            return await asyncio.wait_for(asyncio.gather(*result), timeout_s + ALLOWED_S)

        try:
            then = await calls(0.5)
            assert not loop.fails
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(transport.call(target(url), b"silent", 5.0), 0.1)
            return then, await calls(ALLOWED_S)
        finally:
            transport.close()

    with RawServer(lambda seen: SILENCE if seen.body == b"silent" else answer(200)) as server:
        then, next_ones = asyncio.run(run(server.url))
    assert len(then) == 8
    assert [item.status for item in next_ones] == [200] * 8


# --- sent once, over kept connections


@pump_alone
def test_connections_are_kept(make: Make) -> None:
    """Fifty calls one after another use one connection; four at once use four and no more."""
    with RawServer(lambda _: answer(200)) as server:
        calls = make()
        for _ in range(50):
            calls(target(server.url))
        assert {seen.connection for seen in server.requests} == {1}
        for _ in range(10):
            calls(target(server.url), *[b"{}"] * 4)
        assert server.connections <= 4
        assert len(server.requests) == 90


def test_a_connection_that_never_opens_is_no_time_out_of_a_request(make: Make) -> None:
    """Nothing was sent, so nothing can come twice."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        (result,) = make()(target(f"http://127.0.0.1:{full.getsockname()[1]}"), timeout_s=0.5)
        for filler in fillers:
            filler.close()
    assert (result.status, "curl 28" in result.error, result.timed_out) == (0, True, False)


class KeptThenReset:
    """Serves the first request of each connection, and resets the connection once the second has been read."""

    def __init__(self) -> None:
        self._served: set[int] = set()

    def __call__(self, seen: Seen) -> bytes:
        if seen.connection in self._served:
            return RESET
        self._served.add(seen.connection)
        return answer(200)


@pytest.mark.parametrize("operation", [*OPERATIONS, "PutEvents over TLS"])
def test_a_kept_connection_that_is_reset_costs_its_call_and_sends_nothing_again(
    make: Make, authority: "Authority", operation: str
) -> None:
    """Twenty calls, every second one on a connection that breaks under it: the server saw twenty requests."""
    name, _, tls = operation.partition(" over ")
    with RawServer(KeptThenReset(), authority.context if tls else None) as server:
        calls, to = make(ca_bundle=str(authority.bundle)), target(server.url, name)
        bodies = [str(n).encode() for n in range(20)]
        result = [calls(to, body)[0] for body in bodies]
        assert [seen.body for seen in server.requests] == bodies
    assert [item.status for item in result] == [200, 0] * 10
    assert {item.error for item in result if not item.status} == {"the kept connection broke; sent once, unanswered"}


def test_several_calls_under_way_count_the_same_way(make: Make) -> None:
    """Eight at once, and eight more on the connections of the first."""
    with RawServer(KeptThenReset()) as server:
        calls = make()
        result = [calls(target(server.url), *[b"{}"] * 8) for _ in range(2)]
        assert len(server.requests) == 16
    assert [{item.status for item in eight} for eight in result] == [{200}, {0}]


class OneAtATime:
    """Takes connections one after another on a thread, while it is a context; `serve` gets each and its number."""

    def __init__(self, serve: Callable[[socket.socket, int], None]) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._serve = serve
        self.requests: list[bytes] = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(ALLOWED_S)

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self.requests.append(self._request(connection))
                self._serve(connection, len(self.requests))

    @staticmethod
    def _request(connection: socket.socket) -> bytes:
        """One request whose body is `{}`, or less where the other side closes before."""
        got = b""
        while not got.endswith(b"\r\n\r\n{}") and (more := connection.recv(65536)):
            got += more
        return got


def test_a_reset_before_the_request_was_read_ends_the_call_too(make: Make) -> None:
    """Nobody can tell whether it was read: no answer, nothing sent again, and the engine decides what to do."""

    def serve(connection: socket.socket, number: int) -> None:
        if number == 1:
            connection.sendall(answer(200))
            select.select([connection], [], [], ALLOWED_S)  # the second request is there, and is not read
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with OneAtATime(serve) as server:
        calls = make()
        result = [calls(target(server.url))[0] for _ in range(2)]
    assert [item.status for item in result] == [200, 0]
    assert [len(request) > 0 for request in server.requests] in ([True], [True, False])


@pump_alone
def test_a_kept_connection_that_was_closed_while_idle_is_not_used(make: Make) -> None:
    """It is known to be closed before anything is sent: the call goes over a fresh one, once, and is answered."""
    closed = threading.Event()

    def serve(connection: socket.socket, _number: int) -> None:
        connection.sendall(answer(200))
        connection.close()
        closed.set()

    with OneAtATime(serve) as server:
        calls = make()
        assert calls(target(server.url))[0].status == 200
        assert closed.wait(ALLOWED_S)
        time.sleep(1.1)  # libcurl looks whether a connection still lives once it was idle for a second
        assert calls(target(server.url))[0].status == 200
        assert len(server.requests) == 2


# --- signed with what holds now


@pump_alone
@pytest.mark.parametrize(("off_s", "counts"), [(-3600, True), (-10, False)])
def test_a_wrong_clock_is_corrected_from_the_answers_date(make: Make, off_s: float, counts: bool) -> None:
    """After a refusal whose Date is an hour off the next call has the service's time; seconds off AWS takes."""
    now = [time.time() + off_s]

    def reply(_: Seen) -> bytes:
        return answer(400, b'{"__type":"InvalidSignatureException"}', Date=email.utils.formatdate(now[0], usegmt=True))

    with RawServer(reply) as server:
        calls = make()
        calls(target(server.url))
        assert abs(calls.transport.skew_s - (off_s if counts else 0)) < 30
        now[0] = time.time()
        calls(target(server.url))
        assert calls.transport.skew_s == 0.0
        calls(target(server.url))
    stamps = [seen.headers["x-amz-date"] for seen in server.requests]
    signed_s = [calendar.timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ")) - time.time() for stamp in stamps]
    assert abs(signed_s[1] - (off_s if counts else 0)) < 30
    assert abs(signed_s[2]) < 30


@pump_alone
def test_a_handle_that_is_used_again_keeps_nothing_of_its_last_call(make: Make) -> None:
    """It takes the credentials that hold now, and drops a session token that is gone, and another call's path."""
    current = [Credentials("FIRST", "a", "token-1"), Credentials("SECOND", "b", None)]
    with RawServer(lambda _: answer(200)) as server:
        calls = make(lambda: current[0])
        calls.transport.start(target(server.url), b"", 2.0, lambda _: None, "an/object")
        calls.finish(2.0)
        current.pop(0)
        calls(target(server.url))
        assert server.connections == 1
    first, second = server.requests
    assert "Credential=FIRST/" in first.headers["authorization"]
    assert (first.line, first.headers["x-amz-security-token"]) == ("POST /an/object HTTP/1.1", "token-1")
    assert "Credential=SECOND/" in second.headers["authorization"]
    assert (second.line, "x-amz-security-token" in second.headers) == ("POST / HTTP/1.1", False)


@pump_alone
@pytest.mark.parametrize(
    ("status", "code", "reports"),
    [
        (400, "ExpiredTokenException", 1),
        (403, "UnrecognizedClientException", 1),
        (403, "AccessDeniedException", 0),
        (400, "ValidationException", 0),
        (500, "ExpiredTokenException", 0),
    ],
)
def test_that_credentials_are_refused_is_told(make: Make, status: int, code: str, reports: int) -> None:
    """So that they are looked up anew; what is refused for another reason makes nobody doubt them."""
    refused: list[bool] = []
    with RawServer(lambda _: answer(status, b'{"__type":"%b"}' % code.encode())) as server:
        calls = make()
        calls.transport.on_credentials_refused = lambda: refused.append(True)
        assert calls(target(server.url))[0].status == status
    assert len(refused) == reports


# --- verified


class Authority:
    """A TLS server context of a CA of our own, and that CA's bundle."""

    def __init__(self, folder: Path, host: str) -> None:
        ca, self.context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert(host).configure_cert(self.context)
        self.bundle = folder / f"{host}.pem"
        ca.cert_pem.write_to_path(str(self.bundle))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"), "127.0.0.1")


def test_tls_is_verified_with_the_bundle_of_the_environment(
    make: Make, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With AWS_CA_BUNDLE naming the CA calls are served, over one connection; without it botocore's counts."""
    session = endpoints.create_session("us-east-1")
    for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    assert Path(endpoints.find_ca_bundle(session)).is_file()
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.bundle))
    with RawServer(lambda _: answer(200), authority.context) as server:
        calls = make(ca_bundle=endpoints.find_ca_bundle(endpoints.create_session("us-east-1")))
        assert [calls(target(server.url))[0].status for _ in range(2)] == [200, 200]
        assert server.connections == 1


@pytest.mark.parametrize("wrong", ["another CA", "the public CAs", "another host"])
def test_tls_refuses_a_certificate_that_does_not_fit(
    make: Make, authority: Authority, tmp_path: Path, wrong: str
) -> None:
    """A server that our bundle does not vouch for, or whose name is another, gets no request."""
    other = Authority(tmp_path, "events.example.com")
    context = other.context if wrong == "another host" else authority.context
    with RawServer(lambda _: answer(200), context) as server:
        (result,) = make(ca_bundle=certifi.where() if "public" in wrong else str(other.bundle))(target(server.url))
        assert (result.status, "curl 60" in result.error, server.requests) == (0, True, [])


# --- names

NAME_SERVER = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    real = dlsym(RTLD_NEXT, "getaddrinfo");
    if (!node || strcmp(node, "kinesis.test")) return real(node, service, hints, found);
    fputs("asked for kinesis.test\\n", stderr);
    sleep(atoi(getenv("NAME_SERVER_SLEEPS_S")));
    if (access(getenv("NAME_SERVER_IS_BACK"), F_OK)) return EAI_NONAME;
    return real("127.0.0.1", service, hints, found);
}
"""
CALLS = """
import sys, time
from pathlib import Path
import certifi
from stream_router.aws.credentials import Credentials
from stream_router.aws.endpoints import build_json_endpoint
from stream_router.aws.signed_calls import Transport

transport = Transport(lambda: Credentials("A", "secret", None), "us-east-1", certifi.where())
began_s, told = time.monotonic(), []
while not told or told[-1].status != 200:
    assert time.monotonic() - began_s < 20, told[-1]
    transport.start(build_json_endpoint(sys.argv[1], "kinesis", "x", "1.1"), b"{}", 5.0, told.append)
    while transport.in_flight:
        transport.pump(0.05)
    Path(sys.argv[2]).touch()
    time.sleep(0.1)
assert "not resolve" in told[0].error, told[0]
"""
CALL_AND_STOP = """
import asyncio, sys
import certifi
from stream_router.aws.credentials import Credentials
from stream_router.aws.endpoints import build_json_endpoint
from stream_router.aws.loop_transport import LoopTransport

async def run():
    transport = LoopTransport(asyncio.get_running_loop(), lambda: Credentials("A", "s", None), "x", certifi.where())
    print((await transport.call(build_json_endpoint(sys.argv[1], "kinesis", "x", "1.1"), b"{}", 0.5)).error)
    transport.close()

asyncio.run(run())
"""


def with_name_server(folder: Path, code: str, *arguments: str, sleeps_s: int = 0) -> "subprocess.CompletedProcess[str]":
    """Runs Python where the name server knows `kinesis.test` once there is a file `back`, and answers after a while."""
    (folder / "name_server.c").write_text(NAME_SERVER)
    library = folder / "name_server.so"
    subprocess.run([COMPILER, "-shared", "-fPIC", "-o", library, folder / "name_server.c", "-ldl"], check=True)
    variables = {"NAME_SERVER_IS_BACK": str(folder / "back"), "NAME_SERVER_SLEEPS_S": str(sleeps_s)}
    around = {**os.environ, "LD_PRELOAD": str(library), **variables}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env=around, capture_output=True, text=True, timeout=45, check=False)


@needs_a_compiler
def test_a_name_server_that_knew_no_host_for_a_moment_is_asked_again(tmp_path: Path) -> None:
    """libcurl would believe it for half a minute: as long no event would be stored, though all is well again."""
    with RawServer(lambda _: answer(200)) as server:
        ended = with_name_server(tmp_path, CALLS, f"http://kinesis.test:{server.port}/", str(tmp_path / "back"))
    assert ended.returncode == 0, ended.stderr


@needs_a_compiler
def test_a_stop_does_not_wait_for_a_name_server(tmp_path: Path) -> None:
    """It may take a minute to give up, for each of the domains that are searched; a stop has ten seconds in all."""
    ended = with_name_server(tmp_path, CALL_AND_STOP, "http://kinesis.test:1/", sleeps_s=90)  # killed after 45 s
    assert ended.returncode == 0, ended.stderr
    assert "asked for kinesis.test" in ended.stderr
    assert "time" in ended.stdout  # libcurl has two sentences for it; which one comes is chance
