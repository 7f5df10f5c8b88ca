"""The words around a number that say whether it is a phone's."""

import re

_WORDS = re.compile(r"[^\W\d_]+")
_OWN = frozenset({"my", "contact", "best", "new", "correct", "his", "her", "our", "their"})
SAYING_BEHIND = {
    **dict.fromkeys(("number", "no", "nr"), _OWN),
    "me": frozenset({"get", "got", "try"}),
    "nummer": frozenset({"meine", "meiner", "seine", "ihre", "mijn", "zijn", "haar", "mit", "mitt", "min", "på", "op"}),
    "nummeret": frozenset({"på"}),
    "numero": frozenset({"mio", "suo", "al"}),
    "número": frozenset({"mi", "su", "meu", "seu", "al"}),
    "numéro": frozenset({"mon", "son", "notre", "au"}),
    "meu": frozenset({"numărul"}),
    **dict.fromkeys(("numer", "numerem", "nr"), frozenset({"mój", "pod", *_OWN})),
    "číslo": frozenset({"moje", "na"}),
    **dict.fromkeys(("номер", "номером", "номеру"), frozenset({"мой", "мій", "по", "за"})),
}
"""Words that say `phone` only behind one of these: most numbers are a phone's no more than an order's."""

SAYING = frozenset(
    re.findall(
        r"\S+",
        """phone phoned telephone tel telefone telefono teléfono téléphone ph tlf call called caller calling mobile mob
        móvil movil cell cel cellphone celular cellulare portable landline fax whatsapp sms text texted reach reached
        rufnummer dial dialed dialled ring rang puhelin puh tél callback natel gsm ani dnis
        anruf anrufen rappeler rappelez appeler appelez appelle téléphonez llamar llame llamadme llámame llámeme
        chiamare chiamami chiamatemi ligar ligue bellen zadzwoń dzwonić звоните позвоните телефон""",
    )
    + list(SAYING_BEHIND)
)
SAYING_STEMS = (
    *(
        "telefon",
        "telefo",
        "teléf",
        "téléph",
        "handy",
        "rückruf",
        "ruckruf",
        "zurückruf",
        "mobil",
        "erreich",
        "durchwahl",
    ),
    *("ruf", "anzurufen", "numeroni", "numeroon", "numerosta", "számom", "fone", "whats", "marque", "marcar"),
    *(
        "rappel",
        "joign",
        "joindre",
        "contact",
        "contat",
        "kontakt",
        "llam",
        "localiz",
        "telemóv",
        "celul",
        "ligue",
        "ligar",
    ),
    *("liguem", "chiam", "richiam", "raggiung", "cellul", "bel", "terugbel", "bereik", "mobiel", "dzwoni", "zadzwo"),
    *("oddzwo", "komórk", "volat", "zavol", "volej", "dovol", "ring", "tlf", "träff", "soit", "puhelin", "matkapuh"),
    *("tavoit", "känny", "hív", "visszahív", "elérhet", "sun", "apel", "ara", "cep", "ulaş", "numaram", "τηλ", "κινητ"),
    *("καλέσ", "καλεσ", "καλεί", "κλήσ", "пере", "позвон", "звон", "набер", "набира", "мобіл", "мобил", "теле", "связ"),
    *(
        "дзвон",
        "зателеф",
        "передзв",
        "зв'яж",
        "сотов",
        "هاتف",
        "الهاتف",
        "جوال",
        "الجوال",
        "اتصل",
        "الاتصال",
        "للاتصال",
    ),
    *(
        "موبايل",
        "رقمي",
        "تلفون",
        "محمول",
        "يمكنكم",
        "בטלפון",
        "טלפון",
        "הטלפון",
        "נייד",
        "לנייד",
        "בנייד",
        "התקשר",
        "להתקשר",
    ),
    *(
        "תתקשר",
        "לחזור",
        "חייג",
        "פלאפון",
        "gọi",
        "điện",
        "โทร",
        "เบอร์โทร",
        "telepon",
        "hubungi",
        "फ़ोन",
        "फोन",
        "मोबाइल",
    ),
)
"""Beginnings of words in other languages that say `telephone`, `call` or `reach`, whatever their ending."""

UNSPACED = re.compile(
    r"电话|電話|手机|手機|致电|拨打|撥打|打给|打$|回电|来电|联系|聯絡|聯繫|座机|携帯|でんわ|折り返し|お掛け|おかけ|かけて|連絡|tel|"
    r"전화|휴대폰|핸드폰|휴대전화|연락|통화|โทร|נייד|טלפון|התקשר|תתקשר|פלאפון|חייג|هاتف|جوال|اتصل|اتصال|موبايل|رقمي|تلفون"
)
"""The same in scripts that put no space between words, or particles before them."""

_OTHER_UNSPACED = re.compile(
    r"订单|訂單|单号|單號|注文|注番|お問い合わせ番号|受付番号|会員番号|顧客番号|主文|工单|账号|帳號|合同|주문|송장|계좌|회원번호"
)
_BEHIND_CHARS = 26
_BEHIND_END = re.compile(r"[\d\n.!?;。！？+(]")
_BEHIND_STEMS = (
    *("zurück", "anruf", "erreich", "rufen", "telefonisch", "llam", "appel", "rappel", "joign", "chiam", "richiam"),
    *(
        "bellen",
        "terugbel",
        "bereik",
        "ara",
        "ulaş",
        "numaralı telefon",
        "numarasından",
        "hív",
        "számon",
        "soit",
        "tavoit",
    ),
    *(
        "numeros",
        "numeroon",
        "позвон",
        "перезвон",
        "звон",
        "набер",
        "τηλ",
        "καλέσ",
        "اتصل",
        "הטלפון",
        "התקשר",
        "zadzwo",
    ),
    *("dzwon", "zavol", "ring", "sun", "ligar", "ligue"),
)
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
    r"\b(?:(?<!caller )ids?|ref|reference|order|ticket|case|recording|duration|invoice|account|booking|queue|code|"
    r"session|error|since|until|model|serial|version|build|imei|tracking|parcel|policy|contract|confirmation|lasted|took|"
    r"costs?|tone|aviv|kunden\w*|auftrag\w*|vertrag\w*|pedido|commande|rechnung\w*|bestell\w*|ordin\w*|encomenda|zamówieni\w*|"
    r"objednávk\w*|tilau\w*|rendelés\w*|comand\w*|sipariş\w*|παραγγελ\w*|заказ\w*|замовлен\w*|счет\w*|счёт\w*|договор\w*|"
    r"faktur\w*|fattur\w*|számla\w*|lasku\w*|הזמנה|חשבונית|الطلب|طلب|فاتورة|dossier|pratica|"
    r"zaak\w*|sak|ärende\w*)\b"
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
    if not before.isascii() and _OTHER_UNSPACED.search(before, saying):
        return True
    return _OTHER_NUMBER.search(before, saying) is not None and not _PLACE.search(before)


def said_behind(text: str, at: int, end: int) -> bool:
    """Whether words directly behind a number say that it is a phone's: `… erreichen Sie mich`, `…に電話して`."""
    behind = text[end : end + _BEHIND_CHARS].lower()
    if stop := _BEHIND_END.search(behind):
        behind = behind[: stop.start()]
    if not behind.isascii() and UNSPACED.search(behind):
        return not _OTHER_UNSPACED.search(text[max(0, at - _BEHIND_CHARS) : at])
    if not any(word.startswith(_BEHIND_STEMS) for word in _WORDS.findall(behind)):
        return False
    before = text[max(0, at - 2 * _BEHIND_CHARS) : at].lower()
    return not named_otherwise(before) and not _OTHER_NUMBER.search(before)


def may_say(before: str) -> bool:
    """A quick look: whether any word says `telephone`."""
    words = _WORDS.findall(before)
    if not SAYING.isdisjoint(words) or any(word.startswith(SAYING_STEMS) for word in words):
        return True
    return not before.isascii() and UNSPACED.search(before) is not None


def unit_after(text: str, end: int) -> bool:
    """Whether a number counts something."""
    return _UNIT.match(text, end) is not None
