"""Puts dead letters together that came in parts, in whatever order they come."""

from collections.abc import Iterable

from stream_router.pipeline.sinks.dead_letters.reader import Letter

PartsKey = tuple[object, ...]


def parts_key(letter: Letter) -> PartsKey:
    """What the parts of one writing of a letter have in common, and no part of another."""
    of, cut = (letter.part.of, letter.part.cut) if letter.part else (1, "")
    return (*letter.place, letter.origin.event_id, letter.resubmitted, letter.record.encoding, of, cut)


def join(parts: Iterable[Letter]) -> Letter | None:
    """The letter whose parts these are, a part perhaps more than once; None where one is missing."""
    by_number = {part.part.n if part.part else 1: part for part in parts}
    first = by_number.get(1)
    if first is None or any(n not in by_number for n in range(1, (first.part.of if first.part else 1) + 1)):
        return None
    data = "".join(by_number[n].record.data for n in sorted(by_number))
    return first.model_copy(update={"part": None, "record": first.record.model_copy(update={"data": data})})


class Joiner:
    """Puts together letters that came in parts, in any order."""

    def __init__(self) -> None:
        self._parts: dict[PartsKey, list[Letter]] = {}

    def add(self, letter: Letter) -> Letter | None:
        """The whole letter, once its last part is here (at once where it has but one)."""
        key = parts_key(letter)
        parts = self._parts.setdefault(key, [])
        parts.append(letter)
        whole = join(parts)
        if whole is not None:
            del self._parts[key]
        return whole
