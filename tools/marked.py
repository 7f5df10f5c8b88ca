"""What `make docs` writes into pages whose prose people write: a part between two marks, and tables."""

from collections.abc import Mapping, Sequence

END = "<!-- end -->"


def filled(text: str, begin: str, part: str) -> str:
    """The page with `part` between the mark `begin` and the next END. Raises SystemExit where there is no such mark."""
    before, found, rest = text.partition(begin)
    if not found:
        raise SystemExit(f"a page has no place for what `make docs` writes: {begin} is missing")
    return f"{before}{begin}\n{part}\n{END}{rest.partition(END)[2]}"


def columns(head: str, names: Sequence[str], rows: Mapping[str, Sequence[str]]) -> str:
    """A table with a column for each name, and a row for each figure."""
    return "\n".join(
        [
            f"| {head} | " + " | ".join(names) + " |",
            "|---|" + "---|" * len(names),
            *(f"| {name} | " + " | ".join(row) + " |" for name, row in rows.items()),
        ]
    )
