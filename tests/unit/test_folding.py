"""Look-alikes and encodings: what is found in a folded text is replaced in the text itself; nothing else changes."""

import random
import sys
import unicodedata

import pytest

from benchmarks import sentence_draws
from benchmarks.detectors import masked_whole
from benchmarks.drawn import samples
from benchmarks.odd_forms import FORMS, damaged, negatives, odd_forms
from stream_router.pipeline.masking.detectors.finder import DETECTORS, finder
from stream_router.pipeline.masking.detectors.folding import fold

FIND = finder(tuple(DETECTORS))
DRAW_SEED = 4711


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("\uff34\uff25\uff2c \uff0b\uff14\uff14 7400 123456 \u3067\u3059", "\uff34\uff25\uff2c [PHONE] \u3067\u3059"),
        (
            "\uff34\uff25\uff2c\uff1a\uff10\uff19\uff10\uff0d\uff12\uff10\uff13\uff14\uff0d\uff14\uff12\uff11\uff14\uff08",
            "\uff34\uff25\uff2c\uff1a[PHONE]\uff08",
        ),
        ("a&#64;b.example &amp; co", "[EMAIL] &amp; co"),
        ("?mail=a%40b.example&x=%41", "?[EMAIL]&x=%41"),
        ("?next=/a?m%3Dx%26to=a%2540b.example&t=%252B493090182233", "?next=/a?[EMAIL]&t=[PHONE]"),
        ("?card=4111+1111+1111+1111&a=1+1", "?card=[CARD]&a=1+1"),
        ("?tel=%2B1+%28212%29+555-0173&a=%281%29+2", "?tel=[PHONE]&a=%281%29+2"),
        (
            r'{"t":"\u002B493090182233","m":"a\u0040b.example","u":"\u00e9\u0041"}',
            r'{"t":"[PHONE]","m":"[EMAIL]","u":"\u00e9\u0041"}',
        ),
        (r'"{\"m\":\"a\\u0040b.example\"}"', r'"{\"m\":\"[EMAIL]\"}"'),
        ("call +44 7400\n123456\nbye", "call [PHONE]\nbye"),
        ("call +44 7400 123456\n24.11.2026 came", "call [PHONE]\n24.11.2026 came"),
        ("a\u200b@\u200bb.example \u200bx", "[EMAIL] \u200bx"),
        ("4877, 8932, 8792, 1747 and 4111, 1111, 1111, 1111", "4877, 8932, 8792, 1747 and [CARD]"),
        ("ORD-289027. 3033 0145 4625 73", "ORD-289027. [CARD]"),
        ("\u5ba2\u6237\u7559\u4e0b209.243.12.77\u5c31\u6302\u4e86", "\u5ba2\u6237\u7559\u4e0b[IP]\u5c31\u6302\u4e86"),
        ("\u5ba2\u6237IP209.243.12.77\u767b\u5f55, ip209.243.12.78", "\u5ba2\u6237IP[IP]\u767b\u5f55, ip[IP]"),
        ("zip1.22.3.44 chip209.243.12.77 v209.243.12.77", None),
        ("interaction c7b0c07a-e253-49da-be86-839bde82f0e5 ended", None),
        ("56093858-4445-4d77-8f59-bb0dbc3313ff", None),
        ("SN5869-6833-8630", None),
        ("5393638639455584ad99a1a1ef8e44ca6922efaa", None),
        ("%ff%40 100%25 &unknown; a&b 100%25ab 5%2512 %252525", None),
    ],
)
def test_found_as_meant_and_replaced_as_written(text: str, wanted: str | None) -> None:
    """Where nothing is to be found, the text stays as it is, to the last odd character."""
    assert FIND(text, []) == (text if wanted is None else wanted)


@pytest.mark.parametrize(
    "text", ["", "plain", "\u0661\u0662\u0663", "a&nbsp;b%20c", "x\u200b\u200by", "\uff11 &#49; %31"]
)
def test_spans_lead_back_onto_the_text(text: str) -> None:
    """Every character of a folded text stands for a piece of the text, in order, and none is lost."""
    folded = fold(text)
    spans = folded.original([(at, at + 1) for at in range(len(folded.text))])
    assert all(start < end for start, end in spans)
    assert spans == sorted(spans)
    assert folded.original([(0, len(folded.text))] if folded.text else []) in ([], [(0, len(text))])


def test_no_digit_of_another_script_is_left() -> None:
    """A digit of any script becomes the digit of ASCII that it stands for, in Chakma as in Arabic."""
    digits = [char for char in map(chr, range(sys.maxunicode + 1)) if char.isdecimal()]
    assert fold(" ".join(digits)).text == " ".join(str(unicodedata.decimal(digit)) for digit in digits)


def test_every_form_and_language_of_a_draw_is_found() -> None:
    """Of a draw anew: announced phones in 24 languages, all forms of writing, at the rates that the page promises."""
    draw = random.Random(DRAW_SEED)
    found = [
        (sample.group, masked_whole(sample, FIND(sample.text, [])))
        for sample in (*samples(draw, sentence_draws.read(0).sentences), *odd_forms(draw))
    ]
    rate = {
        group: sum(hit for name, hit in found if name == group) / sum(name == group for name, _ in found)
        for group, _ in found
    }
    assert len(FORMS) > 10
    assert {
        group: share for group, share in rate.items() if "not announced, as written" not in group and share < 0.95
    } == {}
    phones_found = [hit for group, hit in found if group.startswith("phone")]
    assert sum(phones_found) / len(phones_found) >= 0.93


def test_regions_that_a_policy_names_bring_their_national_numbers() -> None:
    """With the regions of its language named, a number that no word announces is found as well."""
    drawn = [sample for sample in samples(random.Random(DRAW_SEED), sentence_draws.read(0).sentences) if sample.regions]
    finders = {regions: finder(("phone",), regions) for regions in {sample.regions for sample in drawn}}
    hits = [masked_whole(sample, finders[sample.regions](sample.text, [])) for sample in drawn]
    assert sum(hits) / len(hits) >= 0.97


def test_what_is_nobodys_stays() -> None:
    """Numbers of orders, times, amounts, versions; ids of NICE's shapes."""
    texts = list(negatives(random.Random(DRAW_SEED), sentence_draws.read(0).negatives))
    kept = [FIND(text, []) == text for text in texts]
    assert sum(kept) / len(kept) >= 0.999
    assert damaged(random.Random(DRAW_SEED), 2_000) == {"uuid": 0, "dfo thread id": 0, "iso time": 0}
