"""A child under fire: daemon and AWS are played to it, one batch a row, and the ledger gives the account."""

import itertools
import json
import time
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from tests.daemon import Child, envelope, prove
from tests.fakeaws.process import FakeAwsProcess

V2_BUS = "arn:aws:events:us-east-1:123456789012:event-busv2/bus/abcdefghijklmnopqrstuvwxy"
TOOK = ("accepted", "accepted_then_dropped", "deduplicated")
_numbers = itertools.count(1)
_company = itertools.count(10**9)
"""Events that are nobody's: only there so that others are accepted."""


class Account(NamedTuple):
    """What became of one batch, by the place of each event in it. Lists are in the order of the ledger.

    `tries` counts an event's appearances in PutEvents calls; `letters` are the dead letters that SQS accepted, by
    place, `letter_tries` the appearances of each in SendMessageBatch calls.
    """

    events: int
    tries: dict[int, int]
    took: list[int]
    letters: dict[int, dict[str, Any]]
    letter_tries: dict[int, int]
    entries: list[list[int]]
    seconds: float

    @property
    def delivered(self) -> set[int]:
        """The events that the bus accepted at least once."""
        return set(self.took)

    @property
    def first_order(self) -> list[int]:
        """The events in the order in which the bus first accepted them."""
        return list(dict.fromkeys(self.took))

    def check_nothing_lost(self) -> None:
        """Every event is delivered or dead, and none is both."""
        assert self.delivered | set(self.letters) == set(range(self.events))
        assert not self.delivered & set(self.letters)


def place(number: int) -> str:
    """The marker of the batch's event at a place, for a rule's `where`; made real by `Bench.run`."""
    return f"<{number}>"


class Bench:
    """One child and one fake AWS for many rows. `environment` are the child's own settings."""

    def __init__(self, folder: Path, **environment: str) -> None:
        prove(folder)
        self.fake_aws = FakeAwsProcess(folder / "ledger", None, 11, "--payloads")
        self._environment = environment
        self._folder = folder
        self._child: Child | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._child:
            self._child.__exit__()
        self.fake_aws.stop()

    def _running(self) -> Child:
        """The child; a new one where an earlier row ended the last."""
        if self._child is None or self._child.process.poll() is not None:
            if self._child:
                self._child.__exit__()
            self._child = Child(self.fake_aws.url, self._folder, **self._environment)
            self._child.initialize()
        return self._child

    def run(
        self,
        rules: list[dict[str, Any]],
        count: int = 10,
        poison: tuple[int, ...] = (),
        timeout_s: float = 60.0,
        *,
        company: bool = False,
    ) -> Account:
        """Let one batch of `count` events through under `rules`; those at the places of `poison` are no objects.

        With `company` a good event of nobody's account comes now and then, as on a shard that lives.
        """
        child = self._running()
        numbers = [next(_numbers) for _ in range(count)]
        datas = [b'"poison %d"' % number if at in poison else envelope(number) for at, number in enumerate(numbers)]
        before = len(self.fake_aws.lines())
        self.fake_aws.plan({"rules": [self._made_real(rule, numbers) for rule in rules]})
        started = time.monotonic()
        child.process_batch(datas, timeout_s)
        last, until = child.sequence, time.monotonic() + timeout_s
        while not child.checkpoints or int(child.checkpoints[-1][0] or 0) < last:
            assert time.monotonic() < until, "not settled"
            child.process_batch([envelope(next(_company))] if company else [], timeout_s)
            time.sleep(0.1 if company else 0.02)
        seconds = time.monotonic() - started
        self.fake_aws.plan({})
        assert child.process.poll() is None
        return self._account(before, numbers, last - len(datas) + 1, seconds)

    def _made_real(self, rule: dict[str, Any], numbers: list[int]) -> dict[str, Any]:
        result = {"operation": "PutEvents", **rule}
        where = str(result.get("where", ""))
        if where.startswith("<"):
            number = numbers[int(where[1:-1])]
            result["where"] = f"{number:032x}"
        return result

    def _account(self, before: int, numbers: list[int], first: int, seconds: float) -> Account:
        lines = self.fake_aws.lines()[before:]
        at = {f"{number:032x}": place for place, number in enumerate(numbers)}
        puts = [line for line in lines if line["operation"].startswith("PutEvents") and line["eventId"] in at]
        tries = dict.fromkeys(range(len(numbers)), 0)
        calls: dict[int, list[int]] = {}
        for line in puts:
            tries[at[line["eventId"]]] += 1
            calls.setdefault(line["call"], []).append(at[line["eventId"]])
        took = [at[line["eventId"]] for line in puts if line["verdict"] in TOOK]
        letters, letter_tries = self._letters(lines, first)
        return Account(len(numbers), tries, took, letters, letter_tries, list(calls.values()), seconds)

    def _letters(self, lines: list[dict[str, Any]], first: int) -> tuple[dict[int, dict[str, Any]], dict[int, int]]:
        """Dead letters by the place of their record in the batch."""
        letters: dict[int, dict[str, Any]] = {}
        tries: dict[int, int] = {}
        for line in lines:
            if line["operation"] == "SendMessageBatch":
                letter = json.loads(line["payload"])
                where = int(letter["origin"]["sequenceNumber"]) - first
                tries[where] = tries.get(where, 0) + 1
                if line["verdict"] in TOOK:
                    letters[where] = letter
        return letters, tries
