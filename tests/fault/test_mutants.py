"""Negative controls: known mistakes put into a copy of the project, one at a time; a test must notice each.

Without this "nothing lost" would prove nothing. Each row runs tests in a process of its own: this is of `make prove`.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fault.mutants import MUTANTS

ROOT = Path(__file__).parents[2]
HANGS = " (it hangs)"
RESULTS = os.environ.get("MUTANTS_RESULTS", "")
"""A file to which each row's result is added, as a JSON line."""

OF_ALL = [(promise, name) for promise, mistakes in MUTANTS.items() for name in mistakes]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of the project, to be spoiled: tests read documents and properties too, and must not fail for lack of one."""
    folder = tmp_path_factory.mktemp("mutants") / "copy"
    left_out = shutil.ignore_patterns(
        "__pycache__", ".venv", ".git", ".*_cache", ".hypothesis", "*.egg-info", "node_modules"
    )
    shutil.copytree(ROOT, folder, ignore=left_out)
    return folder


def run(folder: Path, tests: tuple[str, ...], within_s: float) -> tuple[int, str]:
    """pytest's exit status and the test that failed: 0 where all passed, 1 where one failed or they hung."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=within_s, check=False
        )
    except subprocess.TimeoutExpired:
        return 1, f"{tests[0]}{HANGS}"
    failed = re.search(r"^(?:FAILED|ERROR) (tests/.+?)(?: - .*)?$", done.stdout, re.MULTILINE)
    return done.returncode, failed[1] if failed else tests[0]


@pytest.mark.prove
@pytest.mark.timeout(2_000)
@pytest.mark.parametrize(("promise", "name"), OF_ALL)
def test_a_mistake_is_noticed(copy: Path, promise: str, name: str) -> None:
    """With the mistake in place a test fails, and the same test passes once the copy is whole again."""
    mutant = MUTANTS[promise][name]
    path = copy / mutant.path
    good = path.read_text("utf-8")
    path.write_text(good.replace(mutant.old, mutant.new).replace(*mutant.also), "utf-8")
    begun = time.monotonic()
    try:
        status, killed_by = run(copy, mutant.tests, mutant.within_s)
    finally:
        path.write_text(good, "utf-8")
    seconds = round(time.monotonic() - begun, 1)
    without, _ = run(copy, (killed_by.removesuffix(HANGS),), mutant.within_s)
    if RESULTS:
        result = {"promise": promise, "mutant": name, "status": status, "killedBy": killed_by, "without": without}
        with Path(RESULTS).open("a", encoding="utf-8") as out:
            out.write(json.dumps({**result, "seconds": seconds}, ensure_ascii=False) + "\n")
    assert status == 1, "no test noticed"
    assert without == 0, f"{killed_by} fails without the mistake too"


@pytest.mark.parametrize(("promise", "name"), OF_ALL)
def test_a_mistake_can_still_be_made(promise: str, name: str) -> None:
    """What a row changes stands in the code, once: else the row has to be renewed."""
    mutant = MUTANTS[promise][name]
    text = (ROOT / mutant.path).read_text("utf-8")
    assert text.count(mutant.old) == 1
    assert not mutant.also[0] or text.count(mutant.also[0]) == 1


def test_each_promise_has_a_mistake_that_its_tests_notice() -> None:
    """Each line of docs/guarantees.md: a row here begins as it does, and runs only tests that the line names."""
    page = (ROOT / "docs" / "guarantees.md").read_text("utf-8").partition("## Not promised")[0]
    lines = [line[2:] for line in page.splitlines() if line.startswith("| ") and "proved by" not in line]
    for line in lines:
        [promise] = [item for item in MUTANTS if line.startswith(item)]
        for mutant in MUTANTS[promise].values():
            assert all(f"`{test}`" in line for test in mutant.tests), (promise, mutant.tests)
    assert len(lines) == len(MUTANTS)
