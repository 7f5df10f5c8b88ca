"""What the batcher counts."""

from collections import Counter


class Stats:
    """Plain numbers; `failures` are refused records by AWS's code."""

    def __init__(self) -> None:
        self.events_stored = self.events_spilled = self.events_refused = self.duplicates = 0
        self.calls = self.call_failures = self.records = self.throttles = self.spill_damaged = 0
        self.events_in_flight = self.bytes_in_flight = self.spilled_events = 0
        self.failures: Counter[str] = Counter()

    def failed(self, code: str) -> None:
        """The stream refused a record, or a call of them."""
        self.failures[code] += 1
