"""Which fields of events a policy does not know: their paths, and never their values."""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from stream_router.pipeline.masking.path_patterns import MEMO_KEY_CHARS, State

if TYPE_CHECKING:
    from stream_router.pipeline.masking.policy import MaskingPolicy, Parts

PATHS_MAX = 100
"""More paths than that tell nobody more; and senders choose the names of their fields."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")


class UnknownFields:
    """Collects paths. An event is walked only where it has a field whose name was not seen before."""

    def __init__(self, policy: "MaskingPolicy") -> None:
        self._policy = policy
        self._keys: set[str] = set()
        self._paths: dict[str, None] = {}

    def note(self, parts: "Parts", keys: Sequence[str]) -> None:
        """Take note of an event in which fields of the names `keys` passed unknown."""
        if self._keys.issuperset(keys) or len(self._paths) >= PATHS_MAX:
            return
        if len(self._keys) < PATHS_MAX * 10:
            self._keys.update(key for key in keys if len(key) <= MEMO_KEY_CHARS)
        for path in self._walk(parts, self._policy.start, ""):
            if len(self._paths) < PATHS_MAX:
                self._paths[path] = None

    def paths(self) -> list[str]:
        """What was noted since the start of the process."""
        return sorted(self._paths)

    def _walk(self, value: Any, state: State, path: str) -> Iterator[str]:
        pairs = value.items() if type(value) is dict else [("[]", item) for item in value]
        for key, item in pairs:
            step = state.element if type(value) is list else state.keys[key]
            below = f"{path}[]" if type(value) is list else f"{path}.{shown(key)}".lstrip(".")
            rule = self._policy.rule_for(item, step)
            if rule is not None:
                continue
            if type(item) is dict or type(item) is list:
                yield from self._walk(item, step.below or self._policy.nothing, below)
            elif item and item is not True:
                yield below


def shown(key: str) -> str:
    """A key as a path names it: `*` where it looks like a value, since senders can use those as keys."""
    return key if _NAME.fullmatch(key) and sum(map(str.isdigit, key)) < 6 else "*"
