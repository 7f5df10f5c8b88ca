"""`stream-router mask`: shows the effect of a masking policy on samples, and the lines that would allow more paths."""

import json
import sys
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from stream_router.errors import SettingsError
from stream_router.log import plain
from stream_router.pipeline.mapping import config_file
from stream_router.pipeline.mapping.mapper import EventMapper
from stream_router.pipeline.masking import policy_file, preview
from stream_router.pipeline.masking.policy import MaskingPolicy
from stream_router.settings.operators import Mask
from stream_router.settings.reading import load

_TEXT_MAX = 60


def run(policy: str, *files: Path, console: Console | None = None) -> int:
    """Print the effect of `policy` (default, or a TOML file) at each path of the samples.

    The samples are read by the shapes of STREAM_ROUTER_CONFIG, as the consumer reads events. Return
    0, or 1 if a sample cannot be read, is not JSON or nests too deep to be masked. Raises
    SettingsError for a wrong policy or config file.
    """
    console = console or Console()
    settings = load(Mask)
    key = settings.secret("masking_key")
    compiled = _load_policy(policy, key.encode())
    mapping = config_file.load(settings.config)
    mapper = EventMapper(mapping)
    shown: list[preview.ShownValue] = []
    for file in files:
        try:
            shown += preview.show(compiled, mapper, file.read_bytes())
        except OSError as error:
            return _report_failure(file, f"cannot be read ({error.strerror}); name a file with JSON events")
        except ValueError as error:
            return _report_failure(file, str(error))
    console.print(_build_table(compiled, shown))
    if not key and any(line.verdict == "hashed" for line in shown):
        console.print("STREAM_ROUTER_MASKING_KEY is not set, so values are redacted instead of hashed.")
    _print_allow_lines(console, policy, shown)
    return 0


def _load_policy(policy: str, key: bytes) -> MaskingPolicy:
    if policy == "off":
        raise SettingsError("--policy", "off masks nothing", "name default, or a policy file")
    try:
        return policy_file.load(policy, key)
    except SettingsError as error:
        problems = [replace(problem, setting="--policy") for problem in error.problems]
        raise error.with_problems(problems) from None


def _report_failure(file: Path, problem: str) -> int:
    sys.stderr.write(f"stream-router mask: {file}: {problem}\n")
    return 1


def _build_table(policy: MaskingPolicy, shown: list[preview.ShownValue]) -> Table:
    """Return a table with a row for each path and verdict, and the first value there as an example.

    A path has several rows if the policy treats its values differently.
    """
    table = Table(title=escape(f"policy {policy.id}, version {policy.version}: entries are tagged {policy.tag}"))
    for name in ("path", "verdict", "for example", "becomes"):
        table.add_column(name, overflow="fold")
    firsts: dict[tuple[str, str], preview.ShownValue] = {}
    for line in shown:
        firsts.setdefault((line.path, line.verdict), line)
    for line in sorted(firsts.values(), key=lambda line: line.path):
        after = "" if line.after is None else line.after
        cells = (plain(line.path), line.verdict, _shorten(line.before), _shorten(after))
        table.add_row(*map(escape, cells), style="dim" if line.verdict == "passed" else "")
    return table


def _print_allow_lines(console: Console, policy: str, shown: list[preview.ShownValue]) -> None:
    """Print the lines that would make the policy pass the paths which it redacts now, to be copied into its file."""
    paths = sorted({line.path for line in shown if line.verdict == "redacted"})
    if not paths:
        console.print("Nothing is redacted.")
        return
    where = "into a policy file" if policy == "default" else f"into {policy}"
    console.print(f"Copy {escape(where)} only the lines of values that may pass (docs/masking.md):\n")
    base = ['base = "default"'] if policy == "default" else []
    lines = [*base, "allow = [", *(f"  {json.dumps(path, ensure_ascii=False)}," for path in paths), "]"]
    for line in lines:
        console.print(escape(plain(line)), highlight=False, soft_wrap=True)


def _shorten(value: object) -> str:
    """Return a value as short text without control characters, which could drive the terminal."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    clean = plain(text[:_TEXT_MAX])
    return clean + "…" if len(text) > _TEXT_MAX else clean
