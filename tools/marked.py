"""What `make docs` writes into pages whose prose people write: a part between two marks."""

END = "<!-- end -->"


def filled(text: str, begin: str, part: str) -> str:
    """The page with `part` between the mark `begin` and the next END. Raises SystemExit where there is no such mark."""
    before, result, rest = text.partition(begin)
    if not result:
        raise SystemExit(f"a page has no place for what `make docs` writes: {begin} is missing")
    return f"{before}{begin}\n{part}\n{END}{rest.partition(END)[2]}"
