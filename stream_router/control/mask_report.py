"""`stream-router mask`: what a masking policy does to a sample, side by side."""

import os
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from stream_router.core.settings_error import SettingsError
from stream_router.pipeline.mapping import config_file
from stream_router.pipeline.masking import policy_file as policies
from stream_router.pipeline.masking import preview
from stream_router.settings.common import load
from stream_router.settings.consumer import Mask

_TEXT_MAX = 200


def run(policy: str, file: Path, console: Console | None = None) -> int:
    """Print a table of every value of the sample in `file`, before and after `policy` (default, or a TOML file).

    The sample is read by the shapes of STREAM_ROUTER_CONFIG, as the consumer reads events. Without
    STREAM_ROUTER_MASKING_KEY a throw-away key hashes. Returns 0, or 1 where the sample is no JSON or nests too deep to
    be masked. Raises SettingsError for a policy or a config that is wrong and a sample that cannot be read.
    """
    console = console or Console()
    given = load(Mask)
    key = given.masking_key
    secret = os.urandom(32) if key is None else key.get_secret_value().encode()
    compiled = policies.load(policy, secret)
    if compiled is None:
        raise SettingsError("--policy: off masks nothing; name default or a policy file")
    shapes = config_file.load(given.config).shapes
    try:
        sample = file.read_bytes()
    except OSError as error:
        raise SettingsError(f"FILE: {file}: cannot be read ({error.strerror}); name a file with JSON events") from None
    try:
        shown = preview.show(compiled, shapes, sample)
    except ValueError as error:
        console.print(f"{escape(str(file))}: {escape(str(error))}", style="red")
        return 1
    console.print(_table(f"policy {compiled.id}, version {compiled.version}", shown))
    counts = Counter(line.action for line in shown if line.action not in ("", "keep"))
    told = ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "nothing"
    console.print(f"masked: {escape(told)}; values: {len(shown)}")
    if key is None and counts["hmac"]:
        console.print("STREAM_ROUTER_MASKING_KEY is not set: the hashes shown are of a throw-away key")
    return 0


def _table(title: str, shown: list[preview.Shown]) -> Table:
    table = Table(title=escape(title), show_lines=False)
    for name in ("path", "before", "after", "action"):
        table.add_column(name, overflow="fold")
    for line in shown:
        after = "(removed)" if line.after is None else line.after
        cells = (escape(_cut(text)) for text in (line.path, line.before, after, line.action))
        table.add_row(*cells, style="dim" if line.action in ("", "keep") else "bold")
    return table


def _cut(text: str) -> str:
    """Short and without control characters: a sample must not drive the terminal."""
    clean = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text[:_TEXT_MAX])
    return clean + "…" if len(text) > _TEXT_MAX else clean
