"""What a policy does to a sample, value by value: before, after, and by which action."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import orjson

from stream_router.envelope import open_record
from stream_router.pipeline.actions import GONE
from stream_router.pipeline.mask import Find, Parts, Policy
from stream_router.pipeline.paths import State, Step
from stream_router.pipeline.rejection import Rejected
from stream_router.pipeline.schemas import Shape
from stream_router.pipeline.validate import Validator
from stream_router.records import DeadLetter, Event, Record


class Shown(NamedTuple):
    """One value of the sample. `after` is None where nothing is left; `action` is empty where nothing happened."""

    path: str
    before: str
    after: str | None
    action: str


def show(policy: Policy, shapes: Sequence[Shape], sample: bytes) -> list[Shown]:
    """Every value of every event in `sample`, in order. An event that fits none of `shapes` is taken as a payload.

    `sample` is what a Kinesis record may hold: one JSON document, or one a line. Raises ValueError, quoting nothing,
    where a line is no JSON object.
    """
    validator = Validator(shapes)
    shown: list[Shown] = []
    for found in open_record(Record(sample.strip(), 0)):
        if isinstance(found, DeadLetter):
            raise ValueError(found.message)  # noqa: TRY004 - no argument is wrong, the sample is
        parts = _parts(validator, found)
        shown += _Tracer(policy).object(parts, "", policy.start, None, policy.allowed)
    return shown


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
    """Walks as `Policy.mask` does and tells of each value. `allowed` is None where everything is."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def object(
        self, value: dict[str, Any], path: str, state: State, find: Find | None, allowed: State | None
    ) -> Iterator[Shown]:
        for key, item in value.items():
            below = f"{path}.{key}" if path else key
            passes = None if allowed is None else allowed.keys[key]
            if not path and key in ("originalEventId", "conversationId"):
                passes = None
            yield from self._value(item, below, state.keys[key], find, passes)

    def _value(self, value: Any, path: str, step: Step, find: Find | None, passes: Step | None) -> Iterator[Shown]:
        if passes is not None and not passes.ends and (passes.below is None or type(value) not in (dict, list)):
            yield Shown(path, _text(value), None, "not allowed")
            return
        rule = self._policy.rule_for(value, step)
        if rule is not None and rule.find is None:
            after = value if rule.action is None else rule.action(value)
            yield Shown(path, _text(value), None if after is GONE else _text(after), rule.name)
            return
        find = rule.find if rule is not None else find
        allowed = None if passes is None or passes.ends else passes.below
        state = step.below or self._policy.nothing
        if type(value) is dict and value:
            yield from self.object(value, path, state, find, allowed)
        elif type(value) is list and value:
            for at, item in enumerate(value):
                element = None if allowed is None else allowed.element
                yield from self._value(item, f"{path}[{at}]", state.element, find, element)
        else:
            yield self._plain(value, path, find)

    def _plain(self, value: Any, path: str, find: Find | None) -> Shown:
        text = str(value) if type(value) is str or type(value) is int else None
        if find is None or text is None:
            return Shown(path, _text(value), _text(value), "")
        hits: list[str] = []
        found = find(text, hits)
        if found == text:
            return Shown(path, _text(value), _text(value), "")
        return Shown(path, _text(value), found, ", ".join(sorted(set(hits))))


def _text(value: Any) -> str:
    return value if type(value) is str else orjson.dumps(value).decode()
