"""Masks what is private in an event, by a policy compiled at start. It either masks all that the policy says or raises.

A policy's paths begin at the parts of an entry's Detail that come from the sender: `payload`, `extensions`,
`conversationId`, `originalEventId`. The first rule of the policy that a value's path fits decides about it.
"""

from collections.abc import Sequence
from operator import is_
from typing import Any

from stream_router.pipeline.masking import ids_in_clear, pruning
from stream_router.pipeline.masking.actions import GONE, REDACTED, Action, is_mask
from stream_router.pipeline.masking.detectors.prefilter import may_hold_an_address, suspicious
from stream_router.pipeline.masking.occurrences import all_texts, passing, replacer
from stream_router.pipeline.masking.path_patterns import ELEMENT, Automaton, Learned, State, Step, Token
from stream_router.pipeline.masking.rules import (
    BOOLEANS_STAY,
    KEPT,
    LOOKED_INTO,
    NULLS_STAY,
    OPEN,
    PASSED,
    REDACT,
    REDACT_TEXTS,
    TYPED,
    UNTOUCHED,
    MaskRule,
    deciding,
    meaning,
)
from stream_router.pipeline.masking.second_look import SecondLook
from stream_router.pipeline.masking.trace import LONG_CHARS, Find, Hits, Trace

ROOTS = ("payload", "extensions", "conversationId", "originalEventId")
Parts = dict[str, Any]


class MaskingPolicy:
    """A compiled policy. `allow`: where given, what no allowed path covers is left out, whatever the rules say.

    `closed`: what no rule names is redacted. `search_unknown`: what no rule names is searched, if it looks suspicious.
    """

    def __init__(
        self,
        policy_id: str,
        version: str,
        rules: Sequence[MaskRule],
        *,
        allow: Sequence[tuple[Token, ...]] | None = None,
        mask_dead_letters: bool = False,
        closed: bool = False,
        search_unknown: Find | None = None,
    ) -> None:
        self.id = policy_id
        self.version = version
        self.mask_dead_letters = mask_dead_letters
        self.closed = closed
        self._search_unknown = search_unknown
        self._rules = tuple(rules)

        def said_by(ends: tuple[int, ...]) -> Any:
            return meaning([self._rules[at] for at in ends])

        self.start = Automaton([rule.path for rule in rules], said_by).start
        self.allowed = None if allow is None else Automaton(allow, attributes=False).start
        self.nothing = Automaton([], said_by).start
        steps = {root: self.start.keys[root] for root in ROOTS}
        self._payload_state = steps["payload"].below or self.nothing
        said = [steps[root].meaning for root in ("payload", "originalEventId", "conversationId")]
        self._ids_pass = said == [OPEN, PASSED, PASSED]
        """Whether the policy says nothing of the parts but that the ids pass: then the payload alone is walked."""

    def mask(self, parts: Parts, hits: Hits) -> Parts:
        """The parts, masked; the given ones are not touched. Adds to `hits` each action that ran.

        Raises whatever goes wrong: the caller then sends nothing of the event.
        """
        return self.mask_event(parts, Trace(hits))

    def mask_event(self, parts: Parts, trace: Trace) -> Parts:
        """`mask`, with notes on what passed."""
        if self._ids_pass and len(parts) == 3:
            ids = interaction_id, conversation_id = parts["originalEventId"], parts["conversationId"]
            trace.known += ids if interaction_id and conversation_id else filter(None, ids)
            payload = self._object(parts["payload"], self._payload_state, trace)
            masked = {"payload": payload, "conversationId": conversation_id, "originalEventId": interaction_id}
        else:
            masked = self._object(parts, self.start, trace)
        trace.hits += ["redact"] * len(trace.redacted)
        look = self._look(trace)
        if look is not None:
            masked = look.object(masked, self.start, None, trace.hits)
        if self.allowed is not None:
            masked = pruning.parts(masked, self.allowed, trace.hits)
        return ids_in_clear.kept(parts, masked) if look is not None and self._ids_pass else masked

    def look_for(self, parts: Parts) -> SecondLook | None:
        """The second look that masking these parts takes, for who shows what masking does."""
        trace = Trace([])
        trace.known += all_texts(self._object(parts, self.start, trace))
        return self._look(trace)

    def _look(self, trace: Trace) -> SecondLook | None:
        joined = passing(trace) if trace.known or trace.typed or trace.unknown else ""
        replace = replacer(trace, joined) if joined else None
        search = self._search_unknown if trace.unknown and suspicious(trace.unknown) else None
        if replace is None and search is None and not (may_hold_an_address(joined) or suspicious(trace.typed)):
            return None
        return SecondLook(self.rule_for, self.nothing, replace, search, trace if len(joined) > LONG_CHARS else None)

    def top_step(self, part: str) -> list[MaskRule]:
        """The rules that fit a part as a whole; the policy's reader refuses those that would leave no object."""
        return [self._rules[at] for at in self.start.keys[part].ends]

    def _object(self, value: dict[str, Any], state: State, trace: Trace) -> dict[str, Any]:
        """The hot loop, in one piece: most fields of most events are kept, and most masks are `redact`."""
        quick, masked = state.quick, None
        new: Any
        for key, item in value.items():
            try:
                learned = quick[key]
            except KeyError:
                learned = state.learn(key)
            said, kind = learned[0], type(item)
            if kind is str:
                if said is KEPT:
                    continue
                if said is REDACT or said is REDACT_TEXTS:
                    trace.redacted.append(item)
                    if masked is None:
                        masked = value.copy()
                    masked[key] = REDACTED
                    continue
                new = self._other(item, learned, trace, key)
            elif kind is bool or item is None:
                if said is OPEN or said is KEPT or said in (NULLS_STAY if item is None else BOOLEANS_STAY):
                    continue
                new = self._other(item, learned, trace, key)
            elif kind is dict and said in LOOKED_INTO:
                new = self._object(item, learned[1] or self.nothing, trace)
            elif kind is list and said in LOOKED_INTO:
                new = self._array(item, learned[1] or self.nothing, None, trace, key) if item else item
            elif said is KEPT:
                continue
            else:
                new = self._other(item, learned, trace, key)
            if new is not item:
                if masked is None:
                    masked = value.copy()
                if new is GONE:
                    del masked[key]
                else:
                    masked[key] = new
        return value if masked is None else masked

    def _other(self, value: Any, learned: Learned, trace: Trace, key: str) -> Any:
        """What is rarer than what the loop does itself."""
        said = learned[0]
        if type(said) is tuple:
            return self._acted(said[0], said[1], value, trace)
        if said is OPEN:
            return self._unknown(value, trace, key)
        if said is PASSED or said is TYPED:
            (trace.typed if said is TYPED else trace.known).append(value)
            return value
        return value if said is UNTOUCHED else self._act(value, learned[2], None, trace, key)

    def _searched(self, value: dict[str, Any], state: State, find: Find, trace: Trace) -> dict[str, Any]:
        """An object under a rule that searches; the rules that fit below it are asked for each field."""
        masked = {key: self._act(item, state.keys[key], find, trace, key) for key, item in value.items()}
        if all(map(is_, masked.values(), value.values())):
            return value
        return {key: item for key, item in masked.items() if item is not GONE}

    def _array(self, value: list[Any], state: State, find: Find | None, trace: Trace, key: str) -> list[Any]:
        if not value:
            return value
        step = state.keys[ELEMENT]
        if find is None and (step[2] is PASSED or step[2] is TYPED) and set(map(type, value)) == {str}:
            (trace.typed if step[2] is TYPED else trace.known).extend(value)
            return value
        masked: list[Any] = []
        look_into = find is None and step[2] in LOOKED_INTO
        for item in value:
            kind = type(item)
            # One frame a level: what nests deep is masked as far as the stack goes.
            if look_into and kind is dict:
                masked.append(self._object(item, step[1] or self.nothing, trace))
            elif look_into and kind is list:
                masked.append(self._array(item, step[1] or self.nothing, None, trace, key))
            else:
                masked.append(self._act(item, step, find, trace, key))
        for new, old in zip(masked, value, strict=True):
            if new is not old:
                return [item for item in masked if item is not GONE]
        return value

    def _acted(self, name: str, action: Action, value: Any, trace: Trace) -> Any:
        new = action(value)
        if new is not value:
            trace.hits.append(name)
            trace.secrets.append((value, new))
        return new

    def _act(self, value: Any, step: Step, find: Find | None, trace: Trace, key: str) -> Any:
        """Does what the first fitting rule says, or goes on below it."""
        rule = self.rule_for(value, step)
        if rule is None:
            return self._rest(value, step[1], find, trace, key)
        if rule.action is not None:
            return self._acted(rule.name, rule.action, value, trace)
        if rule.passes:
            (trace.typed if rule.find is not None else trace.known).append(value)
        elif rule.find is not None:
            return self._rest(value, step[1], rule.find, trace, key)
        return value

    def _rest(self, value: Any, state: State | None, find: Find | None, trace: Trace, key: str) -> Any:
        """What no rule acts on: looked into, and searched where a rule above says so."""
        kind = type(value)
        if kind is dict:
            below = state or self.nothing
            return self._object(value, below, trace) if find is None else self._searched(value, below, find, trace)
        if kind is list:
            return self._array(value, state or self.nothing, find, trace, key)
        if find is None:
            return self._unknown(value, trace, key)
        if kind is not str and kind is not int:
            return value
        text = value if kind is str else str(value)
        found = trace.searched(find, text)
        trace.known.append(found)
        return value if found == text else found

    def _unknown(self, value: Any, trace: Trace, key: str) -> Any:
        """A plain value of a field that no rule names. What can hold nothing private passes as it is."""
        if not value or value is True:
            return value
        if self.closed:
            if not is_mask(value):
                trace.hits.append("unknown")
            return REDACTED
        trace.unknown.append(value)
        trace.keys.append(key)
        return value

    def rule_for(self, value: Any, step: Step) -> MaskRule | None:
        """The rule that decides about a value to which `step` led."""
        return deciding(self._rules, step[0], value)
