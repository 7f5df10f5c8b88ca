"""Masking by a policy: which rule decides, what each leaves, what a file may say, and that masking fails closed."""

import hmac
import logging
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream_router.errors import SettingsError
from stream_router.model import DeadLetter, Entry
from stream_router.pipeline.sinks.eventbridge.publisher import Lanes
from stream_router.pipeline.transform import Transform
from tests.events import BODY, NOW_MS, config_of, dead_of, entry, event

KEY = "0123456789abcdef"
RED = "[REDACTED]"


def transform_of(folder: Path, text: str, **settings: Any) -> Transform:
    file = folder / "policy.toml"
    file.write_text(text)
    return Transform(config_of(masking=str(file), unroutable="publish", **settings), lambda: NOW_MS)


def masked(folder: Path, text: str, payload: dict[str, Any], **settings: Any) -> Any:
    """The payload as it leaves under this policy."""
    made = transform_of(folder, text, **settings)(event({**BODY, "payload": payload}))
    assert isinstance(made, Entry), made
    return orjson.loads(made.detail)["payload"]


def default(body: dict[str, Any], **settings: Any) -> dict[str, Any]:
    """The Detail that leaves under the policy that ships."""
    detail: dict[str, Any] = orjson.loads(entry(body, masking="default", **settings).detail)
    return detail


@pytest.mark.parametrize(
    ("path", "payload", "wanted"),
    [
        ("payload.A.b", {"a": {"B": 1, "c": 1}}, {"a": {"B": 1, "c": RED}}),
        ("payload.*.b", {"+49 170": {"b": 1}}, {"+49 170": {"b": 1}}),
        ("payload.a[]", {"a": ["x", ["y"], None, {}]}, {"a": ["x", RED, None, {}]}),
        ("payload.a[].b", {"a": [{"b": 1.5}, {"c": 1}, "x"]}, {"a": [{"b": 1.5}, {"c": RED}, RED]}),
        ("payload.a.**", {"a": {"b": {"c": ["x"]}}}, {"a": {"b": {"c": ["x"]}}}),
        ("payload.**.b", {"a": {"b": "x", "c": "y"}, "b": 1}, {"a": {"b": "x", "c": RED}, "b": 1}),
        ("payload.{a,b}.c", {"a": {"c": 1}, "b": {"c": 2}, "d": {"c": 3}}, {"a": {"c": 1}, "b": {"c": 2}, "d": RED}),
        ('payload."a.b"', {"a.b": "x", "a": {"b": "x"}}, {"a.b": "x", "a": RED}),
        ("payload.p.id", {"p": {"@id": "e-1", "@2:id": "x"}}, {"p": {"@id": "e-1", "@2:id": "x"}}),
        ("payload.a", {"a": {"b": "x"}, "c": None, "d": [], "e": {}}, {"a": RED, "c": None, "d": [], "e": {}}),
    ],
)
def test_a_path_allows_what_it_names_and_nothing_else(tmp_path: Path, path: str, payload: Any, wanted: Any) -> None:
    """Plain values at its end; an object or an array in which no path goes on is replaced whole."""
    assert masked(tmp_path, f"allow = [{path!r}]", payload) == wanted


@pytest.mark.parametrize("key", ["anna@example.com", "+4915112345678", "4915112345678", "Anna Schmidt", "r-123456", ""])
def test_a_key_that_is_a_value_does_not_pass(tmp_path: Path, key: str) -> None:
    """In an object that is looked into, a key stays that a path names, or that could be a field's name."""
    names = dict.fromkeys(["newField", "X-Forwarded_for.2", "@id", "#text"], "x")
    payload = {"a": 1, key: {"more": "x"}, **names}
    assert masked(tmp_path, 'allow = ["payload.a"]', payload) == {"a": 1, RED: RED, **dict.fromkeys(names, RED)}
    if key:
        assert masked(tmp_path, f"allow = ['payload.\"{key}\".more']", payload)[key] == {"more": "x"}


RULES = """
drop = ["payload.x.drop"]
hash = ["payload.x.{drop,hash}"]
keep_last = [["payload.x.{drop,hash,keep}", 4]]
search = ["payload.x.{drop,hash,keep,text}"]
allow_uuids = ["payload.x.{drop,hash,keep,text,uuid}"]
allow_ids = ["payload.x.{drop,hash,keep,text,uuid,id}"]
allow = ["payload.x.*"]
"""


def test_the_first_rule_in_the_fixed_order_decides(tmp_path: Path) -> None:
    """Whatever stands first in the file: the stricter goes before the laxer, as docs/masking.md says."""
    value = "anna@example.com"
    names = ("drop", "hash", "keep", "text", "uuid", "id", "free")
    lines = RULES.strip().splitlines()
    for text in ("\n".join(lines), "\n".join(reversed(lines))):
        found = masked(tmp_path, text, {"x": dict.fromkeys(names, value)})["x"]
        assert found == {"hash": RED, "keep": "****.com", "text": "[EMAIL]", "uuid": RED, "id": RED, "free": value}


UUID = "0ac21aa4-24d5-4725-9e85-78532181a889"
HASH = "hmac:" + hmac.new(KEY.encode(), b"anna@example.com", "sha256").hexdigest()[:32]


@pytest.mark.parametrize(
    ("rule", "value", "wanted"),
    [
        ('keep_last = [["payload.a", 4]]', "+49 30 901820", "****1820"),
        ('keep_last = [["payload.a", 4]]', 4930901820, "****1820"),
        ('keep_last = [["payload.a", 4]]', "12345", "****45"),
        ('keep_last = [["payload.a", 4]]', "1", "****"),
        ('keep_last = [["payload.a", 4]]', RED, RED),
        ('hash = ["payload.a"]', "anna@example.com", HASH),
        ('allow_ids = ["payload.a"]', "conv-77_a.b:c", "conv-77_a.b:c"),
        ('allow_ids = ["payload.a"]', "x" * 128, "x" * 128),
        ('allow_ids = ["payload.a"]', 4711, 4711),
        ('allow_ids = ["payload.a"]', "anna@example.com", HASH),
        ('allow_uuids = ["payload.a"]', "chat_" + UUID, "chat_" + UUID),
        ('allow_uuids = ["payload.a"]', "anna@example.com", HASH),
        ('allow = ["payload.a"]', "any text", "any text"),
    ],
)
def test_what_a_rule_leaves(tmp_path: Path, rule: str, value: Any, wanted: Any) -> None:
    """And done twice it is what it is done once, so that a masked dead letter can be driven again."""
    once = masked(tmp_path, rule, {"a": value}, masking_key=KEY)
    assert once == {"a": wanted}
    assert masked(tmp_path, rule, once, masking_key=KEY) == once


@pytest.mark.parametrize("value", ["4915112345678", "whatsapp_4915112345678", "email_anna@x.example", "thread-7", "x"])
def test_a_threads_id_that_is_made_of_its_platforms_is_private(value: str) -> None:
    """Under `default`: digits alone have an id's form, so of a thread's id only one of UUIDs passes, and joins stay."""
    data = {"thread": {"id": value, "idOnExternalPlatform": "4915112345678"}}
    body = {"eventId": "e-1", "eventType": "ThreadRecovered", "createdAt": "2026-11-24T09:30:00Z", "data": data}
    plain = default(body)
    assert plain["payload"]["data"] == {"thread": {"id": RED, "idOnExternalPlatform": RED}}
    assert plain["conversationId"] == (value if len(value) < 8 else RED)
    hashed = default(body, masking_key=KEY)
    if len(value) >= 8:
        assert hashed["conversationId"] == hashed["payload"]["data"]["thread"]["id"]
        assert value not in orjson.dumps(hashed).decode()


def test_hashes_join_and_hide(tmp_path: Path) -> None:
    """Equal values have equal hashes wherever they stand, a number equals its text, another key gives another hash."""
    text = 'hash = ["payload.{a,b}", "payload.c[].d"]'
    payload = {"a": "4711", "b": 4711, "c": [{"d": "4711"}, {"d": "4712"}]}
    found = masked(tmp_path, text, payload, masking_key=KEY)
    assert found["a"] == found["b"] == found["c"][0]["d"] != found["c"][1]["d"]
    assert "4711" not in orjson.dumps(found).decode()
    assert masked(tmp_path, text, {"a": "4711"}, masking_key=KEY * 2)["a"] != found["a"]
    assert masked(tmp_path, text, {"a": "4711"}) == {"a": RED}, "without a key nothing of it stays"


def test_an_id_of_the_entry_is_hidden_where_the_payload_hides_it() -> None:
    """A number that the payload hashes as a phone does not leave as the conversation; order is kept all the same."""
    body = {**BODY, "conversationId": "4915112345678", "payload": {"ani": 4915112345678}}
    detail = default(body)
    assert (detail["conversationId"], detail["originalEventId"], detail["payload"]) == (RED, "int-1", {"ani": RED})
    other = {**body, "conversationId": "4915112345679", "payload": {"ani": 4915112345679}}
    two = [entry(one, masking="default") for one in (body, other)]
    assert Lanes(enabled=True).enter(two) == two, "two conversations of one name are two"
    with_key = default(body, masking_key=KEY)
    assert with_key["conversationId"] == with_key["payload"]["ani"]


OPEN = 'unknown = "pass"\nhash = ["**.email"]\ndrop = ["**.secret"]\n'


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        (OPEN, "pii-masked-partly"),
        ('base = "default"\nsearch = ["payload.text"]', "pii-masked-partly"),
        ('base = "default"\nallow = ["payload.text"]', "pii-masked"),
    ],
)
def test_the_tag_says_whether_unknown_or_searched_values_pass(tmp_path: Path, text: str, tag: str) -> None:
    """Unknown fields may pass, keys too, where the policy says so."""
    made = transform_of(tmp_path, text)(event(BODY))
    assert isinstance(made, Entry)
    metadata = orjson.loads(made.detail)["metadata"]
    assert (metadata["complianceTag"], metadata["maskingPolicy"]["id"]) == (tag, "policy")
    payload = {"email": "anna@x.example", "any key": {"secret": [1], "a": ["x"]}}
    assert masked(tmp_path, OPEN, payload) == {"email": RED, "any key": {"a": ["x"]}}


WRONG = {
    "allowed = []": "'allowed'",
    'base = "strict"': "base",
    'unknown = "detect"': "unknown",
    'allow = "payload.a"': "allow",
    "allow = [1]": "allow[0]",
    'allow = ["payload.a", "payload..b"]': "allow[1]",
    'hash = ["customer.email"]': "hash[0]",
    'drop = ["payload"]': "drop[0]",
    'allow = ["conversationId.x"]': "allow[0]",
    'allow = ["payload.**"]': "allow[0]",
    'keep_last = ["payload.a"]': "keep_last[0]",
    'keep_last = [["payload.a", 17]]': "keep_last[0]",
    'regions = ["DE"]': "regions",
    'search = ["payload.a"]\nregions = ["UK"]': "regions",
    'unknown = "pass"': "unknown",
    "allow = [": "is no TOML",
}


@pytest.mark.parametrize(("text", "key"), WRONG.items(), ids=WRONG)
def test_what_is_wrong_with_a_policy_is_told_in_one_line(tmp_path: Path, text: str, key: str) -> None:
    """The setting, the file, the key; so the program does not start."""
    with pytest.raises(SettingsError) as refused:
        transform_of(tmp_path, text)
    line = str(refused.value)
    assert line.startswith(f"STREAM_ROUTER_MASKING: {tmp_path / 'policy.toml'}: {key}")
    assert "\n" not in line
    assert refused.value.status == 78


@pytest.mark.parametrize("error", [KeyError("Anna Schmidt"), MemoryError()])
def test_masking_fails_closed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path, error: Exception
) -> None:
    """Where masking raises, the event is a dead letter without an entry, and nothing says what it held.

    What the machine lacks is not the event's fault: without memory the process ends, and nothing is given up.
    """
    caplog.set_level(logging.DEBUG)
    transform = transform_of(tmp_path, 'base = "default"\ndead_letters = true')

    def broken(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(transform.policy, "_object", broken)
    if isinstance(error, MemoryError):
        for way in (lambda: transform(event(BODY)), lambda: transform.dead_letter_raw(dead_of(event(BODY)))):
            with pytest.raises(MemoryError):
                way()
        return
    dead = transform(event(BODY))
    assert isinstance(dead, DeadLetter)
    assert (dead.reason, dead.code, dead.entry) == ("masking_failed", "KeyError", None)
    assert "Anna" not in dead.message + caplog.text


@pytest.mark.parametrize(
    ("said", "body", "event_type", "kept"),
    [
        ("", BODY, "typed by anna", True),
        ("dead_letters = true", BODY, "", False),
        ("dead_letters = true", b'{"email":"anna@example.com"}', "", False),
        ("dead_letters = true", b'["anna"]', "", False),
        ("dead_letters = true", b'{"a":1,"a":"anna"}', "", False),
    ],
)
def test_a_dead_letter_is_the_senders_own_unless_the_policy_masks_it(
    tmp_path: Path, said: str, body: Any, event_type: str, kept: bool
) -> None:
    """Then what no shape fits, which cannot be masked by path, is withheld; and only a type's name is an attribute."""
    file = tmp_path / "policy.toml"
    file.write_text(f'base = "default"\n{said}')
    transform = Transform(config_of(masking=str(file)), lambda: NOW_MS)
    found = event({**body, "eventType": "typed by anna", "by": "anna"} if isinstance(body, dict) else body)
    dead = transform(found)
    assert isinstance(dead, DeadLetter)
    assert dead.event_type == event_type
    raw = transform.dead_letter_raw(dead)
    assert (raw == found.raw) is kept
    assert (b"anna" in raw) is kept or isinstance(body, dict)
    assert isinstance(body, dict) or orjson.loads(raw)["withheld"]
