"""Beginnings and ends of words that say what a word is: compounds are what their last part says."""

import re

PHONE_NUMBERS = (
    *("telefonnummer", "telefonnummeret", "telefonnumret", "telefonnr", "telefoonnummer", "handynummer", "rufnummer"),
    *("mobilnummer", "mobilnummeret", "mobilnumret", "mobielnummer", "puhelinnumero", "puhelinnumeron"),
    *("telefonszám", "telefonszáma", "telefonszámom", "telefonszámunk"),
)
PHONES = (
    *("telefon", "telefonen", "telefoon", "hotline", "handy", "puhelin", "puhelimen", "puhelimemme", "linjenummer"),
    *("kontakt", "kontakten", "contact", "mobiltelefon", "anruf", "anrufe", "anrufen", "opkald", "anrop"),
    *PHONE_NUMBERS,
)
PHONE_STEMS = (
    *("tel", "mobil", "móvil", "movil", "cel", "handy", "phone", "cell", "gsm", "kom", "puhelin", "matkapuhelin"),
    *("τηλ", "κιν", "тел", "моб", "הטלפון", "טלפון", "הנייד", "נייד", "الهاتف", "هاتف", "الجوال", "جوال"),
)
SUBSCRIBERS = (
    *("abonent", "abonnent", "абонент", "subscriber", "abonad", "assinant", "abbonat", "abonat", "συνδρομητ", "účastn"),
    *("abonné", "teilnehmer", "előfizető", "tilaaja", "prenumerant"),
)
IN_A_CASE = re.compile("(?:tel|hat|ce[pb]|gsm|faks)[^\\W\\d_]*(?:[ae\u0131iu\u00fc]|[dt][ae]n)$")
"""A Turkish noun for a phone that belongs to the verb (`from the phone`): what follows is no thing of it."""

ON_MINE = ("mda", "mde", "\u0131zda", "izde", "uzda", "\u00fczde")
"""`Faturamda …` in Turkish: what stands on my bill has a number of its own."""

WITHOUT = ("s\u0131z", "siz", "suz", "süz")
"""Without something, in Turkish: a line without bills is prepaid, and no bill."""

THING_AT_END = re.compile(
    "(?:vertrag|rechnung|abonnement|abonnemang|abo|tarif|versicherung|contract|rekening|factuur|avtal|aftale|avtale|räkning|"
    "regning|ringtone|faktura|försäkring|forsikring|sopimu|lasku|mittari|meter|zähler|måler|mätare|szerződés|számla|előfizetés|biztosítás|model|modell|malli)[a-zäöå]{0,3}$"
)
"""A contract for a phone is a contract."""

ORDER_AT_END = re.compile(
    "(?:kontrakt|referenz|referentie|referens|referanse|auftrag|bestellung|beställning|bestilling|ordre|order|tilaukse|sopimukse|szerződése?)[a-zäöå]{0,4}$"
)
"""An order for a repair is an order, and no repair."""
