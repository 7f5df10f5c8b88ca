"""Text of others in lines of ours."""


def plain(text: str, keeps: str = "") -> str:
    """What others wrote, as part of a line: nothing in it drives a terminal, or looks like a line of ours.

    `keeps` are what is let through all the same, where it may have lines of its own.
    """
    return "".join(char if char.isprintable() or char in keeps else "\N{REPLACEMENT CHARACTER}" for char in text)
