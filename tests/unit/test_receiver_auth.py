"""Who may send: each scheme takes what its sender signs, and refuses everything else with RefusedError alone."""

import base64
import hmac
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from stream_router.receiver import auth
from stream_router.receiver.auth import RefusedError
from stream_router.receiver.request import Headers as RequestHeaders
from stream_router.settings.receiver import Receiver
from tests.receiver_kit import KEY, Headers

NOW_S = 1_780_000_000
BODY = b'{"a":1}'
WHSEC = "whsec_" + base64.b64encode(KEY.encode()).decode()
BASIC = base64.b64encode(b"user:pass:word").decode()
Given = dict[str, str | list[str]]


def verifier(**settings: Any) -> auth.Verify:
    value = {"webhook_secrets": KEY, "weak_secrets": "allow", **settings}
    return auth.make_check(Receiver(aws_region="us-east-1", **value))[0]


def mac(text: bytes, algorithm: str = "sha256") -> bytes:
    return hmac.new(KEY.encode(), text, algorithm).digest()


def expert(stamp: str = str(NOW_S), body: bytes = BODY) -> Given:
    signature = f"sha256={mac(f'{stamp}.'.encode() + body).hex()}"
    return {"X-Nexus-Signature-256": signature, "X-Nexus-Timestamp": stamp, "X-Nexus-Delivery-Id": "d-1"}


def standard(name: str = "webhook", body: bytes = BODY) -> Given:
    """As the Standard Webhooks' libraries sign it, under a brand's names of the headers."""
    signature = base64.b64encode(mac(f"msg_1.{NOW_S}.".encode() + body)).decode()
    return {f"{name}-id": "msg_1", f"{name}-timestamp": str(NOW_S), f"{name}-signature": f"v1,{signature}"}


def own(algorithm: str, encode: Callable[[bytes], str]) -> Given:
    signed = mac(f"v0:{NOW_S}:id-7:".encode() + BODY + b":end", algorithm)
    return {"X-Sig": f"v0={encode(signed)}", "X-When": str(NOW_S), "X-Id": "id-7"}


def stripe(stamp: int = NOW_S) -> str:
    return f"t={stamp},v1={mac(f'{stamp}.'.encode() + BODY).hex()}"


class Scheme(NamedTuple):
    """Its settings, and what its sender sends."""

    settings: dict[str, Any]
    headers: Given


ALL_OWN: dict[str, Any] = {
    "webhook_scheme": "hmac",
    "hmac_header": "X-Sig",
    "hmac_prefix": "v0=",
    "hmac_template": "v0:{timestamp}:{id}:{body}:end",
    "hmac_timestamp_header": "X-When",
    "hmac_id_header": "X-Id",
}
STRIPE: dict[str, Any] = {
    "webhook_scheme": "hmac",
    "hmac_header": "Stripe-Signature",
    "hmac_timestamp_header": "Stripe-Signature",
    "hmac_prefix": "v1=",
    "hmac_template": "{timestamp}.{body}",
}
SCHEMES = {
    "expert": Scheme({"webhook_scheme": "expert"}, expert()),
    "standard": Scheme({"webhook_scheme": "standard-webhooks", "webhook_secrets": WHSEC}, standard()),
    "svix": Scheme({"webhook_scheme": "standard-webhooks", "webhook_secrets": WHSEC}, standard("svix")),
    "hmac": Scheme({"webhook_scheme": "hmac"}, {"x-signature": mac(BODY).hex()}),
    "own": Scheme({**ALL_OWN, "hmac_algorithm": "sha512"}, own("sha512", bytes.hex)),
    "own base64": Scheme({**ALL_OWN, "hmac_encoding": "base64"}, own("sha256", auth.encode_base64)),
    "stripe": Scheme(STRIPE, {"Stripe-Signature": stripe()}),
    "bearer": Scheme({"webhook_scheme": "bearer", "hmac_id_header": "X-Id"}, {"Authorization": f"Bearer {KEY}"}),
    "basic": Scheme(
        {"webhook_scheme": "basic", "webhook_secrets": "user:pass:word"}, {"Authorization": f"Basic {BASIC}"}
    ),
    "none": Scheme({"webhook_scheme": "none", "hmac_id_header": "X-Id"}, {}),
}


@pytest.mark.parametrize(
    ("scheme", "changes", "identity"),
    [
        ("expert", {}, "d-1"),
        ("expert", {"X-Nexus-Delivery-Id": []}, None),
        *[("expert", expert(str(NOW_S + offset_s)), "d-1") for offset_s in (-299, 299)],
        ("expert", expert(str(NOW_S * 1000)), "d-1"),
        ("standard", {}, "msg_1"),
        ("standard", {"webhook-signature": f"v1a,AAAA v1,bm90IGl0 {standard()['webhook-signature']}"}, "msg_1"),
        ("svix", {}, "msg_1"),
        ("hmac", {}, None),
        ("own", {}, "id-7"),
        ("own base64", {}, "id-7"),
        ("stripe", {}, None),
        ("stripe", {"Stripe-Signature": stripe().replace(",", f",v1={'0' * 64}, v0=x, ")}, None),
        ("bearer", {"Authorization": f"bearer {KEY}", "X-Id": "d-9"}, "d-9"),
        ("basic", {}, None),
        ("none", {"X-Id": "d-9"}, "d-9"),
    ],
)
def test_what_its_sender_signs_is_taken_and_its_delivery_id_is_known(
    scheme: str, changes: Given, identity: str | None
) -> None:
    """Fresh is five minutes both ways, in seconds or milliseconds; of several signatures any good one is enough."""
    answer = SCHEMES[scheme]
    assert verifier(**answer.settings)(Headers({**answer.headers, **changes}), BODY, NOW_S) == identity


UNFIT = ["", "-5", "1e9", "١٢٣٤", "99999999999999999999", " 1", "0x5", "NaN"]


@pytest.mark.parametrize(
    ("scheme", "changes", "code"),
    [
        *[("expert", expert(str(NOW_S + offset_s)), "stale") for offset_s in (-301, 301)],
        *[("expert", expert(stamp), "bad_signature") for stamp in UNFIT],
        *[("expert", {name: [str(value)] * 2}, "bad_signature") for name, value in expert().items()],
        ("expert", {"X-Nexus-Delivery-Id": "x" * 257}, "bad_signature"),
        *[("svix", {name: []}, "bad_signature") for name in standard("svix")],
        ("svix", {"webhook-signature": standard(body=b"other")["webhook-signature"]}, "bad_signature"),
        ("own", {"X-Sig": str(own("sha512", bytes.hex)["X-Sig"]).removeprefix("v0=")}, "bad_signature"),
        ("own", {"X-Id": "id-8"}, "bad_signature"),
        ("own", {"X-Id": []}, "bad_signature"),
        ("own", own("sha256", bytes.hex), "bad_signature"),
        ("stripe", {"Stripe-Signature": stripe(NOW_S - 301)}, "stale"),
        *[
            ("stripe", {"Stripe-Signature": value}, "bad_signature")
            for value in (stripe()[13:], stripe()[:12], f"t={NOW_S},{stripe()}", stripe().replace("t=1", "t=2"), "")
        ],
        # another spelling of the same bytes, and what is not base64
        *[("basic", {"Authorization": f"Basic {value}"}, "bad_token") for value in ("dXNlcjpwYXNzOndvcmR=", "é")],
        *[
            ("bearer", {"Authorization": value}, "bad_token")
            for value in ("", [], "Bearer another token", f"Basic {KEY}", [f"Bearer {KEY}"] * 2)
        ],
        ("bearer", {"X-Id": "x" * 257}, "bad_token"),
    ],
)
def test_whatever_is_odd_is_refused(scheme: str, changes: Given, code: str) -> None:
    """A header that is missing, there twice or malformed, another id, another spelling: a 401, and never an error."""
    answer = SCHEMES[scheme]
    with pytest.raises(RefusedError) as caught:
        verifier(**answer.settings)(Headers({**answer.headers, **changes}), BODY, NOW_S)
    assert caught.value.code == code


def test_every_live_secret_is_good() -> None:
    """Two secrets are live while one replaces the other."""
    for secrets in (f"{KEY},new", f"new, {KEY} "):
        assert verifier(webhook_scheme="expert", webhook_secrets=secrets)(Headers(expert()), BODY, NOW_S)


@pytest.mark.parametrize("space", [b"", b" ", b" \t "])
def test_a_header_is_read_as_it_stands_but_for_spaces_behind_it(space: bytes) -> None:
    """RFC 9110, 5.5; llhttp leaves them there: a good delivery would be answered 401, which is final for its sender.
    A second copy of a header is seen also where it is not text."""
    fields = [(name.encode(), str(value).encode() + space) for name, value in expert().items()]
    assert verifier(webhook_scheme="expert")(RequestHeaders(fields), BODY, NOW_S) == "d-1"
    fields.append((b"X-Nexus-Signature-256", b"\xff\xfe"))
    with pytest.raises(RefusedError):
        verifier(webhook_scheme="expert")(RequestHeaders(fields), BODY, NOW_S)


def with_id(headers: Given, identity: str) -> Headers:
    return Headers({**headers, "X-Nexus-Delivery-Id": identity or []})


def test_the_first_of_ids_that_are_not_signed_counts_while_the_signature_could_pass() -> None:
    """A signed time passes for one window on either side of it; then the signature is forgotten, and stale anyway."""
    verify = verifier(webhook_scheme="expert", replay_window_s=300)
    ahead, now = expert(str(NOW_S + 299)), expert()
    assert [verify(with_id(ahead, name), BODY, NOW_S) for name in ("d-1", "d-2", "")] == ["d-1"] * 3
    assert verify(with_id(ahead, "d-3"), BODY, NOW_S + 598) == "d-1"
    assert [verify(with_id(now, name), BODY, NOW_S) for name in ("", "d-2")] == [None, None]
    plain = verifier(webhook_scheme="hmac", hmac_id_header="X-Nexus-Delivery-Id", replay_window_s=300)
    same = SCHEMES["hmac"].headers
    assert [plain(with_id(same, name), BODY, NOW_S) for name in ("d-1", "d-2")] == ["d-1", "d-2"], "no time is signed"


def test_two_signatures_of_one_text_are_one_delivery() -> None:
    """A sender that rotates its secrets sends one for each: leaving one of them out makes no other delivery."""
    settings = {**STRIPE, "hmac_id_header": "X-Id", "webhook_secrets": f"{KEY},another secret of length"}
    verify = verifier(**settings)
    other = hmac.digest(b"another secret of length", f"{NOW_S}.".encode() + BODY, "sha256").hex()
    sent = [f"{stripe()},v1={other}", stripe(), f"t={NOW_S},v1={other}"]
    arguments = [Headers({"Stripe-Signature": value, "X-Id": f"id-{n}"}) for n, value in enumerate(sent)]
    assert [verify(headers, BODY, NOW_S) for headers in arguments] == ["id-0"] * 3


def test_signatures_are_remembered_up_to_a_number() -> None:
    """The oldest goes first; a signature that is known takes no room."""
    ids = auth.FirstIds(1000)
    for number in range(auth.MAX_SIGNATURES_REMEMBERED):
        ids.first(b"%d" % number, f"id-{number}", NOW_S)
    assert [ids.first(b"0", "other", NOW_S), ids.first(b"1", "other", NOW_S)] == ["id-0", "id-1"]
    assert [ids.first(b"more", "id", NOW_S), ids.first(b"0", "other", NOW_S)] == ["id", "other"]
    assert len(ids._ids) == len(ids._order) == auth.MAX_SIGNATURES_REMEMBERED
