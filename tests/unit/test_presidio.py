"""Presidio as a policy's engine: refused clearly where it is not there, and driven rightly where it is."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stream_router.errors import SettingsError
from stream_router.pipeline.masking.detectors import presidio
from stream_router.pipeline.transform import Transform
from tests.events import NOW_MS, config_of

POLICY = """
id = "p"
version = "1"
[[rules]]
action = "detect"
engine = "presidio"
paths = ["payload.**"]
"""


class Engine:
    """Answers as Presidio's AnalyzerEngine does, for two words."""

    def __init__(self, supported_languages: list[str]) -> None:
        if supported_languages != ["en"]:
            raise OSError("[E050] Can't find model")

    def get_supported_entities(self, language: str) -> list[str]:
        return ["PERSON", "EMAIL_ADDRESS"]

    def analyze(self, text: str, language: str, entities: list[str] | None) -> list[Any]:
        words = {"Anna": "PERSON", "Anna Schmidt": "PERSON", "a@b.de": "EMAIL_ADDRESS", "PERSON": "PERSON"}
        return [
            SimpleNamespace(start=text.index(word), end=text.index(word) + len(word), score=len(word), entity_type=kind)
            for word, kind in words.items()
            if word in text and (entities is None or kind in entities)
        ]


def load(_: str) -> Any:
    return SimpleNamespace(AnalyzerEngine=Engine)


def missing(_: str) -> Any:
    raise ImportError("No module named presidio_analyzer")


def test_finds_are_replaced_once_and_placeholders_left_alone() -> None:
    """Of overlapping finds the surer one counts; a placeholder that looks like a find is none."""
    hits: list[str] = []
    find = presidio.finder([], "en", "here", load)
    masked = find("Anna Schmidt, a@b.de", hits)
    assert masked == "[PERSON], [EMAIL_ADDRESS]"
    assert find(masked, hits) == masked
    assert sorted(hits) == ["detect.email_address", "detect.person"]


def test_only_named_entities_are_sought() -> None:
    """The policy's `detectors` are Presidio's entities."""
    assert presidio.finder(["PERSON"], "en", "here", load)("Anna a@b.de", []) == "[PERSON] a@b.de"


@pytest.mark.parametrize(
    ("entities", "language", "loader", "said"),
    [
        ([], "en", missing, r"here.engine: presidio is not installed; pip install presidio-analyzer"),
        ([], "de", load, "here.language: presidio has no model for de"),
        (["MOOD"], "en", load, "here.detectors: presidio knows no MOOD"),
    ],
)
def test_what_is_not_there_is_named(entities: list[str], language: str, loader: Any, said: str) -> None:
    """At start, in one line, with the cure."""
    with pytest.raises(SettingsError, match=said):
        presidio.finder(entities, language, "here", loader)


def test_policy_names_its_rule_where_presidio_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program does not start with a policy that it cannot run."""
    file = tmp_path / "policy.toml"
    file.write_text(POLICY)
    monkeypatch.setitem(__import__("sys").modules, "presidio_analyzer", None)
    with pytest.raises(SettingsError, match=r"rules\[0\].engine: presidio is not installed"):
        Transform(config_of(masking=str(file)), lambda: NOW_MS)
