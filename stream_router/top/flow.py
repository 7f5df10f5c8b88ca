"""Lines of facts, broken between two facts and never inside one."""

from collections.abc import Sequence

from rich.text import Text

Fact = tuple[str, str] | tuple[str, str, str]
"""What it is, the value, and the value's style (bold where none is given)."""


def flow(width: int, facts: Sequence[Fact]) -> Text:
    """The facts in order, as many on a line as fit, two spaces between."""
    whole = Text()
    used = 0
    for what, value, *style in facts:
        needs = len(what) + 1 + len(value)
        if used and used + 2 + needs > width:
            whole.append("\n")
            used = 0
        elif used:
            whole.append("  ")
            used += 2
        whole.append(f"{what} ", "dim").append(value, style[0] if style else "bold")
        used += needs
    return whole
