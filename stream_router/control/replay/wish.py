"""What `replay` was asked for, and the command that goes on with it."""

import shlex
from collections.abc import Sequence
from typing import NamedTuple

from stream_router.process import iso


class Wish(NamedTuple):
    """What the operator typed. `rate` is events a second, 0 for no bound."""

    since: str
    until: str | None
    event_types: Sequence[str]
    ids: Sequence[str]
    rate: float
    dry_run: bool
    yes: bool

    def again(self, since_ms: int, until_ms: int) -> str:
        """The command that replays the same over another span, to be pasted into a shell."""
        words = ["stream-router", "replay", "--since", iso(since_ms), "--until", iso(until_ms)]
        words += [word for name in self.event_types for word in ("--event-type", name)]
        words += [word for event_id in self.ids for word in ("--id", event_id)]
        words += ["--rate", f"{self.rate:g}"] * bool(self.rate) + ["--yes"] * self.yes
        return shlex.join(words)
