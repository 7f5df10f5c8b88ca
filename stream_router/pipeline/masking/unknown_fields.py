"""Which fields of events a policy does not know: their paths, and never their values."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stream_router.pipeline.masking.path_patterns import MEMO_KEY_CHARS, State

if TYPE_CHECKING:
    from stream_router.pipeline.masking.policy import MaskingPolicy, Parts

PATHS_MAX = 100
"""More paths than that tell nobody more; and senders choose the names of their fields."""

PATH_CHARS_MAX = 512
"""Fields of an event may nest some hundred levels deep; no other has such paths."""

_AND_SO_ON = ".**"
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
        self._walk(parts, self._policy.start, "")

    def paths(self) -> list[str]:
        """What was noted since the start of the process."""
        return sorted(self._paths)

    def _walk(self, value: Any, state: State, path: str) -> None:
        """Note the paths below `path`; one that is too long to be read ends in a star."""
        is_list = type(value) is list
        pairs = [("[]", item) for item in value] if is_list else value.items()
        for key, item in pairs:
            if len(self._paths) >= PATHS_MAX:
                return
            step = state.element if is_list else state.keys[key]
            rule = self._policy.rule_for(item, step)
            if rule is not None or not item or item is True:
                continue
            below = path
            if not path.endswith(_AND_SO_ON):
                below = f"{path}[]" if is_list else f"{path}.{shown(key)}".lstrip(".")
                if len(below) > PATH_CHARS_MAX:
                    below = path + _AND_SO_ON
            if type(item) is dict or type(item) is list:
                self._walk(item, step.below or self._policy.nothing, below)
            else:
                self._paths[below] = None


def shown(key: str) -> str:
    """A key as a path names it: `*` where it looks like a value, since senders can use those as keys."""
    return key if _NAME.fullmatch(key) and sum(map(str.isdigit, key)) < 6 else "*"
