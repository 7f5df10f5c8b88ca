"""Nothing but the sender's own signature is accepted, and nothing that a header can hold is an error of ours."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_router.receiver.auth import RefusedError
from tests.receiver_kit import KEY, Headers
from tests.unit import test_receiver_auth as known

SCHEMES: dict[str, tuple[Any, dict[str, Any]]] = {
    "expert": (known.verifier(webhook_scheme="expert"), known.expert()),
    "standard-webhooks": (
        known.verifier(webhook_scheme="standard-webhooks", webhook_secrets=known.WHSEC),
        known.standard(),
    ),
    "hmac": (known.verifier(webhook_scheme="hmac"), {"x-signature": known.mac(known.BODY).hex()}),
    "bearer": (known.verifier(webhook_scheme="bearer"), {"authorization": f"Bearer {KEY}"}),
    "basic": (
        known.verifier(webhook_scheme="basic", webhook_secrets="user:password"),
        {"authorization": "Basic dXNlcjpwYXNzd29yZA=="},
    ),
}
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), max_size=80)
FORGED_IN_ALL = 100_000


def accepted(scheme: str, headers: dict[str, Any], body: bytes, now_s: float = known.NOW_S) -> bool:
    """Whether a request is let in. Anything but RefusedError escapes, and fails the test."""
    try:
        SCHEMES[scheme][0](Headers(headers), body, now_s)
    except RefusedError:
        return False
    return True


@pytest.mark.parametrize("scheme", SCHEMES)
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_arbitrary_headers_are_refused(scheme: str, data: st.DataObject) -> None:
    """Whatever the headers hold, once, twice or not at all, is RefusedError and nothing else."""
    names = sorted(SCHEMES[scheme][1])
    values = st.one_of(TEXT, st.lists(TEXT, max_size=3), st.sampled_from([SCHEMES[scheme][1][n] for n in names]))
    headers = {name: data.draw(values) for name in names if data.draw(st.booleans())}
    if headers != SCHEMES[scheme][1]:
        assert not accepted(scheme, headers, known.BODY) or _same_but_unsigned_id(scheme, headers)


def _same_but_unsigned_id(scheme: str, headers: dict[str, Any]) -> bool:
    """Expert signs neither the presence nor the text of its delivery id (docs/facts.md, "CXone"): it is free."""
    good = SCHEMES[scheme][1]
    unsigned = "X-Nexus-Delivery-Id"
    return scheme == "expert" and {**good, unsigned: None} == {**headers, unsigned: None}


def mutated(dice: random.Random, text: str) -> str:
    """One change somewhere: a bit, a cut, a doubling, an insertion, another case of a letter that matters."""
    at = dice.randrange(len(text))
    kind = dice.randrange(6)
    if kind == 0:
        return text[:at] + chr(ord(text[at]) ^ (1 << dice.randrange(7))) + text[at + 1 :]
    if kind == 1:
        return text[:at]
    if kind == 2:
        return text[:at] + text[at] + text[at:]
    if kind == 3:
        return text[:at] + dice.choice("\u0661\u212a\u0130 \t=,;%é") + text[at:]
    if kind == 4:
        return text[at:]
    return text[:at] + dice.choice("0123456789abcdefXYZ+/") + text[at + 1 :]


def meaning(scheme: str, headers: dict[str, Any]) -> dict[str, str]:
    """What a request says, without what is no difference: case of hex digits and of a scheme's name, blanks around."""
    plain = {name: str(value) for name, value in headers.items() if name != "X-Nexus-Delivery-Id"}
    for name in ("X-Nexus-Signature-256", "x-signature"):
        if name in plain and plain[name].isascii():
            prefix, sign, digits = plain[name].rpartition("=")
            plain[name] = prefix + sign + digits.lower()
    if "authorization" in plain:
        kind, _, value = plain["authorization"].partition(" ")
        plain["authorization"] = f"{kind.lower() if kind.isascii() else kind} {value.strip()}"
    if scheme == "standard-webhooks":
        plain["webhook-signature"] = " ".join(sorted(set(plain["webhook-signature"].split())))
    return plain


def forge(scheme: str, rounds: int, seed: int) -> int:
    """Try `rounds` mutations of a good request; how many were really other than it."""
    dice = random.Random(seed)
    good = SCHEMES[scheme][1]
    tried = 0
    assert accepted(scheme, good, known.BODY)
    for _ in range(rounds):
        headers, body = dict(good), known.BODY
        if dice.random() < 0.2:
            body = mutated(dice, body.decode()).encode()
        else:
            name = dice.choice(sorted(headers))
            headers[name] = mutated(dice, str(headers[name]))
        same_body = body == known.BODY or scheme in ("bearer", "basic")
        if same_body and meaning(scheme, headers) == meaning(scheme, good):
            continue
        tried += 1
        assert not accepted(scheme, headers, body), (headers, body)
    return tried


@pytest.mark.parametrize("scheme", SCHEMES)
def test_forged_and_mutated_signatures_are_refused(scheme: str) -> None:
    """The short form: a few thousand mutations of each scheme's good request, none let in."""
    assert forge(scheme, 1_000, seed=1) > 500


@pytest.mark.long
def test_a_hundred_thousand_forged_signatures_are_refused() -> None:
    """100,000 mutations over all schemes: none accepted, every one RefusedError (which is a 401)."""
    assert sum(forge(scheme, 26_000, seed=2) for scheme in SCHEMES) >= FORGED_IN_ALL
