"""The second walk over an event, taken only where it has something to do: for private values in fields that pass.

What a rule acts on or keeps is left alone. All other texts and numbers are searched for what a rule took away elsewhere
in the event, those that no rule names by the detectors, where the policy says so, and those that pass for addresses.
"""

from collections.abc import Callable
from typing import Any

from stream_router.pipeline.exact_number import ExactNumber
from stream_router.pipeline.masking.detectors.finder import finder
from stream_router.pipeline.masking.occurrences import Replace
from stream_router.pipeline.masking.path_patterns import State, Step
from stream_router.pipeline.masking.rules import MaskRule
from stream_router.pipeline.masking.trace import Find, Hits, Trace

RECURRING = "recurring"
"""The counts' name for a private value that was found again."""

_ADDRESSES = finder(("email",))
"""What passes is no private text, but an id may be the very address of a person."""

_ROUNDS_MAX = 4
"""A replaced value can uncover a find and the other way round; more rounds than two were never seen."""


class SecondLook:
    """Searches what passes. `replace` and `search_unknown` are None where there is nothing to look for.

    `trace` is that of a long event, which bounds what is searched of it.
    """

    def __init__(
        self,
        rule_for: Callable[[Any, Step], MaskRule | None],
        nothing: State,
        replace: Replace | None,
        search_unknown: Find | None,
        trace: Trace | None,
    ) -> None:
        self._rule_for = rule_for
        self._nothing = nothing
        self._replace = replace
        self._search_unknown = search_unknown
        self._trace = trace

    def object(self, value: dict[str, Any], state: State, find: Find | None, hits: Hits) -> dict[str, Any]:
        """`value` with what passes of it searched; `find` is the search of the rule above, where there is one."""
        masked = None
        for key, item in value.items():
            new = self._value(item, state.keys[key], find, hits)
            if new is not item:
                if masked is None:
                    masked = value.copy()
                masked[key] = new
        return value if masked is None else masked

    def _value(self, value: Any, step: Step, find: Find | None, hits: Hits) -> Any:
        rule = self._rule_for(value, step)
        if rule is not None and rule.decides:
            return value
        if rule is not None and rule.find is not None:
            find = rule.find
        kind = type(value)
        if kind is dict:
            return self.object(value, step.below or self._nothing, find, hits)
        if kind is list:
            below = (step.below or self._nothing).element
            items = [self._value(item, below, find, hits) for item in value]
            return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
        if kind is str:
            return self.text(value, rule, find, hits)
        if kind is int or kind is float or kind is ExactNumber:
            text = str(value)
            found = self.text(text, rule, find, hits, is_text=kind is int)
            return value if found == text else found
        return value

    def text(self, text: str, rule: MaskRule | None, find: Find | None, hits: Hits, *, is_text: bool = True) -> str:
        """A text or an integer that passes, searched; `rule` is the one that decides about it.

        With `is_text` false it is a number with a point: nobody's card, whatever its digits.
        """
        if find is None and rule is None:
            find = self._search_unknown
        elif find is None:
            find = _ADDRESSES
        if not is_text:
            find = None
        for _ in range(_ROUNDS_MAX):
            before = text
            text = self._replaced(text, hits)
            if find is not None:
                text = find(text, hits) if self._trace is None else self._trace.searched(find, text)
            if text == before:
                break
        return text

    def recurs(self, text: str) -> bool:
        """Whether a text holds what a rule took away elsewhere."""
        return self._replace is not None and self._replace(text) != text

    def _replaced(self, text: str, hits: Hits) -> str:
        replaced = self._replace(text) if self._replace else text
        if replaced != text:
            hits.append(RECURRING)
        return replaced
