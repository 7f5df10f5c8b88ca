"""Text of others in lines of ours."""

import re

MOST_SAID = 20
"""Names of others of which each is worth a line of the log."""

NOT_SHOWN = "(not shown: no name)"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.:/-]{0,127}")


def is_name(text: str) -> bool:
    """Whether a text is a name, as those of event types and sources are. Else a person may have written it."""
    return _NAME.fullmatch(text) is not None


def plain(text: str, keeps: str = "") -> str:
    """What others wrote, as part of a line: nothing in it drives a terminal, or looks like a line of ours.

    `keeps` are what is let through all the same, where it may have lines of its own.
    """
    return "".join(char if char.isprintable() or char in keeps else "\N{REPLACEMENT CHARACTER}" for char in text)
