"""Values of all kinds in the ways that look-alikes and encodings have, a row each, and numbers that are nobody's."""

import random
import re
import string
import uuid
from collections.abc import Callable, Iterator, Sequence

import phonenumbers

from benchmarks.drawn import Sample, phone, written
from stream_router.pipeline.masking.detectors.cards import is_card
from stream_router.pipeline.masking.detectors.finder import DETECTORS, finder

FORMS_EACH = 64
NEGATIVES_EACH = 100
ARABIC_INDIC = str.maketrans(string.digits, "٠١٢٣٤٥٦٧٨٩")
FULL_WIDTH = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}


def card(draw: random.Random) -> str:
    while True:
        digits = draw.choice(("4", "51", "55", "2221", "6011", "3530")) + "".join(draw.choices(string.digits, k=15))
        if is_card(digits[:16]):
            return digits[:16]


def iban(draw: random.Random) -> str:
    country, length = draw.choice((("DE", 22), ("GB", 22), ("FR", 27), ("ES", 24), ("NL", 18), ("IT", 27), ("AT", 20)))
    inner = "".join(draw.choices(string.digits, k=length - 4))
    check = 98 - int("".join(str(int(char, 36)) for char in f"{inner}{country}00")) % 97
    return f"{country}{check:02d}{inner}"


def values(draw: random.Random) -> dict[str, str]:
    """One of each kind, in groups as people write them."""
    number, account = card(draw), iban(draw)
    international = phonenumbers.PhoneNumberFormat.INTERNATIONAL
    return {
        "phone": written(phone(draw, draw.choice(("GB", "DE", "FR", "US", "JP"))), international),
        "card": " ".join(number[at : at + 4] for at in range(0, 16, 4)),
        "email": f"{draw.choice(('anna', 'kim.lee', 'j-p_roux'))}{draw.randint(1, 999)}@mail.example.org",
        "iban": " ".join(account[at : at + 4] for at in range(0, len(account), 4)),
        "ip": ".".join(str(draw.randint(11, 223)) for _ in range(4)),
    }


FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "full-width": lambda text: text.translate(FULL_WIDTH),
    "arabic-indic digits": lambda text: text.translate(ARABIC_INDIC),
    "narrow no-break space": lambda text: text.replace(" ", "\u202f"),
    "over two lines": lambda text: text.replace(" ", "\n", 2).replace("\n", " ", 1),
    "&nbsp;": lambda text: text.replace(" ", "&nbsp;"),
    "character references": lambda text: re.sub(r"[@.+]", lambda found: f"&#{ord(found[0])};", text),
    "percent-encoded": lambda text: text.replace("+", "%2B").replace(" ", "%20").replace("@", "%40"),
    "plus for space": lambda text: text.replace("+", "%2B").replace(" ", "+"),
    "zero-width space": "\u200b".join,
    "non-breaking hyphen": lambda text: text.replace(" ", "\u2011"),
    "commas": lambda text: text.replace(" ", ", "),
}
ONLY = {
    "arabic-indic digits": ("phone", "card"),
    "commas": ("card",),
    "non-breaking hyphen": ("phone", "card"),
    "narrow no-break space": ("phone", "card", "iban"),
    "over two lines": ("phone", "card", "iban"),
    "&nbsp;": ("phone", "card", "iban"),
}


def odd_forms(draw: random.Random) -> Iterator[Sample]:
    """Values of all kinds, written in the ways that look-alikes and encodings have."""
    for form, change in FORMS.items():
        for _ in range(FORMS_EACH):
            for kind, value in values(draw).items():
                if kind in ONLY.get(form, (kind,)):
                    changed = change(value)
                    yield Sample(f"form: {form}/{kind}", f"it is {changed} as I said", changed, ())


def negatives(draw: random.Random, patterns: Sequence[str]) -> Iterator[str]:
    """Texts with numbers that are nobody's."""

    def filled(found: re.Match[str]) -> str:
        name = found[1]
        if name[0] == "d" and name[1:].isdecimal():
            return draw.choice("123456789") + "".join(draw.choices(string.digits, k=int(name[1:]) - 1))
        month, day, hour = draw.randint(1, 12), draw.randint(1, 28), draw.randint(0, 23)
        second, milli = draw.randint(10, 59), draw.randint(100, 999)
        made = {
            "v4": lambda: ".".join(str(draw.randint(0, 30)) for _ in range(4)),
            "uuid": lambda: str(uuid.UUID(int=draw.getrandbits(128), version=4)),
            "hex32": lambda: f"{draw.getrandbits(128):032x}",
            "date": lambda: f"{day:02d}.{month:02d}.2026",
            "time": lambda: f"{draw.randint(0, 23):02d}:{draw.randint(0, 59):02d}",
            "iso": lambda: f"2026-{month:02d}-{day:02d}T{hour:02d}:12:{second}.{milli}Z",
        }
        return made[name]()

    for pattern in patterns:
        for _ in range(NEGATIVES_EACH):
            yield re.sub(r"\{(\w+)\}", filled, pattern)


def damaged(draw: random.Random, count: int) -> dict[str, int]:
    """How many ids and times of each kind, alone and in a sentence, a search of everything changes."""
    find, found = finder(tuple(DETECTORS)), dict[str, int]()
    for kind in ("uuid", "dfo thread id", "iso time"):
        hit = 0
        for at in range(count):
            one = str(uuid.UUID(int=draw.getrandbits(128), version=4))
            if kind == "dfo thread id":
                one = f"chat_{one}_{str(uuid.UUID(int=draw.getrandbits(128))).upper()}"
            if kind == "iso time":
                clock = f"{at % 24:02d}:{at % 60:02d}:{at % 59:02d}.{draw.randint(0, 999):03d}"
                one = f"2026-{at % 12 + 1:02d}-{at % 28 + 1:02d}T{clock}Z"
            text = one if at % 2 else f"interaction {one} ended"
            hit += find(text, []) != text
        found[kind] = hit
    return found
