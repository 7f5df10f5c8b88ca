"""`cxone token` and `cxone sources` against a local server that behaves as NICE documents (docs/facts.md, "CXone")."""

import base64
import json
import re
import ssl
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from urllib.parse import parse_qs

import pytest
import trustme

from stream_router.cxone import client, sources
from stream_router.cxone.client import CxoneClient, CxoneError, Token
from stream_router.errors import SettingsError
from stream_router.settings.operators import Cxone
from stream_router.settings.reading import load
from tests.environment import empty
from tests.raw_server import RESET, RawServer, Seen, answer

CANARY = "s3cr3t-c4n4ry"
NOW = 1_795_000_000.0


def jwt(**claims: object) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{body}.c2ln"


def token_answer(more: dict[str, object]) -> bytes:
    return answer(200, json.dumps({"access_token": "tok", "token_type": "Bearer", "expires_in": 3600, **more}).encode())


class FakeCxone:
    """Token endpoint and discovery document; `replies` go first, one a token call."""

    def __init__(self) -> None:
        self.replies: list[bytes] = []
        self.token: dict[str, object] = {"id_token": jwt(tenantId="t-1"), "scope": "integration:read webhook:read"}
        self.server = RawServer(self._reply)

    @property
    def url(self) -> str:
        return self.server.url

    def _reply(self, seen: Seen) -> bytes:
        path = seen.line.split(" ")[1]
        if path == "/.well-known/openid-configuration":
            document = {"issuer": f"{self.url}/", "token_endpoint": f"{self.url}/auth/token"}
            return answer(200, json.dumps(document).encode())
        if self.replies:
            return self.replies.pop(0)
        return token_answer(self.token)

    def token_calls(self) -> list[Seen]:
        return [seen for seen in self.server.requests if "/auth/" in seen.line]


@pytest.fixture(autouse=True)
def cxone(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCxone]:
    """NICE's place, and an environment with credentials and nothing else."""
    empty(monkeypatch)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name.lower(), raising=False)
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CXONE_CLIENT_ID", "id")
    monkeypatch.setenv("CXONE_CLIENT_SECRET", CANARY)
    fake = FakeCxone()
    with fake.server:
        monkeypatch.setattr(client, "ISSUER", fake.url)
        yield fake


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made; the clock moves on by each, and nobody waits."""
    numbers: list[float] = []
    monotonic = time.monotonic
    monkeypatch.setattr(time, "sleep", numbers.append)
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + sum(numbers))
    return numbers


def token(url: str = "", **settings: str) -> Token:
    """What the client gets with the environment's credentials, or others."""
    value = {"client_id": "id", "client_secret": CANARY, **settings}
    return CxoneClient(load(Cxone, **value, **({"auth_url": url} if url else {}))).token()


def refused(match: str, url: str = "") -> str:
    """The one line that says why there is no token; no secret is in it."""
    with pytest.raises(CxoneError, match=match) as error:
        token(url)
    assert "\n" not in str(error.value)
    assert CANARY not in str(error.value)
    return str(error.value)


def test_client_credentials_with_the_articles_scopes(cxone: FakeCxone) -> None:
    """The endpoint is discovered, or set; id and secret travel URL-encoded in Basic, the scopes in the form."""
    got = token(client_id="id@app", client_secret="a:b c")
    sent = cxone.token_calls()[0]
    assert sent.line == "POST /auth/token HTTP/1.1"
    assert base64.b64decode(sent.headers["authorization"].removeprefix("Basic ")) == b"id%40app:a%3Ab%20c"
    form = parse_qs(sent.body.decode())
    assert form == {"grant_type": ["client_credentials"], "scope": ["integration:read webhook:read"]}
    assert got == Token(3600.0, frozenset({"integration:read", "webhook:read"}), "t-1")
    for seen in cxone.server.requests:
        assert seen.headers["user-agent"].startswith("stream-router/"), "a firewall refuses what names no agent"
    before = len(cxone.server.requests)
    token(f"{cxone.url}/auth/elsewhere")
    assert [seen.line for seen in cxone.server.requests[before:]] == ["POST /auth/elsewhere HTTP/1.1"]


@pytest.mark.parametrize(
    ("headers", "least_s", "most_s"),
    [
        ({"Retry_After": "4"}, 4.0, 4.4),
        ({"Retry_After": formatdate(NOW + 6, usegmt=True), "Date": formatdate(NOW, usegmt=True)}, 6.0, 6.6),
        ({}, 0.0, 2.0),
        ({"Retry_After": "soon"}, 0.0, 2.0),
    ],
)
def test_throttling_waits_as_told_with_jitter(
    cxone: FakeCxone, slept: list[float], headers: dict[str, str], least_s: float, most_s: float
) -> None:
    """Retry-After is obeyed as seconds, and as a date of the server's own clock; else the pause is ours, jittered."""
    cxone.replies = [answer(429, b"{}", **headers)]
    token()
    assert len(slept) == 1
    assert least_s <= slept[0] <= most_s


def test_trouble_is_retried_within_the_deadline(cxone: FakeCxone, slept: list[float]) -> None:
    """5xx and a broken connection are tried again; at the deadline the error says what was wrong."""
    cxone.replies = [answer(503), answer(500), RESET]
    token()
    assert len(slept) == 3
    cxone.replies = [answer(503)] * 100
    refused(r"^the token endpoint: CXone has an error of its own \(503\); try again later$")
    assert sum(slept[3:]) <= 45


@pytest.mark.parametrize("status", [429, 503])
def test_a_pause_beyond_the_deadline_is_not_waited_for(cxone: FakeCxone, slept: list[float], status: int) -> None:
    """Told to wait ten minutes, an operator is told so at once."""
    cxone.replies = [answer(status, Retry_After="600")] * 2
    refused("asks for a pause of 600 s; try again later")
    assert slept == []


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (answer(400, b'{"error":"invalid_client"}'), r"refuses the credentials \(400 invalid_client\); check CXONE_CL"),
        (answer(401, b'{"error":"invalid_client"}'), r"refuses the credentials \(401 invalid_client\); check CXONE_CL"),
        (answer(401, b""), r"refuses the credentials \(401\); check CXONE_CLIENT_ID"),
        (answer(403, b"<html>"), r"refuses the credentials \(403\)"),
        (answer(400, b'{"error":"invalid_scope"}'), r"refuses the scopes \(400 invalid_scope\); ask NICE to grant"),
        (answer(400, b'{"error":"unauthorized_client"}'), "does not allow this client the client credentials grant"),
        (answer(400, b'{"error":"akeysecretvalue_"}'), r"refuses the credentials \(400\)"),
        (
            answer(400, b'{"error":"temporarily_unavailable"}'),
            r"has an error of its own \(400 temporarily_unavailable\); try again",
        ),
        (answer(200, b'{"error":"invalid_client"}'), r"refuses the credentials \(200 invalid_client\); check CXONE_CL"),
        (answer(404, b""), r"answers 404; check CXONE_AUTH_URL"),
        (answer(302, b"", Location="http://169.254.169.254/"), r"answers 302; check CXONE_AUTH_URL"),
        (answer(200, b"<html>"), "has no token"),
        (answer(200, b'{"access_token":""}'), "has no token"),
        (answer(400, b"[" * 100_000), r"refuses the credentials \(400\)"),
    ],
)
def test_a_refusal_is_one_clear_line(cxone: FakeCxone, reply: bytes, text: str) -> None:
    """Each refusal says what to change, is not retried, and repeats no free text; no redirect is taken."""
    cxone.replies = [reply]
    refused(text)
    assert len(cxone.token_calls()) == 1


@pytest.mark.parametrize("url", [f"https://{'a' * 70}.example/", "https://.example/", "http://127.0.0.1:9/token"])
def test_a_host_that_cannot_be_asked_is_one_line(url: str) -> None:
    """By its name."""
    refused("cannot be reached ", url)


@pytest.mark.parametrize(
    ("document", "text"),
    [
        (b"<html>", "set CXONE_AUTH_URL"),
        (b"{}", "set CXONE_AUTH_URL"),
        (b"[]", "set CXONE_AUTH_URL"),
        (b'{"token_endpoint":7}', "set CXONE_AUTH_URL"),
        (
            b'{"token_endpoint":"http://collector.example/token"}',
            "the discovered token_endpoint is not an https:// URL",
        ),
        (b'{"token_endpoint":"https://[bad"}', "the discovered token_endpoint is not an https:// URL"),
        (
            b'{"issuer":"https://cxone.example","token_endpoint":"URL/auth/token"}',
            "another issuer than .*; set CXONE",
        ),
    ],
)
def test_a_discovery_that_tells_nothing_or_lies_gets_no_secret(cxone: FakeCxone, document: bytes, text: str) -> None:
    """No plain-HTTP host, and no other issuer's (OpenID Discovery 4.3); the line says what goes around it."""
    cxone.server._reply = lambda _: answer(200, document.replace(b"URL", cxone.url.encode()))
    refused(text)
    assert len(cxone.server.requests) == 1


@pytest.mark.parametrize("value", ["x", "a.b.c", "a.!!!.c", "e30.W10.c2ln", "e30." + "A" * 99 + ".x"])
def test_a_token_that_is_no_jwt_is_one_all_the_same(cxone: FakeCxone, value: str) -> None:
    """What a token says of itself is a hint; nothing in it can break us."""
    cxone.token = {"access_token": value}
    got = token()
    assert (got.tenant_id, got.scopes) == ("", None)


@pytest.mark.parametrize(
    ("token_fields", "reply", "status", "out"),
    [
        ({"access_token": "the-t0ken"}, None, 0, "scopes integration:read webhook:read, tenant t-1\n"),
        (
            {"scope": "\x1b]0;pwn\x07integration:read \ud800", "id_token": jwt(tenantId="t\r1")},
            None,
            0,
            " and 2 others",
        ),
        ({}, answer(401, b'{"error":"invalid_client"}'), 1, ""),
    ],
)
def test_the_token_command_proves_the_credentials(
    cxone: FakeCxone,
    capsys: pytest.CaptureFixture[str],
    token_fields: dict[str, object],
    reply: bytes | None,
    status: int,
    out: str,
) -> None:
    """Life, scopes and tenant in one line that drives no terminal, and neither token nor secret; or 1, and why not."""
    cxone.token |= token_fields
    cxone.replies = [reply] if reply else []
    assert sources.token() == status
    output = capsys.readouterr()
    assert out in output.out
    line, other = (output.err, output.out) if status else (output.out, output.err)
    assert (line.removesuffix("\n").isprintable(), other) == (True, "")
    assert not [secret for secret in ("the-t0ken", CANARY) if secret in line]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HTTPS_PROXY", f"foo://u:{CANARY}@proxy"),
        ("ALL_PROXY", f"http://u:{CANARY}@proxy:port"),
        ("SSL_CERT_FILE", "/nonexistent"),
        ("AWS_CA_BUNDLE", "/nonexistent"),
        ("CXONE_CLIENT_ID", "x\udcff"),
        ("CXONE_CLIENT_SECRET", "x\udcff"),
        ("CXONE_AUTH_URL", f"http://u:{CANARY}@cxone.example/"),
    ],
)
def test_a_wrong_setting_is_one_line(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    """Proxy and CAs are the environment's too: the line names the variable, and quotes no password."""
    if "PROXY" in variable:
        monkeypatch.setenv("CXONE_AUTH_URL", "https://cxone.example/token")
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=variable) as error:
        sources.token()
    assert CANARY not in str(error.value)
    assert "\n" not in str(error.value)


# --- certificates and proxies


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    """A CA whose certificate stands in ca.pem."""
    result = trustme.CA()
    result.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return result


def tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.mark.parametrize("values", [None, "AWS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_certificate_that_nobody_trusts_is_named_at_once(
    monkeypatch: pytest.MonkeyPatch, slept: list[float], tmp_path: Path, authority: trustme.CA, values: str | None
) -> None:
    """No attempt is repeated, since each would meet the same one; a CA that the environment names is believed."""
    with RawServer(lambda _: token_answer({}), tls(authority)) as server:
        if values:
            trustme.CA().cert_pem.write_to_path(str(tmp_path / "aws.pem"))
            monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "aws.pem"))  # TLS's own goes before it
            monkeypatch.setenv(values, str(tmp_path / "ca.pem"))
            token(f"{server.url}/auth/token")
        else:
            output = refused(r"certificate of 127\.0\.0\.1 is not trusted", f"{server.url}/auth/token")
            assert "SSL_CERT_FILE or AWS_CA_BUNDLE" in output
    assert slept == []


ELSEWHERE = "https://cxone.example/token"


def test_trouble_with_a_proxy_is_not_laid_at_cxones_door(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it refuses for good is told at once, and by its status alone; what may pass is tried again."""
    for status, text in (
        (407, r"the proxy of .* refuses \(407\); allow cxone\.example there"),
        (502, "through the pro"),
    ):
        with RawServer(lambda _, code=status: answer(code, CANARY.encode())) as proxy:  # type: ignore[misc]
            monkeypatch.setenv("HTTPS_PROXY", f"http://u:{CANARY}@127.0.0.1:{proxy.port}")
            refused(text, ELSEWHERE)
        assert (len(proxy.requests) == 1) == (status < 500)


@pytest.mark.parametrize("name", ["HTTP_PROXY", "ALL_PROXY"])
def test_plain_http_on_loopback_leaves_the_machine_by_no_proxy(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The secret would go over a network unencrypted."""
    with RawServer(lambda _: answer(502)) as proxy:
        monkeypatch.setenv(name, proxy.url)
        token()
    assert proxy.requests == []


# --- sources

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


Run = Callable[[str], tuple[int, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `cxone sources` over a file; its status and what it said."""

    def ran(text: str) -> tuple[int, str]:
        (tmp_path / "router.toml").write_text(text)
        monkeypatch.setenv("STREAM_ROUTER_CONFIG", str(tmp_path / "router.toml"))
        return sources.sources(), capsys.readouterr().out

    return ran


@pytest.mark.parametrize(("unroutable", "notes"), [("dead-letter", 1), ("publish", 0)])
def test_good_sources_pass_and_what_cannot_be_known_is_said(
    monkeypatch: pytest.MonkeyPatch, run: Run, unroutable: str, notes: int
) -> None:
    """Of each what only CXone knows; of Expert's event types too, that they match no rule: nothing renames them."""
    monkeypatch.setenv("STREAM_ROUTER_UNROUTABLE", unroutable)
    status, out = run(SOURCES)
    assert (status, "wrong" in out, out.count("unknown expert: whether its event types")) == (0, False, notes)
    for name in ("expert", "ivr", "digital"):
        assert f"\nunknown {name}: whether CXone" in out


URL = 'url = "https://events.example.com/v1/events"\nscheme'


@pytest.mark.parametrize(
    ("old", "new", "printed"),
    [
        (URL, 'url = "http://e.example/v1/events"\nscheme', "expert: url"),
        (URL, 'url = "https://e.example/hook"\nscheme', "expert: url"),
        (URL, 'url = "https://[bad/v1/events"\nscheme', "expert: url"),
        ('stream = "cxone-events"', 'stream = "other"', "ivr: stream"),
        ('"JSON+LF"', '"PROTO"', "ivr: format"),
        ('format = "JSON+LF"', 'format = "JSON"\naccount = "111111111111"', "ivr: account"),
    ],
)
def test_a_source_that_cannot_work_is_wrong(run: Run, old: str, new: str, printed: str) -> None:
    """One line names source and field; exit 1."""
    assert old in SOURCES
    status, out = run(SOURCES.replace(old, new))
    wrong = [line for line in out.splitlines() if line.startswith("wrong")]
    assert (status, len(wrong)) == (1, 1)
    assert printed in wrong[0]


@pytest.mark.parametrize(
    ("reply", "granted", "wrong"),
    [
        (answer(401), "", "token: CXone refuses the credentials (401); check"),
        (answer(503), "", "token: .*CXone has an error of its own"),
        (None, "integration:read", "scopes: webhook:read not granted; ask NICE for them"),
    ],
)
def test_sources_are_checked_without_a_token_or_a_scope_too(
    cxone: FakeCxone, run: Run, reply: bytes | None, granted: str, wrong: str
) -> None:
    """What is wrong with them shows also while CXone is down or refuses the credentials. Exit 1, no secret."""
    cxone.replies = [reply] * 50 if reply else []
    cxone.token = {"scope": granted}
    status, out = run(SOURCES.replace('"MessageCreated", ', '"MessageCreatd", '))
    assert status == 1
    assert re.search(f"^wrong   {wrong}".replace("(", "\\(").replace(")", "\\)"), out, re.MULTILINE)
    assert "digital: MessageCreatd" in out
    assert CANARY not in out


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
    ],
)
def test_a_wrong_table_is_a_settings_error(run: Run, text: str, key: str) -> None:
    """The line names the variable and the failing key, and quotes no value."""
    with pytest.raises(SettingsError, match=r"^STREAM_ROUTER_CONFIG: ") as error:
        run(text)
    assert key in str(error.value)
    assert CANARY not in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("types", "settings", "more", "wanted"),
    [
        ("MessageAddedIntoCase", {}, "", None),
        ("ChannelUpdated", {}, "", "wrong"),
        ("NoSuchType", {}, "", "wrong"),
        ("ChannelUpdated", {"STREAM_ROUTER_EVENT_TYPES": "ChannelUpdated"}, "", None),
        ("ChannelUpdated", {"STREAM_ROUTER_DROP_TYPES": "ChannelUpdated"}, "", None),
        ("ChannelUpdated", {"STREAM_ROUTER_UNROUTABLE": "publish"}, "", None),
        ("ChannelUpdated", {}, '[event_types]\nChannelUpdated = "conversation.updated"\n', None),
        ("MessageCreated", {"STREAM_ROUTER_EVENT_TYPES": "interaction.created"}, "", "wrong"),
    ],
)
def test_a_type_that_would_end_as_a_dead_letter_is_told(
    monkeypatch: pytest.MonkeyPatch, run: Run, types: str, settings: dict[str, str], more: str, wanted: str | None
) -> None:
    """By the settings and the mapping that the consumer reads; what is renamed, let through or dropped is well."""
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    status, out = run(SOURCES.replace('"MessageCreated", "CaseStatusChanged"', f'"{types}"') + more)
    verdicts = [line.split()[0] for line in out.splitlines() if f"digital: {types}:" in line]
    assert status == (1 if wanted == "wrong" else 0)
    assert (wanted in verdicts) if wanted else verdicts == []
