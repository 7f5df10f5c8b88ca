"""The draws of sentences in which phones are announced, and of texts with other numbers: a file each in `sentences/`.

A line has the language, a kind, and the text with `{}` for the number; `sentences/README.md` says what each draw is.
"""

from collections import defaultdict
from functools import cache
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

from benchmarks.drawn import Forms, Sentences

FOLDER = Path(__file__).parent / "sentences"
NUMBERS = range(len(list(FOLDER.glob("draw-*.tsv"))))
OCCURS_OF = 13
"""The draw whose sentences, in which a number only occurs, stand in for those of a draw that has none."""

DIGITS = (7, 8, 9, 10, 11, 12)
"""How long the numbers are that are nobody's, in turns, where the text does not say it."""


class Draw(NamedTuple):
    """A draw's sentences by language, its texts with other numbers, and how numbers are written by hand."""

    sentences: dict[str, Sentences]
    negatives: tuple[str, ...]
    forms: dict[str, Forms]


@cache
def read(number: int) -> Draw:
    """The draw of a number. Raises FileNotFoundError for one that there is not."""
    found, digits = defaultdict[str, dict[str, list[str]]](lambda: defaultdict(list)), cycle(DIGITS)
    negatives = []
    for line in (FOLDER / f"draw-{number:02}.tsv").read_text("utf-8").splitlines():
        language, kind, text = line.split("\t")
        if kind == "N":
            negatives.append(text.replace("{}", f"{{d{next(digits)}}}") if "{}" in text else text)
        else:
            found[language][kind].append(text)
    forms = {one: tuple(kinds["F"]) for one, kinds in found.items() if "F" in kinds}
    return Draw({one: _sentences(one, kinds) for one, kinds in found.items()}, tuple(negatives), forms)


def _sentences(language: str, kinds: dict[str, list[str]]) -> Sentences:
    before, announced, behind = (tuple(kinds.get(kind, ())) for kind in "BPA")
    (occurs,) = kinds.get("O") or (read(OCCURS_OF).sentences[language][3],)
    return before, announced, behind, occurs
