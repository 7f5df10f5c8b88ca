"""Compiled masking policy. By default nothing leaves that none of its rules allows.

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
from stream_router.pipeline.masking.actions import REDACTED, Action, Form, Plain, text_of
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

TAKEN_MIN_CHARS = 8
"""Minimum length of a removed value that is also hidden in the entry's ids.

A shorter value may equal that of another field by chance, since agents and queues have small numbers.
"""

_FIELD_NAME = re.compile(r"@?[A-Za-z_#][A-Za-z0-9_.:#-]{0,63}")
_DIGIT = re.compile("[0-9]")
_KEY_DIGITS_MAX = 5
"""Maximum number of digits in a field's name. A key with more digits is probably an id or a phone number."""


ELEMENTS_MAX = 100_000
"""Maximum number of array elements of one event that are masked singly, at 1 to 3 µs of CPU each.

A megabyte may hold 500,000. An array beyond the limit is redacted whole.
"""


class MaskingRule(NamedTuple):
    """Rule for one path: apply `action`, except to values that have `form`. `name` is its key in the policy file."""

    name: str
    path: tuple[Token, ...]
    action: Action | None = None
    form: Form | None = None


DROP, HASH, FORM, ACT, PASS, UNKNOWN, ODD_KEY = (object() for _ in range(7))
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

    It holds the counts of actions, the removed values (`taken`), and how many array elements may still be masked.
    """

    __slots__ = ("counts", "elements_left", "hidden", "redacted", "taken")

    def __init__(self, counts: Counts) -> None:
        self.counts = counts
        self.elements_left = ELEMENTS_MAX
        self.redacted = self.hidden = 0
        self.taken: list[Any] = []

    def drop(self, value: Any) -> None:
        """Record that everything at a path is dropped."""
        self.counts["drop"] += 1
        self.taken.append(value)


class MaskingPolicy:
    """Compiled policy. Of its rules, the first that fits decides.

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
        self.start = Automaton([rule.path for rule in rules], self._meaning, self._is_odd).start
        self._roots = {root: self.start.of_key(root) for root in ROOTS}

    def _is_odd(self, key: str) -> bool:
        """Return whether a key that no path names is redacted."""
        return self._closed and not is_field_name(key)

    def _meaning(self, ends: tuple[int, ...], is_odd: bool) -> tuple[Any, MaskingRule | None]:
        """Return the meaning of a step at which these rules end, and the rule that decides."""
        if not ends:
            return (ODD_KEY if is_odd else UNKNOWN), None
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
                masked[name] = self._part(parts[name], self._roots[name][1], notes)
        for name in IDS:
            if (value := parts.get(name)) is None:
                if name in parts:
                    masked[name] = None
            elif (step := self._roots[name])[0] is not DROP:
                masked[name] = self._id(value, step, notes)
        if notes.redacted:
            counts["redact"] += notes.redacted
        if notes.hidden:
            counts[self._private_name] += notes.hidden
        return masked

    def _id(self, value: str, step: Step, notes: Notes) -> Any:
        """Mask an id of the entry. The id comes from the payload, where a rule may have removed the same value."""
        masked = self.plain(value, step, notes)
        if masked == value and len(value) >= TAKEN_MIN_CHARS and value in map(text_of, notes.taken):
            return self._hide(value, notes)
        return masked

    def _part(self, value: dict[str, Any], state: WalkState | None, notes: Notes) -> dict[str, Any]:
        """Mask payload or extensions. The result is always an object, even if its whole content is redacted."""
        if state is not None:
            return self._object(value, state, notes)
        whole = self._whole(value, notes) if value else value
        return value if whole is value else {REDACTED: REDACTED}

    def _object(self, value: dict[str, Any], state: WalkState, notes: Notes) -> dict[str, Any]:
        """Mask an object. This hot loop is one function, with one call per level; most fields pass or are redacted."""
        steps, closed = state.steps, self._closed
        masked: dict[str, Any] | None = None
        new: Any
        for key, item in value.items():
            try:
                step = steps[key]
            except KeyError:
                step = state.learn(key)
            meaning, kind = step[0], type(item)
            # Only one frame per level, so that the stack suffices for deep objects.
            if (kind is dict or kind is list) and meaning is not DROP and meaning is not ODD_KEY:
                if not item:  # like null, an empty object or array holds no value
                    continue
                if step[1] is None:
                    new = self._whole(item, notes)
                else:
                    new = (self._object if kind is dict else self._array)(item, step[1], notes)
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
            elif meaning is DROP or meaning is ODD_KEY:
                masked = value.copy() if masked is None else masked
                self._remove(key, masked, meaning, notes)
                continue
            elif item is None:
                continue
            else:
                new = self._hide(item, notes) if meaning is HASH else self.plain(item, step, notes)
            if masked is None:
                masked = value.copy()
            masked[key] = new
        return value if masked is None else masked

    def _remove(self, key: str, masked: dict[str, Any], meaning: Any, notes: Notes) -> None:
        """Remove a key with its whole content. Put a mark in the place of a key that is no field's name."""
        item = masked.pop(key)
        if meaning is DROP:
            notes.drop(item)
        else:
            notes.redacted += 1
            masked[REDACTED] = REDACTED

    def _array(self, value: list[Any], state: WalkState, notes: Notes) -> Any:
        step = state.of_element()
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
                masked.append(self.plain(item, step, notes))
            elif step[1] is None:
                masked.append(self._whole(item, notes))
            else:
                masked.append((self._object if kind is dict else self._array)(item, step[1], notes))
        return masked

    def _whole(self, value: Any, notes: Notes) -> Any:
        """Mask an object or an array in which no path continues."""
        if not self._closed:
            return value
        notes.redacted += 1
        return REDACTED

    def plain(self, value: Any, step: Step, notes: Notes) -> Any:
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
            return _searched(value, rule.action, notes.counts)
        notes.counts[rule.name] += 1
        notes.taken.append(value)
        return rule.action(value)

    def _hide(self, value: Plain, notes: Notes) -> Any:
        """Return the hash of a private value, by which it can still be joined, or a fixed text if there is no key."""
        notes.hidden += 1
        notes.taken.append(value)
        return self._private(value)


def _searched(value: Plain, search: Action, counts: Counts) -> Any:
    """Return a value without the private data found in it. Numbers are searched too: they may be phone numbers."""
    if value is True or value is False:
        return value
    masked, kinds = search(text_of(value))
    for kind in kinds:
        counts[kind] += 1
    return masked if kinds else value


def is_field_name(key: str) -> bool:
    """Return whether a key looks like the name of a field, not like a value: senders may use people's ids as keys."""
    return _FIELD_NAME.fullmatch(key) is not None and len(_DIGIT.findall(key)) <= _KEY_DIGITS_MAX
