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
from stream_router.model import DeadLetter, Entry
from stream_router.receiver.intake import Intake, VerifiedBody
from stream_router.settings.receiver import Receiver
from tests.events import IDENTITY, RECEIVED_MS, door

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
    (event,) = intake.events(VerifiedBody(text.encode(), "d-1", "text/xml; charset=utf-8", event_type, traceparent))
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
    return [_shown(result) for result in door(data, **settings)]


def _shown(created: Any) -> dict[str, Any]:
    if isinstance(created, Entry):
        return {
            "detailType": created.detail_type,
            "time": created.time_s,
            "sizeBytes": created.size_bytes,
            "orderKey": created.order_key,
            # The policy's version is a digest: any change of it, a comment's apart, is another one.
            "detail": re.sub(r'"version":"[0-9a-f]{12}"', '"version":"*"', created.detail.decode()),
        }
    if isinstance(created, DeadLetter):
        return {"deadLetter": created.reason, "code": created.code, "eventType": created.event_type}
    return {"dropped": created.event_type}


@CASES
def test_input_gives_exactly_the_golden_entries(case: Mapping[str, Any], tmp_path: Path) -> None:
    """The entry's every byte, its time, its size and its order key, or why there is none."""
    assert run(case, tmp_path) == case["gives"]


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
