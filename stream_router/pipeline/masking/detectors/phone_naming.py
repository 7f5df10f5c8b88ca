"""The words around a number that say that it is something else's."""

import re

from stream_router.pipeline.masking.detectors.phone_said import Words
from stream_router.pipeline.masking.detectors.phone_text import has_unspaced
from stream_router.pipeline.masking.detectors.phone_vocabulary import OTHER_INSIDE, ends_named

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
PLACE_NEAR = re.compile(
    r"\b(?:at|on|under|unter|auf|au|al|op|på|to|sur|via|pelo|pod|na|till?|на|στον?|على|numeroon|numerosta)\W{1,2}$"
)
PERSON_BEFORE = re.compile(
    rf"\b(?:{_PERSON}|contact|kontakt|user|caller|anrufer|client|cliente|klient|zákazník|kunden?|asiakas|ügyfél|"
    r"müşteri|πελάτης|клиент|клієнт)\W{1,3}$"
)
"""`Kunde 4711 hat angerufen`: who is meant, not how to reach him."""

_UNIT = re.compile(
    r"[ \u00a0]?(?:[%€$£]|(?:ms|milliseconds|secs?|seconds|mins?|minutes|hours|hrs|days|times|mal|fois|veces|bytes?|"
    r"[kmgt]i?b|bits?|users?|people|persons?|customers|clients|kunden|subscribers|members|households|calls|messages|texts|"
    r"pages|characters|chars|words|lines|rows|records|items|orders|tickets|downloads|views|units|pieces|stück|jobs|km|kg|"
    r"eur|euros?|usd|dollars?|gbp|pounds|chf|inr|jpy|yen|pln|sek|nok|dkk|brl)\b)",
    re.IGNORECASE,
)

_SET_APART = re.compile(r"\s?[,;\u2013\u2014-]")
_NAME_CHARS = 4
_TITLES = frozenset(["frau", "herr", "herrn", "mr", "mrs", "ms", "dr", "mme", "madame", "monsieur", "señora", "señor"])


def named_otherwise(before: str) -> bool:
    """Whether the text up to a number names it directly as a number of something else."""
    if _NAMED_OTHERWISE.search(before):
        return True
    return has_unspaced(before) and ends_named(before)


def other_between(words: Words, place: int) -> bool:
    """Whether the text from a word that says `phone` on to its end speaks of a number of something else.

    `at` and the like directly before the number are stronger: "call me about the order at …".
    """
    before, saying = words.text, words.found[place].start()
    if PLACE_NEAR.search(before) or words.is_for_things(place):
        return False
    if has_unspaced(before) and (OTHER_INSIDE.search(before, saying) or ends_named(before)):
        return True
    return words.names_a_thing() or words.speaks_of_other(place) or _OTHER_NUMBER.search(before, saying) is not None


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


def unit_after(text: str, end: int) -> bool:
    """Whether a number counts something."""
    return _UNIT.match(text, end) is not None
