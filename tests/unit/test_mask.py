"""Masking: what each action leaves, which rule decides, what a policy file may say, and that masking fails closed."""

import logging
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream_router.control import mask_report
from stream_router.envelope import added_text, open_record, seal, text_body
from stream_router.errors import SettingsError
from stream_router.model import DeadLetter, Entry, Event, Reason, Record
from stream_router.pipeline.masking import actions, policy_file, trace, unknown_fields
from stream_router.pipeline.masking.policy import MaskingPolicy
from stream_router.pipeline.transform import Transform
from tests.events import BODY, IDENTITY, NOW_MS, config_of, dead_of, entry, event

KEY = b"0123456789abcdef-secret"
HEAD = 'id = "p"\nversion = "3"\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "policy.toml"


def written(file: Path, rules: str) -> MaskingPolicy:
    file.write_text(HEAD + rules)
    compiled = policy_file.load(str(file), KEY)
    assert compiled is not None
    return compiled


def rule(action: str, *paths: str, more: str = "") -> str:
    return f'[[rules]]\naction = "{action}"\npaths = [{", ".join(f"{path!r}" for path in paths)}]\n{more}\n'


def masked(file: Path, rules: str, payload: dict[str, Any]) -> Any:
    return written(file, rules).mask({"payload": payload}, [])["payload"]


@pytest.mark.parametrize(
    ("action", "value", "wanted"),
    [
        (actions.redact, "secret", "[REDACTED]"),
        (actions.redact, {"a": 1}, "[REDACTED]"),
        (actions.redact, None, None),
        (actions.keep_last(4), "+49 30 901820", "****1820"),
        (actions.keep_last(4), 4930901820, "****1820"),
        (actions.keep_last(4), "12345", "****45"),
        (actions.keep_last(10), "0123456789abcdef", "****89abcdef"),
        (actions.keep_last(4), "1", "****"),
        (actions.keep_last(4), "", "****"),
        (actions.keep_last(4), ["1234567890"], "[REDACTED]"),
        (actions.keep_last(4), True, "[REDACTED]"),
        (actions.keep_last_of_numbers(4), "+49 30 901820", "****1820"),
        (actions.keep_last_of_numbers(4), "+14155550123", "****0123"),
        (actions.keep_last_of_numbers(4), "555-01-99", "****1-99"),
        (actions.keep_last_of_numbers(4), 4930901820, "****1820"),
        (actions.keep_last_of_numbers(4), "12345", "****45"),
        (actions.keep_last_of_numbers(4), "", "****"),
        (actions.keep_last_of_numbers(4), "Anna Schmidt", "[REDACTED]"),
        (actions.keep_last_of_numbers(4), "Anna", "[REDACTED]"),
        (actions.keep_last_of_numbers(4), "\u5c71\u7530\u592a\u90ce", "[REDACTED]"),
        (actions.keep_last_of_numbers(4), "****anna", "[REDACTED]"),
        (actions.keep_last_of_numbers(4), "summer2026", "[REDACTED]"),
        (actions.keep_last_of_numbers(4), "2026-11-24T09:30:00Z", "[REDACTED]"),
        (actions.truncate(3), "abcdef", "abc"),
        (actions.truncate(3), {"a": 1}, "[REDACTED]"),
        (actions.truncate(3), None, None),
    ],
)
def test_action_leaves(action: actions.Action, value: Any, wanted: Any) -> None:
    """What is left of a value, and that doing it twice is doing it once."""
    assert action(value) == wanted
    assert action(wanted) == wanted


@pytest.mark.parametrize("count", range(1, 13))
def test_of_a_number_the_same_is_kept_whoever_looks_for_letters(count: int) -> None:
    """`numbers_only` takes nothing of a number that `keep_last` leaves, at any length."""
    for length in range(40):
        number = "+1 (415) 555-0123/45.67890123456789012345678"[:length]
        assert actions.keep_last_of_numbers(count)(number) == actions.keep_last(count)(number)


@pytest.mark.parametrize("count", range(1, 13))
def test_what_is_kept_of_a_text_is_never_more_than_half_of_it_nor_its_length(count: int) -> None:
    """For every length; done twice it is done once, also where what is left is shorter than the stars."""
    action = actions.keep_last(count)
    for length in range(40):
        text = "abcdefghijklmnopqrstuvwxyz0123456789+-/.()"[:length]
        masked = action(text)
        assert masked == "****" + text[length - min(count, length // 2) :]
        assert action(masked) == masked


def test_keyed_hash_joins_and_hides() -> None:
    """Equal values have equal hashes, a number equals its text, another key gives another hash; the key's id shows."""
    hashed, other = actions.keyed_hash(KEY, "k1"), actions.keyed_hash(b"another key, as long", "k1")
    token = hashed("+49 30 901820")
    assert token == hashed("+49 30 901820") != hashed("+49 30 901821")
    assert token != other("+49 30 901820")
    assert token.startswith("hmac:k1:")
    assert hashed(4711) == hashed("4711")
    assert hashed({"a": 1, "b": 2}) == hashed({"b": 2, "a": 1})
    assert hashed(token) == token
    assert hashed(None) is None


@pytest.mark.parametrize(
    ("paths", "payload", "wanted"),
    [
        (["payload.a.b"], {"a": {"b": 1, "c": 2}, "b": 3}, {"a": {"b": "[REDACTED]", "c": 2}, "b": 3}),
        (["**.b"], {"a": [{"B": 1}], "b": 2}, {"a": [{"B": "[REDACTED]"}], "b": "[REDACTED]"}),
        (["payload.*.x"], {"a": {"x": 1}, "x": 2}, {"a": {"x": "[REDACTED]"}, "x": 2}),
        (["payload.l[].x"], {"l": [{"x": 1}, 2]}, {"l": [{"x": "[REDACTED]"}, 2]}),
        (["payload.l[]"], {"l": [1, [2]], "m": 3}, {"l": ["[REDACTED]", "[REDACTED]"], "m": 3}),
        (["payload.*"], {"a": 1, "b": {"c": 2}}, {"a": "[REDACTED]", "b": "[REDACTED]"}),
        (["payload.a.**"], {"a": {"b": {"c": 1}}, "d": 2}, {"a": {"b": "[REDACTED]"}, "d": 2}),
        (['payload."x.y"'], {"x.y": 1, "x": {"y": 2}}, {"x.y": "[REDACTED]", "x": {"y": 2}}),
        (["**.a.**.z"], {"a": {"q": {"z": 1}}, "z": 2}, {"a": {"q": {"z": "[REDACTED]"}}, "z": 2}),
        (["payload.missing"], {"a": 1}, {"a": 1}),
    ],
)
def test_path_covers(file: Path, paths: list[str], payload: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Keys in any case, wildcards for keys, for elements and for depth; what no path names stays."""
    before = orjson.dumps(payload)
    assert masked(file, rule("redact", *paths), payload) == wanted
    assert orjson.dumps(payload) == before, "the event itself is not touched"


def test_first_rule_that_fits_decides(file: Path) -> None:
    """An exception stands before the rule that it is one to."""
    rules = rule("keep", "payload.agent.id") + rule("redact", "**.id") + rule("remove", "payload.gone", "**.list[]")
    payload = {"agent": {"id": 1}, "customer": {"id": 2}, "gone": 3, "list": [1, 2]}
    assert masked(file, rules, payload) == {"agent": {"id": 1}, "customer": {"id": "[REDACTED]"}, "list": []}


@pytest.mark.parametrize(("plain", "nested"), [("redact", "remove"), ("remove", "redact")])
def test_a_mask_is_left_alone_where_its_origin_decides(file: Path, plain: str, nested: str) -> None:
    """Where a rule for plain values stands before another one, nobody can tell whose mask it is: it stays."""
    compiled = written(file, rule(plain, "**.a", more="plain_only = true") + rule(nested, "**.a"))
    once = compiled.mask({"payload": {"x": {"a": False}, "y": {"a": {"b": 1}}}}, [])
    assert len([one for one in ("x", "y") if once["payload"][one]]) == 1
    assert compiled.mask(once, []) == once


def test_plain_only_looks_into_objects(file: Path) -> None:
    """Such a rule masks a text of that name and goes on into an object of that name."""
    rules = rule("redact", "**.message", more="plain_only = true") + rule("redact", "**.text")
    assert masked(file, rules, {"message": "hi"}) == {"message": "[REDACTED]"}
    assert masked(file, rules, {"message": {"id": 1, "text": "hi"}}) == {"message": {"id": 1, "text": "[REDACTED]"}}


def test_detect_searches_all_texts_below_its_path(file: Path) -> None:
    """Texts and integers at and below the path are searched, each other rule before it still holds."""
    rules = rule("keep", "**.safe") + rule("detect", "payload.chat.**", more='detectors = ["email", "card"]')
    payload = {
        "chat": {"text": "write a@b.de", "list": ["c@d.org", 4111111111111111], "safe": "e@f.net", "n": 5},
        "other": "g@h.com",
    }
    assert masked(file, rules, payload) == {
        "chat": {"text": "write [EMAIL]", "list": ["[EMAIL]", "[CARD]"], "safe": "e@f.net", "n": 5},
        "other": "g@h.com",
    }


@pytest.mark.parametrize("path", ["**", "**.**", "payload.**.**", "**.**.note"])
def test_any_number_of_levels_said_twice_is_said_once(file: Path, path: str) -> None:
    """Such a path is read as with one `**`, and a search over it compiles."""
    file.write_text(HEAD + rule("detect", path))
    masked = policy_file.load(str(file), None).mask({"payload": {"a": {"note": "anna@x.example"}}}, [])
    assert masked == {"payload": {"a": {"note": "[EMAIL]"}}}


def test_detect_of_plain_values_searches_them_at_any_depth(file: Path) -> None:
    """With plain_only, `payload.**` is every value below the payload; the payload itself is none."""
    rules = rule("detect", "payload.**", more='plain_only = true\ndetectors = ["email"]')
    assert masked(file, rules, {"a": "a@b.de", "b": [{"c": "d@e.org"}]}) == {"a": "[EMAIL]", "b": [{"c": "[EMAIL]"}]}


def test_allow_list_passes_only_what_it_names(file: Path) -> None:
    """Everything else is left out; rules still mask what is allowed."""
    rules = "allow = ['payload.queue', 'payload.customer.**', '**.skills[]']\n" + rule("redact", "**.email")
    payload = {
        "queue": "q",
        "customer": {"tier": "gold", "email": "a@b.de"},
        "secret": 1,
        "nested": {"skills": [1], "x": 2},
        "empty": {},
    }
    assert masked(file, rules, payload) == {
        "queue": "q",
        "customer": {"tier": "gold", "email": "[REDACTED]"},
        "nested": {"skills": [1]},
    }


def test_an_allow_list_takes_an_arrays_elements_apart(file: Path) -> None:
    """A field that is allowed in each element lets no other field of it pass; each that is left out is counted."""
    policy = written(file, "allow = ['payload.agents[].name', 'payload.skills[]']\n" + rule("redact", "**.email"))
    hits: list[str] = []
    payload = {
        "agents": [{"name": "a", "phone": "1"}, {"phone": "2"}, "b", {"name": "c"}],
        "skills": ["x", {"y": 1}],
        "others": ["z"],
        "name": "d",
        "flag": True,
    }
    assert policy.mask({"payload": payload}, hits)["payload"] == {
        "agents": [{"name": "a"}, {"name": "c"}],
        "skills": ["x", {"y": 1}],
    }
    # Two phones, the element that nothing is left of, the text among the agents, and three fields.
    assert hits == ["not_allowed"] * 7


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("k12345", "k12345"),
        ("k123456", "*"),
        ("agent_name", "agent_name"),
        ("Jos\u00e9", "*"),
        ("a b", "*"),
        ("1a", "*"),
    ],
)
def test_a_key_that_looks_like_a_value_is_not_named(key: str, told: str) -> None:
    """Senders can use a number or a name as one, and the paths that a policy does not know stand in a report."""
    assert unknown_fields.shown(key) == told


def test_counts_by_action(file: Path) -> None:
    """Each action's runs are counted, and drained by whoever writes the audit record."""
    file.write_text(HEAD + rule("redact", "**.queue") + rule("remove", "**.n"))
    transform = Transform(config_of(masking=str(file)), lambda: NOW_MS)
    for _ in range(3):
        transform(event(BODY))
    assert transform.take_masked_counts() == {"redact": 3, "remove": 3}
    assert not transform.take_masked_counts()


def test_counts_that_nobody_takes_take_no_memory(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who masks millions of events and asks for no count keeps few; whoever asks gets all of them."""
    monkeypatch.setattr(trace, "MOST_HITS", 10)
    file.write_text(HEAD + rule("redact", "**.email"))
    transform = Transform(config_of(masking=str(file)), lambda: NOW_MS)
    body = {**BODY, "payload": {"email": "anna@example.com", "more": {"email": "ben@example.com"}}}
    for _ in range(100):
        transform(event(body))
    assert len(transform._hits._hits) <= 10 + 2
    assert transform.take_masked_counts() == {"redact": 200}
    assert not transform.take_masked_counts()


def test_metadata_says_which_policy_ran() -> None:
    """`pii-masked` where a policy decided on every field, with its id and version; without one `unmasked`."""
    known = {**BODY, "payload": {"queue": "München", "email": "anna@example.com", "priority": 3}}
    unknown = {**known, "payload": {**known["payload"], "favouriteColour": "blue"}}
    for body, masking, tag, named in (
        (known, "off", "unmasked", None),
        (known, "default", "pii-masked", {"id": "default", "version": "2"}),
        (unknown, "default", "pii-masked-partly", {"id": "default", "version": "2"}),
        (unknown, "strict", "pii-masked", {"id": "strict", "version": "1"}),
    ):
        metadata = orjson.loads(entry(body, masking=masking).detail)["metadata"]
        assert metadata["complianceTag"] == tag
        assert metadata.get("maskingPolicy") == named


def test_ids_and_extensions_can_be_masked(file: Path) -> None:
    """A policy reaches all that comes from the sender: ids, and what stands beside the payload; the order key too."""
    file.write_text(
        HEAD
        + rule("hmac", "conversationId", "originalEventId")
        + rule("redact", "extensions.who")
        + '[hmac]\nkey_id = "k9"\n'
    )
    result = entry({**BODY, "who": "Anna"}, masking=str(file), masking_key=KEY.decode())
    detail = orjson.loads(result.detail)
    assert detail["originalEventId"].startswith("hmac:k9:")
    assert detail["conversationId"] == result.order_key != BODY["conversationId"]
    assert detail["extensions"] == {"who": "[REDACTED]"}


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


def test_running_out_of_memory_while_masking_buries_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the entry nor a dead letter's copy is given up for what the machine lacks: the process ends instead."""
    file = tmp_path / "policy.toml"
    file.write_text(HEAD + "mask_dead_letters = true\n" + rule("redact", "payload.email"))
    transform = Transform(config_of(masking=str(file)), lambda: NOW_MS)
    found = event(BODY)

    def exhausted(*_: Any) -> Any:
        raise MemoryError

    for name in ("mask", "mask_event"):
        monkeypatch.setattr(transform.policy, name, exhausted)
    with pytest.raises(MemoryError):
        transform(found)
    with pytest.raises(MemoryError):
        transform.dead_letter_raw(DeadLetter(found, Reason.OVERSIZE, "EntryTooLarge", "too large"))


def test_event_too_deep_to_mask_is_not_sent(file: Path) -> None:
    """Where the walk runs out of stack, the event is not sent half masked."""
    body = {**BODY, "payload": {"a": orjson.loads(b"[" * 900 + b'"x"' + b"]" * 900)}}
    line = b'{"interactionId":"i","conversationId":"c","eventType":"conversation.updated","timestamp":1795512600,'
    nested = line + b'"payload":{"a":' + b"[" * 900 + b'"x"' + b"]" * 900 + b"}}"
    assert body["payload"]
    file.write_text(HEAD + rule("detect", "payload.**"))
    dead = Transform(config_of(masking=str(file)), lambda: NOW_MS)(event(nested))
    assert isinstance(dead, DeadLetter)
    assert dead.reason is Reason.MASKING_FAILED


def test_dead_letters_copy_is_the_senders_bytes_unless_the_policy_says_otherwise() -> None:
    """Without a policy, and with the default one, `record.data` is the event's own line."""
    for masking in ("off", "default"):
        found = event(BODY)
        assert Transform(config_of(masking=masking), lambda: NOW_MS).dead_letter_raw(dead_of(found)) == found.raw


@pytest.mark.parametrize(
    "body",
    [
        {**BODY, "payload": {"email": "anna@example.com", "n": 1}, "who": {"email": "anna@example.com"}},
        {
            "eventId": "e-1",
            "eventObject": "Message",
            "eventType": "MessageCreated",
            "createdAt": "2026-11-24T09:30:00Z",
            "data": {"case": {"id": "7"}, "email": "anna@example.com"},
        },
    ],
)
def test_masked_dead_letter_is_an_event_again(file: Path, body: dict[str, Any]) -> None:
    """With mask_dead_letters the copy is masked, keeps the event's identity, and re-driven gives the same entry."""
    file.write_text(HEAD + "mask_dead_letters = true\n" + rule("redact", "**.email"))
    transform = Transform(config_of(masking=str(file)), lambda: NOW_MS)
    first = transform(event(body))
    transform.take_masked_counts()
    raw = transform.dead_letter_raw(dead_of(event(body)))
    assert b"anna" not in raw
    assert not transform.take_masked_counts(), "a dead letter's copy is not counted as a masked event"
    (again,) = open_record(Record(raw, 1))
    assert isinstance(again, Event)
    assert isinstance(first, Entry)
    second = transform(again)
    assert isinstance(second, Entry)
    assert (again.event_id, second.detail) == (IDENTITY, first.detail)
    assert transform.dead_letter_raw(dead_of(event(body)._replace(body=None))) == raw, "the line alone is enough"


@pytest.mark.parametrize("levels", [300, 600, 900, 1000])
def test_masked_dead_letter_of_a_deep_event_is_written_or_withheld(file: Path, levels: int) -> None:
    """However deep an event nests that can be read, its letter has masked bytes or the sentence: nothing escapes."""
    file.write_text(HEAD + "mask_dead_letters = true\n" + rule("redact", "payload.email"))
    payload = b'{"email":"anna","more":' + b"[" * levels + b"1" + b"]" * levels + b"}"
    body = orjson.dumps({**BODY, "payload": None}).replace(b"null", payload)
    raw = Transform(config_of(masking=str(file)), lambda: NOW_MS).dead_letter_raw(dead_of(event(body)))
    assert b"anna" not in raw
    kept = orjson.loads(raw)
    assert "withheld" in kept or kept["body"]["payload"]["email"] == "[REDACTED]"
    assert levels > 300 or "body" in kept


@pytest.mark.parametrize("body", [b'{"email":"anna@example.com"}', b'["anna"]', b'{"a":1,"a":"anna"}'])
def test_dead_letter_that_cannot_be_masked_is_withheld(file: Path, body: bytes) -> None:
    """What no shape fits cannot be masked by path, so nothing of it is kept."""
    file.write_text(HEAD + "mask_dead_letters = true\n" + rule("redact", "**.email"))
    raw = Transform(config_of(masking=str(file)), lambda: NOW_MS).dead_letter_raw(dead_of(event(body)))
    assert b"anna" not in raw
    assert orjson.loads(raw)["withheld"]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (rule("redact"), "rules[0].paths"),
        (rule("redact", "payload..x"), "rules[0].paths[0]"),
        (rule("redact", "customer.email"), "rules[0].paths[0]"),
        (rule("blank", "**.x"), "rules[0].action"),
        (rule("keep_last", "**.x"), "rules[0]"),
        (rule("keep_last", "**.x", more="n = 0"), "rules[0].n"),
        (rule("redact", "**.x", more="n = 4"), "rules[0]"),
        (rule("redact", "**.x", more="numbers_only = true"), "rules[0]: `numbers_only` goes with keep_last"),
        (rule("redact", "**.x", more='detectors = ["email"]'), "rules[0]"),
        (rule("detect", "**.x", more='detectors = ["mood"]'), "rules[0]"),
        (rule("redact", "**.x", more="colour = 1"), "rules[0].colour"),
        (rule("hmac", "**.x"), "rules[0].action"),
        (rule("redact", "payload"), "rules"),
        (rule("redact", "**"), "rules"),
        (rule("redact", "*"), "rules"),
        ("", "rules"),
        (rule("detect", "**.x", more="detectors = []"), "rules[0]: `detectors` is empty"),
        (rule("redact", "**.x", "[].text"), "rules[0].paths[1]: can lead to nothing"),
        (rule("redact", "payload[].text"), "rules[0].paths[0]: can lead to nothing"),
        (rule("detect", "extensions[]"), "rules[0].paths[0]: can lead to nothing"),
        (rule("redact", "*[].text"), "rules[0].paths[0]: can lead to nothing"),
        (rule("redact", "originalEventId.x"), "rules[0].paths[0]: can lead to nothing"),
        (rule("redact", "conversationId.**"), "rules[0].paths[0]: can lead to nothing"),
        (
            rule("redact", "**.x") + rule("redact", "payload", more="plain_only = true"),
            "rules[1].paths[0]: can lead to",
        ),
        (rule("keep", "payload.**"), "rules: none masks anything"),
        ("allow = ['payload.x', 'payload[].y']\n", "allow[1]: can lead to nothing"),
        ("allow = ['payload.**', 'extensions']\n" + rule("keep", "**.x"), "rules: none masks anything"),
        ("allow = ['x.y']\n", "allow[0]"),
        ("mask_dead_letters = 'maybe'\n", "mask_dead_letters"),
        ("[hmac]\nkey_id = 'a b'\n", "hmac.key_id"),
        ("regions = ['de']\n" + rule("detect", "**.x"), "regions[0]: is no country"),
        ("regions = ['DE', 'UK']\n" + rule("detect", "**.x"), "regions[1]: is no country"),
    ],
)
def test_what_is_wrong_with_a_policy_is_named(file: Path, text: str, key: str) -> None:
    """One line at start: the setting, the file, the failing key, the cure."""
    file.write_text(HEAD + text)
    with pytest.raises(SettingsError) as caught:
        Transform(config_of(masking=str(file)), lambda: NOW_MS)
    line = str(caught.value)
    assert line.startswith(f"STREAM_ROUTER_MASKING: {file}: {key}")
    assert "\n" not in line


@pytest.mark.parametrize(
    "text",
    [
        rule("detect", "conversationId.**", "payload.**[].text"),
        rule("redact", "**[]", "*.x", "originalEventId"),
        rule("redact", "*", more="plain_only = true"),
        rule("keep", "payload.**") + "[hmac]\nkey_id = 'k'\n",
    ],
)
def test_what_can_mask_something_is_taken(file: Path, text: str) -> None:
    """A path that leads somewhere in some event is no mistake, nor is an exception beside a list of what may pass."""
    file.write_text(HEAD + ("allow = ['payload.**']\n" if "keep" in text else "") + text)
    assert policy_file.load(str(file), None) is not None


@pytest.mark.parametrize("key", [None, "short"])
def test_hash_without_a_good_key_is_refused(file: Path, key: str | None) -> None:
    """A policy that hashes needs a key, and one that cannot be guessed; the line never shows it."""
    file.write_text(HEAD + rule("hmac", "**.x") + "[hmac]\nkey_id = 'k'\n")
    with pytest.raises(SettingsError, match="STREAM_ROUTER_MASKING_KEY: is") as caught:
        Transform(config_of(masking=str(file), masking_key=key), lambda: NOW_MS)
    assert "short;" not in str(caught.value)


def test_report_shows_a_sample_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each value before and after, and what was done; a sample in no known shape is taken as a payload."""
    sample = tmp_path / "sample.json"
    sample.write_bytes(orjson.dumps({"email": "a@b.de", "n": 1, "attachments": [], "\x1b[31mred": "\x1b[0m"}))
    assert mask_report.run("default", sample) == 0
    shown = capsys.readouterr().out
    assert "payload.email" in shown
    assert "a@b.de" in shown
    assert "[REDACTED]" in shown
    assert "(removed)" in shown
    assert "redact 1, remove 1" in shown
    assert "\x1b[31mred" not in shown


def test_report_of_a_broken_sample_ends_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says on standard error, in one line, which line of the file is wrong, and quotes nothing."""
    sample = tmp_path / ("a-long-name-" * 10 + ".json")
    sample.write_text('{"a":1}\n{secret\n')
    assert mask_report.run("default", sample) == 1
    said = capsys.readouterr()
    assert not said.out
    assert said.err == f"stream-router mask: {sample}: line 2: the line is not valid JSON\n"
    sample.write_text(" \n")
    assert mask_report.run("default", sample) == 1
    assert capsys.readouterr().err == f"stream-router mask: {sample}: holds no event\n"


def test_report_of_a_sample_that_nests_deep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It shows what the consumer can mask, and says of what it cannot that it would be buried."""
    sample = tmp_path / "sample.json"
    sample.write_bytes(b'{"a":' * 600 + b'{"email":"x"}' + b"}" * 600)
    assert mask_report.run("default", sample) == 0
    assert "redact 1" in capsys.readouterr().out
    sample.write_bytes(b'{"a":' + b"[" * 600 + b'{"email":"canary"}' + b"]" * 600 + b"}")
    policy = tmp_path / "policy.toml"
    policy.write_text(HEAD + rule("detect", "payload.**"))
    assert mask_report.run(str(policy), sample) == 1
    said = capsys.readouterr()
    assert "nests too deep" in said.err
    assert "canary" not in said.out + said.err


OWN_SHAPE = """
[[shapes]]
name = "acd"
when = ["acd.id", "kind"]
[shapes.fields]
interactionId = "acd.id"
eventType = "kind"
timestamp = "when"
payload = "acd"
"""


def test_report_reads_a_sample_by_the_shapes_of_the_settings(
    tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path that masks nothing in what the consumer sends masks nothing in the report either."""
    body = {"acd": {"id": "1", "phone": "+4917012"}, "kind": "interaction.created", "when": "2026-11-24T09:30:00Z"}
    file.write_text(HEAD + rule("redact", "payload.acd.phone"))
    shapes, sample = tmp_path / "shapes.toml", tmp_path / "sample.json"
    shapes.write_text(OWN_SHAPE)
    sample.write_bytes(orjson.dumps(body))
    monkeypatch.setenv("STREAM_ROUTER_CONFIG", str(shapes))
    sent = Transform(config_of(masking=str(file), config=str(shapes)), lambda: NOW_MS)(event(body))
    assert isinstance(sent, Entry)
    assert b"+4917012" in sent.detail
    assert mask_report.run(str(file), sample) == 0
    shown = capsys.readouterr().out
    assert "payload.phone" in shown
    assert "masked: nothing" in shown


@pytest.mark.parametrize("policy", ["default", "strict"])
def test_report_of_a_line_of_the_stream_reads_it_as_the_consumer_does(
    policy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What stands beside the body decides its shape, and its ids: of XML, and of a source that has a preset."""
    sample = tmp_path / "sample.jsonl"
    xml = b'<event id="e-1"><page id="page-42"/><email>anna@example.com</email></event>'
    body, encoding = text_body(xml)
    said = added_text({"contentType": "text/xml", "bodyEncoding": encoding, "eventTypeHeader": "page:edit"})
    json = b'{"id":"e-2","conversationId":"page-43"}'
    sample.write_bytes(
        b"\n".join(
            [
                seal(IDENTITY, "delivery", 0, body, said),
                seal(IDENTITY, "delivery", 0, json, added_text({"eventTypeHeader": "page:edit"})),
            ]
        )
    )
    assert mask_report.run(policy, sample) == 0
    shown = capsys.readouterr().out
    for told in ("conversationId", "page-42", "payload.event.email", "page-43", "originalEventId", "e-2"):
        assert told in shown


def test_report_refuses_a_config_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the consumer does: a report by other shapes than the consumer's would not tell what leaves."""
    sample = tmp_path / "sample.json"
    sample.write_text("{}")
    monkeypatch.setenv("STREAM_ROUTER_CONFIG", str(tmp_path / "nowhere.toml"))
    with pytest.raises(SettingsError, match=r"STREAM_ROUTER_CONFIG: .* cannot be read"):
        mask_report.run("default", sample)


@pytest.mark.parametrize("name", ["on", "defualt", "/nonexistent/policy.toml"])
def test_a_policy_that_is_not_there_is_told_with_the_words_that_name_one(name: str) -> None:
    """Who wrote a word did not mean a file."""
    with pytest.raises(SettingsError, match=rf": {name}: cannot be read .*; name default, strict or a readable TOML"):
        policy_file.load(name, None)


@pytest.mark.parametrize("kind", [list, dict, str, int, float])
@pytest.mark.parametrize("levels", [1, 300])
def test_a_value_of_a_derived_type_is_not_sent(monkeypatch: pytest.MonkeyPatch, kind: type, levels: int) -> None:
    """Masking asks for the very type of a value, so one of a type of its own passed it by: the event is buried."""
    value: Any = type("Derived", (kind,), {})()
    for _ in range(levels):
        value = {"a": value}
    made = Transform(config_of(masking="default"), lambda: NOW_MS)
    monkeypatch.setattr(made, "_read", lambda event: ("i", "c", BODY["eventType"], "t", 1.0, value, None, "t"))
    buried = made(event(BODY))
    assert isinstance(buried, DeadLetter)
    assert (buried.reason, buried.code) == (Reason.INTERNAL_ERROR, "TypeError")
