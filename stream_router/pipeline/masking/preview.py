"""What a policy does to a sample, value by value: before, after, and by which action."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from stream_router.core.envelope import open_record
from stream_router.core.model import DeadLetter, Event, Record
from stream_router.pipeline import deep_json
from stream_router.pipeline.mapping.mapper import Validator
from stream_router.pipeline.mapping.shapes import Shape
from stream_router.pipeline.masking.actions import GONE
from stream_router.pipeline.masking.path_patterns import Step
from stream_router.pipeline.masking.policy import MaskingPolicy, MaskRule, Parts
from stream_router.pipeline.rejection import Rejected


class Shown(NamedTuple):
    """One value of the sample. `after` is None where nothing is left; `action` is empty where nothing happened."""

    path: str
    before: str
    after: str | None
    action: str


def show(policy: MaskingPolicy, shapes: Sequence[Shape], sample: bytes) -> list[Shown]:
    """Every value of every event in `sample`, in order. An event that fits none of `shapes` is taken as a payload.

    `sample` is what a Kinesis record may hold: one JSON document, or one a line. Raises ValueError, quoting nothing,
    where a line is no JSON object, or nests deeper than can be masked.
    """
    validator = Validator(shapes)
    tracer = _Tracer(policy)
    for found in open_record(Record(sample.strip(), 0)):
        if isinstance(found, DeadLetter):
            raise ValueError(found.message)  # noqa: TRY004 - no argument is wrong, the sample is
        parts = _parts(validator, found)
        try:
            policy.mask(parts, [])
            tracer.parts(parts)
        except (RecursionError, Rejected):
            raise ValueError("the sample nests too deep to be masked: the consumer would bury it") from None
    return tracer.shown


def _parts(validator: Validator, event: Event) -> Parts:
    if type(event.body) is not dict:
        raise ValueError("the sample holds something that is no JSON object")
    try:
        valid = validator.read(event)
    except Rejected:
        return {"payload": event.body}
    parts = {"originalEventId": valid[0], "conversationId": valid[1], "payload": valid[5]}
    return parts | {"extensions": valid[6]} if valid[6] else parts


class _Tracer:
    """Walks as `MaskingPolicy.mask` does and tells of each value, with one frame a level as there."""

    def __init__(self, policy: MaskingPolicy) -> None:
        self._policy = policy
        self.shown: list[Shown] = []

    def parts(self, parts: Parts) -> None:
        """All parts of one event."""
        for name, part in parts.items():
            plain = name in ("originalEventId", "conversationId")
            passes = None if plain or self._policy.allowed is None else self._policy.allowed.keys[name]
            self._value(part, name, self._policy.start.keys[name], None, passes)

    def _value(self, value: Any, path: str, step: Step, above: MaskRule | None, passes: Step | None) -> None:
        """`above` is the rule that decides unless another fits; `passes` is None where everything may."""
        blocked = passes is not None and not passes.ends
        inside = None if passes is None or not blocked else passes.below
        nested = bool(value) and type(value) in (dict, list)
        if blocked and (inside is None or not nested):
            return self._tell(path, value, GONE, "not allowed")
        rule = self._policy.rule_for(value, step) if above is None or above.find is not None else None
        if rule is not None and rule.action is not None:
            after = rule.action(value)
            # What an action leaves is a plain value, and of a plain value nothing is allowed by a path below it.
            hidden = blocked and after is not GONE
            return self._tell(path, value, GONE if hidden else after, "not allowed" if hidden else rule.name)
        above = rule or above
        if not nested:
            return self._plain(value, path, above)
        state = step.below or self._policy.nothing
        if type(value) is dict:
            for key, item in value.items():
                self._value(item, f"{path}.{key}", state.keys[key], above, inside.keys[key] if inside else None)
        else:
            for at, item in enumerate(value):
                self._value(item, f"{path}[{at}]", state.element, above, inside.element if inside else None)
        return None

    def _plain(self, value: Any, path: str, above: MaskRule | None) -> None:
        if above is None or above.find is None or (type(value) is not str and type(value) is not int):
            return self._tell(path, value, value, above.name if above and not above.find else "")
        hits: list[str] = []
        found = above.find(str(value), hits)
        if found == str(value):
            return self._tell(path, value, value, "")
        return self._tell(path, value, found, ", ".join(sorted(set(hits))))

    def _tell(self, path: str, before: Any, after: Any, action: str) -> None:
        self.shown.append(Shown(path, _text(before), None if after is GONE else _text(after), action))


def _text(value: Any) -> str:
    return value if type(value) is str else deep_json.write(value).decode()
