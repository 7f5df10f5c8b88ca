"""The words around a number that say that it is something else's."""

import re
from collections.abc import Collection

from stream_router.pipeline.masking.detectors.phones.languages import is_word_of
from stream_router.pipeline.masking.detectors.phones.predicates import is_a_label
from stream_router.pipeline.masking.detectors.phones.said import CLAUSES, Words
from stream_router.pipeline.masking.detectors.phones.text import folded_case, has_unspaced, words_of
from stream_router.pipeline.masking.detectors.phones.vocabulary import (
    ARTICLE,
    COPULAS,
    CUSTOMER,
    NAMED,
    NUMBER,
    OTHER,
    OTHER_INSIDE,
    OWN,
    PASSED,
    PASSING,
    PERSON,
    PLACE,
    PURPOSE,
    SAYING,
    SPOKEN,
    THING,
    ends_named,
    has_one_in,
    is_new_subscribers,
    kinds,
    of_what_is,
)

_THING = (
    r"(?:orders?|tickets?|invoices?|case(?<!just in case)s?|ref|reference|account|tracking|parcel|booking|serial|isbn|"
    r"sku|items?|article|part|model|policy|contract|meeting|session|webinar|confirmation|code|passcode|pin|nhs|routing|vat|passport|zip|"
    r"bestellung|auftrag|konto|rechnung|vertrag|artikel|vorgang|sendung|pedido|factura|commande|facture|dossier|"
    r"(?:bestell|auftrags?|konto|rechnungs?|vertrags?|artikel|kunden|kd|vorgangs?|sendungs?|mitglieds?|fall|policen)"
    r"\W{0,2}(?:nummer|nr))"
)
_PERSON = r"(?:customer|client|member|user|agent|employee|kunde|kundin|kunden|cliente|klant)"
_STAFF = (
    r"(?:mitarbeiter(?:in)?|medarbejder|medarbeider|medarbetare|medewerker|employée?|emplead[oa]|addett[oa]|dipendente|"
    r"funcionári[oa]|pracownik|zaměstnanec|työntekijä|munkatárs|angajatul|υπάλληλος|сотрудник|працівник)"
)
_COUNTED = r"(?:no|nr|num|number|nummer|numéro|numero|número|id|ids|ref|code|n\.?[º°]|[#№])"
_NAMED_CHARS = 40
_NUMBER_OF_IT = re.compile(r"(?:nummer|numero)[a-zäöå]{0,3}$")
_ONLY_SET_APART = re.compile(r"[^\W\d_]\.?\s?[:=#№]?\s?[#№]?\s?$")
_SET_APART_CHARS = 8
_CLAUSE_BEFORE = re.compile(r"[,;:!?().](?:(?<!\.)|(?<=\w{4}\.))(?=.*\w)")
_IS = frozenset(["on", "oli", "este"])
_NAMED_OTHERWISE = re.compile(
    rf"\b(?:{_THING}(?:\W{{0,3}}{_COUNTED})?|{_PERSON}\W{{0,3}}{_COUNTED})\W{{0,3}}(?:(?:is|was|ist|lautet|est|es)\W{{1,2}})?$"
)
OTHER_NUMBER = re.compile(
    r"\b(?:(?<!caller )ids?|code|since|until|confirmation|lasted|took|costs?|tone|aviv|duration)\b"
    r"|\bkunden(?:(?!hotline|telefon|service|dienst|betreu|center|support)\w+\b|\W{0,3}$)"
    rf"|[,;.][^,;.]*\b{_PERSON}\s{{1,2}}$"
)
_PLACE_CHARS = 12
PLACE_NEAR = re.compile(
    r"\b(?:at|on|under|unter|auf|au|al|op|på|to|sur|via|pelo|para|por el|in|pod|na|till?|на|σε|στον?|على|"
    r"numeroon|numerosta)\W{1,2}$"
)
_IS_IN = {"to": "pl", "on": "fi"}
"""What is `to` and `on` in English is `is` behind a noun of these languages."""

PERSON_BEFORE = re.compile(
    rf"\b(?:{_PERSON}|{_STAFF}|contact|kontakt|user|caller|anrufer|client|cliente|klient|zákazník|kunden?|asiakas|ügyfél|"
    r"müşteri|πελάτης|клиент|клієнт)\W{1,3}$"
)
"""`Kunde 4711 hat angerufen`: who is meant, not how to reach him."""

_SET_APART = re.compile(r"\s?[,;\u2013\u2014-]")
_NAME_CHARS = 4
_POSSESSIVE = frozenset(["min", "din", "vår", "mitt", "ditt", "vårt", "deres"])
"""In Scandinavia these stand behind what is somebody's."""

_DELIVERED = ("consegnat", "entregad")
"""In other languages the participle is another word than the delivery."""

_THING_WORDS = 5
_WAY = PASSING | PLACE | ARTICLE
"""What is between a call or a message and the phone that it came from or goes to."""

_UNKNOWN_WORDS = 3
"""A word that says it stands nearer to a number than an unknown one between them: `mobile of the driver …`."""

_TITLES = frozenset(["frau", "herr", "herrn", "mr", "mrs", "ms", "dr", "mme", "madame", "monsieur", "señora", "señor"])


def named_otherwise(before: str) -> bool:
    """Whether the text up to a number names it directly as a number of something else."""
    small = folded_case(before)
    if _NAMED_OTHERWISE.search(small, max(0, len(small) - _NAMED_CHARS)):
        return True
    if has_unspaced(small):
        return ends_named(before)
    return _is_number_of_a_thing(small[-_NAMED_CHARS:])


def _is_number_of_a_thing(before: str) -> bool:
    """Whether it ends with `order number`, in two words in either order or in one, and perhaps `is`."""
    if not _ONLY_SET_APART.search(before, max(0, len(before) - _SET_APART_CHARS)):
        return False
    words = words_of(_CLAUSE_BEFORE.split(before)[-1])[-_THING_WORDS:]
    while len(words) > 1 and (words[-1] in COPULAS or words[-1] in _IS):
        words.pop()
    if not words:
        return False
    first, last = kinds(words[-2:]) if len(words) > 1 else (0, kinds(words)[0])
    if (first | last) & SAYING:
        return False
    if last & (OTHER | NAMED) and (first & NUMBER or _NUMBER_OF_IT.search(words[-1])):
        return not is_new_subscribers(words, len(words) - 2)
    return bool(first & (OTHER | NAMED) and last & NUMBER)


def is_named(before: str) -> bool:
    """Whether the text up to a number ends with what has it."""
    return named_otherwise(before) or names_a_thing(Words(folded_case(before)))


def is_placed_near(words: Words) -> bool:
    """Whether a word of place stands directly before the number, which is no `is` of the noun before it."""
    if not PLACE_NEAR.search(words.text, max(0, len(words.text) - _PLACE_CHARS)):
        return False
    language = _IS_IN.get(words.words[-1])
    return language is None or len(words.words) == 1 or language not in has_one_in(words.words[-2])


def other_between(words: Words, place: int) -> bool:
    """Whether the text from a word that says `phone` on to its end speaks of a number of something else.

    `at` and the like directly before the number are stronger: "call me about the order at …".
    """
    before, saying = words.text, words.says_at(place)
    if is_placed_near(words) or is_a_label(words, place) or is_new_subscribers(words.words, place):
        return False
    if has_unspaced(before) and (OTHER_INSIDE.search(before, saying) or ends_named(before)):
        return True
    return names_a_thing(words) or speaks_of_other(words, place) or OTHER_NUMBER.search(before, saying) is not None


def is_anothers(words: Words, place: int) -> bool:
    """Whether the number is that of something in its own clause, which a word at `place` does not make a phone's.

    `The request is with us under …`; `after the call I moved her claim to …`; `she called because her locker …`.
    """
    if has_unspaced(words.text) or is_new_subscribers(words.words, place):
        return False
    if words.kinds[place] & PASSED and all(kind & _WAY for kind in words.kinds[place + 1 :]):
        return _follows_unknown(words, place)
    said_to = {words.found[place].end()}  # a point there is an abbreviation's: `tel. no. of the office …`
    said_to |= {found.end() for kind, found in zip(words.kinds, words.found, strict=True) if kind & NUMBER}
    ends = CLAUSES.finditer(words.text, 0, words.found[-1].start())
    start = max((one.end() for one in ends if one.start() not in said_to or one[0] != "."), default=0)
    if words.found[place].start() < start or not words.kinds[place] & (SAYING | SPOKEN):
        # a code that comes to a phone is named in Greek, and who mends what is broken after it in Dutch
        itself = _with_its_noun(words, place) if words.kinds[place] & (PASSED | PERSON) else ()
        known = of_what_is(words.words, words.kinds) if words.placed() else words.kinds
        things = (bool(kind & (OTHER | NAMED) and not kind & PERSON) for kind in known)
        named = enumerate(zip(things, words.found, strict=True))
        if any(thing and found.start() >= start and at not in itself for at, (thing, found) in named):
            return True
    return _follows_unknown(words, place)


def _with_its_noun(words: Words, place: int) -> Collection[int]:
    """The place of what was sent, and of a noun that says what it is for: `login code`, `the code for the login`."""
    itself = {place}
    if words.kinds[place] & PASSED:
        itself |= {place - 1, _delivered(words)}
        behind = place + 1
        if words.words[behind : behind + 1] and words.words[behind] in PURPOSE:
            behind += 1
            while behind < len(words.kinds) - 1 and words.kinds[behind] & ARTICLE:
                behind += 1
            itself.add(behind)
    return itself


def _follows_unknown(words: Words, place: int) -> bool:
    """Whether the word directly before the number is one of which nothing is known, and that at `place` is far."""
    last = len(words.kinds) - 1
    if last - place < _UNKNOWN_WORDS or words.kinds[last] or is_word_of(words.words[last]):
        return False
    return not words.text[words.found[last].end() :].strip(" \u00a0(")


def named_with_capital(text: str, words: Words, behind: str) -> bool:
    """Whether an unknown word with a capital stands directly before the number, as names of things do: `Locker …,`."""
    if not words.found or words.kinds[-1] or not _SET_APART.match(behind):
        return False
    last = words.found[-1]
    length, gap = len(last[0]), len(words.text) - last.end()
    if length <= _NAME_CHARS or gap > 2 or (len(words.found) > 1 and words.found[-2][0] in _TITLES):
        return False
    start = len(text) - gap - length
    return start >= 0 and text[start].isupper()


def of_a_thing(words: Words, place: int) -> bool:
    """Whether a thing of the phone that a word names has the number: `serial number of my phone`."""
    behind = zip(words.kinds[place + 1 :], words.words[place + 1 :], strict=True)
    if not all(kind & (OWN | NUMBER) or word in COPULAS for kind, word in behind):
        return False
    for at in range(place - 1, max(-1, place - 1 - _THING_WORDS), -1):
        if words.kinds[at] & THING:
            return not CLAUSES.search(words.text, words.found[at].end(), words.found[place].start())
    return False


def names_a_thing(words: Words) -> bool:
    """Whether it ends with what has a number: `loan`, `loan number is`, `customer number`."""
    last, wanted = len(words.kinds) - 1, NAMED
    while last > 0 and (words.kinds[last] & (NUMBER | SAYING) == NUMBER or words.words[last] in COPULAS):
        wanted |= CUSTOMER if words.kinds[last] & NUMBER else 0
        last -= 1
    if last > 0 and words.words[last] in _POSSESSIVE:
        last -= 1
    if last < 0 or not words.kinds[last] & wanted or words.kinds[last] & SPOKEN:
        return False
    return not any(is_new_subscribers(words.words, place) for place in (last - 2, last - 1))


def speaks_of_other(words: Words, place: int) -> bool:
    """Whether a word from `place` on is something that has a number of its own."""
    delivered = _delivered(words)
    return any(kind & OTHER and at != delivered for at, kind in enumerate(words.kinds[place:], place))


def _delivered(words: Words) -> int:
    """The place of `delivered` before `to`, which is no delivery: to a phone goes a message; -1 if it is not there."""
    last = len(words.words) - 1
    return last - 1 if last > 0 and words.kinds[last] & PASSING and words.words[last - 1].startswith(_DELIVERED) else -1
