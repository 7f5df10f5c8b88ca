"""Compiled masking policy. By default a value leaves unmasked only if a rule of the policy allows it.

Its paths begin at the parts of an entry's Detail that come from the sender: `payload`, `extensions`, `conversationId`,
`originalEventId`. A rule applies to plain values (texts, numbers, true and false) at its path, and `drop` to everything
there. An object or an array is masked by its members if some path continues in it; otherwise it is redacted whole, with
its keys. In an object that is masked by its members, a key that no path names stays only if it has the form of a
field's name.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from stream_router.pipeline.masking import actions
from stream_router.pipeline.masking.actions import REDACTED, Action, Form, Plain, to_text
from stream_router.pipeline.masking.paths import Automaton, Step, Token, WalkState

OBJECTS, IDS = ("payload", "extensions"), ("conversationId", "originalEventId")
ROOTS = OBJECTS + IDS
"""Parts of a Detail from the sender: those that are objects, then those that are texts or null."""

Parts = dict[str, Any]
Counts = dict[str, int]
"""Counts by action, and by kind of private data found in texts."""

MASKED, PARTLY = "pii-masked", "pii-masked-partly"
"""Values of `complianceTag` (docs/contract.md).

The first is for a policy that redacts everything that it does not allow. The second is for a policy that lets unknown
fields or searched texts pass.
"""

MIN_REMOVED_CHARS = 8
"""Minimum length of a masked or dropped value that is also hidden if it is one of the entry's ids.

A shorter value may equal that of another field by chance, since agents and queues have small numbers.
"""

_FIELD_NAME = re.compile(r"@?[A-Za-z_#][A-Za-z0-9_.:#-]{0,63}")
_DIGIT = re.compile("[0-9]")
_MAX_KEY_DIGITS = 5
"""Maximum number of digits in a field's name. A key with more digits is probably an id or a phone number."""


MAX_ELEMENTS = 100_000
"""Maximum number of array elements of one event that are masked singly, at 1 to 3 µs of CPU each.

A megabyte may hold 500,000. An array beyond the limit is redacted whole.
"""


class MaskingRule(NamedTuple):
    """Rule for one path: apply `action`, except to values that have `form`. `name` is its key in the policy file."""

    name: str
    path: tuple[Token, ...]
    action: Action | None = None
    form: Form | None = None


DROP, HASH, FORM, ACT, PASS, UNKNOWN, VALUE_LIKE_KEY = (object() for _ in range(7))
"""Meanings of a step, in order:

* everything there is removed;
* a value is private;
* a value passes if it has a form, otherwise it is private;
* the rule's action is applied;
* a value passes;
* no rule is known;
* the key is redacted with its whole content.
"""


class Notes:
    """State of the masking of one event.

    It holds the counts of actions, the removed values (`removed`), and how many array elements may still be masked.
    `redacted` and `hidden` count the values redacted without a rule, and the values replaced by `private`.
    `MaskingPolicy.mask` adds both to the counts at the end.
    """

    __slots__ = ("counts", "elements_left", "hidden", "redacted", "removed")

    def __init__(self, counts: Counts) -> None:
        self.counts = counts
        self.elements_left = MAX_ELEMENTS
        self.redacted = self.hidden = 0
        self.removed: list[Any] = []

    def drop(self, value: Any) -> None:
        """Record that everything at a path is dropped."""
        self.counts["drop"] += 1
        self.removed.append(value)


class MaskingPolicy:
    """Compiled policy. The first rule whose path leads to a value decides about the value.

    `private` is the action of `hash` rules, and for other private values, such as those without the form of their rule.
    If `closed`, unknown values are redacted, otherwise they pass. `begin` is called before each event.
    """

    def __init__(
        self,
        policy_id: str,
        version: str,
        rules: Sequence[MaskingRule],
        *,
        private: Action = actions.redact,
        mask_dead_letters: bool = False,
        closed: bool = True,
        begin: Callable[[], None] | None = None,
    ) -> None:
        self.id = policy_id
        self.version = version
        self.mask_dead_letters = mask_dead_letters
        self.tag = MASKED if closed and all(rule.name != "search" for rule in rules) else PARTLY
        self._rules = tuple(rules)
        self._private = private
        self._private_name = "redact" if private is actions.redact else "hash"
        self._closed = closed
        self._begin = begin
        self.start = Automaton([rule.path for rule in rules], self._decide, self._is_value_like).start
        self._roots = {root: self.start.step_of_key(root) for root in ROOTS}

    def _is_value_like(self, key: str) -> bool:
        """Return whether a key that no path names is redacted, because it looks like a value and may be private."""
        return self._closed and not is_field_name(key)

    def _decide(self, ends: tuple[int, ...], is_value_like: bool) -> tuple[Any, MaskingRule | None]:
        """Return the meaning of a step at which these rules end, and the rule that decides."""
        if not ends:
            return (VALUE_LIKE_KEY if is_value_like else UNKNOWN), None
        rule = self._rules[ends[0]]
        if rule.form is not None:
            return FORM, rule
        return {"drop": DROP, "hash": HASH, "allow": PASS}.get(rule.name, ACT), rule

    def mask(self, parts: Parts, counts: Counts) -> Parts:
        """Return the masked parts, without changing `parts`. Add each applied action to `counts`.

        Raises any error that occurs, and the caller then sends nothing of the event.
        """
        if self._begin is not None:
            self._begin()
        notes = Notes(counts)
        masked: Parts = {}
        for name in OBJECTS:
            if name in parts:
                masked[name] = self._mask_part(parts[name], self._roots[name][1], notes)
        for name in IDS:
            if (value := parts.get(name)) is None:
                if name in parts:
                    masked[name] = None
            elif (step := self._roots[name])[0] is not DROP:
                masked[name] = self._mask_id(value, step, notes)
        if notes.redacted:
            counts["redact"] += notes.redacted
        if notes.hidden:
            counts[self._private_name] += notes.hidden
        return masked

    def _mask_id(self, value: str, step: Step, notes: Notes) -> Any:
        """Return an id of the entry, masked by its own rule.

        The id is also hidden if masking removed the same value elsewhere: it comes from the payload.
        """
        masked = self.mask_plain(value, step, notes)
        if masked == value and len(value) >= MIN_REMOVED_CHARS and value in map(to_text, notes.removed):
            return self._hide(value, notes)
        return masked

    def _mask_part(self, value: dict[str, Any], state: WalkState | None, notes: Notes) -> dict[str, Any]:
        """Mask payload or extensions. The result is always an object, even if its whole content is redacted."""
        if state is not None:
            return self._mask_object(value, state, notes)
        # `_mask_whole` returns the same object if it masks nothing.
        whole = self._mask_whole(value, notes) if value else value
        return value if whole is value else {REDACTED: REDACTED}

    def _mask_object(self, value: dict[str, Any], state: WalkState, notes: Notes) -> dict[str, Any]:
        """Mask an object. This hot loop is one function, with one call per level; most fields pass or are redacted."""
        steps, closed = state.steps, self._closed
        masked: dict[str, Any] | None = None  # a copy of `value`, made only once a member changes
        new: Any
        for key, item in value.items():
            try:
                step = steps[key]
            except KeyError:
                step = state.find_step(key)
            meaning, kind = step[0], type(item)
            # Only one frame per level, so that the stack suffices for deep objects.
            if (kind is dict or kind is list) and meaning is not DROP and meaning is not VALUE_LIKE_KEY:
                if not item:  # like null, an empty object or array holds no value
                    continue
                if step[1] is None:
                    new = self._mask_whole(item, notes)
                else:
                    new = (self._mask_object if kind is dict else self._mask_array)(item, step[1], notes)
            elif meaning is PASS:
                continue
            elif meaning is UNKNOWN:
                if item is None or not closed:
                    continue
                notes.redacted += 1
                new = REDACTED
            elif meaning is FORM:
                if kind is not str or step[2].form(item):
                    continue
                new = self._hide(item, notes)
            elif meaning is DROP or meaning is VALUE_LIKE_KEY:
                masked = value.copy() if masked is None else masked
                self._remove(key, masked, meaning, notes)
                continue
            elif item is None:
                continue
            else:
                new = self._hide(item, notes) if meaning is HASH else self.mask_plain(item, step, notes)
            if masked is None:
                masked = value.copy()
            masked[key] = new
        return value if masked is None else masked

    def _remove(self, key: str, masked: dict[str, Any], meaning: Any, notes: Notes) -> None:
        """Remove a key with its whole content. Put a mark in the place of a key that is not a field's name."""
        item = masked.pop(key)
        if meaning is DROP:
            notes.drop(item)
        else:
            notes.redacted += 1
            masked[REDACTED] = REDACTED

    def _mask_array(self, value: list[Any], state: WalkState, notes: Notes) -> Any:
        """Mask each element of an array. Return REDACTED if the event has more than MAX_ELEMENTS elements."""
        step = state.step_of_element()
        if step[0] is DROP:
            for item in value:
                notes.drop(item)
            return []
        notes.elements_left -= len(value)
        if notes.elements_left < 0:
            notes.redacted += 1
            return REDACTED
        masked: list[Any] = []
        for item in value:
            kind = type(item)
            if item is None or ((kind is dict or kind is list) and not item):
                masked.append(item)
            elif kind is not dict and kind is not list:
                masked.append(self.mask_plain(item, step, notes))
            elif step[1] is None:
                masked.append(self._mask_whole(item, notes))
            else:
                masked.append((self._mask_object if kind is dict else self._mask_array)(item, step[1], notes))
        return masked

    def _mask_whole(self, value: Any, notes: Notes) -> Any:
        """Return an object or an array in which no path continues: unchanged, or redacted if the policy is closed."""
        if not self._closed:
            return value
        notes.redacted += 1
        return REDACTED

    def mask_plain(self, value: Any, step: Step, notes: Notes) -> Any:
        """Mask a plain value by the step that led to it."""
        meaning, _, rule = step
        if meaning is HASH:
            return self._hide(value, notes)
        if meaning is FORM:
            return value if type(value) is not str or rule.form(value) else self._hide(value, notes)
        if meaning is PASS or (meaning is UNKNOWN and not self._closed):
            return value
        if meaning is not ACT:
            notes.redacted += 1
            return REDACTED
        if rule.name == "search":
            return _mask_found(value, rule.action, notes.counts)
        notes.counts[rule.name] += 1
        notes.removed.append(value)
        return rule.action(value)

    def _hide(self, value: Plain, notes: Notes) -> Any:
        """Return the hash of a private value, by which it can still be joined, or a fixed text if there is no key."""
        notes.hidden += 1
        notes.removed.append(value)
        return self._private(value)


def _mask_found(value: Plain, search: Action, counts: Counts) -> Any:
    """Return a value with the private data found in it replaced. Numbers are searched too: they may be phones."""
    if value is True or value is False:
        return value
    masked, kinds = search(to_text(value))
    for kind in kinds:
        counts[kind] += 1
    return masked if kinds else value


def is_field_name(key: str) -> bool:
    """Return whether a key looks like the name of a field, not like a value: senders may use people's ids as keys."""
    return _FIELD_NAME.fullmatch(key) is not None and len(_DIGIT.findall(key)) <= _MAX_KEY_DIGITS
