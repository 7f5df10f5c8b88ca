"""Masking: no byte of what a policy masks comes out anywhere, and masking twice is masking once."""

import logging
import re
import tomllib
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stream_router.envelope import open_record
from stream_router.model import DeadLetter, Entry, Event, Record
from stream_router.pipeline.mapping.mapper import Validator
from stream_router.pipeline.mapping.shapes import PRESETS
from stream_router.pipeline.masking import policy_file
from stream_router.pipeline.masking.actions import REDACTED
from stream_router.pipeline.masking.detectors.finder import DETECTORS, finder
from stream_router.pipeline.masking.occurrences import passing, replacer
from stream_router.pipeline.masking.policy import MaskingPolicy
from stream_router.pipeline.masking.preview import show
from stream_router.pipeline.masking.text_forms import folded
from stream_router.pipeline.masking.trace import Trace
from stream_router.pipeline.transform import Transform
from tests.events import BODY, NOW_MS, config_of, dead_of, event

DEFAULT = tomllib.loads((policy_file.SHIPPED / "default.toml").read_text())
PATHS = [
    (path, rule["action"], rule.get("n", 0))
    for rule in DEFAULT["rules"]
    for path in rule["paths"]
    if rule["action"] not in ("keep", "pass", "detect")
]
TRANSFORM = Transform(config_of(masking="default"), lambda: NOW_MS)

NAMES = st.sampled_from(["a", "b", "email", "text", "A", "message", "list", "phone"])
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
    | st.sampled_from(["****1234", "[REDACTED]", "hmac:k:" + "0" * 32, "a@b.de 4111 1111 1111 1111", "[EMAIL]"])
)
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=14
)
PAYLOADS = st.dictionaries(NAMES, JSON, max_size=5)
PATTERNS = st.sampled_from(
    [
        "**.a",
        "**.email",
        "payload.a.b",
        "payload.*",
        "payload.**",
        "payload.list[]",
        "**.list[].a",
        "**.message",
        "**.b.*",
        "**.<phone>",
    ]
)
RULES = st.fixed_dictionaries(
    {"paths": st.lists(PATTERNS, min_size=1, max_size=3), "plain_only": st.booleans()}
).flatmap(
    lambda table: st.one_of(
        st.sampled_from([{"action": name} for name in ("keep", "remove", "redact", "hmac")]),
        st.builds(
            lambda action, n: {"action": action, "n": n}, st.sampled_from(["keep_last", "truncate"]), st.integers(1, 9)
        ),
        st.lists(st.sampled_from(list(DETECTORS)), min_size=1).map(
            lambda names: {"action": "detect", "detectors": names}
        ),
    ).map(lambda more: {**table, **more})
)
MASKS_AT_LEAST_THIS = {"action": "redact", "paths": ["originalEventId"]}
"""A policy that masks nothing is none."""
ALLOWED = st.none() | st.lists(PATTERNS | st.sampled_from(["**.text", "payload.a.**"]), max_size=3)


def compiled(folder: Path, rules: list[dict[str, Any]], allow: list[str] | None, *more: str) -> MaskingPolicy:
    lines = ["id = 'p'", "version = '1'", *more]
    if allow is not None:
        lines.append(f"allow = {allow}")
    lines += ["[hmac]", "key_id = 'k'"]
    for rule in rules:
        lines += ["[[rules]]", *(f"{key} = {orjson.dumps(value).decode()}" for key, value in rule.items())]
    file = folder / "policy.toml"
    file.write_text("\n".join(lines))
    made = policy_file.load(str(file), b"0123456789abcdef")
    assert made is not None
    return made


@given(payload=PAYLOADS, rules=st.lists(RULES, min_size=1, max_size=4), allow=ALLOWED)
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_masking_twice_is_masking_once(
    tmp_path: Path, payload: dict[str, Any], rules: list[dict[str, Any]], allow: list[str] | None
) -> None:
    """For any policy and any payload."""
    made = compiled(tmp_path, [*rules, MASKS_AT_LEAST_THIS], allow)
    before = orjson.dumps(payload)
    once = made.mask({"payload": payload}, [])
    assert orjson.dumps(payload) == before
    assert made.mask(once, []) == once


@given(text=st.text(st.sampled_from("0123456789 -+()./@:abDE[]"), max_size=60))
@settings(max_examples=500, deadline=None)
def test_searching_twice_is_searching_once(text: str) -> None:
    """What the detectors leave holds nothing that they would find."""
    find = finder(tuple(DETECTORS))
    once = find(text, [])
    assert find(once, []) == once


def placed(path: str, canary: str, nest: int) -> dict[str, Any]:
    """A payload in which `path` (of the default policy: `**` and then steps) leads to the canary."""
    steps = path.replace("[]", ".[]").split(".")[1:]
    value: Any = canary
    for step in reversed(steps):
        key = re.sub("<(.*)>", lambda words: words[1].replace(" ", "_"), "anything" if step == "*" else step)
        value = [value] if step == "[]" else {key: value}
    for _ in range(nest):
        value = {"data": [value, 1]}
    assert isinstance(value, dict)
    return value


@pytest.mark.parametrize(("path", "action", "n"), PATHS, ids=[path for path, _, _ in PATHS])
def test_no_byte_of_a_masked_value_comes_out(path: str, action: str, n: int, caplog: pytest.LogCaptureFixture) -> None:
    """A canary at each path of the default policy, at any depth, is in no entry, dead letter's words, count or log."""
    caplog.set_level(logging.DEBUG)
    for nest in (0, 1, 3):
        canary = f"cAnArY{nest}-{path.encode().hex()}-Zq9xW4"
        hidden = canary[:-n] if action == "keep_last" else canary
        body = {**BODY, "payload": {**placed(path, canary, nest), "kept": 1}}
        result = TRANSFORM(event(body))
        assert isinstance(result, Entry)
        counts = TRANSFORM.take_masked_counts()
        assert counts.total() >= 1
        everything = [result.detail.decode(), result.detail_type, result.order_key, repr(counts), caplog.text]
        assert not any(hidden in text or canary in text for text in everything)
        assert orjson.loads(result.detail)["payload"]["kept"] == 1


@given(payload=PAYLOADS)
@settings(max_examples=200, deadline=None)
def test_default_policy_leaves_no_text_of_what_it_redacts(payload: dict[str, Any]) -> None:
    """Whatever stands under a redacted name, object or not, nothing of it is in the Detail."""
    canary = "cAnArY-0d9f"
    body = {**BODY, "payload": {**payload, "customer": {"email": [canary, {"x": canary}], "firstName": canary}}}
    result = TRANSFORM(event(body))
    assert isinstance(result, Entry)
    assert canary.encode() not in result.detail


@given(payload=PAYLOADS, rules=st.lists(RULES, min_size=1, max_size=4), allow=ALLOWED)
@example(payload={"a": {"b": "x"}}, rules=[{"action": "redact", "paths": ["payload.a"]}], allow=["payload.a.b"])
@example(payload={"a": {"b": "x", "c": 1}}, rules=[{"action": "keep", "paths": ["**.a"]}], allow=["payload.a.b"])
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_shown_of_a_sample_is_what_masking_does(
    tmp_path: Path, payload: dict[str, Any], rules: list[dict[str, Any]], allow: list[str] | None
) -> None:
    """For any policy and any payload: what is left in the report is what leaves, value by value."""
    made = compiled(tmp_path, [*rules, MASKS_AT_LEAST_THIS], allow)
    shown = show(made, Validator(PRESETS), orjson.dumps(payload))
    left = [line.after for line in shown if line.after not in (None, "{}", "[]")]
    assert left == [leaf for leaf in leaves(made.mask({"payload": payload}, [])) if leaf not in ("{}", "[]")]


def leaves(value: Any) -> list[str]:
    if isinstance(value, dict) and value:
        return [leaf for item in value.values() for leaf in leaves(item)]
    if isinstance(value, list) and value:
        return [leaf for item in value for leaf in leaves(item)]
    return [value if isinstance(value, str) else orjson.dumps(value).decode()]


def test_dead_letter_of_a_masked_event_quotes_nothing() -> None:
    """An event that fails validation under a policy says no more than without."""
    result = TRANSFORM(event({**BODY, "timestamp": "cAnArY"}))
    assert isinstance(result, DeadLetter)
    assert "cAnArY" not in result.message


OWN_SHAPES = """
[[shapes]]
name = "below-the-payload"
when = ["data.case.id", "meta"]
event_types = {"cAnArY-kind" = "conversation.updated"}
[shapes.fields]
interactionId = "meta.contact"
conversationId = "data.case.id"
eventType = "data.kind"
timestamp = "data.at"
payload = "data"

[[shapes]]
name = "beside-the-payload"
when = ["what", "conv"]
[shapes.fields]
interactionId = "what.id"
conversationId = "conv"
eventType = {value = "x"}
timestamp = "at"
payload = "what.more"
"""
AT = "2026-11-24T10:30:00.123+01:00"
CASE, EMAIL = {"id": "cAnArY-case"}, {"email": "cAnArY-email", "text": ["cAnArY-text"]}
BODIES = st.sampled_from(
    [
        {**BODY, "interactionId": "cAnArY-int", "conversationId": "cAnArY-conv", "payload": EMAIL, "who": EMAIL},
        {**BODY, "interactionId": "cAnArY-int", "conversationId": None, "payload": {"case": CASE}},
        {
            "eventId": "cAnArY-int",
            "eventObject": "cAnArY-object",
            "eventType": "MessageCreated",
            "createdAt": AT,
            "data": {"case": CASE, **EMAIL},
        },
        {"eventTime": AT, "contactId": "cAnArY-int", "masterContactId": "cAnArY-conv", **EMAIL},
        {
            "meta": {"contact": "cAnArY-int", **EMAIL},
            "data": {"case": CASE, "kind": "cAnArY-kind", "at": AT, **EMAIL},
            "who": "cAnArY-who",
        },
        {"what": {"id": "cAnArY-int", "more": EMAIL}, "conv": "cAnArY-conv", "at": AT, "who": "cAnArY-who"},
    ]
)
REACHED = st.sampled_from(
    [
        "conversationId",
        "originalEventId",
        "payload.case.id",
        "payload.case",
        "payload.kind",
        "payload.at",
        "payload.*",
        "payload.data.case.id",
        "extensions.who",
        "extensions.who.email",
        "**.email",
        "**.text[]",
        "**.id",
        "*",
    ]
)
REMOVING = st.fixed_dictionaries(
    {
        "paths": st.lists(REACHED, min_size=1, max_size=3),
        "action": st.sampled_from(["remove", "redact", "hmac"]),
        "plain_only": st.just(value=True),
    }
)


@given(body=BODIES, rules=st.lists(REMOVING, min_size=1, max_size=3), allow=st.none() | st.just(["payload.text"]))
@example(
    body=BODY | {"conversationId": "cAnArY-conv"}, rules=[{"paths": ["conversationId"], "action": "remove"}], allow=None
)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_masked_dead_letter_shows_nothing_that_the_entry_hides(
    tmp_path: Path, body: dict[str, Any], rules: list[dict[str, Any]], allow: list[str] | None
) -> None:
    """In every shape, whatever the policy: what it took out of the entry is not in the dead letter's bytes either."""
    (tmp_path / "shapes.toml").write_text(OWN_SHAPES)
    compiled(tmp_path, rules, allow, "mask_dead_letters = true")
    key = "0123456789abcdef"
    where = {"masking": str(tmp_path / "policy.toml"), "masking_key": key, "config": str(tmp_path / "shapes.toml")}
    transform = Transform(config_of(**where, unroutable="publish"), lambda: NOW_MS)
    before = orjson.dumps(body)
    sent = transform(event(body))
    assert isinstance(sent, Entry)
    kept = transform.dead_letter_raw(dead_of(event(body)))
    assert b"withheld" not in kept
    assert event(body).event_id.encode() in kept
    for value in re.findall(rb'"(cAnArY-[a-z]+)"', before):
        assert value in sent.detail or value not in kept
    assert orjson.dumps(body) == before, "the event itself is not touched"


@given(body=BODIES)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_dead_letter_of_removed_ids_can_be_driven_again(tmp_path: Path, body: dict[str, Any]) -> None:
    """A conversation id that the policy removed is null, which every shape takes: the event gives the same entry."""
    (tmp_path / "shapes.toml").write_text(OWN_SHAPES)
    compiled(tmp_path, [{"paths": ["conversationId"], "action": "remove"}], None, "mask_dead_letters = true")
    where = {"masking": str(tmp_path / "policy.toml"), "config": str(tmp_path / "shapes.toml")}
    transform = Transform(config_of(**where, unroutable="publish"), lambda: NOW_MS)
    sent = transform(event(body))
    (again,) = open_record(Record(transform.dead_letter_raw(dead_of(event(body))), 1))
    assert isinstance(again, Event)
    repeated = transform(again)
    assert isinstance(sent, Entry)
    assert isinstance(repeated, Entry)
    assert repeated.detail == sent.detail


ENDS = st.text(
    st.sampled_from("abzKS39 \t+_.-\u00e9\u0130\u0131\u017f\u212a\u00df\u03c2\u03a3\u0301\u0327\u00a0\u3000\ufb01"),
    min_size=4,
    max_size=8,
)


@settings(max_examples=300, deadline=None)
@given(ENDS, st.booleans(), st.sampled_from(["", "case ", "x\u00fc "]))
def test_a_secret_is_looked_for_however_it_ends(secret: str, many: bool, before: str) -> None:
    """Its end is looked for first, which must pass over none that a full look would find."""
    trace = Trace([])
    trace.redacted = [secret, *(f"other{number}" for number in range(9 if many else 0))]
    trace.known = [before + secret.strip(" \t+").upper(), "4711"]
    joined = passing(trace)
    bare = folded(secret).strip()
    if bare in joined and len(bare) >= 4:
        replace = replacer(trace, joined)
        assert replace is not None
        assert REDACTED in replace(before + secret)
