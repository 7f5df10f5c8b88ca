"""NICE's own examples of every documented shape, a canary in each private field: none comes out, the tag is right."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream_router.control import mask_coverage
from stream_router.model import Entry
from stream_router.pipeline.mapping.mapper import Validator
from stream_router.pipeline.mapping.shapes import PRESETS
from stream_router.pipeline.masking import policy_file, preview
from stream_router.pipeline.transform import Transform
from tests.events import NOW_MS, config_of, event

EXAMPLES: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "data" / "nice-examples.json").read_text())
"""Each with its place in NICE's repository. What NICE's examples name of people, texts and handles is a canary here."""

POLICIES = ("default", "strict")
PER_EXAMPLE = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["name"])
TRANSFORMS = {
    name: Transform(config_of(masking=name, unroutable="publish"), lambda: NOW_MS) for name in ("off", *POLICIES)
}
STRUCTURAL = ("interactionId", "contactId", "channelId", "routingQueueId", "customerContactId")


def sent(policy: str, body: Any) -> dict[str, Any]:
    entry = TRANSFORMS[policy](event(body))
    assert isinstance(entry, Entry), entry
    found: dict[str, Any] = orjson.loads(entry.detail)
    return found


def canaries(value: Any) -> int:
    return orjson.dumps(value).lower().count(b"canary")


@pytest.mark.parametrize("policy", POLICIES)
@PER_EXAMPLE
def test_no_canary_comes_out_and_the_tag_is_right(example: dict[str, Any], policy: str) -> None:
    """Wherever NICE's shape has a private value, the shipped policies take it out, and decide on every field."""
    detail = sent(policy, example["event"])
    assert canaries(detail) == 0
    assert detail["metadata"]["complianceTag"] == "pii-masked"


DETAILS: dict[str, dict[str, Any]] = json.loads((Path(__file__).parents[1] / "data" / "nice-details.json").read_text())
"""What each example becomes, by policy: read by a person when it was written, and compared since."""


@pytest.mark.parametrize("policy", POLICIES)
@PER_EXAMPLE
def test_detail_is_exactly_the_golden_one(example: dict[str, Any], policy: str) -> None:
    """Every field of it: what stays, what is masked, and how."""
    assert sent(policy, example["event"]) == DETAILS[example["name"]][policy]


@PER_EXAMPLE
def test_unmasked_the_payload_is_the_senders_own(example: dict[str, Any]) -> None:
    """Our fields are the golden ones, beside NICE's event as it came."""
    detail = sent("off", example["event"])
    assert detail.pop("payload") == example["event"]
    assert detail == DETAILS[example["name"]]["off"]


def test_examples_hold_canaries() -> None:
    """The test above has something to find."""
    assert sum(canaries(example["event"]) for example in EXAMPLES) > 300


@pytest.mark.parametrize("policy", POLICIES)
def test_what_others_join_by_stays(policy: str) -> None:
    """Interaction, contact, channel and queue keep their ids, so that masked events can still be joined."""
    (message,) = (example["event"] for example in EXAMPLES if example["name"] == "MessageCreatedEvent")
    masked = sent(policy, message)
    case = masked["payload"]["data"]["case"]
    assert {name: case[name] for name in STRUCTURAL} == {name: message["data"]["case"][name] for name in STRUCTURAL}
    assert masked["conversationId"] == message["data"]["case"]["id"]
    assert masked["payload"]["data"]["channel"]["id"] == message["data"]["channel"]["id"]


@PER_EXAMPLE
def test_new_fields_with_private_values(example: dict[str, Any]) -> None:
    """A field that NICE adds: `strict` lets none of it through; `default` says that it knows it not."""
    body = copy.deepcopy(example["event"])
    body["zodiacMotto"] = "canary"
    body["loyaltyScheme"] = {"motto": ["canary"], "level": {"shelfMark": 4_930_901_820_555}}
    strict, default = sent("strict", body), sent("default", body)
    assert canaries(strict) == 0
    assert "4930901820555" not in json.dumps(strict)
    assert strict["metadata"]["complianceTag"] == "pii-masked"
    assert default["metadata"]["complianceTag"] == "pii-masked-partly"
    assert "payload.loyaltyScheme.motto[]" in TRANSFORMS["default"].unknown_fields()


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every object of an event, the event itself too."""
    if isinstance(value, dict):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from objects(item)


@PER_EXAMPLE
def test_new_field_in_any_object(example: dict[str, Any]) -> None:
    """Wherever NICE adds a field: under `strict` nothing of it leaves; under `default` it is masked or the tag says."""
    count = sum(1 for _ in objects(example["event"]))
    for place in range(count):
        body = copy.deepcopy(example["event"])
        list(objects(body))[place].update({"zodiacMotto": "canary", "shelf": [{"mark": "canary"}, "canary"]})
        assert canaries(sent("strict", body)) == 0, place
        default = sent("default", body)
        assert canaries(default) == 0 or default["metadata"]["complianceTag"] == "pii-masked-partly", place


NEEDED = {
    "eventType",
    "eventObject",
    "createdAt",
    "createdAtWithMilliseconds",
    "contactStart",
    "lastUpdateTime",
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
    name = f"Canary{len(placed)}Zq"
    placed[name] = path
    return name


@pytest.mark.parametrize("policy", POLICIES)
@PER_EXAMPLE
def test_of_all_texts_only_those_leave_that_pass_on_purpose(example: dict[str, Any], policy: str) -> None:
    """A canary in every single text of NICE's examples: it comes out only where the coverage says that it passes."""
    placed: dict[str, str] = {}
    body = with_a_canary_everywhere(example["event"], "payload", placed)
    detail = json.dumps(sent(policy, body)["payload"])
    compiled = policy_file.load(policy, None)
    assert compiled is not None
    verdicts = mask_coverage.verdicts(preview.show(compiled, Validator(PRESETS), orjson.dumps(body)))
    out = {path for name, path in placed.items() if f'"{name}"' in detail or f"{name}" in detail}
    assert {path for path in out if verdicts.get(path) != "passes"} == set()
    assert out


@PER_EXAMPLE
def test_private_value_of_a_known_field_is_found_in_a_new_one(example: dict[str, Any]) -> None:
    """What a rule redacts is redacted wherever it occurs again: alone, in a sentence, in a URL, as an id's ending."""
    body = copy.deepcopy(example["event"])
    body["firstName"], body["email"] = "Anna-Maria", "anna.maria@firma.example"
    body["motto"] = "so says Anna-Maria"
    body["shelf"] = ["email_anna.maria@firma.example", {"x": "https://x.example/?u=anna.maria%40firma.example"}]
    detail = json.dumps(sent("default", body)).lower()
    assert "anna" not in detail


def test_coverage_names_every_path_of_the_examples() -> None:
    """The coverage of NICE's examples knows no unknown path; a made-up one is named."""
    compiled = policy_file.load("default", None)
    assert compiled is not None
    for example in EXAMPLES:
        shown = preview.show(compiled, Validator(PRESETS), orjson.dumps(example["event"]))
        assert "unknown" not in mask_coverage.verdicts(shown).values(), example["name"]
    shown = preview.show(
        compiled, Validator(PRESETS), orjson.dumps({**EXAMPLES[0]["event"], "motto": "x", "email": "a@b.de"})
    )
    found = mask_coverage.verdicts(shown)
    assert found["payload.motto"] == "unknown"
    assert found["payload.email"] == "masked"
    assert found["payload.data.case.interactionId"] == "passes"


def test_coverage_names_what_stays_although_it_is_masked_elsewhere() -> None:
    """A structural field is never touched; where it holds what a rule took away, the coverage says so."""
    compiled = policy_file.load("default", None)
    assert compiled is not None
    body = {"firstName": "Anna-Maria", "status": "new for Anna-Maria", "interactionId": "i", "motto": "7"}
    found = mask_coverage.verdicts(preview.show(compiled, Validator(PRESETS), orjson.dumps(body)))
    assert found["payload.status"] == "stays"
    assert found["payload.interactionId"] == "passes"
