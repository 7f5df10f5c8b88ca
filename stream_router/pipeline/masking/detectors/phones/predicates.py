"""Labels of phones, and what is said of a number behind it: that it is a phone's, kept as one, out of use or range."""

import re
from collections.abc import Sequence

from stream_router.pipeline.masking.detectors.phones.compounds import PHONE_STEMS, SUBSCRIBERS
from stream_router.pipeline.masking.detectors.phones.said import CLAUSES, Words
from stream_router.pipeline.masking.detectors.phones.text import folded_case, words_of
from stream_router.pipeline.masking.detectors.phones.vocabulary import (
    ARTICLE,
    AS,
    COPULAS,
    CUSTOMER,
    NAMED,
    NUMBER,
    OTHER,
    OUT_OF_USE,
    OWN,
    PASSED,
    PASSING,
    PURPOSE,
    RECORDS,
    REGISTERED,
    SAYING,
    THING,
    kinds,
)

_OPENING, _CLAUSE_ENDS = "-*•(\n\t \u2013\u2014", ".,;:!?"
_PHONE_STEMS = (*PHONE_STEMS, "tél", "portab", "cep")
_FOR_WORDS = 4
_OF = frozenset(["of", "des", "l", "dell", "della", "dello", "da", "tal", "av", "af"])
_IS_SAID_TO_BE = COPULAS - {"no", "n", "sz", "het", "to", "on"}
"""What is `is`, and nothing else in another language."""

_FOR_IN_CZECH = ("na", "je")
"""`telefon na reklamace je …`; elsewhere `na` is `on`, too."""

_HAS_ANOTHER = CUSTOMER | OTHER | NAMED | THING
_AS_CHARS, _AS_WORDS = 64, 5
_THIS_CHARS = 120
_OUT_OF_USE_CHARS = 40
_PHONE_CHARS = 4
"""Shorter words are others in some language."""

_BEFORE_CHARS = 48
_NUMBER_WORDS = 5
_SUBSCRIBER_CHARS = 16

_IS_MINE = re.compile(
    r"[ \u00a0,)]{1,2}(?:is|was|ist|es|è|est|c'est)[ \u00a0]"
    r"(?:my|our|his|her|their|the|meine?|unsere?|mon|notre|mi|il mio)[ \u00a0]"
    r"(?:(?:best|new|old|home|work|office|direct|main|only|current|private|other|neue|alte|phone|cell|mobile|contact|"
    r"callback|telephone|support|service)[ \u00a0]){0,2}"
    r"(?:(?:phone|cell|mobile|line|landline|hotline|telephone|handy|portable|móvil|telefon\w*|teléfono|téléphone|cellulare|rufnummer|"
    r"handynummer|numéro|número|numero)\b|numbers?\b(?![ \u00a0]of\b))",
    re.IGNORECASE,
)
"""`… is my cell`, `… is the best number to reach me`: what people say behind a number."""

_SUBSCRIBER = re.compile(rf"\b(?:{'|'.join(SUBSCRIBERS)})\w{{0,4}}\W{{1,2}}$", re.IGNORECASE)
_OUT_OF_RANGE = re.compile(
    r"\W{1,2}(?:(?:is|ist|jest|je|сейчас|временно|зараз) )?(?:unreachable|out of range|not answering|nicht erreichbar|"
    r"poza zasięgiem|nieosiągalny|nie odpowiada|nedostupný|недоступ|вне зоны|не отвеча|не відпов|поза зон)",
    re.IGNORECASE,
)
"""`The subscriber … is out of range` says the network: elsewhere a subscriber's number is a contract's."""

_THIS_PHONE = re.compile(
    r"[^\d.?!:;]{0,48}[.?!;][ \u00a0][^\d.?!:;]{0,40}\b(?:th(?:is|at) (?:(?:tele|mobile |cell ?)?phone|mobile) number|"
    r"diese[rn]? (?:telefon|handy|ruf|mobil)nummer|ce numéro de (?:téléphone|portable|mobile)|"
    r"(?:este|ese|esse) número de (?:tel[eé]fono|móvil|celular|telefone|telemóvel)|conozco est?e (?:teléfono|móvil)|"
    r"questo numero di (?:telefono|cellulare)|dit (?:telefoon|mobiele )nummer|"
    r"(?:tego numeru|ten numer) telefonu|(?:toto|tohle|to) (?:telefonní|tel\.) číslo|"
    r"(?:det|dette|detta|det (?:her|här)) (?:telefon|mobil)num(?:mer|ret|meret)|"
    r"tätä puhelinnumeroa|ezt? a telefonszámo?t?|acest număr de telefon|bu telefon(?:u| numaras\u0131n\u0131)|"
    r"(?:γνωρίζω|ξέρω|αναγνωρίζω) αυτό το τηλέφωνο|αυτόν? τον? αριθμός? τηλεφώνου|"
    r"этот номер телефона|(?:знаю|узнаю) этот телефон|цей номер телефону)\b[^\d.?!:;]{0,32}(?:[.?!]|$)"
)
"""`Why is … on my bill? I don't know this phone number.`"""

_PHONE_PARTS = ("tel", "num", "phone", "móvil", "тел", "τηλ")
"""What it says has one of these; most texts have none, and this costs less to see."""

_AS_NEAR = re.compile(rf"[^.!?;:\n]{{0,40}}?(?:[ \u00a0](?:{'|'.join(sorted(AS))})[ \u00a0]|ként\b)")
_CLAUSE_END = re.compile(r"[.;!?\d\n\u3002\uff01\uff1f](?!$)")


def is_a_label(words: Words, place: int) -> bool:
    """Whether a label names a phone, whatever for: `hotline for lost cards: …`, `mobile of who gets the parcel: …`.

    `new mobile of the user: …` does, and so does a sentence: `the phone for complaints is …`.
    """
    ends = words.text.rstrip().endswith(":")
    behind = place + 1 + bool(words.kinds[place + 1 : place + 2] and words.kinds[place + 1] & NUMBER)
    if not ends:
        return words.words[place].startswith(_PHONE_STEMS) and _says_what_for(words, place, behind)
    if words.words[behind : behind + 1] and words.words[behind] in PURPOSE:
        return True
    if words.words[place].startswith(_PHONE_STEMS) and _ends_with_holder(words, place, behind):
        return True
    if _ends_with_thing(words, behind):
        return False
    first = place - 1 if place and words.kinds[place - 1] & NUMBER else place
    before = words.text[: words.found[first].start()].rstrip(_OPENING)
    return words.words[place].startswith(PHONE_STEMS) and (not before or before[-1] in _CLAUSE_ENDS)


def _says_what_for(words: Words, place: int, behind: int) -> bool:
    """Whether `for complaints is` follows a word for a phone, before which nothing else has a number, and ends it."""
    last = len(words.words) - 1
    while last > behind and words.kinds[last] & ARTICLE:
        last -= 1
    if not behind < last <= behind + _FOR_WORDS or words.words[last] not in _IS_SAID_TO_BE:
        return False
    if words.words[behind] not in PURPOSE and (words.words[behind], words.words[last]) != _FOR_IN_CZECH:
        return False
    numbered = any(kind & NUMBER for kind in words.kinds[behind:last])
    if numbered or any(kind & _HAS_ANOTHER for kind in words.kinds[:place]):
        return False
    return not CLAUSES.search(words.text, words.found[behind].start(), words.found[last].start())


def _ends_with_holder(words: Words, place: int, behind: int) -> bool:
    """Whether a label ends with who has the phone, in words for those who have other numbers, too: `user`, `member`."""
    if not words.kinds[-1] & CUSTOMER or any(kind & (_HAS_ANOTHER | PASSED) for kind in words.kinds[:place]):
        return False
    between = zip(words.kinds[behind:-1], words.words[behind:-1], strict=True)
    return all(kind & (ARTICLE | OWN | PASSING) or word in _OF for kind, word in between)


def _ends_with_thing(words: Words, behind: int) -> bool:
    """Whether a label ends with what of a phone has a number: `telefonens serienummer`."""
    last = len(words.kinds) - 1
    while last > behind and words.kinds[last] & (NUMBER | THING) == NUMBER:
        last -= 1
    return last >= behind and bool(words.kinds[last] & THING)


def is_said_to_be(text: str, at: int, end: int) -> bool:
    """Whether what follows a number says directly that it is a phone's."""
    return bool(_IS_MINE.match(text, end)) or is_out_of_range(text, at, end) or is_out_of_use(text, at, end)


def is_out_of_range(text: str, at: int, end: int) -> bool:
    """Whether a number is said to be that of a subscriber whom the network does not reach."""
    return bool(_OUT_OF_RANGE.match(text, end) and _SUBSCRIBER.search(text[max(0, at - _SUBSCRIBER_CHARS) : at]))


def is_out_of_use(text: str, at: int, end: int) -> bool:
    """Whether a number that is in some record, and named no thing's, is said to be in service no more."""
    behind = text[end : end + _OUT_OF_USE_CHARS].lower()
    found = OUT_OF_USE.search(behind)
    if found is None or _CLAUSE_END.search(behind, 0, found.start()):
        return False
    words = words_of(folded_case(text[max(0, at - _BEFORE_CHARS) : at]))[-_NUMBER_WORDS:]
    named = kinds(words)
    recorded = [_is_record(word, named[max(0, place - 1) : place + 2]) for place, word in enumerate(words)]
    if any(kind & _HAS_ANOTHER and not known for kind, known in zip(named, recorded, strict=True)):
        return False
    return any(recorded) or any(kind & (NUMBER | SAYING) for kind in named)


def _is_record(word: str, beside: Sequence[int]) -> bool:
    """Whether a word is where a number is kept, and no number beside it is its own: `file number`."""
    return word.startswith(REGISTERED) or (word.startswith(RECORDS) and not any(kind & NUMBER for kind in beside))


def is_this_phone(text: str, end: int) -> bool:
    """Whether the next sentence calls a number this phone, and names no other."""
    behind = folded_case(text[end : end + _THIS_CHARS])
    return any(part in behind for part in _PHONE_PARTS) and _THIS_PHONE.match(behind) is not None


def kept_as(text: str, end: int) -> bool:
    """Whether a number is kept as a phone's: `add … to my account as a second contact number`."""
    if not _AS_NEAR.match(text, end):
        return False
    words = Words(folded_case(text[end : end + _AS_CHARS]))
    for place, word in enumerate(words.words):
        if word in AS:
            told = slice(place + 1, place + 1 + _AS_WORDS)
        elif word.endswith("ként"):
            told = slice(max(0, place - 1), place + 1)
        else:
            continue
        named = words.kinds[told]
        if any(kind & SAYING and len(one) >= _PHONE_CHARS for kind, one in zip(named, words.words[told], strict=True)):
            return True
        return not any(kind & _HAS_ANOTHER for kind in named) and any(
            kind & NUMBER and also & OWN for kind, also in zip(named[1:], named, strict=False)
        )
    return False
