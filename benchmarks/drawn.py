"""Composes texts in 24 languages from sentences, people, places and values, drawn by libphonenumber and Faker."""

import random
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import NamedTuple

import phonenumbers
from faker import Faker

Sentences = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], str]
"""What may stand before; sentences that announce a number; what may stand behind; one in which a number only occurs."""

Forms = tuple[str, ...]
"""How the numbers of a language's countries are written by hand, `X` for a digit."""

DRAWS = 4
"""Numbers for each sentence and region."""

EXTENSION = re.compile(r" (?:ext|wew|доб)\.")
SCRIPTS = ("0123456789", "٠١٢٣٤٥٦٧٨٩", "０１２３４５６７８９")  # noqa: RUF001 -- full-width digits are meant

TRIES = 100
CARDS = ("visa16", "mastercard", "amex", "discover", "jcb16", "diners")
BANKS = (
    "en_GB",
    "de_DE",
    "fr_FR",
    "es_ES",
    "it_IT",
    "nl_NL",
    "pl_PL",
    "pt_PT",
    "de_AT",
    "de_CH",
    "fi_FI",
    "no_NO",
    "tr_TR",
)
PLACES = {
    "en": ("en_GB", ("US", "GB", "IN", "AU", "CA", "IE")),
    "de": ("de_DE", ("DE", "AT", "CH")),
    "fr": ("fr_FR", ("FR", "BE")),
    "es": ("es_ES", ("ES", "MX")),
    "pt": ("pt_PT", ("PT", "BR")),
    "it": ("it_IT", ("IT",)),
    "nl": ("nl_NL", ("NL", "BE")),
    "pl": ("pl_PL", ("PL",)),
    "cs": ("cs_CZ", ("CZ",)),
    "da": ("da_DK", ("DK",)),
    "no": ("no_NO", ("NO",)),
    "sv": ("sv_SE", ("SE",)),
    "fi": ("fi_FI", ("FI",)),
    "hu": ("hu_HU", ("HU",)),
    "ro": ("ro_RO", ("RO",)),
    "tr": ("tr_TR", ("TR",)),
    "el": ("el_GR", ("GR",)),
    "ru": ("ru_RU", ("RU",)),
    "uk": ("uk_UA", ("UA",)),
    "ar": ("ar_SA", ("SA", "AE")),
    "he": ("he_IL", ("IL",)),
    "zh": ("zh_CN", ("CN",)),
    "ja": ("ja_JP", ("JP",)),
    "ko": ("ko_KR", ("KR",)),
}
"""By language: Faker's locale, and the regions whose numbers its speakers write."""


class Sample(NamedTuple):
    """A text with one private value in it; `regions` are those of its language."""

    group: str
    text: str
    value: str
    regions: tuple[str, ...]


def phone(draw: random.Random, region: str) -> phonenumbers.PhoneNumber:
    """A valid number of a region, drawn anew."""
    kind = draw.choice((phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE))
    example = phonenumbers.example_number_for_type(region, kind) or phonenumbers.example_number(region)
    assert example is not None
    digits = phonenumbers.national_significant_number(example)
    for _ in range(TRIES):
        kept = draw.randint(2, 4)
        drawn = digits[:kept] + "".join(draw.choice("0123456789") for _ in digits[kept:])
        number = phonenumbers.parse(f"+{example.country_code}{drawn}")
        if phonenumbers.is_valid_number(number):
            return number
    return example


def written(number: phonenumbers.PhoneNumber, form: int) -> str:
    """As its country writes it, or internationally."""
    return phonenumbers.format_number(number, form)


@cache
def _faker(_: str, locale: str) -> Faker:
    """One for each purpose and locale: to make one takes long, and each is seeded anew."""
    return Faker(locale)


def formed(draw: random.Random, form: str, regions: tuple[str, ...]) -> str:
    """A number in a form, valid in a region. Raises ValueError where the form has none."""
    digits = next(one for one in reversed(SCRIPTS) if set(one) & set(form) or one is SCRIPTS[0])
    for _ in range(TRIES * TRIES):
        value = re.sub("X", lambda _: draw.choice(digits), form)
        bare = EXTENSION.split(value)[0]
        for region in regions:
            if phonenumbers.is_valid_number(phonenumbers.parse(bare, region)):
                return value
    raise ValueError(form)


class Composer:
    """Puts sentences of one language together, with what stands before and behind them now and then."""

    def __init__(self, draw: random.Random, locale: str, sentences: Sentences) -> None:
        self._draw = draw
        self._before, self.announced, self._behind, self.plain = sentences
        self.fake = _faker("people", locale)
        self.cards = _faker("cards", "en_US")  # some locales know cards of their own only
        self.banks = [_faker("banks", name) for name in BANKS]  # the others make IBANs that are none
        for one in (self.fake, self.cards, *self.banks):
            one.seed_instance(draw.getrandbits(32))

    def text(self, sentence: str, value: str) -> str:
        """The sentence with the value in it, and its neighbours."""
        before = self._draw.choice((*self._before, ""))
        behind = self._draw.choice((*self._behind, ""))
        told = [self._named(part) for part in (before, behind)]
        return " ".join(part for part in (told[0], sentence.replace("{}", value), told[1]) if part)

    def _named(self, part: str) -> str:
        return part.replace("{name}", self.fake.name()).replace("{city}", self.fake.city())


def in_forms(
    draw: random.Random, sentences_of: Mapping[str, Sentences], forms_of: Mapping[str, Forms]
) -> Iterator[Sample]:
    """Each sentence with a number in each form of its language."""
    for language, forms in forms_of.items():
        locale, regions = PLACES[language]
        composer = Composer(draw, locale, sentences_of[language])
        for sentence in composer.announced:
            for form in forms:
                value = formed(draw, form, regions)
                yield Sample(f"phone announced, by hand/{language}", composer.text(sentence, value), value, regions)


def samples(draw: random.Random, sentences_of: Mapping[str, Sentences]) -> Iterator[Sample]:
    """Announced national numbers in one run and as written, others as written, international ones; all other kinds."""
    for language, sentences in sentences_of.items():
        locale, regions = PLACES[language]
        composer = Composer(draw, locale, sentences)
        for region in regions:
            for _ in range(DRAWS):
                yield from _phones(draw, composer, language, region)
        for _ in range(DRAWS):
            for kind, value in _values(composer, draw).items():
                yield Sample(f"{kind}/{language}", composer.text(sentences[3], value), value, ())


def _phones(draw: random.Random, composer: Composer, language: str, region: str) -> Iterator[Sample]:
    national, international = phonenumbers.PhoneNumberFormat.NATIONAL, phonenumbers.PhoneNumberFormat.INTERNATIONAL
    regions = PLACES[language][1]
    for sentence in composer.announced:
        number = written(phone(draw, region), national)
        run = re.sub(r"\D", "", number)
        yield Sample(f"phone announced, one run/{language}", composer.text(sentence, run), run, regions)
        yield Sample(f"phone announced, as written/{language}", composer.text(sentence, number), number, regions)
    for form, group in ((national, "as written"), (international, "international")):
        value = written(phone(draw, region), form)
        text = composer.text(composer.plain, value)
        yield Sample(f"phone not announced, {group}/{language}", text, value, regions)


def _values(composer: Composer, draw: random.Random) -> dict[str, str]:
    fake = composer.fake
    card = composer.cards.credit_card_number(card_type=draw.choice(CARDS))
    return {
        "email": fake.email(),
        "card": draw.choice((card, " ".join(card[at : at + 4] for at in range(0, len(card), 4)))),
        "iban": draw.choice(composer.banks).iban(),
        "ip": draw.choice((fake.ipv4_public(), fake.ipv6())),
    }
