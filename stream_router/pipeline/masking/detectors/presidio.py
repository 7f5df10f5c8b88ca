"""Microsoft Presidio as the engine of a policy's `detect` rules: the optional extra `[presidio]`, off by default.

It costs hundreds of times what the built-in detectors do (docs/masking.md), and some 120 MB of memory in every child.
"""

import importlib
import re
from collections.abc import Callable, Sequence
from typing import Any

from stream_router.errors import SettingsError

_PLACEHOLDER = re.compile(r"\[[A-Z_]{2,40}\]")
_ROUNDS_MAX = 8


def finder(
    entities: Sequence[str],
    language: str,
    where: str,
    load: Callable[[str], Any] = importlib.import_module,
) -> Callable[[str, list[str]], str]:
    """A function that replaces in a text what Presidio finds, as `[EMAIL_ADDRESS]`, and says so.

    `entities` are Presidio's names (none: all it knows). Raises SettingsError, naming `where`, if Presidio is not
    installed, has no model for the language, or knows an entity not.
    """
    try:
        engine = load("presidio_analyzer").AnalyzerEngine(supported_languages=[language])
    except ImportError:
        cure = "pip install presidio-analyzer, or set engine to builtin"
        raise SettingsError(f"{where}.engine: presidio is not installed; {cure}") from None
    except (OSError, ValueError, SystemExit):
        cure = "install spaCy's model for it, or set engine to builtin"
        raise SettingsError(f"{where}.language: presidio has no model for {language}; {cure}") from None
    known = set(engine.get_supported_entities(language=language))
    if unknown := sorted(set(entities) - known):
        raise SettingsError(f"{where}.detectors: presidio knows no {unknown[0]}; it knows {', '.join(sorted(known))}")
    chosen = list(entities) or None

    def find(text: str, hits: list[str]) -> str:
        for _ in range(_ROUNDS_MAX):
            spans = _spans(engine.analyze(text=text, language=language, entities=chosen), text)
            if not spans:
                return text
            for start, end, kind in reversed(spans):
                hits.append(f"detect.{kind.lower()}")
                text = f"{text[:start]}[{kind}]{text[end:]}"
        raise RuntimeError("the text keeps yielding finds")

    return find


def _spans(results: Sequence[Any], text: str) -> list[tuple[int, int, str]]:
    """Without overlaps (the surer one stays) and without what touches a placeholder of ours."""
    taken = [found.span() for found in _PLACEHOLDER.finditer(text)]
    spans = []
    for result in sorted(results, key=lambda result: (-result.score, result.start)):
        if not any(result.start < end and start < result.end for start, end in taken):
            taken.append((result.start, result.end))
            spans.append((result.start, result.end, result.entity_type))
    return sorted(spans)
