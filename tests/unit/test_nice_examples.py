"""NICE's own examples of every documented shape, a canary in each private field: under `default` none comes out."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream_router.envelope import open_record
from stream_router.model import Entry, Record
from stream_router.pipeline.transform import Transform
from tests.events import NOW_MS, config_of, dead_of, event

EXAMPLES: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "data" / "nice-examples.json").read_text())
"""Each with its place in NICE's repository. What NICE's examples name of people, texts and handles is a canary here."""

PER_EXAMPLE = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["name"])
KEY = "0123456789abcdef"
TRANSFORMS = {
    "off": Transform(config_of(unroutable="publish"), lambda: NOW_MS),
    "default": Transform(config_of(masking="default", unroutable="publish"), lambda: NOW_MS),
    "with a key": Transform(config_of(masking="default", masking_key=KEY, unroutable="publish"), lambda: NOW_MS),
}
MASKING = pytest.mark.parametrize("how", ["default", "with a key"])


def sent(how: str, body: Any) -> dict[str, Any]:
    entry = TRANSFORMS[how](event(body))
    assert isinstance(entry, Entry), entry
    found: dict[str, Any] = orjson.loads(entry.detail)
    return found


def canaries(value: Any) -> int:
    return (value if isinstance(value, bytes) else orjson.dumps(value)).lower().count(b"canary")


DETAILS: dict[str, dict[str, Any]] = json.loads((Path(__file__).parents[1] / "data" / "nice-details.json").read_text())
"""What each example becomes: read by a person when it was written, and compared since."""


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


@MASKING
@PER_EXAMPLE
def test_a_made_up_field_in_any_object_does_not_pass(example: dict[str, Any], how: str) -> None:
    """Wherever NICE or a script adds a field: no value of it leaves, and no key of an object that nobody knows."""
    count = sum(1 for _ in objects(example["event"]))
    for place in range(count):
        body = copy.deepcopy(example["event"])
        list(objects(body))[place].update(MADE_UP)
        assert canaries(sent(how, body)) == 0, place


@PER_EXAMPLE
def test_dead_letters_are_masked_likewise(example: dict[str, Any], tmp_path: Path) -> None:
    """With dead_letters = true the letter's bytes hold no canary, and driven again they give the same entry."""
    file = tmp_path / "policy.toml"
    file.write_text('base = "default"\ndead_letters = true\n')
    transform = Transform(config_of(masking=str(file), unroutable="publish"), lambda: NOW_MS)
    kept = transform.dead_letter_raw(dead_of(event({**example["event"], **MADE_UP})))
    assert canaries(kept) == 0
    assert b"withheld" not in kept
    first, second = (
        transform(found) for found in (event({**example["event"], **MADE_UP}), *open_record(Record(kept, 1)))
    )
    assert isinstance(first, Entry)
    assert isinstance(second, Entry)
    assert second.detail == first.detail


NEEDED = {
    *("eventType", "eventObject", "createdAt", "createdAtWithMilliseconds", "contactStart", "lastUpdateTime"),
    "eventTime",
}
"""Fields by which a shape is known and its time read: they keep their values."""


def with_a_canary_everywhere(value: Any, path: str, placed: dict[str, str]) -> Any:
    """The value with each of its texts replaced by a canary of its own; `placed` says which stands where."""
    if isinstance(value, dict):
        return {
            key: item if key in NEEDED else with_a_canary_everywhere(item, f"{path}.{key}", placed)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [with_a_canary_everywhere(item, f"{path}[]", placed) for item in value]
    if not isinstance(value, str):
        return value
    name = f"Anna Canary {len(placed)}."
    placed[name] = path
    return name


FREE = {
    *("name", "skillName", "pocName", "scriptName", "actionName", "timezone", "anonymizedAt", "updatedAt", "readAt"),
    *("lastUpdateAt", "createdAt", "seenAt", "statusUpdatedAt", "statusUpdatedAtWithMilliseconds"),
    *("inboxAssigneeLastAssignedAt", "createdAtWithMilliseconds"),
}
"""Names that administrators give to things, and times: the only texts that pass whatever they are."""


@PER_EXAMPLE
def test_of_all_texts_only_names_of_things_and_times_may_be_sentences(example: dict[str, Any]) -> None:
    """A person's name in every single text: an id, a type, a state passes in an id's form alone."""
    placed: dict[str, str] = {}
    body = with_a_canary_everywhere(example["event"], "payload", placed)
    detail = json.dumps(sent("default", body)["payload"])
    out = {path for name, path in placed.items() if name in detail}
    assert {path for path in out if path.rpartition(".")[2] not in FREE} == set()
