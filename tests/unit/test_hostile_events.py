"""One event that somebody made to be dear: its cost grows with its bytes, and it leaves nothing behind."""

import random
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stream_router import limits
from stream_router.envelope import open_record
from stream_router.model import DeadLetter, Record
from stream_router.pipeline.mapping import xml_body
from stream_router.pipeline.rejection import Rejected
from stream_router.pipeline.transform import Transform
from tests.events import BODY, NOW_MS, config_of, event


def transform_of(masking: str = "default") -> Transform:
    made = Transform(config_of(masking=masking), lambda: NOW_MS)
    made(event(BODY))
    return made


def cpu_s(run: Callable[[], object]) -> float:
    """The least CPU time of two goes."""
    taken = []
    for _ in range(2):
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


KEYS: dict[str, Callable[[int], dict[str, Any]]] = {
    "keys that nobody knows": lambda size: {f"field{number:x}z": "x" for number in range(size // 20)},
    "values that are taken away": lambda size: {
        "ani": "4930901820",
        "customer": {"id": "x" * size},
        "from": "y" * size,
    },
    "texts that are no ids": lambda size: {"status": "x" * size, "id": "a-" * (size // 2) + "@"},
}


@pytest.mark.parametrize("payload_of", KEYS.values(), ids=KEYS)
def test_an_event_is_masked_in_what_it_weighs(payload_of: Callable[[int], dict[str, Any]]) -> None:
    """Neither are keys held against each path, nor is an object copied for each of them."""
    assert_linear(transform_of(), payload_of, 200_000)  # so many keys that nobody remembers them


def test_keys_of_ever_other_names_leave_nothing_behind(tmp_path: Path) -> None:
    """A sender chooses them, and combines them level by level: what is remembered is bounded."""
    file = tmp_path / "policy.toml"
    file.write_text('allow = ["payload.**.a.**.b.**.c.**.d.**.e.x", "payload.**.{f,g,h,i}.**.{k,l,m}.*.y"]')
    made = transform_of(str(file))
    chosen = random.Random(1)
    tracemalloc.start()
    try:
        for _ in range(100):
            inner: dict[str, Any] = {f"{chosen.random()}": "x" * 50}
            for _ in range(40):
                inner = {chosen.choice("abcdefghiklmxy"): inner, f"key{chosen.random()}": 1}
            made(event({**BODY, "payload": inner}))
        assert tracemalloc.get_traced_memory()[0] < 8_000_000
    finally:
        tracemalloc.stop()


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
