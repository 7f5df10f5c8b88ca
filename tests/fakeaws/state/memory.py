"""All that the fake AWS remembers, in one place."""

import time
from typing import Any

from tests.fakeaws import dynamodb, s3
from tests.fakeaws.state.dedup import Deduplicator
from tests.fakeaws.state.queues import Queues
from tests.fakeaws.state.shards import Shards

Settings = dict[str, Any]
"""What a plan sets, by name."""


class Memory:
    """What the imitated services remember: tokens, shards, objects, tables."""

    def __init__(self) -> None:
        self.seen = Deduplicator()
        self.objects = s3.Objects()
        self.queues = Queues()
        self.tables = dynamodb.Tables()
        self.shards = Shards(1, limited=True)
        self._rules: list[tuple[float, list[dict[str, Any]]]] = []
        """Each plan's rules, and when they came."""

    def rules_at_work(self, delay_s: float) -> list[dict[str, Any]]:
        """The bus's rules as events meet them, so long after what DescribeRule tells; the first ones at once."""
        while len(self._rules) > 1 and self._rules[1][0] <= time.monotonic() - delay_s:
            self._rules.pop(0)
        return self._rules[0][1] if self._rules else []

    def apply(self, settings: Settings) -> None:
        """Take a plan's settings. A stream keeps its records while the number of its shards stays what it was."""
        count, keeps = int(settings.get("shards", 1)), bool(settings.get("keep_records", False))
        if not keeps or not self.shards.keeps or count != self.shards.count:
            self.shards = Shards(count, limited=True)
        self.shards.keeps = keeps
        self.shards.limited = bool(settings.get("shard_limits", True))
        self.shards.offset_s = float(settings.get("arrival_offset_s", 0.0))
        self._rules.append((time.monotonic(), settings.get("bus_rules", [])))

    def clear(self) -> None:
        """Forget everything."""
        self.seen.clear()
        self.objects.clear()
        self.tables.clear()
        self.queues.clear()
        self._rules = []
        self.apply({})
