"""`send`: what it signs the receiver takes, what it makes the pipeline maps, what was answered it sums up."""

import base64
import itertools
import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream_router.envelope import open_record, seal
from stream_router.errors import SettingsError
from stream_router.model import Entry, Event, Record
from stream_router.pipeline.transform import Transform
from stream_router.receiver import auth
from stream_router.send import command, poster
from stream_router.send.command import SendOptions
from stream_router.send.samples import bodies, presets
from stream_router.send.signing import check_url, signer
from stream_router.settings.receiver import Receiver
from tests.events import IDENTITY, RECEIVED_MS, config_of
from tests.raw_server import RawServer, Seen, answer
from tests.receiver_kit import Headers

NOW_S = 1_795_512_600
SECRET = "0123456789abcdef0123456789abcdef"
BODY = b'{"a":1}'
STORED = answer(202, b'{"accepted":1,"ids":["0123456789abcdef0123456789abcdef"]}')


def settings(**values: Any) -> Receiver:
    return Receiver(**{"aws_region": "us-east-1", "webhook_secrets": f"{SECRET},another one that is as long", **values})


OWN: dict[str, Any] = {"webhook_scheme": "hmac", "hmac_id_header": "x-id"}
IN_ONE_HEADER = {"hmac_header": "Stripe-Signature", "hmac_timestamp_header": "stripe-signature", "hmac_prefix": "v1="}
ALL_OWN = {
    "hmac_timestamp_header": "x-time",
    "hmac_template": "v0:{timestamp}:{id}:{body}:end",
    "hmac_algorithm": "sha512",
    "hmac_encoding": "base64",
    "hmac_prefix": "v0=",
    "hmac_header": "x-sig",
}
STANDARD = "whsec_" + base64.b64encode(SECRET.encode()).decode()


@pytest.mark.parametrize(
    "values",
    [
        {"webhook_scheme": "expert"},
        {"webhook_scheme": "standard-webhooks", "webhook_secrets": STANDARD},
        {"webhook_scheme": "bearer", "hmac_id_header": "x-id"},
        {"webhook_scheme": "basic", "webhook_secrets": f"user:{SECRET}", "hmac_id_header": "x-id"},
        {"webhook_scheme": "none", "hmac_id_header": "x-id"},
        OWN,
        {**OWN, **ALL_OWN},
        {**OWN, **IN_ONE_HEADER, "hmac_template": "{timestamp}.{body}"},
    ],
)
def test_the_receiver_takes_what_is_signed(values: dict[str, Any]) -> None:
    """Of every scheme, with the delivery id in it."""
    receiver = settings(**values)
    verifier, _ = auth.make_check(receiver)
    headers = Headers(dict(signer(receiver)("delivery-1", BODY, NOW_S).items()))
    assert verifier(headers, BODY, NOW_S) == "delivery-1"


def test_the_pipeline_maps_each_preset() -> None:
    """Each example becomes an entry of a type that the rule lets through."""
    transform = Transform(config_of(), lambda: float(RECEIVED_MS))
    for preset in presets():
        for body in itertools.islice(bodies(preset, None, None), 6):
            (event,) = open_record(Record(seal(IDENTITY, "delivery", RECEIVED_MS, body), 1))
            assert isinstance(event, Event)
            assert isinstance(entry := transform(event), Entry), entry


BEARER = {"webhook_scheme": "bearer", "listen": "10.0.0.5:8080", "trusted_proxies": "10.0.0.0/8"}
BASIC = {"webhook_scheme": "basic", "webhook_secrets": f"user:{SECRET}"}


@pytest.mark.parametrize(
    ("values", "url", "goes"),
    [
        (BEARER, "http://receiver.example/v1/events", False),
        (BEARER, "HTTP://10.0.0.6:8080/v1/events", False),
        (BEARER, "http://10.0.0.5.example:8080/", False),
        (BASIC, "http://192.0.2.7:8080/v1/events", False),
        (BEARER, "https://receiver.example/v1/events", True),
        # loopback and the receiver's own address, which it has judged itself, are no network
        (BEARER, "http://[::1]:8080/", True),
        (BEARER, "http://10.0.0.5:8080/v1/events", True),
        # a signature is not a secret
        ({"webhook_scheme": "hmac"}, "http://receiver.example/v1/events", True),
    ],
)
def test_no_secret_goes_in_the_clear(values: dict[str, Any], url: str, goes: bool) -> None:
    """What must not be sent is one line, before anything is."""
    if goes:
        check_url(settings(**values), url)
        return
    with pytest.raises(SettingsError, match=f"^--url: {values['webhook_scheme']} would send .*; "):
        command.run(settings(**values), SendOptions(1, 0, "default", None, None, url))


def sent(*answers: bytes, **values: Any) -> tuple[int, list[Seen]]:
    """Runs the command against a server that answers so, in turn: its status, what was sent."""
    options = {"events": len(answers), "rate": 0.0, "preset": "default", "event_type": None, "file": None, "url": None}
    replies = iter(answers)
    with RawServer(lambda _: next(replies)) as server:
        send_options = SendOptions(
            **{**options, "url": server.url, **{option: values.pop(option) for option in options if option in values}}
        )
        return command.run(settings(**{"webhook_scheme": "none", **values}), send_options), server.requests


def slowest_ms(printed: str) -> float:
    return float(printed.rpartition("max ")[2].replace(",", ""))


def test_what_was_answered_is_counted_in_the_receivers_words(capsys: pytest.CaptureFixture[str]) -> None:
    """One refusal is status 1; what others say drives no terminal; a 202 of another server stored nothing."""
    refused = answer(400, orjson.dumps({"error": "x\x1b[31m", "message": "two\nlines"}))
    assert sent(STORED, refused, refused, answer(202, b'{"ids":[7]}'), answer(404, b"<html>"))[0] == 1
    output = capsys.readouterr().out
    for line in ("1 202 accepted", "2 400 x\ufffd[31m: two\ufffdlines", "1 202, not an answer", "1 404, not an answer"):
        assert f"\n      {line}" in output


def test_what_was_sent_again_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With why, and timed from the first attempt: "202 accepted" alone hides each refusal before (FINDINGS F9)."""
    monkeypatch.setattr(poster, "RETRY_PAUSE_S", 0.1)
    status, requests = sent(answer(503), answer(500), STORED, STORED, events=2, rate=1.0, hmac_id_header="x-id")
    first, *again, other = [seen.headers["x-id"] for seen in requests]
    assert (status, again, other != first) == (0, [first, first], True), "what is sent again waits for no new one"
    output = capsys.readouterr().out
    assert "      2 202 accepted" in output.splitlines()
    assert "      2 retries, each with the same delivery id: 1 after 503, 1 after 500" in output
    assert slowest_ms(output) >= 2 * poster.RETRY_PAUSE_S * 1000


def test_at_a_rate_latency_counts_from_when_a_delivery_was_due(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What waits for a free connection is late by the receiver's fault, so no percentile may leave it out."""
    monkeypatch.setattr(poster, "CONNECTIONS", 1)

    def slow(_: Seen) -> bytes:
        time.sleep(0.2)
        return STORED

    with RawServer(slow) as server:
        sent(events=4, rate=20.0, url=server.url)
    assert slowest_ms(capsys.readouterr().out) >= 650


def test_a_file_goes_as_what_it_is_and_to_this_host_by_no_proxy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """XML under its own type; what the environment names for the world outside is elsewhere; no password is said."""
    with RawServer(lambda _: STORED) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        for body, kind in ((b'{"a":"<b>\xff"}', "application/json"), (b'\xef\xbb\xbf\n<event id="1"/>', "text/xml")):
            (tmp_path / "event").write_bytes(body)
            status, (seen,) = sent(STORED, file=tmp_path / "event")
            assert (status, seen.headers["content-type"], seen.body) == (0, kind, body)
        assert proxy.requests == []
        assert sent(events=1, url="http://u:p4ss@receiver.example/v1/events")[0] == 0
        assert len(proxy.requests) == 1
    assert "p4ss" not in capsys.readouterr().out
