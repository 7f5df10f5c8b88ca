"""The words around a number that say whether it is a phone's."""

import re

_OWN = frozenset({"my", "contact", "best", "new", "correct", "his", "her", "our", "their"})
SAYING_BEHIND = {"number": _OWN, "no": _OWN, "nr": _OWN, "me": frozenset({"get", "got", "try"})}
"""Words that say `phone` only behind one of these: most numbers are a phone's no more than an order's."""

SAYING = frozenset(
    re.findall(
        r"\S+",
        """phone phoned telephone tel telefone telefono teléfono téléphone ph tlf call called caller calling mobile mob
        móvil movil cell cel cellphone celular cellulare portable landline fax whatsapp sms text texted reach reached
        rufnummer dial dialed dialled ring rang puhelin callback natel gsm ani dnis
        anruf anrufen rappeler rappelez appeler appelez appelle téléphonez llamar llame llamadme llámame llámeme
        chiamare chiamami chiamatemi ligar ligue bellen zadzwoń dzwonić звоните позвоните телефон""",
    )
    + list(SAYING_BEHIND)
)
SAYING_STEMS = ("telefon", "handy", "rückruf", "ruckruf", "mobil")
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
    r"part|model|policy|contract|confirmation|code|passcode|pin|nhs|routing|vat|passport|zip|"
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
    r"\b(?:(?<!caller )ids?|ref|reference|order|ticket|case|recording|duration|invoice|account|booking|queue|code|"
    r"session|error|since|until|model|serial|version|build|imei|tracking|parcel|policy|contract|confirmation|lasted|took|"
    r"costs?|tone|aviv|kunden\w*|auftrag\w*|vertrag\w*|pedido|commande|rechnung\w*)\b"
    rf"|[,;.][^,;.]*\b{_PERSON}\s{{1,2}}$",
    re.IGNORECASE,
)
_PLACE = re.compile(r"\b(?:at|on|under|unter|au|al|op|på)\W{1,2}$")
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
    return _OTHER_NUMBER.search(before, saying) is not None and not _PLACE.search(before)


def unit_after(text: str, end: int) -> bool:
    """Whether a number counts something."""
    return _UNIT.match(text, end) is not None
