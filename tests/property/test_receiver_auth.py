"""Nothing but the sender's own signature is accepted, and nothing that a header can hold is an error of ours."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_router.receiver.auth import RefusedError
from tests.receiver_kit import Headers
from tests.unit import test_receiver_auth as known

SCHEMES = {
    name: (known.verifier(**known.SCHEMES[name].settings), known.SCHEMES[name].headers)
    for name in ("expert", "standard", "hmac", "bearer", "basic")
}
UNSIGNED = "X-Nexus-Delivery-Id"
"""Expert signs neither the presence nor the text of its delivery id (docs/facts.md, "CXone"): it is free."""
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), max_size=80)


def accepted(scheme: str, headers: dict[str, Any], body: bytes) -> bool:
    """Whether a request is let in. Anything but RefusedError escapes, and fails the test."""
    try:
        SCHEMES[scheme][0](Headers(headers), body, known.NOW_S)
    except RefusedError:
        return False
    return True


@pytest.mark.parametrize("scheme", SCHEMES)
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_arbitrary_headers_are_refused(scheme: str, data: st.DataObject) -> None:
    """Whatever the headers hold, once, twice or not at all, is RefusedError and nothing else."""
    good = SCHEMES[scheme][1]
    values = st.one_of(TEXT, st.lists(TEXT, max_size=3), st.sampled_from([*good.values()]))
    headers = {name: data.draw(values) for name in sorted(good) if data.draw(st.booleans())}
    if {**headers, UNSIGNED: None} != {**good, UNSIGNED: None}:
        assert not accepted(scheme, headers, known.BODY)


def mutated(dice: random.Random, text: str) -> str:
    """One change somewhere: a bit, a cut, a doubling, an insertion, another case of a letter that matters."""
    at = dice.randrange(len(text))
    changes = [
        text[:at] + chr(ord(text[at]) ^ (1 << dice.randrange(7))) + text[at + 1 :],
        text[:at],
        text[:at] + text[at] + text[at:],
        text[:at] + dice.choice("\u0661\u212a\u0130 \t=,;%é") + text[at:],
        text[at:],
        text[:at] + dice.choice("0123456789abcdefXYZ+/") + text[at + 1 :],
    ]
    return dice.choice(changes)


def meaning(scheme: str, headers: dict[str, Any]) -> dict[str, str]:
    """What a request says, without what is no difference: case of hex digits and of a scheme's name, blanks around."""
    plain = {name: str(value) for name, value in headers.items() if name != UNSIGNED}
    for name in ("X-Nexus-Signature-256", "x-signature"):
        if name in plain and plain[name].isascii():
            prefix, sign, digits = plain[name].rpartition("=")
            plain[name] = prefix + sign + digits.lower()
    if "Authorization" in plain:
        kind, _, value = plain["Authorization"].partition(" ")
        plain["Authorization"] = f"{kind.lower() if kind.isascii() else kind} {value.strip()}"
    if scheme == "standard":
        plain["webhook-signature"] = " ".join(sorted(set(plain["webhook-signature"].split())))
    return plain


@pytest.mark.parametrize("rounds", [1_000, pytest.param(26_000, marks=pytest.mark.long)])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_forged_and_mutated_signatures_are_refused(scheme: str, rounds: int) -> None:
    """Mutations of each scheme's good request, none let in; every one is RefusedError, which is a 401."""
    dice = random.Random(rounds)
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
    assert tried > rounds // 2
