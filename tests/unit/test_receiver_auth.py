"""Who may send: each scheme takes what its sender signs, and refuses everything else with RefusedError alone."""

import base64
import hashlib
import hmac
from typing import Any

import pytest

from stream_router.errors import SettingsError
from stream_router.receiver import auth
from stream_router.receiver.auth import RefusedError
from stream_router.receiver.request import Headers as RequestHeaders
from stream_router.settings.receiver import Receiver
from tests.receiver_kit import KEY, Headers

NOW_S = 1_780_000_000.0
STAMP = str(int(NOW_S))
BODY = b'{"a":1}'
WHSEC = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()


def verifier(**settings: Any) -> auth.Verify:
    made, _ = auth.make(
        Receiver(aws_region="us-east-1", **{"webhook_secrets": KEY, "weak_secrets": "allow", **settings})
    )
    return made


def mac(text: bytes, key: bytes = KEY.encode(), algorithm: str = "sha256") -> bytes:
    return hmac.new(key, text, algorithm).digest()


def expert(body: bytes = BODY, stamp: str = STAMP) -> dict[str, str | list[str]]:
    signature = mac(f"{stamp}.".encode() + body).hex()
    return {
        "X-Nexus-Signature-256": f"sha256={signature}",
        "X-Nexus-Timestamp": stamp,
        "X-Nexus-Delivery-Id": "d-1",
    }


def standard(body: bytes = BODY, stamp: str = STAMP, identity: str = "msg_1") -> dict[str, str | list[str]]:
    key = base64.b64decode(WHSEC.removeprefix("whsec_"))
    signature = base64.b64encode(mac(f"{identity}.{stamp}.".encode() + body, key)).decode()
    return {"webhook-id": identity, "webhook-timestamp": stamp, "webhook-signature": f"v1,{signature}"}


def refusal(made: auth.Verify, headers: dict[str, Any], body: bytes = BODY, now_s: float = NOW_S) -> str:
    with pytest.raises(RefusedError) as caught:
        made(Headers(headers), body, now_s)
    return caught.value.code


def test_expert_takes_a_signed_delivery_and_its_id() -> None:
    """CXone Expert's signature over `timestamp.body` is known, and its delivery id is the delivery's.

    It does not sign that id, so its absence makes nobody suspect.
    """
    made, headers = verifier(webhook_scheme="expert"), expert()
    assert made(Headers(headers), BODY, NOW_S) == "d-1"
    del headers["X-Nexus-Delivery-Id"]
    assert made(Headers(headers), BODY, NOW_S) is None


def test_standard_webhooks_takes_any_good_signature_of_a_list() -> None:
    """A sender that rotates its key sends two signatures; one that is good is enough, whatever stands beside it."""
    headers = standard()
    headers["webhook-signature"] = f"v1a,AAAA v1,bm90IGl0 {headers['webhook-signature']}"
    made = verifier(webhook_scheme="standard-webhooks", webhook_secrets=WHSEC)
    assert made(Headers(headers), BODY, NOW_S) == "msg_1"


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha384", "sha512"])
@pytest.mark.parametrize("encoding", ["hex", "base64"])
def test_hmac_follows_its_settings(algorithm: str, encoding: str) -> None:
    """Header, algorithm, encoding, prefix, template and the timestamp's header are all the operator's."""
    made = verifier(
        webhook_scheme="hmac",
        hmac_header="X-Sig",
        hmac_algorithm=algorithm,
        hmac_encoding=encoding,
        hmac_prefix="v0=",
        hmac_template="v0:{timestamp}:{id}:{body}",
        hmac_timestamp_header="X-When",
        hmac_id_header="X-Id",
    )
    signed = mac(f"v0:{STAMP}:id-7:".encode() + BODY, algorithm=algorithm)
    text = signed.hex() if encoding == "hex" else base64.b64encode(signed).decode()
    headers: dict[str, Any] = {"X-Sig": f"v0={text}", "X-When": STAMP, "X-Id": "id-7"}
    assert made(Headers(headers), BODY, NOW_S) == "id-7"
    assert refusal(made, {**headers, "X-Sig": text}) == "bad_signature"
    assert refusal(made, {**headers, "X-Id": "id-8"}) == "bad_signature"


@pytest.mark.parametrize("stamp", [NOW_S - 301, NOW_S + 301])
def test_a_good_signature_outside_the_window_is_stale(stamp: float) -> None:
    """The replay window counts both ways."""
    assert refusal(verifier(webhook_scheme="expert"), expert(stamp=str(int(stamp)))) == "stale"


@pytest.mark.parametrize("stamp", [NOW_S - 299, NOW_S + 299, NOW_S * 1000])
def test_inside_the_window_it_is_fresh(stamp: float) -> None:
    """Seconds and milliseconds are both understood."""
    assert verifier(webhook_scheme="expert")(Headers(expert(stamp=str(int(stamp)))), BODY, NOW_S) == "d-1"


@pytest.mark.parametrize("stamp", ["", "-5", "1e9", "١٢٣٤", "99999999999999999999", " 1", "0x5", "NaN"])
def test_a_timestamp_that_is_no_number_is_refused_even_if_signed(stamp: str) -> None:
    """A malformed timestamp is a 401, never an error."""
    assert refusal(verifier(webhook_scheme="expert"), expert(stamp=stamp)) == "bad_signature"


@pytest.mark.parametrize("name", ["X-Nexus-Signature-256", "X-Nexus-Timestamp", "X-Nexus-Delivery-Id"])
def test_a_header_that_comes_twice_is_refused(name: str) -> None:
    """Two values of one header could be read differently by somebody else on the way."""
    headers = expert()
    headers[name] = [str(headers[name]), str(headers[name])]
    assert refusal(verifier(webhook_scheme="expert"), headers) == "bad_signature"


def test_a_delivery_id_beyond_all_reason_is_refused() -> None:
    """Ids are kept in memory, so their length is bounded."""
    assert refusal(verifier(webhook_scheme="expert"), {**expert(), "X-Nexus-Delivery-Id": "x" * 257}) == "bad_signature"


SECRET = base64.b64encode(b"a key of some length").decode()


def branded(name: str, body: bytes = BODY) -> dict[str, Any]:
    """A delivery as the Standard Webhooks' libraries sign it, under a brand's names of the headers."""
    signed = mac(f"msg_1.{int(NOW_S)}.".encode() + body, b"a key of some length")
    signature = f"v1a,AAAA v1,{base64.b64encode(signed).decode()}"
    return {f"{name}-id": "msg_1", f"{name}-timestamp": str(int(NOW_S)), f"{name}-signature": signature}


def test_standard_webhooks_under_svix_s_own_names() -> None:
    """Svix sends the same three under `svix-…`; one set may not lend the other a header."""
    made = verifier(webhook_scheme="standard-webhooks", webhook_secrets=f"whsec_{SECRET}")
    assert made(Headers(branded("svix")), BODY, NOW_S) == "msg_1"
    assert made(Headers(branded("webhook")), BODY, NOW_S) == "msg_1"
    mixed = {**branded("svix"), "webhook-signature": branded("webhook", b"other")["webhook-signature"]}
    assert refusal(made, mixed) == "bad_signature"
    for missing in branded("svix"):
        assert refusal(made, {k: v for k, v in branded("svix").items() if k != missing}) == "bad_signature"


STRIPE = {
    "webhook_scheme": "hmac",
    "hmac_header": "Stripe-Signature",
    "hmac_timestamp_header": "Stripe-Signature",
    "hmac_prefix": "v1=",
    "hmac_template": "{timestamp}.{body}",
}


def test_timestamp_and_signatures_in_one_header() -> None:
    """As Stripe has it, `t=…,v1=…`: any good signature of the list, a fresh time, both under one MAC."""
    made = verifier(**STRIPE)
    stamp = int(NOW_S)
    good = mac(f"{stamp}.".encode() + BODY).hex()
    for value in (f"t={stamp},v1={good}", f"t={stamp},v1={'0' * 64},v1={good},v0=x", f"v1={good}, t={stamp}"):
        assert made(Headers({"Stripe-Signature": value}), BODY, NOW_S) is None
    for value in (f"v1={good}", f"t={stamp}", f"t={stamp},t={stamp},v1={good}", f"t={stamp + 1},v1={good}", good, ""):
        assert refusal(made, {"Stripe-Signature": value}) == "bad_signature"
    old = stamp - 301
    signed = mac(f"{old}.".encode() + BODY).hex()
    assert refusal(made, {"Stripe-Signature": f"t={old},v1={signed}"}) == "stale"


def test_every_live_secret_is_good() -> None:
    """Two secrets are live while one replaces the other."""
    for secrets in (f"{KEY},new", f"new, {KEY} "):
        assert verifier(webhook_scheme="expert", webhook_secrets=secrets)(Headers(expert()), BODY, NOW_S)


def test_bearer_takes_its_token_only() -> None:
    """The token is compared whole."""
    made = verifier(webhook_scheme="bearer")
    assert made(Headers({"Authorization": f"bearer {KEY}"}), BODY, NOW_S) is None
    for value in (KEY, f"Bearer {KEY}x", f"Bearer {KEY[:-1]}", "Bearer ", "", f"Basic {KEY}"):
        assert refusal(made, {"Authorization": value}) == "bad_signature"


def test_basic_takes_user_and_password_only() -> None:
    """Anything that is not their base64 is refused, broken base64 included."""
    made = verifier(webhook_scheme="basic", webhook_secrets="user:pass:word")
    good = base64.b64encode(b"user:pass:word").decode()
    assert made(Headers({"Authorization": f"Basic {good}"}), BODY, NOW_S) is None
    respelled = "dXNlcjpwYXNzOndvcmR="
    assert base64.b64decode(respelled) == base64.b64decode(good)
    for value in (f"Basic {respelled}", good, f"Basic {good[:-2]}", "Basic ====", "Basic é", f"Bearer {good}"):
        assert refusal(made, {"Authorization": value}) == "bad_signature"


@pytest.mark.parametrize("listen", ["0.0.0.0:80", "10.0.0.5:80", "[::]:80", "example.org:80"])
def test_none_is_refused_beyond_loopback(listen: str) -> None:
    """Without a check of the sender nothing but this machine may reach the receiver."""
    with pytest.raises(SettingsError, match="loopback only"):
        verifier(webhook_scheme="none", listen=listen)


@pytest.mark.parametrize("listen", ["127.0.0.1:80", "127.9.9.9:80", "[::1]:80", "localhost:80"])
def test_none_is_taken_on_loopback(listen: str) -> None:
    """On loopback anyone is let in."""
    assert verifier(webhook_scheme="none", listen=listen)(Headers({}), BODY, NOW_S) is None


@pytest.mark.parametrize(
    "settings",
    [
        {"webhook_scheme": "expert", "webhook_secrets": ""},
        {"webhook_scheme": "expert", "webhook_secrets": " , "},
        {"webhook_scheme": "expert", "webhook_secrets": "file:/no/such/file"},
        {"webhook_scheme": "standard-webhooks", "webhook_secrets": "plain-secret"},
        {"webhook_scheme": "standard-webhooks", "webhook_secrets": WHSEC.removeprefix("whsec_")},
        {"webhook_scheme": "standard-webhooks", "webhook_secrets": "whsec_???"},
        {"webhook_scheme": "basic", "webhook_secrets": "no-colon-secret"},
        {"webhook_scheme": "hmac", "hmac_template": "{timestamp}", "hmac_timestamp_header": "x-t"},
        {"webhook_scheme": "hmac", "hmac_template": "{id}.{body}"},
        {"webhook_scheme": "hmac", "hmac_template": "{timestamp}.{body}"},
        {"webhook_scheme": "hmac", "hmac_timestamp_header": "x-t"},
        {"webhook_scheme": "hmac", "hmac_header": "two words"},
        {"webhook_scheme": "hmac", "hmac_header": "X-Sig", "hmac_id_header": "x-sig"},
        {
            "webhook_scheme": "hmac",
            "hmac_template": "{timestamp}.{body}",
            "hmac_timestamp_header": "x-t",
            "hmac_id_header": "X-T",
        },
    ],
)
def test_settings_that_would_let_anyone_in_are_refused_without_quoting_a_secret(settings: dict[str, str]) -> None:
    """One line that names the variable and holds no secret."""
    with pytest.raises(SettingsError) as caught:
        verifier(**settings)
    text = str(caught.value)
    assert text.startswith("STREAM_ROUTER_")
    assert "\n" not in text
    for secret in ("plain-secret", "no-colon-secret", "whsec_???"):
        assert secret not in text


def test_no_repr_shows_a_secret() -> None:
    """Whatever prints a verifier, its secrets or the settings shows none of them."""
    settings = Receiver(aws_region="x", webhook_scheme="expert", webhook_secrets=KEY)
    made, live = auth.make(settings)
    shown = f"{made!r} {live!r} {settings!r} {settings}"
    assert KEY not in shown
    assert hashlib.sha256(KEY.encode()).hexdigest() not in shown


def test_a_scheme_that_is_in_no_table_is_refused() -> None:
    """Unknown means refuse."""
    settings = Receiver(aws_region="x", webhook_scheme="hmac", webhook_secrets=KEY)
    with pytest.raises(SettingsError, match="STREAM_ROUTER_WEBHOOK_SCHEME"):
        auth.make(settings.model_copy(update={"webhook_scheme": "another"}))


def test_a_second_copy_of_a_header_is_seen_whatever_is_in_it() -> None:
    """A proxy may read the first, somebody else the second: both there is 401, also where one is no text."""
    fields = [(name.encode(), str(value).encode()) for name, value in expert().items()]
    assert verifier(webhook_scheme="expert")(RequestHeaders(fields), BODY, NOW_S) == "d-1"
    fields.append((b"X-Nexus-Signature-256", b"\xff\xfe"))
    with pytest.raises(RefusedError):
        verifier(webhook_scheme="expert")(RequestHeaders(fields), BODY, NOW_S)


@pytest.mark.parametrize("space", [b" ", b"\t", b" \t "])
def test_spaces_behind_a_value_are_no_part_of_it(space: bytes) -> None:
    """RFC 9110, 5.5; llhttp leaves them there: a good delivery would be answered 401, which is final for its sender."""
    fields = [(name.encode(), str(value).encode() + space) for name, value in expert().items()]
    read = RequestHeaders(fields)
    assert verifier(webhook_scheme="expert")(read, BODY, NOW_S) == "d-1"
    assert read.get("x-nexus-timestamp") == STAMP
