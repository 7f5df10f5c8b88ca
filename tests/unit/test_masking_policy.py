"""Masking by a policy: which rule decides, what each leaves, what a file may say, and that masking fails closed."""

import logging
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream_router.errors import SettingsError
from stream_router.model import DeadLetter, Entry, Reason
from stream_router.pipeline.mapping.mapper import Mapped
from stream_router.pipeline.masking import policy_file
from stream_router.pipeline.masking.policy import MaskingPolicy
from stream_router.pipeline.sinks.eventbridge.publisher import Lanes
from stream_router.pipeline.transform import Transform
from tests.events import BODY, NOW_MS, config_of, dead_of, entry, event

KEY = b"0123456789abcdef"
RED = "[REDACTED]"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "policy.toml"


def policy(file: Path, text: str, key: bytes | None = None) -> MaskingPolicy:
    file.write_text(text)
    return policy_file.load(str(file), key)


def masked(file: Path, text: str, payload: dict[str, Any], key: bytes | None = None) -> Any:
    return policy(file, text, key).mask({"payload": payload}, Counter())["payload"]


def transform_of(file: Path, text: str, **settings: Any) -> Transform:
    file.write_text(text)
    return Transform(config_of(masking=str(file), unroutable="publish", **settings), lambda: NOW_MS)


@pytest.mark.parametrize(
    ("path", "payload", "wanted"),
    [
        ("payload.a", {"a": "x", "b": "x"}, {"a": "x", "b": RED}),
        ("payload.A.b", {"a": {"B": 1, "c": 1}}, {"a": {"B": 1, "c": RED}}),
        ("payload.*.b", {"q": {"b": True, "c": True}}, {"q": {"b": True, "c": RED}}),
        ("payload.*.b", {"+49 170": {"b": 1}}, {"+49 170": {"b": 1}}),
        ("payload.a[]", {"a": ["x", ["y"], None, {}]}, {"a": ["x", RED, None, {}]}),
        ("payload.a[].b", {"a": [{"b": 1.5}, {"c": 1}, "x"]}, {"a": [{"b": 1.5}, {"c": RED}, RED]}),
        ("payload.a.**", {"a": {"b": {"c": ["x"]}}}, {"a": {"b": {"c": ["x"]}}}),
        ("payload.**.b", {"a": {"b": "x", "c": "y"}, "b": 1}, {"a": {"b": "x", "c": RED}, "b": 1}),
        ("payload.{a,b}.c", {"a": {"c": 1}, "b": {"c": 2}, "d": {"c": 3}}, {"a": {"c": 1}, "b": {"c": 2}, "d": RED}),
        ('payload."a.b"', {"a.b": "x", "a": {"b": "x"}}, {"a.b": "x", "a": RED}),
        ("payload.p.id", {"p": {"@id": "e-1", "@2:id": "x"}}, {"p": {"@id": "e-1", "@2:id": "x"}}),
        ("payload.a", {"a": {"b": "x"}, "c": None, "d": [], "e": {}}, {"a": RED, "c": None, "d": [], "e": {}}),
        ("payload.a.b", {"a": "x"}, {"a": RED}),
    ],
)
def test_a_path_allows_what_it_names_and_nothing_else(file: Path, path: str, payload: Any, wanted: Any) -> None:
    """Plain values at its end; an object or an array in which no path goes on is replaced whole."""
    assert masked(file, f"allow = [{path!r}]", payload) == wanted


@pytest.mark.parametrize("key", ["anna@example.com", "+4915112345678", "4915112345678", "Anna Schmidt", "r-123456", ""])
def test_a_key_that_is_a_value_does_not_pass(file: Path, key: str) -> None:
    """In an object that is looked into, a key stays that a path names, or that could be a field's name."""
    payload = {"a": 1, key: {"more": "x"}, "newField": "x", "X-Forwarded_for.2": "x"}
    assert masked(file, 'allow = ["payload.a"]', payload) == {
        "a": 1,
        RED: RED,
        "newField": RED,
        "X-Forwarded_for.2": RED,
    }
    assert masked(file, "allow = ['payload.{a,\"" + (key or "none") + "\".more}']", payload).get(key or "a")


RULES = """
drop = ["payload.x.drop"]
hash = ["payload.x.{drop,hash}"]
keep_last = [["payload.x.{drop,hash,keep}", 4]]
search = ["payload.x.{drop,hash,keep,text}"]
allow_uuids = ["payload.x.{drop,hash,keep,text,uuid}"]
allow_ids = ["payload.x.{drop,hash,keep,text,uuid,id}"]
allow = ["payload.x.*"]
"""


def test_the_first_rule_in_the_fixed_order_decides(file: Path) -> None:
    """Whatever stands first in the file: the stricter goes before the laxer, as docs/masking.md says."""
    value = "anna@example.com"
    names = ("drop", "hash", "keep", "text", "uuid", "id", "free")
    lines = RULES.strip().splitlines()
    for text in ("\n".join(lines), "\n".join(reversed(lines))):
        found = masked(file, text, {"x": dict.fromkeys(names, value)})["x"]
        assert found == {"hash": RED, "keep": "****.com", "text": "[EMAIL]", "uuid": RED, "id": RED, "free": value}


@pytest.mark.parametrize(
    ("rule", "value", "wanted"),
    [
        ('keep_last = [["payload.a", 4]]', "+49 30 901820", "****1820"),
        ('keep_last = [["payload.a", 4]]', 4930901820, "****1820"),
        ('keep_last = [["payload.a", 4]]', "12345", "****45"),
        ('keep_last = [["payload.a", 4]]', "1", "****"),
        ('keep_last = [["payload.a", 4]]', True, "****ue"),
        ('keep_last = [["payload.a", 4]]', RED, RED),
        ('hash = ["payload.a"]', "anna@example.com", "hmac:a42afc4de3b4aa5e1fad6c0a6e2ff8a9"),
        ('allow_ids = ["payload.a"]', "conv-77_a.b:c", "conv-77_a.b:c"),
        ('allow_ids = ["payload.a"]', "x" * 128, "x" * 128),
        ('allow_ids = ["payload.a"]', 4711, 4711),
        ('allow_ids = ["payload.a"]', "", ""),
        ('allow_uuids = ["payload.a"]', "chat_" + "0ac21aa4-24d5-4725-9e85-78532181a889", None),
        ('allow_uuids = ["payload.a"]', "_".join(["0ac21aa4-24d5-4725-9e85-78532181a889"] * 2), None),
        ('allow = ["payload.a"]', "any text", None),
    ],
)
def test_what_a_rule_leaves(file: Path, rule: str, value: Any, wanted: Any) -> None:
    """And done twice it is what it is done once, so that a masked dead letter can be driven again."""
    compiled = policy(file, rule, KEY)
    once = compiled.mask({"payload": {"a": value}}, Counter())["payload"]["a"]
    assert once == (value if wanted is None else wanted) or (wanted or "").startswith("hmac:")
    assert compiled.mask({"payload": {"a": once}}, Counter())["payload"]["a"] == once


@pytest.mark.parametrize("value", ["4915112345678", "whatsapp_4915112345678", "email_anna@x.example", "thread-7", "x"])
def test_a_threads_id_that_is_made_of_its_platforms_is_private(value: str) -> None:
    """Under `default`: digits alone have an id's form, so of a thread's id only one of UUIDs passes, and joins stay."""
    body = {"eventId": "e-1", "eventType": "ThreadRecovered", "createdAt": "2026-11-24T09:30:00Z"}
    data = {"thread": {"id": value, "idOnExternalPlatform": "4915112345678"}}
    plain = orjson.loads(entry({**body, "data": data}, masking="default").detail)
    assert plain["payload"]["data"] == {"thread": {"id": RED, "idOnExternalPlatform": RED}}
    assert plain["conversationId"] == (value if len(value) < 8 else RED)
    hashed = orjson.loads(entry({**body, "data": data}, masking="default", masking_key="0123456789abcdef").detail)
    if len(value) >= 8:
        assert hashed["conversationId"] == hashed["payload"]["data"]["thread"]["id"]
        assert value not in orjson.dumps(hashed).decode()


def test_hashes_join_and_hide(file: Path) -> None:
    """Equal values have equal hashes wherever they stand, a number equals its text, another key gives another hash."""
    text = 'hash = ["payload.{a,b}", "payload.c[].d"]'
    found = masked(file, text, {"a": "4711", "b": 4711, "c": [{"d": "4711"}, {"d": "4712"}]}, KEY)
    assert found["a"] == found["b"] == found["c"][0]["d"] != found["c"][1]["d"]
    assert "4711" not in orjson.dumps(found).decode()
    assert masked(file, text, {"a": "4711"}, KEY * 2)["a"] != found["a"]
    assert masked(file, text, {"a": "4711"}) == {"a": RED}, "without a key nothing of it stays"


def test_an_id_of_the_entry_is_hidden_where_the_payload_hides_it(file: Path) -> None:
    """A number that the payload hashes as a phone does not leave as the conversation; order is kept all the same."""
    body = {**BODY, "conversationId": "4915112345678", "interactionId": "int-4711", "payload": {"ani": 4915112345678}}
    sent = entry(body, masking="default")
    detail = orjson.loads(sent.detail)
    assert (detail["conversationId"], detail["originalEventId"], detail["payload"]) == (RED, "int-4711", {"ani": RED})
    other = entry({**body, "conversationId": "4915112345679", "payload": {"ani": 4915112345679}}, masking="default")
    assert Lanes(enabled=True).enter([sent, other]) == [sent, other], "two conversations of one name are two"
    with_key = orjson.loads(entry(body, masking="default", masking_key="0123456789abcdef").detail)
    assert with_key["conversationId"] == with_key["payload"]["ani"]


def test_unknown_fields_may_pass_and_the_tag_says_so(file: Path) -> None:
    """`pii-masked` of a policy that redacts what it does not allow; of one that lets pass or searches, `…-partly`."""
    text = 'unknown = "pass"\nhash = ["**.email"]\ndrop = ["**.secret"]\n'
    payload = {"email": "anna@x.example", "any key": {"secret": [1], "a": ["x"]}}
    assert masked(file, text, payload) == {"email": RED, "any key": {"a": ["x"]}}
    for said, tag in (
        (text, "pii-masked-partly"),
        ('base = "default"\nsearch = ["payload.text"]', "pii-masked-partly"),
        ('base = "default"\nallow = ["payload.text"]', "pii-masked"),
    ):
        made = transform_of(file, said)(event(BODY))
        assert isinstance(made, Entry)
        metadata = orjson.loads(made.detail)["metadata"]
        assert metadata["complianceTag"] == tag
        assert metadata["maskingPolicy"]["id"] == "policy"


WRONG = {
    "allowed = []": (r"'allowed' is no key of a policy; did you mean allow\?", 'allow = ["payload'),
    "[[rules]]\npaths = []": ("'rules' is no key of a policy; .*allowed are base, drop, hash", "for example"),
    'base = "strict"': ('base: is no policy that ships; "default" is the only one', 'base = "default"'),
    'unknown = "detect"': ('unknown: is neither "redact" nor "pass"', 'unknown = "redact"'),
    "dead_letters = 1": ("dead_letters: is neither true nor false", "dead_letters = true"),
    'allow = "payload.a"': ("allow: is no list", 'allow = ["payload'),
    "allow = [1]": (r"allow\[0\]: is no text in quotes", 'allow = ["payload'),
    'allow = ["payload.a", "payload..b"]': (r"allow\[1\]: 'payload..b' is no path: a path is steps", 'allow = ["pa'),
    'hash = ["customer.email"]': ("'customer.email' begins with none of payload, extensions", 'hash = ["payload'),
    'drop = ["payload"]': ("leads to nothing: payload and extensions are objects", 'drop = ["payload'),
    'drop = ["payload[]"]': ("leads to nothing: payload and extensions are objects", 'drop = ["payload'),
    'allow = ["conversationId.x"]': ("leads to nothing: payload and extensions are objects", "allow"),
    'allow = ["payload.**"]': ('lets everything pass; .* write unknown = "pass"', "allow"),
    'allow = ["**"]': ("lets everything pass", "allow"),
    'keep_last = ["payload.a"]': (r"keep_last\[0\]: is no pair of a path and how many", 'keep_last = [["'),
    'keep_last = [["payload.a", 17]]': ("keeps none of 1 to 16 characters", 'keep_last = [["'),
    'regions = ["DE"]': ("regions: is of use only beside `search`", 'regions = ["DE", "GB"]'),
    'search = ["payload.a"]\nregions = ["UK"]': ("'UK' is no country .* the United Kingdom is GB", "regions = "),
    'unknown = "pass"': ("unknown: lets everything pass, and no rule masks anything", 'unknown = "redact"'),
    "allow = [": ("is no TOML: .*; a policy is lines such as", 'base = "default"'),
}


@pytest.mark.parametrize(("text", "said"), WRONG.items(), ids=WRONG)
def test_what_is_wrong_with_a_policy_is_told_in_one_line(file: Path, text: str, said: tuple[str, str]) -> None:
    """The setting, the file, the key, what is wrong, what is allowed, and an example; so the program does not start."""
    with pytest.raises(SettingsError, match=said[0]) as refused:
        policy(file, text)
    line = str(refused.value)
    assert line.startswith(f"STREAM_ROUTER_MASKING: {file}: ")
    assert said[1] in line
    assert "\n" not in line
    assert refused.value.status == 78


def test_masking_fails_closed(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Where masking raises, the event is a dead letter without an entry, and nothing says what it held."""
    caplog.set_level(logging.DEBUG)
    transform = Transform(config_of(masking="default"), lambda: NOW_MS)

    def broken(*_: Any) -> Any:
        raise KeyError("Anna Schmidt")

    monkeypatch.setattr(transform.policy, "_object", broken)
    dead = transform(event(BODY))
    assert isinstance(dead, DeadLetter)
    assert (dead.reason, dead.code, dead.entry) == (Reason.MASKING_FAILED, "KeyError", None)
    assert "Anna" not in dead.message + caplog.text


def test_running_out_of_memory_while_masking_buries_nothing(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    """Neither the entry nor a dead letter's copy is given up for what the machine lacks: the process ends instead."""
    transform = transform_of(file, 'base = "default"\ndead_letters = true')
    found = event(BODY)

    def exhausted(*_: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(transform.policy, "mask", exhausted)
    with pytest.raises(MemoryError):
        transform(found)
    with pytest.raises(MemoryError):
        transform.dead_letter_raw(dead_of(found))


@pytest.mark.parametrize("kind", [list, dict, str, int, float])
def test_a_value_of_a_derived_type_is_not_sent(monkeypatch: pytest.MonkeyPatch, file: Path, kind: type) -> None:
    """Masking asks for the very type of a value, so one of a type of its own passes it by: the event is buried."""
    made = transform_of(file, 'allow = ["payload.a"]')
    value = {"a": type("Derived", (kind,), {})()}
    monkeypatch.setattr(
        made, "_read", lambda event: Mapped("i", "c", str(BODY["eventType"]), "t", 1.0, value, None, "t")
    )
    buried = made(event(BODY))
    assert isinstance(buried, DeadLetter)
    assert (buried.reason, buried.code) == (Reason.INTERNAL_ERROR, "TypeError")


def test_a_dead_letters_copy_is_the_senders_bytes_unless_the_policy_says_otherwise() -> None:
    """Without a policy, and with the default one, `record.data` is the event's own line."""
    for masking in ("off", "default"):
        found = event(BODY)
        assert Transform(config_of(masking=masking), lambda: NOW_MS).dead_letter_raw(dead_of(found)) == found.raw


@pytest.mark.parametrize("body", [b'{"email":"anna@example.com"}', b'["anna"]', b'{"a":1,"a":"anna"}'])
def test_a_dead_letter_that_cannot_be_masked_is_withheld(file: Path, body: bytes) -> None:
    """What no shape fits cannot be masked by path, so nothing of it is kept."""
    raw = transform_of(file, 'base = "default"\ndead_letters = true').dead_letter_raw(dead_of(event(body)))
    assert b"anna" not in raw
    assert orjson.loads(raw)["withheld"]


def test_a_type_that_is_a_text_shows_in_no_attribute_of_a_masked_dead_letter(file: Path) -> None:
    """Attributes are masked nowhere else: only what can be a type's name becomes one."""
    for said, wanted in (("dead_letters = true", ""), ("", "typed by anna")):
        file.write_text(f'base = "default"\n{said}')
        transform = Transform(config_of(masking=str(file)), lambda: NOW_MS)
        dead = transform(event({**BODY, "eventType": "typed by anna"}))
        assert isinstance(dead, DeadLetter)
        assert dead.event_type == wanted
