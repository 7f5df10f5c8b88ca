"""NICE's own examples of every documented shape, a canary in each private field: under `default` none comes out."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream_router.model import Entry
from stream_router.pipeline.transform import Transform
from tests.events import NOW_MS, config_of, dead_of, door, event

DATA = Path(__file__).parents[1] / "data"
EXAMPLES: list[dict[str, Any]] = json.loads((DATA / "nice-examples.json").read_text())
"""Each with its place in NICE's repository. What NICE's examples name of people, texts and handles is a canary here."""

DETAILS: dict[str, dict[str, Any]] = json.loads((DATA / "nice-details.json").read_text())
"""What each example becomes: read by a person when it was written, and compared since."""

PER_EXAMPLE = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["name"])
TRANSFORMS = {
    "off": Transform(config_of(unroutable="publish"), lambda: NOW_MS),
    "default": Transform(config_of(unroutable="publish", masking="default"), lambda: NOW_MS),
    "with a key": Transform(config_of(unroutable="publish", masking="default", masking_key="k" * 16), lambda: NOW_MS),
}


def sent(mode: str, body: Any) -> dict[str, Any]:
    entry = TRANSFORMS[mode](event(body))
    assert isinstance(entry, Entry), entry
    parsed: dict[str, Any] = orjson.loads(entry.detail)
    return parsed


def canaries(value: Any) -> int:
    return (value if isinstance(value, bytes) else orjson.dumps(value)).lower().count(b"canary")


@PER_EXAMPLE
def test_the_detail_is_exactly_the_golden_one(example: dict[str, Any]) -> None:
    """Every field of it: what stays, and what is masked; without masking the payload is the sender's own."""
    masked, plain = sent("default", example["event"]), sent("off", example["event"])
    masked["metadata"].pop("maskingPolicy")
    assert masked == DETAILS[example["name"]]["default"]
    assert plain.pop("payload") == example["event"]
    assert plain == DETAILS[example["name"]]["off"]


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every object of an event, the event itself too."""
    if isinstance(value, dict):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from objects(item)


MADE_UP = {
    "zodiacMotto": "canary",
    "shelf": [{"mark": "canary", "canary": 1}, "canary"],
    "loyaltyScheme": {"canary": {"level": "canary"}, "canary@example.com": True},
    "canary@example.com": "x",
}


@PER_EXAMPLE
def test_a_made_up_field_in_any_object_does_not_pass(example: dict[str, Any]) -> None:
    """Wherever NICE or a script adds a field: no value of it leaves, and no key of an object that nobody knows."""
    for name in ("default", "with a key"):
        for place in range(sum(1 for _ in objects(example["event"]))):
            body = copy.deepcopy(example["event"])
            list(objects(body))[place].update(MADE_UP)
            assert canaries(sent(name, body)) == 0, place


@PER_EXAMPLE
def test_dead_letters_are_masked_likewise(example: dict[str, Any], tmp_path: Path) -> None:
    """With dead_letters = true the letter's bytes hold no canary, and driven again they give the same entry."""
    file = tmp_path / "policy.toml"
    file.write_text('base = "default"\ndead_letters = true\n')
    result = event({**example["event"], **MADE_UP})
    transform = Transform(config_of(masking=str(file), unroutable="publish"), lambda: NOW_MS)
    kept = transform.dead_letter_raw(dead_of(result))
    assert canaries(kept) == 0
    first, (again,) = transform(result), door(kept, masking=str(file), unroutable="publish")
    assert isinstance(first, Entry)
    assert isinstance(again, Entry)
    assert again.detail == first.detail


NEEDED = {
    *("eventType", "eventObject", "createdAt", "createdAtWithMilliseconds", "contactStart", "lastUpdateTime"),
    "eventTime",
}
"""Fields by which a shape is known and its time read: they keep their values."""

FREE = {
    *("name", "skillName", "pocName", "scriptName", "actionName", "timezone", "anonymizedAt", "updatedAt", "readAt"),
    *("lastUpdateAt", "createdAt", "seenAt", "statusUpdatedAt", "statusUpdatedAtWithMilliseconds"),
    *("inboxAssigneeLastAssignedAt", "createdAtWithMilliseconds"),
}
"""Names that administrators give to things, and times: the only texts that pass whatever they are."""


def with_a_canary_everywhere(value: Any, field: str, placed: dict[str, str]) -> Any:
    """The value with each of its texts replaced by a sentence of its own; `placed` says in which field each stands."""
    if isinstance(value, dict):
        return {
            key: item if key in NEEDED else with_a_canary_everywhere(item, key, placed) for key, item in value.items()
        }
    if isinstance(value, list):
        return [with_a_canary_everywhere(item, f"{field}[]", placed) for item in value]
    if isinstance(value, str):
        value = f"Anna Canary {len(placed)}."
        placed[value] = field
    return value


@PER_EXAMPLE
def test_of_all_texts_only_names_of_things_and_times_may_be_sentences(example: dict[str, Any]) -> None:
    """A person's name in every single text: an id, a type, a state passes in an id's form alone."""
    placed: dict[str, str] = {}
    body = with_a_canary_everywhere(example["event"], "", placed)
    detail = json.dumps(sent("default", body)["payload"])
    assert {field for text, field in placed.items() if text in detail} <= FREE
