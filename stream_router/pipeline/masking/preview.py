"""What a policy does to a sample, value by value: before, after, and by which action."""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from stream_router.envelope import open_record
from stream_router.model import DeadLetter, Event, Record
from stream_router.pipeline import deep_json
from stream_router.pipeline.exact_number import ExactNumber
from stream_router.pipeline.mapping.mapper import Validator
from stream_router.pipeline.masking.actions import GONE, REDACTED, is_mask
from stream_router.pipeline.masking.ids_in_clear import IDS
from stream_router.pipeline.masking.path_patterns import Step
from stream_router.pipeline.masking.policy import MaskingPolicy, Parts
from stream_router.pipeline.masking.rules import MaskRule
from stream_router.pipeline.masking.second_look import RECURRING
from stream_router.pipeline.masking.unknown_fields import shown
from stream_router.pipeline.rejection import Rejected

Verdict = Literal["masked", "passes", "stays", "unknown"]
"""`stays`: kept on purpose although it holds what is masked elsewhere in the event."""


class Shown(NamedTuple):
    """One value of the sample. `after` is None where nothing is left; `action` is empty where nothing happened.

    `general` is the path as a pattern has it: `[]` for every element, no key that looks like a value.
    """

    path: str
    before: str
    after: str | None
    action: str
    general: str
    verdict: Verdict


def show(policy: MaskingPolicy, validator: Validator, sample: bytes) -> list[Shown]:
    """Every value of every event in `sample`, in order. An event that `validator` refuses is taken as a payload.

    `sample` is what a Kinesis record may hold: one JSON document, or one a line. Raises ValueError, quoting nothing,
    where a line is no JSON object, or nests deeper than can be masked.
    """
    found: list[Shown] = []
    if not (stripped := sample.strip()):
        raise ValueError("holds no event")
    for opened in open_record(Record(stripped, 0)):
        if isinstance(opened, DeadLetter):
            raise ValueError(f"line {opened.event.line + 1}: {opened.message}")  # noqa: TRY004 - the sample is wrong
        parts = _parts(validator, opened)
        try:
            tracer = _Tracer(policy, parts, policy.mask(parts, []))
            tracer.parts(parts)
        except (RecursionError, Rejected):
            raise ValueError("the sample nests too deep to be masked: the consumer would bury it") from None
        found += tracer.shown
    return found


def _parts(validator: Validator, event: Event) -> Parts:
    try:
        valid = validator.read(event)
    except Rejected:
        if type(event.body) is not dict:
            raise ValueError("the sample holds something that is no JSON object") from None
        return {"payload": event.body}
    parts = {"originalEventId": valid[0], "conversationId": valid[1], "payload": valid[5]}
    return parts | {"extensions": valid[6]} if valid[6] else parts


class _At(NamedTuple):
    """Where the walk is: the path as it stands and in general, the step there, and whether it may pass (None: may)."""

    path: str
    general: str
    step: Step
    passes: Step | None


class _Tracer:
    """Walks as `MaskingPolicy.mask` does and tells of each value, with one frame a level as there."""

    def __init__(self, policy: MaskingPolicy, parts: Parts, masked: Parts) -> None:
        self._policy = policy
        self._kept_ids = {name for name in IDS if name in masked and masked[name] == parts.get(name)}
        self._look = policy.look_for(parts)
        self.shown: list[Shown] = []

    def parts(self, parts: Parts) -> None:
        """All parts of one event."""
        for name, part in parts.items():
            plain = name in ("originalEventId", "conversationId")
            passes = None if plain or self._policy.allowed is None else self._policy.allowed.keys[name]
            self._value(part, _At(name, name, self._policy.start.keys[name], passes), None)

    def _value(self, value: Any, at: _At, above: MaskRule | None) -> None:
        """`above` is the rule that decides unless another fits."""
        blocked = at.passes is not None and not at.passes.ends
        nested = bool(value) and type(value) in (dict, list)
        if blocked and (at.passes is None or at.passes.below is None or not nested):
            return self._tell(at, value, GONE, "not allowed")
        rule = self._policy.rule_for(value, at.step) if above is None or above.find is not None else None
        if rule is not None and rule.action is not None:
            after = rule.action(value)
            # What an action leaves is a plain value, and of a plain value nothing is allowed by a path below it.
            hidden = blocked and after is not GONE
            verdict: Verdict = "passes" if after is value else "masked"
            return self._tell(at, value, GONE if hidden else after, "not allowed" if hidden else rule.name, verdict)
        above = rule or above
        if not nested:
            return self._plain(value, at, above)
        for item, below in self._below(value, at, blocked=blocked):
            self._value(item, below, above)
        return None

    def _below(self, value: Any, at: _At, *, blocked: bool) -> Iterator[tuple[Any, _At]]:
        state = at.step.below or self._policy.nothing
        inside = at.passes.below if blocked and at.passes else None
        if type(value) is dict:
            for key, item in value.items():
                general = f"{at.general}.{shown(key)}"
                yield item, _At(f"{at.path}.{key}", general, state.keys[key], inside.keys[key] if inside else None)
        else:
            for place, item in enumerate(value):
                general = f"{at.general}[]"
                yield item, _At(f"{at.path}[{place}]", general, state.element, inside.element if inside else None)

    def _plain(self, value: Any, at: _At, above: MaskRule | None) -> None:
        """A plain value that no action is meant for: kept, searched, or unknown to the policy."""
        text = value if type(value) is str else str(value)
        if above is not None and above.decides:
            stays = type(value) is str and self._look is not None and self._look.recurs(text)
            return self._tell(at, value, value, above.name, "stays" if stays else "passes")
        known: Verdict = "passes" if above is not None or not value or value is True else "unknown"
        if type(value) not in (str, int, float, ExactNumber) or not value:
            return self._tell(at, value, value, "", known)
        if above is None and self._policy.closed:
            return self._tell(at, value, REDACTED, "" if is_mask(value) else "unknown", "masked")
        hits: list[str] = []
        is_text = type(value) in (str, int)
        find = above.find if above is not None and is_text else None
        found = find(text, hits) if find is not None else text
        if self._look is not None and at.path not in self._kept_ids:
            found = self._look.text(found, above, find, hits, is_text=is_text)
        if found == text:
            return self._tell(at, value, value, above.name if above and (above.passes or not above.find) else "", known)
        return self._tell(at, value, found, ", ".join(sorted(set(hits))) or RECURRING, known)

    def _tell(self, at: _At, before: Any, after: Any, action: str, verdict: Verdict = "masked") -> None:
        after_text = None if after is GONE else _text(after)
        self.shown.append(Shown(at.path, _text(before), after_text, action, at.general, verdict))


def _text(value: Any) -> str:
    return value if type(value) is str else deep_json.write(value).decode()
