"""`send`: what it signs the receiver takes, what it makes the pipeline maps, what was answered it sums up."""

import base64
import itertools
import ssl
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import orjson
import pytest
import trustme

from stream_router.envelope import open_record, seal
from stream_router.errors import SettingsError
from stream_router.model import Entry, Event, Record
from stream_router.pipeline.transform import Transform
from stream_router.receiver import auth
from stream_router.receiver.auth import RefusedError
from stream_router.send import command, poster
from stream_router.send.command import Tally, Wish
from stream_router.send.poster import ANSWER_KEPT_BYTES, TRY_AGAIN_S, Answered, Poster, Webhook
from stream_router.send.samples import bodies, presets
from stream_router.send.signing import check_url, first_secret, own_url, signer
from stream_router.settings.receiver import Receiver
from stream_router.settings.types import Scheme
from tests.events import IDENTITY, RECEIVED_MS, config_of
from tests.raw_server import RawServer, Seen, answer
from tests.receiver_kit import Headers

NOW_S = 1_795_512_600
SECRET = "0123456789abcdef0123456789abcdef"
BODY = b'{"a":1}'
ID = "delivery-1"
STORED = b'{"accepted":1,"ids":["0123456789abcdef0123456789abcdef"]}'


def summary(answers: list[Answered], rate: float = 0.0) -> list[str]:
    tally = Tally(rate)
    for one in answers:
        tally.take(one)
    return tally.lines("http://x", len(answers), 2.0, Counter())


def settings(**given: Any) -> Receiver:
    return Receiver(**{"aws_region": "us-east-1", "webhook_secrets": f"{SECRET},another one that is as long", **given})


@pytest.mark.parametrize(
    "given",
    [
        {"webhook_scheme": "expert"},
        {
            "webhook_scheme": "standard-webhooks",
            "webhook_secrets": "whsec_" + base64.b64encode(SECRET.encode()).decode(),
        },
        {"webhook_scheme": "bearer", "hmac_id_header": "x-id"},
        {"webhook_scheme": "basic", "webhook_secrets": f"user:{SECRET}", "hmac_id_header": "x-id"},
        {"webhook_scheme": "none", "hmac_id_header": "x-id"},
        {"webhook_scheme": "hmac", "hmac_id_header": "x-id"},
        {
            "webhook_scheme": "hmac",
            "hmac_id_header": "x-id",
            "hmac_timestamp_header": "x-time",
            "hmac_template": "v0:{timestamp}:{id}:{body}:end",
            "hmac_algorithm": "sha512",
            "hmac_encoding": "base64",
            "hmac_prefix": "v0=",
            "hmac_header": "x-sig",
        },
        {
            "webhook_scheme": "hmac",
            "hmac_header": "Stripe-Signature",
            "hmac_timestamp_header": "stripe-signature",
            "hmac_template": "{timestamp}.{body}",
            "hmac_prefix": "v1=",
            "hmac_id_header": "x-id",
        },
    ],
    ids=lambda given: "-".join(str(value)[:8] for value in given.values()),
)
def test_the_receiver_takes_what_is_signed(given: dict[str, Any]) -> None:
    """Of every scheme, with the delivery id in it; and refuses the same for another body."""
    receiver = settings(**given)
    verifier, _ = auth.make(receiver)
    headers = Headers(dict(signer(receiver)(ID, BODY, NOW_S).items()))
    assert verifier.verify(headers, BODY, NOW_S) == ID
    if given["webhook_scheme"] not in ("bearer", "basic", "none"):
        with pytest.raises(RefusedError):
            verifier.verify(headers, BODY + b" ", NOW_S)


def test_every_scheme_is_signed_in_its_own_way() -> None:
    """None falls through to another's; one that is not known is refused before anything is sent."""
    for scheme in get_args(Scheme):
        assert callable(signer(settings(webhook_scheme=scheme, webhook_secrets="whsec_" + "MDEyMzQ1Njc4OWFiY2RlZg==")))
    with pytest.raises(SettingsError, match="STREAM_ROUTER_WEBHOOK_SCHEME"):
        signer(settings(webhook_scheme="hmac").model_copy(update={"webhook_scheme": "another"}))


def test_the_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    """The first one: comments and empty lines are none."""
    (tmp_path / "secrets").write_text("# ours\n\nfirst of them\nsecond\n")
    assert first_secret(f"file:{tmp_path}/secrets") == "first of them"


def test_without_a_scheme_it_is_the_scheme_that_is_not_set() -> None:
    """Not its secret, which scheme `none` has not."""
    with pytest.raises(SettingsError, match=r"^STREAM_ROUTER_WEBHOOK_SCHEME: is not set; "):
        signer(settings(webhook_secrets=""))


@pytest.mark.parametrize("setting", ["", " , ", "file:/nonexistent", "ssm:/a/b", "secretsmanager:arn:aws:x"])
def test_without_a_secret_there_is_one_line(setting: str) -> None:
    """By the setting's name, with the cure."""
    with pytest.raises(SettingsError, match=r"^STREAM_ROUTER_WEBHOOK_SECRETS: .*; "):
        first_secret(setting)


@pytest.mark.parametrize("preset", presets())
def test_the_pipeline_maps_each_preset(preset: str) -> None:
    """Each example becomes an entry of a type that the rule lets through."""
    transform = Transform(config_of(), lambda: float(RECEIVED_MS))
    for body in itertools.islice(bodies(preset, None, None), 6):
        (event,) = open_record(Record(seal(IDENTITY, "delivery", RECEIVED_MS, body), 1))
        assert isinstance(event, Event)
        assert isinstance(made := transform(event), Entry), made


@pytest.mark.parametrize(
    ("preset", "event_type"),
    [("default", "agent.status.changed"), ("default", "of.my.own"), ("cxone-digital", "CaseStatusChanged")],
)
def test_a_type_may_be_asked_for(preset: str, event_type: str) -> None:
    """Also one that nobody knows: to see what becomes of it."""
    for body in itertools.islice(bodies(preset, event_type, None), 3):
        assert orjson.loads(body)["eventType"] == event_type


def test_a_files_bytes_are_sent_as_they_are(tmp_path: Path) -> None:
    """Broken ones too."""
    (tmp_path / "event").write_bytes(b'{"broken": \xff')
    assert next(bodies("default", None, tmp_path / "event")) == b'{"broken": \xff'


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (("nope", None, None), "--preset"),
        (("cxone-data-stream", "x", None), "--type"),
        (("default", None, Path("/nonexistent")), "--file"),
        (("default", "x", Path(__file__)), "--type"),
        (("cxone-digital", None, Path(__file__)), "--preset"),
    ],
)
def test_what_cannot_be_sent_is_one_line(given: tuple[str, str | None, Path | None], name: str) -> None:
    """By the option's name."""
    with pytest.raises(SettingsError, match=f"^{name}: .*; "):
        next(bodies(*given))


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({"listen": "0.0.0.0:8080"}, "http://127.0.0.1:8080/v1/events"),
        ({"listen": "[::]:8443", "tls_cert": "/c.pem"}, "https://[::1]:8443/v1/events"),
        ({"listen": "receiver.example:80"}, "http://receiver.example:80/v1/events"),
    ],
)
def test_the_receivers_own_settings_say_where_it_is(given: dict[str, str], url: str) -> None:
    """So that `send` needs no option on the receiver's host."""
    assert own_url(settings(webhook_scheme="none", **given)) == url


@pytest.mark.parametrize("url", ["localhost:80", "http://zoë.example/", "http://[::1", "http://x:99999/"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    """Before anything is sent."""
    with pytest.raises(SettingsError, match=r"^--url: "):
        command.run(settings(webhook_scheme="none"), Wish(1, 0, "default", None, None, url))


TOKEN = "t0ken-of-the-senders"
BEARER = {
    "webhook_scheme": "bearer",
    "webhook_secrets": TOKEN,
    "listen": "10.0.0.5:8080",
    "trusted_proxies": "10.0.0.0/8",
}


@pytest.mark.parametrize(
    ("given", "url"),
    [
        (BEARER, "http://receiver.example/v1/events"),
        (BEARER, "HTTP://10.0.0.6:8080/v1/events"),
        (BEARER, "http://10.0.0.5.example:8080/v1/events"),
        ({"webhook_scheme": "basic", "webhook_secrets": f"user:{SECRET}"}, "http://192.0.2.7:8080/v1/events"),
    ],
)
def test_a_secret_goes_over_no_network_in_the_clear(given: dict[str, Any], url: str) -> None:
    """Whoever is on the way could send events from then on; nothing is sent, and the line says how to go about it."""
    with pytest.raises(SettingsError, match=r"^--url: (bearer|basic) would send .* plain HTTP; give https://"):
        command.run(settings(**given), Wish(1, 0, "default", None, None, url))


@pytest.mark.parametrize(
    ("given", "url"),
    [
        (BEARER, "https://receiver.example/v1/events"),
        (BEARER, "http://127.0.0.1:8080/v1/events"),
        (BEARER, "http://[::1]:8080/v1/events"),
        (BEARER, "http://10.0.0.5:8080/v1/events"),
        ({"webhook_scheme": "hmac"}, "http://receiver.example/v1/events"),
        ({"webhook_scheme": "none"}, "http://receiver.example/v1/events"),
    ],
)
def test_what_may_go_over_plain_http_is_not_refused(given: dict[str, Any], url: str) -> None:
    """A signature is no secret; loopback and the receiver's own address, which it has judged itself, are no network."""
    check_url(settings(**given), url)


@pytest.mark.parametrize("given", [{"webhook_scheme": "bearer"}, {"webhook_scheme": "basic"}])
def test_a_server_that_repeats_the_secret_is_not_repeated(
    capsys: pytest.CaptureFixture[str], given: dict[str, str]
) -> None:
    """A gateway that shows in its error what it was asked would put it into every log of ours."""
    receiver = settings(webhook_secrets=f"user:{SECRET}", **given)

    def echo(seen: Seen) -> bytes:
        return answer(400, orjson.dumps({"error": "x", "message": f"you sent {seen.headers['authorization']}!"}))

    with RawServer(echo) as server:
        assert command.run(receiver, Wish(1, 0, "default", None, None, server.url)) == 1
    sent = server.requests[0].headers["authorization"].partition(" ")[2]
    said = capsys.readouterr().out
    assert f"1 400 x: you sent {given['webhook_scheme'].title()} (hidden)!" in said
    assert sent not in said


def test_what_was_sent_again_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """With why: "20000 202 accepted" alone hides a receiver that refused 297 of them first (FINDINGS F9)."""
    answers = iter([answer(503), answer(500), answer(202, STORED), answer(202, STORED)])
    with RawServer(lambda _: next(answers)) as server:
        assert command.run(settings(webhook_scheme="none"), Wish(2, 2.0, "default", None, None, server.url)) == 0
    said = capsys.readouterr().out.splitlines()
    assert "      2 202 accepted" in said
    assert "      2 sent again, each with its delivery id: 1 after 503, 1 after 500" in said


def test_a_certificate_of_an_own_ca_is_trusted_where_ssl_cert_file_names_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As by every program that uses OpenSSL."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    answers: list[Answered] = []
    with RawServer(lambda _: answer(202, STORED), context) as server:
        _all(iter([Webhook(ID, BODY)]), answers, server.url, 0.0)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        _all(iter([Webhook(ID, BODY)]), answers, server.url)
    assert [one.status for one in answers] == [0, 202]


def test_where_one_of_several_is_refused_not_all_were_sent(capsys: pytest.CaptureFixture[str]) -> None:
    """Its status is what a script looks at."""
    refused = answer(400, b'{"error":"not_an_object","message":"no"}')
    answers = iter([answer(202, STORED), refused, refused])
    receiver = settings(webhook_scheme="hmac", webhook_secrets=SECRET)
    with RawServer(lambda _: next(answers)) as server:
        assert command.run(receiver, Wish(3, 0, "default", None, None, server.url)) == 1
    said = capsys.readouterr().out.splitlines()
    assert "      1 202 accepted" in said
    assert "      2 400 not_an_object: no" in said


def test_a_password_in_the_url_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was sent is said, with where to."""
    with RawServer(lambda _: answer(202, STORED)) as server:
        monkeypatch.setenv("http_proxy", server.url)
        wish = Wish(1, 0, "default", None, None, "http://u:p4ss@receiver.example/v1/events")
        assert command.run(settings(webhook_scheme="hmac", webhook_secrets=SECRET), wish) == 0
    assert len(server.requests) == 1
    assert capsys.readouterr().out.startswith("1 sent to http://receiver.example/v1/events\n")


def test_a_token_that_no_header_can_carry_is_one_line() -> None:
    """In the receiver's own words."""
    with pytest.raises(SettingsError, match=r"^STREAM_ROUTER_WEBHOOK_SECRETS: a token holds a character that no"):
        signer(settings(webhook_scheme="bearer", webhook_secrets=f"{SECRET}ü"))


@pytest.mark.parametrize("body", [b"ok", b"", b"[]", b'{"ids":"x"}', b'{"ids":[7]}', b'{"ids":[]}'])
def test_a_202_of_another_server_is_not_taken_for_ours(body: bytes) -> None:
    """It stored nothing: the URL leads elsewhere, to a load balancer's own page or another webhook's receiver."""
    assert summary([Answered(Webhook("d", b""), 202, body, 1.0)])[1:2] == [
        "      1 202, not in the words of a receiver of ours: check the URL"
    ]


def test_what_a_server_says_drives_no_terminal() -> None:
    """Whoever answers may be anybody."""
    said = orjson.dumps({"error": "x\x1b[31m", "message": "two\nlines"})
    (_, line, *_) = summary([Answered(Webhook("d", b""), 400, said, 1.0)])
    assert line == "      1 400 x\ufffd[31m: two\ufffdlines"


@pytest.mark.parametrize("name", ["http_proxy", "all_proxy"])
def test_a_receiver_on_this_host_is_asked_past_a_proxy(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """What the environment names for the world outside would look for 127.0.0.1 on its own machine."""
    answers: list[Answered] = []
    with RawServer(lambda _: answer(407)) as proxy, RawServer(lambda _: answer(202, STORED)) as receiver:
        monkeypatch.setenv(name, proxy.url)
        sign = signer(settings(webhook_scheme="none"))
        Poster(f"{receiver.url}/v1/events", sign, answers.append, 0).run(iter([Webhook(ID, BODY)]), 0, lambda: True)
    assert ([one.status for one in answers], proxy.requests) == ([202], [])


def test_an_answer_without_end_fills_no_memory() -> None:
    """The URL may lead to anything, a download too."""
    answers: list[Answered] = []
    with RawServer(lambda _: answer(404, bytes(3 * ANSWER_KEPT_BYTES))) as server:
        sign = signer(settings(webhook_scheme="none"))
        webhooks = [Webhook(ID, BODY), Webhook(ID, BODY)]
        Poster(server.url, sign, answers.append, 0).run(iter(webhooks), 0, lambda: True)
    assert [one.status for one in answers] == [404, 404]
    assert all(len(one.body) < 2 * ANSWER_KEPT_BYTES for one in answers)


def _all(made: Iterator[Webhook], answers: list[Answered], url: str, give_up_s: float = 5.0, rate: float = 0) -> None:
    Poster(url, signer(settings(webhook_scheme="none")), answers.append, give_up_s).run(made, rate, lambda: True)


@pytest.mark.parametrize(("port", "rate"), [(None, 2.0), (9, 0.0)])
def test_waiting_takes_no_processor(port: int | None, rate: float) -> None:
    """Neither for the next one that is due, nor to try again what got no answer."""
    answers: list[Answered] = []
    with RawServer(lambda _: answer(202, STORED)) as server:
        url = f"http://127.0.0.1:{port or server.port}/"
        began, used_s = time.monotonic(), time.process_time()
        _all(iter([Webhook(ID, BODY)] * 3), answers, url, 1.0, rate)
        took_s, used_s = time.monotonic() - began, time.process_time() - used_s
    assert len(answers) == 3
    assert took_s >= 1.0
    assert used_s < took_s / 2


def test_what_is_sent_again_waits_for_no_new_one() -> None:
    """Else a delivery that was answered 503 once would wait until all others are sent."""
    refused, ended, until = [answer(503)], set[str](), time.monotonic() + 5
    sign = signer(settings(webhook_scheme="none", hmac_id_header="x-id"))

    def reply(seen: Seen) -> bytes:
        return refused.pop() if refused and seen.headers["x-id"] == "0" else answer(202, STORED)

    with RawServer(reply) as server:
        endless = (Webhook(str(number), BODY) for number in itertools.count())
        patient = Poster(server.url, sign, lambda one: ended.add(one.webhook.delivery_id), 10.0)
        patient.run(endless, 0, lambda: "0" not in ended and time.monotonic() < until)
    assert "0" in ended


@pytest.mark.parametrize(
    ("body", "kind"), [(b'{"a":"<b>"}', "application/json"), (b'\xef\xbb\xbf\n<event id="1"/>', "text/xml")]
)
def test_xml_is_sent_as_what_it_is(body: bytes, kind: str) -> None:
    """As CXone Expert sends it: under another type the receiver calls it malformed JSON."""
    with RawServer(lambda _: answer(202, STORED)) as server:
        _all(iter([Webhook(ID, body)]), [], server.url)
    assert (server.requests[0].headers["content-type"], server.requests[0].body) == (kind, body)


def test_a_delivery_is_timed_from_its_first_attempt() -> None:
    """A sender waits for its answer through all of them: the last one alone would hide every refusal."""
    refused, answers = [answer(503)], list[Answered]()
    with RawServer(lambda _: refused.pop() if refused else answer(202, STORED)) as server:
        _all(iter([Webhook(ID, BODY)]), answers, server.url)
    assert [one.status for one in answers] == [202]
    assert answers[0].took_ms >= TRY_AGAIN_S * 1000


def test_at_a_rate_it_is_known_how_late_each_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for a free connection is late by the receiver's fault, so no percentile may leave it out."""
    monkeypatch.setattr(poster, "CONNECTIONS", 1)
    answers: list[Answered] = []

    def slow(_: Seen) -> bytes:
        time.sleep(0.2)
        return answer(202, STORED)

    with RawServer(slow) as server:
        _all((Webhook(str(number), BODY) for number in range(4)), answers, server.url, rate=20.0)
    assert [one.late_ms + one.took_ms >= least for one, least in zip(answers, (200, 350, 500, 650), strict=True)] == [
        True
    ] * 4


def test_the_summary_says_what_came_back() -> None:
    """By status, with the receiver's own words; and latencies of what was answered."""
    refused = orjson.dumps({"error": "bad_signature", "message": "the sender is not known"})
    answers = [Answered(Webhook("d", b""), 202, STORED, float(n)) for n in range(1, 101)]
    answers += [Answered(Webhook("d", b""), 401, refused, 1.0), Answered(Webhook("d", b""), 502, b"<html>", 1.0)]
    answers.append(Answered(Webhook("d", b""), 0, b"Connection refused", 0.0))
    assert summary(answers) == [
        "103 sent to http://x in 2 s, 51.5 a second",
        "    100 202 accepted",
        "      1 401 bad_signature: the sender is not known",
        "      1 502, not in the words of a receiver of ours: check the URL",
        "      1 without an answer: Connection refused",
        "latency in ms, at most 48 under way at once: p50 50, p90 90, p99 99, max 100",
    ]


def test_seconds_are_no_powers_of_ten() -> None:
    """A receiver that refuses is asked until it is given up."""
    answers = [Answered(Webhook("d", b""), 503, b"", 10_613.4), Answered(Webhook("d", b""), 503, b"", 999.5)]
    assert summary(answers)[-1].endswith("p50 10,613, max 10,613")
    assert summary(answers[1:])[-1].endswith("max 1,000")


def test_at_a_rate_latency_counts_from_when_a_delivery_was_due() -> None:
    """What waited for a connection would else be missing from the very percentiles that it made worse."""
    answers = [Answered(Webhook("d", b""), 202, STORED, 1.0, late) for late in (0.0, 99.0)]
    assert summary(answers, rate=5.0)[-1] == "latency in ms, each counted from when it was due: p50 100, max 100"


@pytest.mark.parametrize(
    ("count", "told"),
    [(1, "max 1"), (2, "p50 1, max 1"), (99, "p50 1, p90 1, max 1"), (100, "p50 1, p90 1, p99 1, max 1")],
)
def test_no_percentile_is_told_of_too_few(count: int, told: str) -> None:
    """Of ten answers nobody knows the 99th percentile."""
    line = summary([Answered(Webhook("d", b""), 202, STORED, 1.0)] * count, rate=5.0)[2]
    assert line.partition(": ")[2] == told


def test_no_rate_is_told_of_a_moment() -> None:
    """Three deliveries at 20 a second are done in a tenth of one, which is not 30 a second."""
    tally = Tally(20.0)
    assert tally.lines("http://x", 3, 0.1, Counter())[0] == "3 sent to http://x in 0.1 s"
    assert tally.lines("http://x", 30, 1.5, Counter())[0] == "30 sent to http://x in 1.5 s, 20 a second"


def test_one_trouble_is_one_line() -> None:
    """libcurl says of each how long it took, which makes no other trouble of it."""
    said = [f"Failed to connect to x:1 after {ms} ms: Could not connect\n" for ms in ("0", "17")]
    told = summary([Answered(Webhook("d", b""), 0, text.encode(), 1.0) for text in said])
    assert told[1:] == ["      2 without an answer: Failed to connect to x:1: Could not connect"]


def test_what_was_answered_is_kept_as_sums_alone() -> None:
    """Ten million deliveries may be asked for, of some hundred bytes each, and of others' words there is no end."""
    tally = Tally(0)
    tracemalloc.start()
    for number in range(2000):
        said = orjson.dumps({"error": "x", "message": f"{number} " + "y" * 5000})
        tally.take(Answered(Webhook("d", bytes(10_000)), 400, said, 1.0))
    kept_bytes = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept_bytes < 200_000
    assert sum(map(len, tally.lines("http://x", 2000, 1.0, Counter()))) < 20_000
    assert tally.count == 2000
