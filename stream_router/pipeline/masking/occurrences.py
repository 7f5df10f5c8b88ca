"""What a rule took away, found again elsewhere in the same event: what is private once is private everywhere."""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

from stream_router.pipeline.exact_number import ExactNumber
from stream_router.pipeline.masking import same_number
from stream_router.pipeline.masking.actions import GONE, REDACTED, is_mask
from stream_router.pipeline.masking.detectors.folding import ids_in
from stream_router.pipeline.masking.detectors.spans import Span
from stream_router.pipeline.masking.text_forms import composed, decoded, folded, is_encoded, places
from stream_router.pipeline.masking.trace import Trace

MIN_CHARS = 4
"""Shorter values (`1`, `yes`) stand in too many places by chance."""

FEW = 5
"""Of so many texts a set costs more than it saves."""

_LOOKS_MAX = 50_000_000
"""Characters passed over to see which secrets stand anywhere at all; more than that costs more than it saves."""

_BEGINNINGS_MAX = 64
"""Of so many a pattern finds where one stands; of more each place is looked up, since a pattern tries one by one."""

_TRIES_FREE, _TRIES_BY_CHAR, _TRY = 20_000_000, 300, 64
"""What comparing with secrets may cost an event, in characters, a try being so many: 20 ms, and 0.3 µs a character."""

Replace = Callable[[str], str]
Pairs = list[tuple[Any, Any]]
"""What a rule took away, each with what it left of it."""

_APART = re.compile(r"[^\W_\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]")
"""A letter or digit of a script that sets words apart: beside one of these a value is a part of a longer word."""

_WORD_BEGINS = re.compile(rf"(?:(?!{_APART.pattern})|(?<!{_APART.pattern})).", re.DOTALL)

_AROUND = " \t\r\n+"
_INTERNATIONAL = re.compile(r"\+[1-9]\d{6,14}")


def passing(trace: Trace) -> str:
    """All texts that pass as one, folded; what is encoded in them stands there decoded, too."""
    joined = _joined(trace.known + trace.typed + trace.unknown)
    if "%" in joined or "&" in joined or "+" in joined or "\\" in joined:
        joined += "\n" + decoded(joined)
    return joined.lower() if joined.isascii() else folded(joined)


def replacer(trace: Trace, joined: str) -> Replace | None:
    """A function that replaces in a text every secret that stands in what passes (`joined`); None where none does.

    A secret is replaced by what its rule left of it, as a whole word, in any case, but not inside a UUID. A text in
    which one stands only once its encoding is undone is redacted whole.
    """
    texts = set(trace.redacted) if len(trace.redacted) > FEW else trace.redacted
    if (len(texts) + len(trace.secrets)) * len(joined) > _LOOKS_MAX:
        return _replacer_of_all(texts, trace.secrets, joined)
    # Most secrets stand nowhere else: what is done for each of them is as little as can be, without a call of ours.
    secrets: Pairs = []
    for text in texts:
        if text.isascii():
            stands = text.lower().strip(_AROUND) in joined
        else:  # ASCII at its end stays when it is folded, but for capitals: that is looked for first
            end = text[-MIN_CHARS:]
            may_stand = end.lower().rstrip(_AROUND) in joined or not end.isascii()
            stands = may_stand and folded(text).strip(_AROUND) in joined
        if stands and text:
            secrets.append((text, REDACTED))
    phones: Pairs = []
    inside: Pairs = []
    for value, left in trace.secrets:
        if type(value) is not str:
            _take_apart(value, left, inside)
            continue
        end = value[-MIN_CHARS:].rstrip(_AROUND)[-2:]  # nobody writes the last digit of a number by itself
        if end.lower() in joined or not end.isascii():
            if folded(value).strip(_AROUND) in joined:
                secrets.append((value, left))
            phones.append((value, left))
    phones = phones if phones and same_number.any_in(joined) else []
    secrets += inside if len(inside) * len(joined) > _LOOKS_MAX else _standing(inside, joined)
    return _replacer_of(secrets, phones, joined) if secrets or phones else None


def _standing(secrets: Pairs, joined: str) -> Pairs:
    return [(value, left) for value, left in secrets if folded(str(value)).strip(_AROUND) in joined]


def _replacer_of_all(texts: Iterable[str], taken: Pairs, joined: str) -> Replace | None:
    """The function for very many secrets, wherever they stand: to look for each in all that passes takes too long."""
    secrets: Pairs = [(text, REDACTED) for text in texts if text]
    for value, left in taken:
        _take_apart(value, left, secrets)
    phones = [(value, left) for value, left in taken if type(value) is str]
    return _replacer_of(secrets, phones, joined)


def _replacer_of(secrets: Pairs, phones: Pairs, joined: str) -> Replace | None:
    """The function for secrets, and for phones of which some digits stand in what passes.

    Of many secrets it is not asked whether they stand there.
    """
    found: dict[str, str] = {}
    many = len(secrets) * len(joined) > _LOOKS_MAX
    for value, left in secrets:
        for same in _forms(str(value)):
            if (many or same in joined) and len(same) >= MIN_CHARS and not is_mask(value):
                found[same] = left if type(left) is str else REDACTED
    for written, left in same_number.among(joined, phones) if phones else ():
        found.setdefault(written, left if type(left) is str else REDACTED)
    found.pop(REDACTED.lower(), None)
    return _replace(found, len(joined)) if found else None


def _forms(value: str) -> tuple[str, ...]:
    """A secret as it is looked for: also without blanks around it, and without the plus of a phone number."""
    same = folded(value)
    bare = same.strip()
    if bare[:1] == "+" and _INTERNATIONAL.fullmatch(bare):
        return bare, bare[1:]
    return (same,) if bare == same else (same, bare)


def _joined(values: Sequence[Any]) -> str:
    try:
        return "\n".join(values)
    except TypeError:  # one of them is a number
        return "\n".join(map(str, values))


def _take_apart(value: Any, left: Any, inside: Pairs) -> None:
    """Add the texts and numbers that a secret holds; of an object or an array each by itself."""
    kind = type(value)
    if kind is str or kind is int or kind is float or kind is ExactNumber:
        inside.append((value, left))
    elif kind is dict:
        for item in value.values():
            _take_apart(item, GONE, inside)
    elif kind is list:
        for item in value:
            _take_apart(item, GONE, inside)


def _replace(found: Mapping[str, str], chars: int) -> Replace:
    spans_in = _search(found, _TRIES_FREE + _TRIES_BY_CHAR * chars)

    def replace(text: str) -> str:
        whole = composed(text)
        small = folded(whole)
        try:
            spans = spans_in(small)
            replaced = _replaced(whole, small, spans, found) if spans else text
            if is_encoded(replaced) and spans_in(folded(decoded(replaced))):
                return REDACTED
        except _TooDearError:
            return REDACTED
        return replaced

    return replace


def _replaced(text: str, small: str, spans: Sequence[Span], found: Mapping[str, str]) -> str:
    where = places(text, small)
    parts, at = [], 0
    for start, end in spans:
        parts += [text[at : where[start]], found[small[start:end]]]
        at = where[end]
    return "".join([*parts, text[at:]])


class _TooDearError(Exception):
    """The event has cost so much already that nothing more is looked for: what is not looked at does not pass."""


def _search(found: Mapping[str, str], most_tries: int) -> Callable[[str], list[Span]]:
    """A function that gives where in a folded text secrets stand, the longest first, none over another.

    A pattern finds where one may begin; what begins there is looked up by each length that a secret so begun has. One
    of whole secrets took 16 ms to compile, and each event has its own. Raises _TooDearError once `most_tries` are made.
    """
    lengths: dict[str, set[int]] = {}
    for secret in found:
        lengths.setdefault(secret[:MIN_CHARS], set()).add(len(secret))
    longest_first = {start: sorted(known, reverse=True) for start, known in lengths.items()}
    begins = _WORD_BEGINS if len(longest_first) > _BEGINNINGS_MAX else re.compile(_any_of(longest_first))
    left = most_tries

    def end_of(text: str, start: int, ids: Sequence[Span]) -> int | None:
        nonlocal left
        if _inside_a_word(text, start):
            return None
        for length in longest_first.get(text[start : start + MIN_CHARS], ()):
            left -= length + _TRY
            if left < 0:
                raise _TooDearError
            end = start + length
            fits = text[start:end] in found and end <= len(text) and not _inside_a_word(text, end)
            if fits and not _is_inside(start, end, ids):
                return end
        return None

    def spans_in(text: str) -> list[Span]:
        spans: list[Span] = []
        match = begins.search(text)
        ids = ids_in(text) if match else ()
        while match:
            start = match.start()
            end = end_of(text, start, ids)
            if end is not None:
                spans.append((start, end))
            match = begins.search(text, end or start + 1)
        return spans

    return spans_in


def _any_of(starts: Mapping[str, Any]) -> str:
    """A pattern of texts of one length, by their first character: of many only few are then tried at each place."""
    by_first: dict[str, list[str]] = {}
    for start in starts:
        by_first.setdefault(start[0], []).append(re.escape(start[1:]))
    return "|".join(f"{re.escape(first)}(?:{'|'.join(rest)})" for first, rest in by_first.items())


def _inside_a_word(text: str, at: int) -> bool:
    """Whether a word begins before `at` and goes on behind it."""
    return bool(0 < at < len(text) and _APART.match(text, at - 1) and _APART.match(text, at))


_first = itemgetter(0)


def _is_inside(start: int, end: int, ids: Sequence[Span]) -> bool:
    """Whether it is a part of an id, and not the whole of it: hex digits that are equal by chance."""
    before = bisect_right(ids, start, key=_first)
    first, last = ids[before - 1] if before else (start, start)
    return end <= last and end - start < last - first


def all_texts(value: Any) -> Iterator[str]:
    """Every text in an object or an array, at any depth."""
    if type(value) is str:
        yield value
    elif type(value) is dict or type(value) is list:
        for item in value.values() if type(value) is dict else value:
            yield from all_texts(item)
