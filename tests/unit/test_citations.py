"""What the code and the pages cite is inside the repository: the file is there, and so is the heading in quotes."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("stream_router", "tests", "benchmarks", "properties", "docs", "tools", "deploy")
SUFFIXES = {".py", ".md", ".toml", ".properties", ".xml", ".cfg", ".yaml", ".html"}
PAGE = re.compile(r'\b((?:docs/[\w/.-]+|CONTRIBUTING|README|SECURITY)\.md)`?(?:, "([^"\n]+)")?')
FILE = re.compile(r"\b((?:stream_router|tests|benchmarks|tools|properties)/[\w/.-]+\.(?:py|md|toml|properties|xml))\b")
OUTSIDE = re.compile(r"\b(CONTRACT|FACTS|DESIGN|STYLE|PROMISES|FINDINGS|ANCHORS)\b(?! =)")
"""Working papers that are not in the repository: nobody who reads the code has them."""


def _files() -> Iterator[Path]:
    yield from sorted(ROOT.glob("*.md"))
    yield from (ROOT / "Makefile", ROOT / "setup.cfg")
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in SUFFIXES and path != Path(__file__) and "results" not in path.parts:
                yield path


def _text(path: Path) -> str:
    """The file's text, with what a line's end divides put together again."""
    return re.sub(r"\s*\n[ \t]*(?:# )?", " ", path.read_text("utf-8"))


def _headings(page: Path) -> set[str]:
    return set(re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE))


def _unresolved(text: str) -> list[str]:
    """The citations in a text that lead nowhere."""
    wrong = [file for file in FILE.findall(text) if not (ROOT / file).exists()]
    for page, heading in PAGE.findall(text):
        if not (ROOT / page).exists():
            wrong.append(page)
        elif heading and heading not in _headings(ROOT / page):
            wrong.append(f'{page}, "{heading}"')
    return wrong


@pytest.mark.parametrize("path", list(_files()), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_citation_resolves(path: Path) -> None:
    """Pages, their headings, files; and no word for a paper that only its author has."""
    text = _text(path)
    assert not _unresolved(text)
    assert not OUTSIDE.findall(text)


def test_a_citation_that_leads_nowhere_is_seen() -> None:
    """A page, a heading or a file that is not there; one that a line's end divides is still read."""
    assert _unresolved('docs/facts.md, "KCL" and docs/facts.md, "No such"') == ['docs/facts.md, "No such"']
    assert _unresolved("see docs/none.md, and stream_router/none.py") == ["stream_router/none.py", "docs/none.md"]


def test_facts_are_cited_from_the_code() -> None:
    """Every section of docs/facts.md is what some code relies on."""
    cited = {
        heading
        for folder in ("stream_router", "benchmarks", "tests")
        for path in (ROOT / folder).rglob("*.py")
        for page, heading in PAGE.findall(_text(path))
        if page == "docs/facts.md"
    }
    assert {"EventBridge", "KCL", "CXone", "Costs measured"} <= cited
