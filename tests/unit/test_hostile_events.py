"""One event that somebody made to be dear: its cost grows with its bytes, and it leaves nothing behind."""

import random
import tracemalloc
from typing import Any

from stream_router.core.model import Entry
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
