"""Preview of a policy's effect on samples, path by path, for authors of policies."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from stream_router.dead_letter_reasons import Rejected
from stream_router.envelope import open_record
from stream_router.model import DeadLetter, Event, Record
from stream_router.pipeline.mapping.mapper import EventMapper
from stream_router.pipeline.masking.actions import REDACTED
from stream_router.pipeline.masking.paths import Step
from stream_router.pipeline.masking.policy import (
    DROP,
    IDS,
    UNKNOWN,
    VALUE_LIKE_KEY,
    MaskingPolicy,
    Notes,
    is_field_name,
)

_VERDICTS = {"drop": "dropped", "hash": "hashed", "keep_last": "keeps its last characters", "search": "searched"}


class ShownValue(NamedTuple):
    """One plain value of a sample. `path` has the form of a policy's path; `after` is None if the value is removed.

    `verdict` is redacted, passed, hashed, or a word of `_VERDICTS`.
    """

    path: str
    before: Any
    after: Any
    verdict: str


def show(policy: MaskingPolicy, mapper: EventMapper, sample: bytes) -> list[ShownValue]:
    """Return every value of every event in `sample`, in order. An event that `mapper` refuses counts as a payload.

    `sample` has the form of a Kinesis record: one JSON document, or one per line. Raise ValueError, quoting nothing, if
    a line is not a JSON object, or nests too deep to be masked.
    """
    values: list[ShownValue] = []
    if not (stripped := sample.strip()):
        raise ValueError("holds no event")
    for opened in open_record(Record(stripped, 0)):
        if isinstance(opened, DeadLetter):
            raise ValueError(f"line {opened.event.line + 1}: {opened.message}")  # noqa: TRY004 - the sample is wrong
        parts = _parts(mapper, opened)
        try:
            masked = policy.mask(parts, Counter())
            for name, part in parts.items():
                step = policy.start.step_of_key(name)
                if name not in IDS:
                    values += _values(policy, part, (UNKNOWN, step[1], None), name)
                elif part is not None:
                    values.append(
                        ShownValue(name, part, masked.get(name), _describe_change(step, part, masked.get(name)))
                    )
        except RecursionError:
            raise ValueError("the sample nests too deep to be masked: the consumer would bury it") from None
    return values


def _parts(mapper: EventMapper, event: Event) -> dict[str, Any]:
    """Return the parts of the event that a policy masks. An event that `mapper` refuses is a payload as a whole."""
    try:
        return mapper.read(event).parts
    except Rejected:
        if type(event.body) is not dict:
            raise ValueError("the sample holds something that is not a JSON object") from None
        return {"payload": event.body}


def _values(policy: MaskingPolicy, value: Any, step: Step, path: str) -> Iterator[ShownValue]:
    """Yield the plain values at and below a place, also those in objects that are masked whole."""
    meaning, state, rule = step
    # Below a removed key everything is removed. Below a value in which no path continues, no rule is known.
    is_removed = meaning is DROP or meaning is VALUE_LIKE_KEY
    inherited: Step = (meaning, None, rule) if is_removed else (UNKNOWN, None, None)
    if type(value) is dict:
        for key, item in value.items():
            below = inherited if is_removed or state is None else state.step_of_key(key)
            yield from _values(policy, item, below, f"{path}.{_format_key(key)}")
    elif type(value) is list:
        below = inherited if is_removed or state is None else state.step_of_element()
        for item in value:
            yield from _values(policy, item, below, f"{path}[]")
    elif value is not None:
        after = None if meaning is DROP else policy.mask_plain(value, step, Notes(Counter()))
        yield ShownValue(path, value, after, _describe_change(step, value, after))


def _describe_change(step: Step, before: Any, after: Any) -> str:
    """Return the verdict of a `ShownValue`. A rule with a form either passes or hashes the value."""
    rule = step[2]
    if rule is None:
        return "redacted" if after == REDACTED else "passed"
    return _VERDICTS.get(rule.name) or ("passed" if after == before else "hashed")


def _format_key(key: str) -> str:
    """Return a key in the form of a path; `*` if it looks like a value."""
    if not is_field_name(key):
        return "*"
    return f'"{key}"' if "." in key else key
