"""Golden files: what comes in, and the exact entries that leave, for each preset and for a shape of one's own."""

import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream_router.envelope import open_record, seal
from stream_router.model import SOURCE, DeadLetter, Dropped, Entry, Event, Record
from stream_router.operate.resources import pattern
from stream_router.pipeline.transform import Transform
from tests.events import IDENTITY, NOW_MS, RECEIVED_MS, config_of, consumer

DATA = Path(__file__).parents[1] / "data"
FILES = sorted(DATA.glob("golden-*.json"))


def cases() -> list[Any]:
    return [
        pytest.param(case, id=f"{file.stem.removeprefix('golden-')}: {case['name']}")
        for file in FILES
        for case in json.loads(file.read_text())
    ]


def run(case: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The case's input through a transform, in the golden files' form."""
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as config:
        config.write(case.get("config", ""))
        config.flush()
        transform = Transform(config_of(config=Path(config.name), **case.get("settings", {})), lambda: NOW_MS)
    if "record" in case:
        data = case["record"].encode()
    else:
        body = case["raw"].encode() if "raw" in case else orjson.dumps(case["body"])
        data = seal(IDENTITY, "delivery", RECEIVED_MS, body)
    found = open_record(Record(data, 1, arrived_at_ms=RECEIVED_MS))
    return [_shown(transform(item) if isinstance(item, Event) else item) for item in found]


def _shown(result: Entry | DeadLetter | Dropped) -> dict[str, Any]:
    if isinstance(result, Entry):
        return {
            "detailType": result.detail_type,
            "time": result.time_s,
            "sizeBytes": result.size_bytes,
            "orderKey": result.order_key,
            # The policy's version is a digest: any change of it, a comment's apart, is another one.
            "detail": re.sub(r'"version":"[0-9a-f]{12}"', '"version":"*"', result.detail.decode()),
        }
    if isinstance(result, Dropped):
        return {"dropped": result.event_type}
    return {"deadLetter": result.reason, "code": result.code, "message": result.message}


def matches(wanted: Any, given: Any) -> bool:
    """Whether an event matches a rule's pattern: exact values and prefixes, which is all that our rule uses."""
    if isinstance(wanted, dict):
        return isinstance(given, dict) and all(matches(below, given.get(key)) for key, below in wanted.items())
    return any(
        isinstance(given, str) and given.startswith(one["prefix"]) if isinstance(one, dict) else given == one
        for one in wanted
    )


@pytest.mark.parametrize("case", cases())
def test_input_gives_exactly_the_golden_entries(case: Mapping[str, Any]) -> None:
    """The entry's every byte, its time, its size and its order key; or the dead letter's reason and words."""
    assert run(case) == case["gives"]


@pytest.mark.parametrize("case", cases())
def test_entries_match_the_rule_that_setup_writes(case: Mapping[str, Any]) -> None:
    """What is published under the default settings comes through the rule; what is published beside it does not."""
    rule = pattern(consumer().event_type_list)
    for given in case["gives"]:
        if "deadLetter" in given or "dropped" in given:
            continue
        event = {"source": SOURCE, "detail-type": given["detailType"], "detail": json.loads(given["detail"])}
        assert matches(rule, event) == (case.get("settings", {}).get("unroutable") != "publish")


def test_the_readmes_event_is_a_golden_one() -> None:
    """What a visitor sees go in and come out is what the code makes of it."""
    text = (DATA.parents[1] / "README.md").read_text("utf-8")
    webhook, detail = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL))
    (entry,) = run({"body": webhook})
    assert json.loads(entry["detail"]) == detail
    assert entry["detailType"] == webhook["eventType"]
    assert f"detail type `{entry['detailType']}`" in text
    assert f"source `{SOURCE}`" in text
