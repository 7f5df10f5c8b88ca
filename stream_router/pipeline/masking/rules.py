"""One rule of a masking policy, and the joint verdict of all rules that fit a path."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from stream_router.pipeline.masking.actions import Action, is_mask, redact, redact_texts
from stream_router.pipeline.masking.path_patterns import Token
from stream_router.pipeline.masking.trace import Find


class MaskRule(NamedTuple):
    """One rule for one path: an action, or (`find`) a search in all texts at and below it, or neither.

    With neither the value passes on purpose: `keep` as it is, `pass` without what is masked elsewhere in the event, and
    with `find` without what that finds. With `plain_only` it is no rule for objects and arrays.
    """

    name: str
    path: tuple[Token, ...]
    action: Action | None = None
    find: Find | None = None
    plain_only: bool = False

    @property
    def decides(self) -> bool:
        """Whether nothing else is done to a value after this rule."""
        return self.find is None and not self.passes

    @property
    def passes(self) -> bool:
        """Whether it lets a value pass without what is masked elsewhere in the event."""
        return self.name == "pass"


MASKED_BEFORE = MaskRule("masked before", ())
"""Decides about a mask whose origin would decide, plain value or nested: so that masking twice is masking once."""

OPEN, KEPT, PASSED, TYPED, UNTOUCHED = object(), object(), object(), object(), object()
"""What a step means where it is no action: no rule is known; plain values are kept, or passed, or passed and searched
since people type them; all is kept."""

ASK, ASK_IF_PLAIN = object(), object()
"""The rules must be asked with the value at hand; the second looks into objects and arrays all the same."""

REDACT, REDACT_TEXTS = ("redact", redact), ("redact", redact_texts)
LOOKED_INTO = frozenset({OPEN, KEPT, PASSED, TYPED, ASK_IF_PLAIN})
BOOLEANS_STAY = frozenset({OPEN, KEPT, PASSED, TYPED, UNTOUCHED, REDACT_TEXTS})
NULLS_STAY = BOOLEANS_STAY | {REDACT}
"""Where true and false, or null, are left alone whatever stands beside them."""


def meaning(rules: Sequence[MaskRule]) -> Any:
    """The verdict of the rules that end at a step, where it is the same for every value."""
    if not rules:
        return OPEN
    first = rules[0]
    if all(rule.plain_only and (rule.find is None or rule.passes) for rule in rules):
        passed = TYPED if first.find is not None else PASSED
        return ASK_IF_PLAIN if first.action is not None else passed if first.passes else KEPT
    if first.find is not None or first.plain_only:
        return ASK
    if first.action is not None:
        return {redact: REDACT, redact_texts: REDACT_TEXTS}.get(first.action) or (first.name, first.action)
    return UNTOUCHED if first.name == "keep" else ASK


def deciding(rules: Sequence[MaskRule], ends: Sequence[int], value: Any) -> MaskRule | None:
    """The first of the rules at `ends` that decides about this value."""
    for at in ends:
        rule = rules[at]
        if not rule.plain_only:
            return rule
        if is_mask(value):
            return MASKED_BEFORE
        if type(value) is not dict and type(value) is not list:
            return rule
    return None
