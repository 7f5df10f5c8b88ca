"""`stream-router mask --coverage`: which paths of samples a policy masks, lets pass on purpose, does not know."""

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape

from stream_router.log import plain
from stream_router.pipeline.masking.policy import MaskingPolicy
from stream_router.pipeline.masking.preview import Shown, Verdict

_WORST_FIRST: tuple[tuple[Verdict, str], ...] = (
    ("unknown", "passes because no rule knows it"),
    ("stays", "is kept on purpose, although it holds what is masked elsewhere in its event"),
    ("passes", "passes on purpose"),
    ("masked", "is masked"),
)


def tell(console: Console, policy: MaskingPolicy, shown: Sequence[Shown]) -> None:
    """Print each path once, under the worst that happened to a value there, and the tag that such events get."""
    found = verdicts(shown)
    for verdict, meaning in _WORST_FIRST:
        paths = sorted(path for path, worst in found.items() if worst == verdict)
        if not paths:
            continue
        console.print(f"{len(paths)} path{'s' if len(paths) > 1 else ''}: {meaning}", style="bold")
        for path in paths:
            console.print(f"  {escape(plain(path))}", highlight=False, soft_wrap=True)
    unknown = any(worst == "unknown" for worst in found.values())
    tag = "pii-masked-partly: name the unknown paths in a rule" if unknown else "pii-masked"
    console.print(f"policy {policy.id}, version {policy.version}: {len(found)} paths; such events are tagged {tag}")


def verdicts(shown: Sequence[Shown]) -> dict[str, Verdict]:
    """The worst that the policy said of any value, by path."""
    rank = {verdict: at for at, (verdict, _) in enumerate(_WORST_FIRST)}
    found: dict[str, Verdict] = {}
    for line in shown:
        before = found.get(line.general)
        if before is None or rank[line.verdict] < rank[before]:
            found[line.general] = line.verdict
    return found
