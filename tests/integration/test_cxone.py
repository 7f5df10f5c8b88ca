"""The CXone client against a local server that behaves as NICE documents (docs/facts.md, "CXone")."""

import base64
import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
import trustme

from stream_router.cxone import commands, discovery
from stream_router.cxone.oauth import TokenSource
from stream_router.cxone.web import Clock, CxoneError, Web, check_url, open_client, retry_after_s
from stream_router.errors import SettingsError
from stream_router.settings.operators import Cxone
from stream_router.settings.reading import load
from tests.raw_server import RESET, RawServer, Seen, answer

CANARY = "s3cr3t-c4n4ry"
NOW = 1_795_000_000.0


class FakeTime:
    """A clock that sleeps by moving on, and notes how long."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def clock(self, random: float = 0.5) -> Clock:
        return Clock(lambda: self.now, lambda: NOW + self.now, self.sleep, lambda: random)


def jwt(**claims: object) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{body}.c2ln"


def token_answer(more: dict[str, object]) -> bytes:
    return answer(200, json.dumps({"access_token": "tok", "token_type": "Bearer", "expires_in": 3600, **more}).encode())


class FakeCxone:
    """Token endpoint and both discovery documents; `replies` go first, one a token call."""

    def __init__(self) -> None:
        self.replies: list[bytes] = []
        self.token: dict[str, object] = {"id_token": jwt(tenantId="t-1"), "scope": "integration:read webhook:read"}
        self.api_path = "/api"
        self.issuer = ""
        self.server = RawServer(self._reply)

    @property
    def url(self) -> str:
        return self.server.url

    def _reply(self, seen: Seen) -> bytes:
        path = seen.line.split(" ")[1]
        if path == "/.well-known/openid-configuration":
            document = {"issuer": self.issuer or self.url, "token_endpoint": f"{self.url}/auth/token"}
            return answer(200, json.dumps(document).encode())
        if path.startswith("/.well-known/cxone-configuration?tenantId=t-1"):
            return answer(200, json.dumps({"api_endpoint": self.url + self.api_path, "area": "na1"}).encode())
        if path == "/api":
            return answer(404)
        if self.replies:
            return self.replies.pop(0)
        return token_answer(self.token)

    def token_calls(self) -> list[Seen]:
        return [seen for seen in self.server.requests if "/auth/" in seen.line]


@pytest.fixture
def cxone(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCxone]:
    fake = FakeCxone()
    with fake.server:
        monkeypatch.setattr(discovery, "ISSUER", fake.url)
        yield fake


@pytest.fixture
def time_() -> FakeTime:
    return FakeTime()


Make = Callable[..., TokenSource]


@pytest.fixture
def source(cxone: FakeCxone, time_: FakeTime) -> Iterator[Make]:
    """Makes a token source of the fake; keywords are settings."""
    with httpx.Client(timeout=5.0, trust_env=False) as client:

        def make(**settings: Any) -> TokenSource:
            given = settings or {"client_id": "id", "client_secret": CANARY}
            return TokenSource(Cxone(**given), Web(client, time_.clock()))

        yield make


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CXONE_CLIENT_ID", "CXONE_CLIENT_SECRET", "CXONE_AUTH_URL", "STREAM_ROUTER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    for name in (
        "AWS_CA_BUNDLE",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "STREAM_ROUTER_EVENT_TYPES",
        "STREAM_ROUTER_DROP_TYPES",
    ):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name.lower(), raising=False)
        monkeypatch.delenv(name, raising=False)


def test_client_credentials_with_the_articles_scopes(cxone: FakeCxone, source: Make) -> None:
    """The endpoint is discovered; id and secret travel URL-encoded in Basic, the scopes in the form."""
    got = source(client_id="id@app", client_secret="a:b c")()
    sent = cxone.token_calls()[0]
    assert sent.line == "POST /auth/token HTTP/1.1"
    assert base64.b64decode(sent.headers["authorization"].removeprefix("Basic ")) == b"id%40app:a%3Ab%20c"
    form = parse_qs(sent.body.decode())
    assert form == {"grant_type": ["client_credentials"], "scope": ["integration:read webhook:read"]}
    assert (got.value, got.life_s, got.tenant_id) == ("tok", 3600, "t-1")
    assert got.scopes == frozenset({"integration:read", "webhook:read"})


def test_a_set_endpoint_needs_no_discovery(cxone: FakeCxone, source: Make) -> None:
    """CXONE_AUTH_URL wins over the discovery document."""
    source(client_id="id", client_secret="x", auth_url=f"{cxone.url}/auth/elsewhere")()
    assert [seen.line for seen in cxone.server.requests] == ["POST /auth/elsewhere HTTP/1.1"]


def test_a_token_is_kept_until_shortly_before_its_end(cxone: FakeCxone, source: Make, time_: FakeTime) -> None:
    """One fetch serves an hour less a minute; then the next call renews it."""
    tokens = source()
    for at, calls in ((0, 1), (3530, 1), (10, 2), (3000, 2)):
        time_.now += at
        tokens()
        assert len(cxone.token_calls()) == calls


@pytest.mark.parametrize(("expires_in", "kept_s"), [(30, 27.0), (600, 540.0), (None, 270.0)])
def test_a_short_or_unstated_life_is_renewed_in_time(
    cxone: FakeCxone, source: Make, time_: FakeTime, expires_in: int | None, kept_s: float
) -> None:
    """A short life is used for nine tenths; an unstated one counts as five minutes."""
    cxone.token = {"expires_in": expires_in}
    assert source()().renew_at == pytest.approx(time_.now + kept_s)


def test_many_threads_share_one_refresh(cxone: FakeCxone, source: Make) -> None:
    """Callers that come while a token is being fetched wait for that one."""
    tokens, got = source(), []
    threads = [threading.Thread(target=lambda: got.append(tokens().value)) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert got == ["tok"] * 12
    assert len(cxone.token_calls()) == 1


@pytest.mark.parametrize(
    ("told", "least_s", "most_s"),
    [("4", 4.0, 4.4), (formatdate(NOW + 1000 + 6, usegmt=True), 6.0, 6.6), ("", 0.0, 2.0), ("soon", 0.0, 2.0)],
)
def test_throttling_waits_as_told_with_jitter(
    cxone: FakeCxone, source: Make, time_: FakeTime, told: str, least_s: float, most_s: float
) -> None:
    """A 429's Retry-After is obeyed as seconds and as a date; without one the pause is our own, jittered."""
    cxone.replies = [answer(429, Retry_After=told) if told else answer(429)]
    assert source()().value == "tok"
    assert len(time_.slept) == 1
    assert least_s <= time_.slept[0] <= most_s


def test_trouble_is_retried_with_growing_pauses(cxone: FakeCxone, source: Make, time_: FakeTime) -> None:
    """5xx and a broken connection are tried again; pauses double below their jitter."""
    cxone.replies = [answer(503), answer(500), RESET]
    assert source()().value == "tok"
    assert time_.slept == [1.0, 2.0, 4.0]


def test_endless_trouble_ends_with_one_line(cxone: FakeCxone, source: Make, time_: FakeTime) -> None:
    """After the deadline the error says what was wrong, and no more attempts are made than fit."""
    cxone.replies = [answer(503)] * 100
    with pytest.raises(CxoneError, match=r"^the token endpoint: CXone is in trouble \(503\); try again later$"):
        source()()
    assert sum(time_.slept) <= 45
    assert len(cxone.token_calls()) < 12


@pytest.mark.parametrize("status", [429, 503])
def test_a_pause_beyond_the_deadline_is_not_waited_for(
    cxone: FakeCxone, source: Make, time_: FakeTime, status: int
) -> None:
    """Told to wait ten minutes, an operator is told so at once."""
    cxone.replies = [answer(status, Retry_After="600")] * 2
    with pytest.raises(CxoneError, match="asks for 600 s; try again later"):
        source()()
    assert time_.slept == []


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (answer(400, b'{"error":"invalid_client"}'), r"refuses the credentials \(400 invalid_client\); check CXONE_CL"),
        (answer(401, b'{"error":"invalid_client"}'), r"refuses the credentials \(401 invalid_client\); check CXONE_CL"),
        (answer(401, b""), r"refuses the credentials \(401\); check CXONE_CLIENT_ID"),
        (answer(403, b"<html>"), r"refuses the credentials \(403\)"),
        (answer(400, b'{"error":"invalid_scope"}'), r"refuses the scopes \(400 invalid_scope\); ask NICE to grant"),
        (answer(400, b'{"error":"unauthorized_client"}'), "gives this client no client credentials"),
        (answer(400, b'{"error":"X\\n' + CANARY.encode() + b'"}'), r"refuses the credentials \(400\)"),
        (answer(400, b'{"error":"akeysecretvalue_"}'), r"refuses the credentials \(400\)"),
        (answer(400, b'{"error":"temporarily_unavailable"}'), r"in trouble \(400 temporarily_unavailable\); try again"),
        (answer(403, b'{"error":"server_error"}'), r"in trouble \(403 server_error\); try again later"),
        (answer(400, b'{"error":"slow_down"}'), r"in trouble \(400 slow_down\); try again later"),
        (answer(200, b'{"error":"invalid_client"}'), r"refuses the credentials \(200 invalid_client\); check CXONE_CL"),
        (answer(200, b'{"error":"invalid_scope"}'), r"refuses the scopes \(200 invalid_scope\); ask NICE to grant"),
        (answer(200, b'{"error":"akeysecretvalue_"}'), "holds no token; check CXONE_AUTH_URL"),
        (answer(404, b""), r"answers 404; check CXONE_AUTH_URL"),
        (answer(302, b"", Location="http://169.254.169.254/"), r"answers 302; check CXONE_AUTH_URL"),
        (answer(200, b"<html>"), "holds no token"),
        (answer(200, b"[]"), "holds no token"),
        (answer(200, b"{}"), "holds no token"),
        (answer(200, b'{"access_token":""}'), "holds no token"),
        (answer(200, b'{"access_token":"x","expires_in":"never"}'), "holds no token"),
        (answer(200, b'{"access_token":"x","expires_in":-5}'), "holds no token"),
        (answer(200, b'{"access_token":"x","expires_in":0}'), "holds no token"),
        (answer(200, b'{"access_token":"x","expires_in":0.001}'), "holds no token"),
        (answer(200, b'{"access_token":"x","expires_in":[]}'), "holds no token"),
        (answer(200, b'{"access_token":"x","expires_in":true}'), "holds no token"),
        (answer(200, b'{"access_token":"x","expires_in":1' + b"0" * 400 + b"}"), "holds no token"),
        (answer(200, b'{"access_token":"x","expires_in":' + b"1" * 5000 + b"}"), "holds no token"),
        (answer(200, b"[" * 100_000), "holds no token"),
        (answer(400, b"[" * 100_000), r"refuses the credentials \(400\)"),
        (
            answer(200, b"packed", Content_Encoding="gzip"),
            "a compressed body, which was not asked for; check",
        ),
        (answer(200, b" " * 1_048_577), "answers with more than 1048576 bytes; check CXONE_AUTH_URL"),
    ],
)
def test_a_refusal_is_one_clear_line(cxone: FakeCxone, source: Make, reply: bytes, text: str) -> None:
    """Each refusal says what to change, is not retried, and repeats no free text of the answer."""
    cxone.replies = [reply]
    with pytest.raises(CxoneError, match=text) as error:
        source()()
    assert "\n" not in str(error.value)
    assert CANARY not in str(error.value)
    assert len(cxone.token_calls()) == 1


def test_a_body_is_never_asked_for_packed(cxone: FakeCxone, source: Make) -> None:
    """A packed body could have any size once it is unpacked."""
    source()()
    assert {seen.headers["accept-encoding"] for seen in cxone.server.requests} == {"identity"}


def test_each_request_says_who_asks(cxone: FakeCxone, source: Make) -> None:
    """A firewall that refuses what names no agent answers 403, which would look like wrong credentials."""
    source()()
    assert len(cxone.server.requests) == 2
    for seen in cxone.server.requests:
        assert seen.headers["user-agent"].startswith("stream-router/")
        assert seen.headers["accept"] == "application/json"


def dripping(first: bytes) -> Iterator[str]:
    """The URL of a server that sends `first`, then a byte ten times a second, which no time-out of a read ends."""
    done = threading.Event()

    def serve(listener: socket.socket) -> None:
        with contextlib.suppress(OSError), listener.accept()[0] as connection:
            connection.sendall(first)
            while not done.wait(0.1):
                connection.sendall(b" ")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve, args=(listener,))
        server.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/token"
        done.set()
        server.join(5)


@pytest.mark.parametrize("first", [b"HTTP/1.1 200 X\r\nContent-Length: 100000\r\n\r\n", b"HTTP/1.1 200 X\r\nA: "])
def test_the_deadline_holds_however_slowly_the_answer_comes(first: bytes) -> None:
    """Head or body: a server that keeps sending a little keeps no operator waiting for ever."""
    with contextlib.contextmanager(dripping)(first) as url, httpx.Client(timeout=5.0, trust_env=False) as client:
        tokens = TokenSource(Cxone(client_id="id", client_secret="x", auth_url=url), Web(client, Clock(), 0.5))
        began = time.monotonic()
        with pytest.raises(CxoneError, match=r"^the token endpoint: 127\.0\.0\.1 does not answer in time; try again"):
            tokens()
        assert time.monotonic() - began < 5


@pytest.mark.parametrize("host", ["a" * 70 + ".example", ".example"])
def test_a_host_that_cannot_be_asked_for_is_one_line(time_: FakeTime, host: str) -> None:
    """What the socket library calls no host name is told like any host that cannot be reached."""
    with httpx.Client(trust_env=False) as client, pytest.raises(CxoneError, match="cannot be reached"):
        Web(client, time_.clock()).send(httpx.Request("GET", f"https://{host}/"), "x")


def test_a_server_without_tls_is_told_as_such(monkeypatch: pytest.MonkeyPatch, time_: FakeTime) -> None:
    """It can be reached, but for what is wrong: the reason that OpenSSL gives is in the line."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    with listener.accept()[0] as connection:
                        connection.sendall(b"HTTP/1.1 400 X\r\n\r\n")
                        connection.recv(65_536)

        threading.Thread(target=serve, daemon=True).start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
        with httpx.Client(trust_env=False) as client, pytest.raises(CxoneError, match=r"TLS: WRONG_VERSION_NUMBER"):
            Web(client, time_.clock()).send(httpx.Request("GET", url), "x")
        listener.shutdown(socket.SHUT_RDWR)


def test_a_server_that_is_not_there_is_one_line(time_: FakeTime) -> None:
    """A refused connection is retried, then told by host and cause."""
    given = Cxone(client_id="id", client_secret=CANARY, auth_url="http://127.0.0.1:9/token")
    with httpx.Client(trust_env=False) as client:
        tokens = TokenSource(given, Web(client, time_.clock()))
        with pytest.raises(CxoneError, match=r"127\.0\.0\.1 cannot be reached \(Connection refused\); try"):
            tokens()


@pytest.mark.parametrize(
    "url",
    [
        "http://cxone.example/token",
        "http://169.254.169.254/latest",
        "https://user:pw@cxone.example/",
        "https:///token",
        "ftp://127.0.0.1/",
        "//cxone.example/",
        "https://[bad",
        "https://cxone.example:99999/",
        "https://xn--/",
        "",
    ],
)
def test_credentials_go_nowhere_but_over_https(url: str) -> None:
    """Plain HTTP is for loopback; a URL with a user in it, or without a host, is refused, and not repeated."""
    with pytest.raises(CxoneError) as error:
        check_url(url, "CXONE_AUTH_URL")
    assert not url or url not in str(error.value)


@pytest.mark.parametrize("endpoint", ["http://collector.example/token", "https://[bad"])
def test_a_discovered_endpoint_is_checked_too(cxone: FakeCxone, source: Make, endpoint: str) -> None:
    """A discovery document cannot send the secret to a plain-HTTP host."""
    document = {"token_endpoint": endpoint}
    cxone.server._reply = lambda _: answer(200, json.dumps(document).encode())
    with pytest.raises(CxoneError, match="the discovered token_endpoint is no https:// URL"):
        source()()
    assert len(cxone.server.requests) == 1


@pytest.mark.parametrize("body", [b"<html>", b"{}", b"[]", b'{"token_endpoint":7}'])
def test_a_discovery_that_tells_nothing_says_what_to_set(cxone: FakeCxone, source: Make, body: bytes) -> None:
    """An unreadable or empty document names the setting that goes around it."""
    cxone.server._reply = lambda _: answer(200, body)
    with pytest.raises(CxoneError, match=r"set CXONE_AUTH_URL"):
        source()()


def test_secrets_show_nowhere(cxone: FakeCxone, source: Make) -> None:
    """Neither settings nor token show their secrets when printed."""
    cxone.token = {"access_token": CANARY}
    settings = Cxone(client_id="id", client_secret=CANARY)
    assert CANARY not in f"{settings!r}{settings}{source()()!r}"


@pytest.mark.parametrize("value", ["x", "a.b.c", "a.!!!.c", "e30.W10.c2ln", "e30." + "A" * 99 + ".x"])
def test_a_token_that_is_no_jwt_is_used_all_the_same(cxone: FakeCxone, source: Make, value: str) -> None:
    """What a token says of itself is a hint; nothing in it can break us."""
    cxone.token = {"access_token": value}
    got = source()()
    assert (got.value, got.tenant_id, got.scopes) == (value, "", None)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("-1", 0.0),
        ("\u0663", 0.0),
        ("9" * 99, 999_999_999.0),
        ("Mon, 01 Jan 2024 00:00:00 +99999999999999999999", 0.0),
        ("Mon, 01 Jan 0001 00:00:00 -0000", 0.0),
    ],
)
def test_retry_after_is_read_without_surprise(value: str, seconds: float) -> None:
    """Digits are seconds; anything else that is no date is none."""
    assert retry_after_s(value, NOW) == seconds


def environment(monkeypatch: pytest.MonkeyPatch, cxone: FakeCxone, toml: Path | None = None) -> None:
    monkeypatch.setenv("CXONE_CLIENT_ID", "id")
    monkeypatch.setenv("CXONE_CLIENT_SECRET", CANARY)
    if toml:
        monkeypatch.setenv("STREAM_ROUTER_CONFIG", str(toml))


def test_the_token_command_proves_the_credentials(
    monkeypatch: pytest.MonkeyPatch, cxone: FakeCxone, time_: FakeTime, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says life, scopes and tenant, and neither token nor secret; exit 0."""
    environment(monkeypatch, cxone)
    cxone.token["access_token"] = "the-t0ken"
    assert commands.token(time_.clock()) == 0
    out, err = capsys.readouterr()
    assert out == ("the credentials work: a token of 3600 s, scopes integration:read webhook:read, tenant t-1\n")
    assert "the-t0ken" not in out + err


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HTTPS_PROXY", f"foo://u:{CANARY}@proxy"),
        ("ALL_PROXY", f"http://u:{CANARY}@proxy:port"),
        ("SSL_CERT_FILE", "/nonexistent"),
        ("AWS_CA_BUNDLE", "/nonexistent"),
        ("SSL_CERT_FILE", __file__),
    ],
)
def test_a_wrong_proxy_or_ca_bundle_is_a_settings_error(
    monkeypatch: pytest.MonkeyPatch, cxone: FakeCxone, time_: FakeTime, variable: str, value: str
) -> None:
    """They are the environment's too: one line that names the variable, and quotes no proxy's password."""
    environment(monkeypatch, cxone)
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=variable) as error:
        commands.token(time_.clock())
    assert CANARY not in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("variable", ["CXONE_CLIENT_ID", "CXONE_CLIENT_SECRET"])
def test_bytes_that_are_no_text_are_a_settings_error(
    monkeypatch: pytest.MonkeyPatch, cxone: FakeCxone, time_: FakeTime, variable: str
) -> None:
    """The environment may hold any; a request may not."""
    environment(monkeypatch, cxone)
    monkeypatch.setenv(variable, "x\udcff")
    with pytest.raises(SettingsError, match=f"^{variable}: is not UTF-8; "):
        commands.token(time_.clock())


def test_what_cxone_says_does_not_drive_the_terminal(
    monkeypatch: pytest.MonkeyPatch, cxone: FakeCxone, time_: FakeTime, capsys: pytest.CaptureFixture[str]
) -> None:
    """Control characters, and what UTF-8 cannot write, are replaced."""
    environment(monkeypatch, cxone)
    cxone.token = {"scope": "\x1b]0;pwn\x07integration:read \ud800", "id_token": jwt(tenantId="t\r1")}
    assert commands.token(time_.clock()) == 0
    out = capsys.readouterr().out
    assert out.removesuffix("\n").isprintable()
    assert "scopes none that were asked for and 2 others" in out


def test_a_life_that_cxone_does_not_tell_is_not_told(
    monkeypatch: pytest.MonkeyPatch, cxone: FakeCxone, time_: FakeTime, capsys: pytest.CaptureFixture[str]
) -> None:
    """For how long we would use it is our own guess."""
    environment(monkeypatch, cxone)
    cxone.token["expires_in"] = None
    assert commands.token(time_.clock()) == 0
    assert commands.sources(time_.clock()) == 0
    out = capsys.readouterr().out
    assert "the credentials work: a token whose life is not told, scopes " in out
    assert "ok      token: a token whose life is not told\n" in out


def test_the_token_command_fails_with_one_line(
    monkeypatch: pytest.MonkeyPatch, cxone: FakeCxone, time_: FakeTime, capsys: pytest.CaptureFixture[str]
) -> None:
    """Refused credentials: exit 1, one line on stderr, no secret."""
    environment(monkeypatch, cxone)
    cxone.replies = [answer(401, b'{"error":"invalid_client"}')]
    assert commands.token(time_.clock()) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert CANARY not in err


SOURCES = """
[[cxone.sources]]
name = "expert"
type = "webhook"
url = "https://events.example.com/v1/events"
scheme = "expert"

[[cxone.sources]]
name = "ivr"
type = "data-stream"
stream = "cxone-events"
format = "JSON+LF"
role_arn = "arn:aws:iam::123456789012:role/cxone-writes"

[[cxone.sources]]
name = "digital"
type = "digital"
url = "https://events.example.com/v1/events"
event_types = ["MessageCreated", "CaseStatusChanged"]

[metadata]
team = "the rest of the file is the consumer's"
"""


def run_sources(monkeypatch: pytest.MonkeyPatch, cxone: FakeCxone, time_: FakeTime, tmp_path: Path, text: str) -> int:
    path = tmp_path / "router.toml"
    path.write_text(text)
    environment(monkeypatch, cxone, path)
    return commands.sources(time_.clock())


def test_good_sources_pass_and_what_cannot_be_known_is_said(
    monkeypatch: pytest.MonkeyPatch,
    cxone: FakeCxone,
    time_: FakeTime,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Token, scopes, tenant and every source pass; for each source a line says what only CXone knows. Exit 0."""
    assert run_sources(monkeypatch, cxone, time_, tmp_path, SOURCES) == 0
    lines = capsys.readouterr().out.splitlines()
    verdicts = [line.split()[0] for line in lines]
    assert "wrong" not in verdicts
    assert "ok      tenant: its API host 127.0.0.1 answers, area na1" in lines
    for name in ("expert", "ivr", "digital"):
        assert any(line.startswith(f"unknown {name}: whether CXone") for line in lines), name


@pytest.mark.parametrize(("unroutable", "told"), [("dead-letter", 1), ("publish", 0)])
def test_of_expert_s_event_types_it_is_said_that_they_match_no_rule_by_themselves(
    monkeypatch: pytest.MonkeyPatch,
    cxone: FakeCxone,
    time_: FakeTime,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    unroutable: str,
    told: int,
) -> None:
    """Nothing renames them, so without a setting each of its events would be a dead letter."""
    monkeypatch.setenv("STREAM_ROUTER_UNROUTABLE", unroutable)
    assert run_sources(monkeypatch, cxone, time_, tmp_path, SOURCES) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.startswith("unknown expert: whether its event types")]) == told


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            'url = "https://events.example.com/v1/events"\nscheme',
            'url = "http://e.example/v1/events"\nscheme',
            "expert: url",
        ),
        (
            'url = "https://events.example.com/v1/events"\nscheme',
            'url = "https://e.example/hook"\nscheme',
            "expert: url",
        ),
        (
            'url = "https://events.example.com/v1/events"\nscheme',
            'url = "https://[bad/v1/events"\nscheme',
            "expert: url",
        ),
        ('stream = "cxone-events"', 'stream = "other"', "ivr: stream"),
        ('"JSON+LF"', '"PROTO"', "ivr: format"),
        ('format = "JSON+LF"', 'format = "JSON"\naccount = "111111111111"', "ivr: account"),
    ],
)
def test_a_source_that_cannot_work_is_wrong(
    monkeypatch: pytest.MonkeyPatch,
    cxone: FakeCxone,
    time_: FakeTime,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    old: str,
    new: str,
    said: str,
) -> None:
    """One line names source and field; exit 1."""
    assert old in SOURCES
    assert run_sources(monkeypatch, cxone, time_, tmp_path, SOURCES.replace(old, new)) == 1
    wrong = [line for line in capsys.readouterr().out.splitlines() if line.startswith("wrong")]
    assert len(wrong) == 1
    assert said in wrong[0]


@pytest.mark.parametrize(
    ("reply", "text"),
    [(answer(401), "CXone refuses the credentials (401); check"), (answer(503), "CXone is in trouble")],
)
def test_sources_are_checked_without_a_token_too(
    monkeypatch: pytest.MonkeyPatch,
    cxone: FakeCxone,
    time_: FakeTime,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    reply: bytes,
    text: str,
) -> None:
    """What is wrong with them shows also while CXone is down or refuses the credentials. Exit 1, no secret."""
    cxone.replies = [reply] * 50
    bad = SOURCES.replace('"MessageCreated", ', '"MessageCreatd", ')
    assert run_sources(monkeypatch, cxone, time_, tmp_path, bad) == 1
    out, err = capsys.readouterr()
    assert out.startswith("wrong   token: ")
    assert text in out.splitlines()[0]
    assert "digital: MessageCreatd" in out
    assert err == ""
    assert CANARY not in out


@pytest.mark.parametrize("tenant", ["\ud800", "t" * 70_000])
def test_a_tenant_that_no_url_can_name_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
    cxone: FakeCxone,
    time_: FakeTime,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    tenant: str,
) -> None:
    """A token may say anything of itself; the other findings come all the same."""
    cxone.token["id_token"] = jwt(tenantId=tenant)
    assert run_sources(monkeypatch, cxone, time_, tmp_path, SOURCES) == 1
    out = capsys.readouterr().out
    assert "wrong   tenant: " in out
    assert "ok      ivr: " in out


def test_a_missing_scope_and_a_silent_tenant_are_told(
    monkeypatch: pytest.MonkeyPatch,
    cxone: FakeCxone,
    time_: FakeTime,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A scope that was not granted is wrong; an event type that nobody documents is unknown."""
    cxone.token["scope"] = "integration:read"
    cxone.token["id_token"] = ""
    text = SOURCES.replace('"MessageCreated", ', '"MessageCreatd", ')
    assert run_sources(monkeypatch, cxone, time_, tmp_path, text) == 1
    out = capsys.readouterr().out
    assert "wrong   scopes: webhook:read not granted; ask NICE for them" in out
    assert "unknown tenant: the token does not name it" in out
    assert "unknown digital: MessageCreatd: not among" in out


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[[cxone.sources]]\nname = "a"\ntype = "fax"\n', "cxone.sources[0]: "),
        ('[[cxone.sources]]\nname = "a"\ntype = "webhook"\nscheme = "hmac"\n', "cxone.sources[0].url: "),
        ('[[cxone.sources]]\nname = "a"\ntype = "digital"\nurl = "https://x"\nevent_types = []\n', "event_types"),
        (
            f'[[cxone.sources]]\nname = "a"\ntype = "webhook"\nurl = "u"\nscheme = "hmac"\nsecret = "{CANARY}"\n',
            "cxone.sources[0].secret: ",
        ),
        (SOURCES.replace('"ivr"', '"expert"'), "cxone.sources: 1 of them"),
        (SOURCES.replace("[[cxone.sources]]", "[[cxone.source]]"), "cxone.source: "),
        ("[[cxone.sources]\n", "is no TOML"),
        ("a = " + "[" * 100_000, "is no TOML"),
        ("a = " + "1" * 5_000, "is no TOML"),
    ],
)
def test_a_wrong_table_is_a_settings_error(
    monkeypatch: pytest.MonkeyPatch, cxone: FakeCxone, time_: FakeTime, tmp_path: Path, text: str, key: str
) -> None:
    """The line names the variable and the failing key, and quotes no value."""
    with pytest.raises(SettingsError, match=r"^STREAM_ROUTER_CONFIG: ") as error:
        run_sources(monkeypatch, cxone, time_, tmp_path, text)
    assert key in str(error.value)
    assert CANARY not in str(error.value)
    assert "\n" not in str(error.value)


def test_the_shipped_endpoints_are_https() -> None:
    """What credentials go to without a setting is HTTPS."""
    assert check_url(discovery.ISSUER, "x")


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_the_cas_of_tls_itself_go_before_those_of_aws(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A host has AWS_CA_BUNDLE for AWS's own sake; httpx reads these two by itself."""
    monkeypatch.setenv("CXONE_CLIENT_ID", "id")
    monkeypatch.setenv("CXONE_CLIENT_SECRET", CANARY)
    monkeypatch.setenv("AWS_CA_BUNDLE", "/ca.pem")
    assert load(Cxone).certificates == Path("/ca.pem")
    monkeypatch.setenv(name, "/other")
    assert load(Cxone).certificates is None


def test_a_distrusted_certificate_of_a_proxy_is_not_cxones(
    monkeypatch: pytest.MonkeyPatch, time_: FakeTime, capsys: pytest.CaptureFixture[str]
) -> None:
    """Either may have shown it, so the line names the way."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    monkeypatch.setenv("CXONE_CLIENT_ID", "id")
    monkeypatch.setenv("CXONE_CLIENT_SECRET", CANARY)
    monkeypatch.setenv("CXONE_AUTH_URL", "https://cxone.example/token")
    with RawServer(lambda _: answer(502), context) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"https://u:{CANARY}@127.0.0.1:{proxy.port}")
        assert commands.token(time_.clock()) == 1
    said = capsys.readouterr().err
    assert "the certificate of cxone.example by way of the proxy of HTTPS_PROXY is not trusted (" in said
    assert CANARY not in said


@pytest.mark.parametrize("given", [None, "AWS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_certificate_that_nobody_trusts_is_named_at_once(
    monkeypatch: pytest.MonkeyPatch,
    time_: FakeTime,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    given: str | None,
) -> None:
    """No attempt is repeated, since each would meet the same one; a CA that the environment names is believed."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    if given:
        monkeypatch.setenv(given, str(bundle))
    with RawServer(lambda _: token_answer({}), context) as server:
        monkeypatch.setenv("CXONE_CLIENT_ID", "id")
        monkeypatch.setenv("CXONE_CLIENT_SECRET", CANARY)
        monkeypatch.setenv("CXONE_AUTH_URL", f"{server.url}/auth/token")
        ended = commands.token(time_.clock())
    said = capsys.readouterr().err
    assert ended == (0 if given else 1)
    assert time_.slept == []
    assert given or "certificate of 127.0.0.1 is not trusted" in said
    assert given or "SSL_CERT_FILE or AWS_CA_BUNDLE" in said


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (
            407,
            r"the proxy refuses the way to cxone\.example \(407\); give it a user: http://USER:PASSWORD@HOST:PORT in",
        ),
        (
            403,
            r"the proxy refuses the way to cxone\.example \(403\); let cxone\.example through there, or name it in NO",
        ),
        (502, r"cxone\.example cannot be reached by way of the proxy of HTTPS_PROXY \(ProxyError\); try again later$"),
    ],
)
def test_trouble_with_a_proxy_is_not_laid_at_cxones_door(
    monkeypatch: pytest.MonkeyPatch, time_: FakeTime, status: int, text: str
) -> None:
    """What it refuses for good is told at once, and by its status alone; what may pass is tried again."""
    with RawServer(lambda _: answer(status, CANARY.encode())) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://u:{CANARY}@127.0.0.1:{proxy.port}")
        given = Cxone(client_id="id", client_secret=CANARY, auth_url="https://cxone.example/token")
        with open_client() as client, pytest.raises(CxoneError, match=f"^the token endpoint: {text}") as error:
            TokenSource(given, Web(client, time_.clock()))()
    assert (len(proxy.requests) == 1) == (status < 500)
    assert CANARY not in str(error.value)


def test_a_proxy_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, time_: FakeTime) -> None:
    """Else the line would blame CXone's host, with which nothing is wrong; NO_PROXY is minded."""
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with open_client() as client, pytest.raises(CxoneError, match="by way of the proxy of ALL_PROXY"):
        Web(client, time_.clock()).send(httpx.Request("GET", "https://cxone.example/"), "x")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with open_client() as client, pytest.raises(CxoneError, match=r"127\.0\.0\.1 cannot be reached \("):
        Web(client, time_.clock()).send(httpx.Request("GET", "https://127.0.0.1:9/"), "x")


@pytest.mark.parametrize("no_proxy", ["fd12:3456::/48", "[::1],10.0.0.0/8", "[::1]:8080", "münchen.example", ",, x y"])
def test_whatever_no_proxy_lists_the_proxy_is_asked_for_all_else(
    monkeypatch: pytest.MonkeyPatch, time_: FakeTime, no_proxy: str
) -> None:
    """What curl and boto3 take there, networks of IPv6 above all, refuses nobody else's way."""
    monkeypatch.setenv("NO_PROXY", f"{no_proxy},127.0.0.1")
    with RawServer(lambda _: answer(403)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{proxy.port}")
        with open_client() as client, pytest.raises(CxoneError, match="the proxy refuses the way to cxone"):
            Web(client, time_.clock()).send(httpx.Request("GET", "https://cxone.example/"), "x")
        with open_client() as client, pytest.raises(CxoneError, match=r"127\.0\.0\.1 cannot be reached \("):
            Web(client, time_.clock()).send(httpx.Request("GET", "https://127.0.0.1:9/"), "x")
    assert [seen.line for seen in proxy.requests] == ["CONNECT cxone.example:443 HTTP/1.1"]


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "AWS_CA_BUNDLE"])
def test_a_proxys_own_certificate_is_checked_against_the_same_cas(
    monkeypatch: pytest.MonkeyPatch, time_: FakeTime, tmp_path: Path, name: str
) -> None:
    """So that the cure for one that is not trusted is one."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv(name, str(tmp_path / "ca.pem"))
    bundle = load(Cxone, client_id="id", client_secret=CANARY).certificates
    with RawServer(lambda _: answer(403), context) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"https://u:{CANARY}@127.0.0.1:{proxy.port}")
        with open_client(bundle) as client, pytest.raises(CxoneError, match="the proxy refuses the way to cxone"):
            Web(client, time_.clock()).send(httpx.Request("GET", "https://cxone.example/"), "x")
    assert proxy.requests[0].headers["proxy-authorization"].startswith("Basic ")


def test_a_proxy_that_is_not_asked_need_be_none_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTPS_PROXY goes before an ALL_PROXY that speaks SOCKS, and plain HTTP goes to no proxy."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "socks5://127.0.0.1:9")
    open_client().close()


@pytest.mark.parametrize("name", ["HTTP_PROXY", "ALL_PROXY"])
def test_plain_http_on_loopback_leaves_the_machine_by_no_proxy(
    monkeypatch: pytest.MonkeyPatch, cxone: FakeCxone, time_: FakeTime, name: str
) -> None:
    """The secret would go over a network unencrypted."""
    with RawServer(lambda _: answer(502)) as proxy:
        monkeypatch.setenv(name, proxy.url)
        given = Cxone(client_id="id", client_secret=CANARY)
        with open_client() as client:
            assert TokenSource(given, Web(client, time_.clock()))().value == "tok"
    assert proxy.requests == []


def test_a_discovery_document_of_another_issuer_gets_no_secret(cxone: FakeCxone, source: Make) -> None:
    """OpenID Discovery 4.3: what says that it is another issuer's is not believed; the right issuer is."""
    cxone.issuer = "https://cxone.example"
    with pytest.raises(CxoneError, match=r"another issuer's than .*; set CXONE_AUTH_URL"):
        source()()
    assert cxone.token_calls() == []
    cxone.issuer = cxone.url + "/"
    assert source()().value == "tok"


def test_a_date_to_wait_for_is_counted_from_the_servers_clock(cxone: FakeCxone, source: Make, time_: FakeTime) -> None:
    """A server whose clock is an hour ahead asks for three seconds, not for an hour."""
    ahead = NOW + time_.now + 3600
    until = {"Retry_After": formatdate(ahead + 3, usegmt=True), "Date": formatdate(ahead, usegmt=True)}
    cxone.replies = [answer(429, b"{}", **until)]
    assert source()().value == "tok"
    assert time_.slept == [pytest.approx(3.15, abs=0.2)]


def test_a_secret_from_a_file_has_no_line_break_at_its_end() -> None:
    """Whoever made the file with an editor would else be refused by CXone without a word why."""
    given = Cxone(client_id="id\n", client_secret=f" {CANARY} \r\n")
    assert given.client_id == "id"
    assert given.client_secret is not None
    assert given.client_secret.get_secret_value() == f" {CANARY} "


@pytest.mark.parametrize(
    ("types", "settings", "more", "wanted"),
    [
        ("MessageAddedIntoCase", {}, "", None),
        ("ChannelUpdated", {}, "", "wrong"),
        ("NoSuchType", {}, "", "wrong"),
        ("ChannelUpdated", {"STREAM_ROUTER_EVENT_TYPES": "ChannelUpdated"}, "", None),
        ("ChannelUpdated", {"STREAM_ROUTER_DROP_TYPES": "ChannelUpdated"}, "", None),
        ("ChannelUpdated", {"STREAM_ROUTER_UNROUTABLE": "publish"}, "", "unknown"),
        ("ChannelUpdated", {}, '[event_types]\nChannelUpdated = "conversation.updated"\n', None),
        ("MessageCreated", {"STREAM_ROUTER_EVENT_TYPES": "interaction.created"}, "", "wrong"),
    ],
)
def test_a_type_that_would_end_as_a_dead_letter_is_told(
    monkeypatch: pytest.MonkeyPatch,
    cxone: FakeCxone,
    time_: FakeTime,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    types: str,
    settings: dict[str, str],
    more: str,
    wanted: str | None,
) -> None:
    """By the settings and the mapping that the consumer reads; what is renamed, let through or dropped is well."""
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    text = SOURCES.replace('"MessageCreated", "CaseStatusChanged"', f'"{types}"') + more
    ended = run_sources(monkeypatch, cxone, time_, tmp_path, text)
    told = [line.split()[0] for line in capsys.readouterr().out.splitlines() if f"digital: {types}:" in line]
    assert ended == (1 if wanted == "wrong" else 0)
    assert (wanted in told) if wanted else told == []
