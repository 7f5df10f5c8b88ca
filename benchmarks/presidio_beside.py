"""Presidio on the texts of benchmarks/detectors.py, in an environment of its own, so that nothing else depends on it.

`python -m benchmarks.detectors --install-presidio` installs it (PyPI, some 400 MB in benchmarks/.presidio). How it
is set, so that the comparison is fair: its pattern recognizers for the kinds that our detectors claim, and no
others, since names and dates are no finds here; the phone recognizer is told the regions of each text's language
(ours are not, but in one column); a spaCy pipeline without a model, since none of these recognizers needs one;
every score counts as a find.
"""

import subprocess
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

VERSION = "2.2.366"
FOLDER = Path(__file__).parent / ".presidio"
PYTHON = FOLDER / "bin" / "python"
KINDS = {
    "PHONE_NUMBER": "phone",
    "CREDIT_CARD": "card",
    "EMAIL_ADDRESS": "email",
    "IBAN_CODE": "iban",
    "IP_ADDRESS": "ip",
}

WORKER = """
import json, logging, sys, time
logging.disable(logging.CRITICAL)
import spacy
from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
from presidio_analyzer.nlp_engine import NlpArtifacts, SpacyNlpEngine
from presidio_analyzer.predefined_recognizers import (
    CreditCardRecognizer, EmailRecognizer, IbanRecognizer, IpRecognizer, PhoneRecognizer,
)

class Blank(SpacyNlpEngine):
    def __init__(self):
        super().__init__()
        self.nlp = {"en": spacy.blank("en")}

kinds, texts = json.load(sys.stdin)
nlp, engines = Blank(), {}

def engine(regions):
    if regions not in engines:
        told = PhoneRecognizer(supported_regions=list(regions)) if regions else PhoneRecognizer()
        others = [CreditCardRecognizer(), EmailRecognizer(), IbanRecognizer(), IpRecognizer()]
        registry = RecognizerRegistry(recognizers=[told, *others])
        engines[regions] = AnalyzerEngine(registry=registry, nlp_engine=nlp, supported_languages=["en"])
    return engines[regions]

for regions in {tuple(regions) for _, regions in texts}:
    engine(regions).analyze(text="warm up 4111 a@b.example.org", language="en", entities=kinds)
started, found = time.process_time(), []
for text, regions in texts:
    results = engine(tuple(regions)).analyze(text=text, language="en", entities=kinds)
    found.append([[one.start, one.end] for one in results])
json.dump({"found": found, "us": (time.process_time() - started) / max(len(texts), 1) * 1e6}, sys.stdout)
"""


def install() -> None:
    """Make the environment. Raises CalledProcessError where pip cannot."""
    venv.create(FOLDER, with_pip=True, symlinks=True)
    subprocess.run([PYTHON, "-m", "pip", "install", "-q", f"presidio-analyzer=={VERSION}"], check=True)


def find(texts: Sequence[tuple[str, Sequence[str]]]) -> dict[str, Any] | None:
    """The spans that Presidio finds in each text (given with its regions), and CPU in µs a text; None without it."""
    if not PYTHON.exists():
        return None
    given = orjson.dumps([list(KINDS), texts])
    answer = subprocess.run([PYTHON, "-c", WORKER], input=given, stdout=subprocess.PIPE, check=True).stdout
    found: dict[str, Any] = orjson.loads(answer)
    return found
