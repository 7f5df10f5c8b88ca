"""The detectors over the labelled corpus, and what masking by them promises."""

import itertools
import random
import re
import string
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from stream_router.pipeline.masking.detectors.cards import is_card
from stream_router.pipeline.masking.detectors.finder import DETECTORS, DIGITS_MIN, finder
from stream_router.pipeline.masking.detectors.folding import fold
from stream_router.pipeline.masking.detectors.ibans import ibans
from stream_router.pipeline.masking.detectors.phones import vocabulary

DATA = Path(__file__).parents[1] / "data"
CORPUS = DATA / "detectors.txt"
HELD_OUT = [DATA / f"detectors-held-out{number}.txt" for number in ("", "-2", "-3")]
RECALL_MIN, PRECISION_MIN = 0.97, 0.95
DRAW_SEED, TEXTS_WITH_FEW_DIGITS = 4711, 200
LABEL = re.compile(r"\{(\w+)\|([^}]*)\}")


class Labelled(NamedTuple):
    """A text, and what is to be found in it: (kind, start, end)."""

    text: str
    expected: list[tuple[str, int, int]]


class Score(NamedTuple):
    """A find counts where it touches something expected; something expected counts only where finds cover it whole."""

    expected: int
    covered: int
    found: int
    right: int

    @property
    def recall(self) -> float:
        return self.covered / self.expected if self.expected else 1.0

    @property
    def precision(self) -> float:
        return self.right / self.found if self.found else 1.0


def read(line: str) -> Labelled:
    text, expected, at = "", [], 0
    for label in LABEL.finditer(line):
        if label[1] not in DETECTORS:
            continue
        text += line[at : label.start()]
        expected.append((label[1], len(text), len(text) + len(label[2])))
        text += label[2]
        at = label.end()
    return Labelled(text + line[at:], expected)


def corpus(file: Path = CORPUS) -> list[Labelled]:
    return [read(line) for line in file.read_text().splitlines() if line and not line.startswith("#")]


def score(kind: str, file: Path) -> Score:
    """Each detector by itself over every line, folded as it gets them, those of the other kinds included."""
    expected = covered = found = right = 0
    for text, labels in corpus(file):
        wanted = [(start, end) for label, start, end in labels if label == kind]
        folded = fold(text)
        spans = folded.original(DETECTORS[kind](folded.text))
        expected += len(wanted)
        covered += sum(any(s <= start and end <= e for s, e in spans) for start, end in wanted)
        found += len(spans)
        right += sum(any(s < end and start < e for start, end in wanted) for s, e in spans)
    return Score(expected, covered, found, right)


def test_corpus_is_large_enough_and_rightly_labelled() -> None:
    """At least 400 lines, none twice; every labelled card and IBAN has right check digits, so the labels can be met."""
    texts = [line.text for line in corpus()]
    assert len(texts) >= 400
    assert len(set(texts)) == len(texts)
    for text, labels in itertools.chain.from_iterable(map(corpus, [CORPUS, *HELD_OUT])):
        for kind, start, end in labels:
            if kind == "card":
                assert is_card("".join(char for char in text[start:end] if char.isdecimal())), text
            if kind == "iban":
                assert ibans(text[start:end]) == [(0, end - start)], text


@pytest.mark.parametrize("file", [CORPUS, *HELD_OUT], ids=["corpus", "held-out", "held-out-2", "held-out-3"])
@pytest.mark.parametrize("kind", DETECTORS)
def test_detector_finds_what_is_there_and_little_else(
    kind: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Recall of 0.97 and precision of 0.95 or more over each corpus; the figures are printed."""
    result = score(kind, file)
    with capsys.disabled():
        figures = f"expected {result.expected:3}  recall {result.recall:.3f}  precision {result.precision:.3f}"
        print(f"\n{file.stem:20} {kind:6} {figures}")  # noqa: T201
    assert result.recall >= RECALL_MIN
    assert result.precision >= PRECISION_MIN


def test_finds_are_replaced_and_told() -> None:
    """Each find becomes its kind's placeholder, the rest stays as it was, and each is told by its kind."""
    hits: list[str] = []
    text = "Hi, kim@example.com, +1 212 555 0199, card 4242 4242 4242 4242, DE89 3704 0044 0532 0130 00, 192.0.2.4"
    masked = finder(tuple(DETECTORS))(text, hits)
    assert masked == "Hi, [EMAIL], [PHONE], card [CARD], [IBAN], [IP]"
    assert sorted(hits) == ["detect.card", "detect.email", "detect.iban", "detect.ip", "detect.phone"]


@pytest.mark.parametrize("number", ["(07400 989920)", "(2016284584)", "(+44 7400 989920)"])
def test_parentheses_around_a_whole_number_stay(number: str) -> None:
    """They are the sentence's. Those of an area code are the number's."""
    find = finder(tuple(DETECTORS))
    assert find(f"call me by phone today {number} please", []) == "call me by phone today ([PHONE]) please"
    assert find("call me at (020) 7946 0958 please", []) == "call me at [PHONE] please"


@pytest.mark.parametrize(
    "text",
    [
        *("bestelnummer 0612345678", "Mijn bestelnummer is 0612345678", "tilausnumero: 0401234567"),
        *("Tilausnumeroni on 0401234567", "laskun numero 0401234567", "numărul comenzii 0721234567"),
        *("nr. facturii este 0721234567", "номер замовлення 0671234567", "Мій номер рахунку 0671234567"),
        *("ABONELİK NUMARASI 0212 555 12 34", "§ 12.3.4.5", "§12.3.4.5"),
    ],
)
def test_number_of_an_order_is_kept_in_every_language(text: str) -> None:
    """Directly behind `order number`, in one word or two, a number is no phone; behind `§` it is no IP address."""
    assert finder(("phone", "ip"))(text, []) == text


@pytest.mark.parametrize(
    "text",
    [
        *("Mijn telefoonnummer is 0612345678", "Puhelinnumeroni on 0401234567", "contactnummer 0612345678"),
        *("tilausnumero 4711, puhelin 0401234567", "Numărul meu este 0721234567", "Купила картку, номер 0671234567"),
    ],
)
def test_number_of_a_person_beside_such_words_is_found(text: str) -> None:
    """A word for a thing in another clause, or a number of a phone, makes no number of a thing of it."""
    assert "[PHONE]" in finder(("phone", "ip"))(text, [])


@pytest.mark.parametrize("kind", DIGITS_MIN)
def test_too_few_digits_are_no_find(kind: str) -> None:
    """A detector that is asked only where there are enough digits would find nothing in a text with fewer."""
    draw, find = random.Random(DRAW_SEED), DETECTORS[kind]
    for _ in range(TEXTS_WITH_FEW_DIGITS):
        digits = "".join(draw.choices(string.digits, k=DIGITS_MIN[kind] - 1))
        number = re.sub(r"(?<=\d)(?=\d)", lambda _: draw.choice(("", "", " ", "-", ".", ", ")), digits)
        for before in ("SSN ", "card ", "phone: ", "call me at +", "(", "tel. "):
            assert find(f"{before}{number}") == []


def test_only_chosen_detectors_run() -> None:
    """What the policy names not is left as it was."""
    assert finder(("email",))("a@example.com 192.0.2.4", []) == "[EMAIL] 192.0.2.4"


def test_masking_the_corpus_twice_is_masking_it_once() -> None:
    """What comes out holds nothing that would be found again."""
    find = finder(tuple(DETECTORS))
    for text, _ in corpus():
        masked, hits = find(text, []), list[str]()
        assert find(masked, hits) == masked
        assert not hits


@pytest.mark.parametrize(
    ("number", "between"),
    [
        *itertools.product(["(212) 555-0100", "06 12 34 56 78", "020 7946 0958", "+1 212 555 0199"], " ,/;\n"),
        ("(212) 555-0100", ""),
        ("+1 (212) 555-0100", ""),
        ("4222222222222", "and"),
        *itertools.product(["4222222222222", "4111 1111 1111 1111", " ".join("4111111111111111")], " ,/;\n"),
    ],
)
@pytest.mark.timeout(60)
def test_list_of_numbers_is_replaced_to_its_end(number: str, between: str) -> None:
    """Two thousand phone numbers or cards, side by side: none hides the next, and it takes no minute."""
    find = finder(tuple(DETECTORS))
    assert find(between.join([number] * 2_000), []) == between.join([find(number, [])] * 2_000)
    assert not re.search(r"\d", find(number, []))


@pytest.mark.timeout(60)
def test_row_in_which_each_number_hides_the_next_is_masked_whole() -> None:
    """Cards that show only once the phone before them is replaced, and so on: no digit is left, and nothing raises."""
    find = finder(tuple(DETECTORS))
    masked = find("Dear 7, " + "4222222222222:8 495 123-45-67  " * 2_000 + "bye 7", [])
    assert re.findall(r"\d", masked) == ["7", "7"]
    assert find(masked, []) == masked


@pytest.mark.parametrize("kind", DETECTORS)
@pytest.mark.timeout(60)
def test_hostile_text_takes_time_linear_in_its_length(kind: str) -> None:
    """Eight times the text takes about eight times the time; what backtracks over the whole text takes 64 times.

    Measured against itself, as CPU time, the least of several goes: the machine's speed and its load do not matter.
    """
    hostile = [
        "a.",
        "1 ",
        "a@a.",
        "::1 1.1.1.1 ",
        "tel 12345 ",
        "tel 12345678,",
        "0171 1234567 ",
        "(01234)12345678 ",
        "DE12 ",
        "(0",
        "4111 1111 1111 1111 ",
        "x@" + "a-" * 99,
    ]
    detect = DETECTORS[kind]
    for piece in hostile:
        small, large = (piece * (size // len(piece)) for size in (4_000, 32_000))
        assert _cpu_s(detect, large) < 24 * _cpu_s(detect, small) + 0.005, piece


def _cpu_s(detect: Callable[[str], object], text: str) -> float:
    """The least CPU time of three goes."""
    taken = []
    for _ in range(3):
        before = time.process_time()
        detect(text)
        taken.append(time.process_time() - before)
    return min(taken)


def test_no_word_says_phone_and_something_else() -> None:
    """What announces a phone cannot speak against it."""
    said = sorted(word.rstrip("*") for word in vocabulary.entries("said") if "_" not in word)
    kinds = vocabulary.kinds(said)
    assert [word for word, kind in zip(said, kinds, strict=True) if kind & vocabulary.OTHER] == []


def test_a_pair_of_the_vocabulary_can_be_met() -> None:
    """`one_two` is a pair of whole words: with a third word or an asterisk it would never fit."""
    tables = (table for name, table in vocabulary._TABLES.items() if not name.endswith("_inside"))
    pairs = [word for table in tables for words in table.values() for word in words.split() if "_" in word]
    assert [one for one in pairs if one.count("_") > 1 or one.endswith("*")] == []
