"""`stream-router mask`: what a masking policy does to samples, side by side or path by path."""

import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from stream_router.control import mask_coverage
from stream_router.errors import SettingsError
from stream_router.log import plain
from stream_router.pipeline.mapping import config_file
from stream_router.pipeline.mapping.mapper import Validator
from stream_router.pipeline.masking import policy_file as policies
from stream_router.pipeline.masking import preview
from stream_router.pipeline.masking.asked_for import asked_for
from stream_router.pipeline.masking.policy import MaskingPolicy
from stream_router.settings.operators import Mask
from stream_router.settings.reading import load

_TEXT_MAX = 200


def run(policy: str, *files: Path, coverage: bool = False, console: Console | None = None) -> int:
    """Print every value of the samples before and after `policy` (default, strict, or a TOML file); 0, or 1.

    With `coverage` it is every path instead, and what the policy decides about it. The samples are read by the shapes
    of STREAM_ROUTER_CONFIG, as the consumer reads events. Without STREAM_ROUTER_MASKING_KEY a throw-away key hashes.
    Returns 1 where a sample cannot be read, is no JSON or nests too deep to be masked. Raises SettingsError for a
    policy or a config that is wrong.
    """
    console = console or Console()
    given = load(Mask)
    key = given.secret("masking_key")
    compiled = _compiled(policy, key.encode() or os.urandom(32), ())
    mapping = config_file.load(given.config)
    validator = Validator(mapping.shapes, mapping.sources, mapping.expert)
    told: list[preview.Shown] = []
    for file in files:
        try:
            shown = preview.show(compiled, validator, file.read_bytes())
        except OSError as error:
            _fail(file, f"cannot be read ({error.strerror}); name a file with JSON events")
            return 1
        except ValueError as error:
            _fail(file, str(error))
            return 1
        told += shown
        if not coverage:
            console.print(_table(f"policy {compiled.id}, version {compiled.version}", shown))
    if coverage:
        mask_coverage.tell(console, compiled, told)
        return 0
    counts = Counter(line.action for line in told if line.action not in ("", "keep", "pass"))
    sums = ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "nothing"
    console.print(f"masked: {escape(sums)}; values: {len(told)}")
    if not key and counts["hmac"]:
        console.print("STREAM_ROUTER_MASKING_KEY is not set: the hashes shown are of a throw-away key")
    return 0


def _compiled(policy: str, key: bytes, regions: Sequence[str]) -> MaskingPolicy:
    try:
        compiled = asked_for(policy, key, regions)
    except SettingsError as error:
        raise SettingsError(str(error).replace(f"{policies.VARIABLE}: ", "--policy: ", 1)) from None
    if compiled is None:
        raise SettingsError("--policy: off masks nothing; name default, strict or a policy file")
    return compiled


def _fail(file: Path, problem: str) -> None:
    sys.stderr.write(f"stream-router mask: {file}: {problem}\n")


def _table(title: str, shown: list[preview.Shown]) -> Table:
    table = Table(title=escape(title), show_lines=False)
    for name in ("path", "before", "after", "action"):
        table.add_column(name, overflow="fold")
    for line in shown:
        after = "(removed)" if line.after is None else line.after
        cells = (escape(_cut(text)) for text in (line.path, line.before, after, line.action))
        table.add_row(*cells, style="dim" if line.action in ("", "keep", "pass") else "bold")
    return table


def _cut(text: str) -> str:
    """Short and without control characters: a sample must not drive the terminal."""
    clean = plain(text[:_TEXT_MAX])
    return clean + "…" if len(text) > _TEXT_MAX else clean
