"""Golden files: what comes in, and exactly what leaves, for each preset and for shapes of one's own.

A case gives a body that our receiver took (`body`, or `raw` as it was written), a whole `record` of another's, or what
was posted to the receiver of CXone Expert or of a named source (`post`). `config` and `policy` are files of the
consumer's (shapes, masking), `settings` its environment.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream_router.envelope import seal
from stream_router.errors import SettingsError
from stream_router.model import SOURCE, DeadLetter, Entry
from stream_router.operate.resources import pattern
from stream_router.receiver.intake import Body, Intake
from stream_router.settings.receiver import Receiver
from tests.events import IDENTITY, RECEIVED_MS, consumer, door

DATA = Path(__file__).parents[1] / "data"
CASES = pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=f"{file.stem.removeprefix('golden-')}: {case['name']}")
        for file in sorted(DATA.glob("golden-*.json"))
        for case in json.loads(file.read_text())
    ],
)


def posted(text: str, event_type: str = "", source: str = "", traceparent: str = "") -> bytes:
    """The line that the receiver writes for it."""
    settings = Receiver(aws_region="x", webhook_scheme="expert")
    intake = Intake(settings, lambda: RECEIVED_MS / 1000, source, takes_xml=True)
    (event,) = intake.events(Body(text.encode(), "d-1", "text/xml; charset=utf-8", event_type, traceparent))
    return event.line


def run(case: Mapping[str, Any], folder: Path) -> list[dict[str, Any]]:
    """What comes of the case's input, in the golden files' form."""
    settings = dict(case.get("settings", {}))
    for name, setting in (("config", "config"), ("policy", "masking")):
        if name in case:
            (folder / f"{name}.toml").write_text(case[name])
            settings[setting] = str(folder / f"{name}.toml")
    if "record" in case:
        data = case["record"].encode()
    elif "post" in case:
        data = posted(**case["post"])
    else:
        data = seal(IDENTITY, "delivery", RECEIVED_MS, str(case.get("raw", "")).encode() or orjson.dumps(case["body"]))
    return [_shown(made) for made in door(data, **settings)]


def _shown(made: Any) -> dict[str, Any]:
    if isinstance(made, Entry):
        return {
            "detailType": made.detail_type,
            "time": made.time_s,
            "sizeBytes": made.size_bytes,
            "orderKey": made.order_key,
            # The policy's version is a digest: any change of it, a comment's apart, is another one.
            "detail": re.sub(r'"version":"[0-9a-f]{12}"', '"version":"*"', made.detail.decode()),
        }
    if isinstance(made, DeadLetter):
        return {"deadLetter": made.reason, "code": made.code, "eventType": made.event_type}
    return {"dropped": made.event_type}


def matches(wanted: Any, given: Any) -> bool:
    """Whether an event matches a rule's pattern: exact values and prefixes, which is all that our rule uses."""
    if isinstance(wanted, dict):
        return isinstance(given, dict) and all(matches(below, given.get(key)) for key, below in wanted.items())
    return any(
        isinstance(given, str) and given.startswith(one["prefix"]) if isinstance(one, dict) else given == one
        for one in wanted
    )


@CASES
def test_input_gives_exactly_the_golden_entries(case: Mapping[str, Any], tmp_path: Path) -> None:
    """The entry's every byte, its time, its size and its order key, or why there is none.

    What is published under the default settings comes through the rule that `setup` writes; else it does not.
    """
    assert run(case, tmp_path) == case["gives"]
    rule = pattern(consumer().event_type_list)
    for given in (given for given in case["gives"] if "detail" in given):
        event = {"source": SOURCE, "detail-type": given["detailType"], "detail": json.loads(given["detail"])}
        ours = not {"unroutable", "event_types"} & case.get("settings", {}).keys()
        assert matches(rule, event) == ours


WRONG: list[dict[str, str]] = json.loads((DATA / "wrong-files.json").read_text())
DEEP = {"setting": "config", "text": f"[metadata]\nn = {{ {'a.' * 999}a = 1 }}", "key": "metadata.n"}


@pytest.mark.parametrize("row", [*WRONG, DEEP], ids=lambda row: f"{row['setting']}: {row['key']}")
def test_what_is_wrong_with_a_file_is_told_in_one_line(row: Mapping[str, str], tmp_path: Path) -> None:
    """The setting, the file, the key, and no traceback; so the program does not start (exit 78)."""
    file = tmp_path / "wrong.toml"
    file.write_text(row["text"])
    with pytest.raises(SettingsError) as refused:
        door(b"", **{row["setting"]: str(file)})
    line = str(refused.value)
    assert line.startswith(f"STREAM_ROUTER_{row['setting'].upper()}: {file}: {row['key']}")
    assert "\n" not in line
    assert refused.value.status == 78


def test_the_readmes_event_is_a_golden_one(tmp_path: Path) -> None:
    """What a visitor sees go in and come out is what the code makes of it."""
    text = (DATA.parents[1] / "README.md").read_text("utf-8")
    webhook, detail = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL))
    (entry,) = run({"body": webhook}, tmp_path)
    assert json.loads(entry["detail"]) == detail
    assert entry["detailType"] == webhook["eventType"]
    assert f"detail type `{entry['detailType']}`" in text
    assert f"source `{SOURCE}`" in text
