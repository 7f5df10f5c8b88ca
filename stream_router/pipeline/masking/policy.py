"""Masks what is private in an event, by a policy compiled at start. It either masks all that the policy says or raises.

A policy's paths begin at the parts of an entry's Detail that come from the sender: `payload`, `extensions`,
`conversationId`, `originalEventId`. The first rule of the policy that a value's path fits decides about it.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from stream_router.pipeline.masking.actions import GONE, REDACTED, Action, is_mask, redact
from stream_router.pipeline.masking.path_patterns import Automaton, State, Step, Token

ROOTS = ("payload", "extensions", "conversationId", "originalEventId")
Parts = dict[str, Any]
Hits = list[str]
"""What was done, by name, once for each time it was done: a list takes that at half the cost of counting."""

Find = Callable[[str, Hits], str]
"""Free text to the same with what was found in it replaced; adds what was found."""


class MaskRule(NamedTuple):
    """One rule for one path: an action, or (`find`) a search in all texts at and below it, or neither: keep it.

    With `plain_only` it is no rule for objects and arrays.
    """

    name: str
    path: tuple[Token, ...]
    action: Action | None = None
    find: Find | None = None
    plain_only: bool = False


_MASKED_BEFORE = MaskRule("masked before", ())
"""Decides about a mask whose origin would decide, plain value or nested: so that masking twice is masking once."""


class MaskingPolicy:
    """A compiled policy. `allow`: where given, what no allowed path covers is left out, whatever the rules say."""

    def __init__(
        self,
        policy_id: str,
        version: str,
        rules: Sequence[MaskRule],
        *,
        allow: Sequence[tuple[Token, ...]] | None = None,
        mask_dead_letters: bool = False,
    ) -> None:
        self.id = policy_id
        self.version = version
        self.mask_dead_letters = mask_dead_letters
        self._rules = tuple(rules)
        self.start = Automaton([rule.path for rule in rules], self._simple).start
        self.allowed = None if allow is None else Automaton(allow).start
        self.nothing = Automaton([]).start
        at_top = {name: self.start.keys[name] for name in ROOTS}
        self._payload_state = at_top["payload"].below or self.nothing
        self.payload_only = allow is None and not any(step.ends for step in at_top.values())
        """Whether the policy says nothing of the parts as such: an event without extensions can take `mask_payload`."""

    def mask(self, parts: Parts, hits: Hits) -> Parts:
        """The parts, masked; the given ones are not touched. Adds to `hits` each action that ran.

        Raises whatever goes wrong: the caller then sends nothing of the event.
        """
        masked: Parts = self._object(parts, self.start, None, hits)
        return masked if self.allowed is None else self._pruned_parts(masked, self.allowed, hits)

    def mask_payload(self, payload: dict[str, Any], hits: Hits) -> dict[str, Any]:
        """`mask` of a payload by itself, at less cost; only where `payload_only`."""
        return self._object(payload, self._payload_state, None, hits)

    def top_step(self, part: str) -> list[MaskRule]:
        """The rules that fit a part as a whole; the policy's reader refuses those that would leave no object."""
        return [self._rules[at] for at in self.start.keys[part].ends]

    def _object(self, value: dict[str, Any], state: State, find: Find | None, hits: Hits) -> dict[str, Any]:
        """The hot loop: most keys of most events are named by no rule and hold no object; most masks are `redact`."""
        keys, masked = state.keys, None
        new: Any
        passed_over = state.unnamed if find is None and not state.unnamed.ends else None
        for key, item in value.items():
            step = keys[key]
            if step is passed_over or not (step[0] or find):
                kind, below = type(item), step[1]
                if (kind is not dict and kind is not list) or below is None:
                    continue
                new = self._object(item, below, None, hits) if kind is dict else self._array(item, below, None, hits)
            elif step[2] is not None:
                name, action = step[2]
                hits.append(name)
                new = REDACTED if action is redact and item is not None else action(item)
            else:
                new = self._act(item, step, find, hits)
            if new is not item:
                if masked is None:
                    masked = value.copy()
                if new is GONE:
                    del masked[key]
                else:
                    masked[key] = new
        return value if masked is None else masked

    def _array(self, value: list[Any], state: State, find: Find | None, hits: Hits) -> list[Any]:
        step = state.element
        if not step[0] and find is None:
            for item in value:
                if type(item) is dict or type(item) is list:
                    break
            else:
                return value
        masked = [self._act(item, step, find, hits) for item in value]
        return [item for item in masked if item is not GONE]

    def _rest(self, value: Any, state: State | None, find: Find | None, hits: Hits) -> Any:
        """What no rule acts on: looked into, and searched where a rule above says so."""
        kind = type(value)
        if kind is dict or kind is list:
            if state is None and find is None:
                return value
            below = state or self.nothing
            return (self._object if kind is dict else self._array)(value, below, find, hits)
        if find is None or (kind is not str and kind is not int):
            return value
        text = value if kind is str else str(value)
        found = find(text, hits)
        return value if found == text else found

    def _act(self, value: Any, step: Step, find: Find | None, hits: Hits) -> Any:
        """Does what the first fitting rule says, or goes on below it."""
        rule = self.rule_for(value, step)
        if rule is None:
            return self._rest(value, step[1], find, hits)
        if rule.action is not None:
            hits.append(rule.name)
            return rule.action(value)
        return value if rule.find is None else self._rest(value, step[1], rule.find, hits)

    def rule_for(self, value: Any, step: Step) -> MaskRule | None:
        """The rule that decides about a value to which `step` led."""
        for at in step[0]:
            rule = self._rules[at]
            if not rule.plain_only:
                return rule
            if is_mask(value):
                return _MASKED_BEFORE
            if type(value) is not dict and type(value) is not list:
                return rule
        return None

    def _simple(self, ends: tuple[int, ...]) -> tuple[str, Action] | None:
        """Where the first of the rules acts on whatever it meets, its name and what it does."""
        first = self._rules[ends[0]] if ends else None
        if first is None or first.action is None or first.plain_only:
            return None
        return first.name, first.action

    def _pruned_parts(self, parts: Parts, state: State, hits: Hits) -> Parts:
        """Only what is allowed of payload and extensions; the ids always pass."""
        pruned = {}
        for name, value in parts.items():
            if name in ("payload", "extensions"):
                step = state.keys[name]
                kept = value if step[0] else self._pruned(value, step[1], hits)
                pruned[name] = {} if kept is GONE else kept
            else:
                pruned[name] = value
        return pruned

    def _pruned(self, value: Any, state: State | None, hits: Hits) -> Any:
        kept: Any = GONE
        if state is not None and type(value) is dict:
            steps = ((key, item, state.keys[key]) for key, item in value.items())
            pairs = ((key, item if step[0] else self._pruned(item, step[1], hits)) for key, item, step in steps)
            kept = {key: item for key, item in pairs if item is not GONE}
        elif state is not None and type(value) is list:
            step = state.element
            items = (item if step[0] else self._pruned(item, step[1], hits) for item in value)
            kept = [item for item in items if item is not GONE]
        if kept is GONE or not kept:
            hits.append("not_allowed")
            return GONE
        return kept
