"""Masking fails closed, and keeps order and dead letters. What each rule of a policy leaves: the golden files."""

import logging
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream_router.model import DeadLetter, Entry
from stream_router.pipeline.masking import policy
from stream_router.pipeline.sinks.eventbridge.publisher import Lanes
from stream_router.pipeline.transform import Transform
from tests.events import BODY, NOW_MS, config_of, dead_of, entry, event


def transform_of(folder: Path, text: str) -> Transform:
    file = folder / "policy.toml"
    file.write_text(text)
    return Transform(config_of(masking=str(file)), lambda: NOW_MS)


def test_order_is_kept_of_conversations_whose_names_are_masked() -> None:
    """Two conversations whose ids the policy hides are two: neither waits for the other."""
    phones = ["4915112345678", "4915112345679"]
    two = [entry({**BODY, "conversationId": phone, "payload": {"ani": phone}}, masking="default") for phone in phones]
    assert [item.order_key for item in two] == ["[REDACTED]"] * 2
    assert Lanes(enabled=True).enter(two) == two


def broken(error: Exception) -> Any:
    def mask(*_: Any) -> Any:
        raise error

    return mask


def test_masking_fails_closed(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Where masking raises, the event is a dead letter without an entry, and nothing says what it held."""
    caplog.set_level(logging.DEBUG)
    transform = Transform(config_of(masking="default"), lambda: NOW_MS)
    monkeypatch.setattr(transform.policy, "_mask_object", broken(KeyError("Anna Schmidt")))
    dead = transform(event(BODY))
    assert isinstance(dead, DeadLetter)
    assert (dead.reason, dead.code, dead.entry) == ("masking_failed", "KeyError", None)
    assert "Anna" not in dead.message + caplog.text


def test_running_out_of_memory_while_masking_buries_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the entry nor a dead letter's copy is given up for what the machine lacks: the process ends instead."""
    transform = transform_of(tmp_path, 'base = "default"\ndead_letters = true')
    monkeypatch.setattr(transform.policy, "mask", broken(MemoryError()))
    for way in (lambda: transform(event(BODY)), lambda: transform.dead_letter_raw(dead_of(event(BODY)))):
        with pytest.raises(MemoryError):
            way()


ODD = orjson.dumps({**BODY, "eventType": "typed by anna", "by": "anna"})


@pytest.mark.parametrize("body", [ODD, b'{"email":"anna"}', b'["anna"]', b'{"a":1,"a":"anna"}'])
def test_a_dead_letter_is_the_senders_own_unless_the_policy_masks_it(tmp_path: Path, body: bytes) -> None:
    """Then what no shape fits, which cannot be masked by path, is withheld; and only a type's name is an attribute."""
    result = event(body)
    for masks in (False, True):
        transform = transform_of(tmp_path, f'base = "default"\ndead_letters = {str(masks).lower()}')
        dead = transform(result)
        assert isinstance(dead, DeadLetter)
        assert dead.event_type == ("typed by anna" if body is ODD and not masks else "")
        kept = transform.dead_letter_raw(dead)
        assert (kept == result.raw) is not masks
        assert (b'"anna"' in kept) is not masks
        assert (b"withheld" in kept) is (masks and body is not ODD)


@pytest.mark.parametrize("private", ["@Anna Meyer +49 30 901820:queue", f"@{'anna ' * 40}:queue", "@4930901820:queue"])
def test_only_a_number_stands_before_an_attributes_name(private: str) -> None:
    """`@queue` and `@2:queue` are the attribute that the policy names. Any other text before the colon is private."""
    payload = {"@queue": "q1", "@2:queue": "q2", private: "q3"}
    detail = orjson.loads(entry({**BODY, "payload": payload}, masking="default").detail)
    assert detail["payload"] == {"@queue": "q1", "@2:queue": "q2", "[REDACTED]": "[REDACTED]"}


@pytest.mark.parametrize("unknown", ["redact", "pass"])
def test_arrays_beyond_the_limit_of_an_event_are_redacted(
    unknown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Elements are counted over all arrays of an event that a path leads into; the next event begins anew."""
    monkeypatch.setattr(policy, "MAX_ELEMENTS", 4)
    transform = transform_of(tmp_path, f'allow = ["payload.counts[]"]\nhash = ["payload.ids[]"]\nunknown = "{unknown}"')
    for _ in range(2):
        transformed = transform(event({**BODY, "payload": {"counts": [1, 2, 3], "ids": ["a", "b"]}}))
        assert isinstance(transformed, Entry)
        assert orjson.loads(transformed.detail)["payload"] == {"counts": [1, 2, 3], "ids": "[REDACTED]"}
