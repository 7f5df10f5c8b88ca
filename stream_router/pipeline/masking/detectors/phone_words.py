"""The words around a number that say whether it is a phone's."""

import re
from itertools import pairwise

from stream_router.pipeline.masking.detectors.phone_vocabulary import (
    AT_NUMBER,
    NUMBER,
    OTHER,
    OTHER_INSIDE,
    OWN,
    PLACED,
    SAYING,
    SAYING_INSIDE,
)

_WORD = re.compile(r"[^\W\d_]+")
_GAP_MAX_CHARS, _GAP_PLACED_MAX_CHARS = 40, 48
"""Between a word that says `phone` and the number; more where a word of place (`at`) stands directly before it."""

_GAP_ENDS = re.compile(r"\d{3}|[\n+(]")
"""Another number ends it, but not the hour at which somebody may be called."""


_BEHIND_CHARS = 26
_SENTENCES = re.compile(r"[.!?]\s|[。！？]")
_BEHIND_END = re.compile(r"[\d\n.!?;:。！？+(]")
SAYING_AFTER = re.compile(
    r"[ \u00a0,)]{1,2}(?:is|was|ist|es|è|est|c'est)[ \u00a0]"
    r"(?:my|our|his|her|their|the|meine?|unsere?|mon|notre|mi|il mio)[ \u00a0]"
    r"(?:(?:best|new|old|home|work|office|direct|main|only|current|private|other|neue|alte|phone|cell|mobile|contact|"
    r"callback|telephone|support|service)[ \u00a0]){0,2}"
    r"(?:(?:phone|cell|mobile|line|landline|hotline|telephone|handy|portable|móvil|telefon\w*|teléfono|téléphone|cellulare|rufnummer|"
    r"handynummer|numéro|número|numero)\b|numbers?\b(?![ \u00a0]of\b))",
    re.IGNORECASE,
)
"""`… is my cell`, `… is the best number to reach me`: what people say behind a number."""

_THING = (
    r"(?:orders?|tickets?|invoices?|cases?|ref|reference|account|tracking|parcel|booking|serial|isbn|sku|items?|article|"
    r"part|model|policy|contract|meeting|session|webinar|confirmation|code|passcode|pin|nhs|routing|vat|passport|zip|"
    r"bestellung|auftrag|konto|rechnung|vertrag|artikel|vorgang|sendung|pedido|factura|commande|facture|dossier|"
    r"(?:bestell|auftrags?|konto|rechnungs?|vertrags?|artikel|kunden|kd|vorgangs?|sendungs?|mitglieds?|fall|policen)"
    r"\W{0,2}(?:nummer|nr))"
)
_PERSON = r"(?:customer|client|member|user|agent|employee|kunde|kundin|kunden|cliente|klant)"
_COUNTED = r"(?:no|nr|num|number|nummer|numéro|numero|número|id|ids|ref|code|n\.?[º°]|[#№])"
_NAMED_OTHERWISE = re.compile(
    rf"\b(?:{_THING}(?:\W{{0,3}}{_COUNTED})?|{_PERSON}\W{{0,3}}{_COUNTED})\W{{0,3}}(?:(?:is|was|ist|lautet|est|es)\W{{1,2}})?$",
    re.IGNORECASE,
)
_OTHER_NUMBER = re.compile(
    r"\b(?:(?<!caller )ids?|code|since|until|confirmation|lasted|took|costs?|tone|aviv|duration|kunden\w*)\b"
    rf"|[,;.][^,;.]*\b{_PERSON}\s{{1,2}}$",
    re.IGNORECASE,
)
_MARKS = re.compile("[\u0307\u064b-\u0652\u0591-\u05bd\u05bf-\u05c7]")
"""The dot that `İ` leaves when it becomes small, the vowels of Arabic and Hebrew."""

_ANOTHER = re.compile(r"[+(]?\d(?:\W?\d){4}")
"""Words between two numbers speak of the second."""

_PLACE = re.compile(
    r"\b(?:at|on|under|unter|au|al|op|på|to|sur|via|pelo|pod|na|till?|на|στον?|numeroon|numerosta)\W{1,2}$"
)
_PLACE_WIDE = re.compile(
    r"\b(?:at|on|under|via|unter|auf|bei|au|sur|al|en|pelo|pela|no|na|ao|para|allo|alla|sul|op|onder|pod|po|på|la|pe|"
    r"numeroon|numerosta|numerossa|στο|στον|по|на|за|através do|على|في)"
    r"(?:\W(?:der|die|dem|le|la|el|o|il|number|nummer|numéro|número|numero|número de|numer|número do|числа))?\W{1,2}$|"
    r"(?:^|\W)[בל][-\u05be]?$"
)
_PLACE_CHARS = 24
_PERSON_BEFORE = re.compile(
    rf"\b(?:{_PERSON}|contact|kontakt|user|caller|anrufer|client|cliente|klient|zákazník|kunden?|asiakas|ügyfél|клиент|клієнт)"
    r"\W{1,3}$"
)
"""`Kunde 4711 hat angerufen`: who is meant, not how to reach him."""

_UNIT = re.compile(
    r"[ \u00a0]?(?:[%€$£]|(?:ms|milliseconds|secs?|seconds|mins?|minutes|hours|hrs|days|times|mal|fois|veces|bytes?|"
    r"[kmgt]i?b|bits?|users?|people|persons?|customers|clients|kunden|subscribers|members|households|calls|messages|texts|"
    r"pages|characters|chars|words|lines|rows|records|items|orders|tickets|downloads|views|units|pieces|stück|jobs|km|kg|"
    r"eur|euros?|usd|dollars?|gbp|pounds|chf|inr|jpy|yen|pln|sek|nok|dkk|brl)\b)",
    re.IGNORECASE,
)


def named_otherwise(before: str) -> bool:
    """Whether the text up to a number names it directly as a number of something else."""
    return _NAMED_OTHERWISE.search(before) is not None


def other_number(before: str, saying: int) -> bool:
    """Whether the text from the word that says `phone` on to a number speaks of a number of something else.

    `at` and the like directly before the number are stronger: "call me about the order at …".
    """
    if not before.isascii() and OTHER_INSIDE.search(before, saying):
        return True
    return _speaks_of_other(before, saying) and not _PLACE.search(before)


def _speaks_of_other(text: str, at: int = 0) -> bool:
    return _OTHER_NUMBER.search(text, at) is not None or any(word in OTHER for word in _WORD.findall(text, at))


def folded_case(text: str) -> str:
    """In small letters, without the marks that some writers set and others not."""
    small = text.lower()
    return small if small.isascii() else _MARKS.sub("", small)


def said_before(before: str) -> bool:
    """Whether a word not far before a number, and no other number between them, says that it is a phone's.

    `before` is the text up to the number, in small letters without points and marks over them (`folded_case`).
    """
    words = list(_WORD.finditer(before))
    for place in range(len(words) - 1, -1, -1):
        end = words[place].end()
        gap_chars = len(before) - end
        if gap_chars > _GAP_PLACED_MAX_CHARS or _GAP_ENDS.search(before, end):
            return False
        if _says(words, place):
            return (gap_chars <= _GAP_MAX_CHARS or _placed(before)) and not other_number(before, words[place].start())
    return False


def _placed(before: str) -> bool:
    """Whether a word of place stands directly before the number."""
    return _PLACE_WIDE.search(before[-_PLACE_CHARS:]) is not None


_MAY_CONTACT = frozenset(
    ["please", "to", "can", "could", "may", "should", "or", "and", "you", "we", "kindly", "just", "de"]
)
_APART = re.compile(r"[:.,;=]")
"""`contact 4093847561` is one of many contacts, unless the word before makes a verb of it or a colon sets it apart."""


def _says(words: list[re.Match[str]], place: int) -> bool:
    """Whether a word says that a phone number follows."""
    word, text = words[place][0], words[place].string
    before = words[place - 1][0] if place else ""
    if word in SAYING:
        last = word == "contact" and place == len(words) - 1 and before not in _MAY_CONTACT
        return not last or _placed(text) or _APART.search(text, words[place].end()) is not None
    if not word.isascii() and SAYING_INSIDE.search(word):
        return True
    if word in NUMBER:
        behind = words[place + 1][0] if place + 1 < len(words) else ""
        return before in OWN or behind in OWN or before in AT_NUMBER
    return (word in PLACED and _placed(text)) or (word == "me" and before in ("get", "got", "try"))


def _any_says(text: str, at: int, words: list[str]) -> bool:
    """Whether one of the words behind a number at `at` says `phone`, or two neighbours `my number`."""
    if any(word in SAYING for word in words):
        return True
    if any(word in PLACED for word in words) and _placed(folded_case(text[max(0, at - _PLACE_CHARS) : at])):
        return True
    return any(
        (first in NUMBER and second in OWN) or (first in OWN and second in NUMBER) for first, second in pairwise(words)
    )


def said_behind(text: str, at: int, end: int) -> bool:
    """Whether words directly behind a number say that it is a phone's: `… erreichen Sie mich`, `…に電話して`."""
    behind = folded_case(text[end : end + _BEHIND_CHARS])
    if stop := _BEHIND_END.search(behind):
        if _ANOTHER.match(text, end + stop.start()):
            return False
        behind = behind[: stop.start()]
    if not (not behind.isascii() and SAYING_INSIDE.search(behind)) and not _any_says(text, at, _WORD.findall(behind)):
        return False
    before = _SENTENCES.split(folded_case(text[max(0, at - 2 * _BEHIND_CHARS) : at]))[-1]
    if not before.isascii() and OTHER_INSIDE.search(before, max(0, len(before) - _BEHIND_CHARS)):
        return False
    between = _before_saying(behind)
    if _speaks_of_other(between) or (_speaks_of_other(before) and not _PLACE.search(before)):
        return False
    return not named_otherwise(before) and not _PERSON_BEFORE.search(before)


def _before_saying(behind: str) -> str:
    """The words between a number and the first that says `phone`."""
    found = next((word.start() for word in _WORD.finditer(behind) if word[0] in SAYING), len(behind))
    return behind[:found]


def unnamed_in_script(before: str, behind: str) -> bool:
    """Whether a number stands in Korean, Japanese, Hebrew or Arabic, and nothing beside it says what else it is.

    Numbers with a trunk 0 are phones there: what else is counted hardly begins with 0.
    """
    if not (_SCRIPT.search(before) or _SCRIPT.search(behind)):
        return False
    return not (OTHER_INSIDE.search(before) or OTHER_INSIDE.search(behind) or _NUMBER_OF.search(before))


_SCRIPT = re.compile(r"[\u3040-\u30ff\uac00-\ud7af\u0590-\u05ff\u0621-\u064a]")
_NUMBER_OF = re.compile(r"(?:번호|番号)\W{0,3}$|(?:رقم|מספר)\s+\w+\W{0,3}$")


def thing_after(text: str, end: int) -> bool:
    """Whether a number is that of a thing named directly behind it, as Hungarian, Turkish and Korean do."""
    behind = folded_case(text[end : end + _BEHIND_CHARS])
    if not behind.isascii() and OTHER_INSIDE.match(behind.lstrip(" 号番號번의")):
        return True
    found = _THING_AFTER.match(behind)
    return found is not None and found[1] in OTHER


_THING_AFTER = re.compile(r"[ \u00a0](?:(?:numaralı|nolu|no'lu|számú|sz\.?|numeroinen) )?([^\W\d_]+)")


def unit_after(text: str, end: int) -> bool:
    """Whether a number counts something."""
    return _UNIT.match(text, end) is not None
