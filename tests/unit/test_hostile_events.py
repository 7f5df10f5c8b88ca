"""One event that somebody made to be dear: its cost grows with its bytes, and it leaves nothing behind."""

import random
import time
import tracemalloc
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stream_router import limits
from stream_router.envelope import open_record
from stream_router.model import DeadLetter, Entry, Event, Record
from stream_router.pipeline.mapping import xml_body
from stream_router.pipeline.masking import occurrences, policy_file, text_forms, trace
from stream_router.pipeline.masking.key_words import KeyWords, Word
from stream_router.pipeline.masking.unknown_fields import UnknownFields
from stream_router.pipeline.rejection import Rejected
from stream_router.pipeline.transform import Transform
from tests.events import BODY, NOW_MS, config_of, event

FIELDS = ["field", "attribute", "parameter", "param", "properties", "answer", "question", "variable"]
WORDS = ["phone", "mobile", "fax", "birth", "visa", "email", "name", "city", "note", "comment", "title", "token", "pin"]


def transform_of(**settings: Any) -> Transform:
    made = Transform(config_of(**{"masking": "default", **settings}), lambda: NOW_MS)
    made(event(BODY))
    return made


def detail_of(payload: dict[str, Any], made: Transform) -> str:
    """The Detail of the event with this payload."""
    entry = made(event({**BODY, "payload": payload}))
    assert isinstance(entry, Entry)
    return entry.detail.decode()


def combined(count: int) -> dict[str, Any]:
    """Keys of ever other words of the policy, level by level."""
    chosen = random.Random(1)
    found: dict[str, Any] = {}
    while len(found) < count:
        inner = {"_".join(chosen.sample(WORDS, 3)): {"_".join(chosen.sample(WORDS, 3)): "x"}}
        found["_".join(chosen.sample(FIELDS, 4))] = inner
    return found


def test_words_combined_in_keys_leave_no_states_behind() -> None:
    """An event of some 20 KB, each of whose keys joins other words of the policy, fills no memory for good."""
    made = transform_of()
    tracemalloc.start()
    try:
        detail_of(combined(300), made)
        assert tracemalloc.get_traced_memory()[0] < 2_000_000
    finally:
        tracemalloc.stop()


def cpu_s(run: Callable[[], object]) -> float:
    """The least CPU time of three goes."""
    taken = []
    for _ in range(3):
        before = time.process_time()
        run()
        taken.append(time.process_time() - before)
    return min(taken)


def assert_linear(made: Transform, payload_of: Callable[[int], dict[str, Any]], size: int) -> None:
    """Four times the event takes about four times the CPU; by the square of its length it would take 16 times.

    Measured against itself: the machine's speed and its load do not matter.
    """
    small, large = (event({**BODY, "payload": payload_of(bytes_)}) for bytes_ in (size, 4 * size))
    assert cpu_s(lambda: made(large)) < 8 * cpu_s(lambda: made(small)) + 0.005


MARKS = [("\u0301", "\u0327"), ("\u0f73", ""), ("\u0327", "\u0301\u0345")]


@pytest.mark.parametrize(("first", "last"), MARKS)
def test_marks_over_a_letter_without_end_cost_what_they_weigh(first: str, last: str) -> None:
    """Normalizing sorts them, by the square of their number: 64 KB of them took seconds, 1 MB half an hour."""
    assert_linear(
        transform_of(), lambda size: {"name": "anna", "odd": f"anna a{first * (size // 4)}{last * 99}"}, 8_000
    )


@pytest.mark.parametrize(("first", "last"), MARKS)
def test_marks_are_composed_as_unicode_says(first: str, last: str) -> None:
    """A text of many marks, emoji among them, gives what normalizing it whole gives."""
    text = f"x\u00e9{first * 40}{last * 30}\U0001f600\u2260{last}{first * 50}y" + "\u2665\ufe0f\u0301" * 20
    assert text_forms.composed(text) == unicodedata.normalize("NFC", text)


def words(count: int, beginning: str = "") -> list[str]:
    """So many words, each another one."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    return [f"{beginning}{letters[n % 26]}{letters[n // 26 % 26]}{letters[n // 676 % 26]}zq" for n in range(count)]


def lengths(size: int) -> list[str]:
    """Secrets that begin alike, each longer than the one before, of so many bytes in all."""
    return ["abcd" + " x" * number for number in range(int(size**0.5))]


SECRETS: dict[str, Callable[[int], dict[str, Any]]] = {
    "many": lambda size: {"names": words(size // 20), "odd": "zzzz yyyy " * (size // 20)},
    "many that recur": lambda size: {"names": (found := words(size // 16)), "odd": " ".join(found)},
    "in one object": lambda size: {
        "address": [{"x": word} for word in words(size // 30)],
        "odd": "zz yy " * (size // 12),
    },
    "numbers": lambda size: {"address": (numbers := list(range(10**6, 10**6 + size // 16))), "odd": numbers},
    "not ASCII": lambda size: {"names": words(size // 20, "\u00e4"), "odd": "zzzz \u00e4 " * (size // 16)},
    "one beginning": lambda size: {
        "names": lengths(size),
        "odd": "abcd" + " x" * (size // 4) + " abcd x x y" * (size // 22),
    },
    "in UUIDs": lambda size: {"names": ["1234"], "odd": "12345678-1234-1234-abcd-123456789abc " * (size // 37)},
}


@pytest.mark.parametrize("payload_of", SECRETS.values(), ids=SECRETS)
def test_secrets_without_end_cost_what_they_weigh(payload_of: Callable[[int], dict[str, Any]]) -> None:
    """Neither is each looked for in all that passes, nor each place compared with each."""
    assert_linear(transform_of(), payload_of, 60_000)


def test_of_very_many_secrets_each_that_recurs_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are, and however they are looked for: the event is the same."""
    found = [*words(300), *words(40, "abcd"), "Anna B", "+49 30 901820", "stra\u00dfe"]
    payload = {"names": found, "ani": "+493090182012", "odd": " ".join(found), "more": "030 901820-12 x" + found[7]}
    few = detail_of(payload, transform_of())
    monkeypatch.setattr(occurrences, "_LOOKS_MAX", 0)
    monkeypatch.setattr(occurrences, "_BEGINNINGS_MAX", 0)
    assert detail_of(payload, transform_of()) == few


def test_texts_pass_masked_whole_once_comparing_with_secrets_costs_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not looked at any more does not pass."""
    monkeypatch.setattr(occurrences, "_TRIES_FREE", 1_000)
    monkeypatch.setattr(occurrences, "_TRIES_BY_CHAR", 0)
    payload = {"name": "Anna Schmidt", "first": "Anna Schmidt is here", "last": "Anna Schmidt is here " * 100}
    detail = detail_of(payload, transform_of())
    assert '"first":"[REDACTED] is here","last":"[REDACTED]"' in detail


def nested(levels: int) -> dict[str, Any]:
    """Three thousand fields of names that look like values, so many levels deep."""
    found: dict[str, Any] = {f"{number:07}": "x" for number in range(3_000)}
    for _ in range(levels):
        found = {"k" * 60: found}
    return found


def test_unknown_fields_far_down_cost_no_more_than_others() -> None:
    """Each is noted where it is met: handed up level by level, 10 MiB of them would take a minute."""
    policy = policy_file.load("default", None)
    assert policy is not None
    shallow, deep = ({"payload": nested(levels)} for levels in (30, 450))
    once = cpu_s(lambda: UnknownFields(policy).note(shallow, ["any"]))
    assert cpu_s(lambda: UnknownFields(policy).note(deep, ["any"])) < 3 * once + 0.005


def test_a_path_that_nobody_reads_to_its_end_is_cut() -> None:
    """Unknown fields are told with at most some hundred characters each: an event may nest hundreds of levels deep."""
    made = transform_of()
    made(event({**BODY, "payload": nested(200)}))
    assert [path for path in made.unknown_fields() if len(path) > 100] == [
        f"payload{'.' + 'k' * 60}" + f".{'k' * 60}" * 7 + ".**"
    ]


def detected(rules: str, tmp_path: Path) -> Transform:
    """By a policy of these lines."""
    file = tmp_path / "policy.toml"
    file.write_text(f'id = "p"\nversion = "1"\n{rules}')
    return transform_of(masking=str(file))


HIDES = '[[rules]]\naction = "redact"\npaths = ["payload.name"]\n'
SEARCHES = {
    "unknown": f'unknown = "detect"\n{HIDES}',
    "detect": f'{HIDES}[[rules]]\naction = "detect"\npaths = ["payload.**"]',
    "pass": f'{HIDES}[[rules]]\naction = "pass"\ndetectors = ["phone"]\npaths = ["payload.**"]',
}


@pytest.mark.parametrize("rules", SEARCHES.values(), ids=SEARCHES)
def test_numbers_beyond_what_an_event_may_have_are_hidden_unread(
    rules: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes some 30 microseconds, and 10 MiB of them minutes. Texts without a digit pass all the same."""
    monkeypatch.setattr(trace, "DIGITS_MAX", 5_000)
    made = detected(rules, tmp_path)
    payload = {"first": "call 4155550123", "long": "a 12 " * 3_000, "last": "call 4155550124", "rest": "b " * 3_000}
    detail = detail_of(payload, made)
    assert f'{{"first":"call [PHONE]","long":"[REDACTED]","last":"[REDACTED]","rest":"{"b " * 3_000}"}}' in detail
    assert made.take_masked_counts()[trace.TOO_MANY_DIGITS] >= 2
    assert '"call [PHONE]"' in detail_of({"first": "call 4155550123"}, made)


def test_numbers_count_more_where_many_regions_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each costs some 15 microseconds for each of them."""
    monkeypatch.setattr(trace, "DIGITS_MAX", 5_000)
    payload = {"long": "a 12 " * 1_000, "last": "call 4155550124"}
    regions = ["DE", "FR", "GB", "US", "IT", "ES", "NL", "PL", "AT", "CH", "BE", "SE", "NO", "DK", "FI", "PT"]
    few, many = (f"regions = {named!r}\n{SEARCHES['unknown']}" for named in (regions[:2], regions))
    assert '"last":"call [PHONE]"' in detail_of(payload, detected(few, tmp_path))
    assert '"last":"[REDACTED]"' in detail_of(payload, detected(many, tmp_path))


def test_attributes_with_a_prefix_do_not_fill_the_memory() -> None:
    """The parser writes each with its namespace before it tells of any: 1 MB of them took 300 MB, 10 MiB 3 GB."""
    attributes = " ".join(f'n:b{number}=""' for number in range(25_000))
    text = f'<a xmlns:n="{"x" * 990}" {attributes}/>'.encode()
    tracemalloc.start()
    try:
        with pytest.raises(Rejected, match="more than 20000 elements and attributes"):
            xml_body.parse(text)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("data", [b"x\n" * 11, b"1\n" * 11, b"{}" * 11, b"[1" + b",1" * 10 + b"]"])
def test_a_record_of_too_many_lines_is_one_dead_letter(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are opened together, and millions of tiny ones would fill the memory; nothing of them is lost."""
    monkeypatch.setattr(limits, "RECORD_MAX_EVENTS", 10)
    record = Record(data, 1)
    (found,) = open_record(record)
    assert isinstance(found, DeadLetter)
    assert (found.code, found.event.raw, record.events) == ("TooManyEvents", data, 1)
    monkeypatch.setattr(limits, "RECORD_MAX_EVENTS", 11)
    assert len(open_record(Record(data, 1))) == 11


def test_a_long_document_of_many_lines_is_one_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines of a pretty-printed document are no events, however many it has."""
    monkeypatch.setattr(limits, "RECORD_MAX_EVENTS", 10)
    (found,) = open_record(Record(b'{"a":\n[' + b"1,\n" * 50 + b"1]}", 1))
    assert isinstance(found, Event)


def test_a_key_of_words_costs_the_same_however_many_words_a_policy_has() -> None:
    """Senders choose keys, so each word of the policy is not held against each key."""
    names = words(400)
    few, many = (KeyWords(Word.of(name) for name in names[:count]) for count in (40, 400))
    keys = [f"{names[n % 40]}_{names[n % 39]}_{n}" for n in range(500)]
    once = cpu_s(lambda: [few.of(key) for key in keys])
    assert cpu_s(lambda: [many.of(key) for key in keys]) < 3 * once + 0.005
