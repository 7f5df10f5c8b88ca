"""One event that somebody made to be dear: its cost grows with its bytes, is bounded, and leaves nothing behind."""

import random
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import hostile
from stream_router.envelope import open_record
from stream_router.model import Record
from stream_router.pipeline.masking.search import TextSearch
from stream_router.pipeline.transform import Transform
from tests.events import BODY, NOW_MS, config_of, event

SEARCH = TextSearch(("DE", "GB"))
MASKING = Transform(config_of(masking="default"), lambda: NOW_MS)
Run = Callable[[], object]


def masked(payload: dict[str, Any]) -> Run:
    result = event({**BODY, "payload": payload})
    return lambda: MASKING(result)


def opened(data: bytes) -> Run:
    return lambda: open_record(Record(data, 1))


def searched(text: str) -> Run:
    def run() -> None:
        SEARCH.begin()
        _, kinds = SEARCH.text(text)
        assert kinds != ["redact"], "a text that is hidden unread costs nothing"

    return run


DEAR: dict[str, tuple[int, Callable[[int], Run]]] = {
    "lines of a record that are no JSON": (18_000, lambda n: opened(b"[\n" + b'{"a":1},\n' * (n // 9))),
    "line feeds": (200_000, lambda n: opened(b"\n" * n)),
    "keys that nobody knows": (200_000, lambda n: masked({f"field{at:x}z": "x" for at in range(n // 20)})),
    "values that are taken away": (
        200_000,
        lambda n: masked({"ani": "49", "customer": {"id": "x" * n}, "to": "y" * n}),
    ),
    "texts that are no ids": (200_000, lambda n: masked({"status": "x" * n, "id": "a-" * (n // 2) + "@"})),
    "an address without an end": (200_000, lambda n: searched("a" * n + "@")),
    "addresses": (2_000, lambda n: searched("a@" * (n // 2))),
    "digits": (1_000, lambda n: searched("4 " * (n // 2))),
    "halves of cards": (1_000, lambda n: searched("4111 1111 " * (n // 10))),
    "beginnings of an IBAN": (1_000, lambda n: searched("AA00 " * (n // 5))),
    "letters before a digit": (200_000, lambda n: searched("AA" * (n // 2) + "1")),
    "an IP without an end": (250, lambda n: searched("1.2.3." * (n // 6))),
    "an IPv6 without an end": (2_000, lambda n: searched("ab:" * (n // 3) + ":")),
    "marks over a letter": (200_000, lambda n: searched("a\u0301" * (n // 2) + "1")),
    "what is invisible": (200_000, lambda n: searched("\u200ba\u0301" * (n // 3) + "1")),
    "brackets": (2_000, lambda n: searched("(" * n + "1")),
    "blanks behind a number": (200_000, lambda n: searched("030" + " " * n + "x")),
    "phones": (250, lambda n: searched("+49 30 " * (n // 7))),
}


def cpu_s(run: Run) -> float:
    """The least CPU time of two goes."""
    taken = []
    for _ in range(2):
        before = time.process_time()
        run()
        taken.append(time.process_time() - before)
    return min(taken)


@pytest.mark.parametrize(("size", "created"), DEAR.values(), ids=DEAR)
def test_an_event_costs_what_it_weighs(size: int, created: Callable[[int], Run]) -> None:
    """Four times the bytes take about four times the CPU; by the square of their length they would take 16 times.

    Measured against itself: the machine's speed and its load do not matter.
    """
    small, large = created(size), created(4 * size)
    assert cpu_s(large) < 8 * cpu_s(small) + 0.02


BOUND_S = 2.0
"""Four times the 0.5 s of docs/masking.md: the machine may be busy."""
MOST = (
    "the attacker",
    "line feeds",
    "'1 - '",
    "'1 / '",
    "'4 ', then 'é'",
    "numbers searched",
    "many deep",
    "rows of ever",
)


@pytest.mark.parametrize("name", [name for name in hostile.CASES if any(word in name for word in MOST)])
@pytest.mark.parametrize("regions", [(), ("DE", "GB")], ids=["no region", "two regions"])
def test_a_megabyte_of_anything_costs_half_a_second(name: str, regions: tuple[str, ...], tmp_path: Path) -> None:
    """Cases that took up to 30 s before there were limits. `python -m benchmarks.hostile` measures all of them."""
    transform = hostile.transform_of(tmp_path, regions)
    took_s, _ = hostile.cpu_s(hostile.CASES[name](), transform)
    assert took_s < BOUND_S


def levels(chosen: random.Random) -> dict[str, Any]:
    inner: dict[str, Any] = {"x": 1}
    for at in chosen.sample(range(16), 16):
        inner = {f"k{at}": inner}
    return inner


KEYS: dict[str, tuple[int, Callable[[random.Random], dict[str, Any]]]] = {
    "names": (150, lambda chosen: {f"key{chosen.random()}": 1 for _ in range(400)}),
    "long names": (150, lambda chosen: {f"{chosen.random()}{'k' * 1_000}": 1 for _ in range(50)}),
    "levels": (600, levels),
}


@pytest.mark.parametrize(("count", "created"), KEYS.values(), ids=KEYS)
def test_ever_other_keys_leave_nothing_behind(
    count: int, created: Callable[[random.Random], dict[str, Any]], tmp_path: Path
) -> None:
    """A sender chooses keys, and combines them level by level: what is remembered of them is bounded."""
    file = tmp_path / "policy.toml"
    file.write_text("allow = [" + ", ".join(f'"payload.**.k{at}.**.x"' for at in range(16)) + "]")
    route = Transform(config_of(masking=str(file)), lambda: NOW_MS)
    route(event(BODY))
    chosen = random.Random(1)
    tracemalloc.start()
    try:
        for _ in range(count):
            route(event({**BODY, "payload": created(chosen)}))
        assert tracemalloc.get_traced_memory()[0] < 1_200_000
    finally:
        tracemalloc.stop()
