"""How well the built-in detectors do on texts drawn anew: recall by language and form of writing, what they leave be.

Run: python -m benchmarks.detectors [--held-out] [--seed N] [--ids N] [--json]. One core, no network. Phones come from
libphonenumber's own examples with digits drawn at random and found valid, cards and IBANs from their check digits.
Beside ours stands `phonenumbers`, told the text's country, and Presidio where the extra `presidio` is.
`--held-out` takes sentences that nobody has looked at while the detectors were written.
"""

import argparse
import random
import re
import string
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import NamedTuple

import orjson
import phonenumbers

from benchmarks import detector_sentences, held_out_sentences
from stream_router.core.settings_error import SettingsError
from stream_router.pipeline.masking.detectors import presidio
from stream_router.pipeline.masking.detectors.cards import is_card
from stream_router.pipeline.masking.detectors.finder import DETECTORS, finder

FORMS_EACH = 64
DRAWS = 6
"""Numbers for each sentence and region."""

TRIES = 100
NEGATIVES_EACH = 100
ARABIC_INDIC = str.maketrans(string.digits, "٠١٢٣٤٥٦٧٨٩")
FULL_WIDTH = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}


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
        drawn = digits[:kept] + "".join(draw.choice(string.digits) for _ in digits[kept:])
        number = phonenumbers.parse(f"+{example.country_code}{drawn}")
        if phonenumbers.is_valid_number(number):
            return number
    return example


def written(number: phonenumbers.PhoneNumber, form: int) -> str:
    return phonenumbers.format_number(number, form)


def phones(draw: random.Random, sentences_of: ModuleType = detector_sentences) -> Iterator[Sample]:
    """Announced national numbers in one run and as written, others as written, international ones."""
    national, international = phonenumbers.PhoneNumberFormat.NATIONAL, phonenumbers.PhoneNumberFormat.INTERNATIONAL
    for language, (regions, sentences) in sentences_of.ANNOUNCED.items():
        for region in regions:
            for _ in range(DRAWS):
                for sentence in sentences:
                    number = written(phone(draw, region), national)
                    run = re.sub(r"\D", "", number)
                    yield Sample(f"phone announced, one run/{language}", sentence.format(run), run, regions)
                    yield Sample(f"phone announced, as written/{language}", sentence.format(number), number, regions)
                for form, group in ((national, "as written"), (international, "international")):
                    value = written(phone(draw, region), form)
                    sentence = sentences_of.NOT_ANNOUNCED[language]
                    yield Sample(f"phone not announced, {group}/{language}", sentence.format(value), value, regions)


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
        "email": f"{draw.choice(('anna', 'kim.lee', 'j-p_roux'))}{draw.randint(1, 999)}@firma.example",
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


def negatives(draw: random.Random, patterns: Sequence[str] = detector_sentences.NEGATIVES) -> Iterator[str]:
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


def masked_whole(sample: Sample, masked: str) -> bool:
    """Whether nothing of the value is left but what any text has: three of its digits or letters in a row count."""
    before = sample.text.replace(sample.value, "\0", 1)
    left, _, right = before.partition("\0")
    return (
        masked.startswith(left)
        and masked.endswith(right)
        and sample.value not in masked
        and not re.search(r"\d{3}", masked[len(left) : len(masked) - len(right)])
    )


def matched(sample: Sample) -> bool:
    """Whether libphonenumber's own matcher, told the country, covers the value."""
    start = sample.text.index(sample.value)
    return any(
        match.start <= start and match.end >= start + len(sample.value)
        for region in sample.regions
        for match in phonenumbers.PhoneNumberMatcher(sample.text, region)
    )


def beside_presidio(samples: Sequence[Sample], others: Sequence[str]) -> dict[str, float] | str:
    """Presidio on every hundredth text: recall, share of negatives kept, CPU; or why it is left out."""
    try:
        find = presidio.finder((), "en", "benchmark")
        find("warm up", [])
    except (SettingsError, ImportError, OSError) as error:
        return f"left out: {error}"
    some, few = samples[::100], others[::20]
    started = time.process_time()
    found = [masked_whole(one, find(one.text, [])) for one in some]
    used_s = time.process_time() - started
    kept = [find(text, []) == text for text in few]
    return {"recall": sum(found) / len(found), "kept": sum(kept) / len(kept), "us": used_s / len(some) * 1e6}


def measure(seed: int, ids: int, sentences_of: ModuleType = detector_sentences) -> dict[str, object]:
    draw = random.Random(seed)
    plain = finder(tuple(DETECTORS))
    named = {regions: finder(tuple(DETECTORS), regions) for regions, _ in sentences_of.ANNOUNCED.values()}
    rows: dict[str, list[tuple[bool, bool, bool]]] = defaultdict(list)
    seconds = {"ours": 0.0, "ours, regions named": 0.0, "phonenumbers": 0.0}
    samples = [*phones(draw, sentences_of), *odd_forms(draw)]
    for sample in samples:
        started = time.process_time()
        ours = masked_whole(sample, plain(sample.text, []))
        seconds["ours"] += (time.process_time() - started) * bool(sample.regions)
        started = time.process_time()
        regions = masked_whole(sample, named[sample.regions](sample.text, [])) if sample.regions else ours
        seconds["ours, regions named"] += time.process_time() - started
        started = time.process_time()
        library = matched(sample) if sample.regions else False
        seconds["phonenumbers"] += time.process_time() - started
        rows[sample.group].append((ours, regions, library))
    others = list(negatives(draw, sentences_of.NEGATIVES))
    kept = [text == plain(text, []) for text in others]
    lost = sorted({re.sub(r"\d", "9", text) for text, whole in zip(others, kept, strict=True) if not whole})
    return {
        "samples": len(samples),
        "recall": {
            group: [len(found), *(sum(column) / len(found) for column in zip(*found, strict=True))]
            for group, found in rows.items()
        },
        "negativesKept": sum(kept) / len(kept),
        "negatives": len(kept),
        "negativesLost": lost[:10],
        "presidio": beside_presidio(samples, others),
        "damagedOf": ids,
        "damaged": damaged(draw, ids),
        "usPerText": {
            name: round(total / sum(bool(one.regions) for one in samples) * 1e6, 1) for name, total in seconds.items()
        },
    }


def summary(found: dict[str, object]) -> Iterator[str]:
    recall = found["recall"]
    assert isinstance(recall, dict)
    groups: dict[str, list[list[float]]] = defaultdict(list)
    for name, row in recall.items():
        groups[name.partition("/")[0]].append(row)
        if name.startswith("phone"):
            groups["all phones"].append(row)
    yield f"{'group':46} {'n':>6} {'ours':>6} {'named':>6} {'libph.':>6}   least (ours): {found['samples']} texts"
    for group, rows in groups.items():
        total = sum(row[0] for row in rows)
        means = [sum(row[0] * row[at] for row in rows) / total for at in (1, 2, 3)]
        prefix = "" if group == "all phones" else f"{group}/"
        worst = sorted((row[1], name[len(prefix) :]) for name, row in recall.items() if name.startswith(prefix))[:4]
        told = ", ".join(f"{name} {share:.2f}" for share, name in worst if share < 1)
        yield f"{group:46} {total:6.0f} {means[0]:6.3f} {means[1]:6.3f} {means[2]:6.3f}   {told}"
    yield f"negatives kept {found['negativesKept']:.4f} of {found['negatives']}; lost: {found['negativesLost']}"
    yield f"damaged of {found['damagedOf']} each: {found['damaged']}"
    yield f"Presidio, all it knows: {found['presidio']}"
    yield f"CPU in µs a text with a phone: {found['usPerText']}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=20261125)
    parser.add_argument("--ids", type=int, default=20_000, help="ids and times of each kind to try")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--held-out", action="store_true", help="sentences that nobody looked at")
    arguments = parser.parse_args()
    sentences_of = held_out_sentences if arguments.held_out else detector_sentences
    found = measure(arguments.seed + arguments.held_out, arguments.ids, sentences_of)
    if arguments.json:
        sys.stdout.write(orjson.dumps(found).decode() + "\n")
        return
    for line in summary(found):
        print(line)


if __name__ == "__main__":
    main()
