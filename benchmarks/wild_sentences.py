"""The draws of many sentences, a file each: language, `P` (a phone is announced) or `N` (another number), text.

Each was written by somebody who had not seen the detectors: 14 to 16 as varied as life is, 17 and 18 as is usual.
"""

from collections import defaultdict
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

from benchmarks.drawn import Sentences
from benchmarks.held_out_thirteenth import SENTENCES as OF_DRAW_13

FOLDER = Path(__file__).parent / "sentences"
NUMBERS = range(14, 19)
DIGITS = (7, 8, 9, 10, 11, 12)
"""How long the numbers are that are nobody's, in turns."""


class Wild(NamedTuple):
    """A draw's sentences by language, and its texts with other numbers."""

    sentences: dict[str, Sentences]
    negatives: list[str]


def read(number: int) -> Wild:
    """The draw of a number; the sentences in which a number only occurs are those of draw 13."""
    announced, negatives, digits = defaultdict[str, list[str]](list), list[str](), cycle(DIGITS)
    for line in (FOLDER / f"draw-{number}.tsv").read_text("utf-8").splitlines():
        language, kind, text = line.split("\t")
        if kind == "P":
            announced[language].append(text)
        else:
            negatives.append(text.replace("{}", f"{{d{next(digits)}}}"))
    return Wild({one: ((), tuple(found), (), OF_DRAW_13[one][3]) for one, found in announced.items()}, negatives)
